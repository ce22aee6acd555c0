//! Replays where they are stored: the newest fifty of each destination, and those that run. Of each kind, one at most runs.

use super::{StoreError, numbered};
use crate::config::Key;
use crate::replay::{NewReplay, ReplayError, ReplayJob, ReplayState};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use std::collections::BTreeMap;
use tributary_model::Timestamp;

/// Replays of a destination that are kept; one that runs is kept longer.
const KEPT: u64 = 50;

/// Replays by destination and number.
pub(super) struct Replays(Keyspace);

/// Replays as they will be with what a batch changes: it can't be read before it is written.
pub(super) type Changed = BTreeMap<[u8; 16], ReplayJob>;

impl Replays {
    pub(super) fn open(db: &Database) -> Result<Self, StoreError> {
        Ok(Self(db.keyspace("dst_replays", KeyspaceCreateOptions::default)?))
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.0
    }

    /// Those of a destination, newest first.
    pub(super) fn all(&self, key: Key) -> Result<Vec<ReplayJob>, StoreError> {
        let entries = self.0.prefix(key.prefix()).rev();
        entries.map(|entry| ReplayJob::decode(&entry.value()?)).collect()
    }

    /// Begins one, unless one of the destination and of its kind runs.
    pub(super) fn begin(
        &self,
        batch: &mut OwnedWriteBatch,
        changed: &mut Changed,
        new: NewReplay,
    ) -> Result<ReplayJob, ReplayError> {
        let key = new.key;
        let (mut newest, mut ended) = (0_u64, Vec::new());
        // What the batch has of one is as new as what is stored of it, or newer.
        let stored = self.all(key)?;
        let stored = stored.iter().filter(|stored| !changed.contains_key(&numbered(key, stored.id)));
        let in_batch = changed.range(numbered(key, 0)..=numbered(key, u64::MAX)).map(|(_, job)| job);
        for job in in_batch.chain(stored) {
            newest = newest.max(job.id);
            if !job.is_running() {
                ended.push(job.id);
            } else if job.order.kind() == new.order.kind() {
                return Err(ReplayError::Busy);
            }
        }
        let id = newest + 1;
        let job = new.job(id);
        changed.insert(numbered(key, id), job.clone());
        for old in ended.into_iter().filter(|old| old + KEPT <= id) {
            changed.remove(&numbered(key, old));
            batch.remove(&self.0, numbered(key, old));
        }
        Ok(job)
    }

    /// Cancels one. False if there is none of that number that runs.
    pub(super) fn cancel(
        &self,
        changed: &mut Changed,
        (key, id): (Key, u64),
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(mut job) = self.get(changed, key, id)?.filter(ReplayJob::is_running) else {
            return Ok(false);
        };
        job.state = ReplayState::Cancelled;
        job.ended_at = Some(now);
        changed.insert(numbered(key, id), job);
        Ok(true)
    }

    /// Takes over how far one is. One that has ended meanwhile stays as it ended; one that is too old to be kept stays away.
    pub(super) fn update(&self, changed: &mut Changed, key: Key, job: &ReplayJob) -> Result<(), StoreError> {
        let Some(stored) = self.get(changed, key, job.id)? else { return Ok(()) };
        let mut job = job.clone();
        if !stored.is_running() {
            job.state = stored.state;
            job.ended_at = stored.ended_at;
        }
        changed.insert(numbered(key, job.id), job);
        Ok(())
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, changed: &Changed) {
        for (row, job) in changed {
            batch.insert(&self.0, *row, job.encode());
        }
    }

    fn get(&self, changed: &Changed, key: Key, id: u64) -> Result<Option<ReplayJob>, StoreError> {
        let row = numbered(key, id);
        match changed.get(&row) {
            Some(job) => Ok(Some(job.clone())),
            None => self.0.get(row)?.map(|value| ReplayJob::decode(&value)).transpose(),
        }
    }
}
