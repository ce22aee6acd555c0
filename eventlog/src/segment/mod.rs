//! Segment files: the one way this project writes anything sequential.
//!
//! A log is a directory of segment files named by their first sequence (20 digits, `.seg`), each a header
//! (`header`) and frames (`frame`), with a sparse index (`index`, `.idx`) beside every full one. [`SegmentLog`]
//! is the synchronous core with one writer; [`SegmentReader`] reads beside it from any thread.
//!
//! Guarantees, all tested over a modelled file system that loses and tears what was not synced:
//! - What was synced is read back unchanged and in order after any crash, or reading says that it is damaged.
//! - An append that was not synced is back whole or not at all, and only with everything before it.
//! - A write that was refused for lack of space leaves nothing behind.
//! - A failed fsync, and any write error that leaves the file in doubt, ends the log's writing for good: it is
//!   never retried.
//! - Opening reads the last segment only.
//!
//! What can't be told apart from a torn write is damage to the very last frames when nothing written later
//! proves that they had been durable. [`SegmentLog::mark`] writes that proof; closing and opening do so.
//!
//! Left out: locking the directory against a second process, and group commit ([`crate::embedded`]).
//!
//! Limits: an entry 64 MB, an append 1 GB, a segment `segment_bytes` plus one append.

mod encoder;
mod frame;
mod fs;
mod header;
mod index;
pub mod model_fs;
mod open;
mod reader;
mod recovery;
mod segment_log;
mod shared;

#[cfg(test)]
mod tests;

pub use fs::{FileEntry, Fs, FsFile, RealFs, Space};
pub use reader::SegmentReader;
pub(crate) use segment_log::is_lack_of_room;
pub use segment_log::{Detached, OpenError, SegmentLog, SegmentOptions};

/// The largest entry, in bytes.
pub const ENTRY_BYTES_MAX: usize = 64 << 20;
/// The largest append, in bytes of entries.
pub const APPEND_BYTES_MAX: usize = 1 << 30;
