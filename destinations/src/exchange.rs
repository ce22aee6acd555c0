//! What a transport is given, what it did, and what that means for each delivery.

use crate::failure::Failure;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::time::Duration;
use tributary_model::{ProfileId, Timestamp};

/// What one mapping made of one activation.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    /// What receivers see as its id: the delivery's, with the mapping's number behind it (`msg_….2`) unless that is 1. The same
    /// on every attempt, after every restart and in every replay.
    pub id: String,
    /// The number of the mapping, from 1.
    pub mapping: u32,
    /// The index of the action within its definition.
    pub action: usize,
    /// Payloads share a request only if these are equal: a hash over action and the members that `batch.equal` names.
    pub group: u64,
    /// Whose it is.
    pub profile: Option<ProfileId>,
    /// When the event arrived: what files are partitioned by.
    pub received_at: Timestamp,
    /// A JSON object: the fields of the action.
    pub body: Bytes,
}

/// Shows no body: it holds personal data.
impl fmt::Debug for Payload {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Payload({}, mapping {}, {} bytes)", self.id, self.mapping, self.body.len())
    }
}

/// What an attempt means for one delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// It was not taken, but may be later.
    Retry {
        /// Why.
        failure: Failure,
        /// The span for which the receiver asked not to be tried again.
        after: Option<Duration>,
    },
    /// It will never be taken.
    Rejected(Failure),
    /// The receiver refuses our credentials or the whole destination: nothing will be taken before its settings change.
    Credentials(Failure),
}

/// What was sent, as it is shown and remembered: bounded, and without secrets.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The method, or the kind of statement: `POST`, `PUT`, `SQL`.
    pub method: String,
    /// Where to; secrets in it are masked.
    pub target: String,
    /// Headers, or parameters, by name; secrets masked.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body as text, at most so many bytes as asked for; secrets masked. Where that is not all, it ends
    /// with a mark that says so, such as `… (cut: the whole has 70000 bytes)`.
    pub body: String,
    /// The whole body's bytes.
    pub body_bytes: u64,
}

impl fmt::Debug for RequestRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "RequestRecord({}, {} bytes)", self.method, self.body_bytes)
    }
}

/// What came back, as it is shown and remembered.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ResponseRecord {
    /// The HTTP status, if it was HTTP.
    pub status: Option<u16>,
    /// The beginning of the body as text; secrets masked. Of a database, what it said. Where that is not all, it ends with a
    /// mark as a request's body does; `65536 bytes or more` stands in it where no more was read.
    pub body: String,
}

impl fmt::Debug for ResponseRecord {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "ResponseRecord({:?}, {} bytes)", self.status, self.body.len())
    }
}

/// One request, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// What came back, if something did.
    pub response: Option<ResponseRecord>,
    /// One for each payload, in their order.
    pub verdicts: Vec<Verdict>,
    /// Whether it was said of each payload what becomes of it. Else equal verdicts say nothing about which was at fault.
    pub by_item: bool,
}

impl Exchange {
    /// The same verdict for so many payloads, without an answer.
    pub fn unanswered(verdict: &Verdict, payloads: usize) -> Self {
        Self { response: None, verdicts: vec![verdict.clone(); payloads], by_item: false }
    }
}
