//! Random mappings of random events: as the reference has them, and without harm whatever they are.

use super::reference;
use crate::mapping::{Directive, Path, Root, Template};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value as Json, json};

const NAMES: [&str; 5] = ["a", "b", "c", "list", "Ä"];
const TEXTS: [&str; 12] = [
    "",
    "a",
    "Ab ba",
    "x\"y\\",
    "ÄÖ ß",
    "true",
    "5",
    "[1, 2.5]",
    "{\"a\": {\"b\": null}}",
    "\n\u{1F600}",
    "{{a}}",
    "$.a",
];

fn any_scalar() -> impl Strategy<Value = Json> {
    prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        (-3_i64..4).prop_map(Json::from),
        select(vec![0.5, -1.25, 0.0, 4096.75, 123_456_789.125]).prop_map(Json::from),
        select(TEXTS.to_vec()).prop_map(Json::from),
    ]
}

fn any_value() -> impl Strategy<Value = Json> {
    any_scalar().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::Array),
            vec((select(NAMES.to_vec()), inner), 0..4).prop_map(object),
        ]
    })
}

fn object(members: Vec<(&'static str, Json)>) -> Json {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// An event with the members that are taken apart once, and others.
fn any_event() -> impl Strategy<Value = Json> {
    let names = ["properties", "context", "traits", "a", "b", "list"];
    vec((select(names.to_vec()), any_value()), 0..7).prop_map(object)
}

fn any_step() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(NAMES.to_vec()).prop_map(|name| format!(".{name}")),
        1 => select(NAMES.to_vec()).prop_map(|name| format!("['{name}']")),
        2 => (-3_i64..3).prop_map(|index| format!("[{index}]")),
    ]
}

/// A path that leads to one place.
fn any_path() -> impl Strategy<Value = String> {
    let head = select(vec!["$", "$.properties", "$.context", "$.traits", "$.a", "$.list"]);
    (head, vec(any_step(), 0..3)).prop_map(|(head, steps)| format!("{head}{}", steps.concat()))
}

/// A path that may lead to several.
fn any_query() -> impl Strategy<Value = String> {
    let step = prop_oneof![3 => any_step(), 1 => Just("[*]".to_owned()), 1 => Just(".*".to_owned())];
    let head = select(vec!["$", "$.properties", "$.list"]);
    (head, vec(step, 0..4)).prop_map(|(head, steps)| format!("{head}{}", steps.concat()))
}

/// A template of text and names.
fn any_template() -> impl Strategy<Value = String> {
    let names = select(vec!["properties", "context", "a", "b", "c", "list", "0", "1", "Ä"]);
    let place = vec(names, 1..4).prop_map(|names| format!("{{{{{}}}}}", names.join(".")));
    let piece =
        prop_oneof![2 => place, 1 => select(vec!["x", " ", "<&>", "}", "é\n"]).prop_map(str::to_owned)];
    vec(piece, 0..4).prop_map(|pieces| pieces.concat())
}

/// A directive, or what directives stand in.
fn any_directive() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        6 => any_path().prop_map(|path| json!({ "@path": path })),
        2 => any_template().prop_map(|template| json!({ "@template": template })),
        1 => any_scalar(),
        1 => any_value().prop_map(|value| json!({ "@literal": value })),
    ];
    let nested = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            2 => vec((select(NAMES.to_vec()), inner.clone()), 0..4).prop_map(object),
            1 => vec(inner.clone(), 0..3).prop_map(Json::Array),
            2 => any_choice(inner.clone()),
            1 => (select(vec!["lower", "upper"]), inner.clone())
                .prop_map(|(operator, value)| json!({"@case": {"operator": operator, "value": value}})),
            2 => any_replacement(inner.clone()),
            1 => (any_path(), inner.clone()).prop_map(|(path, shape)| json!({"@arrayPath": [path, shape]})),
            1 => (inner.clone(), inner.clone()).prop_map(|(list, shape)| array_path(&list, &shape)),
            1 => (inner.clone(), select(vec![".", "_"]), any::<bool>()).prop_map(|(value, separator, keeps)| {
                json!({"@flatten": {"value": value, "separator": separator, "omitArrays": keeps}})
            }),
            2 => (vec(inner.clone(), 0..3), select(vec!["left", "right"]))
                .prop_map(|(objects, direction)| json!({"@merge": {"objects": objects, "direction": direction}})),
            1 => (inner.clone(), inner.clone())
                .prop_map(|(apply, mapping)| json!({"@transform": {"apply": apply, "mapping": mapping}})),
            1 => inner.prop_map(|value| json!({ "@excludeWhenNull": value })),
        ]
    });
    // What was made has its members in another order in the reference: only what stands in the event is encoded.
    prop_oneof![12 => nested, 1 => any_path().prop_map(encoded), 1 => any_path().prop_map(decoded)]
}

fn encoded(path: String) -> Json {
    json!({"@json": {"mode": "encode", "value": {"@path": path}}})
}

fn decoded(path: String) -> Json {
    json!({"@json": {"mode": "decode", "value": {"@path": path}}})
}

/// The list has to be a path or a directive.
fn array_path(list: &Json, shape: &Json) -> Json {
    if list.is_object() {
        return json!({"@arrayPath": [list, shape]});
    }
    json!({"@arrayPath": [{ "@literal": list }, shape]})
}

fn any_choice(inner: BoxedStrategy<Json>) -> impl Strategy<Value = Json> {
    let branches = prop_oneof![Just(("then", "then")), Just(("else", "else")), Just(("then", "else"))];
    (select(vec!["exists", "blank"]), inner.clone(), inner.clone(), inner, branches).prop_map(
        |(test, value, one, other, (first, second))| json!({"@if": {test: value, first: one, second: other}}),
    )
}

fn any_replacement(inner: BoxedStrategy<Json>) -> impl Strategy<Value = Json> {
    let patterns = || select(vec!["a", "A", "b ", "\"", "5", "ue", "."]);
    (inner, patterns(), patterns(), any::<bool>(), any::<bool>()).prop_map(
        |(value, pattern, replacement, global, ignores_case)| {
            json!({"@replace": {
                "value": value, "pattern": pattern, "replacement": replacement, "pattern2": replacement, "replacement2": "",
                "global": global, "ignorecase": ignores_case
            }})
        },
    )
}

/// Whatever looks a little like a directive.
fn any_nonsense() -> impl Strategy<Value = Json> {
    let names = vec![
        "@path",
        "@template",
        "@if",
        "exists",
        "blank",
        "then",
        "else",
        "@case",
        "operator",
        "value",
        "@replace",
        "pattern",
        "@arrayPath",
        "@flatten",
        "separator",
        "@json",
        "mode",
        "@merge",
        "objects",
        "direction",
        "@transform",
        "apply",
        "mapping",
        "@excludeWhenNull",
        "@setting",
        "@",
        "a",
    ];
    let texts = vec![
        "$",
        "$.a[*]",
        "a",
        "{{a}}",
        "{{#each a}}{{this}}{{/each}}",
        "lower",
        "decode",
        "left",
        "",
        "{{",
        "$[",
    ];
    let leaf = prop_oneof![any_scalar(), select(texts).prop_map(Json::from)];
    leaf.prop_recursive(4, 32, 4, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Json::Array),
            vec((select(names.clone()), inner), 0..4).prop_map(object),
        ]
    })
}

/// Pieces of paths and templates in any order.
fn any_soup() -> impl Strategy<Value = String> {
    let pieces = vec![
        "{{",
        "}}",
        "{",
        "}",
        "#",
        "/",
        "^",
        "if",
        "each",
        "with",
        "else",
        " ",
        "a",
        "this",
        "..",
        ".",
        "@root",
        "@index",
        "(",
        ")",
        "[",
        "]",
        "\"",
        "'",
        "\\",
        "|",
        "as",
        "=",
        "~",
        "!",
        "--",
        "&",
        ">",
        "*",
        "$",
        "?",
        "@",
        "==",
        "<",
        "&&",
        "||",
        "0",
        "-1",
        ":",
        ",",
        "length",
        "eq",
        "lookup",
        "null",
        "true",
        "é",
        "\n",
        "{{#if a}}",
        "{{/if}}",
        "{{else}}",
        "{{#each a}}",
        "{{/each}}",
        "{{{{a}}}}",
        "{{{{/a}}}}",
        "[?@.a",
        "[*]",
        "['a']",
    ];
    vec(select(pieces), 0..16).prop_map(|pieces| pieces.concat())
}

fn made(directive: &Json, event: &str) -> reference::Made {
    let directive = Directive::parse(directive).unwrap_or_else(|error| panic!("{directive}: {error}"));
    let Ok(value) = directive.evaluate(&Root::new(event)) else { return Err(()) };
    let Some(value) = value else { return Ok(None) };
    let mut out = Vec::new();
    value.write(&mut out);
    Ok(Some(serde_json::from_slice(&out).expect("what is written is JSON")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn directives_make_what_the_reference_makes(directive in any_directive(), event in any_event()) {
        let got = made(&directive, &event.to_string());
        prop_assert_eq!(got, reference::evaluate(&directive, &event), "{} of {}", directive, event);
    }

    #[test]
    fn paths_lead_where_the_reference_leads(path in any_query(), event in any_event()) {
        let text = event.to_string();
        let found = Path::parse(&path).expect("a path").evaluate(&Root::new(&text));
        let found: Option<Json> = found.map(|value| {
            let mut out = Vec::new();
            value.write(&mut out);
            serde_json::from_slice(&out).expect("JSON")
        });
        prop_assert_eq!(found, reference::path(&path, &event), "{} of {}", path, event);
    }

    #[test]
    fn plain_templates_are_filled_alike(template in any_template(), event in any_event()) {
        let text = event.to_string();
        let root = Root::new(&text);
        let plain = Template::parse(&template).expect("a template").render(&root);
        let library = Template::parse_for_library(&template, None).expect("a template").render(&root);
        // The library takes a name in a list for an error.
        if library.is_ok() {
            prop_assert_eq!(plain, library, "{} of {}", template, event);
        }
    }

    #[test]
    fn values_as_trees_are_the_same_values(event in any_value()) {
        let text = event.to_string();
        prop_assert_eq!(crate::mapping::Value::Raw(&text).to_serde(), event.clone());
        prop_assert_eq!(crate::mapping::Value::from_json(&event).to_serde(), event);
    }

    #[test]
    fn nothing_panics(nonsense in any_nonsense(), soup in any_soup(), event in any_event()) {
        let text = event.to_string();
        let root = Root::new(&text);
        if let Ok(directive) = Directive::parse(&nonsense) {
            let _ = directive.evaluate(&root);
        }
        if let Ok(path) = Path::parse(&soup) {
            let _ = path.evaluate(&root);
        }
        if let Ok(template) = Template::parse(&soup) {
            let _ = template.render(&root);
        }
        let _ = Path::parse("$.a.b[0]").expect("a path").evaluate(&Root::new(&soup));
    }
}
