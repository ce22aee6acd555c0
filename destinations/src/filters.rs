//! Filters: what is kept from a destination. Pure.
//!
//! They act in their order, each on what those before it left. One leaves events out, lets a share of them pass, or takes
//! members out; what it takes out is missing for everything after it, and every other byte of the event stays as it was.
//! A filter that can't be evaluated neither lets an event pass nor leaves it out: it is an error.

mod edit;
#[cfg(test)]
mod tests;

use crate::definition::SettingsError;
use crate::failure::Failure;
use crate::plan::{EventCondition, PROFILE, ProfileNames, Subject};
use edit::{Edit, Named};
use std::collections::BTreeSet;
use tributary_model::condition::{
    Comparison, Condition, FieldPath, Operand, Operator, Right, Scope, canonical, check_condition,
};
use tributary_model::json::Members;
use tributary_model::workspace::{DestinationFilter, FilterAction};

/// How many filters a destination may have.
pub(crate) const FILTERS_MAX: usize = 10;
/// How many members a filter may name.
const FIELDS_MAX: usize = 200;

/// A filter, ready to act.
pub(crate) struct CompiledFilter {
    name: String,
    condition: EventCondition,
    action: Action,
}

enum Action {
    Drop,
    Sample { percent: f64, path: FieldPath },
    Edit(Edit),
}

/// What a filter did with an event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Acted {
    /// Nothing.
    Passed,
    /// It is not to be sent.
    LeftOut,
    /// This is to be sent instead.
    Edited(String),
}

impl CompiledFilter {
    /// Makes a filter ready. `place` is where it stands in the configuration.
    ///
    /// # Errors
    /// What can't be used of it, and why.
    pub(crate) fn compile(
        place: &str,
        filter: &DestinationFilter,
        audiences: &BTreeSet<String>,
    ) -> Result<Self, SettingsError> {
        let condition_place = format!("{place}.condition");
        let mut condition = EventCondition::compile(&condition_place, &filter.condition)?;
        let action_place = format!("{place}.action");
        let action = match &filter.action {
            FilterAction::Drop => Action::Drop,
            FilterAction::Sample { percent, path } => {
                if !(0.0..=100.0).contains(percent) {
                    let place = format!("{action_place}.sample.percent");
                    return Err(SettingsError::new(place, "must be a number from 0 to 100"));
                }
                check_sample(path)
                    .map_err(|why| SettingsError::new(format!("{action_place}.sample.path"), why))?;
                condition.also_names(path);
                Action::Sample { percent: *percent, path: path.clone() }
            }
            FilterAction::DropProperties { fields } => {
                Action::Edit(Edit::Drop(named(&format!("{action_place}.drop_properties.fields"), fields)?))
            }
            FilterAction::AllowProperties { fields } => {
                Action::Edit(Edit::Allow(named(&format!("{action_place}.allow_properties.fields"), fields)?))
            }
        };
        condition.check_audiences(&condition_place, audiences)?;
        Ok(Self { name: filter.name.clone(), condition, action })
    }

    /// What it is called, for people.
    pub(crate) fn described(&self) -> String {
        format!("filter {:?}", self.name)
    }

    /// What it names of profiles.
    pub(crate) const fn names(&self) -> &ProfileNames {
        self.condition.names()
    }

    /// Acts on an activation whose event stands in `json`.
    ///
    /// # Errors
    /// If it can't be told whether it acts, as the activation does not carry what it names.
    pub(crate) fn act(&self, subject: &Subject<'_>, json: &str) -> Result<Acted, Failure> {
        if !self.condition.holds(subject, || self.described())? {
            return Ok(Acted::Passed);
        }
        Ok(match &self.action {
            Action::Drop => Acted::LeftOut,
            Action::Sample { percent, path } if share(subject, path) < *percent => Acted::Passed,
            Action::Sample { .. } => Acted::LeftOut,
            Action::Edit(edit) => edit.edited(json).map_or(Acted::Passed, Acted::Edited),
        })
    }
}

/// The members that a filter takes out or leaves in.
fn named(place: &str, fields: &[FieldPath]) -> Result<Named, SettingsError> {
    if fields.is_empty() {
        return Err(SettingsError::new(place, "is empty; name at least one, such as properties.total"));
    }
    if fields.len() > FIELDS_MAX {
        return Err(SettingsError::new(
            place,
            format!("names {} members; the limit is {FIELDS_MAX}", fields.len()),
        ));
    }
    for (at, field) in fields.iter().enumerate() {
        let refused = |message: String| SettingsError::new(format!("{place}[{at}]"), message);
        if field.head() == PROFILE {
            let message =
                "names the profile, which is no part of the event; leave it out of the mapping's fields";
            return Err(refused(message.to_owned()));
        }
        field.check_in_events().map_err(|why| refused(why.to_string()))?;
    }
    Ok(Named::of(fields))
}

/// Refuses a path that leads nowhere, in an event or in what stands of its profile beside it: the message id would decide in
/// its place, and nobody would see it.
fn check_sample(path: &FieldPath) -> Result<(), String> {
    if path.head() != PROFILE {
        return path.check_in_events().map_err(|why| why.to_string());
    }
    let left = Operand::Field(path.clone());
    let exists = Condition::Compare(Comparison { left, operator: Operator::Exists, right: Right::Nothing });
    check_condition(&exists, Scope::Event).map_err(|error| match error.hint {
        Some(hint) => format!("can't be used: {}; {hint}", error.message),
        None => format!("can't be used: {}", error.message),
    })
}

/// Where an event falls among 100, by the value at a path: the same for equal values, evenly spread over different ones.
fn share(subject: &Subject<'_>, path: &FieldPath) -> f64 {
    let value = if path.head() == PROFILE {
        member(subject.profile.get(), path.rest())
    } else {
        let head = subject.event.members().get(path.head());
        head.and_then(|value| member(value.get(), path.rest()))
    };
    let mut hasher = blake3::Hasher::new_derive_key("tributary 2026 samples of events v1");
    match value.filter(|json| *json != "null") {
        Some(json) => hasher.update(canonical(json).as_bytes()),
        None => hasher.update(subject.header.message_id.as_str().as_bytes()),
    };
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // 53 bits, as many as a float holds exactly.
    (u64::from_be_bytes(first) >> 11) as f64 / (1_u64 << 53) as f64 * 100.0
}

/// The JSON text at these names, one within the other.
fn member<'a>(json: &'a str, names: &[Box<str>]) -> Option<&'a str> {
    let Some((name, rest)) = names.split_first() else { return Some(json) };
    member(Members::parse(json).ok()?.get(name)?.get(), rest)
}
