//! The seam to where the graph is stored.

use crate::graph::{Edge, EdgeKey, HistoryEntry, Inconsistent, Node, ProfileRecord, Refusal};
use crate::partition::{Partition, Partitions};
use std::sync::Arc;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;

/// A graph that can be read. Everything is kept apart by workspace: what was put under one workspace is never
/// found under another. Reads return shared values, so that a cache need not copy.
pub trait GraphRead {
    /// What can go wrong: failures of the store, and a graph that contradicts itself.
    type Error: From<Inconsistent>;

    /// The node of an identifier in an epoch; `None` if it is on no profile.
    ///
    /// # Errors
    /// If the store can't be read.
    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, Self::Error>;

    /// What stands under a profile id; `None` if there never was such a profile.
    ///
    /// # Errors
    /// If the store can't be read.
    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, Self::Error>;

    /// The edge between two nodes.
    ///
    /// # Errors
    /// If the store can't be read.
    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, Self::Error>;

    /// The refused link between two nodes.
    ///
    /// # Errors
    /// If the store can't be read.
    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey)
    -> Result<Option<Arc<Refusal>>, Self::Error>;

    /// Every edge whose anchor is one of these; in no order.
    ///
    /// # Errors
    /// If the store can't be read.
    fn edges_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, Self::Error>;

    /// Every refused link whose anchor is one of these; in no order.
    ///
    /// # Errors
    /// If the store can't be read.
    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, Self::Error>;

    /// The keys of refused links whose other identifier is one of these; in no order.
    ///
    /// # Errors
    /// If the store can't be read.
    fn refused_by(&mut self, workspace: WorkspaceId, others: &[NodeKey])
    -> Result<Vec<EdgeKey>, Self::Error>;

    /// All partitions of a workspace.
    ///
    /// # Errors
    /// If the store can't be read.
    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, Self::Error>;

    /// The entries that were put under this profile id, in the order of their positions.
    ///
    /// # Errors
    /// If the store can't be read.
    fn history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Vec<HistoryEntry>, Self::Error>;
}

/// A graph that can be changed. What was put is found at once by the calls after it. After an error the graph
/// may hold part of a change: the caller throws away what is not yet durable and goes on from there.
pub trait GraphStore: GraphRead {
    /// Sets a node.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), Self::Error>;

    /// Sets what stands under a profile id.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), Self::Error>;

    /// Sets an edge.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), Self::Error>;

    /// Removes an edge, if it is there.
    ///
    /// # Errors
    /// If the store can't take it.
    fn remove_edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), Self::Error>;

    /// Sets a refused link; [`GraphRead::refused_by`] finds it from then on.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), Self::Error>;

    /// Removes a refused link, if it is there.
    ///
    /// # Errors
    /// If the store can't take it.
    fn remove_refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), Self::Error>;

    /// Adds a partition.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_partition(&mut self, workspace: WorkspaceId, partition: Partition) -> Result<(), Self::Error>;

    /// Adds an entry to the history of a profile id.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        entry: HistoryEntry,
    ) -> Result<(), Self::Error>;
}

/// A graph lent out is a graph, so that one can be overlaid without giving it away.
impl<G: GraphRead> GraphRead for &mut G {
    type Error = G::Error;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, G::Error> {
        (**self).node(workspace, key)
    }

    fn profile(&mut self, workspace: WorkspaceId, id: ProfileId) -> Result<Option<ProfileRecord>, G::Error> {
        (**self).profile(workspace, id)
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, G::Error> {
        (**self).edge(workspace, key)
    }

    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Refusal>>, G::Error> {
        (**self).refusal(workspace, key)
    }

    fn edges_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, G::Error> {
        (**self).edges_of(workspace, anchors)
    }

    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, G::Error> {
        (**self).refusals_of(workspace, anchors)
    }

    fn refused_by(&mut self, workspace: WorkspaceId, others: &[NodeKey]) -> Result<Vec<EdgeKey>, G::Error> {
        (**self).refused_by(workspace, others)
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, G::Error> {
        (**self).partitions(workspace)
    }

    fn history(&mut self, workspace: WorkspaceId, profile: ProfileId) -> Result<Vec<HistoryEntry>, G::Error> {
        (**self).history(workspace, profile)
    }
}
