//! Partitions: sets of identifiers that a person said must not share a profile.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::identifier::NodeKey;
use tributary_model::time::Timestamp;

/// Two or more sets of identifiers; no profile may have members of two of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The sequence of the command that made it.
    pub id: u64,
    /// The sets; each sorted, no node in two of them.
    pub sides: Vec<Vec<NodeKey>>,
    /// Who ordered it.
    pub by: String,
    /// The reason that was given.
    pub reason: Option<String>,
    /// When it was ordered.
    pub at: Timestamp,
}

/// All partitions of a workspace, in memory: there are as many as people have ordered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Partitions {
    all: BTreeMap<u64, Arc<Partition>>,
    /// Node to the partitions that name it, each with the place of its side.
    of: FxHashMap<NodeKey, Vec<(u64, usize)>>,
}

impl Partitions {
    /// These.
    pub fn new(partitions: Vec<Partition>) -> Self {
        partitions.into_iter().fold(Self::default(), Self::with)
    }

    /// These and one more.
    #[must_use]
    pub fn with(mut self, partition: Partition) -> Self {
        self.add(partition);
        self
    }

    /// Adds one.
    pub fn add(&mut self, partition: Partition) {
        for (side, nodes) in partition.sides.iter().enumerate() {
            for node in nodes {
                let named = self.of.entry(node.clone()).or_default();
                named.retain(|(id, _)| *id != partition.id);
                named.push((partition.id, side));
                named.sort_unstable();
            }
        }
        self.all.insert(partition.id, Arc::new(partition));
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The partition of that id.
    pub fn get(&self, id: u64) -> Option<&Arc<Partition>> {
        self.all.get(&id)
    }

    /// The partitions that name a node, each with the place of its side; by id.
    pub fn of(&self, node: &NodeKey) -> &[(u64, usize)] {
        self.of.get(node).map_or(&[], Vec::as_slice)
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Partition>> {
        self.all.values()
    }

    /// The ids of the partitions that name any of these, sorted.
    pub(crate) fn naming<'a>(&self, nodes: impl IntoIterator<Item = &'a NodeKey>) -> Vec<u64> {
        if self.is_empty() {
            return Vec::new();
        }
        let mut ids: Vec<u64> = nodes.into_iter().flat_map(|node| self.of(node)).map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    }
}

/// A node and the same identifier in its earlier epochs: what a person parted from somebody does not come back to them by
/// changing hands in between.
pub(crate) fn lives_of(node: &NodeKey) -> Vec<NodeKey> {
    (0..=node.epoch).map(|epoch| NodeKey { epoch, ..node.clone() }).collect()
}

/// The sides that a growing group of nodes is on.
pub(crate) struct Sides<'a> {
    partitions: &'a Partitions,
    taken: BTreeMap<u64, usize>,
}

impl<'a> Sides<'a> {
    pub(crate) fn new(partitions: &'a Partitions) -> Self {
        Self { partitions, taken: BTreeMap::new() }
    }

    /// The partition that keeps these nodes out of the group.
    pub(crate) fn conflict<'n>(&self, nodes: impl IntoIterator<Item = &'n NodeKey>) -> Option<u64> {
        nodes
            .into_iter()
            .flat_map(|node| self.partitions.of(node))
            .find(|(id, side)| self.taken.get(id).is_some_and(|taken| taken != side))
            .map(|(id, _)| *id)
    }

    /// Takes nodes into the group.
    pub(crate) fn take<'n>(&mut self, nodes: impl IntoIterator<Item = &'n NodeKey>) {
        for node in nodes {
            self.taken.extend(self.partitions.of(node).iter().copied());
        }
    }
}
