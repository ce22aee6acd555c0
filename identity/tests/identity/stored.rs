//! The stored values: their bytes, and what happens when a store contradicts itself.

use crate::support::{ONE, evidence, hash_key, id, node, resolve_in, rules};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;
use tributary_identity::{
    GraphStore, Inconsistent, LiveProfile, MemoryGraph, Node, ProfileRecord, follow, resolve,
};
use tributary_model::ProfileId;

fn round_trip<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: &T) {
    let bytes = postcard::to_stdvec(value).expect("plain values can be written");
    let back: T = postcard::from_bytes(&bytes).expect("what was written can be read");
    assert_eq!(&back, value);
    assert_eq!(postcard::to_stdvec(&back).expect("plain values can be written"), bytes);
}

#[test]
fn values_survive_their_stored_form() {
    let rules = rules(&[("user_id", 1), ("email", 5), ("loyalty", 5)]);
    let mut graph = MemoryGraph::new();
    let events = [
        &["email:a@x"][..],
        &["loyalty:7"],
        &["user_id:a", "email:a@x", "loyalty:7"],
        &["user_id:b", "email:a@x"],
    ];
    for (at, event) in (0..).zip(events) {
        let identifiers: Vec<_> = event.iter().map(|text| id(text)).collect();
        resolve_in(&mut graph, ONE, &rules, &identifiers, &evidence(at, 20_000)).expect("resolved");
    }
    graph.nodes(ONE).for_each(|(key, node)| {
        round_trip(key);
        round_trip(node);
    });
    graph.profiles(ONE).for_each(|(id, record)| {
        round_trip(&id);
        round_trip(record);
    });
    graph.edges(ONE).for_each(|(key, edge)| {
        round_trip(key);
        round_trip(edge);
    });
    graph.refusals(ONE).for_each(|(key, refusal)| {
        round_trip(key);
        round_trip(refusal);
    });
    let counts = (graph.nodes(ONE).count(), graph.profiles(ONE).count(), graph.edges(ONE).count());
    assert_eq!((counts, graph.refusals(ONE).count()), ((4, 3, 2), 1));
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
    let first = evidence(5, 0);
    let put = |graph: &mut MemoryGraph, key, profile| {
        graph.put_node(ONE, node(key), Node { profile, first: evidence(0, 0) }).expect("memory takes it");
    };
    put(&mut graph, "user_id:lost", lost);
    put(&mut graph, "user_id:merged", merged);
    put(&mut graph, "user_id:live", live);
    let record = |members: &[&str]| {
        ProfileRecord::Live(Arc::new(LiveProfile {
            created: first.clone(),
            members: members.iter().map(|text| node(text)).collect(),
            merged: Vec::new(),
        }))
    };
    resolve_in(&mut graph, ONE, &rules, &[id("email:a@x")], &evidence(0, 0)).expect("resolved");
    graph.put_profile(ONE, merged, ProfileRecord::MergedInto(lost)).expect("memory takes it");
    graph.put_profile(ONE, live, record(&["email:nobody@x", "user_id:live"])).expect("memory takes it");
    let mut check = |identifiers: &[&str], want| {
        let identifiers: Vec<_> = identifiers.iter().map(|text| id(text)).collect();
        let got = resolve(&mut graph, ONE, &rules, &hash_key(), &identifiers, &evidence(9, 0));
        assert_eq!(got, Err(want));
    };
    check(&["user_id:lost"], Inconsistent::NoProfile(lost));
    check(&["user_id:merged"], Inconsistent::NotLive(merged));
    check(&["user_id:live", "email:a@x"], Inconsistent::NoNode(live));
    assert_eq!(follow(&mut graph, ONE, merged), Err(Inconsistent::NoProfile(lost)));
}
