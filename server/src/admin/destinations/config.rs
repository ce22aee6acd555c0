//! A destination of a workspace in the form that the engine takes.

use tributary_destinations::{DestinationConfig, RawSettings};
use tributary_model::workspace::Destination;
use tributary_model::{Position, Workspace};

/// What the engine is told of a destination with these settings, secrets unsealed: every event is behind where it begins,
/// and it may name every audience of the workspace.
pub fn config(workspace: &Workspace, destination: &Destination, settings: RawSettings) -> DestinationConfig {
    DestinationConfig {
        name: destination.name.clone(),
        enabled: destination.enabled,
        settings,
        mappings: destination.mappings.clone(),
        filters: destination.filters.clone(),
        consent: destination.consent.clone(),
        audiences: workspace.audiences.iter().map(|audience| audience.key.clone()).collect(),
        ..DestinationConfig::new(workspace.id, destination.id, &destination.definition, Position::at(0))
    }
}
