//! The documented scenarios of identity resolution, and the cases that the rules' text decides, as data.

use crate::support::{IdentityRules, ONE, created_by, link, over, plain, play, profiles, rules, text};
use tributary_identity::MemoryGraph;

struct Scenario {
    name: &'static str,
    /// Namespaces in order of priority, with their limits; empty: the default rules.
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
        limits: &[],
        events: &[&["anonymous_id:123", "ios.id:abc"]],
        profiles: &[("anonymous_id:123", &["anonymous_id:123", "ios.id:abc"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "2: anonymous becomes known",
        limits: &[],
        events: &[
            &["anonymous_id:123", "ios.id:abc"],
            &["user_id:abc123def", "anonymous_id:123", "ios.id:abc"],
        ],
        profiles: &[("anonymous_id:123", &["anonymous_id:123", "ios.id:abc", "user_id:abc123def"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "3: a second device",
        limits: &[],
        events: &[
            &["anonymous_id:123", "ios.id:abc"],
            &["user_id:abc123def", "anonymous_id:123", "ios.id:abc"],
            &["user_id:abc123def", "anonymous_id:456", "android.id:1a2b"],
        ],
        profiles: &[(
            "anonymous_id:123",
            &["android.id:1a2b", "anonymous_id:123", "anonymous_id:456", "ios.id:abc", "user_id:abc123def"],
        )],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "4: a second app",
        limits: &[],
        events: &[
            &["user_id:abc123def", "anonymous_id:123"],
            &["user_id:abc123def", "anonymous_id:456"],
            &["user_id:abc123def", "anonymous_id:789"],
        ],
        profiles: &[(
            "user_id:abc123def",
            &["anonymous_id:123", "anonymous_id:456", "anonymous_id:789", "user_id:abc123def"],
        )],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "5: another user_id with a known e-mail: a new profile with the user_id only",
        limits: &[],
        events: &[
            &["user_id:abc123", "email:jane@example1.com"],
            &["user_id:abc456", "email:jane@example1.com"],
        ],
        profiles: &[
            ("user_id:abc123", &["email:jane@example1.com", "user_id:abc123"]),
            ("user_id:abc456", &["user_id:abc456"]),
        ],
        demoted: &[("email:jane@example1.com", ("user_id", 1, 2))],
        refused: &["user_id:abc456 > email:jane@example1.com"],
    },
    Scenario {
        name: "6: a shop id and an internal id allowed: both on one profile",
        limits: &[("user_id", 2), ("email", 1), ("anonymous_id", 5)],
        events: &[&["user_id:shop", "email:jane@x"], &["user_id:internal", "email:jane@x"]],
        profiles: &[("user_id:shop", &["email:jane@x", "user_id:internal", "user_id:shop"])],
        demoted: &[],
        refused: &[],
    },
    Scenario {
        name: "7: a shared tablet in a store joins nobody",
        limits: &[],
        events: &[
            &["user_id:a", "android.id:tablet"],
            &["user_id:b", "android.id:tablet"],
            &["user_id:c", "android.id:tablet"],
            &["user_id:b", "email:b@x", "android.id:tablet"],
        ],
        profiles: &[
            ("user_id:a", &["android.id:tablet", "user_id:a"]),
            ("user_id:b", &["email:b@x", "user_id:b"]),
            ("user_id:c", &["user_id:c"]),
        ],
        demoted: &[("android.id:tablet", ("user_id", 1, 2))],
        refused: &["user_id:b > android.id:tablet", "user_id:c > android.id:tablet"],
    },
    Scenario {
        name: "8: two profiles joined: the older one survives",
        limits: &[],
        events: &[
            &["anonymous_id:1", "ios.id:1"],
            &["email:jane@x", "ga_client_id:1"],
            &["user_id:abc", "email:jane@x", "anonymous_id:1"],
        ],
        profiles: &[(
            "anonymous_id:1",
            &["anonymous_id:1", "email:jane@x", "ga_client_id:1", "ios.id:1", "user_id:abc"],
        )],
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
];

fn check(scenario: &Scenario) {
    let name = scenario.name;
    let mut graph = MemoryGraph::new();
    let rules = if scenario.limits.is_empty() { IdentityRules::default() } else { rules(scenario.limits) };
    let last = play(&mut graph, &rules, scenario.events);
    let want: Vec<_> = scenario
        .profiles
        .iter()
        .map(|(creator, members)| {
            (created_by(ONE, creator), members.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>())
        })
        .collect();
    assert_eq!(profiles(&graph, ONE), want, "{name}");
    let demoted = last.iter().flat_map(|resolution| &resolution.demoted);
    let got: Vec<_> = demoted.map(|demotion| (text(&demotion.identifier), plain(&demotion.reason))).collect();
    let want: Vec<_> = scenario
        .demoted
        .iter()
        .map(|(identifier, (namespace, limit, count))| {
            ((*identifier).to_owned(), over(namespace, *limit, *count))
        })
        .collect();
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
