//! What a destination is made of: a definition in the catalog, configured with settings.
//!
//! A definition is data first (its folder under `catalog/`): the settings it takes, from which forms, checks
//! and documentation derive. Where code is needed it is pure: it turns a delivery into a request and a response
//! into verdicts. The worker owns network, clock, retries and limits, so no definition can get those wrong.

use crate::selection::Selection;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use tributary_model::{Activation, Timestamp};
use url::Url;

/// The values of settings by name, as an admin gave them; secrets unsealed. Never logged.
pub type RawSettings = BTreeMap<String, serde_json::Value>;

/// The data of a definition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// The name by which configurations refer to it: the name of its folder in the catalog.
    pub name: String,
    /// A name for people.
    pub title: String,
    /// What it does, in a sentence or two.
    pub help: String,
    /// The settings it takes, in the order in which a form shows them.
    pub settings: Vec<SettingSpec>,
}

/// One setting of a definition.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingSpec {
    /// Its name in configurations.
    pub name: String,
    /// What values it takes.
    pub kind: SettingKind,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is sealed at rest and never shown again.
    pub secret: bool,
    /// What it is for, fit for a form.
    pub help: String,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingKind {
    /// An absolute `http` or `https` URL.
    Url,
    /// Any text.
    Text,
    /// A whole number from 1 on.
    Count,
    /// What of its workspace's activations a destination is sent: a list out of `events` (the events themselves) and
    /// `profile_changes` (that profiles were merged or split). Without it a destination is sent all. The engine
    /// sees to it. A definition has at most one such setting.
    Activations,
}

impl Spec {
    /// Reads the data of a definition that is part of the program.
    ///
    /// # Panics
    /// If it is not in the form of a [`Spec`]: the tests read every definition of the catalog.
    pub(crate) fn from_catalog(json: &str) -> Self {
        serde_json::from_str(json).expect("the catalog holds well-formed definitions only")
    }

    /// The setting of that name.
    pub fn setting(&self, name: &str) -> Option<&SettingSpec> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// Checks what can be checked without the definition's code: that every setting is known, every required
    /// one is there, and each is of its kind. A null counts as not given.
    ///
    /// # Errors
    /// The first setting that is wrong, and why; the message never holds a value.
    pub fn check(&self, settings: &RawSettings) -> Result<(), SettingsError> {
        for name in settings.keys() {
            if self.setting(name).is_none() {
                let known: Vec<_> = self.settings.iter().map(|setting| setting.name.as_str()).collect();
                return Err(SettingsError::new(
                    name,
                    format!("is not a setting of {}; it takes {}", self.name, known.join(", ")),
                ));
            }
        }
        for setting in &self.settings {
            let name = &setting.name;
            let is_given = match setting.kind {
                SettingKind::Url => match text(settings, name)? {
                    Some(value) => url(name, value).map(|_| true)?,
                    None => false,
                },
                SettingKind::Text => text(settings, name)?.is_some(),
                SettingKind::Count => count(settings, name)?.is_some(),
                SettingKind::Activations => Selection::read(settings, name)?.is_some(),
            };
            if setting.required && !is_given {
                return Err(SettingsError::new(name, "is required"));
            }
        }
        Ok(())
    }
}

/// A setting that is a number of things; `None` if it is missing or null.
pub(crate) fn count(settings: &RawSettings, name: &str) -> Result<Option<u64>, SettingsError> {
    match settings.get(name) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) if number > 0 => Ok(Some(number)),
            Some(_) | None => Err(SettingsError::new(name, "must be a whole number from 1 on")),
        },
    }
}

/// A setting that is text; `None` if it is missing or null.
pub(crate) fn text<'a>(settings: &'a RawSettings, name: &str) -> Result<Option<&'a str>, SettingsError> {
    match settings.get(name) {
        None => Ok(None),
        Some(value) if value.is_null() => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| SettingsError::new(name, "must be text")),
    }
}

/// Reads an absolute `http` or `https` URL.
pub(crate) fn url(name: &str, value: &str) -> Result<Url, SettingsError> {
    let expected = "must be an absolute URL with http or https, such as https://example.com/hook";
    let url = Url::parse(value).map_err(|_| SettingsError::new(name, expected))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(SettingsError::new(name, expected));
    }
    Ok(url)
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

/// One activation for one destination.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Its id: the same on every attempt, after every restart and in every replay.
    pub id: &'a str,
    /// What is delivered.
    pub activation: &'a Activation,
}

/// What one delivery contributes to a request.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// The delivery's id.
    pub id: String,
    /// The encoded bytes.
    pub body: Bytes,
}

/// A delivery that this destination can never take, and why. The text holds no personal data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection(pub String);

/// What goes over the network. Always a POST.
#[derive(Clone, PartialEq, Eq)]
pub struct OutboundRequest {
    /// Where to.
    pub url: Url,
    /// Names in lower case, each once.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

/// Shows the host only: paths, queries and bodies hold credentials and personal data.
impl fmt::Debug for OutboundRequest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = self.url.host_str().unwrap_or_default();
        write!(out, "OutboundRequest({host}, {} bytes)", self.body.len())
    }
}

/// What came back.
#[derive(Clone, PartialEq, Eq)]
pub struct InboundResponse {
    /// The HTTP status.
    pub status: u16,
    /// What `Retry-After` asks for, a date already turned into a span from now.
    pub retry_after: Option<Duration>,
    /// The beginning of the body, as much as the limits let be read.
    pub body: Bytes,
}

impl fmt::Debug for InboundResponse {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "InboundResponse({}, {} bytes)", self.status, self.body.len())
    }
}

/// What a response means for one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It was not taken, but may be later.
    Retry {
        /// The span for which the receiver asked not to be tried again.
        after: Option<Duration>,
    },
    /// It will never be taken.
    Rejected(Rejection),
}

/// A kind of destination: an entry of the catalog.
pub trait Definition: Sync {
    /// Its data: the form, the checks and the documentation derive from it.
    fn spec(&self) -> &'static Spec;

    /// Makes a destination out of settings.
    ///
    /// # Errors
    /// The first setting that can't be used; the message says what is expected and never holds a value.
    fn configure(&self, settings: &RawSettings) -> Result<Box<dyn Destination>, SettingsError>;
}

/// A configured destination: pure functions over values.
pub trait Destination: Send + Sync {
    /// Encodes a delivery.
    ///
    /// # Errors
    /// Why it can never be sent.
    fn encode(&self, delivery: &Delivery<'_>) -> Result<Payload, Rejection>;

    /// How many payloads one request may carry.
    fn batch_events_max(&self) -> usize;

    /// The request that carries these payloads, made for an attempt at that time. The worker never hands over
    /// an empty batch.
    fn request(&self, batch: &[Payload], at: Timestamp) -> OutboundRequest;

    /// What the response means: one verdict for each payload, in their order.
    fn verdicts(&self, response: &InboundResponse, batch_len: usize) -> Vec<Verdict>;
}
