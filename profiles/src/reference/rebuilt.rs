//! A rebuild, step by step: all evidence taken anew, and what that does to profiles.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_identity::{
    Context, GraphRead, GraphStore, LiveProfile, MemoryGraph, Partition, ProfileRecord, item_of_edge,
    item_of_refusal, item_order, items_of_node, take_items,
};
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::{Identifier, ProfileId, WorkspaceId};

/// What became of a profile.
pub(super) enum News {
    /// Those profiles are no more; it has identifiers of each.
    Merged { profile: ProfileId, gone: Vec<ProfileId> },
    /// It has some of the identifiers of that profile; the others have the rest.
    Split { profile: ProfileId, from: ProfileId, others: Vec<ProfileId> },
}

/// Makes the graph of the context's workspace again.
pub(super) fn rebuild(graph: &mut MemoryGraph, context: &Context<'_>) -> Vec<News> {
    let workspace = context.workspace;
    let mut before = graph.clone();
    graph.remove_workspace(workspace);
    carry_over(&mut before, graph, workspace);
    let mut items = Vec::new();
    for (key, node) in before.nodes(workspace) {
        items.extend(items_of_node(key, node));
    }
    items.extend(before.edges(workspace).map(|(key, edge)| item_of_edge(&key, edge)));
    items.extend(before.refusals(workspace).map(|(key, refusal)| item_of_refusal(&key, refusal)));
    items.sort_by(item_order);
    let reader = IdentifierReader::new(context.rules).expect("rules in force compile");
    let blocks = |identifier: &Identifier| reader.blocks(identifier);
    for event in items.chunk_by(|one, other| one.evidence.position == other.evidence.position) {
        take_items(graph, context, blocks, event).expect("memory");
    }
    keep_ids(&mut before, graph, workspace);
    news(&before, graph, workspace)
}

/// Partitions and history stay.
fn carry_over(before: &mut MemoryGraph, graph: &mut MemoryGraph, workspace: WorkspaceId) {
    for partition in before.partitions(workspace).expect("memory").iter() {
        graph.put_partition(workspace, Partition::clone(partition)).expect("memory");
    }
    let ids: Vec<ProfileId> = before.profiles(workspace).map(|(id, _)| id).collect();
    for id in ids {
        for entry in before.history(workspace, id).expect("memory") {
            graph.put_history(workspace, id, entry).expect("memory");
        }
    }
}

/// Ids that the graph does not know lead to the oldest profile that has an identifier of theirs.
fn keep_ids(before: &mut MemoryGraph, graph: &mut MemoryGraph, workspace: WorkspaceId) {
    let ids: Vec<ProfileId> = before.profiles(workspace).map(|(id, _)| id).collect();
    for id in ids {
        if graph.profile(workspace, id).expect("memory").is_some() {
            continue;
        }
        let members = match before.profile(workspace, id).expect("memory") {
            Some(ProfileRecord::Live(live)) => live.members.clone(),
            Some(ProfileRecord::MergedInto(target)) => match before.profile(workspace, target) {
                Ok(Some(ProfileRecord::Live(live))) => live.members.clone(),
                other => panic!("{target} is no live profile: {other:?}"),
            },
            None => unreachable!("the id was listed"),
        };
        let mut heirs: Vec<(ProfileId, Arc<LiveProfile>)> = Vec::new();
        for member in members.iter() {
            let Some(node) = graph.node(workspace, member).expect("memory") else { continue };
            match graph.profile(workspace, node.profile) {
                Ok(Some(ProfileRecord::Live(live))) => heirs.push((node.profile, live)),
                other => panic!("{} is no live profile: {other:?}", node.profile),
            }
        }
        let oldest = heirs.into_iter().min_by_key(|(heir, live)| (live.created.position, *heir));
        let Some((heir, live)) = oldest else { continue };
        let mut live = LiveProfile::clone(&live);
        live.merged.push(id);
        live.merged.sort();
        graph.put_profile(workspace, heir, ProfileRecord::Live(Arc::new(live))).expect("memory");
        graph.put_profile(workspace, id, ProfileRecord::MergedInto(heir)).expect("memory");
    }
}

/// Every identifier that is on a profile in the epoch that it is in, with the profile.
fn owners(graph: &MemoryGraph, workspace: WorkspaceId) -> BTreeMap<Identifier, ProfileId> {
    let current: BTreeMap<&Identifier, u32> = graph
        .nodes(workspace)
        .filter(|(key, _)| key.epoch == 0)
        .map(|(key, node)| (&key.identifier, node.current_epoch))
        .collect();
    graph
        .nodes(workspace)
        .filter(|(key, _)| key.epoch == current.get(&key.identifier).copied().unwrap_or(0))
        .map(|(key, node)| (key.identifier.clone(), node.profile))
        .collect()
}

fn news(before: &MemoryGraph, graph: &MemoryGraph, workspace: WorkspaceId) -> Vec<News> {
    let (had, have) = (owners(before, workspace), owners(graph, workspace));
    let mut came_from: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
    let mut went_to: BTreeMap<ProfileId, BTreeSet<ProfileId>> = BTreeMap::new();
    for (identifier, from) in &had {
        if let Some(to) = have.get(identifier) {
            came_from.entry(*to).or_default().insert(*from);
            went_to.entry(*from).or_default().insert(*to);
        }
    }
    let live: BTreeSet<ProfileId> = graph
        .profiles(workspace)
        .filter(|(_, record)| matches!(record, ProfileRecord::Live(_)))
        .map(|(id, _)| id)
        .collect();
    let mut news = Vec::new();
    for (profile, from) in came_from {
        let gone: Vec<ProfileId> = from.into_iter().filter(|id| !live.contains(id)).collect();
        if !gone.is_empty() {
            news.push(News::Merged { profile, gone });
        }
    }
    for (from, to) in went_to.into_iter().filter(|(_, to)| to.len() > 1) {
        for profile in &to {
            let others = to.iter().filter(|other| *other != profile).copied().collect();
            news.push(News::Split { profile: *profile, from, others });
        }
    }
    news
}
