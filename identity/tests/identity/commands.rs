//! Identifiers linked, removed and moved by hand.

use crate::compare::check_invariants;
use crate::support::{
    Action, ONE, Who, created_by, event, evidence, find_in, hand_in, id, link, node, play, profile_of,
    resolve_in, rules, text, texts, who,
};
use tributary_identity::{EdgeRule, GraphRead, MemoryGraph, RefusedKind, current_node};
use tributary_model::ProfileId;

const DEFAULT: &[(&str, u32)] = &[("user_id", 1), ("email", 5), ("anonymous_id", 5)];
const THEN: (u64, i64) = (50, 0);

fn link_to(owner: &str, identifier: &str) -> Action {
    Action::Link { who: who(owner), identifier: id(identifier) }
}

fn remove(owner: &str, identifier: &str) -> Action {
    Action::Remove { who: who(owner), identifier: id(identifier) }
}

fn move_to(owner: &str, identifier: &str, to: &str) -> Action {
    Action::Move { who: who(owner), identifier: id(identifier), to: who(to) }
}

const PEOPLE: &[&[&str]] =
    &[&["user_id:a", "email:a@x", "anonymous_id:1"], &["user_id:b", "anonymous_id:2"], &["anonymous_id:9"]];

#[test]
fn an_identifier_goes_where_a_person_says() {
    let rules = rules(DEFAULT);
    // The command, the node afterwards, from whom and to whom it went.
    let cases = [
        (
            "linked",
            link_to("user_id:a", "anonymous_id:2"),
            "anonymous_id:2~1",
            Some("user_id:b"),
            Some("user_id:a"),
        ),
        (
            "moved",
            move_to("user_id:a", "email:a@x", "user_id:b"),
            "email:a@x~1",
            Some("user_id:a"),
            Some("user_id:b"),
        ),
        ("removed", remove("user_id:a", "anonymous_id:1"), "anonymous_id:1~1", Some("user_id:a"), None),
        (
            "linked from a profile of its own",
            link_to("user_id:a", "anonymous_id:9"),
            "anonymous_id:9~1",
            Some("anonymous_id:9"),
            Some("user_id:a"),
        ),
    ];
    for (name, action, after, from, to) in cases {
        let mut graph = MemoryGraph::new();
        play(&mut graph, &rules, PEOPLE);
        let before = graph.clone();
        let done = match hand_in(&mut graph, &rules, &action, THEN) {
            // What somebody has may have to be moved.
            Err(refused) if matches!(action, Action::Link { .. }) => {
                assert_eq!(refused.kind, RefusedKind::Conflict, "{name}");
                assert!(graph == before, "{name}: the graph changed");
                continue;
            }
            done => done.expect(name),
        };
        let created = |creator: Option<&str>| creator.map(|creator| created_by(ONE, creator));
        assert_eq!(
            (text(&done.node), done.from, done.to),
            (after.to_owned(), created(from), created(to)),
            "{name}"
        );
        assert_eq!(done.profiles_delta, 0, "{name}");
        check_invariants(&graph, ONE);

        let key = node(after);
        assert_eq!(current_node(&mut graph, ONE, &key.identifier), Ok(key.clone()), "{name}");
        let stored = graph.node(ONE, &key).expect("memory answers");
        assert_eq!(stored.as_ref().map(|stored| stored.profile), created(to), "{name}");
        if let Some(stored) = stored {
            assert_eq!(stored.first.position.sequence, 50, "{name}: the command brought it");
        }
        // The earlier epoch stays where it was, but is no longer in use there.
        let earlier = node(&key.identifier.to_text());
        let was = before.nodes(ONE).find(|(have, _)| **have == earlier).map(|(_, stored)| stored.profile);
        let is = graph.node(ONE, &earlier).expect("memory answers").expect("it is still there");
        assert_eq!((Some(is.profile), is.current_epoch), (was, 1), "{name}");
        let owner = Who::Profile(is.profile);
        let (_, live) = find_in(&mut graph, &owner).expect("a live profile");
        assert!(live.former.contains(&earlier) && live.members.contains(&earlier), "{name}");
        assert!(live.identifiers().all(|have| *have != earlier), "{name}");
        for (id, record) in graph.profiles(ONE) {
            let same = before.profiles(ONE).any(|(other, before)| other == id && before == record);
            assert!(same || done.changed.contains(&id), "{name}: {id} changed untold");
        }
        let by_hand: Vec<_> =
            graph.edges(ONE).filter(|(_, edge)| edge.rule == EdgeRule::ByHand).map(|(key, _)| key).collect();
        assert_eq!(by_hand.len(), usize::from(to.is_some()), "{name}");
        assert!(by_hand.iter().all(|edge| link(edge).contains(after)), "{name}");
    }
}

#[test]
fn an_identifier_that_was_never_seen_can_be_linked() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, PEOPLE);
    let done = hand_in(&mut graph, &rules, &link_to("user_id:a", "email:new@x"), THEN).expect("linked");
    assert_eq!((done.from, done.to), (None, Some(created_by(ONE, "user_id:a"))));
    assert_eq!(profile_of(&mut graph, "email:new@x"), done.to);
    let got = resolve_in(&mut graph, ONE, &rules, &event(&rules, &["email:new@x"]), &evidence(60, 0));
    assert_eq!(got.map(|got| got.profile), done.to);
    check_invariants(&graph, ONE);
}

#[test]
fn a_removed_identifier_is_nobodys_until_it_is_seen_again() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    play(&mut graph, &rules, PEOPLE);
    hand_in(&mut graph, &rules, &remove("user_id:a", "anonymous_id:1"), THEN).expect("removed");
    assert_eq!(profile_of(&mut graph, "anonymous_id:1"), None);
    let alone = event(&rules, &["anonymous_id:1"]);
    let got = resolve_in(&mut graph, ONE, &rules, &alone, &evidence(60, 0)).expect("resolved");
    assert!(got.created);
    assert_eq!(got.profile, created_by(ONE, "anonymous_id:1~1"));
    assert_eq!(texts(got.live.members.iter()), ["anonymous_id:1~1"]);
    // Nothing keeps it from those who show it again.
    let both = event(&rules, &["user_id:b", "anonymous_id:1"]);
    let got = resolve_in(&mut graph, ONE, &rules, &both, &evidence(61, 0)).expect("resolved");
    assert_eq!((got.profile, got.demoted.len()), (created_by(ONE, "user_id:b"), 0));
    check_invariants(&graph, ONE);
}

#[test]
fn what_cannot_be_handed_over_is_refused_and_changes_nothing() {
    let rules = rules(DEFAULT);
    let nobody = || Who::Profile(ProfileId([7; 16]));
    let missing = [RefusedKind::NotFound];
    let either = [RefusedKind::NotFound, RefusedKind::NothingToPart, RefusedKind::Conflict];
    let cases: [(&str, Action, &[RefusedKind]); 8] = [
        ("link to nobody", link_to("user_id:z", "email:a@x"), &missing),
        ("link to no profile", Action::Link { who: nobody(), identifier: id("email:a@x") }, &missing),
        ("remove from nobody", remove("user_id:z", "email:a@x"), &missing),
        ("move from nobody", move_to("user_id:z", "email:a@x", "user_id:b"), &missing),
        ("move to nobody", move_to("user_id:a", "email:a@x", "user_id:z"), &missing),
        ("remove what is somebody else's", remove("user_id:b", "email:a@x"), &either),
        ("move what is somebody else's", move_to("user_id:b", "email:a@x", "user_id:a"), &either),
        ("remove what was never seen", remove("user_id:b", "email:new@x"), &either),
    ];
    for (name, action, kinds) in cases {
        let mut graph = MemoryGraph::new();
        play(&mut graph, &rules, PEOPLE);
        let before = graph.clone();
        let Err(refused) = hand_in(&mut graph, &rules, &action, THEN) else { panic!("{name}: done") };
        assert!(kinds.contains(&refused.kind), "{name}: {refused:?}");
        assert!(graph == before, "{name}: the graph changed");
        assert!(!refused.message.is_empty(), "{name}");
    }
}
