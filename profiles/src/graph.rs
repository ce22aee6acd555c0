//! The identity graph over the state: as its readers see it, and as the one writer changes it.
//!
//! [`ReadGraph`] reads what is published. [`WriteGraph`] has a batch of changes over that: reads find what was put,
//! and nobody else sees it until the batch is published. It also keeps account of the profiles whose records
//! changed, for whoever keeps things that rest on them.

use crate::codec::{Value, WorkspaceState};
use crate::key::{Key, Tag, node_prefix};
use crate::state::{Changes, Prefixes, State};
use crate::store::StoreError;
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;
use tributary_identity::{
    Edge, EdgeKey, GraphRead, GraphStore, HistoryEntry, Inconsistent, Node, Partition, Partitions,
    ProfileRecord, Refusal,
};
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// The graph can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GraphError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored graph contradicts itself; to a reader, while a change was on its way, it may only have seemed so.
    #[error("the stored graph contradicts itself")]
    Inconsistent(#[from] Inconsistent),
}

/// Entries to read the graph from.
pub(crate) trait Entries {
    /// The entry under a key.
    ///
    /// # Errors
    /// If the store fails.
    fn entry(&self, key: &Key) -> Result<Option<Value>, StoreError>;

    /// What [`State::entries_with`] finds.
    ///
    /// # Errors
    /// If the store fails.
    fn entries_with(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        prefixes: &[Vec<u8>],
    ) -> Result<Vec<(Key, Value)>, StoreError>;

    /// The partitions of a workspace.
    ///
    /// # Errors
    /// If the store fails.
    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, StoreError>;

    /// What the projector keeps of a workspace.
    ///
    /// # Errors
    /// If the store fails.
    fn workspace(&self, id: WorkspaceId) -> Result<Arc<WorkspaceState>, StoreError> {
        Ok(match self.entry(&Key::workspace(id))? {
            Some(Value::Workspace(workspace)) => workspace,
            // The version that created the workspace has left the log: its rules are not known any more.
            _ => Arc::default(),
        })
    }
}

/// The graph in entries from somewhere.
pub(crate) struct Graph<E>(pub(crate) E);

/// The graph as published.
pub(crate) type ReadGraph = Graph<Published>;

/// The graph as the writer changes it.
pub(crate) type WriteGraph = Graph<Batch>;

/// What is published.
pub(crate) struct Published(Arc<State>);

/// What is published, and changes over it.
pub(crate) struct Batch {
    state: Arc<State>,
    changes: Changes,
    /// Partitions as they are with the changes, of workspaces that were asked for. The writer alone changes them,
    /// so they need not be read again.
    partitions: FxHashMap<WorkspaceId, Arc<Partitions>>,
    /// Workspaces whose partitions the changes add to.
    parted: Vec<WorkspaceId>,
    /// Profiles whose records were put since the account was last taken.
    changed: Vec<(WorkspaceId, ProfileId)>,
}

impl ReadGraph {
    /// The graph in this state.
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self(Published(state))
    }
}

impl WriteGraph {
    /// The graph in this state, without changes.
    pub(crate) fn new(state: Arc<State>) -> Self {
        Self(Batch {
            state,
            changes: Changes::default(),
            partitions: FxHashMap::default(),
            parted: Vec::new(),
            changed: Vec::new(),
        })
    }

    /// An entry with the changes.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.0.entry(key)
    }

    /// An entry, to be put back changed: taken out of the changes, so that one which changes twice in a batch is not
    /// copied twice.
    pub(crate) fn take(&mut self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.0.changes.remove(key) {
            Some(value) => Ok(value),
            None => self.0.state.get_for_writer(key),
        }
    }

    /// Sets an entry.
    pub(crate) fn put(&mut self, key: Key, value: Value) {
        self.0.changes.insert(key, Some(value));
    }

    /// Removes an entry.
    pub(crate) fn remove(&mut self, key: Key) {
        self.0.changes.insert(key, None);
    }

    /// A page of entries with the changes; see [`State::range`].
    pub(crate) fn range(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        from: Bound<Vec<u8>>,
        prefix: &[u8],
        limit: usize,
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.0.state.range_over(&self.0.changes, workspace, tag, from, prefix, limit)
    }

    /// How many entries were changed since the changes were last taken.
    pub(crate) fn changes(&self) -> usize {
        self.0.changes.len()
    }

    /// What the projector keeps of a workspace.
    pub(crate) fn workspace(&self, id: WorkspaceId) -> Result<Arc<WorkspaceState>, StoreError> {
        self.0.workspace(id)
    }

    /// The same, to be put back changed; see [`WriteGraph::take`].
    pub(crate) fn take_workspace(&mut self, id: WorkspaceId) -> Result<Arc<WorkspaceState>, StoreError> {
        Ok(match self.take(&Key::workspace(id))? {
            Some(Value::Workspace(workspace)) => workspace,
            _ => Arc::default(),
        })
    }

    /// Sets what the projector keeps of a workspace.
    pub(crate) fn put_workspace(&mut self, id: WorkspaceId, workspace: Arc<WorkspaceState>) {
        self.put(Key::workspace(id), Value::Workspace(workspace));
    }

    /// Removes everything of a workspace. Answers with the profiles that it had.
    pub(crate) fn clear_workspace(&mut self, id: WorkspaceId) -> Result<Vec<ProfileId>, StoreError> {
        let mut keys = self.0.state.keys_of(id)?;
        keys.extend(self.0.changes.keys().filter(|key| key.is_of(id)).cloned());
        let profiles = keys.iter().filter_map(Key::profile_named).collect();
        for key in keys {
            self.remove(key);
        }
        self.0.partitions.insert(id, Arc::default());
        self.0.parted.push(id);
        Ok(profiles)
    }

    /// The profiles whose records were put since this was last asked.
    pub(crate) fn take_changed(&mut self) -> Vec<(WorkspaceId, ProfileId)> {
        std::mem::take(&mut self.0.changed)
    }

    /// Takes the changes, to be published; the graph goes on from there once they are.
    pub(crate) fn take_batch(&mut self) -> Changes {
        self.0.changed.clear();
        std::mem::take(&mut self.0.changes)
    }

    /// Takes the names of the workspaces whose partitions were changed since this was last asked.
    pub(crate) fn take_parted(&mut self) -> Vec<WorkspaceId> {
        std::mem::take(&mut self.0.parted)
    }

    /// Whether nothing was changed since the changes were last taken.
    pub(crate) fn is_unchanged(&self) -> bool {
        self.0.changes.is_empty()
    }
}

impl Entries for Published {
    fn entry(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.0.get(key)
    }

    fn entries_with(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        prefixes: &[Vec<u8>],
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.0.entries_with(workspace, tag, prefixes)
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, StoreError> {
        self.0.partitions(workspace)
    }
}

impl Entries for Batch {
    fn entry(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.changes.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.state.get_for_writer(key),
        }
    }

    fn entries_with(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        prefixes: &[Vec<u8>],
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        let published = self.state.entries_with(workspace, tag, prefixes)?;
        let wanted = Prefixes::new(workspace, tag, prefixes);
        let mut changed = self.changes.iter().filter(|(key, _)| wanted.fit(key)).peekable();
        if changed.peek().is_none() {
            return Ok(published);
        }
        let mut found: BTreeMap<Key, Value> = published.into_iter().collect();
        for (key, value) in changed {
            match value {
                Some(value) => drop(found.insert(key.clone(), value.clone())),
                None => drop(found.remove(key)),
            }
        }
        Ok(found.into_iter().collect())
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, StoreError> {
        if let Some(known) = self.partitions.get(&workspace) {
            return Ok(Arc::clone(known));
        }
        let stored = self.state.partitions(workspace)?;
        self.partitions.insert(workspace, Arc::clone(&stored));
        Ok(stored)
    }
}

fn prefixes(nodes: &[NodeKey]) -> Vec<Vec<u8>> {
    nodes.iter().map(node_prefix).collect()
}

impl<E: Entries> GraphRead for Graph<E> {
    type Error = GraphError;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, GraphError> {
        Ok(match self.0.entry(&Key::node(workspace, key))? {
            Some(Value::Node(node)) => Some(node),
            _ => None,
        })
    }

    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, GraphError> {
        Ok(match self.0.entry(&Key::profile(workspace, id))? {
            Some(Value::Profile(profile)) => Some((*profile).clone()),
            _ => None,
        })
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, GraphError> {
        Ok(match self.0.entry(&Key::edge(workspace, key))? {
            Some(Value::Edge(edge)) => Some(edge),
            _ => None,
        })
    }

    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Refusal>>, GraphError> {
        Ok(match self.0.entry(&Key::refusal(workspace, key))? {
            Some(Value::Refusal(refusal)) => Some(refusal),
            _ => None,
        })
    }

    fn edges_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, GraphError> {
        let mut found = Vec::new();
        for (key, value) in self.0.entries_with(workspace, Tag::Edge, &prefixes(anchors))? {
            if let (Some(link), Value::Edge(edge)) = (key.edge_named(), value) {
                found.push((link, edge));
            }
        }
        Ok(found)
    }

    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, GraphError> {
        let mut found = Vec::new();
        for (key, value) in self.0.entries_with(workspace, Tag::Refusal, &prefixes(anchors))? {
            if let (Some(link), Value::Refusal(refusal)) = (key.edge_named(), value) {
                found.push((link, refusal));
            }
        }
        Ok(found)
    }

    fn refused_by(&mut self, workspace: WorkspaceId, others: &[NodeKey]) -> Result<Vec<EdgeKey>, GraphError> {
        if self.0.workspace(workspace)?.has_unindexed_refusals {
            let all = self.0.entries_with(workspace, Tag::Refusal, &[Vec::new()])?;
            let links = all.iter().filter_map(|(key, _)| key.edge_named());
            return Ok(links.filter(|link| others.contains(&link.other)).collect());
        }
        let found = self.0.entries_with(workspace, Tag::RefusedBy, &prefixes(others))?;
        Ok(found.iter().filter_map(|(key, _)| key.edge_named()).collect())
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, GraphError> {
        Ok(self.0.partitions(workspace)?)
    }

    fn history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Vec<HistoryEntry>, GraphError> {
        let mut found = Vec::new();
        for (_, value) in self.0.entries_with(workspace, Tag::History, &[profile.0.to_vec()])? {
            if let Value::History(entry) = value {
                found.push(HistoryEntry::clone(&entry));
            }
        }
        Ok(found)
    }
}

impl GraphStore for WriteGraph {
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), GraphError> {
        self.put(Key::node(workspace, &key), Value::Node(Arc::new(node)));
        Ok(())
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), GraphError> {
        self.0.changed.push((workspace, id));
        self.put(Key::profile(workspace, id), Value::Profile(Arc::new(record)));
        Ok(())
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), GraphError> {
        self.put(Key::edge(workspace, &key), Value::Edge(Arc::new(edge)));
        Ok(())
    }

    fn remove_edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), GraphError> {
        self.remove(Key::edge(workspace, key));
        Ok(())
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), GraphError> {
        self.put(Key::refused_by(workspace, &key), Value::RefusedBy);
        self.put(Key::refusal(workspace, &key), Value::Refusal(Arc::new(refusal)));
        Ok(())
    }

    fn remove_refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), GraphError> {
        self.remove(Key::refused_by(workspace, key));
        self.remove(Key::refusal(workspace, key));
        Ok(())
    }

    fn put_partition(&mut self, workspace: WorkspaceId, partition: Partition) -> Result<(), GraphError> {
        let known = self.0.partitions(workspace)?;
        let with = Partitions::clone(&known).with(partition.clone());
        self.0.partitions.insert(workspace, Arc::new(with));
        self.0.parted.push(workspace);
        self.put(Key::partition(workspace, partition.id), Value::Partition(Arc::new(partition)));
        Ok(())
    }

    fn put_history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        entry: HistoryEntry,
    ) -> Result<(), GraphError> {
        let sequence = entry.position.sequence;
        let mut ordinal = 0;
        let key = loop {
            let key = Key::history(workspace, profile, sequence, ordinal);
            if self.get(&key)?.is_none() {
                break key;
            }
            ordinal += 1;
        };
        self.put(key, Value::History(Arc::new(entry)));
        Ok(())
    }
}
