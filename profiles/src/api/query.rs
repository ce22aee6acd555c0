//! The query parameters of the profile API.

use super::address::Part;
use super::body::member;
use super::error::ApiError;
use percent_encoding::percent_decode_str;
use serde_json::json;
use serde_json::value::RawValue;
use tributary_eventlog::index::EventOrder;
use tributary_model::Timestamp;

/// How many rows an answer has if the request does not say.
pub(super) const LIMIT_DEFAULT: usize = 20;
/// How many rows an answer has at most; asking for more gives so many, and the cursor says so.
pub(super) const LIMIT_MAX: usize = 200;

/// What rows are picked and paged by.
const OF_ROWS: [&str; 8] = ["limit", "next", "include", "exclude", "start", "end", "sort", "verbose"];
const OF_HISTORY: [&str; 2] = ["limit", "next"];
const OF_EXPLAIN: [&str; 1] = ["with"];

/// The parameters that a part takes. A change takes none.
pub(super) const fn known(part: Part) -> &'static [&'static str] {
    match part {
        Part::Traits | Part::ExternalIds | Part::Events | Part::Metadata => &OF_ROWS,
        Part::Explain => &OF_EXPLAIN,
        Part::History => &OF_HISTORY,
    }
}

/// The parameters of a request, read and checked.
#[derive(Debug, Clone)]
pub(super) struct Query {
    /// How many rows, 1 to [`LIMIT_MAX`].
    pub(super) limit: usize,
    /// Where the page before ended.
    pub(super) next: Option<String>,
    /// Only these names.
    pub(super) include: Option<Vec<String>>,
    /// Not these names.
    pub(super) exclude: Vec<String>,
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
}

impl Query {
    /// Reads a query string. Parameters that are not `known` are an error: a filter that is not understood must not
    /// be passed over.
    pub(super) fn parse(text: &str, known: &[&str]) -> Result<Self, ApiError> {
        let mut query = Self {
            limit: LIMIT_DEFAULT,
            next: None,
            include: None,
            exclude: Vec::new(),
            start: None,
            end: None,
            order: EventOrder::Newest,
            verbose: false,
            with: None,
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
            "with" => self.with = Some(value.to_owned()),
            _ => return Err(ApiError::invalid(format!("unknown parameter {name:?}"))),
        }
        Ok(())
    }

    /// `{}` on the only page; else what the next request hands back as `next`.
    pub(super) fn cursor(&self, more: Option<String>) -> Box<RawValue> {
        if more.is_none() && self.next.is_none() {
            return member(&json!({}));
        }
        member(&json!({"has_more": more.is_some(), "next": more.unwrap_or_default(), "limit": self.limit}))
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

fn names(value: &str) -> Vec<String> {
    value.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
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
            ("verbose=true&include=a,b&exclude=c", Some(20)),
            ("verbose=1", None),
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
            (Part::Traits, "with=user_id:u1", false),
        ];
        for (part, text, want) in cases {
            assert_eq!(Query::parse(text, known(part)).is_ok(), want, "{text}");
        }
        let query = Query::parse("with=email:a%2Bb@x.y", known(Part::Explain)).expect("a query");
        assert_eq!(query.with.as_deref(), Some("email:a+b@x.y"));
    }

    #[test]
    fn names_are_picked() {
        let query = Query::parse("include=a,%20b&exclude=b", known(Part::Events)).expect("a query");
        assert!(query.picks() && query.wants("a") && !query.wants("b") && !query.wants("c"));
    }
}
