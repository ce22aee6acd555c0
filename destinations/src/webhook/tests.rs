use super::*;
use crate::definition::RawSettings;
use bytes::Bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tributary_model::activation::{ActivationHeader, ActivationKind};
use tributary_model::{Activation, EventKind, MessageId, Position, SourceId, WorkspaceId};

fn settings(value: Value) -> RawSettings {
    serde_json::from_value(value).expect("settings are an object")
}

fn activation(event: Vec<u8>) -> Activation {
    Activation {
        header: ActivationHeader {
            workspace: WorkspaceId(1),
            position: Position::at(7),
            ordinal: 0,
            profile: None,
            identifiers: Vec::new(),
            event_kind: EventKind::Track,
            source: SourceId(1),
            message_id: MessageId::parse("m").expect("an id"),
            received_at: Timestamp::default(),
            event_time: Timestamp::default(),
            kind: ActivationKind::Event,
        },
        event: Bytes::from(event),
    }
}

#[test]
fn settings_are_taken_or_refused_with_a_reason() {
    let cases = [
        (json!({"url": "https://example.com/hook"}), None),
        (
            json!({"url": "http://127.0.0.1:9/x?y=z", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
            None,
        ),
        (json!({"url": "https://example.com", "secret": null}), None),
        (json!({"url": "https://example.com", "events_per_request": 1000}), None),
        (json!({"url": "https://example.com", "events_per_request": null}), None),
        (json!({"url": "https://example.com", "send": ["events", "profile_changes"]}), None),
        (json!({"url": "https://example.com", "send": null}), None),
        (json!({"url": "https://example.com", "send": []}), Some(("send", "at least one of"))),
        (json!({"url": "https://example.com", "send": "events"}), Some(("send", "must be a list"))),
        (
            json!({"url": "https://example.com", "send": ["events", "hunter2"]}),
            Some(("send[1]", "events, profile_changes")),
        ),
        (
            json!({"url": "https://example.com", "events_per_request": 0}),
            Some(("events_per_request", "from 1 on")),
        ),
        (
            json!({"url": "https://example.com", "events_per_request": "9"}),
            Some(("events_per_request", "from 1 on")),
        ),
        (
            json!({"url": "https://example.com", "events_per_request": 1001}),
            Some(("events_per_request", "from 1 to 1000")),
        ),
        (json!({}), Some(("url", "is required"))),
        (json!({"url": null}), Some(("url", "is required"))),
        (json!({"url": 7}), Some(("url", "must be text"))),
        (json!({"url": "example.com/hook"}), Some(("url", "http or https"))),
        (json!({"url": "ftp://example.com/hook"}), Some(("url", "http or https"))),
        (json!({"url": "http://"}), Some(("url", "http or https"))),
        (
            json!({"url": "https://example.com", "secret": "hunter2"}),
            Some(("secret", "whsec_ followed by base64")),
        ),
        (
            json!({"url": "https://example.com", "secret": "whsec_"}),
            Some(("secret", "whsec_ followed by base64")),
        ),
        (
            json!({"url": "https://example.com", "secret": "whsec_a b"}),
            Some(("secret", "whsec_ followed by base64")),
        ),
        (json!({"url": "https://example.com", "secret": ""}), Some(("secret", "whsec_ followed by base64"))),
        (json!({"url": "https://example.com", "sekret": "x"}), Some(("sekret", "is not a setting"))),
    ];
    for (given, want) in cases {
        let got = WebhookDefinition.configure(&settings(given.clone())).err();
        match (got, want) {
            (None, None) => {}
            (Some(got), Some((field, message))) => {
                assert_eq!(got.field, field, "{given}");
                assert!(got.message.contains(message), "{given}: {got}");
                assert!(!got.to_string().contains("hunter2"), "a secret is never shown");
            }
            (got, want) => panic!("{given}: got {got:?}, want {want:?}"),
        }
    }
}

#[test]
fn an_event_that_is_no_text_can_never_be_sent() {
    let webhook = WebhookDefinition.configure(&settings(json!({"url": "https://example.com"})));
    let webhook = webhook.expect("good settings");
    let activation = activation(vec![b'"', 0xff, b'"']);
    assert!(webhook.encode(&Delivery { id: "msg_1", activation: &activation }).is_err());
}

/// The golden pairs; `TRIBUTARY_GOLDEN=rewrite` writes the requests anew, to be read in the diff.
#[test]
fn golden_events_become_golden_requests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog/webhook/golden");
    let mut names: Vec<String> = fs::read_dir(&folder)
        .expect("the folder is there")
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".given.json").map(str::to_owned))
        .collect();
    names.sort();
    assert!(names.len() >= 2, "there are golden pairs");
    for name in names {
        let file = |part: &str| -> PathBuf { folder.join(format!("{name}.{part}.json")) };
        let read = |part: &str| fs::read(file(part)).unwrap_or_else(|why| panic!("{name}.{part}: {why}"));
        let given: Value = serde_json::from_slice(&read("given")).expect("JSON");
        let event = read("event");
        let request = request_of(&given, &event);
        if is_rewriting() {
            let text = serde_json::to_string_pretty(&request).expect("JSON");
            fs::write(file("request"), text + "\n").expect("the folder can be written to");
        }
        let want: Value = serde_json::from_slice(&read("request")).expect("JSON");
        assert_eq!(request, want, "{name}");
        assert_eq!(request["body"].as_str().map(str::as_bytes), Some(&*event), "{name}: the event as stored");
    }
}

#[test]
fn a_batch_holds_the_events_as_stored() {
    let given = json!({"url": "https://example.com", "events_per_request": 10});
    let webhook = WebhookDefinition.configure(&settings(given)).expect("good settings");
    assert_eq!(webhook.batch_events_max(), 10);
    let events: [&[u8]; 2] = [br#"{"n": 1.50,"e":"\u00eb"}"#, b"{}"];
    let payloads: Vec<Payload> = ["a", "b"]
        .into_iter()
        .zip(events)
        .map(|(id, event)| Payload { id: id.to_owned(), body: Bytes::from_static(event) })
        .collect();
    let request = webhook.request(&payloads, Timestamp::default());
    let want = r#"{"deliveries":[{"id":"a","event":{"n": 1.50,"e":"\u00eb"}},{"id":"b","event":{}}]}"#;
    assert_eq!(std::str::from_utf8(&request.body), Ok(want));
    assert!(request.headers.contains(&("webhook-id", "batch_a".to_owned())));
}

#[allow(clippy::disallowed_methods, reason = "how `cargo xtask golden` asks for new golden files")]
fn is_rewriting() -> bool {
    std::env::var("TRIBUTARY_GOLDEN").is_ok_and(|mode| mode == "rewrite")
}

fn request_of(given: &Value, event: &[u8]) -> Value {
    let webhook = WebhookDefinition.configure(&settings(given["settings"].clone())).expect("good settings");
    let activation = activation(event.to_vec());
    let id = given["delivery_id"].as_str().expect("an id");
    let payload = webhook.encode(&Delivery { id, activation: &activation }).expect("it can be sent");
    let at = Timestamp::from_millis(given["at_seconds"].as_i64().expect("a time") * 1000 + 999);
    let request = webhook.request(&[payload], at);
    let version = concat!("tributary/", env!("CARGO_PKG_VERSION"));
    let headers: BTreeMap<_, _> = request
        .headers
        .into_iter()
        .map(|(name, value)| (name, if value == version { "tributary/VERSION".to_owned() } else { value }))
        .collect();
    let body = std::str::from_utf8(&request.body).expect("text");
    json!({"method": "POST", "url": request.url.as_str(), "headers": headers, "body": body})
}
