//! What a definition says of a field's values besides their type.

use super::hashing::hashed;
use super::number;
use super::read::Shape;
use super::value::Value;
use crate::definition::{FieldSpec, TooLong};
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;
use tributary_model::pattern;

/// The rules of a field, ready to be applied.
pub(super) struct Rules {
    spec: &'static FieldSpec,
    pattern: Option<Regex>,
    member_pattern: Option<Regex>,
    /// The smallest and the largest number, as digits.
    minimum: Option<String>,
    maximum: Option<String>,
    about_texts: bool,
    about_members: bool,
}

impl Rules {
    /// Those of a field.
    ///
    /// # Errors
    /// What is wrong with them, to be read after the field's name.
    pub(super) fn compile(spec: &'static FieldSpec) -> Result<Self, String> {
        let whole = |text: &Option<String>| match text {
            Some(text) => pattern::compile(&format!(r"\A(?:{text})\z")).map(Some),
            None => Ok(None),
        };
        let digits = |limit: Option<f64>| limit.map(|limit| limit.to_string());
        Ok(Self {
            spec,
            pattern: whole(&spec.pattern).map_err(|problem| format!("has a pattern that {problem}"))?,
            member_pattern: whole(&spec.member_pattern)
                .map_err(|problem| format!("has a member_pattern that {problem}"))?,
            minimum: digits(spec.minimum),
            maximum: digits(spec.maximum),
            about_texts: spec.characters_max.is_some()
                || spec.pattern.is_some()
                || !spec.choices.is_empty()
                || !spec.reserved.is_empty(),
            about_members: spec.members_max.is_some()
                || spec.member_pattern.is_some()
                || spec.member_characters_max.is_some(),
        })
    }

    /// The value as it is sent, `None` if there is nothing left of it.
    ///
    /// # Errors
    /// What is wrong with it, to be read after the field's name, without the value.
    pub(super) fn apply<'v>(&self, value: Value<'v>) -> Result<Option<Value<'v>>, String> {
        let value = match value.shape() {
            Shape::Text if self.about_texts => self.text(value)?,
            Shape::List | Shape::Object if self.about_members => self.members(value)?,
            Shape::Number => {
                self.check_number(&value)?;
                value
            }
            Shape::Null | Shape::Bool(_) | Shape::Text | Shape::List | Shape::Object => value,
        };
        match self.spec.hash {
            Some(_) => self.hashed(value),
            None => Ok(Some(value)),
        }
    }

    fn text<'v>(&self, value: Value<'v>) -> Result<Value<'v>, String> {
        let text = value.text().unwrap_or_default();
        let cut = match self.spec.characters_max {
            Some(most) => cut(&text, most, self.spec.too_long)
                .map_err(|()| format!("must have at most {most} characters"))?,
            None => None,
        };
        let kept = cut.as_deref().unwrap_or(&text);
        if !self.spec.choices.is_empty() && !self.spec.choices.iter().any(|choice| choice == kept) {
            return Err(format!("must be one of {}", self.spec.choices.join(", ")));
        }
        if let Some(reserved) = self.spec.reserved.iter().find(|reserved| is_reserved(kept, reserved)) {
            return Err(format!("must not be `{reserved}`, which is reserved"));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(kept)
        {
            let written = self.spec.pattern.as_deref().unwrap_or_default();
            return Err(format!("must match the pattern `{written}`"));
        }
        Ok(match cut {
            Some(cut) => Value::Text(Cow::Owned(cut)),
            None => value,
        })
    }

    fn check_number(&self, value: &Value<'_>) -> Result<(), String> {
        let limits = [
            (&self.minimum, Ordering::Less, "must be at least"),
            (&self.maximum, Ordering::Greater, "must be at most"),
        ];
        for (limit, beyond, says) in limits {
            let Some(limit) = limit else { continue };
            let digits = value.text().unwrap_or_default();
            if number::compare(&digits, limit) == Some(beyond) {
                return Err(format!("{says} {limit}"));
            }
        }
        Ok(())
    }

    fn members<'v>(&self, value: Value<'v>) -> Result<Value<'v>, String> {
        let too_many = |have: usize| match self.spec.members_max {
            Some(most) if have > most => Err(format!("must have at most {most} members")),
            Some(_) | None => Ok(()),
        };
        let raw = match value {
            Value::Raw(json) => Some(json),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        let mut is_cut = false;
        let opened = match value.opened() {
            Value::List(items) => {
                too_many(items.len())?;
                Value::List(items)
            }
            Value::Object(mut members) => {
                too_many(members.len())?;
                for (name, member) in &mut members {
                    is_cut |= self.member(name, member)?;
                }
                Value::Object(members)
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_)) => {
                other
            }
        };
        Ok(match raw {
            // As it stood.
            Some(json) if !is_cut => Value::Raw(json),
            Some(_) | None => opened,
        })
    }

    /// Checks a member of an object, and says whether it was cut.
    fn member(&self, name: &str, member: &mut Value<'_>) -> Result<bool, String> {
        if let Some(pattern) = &self.member_pattern
            && !pattern.is_match(name)
        {
            let written = self.spec.member_pattern.as_deref().unwrap_or_default();
            return Err(format!("has a member whose name does not match the pattern `{written}`"));
        }
        let Some(most) = self.spec.member_characters_max else { return Ok(false) };
        if member.shape() != Shape::Text {
            return Ok(false);
        }
        let text = member.text().unwrap_or_default();
        let cut = cut(&text, most, self.spec.too_long)
            .map_err(|()| format!("has a member with more than {most} characters"))?;
        let Some(cut) = cut else { return Ok(false) };
        *member = Value::Text(Cow::Owned(cut));
        Ok(true)
    }

    fn hashed<'v>(&self, value: Value<'v>) -> Result<Option<Value<'v>>, String> {
        let Some(hashing) = self.spec.hash else { return Ok(Some(value)) };
        let hash = |value: &Value<'_>| match value.text() {
            Some(text) => Ok(hashed(&text, hashing).map(|hash| Value::Text(Cow::Owned(hash)))),
            None => Err("must be a text, or a list of texts: it is hashed".to_owned()),
        };
        if value.shape() != Shape::List {
            return hash(&value);
        }
        let Value::List(items) = value.opened() else { return Ok(None) };
        let hashes: Result<Vec<Option<Value<'v>>>, String> = items.iter().map(hash).collect();
        Ok(Some(Value::List(hashes?.into_iter().flatten().collect())))
    }
}

/// The first characters of a text that has too many; `None` if it has not.
fn cut(text: &str, most: usize, too_long: TooLong) -> Result<Option<String>, ()> {
    // No text has more characters than bytes.
    if text.len() <= most {
        return Ok(None);
    }
    match (text.char_indices().nth(most), too_long) {
        (None, _) => Ok(None),
        (Some((end, _)), TooLong::Cut) => Ok(Some(text[..end].to_owned())),
        (Some(_), TooLong::Refuse) => Err(()),
    }
}

fn is_reserved(text: &str, reserved: &str) -> bool {
    match reserved.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => text == reserved,
    }
}
