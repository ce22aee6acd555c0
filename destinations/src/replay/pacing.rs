//! How fast a replay goes, and how much of it at once. Pure.
//!
//! Under a rate, what is sent again goes in portions: all of one portion is due at the same time, so that it can share
//! requests, and the next portion is due when the rate lets it. Where each delivery goes by itself a portion is one
//! delivery, or a thousandth of a second's. No more than one portion falls due within the time of one.

use std::time::Duration;
use tributary_model::Timestamp;

const SECOND: i64 = 1_000_000;

/// Above so many deliveries a second, portions of one would be less than a millisecond apart.
const SINGLE_RATE_MAX: u64 = 1_000;

/// How much of a replay is due at once, and how long after that the next is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Portion {
    /// Deliveries.
    pub(crate) count: usize,
    /// Microseconds.
    pub(crate) micros: i64,
}

impl Portion {
    /// For so many deliveries a second, to a destination whose requests carry up to `batch` deliveries, which wait for each
    /// other for `delay`; at most about `most`, which is no less than `batch`.
    pub(crate) fn of(rate_per_second: u32, batch: usize, delay: Duration, most: usize) -> Self {
        let rate = u64::from(rate_per_second.max(1));
        let (batch, most) = (wide(batch.max(1)), wide(most.max(1)));
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let count = match batch {
            1 => rate / SINGLE_RATE_MAX,
            // Whole batches of a second.
            batch if rate >= batch => rate.div_ceil(batch).saturating_mul(batch),
            batch => (rate.saturating_mul(millis) / 1_000).clamp(rate, batch),
        };
        let count = count.min(most - most % batch).max(1);
        let micros = count.saturating_mul(SECOND.unsigned_abs()).div_ceil(rate);
        Self {
            count: usize::try_from(count).unwrap_or(usize::MAX),
            micros: i64::try_from(micros).unwrap_or(i64::MAX),
        }
    }
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// How far the portions of a replay have come.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pacing {
    /// When the portion that is being filled is due.
    due: Timestamp,
    /// How many it has.
    taken: usize,
}

impl Pacing {
    /// One whose first portion is due at that time, and has so many.
    pub(crate) fn new(due: Timestamp, taken: usize) -> Self {
        Self { due, taken }
    }

    /// When the next delivery is due.
    pub(crate) fn take(&mut self, portion: Portion, now: Timestamp) -> Timestamp {
        *self = self.stands(portion, now);
        self.taken += 1;
        self.due
    }

    /// How many the portion lacks that the next delivery belongs to.
    pub(crate) fn lacks(&self, portion: Portion, now: Timestamp) -> usize {
        portion.count.saturating_sub(self.stands(portion, now).taken)
    }

    /// Whether the portion that the next delivery belongs to is due later than what should be queued by now.
    pub(crate) fn is_far_ahead(&self, portion: Portion, now: Timestamp) -> bool {
        self.stands(portion, now).due > now.plus_micros(portion.micros.max(SECOND))
    }

    /// Whether what was queued last is not due yet.
    pub(crate) fn is_ahead(&self, now: Timestamp) -> bool {
        self.due > now
    }

    /// The portion that the next delivery belongs to.
    fn stands(&self, portion: Portion, now: Timestamp) -> Self {
        let full = self.taken >= portion.count;
        let next = Self { due: self.due.plus_micros(portion.micros), taken: 0 };
        let due = if full { next } else { *self };
        if due.due >= now {
            return due;
        }
        // What comes late takes the time of its portion with it.
        let is_over = due.due.plus_micros(portion.micros) <= now;
        Self { due: now, taken: if is_over { 0 } else { due.taken } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn portions_suit_the_batch_and_keep_the_rate() {
        let cases = [
            ("one by one", 5, 1, 0.02, (1, 200_000)),
            ("no faster than the rate", 300, 1, 0.02, (1, 3_334)),
            ("many, one by one", 700_000, 1, 0.02, (700, 1_000)),
            ("a second's worth", 10, 100, 0.02, (10, SECOND)),
            ("whole batches", 300, 100, 0.02, (300, SECOND)),
            ("whole batches, a little more than a second's", 250, 100, 0.02, (300, 1_200_000)),
            ("a file's time", 300, 10_000, 5.0, (1_500, 5 * SECOND)),
            ("a full file", 300, 1_000, 60.0, (1_000, 3_333_334)),
            ("a full file of an hour", 1, 10_000, 3_600.0, (3_600, 3_600 * SECOND)),
            ("no more than there is room for", 1_000_000, 300, 0.02, (9_900, 9_900)),
        ];
        for (name, rate, batch, delay, (count, micros)) in cases {
            let portion = Portion::of(rate, batch, Duration::from_secs_f64(delay), 10_000);
            assert_eq!(portion, Portion { count, micros }, "{name}");
        }
    }

    #[test]
    fn a_portion_shares_one_time_and_the_next_is_due_when_the_rate_lets_it() {
        let portion = Portion { count: 3, micros: SECOND };
        let mut pacing = Pacing::new(at(0), 0);
        let dues: Vec<_> = (0..7).map(|_| pacing.take(portion, at(0))).collect();
        assert_eq!(dues, [0, 0, 0, 1_000, 1_000, 1_000, 2_000].map(at));
        assert_eq!((pacing.lacks(portion, at(0)), pacing.is_far_ahead(portion, at(0))), (2, true));
        assert!(!pacing.is_far_ahead(portion, at(1_000)) && pacing.is_ahead(at(1_000)));
    }

    #[test]
    fn what_comes_late_is_not_made_up_for() {
        let portion = Portion { count: 3, micros: SECOND };
        let mut pacing = Pacing::new(at(0), 0);
        let mut take = |millis: i64| pacing.take(portion, at(millis));
        assert_eq!([take(0), take(400), take(400)], [0, 400, 400].map(at), "one portion");
        assert_eq!([take(500), take(500)], [1_400, 1_400].map(at), "a second after the rest of it");
        assert_eq!([take(9_000), take(9_000), take(9_000)], [9_000; 3].map(at), "a whole one");
        assert_eq!(take(9_000), at(10_000));
    }
}
