//! Bodies of the admin API about destinations: what is shown, and what is taken.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tributary_model::condition::Condition;
use tributary_model::workspace::{
    ConsentRule, Destination, DestinationFilter, FilterAction, Mapping, MissingConsent,
};
use utoipa::ToSchema;

use super::objects::object;
use crate::admin::settings;

/// A destination as the workspace has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationBody {
    /// Its id.
    #[schema(example = "dst_3")]
    pub id: String,
    /// The name of its definition.
    #[schema(example = "webhook")]
    pub definition: String,
    /// A name for people.
    pub name: String,
    /// On or off. Off parks it.
    pub enabled: bool,
    /// The values of its settings; secrets are masked.
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// What is done with which events; `null` for what the definition does by itself.
    pub mappings: Option<Vec<MappingBody>>,
    /// What is kept from it, in their order.
    pub filters: Vec<FilterBody>,
    /// What people have to have consented to.
    pub consent: ConsentBody,
    /// When it was created.
    #[schema(format = DateTime)]
    pub created_at: String,
    /// The workspace version that created it: it gets the events accepted after that.
    pub created_version: u64,
    /// The workspace version that last resumed it from now: what was accepted before that is passed over.
    pub resumed_version: Option<u64>,
}

impl DestinationBody {
    pub(in crate::admin) fn of(destination: &Destination) -> Self {
        let mappings = destination.mappings.as_ref();
        Self {
            id: destination.id.to_string(),
            definition: destination.definition.clone(),
            name: destination.name.clone(),
            enabled: destination.enabled,
            settings: settings::shown(&destination.settings),
            mappings: mappings.map(|mappings| mappings.iter().map(MappingBody::of).collect()),
            filters: destination.filters.iter().map(FilterBody::of).collect(),
            consent: ConsentBody::of(&destination.consent),
            created_at: destination.created_at.to_string(),
            created_version: destination.created_version,
            resumed_version: destination.resumed_version,
        }
    }
}

/// A destination, and how it stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationView {
    /// What it is.
    #[serde(flatten)]
    pub destination: DestinationBody,
    /// `on`, `off`, `paused` (the receiver is out, or refuses the credentials) or `broken` (it can't work as it is set
    /// up).
    #[schema(example = "on")]
    pub state: &'static str,
    /// Why it can't work as it is set up.
    pub problem: Option<String>,
}

/// What is done with the events that a trigger takes.
#[derive(Debug, Serialize, ToSchema)]
pub struct MappingBody {
    /// Its number within the destination; part of the ids that receivers see.
    #[schema(example = 1)]
    pub id: u32,
    /// A name for people.
    pub name: String,
    /// The name of one of the definition's actions.
    #[schema(example = "send")]
    pub action: String,
    /// Whether it does anything.
    pub enabled: bool,
    /// Which events it takes, as a text; `null` for the action's own trigger.
    #[schema(example = "event = \"Order Completed\"")]
    pub trigger: Option<String>,
    /// The same, as a tree.
    #[schema(value_type = Option<Object>)]
    pub trigger_tree: Option<Box<RawValue>>,
    /// How fields of the action are filled, as directives; the others as the action says. A null leaves one out.
    #[schema(value_type = Object)]
    pub fields: BTreeMap<String, Value>,
}

impl MappingBody {
    fn of(mapping: &Mapping) -> Self {
        Self {
            id: mapping.id,
            name: mapping.name.clone(),
            action: mapping.action.clone(),
            enabled: mapping.enabled,
            trigger: mapping.trigger.as_ref().map(Condition::to_string),
            trigger_tree: mapping.trigger.as_ref().map(tree),
            fields: mapping.fields.clone(),
        }
    }
}

/// What is kept from a destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct FilterBody {
    /// A name for people.
    pub name: String,
    /// On which events it acts, as a text.
    #[schema(example = "properties.test = true")]
    pub condition: String,
    /// The same, as a tree.
    #[schema(value_type = Object)]
    pub condition_tree: Box<RawValue>,
    /// What it does with them.
    pub action: FilterActionBody,
}

impl FilterBody {
    fn of(filter: &DestinationFilter) -> Self {
        Self {
            name: filter.name.clone(),
            condition: filter.condition.to_string(),
            condition_tree: tree(&filter.condition),
            action: FilterActionBody::of(&filter.action),
        }
    }
}

fn tree(condition: &Condition) -> Box<RawValue> {
    serde_json::value::to_raw_value(condition).expect("a tree of plain values can be written")
}

/// What a filter does with an event of which its condition holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FilterActionBody {
    /// Leaves it out.
    Drop(#[serde(deserialize_with = "object")] DropBody),
    /// Lets a share of them pass: all with the same value at the path, or none of them.
    Sample(#[serde(deserialize_with = "object")] SampleBody),
    /// Takes these members out of the event.
    DropProperties(#[serde(deserialize_with = "object")] FieldsBody),
    /// Takes every member out of the objects in which these stand but these.
    AllowProperties(#[serde(deserialize_with = "object")] FieldsBody),
}

/// Nothing is to be said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DropBody {}

/// How large a share passes, and what decides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SampleBody {
    /// How many of a hundred values pass, from 0 to 100.
    #[schema(example = 10)]
    pub percent: f64,
    /// The member of the event that decides; where it is missing, the message id does.
    #[schema(example = "userId")]
    pub path: String,
}

/// Members of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldsBody {
    /// Where they stand.
    #[schema(example = json!(["properties.card", "context.ip"]))]
    pub fields: Vec<String>,
}

impl FilterActionBody {
    fn of(action: &FilterAction) -> Self {
        let texts = |fields: &[tributary_model::condition::FieldPath]| {
            fields.iter().map(ToString::to_string).collect()
        };
        match action {
            FilterAction::Drop => Self::Drop(DropBody {}),
            FilterAction::Sample { percent, path } => {
                Self::Sample(SampleBody { percent: *percent, path: path.to_string() })
            }
            FilterAction::DropProperties { fields } => {
                Self::DropProperties(FieldsBody { fields: texts(fields) })
            }
            FilterAction::AllowProperties { fields } => {
                Self::AllowProperties(FieldsBody { fields: texts(fields) })
            }
        }
    }
}

/// What people have to have consented to before anything about them is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentBody {
    /// The categories, all of which have to be granted. With none of them, consent does not matter.
    #[schema(example = json!(["advertising"]))]
    pub categories: Vec<String>,
    /// What holds where nothing was ever said: `closed` (nothing is sent, so it is where nothing is said) or `open`.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "closed")]
    pub missing: MissingConsent,
}

impl ConsentBody {
    fn of(rule: &ConsentRule) -> Self {
        Self { categories: rule.categories.iter().cloned().collect(), missing: rule.missing }
    }
}

/// A change of what people have to have consented to; what is not given stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConsentPatch {
    /// All categories, each of which has to be granted.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(example = json!(["advertising"]))]
    pub categories: Option<Vec<String>>,
    /// What holds where nothing was ever said: `closed` (nothing is sent) or `open`.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Option<String>, example = "closed")]
    pub missing: Option<MissingConsent>,
}

impl From<ConsentBody> for ConsentPatch {
    fn from(body: ConsentBody) -> Self {
        Self { categories: Some(body.categories), missing: Some(body.missing) }
    }
}

/// What is to be done with the events that a trigger takes. Members that are only shown may be sent back.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MappingPut {
    /// The number of a mapping that is there; where there is none, one is given that no mapping of it ever had.
    pub id: Option<u32>,
    /// A name for people.
    pub name: String,
    /// The name of one of the definition's actions.
    #[schema(example = "send")]
    pub action: String,
    /// Whether it does anything; it does where nothing is said.
    pub enabled: Option<bool>,
    /// Which events it takes: a condition about an event, as a text or as a tree. Without it, those that the action's own
    /// trigger takes.
    #[schema(value_type = Option<Object>, example = "event = \"Order Completed\"")]
    pub trigger: Option<Value>,
    /// Shown only. If given, it has to be the tree of `trigger`.
    #[schema(value_type = Option<Object>)]
    pub trigger_tree: Option<Value>,
    /// How fields of the action are filled, as directives; the others as the action says. A null leaves one out.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"title": {"@template": "New order: {{properties.total}}"}}))]
    pub fields: BTreeMap<String, Box<RawValue>>,
}

/// What is to be kept from a destination. Members that are only shown may be sent back.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FilterPut {
    /// A name for people.
    pub name: String,
    /// On which events it acts: a condition about an event, as a text or as a tree.
    #[schema(value_type = Object, example = "properties.test = true")]
    pub condition: Value,
    /// Shown only. If given, it has to be the tree of `condition`.
    #[schema(value_type = Option<Object>)]
    pub condition_tree: Option<Value>,
    /// What it does with them.
    pub action: FilterActionBody,
}

/// A new destination.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationNew {
    /// The name of its definition.
    #[schema(example = "webhook")]
    pub definition: String,
    /// A name for people.
    pub name: String,
    /// On or off; on where nothing is said.
    pub enabled: Option<bool>,
    /// The values of its settings.
    #[serde(default)]
    #[schema(value_type = Object, example = json!({"url": "https://example.com/hook", "secret": "whsec_…"}))]
    pub settings: Map<String, Value>,
    /// What is done with which events; what the definition does by itself where nothing is said.
    pub mappings: Option<Vec<MappingPut>>,
    /// What is kept from it, in their order; nothing where nothing is said.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to; nothing where nothing is said.
    pub consent: Option<ConsentBody>,
}

/// Where a destination goes on when it is switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// Where it was parked: nothing is lost.
    Parked,
    /// With events accepted from now on: what waited is passed over, and counted as such.
    Now,
}

/// A change of a destination; what is not given stays. `null` is no value, but for `mappings` and single settings.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationPatch {
    /// A name for people.
    #[serde(default, deserialize_with = "not_null")]
    pub name: Option<String>,
    /// On or off.
    #[serde(default, deserialize_with = "not_null")]
    pub enabled: Option<bool>,
    /// Where it goes on; only with `"enabled": true`. Where nothing is said, it goes on where it was parked.
    #[serde(default, deserialize_with = "not_null")]
    pub resume: Option<Resume>,
    /// Values of settings. Those not given stay, a null removes one, a masked secret keeps its value. Where one changes that
    /// says where requests go, every secret has to be sent anew.
    #[serde(default, deserialize_with = "not_null")]
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// All mappings; `null` for what the definition does by itself.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<MappingPut>>)]
    pub mappings: Option<Option<Vec<MappingPut>>>,
    /// All filters, in their order.
    #[serde(default, deserialize_with = "not_null")]
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to.
    #[serde(default, deserialize_with = "not_null")]
    pub consent: Option<ConsentPatch>,
}

/// A destination as it shall be.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationPut {
    /// The id of a destination that is there; a destination is created without one.
    pub id: Option<String>,
    /// The name of its definition. It can't be changed.
    pub definition: String,
    /// A name for people.
    pub name: String,
    /// On or off; as it is, or on, where nothing is said. Switched on, it goes on where it was parked.
    pub enabled: Option<bool>,
    /// The values of all its settings. A masked secret keeps its value, unless a setting changes that says where requests
    /// go: then every secret has to be sent anew.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// All mappings, `null` for what the definition does by itself; as they are where nothing is said.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<MappingPut>>)]
    pub mappings: Option<Option<Vec<MappingPut>>>,
    /// All filters, in their order; as they are where nothing is said.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to; as it is where nothing is said.
    pub consent: Option<ConsentBody>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub created_at: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<u64>)]
    pub created_version: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<u64>)]
    pub resumed_version: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub state: Option<Value>,
    /// Shown only.
    #[schema(value_type = Option<String>)]
    pub problem: Option<Value>,
}

/// A member that may be missing, and can't be `null`: who sends that may mean that it is reset, which it would not be.
fn not_null<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A member that is there, be it `null`; one that is missing is `None`.
pub(super) fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
