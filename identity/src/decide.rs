//! The heart: the identifiers of one event against the graph. Which are kept together, which are left out and why, and
//! what that changes.
//!
//! Live events, evidence that is replayed for an unmerge, and a rebuild all go through [`take`]; they differ in
//! [`Checks`] only.

use crate::graph::{Edge, EdgeKey, EdgeRule, Evidence, Happened, HistoryEntry, Node, Refusal, RefusalReason};
use crate::limits::WouldBe;
use crate::merge::{self, By, Existing};
use crate::partition::{Partitions, Sides, lives_of};
use crate::resolve::Context;
use crate::store::GraphStore;
use std::sync::Arc;
use tributary_model::id::ProfileId;
use tributary_model::identifier::NodeKey;

/// An identifier that an event offers to tie to its anchor, or the anchor itself.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) node: NodeKey,
    pub(crate) place: u16,
    pub(crate) rule: EdgeRule,
    /// The latest day on which it was offered.
    pub(crate) last_day: i64,
    /// Whether it was taken once: then no limit is asked again unless all are.
    pub(crate) taken_before: bool,
}

/// What decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checks {
    /// Partitions, limits and caps, as the rules say.
    All,
    /// Partitions; limits and caps for what was not taken before. What earlier partitions refused stays refused.
    Kept,
    /// Partitions; limits and caps for what was not taken before. What earlier partitions refused is offered again.
    Offered,
}

/// Everything about an event that is to be taken.
pub(crate) struct Taking<'a> {
    pub(crate) evidence: &'a Evidence,
    /// The anchor first; highest priority first.
    pub(crate) offers: &'a [Offer],
    /// What is known of each offer's node.
    pub(crate) known: &'a [Option<Arc<Node>>],
    pub(crate) checks: Checks,
    /// Whether the first offer is the anchor of an event, and not of a person's command.
    pub(crate) is_event: bool,
    /// Whether a merge is written to the history.
    pub(crate) tell: bool,
}

/// What came of it.
pub(crate) struct Taken {
    pub(crate) profile: Existing,
    pub(crate) created: bool,
    pub(crate) merged: Vec<ProfileId>,
    /// The places of the offers that are on the profile now.
    pub(crate) kept: Vec<usize>,
    /// The places of the others, with the reasons.
    pub(crate) refused: Vec<(usize, RefusalReason)>,
    /// Other profiles that were created.
    pub(crate) beside: Vec<ProfileId>,
}

/// The places of offers: those that are kept, and those that are left out with the reasons.
type Chosen = (Vec<usize>, Vec<(usize, RefusalReason)>);

/// The offers with the profiles that they are on.
pub(crate) struct Search {
    /// For each offer, the place of its profile in `profiles`; `None` if it is unknown.
    owners: Vec<Option<usize>>,
    /// The profiles found, each once.
    profiles: Vec<Existing>,
}

/// Takes an event's offers into the graph.
pub(crate) fn take<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    taking: &Taking<'_>,
) -> Result<Taken, G::Error> {
    let offers = taking.offers;
    let search = Search::of(graph, context, taking.known)?;
    if let Some(profile) = search.only() {
        return take_known(graph, context, taking, profile.clone());
    }
    let partitions = graph.partitions(context.workspace)?;
    let (accepted, mut refused) = search.within_partitions(offers, &partitions);
    let (accepted, demoted) = match taking.checks {
        Checks::All => search.within_limits(graph, context, offers, accepted)?,
        Checks::Kept | Checks::Offered => search.with_what_was_taken(graph, context, offers, accepted)?,
    };
    let joined = search.joined(&accepted);
    let mut kept = accepted;
    for (place, reason) in demoted {
        // It was left out of the search, but is on that profile already: nothing is refused.
        if search.owners[place].is_some_and(|owner| joined.contains(&owner)) {
            kept.push(place);
        } else {
            refused.push((place, reason));
        }
    }
    kept.sort_unstable();
    refused.sort_unstable_by_key(|(place, _)| *place);

    let anchor = &offers[0].node;
    let by = By {
        partitions: &partitions,
        evidence: taking.evidence,
        anchor: Some(anchor).filter(|_| taking.is_event),
    };
    let unknown: Vec<NodeKey> = kept
        .iter()
        .filter(|place| search.owners[**place].is_none())
        .map(|place| offers[*place].node.clone())
        .collect();
    let mut profiles: Vec<Existing> = joined.iter().map(|place| search.profiles[*place].clone()).collect();
    merge::oldest_first(&mut profiles);
    let (profile, created, merged) = match profiles.split_first() {
        None => (merge::create(graph, context, &unknown, by)?, true, Vec::new()),
        Some((survivor, collapsing)) => {
            let mut merged: Vec<_> = collapsing.iter().map(|profile| profile.id).collect();
            merged.sort();
            let grown = merge::grow(graph, context, survivor.clone(), collapsing, &unknown, by)?;
            (grown, false, merged)
        }
    };
    if taking.is_event
        && let Some(Some(known)) = taking.known.first()
    {
        merge::mark_anchor(graph, context.workspace, anchor, known, taking.evidence)?;
    }
    if taking.tell && !merged.is_empty() {
        search.tell_merge(graph, context, taking, &kept, profile.id, &merged)?;
    }
    let beside = search.settle_parted(graph, context, offers, &refused, by)?;
    for place in kept.iter().filter(|place| **place != 0) {
        note_edge(graph, context, anchor, &offers[*place], taking.evidence)?;
    }
    for (place, reason) in &refused {
        note_refusal(graph, context, anchor, &offers[*place], reason, taking.evidence)?;
    }
    Ok(Taken { profile, created, merged, kept, refused, beside })
}

/// Takes offers that are all on one profile already: nothing is left out, whatever the limits, and none need be counted.
fn take_known<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    taking: &Taking<'_>,
    profile: Existing,
) -> Result<Taken, G::Error> {
    let anchor = &taking.offers[0].node;
    if taking.is_event
        && let Some(Some(known)) = taking.known.first()
    {
        merge::mark_anchor(graph, context.workspace, anchor, known, taking.evidence)?;
    }
    for offer in &taking.offers[1..] {
        note_edge(graph, context, anchor, offer, taking.evidence)?;
    }
    let kept = (0..taking.offers.len()).collect();
    let (merged, refused, beside) = (Vec::new(), Vec::new(), Vec::new());
    Ok(Taken { profile, created: false, merged, kept, refused, beside })
}

impl Search {
    fn of<G: GraphStore>(
        graph: &mut G,
        context: &Context<'_>,
        known: &[Option<Arc<Node>>],
    ) -> Result<Self, G::Error> {
        let mut owners = Vec::with_capacity(known.len());
        let mut profiles: Vec<Existing> = Vec::with_capacity(1);
        for node in known {
            owners.push(match node {
                None => None,
                Some(node) => match profiles.iter().position(|have| have.id == node.profile) {
                    Some(place) => Some(place),
                    None => {
                        profiles.push(merge::live_profile(graph, context.workspace, node.profile)?);
                        Some(profiles.len() - 1)
                    }
                },
            });
        }
        Ok(Self { owners, profiles })
    }

    /// The profile that all offers are on, if that is one.
    fn only(&self) -> Option<&Existing> {
        let profile = self.profiles.first().filter(|_| self.profiles.len() == 1);
        profile.filter(|_| self.owners.iter().all(Option::is_some))
    }

    /// Leaves out what a partition keeps away from offers of a higher priority.
    fn within_partitions(&self, offers: &[Offer], partitions: &Partitions) -> Chosen {
        if partitions.is_empty() {
            return ((0..offers.len()).collect(), Vec::new());
        }
        let mut sides = Sides::new(partitions);
        let (mut accepted, mut refused) = (Vec::with_capacity(offers.len()), Vec::new());
        for (place, offer) in offers.iter().enumerate() {
            let members = self.owners[place].map(|owner| &*self.profiles[owner].live.members);
            let group = || members.unwrap_or(std::slice::from_ref(&offer.node));
            let conflict = match members {
                Some(members) => sides.conflict(members.iter()),
                None => sides.conflict(&lives_of(&offer.node)),
            };
            match conflict.filter(|_| place > 0) {
                Some(partition) => refused.push((place, RefusalReason::Partition { partition })),
                None => {
                    sides.take(group());
                    accepted.push(place);
                }
            }
        }
        (accepted, refused)
    }

    /// Leaves offers out, lowest priority first, until the rest may be one profile.
    fn within_limits<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        offers: &[Offer],
        mut accepted: Vec<usize>,
    ) -> Result<Chosen, G::Error> {
        let mut left_out = Vec::new();
        while accepted.len() > 1
            && let Some(reason) = self.would_be(offers, &accepted).refuse(graph, context)?
        {
            left_out.extend(accepted.pop().map(|place| (place, reason)));
        }
        // The last one to be left out is the one without which the rest fits.
        let fault = left_out.last().map(|(place, _)| offers[*place].node.clone());
        for (place, reason) in &mut left_out {
            let mut with: Vec<usize> = accepted.clone();
            with.push(*place);
            if let Some(fault) = &fault
                && self.would_be(offers, &with).refuse(graph, context)?.is_none()
            {
                let fault = fault.clone();
                *reason = RefusalReason::Demotion { fault, reason: Box::new(reason.clone()) };
            }
        }
        Ok((accepted, left_out))
    }

    /// Keeps what was taken before, and of the rest what fits.
    fn with_what_was_taken<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        offers: &[Offer],
        accepted: Vec<usize>,
    ) -> Result<Chosen, G::Error> {
        let (mut kept, mut left_out) = (Vec::with_capacity(accepted.len()), Vec::new());
        for place in accepted {
            kept.push(place);
            if place > 0
                && !offers[place].taken_before
                && let Some(reason) = self.would_be(offers, &kept).refuse(graph, context)?
            {
                kept.pop();
                left_out.push((place, reason));
            }
        }
        Ok((kept, left_out))
    }

    /// What these offers and the profiles that they are on would make.
    fn would_be<'a>(&'a self, offers: &'a [Offer], places: &[usize]) -> WouldBe<'a> {
        let unknown = places.iter().filter(|place| self.owners[**place].is_none());
        WouldBe {
            profiles: self.joined(places).into_iter().map(|place| &self.profiles[place]).collect(),
            unknown: unknown.map(|place| &offers[*place].node).collect(),
        }
    }

    /// The places of the profiles of these offers.
    fn joined(&self, places: &[usize]) -> Vec<usize> {
        let mut joined: Vec<usize> = places.iter().filter_map(|place| self.owners[*place]).collect();
        joined.sort_unstable();
        joined.dedup();
        joined
    }

    /// Writes down which edges of the event tied profiles together.
    fn tell_merge<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        taking: &Taking<'_>,
        kept: &[usize],
        survivor: ProfileId,
        merged: &[ProfileId],
    ) -> Result<(), G::Error> {
        let anchor = &taking.offers[0].node;
        let tied = kept.iter().filter(|place| {
            **place > 0 && self.owners[**place].is_some() && self.owners[**place] != self.owners[0]
        });
        let links = tied
            .map(|place| EdgeKey { anchor: anchor.clone(), other: taking.offers[*place].node.clone() })
            .collect();
        let evidence = taking.evidence.clone();
        let (at, position) = (evidence.received_at, evidence.position);
        let what = Happened::Merged { survivor, merged: merged.to_vec(), links, evidence };
        let entry = HistoryEntry { at, position, what, by: None, reason: None };
        for id in merged {
            graph.put_history(context.workspace, *id, entry.clone())?;
        }
        graph.put_history(context.workspace, survivor, entry)
    }

    /// Gives what a partition kept away, and is on no profile, a profile of its own: a person has said that it is
    /// somebody else's.
    fn settle_parted<G: GraphStore>(
        &self,
        graph: &mut G,
        context: &Context<'_>,
        offers: &[Offer],
        refused: &[(usize, RefusalReason)],
        by: By<'_>,
    ) -> Result<Vec<ProfileId>, G::Error> {
        let mut created = Vec::new();
        for (place, reason) in refused {
            if self.owners[*place].is_none() && !reason.is_decision() {
                let alone = std::slice::from_ref(&offers[*place].node);
                created.push(merge::create(graph, context, alone, By { anchor: None, ..by })?.id);
            }
        }
        Ok(created)
    }
}

/// Ties an identifier to the anchor; a known edge is written again only when its day moves on.
pub(crate) fn note_edge<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    anchor: &NodeKey,
    offer: &Offer,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    let key = EdgeKey { anchor: anchor.clone(), other: offer.node.clone() };
    let last_day = offer.last_day;
    match graph.edge(context.workspace, &key)? {
        Some(known) if known.last_day >= last_day => Ok(()),
        Some(known) => graph.put_edge(context.workspace, key, Edge { last_day, ..Edge::clone(&known) }),
        None => {
            let edge = Edge { first: evidence.clone(), last_day, rule: offer.rule, place: offer.place };
            graph.put_edge(context.workspace, key, edge)
        }
    }
}

/// Notes that a link was refused; a known refusal is written again only when its day moves on.
pub(crate) fn note_refusal<G: GraphStore>(
    graph: &mut G,
    context: &Context<'_>,
    anchor: &NodeKey,
    offer: &Offer,
    reason: &RefusalReason,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    let key = EdgeKey { anchor: anchor.clone(), other: offer.node.clone() };
    let last_day = offer.last_day;
    match graph.refusal(context.workspace, &key)? {
        // A value that was blocked once and is not any more is refused for another reason now.
        Some(known) if known.reason != RefusalReason::Blocked || *reason == RefusalReason::Blocked => {
            if known.last_day >= last_day {
                return Ok(());
            }
            graph.put_refusal(context.workspace, key, Refusal { last_day, ..Refusal::clone(&known) })
        }
        Some(_) | None => {
            let (first, reason, rule, place) = (evidence.clone(), reason.clone(), offer.rule, offer.place);
            graph.put_refusal(context.workspace, key, Refusal { first, last_day, reason, rule, place })
        }
    }
}
