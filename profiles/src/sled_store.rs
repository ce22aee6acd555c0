//! The state store on sled 0.34.
//!
//! One tree. sled gives no durability of its own here: its `flush` writes out but never fsyncs, so the `db`
//! file is synced through a handle of our own. That handle does not cover the separate files which sled makes
//! for very large pages; a leaf holds up to 17 entries and becomes such a file above 128 KiB, so values are
//! split into parts of at most [`PART_BYTES`].
//!
//! Stored form: a first byte 0 and the value, or a first byte 1, the number of parts and the CRC-32 of the
//! whole value (u32, little-endian both), with the parts under keys of their own: workspace, `~`, the whole
//! key, the part's number (u32, big-endian).
//!
//! `apply_batch` holds a lock that every `get` waits for, so changes go in batches of [`BATCH_OPERATIONS`].

use crate::key::{Key, Tag};
use crate::store::{Change, Entries, Store, StoreError, first_of};
use std::fs::{File, TryLockError};
use std::iter;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::fail_points::crash_point;

/// The largest stored value, in bytes, before it is split.
pub const PART_BYTES: usize = 4096;
/// How many operations go into one sled batch: 32 to 64 stall readers for 2 to 4 ms, 256 for 6 to 12 ms.
pub const BATCH_OPERATIONS: usize = 64;

const PART_TAG: u8 = b'~';

/// How long a store that is closed waits for sled's threads.
const RELEASED_WITHIN: Duration = Duration::from_secs(5);

/// The state store on sled. Once it is dropped, it can be opened again.
pub struct SledStore {
    db: sled::Db,
    // Dropped behind sled: fields are dropped in this order.
    file: OwnHandle,
}

/// A handle of our own to sled's `db` file.
///
/// sled locks that file against a second open. One of its threads that has just written may hold it for a moment longer
/// than the `sled::Db`; this waits for that.
struct OwnHandle(File);

impl Drop for OwnHandle {
    fn drop(&mut self) {
        let by = Instant::now() + RELEASED_WITHIN;
        // Nobody but the next open misses the lock: that one says so.
        while matches!(self.0.try_lock(), Err(TryLockError::WouldBlock)) && Instant::now() < by {
            thread::park_timeout(Duration::from_millis(1));
        }
        // A process that was begun just now may hold the handle as well, for a moment.
        let _ = self.0.unlock();
    }
}

impl SledStore {
    /// Opens or creates the store in this directory, with a page cache of so many bytes.
    ///
    /// # Errors
    /// If sled can't open it: then its content has to be made again.
    pub fn open(directory: &Path, cache_bytes: u64) -> Result<Self, StoreError> {
        let config = sled::Config::new()
            .path(directory)
            .cache_capacity(cache_bytes)
            .mode(sled::Mode::HighThroughput)
            // Writing out is the checkpoint's business, on its own thread.
            .flush_every_ms(None);
        let db = guarded(|| Ok(config.open()?))?;
        let file = OwnHandle(File::open(directory.join("db"))?);
        Ok(Self { db, file })
    }

    fn parts_of(&self, key: &Key) -> Result<u32, StoreError> {
        // Only these grow with what clients send and admins order.
        let grows = matches!(
            Tag::of(key.as_bytes()),
            Some(
                Tag::Account
                    | Tag::Definitions
                    | Tag::Fragment
                    | Tag::History
                    | Tag::Member
                    | Tag::Needs
                    | Tag::Partition
                    | Tag::Profile
                    | Tag::Standing
                    | Tag::Workspace
            )
        );
        if !grows {
            return Ok(0);
        }
        let header = self.db.get(key.as_bytes())?;
        Ok(header.as_deref().and_then(split_header).map_or(0, |(parts, _)| parts))
    }

    fn whole(&self, key: &[u8], stored: &[u8]) -> Result<Vec<u8>, StoreError> {
        let Some((parts, sum)) = split_header(stored) else {
            return Ok(stored.get(1..).ok_or(StoreError::Incomplete)?.to_vec());
        };
        let mut value = Vec::with_capacity(parts as usize * PART_BYTES);
        for number in 0..parts {
            let part = self.db.get(part_key(key, number))?.ok_or(StoreError::Incomplete)?;
            value.extend_from_slice(&part);
        }
        if crc32fast::hash(&value) == sum { Ok(value) } else { Err(StoreError::Incomplete) }
    }

    /// The next entry with this prefix that is no part of another.
    fn next_of(&self, entries: &mut sled::Iter, prefix: &[u8]) -> Result<Option<(Key, Vec<u8>)>, StoreError> {
        while let Some((key, stored)) = guarded(|| Ok(entries.next().transpose()?))? {
            if !key.starts_with(prefix) {
                break;
            }
            if key.get(4) != Some(&PART_TAG) {
                let value = guarded(|| self.whole(&key, &stored))?;
                return Ok(Some((Key::from_stored(&key), value)));
            }
        }
        Ok(None)
    }

    /// Adds the operations of one change.
    fn stage(&self, (key, value): &Change, staged: &mut Staged<'_>) -> Result<(), StoreError> {
        let had = self.parts_of(key)?;
        let split = value.as_ref().filter(|value| value.len() > PART_BYTES);
        let mut has = 0;
        for part in split.iter().flat_map(|value| value.chunks(PART_BYTES)) {
            staged.insert(part_key(key.as_bytes(), has), part.to_vec())?;
            has += 1;
        }
        // The header goes last: until it is there, doing all of this again starts from the same place.
        for number in has..had {
            staged.remove(part_key(key.as_bytes(), number))?;
        }
        let stored_key = key.as_bytes().to_vec();
        match (split, value) {
            (Some(value), _) => {
                let mut header = vec![1];
                header.extend_from_slice(&has.to_le_bytes());
                header.extend_from_slice(&crc32fast::hash(value).to_le_bytes());
                staged.insert(stored_key, header)
            }
            (None, Some(value)) => {
                let mut stored = Vec::with_capacity(value.len() + 1);
                stored.push(0);
                stored.extend_from_slice(value);
                staged.insert(stored_key, stored)
            }
            (None, None) => staged.remove(stored_key),
        }
    }
}

/// sled panics where it meets damage that it did not foresee: that is damage of the store like any other.
fn guarded<T>(call: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(StoreError::Panicked(text.unwrap_or_else(|| "it panicked".to_owned())))
    })
}

impl Store for SledStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        guarded(|| match self.db.get(key.as_bytes())? {
            Some(stored) => Ok(Some(self.whole(key.as_bytes(), &stored)?)),
            None => Ok(None),
        })
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        guarded(|| {
            let mut staged = Staged { db: &self.db, batch: sled::Batch::default(), operations: 0 };
            for change in changes {
                self.stage(change, &mut staged)?;
            }
            staged.write()
        })
    }

    fn entries_from(&self, prefix: &[u8], from: Bound<&[u8]>) -> Entries<'_> {
        let mut entries = self.db.range::<&[u8], _>((first_of(prefix, from), Bound::Unbounded));
        let prefix = prefix.to_vec();
        Box::new(iter::from_fn(move || self.next_of(&mut entries, &prefix).transpose()).fuse())
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        guarded(|| Ok(self.db.flush()?))?;
        self.file.0.sync_data()?;
        Ok(())
    }
}

/// Operations on their way into sled, at most [`BATCH_OPERATIONS`] at once.
struct Staged<'a> {
    db: &'a sled::Db,
    batch: sled::Batch,
    operations: usize,
}

impl Staged<'_> {
    fn insert(&mut self, key: Vec<u8>, value: Vec<u8>) -> Result<(), StoreError> {
        self.batch.insert(key, value);
        self.count()
    }

    fn remove(&mut self, key: Vec<u8>) -> Result<(), StoreError> {
        self.batch.remove(key);
        self.count()
    }

    fn count(&mut self) -> Result<(), StoreError> {
        self.operations += 1;
        if self.operations >= BATCH_OPERATIONS { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.operations = 0;
        self.db.apply_batch(std::mem::take(&mut self.batch))?;
        crash_point("checkpoint::batch_applied");
        Ok(())
    }
}

fn part_key(key: &[u8], number: u32) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 9);
    bytes.extend_from_slice(&key[..4]);
    bytes.push(PART_TAG);
    bytes.extend_from_slice(key);
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

/// The number of parts and the checksum, if the value is split.
fn split_header(stored: &[u8]) -> Option<(u32, u32)> {
    let (1, parts, sum) = (*stored.first()?, stored.get(1..5)?, stored.get(5..9)?) else { return None };
    Some((u32::from_le_bytes(parts.try_into().ok()?), u32::from_le_bytes(sum.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::start;
    use crate::store::MemoryStore;
    use tributary_model::{Identifier, Namespace, NodeKey, WorkspaceId};

    fn fragment_key(value: &str) -> Key {
        let identifier = Identifier::parse(Namespace::USER_ID, value).expect("a user id");
        Key::fragment(WorkspaceId(1), &NodeKey::first_epoch(identifier))
    }

    #[test]
    fn values_of_any_size_are_kept_and_leave_nothing_behind() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = SledStore::open(directory.path(), 10 << 20).expect("a new store");
        let key = fragment_key("u");
        for size in [10, PART_BYTES, PART_BYTES + 1, 1 << 20, 3 * PART_BYTES, 0, 5 * PART_BYTES] {
            let value: Vec<u8> = (0..size).map(|n| (n % 251) as u8).collect();
            store.apply(&[(key.clone(), Some(value.clone()))]).expect("applied");
            assert_eq!(store.get(&key).expect("readable"), Some(value.clone()), "{size}");
            let mut seen = Vec::new();
            let visit = &mut |key, value| {
                seen.push((key, value));
                Ok(())
            };
            store.scan(&[], visit).expect("scanned");
            assert_eq!(seen, [(key.clone(), value)], "{size}");
        }
        store.apply(&[(key.clone(), None)]).expect("removed");
        assert_eq!(store.get(&key).expect("readable"), None);
        assert_eq!(store.db.len(), 0, "no part is left");
        let blobs = std::fs::read_dir(directory.path().join("blobs")).expect("sled's folder").count();
        assert_eq!(blobs, 0, "no value went into a file that our sync does not cover");
    }

    #[test]
    fn a_store_that_is_closed_can_be_opened_at_once() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..50_u8 {
            let store = SledStore::open(directory.path(), 10 << 20).expect("nobody holds it");
            let stored = store.get(&Key::checkpoint()).expect("readable");
            assert_eq!(stored, number.checked_sub(1).map(|before| vec![before]));
            store.apply(&[(Key::checkpoint(), Some(vec![number]))]).expect("applied");
        }
    }

    #[test]
    fn entries_are_those_that_a_plain_map_has() {
        let directory = tempfile::tempdir().expect("a directory");
        let sled = SledStore::open(directory.path(), 10 << 20).expect("a new store");
        let memory = MemoryStore::default();
        let keys = ["a", "b", "c", "d"].map(fragment_key);
        let large = keys.iter().map(|key| (key.clone(), Some(vec![7; 2 * PART_BYTES])));
        let others = [Key::checkpoint(), Key::workspace(WorkspaceId(1)), Key::workspace(WorkspaceId(2))];
        let small = others.iter().map(|key| (key.clone(), Some(vec![7])));
        let changes: Vec<Change> = large.chain(small).collect();
        let fragments = start(WorkspaceId(1), Tag::Fragment);
        let read = |store: &dyn Store, prefix: &[u8], from: Bound<&[u8]>| {
            store.entries_from(prefix, from).collect::<Result<Vec<_>, _>>().expect("readable")
        };
        for store in [&sled as &dyn Store, &memory] {
            store.apply(&changes).expect("applied");
            let behind_b = read(store, &fragments, Bound::Excluded(keys[1].as_bytes()));
            assert_eq!(behind_b.iter().map(|(key, _)| key).collect::<Vec<_>>(), [&keys[2], &keys[3]]);
            assert_eq!(read(store, &fragments, Bound::Included(keys[1].as_bytes())).len(), 3);
            assert_eq!(store.entries(&fragments).count(), 4);
            assert_eq!(store.entries(&[]).count(), 7);
        }
        let ends: [&[u8]; 3] = [&fragments, &[], &[255]];
        let prefixes: [&[u8]; 2] = [&fragments, &[]];
        for place in keys.iter().chain(&others).map(Key::as_bytes).chain(ends) {
            for prefix in prefixes {
                for from in [Bound::Included(place), Bound::Excluded(place)] {
                    assert_eq!(read(&sled, prefix, from), read(&memory, prefix, from), "{from:?}");
                }
            }
        }
    }
}
