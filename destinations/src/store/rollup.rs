//! Counts by the minute, for 30 days: what overviews are made of.
//!
//! Keyspace `rollups`: workspace (4), stage (1), subject (4), minute since 1970 (4) → version, postcard of a
//! [`Tally`]. The stage says who counted, the subject of what: of stage `d` it is a destination. Only the one thread
//! that writes to the store writes here, so that a row can be read, added to and written again.

use super::StoreError;
use crate::config::Key;
use crate::counts::{Counts, Tally};
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use std::collections::BTreeMap;
use std::ops::Range;

/// Minutes that are kept.
pub(crate) const MINUTES_KEPT: u32 = 30 * 24 * 60;

/// The stage of destinations.
const DESTINATION: u8 = b'd';

/// Version 1 did not count what replays sent again.
const VERSION: u8 = 2;
const WHAT: &str = "count by the minute";

/// Subjects that are looked at in one step of tidying.
const STEP_SUBJECTS_MAX: usize = 16;

/// Rows that are removed in one step of tidying.
const STEP_ROWS_MAX: usize = 256;

/// Bytes of a key before its minute.
const SUBJECT_BYTES: usize = 9;

/// Bytes that rows hold in memory before they are written out: the same rows are written again and again.
const MEMTABLE_BYTES: u64 = 16 << 20;

/// The key of a row.
pub(super) type RowKey = [u8; 13];

/// Rows as they will be with what a batch adds: it can't be read before it is written.
pub(super) type Rows = BTreeMap<RowKey, Tally>;

/// Counts by the minute.
pub(super) struct Rollups(Keyspace);

fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES)
}

impl Rollups {
    pub(super) fn open(db: &Database) -> Result<Self, StoreError> {
        Ok(Self(db.keyspace("rollups", options)?))
    }

    /// Adds what was counted.
    pub(super) fn add(&self, rows: &mut Rows, key: Key, counts: &Counts) -> Result<(), StoreError> {
        for (minute, tally) in counts.minutes() {
            let row = row_key(key, minute);
            match rows.get_mut(&row) {
                Some(sum) => sum.merge(tally),
                None => {
                    let mut sum =
                        self.0.get(row)?.map(|value| decode(&value)).transpose()?.unwrap_or_default();
                    sum.merge(tally);
                    rows.insert(row, sum);
                }
            }
        }
        Ok(())
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, rows: &Rows) {
        for (row, tally) in rows {
            let value = postcard::to_extend(tally, vec![VERSION]).expect("plain values can be written");
            batch.insert(&self.0, *row, value);
        }
    }

    /// Shows what was counted of a destination's deliveries, by the minute and in order.
    pub(super) fn tallies(
        &self,
        key: Key,
        minutes: Range<u32>,
        mut show: impl FnMut(u32, &Tally),
    ) -> Result<(), StoreError> {
        if minutes.is_empty() {
            return Ok(());
        }
        for entry in self.0.range(row_key(key, minutes.start)..row_key(key, minutes.end)) {
            let (row, value) = entry.into_inner()?;
            let minute = row.last_chunk().copied().map(u32::from_be_bytes);
            show(minute.ok_or(StoreError::Damaged(WHAT))?, &decode(&value)?);
        }
        Ok(())
    }

    /// Removes some of what is older than the oldest minute that is kept, beginning at that key. Tells where to go on;
    /// `None` at the end.
    pub(super) fn tidy(
        &self,
        batch: &mut OwnedWriteBatch,
        from: &[u8],
        oldest: u32,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut from = from.to_vec();
        for _ in 0..STEP_SUBJECTS_MAX {
            let Some(first) = self.0.range(from..).next() else { return Ok(None) };
            let first = first.key()?;
            let subject = first.get(..SUBJECT_BYTES).ok_or(StoreError::Damaged(WHAT))?;
            let end = [subject, &oldest.to_be_bytes()].concat();
            if first[..] < end[..] {
                for entry in self.0.range(&first[..]..&end[..]) {
                    let row = entry.key()?;
                    if batch.len() == STEP_ROWS_MAX {
                        return Ok(Some(row.to_vec()));
                    }
                    batch.remove(&self.0, row);
                }
            }
            // Behind every minute of the subject.
            from = [subject, &[u8::MAX; 5]].concat();
        }
        Ok(Some(from))
    }
}

fn row_key(key: Key, minute: u32) -> RowKey {
    let prefix = key.prefix();
    let mut row = [0; 13];
    row[..4].copy_from_slice(&prefix[..4]);
    row[4] = DESTINATION;
    row[5..9].copy_from_slice(&prefix[4..]);
    row[9..].copy_from_slice(&minute.to_be_bytes());
    row
}

fn decode(value: &[u8]) -> Result<Tally, StoreError> {
    match value.split_first() {
        // What was added stands last, and a zero is an empty map.
        Some((1, rest)) => {
            postcard::from_bytes(&[rest, &[0]].concat()).map_err(|_| StoreError::Damaged(WHAT))
        }
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| StoreError::Damaged(WHAT)),
        Some((&version, _)) => Err(StoreError::Version { what: WHAT, version }),
        None => Err(StoreError::Damaged(WHAT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::Timestamp;
    use tributary_model::outcome::Outcome;

    #[test]
    fn rows_of_former_versions_are_read() {
        let mut counts = Counts::default();
        let at = Timestamp::from_micros(60_000_000);
        counts.received(at, 300);
        counts.ended(at, Outcome::Delivered, 2);
        counts.delivered_after(at, 70);
        let tally = |counts: &Counts| counts.minutes().map(|(_, tally)| tally.clone()).next();
        let former = tally(&counts).expect("it was counted");
        let Tally { received, mapped, ended, failed, dead, latency, .. } = &former;
        let old = (received, mapped, ended, failed, dead, latency);
        let value = postcard::to_extend(&old, vec![1]).expect("plain values can be written");
        assert_eq!(decode(&value).expect("version 1 is read"), former);
        counts.replayed(at, Outcome::Delivered, 5);
        let now = tally(&counts).expect("it was counted");
        let value = postcard::to_extend(&now, vec![VERSION]).expect("plain values can be written");
        assert_eq!(decode(&value).expect("own bytes"), now);
        assert!(matches!(decode(&[3, 0]), Err(StoreError::Version { version: 3, .. })));
        assert!(matches!(decode(&[]), Err(StoreError::Damaged(_))));
    }
}
