//! The settings that a definition takes, and whether given values are good.

use serde::Deserialize;
use std::collections::BTreeMap;

/// The values of settings by name, as an admin gave them; secrets unsealed. Never logged.
pub type RawSettings = BTreeMap<String, serde_json::Value>;

/// One setting of a definition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingSpec {
    /// Its name in configurations.
    pub name: String,
    /// A name for people.
    pub title: String,
    /// What values it takes.
    pub kind: SettingKind,
    /// Whether it must be given.
    #[serde(default)]
    pub required: bool,
    /// Whether its value is sealed at rest and never shown again.
    #[serde(default)]
    pub secret: bool,
    /// Whether it says where requests go: secrets that were given for another place are not sent there.
    #[serde(default)]
    pub leads: bool,
    /// What it is for, fit for a form.
    pub help: String,
    /// What counts where nothing is given.
    #[serde(default)]
    pub default: Option<serde_json::Value>,
    /// The texts that it takes, of a choice.
    #[serde(default)]
    pub choices: Vec<String>,
    /// A regular expression that matches the whole of a good text.
    #[serde(default)]
    pub pattern: Option<String>,
    /// What is wrong with a text that does not match, to be read after the name: `must be G- and letters or digits`.
    #[serde(default)]
    pub expected: Option<String>,
    /// The smallest count.
    #[serde(default)]
    pub minimum: Option<u64>,
    /// The largest count.
    #[serde(default)]
    pub maximum: Option<u64>,
    /// Other settings that have to be given where this one is.
    #[serde(default)]
    pub needs: Vec<String>,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// An absolute `http` or `https` URL.
    Url,
    /// Any text that is not empty.
    Text,
    /// A text with templates in it, such as `{{properties.total}}`.
    Template,
    /// One of some texts.
    Choice,
    /// True or false.
    Switch,
    /// A whole number from 1 on.
    Count,
    /// An object of texts: headers of requests by name.
    Headers,
    /// What of its workspace's activations a destination is sent: a list out of `events`, `profile_changes`,
    /// `audience_changes` and `audience_traits`. Without it a destination is sent all. A definition has at most one
    /// such setting.
    Activations,
}

/// A setting that can't be used. The message is fit for the admin and never holds the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("setting {field} {message}")]
pub struct SettingsError {
    /// The name of the setting.
    pub field: String,
    /// What is wrong with it, to be read after its name.
    pub message: String,
}

impl SettingsError {
    /// An error of that setting.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}
