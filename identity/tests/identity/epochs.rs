//! Identifiers that change their owner, against the reference: at a sign-in, and by hand.

use crate::compare::{check_invariants, check_links, check_people, leads};
use crate::model::{Call, any_call, any_identifier, any_visits, dated, unlimited};
use crate::reference::Reference;
use crate::support::{
    Action, ONE, SharedDevice, Who, Window, created_by, evidence, find_in, hand_in, id, moment, resolve_in,
    rules, text, texts,
};
use proptest::prelude::*;
use std::collections::BTreeMap;
use tributary_identity::{GraphRead, MemoryGraph, current_node};
use tributary_model::{Identifier, ProfileId};

/// The next thing that happens.
#[derive(Debug, Clone)]
enum Step {
    Call(Call),
    Link { who: String, identifier: String },
    Remove { who: String, identifier: String },
    HandOn { who: String, identifier: String, to: String },
}

fn any_moves(pool: u8) -> impl Strategy<Value = Vec<Step>> {
    let name = move || any_identifier(pool);
    let step = prop_oneof![
        4 => any_call(pool).prop_map(Step::Call),
        1 => (name(), name()).prop_map(|(who, identifier)| Step::Link { who, identifier }),
        1 => (name(), name()).prop_map(|(who, identifier)| Step::Remove { who, identifier }),
        2 => (name(), name(), name()).prop_map(|(who, identifier, to)| Step::HandOn { who, identifier, to }),
    ];
    prop::collection::vec(step, 0..24)
}

fn somebody(text: &str) -> Who {
    Who::Identifier(id(text))
}

fn profile(graph: &mut MemoryGraph, who: &Who) -> Option<ProfileId> {
    find_in(graph, who).map(|(id, _)| id)
}

/// Carries out a command on the graph and tells the reference. What must be possible is done; what is not leaves
/// the graph as it was.
fn hand(graph: &mut MemoryGraph, reference: &mut Reference, step: &Step, at: u64, day: i64) {
    let (owner, identifier, action, target): (&String, &String, Action, Option<&String>) = match step {
        Step::Call(_) => return,
        Step::Link { who, identifier } => {
            let action = Action::Link { who: somebody(who), identifier: id(identifier) };
            (who, identifier, action, Some(who))
        }
        Step::Remove { who, identifier } => {
            (who, identifier, Action::Remove { who: somebody(who), identifier: id(identifier) }, None)
        }
        Step::HandOn { who, identifier, to } => {
            let action = Action::Move { who: somebody(who), identifier: id(identifier), to: somebody(to) };
            (who, identifier, action, Some(to))
        }
    };
    let before = graph.clone();
    let owner = profile(graph, &somebody(owner));
    let (from, to) = (profile(graph, &somebody(identifier)), target.map(|to| profile(graph, &somebody(to))));
    match hand_in(graph, &unlimited(), &action, (at, day)) {
        Ok(done) => {
            assert!(owner.is_some() && to != Some(None), "whoever is named is somebody");
            assert_eq!((done.from, done.to), (from, to.flatten()), "from whom to whom");
            assert_eq!(done.node.identifier, id(identifier));
            let target = target.map(|to| reference.current(&id(to)));
            reference.hand(at, moment(at, day), &done.node, target.as_ref());
        }
        Err(refused) => {
            assert!(*graph == before, "a refused command changed the graph");
            // Removing and moving what is there, and not all that is there, is always possible.
            let is_link = matches!(step, Step::Link { .. });
            let theirs = owner.is_some() && owner == from && to != Some(None) && to.flatten() != from;
            assert!(is_link || !theirs || is_last(graph, &id(identifier)), "{refused:?}");
        }
    }
}

/// Whether a profile has no other identifier in use.
fn is_last(graph: &mut MemoryGraph, identifier: &Identifier) -> bool {
    let (_, live) = find_in(graph, &Who::Identifier(identifier.clone())).expect("a profile");
    live.identifiers().count() == 1
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn by_hand_as_the_slow_reference_does(moves in any_moves(3)) {
        let (mut graph, mut reference) = (MemoryGraph::new(), Reference::default());
        let (mut day, rules) = (0, unlimited());
        for (at, step) in (0..).zip(&moves) {
            if let Step::Call(call) = step {
                day += call.days;
                let event = call.event(&rules);
                let got = resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, day));
                let want = reference.resolve(&rules, &event, at, moment(at, day));
                assert_eq!(got.map(|got| got.profile), want.map(|want| want.profile));
            } else {
                hand(&mut graph, &mut reference, step, at, day);
            }
            check_invariants(&graph, ONE);
        }
        check_people(&graph, &reference);
        check_links(&graph, &reference);
        assert_eq!(leads(&graph), reference.ids());
    }

    #[test]
    fn a_sign_in_as_the_slow_reference_does(
        calls in any_visits(3, 24),
        limit in 1..4_u32,
        windowed in any::<bool>(),
        follows in (any::<bool>(), any::<bool>()),
    ) {
        let mut rules = rules(&[("user_id", 1), ("email", 2), ("anonymous_id", limit)]);
        for (rule, follows) in rules.namespaces.iter_mut().skip(1).zip([follows.0, follows.1]) {
            if follows {
                rule.shared_device = SharedDevice::LastSignIn;
            }
            if windowed {
                rule.limit.window = Window::Week;
            }
        }
        let (mut graph, mut reference) = (MemoryGraph::new(), Reference::default());
        for (at, day, call) in dated(&calls) {
            let event = call.event(&rules);
            let got = resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, day)).expect("resolved");
            let want = reference.resolve(&rules, &event, at, moment(at, day)).expect("resolved");
            prop_assert_eq!(got.profile, want.profile);
            prop_assert_eq!(texts(got.live.members.iter()), texts(&want.members));
            for node in &want.handed {
                prop_assert_eq!(current_node(&mut graph, ONE, &node.identifier), Ok(node.clone()));
            }
        }
        check_people(&graph, &reference);
        check_links(&graph, &reference);
        check_invariants(&graph, ONE);
        let epochs = |graph: &mut MemoryGraph| -> BTreeMap<String, u32> {
            let identifiers: Vec<_> = graph.nodes(ONE).map(|(key, _)| key.identifier.clone()).collect();
            identifiers.into_iter().map(|one| (one.to_text(), current_node(graph, ONE, &one).map_or(0, |key| key.epoch))).collect()
        };
        for (name, epoch) in epochs(&mut graph) {
            prop_assert_eq!(reference.current(&id(&name)).epoch, epoch, "{}", name);
        }
    }
}

#[test]
fn the_first_epoch_knows_which_is_current() {
    let rules = unlimited();
    let mut graph = MemoryGraph::new();
    crate::support::play(&mut graph, &rules, &[&["user_id:a", "email:a@x"], &["user_id:b"]]);
    for (at, owner) in [(10, "user_id:b"), (11, "user_id:a"), (12, "user_id:b")] {
        let from = find_in(&mut graph, &somebody("email:a@x")).expect("a profile").0;
        let action =
            Action::Move { who: Who::Profile(from), identifier: id("email:a@x"), to: somebody(owner) };
        let done = hand_in(&mut graph, &rules, &action, (at, 0)).expect("moved");
        let epoch = u32::try_from(at - 9).expect("a small number");
        assert_eq!(text(&done.node), format!("email:a@x~{epoch}"));
        assert_eq!(done.to, Some(created_by(ONE, owner)));
        let first = graph.node(ONE, &crate::support::node("email:a@x")).expect("memory answers");
        assert_eq!(first.map(|first| first.current_epoch), Some(epoch));
        check_invariants(&graph, ONE);
    }
}
