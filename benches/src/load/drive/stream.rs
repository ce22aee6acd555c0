//! A connection to gRPC with a stream open: one event a message, acknowledgements by sequence number.
//!
//! Left out: opening a stream again after it broke. What was under way then is not counted, and the reason is.

use super::grpc::{authorization, code_name, connect, count_rejected, is_accepted, message};
use super::{Load, pace};
use crate::events::Events;
use crate::load::tally::{Sent, Tally};
use anyhow::{Context, bail};
use futures_util::stream::poll_fn;
use std::collections::VecDeque;
use std::time::Instant;
use tokio::sync::mpsc;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tributary_model::clock::{Clock, SystemClock};
use tributary_proto::grpc::v1;
use tributary_proto::grpc::v1::collector_client::CollectorClient;
use tributary_proto::grpc::v1::stream_request::Request as Sending;
use tributary_proto::grpc::v1::stream_response::Response as Receiving;

/// The most events that are sent and not yet acknowledged, if the server takes so many.
const IN_FLIGHT_MAX: usize = 256;

/// One stream with its events.
pub(super) struct Worker {
    client: CollectorClient<Channel>,
    authorization: MetadataValue<Ascii>,
    stream_id: String,
    events: Events,
    sequence: u64,
    in_flight: VecDeque<InFlight>,
    tally: Tally,
}

/// An event that is not acknowledged yet.
struct InFlight {
    sequence: u64,
    due: Instant,
    at: Instant,
    bytes: u64,
}

impl Worker {
    pub(super) async fn connect(load: &Load, worker: u16) -> anyhow::Result<Self> {
        Ok(Self {
            client: connect(load).await?,
            authorization: authorization(&load.target.write_key)?,
            stream_id: format!("load-{:08x}-{worker}", load.salt),
            events: load.events(worker),
            sequence: 0,
            in_flight: VecDeque::new(),
            tally: Tally::default(),
        })
    }

    /// Sends until it is over and everything is acknowledged, or the stream breaks.
    pub(super) async fn run(mut self, load: &Load) -> anyhow::Result<Tally> {
        let (requests, mut queue) = mpsc::channel(IN_FLIGHT_MAX + 1);
        let opening = Sending::Open(v1::StreamOpen { stream_id: self.stream_id.clone() });
        requests.try_send(wrapped(opening)).context("the queue takes an opening")?;
        let mut request = Request::new(poll_fn(move |context| queue.poll_recv(context)));
        request.metadata_mut().insert("authorization", self.authorization.clone());
        let mut answers = match self.client.stream(request).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Ok(self.broken(&status)),
        };
        let room = match opened(&mut answers).await {
            Ok(room) => room?,
            Err(status) => return Ok(self.broken(&status)),
        };
        let mut next = load.pace.take();
        while next.is_some() || !self.in_flight.is_empty() {
            // Where nothing is to be sent, this moment is not looked at.
            let due = next.unwrap_or(load.window.until);
            tokio::select! {
                biased;
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => self.acknowledge(load, answer)?,
                    Ok(None) => bail!("the server ended the stream with {} events in flight", self.in_flight.len()),
                    Err(status) => return Ok(self.broken(&status)),
                },
                () = pace::wait_until(due), if next.is_some() && self.in_flight.len() < room => {
                    let event = self.send(load, due);
                    requests.try_send(event).context("the queue has room for what is in flight")?;
                    next = load.pace.take();
                }
            }
        }
        Ok(self.tally)
    }

    fn send(&mut self, load: &Load, due: Instant) -> v1::StreamRequest {
        let event = self.events.choose();
        let (event, bytes) = message(&self.events, &event, SystemClock.now());
        let at = Instant::now();
        let due = if load.pace.is_flat_out() { at } else { due };
        self.sequence += 1;
        self.in_flight.push_back(InFlight { sequence: self.sequence, due, at, bytes });
        wrapped(Sending::Event(v1::StreamEvent { sequence: self.sequence, event: Some(event) }))
    }

    fn acknowledge(&mut self, load: &Load, answer: v1::StreamResponse) -> anyhow::Result<()> {
        let Some(Receiving::Acknowledgement(acknowledgement)) = answer.response else {
            bail!("the server sent something else than an acknowledgement");
        };
        let answered = Instant::now();
        let is_rejected = |result: &&v1::StreamResult| !result.result.as_ref().is_some_and(is_accepted);
        let rejected: Vec<u64> =
            acknowledgement.results.iter().filter(is_rejected).map(|result| result.sequence).collect();
        count_rejected(&mut self.tally, rejected.len() as u64);
        let mut count = 0;
        while self.in_flight.front().is_some_and(|event| event.sequence <= acknowledgement.through) {
            let Some(InFlight { sequence, due, at, bytes }) = self.in_flight.pop_front() else { break };
            let events = u64::from(!rejected.contains(&sequence));
            self.tally.accepted(&load.window, &Sent { due, at, answered, events, bytes });
            count += 1;
        }
        self.tally.answer("acknowledged", count);
        Ok(())
    }

    fn broken(mut self, status: &Status) -> Tally {
        self.tally.answer(code_name(status.code()), 1);
        self.tally
    }
}

/// Waits for the answer to the opening: how many events may be in flight.
async fn opened(answers: &mut Streaming<v1::StreamResponse>) -> Result<anyhow::Result<usize>, Status> {
    let answer = answers.message().await?;
    let Some(Receiving::Opened(opened)) = answer.and_then(|answer| answer.response) else {
        return Ok(Err(anyhow::anyhow!("the server did not answer the opening of a stream")));
    };
    let room = usize::try_from(opened.events_in_flight_max).unwrap_or(IN_FLIGHT_MAX);
    Ok(Ok(room.clamp(1, IN_FLIGHT_MAX)))
}

fn wrapped(request: Sending) -> v1::StreamRequest {
    v1::StreamRequest { request: Some(request) }
}
