//! Taking timers from a filled store: as the product does, by ticks of a log.

use super::plan::{LEAVING_ARE_DUE, Plan, STALE_ARE_DUE};
use crate::audiences::running::Running;
use crate::audiences::workspace::{START, WORKSPACE};
use crate::identity::cost::{Cost, Stopwatch, resident_bytes};
use crate::load::directory;
use anyhow::{Context, bail, ensure};
use serde::{Deserialize, Serialize};
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use tributary_eventlog::{EmbeddedLog, EventLog, Fatal, LogOptions};
use tributary_model::clock::ManualClock;
use tributary_model::tick::Tick;
use tributary_model::{Record, Timestamp};
use tributary_profiles::StatePaths;
use tributary_profiles::key::Tag;
use tributary_profiles::state::State;

/// Both measurements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    /// How many timers there were at first.
    pub(super) pending: u64,
    /// Whether those who were not due had profiles.
    pub(super) is_whole: bool,
    /// What the state had on disk at first.
    pub(super) disk_bytes: u64,
    /// What it had at the end.
    pub(super) disk_bytes_after: u64,
    /// Timers whose profiles are gone.
    pub(super) stale: Taken,
    /// Timers by which profiles leave an audience.
    pub(super) leaving: Taken,
}

/// Timers that were taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Taken {
    /// From the moment when all were due until everything was durable.
    pub(super) cost: Cost,
    /// By how many ticks.
    pub(super) ticks: u64,
    /// How many activations that brought.
    pub(super) activations: u64,
    /// How many members the audience has left.
    pub(super) members: u64,
    /// Resident memory when the last was taken.
    pub(super) memory_bytes: u64,
}

/// Takes the timers of both groups, one after the other.
///
/// # Errors
/// If the projector fails, or what it does is not what it has to be.
pub(super) fn measure(plan: &Plan, data_dir: &Path) -> anyhow::Result<Measured> {
    let on_disk = || -> anyhow::Result<u64> {
        Ok(directory::weigh(&StatePaths::within(data_dir).state)?.values().sum())
    };
    let disk_bytes = on_disk()?;
    let stale = take(plan.due, data_dir, START, STALE_ARE_DUE)?;
    ensure!(
        (stale.activations, stale.members) == (0, plan.pending),
        "timers of profiles that are gone change nothing: {stale:?}"
    );
    let leaving = take(plan.due, data_dir, STALE_ARE_DUE, LEAVING_ARE_DUE)?;
    // Each exit is told as a track call and as a trait.
    ensure!(
        (leaving.activations, leaving.members) == (2 * plan.due, plan.pending - plan.due),
        "everybody who is due leaves, and nobody else: {leaving:?}"
    );
    Ok(Measured {
        pending: plan.pending,
        is_whole: plan.is_whole,
        disk_bytes,
        disk_bytes_after: on_disk()?,
        stale,
        leaving,
    })
}

/// Starts the projector at one time, and lets it be another at which so many timers are due.
fn take(due: u64, data_dir: &Path, from: Timestamp, until: Timestamp) -> anyhow::Result<Taken> {
    let events = log(data_dir, "events")?;
    let activations = log(data_dir, "activations")?;
    let clock = Arc::new(ManualClock::at(from));
    let running = Running::start(data_dir, events.clone(), activations.clone(), clock.clone())?;
    let (start, told) = (running.visible(), activations.bounds().end);

    let stopwatch = Stopwatch::start();
    clock.set(until);
    running.wait_for(start + 1)?;
    let mut ticks = due.div_ceil(timers_of_a_tick(&*events, start)?);
    loop {
        running.wait_for(start + ticks)?;
        if first_timer(running.state())?.is_none_or(|first| first > until) {
            break;
        }
        ticks += 1;
    }
    let memory_bytes = resident_bytes()?;
    let state = running.stop()?;
    let cost = stopwatch.cost(due, 0);

    let definitions = state.definitions(WORKSPACE)?;
    let audience = definitions.audiences.first().context("the audience is gone")?;
    let activations = activations.bounds().end - told;
    Ok(Taken { cost, ticks, activations, members: audience.members, memory_bytes })
}

/// A log that makes everything durable, whatever room there is left.
fn log(data_dir: &Path, name: &'static str) -> anyhow::Result<Arc<EmbeddedLog>> {
    let fatal: Fatal = Arc::new(|reason: &str| eprintln!("a log can't go on: {reason}"));
    let options = LogOptions { free_space_bytes: 0, ..LogOptions::new(name) };
    Ok(Arc::new(EmbeddedLog::open(&data_dir.join(name), options, fatal)?))
}

/// How many timers the tick in this place of the log takes at most.
fn timers_of_a_tick(events: &dyn EventLog, sequence: u64) -> anyhow::Result<u64> {
    let bytes = events.read_one(sequence, sequence)?.context("the tick is not in the log")?;
    match Tick::decode(&Record::decode(&bytes)?.payload)? {
        Tick::Timers { max } => Ok(u64::from(max.max(1))),
        other @ (Tick::ReadLog { .. } | Tick::Evaluate { .. } | Tick::Leave { .. }) => {
            bail!("there is other work than timers: {other:?}")
        }
    }
}

/// When the first timer is due.
fn first_timer(state: &State) -> anyhow::Result<Option<Timestamp>> {
    let first = state.range(WORKSPACE, Tag::Timer, Bound::Unbounded, &[], 1)?;
    Ok(first.first().and_then(|(key, _)| key.timer_named()).map(|(due, _)| due))
}
