//! Why a log in Kafka can't be opened: what is wrong, where, and what to do.

use std::io;
use std::path::PathBuf;

/// The log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum KafkaOpenError {
    /// A setting can't be used.
    #[error("setting {key} of kafka.{section}: {problem}")]
    Setting {
        /// The table that holds it.
        section: &'static str,
        /// Its name.
        key: String,
        /// What is wrong, and what to do. Never its value: it may be a secret.
        problem: String,
    },
    /// A client could not be made of the settings.
    #[error("no Kafka client can be made of these settings: {0}")]
    Client(String),
    /// No broker answered in time.
    #[error(
        "no broker of {brokers} answered within {seconds} s ({reason}); start the brokers, or correct kafka.brokers"
    )]
    Unreachable {
        /// The brokers as configured.
        brokers: String,
        /// How long it was tried.
        seconds: u64,
        /// What the client said last.
        reason: String,
    },
    /// The topic is missing and can't be created, or is not set up as the log needs it.
    #[error("topic {topic}: {problem}")]
    Topic {
        /// The topic.
        topic: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// What the data directory remembers of the topic does not agree with the topic.
    #[error("topic {topic} is not the one that {file} remembers: {problem}")]
    OtherTopic {
        /// The topic.
        topic: String,
        /// The file that remembers it.
        file: PathBuf,
        /// What does not agree, and what to do.
        problem: String,
    },
    /// The file that remembers the topic can't be read or written.
    #[error("{file} can't be used: {problem}")]
    Memory {
        /// The file.
        file: PathBuf,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// A thread can't be started.
    #[error("a thread can't be started")]
    Thread(#[source] io::Error),
}
