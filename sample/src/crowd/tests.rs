use super::*;
use serde_json::Value;

fn crowd(seed: u64, people: u64) -> Crowd {
    let first_day = "2026-03-02T00:00:00Z".parse().expect("a time");
    Crowd::new(CrowdConfig { seed, people, first_day })
}

fn body(call: &CrowdCall) -> Value {
    serde_json::from_str(&call.call.body).expect("a JSON object")
}

#[test]
fn the_same_seed_gives_the_same_calls() {
    let calls = |seed| crowd(seed, 200).collect::<Vec<_>>();
    assert_eq!(calls(7), calls(7));
    assert_ne!(calls(7), calls(8));
}

#[test]
fn everybody_is_there_in_order_and_under_every_circumstance() {
    for (seed, people) in [(1, 400), (2, 1), (3, 33)] {
        let calls: Vec<CrowdCall> = crowd(seed, people).collect();
        let seen: BTreeSet<u64> = calls.iter().map(|call| call.call.person).collect();
        assert_eq!(seen, (0..people).collect::<BTreeSet<u64>>(), "seed {seed}");
        assert!(calls.is_sorted_by_key(|call| call.posted_at), "seed {seed}");
        let circumstances: BTreeSet<Circumstance> = calls.iter().map(|call| call.circumstance).collect();
        if people > 32 {
            assert_eq!(circumstances, BTreeSet::from(Circumstance::ALL), "seed {seed}");
        }
    }
    assert_eq!(crowd(1, 0).next(), None);
}

#[test]
fn a_call_is_posted_when_it_says_or_later() {
    for call in crowd(4, 300) {
        let at: jiff::Timestamp =
            body(&call)["timestamp"].as_str().expect("a time").parse().expect("RFC 3339");
        assert_eq!(at + jiff::SignedDuration::from_millis(call.call.late_ms), call.posted_at);
    }
}

#[test]
fn a_device_is_shared_exactly_if_several_people_use_it() {
    let calls: Vec<CrowdCall> = crowd(1, 1_000).collect();
    let mut users: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for call in &calls {
        if let Some(device) = &call.call.device {
            users.entry(device).or_default().insert(call.call.person);
        }
    }
    for call in &calls {
        let several = call.call.device.as_deref().is_some_and(|device| users[device].len() > 1);
        assert_eq!(call.shared_device, several, "{:?}", call.circumstance);
    }
    let shared = users.values().filter(|users| users.len() > 1).count();
    assert!(shared > 30, "{shared} shared devices");
}

/// What the policies for shared devices differ in: somebody was signed in, and now somebody else is there unnamed.
#[test]
fn unnamed_calls_follow_the_sign_in_of_somebody_else() {
    let mut signed_in: BTreeMap<String, u64> = BTreeMap::new();
    let mut after: BTreeMap<Circumstance, [usize; 2]> = BTreeMap::new();
    for call in crowd(1, 1_000) {
        let Some(device) = call.call.device.clone() else { continue };
        if body(&call)["userId"].is_string() {
            signed_in.insert(device, call.call.person);
        } else if let Some(last) = signed_in.get(&device) {
            after.entry(call.circumstance).or_default()[usize::from(*last != call.call.person)] += 1;
        }
    }
    for circumstance in [Circumstance::Kiosk, Circumstance::KioskApp, Circumstance::LentPhone] {
        let [own, anothers] = after[&circumstance];
        assert!(own > 20 && anothers > 20, "{circumstance:?}: {own} and {anothers}");
    }
}

#[test]
fn a_user_id_is_one_persons_unless_somebody_made_a_mistake() {
    let mut people: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    for call in crowd(5, 1_000) {
        if let Some(user_id) = body(&call)["userId"].as_str() {
            people.entry(user_id.to_owned()).or_default().insert(call.call.person);
        }
    }
    for (user_id, people) in people {
        let mistake = user_id == "undefined" || user_id.starts_with("qa-tester-");
        assert_eq!(people.len() > 1, mistake, "{user_id}");
    }
}

/// What is held does not grow with the crowd.
#[test]
fn a_crowd_of_millions_streams() {
    let mut crowd = crowd(1, 3_000_000);
    for _ in 0..20_000 {
        crowd.next().expect("far from the end");
        assert!(crowd.day.len() < 6_000);
    }
}

#[test]
fn the_shares_add_up() {
    let all: BTreeSet<Circumstance> = (0..100).map(Circumstance::by_share).collect();
    assert_eq!(all, BTreeSet::from(Circumstance::ALL));
}
