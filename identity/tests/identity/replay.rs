//! The stored evidence, told again to an empty graph.

use crate::compare::{check_all, check_invariants, check_limits, leads};
use crate::model::{any_calls, any_rules, any_stream, any_visits, dated, play_calls, unlimited};
use crate::reference::Reference;
use crate::support::{
    IdentityRules, ONE, SharedDevice, event, evidence, in_context, link, moment, play, profile_of, profiles,
    resolve_in, rules, text,
};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use tributary_identity::{
    Dated, Item, MemoryGraph, ProfileRecord, Refusal, item_of_edge, item_of_refusal, item_order,
    items_of_node, take_items,
};

/// All evidence of a graph, in the order of the log.
fn evidence_of(graph: &MemoryGraph) -> Vec<Dated> {
    let mut items: Vec<Dated> = Vec::new();
    graph.nodes(ONE).for_each(|(key, node)| items.extend(items_of_node(key, node)));
    graph.edges(ONE).for_each(|(key, edge)| items.push(item_of_edge(&key, edge)));
    graph.refusals(ONE).for_each(|(key, refusal)| items.push(item_of_refusal(&key, refusal)));
    items.sort_by(item_order);
    assert!(items.is_sorted_by(|one, next| one.evidence.position <= next.evidence.position), "by position");
    items
}

/// The evidence of a graph, told again under some rules.
fn replayed(graph: &MemoryGraph, rules: &IdentityRules) -> MemoryGraph {
    let mut fresh = MemoryGraph::new();
    let items = evidence_of(graph);
    for event in items.chunk_by(|one, next| one.evidence.position == next.evidence.position) {
        let at = event[0].linked_at;
        in_context(ONE, rules, at, |context| {
            take_items(&mut fresh, context, |identifier| identifier.value() == "null", event)
        })
        .expect("the graph is consistent");
    }
    check_invariants(&fresh, ONE);
    fresh
}

/// Everything but histories, which a replay does not touch.
fn check_same(got: &MemoryGraph, want: &MemoryGraph) {
    assert_eq!(profiles(got, ONE), profiles(want, ONE), "profiles with their members");
    assert_eq!(leads(got), leads(want), "where ids lead");
    let nodes = |graph: &MemoryGraph| {
        let stored = graph.nodes(ONE).map(|(key, node)| (text(key), node.clone()));
        stored.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(nodes(got), nodes(want), "nodes");
    let records = |graph: &MemoryGraph| {
        let stored = graph.profiles(ONE).map(|(id, record): (_, &ProfileRecord)| (id, record.clone()));
        stored.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(records(got), records(want), "profiles");
    let edges = |graph: &MemoryGraph| {
        let stored = graph.edges(ONE).map(|(key, edge)| (link(key), edge.clone()));
        stored.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(edges(got), edges(want), "edges");
    // Why one was refused may be counted differently, pair by pair.
    let refusals = |graph: &MemoryGraph| {
        let told = |refusal: &Refusal| (refusal.first.clone(), refusal.last_day, refusal.place);
        let stored = graph.refusals(ONE).map(|(key, refusal)| (link(key), told(refusal)));
        stored.collect::<BTreeMap<_, _>>()
    };
    assert_eq!(refusals(got), refusals(want), "refusals");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn within_limits_a_replay_gives_the_same_graph(calls in any_stream(4, 24)) {
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &unlimited(), &calls);
        check_same(&replayed(&graph, &unlimited()), &graph);
    }

    #[test]
    fn under_the_same_rules_a_replay_gives_the_same_graph(rules in any_rules(), calls in any_calls(4, 24)) {
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &rules, &calls);
        check_same(&replayed(&graph, &rules), &graph);
    }

    #[test]
    fn a_replay_keeps_who_was_handed_over_at_a_sign_in(calls in any_visits(3, 24)) {
        let mut rules = rules(&[("user_id", 1), ("email", 5), ("anonymous_id", 5)]);
        rules.namespaces.iter_mut().skip(1).for_each(|rule| rule.shared_device = SharedDevice::LastSignIn);
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &rules, &calls);
        check_same(&replayed(&graph, &rules), &graph);
    }

    #[test]
    fn loosened_limits_take_what_was_refused(tight in any_rules(), calls in any_calls(4, 24)) {
        // All namespaces are declared in the order of the tight rules, so that the anchors stay the same.
        let mut wide = tight.clone();
        wide.namespaces.iter_mut().for_each(|rule| rule.limit.count = 1000);
        (wide.identifiers_max, wide.merges_max) = (1000, 1000);
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &tight, &calls);
        let fresh = replayed(&graph, &wide);
        let mut reference = Reference::default();
        for (at, day, call) in dated(&calls) {
            reference.resolve(&wide, &call.event(&wide), at, moment(at, day));
        }
        let got: BTreeMap<_, _> = profiles(&fresh, ONE).into_iter().collect();
        let want: BTreeMap<_, _> = reference
            .profiles()
            .into_iter()
            .map(|(id, profile)| (id, profile.members.iter().map(text).collect::<Vec<_>>()))
            .collect();
        prop_assert_eq!(got, want);
        check_limits(&fresh, &wide, moment(1000, 1000));
    }

    #[test]
    fn tightened_limits_hold_after_a_replay(
        wide in any_rules(),
        counts in prop::collection::vec(1..3_u32, 4),
        calls in any_calls(4, 24),
    ) {
        let mut tight = wide.clone();
        for (rule, count) in tight.namespaces.iter_mut().zip(counts) {
            rule.limit.count = count.min(rule.limit.count);
        }
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &wide, &calls);
        let last = dated(&calls).last().map_or(0, |(_, day, _)| day);
        check_limits(&replayed(&graph, &tight), &tight, moment(1000, last));
    }
}

#[test]
fn a_loosened_limit_takes_what_was_refused_and_keeps_it() {
    let narrow = rules(&[("user_id", 1), ("anonymous_id", 1)]);
    let wide = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    let events: &[&[&str]] =
        &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"], &["anonymous_id:2"]];
    play(&mut graph, &narrow, events);
    assert_eq!(profiles(&graph, ONE).len(), 2);
    let mut fresh = replayed(&graph, &wide);
    assert_eq!(profiles(&fresh, ONE).len(), 1);
    assert_eq!(profile_of(&mut fresh, "anonymous_id:2"), profile_of(&mut fresh, "user_id:a"));
    // What was evidence before is evidence still: told once more, nothing changes.
    check_same(&replayed(&fresh, &wide), &fresh);
    let again = event(&wide, &["user_id:a", "anonymous_id:2"]);
    let got = resolve_in(&mut fresh, ONE, &wide, &again, &evidence(10, 0)).expect("resolved");
    assert!(got.demoted.is_empty() && !got.created);
}

#[test]
fn items_are_ordered_by_event_and_the_anchor_comes_first() {
    let rules = unlimited();
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "loyalty:1", "email:a@x", "anonymous_id:1"], &["email:b@x"]]);
    let items = evidence_of(&graph);
    let mut told = Vec::new();
    for item in &items {
        told.push(match &item.item {
            Item::Anchored { node } => text(node),
            Item::Link { key, .. } => link(key),
            Item::Epoch { .. } => panic!("nothing was handed over"),
        });
    }
    let want = [
        "user_id:a",
        "user_id:a > email:a@x",
        "user_id:a > anonymous_id:1",
        "user_id:a > loyalty:1",
        "email:b@x",
    ];
    assert_eq!(told, want);
    for (place, one) in items.iter().enumerate() {
        for (other_place, other) in items.iter().enumerate() {
            assert_eq!(item_order(one, other), place.cmp(&other_place), "a total order");
        }
    }
    assert_eq!(item_order(&items[0], &items[0]), Ordering::Equal);
    let mut reference = Reference::default();
    for (at, identifiers) in
        (0..).zip([&["user_id:a", "loyalty:1", "email:a@x", "anonymous_id:1"][..], &["email:b@x"][..]])
    {
        reference.resolve(&rules, &event(&rules, identifiers), at, moment(at, 0));
    }
    check_all(&replayed(&graph, &rules), &reference);
}
