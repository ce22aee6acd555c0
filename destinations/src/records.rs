//! What is remembered of single deliveries: every failed attempt, how each delivery ended that was not simply taken,
//! and details of deliveries that were taken, up to a rate.
//!
//! A delivery below the cursor of which nothing is remembered was delivered.
//!
//! Stored forms: a version byte, then postcard.

use crate::exchange::{RequestRecord, ResponseRecord};
use crate::failure::Failure;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};
use tributary_model::outcome::Outcome;
use tributary_model::{EventKind, MessageId, Position, ProfileId, Timestamp};

/// An attempt to bring a delivery to its destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// The delivery's sequence in the activations log.
    pub activation: u64,
    /// The position in the events log of the record behind it.
    pub position: Position,
    /// Which of that record's activations it is.
    pub ordinal: u32,
    /// The delivery's id.
    pub delivery_id: String,
    /// The event's message id.
    pub message_id: MessageId,
    /// Whose it is.
    pub profile: Option<ProfileId>,
    /// Which call the event is; `None` if it could not be read any more.
    pub event_kind: Option<EventKind>,
    /// When the delivery was first tried: part of what the record is found by, the same for all of its attempts.
    pub first_attempt: Timestamp,
    /// Which attempt it was, from 1.
    pub number: u32,
    /// When it began.
    pub at: Timestamp,
    /// How long it took, in microseconds.
    pub took_micros: u64,
    /// Why it failed; `None` if it was taken.
    pub failure: Option<Failure>,
    /// How the delivery ended, if it ended by this attempt.
    pub outcome: Option<Outcome>,
    /// The number of the exchange in which it was sent, if it was sent; details are remembered by that.
    pub exchange: Option<u64>,
    /// The details are those of one of many deliveries that went well: of others nothing is remembered.
    pub sampled: bool,
    /// The replay by which it was sent again.
    pub replay: Option<u64>,
}

/// What was sent and what came back, for all deliveries of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExchangeRecord {
    /// What was sent.
    pub request: RequestRecord,
    /// What came back, if something did.
    pub response: Option<ResponseRecord>,
}

/// How a delivery ended that was not simply taken: filtered, skipped, given up; or one that a replay sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) activation: u64,
    pub(crate) outcome: Outcome,
}

const ATTEMPT: &str = "record of an attempt";
const EXCHANGE: &str = "record of an exchange";
const VERSION: u8 = 1;

impl AttemptRecord {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain values can be written")
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(ATTEMPT, bytes)
    }
}

impl ExchangeRecord {
    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        postcard::to_extend(self, vec![VERSION]).expect("plain values can be written")
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        decode(EXCHANGE, bytes)
    }
}

fn decode<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| StoreError::Damaged(what)),
        Some((&version, _)) => Err(StoreError::Version { what, version }),
        None => Err(StoreError::Damaged(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Reason;

    #[test]
    fn records_are_read_back_from_their_stored_form() {
        let attempt = AttemptRecord {
            activation: 900,
            position: Position::at(80),
            ordinal: 1,
            delivery_id: "msg_1".to_owned(),
            message_id: MessageId::parse("m-1").expect("an id"),
            profile: Some(ProfileId([9; 16])),
            event_kind: Some(EventKind::Track),
            first_attempt: Timestamp::from_micros(1_000_000),
            number: 3,
            at: Timestamp::from_micros(2_000_000),
            took_micros: 1_500,
            failure: Some(Failure::answered(404, "no such hook")),
            outcome: Some(Outcome::DeadLetter),
            exchange: Some(77),
            sampled: false,
            replay: Some(4),
        };
        let bytes = attempt.encode();
        assert_eq!(AttemptRecord::decode(&bytes).expect("own bytes"), attempt);
        assert_eq!(attempt.failure.as_ref().map(|failure| failure.reason), Some(Reason::NotFound));
        let request = RequestRecord { method: "POST".to_owned(), ..RequestRecord::default() };
        let exchange = ExchangeRecord { request, response: None };
        assert_eq!(ExchangeRecord::decode(&exchange.encode()).expect("own bytes"), exchange);
        for damaged in [&bytes[..bytes.len() - 1], &[]] {
            assert!(matches!(AttemptRecord::decode(damaged), Err(StoreError::Damaged(ATTEMPT))));
        }
        let newer = AttemptRecord::decode(&[2, 0]);
        assert!(matches!(newer, Err(StoreError::Version { what: ATTEMPT, version: 2 })));
    }
}
