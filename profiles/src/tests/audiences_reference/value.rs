//! Values of the reference, and how they compare: the rules of operators, one by one.
//!
//! - What is missing is null. Null equals null; no other positive operator holds of it.
//! - Values of different types are not equal and have no order. Numbers compare exactly, texts byte by byte.
//! - `contains` is of a text in a text, or of a value in a list.
//! - A negative operator is the negation of its positive one, of null too.
//! - A date is a text: an RFC 3339 moment, or a day, of which the first moment in UTC is meant. The last span reaches up
//!   to now and has lost what is exactly as old as it is long.

use serde_json::Value;
use std::cmp::Ordering;
use tributary_model::Timestamp;
use tributary_model::condition::{Literal, Operator};

const BILLION: i128 = 1_000_000_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Val {
    Null,
    Bool(bool),
    /// In billionths.
    Number(i128),
    Text(String),
    List(Vec<Val>),
    Object,
    /// A length of time, in microseconds.
    Span(i64),
}

/// What a value is compared with.
#[derive(Debug, Clone)]
pub(super) enum Other {
    Nothing,
    One(Val),
    Many(Vec<Val>),
}

impl Val {
    pub(super) fn of(json: &Value) -> Self {
        match json {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(*value),
            Value::Number(number) => Self::Number(billionths(&number.to_string())),
            Value::String(text) => Self::Text(text.clone()),
            Value::Array(elements) => Self::List(elements.iter().map(Self::of).collect()),
            Value::Object(_) => Self::Object,
        }
    }

    pub(super) fn of_literal(literal: &Literal) -> Self {
        match literal {
            Literal::Null => Self::Null,
            Literal::Bool(value) => Self::Bool(*value),
            Literal::Number(number) => Self::Number(billionths(&number.to_string())),
            Literal::Text(text) => Self::Text(text.clone()),
        }
    }

    pub(super) fn whole(count: usize) -> Self {
        Self::Number(count as i128 * BILLION)
    }

    /// The JSON text that values are counted and sorted by: equal values have equal ones.
    pub(super) fn json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(billionths) => decimal(*billionths),
            Self::Text(text) => Value::from(text.as_str()).to_string(),
            Self::List(elements) => {
                let texts: Vec<String> = elements.iter().map(Self::json).collect();
                format!("[{}]", texts.join(","))
            }
            Self::Object => "{}".to_owned(),
            Self::Span(micros) => micros.div_euclid(1_000_000).to_string(),
        }
    }

    fn moment(&self) -> Option<Timestamp> {
        let Self::Text(text) = self else { return None };
        let is_day = text.len() == "2026-11-20".len();
        if is_day { Timestamp::parse(&format!("{text}T00:00:00Z")) } else { Timestamp::parse(text) }
    }
}

/// Reads a small decimal without an exponent.
fn billionths(text: &str) -> i128 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole: i128 = whole.parse().expect("a small decimal");
    let fraction: i128 = format!("{fraction:0<9}").parse().expect("nine digits at most");
    sign * (whole * BILLION + fraction)
}

fn decimal(billionths: i128) -> String {
    let sign = if billionths < 0 { "-" } else { "" };
    let size = billionths.unsigned_abs();
    let (whole, fraction) = (size / BILLION.unsigned_abs(), size % BILLION.unsigned_abs());
    let text = format!("{sign}{whole}.{fraction:09}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Whether a comparison holds at that time.
pub(super) fn holds(left: &Val, operator: Operator, other: &Other, now: Timestamp) -> bool {
    let one = match other {
        Other::One(value) => value,
        Other::Nothing | Other::Many(_) => &Val::Null,
    };
    let many: &[Val] = if let Other::Many(values) = other { values } else { &[] };
    match operator {
        Operator::Equals => equal(left, one),
        Operator::NotEquals => !equal(left, one),
        Operator::Less => order(left, one).is_some_and(Ordering::is_lt),
        Operator::LessOrEqual => order(left, one).is_some_and(Ordering::is_le),
        Operator::Greater => order(left, one).is_some_and(Ordering::is_gt),
        Operator::GreaterOrEqual => order(left, one).is_some_and(Ordering::is_ge),
        Operator::OneOf => many.iter().any(|value| equal(left, value)),
        Operator::NoneOf => !many.iter().any(|value| equal(left, value)),
        Operator::Contains => contains(left, one),
        Operator::ContainsAny => many.iter().any(|value| contains(left, value)),
        Operator::NotContains => !contains(left, one),
        Operator::StartsWith => texts(left, one).is_some_and(|(text, part)| text.starts_with(part)),
        Operator::EndsWith => texts(left, one).is_some_and(|(text, part)| text.ends_with(part)),
        Operator::Matches => texts(left, one).is_some_and(|(text, pattern)| matches(text, pattern)),
        Operator::Exists => *left != Val::Null,
        Operator::Absent => *left == Val::Null,
        Operator::BeforeDate => moments(left, one).is_some_and(|(date, other)| date < other),
        Operator::AfterDate => moments(left, one).is_some_and(|(date, other)| date > other),
        Operator::WithinLast => dated(left, one, now).is_some_and(|(age, span)| age >= 0 && age < span),
        Operator::WithinNext => dated(left, one, now).is_some_and(|(age, span)| age <= 0 && -age < span),
        Operator::BeforeLast => dated(left, one, now).is_some_and(|(age, span)| age >= span),
        Operator::AfterNext => dated(left, one, now).is_some_and(|(age, span)| -age >= span),
    }
}

fn equal(left: &Val, right: &Val) -> bool {
    match (left, right) {
        (Val::Null, Val::Null) => true,
        (Val::Bool(left), Val::Bool(right)) => left == right,
        (Val::Number(left), Val::Number(right)) => left == right,
        (Val::Text(left), Val::Text(right)) => left == right,
        (Val::Span(left), Val::Span(right)) => left == right,
        (Val::List(left), Val::List(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right))
        }
        _ => false,
    }
}

fn order(left: &Val, right: &Val) -> Option<Ordering> {
    match (left, right) {
        (Val::Number(left), Val::Number(right)) => Some(left.cmp(right)),
        (Val::Text(left), Val::Text(right)) => Some(left.as_bytes().cmp(right.as_bytes())),
        (Val::Span(left), Val::Span(right)) => Some(left.cmp(right)),
        _ => None,
    }
}

fn contains(left: &Val, part: &Val) -> bool {
    if let Val::List(elements) = left {
        return elements.iter().any(|element| equal(element, part));
    }
    texts(left, part).is_some_and(|(text, part)| text.contains(part))
}

fn texts<'a>(left: &'a Val, right: &'a Val) -> Option<(&'a str, &'a str)> {
    match (left, right) {
        (Val::Text(left), Val::Text(right)) => Some((left, right)),
        _ => None,
    }
}

/// The few patterns that definitions are made with, by hand.
fn matches(text: &str, pattern: &str) -> bool {
    match pattern {
        "^a" => text.starts_with('a'),
        "b$" => text.ends_with('b'),
        "^(a|ä)$" => text == "a" || text == "ä",
        other => panic!("{other} is not among the patterns"),
    }
}

fn moments(left: &Val, right: &Val) -> Option<(Timestamp, Timestamp)> {
    Some((left.moment()?, right.moment()?))
}

/// How long ago a date is, and a length of time.
fn dated(left: &Val, span: &Val, now: Timestamp) -> Option<(i64, i64)> {
    let Val::Span(span) = span else { return None };
    Some((now.micros_since(left.moment()?), *span))
}

#[test]
fn decimals_are_read_and_written_back() {
    let cases = [
        ("0", 0),
        ("2.5", 2_500_000_000),
        ("-1", -1_000_000_000),
        ("-0.000000001", -1),
        ("10", 10 * BILLION),
    ];
    for (text, want) in cases {
        assert_eq!(billionths(text), want, "{text}");
        assert_eq!(decimal(want), text);
    }
    assert_eq!(billionths("1.0"), billionths("1"));
}
