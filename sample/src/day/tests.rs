use super::*;
use crate::call::{CallKind, Channel};
use std::collections::{BTreeMap, BTreeSet, HashMap};

fn day(seed: u64, people: u64, events: u64) -> Day {
    let day_start = "2026-03-14T00:00:00Z".parse().expect("a time");
    Day::new(Config { seed, people, events, day_start })
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let calls = |seed| day(seed, 80, 1_000).collect::<Vec<_>>();
    assert_eq!(calls(7), calls(7));
    assert_ne!(calls(7), calls(8));
}

#[test]
fn counts_are_as_asked() {
    let cases = [(1, 300, 5_000), (2, 1, 200), (3, 45, 700), (4, 1_000, 20_000)];
    for (seed, people, events) in cases {
        let mut day = day(seed, people, events);
        let calls: Vec<Call> = day.by_ref().collect();
        let got = day.expectation();
        assert_eq!(calls.len() as u64, events, "{people} people");
        assert_eq!((got.accepted, got.people), (events, people));
        assert_eq!(got.distinct + got.duplicates, got.accepted);
        let seen: BTreeSet<u64> = calls.iter().map(|call| call.person).collect();
        assert_eq!(seen.len() as u64, people, "everybody does something");
    }
}

#[test]
fn scenarios_are_played_whole_even_if_that_is_more_than_asked() {
    let mut day = day(1, 50, 10);
    let posted = day.by_ref().count() as u64;
    assert!(posted > 10);
    assert_eq!(posted, day.expectation().accepted);
}

#[test]
fn nobody_leaves_an_empty_day() {
    let mut day = day(1, 0, 100);
    assert_eq!(day.next(), None);
    assert_eq!(*day.expectation(), Expectation::default());
}

#[test]
fn a_day_has_everything_in_it() {
    let mut day = day(1, 300, 5_000);
    let calls: Vec<Call> = day.by_ref().collect();
    let channels: BTreeMap<Channel, usize> = Channel::ALL
        .map(|channel| (channel, calls.iter().filter(|call| call.channel == channel).count()))
        .into();
    assert!(channels.values().all(|&count| count > 200), "{channels:?}");
    let kinds: BTreeSet<CallKind> = calls.iter().map(|call| call.kind).collect();
    assert_eq!(kinds.len(), 6, "{kinds:?}");

    let want = day.expectation();
    assert!((50..200).contains(&want.duplicates), "{want:?}");
    assert!((50..500).contains(&want.late), "{want:?}");
    assert!(want.profiles > 250 && want.profiles < 400, "{want:?}");
    assert!((1..want.people).contains(&want.repeat_buyers), "{want:?}");
    assert_eq!(want.example.identifiers.len(), 4, "{want:?}");
}

#[test]
fn repeats_follow_what_they_repeat_and_ids_are_unique_otherwise() {
    let mut seen: HashMap<String, String> = HashMap::new();
    for call in day(5, 200, 4_000) {
        let body: serde_json::Value = serde_json::from_str(&call.body).expect("a JSON object");
        let id = body["messageId"].as_str().expect("an id").to_owned();
        match call.sending {
            Sending::First => assert_eq!(seen.insert(id, call.body), None),
            Sending::Repeat => assert_eq!(seen.get(&id), Some(&call.body)),
        }
    }
}

#[test]
fn everything_happens_within_the_day() {
    for seed in 0..4 {
        for call in day(seed, 400, 8_000) {
            let body: serde_json::Value = serde_json::from_str(&call.body).expect("a JSON object");
            let at = body["timestamp"].as_str().expect("a timestamp");
            let at: jiff::Timestamp = at.parse().expect("RFC 3339");
            assert!(at.to_string().starts_with("2026-03-14T"), "{at}");
        }
    }
}

#[test]
fn a_store_tablet_is_shared_by_many() {
    let mut people: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for call in day(1, 300, 5_000) {
        let body: serde_json::Value = serde_json::from_str(&call.body).expect("a JSON object");
        if let Some(id) = body["anonymousId"].as_str().filter(|id| id.starts_with("tablet-")) {
            people.entry(id.to_owned()).or_default().insert(call.person);
        }
    }
    assert_eq!(people.len(), 2, "two stores");
    assert!(people.values().all(|people| people.len() > 5), "{people:?}");
}

/// What is held does not grow with the day: a million people begin like three hundred do.
#[test]
fn a_day_of_millions_streams() {
    let mut day = day(1, 3_000_000, 60_000_000);
    for _ in 0..50_000 {
        day.next().expect("far from the end");
        assert!(day.wave.len() < 4_000);
    }
    assert_eq!(day.expectation().accepted, 50_000);
}
