//! Timers: when profiles have to be looked at again though nothing happens to them.
//!
//! A profile has one timer at most, for the earliest of the times at which one of its audiences may change. It is an
//! entry of the state; those that are due soonest are in memory too, so that the next one is known at any moment, however
//! many there are. A timer that turns out to have been too early is set again; none is ever too late.

use super::{Machine, ProjectError};
use crate::codec::Value;
use crate::graph::WriteGraph;
use crate::key::{Key, Tag};
use crate::metrics;
use crate::standing::Standing;
use crate::store::StoreError;
use std::collections::BTreeSet;
use std::ops::Bound;
use tributary_model::{ProfileId, Timestamp, WorkspaceId};

/// How many timers of a workspace are read into memory at once; there are twice as many at most.
const PAGE: usize = 10_000;

/// A timer: when it is due, and whose it is.
type Timer = (Timestamp, ProfileId);

/// The timers of a workspace that are due soonest.
#[derive(Debug, Default)]
pub(super) struct Horizon {
    near: BTreeSet<Timer>,
    reach: Reach,
}

/// Which timers are in memory.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// That is not known yet: none.
    #[default]
    Nothing,
    /// Those up to this one, itself included.
    To(Timer),
    /// All.
    Everything,
}

impl Horizon {
    fn add(&mut self, timer: Timer) {
        match self.reach {
            Reach::Nothing => return,
            Reach::To(last) if timer > last => return,
            Reach::To(_) | Reach::Everything => {}
        }
        self.near.insert(timer);
        if self.near.len() > 2 * PAGE
            && let Some(first_beyond) = self.near.iter().nth(PAGE).copied()
        {
            drop(self.near.split_off(&first_beyond));
            self.reach = self.near.last().map_or(Reach::Nothing, |last| Reach::To(*last));
        }
    }

    fn remove(&mut self, timer: Timer) {
        self.near.remove(&timer);
    }

    /// Sees to it that so many of the timers that there are, are in memory.
    fn reach_for(
        &mut self,
        graph: &WriteGraph,
        workspace: WorkspaceId,
        count: usize,
    ) -> Result<(), StoreError> {
        if self.near.len() >= count || self.reach == Reach::Everything {
            return Ok(());
        }
        let page = graph.range(workspace, Tag::Timer, Bound::Unbounded, &[], PAGE)?;
        let is_all = page.len() < PAGE;
        self.near = page.iter().filter_map(|(key, _)| key.timer_named()).collect();
        self.reach = match self.near.last() {
            Some(last) if !is_all => Reach::To(*last),
            Some(_) | None => Reach::Everything,
        };
        Ok(())
    }
}

impl Machine {
    /// Sets a timer.
    pub(super) fn add_timer(&mut self, workspace: WorkspaceId, due: Timestamp, profile: ProfileId) {
        self.graph.put(Key::timer(workspace, due, profile), Value::Timer);
        self.horizons.entry(workspace).or_default().add((due, profile));
        self.stirred.insert(workspace);
    }

    /// Removes a timer.
    pub(super) fn remove_timer(&mut self, workspace: WorkspaceId, due: Timestamp, profile: ProfileId) {
        self.graph.remove(Key::timer(workspace, due, profile));
        self.horizons.entry(workspace).or_default().remove((due, profile));
        self.stirred.insert(workspace);
    }

    /// When the next timer of a workspace is due.
    pub(super) fn next_timer(&mut self, workspace: WorkspaceId) -> Result<Option<Timestamp>, ProjectError> {
        let horizon = self.horizons.entry(workspace).or_default();
        horizon.reach_for(&self.graph, workspace, 1)?;
        Ok(horizon.near.first().map(|(due, _)| *due))
    }

    /// Takes timers that are due, so many at most: looks at what time alone may have changed, and sets the next ones.
    pub(super) fn take_timers(&mut self, workspace: WorkspaceId, max: u32) -> Result<(), ProjectError> {
        let now = self.checkpoint.log_time;
        let max = (max as usize).min(PAGE);
        let horizon = self.horizons.entry(workspace).or_default();
        horizon.reach_for(&self.graph, workspace, max)?;
        let due: Vec<Timer> =
            horizon.near.iter().take_while(|(due, _)| *due <= now).take(max).copied().collect();
        if due.is_empty() {
            return Ok(());
        }
        ::metrics::counter!(metrics::TIMERS).increment(due.len() as u64);
        if let Some((first, _)) = due.first() {
            let late = now.micros_since(*first).max(0) as f64 / 1e6;
            ::metrics::histogram!(metrics::TIMER_LATE_SECONDS).record(late);
        }
        let active = self.active(workspace)?;
        for (due, profile) in due {
            match self.standing(workspace, profile)? {
                Some(before) if before.timer == Some(due) => {
                    let rung = Standing { timer: None, ..Standing::clone(&before) };
                    self.put_standing(workspace, profile, Some(&*before), rung);
                }
                Some(_) | None => self.remove_timer(workspace, due, profile),
            }
            self.evaluate_passing(workspace, &active, profile, &active.timed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::State;
    use crate::store::MemoryStore;
    use std::sync::Arc;

    const ONE: WorkspaceId = WorkspaceId(1);

    fn timer(number: u32) -> Timer {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        (Timestamp::from_micros(i64::from(number / 3)), ProfileId(id))
    }

    /// Whatever is added and taken in whatever order: the first in memory is the first of all.
    #[test]
    fn the_next_timer_is_known_however_many_there_are() {
        let state = Arc::new(State::new(Arc::new(MemoryStore::default()), 1 << 20, 1 << 20));
        let mut graph = WriteGraph::new(state);
        let (mut horizon, mut all) = (Horizon::default(), BTreeSet::new());
        let mut numbers: Vec<u32> = (0..3 * PAGE as u32).collect();
        // A fixed shuffle.
        numbers.sort_by_key(|number| number.wrapping_mul(2_654_435_761));
        for (at, number) in numbers.into_iter().enumerate() {
            let new = timer(number);
            graph.put(Key::timer(ONE, new.0, new.1), Value::Timer);
            horizon.add(new);
            all.insert(new);
            if at % 5000 == 4999 {
                horizon.reach_for(&graph, ONE, 1).expect("memory");
                assert_eq!(horizon.near.first(), all.first(), "after {at}");
            }
            assert!(horizon.near.len() <= 2 * PAGE);
        }
        let mut taken = 0;
        while let Some(first) = all.pop_first() {
            horizon.reach_for(&graph, ONE, 1).expect("memory");
            assert_eq!(horizon.near.first(), Some(&first), "after {taken}");
            graph.remove(Key::timer(ONE, first.0, first.1));
            horizon.remove(first);
            taken += 1;
        }
        horizon.reach_for(&graph, ONE, 1).expect("memory");
        assert_eq!((horizon.near.first(), taken), (None, 3 * PAGE));
    }
}
