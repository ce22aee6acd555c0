//! Event name to events: whose fragments had events of a name, and when. What previews of audiences count from.
//!
//! Unlike the other two indexes it is read in bulk, so its entries come in parts: all events of one name that were
//! recorded between two flushes. A part is named by the watermark of the flush before, which is the first sequence
//! that it may cover.
//!
//! **Nothing twice.** A part counts once the watermark has passed its beginning, which happens at one moment with its
//! events leaving memory. Events are recorded in the order of their sequences; one below the watermark, or not above
//! the last one recorded, was recorded before. A flush writes only events below its watermark, and names the parts that
//! it is about to write before it writes them: those whose watermark was lost in a crash are removed at the next start,
//! and made again.

use super::IndexError;
use super::days::{DayTable, Days, erase, ingest, options_for_ranges};
use super::event_index::{IndexedEvent, Span};
use super::meta::{Meta, SpanOf};
use fjall::Database;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tributary_model::{EventKind, Timestamp, WorkspaceId};

const PREFIX: &str = "idx_nam_";
/// The form of a part; the module's header describes it.
const VERSION: u8 = 1;
const KEY_BYTES: usize = 21;

/// An event of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamedEvent {
    /// The first eight bytes of its fragment's hash; see [`short_fragment`].
    pub fragment: u64,
    /// When it happened.
    pub event_time: Timestamp,
    /// Its position in the events log.
    pub sequence: u64,
}

/// The beginning of a fragment's hash, by which the events of names know it.
pub fn short_fragment(fragment: &[u8; 16]) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&fragment[..8]);
    u64::from_be_bytes(first)
}

/// Which events are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameQuery<'a> {
    /// Whose.
    pub workspace: WorkspaceId,
    /// The call.
    pub kind: EventKind,
    /// The name of the call; `None` for any.
    pub name: Option<&'a str>,
    /// The earliest event time, inclusive.
    pub start: Timestamp,
    /// The latest event time, inclusive.
    pub end: Timestamp,
    /// The oldest position that is wanted.
    pub first_sequence: u64,
    /// The first position that is not.
    pub before: u64,
}

impl NameQuery<'_> {
    fn takes(&self, event: &NamedEvent) -> bool {
        (self.first_sequence..self.before).contains(&event.sequence)
            && (self.start..=self.end).contains(&event.event_time)
    }
}

/// Workspace, kind and name: what the events of a part have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    workspace: u32,
    kind: u8,
    name: u64,
}

impl Group {
    fn new(workspace: WorkspaceId, kind: EventKind, name: Option<&str>) -> Self {
        let kind = u8::try_from(kind.index()).expect("there are six kinds");
        Self { workspace: workspace.0, kind, name: name.map_or(0, hash) }
    }

    /// The key of the part that begins at a sequence; sorts as groups do, and by sequence within one.
    fn key(self, start: u64) -> [u8; KEY_BYTES] {
        let mut key = [0; KEY_BYTES];
        key[..4].copy_from_slice(&self.workspace.to_be_bytes());
        key[4] = self.kind;
        key[5..13].copy_from_slice(&self.name.to_be_bytes());
        key[13..].copy_from_slice(&start.to_be_bytes());
        key
    }

    /// Whether events of it are wanted by who asks for `wanted`, or for any name of that kind.
    fn fits(self, wanted: Self, is_any: bool) -> bool {
        self == wanted || (is_any && (self.workspace, self.kind) == (wanted.workspace, wanted.kind))
    }
}

/// Never 0, which stands for no name.
fn hash(name: &str) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&blake3::hash(name.as_bytes()).as_bytes()[..8]);
    u64::from_be_bytes(first).max(1)
}

/// Where a part begins.
fn start_of(key: &[u8]) -> Option<u64> {
    let start: [u8; 8] = key.get(13..KEY_BYTES)?.try_into().ok()?;
    Some(u64::from_be_bytes(start))
}

#[derive(Debug, Clone, Copy)]
struct Recorded {
    group: Group,
    /// The day of receipt.
    day: i64,
    event: NamedEvent,
}

/// What is in memory.
struct Held {
    /// In the order of their sequences; none below `committed`.
    recent: Vec<Recorded>,
    /// Parts that begin below this are complete, and their events are not in memory.
    committed: u64,
}

/// The parts that a flush is about to write, kept until the next flush.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Unsure {
    /// Where they begin: the watermark before the flush.
    start: u64,
    /// Their days and keys, sorted.
    parts: Vec<(i64, [u8; KEY_BYTES])>,
}

impl Unsure {
    fn erase(&self, days: &DayTable<Span>) -> Result<(), IndexError> {
        for parts in self.parts.chunk_by(|(one, _), (other, _)| one == other) {
            if let Some(day) = parts.first().and_then(|(number, _)| days.get(number)) {
                erase(&day.keyspace, parts.iter().map(|(_, key)| *key))?;
            }
        }
        Ok(())
    }
}

/// The name index.
pub(super) struct NameIndex {
    held: RwLock<Held>,
    days: Days<Span>,
    covered_from: u64,
    /// What a flush wrote whose watermark could not be stored.
    uncommitted: Mutex<Option<Unsure>>,
}

impl NameIndex {
    /// Opens it as of the watermark, and removes what a crash left above that.
    pub(super) fn open(db: Database, meta: &Meta, watermark: u64) -> Result<Self, IndexError> {
        let days = Days::open(db, PREFIX, options_for_ranges, |number| meta.span(SpanOf::Names, number))?;
        // Where there is no word of it, everything below the watermark was indexed before there was this index.
        let covered_from = meta.names_covered_from(watermark)?;
        if let Some(unsure) = meta.unsure_names()?.filter(|unsure| unsure.start >= watermark) {
            unsure.erase(&days.table())?;
            meta.forget_unsure_names()?;
        }
        let held = RwLock::new(Held { recent: Vec::new(), committed: watermark });
        Ok(Self { held, days, covered_from, uncommitted: Mutex::default() })
    }

    /// The first sequence from which on nothing is missing.
    pub(super) fn covered_from(&self) -> u64 {
        self.covered_from
    }

    pub(super) fn days(&self) -> usize {
        self.days.table().len()
    }

    pub(super) fn record(
        &self,
        workspace: WorkspaceId,
        (kind, name): (EventKind, Option<&str>),
        fragment: &[u8; 16],
        event: IndexedEvent,
    ) {
        let group = Group::new(workspace, kind, name);
        let IndexedEvent { event_time, sequence, received_at, .. } = event;
        let event = NamedEvent { fragment: short_fragment(fragment), event_time, sequence };
        let mut held = self.write_held();
        let is_known = sequence < held.committed
            || held.recent.last().is_some_and(|last| sequence <= last.event.sequence);
        if !is_known {
            held.recent.push(Recorded { group, day: received_at.day(), event });
        }
    }

    /// Calls `visit` with every event that is wanted, in no order: memory first, with the word of how far the store
    /// counts, then the store.
    pub(super) fn visit(
        &self,
        query: &NameQuery<'_>,
        visit: &mut dyn FnMut(NamedEvent),
    ) -> Result<(), IndexError> {
        let wanted = Group::new(query.workspace, query.kind, query.name);
        let is_any = query.name.is_none();
        let (recent, committed): (Vec<NamedEvent>, u64) = {
            let held = self.read_held();
            let fitting = held.recent.iter().filter(|recorded| recorded.group.fits(wanted, is_any));
            (fitting.map(|recorded| recorded.event).collect(), held.committed)
        };
        recent.into_iter().filter(|event| query.takes(event)).for_each(&mut *visit);
        let last = if is_any { Group { name: u64::MAX, ..wanted } } else { wanted };
        for (number, day) in self.days.table().iter() {
            let span = &day.about;
            let may_hold = span.highest_sequence >= query.first_sequence
                && span.latest >= query.start
                && span.earliest <= query.end;
            if !may_hold {
                continue;
            }
            for entry in day.keyspace.range(wanted.key(0)..=last.key(u64::MAX)) {
                let (key, part) = entry.into_inner()?;
                let corrupt = || IndexError::Corrupt { keyspace: format!("{PREFIX}{number}") };
                // One that begins above is being written, and its events were met in memory.
                if start_of(&key).ok_or_else(corrupt)? < committed.min(query.before) {
                    read(&part, query, visit).ok_or_else(corrupt)?;
                }
            }
        }
        Ok(())
    }

    /// Writes what is in memory below the watermark, which is not stored yet. Tells how many events that were.
    pub(super) fn write(&self, watermark: u64, meta: &Meta) -> Result<usize, IndexError> {
        let (entries, start) = {
            let held = self.read_held();
            let end = held.recent.partition_point(|recorded| recorded.event.sequence < watermark);
            (held.recent[..end].to_vec(), held.committed)
        };
        if entries.is_empty() {
            return Ok(0);
        }
        let mut by_day: BTreeMap<i64, BTreeMap<Group, Vec<NamedEvent>>> = BTreeMap::new();
        for Recorded { group, day, event } in &entries {
            by_day.entry(*day).or_default().entry(*group).or_default().push(*event);
        }
        let known = self.days.table();
        let mut spans = Vec::with_capacity(by_day.len());
        let mut parts = Vec::new();
        for (number, groups) in &by_day {
            let mut span = known.get(number).map_or(Span::EMPTY, |day| day.about);
            for event in groups.values().flatten() {
                span.include(event.sequence, event.event_time);
            }
            spans.push((*number, span));
            parts.extend(groups.keys().map(|group| (*number, group.key(start))));
        }
        let mut uncommitted = self.lock_uncommitted();
        if let Some(before) = &*uncommitted {
            // It may hold what this one does not.
            before.erase(&known)?;
        }
        let unsure = uncommitted.insert(Unsure { start, parts });
        meta.store_names_to_come(&spans, unsure)?;
        let table = self.days.publish(spans)?;
        for (number, groups) in &by_day {
            let stored = groups.iter().map(|(group, events)| (group.key(start), part(events)));
            ingest(&table[number].keyspace, stored)?;
        }
        Ok(entries.len())
    }

    /// Lets what [`NameIndex::write`] wrote count, and lets go of it in memory: the watermark is stored.
    pub(super) fn commit(&self, watermark: u64) {
        let mut held = self.write_held();
        if watermark > held.committed {
            held.committed = watermark;
            let end = held.recent.partition_point(|recorded| recorded.event.sequence < watermark);
            held.recent.drain(..end);
            *self.lock_uncommitted() = None;
        }
    }

    pub(super) fn expire(&self, events_first: u64, meta: &Meta) -> Result<(), IndexError> {
        for number in self.days.drop_where(|_, span| span.highest_sequence < events_first)? {
            meta.forget_span(SpanOf::Names, number)?;
        }
        Ok(())
    }

    fn lock_uncommitted(&self) -> MutexGuard<'_, Option<Unsure>> {
        self.uncommitted.lock().expect("nothing panics while it holds this lock")
    }

    fn read_held(&self) -> RwLockReadGuard<'_, Held> {
        self.held.read().expect("nothing panics while it holds this lock")
    }

    fn write_held(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().expect("nothing panics while it holds this lock")
    }
}

/// What is known of a part without reading its events.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    count: u32,
    first_sequence: u64,
    last_sequence: u64,
    earliest: Timestamp,
    latest: Timestamp,
}

const WRITABLE: &str = "plain numbers can be written";

/// The stored form of events in the order of their sequences, at least one: version, header; then for each event its
/// fragment (8 bytes), and how much its sequence and its time differ from those of the event before.
fn part(events: &[NamedEvent]) -> Vec<u8> {
    let time = |event: &NamedEvent| event.event_time;
    let header = Header {
        count: u32::try_from(events.len()).expect("memory holds fewer"),
        first_sequence: events.first().map_or(0, |event| event.sequence),
        last_sequence: events.last().map_or(0, |event| event.sequence),
        earliest: events.iter().map(time).min().unwrap_or_default(),
        latest: events.iter().map(time).max().unwrap_or_default(),
    };
    let mut bytes = Vec::with_capacity(40 + 14 * events.len());
    bytes.push(VERSION);
    bytes = postcard::to_extend(&header, bytes).expect(WRITABLE);
    let (mut sequence, mut micros) = (header.first_sequence, header.earliest.as_micros());
    for event in events {
        bytes.extend_from_slice(&event.fragment.to_be_bytes());
        let differences =
            (event.sequence.wrapping_sub(sequence), event.event_time.as_micros().wrapping_sub(micros));
        bytes = postcard::to_extend(&differences, bytes).expect(WRITABLE);
        (sequence, micros) = (event.sequence, event.event_time.as_micros());
    }
    bytes
}

/// Reads a part; `None` if it is damaged or of another version.
fn read(part: &[u8], query: &NameQuery<'_>, visit: &mut dyn FnMut(NamedEvent)) -> Option<()> {
    let (version, rest) = part.split_first()?;
    if *version != VERSION {
        return None;
    }
    let (header, mut rest) = postcard::take_from_bytes::<Header>(rest).ok()?;
    if header.latest < query.start
        || header.earliest > query.end
        || header.last_sequence < query.first_sequence
        || header.first_sequence >= query.before
    {
        return Some(());
    }
    let (mut sequence, mut micros) = (header.first_sequence, header.earliest.as_micros());
    for _ in 0..header.count {
        let (fragment, behind) = rest.split_first_chunk::<8>()?;
        let ((more, later), behind) = postcard::take_from_bytes::<(u64, i64)>(behind).ok()?;
        (sequence, micros) = (sequence.wrapping_add(more), micros.wrapping_add(later));
        rest = behind;
        let fragment = u64::from_be_bytes(*fragment);
        let event = NamedEvent { fragment, event_time: Timestamp::from_micros(micros), sequence };
        if query.takes(&event) {
            visit(event);
        }
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(fragment: u64, micros: i64, sequence: u64) -> NamedEvent {
        NamedEvent { fragment, event_time: Timestamp::from_micros(micros), sequence }
    }

    fn all() -> NameQuery<'static> {
        NameQuery {
            workspace: WorkspaceId(1),
            kind: EventKind::Track,
            name: None,
            start: Timestamp::MIN,
            end: Timestamp::from_micros(i64::MAX),
            first_sequence: 0,
            before: u64::MAX,
        }
    }

    fn found(part: &[u8], query: &NameQuery<'_>) -> Option<Vec<NamedEvent>> {
        let mut found = Vec::new();
        read(part, query, &mut |event| found.push(event)).map(|()| found)
    }

    #[test]
    fn parts_come_back_as_they_were() {
        let cases: [(&str, Vec<NamedEvent>); 4] = [
            ("one", vec![event(7, -5, 3)]),
            ("late ones", vec![event(1, 1_000, 5), event(2, 10, 6), event(1, 2_000, 900)]),
            ("extremes", vec![event(u64::MAX, i64::MIN, 0), event(0, i64::MAX, u64::MAX - 1)]),
            ("other extremes", vec![event(0, i64::MAX, 1), event(9, i64::MIN, 2)]),
        ];
        for (name, events) in cases {
            assert_eq!(found(&part(&events), &all()), Some(events), "{name}");
        }
    }

    #[test]
    fn only_what_is_wanted_is_shown() {
        let events = [event(1, 10, 4), event(2, 20, 5), event(3, 30, 6), event(4, 20, 7)];
        let time = Timestamp::from_micros;
        let cases = [
            ("all", all(), vec![4, 5, 6, 7]),
            ("from a time", NameQuery { start: time(20), ..all() }, vec![5, 6, 7]),
            ("up to a time", NameQuery { end: time(20), ..all() }, vec![4, 5, 7]),
            ("at no time", NameQuery { start: time(31), ..all() }, vec![]),
            ("before a position", NameQuery { before: 6, ..all() }, vec![4, 5]),
            ("from a position", NameQuery { first_sequence: 6, ..all() }, vec![6, 7]),
            ("behind all", NameQuery { first_sequence: 8, ..all() }, vec![]),
        ];
        for (name, query, want) in cases {
            let got = found(&part(&events), &query).expect("readable");
            assert_eq!(got.iter().map(|event| event.sequence).collect::<Vec<_>>(), want, "{name}");
        }
    }

    #[test]
    fn damage_is_noticed() {
        let whole = part(&[event(1, 10, 4), event(2, 20, 5)]);
        let mut other = whole.clone();
        other[0] = VERSION + 1;
        let longer = [whole.as_slice(), &[0]].concat();
        for (name, bytes) in
            [("cut", &whole[..whole.len() - 1]), ("version", &other[..]), ("longer", &longer[..])]
        {
            assert_eq!(found(bytes, &all()), None, "{name}");
        }
    }

    #[test]
    fn groups_sort_as_their_keys_do() {
        let group = |workspace, kind, name| Group::new(WorkspaceId(workspace), kind, name);
        let mut groups = [
            group(2, EventKind::Identify, None),
            group(1, EventKind::Track, Some("b")),
            group(1, EventKind::Track, None),
            group(1, EventKind::Page, Some("b")),
        ];
        groups.sort();
        assert!(groups.iter().map(|group| group.key(9)).is_sorted());
        let track = group(1, EventKind::Track, None);
        let fitting: Vec<bool> = groups.iter().map(|group| group.fits(track, true)).collect();
        assert_eq!(fitting.iter().filter(|fits| **fits).count(), 2);
        assert_eq!(groups.iter().filter(|group| group.fits(track, false)).count(), 1);
        assert_eq!(start_of(&track.key(77)), Some(77));
    }
}
