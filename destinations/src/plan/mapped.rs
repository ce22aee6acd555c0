//! Mappings: which activations they take, and what they make of them.

use super::age::AgeLimit;
use super::condition::EventCondition;
use super::profile::{ProfileNames, ProfileText, Subject};
use crate::config::DestinationConfig;
use crate::definition::{ActionSpec, RawSettings, SettingsError, Spec, Taken};
use crate::exchange::Payload;
use crate::failure::{Failure, Reason};
use crate::mapping::{CompiledAction, Root};
use crate::settings::listed;
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::activation::ActivationHeader;
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::json::Members;
use tributary_model::workspace::Mapping;
use tributary_model::{ActivationKind, EventKind, Timestamp};

/// How many mappings a destination may have.
const MAPPINGS_MAX: usize = 50;
/// The largest number of a mapping.
const MAPPING_ID_MAX: u32 = 1_000_000;

/// A mapping, ready to take activations.
pub(super) struct CompiledMapping {
    pub(super) id: u32,
    name: String,
    /// Where it stands in the configuration.
    place: String,
    /// The index of the action within its definition.
    index: usize,
    action: &'static ActionSpec,
    trigger: Option<EventCondition>,
    fields: CompiledAction,
    /// Members of payloads: only payloads with equal values of them share a request.
    equal: &'static [String],
}

/// The mappings of a destination that do something, ready.
///
/// # Errors
/// The first part of one that can't be used, whether it does something or not.
pub(super) fn compile(
    spec: &'static Spec,
    config: &DestinationConfig,
) -> Result<Vec<CompiledMapping>, SettingsError> {
    let settings = &config.settings;
    let Some(mappings) = &config.mappings else { return presets(spec, settings) };
    if mappings.is_empty() {
        let message = "is empty; name at least one, or leave it out for what the definition does by itself";
        return Err(SettingsError::new("mappings", message));
    }
    if mappings.len() > MAPPINGS_MAX {
        let message = format!("has {} mappings; the limit is {MAPPINGS_MAX}", mappings.len());
        return Err(SettingsError::new("mappings", message));
    }
    let mut ids = BTreeSet::new();
    let mut compiled = Vec::with_capacity(mappings.len());
    for (at, mapping) in mappings.iter().enumerate() {
        let place = format!("mappings[{at}]");
        if !(1..=MAPPING_ID_MAX).contains(&mapping.id) || !ids.insert(mapping.id) {
            let message = format!("must be a number from 1 to {MAPPING_ID_MAX} that no other mapping has");
            return Err(SettingsError::new(format!("{place}.id"), message));
        }
        let ready = CompiledMapping::of(spec, settings, &place, mapping)?;
        if mapping.enabled {
            if let Some(trigger) = &ready.trigger {
                trigger.check_audiences(&format!("{place}.trigger"), &config.audiences)?;
            }
            compiled.push(ready);
        }
    }
    Ok(compiled)
}

/// What a definition does by itself.
fn presets(spec: &'static Spec, settings: &RawSettings) -> Result<Vec<CompiledMapping>, SettingsError> {
    let actions = (1..).zip(&spec.actions).filter(|(_, action)| action.preset);
    let mapping = |(id, action): (u32, &ActionSpec)| {
        let mapping = Mapping {
            id,
            name: action.title.clone(),
            action: action.name.clone(),
            enabled: true,
            trigger: None,
            fields: BTreeMap::new(),
        };
        CompiledMapping::of(spec, settings, &format!("actions.{}", action.name), &mapping)
    };
    actions.map(mapping).collect()
}

impl CompiledMapping {
    fn of(
        spec: &'static Spec,
        settings: &RawSettings,
        place: &str,
        mapping: &Mapping,
    ) -> Result<Self, SettingsError> {
        let (index, action) = find_action(spec, place, &mapping.action)?;
        let trigger_place = format!("{place}.trigger");
        let trigger = match (&mapping.trigger, &action.trigger) {
            (Some(condition), _) => Some(EventCondition::compile(&trigger_place, condition)?),
            (None, Some(text)) => {
                let condition = parse_condition(text, Scope::Event)
                    .map_err(|error| SettingsError::new(&trigger_place, format!("can't be used: {error}")))?;
                Some(EventCondition::compile(&trigger_place, &condition)?)
            }
            (None, None) => None,
        };
        let fields = CompiledAction::compile(spec, action, &mapping.fields, settings)
            .map_err(|error| SettingsError::new(format!("{place}.fields.{}", error.place), error.message))?;
        let (name, place) = (mapping.name.clone(), place.to_owned());
        Ok(Self { id: mapping.id, name, place, index, action, trigger, fields, equal: &spec.batch.equal })
    }

    /// That what it fills fields with whatever the event is can be sent.
    ///
    /// # Errors
    /// The first field that can't be sent so, or the setting that it is filled with.
    pub(super) fn check_constants(&self) -> Result<(), SettingsError> {
        self.fields.check_constants(&self.place)
    }

    /// What its fields name of profiles.
    pub(super) fn names(&self) -> ProfileNames {
        let mut names = ProfileNames::default();
        self.fields.paths(&mut |path| names.note(path));
        names
    }

    /// Its trigger.
    pub(super) const fn trigger(&self) -> Option<&EventCondition> {
        self.trigger.as_ref()
    }

    /// Whether it takes an activation.
    ///
    /// # Errors
    /// If that can't be told, as the activation does not carry what the trigger names.
    pub(super) fn takes(&self, subject: &Subject<'_>) -> Result<bool, Failure> {
        if !self.action.takes.contains(&taken(subject.header)) {
            return Ok(false);
        }
        let Some(trigger) = &self.trigger else { return Ok(true) };
        trigger.holds(subject, || format!("the trigger of {}", self.described()))
    }

    /// What it makes of an activation that is attempted at that time, the event being this text.
    ///
    /// # Errors
    /// If that would not be valid, or is older than the vendor takes events, and what to do about it.
    pub(super) fn payload(
        &self,
        header: &ActivationHeader,
        delivery_id: &str,
        event: &str,
        profile: &ProfileText<'_>,
        (age, at): (Option<&AgeLimit>, Timestamp),
    ) -> Result<Payload, Failure> {
        let id = if self.id == 1 { delivery_id.to_owned() } else { format!("{delivery_id}.{}", self.id) };
        let delivery = format!(
            r#"{{"id":"{id}","shared_id":"{delivery_id}","kind":"{}","received_at":"{}","mapping":{}}}"#,
            header.kind.name(),
            header.received_at,
            self.id
        );
        let root = Root::new(event).with(super::PROFILE, profile.get()).with("delivery", &delivery);
        let within =
            |failure: Failure| Failure { text: format!("{}: {}", self.described(), failure.text), ..failure };
        let body = self.fields.payload(&root).map_err(within)?;
        if let Some(age) = age {
            age.check(&body, at).map_err(within)?;
        }
        Ok(Payload {
            id,
            mapping: self.id,
            action: self.index,
            group: self.group(&body)?,
            profile: header.profile,
            received_at: header.received_at,
            body: body.into(),
        })
    }

    /// A hash of what payloads have to have in common to share a request.
    fn group(&self, body: &[u8]) -> Result<u64, Failure> {
        let mut hasher = blake3::Hasher::new_derive_key("tributary 2026 groups of payloads v1");
        hasher.update(&(self.index as u64).to_be_bytes());
        if !self.equal.is_empty() {
            let unreadable = || Failure::new(Reason::InvalidRequest, "the payload is no JSON object");
            let text = std::str::from_utf8(body).map_err(|_| unreadable())?;
            for path in self.equal {
                let value = member(text, path);
                hasher.update(&[u8::from(value.is_some())]);
                let value = value.unwrap_or_default();
                hasher.update(&(value.len() as u64).to_be_bytes());
                hasher.update(value.as_bytes());
            }
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Ok(u64::from_be_bytes(first))
    }

    fn described(&self) -> String {
        format!("mapping {} {:?}", self.id, self.name)
    }
}

fn find_action(
    spec: &'static Spec,
    place: &str,
    name: &str,
) -> Result<(usize, &'static ActionSpec), SettingsError> {
    let found = spec.actions.iter().enumerate().find(|(_, action)| action.name == name);
    found.ok_or_else(|| {
        let known = listed(spec.actions.iter().map(|action| action.name.as_str()));
        let message = format!("is no action of {}; it has {known}", spec.name);
        SettingsError::new(format!("{place}.action"), message)
    })
}

/// What actions call an activation.
const fn taken(header: &ActivationHeader) -> Taken {
    match header.kind {
        ActivationKind::Event => match header.event_kind {
            EventKind::Track => Taken::Track,
            EventKind::Identify => Taken::Identify,
            EventKind::Page => Taken::Page,
            EventKind::Screen => Taken::Screen,
            EventKind::Group => Taken::Group,
            EventKind::Alias => Taken::Alias,
        },
        ActivationKind::ProfileMerged | ActivationKind::ProfileSplit => Taken::ProfileChanges,
        ActivationKind::AudienceEntered | ActivationKind::AudienceExited => Taken::AudienceChanges,
        ActivationKind::AudienceTrait => Taken::AudienceTraits,
    }
}

/// The JSON text of a member; dots part the names of objects within each other.
pub(super) fn member<'a>(object: &'a str, path: &str) -> Option<&'a str> {
    path.split('.').try_fold(object, |json, name| Some(Members::parse(json).ok()?.get(name)?.get()))
}
