//! A value as the path library looks at it: taken apart wholly, numbers as digits.

use super::number;
use super::read::DEPTH_MAX;
use super::root::Found;
use super::value::Value;
use jsonpath_rust::query::queryable::Queryable;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;

/// A value, taken apart.
#[derive(Clone, Default)]
pub(super) struct Node<'a> {
    /// The text that it was read from, if there is one.
    raw: Option<&'a str>,
    inner: Inner<'a>,
}

#[derive(Clone, Default)]
enum Inner<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Cow<'a, str>),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    Object(Members<'a>),
}

/// Members in their order, each name once, and their places in the order of names.
#[derive(Clone)]
struct Members<'a> {
    members: Vec<(Cow<'a, str>, Node<'a>)>,
    by_name: Vec<usize>,
}

/// Shows the type only: values are personal data, and the library puts this into its errors.
impl fmt::Debug for Node<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match &self.inner {
            Inner::Null => "null",
            Inner::Bool(_) => "a boolean",
            Inner::Number(_) => "a number",
            Inner::Text(_) => "a text",
            Inner::List(_) => "a list",
            Inner::Object(_) => "an object",
        })
    }
}

impl<'a> Node<'a> {
    /// `None` of a value that is deeper than values are taken apart.
    pub(super) fn new(found: Found<'_, 'a>) -> Option<Self> {
        Self::of(found.value(), DEPTH_MAX)
    }

    /// The value, if lists and objects in it lie in at most so many levels.
    fn of(value: Value<'a>, levels: usize) -> Option<Self> {
        let raw = match value {
            Value::Raw(json) => Some(json),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        let inner = match value.opened() {
            Value::Null | Value::Raw(_) => Inner::Null,
            Value::Bool(value) => Inner::Bool(value),
            Value::Number(digits) => Inner::Number(digits),
            Value::Text(text) => Inner::Text(text),
            Value::List(items) => {
                let below = levels.checked_sub(1)?;
                let items = items.into_iter().map(|item| Self::of(item, below));
                Inner::List(items.collect::<Option<_>>()?)
            }
            Value::Object(members) => Inner::Object(Members::of(members, levels.checked_sub(1)?)?),
        };
        Some(Self { raw, inner })
    }

    /// The value, byte for byte where it was read from text.
    pub(super) fn value(&self) -> Value<'a> {
        if let Some(json) = self.raw {
            return Value::Raw(json);
        }
        match &self.inner {
            Inner::Null => Value::Null,
            Inner::Bool(value) => Value::Bool(*value),
            Inner::Number(digits) => Value::Number(digits.clone()),
            Inner::Text(text) => Value::Text(text.clone()),
            Inner::List(items) => Value::List(items.iter().map(Self::value).collect()),
            Inner::Object(object) => {
                let members = object.members.iter();
                Value::Object(members.map(|(name, node)| (name.clone(), node.value())).collect())
            }
        }
    }

    fn made(inner: Inner<'a>) -> Self {
        Self { raw: None, inner }
    }
}

impl<'a> Members<'a> {
    fn of(members: Vec<(Cow<'a, str>, Value<'a>)>, levels: usize) -> Option<Self> {
        let members = members.into_iter().map(|(name, value)| Some((name, Node::of(value, levels)?)));
        let members: Vec<_> = members.collect::<Option<_>>()?;
        let mut by_name: Vec<usize> = (0..members.len()).collect();
        by_name.sort_by(|left, right| members[*left].0.cmp(&members[*right].0));
        Some(Self { members, by_name })
    }

    fn get(&self, name: &str) -> Option<&Node<'a>> {
        let found = self.by_name.binary_search_by(|place| self.members[*place].0.as_ref().cmp(name)).ok()?;
        Some(&self.members[self.by_name[found]].1)
    }

    fn sorted(&self) -> impl Iterator<Item = (&str, &Node<'a>)> {
        self.by_name.iter().map(|place| (self.members[*place].0.as_ref(), &self.members[*place].1))
    }
}

/// Numbers are equal if their values are, objects whatever the order of their members.
impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.inner, &other.inner) {
            (Inner::Null, Inner::Null) => true,
            (Inner::Bool(left), Inner::Bool(right)) => left == right,
            (Inner::Number(left), Inner::Number(right)) => {
                number::compare(left, right) == Some(Ordering::Equal)
            }
            (Inner::Text(left), Inner::Text(right)) => left == right,
            (Inner::List(left), Inner::List(right)) => left == right,
            (Inner::Object(left), Inner::Object(right)) => left.sorted().eq(right.sorted()),
            (_, _) => false,
        }
    }
}

impl From<&str> for Node<'_> {
    fn from(text: &str) -> Self {
        Self::made(Inner::Text(Cow::Owned(text.to_owned())))
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Self::made(Inner::Text(Cow::Owned(text)))
    }
}

impl From<bool> for Node<'_> {
    fn from(value: bool) -> Self {
        Self::made(Inner::Bool(value))
    }
}

impl From<i64> for Node<'_> {
    fn from(value: i64) -> Self {
        Self::made(Inner::Number(Cow::Owned(value.to_string())))
    }
}

impl From<f64> for Node<'_> {
    fn from(value: f64) -> Self {
        Self::made(Inner::Number(Cow::Owned(value.to_string())))
    }
}

impl<'a> From<Vec<Node<'a>>> for Node<'a> {
    fn from(items: Vec<Node<'a>>) -> Self {
        Self::made(Inner::List(items))
    }
}

impl Queryable for Node<'_> {
    fn get(&self, key: &str) -> Option<&Self> {
        match &self.inner {
            Inner::Object(object) => object.get(key),
            Inner::Null | Inner::Bool(_) | Inner::Number(_) | Inner::Text(_) | Inner::List(_) => None,
        }
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match &self.inner {
            Inner::List(items) => Some(items),
            Inner::Null | Inner::Bool(_) | Inner::Number(_) | Inner::Text(_) | Inner::Object(_) => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match &self.inner {
            Inner::Object(object) => {
                Some(object.members.iter().map(|(name, node)| (name.as_ref(), node)).collect())
            }
            Inner::Null | Inner::Bool(_) | Inner::Number(_) | Inner::Text(_) | Inner::List(_) => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match &self.inner {
            Inner::Text(text) => Some(text),
            Inner::Null | Inner::Bool(_) | Inner::Number(_) | Inner::List(_) | Inner::Object(_) => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        self.digits()?.parse().ok()
    }

    /// The library compares numbers by this. A number that is too large for it has none.
    fn as_f64(&self) -> Option<f64> {
        self.digits()?.parse().ok().filter(|value: &f64| value.is_finite())
    }

    fn as_bool(&self) -> Option<bool> {
        match &self.inner {
            Inner::Bool(value) => Some(*value),
            Inner::Null | Inner::Number(_) | Inner::Text(_) | Inner::List(_) | Inner::Object(_) => None,
        }
    }

    fn null() -> Self {
        Self::default()
    }
}

impl Node<'_> {
    fn digits(&self) -> Option<&str> {
        match &self.inner {
            Inner::Number(digits) => Some(digits),
            Inner::Null | Inner::Bool(_) | Inner::Text(_) | Inner::List(_) | Inner::Object(_) => None,
        }
    }
}
