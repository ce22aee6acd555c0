//! A run of the machine beside the reference, compared after every record.
//!
//! Between records, ticks are taken as the run loop would: timers that are due, then work, until nothing is left.
//! Memberships of live audiences are compared whenever no timer is due; everything else once no work is left.

use super::super::{hash_key, open_indexes};
use super::drive::Driver;
use super::evaluate::is_broken;
use super::people::{Event, ONE, World};
use super::told::{Members, Moves, check, expected, read};
use super::value::Val;
use crate::codec::Checkpoint;
use crate::definitions::Stage;
use crate::reference::Reference;
use crate::store::MemoryStore;
use crate::testing;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_eventlog::MemoryLog;
use tributary_model::activation::ActivationKind;
use tributary_model::workspace::Audience;
use tributary_model::{
    Activation, AudienceId, Identifier, ProfileId, Record, RecordKind, Timestamp, Workspace,
};

/// More ticks than any record can make necessary.
pub(super) const TICKS_MAX: usize = 1000;

pub(super) struct Trial {
    driver: Driver,
    reference: Reference,
    /// Those that are no repeats, by sequence.
    events: BTreeMap<u64, Event>,
    workspace: Workspace,
    log_time: Timestamp,
    /// Who is a member, and with which identifiers a tool was told so.
    members: Members,
    /// The keys of all audiences that there ever were.
    keys: BTreeMap<AudienceId, String>,
    _directory: tempfile::TempDir,
}

impl Trial {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, log) = (Arc::new(MemoryStore::default()), Arc::new(MemoryLog::new()));
        Self {
            driver: Driver::new(store, open_indexes(directory.path()), log, Checkpoint::default()),
            reference: Reference::new(hash_key()),
            events: BTreeMap::new(),
            workspace: testing::workspace(),
            log_time: Timestamp::default(),
            members: Members::new(),
            keys: BTreeMap::new(),
            _directory: directory,
        }
    }

    /// Takes a record, and the ticks that it makes necessary.
    pub(super) fn take(&mut self, record: &Record) -> Result<(), TestCaseError> {
        self.feed(record)?;
        for _ in 0..TICKS_MAX {
            let due = self.driver.due();
            let is_settled = due.timer.is_none_or(|(at, _)| at > self.log_time);
            if is_settled {
                self.compare_live()?;
            }
            match self.driver.tick(self.log_time) {
                Some(tick) => self.feed(&tick)?,
                None => return self.compare_all(),
            }
        }
        Err(TestCaseError::fail("there is no end of ticks"))
    }

    /// Takes a record, and compares what it told.
    fn feed(&mut self, record: &Record) -> Result<(), TestCaseError> {
        let sequence = self.driver.machine.checkpoint().next;
        let known = self.reference.activations.len();
        let before = self.identifiers();
        self.log_time = self.log_time.max(record.envelope.received_at);
        if record.envelope.kind == RecordKind::WorkspaceVersion {
            self.workspace = serde_json::from_slice(&record.payload).expect("a workspace");
            let audiences = self.workspace.audiences.iter();
            self.keys.extend(audiences.map(|audience| (audience.id, audience.key.clone())));
        }
        let got = self.driver.write(record);
        self.reference.apply(sequence, record);
        let identity = &self.reference.activations[known..];
        prop_assert!(got.starts_with(identity), "{got:?} instead of {identity:?}");
        if identity.iter().any(|activation| activation.header.kind == ActivationKind::Event) {
            self.events.insert(sequence, Event::of(record).expect("it is one"));
        }
        let first = identity.len() as u32;
        let mut moves = self.moves(&before, identity);
        let told = read(&got[identity.len()..], (sequence, first), self.log_time)?;

        let is = self.stored_members(&moves)?;
        // What a profile is known by may change beside its identifiers: what was told of it follows them then, too.
        let given_up =
            is.iter().filter(|(place, now)| self.members.get(place).is_some_and(|was| !was.is_subset(now)));
        moves.changed.extend(given_up.map(|((_, profile), _)| *profile));
        if moves.merged.is_empty() || moves.parted.is_none() {
            let (expected, members) = expected((&self.members, &is), &moves, &self.keys);
            check(&told, expected, moves.parted.is_some())?;
            for (place, identifiers) in members.iter().filter(|((of, _), _)| !moves.broken.contains(of)) {
                prop_assert_eq!(is.get(place), Some(identifiers), "the entry's identifiers of {:?}", place);
            }
            self.check_broken(&is, &moves)?;
        }
        self.members = is;
        Ok(())
    }

    /// Everybody who is live, with their identifiers.
    fn identifiers(&self) -> BTreeMap<ProfileId, BTreeSet<String>> {
        let profiles = self.reference.profiles(ONE).into_iter();
        profiles.map(|(id, profile)| (id, profile.identifiers)).collect()
    }

    /// What a record did to people.
    fn moves(&self, before: &BTreeMap<ProfileId, BTreeSet<String>>, identity: &[Activation]) -> Moves {
        let mut moves = Moves { live: self.identifiers(), ..Moves::default() };
        let live = moves.live.iter();
        moves.changed = live.filter(|(id, own)| before.get(id) != Some(*own)).map(|(id, _)| *id).collect();
        for (gone, survivor) in self.reference.merged(ONE) {
            if before.contains_key(&gone) {
                moves.merged.entry(survivor).or_default().push(gone);
            }
        }
        for activation in identity.iter().filter(|one| one.header.kind == ActivationKind::ProfileSplit) {
            let body: Value = serde_json::from_slice(&activation.event).expect("JSON");
            let old = body["properties"]["split_from"].as_str().expect("an id");
            let old = old.parse().expect("an id");
            let (_, parts) = moves.parted.get_or_insert_with(|| (old, Vec::new()));
            parts.extend(activation.header.profile);
        }
        let broken = self.workspace.audiences.iter().filter(|audience| self.is_broken(audience));
        moves.broken = broken.map(|audience| audience.id).collect();
        moves
    }

    fn is_broken(&self, audience: &Audience) -> bool {
        is_broken(&self.workspace, &audience.definition)
    }

    /// A broken audience has those whom it had, or the profiles that they were merged into, and whoever has now what was
    /// told of them.
    fn check_broken(&self, is: &Members, moves: &Moves) -> Result<(), TestCaseError> {
        let survivors: BTreeMap<ProfileId, ProfileId> =
            moves.merged.iter().flat_map(|(to, gone)| gone.iter().map(|gone| (*gone, *to))).collect();
        let now = |id: &ProfileId| survivors.get(id).copied().unwrap_or(*id);
        for audience in &moves.broken {
            let had: BTreeSet<ProfileId> = of(&self.members, *audience).iter().map(now).collect();
            let (has, told) = (of(is, *audience), told_of(&self.members, *audience));
            prop_assert!(had.is_subset(&has), "{:?} is broken", audience);
            prop_assert_eq!(&told, &told_of(is, *audience), "{:?} is broken", audience);
            for new in has.difference(&had) {
                let own = &is[&(*audience, *new)];
                prop_assert!(own.is_subset(&moves.live[new]) && !own.is_empty(), "{:?} is broken", audience);
            }
        }
        Ok(())
    }

    /// The members as they are read, in both directions, and how many are counted.
    fn stored_members(&self, moves: &Moves) -> Result<Members, TestCaseError> {
        let reader = &self.driver.reader;
        let mut members = Members::new();
        for id in moves.live.keys() {
            for (audience, membership) in reader.memberships(ONE, *id).expect("readable") {
                let identifiers = membership.identifiers.iter().map(Identifier::to_text).collect();
                members.insert((audience, *id), identifiers);
            }
        }
        for audience in self.keys.keys() {
            let listed = reader.members(ONE, *audience, None, 1000).expect("readable");
            let listed: BTreeSet<ProfileId> = listed.into_iter().map(|(id, _)| id).collect();
            prop_assert_eq!(&listed, &of(&members, *audience));
            let size =
                reader.audience_status(ONE, *audience).expect("readable").map_or(0, |status| status.size);
            prop_assert_eq!(size, listed.len() as u64, "the size of {:?}", audience);
            let all = (Timestamp::MIN, Timestamp::from_micros(i64::MAX));
            let sizes = reader.sizes(ONE, *audience, all.0, all.1).expect("readable");
            prop_assert_eq!(sizes.last().map_or(0, |(_, row)| row.size), size);
        }
        Ok(members)
    }

    fn world(&self) -> World<'_> {
        World::new(self.log_time, &self.workspace, &self.events, &self.reference)
    }

    /// Every live audience has exactly those whom the reference admits.
    fn compare_live(&self) -> Result<(), TestCaseError> {
        let definitions = self.driver.reader.definitions(ONE).expect("readable");
        let is_live = |audience: &&Audience| {
            let mut states = definitions.audiences.iter();
            states.any(|state| state.id == audience.id && state.stage == Stage::Live)
        };
        let world = self.world();
        for audience in self.workspace.audiences.iter().filter(is_live).filter(|one| !self.is_broken(one)) {
            let admitted = world.people.iter().filter(|(_, person)| world.admits(audience, person));
            let admitted: BTreeSet<ProfileId> = admitted.map(|(id, _)| *id).collect();
            let now = self.log_time;
            let condition = &audience.definition;
            prop_assert_eq!(&of(&self.members, audience.id), &admitted, "at {} by {}", now, condition);
        }
        Ok(())
    }

    /// No work is left: audiences are live, but for those that are broken; those that are gone have nobody; computed
    /// traits have their values.
    fn compare_all(&self) -> Result<(), TestCaseError> {
        let definitions = self.driver.reader.definitions(ONE).expect("readable");
        prop_assert!(definitions.leaving.is_empty() && definitions.reading.is_none());
        prop_assert_eq!(definitions.audiences.len(), self.workspace.audiences.len());
        for state in &definitions.audiences {
            let mut audiences = self.workspace.audiences.iter();
            let audience = audiences.find(|audience| audience.id == state.id).expect("it is defined");
            let want = if self.is_broken(audience) { Stage::Broken } else { Stage::Live };
            prop_assert_eq!(state.stage, want, "{}", audience.definition);
        }
        for (audience, _) in self.members.keys() {
            prop_assert!(definitions.audiences.iter().any(|state| state.id == *audience));
        }
        let world = self.world();
        for (id, person) in &world.people {
            let found = self.driver.reader.find(ONE, "profile_id", &id.to_string()).expect("readable");
            let view = found.expect("a live profile is found by its id").view;
            let values = view.computed(self.log_time);
            prop_assert_eq!(values.len(), self.workspace.computed_traits.len());
            for (plan, value) in values {
                let mut all = self.workspace.computed_traits.iter();
                let computed = all.find(|computed| computed.key == plan.key).expect("it is defined");
                let want = world.computed(computed, person);
                let got: Option<Value> = value.json.map(|json| serde_json::from_str(&json).expect("JSON"));
                let got = Val::of(&got.unwrap_or_default());
                prop_assert!(shows(&got, &want), "{got:?}, not {want:?}, by {}", computed.definition);
                prop_assert!(!value.is_approximate, "no limit is met");
            }
        }
        Ok(())
    }
}

/// The members of one audience.
fn of(members: &Members, audience: AudienceId) -> BTreeSet<ProfileId> {
    members.keys().filter(|(of, _)| *of == audience).map(|(_, profile)| *profile).collect()
}

/// The identifiers that were told of all members of one audience.
fn told_of(members: &Members, audience: AudienceId) -> BTreeSet<&String> {
    let those = members.iter().filter(|((of, _), _)| *of == audience);
    those.flat_map(|(_, told)| told).collect()
}

/// Whether a value is shown so: equal values have equal texts, a length of time is one in whole seconds, and no values are
/// an empty list or nothing.
fn shows(got: &Val, want: &Val) -> bool {
    got.json() == want.json() || (got, want) == (&Val::Null, &Val::List(Vec::new()))
}
