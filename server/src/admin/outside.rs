//! What the admin API shows of other parts of the server, as traits that the wiring implements.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::Serialize;
use serde_json::value::RawValue;
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    AudienceId, ComputedTraitId, DestinationId, ErrorCode, ProfileId, Timestamp, WorkspaceId,
};
use utoipa::ToSchema;

use super::audience_preview::AudiencePreviews;
use super::destinations::outside::Destinations;
use super::destinations::reports::{RequestView, ResponseView};
use super::error::ApiError;
use super::exports::Exports;
use super::identity::{AlarmRow, PreviewReport, Rebuilt};
use super::people::People;

/// Why another part has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The part is not ready yet; trying again later works.
    #[error("{0} not ready yet")]
    NotReady(&'static str),
    /// The cursor is not one that the part gave.
    #[error("the cursor can't be read")]
    Cursor,
    /// Something else is under way that has to end first.
    #[error("{0}")]
    Busy(String),
    /// It is refused at the moment; trying again later works.
    #[error("{0}")]
    Unavailable(String),
    /// The part failed.
    #[error("{0} failed")]
    Failed(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<OutsideError> for ApiError {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::NotReady(_) => Self::new(ErrorCode::Unavailable, error.to_string()).retry_after(1),
            OutsideError::Cursor => Self::invalid("`cursor`: give the value of `cursor.next` of an answer"),
            OutsideError::Busy(message) => Self::new(ErrorCode::Conflict, message),
            OutsideError::Unavailable(message) => Self::new(ErrorCode::Unavailable, message).retry_after(5),
            OutsideError::Failed(..) => Self::internal(&error),
        }
    }
}

/// Some rows of a long list, newest first.
#[derive(Debug)]
pub struct Rows<T> {
    /// The rows.
    pub rows: Vec<T>,
    /// Where the next rows begin; `None` if there are no more.
    pub next: Option<String>,
}

/// An event that the collector set aside.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectRow {
    /// Its message id, if it had one that could be read.
    pub message_id: Option<String>,
    /// The id of its source.
    #[schema(example = "src_1")]
    pub source: Option<String>,
    /// When it arrived.
    #[schema(format = DateTime)]
    pub received_at: String,
    /// The stable name of the reason.
    pub reason: String,
    /// The reason in words: what was wrong, and what to do.
    pub message: String,
    /// JSON pointer to what was wrong in the event; empty for the event as a whole.
    pub pointer: String,
    /// The event as it was sent; `null` if those bytes are no JSON, or nested too deeply to be shown.
    #[schema(value_type = Object, nullable)]
    pub event: Option<Box<RawValue>>,
    /// The bytes as they were sent, in base64, where `event` can't show them.
    pub event_base64: Option<String>,
}

/// A delivery that was given up.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterRow {
    /// The id of the delivery, as the receiver saw it.
    pub delivery_id: String,
    /// The message id of the event behind it.
    pub message_id: String,
    /// The profile that it is about.
    pub profile_id: Option<String>,
    /// Why it was given up, in words.
    pub reason: String,
    /// The stable code of that; `unknown` for those from before reasons had codes.
    #[schema(example = "bad_request")]
    pub reason_code: &'static str,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried, if it was.
    #[schema(format = DateTime)]
    pub first_attempt_at: Option<String>,
    /// When it was last tried, if it was.
    #[schema(format = DateTime)]
    pub last_attempt_at: Option<String>,
    /// When it was given up.
    #[schema(format = DateTime)]
    pub given_up_at: String,
    /// The last request, if there was one.
    pub request: Option<RequestView>,
    /// The last response, if there was one.
    pub response: Option<ResponseView>,
    /// The id of the replay that sent it again, if one did.
    pub replay: Option<String>,
    /// The event as stored; `null` if it could not be read any more.
    #[schema(value_type = Object, nullable)]
    pub event: Option<Box<RawValue>>,
}

/// A full snapshot of the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SnapshotTaken {
    /// Its name.
    pub snapshot: String,
    /// Where it is, on the server's machine.
    pub path: String,
    /// Everything of the events log below this sequence is in it.
    pub position: u64,
}

/// The other parts that the admin API works with.
#[derive(Clone)]
pub struct Outside {
    /// Rejected events.
    pub rejects: Arc<dyn Rejects>,
    /// Dead letters.
    pub dead_letters: Arc<dyn DeadLetters>,
    /// Destinations at work.
    pub destinations: Arc<dyn Destinations>,
    /// Snapshots.
    pub snapshots: Arc<dyn Snapshots>,
    /// Previews of identity rules.
    pub previews: Arc<dyn Previews>,
    /// Rebuilds and alarms of the identity graph.
    pub graphs: Arc<dyn Graphs>,
    /// Who is in which audience.
    pub audiences: Arc<dyn Audiences>,
    /// Searches for people.
    pub people: Arc<dyn People>,
    /// Previews of audiences.
    pub audience_previews: Arc<dyn AudiencePreviews>,
    /// Exports of people.
    pub exports: Arc<dyn Exports>,
}

impl Outside {
    /// One part that does all of it.
    pub fn of<T>(part: &Arc<T>) -> Self
    where
        T: Rejects
            + DeadLetters
            + Destinations
            + Snapshots
            + Previews
            + Graphs
            + Audiences
            + People
            + AudiencePreviews
            + Exports,
    {
        Self {
            rejects: Arc::<T>::clone(part),
            dead_letters: Arc::<T>::clone(part),
            destinations: Arc::<T>::clone(part),
            snapshots: Arc::<T>::clone(part),
            previews: Arc::<T>::clone(part),
            graphs: Arc::<T>::clone(part),
            audiences: Arc::<T>::clone(part),
            people: Arc::<T>::clone(part),
            audience_previews: Arc::<T>::clone(part),
            exports: Arc::<T>::clone(part),
        }
    }
}

/// Finds rejected events.
pub trait Rejects: Send + Sync + 'static {
    /// Rejected events of a workspace, newest first, narrowed to one message id if that is given. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, the cursor is none, or reading fails.
    fn find(
        &self,
        workspace: WorkspaceId,
        message_id: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<RejectRow>, OutsideError>;
}

/// Finds dead letters.
pub trait DeadLetters: Send + Sync + 'static {
    /// Dead letters of a destination, newest first. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, the cursor is none, or reading fails.
    fn list(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<DeadLetterRow>, OutsideError>;
}

/// Takes full snapshots.
pub trait Snapshots: Send + Sync + 'static {
    /// Takes one and waits until it is durable. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or writing fails.
    fn take(&self) -> Result<SnapshotTaken, OutsideError>;
}

/// Changed rules, and the events that they are to be tried on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreviewOrder {
    /// The changed rules.
    pub rules: IdentityRules,
    /// Only events that arrived then or later.
    pub from: Option<Timestamp>,
    /// Only events that arrived before that.
    pub until: Option<Timestamp>,
}

/// How a preview is.
#[derive(Debug)]
pub enum PreviewState<R = PreviewReport> {
    /// It goes on.
    Running {
        /// How many records it has read.
        read: u64,
        /// How many there are to read.
        of: u64,
    },
    /// It is done.
    Done(Arc<R>),
    /// It ended without a report; the text is for the caller.
    Failed(ErrorCode, String),
}

impl<R> Clone for PreviewState<R> {
    fn clone(&self) -> Self {
        match self {
            Self::Running { read, of } => Self::Running { read: *read, of: *of },
            Self::Done(report) => Self::Done(Arc::clone(report)),
            Self::Failed(code, message) => Self::Failed(*code, message.clone()),
        }
    }
}

/// Tries changed identity rules on the log, beside everything else. One preview runs at a time.
pub trait Previews: Send + Sync + 'static {
    /// Begins a preview; the answer is its id. Its result is kept until ten later ones were begun, or the server stops.
    ///
    /// # Errors
    /// [`OutsideError::Busy`] while another one runs; if the part is not ready.
    fn begin(&self, workspace: WorkspaceId, order: PreviewOrder) -> Result<String, OutsideError>;

    /// How a preview of the workspace is; `None` if there is none of that id.
    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState>;

    /// Resolves once it no longer runs; at once if there is none of that id.
    fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()>;

    /// Tells it to stop, if it runs; tells whether there is one of that id.
    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool;

    /// Forgets one that no longer runs.
    fn forget(&self, workspace: WorkspaceId, id: &str);
}

/// The identity graphs of workspaces.
pub trait Graphs: Send + Sync + 'static {
    /// Makes the graph of a workspace again from its evidence, under the rules in force. Resolves once that is in
    /// force, or after `wait` with `None`: then it goes on, and comes into force also after a restart. `version` is
    /// the workspace's, `by` says who orders it.
    ///
    /// # Errors
    /// If the part is not ready, or the log does not take the order.
    fn rebuild(
        &self,
        workspace: WorkspaceId,
        version: u64,
        by: String,
        wait: Duration,
    ) -> BoxFuture<'static, Result<Option<Rebuilt>, OutsideError>>;

    /// Alarms of a workspace, newest first. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, the cursor is none, or reading fails.
    fn alarms(
        &self,
        workspace: WorkspaceId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<AlarmRow>, OutsideError>;
}

/// How an audience stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceStanding {
    /// The stable name of what is being done for it.
    pub stage: &'static str,
    /// How much of that is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// From when on the events are that count; `None` for all that there ever were.
    pub since: Option<Timestamp>,
    /// How many members it has.
    pub size: u64,
    /// Why it is broken.
    pub problem: Option<String>,
}

/// How a computed trait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputedStanding {
    /// The stable name of what is being done for it.
    pub stage: &'static str,
    /// How much of that is done.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// From when on the events are that count; `None` for all that there ever were.
    pub since: Option<Timestamp>,
}

/// What is told of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Its membership.
    Brief,
    /// Its traits of now, too.
    Traits,
}

/// A member of an audience.
#[derive(Clone, PartialEq, Eq)]
pub struct AudienceMember {
    /// Its profile.
    pub profile: ProfileId,
    /// Since when it is one.
    pub since: Timestamp,
    /// The identifiers with which it entered, as `namespace:value`.
    pub identifiers: Vec<String>,
    /// Whether that it is one rests on values beyond a limit.
    pub is_approximate: bool,
    /// Its traits and their values as JSON text, if they were asked for.
    pub traits: Option<Vec<(String, String)>>,
}

/// An hour in which an audience changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeHour {
    /// Its beginning.
    pub at: Timestamp,
    /// How many members there were at its end.
    pub size: u64,
    /// How many entered.
    pub entered: u64,
    /// How many left.
    pub exited: u64,
}

/// The audiences of workspaces, as the projector has them.
pub trait Audiences: Send + Sync + 'static {
    /// Resolves once the projector has read this version of the workspace, and at the latest after `wait`.
    fn has_read(&self, workspace: WorkspaceId, version: u64, wait: Duration) -> BoxFuture<'static, ()>;

    /// How an audience stands; `None` if the projector has not come to it. Blocking.
    ///
    /// # Errors
    /// If reading fails.
    fn standing(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
    ) -> Result<Option<AudienceStanding>, OutsideError>;

    /// How a computed trait stands; `None` if the projector has not come to it. Blocking.
    ///
    /// # Errors
    /// If reading fails.
    fn computed_standing(
        &self,
        workspace: WorkspaceId,
        computed: ComputedTraitId,
    ) -> Result<Option<ComputedStanding>, OutsideError>;

    /// The audiences that were deleted and still have members: their keys, and how many have yet to leave. Blocking.
    ///
    /// # Errors
    /// If reading fails.
    fn leaving(&self, workspace: WorkspaceId) -> Result<Vec<(String, u64)>, OutsideError>;

    /// Members of an audience in the order of their profiles' ids, from behind `after`. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn members(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
        after: Option<ProfileId>,
        limit: usize,
        detail: Detail,
    ) -> Result<Vec<AudienceMember>, OutsideError>;

    /// The hours from `from` on and before `to` in which an audience changed, oldest first. Blocking.
    ///
    /// # Errors
    /// If the part is not ready, or reading fails.
    fn sizes(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<SizeHour>, OutsideError>;

    /// The time that memberships are told by.
    ///
    /// # Errors
    /// If the part is not ready.
    fn now(&self) -> Result<Timestamp, OutsideError>;
}
