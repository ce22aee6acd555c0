//! Long answers: one at a time of a kind, each on a thread of its own, results in memory.
//!
//! A job only reads, so it disturbs nothing, and nothing depends on it: one that fails, even by a panic, is told to
//! whoever asked and ends nothing else.

use crate::admin::outside::{OutsideError, PreviewState};
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use tokio::sync::watch;
use tributary_model::{ErrorCode, WorkspaceId};
use tributary_profiles::preview::PreviewProgress;

/// How many jobs are remembered, the one that runs included.
const KEPT: usize = 10;

/// The previews of one kind of this process.
pub(super) struct Jobs<R> {
    inner: Mutex<Inner<R>>,
}

struct Inner<R> {
    phase: Phase,
    last_id: u64,
    /// Oldest first; only the last one may be running.
    kept: VecDeque<Job<R>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What they need is not there yet.
    #[default]
    Opening,
    Open,
    Stopping,
}

struct Job<R> {
    id: String,
    workspace: WorkspaceId,
    progress: Arc<PreviewProgress>,
    outcome: watch::Receiver<Option<Outcome<R>>>,
}

type Outcome<R> = Result<Arc<R>, (ErrorCode, String)>;

/// Why a job has no result, for whoever asked for it.
#[derive(Debug)]
pub(super) enum JobError {
    /// It was told to end.
    Cancelled,
    /// It failed; the cause is logged where it is our own fault.
    Failed(ErrorCode, Box<dyn std::error::Error + Send + Sync>),
}

impl<R> Job<R> {
    fn is_running(&self) -> bool {
        self.outcome.borrow().is_none()
    }
}

impl<R> Default for Jobs<R> {
    fn default() -> Self {
        let inner = Inner { phase: Phase::Opening, last_id: 0, kept: VecDeque::new(), thread: None };
        Self { inner: Mutex::new(inner) }
    }
}

impl<R: Send + Sync + 'static> Jobs<R> {
    /// Takes orders from then on.
    pub(super) fn open(&self) {
        let mut jobs = self.lock();
        if jobs.phase == Phase::Opening {
            jobs.phase = Phase::Open;
        }
    }

    /// Begins one; the answer is its id.
    pub(super) fn begin(
        &self,
        workspace: WorkspaceId,
        run: impl FnOnce(&PreviewProgress) -> Result<R, JobError> + Send + 'static,
    ) -> Result<String, OutsideError> {
        let mut jobs = self.lock();
        match jobs.phase {
            Phase::Opening => return Err(OutsideError::NotReady("previews")),
            Phase::Stopping => return Err(OutsideError::Unavailable("the server is stopping".to_owned())),
            Phase::Open => {}
        }
        if let Some(running) = jobs.kept.back().filter(|job| job.is_running()) {
            // Of another workspace's only that there is one.
            let which = match running.workspace == workspace {
                true => format!("preview {} is running", running.id),
                false => "a preview of another workspace is running".to_owned(),
            };
            let message = format!("{which}, and there is one at a time: try again once it has ended");
            return Err(OutsideError::Busy(message));
        }
        let progress = Arc::new(PreviewProgress::default());
        let (sender, outcome) = watch::channel(None);
        let of_job = Arc::clone(&progress);
        let thread = thread::Builder::new().name("preview".to_owned()).spawn(move || {
            sender.send_replace(Some(outcome_of(workspace, || run(&of_job))));
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

    pub(super) fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState<R>> {
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
        let is_it = |job: &Job<R>| job.workspace == workspace && job.id == id && !job.is_running();
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

    /// Waits until none runs any more, after [`Jobs::stop`]. Blocking.
    pub(super) fn join(&self) {
        let thread = self.lock().thread.take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread of a preview had panicked");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<R>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Inner<R> {
    fn find(&self, workspace: WorkspaceId, id: &str) -> Option<&Job<R>> {
        self.kept.iter().find(|job| job.workspace == workspace && job.id == id)
    }
}

fn outcome_of<R>(workspace: WorkspaceId, run: impl FnOnce() -> Result<R, JobError>) -> Outcome<R> {
    let failed = || (ErrorCode::Internal, "the preview failed; the server's log says why".to_owned());
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(Arc::new(report)),
        Ok(Err(JobError::Cancelled)) => {
            Err((ErrorCode::Unavailable, "the preview was stopped before it was done".to_owned()))
        }
        Ok(Err(JobError::Failed(code, error))) if code != ErrorCode::Internal => {
            Err((code, error.to_string()))
        }
        Ok(Err(JobError::Failed(_, error))) => {
            let error: &(dyn std::error::Error + 'static) = &*error;
            tracing::error!(%workspace, error, "a preview failed");
            Err(failed())
        }
        Err(_) => {
            tracing::error!(%workspace, "a preview panicked");
            Err(failed())
        }
    }
}
