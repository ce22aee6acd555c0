//! The documented scenarios of identity resolution, and the cases that the rules' text decides, as data.

use crate::support::{ONE, created_by, evidence, id, link, profiles, resolve_in, rules, text};
use tributary_identity::{MemoryGraph, RefusalReason};

struct Scenario {
    name: &'static str,
    /// Namespaces in order of priority, with their limits.
    limits: &'static [(&'static str, u32)],
    /// The identifiers of each event, in order of arrival.
    events: &'static [&'static [&'static str]],
    /// The profiles afterwards: the identifier that created it (its id), then its members, sorted.
    profiles: &'static [(&'static str, &'static [&'static str])],
    /// What the last event demoted, and the namespace over its limit, with limit and count.
    demoted: &'static [(&'static str, (&'static str, u32, u32))],
    /// The refused links afterwards.
    refused: &'static [&'static str],
}

const DEFAULT: &[(&str, u32)] = &[("user_id", 1), ("email", 5), ("anonymous_id", 5)];

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "1: nothing known: a new profile with all identifiers",
        limits: DEFAULT,
        events: &[&["email:jane@x", "anonymous_id:123"]],
        profiles: &[("email:jane@x", &["anonymous_id:123", "email:jane@x"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "2: anonymous becomes known",
        limits: DEFAULT,
        events: &[
            &["email:jane@x", "anonymous_id:123"],
            &["user_id:abc", "email:jane@x", "anonymous_id:123"],
        ],
        profiles: &[("email:jane@x", &["anonymous_id:123", "email:jane@x", "user_id:abc"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "3: a second device",
        limits: DEFAULT,
        events: &[
            &["anonymous_id:123"],
            &["user_id:abc", "anonymous_id:123"],
            &["user_id:abc", "email:jane@x", "anonymous_id:456"],
        ],
        profiles: &[(
            "anonymous_id:123",
            &["anonymous_id:123", "anonymous_id:456", "email:jane@x", "user_id:abc"],
        )],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "4: a second app",
        limits: DEFAULT,
        events: &[
            &["user_id:abc", "anonymous_id:123"],
            &["user_id:abc", "anonymous_id:456"],
            &["user_id:abc", "anonymous_id:789"],
        ],
        profiles: &[(
            "user_id:abc",
            &["anonymous_id:123", "anonymous_id:456", "anonymous_id:789", "user_id:abc"],
        )],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "5: another user_id with a known e-mail: a new profile with the user_id only",
        limits: DEFAULT,
        events: &[&["user_id:abc123", "email:jane@x"], &["user_id:abc456", "email:jane@x"]],
        profiles: &[
            ("user_id:abc123", &["email:jane@x", "user_id:abc123"]),
            ("user_id:abc456", &["user_id:abc456"]),
        ],
        demoted: &[("email:jane@x", ("user_id", 1, 2))],
        refused: &["user_id:abc456 > email:jane@x"],
    },
    Scenario {
        name: "6: two user_ids allowed: both on one profile",
        limits: &[("user_id", 2), ("email", 1), ("anonymous_id", 5)],
        events: &[&["user_id:shop", "email:jane@x"], &["user_id:internal", "email:jane@x"]],
        profiles: &[("user_id:shop", &["email:jane@x", "user_id:internal", "user_id:shop"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "7: a shared tablet joins nobody",
        limits: DEFAULT,
        events: &[
            &["user_id:a", "anonymous_id:tablet"],
            &["user_id:b", "anonymous_id:tablet"],
            &["user_id:b", "email:b@x", "anonymous_id:tablet"],
        ],
        profiles: &[
            ("user_id:a", &["anonymous_id:tablet", "user_id:a"]),
            ("user_id:b", &["email:b@x", "user_id:b"]),
        ],
        demoted: &[("anonymous_id:tablet", ("user_id", 1, 2))],
        refused: &["user_id:b > anonymous_id:tablet"],
    },
    Scenario {
        name: "8: two profiles joined: the older one survives",
        limits: DEFAULT,
        events: &[&["anonymous_id:1"], &["email:jane@x"], &["user_id:abc", "email:jane@x", "anonymous_id:1"]],
        profiles: &[("anonymous_id:1", &["anonymous_id:1", "email:jane@x", "user_id:abc"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "three profiles joined at once",
        limits: DEFAULT,
        events: &[
            &["email:jane@x"],
            &["anonymous_id:1"],
            &["user_id:abc"],
            &["user_id:abc", "email:jane@x", "anonymous_id:1"],
        ],
        profiles: &[("email:jane@x", &["anonymous_id:1", "email:jane@x", "user_id:abc"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "a merge of merges",
        limits: DEFAULT,
        events: &[
            &["anonymous_id:1"],
            &["anonymous_id:2"],
            &["anonymous_id:3"],
            &["anonymous_id:4"],
            &["email:a@x", "anonymous_id:4"],
            &["email:a@x", "anonymous_id:3"],
            &["email:b@x", "anonymous_id:1"],
            &["email:b@x", "anonymous_id:2"],
            &["email:a@x", "email:b@x"],
        ],
        profiles: &[(
            "anonymous_id:1",
            &[
                "anonymous_id:1",
                "anonymous_id:2",
                "anonymous_id:3",
                "anonymous_id:4",
                "email:a@x",
                "email:b@x",
            ],
        )],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "the sixth anonymous_id is left out and stays unknown",
        limits: &[("user_id", 1), ("anonymous_id", 2)],
        events: &[
            &["user_id:a", "anonymous_id:1"],
            &["user_id:a", "anonymous_id:2"],
            &["user_id:a", "anonymous_id:3"],
        ],
        profiles: &[("user_id:a", &["anonymous_id:1", "anonymous_id:2", "user_id:a"])],
        demoted: &[("anonymous_id:3", ("anonymous_id", 2, 3))],
        refused: &["user_id:a > anonymous_id:3"],
    },
    Scenario {
        name: "an identifier that was left out makes a profile of its own when it comes alone",
        limits: &[("user_id", 1), ("anonymous_id", 1)],
        events: &[&["user_id:a", "anonymous_id:1"], &["user_id:a", "anonymous_id:2"], &["anonymous_id:2"]],
        profiles: &[("user_id:a", &["anonymous_id:1", "user_id:a"]), ("anonymous_id:2", &["anonymous_id:2"])],
        demoted: &[],
        refused: &["user_id:a > anonymous_id:2"],
    },
    Scenario {
        name: "two of a namespace on one event that allows one: the one read first is kept",
        limits: &[("user_id", 1), ("email", 1)],
        events: &[&["email:first@x", "email:second@x"]],
        profiles: &[("email:first@x", &["email:first@x"])],
        demoted: &[("email:second@x", ("email", 1, 2))],
        refused: &["email:first@x > email:second@x"],
    },
    Scenario {
        name: "the lowest goes first, though a higher one is at fault",
        limits: DEFAULT,
        events: &[&["user_id:a", "email:a@x"], &["user_id:b", "email:a@x", "anonymous_id:new"]],
        profiles: &[("user_id:a", &["email:a@x", "user_id:a"]), ("user_id:b", &["user_id:b"])],
        demoted: &[("email:a@x", ("user_id", 1, 2)), ("anonymous_id:new", ("user_id", 1, 2))],
        refused: &["user_id:b > anonymous_id:new", "user_id:b > email:a@x"],
    },
    Scenario {
        name: "left out of the search, but on the profile anyway: nothing is refused",
        limits: DEFAULT,
        events: &[
            &["user_id:a", "anonymous_id:1"],
            &["user_id:b", "email:b@x"],
            &["user_id:a", "email:b@x", "anonymous_id:1"],
        ],
        profiles: &[
            ("user_id:a", &["anonymous_id:1", "user_id:a"]),
            ("user_id:b", &["email:b@x", "user_id:b"]),
        ],
        demoted: &[("email:b@x", ("user_id", 1, 2))],
        refused: &["user_id:a > email:b@x"],
    },
    Scenario {
        name: "of two namespaces over their limits, the reason names the higher",
        limits: &[("user_id", 1), ("email", 1), ("anonymous_id", 5)],
        events: &[
            &["user_id:a", "email:a@x", "anonymous_id:1"],
            &["user_id:b", "email:b@x"],
            &["user_id:b", "anonymous_id:1"],
        ],
        profiles: &[
            ("user_id:a", &["anonymous_id:1", "email:a@x", "user_id:a"]),
            ("user_id:b", &["email:b@x", "user_id:b"]),
        ],
        demoted: &[("anonymous_id:1", ("user_id", 1, 2))],
        refused: &["user_id:b > anonymous_id:1"],
    },
    Scenario {
        name: "the anchor alone is never refused, even by a limit of none",
        limits: &[("user_id", 0), ("email", 0)],
        events: &[&["user_id:a", "email:a@x"]],
        profiles: &[("user_id:a", &["user_id:a"])],
        demoted: &[("email:a@x", ("user_id", 0, 1))],
        refused: &["user_id:a > email:a@x"],
    },
    Scenario {
        name: "undeclared namespaces, repeats and the order of the input do not matter",
        limits: &[("user_id", 1), ("email", 5)],
        events: &[&["device:1", "email:a@x", "email:a@x", "user_id:a", "anonymous_id:1"], &["device:1"]],
        profiles: &[("user_id:a", &["email:a@x", "user_id:a"])],
        demoted: &[],
        refused: &[],
    },
];

fn check(scenario: &Scenario) {
    let name = scenario.name;
    let mut graph = MemoryGraph::new();
    let rules = rules(scenario.limits);
    let mut last = None;
    for (sequence, event) in (0..).zip(scenario.events) {
        let identifiers: Vec<_> = event.iter().map(|text| id(text)).collect();
        last = resolve_in(&mut graph, ONE, &rules, &identifiers, &evidence(sequence, 0));
    }
    let want: Vec<_> = scenario
        .profiles
        .iter()
        .map(|(creator, members)| {
            (created_by(ONE, creator), members.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(profiles(&graph, ONE), want, "{name}");
    let demoted: Vec<_> = last.iter().flat_map(|resolution| &resolution.demoted).collect();
    let got: Vec<_> = demoted
        .iter()
        .map(|demotion| {
            let RefusalReason::Limit { namespace, limit, count } = &demotion.reason;
            (text(&demotion.identifier), (namespace.as_str(), *limit, *count))
        })
        .collect();
    let want: Vec<_> =
        scenario.demoted.iter().map(|(identifier, reason)| ((*identifier).to_owned(), *reason)).collect();
    assert_eq!(got, want, "{name}");
    let refused: Vec<_> = graph.refusals(ONE).map(|(key, _)| link(key)).collect();
    assert_eq!(refused, scenario.refused, "{name}");
}

#[test]
fn documented_scenarios() {
    for scenario in SCENARIOS {
        check(scenario);
    }
}

#[test]
fn a_loosened_rule_takes_what_it_refused_and_a_tightened_one_leaves_what_is_there() {
    let wide = rules(&[("user_id", 1), ("email", 3)]);
    let narrow = rules(&[("user_id", 1), ("email", 1)]);
    let mut graph = MemoryGraph::new();
    let both = [id("user_id:a"), id("email:1@x")];
    let second = [id("user_id:a"), id("email:2@x")];
    let third = [id("user_id:a"), id("email:3@x")];
    resolve_in(&mut graph, ONE, &narrow, &both, &evidence(0, 0));
    let refused = resolve_in(&mut graph, ONE, &narrow, &second, &evidence(1, 0)).expect("resolved");
    assert_eq!(refused.demoted.len(), 1);

    let taken = resolve_in(&mut graph, ONE, &wide, &second, &evidence(2, 0)).expect("resolved");
    assert!(taken.demoted.is_empty());
    assert_eq!(taken.members.len(), 3);

    let known = resolve_in(&mut graph, ONE, &narrow, &second, &evidence(3, 0)).expect("resolved");
    assert_eq!((known.demoted.len(), known.members.len()), (0, 3), "what is there stays, and is no refusal");
    let new = resolve_in(&mut graph, ONE, &narrow, &third, &evidence(4, 0)).expect("resolved");
    assert_eq!((new.demoted.len(), new.members.len()), (1, 3), "it does not grow");
}

#[test]
fn a_resolution_tells_what_the_event_did() {
    let mut graph = MemoryGraph::new();
    let rules = rules(DEFAULT);
    let first = resolve_in(&mut graph, ONE, &rules, &[id("anonymous_id:1")], &evidence(0, 0));
    let first = first.expect("resolved");
    assert!(first.created && first.merged.is_empty());
    resolve_in(&mut graph, ONE, &rules, &[id("email:a@x")], &evidence(1, 0));
    let all = [id("user_id:a"), id("email:a@x"), id("anonymous_id:1")];
    let joined = resolve_in(&mut graph, ONE, &rules, &all, &evidence(2, 0)).expect("resolved");
    assert!(!joined.created);
    assert_eq!(joined.profile, first.profile);
    assert_eq!(joined.merged, [created_by(ONE, "email:a@x")]);
    assert_eq!(text(&joined.anchor), "user_id:a");
    let kept: Vec<_> = joined.kept.iter().map(text).collect();
    assert_eq!(kept, ["user_id:a", "email:a@x", "anonymous_id:1"]);
    let members: Vec<_> = joined.members.iter().map(text).collect();
    assert_eq!(members, ["anonymous_id:1", "email:a@x", "user_id:a"]);
}

#[test]
fn an_event_without_declared_identifiers_resolves_to_nothing() {
    let mut graph = MemoryGraph::new();
    for identifiers in [&[][..], &[id("device:1")]] {
        let got = resolve_in(&mut graph, ONE, &rules(DEFAULT), identifiers, &evidence(0, 0));
        assert_eq!(got, None);
    }
    assert_eq!(graph, MemoryGraph::new());
}
