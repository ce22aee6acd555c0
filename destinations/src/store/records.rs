//! Attempts, and what was exchanged in them, by day.
//!
//! Keyspaces `dst_records_<day>`: workspace (4), destination (4), then
//!
//! - `a`, the delivery's first attempt (8, sign bit flipped), activation (8), slot (4) → an attempt. The slot is its number,
//!   20 at most: of a long row of attempts the first 19 and the newest are there.
//! - `x`, number (8) → an exchange
//! - `u` → bytes that were written here (8)
//!
//! Keyspaces `dst_record_index_<day>`: workspace (4), `m` or `p`, hash of a message id or of a profile's id (16), the
//! delivery's first attempt (8), activation (8), destination (4) → nothing
//!
//! The attempts of a delivery are in the day of its first one, so that they are found together. Those of one that was first
//! tried before the oldest day that is kept are in their own days. Exchanges are in the days of their requests.
//!
//! A destination writes so many bytes a day at most. When three quarters of them are written no more exchanges are, and in
//! the end no more attempts: what is not written is counted ([`RECORDS_DROPPED`]).

use super::days::Days;
use super::{StoreError, number_at};
use crate::config::Key;
use crate::metrics::RECORDS_DROPPED;
use crate::records::{AttemptRecord, ExchangeRecord};
use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use metrics::counter;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::iter::{Peekable, Rev};
use std::ops::Range;
use tributary_model::{DestinationId, MessageId, ProfileId, Timestamp, WorkspaceId};

const ATTEMPT: u8 = b'a';
const EXCHANGE: u8 = b'x';
const USED: u8 = b'u';
const MESSAGE: u8 = b'm';
const PROFILE: u8 = b'p';

/// The slot of the newest of many attempts.
const LAST_SLOT: u32 = 20;

/// How many numbers of exchanges a microsecond has.
const NUMBERS_PER_MICROSECOND: u64 = 4096;

/// Bytes of a place at the end of a key of the index.
const PLACE_BYTES: usize = 20;

/// What a key of the index costs, about.
const INDEX_ROW_BYTES: u64 = 41;

const SIGN_BIT: u64 = 1 << 63;

/// Where a delivery stands among those of its workspace that have records: by its first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) first_attempt: Timestamp,
    pub(crate) activation: u64,
    pub(crate) destination: DestinationId,
}

impl Place {
    /// Before everything of that moment.
    pub(crate) const fn at(first_attempt: Timestamp) -> Self {
        Self { first_attempt, activation: 0, destination: DestinationId(0) }
    }
}

/// Whose deliveries are sought.
#[derive(Debug, Clone)]
pub(crate) enum Sought {
    /// All of these destinations, which are of one workspace.
    Destinations(Vec<Key>),
    /// Those of one event.
    Message(WorkspaceId, MessageId),
    /// Those of these profiles.
    Profiles(WorkspaceId, Vec<ProfileId>),
}

/// The attempts of one delivery, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptGroup {
    pub(crate) key: Key,
    pub(crate) first_attempt: Timestamp,
    pub(crate) activation: u64,
    /// At least one.
    pub(crate) attempts: Vec<AttemptRecord>,
}

impl AttemptGroup {
    pub(crate) fn place(&self) -> Place {
        let Self { key, first_attempt, activation, .. } = *self;
        Place { first_attempt, activation, destination: key.destination }
    }
}

/// What several deliveries have, one after the other.
pub(crate) type AttemptGroups = Box<dyn Iterator<Item = Result<AttemptGroup, StoreError>>>;

/// How much a destination may write in a day, and what it has written.
pub(super) struct Budget {
    bytes_max: u64,
    used: BTreeMap<(i64, Key), u64>,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, used: BTreeMap::new() }
    }

    /// Takes so many bytes, if with them no more than that share of all (in quarters) are used.
    fn take(
        &mut self,
        rows: &Keyspace,
        (day, key): (i64, Key),
        bytes: u64,
        quarters: u64,
    ) -> Result<bool, StoreError> {
        let used = match self.used.entry((day, key)) {
            Entry::Occupied(used) => used.into_mut(),
            Entry::Vacant(unknown) => {
                let stored = rows.get(row_key(key, USED, &[]))?;
                unknown.insert(stored.map(|value| number_at(&value, 0)).transpose()?.unwrap_or(0))
            }
        };
        let fits = *used + bytes <= self.bytes_max / 4 * quarters;
        *used += if fits { bytes } else { 0 };
        Ok(fits)
    }
}

/// Attempts and exchanges.
pub(super) struct Records {
    rows: Days,
    index: Days,
}

/// Nearly all reads are of ranges, so no filters.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().filter_policy(FilterPolicy::disabled())
}

impl Records {
    pub(super) fn open(db: &Database) -> Result<Self, StoreError> {
        Ok(Self {
            rows: Days::open(db, "dst_records_", options)?,
            index: Days::open(db, "dst_record_index_", options)?,
        })
    }

    /// Drops what is older than it has to be, and writes out what is not of this day.
    pub(super) fn turn(&self, budget: &mut Budget, today: i64, days_kept: u16) -> Result<(), StoreError> {
        let oldest = today - i64::from(days_kept);
        budget.used.retain(|(day, _), _| *day >= oldest);
        for days in [&self.rows, &self.index] {
            days.drop_before(oldest)?;
            days.write_out_before(today)?;
        }
        Ok(())
    }

    /// Adds records of a destination, as far as its budget lets. Nothing goes into a day before the oldest one.
    pub(super) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        budget: &mut Budget,
        (key, oldest): (Key, i64),
        attempts: &[AttemptRecord],
        exchanges: &[(u64, ExchangeRecord)],
    ) -> Result<(), StoreError> {
        let (mut days, mut lost) = (BTreeMap::new(), [0, 0]);
        for (number, exchange) in exchanges {
            let day = exchange_day(*number).max(oldest);
            let rows = self.rows.day(day)?;
            let row = row_key(key, EXCHANGE, &number.to_be_bytes());
            let value = exchange.encode();
            if budget.take(&rows, (day, key), (row.len() + value.len()) as u64, 3)? {
                batch.insert(&rows, row, value);
                days.insert(day, rows);
            } else {
                lost[0] += 1;
            }
        }
        for attempt in attempts {
            let first = attempt.first_attempt.day();
            let day = if first < oldest { attempt.at.day().max(oldest) } else { first };
            let (rows, index) = (self.rows.day(day)?, self.index.day(day)?);
            let row =
                attempt_key(key, attempt.first_attempt, attempt.activation, attempt.number.min(LAST_SLOT));
            let value = attempt.encode();
            let sought = sought_by(attempt);
            let bytes = (row.len() + value.len()) as u64 + INDEX_ROW_BYTES * sought.len() as u64;
            if budget.take(&rows, (day, key), bytes, 4)? {
                batch.insert(&rows, row, value);
                for (kind, hash) in sought {
                    let place = (attempt.first_attempt, attempt.activation);
                    let prefix = index_prefix(key.workspace, kind, hash);
                    batch.insert(&index, index_key(&prefix, place, key.destination), [0_u8; 0]);
                }
                days.insert(day, rows);
            } else {
                lost[1] += 1;
            }
        }
        for (day, rows) in days {
            let used = budget.used.get(&(day, key)).copied().unwrap_or(0);
            batch.insert(&rows, row_key(key, USED, &[]), used.to_be_bytes());
        }
        count_lost(key, lost);
        Ok(())
    }

    /// The days there are, newest first.
    pub(super) fn days(&self) -> Vec<i64> {
        self.rows.table().keys().rev().copied().collect()
    }

    /// Attempts of one day by delivery, newest first.
    pub(super) fn attempts(
        &self,
        day: i64,
        sought: &Sought,
        places: Range<Place>,
    ) -> Result<AttemptGroups, StoreError> {
        let (rows, index) = (self.rows.table(), self.index.table());
        let Some(rows) = rows.get(&day).cloned() else { return Ok(Box::new(std::iter::empty())) };
        let (workspace, sought) = match sought {
            Sought::Destinations(keys) => {
                let groups = keys.iter().filter_map(|key| Groups::new(&rows, *key, &places));
                return Ok(Box::new(merged(groups.map(Iterator::peekable).collect())));
            }
            Sought::Message(workspace, id) => {
                (*workspace, vec![index_prefix(*workspace, MESSAGE, hash(id.as_str().as_bytes()))])
            }
            Sought::Profiles(workspace, ids) => {
                let prefix = |id: &ProfileId| index_prefix(*workspace, PROFILE, hash(&id.0));
                (*workspace, ids.iter().map(prefix).collect())
            }
        };
        let Some(index) = index.get(&day) else { return Ok(Box::new(std::iter::empty())) };
        if places.start >= places.end {
            return Ok(Box::new(std::iter::empty()));
        }
        let entries = sought.iter().map(|prefix| {
            let bound =
                |place: Place| index_key(prefix, (place.first_attempt, place.activation), place.destination);
            let entries = index.range(bound(places.start)..bound(places.end)).rev();
            entries.map(|entry| entry.key().map_err(StoreError::from)).peekable()
        });
        let entries = newest_first(entries.collect());
        Ok(Box::new(
            entries.filter_map(move |entry| {
                entry.and_then(|entry| indexed(&rows, workspace, &entry)).transpose()
            }),
        ))
    }

    /// What was exchanged, if that is remembered.
    pub(super) fn exchange(&self, key: Key, number: u64) -> Result<Option<ExchangeRecord>, StoreError> {
        let rows = self.rows.table();
        let Some(rows) = rows.get(&exchange_day(number)) else { return Ok(None) };
        let value = rows.get(row_key(key, EXCHANGE, &number.to_be_bytes()))?;
        value.map(|value| ExchangeRecord::decode(&value)).transpose()
    }
}

/// The attempts of one destination's deliveries within a day, newest first.
struct Groups {
    key: Key,
    rows: Rev<fjall::Iter>,
    /// The first that was read of the next delivery.
    next: Option<AttemptRecord>,
}

impl Groups {
    /// `None` if there can't be any.
    fn new(rows: &Keyspace, key: Key, places: &Range<Place>) -> Option<Self> {
        let bound = |place: &Place| {
            // What stands at the place is before it if its destination is.
            let passed = u64::from(key.destination < place.destination);
            attempt_key(key, place.first_attempt, place.activation.saturating_add(passed), 0)
        };
        let (from, before) = (bound(&places.start), bound(&places.end));
        (from < before).then(|| Self { key, rows: rows.range(from..before).rev(), next: None })
    }

    fn read(&mut self) -> Result<Option<AttemptRecord>, StoreError> {
        let Some(entry) = self.rows.next() else { return Ok(None) };
        Ok(Some(AttemptRecord::decode(&entry.value()?)?))
    }

    fn group(&mut self) -> Result<Option<AttemptGroup>, StoreError> {
        let newest = match self.next.take() {
            Some(newest) => newest,
            None => match self.read()? {
                Some(newest) => newest,
                None => return Ok(None),
            },
        };
        let (first_attempt, activation) = (newest.first_attempt, newest.activation);
        let mut attempts = vec![newest];
        while let Some(attempt) = self.read()? {
            if (attempt.first_attempt, attempt.activation) != (first_attempt, activation) {
                self.next = Some(attempt);
                break;
            }
            attempts.push(attempt);
        }
        attempts.reverse();
        Ok(Some(AttemptGroup { key: self.key, first_attempt, activation, attempts }))
    }
}

impl Iterator for Groups {
    type Item = Result<AttemptGroup, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.group().transpose()
    }
}

/// What several destinations have, newest first.
fn merged(mut all: Vec<Peekable<Groups>>) -> impl Iterator<Item = Result<AttemptGroup, StoreError>> {
    std::iter::from_fn(move || {
        let heads = all.iter_mut().enumerate().filter_map(|(at, groups)| {
            let place = groups.peek()?.as_ref().map(AttemptGroup::place).ok();
            // What can't be read is told at once.
            Some((place.is_none(), place, at))
        });
        let (_, _, newest) = heads.max()?;
        all[newest].next()
    })
}

/// Entries of several parts of the index, each newest first, together.
fn newest_first<K: AsRef<[u8]>>(
    mut all: Vec<Peekable<impl Iterator<Item = Result<K, StoreError>>>>,
) -> impl Iterator<Item = Result<K, StoreError>> {
    std::iter::from_fn(move || {
        let heads = all.iter_mut().enumerate().filter_map(|(at, entries)| {
            let entry = entries.peek()?.as_ref().ok();
            // They end with the place. What can't be read is told at once.
            let place: Option<[u8; PLACE_BYTES]> =
                entry.and_then(|entry| entry.as_ref().last_chunk().copied());
            Some((place.is_none(), place, at))
        });
        let (_, _, newest) = heads.max()?;
        all[newest].next()
    })
}

/// The delivery that an entry of the index names.
fn indexed(
    rows: &Keyspace,
    workspace: WorkspaceId,
    entry: &[u8],
) -> Result<Option<AttemptGroup>, StoreError> {
    let first_attempt = Timestamp::from_micros((number_at(entry, 21)? ^ SIGN_BIT).cast_signed());
    let activation = number_at(entry, 29)?;
    let destination = entry.last_chunk().copied().map(u32::from_be_bytes);
    let destination = DestinationId(destination.ok_or(StoreError::Damaged("index of records"))?);
    let key = Key { workspace, destination };
    let start = attempt_key(key, first_attempt, activation, 0);
    let mut attempts = Vec::new();
    for entry in rows.range(start..=attempt_key(key, first_attempt, activation, LAST_SLOT)) {
        attempts.push(AttemptRecord::decode(&entry.value()?)?);
    }
    // Both are written together.
    Ok((!attempts.is_empty()).then_some(AttemptGroup { key, first_attempt, activation, attempts }))
}

/// What an attempt is found by.
fn sought_by(attempt: &AttemptRecord) -> Vec<(u8, [u8; 16])> {
    let mut sought = vec![(MESSAGE, hash(attempt.message_id.as_str().as_bytes()))];
    sought.extend(attempt.profile.map(|profile| (PROFILE, hash(&profile.0))));
    sought
}

fn hash(value: &[u8]) -> [u8; 16] {
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(value).as_bytes()[..16]);
    hash
}

fn exchange_day(number: u64) -> i64 {
    Timestamp::from_micros((number / NUMBERS_PER_MICROSECOND).cast_signed()).day()
}

fn row_key(key: Key, kind: u8, rest: &[u8]) -> Vec<u8> {
    [&key.prefix()[..], &[kind], rest].concat()
}

fn attempt_key(key: Key, first_attempt: Timestamp, activation: u64, slot: u32) -> Vec<u8> {
    let place = [sortable(first_attempt), activation.to_be_bytes()].concat();
    row_key(key, ATTEMPT, &[&place[..], &slot.to_be_bytes()].concat())
}

fn index_prefix(workspace: WorkspaceId, kind: u8, hash: [u8; 16]) -> Vec<u8> {
    [&workspace.0.to_be_bytes()[..], &[kind], &hash].concat()
}

fn index_key(
    prefix: &[u8],
    (first_attempt, activation): (Timestamp, u64),
    destination: DestinationId,
) -> Vec<u8> {
    let place = [sortable(first_attempt), activation.to_be_bytes()].concat();
    [prefix, &place, &destination.0.to_be_bytes()].concat()
}

/// Eight bytes that sort as times do.
fn sortable(at: Timestamp) -> [u8; 8] {
    (at.as_micros().cast_unsigned() ^ SIGN_BIT).to_be_bytes()
}

fn count_lost(key: Key, lost: [u64; 2]) {
    for (what, count) in ["exchange", "attempt"].into_iter().zip(lost).filter(|(_, count)| *count > 0) {
        let labels = [
            ("workspace", key.workspace.to_string()),
            ("destination", key.destination.to_string()),
            ("what", what.to_owned()),
        ];
        counter!(RECORDS_DROPPED, &labels).increment(count);
    }
}
