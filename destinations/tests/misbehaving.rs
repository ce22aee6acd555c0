//! Receivers that misbehave: what becomes of the delivery, what is told of it, and that everything else goes on.

mod batches;
mod told;

use crate::harness::{Bench, DAY, SECOND, WORKSPACE, limits, number_event, wait, webhook};
use crate::receiver::Receiver;
use crate::rude::{Asked, Manner, Rude, WORDS};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tributary_destinations::deliveries::{DeliveryQuery, DeliveryState, RecordedAttempt, RecordedDelivery};
use tributary_destinations::failure::Reason;
use tributary_destinations::{DestinationConfig, Limits, PauseReason};
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, Position};

const ID: DestinationId = DestinationId(1);

/// Bytes of an answer that are remembered.
const REMEMBERED_MAX: usize = 2048;

/// Far more than is read of any answer, and than systems hold for a reader that does not read.
const UNREAD_MAX: u64 = 64 << 20;

/// How long the engine waits for an answer that does not come. Others have to come within it.
const STALL: Duration = Duration::from_secs(5);

/// A way to misbehave, and how it is told.
struct Case {
    name: &'static str,
    manner: Manner,
    reason: Reason,
    status: Option<u16>,
    /// For so many seconds the receiver does not want to be asked at all.
    holds: i64,
}

const fn case(name: &'static str, manner: Manner, reason: Reason, status: Option<u16>) -> Case {
    Case { name, manner, reason, status, holds: 0 }
}

/// What may be taken later.
static MAY_PASS: [Case; 12] = [
    case("no answer in time", Manner::Stalls(""), Reason::Timeout, None),
    case("half a head in time", Manner::Stalls("HTTP/1.1 200 OK\r\ncontent-le"), Reason::Timeout, None),
    case("a reset", Manner::Resets, Reason::Connection, None),
    case("an end before the answer", Manner::Ends(""), Reason::Connection, None),
    case("an end within the head", Manner::Ends("HTTP/1.1 200 OK\r\ncontent-le"), Reason::Connection, None),
    case("an answer that is no HTTP", Manner::Ends("220 ready\r\n\r\n"), Reason::Connection, None),
    case("too slow for itself", Manner::Answers(408, "", WORDS), Reason::Timeout, Some(408)),
    case("too many", Manner::Answers(429, "", WORDS), Reason::RateLimited, Some(429)),
    Case {
        holds: 5,
        ..case(
            "too many for now",
            Manner::Answers(429, "retry-after: 5\r\n", WORDS),
            Reason::RateLimited,
            Some(429),
        )
    },
    case("out of order", Manner::Answers(500, "", WORDS), Reason::ServerError, Some(500)),
    Case {
        holds: 5,
        ..case(
            "out of order for now",
            Manner::Answers(503, "retry-after: 5\r\n", WORDS),
            Reason::ServerError,
            Some(503),
        )
    },
    case("out of order, without an end", Manner::Endless(500), Reason::ServerError, Some(500)),
];

/// What will never be taken.
static IS_FINAL: [Case; 7] = [
    case("not understood", Manner::Answers(400, "", WORDS), Reason::BadRequest, Some(400)),
    case("not understood, without an end", Manner::Endless(400), Reason::BadRequest, Some(400)),
    case("not there", Manner::Answers(404, "", WORDS), Reason::NotFound, Some(404)),
    case("not for that", Manner::Answers(405, "", WORDS), Reason::UnexpectedStatus, Some(405)),
    case("too large", Manner::Answers(413, "", WORDS), Reason::TooLarge, Some(413)),
    case(
        "elsewhere",
        Manner::Answers(307, "location: http://127.0.0.1:9/\r\n", WORDS),
        Reason::Redirected,
        Some(307),
    ),
    case("not made", Manner::Answers(501, "", WORDS), Reason::ServerError, Some(501)),
];

/// An engine for a receiver of that manner: where no answer comes, it waits for so short a time that tests can.
fn bench(manner: &Manner) -> Bench {
    let limits = limits();
    let request_timeout = if manner.takes_long() { STALL } else { limits.request_timeout };
    Bench::with(Limits { request_timeout, ..limits }, true)
}

/// Runs every case. Those that take long do so beside the others.
fn each(cases: &'static [Case], run: impl Fn(&Case) + Sync) {
    let (long, short): (Vec<_>, Vec<_>) = cases.iter().partition(|case| case.manner.takes_long());
    let run = &run;
    std::thread::scope(|scope| {
        for case in long {
            scope.spawn(move || run(case));
        }
        short.into_iter().for_each(run);
    });
}

/// What is remembered of deliveries of which an attempt failed for that reason.
fn recorded(bench: &Bench, reason: Reason) -> Vec<RecordedDelivery> {
    let query =
        DeliveryQuery { destination: Some(ID), reason: Some(reason), limit: 200, ..DeliveryQuery::default() };
    let page = bench.engine().deliveries(WORKSPACE, &query).expect("the store works");
    assert_eq!(page.next, None);
    page.deliveries
}

/// What is remembered of the first event's delivery, of which an attempt failed as the case says.
fn recorded_first(bench: &Bench, case: &Case) -> RecordedDelivery {
    let mut deliveries = recorded(bench, case.reason);
    assert_eq!(deliveries.len(), 1, "{}: {deliveries:?}", case.name);
    let delivery = deliveries.remove(0);
    assert_eq!(delivery.message_id.as_str(), "m-1", "{}", case.name);
    delivery
}

/// What is remembered of an attempt says what was sent, what came back, and why that is a failure.
fn check_attempt(case: &Case, attempt: &RecordedAttempt) {
    let name = case.name;
    let failure = attempt.attempt.failure.as_ref().expect("it failed");
    assert_eq!((failure.reason, failure.status), (case.reason, case.status), "{name}: {failure:?}");
    assert!(!failure.text.contains(WORDS), "{name}: a receiver's words may hold personal data");
    let exchange = attempt.exchange.as_ref().expect("what was sent is remembered");
    assert_eq!(exchange.request.body, number_event(1), "{name}");
    let response = exchange.response.as_ref();
    assert_eq!(response.and_then(|response| response.status), case.status, "{name}");
    let body = response.map_or("", |response| &response.body);
    assert_eq!(body.starts_with(WORDS), case.status.is_some(), "{name}: {body}");
    assert!(body.len() <= REMEMBERED_MAX, "{name}: {} bytes", body.len());
}

fn is_first_attempt(asked: &Asked) -> bool {
    asked.body == number_event(1) && asked.repeats == 0
}

/// The first attempt at the first event goes wrong.
fn passes(case: &Case) {
    let name = case.name;
    let manner = case.manner.clone();
    let rude = Rude::start(move |asked| if is_first_attempt(asked) { manner.clone() } else { Manner::TAKES });
    let healthy = Receiver::taking();
    let mut bench = bench(&case.manner);
    let began = bench.clock.now().as_micros().div_euclid(SECOND);
    bench.engine().apply(vec![webhook(1, &rude.url("http")), webhook(2, &healthy.url)]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.append(WORKSPACE, Some(1), &number_event(2));
    bench.wait_status(1, name, |status| status.waiting == 2 && status.under_way == 0);
    let delivery = recorded_first(&bench, case);
    assert_eq!((delivery.state, delivery.attempts.len()), (DeliveryState::Pending, 1), "{name}");
    check_attempt(case, &delivery.attempts[0]);

    // Other profiles go on unless the receiver wants nothing at all; another destination does in any case.
    bench.append(WORKSPACE, Some(2), &number_event(3));
    bench.append(WORKSPACE, None, &number_event(4));
    bench.wait_delivered(2, 4);
    if case.holds == 0 {
        bench.wait_delivered(1, 2);
    } else {
        bench.wait_status(1, "the new ones to be read", |status| status.behind > 0);
    }
    let step = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 4
    };
    wait(name, step, || format!("{:?}", bench.status(1)));

    let seen = rude.seen();
    let of = |number| seen.iter().filter(move |asked| asked.body == number_event(number));
    let waited = |number| of(number).next_back().map_or(-1, |asked| asked.seconds - began);
    assert_eq!([1, 2, 3, 4].map(|number| of(number).count()), [2, 1, 1, 1], "{name}: {seen:?}");
    assert!(waited(1) >= case.holds && waited(2) >= waited(1), "{name}: {seen:?}");
    for number in [3, 4] {
        let is_held = if case.holds == 0 { waited(number) == 0 } else { waited(number) >= case.holds };
        assert!(is_held, "{name}: {seen:?}");
    }
    let last_first = seen.iter().rposition(|asked| asked.body == number_event(1));
    let behind = seen.iter().position(|asked| asked.body == number_event(2));
    assert!(last_first < behind, "{name}: the order within a profile: {seen:?}");
    let ids: BTreeSet<_> = of(1).map(|asked| &asked.id).collect();
    assert_eq!(ids.len(), 1, "{name}: {ids:?}");

    let delivery = recorded_first(&bench, case);
    assert_eq!((delivery.state, delivery.attempts.len()), (DeliveryState::Ended(Outcome::Delivered), 2));
    assert_eq!(delivery.attempts[1].attempt.failure, None, "{name}");
    assert!(ids.contains(&delivery.delivery_id), "{name}: {delivery:?}");
    let status = bench.status(1);
    assert_eq!(
        (status.totals.taken, status.waiting, status.paused, status.last_error),
        (4, 0, None, None),
        "{name}"
    );
    assert!(bench.dead_letters(1).is_empty(), "{name}");
}

#[test]
fn what_may_pass_is_tried_again_and_holds_up_nobody_else() {
    each(&MAY_PASS, passes);
}

/// Every attempt at the first event goes wrong, of which there are so many.
fn ends(case: &Case, attempts: u32) {
    let name = case.name;
    let manner = case.manner.clone();
    let rude =
        Rude::start(move |asked| if asked.body == number_event(1) { manner.clone() } else { Manner::TAKES });
    let mut bench = bench(&case.manner);
    bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.append(WORKSPACE, Some(1), &number_event(2));
    let mut step = 0;
    if attempts > 1 {
        bench.wait_status(1, name, |status| status.waiting == 2 && status.under_way == 0);
        // Longer than deliveries are tried.
        bench.clock.advance_micros(8 * DAY);
        step = SECOND;
    }
    let is_over = || {
        bench.clock.advance_micros(step);
        bench.totals(1).ended_in_all() == 2
    };
    wait(name, is_over, || format!("{:?}", bench.status(1)));
    assert_eq!((bench.delivered(1), bench.status(1).waiting, bench.status(1).paused), (1, 0, None), "{name}");

    let delivery = recorded_first(&bench, case);
    assert_eq!(delivery.state, DeliveryState::Ended(Outcome::DeadLetter), "{name}");
    assert_eq!(delivery.attempts.len(), attempts as usize, "{name}");
    delivery.attempts.iter().for_each(|attempt| check_attempt(case, attempt));
    let letters = bench.dead_letters(1);
    assert_eq!(letters.len(), 1, "{name}: {letters:?}");
    let letter = &letters[0];
    assert_eq!(
        (letter.message_id.as_str(), letter.reason_code, letter.status, letter.attempts),
        ("m-1", case.reason, case.status, attempts),
        "{name}"
    );
    let last = delivery.attempts.last().and_then(|attempt| attempt.exchange.clone()).expect("it was sent");
    assert_eq!(letter.request.as_ref(), Some(&last.request), "{name}");
    assert_eq!(letter.response, last.response, "{name}");
    assert_eq!(letter.event, number_event(1), "{name}: nothing is lost");
    assert_eq!(rude.seen().len(), attempts as usize + 1, "{name}");
}

#[test]
fn what_never_passes_is_a_dead_letter_in_the_end_and_lets_others_by() {
    each(&MAY_PASS, |case| ends(case, 2));
}

#[test]
fn what_is_final_is_a_dead_letter_at_once_and_lets_others_by() {
    each(&IS_FINAL, |case| ends(case, 1));
}

#[test]
fn a_status_of_success_counts_whatever_becomes_of_the_body() {
    let cases = [
        ("an error in words", Manner::Answers(200, "", WORDS), "no, thank you"),
        ("a body that breaks off", Manner::Ends("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\nbeg"), "beg"),
        ("a body that stalls", Manner::Stalls("HTTP/1.1 202 OK\r\ncontent-length: 99\r\n\r\nbeg"), "beg"),
        ("a body that never ends", Manner::Endless(200), "no, thank you"),
    ];
    for (name, manner, told) in cases {
        let first = manner.clone();
        let rude =
            Rude::start(move |asked| if is_first_attempt(asked) { first.clone() } else { Manner::TAKES });
        let mut bench = bench(&manner);
        bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
        bench.append(WORKSPACE, Some(1), &number_event(1));
        bench.append(WORKSPACE, Some(1), &number_event(2));
        bench.wait_delivered(1, 2);
        assert_eq!(rude.seen().len(), 2, "{name}");
        let query = DeliveryQuery { destination: Some(ID), limit: 10, ..DeliveryQuery::default() };
        let page = bench.engine().deliveries(WORKSPACE, &query).expect("the store works");
        let first = page.deliveries.iter().find(|delivery| delivery.message_id.as_str() == "m-1");
        let exchange = first.and_then(|delivery| delivery.attempts[0].exchange.clone());
        let body = exchange.and_then(|exchange| exchange.response).map(|response| response.body);
        let is_told = |body: &String| body.starts_with(told) && body.len() <= REMEMBERED_MAX;
        assert!(body.as_ref().is_some_and(is_told), "{name}: {body:?}");
    }
}

#[test]
fn of_a_body_without_an_end_no_more_is_read_than_is_looked_at() {
    let rude = Rude::start(|_| Manner::Endless(200));
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
    bench.append_numbers(0..3);
    bench.wait_delivered(1, 3);
    wait("it to hang up", || rude.hung_up().0 == 3, || format!("{:?}", rude.hung_up()));
    let (_, bytes) = rude.hung_up();
    assert!(bytes < 3 * UNREAD_MAX, "{bytes} bytes came");
}

#[test]
fn every_manner_at_once_loses_nothing_and_keeps_the_order_within_profiles() {
    const EVENTS: u32 = 60;
    const PROFILES: u32 = 12;
    // Those that take their time would take it one after the other.
    let cases = || MAY_PASS.iter().filter(|case| !case.manner.takes_long());
    let number_of = |asked: &Asked| -> usize {
        let event: Value = serde_json::from_str(&asked.body).expect("an event");
        event["n"].as_u64().expect("a number") as usize
    };
    let rude = Rude::start(move |asked| {
        let case = cases().cycle().nth(number_of(asked)).expect("there is no end of them");
        if asked.repeats == 0 { case.manner.clone() } else { Manner::TAKES }
    });
    let mut bench = Bench::new();
    for number in 0..EVENTS {
        bench.append(WORKSPACE, Some((number % PROFILES) as u8), &number_event(number));
    }
    bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == u64::from(EVENTS)
    };
    wait("all of them", is_over, || format!("{:?}", bench.status(1)));
    assert_eq!((bench.totals(1).taken, bench.status(1).waiting), (u64::from(EVENTS), 0));
    let mut next: BTreeMap<usize, usize> = (0..PROFILES as usize).map(|profile| (profile, profile)).collect();
    let mut ids = BTreeSet::new();
    for asked in rude.seen() {
        let number = number_of(&asked);
        let expected = next.get_mut(&(number % PROFILES as usize)).expect("a profile");
        assert_eq!(number, *expected, "one after the other, in order");
        match asked.repeats {
            0 => assert!(ids.insert(asked.id), "each has its own id"),
            1 => *expected += PROFILES as usize,
            more => panic!("{number} came {more} times after it had been taken"),
        }
    }
    assert_eq!(ids.len(), EVENTS as usize);
}

#[test]
fn a_plain_port_is_not_spoken_to_without_encryption_where_that_was_asked_for() {
    let rude = Rude::start(|_| Manner::TAKES);
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &rude.url("https"))]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.append(WORKSPACE, Some(1), &number_event(2));
    bench.append(WORKSPACE, None, &number_event(3));
    bench.wait_status(1, "failures", |status| status.waiting == 3 && status.under_way == 0);
    let failed = recorded(&bench, Reason::Tls);
    let failed_ids: BTreeSet<_> = failed.iter().map(|delivery| delivery.message_id.as_str()).collect();
    assert_eq!(failed_ids, BTreeSet::from(["m-1", "m-3"]), "m-2 waits behind m-1");
    for delivery in &failed {
        assert_eq!((delivery.state, delivery.attempts.len()), (DeliveryState::Pending, 1));
        let RecordedAttempt { attempt, exchange } = &delivery.attempts[0];
        assert!(attempt.failure.as_ref().is_some_and(|failure| failure.outage && failure.status.is_none()));
        assert_eq!(exchange.as_ref().and_then(|exchange| exchange.response.as_ref()), None);
    }
    assert!(rude.seen().iter().all(|asked| asked.encrypted), "nothing was sent in the clear");

    bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 3
    };
    wait("all of them", is_over, || format!("{:?}", bench.status(1)));
    assert_eq!(rude.seen().iter().filter(|asked| !asked.encrypted).count(), 3);
    assert!(bench.dead_letters(1).is_empty());
}

#[test]
fn a_refusal_of_the_credentials_stays_on_record() {
    let rude =
        Rude::start(|asked| if asked.repeats == 0 { Manner::Answers(401, "", WORDS) } else { Manner::TAKES });
    let mut bench = Bench::new();
    bench.engine().apply(vec![webhook(1, &rude.url("http"))]);
    bench.append(WORKSPACE, Some(1), &number_event(1));
    bench.wait_status(1, "a pause", |status| status.paused.is_some() && status.under_way == 0);
    let refused = case("refused", Manner::TAKES, Reason::Unauthorized, Some(401));
    let delivery = recorded_first(&bench, &refused);
    check_attempt(&refused, &delivery.attempts[0]);
    assert_eq!(delivery.state, DeliveryState::Pending);
    assert!(bench.engine().resume(WORKSPACE, ID));
    bench.wait_delivered(1, 1);
    let delivery = recorded_first(&bench, &refused);
    check_attempt(&refused, &delivery.attempts[0]);
    assert_eq!(delivery.state, DeliveryState::Ended(Outcome::Delivered));
}

#[test]
fn words_of_a_vendor_are_judged_as_its_definition_says() {
    const SECRET: &str = "a-secret-of-slack";
    let mut answers = [(403, "invalid_token"), (400, "no_text"), (500, "rollup_error")].into_iter();
    let rude = Rude::start(move |_| {
        let (status, words) = answers.next().unwrap_or((200, "ok"));
        Manner::Answers(status, "", words)
    });
    let mut bench = Bench::new();
    let url = rude.url("http").replace("hook", &format!("services/T0000/B0000/{SECRET}"));
    let mut config = DestinationConfig::new(WORKSPACE, ID, "slack", Position::at(0));
    config.settings.insert("webhook_url".to_owned(), url.into());
    bench.engine().apply(vec![config]);
    let event = r#"{"type":"track","event":"Signed Up","userId":"u1"}"#;

    bench.append(WORKSPACE, Some(1), event);
    bench.wait_status(1, "a pause", |status| status.paused.is_some() && status.under_way == 0);
    let paused = bench.status(1).paused.expect("it is paused");
    assert_eq!((paused.reason, paused.failure.status), (PauseReason::Credentials, Some(403)));
    assert!(paused.failure.text.contains("make a new webhook"), "{paused:?}");
    let refused = recorded(&bench, Reason::Forbidden);
    assert_eq!(refused.len(), 1, "{refused:?}");
    let exchange = refused[0].attempts[0].exchange.as_ref().expect("it was sent");
    assert!(exchange.request.body.contains("Signed Up"), "{}", exchange.request.body);
    assert!(exchange.request.target.starts_with("http://127.0.0.1"), "{}", exchange.request.target);
    assert!(!exchange.request.target.contains(SECRET), "{}", exchange.request.target);

    assert!(bench.engine().resume(WORKSPACE, ID));
    bench.wait_status(1, "it to be given up", |status| status.totals.ended(Outcome::DeadLetter) == 1);
    let letters = bench.dead_letters(1);
    assert_eq!((letters[0].reason_code, letters[0].status), (Reason::BadRequest, Some(400)));
    assert!(letters[0].reason.contains("the message is empty"), "{}", letters[0].reason);
    assert_eq!(letters[0].response.as_ref().map(|response| response.body.as_str()), Some("no_text"));

    bench.append(WORKSPACE, Some(1), event);
    bench.wait_status(1, "a failure", |status| status.waiting == 1 && status.under_way == 0);
    assert_eq!(recorded(&bench, Reason::ServerError).len(), 1);
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 1
    };
    wait("the second one", is_over, || format!("{:?}", bench.status(1)));
    assert_eq!((bench.totals(1).taken, bench.status(1).waiting, rude.seen().len()), (2, 0, 4));
}
