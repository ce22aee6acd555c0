//! Previews: what they say against real projections under both sets of rules.

use super::sketch::{Step, rules, sketch, version};
use super::*;
use crate::codec::Value;
use crate::key::{Tag, start};
use crate::preview::{PreviewError, PreviewOrder, PreviewParts, PreviewProgress, PreviewReport, preview};
use tributary_identity::ProfileRecord;
use tributary_model::command::{Action, UnmergeTarget, Who};
use tributary_model::workspace::IdentityRules;

const ONE: WorkspaceId = WorkspaceId(1);

fn parts(records: &[Bytes], directory: &Path, current: IdentityRules) -> PreviewParts {
    let events = Arc::new(MemoryLog::new());
    append(&*events, records.to_vec());
    PreviewParts {
        events,
        hash_key: hash_key(),
        directory: directory.join("preview"),
        current,
        window: Duration::from_secs(7 * 24 * 3600),
    }
}

fn order(rules: IdentityRules) -> PreviewOrder {
    PreviewOrder { workspace: ONE, rules, from: None, until: None }
}

fn report(records: &[Bytes], current: IdentityRules, order: &PreviewOrder) -> PreviewReport {
    let directory = tempfile::tempdir().expect("a directory");
    let parts = parts(records, directory.path(), current);
    let progress = PreviewProgress::default();
    let report = preview(&parts, order, &progress).expect("a report");
    assert_eq!((progress.read(), progress.of()), (records.len() as u64, records.len() as u64));
    assert!(!parts.directory.exists(), "nothing is left");
    report
}

/// What a real projection under these rules has in the end.
struct Real {
    /// Each identifier on a profile, in the epoch that it is in, and the profile.
    owners: BTreeMap<String, ProfileId>,
    profiles: u64,
    events: u64,
    unidentified: u64,
}

impl Real {
    fn of(records: &[Bytes], rules: &IdentityRules) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        // The same positions: the rules are the first record of both, and the preview passes over it.
        append(&*events, vec![version(1, 1, START, rules)]);
        append(&*events, records[1..].to_vec());
        run_projector(directory.path(), &events, &written);
        let projector = start_projector(directory.path(), &events, &written);
        projector.stop().expect("a clean stop");
        let store = projector.state().store();
        let mut owners = BTreeMap::new();
        for entry in store.entries(&start(ONE, Tag::Profile)) {
            let (key, value) = entry.expect("readable");
            let Ok(Value::Profile(record)) = Value::decode(Tag::Profile, &value) else { panic!("{key:?}") };
            if let ProfileRecord::Live(live) = &*record {
                let id = key.profile_named().expect("a profile's key");
                owners.extend(live.identifiers().map(|node| (node.identifier.to_text(), id)));
            }
        }
        let counts = reference::stored_counts(&*store, ONE).expect("readable");
        let events = counts.projected + counts.unidentified;
        Self { owners, profiles: counts.profiles, events, unidentified: counts.unidentified }
    }
}

/// How many keys have several values.
fn several(pairs: impl Iterator<Item = (ProfileId, ProfileId)>) -> u64 {
    let mut found: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
    for (one, other) in pairs {
        found.entry(one).or_default().insert(other);
    }
    found.values().filter(|others| others.len() > 1).count() as u64
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A preview says of both sets of rules what projections under them come to, and what lies between the two.
    #[test]
    fn a_preview_agrees_with_two_projections(
        sketches in proptest::collection::vec(sketch(), 1..80),
        current in 0..6u8,
        changed in 0..6u8,
    ) {
        let steps: Vec<Step> = std::iter::once(Step::Rules { workspace: 1, rules: Box::new(rules(current)) })
            .chain(sketches.into_iter().map(Step::Event))
            .collect();
        let records = log(&steps);
        let report = report(&records, rules(current), &order(rules(changed)));
        let (before, after) = (Real::of(&records, &rules(current)), Real::of(&records, &rules(changed)));
        prop_assert_eq!(report.events, before.events);
        prop_assert_eq!(report.events, after.events);
        prop_assert_eq!((report.profiles.before, report.profiles.after), (before.profiles, after.profiles));
        let identifiers = (report.identifiers.before, report.identifiers.after);
        prop_assert_eq!(identifiers, (before.owners.len() as u64, after.owners.len() as u64));
        let unidentified = (report.unidentified.before, report.unidentified.after);
        prop_assert_eq!(unidentified, (before.unidentified, after.unidentified));
        let pairs: Vec<(ProfileId, ProfileId)> = before
            .owners
            .iter()
            .filter_map(|(identifier, from)| Some((*from, *after.owners.get(identifier)?)))
            .collect();
        prop_assert_eq!(report.merges, several(pairs.iter().map(|(from, to)| (*to, *from))));
        prop_assert_eq!(report.splits, several(pairs.iter().copied()));
        prop_assert_eq!(report.samples.len() as u64, (report.merges + report.splits).min(10));
        // Ids are the real ones.
        for cluster in &report.biggest_clusters {
            let id = cluster.profile_id.parse::<ProfileId>().expect("an id");
            let real: Vec<&String> =
                after.owners.iter().filter(|(_, owner)| **owner == id).map(|(text, _)| text).collect();
            prop_assert_eq!(cluster.size, real.len() as u64);
            prop_assert!(cluster.identifiers.iter().all(|text| real.contains(&text)));
        }
    }

    /// Rules that are not changed change nothing, whatever was ordered.
    #[test]
    fn the_same_rules_change_nothing(
        steps in proptest::collection::vec(step(), 1..60),
        number in 0..6u8,
    ) {
        let report = report(&log(&steps), rules(number), &order(rules(number)));
        prop_assert_eq!((report.merges, report.splits, report.samples.len()), (0, 0, 0));
        prop_assert_eq!(report.profiles.before, report.profiles.after);
        prop_assert_eq!(report.identifiers.before, report.identifiers.after);
        prop_assert_eq!(report.unidentified.before, report.unidentified.after);
    }
}

/// So many people to a profile.
fn people(count: u32) -> IdentityRules {
    let mut rules = IdentityRules::default();
    for rule in rules.namespaces.iter_mut().filter(|rule| rule.name == Namespace::USER_ID) {
        rule.limit.count = count;
    }
    rules
}

/// Three people on one device.
fn shared() -> Vec<Step> {
    let seen = |user| Step::Event(Sketch { user: Some(user), device: Some(1), ..event(user) });
    vec![seen(1), seen(2), seen(3)]
}

#[test]
fn a_report_shows_what_is_joined_and_by_what() {
    let report = report(&log(&shared()), people(1), &order(people(2)));
    let shown = serde_json::to_value(&report).expect("JSON");
    let u1 = crate::preview::Cluster {
        profile_id: hash_key().profile_id(ONE, &NodeKey::first_epoch(user("u1"))).to_string(),
        size: 3,
        identifiers: ["anonymous_id:d1", "user_id:u1", "user_id:u2"].map(str::to_owned).to_vec(),
    };
    let expected = serde_json::json!({
        "events": 3,
        "window": {"from": null, "until": null},
        "profiles": {"before": 3, "after": 2},
        "identifiers": {"before": 4, "after": 4},
        "merges": 1,
        "splits": 0,
        "unidentified": {"before": 0, "after": 0},
        "biggest_clusters": [u1, {
            "profile_id": hash_key().profile_id(ONE, &NodeKey::first_epoch(user("u3"))).to_string(),
            "size": 1,
            "identifiers": ["user_id:u3"],
        }],
        "busiest_identifiers": [{"identifier": "anonymous_id:d1", "profiles": 3}],
        "samples": [{
            "change": "merged",
            "before": shown["samples"][0]["before"],
            "after": [["anonymous_id:d1", "user_id:u1", "user_id:u2"]],
        }],
    });
    assert_eq!(shown, expected);
    let mut before = report.samples[0].before.clone();
    before.sort();
    assert_eq!(before, [vec!["anonymous_id:d1", "user_id:u1"], vec!["user_id:u2"]]);
    let debug = format!("{report:?}");
    assert!(!debug.contains("user_id"), "{debug}");
}

fn user(value: &str) -> Identifier {
    Identifier::parse(Namespace::USER_ID, value).expect("an id")
}

#[test]
fn a_window_takes_the_events_that_arrived_in_it() {
    let records = log(&shared());
    let arrived = |at: usize| Record::decode(&records[at]).expect("own bytes").envelope.received_at;
    let cases = [
        ("all", None, None, 3),
        ("from the second on", Some(arrived(1)), None, 2),
        ("before the third", None, Some(arrived(2)), 2),
        ("the second", Some(arrived(1)), Some(arrived(2)), 1),
        ("none", Some(arrived(2).plus_micros(1)), None, 0),
    ];
    for (name, from, until, events) in cases {
        let report = report(&records, people(1), &PreviewOrder { from, until, ..order(people(2)) });
        assert_eq!(report.events, events, "{name}");
        assert_eq!(report.window.from, from.map(|at| at.to_string()), "{name}");
    }
}

/// What people ordered holds under other rules too; where there is nothing to order it is passed over.
#[test]
fn commands_of_the_log_are_carried_out() {
    let joined = report(&log(&shared()), people(1), &order(people(5)));
    assert_eq!((joined.profiles.before, joined.profiles.after, joined.merges), (3, 1, 1));
    let device = Identifier::parse(Namespace::ANONYMOUS_ID, "d1").expect("an id");
    let sides = vec![vec![user("u1"), device], vec![user("u2")], vec![user("u3")]];
    let target = UnmergeTarget::Sides(sides);
    let action = Action::Unmerge { who: Who::Identifier(user("u1")), target, retake: false };
    let steps = shared().into_iter().chain([Step::Order { workspace: 1, action, later: 1 }]);
    let parted = report(&log(&steps.collect::<Vec<_>>()), people(1), &order(people(5)));
    assert_eq!((parted.profiles.before, parted.profiles.after, parted.merges), (3, 3, 0));
}

#[test]
fn a_preview_that_is_cancelled_leaves_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let parts = parts(&log(&shared()), directory.path(), people(1));
    // As a killed process would.
    std::fs::create_dir_all(parts.directory.join("left")).expect("a directory");
    let progress = PreviewProgress::default();
    progress.cancel();
    let cancelled = preview(&parts, &order(people(2)), &progress);
    assert!(matches!(cancelled, Err(PreviewError::Cancelled)), "{cancelled:?}");
    assert!(!parts.directory.exists());
}
