//! What the result of an attempt means for the books.

use crate::attempt::{Attempt, AttemptResult};
use crate::dead_letter::DeadLetter;
use crate::fanout::{delivery_id, is_passed_over};
use crate::ledger::{Failure, Job, Waiting};
use crate::retry::{Next, micros};
use crate::sending::Sending;
use bytes::Bytes;
use std::time::Duration;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

impl Sending<'_> {
    /// Enters the result of an attempt.
    pub(crate) fn finish(&mut self, attempt: Attempt) {
        let Attempt { mut job, started, ended, result, excerpt } = attempt;
        let waiting = &mut job.waiting;
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.first_attempt.get_or_insert(started);
        waiting.last_attempt = Some(started);
        let seconds = ended.micros_since(started).max(0) as f64 / 1e6;
        self.worker.meters.attempt_seconds.record(seconds);
        match result {
            AttemptResult::Delivered => {
                self.worker.meters.delivered.increment(1);
                self.worker.cell.change(|status| status.last_error = None);
                self.ledger.ended(job.sequence, Outcome::Delivered);
                self.answered(ended);
            }
            AttemptResult::Rejected(failure) => {
                self.worker.meters.rejected.increment(1);
                self.note(&failure);
                let is_answer = failure.status.is_some();
                self.give_up(&job, failure, ended, excerpt);
                if is_answer {
                    self.answered(ended);
                }
            }
            AttemptResult::Failed { failure, after, refused } => {
                self.worker.meters.retried.increment(1);
                self.worker.meters.addresses_refused.increment(u64::from(refused));
                self.note(&failure);
                if failure.outage {
                    self.outage.failed();
                }
                self.try_again(job, failure, after, ended, excerpt);
            }
            AttemptResult::Expired => {
                tracing::warn!(
                    destination = %self.worker.key,
                    activation = job.sequence,
                    "retention removed an activation while its delivery waited"
                );
                self.ledger.ended(job.sequence, Outcome::Expired);
            }
            AttemptResult::LeftOut => self.ledger.ended(job.sequence, Outcome::Filtered),
        }
    }

    fn try_again(
        &mut self,
        job: Job,
        failure: Failure,
        after: Option<Duration>,
        now: Timestamp,
        excerpt: Bytes,
    ) {
        let Waiting { attempts, position, .. } = job.waiting;
        if is_passed_over(&self.config, position) {
            self.ledger.ended(job.sequence, Outcome::Skipped);
            return;
        }
        let first = job.waiting.first_attempt.unwrap_or(now);
        match self.worker.shared.retry.next(attempts, first, now, after, rand::random()) {
            Next::At(due) => {
                let waiting = Waiting { due, failure: Some(failure), ..job.waiting };
                self.ledger.failed(job.sequence, waiting);
            }
            Next::GiveUp => self.give_up(&job, failure, now, excerpt),
        }
    }

    fn give_up(&mut self, job: &Job, failure: Failure, now: Timestamp, excerpt: Bytes) {
        let waiting = &job.waiting;
        let key = self.worker.key;
        self.ledger.bury(&DeadLetter {
            workspace: key.workspace,
            destination: key.destination,
            position: waiting.position,
            ordinal: waiting.ordinal,
            activation: job.sequence,
            delivery_id: delivery_id(key, waiting.position, waiting.ordinal, &waiting.message_id),
            message_id: waiting.message_id.clone(),
            reason: failure.text,
            attempts: waiting.attempts,
            first_attempt: waiting.first_attempt,
            last_attempt: waiting.last_attempt,
            given_up_at: now,
            event: job.activation.as_ref().map(|activation| activation.event.clone()).unwrap_or_default(),
            status: failure.status,
            response_excerpt: excerpt,
        });
        self.ledger.ended(job.sequence, Outcome::DeadLetter);
    }

    /// The receiver answered: what waits because it was out becomes due soon.
    fn answered(&mut self, now: Timestamp) {
        let Some(spread) = self.outage.answered(now, self.ledger.queue().len()) else { return };
        let spread = micros(spread);
        let in_time = || now.plus_micros((rand::random::<f64>() * spread as f64) as i64);
        self.ledger.hasten(now.plus_micros(spread), in_time);
    }

    fn note(&self, failure: &Failure) {
        tracing::debug!(destination = %self.worker.key, error = failure.text, "attempt failed");
        self.worker.cell.change(|status| status.last_error = Some(failure.text.clone()));
    }
}
