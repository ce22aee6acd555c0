//! One event against the graph: which profile it belongs to, and what it changes.
//!
//! The steps, and why they are as they are, are explained in `README.md` beside `src/`; in short: search the
//! profiles of the event's identifiers, form the profile that all of them would make, and if a limit forbids
//! it, leave the identifier of the lowest priority out and search again. The anchor is never left out.
//!
//! Guarantees: an event whose identifiers and links are all known costs one node lookup for each identifier,
//! one profile lookup, one edge lookup for each identifier but the anchor, and no write. Resolving an event
//! again changes nothing. Left out: duplicates, and the order of events, which the caller sees to.

use crate::graph::{Edge, EdgeKey, EdgeRule, Evidence, GraphStore, Refusal, RefusalReason};
use crate::merge::{self, Existing};
use std::sync::Arc;
use tributary_model::hash_key::HashKey;
use tributary_model::id::{ProfileId, WorkspaceId};
use tributary_model::identifier::{Identifier, NodeKey};
use tributary_model::workspace::IdentityRules;

/// What an event was resolved to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolution {
    /// The profile that the event belongs to; live.
    pub profile: ProfileId,
    /// The event's identifier of the highest priority.
    pub anchor: NodeKey,
    /// The event's identifiers that are on the profile, highest priority first: the anchor, then those that
    /// are tied to it.
    pub kept: Vec<NodeKey>,
    /// The event's other identifiers, highest priority first. They stay on the profiles that they are on, or
    /// unknown if they were.
    pub demoted: Vec<Demotion>,
    /// Whether this event created the profile.
    pub created: bool,
    /// The profiles that this event merged into `profile`, sorted.
    pub merged: Vec<ProfileId>,
    /// All identifiers of the profile after this event, sorted.
    pub members: Arc<[NodeKey]>,
}

/// An identifier that was left out, so that the rest fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Demotion {
    /// The identifier.
    pub identifier: NodeKey,
    /// Why it was left out.
    pub reason: RefusalReason,
}

/// Resolves one event and writes what it changes to the graph. `None` if none of its identifiers is of a
/// declared namespace.
///
/// `identifiers` are the event's, highest priority first within a namespace; those of undeclared namespaces
/// are ignored. `rules` are those in force at the event's position. The events of a workspace must come in
/// the order of their positions, each once.
///
/// # Errors
/// If the store fails or contradicts itself; then the graph may hold a part of the event's changes.
pub fn resolve<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    rules: &IdentityRules,
    hash_key: &HashKey,
    identifiers: &[Identifier],
    evidence: &Evidence,
) -> Result<Option<Resolution>, G::Error> {
    let search = Search::of(graph, workspace, declared(identifiers, rules))?;
    let Some(anchor) = search.keys.first().cloned() else { return Ok(None) };
    let Choice { kept, demoted, profiles } = search.choose(rules);

    let (existing, created, merged) = match profiles.split_first() {
        None => (merge::create(graph, workspace, hash_key, &anchor, &kept.all, evidence)?, true, Vec::new()),
        Some((survivor, collapsing)) => {
            let mut merged: Vec<_> = collapsing.iter().map(|profile| profile.id).collect();
            merged.sort();
            let survivor = survivor.clone();
            (merge::grow(graph, workspace, survivor, collapsing, &kept.unknown, evidence)?, false, merged)
        }
    };
    for other in kept.all.iter().skip(1) {
        note_edge(graph, workspace, &anchor, other, evidence)?;
    }
    for demotion in &demoted {
        note_refusal(graph, workspace, &anchor, demotion, evidence)?;
    }
    Ok(Some(Resolution {
        profile: existing.id,
        anchor,
        kept: kept.all,
        demoted,
        created,
        merged,
        members: Arc::clone(&existing.live.members),
    }))
}

/// The nodes of the identifiers of declared namespaces, highest priority first, each once: what [`resolve`] looks at.
pub fn declared(identifiers: &[Identifier], rules: &IdentityRules) -> Vec<NodeKey> {
    let mut found: Vec<(u32, &Identifier)> = Vec::with_capacity(identifiers.len());
    for identifier in identifiers {
        if let Some(rule) = rules.rule(identifier.namespace())
            && !found.iter().any(|(_, have)| *have == identifier)
        {
            found.push((rule.priority, identifier));
        }
    }
    found.sort_by(|(a, left), (b, right)| a.cmp(b).then_with(|| left.namespace().cmp(right.namespace())));
    found.into_iter().map(|(_, identifier)| NodeKey::first_epoch(identifier.clone())).collect()
}

/// An event's identifiers with the profiles that they are on.
struct Search {
    /// The identifiers, highest priority first.
    keys: Vec<NodeKey>,
    /// For each identifier, the place of its profile in `profiles`; `None` if it is unknown.
    owners: Vec<Option<usize>>,
    /// The profiles found, each once.
    profiles: Vec<Existing>,
}

/// What is to be done about an event.
struct Choice {
    kept: Kept,
    demoted: Vec<Demotion>,
    /// The profiles that become one, the survivor first; empty if one has to be created.
    profiles: Vec<Existing>,
}

struct Kept {
    /// Highest priority first.
    all: Vec<NodeKey>,
    /// Those of them that are on no profile yet.
    unknown: Vec<NodeKey>,
}

impl Search {
    fn of<G: GraphStore>(
        graph: &mut G,
        workspace: WorkspaceId,
        keys: Vec<NodeKey>,
    ) -> Result<Self, G::Error> {
        let mut owners = Vec::with_capacity(keys.len());
        let mut profiles: Vec<Existing> = Vec::with_capacity(1);
        for key in &keys {
            owners.push(match graph.node(workspace, key)? {
                None => None,
                Some(node) => match profiles.iter().position(|have| have.id == node.profile) {
                    Some(place) => Some(place),
                    None => {
                        profiles.push(merge::live_profile(graph, workspace, node.profile)?);
                        Some(profiles.len() - 1)
                    }
                },
            });
        }
        Ok(Self { keys, owners, profiles })
    }

    /// Leaves identifiers out, lowest priority first, until the rest may be one profile.
    fn choose(self, rules: &IdentityRules) -> Choice {
        let mut searched = self.keys.len();
        let mut reasons = Vec::new();
        while searched > 1
            && let Some(reason) = self.refuse(searched, rules)
        {
            reasons.push(reason);
            searched -= 1;
        }
        let joined = self.joined(searched);
        let mut kept = Kept { all: Vec::with_capacity(self.keys.len()), unknown: Vec::new() };
        let mut demoted = Vec::new();
        // The reasons were found from the last identifier on.
        let reasons = std::iter::repeat_n(None, searched).chain(reasons.into_iter().rev().map(Some));
        for ((key, owner), reason) in self.keys.into_iter().zip(self.owners).zip(reasons) {
            match (reason, owner) {
                (None, None) => {
                    kept.unknown.push(key.clone());
                    kept.all.push(key);
                }
                (None, Some(_)) => kept.all.push(key),
                // It was left out of the search, but is on that profile already: nothing is refused.
                (Some(_), Some(owner)) if joined.contains(&owner) => kept.all.push(key),
                (Some(reason), _) => demoted.push(Demotion { identifier: key, reason }),
            }
        }
        let mut profiles: Vec<_> =
            joined.into_iter().filter_map(|place| self.profiles.get(place).cloned()).collect();
        merge::oldest_first(&mut profiles);
        Choice { kept, demoted, profiles }
    }

    /// The places of the profiles of the first so many identifiers.
    fn joined(&self, searched: usize) -> Vec<usize> {
        let mut places: Vec<usize> = self.owners.iter().take(searched).flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Why the first so many identifiers and the profiles that they are on may not be one profile.
    fn refuse(&self, searched: usize, rules: &IdentityRules) -> Option<RefusalReason> {
        let joined = self.joined(searched);
        let unknown = self.keys.iter().zip(&self.owners).take(searched).filter(|(_, owner)| owner.is_none());
        if joined.len() == 1 && unknown.clone().next().is_none() {
            // Nothing to count: whatever a limit left out here would be kept as a member all the same.
            return None;
        }
        // Profiles share no members, and an unknown identifier is on none: so all of these differ.
        let mut over = None;
        for rule in &rules.namespaces {
            let in_profiles =
                joined.iter().filter_map(|place| self.profiles.get(*place)).flat_map(|profile| {
                    profile.live.members.iter().filter(|member| *member.identifier.namespace() == rule.name)
                });
            let new = unknown.clone().filter(|(key, _)| *key.identifier.namespace() == rule.name);
            let count = u32::try_from(in_profiles.count() + new.count()).unwrap_or(u32::MAX);
            let rank = (rule.priority, &rule.name);
            if count > rule.limit && over.is_none_or(|(other, _, _)| rank < other) {
                over = Some((rank, rule.limit, count));
            }
        }
        over.map(|((_, namespace), limit, count)| RefusalReason::Limit {
            namespace: namespace.clone(),
            limit,
            count,
        })
    }
}

fn note_edge<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    anchor: &NodeKey,
    other: &NodeKey,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    let key = EdgeKey { anchor: anchor.clone(), other: other.clone() };
    let day = evidence.day();
    match graph.edge(workspace, &key)? {
        Some(known) if known.last_day >= day => Ok(()),
        Some(known) => {
            let edge = Edge { last_day: day, ..Edge::clone(&known) };
            graph.put_edge(workspace, key, edge)
        }
        None => {
            let edge = Edge { first: evidence.clone(), last_day: day, rule: EdgeRule::SameEvent };
            graph.put_edge(workspace, key, edge)
        }
    }
}

fn note_refusal<G: GraphStore>(
    graph: &mut G,
    workspace: WorkspaceId,
    anchor: &NodeKey,
    demotion: &Demotion,
    evidence: &Evidence,
) -> Result<(), G::Error> {
    let key = EdgeKey { anchor: anchor.clone(), other: demotion.identifier.clone() };
    let day = evidence.day();
    match graph.refusal(workspace, &key)? {
        Some(known) if known.last_day >= day => Ok(()),
        Some(known) => {
            let refusal = Refusal { last_day: day, ..Refusal::clone(&known) };
            graph.put_refusal(workspace, key, refusal)
        }
        None => {
            let reason = demotion.reason.clone();
            let refusal = Refusal { first: evidence.clone(), last_day: day, reason };
            graph.put_refusal(workspace, key, refusal)
        }
    }
}
