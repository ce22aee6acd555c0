//! The gRPC face, for a client that is generated from the proto: the same road as over HTTP.

use crate::harness::{Server, TOKEN, WRITE_KEY, data_dir};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::{StreamExt, stream};
use prost_types::Timestamp;
use serde_json::Value;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tributary_proto::grpc::v1::collector_client::CollectorClient;
use tributary_proto::grpc::v1::{
    Event, EventResult, EventStatus, EventType, SendRequest, StreamEvent, StreamOpen, StreamRequest,
    stream_request, stream_response,
};

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).expect("an address");
    endpoint.connect().await.expect("the server listens")
}

async fn client(server: &Server) -> CollectorClient<Channel> {
    CollectorClient::new(channel(server).await)
}

fn authorized<T>(message: T) -> Request<T> {
    authorized_as(WRITE_KEY, message)
}

fn authorized_as<T>(write_key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let credentials = format!("Basic {}", STANDARD.encode(format!("{write_key}:")));
    request.metadata_mut().insert("authorization", credentials.parse().expect("visible ASCII"));
    request
}

async fn send(server: &Server, events: Vec<Event>) -> Result<Vec<EventResult>, Status> {
    let request = SendRequest { events, ..SendRequest::default() };
    client(server).await.send(authorized(request)).await.map(|answer| answer.into_inner().results)
}

fn track(message_id: &str, user_id: &str) -> Event {
    Event {
        r#type: EventType::Track.into(),
        message_id: message_id.to_owned(),
        user_id: user_id.to_owned(),
        event: "Seen".to_owned(),
        ..Event::default()
    }
}

/// The text of a part of a profile, in which numbers have the digits that they were sent with.
async fn profile_text(server: &Server, who: &str, part: &str) -> String {
    let path = format!("/v1/spaces/default/collections/users/profiles/{who}/{part}?limit=200");
    let request = server.client.get(format!("http://{}{path}", server.api)).bearer_auth(TOKEN);
    request.send().await.expect("an answer").text().await.expect("text")
}

async fn projected(server: &Server, events: f64) {
    let metric = r#"tributary_outcomes_total{stage="projector",outcome="projected"}"#;
    server.until("everything is projected", async || server.metric(metric).await == events).await;
}

const TRAITS: &str =
    r#"{"email":"ada-grpc@example.com","n":12345678901234567890123.10,"nested":{"a":[1, 2]}}"#;
const PROPERTIES: &str = r#"{"n":12345678901234567890123.10,"small":1e-400,"text":"caf\u00e9 \ud83d\ude00"}"#;
const CONTEXT: &str = r#"{"ip":"8.8.8.8","traits":{"email":"ada-grpc@example.com"}}"#;
const TIME: &str = "2020-11-20T10:00:00.123456789Z";

/// One event of each kind, as gRPC has it.
fn over_grpc() -> Vec<Event> {
    let event = |kind: EventType| Event {
        r#type: kind.into(),
        message_id: format!("{}-grpc", kind.as_str_name()),
        user_id: "ada-grpc".to_owned(),
        timestamp: Some(Timestamp { seconds: 1_605_866_400, nanos: 123_456_789 }),
        context: CONTEXT.into(),
        ..Event::default()
    };
    vec![
        Event {
            anonymous_id: "browser-grpc".to_owned(),
            traits: TRAITS.into(),
            integrations: r#"{"All":true}"#.into(),
            ..event(EventType::Identify)
        },
        Event { event: "Order \"1\"".to_owned(), properties: PROPERTIES.into(), ..event(EventType::Track) },
        Event { name: "Home".to_owned(), category: "Docs".to_owned(), ..event(EventType::Page) },
        Event { name: "Start".to_owned(), properties: PROPERTIES.into(), ..event(EventType::Screen) },
        Event { group_id: "acme".to_owned(), traits: TRAITS.into(), ..event(EventType::Group) },
        Event { previous_id: "old-grpc".to_owned(), ..event(EventType::Alias) },
    ]
}

/// The same events by another person, as HTTP has them.
fn over_http() -> String {
    let event = |kind: EventType, name: &str, members: &str| {
        let id = kind.as_str_name();
        format!(
            r#"{{"type":"{name}","messageId":"{id}-grpc","userId":"ada-grpc","timestamp":"{TIME}","context":{CONTEXT},{members}}}"#
        )
    };
    let events = [
        event(
            EventType::Identify,
            "identify",
            &format!(r#""anonymousId":"browser-grpc","traits":{TRAITS},"integrations":{{"All":true}}"#),
        ),
        event(EventType::Track, "track", &format!(r#""event":"Order \"1\"","properties":{PROPERTIES}"#)),
        event(EventType::Page, "page", r#""name":"Home","category":"Docs""#),
        event(EventType::Screen, "screen", &format!(r#""name":"Start","properties":{PROPERTIES}"#)),
        event(EventType::Group, "group", &format!(r#""groupId":"acme","traits":{TRAITS}"#)),
        event(EventType::Alias, "alias", r#""previousId":"old-grpc""#),
    ];
    format!(r#"{{"batch":[{}]}}"#, events.join(",")).replace("-grpc", "-http")
}

/// The events of a profile by kind, without their times of arrival.
fn by_kind(events: &str) -> Vec<Value> {
    let mut page: Value = serde_json::from_str(events).expect("JSON");
    let mut rows: Vec<Value> = page["data"].as_array_mut().expect("rows").drain(..).collect();
    for row in &mut rows {
        row.as_object_mut().expect("an event").remove("receivedAt").expect("it is filled in");
    }
    rows.sort_by_key(|row| row["type"].to_string());
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_arrives_as_over_http() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let results = send(&server, over_grpc()).await.expect("taken");
    assert!(results.iter().all(|it| it.status == i32::from(EventStatus::Accepted)), "{results:?}");
    assert_eq!(server.post("/v1/batch", over_http()).await.0, 200);
    // An event is counted a moment before it is visible.
    for who in ["user_id:ada-grpc", "user_id:ada-http"] {
        let is_whole = async || server.profile(who, "metadata").await.1["event_count"] == 6;
        server.until("the profile is whole", is_whole).await;
    }
    projected(&server, 12.0).await;

    let one = async |part: &'static str| profile_text(&server, "user_id:ada-grpc", part).await;
    let other = async |part: &'static str| {
        profile_text(&server, "user_id:ada-http", part).await.replace("-http", "-grpc")
    };
    assert_eq!(one("traits").await, other("traits").await);
    let (events, same) = (one("events").await, other("events").await);
    assert_eq!(by_kind(&events), by_kind(&same));
    assert_eq!(by_kind(&events).len(), 6);
    assert_eq!(events.matches("12345678901234567890123.10").count(), 4, "{events}");
    assert!(events.contains(&format!(r#""timestamp":"{TIME}""#)), "{events}");
    let identifiers = |text: &str| {
        let page: Value = serde_json::from_str(text).expect("JSON");
        let rows = page["data"].as_array().expect("rows");
        rows.iter().map(|row| (row["type"].clone(), row["id"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(identifiers(&one("external_ids").await), identifiers(&other("external_ids").await));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_events_are_told_and_found() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let events = vec![
        Event { properties: b"{\"a\":\"\xff\"}".to_vec(), ..track("broken", "u") },
        track("good", "u"),
        Event { event: String::new(), ..track("nameless", "u") },
        Event { timestamp: Some(Timestamp { seconds: i64::MAX, nanos: 0 }), ..track("no time", "u") },
    ];
    let results = send(&server, events).await.expect("taken");
    let got: Vec<_> = results.iter().map(|it| (it.reason.as_str(), it.pointer.as_str())).collect();
    let want = [
        ("unreadable", "/properties"),
        ("", ""),
        ("event_name_missing", "/event"),
        ("unreadable", "/timestamp"),
    ];
    assert_eq!(got, want);
    for result in results.iter().filter(|it| it.status == i32::from(EventStatus::Rejected)) {
        let id = result.message_id.replace(' ', "%20");
        let (_, found) = server.get(&format!("/admin/v1/rejects?message_id={id}")).await;
        let row = &found["data"][0];
        assert_eq!(row["reason"], result.reason.as_str(), "{found}");
        assert_eq!(row["message"], result.message.as_str(), "{found}");
        if result.message_id == "broken" {
            let sent = STANDARD.decode(row["event_base64"].as_str().expect("no JSON")).expect("base64");
            assert!(sent.ends_with(b"\"properties\":{\"a\":\"\xff\"}}"), "{sent:?}");
        } else {
            assert_eq!(row["event"]["messageId"], result.message_id.as_str(), "{found}");
        }
    }
    projected(&server, 1.0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_refused_whole() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let filled = |bytes: usize| Event {
        properties: format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes)).into_bytes(),
        ..track("", "u")
    };
    let request = |events: Vec<Event>| SendRequest { events, ..SendRequest::default() };
    let small = request(vec![track("m", "u")]);
    let too_many = request(vec![track("", "u"); 2501]);
    let over_wire = request(vec![filled(1 << 19); 12]);
    let over_decoded = request(vec![filled(1 << 19); 20]);
    let cases = [
        ("no key", Request::new(small.clone()), Code::Unauthenticated, "no write key"),
        (
            "unknown key",
            authorized_as("nobody", small.clone()),
            Code::Unauthenticated,
            "the write key is unknown",
        ),
        ("too many events", authorized(too_many), Code::ResourceExhausted, "the batch holds 2501 events"),
        ("too large", authorized(over_wire), Code::ResourceExhausted, "the body is larger"),
        (
            "far too large",
            authorized(over_decoded.clone()),
            Code::ResourceExhausted,
            "the decoded body is larger",
        ),
    ];
    for (name, request, code, want) in cases {
        let status = client(&server).await.send(request).await.expect_err(name);
        assert_eq!(status.code(), code, "{name}: {status}");
        assert!(status.message().starts_with(want), "{name}: {status}");
    }

    let compressed = async |message: SendRequest| {
        let client = client(&server).await;
        client.send_compressed(CompressionEncoding::Gzip).send(authorized(message)).await
    };
    let bomb = compressed(over_decoded).await.expect_err("it inflates to 10 MB");
    assert_eq!(bomb.code(), Code::ResourceExhausted, "{bomb}");
    let steep = compressed(request(vec![filled(1 << 19); 4])).await.expect_err("2 MB from little");
    assert!(steep.message().contains("100 times"), "{steep}");
    let taken = compressed(small).await.expect("gzip is taken").into_inner();
    assert_eq!(taken.results[0].message_id, "m");
    projected(&server, 1.0).await;
    let refused = r#"tributary_ingest_requests_total{endpoint="send",status="4xx"}"#;
    assert_eq!(server.metric(refused).await, 7.0);
    let hit = r#"tributary_ingest_limit_hits_total{limit="decoded_bytes_max"}"#;
    assert_eq!(server.metric(hit).await, 2.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_space_the_client_is_told_when_to_come_back() {
    let (_directory, path) = data_dir();
    assert!(Server::start(&path, &[]).stop().success());
    let config = path.with_extension("toml");
    let text = "[log]\nfree_space_bytes = 1000000000000\nfree_space_percent = 90\n";
    std::fs::write(&config, text).expect("written");
    let server = Server::start(&path, &["--config", config.to_str().expect("text")]);
    let status = send(&server, vec![track("m", "u")]).await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "10");
    let requests = stream::iter([opening(), numbered(1)]).chain(stream::pending());
    let mut answers = client(&server).await.stream(authorized(requests)).await.expect("opened").into_inner();
    answers.message().await.expect("it is told that it is open");
    let status = answers.message().await.expect_err("refused");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.metadata().get("retry-after").expect("a wait"), "10");
    let mut health = HealthClient::new(channel(&server).await);
    let answer = health.check(HealthCheckRequest::default()).await.expect("an answer").into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_reflection() {
    use tonic_reflection::pb::{v1, v1alpha};
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let mut health = HealthClient::new(channel(&server).await);
    for service in ["", "tributary.v1.Collector"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "other".to_owned() };
    assert_eq!(health.check(request).await.expect_err("unknown").code(), Code::NotFound);

    let ask = |request| v1::ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    let requests = stream::iter([
        ask(v1::server_reflection_request::MessageRequest::ListServices(String::new())),
        ask(v1::server_reflection_request::MessageRequest::FileContainingSymbol(
            "tributary.v1.Event".to_owned(),
        )),
    ]);
    let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let mut answers = client.server_reflection_info(requests).await.expect("an answer").into_inner();
    let mut next = async || answers.message().await.expect("an answer").expect("one each").message_response;
    let Some(v1::server_reflection_response::MessageResponse::ListServicesResponse(list)) = next().await
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.iter().map(|service| service.name.as_str()).collect();
    assert!(
        names.contains(&"tributary.v1.Collector") && names.contains(&"grpc.health.v1.Health"),
        "{names:?}"
    );
    let Some(v1::server_reflection_response::MessageResponse::FileDescriptorResponse(file)) = next().await
    else {
        panic!("no file");
    };
    assert_eq!(file.file_descriptor_proto.len(), 1);

    let request = v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel(&server).await);
    let mut answers =
        client.server_reflection_info(stream::iter([request])).await.expect("an answer").into_inner();
    let answer = answers.message().await.expect("an answer").expect("one");
    assert!(format!("{answer:?}").contains("tributary.v1.Collector"));
}

fn opening() -> StreamRequest {
    let open = StreamOpen { stream_id: "0b0f3f0e-one-stream".to_owned() };
    StreamRequest { request: Some(stream_request::Request::Open(open)) }
}

/// An event without a message id: only its number makes it what it is.
fn numbered(sequence: u64) -> StreamRequest {
    let properties = format!(r#"{{"number":{sequence}}}"#).into_bytes();
    let event = Some(Event { properties, ..track("", "streamer") });
    StreamRequest { request: Some(stream_request::Request::Event(StreamEvent { sequence, event })) }
}

const EVENTS: u64 = 4000;

/// How a client and its server part.
enum Parting {
    /// The server is killed.
    Kill,
    /// The client drops the connection.
    Leave,
}

/// Opens the stream, sends every event that is not acknowledged, and parts once so many are. The last that is
/// acknowledged then, and the server if it is there.
async fn stream_until(
    server: Server,
    mut acknowledged: u64,
    enough: u64,
    parting: Parting,
) -> (u64, Option<Server>) {
    let requests = stream::iter([opening()]).chain(stream::iter((acknowledged + 1..=EVENTS).map(numbered)));
    let mut calls = client(&server).await;
    let mut answers = calls.stream(authorized(requests)).await.expect("opened").into_inner();
    let mut server = Some(server);
    // The end of the answers, whatever it is, leaves what was not acknowledged for the next time.
    while let Ok(Some(answer)) = answers.message().await {
        if let Some(stream_response::Response::Acknowledgement(part)) = answer.response {
            let numbers: Vec<_> = part.results.iter().map(|result| result.sequence).collect();
            assert!(numbers.iter().copied().eq(acknowledged + 1..=part.through), "{numbers:?}");
            acknowledged = part.through;
        }
        if acknowledged >= enough {
            match parting {
                Parting::Kill => drop(server.take()),
                Parting::Leave => break,
            }
        }
    }
    (acknowledged, server)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_resumed_without_loss_or_repeats() {
    let (_directory, path) = data_dir();
    let mut acknowledged = 0;
    let mut running = None;
    let partings = [
        (500, Parting::Kill),
        (1000, Parting::Leave),
        (1500, Parting::Leave),
        (2000, Parting::Kill),
        (2500, Parting::Kill),
        (EVENTS, Parting::Leave),
    ];
    for (enough, parting) in partings {
        let server = running.take().unwrap_or_else(|| Server::start(&path, &[]));
        (acknowledged, running) = stream_until(server, acknowledged, enough, parting).await;
        assert!(acknowledged >= enough);
    }
    assert_eq!(acknowledged, EVENTS);
    let server = running.expect("it was not killed");
    // A stop projects what the log holds, repeats among it.
    assert!(server.stop().success());
    let server = Server::start(&path, &[]);
    server.ready().await;
    let (_, metadata) = server.profile("user_id:streamer", "metadata").await;
    assert_eq!(metadata["event_count"], EVENTS, "{metadata}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_ends_streams_and_says_so() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let requests = stream::iter([opening(), numbered(1), numbered(3)]).chain(stream::pending());
    let mut calls = client(&server).await;
    let mut answers = calls.stream(authorized(requests)).await.expect("opened").into_inner();
    let mut broken = None;
    let mut acknowledged = 0;
    while broken.is_none() {
        match answers.message().await {
            Ok(answer) => {
                if let Some(stream_response::Response::Acknowledgement(part)) =
                    answer.expect("it goes on").response
                {
                    acknowledged = part.through;
                }
            }
            Err(status) => broken = Some(status),
        }
    }
    let status = broken.expect("it was broken");
    assert_eq!((acknowledged, status.code()), (1, Code::InvalidArgument), "{status}");
    assert!(status.message().starts_with("expected sequence number 2, not 3"), "{status}");

    let requests = stream::iter([opening(), numbered(2)]).chain(stream::pending());
    let mut answers = calls.stream(authorized(requests)).await.expect("opened").into_inner();
    for _ in 0..2 {
        answers.message().await.expect("it goes on").expect("open, and acknowledged");
    }
    assert!(server.stop().success(), "an open stream does not hold up the stop");
    let status = answers.message().await.expect_err("the stream ends");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
}
