//! What of a ledger becomes durable.

use super::{Ledger, Settled};
use crate::store::Commit;
use crate::stored::StoredState;

impl Ledger {
    /// Takes what has to become durable, as a whole: it is consistent with the cursor in it.
    pub(crate) fn take_commit(&mut self) -> (Commit, Settled) {
        let changes = std::mem::take(&mut self.changes);
        let settled = Settled {
            cursor: self.cursor,
            ended: changes.ended,
            letters_dropped: changes.letters_dropped.len() as u64,
        };
        let waiting = changes.waiting.iter().map(|sequence| (*sequence, self.queue.get(sequence).cloned()));
        let commit = Commit {
            key: self.key,
            state: self.state(),
            waiting: waiting.collect(),
            letters: changes.letters,
            letters_dropped: changes.letters_dropped,
            attempts: changes.attempts,
            exchanges: changes.exchanges,
            endings: changes.endings,
            counts: changes.counts,
            replays: changes.replays.into_values().collect(),
        };
        (commit, settled)
    }

    fn state(&self) -> StoredState {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for sequence in &self.settled {
            match runs.last_mut() {
                Some((first, length)) if *first + *length == *sequence => *length += 1,
                Some(_) | None => runs.push((*sequence, 1)),
            }
        }
        StoredState {
            cursor: self.cursor,
            settled: runs,
            totals: self.totals.clone(),
            next_letter: self.next_letter,
            starts_after: self.starts_after,
            ended: false,
            mark: self.mark,
            replayed: self.replayed.clone(),
            paused: self.paused.clone(),
        }
    }
}
