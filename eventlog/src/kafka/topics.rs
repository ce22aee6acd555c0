//! What is done to topics beside writing and reading: they are created, checked, and cleared of what is too old.
//!
//! A broker's own retention is switched off, because it does not ask whether a reader still needs an entry. What is
//! too old is removed by [`Topics::delete_before`], as far as readers allow.

use super::client::Quiet;
use super::error::KafkaOpenError;
use super::options::{KafkaOptions, Settings, client_error};
use super::producer::PARTITION;
use crate::wait::wait;
use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use tributary_model::Timestamp;

/// How long a request of a start may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long one of retention may take: a stop waits for it.
const REMOVAL: Duration = Duration::from_secs(3);

/// A topic as a log needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTopic {
    /// Its name.
    pub name: String,
    /// How many brokers keep a copy; -1 leaves it to the cluster.
    pub replication_factor: i32,
    /// Its settings.
    pub entries: Settings,
}

impl WantedTopic {
    /// What the log of these options needs. The topic takes batches a little larger than the largest entry.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn of(options: &KafkaOptions) -> Result<Self, KafkaOpenError> {
        let replication_factor = options.topic_setup.replication_factor;
        let mut entries = Settings::new();
        let mut set = |key: &str, value: String| entries.insert(key.to_owned(), value);
        set("cleanup.policy", "delete".to_owned());
        set("retention.ms", "-1".to_owned());
        set("retention.bytes", "-1".to_owned());
        set("max.message.bytes", (options.largest_entry()? + (1 << 20)).to_string());
        if replication_factor >= 3 {
            set("min.insync.replicas", "2".to_owned());
        }
        entries.extend(options.topic_setup.entries.clone());
        Ok(Self { name: options.topic.clone(), replication_factor, entries })
    }
}

/// Where the entries begin that were written at a time or later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// At this offset.
    Offset(u64),
    /// All are older.
    End,
    /// Nobody can tell.
    Unknown,
}

/// The administration of topics.
pub trait Topics: Send + Sync {
    /// Creates a topic that is missing; it may take a moment until all brokers know it. Blocking.
    ///
    /// # Errors
    /// Why it can't be created, and what to do.
    fn create(&self, topic: &WantedTopic) -> Result<(), KafkaOpenError>;

    /// Checks the settings of a topic that is there. Blocking.
    ///
    /// # Errors
    /// What is wrong with the topic, and what to change.
    fn check(&self, topic: &WantedTopic) -> Result<(), KafkaOpenError>;

    /// Where the entries begin that were written at `at` or later. Blocking.
    ///
    /// # Errors
    /// Why it can't be told now.
    fn since(&self, topic: &str, at: Timestamp) -> Result<Since, String>;

    /// Removes the entries below that offset; tells the offset of the oldest one that is left. Blocking.
    ///
    /// # Errors
    /// Why they were not removed.
    fn delete_before(&self, topic: &str, offset: u64) -> Result<u64, String>;
}

/// Topics that somebody else creates, sets up and clears: nothing is done to them.
#[derive(Debug, Clone, Copy, Default)]
pub struct GivenTopics;

impl Topics for GivenTopics {
    fn create(&self, topic: &WantedTopic) -> Result<(), KafkaOpenError> {
        Err(KafkaOpenError::Topic {
            topic: topic.name.clone(),
            problem: "it does not exist; create it with one partition, or set kafka.create_topics = true"
                .to_owned(),
        })
    }

    fn check(&self, _topic: &WantedTopic) -> Result<(), KafkaOpenError> {
        Ok(())
    }

    fn since(&self, _topic: &str, _at: Timestamp) -> Result<Since, String> {
        Ok(Since::Unknown)
    }

    fn delete_before(&self, _topic: &str, _offset: u64) -> Result<u64, String> {
        Err("its topic is looked after by somebody else".to_owned())
    }
}

/// Topics of a cluster that may be administrated.
pub struct BrokerTopics {
    admin: AdminClient<Quiet>,
    consumer: BaseConsumer<Quiet>,
}

impl BrokerTopics {
    /// Administrates topics with the client settings of these options.
    ///
    /// # Errors
    /// If the settings can't be used.
    pub fn new(options: &KafkaOptions) -> Result<Self, KafkaOpenError> {
        options.check()?;
        let admin =
            options.admin_config().create_with_context(Quiet).map_err(|error| client_error(&error))?;
        let consumer =
            options.lookup_config().create_with_context(Quiet).map_err(|error| client_error(&error))?;
        Ok(Self { admin, consumer })
    }

    /// Deletes topics, whatever they hold. Blocking.
    ///
    /// # Errors
    /// Why the first of those that are left could not be deleted.
    pub fn delete(&self, topics: &[&str]) -> Result<(), String> {
        let deleted =
            wait(self.admin.delete_topics(topics, &options(REQUEST))).map_err(|error| error.to_string())?;
        match deleted.into_iter().find_map(Result::err) {
            Some((topic, code)) => Err(format!("{topic}: {code}")),
            None => Ok(()),
        }
    }
}

impl Topics for BrokerTopics {
    fn create(&self, topic: &WantedTopic) -> Result<(), KafkaOpenError> {
        let mut new = NewTopic::new(&topic.name, 1, TopicReplication::Fixed(topic.replication_factor));
        for (key, value) in &topic.entries {
            new = new.set(key, value);
        }
        let problem = |problem: String| KafkaOpenError::Topic { topic: topic.name.clone(), problem };
        let failed = |reason: String| {
            problem(format!(
                "it can't be created ({reason}); create it yourself with one partition, and set \
                 kafka.create_topics = false if this program may not administrate topics"
            ))
        };
        let created = wait(self.admin.create_topics([&new], &options(REQUEST)))
            .map_err(|error| failed(error.to_string()))?;
        match created.into_iter().next() {
            Some(Ok(_)) => {
                tracing::info!(topic = topic.name, "topic created");
                Ok(())
            }
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => self.check(topic),
            Some(Err((_, code))) => Err(failed(code.to_string())),
            None => Err(failed("the broker did not say why".to_owned())),
        }
    }

    fn check(&self, topic: &WantedTopic) -> Result<(), KafkaOpenError> {
        let problem = |problem: String| KafkaOpenError::Topic { topic: topic.name.clone(), problem };
        let unreadable = |reason: String| {
            problem(format!(
                "its settings can't be read ({reason}); allow it, or set kafka.create_topics = false"
            ))
        };
        let specifier = ResourceSpecifier::Topic(&topic.name);
        let described = wait(self.admin.describe_configs([&specifier], &options(REQUEST)))
            .map_err(|error| unreadable(error.to_string()))?;
        match described.into_iter().next() {
            Some(Ok(resource)) => difference(topic, &resource).map_or(Ok(()), |text| Err(problem(text))),
            Some(Err(code)) => Err(unreadable(code.to_string())),
            None => Err(unreadable("the broker did not say why".to_owned())),
        }
    }

    fn since(&self, topic: &str, at: Timestamp) -> Result<Since, String> {
        let text = |error: rdkafka::error::KafkaError| error.to_string();
        // In a question about times, the offset is the time.
        let at = Offset::Offset(at.as_millis().max(0));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, PARTITION, at).map_err(text)?;
        let found = self.consumer.offsets_for_times(list, REMOVAL).map_err(text)?;
        let Some(found) = found.find_partition(topic, PARTITION) else { return Ok(Since::Unknown) };
        found.error().map_err(text)?;
        Ok(match found.offset() {
            Offset::Offset(offset) => u64::try_from(offset).map_or(Since::Unknown, Since::Offset),
            Offset::End => Since::End,
            Offset::Beginning | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => Since::Unknown,
        })
    }

    fn delete_before(&self, topic: &str, offset: u64) -> Result<u64, String> {
        let text = |error: rdkafka::error::KafkaError| error.to_string();
        let mut list = TopicPartitionList::new();
        let before = Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX));
        list.add_partition_offset(topic, PARTITION, before).map_err(text)?;
        let deleted = wait(self.admin.delete_records(&list, &options(REMOVAL))).map_err(text)?;
        let Some(deleted) = deleted.find_partition(topic, PARTITION) else {
            return Err("the broker did not answer for the partition".to_owned());
        };
        deleted.error().map_err(text)?;
        match deleted.offset() {
            Offset::Offset(low) => Ok(u64::try_from(low).unwrap_or(offset)),
            Offset::Beginning | Offset::End | Offset::Stored | Offset::Invalid | Offset::OffsetTail(_) => {
                Ok(offset)
            }
        }
    }
}

fn options(within: Duration) -> AdminOptions {
    AdminOptions::new().request_timeout(Some(within)).operation_timeout(Some(within))
}

/// What a topic that is there has other than the log needs it, and what to do.
fn difference(topic: &WantedTopic, resource: &ConfigResource) -> Option<String> {
    topic.entries.iter().find_map(|(key, wanted)| {
        let actual = resource.get(key).and_then(|entry| entry.value.as_deref())?;
        let fits = match (key.as_str(), actual.parse::<u64>(), wanted.parse::<u64>()) {
            ("max.message.bytes", Ok(actual), Ok(wanted)) => actual >= wanted,
            _ => actual == wanted,
        };
        let name = &topic.name;
        (!fits).then(|| {
            format!(
                "{key} is {actual}, the log needs {wanted}; change it (kafka-configs.sh --alter --entity-type topics \
                 --entity-name {name} --add-config {key}={wanted}), or say in [kafka.topic] \"{key}\" = \"{actual}\" \
                 if that is meant"
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::admin::{ConfigEntry, ConfigSource, OwnedResourceSpecifier};

    fn wanted(replication_factor: i32) -> WantedTopic {
        let mut options = KafkaOptions::new("events", vec!["127.0.0.1:1".to_owned()], "t".to_owned());
        options.topic_setup.replication_factor = replication_factor;
        WantedTopic::of(&options).expect("the defaults are fine")
    }

    #[test]
    fn a_topic_keeps_everything_and_two_of_three_copies() {
        let topic = wanted(1);
        assert_eq!(topic.entries["retention.ms"], "-1");
        assert_eq!(topic.entries["retention.bytes"], "-1");
        assert_eq!(topic.entries["cleanup.policy"], "delete");
        assert!(!topic.entries.contains_key("min.insync.replicas"));
        assert_eq!(wanted(3).entries["min.insync.replicas"], "2");
    }

    #[test]
    fn differences_are_told_with_what_to_change() {
        let cases = [
            ("retention.ms", "604800000", true),
            ("retention.ms", "-1", false),
            ("cleanup.policy", "compact", true),
            ("max.message.bytes", "1048588", true),
            ("max.message.bytes", "99999999", false),
            ("segment.ms", "1", false),
        ];
        for (key, value, differs) in cases {
            let entry = ConfigEntry {
                name: key.to_owned(),
                value: Some(value.to_owned()),
                source: ConfigSource::DynamicTopic,
                is_read_only: false,
                is_default: false,
                is_sensitive: false,
            };
            let specifier = OwnedResourceSpecifier::Topic("t".to_owned());
            let found = difference(&wanted(1), &ConfigResource { specifier, entries: vec![entry] });
            assert_eq!(found.is_some(), differs, "{key}={value}: {found:?}");
            let says_how = found.is_none_or(|text| text.contains(key) && text.contains("kafka-configs.sh"));
            assert!(says_how, "{key}");
        }
    }
}
