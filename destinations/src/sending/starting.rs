//! Which deliveries go now: new ones and those that were tried before by turns, as far as everything lets them.

use super::Sending;
use crate::attempt::attempt;
use crate::health::Leave;
use crate::ledger::Job;
use std::time::Duration;
use tokio::time::Instant;
use tributary_model::Timestamp;

/// How long attempts made again wait when their budget is used up.
const BUDGET_PAUSE: Duration = Duration::from_millis(100);

impl Sending<'_> {
    /// Starts attempts, as far as the receiver's health, concurrency and rate let it.
    pub(super) fn start(&mut self) {
        if self.paced_until.is_some_and(|until| until > Instant::now()) {
            return;
        }
        self.paced_until = None;
        while self.has_room() {
            let now = self.means.clock.now();
            let probe = match self.health.leave(now) {
                Leave::Open => false,
                Leave::Probe => true,
                Leave::Until(_) => return,
            };
            if probe && !self.ledger.has_pending() {
                // There is nothing to try it with, and nothing that it holds up.
                self.end_pause(now);
                return;
            }
            if !self.has_something(now, probe) {
                return;
            }
            if let Err(wait) = self.means.rate.take() {
                self.paced_until = Some(Instant::now() + wait);
                return;
            }
            let jobs = if probe { self.probe(now) } else { self.next_jobs(now) };
            if jobs.is_empty() {
                return;
            }
            if probe {
                self.health.probe();
            }
            let is_again = jobs.iter().any(|job| job.again);
            self.sent_again_last = is_again;
            self.retries_under_way += usize::from(is_again);
            self.flights.push(Box::pin(attempt(self.means.clone(), jobs, probe)));
        }
    }

    /// Whether there is something to send.
    fn has_something(&mut self, now: Timestamp, probe: bool) -> bool {
        let is_due = self.ledger.next_due_at().is_some_and(|due| probe || due <= now);
        is_due || self.may_gather() || (probe && self.ledger.has_fresh())
    }

    /// The next deliveries for a request; none if their budget does not let them.
    fn next_jobs(&mut self, now: Timestamp) -> Vec<Job> {
        let batch = self.means.configured.batch;
        let is_due = self.ledger.next_due_at().is_some_and(|due| due <= now);
        let fresh_may_go = self.may_gather();
        let half = self.concurrency.limit().div_ceil(2);
        // By turns, so that neither a crowd of failures nor a crowd of new deliveries shuts the other out.
        let retries_turn = self.retries_under_way < half && !self.sent_again_last;
        if is_due && (retries_turn || !fresh_may_go) {
            if self.budget.take() {
                return self.ledger.next_due(now, batch.events, batch.bytes);
            }
            if !fresh_may_go {
                self.paced_until = Some(Instant::now() + BUDGET_PAUSE);
                return Vec::new();
            }
        }
        self.gathering_since = None;
        self.ledger.next_fresh(batch.events, batch.bytes, batch.among)
    }

    /// One delivery, to see whether the receiver is back: a new one if there is one, as it may be what waits that makes
    /// the receiver fail.
    fn probe(&mut self, now: Timestamp) -> Vec<Job> {
        if self.ledger.has_fresh() && rand::random() {
            return self.ledger.next_fresh(1, 1, self.means.configured.batch.among);
        }
        let waiting = self.ledger.next_due(now.plus_micros(i64::MAX), 1, 1);
        if waiting.is_empty() {
            return self.ledger.next_fresh(1, 1, self.means.configured.batch.among);
        }
        waiting
    }

    /// Whether new deliveries may go: as many as a request may carry, or fewer if they have waited for long enough.
    fn may_gather(&mut self) -> bool {
        let batch = self.means.configured.batch;
        if !self.ledger.has_fresh() {
            self.gathering_since = None;
            return false;
        }
        if batch.events <= 1 {
            return true;
        }
        let since = *self.gathering_since.get_or_insert_with(Instant::now);
        // At a limit no others can come before some have gone.
        let waits_for_more = self.stands_at.is_none() && since.elapsed() < batch.delay;
        !waits_for_more || self.ledger.fills(batch.events) || self.ledger.ready_bytes() >= batch.bytes
    }

    pub(super) fn has_room(&self) -> bool {
        let (window, _) = self.means.configured.window(&self.worker.shared.limits);
        self.flights.len() < self.concurrency.limit() && (self.ledger.uncommitted() as u64) < window
    }
}
