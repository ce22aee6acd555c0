//! The number of profiles that a day expects, against a slow resolver written for this test from the published
//! algorithm alone: look up the event's identifiers, join what they find if it fits the limits, else drop the
//! event's lowest identifier and try again.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use tributary_sample::{Config, Day};

type Identifier = (&'static str, String);

/// The default rules, highest priority first.
const LIMITS: [(&str, usize); 3] = [("user_id", 1), ("email", 5), ("anonymous_id", 5)];

#[derive(Default)]
struct Resolver {
    seen: HashSet<String>,
    profile_of: BTreeMap<Identifier, usize>,
    profiles: BTreeMap<usize, Profile>,
    next: usize,
}

#[derive(Default)]
struct Profile {
    identifiers: BTreeSet<Identifier>,
    events: u64,
    orders: u64,
    traits: BTreeMap<String, ((jiff::Timestamp, String), Value)>,
}

impl Resolver {
    fn post(&mut self, text: &str) {
        let body: Map<String, Value> = serde_json::from_str(text).expect("a JSON object");
        if !self.seen.insert(body["messageId"].as_str().expect("an id").to_owned()) {
            return;
        }
        let mut ids = identifiers(&body);
        let target = loop {
            assert!(!ids.is_empty(), "an event without identifiers: {text}");
            let found: BTreeSet<usize> =
                ids.iter().filter_map(|id| self.profile_of.get(id)).copied().collect();
            let mut union: BTreeSet<Identifier> = ids.iter().cloned().collect();
            for profile in &found {
                union.extend(self.profiles[profile].identifiers.iter().cloned());
            }
            let fits = LIMITS.iter().all(|(namespace, limit)| {
                union.iter().filter(|(have, _)| have == namespace).count() <= *limit
            });
            if fits || ids.len() == 1 {
                break self.join(&found, union);
            }
            ids.pop();
        };
        let profile = self.profiles.get_mut(&target).expect("just joined");
        profile.events += 1;
        profile.orders += u64::from(body["type"] == "track" && body["event"] == "Order Completed");
        if body["type"] == "identify" {
            let at = body["timestamp"].as_str().expect("a time").parse().expect("RFC 3339");
            let stamp: (jiff::Timestamp, String) = (at, body["messageId"].to_string());
            for (name, value) in body["traits"].as_object().expect("traits") {
                let newer = profile.traits.get(name).is_none_or(|(have, _)| *have < stamp);
                if newer {
                    profile.traits.insert(name.clone(), (stamp.clone(), value.clone()));
                }
            }
        }
    }

    fn join(&mut self, found: &BTreeSet<usize>, identifiers: BTreeSet<Identifier>) -> usize {
        let target = found.first().copied().unwrap_or_else(|| {
            self.next += 1;
            self.next
        });
        let mut joined = Profile::default();
        for profile in found {
            let old = self.profiles.remove(profile).expect("a live profile");
            joined.events += old.events;
            joined.orders += old.orders;
            for (name, entry) in old.traits {
                match joined.traits.get(&name) {
                    Some(have) if have.0 >= entry.0 => {}
                    _ => {
                        joined.traits.insert(name, entry);
                    }
                }
            }
        }
        for identifier in &identifiers {
            self.profile_of.insert(identifier.clone(), target);
        }
        joined.identifiers = identifiers;
        self.profiles.insert(target, joined);
        target
    }
}

fn identifiers(body: &Map<String, Value>) -> Vec<Identifier> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let email = |traits: Option<&Value>| {
        text(traits.and_then(|traits| traits.get("email"))).map(|email| email.trim().to_lowercase())
    };
    let mut found = Vec::new();
    found.extend(text(body.get("userId")).map(|id| ("user_id", id)));
    if body["type"] == "identify" {
        found.extend(email(body.get("traits")).map(|email| ("email", email)));
    }
    let in_context = body.get("context").and_then(|context| context.get("traits"));
    found.extend(email(in_context).map(|email| ("email", email)));
    found.extend(text(body.get("anonymousId")).map(|id| ("anonymous_id", id)));
    found
}

#[test]
fn expected_profiles_are_what_the_algorithm_leaves() {
    let cases = (0..40).map(|seed| (seed, 150, 2_000)).chain([
        (1, 300, 5_000),
        (2, 3_000, 40_000),
        (3, 1, 30),
        (4, 12, 1),
    ]);
    for (seed, people, events) in cases {
        let day_start = "2026-03-14T00:00:00Z".parse().expect("a time");
        let mut day = Day::new(Config { seed, people, events, day_start });
        let mut resolver = Resolver::default();
        for call in day.by_ref() {
            resolver.post(&call.body);
        }
        let want = day.expectation();
        assert_eq!(resolver.profiles.len() as u64, want.profiles, "seed {seed}, {people} people");
        assert_eq!(resolver.seen.len() as u64, want.distinct, "seed {seed}");
        let is_known =
            |profile: &Profile| profile.identifiers.iter().any(|(namespace, _)| *namespace == "user_id");
        let buyers = resolver.profiles.values().filter(|profile| profile.orders >= 2 && is_known(profile));
        assert_eq!(buyers.count() as u64, want.repeat_buyers, "seed {seed}, {people} people");

        let user_id = want.example.user_id().expect("the first person has a user id");
        let example = &resolver.profiles[&resolver.profile_of[&("user_id", user_id.to_owned())]];
        assert_eq!(example.identifiers, want.example.identifiers, "seed {seed}");
        assert_eq!(example.events, want.example.events, "seed {seed}");
        let traits: BTreeMap<String, Value> = example
            .traits
            .iter()
            .filter(|(_, (_, value))| !value.is_null())
            .map(|(name, (_, value))| (name.clone(), value.clone()))
            .collect();
        assert_eq!(traits, want.example.traits, "seed {seed}");
        assert_eq!(traits["loyalty_tier"], "silver");
        assert!(!traits.contains_key("coupon") && traits.contains_key("favourite_store"));
    }
}
