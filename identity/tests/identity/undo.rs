//! Undo: what an unmerge parts, what it refuses, and that it is exact.

use crate::compare::{Group, check_invariants, check_path};
use crate::decisions::{check_decisions, decided};
use crate::model::{any_call, any_rules, partition, unlimited};
use crate::support::{
    BY, IdentityRules, ONE, UnmergeTarget, WHY, Who, created_by, event, evidence, id, in_context, moment,
    node, play, profile_of, profiles, resolve_in, rules, text, texts, unmerge_in, who,
};
use crate::world::{Move, World, any_moves};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tributary_identity::{
    EdgeRule, Explanation, GraphRead, GraphStore, MemoryGraph, RefusalReason, RefusedKind, Retake, Row,
    explain, follow, history,
};
use tributary_model::{NodeKey, ProfileId};

const DEFAULT: &[(&str, u32)] = &[("user_id", 1), ("email", 5), ("anonymous_id", 5)];
/// The position of the command in a table's case.
const THEN: (u64, i64) = (50, 0);

fn identifier(text: &str) -> UnmergeTarget {
    UnmergeTarget::Identifier(id(text))
}

fn edge(one: &str, other: &str) -> UnmergeTarget {
    UnmergeTarget::Edge(id(one), id(other))
}

fn sides(sides: &[&[&str]]) -> UnmergeTarget {
    UnmergeTarget::Sides(sides.iter().map(|side| side.iter().map(|text| id(text)).collect()).collect())
}

fn named(sides: &[Vec<NodeKey>]) -> BTreeSet<BTreeSet<String>> {
    sides.iter().map(|side| side.iter().map(text).collect()).collect()
}

fn listed(sides: &[&[&str]]) -> BTreeSet<BTreeSet<String>> {
    sides.iter().map(|side| side.iter().map(|text| (*text).to_owned()).collect()).collect()
}

/// The live profiles: the identifier that gave the id, and the members.
fn check_profiles(graph: &MemoryGraph, want: &[(&str, &[&str])]) {
    let got: BTreeSet<(ProfileId, Vec<String>)> = profiles(graph, ONE).into_iter().collect();
    let want: BTreeSet<(ProfileId, Vec<String>)> = want
        .iter()
        .map(|(creator, members)| {
            (created_by(ONE, creator), members.iter().map(|text| (*text).to_owned()).collect())
        })
        .collect();
    assert_eq!(got, want);
    check_invariants(graph, ONE);
}

/// Plays a stream; where no decision intervened in an unmerge, the graph is the projection with the partition in
/// force from the start.
fn run(rules: IdentityRules, moves: &[Move]) {
    let mut world = World::new(rules);
    for step in moves {
        match step {
            Move::Call(call) => world.call(call),
            Move::Part(wish) => {
                let Some(order) = world.order(wish) else { continue };
                let before = decided(&world, &order.members);
                let Some(done) = world.carry_out(&order) else { continue };
                check_decisions(&before, &done);
                check_invariants(&world.graph, ONE);
                if !world.retell(&done) {
                    return;
                }
                world.check_exact();
            }
        }
    }
    world.check_exact();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn an_unmerge_is_exact(moves in any_moves(any_call(4), 24)) {
        run(unlimited(), &moves);
    }

    #[test]
    fn an_unmerge_is_exact_where_no_decision_intervened(rules in any_rules(), moves in any_moves(any_call(4), 24)) {
        // A finer projection gives more ids, so that a cap of merges could decide in it alone.
        run(IdentityRules { merges_max: 1000, ..rules }, &moves);
    }
}

#[test]
fn an_identifier_is_parted_from_the_rest_and_stays_apart() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"]]);
    let target = identifier("anonymous_id:1");
    let done =
        unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    assert_eq!((done.partition, done.before), (50, created_by(ONE, "user_id:a")));
    assert!(done.decisions.is_empty());
    let parted: &[(&str, &[&str])] =
        &[("user_id:a", &["anonymous_id:2", "user_id:a"]), ("anonymous_id:1", &["anonymous_id:1"])];
    check_profiles(&graph, parted);

    let both = event(&rules, &["user_id:a", "anonymous_id:1"]);
    let again = resolve_in(&mut graph, ONE, &rules, &both, &evidence(60, 0)).expect("resolved");
    let reasons: Vec<_> = again.demoted.iter().map(|demotion| demotion.reason.clone()).collect();
    assert_eq!(reasons, [RefusalReason::Partition { partition: 50 }]);
    check_profiles(&graph, parted);

    // No other path rejoins them either.
    for (at, identifiers) in [(61, ["email:a@x", "anonymous_id:1"]), (62, ["user_id:a", "email:a@x"])] {
        resolve_in(&mut graph, ONE, &rules, &event(&rules, &identifiers), &evidence(at, 0));
    }
    check_profiles(
        &graph,
        &[
            ("user_id:a", &["anonymous_id:2", "user_id:a"]),
            ("anonymous_id:1", &["anonymous_id:1", "email:a@x"]),
        ],
    );
}

#[test]
fn a_merge_undone_gives_both_profiles_their_ids_back() {
    let rules = rules(DEFAULT);
    type Case<'a> = (&'a str, &'a [&'a [&'a str]], &'a [(&'a str, &'a [&'a str])]);
    let events: [Case<'_>; 2] = [
        (
            "the anchor was known",
            &[&["anonymous_id:1"], &["user_id:a"], &["user_id:a", "anonymous_id:1"]],
            &[("anonymous_id:1", &["anonymous_id:1"]), ("user_id:a", &["user_id:a"])],
        ),
        (
            "what was one before the merge stays one",
            &[
                &["user_id:a", "email:a@x"],
                &["anonymous_id:1"],
                &["user_id:a", "email:a@x", "anonymous_id:1"],
                &["anonymous_id:1"],
            ],
            &[("user_id:a", &["email:a@x", "user_id:a"]), ("anonymous_id:1", &["anonymous_id:1"])],
        ),
    ];
    for (name, events, want) in events {
        let mut graph = MemoryGraph::new();
        let joined = play(&mut graph, &rules, events).expect("resolved");
        let rows = history(&mut graph, ONE, joined.profile, &joined.live).expect("the graph is consistent");
        let merge = rows
            .iter()
            .find_map(|row| if let Row::Merged { merge, .. } = &row.what { Some(*merge) } else { None });
        let target = UnmergeTarget::Merge(merge.expect(name));
        let by_id = Who::Profile(joined.profile);
        let done = unmerge_in(&mut graph, &rules, &by_id, &target, Retake::Keep, THEN).expect(name);
        check_profiles(&graph, want);
        assert_eq!(done.profiles_delta, 1, "{name}");
    }
}

#[test]
fn an_edge_parts_what_only_it_joined() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    let events: &[&[&str]] =
        &[&["user_id:a", "email:a@x"], &["email:a@x", "anonymous_id:1"], &["email:b@x", "anonymous_id:1"]];
    play(&mut graph, &rules, events);
    let target = edge("anonymous_id:1", "email:a@x");
    let done =
        unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    assert_eq!(named(&done.sides), listed(&[&["email:a@x", "user_id:a"], &["anonymous_id:1", "email:b@x"]]));
    // The parted side was never a profile of its own: it gets the id that it would have had.
    check_profiles(
        &graph,
        &[("user_id:a", &["email:a@x", "user_id:a"]), ("anonymous_id:1", &["anonymous_id:1", "email:b@x"])],
    );
}

#[test]
fn sides_that_nothing_holds_together_are_tied_by_the_command() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"]]);
    let target = sides(&[&["user_id:a"], &["anonymous_id:1", "anonymous_id:2"]]);
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    check_profiles(
        &graph,
        &[("user_id:a", &["user_id:a"]), ("anonymous_id:1", &["anonymous_id:1", "anonymous_id:2"])],
    );
    let told = in_context(ONE, &rules, moment(60, 0), |context| {
        explain(&mut graph, context, &who("anonymous_id:1"), &id("anonymous_id:2"))
    });
    let Explanation::Same { path, .. } = told.expect("the graph is consistent") else {
        panic!("one profile")
    };
    let steps: Vec<_> = path.iter().map(|step| (step.rule, step.evidence.position.sequence)).collect();
    assert_eq!(steps, [(EdgeRule::SameSide, 50)]);
    // An id that was given since leads to where its identifier went.
    let given = created_by(ONE, "anonymous_id:1");
    assert_eq!(follow(&mut graph, ONE, given).expect("consistent").map(|(id, _)| id), Some(given));
}

#[test]
fn a_partition_says_who_ordered_it_and_why() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "anonymous_id:1"]]);
    let target = identifier("anonymous_id:1");
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    let partitions = GraphRead::partitions(&mut graph, ONE).expect("memory answers");
    let partition = partitions.get(50).expect("it was stored");
    assert_eq!((partition.by.as_str(), partition.reason.as_deref()), (BY, Some(WHY)));
    assert_eq!(partition.at, moment(50, 0));
    assert_eq!(named(&partition.sides), listed(&[&["anonymous_id:1"], &["user_id:a"]]));
}

#[test]
fn an_identifier_first_seen_on_an_event_that_a_partition_parts_has_its_own_profile() {
    // As if the partition had been in force from the start: the event creates both.
    let rules = rules(DEFAULT);
    let target = identifier("email:a@x");
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, &[&["user_id:a", "email:a@x", "anonymous_id:1"]]);
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    check_profiles(&graph, &[("user_id:a", &["anonymous_id:1", "user_id:a"]), ("email:a@x", &["email:a@x"])]);
    let mut from_start = MemoryGraph::new();
    let parted: [Group; 2] = [["user_id:a", "anonymous_id:1"].map(node).into(), [node("email:a@x")].into()];
    from_start.put_partition(ONE, partition(50, &parted)).expect("memory takes it");
    let got =
        play(&mut from_start, &rules, &[&["user_id:a", "email:a@x", "anonymous_id:1"]]).expect("resolved");
    assert_eq!(got.beside, [created_by(ONE, "email:a@x")]);
    assert_eq!(got.profiles_delta, 2);
    assert_eq!(texts(&got.kept), ["user_id:a", "anonymous_id:1"]);
    assert_eq!(profiles(&from_start, ONE), profiles(&graph, ONE));
}

struct Refused {
    name: &'static str,
    events: &'static [&'static [&'static str]],
    who: &'static str,
    target: UnmergeTarget,
    kinds: &'static [RefusedKind],
}

const MISSING: &[RefusedKind] = &[RefusedKind::NotFound, RefusedKind::NothingToPart];
const AMBIGUOUS: &[RefusedKind] = &[RefusedKind::Ambiguous];
const INVALID: &[RefusedKind] = &[RefusedKind::Invalid];

const HUB: &[&[&str]] = &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"], &["email:z@x"]];

fn refusals() -> Vec<Refused> {
    let hub = |name, target, kinds| Refused { name, events: HUB, who: "user_id:a", target, kinds };
    vec![
        Refused {
            name: "nobody",
            events: HUB,
            who: "user_id:z",
            target: identifier("user_id:z"),
            kinds: &[RefusedKind::NotFound],
        },
        Refused {
            name: "the only identifier",
            events: HUB,
            who: "email:z@x",
            target: identifier("email:z@x"),
            kinds: &[RefusedKind::NothingToPart],
        },
        hub("an identifier of somebody else", identifier("email:z@x"), MISSING),
        hub("an identifier that nobody has", identifier("email:new@x"), MISSING),
        hub("an edge that there never was", edge("user_id:a", "email:z@x"), MISSING),
        hub("an event that merged nothing", UnmergeTarget::Merge(1), MISSING),
        hub("a merge that there never was", UnmergeTarget::Merge(7_000), MISSING),
        hub("a hub: the rest could go either way", identifier("user_id:a"), AMBIGUOUS),
        hub("one side", sides(&[&["user_id:a", "anonymous_id:1", "anonymous_id:2"]]), INVALID),
        hub("no side", sides(&[]), INVALID),
        hub("an empty side", sides(&[&["user_id:a", "anonymous_id:1", "anonymous_id:2"], &[]]), INVALID),
        hub(
            "an identifier on both sides",
            sides(&[&["user_id:a", "anonymous_id:1"], &["anonymous_id:1", "anonymous_id:2"]]),
            INVALID,
        ),
        hub(
            "an identifier of somebody else on a side",
            sides(&[&["user_id:a", "anonymous_id:1", "anonymous_id:2"], &["email:z@x"]]),
            &[RefusedKind::NotFound, RefusedKind::NothingToPart, RefusedKind::Invalid],
        ),
        Refused {
            name: "an edge beside which another path goes",
            events: &[
                &["user_id:a", "email:a@x"],
                &["user_id:a", "anonymous_id:1"],
                &["email:a@x", "anonymous_id:1"],
            ],
            who: "user_id:a",
            target: edge("user_id:a", "anonymous_id:1"),
            kinds: AMBIGUOUS,
        },
        Refused {
            name: "a merge beside which another path goes",
            events: &[
                &["user_id:a"],
                &["anonymous_id:1"],
                &["user_id:a", "anonymous_id:1"],
                &["email:a@x", "anonymous_id:1"],
                &["user_id:a", "email:a@x"],
            ],
            who: "user_id:a",
            target: UnmergeTarget::Merge(2),
            kinds: AMBIGUOUS,
        },
        Refused {
            name: "a merge whose anchor came with it and could go either way",
            events: &[&["email:a@x"], &["anonymous_id:1"], &["user_id:a", "email:a@x", "anonymous_id:1"]],
            who: "user_id:a",
            target: UnmergeTarget::Merge(2),
            kinds: AMBIGUOUS,
        },
    ]
}

#[test]
fn what_cannot_be_parted_is_refused_and_changes_nothing() {
    let rules = rules(DEFAULT);
    for case in refusals() {
        let mut graph = MemoryGraph::new();
        play(&mut graph, &rules, case.events);
        let before = graph.clone();
        let refused = unmerge_in(&mut graph, &rules, &who(case.who), &case.target, Retake::Keep, THEN);
        let Err(refused) = refused else { panic!("{}: parted", case.name) };
        assert!(case.kinds.contains(&refused.kind), "{}: {refused:?}", case.name);
        assert!(graph == before, "{}: the graph changed", case.name);
        assert!(!refused.message.is_empty(), "{}", case.name);
        assert!(case.kinds != AMBIGUOUS || !refused.paths.is_empty(), "{}: no path is shown", case.name);
        refused.paths.iter().for_each(|path| check_path(&graph, path));
    }
    let nobody = Who::Profile(ProfileId([7; 16]));
    let mut graph = MemoryGraph::new();
    let refused = unmerge_in(&mut graph, &rules, &nobody, &identifier("user_id:a"), Retake::Keep, THEN);
    assert_eq!(refused.expect_err("nobody").kind, RefusedKind::NotFound);
}

#[test]
fn a_caller_lists_the_sides_where_the_evidence_leaves_it_open() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, HUB);
    let target = sides(&[&["user_id:a", "anonymous_id:1"], &["anonymous_id:2"]]);
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, THEN).expect("parted");
    assert_eq!(profile_of(&mut graph, "anonymous_id:2"), Some(created_by(ONE, "anonymous_id:2")));
    // A side may be parted further, and again nothing rejoins what was parted first.
    let target = identifier("anonymous_id:1");
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, (51, 0)).expect("parted again");
    let all = event(&rules, &["user_id:a", "anonymous_id:1", "anonymous_id:2"]);
    let got = resolve_in(&mut graph, ONE, &rules, &all, &evidence(60, 0)).expect("resolved");
    assert_eq!(texts(&got.kept), ["user_id:a"]);
    check_profiles(
        &graph,
        &[
            ("user_id:a", &["user_id:a"]),
            ("anonymous_id:1", &["anonymous_id:1"]),
            ("anonymous_id:2", &["anonymous_id:2"]),
            ("email:z@x", &["email:z@x"]),
        ],
    );
}
