//! How events are resolved to profiles: which identifiers they carry, and what a profile may have of them.
//!
//! [`WrittenRules`] are what an admin sends, [`IdentityRules`] what is left once they were checked and every
//! default was put in, [`IdentifierReader`] the same compiled for reading events. Rules can't be had unchecked
//! from outside: reading them from JSON checks them.

mod at;
mod blocked;
mod path;
mod phone;
mod reader;
mod values;
mod written;

pub use path::SourcePath;
pub(crate) use phone::e164;
pub use reader::{
    BLOCKED_PER_EVENT_MAX, EventIdentifiers, IDENTIFIERS_PER_EVENT_MAX, IdentifierReader, PreviousId,
};
pub use written::{RulesError, WrittenRules};

use crate::identifier::{Identifier, Namespace, NotAnIdentifier};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Checked rules, with every default put in. Its JSON form is what a workspace version holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenRules")]
pub struct IdentityRules {
    /// The declared namespaces. Identifiers of any other are ignored.
    pub namespaces: Vec<NamespaceRule>,
    /// How many identifiers a profile may have in all.
    pub identifiers_max: u32,
    /// How many profiles may have been merged into one.
    pub merges_max: u32,
    /// When an alarm is raised.
    pub alarms: AlarmRules,
}

/// When an alarm is raised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct AlarmRules {
    /// An identifier joins so many profiles within a day.
    pub joins_per_day: u32,
    /// A profile has so many percent of what a cap allows.
    pub near_cap_percent: u32,
    /// So many merges within an hour are never a jump.
    pub merges_per_hour_min: u32,
    /// So many times the merges of the hours before are a jump.
    pub merges_jump_factor: u32,
}

/// The rule of one namespace. Its `Debug` hides what is blocked: that may be personal.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct NamespaceRule {
    /// Its name.
    pub name: Namespace,
    /// Where its identifiers are read from.
    pub from: Vec<SourcePath>,
    /// The form in which its values are compared.
    pub normalize: Normalization,
    /// 1 is the highest.
    pub priority: u32,
    /// How many identifiers of it a profile may have.
    pub limit: Limit,
    /// Values that are no identifiers.
    pub blocked: Vec<String>,
    /// Regular expressions; a value in which one is found is no identifier.
    pub blocked_patterns: Vec<String>,
    /// Whether the values that are never somebody's (`null`, `undefined`, zeros and the like) are blocked.
    pub block_suggested: bool,
    /// Whose an identifier is that several people show.
    pub shared_device: SharedDevice,
}

/// How many identifiers of a namespace a profile may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// So many, at least 1.
    pub count: u32,
    /// Of those linked within this time.
    pub window: Window,
}

/// Over which time a limit counts, by log time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// All that a profile has.
    Ever,
    /// Those linked within 24 hours.
    Day,
    /// Those linked within 7 days.
    Week,
    /// Those linked within 30 days.
    Month,
    /// Those linked within 365 days.
    Year,
}

/// The form in which values of a namespace are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Normalization {
    /// As they are.
    Exact,
    /// Trimmed and lower-cased, with something on both sides of an @.
    Email,
    /// E.164: a plus, and the digits of the international number.
    Phone {
        /// The country (ISO 3166, `DE` for instance) of numbers that are not written internationally. Without,
        /// those are no identifiers.
        region: Option<String>,
    },
}

/// Whose an identifier is that several people show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SharedDevice {
    /// Its first owner keeps it.
    FirstOwner,
    /// It goes to whoever signed in last; what came before stays.
    LastSignIn,
}

impl IdentityRules {
    /// How many identifiers a profile may have where nothing else is said.
    pub const IDENTIFIERS_MAX: u32 = 1000;
    /// How many profiles may be merged into one where nothing else is said.
    pub const MERGES_MAX: u32 = 100;

    /// The rule of a namespace, if it is declared.
    pub fn rule(&self, namespace: &Namespace) -> Option<&NamespaceRule> {
        self.namespaces.iter().find(|rule| rule.name == *namespace)
    }

    /// A value as an identifier of the namespace, in the form that its rule gives it; of an undeclared namespace, in
    /// the form that it has where no rules say otherwise.
    ///
    /// # Errors
    /// If it has not the form of its namespace.
    pub fn identifier(&self, namespace: &Namespace, raw: &str) -> Result<Identifier, NotAnIdentifier> {
        match self.rule(namespace) {
            Some(rule) => Identifier::normalized(namespace.clone(), raw, &rule.normalize),
            None => Identifier::parse(namespace.clone(), raw),
        }
    }

    /// Checks what was written and puts in every default.
    ///
    /// # Errors
    /// If a rule can't work: which, and what to do.
    pub fn check(written: WrittenRules) -> Result<Self, RulesError> {
        written::check(&written)
    }
}

/// The table that the field knows by Segment's name, but for accounts: `user_id` first and one to a profile, then
/// `email`, `anonymous_id` and the ids of devices, five each.
impl Default for IdentityRules {
    fn default() -> Self {
        let people = [Namespace::USER_ID, Namespace::EMAIL, Namespace::ANONYMOUS_ID];
        let namespaces = people.into_iter().chain(Namespace::DEVICES.map(Namespace::new)).zip(1..);
        Self {
            namespaces: namespaces.map(|(name, priority)| NamespaceRule::new(name, priority)).collect(),
            identifiers_max: Self::IDENTIFIERS_MAX,
            merges_max: Self::MERGES_MAX,
            alarms: AlarmRules::default(),
        }
    }
}

impl NamespaceRule {
    /// The rule that a namespace has where nothing is said but its priority. One that the default table doesn't
    /// know is read from `context.externalIds` alone.
    pub fn new(name: Namespace, priority: u32) -> Self {
        let mut from = path::standard(name.as_str());
        from.push(SourcePath::external_ids());
        let normalize = if name == Namespace::EMAIL { Normalization::Email } else { Normalization::Exact };
        let count = if name == Namespace::USER_ID { 1 } else { 5 };
        Self {
            name,
            from,
            normalize,
            priority,
            limit: Limit { count, window: Window::Ever },
            blocked: Vec::new(),
            blocked_patterns: Vec::new(),
            block_suggested: true,
            shared_device: SharedDevice::FirstOwner,
        }
    }
}

impl fmt::Debug for NamespaceRule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("NamespaceRule")
            .field("name", &self.name)
            .field("from", &self.from)
            .field("normalize", &self.normalize)
            .field("priority", &self.priority)
            .field("limit", &self.limit)
            .field("blocked", &format_args!("{} values", self.blocked.len()))
            .field("blocked_patterns", &format_args!("{} patterns", self.blocked_patterns.len()))
            .field("block_suggested", &self.block_suggested)
            .field("shared_device", &self.shared_device)
            .finish()
    }
}

impl Default for AlarmRules {
    fn default() -> Self {
        Self { joins_per_day: 20, near_cap_percent: 90, merges_per_hour_min: 50, merges_jump_factor: 5 }
    }
}

impl Window {
    /// Every window.
    pub const ALL: [Self; 5] = [Self::Ever, Self::Day, Self::Week, Self::Month, Self::Year];

    /// Its name in the rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ever => "ever",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
            Self::Year => "year",
        }
    }

    /// Its length in microseconds; `None` if it has no beginning.
    pub const fn micros(self) -> Option<i64> {
        const DAY: i64 = 24 * 60 * 60 * 1_000_000;
        match self {
            Self::Ever => None,
            Self::Day => Some(DAY),
            Self::Week => Some(7 * DAY),
            Self::Month => Some(30 * DAY),
            Self::Year => Some(365 * DAY),
        }
    }
}

impl SharedDevice {
    /// Every policy.
    pub const ALL: [Self; 2] = [Self::FirstOwner, Self::LastSignIn];

    /// Its name in the rules.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FirstOwner => "first_owner",
            Self::LastSignIn => "last_sign_in",
        }
    }
}

/// `"exact"`, `"email"`, `"phone"` or `{"phone":{"region":"DE"}}`.
impl Serialize for Normalization {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Region<'a> {
            region: &'a str,
        }

        match self {
            Self::Exact => serializer.serialize_str("exact"),
            Self::Email => serializer.serialize_str("email"),
            Self::Phone { region: None } => serializer.serialize_str("phone"),
            Self::Phone { region: Some(region) } => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("phone", &Region { region })?;
                map.end()
            }
        }
    }
}
