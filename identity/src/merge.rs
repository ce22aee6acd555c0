//! What happens to profiles when an event commits: one is created, grows, or takes in others.
//!
//! The older profile (created at the smaller position) survives and keeps its id. A merge changes the graph
//! alone: it re-points the members of the profiles that collapse and leaves their ids behind as pointers,
//! those of earlier merges included, so that following an id takes one step, however many merges there were.
//! That stays cheap: each id that was merged away was created by a member of its own, so a profile has
//! fewer merged ids than members, and limits bound the members.
//!
//! Left out: whether profiles may merge at all, which `resolve` decides before.

use crate::graph::{Evidence, GraphStore, Inconsistent, LiveProfile, Node, ProfileRecord};
use std::sync::Arc;
use tributary_model::hash_key::HashKey;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;

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
pub fn follow<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
) -> Result<Option<(ProfileId, Arc<LiveProfile>)>, G::Error> {
    match graph.profile(workspace, id)? {
        None => Ok(None),
        Some(ProfileRecord::Live(live)) => Ok(Some((id, live))),
        Some(ProfileRecord::MergedInto(target)) => {
            let Existing { id, live } = live_profile(graph, workspace, target)?;
            Ok(Some((id, live)))
        }
    }
}

/// A profile that something points to as a live one.
pub(crate) fn live_profile<G: GraphStore>(
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

/// Creates the profile of an event none of whose kept identifiers was known: `kept`, the anchor first.
///
/// Its id is the keyed hash of the anchor's (identifier, epoch), and is given once only: the anchor had no
/// node before, has one from now on, and nodes are never taken away; so no later event finds it unknown.
pub(crate) fn create<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    hash_key: &HashKey,
    anchor: &NodeKey,
    kept: &[NodeKey],
    evidence: &Evidence,
) -> Result<Existing, G::Error> {
    let id = hash_key.profile_id(workspace, anchor);
    add_nodes(graph, workspace, id, kept, evidence)?;
    let mut members = kept.to_vec();
    members.sort();
    let live = LiveProfile { created: evidence.clone(), members: members.into(), merged: Vec::new() };
    put_live(graph, workspace, id, live)
}

/// Lets a profile take in others and identifiers that were unknown. Writes nothing if there are neither.
pub(crate) fn grow<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    survivor: Existing,
    collapsing: &[Existing],
    added: &[NodeKey],
    evidence: &Evidence,
) -> Result<Existing, G::Error> {
    if collapsing.is_empty() && added.is_empty() {
        return Ok(survivor);
    }
    add_nodes(graph, workspace, survivor.id, added, evidence)?;
    for profile in collapsing {
        collapse(graph, workspace, profile, survivor.id)?;
    }
    let mut members = survivor.live.members.to_vec();
    members.extend_from_slice(added);
    let mut merged = survivor.live.merged.clone();
    for profile in collapsing {
        members.extend_from_slice(&profile.live.members);
        merged.push(profile.id);
        merged.extend_from_slice(&profile.live.merged);
    }
    members.sort();
    merged.sort();
    let live = LiveProfile { created: survivor.live.created.clone(), members: members.into(), merged };
    put_live(graph, workspace, survivor.id, live)
}

/// Puts the profile that survives in front: the oldest. One event creates one profile at most, so that no
/// two have the same position.
pub(crate) fn oldest_first(profiles: &mut [Existing]) {
    profiles.sort_by_key(|profile| (profile.live.created.position, profile.id));
}

fn add_nodes<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    profile: ProfileId,
    added: &[NodeKey],
    evidence: &Evidence,
) -> Result<(), G::Error> {
    for key in added {
        graph.put_node(workspace, key.clone(), Node { profile, first: evidence.clone() })?;
    }
    Ok(())
}

fn collapse<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    profile: &Existing,
    survivor: ProfileId,
) -> Result<(), G::Error> {
    for member in profile.live.members.iter() {
        let node = graph.node(workspace, member)?.ok_or(Inconsistent::NoNode(profile.id))?;
        let first = node.first.clone();
        graph.put_node(workspace, member.clone(), Node { profile: survivor, first })?;
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
