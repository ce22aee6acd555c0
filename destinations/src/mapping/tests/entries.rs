//! What lies in lists and objects, fields that have to be filled, and what is the same for every event.

use super::fields::{check, compile, written};
use super::{read_json, root};
use crate::definition::{RawSettings, Spec};
use crate::failure::Reason;
use crate::mapping::CompiledAction;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

#[test]
fn members_of_a_list_are_what_each_has_to_be() {
    let each = r#"{"kind": "list", "each": {"any_of": [["id", "name"]], "members": [
        {"names": ["price", "count"], "kind": "number"},
        {"names": ["id", "item_*"], "kind": "text", "characters_max": 3, "too_long": "cut"},
        {"names": ["code"], "kind": "text", "characters_max": 2},
        {"names": ["*"], "kind": "scalar"}
    ]}}"#;
    check(&[
        (
            each,
            r#"[{"count": 2, "id": 12.5, "item_name": "abcd", "more": true, "none": null, "price": "5.50"}]"#,
            Ok(Some(r#"[{"count":2,"id":"12.","item_name":"abc","more":true,"none":null,"price":5.50}]"#)),
        ),
        (each, r#"{"name": "a"}"#, Ok(Some(r#"[{"name":"a"}]"#))),
        (
            each,
            r#"[null, {"name": "a", "price": " ", "count": null}]"#,
            Ok(Some(r#"[{"count":null,"name":"a"}]"#)),
        ),
        (each, r#"[{"name": "a"}, {"name": " ", "price": 1}]"#, Err("the field f[1].id of send is missing")),
        (each, r#"[{"name": null}]"#, Err("each needs at least one of id, name")),
        (each, "[{}]", Err("f[0].id of send is missing")),
        (each, r#"["p1"]"#, Err("the field f[0] of send must be an object")),
        (each, r#""p1""#, Err("f[0] of send must be an object")),
        (each, r#"[{"id": "a", "price": "free"}]"#, Err("the field f[0].price of send must be a number")),
        (each, r#"[{"id": "a", "code": "abc"}]"#, Err("f[0].code of send must have at most 2 characters")),
        (each, r#"[{"id": "a", "secret_name": {}}]"#, Err("f[0].* of send must be a text, a number")),
        // Nothing in it is nothing.
        (each, "[]", Ok(None)),
        (each, "$.properties.products", Err("f[0].id of send is missing")),
    ]);
}

#[test]
fn members_of_an_object_that_are_not_so_are_left_out_where_it_says_so() {
    let each = r#"{"kind": "object", "members_max": 2, "members_reserved": ["ga_*"], "each": {
        "any_of": [["value"]], "unfit": "leave_out",
        "members": [{"names": ["value"], "kind": "scalar", "characters_max": 2, "too_long": "cut"}]
    }}"#;
    let refuse = r#"{"kind": "object", "each": {"any_of": [["value"]]}}"#;
    check(&[
        (
            each,
            r#"{"a": {"value": "abc"}, "b": {}, "c": 1, "d": {"value": ""}, "e": {"value": {}}, "f": {"at": 2, "value": 1.5}}"#,
            Ok(Some(r#"{"a":{"value":"ab"},"f":{"at":2,"value":1.5}}"#)),
        ),
        (each, r#"{"a": {}}"#, Ok(None)),
        (each, r#"{"ga_x": {"value": 1}}"#, Ok(None)),
        (
            each,
            r#"{"a": {"value": 1}, "b": {"value": 1}, "c": {"value": 1}}"#,
            Err("must have at most 2 members"),
        ),
        // The name is the client's.
        (refuse, r#"{"ada": {}}"#, Err("the field f.*.value of send is missing")),
    ]);
}

#[test]
fn what_is_required_is_more_than_blanks() {
    let text = r#"{"kind": "text", "required": "always"}"#;
    let list = r#"{"kind": "list", "required": "always"}"#;
    let any = r#"{"kind": "any", "required": "always"}"#;
    check(&[
        (text, "$.properties.empty", Err("the field f of send is required")),
        (text, r#"{"@template": " {{properties.missing}} "}"#, Err("is required")),
        (text, r#"{"@template": "{{properties.zero}}"}"#, Ok(Some(r#""0.00""#))),
        (r#"{"kind": "text"}"#, "$.properties.empty", Ok(Some(r#""""#))),
        (list, "$.properties.none", Err("the field f of send is required")),
        (any, "$.properties.empty", Err("the field f of send is required")),
        (any, r#"{"@template": " {{properties.missing}} "}"#, Err("is required")),
        (any, "$.properties.none", Err("is required")),
        (any, "$.properties.nothing", Ok(Some("{}"))),
        (any, "$.properties.zero", Ok(Some("0.00"))),
        (any, "$.properties.no", Ok(Some("false"))),
        (r#"{"kind": "any"}"#, "$.properties.none", Ok(Some("[]"))),
    ]);
    let action = json!({
        "any_of": [["text", "blocks"]],
        "fields": [{"name": "text", "kind": "text"}, {"name": "blocks", "kind": "list"}],
    });
    for (fields, is_sent) in [
        (json!({"text": {"@template": "{{properties.missing}}\n"}}), false),
        (json!({"text": {"@path": "$.properties.empty"}, "blocks": {"@path": "$.properties.none"}}), false),
        (json!({"text": {"@path": "$.properties.empty"}, "blocks": [1]}), true),
    ] {
        let compiled = compile(&action, &fields, &json!({})).unwrap_or_else(|error| panic!("{error}"));
        let reason = compiled.payload(&root()).err().map(|failure| failure.reason);
        assert_eq!(reason, (!is_sent).then_some(Reason::MissingField), "{fields}");
    }
}

#[test]
fn a_vendor_limits_payloads() {
    let action = json!({"fields": [
        {"name": "a", "kind": "any", "default": {"@path": "$.event"}},
        {"name": "long", "kind": "any", "default": {"@path": "$.properties"}},
    ]});
    let length = compile(&action, &json!({}), &json!({}))
        .unwrap_or_else(|error| panic!("{error}"))
        .payload(&root())
        .expect("it has no limit")
        .len();
    for (most, is_sent) in [(length, true), (length - 1, false)] {
        let mut limited = written(&action);
        limited["limits"] = json!({ "payload_bytes": most });
        let limited: Spec = serde_json::from_value(limited).expect("a definition");
        let limited: &'static Spec = Box::leak(Box::new(limited));
        let (fields, settings) = (BTreeMap::new(), RawSettings::new());
        let compiled = CompiledAction::compile(limited, &limited.actions[0], &fields, &settings);
        let made = compiled.unwrap_or_else(|error| panic!("{error}")).payload(&root());
        assert_eq!(made.is_ok(), is_sent, "{most}");
        if let Err(failure) = made {
            assert_eq!(failure.reason, Reason::InvalidField);
            assert!(
                failure.text.contains(&format!("the limit is {most}: map less, above all to long")),
                "{}",
                failure.text
            );
        }
    }
}

#[test]
fn what_is_the_same_for_every_event_is_known_to_be_wrong() {
    let action = json!({"fields": [
        {"name": "value", "kind": "number", "maximum": 10},
        {"name": "text", "kind": "text", "required": "always", "default": "x"},
        {"name": "any", "kind": "any", "required": "always", "default": {"@path": "$"}},
        read_json(r#"{"name": "items", "kind": "list", "each": {"any_of": [["id"]]}}"#),
    ]});
    let cases = [
        (json!({"value": "abc"}), Some(("value", "must be a number"))),
        (json!({"value": 11}), Some(("value", "must be at most 10"))),
        (json!({"value": {"@literal": []}}), Some(("value", "must be a number"))),
        (json!({"value": {"@template": "a lot"}}), Some(("value", "must be a number"))),
        (
            json!({"value": {"@case": {"operator": "upper", "value": "x"}}}),
            Some(("value", "must be a number")),
        ),
        (json!({"value": {"@json": {"mode": "decode", "value": "{"}}}), Some(("value", "is to be decoded"))),
        (json!({"text": " "}), Some(("text", "is required, and this leaves nothing in it"))),
        (
            json!({"text": {"@template": "{{! note }}"}}),
            Some(("text", "is required, and this leaves nothing")),
        ),
        (json!({"text": {"@literal": null}}), Some(("text", "is required, and this leaves nothing in it"))),
        (
            json!({"text": {"@setting": "channel"}}),
            Some(("text", "is required, and this leaves nothing in it")),
        ),
        (json!({"any": []}), Some(("any", "is required, and this leaves nothing in it"))),
        (json!({"any": "  "}), Some(("any", "is required, and this leaves nothing in it"))),
        (json!({"items": [{"id": 1}, {}]}), Some(("items[1].id", "is missing"))),
        (json!({"any": {}, "value": "5", "items": [{"id": 1}]}), None),
        (json!({"value": {"@path": "$.event"}, "items": [{"id": {"@path": "$.missing"}}]}), None),
        (
            json!({"text": {"@template": "{{missing}}"}, "any": {"@if": {"exists": {"@path": "$.a"}, "then": 1}}}),
            None,
        ),
        (json!({"value": null, "items": null}), None),
    ];
    for (fields, want) in cases {
        assert_constants(
            &action,
            &fields,
            &json!({}),
            want.map(|(at, message)| (format!("m.fields.{at}"), message)),
        );
    }
}

/// Checks what is said of a mapping that is the same for every event: where, and a part of the message.
fn assert_constants(action: &Json, fields: &Json, settings: &Json, want: Option<(String, &str)>) {
    let compiled = compile(action, fields, settings).unwrap_or_else(|error| panic!("{error}"));
    match (compiled.check_constants("m"), want) {
        (Ok(()), None) => {}
        (Err(error), Some((place, message))) => {
            assert_eq!(error.field, place, "{fields} {settings}");
            assert!(error.message.contains(message), "{fields} {settings}: {error}");
        }
        (got, want) => panic!("{fields} {settings}: {got:?}, not {want:?}"),
    }
}

#[test]
fn one_of_several_fields_has_to_have_something_in_it() {
    let action = json!({
        "any_of": [["text", "blocks"]],
        "fields": [
            {"name": "text", "kind": "text", "default": {"@setting": "message"}},
            {"name": "blocks", "kind": "list"},
        ],
    });
    let empty = |place: &str| {
        Some((
            place.to_owned(),
            "has nothing in it for any event, and send needs at least one of text, blocks",
        ))
    };
    let cases = [
        (json!({}), json!({"message": "{{event}}"}), None),
        (json!({}), json!({"message": "   "}), empty("message")),
        (json!({}), json!({"message": "{{! note }}"}), empty("message")),
        (json!({}), json!({}), empty("m.fields.text")),
        (json!({"text": {"@template": "{{! note }}"}}), json!({"message": "x"}), empty("m.fields.text")),
        (json!({"text": ""}), json!({"message": "x"}), empty("m.fields.text")),
        (json!({"text": null}), json!({"message": "x"}), empty("m.fields.text")),
        (json!({"text": null, "blocks": []}), json!({}), empty("m.fields.blocks")),
        (json!({"blocks": [1]}), json!({"message": " "}), None),
        (json!({"text": "", "blocks": {"@path": "$.properties.blocks"}}), json!({}), None),
    ];
    for (fields, settings, want) in cases {
        assert_constants(&action, &fields, &settings, want);
    }
}

#[test]
fn what_is_wrong_with_a_setting_is_said_of_the_setting() {
    let action = json!({"fields": [
        {"name": "to", "kind": "text", "characters_max": 3, "default": {"@setting": "channel"}},
        {"name": "currency", "kind": "text", "characters_max": 3, "default": {"@setting": "currency"}},
    ]});
    let long = |place: &str| Some((place.to_owned(), "must have at most 3 characters"));
    let cases = [
        (json!({}), json!({"channel": "abc"}), None),
        (json!({}), json!({"channel": "abcd"}), long("channel")),
        (json!({"to": "abcd"}), json!({"channel": "abcd"}), long("m.fields.to")),
        (json!({"to": {"@setting": "channel"}}), json!({"channel": "abcd"}), long("m.fields.to")),
        (json!({"to": null}), json!({"channel": "abcd", "currency": null}), None),
        (json!({}), json!({"currency": "Euro"}), long("currency")),
    ];
    for (fields, settings, want) in cases {
        assert_constants(&action, &fields, &settings, want);
    }
}
