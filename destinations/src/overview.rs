//! How a destination did over a time: from what it received to what it delivered, and what was lost on the way.

use crate::config::Key;
use crate::counts::{Histogram, Tally, minute_of, start_of};
use crate::failure::Reason;
use crate::store::{MINUTES_KEPT, Store, StoreError};
use std::collections::BTreeMap;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Points of a series.
const POINTS_MAX: u32 = 1_500;

/// How a destination did.
#[derive(Debug, Clone, PartialEq)]
pub struct Overview {
    /// Where the time begins: at a whole minute.
    pub from: Timestamp,
    /// Where it ends: at a whole minute.
    pub until: Timestamp,
    /// All of it.
    pub totals: Flow,
    /// The time of the same length before it; `None` if that is not kept any more.
    pub previous: Option<Flow>,
    /// How far apart the points of the series are: what was asked for, or more if there would be too many of them.
    pub step: Step,
    /// Each point with when it begins, in order.
    pub series: Vec<(Timestamp, Flow)>,
}

/// How far apart points are. They begin at whole minutes, hours or days (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl Step {
    const fn minutes(self) -> u32 {
        match self {
            Self::Minute => 1,
            Self::Hour => 60,
            Self::Day => 24 * 60,
        }
    }
}

/// What became of deliveries within a time. Over all time, what was received was left out, lost or mapped, and what was mapped
/// was taken, was given up, or waits. What is taken up at the end of a time may end behind it, so that its numbers need not add up.
/// What replays sent again is counted apart: it would show events as received twice, and as delivered late.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Flow {
    /// Deliveries that were taken up.
    pub received: u64,
    /// Those that passed every gate: they were taken or given up, or wait. Without those that were left out, passed over or lost
    /// while they waited.
    pub mapped: u64,
    /// Those that ended, by how.
    pub ended: BTreeMap<Outcome, u64>,
    /// Attempts that failed, by reason.
    pub failed: BTreeMap<Reason, u64>,
    /// Those that were given up, by reason.
    pub dead_letters: BTreeMap<Reason, u64>,
    /// How long it took from an event's arrival until it was delivered; `None` if none was.
    pub latency: Option<Latency>,
    /// Deliveries that replays had sent again and that ended, by how.
    pub replayed: BTreeMap<Outcome, u64>,
}

/// How long it took, in milliseconds: so much or less for so many of a hundred. True to about 3 %.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Latency {
    /// For half of them.
    pub p50_ms: f64,
    /// For 95.
    pub p95_ms: f64,
    /// For 99.
    pub p99_ms: f64,
}

impl Latency {
    fn of(histogram: &Histogram) -> Option<Self> {
        let quantile = |share| histogram.quantile(share).map(|micros| micros as f64 / 1_000.0);
        Some(Self { p50_ms: quantile(0.5)?, p95_ms: quantile(0.95)?, p99_ms: quantile(0.99)? })
    }
}

impl Flow {
    /// Those that the destination's gates left out.
    pub fn filtered(&self) -> u64 {
        let all = self.ended.iter().filter(|(outcome, _)| is_filtered(**outcome));
        all.map(|(_, count)| count).sum()
    }

    /// Those that the destination took.
    pub fn delivered(&self) -> u64 {
        self.ended.get(&Outcome::Delivered).copied().unwrap_or(0)
    }

    fn of(tally: Tally) -> Self {
        let mapped = tally.mapped();
        let Tally { received, mapped: _, ended, failed, dead, latency, replayed } = tally;
        let latency = Latency::of(&latency);
        Self { received, mapped, ended, failed, dead_letters: dead, latency, replayed }
    }
}

fn is_filtered(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Filtered
        | Outcome::FilteredByConsent
        | Outcome::FilteredByIntegrations
        | Outcome::FilteredByFilter
        | Outcome::FilteredByTrigger => true,
        Outcome::Rejected
        | Outcome::Projected
        | Outcome::Duplicate
        | Outcome::Delivered
        | Outcome::DeadLetter
        | Outcome::Skipped
        | Outcome::Expired
        | Outcome::DestinationDeleted
        | Outcome::WorkspaceDeleted
        | Outcome::Unidentified => false,
    }
}

/// How a destination did between two times: the whole minutes that they touch, thirty days at most. Blocking.
pub(crate) fn overview(
    store: &Store,
    key: Key,
    (from, until): (Timestamp, Timestamp),
    step: Step,
    now: Timestamp,
) -> Result<Overview, StoreError> {
    let end = minute_of(until.plus_micros(-1)).saturating_add(1);
    let start = minute_of(from).clamp(end.saturating_sub(MINUTES_KEPT), end - 1);
    let (step, first, points) = points(start, end, step);
    let mut series = vec![Tally::default(); points as usize];
    let mut totals = Tally::default();
    store.tallies(key, start..end, |minute, tally| {
        totals.merge(tally);
        if let Some(point) = series.get_mut(((minute - first) / step.minutes()) as usize) {
            point.merge(tally);
        }
    })?;
    let oldest = minute_of(now).saturating_sub(MINUTES_KEPT);
    let before = start.checked_sub(end - start).filter(|before| *before >= oldest);
    let previous = match before {
        Some(before) => {
            let mut previous = Tally::default();
            store.tallies(key, before..start, |_, tally| previous.merge(tally))?;
            Some(Flow::of(previous))
        }
        None => None,
    };
    let begins = (0..points).map(|point| start_of(first.saturating_add(point * step.minutes())));
    Ok(Overview {
        from: start_of(start),
        until: start_of(end),
        totals: Flow::of(totals),
        previous,
        step,
        series: begins.zip(series.into_iter().map(Flow::of)).collect(),
    })
}

/// How far apart the points between two minutes are, where the first begins, and how many there are.
fn points(start: u32, end: u32, asked: Step) -> (Step, u32, u32) {
    let of = |step: Step| {
        let first = start / step.minutes() * step.minutes();
        (step, first, (end - first).div_ceil(step.minutes()))
    };
    let steps = [Step::Minute, Step::Hour, Step::Day].into_iter().filter(|step| *step >= asked);
    steps.map(of).find(|(.., points)| *points <= POINTS_MAX).unwrap_or_else(|| of(Step::Day))
}

#[cfg(test)]
mod tests;
