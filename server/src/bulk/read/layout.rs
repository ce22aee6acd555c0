//! What the columns of a file mean.
//!
//! A file is either flat, where every column but those of ids and the time is a trait; or like an export, which has a
//! column `traits` or columns `traits.…`, where nothing else is a trait. A row of NDJSON is one or the other by itself.

use super::{Person, ReadOptions};
use crate::bulk::cell::quoted;
use crate::bulk::row::names;
use std::borrow::Cow;
use std::collections::BTreeSet;
use tributary_model::json::Members;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The `user_id`.
    UserId,
    /// The `anonymous_id`.
    AnonymousId,
    /// Several of them, as an export has them: who has no other id is named by the first.
    AnonymousIds,
    /// When the row was true.
    Time,
    /// A trait of the column's name.
    Trait,
    /// A trait of the column's name without what stands before it. Where it is missing, it says nothing.
    Named,
    /// Traits as an object.
    Traits,
    /// It describes the profile, and is passed over.
    Passed,
}

/// Whether columns of these names are like those of an export.
pub(super) fn is_export<'a>(mut columns: impl Iterator<Item = &'a str>) -> bool {
    columns.any(|name| name == names::TRAITS || name.starts_with(names::OF_TRAIT))
}

impl Role {
    /// What a column of this name is.
    ///
    /// # Errors
    /// If it can't be told what it is for.
    pub(super) fn of(name: &str, options: &ReadOptions, is_export: bool) -> Result<Self, String> {
        if name == options.id_column {
            return Ok(Self::UserId);
        }
        if Some(name) == options.time_column.as_deref() {
            return Ok(Self::Time);
        }
        if name == names::ANONYMOUS_ID {
            return Ok(Self::AnonymousId);
        }
        match name {
            _ if !is_export => Ok(Self::Trait),
            names::TRAITS => Ok(Self::Traits),
            names::ANONYMOUS_IDS => Ok(Self::AnonymousIds),
            _ if name.starts_with(names::OF_TRAIT) => Ok(Self::Named),
            _ if names::DESCRIBING.contains(&name) || name.starts_with(names::OF_COMPUTED) => {
                Ok(Self::Passed)
            }
            _ => Err(format!(
                "beside `traits` and `traits.…` there is `{name}`: call it `traits.{name}`, or leave it out"
            )),
        }
    }
}

/// What the columns of a whole file are.
///
/// # Errors
/// If they can't be used: the text says what to do.
pub(super) fn roles(columns: &[String], options: &ReadOptions) -> Result<Vec<Role>, String> {
    let mut seen = BTreeSet::new();
    for name in columns {
        if name.is_empty() {
            return Err("a column has no name".to_owned());
        }
        if !seen.insert(name.as_str()) {
            return Err(format!("there are two columns `{name}`"));
        }
    }
    let is_export = is_export(columns.iter().map(String::as_str));
    let roles: Vec<Role> =
        columns.iter().map(|name| Role::of(name, options, is_export)).collect::<Result<_, _>>()?;
    if let Some(time) = options.time_column.as_deref().filter(|_| !roles.contains(&Role::Time)) {
        return Err(format!("there is no column `{time}`"));
    }
    if !roles.iter().any(|role| matches!(role, Role::UserId | Role::AnonymousId | Role::AnonymousIds)) {
        let id = &options.id_column;
        return Err(format!("there is no column `{id}`: name the one of user ids with --id-column"));
    }
    Ok(roles)
}

/// A value as it was found.
pub(super) enum Given<'a> {
    /// None.
    Null,
    /// A text.
    Text(Cow<'a, str>),
    /// Any value, as JSON text.
    Json(Cow<'a, str>),
}

/// A person under way.
#[derive(Default)]
pub(super) struct Draft {
    user_id: Option<String>,
    anonymous_id: Option<String>,
    /// The first of several.
    first_anonymous_id: Option<String>,
    time: Option<String>,
    object: Option<String>,
    /// Members of an object, with their names.
    members: Vec<String>,
}

impl Draft {
    /// Takes in what a column says.
    ///
    /// # Errors
    /// If that is no value for such a column.
    pub(super) fn take(&mut self, role: Role, name: &str, given: Given<'_>) -> Result<(), String> {
        match role {
            Role::UserId => self.user_id = id(name, given)?,
            Role::AnonymousId => self.anonymous_id = id(name, given)?,
            Role::AnonymousIds => self.first_anonymous_id = first_id(given),
            Role::Time => self.time = id(name, given)?,
            Role::Trait => self.members.push(member(name, given)),
            Role::Named => {
                if !matches!(given, Given::Null) {
                    let name = name.strip_prefix(names::OF_TRAIT).unwrap_or(name);
                    self.members.push(member(name, given));
                }
            }
            Role::Traits => self.object = object(name, given)?,
            Role::Passed => {}
        }
        Ok(())
    }

    /// The person.
    pub(super) fn person(self, place: u64) -> Person {
        let Self { user_id, anonymous_id, first_anonymous_id, time, object, members } = self;
        // Who has a user id is named by that alone: a file of traits ties no identifiers together.
        let anonymous_id = match user_id {
            Some(_) => anonymous_id,
            None => anonymous_id.or(first_anonymous_id),
        };
        let traits = match object {
            Some(object) if members.is_empty() => object,
            Some(object) => {
                let own = Members::parse(&object).unwrap_or_default();
                let own = own.iter().map(|(name, value)| format!("{}:{}", quoted(name), value.get()));
                enclosed(&own.chain(members).collect::<Vec<_>>())
            }
            None => enclosed(&members),
        };
        Person { place, user_id, anonymous_id, time, traits }
    }
}

fn enclosed(members: &[String]) -> String {
    format!("{{{}}}", members.join(","))
}

fn member(name: &str, given: Given<'_>) -> String {
    let name = quoted(name);
    match given {
        Given::Null => format!("{name}:null"),
        Given::Text(text) => format!("{name}:{}", quoted(&text)),
        Given::Json(json) => format!("{name}:{json}"),
    }
}

/// The text of an id or a time; `None` if it is missing or empty. A whole number counts as it is written.
fn id(name: &str, given: Given<'_>) -> Result<Option<String>, String> {
    let text = match given {
        Given::Null => None,
        Given::Text(text) => Some(text.into_owned()),
        Given::Json(json) if json == "null" => None,
        Given::Json(json) if json.starts_with('"') => serde_json::from_str::<String>(&json).ok(),
        Given::Json(json) if json.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(json.into_owned())
        }
        Given::Json(_) => return Err(format!("`{name}` is neither a text nor a whole number")),
    };
    Ok(text.filter(|text| !text.is_empty()))
}

/// The first text of a list that is not empty. What is no such list names nobody.
fn first_id(given: Given<'_>) -> Option<String> {
    let json = match given {
        Given::Null => return None,
        Given::Text(json) | Given::Json(json) => json,
    };
    let ids: Vec<String> = serde_json::from_str(&json).ok()?;
    ids.into_iter().find(|id| !id.is_empty())
}

fn object(name: &str, given: Given<'_>) -> Result<Option<String>, String> {
    let json = match given {
        Given::Null => return Ok(None),
        Given::Text(json) | Given::Json(json) => json,
    };
    if json.is_empty() || json == "null" {
        return Ok(None);
    }
    match Members::parse(&json) {
        Ok(_) => Ok(Some(json.into_owned())),
        Err(_) => Err(format!("`{name}` is no JSON object")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::Cells;

    fn options(id_column: &str, time_column: Option<&str>) -> ReadOptions {
        let time_column = time_column.map(str::to_owned);
        ReadOptions { id_column: id_column.to_owned(), time_column, cells: Cells::Typed }
    }

    #[test]
    fn columns_mean_what_their_names_say() {
        use Role::{AnonymousId, AnonymousIds, Named, Passed, Time, Trait, Traits, UserId};
        let flat = options("user_id", None);
        let other = options("id", Some("at"));
        type Case<'a> = (&'a ReadOptions, &'a [&'a str], Result<Vec<Role>, &'a str>);
        let cases: [Case<'_>; 12] = [
            (&flat, &["user_id", "plan", "email"], Ok(vec![UserId, Trait, Trait])),
            (&flat, &["anonymous_id", "plan"], Ok(vec![AnonymousId, Trait])),
            (&other, &["at", "user_id", "id"], Ok(vec![Time, Trait, UserId])),
            (
                &flat,
                &["profile_id", "user_id", "email", "since", "traits", "traits.plan"],
                Ok(vec![Passed, UserId, Passed, Passed, Traits, Named]),
            ),
            (
                &flat,
                &["anonymous_ids", "traits.plan", "computed", "computed.visits"],
                Ok(vec![AnonymousIds, Named, Passed, Passed]),
            ),
            (&flat, &["user_id", "anonymous_ids", "computed.x"], Ok(vec![UserId, Trait, Trait])),
            (&flat, &["user_id", "traits.plan", "plan"], Err("call it `traits.plan`")),
            (&flat, &["id", "plan"], Err("there is no column `user_id`")),
            (&other, &["id", "plan"], Err("there is no column `at`")),
            (&flat, &["user_id", "plan", "plan"], Err("there are two columns `plan`")),
            (&flat, &["user_id", ""], Err("a column has no name")),
            (&flat, &[], Err("there is no column `user_id`")),
        ];
        for (options, columns, want) in cases {
            let columns: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
            match (roles(&columns, options), want) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{columns:?}"),
                (Err(got), Err(part)) => assert!(got.contains(part), "{got:?} about {columns:?}"),
                (got, want) => panic!("{columns:?} is {got:?}, not {want:?}"),
            }
        }
    }

    #[test]
    fn a_person_is_put_together_from_columns() {
        let json = |json: &'static str| Given::Json(Cow::Borrowed(json));
        let text = |text: &'static str| Given::Text(Cow::Borrowed(text));
        let mut draft = Draft::default();
        for (role, name, given) in [
            (Role::UserId, "user_id", json("9007199254740993")),
            (Role::AnonymousId, "anonymous_id", text("")),
            (Role::Time, "at", text("2026-11-20")),
            (Role::Traits, "traits", json(r#"{"big":1e400, "a\"b":[1]}"#)),
            (Role::Named, "traits.plan", text("pro \"x\"")),
            (Role::Named, "traits.big", Given::Null),
            (Role::Passed, "email", json("{}")),
        ] {
            draft.take(role, name, given).expect("taken");
        }
        let person = draft.person(7);
        assert_eq!((person.place, person.user_id.as_deref()), (7, Some("9007199254740993")));
        assert_eq!((person.anonymous_id, person.time.as_deref()), (None, Some("2026-11-20")));
        assert_eq!(person.traits, r#"{"big":1e400,"a\"b":[1],"plan":"pro \"x\""}"#);

        let mut flat = Draft::default();
        flat.take(Role::Trait, "traits.x", Given::Null).expect("taken");
        assert_eq!(flat.person(1).traits, r#"{"traits.x":null}"#);
        assert_eq!(Draft::default().person(1).traits, "{}");
    }

    #[test]
    fn who_has_no_user_id_is_named_by_the_first_anonymous_id() {
        let named = |user: &'static str, own: &'static str, ids: Given<'_>| {
            let mut draft = Draft::default();
            let text = |text| Given::Text(Cow::Borrowed(text));
            draft.take(Role::UserId, "user_id", text(user)).expect("taken");
            draft.take(Role::AnonymousId, "anonymous_id", text(own)).expect("taken");
            draft.take(Role::AnonymousIds, "anonymous_ids", ids).expect("taken");
            draft.person(1).anonymous_id
        };
        let ids = |json: &'static str| Given::Json(Cow::Borrowed(json));
        assert_eq!(named("", "", ids(r#"["","a1","a2"]"#)).as_deref(), Some("a1"));
        assert_eq!(named("", "", Given::Text(Cow::Borrowed(r#"["a1"]"#))).as_deref(), Some("a1"));
        assert_eq!(named("", "a0", ids(r#"["a1"]"#)).as_deref(), Some("a0"));
        assert_eq!(named("u1", "", ids(r#"["a1"]"#)), None);
        for nobody in [Given::Null, ids("[]"), ids("7"), Given::Text(Cow::Borrowed("a1;a2"))] {
            assert_eq!(named("", "", nobody), None);
        }
    }

    #[test]
    fn values_of_another_kind_are_refused_by_name() {
        let json = |json: &'static str| Given::Json(Cow::Borrowed(json));
        let cases = [
            (Role::UserId, "1.5", "`x` is neither a text nor a whole number"),
            (Role::UserId, "true", "`x` is neither a text nor a whole number"),
            (Role::Time, "{}", "`x` is neither a text nor a whole number"),
            (Role::Traits, "[1]", "`x` is no JSON object"),
            (Role::Traits, "7", "`x` is no JSON object"),
        ];
        for (role, value, want) in cases {
            let refused = Draft::default().take(role, "x", json(value));
            assert_eq!(refused, Err(want.to_owned()), "{role:?} {value}");
        }
    }
}
