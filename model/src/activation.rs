//! What the activations log holds: what happened, to which profile, for destinations to take from there.

use crate::event::EventKind;
use crate::id::{MessageId, ProfileId, SourceId, WorkspaceId};
use crate::identifier::Identifier;
use crate::record::{DecodeError, Position, decode_parts, encode_parts};
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

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
}

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

    /// The stored form, laid out like a record's.
    pub fn encode(&self) -> Bytes {
        encode_parts(&self.header, &self.event)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let (header, event) = decode_parts(bytes)?;
        Ok(Self { header, event })
    }
}
