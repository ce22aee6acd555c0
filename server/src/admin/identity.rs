//! Bodies of the admin API about identity: rules, previews, rebuilds, alarms. The command line reads the same types.
//!
//! The rules themselves are the model's; [`RulesBody`] and what it holds only describe their JSON, and a test compares
//! the two.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tributary_model::identity_rules::{RulesError, WrittenRules};
use tributary_model::workspace::IdentityRules;
use utoipa::ToSchema;

use super::edit::invalid;
use super::error::ApiError;
use super::outside::PreviewOrder;
use super::request;
use crate::workspaces::Refusal;

/// How long a request waits for a preview or a rebuild before it is answered with 202, in seconds.
pub(super) const WAIT_SECONDS: u64 = 25;
/// The longest that a caller may ask to wait, in seconds.
const WAIT_SECONDS_MAX: u64 = 60;

/// Identity rules. What is shown has every member; of what is sent, `namespaces` and the name of each are required.
#[derive(Debug, ToSchema)]
#[schema(as = IdentityRules)]
pub struct RulesBody {
    /// The declared namespaces. Identifiers of any other are ignored.
    pub namespaces: Vec<NamespaceBody>,
    /// How many identifiers a profile may have; past that it gains no more. 1,000 where nothing is said.
    pub identifiers_max: Option<u32>,
    /// How many profiles may be merged into one. 100 where nothing is said.
    pub merges_max: Option<u32>,
    /// When an alarm is raised.
    pub alarms: Option<AlarmRulesBody>,
}

/// The rule of one namespace.
#[derive(Debug, ToSchema)]
#[schema(as = NamespaceRule)]
pub struct NamespaceBody {
    /// Its name.
    #[schema(example = "email")]
    pub name: String,
    /// Where its identifiers are read from: paths into an event, each a text or
    /// `{"path":…,"when":{"path":"value"}}`. Only a well-known namespace may leave it out.
    #[schema(value_type = Option<Vec<Object>>, example = json!(["traits.email", "context.traits.email"]))]
    pub from: Option<Vec<Value>>,
    /// The form in which identifiers are compared: `exact`, `email`, `phone`, or `{"phone":{"region":"DE"}}`.
    #[schema(value_type = Option<Object>, example = "email")]
    pub normalize: Option<Value>,
    /// 1 is the highest. No two namespaces share one.
    pub priority: Option<u32>,
    /// How many of its identifiers a profile may have.
    pub limit: Option<LimitBody>,
    /// Values that are no identifiers.
    pub blocked: Option<Vec<String>>,
    /// Regular expressions; what matches one is no identifier.
    #[schema(example = json!(["^[0-]*$"]))]
    pub blocked_patterns: Option<Vec<String>>,
    /// Whether what is commonly sent by mistake (`null`, `undefined`, `anonymous`, zeros …) is blocked too. Yes where
    /// nothing is said.
    pub block_suggested: Option<bool>,
    /// Whose an identifier is that several people show: `first_owner` or `last_sign_in`.
    #[schema(example = "first_owner")]
    pub shared_device: Option<String>,
}

/// How many identifiers of a namespace a profile may have.
#[derive(Debug, ToSchema)]
#[schema(as = IdentifierLimit)]
pub struct LimitBody {
    /// So many.
    pub count: u32,
    /// `ever`, or first linked within the last `day`, `week`, `month` or `year`.
    #[schema(example = "ever")]
    pub window: String,
}

/// When an alarm is raised.
#[derive(Debug, ToSchema)]
#[schema(as = AlarmRules)]
pub struct AlarmRulesBody {
    /// An identifier that joins so many profiles within a day.
    pub joins_per_day: Option<u32>,
    /// A profile that has so many percent of a cap.
    pub near_cap_percent: Option<u32>,
    /// Merges within an hour, below which there is no alarm.
    pub merges_per_hour_min: Option<u32>,
    /// An hour with so many times the merges of the hours before.
    pub merges_jump_factor: Option<u32>,
}

/// Checks what was written; `within` is where it stands in the body, empty for the body itself.
pub(super) fn checked(written: WrittenRules, within: &str) -> Result<IdentityRules, Refusal> {
    IdentityRules::check(written).map_err(|error| refused(&error, within))
}

fn refused(error: &RulesError, within: &str) -> Refusal {
    match within {
        "" => invalid(error.to_string()),
        _ => invalid(format!("`{within}.{}`: {}", error.place, error.message)),
    }
}

/// The change of rules in words for the history: whose rule is new, other or gone.
pub(super) fn words(before: &IdentityRules, after: &IdentityRules) -> String {
    let mut names: Vec<String> = after
        .namespaces
        .iter()
        .filter(|rule| before.rule(&rule.name) != Some(*rule))
        .chain(before.namespaces.iter().filter(|rule| after.rule(&rule.name).is_none()))
        .map(|rule| rule.name.to_string())
        .collect();
    if (before.identifiers_max, before.merges_max) != (after.identifiers_max, after.merges_max) {
        names.push("caps".to_owned());
    }
    if before.alarms != after.alarms {
        names.push("alarms".to_owned());
    }
    match names.is_empty() {
        true => "identity rules put into another order".to_owned(),
        false => format!("identity rules changed ({})", names.join(", ")),
    }
}

/// Rules to be tried.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewNew {
    /// The rules, as `PUT /admin/v1/identity-rules` takes them.
    #[schema(value_type = RulesBody)]
    pub rules: WrittenRules,
    /// Only events that arrived then or later; all that the log holds where nothing is said.
    #[schema(format = DateTime)]
    pub from: Option<String>,
    /// Only events that arrived before that.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// How many seconds to wait for the report: 25 where nothing is said, 60 at most.
    pub wait_seconds: Option<u64>,
}

impl PreviewNew {
    /// Reads a body: rules under `rules`, or a document of rules as it would be put.
    ///
    /// # Errors
    /// If it is neither, or the rules can't be read; the message says where.
    pub(super) fn of(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        if body.contains_key("namespaces") && !body.contains_key("rules") {
            let names = ["from", "until", "wait_seconds"];
            let own = names.into_iter().filter_map(|name| Some((name.to_owned(), body.remove(name)?)));
            let mut new: Map<String, Value> = own.collect();
            new.insert("rules".to_owned(), Value::Object(body));
            body = new;
        }
        serde_json::from_value(Value::Object(body))
            .map_err(|error| ApiError::invalid(format!("the body: {error}")))
    }

    /// How long to wait for the report.
    ///
    /// # Errors
    /// If that is too long.
    pub(super) fn wait_seconds(&self) -> Result<u64, ApiError> {
        wait_seconds(self.wait_seconds)
    }

    /// What is to be tried.
    ///
    /// # Errors
    /// If the rules can't work, or a time can't be read.
    pub(super) fn order(self) -> Result<PreviewOrder, ApiError> {
        let rules = checked(self.rules, "rules")?;
        let (from, until) = request::span(self.from, self.until)?;
        Ok(PreviewOrder { rules, from, until })
    }
}

/// How long to wait for a preview that was asked for so.
///
/// # Errors
/// If that is too long.
pub(super) fn wait_seconds(asked: Option<u64>) -> Result<u64, ApiError> {
    match asked.unwrap_or(WAIT_SECONDS) {
        seconds @ 0..=WAIT_SECONDS_MAX => Ok(seconds),
        other => Err(ApiError::invalid(format!("`wait_seconds` is {other}; give 0 to {WAIT_SECONDS_MAX}"))),
    }
}

/// A preview that goes on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewRunning {
    /// Its id.
    #[schema(example = "prv_1")]
    pub id: String,
    /// `running`.
    pub state: String,
    /// How many records of the log it has read.
    pub read: u64,
    /// How many there are to read.
    pub of: u64,
}

/// A preview that is done.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct PreviewDone {
    /// Its id.
    #[schema(example = "prv_1")]
    pub id: String,
    /// `done`.
    pub state: String,
    /// What it found.
    #[serde(flatten)]
    pub report: PreviewReport,
}

/// What changed rules would make of the log, beside what the rules in force make of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewReport {
    /// How many events were resolved, repeats left out.
    pub events: u64,
    /// Which events that were.
    pub window: PreviewWindow,
    /// How many profiles there are.
    pub profiles: BeforeAfter,
    /// How many identifiers are on them.
    pub identifiers: BeforeAfter,
    /// How many profiles hold identifiers that are on several profiles now.
    pub merges: u64,
    /// How many profiles of now have their identifiers on several profiles.
    pub splits: u64,
    /// How many events have no identifier.
    pub unidentified: BeforeAfter,
    /// The profiles with the most identifiers under the changed rules, ten at most.
    pub biggest_clusters: Vec<Cluster>,
    /// The identifiers that were seen with the most profiles under the changed rules, ten at most.
    pub busiest_identifiers: Vec<BusyIdentifier>,
    /// Some of what changes, ten at most.
    pub samples: Vec<Sample>,
}

/// When the events arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewWindow {
    /// Then or later; `null` for all.
    #[schema(format = DateTime)]
    pub from: Option<String>,
    /// Before that; `null` for all.
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// A number under the rules in force and under the changed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BeforeAfter {
    /// Under the rules in force.
    pub before: u64,
    /// Under the changed rules.
    pub after: u64,
}

/// A profile with many identifiers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cluster {
    /// The id that it has in the preview.
    pub profile_id: String,
    /// How many identifiers it has.
    pub size: u64,
    /// Some of them, as `namespace:value`.
    pub identifiers: Vec<String>,
}

/// An identifier that many profiles showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BusyIdentifier {
    /// As `namespace:value`.
    pub identifier: String,
    /// How many profiles showed it, taken or refused.
    pub profiles: u64,
}

/// Identifiers that are grouped differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Sample {
    /// `merged` or `split`.
    pub change: String,
    /// The profiles under the rules in force, each with its identifiers.
    pub before: Vec<Vec<String>>,
    /// The profiles under the changed rules.
    pub after: Vec<Vec<String>>,
}

/// What a rebuild made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rebuilt {
    /// How many profiles there were.
    pub profiles_before: u64,
    /// How many there are now.
    pub profiles_after: u64,
    /// How many of them hold identifiers that were on several.
    pub merges: u64,
    /// How many of those before have their identifiers on several now.
    pub splits: u64,
}

/// A rebuild that goes on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Rebuilding {
    /// `running`. The rebuild is in the log: it will come into force, also after a restart.
    pub state: String,
}

/// Something about identity that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AlarmRow {
    /// `identifier_joins_many`, `profile_near_cap`, `profile_at_cap` or `merges_jump`.
    pub kind: String,
    /// When it was raised, by the time of the log.
    #[schema(format = DateTime)]
    pub at: String,
    /// The profile that it is about.
    pub profile_id: Option<String>,
    /// The identifier that it is about, as `namespace:value`.
    pub identifier: Option<String>,
    /// How many were counted.
    pub count: u64,
    /// From how many on there is an alarm.
    pub threshold: u64,
}
