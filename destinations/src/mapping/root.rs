//! What the paths of a mapping begin at.

use super::read::{self, Shape};
use super::value::Value;
use std::cell::OnceCell;
use tributary_model::json::Members;

/// Members of an event that most paths lead through. Each is taken apart at most once.
const LEVELS: [&str; 3] = ["properties", "context", "traits"];

/// What paths begin at: `$`. Overlays are members that are laid over its own: `$` as a whole is without them, but a path that
/// begins with the name of one leads there, whatever the event has under that name.
pub(crate) struct Root<'a> {
    whole: Value<'a>,
    overlays: Vec<(&'static str, &'a str)>,
    top: OnceCell<Option<Members<'a>>>,
    levels: [OnceCell<Option<Members<'a>>>; LEVELS.len()],
    context: OnceCell<handlebars::Context>,
}

/// A step of a path that leads to one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    /// To a member of an object.
    Name(Box<str>),
    /// To a member of a list; from its end if negative.
    Index(i64),
    /// To a member of either: templates write both in the same way.
    Either(Box<str>, usize),
}

impl<'a> Root<'a> {
    /// JSON text, an event's as a rule.
    pub(crate) fn new(whole: &'a str) -> Self {
        Self::of(Value::Raw(whole))
    }

    /// A value that a directive made.
    pub(crate) fn of(value: Value<'a>) -> Self {
        Self {
            whole: value,
            overlays: Vec::new(),
            top: OnceCell::new(),
            levels: [const { OnceCell::new() }; LEVELS.len()],
            context: OnceCell::new(),
        }
    }

    /// The same with JSON text laid over the member of that name.
    pub(crate) fn with(mut self, name: &'static str, json: &'a str) -> Self {
        self.overlays.push((name, json));
        self
    }

    /// What stands where the steps lead.
    pub(super) fn find(&self, steps: &[Step]) -> Option<Found<'_, 'a>> {
        let Some((Step::Name(head), rest)) = steps.split_first() else {
            return Found::Made(&self.whole).follow(steps);
        };
        if let Some(&(_, json)) = self.overlays.iter().rev().find(|(name, _)| **name == **head) {
            return Found::Raw(json).follow(rest);
        }
        if !matches!(self.whole, Value::Raw(_)) {
            return Found::Made(&self.whole).follow(steps);
        }
        let top = self.top()?;
        let level = LEVELS.iter().position(|name| **name == **head);
        if let (Some(level), Some((Step::Name(second), deeper))) = (level, rest.split_first()) {
            let members = self.levels[level].get_or_init(|| top.object(head)).as_ref()?;
            return Found::Raw(members.get(second)?.get()).follow(deeper);
        }
        Found::Raw(top.get(head)?.get()).follow(rest)
    }

    fn top(&self) -> Option<&Members<'a>> {
        let read = || match self.whole {
            Value::Raw(json) => Members::parse(json).ok(),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        self.top.get_or_init(read).as_ref()
    }

    /// All of it with the overlays, as templates with blocks see it.
    pub(super) fn context(&self) -> &handlebars::Context {
        self.context.get_or_init(|| {
            let mut whole = self.whole.to_serde();
            if let Some(members) = whole.as_object_mut() {
                for (name, json) in &self.overlays {
                    members.insert((*name).to_owned(), Value::Raw(json).to_serde());
                }
            }
            handlebars::Context::from(whole)
        })
    }
}

/// What stands at a path.
#[derive(Clone, Copy)]
pub(super) enum Found<'r, 'a> {
    /// A value that a directive made.
    Made(&'r Value<'a>),
    /// JSON text.
    Raw(&'a str),
}

impl<'r, 'a> Found<'r, 'a> {
    fn follow(self, steps: &[Step]) -> Option<Self> {
        steps.iter().try_fold(self, Self::step)
    }

    fn step(self, step: &Step) -> Option<Self> {
        match step {
            Step::Name(name) => self.member(name),
            Step::Index(index) => self.item(*index),
            Step::Either(_, index) if self.shape() == Shape::List => self.item(i64::try_from(*index).ok()?),
            Step::Either(name, _) => self.member(name),
        }
    }

    fn member(self, name: &str) -> Option<Self> {
        match self {
            Found::Raw(json) => read::member(json, name).map(Found::Raw),
            Found::Made(&Value::Raw(json)) => read::member(json, name).map(Found::Raw),
            Found::Made(Value::Object(members)) => {
                members.iter().rev().find(|(have, _)| have == name).map(|(_, value)| Found::Made(value))
            }
            Found::Made(_) => None,
        }
    }

    fn item(self, index: i64) -> Option<Self> {
        match self {
            Found::Raw(json) => raw_item(json, index),
            Found::Made(&Value::Raw(json)) => raw_item(json, index),
            Found::Made(Value::List(items)) => items.get(place(items.len(), index)?).map(Found::Made),
            Found::Made(_) => None,
        }
    }

    pub(super) fn shape(self) -> Shape {
        match self {
            Found::Raw(json) => read::shape(json),
            Found::Made(value) => value.shape(),
        }
    }

    /// The value itself.
    pub(super) fn value(self) -> Value<'a> {
        match self {
            Found::Raw(json) => Value::Raw(json),
            Found::Made(value) => value.clone(),
        }
    }
}

fn raw_item<'r, 'a>(json: &'a str, index: i64) -> Option<Found<'r, 'a>> {
    if read::shape(json) != Shape::List {
        return None;
    }
    let items = read::items(json)?;
    items.get(place(items.len(), index)?).copied().map(Found::Raw)
}

/// Which member of a list an index means, of which negative ones count from the end.
fn place(len: usize, index: i64) -> Option<usize> {
    match usize::try_from(index) {
        Ok(place) => Some(place),
        Err(_) => len.checked_sub(usize::try_from(index.unsigned_abs()).ok()?),
    }
}
