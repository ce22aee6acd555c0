//! Whether a destination could be run as it is configured: what is looked at before a configuration is saved.

use crate::config::{DestinationConfig, Limits};
use crate::configured::Configured;
use crate::connect::{Addresses, Outbound};
use crate::definition::SettingsError;
use std::sync::Arc;
use tributary_model::workspace::DestinationNeeds;

/// Checks a configuration as far as that is possible without connecting to anything, and tells what activations have to
/// carry for it.
///
/// # Errors
/// The first part of it that can't be used, where it stands, and what to do about it.
pub fn check(config: &DestinationConfig) -> Result<DestinationNeeds, SettingsError> {
    let limits = Limits::default();
    // Nothing is sent by it; which addresses are allowed is looked at when something is.
    let outbound = Outbound::new(Addresses::Any, limits.connect_timeout)
        .map_err(|why| SettingsError::new("definition", format!("can't be used on this machine: {why}")))?;
    let configured = Configured::new(config, &limits, &Arc::new(outbound))?;
    Ok(configured.plan.needs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::{DestinationId, Position, WorkspaceId};

    #[test]
    fn a_definition_has_to_be_in_the_catalog_and_its_settings_good() {
        let config = |definition: &str| {
            DestinationConfig::new(WorkspaceId(1), DestinationId(1), definition, Position::at(0))
        };
        assert_eq!(check(&config("no-such")).expect_err("it is in no catalog").field, "definition");
        let mut webhook = config("webhook");
        assert_eq!(check(&webhook).expect_err("there is no URL").field, "url");
        webhook.settings.insert("url".to_owned(), "https://example.com/hook".into());
        assert_eq!(check(&webhook), Ok(DestinationNeeds::default()));
    }
}
