//! Bodies of the admin API about audiences and computed traits: what is shown, and what is taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tributary_model::workspace::{Audience, ComputedTrait};
use utoipa::ToSchema;

use crate::admin::outside::{AudienceStanding, ComputedStanding};

/// A new audience.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudienceNew {
    /// Its name in events and among the traits: a letter, then up to 63 letters, digits, `_` and `-`. It can't be
    /// changed.
    #[schema(example = "lapsed")]
    pub key: String,
    /// A name for people; the key where nothing is said.
    pub name: Option<String>,
    /// The condition, as a text or as a tree.
    #[schema(value_type = Object, example = "count(event(\"Order Completed\") within 30d) >= 2")]
    pub definition: Value,
    /// Whether profiles without a `user_id` may be in it; no where nothing is said.
    pub include_anonymous: Option<bool>,
}

/// An audience as it shall be. Members that are only shown may be sent back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AudiencePut {
    /// If given, it has to be the key in the path. In a document it says which audience it is.
    pub key: Option<String>,
    /// A name for people; as it is where nothing is said.
    pub name: Option<String>,
    /// The condition, as a text or as a tree.
    #[schema(value_type = Object, example = "count(event(\"Order Completed\") within 30d) >= 2")]
    pub definition: Value,
    /// Whether profiles without a `user_id` may be in it; as it is where nothing is said.
    pub include_anonymous: Option<bool>,
    /// Shown only. If given, it has to be the tree of `definition`.
    #[schema(value_type = Option<Object>)]
    pub tree: Option<Value>,
    /// Shown only. If given, it has to be the id of the audience.
    pub id: Option<String>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<Object>)]
    pub status: Option<Value>,
}

/// An audience as the workspace has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudienceDefinition {
    /// Its id.
    #[schema(example = "aud_4")]
    pub id: String,
    /// Its name in events and among the traits.
    #[schema(example = "lapsed")]
    pub key: String,
    /// A name for people.
    pub name: String,
    /// The condition, as a text.
    pub definition: String,
    /// The same condition, as a tree.
    #[schema(value_type = Object)]
    pub tree: Box<RawValue>,
    /// Whether profiles without a `user_id` may be in it.
    pub include_anonymous: bool,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl AudienceDefinition {
    pub(in crate::admin) fn of(audience: &Audience) -> Self {
        Self {
            id: audience.id.to_string(),
            key: audience.key.clone(),
            name: audience.name.clone(),
            definition: audience.definition.to_string(),
            tree: raw(&audience.definition),
            include_anonymous: audience.include_anonymous,
            created_at: audience.created_at.to_string(),
        }
    }
}

/// An audience, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudienceView {
    /// What it is.
    #[serde(flatten)]
    pub audience: AudienceDefinition,
    /// How it stands.
    pub status: AudienceStatus,
}

/// How an audience stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AudienceStatus {
    /// `waiting` (it is not begun), `reading` (the log is read back for it), `evaluating` (profile after profile),
    /// `live`, `broken` (what it refers to is gone: nobody enters or leaves).
    #[schema(example = "live")]
    pub stage: &'static str,
    /// How much of the stage's work is done: events read, or profiles evaluated.
    pub done: u64,
    /// How much there is to do.
    pub total: u64,
    /// The events that count: those that arrived then or later; `null` for all that were ever accepted, and while
    /// the stage is `waiting`.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// How many members it has.
    pub size: u64,
    /// Why it is broken.
    pub problem: Option<String>,
}

impl AudienceStatus {
    /// The status as it is told; one that nobody tells of waits.
    pub(in crate::admin) fn of(standing: Option<AudienceStanding>) -> Self {
        let Some(standing) = standing else {
            return Self { stage: "waiting", done: 0, total: 0, since: None, size: 0, problem: None };
        };
        let AudienceStanding { stage, done, total, since, size, problem } = standing;
        Self { stage, done, total, since: since.map(|since| since.to_string()), size, problem }
    }
}

/// The audiences.
#[derive(Debug, Serialize, ToSchema)]
pub struct AudienceList {
    /// All audiences, by id.
    pub data: Vec<AudienceView>,
    /// Those that were deleted and still have members.
    pub leaving: Vec<LeavingAudience>,
}

/// An audience that was deleted, and whose members are leaving.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeavingAudience {
    /// Its key. A new audience of this key waits until all have left.
    #[schema(example = "lapsed")]
    pub key: String,
    /// How many members have yet to leave.
    pub left: u64,
}

/// A new computed trait.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComputedTraitNew {
    /// Its name among the traits: a letter, then up to 63 letters, digits, `_` and `-`. It can't be changed.
    #[schema(example = "orders_30d")]
    pub key: String,
    /// A name for people; the key where nothing is said.
    pub name: Option<String>,
    /// What is computed, as a text or as a tree.
    #[schema(value_type = Object, example = "sum(event(\"Order Completed\").properties.total within 30d)")]
    pub definition: Value,
}

/// A computed trait as it shall be. Members that are only shown may be sent back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ComputedTraitPut {
    /// If given, it has to be the key in the path. In a document it says which computed trait it is.
    pub key: Option<String>,
    /// A name for people; as it is where nothing is said.
    pub name: Option<String>,
    /// What is computed, as a text or as a tree.
    #[schema(value_type = Object, example = "sum(event(\"Order Completed\").properties.total within 30d)")]
    pub definition: Value,
    /// Shown only. If given, it has to be the tree of `definition`.
    #[schema(value_type = Option<Object>)]
    pub tree: Option<Value>,
    /// Shown only. If given, it has to be the id of the computed trait.
    pub id: Option<String>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<Object>)]
    pub status: Option<Value>,
}

/// A computed trait as the workspace has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComputedTraitDefinition {
    /// Its id.
    #[schema(example = "trt_5")]
    pub id: String,
    /// Its name among the traits.
    #[schema(example = "orders_30d")]
    pub key: String,
    /// A name for people.
    pub name: String,
    /// What is computed, as a text.
    pub definition: String,
    /// The same, as a tree.
    #[schema(value_type = Object)]
    pub tree: Box<RawValue>,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
}

impl ComputedTraitDefinition {
    pub(in crate::admin) fn of(computed: &ComputedTrait) -> Self {
        Self {
            id: computed.id.to_string(),
            key: computed.key.clone(),
            name: computed.name.clone(),
            definition: computed.definition.to_string(),
            tree: raw(&computed.definition),
            created_at: computed.created_at.to_string(),
        }
    }
}

/// A computed trait, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComputedTraitView {
    /// What it is.
    #[serde(flatten)]
    pub computed: ComputedTraitDefinition,
    /// How it stands.
    pub status: ComputedTraitStatus,
}

/// How a computed trait stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ComputedTraitStatus {
    /// `waiting` (it is not begun), `reading` (the log is read back for it) or `live`. Before that its values are
    /// approximate.
    #[schema(example = "live")]
    pub stage: &'static str,
    /// How many events of the log are read.
    pub done: u64,
    /// How many there are to read.
    pub total: u64,
    /// The events that count: those that arrived then or later; `null` for all that were ever accepted, and until
    /// they are read.
    #[schema(format = DateTime)]
    pub since: Option<String>,
}

impl ComputedTraitStatus {
    /// The status as it is told; one that nobody tells of waits.
    pub(in crate::admin) fn of(standing: Option<ComputedStanding>) -> Self {
        let Some(standing) = standing else {
            return Self { stage: "waiting", done: 0, total: 0, since: None };
        };
        let ComputedStanding { stage, done, total, since } = standing;
        Self { stage, done, total, since: since.map(|since| since.to_string()) }
    }
}

fn raw(tree: &impl Serialize) -> Box<RawValue> {
    serde_json::value::to_raw_value(tree).expect("a tree of plain values can be written")
}

/// How the values of traits are chosen and found.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TraitRules)]
pub struct TraitRulesBody {
    /// Which of several values a trait has, by its name: `newest`, `oldest`, `max`, `min`, `union`, or
    /// `{"sources":["src_1"]}`, the newest value of the first of these that has one. Without a policy, the newest.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"plan": "oldest", "score": {"sources": ["src_1"]}}))]
    pub policies: BTreeMap<String, Value>,
    /// The traits by whose beginnings people are searched for; the usual ones where nothing is said.
    pub searched: Option<Vec<String>>,
}

/// Some members of an audience.
#[derive(Debug, Serialize, ToSchema)]
pub struct MembersPage {
    /// The members, in the order of their profiles' ids.
    pub data: Vec<MemberView>,
    /// How to go on.
    pub cursor: MembersCursor,
}

/// How a list of members goes on, in the form of the profile API.
#[derive(Debug, Serialize, ToSchema)]
pub struct MembersCursor {
    /// The path of the request.
    pub url: String,
    /// Whether there are more.
    pub has_more: bool,
    /// What to send as `next` for the next rows; empty if there are no more.
    pub next: String,
    /// How many rows there are in an answer at most.
    pub limit: usize,
}

/// A member of an audience.
#[derive(Debug, Serialize, ToSchema)]
pub struct MemberView {
    /// The id of its profile.
    pub profile_id: String,
    /// Since when it is a member.
    #[schema(format = DateTime)]
    pub since: String,
    /// The identifiers with which it entered, as `namespace:value`; it leaves with the same.
    pub identifiers: Vec<String>,
    /// `true` if that it is a member rests on values beyond a limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approximate: Option<bool>,
    /// Its traits of now; with `verbose=true` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub traits: Option<BTreeMap<String, Box<RawValue>>>,
}

/// How the size of an audience went.
#[derive(Debug, Serialize, ToSchema)]
pub struct SizeHistory {
    /// How many members it has now.
    pub size: u64,
    /// A point for each hour of the time that was asked for, without hours before the audience was created.
    pub data: Vec<SizePoint>,
}

/// An hour of an audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SizePoint {
    /// The beginning of the hour.
    #[schema(format = DateTime)]
    pub at: String,
    /// How many members it had when the hour ended; in the hour of now, has.
    pub size: u64,
    /// How many entered within the hour.
    pub entered: u64,
    /// How many left within the hour.
    pub exited: u64,
}
