//! Previews of identity rules.
//!
//! A preview reads the events log and writes into a directory of its own.

use super::jobs::{JobError, Jobs};
use crate::admin::identity::{BeforeAfter, BusyIdentifier, Cluster, PreviewReport, PreviewWindow, Sample};
use crate::admin::outside::{OutsideError, PreviewState};
use futures_util::future::BoxFuture;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::EventLog;
use tributary_model::workspace::IdentityRules;
use tributary_model::{HashKey, WorkspaceId};
use tributary_profiles::preview::{self, PreviewError, PreviewOrder, PreviewParts, PreviewProgress};

/// How a preview of these orders, against the rules in force, is run; blocking.
type Run = dyn Fn(IdentityRules, &PreviewOrder, &PreviewProgress) -> Result<preview::PreviewReport, PreviewError>
    + Send
    + Sync;

/// The previews of this process.
pub(super) struct Previews {
    directory: PathBuf,
    run: Arc<Run>,
    jobs: Jobs<PreviewReport>,
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
        Self { directory, run: Arc::new(run), jobs: Jobs::default() }
    }

    /// Removes what a killed process left, and takes orders from then on. Blocking.
    pub(super) fn open(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.directory)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(directory = %self.directory.display(), %error, "what a preview left can't be removed");
        }
        self.jobs.open();
    }

    /// Begins one; the answer is its id.
    pub(super) fn begin(&self, current: IdentityRules, order: PreviewOrder) -> Result<String, OutsideError> {
        let run = Arc::clone(&self.run);
        self.jobs.begin(order.workspace, move |progress| {
            run(current, &order, progress).map(shown).map_err(|error| match error {
                PreviewError::Cancelled => JobError::Cancelled,
                error @ (PreviewError::Rules(_)
                | PreviewError::Log(_)
                | PreviewError::Record(..)
                | PreviewError::Directory { .. }
                | PreviewError::Store(_)
                | PreviewError::Graph(_)) => JobError::Failed(error.code(), error.into()),
            })
        })
    }

    pub(super) fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState> {
        self.jobs.state(workspace, id)
    }

    pub(super) fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()> {
        self.jobs.ended(workspace, id)
    }

    pub(super) fn cancel(&self, workspace: WorkspaceId, id: &str) -> bool {
        self.jobs.cancel(workspace, id)
    }

    pub(super) fn forget(&self, workspace: WorkspaceId, id: &str) {
        self.jobs.forget(workspace, id);
    }

    /// Takes no more orders, and tells the one that runs to end.
    pub(super) fn stop(&self) {
        self.jobs.stop();
    }

    /// Waits until none runs any more, after [`Previews::stop`]. Blocking.
    pub(super) fn join(&self) {
        self.jobs.join();
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
