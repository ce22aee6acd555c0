//! Which topics are taken, and which are refused.

use super::*;
use crate::kafka::{KafkaOpenError, memory_file};
use crate::log::Bounds;
use serde_json::Value;

fn refusal(options: KafkaOptions, directory: &Path) -> String {
    let opened: Result<KafkaLog, KafkaOpenError> =
        KafkaLog::open(options, directory, Arc::new(GivenTopics), never());
    opened.err().expect("it is refused").to_string()
}

#[test]
fn a_restart_goes_on_where_the_log_ended() {
    let mock = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(options(&mock), directory.path());
    assert_eq!(append(&log, 0..5), 0..5);
    drop(log);
    let log = open(options(&mock), directory.path());
    assert_eq!(log.bounds(), Bounds { first: 0, end: 5 });
    assert_eq!(append(&log, 5..8), 5..8);
    assert_eq!(read_all(&log, 10), (0..8).map(entry).collect::<Vec<_>>());
}

#[test]
fn a_topic_that_is_not_as_a_log_needs_it_is_refused() {
    let mock = mock();
    mock.create_topic("wide", 4, 1).expect("a topic");
    let directory = tempfile::tempdir().expect("a directory");
    let cases = [("wide", "4 partitions"), ("missing", "kafka.create_topics")];
    for (topic, problem) in cases {
        let error = refusal(KafkaOptions { topic: topic.to_owned(), ..options(&mock) }, directory.path());
        assert!(error.contains(topic) && error.contains(problem), "{error}");
    }
    let mut unsafe_options = options(&mock);
    unsafe_options.producer.insert("acks".to_owned(), "1".to_owned());
    assert!(refusal(unsafe_options, directory.path()).contains("acks"));
    open(options(&mock), directory.path());
}

#[test]
fn brokers_that_do_not_answer_are_named() {
    let directory = tempfile::tempdir().expect("a directory");
    let nobody = KafkaOptions::new("events", vec!["127.0.0.1:9".to_owned()], TOPIC.to_owned());
    let error =
        refusal(KafkaOptions { start_timeout: Duration::from_millis(300), ..nobody }, directory.path());
    assert!(error.contains("127.0.0.1:9") && error.contains("kafka.brokers"), "{error}");
}

#[test]
fn another_topic_is_never_taken_for_the_one_remembered() {
    let cluster = mock();
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(options(&cluster), directory.path());
    append(&log, 0..5);
    drop(log);

    let fresh = tempfile::tempdir().expect("a directory");
    let error = refusal(options(&cluster), fresh.path());
    assert!(error.contains("knows nothing of them"), "a used topic and a new directory: {error}");

    cluster.create_topic("other", 1, 1).expect("a topic");
    let error = refusal(KafkaOptions { topic: "other".to_owned(), ..options(&cluster) }, directory.path());
    assert!(error.contains("kafka.topic_prefix"), "{error}");

    let elsewhere = mock();
    let error = refusal(options(&elsewhere), directory.path());
    assert!(error.contains("cluster"), "{error}");

    let file = memory_file(directory.path(), "events");
    let text = std::fs::read(&file).expect("the topic is remembered");
    let good: Value = serde_json::from_slice(&text).expect("JSON");
    assert_eq!((&good["end"], &good["witness"]["sequence"]), (&Value::from(5), &Value::from(4)));
    let cases = [("/end", "lost data"), ("/witness/crc32", "made again")];
    for (pointer, problem) in cases {
        let mut wrong = good.clone();
        let value = wrong.pointer_mut(pointer).expect("it is there");
        *value = Value::from(value.as_u64().expect("a number") ^ 8);
        std::fs::write(&file, wrong.to_string()).expect("written");
        let error = refusal(options(&cluster), directory.path());
        assert!(error.contains(problem), "{pointer}: {error}");
    }
    std::fs::write(&file, good.to_string()).expect("written");
    assert_eq!(open(options(&cluster), directory.path()).bounds().end, 5);
}
