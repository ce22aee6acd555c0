//! What a workspace's destinations name of profiles. Destinations can't look at profiles, so activations carry that.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use tributary_model::Workspace;

/// What the destinations of a workspace name of profiles, all of them together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Needs {
    /// Traits and computed traits, by name.
    pub traits: BTreeSet<Box<str>>,
    /// Audiences, by key.
    pub audiences: BTreeSet<Box<str>>,
    /// Categories of consent.
    pub categories: BTreeSet<Box<str>>,
}

impl Needs {
    /// What those of this version name; of those that are switched off as well, as what happens meanwhile waits for them.
    pub fn of(workspace: &Workspace) -> Self {
        let mut needs = Self::default();
        for destination in &workspace.destinations {
            needs.traits.extend(destination.needs.traits.iter().map(|name| name.as_str().into()));
            needs.audiences.extend(destination.needs.audiences.iter().map(|key| key.as_str().into()));
            needs.categories.extend(destination.consent.categories.iter().map(|name| name.as_str().into()));
        }
        needs
    }

    /// Whether there is nothing that activations carry.
    pub fn is_empty(&self) -> bool {
        self.traits.is_empty() && self.audiences.is_empty() && self.categories.is_empty()
    }
}
