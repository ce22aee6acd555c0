//! The stored evidence as a stream in the order of the log, from which a graph can be made again.
//!
//! Nodes say which event first had them as its anchor, edges and refused links which event first offered them. That
//! is all there is to replay: an event whose links were all offered before changes nothing.
//!
//! Identifiers are not handed over anew: epochs are taken as they are.

use crate::decide::{Checks, Offer, Taking, note_refusal, take};
use crate::graph::{
    Anchored, Edge, EdgeKey, EdgeRule, Evidence, Node, ProfileRecord, Refusal, RefusalReason,
};
use crate::merge::{self, By};
use crate::resolve::Context;
use crate::store::GraphStore;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use tributary_model::identifier::{Identifier, NodeKey};
use tributary_model::time::Timestamp;

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Item {
    /// The event had this node as its anchor, for the first time.
    Anchored {
        /// The anchor.
        node: NodeKey,
    },
    /// The event offered a link, for the first time.
    Link {
        /// Anchor and other identifier.
        key: EdgeKey,
        /// Which of the event's identifiers the other was.
        place: u16,
        /// The rule by which it was offered.
        rule: EdgeRule,
        /// Why it was refused, if it was.
        known_refusal: Option<RefusalReason>,
    },
    /// The identifier was handed over since.
    Epoch {
        /// Its node in epoch 0.
        node: NodeKey,
        /// The epoch that it is in now.
        current: u32,
    },
}

/// A piece of evidence with its event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dated {
    /// The event.
    pub evidence: Evidence,
    /// The log's time when it was read, as far as that is known.
    pub linked_at: Timestamp,
    /// The latest day on which the link was offered.
    pub last_day: i64,
    /// What it showed.
    pub item: Item,
}

/// The evidence that a node holds.
pub fn items_of_node(key: &NodeKey, node: &Node) -> Vec<Dated> {
    let anchored = match &node.anchored {
        Anchored::Never => None,
        Anchored::First => Some((&node.first, node.linked_at)),
        Anchored::Later(evidence) => Some((&**evidence, evidence.received_at)),
    };
    let dated = |evidence: &Evidence, linked_at, item| Dated {
        evidence: evidence.clone(),
        linked_at,
        last_day: evidence.day(),
        item,
    };
    let mut items = Vec::with_capacity(1);
    if let Some((evidence, linked_at)) = anchored {
        items.push(dated(evidence, linked_at, Item::Anchored { node: key.clone() }));
    }
    if node.current_epoch > 0 {
        let item = Item::Epoch { node: key.clone(), current: node.current_epoch };
        items.push(dated(&node.first, node.linked_at, item));
    }
    items
}

/// The evidence that an edge holds.
pub fn item_of_edge(key: &EdgeKey, edge: &Edge) -> Dated {
    Dated {
        evidence: edge.first.clone(),
        linked_at: edge.first.received_at,
        last_day: edge.last_day,
        item: Item::Link { key: key.clone(), place: edge.place, rule: edge.rule, known_refusal: None },
    }
}

/// The evidence that a refused link holds. One with a blocked value is for [`take_items`] to decide, which knows the
/// blocks of today.
pub fn item_of_refusal(key: &EdgeKey, refusal: &Refusal) -> Dated {
    let known_refusal = Some(refusal.reason.clone());
    let (place, rule) = (refusal.place, refusal.rule);
    Dated {
        evidence: refusal.first.clone(),
        linked_at: refusal.first.received_at,
        last_day: refusal.last_day,
        item: Item::Link { key: key.clone(), place, rule, known_refusal },
    }
}

/// Whether an item is taken before another: by position; of one event the anchor first, then the links by place.
pub fn item_order(one: &Dated, other: &Dated) -> Ordering {
    fn rank(dated: &Dated) -> (u8, u16, &NodeKey) {
        match &dated.item {
            Item::Anchored { node } => (0, 0, node),
            Item::Link { key, place, .. } => (1, *place, &key.other),
            Item::Epoch { node, .. } => (2, 0, node),
        }
    }
    one.evidence.position.cmp(&other.evidence.position).then_with(|| rank(one).cmp(&rank(other)))
}

/// Takes the evidence of one event into a graph: limits, caps, partitions and blocks decide anew. `items` are all of one
/// position, in [`item_order`]; `blocks` says whether the rules block a value. An identifier that is blocked or not
/// declared any more ties nothing, and what hung on it alone stands by itself.
///
/// # Errors
/// If the store fails or contradicts itself.
pub fn take_items<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    blocks: impl Fn(&Identifier) -> bool,
    items: &[Dated],
) -> Result<(), G::Error> {
    // What is no identifier under the rules of today ties nothing.
    let is_none =
        |identifier: &Identifier| context.rules.rule(identifier.namespace()).is_none() || blocks(identifier);
    let is_blocked = |key: &EdgeKey| is_none(&key.anchor.identifier) || is_none(&key.other.identifier);
    let mut links: Vec<Dated> = Vec::new();
    let mut cut: Vec<(&EdgeKey, u16, EdgeRule, &Dated)> = Vec::new();
    for dated in items {
        match &dated.item {
            Item::Link { key, place, rule, .. } if is_blocked(key) => cut.push((key, *place, *rule, dated)),
            Item::Link { .. } | Item::Anchored { .. } | Item::Epoch { .. } => links.push(dated.clone()),
        }
    }
    take_event(graph, context, &links, Checks::All)?;
    for (key, place, rule, dated) in cut {
        let context = &Context { log_time: dated.linked_at, ..*context };
        make_known(graph, context, &key.anchor, &dated.evidence)?;
        if is_none(&key.anchor.identifier) {
            make_known(graph, context, &key.other, &dated.evidence)?;
        }
        let offer = offer(key.other.clone(), place, rule, dated.last_day, false);
        note_refusal(graph, context, &key.anchor, &offer, &RefusalReason::Blocked, &dated.evidence)?;
    }
    Ok(())
}

pub(crate) fn take_event<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    items: &[Dated],
    checks: Checks,
) -> Result<(), G::Error> {
    let Some(first) = items.first() else { return Ok(()) };
    let context = &Context { log_time: first.linked_at, ..*context };
    // Of one event, all links have one anchor; a command of a person may tie several.
    let mut offers: Vec<Offer> = Vec::with_capacity(items.len());
    let mut is_event = false;
    let mut kept_apart: Vec<&Dated> = Vec::new();
    for dated in items {
        match &dated.item {
            Item::Anchored { node } => {
                is_event = true;
                offers.push(offer(node.clone(), 0, EdgeRule::SameEvent, dated.last_day, true));
            }
            Item::Link { known_refusal: Some(RefusalReason::Partition { .. }), .. }
                if checks == Checks::Kept =>
            {
                kept_apart.push(dated);
            }
            Item::Link { key, place, rule, known_refusal } => {
                if offers.first().is_none_or(|anchor| anchor.node != key.anchor) {
                    take_offers(graph, context, &dated.evidence, &offers, is_event, checks)?;
                    offers.clear();
                    is_event = false;
                    offers.push(offer(key.anchor.clone(), 0, *rule, dated.last_day, true));
                }
                if let Some(RefusalReason::Demotion { fault, .. }) = known_refusal
                    && offers.iter().all(|have| have.node != *fault)
                {
                    // It was on the event too, whose own link had been offered before.
                    offers.push(offer(fault.clone(), *place, *rule, dated.evidence.day(), false));
                }
                if offers.iter().all(|have| have.node != key.other) {
                    let taken = known_refusal.is_none();
                    offers.push(offer(key.other.clone(), *place, *rule, dated.last_day, taken));
                }
            }
            Item::Epoch { .. } => {}
        }
    }
    take_offers(graph, context, &first.evidence, &offers, is_event, checks)?;
    for dated in kept_apart {
        keep_apart(graph, context, dated)?;
    }
    for dated in items {
        if let Item::Epoch { node, current } = &dated.item {
            move_on(graph, context, node, *current, &dated.evidence)?;
        }
    }
    Ok(())
}

fn offer(node: NodeKey, place: u16, rule: EdgeRule, last_day: i64, taken_before: bool) -> Offer {
    Offer { node, place, rule, last_day, taken_before }
}

fn take_offers<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    evidence: &Evidence,
    offers: &[Offer],
    is_event: bool,
    checks: Checks,
) -> Result<(), G::Error> {
    if offers.is_empty() {
        return Ok(());
    }
    for offer in offers.iter().filter(|offer| offer.node.epoch > 0) {
        // An identifier that was handed over was known before.
        let first = NodeKey { epoch: 0, ..offer.node.clone() };
        make_known(graph, context, &first, evidence)?;
    }
    take_again(graph, context, evidence, offers, checks, is_event)
}

/// Takes offers whose nodes have not been looked up yet.
pub(crate) fn take_again<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    evidence: &Evidence,
    offers: &[Offer],
    checks: Checks,
    is_event: bool,
) -> Result<(), G::Error> {
    let mut known = Vec::with_capacity(offers.len());
    for offer in offers {
        known.push(graph.node(context.workspace, &offer.node)?);
    }
    take(graph, context, &Taking { evidence, offers, known: &known, checks, is_event, tell: false })?;
    Ok(())
}

/// Notes a link that stays refused, as [`take`] does with one that it refuses for a partition.
fn keep_apart<G: GraphStore>(graph: &mut G, context: &Context<'_>, dated: &Dated) -> Result<(), G::Error> {
    let Item::Link { key, place, rule, known_refusal: Some(reason) } = &dated.item else { return Ok(()) };
    make_known(graph, context, &key.other, &dated.evidence)?;
    // An anchor on another profile is not part of this graph.
    if graph.node(context.workspace, &key.anchor)?.is_some() {
        let offer = offer(key.other.clone(), *place, *rule, dated.last_day, false);
        note_refusal(graph, context, &key.anchor, &offer, reason, &dated.evidence)?;
    }
    Ok(())
}

/// Gives a node that is on no profile one of its own.
fn make_known<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    node: &NodeKey,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    if graph.node(context.workspace, node)?.is_none() {
        let partitions = graph.partitions(context.workspace)?;
        let by = By { partitions: &partitions, evidence, anchor: None };
        merge::create(graph, context, std::slice::from_ref(node), by)?;
    }
    Ok(())
}

/// Notes that an identifier is in a later epoch now.
fn move_on<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    node: &NodeKey,
    current: u32,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    make_known(graph, context, node, evidence)?;
    let Some(known) = graph.node(context.workspace, node)? else { return Ok(()) };
    graph.put_node(
        context.workspace,
        node.clone(),
        Node { current_epoch: current, ..Node::clone(&known) },
    )?;
    if let Some(ProfileRecord::Live(_)) = graph.profile(context.workspace, known.profile)? {
        merge::retire(graph, context.workspace, known.profile, node)?;
    }
    Ok(())
}
