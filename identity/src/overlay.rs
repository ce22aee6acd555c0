//! Changes in memory over a graph that stays as it is: what a dry run works on.

use crate::graph::{Edge, EdgeKey, HistoryEntry, Node, ProfileRecord, Refusal};
use crate::partition::{Partition, Partitions};
use crate::store::{GraphRead, GraphStore};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;

/// What was put over the graph below; `None` is a removed entry.
type Over<K, V> = FxHashMap<(WorkspaceId, K), V>;

/// A graph with changes over it that the graph never sees.
#[derive(Debug)]
pub struct Overlay<G> {
    below: G,
    nodes: Over<NodeKey, Arc<Node>>,
    profiles: Over<ProfileId, ProfileRecord>,
    edges: Over<EdgeKey, Option<Arc<Edge>>>,
    refusals: Over<EdgeKey, Option<Arc<Refusal>>>,
    partitions: FxHashMap<WorkspaceId, Arc<Partitions>>,
    history: Over<ProfileId, Vec<HistoryEntry>>,
}

impl<G: GraphRead> Overlay<G> {
    /// Nothing over this graph yet.
    pub fn new(below: G) -> Self {
        Self {
            below,
            nodes: FxHashMap::default(),
            profiles: FxHashMap::default(),
            edges: FxHashMap::default(),
            refusals: FxHashMap::default(),
            partitions: FxHashMap::default(),
            history: FxHashMap::default(),
        }
    }
}

/// Puts what lies over the entries found below; the keys that count are those that `wanted` says.
fn over<V: Clone>(
    workspace: WorkspaceId,
    mut found: Vec<(EdgeKey, V)>,
    over: &Over<EdgeKey, Option<V>>,
    wanted: impl Fn(&EdgeKey) -> bool,
) -> Vec<(EdgeKey, V)> {
    if over.is_empty() {
        return found;
    }
    found.retain(|(key, _)| !over.contains_key(&(workspace, key.clone())));
    for ((of, key), value) in over {
        if let Some(value) = value
            && *of == workspace
            && wanted(key)
        {
            found.push((key.clone(), value.clone()));
        }
    }
    found
}

impl<G: GraphRead> GraphRead for Overlay<G> {
    type Error = G::Error;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, G::Error> {
        match self.nodes.get(&(workspace, key.clone())) {
            Some(node) => Ok(Some(Arc::clone(node))),
            None => self.below.node(workspace, key),
        }
    }

    fn profile(&mut self, workspace: WorkspaceId, id: ProfileId) -> Result<Option<ProfileRecord>, G::Error> {
        match self.profiles.get(&(workspace, id)) {
            Some(record) => Ok(Some(record.clone())),
            None => self.below.profile(workspace, id),
        }
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, G::Error> {
        match self.edges.get(&(workspace, key.clone())) {
            Some(edge) => Ok(edge.clone()),
            None => self.below.edge(workspace, key),
        }
    }

    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Refusal>>, G::Error> {
        match self.refusals.get(&(workspace, key.clone())) {
            Some(refusal) => Ok(refusal.clone()),
            None => self.below.refusal(workspace, key),
        }
    }

    fn edges_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Edge>)>, G::Error> {
        let found = self.below.edges_of(workspace, anchors)?;
        Ok(over(workspace, found, &self.edges, |key| anchors.contains(&key.anchor)))
    }

    fn refusals_of(
        &mut self,
        workspace: WorkspaceId,
        anchors: &[NodeKey],
    ) -> Result<Vec<(EdgeKey, Arc<Refusal>)>, G::Error> {
        let found = self.below.refusals_of(workspace, anchors)?;
        Ok(over(workspace, found, &self.refusals, |key| anchors.contains(&key.anchor)))
    }

    fn refused_by(&mut self, workspace: WorkspaceId, others: &[NodeKey]) -> Result<Vec<EdgeKey>, G::Error> {
        let mut keys = self.below.refused_by(workspace, others)?;
        keys.retain(|key| !self.refusals.contains_key(&(workspace, key.clone())));
        let here = self.refusals.iter().filter(|((of, key), refusal)| {
            *of == workspace && refusal.is_some() && others.contains(&key.other)
        });
        keys.extend(here.map(|((_, key), _)| key.clone()));
        Ok(keys)
    }

    fn partitions(&mut self, workspace: WorkspaceId) -> Result<Arc<Partitions>, G::Error> {
        match self.partitions.get(&workspace) {
            Some(partitions) => Ok(Arc::clone(partitions)),
            None => self.below.partitions(workspace),
        }
    }

    fn history(&mut self, workspace: WorkspaceId, profile: ProfileId) -> Result<Vec<HistoryEntry>, G::Error> {
        let mut entries = self.below.history(workspace, profile)?;
        entries.extend(self.history.get(&(workspace, profile)).into_iter().flatten().cloned());
        Ok(entries)
    }
}

impl<G: GraphRead> GraphStore for Overlay<G> {
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), G::Error> {
        self.nodes.insert((workspace, key), Arc::new(node));
        Ok(())
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), G::Error> {
        self.profiles.insert((workspace, id), record);
        Ok(())
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), G::Error> {
        self.edges.insert((workspace, key), Some(Arc::new(edge)));
        Ok(())
    }

    fn remove_edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), G::Error> {
        self.edges.insert((workspace, key.clone()), None);
        Ok(())
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), G::Error> {
        self.refusals.insert((workspace, key), Some(Arc::new(refusal)));
        Ok(())
    }

    fn remove_refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<(), G::Error> {
        self.refusals.insert((workspace, key.clone()), None);
        Ok(())
    }

    fn put_partition(&mut self, workspace: WorkspaceId, partition: Partition) -> Result<(), G::Error> {
        let known = self.partitions(workspace)?;
        let with = Partitions::clone(&known).with(partition);
        self.partitions.insert(workspace, Arc::new(with));
        Ok(())
    }

    fn put_history(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        entry: HistoryEntry,
    ) -> Result<(), G::Error> {
        self.history.entry((workspace, profile)).or_default().push(entry);
        Ok(())
    }
}
