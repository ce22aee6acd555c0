//! A row as an event.

use super::identity::message_id;
use crate::bulk::read::Person;
use serde::Serialize;
use serde_json::value::RawValue;
use tributary_ingest::IngestLimits;
use tributary_model::Timestamp;
use tributary_model::json::Members;
use tributary_model::json::depth;

/// Makes events of rows.
pub(super) struct Drafting {
    import: String,
    time_column: Option<String>,
    limits: IngestLimits,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Identify<'a> {
    r#type: &'a str,
    message_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<String>,
    traits: &'a RawValue,
}

impl Drafting {
    /// For an import of this name, whose rows say in this column when they were true.
    pub(super) fn new(import: String, time_column: Option<String>) -> Self {
        Self { import, time_column, limits: IngestLimits::default() }
    }

    /// The event of a row, as JSON.
    ///
    /// # Errors
    /// Why the collector would set it aside, by the limits that it has unless others are configured.
    pub(super) fn event(&self, person: &Person) -> Result<String, String> {
        let limits = &self.limits;
        for (what, id) in [("user id", &person.user_id), ("anonymous id", &person.anonymous_id)] {
            let max = limits.identifier_bytes_max;
            if id.as_ref().is_some_and(|id| id.len() > max) {
                return Err(format!("the {what} has more than {max} bytes"));
            }
        }
        if person.user_id.is_none() && person.anonymous_id.is_none() {
            return Err("there is neither a user id nor an anonymous id".to_owned());
        }
        let traits: &RawValue =
            serde_json::from_str(&person.traits).map_err(|_| "the traits are no JSON".to_owned())?;
        let count = Members::parse(&person.traits).map_or(0, |members| members.len());
        if count > limits.properties_max {
            return Err(format!("there are {count} traits; the limit is {}", limits.properties_max));
        }
        // The event is around the traits.
        if depth(person.traits.as_bytes()) >= limits.depth_max {
            return Err(format!("the traits are nested deeper than {}", limits.depth_max - 1));
        }
        let event = Identify {
            r#type: "identify",
            message_id: message_id(&self.import, person.place),
            user_id: person.user_id.as_deref(),
            anonymous_id: person.anonymous_id.as_deref(),
            timestamp: self.timestamp(person)?,
            traits,
        };
        let event = serde_json::to_string(&event).map_err(|_| "the row can't be written".to_owned())?;
        match event.len() <= limits.event_bytes_max {
            true => Ok(event),
            false => Err(format!("the event has more than {} bytes", limits.event_bytes_max)),
        }
    }

    fn timestamp(&self, person: &Person) -> Result<Option<String>, String> {
        let Some(column) = &self.time_column else { return Ok(None) };
        let missing = || format!("`{column}` is no time such as 2026-11-20T10:00:00Z");
        let at = person.time.as_deref().and_then(Timestamp::parse).ok_or_else(missing)?;
        Ok(Some(at.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn person(user_id: Option<&str>, time: Option<&str>, traits: &str) -> Person {
        Person {
            place: 7,
            user_id: user_id.map(str::to_owned),
            anonymous_id: None,
            time: time.map(str::to_owned),
            traits: traits.to_owned(),
        }
    }

    #[test]
    fn a_row_becomes_an_identify_call() {
        let timed = Drafting::new("abc".to_owned(), Some("at".to_owned()));
        let plain = Drafting::new("abc".to_owned(), None);
        let row = person(Some("u\"1"), Some("2026-11-20 10:00:00+02:00"), r#"{"n":9007199254740993}"#);
        let event: Value = serde_json::from_str(&plain.event(&row).expect("an event")).expect("JSON");
        let mut want = json!({"type": "identify", "messageId": "imp-abc-7", "userId": "u\"1",
            "traits": {"n": 9_007_199_254_740_993_u64}});
        assert_eq!(event, want);
        let event: Value = serde_json::from_str(&timed.event(&row).expect("an event")).expect("JSON");
        want["timestamp"] = json!("2026-11-20T08:00:00.000Z");
        assert_eq!(event, want);
        let anonymous = Person { anonymous_id: Some("a1".to_owned()), ..person(None, None, "{}") };
        let event = plain.event(&anonymous).expect("an event");
        assert!(event.contains(r#""anonymousId":"a1""#) && !event.contains("userId"), "{event}");
    }

    #[test]
    fn what_the_collector_would_set_aside_is_told_before() {
        let drafting = Drafting::new("abc".to_owned(), Some("at".to_owned()));
        let at = Some("2026-11-20T10:00:00Z");
        let many: Vec<String> = (0..1001).map(|number| format!("\"t{number}\":1")).collect();
        let many = format!("{{{}}}", many.join(","));
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(63), "]".repeat(63));
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        let long = "u".repeat(513);
        let cases = [
            (person(None, at, "{}"), "neither a user id"),
            (person(Some(&long), at, "{}"), "the user id has more than 512 bytes"),
            (person(Some("u1"), None, "{}"), "`at` is no time"),
            (person(Some("u1"), Some("soon"), "{}"), "`at` is no time"),
            (person(Some("u1"), at, &many), "there are 1001 traits"),
            (person(Some("u1"), at, &deep), "nested deeper than 63"),
            (person(Some("u1"), at, &large), "the event has more than 1048576 bytes"),
        ];
        for (person, part) in cases {
            let refused = drafting.event(&person).expect_err("refused");
            assert!(refused.contains(part), "{refused:?}, not {part:?}");
        }
    }
}
