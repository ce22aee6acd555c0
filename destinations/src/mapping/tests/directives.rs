//! Directives, one after the other.

use super::{check, made_of, root};
use crate::mapping::Root;

#[test]
fn what_is_no_directive_stands_for_itself() {
    check(&[
        ("null", Some("null")),
        ("true", Some("true")),
        ("12.5", Some("12.5")),
        (r#""$.event""#, Some(r#""$.event""#)),
        (r#""{{event}}""#, Some(r#""{{event}}""#)),
        ("[]", Some("[]")),
        ("{}", Some("{}")),
        (r#"{"a": [1, {"b": null}]}"#, Some(r#"{"a":[1,{"b":null}]}"#)),
    ]);
}

#[test]
fn objects_and_lists_hold_directives() {
    check(&[
        (
            r#"{"a": {"@path": "$.event"}, "b": {"c": {"@path": "$.properties.total"}, "d": 1}}"#,
            Some(r#"{"a":"Order Completed","b":{"c":12.50,"d":1}}"#),
        ),
        // What is missing leaves its name out; null stays.
        (
            r#"{"a": {"@path": "$.missing"}, "b": {"@path": "$.properties.null"}, "c": null}"#,
            Some(r#"{"b":null,"c":null}"#),
        ),
        (r#"{"a": {"b": {"@path": "$.missing"}}}"#, Some(r#"{"a":{}}"#)),
        (r#"[{"@path": "$.type"}, {"@path": "$.missing"}, null, 1]"#, Some(r#"["track",null,1]"#)),
        (r#"{"odd \"name\"\n": {"@path": "$.type"}}"#, Some(r#"{"odd \"name\"\n":"track"}"#)),
    ]);
}

#[test]
fn literal() {
    check(&[
        (r#"{"@literal": true}"#, Some("true")),
        (r#"{"@literal": null}"#, Some("null")),
        (r#"{"@literal": {"@path": "$.event"}}"#, Some(r#"{"@path":"$.event"}"#)),
        (r#"{"@literal": {"@type": "Person", "@id": 1}}"#, Some(r#"{"@id":1,"@type":"Person"}"#)),
        (r#"{"a": {"@literal": [{"@if": 1}]}}"#, Some(r#"{"a":[{"@if":1}]}"#)),
    ]);
}

#[test]
fn if_exists() {
    let cases = [
        ("$.properties.total", "then"),
        ("$.properties.zero", "then"),
        ("$.properties.no", "then"),
        ("$.properties.empty", "then"),
        ("$.properties.none", "then"),
        ("$.properties.null", "else"),
        ("$.properties.missing", "else"),
        ("$.profile.traits.plan", "then"),
    ];
    for (path, want) in cases {
        let directive =
            format!(r#"{{"@if": {{"exists": {{"@path": "{path}"}}, "then": "then", "else": "else"}}}}"#);
        check(&[(directive.as_str(), Some(format!("{want:?}").as_str()))]);
    }
    check(&[
        (r#"{"@if": {"exists": {"@path": "$.missing"}, "then": 1}}"#, None),
        (r#"{"@if": {"exists": {"@path": "$.event"}, "else": 1}}"#, None),
        (r#"{"@if": {"exists": {"@path": "$.event"}, "then": {"@path": "$.missing"}, "else": 1}}"#, None),
        (
            r#"{"@if": {"exists": {"@path": "$.a"}, "then": {"@path": "$.a"}, "else": {"@if": {"exists": {"@path": "$.userId"},
                "then": {"@path": "$.userId"}}}}}"#,
            Some(r#""u1""#),
        ),
    ]);
}

#[test]
fn if_blank() {
    let cases = [
        ("$.properties.missing", "then"),
        ("$.properties.null", "then"),
        ("$.properties.empty", "then"),
        ("$.properties.no", "then"),
        ("$.properties.zero", "then"),
        ("$.properties.negative", "then"),
        ("$.properties.total", "else"),
        ("$.properties.yes", "else"),
        ("$.properties.plain", "else"),
        ("$.properties.none", "else"),
        ("$.properties.nothing", "else"),
    ];
    for (path, want) in cases {
        let directive =
            format!(r#"{{"@if": {{"blank": {{"@path": "{path}"}}, "then": "then", "else": "else"}}}}"#);
        check(&[(directive.as_str(), Some(format!("{want:?}").as_str()))]);
    }
}

#[test]
fn case() {
    check(&[
        (r#"{"@case": {"operator": "lower", "value": {"@path": "$.event"}}}"#, Some(r#""order completed""#)),
        (r#"{"@case": {"operator": "upper", "value": {"@path": "$.properties.plain"}}}"#, Some(r#""GRÜN""#)),
        (
            r#"{"@case": {"operator": "upper", "value": {"@path": "$.properties.name"}}}"#,
            Some(r#""GRÜN ADA \"X\"""#),
        ),
        (r#"{"@case": {"operator": "upper", "value": "straße"}}"#, Some(r#""STRASSE""#)),
        (r#"{"@case": {"operator": "lower", "value": {"@path": "$.properties.total"}}}"#, Some("12.50")),
        (r#"{"@case": {"operator": "lower", "value": {"@path": "$.properties.null"}}}"#, Some("null")),
        (r#"{"@case": {"operator": "lower", "value": {"@path": "$.missing"}}}"#, None),
    ]);
}

#[test]
fn replace() {
    check(&[
        (
            r#"{"@replace": {"pattern": "e", "replacement": "3", "value": {"@path": "$.event"}}}"#,
            Some(r#""Ord3r Compl3t3d""#),
        ),
        (
            r#"{"@replace": {"pattern": "e", "replacement": "3", "global": false, "value": {"@path": "$.event"}}}"#,
            Some(r#""Ord3r Completed""#),
        ),
        (
            r#"{"@replace": {"pattern": "o", "replacement": "0", "ignorecase": true, "value": {"@path": "$.event"}}}"#,
            Some(r#""0rder C0mpleted""#),
        ),
        (r#"{"@replace": {"pattern": " ", "value": {"@path": "$.event"}}}"#, Some(r#""OrderCompleted""#)),
        (
            r#"{"@replace": {"pattern": "Order", "replacement": "a", "pattern2": "a", "replacement2": "b", "value": {"@path": "$.event"}}}"#,
            Some(r#""b Completed""#),
        ),
        (
            r#"{"@replace": {"pattern": "d", "replacement": "", "pattern2": "r", "value": {"@path": "$.event"}}}"#,
            Some(r#""Oe Complete""#),
        ),
        // Text, not a regular expression, and no groups in what is put there.
        (r#"{"@replace": {"pattern": ".", "replacement": "$0", "value": "a.b"}}"#, Some(r#""a$0b""#)),
        (
            r#"{"@replace": {"pattern": "ü", "replacement": "ue", "value": {"@path": "$.properties.name"}}}"#,
            Some(r#""Gruen Ada \"x\"""#),
        ),
        (
            r#"{"@replace": {"pattern": "Ü", "replacement": "u", "ignorecase": true, "value": {"@path": "$.properties.plain"}}}"#,
            Some(r#""Grun""#),
        ),
        (
            r#"{"@replace": {"pattern": ".", "replacement": ",", "value": {"@path": "$.properties.total"}}}"#,
            Some(r#""12,50""#),
        ),
        (
            r#"{"@replace": {"pattern": "true", "replacement": "yes", "value": {"@path": "$.properties.yes"}}}"#,
            Some(r#""yes""#),
        ),
        (
            r#"{"@replace": {"pattern": "a", "value": {"@path": "$.properties.list"}}}"#,
            Some(r#"[1, 2.0, {"a": "b"}]"#),
        ),
        (r#"{"@replace": {"pattern": "a", "value": {"@path": "$.properties.null"}}}"#, Some("null")),
        (r#"{"@replace": {"pattern": "a", "value": {"@path": "$.missing"}}}"#, None),
    ]);
}

#[test]
fn array_path() {
    check(&[
        (
            r#"{"@arrayPath": ["$.properties.products", {"id": {"@path": "$.sku"}, "price": {"@path": "price"}, "unit": "EUR"}]}"#,
            Some(
                r#"[{"id":"A","price":10.10,"unit":"EUR"},{"id":"B","price":"5","unit":"EUR"},{"price":0,"unit":"EUR"}]"#,
            ),
        ),
        // The shape may be any directive; what is missing is left out.
        (r#"{"@arrayPath": ["$.properties.products", {"@path": "$.sku"}]}"#, Some(r#"["A","B"]"#)),
        (
            r#"{"@arrayPath": ["$.properties.products", {"@template": "{{sku}}={{price}}"}]}"#,
            Some(r#"["A=10.10","B=5","=0"]"#),
        ),
        (r#"{"@arrayPath": ["$.properties.list", {"@path": "$"}]}"#, Some(r#"[1,2.0,{"a": "b"}]"#)),
        // Without a shape, the list as it stands.
        (r#"{"@arrayPath": ["$.properties.list"]}"#, Some(r#"[1, 2.0, {"a": "b"}]"#)),
        (r#"{"@arrayPath": ["$.properties.none", {"a": {"@path": "$.a"}}]}"#, Some("[]")),
        // An object is a list of one.
        (r#"{"@arrayPath": ["$.properties.address", {"a": {"@path": "$.city"}}]}"#, Some(r#"[{"a":"Ulm"}]"#)),
        (r#"{"@arrayPath": ["$.properties.total", {"a": {"@path": "$.city"}}]}"#, Some("12.50")),
        (r#"{"@arrayPath": ["$.properties.null", {"a": {"@path": "$.city"}}]}"#, Some("null")),
        (r#"{"@arrayPath": ["$.missing", {"a": {"@path": "$.city"}}]}"#, None),
        // The list may be made, and shapes lie within each other.
        (
            r#"{"@arrayPath": [{"@merge": {"direction": "right", "objects": [{"n": 1}]}}, {"m": {"@path": "$.n"}}]}"#,
            Some(r#"[{"m":1}]"#),
        ),
        (r#"{"@arrayPath": ["$.properties.products[?@.sku]", {"@path": "$.sku"}]}"#, Some(r#"["A","B"]"#)),
    ]);
}

#[test]
fn flatten() {
    check(&[
        (
            r#"{"@flatten": {"value": {"@path": "$.properties.address"}, "separator": "."}}"#,
            Some(r#"{"city":"Ulm","geo.lat":48.40}"#),
        ),
        (
            r#"{"@flatten": {"value": {"a": {"@path": "$.properties.list"}, "b": {"c": {"@path": "$.properties.none"}}}, "separator": "_"}}"#,
            Some(r#"{"a_0":1,"a_1":2.0,"a_2_a":"b"}"#),
        ),
        (
            r#"{"@flatten": {"value": {"a": {"@path": "$.properties.list"}, "b": {"c": {"@path": "$.properties.none"}}}, "separator": "_",
                "omitArrays": true}}"#,
            Some(r#"{"a":[1, 2.0, {"a": "b"}],"b_c":[]}"#),
        ),
        (
            r#"{"@flatten": {"value": {"@path": "$.properties.list"}, "separator": ""}}"#,
            Some(r#"{"0":1,"1":2.0,"2a":"b"}"#),
        ),
        (
            r#"{"@flatten": {"value": {"@path": "$.properties.list"}, "separator": "", "omitArrays": true}}"#,
            Some(r#"[1, 2.0, {"a": "b"}]"#),
        ),
        // Of two values under one name the last counts; objects with nothing in them vanish.
        (
            r#"{"@flatten": {"value": {"@literal": {"a": {"b": 1}, "a.b": 2, "c": {}}}, "separator": "."}}"#,
            Some(r#"{"a.b":2}"#),
        ),
        (r#"{"@flatten": {"value": {"@literal": {"": {"": 1}}}, "separator": "."}}"#, Some(r#"{".":1}"#)),
        (r#"{"@flatten": {"value": {"@path": "$.event"}, "separator": "."}}"#, Some(r#""Order Completed""#)),
        (r#"{"@flatten": {"value": {"@path": "$.properties.null"}, "separator": "."}}"#, Some("null")),
        (r#"{"@flatten": {"value": {"@path": "$.missing"}, "separator": "."}}"#, None),
    ]);
}

#[test]
fn json() {
    check(&[
        (
            r#"{"@json": {"mode": "encode", "value": {"@path": "$.properties.address"}}}"#,
            Some(r#""{\"city\": \"Ulm\", \"geo\": {\"lat\": 48.40}}""#),
        ),
        (r#"{"@json": {"mode": "encode", "value": {"@path": "$.properties.plain"}}}"#, Some(r#""\"Grün\"""#)),
        (
            r#"{"@json": {"mode": "encode", "value": {"@path": "$.properties.big"}}}"#,
            Some(r#""123456789012345678901234567890""#),
        ),
        (
            r#"{"@json": {"mode": "encode", "value": {"a": {"@path": "$.missing"}, "b": null}}}"#,
            Some(r#""{\"b\":null}""#),
        ),
        (r#"{"@json": {"mode": "encode", "value": {"@path": "$.properties.null"}}}"#, Some(r#""null""#)),
        (r#"{"@json": {"mode": "encode", "value": {"@path": "$.missing"}}}"#, None),
        (
            r#"{"@json": {"mode": "decode", "value": {"@path": "$.properties.json"}}}"#,
            Some(r#"{"a":[1.50,{"b":null}]}"#),
        ),
        (r#"{"@json": {"mode": "decode", "value": " [ \"\\u00e4\\n\" ] "}}"#, Some(r#"["ä\n"]"#)),
        (r#"{"@json": {"mode": "decode", "value": "{\"a\":1,\"a\":2}"}}"#, Some(r#"{"a":2}"#)),
        // Half of a surrogate pair is no text; a backslash before an escape makes it none.
        (r#"{"@json": {"mode": "decode", "value": "\"\\ud800\""}}"#, Some("\"\u{fffd}\"")),
        (
            r#"{"@json": {"mode": "decode", "value": "[\"\\uD83D\\uDE00\",\"\\udc00\\ud800x\",\"\\\\ud800\"]"}}"#,
            Some("[\"\u{1f600}\",\"\u{fffd}\u{fffd}x\",\"\\\\ud800\"]"),
        ),
        (r#"{"@json": {"mode": "decode", "value": "{\"\\udfff\":1}"}}"#, Some("{\"\u{fffd}\":1}")),
        (r#"{"@json": {"mode": "decode", "value": {"@path": "$.properties.total"}}}"#, Some("12.50")),
        (r#"{"@json": {"mode": "decode", "value": {"@path": "$.missing"}}}"#, None),
        (
            r#"{"@json": {"mode": "decode", "value": {"@json": {"mode": "encode", "value": {"@path": "$.properties.products"}}}}}"#,
            Some(r#"[{"sku":"A","price":10.10},{"sku":"B","price":"5"},{"price":0}]"#),
        ),
    ]);
}

#[test]
fn text_that_is_no_json_or_too_deep_is_not_decoded() {
    let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let cases = [
        (String::new(), false),
        ("Ulm".to_owned(), false),
        ("[1".to_owned(), false),
        ("1 2".to_owned(), false),
        ("[NaN]".to_owned(), false),
        (nested(64), true),
        (nested(65), false),
        (nested(100_000), false),
        (format!("[{}]", serde_json::Value::String("[".repeat(1_000))), true),
    ];
    for (text, is_taken) in cases {
        let event = serde_json::json!({ "a": text }).to_string();
        let made = made_of(r#"{"@json": {"mode": "decode", "value": {"@path": "$.a"}}}"#, &Root::new(&event));
        let problem = "is to be decoded from a text that is no JSON of at most 64 levels";
        assert_eq!(made.is_ok(), is_taken, "{text:.20}");
        assert_eq!(made.err().as_deref(), (!is_taken).then_some(problem), "{text:.20}");
    }
}

#[test]
fn merge() {
    check(&[
        (
            r#"{"@merge": {"direction": "right", "objects": [{"a": 1, "b": 1}, {"b": 2, "c": 2}]}}"#,
            Some(r#"{"a":1,"b":2,"c":2}"#),
        ),
        (
            r#"{"@merge": {"direction": "left", "objects": [{"a": 1, "b": 1}, {"b": 2, "c": 2}]}}"#,
            Some(r#"{"a":1,"b":1,"c":2}"#),
        ),
        (
            r#"{"@merge": {"direction": "right", "objects": [{"@path": "$.properties.address"}, {"city": {"@path": "$.missing"}, "x": null}]}}"#,
            Some(r#"{"city":"Ulm","geo":{"lat": 48.40},"x":null}"#),
        ),
        // What is missing or null is passed over.
        (
            r#"{"@merge": {"direction": "right", "objects": [{"@path": "$.missing"}, {"@path": "$.properties.null"}, {"a": 1}]}}"#,
            Some(r#"{"a":1}"#),
        ),
        (r#"{"@merge": {"direction": "left", "objects": []}}"#, Some("{}")),
    ]);
    for path in ["$.event", "$.properties.list", "$.properties.yes", "$.properties.total"] {
        let directive =
            format!(r#"{{"@merge": {{"direction": "left", "objects": [{{"@path": "{path}"}}]}}}}"#);
        assert_eq!(
            made_of(&directive, &root()).err().as_deref(),
            Some("merges something that is no object"),
            "{path}"
        );
    }
}

#[test]
fn transform() {
    check(&[
        (
            r#"{"@transform": {"apply": {"a": {"@path": "$.properties.total"}, "b": {"c": {"@path": "$.event"}}},
                "mapping": {"x": {"@path": "$.a"}, "y": {"@template": "{{b.c}}!"}, "z": {"@path": "$.properties"}}}}"#,
            Some(r#"{"x":12.50,"y":"Order Completed!"}"#),
        ),
        (
            r#"{"@transform": {"apply": {"@path": "$.properties.products"}, "mapping": {"@path": "$[1].sku"}}}"#,
            Some(r#""B""#),
        ),
        // What is laid over the event does not lie over what was made of it.
        (
            r#"{"@transform": {"apply": {"@path": "$.properties"}, "mapping": {"@path": "$.profile.id"}}}"#,
            None,
        ),
        (r#"{"@transform": {"apply": {"@path": "$.missing"}, "mapping": "x"}}"#, None),
    ]);
}

#[test]
fn exclude_when_null() {
    check(&[
        (
            r#"{"a": {"@excludeWhenNull": {"@path": "$.properties.null"}}, "b": {"@excludeWhenNull": {"@path": "$.type"}}}"#,
            Some(r#"{"b":"track"}"#),
        ),
        (r#"{"@excludeWhenNull": null}"#, None),
        (r#"{"@excludeWhenNull": {"@path": "$.properties.no"}}"#, Some("false")),
        (r#"{"@excludeWhenNull": {"@path": "$.properties.empty"}}"#, Some(r#""""#)),
        (r#"{"@excludeWhenNull": {"@path": "$.missing"}}"#, None),
    ]);
}

#[test]
fn what_a_mapping_makes_is_limited() {
    let long = "a".repeat(1_000_000);
    let event = serde_json::json!({ "long": long, "list": vec![0; 100_000] }).to_string();
    let upper = r#"{"@case": {"operator": "upper", "value": {"@path": "$.long"}}}"#;
    let cases = [
        format!("[{}]", [upper; 5].join(",")),
        r#"{"@replace": {"pattern": "a", "replacement": "bbbbbbbbbb", "value": {"@path": "$.long"}}}"#
            .to_owned(),
        r#"{"@arrayPath": ["$.list", {"a": {"@path": "$"}, "b": {"@literal": 1}}]}"#.to_owned(),
        format!(r#"{{"@json": {{"mode": "encode", "value": [{}]}}}}"#, [r#"{"@path": "$"}"#; 10].join(",")),
        r#"{"@flatten": {"separator": "_", "value": {"@path": "$"}}}"#.to_owned(),
    ];
    for directive in cases {
        let made = made_of(&directive, &Root::new(&event));
        assert_eq!(made.err().as_deref(), Some("makes more than 4 MB of this event"), "{directive:.60}");
    }
}
