//! A workspace's graph made again from its evidence, in a generation that is not in use yet.
//!
//! The evidence are the accepted and refused links, and the nodes that say which identifiers were anchors; it
//! reaches back further than the log. It is sorted on disk into the order of the log and taken into an empty graph
//! under the rules in force, so limits, caps and partitions decide anew. Everything else of the state is copied:
//! fragments, memberships, history, partitions, counters, other workspaces. Refused links with blocked values are copied too: they
//! tie nothing.
//!
//! Guarantees: nothing of the state in use is changed; the same state under the same rules gives the same new one,
//! byte for byte; ids of profiles that were, keep finding one as long as one of their identifiers is on any; memory is
//! bounded, but for the ids of the profiles that change.
//!
//! Left out: making the new generation the one in use, and telling destinations: both are the projector's. Which
//! audiences profiles are in now is evaluated behind it, in steps.

mod news;
mod sorting;

use crate::codec::{Checkpoint, CodecError, Value, WorkspaceState};
use crate::definitions::DefinitionsState;
use crate::graph::GraphError;
use crate::key::{Key, Tag, start};
use crate::scratch::{Moves, Scratch};
use crate::store::{Change, Store, StoreError};
use serde::Serialize;
use sorting::Sorting;
use std::path::PathBuf;
use std::sync::Arc;
use tributary_eventlog::fail_points::crash_point;
use tributary_identity::{
    Context, Dated, GraphRead, GraphStore, Inconsistent, LiveProfile, ProfileRecord, item_of_edge,
    item_of_refusal, items_of_node, take_items,
};
use tributary_model::identity_rules::{IdentifierReader, IdentityRules, RulesError};
use tributary_model::{HashKey, ProfileId, Timestamp, WorkspaceId};

/// The cache of decoded entries while a graph is made, in bytes (about).
const ENTRY_CACHE_BYTES: u64 = 32 << 20;
/// About how many bytes of entries are copied at once.
const CHUNK_BYTES: usize = 1 << 20;

/// What a rebuild changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RebuildReport {
    /// How many live profiles there were.
    pub profiles_before: u64,
    /// How many there are now.
    pub profiles_after: u64,
    /// How many of them hold identifiers that were on several.
    pub merges: u64,
    /// How many of those before have their identifiers on several now.
    pub splits: u64,
}

/// A graph can't be made again.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The state in use can't be read.
    #[error("the state in use can't be read")]
    Old(#[source] StoreError),
    /// The new state can't be written or read.
    #[error("the new state can't be written")]
    New(#[from] StoreError),
    /// The new graph contradicts itself.
    #[error("the new graph contradicts itself")]
    Graph(#[from] Inconsistent),
    /// The rules in force don't compile any more.
    #[error("the identity rules in force can't be used")]
    Rules(#[from] RulesError),
    /// The server is stopping: the next start begins anew.
    #[error("the server is stopping")]
    Stopped,
}

impl From<GraphError> for RebuildError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Store(error) => Self::New(error),
            GraphError::Inconsistent(error) => Self::Graph(error),
        }
    }
}

impl From<CodecError> for RebuildError {
    fn from(error: CodecError) -> Self {
        Self::New(error.into())
    }
}

/// What is to be made, and of what.
pub(crate) struct Rebuild {
    /// Whose graph.
    pub(crate) workspace: WorkspaceId,
    /// The record that orders it.
    pub(crate) sequence: u64,
    /// When that was ordered.
    pub(crate) received_at: Timestamp,
    /// Who ordered it.
    pub(crate) by: String,
    /// The reason that was given.
    pub(crate) reason: Option<String>,
    /// Up to where the log is applied once the new state is in use.
    pub(crate) checkpoint: Checkpoint,
    /// The key of profile ids.
    pub(crate) hash_key: HashKey,
    /// The state in use; nothing may change it meanwhile.
    pub(crate) old: Arc<dyn Store>,
    /// The new one, empty.
    pub(crate) new: Arc<dyn Store>,
    /// A directory for evidence on its way.
    pub(crate) sorting: PathBuf,
    /// Says when to give up.
    pub(crate) gives_up: Box<dyn Fn() -> bool>,
}

/// A new state that is durable.
pub(crate) struct Filled {
    /// What is told about it.
    pub(crate) report: RebuildReport,
    /// Which profiles changed.
    pub(crate) moves: Moves,
}

impl Rebuild {
    /// Fills the new state and makes it durable.
    ///
    /// # Errors
    /// If one of the states can't be used, or the server stops meanwhile.
    pub(crate) fn fill(&self) -> Result<Filled, RebuildError> {
        let before = self.workspace_before()?;
        self.copy()?;
        let mut scratch = Scratch::new(Arc::clone(&self.new), ENTRY_CACHE_BYTES);
        self.replay(&mut scratch, &before.rules)?;
        self.keep_ids(&mut scratch)?;
        scratch.flush()?;
        let moves = Moves::between((&*self.old, self.workspace), (&*self.new, self.workspace))?;
        self.tell(&mut scratch, &moves)?;
        scratch.flush()?;
        let profiles_after = self.live_profiles()?;
        let report = RebuildReport {
            profiles_before: before.profiles,
            profiles_after,
            merges: moves.merges().count() as u64,
            splits: moves.splits().count() as u64,
        };
        // Every refusal of the new graph is entered under what it names second.
        let after = WorkspaceState { profiles: profiles_after, has_unindexed_refusals: false, ..before };
        let mut last = vec![
            (Key::workspace(self.workspace), Some(Value::Workspace(Arc::new(after)).encode())),
            (Key::checkpoint(), Some(Value::Checkpoint(self.checkpoint).encode())),
        ];
        if let Some(mut definitions) = self.definitions()? {
            // Memberships are copied as they were: the steps that bring them up to date follow.
            definitions.reconcile(profiles_after);
            let value = Value::Definitions(Arc::new(definitions));
            last.push((Key::definitions(self.workspace), Some(value.encode())));
        }
        self.new.apply(&last)?;
        crash_point("rebuild::filled");
        self.new.make_durable()?;
        crash_point("rebuild::durable");
        Ok(Filled { report, moves })
    }

    /// What the state in use keeps of the workspace.
    fn workspace_before(&self) -> Result<WorkspaceState, RebuildError> {
        let stored = self.old.get(&Key::workspace(self.workspace)).map_err(RebuildError::Old)?;
        let Some(bytes) = stored else { return Ok(WorkspaceState::default()) };
        match Value::decode(Tag::Workspace, &bytes) {
            Ok(Value::Workspace(state)) => Ok(WorkspaceState::clone(&state)),
            Ok(_) => Err(RebuildError::Old(CodecError::Damaged.into())),
            Err(error) => Err(RebuildError::Old(error.into())),
        }
    }

    /// What the workspace defines, if that was ever said.
    fn definitions(&self) -> Result<Option<DefinitionsState>, RebuildError> {
        let stored = self.old.get(&Key::definitions(self.workspace)).map_err(RebuildError::Old)?;
        let Some(bytes) = stored else { return Ok(None) };
        match Value::decode(Tag::Definitions, &bytes) {
            Ok(Value::Definitions(definitions)) => Ok(Some(Arc::unwrap_or_clone(definitions))),
            Ok(_) => Err(RebuildError::Old(CodecError::Damaged.into())),
            Err(error) => Err(RebuildError::Old(error.into())),
        }
    }

    /// Copies what is not made again.
    fn copy(&self) -> Result<(), RebuildError> {
        let mut chunk: Vec<Change> = Vec::new();
        let mut bytes = 0;
        for entry in self.old.entries(&[]) {
            let (key, value) = entry.map_err(RebuildError::Old)?;
            if self.is_made_again(&key) {
                continue;
            }
            bytes += key.as_bytes().len() + value.len();
            chunk.push((key, Some(value)));
            if bytes >= CHUNK_BYTES {
                self.go_on()?;
                self.new.apply(&std::mem::take(&mut chunk))?;
                bytes = 0;
            }
        }
        Ok(self.new.apply(&chunk)?)
    }

    fn is_made_again(&self, key: &Key) -> bool {
        let of_graph = [Tag::Node, Tag::Profile, Tag::Edge, Tag::Refusal, Tag::RefusedBy];
        let is_graph = Tag::of(key.as_bytes()).is_some_and(|tag| of_graph.contains(&tag));
        *key == Key::checkpoint() || (is_graph && key.is_of(self.workspace))
    }

    /// Takes the evidence into the empty graph.
    fn replay(&self, scratch: &mut Scratch, rules: &IdentityRules) -> Result<(), RebuildError> {
        let reader = IdentifierReader::new(rules)?;
        let mut sorting = Sorting::begin(&self.sorting)?;
        self.sort(&mut sorting, scratch)?;
        sorting.for_each_event(|items: &[Dated]| -> Result<(), RebuildError> {
            let Some(first) = items.first() else { return Ok(()) };
            let context = Context {
                workspace: self.workspace,
                rules,
                hash_key: &self.hash_key,
                log_time: first.linked_at,
            };
            take_items(scratch.graph(), &context, |identifier| reader.blocks(identifier), items)?;
            self.step(scratch)
        })
    }

    /// Puts all evidence of the workspace into order. What shows nothing to replay goes into the graph as it is.
    fn sort(&self, sorting: &mut Sorting, scratch: &mut Scratch) -> Result<(), RebuildError> {
        for tag in [Tag::Node, Tag::Edge, Tag::Refusal] {
            for entry in self.old.entries(&start(self.workspace, tag)) {
                let (key, value) = entry.map_err(RebuildError::Old)?;
                let value = Value::decode(tag, &value).map_err(|error| RebuildError::Old(error.into()))?;
                self.sort_one(sorting, &key, value)?;
                self.step(scratch)?;
            }
        }
        Ok(())
    }

    fn sort_one(&self, sorting: &mut Sorting, key: &Key, value: Value) -> Result<(), RebuildError> {
        let damaged = || RebuildError::Old(CodecError::Damaged.into());
        if let Value::Node(node) = value {
            let key = key.node_named().ok_or_else(damaged)?;
            for item in items_of_node(&key, &node) {
                sorting.add(&item)?;
            }
            return Ok(());
        }
        let link = key.edge_named().ok_or_else(damaged)?;
        if let Value::Edge(edge) = value {
            sorting.add(&item_of_edge(&link, &edge))?;
        } else if let Value::Refusal(refusal) = value {
            sorting.add(&item_of_refusal(&link, &refusal))?;
        }
        Ok(())
    }

    /// Lets ids that the new graph does not know find the profile that has the identifiers of theirs.
    fn keep_ids(&self, scratch: &mut Scratch) -> Result<(), RebuildError> {
        for entry in self.old.entries(&start(self.workspace, Tag::Profile)) {
            let (key, value) = entry.map_err(RebuildError::Old)?;
            let id = key.profile_named().ok_or_else(|| RebuildError::Old(CodecError::Damaged.into()))?;
            if scratch.graph().profile(self.workspace, id)?.is_none()
                && let Some(live) = self.live_before(&value)?
                && let Some((heir, mut live)) = self.heir(scratch, &live)?
            {
                let merged = &mut Arc::make_mut(&mut live).merged;
                merged.push(id);
                merged.sort_unstable();
                scratch.graph().put_profile(self.workspace, heir, ProfileRecord::Live(live))?;
                scratch.graph().put_profile(self.workspace, id, ProfileRecord::MergedInto(heir))?;
            }
            self.step(scratch)?;
        }
        Ok(())
    }

    /// The live profile that a stored record stood for before.
    fn live_before(&self, record: &[u8]) -> Result<Option<Arc<LiveProfile>>, RebuildError> {
        match read_profile(record).map_err(RebuildError::Old)? {
            ProfileRecord::Live(live) => Ok(Some(live)),
            ProfileRecord::MergedInto(target) => {
                let stored =
                    self.old.get(&Key::profile(self.workspace, target)).map_err(RebuildError::Old)?;
                let record = stored.map(|stored| read_profile(&stored)).transpose();
                match record.map_err(RebuildError::Old)? {
                    Some(ProfileRecord::Live(live)) => Ok(Some(live)),
                    Some(ProfileRecord::MergedInto(_)) | None => Ok(None),
                }
            }
        }
    }

    /// The oldest profile now that has an identifier of this one.
    fn heir(
        &self,
        scratch: &mut Scratch,
        before: &LiveProfile,
    ) -> Result<Option<(ProfileId, Arc<LiveProfile>)>, RebuildError> {
        let graph = scratch.graph();
        let mut oldest: Option<(ProfileId, Arc<LiveProfile>)> = None;
        for member in before.members.iter() {
            let Some(node) = graph.node(self.workspace, member)? else { continue };
            let Some(ProfileRecord::Live(live)) = graph.profile(self.workspace, node.profile)? else {
                return Err(Inconsistent::NoProfile(node.profile).into());
            };
            let age = |id: ProfileId, live: &LiveProfile| (live.created.position, id);
            let is_older =
                oldest.as_ref().is_none_or(|(id, oldest)| age(node.profile, &live) < age(*id, oldest));
            if is_older {
                oldest = Some((node.profile, live));
            }
        }
        Ok(oldest)
    }

    /// How many live profiles the new graph has.
    fn live_profiles(&self) -> Result<u64, RebuildError> {
        let mut count = 0;
        for entry in self.new.entries(&start(self.workspace, Tag::Profile)) {
            count += u64::from(matches!(read_profile(&entry?.1)?, ProfileRecord::Live(_)));
        }
        Ok(count)
    }

    /// Makes room in memory now and then, and gives up where the server stops.
    fn step(&self, scratch: &mut Scratch) -> Result<(), RebuildError> {
        scratch.flush_if_large()?;
        self.go_on()
    }

    fn go_on(&self) -> Result<(), RebuildError> {
        if (self.gives_up)() { Err(RebuildError::Stopped) } else { Ok(()) }
    }
}

fn read_profile(value: &[u8]) -> Result<ProfileRecord, StoreError> {
    let Value::Profile(record) = Value::decode(Tag::Profile, value)? else {
        return Err(CodecError::Damaged.into());
    };
    Ok(Arc::unwrap_or_clone(record))
}
