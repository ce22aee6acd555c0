//! Paths.

use super::{EVENT, check, root};
use crate::mapping::{Directive, Path, Root, Value};
use serde_json::json;

#[test]
fn a_path_that_leads_to_one_place_gives_what_stands_there() {
    check(&[
        (r#"{"@path": "$.event"}"#, Some(r#""Order Completed""#)),
        (r#"{"@path": "event"}"#, Some(r#""Order Completed""#)),
        (r#"{"@path": "$.properties.total"}"#, Some("12.50")),
        (r#"{"@path": "properties.total"}"#, Some("12.50")),
        (r#"{"@path": "['properties']['total']"}"#, Some("12.50")),
        (r#"{"@path": "$['properties'].address.geo.lat"}"#, Some("48.40")),
        (r#"{"@path": "$.properties['first name']"}"#, Some(r#""Ada""#)),
        (r#"{"@path": "$.properties['a.b']"}"#, Some(r#""dotted""#)),
        (r#"{"@path": "$.properties[\"first\\u0020name\"]"}"#, Some(r#""Ada""#)),
        (r#"{"@path": "$.properties.twice"}"#, Some("2")),
        (r#"{"@path": "$.properties.null"}"#, Some("null")),
        (r#"{"@path": "$.properties.name"}"#, Some(r#""Gr\u00fcn \u0041da \"x\"""#)),
        (r#"{"@path": "$.properties.list[0]"}"#, Some("1")),
        (r#"{"@path": "$.properties.list[-1]"}"#, Some(r#"{"a": "b"}"#)),
        (r#"{"@path": "$.properties.list[-1].a"}"#, Some(r#""b""#)),
        (r#"{"@path": "$.properties.list[3]"}"#, None),
        (r#"{"@path": "$.properties.list[-4]"}"#, None),
        (r#"{"@path": "$.properties.list[9007199254740991]"}"#, None),
        (r#"{"@path": "$.properties.list.a"}"#, None),
        (r#"{"@path": "$.properties[0]"}"#, None),
        (r#"{"@path": "$.properties.total.x"}"#, None),
        (r#"{"@path": "$.event[0]"}"#, None),
        (r#"{"@path": "$.properties.missing"}"#, None),
        (r#"{"@path": "$.missing.missing"}"#, None),
        (r#"{"@path": "$.context.page.url"}"#, Some(r#""https://shop.example/?a=1&b=2""#)),
        (
            r#"{"@path": "$.context"}"#,
            Some(r#"{"page": {"url": "https://shop.example/?a=1&b=2"}, "ip": "192.0.2.1"}"#),
        ),
    ]);
}

#[test]
fn any_other_path_gives_a_list_of_all_that_it_leads_to() {
    check(&[
        (r#"{"@path": "$.properties.products[*].price"}"#, Some(r#"[10.10,"5",0]"#)),
        (r#"{"@path": "$.properties.products[*].sku"}"#, Some(r#"["A","B"]"#)),
        (r#"{"@path": "$.properties.products[?@.price > 9].sku"}"#, Some(r#"["A"]"#)),
        (r#"{"@path": "$.properties.products[?@.price == 10.1].price"}"#, Some("[10.10]")),
        (r#"{"@path": "$.properties.products[?@.sku == 'B' || @.price < 1].price"}"#, Some(r#"["5",0]"#)),
        (r#"{"@path": "$.properties.products[?!@.sku].price"}"#, Some("[0]")),
        (r#"{"@path": "$.properties.products[?length(@.sku) == 1].sku"}"#, Some(r#"["A","B"]"#)),
        (r#"{"@path": "$.properties.list[:2]"}"#, Some("[1,2.0]")),
        (r#"{"@path": "$.properties.list[0,-1]"}"#, Some(r#"[1,{"a": "b"}]"#)),
        (r#"{"@path": "$.properties.address.*"}"#, Some(r#"["Ulm",{"lat": 48.40}]"#)),
        (r#"{"@path": "$.properties..city"}"#, Some(r#"["Ulm"]"#)),
        (r#"{"@path": "$..lat"}"#, Some("[48.40]")),
        (r#"{"@path": "$.properties.none[*]"}"#, Some("[]")),
        (r#"{"@path": "$.missing[*]"}"#, Some("[]")),
    ]);
}

#[test]
fn the_whole_event_is_given_byte_for_byte() {
    for directive in [r#"{"@path": "$"}"#, r#"{"@path": "$."}"#] {
        check(&[(directive, Some(EVENT))]);
    }
    let odd = "{\"b\" : 1.0,\t\"a\":[ ],\"b\":\"\\u00e4\"}";
    let made = super::made_of(r#"{"event": {"@path": "$"}}"#, &Root::new(odd)).expect("it can be made");
    assert_eq!(made, Some(format!("{{\"event\":{odd}}}")));
}

#[test]
fn what_is_laid_over_the_event_shadows_it() {
    check(&[
        (r#"{"@path": "$.profile.traits.plan"}"#, Some(r#""pro""#)),
        (r#"{"@path": "$.profile.traits.missing"}"#, None),
        (r#"{"@path": "$.profile.identifiers.email[0]"}"#, Some(r#""a@b.c""#)),
        (r#"{"@path": "$.profile.identifiers.email[*]"}"#, Some(r#"["a@b.c"]"#)),
        (r#"{"@path": "$.delivery.id"}"#, Some(r#""msg_1""#)),
        // What looks through the whole event does not see it.
        (r#"{"@path": "$..plan"}"#, Some("[]")),
        (r#"{"@path": "$[?@ == 'of the event']"}"#, Some(r#"["of the event"]"#)),
    ]);
}

#[test]
fn paths_begin_at_made_values_alike() {
    let value = Value::from_json(&json!({"a": {"b": [1, {"c": "x"}]}, "e": null}));
    let root = Root::of(value);
    let cases = [
        ("$.a.b[1].c", Some(r#""x""#)),
        ("$.a.b[*]", Some(r#"[1,{"c":"x"}]"#)),
        ("$.a.b[-2]", Some("1")),
        ("$.e", Some("null")),
        ("$.a.missing", None),
        ("$", Some(r#"{"a":{"b":[1,{"c":"x"}]},"e":null}"#)),
    ];
    for (path, want) in cases {
        let path = Path::parse(path).expect("a path");
        let mut out = Vec::new();
        let found = path.evaluate(&root).map(|value| value.write(&mut out));
        assert_eq!(found.map(|()| String::from_utf8(out).expect("text")).as_deref(), want, "{path:?}");
    }
}

#[test]
fn first_gives_the_first_of_several() {
    let cases = [
        ("$.properties.products[*].sku", Some("A")),
        ("$.properties.products[1].sku", Some("B")),
        ("$.properties.none[*]", None),
        ("$.properties.missing", None),
    ];
    for (path, want) in cases {
        let path = Path::parse(path).expect("a path");
        let first = path.first(&root());
        assert_eq!(first.and_then(|value| value.text().map(|text| text.into_owned())).as_deref(), want);
    }
}

#[test]
fn a_path_says_what_it_names() {
    let directive = json!({
        "a": {"@path": "$.profile.traits.plan"},
        "b": {"@template": "{{profile.audiences.vip}} {{#if properties.x}}{{lookup profile.traits \"y\"}}{{/if}}"},
        "c": {"@arrayPath": ["$.properties.products[*].sku", {"x": {"@path": "$.inner"}}]},
        "d": {"@if": {"exists": {"@path": "$.a[0].b"}, "then": {"@path": "$"}, "else": "x"}},
        "e": {"@transform": {"apply": {"z": {"@path": "$.traits.z"}}, "mapping": {"@path": "$.z"}}},
    });
    let directive = Directive::parse(&directive).expect("directives");
    let mut named: Vec<String> = Vec::new();
    directive.paths(&mut |names| named.push(names.join(".")));
    let want = [
        "profile.traits.plan",
        "profile.audiences.vip",
        "properties.x",
        "profile.traits",
        "properties.products",
        "a",
        "",
        "traits.z",
    ];
    assert_eq!(named, want);
}

#[test]
fn what_is_no_path_is_refused() {
    let cases = [
        (String::new(), "is empty"),
        ("$.".repeat(400), "has 800 bytes; the limit is 500"),
        ("$.properties.first name".to_owned(), "stand in brackets"),
        ("$.properties.products.0.sku".to_owned(), "so do indexes"),
        ("$properties".to_owned(), "is no JSONPath"),
        ("$.a[".to_owned(), "is no JSONPath"),
        ("$.a['b'".to_owned(), "is no JSONPath"),
        (" $.a".to_owned(), "is no JSONPath"),
        ("$..a..b".to_owned(), "more than one `..`"),
        ("$.a[0,1].b[0,1]".to_owned(), "more than one pair of brackets"),
        ("$.a[0,1,2,3,4,5,6,7,8,9,10]".to_owned(), "more than 10 places"),
        ("$.a[?@..b]".to_owned(), "looks at several places"),
        ("$.a[?$.b]".to_owned(), "looks elsewhere"),
        ("$.a[?@.b == $.c]".to_owned(), "looks elsewhere"),
        ("$.a[?match(@.b, 'x*')]".to_owned(), "not supported"),
        ("$.a[?search(@.b, @.c)]".to_owned(), "not supported"),
        (format!("$[?{}", "length(".repeat(30)), "more than 8 brackets"),
    ];
    for (path, want) in cases {
        let problem = Path::parse(&path).err().unwrap_or_default();
        assert!(problem.contains(want), "{path}: {problem}");
    }
}
