//! Tries before something is saved, or instead of it: with an event, with the settings, with a person to be deleted. What
//! is asked, and how it is read.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tributary_destinations::engine::{PreviewOf, PreviewOrder, PreviewProfile};
use tributary_destinations::{DestinationConfig, Person, preview_identifiers};
use tributary_ingest::{IngestLimits, as_stored};
use tributary_model::activation::Carried;
use tributary_model::identity_rules::IdentityRules;
use tributary_model::workspace::Destination;
use tributary_model::{DestinationId, MessageId, Namespace, ProfileId, Timestamp, Workspace};
use utoipa::ToSchema;

use super::bodies::{ConsentBody, ConsentPatch, DestinationNew, FilterPut, MappingPut, given};
use super::config;
use super::edits::{Changed, Parts};
use crate::admin::edit::{Editor, invalid, invalid_at};
use crate::admin::settings::Unsent;
use crate::workspaces::Refusal;
use tributary_model::json::depth;

/// How deeply an event, or a trait, may be nested: as deeply as the collector lets events be.
const DEPTH_MAX: usize = 64;

/// The message id of an event that has none.
const MESSAGE_ID: &str = "preview";

/// An event to be tried with a destination, and changes of it that are not saved. One of `event`, `message_id` and `latest`
/// is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationPreviewNew {
    /// The event, as a client would send it.
    #[schema(value_type = Option<Object>, example = json!({"type": "track", "event": "Order Completed", "userId": "u1"}))]
    pub event: Option<Box<RawValue>>,
    /// The message id of a recent event.
    pub message_id: Option<String>,
    /// `true` for the newest event that the destination would be sent.
    pub latest: Option<bool>,
    /// Whose the event shall be; only with `event`.
    pub profile: Option<PreviewProfileBody>,
    /// Whether it is sent, too; it is not where nothing is said.
    pub send: Option<bool>,
    /// Values of settings. Those not given are the saved ones, a null removes one, a masked secret is the saved one. With
    /// `send`, every secret has to be sent where a setting changes that says where requests go.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// All mappings, `null` for what the definition does by itself; the saved ones where nothing is said.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<MappingPut>>)]
    pub mappings: Option<Option<Vec<MappingPut>>>,
    /// All filters; the saved ones where nothing is said.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to; as it is saved where nothing is said.
    pub consent: Option<ConsentPatch>,
}

/// An event to be tried with a destination that is not saved. One of `event`, `message_id` and `latest` is given.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DestinationPreviewUnsaved {
    /// The event, as a client would send it.
    #[schema(value_type = Option<Object>, example = json!({"type": "track", "event": "Order Completed", "userId": "u1"}))]
    pub event: Option<Box<RawValue>>,
    /// The message id of a recent event.
    pub message_id: Option<String>,
    /// `true` for the newest event that the destination would be sent.
    pub latest: Option<bool>,
    /// Whose the event shall be; only with `event`.
    pub profile: Option<PreviewProfileBody>,
    /// Whether it is sent, too; it is not where nothing is said.
    pub send: Option<bool>,
    /// The name of its definition.
    #[schema(example = "webhook")]
    pub definition: String,
    /// A name for people; that of the definition where nothing is said.
    pub name: Option<String>,
    /// On or off; makes no difference.
    pub enabled: Option<bool>,
    /// The values of its settings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// What is done with which events; what the definition does by itself where nothing is said.
    pub mappings: Option<Vec<MappingPut>>,
    /// What is kept from it.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to.
    pub consent: Option<ConsentBody>,
}

/// Whose an event shall be.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PreviewProfileBody {
    /// The profile's id.
    pub id: Option<String>,
    /// Its identifiers, by namespace; those on the event are added.
    #[serde(default)]
    #[schema(example = json!({"email": ["ada@example.com"]}))]
    pub identifiers: BTreeMap<String, Vec<String>>,
    /// Its traits.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub traits: BTreeMap<String, Box<RawValue>>,
    /// In which audiences it is.
    #[serde(default)]
    pub audiences: BTreeMap<String, bool>,
    /// What it has consented to, by category; `null` if it never said anything.
    pub consent: Option<BTreeMap<String, bool>>,
}

/// Changes of a destination that are not saved, to be tried with its test call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestNew {
    /// Values of settings. Those not given are the saved ones, a null removes one, a masked secret is the saved one. Every
    /// secret has to be sent where a setting changes that says where requests go.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
}

/// A destination that is not saved, to be tried with its test call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestUnsaved {
    /// The name of its definition.
    #[schema(example = "webhook")]
    pub definition: String,
    /// A name for people; that of the definition where nothing is said.
    pub name: Option<String>,
    /// On or off; makes no difference.
    pub enabled: Option<bool>,
    /// The values of its settings.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub settings: Map<String, Value>,
    /// What is done with which events; what the definition does by itself where nothing is said.
    pub mappings: Option<Vec<MappingPut>>,
    /// What is kept from it.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to.
    pub consent: Option<ConsentBody>,
}

/// A person who is to be deleted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonDelete {
    /// The person's identifiers, by namespace.
    #[schema(example = json!({"user_id": ["u1"], "email": ["ada@example.com"]}))]
    pub identifiers: BTreeMap<String, Vec<String>>,
}

impl PersonDelete {
    /// Who is meant: identifiers in the form that these rules give them, each once.
    ///
    /// # Errors
    /// If there is no identifier, or a value can't be one.
    pub(in crate::admin) fn person(self, rules: &IdentityRules) -> Result<Person, Refusal> {
        let mut person = Person::new();
        for (name, values) in self.identifiers {
            let namespace = Namespace::new(&name);
            let normal = |value: &String| {
                rules.identifier(&namespace, value).map(|identifier| identifier.value().to_owned())
            };
            let values = values.iter().map(normal).collect::<Result<BTreeSet<_>, _>>();
            let values =
                values.map_err(|why| invalid_at(&format!("identifiers.{name}"), &format!(": {why}")))?;
            if !values.is_empty() {
                person.insert(name, values.into_iter().collect());
            }
        }
        if person.is_empty() {
            return Err(invalid_at("identifiers", ": give at least one"));
        }
        Ok(person)
    }
}

/// How far a try goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::admin) enum Reach {
    /// It is only shown what would be sent.
    Shown,
    /// It is sent.
    Sent,
}

/// The event of a try.
pub(in crate::admin) struct Subject {
    event: Option<Box<RawValue>>,
    message_id: Option<String>,
    latest: Option<bool>,
    profile: Option<PreviewProfileBody>,
    send: Option<bool>,
}

impl DestinationPreviewNew {
    /// The event, and the changes.
    pub(in crate::admin) fn parts(self) -> (Subject, Parts) {
        let Self { event, message_id, latest, profile, send, settings, mappings, filters, consent } = self;
        let parts = Parts { settings, mappings, filters, consent };
        (Subject { event, message_id, latest, profile, send }, parts)
    }
}

impl DestinationPreviewUnsaved {
    /// The event, and the destination.
    pub(in crate::admin) fn parts(self) -> (Subject, DestinationNew) {
        let Self { event, message_id, latest, profile, send, .. } = self;
        let Self { definition, name, enabled, settings, mappings, filters, consent, .. } = self;
        let name = name.unwrap_or_else(|| definition.clone());
        let new = DestinationNew { definition, name, enabled, settings, mappings, filters, consent };
        (Subject { event, message_id, latest, profile, send }, new)
    }
}

impl TestUnsaved {
    /// The destination.
    pub(in crate::admin) fn destination(self) -> DestinationNew {
        let Self { definition, name, enabled, settings, mappings, filters, consent } = self;
        let name = name.unwrap_or_else(|| definition.clone());
        DestinationNew { definition, name, enabled, settings, mappings, filters, consent }
    }
}

impl Subject {
    /// How far it goes.
    pub(in crate::admin) fn reach(&self) -> Reach {
        if self.send == Some(true) { Reach::Sent } else { Reach::Shown }
    }

    /// What the engine is asked. An event is taken as the collector would take it that has these limits.
    ///
    /// # Errors
    /// If not exactly one event is named, it would be rejected, or it can't be read whose it shall be.
    pub(in crate::admin) fn order(
        self,
        limits: &IngestLimits,
        now: Timestamp,
    ) -> Result<PreviewOrder, Refusal> {
        let send = self.reach() == Reach::Sent;
        let Self { event, message_id, latest, profile, .. } = self;
        if profile.is_some() && event.is_none() {
            return Err(invalid("`profile` goes with `event` only"));
        }
        let of = match (event, message_id, latest.unwrap_or(false)) {
            (Some(event), None, false) => PreviewOf::Event {
                event: taken(&event, limits, now)?,
                profile: profile.map(PreviewProfileBody::read).transpose()?.unwrap_or_default(),
            },
            (None, Some(id), false) => PreviewOf::Message(id),
            (None, None, true) => PreviewOf::Latest,
            (None, None, false) | (Some(_), _, _) | (_, Some(_), _) => {
                return Err(invalid("give exactly one of `event`, `message_id` and `latest`"));
            }
        };
        Ok(PreviewOrder { of, send })
    }
}

/// An event as it would be stored.
fn taken(event: &RawValue, limits: &IngestLimits, now: Timestamp) -> Result<Bytes, Refusal> {
    check_depth(event, "event")?;
    let message_id = MessageId::parse(MESSAGE_ID).expect("it is short, and not empty");
    as_stored(event.get(), &message_id, now, limits).map_err(|why| invalid_at("event", &format!(": {why}")))
}

/// Refuses what is nested so deeply that going down into it would take too much of a stack.
fn check_depth(value: &RawValue, place: &str) -> Result<(), Refusal> {
    if depth(value.get().as_bytes()) > DEPTH_MAX {
        return Err(invalid_at(place, &format!(" is nested deeper than {DEPTH_MAX} levels; flatten it")));
    }
    Ok(())
}

impl PreviewProfileBody {
    fn read(self) -> Result<PreviewProfile, Refusal> {
        let Self { id, identifiers, traits, audiences, consent } = self;
        let id = id.map(|id| id.parse::<ProfileId>()).transpose();
        let id = id.map_err(|_| invalid_at("profile.id", ": give the id of a profile, or leave it out"))?;
        let identifiers = preview_identifiers(&identifiers)
            .map_err(|message| invalid_at("profile.identifiers", &format!(": {message}")))?;
        for (name, value) in &traits {
            check_depth(value, &format!("profile.traits.{name}"))?;
        }
        let json = |value: Box<RawValue>| Some(Box::<str>::from(value));
        let carried = Carried {
            traits: traits.into_iter().map(|(name, value)| (name.into(), json(value))).collect(),
            audiences: audiences.into_iter().map(|(key, is_in)| (key.into(), is_in)).collect(),
            // What is not given was never said.
            consent: Some(
                consent.into_iter().flatten().map(|(category, granted)| (category.into(), granted)).collect(),
            ),
        };
        Ok(PreviewProfile { id, identifiers, carried })
    }
}

impl Editor {
    /// A saved destination with changes that are not saved, if it can work.
    ///
    /// # Errors
    /// If a change can't be read, it can't work, or saved secrets would be sent elsewhere: where and why.
    pub(in crate::admin) fn tried(
        &self,
        workspace: &Workspace,
        destination: &Destination,
        parts: Parts,
        reach: Reach,
    ) -> Result<DestinationConfig, Refusal> {
        let changed = self.over(workspace.id, destination.clone(), parts, Unsent::Kept)?;
        if reach == Reach::Sent {
            changed.check_secrets(destination)?;
        }
        self.workable(workspace, changed)
    }

    /// A saved destination with settings that are not saved, to be called without an event: its filters and mappings do not
    /// matter, and need not work.
    ///
    /// # Errors
    /// As [`Self::tried`].
    pub(in crate::admin) fn called(
        &self,
        workspace: &Workspace,
        destination: &Destination,
        settings: Option<Map<String, Value>>,
    ) -> Result<DestinationConfig, Refusal> {
        let bare = Destination { mappings: None, filters: Vec::new(), ..destination.clone() };
        self.tried(workspace, &bare, Parts { settings, ..Parts::default() }, Reach::Sent)
    }

    /// A destination that is not saved, if it can work. It has the number that it would get.
    ///
    /// # Errors
    /// As [`Self::tried`].
    pub(in crate::admin) fn tried_new(
        &self,
        workspace: &Workspace,
        new: DestinationNew,
    ) -> Result<DestinationConfig, Refusal> {
        let id = DestinationId(workspace.next_id);
        self.workable(workspace, self.new_destination(workspace, id, Timestamp::default(), new)?)
    }

    fn workable(&self, workspace: &Workspace, changed: Changed) -> Result<DestinationConfig, Refusal> {
        changed.check(workspace, self.allow_private_destinations)?;
        Ok(config(workspace, &changed.destination, changed.raw))
    }
}

#[cfg(test)]
mod tests;
