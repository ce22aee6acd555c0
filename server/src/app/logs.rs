//! The three logs, opened before anything else.
//!
//! Events and activations are in segment files or in Kafka; rejects are always in segment files. A data directory
//! belongs to one of the two: everything in it (state, indexes, cursors) points into its logs, and entries don't move
//! by themselves. So a directory with segment files of events is never served from Kafka, nor the other way round.

use super::{StartError, configs};
use crate::config::{Config, EventLogKind};
use crate::lifecycle::Fatal;
use std::path::Path;
use std::sync::Arc;
use tributary_eventlog::embedded::EmbeddedLog;
use tributary_eventlog::kafka::{BrokerTopics, GivenTopics, KafkaLog, KafkaOptions, Topics, memory_file};
use tributary_eventlog::{EventLog, LogOptions};
use tributary_model::Timestamp;
use tributary_model::clock::Clock;

/// Events, activations, rejects.
#[derive(Clone)]
pub(super) struct Logs {
    pub(super) events: Arc<dyn EventLog>,
    pub(super) activations: Arc<dyn EventLog>,
    pub(super) rejects: Arc<dyn EventLog>,
}

impl Logs {
    /// Opens or creates them. What the projector needs is protected from the first moment on.
    pub(super) fn open(config: &Config, clock: &Arc<dyn Clock>, fatal: &Fatal) -> Result<Self, StartError> {
        let embedded = |options: LogOptions| -> Result<Arc<dyn EventLog>, StartError> {
            let name = options.name;
            let directory = config.data_dir.join(name);
            EmbeddedLog::open(&directory, options, Arc::clone(fatal))
                .map(|log| Arc::new(log) as Arc<dyn EventLog>)
                .map_err(|source| StartError::Log { name, source })
        };
        let (events, activations) = match config.event_log {
            EventLogKind::Embedded => {
                check_not_in_kafka(&config.data_dir)?;
                let events = embedded(configs::events_log(config, clock))?;
                tributary_profiles::projector::protect_all(&*events);
                (events, embedded(configs::activations_log(config, clock))?)
            }
            EventLogKind::Kafka => {
                check_not_embedded(&config.data_dir)?;
                let options = configs::events_in_kafka(config);
                let topics = topics(config, &options)?;
                let events = in_kafka(config, options, &topics, fatal)?;
                tributary_profiles::projector::protect_all(&*events);
                (events, in_kafka(config, configs::activations_in_kafka(config), &topics, fatal)?)
            }
        };
        Ok(Self { events, activations, rejects: embedded(configs::rejects_log(config, clock))? })
    }

    /// Removes what retention no longer keeps.
    pub(super) fn enforce_retention(&self, now: Timestamp) {
        for log in [&self.events, &self.activations, &self.rejects] {
            if let Err(error) = log.enforce_retention(now) {
                tracing::warn!(%error, "retention could not remove what is too old; it tries again");
            }
        }
    }

    /// Makes everything durable and refuses further appends.
    pub(super) fn close(&self) {
        for log in [&self.events, &self.rejects, &self.activations] {
            log.close();
        }
    }
}

/// The logs that may be in Kafka.
const MOVABLE: [&str; 2] = ["events", "activations"];

fn check_not_in_kafka(data_dir: &Path) -> Result<(), StartError> {
    match MOVABLE.into_iter().map(|name| memory_file(data_dir, name)).find(|file| file.exists()) {
        Some(file) => Err(StartError::OtherLog { found: file, wanted: "embedded", holder: "kafka" }),
        None => Ok(()),
    }
}

/// A directory of segment files has a file from its first start on.
fn check_not_embedded(data_dir: &Path) -> Result<(), StartError> {
    let holds_files =
        |directory: &Path| std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_some());
    match MOVABLE.into_iter().map(|name| data_dir.join(name)).find(|directory| holds_files(directory)) {
        Some(directory) => {
            Err(StartError::OtherLog { found: directory, wanted: "kafka", holder: "embedded" })
        }
        None => Ok(()),
    }
}

fn topics(config: &Config, options: &KafkaOptions) -> Result<Arc<dyn Topics>, StartError> {
    if !config.kafka.create_topics {
        return Ok(Arc::new(GivenTopics));
    }
    match BrokerTopics::new(options) {
        Ok(topics) => Ok(Arc::new(topics)),
        Err(source) => Err(StartError::Kafka { name: options.name, source: Box::new(source) }),
    }
}

fn in_kafka(
    config: &Config,
    options: KafkaOptions,
    topics: &Arc<dyn Topics>,
    fatal: &Fatal,
) -> Result<Arc<dyn EventLog>, StartError> {
    let name = options.name;
    KafkaLog::open(options, &config.data_dir, Arc::clone(topics), Arc::clone(fatal))
        .map(|log| Arc::new(log) as Arc<dyn EventLog>)
        .map_err(|source| StartError::Kafka { name, source: Box::new(source) })
}
