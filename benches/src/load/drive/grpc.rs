//! A connection to gRPC, with one `Send` at a time; and what it has in common with a stream.

use super::{Load, PAUSE, pace};
use crate::events::{Event, Events, Kind};
use crate::load::tally::{Sent, Tally};
use anyhow::Context;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::time::Instant;
use tonic::codec::CompressionEncoding;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};
use tributary_proto::grpc::v1;
use tributary_proto::grpc::v1::collector_client::CollectorClient;

/// About how many bytes of an event as JSON are names and punctuation around its parts.
const FRAME_BYTES: usize = 170;

/// One connection with its events.
pub(super) struct Worker {
    client: CollectorClient<Channel>,
    authorization: MetadataValue<Ascii>,
    events: Events,
    tally: Tally,
}

impl Worker {
    pub(super) async fn connect(load: &Load, worker: u16) -> anyhow::Result<Self> {
        let client = connect(load).await?;
        let client = if load.args.gzip { client.send_compressed(CompressionEncoding::Gzip) } else { client };
        Ok(Self {
            client,
            authorization: authorization(&load.target.write_key)?,
            events: load.events(worker),
            tally: Tally::default(),
        })
    }

    /// Sends until it is over.
    pub(super) async fn run(mut self, load: &Load) -> Tally {
        while let Some(due) = load.pace.take() {
            let (message, bytes) = self.compose(load.args.batch);
            let mut request = Request::new(message);
            request.metadata_mut().insert("authorization", self.authorization.clone());
            pace::wait_until(due).await;
            let at = Instant::now();
            let due = if load.pace.is_flat_out() { at } else { due };
            match self.client.send(request).await {
                Ok(response) => {
                    let answered = Instant::now();
                    let results = &response.get_ref().results;
                    let accepted = results.iter().filter(|result| is_accepted(result)).count() as u64;
                    self.tally.answer(code_name(Code::Ok), 1);
                    count_rejected(&mut self.tally, results.len() as u64 - accepted);
                    self.tally.accepted(&load.window, &Sent { due, at, answered, events: accepted, bytes });
                }
                Err(status) => {
                    self.tally.answer(code_name(status.code()), 1);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        self.tally
    }

    fn compose(&mut self, batch: u32) -> (v1::SendRequest, u64) {
        let now = SystemClock.now();
        let mut bytes = 0;
        let mut events = Vec::new();
        for _ in 0..batch {
            let event = self.events.choose();
            let (message, size) = message(&self.events, &event, now);
            events.push(message);
            bytes += size;
        }
        (v1::SendRequest { events, sent_at: Some(timestamp(now)), ..v1::SendRequest::default() }, bytes)
    }
}

/// A connection of one's own.
pub(super) async fn connect(load: &Load) -> anyhow::Result<CollectorClient<Channel>> {
    let address = load.target.grpc.context("the server's gRPC address is not known")?;
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    let channel = endpoint.connect().await.with_context(|| format!("gRPC on {address} can't be reached"))?;
    Ok(CollectorClient::new(channel))
}

/// The metadata under which a write key travels.
pub(super) fn authorization(write_key: &str) -> anyhow::Result<MetadataValue<Ascii>> {
    let basic = format!("Basic {}", STANDARD.encode(format!("{write_key}:")));
    basic.parse::<MetadataValue<Ascii>>().context("the write key can't be sent as metadata")
}

/// An event as a message, and about its bytes as JSON.
pub(super) fn message(events: &Events, event: &Event, now: Timestamp) -> (v1::Event, u64) {
    let parts = events.parts(event, &now.floor_to_millis().to_string());
    let bytes = FRAME_BYTES
        + parts.name.len()
        + parts.message_id.len()
        + parts.user_id.len()
        + parts.anonymous_id.len()
        + parts.object.len()
        + parts.context.len();
    let mut message = v1::Event {
        message_id: parts.message_id,
        user_id: parts.user_id,
        anonymous_id: parts.anonymous_id,
        timestamp: Some(timestamp(now)),
        context: parts.context,
        ..v1::Event::default()
    };
    match parts.kind {
        Kind::Identify => {
            message.set_type(v1::EventType::Identify);
            message.traits = parts.object;
        }
        Kind::Track => {
            message.set_type(v1::EventType::Track);
            message.event = parts.name.to_owned();
            message.properties = parts.object;
        }
        Kind::Page => {
            message.set_type(v1::EventType::Page);
            message.name = parts.name.to_owned();
            message.properties = parts.object;
        }
    }
    (message, bytes as u64)
}

fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    let micros = at.as_micros();
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1_000).expect("below a second");
    prost_types::Timestamp { seconds: micros.div_euclid(1_000_000), nanos }
}

/// Whether an event became durable.
pub(super) fn is_accepted(result: &v1::EventResult) -> bool {
    result.status() == v1::EventStatus::Accepted
}

/// Counts events that were set aside: they are answers too, but of no use.
pub(super) fn count_rejected(tally: &mut Tally, rejected: u64) {
    if rejected > 0 {
        tally.answer("rejected", rejected);
    }
}

/// How a status is called in a report.
pub(super) fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::Population;

    #[test]
    fn messages_are_complete_and_their_size_is_about_that_of_the_json() {
        let now = Timestamp::parse("2026-11-20T10:00:00.250Z").expect("a time");
        let mut events = Events::new(Population::new(1, 100), 1, 9, 0);
        for _ in 0..200 {
            let event = events.choose();
            let (message, bytes) = message(&events, &event, now);
            let mut json = Vec::new();
            events.write(&event, "2026-11-20T10:00:00.250Z", &mut json);
            let ratio = bytes as f64 / json.len() as f64;
            assert!((0.95..1.05).contains(&ratio), "{ratio}");
            assert_ne!(message.r#type(), v1::EventType::Unspecified);
            assert_eq!(message.traits.is_empty(), message.r#type() != v1::EventType::Identify);
            assert_eq!(message.event.is_empty(), message.r#type() != v1::EventType::Track);
            let at = message.timestamp.expect("a time");
            assert_eq!((at.seconds, at.nanos), (now.as_micros() / 1_000_000, 250_000_000));
        }
    }
}
