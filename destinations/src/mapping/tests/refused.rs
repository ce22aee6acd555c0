//! What is wrong with directives, and where.

use super::read_json;
use crate::mapping::Directive;

/// Directives, where they are wrong, and words that say how.
const CASES: &[(&str, &str, &str)] = &[
    (r#"{"@pth": "$.a"}"#, "@pth", "is no directive (did you mean @path?)"),
    (r#"{"@liquid": "{{a}}"}"#, "@liquid", "use @template"),
    (r#"{"@": 1}"#, "@", "there are @path, @template"),
    (r#"{"@type": "Person"}"#, "@type", "goes into @literal"),
    (r#"{"a": {"b": [1, {"@paht": "$"}]}}"#, "a.b[1].@paht", "did you mean @path?"),
    (r#"{"@path": "$.a", "b": 1}"#, "", "mixes @path with other members"),
    (r#"{"x": {"@path": "$.a", "@template": "b"}}"#, "x", "mixes @path with other members"),
    // Paths and templates.
    (r#"{"@path": 1}"#, "@path", "takes a path as text"),
    (r#"{"@path": {"@literal": "$.a"}}"#, "@path", "takes a path as text"),
    (r#"{"@path": "$.a b"}"#, "@path", "is no JSONPath"),
    (r#"{"@path": ""}"#, "@path", "is empty"),
    (r#"{"@template": null}"#, "@template", "takes a text"),
    (r#"{"@template": "{{a"}"#, "@template", "is no template (line 1"),
    // Conditions.
    (r#"{"@if": true}"#, "@if", "takes an object with `exists`, `blank`, `then`, `else`"),
    (r#"{"@if": {}}"#, "@if", "takes either `exists` or `blank`"),
    (r#"{"@if": {"exists": 1, "blank": 1, "then": 1}}"#, "@if", "takes either `exists` or `blank`"),
    (r#"{"@if": {"exists": {"@path": "$.a"}}}"#, "@if", "takes `then`, or `else`, or both"),
    (r#"{"@if": {"exists": 1, "than": 1}}"#, "@if", "does not take `than`; did you mean `then`?"),
    (r#"{"@if": {"exists": {"@path": "$.["}, "then": 1}}"#, "@if.exists.@path", "is no JSONPath"),
    (r#"{"@if": {"exists": 1, "then": {"@if": {"blank": 1}}}}"#, "@if.then.@if", "takes `then`"),
    (r#"{"@if": {"exists": 1, "else": {"@x": 1}}}"#, "@if.else.@x", "is no directive"),
    // Texts.
    (r#"{"@case": {"value": "a"}}"#, "@case", "lacks `operator`"),
    (r#"{"@case": {"operator": "lower"}}"#, "@case", "lacks `value`"),
    (r#"{"@case": {"operator": "title", "value": "a"}}"#, "@case.operator", "takes lower or upper"),
    (r#"{"@case": {"operator": {"@path": "$.a"}, "value": "a"}}"#, "@case.operator", "takes lower or upper"),
    (r#"{"@replace": {"value": "a"}}"#, "@replace", "lacks `pattern`"),
    (r#"{"@replace": {"pattern": "", "value": "a"}}"#, "@replace.pattern", "is empty"),
    (
        r#"{"@replace": {"pattern": "12345678901", "value": "a"}}"#,
        "@replace.pattern",
        "at most 10 characters",
    ),
    (
        r#"{"@replace": {"pattern": "ää", "replacement": "äääääääääää", "value": "a"}}"#,
        "@replace.replacement",
        "at most 10",
    ),
    (r#"{"@replace": {"pattern": 1, "value": "a"}}"#, "@replace.pattern", "takes a text"),
    (
        r#"{"@replace": {"pattern": "a", "replacement2": "b", "value": "a"}}"#,
        "@replace",
        "without `pattern2`",
    ),
    (r#"{"@replace": {"pattern": "a", "pattern2": "", "value": "a"}}"#, "@replace.pattern2", "is empty"),
    (
        r#"{"@replace": {"pattern": "a", "global": "yes", "value": "a"}}"#,
        "@replace.global",
        "takes true or false",
    ),
    (
        r#"{"@replace": {"pattern": "a", "ignoreCase": true, "value": "a"}}"#,
        "@replace",
        "did you mean `ignorecase`?",
    ),
    // Lists and objects.
    (r#"{"@arrayPath": "$.a"}"#, "@arrayPath", "takes a list of a path and"),
    (r#"{"@arrayPath": []}"#, "@arrayPath", "takes a list of a path and"),
    (r#"{"@arrayPath": ["$.a", {}, {}]}"#, "@arrayPath", "takes a list of a path and"),
    (r#"{"@arrayPath": [1]}"#, "@arrayPath[0]", "takes a path, or a directive"),
    (r#"{"@arrayPath": ["$.a["]}"#, "@arrayPath[0]", "is no JSONPath"),
    (r#"{"@arrayPath": ["$.a", {"b": {"@pat": 1}}]}"#, "@arrayPath[1].b.@pat", "is no directive"),
    (r#"{"@flatten": {"value": {"@path": "$"}}}"#, "@flatten", "lacks `separator`"),
    (r#"{"@flatten": {"value": 1, "separator": 1}}"#, "@flatten.separator", "takes a text"),
    (
        r#"{"@flatten": {"value": 1, "separator": "_", "omitArrays": 1}}"#,
        "@flatten.omitArrays",
        "takes true or false",
    ),
    (r#"{"@json": {"mode": "parse", "value": 1}}"#, "@json.mode", "takes encode or decode"),
    (r#"{"@json": {"mode": "encode"}}"#, "@json", "lacks `value`"),
    (r#"{"@merge": {"objects": []}}"#, "@merge", "lacks `direction`"),
    (r#"{"@merge": {"objects": {}, "direction": "left"}}"#, "@merge.objects", "takes a list"),
    (
        r#"{"@merge": {"objects": [{"@path": "$"}, {"@path": 1}], "direction": "left"}}"#,
        "@merge.objects[1].@path",
        "takes a path",
    ),
    (r#"{"@merge": {"objects": [], "direction": "up"}}"#, "@merge.direction", "takes left or right"),
    (r#"{"@transform": {"apply": 1}}"#, "@transform", "lacks `mapping`"),
    (r#"{"@transform": {"apply": {"@x": 1}, "mapping": 1}}"#, "@transform.apply.@x", "is no directive"),
    (r#"{"@excludeWhenNull": {"@path": 1}}"#, "@excludeWhenNull.@path", "takes a path"),
    (r#"{"@setting": "url"}"#, "@setting", "where there are none"),
    (r#"{"@setting": 1}"#, "@setting", "takes the name of a setting"),
];

#[test]
fn what_is_wrong_is_said_with_its_place() {
    for (directive, place, message) in CASES {
        let error = Directive::parse(&read_json(directive)).expect_err(directive);
        assert_eq!(error.place, *place, "{directive}: {error}");
        assert!(error.message.contains(message), "{directive}: {error}");
    }
}

#[test]
fn depth_number_and_size_are_limited() {
    let nested = |depth: usize| {
        let (open, close) = (r#"{"a":"#.repeat(depth), "}".repeat(depth));
        format!(r#"{open}{{"@path": "$"}}{close}"#)
    };
    let many = |count: usize| format!("[{}]", vec![r#"{"@path": "$"}"#; count].join(","));
    let long = |length: usize| format!("{:?}", "a".repeat(length));
    let cases = [
        (nested(19), None),
        (nested(20), Some("lies more than 20 deep")),
        (nested(100), Some("lies more than 20 deep")),
        (many(499), None),
        (many(500), Some("there are more than 500 directives")),
        (long(65_534), None),
        (long(65_535), Some("has 65537 bytes of JSON; the limit is 65536")),
    ];
    for (directive, want) in cases {
        let parsed = Directive::parse(&read_json(&directive));
        match (parsed, want) {
            (Ok(_), None) => {}
            (Err(error), Some(want)) => assert!(error.message.contains(want), "{error}"),
            (parsed, want) => panic!("{directive:.60}: {:?}, not {want:?}", parsed.err()),
        }
    }
}
