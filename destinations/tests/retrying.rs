//! What happens after failures.

use crate::harness::{Bench, DAY, SECOND, WORKSPACE, limits, number_event, wait, webhook};
use crate::receiver::{Receiver, Reply};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;

/// Longer than any backoff.
const BEYOND_CAP: i64 = 600 * SECOND;

#[test]
fn failures_that_may_pass_are_tried_again_under_the_same_id() {
    let answers = [500, 503, 408, 429, 502, 200];
    let receiver = Receiver::start(move |seen| Reply::status(answers[seen.repeats]));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(1), "{}");
    for attempt in 1..answers.len() {
        receiver.wait_for(attempt);
        bench.wait_status(1, "the failure on record", |status| status.waiting == 1);
        wait(
            "the next attempt",
            || {
                bench.clock.advance_micros(SECOND);
                receiver.seen().len() > attempt
            },
            || format!("{:?}", bench.status(1)),
        );
    }
    bench.wait_delivered(1, 1);
    let seen = receiver.seen();
    assert_eq!(seen.len(), answers.len());
    assert!(seen.iter().all(|request| request.id() == seen[0].id()));
    let times: Vec<i64> =
        seen.iter().filter_map(|request| request.header("webhook-timestamp").parse().ok()).collect();
    assert!(times.is_sorted() && times.last() > times.first(), "each attempt has its own time: {times:?}");
    assert_eq!(bench.status(1).last_error, None);
    assert!(bench.dead_letters(1).is_empty());
}

#[test]
fn after_seven_days_a_delivery_is_given_up_across_restarts_too() {
    let receiver = Receiver::start(|_| Reply { body: "out of order".to_owned(), ..Reply::status(500) });
    let mut bench = Bench::new();
    let began = bench.clock.now();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(1), "{}");
    for round in 1.. {
        bench.wait_quiet(1);
        if bench.totals(1).ended(Outcome::DeadLetter) == 1 {
            break;
        }
        if round % 10 == 0 {
            if round % 20 == 0 {
                bench.stop()
            } else {
                bench.crash()
            }
            bench.start();
            bench.engine().apply(vec![webhook(1, &receiver.url)]);
            bench.wait_quiet(1);
        }
        bench.clock.advance_micros(DAY / 8);
    }
    let letters = bench.dead_letters(1);
    let letter = &letters[0];
    assert_eq!(letter.first_attempt, Some(began));
    let last = letter.last_attempt.expect("it was tried");
    assert_eq!(last.micros_since(began), 7 * DAY, "one last attempt at the deadline");
    assert_eq!(letter.attempts as usize, receiver.seen().len());
    assert_eq!((letter.status, letter.reason.as_str()), (Some(500), "answered 500"));
    assert_eq!(letter.response.as_ref().map(|response| response.body.as_str()), Some("out of order"));
    assert_eq!(bench.totals(1).taken, 1);
}

#[test]
fn retry_after_is_honoured() {
    for form in ["seconds", "date"] {
        let mut bench = Bench::new();
        let clock = Arc::clone(&bench.clock);
        clock.set(clock.now().floor_to_millis());
        let receiver = Receiver::start(move |seen| {
            if seen.repeats > 0 || seen.text() == "{}" {
                return Reply::status(200);
            }
            let value = match form {
                "seconds" => "3600".to_owned(),
                _ => http_date(clock.now().as_micros().div_euclid(SECOND) + 3600),
            };
            Reply { headers: vec![("retry-after", value)], ..Reply::status(429) }
        });
        bench.engine().apply(vec![webhook(1, &receiver.url)]);
        let began = bench.clock.now();
        bench.append(WORKSPACE, Some(1), r#"{"held":true}"#);
        bench.wait_status(1, "the failure on record", |status| status.waiting == 1);
        bench.clock.advance_micros(3598 * SECOND);
        // Retries that are due go first; so once another delivery has gone, this one was not due.
        bench.append(WORKSPACE, Some(2), "{}");
        bench.wait_delivered(1, 1);
        assert_eq!(receiver.seen().len(), 2, "{form}: not before its time");
        bench.clock.set(began.plus_micros(3600 * SECOND));
        bench.wait_delivered(1, 2);
        assert_eq!(receiver.seen().len(), 3, "{form}");
    }
}

fn http_date(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).expect("a time");
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[test]
fn a_waiting_delivery_holds_back_its_own_profile_only() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver = Receiver::start(move |seen| {
        let is_held = seen.text() == number_event(1) && !is_up.load(Ordering::SeqCst);
        Reply::status(if is_held { 500 } else { 200 })
    });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    for number in 1..=5 {
        bench.append(WORKSPACE, Some(1), &number_event(number));
    }
    bench.append(WORKSPACE, Some(2), &number_event(6));
    bench.append(WORKSPACE, None, &number_event(7));
    bench.wait_status(1, "others to go on", |status| {
        status.totals.ended(Outcome::Delivered) == 2 && status.waiting == 5
    });
    bench.crash();
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append(WORKSPACE, Some(1), &number_event(8));
    bench.wait_status(1, "the queue", |status| status.waiting == 6);
    up.store(true, Ordering::SeqCst);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_delivered(1, 8);
    let taken: Vec<_> = receiver
        .seen()
        .iter()
        .filter(|request| request.answered == 200)
        .map(|r| r.text().to_owned())
        .collect();
    let of_profile: Vec<_> =
        taken.into_iter().filter(|text| ![6, 7].map(number_event).contains(text)).collect();
    assert_eq!(of_profile, [1, 2, 3, 4, 5, 8].map(number_event), "in order, each once");
}

#[test]
fn when_the_receiver_is_back_waiting_deliveries_do_not_wait_for_long() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver =
        Receiver::start(move |_| Reply::status(if is_up.load(Ordering::SeqCst) { 200 } else { 503 }));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..50);
    bench.wait_quiet(1);
    // Hours of failures: in a pause the receiver is only looked at now and then.
    for _ in 0..14 {
        let seen = receiver.seen().len();
        bench.clock.advance_micros(BEYOND_CAP);
        wait(
            "a look at the receiver",
            || {
                bench.clock.advance_micros(SECOND);
                receiver.seen().len() > seen
            },
            || format!("{:?}", bench.status(1)),
        );
    }
    bench.wait_status(1, "a pause", |status| status.paused.is_some());
    let seen = receiver.seen().len();
    assert!((50 + 14..50 + 14 + 40).contains(&seen), "no retries are spent in a pause: {seen}");
    up.store(true, Ordering::SeqCst);
    bench.append(WORKSPACE, None, "{}");
    wait(
        "the rest",
        || {
            bench.clock.advance_micros(SECOND);
            bench.delivered(1) == 51
        },
        || format!("{:?}", bench.status(1)),
    );
    assert_eq!((bench.status(1).waiting, bench.status(1).paused), (0, None));
}

#[test]
fn a_full_queue_makes_reading_wait_and_loses_nothing() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver =
        Receiver::start(move |_| Reply::status(if is_up.load(Ordering::SeqCst) { 200 } else { 500 }));
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.queue = 7;
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..40);
    bench.wait_status(1, "a full queue", |status| status.waiting == 7);
    assert_eq!(bench.status(1).cursor, 7, "the cursor waits");
    assert_eq!(bench.totals(1).taken, 7);
    up.store(true, Ordering::SeqCst);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_delivered(1, 40);
    assert_eq!((bench.status(1).waiting, bench.status(1).cursor), (0, 40));
}

#[test]
fn what_waits_stays_within_its_bytes_whatever_was_taken_in() {
    let up = Arc::new(AtomicBool::new(false));
    let is_up = Arc::clone(&up);
    let receiver =
        Receiver::start(move |_| Reply::status(if is_up.load(Ordering::SeqCst) { 200 } else { 429 }));
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.retry_bytes = 20_000;
    bench.start();
    let event = |number: u8| format!(r#"{{"type":"track","n":{number},"fill":"{}"}}"#, "x".repeat(1_000));
    for number in 0..100_u8 {
        bench.append(WORKSPACE, Some(number), &event(number));
    }
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.wait_status(1, "no room", |status| status.waiting_bytes >= 20_000 && status.under_way == 0);
    // One more than fills it, as the last one is taken in whole.
    let limit = 20_000 + event(99).len() as u64;
    assert!(bench.status(1).waiting_bytes <= limit, "{:?}", bench.status(1));
    assert!(bench.status(1).behind > 0, "the cursor waits");
    up.store(true, Ordering::SeqCst);
    wait(
        "all of them",
        || {
            bench.clock.advance_micros(SECOND);
            assert!(bench.status(1).waiting_bytes <= limit, "{:?}", bench.status(1));
            bench.delivered(1) == 100
        },
        || format!("{:?}", bench.status(1)),
    );
}

#[test]
fn private_addresses_are_refused_and_nothing_is_lost_by_it() {
    let receiver = Receiver::taking();
    let port = receiver.url.trim_end_matches("/hook").rsplit(':').next().expect("a port").to_owned();
    let mut bench = Bench::with(limits(), false);
    let hosts = ["127.0.0.1", "localhost", "127.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]"];
    let configs: Vec<_> =
        (1..).zip(hosts).map(|(id, host)| webhook(id, &format!("http://{host}:{port}/hook"))).collect();
    bench.engine().apply(configs.clone());
    bench.append(WORKSPACE, Some(1), "{}");
    for (id, host) in (1..).zip(hosts) {
        bench.wait_status(id, host, |status| status.waiting == 1);
        let error = bench.status(id).last_error.expect("a failure");
        assert!(error.contains("--allow-private-destinations"), "{host}: {error}");
    }
    assert!(receiver.seen().is_empty());
    bench.stop();
    bench.allow_private = true;
    bench.start();
    bench.engine().apply(vec![configs[0].clone()]);
    bench.clock.advance_micros(BEYOND_CAP);
    bench.wait_delivered(1, 1);
}
