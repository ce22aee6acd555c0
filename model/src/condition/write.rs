//! The text form, written. It is one text for one tree, and is read back to an equal tree.

use super::path::FieldPath;
use super::text::words;
use super::tree::{
    Aggregate, Comparison, Condition, EventPattern, Literal, Members, Operand, Quantifier, Right, Sequence,
    Window,
};
use crate::event::EventKind;
use crate::time::Timestamp;
use std::fmt::{self, Display, Formatter, Write as _};

/// The text form: `traits.plan = "pro" and not event("App Opened") within 7d`.
impl Display for Condition {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::All(conditions) => listed(out, conditions, "and", "all"),
            Self::Any(conditions) => listed(out, conditions, "or", "any"),
            Self::Not(condition) => {
                out.write_str("not ")?;
                within(out, condition, binding(condition) == Binding::Tight)
            }
            Self::Compare(comparison) => comparison.fmt(out),
            Self::Performed(pattern) => pattern.fmt(out),
            Self::Sequence(sequence) => sequence.fmt(out),
            Self::Audience(key) => write!(out, "audience({})", Quoted(key)),
            Self::Account(condition) => write!(out, "account({condition})"),
            Self::Members(Members { quantifier: Quantifier::Any, condition }) => {
                write!(out, "any member({condition})")
            }
            Self::Members(Members { quantifier: Quantifier::All, condition }) => {
                write!(out, "all members({condition})")
            }
        }
    }
}

/// What holds a condition together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// Nothing more than itself.
    Tight,
    /// `and` between its parts.
    And,
    /// `or` between its parts.
    Or,
}

fn binding(condition: &Condition) -> Binding {
    match condition {
        Condition::All(conditions) if conditions.len() > 1 => Binding::And,
        Condition::Any(conditions) if conditions.len() > 1 => Binding::Or,
        Condition::All(_)
        | Condition::Any(_)
        | Condition::Not(_)
        | Condition::Compare(_)
        | Condition::Performed(_)
        | Condition::Sequence(_)
        | Condition::Audience(_)
        | Condition::Account(_)
        | Condition::Members(_) => Binding::Tight,
    }
}

/// One alone is written as a call: parentheses around it would vanish when it is read.
fn listed(out: &mut Formatter<'_>, conditions: &[Condition], word: &str, call: &str) -> fmt::Result {
    if conditions.len() < 2 {
        write!(out, "{call}(")?;
        conditions.iter().try_for_each(|condition| condition.fmt(out))?;
        return out.write_str(")");
    }
    for (at, condition) in conditions.iter().enumerate() {
        if at > 0 {
            write!(out, " {word} ")?;
        }
        let fits = match binding(condition) {
            Binding::Tight => true,
            Binding::And => word == "or",
            Binding::Or => false,
        };
        within(out, condition, fits)?;
    }
    Ok(())
}

/// A condition within another one: as it is, if it fits, or else in parentheses.
fn within(out: &mut Formatter<'_>, condition: &Condition, fits: bool) -> fmt::Result {
    if fits { condition.fmt(out) } else { write!(out, "({condition})") }
}

impl Display for Comparison {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{} {}", self.left, words::operator_name(self.operator))?;
        match &self.right {
            Right::Nothing => Ok(()),
            Right::Value(literal) => write!(out, " {literal}"),
            Right::Values(literals) => {
                out.write_str(" (")?;
                for (at, literal) in literals.iter().enumerate() {
                    write!(out, "{}{literal}", if at > 0 { ", " } else { "" })?;
                }
                out.write_str(")")
            }
            Right::Operand(operand) => write!(out, " {operand}"),
            Right::Span(span) => write!(out, " {span}"),
        }
    }
}

impl Display for Operand {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trait(path) if is_plain(path) => write!(out, "traits.{path}"),
            Self::Trait(path) => write!(out, "trait({})", Quoted(&path.to_string())),
            Self::Computed(key) if is_name(key) => write!(out, "computed.{key}"),
            Self::Computed(key) => write!(out, "computed({})", Quoted(key)),
            Self::Field(path) if is_plain(path) && is_unquoted(path.head()) => write!(out, "{path}"),
            Self::Field(path) => write!(out, "field({})", Quoted(&path.to_string())),
            Self::Aggregate(aggregate) => aggregate.fmt(out),
        }
    }
}

impl Display for Literal {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => out.write_str("null"),
            Self::Bool(value) => value.fmt(out),
            Self::Number(number) => number.fmt(out),
            Self::Text(text) => Quoted(text).fmt(out),
        }
    }
}

/// The text form: `sum(event("Order Completed").properties.total within 30d)`.
impl Display for Aggregate {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "{}({}", words::function_name(self.function), Call(&self.of))?;
        if let Some(path) = &self.value {
            let is_trait = path.head() == "traits" && !path.rest().is_empty();
            if is_plain(path) && (is_trait || words::is_event_field(path.head())) {
                write!(out, ".{path}")?;
            } else {
                write!(out, ".field({})", Quoted(&path.to_string()))?;
            }
        }
        qualified(out, &self.of)?;
        out.write_str(")")
    }
}

impl Display for EventPattern {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        Call(self).fmt(out)?;
        qualified(out, self)
    }
}

/// What else holds of an event. A condition of several parts stands in parentheses, so that it ends where it does for
/// people too.
fn qualified(out: &mut Formatter<'_>, pattern: &EventPattern) -> fmt::Result {
    if let Some(filter) = &pattern.filter {
        out.write_str(" where ")?;
        within(out, filter, matches!(**filter, Condition::Compare(_)))?;
    }
    lasting(out, &pattern.window)
}

fn lasting(out: &mut Formatter<'_>, window: &Window) -> fmt::Result {
    match window {
        Window::Ever => Ok(()),
        Window::Within(span) => write!(out, " within {span}"),
        Window::Between(from, to) => write!(out, " between {} and {}", Moment(*from), Moment(*to)),
    }
}

impl Display for Sequence {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "sequence({}", self.first)?;
        for step in &self.then {
            write!(out, " then {}", step.event)?;
            if let Some(span) = step.within {
                write!(out, " within {span}")?;
            }
            if let Some(without) = &step.without {
                write!(out, " without {without}")?;
            }
        }
        out.write_str(")")?;
        lasting(out, &self.window)
    }
}

/// The call and the name of an event alone.
struct Call<'a>(&'a EventPattern);

impl Display for Call<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(match self.0.kind {
            EventKind::Track => "event",
            EventKind::Identify
            | EventKind::Page
            | EventKind::Screen
            | EventKind::Group
            | EventKind::Alias => self.0.kind.name(),
        })?;
        match &self.0.name {
            Some(name) => write!(out, "({})", Quoted(name)),
            None => out.write_str("()"),
        }
    }
}

/// A moment in quotes: the date alone where that is midnight.
struct Moment(Timestamp);

impl Display for Moment {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        write!(out, "\"{}\"", text.strip_suffix("T00:00:00.000Z").unwrap_or(&text))
    }
}

/// A text in quotes, with the escapes of JSON.
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.write_str(&serde_json::Value::from(self.0).to_string())
    }
}

/// Whether a field of an event that begins so is compared without quotes.
fn is_unquoted(head: &str) -> bool {
    words::is_event_field(head) || head == words::PROFILE
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(words::is_letter)
}

fn is_plain(path: &FieldPath) -> bool {
    path.names().all(is_name)
}

/// How long the text form is, in bytes.
pub(super) fn length(form: &impl Display) -> usize {
    struct Counter(usize);

    impl fmt::Write for Counter {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 += text.len();
            Ok(())
        }
    }

    let mut counter = Counter(0);
    // Counting never fails.
    let _ = write!(counter, "{form}");
    counter.0
}
