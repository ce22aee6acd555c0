//! The compiled reader finds what the slow and obvious reading finds, whatever the rules and the event.

use crate::{check, read, reference, texts};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use tributary_model::IdentifierReader;

const PATHS: [&str; 10] = [
    "userId",
    "anonymousId",
    "traits.email",
    "traits.a.b",
    "properties.a",
    "properties.a.b",
    "context.traits.email",
    "context.a",
    "context.a.b",
    "context.externalIds",
];
const NAMES: [&str; 5] = ["user_id", "email", "anonymous_id", "x", "y"];

fn any_source() -> impl Strategy<Value = Value> {
    let conditions = prop::sample::select(vec![
        json!({"context.b": "on"}),
        json!({"context.a.b": 1}),
        json!({"properties.b": true, "context.b": "On"}),
        json!({"traits.b": false}),
    ]);
    (prop::sample::select(PATHS.to_vec()), prop::option::weighted(0.3, conditions)).prop_map(
        |(path, when)| match when {
            Some(when) => json!({"path": path, "when": when}),
            None => json!(path),
        },
    )
}

fn any_rules() -> impl Strategy<Value = Value> {
    let rule = |name: &'static str| {
        (
            prop::collection::vec(any_source(), 1..4),
            prop::sample::select(vec!["exact", "email"]),
            any::<bool>(),
            prop::collection::vec(prop::sample::select(vec!["u1", "a@x", "null"]), 0..2),
        )
            .prop_map(move |(from, normalize, suggested, blocked)| {
                json!({"name": name, "from": from, "normalize": normalize,
                    "block_suggested": suggested, "blocked": blocked})
            })
    };
    let declared = prop::sample::subsequence(NAMES.to_vec(), 1..=NAMES.len()).prop_shuffle();
    declared
        .prop_flat_map(move |names| names.into_iter().map(rule).collect::<Vec<_>>())
        .prop_map(|namespaces| json!({ "namespaces": namespaces }))
}

fn any_scalar() -> impl Strategy<Value = Value> {
    let texts = ["u1", "u2", "a@x", " A@X", "null", "00-0", "on", "ON", "", " ", "a\"b\\c", "email"];
    prop_oneof![
        8 => prop::sample::select(texts.to_vec()).prop_map(Value::from),
        2 => (-2i64..3).prop_map(Value::from),
        1 => Just(json!(1.5)),
        1 => any::<bool>().prop_map(Value::from),
        1 => Just(Value::Null),
        1 => Just(json!(["u1"])),
    ]
}

/// An object of members named `a`, `b`, `email`, scalars or objects again.
fn any_object() -> impl Strategy<Value = Value> {
    let member = || prop::sample::select(vec!["a", "b", "email", "z"]);
    let inner = prop::collection::hash_map(member(), any_scalar(), 0..4).prop_map(object);
    let value = prop_oneof![3 => any_scalar(), 2 => inner];
    prop::collection::hash_map(member(), value, 0..4).prop_map(object)
}

fn object<I: IntoIterator<Item = (&'static str, Value)>>(members: I) -> Value {
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

fn any_external_ids() -> impl Strategy<Value = Value> {
    let entry = (
        any_scalar(),
        prop::sample::select(NAMES.to_vec()),
        prop::sample::select(vec!["users", "users", "accounts"]),
        prop::sample::select(vec!["none", "none", "none", "hex"]),
    )
        .prop_map(|(id, kind, collection, encoding)| {
            json!({"id": id, "type": kind, "collection": collection, "encoding": encoding})
        });
    prop::collection::vec(prop_oneof![5 => entry, 1 => any_scalar()], 0..4).prop_map(Value::from)
}

fn any_event() -> impl Strategy<Value = Value> {
    let id = || prop::option::of(prop::sample::select(vec!["u1", "u2", "null", ""]));
    let kind = prop::sample::select(vec!["identify", "identify", "track", "group"]);
    let context = (any_object(), prop::option::of(any_object()), prop::option::of(any_external_ids()))
        .prop_map(|(mut context, traits, external_ids)| {
            for (name, value) in [("traits", traits), ("externalIds", external_ids)] {
                if let Some(value) = value {
                    context[name] = value;
                }
            }
            context
        });
    let objects = (prop::option::of(any_object()), prop::option::of(any_object()), prop::option::of(context));
    (kind, id(), id(), objects).prop_map(|(kind, user, anonymous, (traits, properties, context))| {
        json!({"type": kind, "userId": user, "anonymousId": anonymous,
            "traits": traits, "properties": properties, "context": context})
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_compiled_reading_agrees_with_the_slow_one(
        rules in any_rules(),
        events in prop::collection::vec(any_event(), 1..6),
        escaped in any::<bool>(),
    ) {
        let rules = check(&rules).expect("rules that work");
        let reader = IdentifierReader::new(&rules).expect("checked rules compile");
        let rules = serde_json::to_value(&rules).expect("JSON");
        for event in events {
            let mut written = event.to_string();
            if escaped {
                // Names and values are the same however they are written.
                written = written.replace("email", "em\\u0061il").replace("\"u1\"", "\"\\u00751\"");
            }
            let found = read(&reader, &written);
            let (identifiers, blocked) = reference::read(&rules, &event);
            prop_assert_eq!(texts(&found.identifiers), identifiers, "{}", written);
            prop_assert_eq!(texts(&found.blocked), blocked, "{}", written);
        }
    }
}
