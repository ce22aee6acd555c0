//! What is told of audiences: two activations for each change of a membership, in the two forms that receivers know.
//!
//! ```json
//! {"type":"track","event":"Audience Entered","messageId":"tributary-7-1","userId":"ada","timestamp":"…",
//!  "properties":{"audience_key":"buyers","buyers":true}}
//! {"type":"identify","messageId":"tributary-7-2","userId":"ada","timestamp":"…","traits":{"buyers":true}}
//! ```
//!
//! `Audience Exited` has `false`. `userId` and `anonymousId` are the first of the identifiers that the change is told
//! with: of an entry the profile's, of an exit those of its entry.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::{
    Activation, EventKind, Identifier, MessageId, Namespace, Position, ProfileId, SourceId, Timestamp,
    WorkspaceId,
};

/// A call of ours.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    r#type: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    message_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous_id: Option<&'a str>,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    properties: Option<Properties<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traits: Option<Traits<'a>>,
}

struct Properties<'a>(&'a str, bool);

struct Traits<'a>(&'a str, bool);

impl Serialize for Properties<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("audience_key", self.0)?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

impl Serialize for Traits<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &self.1)?;
        map.end()
    }
}

/// Which way a membership changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The profile entered.
    Entered,
    /// It left.
    Exited,
}

/// A change of a membership, and where it stands.
pub(crate) struct AudienceTold<'a> {
    /// Whose it is.
    pub(crate) workspace: WorkspaceId,
    /// The record that did it.
    pub(crate) position: Position,
    /// Which of the activations of that record is the first of the two.
    pub(crate) ordinal: u32,
    /// The log's time.
    pub(crate) at: Timestamp,
    /// The source of the event that did it; 0 if none did.
    pub(crate) source: SourceId,
    /// The profile.
    pub(crate) profile: ProfileId,
    /// The audience's key.
    pub(crate) key: &'a str,
    /// The identifiers that it is told with.
    pub(crate) identifiers: &'a [Identifier],
}

/// One of the two forms.
enum Form<'a> {
    Track(ActivationKind, &'static str, Properties<'a>),
    Identify(Traits<'a>),
}

impl AudienceTold<'_> {
    /// The two activations.
    pub(crate) fn tell(&self, change: Change) -> [Activation; 2] {
        let is_in = change == Change::Entered;
        let (kind, event) = match change {
            Change::Entered => (ActivationKind::AudienceEntered, "Audience Entered"),
            Change::Exited => (ActivationKind::AudienceExited, "Audience Exited"),
        };
        let track = Form::Track(kind, event, Properties(self.key, is_in));
        let identify = Form::Identify(Traits(self.key, is_in));
        [self.activation(self.ordinal, track), self.activation(self.ordinal + 1, identify)]
    }

    fn activation(&self, ordinal: u32, form: Form<'_>) -> Activation {
        let (event_kind, kind, event, properties, traits) = match form {
            Form::Track(kind, event, properties) => {
                (EventKind::Track, kind, Some(event), Some(properties), None)
            }
            Form::Identify(traits) => {
                (EventKind::Identify, ActivationKind::AudienceTrait, None, None, Some(traits))
            }
        };
        let first = |namespace: Namespace| {
            self.identifiers.iter().find(|known| *known.namespace() == namespace).map(Identifier::value)
        };
        let message_id = format!("tributary-{}-{ordinal}", self.position.sequence);
        let body = Body {
            r#type: event_kind.name(),
            event,
            message_id: &message_id,
            user_id: first(Namespace::USER_ID),
            anonymous_id: first(Namespace::ANONYMOUS_ID),
            timestamp: self.at.to_string(),
            properties,
            traits,
        };
        let event = serde_json::to_vec(&body).expect("plain values can be written").into();
        let header = ActivationHeader {
            workspace: self.workspace,
            position: self.position,
            ordinal,
            profile: Some(self.profile),
            identifiers: self.identifiers.to_vec(),
            event_kind,
            source: self.source,
            message_id: MessageId::parse(&message_id).expect("a short text is a message id"),
            received_at: self.at,
            event_time: self.at,
            kind,
            carried: tributary_model::activation::Carried::default(),
        };
        Activation { header, event }
    }
}
