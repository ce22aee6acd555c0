//! What of the retry queue replays have put there.

use super::{Job, Ledger};
use crate::order::LaneKey;
use crate::replay::Amount;
use crate::stored::Waiting;
use std::collections::HashMap;
use tributary_model::Timestamp;

/// What of the retry queue one replay has put there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OfReplay {
    /// All of it.
    pub(crate) queued: Amount,
    /// How many of those have not been tried. Those that failed go again now and then, and show no progress.
    pub(crate) untried: usize,
    /// How many of those are under way.
    pub(crate) under_way: usize,
}

/// The same of every replay, by its number.
#[derive(Debug, Default)]
pub(super) struct ByReplay(HashMap<u64, OfReplay>);

impl ByReplay {
    /// That is in the queue now.
    pub(super) fn add(&mut self, waiting: &Waiting) {
        if let Some(replay) = waiting.replay {
            let of = self.0.entry(replay).or_default();
            of.queued.count += 1;
            of.queued.bytes += u64::from(waiting.bytes);
            of.untried += usize::from(waiting.attempts == 0);
        }
    }

    /// It is in the queue no more.
    pub(super) fn remove(&mut self, waiting: &Waiting) {
        let Some(replay) = waiting.replay else { return };
        let Some(of) = self.0.get_mut(&replay) else { return };
        of.queued.count -= 1;
        of.queued.bytes -= u64::from(waiting.bytes);
        of.untried -= usize::from(waiting.attempts == 0);
        if of.queued.count == 0 {
            self.0.remove(&replay);
        }
    }

    /// It is under way.
    pub(super) fn begin(&mut self, waiting: &Waiting) {
        if let Some(of) = waiting.replay.and_then(|replay| self.0.get_mut(&replay)) {
            of.under_way += 1;
        }
    }

    /// It is under way no more. Before [`ByReplay::remove`], where it ends.
    pub(super) fn come_back(&mut self, waiting: &Waiting) {
        if let Some(of) = waiting.replay.and_then(|replay| self.0.get_mut(&replay)) {
            of.under_way -= 1;
        }
    }
}

/// Whether a replay put it into the queue, and it has not been tried.
fn is_untried(waiting: &Waiting) -> bool {
    waiting.replay.is_some() && waiting.attempts == 0 && !waiting.alone
}

impl Ledger {
    /// What of the retry queue the replay of that number has put there.
    pub(crate) fn of_replay(&self, replay: u64) -> OfReplay {
        self.by_replay.0.get(&replay).copied().unwrap_or_default()
    }

    /// A waiting delivery goes.
    pub(super) fn hand_out(&mut self, sequence: u64, waiting: Waiting) -> Job {
        self.under_way += 1;
        self.by_replay.begin(&waiting);
        Job { sequence, again: true, waiting, activation: None, mapped: None }
    }

    /// Takes the next one of a lane behind `before`, which was just taken, for the same request: if both were put there by
    /// replays, have not been tried, and are due. So what a replay brings of one profile fills requests as new deliveries do.
    pub(super) fn take_behind(
        &mut self,
        lane: LaneKey,
        before: &Waiting,
        now: Timestamp,
    ) -> Option<(u64, Waiting)> {
        let sequence = self.order.due_behind(lane, now).filter(|_| is_untried(before))?;
        let waiting = self.queue.get(&sequence).filter(|waiting| is_untried(waiting))?.clone();
        self.order.take_due_behind(lane, sequence);
        Some((sequence, waiting))
    }
}
