//! Receivers that misbehave with several deliveries at once.

use super::recorded;
use crate::harness::{Bench, SECOND, wait, webhook};
use crate::receiver::{Receiver, Reply, Seen};
use crate::rude::{Manner, Rude, WORDS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tributary_destinations::DestinationConfig;
use tributary_destinations::deliveries::{DeliveryState, RecordedAttempt};
use tributary_destinations::failure::Reason;
use tributary_model::outcome::Outcome;

fn batched(url: &str, events: usize) -> DestinationConfig {
    let mut config = webhook(1, url);
    config.settings.insert("events_per_request".to_owned(), events.into());
    config
}

/// The deliveries of a request: ids and numbers of the events.
fn items(body: &str) -> Vec<(String, u64)> {
    let body: Value = serde_json::from_str(body).expect("a batch is JSON");
    let each = |item: &Value| {
        let number = item["event"]["n"].as_u64().expect("an event of these tests has a number");
        (item["id"].as_str().expect("each has an id").to_owned(), number)
    };
    body["deliveries"].as_array().expect("a batch has deliveries").iter().map(each).collect()
}

/// How often each event came, and that it always came under one id of its own.
fn arrivals<'a>(bodies: impl Iterator<Item = &'a str>) -> BTreeMap<u64, usize> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    for (id, number) in bodies.flat_map(items) {
        *counts.entry(number).or_default() += 1;
        assert_eq!(*numbers.entry(id).or_insert(number), number, "an id is of one event");
    }
    assert_eq!(numbers.len(), counts.len(), "an event has one id");
    counts
}

/// A receiver of batches that says of each delivery what `of` says, until it has been seen before; `None` is no word.
fn telling(of: impl Fn(u64) -> Option<Value> + Send + 'static) -> Receiver {
    let mut known = BTreeSet::new();
    Receiver::start(move |request: &Seen| {
        let told = items(request.text()).into_iter().filter_map(|(id, number)| {
            let is_new = known.insert(id.clone());
            let mut result = if is_new { of(number)? } else { json!({"status": 200}) };
            result["id"] = id.into();
            Some(result)
        });
        let results: Vec<Value> = told.collect();
        Reply { body: json!({ "results": results }).to_string(), ..Reply::status(200) }
    })
}

#[test]
fn of_a_batch_that_was_taken_in_part_each_delivery_has_its_own_fate() {
    let receiver = telling(|number| match number % 5 {
        0 => Some(json!({"status": 500})),
        1 => Some(json!({"status": 422, "error": WORDS})),
        2 => Some(json!({"status": false})),
        3 => Some(json!({"status": 200})),
        _ => None,
    });
    let mut bench = Bench::new();
    bench.append_numbers(0..40);
    bench.engine().apply(vec![batched(&receiver.url, 40)]);
    bench.wait_status(1, "the first round", |status| status.totals.taken == 40 && status.under_way == 0);
    let status = bench.status(1);
    assert_eq!(
        (status.totals.ended(Outcome::Delivered), status.totals.ended(Outcome::DeadLetter), status.waiting),
        (16, 16, 8)
    );
    assert_eq!(status.paused, None);
    for (reason, remainder, told, state) in [
        (Reason::ServerError, 0, 500, DeliveryState::Pending),
        (Reason::BadRequest, 1, 422, DeliveryState::Ended(Outcome::DeadLetter)),
        (Reason::RefusedInBody, 2, 200, DeliveryState::Ended(Outcome::DeadLetter)),
    ] {
        let mut numbers = BTreeSet::new();
        for delivery in recorded(&bench, reason) {
            // The n-th event has the message id of the one behind it.
            let id = delivery.message_id.as_str().strip_prefix("m-").expect("an id");
            numbers.insert(id.parse::<u64>().expect("a number") - 1);
            assert_eq!((delivery.state, delivery.attempts.len()), (state, 1), "{delivery:?}");
            let RecordedAttempt { attempt, exchange } = &delivery.attempts[0];
            let failure = attempt.failure.as_ref().expect("it failed");
            assert_eq!((failure.status, failure.outage), (Some(told), false), "{failure:?}");
            assert_eq!(failure.text.contains(WORDS), told == 422, "its own words: {failure:?}");
            let response = exchange.as_ref().and_then(|exchange| exchange.response.as_ref());
            assert!(response.is_some_and(|response| response.body.contains("results")), "{response:?}");
        }
        let wanted: BTreeSet<u64> = (0..40).filter(|number| number % 5 == remainder).collect();
        assert_eq!(numbers, wanted, "{reason:?}");
    }
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 24
    };
    wait("the second round", is_over, || format!("{:?}", bench.status(1)));
    let seen = receiver.seen();
    let wanted: BTreeMap<u64, usize> =
        (0..40).map(|number| (number, if number % 5 == 0 { 2 } else { 1 })).collect();
    assert_eq!(arrivals(seen.iter().map(Seen::text)), wanted);
    let reasons: BTreeSet<_> = bench.dead_letters(1).iter().map(|letter| letter.reason_code).collect();
    assert_eq!(reasons, BTreeSet::from([Reason::BadRequest, Reason::RefusedInBody]));
}

#[test]
fn of_a_large_batch_every_result_is_read() {
    let receiver = telling(|number| {
        let refused = || json!({"status": 503, "error": WORDS.repeat(8)});
        Some(if number % 2 == 0 { refused() } else { json!({"status": 200}) })
    });
    let mut bench = Bench::new();
    bench.append_numbers(0..1000);
    bench.engine().apply(vec![batched(&receiver.url, 1000)]);
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 1000
    };
    wait("all of them", is_over, || format!("{:?}", bench.status(1)));
    let seen = receiver.seen();
    assert!(seen.iter().any(|request| items(request.text()).len() > 500), "so many that the answer is long");
    let wanted: BTreeMap<u64, usize> =
        (0..1000).map(|number| (number, if number % 2 == 0 { 2 } else { 1 })).collect();
    assert_eq!(arrivals(seen.iter().map(Seen::text)), wanted, "what was not taken comes again");
}

#[test]
fn a_batch_that_breaks_off_comes_again_with_the_same_ids() {
    for manner in [Manner::Resets, Manner::Ends(""), Manner::Answers(500, "", ""), Manner::Endless(503)] {
        let mut first = Some(manner.clone());
        let rude = Rude::start(move |_| first.take().unwrap_or(Manner::TAKES));
        let mut bench = Bench::new();
        bench.append_numbers(0..100);
        bench.engine().apply(vec![batched(&rude.url("http"), 30)]);
        let is_over = || {
            bench.clock.advance_micros(SECOND);
            bench.delivered(1) == 100
        };
        wait("all of them", is_over, || format!("{manner:?}: {:?}", bench.status(1)));
        let seen = rude.seen();
        let broken: BTreeSet<u64> = items(&seen[0].body).into_iter().map(|(_, number)| number).collect();
        let wanted: BTreeMap<u64, usize> =
            (0..100).map(|number| (number, 1 + usize::from(broken.contains(&number)))).collect();
        assert_eq!(arrivals(seen.iter().map(|asked| asked.body.as_str())), wanted, "{manner:?}");
        assert!(bench.dead_letters(1).is_empty(), "{manner:?}");
    }
}

#[test]
fn a_batch_of_which_each_delivery_is_refused_by_name_does_not_come_again() {
    let receiver = Receiver::start(|request: &Seen| {
        // One result is about nobody: the others count nevertheless.
        let mut results = vec![json!({"status": 500})];
        for (id, number) in items(request.text()) {
            results.push(json!({"id": id, "status": 400, "error": format!("reason-{number}")}));
        }
        Reply { body: json!({ "results": results }).to_string(), ..Reply::status(200) }
    });
    let mut bench = Bench::new();
    bench.append_numbers(0..200);
    bench.engine().apply(vec![batched(&receiver.url, 200)]);
    bench.wait_status(1, "the end of all", |status| status.totals.ended_in_all() == 200);
    assert_eq!(bench.totals(1).ended(Outcome::DeadLetter), 200);
    let arrivals = arrivals(receiver.seen().iter().map(Seen::text));
    assert!(arrivals.values().all(|count| *count == 1), "{arrivals:?}");
    let letters = bench.dead_letters(1);
    let reasons: BTreeSet<&str> = letters.iter().map(|letter| letter.reason.as_str()).collect();
    assert_eq!(reasons.len(), 200, "each has its own");
    assert!(reasons.contains("answered 200, with 400 for this delivery: reason-199"), "{reasons:?}");
}

#[test]
fn what_is_said_of_a_batch_in_a_compressed_answer_is_not_said() {
    let mut is_packed = true;
    let receiver = Receiver::start(move |request: &Seen| {
        assert_eq!(request.header("accept-encoding"), "identity");
        if !std::mem::take(&mut is_packed) {
            return Reply::status(200);
        }
        let headers = vec![("content-encoding", "gzip".to_owned())];
        Reply { headers, body: "\u{1f}packed".to_owned(), ..Reply::status(200) }
    });
    let mut bench = Bench::new();
    bench.append_numbers(0..10);
    bench.engine().apply(vec![batched(&receiver.url, 10)]);
    let is_over = || {
        bench.clock.advance_micros(SECOND);
        bench.delivered(1) == 10
    };
    wait("all of them", is_over, || format!("{:?}", bench.status(1)));
    let first = items(receiver.seen()[0].text()).len();
    let again = recorded(&bench, Reason::UnreadableAnswer);
    assert_eq!(again.len(), first, "those of the first answer came again");
    let exchange = again[0].attempts[0].exchange.as_ref().expect("it was sent");
    let body = exchange.response.as_ref().map(|response| response.body.as_str());
    assert_eq!(body, Some("(7 bytes with a content-encoding, which are not read)"));
}
