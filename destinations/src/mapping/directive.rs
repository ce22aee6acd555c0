//! Directives: how a value is made of an event, as mappings write it in JSON.
//!
//! An object with one member whose name begins with `@` is a directive. Other objects and lists hold directives, and
//! everything else stands for itself. `docs/mappings.md` describes each.

mod read;

use super::DirectiveError;
use super::evaluate::{EvaluateError, Evaluation, evaluate};
use super::path::{Path, PathNames};
use super::root::Root;
use super::template::Template;
use super::value::Value;
use crate::definition::Escaping;
use regex::Regex;
use serde_json::Value as Json;

pub(super) use read::Settings;

/// A value's directive, read and checked.
#[derive(Debug)]
pub(crate) struct Directive(Node);

/// A directive, or what directives stand in.
#[derive(Debug)]
pub(super) enum Node {
    /// What is never there.
    Nothing,
    /// A value's JSON text.
    Literal(Box<str>),
    Map(Vec<(Box<str>, Node)>),
    List(Vec<Node>),
    Path(Path),
    Template(Template),
    If(Box<If>),
    Case(Case, Box<Node>),
    Replace(Box<Replace>),
    ArrayPath {
        list: Box<Node>,
        shape: Option<Box<Node>>,
    },
    Flatten {
        value: Box<Node>,
        separator: Box<str>,
        lists: Lists,
    },
    Encode(Box<Node>),
    Decode(Box<Node>),
    Merge {
        objects: Vec<Node>,
        direction: Direction,
    },
    Transform {
        apply: Box<Node>,
        mapping: Box<Node>,
    },
    ExcludeWhenNull(Box<Node>),
}

/// One of two values, by a third.
#[derive(Debug)]
pub(super) struct If {
    pub(super) test: Test,
    pub(super) value: Node,
    pub(super) then: Option<Node>,
    pub(super) otherwise: Option<Node>,
}

/// What `@if` asks about a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Test {
    /// Whether it is there and not null.
    Exists,
    /// Whether it is missing, null, false, zero or an empty text.
    Blank,
}

/// What `@case` makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Lower,
    Upper,
}

/// Texts put in the place of others, one after the other.
#[derive(Debug)]
pub(super) struct Replace {
    pub(super) value: Node,
    pub(super) steps: Vec<(Regex, Box<str>)>,
    pub(super) times: Times,
}

/// How often something is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    Always,
}

/// What `@flatten` does with lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// Their members become members under their index.
    Flatten,
    /// They stay lists.
    Keep,
}

/// Which of several objects counts where they have members of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// The first.
    Left,
    /// The last.
    Right,
}

impl Directive {
    /// Reads a directive, or a value that stands for itself, where there are no settings to name.
    ///
    /// # Errors
    /// The first thing that is wrong, and where.
    pub(crate) fn parse(json: &Json) -> Result<Self, DirectiveError> {
        read::read(json, None, None).map(Self)
    }

    /// Reads one that may name settings, and whose templates escape in that way.
    pub(super) fn parse_with(
        json: &Json,
        settings: Settings<'_>,
        escape: Option<Escaping>,
    ) -> Result<Self, DirectiveError> {
        read::read(json, Some(settings), escape).map(Self)
    }

    /// The value, if it is the same for every event: there may be none, or it can't be made.
    pub(super) fn constant(&self) -> Option<Result<Option<Value<'_>>, EvaluateError>> {
        is_constant(&self.0).then(|| self.evaluate(&Root::new("null")))
    }

    /// The value; `None` if there is none.
    ///
    /// # Errors
    /// Why it can't be made, without values.
    pub(crate) fn evaluate<'v, 'a: 'v>(
        &'v self,
        root: &Root<'a>,
    ) -> Result<Option<Value<'v>>, EvaluateError> {
        self.evaluate_within(root, &Evaluation::new())
    }

    pub(super) fn evaluate_within<'v, 'a: 'v>(
        &'v self,
        root: &Root<'a>,
        evaluation: &Evaluation,
    ) -> Result<Option<Value<'v>>, EvaluateError> {
        evaluate(&self.0, root, evaluation)
    }

    /// Shows the names of every path that begins at the root: what it needs of an event, a profile and a delivery.
    pub(crate) fn paths(&self, look: &mut impl FnMut(&PathNames<'_>)) {
        paths(&self.0, look);
    }
}

/// Whether it is the same for every event: nothing in it begins at the root.
fn is_constant(node: &Node) -> bool {
    match node {
        Node::Nothing | Node::Literal(_) => true,
        Node::Path(_) => false,
        Node::Template(template) => template.is_constant(),
        Node::Map(members) => members.iter().all(|(_, value)| is_constant(value)),
        Node::List(nodes) | Node::Merge { objects: nodes, .. } => nodes.iter().all(is_constant),
        Node::If(choice) => {
            is_constant(&choice.value) && choice.then.iter().chain(&choice.otherwise).all(is_constant)
        }
        Node::Replace(replace) => is_constant(&replace.value),
        // The shape's paths, and those of the mapping, begin at what this gives.
        Node::ArrayPath { list: value, .. } | Node::Transform { apply: value, .. } => is_constant(value),
        Node::Case(_, value)
        | Node::Flatten { value, .. }
        | Node::Encode(value)
        | Node::Decode(value)
        | Node::ExcludeWhenNull(value) => is_constant(value),
    }
}

fn paths(node: &Node, look: &mut impl FnMut(&PathNames<'_>)) {
    match node {
        Node::Nothing | Node::Literal(_) => {}
        Node::Path(path) => look(&path.names()),
        Node::Template(template) => template.paths(look),
        Node::Map(members) => {
            for (_, value) in members {
                paths(value, look);
            }
        }
        Node::List(nodes) | Node::Merge { objects: nodes, .. } => {
            for node in nodes {
                paths(node, look);
            }
        }
        Node::If(choice) => {
            paths(&choice.value, look);
            for branch in choice.then.iter().chain(&choice.otherwise) {
                paths(branch, look);
            }
        }
        Node::Replace(replace) => paths(&replace.value, look),
        // The shape's paths, and those of the mapping, begin at something else.
        Node::ArrayPath { list: value, .. } | Node::Transform { apply: value, .. } => paths(value, look),
        Node::Case(_, value)
        | Node::Flatten { value, .. }
        | Node::Encode(value)
        | Node::Decode(value)
        | Node::ExcludeWhenNull(value) => paths(value, look),
    }
}
