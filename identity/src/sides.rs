//! Where an unmerge cuts: from what the caller names to the sides of the profile.

use crate::graph::{Edge, EdgeKey, Happened, LiveProfile};
use crate::paths::{Step, Ties};
use crate::store::GraphRead;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use tributary_model::command::UnmergeTarget;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::{Identifier, NodeKey};

/// A command that is not carried out. It changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandRefused {
    /// What kind of failure.
    pub kind: RefusedKind,
    /// What was wrong, where, and what to do; without values of identifiers.
    pub message: String,
    /// The paths of evidence that stand in the way, if they do.
    pub paths: Vec<Vec<Step>>,
}

/// Why a command is not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusedKind {
    /// The profile that it names does not exist.
    NotFound,
    /// What it would part was never joined.
    NothingToPart,
    /// It could be done in several ways: the caller has to list the sides.
    Ambiguous,
    /// It clashes with what is there, or with the rules.
    Conflict,
    /// It makes no sense whatever is there.
    Invalid,
}

impl CommandRefused {
    pub(crate) fn new(kind: RefusedKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), paths: Vec::new() }
    }
}

/// The sides, each sorted, or why there are none.
type Cut = Result<Vec<Vec<NodeKey>>, CommandRefused>;

/// How many paths a refusal shows.
const PATHS_MAX: usize = 10;

/// A profile with its edges, to be cut.
pub(crate) struct Whole<'a> {
    pub(crate) id: ProfileId,
    pub(crate) live: &'a LiveProfile,
    pub(crate) edges: Vec<(EdgeKey, Arc<Edge>)>,
}

impl<'a> Whole<'a> {
    pub(crate) fn of<G: GraphRead>(
        graph: &mut G,
        workspace: WorkspaceId,
        id: ProfileId,
        live: &'a LiveProfile,
    ) -> Result<Self, G::Error> {
        let mut edges = graph.edges_of(workspace, &live.members)?;
        edges.retain(|(key, _)| live.has(&key.other));
        Ok(Self { id, live, edges })
    }

    /// The sides that an unmerge makes; every member is on one.
    pub(crate) fn cut<G: GraphRead>(
        &self,
        graph: &mut G,
        workspace: WorkspaceId,
        target: &UnmergeTarget,
    ) -> Result<Cut, G::Error> {
        Ok(match target {
            UnmergeTarget::Identifier(identifier) => self.identifier(identifier),
            UnmergeTarget::Edge(one, other) => self.edge(one, other),
            UnmergeTarget::Merge(sequence) => {
                let mut entries = graph.history(workspace, self.id)?;
                for merged in &self.live.merged {
                    entries.extend(graph.history(workspace, *merged)?);
                }
                let merge = entries.into_iter().find_map(|entry| {
                    let is_named = entry.position.sequence == *sequence;
                    let Happened::Merged { merged, links, .. } = entry.what else { return None };
                    is_named.then_some((merged.len(), links))
                });
                self.merge(merge)
            }
            UnmergeTarget::Sides(sides) => self.sides(sides),
        })
    }

    fn nodes_of(&self, identifier: &Identifier) -> Vec<NodeKey> {
        self.live.members.iter().filter(|node| node.identifier == *identifier).cloned().collect()
    }

    fn ties(&self, without: impl Fn(&EdgeKey) -> bool) -> Ties {
        let edges: Vec<_> = self.edges.iter().filter(|(key, _)| !without(key)).cloned().collect();
        Ties::of(&edges, |_| true)
    }

    fn identifier(&self, identifier: &Identifier) -> Cut {
        let named = self.nodes_of(identifier);
        if named.is_empty() {
            let message = "the profile has no such identifier: nothing to part it from";
            return Err(CommandRefused::new(RefusedKind::NothingToPart, message));
        }
        let rest: Vec<NodeKey> =
            self.live.members.iter().filter(|node| node.identifier != *identifier).cloned().collect();
        if rest.is_empty() {
            let message = "the identifier is the profile's only one: there is nothing to part it from";
            return Err(CommandRefused::new(RefusedKind::NothingToPart, message));
        }
        let pieces = self.ties(|_| false).pieces(&rest);
        if pieces.len() > 1 {
            let message = format!(
                "without this identifier the rest falls into {} pieces, and each could go with it or not: list the sides",
                pieces.len()
            );
            return Err(self.ambiguous(message, &pieces));
        }
        Ok(in_order(vec![named, rest]))
    }

    fn edge(&self, one: &Identifier, other: &Identifier) -> Cut {
        let (ones, others) = (self.nodes_of(one), self.nodes_of(other));
        if ones.is_empty() || others.is_empty() || one == other {
            let message = "both ends of an edge have to be identifiers of the profile, and different ones";
            return Err(CommandRefused::new(RefusedKind::NothingToPart, message));
        }
        let is_cut = |key: &EdgeKey| {
            let (anchor, tied) = (&key.anchor.identifier, &key.other.identifier);
            (anchor == one && tied == other) || (anchor == other && tied == one)
        };
        if !self.edges.iter().any(|(key, _)| is_cut(key)) {
            let message =
                "no event tied these two to each other directly: explain shows the path between them";
            let mut refused = CommandRefused::new(RefusedKind::NothingToPart, message);
            refused.paths.extend(self.ties(|_| false).path(&ones, |at| others.contains(at), |_| true));
            return Err(refused);
        }
        self.without(is_cut, 2, "edge", &[(ones, others)])
    }

    fn merge(&self, merge: Option<(usize, Vec<EdgeKey>)>) -> Cut {
        let Some((merged, links)) = merge else {
            let message = "no merge of this id happened to the profile: its history lists them";
            return Err(CommandRefused::new(RefusedKind::NothingToPart, message));
        };
        if links.is_empty() {
            let message =
                "a rebuild made this merge, of links that are older: name an edge, or list the sides";
            return Err(CommandRefused::new(RefusedKind::Ambiguous, message));
        }
        let is_cut = |key: &EdgeKey| links.contains(key);
        if !self.edges.iter().any(|(key, _)| is_cut(key)) {
            let message = "this merge has been undone already";
            return Err(CommandRefused::new(RefusedKind::Conflict, message));
        }
        let ends: Vec<_> =
            links.iter().map(|key| (vec![key.anchor.clone()], vec![key.other.clone()])).collect();
        self.without(is_cut, merged + 1, "merge", &ends)
    }

    /// The pieces that remain once some edges are gone, if there are several and no more than there were.
    fn without(
        &self,
        is_cut: impl Fn(&EdgeKey) -> bool,
        pieces_max: usize,
        what: &str,
        ends: &[(Vec<NodeKey>, Vec<NodeKey>)],
    ) -> Cut {
        let ties = self.ties(is_cut);
        let pieces = ties.pieces(&self.live.members);
        if pieces.len() == 1 {
            let message = format!("other evidence still connects both sides of this {what}: list the sides");
            let mut refused = CommandRefused::new(RefusedKind::Ambiguous, message);
            let still = ends.iter().filter_map(|(from, to)| ties.path(from, |at| to.contains(at), |_| true));
            refused.paths = still.take(PATHS_MAX).collect();
            return Err(refused);
        }
        if pieces.len() > pieces_max {
            let message = format!(
                "without this {what} the profile falls into {} pieces, and some could go either way: list the sides",
                pieces.len()
            );
            return Err(self.ambiguous(message, &pieces));
        }
        Ok(in_order(pieces))
    }

    fn sides(&self, listed: &[Vec<Identifier>]) -> Cut {
        if listed.len() < 2 || listed.iter().any(Vec::is_empty) {
            let message = "list two sides or more, each with an identifier or more";
            return Err(CommandRefused::new(RefusedKind::Invalid, message));
        }
        let mut side_of: FxHashMap<NodeKey, usize> = FxHashMap::default();
        let mut seen: FxHashSet<&Identifier> = FxHashSet::default();
        for (side, identifiers) in listed.iter().enumerate() {
            for identifier in identifiers {
                if !seen.insert(identifier) {
                    let message =
                        format!("an identifier is listed twice, the second time in `sides[{side}]`");
                    return Err(CommandRefused::new(RefusedKind::Invalid, message));
                }
                let nodes = self.nodes_of(identifier);
                if nodes.is_empty() {
                    let message =
                        format!("`sides[{side}]` lists an identifier that the profile does not have");
                    return Err(CommandRefused::new(RefusedKind::NothingToPart, message));
                }
                side_of.extend(nodes.into_iter().map(|node| (node, side)));
            }
        }
        self.complete(listed.len(), side_of)
    }

    /// Puts those that are not listed on the side that they hang on.
    fn complete(&self, sides: usize, side_of: FxHashMap<NodeKey, usize>) -> Cut {
        let unlisted: Vec<NodeKey> =
            self.live.members.iter().filter(|node| !side_of.contains_key(node)).cloned().collect();
        let ties = self.ties(|_| false);
        let mut all = side_of.clone();
        for piece in ties.pieces(&unlisted) {
            let mut paths: Vec<(usize, Vec<Step>)> = Vec::new();
            for side in 0..sides {
                let is_goal = |at: &NodeKey| side_of.get(at) == Some(&side);
                let path = ties.path(&piece[..1], is_goal, |at| !side_of.contains_key(at));
                paths.extend(path.map(|path| (side, path)));
            }
            match &paths[..] {
                [(side, _)] => all.extend(piece.into_iter().map(|node| (node, *side))),
                _ => {
                    let message = "an identifier that is on no side could go with several: list it too";
                    let mut refused = CommandRefused::new(RefusedKind::Ambiguous, message);
                    refused.paths = paths.into_iter().map(|(_, path)| path).take(PATHS_MAX).collect();
                    return Err(refused);
                }
            }
        }
        let mut made = vec![Vec::new(); sides];
        for (node, side) in all {
            made[side].push(node);
        }
        Ok(in_order(made))
    }

    /// A path from an identifier to another one of the profile.
    pub(crate) fn path_from(&self, node: &NodeKey) -> Option<Vec<Step>> {
        self.ties(|_| false).path(std::slice::from_ref(node), |at| at != node, |_| true)
    }

    /// A refusal that shows how the pieces are connected today.
    fn ambiguous(&self, message: String, pieces: &[Vec<NodeKey>]) -> CommandRefused {
        let ties = self.ties(|_| false);
        let mut refused = CommandRefused::new(RefusedKind::Ambiguous, message);
        if let Some((first, others)) = pieces.split_first() {
            let paths = others.iter().filter_map(|piece| ties.path(first, |at| piece.contains(at), |_| true));
            refused.paths = paths.take(PATHS_MAX).collect();
        }
        refused
    }
}

fn in_order(mut sides: Vec<Vec<NodeKey>>) -> Vec<Vec<NodeKey>> {
    for side in &mut sides {
        side.sort();
    }
    sides
}
