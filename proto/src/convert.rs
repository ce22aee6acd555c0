//! From gRPC to the form that the pipeline takes: an event as the JSON object that it is over HTTP. And from the model
//! to gRPC: times and identifiers.
//!
//! What the client sent as JSON (`properties`, `traits`, `context`, `integrations`) is put in byte for byte; it is
//! read only to see that it is one JSON value, so that nothing in it can reach the members around it. What
//! the members must be is not decided here.

use crate::grpc::v1::{Event, EventType, Identifier};
use prost_types::Timestamp;
use serde::de::IgnoredAny;
use std::fmt;
use tributary_model::EventKind;

/// The seconds of the times that RFC 3339 can name: the years 1 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
const NANOS: std::ops::Range<i32> = 0..1_000_000_000;

/// What is wrong with a member, whatever else may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// A member of JSON bytes that are not UTF-8.
    #[error("not valid UTF-8")]
    NotUtf8,
    /// A member of JSON bytes that are not one JSON value.
    #[error("not JSON")]
    NotJson,
    /// A time that no RFC 3339 text can name.
    #[error("not a time from year 1 to year 9999 with 0 to 999999999 nanoseconds")]
    NotATime,
}

/// An event that is no JSON object.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is {flaw}", .pointer.trim_start_matches('/'))]
pub struct Unconvertible {
    /// JSON pointer to the first member that is at fault.
    pub pointer: &'static str,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// The event as the object would have been, with the bytes that are at fault where they would stand.
    pub original: Vec<u8>,
}

impl fmt::Debug for Unconvertible {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Unconvertible({} {:?} {} bytes)", self.pointer, self.flaw, self.original.len())
    }
}

/// The event as the tracking API has it over HTTP. `message_id` stands for its own, which may be empty. What is
/// empty is left out.
///
/// # Errors
/// If a time can't be named, or bytes that have to be JSON are not.
pub fn event_to_json(event: &Event, message_id: &str) -> Result<String, Unconvertible> {
    let mut object = Object::new(event);
    match EventType::try_from(event.r#type) {
        Ok(EventType::Unspecified) => {}
        Ok(EventType::Identify) => object.text("type", EventKind::Identify.name()),
        Ok(EventType::Track) => object.text("type", EventKind::Track.name()),
        Ok(EventType::Page) => object.text("type", EventKind::Page.name()),
        Ok(EventType::Screen) => object.text("type", EventKind::Screen.name()),
        Ok(EventType::Group) => object.text("type", EventKind::Group.name()),
        Ok(EventType::Alias) => object.text("type", EventKind::Alias.name()),
        // A number that names no call; it is refused like a name that does not.
        Err(_) => object.text("type", &event.r#type.to_string()),
    }
    object.text("messageId", message_id);
    object.text("userId", &event.user_id);
    object.text("anonymousId", &event.anonymous_id);
    object.text("event", &event.event);
    object.text("name", &event.name);
    object.text("category", &event.category);
    object.text("groupId", &event.group_id);
    object.text("previousId", &event.previous_id);
    object.time("/timestamp", event.timestamp.as_ref());
    object.time("/sentAt", event.sent_at.as_ref());
    object.json("/properties", &event.properties);
    object.json("/traits", &event.traits);
    object.json("/context", &event.context);
    object.json("/integrations", &event.integrations);
    object.finish()
}

/// A time as gRPC has it.
pub fn time_of(at: tributary_model::Timestamp) -> Timestamp {
    const MICROS: i64 = 1_000_000;
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(MICROS) * 1000).expect("less than a second of nanoseconds");
    Timestamp { seconds: micros.div_euclid(MICROS), nanos }
}

/// How many bytes a profile has in an answer.
pub fn profile_bytes(profile: &crate::grpc::v1::Profile) -> usize {
    prost::Message::encoded_len(profile)
}

/// An identifier as gRPC has it.
pub fn identifier_of(identifier: &tributary_model::Identifier) -> Identifier {
    Identifier { namespace: identifier.namespace().as_str().to_owned(), value: identifier.value().to_owned() }
}

/// A time as RFC 3339 text, with as many digits as it has.
///
/// # Errors
/// If no such text can name it.
pub fn time_to_text(time: &Timestamp) -> Result<String, Flaw> {
    if SECONDS.contains(&time.seconds) && NANOS.contains(&time.nanos) {
        Ok(time.to_string())
    } else {
        Err(Flaw::NotATime)
    }
}

/// The bytes as text, if they are one JSON value.
///
/// # Errors
/// If they are not.
pub fn json_text(bytes: &[u8]) -> Result<&str, Flaw> {
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::NotUtf8)?;
    match serde_json::from_str::<IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(_) => Err(Flaw::NotJson),
    }
}

/// An object that is being written.
struct Object {
    bytes: Vec<u8>,
    flaw: Option<(&'static str, Flaw)>,
}

impl Object {
    fn new(event: &Event) -> Self {
        const NAMES_AND_IDS_BYTES: usize = 320;
        let json =
            event.properties.len() + event.traits.len() + event.context.len() + event.integrations.len();
        let mut bytes = Vec::with_capacity(NAMES_AND_IDS_BYTES + json);
        bytes.push(b'{');
        Self { bytes, flaw: None }
    }

    fn name(&mut self, name: &str) {
        if self.bytes.len() > 1 {
            self.bytes.push(b',');
        }
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.extend_from_slice(b"\":");
    }

    fn text(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.name(name);
            serde_json::to_writer(&mut self.bytes, value).expect("a text can be written as JSON");
        }
    }

    fn time(&mut self, pointer: &'static str, value: Option<&Timestamp>) {
        let Some(value) = value else { return };
        match time_to_text(value) {
            Ok(text) => self.text(&pointer[1..], &text),
            Err(flaw) => {
                self.blame(pointer, flaw);
                self.name(&pointer[1..]);
                let parts = format!("{{\"seconds\":{},\"nanos\":{}}}", value.seconds, value.nanos);
                self.bytes.extend_from_slice(parts.as_bytes());
            }
        }
    }

    fn json(&mut self, pointer: &'static str, value: &[u8]) {
        if value.is_empty() {
            return;
        }
        if let Err(flaw) = json_text(value) {
            self.blame(pointer, flaw);
        }
        self.name(&pointer[1..]);
        self.bytes.extend_from_slice(value);
    }

    fn blame(&mut self, pointer: &'static str, flaw: Flaw) {
        self.flaw.get_or_insert((pointer, flaw));
    }

    fn finish(mut self) -> Result<String, Unconvertible> {
        self.bytes.push(b'}');
        match self.flaw {
            None => Ok(String::from_utf8(self.bytes).expect("every part was text")),
            Some((pointer, flaw)) => Err(Unconvertible { pointer, flaw, original: self.bytes }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;
    use tributary_model::json::Members;

    fn track() -> Event {
        Event { r#type: EventType::Track.into(), user_id: "u".to_owned(), ..Event::default() }
    }

    #[test]
    fn what_is_there_becomes_a_member_and_what_is_empty_does_not() {
        assert_eq!(event_to_json(&Event::default(), "").expect("convertible"), "{}");
        let event = Event {
            r#type: EventType::Page.into(),
            message_id: "its own".to_owned(),
            anonymous_id: "a\"b\\\n".to_owned(),
            name: "Home".to_owned(),
            category: "é".to_owned(),
            timestamp: Some(Timestamp { seconds: 1_763_632_800, nanos: 120_000_000 }),
            properties: br#" {"n": 12345678901234567890123.10, "half":"\ud83d"}"#.to_vec(),
            context: b"null".to_vec(),
            ..Event::default()
        };
        let want = r#"{"type":"page","messageId":"m","anonymousId":"a\"b\\\n","name":"Home","category":"é","timestamp":"2025-11-20T10:00:00.120Z","properties": {"n": 12345678901234567890123.10, "half":"\ud83d"},"context":null}"#;
        assert_eq!(event_to_json(&event, "m").expect("convertible"), want);
        let unknown = Event { r#type: 99, ..Event::default() };
        assert_eq!(event_to_json(&unknown, "").expect("convertible"), r#"{"type":"99"}"#);
    }

    #[test]
    fn times_keep_their_digits_or_are_refused() {
        let cases = [
            (0, 0, Some("1970-01-01T00:00:00Z")),
            (-1, 999_999_999, Some("1969-12-31T23:59:59.999999999Z")),
            (1_763_632_800, 1_000, Some("2025-11-20T10:00:00.000001Z")),
            (*SECONDS.start(), 0, Some("0001-01-01T00:00:00Z")),
            (*SECONDS.end(), 999_999_999, Some("9999-12-31T23:59:59.999999999Z")),
            (SECONDS.start() - 1, 0, None),
            (SECONDS.end() + 1, 0, None),
            (0, -1, None),
            (0, 1_000_000_000, None),
            (i64::MIN, i32::MIN, None),
        ];
        for (seconds, nanos, want) in cases {
            let got = time_to_text(&Timestamp { seconds, nanos });
            assert_eq!(got.ok().as_deref(), want, "{seconds} {nanos}");
        }
        let event = Event { timestamp: Some(Timestamp { seconds: i64::MAX, nanos: 5 }), ..track() };
        let why = event_to_json(&event, "").expect_err("no such time");
        assert_eq!((why.pointer, why.flaw), ("/timestamp", Flaw::NotATime));
        assert!(why.to_string().starts_with("`timestamp` is not a time"), "{why}");
        let kept = r#"{"type":"track","userId":"u","timestamp":{"seconds":9223372036854775807,"nanos":5}}"#;
        assert_eq!(why.original, kept.as_bytes());
    }

    #[test]
    fn times_of_the_model_keep_their_microseconds() {
        for (micros, seconds, nanos) in [
            (0, 0, 0),
            (1, 0, 1000),
            (-1, -1, 999_999_000),
            (1_790_000_000_123_456, 1_790_000_000, 123_456_000),
        ] {
            let want = Timestamp { seconds, nanos };
            assert_eq!(time_of(tributary_model::Timestamp::from_micros(micros)), want, "{micros}");
        }
    }

    #[test]
    fn bytes_that_are_not_one_json_value_never_reach_the_members_around_them() {
        let cases: [(&[u8], Flaw); 9] = [
            (b"\xff", Flaw::NotUtf8),
            (b"{\"a\":\"\xff\"}", Flaw::NotUtf8),
            (b"{", Flaw::NotJson),
            (b"{},\"userId\":\"other\"", Flaw::NotJson),
            (b"{} {}", Flaw::NotJson),
            (b"{'a':1}", Flaw::NotJson),
            (b"nothing", Flaw::NotJson),
            (b" ", Flaw::NotJson),
            (b"\xef\xbb\xbf{}", Flaw::NotJson),
        ];
        for (bytes, flaw) in cases {
            let event = Event { traits: bytes.to_vec(), integrations: b"}".to_vec(), ..track() };
            let why = event_to_json(&event, "m").expect_err("not JSON");
            assert_eq!((why.pointer, why.flaw), ("/traits", flaw), "{bytes:?}");
            let want: [&[u8]; 3] = [
                br#"{"type":"track","messageId":"m","userId":"u","traits":"#,
                bytes,
                br#","integrations":}}"#,
            ];
            assert_eq!(why.original, want.concat(), "{bytes:?}");
        }
        // What is JSON but no object is for the check of shapes to refuse.
        let event = Event { traits: b"[1]".to_vec(), ..track() };
        assert!(event_to_json(&event, "").is_ok());
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(event_to_json(&Event { traits: deep.into_bytes(), ..track() }, "").is_ok());
    }

    fn json() -> impl Strategy<Value = String> {
        let number = r"-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?";
        let leaf = prop_oneof![
            Just("null".to_owned()),
            number,
            any::<String>().prop_map(|text| serde_json::to_string(&text).expect("text")),
        ];
        (any::<String>(), leaf, "[ \t\r\n]{0,3}").prop_map(|(name, value, space)| {
            let name = serde_json::to_string(&name).expect("text");
            format!("{space}{{{space}{name}:{space}[{value}{space}]}}{space}")
        })
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_read_back(
            texts in prop::array::uniform8(any::<String>()),
            objects in prop::array::uniform4(prop::option::of(json())),
            times in prop::array::uniform2(prop::option::of((SECONDS, NANOS))),
            kind in 0i32..=6,
        ) {
            let [message_id, user_id, anonymous_id, event, name, category, group_id, previous_id] = texts;
            let time = |time: Option<(i64, i32)>| time.map(|(seconds, nanos)| Timestamp { seconds, nanos });
            let bytes = |object: &Option<String>| object.clone().unwrap_or_default().into_bytes();
            let event = Event {
                r#type: kind,
                message_id, user_id, anonymous_id, event, name, category, group_id, previous_id,
                timestamp: time(times[0]),
                sent_at: time(times[1]),
                properties: bytes(&objects[0]),
                traits: bytes(&objects[1]),
                context: bytes(&objects[2]),
                integrations: bytes(&objects[3]),
            };
            let text = event_to_json(&event, &event.message_id).expect("convertible");
            let members = Members::parse(&text).expect("an object");
            let texts = [
                ("messageId", &event.message_id),
                ("userId", &event.user_id),
                ("anonymousId", &event.anonymous_id),
                ("event", &event.event),
                ("name", &event.name),
                ("category", &event.category),
                ("groupId", &event.group_id),
                ("previousId", &event.previous_id),
            ];
            for (name, want) in texts {
                let got = members.text(name).unwrap_or_default();
                prop_assert_eq!(&*got, want.as_str(), "{}", name);
            }
            let names = ["properties", "traits", "context", "integrations"];
            for (name, want) in names.into_iter().zip(&objects) {
                let want = want.as_deref().map(|text| text.trim_matches([' ', '\t', '\r', '\n']));
                prop_assert_eq!(members.get(name).map(RawValue::get), want, "{}", name);
            }
            for (name, want) in [("timestamp", event.timestamp), ("sentAt", event.sent_at)] {
                let got = members.text(name).map(|text| text.parse::<Timestamp>().expect("a time"));
                prop_assert_eq!(got, want, "{}", name);
            }
            let kind = EventType::try_from(kind).expect("a known number");
            let kinds = ["", "identify", "track", "page", "screen", "group", "alias"];
            let want = kinds[usize::try_from(i32::from(kind)).expect("not negative")];
            let got = members.text("type").unwrap_or_default();
            prop_assert_eq!(&*got, want);
        }
    }
}
