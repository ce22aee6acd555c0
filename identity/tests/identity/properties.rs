//! Properties over random events with small pools of identifiers, under random rules.

use crate::compare::{check_all, check_invariants, check_limits, live};
use crate::model::{
    any_call, any_calls, any_partitions, any_policies, any_rules, any_rules_for_ever, any_stream, dated,
    partition, play_calls, sides_of, unlimited,
};
use crate::reference::{Answer, Reference, Sides};
use crate::support::{
    IdentityRules, ONE, TWO, evidence, last_sign_in, link, moment, plain, profiles, resolve_in, text, texts,
};
use proptest::prelude::*;
use std::collections::BTreeSet;
use tributary_identity::{Cap, GraphStore, MemoryGraph, RefusalReason, Resolution};
use tributary_model::ProfileId;

/// How many identifiers of a namespace there are in these streams.
const POOL: u8 = 4;

fn check_answer(got: Option<&Resolution>, want: Option<&Answer>) {
    let (Some(got), Some(want)) = (got, want) else {
        assert_eq!(got.is_some(), want.is_some(), "whether there is anybody");
        return;
    };
    assert_eq!(got.profile, want.profile);
    assert_eq!(got.created, want.created, "whether the event created it");
    assert_eq!(got.merged.iter().copied().collect::<BTreeSet<_>>(), want.merged, "merged into it");
    assert_eq!(texts(&got.kept), texts(&want.kept), "kept");
    assert_eq!(texts(got.live.members.iter()), texts(&want.members), "members");
    let mut demoted = texts(got.demoted.iter().map(|demotion| &demotion.identifier));
    demoted.sort();
    let mut expected = texts(want.demoted.keys());
    expected.sort();
    assert_eq!(demoted, expected, "demoted");
    for demotion in &got.demoted {
        let (reason, why) = (plain(&demotion.reason), &want.demoted[&demotion.identifier]);
        assert!(why.contains(&reason), "{}: {reason:?}, not {why:?}", text(&demotion.identifier));
    }
}

/// A graph and a reference that both know some partitions from the start.
fn under(colours: &[Vec<u8>]) -> (MemoryGraph, Reference) {
    let sides = (1000..).zip(colours).map(|(id, colours)| (id, sides_of(colours, POOL)));
    let partitions: Vec<(u64, Sides)> = sides.filter(|(_, sides)| sides.len() > 1).collect();
    let mut graph = MemoryGraph::new();
    for (id, sides) in &partitions {
        graph.put_partition(ONE, partition(*id, sides)).expect("memory takes it");
    }
    (graph, Reference::under(&partitions))
}

/// Without the numbers in the reasons, and without the difference between one at fault and one demoted for its sake.
fn without_numbers(resolution: Resolution) -> Resolution {
    let mut demoted = resolution.demoted;
    for demotion in &mut demoted {
        demotion.reason = plain(&demotion.reason);
        if let RefusalReason::Partition { partition } = &mut demotion.reason {
            *partition = 0;
        }
        if let RefusalReason::Cap { .. } = demotion.reason {
            demotion.reason = RefusalReason::Cap { cap: Cap::Identifiers, limit: 0, count: 0 };
        }
    }
    Resolution { demoted, ..resolution }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(768))]

    #[test]
    fn resolves_as_the_slow_reference_does(
        before in any_rules(),
        after in any_rules(),
        calls in any_stream(POOL, 24),
        change_at in 0..24_u64,
        colours in any_partitions(POOL),
    ) {
        let (mut graph, mut reference) = under(&colours);
        for (at, day, call) in dated(&calls) {
            let rules = if at < change_at { &before } else { &after };
            let event = call.event(rules);
            let got = resolve_in(&mut graph, ONE, rules, &event, &evidence(at, day));
            let want = reference.resolve(rules, &event, at, moment(at, day));
            check_answer(got.as_ref(), want.as_ref());
        }
        check_all(&graph, &reference);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn no_profile_goes_over_a_limit(rules in any_policies(), calls in any_stream(POOL, 24)) {
        let mut graph = MemoryGraph::new();
        for (at, day, call) in dated(&calls) {
            resolve_in(&mut graph, ONE, &rules, &call.event(&rules), &evidence(at, day));
            check_limits(&graph, &rules, moment(at, day));
        }
    }

    #[test]
    fn two_user_ids_are_never_joined_under_the_default_rules(
        calls in any_stream(POOL, 32),
        shared in prop::sample::subsequence(vec!["email", "anonymous_id"], 0..=2),
    ) {
        let rules = shared.into_iter().fold(IdentityRules::default(), last_sign_in);
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &rules, &calls);
        for (_, members) in profiles(&graph, ONE) {
            let users = members.iter().filter(|member| member.starts_with("user_id:"));
            prop_assert!(users.count() <= 1, "{:?}", members);
        }
    }

    #[test]
    fn a_partition_is_never_crossed(
        rules in any_policies(),
        calls in any_stream(POOL, 24),
        colours in any_partitions(POOL),
    ) {
        let (mut graph, _) = under(&colours);
        play_calls(&mut graph, ONE, &rules, &calls);
        check_invariants(&graph, ONE);
    }

    #[test]
    fn a_resolution_tells_which_profiles_it_changed(
        rules in any_policies(),
        calls in any_stream(POOL, 16),
        colours in any_partitions(POOL),
    ) {
        let (mut graph, _) = under(&colours);
        for (at, day, call) in dated(&calls) {
            let before = live(&graph, ONE);
            let got = resolve_in(&mut graph, ONE, &rules, &call.event(&rules), &evidence(at, day));
            let after = live(&graph, ONE);
            let Some(got) = got else {
                prop_assert_eq!(before, after);
                continue;
            };
            prop_assert_eq!(Some(&*got.live), after.get(&got.profile), "what the graph holds");
            let gone = before.keys().filter(|id| !after.contains_key(*id)).copied();
            prop_assert_eq!(gone.collect::<Vec<_>>(), got.merged);
            let changed = after.iter().filter(|(id, live)| before.get(*id) != Some(*live)).map(|(id, _)| *id);
            let others: BTreeSet<ProfileId> = changed.filter(|id| *id != got.profile).collect();
            prop_assert_eq!(got.beside.iter().copied().collect::<BTreeSet<_>>(), others);
            let count = |profiles: usize| i64::try_from(profiles).expect("few profiles");
            prop_assert_eq!(got.profiles_delta, count(after.len()) - count(before.len()));
        }
    }

    #[test]
    fn within_limits_the_order_of_events_does_not_matter(
        (calls, shuffled) in any_calls(6, 16).prop_flat_map(|calls| {
            (Just(calls.clone()), Just(calls).prop_shuffle())
        }),
    ) {
        let (mut straight, mut mixed) = (MemoryGraph::new(), MemoryGraph::new());
        play_calls(&mut straight, ONE, &unlimited(), &calls);
        play_calls(&mut mixed, ONE, &unlimited(), &shuffled);
        let groups = |graph| profiles(graph, ONE).into_iter().map(|(_, members)| members).collect::<BTreeSet<_>>();
        prop_assert_eq!(groups(&straight), groups(&mixed));
        let links = |graph: &MemoryGraph| graph.edges(ONE).map(|(key, _)| link(key)).collect::<Vec<_>>();
        prop_assert_eq!(links(&straight), links(&mixed));
    }

    #[test]
    fn an_event_resolved_again_changes_nothing(
        rules in any_rules(),
        calls in any_stream(POOL, 24),
        colours in any_partitions(POOL),
    ) {
        let (mut graph, _) = under(&colours);
        let last = play_calls(&mut graph, ONE, &rules, &calls).pop().flatten();
        let Some((_, day, call)) = dated(&calls).last() else { return Ok(()) };
        let once = graph.clone();
        let again = resolve_in(&mut graph, ONE, &rules, &call.event(&rules), &evidence(100, day));
        if call.is_alias() {
            // What it names before may be known by now, and so be looked up as something else.
            return Ok(());
        }
        prop_assert!(graph == once, "the graph changed");
        let quiet = last.map(|last| Resolution {
            created: false,
            merged: Vec::new(),
            beside: Vec::new(),
            profiles_delta: 0,
            ..last
        });
        // Of several partitions or caps, another one may be met first now that all its identifiers are known.
        prop_assert_eq!(again.map(without_numbers), quiet.map(without_numbers));
    }

    #[test]
    fn an_event_resolved_on_another_day_moves_days_only(
        rules in any_rules_for_ever(),
        calls in any_stream(POOL, 24),
    ) {
        let mut graph = MemoryGraph::new();
        play_calls(&mut graph, ONE, &rules, &calls);
        let Some((_, day, call)) = dated(&calls).last() else { return Ok(()) };
        if call.is_alias() {
            // What it names before may be known by now, and so be looked up as something else.
            return Ok(());
        }
        let (once, event) = (graph.clone(), call.event(&rules));
        resolve_in(&mut graph, ONE, &rules, &event, &evidence(100, day + 3));
        prop_assert!(graph.nodes(ONE).eq(once.nodes(ONE)) && graph.profiles(ONE).eq(once.profiles(ONE)));
        prop_assert_eq!(graph.edges(ONE).count(), once.edges(ONE).count());
        for ((key, edge), (_, before)) in graph.edges(ONE).zip(once.edges(ONE)) {
            prop_assert_eq!((&edge.first, edge.rule), (&before.first, before.rule), "{}", link(key));
            prop_assert!(edge.last_day == before.last_day || edge.last_day == day + 3);
        }
        prop_assert_eq!(graph.refusals(ONE).count(), once.refusals(ONE).count());
        for ((key, refusal), (_, before)) in graph.refusals(ONE).zip(once.refusals(ONE)) {
            prop_assert_eq!((&refusal.first, &refusal.reason), (&before.first, &before.reason), "{}", link(key));
        }
    }

    #[test]
    fn two_workspaces_never_meet(
        rules in any_policies(),
        other_rules in any_policies(),
        calls in prop::collection::vec((any::<bool>(), any_call(POOL)), 0..24),
        colours in any_partitions(POOL),
    ) {
        let (mut together, _) = under(&colours);
        let mut apart = (together.clone(), MemoryGraph::new());
        for (at, (first, call)) in (0..).zip(&calls) {
            let (workspace, rules, alone) =
                if *first { (ONE, &rules, &mut apart.0) } else { (TWO, &other_rules, &mut apart.1) };
            let (event, evidence) = (call.event(rules), evidence(at, 0));
            let shared = resolve_in(&mut together, workspace, rules, &event, &evidence);
            prop_assert_eq!(shared, resolve_in(alone, workspace, rules, &event, &evidence));
        }
        for (workspace, alone) in [(ONE, &apart.0), (TWO, &apart.1)] {
            check_invariants(&together, workspace);
            prop_assert!(together.nodes(workspace).eq(alone.nodes(workspace)));
            prop_assert!(together.profiles(workspace).eq(alone.profiles(workspace)));
            prop_assert!(together.edges(workspace).eq(alone.edges(workspace)));
            prop_assert!(together.refusals(workspace).eq(alone.refusals(workspace)));
        }
        let ids = |workspace| together.profiles(workspace).map(|(id, _)| id).collect::<BTreeSet<_>>();
        prop_assert!(ids(ONE).is_disjoint(&ids(TWO)));
    }
}
