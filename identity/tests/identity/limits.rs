//! Limits that change or slide, caps, aliases and blocked values.

use crate::support::{
    DAY_MICROS, IdentityRules, Limit, NamespaceRule, ONE, PreviousId, Window, created_by, event, evidence,
    evidence_at, find_in, id, link, over, plain, play, resolve_in, rules, text, texts, who, with,
};
use tributary_identity::{Cap, EdgeRule, MemoryGraph, RefusalReason};
use tributary_model::{NodeKey, Timestamp};

const DEFAULT: &[(&str, u32)] = &[("user_id", 1), ("email", 5), ("anonymous_id", 5)];

#[test]
fn a_loosened_rule_takes_what_it_refused_and_a_tightened_one_leaves_what_is_there() {
    let wide = rules(&[("user_id", 1), ("email", 3)]);
    let narrow = rules(&[("user_id", 1), ("email", 1)]);
    let mut graph = MemoryGraph::new();
    let mut step = |at, rules: &IdentityRules, email| {
        let event = event(rules, &["user_id:a", email]);
        let got = resolve_in(&mut graph, ONE, rules, &event, &evidence(at, 0)).expect("resolved");
        (got.demoted.len(), got.live.members.len())
    };
    assert_eq!(step(0, &narrow, "email:1@x"), (0, 2));
    assert_eq!(step(1, &narrow, "email:2@x"), (1, 2));
    assert_eq!(step(2, &wide, "email:2@x"), (0, 3));
    assert_eq!(step(3, &narrow, "email:2@x"), (0, 3), "what is there stays, and is no refusal");
    assert_eq!(step(4, &narrow, "email:3@x"), (1, 3), "it does not grow");
}

#[test]
fn a_resolution_tells_what_the_event_did() {
    let mut graph = MemoryGraph::new();
    let rules = rules(DEFAULT);
    let mut step = |at, identifiers: &[&str]| {
        resolve_in(&mut graph, ONE, &rules, &event(&rules, identifiers), &evidence(at, 0)).expect("resolved")
    };
    let first = step(0, &["anonymous_id:1"]);
    assert!(first.created && first.merged.is_empty() && first.profiles_delta == 1);
    step(1, &["email:a@x"]);
    let joined = step(2, &["anonymous_id:1", "user_id:a", "email:a@x"]);
    assert!(!joined.created && joined.profiles_delta == -1);
    assert_eq!(joined.profile, first.profile);
    assert_eq!(joined.merged, [created_by(ONE, "email:a@x")]);
    assert_eq!(text(&joined.anchor), "user_id:a");
    assert_eq!(texts(&joined.kept), ["user_id:a", "email:a@x", "anonymous_id:1"]);
    assert_eq!(texts(joined.live.members.iter()), ["anonymous_id:1", "email:a@x", "user_id:a"]);
    assert!(joined.demoted.is_empty() && joined.beside.is_empty());
}

#[test]
fn an_event_without_identifiers_resolves_to_nothing() {
    let mut graph = MemoryGraph::new();
    let rules = rules(DEFAULT);
    let nothing = event(&rules, &[]);
    let mut blocked = event(&rules, &[]);
    blocked.blocked = vec![id("user_id:null")];
    for event in [nothing, blocked] {
        assert_eq!(resolve_in(&mut graph, ONE, &rules, &event, &evidence(0, 0)), None);
    }
    assert!(graph == MemoryGraph::new());
}

#[test]
fn five_weekly_are_counted_over_a_sliding_week() {
    let weekly = |rule: &mut NamespaceRule| rule.limit = Limit { count: 5, window: Window::Week };
    let rules = with(rules(DEFAULT), "anonymous_id", weekly);
    let week = 7 * DAY_MICROS;
    // When each new browser comes (the first comes at 0), and how many the person has then.
    let steps = [
        (10, 2),
        (20, 3),
        (30, 4),
        (40, 5),
        (50, 5),
        (week - 1, 5),
        (week, 6),
        (week + 10, 7),
        (week + 11, 7),
    ];
    let mut graph = MemoryGraph::new();
    for (at, (micros, want)) in (0..).zip([(0, 1)].into_iter().chain(steps)) {
        let browser = format!("anonymous_id:{at}");
        let event = event(&rules, &["user_id:a", browser.as_str()]);
        let evidence = evidence_at(at, Timestamp::from_micros(micros));
        let got = resolve_in(&mut graph, ONE, &rules, &event, &evidence).expect("resolved");
        assert_eq!(got.live.identifiers().count(), want + 1, "after {micros} µs");
        for demotion in got.demoted {
            assert_eq!(plain(&demotion.reason), over("anonymous_id", 5, 6));
        }
    }
}

#[test]
fn past_its_caps_a_profile_does_not_grow_but_its_events_resolve() {
    let identifiers = IdentityRules { identifiers_max: 3, ..rules(DEFAULT) };
    let merges = IdentityRules { merges_max: 1, ..rules(DEFAULT) };
    let alone: &[&[&str]] = &[&["anonymous_id:1"], &["anonymous_id:2"], &["anonymous_id:3"]];
    type Case<'a> = (&'a str, IdentityRules, &'a [&'a [&'a str]], usize, RefusalReason);
    let cases: [Case<'_>; 2] = [
        (
            "identifiers",
            identifiers,
            &[],
            3,
            RefusalReason::Cap { cap: Cap::Identifiers, limit: 3, count: 4 },
        ),
        ("merges", merges, alone, 3, RefusalReason::Cap { cap: Cap::Merges, limit: 1, count: 2 }),
    ];
    for (name, rules, before, members, reason) in cases {
        let mut graph = MemoryGraph::new();
        play(&mut graph, &rules, before);
        let mut step = |at, browser: &str| {
            let event = event(&rules, &["user_id:a", browser]);
            resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, 0)).expect("resolved")
        };
        let first = step(10, "anonymous_id:1");
        step(11, "anonymous_id:2");
        let full = step(12, "anonymous_id:3");
        assert_eq!((full.profile, full.live.members.len()), (first.profile, members), "{name}");
        let reasons: Vec<_> = full.demoted.into_iter().map(|demotion| demotion.reason).collect();
        assert_eq!(reasons, [reason], "{name}");
        assert_eq!(step(13, "anonymous_id:2").demoted.len(), 0, "{name}: what is on it stays on it");
    }
}

struct Alias {
    name: &'static str,
    users: u32,
    before: &'static [&'static [&'static str]],
    /// What is tied to `user_id:new` by the alias of `old`, or refused.
    tied: Option<&'static str>,
    refused: Option<&'static str>,
}

const ALIASES: &[Alias] = &[
    Alias {
        name: "known as an anonymous_id",
        users: 1,
        before: &[&["anonymous_id:old"]],
        tied: Some("anonymous_id:old"),
        refused: None,
    },
    Alias {
        name: "known as both: the anonymous_id",
        users: 2,
        before: &[&["user_id:old"], &["anonymous_id:old"]],
        tied: Some("anonymous_id:old"),
        refused: None,
    },
    Alias {
        name: "known as a user_id, where one is allowed: refused, and shown",
        users: 1,
        before: &[&["user_id:new"], &["user_id:old"]],
        tied: None,
        refused: Some("user_id:old"),
    },
    Alias {
        name: "known as a user_id, where two are allowed",
        users: 2,
        before: &[&["user_id:old", "email:a@x"]],
        tied: Some("user_id:old"),
        refused: None,
    },
    Alias {
        name: "known as neither: an anonymous_id",
        users: 1,
        before: &[&["user_id:new"]],
        tied: Some("anonymous_id:old"),
        refused: None,
    },
    Alias {
        name: "known as an anonymous_id of somebody else",
        users: 1,
        before: &[&["user_id:other", "anonymous_id:old"]],
        tied: None,
        refused: Some("anonymous_id:old"),
    },
];

#[test]
fn an_alias_ties_what_it_finds() {
    for case in ALIASES {
        let rules = rules(&[("user_id", case.users), ("email", 5), ("anonymous_id", 5)]);
        let mut graph = MemoryGraph::new();
        play(&mut graph, &rules, case.before);
        let mut alias = event(&rules, &["user_id:new"]);
        alias.previous =
            Some(PreviousId { as_anonymous: Some(id("anonymous_id:old")), as_user: Some(id("user_id:old")) });
        let got = resolve_in(&mut graph, ONE, &rules, &alias, &evidence(10, 0)).expect("resolved");
        let kept: Vec<_> = ["user_id:new"].into_iter().chain(case.tied).collect();
        assert_eq!(texts(&got.kept), kept, "{}", case.name);
        let demoted = got.demoted.iter().map(|demotion| &demotion.identifier);
        assert_eq!(texts(demoted), case.refused.into_iter().collect::<Vec<_>>(), "{}", case.name);
        let tied: Vec<_> = graph
            .edges(ONE)
            .filter(|(_, edge)| edge.first.position.sequence == 10)
            .map(|(key, edge)| (link(key), edge.rule))
            .collect();
        let want: Vec<_> =
            case.tied.map(|other| (format!("user_id:new > {other}"), EdgeRule::Alias)).into_iter().collect();
        assert_eq!(tied, want, "{}", case.name);
        let refused: Vec<_> = graph.refusals(ONE).map(|(key, _)| link(key)).collect();
        let want: Vec<_> = case.refused.iter().map(|other| format!("user_id:new > {other}")).collect();
        assert_eq!(refused, want, "{}", case.name);
    }
}

#[test]
fn a_blocked_value_joins_nobody_and_is_told() {
    let rules = rules(DEFAULT);
    let mut graph = MemoryGraph::new();
    for (at, browser) in (0..).zip(["anonymous_id:1", "anonymous_id:2"]) {
        let mut event = event(&rules, &[browser]);
        event.blocked = vec![id("user_id:qa")];
        let got = resolve_in(&mut graph, ONE, &rules, &event, &evidence(at, 0)).expect("resolved");
        let demoted: Vec<_> =
            got.demoted.iter().map(|one| (text(&one.identifier), one.reason.clone())).collect();
        assert_eq!(demoted, [("user_id:qa".to_owned(), RefusalReason::Blocked)]);
        assert_eq!(texts(got.live.members.iter()), [browser]);
    }
    let refused: Vec<_> = graph.refusals(ONE).map(|(key, _)| link(key)).collect();
    assert_eq!(refused, ["anonymous_id:1 > user_id:qa", "anonymous_id:2 > user_id:qa"]);
    assert!(find_in(&mut graph, &who("user_id:qa")).is_none());
    assert!(graph.nodes(ONE).all(|(key, _)| *key != NodeKey::first_epoch(id("user_id:qa"))));
}
