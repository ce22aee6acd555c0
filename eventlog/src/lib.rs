//! Durable, ordered, replayable logs, and the indexes over them.
//!
//! [`log::EventLog`] is the contract. [`embedded::EmbeddedLog`] keeps it on segment files ([`segment`]),
//! [`kafka::KafkaLog`] in a topic of Kafka, [`memory::MemoryLog`] in memory for tests, and [`suite`] holds all of
//! them to it.

pub mod embedded;
pub mod fail_points;
pub mod index;
pub mod kafka;
pub mod log;
pub mod memory;
pub mod metrics;
mod protected;
mod queue_limit;
pub mod segment;
pub mod suite;
mod wait;

pub use embedded::{EmbeddedLog, Fatal, LogOptions};
pub use kafka::{KafkaLog, KafkaOptions};
pub use log::{AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError};
pub use memory::MemoryLog;
pub use segment::OpenError;
