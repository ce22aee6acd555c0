//! Paths of evidence within a profile.

use crate::graph::{Edge, EdgeKey, EdgeRule, Evidence};
use rustc_hash::{FxHashMap, FxHashSet};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use tributary_model::identifier::NodeKey;

/// One step of a path: an edge, walked in either direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// Where the step begins.
    pub from: NodeKey,
    /// Where it leads.
    pub to: NodeKey,
    /// The rule that ties the two.
    pub rule: EdgeRule,
    /// The first event that showed it.
    pub evidence: Evidence,
    /// The latest day on which an event showed it.
    pub last_day: i64,
}

/// The edges of a profile, to be walked.
pub(crate) struct Ties {
    ends: FxHashMap<NodeKey, Vec<(NodeKey, Arc<Edge>)>>,
}

impl Ties {
    /// Those between members; the oldest first, so that of equally short paths the older one is taken.
    pub(crate) fn of(edges: &[(EdgeKey, Arc<Edge>)], is_member: impl Fn(&NodeKey) -> bool) -> Self {
        let mut sorted: Vec<_> = edges.iter().collect();
        sorted.sort_by(|(a, left), (b, right)| (left.first.position, a).cmp(&(right.first.position, b)));
        let mut ends: FxHashMap<NodeKey, Vec<(NodeKey, Arc<Edge>)>> = FxHashMap::default();
        for (key, edge) in sorted {
            if is_member(&key.anchor) && is_member(&key.other) {
                ends.entry(key.anchor.clone()).or_default().push((key.other.clone(), Arc::clone(edge)));
                ends.entry(key.other.clone()).or_default().push((key.anchor.clone(), Arc::clone(edge)));
            }
        }
        Self { ends }
    }

    /// A shortest path from one of these to a node that `is_goal`, through nodes that `may_pass`.
    pub(crate) fn path(
        &self,
        starts: &[NodeKey],
        is_goal: impl Fn(&NodeKey) -> bool,
        may_pass: impl Fn(&NodeKey) -> bool,
    ) -> Option<Vec<Step>> {
        let mut came: FxHashMap<NodeKey, Option<Step>> = FxHashMap::default();
        let mut queue = VecDeque::new();
        for start in starts {
            came.insert(start.clone(), None);
            queue.push_back(start.clone());
        }
        while let Some(at) = queue.pop_front() {
            if is_goal(&at) {
                return Some(walked_back(&came, at));
            }
            if !may_pass(&at) && !starts.contains(&at) {
                continue;
            }
            for (next, edge) in self.ends.get(&at).into_iter().flatten() {
                if !came.contains_key(next) {
                    let step = Step {
                        from: at.clone(),
                        to: next.clone(),
                        rule: edge.rule,
                        evidence: edge.first.clone(),
                        last_day: edge.last_day,
                    };
                    came.insert(next.clone(), Some(step));
                    queue.push_back(next.clone());
                }
            }
        }
        None
    }

    /// The connected pieces of these nodes, each sorted, in order of their first nodes.
    pub(crate) fn pieces(&self, nodes: &[NodeKey]) -> Vec<Vec<NodeKey>> {
        let all: FxHashSet<&NodeKey> = nodes.iter().collect();
        let mut seen: FxHashSet<&NodeKey> = FxHashSet::default();
        let mut pieces = Vec::new();
        for start in nodes {
            if !seen.insert(start) {
                continue;
            }
            let mut piece = vec![start.clone()];
            let mut next = 0;
            while let Some(at) = piece.get(next).cloned() {
                next += 1;
                for (to, _) in self.ends.get(&at).into_iter().flatten() {
                    if let Some(to) = all.get(to).copied()
                        && seen.insert(to)
                    {
                        piece.push(to.clone());
                    }
                }
            }
            piece.sort();
            pieces.push(piece);
        }
        pieces.sort();
        pieces
    }
}

fn walked_back(came: &FxHashMap<NodeKey, Option<Step>>, goal: NodeKey) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut at = goal;
    while let Some(Some(step)) = came.get(&at) {
        steps.push(step.clone());
        at = step.from.clone();
    }
    steps.reverse();
    steps
}
