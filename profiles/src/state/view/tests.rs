use super::*;
use crate::testing::{Call, fragment, node, profile, view};
use tributary_identity::Partition;
use tributary_model::catalog::Defined;
use tributary_model::identity_rules::IdentityRules;
use tributary_model::{NodeKey, SourceId};

/// What a workspace with these policies defines.
fn catalog(policies: &[(&str, MergePolicy)]) -> Arc<Catalog> {
    let policies = policies.iter().map(|(name, policy)| ((*name).to_owned(), policy.clone()));
    let mut defined = Defined::default();
    defined.traits.policies = policies.collect();
    crate::testing::catalog(&defined)
}

/// A partition between `user_id:u1` and these.
fn parted(others: &[&str]) -> Partitions {
    let others: Vec<NodeKey> = others.iter().map(|text| node(text)).collect();
    let (by, at) = (String::new(), Timestamp::from_millis(0));
    let sides = vec![vec![node("user_id:u1")], others];
    Partitions::new(vec![Partition { id: 1, sides, by, reason: None, at }])
}

/// Name, value, and the message that brought it.
fn shown(view: &View) -> Vec<(String, String, String)> {
    let row = |(name, json, origin): (&str, Cow<'_, str>, Cow<'_, TraitValue>)| {
        (name.to_owned(), json.into_owned(), origin.message_id.to_string())
    };
    view.traits().map(row).collect()
}

#[test]
fn a_policy_chooses_among_the_values_of_a_trait() {
    let calls: [Call<'_>; 4] = [
        (20, 2, r#"{"type":"identify","traits":{"a":7}}"#),
        (10, 1, r#"{"type":"identify","traits":{"a":3}}"#),
        (40, 3, r#"{"type":"identify","traits":{"a":5}}"#),
        (30, 2, r#"{"type":"identify","traits":{"a":"x"}}"#),
    ];
    let sources = |ids: &[u32]| MergePolicy::Sources(ids.iter().map(|id| SourceId(*id)).collect());
    let cases = [
        (MergePolicy::Newest, "5", "m40"),
        (MergePolicy::Oldest, "3", "m10"),
        (MergePolicy::Max, "7", "m20"),
        (MergePolicy::Min, "3", "m10"),
        (MergePolicy::Union, r#"["x",3,5,7]"#, "m40"),
        (sources(&[9, 2]), r#""x""#, "m30"),
        (sources(&[1, 2]), "3", "m10"),
    ];
    for (policy, json, message) in cases {
        let catalog = catalog(&[("a", policy.clone())]);
        let view = view(fragment(&calls, &catalog), &catalog, &Partitions::default());
        let mut want: Vec<serde_json::Value> = Vec::new();
        let got = shown(&view);
        assert_eq!(got.len(), 1, "{policy:?}");
        let (name, value, origin) = &got[0];
        assert_eq!((name.as_str(), origin.as_str()), ("a", message), "{policy:?}");
        if policy == MergePolicy::Union {
            // The order is that of texts, however those compare.
            want.extend(serde_json::from_str::<Vec<serde_json::Value>>(value).expect("a list"));
            want.sort_by_key(ToString::to_string);
            let all: Vec<serde_json::Value> = serde_json::from_str(json).expect("a list");
            assert_eq!(want, all, "{policy:?}");
        } else {
            assert_eq!(value, json, "{policy:?}");
        }
        assert_eq!(view.value("a").as_deref(), Some(value.as_str()), "{policy:?}");
        assert_eq!(view.trait_json("b"), None, "{policy:?}");
    }
}

#[test]
fn without_a_policy_or_a_record_the_newest_value_counts() {
    let calls: [Call<'_>; 3] = [
        (10, 1, r#"{"type":"identify","traits":{"a":1,"b":1,"gone":1}}"#),
        (30, 1, r#"{"type":"identify","traits":{"a":3,"gone":null}}"#),
        (20, 1, r#"{"type":"identify","traits":{"a":2}}"#),
    ];
    let (none, oldest) = (catalog(&[]), catalog(&[("a", MergePolicy::Oldest), ("gone", MergePolicy::Max)]));
    let want = |a: &str, message: &str| {
        let row =
            |name: &str, json: &str, message: &str| (name.to_owned(), json.to_owned(), message.to_owned());
        vec![row("a", a, message), row("b", "1", "m10")]
    };
    let cases = [
        ("no policy", fragment(&calls, &none), &none, want("3", "m30")),
        ("not recorded yet", fragment(&calls, &none), &oldest, want("3", "m30")),
        ("recorded", fragment(&calls, &oldest), &oldest, want("1", "m10")),
        ("recorded, no policy any more", fragment(&calls, &oldest), &none, want("3", "m30")),
    ];
    for (name, merged, catalog, want) in cases {
        let view = view(merged, catalog, &Partitions::default());
        assert_eq!(shown(&view), want, "{name}");
        assert!(view.is_under(catalog), "{name}");
    }
    let view = view(Fragment::default(), &none, &Partitions::default());
    assert!(!view.is_under(&oldest));
}

#[test]
fn what_was_parted_is_not_told_whatever_the_policy() {
    let calls: [Call<'_>; 3] = [
        (10, 1, r#"{"type":"identify","traits":{"email":"ada@x.y"}}"#),
        (20, 1, r#"{"type":"identify","traits":{"email":"Bob@x.y","phone":12,"note":["bob@x.y"]}}"#),
        (30, 1, r#"{"type":"identify","traits":{"phone":34}}"#),
    ];
    let partitions = parted(&["email:bob@x.y"]);
    let cases = [
        (MergePolicy::Newest, None),
        (MergePolicy::Oldest, Some(r#""ada@x.y""#)),
        (MergePolicy::Union, Some(r#"["ada@x.y"]"#)),
    ];
    for (policy, want) in cases {
        let catalog = catalog(&[("email", policy.clone())]);
        let view = view(fragment(&calls, &catalog), &catalog, &partitions);
        assert_eq!(view.value("email").as_deref(), want, "{policy:?}");
        assert_eq!(view.trait_json("email").as_deref(), want, "a condition sees no more: {policy:?}");
        assert_eq!(view.value("note").as_deref(), Some(r#"["bob@x.y"]"#), "a list is no identifier");
    }
    let catalog = catalog(&[("email", MergePolicy::Union)]);
    let alone = fragment(&calls[1..2], &catalog);
    assert_eq!(view(alone, &catalog, &partitions).value("email"), None, "nothing is left of the list");
}

#[test]
fn anonymous_is_who_has_no_user_id_today() {
    let catalog = catalog(&[]);
    let with = |members: &[&str], former: &[&str]| {
        let mut live = profile(members);
        live.former = former.iter().map(|text| node(text)).collect();
        let rules =
            Arc::new(IdentifierReader::new(&IdentityRules::default()).expect("the default rules work"));
        let merged = Fragment::default();
        View::new(Arc::new(live), merged, &Partitions::default(), rules, Arc::clone(&catalog)).has_user_id()
    };
    assert!(with(&["user_id:u1", "anonymous_id:x"], &[]));
    assert!(!with(&["anonymous_id:x"], &[]));
    assert!(!with(&["user_id:u1", "anonymous_id:x"], &["user_id:u1"]));
}
