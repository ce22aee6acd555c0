//! A change of a workspace: who asks, what it works on, and how it can fail.

use std::fmt;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tributary_eventlog::AppendError;
use tributary_model::id::TokenId;
use tributary_model::{ErrorCode, Timestamp, Workspace, WorkspaceId};

/// Who made a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Author {
    /// The first start of the installation.
    FirstStart,
    /// A start with other credentials in the environment than before.
    Environment,
    /// The bearer of a token.
    Token {
        /// The workspace of the token.
        workspace: WorkspaceId,
        /// The token.
        token: TokenId,
        /// Its name at that time.
        name: String,
    },
}

impl fmt::Display for Author {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FirstStart => out.write_str("first start"),
            Self::Environment => out.write_str("environment"),
            Self::Token { workspace, token, .. } => write!(out, "{workspace}/{token}"),
        }
    }
}

/// A change as it is asked for.
#[derive(Debug, Clone)]
pub struct Order {
    /// Which workspace.
    pub workspace: WorkspaceId,
    /// Who asks.
    pub by: Author,
    /// The version that the caller knows; any, if it does not say.
    pub expected: Option<u64>,
}

/// The next version of a workspace while it is built. Its version number and the time are set already.
#[derive(Debug)]
pub struct Draft {
    /// The workspace, to be changed.
    pub workspace: Workspace,
    /// When the change is made.
    pub at: Timestamp,
}

impl Draft {
    /// A number that nothing in this workspace had before.
    pub fn take_id(&mut self) -> u32 {
        let id = self.workspace.next_id;
        self.workspace.next_id += 1;
        id
    }
}

/// A change that was made, or found to change nothing.
#[derive(Debug)]
pub struct Changed<T> {
    /// The workspace in force now.
    pub workspace: Arc<Workspace>,
    /// What the change gave.
    pub value: T,
}

/// A change that breaks a rule. The text goes to the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What kind of failure.
    pub code: ErrorCode,
    /// What is wrong, where, and what to do.
    pub message: String,
    /// The same place for programs, where it is known that closely.
    pub fault: Option<Box<Fault>>,
}

/// Where in what was sent something is wrong, and what helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The member: `definition.all[1].compare`.
    pub place: String,
    /// Line and column in the text of that member, from 1, the column in characters.
    pub at: Option<(usize, usize)>,
    /// What to write instead.
    pub hint: Option<String>,
}

impl Refusal {
    /// A refusal of that kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), fault: None }
    }

    /// The same refusal with its place.
    #[must_use]
    pub fn at(self, fault: Fault) -> Self {
        Self { fault: Some(Box::new(fault)), ..self }
    }
}

/// A change was not made. Except after [`AppendError::Closed`] and [`StoreError::Unsettled`] nothing of it remains;
/// then a restart, or the log's next answer, decides.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It breaks a rule.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The caller knows another version than the one in force.
    #[error("the workspace is at version {in_force}, not {expected}; read it again and repeat the change")]
    OtherVersion {
        /// The version that the caller gave.
        expected: u64,
        /// The version in force.
        in_force: u64,
    },
    /// There is no such workspace.
    #[error("there is no workspace {0}")]
    NoWorkspace(WorkspaceId),
    /// The events log refused the record of the change.
    #[error("the events log refused the change")]
    Log(#[from] AppendError),
    /// The events log did not answer: the change is on its way, and comes into force once the log does.
    #[error(
        "the events log did not answer in time: this change or the one before it will come into force; read the \
         workspace again before repeating a change"
    )]
    Unsettled,
    /// The file of the version can't be written or read.
    #[error("the store of workspaces failed")]
    Storage(#[from] io::Error),
    /// A stored version is not what was written.
    #[error("the store of workspaces is damaged: {0}")]
    Damaged(String),
    /// The store has ended.
    #[error("the store of workspaces has ended")]
    Closed,
}

impl StoreError {
    /// What a caller outside is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::OtherVersion { .. } => ErrorCode::PreconditionFailed,
            Self::NoWorkspace(_) => ErrorCode::NotFound,
            Self::Log(source) => source.code(),
            Self::Storage(source) if source.kind() == io::ErrorKind::StorageFull => ErrorCode::Unavailable,
            Self::Storage(_) | Self::Damaged(_) => ErrorCode::Internal,
            Self::Unsettled | Self::Closed => ErrorCode::Unavailable,
        }
    }

    /// After how many seconds trying again makes sense, where it does.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Self::Log(source) => source.retry_after_seconds(),
            Self::Unsettled => Some(5),
            Self::Storage(_) => Some(10),
            Self::Closed => Some(1),
            Self::Refused(_) | Self::OtherVersion { .. } | Self::NoWorkspace(_) | Self::Damaged(_) => None,
        }
    }
}
