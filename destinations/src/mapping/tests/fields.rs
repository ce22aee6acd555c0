//! The fields of actions.

use super::{EVENT, read_json, root};
use crate::definition::{RawSettings, Spec};
use crate::failure::{Failure, Reason};
use crate::mapping::{CompiledAction, DirectiveError, Mapper, Root};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

/// A definition with one action that has these fields, as it is written.
pub(super) fn written(action: &Json) -> Json {
    let mut whole = json!({
        "name": "test", "title": "Test", "help": "For tests.", "transport": {"kind": "object_storage"},
        "settings": [
            {"name": "currency", "title": "Currency", "kind": "text", "help": "…", "default": "EUR"},
            {"name": "channel", "title": "Channel", "kind": "text", "help": "…"},
            {"name": "message", "title": "Message", "kind": "template", "help": "…"},
            {"name": "token", "title": "Token", "kind": "text", "secret": true, "help": "…"}
        ],
        "actions": [{"name": "send", "title": "Send", "help": "Sends.", "takes": ["track"]}]
    });
    let members = action.as_object().expect("an object").clone();
    whole["actions"][0].as_object_mut().expect("an action").extend(members);
    for field in whole["actions"][0]["fields"].as_array_mut().expect("fields") {
        field.as_object_mut().expect("a field").insert("help".to_owned(), json!("…"));
    }
    whole
}

fn spec(action: &Json) -> &'static Spec {
    Box::leak(Box::new(serde_json::from_value(written(action)).expect("a definition")))
}

pub(super) fn compile(
    action: &Json,
    fields: &Json,
    settings: &Json,
) -> Result<CompiledAction, DirectiveError> {
    let spec = spec(action);
    let fields: BTreeMap<String, Json> = serde_json::from_value(fields.clone()).expect("an object");
    let settings: RawSettings = serde_json::from_value(settings.clone()).expect("an object");
    CompiledAction::compile(spec, &spec.actions[0], &fields, &settings)
}

/// The payload of an action with these fields, whose defaults count.
fn payload(action: &Json) -> Result<String, Failure> {
    let compiled =
        compile(action, &json!({}), &json!({})).unwrap_or_else(|error| panic!("{action}: {error}"));
    compiled.payload(&root()).map(|body| String::from_utf8(body).expect("JSON is text"))
}

/// The member `f` of the payload of an action with one field, which is filled with what stands at a path of the event or,
/// where the text begins otherwise, with what a directive makes. Nothing if there is none; what is wrong as an error.
fn one(rules: &str, filled: &str) -> Result<Option<String>, String> {
    let mut field = read_json(rules);
    field["name"] = json!("f");
    let directive = if filled.starts_with("$.") { json!({ "@path": filled }) } else { read_json(filled) };
    let action = json!({ "fields": [field] });
    let compiled =
        compile(&action, &json!({ "f": directive }), &json!({})).map_err(|error| error.to_string())?;
    let body = compiled.payload(&root()).map_err(|failure| {
        assert!(matches!(failure.reason, Reason::InvalidField | Reason::MissingField));
        failure.text
    })?;
    let body = String::from_utf8(body).expect("JSON is text");
    let inner = body.strip_prefix(r#"{"f":"#).and_then(|rest| rest.strip_suffix('}'));
    assert!(inner.is_some() || body == "{}", "{body}");
    Ok(inner.map(str::to_owned))
}

/// Rules of a field, what it is filled with, and what it is then, or words that say what is wrong.
type Case<'a> = (&'a str, &'a str, Result<Option<&'a str>, &'a str>);

pub(super) fn check(cases: &[Case<'_>]) {
    for (rules, filled, want) in cases {
        match (one(rules, filled), want) {
            (Ok(made), Ok(want)) => assert_eq!(made.as_deref(), *want, "{rules} {filled}"),
            (Err(problem), Err(want)) => assert!(problem.contains(want), "{rules} {filled}: {problem}"),
            (made, want) => panic!("{rules} {filled}: {made:?}, not {want:?}"),
        }
    }
}

#[test]
fn values_are_brought_to_the_type_of_the_field() {
    let must_be_moment = Err("must be a moment");
    check(&[
        (r#"{"kind": "text"}"#, "$.properties.name", Ok(Some(r#""Gr\u00fcn \u0041da \"x\"""#))),
        (r#"{"kind": "text"}"#, "$.properties.total", Ok(Some(r#""12.50""#))),
        (r#"{"kind": "text"}"#, "$.properties.yes", Ok(Some(r#""true""#))),
        (
            r#"{"kind": "text"}"#,
            "$.properties.list",
            Err("the field f of send must be a text: change the mapping, or narrow its trigger"),
        ),
        (r#"{"kind": "text"}"#, "$.properties.null", Ok(Some("null"))),
        (r#"{"kind": "text"}"#, "$.missing", Ok(None)),
        (r#"{"kind": "number"}"#, "$.properties.total", Ok(Some("12.50"))),
        (r#"{"kind": "number"}"#, "$.properties.huge", Ok(Some("1e400"))),
        (r#"{"kind": "number"}"#, r#"" 12.50 ""#, Ok(Some("12.50"))),
        (r#"{"kind": "number"}"#, r#""12,5""#, Err("must be a number")),
        (r#"{"kind": "number"}"#, r#""""#, Err("must be a number")),
        (r#"{"kind": "number"}"#, "true", Err("must be a number")),
        (r#"{"kind": "number"}"#, "[1]", Err("must be a number")),
        (r#"{"kind": "integer"}"#, "$.properties.big", Ok(Some("123456789012345678901234567890"))),
        (r#"{"kind": "integer"}"#, "$.properties.negative", Ok(Some("0"))),
        (r#"{"kind": "integer"}"#, r#""12.0""#, Ok(Some("12"))),
        (r#"{"kind": "integer"}"#, r#""1.2e1""#, Ok(Some("12"))),
        (r#"{"kind": "integer"}"#, "$.properties.total", Err("must be a whole number")),
        (r#"{"kind": "integer"}"#, "$.properties.huge", Err("must be a whole number")),
        (r#"{"kind": "integer"}"#, r#""ten""#, Err("must be a whole number")),
        (r#"{"kind": "boolean"}"#, "$.properties.no", Ok(Some("false"))),
        (r#"{"kind": "boolean"}"#, r#""true""#, Ok(Some("true"))),
        (r#"{"kind": "boolean"}"#, r#""yes""#, Err("must be true or false")),
        (r#"{"kind": "boolean"}"#, "1", Err("must be true or false")),
        (
            r#"{"kind": "datetime"}"#,
            r#""2026-11-20T10:00:00.123456789+01:00""#,
            Ok(Some(r#""2026-11-20T10:00:00.123456789+01:00""#)),
        ),
        (r#"{"kind": "datetime"}"#, r#""2026-11-20T10:00:00Z""#, Ok(Some(r#""2026-11-20T10:00:00Z""#))),
        (r#"{"kind": "datetime"}"#, r#""2026-11-20T10:00:00""#, Ok(Some(r#""2026-11-20T10:00:00.000Z""#))),
        (r#"{"kind": "datetime"}"#, r#""2026-11-20 10:00:00Z""#, Ok(Some(r#""2026-11-20T10:00:00.000Z""#))),
        (r#"{"kind": "datetime"}"#, "1763632800", Ok(Some(r#""2025-11-20T10:00:00.000Z""#))),
        (r#"{"kind": "datetime"}"#, "1763632800.5", Ok(Some(r#""2025-11-20T10:00:00.500Z""#))),
        (r#"{"kind": "datetime"}"#, "1763632800123", Ok(Some(r#""2025-11-20T10:00:00.123Z""#))),
        (r#"{"kind": "datetime"}"#, r#""1763632800123""#, Ok(Some(r#""2025-11-20T10:00:00.123Z""#))),
        (r#"{"kind": "datetime"}"#, "$.properties.huge", must_be_moment),
        (r#"{"kind": "datetime"}"#, r#""yesterday""#, must_be_moment),
        (r#"{"kind": "datetime"}"#, "true", must_be_moment),
        (r#"{"kind": "unix_micros"}"#, r#""2025-11-20T10:00:00.123456Z""#, Ok(Some("1763632800123456"))),
        (r#"{"kind": "unix_micros"}"#, "1763632800", Ok(Some("1763632800000000"))),
        (r#"{"kind": "unix_micros"}"#, "1763632800123", Ok(Some("1763632800123000"))),
        (r#"{"kind": "unix_micros"}"#, "[]", must_be_moment),
        (
            r#"{"kind": "object"}"#,
            "$.properties.address",
            Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#)),
        ),
        (r#"{"kind": "object"}"#, "$.properties.list", Err("must be an object")),
        (r#"{"kind": "list"}"#, "$.properties.list", Ok(Some(r#"[1, 2.0, {"a": "b"}]"#))),
        (r#"{"kind": "list"}"#, "$.properties.total", Ok(Some("[12.50]"))),
        (r#"{"kind": "list"}"#, "$.properties.null", Ok(Some("null"))),
        (r#"{"kind": "any"}"#, "$.properties.address.geo", Ok(Some(r#"{"lat": 48.40}"#))),
    ]);
}

#[test]
fn texts_have_rules() {
    let choices = r#"{"kind": "text", "choices": ["a", "b"]}"#;
    let reserved = r#"{"kind": "text", "reserved": ["event", "ga_*"]}"#;
    let pattern = r#"{"kind": "text", "pattern": "[a-z]+|[0-9]+"}"#;
    check(&[
        (r#"{"kind": "text", "characters_max": 4}"#, "$.properties.plain", Ok(Some(r#""Grün""#))),
        (
            r#"{"kind": "text", "characters_max": 3}"#,
            "$.properties.plain",
            Err("must have at most 3 characters"),
        ),
        (
            r#"{"kind": "text", "characters_max": 3, "too_long": "cut"}"#,
            "$.properties.plain",
            Ok(Some(r#""Grü""#)),
        ),
        (
            r#"{"kind": "text", "characters_max": 0, "too_long": "cut"}"#,
            "$.properties.plain",
            Ok(Some(r#""""#)),
        ),
        // Escapes count as what they stand for.
        (
            r#"{"kind": "text", "characters_max": 12}"#,
            "$.properties.name",
            Ok(Some(r#""Gr\u00fcn \u0041da \"x\"""#)),
        ),
        (
            r#"{"kind": "text", "characters_max": 4}"#,
            "$.properties.total",
            Err("must have at most 4 characters"),
        ),
        (choices, r#""b""#, Ok(Some(r#""b""#))),
        (choices, r#""B""#, Err("must be one of a, b")),
        (reserved, r#""events""#, Ok(Some(r#""events""#))),
        (reserved, r#""event""#, Err("must not be `event`, which is reserved")),
        (reserved, r#""ga_x""#, Err("must not be `ga_*`")),
        (pattern, r#""abc""#, Ok(Some(r#""abc""#))),
        (pattern, r#""123""#, Ok(Some(r#""123""#))),
        (pattern, r#""abc1""#, Err("must match the pattern `[a-z]+|[0-9]+`")),
        (pattern, r#""abc\n""#, Err("must match the pattern")),
        (
            r#"{"kind": "text", "pattern": "a{2}", "characters_max": 2, "too_long": "cut"}"#,
            r#""aaa""#,
            Ok(Some(r#""aa""#)),
        ),
        (
            r#"{"kind": "text", "pattern": "("}"#,
            r#""a""#,
            Err("f has a pattern that is no regular expression"),
        ),
        (r#"{"kind": "text", "clean": true}"#, r#""Order: Grün/2_a""#, Ok(Some(r#""Order__Gr_n_2_a""#))),
        (r#"{"kind": "text", "clean": true}"#, "$.properties.plain", Ok(Some(r#""Gr_n""#))),
        (r#"{"kind": "text", "clean": true}"#, "$.event", Ok(Some(r#""Order_Completed""#))),
        (
            r#"{"kind": "text", "clean": true, "characters_max": 3, "too_long": "cut"}"#,
            "$.properties.plain",
            Ok(Some(r#""Gr_""#)),
        ),
        (
            r#"{"kind": "text", "clean": true, "reserved": ["ga_*"]}"#,
            r#""ga-x""#,
            Err("must not be `ga_*`, which is reserved"),
        ),
    ]);
}

#[test]
fn numbers_have_limits() {
    let limits = r#"{"kind": "number", "minimum": 0, "maximum": 9007199254740992}"#;
    check(&[
        (limits, r#""0""#, Ok(Some("0"))),
        (limits, "$.properties.negative", Ok(Some("-0"))),
        (limits, r#""-0.0001""#, Err("must be at least 0")),
        (limits, r#""9007199254740992""#, Ok(Some("9007199254740992"))),
        (limits, r#""9007199254740993""#, Err("must be at most 9007199254740992")),
        (limits, "$.properties.huge", Err("must be at most")),
        (r#"{"kind": "integer", "minimum": 1}"#, "$.properties.zero", Err("must be at least 1")),
        (
            r#"{"kind": "number", "minimum": 0.5}"#,
            r#""0.49999999999999999999999""#,
            Err("must be at least 0.5"),
        ),
    ]);
}

#[test]
fn objects_and_lists_have_rules() {
    let names = r#"{"kind": "object", "member_pattern": "[a-z]+"}"#;
    let cut = r#"{"kind": "object", "member_characters_max": 2, "too_long": "cut"}"#;
    check(&[
        (
            r#"{"kind": "object", "members_max": 2}"#,
            "$.properties.address",
            Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#)),
        ),
        (
            r#"{"kind": "object", "members_max": 1}"#,
            "$.properties.address",
            Err("must have at most 1 members"),
        ),
        (r#"{"kind": "list", "members_max": 2}"#, "$.properties.list", Err("must have at most 2 members")),
        (r#"{"kind": "list", "members_max": 1}"#, "$.properties.total", Ok(Some("[12.50]"))),
        // A name that is there twice is one member.
        (
            r#"{"kind": "object", "members_max": 1}"#,
            r#"{"@json": {"mode": "decode", "value": "{\"a\":1,\"a\":2}"}}"#,
            Ok(Some(r#"{"a":2}"#)),
        ),
        (names, "$.properties.address", Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#))),
        (names, r#"{"a1": 1}"#, Err("has a member whose name does not match the pattern `[a-z]+`")),
        (names, "{}", Ok(Some("{}"))),
        (
            r#"{"kind": "object", "member_characters_max": 2}"#,
            "$.properties.address",
            Err("has a member with more than 2 characters"),
        ),
        (
            r#"{"kind": "object", "member_characters_max": 3}"#,
            "$.properties.address",
            Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#)),
        ),
        (cut, "$.properties.address", Ok(Some(r#"{"city":"Ul","geo":{"lat": 48.40}}"#))),
        (cut, "$.properties.products[2]", Ok(Some(r#"{"price": 0}"#))),
        (
            r#"{"kind": "object", "members_max": 1, "too_long": "cut"}"#,
            "$.properties.address",
            Ok(Some(r#"{"city":"Ulm"}"#)),
        ),
        (
            r#"{"kind": "list", "members_max": 2, "too_long": "cut"}"#,
            "$.properties.list",
            Ok(Some("[1,2.0]")),
        ),
        (
            r#"{"kind": "object", "members_max": 2, "too_long": "cut"}"#,
            "$.properties.address",
            Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#)),
        ),
    ]);
}

#[test]
fn members_are_named_as_the_vendor_takes_them() {
    let clean = r#"{"kind": "object", "member_names": "clean", "member_name_characters_max": 5,
        "member_pattern": "[A-Za-z][A-Za-z0-9_]*", "members_reserved": ["_*", "ga_*", "gtag.*", "id"],
        "members_max": 2, "too_long": "cut"}"#;
    let reserved = r#"{"kind": "object", "members_reserved": ["ga_*"]}"#;
    check(&[
        (clean, "$.properties.address", Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#))),
        (clean, r#"{"a b": 1, "größer": 2}"#, Ok(Some(r#"{"a_b":1,"gr__e":2}"#))),
        // Of those that come to have one name the first counts.
        (clean, r#"{"a-b": 1, "a_b": 2, "c": 3}"#, Ok(Some(r#"{"a_b":1,"c":3}"#))),
        (
            clean,
            r#"{"1st": 1, "注文": 2, "_x": 3, "ga_x": 4, "ga x": 5, "gtag.": 6, "id": 7}"#,
            Ok(Some("{}")),
        ),
        // Those that are left out are not counted.
        (clean, r#"{"1": 1, "a": 1.0, "b": 2, "c": 3}"#, Ok(Some(r#"{"a":1.0,"b":2}"#))),
        (reserved, r#"{"ga_x": 1, "ga x": 2}"#, Ok(Some(r#"{"ga x":2}"#))),
    ]);
}

#[test]
fn members_are_left_out_wherever_they_lie() {
    let rules = r#"{"kind": "object", "members_left_out": ["*email*", "first_name"]}"#;
    check(&[
        (rules, "$.properties.address", Ok(Some(r#"{"city": "Ulm", "geo": {"lat": 48.40}}"#))),
        (rules, "$.traits", Ok(Some("{}"))),
        (
            rules,
            r#"{"a": 1, "userEmail": "x", "First Name": "x", "names": 2}"#,
            Ok(Some(r#"{"a":1,"names":2}"#)),
        ),
        (
            rules,
            r#"{"a": {"b": [{"EMAIL": "x", "c": 1}, 2]}, "d": {"e": 1.0}}"#,
            Ok(Some(r#"{"a":{"b":[{"c":1},2]},"d":{"e":1.0}}"#)),
        ),
    ]);
    let deep = format!(r#"{{"a":{}1{}}}"#, r#"{"b":"#.repeat(70), "}".repeat(70));
    let action = json!({"fields": [
        {"name": "f", "kind": "object", "members_left_out": ["email"], "default": {"@path": "$"}},
    ]});
    let compiled = compile(&action, &json!({}), &json!({})).unwrap_or_else(|error| panic!("{error}"));
    let failure = compiled.payload(&Root::new(&deep)).expect_err("it is too deep to be searched");
    assert_eq!(failure.reason, Reason::InvalidField);
    assert!(failure.text.contains("has a member with more than 64 levels"), "{}", failure.text);
}

#[test]
fn however_deep_an_event_is_nothing_breaks() {
    let filled = |directive: Json, levels: usize| {
        let event = format!(r#"{{"e":{}1{}}}"#, r#"{"b":["#.repeat(levels / 2), "]}".repeat(levels / 2));
        let action = json!({"fields": [{"name": "f", "kind": "any", "default": directive}]});
        let compiled = compile(&action, &json!({}), &json!({})).unwrap_or_else(|error| panic!("{error}"));
        compiled
            .payload(&Root::new(&event))
            .map(|body| String::from_utf8(body).expect("JSON is text").len() > 2)
    };
    let flatten = json!({"@flatten": {"value": {"@path": "$.e"}, "separator": "."}});
    let found = json!({"@path": "$.e[*]"});
    let searched = json!({"@path": "$.e..b"});
    let rendered = json!({"@template": "{{#if e.b}}{{lookup e 'b'}}{{/if}}"});
    let whole = json!({"@path": "$.e"});
    for directive in [&flatten, &found, &searched, &rendered, &whole] {
        assert_eq!(filled(directive.clone(), 64), Ok(true), "{directive}");
    }
    for levels in [66, 100_000] {
        let failure = filled(flatten.clone(), levels).expect_err("it is too deep to be flattened");
        assert_eq!(failure.reason, Reason::InvalidField);
        assert!(failure.text.contains("has more than 64 levels"), "{}", failure.text);
        for directive in [&found, &searched] {
            assert_eq!(
                filled(directive.clone(), levels),
                Ok(false),
                "{directive} of {levels}: nothing is found"
            );
        }
        for directive in [&rendered, &whole] {
            assert_eq!(filled(directive.clone(), levels), Ok(true), "{directive} of {levels}");
        }
    }
}

#[test]
fn personal_values_are_hashed() {
    let email = r#"{"kind": "text", "hash": "email"}"#;
    let hash = "973dfe463ec85785f5f95af5ba3906eedb2d931c24e69824a89ea65dba4e813b";
    let (quoted, upper) = (format!("{hash:?}"), format!("{:?}", hash.to_uppercase()));
    let several = format!("[{quoted},{quoted}]");
    let made = format!(r#"[" Test@Example.com", "", {upper}]"#);
    check(&[
        (email, r#"" Test@Example.com""#, Ok(Some(quoted.as_str()))),
        (email, upper.as_str(), Ok(Some(quoted.as_str()))),
        (email, r#"" ""#, Ok(None)),
        (email, "$.properties.null", Ok(Some("null"))),
        (email, "[1]", Err("must be a text")),
        (r#"{"kind": "list", "hash": "email"}"#, made.as_str(), Ok(Some(several.as_str()))),
        (
            r#"{"kind": "list", "hash": "email"}"#,
            "[[1]]",
            Err("must be a text, or a list of texts: it is hashed"),
        ),
        (r#"{"kind": "any", "hash": "text"}"#, "{}", Err("must be a text, or a list of texts: it is hashed")),
        (
            r#"{"kind": "text", "hash": "phone", "required": "always"}"#,
            r#""none""#,
            Err("the field f of send is required"),
        ),
    ]);
}

#[test]
fn fields_stand_in_the_order_of_the_definition() {
    let field = |name: &str, default: Json| json!({"name": name, "kind": "any", "default": default});
    let action = json!({"fields": [
        field("z", json!({"@path": "$.event"})),
        field("user.b", json!({"@path": "$.userId"})),
        field("a", json!(null)),
        field("user.a.x", json!(1)),
        field("empty.x", json!({"@path": "$.missing"})),
        field("user.a.y", json!(null)),
        field("odd \"name\"", json!({"@path": "$.properties.null"})),
        field("whole", json!({"@path": "$"})),
    ]});
    let want = format!(
        r#"{{"z":"Order Completed","user":{{"b":"u1","a":{{"x":1}}}},"odd \"name\"":null,"whole":{EVENT}}}"#
    );
    assert_eq!(payload(&action), Ok(want));
    assert_eq!(payload(&json!({"fields": []})), Ok("{}".to_owned()));
}

#[test]
fn a_mapping_counts_instead_of_defaults() {
    let action = json!({"fields": [
        {"name": "a", "kind": "any", "default": {"@path": "$.event"}},
        {"name": "b", "kind": "any", "default": {"@path": "$.type"}},
        {"name": "c", "kind": "any"},
    ]});
    let compiled = compile(&action, &json!({"a": null, "c": {"@template": "{{userId}}!"}}), &json!({}));
    let body = compiled.unwrap_or_else(|error| panic!("{error}")).payload(&root());
    assert_eq!(body, Ok(br#"{"b":"track","c":"u1!"}"#.to_vec()));
}

#[test]
fn settings_are_named_where_they_are_not_secret() {
    let action = json!({"fields": [
        {"name": "currency", "kind": "text", "default": {"@setting": "currency"}},
        {"name": "channel", "kind": "text", "required": {"with_setting": "channel"}, "default": {"@path": "$.missing"}},
        {"name": "text", "kind": "text", "default": {"@if": {"exists": {"@setting": "message"}, "then": {"@setting": "message"}, "else": "-"}}},
    ]});
    let cases = [
        (json!({}), Ok(r#"{"currency":"EUR","text":"-"}"#)),
        (
            json!({"currency": "USD", "message": "{{event}} of {{userId}}"}),
            Ok(r#"{"currency":"USD","text":"Order Completed of u1"}"#),
        ),
        (json!({"currency": null, "channel": "c"}), Err(Reason::MissingField)),
    ];
    for (settings, want) in cases {
        let compiled = compile(&action, &json!({}), &settings).unwrap_or_else(|error| panic!("{error}"));
        let body = compiled.payload(&root()).map_err(|failure| failure.reason);
        assert_eq!(body, want.map(|text| text.as_bytes().to_vec()), "{settings}");
    }
}

#[test]
fn what_is_missing_is_named_with_what_to_do() {
    let required = json!({"fields": [{"name": "email", "kind": "text", "required": "always", "default": {"@path": "$.traits.phone"}}]});
    let failure = payload(&required).expect_err("it is missing");
    assert_eq!(failure.reason, Reason::MissingField);
    assert_eq!(
        failure.text,
        "the field email of send is required, and there is nothing in this event to fill it with: map it to something that every \
         such event has, or narrow the trigger"
    );
    let null = json!({"fields": [{"name": "a", "kind": "text", "required": "always", "default": {"@path": "$.properties.null"}}]});
    assert_eq!(payload(&null).expect_err("null is nothing").reason, Reason::MissingField);

    let any_of = |path: &str| {
        json!({
            "any_of": [["a", "b"]],
            "fields": [
                {"name": "a", "kind": "text", "default": {"@path": "$.missing"}},
                {"name": "b", "kind": "text", "default": {"@path": path}},
                {"name": "c", "kind": "text", "default": "c"},
            ]
        })
    };
    assert_eq!(payload(&any_of("$.userId")), Ok(r#"{"b":"u1","c":"c"}"#.to_owned()));
    for path in ["$.missing", "$.properties.null"] {
        let failure = payload(&any_of(path)).expect_err("neither is there");
        assert_eq!(failure.reason, Reason::MissingField);
        assert!(
            failure.text.starts_with("send needs at least one of the fields a, b, and"),
            "{}",
            failure.text
        );
    }
}

#[test]
fn failures_hold_no_values() {
    let directives = [
        r#"{"@json": {"mode": "decode", "value": {"@path": "$.traits.email"}}}"#,
        r#"{"@path": "$.traits"}"#,
        r#"{"@merge": {"direction": "left", "objects": [{"@path": "$.traits.email"}]}}"#,
    ];
    let rules = [
        r#"{"kind": "text", "pattern": "x"}"#,
        r#"{"kind": "number"}"#,
        r#"{"kind": "datetime"}"#,
        r#"{"kind": "object", "member_pattern": "x"}"#,
        r#"{"kind": "list", "members_max": 0}"#,
    ];
    for directive in directives {
        for rules in rules {
            let problem = one(rules, directive).expect_err(directive);
            assert!(!problem.contains("ada"), "{rules} {directive}: {problem}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_mapping_is_said_with_its_place() {
    let action = json!({"fields": [
        {"name": "total", "kind": "number"},
        {"name": "user.email", "kind": "text", "required": "always", "default": "x"},
    ]});
    let cases = [
        (json!({"totl": 1}), "totl", "is no field of send; did you mean total?"),
        (json!({"email_address": 1}), "email_address", "there are total, user.email"),
        (
            json!({"total": {"@if": {"exists": 1, "then": {"@pth": 1}}}}),
            "total.@if.then.@pth",
            "did you mean @path?",
        ),
        (json!({"total": [{"@path": 1}]}), "total[0].@path", "takes a path"),
        (json!({"total": {"@path": "$.a", "b": 1}}), "total", "mixes"),
        (json!({"user.email": null}), "user.email", "is required: say how it is filled"),
        (json!({"total": {"@setting": "token"}}), "total.@setting", "is secret and can't be sent"),
        (json!({"total": {"@setting": "curency"}}), "total.@setting", "did you mean `currency`?"),
        (json!({"total": {"@setting": "xyz"}}), "total.@setting", "there are currency, channel, message"),
    ];
    for (fields, place, message) in cases {
        let error =
            compile(&action, &fields, &json!({})).err().unwrap_or_else(|| panic!("{fields} is taken"));
        assert_eq!(error.place, place, "{error}");
        assert!(error.message.contains(message), "{error}");
    }
    for names in [["a", "a"], ["a", "a.b"], ["a.b", "a"]] {
        let fields: Vec<Json> = names.iter().map(|name| json!({"name": name, "kind": "any"})).collect();
        let error = compile(&json!({ "fields": fields }), &json!({}), &json!({})).err();
        let error = error.unwrap_or_else(|| panic!("{names:?} is taken"));
        assert!(error.message.contains("has the name of another field"), "{error}");
    }
}

#[test]
fn a_payload_is_limited() {
    let event = json!({ "long": "a".repeat(900_000) }).to_string();
    let fields = |count: usize| -> Json {
        (0..count)
            .map(|at| json!({"name": format!("f{at}"), "kind": "any", "default": {"@path": "$.long"}}))
            .collect()
    };
    for (count, is_taken) in [(4, true), (5, false)] {
        let compiled = compile(&json!({ "fields": fields(count) }), &json!({}), &json!({}));
        let body = compiled.unwrap_or_else(|error| panic!("{error}")).payload(&Root::new(&event));
        assert_eq!(body.is_ok(), is_taken, "{count}");
        if let Err(failure) = body {
            assert_eq!(failure.reason, Reason::InvalidField);
            assert!(failure.text.contains("the limit is 4194304"), "{}", failure.text);
        }
    }
}

#[test]
fn a_mapping_works_by_itself() {
    let spec = spec(&json!({"fields": [{"name": "a", "kind": "text", "default": {"@path": "$.event"}}]}));
    let (fields, settings) = (BTreeMap::new(), RawSettings::new());
    let mapper = Mapper::new(spec, "send", &fields, &settings).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(mapper.map(EVENT), Ok(br#"{"a":"Order Completed"}"#.to_vec()));
    let unknown = Mapper::new(spec, "sned", &fields, &settings).err().expect("there is no such action");
    assert_eq!(unknown.field, "action");
    let fields = BTreeMap::from([("a".to_owned(), json!({"@pth": 1}))]);
    let wrong = Mapper::new(spec, "send", &fields, &settings).err().expect("there is no such directive");
    assert_eq!(wrong.field, "fields.a.@pth");
}
