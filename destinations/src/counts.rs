//! What is counted of deliveries, by the minute: for overviews. Pure.
//!
//! A [`Tally`] is what happened within one minute. Tallies of the same minute add up, in any order. How long deliveries
//! took is kept as a histogram whose buckets are a sixteenth of a doubling wide, 6.25 % at most.

use crate::failure::Reason;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Microseconds of a minute.
const MINUTE_MICROS: i64 = 60_000_000;

/// Whole minutes since 1970, rounded down; what is before counts as the first.
pub(crate) fn minute_of(at: Timestamp) -> u32 {
    u32::try_from(at.as_micros().div_euclid(MINUTE_MICROS).max(0)).unwrap_or(u32::MAX)
}

/// When a minute begins.
pub(crate) fn start_of(minute: u32) -> Timestamp {
    Timestamp::from_micros(i64::from(minute) * MINUTE_MICROS)
}

/// Whether what ended like that was brought to the receiver as far as it could be, so that it counts as mapped: it was taken or
/// given up. What is left out or lost does not, however far it had come. So in all that was ever counted, what was received was
/// left out, lost or mapped, and what was mapped was taken, was given up, or waits.
pub(crate) fn counts_as_mapped(outcome: Outcome) -> bool {
    match outcome {
        Outcome::Delivered | Outcome::DeadLetter => true,
        Outcome::Filtered
        | Outcome::FilteredByConsent
        | Outcome::FilteredByIntegrations
        | Outcome::FilteredByFilter
        | Outcome::FilteredByTrigger
        | Outcome::Rejected
        | Outcome::Projected
        | Outcome::Duplicate
        | Outcome::Skipped
        | Outcome::Expired
        | Outcome::DestinationDeleted
        | Outcome::WorkspaceDeleted
        | Outcome::Unidentified => false,
    }
}

/// What happened since the last commit, by the minute in which it happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Counts(BTreeMap<u32, Tally>);

impl Counts {
    /// Deliveries were taken up, whatever becomes of them.
    pub(crate) fn received(&mut self, at: Timestamp, count: u64) {
        self.tally(at).received += count;
    }

    /// Deliveries passed every gate, and wait, or ended as what [`counts_as_mapped`].
    pub(crate) fn mapped(&mut self, at: Timestamp, count: u64) {
        let tally = self.tally(at);
        tally.mapped = tally.mapped.wrapping_add(count);
    }

    /// A delivery that was counted as mapped is left out or lost after all: the settings were changed while it waited, it was
    /// passed over, or it expired.
    pub(crate) fn unmapped(&mut self, at: Timestamp) {
        let tally = self.tally(at);
        tally.mapped = tally.mapped.wrapping_sub(1);
    }

    /// Deliveries ended.
    pub(crate) fn ended(&mut self, at: Timestamp, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.tally(at).ended.entry(outcome).or_default() += count;
        }
    }

    /// Deliveries that a replay had sent again ended. They are counted here, and nowhere else.
    pub(crate) fn replayed(&mut self, at: Timestamp, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.tally(at).replayed.entry(outcome).or_default() += count;
        }
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, at: Timestamp, reason: Reason) {
        *self.tally(at).failed.entry(reason).or_default() += 1;
    }

    /// A delivery was given up.
    pub(crate) fn dead(&mut self, at: Timestamp, reason: Reason) {
        *self.tally(at).dead.entry(reason).or_default() += 1;
    }

    /// A delivery was taken, so many microseconds after its event arrived.
    pub(crate) fn delivered_after(&mut self, at: Timestamp, micros: u64) {
        self.tally(at).latency.add(micros);
    }

    /// Each minute with what happened in it.
    pub(crate) fn minutes(&self) -> impl Iterator<Item = (u32, &Tally)> {
        self.0.iter().map(|(minute, tally)| (*minute, tally))
    }

    fn tally(&mut self, at: Timestamp) -> &mut Tally {
        self.0.entry(minute_of(at)).or_default()
    }
}

/// What happened within one minute, or within several. In the stored form (postcard) new members go last.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) received: u64,
    /// Those that were mapped, less those that were left out or lost later. It wraps below nothing, as of a minute in which
    /// more were left out than mapped: then it is right in a sum with the minute in which those were mapped.
    pub(crate) mapped: u64,
    pub(crate) ended: BTreeMap<Outcome, u64>,
    /// Attempts that failed.
    pub(crate) failed: BTreeMap<Reason, u64>,
    /// Deliveries that were given up.
    pub(crate) dead: BTreeMap<Reason, u64>,
    /// From an event's arrival until it was delivered.
    pub(crate) latency: Histogram,
    /// Deliveries that replays had sent again, and that are not among the others.
    pub(crate) replayed: BTreeMap<Outcome, u64>,
}

impl Tally {
    /// Deliveries that were mapped. Nothing where more were left out or lost that had been mapped before.
    pub(crate) fn mapped(&self) -> u64 {
        u64::try_from(self.mapped.cast_signed()).unwrap_or(0)
    }

    /// Adds what another one counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.received += other.received;
        self.mapped = self.mapped.wrapping_add(other.mapped);
        add(&mut self.ended, &other.ended);
        add(&mut self.failed, &other.failed);
        add(&mut self.dead, &other.dead);
        add(&mut self.latency.0, &other.latency.0);
        add(&mut self.replayed, &other.replayed);
    }
}

fn add<K: Copy + Ord>(counts: &mut BTreeMap<K, u64>, more: &BTreeMap<K, u64>) {
    for (name, count) in more {
        *counts.entry(*name).or_default() += count;
    }
}

/// How many buckets a doubling has, as a power of two.
const BUCKETS_LOG2: u32 = 4;

/// How many buckets a doubling has.
const BUCKETS: u64 = 1 << BUCKETS_LOG2;

/// How often values fell into which bucket. The first buckets are one wide; from then on each doubling has sixteen.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Histogram(BTreeMap<u16, u64>);

impl Histogram {
    /// Adds a value.
    pub(crate) fn add(&mut self, value: u64) {
        *self.0.entry(bucket_of(value)).or_default() += 1;
    }

    /// The value that this share of all values (from 0 to 1) does not exceed: the middle of its bucket. `None` of no
    /// values.
    pub(crate) fn quantile(&self, share: f64) -> Option<u64> {
        let all: u64 = self.0.values().sum();
        let rank = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let mut below = 0;
        self.0.iter().find_map(|(bucket, count)| {
            below += count;
            (below >= rank).then(|| middle_of(*bucket))
        })
    }
}

fn bucket_of(value: u64) -> u16 {
    if value < BUCKETS {
        return value as u16;
    }
    let doubling = value.ilog2() - BUCKETS_LOG2;
    let within = (value >> doubling) & (BUCKETS - 1);
    // At most 61 × 16.
    (u64::from(doubling + 1) * BUCKETS + within) as u16
}

fn middle_of(bucket: u16) -> u64 {
    let bucket = u64::from(bucket);
    if bucket < BUCKETS {
        return bucket;
    }
    let doubling = (bucket / BUCKETS - 1).min(63 - u64::from(BUCKETS_LOG2));
    let start = (BUCKETS + bucket % BUCKETS) << doubling;
    start + ((1_u64 << doubling) - 1) / 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn minutes_are_told_apart_and_begin_where_they_say() {
        let cases = [(0, 0), (59_999_999, 0), (60_000_000, 1), (-1, 0), (i64::MAX, u32::MAX)];
        for (micros, minute) in cases {
            assert_eq!(minute_of(Timestamp::from_micros(micros)), minute, "{micros}");
        }
        assert_eq!(start_of(2), Timestamp::from_micros(120_000_000));
        let mut counts = Counts::default();
        counts.received(Timestamp::from_micros(59_000_000), 2);
        counts.received(Timestamp::from_micros(61_000_000), 3);
        counts.ended(Timestamp::from_micros(61_000_000), Outcome::Expired, 0);
        counts.replayed(Timestamp::from_micros(61_000_000), Outcome::Expired, 0);
        let received: Vec<_> = counts.minutes().map(|(minute, tally)| (minute, tally.received)).collect();
        assert_eq!(received, [(0, 2), (1, 3)]);
        let is_empty = |tally: &Tally| tally.ended.is_empty() && tally.replayed.is_empty();
        assert!(counts.minutes().all(|(_, tally)| is_empty(tally)), "nothing is not counted");
    }

    #[test]
    fn what_is_left_out_later_was_not_mapped_in_the_sum() {
        let (first, later) = (Timestamp::from_micros(59_000_000), Timestamp::from_micros(61_000_000));
        let mut counts = Counts::default();
        counts.mapped(first, 10);
        (0..5).for_each(|_| counts.unmapped(later));
        let mut sum = Tally::default();
        let mut mapped = Vec::new();
        for (_, tally) in counts.minutes() {
            mapped.push(tally.mapped());
            let bytes = postcard::to_stdvec(tally).expect("plain values");
            sum.merge(&postcard::from_bytes(&bytes).expect("own bytes"));
        }
        assert_eq!((mapped, sum.mapped()), (vec![10, 0], 5));
        counts.mapped(later, 7);
        let mapped: Vec<_> = counts.minutes().map(|(_, tally)| tally.mapped()).collect();
        assert_eq!(mapped, [10, 2]);
    }

    #[test]
    fn a_histogram_of_nothing_has_no_quantiles() {
        assert_eq!(Histogram::default().quantile(0.5), None);
        let mut one = Histogram::default();
        one.add(7);
        assert_eq!((one.quantile(0.0), one.quantile(1.0)), (Some(7), Some(7)));
    }

    #[test]
    fn buckets_are_in_order_without_gaps() {
        let mut last = 0;
        for value in 0..100_000 {
            let bucket = bucket_of(value);
            assert!(bucket == last || bucket == last + 1, "{value}");
            last = bucket;
        }
        assert!(bucket_of(u64::MAX) < 1024);
        assert!(middle_of(bucket_of(u64::MAX)) > u64::MAX / 100 * 96);
    }

    proptest! {
        #[test]
        fn a_value_is_told_to_within_a_sixteenth(value in any::<u64>()) {
            let told = middle_of(bucket_of(value));
            prop_assert!(told.abs_diff(value) <= value / 16, "{value} became {told}");
            prop_assert_eq!(bucket_of(told), bucket_of(value));
        }

        #[test]
        fn quantiles_are_those_of_a_sorted_list_but_for_the_width_of_a_bucket(
            mut values in prop::collection::vec(0..10_000_000_000_u64, 1..200),
            share in 0.0..=1.0_f64,
        ) {
            let mut histogram = Histogram::default();
            values.iter().for_each(|value| histogram.add(*value));
            values.sort_unstable();
            let rank = ((values.len() as f64 * share).ceil() as usize).clamp(1, values.len());
            let want = values[rank - 1];
            let got = histogram.quantile(share).expect("there are values");
            prop_assert!(got.abs_diff(want) <= want / 16, "{got} instead of {want}");
        }

        #[test]
        fn tallies_add_up_in_any_order_and_come_back_from_their_stored_form(
            happened in prop::collection::vec((0..3_i64, 0..7_u8, 0..5_u64), 0..60),
            cuts in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut whole = Counts::default();
            let mut parts = vec![Counts::default()];
            for ((minute, what, count), cut) in happened.iter().zip(cuts) {
                let at = Timestamp::from_micros(minute * MINUTE_MICROS + 5);
                if cut {
                    parts.push(Counts::default());
                }
                for counts in [&mut whole, parts.last_mut().expect("there is one")] {
                    match what {
                        0 => counts.received(at, *count),
                        1 => counts.mapped(at, *count),
                        2 => counts.ended(at, Outcome::Delivered, *count),
                        3 => counts.failed(at, Reason::Timeout),
                        4 => counts.dead(at, Reason::NotFound),
                        5 => counts.replayed(at, Outcome::Delivered, *count),
                        _ => counts.delivered_after(at, *count * 1_000),
                    }
                }
            }
            let mut sum: BTreeMap<u32, Tally> = BTreeMap::new();
            for (minute, tally) in parts.iter().rev().flat_map(Counts::minutes) {
                let bytes = postcard::to_stdvec(tally).expect("plain values");
                let tally: Tally = postcard::from_bytes(&bytes).expect("own bytes");
                sum.entry(minute).or_default().merge(&tally);
            }
            prop_assert_eq!(Counts(sum), whole);
        }
    }
}
