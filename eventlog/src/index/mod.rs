//! The indexes over the events log: message id to position, fragment and time to position, and event name to fragments
//! and times.
//!
//! What was recorded recently is held in memory; [`Indexes::flush`] writes it, sorted, into one fjall database,
//! and expiry drops whole days.
//!
//! # Guarantees
//! - **No gap.** From the moment an entry is recorded every lookup finds it: in the layer being recorded into,
//!   in the layers being written, or in the store. A lookup reads memory first and the store after it; a flush
//!   lets go of a layer only after its entries can be read from the store. So an entry may be met twice, and is
//!   answered once, but is never missed.
//! - **Recording only adds.** The message index is a set of sightings (key, sequence). Recording a sighting that
//!   is there changes nothing; recording another one of the same key never replaces it. A lookup for the record
//!   at `before` sees only sightings with a smaller sequence, and those are the same whether the log is read for
//!   the first time or again from an earlier position, whatever was recorded beyond that position meanwhile. So
//!   each decision about a duplicate comes out as it did the first time, and what is recorded again is already
//!   there. The event index is a set in the same way; the name index passes over what it has.
//! - **The watermark never promises too much.** It is stored after everything it speaks for is durable. A crash
//!   between the two leaves entries above the watermark, which are recorded again with the same keys and values.
//!
//! # Format (version 1)
//! All integers in keys are big endian; signed ones have their sign bit flipped, so that they sort.
//!
//! | keyspace | key | value |
//! |---|---|---|
//! | `idx_meta` | `format` | u32 |
//! | | `watermark` | u64 |
//! | | `evt` + day (i64) | postcard of the day's span: highest sequence, earliest and latest event time |
//! | | `nam` + day (i64) | the same of the name index |
//! | | `names_covered_from` | u64: the sequence from which on the name index lacks nothing |
//! | | `unsure_names` | postcard of the parts that its last flush was about to write: their beginning, and (day, key) of each |
//! | `idx_msg_<day>` | workspace (u32) + 16 bytes of BLAKE3 over workspace, source, message id | for each sighting, by sequence: postcard of (sequence, sequence − frame, µs within the day) |
//! | `idx_evt_<day>` | workspace (u32) + fragment (16 bytes) + event time (i64, µs) + sequence (u64) | postcard of (sequence − frame, µs within the day) |
//! | `idx_nam_<day>` | workspace (u32) + kind (u8) + 8 bytes of BLAKE3 over the name (0 for none) + the watermark before it was written (u64) | version, postcard of count, first and last sequence, earliest and latest event time; then for each event 8 bytes of its fragment and postcard of (sequence, event time) less those of the one before |
//!
//! A day is the UTC day of `received_at`, in days since 1970-01-01.
//!
//! # Durability (fjall 3.1.13, lsm-tree 3.1.10)
//! An ingestion takes strictly ascending keys (it panics otherwise), may overlap what the keyspace holds, and hides
//! older values of its keys. Its `finish` fsyncs the table files, their directory, the new version file and the
//! pointer to it before it makes the entries visible, all at once: nothing needs to be persisted after it, and
//! nothing goes through the journal. Creating a keyspace fsyncs everything but the entry in its parent
//! directory, which is therefore fsynced here. `idx_meta` is written through the journal, followed by
//! `persist(SyncAll)`.
//!
//! # Left out
//! Deciding what a duplicate is worth, when to flush and what retention keeps: the projector's business. One
//! thread records, any number read; a flush may run beside both.

mod days;
mod event_index;
mod event_query;
mod layers;
mod message_index;
mod meta;
mod metrics;
mod name_index;
#[cfg(test)]
mod tests;

pub use event_index::IndexedEvent;
pub use event_query::{EventOrder, EventQuery};
pub use message_index::{FirstSeen, MessageKey, SIGHTINGS_PER_DAY_MAX};
pub use name_index::{NameQuery, NamedEvent, short_fragment};

use event_index::EventIndex;
use message_index::MessageIndex;
use meta::Meta;
use name_index::NameIndex;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tributary_model::{ErrorCode, EventKind, Timestamp, WorkspaceId};

/// The named limits of the indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexOptions {
    /// How far back a repeated message id counts as a duplicate, in log time: 7 days by default.
    pub message_window: Duration,
    /// How long a message id can be found at all, in whole days of log time: 31 by default, so that a trace reaches
    /// as far back as the log. The window is always kept, whatever this says.
    pub message_days_kept: u32,
}

impl Default for IndexOptions {
    fn default() -> Self {
        Self { message_window: Duration::from_secs(7 * 24 * 60 * 60), message_days_kept: 31 }
    }
}

/// The indexes could not be read or written. What is in memory stays there, and the next flush writes it; after a
/// failed fsync fjall refuses every further write, so that only a restart helps.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// fjall failed.
    #[error("index store failed")]
    Store(#[from] fjall::Error),
    /// A directory could not be fsynced.
    #[error("directory of the index store could not be synced")]
    Directory(#[source] std::io::Error),
    /// A stored value is not of the form that this version writes.
    #[error("unreadable value in keyspace {keyspace}")]
    Corrupt {
        /// The keyspace that holds it.
        keyspace: String,
    },
    /// The indexes were written by another version.
    #[error("index format {found} is not supported; this version reads format {supported}")]
    Format {
        /// What is stored.
        found: u32,
        /// What this version reads and writes.
        supported: u32,
    },
}

impl IndexError {
    /// What a caller of an API is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Store(_) | Self::Directory(_) => ErrorCode::Unavailable,
            Self::Corrupt { .. } | Self::Format { .. } => ErrorCode::Internal,
        }
    }
}

/// The indexes over one database. See the module's header for what they guarantee.
pub struct Indexes {
    messages: MessageIndex,
    events: EventIndex,
    names: NameIndex,
    meta: Meta,
    watermark: AtomicU64,
    /// Held by whatever changes the set of days or writes into them: one flush or expiry at a time.
    maintenance: Mutex<()>,
}

impl Indexes {
    /// Opens the indexes in `db`, creating what is missing. Every keyspace whose name begins with `idx_` is theirs.
    ///
    /// # Errors
    /// If the store fails, or holds indexes of another format.
    pub fn open(db: fjall::Database, options: IndexOptions) -> Result<Self, IndexError> {
        let meta = Meta::open(&db)?;
        let watermark = meta.watermark()?;
        let events = EventIndex::open(db.clone(), &meta)?;
        let names = NameIndex::open(db.clone(), &meta, watermark)?;
        let messages = MessageIndex::open(db, &options)?;
        let (watermark, maintenance) = (AtomicU64::new(watermark), Mutex::new(()));
        Ok(Self { messages, events, names, meta, watermark, maintenance })
    }

    /// Everything of the events log below this sequence is durable in the indexes; what is at or above it has to
    /// be recorded again after a restart.
    pub fn watermark(&self) -> u64 {
        self.watermark.load(Ordering::Acquire)
    }

    /// The sighting that makes the record at `before` a duplicate: of the same key, with a sequence smaller than
    /// `before`, received no longer than the window before `received_at`. If there are several, the one with the largest
    /// sequence. `received_at` is when the record at `before` arrived: requests overlap and clocks are set, so a
    /// sighting at a smaller sequence may have arrived a little later.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn first_seen(
        &self,
        key: &MessageKey,
        before: u64,
        received_at: Timestamp,
    ) -> Result<Option<FirstSeen>, IndexError> {
        self.messages.first_seen(key, before, received_at)
    }

    /// The newest sighting (largest sequence) of a key, however old: where a trace begins.
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn find_message(&self, key: &MessageKey) -> Result<Option<FirstSeen>, IndexError> {
        self.messages.find(key)
    }

    /// Records that a message id was seen at a position where [`Self::first_seen`] found none. In memory until the
    /// next flush. Recording the same again changes nothing.
    pub fn record_message(&self, key: MessageKey, seen: FirstSeen) {
        self.messages.record(key, seen);
    }

    /// Records that an event was folded into a fragment. In memory until the next flush. Recording the same again
    /// changes nothing.
    pub fn record_event(&self, workspace: WorkspaceId, fragment: [u8; 16], entry: IndexedEvent) {
        self.events.record(workspace, &fragment, entry);
    }

    /// Records the call and the name of an event that was folded into a fragment; events come in the order of their
    /// sequences. In memory until the next flush. Recording one again changes nothing.
    pub fn record_name(
        &self,
        workspace: WorkspaceId,
        kind: EventKind,
        name: Option<&str>,
        fragment: &[u8; 16],
        entry: IndexedEvent,
    ) {
        self.names.record(workspace, (kind, name), fragment, entry);
    }

    /// How many messages and events were recorded since the last flush began. What bounds the memory is a
    /// caller that flushes when this passes its limit, and waits while a flush is still running.
    pub fn recorded(&self) -> usize {
        self.messages.recorded() + self.events.recorded()
    }

    /// Writes what was recorded before the call, and then stores the watermark: everything of the events log below
    /// `watermark` must have been recorded. A smaller watermark than the stored one (the log is being read again)
    /// leaves it as it is. When this returns, all of it is durable. May run beside the recorder and readers; a
    /// second call waits for the first.
    ///
    /// # Errors
    /// If the store can't be written. What was recorded stays readable and is written by the next flush.
    pub fn flush(&self, watermark: u64) -> Result<(), IndexError> {
        let _alone = self.maintenance.lock().expect("a panic during maintenance ends the process");
        let started = Instant::now();
        let written = self.write_recorded(watermark)?;
        if watermark > self.watermark() {
            self.meta.store_watermark(watermark)?;
            self.watermark.store(watermark, Ordering::Release);
        }
        self.names.commit(self.watermark());
        metrics::flushed(started.elapsed(), written);
        Ok(())
    }

    /// Drops the days that nothing needs any more: from the message index those wholly older than `log_time` minus
    /// the window and the days kept, and than `oldest_needed_message_time` (the oldest receive time that a later
    /// reading of the log will ask for: its log time at the earliest position it may start from, minus the
    /// window); from the other two those that hold only positions below `events_first`, the oldest readable one.
    /// Waits for a running flush.
    ///
    /// # Errors
    /// If the store fails. What was not dropped is dropped by a later call.
    pub fn expire(
        &self,
        log_time: Timestamp,
        events_first: u64,
        oldest_needed_message_time: Timestamp,
    ) -> Result<(), IndexError> {
        let _alone = self.maintenance.lock().expect("a panic during maintenance ends the process");
        self.messages.expire(log_time, oldest_needed_message_time)?;
        self.events.expire(events_first, &self.meta)?;
        self.names.expire(events_first, &self.meta)?;
        metrics::days(self.messages.days(), self.events.days(), self.names.days());
        Ok(())
    }

    /// The events of any of these fragments, each once, merged by (event time, sequence).
    ///
    /// # Errors
    /// If the store can't be read.
    pub fn events(
        &self,
        workspace: WorkspaceId,
        fragments: &[[u8; 16]],
        query: EventQuery,
    ) -> Result<Vec<IndexedEvent>, IndexError> {
        self.events.query(workspace, fragments, query)
    }

    /// Calls `visit` with the events of a name, each once, in no order.
    ///
    /// # Errors
    /// If the store can't be read; some events may have been shown.
    pub fn names(&self, query: &NameQuery<'_>, visit: &mut dyn FnMut(NamedEvent)) -> Result<(), IndexError> {
        self.names.visit(query, visit)
    }

    /// The first sequence from which on [`Indexes::names`] shows every event: those before were indexed by a version
    /// that had no names.
    pub fn names_covered_from(&self) -> u64 {
        self.names.covered_from()
    }

    /// Writes what was recorded; the caller holds the maintenance lock.
    fn write_recorded(&self, watermark: u64) -> Result<metrics::Written, IndexError> {
        let messages = self.messages.flush()?;
        let events = self.events.flush(&self.meta)?;
        let names = self.names.write(watermark, &self.meta)?;
        Ok(metrics::Written { messages, events, names })
    }
}
