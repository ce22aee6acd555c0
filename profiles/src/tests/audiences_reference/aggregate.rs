//! What is computed from events, over the whole list of them.
//!
//! - Values are those that are there and not null; sum, average, min and max look at the numbers among them.
//! - An average has nine places, rounded half away from zero.
//! - The most frequent value occurs twice at least; of equally frequent ones it is the first in the order of texts.
//! - Distinct values are in the order of their texts.
//! - Of no events, a count is zero, and the rest is missing.

use super::evaluate::meant;
use super::people::Event;
use super::value::Val;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use tributary_model::Timestamp;
use tributary_model::condition::{Aggregate, Function};

pub(super) fn aggregate(events: &[&Event], what: &Aggregate, now: Timestamp) -> Val {
    let events: Vec<&Event> = meant(events, &what.of, now).collect();
    let value = |event: &&Event| what.value.as_ref().map_or(Val::Null, |path| event.field(path));
    let values: Vec<Val> = events.iter().map(value).filter(|value| *value != Val::Null).collect();
    let is_number = |value: &Val| if let Val::Number(number) = value { Some(*number) } else { None };
    let numbers: Vec<i128> = values.iter().filter_map(is_number).collect();
    let number = |number: Option<i128>| number.map_or(Val::Null, Val::Number);
    let mut distinct: BTreeMap<String, (usize, Val)> = BTreeMap::new();
    for value in &values {
        distinct.entry(value.json()).or_insert_with(|| (0, value.clone())).0 += 1;
    }
    match what.function {
        Function::Count => Val::whole(events.len()),
        Function::Sum if numbers.is_empty() => Val::Null,
        Function::Sum => Val::Number(numbers.iter().sum()),
        Function::Average if numbers.is_empty() => Val::Null,
        Function::Average => Val::Number(average(numbers.iter().sum(), numbers.len() as i128)),
        Function::Min => number(numbers.into_iter().min()),
        Function::Max => number(numbers.into_iter().max()),
        Function::First => values.into_iter().next().unwrap_or(Val::Null),
        Function::Last => values.into_iter().next_back().unwrap_or(Val::Null),
        Function::MostFrequent => {
            let often = distinct.into_iter().filter(|(_, (times, _))| *times > 1);
            let first = often.min_by_key(|(text, (times, _))| (Reverse(*times), text.clone()));
            first.map_or(Val::Null, |(_, (_, value))| value)
        }
        Function::UniqueList => Val::List(distinct.into_values().map(|(_, value)| value).collect()),
        Function::UniqueCount => Val::whole(distinct.len()),
        Function::TimeSince => events.last().map_or(Val::Null, |event| Val::Span(now.micros_since(event.at))),
    }
}

fn average(sum: i128, count: i128) -> i128 {
    let (quotient, rest) = (sum / count, sum % count);
    if 2 * rest.abs() >= count { quotient + sum.signum() } else { quotient }
}
