//! `Stream`: events one by one, each acknowledged, in order, once it is durable.
//!
//! What is ready is taken together as one append, and appends follow one another without waiting: the log keeps
//! their order, and so do the acknowledgements. Nothing is read while as much is under way as may be, nor
//! while the client does not read what it is told; HTTP/2 then slows the client down. However a stream ends,
//! what was taken in before is acknowledged first, unless the log refused something, or nobody reads.

use crate::auth::SourceRef;
use crate::body::BLOCKING_FROM_BYTES;
use crate::error::{IngestError, StreamFault};
use crate::grpc::admission::Call;
use crate::grpc::event::{self, made_message_id, position_text, result_of};
use crate::grpc::status::{in_our_words, refused, status_of};
use crate::metrics::Method;
use crate::normalize::Defaults;
use crate::pipeline::{Collector, Ended, Prepared};
use crate::shape::PathKind;
use futures_util::{FutureExt, Stream, StreamExt};
use prost::Message;
use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::sync::{mpsc, watch};
use tonic::Status;
use tributary_model::{Position, Timestamp};
use tributary_proto::grpc::v1::{
    Event, StreamAcknowledgement, StreamOpen, StreamOpened, StreamRequest, StreamResponse, StreamResult,
    stream_request, stream_response,
};

/// Events in one append.
const GROUP_EVENTS_MAX: usize = 500;
/// Bytes of events in one append, the last of them not counted.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// Answers that wait for the client to read them.
const ANSWERS_MAX: usize = 16;
const STREAM_ID_BYTES_MAX: usize = 128;

/// What the client is told: answers, then how it ended.
pub(super) struct Answers {
    answers: mpsc::Receiver<StreamResponse>,
    end: Arc<Mutex<Option<Status>>>,
}

impl Stream for Answers {
    type Item = Result<StreamResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.answers.poll_recv(context).map(|answer| match answer {
            Some(answer) => Some(Ok(answer)),
            None => self.end.lock().unwrap_or_else(PoisonError::into_inner).take().map(Err),
        })
    }
}

/// Serves a stream in a task of its own, so that a client that goes away leaves events that are stored and
/// counted all the same.
pub(super) fn open<R>(
    collector: Arc<Collector>,
    call: Call,
    requests: R,
    stopping: watch::Receiver<bool>,
) -> Answers
where
    R: Stream<Item = Result<StreamRequest, Status>> + Unpin + Send + 'static,
{
    let (sender, answers) = mpsc::channel(ANSWERS_MAX);
    // Stands until the task says otherwise: one that panics does not look like a good end.
    let end = Arc::new(Mutex::new(Some(status_of(IngestError::Abandoned))));
    let session = Session {
        collector,
        call,
        requests,
        answers: sender,
        stopping,
        stream_id: "".into(),
        last: None,
        groups: VecDeque::new(),
        events_in_flight: 0,
        bytes_in_flight: 0,
    };
    tokio::spawn(session.run(Arc::clone(&end)));
    Answers { answers, end }
}

/// How a stream ends.
enum End {
    /// The client closed it.
    Done,
    /// The client is gone.
    Gone,
    /// It can't go on; what was taken in before is not touched by that.
    Refused(Status),
    /// It can't go on, and nothing more is acknowledged.
    Failed(Status),
}

fn refuse(why: impl Into<IngestError>) -> End {
    End::Refused(status_of(why.into()))
}

/// One append under way.
struct Group {
    /// The sequence numbers of its events.
    first: u64,
    through: u64,
    ends: Vec<Ended>,
    bytes: usize,
    stored: Pin<Box<dyn Future<Output = Result<Option<Position>, IngestError>> + Send>>,
}

/// One opening of a stream.
struct Session<R> {
    collector: Arc<Collector>,
    call: Call,
    requests: R,
    answers: mpsc::Sender<StreamResponse>,
    stopping: watch::Receiver<bool>,
    stream_id: Arc<str>,
    /// The number of the last event that was taken in.
    last: Option<u64>,
    /// Appends under way, the oldest first.
    groups: VecDeque<Group>,
    events_in_flight: usize,
    bytes_in_flight: usize,
}

impl<R> Session<R>
where
    R: Stream<Item = Result<StreamRequest, Status>> + Unpin + Send + 'static,
{
    async fn run(mut self, told: Arc<Mutex<Option<Status>>>) {
        let collector = Arc::clone(&self.collector);
        collector.metrics().stream_opened();
        let end = self.serve().await.err().unwrap_or(End::Done);
        let end = self.finish(end).await;
        let status = match end {
            End::Done => {
                collector.metrics().request_succeeded(Method::Stream);
                None
            }
            End::Gone => None,
            End::Refused(status) | End::Failed(status) => {
                refused(&collector, Method::Stream, &status);
                Some(status)
            }
        };
        *told.lock().unwrap_or_else(PoisonError::into_inner) = status;
        collector.metrics().stream_closed();
        // Only now does the sender of the answers go, and with it the client is told.
    }

    /// Takes events in until the client closes the stream.
    async fn serve(&mut self) -> Result<(), End> {
        let first = tokio::select! {
            biased;
            () = stopped(&mut self.stopping) => return Err(refuse(IngestError::Stopping)),
            first = self.requests.next() => first,
        };
        self.stream_id = stream_id(first, &self.collector)?.into();
        let events_in_flight_max = self.collector.limits().stream_events_in_flight_max;
        self.answer(stream_response::Response::Opened(StreamOpened { events_in_flight_max })).await?;
        loop {
            let has_room = self.limit_met(0, 0).is_none();
            tokio::select! {
                biased;
                () = stopped(&mut self.stopping) => return Err(refuse(IngestError::Stopping)),
                stored = oldest(&mut self.groups) => self.acknowledge(stored).await?,
                request = self.requests.next(), if has_room => match request {
                    Some(request) => self.take(request).await?,
                    None => return Ok(()),
                },
            }
        }
    }

    /// Waits for what is under way, and acknowledges it if the client can still be told.
    async fn finish(&mut self, mut end: End) -> End {
        while !self.groups.is_empty() {
            let stored = oldest(&mut self.groups).await;
            match end {
                End::Done | End::Refused(_) => {
                    if let Err(worse) = self.acknowledge(stored).await {
                        end = worse;
                    }
                }
                End::Gone | End::Failed(_) => {
                    self.groups.pop_front();
                }
            }
        }
        end
    }

    /// The limit that forbids to take in one event more beside those under way and these.
    fn limit_met(&self, events: usize, bytes: usize) -> Option<&'static str> {
        let limits = self.collector.limits();
        let events_max = usize::try_from(limits.stream_events_in_flight_max).unwrap_or(usize::MAX);
        if self.events_in_flight + events >= events_max {
            Some("stream_events_in_flight_max")
        } else if self.bytes_in_flight + bytes >= limits.stream_bytes_in_flight_max {
            Some("stream_bytes_in_flight_max")
        } else {
            None
        }
    }

    /// Takes this event in, together with those behind it that are there already.
    async fn take(&mut self, request: Result<StreamRequest, Status>) -> Result<(), End> {
        let (mut events, mut bytes) = (Vec::new(), 0);
        let mut request = request;
        let end = loop {
            match self.event_of(request) {
                Ok(event) => {
                    bytes += event.encoded_len();
                    events.push(event);
                }
                Err(end) => break Err(end),
            }
            if events.len() >= GROUP_EVENTS_MAX
                || bytes >= GROUP_BYTES_MAX
                || self.limit_met(events.len(), bytes).is_some()
            {
                break Ok(());
            }
            // The end of the stream is met again where it is waited for.
            match self.requests.next().now_or_never().flatten() {
                Some(next) => request = next,
                None => break Ok(()),
            }
        };
        if !events.is_empty() {
            self.append(events, bytes).await?;
        }
        end
    }

    /// The event of a request, if it is the one that follows.
    fn event_of(&mut self, request: Result<StreamRequest, Status>) -> Result<Event, End> {
        let request =
            request.map_err(|status| End::Refused(in_our_words(status, self.collector.limits())))?;
        let event = match request.request {
            Some(stream_request::Request::Event(event)) => event,
            Some(stream_request::Request::Open(_)) => return Err(refuse(StreamFault::OpenedTwice)),
            None => return Err(refuse(StreamFault::Empty)),
        };
        let got = event.sequence;
        match self.last {
            None if got == 0 => return Err(refuse(StreamFault::SequenceZero)),
            Some(last) if last.checked_add(1) != Some(got) => {
                return Err(refuse(StreamFault::Sequence { expected: last.saturating_add(1), got }));
            }
            None | Some(_) => self.last = Some(got),
        }
        // One without an event is refused by itself, as an empty event is.
        Ok(event.event.unwrap_or_default())
    }

    /// Queues events as one append. The last of them is the last that was taken in.
    async fn append(&mut self, events: Vec<Event>, bytes: usize) -> Result<(), End> {
        let through = self.last.expect("an event was taken in");
        let first = through - (events.len() as u64 - 1);
        // The key may have been withdrawn meanwhile, and the workspace changed.
        let source = self.collector.write_keys().authenticate(&self.call.write_key).map_err(refuse)?;
        let received_at = self.collector.arrival_time();
        let mut reservation = self.call.meter.take();
        self.collector.metrics().body_read(reservation.bytes(), bytes);
        // The records hold about what the events hold. Where there is no room, what this stream has under way
        // makes some, if there is any.
        while let Err(why) = reservation.grow(bytes) {
            if self.groups.is_empty() {
                return Err(refuse(why));
            }
            let stored = oldest(&mut self.groups).await;
            self.acknowledge(stored).await?;
        }
        let events_len = events.len();
        let work = {
            let (collector, stream_id) = (Arc::clone(&self.collector), Arc::clone(&self.stream_id));
            move || prepare(&collector, &source, received_at, &stream_id, first, &events)
        };
        let mut prepared = if bytes >= BLOCKING_FROM_BYTES {
            tokio::task::spawn_blocking(work).await.map_err(|_| refuse(IngestError::Abandoned))?
        } else {
            work()
        };
        let ends = prepared.take_ends();
        let stored = Box::pin(self.collector.queue(prepared, reservation));
        self.groups.push_back(Group { first, through, ends, bytes, stored });
        self.events_in_flight += events_len;
        self.bytes_in_flight += bytes;
        if let Some(limit) = self.limit_met(0, 0) {
            self.collector.metrics().limit_hit(limit);
        }
        Ok(())
    }

    /// Tells that the oldest append is durable.
    async fn acknowledge(&mut self, stored: Result<Option<Position>, IngestError>) -> Result<(), End> {
        let group = self.groups.pop_front().expect("its append has just ended");
        self.events_in_flight -= group.ends.len();
        self.bytes_in_flight -= group.bytes;
        let last = stored.map_err(|why| End::Failed(status_of(why)))?;
        let results = group
            .ends
            .into_iter()
            .zip(group.first..=group.through)
            .map(|(end, sequence)| StreamResult { sequence, result: Some(result_of(end)) })
            .collect();
        let position = position_text(last);
        let acknowledgement = StreamAcknowledgement { through: group.through, results, position };
        self.answer(stream_response::Response::Acknowledgement(acknowledgement)).await
    }

    /// Hands an answer on, once the client has read enough of those before.
    async fn answer(&mut self, response: stream_response::Response) -> Result<(), End> {
        let answer = StreamResponse { response: Some(response) };
        tokio::select! {
            biased;
            sent = self.answers.send(answer) => sent.map_err(|_| End::Gone),
            () = stopped(&mut self.stopping) => Err(End::Failed(status_of(IngestError::Stopping))),
        }
    }
}

/// The id in the request that opens a stream.
fn stream_id(request: Option<Result<StreamRequest, Status>>, collector: &Collector) -> Result<String, End> {
    let request = request.ok_or_else(|| refuse(StreamFault::NotOpened))?;
    let request = request.map_err(|status| End::Refused(in_our_words(status, collector.limits())))?;
    let Some(stream_request::Request::Open(StreamOpen { stream_id })) = request.request else {
        return Err(refuse(StreamFault::NotOpened));
    };
    let fits = (1..=STREAM_ID_BYTES_MAX).contains(&stream_id.len());
    if fits && stream_id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(stream_id)
    } else {
        Err(refuse(StreamFault::StreamId))
    }
}

fn prepare(
    collector: &Collector,
    source: &SourceRef,
    received_at: Timestamp,
    stream_id: &str,
    first: u64,
    events: &[Event],
) -> Prepared {
    let arrival = collector.arrival(source, PathKind::Open, received_at, Defaults::default());
    let mut prepared = Prepared::with_ends(events.len());
    for (offset, event) in (0u64..).zip(events) {
        if event.message_id.is_empty() {
            let made = made_message_id(source.source, stream_id, first + offset);
            event::take(&mut prepared, event, &made, &arrival);
        } else {
            event::take(&mut prepared, event, &event.message_id, &arrival);
        }
    }
    prepared
}

/// How the oldest append ended; waits for ever if there is none.
async fn oldest(groups: &mut VecDeque<Group>) -> Result<Option<Position>, IngestError> {
    match groups.front_mut() {
        Some(group) => group.stored.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Resolves once the server stops.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}
