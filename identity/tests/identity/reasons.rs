//! Why two identifiers are one person, or are not.

use crate::compare::{Group, check_path};
use crate::model::{any_policies, any_rules, any_stream, dated, play_calls};
use crate::reference::Reference;
use crate::support::{
    Action, EventIdentifiers, IdentityRules, ONE, TWO, UnmergeTarget, Who, event, evidence, hand_in, id,
    in_context, link, moment, plain, resolve_in, rules, text, unmerge_in, who,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{
    EdgeKey, EdgeRule, Explanation, MemoryGraph, RefusalReason, Retake, current_node, explain,
};
use tributary_model::{Identifier, NodeKey};

fn explained(graph: &mut MemoryGraph, rules: &IdentityRules, who: &Who, with: &Identifier) -> Explanation {
    in_context(ONE, rules, moment(1000, 1000), |context| explain(graph, context, who, with))
        .expect("the graph is consistent")
}

/// Nodes in use, with the nodes of their profile.
fn in_use(graph: &mut MemoryGraph) -> Vec<(NodeKey, Group)> {
    let nodes: Vec<_> = graph.nodes(ONE).map(|(key, node)| (key.clone(), node.profile)).collect();
    let mut profiles: BTreeMap<_, Group> = BTreeMap::new();
    for (key, profile) in &nodes {
        profiles.entry(*profile).or_default().insert(key.clone());
    }
    nodes
        .into_iter()
        .filter(|(key, _)| current_node(graph, ONE, &key.identifier).as_ref() == Ok(key))
        .map(|(key, profile)| (key, profiles[&profile].clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn two_of_one_profile_have_a_path_of_evidence(
        rules in any_policies(),
        calls in any_stream(4, 24),
        picks in prop::collection::vec((any::<Index>(), any::<Index>()), 8),
    ) {
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &rules, &calls);
        let nodes = in_use(&mut graph);
        if nodes.is_empty() {
            return Ok(());
        }
        for (one, other) in picks {
            let (one, profile) = one.get(&nodes);
            let same: Vec<_> = nodes.iter().map(|(key, _)| key).filter(|key| profile.contains(*key)).collect();
            let other = *other.get(&same);
            let who = Who::Identifier(one.identifier.clone());
            let told = explained(&mut graph, &rules, &who, &other.identifier);
            let Explanation::Same { path, .. } = &told else { panic!("{} and {}: {told:?}", text(one), text(other)) };
            check_path(&graph, path);
            if one == other {
                continue;
            }
            prop_assert_eq!(path.first().map(|step| text(&step.from)), Some(text(one)));
            prop_assert_eq!(path.last().map(|step| text(&step.to)), Some(text(other)));
            let visited: BTreeSet<_> = path.iter().map(|step| text(&step.from)).collect();
            prop_assert_eq!(visited.len(), path.len(), "no detour: {:?}", visited);
        }
    }

    #[test]
    fn two_apart_have_every_refusal_between_their_profiles(
        rules in any_rules(),
        calls in any_stream(4, 24),
        picks in prop::collection::vec((any::<Index>(), any::<Index>()), 8),
    ) {
        let (mut graph, mut reference) = (MemoryGraph::new(), Reference::default());
        for (at, day, call) in dated(&calls) {
            let event = call.event(&rules);
            resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, day));
            reference.resolve(&rules, &event, at, moment(at, day));
        }
        let nodes = in_use(&mut graph);
        if nodes.is_empty() {
            return Ok(());
        }
        for (one, other) in picks {
            let ((one, mine), (other, theirs)) = (one.get(&nodes), other.get(&nodes));
            if mine.contains(other) {
                continue;
            }
            let who = Who::Identifier(one.identifier.clone());
            let told = explained(&mut graph, &rules, &who, &other.identifier);
            let Explanation::Apart { who, with, kept_apart, .. } = &told else { panic!("they are apart: {told:?}") };
            prop_assert_eq!((Some(*who), *with), (reference.profile_of(one), reference.profile_of(other)));
            prop_assert!(kept_apart.is_sorted_by_key(|apart| apart.evidence.position), "oldest first");
            let got: Vec<_> = kept_apart
                .iter()
                .map(|apart| {
                    let key = EdgeKey { anchor: apart.anchor.clone(), other: apart.other.clone() };
                    (link(&key), apart.evidence.position.sequence)
                })
                .collect();
            let between = |one: &NodeKey, other: &NodeKey| {
                (mine.contains(one) && theirs.contains(other)) || (theirs.contains(one) && mine.contains(other))
            };
            let want: BTreeMap<_, _> = reference
                .refusals()
                .into_iter()
                .filter(|((anchor, other), _)| between(anchor, other))
                .map(|((anchor, other), refused)| (link(&EdgeKey { anchor, other }), refused.at))
                .collect();
            prop_assert_eq!(got.len(), want.len(), "each once");
            prop_assert_eq!(got.into_iter().collect::<BTreeMap<_, _>>(), want);
        }
    }
}

/// What keeps two apart, by name. `limit` stands for a demotion too.
struct Apart {
    name: &'static str,
    rules: IdentityRules,
    events: &'static [&'static [&'static str]],
    two: (&'static str, &'static str),
    /// The reason, and the event that it was first given for; `None`: nothing ever tied them.
    why: Option<(&'static str, u64)>,
}

fn apart() -> Vec<Apart> {
    let standard = || rules(&[("user_id", 1), ("email", 5), ("anonymous_id", 2)]);
    vec![
        Apart {
            name: "a limit, of somebody unknown",
            rules: standard(),
            events: &[
                &["user_id:a", "anonymous_id:1"],
                &["user_id:a", "anonymous_id:2"],
                &["user_id:a", "anonymous_id:3"],
            ],
            two: ("user_id:a", "anonymous_id:3"),
            why: Some(("limit", 2)),
        },
        Apart {
            name: "a limit, of two people",
            rules: standard(),
            events: &[&["user_id:a", "email:s@x"], &["user_id:b"], &["user_id:b", "email:s@x"]],
            two: ("email:s@x", "user_id:b"),
            why: Some(("limit", 2)),
        },
        Apart {
            name: "a refusal between others of the two",
            rules: standard(),
            events: &[
                &["user_id:a", "email:s@x"],
                &["user_id:a", "anonymous_id:1"],
                &["user_id:b", "anonymous_id:2"],
                &["user_id:b", "email:s@x"],
            ],
            two: ("anonymous_id:1", "anonymous_id:2"),
            why: Some(("limit", 3)),
        },
        Apart {
            name: "a demotion: at the side of one that did not fit",
            rules: standard(),
            events: &[&["user_id:a", "email:s@x"], &["user_id:b", "email:s@x", "anonymous_id:new"]],
            two: ("user_id:b", "anonymous_id:new"),
            why: Some(("limit", 1)),
        },
        Apart {
            name: "a cap of identifiers",
            rules: IdentityRules { identifiers_max: 2, ..standard() },
            events: &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"]],
            two: ("user_id:a", "anonymous_id:2"),
            why: Some(("cap", 1)),
        },
        Apart {
            name: "a cap of merges",
            rules: IdentityRules { merges_max: 1, ..standard() },
            events: &[
                &["anonymous_id:1"],
                &["email:a@x"],
                &["user_id:a"],
                &["user_id:a", "anonymous_id:1"],
                &["user_id:a", "email:a@x"],
            ],
            two: ("email:a@x", "user_id:a"),
            why: Some(("cap", 4)),
        },
        Apart {
            name: "nothing ever tied them",
            rules: standard(),
            events: &[&["user_id:a"], &["user_id:b"]],
            two: ("user_id:a", "user_id:b"),
            why: None,
        },
    ]
}

fn check_apart(name: &str, told: Explanation, why: Option<(&str, u64)>) {
    let Explanation::Apart { kept_apart, .. } = &told else { panic!("{name}: {told:?}") };
    let got: Vec<_> = kept_apart
        .iter()
        .map(|apart| (plain(&apart.reason).name(), apart.evidence.position.sequence))
        .collect();
    assert_eq!(got, why.into_iter().collect::<Vec<_>>(), "{name}");
}

#[test]
fn what_kept_two_apart_is_told_with_its_event() {
    for case in apart() {
        let mut graph = MemoryGraph::new();
        crate::support::play(&mut graph, &case.rules, case.events);
        let (one, other) = case.two;
        let told = explained(&mut graph, &case.rules, &who(one), &id(other));
        check_apart(case.name, told, case.why);
    }
}

#[test]
fn a_block_and_a_partition_are_told_too() {
    let rules = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    let both = event(&rules, &["user_id:a", "anonymous_id:1"]);
    let blocked = EventIdentifiers { blocked: vec![id("anonymous_id:null")], ..both.clone() };
    resolve_in(&mut graph, ONE, &rules, &both, &evidence(0, 0));
    resolve_in(&mut graph, ONE, &rules, &blocked, &evidence(1, 0));
    let told = explained(&mut graph, &rules, &who("user_id:a"), &id("anonymous_id:null"));
    assert!(matches!(told, Explanation::Apart { with: None, .. }), "it is nobody's");
    check_apart("blocked", told, Some(("blocked", 1)));

    let target = UnmergeTarget::Identifier(id("anonymous_id:1"));
    unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Keep, (50, 0)).expect("parted");
    let told = explained(&mut graph, &rules, &who("anonymous_id:1"), &id("user_id:a"));
    let Explanation::Apart { kept_apart, .. } = &told else { panic!("{told:?}") };
    let reasons: Vec<_> = kept_apart.iter().map(|apart| apart.reason.clone()).collect();
    assert_eq!(reasons, [RefusalReason::Partition { partition: 50 }]);
    check_apart("parted", told, Some(("partition", 0)));
}

#[test]
fn who_is_unknown_is_told_as_unknown() {
    let rules = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    crate::support::play(&mut graph, &rules, &[&["user_id:a", "anonymous_id:1"]]);
    let cases = [
        ("user_id:z", "user_id:a", Explanation::UnknownWho),
        ("user_id:a", "user_id:z", Explanation::UnknownWith),
    ];
    for (one, other, want) in cases {
        assert_eq!(explained(&mut graph, &rules, &who(one), &id(other)), want, "{one} with {other}");
    }
    // The other workspace knows nobody.
    let told = in_context(TWO, &rules, moment(9, 0), |context| {
        explain(&mut graph, context, &who("user_id:a"), &id("anonymous_id:1"))
    });
    assert_eq!(told, Ok(Explanation::UnknownWho));
}

#[test]
fn each_step_of_a_path_tells_its_rule_and_its_event() {
    let rules = rules(&[("user_id", 1), ("email", 5), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    crate::support::play(
        &mut graph,
        &rules,
        &[&["user_id:a", "email:a@x"], &["email:a@x", "anonymous_id:1"]],
    );
    resolve_in(&mut graph, ONE, &rules, &event(&rules, &["user_id:a", "email:a@x"]), &evidence(2, 3));
    let action = Action::Link { who: who("anonymous_id:1"), identifier: id("anonymous_id:hand") };
    hand_in(&mut graph, &rules, &action, (50, 4)).expect("linked");
    let told = explained(&mut graph, &rules, &who("user_id:a"), &id("anonymous_id:1"));
    let Explanation::Same { path, .. } = &told else { panic!("one profile") };
    let steps: Vec<_> = path
        .iter()
        .map(|step| (text(&step.from), step.rule, step.evidence.message_id.to_string(), step.last_day))
        .collect();
    let want = [("user_id:a", EdgeRule::SameEvent, "m0", 3), ("email:a@x", EdgeRule::SameEvent, "m1", 0)];
    assert_eq!(steps, want.map(|(from, rule, event, day)| (from.to_owned(), rule, event.to_owned(), day)));
    let told = explained(&mut graph, &rules, &who("user_id:a"), &id("anonymous_id:hand"));
    let Explanation::Same { path, .. } = &told else { panic!("one profile") };
    let last = path.last().map(|step| (step.rule, step.evidence.position.sequence, step.last_day));
    assert_eq!(last, Some((EdgeRule::ByHand, 50, 4)));
    check_path(&graph, path);
}
