//! Finding rejects: by workspace, and by message id.
//!
//! A follower of the rejects log. It keeps two keys for each entry and no bytes of it: the log is read for the
//! answer. What retention has removed from the log is no longer answered, and its keys are deleted.
//!
//! Keyspace `rej_lookup`, all numbers big-endian:
//!
//! - workspace (4 bytes), `a`, sequence (8) → frame (8), hash of the message id (16, or none)
//! - workspace (4 bytes), `m`, hash of the message id (16), sequence (8) → frame (8)
//!
//! Keyspace `rej_watermark`: `next` → the first sequence that is not indexed (8). It is written in the same
//! batch as the keys, so that they agree after a crash, whichever of them reached the disk. The batches are
//! not synced: what a power cut loses is read from the log again.

use super::{Reject, findable};
use crate::metrics::REJECTS_BEHIND;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Slice};
use metrics::gauge;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tributary_eventlog::{Entry, EventLog, ReadError};
use tributary_model::WorkspaceId;

/// Why rejects can't be looked up.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The rejects log can't be read.
    #[error("the rejects log can't be read")]
    Log(#[from] ReadError),
    /// The store of the lookup failed.
    #[error("the store of the rejects lookup failed")]
    Store(#[from] fjall::Error),
    /// The store holds something that this program did not write.
    #[error("the store of the rejects lookup is damaged; delete it, it is built again from the log")]
    Damaged,
}

/// A reject as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundReject {
    /// Its sequence in the rejects log; as a cursor, it asks for what is older.
    pub sequence: u64,
    /// The reject.
    pub reject: Reject,
}

/// Finds rejects. Cheap to share behind an `Arc`; every call blocks on disk.
pub struct RejectLookup {
    log: Arc<dyn EventLog>,
    db: Database,
    keys: Keyspace,
    watermark: Keyspace,
    follower: Mutex<Follower>,
}

#[derive(Debug)]
struct Follower {
    /// The first sequence that is not indexed.
    next: u64,
    /// No keys are kept for sequences below.
    expired_below: u64,
}

/// Bytes of entries read at once.
const READ_BYTES_MAX: usize = 1 << 20;
/// Keys removed in one batch.
const EXPIRE_KEYS_MAX: usize = 1000;
/// How often the follower looks at the log when nothing is written, and whether to stop.
const IDLE_WAIT: Duration = Duration::from_millis(500);
const NEXT: &[u8] = b"next";

impl fmt::Debug for RejectLookup {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("RejectLookup")
    }
}

impl RejectLookup {
    /// Opens the lookup of `log` in `db`.
    ///
    /// # Errors
    /// If the store can't be opened or is damaged.
    pub fn open(log: Arc<dyn EventLog>, db: Database) -> Result<Self, LookupError> {
        let keys = db.keyspace("rej_lookup", KeyspaceCreateOptions::default)?;
        let watermark = db.keyspace("rej_watermark", KeyspaceCreateOptions::default)?;
        let mut next = match watermark.get(NEXT)? {
            Some(bytes) => number(&bytes, 0..8)?,
            None => 0,
        };
        if next > log.bounds().end {
            // The log is another one than the keys were made from.
            keys.clear()?;
            watermark.clear()?;
            next = 0;
        }
        let follower = Mutex::new(Follower { next, expired_below: 0 });
        Ok(Self { log, db, keys, watermark, follower })
    }

    /// Follows the log until `stop` is set. Meant for a thread of its own.
    pub fn run(&self, stop: &AtomicBool) {
        let mut failing = false;
        while !stop.load(Ordering::Relaxed) {
            let outcome = self.catch_up().and_then(|next| self.expire().map(|()| next));
            match outcome {
                Ok(next) => {
                    failing = false;
                    gauge!(REJECTS_BEHIND).set(self.log.bounds().end.saturating_sub(next) as f64);
                    self.log.wait_past(next, IDLE_WAIT);
                }
                Err(why) => {
                    if !failing {
                        tracing::error!(error = &why as &dyn std::error::Error, "rejects lookup fails");
                    }
                    failing = true;
                    // There is nothing to wait for but time.
                    self.log.wait_past(u64::MAX, IDLE_WAIT);
                }
            }
        }
    }

    /// Rejects of a workspace, newest first: all, or those with this message id. `before` takes only those
    /// with a smaller sequence. Sees every reject that was durable when it was called.
    ///
    /// # Errors
    /// If the log or the store can't be read.
    pub fn find(
        &self,
        workspace: WorkspaceId,
        message_id: Option<&str>,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<FoundReject>, LookupError> {
        self.catch_up()?;
        let message_id = message_id.map(findable);
        let prefix = match message_id {
            Some(id) => [&tagged(workspace, b'm')[..], &hash(id)].concat(),
            None => tagged(workspace, b'a').to_vec(),
        };
        let first = self.log.bounds().first;
        let range = keyed(&prefix, first)..keyed(&prefix, before.unwrap_or(u64::MAX));
        let mut found = Vec::new();
        for entry in self.keys.range(range).rev() {
            if found.len() == limit {
                break;
            }
            let (key, value) = entry.into_inner()?;
            let sequence = number(&key, prefix.len()..prefix.len() + 8)?;
            let bytes = match self.log.read_one(sequence, number(&value, 0..8)?) {
                Ok(Some(bytes)) => bytes,
                // Retention was quicker.
                Ok(None) | Err(ReadError::Expired { .. }) => continue,
                Err(why) => return Err(why.into()),
            };
            let reject = Reject::decode(&bytes).map_err(|_| LookupError::Damaged)?;
            if reject.workspace == workspace
                && message_id.is_none_or(|id| reject.message_id.as_deref() == Some(id))
            {
                found.push(FoundReject { sequence, reject });
            }
        }
        Ok(found)
    }

    /// Indexes everything that is durable now; the sequence up to which that is.
    fn catch_up(&self) -> Result<u64, LookupError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let end = self.log.bounds().end;
        while follower.next < end {
            let next = match self.log.read(follower.next, READ_BYTES_MAX) {
                Ok(entries) => match entries.last() {
                    Some(last) => {
                        let next = last.sequence + 1;
                        self.index(&entries, next)?;
                        next
                    }
                    None => break,
                },
                Err(ReadError::Expired { first }) => first.max(follower.next + 1),
                Err(why) => return Err(why.into()),
            };
            follower.next = next;
        }
        Ok(follower.next)
    }

    fn index(&self, entries: &[Entry], next: u64) -> Result<(), LookupError> {
        let mut batch = self.db.batch();
        for entry in entries {
            let reject = match Reject::decode(&entry.bytes) {
                Ok(reject) => reject,
                Err(why) => {
                    // It stays in the log for a program that can read it.
                    tracing::error!(sequence = entry.sequence, error = %why, "a reject can't be read");
                    continue;
                }
            };
            let mut value = entry.frame.to_be_bytes().to_vec();
            let all = tagged(reject.workspace, b'a');
            if let Some(id) = &reject.message_id {
                let hash = hash(id);
                let by_message = [&tagged(reject.workspace, b'm')[..], &hash].concat();
                batch.insert(&self.keys, keyed(&by_message, entry.sequence), value.clone());
                value.extend_from_slice(&hash);
            }
            batch.insert(&self.keys, keyed(&all, entry.sequence), value);
        }
        batch.insert(&self.watermark, NEXT, next.to_be_bytes());
        batch.commit()?;
        Ok(())
    }

    /// Deletes the keys of entries that retention has removed from the log.
    fn expire(&self) -> Result<(), LookupError> {
        let mut follower = self.follower.lock().unwrap_or_else(PoisonError::into_inner);
        let first = self.log.bounds().first;
        if first <= follower.expired_below {
            return Ok(());
        }
        // From workspace to workspace: each begins with the smallest key at or after its number.
        let mut workspace = 0;
        while let Some(entry) = self.keys.range(workspace_prefix(workspace).to_vec()..).next() {
            workspace = u32::from_be_bytes(part(&entry.key()?, 0..4)?);
            self.expire_workspace(WorkspaceId(workspace), first)?;
            match workspace.checked_add(1) {
                Some(following) => workspace = following,
                None => break,
            }
        }
        follower.expired_below = first;
        Ok(())
    }

    fn expire_workspace(&self, workspace: WorkspaceId, first: u64) -> Result<(), LookupError> {
        let all = tagged(workspace, b'a');
        loop {
            let mut batch = self.db.batch();
            for entry in self.keys.range(keyed(&all, 0)..keyed(&all, first)).take(EXPIRE_KEYS_MAX) {
                let (key, value) = entry.into_inner()?;
                if value.len() > 8 {
                    let hash: [u8; 16] = part(&value, 8..24)?;
                    let by_message = [&tagged(workspace, b'm')[..], &hash].concat();
                    batch.remove(&self.keys, keyed(&by_message, number(&key, 5..13)?));
                }
                batch.remove(&self.keys, key);
            }
            if batch.is_empty() {
                return Ok(());
            }
            batch.commit()?;
        }
    }
}

fn workspace_prefix(workspace: u32) -> [u8; 4] {
    workspace.to_be_bytes()
}

fn tagged(workspace: WorkspaceId, tag: u8) -> [u8; 5] {
    let [a, b, c, d] = workspace.0.to_be_bytes();
    [a, b, c, d, tag]
}

fn keyed(prefix: &[u8], sequence: u64) -> Vec<u8> {
    [prefix, &sequence.to_be_bytes()].concat()
}

/// A hash that keeps a client's text out of the keys. It is not secret.
fn hash(message_id: &str) -> [u8; 16] {
    let mut short = [0; 16];
    short.copy_from_slice(&blake3::hash(message_id.as_bytes()).as_bytes()[..16]);
    short
}

fn part<const N: usize>(bytes: &Slice, range: Range<usize>) -> Result<[u8; N], LookupError> {
    bytes.get(range).and_then(|part| part.try_into().ok()).ok_or(LookupError::Damaged)
}

fn number(bytes: &Slice, range: Range<usize>) -> Result<u64, LookupError> {
    part(bytes, range).map(u64::from_be_bytes)
}

#[cfg(test)]
mod tests;
