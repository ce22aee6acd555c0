//! Notices when a receiver is back after an outage. Pure.
//!
//! During an outage the waits of many deliveries grow to minutes. Once the receiver answers again, those that
//! failed by the outage become due soon, spread over a short time, instead of at the end of their waits. One
//! delivery that fails by itself is no outage: it takes several failures in a row, and deliveries are hastened
//! at most once a minute, so that a receiver that fails for some events only is not pressed.

use std::time::Duration;
use tributary_model::Timestamp;

/// So many failures in a row make an outage.
const FAILURES_MIN: u32 = 3;

/// Deliveries are hastened at most that often.
const PAUSE_MICROS: i64 = 60_000_000;

/// For each delivery that waits, its share of the time over which they are spread.
const SPREAD_EACH: Duration = Duration::from_millis(5);

/// The longest time over which they are spread.
const SPREAD_MAX: Duration = Duration::from_secs(10);

/// Whether a receiver is out.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    failures: u32,
    hastened_at: Option<Timestamp>,
}

impl Outage {
    /// An attempt failed as in an outage.
    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// The receiver answered. If that ends an outage, the time over which the waiting deliveries are spread.
    pub(crate) fn answered(&mut self, now: Timestamp, waiting: usize) -> Option<Duration> {
        let was_out = std::mem::take(&mut self.failures) >= FAILURES_MIN;
        let is_pause = self.hastened_at.is_some_and(|at| now.micros_since(at).abs() < PAUSE_MICROS);
        if !was_out || is_pause || waiting == 0 {
            return None;
        }
        self.hastened_at = Some(now);
        Some(SPREAD_EACH.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)).min(SPREAD_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_failures_in_a_row_make_an_outage() {
        let mut outage = Outage::default();
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        outage.failed();
        outage.failed();
        assert_eq!(outage.answered(at(0), 5), None, "two are not enough");
        outage.failed();
        assert_eq!(outage.answered(at(1), 5), None, "an answer begins a new row");
        (0..3).for_each(|_| outage.failed());
        assert_eq!(outage.answered(at(2), 4), Some(Duration::from_millis(20)));
        assert_eq!(outage.answered(at(3), 4), None, "once for each outage");
        (0..3).for_each(|_| outage.failed());
        assert_eq!(outage.answered(at(10), 4), None, "at most once a minute");
        (0..3).for_each(|_| outage.failed());
        assert_eq!(outage.answered(at(62), 100_000), Some(SPREAD_MAX));
    }
}
