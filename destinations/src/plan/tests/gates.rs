//! The gates: what passes which one, and in which order they stand.

use super::*;
use proptest::prelude::*;
use tributary_model::outcome::Outcome::{
    Filtered, FilteredByConsent, FilteredByFilter, FilteredByIntegrations, FilteredByTrigger,
};

#[test]
fn gates_stand_in_their_order_and_say_what_left_something_out() {
    // Everything would leave this event out; gate after gate is opened.
    let event = r#"{"type":"track","event":"Seen","integrations":{"mine":false}}"#;
    let mut config = config();
    config.settings = [("send".to_owned(), json!(["profile_changes"]))].into();
    config.consent.categories = ["ads".to_owned()].into();
    config.filters = vec![filter("event = \"Seen\"", json!("drop"))];
    config.mappings = Some(vec![mapping(1, "whole", Some("event = \"Bought\""))]);
    let activation = activation(event);
    let check = |config: &DestinationConfig, activation: &Activation, outcome: Outcome, by: &str| {
        assert_eq!(left_out(config, activation), Some((outcome, by.to_owned())));
    };
    check(&config, &activation, Filtered, "settings: event is not sent");
    config.settings.clear();
    check(
        &config,
        &activation,
        FilteredByConsent,
        "consent: not known: the activation is from before a destination named a category",
    );
    let mut silent = activation.clone();
    silent.header.carried.consent = Some(BTreeMap::new());
    check(&config, &silent, FilteredByConsent, "consent: nothing was said about it");
    let mut granted = activation.clone();
    granted.header.carried.consent = Some([("ads".into(), true)].into());
    check(&config, &granted, FilteredByIntegrations, "integrations: the event leaves this destination out");
    config.consent.categories.clear();
    let mut open = activation;
    open.event = r#"{"type":"track","event":"Seen"}"#.into();
    check(&config, &open, FilteredByFilter, "filter \"the filter\"");
    config.filters.clear();
    check(&config, &open, FilteredByTrigger, "triggers: no mapping takes it");
    config.mappings = None;
    assert_eq!(left_out(&config, &open), None);
}

#[test]
fn only_clients_events_say_where_they_go_but_consent_is_about_everything() {
    let mut config = config();
    let mut told = activation(r#"{"type":"track","event":"Audience Entered","integrations":{"All":false}}"#);
    told.header.kind = ActivationKind::AudienceEntered;
    assert_eq!(left_out(&config, &told), None);
    config.consent.categories = ["ads".to_owned()].into();
    assert_eq!(left_out(&config, &told).map(|(outcome, _)| outcome), Some(FilteredByConsent));
    told.header.carried.consent = Some([("ads".into(), true)].into());
    assert_eq!(left_out(&config, &told), None);
}

#[test]
fn what_a_profile_had_said_is_not_known_of_old_activations_of_one() {
    let event = r#"{"type":"track","event":"Seen"}"#;
    // (what it shows, whether there is a profile, what is carried, passes where missing consent is open)
    type Case = (&'static str, bool, Option<&'static [(&'static str, bool)]>, bool);
    let cases: [Case; 5] = [
        ("old", true, None, false),
        ("nothing was ever said", true, Some(&[]), true),
        ("another category was named then", true, Some(&[("other", true)]), false),
        ("it was refused", true, Some(&[("ads", false)]), false),
        ("nobody's", false, None, true),
    ];
    for (name, is_somebodys, carried, want) in cases {
        let mut activation = activation(event);
        activation.header.profile = activation.header.profile.filter(|_| is_somebodys);
        activation.header.carried.consent =
            carried.map(|said| said.iter().map(|(name, granted)| ((*name).into(), *granted)).collect());
        let mut config = config();
        config.consent = ConsentRule { categories: ["ads".to_owned()].into(), missing: MissingConsent::Open };
        assert_eq!(left_out(&config, &activation).is_none(), want, "{name}");
        config.consent.missing = MissingConsent::Closed;
        assert!(left_out(&config, &activation).is_some(), "{name}");
    }
}

/// Which categories the destinations of the table need: `ads` by `facebook` and `google`, `analytics` by `amplitude`, nothing
/// by `plain`.
#[derive(Clone, Copy)]
enum Mapped {
    /// None of them needs anything.
    Nothing,
    /// Each needs its own.
    Single,
    /// `facebook` needs both.
    FacebookBoth,
}

fn categories(destination: &str, mapped: Mapped) -> &'static [&'static str] {
    match (mapped, destination) {
        (Mapped::Nothing, _) => &[],
        (Mapped::FacebookBoth, "facebook") => &["ads", "analytics"],
        (Mapped::Single, "facebook") | (_, "google") => &["ads"],
        (_, "amplitude") => &["analytics"],
        _ => &[],
    }
}

/// The destinations that are sent an event, and how it ends for the others.
fn delivered(
    (consent, integrations, mapped): (&str, &str, Mapped),
    missing: MissingConsent,
) -> (Vec<&'static str>, Vec<Outcome>) {
    let mut event = json!({"type": "track", "event": "Seen"});
    if !consent.is_empty() {
        event["context"]["consent"] = serde_json::from_str(consent).expect("JSON");
    }
    if !integrations.is_empty() {
        event["integrations"] = serde_json::from_str(integrations).expect("JSON");
    }
    let mut activation = activation(&event.to_string());
    activation.header.carried.consent = Some(BTreeMap::new());
    let (mut taken, mut outcomes) = (Vec::new(), Vec::new());
    for destination in ["facebook", "google", "amplitude", "plain"] {
        let mut config = config();
        config.name = destination.to_owned();
        config.consent.missing = missing;
        let needed = categories(destination, mapped);
        config.consent.categories = needed.iter().map(|name| (*name).to_owned()).collect();
        match left_out(&config, &activation) {
            None => taken.push(destination),
            Some((outcome, _)) => outcomes.push(outcome),
        }
    }
    (taken, outcomes)
}

const ABSENT: &str = "";
const NONE: &str = "{}";
const EMPTY: &str = r#"{"categoryPreferences":{}}"#;
const ADS: &str = r#"{"categoryPreferences":{"ads":true,"analytics":false}}"#;
const ANALYTICS: &str = r#"{"categoryPreferences":{"ads":false,"analytics":true}}"#;
const BOTH: &str = r#"{"categoryPreferences":{"ads":true,"analytics":true}}"#;
/// Every destination that is not named gets the event …
const FACEBOOK: &str = r#"{"facebook":true,"amplitude":false}"#;
/// … or none of them does.
const ONLY_FACEBOOK: &str = r#"{"All":false,"facebook":true,"amplitude":false}"#;
const NOT_FACEBOOK: &str = r#"{"facebook":false,"amplitude":false}"#;

/// What an event says of consent and of `integrations`, and which categories the destinations need; who gets it where missing
/// consent is closed, and who where it is open.
type Row = ((&'static str, &'static str, Mapped), &'static [&'static str], &'static [&'static str]);

/// The table of consent and `integrations` in
/// <https://www.twilio.com/docs/segment/privacy/consent-management/consent-in-segment-connections>, and what we do. There,
/// consent adds to who is listed in `integrations`; here it never does.
const TABLE: &[Row] = &[
    // Consent is absent or `{}`: the vendor sends to all; we where it is open.
    ((ABSENT, ABSENT, Mapped::Single), &["plain"], &["facebook", "google", "amplitude", "plain"]),
    ((NONE, ABSENT, Mapped::Single), &["plain"], &["facebook", "google", "amplitude", "plain"]),
    // Preferences that are empty refuse everything, as at the vendor's.
    ((EMPTY, ABSENT, Mapped::Single), &["plain"], &["plain"]),
    // Without consent, `integrations` decide; with us that is so where it is open.
    ((ABSENT, FACEBOOK, Mapped::Single), &["plain"], &["facebook", "google", "plain"]),
    ((ABSENT, ONLY_FACEBOOK, Mapped::Single), &[], &["facebook"]),
    // The vendor takes `{}` for refused where there are `integrations`, against its first row; we never do.
    ((NONE, FACEBOOK, Mapped::Single), &["plain"], &["facebook", "google", "plain"]),
    ((NONE, ONLY_FACEBOOK, Mapped::Single), &[], &["facebook"]),
    // The vendor sends to those that need nothing, listed or not; we only if `integrations` let them have it.
    ((EMPTY, FACEBOOK, Mapped::Single), &["plain"], &["plain"]),
    ((EMPTY, ONLY_FACEBOOK, Mapped::Single), &[], &[]),
    // Nothing is needed: all but those that `integrations` leave out.
    (
        (ADS, ABSENT, Mapped::Nothing),
        &["facebook", "google", "amplitude", "plain"],
        &["facebook", "google", "amplitude", "plain"],
    ),
    ((ADS, FACEBOOK, Mapped::Nothing), &["facebook", "google", "plain"], &["facebook", "google", "plain"]),
    ((ADS, ONLY_FACEBOOK, Mapped::Nothing), &["facebook"], &["facebook"]),
    ((ADS, NOT_FACEBOOK, Mapped::Nothing), &["google", "plain"], &["google", "plain"]),
    // What was said decides, whatever holds where nothing is said.
    ((ADS, ABSENT, Mapped::Single), &["facebook", "google", "plain"], &["facebook", "google", "plain"]),
    ((ADS, FACEBOOK, Mapped::Single), &["facebook", "google", "plain"], &["facebook", "google", "plain"]),
    // The vendor sends to google, too, though it is not listed; we don't.
    ((ADS, ONLY_FACEBOOK, Mapped::Single), &["facebook"], &["facebook"]),
    ((ADS, NOT_FACEBOOK, Mapped::Single), &["google", "plain"], &["google", "plain"]),
    // Who needs two categories needs both. The vendor sends to google again though it is not listed; we don't.
    ((ADS, FACEBOOK, Mapped::FacebookBoth), &["google", "plain"], &["google", "plain"]),
    ((ADS, ONLY_FACEBOOK, Mapped::FacebookBoth), &[], &[]),
    (
        (BOTH, FACEBOOK, Mapped::FacebookBoth),
        &["facebook", "google", "plain"],
        &["facebook", "google", "plain"],
    ),
    // The vendor sends to google, too; we don't.
    ((BOTH, ONLY_FACEBOOK, Mapped::FacebookBoth), &["facebook"], &["facebook"]),
    // Neither: facebook and google for want of consent, amplitude by `integrations`.
    ((ANALYTICS, FACEBOOK, Mapped::FacebookBoth), &["plain"], &["plain"]),
    ((ANALYTICS, ONLY_FACEBOOK, Mapped::FacebookBoth), &[], &[]),
];

#[test]
fn consent_and_integrations_are_two_gates() {
    for (number, (row, closed, open)) in (1..).zip(TABLE) {
        for (missing, want) in [(MissingConsent::Closed, closed), (MissingConsent::Open, open)] {
            let (taken, outcomes) = delivered(*row, missing);
            assert_eq!(taken, **want, "row {number}, {missing:?}");
            let both = [FilteredByConsent, FilteredByIntegrations];
            assert!(outcomes.iter().all(|outcome| both.contains(outcome)), "row {number}: {outcomes:?}");
        }
    }
    let (_, outcomes) = delivered((ANALYTICS, FACEBOOK, Mapped::FacebookBoth), MissingConsent::Open);
    assert_eq!(outcomes, [FilteredByConsent, FilteredByConsent, FilteredByIntegrations]);
}

#[test]
fn consent_that_cannot_be_read_is_refused_and_null_is_missing() {
    let refusing = [
        EMPTY,
        r#"{"categoryPreferences":[]}"#,
        r#"{"categoryPreferences":"x"}"#,
        r#"{"categoryPreferences":0}"#,
        r#"{"categoryPreferences":{"ads":"false","analytics":null}}"#,
        "[]",
        r#""x""#,
        "true",
    ];
    let missing = [ABSENT, NONE, "null", r#"{"categoryPreferences":null}"#];
    let everyone: &[&str] = &["facebook", "google", "amplitude", "plain"];
    for consent in refusing {
        for rule in [MissingConsent::Closed, MissingConsent::Open] {
            let (taken, _) = delivered((consent, ABSENT, Mapped::Single), rule);
            assert_eq!(taken, ["plain"], "{consent}, {rule:?}");
        }
    }
    for consent in missing {
        let taken = |rule| delivered((consent, ABSENT, Mapped::Single), rule).0;
        assert_eq!(taken(MissingConsent::Closed), ["plain"], "{consent}");
        assert_eq!(taken(MissingConsent::Open), everyone, "{consent}");
    }
    // What the profile granted before makes no difference to an event that refuses, but to one that says nothing.
    let mut config = config();
    config.consent.categories = ["ads".to_owned()].into();
    for (consent, is_refused) in
        refusing.into_iter().map(|consent| (consent, true)).chain([(NONE, false), ("null", false)])
    {
        let mut granted =
            activation(&format!(r#"{{"type":"track","event":"Seen","context":{{"consent":{consent}}}}}"#));
        granted.header.carried.consent = Some([("ads".into(), true)].into());
        let outcome = left_out(&config, &granted).map(|(outcome, _)| outcome);
        assert_eq!(outcome, is_refused.then_some(FilteredByConsent), "{consent}");
    }
}

proptest! {
    /// Whatever is said of consent: what `integrations` leave out is left out, and what a destination without a need is not
    /// sent, one with needs is not sent either.
    #[test]
    fn consent_never_widens(
        said in proptest::option::of(proptest::collection::btree_map("[ab]", any::<bool>(), 0..3)),
        integrations in proptest::option::of(
            proptest::collection::btree_map(prop_oneof![Just("All"), Just("mine"), Just("Sample")], any::<bool>(), 0..4),
        ),
        carried in proptest::option::of(proptest::collection::btree_map("[ab]", any::<bool>(), 0..3)),
        needed in proptest::collection::btree_set("[ab]", 0..3),
        missing in prop_oneof![Just(MissingConsent::Closed), Just(MissingConsent::Open)],
    ) {
        let mut event = json!({"type": "track", "event": "Seen"});
        if let Some(said) = &said {
            event["context"]["consent"]["categoryPreferences"] = json!(said);
        }
        if let Some(integrations) = &integrations {
            event["integrations"] = json!(integrations);
        }
        let mut activation = activation(&event.to_string());
        activation.header.carried.consent =
            carried.map(|carried| carried.into_iter().map(|(name, granted)| (name.into(), granted)).collect());
        let without = left_out(&config(), &activation);
        let mut with = config();
        let needs_something = !needed.is_empty();
        with.consent = ConsentRule { categories: needed, missing };
        let with = left_out(&with, &activation);
        prop_assert!(without.is_none() || with.is_some());
        let is_by_consent = with.is_some_and(|(outcome, _)| outcome == FilteredByConsent);
        let by_integrations = without.is_some_and(|(outcome, _)| outcome == FilteredByIntegrations);
        let all = integrations.as_ref().and_then(|said| said.get("All")).copied();
        let named = integrations.as_ref().and_then(|said| said.get("mine").or(said.get("Sample"))).copied();
        prop_assert_eq!(by_integrations, named.or(all) == Some(false));
        let carried = activation.header.carried.consent.as_ref();
        let is_unsaid = said.is_none() && carried.is_some_and(BTreeMap::is_empty);
        if is_unsaid && missing == MissingConsent::Open {
            prop_assert!(!is_by_consent);
        }
        // What can't be told is not sent.
        if needs_something && said.is_none() && carried.is_none() {
            prop_assert!(is_by_consent);
        }
    }
}
