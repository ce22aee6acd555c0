//! Brokers that go away, answer late, or answer with errors.

use super::*;
use crate::log::AppendError;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// How often each entry is in the log.
fn counts(log: &KafkaLog) -> BTreeMap<Bytes, usize> {
    let mut counts = BTreeMap::new();
    for entry in read_all(log, 10_000) {
        *counts.entry(entry).or_default() += 1;
    }
    counts
}

#[test]
fn appends_are_refused_at_once_while_no_broker_answers_and_taken_again() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(options(&mock), directory.path());
    append(&log, 0..3);
    mock.broker_down(-1).expect("it goes down");
    until("the log notices without traffic", || !log.status().accepting);
    assert_eq!(log.status().refusal, Some(AppendError::Unreachable));
    let refused = suite::wait(log.append(vec![entry(99)])).expect_err("nobody is there");
    assert_eq!((&refused, refused.retry_after_seconds()), (&AppendError::Unreachable, Some(5)));
    mock.broker_up(-1).expect("it comes up");
    until("the log notices without traffic", || log.status().accepting);
    assert_eq!(append(&log, 3..5), 3..5);
    assert_eq!(read_all(&log, 1000), (0..5).map(entry).collect::<Vec<_>>(), "what was refused is not there");
}

#[test]
fn errors_of_the_broker_double_nothing_and_change_no_order() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let mut small_batches = options(&mock);
    small_batches.producer.insert("batch.num.messages".to_owned(), "10".to_owned());
    let log = open(small_batches, directory.path());
    mock.request_errors(
        RDKafkaApiKey::Produce,
        &[
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__TRANSPORT,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        ],
    );
    let answer = suite::wait(log.append((0..200).map(entry).collect()));
    assert!(answer == Ok(0..200) || answer == Err(AppendError::Unknown), "{answer:?}");
    until("all of them are in sight", || log.bounds().end >= 200);
    assert_eq!(read_all(&log, 10_000), (0..200).map(entry).collect::<Vec<_>>());
}

#[test]
fn an_append_without_an_answer_in_time_is_unknown_and_later_ones_go_on() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    // Long enough for a busy machine to take the first entry in time.
    let delivery = Delivery::Within(Duration::from_secs(5));
    let log = open(KafkaOptions { delivery, ..options(&mock) }, directory.path());
    append(&log, 0..1);
    mock.broker_round_trip_time(-1, Duration::from_secs(30)).expect("it slows down");
    let unknown = suite::wait(log.append(vec![entry(1)]));
    assert_eq!(unknown, Err(AppendError::Unknown));
    mock.broker_round_trip_time(-1, Duration::ZERO).expect("it is quick again");
    until("the log is back", || suite::wait(log.append(vec![entry(2)])).is_ok());
    let counts = counts(&log);
    assert_eq!(counts[&entry(0)], 1);
    assert!(counts.get(&entry(1)).is_none_or(|count| *count == 1), "it is there once, or not");
    assert!(counts[&entry(2)] >= 1);
}

#[test]
fn a_broker_that_does_not_answer_stops_appends_after_a_while() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(KafkaOptions { delivery: Delivery::Always, ..options(&mock) }, directory.path());
    append(&log, 0..1);
    mock.broker_round_trip_time(-1, Duration::from_secs(30)).expect("it slows down");
    let pending = log.append(vec![entry(1)]);
    until("further ones are refused", || !log.status().accepting);
    assert_eq!(suite::wait(log.append(vec![entry(9)])), Err(AppendError::Unreachable));
    mock.broker_round_trip_time(-1, Duration::ZERO).expect("it is quick again");
    // A connection on which nothing comes is given up only after a while; this is what a stopped broker's end is.
    mock.broker_down(-1).expect("it goes down");
    mock.broker_up(-1).expect("it comes up");
    let answer = suite::wait(pending);
    assert!(answer == Ok(1..2) || answer == Err(AppendError::Unknown), "{answer:?}");
    until("the log is back", || log.status().accepting);
    until("the entry is in sight", || log.bounds().end == 2);
    assert_eq!(counts(&log), BTreeMap::from([(entry(0), 1), (entry(1), 1)]));
}

#[test]
fn what_is_tried_always_survives_an_outage() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(KafkaOptions { delivery: Delivery::Always, ..options(&mock) }, directory.path());
    append(&log, 0..3);
    let pending = log.append((3..6).map(entry).collect());
    mock.broker_down(-1).expect("it goes down");
    until("the log notices", || !log.status().accepting);
    mock.broker_up(-1).expect("it comes up");
    let answer = suite::wait(pending);
    assert!(answer == Ok(3..6) || answer == Err(AppendError::Unknown), "{answer:?}");
    until("all of them are in sight", || log.bounds().end == 6);
    assert_eq!(read_all(&log, 1000), (0..6).map(entry).collect::<Vec<_>>());
}

#[test]
fn an_entry_refused_for_good_stops_a_log_that_must_have_no_gap() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let fatal: Fatal = {
        let reasons = Arc::clone(&reasons);
        Arc::new(move |reason: &str| reasons.lock().expect("nobody panics").push(reason.to_owned()))
    };
    let options = KafkaOptions { delivery: Delivery::Always, ..options(&mock) };
    let log = KafkaLog::open(options, directory.path(), Arc::new(GivenTopics), fatal).expect("the log opens");
    append(&log, 0..1);
    mock.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    assert_eq!(suite::wait(log.append(vec![entry(1)])), Err(AppendError::Unknown));
    assert_eq!(suite::wait(log.append(vec![entry(2)])), Err(AppendError::Closed));
    assert_eq!(reasons.lock().expect("nobody panics").len(), 1, "told once");
    assert_eq!(read_all(&log, 1000), [entry(0)]);
}

#[test]
fn an_entry_over_the_limit_is_refused_before_it_is_sent() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(KafkaOptions { entry_bytes_max: 1_000, ..options(&mock) }, directory.path());
    let refused = suite::wait(log.append(vec![entry(0), vec![0; 1_001].into()]));
    assert_eq!(refused, Err(AppendError::TooLarge { bytes: 1_001, limit: 1_000 }));
    assert_eq!(append(&log, 0..1), 0..1, "nothing of it was sent");
    suite::wait(log.append(vec![vec![7; 1_000].into()])).expect("one of exactly the limit");
}
