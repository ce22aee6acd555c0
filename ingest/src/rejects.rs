//! The rejects log: events that were refused, as they came, with why.
//!
//! An entry is a version byte (1), a header in postcard, and the client's bytes. Personal data is in those
//! bytes (and the message id, which is the client's text); the log's retention ends both.

pub mod lookup;

use crate::reason::{Problem, RejectReason};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use tributary_model::record::DecodeError;
use tributary_model::{SourceId, Timestamp, WorkspaceId};

/// A rejected event.
#[derive(Clone, PartialEq, Eq)]
pub struct Reject {
    /// Whose workspace.
    pub workspace: WorkspaceId,
    /// Where it came from.
    pub source: SourceId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// Its message id, if that could be read: at most [`MESSAGE_ID_BYTES_MAX`] bytes of it.
    pub message_id: Option<String>,
    /// Why it was rejected.
    pub reason: RejectReason,
    /// What was wrong and what to do, for the customer. Holds no value of the event.
    pub text: String,
    /// JSON pointer into the event to what was wrong; empty for the event as a whole.
    pub pointer: String,
    /// The event as the client sent it.
    pub original: Bytes,
}

impl fmt::Debug for Reject {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "Reject({} {} {} {} bytes)",
            self.workspace,
            self.source,
            self.reason,
            self.original.len()
        )
    }
}

/// How much of a message id is kept for finding a reject; a longer one is cut.
pub const MESSAGE_ID_BYTES_MAX: usize = 1024;

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Header {
    workspace: WorkspaceId,
    source: SourceId,
    received_at: Timestamp,
    message_id: Option<String>,
    reason: String,
    text: String,
    pointer: String,
}

impl Reject {
    pub(crate) fn new(
        workspace: WorkspaceId,
        source: SourceId,
        received_at: Timestamp,
        message_id: Option<&str>,
        problem: Problem,
        original: impl AsRef<[u8]>,
    ) -> Self {
        Self {
            workspace,
            source,
            received_at,
            message_id: message_id.map(|id| findable(id).to_owned()),
            reason: problem.reason,
            text: problem.text,
            pointer: problem.pointer.to_owned(),
            original: Bytes::copy_from_slice(original.as_ref()),
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Bytes {
        let header = Header {
            workspace: self.workspace,
            source: self.source,
            received_at: self.received_at,
            message_id: self.message_id.clone(),
            reason: self.reason.name().to_owned(),
            text: self.text.clone(),
            pointer: self.pointer.clone(),
        };
        let mut bytes = Vec::with_capacity(320 + self.original.len());
        bytes.push(VERSION);
        let mut bytes = postcard::to_extend(&header, bytes).expect("a header of plain values can be written");
        bytes.extend_from_slice(&self.original);
        bytes.into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        match bytes.first() {
            Some(&VERSION) => {}
            Some(&other) => return Err(DecodeError::Version(other)),
            None => return Err(DecodeError::Damaged),
        }
        let (header, original) =
            postcard::take_from_bytes::<Header>(&bytes[1..]).map_err(|_| DecodeError::Damaged)?;
        Ok(Self {
            workspace: header.workspace,
            source: header.source,
            received_at: header.received_at,
            message_id: header.message_id,
            reason: RejectReason::parse(&header.reason).ok_or(DecodeError::Damaged)?,
            text: header.text,
            pointer: header.pointer,
            original: bytes.slice(bytes.len() - original.len()..),
        })
    }
}

/// The part of a message id by which a reject is found.
fn findable(message_id: &str) -> &str {
    &message_id[..message_id.floor_char_boundary(MESSAGE_ID_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_round_trip_and_damage_is_told() {
        let problem = Problem::new(RejectReason::WrongType, "/userId", "`userId` is a number");
        let (workspace, source, at) = (WorkspaceId(1), SourceId(2), Timestamp::from_millis(3));
        for original in ["", "7", "{\"userId\":7,\"x\":\"\\ud83d\"}"] {
            for message_id in [None, Some("m-1")] {
                let reject = Reject::new(workspace, source, at, message_id, problem.clone(), original);
                assert_eq!(Reject::decode(&reject.encode()).expect("readable"), reject);
            }
        }
        let stored = Reject::new(workspace, source, at, None, problem, "x").encode();
        assert!(matches!(Reject::decode(&Bytes::new()), Err(DecodeError::Damaged)));
        assert!(matches!(Reject::decode(&stored.slice(..4)), Err(DecodeError::Damaged)));
        assert!(matches!(Reject::decode(&Bytes::from_static(&[9])), Err(DecodeError::Version(9))));
    }

    /// Bytes as the first version wrote them stay readable.
    #[test]
    fn the_first_stored_form_is_still_read() {
        let stored = b"\x01\x01\x02\xf0\x2e\x01\x03m-1\x0dtype_unknown_";
        assert!(matches!(Reject::decode(&Bytes::from_static(stored)), Err(DecodeError::Damaged)));
        let stored = b"\x01\x01\x02\xf0\x2e\x01\x03m-1\x0ctype_unknown\x02no\x05/type{\"type\":\"x\"}";
        let reject = Reject::decode(&Bytes::from_static(stored)).expect("readable");
        assert_eq!(reject.received_at, Timestamp::from_millis(3));
        assert_eq!(reject.message_id.as_deref(), Some("m-1"));
        assert_eq!(reject.reason, RejectReason::TypeUnknown);
        assert_eq!((reject.text.as_str(), reject.pointer.as_str()), ("no", "/type"));
        assert_eq!(reject.original, "{\"type\":\"x\"}");
    }

    #[test]
    fn long_message_ids_are_cut_at_a_character() {
        let id = "é".repeat(600);
        assert_eq!(findable(&id).len(), 1024);
        assert_eq!(findable(&format!("x{id}")).len(), 1023);
        assert_eq!(findable("m"), "m");
    }
}
