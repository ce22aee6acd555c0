//! Why two identifiers are one person, or are not.

use crate::graph::{EdgeKey, Evidence, LiveProfile, Refusal, RefusalReason};
use crate::history::{HistoryRow, Row, history};
use crate::merge::{find, live_profile, look_up};
use crate::paths::{Step, Ties};
use crate::resolve::Context;
use crate::store::GraphRead;
use std::sync::Arc;
use tributary_model::command::Who;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::{Identifier, NodeKey};

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Explanation {
    /// There is no such profile.
    UnknownWho,
    /// The other identifier was never seen, nor refused.
    UnknownWith,
    /// They are one person's.
    Same {
        /// The profile.
        profile: ProfileId,
        /// The evidence that ties the one to the other, step by step; empty if they are the same identifier.
        path: Vec<Step>,
    },
    /// They are not.
    Apart {
        /// The profile of the one.
        who: ProfileId,
        /// The profile of the other, if it is on one.
        with: Option<ProfileId>,
        /// The links between the two that were refused, the oldest first.
        kept_apart: Vec<Apart>,
        /// The identifiers that the one had and the other took over, or nobody, the oldest first.
        handed_over: Vec<HistoryRow>,
    },
}

/// A link that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Apart {
    /// The anchor of the event.
    pub anchor: NodeKey,
    /// The identifier that was left out.
    pub other: NodeKey,
    /// Why.
    pub reason: RefusalReason,
    /// The first event that offered the link.
    pub evidence: Evidence,
    /// The latest day on which one did.
    pub last_day: i64,
}

/// Says why somebody and an identifier are one person, or are not.
///
/// # Errors
/// If the store can't be read, or contradicts itself.
pub fn explain<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    who: &Who,
    with: &Identifier,
) -> Result<Explanation, G::Error> {
    let workspace = context.workspace;
    let Some((id, live)) = find(graph, workspace, who)? else { return Ok(Explanation::UnknownWho) };
    let (node, known) = look_up(graph, workspace, with)?;
    let other = match known {
        Some(known) => Some(live_profile(graph, workspace, known.profile)?),
        None => None,
    };
    if other.as_ref().is_some_and(|other| other.id == id) {
        let edges = graph.edges_of(workspace, &live.members)?;
        let ties = Ties::of(&edges, |node| live.has(node));
        let start = start_of(context, &live, who);
        let path = ties.path(&[start], |at| *at == node, |_| true).unwrap_or_default();
        return Ok(Explanation::Same { profile: id, path });
    }
    let there = other.as_ref().map(|other| Arc::clone(&other.live));
    let is_there = |at: &NodeKey| *at == node || there.as_ref().is_some_and(|there| there.has(at));
    let mut refusals = graph.refusals_of(workspace, &live.members)?;
    refusals.retain(|(key, _)| is_there(&key.other));
    let anchors = there.as_ref().map_or_else(|| vec![node.clone()], |there| there.members.to_vec());
    let back = graph.refusals_of(workspace, &anchors)?;
    refusals.extend(back.into_iter().filter(|(key, _)| live.has(&key.other)));
    let handed_over =
        lost(graph, workspace, (id, &live), (with, there.as_deref()), other.as_ref().map(|o| o.id))?;
    if other.is_none() && refusals.is_empty() && handed_over.is_empty() {
        let first = NodeKey::first_epoch(with.clone());
        if graph.node(workspace, &first)?.is_none() {
            return Ok(Explanation::UnknownWith);
        }
    }
    let mut kept_apart: Vec<Apart> = refusals.into_iter().map(apart).collect();
    kept_apart.sort_by(|a, b| {
        (a.evidence.position, &a.anchor, &a.other).cmp(&(b.evidence.position, &b.anchor, &b.other))
    });
    Ok(Explanation::Apart { who: id, with: other.map(|other| other.id), kept_apart, handed_over })
}

/// The identifiers that one of two lost and that have to do with the other.
fn lost<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    (id, live): (ProfileId, &LiveProfile),
    (with, there): (&Identifier, Option<&LiveProfile>),
    other: Option<ProfileId>,
) -> Result<Vec<HistoryRow>, G::Error> {
    let has = |live: &LiveProfile, node: &NodeKey| {
        live.members.iter().any(|member| member.identifier == node.identifier)
    };
    let is_theirs = |node: &NodeKey| node.identifier == *with || there.is_some_and(|there| has(there, node));
    let is_ours = |node: &NodeKey| has(live, node);
    let mut rows = lost_by(graph, workspace, id, live, is_theirs)?;
    if let (Some(other), Some(there)) = (other, there) {
        rows.extend(lost_by(graph, workspace, other, there, is_ours)?);
    }
    rows.sort_by_key(|row| row.position);
    Ok(rows)
}

fn lost_by<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
    live: &LiveProfile,
    wanted: impl Fn(&NodeKey) -> bool,
) -> Result<Vec<HistoryRow>, G::Error> {
    if live.former.is_empty() {
        return Ok(Vec::new());
    }
    let rows = history(graph, workspace, id, live)?;
    let is_wanted = |row: &HistoryRow| matches!(&row.what, Row::Lost { node, .. } if wanted(node));
    Ok(rows.into_iter().filter(is_wanted).collect())
}

/// The identifier that somebody is named by; of a profile id, its identifier of the highest priority.
pub(crate) fn start_of(context: &Context<'_>, live: &LiveProfile, who: &Who) -> NodeKey {
    let named = match who {
        Who::Identifier(identifier) => live.identifiers().find(|node| node.identifier == *identifier),
        Who::Profile(_) => None,
    };
    let rank = |node: &&NodeKey| {
        let rule = context.rules.rule(node.identifier.namespace());
        rule.map_or(u32::MAX, |rule| rule.priority)
    };
    let first = || live.identifiers().min_by_key(rank).or_else(|| live.members.first());
    named.or_else(first).expect("a profile has a member").clone()
}

fn apart((key, refusal): (EdgeKey, Arc<Refusal>)) -> Apart {
    Apart {
        anchor: key.anchor,
        other: key.other,
        reason: refusal.reason.clone(),
        evidence: refusal.first.clone(),
        last_day: refusal.last_day,
    }
}
