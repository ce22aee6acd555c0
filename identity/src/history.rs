//! What happened to a profile, in order.
//!
//! Most of it is told by the evidence itself: who created it, which event brought which identifier, which links were
//! refused. Merges, partings and identifiers that changed hands were written down when they happened.

use crate::graph::{
    EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, LiveProfile, Refusal, RefusalReason,
};
use crate::store::GraphRead;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::NodeKey;
use tributary_model::record::Position;
use tributary_model::time::Timestamp;

/// Something that happened to a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryRow {
    /// The record of the events log that did it.
    pub position: Position,
    /// When that arrived.
    pub at: Timestamp,
    /// What happened.
    pub what: Row,
    /// The event, where one did it.
    pub evidence: Option<Evidence>,
    /// Who ordered it, where a person did.
    pub by: Option<String>,
    /// The reason that was given.
    pub reason: Option<String>,
}

/// What happened to a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    /// It came to be.
    Created,
    /// An event brought an identifier.
    Gained {
        /// Which.
        node: NodeKey,
    },
    /// Profiles became one.
    Merged {
        /// The sequence of the event: what the merge is named by.
        merge: u64,
        /// The profile that they became.
        survivor: ProfileId,
        /// The profiles that became part of it.
        merged: Vec<ProfileId>,
        /// The edges that tied them together.
        links: Vec<EdgeKey>,
    },
    /// An identifier was left out.
    Demoted {
        /// The event's anchor.
        anchor: NodeKey,
        /// The identifier.
        other: NodeKey,
        /// Why.
        reason: RefusalReason,
    },
    /// A person parted the profile.
    Parted {
        /// The partition.
        partition: u64,
        /// The profile that was parted.
        from: ProfileId,
        /// What came of it, the oldest first.
        into: Vec<ProfileId>,
    },
    /// It took an identifier over.
    Took {
        /// The identifier, in its new epoch.
        node: NodeKey,
        /// The profile that had it before.
        from: Option<ProfileId>,
        /// By which rule.
        rule: EdgeRule,
    },
    /// It lost an identifier.
    Lost {
        /// The identifier, in the epoch that ended.
        node: NodeKey,
        /// The profile that has it now.
        to: Option<ProfileId>,
        /// By which rule.
        rule: EdgeRule,
    },
}

impl Row {
    /// Which of the things that one record did is told first.
    const fn rank(&self) -> u8 {
        match self {
            Self::Created => 0,
            Self::Gained { .. } => 1,
            Self::Merged { .. } => 2,
            Self::Demoted { .. } => 3,
            Self::Parted { .. } => 4,
            Self::Lost { .. } => 5,
            Self::Took { .. } => 6,
        }
    }
}

/// What happened to a profile and to those that merged into it, in the order of the log.
///
/// # Errors
/// If the store can't be read.
pub fn history<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    id: ProfileId,
    live: &LiveProfile,
) -> Result<Vec<HistoryRow>, G::Error> {
    let mut rows = vec![of_event(&live.created, Row::Created)];
    let mut refusals = graph.refusals_of(workspace, &live.members)?;
    for key in graph.refused_by(workspace, &live.members)? {
        if !live.has(&key.anchor)
            && let Some(refusal) = graph.refusal(workspace, &key)?
        {
            refusals.push((key, refusal));
        }
    }
    // A link that was refused before there was the profile is none of its history.
    refusals.retain(|(_, refusal)| refusal.first.position >= live.created.position && !is_parting(refusal));
    for (key, refusal) in refusals {
        let EdgeKey { anchor, other } = key;
        rows.push(of_event(&refusal.first, Row::Demoted { anchor, other, reason: refusal.reason.clone() }));
    }
    let mut entries = graph.history(workspace, id)?;
    for merged in &live.merged {
        entries.extend(graph.history(workspace, *merged)?);
    }
    let mut taken = BTreeSet::new();
    let mut told: BTreeMap<Position, Vec<HistoryEntry>> = BTreeMap::new();
    for entry in entries {
        // A merge and a parting are written down for each profile that they touched.
        let at = told.entry(entry.position).or_default();
        if !at.contains(&entry) {
            at.push(entry);
        }
    }
    for entry in told.into_values().flatten() {
        if let Happened::Took { node, .. } = &entry.what {
            taken.insert(node.clone());
        }
        rows.push(of_entry(graph, workspace, entry)?);
    }
    for member in live.members.iter().filter(|member| !taken.contains(*member)) {
        if let Some(node) = graph.node(workspace, member)? {
            rows.push(of_event(&node.first, Row::Gained { node: member.clone() }));
        }
    }
    rows.sort_by(|a, b| order(a).cmp(&order(b)));
    Ok(rows)
}

fn order(row: &HistoryRow) -> (Position, u8, Option<&NodeKey>) {
    let node = match &row.what {
        Row::Gained { node } | Row::Took { node, .. } | Row::Lost { node, .. } => Some(node),
        Row::Demoted { other, .. } => Some(other),
        Row::Created | Row::Merged { .. } | Row::Parted { .. } => None,
    };
    (row.position, row.what.rank(), node)
}

fn of_event(evidence: &Evidence, what: Row) -> HistoryRow {
    HistoryRow {
        position: evidence.position,
        at: evidence.received_at,
        what,
        evidence: Some(evidence.clone()),
        by: None,
        reason: None,
    }
}

/// Whether a link was taken when it was offered, and counts as refused only since a person parted its ends.
fn is_parting(refusal: &Refusal) -> bool {
    match &refusal.reason {
        RefusalReason::Partition { partition } => refusal.first.position.sequence < *partition,
        RefusalReason::Limit { .. }
        | RefusalReason::Demotion { .. }
        | RefusalReason::Cap { .. }
        | RefusalReason::Blocked => false,
    }
}

fn of_entry<G: GraphRead>(
    graph: &mut G,
    workspace: WorkspaceId,
    entry: HistoryEntry,
) -> Result<HistoryRow, G::Error> {
    // An event that hands a device over is the first one of its new epoch.
    let mut first_of = |node: NodeKey, rule: EdgeRule| -> Result<Option<Evidence>, G::Error> {
        let node = graph.node(workspace, &node)?.filter(|_| rule == EdgeRule::SignIn);
        Ok(node.map(|node| node.first.clone()))
    };
    let HistoryEntry { at, position, what, by, reason } = entry;
    let (what, evidence) = match what {
        Happened::Merged { survivor, merged, links, evidence } => {
            (Row::Merged { merge: position.sequence, survivor, merged, links }, Some(evidence))
        }
        Happened::Parted { partition, from, into } => (Row::Parted { partition, from, into }, None),
        Happened::Took { node, from, rule } => {
            let event = first_of(node.clone(), rule)?;
            (Row::Took { node, from, rule }, event)
        }
        Happened::Lost { node, to, rule } => {
            let event = first_of(NodeKey { epoch: node.epoch + 1, ..node.clone() }, rule)?;
            (Row::Lost { node, to, rule }, event)
        }
    };
    Ok(HistoryRow { position, at, what, evidence, by, reason })
}
