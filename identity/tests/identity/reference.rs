//! The rules once more, slowly, written from their text: nothing is kept but the list of what each event and
//! command tied together, and every question is answered by walking all of it. A profile is a connected
//! component of those ties; its id comes from the earliest tie in it.

use crate::support::{EventIdentifiers, IdentityRules, ONE, SharedDevice, hash_key};
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{Cap, RefusalReason};
use tributary_model::{Identifier, NodeKey, ProfileId, Timestamp};

/// What tied some nodes together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Event,
    Command,
}

#[derive(Clone)]
struct Tie {
    at: u64,
    time: Timestamp,
    how: How,
    anchor: NodeKey,
    kept: BTreeSet<NodeKey>,
    /// The id that it gave, if none of these was known.
    created: Option<ProfileId>,
}

/// A link that was offered and not taken.
#[derive(Clone)]
pub(crate) struct Refused {
    pub(crate) at: u64,
    pub(crate) anchor: NodeKey,
    pub(crate) other: NodeKey,
    /// Every reason that may be given for it.
    pub(crate) why: Vec<RefusalReason>,
}

impl Refused {
    pub(crate) fn pair(&self) -> (NodeKey, NodeKey) {
        (self.anchor.clone(), self.other.clone())
    }

    pub(crate) fn by_partition(&self) -> bool {
        self.why.iter().any(|reason| matches!(reason, RefusalReason::Partition { .. }))
    }
}

/// What became of an event.
pub(crate) struct Answer {
    pub(crate) profile: ProfileId,
    pub(crate) created: bool,
    pub(crate) merged: BTreeSet<ProfileId>,
    /// Highest priority first.
    pub(crate) kept: Vec<NodeKey>,
    pub(crate) demoted: BTreeMap<NodeKey, Vec<RefusalReason>>,
    pub(crate) members: BTreeSet<NodeKey>,
    /// What the sign-in handed to the profile.
    pub(crate) handed: Vec<NodeKey>,
}

/// A profile: when it was created, and what is in it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) created: u64,
    pub(crate) members: BTreeSet<NodeKey>,
    pub(crate) merged: BTreeSet<ProfileId>,
}

pub(crate) type Sides = Vec<BTreeSet<NodeKey>>;

/// Everything that a workspace was told.
#[derive(Clone, Default)]
pub(crate) struct Reference {
    ties: Vec<Tie>,
    pub(crate) refused: Vec<Refused>,
    partitions: Vec<(u64, Sides)>,
    /// Each identifier once for every time that it was handed over.
    opened: Vec<Identifier>,
}

impl Reference {
    /// With these partitions in force from the start.
    pub(crate) fn under(partitions: &[(u64, Sides)]) -> Self {
        Self { partitions: partitions.to_vec(), ..Self::default() }
    }

    /// The node that an identifier is in use as.
    pub(crate) fn current(&self, identifier: &Identifier) -> NodeKey {
        let epoch = self.opened.iter().filter(|opened| *opened == identifier).count();
        NodeKey { identifier: identifier.clone(), epoch: u32::try_from(epoch).expect("few epochs") }
    }

    /// Every node that a chain of ties up to a position leads to from those given, and those themselves.
    pub(crate) fn reach_at(&self, from: impl IntoIterator<Item = NodeKey>, until: u64) -> BTreeSet<NodeKey> {
        let mut reached: BTreeSet<NodeKey> = from.into_iter().collect();
        loop {
            let before = reached.len();
            for tie in self.ties.iter().filter(|tie| tie.at <= until) {
                if !tie.kept.is_disjoint(&reached) {
                    reached.extend(tie.kept.iter().cloned());
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }

    fn reach(&self, from: impl IntoIterator<Item = NodeKey>) -> BTreeSet<NodeKey> {
        self.reach_at(from, u64::MAX)
    }

    fn first_tie(&self, node: &NodeKey) -> Option<&Tie> {
        self.ties.iter().find(|tie| tie.kept.contains(node))
    }

    pub(crate) fn seen(&self, node: &NodeKey) -> bool {
        self.first_tie(node).is_some()
    }

    /// Where and when a node was first linked.
    pub(crate) fn first_seen(&self, node: &NodeKey) -> Option<(u64, Timestamp)> {
        self.first_tie(node).map(|tie| (tie.at, tie.time))
    }

    /// The oldest creation among some nodes: of those of one event, the one with the smallest id.
    fn creation(&self, among: &BTreeSet<NodeKey>) -> Option<(u64, ProfileId)> {
        let ties = self.ties.iter().filter(|tie| !tie.kept.is_disjoint(among));
        ties.filter_map(|tie| Some((tie.at, tie.created?))).min()
    }

    /// The ids given to what is one profile now.
    fn given(&self, among: &BTreeSet<NodeKey>) -> BTreeSet<ProfileId> {
        let ties = self.ties.iter().filter(|tie| !tie.kept.is_disjoint(among));
        ties.filter_map(|tie| tie.created).collect()
    }

    pub(crate) fn profile_of(&self, node: &NodeKey) -> Option<ProfileId> {
        self.creation(&self.reach([node.clone()])).map(|(_, id)| id)
    }

    pub(crate) fn profiles(&self) -> BTreeMap<ProfileId, Profile> {
        let mut profiles = BTreeMap::new();
        for node in self.nodes() {
            let members = self.reach([node]);
            let (created, id) = self.creation(&members).expect("something created it");
            let merged = self.given(&members).into_iter().filter(|given| *given != id).collect();
            profiles.insert(id, Profile { created, members, merged });
        }
        profiles
    }

    /// Every id that was ever given, with the one that it leads to now.
    pub(crate) fn ids(&self) -> BTreeMap<ProfileId, ProfileId> {
        let profiles = self.profiles();
        let of = |(id, profile): (&ProfileId, &Profile)| {
            let id = *id;
            profile.merged.iter().copied().chain([id]).map(move |given| (given, id)).collect::<Vec<_>>()
        };
        profiles.iter().flat_map(of).collect()
    }

    /// Every node that was ever tied.
    pub(crate) fn nodes(&self) -> BTreeSet<NodeKey> {
        self.ties.iter().flat_map(|tie| tie.kept.iter().cloned()).collect()
    }

    /// What events tied to each anchor, with the first position that did.
    pub(crate) fn links(&self) -> BTreeMap<(NodeKey, NodeKey), u64> {
        let mut links = BTreeMap::new();
        for tie in self.ties.iter().filter(|tie| tie.how == How::Event) {
            for other in tie.kept.iter().filter(|other| **other != tie.anchor) {
                links.entry((tie.anchor.clone(), other.clone())).or_insert(tie.at);
            }
        }
        links
    }

    /// The positions of commands that tied something.
    pub(crate) fn commands(&self) -> BTreeSet<u64> {
        self.ties.iter().filter(|tie| tie.how == How::Command).map(|tie| tie.at).collect()
    }

    /// The first refusal of each link that was never taken.
    pub(crate) fn refusals(&self) -> BTreeMap<(NodeKey, NodeKey), &Refused> {
        let links = self.links();
        let mut refusals = BTreeMap::new();
        for refused in self.refused.iter().filter(|refused| !links.contains_key(&refused.pair())) {
            refusals.entry(refused.pair()).or_insert(refused);
        }
        refusals
    }

    fn tie(&mut self, how: How, at: u64, time: Timestamp, anchor: &NodeKey, others: &[NodeKey]) {
        let kept: BTreeSet<NodeKey> = others.iter().chain([anchor]).cloned().collect();
        let unknown = kept.iter().all(|node| !self.seen(node));
        let created = unknown.then(|| hash_key().profile_id(ONE, anchor));
        self.ties.push(Tie { at, time, how, anchor: anchor.clone(), kept, created });
    }

    /// The partitions that some nodes, with the profiles that they are on, would cross if they were one.
    fn crossed(&self, together: impl IntoIterator<Item = NodeKey>) -> Vec<RefusalReason> {
        if self.partitions.is_empty() {
            return Vec::new();
        }
        let together = &self.reach(together);
        let touched = |sides: &Sides| sides.iter().filter(|side| !side.is_disjoint(together)).count();
        let crossed = self.partitions.iter().filter(|(_, sides)| touched(sides) > 1);
        crossed.map(|(id, _)| RefusalReason::Partition { partition: *id }).collect()
    }

    /// What forbids that some nodes and the profiles that they are on be one profile.
    fn faults(&self, search: &[NodeKey], rules: &IdentityRules, now: Timestamp) -> Vec<RefusalReason> {
        let would_be = self.reach(search.iter().cloned());
        let mut faults = Vec::new();
        for rule in &rules.namespaces {
            let in_window = |node: &NodeKey| match rule.limit.window.micros() {
                None => true,
                Some(micros) => {
                    self.first_seen(node).is_none_or(|(_, linked)| linked > now.plus_micros(-micros))
                }
            };
            let counts = |node: &&NodeKey| {
                *node.identifier.namespace() == rule.name
                    && **node == self.current(&node.identifier)
                    && in_window(node)
            };
            let count = number(would_be.iter().filter(counts).count());
            if count > rule.limit.count {
                let namespace = rule.name.clone();
                faults.push(RefusalReason::Limit { namespace, limit: rule.limit.count, count });
            }
        }
        let is_current = |node: &&NodeKey| **node == self.current(&node.identifier);
        let members = number(would_be.iter().filter(is_current).count());
        // A profile over the cap of merges may still grow by identifiers that nobody has.
        let joined: BTreeSet<_> = would_be.iter().filter_map(|node| self.profile_of(node)).collect();
        let merges = if joined.len() > 1 { number(self.given(&would_be).len().saturating_sub(1)) } else { 0 };
        for (cap, limit, count) in
            [(Cap::Identifiers, rules.identifiers_max, members), (Cap::Merges, rules.merges_max, merges)]
        {
            if count > limit {
                faults.push(RefusalReason::Cap { cap, limit, count });
            }
        }
        faults
    }

    /// The nodes that an event speaks of, highest priority first. An alias's previous id is the first known of
    /// anonymous_id and user_id; where neither is known, the first of them.
    fn spoken_of(&self, rules: &IdentityRules, event: &EventIdentifiers) -> Vec<NodeKey> {
        let mut identifiers = event.identifiers.clone();
        if let Some(previous) = &event.previous {
            let given: Vec<_> = [&previous.as_anonymous, &previous.as_user].into_iter().flatten().collect();
            let known = given.iter().find(|one| self.seen(&self.current(one)));
            if let Some(one) = known.or(given.first())
                && !identifiers.contains(one)
            {
                identifiers.push(Identifier::clone(one));
            }
        }
        identifiers.sort_by_key(|one| rules.rule(one.namespace()).map(|rule| rule.priority));
        identifiers.iter().map(|one| self.current(one)).collect()
    }

    pub(crate) fn resolve(
        &mut self,
        rules: &IdentityRules,
        event: &EventIdentifiers,
        at: u64,
        now: Timestamp,
    ) -> Option<Answer> {
        let nodes = self.spoken_of(rules, event);
        let anchor = nodes.first()?.clone();
        let (mut search, mut demoted, mut alone) = (Vec::new(), BTreeMap::new(), Vec::new());
        for node in nodes {
            let together: Vec<_> = search.iter().chain([&node]).cloned().collect();
            let crossed = self.crossed(together);
            if crossed.is_empty() {
                search.push(node);
                continue;
            }
            if !self.seen(&node) {
                alone.push(node.clone());
            }
            demoted.insert(node, crossed);
        }

        let fits = |length: &usize| self.faults(&search[..*length], rules, now).is_empty();
        let length = (1..=search.len()).rev().find(fits).unwrap_or(1);
        let known: Vec<_> = search[..length].iter().filter(|node| self.seen(node)).cloned().collect();
        let before: BTreeSet<_> = known.iter().filter_map(|node| self.profile_of(node)).collect();
        let joined = self.reach(known);
        let mut kept = Vec::new();
        for (place, node) in search.iter().enumerate() {
            if place < length || joined.contains(node) {
                kept.push(node.clone());
            } else {
                let steps = length..=place;
                let why = steps.flat_map(|last| self.faults(&search[..=last], rules, now)).collect();
                demoted.insert(node.clone(), why);
            }
        }
        for blocked in &event.blocked {
            demoted.insert(self.current(blocked), vec![RefusalReason::Blocked]);
        }

        self.tie(How::Event, at, now, &anchor, &kept);
        for node in alone {
            self.tie(How::Event, at, now, &node, &[]);
        }
        for (other, why) in &demoted {
            let (anchor, other, why) = (anchor.clone(), other.clone(), why.clone());
            self.refused.push(Refused { at, anchor, other, why });
        }
        let handed = self.sign_in(rules, &anchor, &demoted, at, now);
        let profile = self.profile_of(&anchor).expect("it was tied just now");
        let merged = before.iter().filter(|id| **id != profile).copied().collect();
        let members = self.reach([anchor]);
        Some(Answer { profile, created: before.is_empty(), merged, kept, demoted, members, handed })
    }

    /// What was demoted by a limit and follows the last sign-in goes to the anchor's profile, in a new epoch.
    fn sign_in(
        &mut self,
        rules: &IdentityRules,
        anchor: &NodeKey,
        demoted: &BTreeMap<NodeKey, Vec<RefusalReason>>,
        at: u64,
        now: Timestamp,
    ) -> Vec<NodeKey> {
        let rule = |node: &NodeKey| rules.rule(node.identifier.namespace()).expect("it was declared");
        let mut handed = Vec::new();
        for (node, why) in demoted {
            let limit = why.iter().any(|reason| matches!(reason, RefusalReason::Limit { .. }));
            if !limit
                || !self.seen(node)
                || rule(node).shared_device != SharedDevice::LastSignIn
                || rule(anchor).priority >= rule(node).priority
            {
                continue;
            }
            let mut tried = self.clone();
            tried.opened.push(node.identifier.clone());
            let fresh = tried.current(&node.identifier);
            let both = [anchor.clone(), fresh.clone()];
            if tried.faults(&both, rules, now).is_empty() && tried.crossed(both).is_empty() {
                *self = tried;
                self.tie(How::Event, at, now, anchor, std::slice::from_ref(&fresh));
                handed.push(fresh);
            }
        }
        handed
    }

    /// An identifier goes by hand to the profile of a node, or to nobody. `to` is what it is in use as then.
    pub(crate) fn hand(&mut self, at: u64, time: Timestamp, to: &NodeKey, target: Option<&NodeKey>) {
        let known = self.seen(&self.current(&to.identifier));
        if known || self.current(&to.identifier) != *to {
            self.opened.push(to.identifier.clone());
        }
        assert_eq!(self.current(&to.identifier), *to, "an identifier that was in use gets the next epoch");
        if let Some(target) = target {
            self.tie(How::Command, at, time, target, std::slice::from_ref(to));
        }
    }

    /// An unmerge ties each of its sides together, as far as partitions in force allow it.
    pub(crate) fn hold_together(&mut self, at: u64, time: Timestamp, sides: &[BTreeSet<NodeKey>]) {
        for side in sides {
            let mut held: Sides = Vec::new();
            for node in side {
                let place = held.iter().position(|group| {
                    let together = group.iter().chain([node]).cloned();
                    self.crossed(together).is_empty()
                });
                match place {
                    Some(place) => {
                        held[place].insert(node.clone());
                    }
                    None => held.push(BTreeSet::from([node.clone()])),
                }
            }
            for group in held {
                let nodes: Vec<_> = group.into_iter().collect();
                if let Some((anchor, others)) = nodes.split_first() {
                    self.tie(How::Command, at, time, anchor, others);
                }
            }
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("small graphs")
}
