//! What is computed from the events of a profile.

use super::plan::Person;
use crate::condition::compare::{RightValue, compare};
use crate::condition::{Aggregate, Datum, EventPattern, Function, Number, Operator, Span, Window};
use crate::keeper::{Keep, KeeperSpec, TrailSpec};
use crate::time::Timestamp;
use crate::trail::{Buried, Mark, Trail, VALUES_MAX};
use serde::Serialize;
use std::collections::BTreeMap;

/// A function over what a keeper keeps.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Measure<K> {
    pub(super) function: Function,
    pub(super) keeper: K,
    /// `None` if what is kept is what is asked for.
    pub(super) within: Option<Span>,
}

/// A value, and how long it stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Measured<V = Datum> {
    pub(super) value: V,
    /// When the oldest event leaves the window.
    pub(super) due: Option<Timestamp>,
    pub(super) is_approximate: bool,
}

impl<V> Measured<V> {
    fn map<W>(self, read: impl FnOnce(V) -> W) -> Measured<W> {
        Measured { value: read(self.value), due: self.due, is_approximate: self.is_approximate }
    }
}

/// A value as it comes out of a trail. Kept ones stay text: what a condition sees of an object is less than that.
enum Value<'t> {
    Computed(Datum),
    /// JSON text of an event.
    Kept(&'t str),
    /// A list of those.
    Several(Vec<&'t str>),
}

impl<'t> Value<'t> {
    fn kept(text: Option<&'t str>) -> Self {
        text.map_or(Self::Computed(Datum::Null), Self::Kept)
    }

    fn number(number: Option<Number>) -> Self {
        Self::Computed(number.map_or(Datum::Null, Datum::Number))
    }

    /// As conditions see it.
    fn datum(self) -> Datum {
        match self {
            Self::Computed(datum) => datum,
            Self::Kept(text) => Datum::parse(text),
            Self::Several(texts) => Datum::List(texts.into_iter().map(Datum::parse).collect()),
        }
    }

    /// As JSON text; `None` if there is none.
    fn json(self) -> Option<String> {
        match self {
            Self::Computed(datum) => (!datum.is_null()).then(|| datum.to_json()),
            Self::Kept(text) => Some(text.to_owned()),
            Self::Several(texts) => Some(format!("[{}]", texts.join(","))),
        }
    }
}

impl Measure<KeeperSpec> {
    /// What an aggregate needs.
    pub(super) fn of(aggregate: &Aggregate) -> Self {
        let (events, within) = without_window(&aggregate.of);
        let keep = match (within, aggregate.function) {
            (Some(span), _) => Keep::Marks(Some(span)),
            (None, Function::MostFrequent | Function::UniqueList | Function::UniqueCount) => Keep::Values,
            (
                None,
                Function::Count
                | Function::Sum
                | Function::Average
                | Function::Min
                | Function::Max
                | Function::First
                | Function::Last
                | Function::TimeSince,
            ) => Keep::Totals,
        };
        let spec = TrailSpec { events, value: aggregate.value.clone(), keep };
        Self { function: aggregate.function, keeper: KeeperSpec::Trail(spec), within }
    }
}

/// A pattern as a keeper has it, and the sliding window that it had.
pub(super) fn without_window(pattern: &EventPattern) -> (EventPattern, Option<Span>) {
    match pattern.window {
        Window::Within(span) => (EventPattern { window: Window::Ever, ..pattern.clone() }, Some(span)),
        Window::Ever | Window::Between(..) => (pattern.clone(), None),
    }
}

impl<K> Measure<K> {
    pub(super) fn map<L>(self, number: &mut impl FnMut(K) -> L) -> Measure<L> {
        Measure { function: self.function, keeper: number(self.keeper), within: self.within }
    }
}

impl Measure<u32> {
    /// The value for a person at a moment, as conditions see it.
    pub(super) fn measure(&self, person: &dyn Person, now: Timestamp) -> Measured {
        let none = Trail::default();
        self.of_trail(person.trail(self.keeper).unwrap_or(&none), now).map(Value::datum)
    }

    /// The value for a person at a moment, as JSON text; `None` if there is none.
    pub(super) fn answer(&self, person: &dyn Person, now: Timestamp) -> Measured<Option<String>> {
        let none = Trail::default();
        self.of_trail(person.trail(self.keeper).unwrap_or(&none), now).map(Value::json)
    }

    fn of_trail<'t>(&self, trail: &'t Trail, now: Timestamp) -> Measured<Value<'t>> {
        match self.within {
            None => of_all(self.function, trail, now),
            Some(span) => of_window(self.function, trail, span.micros(), now),
        }
    }

    /// Whether a count in a window compares so, and when the next event to leave the window changes that.
    pub(super) fn compare_count(
        &self,
        person: &dyn Person,
        operator: Operator,
        right: &RightValue<'_>,
        now: Timestamp,
    ) -> Option<(bool, Option<Timestamp>, bool)> {
        let span = self.within.filter(|_| self.function == Function::Count)?.micros();
        let trail = person.trail(self.keeper)?;
        let (marks, buried) = (trail.marks_within(span, now), trail.buckets_within(span, now));
        if buried.total.count > 0 {
            return None;
        }
        let holds = |count: usize| compare(&Datum::Number(Number::count(count as u64)), operator, right, now);
        let is_true = holds(marks.len());
        let differs = |gone: usize| holds(marks.len() - gone - 1) != is_true;
        let is_ordered = matches!(
            operator,
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
        );
        let changes = if is_ordered {
            // Once it has changed it stays so: the count only falls.
            first_of(marks.len(), differs)
        } else {
            (0..marks.len()).find(|gone| differs(*gone))
        };
        let due = changes.and_then(|gone| marks.get(gone)).map(|mark| mark.at.plus_micros(span));
        Some((is_true, due, buried.is_approximate))
    }
}

/// The first of so many numbers for which something holds that holds of all behind it, too.
fn first_of(count: usize, holds: impl Fn(usize) -> bool) -> Option<usize> {
    let (mut from, mut to) = (0, count);
    while from < to {
        let middle = from + (to - from) / 2;
        if holds(middle) {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    (from < count).then_some(from)
}

fn of_all(function: Function, trail: &Trail, now: Timestamp) -> Measured<Value<'_>> {
    let value = match function {
        Function::Count => Value::Computed(Datum::Number(Number::count(trail.count))),
        Function::Sum => Value::number((trail.numeric > 0).then_some(trail.sum)),
        Function::Average => Value::number(trail.sum.over(trail.numeric)),
        Function::Min => Value::number(trail.min),
        Function::Max => Value::number(trail.max),
        Function::First => Value::kept(trail.first.as_ref().and_then(|mark| mark.value.as_deref())),
        Function::Last => Value::kept(trail.last.as_ref().and_then(|mark| mark.value.as_deref())),
        Function::TimeSince => since(trail.last.as_ref(), now),
        Function::MostFrequent | Function::UniqueList | Function::UniqueCount => {
            let values = trail.values.iter().map(|(value, count)| (&**value, *count)).collect();
            of_values(function, &values)
        }
    };
    Measured { value, due: None, is_approximate: trail.is_values_cut }
}

fn of_window(function: Function, trail: &Trail, span: i64, now: Timestamp) -> Measured<Value<'_>> {
    let (marks, buried) = (trail.marks_within(span, now), trail.buckets_within(span, now));
    let is_additive = matches!(function, Function::Count | Function::Sum | Function::Average);
    let is_latest = matches!(function, Function::Last | Function::TimeSince);
    let takes_values = matches!(
        function,
        Function::First
            | Function::Last
            | Function::MostFrequent
            | Function::UniqueList
            | Function::UniqueCount
    );
    let value = match function {
        Function::Count => {
            Value::Computed(Datum::Number(Number::count(buried.total.count + marks.len() as u64)))
        }
        Function::Sum => {
            let (total, count) = sum(marks, &buried);
            Value::number((count > 0).then_some(total))
        }
        Function::Average => {
            let (total, count) = sum(marks, &buried);
            Value::number(total.over(count))
        }
        Function::Min => Value::number(numbers(marks).min()),
        Function::Max => Value::number(numbers(marks).max()),
        Function::First => Value::kept(marks.iter().find_map(|mark| mark.value.as_deref())),
        Function::Last => Value::kept(marks.iter().rev().find_map(|mark| mark.value.as_deref())),
        Function::TimeSince => since(marks.last(), now),
        Function::MostFrequent | Function::UniqueList | Function::UniqueCount => {
            let mut values: BTreeMap<&str, u64> = BTreeMap::new();
            for value in marks.iter().filter_map(|mark| mark.value.as_deref()) {
                *values.entry(value).or_default() += 1;
            }
            of_values(function, &values)
        }
    };
    let has_buried = buried.total.count > 0;
    let first = marks.first().map(|mark| mark.at).into_iter().chain(buried.first_end).min();
    // The latest event is never among those in buckets, as long as there is any other.
    let is_settled = is_latest && !marks.is_empty();
    let misses = buried.is_approximate || (has_buried && !is_additive);
    Measured {
        is_approximate: (takes_values && trail.is_values_cut) || (!is_settled && misses),
        due: first.map(|at| at.plus_micros(span)).filter(|due| *due > now),
        value,
    }
}

fn numbers(marks: &[Mark]) -> impl Iterator<Item = Number> {
    marks.iter().filter_map(|mark| match Datum::parse(mark.value.as_deref()?) {
        Datum::Number(number) => Some(number),
        Datum::Null | Datum::Bool(_) | Datum::Text(_) | Datum::List(_) | Datum::Object | Datum::Span(_) => {
            None
        }
    })
}

fn sum(marks: &[Mark], buried: &Buried) -> (Number, u64) {
    let (mut total, mut count) = (buried.total.sum, buried.total.numeric);
    for number in numbers(marks) {
        total += number;
        count += 1;
    }
    (total, count)
}

fn since(last: Option<&Mark>, now: Timestamp) -> Value<'static> {
    Value::Computed(last.map_or(Datum::Null, |mark| Datum::Span(now.micros_since(mark.at).max(0))))
}

/// A value is the most frequent one only if it occurs twice.
const FREQUENT_MIN: u64 = 2;

fn of_values<'t>(function: Function, values: &BTreeMap<&'t str, u64>) -> Value<'t> {
    if function == Function::UniqueCount {
        return Value::Computed(Datum::Number(Number::count(values.len() as u64)));
    }
    if function == Function::UniqueList {
        return Value::Several(values.keys().copied().take(VALUES_MAX).collect());
    }
    let mut best: Option<(&'t str, u64)> = None;
    for (value, count) in values {
        if *count >= FREQUENT_MIN && best.is_none_or(|(_, most)| *count > most) {
            best = Some((*value, *count));
        }
    }
    Value::kept(best.map(|(value, _)| value))
}
