//! What several people share: a tablet, a kiosk, a family's e-mail address, a phone number that was given away, a
//! user id that a tester left in the code.

use crate::compare::{check_invariants, check_limits};
use crate::support::{
    Action, IdentityRules, ONE, created_by, event, evidence, find_in, hand_in, id, in_context, last_sign_in,
    link, moment, node, profile_of, profiles, resolve_in, rules, text, texts, who,
};
use tributary_identity::{EdgeRule, Explanation, GraphRead, MemoryGraph, current_node, explain};
use tributary_model::ProfileId;

/// Priorities as by default, with a phone number between.
fn people() -> IdentityRules {
    rules(&[("user_id", 1), ("email", 5), ("phone", 5), ("anonymous_id", 5)])
}

/// Events in order: the identifiers of each, its anchor, and who created the profile that it belongs to.
type Visits = &'static [(&'static [&'static str], &'static str, &'static str)];

fn check_visits(name: &str, rules: &IdentityRules, visits: Visits) -> MemoryGraph {
    let mut graph = MemoryGraph::new();
    for (at, (identifiers, anchor, creator)) in (0..).zip(visits) {
        let got = resolve_in(&mut graph, ONE, rules, &event(rules, identifiers), &evidence(at, 0));
        let got = got.expect("resolved");
        assert_eq!(text(&got.anchor), *anchor, "{name}: the anchor of event {at}");
        assert_eq!(got.profile, created_by(ONE, creator), "{name}: whose event {at} is");
        check_invariants(&graph, ONE);
        check_limits(&graph, rules, moment(at, 0));
    }
    graph
}

const KIOSK: &str = "anonymous_id:kiosk";

#[test]
fn at_a_kiosk_the_first_owner_keeps_the_device() {
    let visits: Visits = &[
        (&[KIOSK], KIOSK, KIOSK),
        (&["user_id:a", KIOSK], "user_id:a", KIOSK),
        (&["user_id:b", KIOSK], "user_id:b", "user_id:b"),
        (&[KIOSK], KIOSK, KIOSK),
        (&["user_id:b"], "user_id:b", "user_id:b"),
    ];
    let mut graph = check_visits("first owner", &people(), visits);
    assert_eq!(profile_of(&mut graph, "user_id:a"), Some(created_by(ONE, KIOSK)));
}

#[test]
fn at_a_kiosk_the_device_may_follow_the_last_sign_in() {
    let visits: Visits = &[
        (&[KIOSK], KIOSK, KIOSK),
        (&["user_id:a", KIOSK], "user_id:a", KIOSK),
        (&[KIOSK], KIOSK, KIOSK),
        (&["user_id:b", KIOSK], "user_id:b", "user_id:b"),
        // After b signed out, and until somebody signs in, it is still b's.
        (&[KIOSK], "anonymous_id:kiosk~1", "user_id:b"),
        (&["user_id:b", KIOSK], "user_id:b", "user_id:b"),
        (&["user_id:a"], "user_id:a", KIOSK),
        (&[KIOSK], "anonymous_id:kiosk~1", "user_id:b"),
        (&["user_id:a", KIOSK], "user_id:a", KIOSK),
        (&[KIOSK], "anonymous_id:kiosk~2", KIOSK),
    ];
    let rules = last_sign_in(people(), "anonymous_id");
    let mut graph = check_visits("last sign-in", &rules, visits);
    let (a, b) = (created_by(ONE, KIOSK), created_by(ONE, "user_id:b"));
    // What came before stays where it was.
    for (key, profile) in [(KIOSK, a), ("anonymous_id:kiosk~1", b), ("anonymous_id:kiosk~2", a)] {
        let stored = graph.node(ONE, &node(key)).expect("memory answers").expect("a node");
        assert_eq!(stored.profile, profile, "{key}");
    }
    assert_eq!(current_node(&mut graph, ONE, &id(KIOSK)), Ok(node("anonymous_id:kiosk~2")));
    let first = graph.node(ONE, &node(KIOSK)).expect("memory answers").expect("a node");
    assert_eq!(first.current_epoch, 2);
    let mut in_use = |identifier| {
        let (_, live) = find_in(&mut graph, &who(identifier)).expect("a profile");
        (texts(live.identifiers()), texts(&live.former))
    };
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    assert_eq!(in_use("user_id:a"), (owned(&["anonymous_id:kiosk~2", "user_id:a"]), owned(&[KIOSK])));
    assert_eq!(in_use("user_id:b"), (owned(&["user_id:b"]), owned(&["anonymous_id:kiosk~1"])));
    let signed_in: Vec<_> = graph
        .edges(ONE)
        .filter(|(_, edge)| edge.rule == EdgeRule::SignIn)
        .map(|(key, edge)| (link(key), edge.first.position.sequence))
        .collect();
    let handed = [("user_id:a > anonymous_id:kiosk~2", 8), ("user_id:b > anonymous_id:kiosk~1", 3)];
    assert_eq!(signed_in, handed.map(|(link, at)| (link.to_owned(), at)));
}

#[test]
fn a_device_follows_a_sign_in_only_where_it_fits_and_by_a_higher_namespace() {
    let narrow = rules(&[("user_id", 1), ("anonymous_id", 1)]);
    let full: Visits = &[
        (&["user_id:a", KIOSK], "user_id:a", "user_id:a"),
        (&["user_id:b", "anonymous_id:own"], "user_id:b", "user_id:b"),
        (&["user_id:b", KIOSK], "user_id:b", "user_id:b"),
        (&[KIOSK], KIOSK, "user_id:a"),
    ];
    check_visits("it does not fit", &last_sign_in(narrow, "anonymous_id"), full);
    let alike: Visits = &[
        (&["user_id:a", KIOSK], "user_id:a", "user_id:a"),
        (&["user_id:b", "anonymous_id:own"], "user_id:b", "user_id:b"),
        (&["anonymous_id:own", KIOSK], "anonymous_id:own", "user_id:b"),
        (&[KIOSK], KIOSK, "user_id:a"),
    ];
    check_visits("no sign-in", &last_sign_in(people(), "anonymous_id"), alike);
}

#[test]
fn a_familys_address_joins_nobody() {
    let visits: Visits = &[
        (&["user_id:mother", "email:family@x", "anonymous_id:m"], "user_id:mother", "user_id:mother"),
        (&["user_id:father", "email:family@x"], "user_id:father", "user_id:father"),
        (&["user_id:father", "anonymous_id:f"], "user_id:father", "user_id:father"),
        (&["user_id:child", "email:family@x"], "user_id:child", "user_id:child"),
        (&["email:family@x"], "email:family@x", "user_id:mother"),
        // A letter opened on the father's phone: the address goes first, and is the mother's.
        (&["email:family@x", "anonymous_id:f"], "email:family@x", "user_id:mother"),
        (&["anonymous_id:f"], "anonymous_id:f", "user_id:father"),
    ];
    let graph = check_visits("first owner", &people(), visits);
    assert_eq!(profiles(&graph, ONE).len(), 3);

    let visits: Visits = &[
        (&["user_id:mother", "email:family@x"], "user_id:mother", "user_id:mother"),
        (&["user_id:father", "email:family@x"], "user_id:father", "user_id:father"),
        (&["email:family@x"], "email:family@x~1", "user_id:father"),
    ];
    check_visits("last sign-in", &last_sign_in(people(), "email"), visits);
}

#[test]
fn a_phone_number_that_was_given_away_is_moved_by_hand() {
    let rules = people();
    let visits: Visits = &[
        (&["user_id:old", "phone:555"], "user_id:old", "user_id:old"),
        (&["user_id:new", "phone:555"], "user_id:new", "user_id:new"),
        (&["phone:555"], "phone:555", "user_id:old"),
    ];
    let mut graph = check_visits("before", &rules, visits);
    let (old, new) = (created_by(ONE, "user_id:old"), created_by(ONE, "user_id:new"));
    let action =
        Action::Move { who: who("user_id:old"), identifier: id("phone:555"), to: who("user_id:new") };
    let moved = hand_in(&mut graph, &rules, &action, (10, 0)).expect("moved");
    assert_eq!((text(&moved.node), moved.from, moved.to), ("phone:555~1".to_owned(), Some(old), Some(new)));
    assert_eq!(moved.profiles_delta, 0);
    check_invariants(&graph, ONE);

    let told = in_context(ONE, &rules, moment(20, 0), |context| {
        explain(&mut graph, context, &who("user_id:new"), &id("phone:555"))
    });
    let Explanation::Same { profile, path } = told.expect("consistent") else { panic!("one profile") };
    assert_eq!(profile, new);
    let steps: Vec<_> = path.iter().map(|step| (step.rule, step.evidence.position.sequence)).collect();
    assert_eq!(steps, [(EdgeRule::ByHand, 10)]);
    for (at, identifiers) in [(11, &["phone:555"][..]), (12, &["user_id:new", "phone:555"][..])] {
        let got = resolve_in(&mut graph, ONE, &rules, &event(&rules, identifiers), &evidence(at, 0));
        let got = got.expect("resolved");
        assert_eq!((got.profile, got.demoted.len()), (new, 0));
    }
    let before = graph.node(ONE, &node("phone:555")).expect("memory answers").expect("a node");
    assert_eq!(before.profile, old, "what came before stays");

    // The same without anybody's hand, where numbers follow the last sign-in.
    let visits: Visits = &[
        (&["user_id:old", "phone:555"], "user_id:old", "user_id:old"),
        (&["user_id:new", "phone:555"], "user_id:new", "user_id:new"),
        (&["phone:555"], "phone:555~1", "user_id:new"),
    ];
    check_visits("last sign-in", &last_sign_in(rules, "phone"), visits);
}

/// So many browsers that are known on their own, and then send a tester's user id each.
fn qa(rules: &IdentityRules, browsers: u64, blocked: bool) -> MemoryGraph {
    let mut graph = MemoryGraph::new();
    for browser in 0..browsers {
        let alone = format!("anonymous_id:{browser}");
        resolve_in(&mut graph, ONE, rules, &event(rules, &[alone.as_str()]), &evidence(2 * browser, 0));
        let mut both = event(rules, &["user_id:qa", alone.as_str()]);
        if blocked {
            both = event(rules, &[alone.as_str()]);
            both.blocked = vec![id("user_id:qa")];
        }
        let got = resolve_in(&mut graph, ONE, rules, &both, &evidence(2 * browser + 1, 0));
        assert!(got.is_some(), "every event has a profile");
    }
    check_invariants(&graph, ONE);
    graph
}

#[test]
fn a_testers_user_id_in_production_is_stopped() {
    let sizes = |graph: &MemoryGraph| -> Vec<(ProfileId, usize)> {
        let all = profiles(graph, ONE).into_iter().map(|(id, members)| (id, members.len()));
        all.filter(|(_, size)| *size > 1).collect()
    };
    let generous = rules(&[("user_id", 1), ("anonymous_id", 10_000)]);
    let first = created_by(ONE, "anonymous_id:0");
    let cases = [
        ("a limit", people(), false, vec![(first, 6)]),
        ("the cap of merges", generous.clone(), false, vec![(first, 102)]),
        ("a block", generous, true, vec![]),
    ];
    for (name, rules, blocked, want) in cases {
        assert_eq!(sizes(&qa(&rules, 120, blocked)), want, "{name}");
    }
    // Browsers that were not known on their own are merged by nothing: the cap of identifiers stops them.
    let rules = IdentityRules { identifiers_max: 50, ..rules(&[("user_id", 1), ("anonymous_id", 10_000)]) };
    let mut graph = MemoryGraph::new();
    for browser in 0..80 {
        let device = format!("anonymous_id:{browser}");
        let both = event(&rules, &["user_id:qa", device.as_str()]);
        resolve_in(&mut graph, ONE, &rules, &both, &evidence(browser, 0)).expect("resolved");
    }
    assert_eq!(sizes(&graph), [(created_by(ONE, "user_id:qa"), 50)]);
}
