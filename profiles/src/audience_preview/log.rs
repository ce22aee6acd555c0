//! The events that profiles need, found and read.

use super::facts::Sources;
use super::plan::query;
use super::scan::EVENTS_MAX;
use super::{Asked, AudiencePreviewError};
use crate::codec::Checkpoint;
use crate::columns::{Settled, Table};
use crate::preview::PreviewProgress;
use rustc_hash::FxHashMap;
use std::ops::Range;
use tributary_eventlog::index::{EventOrder, EventQuery};
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::condition::{EventPattern, Window};
use tributary_model::fragment::Sighting;
use tributary_model::keeper::{Keep, KeeperSpec, Keepers};
use tributary_model::{EventView, Fragment, ProfileId, Record, Timestamp};

/// How many events of the event index are read at once.
const PAGE: usize = 10_000;
/// How many bytes of records are read at once, where most of them are wanted.
const READ_BYTES: usize = 1 << 20;
/// The same where few are.
const READ_BYTES_SPARSE: usize = 1 << 16;
/// Within so many records, so many wanted ones are many.
const NEAR: u64 = 4096;
const NEAR_MANY: usize = 64;

/// An event that is wanted: where it is, and the number of the profile whose it is.
pub(super) type WantedEvent = (u64, u32);

/// Finds the events that profiles need.
pub(super) struct Wanted<'a> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) sources: &'a Sources,
    pub(super) now: Timestamp,
    pub(super) table: &'a Table,
    /// What is not below it does not count.
    pub(super) checkpoint: Checkpoint,
    /// Whether more than [`EVENTS_MAX`] are taken.
    pub(super) may_be_more: bool,
}

impl Wanted<'_> {
    /// The events of these profiles, in the order of the log; `None` if they are too many.
    ///
    /// # Errors
    /// If the indexes or the state can't be read.
    pub(super) fn events(
        &self,
        settled: &Settled<'_>,
        people: &FxHashMap<ProfileId, u32>,
    ) -> Result<Option<Vec<WantedEvent>>, AudiencePreviewError> {
        let mut wanted: Vec<WantedEvent> = Vec::new();
        let mut is_too_much = false;
        let positions = self.sources.first..self.checkpoint.next;
        if self.sources.is_indexed {
            self.by_name(&positions, people, &mut |event| {
                is_too_much |= !self.push(&mut wanted, event);
            })?;
        } else {
            self.by_profile(settled, &positions, people, &mut |event| {
                is_too_much |= !self.push(&mut wanted, event);
            })?;
        }
        // One that several keepers ask for is found for each.
        wanted.sort_unstable();
        wanted.dedup();
        Ok((!is_too_much).then_some(wanted))
    }

    fn push(&self, wanted: &mut Vec<WantedEvent>, event: WantedEvent) -> bool {
        let has_room = self.may_be_more || wanted.len() < EVENTS_MAX;
        if has_room {
            wanted.push(event);
        }
        has_room
    }

    /// From the name index: the events of the names that are asked for.
    fn by_name(
        &self,
        positions: &Range<u64>,
        people: &FxHashMap<ProfileId, u32>,
        take: &mut dyn FnMut(WantedEvent),
    ) -> Result<(), AudiencePreviewError> {
        let docs: roaring::RoaringBitmap = people.values().copied().collect();
        for (pattern, window) in self.patterns() {
            let query = query(self.asked.order.workspace, pattern, &window, self.now, positions);
            self.asked.parts.indexes.names(&query, &mut |event| {
                let doc = self.table.doc_of_fragment(event.fragment);
                if let Some(doc) = doc.filter(|doc| docs.contains(*doc)) {
                    take((event.sequence, doc));
                }
            })?;
        }
        Ok(())
    }

    /// What is asked for of events, and when they have to have happened.
    fn patterns(&self) -> impl Iterator<Item = (&EventPattern, Window)> {
        self.sources.missing.iter().filter_map(|(_, spec)| match spec {
            KeeperSpec::Trail(trail) => {
                let window = match trail.keep {
                    Keep::Marks(Some(span)) => Window::Within(span),
                    Keep::Totals | Keep::Values | Keep::Marks(None) => trail.events.window.clone(),
                };
                Some((&trail.events, window))
            }
            // What is kept of traits is the profile's business.
            KeeperSpec::Trait { .. } => None,
        })
    }

    /// From the event index, which older versions wrote too: every event of the profiles.
    fn by_profile(
        &self,
        settled: &Settled<'_>,
        positions: &Range<u64>,
        people: &FxHashMap<ProfileId, u32>,
        take: &mut dyn FnMut(WantedEvent),
    ) -> Result<(), AudiencePreviewError> {
        let workspace = self.asked.order.workspace;
        for (id, doc) in people {
            let Some(live) = settled.live(*id)? else { continue };
            let fragments: Vec<[u8; 16]> =
                live.members.iter().map(|node| settled.fragment_of(node)).collect();
            let mut query = EventQuery {
                start: None,
                end: None,
                order: EventOrder::Oldest,
                after: None,
                limit: PAGE,
                first_sequence: positions.start,
            };
            loop {
                let page = self.asked.parts.indexes.events(workspace, &fragments, query)?;
                for event in page.iter().filter(|event| event.sequence < positions.end) {
                    take((event.sequence, *doc));
                }
                match page.last().filter(|_| page.len() == PAGE) {
                    Some(last) => query.after = Some((last.event_time, last.sequence)),
                    None => break,
                }
            }
        }
        Ok(())
    }
}

/// Reads events and folds them, by the numbers of the profiles whose they are.
///
/// # Errors
/// If the log can't be read, or it is cancelled.
pub(super) fn read(
    events: &dyn EventLog,
    wanted: &[WantedEvent],
    keepers: &Keepers,
    now: Timestamp,
    progress: &PreviewProgress,
) -> Result<FxHashMap<u32, Fragment>, AudiencePreviewError> {
    let mut found: FxHashMap<u32, Fragment> = FxHashMap::default();
    let mut left = wanted;
    while let Some((next, _)) = left.first().copied() {
        if progress.is_cancelled() {
            return Err(AudiencePreviewError::Cancelled);
        }
        let near = left.partition_point(|(sequence, _)| *sequence < next.saturating_add(NEAR));
        let bytes = if near >= NEAR_MANY { READ_BYTES } else { READ_BYTES_SPARSE };
        let entries = match events.read(next, bytes) {
            // Retention goes on meanwhile: the audience would not know these either.
            Err(ReadError::Expired { first }) if first > next => {
                left = behind(left, first);
                continue;
            }
            read => read?,
        };
        if entries.is_empty() {
            break;
        }
        for entry in &entries {
            left = behind(left, entry.sequence);
            let Some(((_, doc), others)) = left.split_first().filter(|((at, _), _)| *at == entry.sequence)
            else {
                continue;
            };
            left = others;
            let record = Record::decode(&entry.bytes)?;
            let event = EventView::parse(&record.payload)?;
            let envelope = &record.envelope;
            let sighting = Sighting {
                at: envelope.event_time,
                message_id: envelope.message_id.clone().expect("an event's record has a message id"),
                source: envelope.source,
            };
            let _ = keepers.fold(found.entry(*doc).or_default(), &event, &sighting, now);
        }
    }
    Ok(found)
}

/// Those that are not before a sequence.
fn behind(wanted: &[WantedEvent], sequence: u64) -> &[WantedEvent] {
    let before = wanted.iter().take_while(|(at, _)| *at < sequence).count();
    wanted.get(before..).unwrap_or_default()
}
