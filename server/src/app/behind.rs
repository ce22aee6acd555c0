//! Everything behind the log: opened on a thread of its own, while events are accepted already.

use super::audience_previews::AudiencePreviews;
use super::configs;
use super::logs::Logs;
use super::previews::Previews;
use super::retention::RetentionWatch;
use crate::admin::{destinations, unsealed};
use crate::config::Config;
use crate::keys::Keys;
use crate::lifecycle::Fatal;
use crate::seal::SealingKey;
use crate::workspaces::{Snapshot, WorkspaceStore};
use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tributary_destinations::{DestinationConfig, Engine, EngineOptions};
use tributary_eventlog::index::Indexes;
use tributary_ingest::RejectLookup;
use tributary_model::clock::Clock;
use tributary_model::workspace::Destination;
use tributary_model::{DestinationId, HashKey, Position, Workspace, WorkspaceId};
use tributary_profiles::audience_preview::AudiencePreviewParts;
use tributary_profiles::desk::CommandDesk;
use tributary_profiles::{ProfileReader, Projector, ProjectorError, ProjectorParts};

/// How often retention is enforced.
const RETENTION_INTERVAL: Duration = Duration::from_secs(10);

/// What is behind the log, as far as it is open.
pub(super) struct Behind {
    config: Config,
    hash_key: HashKey,
    sealing: SealingKey,
    logs: Logs,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    /// What the events log held at the start: once that is visible, profiles are ready.
    end_at_start: u64,
    store: OnceLock<WorkspaceStore>,
    wanted: Mutex<Option<Arc<Snapshot>>>,
    engine: OnceLock<Engine>,
    rejects: OnceLock<Arc<RejectLookup>>,
    projector: OnceLock<Projector>,
    indexes: OnceLock<Arc<Indexes>>,
    reader: Arc<OnceLock<ProfileReader>>,
    desk: Arc<OnceLock<CommandDesk>>,
    previews: Previews,
    audience_previews: AudiencePreviews,
    retention: RetentionWatch,
    stopping: Arc<AtomicBool>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    failure: watch::Sender<Option<String>>,
}

type Trouble = Box<dyn Error + Send + Sync>;

impl Behind {
    pub(super) fn new(
        config: &Config,
        keys: &Keys,
        logs: &Logs,
        clock: Arc<dyn Clock>,
        fatal: Fatal,
    ) -> Self {
        let previews = Previews::new(
            Arc::clone(&logs.events),
            keys.hash_key(),
            config.data_dir.join("preview"),
            config.events.duplicate_window,
        );
        Self {
            config: config.clone(),
            hash_key: keys.hash_key(),
            sealing: keys.sealing_key(),
            logs: logs.clone(),
            clock,
            fatal,
            end_at_start: logs.events.bounds().end,
            store: OnceLock::new(),
            wanted: Mutex::default(),
            engine: OnceLock::new(),
            rejects: OnceLock::new(),
            projector: OnceLock::new(),
            indexes: OnceLock::new(),
            reader: Arc::default(),
            desk: Arc::default(),
            previews,
            audience_previews: AudiencePreviews::default(),
            retention: RetentionWatch::new(
                config.activations.retention,
                config.activations.retention_bytes_max,
            ),
            stopping: Arc::default(),
            threads: Mutex::default(),
            failure: watch::Sender::new(None),
        }
    }

    /// Where versions came into force: what destinations start from.
    pub(super) fn set_positions(&self, store: WorkspaceStore) {
        let snapshot = store.snapshot();
        if self.store.set(store).is_ok() {
            self.apply(&snapshot);
        }
    }

    /// Brings the destinations to what this snapshot says; as soon as they are open, if they are not yet.
    pub(super) fn apply(&self, snapshot: &Arc<Snapshot>) {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        *wanted = Some(Arc::clone(snapshot));
        if let (Some(engine), Some(store)) = (self.engine.get(), self.store.get()) {
            engine.apply(self.destinations(store, snapshot));
        }
    }

    /// Opens everything on threads of its own.
    pub(super) fn open(self: &Arc<Self>, runtime: Handle) -> io::Result<()> {
        self.spawn("open", move |this| {
            if let Err(error) = this.open_all(&runtime) {
                this.fail(&format!("what is behind the log can't be opened: {}", with_sources(&*error)));
            }
        })?;
        self.spawn("retention", |this| {
            while !this.stopping.load(Ordering::SeqCst) {
                let now = this.clock.now();
                if let Some(engine) = this.engine.get() {
                    this.retention.look(&*this.logs.activations, &engine.needs(), now);
                }
                this.logs.enforce_retention(now);
                thread::park_timeout(RETENTION_INTERVAL);
            }
        })
    }

    fn open_all(self: &Arc<Self>, runtime: &Handle) -> Result<(), Trouble> {
        self.previews.open();
        let directory = self.config.data_dir.join("index");
        let db = fjall::Database::builder(&directory)
            .cache_size(self.config.state.index_cache_bytes)
            .worker_threads(2)
            .open()?;
        sync_parent(&directory)?;
        let rejects = Arc::new(RejectLookup::open(Arc::clone(&self.logs.rejects), db.clone())?);
        if self.rejects.set(Arc::clone(&rejects)).is_ok() {
            self.spawn("rejects", move |this| rejects.run(&this.stopping))?;
        }
        self.open_engine(runtime, db.clone())?;
        let indexes = Arc::new(Indexes::open(db, configs::indexes(&self.config))?);
        let _ = self.indexes.set(Arc::clone(&indexes));
        let parts = ProjectorParts {
            events: Arc::clone(&self.logs.events),
            activations: Arc::clone(&self.logs.activations),
            indexes: Arc::clone(&indexes),
            hash_key: self.hash_key.clone(),
            clock: Arc::clone(&self.clock),
        };
        let this = Arc::clone(self);
        let ended = move |error: ProjectorError| {
            this.fail(&format!("the projector ended: {}", with_sources(&error)));
        };
        let projector = Projector::start(configs::projector(&self.config), parts, ended)?;
        self.audience_previews.open(AudiencePreviewParts {
            state: Arc::clone(projector.state()),
            indexes: Arc::clone(&indexes),
            events: Arc::clone(&self.logs.events),
            hash_key: self.hash_key.clone(),
            clock: Arc::clone(&self.clock),
        });
        let reader = ProfileReader::new(
            Arc::clone(projector.state()),
            indexes,
            Arc::clone(&self.logs.events),
            self.hash_key.clone(),
            Arc::clone(&self.clock),
        );
        let desk = CommandDesk::new(
            Arc::clone(&self.logs.events),
            Arc::clone(&self.clock),
            projector.progress(),
            Arc::clone(projector.state().results()),
        );
        let _ = self.reader.set(reader);
        let _ = self.desk.set(desk);
        let _ = self.projector.set(projector);
        self.spawn("columns", |this| this.audience_previews.prepare(&this.with_audiences()))?;
        Ok(())
    }

    /// The workspaces that have audiences: more will be tried in them.
    fn with_audiences(&self) -> Vec<WorkspaceId> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let workspaces = wanted.iter().flat_map(|snapshot| snapshot.workspaces());
        workspaces.filter(|workspace| !workspace.audiences.is_empty()).map(|workspace| workspace.id).collect()
    }

    fn open_engine(self: &Arc<Self>, runtime: &Handle, db: fjall::Database) -> Result<(), Trouble> {
        let engine = Engine::start(EngineOptions {
            runtime: runtime.clone(),
            activations: Arc::clone(&self.logs.activations),
            db,
            clock: Arc::clone(&self.clock),
            allow_private_destinations: self.config.allow_private_destinations,
            vault: Arc::new(self.sealing.clone()),
            retry: configs::retries(&self.config),
            limits: configs::destination_limits(&self.config),
        })?;
        // Under the lock, so that no change falls between the two. What is delivered can be asked about before it is.
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let engine = self.engine.get_or_init(|| engine);
        if let (Some(snapshot), Some(store)) = (&*wanted, self.store.get()) {
            engine.apply(self.destinations(store, snapshot));
        }
        drop(wanted);
        let this = Arc::clone(self);
        runtime.spawn(async move {
            if let Some(engine) = this.engine.get() {
                let reason = engine.failed().await;
                this.fail(&format!("the destinations ended: {reason}"));
            }
        });
        Ok(())
    }

    /// What the engine is to run: every destination of every workspace, its secrets opened. One left out would
    /// count as deleted, so one whose secrets can't be opened is parked instead.
    fn destinations(&self, store: &WorkspaceStore, snapshot: &Snapshot) -> Vec<DestinationConfig> {
        let all = snapshot.workspaces().iter().flat_map(|workspace| {
            workspace.destinations.iter().map(move |destination| (workspace, destination))
        });
        all.map(|(workspace, destination)| self.destination(store, workspace, destination)).collect()
    }

    fn destination(
        &self,
        store: &WorkspaceStore,
        workspace: &Workspace,
        destination: &Destination,
    ) -> DestinationConfig {
        let position = |version| {
            store.position_of(workspace.id, version).unwrap_or_else(|error| {
                // Without it, what belongs to the destination can't be told from what does not.
                self.fail(&format!("the position of a version can't be read: {}", with_sources(&error)));
                Position::at(u64::MAX)
            })
        };
        let settings = unsealed(&self.sealing, workspace.id, destination).map_err(|error| {
            let error = with_sources(&error);
            let (workspace, destination) = (workspace.id, destination.id);
            tracing::error!(%workspace, %destination, %error, "this destination's secrets can't be opened: it is parked");
        });
        let is_open = settings.is_ok();
        let config = destinations::config(workspace, destination, settings.unwrap_or_default());
        DestinationConfig {
            enabled: destination.enabled && is_open,
            starts_after: position(destination.created_version),
            skip_through: destination.resumed_version.map(position),
            // Those that it asks for: whatever else comes and goes is no change of it.
            audiences: config.audiences.intersection(&destination.needs.audiences).cloned().collect(),
            ..config
        }
    }

    pub(super) fn reader(&self) -> Arc<OnceLock<ProfileReader>> {
        Arc::clone(&self.reader)
    }

    pub(super) fn desk(&self) -> Arc<OnceLock<CommandDesk>> {
        Arc::clone(&self.desk)
    }

    pub(super) fn previews(&self) -> &Previews {
        &self.previews
    }

    pub(super) fn audience_previews(&self) -> &AudiencePreviews {
        &self.audience_previews
    }

    pub(super) fn engine(&self) -> Option<&Engine> {
        self.engine.get()
    }

    /// The share of the activations' retention that is used by what a destination still needs.
    pub(super) fn retention_used(&self, workspace: WorkspaceId, destination: DestinationId) -> f64 {
        self.retention.used(workspace, destination)
    }

    pub(super) fn indexes(&self) -> Option<&Indexes> {
        self.indexes.get().map(|indexes| &**indexes)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn rejects(&self) -> Option<&RejectLookup> {
        self.rejects.get().map(|lookup| &**lookup)
    }

    pub(super) fn projector(&self) -> Option<&Projector> {
        self.projector.get()
    }

    /// Whether profile reads show everything that the log held at the start; if not, why.
    pub(super) fn profiles_ready(&self) -> Result<(), String> {
        let Some(projector) = self.projector.get() else { return Err("profiles are being opened".into()) };
        let progress = projector.progress().borrow().clone();
        if progress.visible >= self.end_at_start {
            return Ok(());
        }
        let (visible, end) = (progress.visible, self.end_at_start);
        let reading = format!("profiles are being read from the log: {visible} of {end} records");
        Err(progress.rebuilt.map_or(reading.clone(), |why| format!("{reading}; {why}")))
    }

    pub(super) async fn failed(&self) -> String {
        let mut failure = self.failure.subscribe();
        let reason = failure.wait_for(Option::is_some).await;
        reason.ok().and_then(|reason| reason.clone()).unwrap_or_default()
    }

    pub(super) async fn stop(self: &Arc<Self>, deliveries: Duration) -> Result<(), ProjectorError> {
        self.stopping.store(true, Ordering::SeqCst);
        self.previews.stop();
        self.audience_previews.stop();
        if let Some(engine) = self.engine.get() {
            engine.stop(deliveries).await;
        }
        let this = Arc::clone(self);
        super::blocking(move || {
            this.previews.join();
            this.audience_previews.join();
            let threads = std::mem::take(&mut *this.threads.lock().unwrap_or_else(PoisonError::into_inner));
            for thread in threads {
                thread.thread().unpark();
                if thread.join().is_err() {
                    tracing::error!("a thread had panicked");
                }
            }
            this.projector.get().map_or(Ok(()), Projector::stop)
        })
        .await
    }

    fn spawn(self: &Arc<Self>, name: &str, run: impl FnOnce(&Arc<Self>) + Send + 'static) -> io::Result<()> {
        let this = Arc::clone(self);
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || {
            let run = std::panic::AssertUnwindSafe(|| run(&this));
            if std::panic::catch_unwind(run).is_err() {
                this.fail("a thread behind the log panicked");
            }
        })?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    fn fail(&self, reason: &str) {
        self.failure.send_replace(Some(reason.to_owned()));
        (self.fatal)(reason);
    }
}

/// A directory that was just made survives a loss of power only once its parent is synced.
fn sync_parent(directory: &Path) -> io::Result<()> {
    match directory.parent() {
        Some(parent) => std::fs::File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn with_sources(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
