//! The JSON form: what it looks like, and what is said about wrong ones.

use super::*;
use serde_json::json;

#[test]
fn a_tree_and_its_text_are_one_condition() {
    let cases = [
        (
            json!({"compare": {"left": {"trait": "address.city"}, "operator": "equals", "right": {"value": "Ulm"}}}),
            r#"traits.address.city = "Ulm""#,
        ),
        (
            json!({"all": [
                {"compare": {
                    "left": {"aggregate": {
                        "function": "count",
                        "of": {
                            "kind": "track",
                            "name": "Order Completed",
                            "where": {"compare": {
                                "left": {"field": "properties.total"},
                                "operator": "greater",
                                "right": {"value": 100},
                            }},
                            "window": {"within": "30d"},
                        },
                    }},
                    "operator": "greater_or_equal",
                    "right": {"value": 2},
                }},
                {"not": {"performed": {
                    "kind": "track", "name": "App Opened", "window": {"within": "7d"},
                }}},
            ]}),
            r#"count(event("Order Completed") where properties.total > 100 within 30d) >= 2 and not event("App Opened") within 7d"#,
        ),
        (
            json!({"sequence": {
                "first": {"kind": "page"},
                "then": [{"event": {"kind": "track"}, "within": "2d", "without": {"kind": "screen", "name": "x"}}],
                "window": {"within": "30d"},
            }}),
            r#"sequence(page() then event() within 2d without screen("x")) within 30d"#,
        ),
        (
            json!({"account": {"members": {"quantifier": "any", "condition": {"compare": {
                "left": {"computed": "orders"}, "operator": "one_of", "right": {"values": [1, 2.5, null]},
            }}}}}),
            "account(any member(computed.orders in (1, 2.5, null)))",
        ),
        (
            json!({"any": [{"audience": "vip"}, {"compare": {
                "left": {"trait": "a"}, "operator": "absent",
            }}]}),
            r#"audience("vip") or traits.a absent"#,
        ),
        (
            json!({"compare": {
                "left": {"aggregate": {"function": "time_since", "of": {"kind": "identify"}}},
                "operator": "greater",
                "right": {"span": "7d"},
            }}),
            "time_since(identify()) > 7d",
        ),
    ];
    for (tree, text) in cases {
        let condition =
            read_condition(&tree, Scope::Profile).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.to_string(), text);
        assert_eq!(serde_json::to_value(&condition).expect("it is JSON"), tree, "{text}");
        assert_eq!(read_condition(&json!(text), Scope::Profile), Ok(condition), "{text}");
    }
}

#[test]
fn wrong_trees_are_refused_at_their_place() {
    let compare = |left, operator: &str, right| json!({"compare": {"left": left, "operator": operator, "right": right}});
    let plan = json!({"trait": "plan"});
    let good = compare(plan.clone(), "equals", json!({"value": "pro"}));
    // (tree, place, part of what is said)
    let cases = [
        (json!(5), "", "is no condition"),
        (json!([]), "", "is no condition"),
        (json!({}), "", "an object with one member"),
        (json!({"all": [], "any": []}), "", "an object with one member"),
        (json!({"every": []}), "", "unknown name `every`, expected one of `all`"),
        (json!({"all": good}), "all", "write a list"),
        (json!({"all": [good, {"not": 3}]}), "all[1].not", "an object with one member"),
        (json!({"all": [good, {"compare": {"left": plan}}]}), "all[1].compare", "missing field `operator`"),
        (
            json!({"compare": {"left": {"trait": ""}, "operator": "exists"}}),
            "compare.left.trait",
            "a name in a path is empty",
        ),
        (json!({"compare": {"left": plan, "operator": "exists", "x": 1}}), "compare.x", "unknown field `x`"),
        (compare(plan.clone(), "is", json!({"value": 1})), "compare.operator", "unknown name `is`"),
        (compare(plan.clone(), "equals", json!({"value": [1]})), "compare.right.value", "is no value"),
        (compare(plan.clone(), "within_last", json!({"span": 30})), "compare.right.span", "write text"),
        (
            compare(plan.clone(), "within_last", json!({"span": "0d"})),
            "compare.right.span",
            "a window of zero",
        ),
        (json!({"performed": {"kind": "click"}}), "performed.kind", "unknown name `click`"),
        (
            json!({"performed": {"kind": "track", "within": "3d"}}),
            "performed.within",
            "unknown field `within`",
        ),
        (
            json!({"all": [good, compare(plan.clone(), "less", json!({"value": true}))]}),
            "all[1].compare.right.value",
            "does not compare a trait with true or false",
        ),
    ];
    for (tree, place, part) in cases {
        let error = read_condition(&tree, Scope::Profile).expect_err(&tree.to_string());
        assert_eq!(error.place, place, "{tree}: {error}");
        assert!(error.message.contains(part) && error.at.is_none(), "{tree}: {error}");
    }
}

#[test]
fn a_wrong_form_is_not_repeated() {
    let tree = json!({"performed": "ada@example.com"});
    let error = read_condition(&tree, Scope::Profile).expect_err("no pattern");
    assert!(error.place == "performed" && !format!("{error:?}").contains("ada"), "{error:?}");
}

#[test]
fn what_is_computed_is_read_too() {
    let tree = json!({
        "function": "sum",
        "of": {"kind": "track", "name": "Order Completed", "window": {"within": "30d"}},
        "value": "properties.total",
    });
    let text = r#"sum(event("Order Completed").properties.total within 30d)"#;
    let aggregate = read_aggregate(&tree).expect(text);
    assert_eq!(aggregate.to_string(), text);
    assert_eq!(read_aggregate(&json!(text)), Ok(aggregate));
    let cases = [
        (json!(true), "", "is nothing that can be computed"),
        (json!({"function": "sum", "of": {"kind": "track"}}), "value", "`sum` needs a value"),
        (
            json!({"function": "count", "of": {"kind": "track"}, "value": "properties.a"}),
            "value",
            "looks at events",
        ),
        (json!({"function": "total", "of": {"kind": "track"}}), "function", "unknown name `total`"),
    ];
    for (tree, place, part) in cases {
        let error = read_aggregate(&tree).expect_err(&tree.to_string());
        assert!(error.place == place && error.message.contains(part), "{tree}: {error}");
    }
}
