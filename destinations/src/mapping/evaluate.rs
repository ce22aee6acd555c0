//! What directives make of an event.

use super::directive::{Case, Direction, If, Lists, Node, Replace, Test, Times};
use super::read::{self, Wins, unique};
use super::root::Root;
use super::value::Value;
use std::borrow::Cow;
use std::cell::Cell;

/// The limit on what a mapping makes of one event besides what it takes from it as it stands, in bytes.
const MADE_BYTES_MAX: usize = 4 << 20;
/// What a member of a list or an object takes.
const MEMBER_BYTES: usize = 64;

/// Why a value can't be made: without values, to be read after the field's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct EvaluateError(pub(crate) String);

/// What is left of the limits while one event is mapped.
pub(super) struct Evaluation {
    left: Cell<usize>,
}

impl Evaluation {
    pub(super) fn new() -> Self {
        Self { left: Cell::new(MADE_BYTES_MAX) }
    }

    /// Counts so many bytes.
    fn take(&self, bytes: usize) -> Result<(), EvaluateError> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(EvaluateError(format!("makes more than {} MB of this event", MADE_BYTES_MAX >> 20))),
        }
    }
}

/// A value, or that there is none, or why it can't be made.
type Made<'v> = Result<Option<Value<'v>>, EvaluateError>;

/// The value of a directive.
pub(super) fn evaluate<'v, 'a: 'v>(node: &'v Node, root: &Root<'a>, evaluation: &Evaluation) -> Made<'v> {
    match node {
        Node::Nothing => Ok(None),
        Node::Literal(json) => Ok(Some(Value::Raw(json))),
        Node::Path(path) => Ok(path.evaluate(root)),
        Node::Template(template) => {
            let text = template
                .render(root)
                .map_err(|problem| EvaluateError(format!("has a template that {problem}")))?;
            evaluation.take(text.len())?;
            Ok(Some(Value::Text(Cow::Owned(text))))
        }
        Node::Map(members) => map(members, root, evaluation),
        Node::List(nodes) => {
            let mut items = Vec::with_capacity(nodes.len());
            for node in nodes {
                items.extend(evaluate(node, root, evaluation)?);
            }
            evaluation.take(items.len() * MEMBER_BYTES)?;
            Ok(Some(Value::List(items)))
        }
        Node::If(choice) => choose(choice, root, evaluation),
        Node::Case(case, value) => {
            let Some(value) = evaluate(value, root, evaluation)? else { return Ok(None) };
            change_case(*case, value, evaluation).map(Some)
        }
        Node::Replace(replace) => {
            let Some(value) = evaluate(&replace.value, root, evaluation)? else { return Ok(None) };
            replaced(replace, value, evaluation).map(Some)
        }
        Node::ArrayPath { list, shape } => {
            let Some(list) = evaluate(list, root, evaluation)? else { return Ok(None) };
            let Some(shape) = shape else { return Ok(Some(list)) };
            shaped(list, shape, evaluation).map(Some)
        }
        Node::Flatten { value, separator, lists } => {
            let Some(value) = evaluate(value, root, evaluation)? else { return Ok(None) };
            flattened(value, separator, *lists, evaluation).map(Some)
        }
        Node::Encode(value) => {
            let Some(value) = evaluate(value, root, evaluation)? else { return Ok(None) };
            encoded(&value, evaluation).map(Some)
        }
        Node::Decode(value) => {
            let Some(value) = evaluate(value, root, evaluation)? else { return Ok(None) };
            decoded(value, evaluation).map(Some)
        }
        Node::Merge { objects, direction } => merged(objects, *direction, root, evaluation),
        Node::Transform { apply, mapping } => match evaluate(apply, root, evaluation)? {
            Some(value) => evaluate(mapping, &Root::of(value), evaluation),
            None => Ok(None),
        },
        Node::ExcludeWhenNull(value) => {
            let value = evaluate(value, root, evaluation)?;
            Ok(value.filter(|value| !value.is_null()))
        }
    }
}

fn map<'v, 'a: 'v>(members: &'v [(Box<str>, Node)], root: &Root<'a>, evaluation: &Evaluation) -> Made<'v> {
    let mut made = Vec::with_capacity(members.len());
    for (name, node) in members {
        if let Some(value) = evaluate(node, root, evaluation)? {
            made.push((Cow::Borrowed(&**name), value));
        }
    }
    evaluation.take(made.len() * MEMBER_BYTES)?;
    Ok(Some(Value::Object(made)))
}

fn choose<'v, 'a: 'v>(choice: &'v If, root: &Root<'a>, evaluation: &Evaluation) -> Made<'v> {
    let value = evaluate(&choice.value, root, evaluation)?;
    let holds = match choice.test {
        Test::Exists => value.is_some_and(|value| !value.is_null()),
        Test::Blank => value.is_none_or(|value| value.is_blank()),
    };
    let branch = if holds { &choice.then } else { &choice.otherwise };
    match branch {
        Some(branch) => evaluate(branch, root, evaluation),
        None => Ok(None),
    }
}

fn change_case<'v>(
    case: Case,
    value: Value<'v>,
    evaluation: &Evaluation,
) -> Result<Value<'v>, EvaluateError> {
    if value.shape() != read::Shape::Text {
        return Ok(value);
    }
    let text = value.text().unwrap_or_default();
    let text = match case {
        Case::Lower => text.to_lowercase(),
        Case::Upper => text.to_uppercase(),
    };
    evaluation.take(text.len())?;
    Ok(Value::Text(Cow::Owned(text)))
}

fn replaced<'v>(
    replace: &Replace,
    value: Value<'v>,
    evaluation: &Evaluation,
) -> Result<Value<'v>, EvaluateError> {
    let Some(text) = value.text() else { return Ok(value) };
    let mut text = text.into_owned();
    for (pattern, put) in &replace.steps {
        let mut made = String::with_capacity(text.len());
        let mut done = 0;
        for found in pattern.find_iter(&text) {
            made.push_str(&text[done..found.start()]);
            made.push_str(put);
            done = found.end();
            if made.len() > MADE_BYTES_MAX || replace.times == Times::Once {
                break;
            }
        }
        made.push_str(&text[done..]);
        evaluation.take(made.len())?;
        text = made;
    }
    Ok(Value::Text(Cow::Owned(text)))
}

/// The members of a list, each brought to a shape; of an object a list with that alone. Anything else stays as it is.
fn shaped<'v>(list: Value<'v>, shape: &'v Node, evaluation: &Evaluation) -> Result<Value<'v>, EvaluateError> {
    let items = match list.opened() {
        Value::List(items) => items,
        object @ Value::Object(_) => vec![object],
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_)) => {
            return Ok(other);
        }
    };
    let mut made = Vec::with_capacity(items.len());
    for item in items {
        evaluation.take(MEMBER_BYTES)?;
        made.extend(evaluate(shape, &Root::of(item), evaluation)?);
    }
    Ok(Value::List(made))
}

/// An object whose members are what lies in it, under names that say where. Anything else stays as it is.
fn flattened<'v>(
    value: Value<'v>,
    separator: &str,
    lists: Lists,
    evaluation: &Evaluation,
) -> Result<Value<'v>, EvaluateError> {
    match value.shape() {
        read::Shape::Object => {}
        read::Shape::List if lists == Lists::Flatten => {}
        read::Shape::List
        | read::Shape::Null
        | read::Shape::Bool(_)
        | read::Shape::Number
        | read::Shape::Text => return Ok(value),
    }
    let mut flat = Flat { members: Vec::new(), separator, lists, evaluation };
    flat.add(None, value, read::DEPTH_MAX)?;
    Ok(Value::Object(unique(flat.members, Wins::Last)))
}

struct Flat<'f, 'v> {
    members: Vec<(Cow<'v, str>, Value<'v>)>,
    separator: &'f str,
    lists: Lists,
    evaluation: &'f Evaluation,
}

impl<'v> Flat<'_, 'v> {
    /// Adds a value under its name, or what lies in it under theirs, in at most so many levels.
    fn add(&mut self, name: Option<&str>, value: Value<'v>, levels: usize) -> Result<(), EvaluateError> {
        let is_list = value.shape() == read::Shape::List;
        let is_opened = value.shape() == read::Shape::Object || (is_list && self.lists == Lists::Flatten);
        if !is_opened {
            self.members.extend(name.map(|name| (Cow::Owned(name.to_owned()), value)));
            return Ok(());
        }
        let below = levels.checked_sub(1);
        let below = below.ok_or_else(|| {
            EvaluateError(format!("is to be flattened and has more than {} levels", read::DEPTH_MAX))
        })?;
        match value.opened() {
            Value::Object(members) => {
                for (inner, value) in members {
                    let name = self.joined(name, &inner)?;
                    self.add(Some(&name), value, below)?;
                }
            }
            Value::List(items) => {
                for (index, value) in items.into_iter().enumerate() {
                    let name = self.joined(name, &index.to_string())?;
                    self.add(Some(&name), value, below)?;
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_) => {}
        }
        Ok(())
    }

    fn joined(&self, outer: Option<&str>, inner: &str) -> Result<String, EvaluateError> {
        let name = match outer {
            Some(outer) => format!("{outer}{}{inner}", self.separator),
            None => inner.to_owned(),
        };
        self.evaluation.take(name.len() + MEMBER_BYTES)?;
        Ok(name)
    }
}

fn encoded<'v>(value: &Value<'v>, evaluation: &Evaluation) -> Result<Value<'v>, EvaluateError> {
    evaluation.take(value.bytes())?;
    let mut json = Vec::new();
    value.write(&mut json);
    let text = String::from_utf8(json).expect("texts are written as UTF-8");
    Ok(Value::Text(Cow::Owned(text)))
}

/// What a text of JSON says. What is no text stays as it is.
fn decoded<'v>(value: Value<'v>, evaluation: &Evaluation) -> Result<Value<'v>, EvaluateError> {
    if value.shape() != read::Shape::Text {
        return Ok(value);
    }
    let text = value.text().unwrap_or_default();
    if !read::is_json(&text) {
        return Err(EvaluateError(format!(
            "is to be decoded from a text that is no JSON of at most {} levels",
            read::DEPTH_MAX
        )));
    }
    // Each value in it takes at least two bytes of the text.
    evaluation.take(text.len())?;
    Ok(Value::Raw(&read::paired(&text)).into_owned())
}

fn merged<'v, 'a: 'v>(
    objects: &'v [Node],
    direction: Direction,
    root: &Root<'a>,
    evaluation: &Evaluation,
) -> Made<'v> {
    let mut members = Vec::new();
    for node in objects {
        let Some(value) = evaluate(node, root, evaluation)? else { continue };
        match value.opened() {
            Value::Object(more) => {
                evaluation.take(more.len() * MEMBER_BYTES)?;
                members.extend(more);
            }
            Value::Null => {}
            Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::List(_) | Value::Raw(_) => {
                return Err(EvaluateError("merges something that is no object".to_owned()));
            }
        }
    }
    let wins = match direction {
        Direction::Left => Wins::First,
        Direction::Right => Wins::Last,
    };
    Ok(Some(Value::Object(unique(members, wins))))
}
