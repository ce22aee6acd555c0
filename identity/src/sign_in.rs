//! Shared devices: an identifier that follows the last sign-in, and handing one over in general.
//!
//! An identifier is handed over by opening its next epoch: what it brings from then on belongs to the new owner, what
//! it brought before stays with the old one, of whom the old epoch becomes a former member.

use crate::decide::{Offer, Taken, Taking, note_edge};
use crate::graph::{EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, Inconsistent, Node, RefusalReason};
use crate::limits::WouldBe;
use crate::merge::{self, By, Existing};
use crate::partition::{Sides, lives_of};
use crate::resolve::Context;
use crate::store::GraphStore;
use tributary_model::id::ProfileId;
use tributary_model::identifier::{Identifier, NodeKey};
use tributary_model::identity_rules::SharedDevice;

/// What followed a sign-in.
#[derive(Default)]
pub(crate) struct Followed {
    /// The nodes that are on the profile now.
    pub(crate) nodes: Vec<NodeKey>,
    /// The profiles that lost one.
    pub(crate) from: Vec<ProfileId>,
}

/// Lets devices whose policy says so follow the person who signed in: those that a limit kept off the profile of an
/// anchor of a higher priority, as far as they fit there.
pub(crate) fn follow<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    taking: &Taking<'_>,
    taken: &mut Taken,
) -> Result<Followed, G::Error> {
    let mut followed = Followed::default();
    let anchor = &taking.offers[0].node;
    let places: Vec<usize> = taken
        .refused
        .iter()
        .filter(|(place, reason)| follows(context, anchor, &taking.offers[*place].node, reason))
        .map(|(place, _)| *place)
        .collect();
    for place in places {
        let offer = &taking.offers[place];
        let known = graph.node(context.workspace, &offer.node)?;
        let node = match &known {
            None => offer.node.clone(),
            Some(_) => next_epoch(&offer.node),
        };
        if is_parted(graph, context, &taken.profile, &node)?
            || refuse(graph, context, &taken.profile, &node)?.is_some()
        {
            continue;
        }
        let ordered = Handing { rule: EdgeRule::SignIn, evidence: taking.evidence, by: None, reason: None };
        if let Some(known) = known {
            give_up(graph, context, &offer.node, known.profile, Some(taken.profile.id), &ordered)?;
            followed.from.push(known.profile);
        }
        let profile = taken.profile.clone();
        let from = followed.from.last().copied().filter(|_| node.epoch > offer.node.epoch);
        taken.profile = take_over(graph, context, profile, &node, from, &ordered)?;
        let tie = Offer { node: node.clone(), rule: EdgeRule::SignIn, ..offer.clone() };
        note_edge(graph, context, anchor, &tie, taking.evidence)?;
        // `take` has noted a refusal: it was none.
        let key = EdgeKey { anchor: anchor.clone(), other: offer.node.clone() };
        if graph.refusal(context.workspace, &key)?.is_some_and(|known| known.first == *taking.evidence) {
            graph.remove_refusal(context.workspace, &key)?;
        }
        taken.refused.retain(|(refused, _)| *refused != place);
        followed.nodes.push(node);
    }
    Ok(followed)
}

/// Whether a person parted an identifier from a profile, in whatever epoch it was.
fn is_parted<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    profile: &Existing,
    node: &NodeKey,
) -> Result<bool, G::Error> {
    let partitions = graph.partitions(context.workspace)?;
    if partitions.is_empty() {
        return Ok(false);
    }
    let mut sides = Sides::new(&partitions);
    sides.take(profile.live.members.iter());
    Ok(sides.conflict(&lives_of(node)).is_some())
}

/// Why a profile may not have one more identifier, which is on no profile; `None` if it may.
pub(crate) fn refuse<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    profile: &Existing,
    node: &NodeKey,
) -> Result<Option<RefusalReason>, G::Error> {
    let partitions = graph.partitions(context.workspace)?;
    if !partitions.is_empty() {
        let mut sides = Sides::new(&partitions);
        sides.take(profile.live.members.iter());
        if let Some(partition) = sides.conflict([node]) {
            return Ok(Some(RefusalReason::Partition { partition }));
        }
    }
    WouldBe { profiles: vec![profile], unknown: vec![node] }.refuse(graph, context)
}

/// Why, by whom and when an identifier is handed over.
pub(crate) struct Handing<'a> {
    pub(crate) rule: EdgeRule,
    pub(crate) evidence: &'a Evidence,
    pub(crate) by: Option<&'a str>,
    pub(crate) reason: Option<&'a str>,
}

impl Handing<'_> {
    fn entry(&self, what: Happened) -> HistoryEntry {
        HistoryEntry {
            at: self.evidence.received_at,
            position: self.evidence.position,
            what,
            by: self.by.map(str::to_owned),
            reason: self.reason.map(str::to_owned),
        }
    }
}

/// The node that an identifier is in once it is handed over.
pub(crate) fn next_epoch(node: &NodeKey) -> NodeKey {
    NodeKey { epoch: node.epoch + 1, ..node.clone() }
}

/// Ends the epoch of a node that is on a profile.
pub(crate) fn give_up<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    node: &NodeKey,
    owner: ProfileId,
    to: Option<ProfileId>,
    handing: &Handing<'_>,
) -> Result<(), G::Error> {
    let workspace = context.workspace;
    let first = NodeKey { epoch: 0, ..node.clone() };
    let known = graph.node(workspace, &first)?.ok_or(Inconsistent::NoNode(owner))?;
    let moved_on = Node { current_epoch: node.epoch + 1, ..Node::clone(&known) };
    graph.put_node(workspace, first, moved_on)?;
    merge::retire(graph, workspace, owner, node)?;
    let what = Happened::Lost { node: node.clone(), to, rule: handing.rule };
    graph.put_history(workspace, owner, handing.entry(what))
}

/// Puts a node that is on no profile on this one.
pub(crate) fn take_over<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    profile: Existing,
    node: &NodeKey,
    from: Option<ProfileId>,
    handing: &Handing<'_>,
) -> Result<Existing, G::Error> {
    let partitions = graph.partitions(context.workspace)?;
    let by = By { partitions: &partitions, evidence: handing.evidence, anchor: None };
    let id = profile.id;
    let profile = merge::grow(graph, context, profile, &[], std::slice::from_ref(node), by)?;
    if node.epoch > 0 || handing.rule == EdgeRule::ByHand {
        let what = Happened::Took { node: node.clone(), from, rule: handing.rule };
        graph.put_history(context.workspace, id, handing.entry(what))?;
    }
    Ok(profile)
}

fn follows(context: &Context<'_>, anchor: &NodeKey, device: &NodeKey, reason: &RefusalReason) -> bool {
    let by_limit = match reason {
        RefusalReason::Limit { .. } => true,
        RefusalReason::Demotion { reason, .. } => matches!(**reason, RefusalReason::Limit { .. }),
        RefusalReason::Cap { .. } | RefusalReason::Blocked | RefusalReason::Partition { .. } => false,
    };
    let rule_of = |node: &NodeKey| context.rules.rule(Identifier::namespace(&node.identifier));
    match (rule_of(anchor), rule_of(device)) {
        (Some(anchor), Some(device)) => {
            by_limit && device.shared_device == SharedDevice::LastSignIn && anchor.priority < device.priority
        }
        _ => false,
    }
}
