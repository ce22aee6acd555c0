//! The log in Kafka on a mock cluster within the process, and on a real one where the environment names its brokers.
//!
//! The mock has no administration of topics, so tests create theirs. It keeps about 5 MB of a topic.

mod faults;
mod opening;
mod reading;

use super::{BrokerTopics, Delivery, GivenTopics, KafkaLog, KafkaOptions, Topics};
use crate::embedded::Fatal;
use crate::log::EventLog;
use crate::suite::{self, Appends};
use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than any step of a healthy log takes.
const PATIENCE: Duration = Duration::from_secs(60);
const TOPIC: &str = "test.events";

type Mock = MockCluster<'static, DefaultProducerContext>;

fn mock() -> Mock {
    let mock = MockCluster::new(1).expect("a mock cluster");
    mock.create_topic(TOPIC, 1, 1).expect("a topic");
    mock
}

/// A log that must not fail.
fn never() -> Fatal {
    fn fail(reason: &str) {
        panic!("{reason}");
    }
    Arc::new(fail)
}

/// Options for tests: a client that comes back quickly, and appends that a busy machine does not make too late.
fn options(mock: &Mock) -> KafkaOptions {
    let brokers = mock.bootstrap_servers().split(',').map(str::to_owned).collect();
    let mut options = KafkaOptions::new("events", brokers, TOPIC.to_owned());
    options.client.insert("reconnect.backoff.max.ms".to_owned(), "200".to_owned());
    options.start_timeout = PATIENCE;
    options.delivery = Delivery::Within(PATIENCE);
    options
}

fn open(options: KafkaOptions, directory: &Path) -> KafkaLog {
    KafkaLog::open(options, directory, Arc::new(GivenTopics), never()).expect("the log opens")
}

fn entry(number: u64) -> Bytes {
    Bytes::from(format!("entry {number}"))
}

fn append(log: &KafkaLog, numbers: Range<u64>) -> Range<u64> {
    suite::wait(log.append(numbers.map(entry).collect())).expect("a healthy log takes appends")
}

fn read_all(log: &KafkaLog, bytes_max: usize) -> Vec<Bytes> {
    let mut next = log.bounds().first;
    let mut all = Vec::new();
    while next < log.bounds().end {
        for entry in log.read(next, bytes_max).expect("a healthy log reads") {
            assert_eq!(entry.sequence, next, "sequences have no gaps");
            next += 1;
            all.push(entry.bytes);
        }
    }
    all
}

/// Waits until something holds, and fails the test if it never does.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < by, "{what}: not within {PATIENCE:?}");
        std::thread::yield_now();
    }
}

/// Runs the conformance suite with new logs from `make`, which is told the number of each.
fn conforms(mut make: impl FnMut(u32, &Path) -> KafkaLog) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut number = 0;
    suite::run(Appends::InOrder, || {
        number += 1;
        let place = directory.path().join(number.to_string());
        std::fs::create_dir(&place).expect("a directory of its own");
        Arc::new(make(number, &place))
    });
}

#[test]
fn it_conforms_with_and_without_a_tail_and_however_long_it_tries() {
    for (name, tail_bytes, delivery) in [
        ("tail", 32 << 20, Delivery::Within(PATIENCE)),
        ("no-tail", 0, Delivery::Within(PATIENCE)),
        ("always", 1 << 10, Delivery::Always),
    ] {
        let mock = mock();
        conforms(|number, place| {
            let topic = format!("{name}-{number}");
            mock.create_topic(&topic, 1, 1).expect("a topic");
            open(KafkaOptions { topic, tail_bytes, delivery, ..options(&mock) }, place)
        });
    }
}

/// On the brokers of `TRIBUTARY_TEST_KAFKA_BROKERS` with topics that the log creates; on the mock without it.
#[test]
#[allow(clippy::disallowed_methods, reason = "a test's own switch, as the rewriting of golden files is")]
fn it_conforms_on_the_brokers_of_the_environment() {
    let mock = mock();
    let brokers = std::env::var("TRIBUTARY_TEST_KAFKA_BROKERS").ok();
    let run = std::process::id();
    let mut created: Vec<String> = Vec::new();
    let mut real = None;
    conforms(|number, place| {
        let topic = format!("tributary-test-{run}-{number}");
        match &brokers {
            Some(brokers) => {
                let brokers = brokers.split(',').map(str::to_owned).collect();
                let options = KafkaOptions {
                    start_timeout: PATIENCE,
                    delivery: Delivery::Within(PATIENCE),
                    tail_bytes: 0,
                    ..KafkaOptions::new("events", brokers, topic.clone())
                };
                let topics = Arc::new(BrokerTopics::new(&options).expect("the settings are fine"));
                created.push(topic);
                real = Some(Arc::clone(&topics));
                let topics: Arc<dyn Topics> = topics;
                KafkaLog::open(options, place, topics, never()).expect("the log opens")
            }
            None => {
                mock.create_topic(&topic, 1, 1).expect("a topic");
                open(KafkaOptions { topic, ..options(&mock) }, place)
            }
        }
    });
    if let Some(topics) = real {
        let names: Vec<&str> = created.iter().map(String::as_str).collect();
        topics.delete(&names).expect("the test's topics go away");
    }
}
