//! Where events and activations are kept, and the section `kafka`: brokers, topics, and every setting of the clients.
//!
//! The tables `kafka.client`, `kafka.producer`, `kafka.consumer` and `kafka.topic` hold settings by the names that
//! librdkafka and Kafka give them. Values that may be secrets are never printed.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tributary_eventlog::kafka::{Delivery, KafkaOptions, Settings, TopicSetup};

use super::error::{ConfigError, Origin};
use super::given::Given;
use super::section::{Setting, setting};
use super::{IngestSettings, LogSettings, ServeArgs};

const MIB: u64 = 1 << 20;
const EVENT_LOG: &str = "event_log";
const BROKERS: &str = "kafka.brokers";
const TOPIC_PREFIX: &str = "kafka.topic_prefix";
const CREATE_TOPICS: &str = "kafka.create_topics";
const REPLICATION_FACTOR: &str = "kafka.replication_factor";
const DELIVERY_TIMEOUT: &str = "kafka.delivery_timeout_seconds";
const START_TIMEOUT: &str = "kafka.start_timeout_seconds";
const TAIL_CACHE: &str = "kafka.tail_cache_bytes";

const DEFAULT_PREFIX: &str = "tributary";
const DEFAULT_REPLICATION: i32 = -1;
const DELIVERY_SECONDS: u64 = 10;
const START_SECONDS: u64 = 30;
const SECONDS: RangeInclusive<u64> = 1..=3_600;
const TAIL_BYTES: u64 = 32 * MIB;
const TAIL_RANGE: RangeInclusive<u64> = 0..=1_024 * MIB;
/// Kafka takes names of 249 characters; the longest ending is `.activations`.
const PREFIX_BYTES_MAX: usize = 200;

/// Where events and activations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventLogKind {
    /// In segment files of the data directory.
    Embedded,
    /// In topics of Kafka.
    Kafka,
}

impl EventLogKind {
    /// How it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Kafka => "kafka",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Embedded, Self::Kafka].into_iter().find(|kind| kind.name() == text)
    }

    pub(super) fn check(
        args: &ServeArgs,
        written: Option<&str>,
        given: &Given<'_>,
    ) -> Result<(Origin, Self), ConfigError> {
        let flag = args.event_log.as_ref().map(|text| ("--log", text.clone()));
        let (origin, text) = given.text(EVENT_LOG, flag, written, Self::Embedded.name());
        match Self::parse(&text) {
            Some(kind) => Ok((origin, kind)),
            None => {
                let advice = "give embedded or kafka".to_owned();
                Err(ConfigError::Value { origin, key: EVENT_LOG, value: text, advice })
            }
        }
    }
}

/// Settings of a client or topic, by name. What may be a secret is not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientSettings(Settings);

impl ClientSettings {
    /// What to show of a value.
    fn shown<'a>(key: &str, value: &'a str) -> &'a str {
        if is_secret(key) { "********" } else { value }
    }

    fn secrets(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str).filter(|key| is_secret(key))
    }

    fn written(&self) -> BTreeMap<String, toml::Value> {
        let open = self.0.iter().filter(|(key, _)| !is_secret(key));
        open.map(|(key, value)| (key.clone(), toml::Value::String(value.clone()))).collect()
    }
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_map().entries(self.0.iter().map(|(key, value)| (key, Self::shown(key, value)))).finish()
    }
}

/// Whether the value of a setting may be a secret: whatever has to do with passwords, keys and tokens.
fn is_secret(key: &str) -> bool {
    [
        "password",
        "secret",
        "passphrase",
        "ssl.key.pem",
        "private.key",
        "sasl.oauthbearer.config",
        "jaas",
        "token",
    ]
    .iter()
    .any(|part| key.contains(part))
        && !key.ends_with(".url")
        && !key.ends_with(".location")
}

/// How the logs are kept in Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaSettings {
    /// Addresses of brokers to begin with.
    pub brokers: Vec<String>,
    /// What the names of the topics begin with.
    pub topic_prefix: String,
    /// Whether topics are created, checked, and cleared of what is too old.
    pub create_topics: bool,
    /// How many brokers keep a copy; -1 leaves it to the cluster.
    pub replication_factor: i32,
    /// How long the collector waits for the answer that an event is stored.
    pub delivery_timeout: Duration,
    /// How long a start waits for the brokers.
    pub start_timeout: Duration,
    /// Bytes of the newest entries of each log that are held in memory.
    pub tail_cache_bytes: u64,
    /// Settings of every client.
    pub client: ClientSettings,
    /// Further settings of the producers.
    pub producer: ClientSettings,
    /// Further settings of the consumers.
    pub consumer: ClientSettings,
    /// Further settings of the topics.
    pub topic: ClientSettings,
}

/// The section as written.
#[derive(Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WrittenKafka {
    brokers: Option<Vec<String>>,
    topic_prefix: Option<String>,
    create_topics: Option<bool>,
    replication_factor: Option<i32>,
    delivery_timeout_seconds: Option<u64>,
    start_timeout_seconds: Option<u64>,
    tail_cache_bytes: Option<u64>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    client: BTreeMap<String, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    producer: BTreeMap<String, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    consumer: BTreeMap<String, toml::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    topic: BTreeMap<String, toml::Value>,
}

impl fmt::Debug for WrittenKafka {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("WrittenKafka")
    }
}

impl KafkaSettings {
    pub(super) fn check(
        args: &ServeArgs,
        written: &WrittenKafka,
        given: &Given<'_>,
    ) -> Result<Self, ConfigError> {
        let second =
            |key, in_file, default| given.number(key, in_file, default, &SECONDS).map(Duration::from_secs);
        let settings = Self {
            brokers: brokers(args, written, given)?,
            topic_prefix: topic_prefix(written, given)?,
            create_topics: parsed(CREATE_TOPICS, written.create_topics, true, "give true or false", given)?,
            replication_factor: replication_factor(written, given)?,
            delivery_timeout: second(DELIVERY_TIMEOUT, written.delivery_timeout_seconds, DELIVERY_SECONDS)?,
            start_timeout: second(START_TIMEOUT, written.start_timeout_seconds, START_SECONDS)?,
            tail_cache_bytes: given.number(TAIL_CACHE, written.tail_cache_bytes, TAIL_BYTES, &TAIL_RANGE)?,
            client: table("kafka.client", &written.client, given)?,
            producer: table("kafka.producer", &written.producer, given)?,
            consumer: table("kafka.consumer", &written.consumer, given)?,
            topic: table("kafka.topic", &written.topic, given)?,
        };
        let options =
            settings.options("events", Delivery::Always, 0, &LogSettings::default(), Duration::ZERO);
        match options.check() {
            Ok(()) => Ok(settings),
            Err(error) => Err(ConfigError::Clash { origin: given.in_file(), message: error.to_string() }),
        }
    }

    /// Whether there is a broker to begin with, which a log in Kafka needs.
    pub(super) fn check_brokers(&self, origin: Origin) -> Result<(), ConfigError> {
        if self.brokers.is_empty() {
            let message = "event_log is kafka, but there are no brokers; name them with --kafka-brokers, \
                           TRIBUTARY_KAFKA_BROKERS or kafka.brokers, such as 127.0.0.1:9092"
                .to_owned();
            return Err(ConfigError::Clash { origin, message });
        }
        Ok(())
    }

    pub(super) fn written(&self) -> WrittenKafka {
        WrittenKafka {
            brokers: Some(self.brokers.clone()),
            topic_prefix: Some(self.topic_prefix.clone()),
            create_topics: Some(self.create_topics),
            replication_factor: Some(self.replication_factor),
            delivery_timeout_seconds: Some(self.delivery_timeout.as_secs()),
            start_timeout_seconds: Some(self.start_timeout.as_secs()),
            tail_cache_bytes: Some(self.tail_cache_bytes),
            client: self.client.written(),
            producer: self.producer.written(),
            consumer: self.consumer.written(),
            topic: self.topic.written(),
        }
    }

    /// Comments that say which settings are not printed.
    pub(super) fn hidden(&self) -> String {
        let tables = [
            ("client", &self.client),
            ("producer", &self.producer),
            ("consumer", &self.consumer),
            ("topic", &self.topic),
        ];
        let hidden = tables.into_iter().flat_map(|(name, table)| {
            table.secrets().map(move |key| format!("# kafka.{name}.\"{key}\": ********\n"))
        });
        hidden.collect()
    }

    pub(super) fn settings() -> Vec<Setting> {
        let row = |key, default: &str, allowed: &str, help: &str| Setting {
            key,
            default: default.to_owned(),
            allowed: allowed.to_owned(),
            help: help.to_owned(),
        };
        vec![
            row(
                BROKERS,
                "none",
                "`host:port`, several with commas between (in the file: a list)",
                "Brokers to begin with.",
            ),
            row(
                TOPIC_PREFIX,
                DEFAULT_PREFIX,
                "1 to 200 of letters, digits, `.`, `_`, `-`",
                "What the names of the two topics begin with, before `.events` and `.activations`.",
            ),
            row(
                CREATE_TOPICS,
                "true",
                "true or false",
                "Whether topics are created where they are missing, checked, and cleared of what is too old. \
                 Without it all three are up to you.",
            ),
            row(
                REPLICATION_FACTOR,
                "-1",
                "-1 or 1 to 127",
                "How many brokers keep a copy of a topic that is created; -1 is the cluster's default.",
            ),
            setting(
                DELIVERY_TIMEOUT,
                DELIVERY_SECONDS,
                &SECONDS,
                &[
                    "How many seconds the collector waits for the answer that an event is stored;",
                    "then it answers 503.",
                ],
            ),
            setting(
                START_TIMEOUT,
                START_SECONDS,
                &SECONDS,
                &["How many seconds a start waits for the brokers."],
            ),
            setting(
                TAIL_CACHE,
                TAIL_BYTES,
                &TAIL_RANGE,
                &[
                    "How many bytes of the newest entries of each log are held in memory,",
                    "so that reading them asks no broker.",
                ],
            ),
        ]
    }

    /// The row of the setting that chooses the log.
    pub(super) fn event_log_setting() -> Setting {
        Setting {
            key: EVENT_LOG,
            default: EventLogKind::Embedded.name().to_owned(),
            allowed: "embedded or kafka".to_owned(),
            help: "Where events and activations are kept: in files of the data directory, or in Kafka."
                .to_owned(),
        }
    }

    /// The options of the events log. What it does not acknowledge is posted again, so it gives up in time.
    pub fn events(&self, ingest: &IngestSettings, log: &LogSettings, age: Duration) -> KafkaOptions {
        let delivery = Delivery::Within(self.delivery_timeout);
        self.options("events", delivery, largest_event(ingest), log, age)
    }

    /// The options of the activations log. It must have no gap, so it never gives up. An activation is an event and
    /// what is known of its profile.
    pub fn activations(&self, ingest: &IngestSettings, log: &LogSettings, age: Duration) -> KafkaOptions {
        self.options("activations", Delivery::Always, 2 * largest_event(ingest), log, age)
    }

    fn options(
        &self,
        name: &'static str,
        delivery: Delivery,
        entry_bytes: u64,
        log: &LogSettings,
        age: Duration,
    ) -> KafkaOptions {
        let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        KafkaOptions {
            client: self.client.0.clone(),
            producer: self.producer.0.clone(),
            consumer: self.consumer.0.clone(),
            topic_setup: TopicSetup {
                replication_factor: self.replication_factor,
                entries: self.topic.0.clone(),
            },
            delivery,
            start_timeout: self.start_timeout,
            entry_bytes_max: size(entry_bytes),
            queue_appends_max: size(log.queue_appends_max),
            queue_bytes_max: size(log.queue_bytes_max),
            tail_bytes: size(self.tail_cache_bytes),
            retention_age: Some(age),
            ..KafkaOptions::new(name, self.brokers.clone(), self.topic_name(name))
        }
    }

    /// The name of the topic of a log.
    pub fn topic_name(&self, log: &str) -> String {
        format!("{}.{log}", self.topic_prefix)
    }
}

/// Bytes of the largest event with its envelope, and with what a batch may add to it.
fn largest_event(ingest: &IngestSettings) -> u64 {
    ingest.event_bytes_max + MIB
}

fn brokers(args: &ServeArgs, written: &WrittenKafka, given: &Given<'_>) -> Result<Vec<String>, ConfigError> {
    let flag = args.kafka_brokers.as_ref().map(|text| ("--kafka-brokers", text.clone()));
    let in_file = written.brokers.as_ref().map(|brokers| brokers.join(","));
    let (origin, text) = given.text(BROKERS, flag, in_file.as_deref(), "");
    let brokers: Vec<String> = match text.trim() {
        "" => Vec::new(),
        text => text.split(',').map(|broker| broker.trim().to_owned()).collect(),
    };
    match brokers.iter().all(|broker| is_address(broker)) {
        true => Ok(brokers),
        false => {
            let advice = "give host:port, several with commas between, such as 127.0.0.1:9092".to_owned();
            Err(ConfigError::Value { origin, key: BROKERS, value: text, advice })
        }
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && !host.contains(char::is_whitespace)
            && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

fn topic_prefix(written: &WrittenKafka, given: &Given<'_>) -> Result<String, ConfigError> {
    let (origin, text) = given.text(TOPIC_PREFIX, None, written.topic_prefix.as_deref(), DEFAULT_PREFIX);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if !text.is_empty() && text.len() <= PREFIX_BYTES_MAX && text.bytes().all(fits) {
        return Ok(text);
    }
    let advice = format!("give 1 to {PREFIX_BYTES_MAX} of letters, digits, `.`, `_`, `-`");
    Err(ConfigError::Value { origin, key: TOPIC_PREFIX, value: text, advice })
}

fn replication_factor(written: &WrittenKafka, given: &Given<'_>) -> Result<i32, ConfigError> {
    const ADVICE: &str = "give -1 for the cluster's default, or 1 to 127";
    let factor = parsed(REPLICATION_FACTOR, written.replication_factor, DEFAULT_REPLICATION, ADVICE, given)?;
    if factor == -1 || (1..=127).contains(&factor) {
        return Ok(factor);
    }
    let (origin, value) = given.text(REPLICATION_FACTOR, None, Some(&factor.to_string()), "");
    Err(ConfigError::Value { origin, key: REPLICATION_FACTOR, value, advice: ADVICE.to_owned() })
}

fn parsed<T: FromStr + ToString>(
    key: &'static str,
    in_file: Option<T>,
    default: T,
    advice: &str,
    given: &Given<'_>,
) -> Result<T, ConfigError> {
    let in_file = in_file.map(|value| value.to_string());
    let (origin, text) = given.text(key, None, in_file.as_deref(), &default.to_string());
    text.parse().map_err(|_| ConfigError::Value { origin, key, value: text, advice: advice.to_owned() })
}

/// A table of settings. A name with dots that was not put in quotes is a table in TOML: it is the same name.
fn table(
    section: &'static str,
    written: &BTreeMap<String, toml::Value>,
    given: &Given<'_>,
) -> Result<ClientSettings, ConfigError> {
    let mut settings = Settings::new();
    for (key, value) in written {
        flatten(key, value, &mut settings).map_err(|key| ConfigError::Value {
            origin: given.in_file(),
            key: section,
            value: key,
            advice: "give this setting a text, a number, or true or false".to_owned(),
        })?;
    }
    Ok(ClientSettings(settings))
}

fn flatten(key: &str, value: &toml::Value, into: &mut Settings) -> Result<(), String> {
    let text = match value {
        toml::Value::String(text) => text.clone(),
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(truth) => truth.to_string(),
        toml::Value::Table(table) => {
            for (name, value) in table {
                flatten(&format!("{key}.{name}"), value, into)?;
            }
            return Ok(());
        }
        toml::Value::Datetime(_) | toml::Value::Array(_) => return Err(key.to_owned()),
    };
    into.insert(key.to_owned(), text);
    Ok(())
}

#[cfg(test)]
mod tests;
