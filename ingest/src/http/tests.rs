//! The tracking API over real connections.

use super::*;
use crate::testing::{Bench, DISABLED_KEY, WRITE_KEY};
use crate::{IngestLimits, RejectReason};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use base64::Engine;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;
use tributary_eventlog::AppendError;
use tributary_model::Marks;

/// Header names with values.
type Headers<'a> = &'a [(&'a str, &'a str)];

/// The collector behind a server on a free port.
struct Server {
    bench: Bench,
    address: SocketAddr,
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(bench: Bench) -> Self {
        let collector = Arc::clone(&bench.collector);
        let (send, receive) = mpsc::sync_channel(1);
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let app = move || {
                    App::new().configure(routes(Arc::clone(&collector))).default_service(web::to(not_found))
                };
                let server = HttpServer::new(app)
                    .workers(1)
                    .disable_signals()
                    .bind(("127.0.0.1", 0))
                    .expect("a free port");
                let address = server.addrs()[0];
                let running = server.run();
                send.send((address, running.handle())).expect("the test waits");
                running.await.expect("the server ends when told");
            });
        });
        let (address, handle) = receive.recv().expect("the server starts");
        Self { bench, address, handle, thread: Some(thread) }
    }

    /// Sends a request as it stands and reads the answer to its end.
    fn exchange(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        // A server that refuses early may stop reading; what it answered counts.
        let _ = stream.write_all(request);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("an answer");
        Answer::parse(&answer)
    }

    fn send(&self, method: &str, path: &str, headers: Headers<'_>, body: &[u8]) -> Answer {
        let mut request = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        request.push_str("\r\n");
        self.exchange(&[request.as_bytes(), body].concat())
    }

    fn post(&self, path: &str, body: &str) -> Answer {
        self.send("POST", path, &[("authorization", &basic(WRITE_KEY))], body.as_bytes())
    }

    fn reasons(&self) -> Vec<RejectReason> {
        self.bench.rejects.rejects().iter().map(|reject| reject.reason).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server's thread did not panic");
        }
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn parse(bytes: &[u8]) -> Self {
        let text = std::str::from_utf8(bytes).expect("answers are text");
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer has a head");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Self { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    fn is_success(&self) -> bool {
        self.status == 200
            && self.body == r#"{"success":true}"#
            && self.head.contains("content-type: application/json")
    }

    /// The code of an error body, which has a message too.
    fn code(&self) -> String {
        assert!(self.head.contains("content-type: application/json"), "{self:?}");
        let body: Value = serde_json::from_str(&self.body).expect("error bodies are JSON");
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{self:?}");
        body["code"].as_str().expect("error bodies have a code").to_owned()
    }

    fn has(&self, header: &str) -> bool {
        self.head.contains(header)
    }
}

fn basic(user: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:")))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory takes it");
    encoder.finish().expect("memory takes it")
}

const EVENT: &str = r#"{"type":"track","event":"e","userId":"u","messageId":"m"}"#;

/// Bodies as published SDKs send them, shortened: (client, path, content type, body, events).
#[test]
fn bodies_of_sdks() {
    let key = WRITE_KEY;
    let cases = [
        (
            "segment-node",
            "/v1/batch",
            "application/json",
            format!(r#"{{"batch":[{{"timestamp":"2026-11-20T09:59:59.123Z","integrations":{{}},"type":"identify","userId":"u","traits":{{"email":"a@x"}},"context":{{"library":{{"name":"@segment/analytics-node","version":"3.1.0"}}}},"_metadata":{{"nodeVersion":"v22","jsRuntime":"node"}},"messageId":"node-next-1763632799123-x"}}],"writeKey":"{key}","sentAt":"2026-11-20T10:00:00.000Z"}}"#),
            1,
        ),
        (
            "segment-node-legacy",
            "/v1/batch",
            "application/json",
            r#"{"batch":[{"userId":"u","event":"e","context":{},"_metadata":{"nodeVersion":"22"},"type":"track","timestamp":"2026-11-20T09:59:59.123Z","messageId":"node-0123456789abcdef0123456789abcdef-b2c1c9f0-3c2e-4d0a-9a55-6c1f5b7f2f11"}],"timestamp":"2026-11-20T10:00:00.000Z","sentAt":"2026-11-20T10:00:00.000Z"}"#.to_owned(),
            1,
        ),
        (
            "segment-python",
            "/v1/batch",
            "application/json",
            format!(r#"{{"batch":[{{"integrations":{{}},"anonymousId":null,"timestamp":"2026-11-20T09:59:59.123+00:00","context":{{}},"type":"track","userId":"u","event":"caf\u00e9","properties":{{"big":9007199254740993,"half":"\ud83d"}},"messageId":"b2c1c9f0-3c2e-4d0a-9a55-6c1f5b7f2f11"}}],"sentAt":"2026-11-20T10:00:00.000000+00:00","writeKey":"{key}"}}"#),
            1,
        ),
        (
            "segment-rust, single",
            "/v1/track",
            "application/json",
            r#"{"userId":"u","event":"e","properties":{}}"#.to_owned(),
            1,
        ),
        (
            "segment-rust, batch",
            "/v1/batch",
            "application/json",
            r#"{"batch":[{"type":"track","userId":"u","event":"e","properties":{},"timestamp":"2026-11-20T09:59:59.123456789Z"},{"type":"alias","userId":"u","previousId":"a"}],"context":{"ip":"8.8.8.8"},"integrations":{"All":true}}"#.to_owned(),
            2,
        ),
        (
            "segment-browser",
            "/v1/page",
            "text/plain",
            format!(r#"{{"timestamp":"2026-11-20T09:59:59.123Z","integrations":{{}},"anonymousId":"a","type":"page","properties":{{"path":"/","url":"https://x/"}},"name":null,"context":{{"page":{{"path":"/"}}}},"messageId":"ajs-next-1763632799123-x","writeKey":"{key}","userId":null,"sentAt":"2026-11-20T10:00:00.000Z","_metadata":{{"bundled":["Segment.io"]}}}}"#),
            1,
        ),
        (
            "rudder-browser",
            "/v1/identify",
            "application/json;charset=UTF-8",
            r#"{"channel":"web","context":{"traits":{"email":"a@x"}},"type":"identify","anonymousId":"a","originalTimestamp":"2026-11-20T09:59:59.123Z","sentAt":"2026-11-20T10:00:00.000Z","messageId":"x","userId":"u","event":null,"integrations":{"All":true}}"#.to_owned(),
            1,
        ),
        (
            "rudder-node",
            "/v1/batch",
            "application/x-www-form-urlencoded",
            r#"{"batch":[{"channel":"server","type":"group","userId":"u","groupId":"g","traits":{"name":"Acme"},"originalTimestamp":"2026-11-20T09:59:59.123Z","timestamp":"2020-01-01T00:00:00.000Z","sentAt":"2026-11-20T10:00:00.000Z","messageId":"y","integrations":{}}],"timestamp":"2026-11-20T10:00:00.000Z","sentAt":"2026-11-20T10:00:00.000Z"}"#.to_owned(),
            1,
        ),
    ];
    let server = Server::start(Bench::new());
    let mut total = 0;
    for (client, path, content_type, body, events) in cases {
        let authorization = basic(key);
        for coding in ["", "gzip"] {
            let sent = if coding == "gzip" { gzip(body.as_bytes()) } else { body.clone().into_bytes() };
            let headers = [
                ("authorization", &*authorization),
                ("content-type", content_type),
                ("content-encoding", coding),
            ];
            let answer = server.send("POST", path, &headers, &sent);
            assert!(answer.is_success(), "{client}: {answer:?}");
            total += events;
            assert_eq!(server.bench.log.entries().len(), total, "{client}");
        }
    }
    assert_eq!(server.reasons(), []);
    let marked = server
        .bench
        .log
        .records()
        .iter()
        .filter(|record| record.envelope.marks.has(Marks::REPLACED_SURROGATE))
        .count();
    assert_eq!(marked, 2);
}

#[test]
fn write_keys() {
    let server = Server::start(Bench::new());
    let base64 = |text: &str| format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(text));
    let body = |key: &str| EVENT.replacen('{', &format!("{{\"writeKey\":\"{key}\","), 1);
    let cases = [
        ("with colon", Some(basic(WRITE_KEY)), EVENT.to_owned(), 200),
        ("without colon", Some(base64(WRITE_KEY)), EVENT.to_owned(), 200),
        ("any password", Some(base64(&format!("{WRITE_KEY}:pw"))), EVENT.to_owned(), 200),
        ("in the body", None, body(WRITE_KEY), 200),
        ("empty header, in the body", Some(base64(":")), body(WRITE_KEY), 200),
        ("header wins", Some(basic(WRITE_KEY)), body("wk_masked:***"), 200),
        ("header wins, unknown", Some(basic("wk_no")), body(WRITE_KEY), 401),
        ("unknown in the body", None, body("wk_no"), 401),
        ("disabled", Some(basic(DISABLED_KEY)), EVENT.to_owned(), 401),
        ("none", None, EVENT.to_owned(), 401),
        ("empty in the body", None, body(""), 401),
        ("other scheme", Some("Bearer x".to_owned()), body(WRITE_KEY), 401),
    ];
    let mut accepted = 0;
    for (name, header, body, status) in cases {
        let headers: Vec<_> = header.iter().map(|value| ("authorization", value.as_str())).collect();
        let batch = format!(r#"{{"batch":[{EVENT}],{}"#, &body[1..]);
        for (path, body) in [("/v1/track", &body), ("/v1/batch", &batch)] {
            let answer = server.send("POST", path, &headers, body.as_bytes());
            assert_eq!(answer.status, status, "{name} {path}: {answer:?}");
            if status == 200 {
                accepted += 1;
            } else {
                assert_eq!(answer.code(), "unauthenticated", "{name} {path}");
            }
        }
    }
    assert_eq!(server.bench.log.entries().len(), accepted);
}

#[test]
fn bad_input_as_a_whole() {
    let server = Server::start(Bench::new());
    let cases = [
        ("empty body", "/v1/batch", "", 400),
        ("not JSON", "/v1/track", "event=e&userId=u", 400),
        ("an array", "/v1/track", "[]", 400),
        ("cut off", "/v1/batch", r#"{"batch":[{"type":"#, 400),
        ("no batch", "/v1/batch", EVENT, 400),
        ("batch no array", "/v1/batch", r#"{"batch":{}}"#, 400),
        ("unknown path", "/v1/unknown", EVENT, 404),
        ("no path", "/", EVENT, 404),
    ];
    for (name, path, body, status) in cases {
        let answer = server.post(path, body);
        assert_eq!(answer.status, status, "{name}");
        let want = if status == 400 { "invalid_request" } else { "not_found" };
        assert_eq!(answer.code(), want, "{name}");
    }
    let key = basic(WRITE_KEY);
    let broken = server.send("POST", "/v1/track", &[("authorization", &key)], b"{\"userId\":\"\xff\"}");
    assert_eq!((broken.status, broken.code().as_str()), (400, "invalid_request"));
    for (coding, body) in [("br", EVENT), ("gzip", EVENT)] {
        let headers = [("authorization", key.as_str()), ("content-encoding", coding)];
        let answer = server.send("POST", "/v1/track", &headers, body.as_bytes());
        assert_eq!((answer.status, answer.code().as_str()), (400, "invalid_request"), "{coding}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = server.send(method, "/v1/batch", &[], b"");
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"));
        assert!(answer.has("allow: post"));
    }
    assert!(server.post("/v1/batch", r#"{"batch":[]}"#).is_success());
    assert_eq!(server.bench.log.appends(), [0usize; 0]);
    assert_eq!(server.reasons(), []);
}

#[test]
fn bad_events_are_set_aside_with_success() {
    use RejectReason::*;
    let server = Server::start(Bench::new());
    let cases = [
        ("/v1/batch", r#"{"batch":[{"type":"page"}]}"#, NoIdentifier),
        ("/v1/batch", r#"{"batch":[{"type":"pages","userId":"u"}]}"#, TypeUnknown),
        ("/v1/batch", r#"{"batch":[{"userId":"u"}]}"#, TypeMissing),
        ("/v1/track", r#"{"userId":7,"event":"e"}"#, WrongType),
        ("/v1/track", r#"{"userId":"u"}"#, EventNameMissing),
        ("/v1/track", r#"{"userId":"u","type":"page"}"#, TypeMismatch),
        ("/v1/group", r#"{"userId":"u"}"#, GroupIdMissing),
        ("/v1/alias", r#"{"userId":"u"}"#, PreviousIdMissing),
        ("/v1/batch", r#"{"batch":[5]}"#, NotAnObject),
    ];
    let mut want = Vec::new();
    for (path, body, reason) in cases {
        assert!(server.post(path, body).is_success(), "{body}");
        want.push(reason);
        assert_eq!(server.reasons(), want, "{body}");
    }
    let large = format!(r#"{{"userId":"u","event":"{}"}}"#, "e".repeat(1 << 20));
    assert!(server.post("/v1/track", &large).is_success());
    let batch = format!(r#"{{"batch":[{large},{EVENT}]}}"#);
    assert!(server.post("/v1/batch", &batch).is_success());
    want.extend([EventTooLarge, EventTooLarge]);
    assert_eq!(server.reasons(), want);
    assert_eq!(server.bench.log.entries().len(), 1);
    assert_eq!(server.bench.rejects.rejects()[want.len() - 1].original, large);
}

#[test]
fn the_position_of_the_last_event_is_told_where_it_is_asked_for() {
    let server = Server::start(Bench::new());
    let two = format!(r#"{{"batch":[{EVENT},5,{EVENT}]}}"#);
    let plain = r#"{"success":true}"#;
    let cases = [
        ("/v1/track?position=true", EVENT, 200, r#"{"success":true,"position":"0.0"}"#),
        ("/v1/batch?position=true", two.as_str(), 200, r#"{"success":true,"position":"0.2"}"#),
        ("/v1/batch?position=true", r#"{"batch":[5]}"#, 200, r#"{"success":true,"position":null}"#),
        ("/v1/track?a=b&position=true&c", EVENT, 200, r#"{"success":true,"position":"0.3"}"#),
        ("/v1/track?position=false", EVENT, 200, plain),
        ("/v1/track?colour=red", EVENT, 200, plain),
        ("/v1/track?position=true", EVENT, 200, r#"{"success":true,"position":"0.6"}"#),
        ("/v1/track?position=1", EVENT, 400, ""),
        ("/v1/track?position", EVENT, 400, ""),
    ];
    for (path, body, status, want) in cases {
        let answer = server.post(path, body);
        assert_eq!(answer.status, status, "{path}");
        if status == 200 {
            assert_eq!(answer.body, want, "{path}");
        } else {
            assert_eq!(answer.code(), "invalid_request", "{path}");
        }
    }
    assert_eq!(server.bench.log.entries().len(), 7, "what is refused is not stored");
}

#[test]
fn bodies_over_their_limits() {
    let server = Server::start(Bench::new());
    let key = basic(WRITE_KEY);
    let plain = [("authorization", key.as_str())];
    let coded = [("authorization", key.as_str()), ("content-encoding", "GZIP")];
    let filled = |bytes: usize| format!(r#"{{"batch":[{EVENT}],"x":"{}"}}"#, "x".repeat(bytes)).into_bytes();
    let noise: String = (0..1u32 << 20).map(|i| format!("{:08x}", i.wrapping_mul(2_654_435_761))).collect();
    let noise = format!(r#"{{"batch":[],"x":"{noise}"}}"#);
    let cases: [(&str, Headers<'_>, Vec<u8>, u16); 6] = [
        ("just below 5 MB", &plain, filled((5 << 20) - 200), 200),
        ("over 5 MB", &plain, filled(5 << 20), 413),
        ("8 MB from little", &coded, gzip(&filled(9 << 20)), 413),
        ("a bomb", &coded, gzip(&vec![b' '; 256 << 20]), 413),
        ("over 8 MB decoded", &coded, gzip(noise.as_bytes()), 413),
        ("a high ratio below 1 MB", &coded, gzip(&filled(1 << 19)), 200),
    ];
    for (name, headers, body, status) in cases {
        let answer = server.send("POST", "/v1/batch", headers, &body);
        assert_eq!(answer.status, status, "{name}: {}", answer.body);
        if status == 413 {
            assert_eq!(answer.code(), "too_large", "{name}");
        }
    }
    let many = format!(r#"{{"batch":[{}]}}"#, vec![EVENT; 2501].join(","));
    assert_eq!(server.post("/v1/batch", &many).status, 413);
    assert_eq!(server.bench.log.entries().len(), 2);
}

#[test]
fn a_bad_key_is_answered_before_the_body_is_there() {
    let server = Server::start(Bench::new());
    let head = |key: &str, length: usize| {
        format!(
            "POST /v1/batch HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\ncontent-length: {length}\r\n\r\n",
            basic(key)
        )
    };
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(head("wk_no", 1000).as_bytes()).expect("sent");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer though no body was sent");
    assert_eq!(&answer, b"HTTP/1.1 401");
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    stream.write_all(head(WRITE_KEY, 6 << 20).as_bytes()).expect("sent");
    stream.read_exact(&mut answer).expect("an answer though no body was sent");
    assert_eq!(&answer, b"HTTP/1.1 413");
}

#[test]
fn bodies_in_chunks() {
    let server = Server::start(Bench::new());
    let mut request = format!(
        "POST /v1/track HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: {}\r\ntransfer-encoding: chunked\r\n\r\n",
        basic(WRITE_KEY)
    );
    for chunk in EVENT.as_bytes().chunks(7) {
        request.push_str(&format!("{:x}\r\n{}\r\n", chunk.len(), std::str::from_utf8(chunk).expect("ASCII")));
    }
    request.push_str("0\r\n\r\n");
    assert!(server.exchange(request.as_bytes()).is_success());
    let stored = server.bench.log.records();
    assert!(stored[0].payload.starts_with(&EVENT.as_bytes()[..EVENT.len() - 1]));
}

#[test]
fn a_log_that_refuses_is_said_so_and_nothing_is_acknowledged() {
    let server = Server::start(Bench::new());
    let batch = format!(r#"{{"batch":[{EVENT},5,{EVENT}]}}"#);
    let full = AppendError::NoSpace { free_bytes: 1, mark_bytes: 2 };
    for (events, rejects) in [(Some(full.clone()), None), (None, Some(full))] {
        server.bench.log.refuse(events);
        server.bench.rejects.refuse(rejects);
        let answer = server.post("/v1/batch", &batch);
        assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
        assert!(answer.has("retry-after: 10"), "{answer:?}");
        assert_eq!(server.bench.log.entries().len(), 0);
    }
    server.bench.log.refuse(Some(AppendError::TooLarge { bytes: 2, limit: 1 }));
    server.bench.rejects.refuse(None);
    assert_eq!(server.post("/v1/batch", &batch).status, 413);
    server.bench.log.refuse(None);
    assert!(server.post("/v1/batch", &batch).is_success());
    // All events of a request are one append.
    assert_eq!(server.bench.log.appends(), [2]);
}

#[test]
fn bodies_in_work_are_bounded() {
    let server = Server::start(Bench::with_limits(IngestLimits {
        in_flight_bytes_max: 1000,
        ..IngestLimits::default()
    }));
    let filled = |bytes: usize| EVENT.replacen('{', &format!("{{\"x\":\"{}\",", "x".repeat(bytes)), 1);
    let refused = server.post("/v1/track", &filled(1000));
    assert_eq!((refused.status, refused.code().as_str()), (503, "unavailable"));
    assert!(refused.has("retry-after: 1"));
    for _ in 0..20 {
        assert!(server.post("/v1/track", &filled(100)).is_success());
    }
}
