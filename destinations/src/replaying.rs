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
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Deliveries that are queued at once, at most.
const PIECE: usize = 1_000;

/// How long a replay waits for room in the queue.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it waits after what it reads could not be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);

/// What was done for a replay.
pub(crate) enum Step {
    /// It was looked for the replay that is to run, if there is one.
    Looked(Result<Option<Box<ReplayJob>>, StoreError>),
    /// A piece was read.
    Scanned(Result<Scanned, Unscanned>),
}

/// A piece could not be read.
pub(crate) struct Unscanned {
    why: String,
    /// It never will be.
    is_final: bool,
}

/// The replays of one destination that have something under way.
pub(crate) struct Replaying {
    /// At most one of them runs; the others wait for the ends of what they queued.
    jobs: Vec<ReplayJob>,
    /// Those up to this number have ended: what is stored of them may be older.
    ended_up_to: u64,
    step: Option<BoxFuture<'static, Step>>,
    must_look: bool,
    not_before: Option<Instant>,
    /// When the last of those queued is due.
    last_due: Timestamp,
}

impl Replaying {
    /// One that has none.
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::new(),
            ended_up_to: 0,
            step: None,
            must_look: false,
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
        match self.step {
            Some(_) => None,
            None if self.must_look => Some(self.not_before.unwrap_or_else(Instant::now)),
            None => self.not_before,
        }
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

    fn running(&self) -> Option<&ReplayJob> {
        self.jobs.iter().find(|job| job.is_running())
    }
}

impl Sending<'_> {
    /// Takes the next step of a replay, if there is one and it is time.
    pub(crate) fn replay(&mut self) {
        if self.replaying.step.is_some() || self.replaying.not_before.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.replaying.not_before = None;
        if std::mem::take(&mut self.replaying.must_look) {
            self.look_for_replay();
            return;
        }
        let Some(job) = self.replaying.running() else { return };
        if job.next >= job.end {
            if !self.has_queued(job.id) {
                self.end_replay(job.id, ReplayState::Done);
            }
            return;
        }
        if !self.config.enabled && !job.order.dry_run {
            return;
        }
        let limits = &self.worker.shared.limits;
        let room = (limits.queue / 2).saturating_sub(self.ledger.queue().len());
        let room_bytes = (limits.retry_bytes / 2).saturating_sub(self.ledger.queue_bytes());
        let by_rate = job.order.rate_per_second.map_or(PIECE, |rate| rate.max(1) as usize);
        let most = room.min(PIECE).min(by_rate);
        let is_far_ahead = self.replaying.last_due > self.means.clock.now().plus_micros(1_000_000);
        let must_wait = most == 0 || room_bytes == 0 || self.ledger.paused().is_some() || is_far_ahead;
        if must_wait && !job.order.dry_run {
            self.replaying.not_before = Some(Instant::now() + PAUSE);
            return;
        }
        let (log, store) = (Arc::clone(&self.means.log), Arc::clone(&self.worker.shared.store));
        let (key, plan, job) = (self.worker.key, Arc::clone(&self.means.configured.plan), job.clone());
        let bytes_most = usize::try_from(room_bytes).unwrap_or(usize::MAX);
        let scanning = tokio::task::spawn_blocking(move || {
            scan(&*log, &store, key, &plan, &job, (most.max(1), bytes_most))
        });
        let scanned = async move {
            match scanning.await {
                Ok(Ok(scanned)) => Ok(scanned),
                Ok(Err(why)) => Err(Unscanned { is_final: why.is_final(), why: why.to_string() }),
                Err(_) => Err(Unscanned { is_final: false, why: "a thread was lost".to_owned() }),
            }
        };
        self.replaying.step = Some(scanned.map(Step::Scanned).boxed());
    }

    fn look_for_replay(&mut self) {
        let (store, key) = (Arc::clone(&self.worker.shared.store), self.worker.key);
        let look = tokio::task::spawn_blocking(move || store.active_replay(key));
        let looked = async move {
            Step::Looked(look.await.unwrap_or(Err(StoreError::Closed)).map(|job| job.map(Box::new)))
        };
        self.replaying.step = Some(looked.boxed());
    }

    /// Takes what a step brought.
    pub(crate) fn replayed(&mut self, step: Step) {
        let destination = self.worker.key;
        match step {
            Step::Looked(Ok(running)) => self.take_up(running.map(|job| *job)),
            Step::Looked(Err(why)) => {
                tracing::error!(%destination, error = %why, "replays can't be read");
                self.replaying.must_look = true;
                self.replaying.not_before = Some(Instant::now() + UNREADABLE_PAUSE);
            }
            Step::Scanned(Ok(scanned)) => self.queue_again(&scanned),
            Step::Scanned(Err(Unscanned { why, is_final })) => {
                tracing::warn!(%destination, error = why, "a replay can't read on");
                self.replaying.not_before = Some(Instant::now() + UNREADABLE_PAUSE);
                if let Some(id) = self.replaying.running().map(|job| job.id).filter(|_| is_final) {
                    self.end_replay(id, ReplayState::Failed(why));
                }
            }
        }
    }

    /// The replay that is stored as running is the one that runs; what others queued is not sent.
    pub(crate) fn take_up(&mut self, running: Option<ReplayJob>) {
        let running = running.filter(|job| job.id > self.replaying.ended_up_to);
        let id = running.as_ref().map(|job| job.id);
        let now = self.means.clock.now();
        for job in self.replaying.jobs.iter_mut().filter(|job| job.is_running() && Some(job.id) != id) {
            job.state = ReplayState::Cancelled;
            job.ended_at = Some(now);
        }
        let gone = |waiting: &Waiting| waiting.replay.is_some() && waiting.replay != id;
        self.ledger.end_waiting(gone, Outcome::Skipped, now);
        let Some(job) = running else { return };
        if self.replaying.jobs.iter().all(|known| known.id != job.id) {
            let of_it = self.ledger.queue().values().filter(|waiting| waiting.replay == Some(job.id));
            self.replaying.last_due = of_it.map(|waiting| waiting.due).max().unwrap_or(now).max(now);
            self.replaying.jobs.push(job);
        }
    }

    /// Puts what a replay found into the retry queue, spread by its rate.
    fn queue_again(&mut self, scanned: &Scanned) {
        let Some(at) = self.replaying.jobs.iter().position(ReplayJob::is_running) else { return };
        let mut job = self.replaying.jobs[at].clone();
        let now = self.means.clock.now();
        let apart = job.order.rate_per_second.map_or(0, |rate| 1_000_000 / i64::from(rate.max(1)));
        self.replaying.last_due = self.replaying.last_due.max(now);
        for found in scanned.found.iter().filter(|_| !job.order.dry_run) {
            let waiting = Waiting::of_header(found.frame, &found.header, found.bytes);
            let waiting = Waiting { due: self.replaying.last_due, replay: Some(job.id), ..waiting };
            if self.ledger.send_again(found.sequence, waiting, now) {
                job.queued += 1;
                self.replaying.last_due = self.replaying.last_due.plus_micros(apart);
            }
        }
        job.take(scanned);
        self.ledger.set_replay(job.clone());
        self.replaying.jobs[at] = job;
    }

    /// Counts deliveries of replays that have ended.
    pub(crate) fn count_replayed(&mut self) {
        for at in 0..self.replaying.jobs.len() {
            let job = &mut self.replaying.jobs[at];
            let ended = self.ledger.take_replay_ended(job.id);
            if ended.is_empty() {
                continue;
            }
            for (outcome, count) in ended {
                *job.ended.entry(outcome).or_default() += count;
            }
            self.ledger.set_replay(job.clone());
        }
        let queue = self.ledger.queue();
        let has_queued = |id| queue.values().any(|waiting| waiting.replay == Some(id));
        self.replaying.jobs.retain(|job| job.is_running() || has_queued(job.id));
    }

    /// Whether something that a replay queued has not ended.
    fn has_queued(&self, id: u64) -> bool {
        self.ledger.queue().values().any(|waiting| waiting.replay == Some(id))
    }

    fn end_replay(&mut self, id: u64, state: ReplayState) {
        let Some(job) = self.replaying.jobs.iter_mut().find(|job| job.id == id) else { return };
        job.state = state;
        job.ended_at = Some(self.means.clock.now());
        self.replaying.ended_up_to = self.replaying.ended_up_to.max(id);
        self.ledger.set_replay(job.clone());
        // Another one may have been begun.
        self.replaying.must_look = true;
    }
}
