//! Bodies of the admin API: what is shown, and what is taken. Unknown members are refused. Those of destinations,
//! audiences and identity rules are beside these.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tributary_model::Workspace;
use tributary_model::identity_rules::WrittenRules;
use tributary_model::workspace::{ApiToken, IdentityRules, Scope, Source};
use utoipa::ToSchema;

use super::audiences::bodies::{
    AudienceDefinition, AudiencePut, ComputedTraitDefinition, ComputedTraitPut, TraitRulesBody,
};
use super::audiences::shown_trait_rules;
use super::destinations::bodies::{DestinationBody, DestinationPut};
use super::identity::RulesBody;
use crate::workspaces::{Author, Credentials, VersionInfo};

/// A list that is shown whole.
#[derive(Debug, Serialize, ToSchema)]
pub struct List<T> {
    /// The rows.
    pub data: Vec<T>,
}

/// A part of a long list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The rows, newest first.
    pub data: Vec<T>,
    /// How to go on.
    pub cursor: Cursor,
}

/// How a long list goes on.
#[derive(Debug, Serialize, ToSchema)]
pub struct Cursor {
    /// Whether there are more rows.
    pub has_more: bool,
    /// How many rows were asked for.
    pub limit: usize,
    /// What to send as `cursor` for the next rows; missing if there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl<T> Page<T> {
    pub(super) fn new(data: Vec<T>, next: Option<String>, limit: usize) -> Self {
        Self { data, cursor: Cursor { has_more: next.is_some(), limit, next } }
    }
}

/// A source.
#[derive(Debug, Serialize, ToSchema)]
pub struct SourceView {
    /// Its id.
    #[schema(example = "src_1")]
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What SDKs authenticate with. It is public and only writes.
    pub write_key: String,
    /// Whether its events are taken.
    pub enabled: bool,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl SourceView {
    pub(super) fn of(source: &Source) -> Self {
        Self {
            id: source.id.to_string(),
            name: source.name.clone(),
            write_key: source.write_key.clone(),
            enabled: source.enabled,
            created_at: source.created_at.to_string(),
        }
    }
}

/// A new source.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceNew {
    /// A name for people.
    pub name: String,
    /// A write key to go on with; a random one is made where none is given.
    pub write_key: Option<String>,
    /// Whether its events are taken; they are where nothing is said.
    pub enabled: Option<bool>,
}

/// A change of a source; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePatch {
    /// A name for people.
    pub name: Option<String>,
    /// Another write key. The former one is refused from then on.
    pub write_key: Option<String>,
    /// Whether its events are taken.
    pub enabled: Option<bool>,
}

/// An API token.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    #[schema(example = "tok_2")]
    pub id: String,
    /// A name for people.
    pub name: String,
    /// What it may do.
    #[schema(value_type = Vec<String>, example = json!(["profiles:read", "admin:read"]))]
    pub scopes: Vec<Scope>,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl TokenView {
    pub(super) fn of(token: &ApiToken) -> Self {
        Self {
            id: token.id.to_string(),
            name: token.name.clone(),
            scopes: token.scopes.clone(),
            created_at: token.created_at.to_string(),
        }
    }
}

/// A token that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenCreated {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub view: TokenView,
    /// The token itself. It is shown this once.
    pub token: String,
}

/// A new token.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenNew {
    /// A name for people.
    pub name: String,
    /// What it may do: `profiles:read`, `admin:read`, `admin:write`; nothing that the caller may not do.
    #[schema(value_type = Vec<String>, example = json!(["profiles:read"]))]
    pub scopes: Vec<Scope>,
}

/// A change of a token; what is not given stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenPatch {
    /// A name for people.
    pub name: Option<String>,
    /// What it may do.
    #[schema(value_type = Option<Vec<String>>)]
    pub scopes: Option<Vec<Scope>>,
}

/// A workspace, without what is in it.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkspaceView {
    /// Its id.
    #[schema(example = "ws_1")]
    pub id: String,
    /// Its name in paths.
    #[schema(example = "default")]
    pub name: String,
    /// The version in force.
    pub version: u64,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl WorkspaceView {
    pub(super) fn of(workspace: &Workspace) -> Self {
        Self {
            id: workspace.id.to_string(),
            name: workspace.name.clone(),
            version: workspace.version,
            created_at: workspace.created_at.to_string(),
        }
    }
}

/// A workspace that was just created.
#[derive(Debug, Serialize, ToSchema)]
pub struct WorkspaceCreated {
    /// What is known of it from now on.
    #[serde(flatten)]
    pub view: WorkspaceView,
    /// Its own token. It is shown this once.
    pub token: String,
    /// The id of that token.
    pub token_id: String,
    /// The write key of its source `default`.
    pub write_key: String,
    /// The id of that source.
    pub source_id: String,
}

impl WorkspaceCreated {
    pub(super) fn of(workspace: &Workspace, credentials: &Credentials) -> Self {
        Self {
            view: WorkspaceView::of(workspace),
            token: credentials.token.expose().to_owned(),
            token_id: credentials.token_id.to_string(),
            write_key: credentials.write_key.clone(),
            source_id: credentials.source_id.to_string(),
        }
    }
}

/// The name of a workspace, new or changed: 1 to 64 of `a-z`, `0-9`, `-`, `_`, beginning with a letter or digit.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceName {
    /// Its name in paths.
    pub name: String,
}

/// A workspace as one document. Tokens are no part of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct Document {
    /// What the workspace is.
    #[serde(flatten)]
    pub view: WorkspaceView,
    /// Its sources, by id.
    pub sources: Vec<SourceView>,
    /// Its destinations, by id.
    pub destinations: Vec<DestinationBody>,
    /// How events are resolved to profiles.
    #[schema(value_type = RulesBody)]
    pub identity: IdentityRules,
    /// What is computed from the events of a profile.
    pub computed_traits: Vec<ComputedTraitDefinition>,
    /// Who belongs together.
    pub audiences: Vec<AudienceDefinition>,
    /// How the values of traits are chosen and found.
    pub trait_rules: TraitRulesBody,
}

impl Document {
    pub(super) fn of(workspace: &Workspace) -> Self {
        Self {
            view: WorkspaceView::of(workspace),
            sources: workspace.sources.iter().map(SourceView::of).collect(),
            destinations: workspace.destinations.iter().map(DestinationBody::of).collect(),
            identity: workspace.identity.clone(),
            computed_traits: workspace.computed_traits.iter().map(ComputedTraitDefinition::of).collect(),
            audiences: workspace.audiences.iter().map(AudienceDefinition::of).collect(),
            trait_rules: shown_trait_rules(&workspace.traits),
        }
    }
}

/// A workspace as it shall be. Members that are only shown (`created_at` and the like) may be sent back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentPut {
    /// If given, it has to be the id of the workspace.
    pub id: Option<String>,
    /// Another name; only the first token may give one.
    pub name: Option<String>,
    /// If given, it has to be the version in force, as with `If-Match`.
    pub version: Option<u64>,
    /// All sources. Those without an id are created, those that are missing are deleted.
    pub sources: Vec<SourcePut>,
    /// All destinations. Those without an id are created, those that are missing are deleted.
    pub destinations: Vec<DestinationPut>,
    /// How events are to be resolved to profiles; as it is where nothing is said.
    #[schema(value_type = Option<RulesBody>)]
    pub identity: Option<WrittenRules>,
    /// All computed traits, told apart by their keys; as they are where nothing is said.
    pub computed_traits: Option<Vec<ComputedTraitPut>>,
    /// All audiences, told apart by their keys; as they are where nothing is said.
    pub audiences: Option<Vec<AudiencePut>>,
    /// How the values of traits are to be chosen and found; as it is where nothing is said.
    pub trait_rules: Option<TraitRulesBody>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Value>,
}

/// A source as it shall be.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SourcePut {
    /// The id of a source that is there; a source is created without one.
    pub id: Option<String>,
    /// A name for people.
    pub name: String,
    /// Its write key; the one that it has, or a random one, where none is given.
    pub write_key: Option<String>,
    /// Whether its events are taken; as it is, or yes, where nothing is said.
    pub enabled: Option<bool>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Value>,
}

/// A row of a workspace's history.
#[derive(Debug, Serialize, ToSchema)]
pub struct VersionView {
    /// The version.
    pub version: u64,
    /// When it was made.
    #[schema(format = DateTime)]
    pub at: String,
    /// Who made it.
    pub by: AuthorView,
    /// What changed.
    pub change: String,
}

/// Who made a change.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuthorView {
    /// `token`, `first_start` or `environment`.
    pub kind: &'static str,
    /// The workspace of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workspace: Option<String>,
    /// The id of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The token's name at that time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl VersionView {
    pub(super) fn of(info: VersionInfo) -> Self {
        let plain = |kind| AuthorView { kind, workspace: None, token: None, name: None };
        let by = match info.by {
            Author::FirstStart => plain("first_start"),
            Author::Environment => plain("environment"),
            Author::Token { workspace, token, name } => AuthorView {
                kind: "token",
                workspace: Some(workspace.to_string()),
                token: Some(token.to_string()),
                name: Some(name),
            },
        };
        Self { version: info.version, at: info.at.to_string(), by, change: info.change }
    }
}
