//! How a destination is doing, for admins and for warnings, and what they ask of it.

use crate::failure::Failure;
use crate::stored::{PauseReason, Totals};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tributary_model::Timestamp;

/// How a destination is doing. A worker refreshes it with every commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationStatus {
    /// Whether it sends.
    pub enabled: bool,
    /// Why nothing is sent although it is on.
    pub paused: Option<Paused>,
    /// Every activation below this sequence has ended for it, or waits to be tried again.
    pub cursor: u64,
    /// Activations from the cursor to the end of their log, those of other workspaces included.
    pub behind: u64,
    /// Deliveries that wait to be tried again, or behind such.
    pub waiting: u64,
    /// Bytes of the events of those.
    pub waiting_bytes: u64,
    /// When the first of those was first tried.
    pub waiting_since: Option<Timestamp>,
    /// When the next of those is due; `None` if all that could go are under way.
    pub next_due: Option<Timestamp>,
    /// Deliveries that are being attempted.
    pub under_way: u64,
    /// Requests that may be under way at once, as the receiver's answers let it.
    pub concurrency: u64,
    /// When the oldest event arrived whose delivery has not ended, whether it was read or not.
    pub oldest_pending: Option<Timestamp>,
    /// The smallest sequence of the activations log that it still needs.
    pub needs_from: u64,
    /// The last failure of an attempt since the start, without personal data; `None` after a success.
    pub last_error: Option<String>,
    /// Why it can't work at all, if it can't: its settings, or the activations log.
    pub problem: Option<String>,
    /// Its deliveries, counted durably since it was created.
    pub totals: Totals,
    /// Deliveries that replays sent again, counted durably since it was created.
    pub replayed: Totals,
    /// Whether a replay that sends can't go on because others fill the retry queue, or what it queued itself keeps failing.
    pub replay_waits_for_room: bool,
}

/// Why nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Why.
    pub reason: PauseReason,
    /// Since when.
    pub since: Timestamp,
    /// What happened.
    pub failure: Failure,
    /// When the receiver is tried next; `None` if only a change of the settings, or a person, ends the pause.
    pub probes_at: Option<Timestamp>,
}

/// A status that its worker writes and others read, and what they ask of the worker.
#[derive(Debug, Default)]
pub(crate) struct StatusCell {
    status: Mutex<DestinationStatus>,
    /// When the oldest event arrived of those behind this cursor that are not read.
    unread: Mutex<Option<(u64, Timestamp)>>,
    asked: Mutex<Asked>,
    pub(crate) knock: Notify,
}

/// What is asked of a worker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    /// To end a pause.
    pub(crate) resume: bool,
    /// To look for replays that were begun or cancelled.
    pub(crate) replay: bool,
}

impl StatusCell {
    pub(crate) fn read(&self) -> DestinationStatus {
        let mut status = lock(&self.status).clone();
        let unread = self.unread_since(status.cursor);
        status.oldest_pending = status.oldest_pending.into_iter().chain(unread).min();
        status
    }

    /// When the oldest event arrived of those behind the cursor that are not read, if that is known.
    pub(crate) fn unread_since(&self, cursor: u64) -> Option<Timestamp> {
        lock(&self.unread).filter(|(of, _)| *of == cursor).map(|(_, since)| since)
    }

    /// Shows when the oldest event arrived of those behind the cursor that are not read. It counts until the cursor moves.
    pub(crate) fn show_unread(&self, cursor: u64, since: Timestamp) {
        *lock(&self.unread) = Some((cursor, since));
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut DestinationStatus)) {
        change(&mut lock(&self.status));
    }

    /// Asks something of the worker.
    pub(crate) fn ask(&self, ask: impl FnOnce(&mut Asked)) {
        ask(&mut lock(&self.asked));
        self.knock.notify_one();
    }

    /// Takes what is asked.
    pub(crate) fn take_asked(&self) -> Asked {
        std::mem::take(&mut lock(&self.asked))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
