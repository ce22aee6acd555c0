//! Replays at work: one that sends, and beside it one that only counts. Each reads a piece of the log at a time; what the
//! first finds is put into the retry queue, from which it goes like everything else. How far each is becomes durable with
//! what it queued, so a restart goes on where it was.

use crate::replay::{ReplayJob, ReplayKind, ReplayState, Scanned, scan};
use crate::sending::{Sending, at_end_of};
use crate::store::StoreError;
use crate::stored::Waiting;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Deliveries that are queued at once, at most.
const PIECE: usize = 1_000;

/// How long a replay that sends waits for room in the queue.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it waits after what it reads could not be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);

/// What was done for replays.
pub(crate) enum Step {
    /// It was looked for the replays that are to run.
    Looked(Result<Vec<ReplayJob>, StoreError>),
    /// A piece was read for the replay of this number.
    Scanned(u64, Result<Scanned, Unscanned>),
}

/// A piece could not be read.
pub(crate) struct Unscanned {
    why: String,
    /// It never will be.
    is_final: bool,
}

/// How reading for the replays of one kind stands.
#[derive(Default)]
struct Scanner {
    step: Option<BoxFuture<'static, Step>>,
    not_before: Option<Instant>,
    /// Those up to this number have ended: what is stored of them may be older.
    ended_up_to: u64,
}

/// The replays of one destination that have something under way.
pub(crate) struct Replaying {
    /// At most one of each kind runs; the others wait for the ends of what they queued.
    jobs: Vec<ReplayJob>,
    sends: Scanner,
    counts: Scanner,
    looking: Option<BoxFuture<'static, Step>>,
    /// From when on it is to be looked for those that are to run.
    look_at: Option<Instant>,
    /// When the last of those queued is due.
    last_due: Timestamp,
}

impl Replaying {
    /// One that has none.
    pub(crate) fn new() -> Self {
        Self {
            jobs: Vec::new(),
            sends: Scanner::default(),
            counts: Scanner::default(),
            looking: None,
            look_at: None,
            last_due: Timestamp::MIN,
        }
    }

    /// A replay was begun or cancelled.
    pub(crate) fn look_again(&mut self) {
        self.look_at = Some(Instant::now());
    }

    /// When there is something to do again.
    pub(crate) fn next_at(&self) -> Option<Instant> {
        if self.looking.is_some() {
            return None;
        }
        let idle = [&self.sends, &self.counts].into_iter().filter(|scanner| scanner.step.is_none());
        self.look_at.or_else(|| idle.filter_map(|scanner| scanner.not_before).min())
    }

    /// Waits until something that was begun is done. May be dropped and called again.
    pub(crate) async fn ended(&mut self) -> Step {
        tokio::select! {
            step = at_end_of(&mut self.looking) => step,
            step = at_end_of(&mut self.sends.step) => step,
            step = at_end_of(&mut self.counts.step) => step,
        }
    }

    fn scanner(&mut self, kind: ReplayKind) -> &mut Scanner {
        match kind {
            ReplayKind::Sends => &mut self.sends,
            ReplayKind::Counts => &mut self.counts,
        }
    }

    fn running(&self, kind: ReplayKind) -> Option<&ReplayJob> {
        self.jobs.iter().find(|job| job.is_running() && job.order.kind() == kind)
    }
}

impl Sending<'_> {
    /// Takes the next step of each replay, if there is one and it is time.
    pub(crate) fn replay(&mut self) {
        if self.replaying.looking.is_none() && self.replaying.look_at.is_some_and(|at| at <= Instant::now()) {
            self.look_for_replays();
        }
        // Which ones run may be about to change.
        if self.replaying.looking.is_some() || self.replaying.look_at.is_some() {
            return;
        }
        self.scan_for(ReplayKind::Sends);
        self.scan_for(ReplayKind::Counts);
    }

    /// Reads the next piece for the replay of that kind.
    fn scan_for(&mut self, kind: ReplayKind) {
        let scanner = self.replaying.scanner(kind);
        if scanner.step.is_some() || scanner.not_before.is_some_and(|at| at > Instant::now()) {
            return;
        }
        scanner.not_before = None;
        let Some(job) = self.replaying.running(kind) else { return };
        if job.next >= job.end {
            if !self.has_queued(job.id) {
                self.end_replay(job.id, ReplayState::Done);
            }
            return;
        }
        let room = match kind {
            ReplayKind::Sends if !self.config.enabled => return,
            ReplayKind::Sends => self.room_for_replayed(job.order.rate_per_second),
            ReplayKind::Counts => Some((PIECE, usize::MAX)),
        };
        let Some(most) = room else {
            self.replaying.scanner(kind).not_before = Some(Instant::now() + PAUSE);
            return;
        };
        let (log, store) = (Arc::clone(&self.means.log), Arc::clone(&self.worker.shared.store));
        let (key, plan, job) = (self.worker.key, Arc::clone(&self.means.configured.plan), job.clone());
        let id = job.id;
        let scanning = tokio::task::spawn_blocking(move || scan(&*log, &store, key, &plan, &job, most));
        let scanned = async move {
            let scanned = match scanning.await {
                Ok(Ok(scanned)) => Ok(scanned),
                Ok(Err(why)) => Err(Unscanned { is_final: why.is_final(), why: why.to_string() }),
                Err(_) => Err(Unscanned { is_final: false, why: "a thread was lost".to_owned() }),
            };
            Step::Scanned(id, scanned)
        };
        self.replaying.scanner(kind).step = Some(scanned.boxed());
    }

    /// How many deliveries may be queued again now, and how many bytes of events; `None` if none may.
    fn room_for_replayed(&self, rate_per_second: Option<u32>) -> Option<(usize, usize)> {
        let limits = &self.worker.shared.limits;
        let room = (limits.queue / 2).saturating_sub(self.ledger.queue().len());
        let room_bytes = (limits.retry_bytes / 2).saturating_sub(self.ledger.queue_bytes());
        let by_rate = rate_per_second.map_or(PIECE, |rate| rate.max(1) as usize);
        let most = room.min(PIECE).min(by_rate);
        let is_far_ahead = self.replaying.last_due > self.means.clock.now().plus_micros(1_000_000);
        let must_wait = most == 0 || room_bytes == 0 || self.ledger.paused().is_some() || is_far_ahead;
        (!must_wait).then(|| (most, usize::try_from(room_bytes).unwrap_or(usize::MAX)))
    }

    fn look_for_replays(&mut self) {
        let (store, key) = (Arc::clone(&self.worker.shared.store), self.worker.key);
        let look = tokio::task::spawn_blocking(move || store.active_replays(key));
        let looked = async move { Step::Looked(look.await.unwrap_or(Err(StoreError::Closed))) };
        self.replaying.look_at = None;
        self.replaying.looking = Some(looked.boxed());
    }

    /// Takes what a step brought.
    pub(crate) fn replayed(&mut self, step: Step) {
        let destination = self.worker.key;
        match step {
            Step::Looked(Ok(running)) => self.take_up(running),
            Step::Looked(Err(why)) => {
                tracing::error!(%destination, error = %why, "replays can't be read");
                self.replaying.look_at = Some(Instant::now() + UNREADABLE_PAUSE);
            }
            Step::Scanned(id, scanned) => {
                let jobs = &self.replaying.jobs;
                // One that was cancelled meanwhile takes nothing any more.
                let Some(at) = jobs.iter().position(|job| job.id == id && job.is_running()) else { return };
                match scanned {
                    Ok(scanned) => self.queue_again(at, &scanned),
                    Err(Unscanned { why, is_final }) => {
                        tracing::warn!(%destination, replay = id, error = why, "a replay can't read on");
                        let kind = jobs[at].order.kind();
                        self.replaying.scanner(kind).not_before = Some(Instant::now() + UNREADABLE_PAUSE);
                        if is_final {
                            self.end_replay(id, ReplayState::Failed(why));
                        }
                    }
                }
            }
        }
    }

    /// The replays that are stored as running are those that run; what others queued is not sent.
    pub(crate) fn take_up(&mut self, mut running: Vec<ReplayJob>) {
        let replaying = &mut self.replaying;
        running.retain(|job| job.id > replaying.scanner(job.order.kind()).ended_up_to);
        let runs = |id: u64| running.iter().any(|job| job.id == id);
        let now = self.means.clock.now();
        for job in replaying.jobs.iter_mut().filter(|job| job.is_running() && !runs(job.id)) {
            job.state = ReplayState::Cancelled;
            job.ended_at = Some(now);
        }
        let gone = |waiting: &Waiting| waiting.replay.is_some_and(|id| !runs(id));
        self.ledger.end_waiting(gone, Outcome::Skipped, now);
        for job in running {
            if replaying.jobs.iter().any(|known| known.id == job.id) {
                continue;
            }
            // One that counts queues nothing, and leaves alone how what the other queues is spread.
            if job.order.kind() == ReplayKind::Sends {
                let of_it = self.ledger.queue().values().filter(|waiting| waiting.replay == Some(job.id));
                replaying.last_due = of_it.map(|waiting| waiting.due).max().unwrap_or(now).max(now);
            }
            replaying.jobs.push(job);
        }
    }

    /// Puts what a replay found into the retry queue, spread by its rate.
    fn queue_again(&mut self, at: usize, scanned: &Scanned) {
        let mut job = self.replaying.jobs[at].clone();
        let now = self.means.clock.now();
        let apart = job.order.rate_per_second.map_or(0, |rate| 1_000_000 / i64::from(rate.max(1)));
        self.replaying.last_due = self.replaying.last_due.max(now);
        for found in &scanned.found {
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
        let kind = job.order.kind();
        self.ledger.set_replay(job.clone());
        let scanner = self.replaying.scanner(kind);
        scanner.ended_up_to = scanner.ended_up_to.max(id);
        // Another one may have been begun.
        self.replaying.look_again();
    }
}
