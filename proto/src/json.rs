//! HTTP bodies of the tracking API: a batch or a single event in, an answer out.
//!
//! A body is read one level deep. Its parts keep the bytes that the client sent; no number is converted and
//! no depth of nesting can exhaust the stack. What an event must look like is not decided here.

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;
use tributary_model::json::{Members, as_text};
use tributary_model::{ErrorCode, Position};

/// The body of every success answer: exactly what the SDKs expect.
pub const SUCCESS: &str = r#"{"success":true}"#;

/// The body of a success answer to a client that asked for the position of its last event. `None`: every event of it was
/// set aside, so there is nothing to wait for.
pub fn success_at(position: Option<Position>) -> String {
    match position {
        Some(position) => format!(r#"{{"success":true,"position":"{position}"}}"#),
        None => r#"{"success":true,"position":null}"#.to_owned(),
    }
}

/// Why a body cannot be taken apart.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// Not UTF-8.
    #[error("the body is not valid UTF-8")]
    NotUtf8(#[from] std::str::Utf8Error),
    /// Not JSON, or JSON but no object.
    #[error("the body is not a JSON object: {0}")]
    NotAnObject(#[from] serde_json::Error),
    /// A batch body without its events.
    #[error("the body has no member `batch`; send {{\"batch\":[…]}}")]
    NoBatch,
    /// `batch` is something else than an array.
    #[error("the member `batch` is not an array; send {{\"batch\":[…]}}")]
    BatchNotAnArray,
}

/// The body of a single-event call: the event itself.
#[derive(Debug)]
pub struct Single<'a> {
    /// The event's text, without white space around it.
    pub text: &'a str,
    /// Its members.
    pub members: Members<'a>,
}

impl<'a> Single<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// If it is no JSON object.
    pub fn parse(body: &'a str) -> Result<Self, BodyError> {
        let text = body.trim_matches([' ', '\t', '\n', '\r']);
        Ok(Self { text, members: Members::parse(text)? })
    }

    /// The write key in the body, if it is text.
    pub fn write_key(&self) -> Option<Cow<'a, str>> {
        self.members.text("writeKey")
    }
}

/// The body of a batch call: an envelope around events.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The events in order, each as the text the client sent; at most the number asked for.
    pub events: Vec<&'a RawValue>,
    /// How many events there are, those left out included.
    pub len: usize,
    /// The write key in the body, if it is text.
    pub write_key: Option<Cow<'a, str>>,
    /// `sentAt`: the default for events without one.
    pub sent_at: Option<&'a RawValue>,
    /// `context`: defaults for each event.
    pub context: Option<&'a RawValue>,
    /// `integrations`: defaults for each event.
    pub integrations: Option<&'a RawValue>,
}

impl<'a> Batch<'a> {
    /// Reads a body. Past `events_max` events are counted, but not kept.
    ///
    /// # Errors
    /// If it is no JSON object with an array `batch`.
    pub fn parse(body: &'a str, events_max: usize) -> Result<Self, BodyError> {
        let mut parser = serde_json::Deserializer::from_str(body);
        let envelope = parser.deserialize_map(EnvelopeVisitor { events_max })?;
        parser.end()?;
        match envelope.events {
            Some(Events::Array { events, len }) => Ok(Batch {
                events,
                len,
                write_key: envelope.write_key.and_then(as_text),
                sent_at: envelope.sent_at,
                context: envelope.context,
                integrations: envelope.integrations,
            }),
            Some(Events::NotAnArray) => Err(BodyError::BatchNotAnArray),
            None => Err(BodyError::NoBatch),
        }
    }
}

/// The body of every error answer of the tracking API. SDKs need both members: without `code` some take a
/// refusal for a network failure and send it again.
pub fn error_body(code: ErrorCode, message: &str) -> String {
    serde_json::json!({ "code": code.name(), "message": message }).to_string()
}

#[derive(Default)]
struct Envelope<'a> {
    events: Option<Events<'a>>,
    write_key: Option<&'a RawValue>,
    sent_at: Option<&'a RawValue>,
    context: Option<&'a RawValue>,
    integrations: Option<&'a RawValue>,
}

enum Events<'a> {
    Array { events: Vec<&'a RawValue>, len: usize },
    NotAnArray,
}

struct EnvelopeVisitor {
    events_max: usize,
}

impl<'de> Visitor<'de> for EnvelopeVisitor {
    type Value = Envelope<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut envelope = Envelope::default();
        while let Some(Name(name)) = map.next_key()? {
            match &*name {
                "batch" => envelope.events = Some(map.next_value_seed(EventsSeed(self.events_max))?),
                "writeKey" => envelope.write_key = Some(map.next_value()?),
                "sentAt" => envelope.sent_at = Some(map.next_value()?),
                "context" => envelope.context = Some(map.next_value()?),
                "integrations" => envelope.integrations = Some(map.next_value()?),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(envelope)
    }
}

/// A member name, borrowed unless it holds escapes.
struct Name<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Name(Cow::Owned(text.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

/// Reads the value of `batch`, with the number of events to keep.
struct EventsSeed(usize);

impl<'de> DeserializeSeed<'de> for EventsSeed {
    type Value = Events<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EventsSeed {
    type Value = Events<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an array of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while events.len() < self.0 {
            match seq.next_element::<&'de RawValue>()? {
                Some(event) => events.push(event),
                None => return Ok(Events::Array { len: events.len(), events }),
            }
        }
        let mut len = events.len();
        while seq.next_element::<IgnoredAny>()?.is_some() {
            len += 1;
        }
        Ok(Events::Array { events, len })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Events::NotAnArray)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Events::NotAnArray)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_batch_keeps_the_bytes_of_its_events() {
        let body = r#" {"x":[[{}]],"batch":[{"a": 1.0e2}, 7 ,null],"sentAt":"t","writeKey":"k\u0065y","context":{"a":1},"integrations":null} "#;
        let batch = Batch::parse(body, 10).expect("a batch");
        let events: Vec<_> = batch.events.iter().map(|event| event.get()).collect();
        assert_eq!(events, [r#"{"a": 1.0e2}"#, "7", "null"]);
        assert_eq!(batch.len, 3);
        assert_eq!(batch.write_key.as_deref(), Some("key"));
        assert_eq!(batch.sent_at.map(RawValue::get), Some("\"t\""));
        assert_eq!(batch.context.map(RawValue::get), Some(r#"{"a":1}"#));
        assert_eq!(batch.integrations.map(RawValue::get), Some("null"));
        let few = Batch::parse(body, 2).expect("a batch");
        assert_eq!((few.events.len(), few.len), (2, 3));
    }

    #[test]
    fn bodies_that_are_no_batch() {
        let cases = [
            ("", "not a JSON object"),
            ("[]", "not a JSON object"),
            ("null", "not a JSON object"),
            ("{\"batch\":[]} x", "not a JSON object"),
            ("{\"batch\":[{]}", "not a JSON object"),
            ("{\"batch\":[],", "not a JSON object"),
            ("{}", "no member `batch`"),
            ("{\"batch\":null}", "not an array"),
            ("{\"batch\":{\"a\":[1]}}", "not an array"),
            ("{\"batch\":\"x\"}", "not an array"),
            ("{\"batch\":-1}", "not an array"),
            ("{\"batch\":1.5}", "not an array"),
            ("{\"batch\":true}", "not an array"),
        ];
        for (body, want) in cases {
            let why = Batch::parse(body, 10).expect_err(body).to_string();
            assert!(why.contains(want), "{body}: {why}");
        }
    }

    #[test]
    fn deep_nesting_needs_no_stack() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let body = format!(r#"{{"x":{deep},"batch":[{deep}]}}"#);
        assert_eq!(Batch::parse(&body, 10).expect("a batch").len, 1);
        assert_eq!(Batch::parse(&body, 0).expect("a batch").len, 1);
        assert!(Single::parse(&body).is_ok());
        assert!(Batch::parse(&"[".repeat(100_000), 10).is_err());
        assert!(Batch::parse(&format!(r#"{{"batch":{{"a":{deep}}}}}"#), 10).is_err());
    }

    #[test]
    fn a_position_is_told_as_text() {
        let cases = [
            (Some(Position::at(1234)), r#"{"success":true,"position":"0.1234"}"#),
            (None, r#"{"success":true,"position":null}"#),
        ];
        for (position, want) in cases {
            assert_eq!(success_at(position), want);
        }
    }

    #[test]
    fn errors_have_code_and_message() {
        assert_eq!(
            error_body(ErrorCode::Unauthenticated, "say \"who\""),
            r#"{"code":"unauthenticated","message":"say \"who\""}"#
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(body in r#"[\[\]{}":,a-c\\u0-9 ]{0,40}"#) {
            let _ = Batch::parse(&body, 2);
            let _ = Single::parse(&body);
        }
    }
}
