//! Events that become too old for their vendor while they wait.

use crate::harness::{Bench, DAY, SECOND, WORKSPACE, wait, wait_outage};
use crate::receiver::{Receiver, Reply};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tributary_destinations::DestinationConfig;
use tributary_destinations::failure::Reason;
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, Position};

const ID: DestinationId = DestinationId(1);

/// A receiver that answers with a status that can be changed.
fn receiver(status: u16) -> (Receiver, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(status));
    let now = Arc::clone(&status);
    (Receiver::start(move |_| Reply::status(now.load(Ordering::SeqCst))), status)
}

/// A stream of Google Analytics, which takes what is up to three days old.
fn analytics(receiver: &Receiver) -> DestinationConfig {
    let endpoint = receiver.url.trim_end_matches("/hook");
    let settings =
        [("measurement_id", "G-AB12CD34EF"), ("api_secret", "s3cretKey_9"), ("endpoint", endpoint)];
    let settings = settings.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
    DestinationConfig {
        settings: settings.collect(),
        ..DestinationConfig::new(WORKSPACE, ID, "google_analytics_4", Position::at(0))
    }
}

/// Appends events of now, each of a person of its own.
fn append(bench: &mut Bench, numbers: std::ops::Range<u8>) {
    for number in numbers {
        let event = format!(
            r#"{{"type":"track","event":"Song Played","anonymousId":"a-{number}","timestamp":"{}"}}"#,
            bench.clock.now()
        );
        bench.append(WORKSPACE, Some(number), &event);
    }
}

/// Waits until all of so many events have been given up as too old.
fn wait_too_old(bench: &Bench, count: usize) {
    wait(
        "dead letters",
        || bench.dead_letters(1).len() == count,
        || format!("{} and {:?}", bench.dead_letters(1).len(), bench.status(1)),
    );
    for letter in bench.dead_letters(1) {
        assert_eq!(letter.reason_code, Reason::TooOld, "{}", letter.reason);
        assert!(letter.reason.contains("more than 72 hours old"), "{}", letter.reason);
    }
}

#[test]
fn what_became_too_old_in_a_pause_is_refused_whether_it_was_tried_before_or_not() {
    let (receiver, status) = receiver(401);
    let mut bench = Bench::new();
    bench.engine().apply(vec![analytics(&receiver)]);
    append(&mut bench, 0..1);
    bench.wait_status(1, "a pause", |status| status.under_way == 0 && status.paused.is_some());
    append(&mut bench, 1..2);
    bench.wait_status(1, "the second one", |status| status.cursor + status.behind == 2);
    let asked = receiver.seen().len();
    bench.clock.advance_micros(3 * DAY + SECOND);
    status.store(204, Ordering::SeqCst);
    assert!(bench.engine().resume(WORKSPACE, ID));
    wait_too_old(&bench, 2);
    assert_eq!(receiver.seen().len(), asked, "nothing of it was sent");
    append(&mut bench, 2..3);
    bench.wait_delivered(1, 1);
    assert_eq!(bench.totals(1).ended(Outcome::DeadLetter), 2);
}

#[test]
fn an_outage_is_not_drawn_out_by_what_became_too_old_in_it() {
    let (receiver, status) = receiver(503);
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.outage_failures = 3;
    bench.start();
    bench.engine().apply(vec![analytics(&receiver)]);
    append(&mut bench, 0..20);
    wait_outage(&bench);
    // From here on time stands still, and so do probes.
    bench.wait_status(1, "the next probe", |status| {
        let probes_at = status.paused.as_ref().and_then(|paused| paused.probes_at);
        status.under_way == 0 && probes_at.is_some_and(|at| at > bench.clock.now())
    });
    let asked = receiver.seen().len();
    bench.clock.advance_micros(3 * DAY + SECOND);
    wait_too_old(&bench, 20);
    assert_eq!(receiver.seen().len(), asked, "nothing of it was sent");
    status.store(204, Ordering::SeqCst);
    append(&mut bench, 20..21);
    bench.wait_delivered(1, 1);
    assert_eq!(bench.status(1).paused, None);
}
