//! A JSON document read by hand, so that every refusal knows its place.

use super::RulesError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;

/// A value, and where it stands: `namespaces[2].limit` for instance, nothing for the whole document.
pub(super) struct At<'a> {
    pub(super) place: String,
    pub(super) value: &'a Value,
}

/// An object of which every member is known.
pub(super) struct Object<'a> {
    place: String,
    members: &'a Map<String, Value>,
}

impl<'a> At<'a> {
    /// The whole document.
    pub(super) fn top(value: &'a Value) -> Self {
        Self { place: String::new(), value }
    }

    /// The refusal of this value.
    pub(super) fn refuse(&self, message: &str) -> RulesError {
        let place = if self.place.is_empty() { "rules" } else { &self.place };
        RulesError { place: place.to_owned(), message: message.to_owned() }
    }

    /// The refusal of a member, there or missing.
    pub(super) fn refuse_member(&self, name: &str, message: &str) -> RulesError {
        RulesError { place: join(&self.place, name), message: message.to_owned() }
    }

    /// The object that stands here.
    pub(super) fn object(&self, names: &[&str]) -> Result<Object<'a>, RulesError> {
        let Value::Object(members) = self.value else {
            return Err(self.refuse(&format!("is no object; write one of {}", listed(names))));
        };
        match members.keys().find(|name| !names.contains(&name.as_str())) {
            Some(unknown) => {
                let say = format!("is not known here; there are {}", listed(names));
                Err(self.refuse_member(unknown, &say))
            }
            None => Ok(Object { place: self.place.clone(), members }),
        }
    }

    /// The elements of the list that stands here.
    pub(super) fn list(&self, max: usize, of: &str) -> Result<Vec<At<'a>>, RulesError> {
        let Value::Array(list) = self.value else {
            return Err(self.refuse(&format!("is no list; write a list of {of}")));
        };
        if list.len() > max {
            return Err(self.refuse(&format!("has {} {of}; the limit is {max}: leave some out", list.len())));
        }
        let at = |(index, value)| At { place: format!("{}[{index}]", self.place), value };
        Ok(list.iter().enumerate().map(at).collect())
    }

    /// The whole number that stands here.
    pub(super) fn whole(&self, range: RangeInclusive<u32>) -> Result<u32, RulesError> {
        let number = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.filter(|number| range.contains(number)).ok_or_else(|| {
            let shown = match self.value {
                Value::Number(number) => format!("is {number}"),
                Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => {
                    "is no number".to_owned()
                }
            };
            self.refuse(&format!("{shown}; give a whole number from {} to {}", range.start(), range.end()))
        })
    }

    /// The text that stands here.
    pub(super) fn text(&self) -> Result<&'a str, RulesError> {
        self.value.as_str().ok_or_else(|| self.refuse("is no text; put it in quotes"))
    }

    /// The flag that stands here.
    pub(super) fn flag(&self) -> Result<bool, RulesError> {
        self.value.as_bool().ok_or_else(|| self.refuse("is no flag; give true or false"))
    }

    /// The one of these whose name stands here.
    pub(super) fn one_of<T: Copy>(&self, all: &[T], name: fn(T) -> &'static str) -> Result<T, RulesError> {
        let found = self.value.as_str().and_then(|text| all.iter().find(|one| name(**one) == text));
        found.copied().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
            self.refuse(&format!("is not known; give one of {}", listed(&names)))
        })
    }
}

impl<'a> Object<'a> {
    /// A member; none if it is missing or null.
    pub(super) fn get(&self, name: &str) -> Option<At<'a>> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        Some(At { place: join(&self.place, name), value })
    }

    /// A member that is a whole number; another where it is missing.
    pub(super) fn whole(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
        missing: u32,
    ) -> Result<u32, RulesError> {
        self.get(name).map_or(Ok(missing), |at| at.whole(range))
    }
}

fn join(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
