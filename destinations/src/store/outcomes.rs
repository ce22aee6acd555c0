//! How deliveries ended that were not simply taken: left out, passed over, given up; and those that a replay sent again,
//! however they ended. A delivery below the cursor that does not wait, and of which nothing is said here, was delivered.
//!
//! Keyspaces `dst_outcomes_<day>`, by the day of the commit:
//!
//! workspace (4), destination (4), block (8), number (8) → for each run of deliveries that ended alike: how many
//! activations lie before it since the end of the last run (of the first: since the block's start), how long it is, how
//! they ended.
//!
//! A block is 4096 activations. Each commit adds a row to each block that it says something of; what a row with a larger
//! number says counts, and what a later day says counts most.
//!
//! Days are kept as long as activations can be: a delivery ends on the day on which its activation was made or later, so
//! what is said of an activation goes after it. Where activations are kept for longer than was said, nothing can be told of
//! those that arrived before [`Outcomes::told_from`].

use super::days::Days;
use super::{StoreError, number_at, numbered};
use crate::config::Key;
use crate::records::Ending;
use fjall::config::FilterPolicy;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, OwnedWriteBatch};
use std::collections::BTreeMap;
use std::ops::Range;
use tributary_model::outcome::Outcome;

const BLOCK: u64 = 4096;
const VERSION: u8 = 1;
const WHAT: &str = "record of how deliveries ended";

/// How many activations lie before it, how long it is, how they ended.
type Run = (u16, u16, Outcome);

/// How deliveries ended.
pub(super) struct Outcomes {
    days: Days,
    days_kept: u16,
}

/// How the deliveries of a block ended, in order, as far as something was said of them.
pub(super) type Block = Vec<Option<Outcome>>;

/// The block that an activation lies in, and its place there.
pub(super) const fn place_of(activation: u64) -> (u64, usize) {
    (activation / BLOCK, (activation % BLOCK) as usize)
}

/// Nothing is looked up by a whole key, so no filters.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().filter_policy(FilterPolicy::disabled())
}

/// The numbers of the rows that a batch adds: it can't be read before it is written.
pub(super) type NextNumbers = BTreeMap<[u8; 16], u64>;

impl Outcomes {
    /// Opens what is remembered; it is kept for so many days.
    pub(super) fn open(db: &Database, days_kept: u16) -> Result<Self, StoreError> {
        Ok(Self { days: Days::open(db, "dst_outcomes_", options)?, days_kept })
    }

    /// Drops what is older than it has to be, and writes out what is not of this day.
    pub(super) fn turn(&self, today: i64) -> Result<(), StoreError> {
        self.days.drop_before(today - i64::from(self.days_kept))?;
        self.days.write_out_before(today)
    }

    /// Everything that was ever said is remembered of activations that arrived on this day or later, seen from a day.
    pub(super) fn told_from(&self, today: i64) -> i64 {
        let newest = self.days.table().last_key_value().map_or(today, |(newest, _)| today.max(*newest));
        newest - i64::from(self.days_kept)
    }

    /// Adds what is said of these deliveries; of one that is named twice the last counts.
    pub(super) fn put(
        &self,
        batch: &mut OwnedWriteBatch,
        numbers: &mut NextNumbers,
        (key, today): (Key, i64),
        endings: &[Ending],
    ) -> Result<(), StoreError> {
        if endings.is_empty() {
            return Ok(());
        }
        // Time does not go back here, or what is new would seem old.
        let day = self.days.table().last_key_value().map_or(today, |(newest, _)| today.max(*newest));
        let keyspace = self.days.day(day)?;
        let mut blocks: BTreeMap<u64, BTreeMap<u16, Outcome>> = BTreeMap::new();
        for Ending { activation, outcome } in endings {
            let within = (activation % BLOCK) as u16;
            blocks.entry(activation / BLOCK).or_default().insert(within, *outcome);
        }
        for (block, outcomes) in blocks {
            let block = numbered(key, block);
            let number = match numbers.get(&block) {
                Some(number) => *number,
                None => next_number(&keyspace, block)?,
            };
            numbers.insert(block, number + 1);
            batch.insert(&keyspace, [&block[..], &number.to_be_bytes()].concat(), encode(&outcomes));
        }
        Ok(())
    }

    /// How a delivery ended, if something was said of it.
    pub(super) fn outcome_of(&self, key: Key, activation: u64) -> Result<Option<Outcome>, StoreError> {
        let within = activation % BLOCK;
        for keyspace in self.days.table().values().rev() {
            for entry in keyspace.prefix(numbered(key, activation / BLOCK)).rev() {
                let mut found = None;
                each(&entry.value()?, |run, outcome| {
                    if run.contains(&within) {
                        found = Some(outcome);
                    }
                })?;
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
        Ok(None)
    }

    /// How the deliveries of a block ended.
    pub(super) fn block(&self, key: Key, block: u64) -> Result<Block, StoreError> {
        let mut said = vec![None; BLOCK as usize];
        for keyspace in self.days.table().values() {
            for entry in keyspace.prefix(numbered(key, block)) {
                each(&entry.value()?, |run, outcome| {
                    let places = said.iter_mut().take(run.end as usize).skip(run.start as usize);
                    places.for_each(|place| *place = Some(outcome));
                })?;
            }
        }
        Ok(said)
    }

    /// The first of these activations whose delivery ended like that.
    pub(super) fn first(
        &self,
        key: Key,
        activations: Range<u64>,
        outcome: Outcome,
    ) -> Result<Option<u64>, StoreError> {
        let mut from = activations.start;
        while from < activations.end {
            let Some(block) = self.next_block(key, from / BLOCK..(activations.end - 1) / BLOCK + 1)? else {
                return Ok(None);
            };
            let said = (block * BLOCK..activations.end).zip(self.block(key, block)?);
            let mut like_that =
                said.filter(|(_, said)| *said == Some(outcome)).map(|(activation, _)| activation);
            if let Some(first) = like_that.find(|activation| *activation >= from) {
                return Ok(Some(first));
            }
            from = (block + 1) * BLOCK;
        }
        Ok(None)
    }

    /// The first of these blocks of which something was said.
    fn next_block(&self, key: Key, blocks: Range<u64>) -> Result<Option<u64>, StoreError> {
        let mut next: Option<u64> = None;
        for keyspace in self.days.table().values() {
            let end = next.unwrap_or(blocks.end);
            if end == blocks.start {
                break;
            }
            if let Some(entry) = keyspace.range(numbered(key, blocks.start)..numbered(key, end)).next() {
                next = Some(number_at(&entry.key()?, 8)?);
            }
        }
        Ok(next)
    }

    /// How deliveries ended of which something was said.
    pub(super) fn outcomes(
        &self,
        key: Key,
        activations: Range<u64>,
    ) -> Result<BTreeMap<u64, Outcome>, StoreError> {
        let mut outcomes = BTreeMap::new();
        if activations.is_empty() {
            return Ok(outcomes);
        }
        let first = numbered(key, activations.start / BLOCK);
        let end = numbered(key, (activations.end - 1) / BLOCK + 1);
        for keyspace in self.days.table().values() {
            for entry in keyspace.range(first..end) {
                let (row, value) = entry.into_inner()?;
                let start = number_at(&row, 8)? * BLOCK;
                each(&value, |run, outcome| {
                    let run =
                        (start + run.start).max(activations.start)..(start + run.end).min(activations.end);
                    outcomes.extend(run.map(|activation| (activation, outcome)));
                })?;
            }
        }
        Ok(outcomes)
    }
}

/// The number of the next row of a block.
fn next_number(keyspace: &Keyspace, block: [u8; 16]) -> Result<u64, StoreError> {
    match keyspace.prefix(block).next_back() {
        Some(entry) => Ok(number_at(&entry.key()?, 16)? + 1),
        None => Ok(0),
    }
}

fn encode(outcomes: &BTreeMap<u16, Outcome>) -> Vec<u8> {
    let mut runs: Vec<Run> = Vec::new();
    let mut end = 0;
    for (activation, outcome) in outcomes {
        match runs.last_mut() {
            Some((_, length, last)) if end == *activation && last == outcome => *length += 1,
            Some(_) | None => runs.push((activation - end, 1, *outcome)),
        }
        end = activation + 1;
    }
    postcard::to_extend(&runs, vec![VERSION]).expect("plain values can be written")
}

/// Shows each run: which activations of the block, and how they ended.
fn each(value: &[u8], mut show: impl FnMut(Range<u64>, Outcome)) -> Result<(), StoreError> {
    let runs: Vec<Run> = match value.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| StoreError::Damaged(WHAT))?,
        Some((&version, _)) => return Err(StoreError::Version { what: WHAT, version }),
        None => return Err(StoreError::Damaged(WHAT)),
    };
    let mut end = 0;
    for (before, length, outcome) in runs {
        let start = end + u64::from(before);
        end = start + u64::from(length);
        show(start..end, outcome);
    }
    Ok(())
}
