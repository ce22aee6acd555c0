//! A profile's history: complete, in order, each row with its event or with who ordered it.

use crate::compare::live;
use crate::model::{any_rules, any_stream, dated};
use crate::reference::Reference;
use crate::support::{
    Action, BY, ONE, UnmergeTarget, WHY, created_by, evidence, hand_in, hash_key, id, last_sign_in, link,
    moment, play, resolve_in, rules, text, unmerge_in, who,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{EdgeKey, EdgeRule, HistoryRow, LiveProfile, MemoryGraph, Retake, Row, history};
use tributary_model::{NodeKey, ProfileId};

fn rows(graph: &mut MemoryGraph, id: ProfileId) -> Vec<HistoryRow> {
    let live = live(graph, ONE).remove(&id).expect("a live profile");
    history(graph, ONE, id, &live).expect("the graph is consistent")
}

/// A history, taken apart.
#[derive(Default)]
struct Told {
    created: Vec<u64>,
    gained: Vec<(String, u64)>,
    /// Position, survivor, and what was merged into it.
    merged: BTreeSet<(u64, ProfileId, BTreeSet<ProfileId>)>,
    links: Vec<EdgeKey>,
    demoted: BTreeMap<String, u64>,
}

fn told(rows: &[HistoryRow]) -> Told {
    let mut told = Told::default();
    for row in rows {
        let at = row.position.sequence;
        match &row.what {
            Row::Created => told.created.push(at),
            Row::Gained { node } => told.gained.push((text(node), at)),
            Row::Merged { merge, survivor, merged, links } => {
                assert_eq!(*merge, at, "a merge has the number of its event");
                told.merged.insert((at, *survivor, merged.iter().copied().collect()));
                told.links.extend(links.iter().cloned());
            }
            Row::Demoted { anchor, other, .. } => {
                let key = EdgeKey { anchor: anchor.clone(), other: other.clone() };
                assert_eq!(told.demoted.insert(link(&key), at), None, "{} is told twice", link(&key));
            }
            Row::Parted { .. } | Row::Took { .. } | Row::Lost { .. } => panic!("nobody ordered anything"),
        }
    }
    told
}

/// A profile's history against the reference and the merges that events did.
fn check_history(
    rows: &[HistoryRow],
    (id, live): (ProfileId, &LiveProfile),
    reference: &Reference,
    merges: &BTreeSet<(u64, ProfileId, BTreeSet<ProfileId>)>,
) {
    assert!(rows.is_sorted_by_key(|row| row.position), "in order");
    for row in rows {
        if let Some(evidence) = &row.evidence {
            assert_eq!(
                (evidence.position, evidence.received_at),
                (row.position, row.at),
                "a row is of its event"
            );
        }
        assert_eq!((&row.by, &row.reason), (&None, &None), "nobody ordered anything");
    }
    let told = told(rows);
    let created = live.created.position.sequence;
    assert_eq!(told.created, [created], "created once");
    assert!(rows.first().is_some_and(|row| row.what == Row::Created), "first of all");

    let creator = live.members.iter().find(|key| hash_key().profile_id(ONE, key) == id);
    let creator = creator.expect("a member gave the id");
    let gained: BTreeMap<_, _> = told.gained.iter().cloned().collect();
    assert_eq!(gained.len(), told.gained.len(), "each identifier is gained once");
    for member in live.members.iter() {
        let (first, _) = reference.first_seen(member).expect("a member was seen");
        let here = first > created && reference.reach_at([member.clone()], first).contains(creator);
        let row = gained.get(&text(member));
        assert!(row.is_none_or(|at| *at == first), "{} came with event {first}", text(member));
        assert!(row.is_some() || !here, "{} was gained by event {first}", text(member));
    }
    let members: BTreeSet<_> = live.members.iter().map(text).collect();
    assert!(gained.keys().all(|name| members.contains(name)), "only members were gained");

    assert!(told.merged.is_subset(merges), "{:?} were merged, not {:?}", merges, told.merged);
    let own = merges.iter().filter(|(_, survivor, _)| *survivor == id);
    own.for_each(|merge| assert!(told.merged.contains(merge), "{merge:?} is missing"));
    assert_eq!(told.links.is_empty(), told.merged.is_empty(), "a merge tells its links");
    let within = |key: &NodeKey| members.contains(&text(key));
    assert!(told.links.iter().all(|key| within(&key.anchor) && within(&key.other)), "links of the profile");

    let mut first: BTreeMap<(NodeKey, NodeKey), u64> = BTreeMap::new();
    for refused in &reference.refused {
        first.entry(refused.pair()).or_insert(refused.at);
    }
    let named = |((anchor, other), at): (&(NodeKey, NodeKey), &u64)| {
        (link(&EdgeKey { anchor: anchor.clone(), other: other.clone() }), *at)
    };
    let touching: BTreeMap<_, _> =
        first.iter().filter(|((anchor, other), _)| within(anchor) || within(other)).map(named).collect();
    for (name, at) in &told.demoted {
        assert_eq!(touching.get(name), Some(at), "{name} was refused");
    }
    for (anchor, other) in reference.refusals().keys().filter(|(anchor, _)| within(anchor)) {
        let name = link(&EdgeKey { anchor: anchor.clone(), other: other.clone() });
        assert!(told.demoted.contains_key(&name), "the refusal of {name} is missing");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn a_history_is_complete_and_in_order(rules in any_rules(), calls in any_stream(4, 24)) {
        let (mut graph, mut reference) = (MemoryGraph::new(), Reference::default());
        let mut merges = BTreeSet::new();
        for (at, day, call) in dated(&calls) {
            let event = call.event(&rules);
            resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, day));
            let answer = reference.resolve(&rules, &event, at, moment(at, day));
            if let Some(answer) = answer.filter(|answer| !answer.merged.is_empty()) {
                merges.insert((at, answer.profile, answer.merged));
            }
        }
        for (id, live) in live(&graph, ONE) {
            let rows = history(&mut graph, ONE, id, &live).expect("the graph is consistent");
            check_history(&rows, (id, &live), &reference, &merges);
        }
    }
}

/// The rows that a person or a rule brought, with who and why.
fn ordered(rows: &[HistoryRow]) -> Vec<(u64, &Row, Option<&str>, Option<&str>)> {
    rows.iter()
        .filter(|row| matches!(row.what, Row::Parted { .. } | Row::Took { .. } | Row::Lost { .. }))
        .map(|row| (row.position.sequence, &row.what, row.by.as_deref(), row.reason.as_deref()))
        .collect()
}

const PEOPLE: &[&[&str]] = &[&["user_id:a", "anonymous_id:1"], &["user_id:b", "anonymous_id:2"]];

#[test]
fn both_sides_tell_that_they_were_parted() {
    let rules = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, PEOPLE);
    let target = UnmergeTarget::Identifier(id("anonymous_id:1"));
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, (50, 0)).expect("parted");
    let (from, other) = (created_by(ONE, "user_id:a"), created_by(ONE, "anonymous_id:1"));
    for id in [from, other] {
        let rows = rows(&mut graph, id);
        assert!(rows.is_sorted_by_key(|row| row.position));
        let ordered = ordered(&rows);
        let [(50, Row::Parted { partition: 50, from: before, into }, Some(BY), Some(WHY))] =
            ordered.as_slice()
        else {
            panic!("{ordered:?}")
        };
        assert_eq!(*before, from);
        assert_eq!(into.iter().collect::<BTreeSet<_>>(), BTreeSet::from([&from, &other]));
    }
    let untouched = rows(&mut graph, created_by(ONE, "user_id:b"));
    assert!(ordered(&untouched).is_empty());
}

#[test]
fn who_took_and_who_lost_an_identifier_is_told() {
    let plain = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let follows = last_sign_in(plain.clone(), "anonymous_id");
    let (a, b) = (created_by(ONE, "user_id:a"), created_by(ONE, "user_id:b"));
    let moved =
        Action::Move { who: who("user_id:a"), identifier: id("anonymous_id:1"), to: who("user_id:b") };
    for (rules, at, rule, by) in
        [(&plain, 50, EdgeRule::ByHand, Some(BY)), (&follows, 2, EdgeRule::SignIn, None)]
    {
        let mut graph = MemoryGraph::new();
        let mut events = PEOPLE.to_vec();
        if by.is_some() {
            play(&mut graph, rules, &events);
            hand_in(&mut graph, rules, &moved, (at, 0)).expect("moved");
        } else {
            events.push(&["user_id:b", "anonymous_id:1"]);
            play(&mut graph, rules, &events);
        }
        let name = rule.name();
        let (took, lost) = (rows(&mut graph, b), rows(&mut graph, a));
        let (took, lost) = (ordered(&took), ordered(&lost));
        let [(when, Row::Took { node, from, rule: how }, who, _)] = took.as_slice() else {
            panic!("{name}: {took:?}")
        };
        assert_eq!(text(node), "anonymous_id:1~1", "{name}");
        assert_eq!((*when, *from, *how, *who), (at, Some(a), rule, by), "{name}");
        let [(when, Row::Lost { node, to, rule: how }, who, _)] = lost.as_slice() else {
            panic!("{name}: {lost:?}")
        };
        assert_eq!(node.identifier, id("anonymous_id:1"), "{name}");
        assert_eq!((*when, *to, *how, *who), (at, Some(b), rule, by), "{name}");
    }
}
