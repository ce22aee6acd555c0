//! Dead letters: deliveries that were given up, with everything an admin needs to see why, and to send them
//! again by other means.

use crate::store::StoreError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use tributary_model::{DestinationId, MessageId, Position, Timestamp, WorkspaceId};

/// Bytes of a response's body that a dead letter keeps.
pub const EXCERPT_BYTES_MAX: usize = 2048;

/// A delivery that was given up.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Whose it was.
    pub workspace: WorkspaceId,
    /// Where it should have gone.
    pub destination: DestinationId,
    /// The position in the events log of the record behind it.
    pub position: Position,
    /// Which of that record's activations it was.
    pub ordinal: u32,
    /// Its sequence in the activations log.
    pub activation: u64,
    /// The delivery's id, as receivers saw it.
    pub delivery_id: String,
    /// The event's message id.
    pub message_id: MessageId,
    /// Why it was given up: the last answer or error, without personal data.
    pub reason: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it was first tried; `None` if it could not be tried at all.
    pub first_attempt: Option<Timestamp>,
    /// When it was last tried; `None` if it could not be tried at all.
    pub last_attempt: Option<Timestamp>,
    /// When it was given up.
    pub given_up_at: Timestamp,
    /// The event as stored; empty if it could not be read any more.
    pub event: Bytes,
    /// The status of the last response, if there was one.
    pub status: Option<u16>,
    /// The beginning of the last response's body, at most [`EXCERPT_BYTES_MAX`] bytes.
    pub response_excerpt: Bytes,
}

/// Shows neither the event nor the response: both hold personal data.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "DeadLetter({}/{} {} {:?}, {} attempts)",
            self.workspace, self.destination, self.delivery_id, self.reason, self.attempts
        )
    }
}

/// Some of a destination's dead letters, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterPage {
    /// The letters.
    pub letters: Vec<DeadLetter>,
    /// Where the next page begins; `None` if there are no more.
    pub next: Option<u64>,
}

const VERSION: u8 = 1;

impl DeadLetter {
    /// The stored form: a version byte, then postcard.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain values can be written")
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|_| StoreError::Damaged("dead letter"))
            }
            Some((&version, _)) => Err(StoreError::Version { what: "dead letter", version }),
            None => Err(StoreError::Damaged("dead letter")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dead_letters_stored_by_earlier_versions_are_still_read() {
        let letter = DeadLetter {
            workspace: WorkspaceId(1),
            destination: DestinationId(2),
            position: Position::at(80),
            ordinal: 0,
            activation: 900,
            delivery_id: "msg_1".to_owned(),
            message_id: MessageId::parse("m-1").expect("an id"),
            reason: "answered 404".to_owned(),
            attempts: 3,
            first_attempt: Some(Timestamp::from_micros(1_000_000)),
            last_attempt: Some(Timestamp::from_micros(2_000_000)),
            given_up_at: Timestamp::from_micros(3_000_000),
            event: Bytes::from_static(br#"{"type":"track"}"#),
            status: Some(404),
            response_excerpt: Bytes::from_static(b"no such hook"),
        };
        let stored = include_bytes!("dead_letter/samples/letter.1");
        assert_eq!(DeadLetter::decode(stored).expect("version 1 is read"), letter);
        assert_eq!(letter.encode(), stored);
        assert!(matches!(DeadLetter::decode(&[9]), Err(StoreError::Version { version: 9, .. })));
        assert!(!format!("{letter:?}").contains("track"), "events are not shown");
    }
}
