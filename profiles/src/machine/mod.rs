//! The projector's state machine: one record of the events log after the other, and nothing else.
//!
//! It reads no clock and no configuration but the log's, so one log always gives one state and one activations
//! log, however the run was cut into restarts. What is folded where, and who decides what:
//!
//! - A duplicate is an event whose message id was first seen at a smaller position within the window, by the
//!   events' own receive times. So a record read again after a crash is processed again.
//! - Who an event belongs to is `identity`'s decision, under the rules in force at the record's position.
//! - An event is folded into the fragment of its anchor, and brings one activation; an event without identifiers
//!   brings one without a profile. A merge and an unmerge bring activations of their own.
//! - A person's command is a record like any other: what it changes is decided when it is read.
//! - Whoever an event or a command changes is evaluated for the audiences that the change can concern. What time alone
//!   changes, and every step of work that is too large for one record, is done when a tick is read; [`Machine::due`] says
//!   which tick should come next, and whoever drives the machine appends it.
//!
//! Changes gather in a batch that becomes visible whole. A rebuild is not the machine's: it says that one is due
//! ([`Applied::Rebuild`]), and is told when it is done.

mod accounts;
mod carry;
mod commands;
mod evaluate;
mod events;
mod history;
mod known;
mod past;
mod results;
mod search;
mod standing;
mod takeover;
mod ticks;
mod timers;
mod touched;

pub use results::{CommandResult, CommandResults, RESULTS_MAX};
pub use ticks::Due;
pub(crate) use ticks::READ_RECORDS_MAX;

use crate::account::LoadedAccounts;
use crate::alarms::Alarms;
use crate::codec::{Checkpoint, WorkspaceState};
use crate::graph::{GraphError, WriteGraph};
use crate::metrics;
use crate::needs::Needs;
use crate::rebuild::RebuildReport;
use crate::resolved::ResolutionCache;
use crate::state::{State, Views};
use crate::store::StoreError;
use bytes::Bytes;
use known::Known;
use rustc_hash::FxHashMap;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use ticks::Upcoming;
use timers::Horizon;
use tributary_eventlog::index::{IndexError, Indexes};
use tributary_eventlog::{EventLog, ReadError};
use tributary_identity::{GraphRead, Inconsistent};
use tributary_model::catalog::Defined;
use tributary_model::identity_rules::RulesError;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, HashKey, ProfileId, Record, RecordKind, SourceId, Workspace, WorkspaceId};

/// A record can't be projected. None of these is a client's fault: what is in the log was checked.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The indexes failed.
    #[error("the indexes failed")]
    Index(#[from] IndexError),
    /// The stored graph contradicts itself.
    #[error("the stored graph contradicts itself")]
    Graph(#[from] Inconsistent),
    /// A record's payload is not what its envelope says.
    #[error("record {0} of the events log can't be read")]
    Record(u64, #[source] Box<dyn std::error::Error + Send + Sync>),
    /// Rules that are in force can't work.
    #[error("the identity rules of workspace {0} can't be used")]
    Rules(WorkspaceId, #[source] RulesError),
    /// Older records of the events log, which a tick asks for, can't be read.
    #[error("older records of the events log can't be read")]
    Log(#[from] ReadError),
}

impl From<GraphError> for ProjectError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Store(error) => Self::Store(error),
            GraphError::Inconsistent(error) => Self::Graph(error),
        }
    }
}

/// What came of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a rebuild that is due stands in the way of the next record"]
pub enum Applied {
    /// It is applied.
    Done,
    /// The graph of a workspace is to be made again from its evidence, as of this record, which is not applied yet:
    /// the checkpoint still names it as the next. [`Machine::rebuilt`] goes on behind it.
    Rebuild {
        /// Whose graph.
        workspace: WorkspaceId,
        /// The record that orders it.
        sequence: u64,
    },
}

/// The state machine and the batch that it is working on.
pub struct Machine {
    state: Arc<State>,
    indexes: Arc<Indexes>,
    /// Where older records are read again for new definitions.
    events: Arc<dyn EventLog>,
    hash_key: HashKey,
    checkpoint: Checkpoint,
    graph: WriteGraph,
    views: Views,
    activations: Vec<Activation>,
    resolved: ResolutionCache,
    alarms: Alarms,
    known: FxHashMap<WorkspaceId, Known>,
    horizons: FxHashMap<WorkspaceId, Horizon>,
    /// What workspaces wait for.
    upcoming: BTreeMap<WorkspaceId, Upcoming>,
    /// Those for which that has to be looked at again.
    stirred: BTreeSet<WorkspaceId>,
    /// Whether the workspaces that the store has were looked at.
    knows_workspaces: bool,
    /// Accounts that the present record's evaluation has looked at. Nothing of them changes after that began.
    loaded: LoadedAccounts,
    /// What destinations name of profiles, as far as it was asked for.
    needs: FxHashMap<WorkspaceId, Arc<Needs>>,
    /// How many activations the batch had before the present record.
    told_before: usize,
    /// The source of the present record.
    source: SourceId,
}

/// How many activations, or changed entries, make a batch full.
const BATCH_ACTIVATIONS: usize = 4000;
const BATCH_CHANGES: usize = 50_000;

impl Machine {
    /// The machine as it stood at `checkpoint`, which is what `state` holds. `events` is the log that its records come
    /// from. It keeps resolutions in about so many bytes of memory; how many makes no difference to what it does.
    pub fn new(
        state: Arc<State>,
        indexes: Arc<Indexes>,
        events: Arc<dyn EventLog>,
        hash_key: HashKey,
        checkpoint: Checkpoint,
        resolution_cache_bytes: u64,
    ) -> Self {
        state.set_log_time(checkpoint.log_time);
        Self {
            graph: WriteGraph::new(Arc::clone(&state)),
            resolved: ResolutionCache::new(resolution_cache_bytes, hash_key.clone()),
            state,
            indexes,
            events,
            hash_key,
            checkpoint,
            views: Views::default(),
            activations: Vec::new(),
            alarms: Alarms::default(),
            known: FxHashMap::default(),
            horizons: FxHashMap::default(),
            upcoming: BTreeMap::new(),
            stirred: BTreeSet::new(),
            knows_workspaces: false,
            loaded: LoadedAccounts::default(),
            needs: FxHashMap::default(),
            told_before: 0,
            source: SourceId(0),
        }
    }

    /// Up to where records have been applied.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Applies the next record. After [`Applied::Rebuild`], the next call is [`Machine::rebuilt`].
    ///
    /// # Errors
    /// If the state, the indexes or the log fail, or the record can't be read; the machine must not be used again. But
    /// [`ProjectError::Log`] with [`ReadError::Unavailable`] has changed nothing: the same record may be applied again.
    ///
    /// # Panics
    /// If the record is not the next one.
    pub fn apply(&mut self, sequence: u64, frame: u64, bytes: &Bytes) -> Result<Applied, ProjectError> {
        assert_eq!(sequence, self.checkpoint.next, "records come in order, each once");
        let record = Record::decode(bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        // The record's own time counts already when it is applied.
        self.checkpoint.log_time = self.checkpoint.log_time.max(record.envelope.received_at);
        self.loaded.clear();
        self.told_before = self.activations.len();
        self.source = record.envelope.source;
        let applied = match record.envelope.kind {
            RecordKind::Event(kind) => {
                self.apply_event(sequence, frame, kind, &record)?;
                Applied::Done
            }
            RecordKind::WorkspaceVersion => {
                self.apply_version(sequence, &record)?;
                Applied::Done
            }
            RecordKind::WorkspaceDeleted => {
                self.delete_workspace(record.envelope.workspace)?;
                Applied::Done
            }
            RecordKind::Command => self.apply_command(sequence, &record)?,
            RecordKind::Tick => {
                self.apply_tick(sequence, &record)?;
                Applied::Done
            }
        };
        self.carry(record.envelope.workspace)?;
        if applied == Applied::Done {
            self.checkpoint.next = sequence + 1;
        }
        Ok(applied)
    }

    /// Goes on behind the record of a rebuild, once the state has the new graph.
    ///
    /// # Errors
    /// If the state fails.
    ///
    /// # Panics
    /// If that record is not the next one, or something is not published yet.
    pub fn rebuilt(
        &mut self,
        workspace: WorkspaceId,
        sequence: u64,
        report: RebuildReport,
    ) -> Result<(), ProjectError> {
        assert_eq!(sequence, self.checkpoint.next, "the rebuild is the next record");
        assert!(self.graph.is_unchanged(), "a rebuild is made from what is in the store");
        self.checkpoint.next = sequence + 1;
        self.resolved.clear();
        self.views.clear();
        // The new state says itself that every profile is to be evaluated again.
        self.known.clear();
        self.horizons.clear();
        self.knows_workspaces = false;
        let profiles = self.graph.workspace(workspace)?.profiles;
        note_profiles(workspace, profiles);
        self.state.results().put(sequence, CommandResult::Rebuilt(report));
        Ok(())
    }

    /// Makes the batch visible to readers and hands out its activations, in order.
    pub fn publish(&mut self) -> Vec<Activation> {
        self.put_definitions();
        let log_time = self.checkpoint.log_time;
        if self.graph.is_unchanged() {
            self.state.set_log_time(log_time);
        } else {
            let parted = self.graph.take_parted();
            let (changes, views) = (self.graph.take_batch(), std::mem::take(&mut self.views));
            self.state.publish(changes, views, &parted, log_time);
        }
        std::mem::take(&mut self.activations)
    }

    /// Whether so much was applied that the batch should be published before the next record.
    pub fn is_full(&self) -> bool {
        self.activations.len() >= BATCH_ACTIVATIONS || self.graph.changes() >= BATCH_CHANGES
    }

    fn apply_version(&mut self, sequence: u64, record: &Record) -> Result<(), ProjectError> {
        let id = record.envelope.workspace;
        let mut workspace = self.graph.take_workspace(id)?;
        let mut parted = BTreeSet::new();
        let document: Workspace = serde_json::from_slice(&record.payload)
            .map_err(|why| ProjectError::Record(sequence, why.into()))?;
        // A version that was already in force may be recorded again after a crash.
        if !workspace.deleted && document.version > workspace.version {
            self.take_needs(id, &document)?;
            self.define(sequence, id, Defined::of(&document), &workspace)?;
            let is_other = *workspace.rules != document.identity;
            let workspace = Arc::make_mut(&mut workspace);
            workspace.version = document.version;
            if is_other {
                workspace.change_rules(sequence, document.identity);
                self.resolved.clear();
                parted = self.drop_parted_views(id)?;
            }
        }
        self.graph.put_workspace(id, workspace);
        if parted.is_empty() {
            return Ok(());
        }
        // Other traits may be kept back from them now.
        self.look_at_moves(id, parted)
    }

    /// Views of profiles that were parted hold the rules by which traits are kept back. Answers with those profiles.
    fn drop_parted_views(&mut self, id: WorkspaceId) -> Result<BTreeSet<ProfileId>, ProjectError> {
        let mut parted = BTreeSet::new();
        let partitions = self.graph.partitions(id)?;
        for node in partitions.iter().flat_map(|partition| partition.sides.iter().flatten()) {
            if let Some(node) = self.graph.node(id, node)? {
                self.views.insert((id, node.profile), None);
                parted.insert(node.profile);
            }
        }
        Ok(parted)
    }

    fn delete_workspace(&mut self, id: WorkspaceId) -> Result<(), ProjectError> {
        for profile in self.graph.clear_workspace(id)? {
            self.views.insert((id, profile), None);
        }
        self.resolved.clear();
        self.known.remove(&id);
        self.needs.remove(&id);
        self.horizons.remove(&id);
        self.stirred.insert(id);
        self.alarms.forget(id);
        let left = WorkspaceState { deleted: true, ..WorkspaceState::default() };
        self.graph.put_workspace(id, Arc::new(left));
        note_profiles(id, 0);
        Ok(())
    }

    /// Drops what rests on the records of profiles that were just put. Answers with those profiles.
    fn drop_changed(&mut self) -> BTreeSet<ProfileId> {
        self.loaded.clear();
        let mut profiles = BTreeSet::new();
        for (workspace, profile) in self.graph.take_changed() {
            self.resolved.changed(workspace, profile);
            self.views.insert((workspace, profile), None);
            profiles.insert(profile);
        }
        profiles
    }
}

fn count(outcome: Outcome) {
    ::metrics::counter!(metrics::EVENTS, "stage" => "projector", "outcome" => outcome.name()).increment(1);
}

fn note_profiles(workspace: WorkspaceId, profiles: u64) {
    ::metrics::gauge!(metrics::PROFILES, "workspace" => workspace.to_string()).set(profiles as f64);
}
