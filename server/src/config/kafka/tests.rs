use std::io::Write as _;

use super::*;
use crate::config::{Config, Environment};

fn load(args: &ServeArgs, variables: &[(&str, &str)], text: &str) -> Result<Config, ConfigError> {
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    file.write_all(text.as_bytes()).expect("a write");
    let args = ServeArgs { config: Some(file.path().to_path_buf()), ..args.clone() };
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::load(&args, &variables.collect::<Environment>())
}

fn kafka(brokers: &str) -> ServeArgs {
    ServeArgs {
        event_log: Some("kafka".to_owned()),
        kafka_brokers: Some(brokers.to_owned()),
        ..ServeArgs::default()
    }
}

#[test]
fn the_log_is_chosen_by_flag_variable_and_file() {
    let none = ServeArgs::default();
    let text = "event_log = 'kafka'\n[kafka]\nbrokers = ['a:1', 'b:2']\n";
    let config = load(&none, &[], text).expect("valid");
    assert_eq!(
        (config.event_log, config.kafka.brokers),
        (EventLogKind::Kafka, vec!["a:1".into(), "b:2".into()])
    );
    let variables = [("TRIBUTARY_EVENT_LOG", "embedded"), ("TRIBUTARY_KAFKA_BROKERS", "c:3, d:4")];
    let config = load(&none, &variables, text).expect("valid");
    assert_eq!(config.event_log, EventLogKind::Embedded);
    assert_eq!(config.kafka.brokers, ["c:3", "d:4"]);
    let config = load(&kafka("[::1]:9092"), &variables, text).expect("valid");
    assert_eq!((config.event_log, config.kafka.brokers.len()), (EventLogKind::Kafka, 1));
}

#[test]
fn what_cannot_be_used_is_told() {
    let none = ServeArgs::default();
    let log = ServeArgs { event_log: Some("rocks".to_owned()), ..ServeArgs::default() };
    let without = ServeArgs { event_log: Some("kafka".to_owned()), ..ServeArgs::default() };
    let cases: [(&str, ServeArgs, &str, &[&str]); 10] = [
        ("log", log, "", &["flag --log", "rocks", "embedded or kafka"]),
        ("no brokers", without, "", &["no brokers", "--kafka-brokers"]),
        ("broker", kafka("localhost"), "", &["--kafka-brokers", "host:port"]),
        ("prefix", none.clone(), "[kafka]\ntopic_prefix = 'a b'\n", &["kafka.topic_prefix", "letters"]),
        ("copies", none.clone(), "[kafka]\nreplication_factor = 0\n", &["kafka.replication_factor", "-1"]),
        ("unknown", none.clone(), "[kafka]\nbroker = 'x'\n", &["unknown field `broker`"]),
        ("promise", none.clone(), "[kafka.producer]\nacks = 1\n", &["acks", "kafka.producer", "all"]),
        ("own", none.clone(), "[kafka.client]\n'bootstrap.servers' = 'x:1'\n", &["kafka.brokers"]),
        ("list", none.clone(), "[kafka.consumer]\nx = [1]\n", &["kafka.consumer", "a text, a number"]),
        ("policy", none, "[kafka.topic]\n'cleanup.policy' = 'compact'\n", &["cleanup.policy", "delete"]),
    ];
    for (name, args, text, wanted) in cases {
        let error = load(&args, &[], text).expect_err(name).to_string();
        for part in wanted {
            assert!(error.contains(part), "{name}: {part:?} is not in {error:?}");
        }
    }
}

#[test]
fn settings_of_clients_are_taken_quoted_or_not_and_printed() {
    let text = "[kafka.client]\nreconnect.backoff.max.ms = 200\n[kafka.producer]\n'linger.ms' = 0.5\n\
                [kafka.topic]\n'retention.bytes' = 1000\n[kafka.consumer]\n'check.crcs' = false\n";
    let config = load(&kafka("a:1"), &[], text).expect("valid");
    let ingest = &config.ingest;
    let events = config.kafka.events(ingest, &config.log, Duration::from_secs(5));
    assert_eq!(events.client["reconnect.backoff.max.ms"], "200");
    assert_eq!(events.producer["linger.ms"], "0.5");
    assert_eq!(events.topic_setup.entries["retention.bytes"], "1000");
    assert_eq!(events.consumer["check.crcs"], "false");
    assert_eq!(
        (events.topic.as_str(), events.retention_age),
        ("tributary.events", Some(Duration::from_secs(5)))
    );
    assert_eq!(events.delivery, Delivery::Within(Duration::from_secs(10)));
    let activations = config.kafka.activations(ingest, &config.log, Duration::ZERO);
    assert_eq!(
        (activations.topic.as_str(), activations.delivery),
        ("tributary.activations", Delivery::Always)
    );
    assert!(activations.entry_bytes_max > events.entry_bytes_max, "an activation holds an event and more");
    let again = load(&ServeArgs::default(), &[], &config.to_toml()).expect("its own output");
    assert_eq!(config, again);
}

#[test]
fn the_defaults_are_those_of_the_log() {
    let config = load(&kafka("a:1"), &[], "").expect("valid");
    let events = config.kafka.events(&config.ingest, &config.log, Duration::ZERO);
    let default = KafkaOptions::new("events", Vec::new(), String::new());
    assert_eq!(
        (events.delivery, events.start_timeout, events.tail_bytes, events.entry_bytes_max),
        (default.delivery, default.start_timeout, default.tail_bytes, default.entry_bytes_max)
    );
    assert_eq!(
        (events.queue_appends_max, events.queue_bytes_max),
        (default.queue_appends_max, default.queue_bytes_max)
    );
    assert_eq!(events.topic_setup, default.topic_setup);
}

#[test]
fn secrets_are_hidden() {
    let cases = [
        ("sasl.password", true),
        ("ssl.key.password", true),
        ("ssl.keystore.password", true),
        ("ssl.key.pem", true),
        ("sasl.oauthbearer.client.secret", true),
        ("sasl.oauthbearer.assertion.private.key.passphrase", true),
        ("sasl.oauthbearer.token.endpoint.url", false),
        ("sasl.username", false),
        ("ssl.ca.location", false),
        ("linger.ms", false),
    ];
    for (key, hidden) in cases {
        let settings = ClientSettings(Settings::from([(key.to_owned(), "hunter2".to_owned())]));
        let kafka = KafkaSettings { client: settings, ..load(&kafka("a:1"), &[], "").expect("valid").kafka };
        let printed = format!("{kafka:?}{}{:?}", kafka.hidden(), kafka.written().client);
        assert_eq!(!printed.contains("hunter2"), hidden, "{key}: {printed}");
        assert!(printed.contains(key), "{key} is named: {printed}");
    }
}
