//! Ticks: what becomes of each, and which one should come next.
//!
//! A tick says which step it takes. One that does not begin where the work stands is passed over: the same step was
//! taken before, or something else has begun. So it does no harm that one is in the log twice, or that it comes late.

use super::known::Active;
use super::{Machine, ProjectError};
use crate::account::ACCOUNT_MEMBERS_MAX;
use crate::codec::Value;
use crate::definitions::DefinitionsState;
use crate::key::{Key, Tag};
use crate::metrics;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use tributary_identity::{GraphRead, LiveProfile, ProfileRecord};
use tributary_model::tick::Tick;
use tributary_model::{ProfileId, Record, Timestamp, WorkspaceId};

/// How many records of the log one step reads at most.
pub(crate) const READ_RECORDS_MAX: u64 = 2000;
/// How many profiles one step evaluates at most.
const EVALUATED_MAX: usize = 500;
/// How many evaluations of an audience for a person one step should have at most.
const VERDICTS_MAX: usize = 20_000;
/// How many profiles one step has at least, however many audiences there are.
const PROFILES_MIN: usize = 20;
/// How many timers one tick takes at least, however many audiences change by time alone.
const TIMERS_MIN: usize = 50;
/// How many timers one tick takes at most.
const TIMERS_MAX: usize = 1000;
/// How many members one step makes leave.
const LEFT_MAX: u32 = 500;

/// What should be appended to the log, now or later.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Due {
    /// The timer that is due first, over all workspaces.
    pub timer: Option<(Timestamp, WorkspaceId)>,
    /// A step of work.
    pub work: Option<(WorkspaceId, Tick)>,
}

/// What a workspace waits for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Upcoming {
    timer: Option<Timestamp>,
    work: Option<Tick>,
    /// The first record that a reading has yet to read.
    reads_from: Option<u64>,
}

impl Machine {
    pub(super) fn apply_tick(&mut self, sequence: u64, record: &Record) -> Result<(), ProjectError> {
        let id = record.envelope.workspace;
        let tick = Tick::decode(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        if self.graph.workspace(id)?.deleted {
            return Ok(());
        }
        let kind = match tick {
            Tick::Timers { max } => {
                self.take_timers(id, max)?;
                "timers"
            }
            Tick::ReadLog { from, to } => {
                self.read_back(id, from, to)?;
                "read_log"
            }
            Tick::Evaluate { after, max } => {
                self.evaluate_more(id, after, max)?;
                "evaluate"
            }
            Tick::Leave { after, max } => {
                self.let_leave(id, after, max)?;
                "leave"
            }
        };
        ::metrics::counter!(metrics::TICKS, "kind" => kind).increment(1);
        // One that changed nothing should not be offered as it was for ever.
        self.stirred.insert(id);
        Ok(())
    }

    /// What should be appended next: the first timer, and the work of the first workspace behind `after` that has some.
    /// To be asked once everything is published.
    ///
    /// # Errors
    /// If the state fails; the machine must not be used again.
    pub fn due(&mut self, after: WorkspaceId) -> Result<Due, ProjectError> {
        self.look_at_stirred()?;
        let timers = self.upcoming.iter().filter_map(|(id, upcoming)| Some((upcoming.timer?, *id)));
        let behind = self.upcoming.range((Bound::Excluded(after), Bound::Unbounded));
        let mut in_turn = behind.chain(self.upcoming.range(..=after));
        let work = in_turn.find_map(|(id, upcoming)| Some((*id, upcoming.work.clone()?)));
        Ok(Due { timer: timers.min(), work })
    }

    /// The tick that takes timers of a workspace.
    ///
    /// # Errors
    /// If the state fails.
    pub(crate) fn timers_tick(&mut self, id: WorkspaceId) -> Result<Tick, ProjectError> {
        let active = self.active(id)?;
        Ok(Tick::Timers { max: profiles_of_step(&active, &active.timed, TIMERS_MIN, TIMERS_MAX) })
    }

    /// The version of a workspace that is in force.
    ///
    /// # Errors
    /// If the state fails.
    pub(crate) fn version_of(&self, id: WorkspaceId) -> Result<u64, ProjectError> {
        Ok(self.graph.workspace(id)?.version)
    }

    /// The first record of the log that the reading for new definitions has yet to read.
    ///
    /// # Errors
    /// If the state fails; the machine must not be used again.
    pub fn reads_from(&mut self) -> Result<Option<u64>, ProjectError> {
        self.look_at_stirred()?;
        Ok(self.upcoming.values().filter_map(|upcoming| upcoming.reads_from).min())
    }

    /// Looks again at the workspaces that something may have changed for; at the start, at all.
    fn look_at_stirred(&mut self) -> Result<(), ProjectError> {
        if !std::mem::replace(&mut self.knows_workspaces, true) {
            let stored = self.stored_workspaces()?;
            self.stirred.extend(stored);
        }
        while let Some(id) = self.stirred.pop_first() {
            let definitions = self.current_definitions(id)?;
            let timer = self.next_timer(id)?;
            let reads_from = definitions.reading.map(|reading| reading.next);
            let max = match definitions.evaluating {
                Some(evaluating) => {
                    let active = self.active(id)?;
                    let places = if evaluating.is_reconciling { &active.all } else { &active.new };
                    profiles_of_step(&active, places, PROFILES_MIN, EVALUATED_MAX)
                }
                None => 0,
            };
            match work_of(&definitions, max) {
                None if timer.is_none() => self.upcoming.remove(&id),
                work => self.upcoming.insert(id, Upcoming { timer, work, reads_from }),
            };
        }
        Ok(())
    }

    /// The definitions of a workspace, which need not be compiled.
    fn current_definitions(&self, id: WorkspaceId) -> Result<Arc<DefinitionsState>, StoreError> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.definitions());
        }
        Ok(match self.graph.get(&Key::definitions(id))? {
            Some(Value::Definitions(definitions)) => definitions,
            _ => Arc::new(DefinitionsState::first(self.graph.workspace(id)?.projected > 0)),
        })
    }

    /// The workspaces that the store has something of.
    fn stored_workspaces(&self) -> Result<BTreeSet<WorkspaceId>, StoreError> {
        let store = self.state.store();
        let mut found = BTreeSet::new();
        let mut next = Some(1_u32);
        while let Some(number) = next {
            let from = number.to_be_bytes();
            let entry = store.entries_from(&[], Bound::Included(from.as_slice())).next().transpose()?;
            let Some(id) = entry.and_then(|(key, _)| key.workspace_id()) else { break };
            found.insert(id);
            next = id.0.checked_add(1);
        }
        Ok(found)
    }

    /// Evaluates profiles in the order of their ids, for audiences that are new or all of them.
    fn evaluate_more(
        &mut self,
        id: WorkspaceId,
        after: Option<ProfileId>,
        max: u32,
    ) -> Result<(), ProjectError> {
        let definitions = self.definitions(id)?;
        let Some(evaluating) = definitions.evaluating.filter(|evaluating| evaluating.after == after) else {
            return Ok(());
        };
        let active = self.active(id)?;
        // An audience that stood still may have members whose profiles are no more.
        let with_gone = evaluating.is_reconciling || !active.new.is_empty();
        let (page, is_last) = self.next_profiles(id, after, max as usize, with_gone)?;
        let mut done = 0;
        for (profile, live) in &page {
            done += u64::from(live.is_some());
            if let Some(live) = live.as_ref().filter(|_| evaluating.is_indexing) {
                self.index_profile(id, live)?;
            }
            if live.is_some() && !evaluating.is_reconciling {
                self.evaluate_passing(id, &active, *profile, &active.new)?;
            } else if live.is_some() || self.standing(id, *profile)?.is_some() {
                self.take_over(id, &active, BTreeSet::from([*profile]))?;
            }
        }
        let last = page.last_key_value().map(|(profile, _)| *profile);
        self.change_definitions(id, |definitions, _| {
            if is_last {
                definitions.end_evaluating();
            } else if let Some(evaluating) = &mut definitions.evaluating {
                evaluating.after = last.or(evaluating.after);
                evaluating.done += done;
            }
        })
    }

    /// The next profiles in the order of their ids, `None` for those that are not live; and whether those are the last.
    /// With those that are none any more but are still in audiences, if wanted.
    fn next_profiles(
        &mut self,
        id: WorkspaceId,
        after: Option<ProfileId>,
        max: usize,
        with_gone: bool,
    ) -> Result<(Page, bool), ProjectError> {
        let from = || after.map_or(Bound::Unbounded, |after| Bound::Excluded(after.0.to_vec()));
        let live = |record: &ProfileRecord| match record {
            ProfileRecord::Live(live) => Some(Arc::clone(live)),
            ProfileRecord::MergedInto(_) => None,
        };
        let mut page = Page::new();
        for (key, value) in self.graph.range(id, Tag::Profile, from(), &[], max)? {
            if let (Some(profile), Value::Profile(record)) = (key.profile_named(), value) {
                page.insert(profile, live(&record));
            }
        }
        if with_gone {
            for (key, _) in self.graph.range(id, Tag::Standing, from(), &[], max)? {
                if let Some(profile) = key.standing_named().filter(|profile| !page.contains_key(profile)) {
                    page.insert(profile, self.graph.profile(id, profile)?.as_ref().and_then(live));
                }
            }
        }
        while page.len() > max {
            page.pop_last();
        }
        let is_last = page.len() < max;
        Ok((page, is_last))
    }
}

/// Profiles by their ids, those that are live with what they are.
type Page = BTreeMap<ProfileId, Option<Arc<LiveProfile>>>;

/// How many profiles a step takes that evaluates these audiences for each. One that asks for accounts may look at all the
/// people of one.
fn profiles_of_step(active: &Active, places: &[usize], min: usize, max: usize) -> u32 {
    let of_accounts = places.iter().filter(|place| active.plan(**place).needs_accounts).count();
    let people = places.len() + of_accounts * ACCOUNT_MEMBERS_MAX;
    u32::try_from((VERDICTS_MAX / people.max(1)).clamp(min, max)).unwrap_or(u32::MAX)
}

/// The next step of work that a workspace's definitions wait for. One that evaluates profiles takes so many.
fn work_of(definitions: &DefinitionsState, max: u32) -> Option<Tick> {
    if !definitions.leaving.is_empty() {
        return Some(Tick::Leave { after: None, max: LEFT_MAX });
    }
    if let Some(evaluating) = definitions.evaluating {
        return Some(Tick::Evaluate { after: evaluating.after, max });
    }
    definitions.reading.map(|reading| {
        let to = reading.next.saturating_add(READ_RECORDS_MAX).min(reading.end);
        Tick::ReadLog { from: reading.next, to }
    })
}
