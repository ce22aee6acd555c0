//! What a definition of the catalog says: its data, as `catalog/<name>/definition.json` holds it.
//!
//! A definition is data. The settings it takes, what it does with which activations (its actions), how a request is
//! made and an answer read, how many deliveries share a request, the vendor's limits: forms, checks, requests and
//! documentation derive from that. What can't be described is a [`TransportSpec`] of its own: a database, files.

mod action;
mod http;
mod response;
mod setting;

pub use action::{
    ActionSpec, EachSpec, Escaping, FieldKind, FieldSpec, Hashing, MemberKind, MemberNames, MemberSpec,
    Required, Taken, TooLong, Unfit,
};
pub use http::{AuthenticationSpec, HttpSpec, OauthGrant, RequestSpec};
pub use response::{BodyTest, ItemsSpec, ResponseRule, ResponseSpec, RuleVerdict, Statuses};
pub use setting::{RawSettings, SettingKind, SettingSpec, SettingsError};

use serde::Deserialize;

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
    /// Where the vendor documents what this follows: absolute URLs.
    #[serde(default)]
    pub documentation: Vec<String>,
    /// The settings it takes, in the order in which a form shows them.
    pub settings: Vec<SettingSpec>,
    /// Groups of settings of which exactly one has to be given.
    #[serde(default)]
    pub one_of: Vec<Vec<String>>,
    /// How deliveries reach it.
    pub transport: TransportSpec,
    /// What it can do with an activation. In writing a list, or `{"shared": [fields], "each": [actions]}`, where each action
    /// has the shared fields behind its own.
    #[serde(deserialize_with = "action::actions")]
    pub actions: Vec<ActionSpec>,
    /// How deliveries share requests.
    #[serde(default)]
    pub batch: BatchSpec,
    /// Which deliveries have to arrive in the order of their events.
    #[serde(default)]
    pub order: OrderSpec,
    /// The vendor's limits.
    #[serde(default)]
    pub limits: LimitsSpec,
}

/// How deliveries reach a destination.
#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TransportSpec {
    /// Requests over HTTP.
    Http(Box<HttpSpec>),
    /// Rows in a PostgreSQL database. Payloads are `{"table": …, "key": [columns], "newest_by": column?, "row": {…},
    /// "spread": {name: {…}}?}`.
    Postgresql,
    /// Files in storage that speaks the protocol of Amazon S3. Payloads are the lines of the files.
    ObjectStorage,
}

/// How deliveries share requests.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BatchSpec {
    /// How many payloads a request may carry.
    pub events: usize,
    /// About how many bytes of payloads a request may carry.
    pub bytes: usize,
    /// How long deliveries wait for others to share a request with, in milliseconds.
    pub delay_ms: u64,
    /// The setting (a count) that says `events`, where it is given.
    pub events_setting: Option<String>,
    /// The setting (a count of seconds) that says the delay, where it is given.
    pub delay_seconds_setting: Option<String>,
    /// Which deliveries may share one.
    pub among: BatchAmong,
    /// Members of payloads: only payloads with equal values of them share a request.
    pub equal: Vec<String>,
}

impl Default for BatchSpec {
    /// Each delivery goes by itself.
    fn default() -> Self {
        Self {
            events: 1,
            bytes: 1 << 20,
            delay_ms: 20,
            events_setting: None,
            delay_seconds_setting: None,
            among: BatchAmong::All,
            equal: Vec::new(),
        }
    }
}

/// Which deliveries may share a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchAmong {
    /// Any.
    #[default]
    All,
    /// Those of one profile.
    Profile,
}

/// Which deliveries have to arrive in the order of their events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderSpec {
    /// Those of one profile: while one waits to be tried again, the later ones of its profile wait behind it.
    #[default]
    Profile,
    /// None.
    None,
}

/// A vendor's limits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSpec {
    /// Requests a second; `None` where the vendor names no such limit.
    pub requests_per_second: Option<f64>,
    /// The setting (a count) that says so instead, where it is given.
    pub requests_per_second_setting: Option<String>,
    /// Requests under way at once.
    pub concurrency: Option<usize>,
    /// How long a request may take, in milliseconds; `None` for the server's own setting.
    pub timeout_ms: Option<u64>,
    /// How many bytes a payload may have; `None` for what the engine takes.
    pub payload_bytes: Option<usize>,
    /// How old events may be; `None` where they may be of any age.
    pub event_age: Option<EventAgeSpec>,
    /// What the vendor documents, in words, for people.
    pub documented: Vec<String>,
}

/// How old events may be when they are sent. Older ones are refused: the vendor throws them away, or counts them at
/// another time, and does not say so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventAgeSpec {
    /// The greatest age, in hours.
    pub hours: u32,
    /// The field that says when an event happened: one of every action, of the kind `datetime` or `unix_micros`. An event
    /// is of now where it is empty.
    pub field: String,
}

impl Spec {
    /// The setting of that name.
    pub fn setting(&self, name: &str) -> Option<&SettingSpec> {
        self.settings.iter().find(|setting| setting.name == name)
    }

    /// The action of that name.
    pub fn action(&self, name: &str) -> Option<&ActionSpec> {
        self.actions.iter().find(|action| action.name == name)
    }
}
