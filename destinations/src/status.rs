//! How a destination is doing, for admins and for warnings.

use crate::ledger::Totals;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tributary_model::Timestamp;

/// How a destination is doing. A worker refreshes it with every commit.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DestinationStatus {
    /// Whether it sends.
    pub enabled: bool,
    /// Every activation below this sequence has ended for it, or waits to be tried again.
    pub cursor: u64,
    /// Activations from the cursor to the end of their log, those of other workspaces included.
    pub behind: u64,
    /// Deliveries that wait to be tried again, or behind such.
    pub waiting: u64,
    /// When the first of those was first tried.
    pub waiting_since: Option<Timestamp>,
    /// When the next of those is due; `None` if all that could go are under way.
    pub next_due: Option<Timestamp>,
    /// Deliveries that are being attempted.
    pub under_way: u64,
    /// The smallest sequence of the activations log that it still needs.
    pub needs_from: u64,
    /// The last failure of an attempt since the start, without personal data; `None` after a success.
    pub last_error: Option<String>,
    /// Why it can't work at all, if it can't: its settings, or the activations log.
    pub problem: Option<String>,
    /// Its deliveries, counted durably since it was created.
    pub totals: Totals,
}

/// A status that its worker writes and others read.
#[derive(Debug, Default)]
pub(crate) struct StatusCell(Mutex<DestinationStatus>);

impl StatusCell {
    pub(crate) fn read(&self) -> DestinationStatus {
        self.lock().clone()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut DestinationStatus)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, DestinationStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
