//! Evaluating the profiles that the indexes leave open, one by one.
//!
//! The profiles are taken in slices: the events that a slice needs are read from the log, in its order and no others,
//! folded into throw-away fragments, and each profile is evaluated over those and its traits. A slice is made smaller
//! until its events are [`EVENTS_MAX`] at most; so memory is bounded by that, and by some bytes for each profile.
//!
//! Slices are read without a lock. What a checkpoint changes meanwhile is noted and evaluated again, in rounds, the last
//! of which is small and taken while the state stands still. Then every verdict is as of that state: a profile that was
//! evaluated before and did not change since says the same, unless its verdict's time has come.

use super::accounts::{Accounts, concerned};
use super::facts::{Oldest, Overlay, Sources};
use super::log::{Wanted, read};
use super::report::{Answer, AnsweredBy, AudiencePreview};
use super::{Asked, AudiencePreviewError};
use crate::codec::Checkpoint;
use crate::columns::{Held, Settled, Table, Touched, is_passing};
use crate::preview::PreviewProgress;
use crate::reader::LookupError;
use crate::store::StoreError;
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use tributary_model::catalog::{AccountFacts, Facts, Person, Verdict};
use tributary_model::keeper::Keepers;
use tributary_model::{Fragment, ProfileId, Timestamp};

/// How many profiles are evaluated while the state stands still, at most.
const LAST_MAX: u64 = 200;
/// How often what changed is evaluated again before it is done while the state stands still, though it is more.
const ROUNDS_MAX: usize = 30;
/// How many profiles are evaluated so then, at most.
const LAST_AFTER_ROUNDS_MAX: u64 = 4_000;
/// How many events are held in memory for a slice, unless one profile alone has more.
pub(super) const EVENTS_MAX: usize = 1 << 20;
/// How many profiles a slice has at most.
const SLICE_MAX: usize = 20_000;
/// The same where people are looked at who share an account with them.
const SLICE_WITH_ACCOUNTS_MAX: usize = 200;

/// Evaluates what has to be, and answers.
///
/// # Errors
/// [`AudiencePreviewError::Overtaken`] if the columns were dropped meanwhile, [`AudiencePreviewError::Restless`] if more
/// changes than can be looked at; if something can't be read, or it is cancelled.
pub(super) fn run(
    asked: &Asked<'_>,
    progress: &PreviewProgress,
) -> Result<AudiencePreview, AudiencePreviewError> {
    let mut scan = Scan::begin(asked, progress)?;
    let columns = asked.parts.state.columns();
    let mut rounds = 0;
    loop {
        rounds += 1;
        let is_last = rounds >= ROUNDS_MAX;
        scan.check()?;
        // The log is asked before: while the columns are held, checkpoints wait.
        let oldest = Oldest::of(&*asked.parts.events)?;
        let last_max = if is_last { LAST_AFTER_ROUNDS_MAX } else { LAST_MAX };
        let held = columns.read();
        let table = scan.table(&held)?;
        let touched = table.touched(scan.watch);
        scan.forget(table, &touched);
        if asked.draft.plan.needs_accounts {
            let people: Vec<ProfileId> = touched.docs.iter().filter_map(|doc| table.id(doc)).collect();
            let is_much = people.len() as u64 + touched.accounts.len() as u64 > last_max;
            if is_much && is_last {
                return Err(AudiencePreviewError::Restless);
            }
            if is_much {
                drop(held);
                scan.doubt(&people, &touched.accounts)?;
                continue;
            }
            let settled = scan.settled()?;
            for id in concerned(&settled, &people, &touched.accounts)? {
                scan.forget_one(table, id);
            }
        }
        let looked = asked.look(&held, table, &oldest)?;
        let undecided = looked.sides.undecided();
        let todo = scan.todo(&undecided, looked.now);
        if todo.len() > last_max && is_last {
            return Err(AudiencePreviewError::Restless);
        }
        if todo.len() > last_max {
            drop(held);
            scan.evaluate(&todo, (&oldest, looked.now), None)?;
            continue;
        }
        scan.evaluate(&todo, (&oldest, looked.now), Some((&held, table)))?;
        if !todo.is_subset(&scan.evaluated) {
            return Err(StoreError::Incomplete.into());
        }
        let members = &looked.sides.must | &(&undecided & &scan.holds);
        let by = if undecided.is_empty() { AnsweredBy::Columns } else { AnsweredBy::Scan };
        let answer = Answer { members: &members, by, is_approximate: scan.is_approximate };
        return asked.report(&held, table, &looked, &answer);
    }
}

/// What was found out so far.
struct Scan<'a> {
    asked: &'a Asked<'a>,
    progress: &'a PreviewProgress,
    /// Which table its numbers of profiles are of.
    serial: u64,
    watch: u64,
    evaluated: RoaringBitmap,
    /// Those of whom it holds.
    holds: RoaringBitmap,
    /// When a verdict may be another without an event.
    due: FxHashMap<u32, Timestamp>,
    is_approximate: bool,
    /// Profiles whose verdicts don't count any more.
    doubted: BTreeSet<ProfileId>,
    slice: usize,
    done: u64,
    of: u64,
}

impl Drop for Scan<'_> {
    fn drop(&mut self) {
        // Nobody holds the columns here: what is held is declared behind this.
        let held = self.asked.parts.state.columns().read();
        if let Ok(table) = self.table(&held) {
            table.unwatch(self.watch);
        }
    }
}

/// The columns that are held, if they are.
type Standing<'a> = Option<(&'a Held<'a>, &'a Table)>;

/// A profile of a slice, by its number.
type Numbered = (u32, ProfileId);

impl<'a> Scan<'a> {
    fn begin(asked: &'a Asked<'a>, progress: &'a PreviewProgress) -> Result<Self, AudiencePreviewError> {
        let held = asked.parts.state.columns().read();
        let table = held.table(asked.order.workspace).ok_or(AudiencePreviewError::Overtaken)?;
        Ok(Self {
            asked,
            progress,
            serial: table.serial(),
            watch: table.watch(),
            evaluated: RoaringBitmap::new(),
            holds: RoaringBitmap::new(),
            due: FxHashMap::default(),
            is_approximate: false,
            doubted: BTreeSet::new(),
            slice: if asked.draft.plan.needs_accounts { SLICE_WITH_ACCOUNTS_MAX } else { SLICE_MAX },
            done: 0,
            of: 0,
        })
    }

    fn check(&self) -> Result<(), AudiencePreviewError> {
        if self.progress.is_cancelled() { Err(AudiencePreviewError::Cancelled) } else { Ok(()) }
    }

    fn table<'h>(&self, held: &'h Held<'_>) -> Result<&'h Table, AudiencePreviewError> {
        let table = held.table(self.asked.order.workspace);
        table.filter(|table| table.serial() == self.serial).ok_or(AudiencePreviewError::Overtaken)
    }

    fn settled(&self) -> Result<Settled<'a>, AudiencePreviewError> {
        let parts = self.asked.parts;
        Ok(Settled::new(&parts.state, self.asked.order.workspace, &parts.hash_key)?)
    }

    /// The verdicts of these no longer count.
    fn forget(&mut self, table: &Table, touched: &Touched) {
        self.evaluated -= &touched.docs;
        for id in std::mem::take(&mut self.doubted) {
            self.forget_one(table, id);
        }
    }

    fn forget_one(&mut self, table: &Table, id: ProfileId) {
        if let Some(doc) = table.doc(id) {
            self.evaluated.remove(doc);
        }
    }

    /// The verdicts of those who share an account with these people no longer count.
    fn doubt(
        &mut self,
        people: &[ProfileId],
        accounts: &BTreeSet<Box<str>>,
    ) -> Result<(), AudiencePreviewError> {
        let concerned = self.settled().and_then(|settled| Ok(concerned(&settled, people, accounts)?));
        match unless_passing(concerned)? {
            Some(concerned) => self.doubted.extend(concerned),
            // Whose they are can't be told just now.
            None => self.evaluated.clear(),
        }
        Ok(())
    }

    /// Those that have to be evaluated.
    fn todo(&self, undecided: &RoaringBitmap, now: Timestamp) -> RoaringBitmap {
        let due = self.due.iter().filter(|(_, due)| **due <= now).map(|(doc, _)| *doc);
        let mut todo = undecided - &self.evaluated;
        for doc in due.filter(|doc| undecided.contains(*doc)) {
            todo.insert(doc);
        }
        todo
    }

    fn evaluate(
        &mut self,
        todo: &RoaringBitmap,
        (oldest, now): (&Oldest, Timestamp),
        standing: Standing<'_>,
    ) -> Result<(), AudiencePreviewError> {
        let Some(sources) = unless_passing(Sources::new(self.asked, oldest, now))? else { return Ok(()) };
        let docs: Vec<u32> = todo.iter().collect();
        self.of += docs.len() as u64;
        let mut left = docs.as_slice();
        while !left.is_empty() {
            self.check()?;
            let (slice, behind) = left.split_at(self.slice.min(left.len()));
            let is_done = unless_passing(self.evaluate_slice(slice, &sources, now, standing))?;
            if is_done == Some(false) {
                self.slice = (slice.len() / 2).max(1);
                continue;
            }
            // Those that could not be read are taken in the next round.
            left = behind;
            self.done += slice.len() as u64;
            self.progress.set(self.done, self.of);
        }
        Ok(())
    }

    /// Evaluates these; false if their events are too many.
    fn evaluate_slice(
        &mut self,
        slice: &[u32],
        sources: &Sources,
        now: Timestamp,
        standing: Standing<'_>,
    ) -> Result<bool, AudiencePreviewError> {
        let settled = self.settled()?;
        let numbered: Vec<Numbered> = self.with_table(standing, |table, _| {
            Ok(slice.iter().filter_map(|doc| Some((*doc, table.id(*doc)?))).collect())
        })?;
        let mut found: FxHashMap<u32, Fragment> = FxHashMap::default();
        let mut numbers: FxHashMap<ProfileId, u32> = FxHashMap::default();
        if !sources.missing.is_empty() {
            let mut people: Vec<ProfileId> = numbered.iter().map(|(_, id)| *id).collect();
            if self.asked.draft.plan.needs_accounts {
                people = concerned(&settled, &people, &BTreeSet::new())?.into_iter().collect();
            }
            let wanted = self.with_table(standing, |table, checkpoint| {
                numbers = people.iter().filter_map(|id| Some((*id, table.doc(*id)?))).collect();
                let may_be_more = slice.len() == 1;
                let wanted = Wanted { asked: self.asked, sources, now, table, checkpoint, may_be_more };
                wanted.events(&settled, &numbers)
            })?;
            let Some(wanted) = wanted else { return Ok(false) };
            let keepers = Keepers::of(&sources.missing);
            found = read(&*self.asked.parts.events, &wanted, &keepers, now, self.progress)?;
        }
        let mut accounts = Accounts::default();
        for (doc, id) in numbered {
            let slice = Slice { settled: &settled, sources, found: &found, numbers: &numbers, now };
            match self.verdict(&slice, (doc, id), &mut accounts) {
                Ok(verdict) => self.note(doc, verdict),
                Err(error) if is_passing(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Whether a profile would be in the audience; `None` for one that is no more.
    fn verdict(
        &self,
        slice: &Slice<'_>,
        (doc, id): Numbered,
        accounts: &mut Accounts,
    ) -> Result<Option<Verdict>, StoreError> {
        let Some(live) = slice.settled.live(id)? else { return Ok(None) };
        let view = slice.settled.view(&live)?;
        let plan = &self.asked.draft.plan;
        let loaded = if plan.needs_accounts { accounts.of(slice.settled, &view)? } else { Vec::new() };
        let overlay = |view, doc: Option<u32>| Overlay {
            view,
            found: doc.and_then(|doc| slice.found.get(&doc)),
            sources: slice.sources,
        };
        let people: Vec<Vec<Overlay<'_>>> = loaded
            .iter()
            .map(|loaded| {
                let people = loaded.people.iter();
                people.map(|(id, view)| overlay(view, slice.numbers.get(id).copied())).collect()
            })
            .collect();
        let people: Vec<Vec<&dyn Person>> =
            people.iter().map(|people| people.iter().map(|person| person as &dyn Person).collect()).collect();
        let accounts: Vec<AccountFacts<'_>> = loaded
            .iter()
            .zip(&people)
            .map(|(loaded, people)| AccountFacts {
                traits: &loaded.account.fragment,
                members: people,
                is_cut: loaded.account.is_cut() || view.merged.may_lack_accounts(),
                memo: &loaded.memo,
            })
            .collect();
        let person = overlay(&view, Some(doc));
        Ok(Some(plan.evaluate(&Facts { person: &person, accounts: &accounts, now: slice.now })))
    }

    fn note(&mut self, doc: u32, verdict: Option<Verdict>) {
        self.evaluated.insert(doc);
        if verdict.is_some_and(|verdict| verdict.is_true) {
            self.holds.insert(doc);
        } else {
            self.holds.remove(doc);
        }
        match verdict.and_then(|verdict| verdict.due) {
            Some(due) => self.due.insert(doc, due),
            None => self.due.remove(&doc),
        };
        self.is_approximate |= verdict.is_some_and(|verdict| verdict.is_approximate);
    }

    /// Calls `look` with the columns as they stand, or as they are held.
    fn with_table<R>(
        &self,
        standing: Standing<'_>,
        look: impl FnOnce(&Table, Checkpoint) -> Result<R, AudiencePreviewError>,
    ) -> Result<R, AudiencePreviewError> {
        match standing {
            Some((held, table)) => look(table, held.checkpoint()),
            None => {
                let held = self.asked.parts.state.columns().read();
                look(self.table(&held)?, held.checkpoint())
            }
        }
    }
}

/// What the profiles of a slice are evaluated over.
struct Slice<'a> {
    settled: &'a Settled<'a>,
    sources: &'a Sources,
    /// What the log says, by the numbers of profiles.
    found: &'a FxHashMap<u32, Fragment>,
    /// The numbers of those of whom it was asked.
    numbers: &'a FxHashMap<ProfileId, u32>,
    now: Timestamp,
}

/// `None` where reading again helps.
fn unless_passing<T>(result: Result<T, AudiencePreviewError>) -> Result<Option<T>, AudiencePreviewError> {
    match result {
        Err(AudiencePreviewError::Lookup(LookupError::Store(error))) if is_passing(&error) => Ok(None),
        result => result.map(Some),
    }
}
