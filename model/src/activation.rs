//! What the activations log holds: what happened, to which profile, for destinations to take from there.
//!
//! Stored form, version 3: laid out like a record's. Version 2 carried nothing of the profile, version 1 had no kind
//! either: each of its activations is an event.

use crate::event::EventKind;
use crate::id::{MessageId, ProfileId, SourceId, WorkspaceId};
use crate::identifier::Identifier;
use crate::record::{DecodeError, Position, encode_parts, read_header, split_parts};
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything about an activation but the event's bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivationHeader {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// The position in the events log of the record that caused it.
    pub position: Position,
    /// Which of the activations that this record caused, from 0. (workspace, position, ordinal) is its id.
    pub ordinal: u32,
    /// The profile that the event was resolved to; `None` for an event without identifiers.
    pub profile: Option<ProfileId>,
    /// The profile's identifiers at that time.
    pub identifiers: Vec<Identifier>,
    /// Which call the event is.
    pub event_kind: EventKind,
    /// The event's source.
    pub source: SourceId,
    /// The event's message id.
    pub message_id: MessageId,
    /// When the event arrived.
    pub received_at: Timestamp,
    /// When the event happened.
    pub event_time: Timestamp,
    /// What happened.
    pub kind: ActivationKind,
    /// What destinations name of the profile, as it was then.
    pub carried: Carried,
}

/// What some destination's mapping, filter, trigger or consent rule names of a profile, as it was when the activation
/// was made. Destinations can't look at profiles, so what they need goes with the activation.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Carried {
    /// Traits and computed traits by name, as JSON text; `None` for one that the profile lacks. One that is not in here
    /// was named by no destination then: what it was can't be told.
    pub traits: BTreeMap<Box<str>, Option<Box<str>>>,
    /// Audiences by key: whether the profile was a member. One that is not in here was named by no destination then, or
    /// did not exist.
    pub audiences: BTreeMap<Box<str>, bool>,
    /// Whether the categories of consent that destinations named then are granted: by the profile; for an event that states
    /// preferences itself, by these, as far as no other id of the profile refuses. Empty if nothing was ever said. `None` if
    /// no destination named a category then, or there is no profile: what it had said can't be told.
    pub consent: Option<BTreeMap<Box<str>, bool>>,
}

/// Shows names only: values are personal data.
impl std::fmt::Debug for Carried {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let traits: Vec<_> = self.traits.keys().collect();
        write!(out, "Carried({traits:?}, {:?}, {:?})", self.audiences, self.consent)
    }
}

/// What happened. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActivationKind {
    /// A client's event was resolved.
    Event,
    /// Profiles became one. The event is one of ours, in the form of a track call.
    ProfileMerged,
    /// A profile was parted. The event is one of ours, in the form of a track call.
    ProfileSplit,
    /// A profile entered an audience, in the form of a track call: `Audience Entered`.
    AudienceEntered,
    /// A profile left an audience, in the form of a track call: `Audience Exited`.
    AudienceExited,
    /// A profile entered or left an audience, in the form of an identify call that sets the audience's key to true or
    /// false.
    AudienceTrait,
}

impl ActivationKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Event,
        Self::ProfileMerged,
        Self::ProfileSplit,
        Self::AudienceEntered,
        Self::AudienceExited,
        Self::AudienceTrait,
    ];

    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::ProfileMerged => "profile_merged",
            Self::ProfileSplit => "profile_split",
            Self::AudienceEntered => "audience_entered",
            Self::AudienceExited => "audience_exited",
            Self::AudienceTrait => "audience_trait",
        }
    }
}

const VERSION: u8 = 3;

/// An activation: a header, and the event as stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Activation {
    /// Everything but the event's bytes.
    pub header: ActivationHeader,
    /// The event as stored.
    pub event: Bytes,
}

impl std::fmt::Debug for Activation {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Activation({:?}, {} bytes)", self.header, self.event.len())
    }
}

impl Activation {
    /// The order of activations in their log: by position, then ordinal.
    pub fn place(&self) -> (Position, u32) {
        (self.header.position, self.header.ordinal)
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        encode_parts(VERSION, &self.header, &self.event)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let (version, header, event) = split_parts(bytes, VERSION)?;
        let header = match version {
            // What was added stands last, and a zero is `Event`, an empty map and `None`.
            1 => read_header(&[header, &[0, 0, 0, 0]].concat())?,
            2 => read_header(&[header, &[0, 0, 0]].concat())?,
            _ => read_header(header)?,
        };
        Ok(Self { header, event })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identifier::Namespace;

    /// The header as version 1 had it.
    #[derive(Serialize)]
    struct Header1 {
        workspace: WorkspaceId,
        position: Position,
        ordinal: u32,
        profile: Option<ProfileId>,
        identifiers: Vec<Identifier>,
        event_kind: EventKind,
        source: SourceId,
        message_id: MessageId,
        received_at: Timestamp,
        event_time: Timestamp,
    }

    fn activation(kind: ActivationKind) -> Activation {
        let at = Timestamp::parse("2026-11-20T10:00:00Z").expect("a time");
        let header = ActivationHeader {
            workspace: WorkspaceId(1),
            position: Position::at(300),
            ordinal: 1,
            profile: Some(ProfileId([7; 16])),
            identifiers: vec![Identifier::parse(Namespace::USER_ID, "u1").expect("an identifier")],
            event_kind: EventKind::Track,
            source: SourceId(2),
            message_id: MessageId::parse("m1").expect("an id"),
            received_at: at,
            event_time: at.plus_micros(-5),
            kind,
            carried: Carried {
                traits: [("plan".into(), Some("\"pro\"".into())), ("age".into(), None)].into(),
                audiences: [("vip".into(), true)].into(),
                consent: Some([("ads".into(), false)].into()),
            },
        };
        Activation { header, event: Bytes::from_static(br#"{"type":"track"}"#) }
    }

    #[test]
    fn the_stored_form_is_read_back() {
        for (number, kind) in ActivationKind::ALL.into_iter().enumerate() {
            let activation = activation(kind);
            let bytes = activation.encode();
            assert_eq!(bytes[0], 3);
            assert_eq!(Activation::decode(&bytes).expect("own bytes"), activation);
            assert_eq!(kind as usize, number, "the stored form numbers them");
        }
        let unknown = Activation::decode(&Bytes::from_static(&[4, 0, 0, 0, 0]));
        assert!(matches!(unknown, Err(DecodeError::Version(4))));
        assert!(matches!(Activation::decode(&Bytes::new()), Err(DecodeError::Damaged)));
        assert!(matches!(Activation::decode(&Bytes::from_static(&[2, 9, 0])), Err(DecodeError::Damaged)));
    }

    #[test]
    fn version_1_is_read_as_an_event() {
        let mut want = activation(ActivationKind::Event);
        want.header.carried = Carried::default();
        let ActivationHeader {
            workspace,
            position,
            ordinal,
            profile,
            identifiers,
            event_kind,
            source,
            message_id,
            received_at,
            event_time,
            kind: _,
            carried: _,
        } = want.header.clone();
        let old = Header1 {
            workspace,
            position,
            ordinal,
            profile,
            identifiers,
            event_kind,
            source,
            message_id,
            received_at,
            event_time,
        };
        let bytes = encode_parts(1, &old, &want.event);
        assert_eq!(Activation::decode(&bytes).expect("version 1"), want);
        let bytes = encode_parts(2, &(old, ActivationKind::AudienceExited), &want.event);
        want.header.kind = ActivationKind::AudienceExited;
        assert_eq!(Activation::decode(&bytes).expect("version 2"), want);
    }
}
