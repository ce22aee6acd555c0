//! Replays: deliveries of what is still in the activations log are sent again, with the delivery ids of the first time, or
//! for the first time to a destination that was not there yet.
//!
//! - What is ordered, and how far it is: `job`.
//! - What is sent again: `scan` reads the activations log, a piece at a time. It changes nothing.
//! - How much of it at once: `pacing` by its rate, `room` by what the retry queue holds.
//!
//! What a scan finds goes into the destination's retry queue, and from there the way of everything else; how far the replay
//! is becomes durable with it. So a restart goes on where it was, and sends nothing of it twice that it did not have to. A dry
//! run only counts what is found, and runs beside a replay that sends.

mod job;
mod pacing;
mod room;
mod scan;

#[cfg(test)]
mod tests;

pub(crate) use job::{NewReplay, Reach, ReplayKind};
pub use job::{ReplayJob, ReplayOnly, ReplayOrder, ReplayState};
pub(crate) use pacing::{Pacing, Portion};
pub(crate) use room::Amount;
pub(crate) use scan::{Scanned, scan};

use crate::config::Key;
use crate::definition::SettingsError;
use crate::locate::{UnreadableActivation, first_behind, first_where};
use crate::plan::EventCondition;
use crate::store::{Store, StoreError};
use std::sync::Arc;
use tributary_eventlog::EventLog;
use tributary_model::Timestamp;

/// By how much events may be in the log in another order than they arrived in, in microseconds: an hour. Beyond that a
/// clock was set, and a range of time may miss some of them.
const DISORDER_MICROS: i64 = 3_600_000_000;

/// Why a replay can't begin.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReplayError {
    /// One of the destination runs; for a dry run: another dry run.
    #[error("a replay (or dry run) of the destination runs; wait until it is done, or cancel it")]
    Busy,
    /// There is no such destination.
    #[error("there is no such destination")]
    NoSuch,
    /// The destination is not at work yet.
    #[error("the destination has not begun yet; try again")]
    NotBegun,
    /// Its condition can't be used.
    #[error(transparent)]
    Condition(SettingsError),
    /// The store or the activations log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Finds out what a replay has to read: what the log keeps of what the destination has come to, and of what is from before it
/// began, as far as the times that the order names let. Blocking.
///
/// # Errors
/// Why it can't begin.
pub(crate) fn prepare(
    log: &dyn EventLog,
    store: &Store,
    key: Key,
    order: ReplayOrder,
    now: Timestamp,
) -> Result<NewReplay, ReplayError> {
    let state = store.state(key)?.ok_or(ReplayError::NotBegun)?;
    if state.ended {
        return Err(ReplayError::NoSuch);
    }
    if let Some(condition) = &order.condition {
        EventCondition::compile("condition", condition).map_err(ReplayError::Condition)?;
    }
    let unreadable = |why: UnreadableActivation| StoreError::Log(Arc::new(why));
    let first_received =
        |at: Timestamp| first_where(log, |header| header.received_at >= at).map_err(unreadable);
    let reach = Reach::of(state);
    // A destination that is off has not passed what is from before it began.
    let (log_end, mut end) = (log.bounds().end, reach.settled_end());
    if end < log_end {
        end = end.max(first_behind(log, reach.starts_after).map_err(unreadable)?);
    }
    let end = end.min(log_end);
    let first = match order.from {
        Some(from) => first_received(from.plus_micros(-DISORDER_MICROS))?,
        None => log.bounds().first,
    };
    let end = match order.until {
        Some(until) => first_received(until.plus_micros(DISORDER_MICROS))?.min(end),
        None => end,
    };
    Ok(NewReplay { key, order, first: first.min(end), end, began_at: now, reach })
}
