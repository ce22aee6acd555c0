//! Properties over random events with small pools of identifiers, under random rules.

use crate::reference::{Answer, Reference};
use crate::support::{ONE, TWO, evidence, resolve_in};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{MemoryGraph, ProfileRecord, Resolution, follow};
use tributary_model::workspace::{IdentityRules, NamespaceRule};
use tributary_model::{Identifier, Namespace, ProfileId, WorkspaceId};

const NAMESPACES: [&str; 4] = ["user_id", "email", "anonymous_id", "loyalty"];

type Event = Vec<Identifier>;

/// Each namespace but the undeclared ones, in a random order of priority, with a random limit.
fn any_rules() -> impl Strategy<Value = IdentityRules> {
    let order = Just(NAMESPACES.to_vec()).prop_shuffle();
    (order, 2..=4_usize, prop::collection::vec(0..4_u32, 4)).prop_map(|(order, declared, limits)| {
        let rules = order.iter().zip(limits).take(declared).zip(1..);
        let mut namespaces: Vec<_> = rules
            .map(|((name, limit), priority)| NamespaceRule { name: Namespace::new(name), priority, limit })
            .collect();
        namespaces.sort_by(|a, b| a.name.cmp(&b.name));
        IdentityRules { namespaces }
    })
}

fn any_identifier(pool: u8) -> impl Strategy<Value = Identifier> {
    (prop::sample::select(NAMESPACES.to_vec()), 0..pool).prop_map(|(namespace, value)| {
        Identifier::parse(Namespace::new(namespace), &format!("{value}@x")).expect("an identifier")
    })
}

fn any_events(pool: u8, length: usize) -> impl Strategy<Value = Vec<Event>> {
    let event = prop::collection::vec(any_identifier(pool), 0..5);
    prop::collection::vec(event, 0..length)
}

fn unlimited() -> IdentityRules {
    let rule =
        |(name, priority): (&&str, u32)| NamespaceRule { name: Namespace::new(name), priority, limit: 1000 };
    IdentityRules { namespaces: NAMESPACES.iter().zip(1..).map(rule).collect() }
}

fn play(
    graph: &mut MemoryGraph,
    workspace: WorkspaceId,
    rules: &IdentityRules,
    events: &[Event],
) -> Vec<Option<Resolution>> {
    let numbered = (0..).zip(events);
    numbered.map(|(at, event)| resolve_in(graph, workspace, rules, event, &evidence(at, 0))).collect()
}

fn answer(resolution: &Resolution) -> Answer {
    Answer {
        profile: resolution.profile,
        kept: resolution.kept.iter().map(|key| key.identifier.clone()).collect(),
        demoted: resolution.demoted.iter().map(|demotion| demotion.identifier.identifier.clone()).collect(),
        members: resolution.members.iter().map(|key| key.identifier.clone()).collect(),
    }
}

fn partition(graph: &MemoryGraph, workspace: WorkspaceId) -> BTreeSet<BTreeSet<Identifier>> {
    let mut by_profile: BTreeMap<ProfileId, BTreeSet<Identifier>> = BTreeMap::new();
    for (key, node) in graph.nodes(workspace) {
        by_profile.entry(node.profile).or_default().insert(key.identifier.clone());
    }
    by_profile.into_values().collect()
}

/// What holds of every graph, whatever the events and rules were.
fn check_invariants(graph: &MemoryGraph, workspace: WorkspaceId) {
    let mut members: BTreeMap<ProfileId, Vec<_>> = BTreeMap::new();
    for (key, node) in graph.nodes(workspace) {
        members.entry(node.profile).or_default().push(key.clone());
    }
    let mut follower = graph.clone();
    for (id, record) in graph.profiles(workspace) {
        let (found, live) = follow(&mut follower, workspace, id)
            .expect("the graph is consistent")
            .expect("every id that was given leads to a profile");
        match record {
            ProfileRecord::Live(own) => {
                assert_eq!((found, &live), (id, own));
                let pointing = members.remove(&id).expect("a profile has members");
                assert_eq!(live.members.as_ref(), pointing, "members are the nodes that point to it, sorted");
                assert!(live.merged.is_sorted_by(|a, b| a < b), "merged ids are sorted, each once");
            }
            ProfileRecord::MergedInto(target) => {
                assert_eq!(found, *target);
                assert!(live.merged.contains(&id));
            }
        }
    }
    assert!(members.is_empty(), "every node points to a live profile");
    let merged =
        graph.profiles(workspace).filter(|(_, record)| matches!(record, ProfileRecord::MergedInto(_)));
    let listed = graph.profiles(workspace).map(|(_, record)| match record {
        ProfileRecord::Live(live) => live.merged.len(),
        ProfileRecord::MergedInto(_) => 0,
    });
    assert_eq!(merged.count(), listed.sum::<usize>(), "each merged id is listed by one profile");
    check_components(graph, workspace);
}

/// Each profile is a connected component of the edges.
fn check_components(graph: &MemoryGraph, workspace: WorkspaceId) {
    let mut component: BTreeMap<_, _> =
        graph.nodes(workspace).zip(0_usize..).map(|((key, _), number)| (key.clone(), number)).collect();
    for (edge, _) in graph.edges(workspace) {
        let (keep, drop) = (component[&edge.anchor], component[&edge.other]);
        component.values_mut().filter(|number| **number == drop).for_each(|number| *number = keep);
    }
    let mut by_component: BTreeMap<usize, BTreeSet<Identifier>> = BTreeMap::new();
    for (key, number) in component {
        by_component.entry(number).or_default().insert(key.identifier);
    }
    assert_eq!(by_component.into_values().collect::<BTreeSet<_>>(), partition(graph, workspace));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn resolves_as_the_slow_reference_does(
        before in any_rules(),
        after in any_rules(),
        events in any_events(4, 24),
        change_at in 0..24_u64,
    ) {
        let mut graph = MemoryGraph::new();
        let mut reference = Reference::default();
        for (at, event) in (0..).zip(&events) {
            let rules = if at < change_at { &before } else { &after };
            let got = resolve_in(&mut graph, ONE, rules, event, &evidence(at, 0));
            let want = reference.resolve(ONE, rules, event, at);
            prop_assert_eq!(got.as_ref().map(answer), want);
        }
        check_invariants(&graph, ONE);
        prop_assert_eq!(partition(&graph, ONE), reference.partition());
        for (key, node) in graph.nodes(ONE) {
            prop_assert_eq!(Some(node.profile), reference.profile_of(ONE, &key.identifier));
            let first = reference.first_tie(&[&key.identifier]);
            prop_assert_eq!(Some(node.first.position.sequence), first);
        }
        for (_, record) in graph.profiles(ONE) {
            let ProfileRecord::Live(live) = record else { continue };
            let first = live.members.iter().filter_map(|key| reference.first_tie(&[&key.identifier])).min();
            prop_assert_eq!(Some(live.created.position.sequence), first);
        }
        let links: BTreeSet<_> = graph
            .edges(ONE)
            .map(|(key, _)| (key.anchor.identifier.clone(), key.other.identifier.clone()))
            .collect();
        prop_assert_eq!(links, reference.links());
        let ids: BTreeMap<_, _> = graph
            .profiles(ONE)
            .map(|(id, record)| match record {
                ProfileRecord::Live(_) => (id, id),
                ProfileRecord::MergedInto(target) => (id, *target),
            })
            .collect();
        prop_assert_eq!(ids, reference.ids(ONE));
        let refused: BTreeSet<_> = graph
            .refusals(ONE)
            .map(|(key, _)| (key.anchor.identifier.clone(), key.other.identifier.clone()))
            .collect();
        prop_assert_eq!(refused, reference.refused);
    }

    #[test]
    fn no_profile_goes_over_a_limit(rules in any_rules(), events in any_events(4, 24)) {
        let mut graph = MemoryGraph::new();
        play(&mut graph, ONE, &rules, &events);
        for profile in partition(&graph, ONE) {
            for rule in &rules.namespaces {
                let count = profile.iter().filter(|member| *member.namespace() == rule.name).count();
                let alone = profile.len() == 1;
                prop_assert!(count <= rule.limit as usize || alone, "{} {:?}", count, rule);
            }
        }
    }

    #[test]
    fn an_event_resolved_again_changes_nothing_but_days(rules in any_rules(), events in any_events(4, 24)) {
        let mut graph = MemoryGraph::new();
        let mut last = None;
        for (at, event) in (0..).zip(&events) {
            last = resolve_in(&mut graph, ONE, &rules, event, &evidence(at, 0));
        }
        let Some(event) = events.last() else { return Ok(()) };
        let once = graph.clone();
        let again = resolve_in(&mut graph, ONE, &rules, event, &evidence(100, 0));
        prop_assert_eq!(&graph, &once);
        let quiet = last.map(|last| Resolution { created: false, merged: Vec::new(), ..last });
        prop_assert_eq!(again, quiet);

        resolve_in(&mut graph, ONE, &rules, event, &evidence(101, 3));
        prop_assert_eq!(partition(&graph, ONE), partition(&once, ONE));
        prop_assert!(graph.nodes(ONE).eq(once.nodes(ONE)) && graph.profiles(ONE).eq(once.profiles(ONE)));
        for ((key, edge), (_, before)) in graph.edges(ONE).zip(once.edges(ONE)) {
            prop_assert_eq!((&edge.first, edge.rule), (&before.first, before.rule));
            let on_event = event.contains(&key.anchor.identifier) && event.contains(&key.other.identifier);
            prop_assert!(edge.last_day == before.last_day || (on_event && edge.last_day == 3));
        }
        for ((_, refusal), (_, before)) in graph.refusals(ONE).zip(once.refusals(ONE)) {
            prop_assert_eq!((&refusal.first, &refusal.reason), (&before.first, &before.reason));
        }
    }

    #[test]
    fn within_limits_the_order_of_events_does_not_matter(
        (events, shuffled) in any_events(6, 16).prop_flat_map(|events| {
            (Just(events.clone()), Just(events).prop_shuffle())
        }),
    ) {
        let (mut straight, mut mixed) = (MemoryGraph::new(), MemoryGraph::new());
        play(&mut straight, ONE, &unlimited(), &events);
        play(&mut mixed, ONE, &unlimited(), &shuffled);
        prop_assert_eq!(partition(&straight, ONE), partition(&mixed, ONE));
        let keys = |graph: &MemoryGraph| graph.edges(ONE).map(|(key, _)| key.clone()).collect::<Vec<_>>();
        prop_assert_eq!(keys(&straight), keys(&mixed));
    }

    #[test]
    fn two_workspaces_never_meet(
        rules in any_rules(),
        other_rules in any_rules(),
        events in prop::collection::vec((any::<bool>(), prop::collection::vec(any_identifier(4), 0..5)), 0..24),
    ) {
        let mut together = MemoryGraph::new();
        let mut apart = (MemoryGraph::new(), MemoryGraph::new());
        for (at, (first, event)) in (0..).zip(&events) {
            let evidence = evidence(at, 0);
            let (workspace, rules, alone) =
                if *first { (ONE, &rules, &mut apart.0) } else { (TWO, &other_rules, &mut apart.1) };
            let shared = resolve_in(&mut together, workspace, rules, event, &evidence);
            prop_assert_eq!(shared, resolve_in(alone, workspace, rules, event, &evidence));
        }
        for (workspace, alone) in [(ONE, &apart.0), (TWO, &apart.1)] {
            prop_assert!(together.nodes(workspace).eq(alone.nodes(workspace)));
            prop_assert!(together.profiles(workspace).eq(alone.profiles(workspace)));
            prop_assert!(together.edges(workspace).eq(alone.edges(workspace)));
            prop_assert!(together.refusals(workspace).eq(alone.refusals(workspace)));
        }
        let ids = |workspace| together.profiles(workspace).map(|(id, _)| id).collect::<BTreeSet<_>>();
        prop_assert!(ids(ONE).is_disjoint(&ids(TWO)));
        together.remove_workspace(TWO);
        prop_assert_eq!(together, apart.0);
    }
}
