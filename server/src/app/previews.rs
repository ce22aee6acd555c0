//! Previews of identity rules: one at a time, each on a thread of its own, results in memory.
//!
//! A preview reads the events log and writes into a directory of its own, so it disturbs nothing, and nothing depends
//! on it: one that fails, even by a panic, is told to whoever asked and ends nothing else.

use crate::admin::identity::{BeforeAfter, BusyIdentifier, Cluster, PreviewReport, PreviewWindow, Sample};
use crate::admin::outside::{OutsideError, PreviewState};
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use std::collections::VecDeque;
use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;
use tributary_eventlog::EventLog;
use tributary_model::workspace::IdentityRules;
use tributary_model::{ErrorCode, HashKey, WorkspaceId};
use tributary_profiles::preview::{self, PreviewError, PreviewOrder, PreviewParts, PreviewProgress};

/// How many previews are remembered, the one that runs included.
const KEPT: usize = 10;

/// How a preview of these orders, against the rules in force, is run; blocking.
type Run = dyn Fn(IdentityRules, &PreviewOrder, &PreviewProgress) -> Result<preview::PreviewReport, PreviewError>
    + Send
    + Sync;

/// The previews of this process.
pub(super) struct Previews {
    directory: PathBuf,
    run: Arc<Run>,
    jobs: Mutex<Jobs>,
}

#[derive(Default)]
struct Jobs {
    phase: Phase,
    last_id: u64,
    /// Oldest first; only the last one may be running.
    kept: VecDeque<Job>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What an earlier process left may still be there.
    #[default]
    Opening,
    Open,
    Stopping,
}

struct Job {
    id: String,
    workspace: WorkspaceId,
    progress: Arc<PreviewProgress>,
    outcome: watch::Receiver<Option<Outcome>>,
}

type Outcome = Result<Arc<PreviewReport>, (ErrorCode, String)>;

impl Job {
    fn is_running(&self) -> bool {
        self.outcome.borrow().is_none()
    }
}

impl Previews {
    /// Previews over this log, in this directory; `window` is within what a repeated message id counts as a
    /// duplicate.
    pub(super) fn new(
        events: Arc<dyn EventLog>,
        hash_key: HashKey,
        directory: PathBuf,
        window: Duration,
    ) -> Self {
        let place = directory.clone();
        let run = move |current, order: &PreviewOrder, progress: &PreviewProgress| {
            let (events, hash_key) = (Arc::clone(&events), hash_key.clone());
            let parts = PreviewParts { events, hash_key, directory: place.clone(), current, window };
            preview::preview(&parts, order, progress)
        };
        Self { directory, run: Arc::new(run), jobs: Mutex::default() }
    }

    /// Removes what a killed process left, and takes orders from then on. Blocking.
    pub(super) fn open(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(directory = %self.directory.display(), %error, "what a preview left can't be removed");
        }
        let mut jobs = self.lock();
        if jobs.phase == Phase::Opening {
            jobs.phase = Phase::Open;
        }
    }

    /// Begins one; the answer is its id.
    pub(super) fn begin(&self, current: IdentityRules, order: PreviewOrder) -> Result<String, OutsideError> {
        let mut jobs = self.lock();
        match jobs.phase {
            Phase::Opening => return Err(OutsideError::NotReady("previews")),
            Phase::Stopping => return Err(OutsideError::Unavailable("the server is stopping".to_owned())),
            Phase::Open => {}
        }
        if let Some(running) = jobs.kept.back().filter(|job| job.is_running()) {
            // Of another workspace's only that there is one.
            let which = match running.workspace == order.workspace {
                true => format!("preview {} is running", running.id),
                false => "a preview of another workspace is running".to_owned(),
            };
            let message = format!("{which}, and there is one at a time: try again once it has ended");
            return Err(OutsideError::Busy(message));
        }
        let (progress, workspace) = (Arc::new(PreviewProgress::default()), order.workspace);
        let (sender, outcome) = watch::channel(None);
        let (of_job, run) = (Arc::clone(&progress), Arc::clone(&self.run));
        let thread = thread::Builder::new().name("preview".to_owned()).spawn(move || {
            sender.send_replace(Some(outcome_of(workspace, || run(current, &order, &of_job))));
        });
        let thread = thread.map_err(|error| OutsideError::Failed("starting the preview", error.into()))?;
        // The thread of the one before has told its outcome, which is the last thing that it does.
        jobs.thread = Some(thread);
        jobs.last_id += 1;
        let id = format!("prv_{}", jobs.last_id);
        jobs.kept.push_back(Job { id: id.clone(), workspace, progress, outcome });
        while jobs.kept.len() > KEPT {
            jobs.kept.pop_front();
        }
        Ok(id)
    }

    pub(super) fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState> {
        let jobs = self.lock();
        let job = jobs.find(workspace, id)?;
        let outcome = job.outcome.borrow();
        Some(match &*outcome {
            None => PreviewState::Running { read: job.progress.read(), of: job.progress.of() },
            Some(Ok(report)) => PreviewState::Done(Arc::clone(report)),
            Some(Err((code, message))) => PreviewState::Failed(*code, message.clone()),
        })
    }

    pub(super) fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()> {
        let Some(mut outcome) = self.lock().find(workspace, id).map(|job| job.outcome.clone()) else {
            return future::ready(()).boxed();
        };
        async move {
            // The thread tells an outcome whatever happens in it.
            let _ = outcome.wait_for(Option::is_some).await;
        }
        .boxed()
    }

    pub(super) fn cancel(&self, workspace: WorkspaceId, id: &str) -> bool {
        let jobs = self.lock();
        let found = jobs.find(workspace, id);
        found.inspect(|job| job.progress.cancel()).is_some()
    }

    pub(super) fn forget(&self, workspace: WorkspaceId, id: &str) {
        let is_it = |job: &Job| job.workspace == workspace && job.id == id && !job.is_running();
        self.lock().kept.retain(|job| !is_it(job));
    }

    /// Takes no more orders, and tells the one that runs to end.
    pub(super) fn stop(&self) {
        let mut jobs = self.lock();
        jobs.phase = Phase::Stopping;
        if let Some(last) = jobs.kept.back() {
            last.progress.cancel();
        }
    }

    /// Waits until none runs any more, after [`Previews::stop`]. Blocking.
    pub(super) fn join(&self) {
        let thread = self.lock().thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of a preview had panicked");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Jobs> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Jobs {
    fn find(&self, workspace: WorkspaceId, id: &str) -> Option<&Job> {
        self.kept.iter().find(|job| job.workspace == workspace && job.id == id)
    }
}

fn outcome_of(
    workspace: WorkspaceId,
    run: impl FnOnce() -> Result<preview::PreviewReport, PreviewError>,
) -> Outcome {
    let failed = || (ErrorCode::Internal, "the preview failed; the server's log says why".to_owned());
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(Arc::new(shown(report))),
        Ok(Err(PreviewError::Cancelled)) => {
            Err((ErrorCode::Unavailable, "the preview was stopped before it was done".to_owned()))
        }
        Ok(Err(error)) if error.code() != ErrorCode::Internal => Err((error.code(), error.to_string())),
        Ok(Err(error)) => {
            let error: &(dyn std::error::Error + 'static) = &error;
            tracing::error!(%workspace, error, "a preview of identity rules failed");
            Err(failed())
        }
        Err(_) => {
            tracing::error!(%workspace, "a preview of identity rules panicked");
            Err(failed())
        }
    }
}

/// The report in the words of the admin API.
fn shown(report: preview::PreviewReport) -> PreviewReport {
    let number = |number: preview::BeforeAfter| BeforeAfter { before: number.before, after: number.after };
    let cluster = |cluster: preview::Cluster| {
        let preview::Cluster { profile_id, size, identifiers } = cluster;
        Cluster { profile_id, size, identifiers }
    };
    let busy = |busy: preview::BusyIdentifier| {
        let preview::BusyIdentifier { identifier, profiles } = busy;
        BusyIdentifier { identifier, profiles }
    };
    let sample = |sample: preview::Sample| {
        let preview::Sample { change, before, after } = sample;
        Sample { change: change.to_owned(), before, after }
    };
    PreviewReport {
        events: report.events,
        window: PreviewWindow { from: report.window.from, until: report.window.until },
        profiles: number(report.profiles),
        identifiers: number(report.identifiers),
        merges: report.merges,
        splits: report.splits,
        unidentified: number(report.unidentified),
        biggest_clusters: report.biggest_clusters.into_iter().map(cluster).collect(),
        busiest_identifiers: report.busiest_identifiers.into_iter().map(busy).collect(),
        samples: report.samples.into_iter().map(sample).collect(),
    }
}

#[cfg(test)]
mod tests;
