//! The graph as it was at an earlier record of the log, as far as an event's anchor depends on it.

use crate::codec::Value;
use crate::graph::{Entries, Graph, WriteGraph};
use crate::key::{Key, Tag};
use crate::store::StoreError;
use std::sync::Arc;
use tributary_identity::{Node, Partitions};
use tributary_model::{NodeKey, WorkspaceId};

/// The entries of a graph; nodes that came later than `until` are not there, and every identifier is in the epoch that
/// it was in then.
pub(super) struct Past<'a> {
    graph: &'a mut WriteGraph,
    /// The record up to which, itself included, the graph knows the log.
    until: u64,
}

impl<'a> Past<'a> {
    /// The graph once this record was read.
    pub(super) fn of(graph: &'a mut WriteGraph, until: u64) -> Graph<Self> {
        Graph(Self { graph, until })
    }

    /// The epoch that an identifier was in, whose node of epoch 0 this is.
    fn epoch(&self, workspace: WorkspaceId, first: &NodeKey, node: &Node) -> Result<u32, StoreError> {
        for epoch in (1..=node.current_epoch).rev() {
            let key = Key::node(workspace, &NodeKey { epoch, ..first.clone() });
            // An epoch without a node is one in which no event has shown the identifier.
            if let Some(Value::Node(node)) = self.graph.get(&key)?
                && self.knew(&node)
            {
                return Ok(epoch);
            }
        }
        Ok(0)
    }

    fn knew(&self, node: &Node) -> bool {
        node.first.position.sequence <= self.until
    }
}

impl Entries for Past<'_> {
    fn entry(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        let node = match self.graph.get(key)? {
            Some(Value::Node(node)) if self.knew(&node) => node,
            Some(Value::Node(_)) => return Ok(None),
            other => return Ok(other),
        };
        let named = key.node_named().zip(key.workspace_id()).filter(|_| node.current_epoch > 0);
        let Some((first, workspace)) = named else { return Ok(Some(Value::Node(node))) };
        let current_epoch = self.epoch(workspace, &first, &node)?;
        Ok(Some(Value::Node(Arc::new(Node { current_epoch, ..Node::clone(&node) }))))
    }

    fn entries_with(
        &self,
        workspace: WorkspaceId,
        tag: Tag,
        prefixes: &[Vec<u8>],
    ) -> Result<Vec<(Key, Value)>, StoreError> {
        self.graph.0.entries_with(workspace, tag, prefixes)
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, StoreError> {
        self.graph.0.partitions(workspace)
    }
}
