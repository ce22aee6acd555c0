//! What is sent to the storage, and what becomes of its answers, without one.

use super::*;
use crate::connect::testing::{Answer as Said, Receiver, Seen};
use crate::connect::{Addresses, Outbound};
use crate::registry;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const TOKEN: &str = "FwoGZXIvYXdzEXAMPLETOKEN";

pub(super) fn spec() -> &'static Spec {
    registry::find("s3").expect("the catalog has it")
}

/// Good settings, with these over them.
pub(super) fn settings(over: Value) -> RawSettings {
    let own = json!({"bucket": "logs", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": SECRET});
    let mut settings: RawSettings = serde_json::from_value(own).expect("an object");
    settings.extend(serde_json::from_value::<RawSettings>(over).expect("an object"));
    settings
}

pub(super) fn payload(id: &str, received_at: Timestamp, body: &str) -> Payload {
    Payload {
        id: id.into(),
        mapping: 1,
        action: 0,
        group: 0,
        profile: None,
        received_at,
        body: Bytes::copy_from_slice(body.as_bytes()),
    }
}

pub(super) fn parts() -> TransportParts {
    let outbound = Outbound::new(Addresses::Any, Duration::from_secs(10)).expect("a way out");
    TransportParts {
        outbound: Arc::new(outbound),
        timeout: Duration::from_secs(10),
        response_bytes: 64 << 10,
        tokens: None,
    }
}

pub(super) fn storage(over: Value) -> ObjectStorage {
    ObjectStorage::new(spec(), &settings(over), &parts()).expect("good settings")
}

pub(super) fn at() -> Timestamp {
    Timestamp::parse("2026-11-21T23:10:00Z").expect("a moment")
}

/// A receiver that always says the same.
fn answering(status: u16, body: &str) -> Receiver {
    let answer = Said::full(status, "", body);
    Receiver::start(move |_| answer.clone())
}

/// The only request that a receiver has seen.
fn only(receiver: &Receiver) -> Seen {
    let seen = receiver.seen();
    let [one] = seen.as_slice() else { panic!("one request: {seen:?}") };
    one.clone()
}

#[test]
fn a_file_is_described_as_it_is_sent() {
    let payloads = [payload("msg_a", at(), "{\n\"n\": 1.50}"), payload("msg_b", at(), r#"{"n":2}"#)];
    let own = "https://logs.s3.us-east-1.amazonaws.com/";
    let cases = [
        (json!({}), own, "application/x-ndjson", ".ndjson"),
        (json!({"compression": "gzip"}), own, "application/gzip", ".ndjson.gz"),
        (
            json!({"endpoint": "https://s.example.com", "prefix": "in/all"}),
            "https://s.example.com/logs/in/all/",
            "application/x-ndjson",
            ".ndjson",
        ),
    ];
    for (given, place, media_type, ending) in cases {
        let record = storage(given.clone()).describe(&payloads, at(), 1000).expect("it can be sent");
        assert_eq!(record.method, "PUT", "{given}");
        let begins = format!("{place}year=2026/month=11/day=21/hour=23/msg_a-2-");
        assert!(record.target.starts_with(&begins) && record.target.ends_with(ending), "{}", record.target);
        assert_eq!(record.headers, [("content-type".to_owned(), media_type.to_owned())], "{given}");
        assert_eq!(record.body, "{\"n\":1.50}\n{\"n\":2}\n", "{given}");
        assert_eq!(record.body_bytes, 19, "{given}");
    }
}

#[test]
fn what_is_shown_of_a_file_is_cut_and_the_whole_is_counted() {
    let payloads: Vec<Payload> = (0..100).map(|_| payload("msg_a", at(), r#"{"n":2}"#)).collect();
    let record = storage(json!({})).describe(&payloads, at(), 20).expect("it can be sent");
    assert_eq!((record.body.as_str(), record.body_bytes), ("{\"n\":2}\n{\"n\":2}\n{\"n\"", 800));
    let record = storage(json!({})).describe(&payloads, at(), 50).expect("it can be sent");
    assert_eq!(record.body, "{\"n\":2}\n{\"n\":2}\n… (cut: the whole has 800 bytes)");
    let record = storage(json!({"format": "parquet"})).describe(&payloads, at(), 20).expect("it can be sent");
    assert_eq!((record.body.as_str(), record.body_bytes), ("{\"columns\":{\"deliver", 800));
}

#[test]
fn secrets_are_not_shown_wherever_they_stand() {
    let body = format!("{{\"a\":\"{SECRET}\",\"b\":\"{TOKEN}\"}}");
    let over = json!({"prefix": TOKEN, "session_token": TOKEN});
    let record =
        storage(over).describe(&[payload("msg_a", at(), &body)], at(), 1000).expect("it can be sent");
    let shown = format!("{} {:?} {}", record.target, record.headers, record.body);
    assert!(!shown.contains(SECRET) && !shown.contains(TOKEN), "{shown}");
}

#[test]
fn payloads_of_different_folders_share_no_file() {
    let (storage, day) = (storage(json!({})), storage(json!({"partition": "day"})));
    let part = |storage: &ObjectStorage, at: &str| {
        storage.part(&payload("msg_a", Timestamp::parse(at).expect("a moment"), "{}"))
    };
    let (late, next) = ("2026-11-21T22:59:59Z", "2026-11-21T23:00:00Z");
    assert_ne!(part(&storage, late), part(&storage, next));
    assert_eq!(part(&day, late), part(&day, next));
}

#[tokio::test]
async fn a_file_goes_out_in_one_signed_request() {
    let receiver = answering(200, "");
    let storage = storage(json!({"endpoint": receiver.url(""), "prefix": "in", "session_token": TOKEN}));
    let exchange = storage.send(&[payload("msg_a", at(), r#"{"n":1}"#)], at()).await;
    assert_eq!(exchange.verdicts, [Verdict::Delivered]);
    assert_eq!(exchange.response.expect("an answer").status, Some(200));
    let seen = only(&receiver);
    assert_eq!((seen.method.as_str(), seen.body.as_str()), ("PUT", "{\"n\":1}\n"));
    let begins = "/logs/in/year%3D2026/month%3D11/day%3D21/hour%3D23/msg_a-1-";
    assert!(seen.target.starts_with(begins) && seen.target.ends_with(".ndjson"), "{}", seen.target);
    assert_eq!(seen.header("content-type"), "application/x-ndjson");
    assert_eq!(seen.header("x-amz-security-token"), TOKEN);
    let hash = Sha256::digest(seen.body.as_bytes());
    assert_eq!(seen.header("x-amz-content-sha256"), hex::encode(&hash[..]));
    assert_eq!(seen.header("x-amz-checksum-sha256"), STANDARD.encode(&hash[..]));
    let signed = seen.header("authorization");
    assert!(signed.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"), "{signed}");
    assert!(signed.contains("/us-east-1/s3/aws4_request") && !signed.contains(SECRET), "{signed}");
}

#[tokio::test]
async fn refusals_reach_every_delivery_and_what_came_back_is_kept() {
    let said = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>{SECRET}</Message></Error>");
    let receiver = answering(403, &said);
    let payloads = [payload("msg_a", at(), "{}"), payload("msg_b", at(), "{}")];
    let exchange = storage(json!({"endpoint": receiver.url("")})).send(&payloads, at()).await;
    let [Verdict::Credentials(one), Verdict::Credentials(other)] = exchange.verdicts.as_slice() else {
        panic!("both pause: {:?}", exchange.verdicts);
    };
    assert_eq!((one, one.reason, one.status), (other, Reason::Unauthorized, Some(403)));
    let response = exchange.response.expect("an answer");
    assert!(response.body.starts_with("<Error><Code>SignatureDoesNotMatch</Code>"), "{}", response.body);
    assert!(!response.body.contains(SECRET), "{}", response.body);
}

#[tokio::test]
async fn a_failure_is_not_tried_again_here() {
    let cases = [
        (
            Said::full(500, "", "<Error><Code>InternalError</Code></Error>"),
            (Reason::ServerError, Some(500), true),
        ),
        (
            Said::full(503, "", "<Error><Code>SlowDown</Code></Error>"),
            (Reason::RateLimited, Some(503), false),
        ),
        (Said::HangUp, (Reason::Connection, None, true)),
    ];
    for (answer, want) in cases {
        let said = answer.clone();
        let receiver = Receiver::start(move |_| said.clone());
        let storage = storage(json!({"endpoint": receiver.url("")}));
        let exchange = storage.send(&[payload("msg_a", at(), "{}")], at()).await;
        let [Verdict::Retry { failure, after: None }] = exchange.verdicts.as_slice() else {
            panic!("{answer:?}: {:?}", exchange.verdicts);
        };
        assert_eq!((failure.reason, failure.status, failure.outage), want, "{answer:?}");
        assert_eq!(receiver.seen().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_payload_that_no_file_can_hold_does_not_keep_the_others_out() {
    let receiver = answering(200, "");
    let good = r#"{"delivery_id":"msg_a","received_at":"2026-11-21T23:10:00Z"}"#;
    let payloads = [payload("msg_a", at(), good), payload("msg_b", at(), r#"{"received_at":"soon"}"#)];
    let storage = storage(json!({"endpoint": receiver.url(""), "format": "parquet"}));
    let exchange = storage.send(&payloads, at()).await;
    let [Verdict::Delivered, Verdict::Rejected(failure)] = exchange.verdicts.as_slice() else {
        panic!("one is taken, one is not: {:?}", exchange.verdicts);
    };
    assert_eq!(failure.reason, Reason::InvalidField);
    let exchange = storage.send(&payloads[1..], at()).await;
    assert!(matches!(exchange.verdicts.as_slice(), [Verdict::Rejected(_)]), "{:?}", exchange.verdicts);
    assert_eq!(exchange.response, None);
    // With nothing to put into a file, nobody was asked.
    assert!(only(&receiver).body.starts_with("PAR1"));
}

#[tokio::test]
async fn the_test_call_lists_one_file() {
    let list = r#"<?xml version="1.0"?><ListBucketResult><Name>logs</Name><KeyCount>0</KeyCount></ListBucketResult>"#;
    let denied = "<Error><Code>AccessDenied</Code></Error>";
    let cases = [
        (200, list, None),
        (200, "<html><p>Welcome</p></html>", Some(Reason::UnreadableAnswer)),
        (403, denied, Some(Reason::PermissionDenied)),
    ];
    for (status, body, want) in cases {
        let receiver = answering(status, body);
        let storage = storage(json!({"endpoint": receiver.url(""), "prefix": "in"}));
        let called = storage.test(at()).expect("there is a test").await;
        let seen = only(&receiver);
        assert_eq!(
            (seen.method.as_str(), seen.target.as_str()),
            ("GET", "/logs?list-type=2&prefix=in%2F&max-keys=1")
        );
        let target = receiver.url("/logs?list-type=2&prefix=in/&max-keys=1");
        assert_eq!((called.request.method.as_str(), called.request.target), ("GET", target));
        let reason = match called.verdict {
            Verdict::Delivered => None,
            Verdict::Retry { failure, .. } | Verdict::Rejected(failure) | Verdict::Credentials(failure) => {
                Some(failure.reason)
            }
        };
        assert_eq!(reason, want, "{status} {body}");
    }
}

#[test]
fn nobody_is_deleted_from_files() {
    assert!(storage(json!({})).delete(&Person::default(), at()).is_none());
}
