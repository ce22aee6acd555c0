//! What the admin API shows of other parts of the server, as traits that the wiring implements.

use serde::Serialize;
use serde_json::value::RawValue;
use tributary_model::{DestinationId, ErrorCode, WorkspaceId};
use utoipa::ToSchema;

use super::error::ApiError;

/// Why another part has no answer.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// The part is not ready yet; trying again later works.
    #[error("{0} not ready yet")]
    NotReady(&'static str),
    /// The cursor is not one that the part gave.
    #[error("the cursor can't be read")]
    Cursor,
    /// The part failed.
    #[error("{0} failed")]
    Failed(&'static str, #[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<OutsideError> for ApiError {
    fn from(error: OutsideError) -> Self {
        match error {
            OutsideError::NotReady(_) => Self::new(ErrorCode::Unavailable, error.to_string()).retry_after(1),
            OutsideError::Cursor => Self::invalid("`cursor`: give the value of `cursor.next` of an answer"),
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
    /// Why it was given up.
    pub reason: String,
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
    /// The status of the last response, if there was one.
    pub response_status: Option<u16>,
    /// The beginning of the last response's body.
    pub response_excerpt: String,
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
