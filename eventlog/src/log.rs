//! The contract of a log: what is appended, what is read back, and what each side may rely on.
//!
//! A log is one sequence of opaque entries, numbered from 0 without gaps. What every implementation guarantees,
//! and `suite` checks:
//!
//! - An append is answered with success only once its entries are durable, and readers see an entry only then.
//! - An append is ordered: its entries are in the log in their order, and appends in the order of their calls.
//! - On segment files and in memory an append is also whole: all its entries, with consecutive sequences, or none
//!   of them, across a crash too. On Kafka it is not: an append that failed with [`AppendError::Unknown`], or that
//!   a crash cut short, may have left some of its entries, and entries of a killed process may arrive after the
//!   next one began. So whatever is appended has to bear repetition: an event by its message id, an activation by
//!   its place.
//! - What was once readable at a sequence never changes. It stays readable until retention removes it, and
//!   retention removes from the oldest end only, never past a protected reader.
//! - Damage is reported, never skipped.
//!
//! Left out: what the entries mean (`tributary_model::Record`, `Activation`), and fencing between writers: one
//! process owns a log.

use bytes::Bytes;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::watch;
use tributary_model::{ErrorCode, Timestamp};

/// The answer to an append: the sequences its entries got, once they are durable.
pub type AppendFuture = Pin<Box<dyn Future<Output = Result<Range<u64>, AppendError>> + Send>>;

/// One entry as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its number in the log.
    pub sequence: u64,
    /// The first sequence of the frame that holds it: what `read_one` takes as a hint.
    pub frame: u64,
    /// The bytes as appended.
    pub bytes: Bytes,
}

/// What can be read at a moment: sequences `first..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The oldest readable sequence; equal to `end` when nothing is kept.
    pub first: u64,
    /// One past the last durable sequence.
    pub end: u64,
}

/// Whether a log takes appends, and how much it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStatus {
    /// Whether an append would be taken now.
    pub accepting: bool,
    /// Why not, if it would not.
    pub refusal: Option<AppendError>,
    /// Bytes kept on disk (in memory for a log without one); 0 for a log that is kept elsewhere.
    pub bytes_kept: u64,
}

/// A durable, ordered, replayable sequence of entries.
pub trait EventLog: Send + Sync + 'static {
    /// Appends `entries` in their order; whether all or none of them is said above. They are queued before this
    /// returns, even if the future is never polled; the future resolves once they are durable or refused, with
    /// the range from the first entry's sequence to one past the last one's. An append of nothing resolves with
    /// an empty range. Never blocks.
    ///
    /// The future resolves with an error when nothing was appended. Two errors leave that open:
    /// [`AppendError::Unknown`], and [`AppendError::Closed`] after a failed fsync.
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture;

    /// Reads durable entries from sequence `from` on: at least one if there is one, then as many as fit into
    /// `bytes_max` bytes of entries. Empty at the end. Blocking.
    ///
    /// # Errors
    /// [`ReadError::Expired`] if `from` is older than the oldest kept, [`ReadError::Corrupt`] for damage,
    /// [`ReadError::Unavailable`] where the log is elsewhere and does not answer: that is never the end of it.
    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError>;

    /// Reads one entry with one exact read of its frame. `frame` is the frame's first sequence as [`Entry`]
    /// showed it, or 0 if unknown. `None` if the entry is not durable yet. Blocking.
    ///
    /// # Errors
    /// As [`EventLog::read`].
    fn read_one(&self, sequence: u64, frame: u64) -> Result<Option<Bytes>, ReadError>;

    /// What can be read now.
    fn bounds(&self) -> Bounds;

    /// The durable end, as a value that can be awaited.
    fn watch(&self) -> watch::Receiver<u64>;

    /// Waits until the durable end is past `sequence`; false if that took longer than `timeout`. Blocking.
    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool;

    /// Makes retention keep everything from sequence `from` on for this reader, until it says otherwise;
    /// `u64::MAX` releases it. Readers have to say so before retention first runs.
    fn protect(&self, reader: &'static str, from: u64);

    /// Whether appends are taken, from fresh figures of free space.
    fn status(&self) -> LogStatus;

    /// Removes what is too old or too much, as far as protected readers allow. Called at an interval. Blocking.
    ///
    /// # Errors
    /// [`RetentionError`] if the log is closed or files can't be removed; the next call tries again.
    fn enforce_retention(&self, now: Timestamp) -> Result<Bounds, RetentionError>;

    /// Makes everything queued durable, answers it, and refuses further appends. Reading goes on. Blocking.
    fn close(&self);
}

/// Why an append was refused. Nothing of it is in the log, but for what [`EventLog::append`] says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Free space is below the mark, or the file system is full.
    #[error("the log is short of space: {free_bytes} bytes free, {mark_bytes} are kept in reserve")]
    NoSpace {
        /// Free bytes when last checked.
        free_bytes: u64,
        /// The mark below which nothing is taken.
        mark_bytes: u64,
    },
    /// More is kept than retention allows, because a protected reader has not read it yet.
    #[error("the log keeps {kept_bytes} bytes for reader {reader}; the limit is {limit_bytes}")]
    Backlog {
        /// Bytes kept.
        kept_bytes: u64,
        /// The bytes above which appends are refused.
        limit_bytes: u64,
        /// The reader that is furthest behind.
        reader: &'static str,
    },
    /// More is queued than the queue's limits allow: the disk is slower than what comes in.
    #[error("the log's queue is full")]
    QueueFull,
    /// An entry, or the append as a whole, is larger than the log can hold.
    #[error("append of {bytes} bytes is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Bytes of the entry, or of the whole append.
        bytes: usize,
        /// The limit that it breaks.
        limit: usize,
    },
    /// The log is kept by a broker that does not answer. Nothing was sent.
    #[error("the log's broker does not answer")]
    Unreachable,
    /// The log did not answer in time. The entries may be stored, all or some, or not: whoever appends them again
    /// may have them twice.
    #[error("the log did not answer in time; the entries may or may not be stored")]
    Unknown,
    /// The log was closed, or stopped after a failed fsync.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// What a caller outside is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NoSpace { .. }
            | Self::Backlog { .. }
            | Self::QueueFull
            | Self::Unreachable
            | Self::Unknown
            | Self::Closed => ErrorCode::Unavailable,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
        }
    }

    /// After how many seconds trying again makes sense; `None` if it never does.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::NoSpace { .. } | Self::Backlog { .. } => Some(10),
            Self::Unreachable | Self::Unknown => Some(5),
            Self::QueueFull | Self::Closed => Some(1),
            Self::TooLarge { .. } => None,
        }
    }

    /// A stable name, for metrics.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoSpace { .. } => "no_space",
            Self::Backlog { .. } => "backlog",
            Self::QueueFull => "queue_full",
            Self::TooLarge { .. } => "too_large",
            Self::Unreachable => "unreachable",
            Self::Unknown => "unknown",
            Self::Closed => "closed",
        }
    }
}

/// Why a read gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Retention has removed what was asked for.
    #[error("the log keeps entries from sequence {first} on; older ones have expired")]
    Expired {
        /// The oldest readable sequence.
        first: u64,
    },
    /// Stored bytes are damaged. Nothing behind the damage is returned in its place.
    #[error(
        "{file} is damaged at byte {offset} (sequence {sequence}): {what}; restore the file from a backup"
    )]
    Corrupt {
        /// The damaged file.
        file: String,
        /// Where in it the damage begins.
        offset: u64,
        /// The first sequence that is lost by it.
        sequence: u64,
        /// What was found there.
        what: &'static str,
    },
    /// Entries that had been acknowledged are not in the log any more, though nobody removed them.
    #[error(
        "{place} has lost entries from sequence {sequence} on: {what}; restore it, nothing is passed over"
    )]
    Lost {
        /// Where they were.
        place: String,
        /// The first sequence that is lost.
        sequence: u64,
        /// What was found.
        what: &'static str,
    },
    /// The log is kept by a broker that does not give the entries now. They are there: a later read may get them.
    #[error("the log can't be read now: {0}")]
    Unavailable(String),
    /// The file system failed.
    #[error("the log can't be read")]
    Io(#[from] io::Error),
}

/// Why retention removed nothing, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum RetentionError {
    /// The log was closed, or stopped after a failed fsync.
    #[error("the log is closed")]
    Closed,
    /// The broker that keeps the log did not remove what is too old.
    #[error("the log's broker did not remove what is too old: {0}")]
    Broker(String),
    /// A file could not be created or removed.
    #[error("the log's files can't be changed")]
    Io(#[from] io::Error),
}
