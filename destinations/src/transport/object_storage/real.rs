//! What a real server of the protocol makes of our files: `cargo xtask destinations` starts one.
//!
//! Each test has a bucket of its own, so that they don't meet.

use super::tests::{at, parts, payload, storage};
use super::*;
use crate::connect::OutboundRequest;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use bytes::Bytes;
use flate2::read::GzDecoder;
use serde_json::json;
use std::io::Read;
use std::time::Duration;
use url::Url;

/// The variable that says where the server is: `http://127.0.0.1:PORT`.
const VARIABLE: &str = "TRIBUTARY_TEST_S3";

/// What the server needs for a request to be somebody's; it does not judge signatures.
const SOMEBODY: &str =
    "AWS4-HMAC-SHA256 Credential=test/20261121/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=00";

#[allow(
    clippy::disallowed_methods,
    reason = "how `cargo xtask destinations` tells the tests where the server is"
)]
fn server() -> String {
    let found = std::env::var(VARIABLE);
    found.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run this with `cargo xtask destinations`"))
}

/// Makes a request by other means than the storage's client.
async fn ask(method: &str, path: &str) -> Bytes {
    let request = OutboundRequest {
        method: method.into(),
        url: Url::parse(&format!("{}{path}", server())).expect("a URL"),
        headers: vec![("authorization".into(), SOMEBODY.into())],
        body: Bytes::new(),
    };
    let answer = parts().outbound.send(request, Duration::from_secs(30), 64 << 20, at()).await;
    let answer = answer.expect("the server answers");
    assert_eq!(answer.status, 200, "{method} {path}: {}", String::from_utf8_lossy(&answer.body));
    answer.body
}

/// The storage of a bucket that is there.
async fn bucket(name: &str, mut over: serde_json::Value) -> ObjectStorage {
    ask("PUT", &format!("/{name}")).await;
    over["bucket"] = name.into();
    over["endpoint"] = server().into();
    storage(over)
}

/// The names of the files in a bucket.
async fn names(bucket: &str) -> Vec<String> {
    let list = String::from_utf8(ask("GET", &format!("/{bucket}?list-type=2")).await.to_vec()).expect("text");
    let keys = list.split("<Key>").skip(1);
    keys.map(|rest| rest.split("</Key>").next().expect("the rest").to_owned()).collect()
}

/// The only file of a bucket.
async fn only_file(bucket: &str) -> (String, Bytes) {
    let names = names(bucket).await;
    let [name] = names.as_slice() else { panic!("one file: {names:?}") };
    let file = ask("GET", &format!("/{bucket}/{name}")).await;
    (name.clone(), file)
}

fn payloads() -> Vec<Payload> {
    (0..2000)
        .map(|n| {
            let id = format!("msg_{n:032x}");
            let event = format!(r#"{{"n":{n},"name":"Zoë"}}"#);
            let body = format!(
                r#"{{"delivery_id":"{id}","received_at":"2026-11-21T23:10:00Z","kind":"event","event":{event}}}"#
            );
            payload(&id, at(), &body)
        })
        .collect()
}

#[tokio::test]
async fn lines_arrive_as_they_were_and_once() {
    let storage = bucket("lines", json!({"prefix": "in/all", "partition": "day"})).await;
    let payloads = payloads();
    for _ in 0..2 {
        let exchange = storage.send(&payloads, at()).await;
        assert_eq!(exchange.verdicts, vec![Verdict::Delivered; payloads.len()], "{:?}", exchange.response);
    }
    let (name, file) = only_file("lines").await;
    assert!(name.starts_with("in/all/year=2026/month=11/day=21/msg_"), "{name}");
    let record = storage.describe(&payloads, at(), 0).expect("it can be sent");
    assert!(record.target.ends_with(&name), "{} {name}", record.target);
    assert_eq!(record.body_bytes, file.len() as u64);
    let lines = |payload: &Payload| [&payload.body[..], b"\n"].concat();
    let want: Vec<u8> = payloads.iter().flat_map(lines).collect();
    assert!(file == want, "each line is a payload, in order");
}

#[tokio::test]
async fn compressed_lines_arrive_compressed() {
    let storage = bucket("packed", json!({"compression": "gzip"})).await;
    let exchange = storage.send(&payloads(), at()).await;
    assert!(
        exchange.verdicts.iter().all(|verdict| *verdict == Verdict::Delivered),
        "{:?}",
        exchange.response
    );
    let (name, file) = only_file("packed").await;
    assert!(name.ends_with(".ndjson.gz"), "{name}");
    let mut lines = String::new();
    GzDecoder::new(&file[..]).read_to_string(&mut lines).expect("gzip");
    assert_eq!(lines.lines().count(), 2000);
}

#[tokio::test]
async fn parquet_arrives_whole() {
    let storage = bucket("columns", json!({"format": "parquet"})).await;
    let exchange = storage.send(&payloads(), at()).await;
    assert!(
        exchange.verdicts.iter().all(|verdict| *verdict == Verdict::Delivered),
        "{:?}",
        exchange.response
    );
    let (name, file) = only_file("columns").await;
    assert!(name.ends_with(".parquet"), "{name}");
    let file = SerializedFileReader::new(file).expect("a parquet file");
    assert_eq!(file.metadata().file_metadata().num_rows(), 2000);
}

#[tokio::test]
async fn other_company_is_another_file() {
    let storage = bucket("company", json!({})).await;
    let payloads = payloads();
    for together in [&payloads[..3], &payloads[..2], &payloads[..3]] {
        storage.send(together, at()).await;
    }
    assert_eq!(names("company").await.len(), 2);
}

#[tokio::test]
async fn the_test_call_tells_a_bucket_from_none() {
    let there = bucket("there", json!({"prefix": "in"})).await;
    assert_eq!(there.test(at()).expect("there is a test").await.verdict, Verdict::Delivered);
    let missing = storage(json!({"bucket": "missing", "endpoint": server()}));
    let called = missing.test(at()).expect("there is a test").await;
    let sent = missing.send(&payloads()[..1], at()).await;
    for verdict in [called.verdict, sent.verdicts[0].clone()] {
        let Verdict::Credentials(failure) = verdict else { panic!("it pauses: {verdict:?}") };
        assert_eq!((failure.reason, failure.status), (Reason::NotFound, Some(404)));
        assert!(failure.text.contains("create it"), "{}", failure.text);
    }
}
