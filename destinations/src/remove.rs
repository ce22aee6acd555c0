//! The end of a deleted destination: every delivery that waits, and every one that is not read yet, ends with
//! it; then what is remembered of it goes, but for a small record with its counters that says so, and for what is said
//! of single deliveries, which goes with its day. That record makes it happen once, however often the process is
//! interrupted.

use crate::config::Key;
use crate::locate::UnreadableActivation;
use crate::records::Ending;
use crate::store::{Commit, Remembered, StoreError};
use crate::stored::{Mark, StoredState, Waiting};
use crate::worker::{READ_AGAIN, Shared, Worker, WorkerError};
use std::sync::Arc;
use tributary_eventlog::ReadError;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, Position, WorkspaceId};

/// Bytes of the activations log that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Removes what is remembered of the worker's destination. False if the engine stopped before that was done; the
/// next start does it then.
pub(crate) async fn remove(worker: &Worker) -> Result<bool, WorkerError> {
    let (shared, key, stop) = (Arc::clone(&worker.shared), worker.key, worker.stop.clone());
    let store = Arc::clone(&shared.store);
    let remembered = tokio::task::spawn_blocking(move || store.load(key)).await??;
    if let Some(remembered) = remembered.filter(|remembered| !remembered.state.ended) {
        tell(&shared, key, &remembered).await?;
        let removed = tokio::task::spawn_blocking(move || {
            let mut state = remembered.state;
            let Some(unread) = unread(&shared, key.workspace, &state, || stop.borrow().is_some()) else {
                return Ok(None);
            };
            let ended = close(&mut state, &unread, remembered.waiting.iter().map(|(_, waiting)| waiting));
            shared.store.end(key, &state)?;
            let deliveries = ended[Outcome::DestinationDeleted as usize];
            tracing::info!(destination = %key, deliveries, "destination removed");
            Ok::<_, WorkerError>(Some(ended))
        });
        let Some(ended) = removed.await?? else { return Ok(false) };
        worker.meters.count(&ended);
    }
    worker.meters.waiting.set(0.0);
    worker.meters.behind.set(0.0);
    Ok(true)
}

/// Remembers of each delivery that waits that it ends with its destination: below the cursor, what nothing is said of was
/// delivered. What a replay sends again keeps what was said of it.
async fn tell(shared: &Shared, key: Key, remembered: &Remembered) -> Result<(), StoreError> {
    let first = remembered.waiting.iter().filter(|(_, waiting)| waiting.replay.is_none());
    let ending = |activation| Ending { activation, outcome: Outcome::DestinationDeleted };
    let endings: Vec<Ending> = first.map(|(activation, _)| ending(*activation)).collect();
    if endings.is_empty() {
        return Ok(());
    }
    let mut commit = Commit { endings, ..Commit::of(key, remembered.state.clone()) };
    // It is remembered with the day of what is counted, and nothing is.
    commit.counts.received(shared.clock.now(), 0);
    shared.store.commit(commit).await
}

/// Ends what waits and what is not read. How many deliveries ended, indexed like [`Outcome::ALL`]; those that a replay sends
/// again are counted apart, as always.
fn close<'a>(
    state: &mut StoredState,
    unread: &Unread,
    waiting: impl Iterator<Item = &'a Waiting>,
) -> [u64; Outcome::ALL.len()] {
    let (again, first): (Vec<_>, Vec<_>) = waiting.partition(|waiting| waiting.replay.is_some());
    let deleted = unread.waiting + first.len() as u64;
    state.totals.taken += unread.waiting + unread.expired;
    state.totals.end(Outcome::DestinationDeleted, deleted);
    state.totals.end(Outcome::Expired, unread.expired);
    state.replayed.end(Outcome::DestinationDeleted, again.len() as u64);
    let place = unread.newest.unwrap_or((state.starts_after, 0));
    state.mark = Some(Mark::new(unread.end, place));
    state.ended = true;
    let mut ended = [0; Outcome::ALL.len()];
    ended[Outcome::DestinationDeleted as usize] = deleted;
    ended[Outcome::Expired as usize] = unread.expired;
    ended
}

/// Deliveries behind the cursor.
struct Unread {
    waiting: u64,
    expired: u64,
    /// How far was read.
    end: u64,
    /// The largest place until there, if one is known.
    newest: Option<(Position, u32)>,
}

/// Counts the deliveries between the cursor and the end of the log as it is now; `None` if told to stop.
fn unread(
    shared: &Shared,
    workspace: WorkspaceId,
    state: &StoredState,
    stop: impl Fn() -> bool,
) -> Option<Unread> {
    let end = shared.log.bounds().end;
    let newest = state.mark.map(|mark| mark.place());
    let mut count = Unread { waiting: 0, expired: 0, end: state.reads_from(), newest };
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
                let repeats = place <= count.newest;
                count.newest = count.newest.max(place);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::waiting;

    #[test]
    fn what_replays_send_again_is_counted_apart() {
        let mut state = StoredState::new(100, Position::at(4));
        state.settled = vec![(110, 5)];
        state.totals.taken = 60;
        state.totals.end(Outcome::Delivered, 58);
        state.replayed.taken = 7;
        state.replayed.end(Outcome::Delivered, 4);
        let by_replay = |replay| Waiting { replay, ..waiting(1) };
        let queue = [None, Some(3), None, Some(3), Some(3)].map(by_replay);
        let unread = Unread { waiting: 20, expired: 9, end: 140, newest: None };
        let ended = close(&mut state, &unread, queue.iter());
        let deleted = Outcome::DestinationDeleted;
        assert_eq!((state.totals.taken, state.totals.ended_in_all()), (89, 89));
        assert_eq!((state.totals.ended(deleted), state.totals.ended(Outcome::Expired)), (22, 9));
        assert_eq!((state.replayed.taken, state.replayed.ended_in_all()), (7, 7));
        assert_eq!(state.replayed.ended(deleted), 3);
        assert_eq!((ended[deleted as usize], ended.iter().sum::<u64>()), (22, 31));
        assert_eq!((state.cursor, state.settled.len(), state.ended), (100, 1, true), "what was settled");
        assert_eq!(state.mark, Some(Mark::new(140, (Position::at(4), 0))), "where the log ended");
    }
}
