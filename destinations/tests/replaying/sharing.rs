//! Replays to destinations whose requests carry several deliveries, and how much of the queue they use.

use super::{ID, begin, job, replay};
use crate::harness::{Bench, SECOND, WORKSPACE, number_event, wait, webhook};
use crate::receiver::{Receiver, Reply, Seen};
use serde_json::Value;
use tributary_destinations::DestinationConfig;
use tributary_destinations::replay::{ReplayJob, ReplayOrder, ReplayState};
use tributary_model::outcome::Outcome;

const BATCH: usize = 50;

/// The numbers of what must fail.
const FAILING: u32 = 1_000;

fn batched(url: &str) -> DestinationConfig {
    let mut config = webhook(1, url);
    config.settings.insert("events_per_request".to_owned(), BATCH.into());
    config
}

/// Numbers of the events of a request, in order.
fn numbers(request: &Seen) -> Vec<u64> {
    let body: Value = serde_json::from_slice(&request.body).expect("a batch is JSON");
    let number = |delivery: &Value| delivery["event"]["n"].as_u64().expect("an event has a number");
    body["deliveries"].as_array().expect("a batch has deliveries").iter().map(number).collect()
}

fn rate(rate_per_second: u32) -> ReplayOrder {
    ReplayOrder { rate_per_second: Some(rate_per_second), ..ReplayOrder::default() }
}

/// Waits until so many were sent again, and no more.
fn wait_replayed(bench: &Bench, count: u64) {
    bench.wait_status(1, "what was replayed", |status| {
        status.replayed.ended(Outcome::Delivered) >= count && status.under_way == 0
    });
    assert_eq!(bench.status(1).replayed.ended(Outcome::Delivered), count);
}

fn done(bench: &Bench, id: u64) -> ReplayJob {
    wait("the replay", || !job(bench, id).is_running(), || format!("{:?}", job(bench, id)));
    let done = job(bench, id);
    assert_eq!(done.state, ReplayState::Done, "{done:?}");
    done
}

/// A bucket, and a destination that writes files there, which events of before have not come to.
fn bucket(bench: &mut Bench, events: u32) -> Receiver {
    let storage =
        Receiver::start(|_| Reply { headers: vec![("etag", "\"1\"".to_owned())], ..Reply::status(200) });
    bench.append_numbers(0..events);
    let from = bench.last_position();
    let mut config = DestinationConfig::new(WORKSPACE, ID, "s3", from);
    let settings: [(&str, Value); 7] = [
        ("bucket", "logs".into()),
        ("access_key_id", "key".into()),
        ("secret_access_key", "secret".into()),
        ("endpoint", storage.url.as_str().into()),
        ("compression", "gzip".into()),
        ("events_per_file", 5_000.into()),
        ("seconds_per_file", 5.into()),
    ];
    config.settings.extend(settings.map(|(name, value)| (name.to_owned(), value)));
    bench.engine().apply(vec![config]);
    storage
}

#[test]
fn what_is_behind_one_that_can_not_be_read_for_a_moment_waits_for_it() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![batched(&receiver.url)]);
    for number in 0..10 {
        bench.append(WORKSPACE, Some(1), &number_event(number));
    }
    bench.wait_delivered(1, 10);
    let before = receiver.seen().len();
    bench.log.fail_once(3);
    let id = begin(&bench, ReplayOrder::default()).expect("it begins").id;
    wait(
        "the replay",
        || {
            bench.clock.advance_micros(SECOND);
            !job(&bench, id).is_running()
        },
        || format!("{:?}", job(&bench, id)),
    );
    let arrived: Vec<u64> = receiver.seen()[before..].iter().flat_map(numbers).collect();
    assert_eq!(arrived, (0..10).collect::<Vec<_>>());
}

#[test]
fn what_a_rate_lets_through_in_a_second_shares_requests() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![batched(&receiver.url)]);
    bench.append_numbers(0..300);
    bench.wait_delivered(1, 300);
    let before = receiver.seen().len();
    let id = begin(&bench, rate(2 * BATCH as u32)).expect("it begins").id;
    for second in 1..=3 {
        wait_replayed(&bench, second * 2 * BATCH as u64);
        bench.clock.advance_micros(SECOND);
    }
    assert_eq!(done(&bench, id).ended, [(Outcome::Delivered, 300)].into());
    let sizes: Vec<usize> = receiver.seen()[before..].iter().map(|request| numbers(request).len()).collect();
    assert_eq!(sizes, [BATCH; 6]);
}

#[test]
fn what_is_of_one_profile_shares_requests_in_order() {
    let receiver = Receiver::taking();
    let mut bench = Bench::new();
    bench.engine().apply(vec![batched(&receiver.url)]);
    for number in 0..120 {
        bench.append(WORKSPACE, Some(7), &number_event(number));
    }
    bench.wait_delivered(1, 120);
    let before = receiver.seen().len();
    assert_eq!(replay(&bench, ReplayOrder::default()).ended, [(Outcome::Delivered, 120)].into());
    let again: Vec<Vec<u64>> = receiver.seen()[before..].iter().map(numbers).collect();
    assert_eq!(again.concat(), (0..120).collect::<Vec<_>>());
    assert_eq!(again.iter().map(Vec::len).collect::<Vec<_>>(), [BATCH, BATCH, 20]);
}

#[test]
fn files_are_filled_with_and_without_a_rate() {
    let mut bench = Bench::new();
    let storage = bucket(&mut bench, 2_500);
    let order = bench.engine().start_replay(WORKSPACE, ID, ReplayOrder::default());
    let whole = bench.ask(order).expect("it waits until the destination has begun");
    assert_eq!(done(&bench, whole.id).ended, [(Outcome::Delivered, 2_500)].into());
    assert_eq!(storage.seen().len(), 1, "one file holds them all");
    let slow = begin(&bench, rate(300)).expect("it begins");
    wait_replayed(&bench, 2_500 + 1_500);
    assert_eq!(storage.seen().len(), 2, "what five seconds let through");
    bench.clock.advance_micros(5 * SECOND);
    assert_eq!(done(&bench, slow.id).ended, [(Outcome::Delivered, 2_500)].into());
    assert_eq!(storage.seen().len(), 3);
}

#[test]
fn others_that_fail_hold_a_replay_up_only_where_they_fill_the_queue() {
    let fails = |seen: &Seen| (FAILING..FAILING + 100).any(|number| seen.text() == number_event(number));
    let receiver = Receiver::start(move |seen| Reply::status(if fails(seen) { 429 } else { 200 }));
    let mut bench = Bench::new();
    bench.stop();
    bench.limits.queue = 40;
    bench.start();
    bench.engine().apply(vec![webhook(1, &receiver.url)]);
    bench.append_numbers(0..10);
    bench.wait_delivered(1, 10);
    let fail = |bench: &mut Bench, numbers: std::ops::Range<u32>| {
        numbers.for_each(|number| {
            bench.append(WORKSPACE, Some(255), &number_event(FAILING + number));
        });
    };
    fail(&mut bench, 0..25);
    bench.wait_status(1, "more than half the queue", |status| status.waiting == 25 && status.under_way == 0);
    let done_beside = replay(&bench, ReplayOrder::default());
    assert_eq!((done_beside.queued, done_beside.state), (10, ReplayState::Done));
    assert!(!bench.status(1).replay_waits_for_room);
    fail(&mut bench, 25..60);
    bench.wait_status(1, "a full queue", |status| status.waiting == 40 && status.under_way == 0);
    let id = begin(&bench, ReplayOrder::default()).expect("it begins").id;
    bench.wait_status(1, "it to say what it waits for", |status| status.replay_waits_for_room);
    assert_eq!((job(&bench, id).queued, bench.status(1).waiting), (0, 40));
    receiver.behave(|_| Reply::status(200));
    wait(
        "the replay",
        || {
            bench.clock.advance_micros(SECOND);
            assert!(bench.status(1).waiting <= 40, "{:?}", bench.status(1));
            !job(&bench, id).is_running()
        },
        || format!("{:?}", job(&bench, id)),
    );
    assert_eq!(done(&bench, id).ended.keys().copied().collect::<Vec<_>>(), [Outcome::Delivered]);
    assert!(!bench.status(1).replay_waits_for_room);
}
