//! The tree of a condition.

use super::number::Number;
use super::path::FieldPath;
use super::span::Span;
use crate::event::EventKind;
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A condition about a profile, an account or an event; which of them, its place says.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Every one of these; true of none.
    All(Vec<Condition>),
    /// At least one of these; false of none.
    Any(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// A value compares so with another.
    Compare(Comparison),
    /// An event was performed at least once.
    Performed(EventPattern),
    /// Events were performed one after the other.
    Sequence(Sequence),
    /// The profile fulfils the condition of another audience, named by its key.
    Audience(String),
    /// The profile belongs to an account of which this holds; `trait` in it is the account's.
    Account(Box<Condition>),
    /// Within [`Condition::Account`]: this holds of some or of all of the account's members; `trait` in it is the
    /// member's.
    Members(Members),
}

impl Condition {
    /// Calls `look` with every field of events that it compares, those in patterns of events left out.
    pub fn each_field<'a>(&'a self, look: &mut impl FnMut(&'a FieldPath)) {
        match self {
            Self::All(conditions) | Self::Any(conditions) => {
                conditions.iter().for_each(|condition| condition.each_field(look));
            }
            Self::Not(condition) | Self::Account(condition) => condition.each_field(look),
            Self::Members(members) => members.condition.each_field(look),
            Self::Compare(comparison) => {
                if let Operand::Field(path) = &comparison.left {
                    look(path);
                }
                if let Right::Operand(Operand::Field(path)) = &comparison.right {
                    look(path);
                }
            }
            Self::Performed(_) | Self::Sequence(_) | Self::Audience(_) => {}
        }
    }
}

/// How many members have to fulfil a condition, and which one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// How many.
    pub quantifier: Quantifier,
    /// What they fulfil.
    pub condition: Box<Condition>,
}

/// How many members of an account have to fulfil a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quantifier {
    /// At least one.
    Any,
    /// Every one.
    All,
}

/// A comparison.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// What is compared.
    pub left: Operand,
    /// How.
    pub operator: Operator,
    /// With what; [`Right::Nothing`] for `exists` and `absent`.
    #[serde(default, skip_serializing_if = "Right::is_nothing")]
    pub right: Right,
}

/// What a comparison looks at.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operand {
    /// A trait, or what is within one that is an object.
    Trait(FieldPath),
    /// A computed trait, by its key.
    Computed(String),
    /// A member of the event: `properties.total`, `context.page.url`, `event`. In conditions about events only.
    Field(FieldPath),
    /// What is computed from events, as a computed trait would.
    Aggregate(Box<Aggregate>),
}

/// What is at the right of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Nothing: the operator looks at the left alone.
    #[default]
    Nothing,
    /// A value.
    Value(Literal),
    /// Some values.
    Values(Vec<Literal>),
    /// Another operand.
    Operand(Operand),
    /// A length of time.
    Span(Span),
}

impl Right {
    /// Whether it is [`Right::Nothing`].
    pub const fn is_nothing(&self) -> bool {
        matches!(self, Self::Nothing)
    }
}

/// A value in a condition.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// `null`: what is missing equals it.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text; for the operators of dates, an RFC 3339 moment or a date.
    Text(String),
}

/// How values are compared. Each negative operator is the negation of its positive one, also for what is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// Of the same type, and the same value.
    Equals,
    /// Not [`Operator::Equals`].
    NotEquals,
    /// Both numbers, both texts or both lengths of time, and smaller.
    Less,
    /// … or equal.
    LessOrEqual,
    /// … and larger.
    Greater,
    /// … or equal.
    GreaterOrEqual,
    /// Equals one of a list.
    OneOf,
    /// Equals none of a list.
    NoneOf,
    /// A text contains a text, or a list contains a value.
    Contains,
    /// … contains one of a list.
    ContainsAny,
    /// Not [`Operator::Contains`].
    NotContains,
    /// A text begins so.
    StartsWith,
    /// A text ends so.
    EndsWith,
    /// A text matches a regular expression somewhere.
    Matches,
    /// There is a value, and it is not null.
    Exists,
    /// Not [`Operator::Exists`].
    Absent,
    /// A date is before a moment.
    BeforeDate,
    /// A date is after a moment.
    AfterDate,
    /// A date lies in the last span of time up to now.
    WithinLast,
    /// A date lies in the next span of time from now.
    WithinNext,
    /// A date lies further back than the last span of time.
    BeforeLast,
    /// A date lies further ahead than the next span of time.
    AfterNext,
}

/// Which events are meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventPattern {
    /// The call.
    pub kind: EventKind,
    /// The name of a track, page or screen call, compared exactly; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What else holds of the event: comparisons of its fields.
    #[serde(default, rename = "where", skip_serializing_if = "Option::is_none")]
    pub filter: Option<Box<Condition>>,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Window::is_ever")]
    pub window: Window,
}

/// When an event has to have happened, by its event time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// At any time.
    #[default]
    Ever,
    /// Less than so long ago.
    Within(Span),
    /// From the first moment, inclusive, to the second, exclusive; in JSON two RFC 3339 texts.
    Between(#[serde(with = "moment")] Timestamp, #[serde(with = "moment")] Timestamp),
}

impl Window {
    /// Whether it is [`Window::Ever`].
    pub const fn is_ever(&self) -> bool {
        matches!(self, Self::Ever)
    }
}

/// Something computed from events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Aggregate {
    /// How.
    pub function: Function,
    /// From which events.
    pub of: EventPattern,
    /// From which member of them: `properties.total`. `None` for a count and the time since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<FieldPath>,
}

/// What is computed from events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// How many events. Zero of none.
    Count,
    /// The sum of the values that are numbers; missing of none.
    Sum,
    /// Their average, to nine decimal places; missing of none.
    Average,
    /// The smallest number.
    Min,
    /// The largest number.
    Max,
    /// The value of the earliest event that has one.
    First,
    /// The value of the latest event that has one.
    Last,
    /// The value that occurs most often, at least twice; of equal ones the first in the order of their texts.
    MostFrequent,
    /// The distinct values, sorted by their texts.
    UniqueList,
    /// How many distinct values. Zero of none.
    UniqueCount,
    /// How long ago the latest event was; missing of none.
    TimeSince,
}

/// Events one after the other. Those of equal time are ordered by a hash of their message ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sequence {
    /// The first event. Its window is [`Window::Ever`]: the sequence has its own.
    pub first: EventPattern,
    /// What came then, at least one.
    pub then: Vec<Step>,
    /// When all of it happened: [`Window::Ever`] or [`Window::Within`].
    #[serde(default, skip_serializing_if = "Window::is_ever")]
    pub window: Window,
}

/// A later event of a sequence.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The event; its window is [`Window::Ever`].
    pub event: EventPattern,
    /// How long after the one before at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<Span>,
    /// An event that must not lie between the two; its window is [`Window::Ever`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without: Option<EventPattern>,
}

/// Moments as RFC 3339 text, where the form is one that people read.
mod moment {
    use crate::time::Timestamp;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(at) } else { at.serialize(serializer) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        if !deserializer.is_human_readable() {
            return Timestamp::deserialize(deserializer);
        }
        let text = String::deserialize(deserializer)?;
        Timestamp::parse(&text).ok_or_else(|| D::Error::custom("is no RFC 3339 moment, and no date"))
    }
}
