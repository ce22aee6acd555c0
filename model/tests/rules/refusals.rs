//! Rules that can't work are refused as a whole, with the place and what to do.

use crate::check;
use serde_json::{Value, json};
use tributary_model::identity_rules::Normalization;

/// (rules, place, a part of what is said)
type Case = (Value, &'static str, &'static str);

/// A document with one namespace, `x`, that has these members too.
fn one(members: Value) -> Value {
    let mut namespace = json!({"name": "x", "from": ["traits.x"]});
    let Value::Object(members) = members else { panic!("members are an object") };
    namespace.as_object_mut().expect("an object").extend(members);
    json!({ "namespaces": [namespace] })
}

fn named(name: &str) -> Value {
    one(json!({ "name": name }))
}

#[track_caller]
fn refused(cases: Vec<Case>) {
    for (rules, place, part) in cases {
        let error = check(&rules).expect_err(&rules.to_string());
        assert_eq!(error.place, place, "{rules}: {error}");
        assert!(error.message.contains(part), "{rules}: {error}");
        assert_eq!(error.to_string(), format!("`{place}`: {}", error.message));
    }
}

#[test]
fn whole_documents() {
    let many = |count: usize| {
        let namespace = |number| json!({"name": format!("n{number}"), "from": ["context.externalIds"]});
        json!({"namespaces": (0..count).map(namespace).collect::<Vec<_>>()})
    };
    let patterns = |count: usize| vec!["^a$"; count];
    let spread: Vec<_> = (0..5)
        .map(|number| json!({"name": format!("n{number}"), "from": ["traits.x"], "blocked_patterns": patterns(50)}))
        .collect();
    assert!(check(&many(100)).is_ok());
    assert!(check(&json!({"namespaces": spread[..4]})).is_ok());
    refused(vec![
        (json!([]), "rules", "is no object"),
        (json!({}), "namespaces", "is missing; list the namespaces"),
        (json!({"namespaces": null}), "namespaces", "is missing"),
        (json!({"namespaces": {}}), "namespaces", "is no list"),
        (json!({"namespaces": []}), "namespaces", "declare a namespace"),
        (
            json!({"namespaces": [], "namespace": []}),
            "namespace",
            "is not known here; there are `namespaces`",
        ),
        (json!({"namespaces": ["email"]}), "namespaces[0]", "is no object"),
        (many(101), "namespaces", "has 101 namespaces; the limit is 100"),
        (
            json!({ "namespaces": spread }),
            "namespaces[4].blocked_patterns",
            "makes more than 200 patterns in all namespaces",
        ),
        (
            json!({"namespaces": [{"name": "email"}, {"name": "user_id"}, {"name": "email"}]}),
            "namespaces[2].name",
            "is declared in `namespaces[0]` already",
        ),
        (
            json!({"namespaces": [{"name": "email", "priority": 2}, {"name": "user_id"}, {"name": "ios.id", "priority": 2}]}),
            "namespaces[2].priority",
            "is that of `email` too; give each its own",
        ),
    ]);
}

#[test]
fn caps_and_alarms() {
    let with = |name: &str, value: Value| json!({"namespaces": [{"name": "user_id"}], name: value});
    let cases = [
        ("identifiers_max", 2, 10_000),
        ("merges_max", 1, 1_000),
        ("joins_per_day", 1, 1_000_000),
        ("near_cap_percent", 1, 100),
        ("merges_per_hour_min", 1, 1_000_000),
        ("merges_jump_factor", 1, 1_000_000),
    ];
    for (name, first, last) in cases {
        let is_cap = name.ends_with("s_max");
        let place = if is_cap { name.to_owned() } else { format!("alarms.{name}") };
        let rules = |value: Value| match is_cap {
            true => with(name, value),
            false => with("alarms", json!({ name: value })),
        };
        for value in [first, last] {
            assert!(check(&rules(json!(value))).is_ok(), "{name} {value}");
        }
        for value in [json!(first - 1), json!(last + 1), json!(-1), json!(1.5), json!("5"), json!([])] {
            let error = check(&rules(value.clone())).expect_err(name);
            assert_eq!(error.place, place, "{value}");
            let part = format!("give a whole number from {first} to {last}");
            assert!(error.message.contains(&part), "{value}: {error}");
        }
    }
    refused(vec![
        (with("alarms", json!({"joins": 1})), "alarms.joins", "is not known here"),
        (with("alarms", json!(5)), "alarms", "is no object"),
    ]);
}

#[test]
fn names() {
    let long = "x".repeat(65);
    for name in ["a", "ios.push_token2", "loyalty-id", &long[..64]] {
        assert!(check(&named(name)).is_ok(), "{name}");
    }
    let no_name = "use 1 to 64 of a-z, 0-9, `_`, `.`, `-`, in lower case";
    let mut cases: Vec<Case> = ["", "Email", "a b", "a:b", "größe", &long]
        .map(|name| (named(name), "namespaces[0].name", no_name))
        .into();
    cases.extend([
        (named("profile_id"), "namespaces[0].name", "names profiles"),
        (named("group_id"), "namespaces[0].name", "names accounts"),
        (one(json!({"name": 5})), "namespaces[0].name", "is no text"),
        (one(json!({"name": null})), "namespaces[0].name", "is missing"),
        (
            json!({"namespaces": [{"name": "loyalty_id"}]}),
            "namespaces[0].from",
            "`loyalty_id` is not one of the known namespaces; say where it is read from, [\"traits.loyalty_id\"",
        ),
        (one(json!({"limits": 5})), "namespaces[0].limits", "is not known here; there are `name`, `from`"),
    ]);
    refused(cases);
}

#[test]
fn sources() {
    let from = |list: Value| one(json!({ "from": list }));
    let when = |when: Value| from(json!([{"path": "context.device.id", "when": when}]));
    let of_device = r#"namespaces[0].from[0].when["context.device.type"]"#;
    let six: serde_json::Map<_, _> = (0..6).map(|number| (format!("context.a{number}"), json!(1))).collect();
    assert!(check(&from(json!(vec!["traits.x"; 20]))).is_ok());
    assert!(
        check(&when(json!({"context.device.type": "ios", "traits.a": true, "properties.b": -5}))).is_ok()
    );
    refused(vec![
        (from(json!("traits.x")), "namespaces[0].from", "write a list of paths"),
        (from(json!([])), "namespaces[0].from", "is empty"),
        (from(json!(vec!["traits.x"; 21])), "namespaces[0].from", "has 21 paths; the limit is 20"),
        (from(json!(["traits.x", 5])), "namespaces[0].from[1]", "is no path"),
        (from(json!(["groupId"])), "namespaces[0].from[0]", "is none of `userId`, `anonymousId`, `traits.…`"),
        (from(json!(["context.a[0]"])), "namespaces[0].from[0]", "arrays are not looked into"),
        (from(json!(["context.a b"])), "namespaces[0].from[0]", "put it in brackets and quotes"),
        (from(json!([{"when": {}}])), "namespaces[0].from[0].path", "is missing"),
        (from(json!([{"path": "traits"}])), "namespaces[0].from[0].path", "names no member"),
        (from(json!([{"path": "traits.x", "if": {}}])), "namespaces[0].from[0].if", "is not known here"),
        (when(json!([])), "namespaces[0].from[0].when", "is no object"),
        (when(json!(six)), "namespaces[0].from[0].when", "has 6 conditions; the limit is 5"),
        (when(json!({"context.device.type": null})), of_device, "can't be compared with"),
        (when(json!({"context.device.type": 1.5})), of_device, "can't be compared with"),
        (when(json!({"device": 1})), r#"namespaces[0].from[0].when["device"]"#, "is none of"),
        (when(json!({"userId": "u"})), r#"namespaces[0].from[0].when["userId"]"#, "is an identifier itself"),
    ]);
}

#[test]
fn forms_limits_and_policies() {
    let number = "give a whole number from 1 to 1000000";
    refused(vec![
        (one(json!({"normalize": "lower"})), "namespaces[0].normalize", "write \"exact\", \"email\""),
        (one(json!({"normalize": 5})), "namespaces[0].normalize", "is no normalization"),
        (one(json!({"normalize": {"mail": {}}})), "namespaces[0].normalize.mail", "is not known here"),
        (one(json!({"normalize": {"phone": "DE"}})), "namespaces[0].normalize.phone", "is no object"),
        (
            one(json!({"normalize": {"phone": {"region": "de"}}})),
            "namespaces[0].normalize.phone.region",
            "its ISO 3166 name in capitals",
        ),
        (
            one(json!({"normalize": {"phone": {"region": "Germany"}}})),
            "namespaces[0].normalize.phone.region",
            "is no country",
        ),
        (one(json!({"priority": 0})), "namespaces[0].priority", number),
        (one(json!({"priority": "first"})), "namespaces[0].priority", number),
        (one(json!({"limit": 0})), "namespaces[0].limit", "is 0; give a whole number from 1"),
        (
            one(json!({"limit": {"count": 0}})),
            "namespaces[0].limit.count",
            "is 0; give a whole number from 1",
        ),
        (one(json!({"limit": {"count": 2.5}})), "namespaces[0].limit.count", number),
        (one(json!({"limit": {"window": "day"}})), "namespaces[0].limit.count", "say how many"),
        (
            one(json!({"limit": "5 ever"})),
            "namespaces[0].limit",
            "is no object; write one of `count`, `window`",
        ),
        (
            one(json!({"limit": {"count": 5, "window": "hour"}})),
            "namespaces[0].limit.window",
            "give one of `ever`, `day`, `week`, `month`, `year`",
        ),
        (
            one(json!({"shared_device": "last"})),
            "namespaces[0].shared_device",
            "give one of `first_owner`, `last_sign_in`",
        ),
        (one(json!({"block_suggested": "no"})), "namespaces[0].block_suggested", "give true or false"),
    ]);
}

#[test]
fn blocked_values_and_patterns() {
    let long = "x".repeat(513);
    let patterns = |list: Value| one(json!({ "blocked_patterns": list }));
    assert!(check(&one(json!({"blocked": vec!["v"; 1000]}))).is_ok());
    assert!(check(&one(json!({"blocked": ["", "null", 5, "x".repeat(512)]}))).is_ok());
    assert!(check(&patterns(json!(vec!["^[0-]*$"; 50]))).is_ok());
    refused(vec![
        (
            one(json!({"blocked": vec!["v"; 1001]})),
            "namespaces[0].blocked",
            "has 1001 values; the limit is 1000",
        ),
        (one(json!({"blocked": ["v", null]})), "namespaces[0].blocked[1]", "give a text"),
        (
            one(json!({ "blocked": [long] })),
            "namespaces[0].blocked[0]",
            "is longer than an identifier can be",
        ),
        (
            patterns(json!(vec!["a"; 51])),
            "namespaces[0].blocked_patterns",
            "has 51 patterns; the limit is 50",
        ),
        (
            patterns(json!(["a", "("])),
            "namespaces[0].blocked_patterns[1]",
            "is no regular expression: unclosed group",
        ),
        (
            patterns(json!(["((a{100}){100}){100}"])),
            "namespaces[0].blocked_patterns[0]",
            "explodes to more than 256 KB",
        ),
        (patterns(json!([long])), "namespaces[0].blocked_patterns[0]", "has 513 bytes; the limit is 512"),
        (patterns(json!([""])), "namespaces[0].blocked_patterns[0]", "would block every value"),
    ]);
}

/// What was blocked may be personal: a refusal doesn't repeat it.
#[test]
fn refusals_hide_blocked_values() {
    let rules = one(json!({"blocked": ["ada@example.com"], "limit": 0}));
    assert!(!format!("{:?}", check(&rules).expect_err("limit 0")).contains("ada"));
    let rules = check(&one(json!({"blocked": ["ada@example.com"]}))).expect("rules");
    assert!(!format!("{rules:?}").contains("ada"));
}

/// Where nothing is said, the defaults; priorities are given in order around those that are pinned.
#[test]
fn defaults_are_put_in() {
    let rules = check(&json!({"namespaces": [
        {"name": "zebra", "from": ["traits.z"]},
        {"name": "anonymous_id"},
        {"name": "apple", "from": ["traits.a"], "normalize": {"phone": {"region": "DE"}}},
        {"name": "email"},
        {"name": "ios.id", "priority": 2},
        {"name": "user_id", "limit": 3},
    ]}))
    .expect("rules that work");
    let priorities: Vec<_> =
        rules.namespaces.iter().map(|rule| (rule.name.as_str(), rule.priority)).collect();
    let want = [("zebra", 6), ("anonymous_id", 4), ("apple", 5), ("email", 3), ("ios.id", 2), ("user_id", 1)];
    assert_eq!(priorities, want);
    let limits: Vec<_> = rules.namespaces.iter().map(|rule| rule.limit.count).collect();
    assert_eq!(limits, [5, 5, 5, 5, 5, 3]);
    assert_eq!(rules.namespaces[2].normalize, Normalization::Phone { region: Some("DE".to_owned()) });
    assert_eq!((rules.identifiers_max, rules.merges_max), (1000, 100));
    assert!(rules.namespaces.iter().all(|rule| rule.block_suggested && rule.blocked.is_empty()));
}
