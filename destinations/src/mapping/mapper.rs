//! An action's mapping by itself, outside of the engine: what benches measure.

use super::{CompiledAction, Root};
use crate::definition::{RawSettings, SettingsError, Spec};
use crate::failure::Failure;
use std::collections::BTreeMap;

/// A mapping for one action of a definition.
pub struct Mapper(CompiledAction);

impl Mapper {
    /// The action of that name, its fields filled as the directives say, and as the action says where they say nothing.
    ///
    /// # Errors
    /// What is wrong with the name or the directives.
    pub fn new(
        spec: &'static Spec,
        action: &str,
        fields: &BTreeMap<String, serde_json::Value>,
        settings: &RawSettings,
    ) -> Result<Self, SettingsError> {
        let Some(action) = spec.action(action) else {
            return Err(SettingsError::new("action", format!("is none of {}", spec.name)));
        };
        let compiled = CompiledAction::compile(spec, action, fields, settings);
        compiled
            .map(Self)
            .map_err(|error| SettingsError::new(format!("fields.{}", error.place), error.message))
    }

    /// The payload for an event.
    ///
    /// # Errors
    /// Why there can be none.
    pub fn map(&self, event: &str) -> Result<Vec<u8>, Failure> {
        self.0.payload(&Root::new(event))
    }
}
