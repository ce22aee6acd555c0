//! Pauses: credentials that are refused, outages, and how they end.

use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, wait_outage, wait_paused, webhook};
use crate::receiver::{Nobody, Receiver, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use tributary_destinations::PauseReason;
use tributary_destinations::deliveries::Fate;
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

#[test]
fn refused_credentials_pause_until_somebody_resumes() {
    let (receiver, status) = receiver(401);
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..5);
    wait_paused(&bench, PauseReason::Credentials);
    let paused = bench.status(1).paused.expect("it is paused");
    assert_eq!((paused.failure.status, paused.probes_at), (Some(401), None));
    let asked = receiver.seen().len();
    assert!(asked <= 5, "nothing is spent on it: {asked}");
    // What waits for the end of the pause has been due since it came.
    let now = bench.clock.now();
    assert_eq!(bench.status(1).next_due, Some(now));
    let fates = bench.engine().explain(WORKSPACE, Position::at(1)).expect("the store works");
    assert!(matches!(fates[0].fate, Fate::Waiting { due, .. } if due == now), "{fates:?}");
    // Neither time nor a restart changes that.
    bench.clock.advance_micros(20 * 86_400 * SECOND);
    bench.append_numbers(5..8);
    bench.crash();
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    wait_paused(&bench, PauseReason::Credentials);
    bench.wait_status(1, "the new ones", |status| status.cursor + status.behind == 8);
    assert_eq!(receiver.seen().len(), asked);
    assert!(bench.dead_letters(1).is_empty());
    status.store(200, Ordering::SeqCst);
    assert!(bench.engine().resume(WORKSPACE, ID));
    bench.wait_delivered(1, 8);
    assert_eq!(bench.status(1).paused, None);
    assert!(!bench.engine().resume(WORKSPACE, DestinationId(9)), "there is no such destination");
}

#[test]
fn other_settings_end_a_pause_that_credentials_caused() {
    let (refusing, _) = receiver(401);
    let (taking, _) = receiver(200);
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &refusing.url)]);
    bench.append_numbers(0..3);
    wait_paused(&bench, PauseReason::Credentials);
    let mut renamed = webhook(1, &refusing.url);
    renamed.name = "another name".to_owned();
    bench.engine().apply(vec![renamed]);
    wait_paused(&bench, PauseReason::Credentials);
    bench.engine().apply(vec![webhook(1, &taking.url)]);
    bench.wait_delivered(1, 3);
    assert_eq!(bench.status(1).paused, None);
}

#[test]
fn an_outage_pauses_and_ends_by_itself() {
    let (receiver, status) = receiver(503);
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..30);
    wait_outage(&bench);
    let paused = bench.status(1).paused.expect("it is paused");
    // Time may have passed on to the probe since, or over it.
    assert!(paused.probes_at.is_some_and(|at| at > paused.since), "{paused:?}");
    bench.stop();
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    wait_paused(&bench, PauseReason::Outage);
    status.store(200, Ordering::SeqCst);
    wait(
        "the rest",
        || {
            bench.clock.advance_micros(SECOND);
            bench.delivered(1) == 30
        },
        || format!("{:?}", bench.status(1)),
    );
    assert_eq!(bench.status(1).paused, None);
    assert_eq!(bench.totals(1).taken, 30);
}

#[test]
fn a_receiver_that_says_when_it_will_be_back_is_out_as_well() {
    let receiver = Receiver::start(|_| {
        let headers = vec![("retry-after", "2".to_owned())];
        Reply { headers, body: "we are at work".to_owned(), ..Reply::status(503) }
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..30);
    let step = || bench.clock.advance_micros(SECOND);
    let state = || format!("{:?}", bench.status(1));
    wait_outage(&bench);
    // Another answer of that kind does not end it.
    let probes_at = || bench.status(1).paused.and_then(|paused| paused.probes_at);
    let (asked, first) = (receiver.seen().len(), probes_at());
    wait(
        "a probe",
        || {
            step();
            receiver.seen().len() > asked
        },
        state,
    );
    wait("its failure on record", || probes_at() > first, state);
    wait_paused(&bench, PauseReason::Outage);
    receiver.behave(|_| Reply::status(200));
    wait(
        "the rest",
        || {
            step();
            bench.delivered(1) == 30
        },
        state,
    );
    assert_eq!(bench.status(1).paused, None);
}

#[test]
fn one_delivery_alone_shows_that_nobody_is_there() {
    let nobody = Nobody::start();
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &nobody.url)]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    // Time passes only while nothing is due: a clock that ran ahead of the attempts would pass the end of trying.
    wait(
        "a pause",
        || {
            let status = bench.status(1);
            if status.under_way == 0 && status.next_due.is_some_and(|due| due > bench.clock.now()) {
                bench.clock.advance_micros(60 * SECOND);
            }
            status.paused.is_some()
        },
        || format!("{:?}", bench.status(1)),
    );
    wait_paused(&bench, PauseReason::Outage);
}

#[test]
fn without_a_token_everything_waits() {
    let (endpoint, _) = receiver(404);
    let taking = Receiver::taking();
    let mut config = webhook(1, &taking.url);
    let settings = [
        ("oauth_token_url", endpoint.url.as_str()),
        ("oauth_client_id", "ada"),
        ("oauth_client_secret", "a-long-secret"),
    ];
    config.settings.extend(settings.map(|(name, value)| (name.to_owned(), value.into())));
    let mut bench = Bench::new();
    bench.engine().apply(vec![config]);
    bench.append_numbers(0..30);
    wait_outage(&bench);
    let failure = bench.status(1).paused.expect("it is paused").failure;
    assert_eq!((failure.reason, failure.status), (Reason::TokenEndpoint, None), "{failure:?}");
    assert!(taking.seen().is_empty() && bench.dead_letters(1).is_empty());
    endpoint.behave(|_| {
        let body = r#"{"access_token":"token","token_type":"bearer","expires_in":"3600"}"#.to_owned();
        Reply { body, ..Reply::status(201) }
    });
    wait(
        "all of them",
        || {
            bench.clock.advance_micros(SECOND);
            bench.delivered(1) == 30
        },
        || format!("{:?}", bench.status(1)),
    );
}

#[test]
fn a_pause_uses_up_none_of_the_time_of_deliveries() {
    let (receiver, status) = receiver(401);
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    wait_paused(&bench, PauseReason::Credentials);
    // Longer than deliveries are tried.
    bench.clock.advance_micros(8 * 86_400 * SECOND);
    status.store(500, Ordering::SeqCst);
    let before = receiver.seen().len();
    bench.engine().resume(WORKSPACE, ID);
    receiver.wait_for(before + 1);
    // Before the pause was ended, it waited as well.
    bench.wait_status(1, "the failure on record", |status| {
        status.paused.is_none() && status.under_way == 0 && status.waiting + status.totals.ended_in_all() == 1
    });
    assert_eq!(bench.totals(1).ended(Outcome::DeadLetter), 0, "it has not been tried for seven days");
    status.store(200, Ordering::SeqCst);
    wait(
        "its delivery",
        || {
            bench.clock.advance_micros(SECOND);
            bench.delivered(1) == 1
        },
        || format!("{:?}", bench.status(1)),
    );
}
