//! A replay at work: it reads what is to be sent again, a piece at a time, and puts it into the retry queue, from which it
//! goes like everything else. How far it is becomes durable with what it queued, so a restart goes on where it was.

use crate::replay::{ReplayJob, ReplayState, Scanned, scan};
use crate::sending::Sending;
use crate::store::StoreError;
use crate::stored::Waiting;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, Timestamp};

/// Deliveries that are queued at once, at most.
const PIECE: usize = 1_000;

/// How long a replay waits for room in the queue, or after what it reads could not be read.
const PAUSE: Duration = Duration::from_millis(100);

/// What was done for a replay.
pub(crate) enum Step {
    /// The replay that is to run, if there is one, and those that were cancelled.
    Looked(Result<Looked, StoreError>),
    /// A piece was read.
    Scanned(Result<Scanned, String>),
}

/// What is stored of replays.
pub(crate) struct Looked {
    pub(crate) running: Option<ReplayJob>,
}

/// The replay of one destination.
pub(crate) struct Replaying {
    job: Option<ReplayJob>,
    step: Option<BoxFuture<'static, Step>>,
    must_look: bool,
    not_before: Option<Instant>,
    /// When the last of those queued is due.
    last_due: Timestamp,
}

impl Replaying {
    /// One that looks for a replay first.
    pub(crate) fn new() -> Self {
        Self {
            job: None,
            step: None,
            must_look: true,
            not_before: None,
            last_due: Timestamp::MIN,
        }
    }

    /// A replay was begun or cancelled.
    pub(crate) fn look_again(&mut self) {
        self.must_look = true;
    }

    /// When there is something to do again.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.step.is_some() { None } else { self.not_before }
    }

    /// Waits until what was begun is done. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Step {
        match &mut self.step {
            Some(step) => {
                let done = step.await;
                self.step = None;
                done
            }
            None => pending().await,
        }
    }
}

impl Sending<'_> {
    /// Takes the next step of a replay, if there is one and it is time.
    pub(crate) fn replay(&mut self) {
        self.count_replayed();
        if self.replaying.step.is_some() || self.replaying.not_before.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.replaying.not_before = None;
        if std::mem::take(&mut self.replaying.must_look) {
            let (store, key) = (Arc::clone(&self.worker.shared.store), self.worker.key);
            let look = tokio::task::spawn_blocking(move || Ok(Looked { running: store.active_replay(key)? }));
            self.replaying.step = Some(
                async move { Step::Looked(look.await.unwrap_or(Err(StoreError::Closed))) }.boxed(),
            );
            return;
        }
        let Some(job) = &self.replaying.job else { return };
        if job.next >= job.end {
            let is_waiting = self.ledger.queue().values().any(|waiting| waiting.replay == Some(job.id));
            if !is_waiting {
                self.end_replay(ReplayState::Done);
            }
            return;
        }
        let limits = &self.worker.shared.limits;
        let room = (limits.queue / 2).saturating_sub(self.ledger.queue().len());
        let has_bytes = self.ledger.queue_bytes() < limits.retry_bytes / 2;
        let by_rate = job.order.rate_per_second.map_or(PIECE, |rate| rate.max(1) as usize);
        let most = room.min(PIECE).min(by_rate);
        let is_far_ahead = self.replaying.last_due > self.means.clock.now().plus_micros(1_000_000);
        if !job.order.dry_run && (most == 0 || !has_bytes || self.ledger.paused().is_some() || is_far_ahead) {
            self.replaying.not_before = Some(Instant::now() + PAUSE);
            return;
        }
        let (log, store) = (Arc::clone(&self.means.log), Arc::clone(&self.worker.shared.store));
        let (key, plan, job) = (self.worker.key, Arc::clone(&self.means.configured.plan), job.clone());
        let scanning = tokio::task::spawn_blocking(move || scan(&*log, &store, key, &plan, &job, most.max(1)));
        self.replaying.step = Some(
            async move {
                Step::Scanned(match scanning.await {
                    Ok(scanned) => scanned.map_err(|why| why.to_string()),
                    Err(_) => Err("a thread was lost".to_owned()),
                })
            }
            .boxed(),
        );
    }

    /// Takes what a step brought.
    pub(crate) fn replayed(&mut self, step: Step) {
        match step {
            Step::Looked(Ok(looked)) => self.take_up(looked.running),
            Step::Looked(Err(why)) => {
                tracing::error!(destination = %self.worker.key, error = %why, "replays can't be read");
                self.replaying.must_look = true;
                self.replaying.not_before = Some(Instant::now() + PAUSE);
            }
            Step::Scanned(Ok(scanned)) => self.queue_again(scanned),
            Step::Scanned(Err(why)) => {
                tracing::warn!(destination = %self.worker.key, error = why, "a replay can't read on");
                self.replaying.not_before = Some(Instant::now() + PAUSE);
            }
        }
    }

    /// The replay that is stored as running is the one that runs; what another one queued is passed over.
    fn take_up(&mut self, running: Option<ReplayJob>) {
        let id = running.as_ref().map(|job| job.id);
        let now = self.means.clock.now();
        let gone = |waiting: &Waiting| waiting.replay.is_some() && waiting.replay != id;
        self.ledger.end_waiting(gone, Outcome::Skipped, now);
        match (&self.replaying.job, running) {
            // What this one has counted is newer than what is stored of it.
            (Some(known), Some(stored)) if known.id == stored.id => {}
            (_, running) => {
                self.replaying.last_due = now;
                self.replaying.job = running;
            }
        }
    }

    /// Puts what a replay found into the retry queue, spread by its rate.
    fn queue_again(&mut self, scanned: Scanned) {
        let Some(mut job) = self.replaying.job.take() else { return };
        let now = self.means.clock.now();
        let apart = job.order.rate_per_second.map_or(0, |rate| 1_000_000 / i64::from(rate.max(1)));
        self.replaying.last_due = self.replaying.last_due.max(now);
        for found in scanned.found.iter().filter(|_| !job.order.dry_run) {
            let waiting = again(&found.activation, found.frame, job.id, self.replaying.last_due);
            if self.ledger.send_again(found.sequence, waiting, now) {
                job.queued += 1;
                self.replaying.last_due = self.replaying.last_due.plus_micros(apart);
            }
        }
        job.take(&scanned);
        self.ledger.set_replay(job.clone());
        self.replaying.job = Some(job);
    }

    /// Counts deliveries of the replay that have ended.
    fn count_replayed(&mut self) {
        let Some(job) = &mut self.replaying.job else { return };
        let ended = self.ledger.take_replay_ended(job.id);
        if ended.is_empty() {
            return;
        }
        for (outcome, count) in ended {
            *job.ended.entry(outcome).or_default() += count;
        }
        self.ledger.set_replay(job.clone());
    }

    fn end_replay(&mut self, state: ReplayState) {
        let Some(mut job) = self.replaying.job.take() else { return };
        job.state = state;
        job.ended_at = Some(self.means.clock.now());
        self.ledger.set_replay(job);
        // Another one may have been begun.
        self.replaying.must_look = true;
    }
}

/// A delivery from before, to be sent again.
fn again(activation: &Activation, frame: u64, replay: u64, due: Timestamp) -> Waiting {
    Waiting { due, replay: Some(replay), ..Waiting::untried(frame, activation) }
}
