//! Previews of audiences, from what is behind the log.

use super::Outside;
use crate::admin::audience_preview::{AudiencePreviewOrder, AudiencePreviewReport, AudiencePreviews};
use crate::admin::outside::{OutsideError, PreviewState};
use futures_util::future::BoxFuture;
use tributary_model::WorkspaceId;

impl Outside {
    /// What readers see: records below this sequence.
    fn visible(&self) -> Result<u64, OutsideError> {
        let projector = self.behind.projector().ok_or(OutsideError::NotReady("the profiles"))?;
        Ok(projector.progress().borrow().visible)
    }
}

impl AudiencePreviews for Outside {
    fn at_once(&self, order: &AudiencePreviewOrder) -> Result<Option<AudiencePreviewReport>, OutsideError> {
        let visible = self.visible()?;
        self.behind.audience_previews().at_once(order, visible)
    }

    fn begin(&self, order: &AudiencePreviewOrder) -> Result<String, OutsideError> {
        let visible = self.visible()?;
        self.behind.audience_previews().begin(order, visible)
    }

    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState<AudiencePreviewReport>> {
        self.behind.audience_previews().state(workspace, id)
    }

    fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()> {
        self.behind.audience_previews().ended(workspace, id)
    }

    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool {
        self.behind.audience_previews().cancel(workspace, id)
    }

    fn forget(&self, workspace: WorkspaceId, id: &str) {
        self.behind.audience_previews().forget(workspace, id);
    }
}
