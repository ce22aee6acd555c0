//! Conditions about one event: those of `where`, evaluated when the event is folded.

use crate::condition::compare::{RightValue, compare};
use crate::condition::{Comparison, Condition, Datum, FieldPath, Operand, Operator, Right};
use crate::event::EventView;
use crate::json::Members;
use crate::pattern;
use crate::time::Timestamp;
use std::cell::OnceCell;

/// The members of an event, as conditions look at them.
pub struct EventFields<'a> {
    event: &'a EventView<'a>,
    /// What most conditions look into, taken apart once.
    properties: OnceCell<Option<Members<'a>>>,
    /// What stands under the name `profile`, as a JSON object, whatever the event has there.
    profile: Option<&'a str>,
}

impl<'a> EventFields<'a> {
    /// Those of an event.
    pub fn new(event: &'a EventView<'a>) -> Self {
        Self { event, properties: OnceCell::new(), profile: None }
    }

    /// Those of an event, with a JSON object that says whose it is under the name `profile`.
    pub fn with_profile(event: &'a EventView<'a>, profile: &'a str) -> Self {
        Self { profile: Some(profile), ..Self::new(event) }
    }

    /// What stands at a path.
    pub fn get(&self, path: &FieldPath) -> Datum {
        let names = path.rest();
        if let (Some(profile), "profile") = (self.profile, path.head()) {
            return Datum::at(profile, names);
        }
        if path.head() == "properties"
            && let Some((name, rest)) = names.split_first()
        {
            let properties = self.properties.get_or_init(|| self.event.members().object("properties"));
            let value = properties.as_ref().and_then(|properties| properties.get(name));
            return value.map_or(Datum::Null, |value| Datum::at(value.get(), rest));
        }
        self.event.members().get(path.head()).map_or(Datum::Null, |value| Datum::at(value.get(), names))
    }

    /// Calls `read` with the JSON text that stands at a path.
    pub(super) fn json<T>(&self, path: &FieldPath, read: impl Fn(&str) -> T) -> Option<T> {
        let mut text = self.event.members().get(path.head())?.get();
        for name in path.rest() {
            text = Members::parse(text).ok()?.get(name)?.get();
        }
        Some(read(text))
    }
}

/// A condition about one event, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Filter(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare {
        left: FieldPath,
        operator: Operator,
        right: FilterRight,
    },
    /// What a condition about an event can't say.
    Never,
}

#[derive(Debug, Clone)]
enum FilterRight {
    Nothing,
    One(Datum),
    Many(Vec<Datum>),
    Field(FieldPath),
    Pattern(regex::Regex),
}

impl Filter {
    /// A condition that [`crate::condition::check_condition`] found to be about events. Whatever it would have refused holds
    /// of no event.
    pub fn new(condition: &Condition) -> Self {
        Self(node(condition))
    }

    /// Whether it holds of an event.
    pub fn holds(&self, event: &EventFields<'_>) -> bool {
        holds(&self.0, event)
    }
}

fn node(condition: &Condition) -> Node {
    match condition {
        Condition::All(conditions) => Node::All(conditions.iter().map(node).collect()),
        Condition::Any(conditions) => Node::Any(conditions.iter().map(node).collect()),
        Condition::Not(condition) => Node::Not(Box::new(node(condition))),
        Condition::Compare(comparison) => compared(comparison).unwrap_or(Node::Never),
        Condition::Performed(_)
        | Condition::Sequence(_)
        | Condition::Audience(_)
        | Condition::Account(_)
        | Condition::Members(_) => Node::Never,
    }
}

fn compared(comparison: &Comparison) -> Option<Node> {
    let Operand::Field(left) = &comparison.left else { return None };
    let right = match &comparison.right {
        Right::Nothing => FilterRight::Nothing,
        Right::Value(literal) => match (comparison.operator, Datum::from(literal)) {
            (Operator::Matches, Datum::Text(text)) => FilterRight::Pattern(pattern::compile(&text).ok()?),
            (_, datum) => FilterRight::One(datum),
        },
        Right::Values(literals) => FilterRight::Many(literals.iter().map(Datum::from).collect()),
        Right::Operand(Operand::Field(path)) => FilterRight::Field(path.clone()),
        Right::Operand(_) | Right::Span(_) => return None,
    };
    Some(Node::Compare { left: left.clone(), operator: comparison.operator, right })
}

fn holds(node: &Node, event: &EventFields<'_>) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| holds(node, event)),
        Node::Any(nodes) => nodes.iter().any(|node| holds(node, event)),
        Node::Not(node) => !holds(node, event),
        Node::Never => false,
        Node::Compare { left, operator, right } => {
            let left = event.get(left);
            let other;
            let right = match right {
                FilterRight::Nothing => RightValue::Nothing,
                FilterRight::One(datum) => RightValue::One(datum),
                FilterRight::Many(data) => RightValue::Many(data),
                FilterRight::Pattern(pattern) => RightValue::Pattern(pattern),
                FilterRight::Field(path) => {
                    other = event.get(path);
                    RightValue::One(&other)
                }
            };
            // What depends on the present has no place here.
            compare(&left, *operator, &right, Timestamp::default())
        }
    }
}
