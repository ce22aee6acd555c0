//! Durable, ordered, replayable logs, and the indexes over them.
//!
//! [`log::EventLog`] is the contract. [`embedded::EmbeddedLog`] keeps it on segment files ([`segment`]),
//! [`memory::MemoryLog`] in memory for tests, and [`suite`] holds both to it.

pub mod embedded;
pub mod index;
pub mod log;
pub mod memory;
pub mod metrics;
pub mod segment;
pub mod suite;

pub use embedded::{EmbeddedLog, Fatal, LogOptions};
pub use log::{AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError};
pub use memory::MemoryLog;
pub use segment::OpenError;
