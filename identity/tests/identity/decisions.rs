//! The decisions that a profile took before it was parted: which an unmerge lists, that it keeps them, and that
//! it takes them again on request.

use crate::compare::{Group, check_invariants};
use crate::support::{
    IdentityRules, ONE, UnmergeTarget, created_by, event, evidence, find_in, id, link, over, plain, play,
    profile_of, profiles, resolve_in, rules, unmerge_in, who,
};
use crate::world::World;
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{Cap, EdgeKey, MemoryGraph, Overlay, RefusalReason, Retake, Unmerged};
use tributary_model::ProfileId;

/// A decision that touches a profile.
pub(crate) struct Decided {
    link: String,
    at: u64,
    /// Who was on the profiles of its two ends when it was taken, where those are members now.
    profiles: Vec<Group>,
    /// Whether the link was taken since.
    taken: bool,
}

/// The decisions that touch a profile, by the reference.
pub(crate) fn decided(world: &World, members: &Group) -> Vec<Decided> {
    let links = world.reference.links();
    let (mut found, mut seen) = (Vec::new(), BTreeSet::new());
    for refused in &world.reference.refused {
        // Of a link that was refused several times, the first is kept.
        if !seen.insert(refused.pair()) || refused.by_partition() {
            continue;
        }
        let ends = [&refused.anchor, &refused.other].into_iter().filter(|end| members.contains(*end));
        let profiles: Vec<Group> = ends
            .map(|end| world.reference.reach_at([end.clone()], refused.at).into_iter().collect())
            .collect();
        if !profiles.is_empty() {
            let (anchor, other) = refused.pair();
            let taken = links.contains_key(&refused.pair());
            found.push(Decided { link: link(&EdgeKey { anchor, other }), at: refused.at, profiles, taken });
        }
    }
    found
}

/// An unmerge lists decisions that touch the profile, with their events; and all that it took while both sides
/// were on it.
pub(crate) fn check_decisions(decided: &[Decided], done: &Unmerged) {
    let mut listed = BTreeMap::new();
    for decision in &done.decisions {
        assert!(!matches!(decision.reason, RefusalReason::Partition { .. }), "a partition is no decision");
        let key = EdgeKey { anchor: decision.anchor.clone(), other: decision.other.clone() };
        let twice = listed.insert(link(&key), decision.evidence.position.sequence);
        assert_eq!(twice, None, "{} is listed twice", link(&key));
    }
    let touching: BTreeMap<_, _> = decided.iter().map(|one| (one.link.clone(), one.at)).collect();
    for (link, at) in &listed {
        assert_eq!(touching.get(link), Some(at), "{link} is a decision of the profile");
    }
    for one in decided.iter().filter(|one| !one.taken) {
        let is_joint = one.profiles.iter().any(|profile| {
            done.sides.iter().filter(|side| side.iter().any(|key| profile.contains(key))).count() > 1
        });
        assert!(!is_joint || listed.contains_key(&one.link), "{} was decided jointly", one.link);
    }
}

struct Case {
    name: &'static str,
    rules: IdentityRules,
    events: &'static [&'static [&'static str]],
    /// The identifier that is parted from the rest.
    parted: &'static str,
    /// The decisions: link, position, and why.
    decisions: &'static [(&'static str, u64)],
    why: RefusalReason,
    /// The profiles afterwards, by the identifier that gave the id: decisions kept, then taken again.
    kept: &'static [(&'static str, &'static [&'static str])],
    again: &'static [(&'static str, &'static [&'static str])],
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "a limit that the parted identifier filled",
            rules: rules(&[("user_id", 1), ("anonymous_id", 2)]),
            events: &[
                &["user_id:a", "anonymous_id:1"],
                &["user_id:a", "anonymous_id:2"],
                &["user_id:a", "anonymous_id:3"],
            ],
            parted: "anonymous_id:1",
            decisions: &[("user_id:a > anonymous_id:3", 2)],
            why: over("anonymous_id", 2, 3),
            kept: &[("user_id:a", &["anonymous_id:2", "user_id:a"]), ("anonymous_id:1", &["anonymous_id:1"])],
            again: &[
                ("user_id:a", &["anonymous_id:2", "anonymous_id:3", "user_id:a"]),
                ("anonymous_id:1", &["anonymous_id:1"]),
            ],
        },
        Case {
            name: "somebody else was refused what had gone to the wrong profile",
            rules: rules(&[("user_id", 1), ("email", 5)]),
            events: &[&["user_id:a", "email:s@x"], &["user_id:b", "email:s@x"]],
            parted: "email:s@x",
            decisions: &[("user_id:b > email:s@x", 1)],
            why: over("user_id", 1, 2),
            kept: &[
                ("user_id:a", &["user_id:a"]),
                ("user_id:b", &["user_id:b"]),
                ("email:s@x", &["email:s@x"]),
            ],
            again: &[("user_id:a", &["user_id:a"]), ("email:s@x", &["email:s@x", "user_id:b"])],
        },
        Case {
            name: "a cap of identifiers",
            rules: IdentityRules { identifiers_max: 2, ..rules(&[("user_id", 1), ("anonymous_id", 5)]) },
            events: &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"]],
            parted: "anonymous_id:1",
            decisions: &[("user_id:a > anonymous_id:2", 1)],
            why: RefusalReason::Cap { cap: Cap::Identifiers, limit: 2, count: 3 },
            kept: &[("user_id:a", &["user_id:a"]), ("anonymous_id:1", &["anonymous_id:1"])],
            again: &[
                ("user_id:a", &["anonymous_id:2", "user_id:a"]),
                ("anonymous_id:1", &["anonymous_id:1"]),
            ],
        },
        Case {
            name: "a cap of merges",
            rules: IdentityRules { merges_max: 1, ..rules(&[("user_id", 1), ("anonymous_id", 5)]) },
            events: &[
                &["anonymous_id:1"],
                &["anonymous_id:2"],
                &["user_id:a"],
                &["user_id:a", "anonymous_id:1"],
                &["user_id:a", "anonymous_id:2"],
            ],
            parted: "anonymous_id:1",
            decisions: &[("user_id:a > anonymous_id:2", 4)],
            why: RefusalReason::Cap { cap: Cap::Merges, limit: 1, count: 2 },
            kept: &[
                ("anonymous_id:1", &["anonymous_id:1"]),
                ("anonymous_id:2", &["anonymous_id:2"]),
                ("user_id:a", &["user_id:a"]),
            ],
            again: &[
                ("anonymous_id:1", &["anonymous_id:1"]),
                ("anonymous_id:2", &["anonymous_id:2", "user_id:a"]),
            ],
        },
    ]
}

fn check_profiles(name: &str, graph: &MemoryGraph, want: &[(&str, &[&str])]) {
    let got: BTreeSet<(ProfileId, Vec<String>)> = profiles(graph, ONE).into_iter().collect();
    let want: BTreeSet<(ProfileId, Vec<String>)> = want
        .iter()
        .map(|(creator, members)| {
            (created_by(ONE, creator), members.iter().map(|text| (*text).to_owned()).collect())
        })
        .collect();
    assert_eq!(got, want, "{name}");
    check_invariants(graph, ONE);
}

#[test]
fn decisions_are_listed_and_kept_and_taken_again_on_request() {
    for case in cases() {
        let (name, rules) = (case.name, &case.rules);
        let mut played = MemoryGraph::new();
        play(&mut played, rules, case.events);
        let target = UnmergeTarget::Identifier(id(case.parted));
        for (retake, want) in [(Retake::Keep, case.kept), (Retake::Again, case.again)] {
            let mut graph = played.clone();
            let done =
                unmerge_in(&mut graph, rules, &who(case.parted), &target, retake, (50, 0)).expect(name);
            let decisions: Vec<_> = done
                .decisions
                .iter()
                .map(|one| {
                    assert_eq!(plain(&one.reason), case.why, "{name}");
                    let key = EdgeKey { anchor: one.anchor.clone(), other: one.other.clone() };
                    (link(&key), one.evidence.position.sequence)
                })
                .collect();
            let listed: Vec<_> = case.decisions.iter().map(|(link, at)| ((*link).to_owned(), *at)).collect();
            assert_eq!(decisions, listed, "{name}");
            check_profiles(name, &graph, want);
        }
    }
}

#[test]
fn a_block_is_listed_and_stays() {
    let rules = rules(&[("user_id", 1), ("anonymous_id", 5)]);
    let mut graph = MemoryGraph::new();
    let mut first = event(&rules, &["user_id:a", "anonymous_id:1"]);
    first.blocked = vec![id("anonymous_id:null")];
    resolve_in(&mut graph, ONE, &rules, &first, &evidence(0, 0));
    let target = UnmergeTarget::Identifier(id("anonymous_id:1"));
    let before = graph.clone();
    let mut dry = Overlay::new(graph);
    let told =
        unmerge_in(&mut dry, &rules, &who("user_id:a"), &target, Retake::Again, (50, 0)).expect("parted");
    let reasons: Vec<_> = told.decisions.iter().map(|decision| decision.reason.clone()).collect();
    assert_eq!(reasons, [RefusalReason::Blocked]);
    assert!(find_in(&mut dry, &who("anonymous_id:null")).is_none(), "what is blocked is no identifier");
    let mut graph = before;
    let done = unmerge_in(&mut graph, &rules, &who("user_id:a"), &target, Retake::Again, (50, 0));
    assert_eq!(done.expect("parted"), told);
    assert_eq!(profile_of(&mut graph, "anonymous_id:null"), None);
    assert_eq!(graph.refusals(ONE).filter(|(_, one)| one.reason == RefusalReason::Blocked).count(), 1);
}
