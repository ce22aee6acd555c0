use super::*;
use crate::api::address::Part;
use crate::api::query::known;
use crate::testing::{Call, audience, catalog, computed, fragment, view};
use serde_json::{Value, json};
use std::sync::Arc;
use tributary_identity::Partitions;
use tributary_model::catalog::Defined;
use tributary_model::workspace::{MergePolicy, TraitRules};

const CALLS: [Call<'_>; 4] = [
    (1_000, 1, r#"{"type":"identify","traits":{"plan":"pro","big":9007199254740993,"vip":"so they say"}}"#),
    (2_000, 2, r#"{"type":"identify","traits":{"orders":"many","gone":1,"zip":"1"}}"#),
    (3_000, 2, r#"{"type":"identify","traits":{"gone":null}}"#),
    (4_000, 1, r#"{"type":"track","event":"Order Completed","properties":{"total":12.50}}"#),
];

fn membership(since: i64) -> Membership {
    let since = Timestamp::from_millis(since);
    Membership { since, sequence: 7, identifiers: Arc::new([]), is_approximate: false }
}

/// A person who is in the audience `buyers`, but not in `vip`.
fn person() -> (View, Vec<(AudienceId, Membership)>) {
    let computed_traits = vec![
        computed(1, "orders", r#"count(event("Order Completed"))"#),
        computed(2, "refund", r#"last(event("Order Refunded").properties.total)"#),
    ];
    let audiences = vec![
        audience(3, "buyers", r#"event("Order Completed")"#),
        audience(4, "vip", r#"event("Order Refunded")"#),
    ];
    let catalog = catalog(&Defined { computed_traits, audiences, ..Defined::default() });
    let view = view(fragment(&CALLS, &catalog), &catalog, &Partitions::default());
    (view, vec![(AudienceId(3), membership(4_000))])
}

fn asked(query: &str) -> Value {
    let (view, memberships) = person();
    let query = Query::parse(query, known(Part::Traits)).expect("a query");
    let body =
        traits(&view, &memberships, Timestamp::from_millis(5_000), &BTreeSet::new(), &query).expect("a body");
    serde_json::to_value(&body).expect("JSON")
}

#[test]
fn classes_are_shown_together_and_what_is_defined_stands_for_what_was_sent() {
    let (big, buyers, orders) = (json!(9_007_199_254_740_993_u64), json!(true), json!(1));
    let cases = [
        ("", json!({"big": big, "buyers": buyers, "orders": orders, "plan": "pro", "zip": "1"})),
        ("class=audience", json!({"buyers": true})),
        ("class=computed_trait", json!({"orders": 1})),
        (
            "class=custom",
            json!({"big": big, "orders": "many", "plan": "pro", "vip": "so they say", "zip": "1"}),
        ),
        (
            "class=custom,audience",
            json!({"big": big, "buyers": true, "orders": "many", "plan": "pro", "zip": "1"}),
        ),
        ("include=plan,orders,refund,vip", json!({"orders": 1, "plan": "pro"})),
        ("exclude=plan,orders", json!({"big": big, "buyers": true, "zip": "1"})),
        (
            "as_of=1970-01-01T00:00:05Z",
            json!({"big": big, "orders": 1, "plan": "pro", "vip": "so they say", "zip": "1"}),
        ),
        ("next=orders", json!({"plan": "pro", "zip": "1"})),
        ("next=zip", json!({})),
    ];
    for (query, want) in cases {
        assert_eq!(asked(query)["traits"], want, "{query}");
    }
}

#[test]
fn verbose_says_where_each_value_came_from() {
    let traits = asked("verbose=true&include=plan,orders,buyers").get("traits").cloned();
    let want = json!({
        "buyers": {"value": true, "class": "audience", "updated_at": "1970-01-01T00:00:04.000Z"},
        "orders": {"value": 1, "class": "computed_trait", "approximate": false},
        "plan": {
            "value": "pro",
            "class": "custom",
            "source_id": "src_1",
            "updated_at": "1970-01-01T00:00:01.000Z",
            "message_id": "m1000",
        },
    });
    assert_eq!(traits, Some(want));
}

#[test]
fn a_membership_that_rests_on_a_limit_says_so() {
    let (view, mut memberships) = person();
    memberships[0].1.is_approximate = true;
    let query = Query::parse("verbose=true&include=buyers", known(Part::Traits)).expect("a query");
    let body =
        traits(&view, &memberships, Timestamp::from_millis(5_000), &BTreeSet::new(), &query).expect("a body");
    let body = serde_json::to_value(&body).expect("JSON");
    assert_eq!(body["traits"]["buyers"]["approximate"], true);
}

#[test]
fn pages_show_every_trait_once_over_all_classes() {
    let whole = asked("")["traits"].as_object().expect("an object").clone();
    for limit in 1..=whole.len() + 1 {
        let (mut seen, mut next) = (Vec::new(), String::new());
        loop {
            let page = asked(&format!("limit={limit}&next={next}"));
            let rows = page["traits"].as_object().expect("an object");
            assert!(rows.len() <= limit);
            seen.extend(rows.keys().cloned());
            let cursor = &page["cursor"];
            next = cursor["next"].as_str().expect("text").to_owned();
            assert_eq!(
                (cursor["limit"].as_u64(), cursor["has_more"] == true),
                (Some(limit as u64), !next.is_empty())
            );
            if next.is_empty() {
                break;
            }
        }
        assert_eq!(seen, whole.keys().cloned().collect::<Vec<_>>(), "{limit}");
    }
}

#[test]
fn what_lacks_events_of_old_is_approximate() {
    let computed_traits = vec![computed(1, "orders", r#"count(event("Order Completed"))"#)];
    let policies = BTreeMap::from([("plan".to_owned(), MergePolicy::Oldest)]);
    let rules = TraitRules { policies, ..TraitRules::default() };
    let catalog = catalog(&Defined { computed_traits, traits: rules, ..Defined::default() });
    let view = view(fragment(&CALLS, &catalog), &catalog, &Partitions::default());
    let query = Query::parse("verbose=true", known(Part::Traits)).expect("a query");
    let told = |unfilled: &BTreeSet<u32>, name: &str| {
        let body = traits(&view, &[], Timestamp::from_millis(5_000), unfilled, &query).expect("a body");
        serde_json::to_value(&body).expect("JSON")["traits"][name]["approximate"].clone()
    };
    let (none, both) = (BTreeSet::new(), BTreeSet::from([1, 2]));
    let cases = [
        (&none, "orders", json!(false)),
        (&none, "plan", Value::Null),
        (&both, "orders", json!(true)),
        (&both, "plan", json!(true)),
        (&both, "zip", Value::Null),
    ];
    for (unfilled, name, want) in cases {
        assert_eq!(told(unfilled, name), want, "{name} without {unfilled:?}");
    }
}

#[test]
fn a_view_shows_what_the_api_shows() {
    let (view, memberships) = person();
    let is_member = |id| memberships.iter().any(|(of, _)| *of == id);
    let shown = view.shown(Timestamp::from_millis(5_000), is_member).into_iter();
    let shown = shown.map(|(name, json)| (name.to_owned(), serde_json::from_str(&json).expect("JSON")));
    assert_eq!(Value::Object(shown.collect()), asked("")["traits"]);
    let sent: Vec<&str> = view.sent().map(|(name, ..)| name).collect();
    assert_eq!(sent, ["big", "plan", "zip"]);
}
