//! The part of the graph that an unmerge takes anew: what is replayed, and how the result comes back.

use crate::decide::Checks;
use crate::graph::{Edge, EdgeKey, LiveProfile, Node, ProfileRecord, Refusal, RefusalReason};
use crate::memory::MemoryGraph;
use crate::merge::{live_profile, oldest_first};
use crate::partition::Partition;
use crate::replay::{Dated, item_of_edge, item_of_refusal, item_order, items_of_node, take_event};
use crate::resolve::Context;
use crate::store::{GraphRead, GraphStore};
use crate::unmerge::Decision;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_model::id::ProfileId;
use tributary_model::identifier::NodeKey;

/// What is taken anew beside the evidence that ties the profile together.
#[derive(Clone, Copy)]
pub(crate) enum Beside<'a> {
    /// These decisions.
    Decisions(&'a [Decision]),
    /// What earlier partitions refused; with it, the profiles that they name beside members of this one, and so on.
    Partitions,
}

/// The profiles whose evidence is replayed.
pub(crate) struct Scope {
    pub(crate) profiles: BTreeMap<ProfileId, Arc<LiveProfile>>,
    members: Vec<NodeKey>,
    edges: Vec<(EdgeKey, Arc<Edge>)>,
    refusals: BTreeMap<EdgeKey, Arc<Refusal>>,
}

impl Scope {
    /// The profile, and those that have to be looked at with it.
    pub(crate) fn of<G: GraphRead>(
        graph: &mut G,
        context: &Context<'_>,
        before: ProfileId,
        beside: Beside<'_>,
    ) -> Result<Self, G::Error> {
        let workspace = context.workspace;
        let partitions = graph.partitions(workspace)?;
        let mut profiles: BTreeMap<ProfileId, Arc<LiveProfile>> = BTreeMap::new();
        let mut queue = vec![before];
        if let Beside::Decisions(decisions) = beside {
            for node in decisions.iter().flat_map(|decision| [&decision.anchor, &decision.other]) {
                queue.extend(graph.node(workspace, node)?.map(|node| node.profile));
            }
        }
        while let Some(id) = queue.pop() {
            if profiles.contains_key(&id) {
                continue;
            }
            let profile = live_profile(graph, workspace, id)?;
            if matches!(beside, Beside::Partitions) {
                let named = partitions.naming(profile.live.members.iter()).into_iter();
                let named = named.filter_map(|id| partitions.get(id));
                for node in named.flat_map(|partition| partition.sides.iter().flatten()) {
                    queue.extend(graph.node(workspace, node)?.map(|node| node.profile));
                }
            }
            profiles.insert(id, profile.live);
        }
        let members: Vec<NodeKey> = profiles.values().flat_map(|live| live.members.iter().cloned()).collect();
        let edges = graph.edges_of(workspace, &members)?;
        let mut refusals: BTreeMap<EdgeKey, Arc<Refusal>> =
            graph.refusals_of(workspace, &members)?.into_iter().collect();
        for key in graph.refused_by(workspace, &members)? {
            if let Some(refusal) = graph.refusal(workspace, &key)? {
                refusals.insert(key, refusal);
            }
        }
        Ok(Self { profiles, members, edges, refusals })
    }

    /// The graph that the evidence makes with one more partition, in memory.
    pub(crate) fn replay<G: GraphRead>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        partition: &Partition,
        beside: Beside<'_>,
    ) -> Result<MemoryGraph, G::Error> {
        let workspace = context.workspace;
        let mut made = MemoryGraph::new();
        for earlier in graph.partitions(workspace)?.iter() {
            made.put_partition(workspace, Partition::clone(earlier))?;
        }
        made.put_partition(workspace, partition.clone())?;
        let mut items: Vec<Dated> = Vec::new();
        let in_scope: BTreeSet<&NodeKey> = self.members.iter().collect();
        for key in &self.members {
            let Some(node) = graph.node(workspace, key)? else { continue };
            items.extend(items_of_node(key, &node));
            let first = NodeKey { epoch: 0, ..key.clone() };
            if key.epoch > 0
                && !in_scope.contains(&first)
                && let Some(elsewhere) = graph.node(workspace, &first)?
            {
                // Only its current epoch is looked at.
                made.put_node(workspace, first, Node::clone(&elsewhere))?;
            }
        }
        items.extend(self.edges.iter().map(|(key, edge)| item_of_edge(key, edge)));
        for (key, refusal) in &self.refusals {
            // An identifier on a profile that is not looked at stays where it is.
            let is_elsewhere = !in_scope.contains(&key.other) && graph.node(workspace, &key.other)?.is_some();
            let is_taken = match beside {
                // Whether a value is blocked today is not known here.
                _ if is_elsewhere || refusal.reason == RefusalReason::Blocked => false,
                _ if !refusal.reason.is_decision() => true,
                Beside::Decisions(decisions) => {
                    decisions.iter().any(|taken| taken.anchor == key.anchor && taken.other == key.other)
                }
                Beside::Partitions => false,
            };
            if is_taken {
                items.push(item_of_refusal(key, refusal));
            }
        }
        let checks = match beside {
            Beside::Decisions(_) => Checks::Kept,
            Beside::Partitions => Checks::Offered,
        };
        items.sort_by(item_order);
        for event in items.chunk_by(|a, b| a.evidence.position == b.evidence.position) {
            take_event(&mut made, context, event, checks)?;
        }
        Ok(made)
    }

    /// Brings the graph to what was replayed. Answers with the profile ids whose records changed, and how many more
    /// live profiles there are.
    pub(crate) fn write_back<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        made: &mut MemoryGraph,
    ) -> Result<(Vec<ProfileId>, i64), G::Error> {
        let workspace = context.workspace;
        self.keep_ids(context, made)?;
        let mut changed = Vec::new();
        let mut live = 0i64;
        for (id, record) in made.profiles(workspace) {
            live += i64::from(matches!(record, ProfileRecord::Live(_)));
            if graph.profile(workspace, id)?.as_ref() != Some(record) {
                graph.put_profile(workspace, id, record.clone())?;
                changed.push(id);
            }
        }
        self.write_nodes(graph, context, made)?;
        for (key, _) in &self.edges {
            if made.edge(workspace, key)?.is_none() {
                graph.remove_edge(workspace, key)?;
            }
        }
        for (key, edge) in made.edges(workspace) {
            if graph.edge(workspace, &key)?.as_deref() != Some(edge) {
                graph.put_edge(workspace, key.clone(), edge.clone())?;
            }
            if graph.refusal(workspace, &key)?.is_some_and(|refusal| !refusal.reason.is_decision()) {
                graph.remove_refusal(workspace, &key)?;
            }
        }
        for (key, refusal) in made.refusals(workspace) {
            if graph.refusal(workspace, &key)?.as_deref() != Some(refusal) {
                graph.put_refusal(workspace, key, refusal.clone())?;
            }
        }
        changed.sort();
        changed.dedup();
        Ok((changed, live - i64::try_from(self.profiles.len()).unwrap_or(i64::MAX)))
    }

    /// Lets ids that no evidence makes any more lead to the oldest profile that has identifiers of theirs.
    fn keep_ids(&self, context: &Context<'_>, made: &mut MemoryGraph) -> Result<(), crate::Inconsistent> {
        let workspace = context.workspace;
        for (id, live) in &self.profiles {
            for lost in std::iter::once(*id).chain(live.merged.iter().copied()) {
                if made.profile(workspace, lost)?.is_some() {
                    continue;
                }
                let mut heirs = Vec::new();
                for member in live.members.iter() {
                    if let Some(node) = made.node(workspace, member)? {
                        heirs.push(live_profile(made, workspace, node.profile)?);
                    }
                }
                oldest_first(&mut heirs);
                let Some(heir) = heirs.into_iter().next() else { continue };
                let mut grown = LiveProfile::clone(&heir.live);
                grown.merged.push(lost);
                grown.merged.sort();
                made.put_profile(workspace, heir.id, ProfileRecord::Live(Arc::new(grown)))?;
                made.put_profile(workspace, lost, ProfileRecord::MergedInto(heir.id))?;
            }
        }
        Ok(())
    }

    fn write_nodes<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        made: &MemoryGraph,
    ) -> Result<(), G::Error> {
        let in_scope: BTreeSet<&NodeKey> = self.members.iter().collect();
        for (key, node) in made.nodes(context.workspace) {
            let known = graph.node(context.workspace, key)?;
            if known.is_some() && !in_scope.contains(key) {
                continue;
            }
            let mut node = node.clone();
            if let Some(known) = &known {
                node.current_epoch = known.current_epoch;
                if node.first == known.first {
                    node.linked_at = known.linked_at;
                }
            }
            if known.as_deref() != Some(&node) {
                graph.put_node(context.workspace, key.clone(), node)?;
            }
        }
        Ok(())
    }
}
