//! Identifiers that a person links, removes or moves.
//!
//! Each opens the identifier's next epoch: what came before stays where it is.

use crate::decide::{Offer, note_edge};
use crate::explain::start_of;
use crate::graph::{EdgeRule, RefusalReason};
use crate::merge::{Existing, find, look_up};
use crate::resolve::Context;
use crate::sides::{CommandRefused, RefusedKind};
use crate::sign_in::{Handing, give_up, next_epoch, refuse, take_over};
use crate::store::GraphStore;
use crate::unmerge::Ordered;
use tributary_model::command::{Action, Who};
use tributary_model::id::ProfileId;
use tributary_model::identifier::{Identifier, NodeKey};

/// An identifier that changed hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HandedOver {
    /// The identifier, in the epoch that it is in now.
    pub node: NodeKey,
    /// The profile that had it.
    pub from: Option<ProfileId>,
    /// The profile that has it.
    pub to: Option<ProfileId>,
    /// Every profile id whose record changed, sorted.
    pub changed: Vec<ProfileId>,
    /// How many more live profiles there are now than before.
    pub profiles_delta: i64,
}

/// Carries out a link, a removal or a move.
///
/// # Errors
/// If the store fails or contradicts itself; then the graph may hold a part of the change. A command that can't be
/// carried out is no error of that kind: the inner result says why, and the graph is as it was.
pub fn hand_over<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    action: &Action,
    order: &Ordered<'_>,
) -> Result<Result<HandedOver, CommandRefused>, G::Error> {
    match action {
        Action::Link { who, identifier } => link(graph, context, None, who, identifier, order),
        Action::Move { who, identifier, to } => link(graph, context, Some(who), to, identifier, order),
        Action::Remove { who, identifier } => remove(graph, context, who, identifier, order),
        Action::Unmerge { .. } | Action::Rebuild => {
            Ok(refused(RefusedKind::Invalid, "this command hands no identifier over"))
        }
    }
}

fn refused<T>(kind: RefusedKind, message: impl Into<String>) -> Result<T, CommandRefused> {
    Err(CommandRefused::new(kind, message))
}

const NO_PROFILE: &str = "no profile has this identifier";

fn link<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    from: Option<&Who>,
    to: &Who,
    identifier: &Identifier,
    order: &Ordered<'_>,
) -> Result<Result<HandedOver, CommandRefused>, G::Error> {
    let workspace = context.workspace;
    let Some((target, live)) = find(graph, workspace, to)? else {
        return Ok(refused(RefusedKind::NotFound, NO_PROFILE));
    };
    if context.rules.rule(identifier.namespace()).is_none() {
        let message = format!("the identity rules don't declare the namespace {}", identifier.namespace());
        return Ok(refused(RefusedKind::Invalid, message));
    }
    let (node, known) = look_up(graph, workspace, identifier)?;
    let owner = known.map(|known| known.profile);
    if let Some(from) = from {
        let Some((from, _)) = find(graph, workspace, from)? else {
            return Ok(refused(RefusedKind::NotFound, NO_PROFILE));
        };
        if owner != Some(from) {
            let message = "the profile does not have the identifier that is to be moved";
            return Ok(refused(RefusedKind::NothingToPart, message));
        }
    }
    if owner == Some(target) {
        return Ok(refused(RefusedKind::Conflict, "the profile has this identifier already"));
    }
    let new = if owner.is_some() { next_epoch(&node) } else { node.clone() };
    let profile = Existing { id: target, live };
    if let Some(reason) = refuse(graph, context, &profile, &new)? {
        return Ok(refused(RefusedKind::Conflict, in_words(&reason)));
    }
    let evidence = order.evidence();
    let anchor = start_of(context, &profile.live, to);
    let handing =
        Handing { rule: EdgeRule::ByHand, evidence: &evidence, by: Some(order.by), reason: order.reason };
    if let Some(owner) = owner {
        give_up(graph, context, &node, owner, Some(target), &handing)?;
    }
    take_over(graph, context, profile, &new, owner, &handing)?;
    let (rule, last_day) = (EdgeRule::ByHand, evidence.day());
    let offer = Offer { node: new.clone(), place: 1, rule, last_day, taken_before: true };
    note_edge(graph, context, &anchor, &offer, &evidence)?;
    let mut changed: Vec<ProfileId> = owner.into_iter().chain([target]).collect();
    changed.sort();
    Ok(Ok(HandedOver { node: new, from: owner, to: Some(target), changed, profiles_delta: 0 }))
}

fn remove<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    who: &Who,
    identifier: &Identifier,
    order: &Ordered<'_>,
) -> Result<Result<HandedOver, CommandRefused>, G::Error> {
    let workspace = context.workspace;
    let Some((owner, _)) = find(graph, workspace, who)? else {
        return Ok(refused(RefusedKind::NotFound, NO_PROFILE));
    };
    let (node, known) = look_up(graph, workspace, identifier)?;
    if known.is_none_or(|known| known.profile != owner) {
        let message = "the profile does not have the identifier that is to be removed";
        return Ok(refused(RefusedKind::NothingToPart, message));
    }
    let evidence = order.evidence();
    let handing =
        Handing { rule: EdgeRule::ByHand, evidence: &evidence, by: Some(order.by), reason: order.reason };
    give_up(graph, context, &node, owner, None, &handing)?;
    let node = next_epoch(&node);
    Ok(Ok(HandedOver { node, from: Some(owner), to: None, changed: vec![owner], profiles_delta: 0 }))
}

fn in_words(reason: &RefusalReason) -> String {
    match reason {
        RefusalReason::Demotion { reason, .. } => in_words(reason),
        RefusalReason::Limit { namespace, limit, count } => {
            format!("the profile would have {count} identifiers of {namespace}; the limit is {limit}")
        }
        RefusalReason::Cap { cap, limit, count } => {
            format!("the profile would have {count} {}; the cap is {limit}", cap.name())
        }
        RefusalReason::Blocked => "the identity rules block this value".to_owned(),
        RefusalReason::Partition { partition } => {
            format!("partition prt_{partition} keeps this identifier away from the profile")
        }
    }
}
