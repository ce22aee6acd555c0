//! Several deliveries in one request.

use crate::harness::{Bench, WORKSPACE, number_event, webhook};
use crate::receiver::{Receiver, Reply, Seen};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tributary_destinations::DestinationConfig;
use tributary_model::outcome::Outcome;

const BATCH: usize = 50;

fn batched(url: &str) -> DestinationConfig {
    let mut config = webhook(1, url);
    config.settings.insert("events_per_request".to_owned(), BATCH.into());
    config
}

/// The deliveries of a request: ids and numbers of the events.
fn deliveries(request: &Seen) -> Vec<(String, u64)> {
    let body: Value = serde_json::from_slice(&request.body).expect("a batch is JSON");
    let each = |delivery: &Value| {
        let id = delivery["id"].as_str().expect("each has an id").to_owned();
        (id, delivery["event"]["n"].as_u64().expect("an event of these tests has a number"))
    };
    body["deliveries"].as_array().expect("a batch has deliveries").iter().map(each).collect()
}

#[test]
fn deliveries_share_requests_and_each_arrives_once() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.append_numbers(0..1000);
    bench.engine().apply(vec![batched(&receiver.url)]);
    bench.wait_delivered(1, 1000);
    let seen = receiver.seen();
    let sizes: Vec<usize> = seen.iter().map(|request| deliveries(request).len()).collect();
    assert!(sizes.iter().all(|size| (1..=BATCH).contains(size)), "{sizes:?}");
    assert!(sizes.contains(&BATCH), "a backlog fills requests: {sizes:?}");
    let all: Vec<_> = seen.iter().flat_map(deliveries).collect();
    let ids: BTreeSet<_> = all.iter().map(|(id, _)| id).collect();
    let numbers: BTreeSet<_> = all.iter().map(|(_, number)| *number).collect();
    assert_eq!((all.len(), ids.len()), (1000, 1000));
    assert_eq!(numbers, (0..1000).collect());
    let ids: BTreeSet<_> = seen.iter().map(Seen::id).collect();
    assert_eq!(ids.len(), seen.len(), "other deliveries make another request");
    assert!(ids.iter().all(|id| id.starts_with("batch_") && id.len() == "batch_".len() + 32), "{ids:?}");
}

#[test]
fn events_of_a_profile_keep_their_order() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    for number in 0..300 {
        bench.append(WORKSPACE, Some((number % 7) as u8), &number_event(number));
    }
    bench.engine().apply(vec![batched(&receiver.url)]);
    bench.wait_delivered(1, 300);
    let seen = receiver.seen();
    assert!(
        seen.iter().any(|request| deliveries(request).len() == BATCH),
        "a request takes several of a profile"
    );
    let mut last = BTreeMap::new();
    for (_, number) in seen.iter().flat_map(deliveries) {
        let before = last.insert(number % 7, number);
        assert!(before.is_none_or(|before| before < number), "{before:?} came before {number}");
    }
}

#[test]
fn one_that_can_not_be_taken_takes_no_other_with_it() {
    let receiver = Receiver::start(|request| {
        let is_bad = deliveries(request).iter().any(|(_, number)| *number == 13);
        Reply::status(if is_bad { 400 } else { 200 })
    });
    let mut bench = Bench::new();
    bench.append_numbers(0..100);
    bench.engine().apply(vec![batched(&receiver.url)]);
    bench.wait_status(1, "the failed batch to wait", |status| status.waiting > 0 && status.under_way == 0);
    bench.clock.advance_micros(10_000_000);
    bench.wait_status(1, "every delivery to end", |status| status.totals.ended_in_all() == 100);
    assert_eq!(bench.totals(1).ended(Outcome::Delivered), 99);
    let letters = bench.dead_letters(1);
    assert_eq!(letters.len(), 1);
    assert_eq!(letters[0].status, Some(400));
    assert!(String::from_utf8_lossy(&letters[0].event).contains("13"));
}
