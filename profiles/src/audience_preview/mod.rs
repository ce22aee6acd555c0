//! Who would be in an audience of this condition.
//!
//! The answer is exact: the profiles of whom a real audience, created at this moment, would say the same once it were
//! live; as of one checkpoint ([`AsOf`]).
//!
//! - [`preview_at_once`] answers what the column index and the name index can say by themselves: traits, events that
//!   were performed, counted by name, `user_id`, other audiences of such conditions.
//! - [`preview`] answers everything. What the indexes leave open of some profiles (conditions about events' fields,
//!   sequences, values that have no room in a column, accounts) is evaluated profile by profile, over the events that
//!   the log still holds, which is what a real audience would be filled from; or over what profiles keep already for
//!   other definitions that ask the same. It takes as long as that takes, says how far it is, and can be cancelled.
//!
//! Events go on meanwhile. A profile that changes is looked at again, until what is left is little enough to be looked
//! at while the state stands still for it. Memory is bounded: so many events are taken at once.

mod accounts;
mod facts;
mod log;
mod operand;
mod plan;
mod report;
mod scan;

pub use report::{AnsweredBy, AsOf, AudiencePreview, MEMBERS_SHOWN, Overlap, SampleMember};

use crate::columns::{BuildError, Held, Sides, Table};
use crate::preview::PreviewProgress;
use crate::reader::LookupError;
use crate::state::State;
use crate::store::StoreError;
use facts::{Oldest, Sources};
use plan::Planner;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::index::{IndexError, Indexes};
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::catalog::{Defined, Draft};
use tributary_model::clock::Clock;
use tributary_model::condition::Condition;
use tributary_model::record::DecodeError;
use tributary_model::{ErrorCode, HashKey, Timestamp, WorkspaceId};

/// How long a preview waits for a checkpoint with everything that was visible when it was asked for.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(5);
/// How often it looks for that.
const AGAIN: Duration = Duration::from_millis(5);

/// A preview gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum AudiencePreviewError {
    /// It was told to end.
    #[error("the preview was cancelled")]
    Cancelled,
    /// The condition names what is not there, or becomes too large.
    #[error("{0}")]
    Condition(String),
    /// The rules or definitions changed again and again, or profiles were made again.
    #[error("the workspace changed while the preview ran; try again")]
    Overtaken,
    /// Profiles change faster than they are looked at.
    #[error("too many profiles changed while the preview ran; try again when less happens")]
    Restless,
    /// The state can't be read.
    #[error("profiles can't be read")]
    Lookup(#[from] LookupError),
    /// The indexes failed.
    #[error("the indexes failed")]
    Index(#[from] IndexError),
    /// The events log can't be read.
    #[error("the events log can't be read")]
    Log(#[from] ReadError),
    /// A stored record can't be read.
    #[error("a stored record can't be read")]
    Record(#[from] DecodeError),
    /// A stored event can't be read.
    #[error("a stored event can't be read")]
    Event(#[from] tributary_model::event::NotAnEvent),
}

impl From<StoreError> for AudiencePreviewError {
    fn from(error: StoreError) -> Self {
        Self::Lookup(error.into())
    }
}

impl From<BuildError> for AudiencePreviewError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Cancelled => Self::Cancelled,
            BuildError::Lookup(error) => Self::Lookup(error),
            BuildError::Overtaken => Self::Overtaken,
            BuildError::Restless => Self::Restless,
        }
    }
}

impl AudiencePreviewError {
    /// What a caller outside is told.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Condition(_) => ErrorCode::InvalidRequest,
            Self::Cancelled | Self::Overtaken | Self::Restless | Self::Log(ReadError::Unavailable(_)) => {
                ErrorCode::Unavailable
            }
            Self::Lookup(error) => error.code(),
            Self::Index(_) | Self::Log(_) | Self::Record(_) | Self::Event(_) => ErrorCode::Internal,
        }
    }
}

/// What previews work on.
#[derive(Clone)]
pub struct AudiencePreviewParts {
    /// The projector's state.
    pub state: Arc<State>,
    /// The indexes.
    pub indexes: Arc<Indexes>,
    /// The events log.
    pub events: Arc<dyn EventLog>,
    /// The key of fragments' hashes.
    pub hash_key: HashKey,
    /// The time, where it is ahead of the log's.
    pub clock: Arc<dyn Clock>,
}

/// What is to be tried.
#[derive(Debug, Clone)]
pub struct AudiencePreviewOrder {
    /// Whose profiles.
    pub workspace: WorkspaceId,
    /// What the workspace defines, which the condition may name.
    pub defined: Arc<Defined>,
    /// The condition; checked.
    pub condition: Condition,
    /// Whether profiles without a `user_id` may be in the audience.
    pub include_anonymous: bool,
    /// Everything below this sequence of the log counts: what is visible when it is asked for.
    pub visible: u64,
    /// The condition compiled under `defined`, if that was done already.
    pub draft: Option<Arc<Draft>>,
}

/// Answers at once what the indexes can say; `None` if that takes [`preview`]. Blocking, for a second or two at most.
///
/// # Errors
/// If the condition can't be evaluated, or the state or the indexes can't be read.
pub fn preview_at_once(
    parts: &AudiencePreviewParts,
    order: &AudiencePreviewOrder,
) -> Result<Option<AudiencePreview>, AudiencePreviewError> {
    let asked = Asked::new(parts, order)?;
    if parts.state.columns().read().table(order.workspace).is_none() {
        return Ok(None);
    }
    asked.await_checkpoint();
    // The log is asked before: while the columns are held, checkpoints wait.
    let oldest = Oldest::of(&*parts.events)?;
    let held = parts.state.columns().read();
    let Some(table) = held.table(order.workspace) else { return Ok(None) };
    let looked = asked.look(&held, table, &oldest)?;
    if !looked.sides.undecided().is_empty() {
        return Ok(None);
    }
    let answer =
        report::Answer { members: &looked.sides.must, by: AnsweredBy::Columns, is_approximate: false };
    asked.report(&held, table, &looked, &answer).map(Some)
}

/// Runs a preview to its end. Blocking, for as long as it takes.
///
/// # Errors
/// If the condition can't be evaluated, something can't be read, or it is cancelled.
pub fn preview(
    parts: &AudiencePreviewParts,
    order: &AudiencePreviewOrder,
    progress: &PreviewProgress,
) -> Result<AudiencePreview, AudiencePreviewError> {
    let asked = Asked::new(parts, order)?;
    asked.await_checkpoint();
    for _ in 0..ATTEMPTS_MAX {
        parts.state.columns().build(&parts.state, order.workspace, &parts.hash_key, progress)?;
        match scan::run(&asked, progress) {
            Err(AudiencePreviewError::Overtaken) => {}
            ended => return ended,
        }
    }
    Err(AudiencePreviewError::Overtaken)
}

/// Makes the columns that previews of a workspace ask, unless they are there: so that the first one need not. Blocking,
/// for as long as reading every profile takes.
///
/// # Errors
/// If the state can't be read, or it is cancelled.
pub fn prepare(
    parts: &AudiencePreviewParts,
    workspace: WorkspaceId,
    progress: &PreviewProgress,
) -> Result<(), AudiencePreviewError> {
    Ok(parts.state.columns().build(&parts.state, workspace, &parts.hash_key, progress)?)
}

/// How often a preview begins anew whose columns were dropped.
const ATTEMPTS_MAX: usize = 3;

/// A preview that was asked for.
struct Asked<'a> {
    parts: &'a AudiencePreviewParts,
    order: &'a AudiencePreviewOrder,
    draft: Arc<Draft>,
}

/// What the indexes say at one checkpoint.
struct Looked {
    sides: Sides,
    now: Timestamp,
}

impl<'a> Asked<'a> {
    fn new(
        parts: &'a AudiencePreviewParts,
        order: &'a AudiencePreviewOrder,
    ) -> Result<Self, AudiencePreviewError> {
        let draft = match &order.draft {
            Some(draft) => Arc::clone(draft),
            None => {
                let draft = Draft::new(&order.defined, &order.condition, order.include_anonymous);
                Arc::new(draft.map_err(AudiencePreviewError::Condition)?)
            }
        };
        Ok(Self { parts, order, draft })
    }

    /// Waits until the store has what was visible when the preview was asked for. After a while it is answered as of an
    /// older checkpoint, and says so.
    fn await_checkpoint(&self) {
        let state = &self.parts.state;
        let by = Instant::now() + CHECKPOINT_WAIT;
        let is_there = || {
            let is_clean = state.dirty() == 0 && !state.is_applying();
            is_clean || state.columns().read().checkpoint().next >= self.order.visible
        };
        while !is_there() && Instant::now() < by {
            thread::park_timeout(AGAIN);
        }
    }

    /// Asks the indexes.
    fn look(&self, held: &Held<'_>, table: &Table, oldest: &Oldest) -> Result<Looked, AudiencePreviewError> {
        let checkpoint = held.checkpoint();
        let now = checkpoint.log_time.max(self.parts.clock.now());
        let sources = Sources::new(self, oldest, now)?;
        let planner = Planner {
            table,
            defined: &self.order.defined,
            indexes: &self.parts.indexes,
            workspace: self.order.workspace,
            now,
            positions: sources.first..checkpoint.next,
            counts: sources.counts,
        };
        let sides = planner.sides(&self.order.condition)?;
        let sides = if self.order.include_anonymous {
            sides
        } else {
            sides.and(&Sides::exactly(table.known().clone()))
        };
        Ok(Looked { sides, now })
    }
}
