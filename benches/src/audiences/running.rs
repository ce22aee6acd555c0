//! The product's own projector, on sled, in a directory.

use anyhow::{Context, bail};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tributary_eventlog::EventLog;
use tributary_eventlog::index::{IndexOptions, Indexes};
use tributary_model::HashKey;
use tributary_model::clock::Clock;
use tributary_profiles::state::State;
use tributary_profiles::{Progress, Projector, ProjectorOptions, ProjectorParts, StatePaths};

/// The key of profile ids.
pub(super) fn hash_key() -> HashKey {
    HashKey::derive(b"bench")
}

/// A projector that runs.
pub(super) struct Running {
    projector: Projector,
    progress: watch::Receiver<Progress>,
    runtime: Runtime,
}

impl Running {
    /// Starts one between these logs, with the state of this directory. The clock says when ticks are due.
    ///
    /// # Errors
    /// If the directory can't be used.
    pub(super) fn start(
        data_dir: &Path,
        events: Arc<dyn EventLog>,
        activations: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        std::fs::create_dir_all(data_dir).with_context(|| format!("{} can't be made", data_dir.display()))?;
        let database = fjall::Database::builder(data_dir.join("index")).worker_threads(2).open()?;
        let indexes = Arc::new(Indexes::open(database, IndexOptions::default())?);
        let parts = ProjectorParts { events, activations, indexes, hash_key: hash_key(), clock };
        let options = ProjectorOptions::new(StatePaths::within(data_dir));
        let projector =
            Projector::start(options, parts, |error| eprintln!("the projector failed: {error:#}"))?;
        let progress = projector.progress();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { projector, progress, runtime })
    }

    /// Appends records to a log. Answers with its end behind them.
    ///
    /// # Errors
    /// If the log refuses them.
    pub(super) fn append(&self, log: &dyn EventLog, records: Vec<Bytes>) -> anyhow::Result<u64> {
        Ok(self.runtime.block_on(log.append(records))?.end)
    }

    /// Up to where the log is visible.
    pub(super) fn visible(&self) -> u64 {
        self.progress.borrow().visible
    }

    /// Waits until the log is visible up to this sequence.
    ///
    /// # Errors
    /// If the projector ends before.
    pub(super) fn wait_for(&self, end: u64) -> anyhow::Result<()> {
        let mut progress = self.progress.clone();
        if self.runtime.block_on(progress.wait_for(|progress| progress.visible >= end)).is_err() {
            bail!("the projector ended before it had read everything");
        }
        Ok(())
    }

    /// What readers see.
    pub(super) fn state(&self) -> &State {
        self.projector.state()
    }

    /// Stops it once everything is durable: activations, indexes, a last checkpoint. Answers with the state.
    ///
    /// # Errors
    /// If something could not be written.
    pub(super) fn stop(self) -> anyhow::Result<Arc<State>> {
        self.projector.stop()?;
        Ok(Arc::clone(self.projector.state()))
    }
}
