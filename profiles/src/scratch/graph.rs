//! A graph that is kept under another workspace than the one that it is of.
//!
//! Profile ids are hashes that name the workspace, so a graph that is to get the ids of the real one has to be
//! resolved under the real workspace, wherever it is kept.

use std::sync::Arc;
use tributary_identity::{
    Edge, EdgeKey, GraphRead, GraphStore, HistoryEntry, Node, Partition, Partitions, ProfileRecord, Refusal,
};
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// See the module. Whatever workspace it is asked for, it answers from one place.
pub(crate) struct LentGraph<'a, G> {
    graph: &'a mut G,
    place: WorkspaceId,
}

impl<'a, G> LentGraph<'a, G> {
    /// The graph that is kept under `place`.
    pub(crate) fn new(graph: &'a mut G, place: WorkspaceId) -> Self {
        Self { graph, place }
    }
}

impl<G: GraphRead> GraphRead for LentGraph<'_, G> {
    type Error = G::Error;

    fn node(&mut self, _: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, G::Error> {
        self.graph.node(self.place, key)
    }

    fn profile(&mut self, _: WorkspaceId, id: ProfileId) -> Result<Option<ProfileRecord>, G::Error> {
        self.graph.profile(self.place, id)
    }

    fn edge(&mut self, _: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, G::Error> {
        self.graph.edge(self.place, key)
    }

    fn refusal(&mut self, _: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Refusal>>, G::Error> {
        self.graph.refusal(self.place, key)
    }

    fn edges_of(
        &mut self,
        _: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, G::Error> {
        self.graph.edges_of(self.place, anchors)
    }

    fn refusals_of(
        &mut self,
        _: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, G::Error> {
        self.graph.refusals_of(self.place, anchors)
    }

    fn refused_by(&mut self, _: WorkspaceId, others: &[NodeKey]) -> Result<Vec<EdgeKey>, G::Error> {
        self.graph.refused_by(self.place, others)
    }

    fn partitions(&mut self, _: WorkspaceId) -> Result<Arc<Partitions>, G::Error> {
        self.graph.partitions(self.place)
    }

    fn history(&mut self, _: WorkspaceId, profile: ProfileId) -> Result<Vec<HistoryEntry>, G::Error> {
        self.graph.history(self.place, profile)
    }
}

impl<G: GraphStore> GraphStore for LentGraph<'_, G> {
    fn put_node(&mut self, _: WorkspaceId, key: NodeKey, node: Node) -> Result<(), G::Error> {
        self.graph.put_node(self.place, key, node)
    }

    fn put_profile(&mut self, _: WorkspaceId, id: ProfileId, record: ProfileRecord) -> Result<(), G::Error> {
        self.graph.put_profile(self.place, id, record)
    }

    fn put_edge(&mut self, _: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), G::Error> {
        self.graph.put_edge(self.place, key, edge)
    }

    fn remove_edge(&mut self, _: WorkspaceId, key: &EdgeKey) -> Result<(), G::Error> {
        self.graph.remove_edge(self.place, key)
    }

    fn put_refusal(&mut self, _: WorkspaceId, key: EdgeKey, refusal: Refusal) -> Result<(), G::Error> {
        self.graph.put_refusal(self.place, key, refusal)
    }

    fn remove_refusal(&mut self, _: WorkspaceId, key: &EdgeKey) -> Result<(), G::Error> {
        self.graph.remove_refusal(self.place, key)
    }

    fn put_partition(&mut self, _: WorkspaceId, partition: Partition) -> Result<(), G::Error> {
        self.graph.put_partition(self.place, partition)
    }

    fn put_history(
        &mut self,
        _: WorkspaceId,
        profile: ProfileId,
        entry: HistoryEntry,
    ) -> Result<(), G::Error> {
        self.graph.put_history(self.place, profile, entry)
    }
}
