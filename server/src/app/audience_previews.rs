//! Previews of audiences: at once where the indexes know the answer, else one at a time as jobs.

use super::jobs::{JobError, Jobs};
use crate::admin::audience_preview::{
    AudiencePreviewOrder, AudiencePreviewReport, MemberSample, OverlapRow, PreviewMoment,
};
use crate::admin::outside::{OutsideError, PreviewState};
use crate::metrics;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use tributary_model::{ErrorCode, WorkspaceId};
use tributary_profiles::audience_preview::{
    self, AudiencePreview, AudiencePreviewError, AudiencePreviewParts, SampleMember,
};
use tributary_profiles::preview::PreviewProgress;

const NOT_READY: OutsideError = OutsideError::NotReady("the profiles");
/// How many previews ask the indexes at once.
const AT_ONCE_MAX: usize = 3;

/// The previews of audiences of this process.
#[derive(Default)]
pub(super) struct AudiencePreviews {
    parts: OnceLock<AudiencePreviewParts>,
    jobs: Jobs<AudiencePreviewReport>,
    /// How many ask the indexes just now.
    asking: AtomicUsize,
    /// By which making columns ahead is told to end.
    preparing: Arc<PreviewProgress>,
}

impl AudiencePreviews {
    /// Takes orders from then on, over these parts.
    pub(super) fn open(&self, parts: AudiencePreviewParts) {
        let _ = self.parts.set(parts);
        self.jobs.open();
    }

    /// Makes the columns of these workspaces, so that their first previews need not. Blocking, for long.
    pub(super) fn prepare(&self, workspaces: &[WorkspaceId]) {
        let Some(parts) = self.parts.get() else { return };
        for workspace in workspaces {
            match audience_preview::prepare(parts, *workspace, &self.preparing) {
                Ok(()) => {}
                Err(AudiencePreviewError::Cancelled) => return,
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::error!(%workspace, error, "columns can't be made; they are tried again when needed");
                }
            }
        }
    }

    /// Answers what the indexes know; `None` if it takes a job. Blocking.
    pub(super) fn at_once(
        &self,
        order: &AudiencePreviewOrder,
        visible: u64,
    ) -> Result<Option<AudiencePreviewReport>, OutsideError> {
        let parts = self.parts.get().ok_or(NOT_READY)?;
        let _turn = Turn::take(&self.asking)?;
        let found = audience_preview::preview_at_once(parts, &ordered(order, visible));
        let failed = |error: AudiencePreviewError| {
            if error.code() == ErrorCode::Unavailable {
                return OutsideError::Unavailable(error.to_string());
            }
            OutsideError::Failed("the preview", error.into())
        };
        found.map_err(failed)?.map(shown).transpose()
    }

    /// Begins a job; the answer is its id.
    pub(super) fn begin(&self, order: &AudiencePreviewOrder, visible: u64) -> Result<String, OutsideError> {
        let parts = self.parts.get().ok_or(NOT_READY)?.clone();
        let order = ordered(order, visible);
        self.jobs.begin(order.workspace, move |progress| {
            let found = audience_preview::preview(&parts, &order, progress).map_err(|error| {
                if matches!(error, AudiencePreviewError::Cancelled) {
                    return JobError::Cancelled;
                }
                JobError::Failed(error.code(), error.into())
            })?;
            shown(found).map_err(|error| JobError::Failed(ErrorCode::Internal, error.into()))
        })
    }

    pub(super) fn state(
        &self,
        workspace: WorkspaceId,
        id: &str,
    ) -> Option<PreviewState<AudiencePreviewReport>> {
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

    /// Takes no more orders, and tells what runs to end.
    pub(super) fn stop(&self) {
        self.preparing.cancel();
        self.jobs.stop();
    }

    /// Waits until none runs any more, after [`AudiencePreviews::stop`]. Blocking.
    pub(super) fn join(&self) {
        self.jobs.join();
    }
}

/// One of those that ask the indexes, until it is dropped.
struct Turn<'a>(&'a AtomicUsize);

impl<'a> Turn<'a> {
    /// # Errors
    /// If so many ask already.
    fn take(asking: &'a AtomicUsize) -> Result<Self, OutsideError> {
        if asking.fetch_add(1, Ordering::Relaxed) < AT_ONCE_MAX {
            return Ok(Self(asking));
        }
        asking.fetch_sub(1, Ordering::Relaxed);
        metrics::audience_preview_refused();
        let message =
            format!("{AT_ONCE_MAX} previews of audiences are under way: try again once one has ended");
        Err(OutsideError::Unavailable(message))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn ordered(order: &AudiencePreviewOrder, visible: u64) -> audience_preview::AudiencePreviewOrder {
    audience_preview::AudiencePreviewOrder {
        workspace: order.workspace,
        defined: Arc::clone(&order.defined),
        condition: order.condition.clone(),
        include_anonymous: order.include_anonymous,
        visible,
        draft: Some(Arc::clone(&order.draft)),
    }
}

/// The answer in the words of the admin API.
fn shown(found: AudiencePreview) -> Result<AudiencePreviewReport, OutsideError> {
    let members = found.members.into_iter().map(|member| {
        let SampleMember { profile, identifiers, traits } = member;
        let traits = traits.into_iter().map(|(name, json)| Ok((name, RawValue::from_string(json)?)));
        let traits = traits.collect::<Result<_, serde_json::Error>>();
        Ok(MemberSample { profile_id: profile.to_string(), identifiers, traits: traits.map_err(not_json)? })
    });
    let overlap = found.overlap.into_iter().map(|overlap| OverlapRow {
        key: overlap.key,
        size: overlap.size,
        both: overlap.both,
    });
    Ok(AudiencePreviewReport {
        size: found.size,
        members: members.collect::<Result<_, OutsideError>>()?,
        overlap: overlap.collect(),
        as_of: PreviewMoment { position: found.as_of.position, time: found.as_of.time.to_string() },
        answered_by: found.answered_by.name(),
        approximate: found.is_approximate,
    })
}

fn not_json(error: serde_json::Error) -> OutsideError {
    OutsideError::Failed("showing a trait", error.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_previews_ask_at_once() {
        let asking = AtomicUsize::new(0);
        let turns: Vec<Turn<'_>> = (0..AT_ONCE_MAX).map(|_| Turn::take(&asking).expect("a turn")).collect();
        assert!(matches!(Turn::take(&asking), Err(OutsideError::Unavailable(_))));
        drop(turns);
        assert!(Turn::take(&asking).is_ok());
    }
}
