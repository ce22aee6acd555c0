//! What happened to a profile, in order.
//!
//! Most of it is told by the evidence itself: who created it, which event brought which identifier, which links were
//! refused. Merges, partings and identifiers that changed hands were written down when they happened.

use crate::graph::{EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, LiveProfile, RefusalReason};
use crate::store::GraphRead;
use std::collections::BTreeSet;
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
    for member in live.members.iter() {
        let Some(node) = graph.node(workspace, member)? else { continue };
        let is_told = member.epoch > 0 || node.first.position == live.created.position;
        if !is_told {
            rows.push(of_event(&node.first, Row::Gained { node: member.clone() }));
        }
    }
    let mut refusals = graph.refusals_of(workspace, &live.members)?;
    for key in graph.refused_by(workspace, &live.members)? {
        if !live.has(&key.anchor)
            && let Some(refusal) = graph.refusal(workspace, &key)?
        {
            refusals.push((key, refusal));
        }
    }
    // A link that was refused before there was the profile is none of its history.
    refusals.retain(|(_, refusal)| refusal.first.position >= live.created.position);
    for (key, refusal) in refusals {
        let EdgeKey { anchor, other } = key;
        rows.push(of_event(&refusal.first, Row::Demoted { anchor, other, reason: refusal.reason.clone() }));
    }
    let mut entries = graph.history(workspace, id)?;
    for merged in &live.merged {
        entries.extend(graph.history(workspace, *merged)?);
    }
    // A merge and a parting are written down for each profile that they touched.
    let mut told = BTreeSet::new();
    for entry in entries {
        let is_shared = matches!(entry.what, Happened::Merged { .. } | Happened::Parted { .. });
        if !is_shared || told.insert(entry.position) {
            rows.push(of_entry(entry));
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

fn of_entry(entry: HistoryEntry) -> HistoryRow {
    let mut event = None;
    let what = match entry.what {
        Happened::Merged { survivor, merged, links, evidence } => {
            event = Some(evidence);
            Row::Merged { merge: entry.position.sequence, survivor, merged, links }
        }
        Happened::Parted { partition, from, into } => Row::Parted { partition, from, into },
        Happened::Took { node, from, rule } => Row::Took { node, from, rule },
        Happened::Lost { node, to, rule } => Row::Lost { node, to, rule },
    };
    HistoryRow {
        position: entry.position,
        at: entry.at,
        what,
        evidence: event,
        by: entry.by,
        reason: entry.reason,
    }
}
