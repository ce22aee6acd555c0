//! The end of a deleted destination: every delivery that waits, and every one that is not read yet, ends with
//! it; then what is remembered of it goes, but for a small record with its counters that says so. That record
//! makes it happen once, however often the process is interrupted.

use crate::stored::StoredState;
use crate::locate::UnreadableActivation;
use crate::worker::{READ_AGAIN, Shared, Worker, WorkerError};
use std::sync::Arc;
use tributary_eventlog::ReadError;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, WorkspaceId};

/// Bytes of the activations log that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Removes what is remembered of the worker's destination. False if the engine stopped before that was done; the
/// next start does it then.
pub(crate) async fn remove(worker: &Worker) -> Result<bool, WorkerError> {
    let (shared, key, stop) = (Arc::clone(&worker.shared), worker.key, worker.stop.clone());
    let removed = tokio::task::spawn_blocking(move || {
        let Some(remembered) = shared.store.load(key)?.filter(|remembered| !remembered.state.ended) else {
            return Ok(Some([0; Outcome::ALL.len()]));
        };
        let mut state = remembered.state;
        let Some(unread) = unread(&shared, key.workspace, &state, || stop.borrow().is_some()) else {
            return Ok(None);
        };
        let deleted = unread.waiting + remembered.waiting.len() as u64;
        state.totals.taken += unread.waiting + unread.expired;
        state.totals.end(Outcome::DestinationDeleted, deleted);
        state.totals.end(Outcome::Expired, unread.expired);
        state.cursor = unread.end;
        state.settled.clear();
        state.ended = true;
        shared.store.end(key, &state)?;
        tracing::info!(destination = %key, deliveries = deleted, "destination removed");
        let mut ended = [0; Outcome::ALL.len()];
        ended[Outcome::DestinationDeleted as usize] = deleted;
        ended[Outcome::Expired as usize] = unread.expired;
        Ok::<_, WorkerError>(Some(ended))
    });
    let Some(ended) = removed.await?? else { return Ok(false) };
    worker.meters.count(&ended);
    worker.meters.waiting.set(0.0);
    worker.meters.behind.set(0.0);
    Ok(true)
}

/// Deliveries behind the cursor.
struct Unread {
    waiting: u64,
    expired: u64,
    /// How far was read.
    end: u64,
}

/// Counts the deliveries between the cursor and the end of the log as it is now; `None` if told to stop.
fn unread(
    shared: &Shared,
    workspace: WorkspaceId,
    state: &StoredState,
    stop: impl Fn() -> bool,
) -> Option<Unread> {
    let end = shared.log.bounds().end;
    let mut count = Unread { waiting: 0, expired: 0, end: state.reads_from() };
    let mut newest = state.mark.map(|mark| mark.place());
    while count.end < end {
        if stop() {
            return None;
        }
        let entries = match shared.log.read(count.end, READ_BYTES) {
            Ok(entries) => entries,
            Err(ReadError::Expired { first }) => {
                count.expired +=
                    (count.end..first).filter(|sequence| !state.is_settled(*sequence)).count() as u64;
                count.end = first.max(count.end + 1);
                continue;
            }
            Err(ReadError::Unavailable(_)) => {
                // They are there: what is not counted now would be lost without a word.
                std::thread::park_timeout(READ_AGAIN);
                continue;
            }
            Err(why @ (ReadError::Corrupt { .. } | ReadError::Lost { .. } | ReadError::Io(_))) => {
                // A damaged log does not keep a destination from being deleted.
                let why = UnreadableActivation::Log(why);
                tracing::error!(%workspace, error = %why, "deliveries of a deleted destination can't be counted");
                break;
            }
        };
        for entry in &entries {
            let is_its = Activation::decode(&entry.bytes).is_ok_and(|activation| {
                let place = Some(activation.place());
                let repeats = place <= newest;
                newest = newest.max(place);
                !repeats
                    && activation.header.workspace == workspace
                    && activation.header.position > state.starts_after
            });
            count.waiting += u64::from(is_its && !state.is_settled(entry.sequence));
            count.end = entry.sequence + 1;
        }
        if entries.is_empty() {
            break;
        }
    }
    Some(count)
}
