//! The task of one destination: it loads what is remembered, then sends while the destination is on, is parked
//! while it is off, and removes what is remembered when the destination is gone.
//!
//! A change of more than the settings takes the same road as a restart: what is under way finishes and is
//! recorded, memory is dropped, and the task begins again from the store.

use crate::config::{DestinationConfig, Key, Limits, Wanted, wanted_config};
use crate::configured::{Configured, Ways};
use crate::definition::OrderSpec;
use crate::ledger::{Ledger, LetterLimits};
use crate::locate::start_for;
use crate::metrics::Meters;
use crate::registry;
use crate::remove::remove;
use crate::replay::ReplayJob;
use crate::retry::RetryPolicy;
use crate::sending::Sending;
use crate::status::{DestinationStatus, Paused, StatusCell};
use crate::store::{Commit, Remembered, Store, StoreError};
use crate::stored::StoredState;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tributary_eventlog::EventLog;
use tributary_model::clock::Clock;

mod unread;

use unread::Unread;

/// How long a task waits after the activations log could not be read.
pub(crate) const READ_AGAIN: Duration = Duration::from_secs(1);

/// What every task of the engine shares.
pub(crate) struct Shared {
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) ways: Ways,
    pub(crate) retry: RetryPolicy,
    pub(crate) limits: Limits,
    /// The destinations whose books are stored and shown.
    pub(crate) begun: watch::Sender<BTreeSet<Key>>,
}

/// Why a task could not go on. The process has to end: nothing about its deliveries can be recorded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("a thread for blocking work was lost")]
    Blocking(#[from] tokio::task::JoinError),
}

/// How a task ended as it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The engine stops.
    Stopped,
    /// The destination is gone.
    Removed,
}

/// The books of a destination, and the replays that run.
type Loaded = (Ledger, Vec<ReplayJob>);

/// The task of one destination.
pub(crate) struct Worker {
    pub(crate) key: Key,
    pub(crate) shared: Arc<Shared>,
    pub(crate) wanted: watch::Receiver<Wanted>,
    /// Until when everything has to end, once the engine stops.
    pub(crate) stop: watch::Receiver<Option<Instant>>,
    pub(crate) cell: Arc<StatusCell>,
    pub(crate) meters: Meters,
}

impl Worker {
    /// Runs until the engine stops or the destination is gone.
    pub(crate) async fn run(mut self) -> Result<End, WorkerError> {
        loop {
            if self.stop.borrow().is_some() {
                return Ok(End::Stopped);
            }
            self.wanted.borrow_and_update();
            let Some(config) = wanted_config(&self.wanted, self.key) else {
                return if remove(&self).await? { Ok(End::Removed) } else { Ok(End::Stopped) };
            };
            let (ledger, replays) = match self.load(&config).await? {
                Ok(loaded) => loaded,
                Err(problem) => {
                    self.hold(&config, &problem).await;
                    continue;
                }
            };
            self.publish(self.summary(&config, &ledger));
            self.cell.change(|status| status.problem = None);
            self.shared.begun.send_if_modified(|begun| begun.insert(self.key));
            // It goes on for as long as the work beside it.
            let unread = Unread::new(&self, &config).watch();
            match Configured::new(&config, &self.shared.limits, &self.shared.ways) {
                Ok(configured) => {
                    let sending = Sending::new(&mut self, config, configured, ledger, replays);
                    tokio::select! {
                        ended = sending.run() => ended?,
                        () = unread => {}
                    }
                }
                Err(why) => {
                    drop(ledger);
                    let problem = why.to_string();
                    tokio::select! {
                        () = self.until_settings(&config, &problem) => {}
                        () = unread => {}
                    }
                }
            }
        }
    }

    /// Loads the books; a new destination gets its first. Says what the problem is if it can't begin yet.
    async fn load(&self, config: &Arc<DestinationConfig>) -> Result<Result<Loaded, String>, WorkerError> {
        let (shared, key) = (Arc::clone(&self.shared), self.key);
        let starts_after = config.starts_after;
        let loaded = tokio::task::spawn_blocking(move || {
            let replays = shared.store.active_replays(key)?;
            Ok::<_, StoreError>(match shared.store.load(key)? {
                Some(remembered) => Ok((remembered, false, replays)),
                None => start_for(&*shared.log, starts_after).map(|cursor| {
                    let state = StoredState::new(cursor, starts_after);
                    (Remembered { state, waiting: Vec::new(), letters: VecDeque::new() }, true, Vec::new())
                }),
            })
        });
        let (remembered, is_new, replays) = match loaded.await?? {
            Ok(loaded) => loaded,
            Err(why) => return Ok(Err(why.to_string())),
        };
        if remembered.state.ended {
            return Ok(Err("it was deleted; ids of destinations are not used again".to_owned()));
        }
        if is_new {
            self.shared.store.commit(Commit::of(key, remembered.state.clone())).await?;
        }
        let limits = &self.shared.limits;
        let letter_limits = LetterLimits { count: limits.dead_letters, bytes: limits.dead_letter_bytes };
        let lanes = registry::find(&config.definition).map_or(OrderSpec::default(), |spec| spec.order);
        Ok(Ok((Ledger::new(key, lanes, remembered, letter_limits), replays)))
    }

    /// How the destination is doing by its books.
    pub(crate) fn summary(&self, config: &DestinationConfig, ledger: &Ledger) -> DestinationStatus {
        let first_waiting = ledger.queue().keys().next().copied();
        let waiting_since = ledger.queue().values().filter_map(|waiting| waiting.first_attempt).min();
        DestinationStatus {
            enabled: config.enabled,
            paused: ledger.paused().map(|pause| Paused {
                reason: pause.reason,
                since: pause.since,
                failure: pause.failure.clone(),
                probes_at: None,
            }),
            cursor: ledger.cursor(),
            behind: self.behind(ledger.cursor()),
            waiting: ledger.queue().len() as u64,
            waiting_bytes: ledger.queue_bytes(),
            waiting_since,
            // What is due at once has been so since its event arrived.
            next_due: ledger.next_due_at().map(|due| due.max(ledger.oldest_pending().unwrap_or_default())),
            under_way: ledger.under_way() as u64,
            concurrency: 0,
            oldest_pending: ledger.oldest_pending(),
            needs_from: first_waiting.unwrap_or(u64::MAX).min(ledger.cursor()),
            last_error: None,
            problem: None,
            totals: ledger.totals().clone(),
            replayed: ledger.replayed().clone(),
            replay_waits_for_room: false,
        }
    }

    /// Shows how the destination is doing. What is shown of its books has to be durable.
    pub(crate) fn publish(&self, summary: DestinationStatus) {
        self.meters.waiting.set(summary.waiting as f64);
        let cursor = summary.cursor;
        self.cell.change(|status| {
            *status = DestinationStatus {
                last_error: status.last_error.take(),
                problem: status.problem.take(),
                replay_waits_for_room: status.replay_waits_for_room,
                // One that is begun again does not know yet when its receiver is tried next.
                paused: summary.paused.map(|paused| {
                    let before = status.paused.take().filter(|before| before.reason == paused.reason);
                    let known = before.and_then(|before| before.probes_at);
                    Paused { probes_at: paused.probes_at.or(known), ..paused }
                }),
                ..summary
            };
        });
        // The log may have grown while the books were made durable.
        self.show_behind(cursor);
    }

    /// Shows how far the log goes on behind the durable cursor, as it is now.
    pub(crate) fn show_behind(&self, cursor: u64) {
        let behind = self.behind(cursor);
        self.meters.behind.set(behind as f64);
        self.cell.change(|status| status.behind = behind);
    }

    fn behind(&self, cursor: u64) -> u64 {
        self.shared.log.bounds().end.saturating_sub(cursor)
    }

    /// Says once that the destination can't work, and why.
    pub(crate) fn report(&self, problem: &str) {
        let known = self.cell.read().problem;
        if known.as_deref() != Some(problem) {
            tracing::error!(destination = %self.key, problem, "destination can't work");
            self.cell.change(|status| status.problem = Some(problem.to_owned()));
        }
    }

    async fn hold(&mut self, config: &Arc<DestinationConfig>, problem: &str) {
        self.report(problem);
        self.until_changed(config, Some(READ_AGAIN)).await;
    }

    async fn until_settings(&mut self, config: &Arc<DestinationConfig>, problem: &str) {
        self.report(problem);
        self.until_changed(config, None).await;
    }

    /// Waits until the configuration of this destination changes, the engine stops, or the time is up.
    async fn until_changed(&mut self, config: &Arc<DestinationConfig>, at_most: Option<Duration>) {
        let (key, wanted, stop) = (self.key, &mut self.wanted, &mut self.stop);
        let changed = async {
            while wanted_config(wanted, key).is_some_and(|now| now == *config) {
                tokio::select! {
                    changed = wanted.changed() => if changed.is_err() { return },
                    stopped = stop.changed() => if stopped.is_ok() { return },
                }
            }
        };
        match at_most {
            Some(at_most) => drop(tokio::time::timeout(at_most, changed).await),
            None => changed.await,
        }
    }
}
