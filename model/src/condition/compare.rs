//! How values compare.

use super::datum::Datum;
use super::tree::Operator;
use crate::time::Timestamp;
use regex::Regex;

/// What is at the right of an operator, ready to be compared with.
#[derive(Debug, Clone, Copy)]
pub enum RightValue<'a> {
    /// Nothing.
    Nothing,
    /// A value.
    One(&'a Datum),
    /// Some values.
    Many(&'a [Datum]),
    /// A length of time, in microseconds.
    Span(i64),
    /// A regular expression.
    Pattern(&'a Regex),
}

/// Whether an operator holds, at a moment.
pub fn compare(left: &Datum, operator: Operator, right: &RightValue<'_>, now: Timestamp) -> bool {
    match operator {
        Operator::NotEquals => !compare(left, Operator::Equals, right, now),
        Operator::NoneOf => !compare(left, Operator::OneOf, right, now),
        Operator::NotContains => !compare(left, Operator::Contains, right, now),
        Operator::Absent => left.is_null(),
        Operator::Exists => !left.is_null(),
        Operator::Equals => one(right).is_some_and(|right| equal(left, right)),
        Operator::Less => order(left, right).is_some_and(|order| order.is_lt()),
        Operator::LessOrEqual => order(left, right).is_some_and(|order| order.is_le()),
        Operator::Greater => order(left, right).is_some_and(|order| order.is_gt()),
        Operator::GreaterOrEqual => order(left, right).is_some_and(|order| order.is_ge()),
        Operator::OneOf => many(right).iter().any(|right| equal(left, right)),
        Operator::Contains => one(right).is_some_and(|right| contains(left, right)),
        Operator::ContainsAny => many(right).iter().any(|right| contains(left, right)),
        Operator::StartsWith => texts(left, right).is_some_and(|(left, right)| left.starts_with(right)),
        Operator::EndsWith => texts(left, right).is_some_and(|(left, right)| left.ends_with(right)),
        Operator::Matches => match (left, right) {
            (Datum::Text(text), RightValue::Pattern(pattern)) => pattern.is_match(text),
            _ => false,
        },
        Operator::BeforeDate => moments(left, right).is_some_and(|(left, right)| left < right),
        Operator::AfterDate => moments(left, right).is_some_and(|(left, right)| left > right),
        Operator::WithinLast => {
            distance(left, right, now).is_some_and(|(ahead, span)| ahead <= 0 && ahead > -span)
        }
        Operator::WithinNext => {
            distance(left, right, now).is_some_and(|(ahead, span)| ahead > 0 && ahead <= span)
        }
        Operator::BeforeLast => distance(left, right, now).is_some_and(|(ahead, span)| ahead <= -span),
        Operator::AfterNext => distance(left, right, now).is_some_and(|(ahead, span)| ahead > span),
    }
}

/// The next moment after `now` at which the result may be another one although the values are the same.
pub fn due(left: &Datum, operator: Operator, right: &RightValue<'_>, now: Timestamp) -> Option<Timestamp> {
    let is_dated = matches!(
        operator,
        Operator::WithinLast | Operator::WithinNext | Operator::BeforeLast | Operator::AfterNext
    );
    let RightValue::Span(span) = right else { return None };
    if is_dated {
        let date = left.moment()?;
        return [date.plus_micros(-span), date, date.plus_micros(*span)].into_iter().find(|at| *at > now);
    }
    // How long ago something was, compared with a length of time: it grows beyond that once.
    let Datum::Span(since) = left else { return None };
    let reached = now.plus_micros(span.saturating_sub(*since));
    [reached, reached.plus_micros(1)].into_iter().find(|at| *at > now)
}

/// Objects are opaque: one equals nothing.
fn equal(left: &Datum, right: &Datum) -> bool {
    match (left, right) {
        (Datum::Object, _) | (_, Datum::Object) => false,
        (Datum::List(left), Datum::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        _ => left == right,
    }
}

fn contains(left: &Datum, right: &Datum) -> bool {
    match (left, right) {
        (Datum::Text(left), Datum::Text(right)) => left.contains(right.as_str()),
        (Datum::List(left), right) => left.iter().any(|left| equal(left, right)),
        _ => false,
    }
}

fn one<'a>(right: &RightValue<'a>) -> Option<&'a Datum> {
    match right {
        RightValue::One(right) => Some(right),
        RightValue::Nothing | RightValue::Many(_) | RightValue::Span(_) | RightValue::Pattern(_) => None,
    }
}

fn many<'a>(right: &RightValue<'a>) -> &'a [Datum] {
    match right {
        RightValue::Many(right) => right,
        RightValue::One(Datum::List(right)) => right,
        RightValue::Nothing | RightValue::One(_) | RightValue::Span(_) | RightValue::Pattern(_) => &[],
    }
}

fn order(left: &Datum, right: &RightValue<'_>) -> Option<std::cmp::Ordering> {
    match (left, right) {
        (Datum::Number(left), RightValue::One(Datum::Number(right))) => Some(left.cmp(right)),
        (Datum::Text(left), RightValue::One(Datum::Text(right))) => Some(left.cmp(right)),
        (Datum::Span(left), RightValue::One(Datum::Span(right)) | RightValue::Span(right)) => {
            Some(left.cmp(right))
        }
        _ => None,
    }
}

fn texts<'a>(left: &'a Datum, right: &RightValue<'a>) -> Option<(&'a str, &'a str)> {
    match (left, right) {
        (Datum::Text(left), RightValue::One(Datum::Text(right))) => Some((left, right)),
        _ => None,
    }
}

fn moments(left: &Datum, right: &RightValue<'_>) -> Option<(Timestamp, Timestamp)> {
    Some((left.moment()?, one(right)?.moment()?))
}

/// How far a date lies ahead of now, and the span that it is compared with; in microseconds.
fn distance(left: &Datum, right: &RightValue<'_>, now: Timestamp) -> Option<(i64, i64)> {
    match right {
        RightValue::Span(span) => Some((left.moment()?.micros_since(now), *span)),
        RightValue::Nothing | RightValue::One(_) | RightValue::Many(_) | RightValue::Pattern(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &str) -> Datum {
        Datum::parse(text)
    }

    #[test]
    fn operators_are_strict_and_null_safe() {
        let now = Timestamp::default();
        let cases = [
            ("1", Operator::Equals, "1.0", true),
            ("1", Operator::Equals, "\"1\"", false),
            ("null", Operator::Equals, "null", true),
            ("null", Operator::Equals, "false", false),
            ("null", Operator::NotEquals, "1", true),
            ("null", Operator::NotEquals, "null", false),
            ("null", Operator::Less, "1", false),
            ("null", Operator::GreaterOrEqual, "null", false),
            ("\"b\"", Operator::Greater, "\"a\"", true),
            ("\"10\"", Operator::Greater, "9", false),
            ("\"abc\"", Operator::Contains, "\"b\"", true),
            ("[\"a\",1]", Operator::Contains, "1", true),
            ("[\"ab\"]", Operator::Contains, "\"a\"", false),
            ("null", Operator::NotContains, "\"a\"", true),
            ("\"abc\"", Operator::StartsWith, "\"ab\"", true),
            ("\"abc\"", Operator::EndsWith, "\"ab\"", false),
            ("{}", Operator::Equals, "{}", false),
            ("\"2026-01-01\"", Operator::BeforeDate, "\"2026-01-02\"", true),
            ("\"2026-01-01\"", Operator::AfterDate, "\"2026-01-01\"", false),
            ("5", Operator::BeforeDate, "\"2026-01-02\"", false),
        ];
        for (left, operator, right, want) in cases {
            let right_value = json(right);
            let got = compare(&json(left), operator, &RightValue::One(&right_value), now);
            assert_eq!(got, want, "{left} {operator:?} {right}");
        }
        let list = [json("1"), json("\"a\"")];
        for (left, operator, want) in [
            ("\"a\"", Operator::OneOf, true),
            ("2", Operator::OneOf, false),
            ("null", Operator::NoneOf, true),
            ("\"xay\"", Operator::ContainsAny, true),
            ("[2,1]", Operator::ContainsAny, true),
        ] {
            assert_eq!(compare(&json(left), operator, &RightValue::Many(&list), now), want, "{left}");
        }
    }

    #[test]
    fn each_date_lies_in_one_part_of_time_and_moves_on_when_it_is_due() {
        let operators =
            [Operator::AfterNext, Operator::WithinNext, Operator::WithinLast, Operator::BeforeLast];
        let date = Timestamp::from_millis(1_000_000);
        let left = Datum::Text(date.to_string());
        let right = RightValue::Span(10_000_000);
        let place = |now| {
            let held: Vec<usize> = (0..4).filter(|at| compare(&left, operators[*at], &right, now)).collect();
            assert_eq!(held.len(), 1, "{now}");
            held[0]
        };
        let mut now = Timestamp::from_millis(900_000);
        assert_eq!(place(now), 0);
        for part in 1..4 {
            let next = due(&left, operators[0], &right, now).expect("it moves on");
            assert_eq!(place(next.plus_micros(-1)), part - 1);
            assert_eq!(place(next), part);
            now = next;
        }
        assert_eq!(due(&left, operators[0], &right, now), None);
    }

    #[test]
    fn what_was_long_ago_is_due_once() {
        let now = Timestamp::from_millis(50_000);
        let since = Datum::Span(3_000_000);
        let right = RightValue::Span(5_000_000);
        let reached = due(&since, Operator::GreaterOrEqual, &right, now).expect("it will be");
        assert_eq!(reached, Timestamp::from_millis(52_000));
        assert_eq!(due(&Datum::Span(5_000_000), Operator::Greater, &right, now), Some(now.plus_micros(1)));
        assert_eq!(due(&Datum::Span(5_000_001), Operator::Greater, &right, now), None);
    }
}
