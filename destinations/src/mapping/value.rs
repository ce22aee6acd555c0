//! The values that mappings work on: what an event holds, as it stands there, and what directives make.

use super::number;
use super::read::{self, DEPTH_MAX, Shape};
use serde_json::Value as Json;
use std::borrow::Cow;
use std::fmt;

/// A JSON value. Numbers are their digits, and are never converted.
#[derive(Clone)]
pub(crate) enum Value<'a> {
    /// Nothing, said so.
    Null,
    /// True or false.
    Bool(bool),
    /// A number's JSON text.
    Number(Cow<'a, str>),
    /// A text, escapes resolved.
    Text(Cow<'a, str>),
    /// A list.
    List(Vec<Value<'a>>),
    /// Members in their order; of several with one name the last counts.
    Object(Vec<(Cow<'a, str>, Value<'a>)>),
    /// JSON text of a value of any type. It is written as it stands, and looked into only when that is needed.
    Raw(&'a str),
}

/// Shows the type only: values are personal data.
impl fmt::Debug for Value<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?}", self.shape())
    }
}

impl<'a> Value<'a> {
    /// A value that was read with numbers converted.
    #[cfg(test)]
    pub(crate) fn from_json(json: &Json) -> Value<'static> {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(value) => Value::Number(Cow::Owned(value.to_string())),
            Json::String(value) => Value::Text(Cow::Owned(value.clone())),
            Json::Array(items) => Value::List(items.iter().map(Value::from_json).collect()),
            Json::Object(members) => {
                let members = members.iter();
                Value::Object(
                    members
                        .map(|(name, value)| (Cow::Owned(name.clone()), Value::from_json(value)))
                        .collect(),
                )
            }
        }
    }

    /// The same value with nothing borrowed, and with no text of JSON in it.
    pub(super) fn into_owned(self) -> Value<'static> {
        match self.opened() {
            Value::Null | Value::Raw(_) => Value::Null,
            Value::Bool(value) => Value::Bool(value),
            Value::Number(digits) => Value::Number(Cow::Owned(digits.into_owned())),
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Value::Object(members) => {
                let members = members.into_iter();
                Value::Object(
                    members
                        .map(|(name, value)| (Cow::Owned(name.into_owned()), value.into_owned()))
                        .collect(),
                )
            }
        }
    }

    /// Of what type it is.
    pub(super) fn shape(&self) -> Shape {
        match self {
            Value::Null => Shape::Null,
            Value::Bool(value) => Shape::Bool(*value),
            Value::Number(_) => Shape::Number,
            Value::Text(_) => Shape::Text,
            Value::List(_) => Shape::List,
            Value::Object(_) => Shape::Object,
            Value::Raw(json) => read::shape(json),
        }
    }

    /// Whether it is the value `null`.
    pub(crate) fn is_null(&self) -> bool {
        self.shape() == Shape::Null
    }

    /// JSON text read one level deep: what lies within stays text. Any other value as it is. Text that is no JSON is null.
    pub(super) fn opened(self) -> Value<'a> {
        let Value::Raw(json) = self else { return self };
        match read::shape(json) {
            Shape::Null => Value::Null,
            Shape::Bool(value) => Value::Bool(value),
            Shape::Number => Value::Number(Cow::Borrowed(json.trim_ascii())),
            Shape::Text => Value::Text(read::text(json)),
            Shape::List => match read::items(json) {
                Some(items) => Value::List(items.into_iter().map(Value::Raw).collect()),
                None => Value::Null,
            },
            Shape::Object => match read::members(json) {
                Some(members) => Value::Object(
                    members.into_iter().map(|(name, value)| (name, Value::Raw(value))).collect(),
                ),
                None => Value::Null,
            },
        }
    }

    /// A text, a number or a boolean as text; `None` of others.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Value::Text(text) | Value::Number(text) => Some(Cow::Borrowed(text)),
            Value::Bool(true) => Some(Cow::Borrowed("true")),
            Value::Bool(false) => Some(Cow::Borrowed("false")),
            Value::Raw(json) => match read::shape(json) {
                Shape::Text => Some(read::text(json)),
                Shape::Number | Shape::Bool(_) => Some(Cow::Borrowed(json.trim_ascii())),
                Shape::Null | Shape::List | Shape::Object => None,
            },
            Value::Null | Value::List(_) | Value::Object(_) => None,
        }
    }

    /// The same, with the value given up for it.
    pub(super) fn into_text(self) -> Option<Cow<'a, str>> {
        match self.shape() {
            Shape::Null | Shape::List | Shape::Object => None,
            Shape::Bool(true) => Some(Cow::Borrowed("true")),
            Shape::Bool(false) => Some(Cow::Borrowed("false")),
            Shape::Number | Shape::Text => match self.opened() {
                Value::Text(text) | Value::Number(text) => Some(text),
                Value::Null | Value::Bool(_) | Value::List(_) | Value::Object(_) | Value::Raw(_) => None,
            },
        }
    }

    /// Writes it as JSON.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Bool(true) => out.extend_from_slice(b"true"),
            Value::Bool(false) => out.extend_from_slice(b"false"),
            Value::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Value::Text(text) => write_text(text, out),
            Value::Raw(json) => out.extend_from_slice(json.as_bytes()),
            Value::List(items) => {
                out.push(b'[');
                for (at, item) in items.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    item.write(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if at > 0 {
                        out.push(b',');
                    }
                    write_text(name, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }

    /// About how many bytes it takes as JSON.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(text) | Value::Text(text) => text.len() + 2,
            Value::Raw(json) => json.len(),
            Value::List(items) => items.iter().map(|item| item.bytes() + 1).sum::<usize>() + 2,
            Value::Object(members) => {
                members.iter().map(|(name, value)| name.len() + value.bytes() + 4).sum::<usize>() + 2
            }
        }
    }

    /// As a tree for libraries that know no other. Numbers whose digits it would change are texts in it, and what lies
    /// deeper than values are taken apart is null.
    pub(crate) fn to_serde(&self) -> Json {
        self.to_serde_within(DEPTH_MAX)
    }

    fn to_serde_within(&self, levels: usize) -> Json {
        let Some(below) = levels.checked_sub(1).or_else(|| self.is_scalar().then_some(0)) else {
            return Json::Null;
        };
        match self {
            Value::Null => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(digits) => exact(digits),
            Value::Text(text) => Json::String(text.clone().into_owned()),
            Value::List(items) => Json::Array(items.iter().map(|item| item.to_serde_within(below)).collect()),
            Value::Object(members) => {
                let members = members.iter();
                members
                    .map(|(name, value)| (name.clone().into_owned(), value.to_serde_within(below)))
                    .collect()
            }
            // What was opened is text of JSON no more.
            Value::Raw(_) => self.clone().opened().to_serde_within(levels),
        }
    }

    /// Neither a list nor an object.
    fn is_scalar(&self) -> bool {
        !matches!(self.shape(), Shape::List | Shape::Object)
    }

    /// True or false, if it is one of them.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match self.shape() {
            Shape::Bool(value) => Some(value),
            Shape::Null | Shape::Number | Shape::Text | Shape::List | Shape::Object => None,
        }
    }

    /// Whether it is neither null nor false nor empty.
    pub(crate) fn is_something(&self) -> bool {
        match self.shape() {
            Shape::Null | Shape::Bool(false) => false,
            Shape::Bool(true) | Shape::Number => true,
            Shape::Text => self.text().is_some_and(|text| !text.is_empty()),
            Shape::List | Shape::Object => match self.clone().opened() {
                Value::List(items) => !items.is_empty(),
                Value::Object(members) => !members.is_empty(),
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_) => false,
            },
        }
    }

    /// Whether `@if` and its kind take it for nothing: null, false, zero, and the empty text.
    pub(super) fn is_blank(&self) -> bool {
        match self.shape() {
            Shape::Null | Shape::Bool(false) => true,
            Shape::Bool(true) | Shape::List | Shape::Object => false,
            Shape::Number => self.text().is_some_and(|digits| number::is_zero(&digits)),
            Shape::Text => self.text().is_some_and(|text| text.is_empty()),
        }
    }
}

/// Writes a text as JSON.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    serde_json::to_writer(out, text).expect("memory takes every byte");
}

fn exact(digits: &str) -> Json {
    match digits.parse::<serde_json::Number>() {
        Ok(number) if number.to_string() == digits => Json::Number(number),
        Ok(_) | Err(_) => Json::String(digits.to_owned()),
    }
}
