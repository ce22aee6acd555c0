//! What happens to profiles when an event commits: one is created, grows, or takes in others.
//!
//! The older profile (created at the smaller position) survives and keeps its id. A merge changes the graph
//! alone: it re-points the members of the profiles that collapse and leaves their ids behind as pointers,
//! those of earlier merges included, so that following an id takes one step, however many merges there were.
//! That stays cheap: a profile has fewer merged ids than members, and caps bound both.
//!
//! Left out: whether profiles may merge at all, which `decide` says before.

use crate::graph::{Anchored, Evidence, Inconsistent, LiveProfile, Node, ProfileRecord};
use crate::partition::Partitions;
use crate::resolve::Context;
use crate::store::{GraphRead, GraphStore};
use std::sync::Arc;
use tributary_model::command::Who;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::{Identifier, NodeKey};

/// A live profile with its id.
#[derive(Debug, Clone)]
pub(crate) struct Existing {
    pub(crate) id: ProfileId,
    pub(crate) live: Arc<LiveProfile>,
}

/// The live profile behind an id: its own, or the one that it was merged into. `None` if there never was a
/// profile of that id.
///
/// # Errors
/// If the store can't be read, or contradicts itself.
pub fn follow<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
) -> Result<Option<(ProfileId, Arc<LiveProfile>)>, G::Error> {
    match graph.profile(workspace, id)? {
        None => Ok(None),
        Some(ProfileRecord::Live(live)) => Ok(Some((id, live))),
        Some(ProfileRecord::MergedInto(target)) => {
            let target = live_profile(graph, workspace, target)?;
            Ok(Some((target.id, target.live)))
        }
    }
}

/// The node of an identifier in the epoch that it is in now; in its first, if it was never seen.
///
/// # Errors
/// If the store can't be read.
pub fn current_node<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    identifier: &Identifier,
) -> Result<NodeKey, G::Error> {
    Ok(look_up(graph, workspace, identifier)?.0)
}

/// The live profile that somebody is on; `None` if there is none.
///
/// # Errors
/// If the store can't be read, or contradicts itself.
pub fn find<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    who: &Who,
) -> Result<Option<(ProfileId, Arc<LiveProfile>)>, G::Error> {
    match who {
        Who::Profile(id) => follow(graph, workspace, *id),
        Who::Identifier(identifier) => match look_up(graph, workspace, identifier)?.1 {
            None => Ok(None),
            Some(node) => {
                let found = live_profile(graph, workspace, node.profile)?;
                Ok(Some((found.id, found.live)))
            }
        },
    }
}

/// The node of an identifier in its current epoch, with what is known of it.
pub(crate) fn look_up<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    identifier: &Identifier,
) -> Result<(NodeKey, Option<Arc<Node>>), G::Error> {
    let first = NodeKey::first_epoch(identifier.clone());
    match graph.node(workspace, &first)? {
        Some(node) if node.current_epoch > 0 => {
            let key = NodeKey { epoch: node.current_epoch, ..first };
            let node = graph.node(workspace, &key)?;
            Ok((key, node))
        }
        node => Ok((first, node)),
    }
}

/// The profile that a node points to, which must be live.
pub(crate) fn live_profile<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
) -> Result<Existing, G::Error> {
    match graph.profile(workspace, id)? {
        Some(ProfileRecord::Live(live)) => Ok(Existing { id, live }),
        Some(ProfileRecord::MergedInto(_)) => Err(Inconsistent::NotLive(id).into()),
        None => Err(Inconsistent::NoProfile(id).into()),
    }
}

/// What a change of profiles is made by.
#[derive(Clone, Copy)]
pub(crate) struct By<'a> {
    pub(crate) partitions: &'a Partitions,
    pub(crate) evidence: &'a Evidence,
    /// The node that the evidence has as its anchor, if it is an event.
    pub(crate) anchor: Option<&'a NodeKey>,
}

/// Creates the profile of an event none of whose kept identifiers was known: `kept`, the creating one first.
///
/// Its id is the keyed hash of that node, and is given once only: the node was unknown before, is known from
/// now on, and nodes are never taken away; so no later event finds it unknown.
pub(crate) fn create<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    kept: &[NodeKey],
    by: By<'_>,
) -> Result<Existing, G::Error> {
    let creator = kept.first().expect("an event that creates a profile has an identifier");
    let id = context.hash_key.profile_id(context.workspace, creator);
    let former = add_nodes(graph, context, id, kept, by)?;
    let mut members = kept.to_vec();
    members.sort();
    let live = LiveProfile {
        created: by.evidence.clone(),
        parted: by.partitions.naming(&members),
        members: members.into(),
        merged: Vec::new(),
        former,
    };
    put_live(graph, context.workspace, id, live)
}

/// Lets a profile take in others and identifiers that were unknown. Writes nothing if there are neither.
pub(crate) fn grow<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    survivor: Existing,
    collapsing: &[Existing],
    added: &[NodeKey],
    by: By<'_>,
) -> Result<Existing, G::Error> {
    if collapsing.is_empty() && added.is_empty() {
        return Ok(survivor);
    }
    let mut former = survivor.live.former.clone();
    former.extend(add_nodes(graph, context, survivor.id, added, by)?);
    for profile in collapsing {
        collapse(graph, context.workspace, profile, survivor.id)?;
    }
    let mut members = survivor.live.members.to_vec();
    members.extend_from_slice(added);
    let mut merged = survivor.live.merged.clone();
    let mut parted = survivor.live.parted.clone();
    parted.extend(by.partitions.naming(added));
    for profile in collapsing {
        members.extend_from_slice(&profile.live.members);
        merged.push(profile.id);
        merged.extend_from_slice(&profile.live.merged);
        former.extend_from_slice(&profile.live.former);
        parted.extend_from_slice(&profile.live.parted);
    }
    members.sort();
    merged.sort();
    former.sort();
    parted.sort_unstable();
    parted.dedup();
    let created = survivor.live.created.clone();
    let live = LiveProfile { created, members: members.into(), merged, former, parted };
    put_live(graph, context.workspace, survivor.id, live)
}

/// Notes that a member of a profile has been handed to another owner.
pub(crate) fn retire<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    owner: ProfileId,
    node: &NodeKey,
) -> Result<(), G::Error> {
    let profile = live_profile(graph, workspace, owner)?;
    if profile.live.is_former(node) {
        return Ok(());
    }
    let mut live = LiveProfile::clone(&profile.live);
    live.former.push(node.clone());
    live.former.sort();
    put_live(graph, workspace, owner, live)?;
    Ok(())
}

/// Marks the anchor of an event that is known already, where no event had it as its anchor before.
pub(crate) fn mark_anchor<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    anchor: &NodeKey,
    known: &Node,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    match known.anchored {
        Anchored::First | Anchored::Later(_) => Ok(()),
        Anchored::Never => {
            // The profile may have been merged away by this very event: what is stored counts.
            let node = graph.node(workspace, anchor)?.ok_or(Inconsistent::NoNode(known.profile))?;
            let node = Node { anchored: Anchored::Later(Box::new(evidence.clone())), ..Node::clone(&node) };
            graph.put_node(workspace, anchor.clone(), node)
        }
    }
}

/// Puts the profile that survives in front: the oldest. One event may create several, of which the id decides.
pub(crate) fn oldest_first(profiles: &mut [Existing]) {
    profiles.sort_by_key(|profile| (profile.live.created.position, profile.id));
}

/// Adds nodes to a profile. Answers with those whose identifier is in a later epoch already: only evidence that is
/// replayed brings such.
fn add_nodes<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    profile: ProfileId,
    added: &[NodeKey],
    by: By<'_>,
) -> Result<Vec<NodeKey>, G::Error> {
    let mut former = Vec::new();
    for key in added {
        if key.epoch > 0 {
            let first = NodeKey { epoch: 0, ..key.clone() };
            if graph.node(context.workspace, &first)?.is_some_and(|node| node.current_epoch > key.epoch) {
                former.push(key.clone());
            }
        }
        let node = Node {
            profile,
            first: by.evidence.clone(),
            linked_at: context.log_time,
            anchored: if by.anchor == Some(key) { Anchored::First } else { Anchored::Never },
            current_epoch: 0,
        };
        graph.put_node(context.workspace, key.clone(), node)?;
    }
    former.sort();
    Ok(former)
}

fn collapse<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    profile: &Existing,
    survivor: ProfileId,
) -> Result<(), G::Error> {
    for member in profile.live.members.iter() {
        let node = graph.node(workspace, member)?.ok_or(Inconsistent::NoNode(profile.id))?;
        graph.put_node(workspace, member.clone(), Node { profile: survivor, ..Node::clone(&node) })?;
    }
    for id in [profile.id].into_iter().chain(profile.live.merged.iter().copied()) {
        graph.put_profile(workspace, id, ProfileRecord::MergedInto(survivor))?;
    }
    Ok(())
}

fn put_live<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
    live: LiveProfile,
) -> Result<Existing, G::Error> {
    let live = Arc::new(live);
    graph.put_profile(workspace, id, ProfileRecord::Live(Arc::clone(&live)))?;
    Ok(Existing { id, live })
}
