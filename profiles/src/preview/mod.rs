//! What changed identity rules would make of the events log, beside what the rules in force make of it.
//!
//! One pass over the log resolves every event under both sets of rules, in two graphs of a scratch store that nobody
//! else sees; then the graphs are compared. Profile ids are the real ones, so that a person's commands find who they
//! are about: they are carried out on both graphs as far as that works, and passed over where one refuses.
//!
//! The rules in force count for the whole log, whatever was in force when an event arrived: otherwise old changes of
//! rules would be told as the new one's. Events whose records retention has removed are not there. Memory is bounded;
//! the directory is removed at the end, whatever happens, and what a crash left in it at the next preview.

mod pass;
mod progress;
mod ranking;
mod report;
mod seen;

pub use progress::PreviewProgress;
pub use report::{
    BeforeAfter, BusyIdentifier, Cluster, IDENTIFIERS_SHOWN_MAX, PreviewReport, PreviewWindow, SHOWN_MAX,
    Sample,
};

use crate::scratch::Scratch;
use crate::sled_store::SledStore;
use crate::store::StoreError;
use pass::Pass;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::identity_rules::RulesError;
use tributary_model::workspace::IdentityRules;
use tributary_model::{ErrorCode, HashKey, Timestamp, WorkspaceId};

/// sled's page cache for the two graphs, in bytes.
const STORE_CACHE_BYTES: u64 = 64 << 20;
/// The cache of decoded entries, in bytes (about).
const ENTRY_CACHE_BYTES: u64 = 48 << 20;

/// A preview gave no report.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    /// It was told to end.
    #[error("the preview was cancelled")]
    Cancelled,
    /// The rules can't be used.
    #[error("the rules can't be used: {0}")]
    Rules(#[from] RulesError),
    /// The events log can't be read.
    #[error("the events log can't be read")]
    Log(#[from] ReadError),
    /// A record's payload is not what its envelope says.
    #[error("record {0} of the events log can't be read")]
    Record(u64, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Its directory can't be used.
    #[error("the preview's directory {path} can't be used")]
    Directory {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The scratch store failed.
    #[error("the preview's store failed")]
    Store(#[from] StoreError),
    /// A graph can't be read or written.
    #[error("a graph of the preview failed")]
    Graph(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl PreviewError {
    /// What a caller outside is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Rules(_) => ErrorCode::InvalidRequest,
            Self::Cancelled | Self::Log(ReadError::Unavailable(_)) => ErrorCode::Unavailable,
            Self::Log(_) | Self::Record(..) | Self::Directory { .. } | Self::Store(_) | Self::Graph(_) => {
                ErrorCode::Internal
            }
        }
    }
}

/// What is to be tried.
#[derive(Debug, Clone)]
pub struct PreviewOrder {
    /// Whose events.
    pub workspace: WorkspaceId,
    /// The changed rules.
    pub rules: IdentityRules,
    /// Only records that arrived then or later.
    pub from: Option<Timestamp>,
    /// Only records that arrived before that.
    pub until: Option<Timestamp>,
}

/// What a preview works on.
#[derive(Clone)]
pub struct PreviewParts {
    /// Where records come from.
    pub events: Arc<dyn EventLog>,
    /// The key of profile ids.
    pub hash_key: HashKey,
    /// A directory for this preview alone: whatever is in it is removed.
    pub directory: PathBuf,
    /// The rules in force.
    pub current: IdentityRules,
    /// How far back a message id counts as a duplicate.
    pub window: Duration,
}

/// Runs a preview to its end. Blocking, for as long as reading the log takes.
///
/// # Errors
/// If the log or the directory can't be used, or the preview is cancelled.
pub fn preview(
    parts: &PreviewParts,
    order: &PreviewOrder,
    progress: &PreviewProgress,
) -> Result<PreviewReport, PreviewError> {
    // Dropped last: the store below has to be closed before.
    let directory = Directory::fresh(&parts.directory)?;
    let store = Arc::new(SledStore::open(&directory.0.join("sled"), STORE_CACHE_BYTES)?);
    let mut pass = Pass::new(parts, order, Scratch::new(store, ENTRY_CACHE_BYTES))?;
    pass.read(progress)?;
    pass.report(progress)
}

/// A directory that is removed with its content when it is no longer needed.
struct Directory(PathBuf);

impl Directory {
    /// An empty one.
    fn fresh(path: &Path) -> Result<Self, PreviewError> {
        let make = || -> io::Result<()> {
            match fs::remove_dir_all(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            fs::create_dir_all(path)
        };
        make().map_err(|source| PreviewError::Directory { path: path.to_owned(), source })?;
        Ok(Self(path.to_owned()))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(directory = %self.0.display(), %error, "what a preview wrote can't be removed");
        }
    }
}
