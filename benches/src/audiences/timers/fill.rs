//! Filling a store with timers: what is put into it is what the product's own state machine makes of orders.
//!
//! People go through machines over stores in memory, in the order of their profiles, so that the large store takes its
//! entries in order, and need not bring back pages that have left memory. Timers have an order of their own; they go last.

use super::plan::Plan;
use crate::audiences::running::hash_key;
use crate::audiences::workspace::{START, WORKSPACE};
use anyhow::{Context, ensure};
use bytes::Bytes;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tributary_eventlog::MemoryLog;
use tributary_eventlog::index::{IndexOptions, Indexes};
use tributary_model::{ProfileId, Timestamp};
use tributary_profiles::StatePaths;
use tributary_profiles::codec::{Checkpoint, Value};
use tributary_profiles::generation::Generation;
use tributary_profiles::key::{Key, Tag};
use tributary_profiles::machine::{Applied, Machine};
use tributary_profiles::state::State;
use tributary_profiles::store::{Change, MemoryStore, Store};

/// How many people go through one machine.
pub(super) const BATCH: usize = 50_000;
/// How many timers are put into the store at once.
const TIMERS: usize = 100_000;
/// What the large store may keep in memory while it is filled.
const CACHE_BYTES: u64 = 256 << 20;
/// What a machine may keep in memory of each kind.
const MACHINE_CACHE_BYTES: u64 = 16 << 20;
/// How many people there are between two words about how far it is.
const WORD: usize = 1_000_000;

/// What counts people: each machine goes on from what the one before has of it.
const CARRIED: [Tag; 3] = [Tag::Definitions, Tag::Size, Tag::Workspace];
/// What is kept of people without a profile.
const STANDING: [Tag; 3] = [Tag::Member, Tag::Standing, Tag::Timer];

/// Puts everybody into a new store in this directory, so many at a time.
///
/// # Errors
/// If the store can't be written, or somebody has no timer.
pub(super) fn fill(plan: &Plan, data_dir: &Path, batch: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(data_dir).with_context(|| format!("{} can't be made", data_dir.display()))?;
    let generation = Generation::open(&StatePaths::within(data_dir), &hash_key(), CACHE_BYTES)?;
    let mut filling = Filling {
        plan: *plan,
        store: Arc::clone(&generation.store),
        scratch: data_dir.to_owned(),
        carried: Vec::new(),
        timers: Vec::with_capacity(usize::try_from(plan.pending)?),
        sequence: 0,
    };
    let mut people: Vec<(ProfileId, u64)> =
        (0..plan.pending).map(|person| (plan.profile(person), person)).collect();
    people.sort_unstable();
    let mut told = 0;
    for (number, some) in people.chunks(batch).enumerate() {
        filling.put(some)?;
        let done = number * batch + some.len();
        if done / WORD > told {
            told = done / WORD;
            eprintln!("{done} of {} people are in the store …", plan.pending);
        }
    }
    drop(people);
    filling.finish()
}

struct Filling {
    plan: Plan,
    store: Arc<dyn Store>,
    /// Where machines may have indexes.
    scratch: PathBuf,
    carried: Vec<Change>,
    timers: Vec<(Timestamp, ProfileId)>,
    /// The next record of the log that there would be.
    sequence: u64,
}

impl Filling {
    /// Puts some people into the store, those behind the ones before in the order of profiles.
    fn put(&mut self, people: &[(ProfileId, u64)]) -> anyhow::Result<()> {
        let mut changes = Vec::new();
        for has_profile in [false, true] {
            let some: Vec<u64> = people
                .iter()
                .map(|(_, person)| *person)
                .filter(|person| self.plan.has_profile(*person) == has_profile)
                .collect();
            if some.is_empty() {
                continue;
            }
            let state = self.project(&some)?;
            let kept = Tag::ALL.into_iter().filter(|tag| !CARRIED.contains(tag));
            for tag in kept.filter(|tag| has_profile || STANDING.contains(tag)) {
                self.sort_out(entries(&state, tag)?, &mut changes);
            }
            self.carried.clear();
            for tag in CARRIED {
                self.carried.extend(entries(&state, tag)?.into_iter().map(change));
            }
        }
        changes.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.store.apply(&changes)?;
        Ok(())
    }

    /// What a machine of the product's makes of the orders of these people.
    fn project(&mut self, people: &[u64]) -> anyhow::Result<State> {
        let before = MemoryStore::default();
        before.apply(&self.carried)?;
        let state = Arc::new(State::new(Arc::new(before), MACHINE_CACHE_BYTES, MACHINE_CACHE_BYTES));
        // Message ids are looked up, and nobody asks for them later.
        let index = tempfile::tempdir_in(&self.scratch)?;
        let database = fjall::Database::builder(index.path()).worker_threads(2).open()?;
        let indexes = Arc::new(Indexes::open(database, IndexOptions::default())?);
        let log = Arc::new(MemoryLog::new());
        let checkpoint = Checkpoint { next: self.sequence, log_time: START };
        let mut machine =
            Machine::new(Arc::clone(&state), indexes, log, hash_key(), checkpoint, MACHINE_CACHE_BYTES);
        if self.sequence == 0 {
            self.apply(&mut machine, &self.plan.version()?)?;
        }
        for person in people {
            self.apply(&mut machine, &self.plan.order(*person))?;
        }
        drop(machine.publish());
        drop(machine);
        Arc::into_inner(state).context("the machine had the state alone")
    }

    fn apply(&mut self, machine: &mut Machine, record: &Bytes) -> anyhow::Result<()> {
        let applied = machine.apply(self.sequence, self.sequence, record)?;
        ensure!(applied == Applied::Done, "no rebuild is among the records");
        self.sequence += 1;
        Ok(())
    }

    /// Keeps timers for later.
    fn sort_out(&mut self, entries: Vec<(Key, Value)>, changes: &mut Vec<Change>) {
        for (key, value) in entries {
            match key.timer_named() {
                Some(timer) => self.timers.push(timer),
                None => changes.push(change((key, value))),
            }
        }
    }

    /// Puts in what comes last: timers in their order, the counts, and that no record of a log was read.
    fn finish(mut self) -> anyhow::Result<()> {
        ensure!(self.timers.len() as u64 == self.plan.pending, "{} timers were set", self.timers.len());
        self.timers.sort_unstable();
        for some in self.timers.chunks(TIMERS) {
            let timer = |(due, profile): &(Timestamp, ProfileId)| {
                change((Key::timer(WORKSPACE, *due, *profile), Value::Timer))
            };
            let changes: Vec<Change> = some.iter().map(timer).collect();
            self.store.apply(&changes)?;
        }
        let checkpoint = Value::Checkpoint(Checkpoint { next: 0, log_time: START });
        self.carried.push(change((Key::checkpoint(), checkpoint)));
        self.store.apply(&self.carried)?;
        Ok(self.store.make_durable()?)
    }
}

/// All entries under a tag.
fn entries(state: &State, tag: Tag) -> anyhow::Result<Vec<(Key, Value)>> {
    Ok(state.range(WORKSPACE, tag, Bound::Unbounded, &[], usize::MAX)?)
}

/// That an entry is to be as it is here.
fn change((key, value): (Key, Value)) -> Change {
    let stored = value.encode();
    (key, Some(stored))
}
