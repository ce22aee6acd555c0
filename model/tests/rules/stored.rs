//! The stored forms: what workspace versions of the log hold, old ones too.

use crate::check;
use serde_json::{Value, json};
use tributary_model::Workspace;
use tributary_model::identity_rules::{
    AlarmRules, IdentityRules, Limit, NamespaceRule, SharedDevice, Window, WrittenRules,
};

#[test]
fn the_default_rules_are_the_table_of_the_field() {
    let external = "context.externalIds";
    let device = |path: &str, kind: &str| json!({"path": path, "when": {"context.device.type": kind}});
    let advertising = |kind: &str| {
        json!({"path": "context.device.advertisingId",
            "when": {"context.device.type": kind, "context.device.adTrackingEnabled": true}})
    };
    let rule = |name: &str, priority: u32, mut from: Vec<Value>| {
        from.push(json!(external));
        json!({"name": name, "from": from, "normalize": if name == "email" { "email" } else { "exact" },
            "priority": priority, "limit": {"count": if name == "user_id" { 1 } else { 5 }, "window": "ever"},
            "blocked": [], "blocked_patterns": [], "block_suggested": true, "shared_device": "first_owner"})
    };
    let want = json!({
        "namespaces": [
            rule("user_id", 1, vec![json!("userId")]),
            rule("email", 2, vec![json!("traits.email"), json!("context.traits.email")]),
            rule("anonymous_id", 3, vec![json!("anonymousId")]),
            rule("android.id", 4, vec![device("context.device.id", "android")]),
            rule("android.idfa", 5, vec![advertising("android")]),
            rule("android.push_token", 6, vec![device("context.device.token", "android")]),
            rule("ga_client_id", 7, vec![json!("context.integrations['Google Analytics'].clientId")]),
            rule("ios.id", 8, vec![device("context.device.id", "ios")]),
            rule("ios.idfa", 9, vec![advertising("ios")]),
            rule("ios.push_token", 10, vec![device("context.device.token", "ios")]),
        ],
        "identifiers_max": 1000,
        "merges_max": 100,
        "alarms": {"joins_per_day": 20, "near_cap_percent": 90, "merges_per_hour_min": 50, "merges_jump_factor": 5},
    });
    let rules = IdentityRules::default();
    assert_eq!(serde_json::to_value(&rules).expect("JSON"), want);
    let names: Vec<_> = rules.namespaces.iter().map(|rule| json!({"name": rule.name})).collect();
    assert_eq!(check(&json!({ "namespaces": names })), Ok(rules));
}

/// What is shown can be sent back, and what is stored is read as it was.
#[test]
fn rules_are_read_back() {
    let full = json!({
        "namespaces": [
            {"name": "email", "from": ["traits['e mail']"], "normalize": "email", "priority": 2,
                "limit": {"count": 5, "window": "week"}, "blocked": ["null"], "blocked_patterns": ["^[0-]*$"]},
            {"name": "phone", "from": [{"path": "traits.phone", "when": {"traits.verified": true}}],
                "normalize": {"phone": {"region": "DE"}}, "block_suggested": false, "shared_device": "last_sign_in"},
            {"name": "mobile", "from": ["traits.mobile"], "normalize": {"phone": {}}, "limit": 3},
        ],
        "identifiers_max": 50,
        "alarms": {"joins_per_day": 3},
    });
    for rules in [IdentityRules::default(), check(&full).expect("rules that work")] {
        let stored = serde_json::to_string(&rules).expect("JSON");
        assert_eq!(serde_json::from_str::<IdentityRules>(&stored).expect("stored rules"), rules);
        assert_eq!(IdentityRules::check(WrittenRules::from(&rules)), Ok(rules));
    }
    let rules = check(&full).expect("rules that work");
    assert_eq!(rules.alarms, AlarmRules { joins_per_day: 3, ..AlarmRules::default() });
    let limits: Vec<_> = rules.namespaces.iter().map(|rule| rule.limit).collect();
    let limit = |count, window| Limit { count, window };
    assert_eq!(limits, [limit(5, Window::Week), limit(5, Window::Ever), limit(3, Window::Ever)]);
    assert_eq!(rules.namespaces[1].shared_device, SharedDevice::LastSignIn);
    assert_eq!(serde_json::to_value(&rules.namespaces[2].normalize).expect("JSON"), "phone");
    let error =
        serde_json::from_value::<IdentityRules>(json!({"namespaces": [{"name": "email", "limit": 0}]}));
    assert!(error.expect_err("limit 0").to_string().starts_with("`namespaces[0].limit`: is 0"));
}

/// A workspace version as it was stored before rules could be written: a limit was a number, and there was no more.
#[test]
fn old_workspace_versions_are_read() {
    let old = r#"{"id":1,"name":"default","version":3,"created_at":1763632800000000,"next_id":2,"sources":[],
        "destinations":[],"tokens":[],"identity":{"namespaces":[
            {"name":"user_id","priority":1,"limit":1},
            {"name":"email","priority":2,"limit":5},
            {"name":"anonymous_id","priority":3,"limit":5}]}}"#;
    let workspace: Workspace = serde_json::from_str(old).expect("an old workspace");
    let default = IdentityRules::default();
    let first_three: Vec<NamespaceRule> = default.namespaces[..3].to_vec();
    assert_eq!(workspace.identity, IdentityRules { namespaces: first_three, ..default });
}
