//! What stands in a comparison, ready to be compared, as the evaluator would.

use regex::Regex;
use tributary_model::Timestamp;
use tributary_model::catalog::Defined;
use tributary_model::condition::compare::{RightValue, compare};
use tributary_model::condition::{
    Aggregate, Datum, FieldPath, Function, Literal, Number, Operand, Operator, Right,
};
use tributary_model::pattern;

/// Where a value comes from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    Trait(&'a FieldPath),
    Measure(&'a Aggregate),
}

impl<'a> Source<'a> {
    /// That of an operand; `None` for one that says nothing about people.
    pub(super) fn of(operand: &'a Operand, defined: &'a Defined) -> Option<Self> {
        match operand {
            Operand::Trait(path) => Some(Self::Trait(path)),
            Operand::Aggregate(aggregate) => Some(Self::Measure(aggregate)),
            Operand::Computed(key) => {
                let computed = defined.computed_traits.iter().find(|computed| computed.key == *key)?;
                Some(Self::Measure(&computed.definition))
            }
            Operand::Field(_) => None,
        }
    }
}

/// A value that is the same for everybody.
#[derive(Debug)]
pub(super) enum Constant {
    Nothing,
    One(Datum),
    Many(Vec<Datum>),
    Span(i64),
    Pattern(Regex),
}

impl Constant {
    /// That at the right of an operator; `None` for another operand, or a pattern that can't be used.
    pub(super) fn of(operator: Operator, right: &Right) -> Option<Self> {
        Some(match right {
            Right::Nothing => Self::Nothing,
            Right::Value(Literal::Text(text)) if operator == Operator::Matches => {
                Self::Pattern(pattern::compile(text).ok()?)
            }
            Right::Value(literal) => Self::One(Datum::from(literal)),
            Right::Values(literals) => Self::Many(literals.iter().map(Datum::from).collect()),
            Right::Span(span) => Self::Span(span.micros()),
            Right::Operand(_) => return None,
        })
    }

    /// Whether a value compares so with it.
    pub(super) fn compares(&self, left: &Datum, operator: Operator, now: Timestamp) -> bool {
        let right = match self {
            Self::Nothing => RightValue::Nothing,
            Self::One(datum) => RightValue::One(datum),
            Self::Many(data) => RightValue::Many(data),
            Self::Span(span) => RightValue::Span(*span),
            Self::Pattern(pattern) => RightValue::Pattern(pattern),
        };
        compare(left, operator, &right, now)
    }
}

/// So many events, as a value.
pub(super) fn count(events: u32) -> Datum {
    Datum::Number(Number::count(u64::from(events)))
}

/// What a function has of no events.
pub(super) fn of_none(function: Function) -> Datum {
    match function {
        Function::Count | Function::UniqueCount => count(0),
        Function::UniqueList => Datum::List(Vec::new()),
        Function::Sum
        | Function::Average
        | Function::Min
        | Function::Max
        | Function::First
        | Function::Last
        | Function::MostFrequent
        | Function::TimeSince => Datum::Null,
    }
}
