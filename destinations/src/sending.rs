//! A destination at work: read, send, judge, record. One loop owns all of it, so nothing is locked.
//!
//! Results become durable in groups. Reading never gets further ahead of the durable cursor than the window, so
//! that after a crash no more than a window of deliveries is sent again.

use crate::attempt::{Attempt, Means, attempt};
use crate::config::{Configured, DestinationConfig, wanted_config};
use crate::connect::Client;
use crate::fanout::{Admission, admit, is_passed_over};
use crate::ledger::{Job, Ledger, Settled};
use crate::locate::UnreadableActivation;
use crate::outage::Outage;
use crate::reader::{Progress, Reader};
use crate::status::DestinationStatus;
use crate::store::StoreError;
use crate::worker::{READ_AGAIN, Worker, WorkerError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
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
}

/// About how many bytes of events go into one request.
const BATCH_BYTES: usize = 1 << 20;

/// How long deliveries wait for others to share a request with.
const BATCH_DELAY: Duration = Duration::from_millis(20);

enum Wake {
    Attempts(Vec<Attempt>),
    Committed(Result<(), StoreError>),
    /// Something may have changed; the loop looks for itself.
    Look,
}

/// A destination at work, until it is told to leave.
pub(crate) struct Sending<'a> {
    pub(crate) worker: &'a mut Worker,
    pub(crate) config: Arc<DestinationConfig>,
    means: Means,
    pub(crate) ledger: Ledger,
    pub(crate) outage: Outage,
    flights: FuturesUnordered<BoxFuture<'static, Vec<Attempt>>>,
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
    ) -> Result<Self, WorkerError> {
        ledger.end_waiting(|waiting| is_passed_over(&config, waiting.position), Outcome::Skipped);
        let shared = &worker.shared;
        let client = Client::new(shared.addresses, &shared.limits).map_err(WorkerError::Client)?;
        let means = Means {
            key: worker.key,
            log: Arc::clone(&shared.log),
            clock: Arc::clone(&shared.clock),
            client: Arc::new(client),
            configured,
        };
        Ok(Self {
            reader: Reader::new(Arc::clone(&shared.log), ledger.cursor(), ledger.mark()),
            durable_cursor: ledger.cursor(),
            worker,
            config,
            means,
            ledger,
            outage: Outage::default(),
            flights: FuturesUnordered::new(),
            gathering_since: None,
            retries_under_way: 0,
            read_again_at: None,
            committing: None,
            settling: None,
            changed_since: None,
            stands_at: None,
            leaving: false,
        })
    }

    /// Works until the destination is switched off, changed in more than its settings or deleted, or the engine
    /// stops. Everything that ended by then is recorded.
    pub(crate) async fn run(mut self) -> Result<(), WorkerError> {
        loop {
            self.look();
            if !self.leaving {
                self.admit();
                self.start();
                self.read();
            }
            self.commit();
            if self.is_done() {
                self.worker.publish(self.worker.summary(&self.config, &self.ledger));
                return Ok(());
            }
            match self.wake().await {
                Wake::Attempts(attempts) => {
                    for attempt in attempts {
                        self.retries_under_way -= usize::from(attempt.job.again);
                        self.finish(attempt);
                    }
                }
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
        let is_same_work = config.enabled
            && config.skip_through == self.config.skip_through
            && config.starts_after == self.config.starts_after;
        if !is_same_work {
            self.leaving = true;
        } else if config.settings != self.config.settings || config.definition != self.config.definition {
            match config.configure() {
                Ok(configured) => self.means.configured = configured,
                // It is reported where the destination is begun again.
                Err(_) => self.leaving = true,
            }
        }
        self.config = config;
    }

    /// Takes what was read, as far as the limits let it.
    fn admit(&mut self) {
        if let Some(first) = self.reader.expired().filter(|_| self.ledger.fresh_len() == 0) {
            let from = self.ledger.cursor();
            let lost = self.ledger.lose(first);
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
            let activation = &next.activation;
            match admit(&self.config, &activation.header, || self.means.configured.takes(activation)) {
                Admission::NotIts => self.ledger.pass(next.sequence),
                Admission::PassedOver => self.ledger.end_unread(next.sequence, Outcome::Skipped),
                Admission::LeftOut => self.ledger.end_unread(next.sequence, Outcome::Filtered),
                Admission::Delivery => self.ledger.admit(next.sequence, next.frame, next.activation),
            }
        }
        if self.stands_at != before {
            self.count_limit();
        }
    }

    fn limit(&self, sequence: u64) -> Option<Limit> {
        let limits = &self.worker.shared.limits;
        if sequence >= self.durable_cursor.saturating_add(limits.window) {
            Some(Limit::Window)
        } else if self.ledger.fresh_bytes() >= limits.window_bytes {
            Some(Limit::WindowBytes)
        } else if self.ledger.queue().len() + self.ledger.fresh_len() >= limits.queue {
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
            None => {}
        }
    }

    /// Starts attempts, as far as concurrency lets it. Of its places, retries get half while others are waiting
    /// for one: neither a crowd of failures nor a crowd of new deliveries shuts the other out.
    fn start(&mut self) {
        let limits = self.worker.shared.limits;
        while self.has_room() {
            let now = self.means.clock.now();
            let retries_first =
                self.retries_under_way < limits.concurrency.div_ceil(2) || !self.ledger.has_fresh();
            let due = if retries_first { self.ledger.next_due(now) } else { None };
            let jobs = match due {
                // One that failed before goes alone, so that it can't fail others with it.
                Some(job) => vec![job],
                None => self.gather(),
            };
            if jobs.is_empty() {
                return;
            }
            self.retries_under_way += usize::from(jobs[0].again);
            self.flights.push(Box::pin(attempt(self.means.clone(), jobs)));
        }
    }

    /// Takes new deliveries for one request: as many as it may carry, or fewer if they have waited for long enough.
    fn gather(&mut self) -> Vec<Job> {
        let most = self.means.configured.destination.batch_events_max().max(1);
        if !self.ledger.has_fresh() {
            self.gathering_since = None;
            return Vec::new();
        }
        let since = *self.gathering_since.get_or_insert_with(Instant::now);
        // At a limit no others can come before some have gone.
        let may_gather = self.stands_at.is_none() && since.elapsed() < BATCH_DELAY;
        if may_gather && !self.ledger.fills(most) {
            return Vec::new();
        }
        self.gathering_since = None;
        self.ledger.next_fresh(most, BATCH_BYTES)
    }

    fn has_room(&self) -> bool {
        let limits = &self.worker.shared.limits;
        self.flights.len() < limits.concurrency && (self.ledger.uncommitted() as u64) < limits.window
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
        let is_time = results >= self.worker.shared.limits.commit_results
            || changed_since.elapsed() >= self.commit_delay()
            || moved >= CURSOR_MOVE_MAX
            || self.stands_at == Some(Limit::Window)
            || (self.leaving && self.flights.is_empty());
        if is_time {
            let summary = self.worker.summary(&self.config, &self.ledger);
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
        if self.ledger.uncommitted() > 0 { self.worker.shared.limits.commit_delay } else { CURSOR_DELAY }
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
            Some(attempts) = self.flights.next(), if !self.flights.is_empty() => Wake::Attempts(attempts),
            result = at_end_of(&mut self.committing) => Wake::Committed(result),
            read = self.reader.changed(), if !self.leaving => {
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
        if let Some(since) = self.gathering_since.filter(|_| self.has_room()) {
            no_later(since + BATCH_DELAY);
        }
        if let Some(due) = self.ledger.next_due_at().filter(|_| self.has_room()) {
            let micros = due.micros_since(self.means.clock.now()).max(0).unsigned_abs();
            no_later(now + Duration::from_micros(micros).min(limits.clock_check));
        }
        nap
    }
}

/// Waits for the future in the slot and empties it; for ever if it is empty.
async fn at_end_of<T>(slot: &mut Option<BoxFuture<'static, T>>) -> T {
    match slot {
        Some(future) => {
            let result = future.await;
            *slot = None;
            result
        }
        None => pending().await,
    }
}
