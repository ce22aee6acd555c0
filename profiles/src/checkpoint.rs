//! Checkpoints: how the projector's changes reach the store whole or not at all.
//!
//! A checkpoint is one redo record, written and fsynced in segment files of its own: a header, the changed
//! entries in parts of about [`PART_BYTES`], a trailer that counts them. Only then a thread of its own puts it into the
//! store, sorted by key, makes the store durable, and drops the record. A restart first applies whole records
//! that are left (doing so twice is harmless) and passes over one without its trailer.
//!
//! Dropping a record leaves word of how far the store is. A start that finds the store behind that knows that the
//! store has lost something durable: its state has to be made again. The word is not fsynced; without it nothing
//! is checked.
//!
//! What it leaves out: when to make a checkpoint, and that activations are durable before it; both are the
//! projector's.

use crate::codec::{Checkpoint, Value};
use crate::key::Key;
use crate::state::{Changes, State};
use crate::store::{Change, Store, StoreError};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use tributary_eventlog::fail_points::crash_point;
use tributary_eventlog::segment::{RealFs, SegmentLog, SegmentOptions};

/// About how many bytes of changes go into one entry of a redo record or snapshot.
pub const PART_BYTES: usize = 1 << 20;

/// The redo log failed.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The redo log can't be opened.
    #[error("the redo log can't be opened")]
    Open(#[from] tributary_eventlog::segment::OpenError),
    /// The redo log can't be read.
    #[error("the redo log can't be read")]
    Read(#[from] tributary_eventlog::ReadError),
    /// The redo log can't be written.
    #[error("the redo log can't be written")]
    Write(#[source] std::io::Error),
    /// An entry is not in the form that this version writes.
    #[error("a redo record is damaged")]
    Damaged,
    /// The store lacks what it had durably.
    #[error(
        "the state store is at position {stored} of the events log, but was at {applied}: it lost its newest entries"
    )]
    StoreBehind {
        /// Up to where the store has the log.
        stored: u64,
        /// Up to where it had it.
        applied: u64,
    },
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One entry of a redo log or of a snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    /// The first entry.
    Header(Header),
    /// Changed entries: key, and value unless removed.
    Changes(Vec<(Vec<u8>, Option<Vec<u8>>)>),
    /// The last entry: how many changes there were.
    Trailer {
        /// The number of changes over all parts.
        changes: u64,
    },
    /// Alone in its append: up to where the store had the log when the record before it was dropped.
    Applied(u64),
}

/// What a redo record or snapshot is about.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Header {
    /// The version of this form.
    pub(crate) format: u8,
    /// Up to where the log is applied once this is.
    pub(crate) checkpoint: Checkpoint,
    /// The hash key under which profile ids were made; see [`tributary_model::HashKey::fingerprint`].
    pub(crate) hash_key: String,
}

pub(crate) const FORMAT: u8 = 1;

impl Part {
    pub(crate) fn encode(&self) -> Bytes {
        postcard::to_allocvec(self).expect("plain values can be written").into()
    }

    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, CheckpointError> {
        postcard::from_bytes(bytes).map_err(|_| CheckpointError::Damaged)
    }
}

/// The options for redo and snapshot files.
pub(crate) fn segment_options() -> SegmentOptions {
    SegmentOptions::default()
}

/// Puts checkpoints into the store, one at a time.
pub struct Checkpointer {
    redo: SegmentLog,
    store: Arc<dyn Store>,
    hash_key: String,
}

impl Checkpointer {
    /// Opens the redo log in this directory and applies what is left in it. Answers with the position from
    /// which the log has to be read.
    ///
    /// # Errors
    /// If the redo log or the store fails.
    pub fn open(
        directory: &Path,
        store: Arc<dyn Store>,
        hash_key: String,
    ) -> Result<(Self, Checkpoint), CheckpointError> {
        let redo = SegmentLog::open(Arc::new(RealFs), directory, segment_options())?;
        let mut this = Self { redo, store, hash_key };
        this.recover()?;
        let checkpoint = this.stored()?;
        Ok((this, checkpoint))
    }

    /// The store that it puts checkpoints into.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Up to where the store has the log.
    fn stored(&self) -> Result<Checkpoint, CheckpointError> {
        match self.store.get(&Key::checkpoint())? {
            Some(bytes) => match Value::decode(crate::key::Tag::Checkpoint, &bytes) {
                Ok(Value::Checkpoint(checkpoint)) => Ok(checkpoint),
                Ok(_) => Err(CheckpointError::Damaged),
                Err(error) => Err(StoreError::from(error).into()),
            },
            None => Ok(Checkpoint::default()),
        }
    }

    /// Writes one checkpoint: redo record, fsync, store, fsync, record dropped. `recoverable` is called as
    /// soon as the redo record is durable: from then on a crash changes nothing.
    ///
    /// # Errors
    /// If the redo log or the store fails. The redo record, once durable, is applied at the next start.
    pub fn write(
        &mut self,
        changes: &Changes,
        checkpoint: Checkpoint,
        recoverable: impl FnOnce(),
    ) -> Result<(), CheckpointError> {
        let mut sorted: Vec<Change> =
            changes.iter().map(|(key, value)| (key.clone(), value.as_ref().map(Value::encode))).collect();
        sorted.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        // The position goes last, as any other entry of the store.
        sorted.push((Key::checkpoint(), Some(Value::Checkpoint(checkpoint).encode())));
        let header = Header { format: FORMAT, checkpoint, hash_key: self.hash_key.clone() };
        self.redo.append(&record(header, &sorted)).map_err(CheckpointError::Write)?;
        self.redo.sync().map_err(CheckpointError::Write)?;
        crash_point("checkpoint::redo_synced");
        recoverable();
        self.store.apply(&sorted)?;
        self.store.make_durable()?;
        crash_point("checkpoint::store_applied");
        self.drop_record(checkpoint.next)?;
        crash_point("checkpoint::redo_dropped");
        Ok(())
    }

    /// Drops the record, which the store has now up to this position of the log.
    fn drop_record(&mut self, applied: u64) -> Result<(), CheckpointError> {
        self.redo.clear().map_err(CheckpointError::Write)?;
        self.redo.append(&[Part::Applied(applied).encode()]).map(drop).map_err(CheckpointError::Write)
    }

    fn recover(&mut self) -> Result<(), CheckpointError> {
        let bounds = self.redo.bounds();
        let mut next = bounds.first;
        let mut pending: Option<Vec<Change>> = None;
        let (mut applied, mut has_record) = (false, false);
        while next < bounds.end {
            for entry in self.redo.read(next, PART_BYTES)? {
                next = entry.sequence + 1;
                let part = Part::decode(&entry.bytes)?;
                has_record |= !matches!(part, Part::Applied(_));
                match part {
                    Part::Applied(applied) => {
                        let stored = self.stored()?.next;
                        if stored < applied {
                            return Err(CheckpointError::StoreBehind { stored, applied });
                        }
                    }
                    Part::Header(header) if header.format == FORMAT => pending = Some(Vec::new()),
                    Part::Header(_) => return Err(CheckpointError::Damaged),
                    Part::Changes(changes) => {
                        if let Some(pending) = &mut pending {
                            pending.extend(changes.into_iter().map(|(k, v)| (Key::from_stored(&k), v)));
                        }
                    }
                    Part::Trailer { changes } => {
                        if let Some(pending) = pending.take().filter(|p| p.len() as u64 == changes) {
                            self.store.apply(&pending)?;
                            applied = true;
                        }
                    }
                }
            }
        }
        if applied {
            self.store.make_durable()?;
            crash_point("recovery::store_applied");
        }
        if has_record {
            let stored = self.stored()?.next;
            self.drop_record(stored)?;
        }
        Ok(())
    }
}

/// The entries of one redo record or snapshot.
fn record(header: Header, changes: &[Change]) -> Vec<Bytes> {
    let mut entries = vec![Part::Header(header).encode()];
    let mut part = Vec::new();
    let mut bytes = 0;
    for (key, value) in changes {
        bytes += key.as_bytes().len() + value.as_ref().map_or(0, Vec::len);
        part.push((key.as_bytes().to_vec(), value.clone()));
        if bytes >= PART_BYTES {
            entries.push(Part::Changes(std::mem::take(&mut part)).encode());
            bytes = 0;
        }
    }
    if !part.is_empty() {
        entries.push(Part::Changes(part).encode());
    }
    entries.push(Part::Trailer { changes: changes.len() as u64 }.encode());
    entries
}

/// Takes what `state` has changed and puts it into the store, all in this thread. For the last checkpoint
/// before a stop, and for tests.
///
/// # Errors
/// If the redo log or the store fails.
pub(crate) fn write_now(
    checkpointer: &mut Checkpointer,
    state: &State,
    checkpoint: Checkpoint,
) -> Result<(), CheckpointError> {
    let changes = state.begin_checkpoint();
    let settling = state.columns().settle();
    checkpointer.write(&changes, checkpoint, || {})?;
    state.end_checkpoint();
    settling.end(state, &changes, checkpoint);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use tributary_model::Timestamp;

    fn write(checkpointer: &mut Checkpointer, next: u64) {
        let checkpoint = Checkpoint { next, log_time: Timestamp::from_millis(7) };
        checkpointer.write(&Changes::default(), checkpoint, || {}).expect("memory and a directory take it");
    }

    #[test]
    fn a_store_that_lost_what_it_had_is_noticed() {
        let directory = tempfile::tempdir().expect("a directory");
        let open = |store: &Arc<MemoryStore>| {
            let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
            Checkpointer::open(directory.path(), store, "key".to_owned())
        };
        let store = Arc::new(MemoryStore::default());
        let (mut checkpointer, checkpoint) = open(&store).expect("a new one");
        assert_eq!(checkpoint.next, 0);
        write(&mut checkpointer, 10);
        let older = store.get(&Key::checkpoint()).expect("readable");
        write(&mut checkpointer, 20);
        drop(checkpointer);
        assert_eq!(open(&store).map(|(_, checkpoint)| checkpoint.next).expect("whole"), 20);

        store.apply(&[(Key::checkpoint(), older)]).expect("memory takes it");
        let error = open(&store).map(drop).expect_err("it lacks the second checkpoint");
        assert!(matches!(error, CheckpointError::StoreBehind { stored: 10, applied: 20 }), "{error}");
        let emptied = open(&Arc::new(MemoryStore::default())).map(drop);
        assert!(emptied.is_err_and(|error| error.to_string().contains("lost its newest entries")));
    }
}
