//! How a log in Kafka behaves, and the settings of its clients.
//!
//! Every setting of librdkafka may be given, but for those that the log's promises rest on: they are refused with
//! the setting to use instead, so that none of them is silently without effect.

use super::error::KafkaOpenError;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings by the names that librdkafka and Kafka use.
pub type Settings = BTreeMap<String, String>;

/// What a message needs beside its entry at most, by the client's own reckoning.
const FRAMING_BYTES: usize = 512;

/// How long an append is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// So long, then the append ends with `AppendError::Unknown`. A later one may succeed all the same: the entries
    /// of such a log must not depend on each other.
    Within(Duration),
    /// As long as the process lives. No entry is given up, so no later one can get into the log before it.
    Always,
}

/// How a log in Kafka behaves. [`KafkaOptions::new`] has the defaults.
#[derive(Clone)]
pub struct KafkaOptions {
    /// The log's name in metrics, thread names and the file that remembers its topic.
    pub name: &'static str,
    /// Addresses (`host:port`) of brokers to begin with.
    pub brokers: Vec<String>,
    /// The topic.
    pub topic: String,
    /// Settings of every client.
    pub client: Settings,
    /// Further settings of the producer.
    pub producer: Settings,
    /// Further settings of the consumers.
    pub consumer: Settings,
    /// How the topic is set up where it has to be created, and what it is checked for.
    pub topic_setup: TopicSetup,
    /// How long an append is tried.
    pub delivery: Delivery,
    /// How long an open waits for the brokers. 30 s.
    pub start_timeout: Duration,
    /// The largest entry, unless the producer's settings say otherwise. 2 MB.
    pub entry_bytes_max: usize,
    /// Appends that may wait for an answer. 16,384.
    pub queue_appends_max: usize,
    /// Bytes of entries that may wait; a single larger append is taken when none waits. 64 MB.
    pub queue_bytes_max: usize,
    /// Bytes of the newest entries that are held in memory for readers. 32 MB.
    pub tail_bytes: usize,
    /// Consumers that read on in order at one time. 6.
    pub readers_max: usize,
    /// Consumers that look up single entries at one time. 2.
    pub lookups_max: usize,
    /// Entries older than this are removed. None: they are kept.
    pub retention_age: Option<Duration>,
}

/// The settings of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSetup {
    /// How many brokers keep a copy; -1 leaves it to the cluster.
    pub replication_factor: i32,
    /// Topic settings on top of those that the log needs.
    pub entries: Settings,
}

impl KafkaOptions {
    /// The defaults, without retention.
    pub fn new(name: &'static str, brokers: Vec<String>, topic: String) -> Self {
        Self {
            name,
            brokers,
            topic,
            client: Settings::new(),
            producer: Settings::new(),
            consumer: Settings::new(),
            topic_setup: TopicSetup { replication_factor: -1, entries: Settings::new() },
            delivery: Delivery::Within(Duration::from_secs(10)),
            start_timeout: Duration::from_secs(30),
            entry_bytes_max: 2 << 20,
            queue_appends_max: 16_384,
            queue_bytes_max: 64 << 20,
            tail_bytes: 32 << 20,
            readers_max: 6,
            lookups_max: 2,
            retention_age: None,
        }
    }

    /// The brokers as one text.
    pub(super) fn brokers_text(&self) -> String {
        self.brokers.join(",")
    }

    /// The settings that every client begins with.
    fn common(&self) -> Settings {
        let mut settings = Settings::new();
        let mut set = |key: &str, value: &str| settings.insert(key.to_owned(), value.to_owned());
        set("client.id", "tributary");
        set("reconnect.backoff.max.ms", "1000");
        // A request to a broker that stands still is given up in time for the next leader to take it.
        set("socket.timeout.ms", "6000");
        settings.extend(self.client.clone());
        settings.insert("bootstrap.servers".to_owned(), self.brokers_text());
        settings
    }

    /// The configuration of the producer.
    pub(super) fn producer_config(&self) -> Result<ClientConfig, KafkaOpenError> {
        self.check()?;
        let mut settings = self.common();
        let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
        set("compression.type", "lz4".to_owned());
        set("linger.ms", "5".to_owned());
        set("message.max.bytes", (self.entry_bytes_max + FRAMING_BYTES).to_string());
        // A setting for every client may be meant for the producer too.
        settings.extend(self.client.clone());
        settings.extend(self.producer.clone());
        let mut set = |key: &str, value: String| settings.insert(key.to_owned(), value);
        set("enable.idempotence", "true".to_owned());
        set("acks", "all".to_owned());
        set("allow.auto.create.topics", "false".to_owned());
        // The log counts what waits by itself, for whole appends; the client must not refuse half of one.
        set("queue.buffering.max.messages", "0".to_owned());
        set("queue.buffering.max.kbytes", "2147483647".to_owned());
        match self.delivery {
            Delivery::Within(timeout) => set("message.timeout.ms", millis(timeout)),
            Delivery::Always => {
                // An error that would leave a gap stops the producer instead.
                set("enable.gapless.guarantee", "true".to_owned());
                set("message.timeout.ms", "0".to_owned())
            }
        };
        Ok(config(&settings))
    }

    /// The configuration of a consumer that reads on in order.
    pub(super) fn reader_config(&self) -> ClientConfig {
        self.consumer_config(&[
            ("queued.min.messages", "20000"),
            ("queued.max.messages.kbytes", "8192"),
            ("fetch.message.max.bytes", "1048576"),
        ])
    }

    /// The configuration of a consumer that looks up single entries, and should fetch little beside them.
    pub(super) fn lookup_config(&self) -> ClientConfig {
        self.consumer_config(&[
            ("queued.min.messages", "1"),
            ("queued.max.messages.kbytes", "4096"),
            ("fetch.message.max.bytes", "65536"),
        ])
    }

    fn consumer_config(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut settings = self.common();
        let defaults = [
            // No group is joined and nothing is committed; a consumer without a name of one can't be assigned by hand.
            ("group.id", "tributary"),
            ("check.crcs", "true"),
            // A fetch that waits at the end of the log holds up the next position for as long.
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.error.backoff.ms", "100"),
        ];
        for (key, value) in defaults.iter().chain(own) {
            settings.insert((*key).to_owned(), (*value).to_owned());
        }
        settings.extend(self.client.clone());
        settings.extend(self.consumer.clone());
        for (key, value) in [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", "error"),
            ("allow.auto.create.topics", "false"),
        ] {
            settings.insert(key.to_owned(), value.to_owned());
        }
        config(&settings)
    }

    /// The configuration of a client that creates topics and changes them.
    pub(super) fn admin_config(&self) -> ClientConfig {
        let mut settings = self.common();
        settings.insert("allow.auto.create.topics".to_owned(), "false".to_owned());
        config(&settings)
    }

    /// The bytes of the largest entry, as the producer's settings have it.
    ///
    /// # Errors
    /// If `message.max.bytes` is no number.
    pub fn largest_entry(&self) -> Result<usize, KafkaOpenError> {
        let given = [("producer", &self.producer), ("client", &self.client)]
            .into_iter()
            .find_map(|(section, settings)| Some((section, settings.get("message.max.bytes")?)));
        let Some((section, text)) = given else { return Ok(self.entry_bytes_max) };
        let bytes: usize = text.parse().map_err(|_| KafkaOpenError::Setting {
            section,
            key: "message.max.bytes".to_owned(),
            problem: "it is no whole number".to_owned(),
        })?;
        Ok(bytes.saturating_sub(FRAMING_BYTES))
    }

    /// Whether the settings leave the log's promises alone.
    ///
    /// # Errors
    /// The first one that does not, with what to use instead.
    pub fn check(&self) -> Result<(), KafkaOpenError> {
        for (section, settings) in
            [("client", &self.client), ("producer", &self.producer), ("consumer", &self.consumer)]
        {
            for (key, value) in settings {
                if let Some(problem) = problem_with(key, value) {
                    return Err(KafkaOpenError::Setting { section, key: key.clone(), problem });
                }
            }
        }
        for (key, value) in &self.topic_setup.entries {
            if key == "cleanup.policy" && value != "delete" {
                let problem = "the log needs \"delete\": compaction would remove entries".to_owned();
                return Err(KafkaOpenError::Setting { section: "topic", key: key.clone(), problem });
            }
        }
        self.largest_entry()?;
        Ok(())
    }
}

/// Why a setting can't be used, if it can't.
fn problem_with(key: &str, value: &str) -> Option<String> {
    let own = |instead: &str| Some(format!("the log sets it itself; {instead}"));
    match key {
        "bootstrap.servers" | "metadata.broker.list" => own("use kafka.brokers"),
        "enable.idempotence" if value != "true" => {
            Some("the log needs \"true\": without it, entries could be doubled or change places".to_owned())
        }
        "acks" | "request.required.acks" if value != "all" && value != "-1" => {
            Some("the log needs \"all\": an answer says that an entry is durable".to_owned())
        }
        "message.timeout.ms" | "delivery.timeout.ms" => own("use kafka.delivery_timeout_seconds"),
        "queue.buffering.max.messages" | "queue.buffering.max.kbytes" => {
            own("use log.queue_appends_max and log.queue_bytes_max")
        }
        "enable.auto.commit"
        | "enable.auto.offset.store"
        | "auto.offset.reset"
        | "enable.partition.eof"
        | "enable.gapless.guarantee"
        | "allow.auto.create.topics" => own("leave it out"),
        "transactional.id" => Some("the log uses no transactions; leave it out".to_owned()),
        _ if needs_tls(key, value) && !cfg!(feature = "kafka-tls") => Some(
            "this program was built without TLS and SASL for Kafka; build it with --features kafka-tls"
                .to_owned(),
        ),
        _ => None,
    }
}

fn needs_tls(key: &str, value: &str) -> bool {
    key.starts_with("ssl.")
        || key.starts_with("sasl.")
        || (key == "security.protocol" && !value.eq_ignore_ascii_case("plaintext"))
}

fn config(settings: &Settings) -> ClientConfig {
    let mut config = ClientConfig::new();
    for (key, value) in settings {
        config.set(key, value);
    }
    config.set_log_level(RDKafkaLogLevel::Info);
    config
}

fn millis(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// What a client said about its settings, without their values.
pub(super) fn client_error(error: &KafkaError) -> KafkaOpenError {
    let KafkaError::ClientConfig(_, description, key, value) = error else {
        return KafkaOpenError::Client(error.to_string());
    };
    let description = match value.is_empty() {
        true => description.clone(),
        false => description.replace(value.as_str(), "…"),
    };
    KafkaOpenError::Client(format!("{key}: {description}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options() -> KafkaOptions {
        KafkaOptions::new("events", vec!["127.0.0.1:1".to_owned()], "t".to_owned())
    }

    fn settings(key: &str, value: &str) -> Settings {
        Settings::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn settings_that_promises_rest_on_are_refused() {
        let cases = [
            ("enable.idempotence", "false", Some("true")),
            ("enable.idempotence", "true", None),
            ("acks", "1", Some("all")),
            ("acks", "-1", None),
            ("request.required.acks", "0", Some("all")),
            ("delivery.timeout.ms", "5", Some("kafka.delivery_timeout_seconds")),
            ("bootstrap.servers", "x:1", Some("kafka.brokers")),
            ("auto.offset.reset", "latest", Some("leave it out")),
            ("enable.auto.commit", "true", Some("leave it out")),
            ("transactional.id", "x", Some("no transactions")),
            ("queue.buffering.max.messages", "1", Some("log.queue_appends_max")),
            ("linger.ms", "0", None),
            ("security.protocol", "plaintext", None),
        ];
        for (key, value, wanted) in cases {
            let result = KafkaOptions { client: settings(key, value), ..options() }.check();
            match (result, wanted) {
                (Ok(()), None) => {}
                (Err(error), Some(wanted)) => {
                    let error = error.to_string();
                    assert!(error.contains(key) && error.contains(wanted), "{key}: {error}");
                }
                (result, _) => panic!("{key}={value}: {result:?}"),
            }
        }
        let compacted = TopicSetup { replication_factor: 1, entries: settings("cleanup.policy", "compact") };
        assert!(KafkaOptions { topic_setup: compacted, ..options() }.check().is_err());
        let no_number = KafkaOptions { producer: settings("message.max.bytes", "much"), ..options() };
        assert!(no_number.check().is_err());
    }

    #[cfg(not(feature = "kafka-tls"))]
    #[test]
    fn tls_without_its_feature_names_it_and_no_secret() {
        let cases = [
            ("sasl.password", "hunter2"),
            ("ssl.key.password", "hunter2"),
            ("security.protocol", "SASL_SSL"),
        ];
        for (key, value) in cases {
            let error = KafkaOptions { client: settings(key, value), ..options() }.check().expect_err(key);
            let error = error.to_string();
            assert!(
                error.contains("kafka-tls") && error.contains(key) && !error.contains("hunter2"),
                "{error}"
            );
        }
    }

    #[test]
    fn what_is_given_wins_over_the_defaults_but_not_over_the_promises() {
        let given = KafkaOptions {
            client: settings("client.id", "mine"),
            producer: settings("linger.ms", "0"),
            consumer: settings("fetch.wait.max.ms", "7"),
            ..options()
        };
        let producer = given.producer_config().expect("these are fine");
        let got = |key: &str| producer.get(key).map(str::to_owned);
        assert_eq!(got("linger.ms").as_deref(), Some("0"));
        assert_eq!(got("client.id").as_deref(), Some("mine"));
        assert_eq!(got("enable.idempotence").as_deref(), Some("true"));
        assert_eq!(got("message.timeout.ms").as_deref(), Some("10000"));
        assert_eq!(got("enable.gapless.guarantee"), None);
        assert_eq!(given.reader_config().get("fetch.wait.max.ms"), Some("7"));
        assert_eq!(given.lookup_config().get("auto.offset.reset"), Some("error"));
        let always = KafkaOptions { delivery: Delivery::Always, ..options() };
        let always = always.producer_config().expect("these are fine");
        assert_eq!(always.get("message.timeout.ms"), Some("0"));
        assert_eq!(always.get("enable.gapless.guarantee"), Some("true"));
    }

    #[test]
    fn an_unknown_setting_is_told_by_its_name_without_its_value() {
        let wrong = KafkaOptions { client: settings("no.such.setting", "hunter2"), ..options() };
        let config = wrong.producer_config().expect("only the client knows");
        let Err(error) = config.create_native_config() else { panic!("librdkafka took it") };
        let error = client_error(&error).to_string();
        assert!(error.contains("no.such.setting") && !error.contains("hunter2"), "{error}");
    }
}
