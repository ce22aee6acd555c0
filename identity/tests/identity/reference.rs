//! The rules once more, slowly: nothing is kept but the list of what each event tied together, and every
//! question is answered by walking all of it. A profile is a connected component of those ties; its id comes
//! from the earliest tie in it.

use crate::support::hash_key;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::workspace::IdentityRules;
use tributary_model::{Identifier, NodeKey, ProfileId, WorkspaceId};

/// What one event tied together.
struct Tie {
    /// The event's position.
    at: u64,
    anchor: Identifier,
    kept: BTreeSet<Identifier>,
}

#[derive(Default)]
pub(crate) struct Reference {
    ties: Vec<Tie>,
    pub(crate) refused: BTreeSet<(Identifier, Identifier)>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) profile: ProfileId,
    pub(crate) kept: Vec<Identifier>,
    pub(crate) demoted: Vec<Identifier>,
    pub(crate) members: BTreeSet<Identifier>,
}

impl Reference {
    /// Every identifier that a chain of ties leads to from those given, and those themselves.
    fn reach(&self, from: impl IntoIterator<Item = Identifier>) -> BTreeSet<Identifier> {
        let mut reached: BTreeSet<Identifier> = from.into_iter().collect();
        loop {
            let before = reached.len();
            for tie in &self.ties {
                if !tie.kept.is_disjoint(&reached) {
                    reached.extend(tie.kept.iter().cloned());
                }
            }
            if reached.len() == before {
                return reached;
            }
        }
    }

    fn seen(&self, identifier: &Identifier) -> bool {
        self.ties.iter().any(|tie| tie.kept.contains(identifier))
    }

    /// The id of the profile that an identifier is on: that of the earliest tie which leads there.
    pub(crate) fn profile_of(&self, workspace: WorkspaceId, identifier: &Identifier) -> Option<ProfileId> {
        let component = self.reach([identifier.clone()]);
        let earliest = self.ties.iter().find(|tie| !tie.kept.is_disjoint(&component))?;
        Some(hash_key().profile_id(workspace, &NodeKey::first_epoch(earliest.anchor.clone())))
    }

    /// Every profile id that was ever given, with the id that it leads to now.
    pub(crate) fn ids(&self, workspace: WorkspaceId) -> BTreeMap<ProfileId, ProfileId> {
        let mut ids = BTreeMap::new();
        for (place, tie) in self.ties.iter().enumerate() {
            let fresh = self.ties.iter().take(place).all(|before| before.kept.is_disjoint(&tie.kept));
            if fresh {
                let given = hash_key().profile_id(workspace, &NodeKey::first_epoch(tie.anchor.clone()));
                let now = self.profile_of(workspace, &tie.anchor).expect("it was tied");
                assert_eq!(ids.insert(given, now), None, "an id is given once");
            }
        }
        ids
    }

    /// The position of the first event that tied all of these together.
    pub(crate) fn first_tie(&self, identifiers: &[&Identifier]) -> Option<u64> {
        self.ties.iter().find(|tie| identifiers.iter().all(|one| tie.kept.contains(*one))).map(|tie| tie.at)
    }

    /// What is tied to each anchor.
    pub(crate) fn links(&self) -> BTreeSet<(Identifier, Identifier)> {
        let pairs = |tie: &Tie| {
            let (anchor, kept) = (tie.anchor.clone(), tie.kept.clone());
            kept.into_iter()
                .filter(|other| *other != tie.anchor)
                .map(move |other| (anchor.clone(), other))
                .collect::<Vec<_>>()
        };
        self.ties.iter().flat_map(pairs).collect()
    }

    /// The identifiers by profile.
    pub(crate) fn partition(&self) -> BTreeSet<BTreeSet<Identifier>> {
        let all = self.ties.iter().flat_map(|tie| tie.kept.iter().cloned());
        all.map(|identifier| self.reach([identifier])).collect()
    }

    fn fits(&self, search: &[Identifier], rules: &IdentityRules) -> bool {
        let would_be = self.reach(search.iter().cloned());
        rules.namespaces.iter().all(|rule| {
            let count = would_be.iter().filter(|identifier| *identifier.namespace() == rule.name).count();
            count <= rule.limit as usize
        })
    }

    pub(crate) fn resolve(
        &mut self,
        workspace: WorkspaceId,
        rules: &IdentityRules,
        identifiers: &[Identifier],
        at: u64,
    ) -> Option<Answer> {
        let mut by_priority = rules.namespaces.clone();
        by_priority.sort_by_key(|rule| rule.priority);
        let mut event: Vec<Identifier> = Vec::new();
        for rule in &by_priority {
            for identifier in identifiers.iter().filter(|given| *given.namespace() == rule.name) {
                if !event.contains(identifier) {
                    event.push(identifier.clone());
                }
            }
        }
        let anchor = event.first()?.clone();

        let longest = (1..=event.len()).rev();
        let fitting = longest.map(|length| &event[..length]).find(|search| self.fits(search, rules));
        let search = fitting.unwrap_or(&event[..1]);
        let joined: BTreeSet<Identifier> = search
            .iter()
            .filter(|known| self.seen(known))
            .flat_map(|known| self.reach([known.clone()]))
            .collect();
        let (kept, demoted): (Vec<_>, Vec<_>) =
            event.iter().cloned().partition(|given| search.contains(given) || joined.contains(given));

        self.refused.extend(demoted.iter().map(|other| (anchor.clone(), other.clone())));
        self.ties.push(Tie { at, anchor: anchor.clone(), kept: kept.iter().cloned().collect() });
        let profile = self.profile_of(workspace, &anchor).expect("it was tied just now");
        Some(Answer { profile, members: self.reach([anchor]), kept, demoted })
    }
}
