//! What admins edit: one immutable, versioned snapshot for each workspace, swapped whole.

use crate::condition::{Aggregate, Condition, FieldPath};
use crate::id::{AudienceId, ComputedTraitId, DestinationId, SourceId, TokenId, WorkspaceId};
use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

pub use crate::identity_rules::{
    AlarmRules, IdentityRules, Limit, NamespaceRule, Normalization, RulesError, SharedDevice, SourcePath,
    Window, WrittenRules,
};

/// A workspace at one version. Its JSON form is what a version record of the events log holds; secrets in it
/// are sealed and tokens hashed, write keys are public.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Workspace {
    /// Its number; never used again.
    pub id: WorkspaceId,
    /// Its name in paths: 1 to 64 of `a-z`, `0-9`, `-`, `_`, beginning with a letter or digit.
    pub name: String,
    /// Counts up by one with every change, from 1.
    pub version: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// The number that the next source, destination or token gets.
    pub next_id: u32,
    /// Where events come from.
    pub sources: Vec<Source>,
    /// Where activations go.
    pub destinations: Vec<Destination>,
    /// Who may use the API.
    pub tokens: Vec<ApiToken>,
    /// How events are resolved to profiles.
    pub identity: IdentityRules,
    /// What is computed from the events of a profile.
    #[serde(default)]
    pub computed_traits: Vec<ComputedTrait>,
    /// Who belongs together.
    #[serde(default)]
    pub audiences: Vec<Audience>,
    /// How the values of traits are chosen and found.
    #[serde(default)]
    pub traits: TraitRules,
}

impl Workspace {
    /// The name of the workspace that a fresh install has.
    pub const DEFAULT_NAME: &'static str = "default";

    /// The source of that id.
    pub fn source(&self, id: SourceId) -> Option<&Source> {
        self.sources.iter().find(|source| source.id == id)
    }

    /// The destination of that id.
    pub fn destination(&self, id: DestinationId) -> Option<&Destination> {
        self.destinations.iter().find(|destination| destination.id == id)
    }
}

/// Something computed from the events of a profile, shown beside its traits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ComputedTrait {
    /// Its number within the workspace.
    pub id: ComputedTraitId,
    /// Its name among the traits; no audience has the same.
    pub key: String,
    /// A name for people.
    pub name: String,
    /// What is computed.
    pub definition: Aggregate,
    /// When it was created.
    pub created_at: Timestamp,
}

/// Profiles for which a condition holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Audience {
    /// Its number within the workspace.
    pub id: AudienceId,
    /// Its name in events and among the traits; no computed trait has the same.
    pub key: String,
    /// A name for people.
    pub name: String,
    /// The condition.
    pub definition: Condition,
    /// Whether profiles without a `user_id` may be in it.
    pub include_anonymous: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

/// How the values of traits are chosen and found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraitRules {
    /// Which of several values a trait has, by its name; without a rule it is the newest.
    #[serde(default)]
    pub policies: BTreeMap<String, MergePolicy>,
    /// The traits by whose beginnings people are searched for.
    #[serde(default = "TraitRules::searched_by_default")]
    pub searched: BTreeSet<String>,
}

impl Default for TraitRules {
    fn default() -> Self {
        Self { policies: BTreeMap::new(), searched: Self::searched_by_default() }
    }
}

impl TraitRules {
    fn searched_by_default() -> BTreeSet<String> {
        const NAMES: [&str; 11] = [
            "company",
            "email",
            "firstName",
            "first_name",
            "lastName",
            "last_name",
            "name",
            "phone",
            "title",
            "username",
            "website",
        ];
        NAMES.map(str::to_owned).into()
    }
}

/// Which of several values a trait has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MergePolicy {
    /// The one of the latest event.
    Newest,
    /// The one of the earliest event.
    Oldest,
    /// The largest number.
    Max,
    /// The smallest number.
    Min,
    /// All of them, as a list sorted by their texts; the elements of values that are lists.
    Union,
    /// The newest one of the first of these sources that has one; of the others, the newest.
    Sources(Vec<SourceId>),
}

/// Where events come from. Its write key is public and only writes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its number within the workspace.
    pub id: SourceId,
    /// A name for people.
    pub name: String,
    /// What SDKs authenticate with; unique over all workspaces.
    pub write_key: String,
    /// Whether its events are taken.
    pub enabled: bool,
    /// When it was created.
    pub created_at: Timestamp,
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Source({} {:?})", self.id, self.name)
    }
}

/// A configured destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Destination {
    /// Its number within the workspace.
    pub id: DestinationId,
    /// The name of its definition in the catalog, `webhook` for instance.
    pub definition: String,
    /// A name for people.
    pub name: String,
    /// On or off. Off parks its cursor.
    pub enabled: bool,
    /// The values of the definition's settings; secret ones are sealed.
    pub settings: BTreeMap<String, SettingValue>,
    /// When it was created.
    pub created_at: Timestamp,
    /// The workspace version that created it: it gets the events accepted after that version came into force.
    pub created_version: u64,
    /// The workspace version that last resumed it "from now": what was accepted before that is passed over.
    pub resumed_version: Option<u64>,
    /// What is done with which activations; `None` for what the definition does by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mappings: Option<Vec<Mapping>>,
    /// The largest number that a mapping of it ever had. Numbers are part of the ids of deliveries, so none is given again.
    #[serde(default)]
    pub mapping_numbers: u32,
    /// What is kept from it, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<DestinationFilter>,
    /// What people have to have consented to.
    #[serde(default)]
    pub consent: ConsentRule,
    /// What it names of profiles, as was found when it was last changed: activations carry that.
    #[serde(default)]
    pub needs: DestinationNeeds,
}

/// What a destination does with the activations that its trigger takes. Every mapping that takes one does it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mapping {
    /// Its number within the destination, from 1; part of the ids of deliveries.
    pub id: u32,
    /// A name for people.
    pub name: String,
    /// The name of one of the definition's actions.
    pub action: String,
    /// Whether it does anything.
    pub enabled: bool,
    /// About events: which activations it takes; `None` for the action's own trigger.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Condition>,
    /// How fields of the action are filled, as directives; the others as the action says. A null leaves one out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<String, serde_json::Value>,
}

/// What is kept from a destination.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DestinationFilter {
    /// A name for people.
    pub name: String,
    /// About events: which activations it acts on.
    pub condition: Condition,
    /// What it does with them.
    pub action: FilterAction,
}

/// What a filter does with an activation of which its condition holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilterAction {
    /// Leaves it out.
    Drop,
    /// Lets a share of them pass: all with the same value at the path, or none of them.
    Sample {
        /// How many of a hundred values pass, from 0 to 100.
        percent: f64,
        /// The member of the event that decides. Where it is missing, the message id does.
        path: FieldPath,
    },
    /// Takes these members out of the event.
    DropProperties {
        /// Where they stand.
        fields: Vec<FieldPath>,
    },
    /// Takes every member out of the objects in which these stand but these.
    AllowProperties {
        /// Where they stand: each within an object, as in `properties.total`.
        fields: Vec<FieldPath>,
    },
}

/// What people have to have consented to before a destination is sent anything about them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConsentRule {
    /// The categories, all of which have to be granted. With none of them, consent does not matter.
    pub categories: BTreeSet<String>,
    /// What holds where nothing was ever said.
    pub missing: MissingConsent,
}

/// What a missing consent means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingConsent {
    /// Nothing is sent.
    #[default]
    Closed,
    /// It is sent.
    Open,
}

/// What a destination's mappings, filters and triggers name of profiles.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DestinationNeeds {
    /// Traits and computed traits, by name.
    pub traits: BTreeSet<String>,
    /// Audiences, by key.
    pub audiences: BTreeSet<String>,
}

/// The value of a setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettingValue {
    /// As it was given.
    Plain(serde_json::Value),
    /// A secret, sealed with the installation's key: base64 of nonce and ciphertext.
    Sealed(String),
}

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Read profiles.
    #[serde(rename = "profiles:read")]
    ProfilesRead,
    /// Read the configuration, rejects and dead letters.
    #[serde(rename = "admin:read")]
    AdminRead,
    /// Change the configuration.
    #[serde(rename = "admin:write")]
    AdminWrite,
    /// Create, change and delete workspaces, take snapshots. Only the first token has it.
    #[serde(rename = "workspaces:write")]
    WorkspacesWrite,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::ProfilesRead, Self::AdminRead, Self::AdminWrite, Self::WorkspacesWrite];
}

/// An API token: only its hash is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiToken {
    /// Its number within the workspace.
    pub id: TokenId,
    /// A name for people.
    pub name: String,
    /// Hexadecimal BLAKE3 hash of the token, which is 128 random bits or more.
    pub hash: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was created.
    pub created_at: Timestamp,
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ApiToken({} {:?} {:?})", self.id, self.name, self.scopes)
    }
}
