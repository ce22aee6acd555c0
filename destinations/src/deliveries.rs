//! What is remembered of single deliveries, as people ask for it: which there were, what was tried, what became of each.

use crate::config::Key;
use crate::failure::{Failure, Reason};
use crate::records::{AttemptRecord, ExchangeRecord};
use crate::store::{AttemptGroup, Books, Place, Sought, Store, StoreError};
use std::fmt;
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, EventKind, MessageId, Position, ProfileId, Timestamp, WorkspaceId};

/// Deliveries that are looked at for one page.
const LOOKED_AT_MAX: usize = 2_000;

/// Which deliveries are asked for. Everything that is named has to be so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryQuery {
    /// Of that destination.
    pub destination: Option<DestinationId>,
    /// Of events with that message id.
    pub message_id: Option<MessageId>,
    /// Of one of these profiles, if any is named: those who are one person now were several before.
    pub profiles: Vec<ProfileId>,
    /// What became of it.
    pub state: Option<DeliveryState>,
    /// An attempt of it failed for that reason.
    pub reason: Option<Reason>,
    /// First tried at that time or later.
    pub from: Option<Timestamp>,
    /// First tried before that time.
    pub until: Option<Timestamp>,
    /// How many at most; at least one.
    pub limit: usize,
    /// Where the last page ended.
    pub cursor: Option<DeliveryCursor>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It waits, or is tried.
    Pending,
    /// It ended.
    Ended(Outcome),
}

/// Where a page of deliveries ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryCursor {
    day: i64,
    place: Place,
}

/// The text form: four numbers, parted by dots.
impl fmt::Display for DeliveryCursor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Place { first_attempt, activation, destination } = self.place;
        write!(out, "{}.{}.{}.{}", self.day, first_attempt.as_micros(), activation, destination.0)
    }
}

impl DeliveryCursor {
    /// Reads the text form; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let day = parts.next()?.parse().ok()?;
        let first_attempt = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let activation = parts.next()?.parse().ok()?;
        let destination = DestinationId(parts.next()?.parse().ok()?);
        let cursor = Self { day, place: Place { first_attempt, activation, destination } };
        (cursor.to_string() == text).then_some(cursor)
    }
}

/// Some deliveries, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeliveryPage {
    /// The deliveries. There may be fewer than asked for, or none, though there are more to come.
    pub deliveries: Vec<RecordedDelivery>,
    /// Where the next page begins; `None` if there are no more.
    pub next: Option<DeliveryCursor>,
}

/// A delivery of which something is remembered. One that a replay sent again is there once for each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedDelivery {
    /// Where it goes.
    pub destination: DestinationId,
    /// Its sequence in the activations log.
    pub activation: u64,
    /// The position in the events log of the record behind it.
    pub position: Position,
    /// Which of that record's activations it is.
    pub ordinal: u32,
    /// Its id, as receivers see it.
    pub delivery_id: String,
    /// The event's message id.
    pub message_id: MessageId,
    /// Whose it is.
    pub profile: Option<ProfileId>,
    /// Which call the event is; `None` if it could not be read.
    pub event_kind: Option<EventKind>,
    /// When it was first tried.
    pub first_attempt: Timestamp,
    /// What became of it.
    pub state: DeliveryState,
    /// What was tried, in order: of many attempts the first ones and the newest.
    pub attempts: Vec<RecordedAttempt>,
}

/// An attempt, and what was exchanged in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAttempt {
    /// The attempt.
    pub attempt: AttemptRecord,
    /// What was sent and what came back, if something was sent and that is remembered.
    pub exchange: Option<ExchangeRecord>,
}

/// What became of an activation at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is no delivery of the destination: that began after it.
    NotIts,
    /// The destination has not come to it yet, or is at it.
    Pending,
    /// It waits to be tried again, or behind another one of its profile.
    Waiting {
        /// How often it was tried.
        attempts: u32,
        /// When it was first tried.
        first_attempt: Option<Timestamp>,
        /// When it is due.
        due: Timestamp,
        /// How it failed last.
        failure: Option<Failure>,
        /// The replay by which it is sent again.
        replay: Option<u64>,
    },
    /// It ended like this: it was left out, passed over or given up; or a replay sent it again, and it ended then.
    Ended(Outcome),
    /// It was delivered.
    Delivered,
}

/// What became of an activation at a destination, as far as that is durable. How deliveries ended is remembered as long as
/// activations are kept, so of one that is there, and of which nothing is said, it is known that it was delivered. Blocking.
pub(crate) fn fate(store: &Store, key: Key, activation: u64, position: Position) -> Result<Fate, StoreError> {
    // The books come first: what moves on meanwhile is found where it moved to.
    let state = store.state(key)?;
    if let Some(waiting) = store.waiting(key, activation)? {
        return Ok(Fate::Waiting {
            attempts: waiting.attempts,
            first_attempt: waiting.first_attempt,
            // What is due at once has been so since its event arrived.
            due: waiting.due.max(waiting.received_at),
            failure: waiting.failure,
            replay: waiting.replay,
        });
    }
    if let Some(outcome) = store.outcome_of(key, activation)? {
        return Ok(if outcome == Outcome::Delivered { Fate::Delivered } else { Fate::Ended(outcome) });
    }
    Ok(match state {
        Some(state) if position <= state.starts_after => Fate::NotIts,
        // The log ended there when the destination did.
        Some(state) if state.ended && state.mark.is_none_or(|end| activation >= end.sequence) => Fate::NotIts,
        Some(state) if state.is_settled(activation) => Fate::Delivered,
        Some(state) if state.ended => Fate::Ended(Outcome::DestinationDeleted),
        Some(_) | None => Fate::Pending,
    })
}

/// The deliveries asked for, newest first. Blocking.
pub(crate) fn deliveries(
    store: &Store,
    workspace: WorkspaceId,
    query: &DeliveryQuery,
) -> Result<DeliveryPage, StoreError> {
    let sought = match (&query.message_id, query.destination) {
        (Some(message), _) => Sought::Message(workspace, message.clone()),
        (None, _) if !query.profiles.is_empty() => Sought::Profiles(workspace, query.profiles.clone()),
        (None, Some(destination)) => Sought::Destinations(vec![Key { workspace, destination }]),
        (None, None) => Sought::Destinations(store.destinations_of(workspace)?),
    };
    let from = Place::at(query.from.unwrap_or(Timestamp::MIN));
    let until = Place::at(query.until.unwrap_or(Timestamp::from_micros(i64::MAX)));
    let mut page = DeliveryPage::default();
    let mut books = store.books();
    let (mut looked_at, mut last) = (0, query.cursor);
    for day in store.record_days() {
        if day < from.first_attempt.day() {
            break;
        }
        let before = match query.cursor {
            Some(cursor) if cursor.day < day => continue,
            Some(cursor) if cursor.day == day => cursor.place.min(until),
            Some(_) | None => until,
        };
        for group in store.attempts(day, &sought, from..before)? {
            if page.deliveries.len() >= query.limit.max(1) || looked_at == LOOKED_AT_MAX {
                page.next = last;
                return Ok(page);
            }
            let group = group?;
            looked_at += 1;
            last = Some(DeliveryCursor { day, place: group.place() });
            page.deliveries.extend(delivery(store, &mut books, group, query)?);
        }
    }
    Ok(page)
}

/// The delivery with these attempts, if it is asked for.
fn delivery(
    store: &Store,
    books: &mut Books<'_>,
    group: AttemptGroup,
    query: &DeliveryQuery,
) -> Result<Option<RecordedDelivery>, StoreError> {
    let AttemptGroup { key, first_attempt, activation, attempts } = group;
    let Some(newest) = attempts.last().cloned() else { return Ok(None) };
    let is_asked_for = query.destination.is_none_or(|destination| destination == key.destination)
        && query.message_id.as_ref().is_none_or(|id| *id == newest.message_id)
        && (query.profiles.is_empty()
            || newest.profile.is_some_and(|profile| query.profiles.contains(&profile)))
        && query.reason.is_none_or(|reason| {
            attempts.iter().filter_map(|attempt| attempt.failure.as_ref()).any(|why| why.reason == reason)
        });
    if !is_asked_for {
        return Ok(None);
    }
    let state = state(store, books, key, &newest)?;
    if query.state.is_some_and(|wanted| wanted != state) {
        return Ok(None);
    }
    let resolved = attempts.into_iter().map(|attempt| {
        let exchange = attempt.exchange.map(|number| store.exchange(key, number)).transpose()?.flatten();
        Ok::<_, StoreError>(RecordedAttempt { attempt, exchange })
    });
    Ok(Some(RecordedDelivery {
        destination: key.destination,
        activation,
        position: newest.position,
        ordinal: newest.ordinal,
        delivery_id: newest.delivery_id,
        message_id: newest.message_id,
        profile: newest.profile,
        event_kind: newest.event_kind,
        first_attempt,
        state,
        attempts: resolved.collect::<Result<_, _>>()?,
    }))
}

/// What became of a delivery whose newest attempt this is.
fn state(
    store: &Store,
    books: &mut Books<'_>,
    key: Key,
    newest: &AttemptRecord,
) -> Result<DeliveryState, StoreError> {
    if let Some(outcome) = newest.outcome {
        return Ok(DeliveryState::Ended(outcome));
    }
    // What a replay sends again is another delivery, which was first tried at another time.
    let waiting = store.waiting(key, newest.activation)?;
    if waiting.is_some_and(|waiting| waiting.first_attempt == Some(newest.first_attempt)) {
        return Ok(DeliveryState::Pending);
    }
    // It waited when its attempt had failed, so it has ended, without another one that is remembered.
    let (state, said) = books.of(key, newest.activation)?;
    // If a replay sent it again, what ends by an attempt may be said of another time.
    let said = match said {
        Some(Outcome::Delivered | Outcome::DeadLetter) if newest.replay.is_some() => None,
        // Nobody says so of the first time: that ended without an attempt, and a replay brought it.
        Some(Outcome::Delivered) => Some(Outcome::Skipped),
        Some(Outcome::DeadLetter) => {
            let given_up = store.given_up(key, newest.activation, &newest.message_id)?;
            let by_replay = given_up.is_some_and(|attempt| attempt.replay.is_some());
            Some(if by_replay { Outcome::Skipped } else { Outcome::DeadLetter })
        }
        Some(_) | None => said,
    };
    Ok(match (said, state) {
        (Some(outcome), _) => DeliveryState::Ended(outcome),
        (None, Some(state)) if state.ended => DeliveryState::Ended(Outcome::DestinationDeleted),
        // Of what a replay did not come to in the end nothing is said, so that what became of it before stays.
        (None, Some(_)) if newest.replay.is_some() => DeliveryState::Ended(Outcome::Skipped),
        (None, Some(state)) if state.is_settled(newest.activation) => {
            DeliveryState::Ended(Outcome::Delivered)
        }
        (None, Some(_) | None) => DeliveryState::Pending,
    })
}

#[cfg(test)]
mod tests;
