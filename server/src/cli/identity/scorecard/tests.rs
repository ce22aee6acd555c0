use super::measure::SharedIdentifier;
use super::play::{Played, PlayedEvent, PlayedIdentifier};
use super::*;
use std::collections::BTreeSet;
use tributary_model::{Identifier, Namespace, ProfileId};
use tributary_sample::Circumstance;

fn profile(number: u8) -> ProfileId {
    ProfileId([number; 16])
}

fn event(person: u64, on: u8, identifiers: &[usize]) -> PlayedEvent {
    PlayedEvent {
        person,
        circumstance: Circumstance::Shopper,
        shared_device: person == 2,
        profile: profile(on),
        identifiers: identifiers.to_vec(),
    }
}

fn identifier(namespace: Namespace, value: &str, people: &[u64], on: Option<u8>) -> PlayedIdentifier {
    PlayedIdentifier {
        identifier: Identifier::parse(namespace, value).expect("an identifier"),
        people: people.iter().copied().collect(),
        calls: 1,
        circumstance: Circumstance::Shopper,
        profile: on.map(profile),
    }
}

/// Person 1 is on profiles 1 (two devices and a user id) and 3 (an address); person 2 has a browser on profile 1.
fn played() -> Played {
    let identifiers = vec![
        identifier(Namespace::USER_ID, "u1", &[1], Some(1)),
        identifier(Namespace::ANONYMOUS_ID, "a1", &[1], Some(1)),
        identifier(Namespace::ANONYMOUS_ID, "a2", &[1], Some(1)),
        identifier(Namespace::EMAIL, "one@x.example", &[1], Some(3)),
        identifier(Namespace::ANONYMOUS_ID, "b1", &[2], Some(1)),
        identifier(Namespace::ANONYMOUS_ID, "tablet", &[1, 2], Some(1)),
        identifier(Namespace::USER_ID, "u2", &[2], None),
    ];
    let events = vec![
        event(1, 1, &[0, 1]),
        event(1, 1, &[0, 2]),
        event(1, 3, &[3]),
        event(1, 1, &[1, 5]),
        event(2, 1, &[4]),
        event(2, 1, &[4, 5]),
    ];
    Played { events, identifiers, unidentified: 1, profiles: 2 }
}

#[test]
fn the_figures_of_a_small_example_are_those_counted_by_hand() {
    let score = Score::of("a policy", &played());
    let pairs = score.identifier_pairs;
    // Profile 1 has u1, a1, a2 of person 1 and b1 of person 2; person 1 has four identifiers, person 2 has two.
    assert_eq!((pairs.on_one_profile, pairs.of_one_person, pairs.both, pairs.knowable), (6, 7, 3, 3));
    assert_eq!((pairs.rates.precision, pairs.rates.recall), (0.5, 3.0 / 7.0));
    assert_eq!((score.over_merged_profiles, score.over_merged_people), (1, 2));
    assert_eq!((score.split_people, score.needlessly_split_people), (1, 0));
    assert_eq!(score.joined_user_ids, 0);

    // Person 1: three events of five on profile 1, three of their four; one alone on profile 3. Person 2: two of five.
    let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-9, "{got} {want}");
    near(score.events.rates.precision, (3.0 * 0.6 + 1.0 + 2.0 * 0.4) / 6.0);
    near(score.events.rates.recall, (3.0 * 0.75 + 0.25 + 2.0) / 6.0);
    near(score.events_on_shared_devices.rates.precision, 0.4);
    assert_eq!((score.events.people, score.events.events, score.unidentified_events), (2, 6, 1));
    let shared: Vec<&SharedIdentifier> = score.shared_identifiers.iter().collect();
    assert!(matches!(shared[..], [tablet] if tablet.value == "tablet" && tablet.people == 2), "{shared:?}");
}

#[test]
fn a_tie_that_was_not_taken_splits_needlessly() {
    let mut played = played();
    played.events.push(event(1, 1, &[0, 3]));
    let score = Score::of("a policy", &played);
    assert_eq!((score.needlessly_split_people, score.identifier_pairs.knowable), (1, 6));
}

#[test]
fn two_user_ids_on_a_profile_are_seen() {
    let mut played = played();
    played.identifiers[6].profile = Some(profile(1));
    assert_eq!(Score::of("a policy", &played).joined_user_ids, 1);
}

#[test]
fn nothing_played_is_nothing_wrong() {
    let score = Score::of("a policy", &Played::default());
    assert_eq!((score.events.rates.precision, score.identifier_pairs.rates.recall), (1.0, 1.0));
}

#[test]
fn policies_differ_where_devices_are_shared_and_join_nobody() {
    let scorecard = score(400, 1).expect("played");
    assert_eq!(scorecard, score(400, 1).expect("played"), "the seed decides");
    let [first_owner, last_sign_in] = &scorecard.scores[..] else { panic!("two policies") };
    assert_eq!((first_owner.policy, last_sign_in.policy), ("first_owner", "last_sign_in"));
    for score in &scorecard.scores {
        assert_eq!(score.joined_user_ids, 0, "{}", score.policy);
        assert_eq!(score.unidentified_events, 0, "{}", score.policy);
        assert_eq!(score.events.people, 400, "{}", score.policy);
        let own = score.events_on_own_devices.rates;
        let shared = score.events_on_shared_devices.rates;
        assert!(own.precision > shared.precision, "{}: {own:?} {shared:?}", score.policy);
    }
    let precision = |score: &Score, circumstance: Circumstance| {
        let row = score.by_circumstance.iter().find(|row| row.circumstance == circumstance.name());
        row.expect("every circumstance is there").events.rates.precision
    };
    // Who signs in at a kiosk is who uses it next; who signs in on a friend's phone is not.
    let kiosk = Circumstance::Kiosk;
    assert!(precision(last_sign_in, kiosk) > precision(first_owner, kiosk), "{scorecard}");
    let lent = Circumstance::LentPhone;
    assert!(precision(last_sign_in, lent) < precision(first_owner, lent), "{scorecard}");

    // Every kind of sharing that the crowd knows was met, numbers and addresses too.
    let namespaces: BTreeSet<&str> =
        first_owner.shared_identifiers.iter().map(|shared| shared.namespace.as_str()).collect();
    let want = BTreeSet::from(["anonymous_id", "email", "ios.id", "phone", "user_id"]);
    assert_eq!(namespaces, want);
}

#[test]
fn text_plot_and_json_show_every_policy() {
    let scorecard = score(60, 2).expect("played");
    let text = scorecard.to_string();
    let plot = plot::draw(&scorecard);
    for shown in ["first_owner", "last_sign_in", "on shared devices", "kiosk"] {
        assert!(text.contains(shown), "{shown}: {text}");
        assert!(plot.contains(shown), "{shown}");
    }
    assert!(plot.starts_with("<svg") && plot.ends_with("</svg>\n"));
    let json = serde_json::to_value(&scorecard).expect("JSON");
    assert_eq!(json["scores"][1]["policy"], "last_sign_in");
    assert!(json["scores"][0]["events"]["precision"].is_number(), "{json}");
}

#[test]
fn the_flags_are_read() {
    #[derive(Debug, clap::Parser)]
    struct Read {
        #[command(flatten)]
        args: ScorecardArgs,
    }
    let read = |words: &[&str]| <Read as clap::Parser>::try_parse_from([&["scorecard"][..], words].concat());
    let args = read(&["--people", "50", "--json", "--svg", "plots"]).expect("flags").args;
    assert_eq!((args.people, args.seed, args.json), (50, 1, true));
    assert!(read(&["--people", "0"]).is_err());
}
