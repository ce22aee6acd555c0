//! The definitions of the catalog, as forms and programs read them.

use serde::Serialize;
use serde_json::Value;
use tributary_destinations::definition::{
    ActionSpec, BatchAmong, EachSpec, Escaping, EventAgeSpec, FieldKind, FieldSpec, Hashing, MemberKind,
    MemberSpec, OrderSpec, Required, SettingKind, SettingSpec, Spec, Taken, TooLong, TransportSpec, Unfit,
};
use utoipa::ToSchema;

/// A definition of the catalog: what a destination can be.
#[derive(Debug, Serialize, ToSchema)]
pub struct DefinitionView {
    /// Its name in configurations.
    #[schema(example = "webhook")]
    pub name: String,
    /// A name for people.
    pub title: String,
    /// What it does.
    pub help: String,
    /// Where the vendor documents what it follows.
    pub documentation: Vec<String>,
    /// The settings that it takes, in the order in which a form shows them.
    pub settings: Vec<SettingView>,
    /// Groups of settings of which exactly one has to be given.
    pub one_of: Vec<Vec<String>>,
    /// What it can do with an event. The number of an action, from 1, is that of its mapping where a destination has none
    /// of its own.
    pub actions: Vec<ActionView>,
    /// How deliveries share requests.
    pub batching: BatchingView,
    /// The vendor's limits.
    pub limits: LimitsView,
    /// What else it can do.
    pub abilities: AbilitiesView,
}

/// A setting.
#[derive(Debug, Serialize, ToSchema)]
pub struct SettingView {
    /// Its name in configurations.
    pub name: String,
    /// A name for people.
    pub title: String,
    /// `url`, `text`, `template`, `choice`, `switch`, `count`, `headers` or `activations`.
    pub kind: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Whether its value is sealed at rest and never shown again.
    pub secret: bool,
    /// Whether it says where requests go: where it changes, every secret has to be sent anew.
    pub leads: bool,
    /// What it is for.
    pub help: String,
    /// What counts where nothing is given.
    #[schema(value_type = Object, nullable)]
    pub default: Option<Value>,
    /// The texts that it takes, of a choice.
    pub choices: Vec<String>,
    /// A regular expression that matches the whole of a good text.
    pub pattern: Option<String>,
    /// The smallest count.
    pub minimum: Option<u64>,
    /// The largest count.
    pub maximum: Option<u64>,
    /// Other settings that have to be given where this one is.
    pub needs: Vec<String>,
}

/// Something that a definition can do with an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct ActionView {
    /// Its name in mappings.
    #[schema(example = "send")]
    pub name: String,
    /// A name for people.
    pub title: String,
    /// What it does.
    pub help: String,
    /// Where the vendor documents it.
    pub documentation: Option<String>,
    /// What it can be done with: `track`, `identify`, `page`, `screen`, `group`, `alias`, `audience_changes`,
    /// `audience_traits`, `profile_changes`.
    #[schema(value_type = Vec<String>)]
    pub takes: Vec<&'static str>,
    /// Which of those it is done with where a mapping says nothing else, as a condition; `null` for all of them.
    pub trigger: Option<String>,
    /// Whether a destination without mappings of its own does it.
    pub preset: bool,
    /// What its payload consists of.
    pub fields: Vec<FieldView>,
    /// Groups of fields of which at least one has to be there.
    pub any_of: Vec<Vec<String>>,
}

/// A member of an action's payload.
#[derive(Debug, Serialize, ToSchema)]
pub struct FieldView {
    /// Its name; dots part the names of objects within each other.
    pub name: String,
    /// A name for people.
    pub title: Option<String>,
    /// `text`, `number`, `integer`, `boolean`, `datetime`, `unix_micros`, `object`, `list` or `any`.
    pub kind: &'static str,
    /// What it is for.
    pub help: String,
    /// `never`, `always` or `with_setting`.
    pub required: &'static str,
    /// The setting with which it is required, of `with_setting`.
    pub required_with: Option<String>,
    /// How it is filled where a mapping says nothing else.
    #[schema(value_type = Object, nullable)]
    pub default: Option<Value>,
    /// How a personal value is made unreadable: `email`, `phone`, `name` or `text`.
    pub hash: Option<&'static str>,
    /// The longest text, in characters.
    pub characters_max: Option<usize>,
    /// What becomes of a longer one: `refuse` or `cut`.
    pub too_long: &'static str,
    /// A regular expression that matches the whole of a good text.
    pub pattern: Option<String>,
    /// The smallest number.
    pub minimum: Option<f64>,
    /// The largest number.
    pub maximum: Option<f64>,
    /// How many members an object or a list may have.
    pub members_max: Option<usize>,
    /// A regular expression that matches the whole of every member's name.
    pub member_pattern: Option<String>,
    /// The longest text of a member, in characters.
    pub member_characters_max: Option<usize>,
    /// Texts that it takes, if only some.
    pub choices: Vec<String>,
    /// Texts that the vendor refuses, or that begin so where they end with `*`.
    pub reserved: Vec<String>,
    /// How templates write what they put into it: `html_entities`, or as it is.
    pub escape: Option<&'static str>,
    /// Of an object or a list, what each of its members has to be.
    pub each: Option<EachView>,
}

/// What each member of an object or a list has to be: an object.
#[derive(Debug, Serialize, ToSchema)]
pub struct EachView {
    /// Its own members.
    pub members: Vec<EachMemberView>,
    /// Groups of names of which at least one has to be there.
    pub any_of: Vec<Vec<String>>,
    /// What becomes of one that is not so: `refuse` (the delivery) or `leave_out`.
    pub unfit: &'static str,
}

/// Members of what lies in an object or a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct EachMemberView {
    /// Their names, or what these begin with where they end with `*`.
    pub names: Vec<String>,
    /// `text`, `number` or `scalar`.
    pub kind: &'static str,
    /// The longest text, in characters.
    pub characters_max: Option<usize>,
    /// What becomes of a longer one: `refuse` or `cut`.
    pub too_long: &'static str,
}

/// How deliveries share requests.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchingView {
    /// How many deliveries a request may carry.
    pub events: usize,
    /// About how many bytes.
    pub bytes: usize,
    /// How long deliveries wait for others, in milliseconds.
    pub delay_ms: u64,
    /// The setting that says `events`, where it is given.
    pub events_setting: Option<String>,
    /// The setting that says the delay in seconds, where it is given.
    pub delay_seconds_setting: Option<String>,
    /// Which deliveries may share one: `all`, or those of one `profile`.
    pub among: &'static str,
}

/// A vendor's limits.
#[derive(Debug, Serialize, ToSchema)]
pub struct LimitsView {
    /// Requests a second.
    pub requests_per_second: Option<f64>,
    /// The setting that says so instead, where it is given.
    pub requests_per_second_setting: Option<String>,
    /// Requests under way at once.
    pub concurrency: Option<usize>,
    /// How long a request may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// How many bytes the payload of a delivery may have.
    pub payload_bytes: Option<usize>,
    /// How old events may be when they are sent; older ones are refused. `None` where they may be of any age.
    pub event_age: Option<EventAgeView>,
    /// What the vendor documents, in words.
    pub documented: Vec<String>,
}

/// How old events may be.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventAgeView {
    /// The greatest age, in hours.
    pub hours: u32,
    /// The field that says when an event happened.
    pub field: String,
}

/// What else a definition can do.
#[derive(Debug, Serialize, ToSchema)]
pub struct AbilitiesView {
    /// Whether it can delete a person.
    pub deletes_person: bool,
    /// Whether it has a call that does no harm and tells whether the settings are good.
    pub test_call: bool,
    /// Whether deliveries of one profile arrive in the order of their events.
    pub ordered: bool,
    /// Whether deliveries may share requests.
    pub batched: bool,
}

impl DefinitionView {
    pub(in crate::admin) fn of(spec: &Spec) -> Self {
        let (batch, limits) = (&spec.batch, &spec.limits);
        Self {
            name: spec.name.clone(),
            title: spec.title.clone(),
            help: spec.help.clone(),
            documentation: spec.documentation.clone(),
            settings: spec.settings.iter().map(SettingView::of).collect(),
            one_of: spec.one_of.clone(),
            actions: spec.actions.iter().map(ActionView::of).collect(),
            batching: BatchingView {
                events: batch.events,
                bytes: batch.bytes,
                delay_ms: batch.delay_ms,
                events_setting: batch.events_setting.clone(),
                delay_seconds_setting: batch.delay_seconds_setting.clone(),
                among: match batch.among {
                    BatchAmong::All => "all",
                    BatchAmong::Profile => "profile",
                },
            },
            limits: LimitsView {
                requests_per_second: limits.requests_per_second,
                requests_per_second_setting: limits.requests_per_second_setting.clone(),
                concurrency: limits.concurrency,
                timeout_ms: limits.timeout_ms,
                payload_bytes: limits.payload_bytes,
                event_age: limits.event_age.as_ref().map(EventAgeView::of),
                documented: limits.documented.clone(),
            },
            abilities: AbilitiesView::of(spec),
        }
    }
}

impl EventAgeView {
    fn of(age: &EventAgeSpec) -> Self {
        Self { hours: age.hours, field: age.field.clone() }
    }
}

impl AbilitiesView {
    fn of(spec: &Spec) -> Self {
        let (deletes_person, test_call) = match &spec.transport {
            TransportSpec::Http(http) => (http.delete.is_some(), http.test.is_some()),
            TransportSpec::Postgresql => (true, true),
            TransportSpec::ObjectStorage => (false, true),
        };
        let ordered = match spec.order {
            OrderSpec::Profile => true,
            OrderSpec::None => false,
        };
        let batched = spec.batch.events > 1 || spec.batch.events_setting.is_some();
        Self { deletes_person, test_call, ordered, batched }
    }
}

impl SettingView {
    fn of(setting: &SettingSpec) -> Self {
        Self {
            name: setting.name.clone(),
            title: setting.title.clone(),
            kind: match setting.kind {
                SettingKind::Url => "url",
                SettingKind::Text => "text",
                SettingKind::Template => "template",
                SettingKind::Choice => "choice",
                SettingKind::Switch => "switch",
                SettingKind::Count => "count",
                SettingKind::Headers => "headers",
                SettingKind::Activations => "activations",
            },
            required: setting.required,
            secret: setting.secret,
            leads: setting.leads,
            help: setting.help.clone(),
            default: setting.default.clone(),
            choices: setting.choices.clone(),
            pattern: setting.pattern.clone(),
            minimum: setting.minimum,
            maximum: setting.maximum,
            needs: setting.needs.clone(),
        }
    }
}

impl ActionView {
    fn of(action: &ActionSpec) -> Self {
        Self {
            name: action.name.clone(),
            title: action.title.clone(),
            help: action.help.clone(),
            documentation: action.documentation.clone(),
            takes: action.takes.iter().map(|taken| taken_name(*taken)).collect(),
            trigger: action.trigger.clone(),
            preset: action.preset,
            fields: action.fields.iter().map(FieldView::of).collect(),
            any_of: action.any_of.clone(),
        }
    }
}

impl FieldView {
    fn of(field: &FieldSpec) -> Self {
        let (required, required_with) = match &field.required {
            Required::Never => ("never", None),
            Required::Always => ("always", None),
            Required::WithSetting(setting) => ("with_setting", Some(setting.clone())),
        };
        Self {
            name: field.name.clone(),
            title: field.title.clone(),
            kind: kind_name(field.kind),
            help: field.help.clone(),
            required,
            required_with,
            default: field.default.clone(),
            hash: field.hash.map(hash_name),
            characters_max: field.characters_max,
            too_long: too_long_name(field.too_long),
            pattern: field.pattern.clone(),
            minimum: field.minimum,
            maximum: field.maximum,
            members_max: field.members_max,
            member_pattern: field.member_pattern.clone(),
            member_characters_max: field.member_characters_max,
            choices: field.choices.clone(),
            reserved: field.reserved.clone(),
            escape: field.escape.map(|escape| match escape {
                Escaping::HtmlEntities => "html_entities",
            }),
            each: field.each.as_ref().map(EachView::of),
        }
    }
}

impl EachView {
    fn of(each: &EachSpec) -> Self {
        let member = |member: &MemberSpec| EachMemberView {
            names: member.names.clone(),
            kind: match member.kind {
                MemberKind::Text => "text",
                MemberKind::Number => "number",
                MemberKind::Scalar => "scalar",
            },
            characters_max: member.characters_max,
            too_long: too_long_name(member.too_long),
        };
        Self {
            members: each.members.iter().map(member).collect(),
            any_of: each.any_of.clone(),
            unfit: match each.unfit {
                Unfit::Refuse => "refuse",
                Unfit::LeaveOut => "leave_out",
            },
        }
    }
}

const fn too_long_name(too_long: TooLong) -> &'static str {
    match too_long {
        TooLong::Refuse => "refuse",
        TooLong::Cut => "cut",
    }
}

const fn kind_name(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Text => "text",
        FieldKind::Number => "number",
        FieldKind::Integer => "integer",
        FieldKind::Boolean => "boolean",
        FieldKind::Datetime => "datetime",
        FieldKind::UnixMicros => "unix_micros",
        FieldKind::Object => "object",
        FieldKind::List => "list",
        FieldKind::Any => "any",
    }
}

const fn hash_name(hash: Hashing) -> &'static str {
    match hash {
        Hashing::Email => "email",
        Hashing::GoogleEmail => "google_email",
        Hashing::Phone => "phone",
        Hashing::Name => "name",
        Hashing::Text => "text",
    }
}

const fn taken_name(taken: Taken) -> &'static str {
    match taken {
        Taken::Track => "track",
        Taken::Identify => "identify",
        Taken::Page => "page",
        Taken::Screen => "screen",
        Taken::Group => "group",
        Taken::Alias => "alias",
        Taken::AudienceChanges => "audience_changes",
        Taken::AudienceTraits => "audience_traits",
        Taken::ProfileChanges => "profile_changes",
    }
}
