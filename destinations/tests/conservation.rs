//! Every activation ends in exactly one outcome, whatever receivers do and however often the engine crashes.

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, webhook};
use crate::receiver::{Receiver, Reply};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::outcome::Outcome;

/// How the receiver answers an event, attempt by attempt; after the last it takes it.
type Script = Vec<u16>;

#[derive(Debug, Clone)]
enum Step {
    Append { profile: Option<u8>, script: Script },
    Advance { seconds: i64 },
    Crash,
    Stop,
    OffAndOn,
    ResumeFromNow,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![4 => Just(500u16), 2 => Just(429), 1 => Just(404), 3 => Just(200)];
    let append = (proptest::option::weighted(0.8, 0u8..4), proptest::collection::vec(status, 0..4));
    prop_oneof![
        12 => append.prop_map(|(profile, script)| Step::Append { profile, script }),
        3 => (0i64..1200).prop_map(|seconds| Step::Advance { seconds }),
        2 => Just(Step::Crash),
        1 => Just(Step::Stop),
        1 => Just(Step::OffAndOn),
        1 => Just(Step::ResumeFromNow),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 100, ..ProptestConfig::default() })]

    #[test]
    fn every_activation_ends_in_exactly_one_outcome(steps in proptest::collection::vec(step(), 1..40)) {
        run(&steps);
    }
}

fn run(steps: &[Step]) {
    let scripts: BTreeMap<String, Script> = steps
        .iter()
        .zip(0..)
        .filter_map(|(step, number)| match step {
            Step::Append { script, .. } => Some((number_event(number), script.clone())),
            Step::Advance { .. } | Step::Crash | Step::Stop | Step::OffAndOn | Step::ResumeFromNow => None,
        })
        .collect();
    let answers = scripts.clone();
    let receiver = Receiver::start(move |seen| {
        Reply::status(answers[seen.text()].get(seen.repeats).copied().unwrap_or(200))
    });
    let mut bench = Bench::new();
    let mut config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    let mut profiles: BTreeMap<String, Option<u8>> = BTreeMap::new();
    let mut is_resumed = false;
    for (step, number) in steps.iter().zip(0..) {
        match step {
            Step::Append { profile, .. } => {
                profiles.insert(number_event(number), *profile);
                bench.append(WORKSPACE, *profile, &number_event(number));
            }
            Step::Advance { seconds } => bench.clock.advance_micros(seconds * SECOND),
            Step::Crash | Step::Stop => {
                if matches!(step, Step::Crash) {
                    bench.crash()
                } else {
                    bench.stop()
                }
                bench.start();
                bench.engine().apply(vec![config.clone()]);
            }
            Step::OffAndOn => {
                config.enabled = false;
                bench.engine().apply(vec![config.clone()]);
                config.enabled = true;
                bench.engine().apply(vec![config.clone()]);
            }
            Step::ResumeFromNow => {
                is_resumed = true;
                config.skip_through = Some(bench.last_position());
                bench.engine().apply(vec![config.clone()]);
            }
        }
    }
    let appended = profiles.len() as u64;
    wait(
        "every activation to end",
        || {
            bench.clock.advance_micros(60 * SECOND);
            bench.totals(1).ended_in_all() >= appended
        },
        || format!("{:?}", bench.status(1)),
    );
    bench.stop();
    bench.start();
    bench.engine().apply(vec![config]);
    bench.wait_status(1, "the durable state", |status| status.totals.taken == appended);
    check(&bench, &receiver, &scripts, &profiles, is_resumed);
}

fn check(
    bench: &Bench,
    receiver: &Receiver,
    scripts: &BTreeMap<String, Script>,
    profiles: &BTreeMap<String, Option<u8>>,
    is_resumed: bool,
) {
    let appended = profiles.len() as u64;
    let totals = bench.totals(1);
    assert_eq!((totals.taken, totals.ended_in_all(), bench.status(1).waiting), (appended, appended, 0));
    let seen = receiver.seen();
    let taken: BTreeSet<_> = seen.iter().filter(|r| r.answered == 200).map(|r| r.text().to_owned()).collect();
    let letters = bench.dead_letters(1);
    let dead: BTreeSet<_> =
        letters.iter().map(|letter| std::str::from_utf8(&letter.event).expect("text").to_owned()).collect();
    assert_eq!(letters.len(), dead.len(), "one dead letter each");
    assert_eq!(totals.ended(Outcome::DeadLetter), dead.len() as u64);
    assert_eq!(totals.ended(Outcome::Expired) + totals.ended(Outcome::DestinationDeleted), 0);
    // What a crash hid from the books may have been taken, and then passed over or refused when sent again.
    assert!(totals.ended(Outcome::Delivered) <= taken.len() as u64);
    for event in profiles.keys() {
        let is_ended = taken.contains(event) || dead.contains(event);
        assert!(is_ended || is_resumed, "{event} was neither taken nor given up: {:?}", scripts[event]);
    }
    if !is_resumed {
        assert_eq!(totals.ended(Outcome::Skipped), 0);
    }
    // In order within a profile: no first attempt before those before it have ended.
    for profile in profiles.values().flatten().collect::<BTreeSet<_>>() {
        let is_its = |text: &str| profiles[text] == Some(*profile);
        let mut first_seen = BTreeSet::new();
        let order: Vec<u64> = seen
            .iter()
            .filter(|r| is_its(r.text()) && first_seen.insert(r.text().to_owned()))
            .map(|r| number_of(r.text()))
            .collect();
        assert!(order.is_sorted(), "profile {profile}: {order:?}");
    }
}

fn number_of(event: &str) -> u64 {
    event.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}
