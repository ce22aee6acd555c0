//! Fragment and event time to position: a fragment's events are one range, so that no hot profile grows.

use super::IndexError;
use super::days::{DAY_MICROS, Days, ingest, options_for_ranges};
use super::event_query::{self, EventQuery};
use super::layers::{Layer, Layers};
use super::message_index::received_at;
use super::meta::{Meta, SpanOf};
use fjall::{Database, UserValue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::{Timestamp, WorkspaceId};

const PREFIX: &str = "idx_evt_";

/// An event of a fragment: when it happened, and where it is in the events log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexedEvent {
    /// When it happened.
    pub event_time: Timestamp,
    /// The position in the events log.
    pub sequence: u64,
    /// The first sequence of the frame that holds it.
    pub frame: u64,
    /// When it arrived.
    pub received_at: Timestamp,
}

/// Workspace, fragment, event time, sequence: sorts by these, in memory and in the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EventKey(pub(super) [u8; 36]);

impl EventKey {
    pub(super) fn new(
        workspace: WorkspaceId,
        fragment: &[u8; 16],
        (time, sequence): (Timestamp, u64),
    ) -> Self {
        let mut key = [0; 36];
        key[..4].copy_from_slice(&workspace.0.to_be_bytes());
        key[4..20].copy_from_slice(fragment);
        key[20..28].copy_from_slice(&sortable(time.as_micros()));
        key[28..].copy_from_slice(&sequence.to_be_bytes());
        Self(key)
    }

    fn event_time(&self) -> Timestamp {
        Timestamp::from_micros((u64_at(&self.0, 20) ^ SIGN_BIT).cast_signed())
    }

    fn sequence(&self) -> u64 {
        u64_at(&self.0, 28)
    }
}

const SIGN_BIT: u64 = 1 << 63;

/// Eight bytes that sort as the numbers do.
pub(super) fn sortable(number: i64) -> [u8; 8] {
    (number.cast_unsigned() ^ SIGN_BIT).to_be_bytes()
}

fn u64_at(bytes: &[u8; 36], at: usize) -> u64 {
    let mut number = [0; 8];
    number.copy_from_slice(&bytes[at..at + 8]);
    u64::from_be_bytes(number)
}

/// What belongs to an [`EventKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventPlace {
    frame: u64,
    received_at: Timestamp,
}

/// The key and place of an event together.
pub(super) fn indexed(key: &EventKey, place: EventPlace) -> IndexedEvent {
    IndexedEvent {
        event_time: key.event_time(),
        sequence: key.sequence(),
        frame: place.frame,
        received_at: place.received_at,
    }
}

/// Reads a stored entry of a day.
pub(super) fn decode(number: i64, key: &[u8], value: &[u8]) -> Result<IndexedEvent, IndexError> {
    let corrupt = || IndexError::Corrupt { keyspace: format!("{PREFIX}{number}") };
    let key = EventKey(key.try_into().map_err(|_| corrupt())?);
    let (behind, within_day): (u64, u64) = postcard::from_bytes(value).map_err(|_| corrupt())?;
    let received_at = received_at(number, within_day).ok_or_else(corrupt)?;
    Ok(indexed(&key, EventPlace { frame: key.sequence().wrapping_sub(behind), received_at }))
}

fn encode(key: &EventKey, place: EventPlace) -> UserValue {
    let within_day = place.received_at.as_micros().rem_euclid(DAY_MICROS);
    let parts = (key.sequence().wrapping_sub(place.frame), within_day.unsigned_abs());
    let mut space = [0; 20];
    let bytes = postcard::to_slice(&parts, &mut space).expect("two varints fit into 20 bytes");
    UserValue::from(&*bytes)
}

/// What the entries of one day span, or more. Stored before the entries are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Span {
    pub(super) highest_sequence: u64,
    pub(super) earliest: Timestamp,
    pub(super) latest: Timestamp,
}

impl Span {
    pub(super) const EMPTY: Self =
        Self { highest_sequence: 0, earliest: Timestamp::from_micros(i64::MAX), latest: Timestamp::MIN };

    pub(super) fn include(&mut self, sequence: u64, event_time: Timestamp) {
        self.highest_sequence = self.highest_sequence.max(sequence);
        self.earliest = self.earliest.min(event_time);
        self.latest = self.latest.max(event_time);
    }
}

/// What was recorded between two flushes.
pub(super) type Recorded = BTreeMap<EventKey, EventPlace>;

impl Layer for Recorded {
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }
}

/// The event index.
pub(super) struct EventIndex {
    memory: Layers<Recorded>,
    days: Days<Span>,
}

impl EventIndex {
    pub(super) fn open(db: Database, meta: &Meta) -> Result<Self, IndexError> {
        let days = Days::open(db, PREFIX, options_for_ranges, |number| meta.span(SpanOf::Events, number))?;
        Ok(Self { memory: Layers::new(), days })
    }

    pub(super) fn record(&self, workspace: WorkspaceId, fragment: &[u8; 16], event: IndexedEvent) {
        let key = EventKey::new(workspace, fragment, (event.event_time, event.sequence));
        let place = EventPlace { frame: event.frame, received_at: event.received_at };
        self.memory.record(|recorded| {
            recorded.insert(key, place);
        });
    }

    pub(super) fn recorded(&self) -> usize {
        self.memory.recent_len()
    }

    pub(super) fn days(&self) -> usize {
        self.days.table().len()
    }

    pub(super) fn query(
        &self,
        workspace: WorkspaceId,
        fragments: &[[u8; 16]],
        query: EventQuery,
    ) -> Result<Vec<IndexedEvent>, IndexError> {
        event_query::run(&self.memory, &self.days, workspace, fragments, query)
    }

    /// Writes what is in memory and lets go of it. Tells how many entries were written.
    pub(super) fn flush(&self, meta: &Meta) -> Result<usize, IndexError> {
        let by_day = by_day(&self.memory.seal());
        let known = self.days.table();
        let spans: Vec<(i64, Span)> = by_day
            .iter()
            .map(|(number, entries)| {
                let mut span = known.get(number).map_or(Span::EMPTY, |day| day.about);
                entries.iter().for_each(|(key, _)| span.include(key.sequence(), key.event_time()));
                (*number, span)
            })
            .collect();
        if !spans.is_empty() {
            meta.store_spans(&spans)?;
        }
        let table = self.days.publish(spans)?;
        let mut written = 0;
        for (number, entries) in by_day {
            written += entries.len();
            let stored = entries.into_iter().map(|(key, place)| (key.0, encode(&key, place)));
            ingest(&table[&number].keyspace, stored)?;
        }
        self.memory.release();
        Ok(written)
    }

    pub(super) fn expire(&self, events_first: u64, meta: &Meta) -> Result<(), IndexError> {
        for number in self.days.drop_where(|_, span| span.highest_sequence < events_first)? {
            meta.forget_span(SpanOf::Events, number)?;
        }
        Ok(())
    }
}

/// The recorded entries by day of receipt, sorted by key, each once.
fn by_day(layers: &[Arc<Recorded>]) -> BTreeMap<i64, Vec<(EventKey, EventPlace)>> {
    let mut by_day: BTreeMap<i64, Vec<_>> = BTreeMap::new();
    for (key, place) in layers.iter().flat_map(|layer| layer.iter()) {
        by_day.entry(place.received_at.day()).or_default().push((*key, *place));
    }
    for entries in by_day.values_mut() {
        entries.sort_by_key(|(key, _)| *key);
        entries.dedup_by_key(|(key, _)| *key);
    }
    by_day
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let cases = [
            ("ordinary", 1_763_000_000_000_000, 1_000_000, 999_900, 1_763_000_001_000_000),
            ("before 1970", -5, 3, 3, -1),
            ("extremes", i64::MIN, u64::MAX, 0, i64::MAX),
            ("other extremes", i64::MAX, 0, u64::MAX, i64::MIN),
        ];
        for (name, event_time, sequence, frame, received_at) in cases {
            let received_at = Timestamp::from_micros(received_at);
            let event_time = Timestamp::from_micros(event_time);
            let key = EventKey::new(WorkspaceId(7), &[9; 16], (event_time, sequence));
            let value = encode(&key, EventPlace { frame, received_at });
            let back = decode(received_at.day(), &key.0, &value).expect("was just written");
            assert_eq!(back, IndexedEvent { event_time, sequence, frame, received_at }, "{name}");
        }
        assert!(decode(0, &[0; 35], &[0, 0]).is_err(), "short key");
        assert!(decode(0, &[0; 36], &[0]).is_err(), "short value");
    }

    #[test]
    fn keys_sort_by_workspace_fragment_time_and_sequence() {
        let key = |workspace, fragment, micros, sequence| {
            EventKey::new(WorkspaceId(workspace), &[fragment; 16], (Timestamp::from_micros(micros), sequence))
        };
        let sorted = [
            key(1, 1, i64::MIN, 9),
            key(1, 1, -1, 8),
            key(1, 1, 0, 2),
            key(1, 1, 0, 300),
            key(1, 1, 1, 0),
            key(1, 2, -9, 0),
            key(2, 0, -9, 0),
        ];
        assert!(sorted.is_sorted());
    }
}
