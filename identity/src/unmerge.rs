//! Undoing a merge: a partition is stored, and the evidence is taken anew with it in force.
//!
//! What a limit, a cap or a block had decided stays decided, unless the caller wants it decided again. So where nothing
//! of the kind had intervened, the sides are what they would have been with the partition in force from the beginning.
//! What an earlier partition refused stays refused, too: where that is not what would have been, the caller has to list
//! the sides.

use crate::decide::{Checks, Offer};
use crate::graph::{
    Edge, EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, LiveProfile, ProfileRecord, Refusal,
    RefusalReason,
};
use crate::memory::MemoryGraph;
use crate::merge::{find, live_profile};
use crate::partition::Partition;
use crate::replay::take_again;
use crate::resolve::Context;
use crate::scope::{Beside, Scope};
use crate::sides::{CommandRefused, RefusedKind, Whole};
use crate::store::{GraphRead, GraphStore};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_model::command::{UnmergeTarget, Who};
use tributary_model::id::{MessageId, ProfileId, SourceId};
use tributary_model::identifier::NodeKey;
use tributary_model::record::Position;
use tributary_model::time::Timestamp;

/// The command's record, and who gave it.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// Its position in the events log.
    pub position: Position,
    /// When it was given.
    pub at: Timestamp,
    /// Who gave it.
    pub by: &'a str,
    /// The reason that was given with it.
    pub reason: Option<&'a str>,
}

impl Ordered<'_> {
    /// The command as evidence for what a person said.
    pub(crate) fn evidence(&self) -> Evidence {
        let id = format!("tributary-{}", self.position.sequence);
        Evidence {
            position: self.position,
            message_id: MessageId::parse(&id).expect("a short text"),
            source: SourceId(0),
            received_at: self.at,
            event_time: self.at,
        }
    }
}

/// What becomes of decisions that the joint profile had taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retake {
    /// They stay.
    Keep,
    /// They are taken again, under the rules of today.
    Again,
}

/// A decision that a limit, a cap or a block took about a joint profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The event's anchor.
    pub anchor: NodeKey,
    /// The identifier that was left out.
    pub other: NodeKey,
    /// Why.
    pub reason: RefusalReason,
    /// The first event whose link was refused.
    pub evidence: Evidence,
}

/// A profile that others became part of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    /// Its id.
    pub profile: ProfileId,
    /// The profile as it is now.
    pub live: Arc<LiveProfile>,
    /// The ids of those that became part of it, sorted.
    pub merged: Vec<ProfileId>,
}

/// A profile that was parted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmerged {
    /// The partition that keeps the sides apart from now on.
    pub partition: u64,
    /// The profile that there was.
    pub before: ProfileId,
    /// The profiles that there are, the oldest first.
    pub profiles: Vec<(ProfileId, Arc<LiveProfile>)>,
    /// The sides, in the order in which they were named or found; each sorted.
    pub sides: Vec<Vec<NodeKey>>,
    /// What the joint profile had decided since the sides were joined, in order.
    pub decisions: Vec<Decision>,
    /// Where decisions were taken again: the profiles that others became part of.
    pub joined: Vec<Joined>,
    /// Every profile id whose record changed, sorted.
    pub changed: Vec<ProfileId>,
    /// How many more live profiles there are now than before.
    pub profiles_delta: i64,
}

/// Parts a profile.
///
/// # Errors
/// If the store fails or contradicts itself; then the graph may hold a part of the change. A command that can't be
/// carried out is no error of that kind: the inner result says why, and the graph is as it was.
pub fn unmerge<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    who: &Who,
    target: &UnmergeTarget,
    retake: Retake,
    order: &Ordered<'_>,
) -> Result<Result<Unmerged, CommandRefused>, G::Error> {
    let workspace = context.workspace;
    let Some((before, live)) = find(graph, workspace, who)? else {
        let message = "no profile has this identifier";
        return Ok(Err(CommandRefused::new(RefusedKind::NotFound, message)));
    };
    let whole = Whole::of(graph, workspace, before, &live)?;
    let sides = match whole.cut(graph, workspace, target)? {
        Ok(sides) => sides,
        Err(refused) => return Ok(Err(refused)),
    };
    let decisions = decisions(graph, context, &whole, &sides)?;
    let partition = Partition {
        id: order.position.sequence,
        sides: sides.clone(),
        by: order.by.to_owned(),
        reason: order.reason.map(str::to_owned),
        at: order.at,
    };
    if !matches!(target, UnmergeTarget::Sides(_))
        && let Some(torn) = torn(graph, context, before, &partition)?
    {
        let message = "an identifier would go over to somebody whom an earlier partition kept away from this \
                       profile: list the sides";
        let mut refused = CommandRefused::new(RefusedKind::Ambiguous, message);
        refused.paths = whole.path_from(&torn).into_iter().collect();
        return Ok(Err(refused));
    }
    let beside = Beside::Decisions(match retake {
        Retake::Keep => &[],
        Retake::Again => &decisions,
    });
    let scope = Scope::of(graph, context, before, beside)?;
    let mut replayed = scope.replay(graph, context, &partition, beside)?;
    tie_sides(&mut replayed, context, &sides, &order.evidence())?;
    graph.put_partition(workspace, partition)?;
    let (changed, profiles_delta) = scope.write_back(graph, context, &mut replayed)?;

    let profiles = profiles_of(graph, context, &sides)?;
    tell(graph, context, before, &profiles, order)?;
    let joined = joined_again(graph, context, &scope, &decisions, order)?;
    let partition = order.position.sequence;
    Ok(Ok(Unmerged { partition, before, profiles, sides, decisions, joined, changed, profiles_delta }))
}

/// The profiles that became part of another because decisions were taken again; each merge goes into the history.
fn joined_again<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    scope: &Scope,
    decisions: &[Decision],
    order: &Ordered<'_>,
) -> Result<Vec<Joined>, G::Error> {
    let mut merged: BTreeMap<ProfileId, Vec<ProfileId>> = BTreeMap::new();
    for id in scope.profiles.keys() {
        if let Some(ProfileRecord::MergedInto(survivor)) = graph.profile(context.workspace, *id)? {
            merged.entry(survivor).or_default().push(*id);
        }
    }
    let mut taken = Vec::new();
    for Decision { anchor, other, .. } in decisions {
        let key = EdgeKey { anchor: anchor.clone(), other: other.clone() };
        if graph.edge(context.workspace, &key)?.is_some() {
            taken.push(key);
        }
    }
    let mut joined = Vec::new();
    for (survivor, gone) in merged {
        let was_theirs = |node: &NodeKey| gone.iter().any(|id| scope.profiles[id].has(node));
        let links = taken.iter().filter(|key| was_theirs(&key.anchor) || was_theirs(&key.other)).cloned();
        let what = Happened::Merged {
            survivor,
            merged: gone.clone(),
            links: links.collect(),
            evidence: order.evidence(),
        };
        let (by, reason) = (Some(order.by.to_owned()), order.reason.map(str::to_owned));
        let entry = HistoryEntry { at: order.at, position: order.position, what, by, reason };
        for id in gone.iter().chain([&survivor]) {
            graph.put_history(context.workspace, *id, entry.clone())?;
        }
        let live = live_profile(graph, context.workspace, survivor)?.live;
        joined.push(Joined { profile: survivor, live, merged: gone });
    }
    Ok(joined)
}

/// The profiles that the sides are on, the oldest first.
fn profiles_of<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    sides: &[Vec<NodeKey>],
) -> Result<Vec<(ProfileId, Arc<LiveProfile>)>, G::Error> {
    let mut found: BTreeMap<ProfileId, Arc<LiveProfile>> = BTreeMap::new();
    for node in sides.iter().flatten() {
        if let Some(node) = graph.node(context.workspace, node)? {
            let profile = live_profile(graph, context.workspace, node.profile)?;
            found.insert(profile.id, profile.live);
        }
    }
    let mut profiles: Vec<_> = found.into_iter().collect();
    profiles.sort_by_key(|(id, live)| (live.created.position, *id));
    Ok(profiles)
}

/// Writes the parting into the history of every profile that it touched.
fn tell<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    before: ProfileId,
    profiles: &[(ProfileId, Arc<LiveProfile>)],
    order: &Ordered<'_>,
) -> Result<(), G::Error> {
    let into: Vec<ProfileId> = profiles.iter().map(|(id, _)| *id).collect();
    for id in into.iter().chain([&before]).collect::<BTreeSet<_>>() {
        let what = Happened::Parted { partition: order.position.sequence, from: before, into: into.clone() };
        let (by, reason) = (Some(order.by.to_owned()), order.reason.map(str::to_owned));
        let entry = HistoryEntry { at: order.at, position: order.position, what, by, reason };
        graph.put_history(context.workspace, *id, entry)?;
    }
    Ok(())
}

/// What limits, caps and blocks decided about the profile since its sides were first tied together.
fn decisions<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    whole: &Whole<'_>,
    sides: &[Vec<NodeKey>],
) -> Result<Vec<Decision>, G::Error> {
    let side = |node: &NodeKey| sides.iter().position(|side| side.binary_search(node).is_ok());
    let crossing = whole.edges.iter().filter(|(key, _)| side(&key.anchor) != side(&key.other));
    // What a person tied together had been joined before, by what an earlier partition cut.
    let since = |edge: &Edge| match edge.rule {
        EdgeRule::SameSide => Position::default(),
        EdgeRule::SameEvent | EdgeRule::Alias | EdgeRule::SignIn | EdgeRule::ByHand => edge.first.position,
    };
    let Some(joined) = crossing.map(|(_, edge)| since(edge)).min() else { return Ok(Vec::new()) };
    let members = &whole.live.members;
    let mut refusals: BTreeMap<EdgeKey, Arc<Refusal>> =
        graph.refusals_of(context.workspace, members)?.into_iter().collect();
    for key in graph.refused_by(context.workspace, members)? {
        if let Some(refusal) = graph.refusal(context.workspace, &key)? {
            refusals.insert(key, refusal);
        }
    }
    let taken = refusals
        .into_iter()
        .filter(|(_, refusal)| refusal.reason.is_decision() && refusal.first.position >= joined);
    let mut decisions: Vec<Decision> = taken
        .map(|(EdgeKey { anchor, other }, refusal)| {
            let (reason, evidence) = (refusal.reason.clone(), refusal.first.clone());
            Decision { anchor, other, reason, evidence }
        })
        .collect();
    decisions.sort_by(|a, b| {
        (a.evidence.position, &a.anchor, &a.other).cmp(&(b.evidence.position, &b.anchor, &b.other))
    });
    Ok(decisions)
}

/// Ties together what a side has in several profiles: the caller said that it is one person.
fn tie_sides(
    made: &mut MemoryGraph,
    context: &Context<'_>,
    sides: &[Vec<NodeKey>],
    evidence: &Evidence,
) -> Result<(), crate::Inconsistent> {
    for side in sides {
        let mut seen: Vec<ProfileId> = Vec::new();
        let mut offers: Vec<Offer> = Vec::new();
        for node in side {
            let Some(known) = made.node(context.workspace, node)? else { continue };
            if !seen.contains(&known.profile) {
                seen.push(known.profile);
                let place = u16::try_from(offers.len()).unwrap_or(u16::MAX);
                let (rule, last_day) = (EdgeRule::SameSide, evidence.day());
                offers.push(Offer { node: node.clone(), place, rule, last_day, taken_before: true });
            }
        }
        if offers.len() > 1 {
            take_again(made, context, evidence, &offers, Checks::Kept, false)?;
        }
    }
    Ok(())
}

/// An identifier of the profile that would not stay among its own, were the links that earlier partitions refused
/// offered again: with the new partition in force from the beginning, nothing would have kept it from others.
fn torn<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    before: ProfileId,
    partition: &Partition,
) -> Result<Option<NodeKey>, G::Error> {
    let scope = Scope::of(graph, context, before, Beside::Partitions)?;
    if scope.profiles.len() == 1 {
        return Ok(None);
    }
    let mut made = scope.replay(graph, context, partition, Beside::Partitions)?;
    for side in &partition.sides {
        let mut owner = None;
        for node in side {
            let Some(known) = made.node(context.workspace, node)? else { continue };
            let is_first = owner.is_none();
            if *owner.get_or_insert(known.profile) != known.profile {
                return Ok(Some(node.clone()));
            }
            let live = live_profile(&mut made, context.workspace, known.profile)?.live;
            if is_first && live.members.iter().any(|member| side.binary_search(member).is_err()) {
                return Ok(Some(node.clone()));
            }
        }
    }
    Ok(None)
}
