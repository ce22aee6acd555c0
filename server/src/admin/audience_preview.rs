//! Previews of audiences: what is asked, what is answered, and the part of the server that answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tributary_model::catalog::{Defined, Draft};
use tributary_model::condition::Condition;
use tributary_model::{Workspace, WorkspaceId};
use utoipa::ToSchema;

use super::audiences::{read_definition, unusable};
use super::error::ApiError;
use super::identity::wait_seconds;
use super::outside::{OutsideError, PreviewState};

/// A condition to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudiencePreviewNew {
    /// The condition, as a text or as a tree.
    #[schema(value_type = Object, example = "count(event(\"Order Completed\") within 30d) >= 2")]
    pub definition: Value,
    /// Whether profiles without a `user_id` count; no where nothing is said.
    pub include_anonymous: Option<bool>,
    /// How many seconds to wait for the answer: 25 where nothing is said, 60 at most.
    pub wait_seconds: Option<u64>,
}

impl AudiencePreviewNew {
    /// How long to wait for the answer.
    ///
    /// # Errors
    /// If that is too long.
    pub(super) fn wait_seconds(&self) -> Result<u64, ApiError> {
        wait_seconds(self.wait_seconds)
    }

    /// What is to be tried, in a workspace. Reading a condition takes a while: this is no work for a thread of requests.
    ///
    /// # Errors
    /// If the condition can't be read, or names what is not there.
    pub(super) fn order(&self, workspace: &Workspace) -> Result<AudiencePreviewOrder, ApiError> {
        let condition = read_definition(&self.definition)?;
        let defined = Arc::new(Defined::of(workspace));
        let include_anonymous = self.include_anonymous.unwrap_or(false);
        let draft = Draft::new(&defined, &condition, include_anonymous)
            .map_err(|message| unusable(workspace, &self.definition, &condition, message))?;
        let draft = Arc::new(draft);
        Ok(AudiencePreviewOrder { workspace: workspace.id, defined, condition, include_anonymous, draft })
    }
}

/// A condition that can be tried.
#[derive(Debug, Clone)]
pub struct AudiencePreviewOrder {
    /// Whose profiles.
    pub workspace: WorkspaceId,
    /// What the workspace defines.
    pub defined: Arc<Defined>,
    /// The condition.
    pub condition: Condition,
    /// Whether profiles without a `user_id` count.
    pub include_anonymous: bool,
    /// The condition, compiled.
    pub draft: Arc<Draft>,
}

/// A preview that is done.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudiencePreviewDone {
    /// Its id, if it had one: those that are answered at once have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "prv_1")]
    pub id: Option<String>,
    /// `done`.
    pub state: String,
    /// Who would be in the audience.
    #[serde(flatten)]
    pub report: AudiencePreviewReport,
}

/// Who would be in an audience of this condition.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AudiencePreviewReport {
    /// How many profiles.
    pub size: u64,
    /// Twenty of them at most.
    pub members: Vec<MemberSample>,
    /// How it overlaps with each audience that there is.
    pub overlap: Vec<OverlapRow>,
    /// As of when that is exact.
    pub as_of: PreviewMoment,
    /// `columns` if the indexes knew it, `scan` if profiles were evaluated one by one.
    #[schema(example = "columns")]
    pub answered_by: &'static str,
    /// Whether it rests on values past a limit, as the audience would.
    pub approximate: bool,
}

/// Somebody who would be in the audience.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct MemberSample {
    /// The id of the profile.
    pub profile_id: String,
    /// Its identifiers, as `namespace:value`, twenty at most.
    pub identifiers: Vec<String>,
    /// Five of its traits at most, those first that the condition names.
    #[schema(value_type = Object)]
    pub traits: BTreeMap<String, Box<RawValue>>,
}

/// What it has in common with an audience.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct OverlapRow {
    /// The audience's key.
    #[schema(example = "lapsed")]
    pub key: String,
    /// How many members that has.
    pub size: u64,
    /// How many would be in both.
    pub both: u64,
}

/// A moment of what is known.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct PreviewMoment {
    /// Records of the log below this sequence count.
    pub position: u64,
    /// The time at which windows end.
    #[schema(format = DateTime)]
    pub time: String,
}

/// Tells who would be in an audience, beside everything else. One job runs at a time.
pub trait AudiencePreviews: Send + Sync + 'static {
    /// The answer, if the indexes know it. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn at_once(&self, order: &AudiencePreviewOrder) -> Result<Option<AudiencePreviewReport>, OutsideError>;

    /// Begins a job; the answer is its id. Its result is kept until ten later ones were begun, or the server stops.
    ///
    /// # Errors
    /// [`OutsideError::Busy`] while another one runs; if the part is not ready.
    fn begin(&self, order: &AudiencePreviewOrder) -> Result<String, OutsideError>;

    /// How a job of the workspace is; `None` if there is none of that id.
    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState<AudiencePreviewReport>>;

    /// Resolves once it no longer runs; at once if there is none of that id.
    fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()>;

    /// Tells it to stop, if it runs; tells whether there is one of that id.
    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool;

    /// Forgets one that no longer runs.
    fn forget(&self, workspace: WorkspaceId, id: &str);
}
