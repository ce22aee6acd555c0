//! A page of events: many sorted ranges (memory, and each day's for each fragment) merged into one.
//!
//! A day is opened only once the merge reaches the times it spans: a newest-first page mostly touches a day or two,
//! however many the log holds.

use super::IndexError;
use super::days::{Day, Days};
use super::event_index::{self, EventKey, IndexedEvent, Recorded, Span};
use super::layers::Layers;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use tributary_model::{Timestamp, WorkspaceId};

/// Which end comes first. Events of one time are ordered by sequence, in the same direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventOrder {
    /// By falling event time.
    Newest,
    /// By rising event time.
    Oldest,
}

/// Which events of the fragments are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventQuery {
    /// The earliest event time, inclusive.
    pub start: Option<Timestamp>,
    /// The latest event time, inclusive.
    pub end: Option<Timestamp>,
    /// Which end comes first.
    pub order: EventOrder,
    /// (event time, sequence) of the last event of the page before: only what follows it in the asked order.
    pub after: Option<(Timestamp, u64)>,
    /// The largest number of events to answer.
    pub limit: usize,
    /// The oldest position that the log can still read; entries below it are skipped.
    pub first_sequence: u64,
}

/// An inclusive range of (event time, sequence).
type Bounds = ((Timestamp, u64), (Timestamp, u64));

impl EventQuery {
    /// The range that start, end and cursor leave; `None` if they leave nothing.
    fn bounds(&self) -> Option<Bounds> {
        let mut low = (self.start.unwrap_or(Timestamp::MIN), 0);
        let mut high = (self.end.unwrap_or(Timestamp::from_micros(i64::MAX)), u64::MAX);
        match (self.order, self.after) {
            (_, None) => {}
            (EventOrder::Newest, Some(cursor)) => high = high.min(just_below(cursor)?),
            (EventOrder::Oldest, Some(cursor)) => low = low.max(just_above(cursor)?),
        }
        (low <= high).then_some((low, high))
    }
}

fn just_below((time, sequence): (Timestamp, u64)) -> Option<(Timestamp, u64)> {
    match sequence.checked_sub(1) {
        Some(sequence) => Some((time, sequence)),
        None => (time > Timestamp::MIN).then(|| (time.plus_micros(-1), u64::MAX)),
    }
}

fn just_above((time, sequence): (Timestamp, u64)) -> Option<(Timestamp, u64)> {
    match sequence.checked_add(1) {
        Some(sequence) => Some((time, sequence)),
        None => (time < Timestamp::from_micros(i64::MAX)).then(|| (time.plus_micros(1), 0)),
    }
}

/// Answers a query: a copy of what memory holds first, then the store, which by then holds whatever has left
/// memory in between.
pub(super) fn run(
    memory: &Layers<Recorded>,
    days: &Days<Span>,
    workspace: WorkspaceId,
    fragments: &[[u8; 16]],
    query: EventQuery,
) -> Result<Vec<IndexedEvent>, IndexError> {
    let Some(bounds) = query.bounds() else { return Ok(Vec::new()) };
    let ranges: Vec<(EventKey, EventKey)> = fragments
        .iter()
        .map(|fragment| {
            (EventKey::new(workspace, fragment, bounds.0), EventKey::new(workspace, fragment, bounds.1))
        })
        .collect();
    let mut merge = Merge { order: query.order, heads: BinaryHeap::new() };
    for recent in from_memory(memory, &ranges, query) {
        merge.push(Box::new(recent.into_iter().map(Ok)))?;
    }

    let table = days.table();
    let mut closed: Vec<(i64, &Day<Span>)> = table
        .iter()
        .map(|(number, day)| (*number, day))
        .filter(|(_, Day { about, .. })| {
            about.highest_sequence >= query.first_sequence
                && about.latest >= bounds.0.0
                && about.earliest <= bounds.1.0
        })
        .collect();
    // The day that the merge reaches first comes last, where it can be popped.
    match query.order {
        EventOrder::Newest => closed.sort_by_key(|(_, day)| day.about.latest),
        EventOrder::Oldest => closed.sort_by_key(|(_, day)| Reverse(day.about.earliest)),
    }

    let mut page: Vec<IndexedEvent> = Vec::new();
    while page.len() < query.limit {
        while let Some((number, day)) = closed.pop_if(|(_, day)| merge.has_reached(&day.about)) {
            for range in &ranges {
                merge.push(from_store(number, day, range, query.order))?;
            }
        }
        let Some(event) = merge.pop()? else { break };
        let repeated = page.last().is_some_and(|last| position(last) == position(&event));
        if event.sequence >= query.first_sequence && !repeated {
            page.push(event);
        }
    }
    Ok(page)
}

/// What memory holds of each range, in the asked order; no more of each than can matter.
fn from_memory(
    memory: &Layers<Recorded>,
    ranges: &[(EventKey, EventKey)],
    query: EventQuery,
) -> Vec<Vec<IndexedEvent>> {
    let mut found = Vec::new();
    memory.visit(|layer| {
        for (low, high) in ranges {
            let events = layer
                .range(low..=high)
                .map(|(key, place)| event_index::indexed(key, *place))
                .filter(|event| event.sequence >= query.first_sequence);
            found.push(match query.order {
                EventOrder::Newest => events.rev().take(query.limit).collect::<Vec<_>>(),
                EventOrder::Oldest => events.take(query.limit).collect(),
            });
        }
    });
    found
}

/// What a day holds of a range, in the asked order.
fn from_store(number: i64, day: &Day<Span>, (low, high): &(EventKey, EventKey), order: EventOrder) -> Source {
    let stored = day.keyspace.range(low.0..=high.0);
    let read = move |entry: fjall::Guard| {
        let (key, value) = entry.into_inner()?;
        event_index::decode(number, &key, &value)
    };
    match order {
        EventOrder::Newest => Box::new(stored.rev().map(read)),
        EventOrder::Oldest => Box::new(stored.map(read)),
    }
}

type Source = Box<dyn Iterator<Item = Result<IndexedEvent, IndexError>>>;

fn position(event: &IndexedEvent) -> (Timestamp, u64) {
    (event.event_time, event.sequence)
}

/// The merge of sorted sources.
struct Merge {
    order: EventOrder,
    heads: BinaryHeap<Head>,
}

impl Merge {
    /// Adds a source, if there is anything in it.
    fn push(&mut self, mut source: Source) -> Result<(), IndexError> {
        if let Some(event) = source.next().transpose()? {
            self.heads.push(Head { order: self.order, event, source });
        }
        Ok(())
    }

    /// The next event of all sources.
    fn pop(&mut self) -> Result<Option<IndexedEvent>, IndexError> {
        let Some(Head { event, source, .. }) = self.heads.pop() else { return Ok(None) };
        self.push(source)?;
        Ok(Some(event))
    }

    /// Whether a day with this span may hold something that comes before everything in the opened sources.
    fn has_reached(&self, span: &Span) -> bool {
        self.heads.peek().is_none_or(|head| match self.order {
            EventOrder::Newest => span.latest >= head.event.event_time,
            EventOrder::Oldest => span.earliest <= head.event.event_time,
        })
    }
}

/// A source with its next event. The largest is the one that the order wants first.
struct Head {
    order: EventOrder,
    event: IndexedEvent,
    source: Source,
}

impl Ord for Head {
    fn cmp(&self, other: &Self) -> Ordering {
        let ordering = position(&self.event).cmp(&position(&other.event));
        match self.order {
            EventOrder::Newest => ordering,
            EventOrder::Oldest => ordering.reverse(),
        }
    }
}

impl PartialOrd for Head {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Head {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Head {}
