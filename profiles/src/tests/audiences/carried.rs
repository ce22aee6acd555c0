//! What activations carry of profiles, as far as destinations name it.

use super::*;
use std::collections::BTreeMap;
use tributary_model::activation::Carried;
use tributary_model::workspace::{ConsentRule, Destination, DestinationNeeds};
use tributary_model::{DestinationId, Workspace};

fn destination(traits: &[&str], audiences: &[&str], categories: &[&str]) -> Destination {
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Destination {
        id: DestinationId(1),
        definition: "webhook".to_owned(),
        name: "hook".to_owned(),
        enabled: false,
        settings: BTreeMap::new(),
        created_at: START,
        created_version: 1,
        resumed_version: None,
        mappings: None,
        mapping_numbers: 0,
        filters: Vec::new(),
        consent: ConsentRule { categories: names(categories), ..ConsentRule::default() },
        needs: DestinationNeeds { traits: names(traits), audiences: names(audiences) },
    }
}

/// Puts a version with this destination into force.
fn name(driver: &mut Driver, version: u64, destination: Destination) {
    let document = document(version, IdentityRules::default(), vec![repeat()]);
    let document = Workspace { destinations: vec![destination], ..document };
    driver.put(in_force(&document, driver.now));
    driver.settle();
    driver.told.clear();
}

/// What the activations since this was last asked carry.
fn carried(driver: &mut Driver) -> Vec<Carried> {
    let told = std::mem::take(&mut driver.told);
    told.into_iter().map(|told| told.header.carried).collect()
}

fn traits(values: &[(&str, Option<&str>)]) -> BTreeMap<Box<str>, Option<Box<str>>> {
    values.iter().map(|(name, value)| ((*name).into(), value.map(Into::into))).collect()
}

#[test]
fn activations_carry_what_destinations_name_as_it_is_with_them() {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    driver.send(EventKind::Identify, json!({"userId": "u1", "traits": {"plan": "pro", "secret": 1}}));
    assert!(
        carried(&mut driver).iter().all(|carried| *carried == Carried::default()),
        "nobody names anything"
    );
    name(&mut driver, 2, destination(&["plan", "orders", "none"], &["repeat", "gone"], &[]));
    driver.order("u1");
    driver.order("u1");
    let audiences = |is_in: bool| [("repeat".into(), is_in)].into();
    let with = |orders, is_in| Carried {
        traits: traits(&[("none", None), ("orders", Some(orders)), ("plan", Some("\"pro\""))]),
        audiences: audiences(is_in),
        consent: None,
    };
    // The second order makes it enter: its own activation says so, and so do the two that tell of it.
    let want = [with("1", false), with("2", true), with("2", true), with("2", true)];
    assert_eq!(carried(&mut driver), want);
    driver.write();
    driver.reopen();
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Seen"}));
    assert_eq!(carried(&mut driver), [with("2", true)], "a restart remembers what is named");
    name(&mut driver, 3, destination(&[], &[], &[]));
    driver.order("u1");
    assert_eq!(carried(&mut driver), [Carried::default()]);
}

/// A driver with a destination that needs these categories.
fn needing(categories: &[&str]) -> Driver {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    name(&mut driver, 2, destination(&[], &[], categories));
    driver
}

/// An event with these ids, and preferences if there are any.
fn seen(driver: &mut Driver, user: Option<&str>, device: Option<&str>, preferences: Option<Json>) {
    let consent = preferences.map(|preferences| json!({"categoryPreferences": preferences}));
    let context = json!({"consent": consent.unwrap_or(json!({}))});
    let body = json!({"userId": user, "anonymousId": device, "event": "Seen", "context": context});
    driver.send(EventKind::Track, body);
}

/// What the events since this was last asked carry of consent.
fn consent(driver: &mut Driver) -> Vec<Option<BTreeMap<Box<str>, bool>>> {
    let told = std::mem::take(&mut driver.told).into_iter();
    let events = told.filter(|told| told.header.kind == ActivationKind::Event);
    events.map(|told| told.header.carried.consent).collect()
}

fn of(values: &[(&str, bool)]) -> Option<BTreeMap<Box<str>, bool>> {
    Some(values.iter().map(|(name, granted)| ((*name).into(), *granted)).collect())
}

#[test]
fn consent_goes_with_every_activation_of_the_profile() {
    let mut driver = needing(&["ads", "analytics"]);
    let user = Some("u1");
    seen(&mut driver, user, None, None);
    seen(&mut driver, user, None, Some(json!({"ads": true, "other": true})));
    seen(&mut driver, user, None, None);
    seen(&mut driver, user, None, Some(json!({})));
    // Who said something, but nothing about a category, did not grant it.
    let (granted, refused) =
        (of(&[("ads", true), ("analytics", false)]), of(&[("ads", false), ("analytics", false)]));
    assert_eq!(consent(&mut driver), [of(&[]), granted.clone(), granted, refused]);
    seen(&mut driver, Some("u2"), None, Some(json!({"other": true})));
    seen(&mut driver, Some("u2"), None, None);
    let refused = of(&[("ads", false), ("analytics", false)]);
    assert_eq!(consent(&mut driver), [refused.clone(), refused]);
    seen(&mut driver, None, None, None);
    assert_eq!(consent(&mut driver), [None], "it has no profile");
}

#[test]
fn what_an_event_states_is_overruled_by_other_ids_of_its_profile_only() {
    let (grant, refusal, nothing) = (json!({"ads": true}), json!({"ads": false}), json!({}));
    let (user, device, other) = (Some("u1"), Some("d1"), Some("d2"));
    // (what it shows, events at one time, what the last one carries)
    let cases = [
        ("a refusal at the same time", vec![(user, None, Some(&refusal)), (user, None, Some(&grant))], true),
        ("it names nothing", vec![(user, None, Some(&grant)), (user, None, Some(&nothing))], false),
        (
            "a refusal of another device",
            vec![(None, device, Some(&refusal)), (user, device, None), (user, other, Some(&grant))],
            false,
        ),
        (
            "a refusal of its own device",
            vec![(None, device, Some(&refusal)), (user, other, None), (user, device, Some(&grant))],
            true,
        ),
        (
            "it states nothing",
            vec![(user, None, Some(&refusal)), (user, None, Some(&grant)), (user, None, None)],
            false,
        ),
    ];
    for (name, events, want) in cases {
        let mut driver = needing(&["ads"]);
        for (user, device, preferences) in events {
            seen(&mut driver, user, device, preferences.cloned());
        }
        assert_eq!(consent(&mut driver).pop().flatten(), of(&[("ads", want)]), "{name}");
    }
}

#[test]
fn what_keeps_one_event_back_is_remembered_for_the_next() {
    let user = Some("u1");
    let refusals = [
        json!({"ads": false}),
        json!({"ads": "false"}),
        json!({"ads": "true"}),
        json!({"ads": 0}),
        json!({"ads": null}),
        json!({}),
        json!([]),
        json!("x"),
    ];
    for refusal in refusals {
        let mut driver = needing(&["ads"]);
        seen(&mut driver, user, None, Some(json!({"ads": true})));
        seen(&mut driver, user, None, Some(refusal.clone()));
        seen(&mut driver, user, None, None);
        let (granted, refused) = (of(&[("ads", true)]), of(&[("ads", false)]));
        assert_eq!(consent(&mut driver), [granted, refused.clone(), refused.clone()], "{refusal}");
        // Nor does it count as if nothing had ever been said.
        seen(&mut driver, Some("u2"), None, Some(refusal.clone()));
        seen(&mut driver, Some("u2"), None, None);
        assert_eq!(consent(&mut driver), [refused.clone(), refused], "{refusal}");
    }
    let mut driver = needing(&["ads"]);
    seen(&mut driver, user, None, Some(json!({"ads": true})));
    seen(&mut driver, user, None, Some(json!(null)));
    assert_eq!(consent(&mut driver).pop().flatten(), of(&[("ads", true)]), "`null` says nothing");
}
