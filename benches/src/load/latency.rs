//! Times as a distribution: cheap to note, exact to a thousandth, added up over workers.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;

/// The longest time that is told apart, in microseconds: ten minutes.
const MICROS_MAX: u64 = 600_000_000;

/// Times noted so far.
#[derive(Debug, Clone)]
pub(crate) struct Latency(Histogram<u64>);

/// What a distribution looks like, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) count: u64,
    pub(crate) mean_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) p999_ms: f64,
    pub(crate) max_ms: f64,
}

impl Default for Latency {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, MICROS_MAX, 3).expect("sound bounds"))
    }
}

impl Latency {
    /// Notes one time.
    pub(crate) fn note(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(MICROS_MAX);
        self.0.saturating_record(micros.max(1));
    }

    /// Takes in what another worker has noted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// What it looks like; `None` if nothing was noted.
    pub(crate) fn summary(&self) -> Option<Summary> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.0.is_empty()).then(|| Summary {
            count: self.0.len(),
            mean_ms: self.0.mean() / 1000.0,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
            p999_ms: at(0.999),
            max_ms: self.0.max() as f64 / 1000.0,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, p50_ms, p99_ms, p999_ms, max_ms, .. } = self;
        write!(out, "p50 {p50_ms:.2}  p99 {p99_ms:.2}  p99.9 {p999_ms:.2}  max {max_ms:.2} ms  ({count})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_add_up_to_one_distribution() {
        let (mut all, mut even, mut odd) = (Latency::default(), Latency::default(), Latency::default());
        for millis in 1..=1_000u64 {
            let time = Duration::from_millis(millis);
            all.note(time);
            if millis.is_multiple_of(2) { even.note(time) } else { odd.note(time) }
        }
        even.add(&odd);
        assert_eq!(even.summary(), all.summary());
        let summary = all.summary().expect("a thousand times");
        assert_eq!(summary.count, 1_000);
        for (got, want) in [(summary.p50_ms, 500.0), (summary.p99_ms, 990.0), (summary.max_ms, 1_000.0)] {
            assert!((got / want - 1.0).abs() < 0.002, "{got} {want}");
        }
    }

    #[test]
    fn the_ends_of_the_range_are_kept() {
        let mut latency = Latency::default();
        assert_eq!(latency.summary(), None);
        latency.note(Duration::ZERO);
        latency.note(Duration::from_secs(86_400));
        let summary = latency.summary().expect("two times");
        assert_eq!(summary.count, 2);
        assert!(summary.max_ms >= 600_000.0, "{}", summary.max_ms);
    }
}
