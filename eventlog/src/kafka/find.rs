//! What an open does first: wait for the brokers, and find the topic as it has to be.

use super::client::Quiet;
use super::error::KafkaOpenError;
use super::options::{KafkaOptions, client_error};
use super::producer::PARTITION;
use super::topics::{Topics, WantedTopic};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use std::thread;
use std::time::{Duration, Instant};

/// How long one question may take.
const STEP: Duration = Duration::from_secs(2);
/// How long to wait before a question is asked again.
const PAUSE: Duration = Duration::from_millis(100);

/// A topic that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// The cluster's id, where it tells one.
    pub(super) cluster: Option<String>,
    /// The offset of the oldest entry.
    pub(super) low: u64,
    /// One past the offset of the last entry.
    pub(super) high: u64,
}

/// How a topic is.
enum State {
    Ready,
    Missing,
    /// It can't be used yet.
    Coming(String),
    /// It has so many partitions.
    Partitions(usize),
}

/// Waits until the topic can be used, and creates it if it is missing. Blocking.
pub(super) fn find(
    options: &KafkaOptions,
    topics: &dyn Topics,
    wanted: &WantedTopic,
) -> Result<Found, KafkaOpenError> {
    let config = options.lookup_config();
    let consumer: BaseConsumer<Quiet> =
        config.create_with_context(Quiet).map_err(|error| client_error(&error))?;
    let by = Instant::now() + options.start_timeout;
    let mut created = false;
    loop {
        let reason = match state_of(&consumer, &wanted.name) {
            Ok(State::Ready) => break,
            Ok(State::Missing) if !created => {
                topics.create(wanted)?;
                created = true;
                continue;
            }
            Ok(State::Missing) => "the new topic is not known to all brokers yet".to_owned(),
            Ok(State::Coming(why)) | Err(why) => why,
            Ok(State::Partitions(count)) => return Err(wrong_partitions(&wanted.name, count)),
        };
        wait_until(by, options, reason)?;
    }
    if !created {
        topics.check(wanted)?;
    }
    let (low, high) = loop {
        match consumer.fetch_watermarks(&wanted.name, PARTITION, STEP) {
            Ok((low, high)) if low >= 0 && high >= low => break (low.unsigned_abs(), high.unsigned_abs()),
            Ok(_) => wait_until(by, options, "the broker told no offsets".to_owned())?,
            Err(error) => wait_until(by, options, error.to_string())?,
        }
    };
    Ok(Found { cluster: consumer.client().fetch_cluster_id(STEP), low, high })
}

fn state_of(consumer: &BaseConsumer<Quiet>, name: &str) -> Result<State, String> {
    let metadata = consumer.fetch_metadata(Some(name), STEP).map_err(|error| error.to_string())?;
    let Some(topic) = metadata.topics().iter().find(|topic| topic.name() == name) else {
        return Ok(State::Missing);
    };
    if let Some(error) = topic.error() {
        let code = RDKafkaErrorCode::from(error);
        let missing =
            code == RDKafkaErrorCode::UnknownTopicOrPartition || code == RDKafkaErrorCode::UnknownTopic;
        return Ok(if missing { State::Missing } else { State::Coming(code.to_string()) });
    }
    match topic.partitions() {
        [] => Ok(State::Coming("its partition is not there yet".to_owned())),
        [partition] if partition.leader() < 0 => Ok(State::Coming("its partition has no leader".to_owned())),
        [_] => Ok(State::Ready),
        partitions => Ok(State::Partitions(partitions.len())),
    }
}

fn wrong_partitions(topic: &str, count: usize) -> KafkaOpenError {
    KafkaOpenError::Topic {
        topic: topic.to_owned(),
        problem: format!(
            "it has {count} partitions, and a log needs exactly one, whose order counts; delete the topic and let it \
             be created, or choose another kafka.topic_prefix"
        ),
    }
}

fn wait_until(by: Instant, options: &KafkaOptions, reason: String) -> Result<(), KafkaOpenError> {
    if Instant::now() >= by {
        return Err(super::unreachable(options, reason));
    }
    thread::park_timeout(PAUSE);
    Ok(())
}
