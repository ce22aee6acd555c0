//! The stored values: their bytes, what a node knows of its events, and what happens when a store contradicts
//! itself.

use crate::support::{
    Action, ONE, UnmergeTarget, event, evidence, hand_in, hash_key, id, moment, node, play, resolve_in,
    rules, unmerge_in, who,
};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use tributary_identity::{
    Anchored, Context, Dated, GraphRead, GraphStore, Inconsistent, LiveProfile, MemoryGraph, Node,
    ProfileRecord, Retake, follow, item_of_edge, item_of_refusal, items_of_node, resolve,
};
use tributary_model::ProfileId;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).expect("plain values can be written");
    let back: T = postcard::from_bytes(&bytes).expect("what was written can be read");
    assert_eq!(&back, value);
    assert_eq!(postcard::to_stdvec(&back).expect("plain values can be written"), bytes);
}

/// A graph in which everything that can be stored is: refusals of several kinds, merges, epochs, a partition.
fn everything() -> MemoryGraph {
    let rules = rules(&[("user_id", 1), ("email", 5), ("loyalty", 5)]);
    let mut graph = MemoryGraph::new();
    let events: &[&[&str]] = &[
        &["email:a@x"],
        &["loyalty:7"],
        &["user_id:a", "email:a@x", "loyalty:7"],
        &["user_id:b", "email:a@x"],
    ];
    play(&mut graph, &rules, events);
    let mut blocked = event(&rules, &["user_id:b"]);
    blocked.blocked = vec![id("email:null@x")];
    resolve_in(&mut graph, ONE, &rules, &blocked, &evidence(4, 20_000));
    let target = UnmergeTarget::Identifier(id("loyalty:7"));
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, (50, 20_001)).expect("parted");
    let action = Action::Move { who: who("user_id:a"), identifier: id("email:a@x"), to: who("user_id:b") };
    hand_in(&mut graph, &rules, &action, (51, 20_002)).expect("moved");
    graph
}

#[test]
fn values_survive_their_stored_form() {
    let mut graph = everything();
    let mut items: Vec<Dated> = Vec::new();
    for (key, stored) in graph.nodes(ONE) {
        round_trip(key);
        round_trip(stored);
        items.extend(items_of_node(key, stored));
    }
    for (key, edge) in graph.edges(ONE) {
        round_trip(&key);
        round_trip(edge);
        items.push(item_of_edge(&key, edge));
    }
    for (key, refusal) in graph.refusals(ONE) {
        round_trip(&key);
        round_trip(refusal);
        items.push(item_of_refusal(&key, refusal));
    }
    items.iter().for_each(round_trip);
    let ids: Vec<_> = graph.profiles(ONE).map(|(id, record)| (id, record.clone())).collect();
    for (id, record) in ids {
        round_trip(&id);
        round_trip(&record);
        GraphRead::history(&mut graph, ONE, id).expect("memory answers").iter().for_each(round_trip);
    }
    let partition = GraphRead::partitions(&mut graph, ONE).expect("memory answers");
    round_trip(&**partition.get(50).expect("the unmerge stored it"));
}

#[test]
fn a_node_knows_when_it_was_first_the_anchor() {
    let rules = rules(&[("user_id", 1), ("email", 5)]);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "email:a@x"], &["user_id:a", "email:b@x"], &["email:b@x"]]);
    resolve_in(&mut graph, ONE, &rules, &event(&rules, &["email:b@x"]), &evidence(3, 1));
    let cases = [
        ("user_id:a", 0, Anchored::First),
        ("email:a@x", 0, Anchored::Never),
        ("email:b@x", 1, Anchored::Later(Box::new(evidence(2, 0)))),
    ];
    for (key, first, anchored) in cases {
        let stored = graph.node(ONE, &node(key)).expect("memory answers").expect("a node");
        assert_eq!((&stored.first, &stored.anchored), (&evidence(first, 0), &anchored), "{key}");
        assert_eq!((stored.linked_at, stored.current_epoch), (moment(first, 0), 0), "{key}");
    }
}

#[test]
fn an_unknown_profile_id_leads_nowhere() {
    let mut graph = MemoryGraph::new();
    assert_eq!(follow(&mut graph, ONE, ProfileId([7; 16])), Ok(None));
}

#[test]
fn a_graph_that_contradicts_itself_is_an_error() {
    let rules = rules(&[("user_id", 1), ("email", 5)]);
    let (lost, merged, live) = (ProfileId([1; 16]), ProfileId([2; 16]), ProfileId([3; 16]));
    let mut graph = MemoryGraph::new();
    let mut put = |key, profile| {
        let first = evidence(0, 0);
        let (linked_at, anchored) = (first.received_at, Anchored::First);
        let stored = Node { profile, first, linked_at, anchored, current_epoch: 0 };
        graph.put_node(ONE, node(key), stored).expect("memory takes it");
    };
    put("user_id:lost", lost);
    put("user_id:merged", merged);
    put("user_id:live", live);
    let record = |members: &[&str]| {
        ProfileRecord::Live(Arc::new(LiveProfile {
            created: evidence(5, 0),
            members: members.iter().map(|text| node(text)).collect(),
            merged: Vec::new(),
            former: Vec::new(),
            parted: Vec::new(),
        }))
    };
    resolve_in(&mut graph, ONE, &rules, &event(&rules, &["email:a@x"]), &evidence(0, 0)).expect("resolved");
    graph.put_profile(ONE, merged, ProfileRecord::MergedInto(lost)).expect("memory takes it");
    graph.put_profile(ONE, live, record(&["email:nobody@x", "user_id:live"])).expect("memory takes it");
    let key = hash_key();
    let context = Context { workspace: ONE, rules: &rules, hash_key: &key, log_time: moment(9, 0) };
    let mut check = |identifiers: &[&str], want| {
        let got = resolve(&mut graph, &context, &event(&rules, identifiers), &evidence(9, 0));
        assert_eq!(got, Err(want));
    };
    check(&["user_id:lost"], Inconsistent::NoProfile(lost));
    check(&["user_id:merged"], Inconsistent::NotLive(merged));
    check(&["user_id:live", "email:a@x"], Inconsistent::NoNode(live));
    assert_eq!(follow(&mut graph, ONE, merged), Err(Inconsistent::NoProfile(lost)));
}
