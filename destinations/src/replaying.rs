//! Replays at work: one that sends, and beside it one that only counts. Each reads a piece of the log at a time; what the
//! first finds is put into the retry queue, from which it goes like everything else. How far each is becomes durable with
//! what it queued, so a restart goes on where it was.

use crate::replay::{Amount, Pacing, Portion, ReplayJob, ReplayKind, ReplayState, Scanned, scan};
use crate::sending::{Sending, at_end_of};
use crate::store::StoreError;
use crate::stored::Waiting;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Deliveries that are queued at once, at most: where a request carries more, so many as that.
const PIECE: usize = 1_000;

/// How long a replay that sends waits for room in the queue.
const PAUSE: Duration = Duration::from_millis(100);

/// How long it waits after what it reads could not be read.
const UNREADABLE_PAUSE: Duration = Duration::from_secs(5);

/// What was done for replays.
pub(crate) enum Step {
    /// It was looked for the replays that are to run.
    Looked(Result<Vec<ReplayJob>, StoreError>),
    /// A piece was read for the replay of this kind and number.
    Scanned(ReplayKind, u64, Result<Scanned, Unscanned>),
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
    /// When those queued are due where there is a rate.
    pacing: Pacing,
    /// What the piece that is being read may put into the retry queue.
    reserved: Amount,
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
            pacing: Pacing::new(Timestamp::MIN, 0),
            reserved: Amount::default(),
        }
    }

    /// A replay was begun or cancelled.
    pub(crate) fn look_again(&mut self) {
        self.look_at = Some(Instant::now());
    }

    /// Deliveries of these replays are back. Of one that was cancelled meanwhile, those that wait again are ended.
    pub(crate) fn came_back(&mut self, replays: &BTreeSet<u64>) {
        let runs = |id: &u64| self.jobs.iter().any(|job| job.id == *id && job.is_running());
        if !replays.iter().all(runs) {
            self.look_again();
        }
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
            ReplayKind::Sends => self.room_for_replayed(job),
            ReplayKind::Counts => Some(Amount { count: PIECE, bytes: u64::MAX }),
        };
        let Some(most) = room else {
            self.replaying.scanner(kind).not_before = Some(Instant::now() + PAUSE);
            return;
        };
        let most_bytes = usize::try_from(most.bytes).unwrap_or(usize::MAX);
        let (log, store) = (Arc::clone(&self.means.log), Arc::clone(&self.worker.shared.store));
        let (key, plan, job) = (self.worker.key, Arc::clone(&self.means.configured.plan), job.clone());
        let id = job.id;
        let scanning = tokio::task::spawn_blocking(move || {
            scan(&*log, &store, key, &plan, &job, (most.count, most_bytes))
        });
        let scanned = async move {
            let scanned = match scanning.await {
                Ok(Ok(scanned)) => Ok(scanned),
                Ok(Err(why)) => Err(Unscanned { is_final: why.is_final(), why: why.to_string() }),
                Err(_) => Err(Unscanned { is_final: false, why: "a thread was lost".to_owned() }),
            };
            Step::Scanned(kind, id, scanned)
        };
        match kind {
            ReplayKind::Sends => self.replaying.reserved = most,
            ReplayKind::Counts => {}
        }
        self.replaying.scanner(kind).step = Some(scanned.boxed());
    }

    /// What may be queued again now; `None` if nothing may.
    fn room_for_replayed(&self, job: &ReplayJob) -> Option<Amount> {
        let (batch, now) = (self.means.configured.batch, self.means.clock.now());
        let (rate, pacing) = (job.order.rate_per_second, self.replaying.pacing);
        let portion = rate.map(|rate| self.portion(rate));
        let is_far_ahead = portion.is_some_and(|portion| pacing.is_far_ahead(portion, now));
        if self.ledger.paused().is_some() || is_far_ahead {
            self.show_waits_for_room(false);
            return None;
        }
        let by_rate = portion.map_or(usize::MAX, |portion| {
            pacing.lacks(portion, now).max(rate.map_or(0, |rate| rate as usize))
        });
        let own = self.ledger.of_replay(job.id);
        let room = self.queue_total().room(own.queued, self.queue_used());
        let full = match batch.events {
            ..=1 => Amount { count: 1, bytes: 1 },
            events => Amount {
                count: events.min(by_rate),
                bytes: (batch.bytes as u64).min(self.queue_total().half().bytes),
            },
        };
        // Where some of what it queued is about to go there will be room for a whole request.
        let is_due = self.ledger.next_due_at().is_some_and(|due| due <= now);
        let is_going_on = own.untried > 0 && (own.under_way > 0 || is_due);
        let is_ahead = portion.is_some() && pacing.is_ahead(now);
        self.show_waits_for_room(room.is_none() && !is_going_on && !is_ahead);
        if room.is_none() || (is_going_on && !room.holds(full)) {
            return None;
        }
        let most = room.count.min(PIECE.max(batch.events)).min(by_rate);
        let whole = if most > batch.events { most - most % batch.events } else { most };
        Some(Amount { count: whole, bytes: room.bytes })
    }

    /// What the retry queue holds at most.
    pub(crate) fn queue_total(&self) -> Amount {
        let limits = &self.worker.shared.limits;
        Amount { count: self.means.configured.queue(limits), bytes: limits.retry_bytes }
    }

    /// What counts against that: what is taken in, or will be by a replay, may all have to wait.
    pub(crate) fn queue_used(&self) -> Amount {
        let Amount { count, bytes } = self.replaying.reserved;
        let fresh_bytes = self.ledger.fresh_bytes() as u64;
        Amount {
            count: self.ledger.queue().len() + self.ledger.fresh_len() + count,
            bytes: (self.ledger.queue_bytes() + fresh_bytes).saturating_add(bytes),
        }
    }

    /// How much of a replay of that rate is due at once.
    fn portion(&self, rate_per_second: u32) -> Portion {
        let batch = self.means.configured.batch;
        Portion::of(rate_per_second, batch.events, batch.delay, self.queue_total().half().count)
    }

    fn show_waits_for_room(&self, waits: bool) {
        self.worker.cell.change(|status| status.replay_waits_for_room = waits);
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
            Step::Scanned(kind, id, scanned) => {
                match kind {
                    ReplayKind::Sends => self.replaying.reserved = Amount::default(),
                    ReplayKind::Counts => {}
                }
                let jobs = &self.replaying.jobs;
                // One that was cancelled meanwhile takes nothing any more.
                let Some(at) = jobs.iter().position(|job| job.id == id && job.is_running()) else { return };
                match scanned {
                    Ok(scanned) => self.queue_again(at, &scanned),
                    Err(Unscanned { why, is_final }) => {
                        tracing::warn!(%destination, replay = id, error = why, "a replay can't read on");
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
                self.worker.cell.change(|status| status.replay_waits_for_room = false);
                // What was tried is due by its failure, not by the rate.
                let is_of_it = |waiting: &&Waiting| waiting.replay == Some(job.id) && waiting.attempts == 0;
                let dues = self.ledger.queue().values().filter(is_of_it).map(|waiting| waiting.due);
                let last = dues.clone().max().unwrap_or(now);
                replaying.pacing = Pacing::new(last, dues.filter(|due| *due == last).count());
            }
            replaying.jobs.push(job);
        }
    }

    /// Puts what a replay found into the retry queue, spread by its rate.
    fn queue_again(&mut self, at: usize, scanned: &Scanned) {
        let mut job = self.replaying.jobs[at].clone();
        let now = self.means.clock.now();
        let portion = job.order.rate_per_second.map(|rate| self.portion(rate));
        for found in &scanned.found {
            let waiting = Waiting::of_header(found.frame, &found.header, found.bytes);
            let mut pacing = self.replaying.pacing;
            let due = portion.map_or(now, |portion| pacing.take(portion, now));
            if self.ledger.send_again(found.sequence, Waiting { due, replay: Some(job.id), ..waiting }, now) {
                job.queued += 1;
                self.replaying.pacing = pacing;
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
        let ledger = &self.ledger;
        let has_queued = |id| ledger.of_replay(id).queued.count > 0;
        self.replaying.jobs.retain(|job| job.is_running() || has_queued(job.id));
    }

    /// Whether something that a replay queued has not ended.
    fn has_queued(&self, id: u64) -> bool {
        self.ledger.of_replay(id).queued.count > 0
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
