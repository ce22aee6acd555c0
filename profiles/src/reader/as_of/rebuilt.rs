//! A rebuild of the graph in memory, as [`crate::rebuild`] does it with a stored one.
//!
//! What it tells the histories of profiles is left out: nothing that is taken after it goes by that.

use crate::reader::LookupError;
use std::sync::Arc;
use tributary_identity::{
    Context, Dated, GraphRead, GraphStore, LiveProfile, MemoryGraph, Partition, ProfileRecord, item_of_edge,
    item_of_refusal, item_order, items_of_node, take_items,
};
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::{ProfileId, WorkspaceId};

/// The graph that the evidence of this one makes under the context's rules, of which `reader` is made.
///
/// # Errors
/// If the graph contradicts itself.
pub(super) fn rebuilt(
    graph: &mut MemoryGraph,
    context: &Context<'_>,
    reader: &IdentifierReader,
) -> Result<MemoryGraph, LookupError> {
    let workspace = context.workspace;
    let mut made = MemoryGraph::new();
    for partition in graph.partitions(workspace)?.iter() {
        made.put_partition(workspace, Partition::clone(partition))?;
    }
    let before: Vec<(ProfileId, ProfileRecord)> =
        graph.profiles(workspace).map(|(id, record)| (id, record.clone())).collect();
    for (id, _) in &before {
        for entry in graph.history(workspace, *id)? {
            made.put_history(workspace, *id, entry)?;
        }
    }
    for event in evidence(graph, workspace).chunk_by(|a, b| a.evidence.position == b.evidence.position) {
        take_items(&mut made, context, |identifier| reader.blocks(identifier), event)?;
    }
    for (id, record) in &before {
        if made.profile(workspace, *id)?.is_none()
            && let Some(live) = live_before(graph, workspace, record)?
        {
            keep_id(&mut made, workspace, *id, &live)?;
        }
    }
    Ok(made)
}

/// All evidence, in the order of the log.
fn evidence(graph: &MemoryGraph, workspace: WorkspaceId) -> Vec<Dated> {
    let mut items: Vec<Dated> = Vec::new();
    items.extend(graph.nodes(workspace).flat_map(|(key, node)| items_of_node(key, node)));
    items.extend(graph.edges(workspace).map(|(key, edge)| item_of_edge(&key, edge)));
    items.extend(graph.refusals(workspace).map(|(key, refusal)| item_of_refusal(&key, refusal)));
    items.sort_by(item_order);
    items
}

fn live_before(
    graph: &mut MemoryGraph,
    workspace: WorkspaceId,
    record: &ProfileRecord,
) -> Result<Option<Arc<LiveProfile>>, LookupError> {
    match record {
        ProfileRecord::Live(live) => Ok(Some(Arc::clone(live))),
        ProfileRecord::MergedInto(target) => match graph.profile(workspace, *target)? {
            Some(ProfileRecord::Live(live)) => Ok(Some(live)),
            Some(ProfileRecord::MergedInto(_)) | None => Ok(None),
        },
    }
}

/// Lets an id that the new graph does not know find the oldest profile that has an identifier of the one it stood for.
fn keep_id(
    made: &mut MemoryGraph,
    workspace: WorkspaceId,
    id: ProfileId,
    before: &LiveProfile,
) -> Result<(), LookupError> {
    let mut heirs: Vec<(ProfileId, Arc<LiveProfile>)> = Vec::new();
    for member in before.members.iter() {
        if let Some(node) = made.node(workspace, member)?
            && let Some(ProfileRecord::Live(live)) = made.profile(workspace, node.profile)?
        {
            heirs.push((node.profile, live));
        }
    }
    let oldest = heirs.into_iter().min_by_key(|(id, live)| (live.created.position, *id));
    let Some((heir, mut live)) = oldest else { return Ok(()) };
    let merged = &mut Arc::make_mut(&mut live).merged;
    merged.push(id);
    merged.sort_unstable();
    made.put_profile(workspace, heir, ProfileRecord::Live(live))?;
    made.put_profile(workspace, id, ProfileRecord::MergedInto(heir))?;
    Ok(())
}
