//! Off and on, changed settings, deletion, and what retention takes.

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, webhook};
use crate::receiver::{Receiver, Reply};
use std::collections::BTreeSet;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use tributary_destinations::DestinationConfig;
use tributary_destinations::deliveries::Fate;
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, Position, WorkspaceId};

fn off(config: &DestinationConfig) -> DestinationConfig {
    DestinationConfig { enabled: false, ..config.clone() }
}

#[test]
fn off_parks_and_on_goes_on_without_loss() {
    // Each request has to be let through.
    let (let_through, gate) = mpsc::sync_channel::<u16>(2);
    let gate = Arc::new(Mutex::new(gate));
    let receiver =
        Receiver::start(move |_| Reply::status(gate.lock().expect("one at a time").recv().unwrap_or(200)));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    for number in 0..4 {
        bench.append(WORKSPACE, Some(1), &number_event(number));
    }
    let_through.send(200).expect("it listens");
    let_through.send(500).expect("it listens");
    bench.wait_status(1, "one to wait", |status| status.waiting == 3);
    bench.engine().apply(vec![off(&config)]);
    bench.wait_status(1, "it to be off", |status| !status.enabled);
    bench.append(WORKSPACE, Some(2), &number_event(4));
    bench.clock.advance_micros(600 * SECOND);
    bench.stop();
    bench.start();
    bench.engine().apply(vec![off(&config)]);
    bench.wait_status(1, "its state", |status| status.waiting == 3 && !status.enabled);
    assert_eq!(receiver.seen().len(), 2, "nothing is sent while it is off");
    drop(let_through);
    bench.engine().apply(vec![config]);
    bench.wait_delivered(1, 5);
    let of_profile: Vec<_> = receiver
        .seen()
        .iter()
        .filter(|request| request.answered == 200 && request.text() != number_event(4))
        .map(|request| request.text().to_owned())
        .collect();
    assert_eq!(of_profile, [0, 1, 2, 3].map(number_event));
}

#[test]
fn resumed_from_now_it_passes_over_what_was_not_delivered() {
    let receiver =
        Receiver::start(|seen| Reply::status(if seen.text() == number_event(1) { 500 } else { 200 }));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    for number in 0..3 {
        bench.append(WORKSPACE, Some(1), &number_event(number));
    }
    bench.wait_status(1, "two to wait", |status| status.waiting == 2);
    bench.engine().apply(vec![off(&config)]);
    bench.append_numbers(10..30);
    let resumed = DestinationConfig { skip_through: Some(bench.last_position()), ..config };
    bench.engine().apply(vec![resumed.clone()]);
    bench.append(WORKSPACE, Some(1), &number_event(99));
    bench.wait_status(1, "the new one", |status| {
        status.totals.ended(Outcome::Delivered) == 2 && status.cursor == 24
    });
    assert_eq!(bench.totals(1).ended(Outcome::Skipped), 22);
    assert_eq!(bench.totals(1).taken, 24);
    assert_eq!(bench.status(1).waiting, 0);
    let seen: Vec<_> = receiver.seen().iter().map(|request| request.text().to_owned()).collect();
    assert!(!seen.contains(&number_event(2)) && !seen.contains(&number_event(15)), "{seen:?}");
    bench.stop();
    bench.start();
    bench.engine().apply(vec![resumed]);
    bench.append(WORKSPACE, Some(1), &number_event(100));
    bench.wait_delivered(1, 3);
    assert_eq!(bench.totals(1).ended(Outcome::Skipped), 22, "passed over once");
}

#[test]
fn changed_settings_apply_to_later_attempts() {
    let broken = Receiver::start(|_| Reply::status(500));
    let repaired = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &broken.url)]);
    bench.append_numbers(0..3);
    bench.wait_status(1, "three to wait", |status| status.waiting == 3);
    bench.engine().apply(vec![webhook(1, &repaired.url)]);
    bench.append_numbers(3..4);
    // The new one shows that the settings are in force: what was sent before that would fail, and wait once more.
    bench.wait_delivered(1, 1);
    bench.clock.advance_micros(600 * SECOND);
    bench.wait_delivered(1, 4);
    assert_eq!(repaired.seen().len(), 4);
}

#[test]
fn settings_that_cannot_be_used_hold_everything_back() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, "not a url")]);
    bench.append_numbers(0..3);
    bench.wait_status(1, "a problem", |status| status.problem.is_some());
    let problem = bench.status(1).problem.expect("a problem");
    assert!(problem.contains("url") && !problem.contains("not a url"), "{problem}");
    let since = bench.clock.now();
    bench.wait_status(1, "what waits", |status| status.oldest_pending == Some(since));
    assert_eq!(bench.status(1).behind, 3);
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.wait_delivered(1, 3);
    assert_eq!(bench.status(1).problem, None);
}

#[test]
fn what_one_that_is_off_has_not_read_is_told_and_since_when_it_waits() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    bench.append_numbers(0..2);
    bench.wait_delivered(1, 2);
    bench.engine().apply(vec![off(&config)]);
    bench.wait_status(1, "it to be off", |status| !status.enabled);
    assert_eq!((bench.status(1).behind, bench.status(1).oldest_pending), (0, None));
    bench.clock.advance_micros(SECOND);
    bench.append(WorkspaceId(2), None, "{}");
    bench.clock.advance_micros(SECOND);
    let since = bench.clock.now();
    bench.append_numbers(2..4);
    bench.clock.advance_micros(SECOND);
    bench.append_numbers(4..6);
    assert_eq!(bench.status(1).behind, 5, "at once, those of other workspaces included");
    bench.wait_status(1, "the first of its own", |status| status.oldest_pending == Some(since));
    bench.engine().apply(vec![config]);
    bench.wait_delivered(1, 6);
    bench.wait_status(1, "nothing to wait", |status| status.oldest_pending.is_none() && status.behind == 0);
}

#[test]
fn what_became_of_each_delivery_of_a_deleted_destination_is_told() {
    let receiver =
        Receiver::start(|seen| Reply::status(if seen.text() == number_event(0) { 200 } else { 500 }));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    bench.append(WORKSPACE, Some(1), &number_event(0));
    bench.append(WORKSPACE, Some(2), &number_event(1));
    // Never tried: it waits behind the one before it.
    bench.append(WORKSPACE, Some(2), &number_event(2));
    bench.wait_status(1, "two to wait", |status| {
        status.waiting == 2 && status.totals.ended(Outcome::Delivered) == 1
    });
    bench.engine().apply(vec![off(&config)]);
    bench.wait_status(1, "it to be off", |status| !status.enabled);
    // Never read.
    bench.append(WORKSPACE, Some(3), &number_event(3));
    bench.engine().apply(Vec::new());
    let is_gone = || bench.engine().status(WORKSPACE, DestinationId(1)).is_none();
    wait("its end", is_gone, String::new);
    bench.append(WORKSPACE, Some(3), &number_event(4));
    bench.stop();
    bench.start();
    bench.engine().apply(Vec::new());
    let deleted = Fate::Ended(Outcome::DestinationDeleted);
    let fates = [Fate::Delivered, deleted.clone(), deleted.clone(), deleted, Fate::NotIts];
    let ids: BTreeSet<String> = (1..)
        .zip(fates)
        .map(|(position, want)| {
            let explained = bench.engine().explain(WORKSPACE, Position::at(position)).expect("readable");
            assert_eq!(explained.len(), 1, "{position}");
            assert_eq!(
                (explained[0].destination, &explained[0].fate),
                (DestinationId(1), &want),
                "{position}"
            );
            explained[0].delivery_id.clone()
        })
        .collect();
    assert_eq!(ids.len(), 5);
    // Behind a dot stands which mapping it was.
    let is_told = |id: &str| id.split('.').next().is_some_and(|id| ids.contains(id));
    assert!(receiver.seen().iter().all(|request| is_told(request.id())), "the ids that were sent");
}

#[test]
fn a_deleted_destination_is_gone_for_good() {
    let receiver = Receiver::start(|_| Reply::status(500));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url), webhook(2, &receiver.url)]);
    bench.append_numbers(0..3);
    bench.wait_status(1, "three to wait", |status| status.waiting == 3);
    bench.wait_status(2, "three to wait", |status| status.waiting == 3);
    bench.engine().apply(vec![webhook(2, &receiver.url)]);
    let is_gone = |bench: &Bench| bench.engine().status(WORKSPACE, webhook(1, "").id).is_none();
    wait("its end", || is_gone(&bench), String::new);
    bench.stop();
    bench.start();
    // Deleted while the engine did not run.
    bench.engine().apply(Vec::new());
    let is_gone = |bench: &Bench| bench.engine().status(WORKSPACE, webhook(2, "").id).is_none();
    wait("the other's end", || is_gone(&bench), String::new);
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.wait_status(1, "the refusal", |status| status.problem.is_some());
}

#[test]
fn what_retention_takes_is_counted_and_the_rest_goes_on() {
    let receiver = Receiver::start(|_| Reply::status(500));
    let mut bench = Bench::new();
    let config = webhook(1, &receiver.url);
    bench.engine().apply(vec![config.clone()]);
    bench.append_numbers(0..5);
    bench.wait_status(1, "five to wait", |status| status.waiting == 5);
    bench.engine().apply(vec![off(&config)]);
    bench.wait_status(1, "it to be off", |status| !status.enabled);
    bench.append_numbers(5..20);
    bench.log.expire_before(12);
    receiver.behave(|_| Reply::status(200));
    bench.clock.advance_micros(600 * SECOND);
    bench.engine().apply(vec![config]);
    bench.wait_status(1, "all to end", |status| status.totals.ended_in_all() == 20);
    assert_eq!(bench.totals(1).ended(Outcome::Expired), 12, "five that waited, seven not read");
    assert_eq!(bench.delivered(1), 8);
    assert_eq!(bench.totals(1).taken, 20);
}
