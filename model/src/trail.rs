//! Trails: what a fragment keeps of the events that one definition asks about.
//!
//! Everything in a trail is a commutative merge, so that neither the order of events nor the fragments that they came
//! by make a difference: counts and sums add, extremes and sets unite. For windows and sequences single events are
//! kept, the newest [`MARKS_MAX`] of a fragment; older ones become buckets of a minute, [`BUCKETS_MAX`] at most. What
//! rests on a bucket that is cut by a window's edge, or on events that are in none, is approximate, and says so.

use crate::condition::{Datum, Number, Span, canonical};
use crate::keeper::Keep;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many single events a fragment keeps for a definition.
pub const MARKS_MAX: usize = 1000;
/// How many buckets of a minute a fragment keeps for a definition.
pub const BUCKETS_MAX: usize = 2000;
/// How many distinct values are kept for a definition; those first in the order of their texts.
pub const VALUES_MAX: usize = 1000;
/// The longest value, as JSON text in bytes, that is kept of an event; a longer one counts as missing.
pub const VALUE_BYTES_MAX: usize = 256;

const MINUTE_MICROS: i64 = 60_000_000;

/// A single event. The order is that of time; events of equal time are ordered by a hash of their ids.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark {
    /// Event time.
    pub at: Timestamp,
    /// A hash of the source and the message id.
    pub tie: u64,
    /// The value that the definition asks for, as JSON text; `None` if the event has none.
    pub value: Option<Box<str>>,
}

/// Events of a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Bucket {
    /// How many.
    pub count: u64,
    /// How many of them had a number.
    pub numeric: u64,
    /// The sum of those.
    pub sum: Number,
}

/// What is kept of the events that a definition asks about.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Trail {
    /// How many events, at any time.
    pub count: u64,
    /// How many of them had a number.
    pub numeric: u64,
    /// The sum of those.
    pub sum: Number,
    /// The smallest number.
    pub min: Option<Number>,
    /// The largest number.
    pub max: Option<Number>,
    /// The earliest event; where a value is asked for, the earliest that has one.
    pub first: Option<Mark>,
    /// The latest, likewise.
    pub last: Option<Mark>,
    /// Distinct values, in canonical JSON, and how often each occurred.
    pub values: BTreeMap<Box<str>, u64>,
    /// Whether values were left out because of a limit.
    pub is_values_cut: bool,
    /// Single events, the newest ones, ascending.
    pub marks: Vec<Mark>,
    /// Events that are no longer kept singly, by minute.
    pub buckets: BTreeMap<i64, Bucket>,
    /// The end of the newest minute whose events are in no bucket either.
    pub lost: Option<Timestamp>,
}

impl Trail {
    /// Adds an event. Answers whether single events had to make room: then a merge with others has to be made again.
    pub fn fold(&mut self, keep: &Keep, mark: Mark, has_value_path: bool, log_time: Timestamp) -> bool {
        match keep {
            Keep::Totals => {
                self.add_totals(mark, has_value_path);
                false
            }
            Keep::Values => {
                self.count += 1;
                if let Some(value) = &mark.value {
                    self.add_value(value, 1);
                }
                false
            }
            Keep::Marks(span) => {
                if !self.add_mark(*span, mark, log_time) {
                    return false;
                }
                let mut has_cut = false;
                while self.marks.len() > MARKS_MAX {
                    let oldest = self.marks.remove(0);
                    self.bury(&oldest);
                    has_cut = true;
                }
                has_cut
            }
        }
    }

    /// Adds an event to a merge of trails, none of which had to make room for it.
    pub fn fold_merged(&mut self, keep: &Keep, mark: Mark, has_value_path: bool, log_time: Timestamp) {
        match keep {
            Keep::Totals | Keep::Values => {
                self.fold(keep, mark, has_value_path, log_time);
            }
            Keep::Marks(span) => {
                self.add_mark(*span, mark, log_time);
            }
        }
    }

    /// Merges another fragment's trail in.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.numeric += other.numeric;
        self.sum += other.sum;
        self.min = [self.min, other.min].into_iter().flatten().min();
        self.max = [self.max, other.max].into_iter().flatten().max();
        take_if(&mut self.first, &other.first, |have, new| new < have);
        take_if(&mut self.last, &other.last, |have, new| new > have);
        self.is_values_cut |= other.is_values_cut;
        for (value, count) in &other.values {
            self.add_value(value, *count);
        }
        if self.marks.is_empty() {
            self.marks.clone_from(&other.marks);
        } else if !other.marks.is_empty() {
            self.marks.extend(other.marks.iter().cloned());
            // Two sorted runs: nearly free.
            self.marks.sort();
        }
        for (minute, theirs) in &other.buckets {
            let ours = self.buckets.entry(*minute).or_default();
            ours.count += theirs.count;
            ours.numeric += theirs.numeric;
            ours.sum += theirs.sum;
        }
        self.lost = self.lost.max(other.lost);
    }

    /// The single events less than so long ago.
    pub fn marks_within(&self, span_micros: i64, now: Timestamp) -> &[Mark] {
        let start = self.marks.partition_point(|mark| now.micros_since(mark.at) >= span_micros);
        self.marks.get(start..).unwrap_or_default()
    }

    /// What is in buckets less than so long ago, when the oldest of it leaves, and whether the window's edge cuts a
    /// bucket or reaches back to what is in none.
    pub fn buckets_within(&self, span_micros: i64, now: Timestamp) -> Buried {
        // The first moment that is in the window.
        let begins = now.plus_micros(1 - span_micros);
        let (first, into) =
            (begins.as_micros().div_euclid(MINUTE_MICROS), begins.as_micros().rem_euclid(MINUTE_MICROS));
        let is_lost = self.lost.is_some_and(|lost| lost > begins);
        let mut buried = Buried { is_approximate: is_lost, ..Buried::default() };
        for (minute, bucket) in self.buckets.range(first..) {
            let last = Timestamp::from_micros((minute + 1).saturating_mul(MINUTE_MICROS) - 1);
            buried.is_approximate |= *minute == first && into > 0;
            buried.first_end.get_or_insert(last);
            buried.total.count += bucket.count;
            buried.total.numeric += bucket.numeric;
            buried.total.sum += bucket.sum;
        }
        buried
    }

    /// About how much memory it takes, in bytes: values are not looked at one by one.
    pub fn weight(&self) -> u64 {
        (300 + 60 * self.marks.len() + 100 * self.values.len() + 80 * self.buckets.len()) as u64
    }

    fn add_totals(&mut self, mark: Mark, has_value_path: bool) {
        self.count += 1;
        if let Some(Datum::Number(number)) = mark.value.as_deref().map(Datum::parse) {
            self.numeric += 1;
            self.sum += number;
            self.min = Some(self.min.map_or(number, |min| min.min(number)));
            self.max = Some(self.max.map_or(number, |max| max.max(number)));
        }
        if has_value_path && mark.value.is_none() {
            return;
        }
        let mark = Some(mark);
        take_if(&mut self.first, &mark, |have, new| new < have);
        take_if(&mut self.last, &mark, |have, new| new > have);
    }

    /// Keeps the values that are first in the order of their texts, so that the order of events makes no difference:
    /// one of those was never left out before.
    fn add_value(&mut self, value: &str, count: u64) {
        match self.values.get_mut(value) {
            Some(have) => *have += count,
            None => {
                self.values.insert(value.into(), count);
            }
        }
        while self.values.len() > VALUES_MAX {
            self.values.pop_last();
            self.is_values_cut = true;
        }
    }

    /// Keeps a single event, unless no window reaches it any more; drops those that none reaches.
    fn add_mark(&mut self, span: Option<Span>, mark: Mark, log_time: Timestamp) -> bool {
        if let Some(span) = span {
            let old = log_time.plus_micros(-span.micros());
            if mark.at <= old {
                return false;
            }
            let stale = self.marks.partition_point(|mark| mark.at <= old);
            self.marks.drain(..stale);
            if !self.buckets.is_empty() {
                self.buckets = self.buckets.split_off(&old.as_micros().div_euclid(MINUTE_MICROS));
            }
        }
        let place = self.marks.partition_point(|have| *have < mark);
        self.marks.insert(place, mark);
        true
    }

    /// Puts an event into the bucket of its minute. The newest buckets are kept.
    fn bury(&mut self, mark: &Mark) {
        let bucket = self.buckets.entry(mark.at.as_micros().div_euclid(MINUTE_MICROS)).or_default();
        bucket.count += 1;
        if let Some(Datum::Number(number)) = mark.value.as_deref().map(Datum::parse) {
            bucket.numeric += 1;
            bucket.sum += number;
        }
        while self.buckets.len() > BUCKETS_MAX {
            let Some((minute, _)) = self.buckets.pop_first() else { break };
            let ends = Timestamp::from_micros((minute + 1).saturating_mul(MINUTE_MICROS));
            self.lost = self.lost.max(Some(ends));
        }
    }
}

/// What [`Trail::buckets_within`] finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Buried {
    /// Everything in buckets within the window.
    pub total: Bucket,
    /// The last moment of the oldest of those minutes.
    pub first_end: Option<Timestamp>,
    /// Whether that is more than is in the window, or less.
    pub is_approximate: bool,
}

/// The value of a mark: canonical JSON, `None` of null.
pub fn mark_value(json: &str) -> Option<Box<str>> {
    let value = canonical(json);
    (&*value != "null").then_some(value)
}

fn take_if(have: &mut Option<Mark>, new: &Option<Mark>, is_better: impl Fn(&Mark, &Mark) -> bool) {
    if let Some(new) = new
        && have.as_ref().is_none_or(|have| is_better(have, new))
    {
        *have = Some(new.clone());
    }
}

#[cfg(test)]
mod tests;
