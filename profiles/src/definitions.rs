//! What the projector keeps of a workspace's definitions: the definitions themselves, the numbers of keepers, and how
//! far each audience is.
//!
//! A definition that was just made is brought up to date in steps, each of them a tick of the log, while events go on:
//!
//! 1. Events older than a keeper are read back from the log ([`Reading`]). From the record on that added the keeper,
//!    events are folded as they come.
//! 2. Every profile is evaluated ([`Evaluating`]), and so is whatever an event touches meanwhile.
//! 3. The audience is live.
//!
//! One reading goes on at a time, for all keepers that were added before it began; a later one waits for its end. One
//! evaluation goes on at a time too, but begins anew for an audience that comes along. Members of an audience that was
//! deleted leave in steps; an audience with the same key waits until they have.
//!
//! Everything here is a function of the log's records: no clock, no cache.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_model::catalog::{AudiencePlan, Catalog, Defined};
use tributary_model::keeper::KeeperSpec;
use tributary_model::{AudienceId, ProfileId, Timestamp};

/// What the projector keeps of a workspace's definitions.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DefinitionsState {
    /// The definitions in force. Their version is the one that last changed them.
    #[serde(with = "defined_text")]
    pub defined: Arc<Defined>,
    /// The number that the next keeper gets.
    pub next_keeper: u32,
    /// What fragments keep for the definitions.
    pub keepers: Vec<KeeperState>,
    /// The audiences, in the order in which they are defined.
    pub audiences: Vec<AudienceState>,
    /// Audiences that were deleted and still have members, the one whose members leave now first.
    pub leaving: Vec<LeavingAudience>,
    /// How far the log is read back.
    pub reading: Option<Reading>,
    /// How far profiles are evaluated.
    pub evaluating: Option<Evaluating>,
}

/// A keeper.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeeperState {
    /// Under which fragments have what it keeps. Never used again.
    pub number: u32,
    /// What it keeps: see [`KeeperSpec::hash`].
    pub hash: [u8; 16],
    /// The record that added it: events from there on are folded as they come.
    pub added: u64,
    /// Whether the events before were folded too.
    pub is_filled: bool,
    /// When the first of the events arrived that were still there to be folded; `None` if the log had lost none.
    pub since: Option<Timestamp>,
}

/// An audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudienceState {
    /// Its id.
    pub id: AudienceId,
    /// Its key.
    pub key: String,
    /// What it means: see [`AudiencePlan::hash`].
    pub hash: [u8; 16],
    /// How many members it has.
    pub members: u64,
    /// How far it is.
    pub stage: Stage,
    /// When the first of the events arrived that it knows; `None` if it knows all there ever were.
    pub since: Option<Timestamp>,
}

/// An audience that was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeavingAudience {
    /// Its id.
    pub id: AudienceId,
    /// Its key: what its exits name.
    pub key: String,
    /// How many members have yet to leave.
    pub left: u64,
}

/// The reading of the log for new keepers: those not filled that were added at [`Reading::end`] or before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// The first record that is not read.
    pub next: u64,
    /// The record at which it ends: the last one that added such a keeper.
    pub end: u64,
    /// The first record that was there to be read.
    pub from: u64,
}

/// The evaluation of every profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evaluating {
    /// The last profile that was evaluated, in the order of ids.
    pub after: Option<ProfileId>,
    /// How many were.
    pub done: u64,
    /// How many profiles there were when it began.
    pub total: u64,
    /// Whether it is for every audience, because profiles were made again; else it is for those in
    /// [`Stage::Evaluating`].
    pub is_reconciling: bool,
    /// Whether profiles are entered on the way under what they can be searched by.
    pub is_indexing: bool,
}

/// What other definitions change beside audiences.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changed {
    /// The traits whose policies changed.
    policies: BTreeSet<String>,
    /// Whether there is more to search profiles by.
    is_search: bool,
}

/// How far an audience is. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// It waits until others are done.
    Waiting,
    /// The log is read back for it.
    Reading,
    /// Profiles are evaluated.
    Evaluating,
    /// Its members are those for whom its condition holds.
    Live,
    /// Its condition can't be evaluated: its members stay.
    Broken,
    /// It was deleted: its members leave.
    Leaving,
}

impl Stage {
    /// The stable name: the API uses it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Reading => "reading",
            Self::Evaluating => "evaluating",
            Self::Live => "live",
            Self::Broken => "broken",
            Self::Leaving => "leaving",
        }
    }

    /// Whether what happens to a profile changes its membership at once.
    pub(crate) const fn is_evaluated(self) -> bool {
        matches!(self, Self::Evaluating | Self::Live)
    }
}

impl DefinitionsState {
    /// That of a workspace of which nothing is stored. Where it has events all the same, they are from before there
    /// was anything to define: what people are searched by is still to be entered.
    pub(crate) fn first(has_events: bool) -> Self {
        // The number of profiles would depend on when this was asked.
        let all = Evaluating { after: None, done: 0, total: 0, is_reconciling: false, is_indexing: true };
        Self { evaluating: has_events.then_some(all), ..Self::default() }
    }

    /// The numbers of keepers by their hashes: what a catalog is compiled with.
    pub fn numbers(&self) -> BTreeMap<[u8; 16], u32> {
        self.keepers.iter().map(|keeper| (keeper.hash, keeper.number)).collect()
    }

    /// The keepers that lack events.
    pub(crate) fn unfilled(&self) -> BTreeSet<u32> {
        self.keepers.iter().filter(|keeper| !keeper.is_filled).map(|keeper| keeper.number).collect()
    }

    /// How far a keeper is: [`Stage::Live`] once it has all events that there were.
    pub(crate) fn keeper_stage(&self, number: u32) -> Option<(Stage, Option<Timestamp>)> {
        let keeper = self.keepers.iter().find(|keeper| keeper.number == number)?;
        Some((if keeper.is_filled { Stage::Live } else { self.stage_with(&[keeper]) }, keeper.since))
    }

    /// Whether something that is to be kept has no number: it is known by another hash since the program was exchanged.
    pub(crate) fn lacks_keepers(&self) -> bool {
        let known: BTreeSet<[u8; 16]> = self.keepers.iter().map(|keeper| keeper.hash).collect();
        Catalog::wanted(&self.defined).iter().any(|spec| !known.contains(&spec.hash()))
    }

    /// Whether a version of the workspace defines something else.
    pub(crate) fn differs(&self, defined: &Defined) -> bool {
        let ours = &*self.defined;
        ours.audiences != defined.audiences
            || ours.computed_traits != defined.computed_traits
            || ours.traits != defined.traits
    }

    /// Puts other definitions into force at this record, and gives numbers to new keepers. Without events before, there
    /// is nothing to read back. The caller compiles the catalog next, and goes on with
    /// [`DefinitionsState::take_audiences`].
    pub(crate) fn take_keepers(&mut self, defined: Defined, sequence: u64, has_events: bool) -> Changed {
        let hashes: Vec<[u8; 16]> = Catalog::wanted(&defined).iter().map(KeeperSpec::hash).collect();
        let wanted: BTreeSet<[u8; 16]> = hashes.iter().copied().collect();
        self.keepers.retain(|keeper| wanted.contains(&keeper.hash));
        let mut known: BTreeSet<[u8; 16]> = self.keepers.iter().map(|keeper| keeper.hash).collect();
        for hash in hashes {
            if known.insert(hash) {
                let (number, is_filled) = (self.next_keeper, !has_events);
                self.keepers.push(KeeperState { number, hash, added: sequence, is_filled, since: None });
                self.next_keeper += 1;
            }
        }
        let before = std::mem::replace(&mut self.defined, Arc::new(defined));
        let (before, now) = (&before.traits, &self.defined.traits);
        let named: BTreeSet<&String> = before.policies.keys().chain(now.policies.keys()).collect();
        let is_other = |name: &&String| before.policies.get(*name) != now.policies.get(*name);
        let policies: BTreeSet<String> = named.into_iter().filter(is_other).cloned().collect();
        let is_new = |name: &String| !before.searched.contains(name) || policies.contains(name);
        let is_search = has_events && now.searched.iter().any(is_new);
        Changed { policies, is_search }
    }

    /// Takes the audiences of the definitions in force, of which this is the catalog: new ones and those that mean
    /// something else, or look at traits whose policies changed, have to be brought up to date; those that are gone are
    /// left.
    pub(crate) fn take_audiences(&mut self, catalog: &Catalog, changed: &Changed, profiles: u64) {
        let policies: Vec<&str> = changed.policies.iter().map(String::as_str).collect();
        let looking = catalog.touched(&policies, &[]);
        let unfilled = self.unfilled();
        let before = std::mem::take(&mut self.audiences);
        let mut before: BTreeMap<AudienceId, AudienceState> =
            before.into_iter().map(|audience| (audience.id, audience)).collect();
        for (place, plan) in catalog.audiences().iter().enumerate() {
            let known = before.remove(&plan.id);
            let is_changed = looking.binary_search(&place).is_ok()
                || plan.keepers.iter().any(|keeper| unfilled.contains(keeper));
            self.audiences.push(AudienceState {
                stage: first_stage(plan, known.as_ref().filter(|_| !is_changed)),
                id: plan.id,
                key: plan.key.clone(),
                hash: plan.hash,
                members: known.map_or(0, |known| known.members),
                since: None,
            });
        }
        let gone = before.into_values().map(|audience| LeavingAudience {
            id: audience.id,
            key: audience.key,
            left: audience.members,
        });
        self.leaving.extend(gone);
        if changed.is_search {
            self.begin_evaluating(profiles, Evaluated { is_indexing: true, ..self.evaluated() });
        }
        self.go_on(catalog, profiles);
    }

    /// Lets audiences go on that no longer wait for anything. To be called after whatever they may have waited for.
    pub(crate) fn go_on(&mut self, catalog: &Catalog, profiles: u64) {
        self.begin_reading();
        // Beside its own, an audience looks at the keepers of the policies of its traits.
        let mut of_policies: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for (name, _, number) in catalog.policies() {
            for place in catalog.touched(&[name], &[]) {
                of_policies.entry(place).or_default().push(number);
            }
        }
        let known: BTreeMap<u32, &KeeperState> =
            self.keepers.iter().map(|keeper| (keeper.number, keeper)).collect();
        let leaving: BTreeSet<&str> = self.leaving.iter().map(|leaving| leaving.key.as_str()).collect();
        let mut is_more = false;
        let mut stages = Vec::with_capacity(self.audiences.len());
        for (place, plan) in catalog.audiences().iter().enumerate() {
            let numbers = plan.keepers.iter().chain(of_policies.get(&place).into_iter().flatten());
            let keepers: Vec<&KeeperState> =
                numbers.filter_map(|number| known.get(number).copied()).collect();
            let since = keepers.iter().filter_map(|keeper| keeper.since).max();
            let stage =
                if leaving.contains(plan.key.as_str()) { Stage::Waiting } else { self.stage_with(&keepers) };
            stages.push((stage, since));
        }
        debug_assert_eq!(self.audiences.len(), stages.len(), "there is one of each in the catalog");
        for (audience, (stage, since)) in self.audiences.iter_mut().zip(stages) {
            audience.since = since;
            if matches!(audience.stage, Stage::Waiting | Stage::Reading) {
                audience.stage = stage;
                is_more |= stage == Stage::Evaluating;
            }
        }
        if is_more {
            self.begin_evaluating(profiles, self.evaluated());
        }
        let is_any = self.audiences.iter().any(|audience| audience.stage == Stage::Evaluating);
        let evaluated = self.evaluated();
        if !evaluated.is_reconciling && !evaluated.is_indexing && (!is_any || profiles == 0) {
            self.end_evaluating();
        }
    }

    /// Every audience has to be evaluated anew for every profile: there are others now.
    pub(crate) fn reconcile(&mut self, profiles: u64) {
        let evaluated = Evaluated { is_reconciling: !self.audiences.is_empty(), ..self.evaluated() };
        if evaluated.is_indexing || evaluated.is_reconciling {
            self.begin_evaluating(profiles, evaluated);
        }
    }

    /// Every profile was evaluated.
    pub(crate) fn end_evaluating(&mut self) {
        self.evaluating = None;
        for audience in &mut self.audiences {
            if audience.stage == Stage::Evaluating {
                audience.stage = Stage::Live;
            }
        }
    }

    /// The first record that was there to be read is this, which arrived then: the log has lost those before.
    pub(crate) fn begin_behind(&mut self, first: u64, received_at: Timestamp) {
        let Some(reading) = &mut self.reading else { return };
        reading.from = first;
        let end = reading.end;
        for keeper in self.keepers.iter_mut().filter(|keeper| is_filled_by(keeper, end)) {
            keeper.since = Some(received_at);
        }
    }

    /// The log was read up to the end of the reading.
    pub(crate) fn end_reading(&mut self) {
        let Some(reading) = self.reading.take() else { return };
        for keeper in self.keepers.iter_mut().filter(|keeper| is_filled_by(keeper, reading.end)) {
            keeper.is_filled = true;
        }
    }

    /// The keepers that the event of this record is missing in, as far as the reading is about them; and the record up to
    /// which that holds.
    pub(crate) fn missing_at(&self, sequence: u64) -> (BTreeSet<u32>, u64) {
        let Some(reading) = self.reading else { return (BTreeSet::new(), u64::MAX) };
        let missing: Vec<&KeeperState> = self
            .keepers
            .iter()
            .filter(|keeper| is_filled_by(keeper, reading.end) && keeper.added > sequence)
            .collect();
        let until = missing.iter().map(|keeper| keeper.added).min().unwrap_or(u64::MAX);
        (missing.into_iter().map(|keeper| keeper.number).collect(), until)
    }

    /// A member of an audience, also of one that is left, more or fewer.
    pub(crate) fn count_member(&mut self, audience: AudienceId, change: i64) -> u64 {
        let members = self.audiences.iter_mut().find(|known| known.id == audience);
        let leaving = self.leaving.iter_mut().find(|known| known.id == audience);
        let members = members.map(|known| &mut known.members).or(leaving.map(|known| &mut known.left));
        members.map_or(0, |members| {
            *members = members.saturating_add_signed(change);
            *members
        })
    }

    /// How far what needs these keepers can be.
    fn stage_with(&self, keepers: &[&KeeperState]) -> Stage {
        let mut missing = keepers.iter().filter(|keeper| !keeper.is_filled).peekable();
        if missing.peek().is_none() {
            Stage::Evaluating
        } else if missing.all(|keeper| self.reading.is_some_and(|reading| keeper.added <= reading.end)) {
            Stage::Reading
        } else {
            Stage::Waiting
        }
    }

    /// Begins a reading, or takes keepers into the one that has not begun; drops one that is about nothing any more.
    fn begin_reading(&mut self) {
        let missing = || self.keepers.iter().filter(|keeper| !keeper.is_filled);
        if let Some(reading) = self.reading
            && reading.next > 0
            && missing().any(|keeper| keeper.added <= reading.end)
        {
            return;
        }
        let end = missing().map(|keeper| keeper.added).max();
        self.reading = end.map(|end| Reading { next: 0, end, from: 0 });
    }

    /// Begins the evaluation of every profile anew.
    fn begin_evaluating(&mut self, profiles: u64, evaluated: Evaluated) {
        let Evaluated { is_reconciling, is_indexing } = evaluated;
        let (after, done, total) = (None, 0, profiles);
        self.evaluating = Some(Evaluating { after, done, total, is_reconciling, is_indexing });
    }

    /// What the evaluation that goes on is for, beside new audiences.
    fn evaluated(&self) -> Evaluated {
        let is = |what: fn(&Evaluating) -> bool| self.evaluating.as_ref().is_some_and(what);
        Evaluated {
            is_reconciling: is(|all| all.is_reconciling) && !self.audiences.is_empty(),
            is_indexing: is(|all| all.is_indexing),
        }
    }
}

/// What every profile is evaluated for, beside new audiences.
#[derive(Clone, Copy)]
struct Evaluated {
    is_reconciling: bool,
    is_indexing: bool,
}

/// The keepers that a reading up to this record fills.
const fn is_filled_by(keeper: &KeeperState, end: u64) -> bool {
    !keeper.is_filled && keeper.added <= end
}

/// Where an audience begins that is defined so now, and was known so before.
fn first_stage(plan: &AudiencePlan, known: Option<&AudienceState>) -> Stage {
    match known {
        _ if plan.problem.is_some() => Stage::Broken,
        Some(known) if known.hash == plan.hash && known.stage != Stage::Broken => known.stage,
        Some(_) | None => Stage::Waiting,
    }
}

/// Definitions as the JSON text that a workspace's version has them in: they grow without a new form of this entry.
mod defined_text {
    use serde::de::Error as _;
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use std::sync::Arc;
    use tributary_model::catalog::Defined;

    pub(super) fn serialize<S: Serializer>(defined: &Arc<Defined>, serializer: S) -> Result<S::Ok, S::Error> {
        let text = serde_json::to_string(&**defined).map_err(S::Error::custom)?;
        serializer.serialize_str(&text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Defined>, D::Error> {
        let text = String::deserialize(deserializer)?;
        serde_json::from_str(&text).map(Arc::new).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests;
