//! Conditions of filters and triggers: about an event, and about what its activation carries of the profile.

use super::profile::{ProfileNames, Subject};
use crate::definition::SettingsError;
use crate::failure::{Failure, Reason};
use std::collections::BTreeSet;
use tributary_model::condition::{Condition, FieldPath, Scope, check_condition};
use tributary_model::keeper::Filter;

/// A condition, ready to be evaluated.
pub(crate) struct EventCondition {
    filter: Filter,
    names: ProfileNames,
}

impl EventCondition {
    /// Makes it ready. `place` is where it stands in the configuration.
    ///
    /// # Errors
    /// If it makes no sense, and why.
    pub(crate) fn compile(place: &str, condition: &Condition) -> Result<Self, SettingsError> {
        check_condition(condition, Scope::Event)
            .map_err(|error| SettingsError::new(place, format!("can't be used: {error}")))?;
        let mut names = ProfileNames::default();
        condition.each_field(&mut |path| names.note_field(path));
        Ok(Self { filter: Filter::new(condition), names })
    }

    /// Has it look at a path, too, for the sake of what comes after it.
    pub(crate) fn also_names(&mut self, path: &FieldPath) {
        self.names.note_field(path);
    }

    /// That the workspace has the audiences that it names.
    ///
    /// # Errors
    /// The first one that it has not.
    pub(crate) fn check_audiences(&self, place: &str, known: &BTreeSet<String>) -> Result<(), SettingsError> {
        let Some(key) = self.names.unknown_audience(known) else { return Ok(()) };
        let message = format!(
            "names the audience `{key}`, which the workspace does not have; take it out, or create the audience"
        );
        Err(SettingsError::new(place, message))
    }

    /// What it names of profiles.
    pub(crate) const fn names(&self) -> &ProfileNames {
        &self.names
    }

    /// Whether it holds. `what` is what it belongs to, for people.
    ///
    /// # Errors
    /// If the activation does not carry what it names.
    pub(crate) fn holds(&self, subject: &Subject<'_>, what: impl Fn() -> String) -> Result<bool, Failure> {
        if let Some(name) = self.names.uncarried(subject.header) {
            let text = format!(
                "{} names {name}, which this activation does not carry: it is from before the destination named it; \
                 take that out and send it again, or leave it",
                what()
            );
            return Err(Failure::new(Reason::FilterNotEvaluable, text));
        }
        Ok(self.filter.holds(&subject.fields(&self.names)))
    }
}
