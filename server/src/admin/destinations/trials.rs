//! Tries before something is saved, or instead of it: with an event, with the settings, with a person to be deleted. What
//! is asked, and how it is read.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tributary_destinations::engine::{PreviewOf, PreviewOrder, PreviewProfile};
use tributary_destinations::{DestinationConfig, Person, preview_identifiers};
use tributary_model::activation::Carried;
use tributary_model::workspace::Destination;
use tributary_model::{DestinationId, ProfileId, Timestamp, Workspace};
use utoipa::ToSchema;

use super::bodies::{ConsentBody, DestinationNew, FilterPut, MappingPut, given};
use super::config;
use super::edits::{Changed, Parts};
use crate::admin::edit::{Editor, invalid, invalid_at};
use crate::admin::settings::Unsent;
use crate::workspaces::Refusal;

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
    /// Values of settings. Those not given are the saved ones, a null removes one, a masked secret is the saved one.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
    /// All mappings, `null` for what the definition does by itself; the saved ones where nothing is said.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<Vec<MappingPut>>)]
    pub mappings: Option<Option<Vec<MappingPut>>>,
    /// All filters; the saved ones where nothing is said.
    pub filters: Option<Vec<FilterPut>>,
    /// What people have to have consented to; as it is saved where nothing is said.
    pub consent: Option<ConsentBody>,
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
    /// Values of settings. Those not given are the saved ones, a null removes one, a masked secret is the saved one.
    #[schema(value_type = Option<Object>)]
    pub settings: Option<Map<String, Value>>,
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
    /// Who is meant.
    ///
    /// # Errors
    /// If there is no identifier.
    pub(in crate::admin) fn person(self) -> Result<Person, Refusal> {
        if self.identifiers.values().all(Vec::is_empty) {
            return Err(invalid_at("identifiers", ": give at least one"));
        }
        Ok(self.identifiers)
    }
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

impl Subject {
    /// Whether it is sent, too.
    pub(in crate::admin) fn is_sent(&self) -> bool {
        self.send.unwrap_or(false)
    }

    /// What the engine is asked.
    ///
    /// # Errors
    /// If not exactly one event is named, or it can't be read whose it shall be.
    pub(in crate::admin) fn order(self) -> Result<PreviewOrder, Refusal> {
        let send = self.is_sent();
        let Self { event, message_id, latest, profile, .. } = self;
        if profile.is_some() && event.is_none() {
            return Err(invalid("`profile` goes with `event` only"));
        }
        let of = match (event, message_id, latest.unwrap_or(false)) {
            (Some(event), None, false) => PreviewOf::Event {
                event: Bytes::from(Box::<str>::from(event).into_string()),
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

impl PreviewProfileBody {
    fn read(self) -> Result<PreviewProfile, Refusal> {
        let Self { id, identifiers, traits, audiences, consent } = self;
        let id = id.map(|id| id.parse::<ProfileId>()).transpose();
        let id = id.map_err(|_| invalid_at("profile.id", ": give the id of a profile, or leave it out"))?;
        let identifiers = preview_identifiers(&identifiers)
            .map_err(|message| invalid_at("profile.identifiers", &format!(": {message}")))?;
        let json = |value: Box<RawValue>| Some(Box::<str>::from(value));
        let carried = Carried {
            traits: traits.into_iter().map(|(name, value)| (name.into(), json(value))).collect(),
            audiences: audiences.into_iter().map(|(key, is_in)| (key.into(), is_in)).collect(),
            consent: consent
                .map(|all| all.into_iter().map(|(category, granted)| (category.into(), granted)).collect()),
        };
        Ok(PreviewProfile { id, identifiers, carried })
    }
}

impl Editor {
    /// A saved destination with changes that are not saved, if it can work.
    ///
    /// # Errors
    /// If a change can't be read, or it can't work: where and why.
    pub(in crate::admin) fn tried(
        &self,
        workspace: &Workspace,
        destination: &Destination,
        parts: Parts,
    ) -> Result<DestinationConfig, Refusal> {
        let changed = self.over(workspace.id, destination.clone(), parts, Unsent::Kept)?;
        workable(workspace, changed)
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
        workable(workspace, self.new_destination(workspace, id, Timestamp::default(), new)?)
    }
}

fn workable(workspace: &Workspace, changed: Changed) -> Result<DestinationConfig, Refusal> {
    changed.check(workspace)?;
    Ok(config(workspace, &changed.destination, changed.raw))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(body: &str) -> Result<PreviewOrder, Refusal> {
        let body: DestinationPreviewNew = serde_json::from_str(body).expect("a body");
        body.parts().0.order()
    }

    #[test]
    fn exactly_one_event_is_tried() {
        let cases = [
            (r#"{"event": {"type": "track"}}"#, true),
            (r#"{"message_id": "m1", "send": true}"#, true),
            (r#"{"latest": true}"#, true),
            (r#"{"latest": true, "profile": {}}"#, false),
            (r#"{"event": {}, "profile": {"id": "nobody"}}"#, false),
            (r#"{"event": {}, "profile": {"identifiers": {"email": [""]}}}"#, false),
            ("{}", false),
            (r#"{"latest": false}"#, false),
            (r#"{"event": {}, "latest": true}"#, false),
            (r#"{"event": {}, "message_id": "m1"}"#, false),
        ];
        for (body, is_taken) in cases {
            assert_eq!(order(body).is_ok(), is_taken, "{body}");
        }
        assert!(order(r#"{"message_id": "m1", "send": true}"#).expect("it is taken").send);
    }

    #[test]
    fn numbers_of_an_event_and_of_traits_keep_their_digits() {
        let body = r#"{"event": {"type": "track", "properties": {"n": 9007199254740993.10}},
            "profile": {"traits": {"score": 1.50}, "consent": {"ads": true}}}"#;
        let PreviewOf::Event { event, profile } = order(body).expect("it is taken").of else {
            panic!("an event was given");
        };
        assert_eq!(event, r#"{"type": "track", "properties": {"n": 9007199254740993.10}}"#);
        assert_eq!(profile.carried.traits["score"].as_deref(), Some("1.50"));
        assert_eq!(profile.carried.consent, Some([("ads".into(), true)].into()));
    }
}
