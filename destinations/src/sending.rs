//! A destination at work: read, send, judge, record. One loop owns all of it, so nothing is locked. It runs while the
//! destination is off as well: then it sends nothing, but counts what a replay would send.
//!
//! Results become durable in groups. Reading never gets further ahead of the durable cursor than the window, so
//! that after a crash no more than a window of deliveries is sent again.

mod pausing;
mod starting;

use crate::attempt::{Flight, Means};
use crate::config::{DestinationConfig, wanted_config};
use crate::configured::Configured;
use crate::failure::Failure;
use crate::fanout::{Admission, admit, is_passed_over};
use crate::health::{Health, HealthLimits, Leave};
use crate::ledger::{Job, Ledger, Mapped, Settled};
use crate::locate::UnreadableActivation;
use crate::pace::{Concurrency, Rate, RetryBudget};
use crate::plan::Planned;
use crate::reader::{Progress, Read, Reader};
use crate::record::{ExchangeNumbers, Sampler};
use crate::replay::ReplayJob;
use crate::replaying::{Replaying, Step};
use crate::status::{DestinationStatus, Paused};
use crate::store::StoreError;
use crate::stored::{PauseReason, Waiting};
use crate::worker::{READ_AGAIN, Worker, WorkerError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// How long the cursor may move without results before that is recorded.
const CURSOR_DELAY: Duration = Duration::from_secs(5);

/// By how much the cursor may move without results before that is recorded.
const CURSOR_MOVE_MAX: u64 = 65_536;

/// When nothing else is due, the loop looks around that often.
const LOOK_AROUND: Duration = Duration::from_secs(60);

/// What a destination stood at when it could not read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Limit {
    Window,
    WindowBytes,
    Queue,
    QueueBytes,
}

/// How long results wait at least where deliveries gather for long.
const LONG_COMMIT_DELAY: Duration = Duration::from_secs(1);

enum Wake {
    Flight(Flight),
    Replay(Box<Step>),
    Committed(Result<(), StoreError>),
    /// Something may have changed; the loop looks for itself.
    Look,
}

/// A destination at work, until it is told to leave.
pub(crate) struct Sending<'a> {
    pub(crate) worker: &'a mut Worker,
    pub(crate) config: Arc<DestinationConfig>,
    pub(crate) means: Means,
    pub(crate) ledger: Ledger,
    pub(crate) health: Health,
    pub(crate) concurrency: Concurrency,
    pub(crate) budget: RetryBudget,
    pub(crate) sampler: Sampler,
    pub(crate) exchange_numbers: ExchangeNumbers,
    pub(crate) replaying: Replaying,
    /// When a pause was ended last.
    pub(crate) resumed_at: Option<std::time::Instant>,
    /// Whether what was sent last had been tried before.
    sent_again_last: bool,
    /// Before that, nothing is sent: the rate, or the budget of attempts made again, does not let it.
    paced_until: Option<Instant>,
    flights: FuturesUnordered<BoxFuture<'static, Flight>>,
    /// Since when there are deliveries that wait for others to share a request with.
    gathering_since: Option<Instant>,
    retries_under_way: usize,
    reader: Reader,
    read_again_at: Option<Instant>,
    committing: Option<BoxFuture<'static, Result<(), StoreError>>>,
    /// What becomes countable, and what becomes true, with the commit under way.
    settling: Option<(Settled, DestinationStatus)>,
    durable_cursor: u64,
    changed_since: Option<Instant>,
    stands_at: Option<Limit>,
    /// It was told to finish what is under way and return.
    leaving: bool,
}

impl<'a> Sending<'a> {
    pub(crate) fn new(
        worker: &'a mut Worker,
        config: Arc<DestinationConfig>,
        configured: Configured,
        mut ledger: Ledger,
        running: Vec<ReplayJob>,
    ) -> Self {
        let shared = &worker.shared;
        let (limits, now) = (shared.limits, shared.clock.now());
        let passed_over =
            |waiting: &Waiting| waiting.replay.is_none() && is_passed_over(&config, waiting.position);
        ledger.end_waiting(passed_over, Outcome::Skipped, now);
        let health = Health::new(HealthLimits {
            outage_failures: limits.outage_failures,
            outage_after: limits.outage_after,
            probe_max: limits.probe_max,
        });
        let means = Means {
            key: worker.key,
            log: Arc::clone(&shared.log),
            clock: Arc::clone(&shared.clock),
            bytes_max: configured.batch.bytes,
            payloads_max: configured.batch.events,
            rate: Arc::new(Rate::new(configured.requests_per_second)),
            configured,
        };
        let mut sending = Self {
            reader: Reader::new(Arc::clone(&shared.log), ledger.cursor(), ledger.mark()),
            durable_cursor: ledger.cursor(),
            concurrency: Concurrency::new(means.configured.concurrency),
            budget: RetryBudget::new(),
            sampler: Sampler::new(
                limits.record_successes_per_second,
                limits.record_sample_percent,
                std::time::Instant::now(),
            ),
            exchange_numbers: ExchangeNumbers::default(),
            replaying: Replaying::new(),
            resumed_at: None,
            sent_again_last: false,
            worker,
            config,
            means,
            ledger,
            health,
            paced_until: None,
            flights: FuturesUnordered::new(),
            gathering_since: None,
            retries_under_way: 0,
            read_again_at: None,
            committing: None,
            settling: None,
            changed_since: None,
            stands_at: None,
            leaving: false,
        };
        sending.take_up_pause(now);
        sending.take_up(running);
        sending
    }

    /// Works until the destination is switched off, changed in more than its settings or deleted, or the engine
    /// stops. Everything that ended by then is recorded.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        loop {
            self.look();
            if !self.leaving {
                self.replay();
                if self.config.enabled {
                    self.admit();
                    self.start();
                    self.read();
                }
            }
            self.count_replayed();
            self.commit();
            if self.is_done() {
                self.worker.publish(self.summary());
                return Ok(());
            }
            match self.wake().await {
                Wake::Flight(flight) => {
                    let is_again = flight.attempts.iter().any(|attempt| attempt.job.again);
                    self.retries_under_way -= usize::from(is_again);
                    self.finish(flight);
                }
                Wake::Replay(step) => self.replayed(*step),
                Wake::Committed(result) => {
                    result?;
                    self.committed();
                }
                Wake::Look => {}
            }
        }
    }

    /// Takes notice of a changed configuration, and of the engine's stop.
    fn look(&mut self) {
        if self.worker.wanted.has_changed().unwrap_or(false) {
            self.worker.wanted.borrow_and_update();
            match wanted_config(&self.worker.wanted, self.worker.key) {
                Some(config) => self.reconfigure(config),
                None => self.leaving = true,
            }
        }
        let asked = self.worker.cell.take_asked();
        if asked.resume {
            self.end_pause(self.means.clock.now());
        }
        if asked.replay {
            self.replaying.look_again();
        }
        let deadline = *self.worker.stop.borrow();
        if let Some(deadline) = deadline {
            self.leaving = true;
            if Instant::now() >= deadline && !self.flights.is_empty() {
                tracing::warn!(
                    destination = %self.worker.key,
                    deliveries = self.ledger.under_way(),
                    "stopped with deliveries under way; they will be sent again"
                );
                self.flights.clear();
            }
        }
    }

    fn reconfigure(&mut self, config: Arc<DestinationConfig>) {
        let is_same_work = config.enabled == self.config.enabled
            && config.skip_through == self.config.skip_through
            && config.starts_after == self.config.starts_after
            && config.definition == self.config.definition;
        if !is_same_work {
            self.leaving = true;
        } else if config != self.config {
            let shared = &self.worker.shared;
            match Configured::new(&config, &shared.limits, &shared.ways) {
                Ok(configured) => self.take_over(configured),
                // It is reported where the destination is begun again.
                Err(_) => self.leaving = true,
            }
        }
        self.config = config;
    }

    fn take_over(&mut self, mut configured: Configured) {
        let is_other = configured.fingerprint != self.means.configured.fingerprint;
        if !is_other {
            // Its connections and tokens are good still.
            configured.transport = Arc::clone(&self.means.configured.transport);
        }
        if configured.requests_per_second != self.means.configured.requests_per_second {
            self.means.rate = Arc::new(Rate::new(configured.requests_per_second));
        }
        self.ledger.map_again();
        self.means.bytes_max = configured.batch.bytes;
        self.means.payloads_max = configured.batch.events;
        self.means.configured = configured;
        // What was refused under other settings may be taken under these.
        let refused = self.ledger.paused().is_some_and(|pause| pause.reason == PauseReason::Credentials);
        if is_other && refused {
            self.end_pause(self.means.clock.now());
        }
    }

    /// Takes what was read, as far as the limits let it.
    fn admit(&mut self) {
        if let Some(first) = self.reader.expired().filter(|_| self.ledger.fresh_len() == 0) {
            let from = self.ledger.cursor();
            let lost = self.ledger.lose(first, self.means.clock.now());
            self.reader.skip_to(self.ledger.cursor());
            tracing::warn!(
                destination = %self.worker.key, from, before = first, activations = lost,
                "retention removed activations before they were delivered"
            );
        }
        let before = self.stands_at.take();
        while let Some(next) = self.reader.front() {
            if self.ledger.is_settled(next.sequence) {
                self.reader.pop();
                continue;
            }
            self.stands_at = self.limit(next.sequence);
            if self.stands_at.is_some() {
                break;
            }
            let next = self.reader.pop().expect("it was just looked at");
            if next.repeats {
                self.worker.meters.repeated.increment(1);
                self.ledger.pass(next.sequence);
                continue;
            }
            match admit(&self.config, &next.activation.header) {
                Admission::NotIts => self.ledger.pass(next.sequence),
                Admission::PassedOver => {
                    self.ledger.end_unread(next.sequence, Outcome::Skipped, self.means.clock.now());
                }
                Admission::Its => self.take(next),
            }
        }
        if self.stands_at != before {
            self.count_limit();
        }
    }

    /// Takes an activation that is for this destination: what its mappings make of it is sent.
    fn take(&mut self, next: Read) {
        let now = self.means.clock.now();
        let Read { sequence, frame, activation, .. } = next;
        match self.means.configured.plan.plan(self.means.key, &activation, now) {
            Planned::LeftOut { outcome, .. } => self.ledger.end_unread(sequence, outcome, now),
            Planned::Dead(failure) => self.refuse(sequence, frame, activation, failure, now),
            Planned::Payloads { payloads, refused } => {
                match (payloads.is_empty(), Failure::of_mappings(&refused)) {
                    (true, Some(failure)) => self.refuse(sequence, frame, activation, failure, now),
                    (_, refused) => {
                        self.ledger.admit(sequence, frame, activation, Mapped { payloads, refused }, now);
                    }
                }
            }
        }
    }

    /// Ends a delivery that can't be made into a request.
    fn refuse(
        &mut self,
        sequence: u64,
        frame: u64,
        activation: tributary_model::Activation,
        failure: Failure,
        now: Timestamp,
    ) {
        let waiting = Waiting { told: 1, ..Waiting::untried(frame, &activation) };
        let activation = Some(Arc::new(activation));
        let job = Job { sequence, again: false, waiting, activation, mapped: None };
        self.remember_refusal(&job, &failure, now);
        let letter = self.letter(&job, failure, now, None);
        self.ledger.bury(&letter);
        self.ledger.end_unread(sequence, Outcome::DeadLetter, now);
    }

    fn limit(&self, sequence: u64) -> Option<Limit> {
        let limits = &self.worker.shared.limits;
        let (window, window_bytes) = self.means.configured.window(limits);
        let (used, total) = (self.queue_used(), self.queue_total());
        if sequence >= self.durable_cursor.saturating_add(window) {
            Some(Limit::Window)
        } else if self.ledger.fresh_bytes() >= window_bytes {
            Some(Limit::WindowBytes)
        } else if used.bytes >= total.bytes {
            Some(Limit::QueueBytes)
        } else if used.count >= total.count {
            Some(Limit::Queue)
        } else {
            None
        }
    }

    fn count_limit(&self) {
        let meters = &self.worker.meters;
        match self.stands_at {
            Some(Limit::Window) => meters.at_window_limit.increment(1),
            Some(Limit::WindowBytes) => meters.at_window_bytes_limit.increment(1),
            Some(Limit::Queue) => meters.at_queue_limit.increment(1),
            Some(Limit::QueueBytes) => meters.at_queue_bytes_limit.increment(1),
            None => {}
        }
    }

    /// How the destination is doing by its books.
    fn summary(&self) -> DestinationStatus {
        let books = self.worker.summary(&self.config, &self.ledger);
        let paused = books.paused.map(|paused| Paused { probes_at: self.health.probes_at(), ..paused });
        DestinationStatus { concurrency: self.concurrency.limit() as u64, paused, ..books }
    }

    /// Reads on, once everything read has been taken.
    fn read(&mut self) {
        if self.read_again_at.is_some_and(|at| Instant::now() < at) {
            return;
        }
        self.read_again_at = None;
        match self.reader.read_on() {
            Ok(()) => {}
            Err(why) => self.read_failed(&why),
        }
    }

    fn read_failed(&mut self, why: &UnreadableActivation) {
        self.read_again_at = Some(Instant::now() + READ_AGAIN);
        self.worker.report(&why.to_string());
    }

    /// Hands over what has to become durable, if it is time and the last commit is done.
    fn commit(&mut self) {
        if self.committing.is_some() {
            return;
        }
        let results = self.ledger.uncommitted();
        let moved = self.ledger.cursor() - self.durable_cursor;
        if results == 0 && moved == 0 {
            self.changed_since = None;
            return;
        }
        let changed_since = *self.changed_since.get_or_insert_with(Instant::now);
        let is_long = self.means.configured.gathers_long();
        let results_max = self.worker.shared.limits.commit_results * if is_long { 16 } else { 1 };
        let is_time = results >= results_max
            || changed_since.elapsed() >= self.commit_delay()
            || moved >= CURSOR_MOVE_MAX
            || self.stands_at == Some(Limit::Window)
            || (self.leaving && self.flights.is_empty());
        if is_time {
            let summary = self.summary();
            if let Some(mark) = self.reader.mark(self.ledger.cursor()) {
                self.ledger.set_mark(mark);
            }
            let (commit, settled) = self.ledger.take_commit();
            let store = Arc::clone(&self.worker.shared.store);
            self.committing = Some(Box::pin(async move { store.commit(commit).await }));
            self.settling = Some((settled, summary));
            self.changed_since = None;
        }
    }

    /// How long a change waits for others: results for a moment, a cursor that only passed by what is not this
    /// destination's for longer.
    fn commit_delay(&self) -> Duration {
        let delay = self.worker.shared.limits.commit_delay;
        match self.ledger.uncommitted() {
            0 => CURSOR_DELAY,
            // What waits a minute for others need not be told of twenty times a second.
            _ if self.means.configured.gathers_long() => delay.max(LONG_COMMIT_DELAY),
            _ => delay,
        }
    }

    fn committed(&mut self) {
        if let Some((settled, summary)) = self.settling.take() {
            self.worker.publish(summary);
            self.durable_cursor = settled.cursor;
            self.worker.meters.count(&settled.ended);
            self.worker.meters.dead_letters_dropped.increment(settled.letters_dropped);
        }
    }

    fn is_done(&self) -> bool {
        self.leaving
            && self.flights.is_empty()
            && self.committing.is_none()
            && self.ledger.uncommitted() == 0
            && self.ledger.cursor() == self.durable_cursor
    }

    async fn wake(&mut self) -> Wake {
        let nap = self.nap();
        tokio::select! {
            Some(flight) = self.flights.next(), if !self.flights.is_empty() => Wake::Flight(flight),
            step = self.replaying.ended() => Wake::Replay(Box::new(step)),
            () = self.worker.cell.knock.notified() => Wake::Look,
            result = at_end_of(&mut self.committing) => Wake::Committed(result),
            read = self.reader.changed(), if !self.leaving && self.config.enabled => {
                match read {
                    Ok(Progress::Read) => {
                        self.worker.cell.change(|status| status.problem = None);
                        self.worker.show_behind(self.durable_cursor);
                    }
                    Ok(Progress::Grown) => {}
                    Err(why) => self.read_failed(&why),
                }
                Wake::Look
            }
            Ok(()) = self.worker.wanted.changed() => {
                self.worker.wanted.mark_changed();
                Wake::Look
            }
            Ok(()) = self.worker.stop.changed() => Wake::Look,
            () = tokio::time::sleep(nap) => Wake::Look,
        }
    }

    /// How long there is nothing to do if nothing happens.
    fn nap(&self) -> Duration {
        let limits = &self.worker.shared.limits;
        let now = Instant::now();
        let mut nap = LOOK_AROUND;
        let mut no_later = |at: Instant| nap = nap.min(at.saturating_duration_since(now));
        if let (Some(since), None) = (self.changed_since, &self.committing) {
            no_later(since + self.commit_delay());
        }
        if let Some(deadline) = self.worker.stop.borrow().filter(|_| !self.flights.is_empty()) {
            no_later(deadline);
        }
        if self.leaving {
            return nap;
        }
        if let Some(at) = self.read_again_at {
            no_later(at);
        }
        if let Some(at) = self.replaying.next_at() {
            no_later(at);
        }
        if !self.config.enabled {
            return nap;
        }
        if let Some(until) = self.paced_until {
            no_later(until.max(now));
            return nap;
        }
        if !self.has_room() {
            return nap;
        }
        let due = match self.health.leave(self.means.clock.now()) {
            Leave::Open => {
                if let Some(since) = self.gathering_since {
                    no_later(since + self.means.configured.batch.delay);
                }
                self.ledger.next_due_at()
            }
            Leave::Probe => None,
            Leave::Until(until) => until,
        };
        if let Some(due) = due {
            let micros = due.micros_since(self.means.clock.now()).max(0).unsigned_abs();
            no_later(now + Duration::from_micros(micros).min(limits.clock_check));
        }
        nap
    }
}

/// Waits for the future in the slot and empties it; for ever if it is empty.
pub(crate) async fn at_end_of<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let result = future.await;
            *slot = None;
            result
        }
        None => pending().await,
    }
}
