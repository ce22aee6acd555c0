use super::*;
use crate::testing::{hash_key, now, source};
use proptest::prelude::*;
use serde_json::Value;
use tributary_model::{EventKind, Identifier, Namespace, SourceId, WorkspaceId};

fn run(
    event: &str,
    path: PathKind,
    defaults: Defaults<'_>,
    limits: &IngestLimits,
) -> Result<AcceptedEvent, Problem> {
    let source = source();
    let arrival = Arrival {
        source: &source,
        path,
        received_at: now(),
        received_at_json: quoted(&now().to_string()),
        defaults,
        limits,
        hash_key: &hash_key(),
    };
    check_size(event, limits)?;
    let members = Members::parse(event).expect("an object");
    normalize(event, members, Marks::default(), &arrival)
}

fn accept(event: &str) -> AcceptedEvent {
    run(event, PathKind::Open, Defaults::default(), &IngestLimits::default()).expect(event)
}

fn payload(event: &AcceptedEvent) -> String {
    String::from_utf8(event.payload.to_vec()).expect("UTF-8")
}

const RECEIVED: &str = r#""receivedAt":"2026-11-20T10:00:00.250Z""#;

/// (what, event, stored payload, marks); `@R` stands for the member `receivedAt`.
#[test]
fn stored_payloads() {
    let (corrected, future, unreadable) = (Marks::CORRECTED_TIME, Marks::FUTURE_TIME, Marks::UNREADABLE_TIME);
    let none = Marks::default();
    let cases = [
        (
            "nothing to fill in but the arrival",
            r#"{"type":"page","messageId":"m","userId":"u","timestamp":"2026-11-20T09:59:58.1234567Z","x":1.50}"#,
            r#"{"type":"page","messageId":"m","userId":"u","timestamp":"2026-11-20T09:59:58.1234567Z","x":1.50,@R}"#,
            none,
        ),
        (
            "white space, escapes, digits and repeated names stay",
            "{ \"type\" : \"page\",\"messageId\":\"m\",\"userId\":\"\\u0075\",\"timestamp\":\"2026-11-20T09:00:00Z\",\"a\":9007199254740993,\"a\":1e400,\"\\u0000\":\"\\u0000\"\n}",
            "{ \"type\" : \"page\",\"messageId\":\"m\",\"userId\":\"\\u0075\",\"timestamp\":\"2026-11-20T09:00:00Z\",\"a\":9007199254740993,\"a\":1e400,\"\\u0000\":\"\\u0000\"\n,@R}",
            none,
        ),
        (
            "no time",
            r#"{"type":"page","messageId":"m","userId":"u"}"#,
            r#"{"type":"page","messageId":"m","userId":"u","timestamp":"2026-11-20T10:00:00.250Z",@R}"#,
            none,
        ),
        (
            "empty members are filled in where they stand",
            r#"{"timestamp":null,"type":"page","messageId":"m","userId":"u","receivedAt":5}"#,
            r#"{"timestamp":"2026-11-20T10:00:00.250Z","type":"page","messageId":"m","userId":"u","receivedAt":"2026-11-20T10:00:00.250Z"}"#,
            none,
        ),
        (
            "original time only",
            r#"{"type":"page","messageId":"m","userId":"u","originalTimestamp":"2026-11-20T11:59:00+02:00"}"#,
            r#"{"type":"page","messageId":"m","userId":"u","originalTimestamp":"2026-11-20T11:59:00+02:00","timestamp":"2026-11-20T09:59:00.000Z",@R}"#,
            none,
        ),
        (
            "a clock an hour ahead",
            r#"{"timestamp":"2026-11-20T10:59:00Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z"}"#,
            r#"{"timestamp":"2026-11-20T09:59:00.250Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z","originalTimestamp":"2026-11-20T10:59:00Z",@R}"#,
            corrected,
        ),
        (
            "corrected, with an original time of its own",
            r#"{"timestamp":"2026-11-20T10:59:00Z","originalTimestamp":"2026-11-20T11:00:00Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z"}"#,
            r#"{"timestamp":"2026-11-20T09:59:00.250Z","originalTimestamp":"2026-11-20T10:59:00Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z",@R}"#,
            corrected,
        ),
        (
            "corrected original time",
            r#"{"originalTimestamp":"2026-11-20T10:59:00Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z"}"#,
            r#"{"originalTimestamp":"2026-11-20T10:59:00Z","type":"page","messageId":"m","userId":"u","sentAt":"2026-11-20T11:00:00Z","timestamp":"2026-11-20T09:59:00.250Z",@R}"#,
            corrected,
        ),
        (
            "the future",
            r#"{"timestamp":"2999-01-01T00:00:00Z","type":"page","messageId":"m","userId":"u"}"#,
            r#"{"timestamp":"2026-11-20T10:00:00.250Z","type":"page","messageId":"m","userId":"u","originalTimestamp":"2999-01-01T00:00:00Z",@R}"#,
            future,
        ),
        (
            "unreadable",
            r#"{"timestamp":"yesterday","type":"page","messageId":"m","userId":"u","sentAt":"?"}"#,
            r#"{"timestamp":"2026-11-20T10:00:00.250Z","type":"page","messageId":"m","userId":"u","sentAt":"?","originalTimestamp":"yesterday",@R}"#,
            unreadable,
        ),
    ];
    for (name, event, want, marks) in cases {
        let accepted = accept(event);
        assert_eq!(payload(&accepted), want.replace("@R", RECEIVED), "{name}");
        assert_eq!(accepted.marks, marks, "{name}");
        assert!(EventView::parse(&accepted.payload).is_ok(), "{name}");
    }
}

#[test]
fn a_message_id_is_made_where_there_is_none() {
    for event in [
        r#"{"type":"page","userId":"u"}"#,
        r#"{"type":"page","userId":"u","messageId":null}"#,
        r#"{"type":"page","userId":"u","messageId":""}"#,
    ] {
        let (one, two) = (accept(event), accept(event));
        assert_ne!(one.message_id, two.message_id);
        let stored: Value = serde_json::from_slice(&one.payload).expect("JSON");
        assert_eq!(stored["messageId"], one.message_id.as_str());
        assert_eq!(payload(&one).matches("messageId").count(), 1);
        let id = uuid::Uuid::parse_str(one.message_id.as_str()).expect("a UUID");
        assert_eq!(id.get_version_num(), 4);
    }
}

/// (what, event, what would be stored or a part of why not)
#[test]
fn what_would_be_stored_is_what_is_stored() {
    let limits = IngestLimits { event_bytes_max: 400, ..IngestLimits::default() };
    let deep = format!(r#"{{"type":"page","userId":"u","x":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let large = "x".repeat(401);
    let cases = [
        (
            "what is missing is filled in",
            " {\"type\":\"page\",\"userId\":\"u\",\"x\":9007199254740993.10}\n",
            Ok(
                r#"{"type":"page","userId":"u","x":9007199254740993.10,"messageId":"a \"b\"","timestamp":"2026-11-20T10:00:00.250Z",@R}"#,
            ),
        ),
        (
            "its own id and times",
            r#"{"type":"page","userId":"u","messageId":"m","timestamp":"2026-11-20T10:59:00Z","sentAt":"2026-11-20T11:00:00Z"}"#,
            Ok(
                r#"{"type":"page","userId":"u","messageId":"m","timestamp":"2026-11-20T09:59:00.250Z","sentAt":"2026-11-20T11:00:00Z","originalTimestamp":"2026-11-20T10:59:00Z",@R}"#,
            ),
        ),
        (
            "half a character",
            r#"{"type":"page","userId":"u","messageId":"m","timestamp":"2026-11-20T09:00:00Z","x":"\ud83d"}"#,
            Ok(
                r#"{"type":"page","userId":"u","messageId":"m","timestamp":"2026-11-20T09:00:00Z","x":"\ufffd",@R}"#,
            ),
        ),
        ("no object", "[]", Err("no JSON object")),
        ("no type", r#"{"userId":"u"}"#, Err("`type`")),
        ("nobody", r#"{"type":"page"}"#, Err("anonymousId")),
        ("too deep", deep.as_str(), Err("deeper than 64 levels")),
        ("too large", large.as_str(), Err("the limit is 400")),
    ];
    let id = MessageId::parse("a \"b\"").expect("an id");
    for (name, event, want) in cases {
        match (as_stored(event, &id, now(), &limits), want) {
            (Ok(stored), Ok(want)) => assert_eq!(stored, want.replace("@R", RECEIVED), "{name}"),
            (Err(why), Err(part)) => assert!(why.contains(part), "{name}: {why}"),
            (got, want) => panic!("{name}: {got:?} instead of {want:?}"),
        }
    }
}

#[test]
fn the_envelope_knows_the_event() {
    let accepted = accept(
        r#"{"type":"track","event":"e","messageId":"m","anonymousId":"a","context":{"traits":{"email":"A@x"}},"timestamp":"2026-11-20T09:00:00Z"}"#,
    );
    assert_eq!(
        (accepted.workspace, accepted.workspace_version, accepted.source),
        (WorkspaceId(1), 3, SourceId(1))
    );
    assert_eq!(accepted.kind, EventKind::Track);
    assert_eq!(accepted.received_at, now());
    assert_eq!(Some(accepted.event_time), Timestamp::parse("2026-11-20T09:00:00Z"));
    let anchor = Identifier::parse(Namespace::EMAIL, "a@x").expect("an e-mail");
    assert_eq!(accepted.anchor_hash, Some(hash_key().identifier_hash(WorkspaceId(1), &anchor, 0)));
}

fn batch_defaults(body: &str) -> Result<AcceptedEvent, Problem> {
    let batch = tributary_proto::json::Batch::parse(body, 10).expect("a batch");
    let defaults = Defaults::new(batch.sent_at, batch.context, batch.integrations);
    run(batch.events[0].get(), PathKind::Open, defaults, &IngestLimits::default())
}

/// (what, envelope without events, event's members, members that the stored event has beyond the usual)
#[test]
fn defaults_of_a_batch() {
    let cases = [
        (
            "whole",
            r#""context":{ "a":1.0 },"integrations":{"All":true}"#,
            "",
            r#","context":{ "a":1.0 },"integrations":{"All":true}@"#,
        ),
        ("null is nothing", r#""context":null,"sentAt":null"#, "", "@"),
        (
            "own wins, lacking is added",
            r#""context":{"a":1,"b":{"c":1}}"#,
            r#","context":{"b":2}"#,
            r#","context":{"b":2,"a":1}@"#,
        ),
        ("own null is replaced", r#""context":{"a":1}"#, r#","context":null"#, r#","context":{"a":1}@"#),
        (
            "own empty object",
            r#""context":{"a":1,"b":2}"#,
            r#","context":{}"#,
            r#","context":{"a":1,"b":2}@"#,
        ),
        ("own has all", r#""context":{"a":1}"#, r#","context":{"a":null}"#, r#","context":{"a":null}@"#),
        ("sentAt", r#""sentAt":"2026-11-20T10:00:00Z""#, "", r#"@,"sentAt":"2026-11-20T10:00:00Z""#),
        (
            "own sentAt",
            r#""sentAt":"x""#,
            r#","sentAt":"2026-11-20T10:00:00Z""#,
            r#","sentAt":"2026-11-20T10:00:00Z"@"#,
        ),
    ];
    for (name, envelope, own, want) in cases {
        let start = r#"{"type":"page","messageId":"m","userId":"u","timestamp":"2026-11-20T09:00:00Z""#;
        let body = format!("{{{envelope},\"batch\":[{start}{own}}}]}}");
        let accepted = batch_defaults(&body).expect(name);
        let want = format!("{start}{}}}", want.replace('@', &format!(",{RECEIVED}")));
        assert_eq!(payload(&accepted), want, "{name}");
    }
    let event = r#"{"type":"page","userId":"u"}"#;
    for (envelope, pointer) in [
        (r#""context":[]"#, "/context"),
        (r#""integrations":1"#, "/integrations"),
        (r#""sentAt":1"#, "/sentAt"),
    ] {
        let problem = batch_defaults(&format!("{{{envelope},\"batch\":[{event}]}}")).expect_err(pointer);
        assert_eq!((problem.reason, problem.pointer), (RejectReason::WrongType, pointer));
    }
    let email = batch_defaults(&format!(r#"{{"context":{{"traits":{{"email":"a@x"}}}},"batch":[{event}]}}"#));
    assert!(email.is_ok());
}

#[test]
fn the_sent_time_of_a_batch_corrects_its_events() {
    let event = r#"{"type":"page","userId":"u","messageId":"m","timestamp":"2026-11-20T09:00:00Z"}"#;
    let accepted =
        batch_defaults(&format!(r#"{{"batch":[{event}],"sentAt":"2026-11-20T09:00:10Z"}}"#)).expect("fits");
    assert_eq!(accepted.event_time, now().plus_micros(-10_000_000));
    assert_eq!(accepted.marks, Marks::CORRECTED_TIME);
}

/// Makes an event that has so many of something.
type Make<'a> = &'a dyn Fn(usize) -> String;

#[test]
fn limits_reject_at_the_first_byte_beyond() {
    let limits = IngestLimits::default();
    let check = |event: String| {
        run(&event, PathKind::Open, Defaults::default(), &limits)
            .map_err(|problem| (problem.reason, problem.pointer))
    };
    let with = |members: &str| format!(r#"{{"type":"page","userId":"u",{members}}}"#);
    let text = |count: usize| "x".repeat(count);
    let members = |count: usize| (0..count).map(|i| format!("\"{i}\":1")).collect::<Vec<_>>().join(",");
    let filler = limits.event_bytes_max - with(r#""x":"""#).len();
    let cases: [(&str, Make<'_>, usize, RejectReason, &str); 7] = [
        ("event", &|n| with(&format!(r#""x":"{}""#, text(n))), filler, RejectReason::EventTooLarge, ""),
        (
            "message id",
            &|n| with(&format!(r#""messageId":"{}""#, text(n))),
            256,
            RejectReason::MessageIdTooLong,
            "/messageId",
        ),
        (
            "identifier",
            &|n| with(&format!(r#""groupId":"{}""#, text(n))),
            512,
            RejectReason::IdentifierTooLong,
            "/groupId",
        ),
        (
            "properties",
            &|n| with(&format!(r#""properties":{{{}}}"#, members(n))),
            1000,
            RejectReason::TooManyProperties,
            "/properties",
        ),
        (
            "context.traits",
            &|n| with(&format!(r#""context":{{"traits":{{{}}}}}"#, members(n))),
            1000,
            RejectReason::TooManyProperties,
            "/context/traits",
        ),
        (
            "depth",
            &|n| with(&format!(r#""x":{}{}"#, "[".repeat(n), "]".repeat(n))),
            63,
            RejectReason::TooDeep,
            "",
        ),
        (
            "depth of objects",
            &|n| with(&format!(r#""x":{}1{}"#, "{\"a\":".repeat(n), "}".repeat(n))),
            63,
            RejectReason::TooDeep,
            "",
        ),
    ];
    for (name, event, max, reason, pointer) in cases {
        assert!(check(event(max)).is_ok(), "{name}");
        assert_eq!(check(event(max + 1)), Err((reason, pointer)), "{name}");
    }
    let large = check(with(&format!(r#""x":"{}""#, text(33 << 10)))).expect("only marked");
    assert_eq!(large.marks, Marks::LARGE);
}

proptest! {
    /// Every member that the client sent is stored as it was sent, except those that the rules name.
    #[test]
    fn client_members_are_stored_as_sent(
        properties in "\\{(\"[a-c]\":(1|1\\.50|\"x\"|null|\\[\\]),)*\"d\":0\\}",
        timestamp in prop::sample::select(vec!["2026-11-20T09:00:00Z", "2030-01-01T00:00:00Z", "soon", ""]),
        extra in "[a-z]{1,8}",
    ) {
        let event = format!(r#"{{"type":"identify","userId":"u","zz_{extra}" : 00.1,"properties": {properties} ,"timestamp":"{timestamp}"}}"#)
            .replace("00.1", "0.10");
        let accepted = accept(&event);
        let stored = Members::parse(std::str::from_utf8(&accepted.payload).expect("UTF-8")).expect("an object");
        for (name, value) in Members::parse(&event).expect("an object").iter() {
            if name != "timestamp" {
                prop_assert_eq!(stored.get(name).map(RawValue::get), Some(value.get()));
            }
        }
        let names: Vec<_> = stored.iter().map(|(name, _)| name.to_owned()).collect();
        let mut once = names.clone();
        once.sort();
        once.dedup();
        prop_assert_eq!(once.len(), names.len());
        prop_assert_eq!(stored.text("timestamp").as_deref().and_then(Timestamp::parse), Some(accepted.event_time));
    }
}
