//! Dead letters: deliveries that were given up, with everything an admin needs to see why, and to send them
//! again.
//!
//! Stored form, version 2: a version byte, then postcard. Version 1 had no code for the reason, and of the exchange
//! nothing but the status and the beginning of the response's body.

use crate::exchange::{RequestRecord, ResponseRecord};
use crate::failure::Reason;
use crate::store::StoreError;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use tributary_model::{DestinationId, MessageId, Position, ProfileId, Timestamp, WorkspaceId};

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
    /// Why it was given up: a stable code.
    pub reason_code: Reason,
    /// The delivery's id, as receivers saw it.
    pub delivery_id: String,
    /// The event's message id.
    pub message_id: MessageId,
    /// Whose it was; `None` for an event without identifiers.
    pub profile: Option<ProfileId>,
    /// Why it was given up, in words: the last answer or error, without personal data.
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
    /// The status of the last response, if it was one over HTTP.
    pub status: Option<u16>,
    /// The last request, if there was one: its body's beginning, secrets masked.
    pub request: Option<RequestRecord>,
    /// The last response, if there was one: its body's beginning, secrets masked.
    pub response: Option<ResponseRecord>,
    /// The replay by which it was sent again.
    pub replay: Option<u64>,
}

/// Shows neither the event nor the exchange: they hold personal data.
impl fmt::Debug for DeadLetter {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "DeadLetter({}/{} {} {:?}, {} attempts)",
            self.workspace, self.destination, self.delivery_id, self.reason_code, self.attempts
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

/// The first form of a dead letter.
#[derive(Deserialize)]
struct DeadLetter1 {
    workspace: WorkspaceId,
    destination: DestinationId,
    position: Position,
    ordinal: u32,
    activation: u64,
    delivery_id: String,
    message_id: MessageId,
    reason: String,
    attempts: u32,
    first_attempt: Option<Timestamp>,
    last_attempt: Option<Timestamp>,
    given_up_at: Timestamp,
    event: Bytes,
    status: Option<u16>,
    response_excerpt: Bytes,
}

impl From<DeadLetter1> for DeadLetter {
    fn from(old: DeadLetter1) -> Self {
        let DeadLetter1 { workspace, destination, position, ordinal, activation, delivery_id, .. } = old;
        let is_answered = old.status.is_some() || !old.response_excerpt.is_empty();
        let body = String::from_utf8_lossy(&old.response_excerpt).into_owned();
        Self {
            workspace,
            destination,
            position,
            ordinal,
            activation,
            reason_code: Reason::Unknown,
            delivery_id,
            message_id: old.message_id,
            profile: None,
            reason: old.reason,
            attempts: old.attempts,
            first_attempt: old.first_attempt,
            last_attempt: old.last_attempt,
            given_up_at: old.given_up_at,
            event: old.event,
            status: old.status,
            request: None,
            response: is_answered.then_some(ResponseRecord { status: old.status, body }),
            replay: None,
        }
    }
}

/// What a dead letter begins with, to know it without reading the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LetterHead {
    /// The delivery's sequence in the activations log.
    pub(crate) activation: u64,
    pub(crate) reason: Reason,
}

/// The first members of both forms, then the one that version 2 put behind them.
type Head = (WorkspaceId, DestinationId, Position, u32, u64);

const WHAT: &str = "dead letter";

impl DeadLetter {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![2]).expect("plain values can be written")
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = match bytes.split_first() {
            Some((1, rest)) => postcard::from_bytes::<DeadLetter1>(rest).map(Self::from),
            Some((2, rest)) => postcard::from_bytes(rest),
            Some((&version, _)) => return Err(StoreError::Version { what: WHAT, version }),
            None => return Err(StoreError::Damaged(WHAT)),
        };
        read.map_err(|_| StoreError::Damaged(WHAT))
    }
}

impl LetterHead {
    /// Reads the beginning of the stored form of a dead letter.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let read = match bytes.split_first() {
            Some((1, rest)) => postcard::take_from_bytes::<Head>(rest)
                .map(|((.., activation), _)| Self { activation, reason: Reason::Unknown }),
            Some((2, rest)) => postcard::take_from_bytes::<(Head, Reason)>(rest)
                .map(|(((.., activation), reason), _)| Self { activation, reason }),
            Some((&version, _)) => return Err(StoreError::Version { what: WHAT, version }),
            None => return Err(StoreError::Damaged(WHAT)),
        };
        read.map_err(|_| StoreError::Damaged(WHAT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter() -> DeadLetter {
        DeadLetter {
            workspace: WorkspaceId(1),
            destination: DestinationId(2),
            position: Position::at(80),
            ordinal: 0,
            activation: 900,
            reason_code: Reason::Unknown,
            delivery_id: "msg_1".to_owned(),
            message_id: MessageId::parse("m-1").expect("an id"),
            profile: None,
            reason: "answered 404".to_owned(),
            attempts: 3,
            first_attempt: Some(Timestamp::from_micros(1_000_000)),
            last_attempt: Some(Timestamp::from_micros(2_000_000)),
            given_up_at: Timestamp::from_micros(3_000_000),
            event: Bytes::from_static(br#"{"type":"track"}"#),
            status: Some(404),
            request: None,
            response: Some(ResponseRecord { status: Some(404), body: "no such hook".to_owned() }),
            replay: None,
        }
    }

    fn letter_2() -> DeadLetter {
        let request = RequestRecord {
            method: "POST".to_owned(),
            target: "https://example.com/hook".to_owned(),
            headers: vec![("content-type".to_owned(), "application/json".to_owned())],
            body: r#"{"type":"track"}"#.to_owned(),
            body_bytes: 16,
        };
        DeadLetter {
            reason_code: Reason::NotFound,
            profile: Some(ProfileId([9; 16])),
            request: Some(request),
            replay: Some(7),
            ..letter()
        }
    }

    #[test]
    fn dead_letters_stored_by_earlier_versions_are_still_read() {
        let stored = include_bytes!("dead_letter/samples/letter.1");
        assert_eq!(DeadLetter::decode(stored).expect("version 1 is read"), letter());
        let head = LetterHead { activation: 900, reason: Reason::Unknown };
        assert_eq!(LetterHead::decode(stored).expect("version 1 is read"), head);
    }

    #[test]
    fn the_stored_form_is_read_back_and_stays() {
        let stored = include_bytes!("dead_letter/samples/letter.2");
        assert_eq!(letter_2().encode(), stored);
        assert_eq!(DeadLetter::decode(stored).expect("version 2 is read"), letter_2());
        let head = LetterHead { activation: 900, reason: Reason::NotFound };
        assert_eq!(LetterHead::decode(stored).expect("version 2 is read"), head);
        assert!(matches!(DeadLetter::decode(&[9]), Err(StoreError::Version { version: 9, .. })));
        assert!(matches!(DeadLetter::decode(&stored[..20]), Err(StoreError::Damaged(_))));
        assert!(!format!("{:?}", letter_2()).contains("track"), "events are not shown");
    }
}
