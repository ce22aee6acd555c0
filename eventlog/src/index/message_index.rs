//! Message id to position: where each id was seen first.
//!
//! A key may have several sightings: an id that comes again after the window counts as new, and with a clock that
//! was set back even within one day. All are kept (up to [`SIGHTINGS_PER_DAY_MAX`] a day), because a log that is
//! read again must find for each record what it found the first time.

use super::days::{DAY_MICROS, DayTable, Days, ingest, options_for_lookups};
use super::layers::{Layer, Layers};
use super::{IndexError, IndexOptions, metrics};
use fjall::{Database, UserValue};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use tributary_model::{MessageId, SourceId, Timestamp, WorkspaceId};

/// How many sightings of one key a day keeps. Reading on from where reading stopped needs only the newest; a day
/// that lost some is exact from its oldest kept one on.
pub const SIGHTINGS_PER_DAY_MAX: usize = 64;

const PREFIX: &str = "idx_msg_";

/// A message id within its workspace and source, as a key: the workspace, then 128 bits of BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKey([u8; 20]);

impl MessageKey {
    /// The key of a message id.
    pub fn new(workspace: WorkspaceId, source: SourceId, message_id: &MessageId) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&workspace.0.to_be_bytes());
        hasher.update(&source.0.to_be_bytes());
        hasher.update(message_id.as_str().as_bytes());
        let mut key = [0; 20];
        key[..4].copy_from_slice(&workspace.0.to_be_bytes());
        key[4..].copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Self(key)
    }
}

/// A sighting of a message id that was new at its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstSeen {
    /// The position in the events log.
    pub sequence: u64,
    /// The first sequence of the frame that holds it.
    pub frame: u64,
    /// When the event arrived.
    pub received_at: Timestamp,
}

/// What was recorded between two flushes: nearly every key has one sighting.
#[derive(Default)]
struct Recorded {
    newest: HashMap<MessageKey, FirstSeen>,
    older: HashMap<MessageKey, Vec<FirstSeen>>,
    len: usize,
}

impl Recorded {
    fn add(&mut self, key: MessageKey, seen: FirstSeen) {
        if self.of(&key).any(|known| known.sequence == seen.sequence) {
            return;
        }
        self.len += 1;
        let newest = self.newest.entry(key).or_insert(seen);
        if newest.sequence != seen.sequence {
            let older = if seen.sequence > newest.sequence { std::mem::replace(newest, seen) } else { seen };
            self.older.entry(key).or_default().push(older);
        }
    }

    fn of(&self, key: &MessageKey) -> impl Iterator<Item = &FirstSeen> {
        let newest = self.newest.get(key);
        // Keys with several sightings are so rare that the second map is nearly always empty.
        let older = if newest.is_some() && !self.older.is_empty() { self.older.get(key) } else { None };
        newest.into_iter().chain(older.into_iter().flatten())
    }

    fn all(&self) -> impl Iterator<Item = (MessageKey, FirstSeen)> {
        let older = self.older.iter().flat_map(|(key, seen)| seen.iter().map(move |seen| (*key, *seen)));
        self.newest.iter().map(|(key, seen)| (*key, *seen)).chain(older)
    }
}

impl Layer for Recorded {
    fn len(&self) -> usize {
        self.len
    }
}

/// The message index.
pub(super) struct MessageIndex {
    window_micros: i64,
    keep_micros: i64,
    memory: Layers<Recorded>,
    days: Days<()>,
}

impl MessageIndex {
    pub(super) fn open(db: Database, options: &IndexOptions) -> Result<Self, IndexError> {
        let window_micros = i64::try_from(options.message_window.as_micros()).unwrap_or(i64::MAX);
        let kept_micros = i64::from(options.message_days_kept).saturating_mul(DAY_MICROS);
        Ok(Self {
            window_micros,
            keep_micros: kept_micros.max(window_micros),
            memory: Layers::new(),
            days: Days::open(db, PREFIX, options_for_lookups, |_| Ok(()))?,
        })
    }

    pub(super) fn record(&self, key: MessageKey, seen: FirstSeen) {
        self.memory.record(|recorded| recorded.add(key, seen));
    }

    pub(super) fn recorded(&self) -> usize {
        self.memory.recent_len()
    }

    pub(super) fn days(&self) -> usize {
        self.days.table().len()
    }

    pub(super) fn first_seen(
        &self,
        key: &MessageKey,
        before: u64,
        received_at: Timestamp,
    ) -> Result<Option<FirstSeen>, IndexError> {
        let earliest = received_at.plus_micros(-self.window_micros);
        self.newest_where(key, earliest.day()..=i64::MAX, |seen| {
            seen.sequence < before && seen.received_at >= earliest
        })
    }

    pub(super) fn find(&self, key: &MessageKey) -> Result<Option<FirstSeen>, IndexError> {
        self.newest_where(key, i64::MIN..=i64::MAX, |_| true)
    }

    /// The sighting with the largest sequence among those that `wanted` admits. Memory first, then the store: what
    /// leaves memory in between is in the store by then.
    fn newest_where(
        &self,
        key: &MessageKey,
        days: std::ops::RangeInclusive<i64>,
        wanted: impl Fn(&FirstSeen) -> bool,
    ) -> Result<Option<FirstSeen>, IndexError> {
        let mut best: Option<FirstSeen> = None;
        let mut offer = |seen: FirstSeen| {
            if wanted(&seen) && best.is_none_or(|best| seen.sequence > best.sequence) {
                best = Some(seen);
            }
        };
        self.memory.visit(|layer| layer.of(key).copied().for_each(&mut offer));
        for (number, day) in self.days.table().range(days) {
            if let Some(stored) = day.keyspace.get(key.0)? {
                decode(*number, &stored)?.into_iter().for_each(&mut offer);
            }
        }
        Ok(best)
    }

    /// Writes what is in memory and lets go of it. Tells how many entries were written: those that the store did
    /// not hold yet.
    pub(super) fn flush(&self) -> Result<usize, IndexError> {
        let by_day = by_day(&self.memory.seal());
        let existing = self.days.table();
        let table = self.days.publish(by_day.keys().map(|number| (*number, ())))?;
        let mut written = 0;
        for (number, recorded) in &by_day {
            let entries = merged(*number, recorded, &existing)?;
            written += entries.len();
            ingest(&table[number].keyspace, entries)?;
        }
        self.memory.release();
        Ok(written)
    }

    pub(super) fn expire(&self, log_time: Timestamp, oldest_needed: Timestamp) -> Result<(), IndexError> {
        let oldest = log_time.plus_micros(-self.keep_micros).min(oldest_needed);
        self.days.drop_where(|number, ()| number < oldest.day())?;
        Ok(())
    }
}

/// The recorded sightings by day of receipt, sorted by key and sequence, each once.
fn by_day(layers: &[Arc<Recorded>]) -> BTreeMap<i64, Vec<(MessageKey, FirstSeen)>> {
    let mut by_day: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for (key, seen) in layers.iter().flat_map(|layer| layer.all()) {
        by_day.entry(seen.received_at.day()).or_default().push((key, seen));
    }
    for sightings in by_day.values_mut() {
        sightings.sort_unstable_by_key(|(key, seen)| (*key, seen.sequence));
        sightings.dedup_by_key(|(key, seen)| (*key, seen.sequence));
    }
    by_day
}

/// The entries to write into a day: for each key what is stored and what was recorded, where that is more.
fn merged(
    number: i64,
    recorded: &[(MessageKey, FirstSeen)],
    existing: &DayTable<()>,
) -> Result<Vec<([u8; 20], UserValue)>, IndexError> {
    let mut entries = Vec::with_capacity(recorded.len());
    let mut buffer = Vec::new();
    for group in recorded.chunk_by(|(left, _), (right, _)| left == right) {
        let key = group[0].0.0;
        let stored = match existing.get(&number) {
            Some(day) => day.keyspace.get(key)?,
            None => None,
        };
        let mut sightings = match &stored {
            Some(stored) => decode(number, stored)?,
            None => Vec::new(),
        };
        for (_, seen) in group {
            if let Err(place) = sightings.binary_search_by_key(&seen.sequence, |known| known.sequence) {
                sightings.insert(place, *seen);
            }
        }
        let surplus = sightings.len().saturating_sub(SIGHTINGS_PER_DAY_MAX);
        if surplus > 0 {
            metrics::sightings_dropped(surplus);
        }
        encode(&sightings[surplus..], &mut buffer);
        if stored.is_none_or(|stored| *stored != *buffer) {
            entries.push((key, UserValue::from(&buffer[..])));
        }
    }
    Ok(entries)
}

/// Writes the sightings of one key and day. The differences wrap, so that any values come back as they were.
fn encode(sightings: &[FirstSeen], buffer: &mut Vec<u8>) {
    buffer.clear();
    for seen in sightings {
        let within_day = seen.received_at.as_micros().rem_euclid(DAY_MICROS);
        let parts = (seen.sequence, seen.sequence.wrapping_sub(seen.frame), within_day.unsigned_abs());
        let mut space = [0; 30];
        let bytes = postcard::to_slice(&parts, &mut space).expect("three varints fit into 30 bytes");
        buffer.extend_from_slice(bytes);
    }
}

fn decode(number: i64, mut stored: &[u8]) -> Result<Vec<FirstSeen>, IndexError> {
    let corrupt = || IndexError::Corrupt { keyspace: format!("{PREFIX}{number}") };
    let mut sightings = Vec::with_capacity(1);
    while !stored.is_empty() {
        let ((sequence, behind, within_day), rest) =
            postcard::take_from_bytes::<(u64, u64, u64)>(stored).map_err(|_| corrupt())?;
        let received_at = received_at(number, within_day).ok_or_else(corrupt)?;
        sightings.push(FirstSeen { sequence, frame: sequence.wrapping_sub(behind), received_at });
        stored = rest;
    }
    Ok(sightings)
}

/// The moment so many microseconds into a day. The first day of all begins before the smallest timestamp.
pub(super) fn received_at(number: i64, within_day: u64) -> Option<Timestamp> {
    let micros = i128::from(number) * i128::from(DAY_MICROS) + i128::from(within_day);
    i64::try_from(micros).ok().map(Timestamp::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(sequence: u64, frame: u64, micros: i64) -> FirstSeen {
        FirstSeen { sequence, frame, received_at: Timestamp::from_micros(micros) }
    }

    #[test]
    fn sightings_come_back_as_they_were() {
        let cases = [
            ("ordinary", vec![seen(1_000_000, 999_900, 1_763_000_000_000_000)]),
            ("several", vec![seen(7, 0, 5), seen(9, 9, 86_399_999_999)]),
            ("before 1970", vec![seen(1, 0, -1)]),
            ("extremes", vec![seen(u64::MAX, 0, i64::MAX)]),
            ("first day of all", vec![seen(0, u64::MAX, i64::MIN)]),
        ];
        for (name, sightings) in cases {
            let mut buffer = Vec::new();
            encode(&sightings, &mut buffer);
            let day = sightings[0].received_at.day();
            assert_eq!(decode(day, &buffer).expect("was just written"), sightings, "{name}");
        }
        assert!(decode(0, &[0xff]).is_err(), "cut short");
    }

    #[test]
    fn keys_differ_by_workspace_source_and_id() {
        let id = |text| MessageId::parse(text).expect("a valid id");
        let key = MessageKey::new(WorkspaceId(1), SourceId(2), &id("m"));
        assert_eq!(key, MessageKey::new(WorkspaceId(1), SourceId(2), &id("m")));
        assert_ne!(key, MessageKey::new(WorkspaceId(2), SourceId(2), &id("m")));
        assert_ne!(key, MessageKey::new(WorkspaceId(1), SourceId(1), &id("m")));
        assert_ne!(key, MessageKey::new(WorkspaceId(1), SourceId(2), &id("n")));
        assert_eq!(key.0[..4], [0, 0, 0, 1]);
    }
}
