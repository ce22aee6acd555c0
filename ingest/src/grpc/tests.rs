//! `Send` and `Stream` over logs in memory. What the wire adds is tried on a whole server.

use super::admission::Meter;
use super::*;
use crate::testing::{Bench, WRITE_KEY, now};
use crate::{IngestLimits, RejectReason};
use futures_util::{StreamExt, stream};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::mpsc;
use tonic::Code;
use tributary_eventlog::AppendError;
use tributary_model::{Marks, Record};
use v1::{
    Event, EventResult, EventStatus, EventType, SendRequest, StreamEvent, StreamOpen, StreamRequest,
    stream_request, stream_response,
};

fn call(bench: &Bench) -> Call {
    let source = bench.collector.write_keys().authenticate(WRITE_KEY).expect("the key is there");
    let meter = Arc::new(Meter::new(bench.collector.budget().reserve()));
    Call { source, write_key: WRITE_KEY.into(), received_at: now(), meter }
}

fn track(message_id: &str) -> Event {
    Event {
        r#type: EventType::Track.into(),
        message_id: message_id.to_owned(),
        user_id: "u".to_owned(),
        event: "Seen".to_owned(),
        ..Event::default()
    }
}

async fn send(bench: &Bench, request: SendRequest) -> Result<Vec<EventResult>, IngestError> {
    send::take(&bench.collector, call(bench), request).await.map(|answer| answer.results)
}

fn status(result: &EventResult) -> EventStatus {
    EventStatus::try_from(result.status).expect("a known status")
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.payload).expect("UTF-8")
}

#[tokio::test]
async fn the_position_of_the_last_event_is_told() {
    let bench = Bench::new();
    let cases = [
        (vec![track("a"), track("b")], "0.1"),
        (vec![Event::default()], ""),
        (vec![], ""),
        (vec![track("c"), Event::default()], "0.2"),
    ];
    for (events, want) in cases {
        let request = SendRequest { events, ..SendRequest::default() };
        let answer = send::take(&bench.collector, call(&bench), request).await.expect("taken");
        assert_eq!(answer.position, want);
    }
    let mut client = Client::open(&bench).await;
    for (sequence, event, want) in [(1, track("d"), "0.3"), (2, Event::default(), ""), (3, track("e"), "0.4")]
    {
        client.event(sequence, event).await;
        match client.answer().await {
            Ok(stream_response::Response::Acknowledgement(part)) => assert_eq!(part.position, want),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn every_event_has_its_own_result() {
    let bench = Bench::new();
    let events = vec![
        track("good"),
        track(""),
        Event { event: String::new(), ..track("nameless") },
        Event { properties: b"\xff".to_vec(), ..track("broken") },
        Event { traits: b"{},\"userId\":\"other\"".to_vec(), ..track("reaching out") },
        Event { traits: b"[]".to_vec(), ..track("no object") },
        Event { properties: br#"{"n":12345678901234567890123.10,"h":"\ud83d"}"#.to_vec(), ..track("kept") },
    ];
    let results = send(&bench, SendRequest { events, ..SendRequest::default() }).await.expect("taken");
    let got: Vec<_> = results.iter().map(|it| (it.reason.as_str(), it.pointer.as_str())).collect();
    let want = [
        ("", ""),
        ("", ""),
        ("event_name_missing", "/event"),
        ("unreadable", "/properties"),
        ("unreadable", "/traits"),
        ("wrong_type", "/traits"),
        ("", ""),
    ];
    assert_eq!(got, want);
    for result in &results {
        let accepted = status(result) == EventStatus::Accepted;
        assert_eq!((accepted, accepted), (result.reason.is_empty(), result.message.is_empty()), "{result:?}");
    }
    assert_eq!((results[0].message_id.as_str(), results[1].message_id.len()), ("good", 36));
    assert!(results[3].message.starts_with("`properties` is not valid UTF-8; send"), "{:?}", results[3]);

    let records = bench.log.records();
    assert!(text(&records[1]).contains(&format!(r#""messageId":"{}""#, results[1].message_id)));
    assert!(text(&records[2]).contains(r#""properties":{"n":12345678901234567890123.10,"h":"\ufffd"}"#));
    assert_eq!(records[2].envelope.marks, Marks::REPLACED_SURROGATE);
    let rejects = bench.rejects.rejects();
    let ids: Vec<_> = rejects.iter().map(|reject| reject.message_id.as_deref()).collect();
    assert_eq!(ids, [Some("nameless"), Some("broken"), Some("reaching out"), Some("no object")]);
    assert_eq!(rejects[1].reason, RejectReason::Unreadable);
    let sent = b"{\"type\":\"track\",\"messageId\":\"broken\",\"userId\":\"u\",\"event\":\"Seen\",\"properties\":\xff}";
    assert_eq!(&rejects[1].original[..], sent);
    assert_eq!((bench.log.appends(), bench.rejects.appends()), (vec![3], vec![4]));
}

#[tokio::test]
async fn what_a_request_says_for_all_is_as_in_a_batch() {
    let bench = Bench::new();
    let own = Event { context: br#"{"ip":"1"}"#.to_vec(), ..track("own") };
    let request = SendRequest {
        events: vec![track("none"), own],
        sent_at: Some(prost_types::Timestamp { seconds: 1_795_168_800, nanos: 5 }),
        context: br#" {"ip":"2","app":"\ud83d"}"#.to_vec(),
        integrations: br#"{"All":false}"#.to_vec(),
    };
    send(&bench, request).await.expect("taken");
    let records = bench.log.records();
    assert!(
        text(&records[0]).contains(r#""context":{"ip":"2","app":"\ufffd"},"integrations":{"All":false}"#)
    );
    assert!(text(&records[1]).contains(r#""context":{"ip":"1","app":"\ufffd"}"#));
    for record in &records {
        assert!(text(record).contains(r#""sentAt":"2026-11-20T10:00:00.000000005Z""#), "{}", text(record));
    }

    let empty = SendRequest::default;
    let time = prost_types::Timestamp { seconds: i64::MAX, nanos: 0 };
    let cases = [
        (SendRequest { context: b"{".to_vec(), ..empty() }, "`context` of the request is not JSON"),
        (SendRequest { context: b"\xff".to_vec(), ..empty() }, "`context` of the request is not valid UTF-8"),
        (
            SendRequest { integrations: b"7".to_vec(), ..empty() },
            "`integrations` of the request is not a JSON",
        ),
        (SendRequest { sent_at: Some(time), ..empty() }, "`sent_at` of the request is not a time"),
        (SendRequest { events: vec![track("m"); 2501], ..empty() }, "the batch holds 2501 events"),
        (
            SendRequest {
                events: vec![track("m"); 90],
                context: format!(r#"{{"x":"{}"}}"#, "x".repeat(100_000)).into_bytes(),
                ..empty()
            },
            "`context` and `integrations` of the batch add more than",
        ),
    ];
    for (request, want) in cases {
        let why = send(&bench, request).await.expect_err(want);
        assert!(why.to_string().starts_with(want), "{why}");
    }
    assert_eq!(bench.log.appends(), [2]);
    assert!(send(&bench, empty()).await.expect("taken").is_empty());
}

#[tokio::test]
async fn a_log_that_refuses_takes_nothing_and_says_when_to_come_back() {
    let bench = Bench::new();
    bench.log.refuse(Some(AppendError::NoSpace { free_bytes: 1, mark_bytes: 2 }));
    let request = SendRequest { events: vec![track("m")], ..SendRequest::default() };
    let status = status_of(send(&bench, request).await.expect_err("refused"));
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "10");
}

/// The client's end of a stream.
struct Client {
    requests: mpsc::Sender<Result<StreamRequest, Status>>,
    answers: stream::Fuse<super::stream::Answers>,
    stop: watch::Sender<bool>,
}

impl Client {
    fn connect(bench: &Bench) -> Self {
        let (requests, mut incoming) = mpsc::channel(1000);
        let (stop, stopping) = watch::channel(false);
        let incoming = stream::poll_fn(move |context| incoming.poll_recv(context));
        let answers = super::stream::open(Arc::clone(&bench.collector), call(bench), incoming, stopping);
        Self { requests, answers: answers.fuse(), stop }
    }

    async fn open(bench: &Bench) -> Self {
        let mut client = Self::connect(bench);
        client.say(Some(opening("s"))).await;
        match client.answer().await {
            Ok(stream_response::Response::Opened(opened)) => {
                let max = bench.collector.limits().stream_events_in_flight_max;
                assert_eq!(opened.events_in_flight_max, max);
            }
            other => panic!("{other:?}"),
        }
        client
    }

    async fn say(&self, request: Option<stream_request::Request>) {
        self.requests.send(Ok(StreamRequest { request })).await.expect("the stream is open");
    }

    async fn event(&self, sequence: u64, event: Event) {
        let event = StreamEvent { sequence, event: Some(event) };
        self.say(Some(stream_request::Request::Event(event))).await;
    }

    async fn answer(&mut self) -> Result<stream_response::Response, Status> {
        let answer = self.answers.next().await.expect("the stream goes on");
        answer.map(|answer| answer.response.expect("an answer says something"))
    }

    /// Reads acknowledgements until this sequence number; the results in order.
    async fn acknowledged(&mut self, through: u64) -> Vec<(u64, EventResult)> {
        let mut results = Vec::new();
        loop {
            match self.answer().await {
                Ok(stream_response::Response::Acknowledgement(part)) => {
                    let part_through = part.through;
                    let part = part.results.into_iter();
                    results.extend(part.map(|it| (it.sequence, it.result.expect("a result"))));
                    assert_eq!(results.last().map(|(sequence, _)| *sequence), Some(part_through));
                    if part_through >= through {
                        return results;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    async fn status(&mut self) -> Status {
        let status = self.answer().await.expect_err("the stream ends");
        assert!(self.answers.next().await.is_none());
        status
    }
}

fn opening(stream_id: &str) -> stream_request::Request {
    stream_request::Request::Open(StreamOpen { stream_id: stream_id.to_owned() })
}

/// Lets every task go as far as it can.
async fn settled() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stream_acknowledges_in_order_and_closes_well() {
    let bench = Bench::new();
    let mut client = Client::open(&bench).await;
    for sequence in 7..1007 {
        let event = if sequence == 9 { Event::default() } else { track("") };
        client.event(sequence, event).await;
    }
    let results = client.acknowledged(1006).await;
    assert!(results.iter().map(|(sequence, _)| *sequence).eq(7..1007));
    assert_eq!(results[2].1.reason, "type_missing");
    assert_eq!(status(&results[3].1), EventStatus::Accepted);
    assert!(bench.log.appends().len() < 1000, "what is ready is one append");

    let Client { requests, mut answers, .. } = client;
    drop(requests);
    assert!(answers.next().await.is_none(), "a stream that the client closes ends well");
    let records = bench.log.records();
    let stored = records.iter().map(|record| record.envelope.message_id.clone().expect("an id"));
    let told = results.iter().filter(|(_, it)| it.reason.is_empty()).map(|(_, it)| it.message_id.clone());
    assert!(stored.map(|id| id.to_string()).eq(told));

    // Sent again after a reconnect, the same number has the same id.
    let mut again = Client::open(&bench).await;
    again.event(1006, track("")).await;
    again.event(1007, track("its own")).await;
    let ids: Vec<_> = again.acknowledged(1007).await.into_iter().map(|(_, it)| it.message_id).collect();
    assert_eq!(ids, [results[999].1.message_id.clone(), "its own".to_owned()]);
}

#[tokio::test]
async fn rules_of_a_stream() {
    use stream_request::Request::{Event as Say, Open};
    let event = |sequence| Say(StreamEvent { sequence, event: Some(track("m")) });
    let open = || Open(StreamOpen { stream_id: "s".to_owned() });
    let long = "x".repeat(129);
    let cases: Vec<(&str, Vec<Option<stream_request::Request>>, usize, &str)> = vec![
        ("nothing first", vec![None], 0, "the first request"),
        ("an event first", vec![Some(event(1))], 0, "the first request"),
        ("empty id", vec![Some(opening(""))], 0, "`stream_id`"),
        ("long id", vec![Some(opening(&long))], 0, "`stream_id`"),
        ("space in the id", vec![Some(opening("a b"))], 0, "`stream_id`"),
        ("no ASCII", vec![Some(opening("é"))], 0, "`stream_id`"),
        ("open twice", vec![Some(open()), Some(event(1)), Some(open())], 1, "the stream is open already"),
        ("empty later", vec![Some(open()), None], 0, "the request is empty"),
        ("zero", vec![Some(open()), Some(event(0))], 0, "sequence number 0"),
        ("a gap", vec![Some(open()), Some(event(4)), Some(event(6))], 1, "expected sequence number 5, not 6"),
        (
            "a repeat",
            vec![Some(open()), Some(event(4)), Some(event(4))],
            1,
            "expected sequence number 5, not 4",
        ),
        (
            "past the last",
            vec![Some(open()), Some(event(u64::MAX)), Some(event(0))],
            1,
            "expected sequence number 18446744073709551615, not 0",
        ),
    ];
    for (name, requests, taken, want) in cases {
        let bench = Bench::new();
        let mut client = Client::connect(&bench);
        for request in requests {
            client.say(request).await;
        }
        let mut acknowledged = 0;
        let status = loop {
            match client.answer().await {
                Ok(stream_response::Response::Opened(_)) => {}
                Ok(stream_response::Response::Acknowledgement(part)) => acknowledged += part.results.len(),
                Err(status) => break status,
            }
        };
        assert_eq!(status.code(), Code::InvalidArgument, "{name}: {status}");
        assert!(status.message().starts_with(want), "{name}: {status}");
        // What came before what is wrong is taken and acknowledged.
        assert_eq!((acknowledged, bench.log.entries().len()), (taken, taken), "{name}");
    }
    let bench = Bench::new();
    let mut client = Client::connect(&bench);
    drop(std::mem::replace(&mut client.requests, mpsc::channel(1).0));
    assert_eq!(client.status().await.code(), Code::InvalidArgument, "closed before it was opened");
}

/// Requests without end; how many were taken from it.
fn endless() -> (impl futures_util::Stream<Item = Result<StreamRequest, Status>> + Unpin, Arc<AtomicUsize>) {
    let pulled = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&pulled);
    let events = (1u64..)
        .map(|sequence| stream_request::Request::Event(StreamEvent { sequence, event: Some(track("")) }));
    let all = std::iter::once(opening("s")).chain(events);
    let requests = all.map(move |request| {
        count.fetch_add(1, Ordering::SeqCst);
        Ok(StreamRequest { request: Some(request) })
    });
    (stream::iter(requests), pulled)
}

#[tokio::test]
async fn no_more_is_read_than_may_be_under_way() {
    let limits = IngestLimits { stream_events_in_flight_max: 50, ..IngestLimits::default() };
    let small = IngestLimits { stream_bytes_in_flight_max: 100, ..IngestLimits::default() };
    for (name, limits, most) in [("events", limits.clone(), 50), ("bytes", small, 20)] {
        // The log is slow.
        let bench = Bench::with_limits(limits);
        bench.log.hold(true);
        let (requests, pulled) = endless();
        let (_stop, stopping) = watch::channel(false);
        let answers = super::stream::open(Arc::clone(&bench.collector), call(&bench), requests, stopping);
        settled().await;
        let read = pulled.load(Ordering::SeqCst);
        assert!((2..=1 + most).contains(&read), "{name}: {read}");
        settled().await;
        assert_eq!(pulled.load(Ordering::SeqCst), read, "{name}");
        drop(answers);
        bench.log.hold(false);
    }

    // The client does not read: what is acknowledged waits for it, and then nothing more is read.
    let bench = Bench::with_limits(limits);
    let (requests, pulled) = endless();
    let (_stop, stopping) = watch::channel(false);
    let answers = super::stream::open(Arc::clone(&bench.collector), call(&bench), requests, stopping);
    settled().await;
    let read = pulled.load(Ordering::SeqCst);
    assert!((51..=1 + 50 * 18).contains(&read), "16 answers wait, one is being handed on: {read}");
    settled().await;
    assert_eq!(pulled.load(Ordering::SeqCst), read);
    // It goes away: the stream ends, and what it held is given back.
    drop(answers);
    settled().await;
    assert_eq!(Arc::strong_count(&pulled), 1, "the requests are gone");
    let all = bench.collector.limits().in_flight_bytes_max;
    assert!(bench.collector.budget().reserve().grow(all).is_ok());
}

#[tokio::test]
async fn nothing_is_acknowledged_from_the_first_refusal_on() {
    let bench = Bench::new();
    let mut client = Client::open(&bench).await;
    bench.log.hold(true);
    client.event(1, track("first")).await;
    settled().await;
    bench.log.refuse(Some(AppendError::QueueFull));
    client.event(2, track("second")).await;
    settled().await;
    bench.log.refuse(None);
    client.event(3, track("third")).await;
    settled().await;
    bench.log.hold(false);
    assert_eq!(client.acknowledged(1).await.len(), 1);
    let status = client.status().await;
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "1");
    assert_eq!(bench.log.appends(), [1, 1], "appends do not wait for one another");
}

#[tokio::test]
async fn a_withdrawn_key_and_a_stop_end_a_stream_after_what_is_under_way() {
    let bench = Bench::new();
    let mut client = Client::open(&bench).await;
    client.event(1, track("m")).await;
    client.acknowledged(1).await;
    bench.collector.write_keys().swap(&[]);
    client.event(2, track("m")).await;
    assert_eq!(client.status().await.code(), Code::Unauthenticated);

    let bench = Bench::new();
    let mut client = Client::open(&bench).await;
    bench.log.hold(true);
    client.event(1, track("m")).await;
    settled().await;
    client.stop.send_replace(true);
    client.event(2, track("n")).await;
    settled().await;
    bench.log.hold(false);
    assert_eq!(client.acknowledged(1).await.len(), 1);
    let status = client.status().await;
    assert_eq!((status.code(), bench.log.entries().len()), (Code::Unavailable, 1));
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "1");
    // One that waits for its first request ends too.
    let mut idle = Client::connect(&bench);
    idle.stop.send_replace(true);
    assert_eq!(idle.status().await.code(), Code::Unavailable);
}

#[test]
fn what_comes_from_below_is_told_in_our_words() {
    let limits = IngestLimits::default();
    let cases = [
        (Status::out_of_range("too long"), Code::ResourceExhausted, "the decoded body is larger"),
        (Status::resource_exhausted("inflated"), Code::ResourceExhausted, "the decoded body is larger"),
        (Status::internal("no message"), Code::InvalidArgument, "the message can't be decoded: no message"),
        (Status::unimplemented("`br` is"), Code::Unimplemented, "`br` is"),
        (Status::cancelled("gone"), Code::InvalidArgument, "the body did not arrive whole"),
        (status_of(IngestError::InFlightFull), Code::Unavailable, "too many requests"),
    ];
    for (status, code, want) in cases {
        let got = in_our_words(status, &limits);
        assert_eq!(got.code(), code, "{want}");
        assert!(got.message().starts_with(want), "{got}");
    }
}
