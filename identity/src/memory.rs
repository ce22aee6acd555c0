//! The graph in memory: for tests, and for projections that are small enough or may be slow.
//!
//! Guarantees: two graphs are equal exactly if everything stored in them is; iteration is in order of the
//! keys. Left out: limits on memory, durability.

use crate::graph::{Edge, EdgeKey, GraphStore, Inconsistent, Node, ProfileRecord, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;

type Stored<K, V> = BTreeMap<(WorkspaceId, K), V>;

/// A graph of any number of workspaces in sorted maps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MemoryGraph {
    nodes: Stored<NodeKey, Arc<Node>>,
    profiles: Stored<ProfileId, ProfileRecord>,
    edges: Stored<EdgeKey, Arc<Edge>>,
    refusals: Stored<EdgeKey, Arc<Refusal>>,
}

impl MemoryGraph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Every node of a workspace, by key.
    pub fn nodes(&self, workspace: WorkspaceId) -> impl Iterator<Item = (&NodeKey, &Node)> {
        of(&self.nodes, workspace).map(|(key, node)| (key, &**node))
    }

    /// Every profile record of a workspace, by id; those that were merged away included.
    pub fn profiles(&self, workspace: WorkspaceId) -> impl Iterator<Item = (ProfileId, &ProfileRecord)> {
        of(&self.profiles, workspace).map(|(id, record)| (*id, record))
    }

    /// Every edge of a workspace, by key.
    pub fn edges(&self, workspace: WorkspaceId) -> impl Iterator<Item = (&EdgeKey, &Edge)> {
        of(&self.edges, workspace).map(|(key, edge)| (key, &**edge))
    }

    /// Every refused link of a workspace, by key.
    pub fn refusals(&self, workspace: WorkspaceId) -> impl Iterator<Item = (&EdgeKey, &Refusal)> {
        of(&self.refusals, workspace).map(|(key, refusal)| (key, &**refusal))
    }

    /// Forgets everything of a workspace.
    pub fn remove_workspace(&mut self, workspace: WorkspaceId) {
        self.nodes.retain(|(owner, _), _| *owner != workspace);
        self.profiles.retain(|(owner, _), _| *owner != workspace);
        self.edges.retain(|(owner, _), _| *owner != workspace);
        self.refusals.retain(|(owner, _), _| *owner != workspace);
    }
}

fn of<K, V>(stored: &Stored<K, V>, workspace: WorkspaceId) -> impl Iterator<Item = (&K, &V)> {
    stored.iter().filter(move |((owner, _), _)| *owner == workspace).map(|((_, key), value)| (key, value))
}

impl GraphStore for MemoryGraph {
    type Error = Inconsistent;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, Inconsistent> {
        Ok(self.nodes.get(&(workspace, key.clone())).cloned())
    }

    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, Inconsistent> {
        Ok(self.profiles.get(&(workspace, id)).cloned())
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, Inconsistent> {
        Ok(self.edges.get(&(workspace, key.clone())).cloned())
    }

    fn refusal(
        &mut self,
        workspace: WorkspaceId,
        key: &EdgeKey,
    ) -> Result<Option<Arc<Refusal>>, Inconsistent> {
        Ok(self.refusals.get(&(workspace, key.clone())).cloned())
    }

    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), Inconsistent> {
        self.nodes.insert((workspace, key), Arc::new(node));
        Ok(())
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), Inconsistent> {
        self.profiles.insert((workspace, id), record);
        Ok(())
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), Inconsistent> {
        self.edges.insert((workspace, key), Arc::new(edge));
        Ok(())
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), Inconsistent> {
        self.refusals.insert((workspace, key), Arc::new(refusal));
        Ok(())
    }
}
