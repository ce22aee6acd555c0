use super::*;
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use std::sync::LazyLock;

static SCHEMA: LazyLock<jsonschema::Validator> =
    LazyLock::new(|| jsonschema::draft202012::new(&tributary_schemas::bundle()).expect("a valid schema"));

/// Parses an event; the reason and the pointer if it is rejected.
fn parse(event: &str, path: PathKind) -> Result<EventKind, (RejectReason, &'static str)> {
    let members = Members::parse(event).expect("an object");
    match Shape::parse(&members, path, None) {
        Ok(shape) => Ok(shape.kind),
        Err(problem) => Err((problem.reason, problem.pointer)),
    }
}

#[test]
fn each_fault_has_its_reason_and_place() {
    use RejectReason::*;
    let cases = [
        (r#"{"userId":"u"}"#, TypeMissing, "/type"),
        (r#"{"userId":"u","type":null}"#, TypeMissing, "/type"),
        (r#"{"userId":"u","type":""}"#, TypeMissing, "/type"),
        (r#"{"userId":"u","type":"Track"}"#, TypeUnknown, "/type"),
        (r#"{"userId":"u","type":["track"]}"#, WrongType, "/type"),
        (r#"{"type":"page"}"#, NoIdentifier, ""),
        (r#"{"type":"page","userId":"","anonymousId":null}"#, NoIdentifier, ""),
        (r#"{"type":"page","userId":7}"#, WrongType, "/userId"),
        (r#"{"type":"page","userId":"u","anonymousId":true}"#, WrongType, "/anonymousId"),
        (r#"{"type":"page","userId":"u","messageId":{}}"#, WrongType, "/messageId"),
        (r#"{"type":"page","userId":"u","timestamp":1700000000}"#, WrongType, "/timestamp"),
        (r#"{"type":"page","userId":"u","originalTimestamp":[]}"#, WrongType, "/originalTimestamp"),
        (r#"{"type":"page","userId":"u","sentAt":false}"#, WrongType, "/sentAt"),
        (r#"{"type":"page","userId":"u","properties":"x"}"#, WrongType, "/properties"),
        (r#"{"type":"page","userId":"u","traits":[]}"#, WrongType, "/traits"),
        (r#"{"type":"page","userId":"u","context":1}"#, WrongType, "/context"),
        (r#"{"type":"page","userId":"u","context":{"traits":1}}"#, WrongType, "/context/traits"),
        (r#"{"type":"page","userId":"u","context":{"tr\u0061its":1}}"#, WrongType, "/context/traits"),
        (r#"{"type":"page","userId":"u","integrations":true}"#, WrongType, "/integrations"),
        (r#"{"type":"page","userId":"u","name":1}"#, WrongType, "/name"),
        (r#"{"type":"screen","userId":"u","category":{}}"#, WrongType, "/category"),
        (r#"{"type":"track","userId":"u"}"#, EventNameMissing, "/event"),
        (r#"{"type":"track","userId":"u","event":""}"#, EventNameMissing, "/event"),
        (r#"{"type":"track","userId":"u","event":5}"#, WrongType, "/event"),
        (r#"{"type":"group","userId":"u"}"#, GroupIdMissing, "/groupId"),
        (r#"{"type":"alias","userId":"u","previousId":""}"#, PreviousIdMissing, "/previousId"),
        (r#"{"type":"page","userId":"u","userId":7}"#, WrongType, "/userId"),
    ];
    for (event, reason, pointer) in cases {
        assert_eq!(parse(event, PathKind::Open), Err((reason, pointer)), "{event}");
    }
}

#[test]
fn the_path_implies_the_kind() {
    let track = PathKind::Implied(EventKind::Track);
    for event in [
        r#"{"userId":"u","event":"e"}"#,
        r#"{"userId":"u","event":"e","type":null}"#,
        r#"{"userId":"u","event":"e","type":"track"}"#,
    ] {
        assert_eq!(parse(event, track), Ok(EventKind::Track), "{event}");
    }
    let other = parse(r#"{"userId":"u","type":"page"}"#, track);
    assert_eq!(other, Err((RejectReason::TypeMismatch, "/type")));
}

#[test]
fn texts_say_what_is_wrong_and_never_show_a_value() {
    let members =
        Members::parse(r#"{"type":"page","userId":"u","context":{"traits":"secret"}}"#).expect("an object");
    let problem = Shape::parse(&members, PathKind::Open, None).expect_err("a wrong type");
    assert_eq!(problem.text, "`context.traits` is text; it has to be an object, or be left out");
}

/// Names that mean something to the schema, and one that does not.
const NAMES: [&str; 18] = [
    "type",
    "messageId",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "event",
    "name",
    "category",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "receivedAt",
    "properties",
    "traits",
    "context",
    "integrations",
    "channel",
];

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!("x")),
        Just(json!("2026-11-20T10:00:00Z")),
        prop::sample::select(EventKind::ALL.to_vec()).prop_map(|kind| json!(kind.name())),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        Just(json!(9_007_199_254_740_993_u64)),
        Just(json!(0.5)),
        "[a-z\\\\\"\u{0}é]{0,6}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((prop_oneof!["[a-c]", Just("traits".to_owned())], inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// An event that fits, of any kind.
fn good_event() -> impl Strategy<Value = Map<String, Value>> {
    let optional = prop::collection::vec(any::<bool>(), 4);
    (prop::sample::select(EventKind::ALL.to_vec()), optional).prop_map(|(kind, with)| {
        let mut event = json!({
            "type": kind.name(), "anonymousId": "a", "event": "Order Completed", "groupId": "g", "previousId": "p",
        });
        if with[0] {
            event["userId"] = json!("u");
        }
        if with[1] {
            event["context"] = json!({"traits": {"email": "a@x"}, "library": {"name": "test"}});
        }
        if with[2] {
            event["properties"] = json!({"a": [1, {"b": null}]});
            event["traits"] = json!({"email": "a@x"});
        }
        if with[3] {
            event["timestamp"] = json!("2026-11-20T10:00:00Z");
            event["messageId"] = json!("m");
        }
        event.as_object().cloned().expect("an object")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// The typed parser and the JSON Schemas accept the same events.
    #[test]
    fn parser_and_schema_agree(
        mut event in good_event(),
        removed in prop::collection::vec(prop::sample::select(NAMES.to_vec()), 0..2),
        changed in prop::collection::vec((prop::sample::select(NAMES.to_vec()), any_value()), 0..3),
    ) {
        for name in removed {
            event.remove(name);
        }
        for (name, value) in changed {
            event.insert(name.to_owned(), value);
        }
        let event = Value::Object(event);
        let parsed = parse(&event.to_string(), PathKind::Open);
        prop_assert_eq!(parsed.is_ok(), SCHEMA.is_valid(&event), "{:?} {}", parsed, event);
    }
}

/// The property above would be idle if its events all fitted, or none did.
#[test]
fn both_verdicts_are_reached() {
    for kind in EventKind::ALL {
        let good =
            json!({"type": kind.name(), "userId": "u", "event": "e", "groupId": "g", "previousId": "p"});
        assert!(SCHEMA.is_valid(&good), "{kind}");
        assert_eq!(parse(&good.to_string(), PathKind::Open), Ok(kind));
        let bad = json!({"type": kind.name()});
        assert!(!SCHEMA.is_valid(&bad), "{kind}");
        assert!(parse(&bad.to_string(), PathKind::Open).is_err(), "{kind}");
    }
}
