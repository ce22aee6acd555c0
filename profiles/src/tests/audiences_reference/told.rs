//! What has to be told of changed memberships, from who was a member before a record and who is one behind it.
//!
//! - Who enters is told once as `Audience Entered` and as a trait, with the profile's identifiers; who leaves likewise, with
//!   those of the entry.
//! - **Merge.** The surviving profile takes over the memberships that merged into it. If it is a member now and was one, or
//!   the audience is broken, nothing is told; if it was none, it enters. If it is none now, each former membership exits
//!   with its own identifiers.
//! - **Unmerge.** If the part that kept the id is no member any more, it exits with all identifiers of its entry. Every
//!   other part that is a member enters, unless it came to a member; one that comes to a member may make it leave.
//! - What was told of a member that stays one follows its identifiers: those that are on another profile now belong to that
//!   one's membership, and if it has none, it exits with them.
//! - An audience that is broken stands still, and nothing is told of it: where a member of it is parted, whoever has an
//!   identifier that was told is a member of it, with that.
//! - Exits come before entries where a profile is parted.

use super::people::ONE;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::activation::ActivationKind;
use tributary_model::{
    Activation, AudienceId, EventKind, Identifier, Namespace, Position, ProfileId, Timestamp,
};

/// The members of each audience, with the identifiers that a tool was told of them.
pub(super) type Members = BTreeMap<(AudienceId, ProfileId), BTreeSet<String>>;

/// One change that is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    key: String,
    is_in: bool,
    /// Any of these may be named.
    profiles: BTreeSet<ProfileId>,
    identifiers: BTreeSet<String>,
}

/// What a record did to people.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// The identifiers of everybody who is live now.
    pub(super) live: BTreeMap<ProfileId, BTreeSet<String>>,
    /// Those of them whose identifiers are other ones than before.
    pub(super) changed: BTreeSet<ProfileId>,
    /// Survivors, each with those that merged into it.
    pub(super) merged: BTreeMap<ProfileId, Vec<ProfileId>>,
    /// A profile that was parted, and all parts.
    pub(super) parted: Option<(ProfileId, Vec<ProfileId>)>,
    /// Audiences that change no membership.
    pub(super) broken: BTreeSet<AudienceId>,
}

/// What is expected of a record.
struct Expected<'a> {
    was: &'a Members,
    is: &'a Members,
    moves: &'a Moves,
    keys: &'a BTreeMap<AudienceId, String>,
    told: Vec<Told>,
    members: Members,
}

/// What has to be told, and who is a member then with which identifiers, given who was and who is.
pub(super) fn expected(
    (was, is): (&Members, &Members),
    moves: &Moves,
    keys: &BTreeMap<AudienceId, String>,
) -> (Vec<Told>, Members) {
    let mut expected = Expected { was, is, moves, keys, told: Vec::new(), members: Members::new() };
    let audiences: BTreeSet<AudienceId> =
        was.keys().chain(is.keys()).map(|(audience, _)| *audience).collect();
    for audience in audiences {
        let mut seen = BTreeSet::new();
        for (survivor, gone) in &moves.merged {
            expected.merge(audience, *survivor, gone);
            seen.insert(*survivor);
            seen.extend(gone);
        }
        if let Some((old, parts)) = &moves.parted {
            expected.part(audience, *old, parts);
            seen.insert(*old);
            seen.extend(parts);
        }
        let others =
            was.keys().chain(is.keys()).filter(|(of, profile)| *of == audience && !seen.contains(profile));
        let others: BTreeSet<ProfileId> = others.map(|(_, profile)| *profile).collect();
        for profile in others {
            expected.change(audience, profile);
        }
        expected.follow(audience);
    }
    (expected.told, expected.members)
}

impl Expected<'_> {
    fn is_in(&self, audience: AudienceId, profile: ProfileId) -> bool {
        self.is.contains_key(&(audience, profile))
    }

    fn tell(
        &mut self,
        audience: AudienceId,
        is_in: bool,
        profiles: &[ProfileId],
        identifiers: BTreeSet<String>,
    ) {
        let (key, profiles) = (self.keys[&audience].clone(), profiles.iter().copied().collect());
        self.told.push(Told { key, is_in, profiles, identifiers });
    }

    /// Somebody enters, leaves, or neither.
    fn change(&mut self, audience: AudienceId, profile: ProfileId) {
        match self.was.get(&(audience, profile)) {
            Some(known) if self.is_in(audience, profile) => {
                self.members.insert((audience, profile), known.clone());
            }
            Some(known) => self.tell(audience, false, &[profile], known.clone()),
            None => self.enter(audience, profile),
        }
    }

    /// Somebody who was no member enters, if it is one now.
    fn enter(&mut self, audience: AudienceId, profile: ProfileId) {
        if self.is_in(audience, profile) {
            let own = self.moves.live.get(&profile).cloned().unwrap_or_default();
            self.members.insert((audience, profile), own.clone());
            if !self.moves.broken.contains(&audience) {
                self.tell(audience, true, &[profile], own);
            }
        }
    }

    fn merge(&mut self, audience: AudienceId, survivor: ProfileId, gone: &[ProfileId]) {
        let was = self.was;
        let everybody = [survivor].into_iter().chain(gone.iter().copied());
        let former: Vec<(ProfileId, &BTreeSet<String>)> =
            everybody.filter_map(|profile| Some((profile, was.get(&(audience, profile))?))).collect();
        let stays = former.iter().any(|(profile, _)| *profile == survivor);
        let taken: BTreeSet<String> = former.iter().flat_map(|(_, known)| known.iter().cloned()).collect();
        if self.moves.broken.contains(&audience) {
            if !former.is_empty() {
                self.members.insert((audience, survivor), taken);
            }
        } else if self.is_in(audience, survivor) {
            if !stays {
                self.enter(audience, survivor);
            }
            self.members.entry((audience, survivor)).or_default().extend(taken);
        } else {
            for (profile, known) in former {
                self.tell(audience, false, &[profile, survivor], known.clone());
            }
        }
    }

    fn part(&mut self, audience: AudienceId, old: ProfileId, parts: &[ProfileId]) {
        self.change(audience, old);
        // A part may have come to a profile that there was: by a link that had been refused before.
        for part in parts.iter().filter(|part| **part != old) {
            self.change(audience, *part);
        }
    }

    /// What was told of a member follows the identifiers that are on another profile now.
    fn follow(&mut self, audience: AudienceId) {
        if self.moves.broken.contains(&audience) {
            return;
        }
        let live = self.moves.live.iter();
        let owners: BTreeMap<&String, ProfileId> =
            live.flat_map(|(profile, own)| own.iter().map(|identifier| (identifier, *profile))).collect();
        let mut moved: BTreeMap<ProfileId, (BTreeSet<ProfileId>, BTreeSet<String>)> = BTreeMap::new();
        let members = self.members.iter_mut().filter(|((of, _), _)| *of == audience);
        // What nobody had since somebody took it away stays with whom it was told of, until that one changes.
        for ((_, profile), known) in members.filter(|((_, profile), _)| self.moves.changed.contains(profile))
        {
            known.retain(|identifier| match owners.get(identifier) {
                Some(owner) if owner != profile => {
                    let (from, identifiers) = moved.entry(*owner).or_default();
                    from.insert(*profile);
                    identifiers.insert(identifier.clone());
                    false
                }
                _ => true,
            });
        }
        for (owner, (mut profiles, mut identifiers)) in moved {
            if let Some(known) = self.members.get_mut(&(audience, owner)) {
                known.extend(identifiers);
                continue;
            }
            let key = &self.keys[&audience];
            let exits = self
                .told
                .iter()
                .filter(|told| told.key == *key && !told.is_in && told.profiles.contains(&owner));
            identifiers.retain(|identifier| exits.clone().all(|exit| !exit.identifiers.contains(identifier)));
            if !identifiers.is_empty() {
                profiles.insert(owner);
                let profiles: Vec<ProfileId> = profiles.into_iter().collect();
                self.tell(audience, false, &profiles, identifiers);
            }
        }
    }
}

/// The changes that these activations tell: each in both forms, one behind the other.
pub(super) fn read(
    activations: &[Activation],
    (sequence, first): (u64, u32),
    at: Timestamp,
) -> Result<Vec<Told>, TestCaseError> {
    let mut told = Vec::new();
    for (number, pair) in activations.chunks(2).enumerate() {
        let [track, identify] = pair else { return Err(TestCaseError::fail("one form without the other")) };
        let (one, other) = (&track.header, &identify.header);
        for (header, ordinal) in [(one, first + 2 * number as u32), (other, first + 2 * number as u32 + 1)] {
            prop_assert_eq!((header.position, header.ordinal), (Position::at(sequence), ordinal));
            prop_assert_eq!((header.workspace, header.received_at, header.event_time), (ONE, at, at));
        }
        prop_assert_eq!((one.profile, &one.identifiers), (other.profile, &other.identifiers));
        prop_assert_eq!((one.event_kind, other.event_kind), (EventKind::Track, EventKind::Identify));
        prop_assert_eq!(other.kind, ActivationKind::AudienceTrait);
        prop_assert_ne!(&one.message_id, &other.message_id);
        let is_in = one.kind == ActivationKind::AudienceEntered;
        prop_assert!(is_in || one.kind == ActivationKind::AudienceExited, "{:?}", one.kind);

        let body: Value = serde_json::from_slice(&track.event).expect("JSON");
        let key = body["properties"]["audience_key"].as_str().expect("a key").to_owned();
        let name = if is_in { "Audience Entered" } else { "Audience Exited" };
        prop_assert_eq!(&body["type"], "track");
        prop_assert_eq!(&body["event"], name);
        prop_assert_eq!(&body["properties"], &json!({"audience_key": &key, &key: is_in}));
        let trait_body: Value = serde_json::from_slice(&identify.event).expect("JSON");
        prop_assert_eq!(&trait_body["type"], "identify");
        prop_assert_eq!(&trait_body["traits"], &json!({&key: is_in}));
        for (activation, body) in [(track, &body), (identify, &trait_body)] {
            prop_assert_eq!(&body["messageId"], activation.header.message_id.as_str());
            for (member, namespace) in
                [("userId", Namespace::USER_ID), ("anonymousId", Namespace::ANONYMOUS_ID)]
            {
                let mut own = one.identifiers.iter().filter(|known| *known.namespace() == namespace);
                prop_assert_eq!(body[member].as_str(), own.next().map(Identifier::value));
            }
        }
        let identifiers: BTreeSet<String> = one.identifiers.iter().map(Identifier::to_text).collect();
        prop_assert_eq!(identifiers.len(), one.identifiers.len(), "each once");
        told.push(Told { key, is_in, profiles: one.profile.into_iter().collect(), identifiers });
    }
    Ok(told)
}

/// Whether these are the changes that were to be told, in whatever order.
pub(super) fn check(told: &[Told], mut expected: Vec<Told>, has_parted: bool) -> Result<(), TestCaseError> {
    for one in told {
        let place = expected.iter().position(|want| {
            (&want.key, want.is_in) == (&one.key, one.is_in)
                && want.identifiers == one.identifiers
                && one.profiles.is_subset(&want.profiles)
        });
        prop_assert!(place.is_some(), "{one:?} was told, of {expected:?}");
        expected.swap_remove(place.expect("just looked at"));
    }
    prop_assert!(expected.is_empty(), "not told: {expected:?}");
    if has_parted {
        for (at, one) in told.iter().enumerate().filter(|(_, one)| !one.is_in) {
            let entered = told[..at].iter().any(|other| other.is_in && other.key == one.key);
            prop_assert!(!entered, "exits come first: {told:?}");
        }
    }
    Ok(())
}
