//! What is the same for every event and can never be sent: it is refused before it is saved.

use super::{CompiledAction, Field};
use crate::definition::SettingsError;
use crate::mapping::EvaluateError;
use crate::mapping::entries::Misfit;

impl CompiledAction {
    /// That what is the same for every event can be sent. `place` is where the mapping stands.
    ///
    /// # Errors
    /// The first field with a value that the action never takes, or of which nothing is ever left though something is
    /// needed; or the setting that such a value comes from.
    pub(crate) fn check_constants(&self, place: &str) -> Result<(), SettingsError> {
        let mut may_be_filled = Vec::with_capacity(self.fields.len());
        for field in &self.fields {
            let may_be = field.may_be_filled().map_err(|misfit| field.unusable(place, &misfit))?;
            if field.is_required && !may_be {
                let what = "is required, and this leaves nothing in it: say how it is filled";
                return Err(field.unusable(place, &Misfit::invalid(what)));
            }
            may_be_filled.push(may_be);
        }
        match self.any_of.iter().find(|group| !group.iter().any(|at| may_be_filled[*at])) {
            Some(group) => Err(self.all_empty(group, place)),
            None => Ok(()),
        }
    }

    /// What is wrong with a group of fields that nothing is ever in.
    fn all_empty(&self, group: &[usize], place: &str) -> SettingsError {
        let fields: Vec<&Field> = group.iter().map(|at| &self.fields[*at]).collect();
        let names: Vec<&str> = fields.iter().map(|field| field.spec.name.as_str()).collect();
        let what = format!(
            "has nothing in it for any event, and {} needs at least one of {}: say how one of them is filled",
            self.action.name,
            names.join(", ")
        );
        // Rather one that something was said of than one that nobody wrote.
        match fields.iter().find(|field| field.directive.is_some()).or_else(|| fields.first()) {
            Some(field) => field.unusable(place, &Misfit::invalid(what)),
            None => SettingsError::new(place, what),
        }
    }
}

impl Field {
    /// Whether there are events that may fill it: as far as that can be told without one.
    fn may_be_filled(&self) -> Result<bool, Misfit> {
        let Some(directive) = &self.directive else { return Ok(false) };
        let Some(constant) = directive.constant() else { return Ok(true) };
        let constant = constant.map_err(|EvaluateError(what)| Misfit::invalid(what))?;
        let value = match constant {
            Some(value) if !value.is_null() => self.fitted(value)?,
            Some(_) | None => None,
        };
        Ok(Self::is_filled(value.as_ref()))
    }

    fn unusable(&self, place: &str, misfit: &Misfit) -> SettingsError {
        let at = match self.setting {
            Some(setting) => setting.to_owned(),
            None => format!("{place}.fields.{}", self.spec.name),
        };
        SettingsError::new(format!("{at}{}", misfit.place), &*misfit.what)
    }
}
