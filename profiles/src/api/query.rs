//! The query parameters of the profile API.

use super::address::{Collection, Part};
use super::body::member;
use super::error::ApiError;
use crate::waiting::parse_wait_for;
use percent_encoding::percent_decode_str;
use serde_json::json;
use serde_json::value::RawValue;
use tributary_eventlog::index::EventOrder;
use tributary_model::{Position, Timestamp};

/// How many rows an answer has if the request does not say.
pub(super) const LIMIT_DEFAULT: usize = 20;
/// How many rows an answer has at most; asking for more gives so many, and the cursor says so.
pub(super) const LIMIT_MAX: usize = 200;

const OF_TRAITS: [&str; 8] = ["limit", "next", "include", "exclude", "verbose", "class", "as_of", "wait_for"];
const OF_IDS: [&str; 6] = ["limit", "next", "include", "exclude", "as_of", "wait_for"];
const OF_METADATA: [&str; 2] = ["as_of", "wait_for"];
const OF_EVENTS: [&str; 8] = ["limit", "next", "include", "exclude", "start", "end", "sort", "wait_for"];
const OF_NAMES: [&str; 5] = ["limit", "next", "include", "exclude", "wait_for"];
const OF_PAGES: [&str; 3] = ["limit", "next", "wait_for"];
const OF_ACCOUNT: [&str; 7] = ["limit", "next", "include", "exclude", "verbose", "class", "wait_for"];
const OF_ACCOUNT_METADATA: [&str; 1] = ["wait_for"];
const OF_EXPLAIN: [&str; 2] = ["with", "wait_for"];

/// The parameters that a part of a profile takes: those that do something there. A change takes none.
pub(super) const fn known(part: Part) -> &'static [&'static str] {
    match part {
        Part::Traits => &OF_TRAITS,
        Part::ExternalIds => &OF_IDS,
        Part::Metadata => &OF_METADATA,
        Part::Events => &OF_EVENTS,
        Part::Audiences | Part::Consent => &OF_NAMES,
        Part::Links | Part::History => &OF_PAGES,
        Part::Explain => &OF_EXPLAIN,
    }
}

/// The parameters that a part of a profile of a collection takes.
pub(super) const fn known_of(collection: Collection, part: Part) -> &'static [&'static str] {
    match (collection, part) {
        (Collection::Accounts, Part::Traits) => &OF_ACCOUNT,
        (Collection::Accounts, Part::ExternalIds) => &OF_NAMES,
        (Collection::Accounts, Part::Metadata) => &OF_ACCOUNT_METADATA,
        (Collection::Users | Collection::Accounts, _) => known(part),
    }
}

/// Whose doing a trait is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// The profile is in an audience.
    Audience,
    /// It is computed from events.
    ComputedTrait,
    /// It was sent.
    Custom,
}

impl Class {
    const ALL: [Self; 3] = [Self::Audience, Self::ComputedTrait, Self::Custom];

    /// The name in parameters and answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Audience => "audience",
            Self::ComputedTrait => "computed_trait",
            Self::Custom => "custom",
        }
    }

    fn parse(name: &str) -> Result<Self, ApiError> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or_else(|| {
            let all = "`audience`, `computed_trait` or `custom`, or several with commas between them";
            ApiError::invalid(format!("class is {name:?}; it is {all}"))
        })
    }
}

/// The parameters of a request, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// The path of the request, as it was sent.
    pub(super) url: String,
    /// How many rows, 1 to [`LIMIT_MAX`].
    pub(super) limit: usize,
    /// Where the page before ended.
    pub(super) next: Option<String>,
    /// Only these names.
    pub(super) include: Option<Vec<String>>,
    /// Not these names.
    pub(super) exclude: Vec<String>,
    /// Only traits of these classes.
    classes: Option<Vec<Class>>,
    /// The earliest event time, inclusive.
    pub(super) start: Option<Timestamp>,
    /// The latest event time, inclusive.
    pub(super) end: Option<Timestamp>,
    /// Which end of the events comes first.
    pub(super) order: EventOrder,
    /// Whether rows say where their values came from.
    pub(super) verbose: bool,
    /// The other identifier, as `namespace:value`.
    pub(super) with: Option<String>,
    /// The receive time as of which the profile is read.
    pub(super) as_of: Option<Timestamp>,
    /// What has to be visible before the profile is read.
    pub(super) wait_for: Option<Position>,
}

impl Query {
    /// Reads a query string. Parameters that are not `known` are an error: a filter that is not understood must not
    /// be passed over.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut query = Self {
            url: String::new(),
            limit: LIMIT_DEFAULT,
            next: None,
            include: None,
            exclude: Vec::new(),
            classes: None,
            start: None,
            end: None,
            order: EventOrder::Newest,
            verbose: false,
            with: None,
            as_of: None,
            wait_for: None,
        };
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !known.contains(&name) {
                return Err(ApiError::invalid(format!("unknown parameter {name:?}")));
            }
            let value = value.replace('+', " ");
            let value = percent_decode_str(&value)
                .decode_utf8()
                .map_err(|_| ApiError::invalid(format!("{name} is not UTF-8")))?;
            query.take(name, &value)?;
        }
        if query.as_of.is_some() && query.classes.as_ref().is_some_and(|all| all.contains(&Class::Audience)) {
            return Err(ApiError::invalid("as_of can't tell who was in an audience: leave that class out"));
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        match name {
            "limit" => {
                let limit: usize = value.parse().ok().filter(|limit| *limit > 0).ok_or_else(|| {
                    ApiError::invalid(format!("limit is {value:?}; it is a number from 1 to {LIMIT_MAX}"))
                })?;
                self.limit = limit.min(LIMIT_MAX);
            }
            "next" => self.next = Some(value.to_owned()).filter(|value| !value.is_empty()),
            "include" => self.include = Some(names(value)),
            "exclude" => self.exclude = names(value),
            "start" => self.start = Some(time(name, value)?),
            "end" => self.end = Some(time(name, value)?),
            "sort" => {
                self.order = match value {
                    "desc" => EventOrder::Newest,
                    "asc" => EventOrder::Oldest,
                    _ => return Err(ApiError::invalid(format!("sort is {value:?}; it is `asc` or `desc`"))),
                }
            }
            "verbose" => {
                self.verbose = match value {
                    "true" => true,
                    "false" => false,
                    _ => {
                        return Err(ApiError::invalid(format!(
                            "verbose is {value:?}; it is `true` or `false`"
                        )));
                    }
                }
            }
            "class" => self.classes = Some(classes(value)?),
            "with" => self.with = Some(value.to_owned()),
            "as_of" => self.as_of = Some(time(name, value)?),
            "wait_for" => self.wait_for = Some(parse_wait_for(value)?),
            _ => return Err(ApiError::invalid(format!("unknown parameter {name:?}"))),
        }
        Ok(())
    }

    /// What the next request hands back as `next`, if there is more.
    pub(super) fn cursor(&self, more: Option<String>) -> Box<RawValue> {
        member(&json!({
            "url": self.url,
            "has_more": more.is_some(),
            "next": more.unwrap_or_default(),
            "limit": self.limit,
        }))
    }

    /// The name behind which the page begins, where pages are in the order of names.
    pub(super) fn after_name(&self) -> Option<&str> {
        self.next.as_deref().map(|text| text.strip_prefix(NAME_MARK).unwrap_or(text))
    }

    /// Whether traits of this class are wanted.
    pub(super) fn wants_class(&self, class: Class) -> bool {
        match &self.classes {
            Some(classes) => classes.contains(&class),
            None => self.as_of.is_none() || class != Class::Audience,
        }
    }

    /// Whether a row of this name is wanted.
    pub(super) fn wants(&self, name: &str) -> bool {
        let included = self.include.as_ref().is_none_or(|names| names.iter().any(|have| have == name));
        included && !self.exclude.iter().any(|have| have == name)
    }

    /// Whether rows are picked by name at all.
    pub(super) fn picks(&self) -> bool {
        self.include.is_some() || !self.exclude.is_empty()
    }
}

/// What is before a name in a cursor that would mean something else without it.
const NAME_MARK: char = '.';

/// The cursor behind a row of this name. That behind an empty name is no empty cursor, which would be the beginning.
pub(super) fn cursor_behind(name: &str) -> String {
    if name.is_empty() || name.starts_with(NAME_MARK) {
        format!("{NAME_MARK}{name}")
    } else {
        name.to_owned()
    }
}

fn names(value: &str) -> Vec<String> {
    value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

fn classes(value: &str) -> Result<Vec<Class>, ApiError> {
    value.split(',').map(|name| Class::parse(name.trim())).collect()
}

fn time(name: &str, value: &str) -> Result<Timestamp, ApiError> {
    Timestamp::parse(value).ok_or_else(|| {
        ApiError::invalid(format!("{name} is {value:?}; it is a time such as 2026-01-31T12:00:00Z"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_or_refused() {
        let cases = [
            ("", Some(20)),
            ("limit=1", Some(1)),
            ("limit=200&sort=asc", Some(200)),
            ("limit=500", Some(200)),
            ("limit=0", None),
            ("limit=-1", None),
            ("limit=ten", None),
            ("sort=up", None),
            ("start=2026-01-01T00:00:00Z&end=2026-01-02T00:00:00%2B02:00", Some(20)),
            ("start=yesterday", None),
            ("include=a,b&exclude=c", Some(20)),
            ("verbose=true", None),
            ("colour=red", None),
            ("with=user_id:u1", None),
        ];
        for (text, want) in cases {
            let query = Query::parse(text, known(Part::Events));
            assert_eq!(query.ok().map(|query| query.limit), want, "{text}");
        }
    }

    #[test]
    fn each_part_takes_its_own_parameters() {
        let cases = [
            (Part::Explain, "with=email:a%2Bb@x.y", true),
            (Part::Explain, "with=email:a&limit=1", false),
            (Part::History, "limit=5&next=7.0", true),
            (Part::History, "sort=asc", false),
            (Part::Traits, "verbose=true", true),
            (Part::Traits, "verbose=1", false),
            (Part::Traits, "start=2026-01-31T12:00:00Z", false),
            (Part::Traits, "with=user_id:u1", false),
            (Part::Traits, "class=audience", true),
            (Part::Traits, "class=custom,%20computed_trait", true),
            (Part::Traits, "class=", false),
            (Part::Traits, "class=sql_trait", false),
            (Part::Traits, "as_of=2026-01-31T12:00:00Z&class=custom", true),
            (Part::Traits, "as_of=2026-01-31T12:00:00Z&class=audience", false),
            (Part::Traits, "as_of=yesterday", false),
            (Part::Metadata, "as_of=2026-01-31T12:00:00Z", true),
            (Part::Metadata, "include=a", false),
            (Part::ExternalIds, "include=email&as_of=2026-01-31T12:00:00Z", true),
            (Part::ExternalIds, "sort=asc", false),
            (Part::ExternalIds, "verbose=true", false),
            (Part::Events, "as_of=2026-01-31T12:00:00Z", false),
            (Part::Links, "limit=1&wait_for=0.7", true),
            (Part::Links, "include=a", false),
            (Part::Audiences, "include=a", true),
            (Part::Audiences, "verbose=true", false),
            (Part::Consent, "class=custom", false),
            (Part::Explain, "with=email:a&wait_for=0.7", true),
            (Part::History, "wait_for=7", false),
            (Part::Events, "wait_for=1.7", false),
            (Part::Events, "wait_for=", false),
        ];
        for (part, text, want) in cases {
            assert_eq!(Query::parse(text, known(part)).is_ok(), want, "{text}");
        }
        let of_account = known_of(Collection::Accounts, Part::Traits);
        assert!(Query::parse("verbose=true&include=a&wait_for=0.7", of_account).is_ok());
        assert!(Query::parse("class=custom", of_account).is_ok());
        assert!(Query::parse("as_of=2026-01-31T12:00:00Z", of_account).is_err());
        let of_account = known_of(Collection::Accounts, Part::Metadata);
        assert!(Query::parse("wait_for=0.7", of_account).is_ok());
        assert!(Query::parse("include=a", of_account).is_err());
        assert_eq!(known_of(Collection::Users, Part::Traits), known(Part::Traits));
        let query = Query::parse("with=email:a%2Bb@x.y", known(Part::Explain)).expect("a query");
        assert_eq!(query.with.as_deref(), Some("email:a+b@x.y"));
    }

    #[test]
    fn names_are_picked() {
        let query = Query::parse("include=a,%20b&exclude=b", known(Part::Events)).expect("a query");
        assert!(query.picks() && query.wants("a") && !query.wants("b") && !query.wants("c"));
    }

    #[test]
    fn classes_are_picked() {
        let cases = [
            ("", [true, true, true]),
            ("class=audience", [true, false, false]),
            ("class=custom,computed_trait", [false, true, true]),
            ("as_of=2026-01-31T12:00:00Z", [false, true, true]),
        ];
        for (text, want) in cases {
            let query = Query::parse(text, known(Part::Traits)).expect("a query");
            assert_eq!(Class::ALL.map(|class| query.wants_class(class)), want, "{text}");
        }
    }

    #[test]
    fn a_cursor_leads_behind_any_name() {
        for name in ["", ".", "..a", ".plan", "plan", "é b&c"] {
            let mut query = Query::parse("", known(Part::Traits)).expect("a query");
            query.take("next", &cursor_behind(name)).expect("a cursor");
            assert_eq!(query.after_name(), Some(name));
        }
        assert_eq!(Query::parse("next=", known(Part::Traits)).expect("a query").after_name(), None);
    }

    #[test]
    fn every_cursor_says_where_it_goes_on() {
        let mut query = Query::parse("limit=3", known(Part::Traits)).expect("a query");
        query.url = "/v1/spaces/default/collections/users/profiles/user_id:u1/traits".to_owned();
        let cases = [(None, false, ""), (Some("plan".to_owned()), true, "plan")];
        for (more, has_more, next) in cases {
            let cursor: serde_json::Value =
                serde_json::from_str(query.cursor(more).get()).expect("a cursor is JSON");
            let want = json!({"url": query.url, "has_more": has_more, "next": next, "limit": 3});
            assert_eq!(cursor, want);
        }
    }
}
