//! What the events log holds.
//!
//! A record is an envelope and a payload. Everything personal is in the payload, so that it can be sealed
//! with a key and forgotten by forgetting the key. Stored form, version 1: one version byte, the length of
//! the envelope as a little-endian u32, the envelope in postcard, the payload.

use crate::command::Command;
use crate::event::{AcceptedEvent, EventKind};
use crate::id::{MessageId, SourceId, WorkspaceId};
use crate::tick::Tick;
use crate::time::Timestamp;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place in a log, given by us and stable for ever: it survives moving a log between implementations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// The partition; all events of a workspace are in one.
    pub partition: u32,
    /// The sequence number within it, counted from 0 without gaps.
    pub sequence: u64,
}

impl Position {
    /// A position in partition 0.
    pub const fn at(sequence: u64) -> Self {
        Self { partition: 0, sequence }
    }

    /// Reads the text form, which is the only one that a position has; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let (partition, sequence) = text.split_once('.')?;
        let position = Self { partition: partition.parse().ok()?, sequence: sequence.parse().ok()? };
        (position.to_string() == text).then_some(position)
    }
}

/// The text form: partition and sequence, as in `0.1234`.
impl fmt::Display for Position {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.partition, self.sequence)
    }
}

/// What kind of record it is. Everything that changes state is one. The stored form numbers the variants: new ones
/// go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecordKind {
    /// A client's event; the payload is the stored JSON object.
    Event(EventKind),
    /// A version of the workspace came into force; the payload is that version as JSON (secrets sealed).
    WorkspaceVersion,
    /// A workspace was deleted; no payload.
    WorkspaceDeleted,
    /// A person's command about profiles; the payload is a [`Command`] as JSON.
    Command,
    /// Time went on, or a piece of work is due; the payload is a [`Tick`] as JSON.
    Tick,
}

/// What was noticed about an event on its way in; a set of flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Marks(pub u16);

impl Marks {
    /// The client's time was later than the arrival, and arrival was taken instead.
    pub const FUTURE_TIME: Self = Self(1);
    /// The client's time could not be read, and arrival was taken instead.
    pub const UNREADABLE_TIME: Self = Self(2);
    /// The client's clock was off and the event time was corrected.
    pub const CORRECTED_TIME: Self = Self(4);
    /// A lone surrogate was replaced by U+FFFD.
    pub const REPLACED_SURROGATE: Self = Self(8);
    /// The event is larger than the size that other products accept (32 KB).
    pub const LARGE: Self = Self(16);

    /// Every mark with its stable name.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::FUTURE_TIME, "future_time"),
        (Self::UNREADABLE_TIME, "unreadable_time"),
        (Self::CORRECTED_TIME, "corrected_time"),
        (Self::REPLACED_SURROGATE, "replaced_surrogate"),
        (Self::LARGE, "large"),
    ];

    /// Adds a mark.
    pub fn add(&mut self, mark: Self) {
        self.0 |= mark.0;
    }

    /// Whether it is set.
    pub const fn has(self, mark: Self) -> bool {
        self.0 & mark.0 != 0
    }

    /// The names of those that are set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::ALL.into_iter().filter(move |(mark, _)| self.has(*mark)).map(|(_, name)| name)
    }
}

/// The part of a record that holds nothing personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// What it is.
    pub kind: RecordKind,
    /// The version of the workspace under which it was written; of a `WorkspaceVersion`, that version.
    pub workspace_version: u64,
    /// The source of an event; 0 for other kinds.
    pub source: SourceId,
    /// The idempotency key of an event.
    pub message_id: Option<MessageId>,
    /// When it arrived or was written.
    pub received_at: Timestamp,
    /// When an event happened; of other kinds, when it was written.
    pub event_time: Timestamp,
    /// What was noticed about an event.
    pub marks: Marks,
    /// The version of the payload's form.
    pub schema_version: u16,
    /// The key that seals the payload; 0 if it is not sealed.
    pub key_id: u32,
    /// Keyed hash of the event's anchor identifier.
    pub anchor_hash: Option<[u8; 16]>,
}

/// A record of the events log.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    /// The part that holds nothing personal.
    pub envelope: Envelope,
    /// The client's bytes, or the document.
    pub payload: Bytes,
}

impl fmt::Debug for Record {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Record({:?}, {} bytes)", self.envelope, self.payload.len())
    }
}

/// The bytes are not in a form that this version of the program knows.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// Written by a newer version of the program.
    #[error("stored form {0} is not known to this version")]
    Version(u8),
    /// Too short, or its parts don't fit.
    #[error("stored bytes are damaged")]
    Damaged,
}

const VERSION: u8 = 1;

/// Puts a version byte, a header in postcard and a payload into one buffer.
pub(crate) fn encode_parts<H: Serialize>(version: u8, header: &H, payload: &[u8]) -> Bytes {
    let mut bytes = Vec::with_capacity(160 + payload.len());
    bytes.extend_from_slice(&[version, 0, 0, 0, 0]);
    let mut bytes = postcard::to_extend(header, bytes).expect("a header of plain values can be written");
    let header_bytes = u32::try_from(bytes.len() - 5).expect("a header is bounded well below 4 GiB");
    bytes[1..5].copy_from_slice(&header_bytes.to_le_bytes());
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// The parts that [`encode_parts`] puts together: the version, from 1 to the newest, the header's bytes, and the
/// payload, which shares the buffer.
pub(crate) fn split_parts(bytes: &Bytes, newest: u8) -> Result<(u8, &[u8], Bytes), DecodeError> {
    let version = match bytes.first() {
        Some(&version) if (1..=newest).contains(&version) => version,
        Some(&other) => return Err(DecodeError::Version(other)),
        None => return Err(DecodeError::Damaged),
    };
    let length = bytes.get(1..5).and_then(|four| four.try_into().ok()).ok_or(DecodeError::Damaged)?;
    let end = 5usize.saturating_add(u32::from_le_bytes(length) as usize);
    let header = bytes.get(5..end).ok_or(DecodeError::Damaged)?;
    Ok((version, header, bytes.slice(end..)))
}

/// Reads a header in postcard.
pub(crate) fn read_header<H: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<H, DecodeError> {
    postcard::from_bytes(bytes).map_err(|_| DecodeError::Damaged)
}

impl Record {
    /// The record of an accepted event.
    pub fn from_event(event: AcceptedEvent) -> Self {
        Self {
            envelope: Envelope {
                workspace: event.workspace,
                kind: RecordKind::Event(event.kind),
                workspace_version: event.workspace_version,
                source: event.source,
                message_id: Some(event.message_id),
                received_at: event.received_at,
                event_time: event.event_time,
                marks: event.marks,
                schema_version: 1,
                key_id: 0,
                anchor_hash: event.anchor_hash,
            },
            payload: event.payload,
        }
    }

    /// The record that puts a workspace version into force, or (without a document) ends a workspace.
    pub fn of_workspace(id: WorkspaceId, version: u64, at: Timestamp, document: Option<Bytes>) -> Self {
        Self {
            envelope: Envelope {
                workspace: id,
                kind: if document.is_some() {
                    RecordKind::WorkspaceVersion
                } else {
                    RecordKind::WorkspaceDeleted
                },
                workspace_version: version,
                source: SourceId(0),
                message_id: None,
                received_at: at,
                event_time: at,
                marks: Marks::default(),
                schema_version: 1,
                key_id: 0,
                anchor_hash: None,
            },
            payload: document.unwrap_or_default(),
        }
    }

    /// The record of a person's command.
    pub fn of_command(
        workspace: WorkspaceId,
        workspace_version: u64,
        at: Timestamp,
        command: &Command,
    ) -> Self {
        Self {
            envelope: Envelope {
                workspace,
                kind: RecordKind::Command,
                workspace_version,
                source: SourceId(0),
                message_id: None,
                received_at: at,
                event_time: at,
                marks: Marks::default(),
                schema_version: 1,
                key_id: 0,
                anchor_hash: None,
            },
            payload: command.encode(),
        }
    }

    /// The record of a tick.
    pub fn of_tick(workspace: WorkspaceId, workspace_version: u64, at: Timestamp, tick: &Tick) -> Self {
        Self {
            envelope: Envelope {
                workspace,
                kind: RecordKind::Tick,
                workspace_version,
                source: SourceId(0),
                message_id: None,
                received_at: at,
                event_time: at,
                marks: Marks::default(),
                schema_version: 1,
                key_id: 0,
                anchor_hash: None,
            },
            payload: tick.encode(),
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        encode_parts(VERSION, &self.envelope, &self.payload)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let (_, envelope, payload) = split_parts(bytes, VERSION)?;
        Ok(Self { envelope: read_header(envelope)?, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_has_one_text_form() {
        let cases = [
            ("0.1234", Some(Position::at(1234))),
            ("3.0", Some(Position { partition: 3, sequence: 0 })),
            ("0.18446744073709551615", Some(Position::at(u64::MAX))),
            ("0.18446744073709551616", None),
            ("1234", None),
            ("0.01", None),
            ("+0.1", None),
            ("0.-1", None),
            ("0.1.2", None),
            ("0. 1", None),
            (".1", None),
            ("", None),
        ];
        for (text, want) in cases {
            assert_eq!(Position::parse(text), want, "{text}");
        }
    }
}
