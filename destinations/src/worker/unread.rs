//! What a destination has not read: how much that is, and since when the oldest of it waits. One that is off, paused or broken
//! reads nothing, so the log is looked at here, beside whatever it does, as often as the log grows but once a second at most.
//!
//! What was found is held with the cursor that it was found behind, and counts as long as that stands there. Each look reads
//! a bounded piece: in a log that others fill it may take some looks until the oldest is known.

use super::{Shared, Worker};
use crate::config::DestinationConfig;
use crate::fanout::{Admission, admit};
use crate::locate::read_from;
use crate::status::StatusCell;
use crate::store::StoreError;
use metrics::Gauge;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tributary_model::{Activation, Timestamp};

/// How long after a look the next one is, at the earliest.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Bytes of the activations log that are read at once.
const READ_BYTES: usize = 64 << 10;

/// How often that is done in one look.
const READS_MAX: usize = 16;

/// Watches what a destination has not read.
pub(super) struct Unread {
    shared: Arc<Shared>,
    config: Arc<DestinationConfig>,
    cell: Arc<StatusCell>,
    behind: Gauge,
    end: watch::Receiver<u64>,
    /// The cursor behind which it was looked last.
    cursor: u64,
    /// From the cursor up to there nothing is the destination's that has not ended.
    next: u64,
}

impl Unread {
    /// Of a destination whose books are shown.
    pub(super) fn new(worker: &Worker, config: &Arc<DestinationConfig>) -> Self {
        Self {
            shared: Arc::clone(&worker.shared),
            config: Arc::clone(config),
            cell: Arc::clone(&worker.cell),
            behind: worker.meters.behind.clone(),
            end: worker.shared.log.watch(),
            cursor: 0,
            next: 0,
        }
    }

    /// Shows what there is. Never resolves.
    pub(super) async fn watch(mut self) {
        loop {
            self.end.borrow_and_update();
            let is_all = self.look().await;
            tokio::time::sleep(LOOK_AGAIN).await;
            if is_all && self.end.changed().await.is_err() {
                // The log is closed, and grows no more.
                return pending().await;
            }
        }
    }

    /// Shows what there is now. False if it is to be looked again although the log does not grow.
    async fn look(&mut self) -> bool {
        let end = self.shared.log.bounds().end;
        let status = self.cell.read();
        let behind = end.saturating_sub(status.cursor);
        self.behind.set(behind as f64);
        self.cell.change(|status| status.behind = end.saturating_sub(status.cursor));
        if behind == 0 || self.cell.unread_since(status.cursor).is_some() {
            return true;
        }
        // One at work reads what there is in a moment, and what it has taken in is older. It may be so no more a moment later.
        if status.enabled && status.problem.is_none() && status.paused.is_none() {
            return false;
        }
        if self.cursor != status.cursor {
            (self.cursor, self.next) = (status.cursor, status.cursor);
        }
        let (shared, config, next) = (Arc::clone(&self.shared), Arc::clone(&self.config), self.next);
        let sought = tokio::task::spawn_blocking(move || oldest(&shared, &config, next)).await;
        // Whoever reads on says why the log or the store can't be read.
        let Ok(Ok((next, oldest))) = sought else { return false };
        self.next = next;
        match oldest {
            Some(oldest) => {
                self.cell.show_unread(self.cursor, oldest);
                true
            }
            None => next >= end,
        }
    }
}

/// When the first event from `next` on arrived whose delivery has not ended and is the destination's, as far as its place
/// tells; and up to where it was looked. Blocking.
fn oldest(
    shared: &Shared,
    config: &DestinationConfig,
    mut next: u64,
) -> Result<(u64, Option<Timestamp>), StoreError> {
    let Some(state) = shared.store.state(config.key())? else { return Ok((next, None)) };
    for _ in 0..READS_MAX {
        let entries =
            read_from(&*shared.log, &mut next, READ_BYTES).map_err(|why| StoreError::Log(Arc::new(why)))?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            next = entry.sequence + 1;
            let Ok(activation) = Activation::decode(&entry.bytes) else { continue };
            let header = &activation.header;
            if admit(config, header) == Admission::Its && !state.is_settled(entry.sequence) {
                return Ok((next, Some(header.received_at)));
            }
        }
    }
    Ok((next, None))
}
