//! The graph in memory: for tests, and for projections that are small enough or may be slow.
//!
//! Guarantees: two graphs are equal exactly if everything stored in them is; iteration is in order of the
//! keys. Left out: limits on memory, durability.

use crate::graph::{Edge, EdgeKey, HistoryEntry, Inconsistent, Node, ProfileRecord, Refusal};
use crate::partition::{Partition, Partitions};
use crate::store::{GraphRead, GraphStore};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;

/// What hangs on a node, sorted by the other end: few, for nearly every node.
type Ends<V> = FxHashMap<NodeKey, Vec<(NodeKey, V)>>;

/// The graph of one workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Workspace {
    nodes: FxHashMap<NodeKey, Arc<Node>>,
    profiles: FxHashMap<ProfileId, ProfileRecord>,
    edges: Ends<Arc<Edge>>,
    refusals: Ends<Arc<Refusal>>,
    refused_by: Ends<()>,
    partitions: Arc<Partitions>,
    history: FxHashMap<ProfileId, Vec<HistoryEntry>>,
}

/// A graph of any number of workspaces in hash maps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryGraph {
    workspaces: FxHashMap<WorkspaceId, Workspace>,
}

impl MemoryGraph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every node of a workspace, by key.
    pub fn nodes(&self, workspace: WorkspaceId) -> impl Iterator<Item = (&NodeKey, &Node)> {
        let mut all: Vec<_> = self.of(workspace).into_iter().flat_map(|of| &of.nodes).collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all.into_iter().map(|(key, node)| (key, &**node))
    }

    /// Every profile record of a workspace, by id; those that were merged away included.
    pub fn profiles(&self, workspace: WorkspaceId) -> impl Iterator<Item = (ProfileId, &ProfileRecord)> {
        let mut all: Vec<_> = self.of(workspace).into_iter().flat_map(|of| &of.profiles).collect();
        all.sort_unstable_by_key(|(id, _)| **id);
        all.into_iter().map(|(id, record)| (*id, record))
    }

    /// Every edge of a workspace, by key.
    pub fn edges(&self, workspace: WorkspaceId) -> impl Iterator<Item = (EdgeKey, &Edge)> {
        let edges = self.of(workspace).into_iter().flat_map(|of| sorted(&of.edges));
        edges.map(|(key, edge)| (key, &**edge))
    }

    /// Every refused link of a workspace, by key.
    pub fn refusals(&self, workspace: WorkspaceId) -> impl Iterator<Item = (EdgeKey, &Refusal)> {
        let refusals = self.of(workspace).into_iter().flat_map(|of| sorted(&of.refusals));
        refusals.map(|(key, refusal)| (key, &**refusal))
    }

    /// Forgets everything of a workspace.
    pub fn remove_workspace(&mut self, workspace: WorkspaceId) {
        self.workspaces.remove(&workspace);
    }

    fn of(&self, workspace: WorkspaceId) -> Option<&Workspace> {
        self.workspaces.get(&workspace)
    }

    fn of_mut(&mut self, workspace: WorkspaceId) -> &mut Workspace {
        self.workspaces.entry(workspace).or_default()
    }
}

fn sorted<V>(ends: &Ends<V>) -> impl Iterator<Item = (EdgeKey, &V)> {
    let mut all: Vec<_> = ends.iter().collect();
    all.sort_unstable_by_key(|(anchor, _)| *anchor);
    all.into_iter().flat_map(|(anchor, others)| {
        others.iter().map(|(other, value)| (EdgeKey { anchor: anchor.clone(), other: other.clone() }, value))
    })
}

fn get<'a, V>(ends: &'a Ends<V>, one: &NodeKey, other: &NodeKey) -> Option<&'a V> {
    let others = ends.get(one)?;
    let place = others.binary_search_by(|(have, _)| have.cmp(other)).ok()?;
    others.get(place).map(|(_, value)| value)
}

fn put<V>(ends: &mut Ends<V>, one: NodeKey, other: NodeKey, value: V) {
    let others = ends.entry(one).or_default();
    match others.binary_search_by(|(have, _)| have.cmp(&other)) {
        Ok(place) => others[place].1 = value,
        Err(place) => others.insert(place, (other, value)),
    }
}

fn remove<V>(ends: &mut Ends<V>, one: &NodeKey, other: &NodeKey) {
    let Some(others) = ends.get_mut(one) else { return };
    others.retain(|(have, _)| have != other);
    if others.is_empty() {
        ends.remove(one);
    }
}

fn all_of<V: Clone>(ends: &Ends<V>, anchors: &[NodeKey]) -> Vec<(EdgeKey, V)> {
    let found = anchors.iter().filter_map(|anchor| ends.get_key_value(anchor));
    found
        .flat_map(|(anchor, others)| {
            others.iter().map(|(other, value)| {
                (EdgeKey { anchor: anchor.clone(), other: other.clone() }, value.clone())
            })
        })
        .collect()
}

impl GraphRead for MemoryGraph {
    type Error = Inconsistent;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, Inconsistent> {
        Ok(self.of(workspace).and_then(|of| of.nodes.get(key)).cloned())
    }

    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, Inconsistent> {
        Ok(self.of(workspace).and_then(|of| of.profiles.get(&id)).cloned())
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, Inconsistent> {
        Ok(self.of(workspace).and_then(|of| get(&of.edges, &key.anchor, &key.other)).cloned())
    }

    fn refusal(
        &mut self,
        workspace: WorkspaceId,
        key: &EdgeKey,
    ) -> Result<Option<Arc<Refusal>>, Inconsistent> {
        Ok(self.of(workspace).and_then(|of| get(&of.refusals, &key.anchor, &key.other)).cloned())
    }

    fn edges_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, Inconsistent> {
        Ok(self.of(workspace).map(|of| all_of(&of.edges, anchors)).unwrap_or_default())
    }

    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, Inconsistent> {
        Ok(self.of(workspace).map(|of| all_of(&of.refusals, anchors)).unwrap_or_default())
    }

    fn refused_by(
        &mut self,
        workspace: WorkspaceId,
        others: &[NodeKey],
    ) -> Result<Vec<EdgeKey>, Inconsistent> {
        let found = self.of(workspace).map(|of| all_of(&of.refused_by, others)).unwrap_or_default();
        // Kept the other way round.
        Ok(found.into_iter().map(|(key, ())| EdgeKey { anchor: key.other, other: key.anchor }).collect())
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, Inconsistent> {
        Ok(self.of(workspace).map(|of| Arc::clone(&of.partitions)).unwrap_or_default())
    }

    fn history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Vec<HistoryEntry>, Inconsistent> {
        Ok(self.of(workspace).and_then(|of| of.history.get(&profile)).cloned().unwrap_or_default())
    }
}

impl GraphStore for MemoryGraph {
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), Inconsistent> {
        self.of_mut(workspace).nodes.insert(key, Arc::new(node));
        Ok(())
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), Inconsistent> {
        self.of_mut(workspace).profiles.insert(id, record);
        Ok(())
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), Inconsistent> {
        put(&mut self.of_mut(workspace).edges, key.anchor, key.other, Arc::new(edge));
        Ok(())
    }

    fn remove_edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), Inconsistent> {
        remove(&mut self.of_mut(workspace).edges, &key.anchor, &key.other);
        Ok(())
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), Inconsistent> {
        let of = self.of_mut(workspace);
        put(&mut of.refused_by, key.other.clone(), key.anchor.clone(), ());
        put(&mut of.refusals, key.anchor, key.other, Arc::new(refusal));
        Ok(())
    }

    fn remove_refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), Inconsistent> {
        let of = self.of_mut(workspace);
        remove(&mut of.refused_by, &key.other, &key.anchor);
        remove(&mut of.refusals, &key.anchor, &key.other);
        Ok(())
    }

    fn put_partition(&mut self, workspace: WorkspaceId, partition: Partition) -> Result<(), Inconsistent> {
        Arc::make_mut(&mut self.of_mut(workspace).partitions).add(partition);
        Ok(())
    }

    fn put_history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        entry: HistoryEntry,
    ) -> Result<(), Inconsistent> {
        self.of_mut(workspace).history.entry(profile).or_default().push(entry);
        Ok(())
    }
}
