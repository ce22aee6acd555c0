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

#[test]
fn consent_goes_with_every_activation_of_the_profile() {
    let mut driver = Driver::new();
    driver.define(vec![repeat()]);
    name(&mut driver, 2, destination(&[], &[], &["ads", "analytics"]));
    let consent = |driver: &mut Driver, preferences: Json| {
        let context = json!({"consent": {"categoryPreferences": preferences}});
        driver.send(EventKind::Track, json!({"userId": "u1", "event": "Chosen", "context": context}));
    };
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Seen"}));
    consent(&mut driver, json!({"ads": true, "other": true}));
    driver.send(EventKind::Track, json!({"userId": "u1", "event": "Seen"}));
    consent(&mut driver, json!({}));
    let said: Vec<_> = carried(&mut driver).into_iter().map(|carried| carried.consent).collect();
    let of = |values: &[(&str, bool)]| {
        Some(
            values
                .iter()
                .map(|(name, granted)| ((*name).into(), *granted))
                .collect::<BTreeMap<Box<str>, bool>>(),
        )
    };
    let refused = of(&[("ads", false), ("analytics", false)]);
    assert_eq!(said, [None, of(&[("ads", true)]), of(&[("ads", true)]), refused]);
}
