//! Trees that no text can bring about, and limits.

use super::*;
use crate::condition::{Literal, Number, Quantifier, Right, parse_condition, read_condition};
use serde_json::{Value, json};

fn refused(tree: &Value, scope: Scope) -> (String, String) {
    let error = read_condition(tree, scope).expect_err(&tree.to_string());
    (error.place, error.message)
}

#[test]
fn parts_stand_where_they_may() {
    let exists = |left: Value| json!({"compare": {"left": left, "operator": "exists"}});
    let trait_a = exists(json!({"trait": "a"}));
    let field = exists(json!({"field": "properties.a"}));
    let track = json!({"kind": "track"});
    let windowed = json!({"kind": "track", "window": {"within": "1d"}});
    let cases = [
        (Scope::Profile, json!({"all": []}), "all", "is empty"),
        (Scope::Profile, json!({"any": [trait_a, {"any": []}]}), "any[1].any", "is empty"),
        (Scope::Profile, field, "compare.left", "`properties` is a field of events"),
        (Scope::Event, trait_a.clone(), "compare.left", "looks at that event alone"),
        (Scope::Event, json!({"performed": track}), "performed", "looks at that event alone"),
        (Scope::Event, json!({"audience": "a"}), "audience", "looks at that event alone"),
        (Scope::Event, json!({"account": trait_a}), "", "looks at that event alone"),
        (
            Scope::Profile,
            json!({"performed": {"kind": "track", "where": exists(json!({"field": "profile.traits.a"}))}}),
            "performed.where.compare.left",
            "in filters and triggers of destinations only",
        ),
        (Scope::Account, json!({"performed": track}), "performed", "an account performs no events"),
        (Scope::Account, json!({"account": trait_a}), "", "about an account already"),
        (Scope::Profile, json!({"audience": ""}), "audience", "a key has 1 to 200 bytes"),
        (
            Scope::Profile,
            exists(json!({"computed": ""})),
            "compare.left.computed",
            "a key has 1 to 200 bytes",
        ),
        (
            Scope::Profile,
            json!({"performed": {"kind": "track", "where": trait_a}}),
            "performed.where.compare.left",
            "not at traits",
        ),
        (
            Scope::Profile,
            json!({"sequence": {"first": windowed, "then": [{"event": track}]}}),
            "sequence.first.window",
            "no window of its own",
        ),
        (
            Scope::Profile,
            json!({"sequence": {"first": track, "then": [{"event": track, "without": windowed}]}}),
            "sequence.then[0].without.window",
            "no window of its own",
        ),
        (Scope::Profile, json!({"sequence": {"first": track, "then": []}}), "sequence.then", "is empty"),
        (
            Scope::Profile,
            json!({"account": {"members": {"quantifier": "all", "condition": {"account": trait_a}}}}),
            "account.members.condition",
            "accounts of a member",
        ),
        (
            Scope::Profile,
            json!({"account": {"members": {"quantifier": "all", "condition": {"audience": "a"}}}}),
            "account.members.condition.audience",
            "audiences can't be asked for",
        ),
    ];
    for (scope, tree, place, part) in cases {
        let (at, message) = refused(&tree, scope);
        assert!(at == place && message.contains(part), "{tree}: {at}: {message}");
    }
}

#[test]
fn of_the_profile_of_an_event_only_what_is_there_is_compared() {
    let good = [
        "profile.id exists",
        "profile.traits.plan = \"pro\" and profile.traits.address.city = properties.city",
        "properties.plan = profile.traits.plan",
        "profile.audiences.vip = true and not profile.identifiers.email contains \"a@b.c\"",
        "field(\"profile.traits.odd name\") absent",
    ];
    for text in good {
        let condition = parse_condition(text, Scope::Event).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(condition.to_string(), text);
    }
    let bad = [
        ("profile exists", "there are `profile.id`"),
        ("profile.trait.plan exists", "did you mean `profile.traits`"),
        ("profile.traits exists", "with the name of the trait"),
        ("profile.id.x exists", "write `profile.id`"),
        ("profile.audiences.vip.since exists", "with the key of the audience"),
        ("profile.identifiers = null", "with the namespace"),
        ("properties.a = profile.name", "there are `profile.id`"),
    ];
    for (text, hint) in bad {
        let error = parse_condition(text, Scope::Event).expect_err(text);
        assert_eq!(error.message, "the profile has no such part", "{text}");
        assert!(error.hint.as_deref().is_some_and(|said| said.contains(hint)), "{text}: {error}");
    }
}

#[test]
fn what_is_said_of_an_event_does_not_depend_on_the_present() {
    for operator in ["within_last", "within_next", "before_last", "after_next"] {
        let compared = format!("properties.a {operator} 7d");
        let asked = format!("event(\"A\") where {compared}");
        for (text, scope) in [(compared, Scope::Event), (asked, Scope::Profile)] {
            let error = parse_condition(&text, scope).expect_err(&text);
            assert!(error.place.ends_with("compare.operator"), "{text}: {}", error.place);
            assert!(error.message.contains("depends on the present"), "{text}: {error}");
        }
    }
}

#[test]
fn sides_have_to_fit() {
    let compare = |left: Value, operator: &str, right: Value| json!({"compare": {"left": left, "operator": operator, "right": right}});
    let of = |function: &str, value: Option<&str>| json!({"aggregate": {"function": function, "of": {"kind": "track"}, "value": value}});
    let a = || json!({"trait": "a"});
    let count = || of("count", None);
    let list = || of("unique_list", Some("properties.a"));
    let cases = [
        (
            compare(a(), "exists", json!({"value": 1})),
            "compare.right.value",
            "`exists` compares with nothing",
        ),
        (compare(a(), "equals", json!("nothing")), "compare.operator", "`=` needs something"),
        (compare(a(), "contains", json!("nothing")), "compare.operator", "`contains` needs something"),
        (compare(a(), "one_of", json!({"values": []})), "compare.right.values", "the list is empty"),
        (compare(a(), "contains", json!({"value": ""})), "compare.right.value", "every text contains it"),
        (compare(a(), "contains", json!({"value": null})), "compare.right.value", "nothing contains null"),
        (compare(a(), "contains", json!({"values": ["x"]})), "compare.right.values", "looks for one value"),
        (
            compare(a(), "contains_any", json!({"values": ["x", ""]})),
            "compare.right.values[1]",
            "every text contains it",
        ),
        (compare(a(), "contains_any", json!({"value": "x"})), "compare.right.value", "needs a list"),
        (compare(a(), "contains_any", json!({"operand": count()})), "compare.right.operand", "needs a list"),
        (compare(a(), "starts_with", json!({"value": ""})), "compare.right.value", "every text begins"),
        (
            compare(a(), "starts_with", json!({"value": 1})),
            "compare.right.value",
            "does not compare a trait with a number",
        ),
        (compare(a(), "matches", json!({"operand": a()})), "compare.right.operand", "stands in quotes"),
        (compare(a(), "matches", json!({"value": ""})), "compare.right.value", "is empty"),
        (compare(a(), "matches", json!({"value": "x".repeat(513)})), "compare.right.value", "has 513 bytes"),
        (
            compare(a(), "within_last", json!({"value": "7d"})),
            "compare.right.value",
            "needs a length of time",
        ),
        (
            compare(a(), "before_date", json!({"value": 5})),
            "compare.right.value",
            "does not compare a trait with a number",
        ),
        (
            compare(a(), "greater", json!({"operand": of("time_since", None)})),
            "compare.right.operand",
            "does not compare a trait with `time_since`",
        ),
        (compare(count(), "equals", json!({"value": null})), "compare.right.value", "with null"),
        (compare(count(), "one_of", json!({"values": [1, "x"]})), "compare.right.values[1]", "with text"),
        (compare(count(), "contains", json!({"value": 1})), "compare.right.value", "`count` is a number"),
        (
            compare(count(), "greater", json!({"operand": list()})),
            "compare.right.operand",
            "with `unique_list`",
        ),
        (
            compare(count(), "less", json!({"operand": of("time_since", None)})),
            "compare.right.operand",
            "with `time_since`",
        ),
        (compare(list(), "exists", json!("nothing")), "compare.operator", "`unique_list` is never missing"),
        (compare(list(), "equals", json!({"value": 1})), "compare.right.value", "which is a list"),
        (
            compare(list(), "before_date", json!({"value": "2026-01-01"})),
            "compare.right.value",
            "looks at dates",
        ),
        (
            compare(of("min", None), "less", json!({"value": 1})),
            "compare.left.aggregate.value",
            "`min` needs a value",
        ),
        (
            compare(json!({"computed": "a"}), "equals", json!({"span": "7d"})),
            "compare.right.span",
            "does not compare",
        ),
    ];
    for (tree, place, part) in cases {
        let (at, message) = refused(&tree, Scope::Profile);
        assert!(at == place && message.contains(part), "{tree}: {at}: {message}");
    }
}

#[test]
fn what_may_hold_is_accepted() {
    let texts = [
        "traits.a = null and traits.a in (null, 1) and traits.a != traits.b",
        "computed.a > 7d and computed.a < 5 and computed.a contains \"x\"",
        "sum(event().properties.a) = null and sum(event().properties.a) exists",
        "time_since(event()) absent and time_since(event()) > computed.since",
        "unique_list(event().properties.a) = traits.list and traits.a in unique_list(event().properties.a)",
        "first(event().properties.a) within_last 7d and last(event().properties.a) before_date traits.b",
        "traits.a contains_any traits.b and count(event()) in (0, 1)",
    ];
    for text in texts {
        parse_condition(text, Scope::Profile).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
}

#[test]
fn trees_are_limited() {
    let leaf = || parse_condition("traits.a exists", Scope::Profile).expect("a condition");
    let nested = |depth: usize| (0..depth).fold(leaf(), |condition, _| Condition::Not(Box::new(condition)));
    let wide = |width: usize| Condition::All((0..width).map(|_| leaf()).collect());
    let listed = |count: i64| {
        let mut condition = parse_condition("traits.a in (0)", Scope::Profile).expect("a condition");
        if let Condition::Compare(comparison) = &mut condition {
            let number = |value| Literal::Number(Number::whole(value));
            comparison.right = Right::Values((0..count).map(number).collect());
        }
        condition
    };
    let long = Condition::Audience("é".repeat(100));
    let account = |condition| Condition::Account(Box::new(condition));
    let members = Condition::Members(Members { quantifier: Quantifier::Any, condition: Box::new(leaf()) });
    let fit = [nested(19), wide(199), listed(1000), long, account(members)];
    for condition in fit {
        check_condition(&condition, Scope::Profile).unwrap_or_else(|error| panic!("{error}"));
    }
    let text = "x".repeat(10_000);
    let said = format!("traits.a = {}", Value::from(text.as_str()));
    let long = || parse_condition(&said, Scope::Profile).expect("a long text");
    let cases = [
        (nested(20), "conditions nest deeper than 20"),
        (wide(200), "has more than 200 conditions and events in all"),
        (listed(1001), "has 1001 values; the limit is 1000"),
        (Condition::Audience("é".repeat(101)), "a key has 1 to 200 bytes"),
        (Condition::Any(vec![long(), long()]), "has 20030 bytes as text; the limit is 20000"),
    ];
    for (condition, message) in cases {
        let error = check_condition(&condition, Scope::Profile).expect_err(message);
        assert_eq!(error.message, message);
    }
}

#[test]
fn windows_begin_before_they_end() {
    let window = |from: i64, to: i64| {
        let [from, to] = [from, to].map(Timestamp::from_micros);
        Condition::Performed(EventPattern {
            kind: EventKind::Track,
            name: None,
            filter: None,
            window: Window::Between(from, to),
        })
    };
    let second = 1_000_000;
    check_condition(&window(0, second), Scope::Profile).expect("a second is a window");
    let cases = [
        (second, second, "ends before it begins"),
        (second, 0, "ends before it begins"),
        (i64::MIN, 0, "the years of a window"),
        (0, i64::MAX, "the years of a window"),
    ];
    for (from, to, part) in cases {
        let ConditionError { place, message, .. } =
            check_condition(&window(from, to), Scope::Profile).expect_err(part);
        assert!(place == "performed.window" && message.contains(part), "{from} {to}: {message}");
    }
}
