//! The logs under test. Kafka is a mock cluster in this process where no broker is given.

use super::kills::Lives;
use super::load::Pace;
use crate::harness::PATIENCE;
use bytes::Bytes;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use std::path::PathBuf;
use std::sync::Arc;
use tributary_eventlog::embedded::EmbeddedLog;
use tributary_eventlog::kafka::{GivenTopics, KafkaLog, KafkaOptions};
use tributary_eventlog::{EventLog, Fatal, LogOptions};

/// The mock keeps about 5 MB of a topic: more kills than this would need more.
const MOCK_KILLS_MAX: usize = 10;
/// Brokers of the mock cluster, for tests that take some away.
const MOCK_BROKERS: i32 = 3;

/// A data directory and where its logs are.
pub(super) struct Logs {
    pub(super) path: PathBuf,
    kafka: Option<Kafka>,
}

struct Kafka {
    brokers: String,
    prefix: String,
    config: String,
    /// It runs as long as this is held.
    mock: Option<MockCluster<'static, DefaultProducerContext>>,
}

impl Logs {
    /// Everything in the data directory.
    pub(super) fn embedded(path: PathBuf) -> Self {
        Self { path, kafka: None }
    }

    /// Events and activations in topics of their own, at these brokers or in a mock cluster.
    pub(super) fn kafka(path: PathBuf, brokers: Option<String>) -> Self {
        let parent = path.parent().and_then(|parent| parent.file_name()).expect("a directory of its own");
        let unique = parent.to_str().expect("text").trim_start_matches('.');
        let prefix = format!("crash.{unique}");
        let (brokers, mock) = match brokers {
            Some(brokers) => (brokers, None),
            None => {
                let mock = MockCluster::new(MOCK_BROKERS).expect("a mock cluster");
                for log in ["events", "activations"] {
                    mock.create_topic(&format!("{prefix}.{log}"), 1, MOCK_BROKERS).expect("a topic");
                }
                (mock.bootstrap_servers(), Some(mock))
            }
        };
        let config = path.with_extension("toml");
        let text = format!("[kafka]\ntopic_prefix = \"{prefix}\"\ncreate_topics = {}\n", mock.is_none());
        std::fs::write(&config, text).expect("written");
        let config = config.to_str().expect("text").to_owned();
        Self { path, kafka: Some(Kafka { brokers, prefix, config, mock }) }
    }

    /// How `cargo xtask crash` calls it.
    pub(super) fn name(&self) -> &'static str {
        if self.kafka.is_some() { "kafka" } else { "embedded" }
    }

    /// What the server is started with.
    pub(super) fn arguments(&self) -> Vec<&str> {
        match &self.kafka {
            Some(kafka) => {
                vec!["--log", "kafka", "--kafka-brokers", &kafka.brokers, "--config", &kafka.config]
            }
            None => Vec::new(),
        }
    }

    /// Whether an entry may be there twice: what a killed process sent may arrive after its successor sent it again.
    pub(super) fn may_repeat(&self) -> bool {
        self.kafka.is_some()
    }

    /// How hard the load may press.
    pub(super) fn pace(&self) -> Pace {
        match self.is_mock() {
            true => Pace { senders: 1, events: 2, ahead: 12, orders_every: Some(4), answer_within: PATIENCE },
            false => {
                Pace { senders: 4, events: 20, ahead: 200, orders_every: Some(6), answer_within: PATIENCE }
            }
        }
    }

    /// How long lives may be.
    pub(super) fn lives(&self) -> Lives {
        match self.is_mock() {
            true => Lives { posts_max: 6, points_divisor: 4 },
            false => Lives { posts_max: 40, points_divisor: 1 },
        }
    }

    /// As many kills as are wanted and possible.
    pub(super) fn kills_max(&self, wanted: usize) -> usize {
        if self.is_mock() && wanted > MOCK_KILLS_MAX {
            println!(
                "{MOCK_KILLS_MAX} kills instead of {wanted}: the mock cluster is small; give it brokers"
            );
            return MOCK_KILLS_MAX;
        }
        wanted
    }

    /// The mock cluster, where it is one.
    pub(super) fn mock(&self) -> Option<&MockCluster<'static, DefaultProducerContext>> {
        self.kafka.as_ref()?.mock.as_ref()
    }

    /// The addresses of the brokers.
    pub(super) fn brokers(&self) -> &str {
        &self.in_kafka().brokers
    }

    /// The topics of events and activations.
    pub(super) fn topics(&self) -> [String; 2] {
        ["events", "activations"].map(|log| format!("{}.{log}", self.in_kafka().prefix))
    }

    fn in_kafka(&self) -> &Kafka {
        self.kafka.as_ref().expect("these logs are in Kafka")
    }

    fn is_mock(&self) -> bool {
        self.mock().is_some()
    }

    /// Opens a log of the stopped server.
    pub(super) fn open(&self, name: &'static str) -> Arc<dyn EventLog> {
        let fatal: Fatal = Arc::new(|reason: &str| panic!("{reason}"));
        match &self.kafka {
            Some(kafka) if name != "rejects" => {
                let brokers = kafka.brokers.split(',').map(str::to_owned).collect();
                let options = KafkaOptions::new(name, brokers, format!("{}.{name}", kafka.prefix));
                let log = KafkaLog::open(options, &self.path, Arc::new(GivenTopics), fatal);
                Arc::new(log.expect("the topic opens"))
            }
            Some(_) | None => {
                let log = EmbeddedLog::open(&self.path.join(name), LogOptions::new(name), fatal);
                Arc::new(log.expect("the log opens"))
            }
        }
    }

    /// Every entry of a log of the stopped server, with its sequence.
    pub(super) fn read(&self, name: &'static str) -> Vec<(u64, Bytes)> {
        let log = self.open(name);
        let bounds = log.bounds();
        assert_eq!(bounds.first, 0, "the {name} log still has its beginning");
        let mut entries = Vec::new();
        let mut next = bounds.first;
        while next < bounds.end {
            for entry in log.read(next, 1 << 20).expect("it can be read") {
                next = entry.sequence + 1;
                entries.push((entry.sequence, entry.bytes));
            }
        }
        log.close();
        entries
    }
}
