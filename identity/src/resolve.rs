//! One event against the graph: which profile it belongs to, and what it changes.
//!
//! The steps, and why they are as they are, are explained in `README.md` beside `src/`; in short: leave out what a
//! partition keeps away, search the profiles of the event's identifiers, form the profile that all of them would
//! make, and if a limit forbids it, leave the identifier of the lowest priority out and search again. The anchor is
//! never left out. A shared device may then follow the sign-in.
//!
//! Guarantees: an event whose identifiers and links are all known costs one or two node lookups for each identifier,
//! one profile lookup, one edge lookup for each identifier but the anchor, and no write. Resolving an event
//! again changes nothing. Left out: duplicates, and the order of events, which the caller sees to.

use crate::decide::{Checks, Offer, Taking, note_refusal, take};
use crate::graph::{EdgeRule, Evidence, LiveProfile, Node, RefusalReason};
use crate::merge::look_up;
use crate::sign_in;
use crate::store::{GraphRead, GraphStore};
use std::sync::Arc;
use tributary_model::hash_key::HashKey;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::{Identifier, NodeKey};
use tributary_model::identity_rules::EventIdentifiers;
use tributary_model::time::Timestamp;
use tributary_model::workspace::IdentityRules;

/// What a resolution goes by, beside the event and the graph.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// Whose graph.
    pub workspace: WorkspaceId,
    /// The rules in force at the event's position.
    pub rules: &'a IdentityRules,
    /// The key of profile ids.
    pub hash_key: &'a HashKey,
    /// The log's time: the largest receive time read so far, this event's included.
    pub log_time: Timestamp,
}

/// What an event was resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The profile that the event belongs to; live.
    pub profile: ProfileId,
    /// The profile after this event.
    pub live: Arc<LiveProfile>,
    /// The event's identifier of the highest priority.
    pub anchor: NodeKey,
    /// The event's identifiers that are on the profile, highest priority first: the anchor, then those that
    /// are tied to it.
    pub kept: Vec<NodeKey>,
    /// The event's other identifiers, highest priority first, those with blocked values last. They stay on the
    /// profiles that they are on, or unknown if they were.
    pub demoted: Vec<Demotion>,
    /// Whether this event created the profile.
    pub created: bool,
    /// The profiles that this event merged into `profile`, sorted.
    pub merged: Vec<ProfileId>,
    /// Other live profiles that this event changed or created, sorted.
    pub beside: Vec<ProfileId>,
    /// How many more live profiles there are now than before.
    pub profiles_delta: i64,
}

/// An identifier that was left out, so that the rest fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demotion {
    /// The identifier.
    pub identifier: NodeKey,
    /// Why it was left out.
    pub reason: RefusalReason,
}

/// Places of blocked values begin here: behind those of any event's identifiers.
const BLOCKED_PLACES: u16 = 1000;

/// Resolves one event and writes what it changes to the graph. `None` if none of its identifiers is of a
/// declared namespace.
///
/// The events of a workspace must come in the order of their positions, each once.
///
/// # Errors
/// If the store fails or contradicts itself; then the graph may hold a part of the event's changes.
pub fn resolve<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    event: &EventIdentifiers,
    evidence: &Evidence,
) -> Result<Option<Resolution>, G::Error> {
    let (offers, known) = offers_of(graph, context, event, evidence.day())?;
    if offers.is_empty() {
        return Ok(None);
    }
    let (offers, known) = (&offers[..], &known[..]);
    let taking = Taking { evidence, offers, known, checks: Checks::All, is_event: true, tell: true };
    let mut taken = take(graph, context, &taking)?;
    let handed = sign_in::follow(graph, context, &taking, &mut taken)?;
    let anchor = offers[0].node.clone();
    let mut kept: Vec<NodeKey> = taken.kept.iter().map(|place| offers[*place].node.clone()).collect();
    kept.extend(handed.nodes);
    let mut demoted: Vec<Demotion> = taken
        .refused
        .into_iter()
        .map(|(place, reason)| Demotion { identifier: offers[place].node.clone(), reason })
        .collect();
    for (blocked, place) in event.blocked.iter().zip(BLOCKED_PLACES..) {
        let (node, _) = look_up(graph, context.workspace, blocked)?;
        let (rule, last_day) = (EdgeRule::SameEvent, evidence.day());
        let offer = Offer { node, place, rule, last_day, taken_before: false };
        note_refusal(graph, context, &anchor, &offer, &RefusalReason::Blocked, evidence)?;
        demoted.push(Demotion { identifier: offer.node, reason: RefusalReason::Blocked });
    }
    let created = i64::from(taken.created) + count(&taken.beside);
    let profiles_delta = created - count(&taken.merged);
    let mut beside = taken.beside;
    beside.extend(handed.from);
    beside.sort();
    beside.dedup();
    Ok(Some(Resolution {
        profile: taken.profile.id,
        live: taken.profile.live,
        anchor,
        kept,
        demoted,
        created: taken.created,
        merged: taken.merged,
        beside,
        profiles_delta,
    }))
}

/// The nodes that [`resolve`] looks at for an event, highest priority first: identifiers of declared namespaces in
/// their current epochs, each once, the previous id of an alias among them.
///
/// # Errors
/// If the store can't be read.
pub fn nodes_of<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    event: &EventIdentifiers,
) -> Result<Vec<NodeKey>, G::Error> {
    let (offers, _) = offers_of(graph, context, event, 0)?;
    Ok(offers.into_iter().map(|offer| offer.node).collect())
}

/// What an event offers, with what is known of each node.
type Offered = (Vec<Offer>, Vec<Option<Arc<Node>>>);

fn offers_of<G: GraphRead>(
    graph: &mut G,
    context: &Context<'_>,
    event: &EventIdentifiers,
    day: i64,
) -> Result<Offered, G::Error> {
    let mut found: Vec<(u32, &Identifier, EdgeRule)> = Vec::with_capacity(event.identifiers.len() + 1);
    let mut add = |identifier, rule| {
        if let Some(declared) = context.rules.rule(Identifier::namespace(identifier))
            && !found.iter().any(|(_, have, _)| *have == identifier)
        {
            found.push((declared.priority, identifier, rule));
        }
    };
    for identifier in &event.identifiers {
        add(identifier, EdgeRule::SameEvent);
    }
    if let Some(previous) = &event.previous {
        let candidates = [&previous.as_anonymous, &previous.as_user];
        let mut known = None;
        for candidate in candidates.into_iter().flatten() {
            if known.is_none() && look_up(graph, context.workspace, candidate)?.1.is_some() {
                known = Some(candidate);
            }
        }
        // One that nobody has seen yet may be seen later: as a device's id, most likely.
        if let Some(identifier) = known.or_else(|| candidates.into_iter().flatten().next()) {
            add(identifier, EdgeRule::Alias);
        }
    }
    // Stable: within a namespace, what was read first is the higher.
    found.sort_by(|(a, left, _), (b, right, _)| {
        a.cmp(b).then_with(|| left.namespace().cmp(right.namespace()))
    });
    let (mut offers, mut nodes) = (Vec::with_capacity(found.len()), Vec::with_capacity(found.len()));
    for ((_, identifier, rule), place) in found.into_iter().zip(0..) {
        let (node, known) = look_up(graph, context.workspace, identifier)?;
        offers.push(Offer { node, place, rule, last_day: day, taken_before: false });
        nodes.push(known);
    }
    Ok((offers, nodes))
}

fn count(profiles: &[ProfileId]) -> i64 {
    i64::try_from(profiles.len()).unwrap_or(i64::MAX)
}
