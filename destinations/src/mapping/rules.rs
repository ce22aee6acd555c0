//! What a definition says of a field's values besides their type.

use super::hashing::hashed;
use super::names::{begins, cleaned, is_named};
use super::number;
use super::read::{DEPTH_MAX, Shape, Wins, unique};
use super::value::Value;
use crate::definition::{FieldSpec, MemberNames, TooLong};
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;
use tributary_model::pattern;

/// The members of an object.
type Members<'v> = Vec<(Cow<'v, str>, Value<'v>)>;

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
            about_texts: spec.clean
                || spec.characters_max.is_some()
                || spec.pattern.is_some()
                || !spec.choices.is_empty()
                || !spec.reserved.is_empty(),
            about_members: spec.members_max.is_some()
                || spec.member_names != MemberNames::Keep
                || spec.member_pattern.is_some()
                || !spec.members_left_out.is_empty()
                || !spec.members_reserved.is_empty()
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
        let clean = if self.spec.clean { cleaned(&text, None) } else { None };
        let cut = match self.spec.characters_max {
            Some(most) => cut(clean.as_deref().unwrap_or(&text), most, self.spec.too_long)
                .map_err(|()| format!("must have at most {most} characters"))?,
            None => None,
        };
        let changed = cut.or(clean);
        let kept = changed.as_deref().unwrap_or(&text);
        if !self.spec.choices.is_empty() && !self.spec.choices.iter().any(|choice| choice == kept) {
            return Err(format!("must be one of {}", self.spec.choices.join(", ")));
        }
        if let Some(reserved) = self.spec.reserved.iter().find(|reserved| begins(kept, reserved)) {
            return Err(format!("must not be `{reserved}`, which is reserved"));
        }
        if let Some(pattern) = &self.pattern
            && !pattern.is_match(kept)
        {
            let written = self.spec.pattern.as_deref().unwrap_or_default();
            return Err(format!("must match the pattern `{written}`"));
        }
        Ok(match changed {
            Some(changed) => Value::Text(Cow::Owned(changed)),
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
        let raw = match value {
            Value::Raw(json) => Some(json),
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::Text(_)
            | Value::List(_)
            | Value::Object(_) => None,
        };
        let mut is_changed = false;
        let opened = match value.opened() {
            Value::List(mut items) => {
                is_changed |= self.limit(&mut items)?;
                Value::List(items)
            }
            Value::Object(members) => {
                let (mut members, changed) = self.fitting(members)?;
                is_changed |= changed | self.limit(&mut members)?;
                Value::Object(members)
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_)) => {
                other
            }
        };
        Ok(match raw {
            // As it stood.
            Some(json) if !is_changed => Value::Raw(json),
            Some(_) | None => opened,
        })
    }

    /// Leaves out members that are too many, and says whether there were such.
    fn limit<M>(&self, members: &mut Vec<M>) -> Result<bool, String> {
        match (self.spec.members_max, self.spec.too_long) {
            (Some(most), TooLong::Refuse) if members.len() > most => {
                Err(format!("must have at most {most} members"))
            }
            (Some(most), TooLong::Cut) if members.len() > most => {
                members.truncate(most);
                Ok(true)
            }
            (Some(_) | None, TooLong::Refuse | TooLong::Cut) => Ok(false),
        }
    }

    /// The members that may be sent, as they are sent, and whether that is anything else than what they were.
    fn fitting<'v>(&self, members: Members<'v>) -> Result<(Members<'v>, bool), String> {
        let is_cleaned = self.spec.member_names == MemberNames::Clean;
        let mut fitting = Vec::with_capacity(members.len());
        let mut is_changed = false;
        for (name, mut member) in members {
            let clean = if is_cleaned { cleaned(&name, self.spec.member_name_characters_max) } else { None };
            if !self.may_be_sent(&name, clean.as_deref().unwrap_or(&name))? {
                is_changed = true;
                continue;
            }
            is_changed |= clean.is_some();
            is_changed |= self.prune(&mut member, DEPTH_MAX)?;
            is_changed |= self.cut_member(&mut member)?;
            fitting.push((clean.map_or(name, Cow::Owned), member));
        }
        Ok((if is_cleaned { unique(fitting, Wins::First) } else { fitting }, is_changed))
    }

    /// Whether a member goes out, by the name that it has and the one that it would go out with.
    fn may_be_sent(&self, name: &str, sent: &str) -> Result<bool, String> {
        let is_reserved = |reserved: &String| begins(name, reserved) || begins(sent, reserved);
        if is_named(name, &self.spec.members_left_out) || self.spec.members_reserved.iter().any(is_reserved) {
            return Ok(false);
        }
        match &self.member_pattern {
            Some(pattern) if !pattern.is_match(sent) => match self.spec.member_names {
                MemberNames::Clean => Ok(false),
                MemberNames::Keep => {
                    let written = self.spec.member_pattern.as_deref().unwrap_or_default();
                    Err(format!("has a member whose name does not match the pattern `{written}`"))
                }
            },
            Some(_) | None => Ok(true),
        }
    }

    /// Takes out of a member what is left out wherever it lies, and says whether there was such.
    fn prune(&self, member: &mut Value<'_>, levels: usize) -> Result<bool, String> {
        let is_scalar = !matches!(member.shape(), Shape::List | Shape::Object);
        if is_scalar || self.spec.members_left_out.is_empty() {
            return Ok(false);
        }
        let Some(below) = levels.checked_sub(1) else {
            return Err(format!("has a member with more than {DEPTH_MAX} levels"));
        };
        let mut is_pruned = false;
        let pruned = match member.clone().opened() {
            Value::List(mut items) => {
                for item in &mut items {
                    is_pruned |= self.prune(item, below)?;
                }
                Value::List(items)
            }
            Value::Object(mut members) => {
                let had = members.len();
                members.retain(|(name, _)| !is_named(name, &self.spec.members_left_out));
                is_pruned = members.len() < had;
                for (_, inner) in &mut members {
                    is_pruned |= self.prune(inner, below)?;
                }
                Value::Object(members)
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Raw(_)) => {
                other
            }
        };
        // What nothing was taken out of stays as it stood.
        if is_pruned {
            *member = pruned;
        }
        Ok(is_pruned)
    }

    /// Cuts a member that is too long a text, and says whether it was.
    fn cut_member(&self, member: &mut Value<'_>) -> Result<bool, String> {
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
pub(super) fn cut(text: &str, most: usize, too_long: TooLong) -> Result<Option<String>, ()> {
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
