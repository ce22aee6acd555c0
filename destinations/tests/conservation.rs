//! Every activation ends in exactly one outcome, whatever receivers do and however often the engine crashes.

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, webhook_for};
use crate::receiver::{Receiver, Reply};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use tributary_destinations::DestinationConfig;
use tributary_destinations::overview::Step as Interval;
use tributary_model::DestinationId;
use tributary_model::activation::ActivationKind;
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;

/// How the receiver answers an event, attempt by attempt; after the last it takes it.
type Script = Vec<u16>;

/// What of the activations is sent, by the destination's settings.
const SENT: [&[&str]; 3] = [&["events", "profile_changes"], &["events"], &["profile_changes"]];

#[derive(Debug, Clone)]
enum Step {
    Append {
        profile: Option<u8>,
        script: Script,
    },
    /// A change of a profile, caused by the same record as what was appended last.
    Change {
        profile: u8,
        script: Script,
    },
    /// From now on this is sent.
    Send {
        sent: usize,
    },
    Advance {
        seconds: i64,
    },
    Crash,
    Stop,
    OffAndOn,
    ResumeFromNow,
}

fn step() -> impl Strategy<Value = Step> {
    let status = prop_oneof![4 => Just(500u16), 2 => Just(429), 1 => Just(404), 3 => Just(200)];
    let script = proptest::collection::vec(status, 0..4);
    let append = (proptest::option::weighted(0.8, 0u8..4), script.clone());
    prop_oneof![
        12 => append.prop_map(|(profile, script)| Step::Append { profile, script }),
        5 => (0u8..4, script).prop_map(|(profile, script)| Step::Change { profile, script }),
        1 => (0..SENT.len()).prop_map(|sent| Step::Send { sent }),
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
    fn every_activation_ends_in_exactly_one_outcome(
        sent in 0..SENT.len(),
        steps in proptest::collection::vec(step(), 1..40),
    ) {
        run(sent, &steps);
    }
}

/// What was appended, and under what.
#[derive(Default)]
struct Appended {
    scripts: BTreeMap<String, Script>,
    /// The profile of each, and what it is called in the setting.
    activations: BTreeMap<String, (Option<u8>, &'static str)>,
    /// What was sent for the whole time, and what for some of it.
    always: BTreeSet<&'static str>,
    sometimes: BTreeSet<&'static str>,
    is_resumed: bool,
    is_crashed: bool,
}

impl Appended {
    fn sending(&mut self, sent: &[&'static str]) {
        self.always.retain(|name| sent.contains(name));
        self.sometimes.extend(sent);
    }

    /// How many of the activations are of these names.
    fn count(&self, names: &BTreeSet<&str>) -> u64 {
        self.activations.values().filter(|(_, name)| names.contains(name)).count() as u64
    }
}

fn run(sent: usize, steps: &[Step]) {
    let mut appended = Appended { always: SENT[0].iter().copied().collect(), ..Appended::default() };
    appended.scripts = steps
        .iter()
        .zip(0..)
        .filter_map(|(step, number)| match step {
            Step::Append { script, .. } | Step::Change { script, .. } => {
                Some((number_event(number), script.clone()))
            }
            Step::Send { .. }
            | Step::Advance { .. }
            | Step::Crash
            | Step::Stop
            | Step::OffAndOn
            | Step::ResumeFromNow => None,
        })
        .collect();
    let answers = appended.scripts.clone();
    let receiver = Receiver::start(move |seen| {
        Reply::status(answers[seen.text()].get(seen.repeats).copied().unwrap_or(200))
    });
    let mut bench = Bench::new();
    let mut config = webhook_for(&receiver.url, SENT[sent]);
    appended.sending(SENT[sent]);
    bench.engine().apply(vec![config.clone()]);
    for (step, number) in steps.iter().zip(0..) {
        take(step, &number_event(number), &mut bench, &mut config, &mut appended);
    }
    let all = appended.activations.len() as u64;
    wait(
        "every activation to end",
        || {
            bench.clock.advance_micros(60 * SECOND);
            bench.totals(1).ended_in_all() >= all
        },
        || format!("{:?}", bench.status(1)),
    );
    bench.stop();
    bench.start();
    bench.engine().apply(vec![config]);
    bench.wait_status(1, "the durable state", |status| status.totals.taken == all);
    check(&bench, &receiver, &appended);
}

fn take(
    step: &Step,
    event: &str,
    bench: &mut Bench,
    config: &mut DestinationConfig,
    appended: &mut Appended,
) {
    match step {
        Step::Append { profile, .. } => {
            appended.activations.insert(event.to_owned(), (*profile, "events"));
            bench.append(WORKSPACE, *profile, event);
        }
        Step::Change { profile, .. } => {
            appended.activations.insert(event.to_owned(), (Some(*profile), "profile_changes"));
            bench.append_change(*profile, ActivationKind::ProfileMerged, event);
        }
        Step::Send { sent } => {
            appended.sending(SENT[*sent]);
            config.settings.insert("send".to_owned(), SENT[*sent].into());
            bench.engine().apply(vec![config.clone()]);
        }
        Step::Advance { seconds } => bench.clock.advance_micros(seconds * SECOND),
        Step::Crash | Step::Stop => {
            if matches!(step, Step::Crash) {
                appended.is_crashed = true;
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
            appended.is_resumed = true;
            config.skip_through = Some(bench.last_position());
            bench.engine().apply(vec![config.clone()]);
        }
    }
}

fn check(bench: &Bench, receiver: &Receiver, appended: &Appended) {
    let Appended { scripts, activations, always, sometimes, is_resumed, is_crashed } = appended;
    let all = activations.len() as u64;
    let totals = bench.totals(1);
    assert_eq!((totals.taken, totals.ended_in_all(), bench.status(1).waiting), (all, all, 0));
    check_counts(bench, all);
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
    for (event, (_, name)) in activations {
        let is_ended = taken.contains(event) || dead.contains(event);
        assert!(
            is_ended || *is_resumed || !always.contains(name),
            "{event} was neither taken nor given up: {:?}",
            scripts[event]
        );
    }
    assert!(
        seen.iter().all(|r| sometimes.contains(activations[r.text()].1)),
        "no request for what is left out"
    );
    let filtered = totals.ended(Outcome::Filtered);
    assert!(filtered <= all - appended.count(always), "{filtered} of what was always sent");
    if !is_resumed {
        assert_eq!(totals.ended(Outcome::Skipped), 0);
        assert!(filtered >= all - appended.count(sometimes), "{filtered} of what was never sent");
    }
    // In order within a profile: no first attempt before those before it have ended. What was left out until a crash hid that
    // from the books, and is sent by the settings of the next start, comes behind those that were sent before.
    for profile in activations.values().filter_map(|(profile, _)| *profile).collect::<BTreeSet<_>>() {
        let is_its = |text: &str| {
            let (of, name) = activations[text];
            of == Some(profile) && (!is_crashed || always.contains(name))
        };
        let mut first_seen = BTreeSet::new();
        let order: Vec<u64> = seen
            .iter()
            .filter(|r| is_its(r.text()) && first_seen.insert(r.text().to_owned()))
            .map(|r| number_of(r.text()))
            .collect();
        assert!(order.is_sorted(), "profile {profile}: {order:?}");
    }
}

/// What was received was left out, lost or mapped; what was mapped was taken or given up, as nothing waits.
fn check_counts(bench: &Bench, all: u64) {
    let now = bench.clock.now();
    let time = (now.plus_micros(-29 * 86_400 * SECOND), now.plus_micros(60 * SECOND));
    let overview = bench.engine().overview(WORKSPACE, DestinationId(1), time, Interval::Day);
    let flow = overview.expect("the store works").totals;
    let dead: u64 = flow.dead_letters.values().sum();
    let lost = flow.ended.get(&Outcome::Skipped).copied().unwrap_or(0);
    assert_eq!((flow.received, flow.ended.values().sum::<u64>()), (all, all), "{flow:?}");
    assert_eq!(flow.received, flow.filtered() + lost + flow.mapped, "{flow:?}");
    assert_eq!(flow.mapped, flow.delivered() + dead, "{flow:?}");
}

fn number_of(event: &str) -> u64 {
    event.chars().filter(char::is_ascii_digit).collect::<String>().parse().expect("a number")
}
