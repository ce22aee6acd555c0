//! The engine: one task for each destination, started, told of changes, and stopped together.

use crate::config::{DestinationConfig, Key, Limits, Wanted};
use crate::configured::Ways;
use crate::connect::{Addresses, Outbound, SendError};
use crate::metrics::Meters;
use crate::retry::RetryPolicy;
use crate::status::{Asked, DestinationStatus, StatusCell};
use crate::store::Store;
use crate::tokens::{TokenBook, Vault};
use crate::worker::{End, Shared, Worker, WorkerError};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::Instant;
use tributary_eventlog::EventLog;
use tributary_model::clock::Clock;
use tributary_model::{DestinationId, WorkspaceId};

mod preview;
mod queries;
mod replays;

pub use crate::store::StoreError;
pub use preview::identifiers as preview_identifiers;
pub use preview::{
    CallReport, PreviewError, PreviewOf, PreviewOrder, PreviewPayload, PreviewProfile, PreviewReport,
    PreviewRequest,
};
pub use queries::Explained;

/// What an engine is made of.
pub struct EngineOptions {
    /// Where its tasks run.
    pub runtime: Handle,
    /// The activations log.
    pub activations: Arc<dyn EventLog>,
    /// The database in which it keeps its keyspaces, named `dst_…`.
    pub db: fjall::Database,
    /// The time, for everything that outlives the process and for signatures.
    pub clock: Arc<dyn Clock>,
    /// Whether destinations may have private, loopback and link-local addresses.
    pub allow_private_destinations: bool,
    /// What seals the credentials that it has to keep.
    pub vault: Arc<dyn Vault>,
    /// When failed deliveries are tried again, and when they are given up.
    pub retry: RetryPolicy,
    /// The limits of each destination.
    pub limits: Limits,
}

/// Why an engine can't start.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// What is remembered of destinations can't be opened.
    #[error("the store of destinations can't be opened")]
    Store(#[from] StoreError),
    /// The way out can't be made.
    #[error("no connections can be made")]
    Outbound(#[source] SendError),
}

/// The tasks of all destinations. Dropping it breaks everything off, as a crash would: what was not recorded is
/// sent again. [`Engine::stop`] ends it in good order.
pub struct Engine {
    shared: Arc<Shared>,
    cells: Arc<Cells>,
    runtime: Handle,
    wanted: watch::Sender<Wanted>,
    stop: watch::Sender<Option<Instant>>,
    failure: watch::Receiver<Option<Arc<str>>>,
    supervisor: Mutex<Option<JoinHandle<()>>>,
}

type Cells = Mutex<BTreeMap<Key, Arc<StatusCell>>>;

impl Engine {
    /// Opens what is remembered. Nothing is sent before the first [`Engine::apply`]. Blocks while the store is
    /// opened.
    ///
    /// # Errors
    /// If the store can't be opened.
    pub fn start(options: EngineOptions) -> Result<Self, EngineError> {
        let limits = &options.limits;
        let store = Arc::new(Store::open(
            options.db,
            limits.record_days,
            limits.activation_days,
            limits.record_bytes,
        )?);
        let addresses = if options.allow_private_destinations { Addresses::Any } else { Addresses::Public };
        let outbound = Outbound::new(addresses, limits.connect_timeout).map_err(EngineError::Outbound)?;
        let tokens = TokenBook::new(Arc::clone(&store), options.vault);
        let ways = Ways { outbound: Arc::new(outbound), tokens: Some(Arc::new(tokens)) };
        let shared = Arc::new(Shared {
            log: options.activations,
            store,
            clock: options.clock,
            ways,
            retry: options.retry,
            limits: options.limits,
            begun: watch::Sender::new(BTreeSet::new()),
        });
        let (wanted, wanted_seen) = watch::channel(None);
        let (stop, stop_seen) = watch::channel(None);
        let (failed, failure) = watch::channel(None);
        let cells = Arc::default();
        let supervisor = Supervisor {
            shared: Arc::clone(&shared),
            cells: Arc::clone(&cells),
            wanted: wanted_seen,
            stop: stop_seen,
            failed,
            workers: JoinSet::new(),
            running: BTreeSet::new(),
        };
        let supervisor = Mutex::new(Some(options.runtime.spawn(supervisor.run())));
        Ok(Self { shared, cells, runtime: options.runtime, wanted, stop, failure, supervisor })
    }

    /// Says which destinations there shall be, over all workspaces: the whole set each time. A destination that
    /// is not in it has been deleted, and what is remembered of it goes. A destination that is switched off begins no more
    /// deliveries; those under way finish and are recorded.
    pub fn apply(&self, destinations: Vec<DestinationConfig>) {
        let wanted = destinations
            .into_iter()
            .map(|config| (config.key(), Arc::new(config)))
            .collect::<BTreeMap<_, _>>();
        self.wanted.send_modify(|now| {
            // An unchanged config stays the same value, so that only its change is noticed by its worker.
            let mut wanted = wanted;
            for (key, config) in &mut wanted {
                if let Some(same) = now.as_ref().and_then(|all| all.get(key)).filter(|same| *same == config) {
                    *config = Arc::clone(same);
                }
            }
            *now = Some(Arc::new(wanted));
        });
    }

    /// How a destination is doing; `None` if there is none, or its task has not begun yet.
    pub fn status(&self, workspace: WorkspaceId, destination: DestinationId) -> Option<DestinationStatus> {
        let key = Key { workspace, destination };
        let mut status = self.cell(key)?.read();
        if self.shared.begun.borrow().contains(&key) {
            // Whoever does not read is not told that the log grows.
            status.behind = self.shared.log.bounds().end.saturating_sub(status.cursor);
        }
        Some(status)
    }

    /// Ends the pause of a destination, or asks for a look at its receiver at once. False if there is no such destination.
    pub fn resume(&self, workspace: WorkspaceId, destination: DestinationId) -> bool {
        self.ask(Key { workspace, destination }, |asked| asked.resume = true)
    }

    /// Asks something of a destination's worker. False if there is none.
    fn ask(&self, key: Key, ask: impl FnOnce(&mut Asked)) -> bool {
        self.cell(key).map(|cell| cell.ask(ask)).is_some()
    }

    /// Runs on the engine's runtime, whoever waits.
    fn spawned<T: Send + 'static>(
        &self,
        run: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Option<T>> {
        let task = self.runtime.spawn(run);
        async move { task.await.ok() }.boxed()
    }

    fn cell(&self, key: Key) -> Option<Arc<StatusCell>> {
        self.cells().get(&key).cloned()
    }

    /// The smallest sequence of the activations log that each destination still needs, those that are off included: for
    /// warnings of what retention will take.
    pub fn needs(&self) -> Vec<(WorkspaceId, DestinationId, u64)> {
        let cells: Vec<_> = self.cells().iter().map(|(key, cell)| (*key, Arc::clone(cell))).collect();
        cells
            .into_iter()
            .map(|(key, cell)| (key.workspace, key.destination, cell.read().needs_from))
            .collect()
    }

    /// The smallest of those; the log's end if none needs anything.
    pub fn low_water(&self) -> u64 {
        let needs = self.needs().into_iter().map(|(_, _, needs_from)| needs_from);
        let end = self.shared.log.bounds().end;
        needs.min().map_or(end, |needs| needs.min(end))
    }

    /// Resolves when a task has ended that should not have, with the reason. Nothing about its deliveries can be
    /// recorded then, so the process has to end.
    pub async fn failed(&self) -> Arc<str> {
        let mut failure = self.failure.clone();
        let reason = match failure.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone(),
            // The supervisor went away without a word: as it should when the engine stops, else by a panic.
            Err(_) if self.stop.borrow().is_some() => None,
            Err(_) => Some("the task that watches over destinations was lost".into()),
        };
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    /// Starts nothing more, waits for what is under way until the deadline has passed, and records what ended.
    /// What was still under way then is sent again after the next start.
    pub async fn stop(&self, deadline: Duration) {
        self.stop.send_replace(Some(Instant::now() + deadline));
        let supervisor = self.supervisor.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(supervisor) = supervisor {
            // A panic of it has been reported as a failure.
            let _ = supervisor.await;
        }
    }

    fn cells(&self) -> std::sync::MutexGuard<'_, BTreeMap<Key, Arc<StatusCell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let supervisor = self.supervisor.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(supervisor) = supervisor.take() {
            supervisor.abort();
        }
    }
}

/// Keeps a task running for every destination that is wanted or remembered.
struct Supervisor {
    shared: Arc<Shared>,
    cells: Arc<Cells>,
    wanted: watch::Receiver<Wanted>,
    stop: watch::Receiver<Option<Instant>>,
    failed: watch::Sender<Option<Arc<str>>>,
    workers: JoinSet<(Key, Result<End, WorkerError>)>,
    running: BTreeSet<Key>,
}

impl Supervisor {
    async fn run(mut self) {
        let mut remembered = BTreeSet::new();
        let mut is_first = true;
        loop {
            let is_stopping = self.stop.borrow().is_some();
            if is_stopping && self.workers.is_empty() {
                return;
            }
            let wanted = self.wanted.borrow_and_update().clone();
            if let Some(wanted) = wanted.filter(|_| !is_stopping) {
                if std::mem::take(&mut is_first) {
                    remembered = match self.remembered().await {
                        Ok(remembered) => remembered,
                        Err(why) => return self.report(&chain(&why)).await,
                    };
                }
                for key in wanted.keys().copied().chain(std::mem::take(&mut remembered)) {
                    self.begin(key);
                }
            }
            tokio::select! {
                Some(ended) = self.workers.join_next() => {
                    if let Some(failure) = self.ended(ended) {
                        return self.report(&failure).await;
                    }
                }
                Ok(()) = self.wanted.changed() => self.wanted.mark_changed(),
                Ok(()) = self.stop.changed() => {}
                else => return,
            }
        }
    }

    async fn remembered(&self) -> Result<BTreeSet<Key>, WorkerError> {
        let store = Arc::clone(&self.shared.store);
        let keys = tokio::task::spawn_blocking(move || store.destinations()).await??;
        Ok(keys.into_iter().collect())
    }

    fn begin(&mut self, key: Key) {
        if !self.running.insert(key) {
            return;
        }
        let cell = Arc::new(StatusCell::default());
        // Until its books are read, it is not known what it needs.
        cell.change(|status| status.needs_from = u64::MAX);
        self.cells.lock().unwrap_or_else(PoisonError::into_inner).insert(key, Arc::clone(&cell));
        let worker = Worker {
            key,
            shared: Arc::clone(&self.shared),
            wanted: self.wanted.clone(),
            stop: self.stop.clone(),
            cell,
            meters: Meters::new(key),
        };
        self.workers.spawn(async move { (key, worker.run().await) });
    }

    /// Takes notice of a task's end; says why if it should not have ended.
    fn ended(&mut self, ended: Result<(Key, Result<End, WorkerError>), JoinError>) -> Option<String> {
        match ended {
            Ok((_, Ok(End::Stopped))) => None,
            Ok((key, Ok(End::Removed))) => {
                self.running.remove(&key);
                self.shared.begun.send_if_modified(|begun| begun.remove(&key));
                self.cells.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
                None
            }
            Ok((key, Err(why))) => Some(format!("destination {key}: {}", chain(&why))),
            Err(why) => Some(format!("a destination's task was lost: {why}")),
        }
    }

    /// Reports a failure and breaks every task off.
    async fn report(&mut self, failure: &str) {
        tracing::error!(failure, "the destination engine failed");
        self.workers.shutdown().await;
        self.failed.send_replace(Some(failure.into()));
    }
}

fn chain(why: &dyn Error) -> String {
    let mut text = why.to_string();
    let mut source = why.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
