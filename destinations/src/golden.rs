//! The golden pairs of the catalog: what becomes of an event at every definition, and that every action has one.
//!
//! In a definition's folder `golden/CASE.event.json` holds the stored event, byte for byte, `golden/CASE.given.json` settings
//! and circumstances, `golden/CASE.request.json` the request that must come of them, or a list of several. Where a
//! definition has several actions, a case's name begins with the name of its own. `TRIBUTARY_GOLDEN=rewrite` writes the requests anew, to be read in the diff. Secrets
//! are masked in them, as wherever requests are shown.

use crate::check::check;
use crate::config::{DestinationConfig, Limits};
use crate::configured::{Configured, Ways};
use crate::connect::{Addresses, Outbound};
use crate::definition::{RawSettings, Spec};
use crate::exchange::{Payload, RequestRecord};
use crate::failure::{Failure, Reason};
use crate::fanout::delivery_id;
use crate::plan::{Plan, Planned};
use crate::registry::{definitions, find};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::identifier::{Identifier, Namespace};
use tributary_model::workspace::Mapping;
use tributary_model::{
    Activation, DestinationId, EventKind, MessageId, Position, SourceId, Timestamp, WorkspaceId,
};

/// Settings and circumstances of a case.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    settings: RawSettings,
    #[serde(default)]
    mappings: Option<Vec<Mapping>>,
    #[serde(default)]
    kind: Option<ActivationKind>,
    #[serde(default)]
    profile: Profile,
    /// Stands in for the id that the delivery would have.
    #[serde(default)]
    delivery_id: Option<String>,
    /// When the request is made, in seconds since 1970.
    at_seconds: i64,
}

/// What is known of whose event it is.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Profile {
    id: Option<String>,
    identifiers: BTreeMap<String, Vec<String>>,
    traits: BTreeMap<String, Value>,
    audiences: BTreeMap<String, bool>,
}

/// A case, planned.
struct Case {
    configured: Configured,
    payloads: Vec<Payload>,
    at: Timestamp,
    event: Bytes,
}

fn folder(spec: &Spec) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("catalog").join(&spec.name).join("golden")
}

/// The names of a definition's cases.
fn names(spec: &Spec) -> Vec<String> {
    let entries =
        fs::read_dir(folder(spec)).unwrap_or_else(|why| panic!("golden pairs of {}: {why}", spec.name));
    let name =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".given.json").map(str::to_owned);
    let mut names: Vec<String> = entries.filter_map(|entry| name(entry.expect("an entry"))).collect();
    names.sort();
    names
}

fn file(spec: &Spec, name: &str, part: &str) -> PathBuf {
    folder(spec).join(format!("{name}.{part}.json"))
}

fn read(spec: &Spec, name: &str, part: &str) -> Vec<u8> {
    fs::read(file(spec, name, part)).unwrap_or_else(|why| panic!("{}: {name}.{part}: {why}", spec.name))
}

fn config(definition: &str, settings: RawSettings) -> DestinationConfig {
    let (workspace, id) = (WorkspaceId(1), DestinationId(1));
    DestinationConfig { settings, ..DestinationConfig::new(workspace, id, definition, Position::at(0)) }
}

fn activation(given: &Given, at: Timestamp, event: Bytes) -> Activation {
    let members: Value = serde_json::from_slice(&event).expect("the event is JSON");
    let time = |name: &str| members[name].as_str().and_then(Timestamp::parse).unwrap_or(at);
    let identifier = |namespace: &str, value: &String| {
        Identifier::parse(Namespace::new(namespace), value).expect("an identifier")
    };
    let profile = &given.profile;
    let identifiers = profile.identifiers.iter();
    let text = |value: &Value| (!value.is_null()).then(|| value.to_string().into_boxed_str());
    let header = ActivationHeader {
        workspace: WorkspaceId(1),
        position: Position::at(7),
        ordinal: 0,
        profile: profile.id.as_ref().map(|id| id.parse().expect("a profile's id")),
        identifiers: identifiers
            .flat_map(|(namespace, values)| values.iter().map(move |value| identifier(namespace, value)))
            .collect(),
        event_kind: members["type"].as_str().and_then(EventKind::parse).expect("the event has a type"),
        source: SourceId(1),
        message_id: MessageId::parse(members["messageId"].as_str().unwrap_or("m-1")).expect("an id"),
        received_at: time("receivedAt"),
        event_time: time("timestamp"),
        kind: given.kind.unwrap_or(ActivationKind::Event),
        carried: Carried {
            traits: profile.traits.iter().map(|(name, value)| (name.as_str().into(), text(value))).collect(),
            audiences: profile.audiences.iter().map(|(key, is_in)| (key.as_str().into(), *is_in)).collect(),
            consent: None,
        },
    };
    Activation { header, event }
}

/// Why a track call is not sent to a destination with these mappings.
fn refusals(definition: &str, settings: &Value, mappings: &Value, event: &Value) -> Vec<Failure> {
    let given = json!({ "settings": settings, "mappings": mappings, "at_seconds": 1_795_168_801 });
    refusals_of(definition, given, event)
}

/// Why an event is not sent to a destination in these circumstances.
fn refusals_of(definition: &str, given: Value, event: &Value) -> Vec<Failure> {
    let given: Given = serde_json::from_value(given).expect("what a case is given");
    let event = Bytes::from(event.to_string());
    let at = Timestamp::from_millis(given.at_seconds * 1000);
    let activation = activation(&given, at, event);
    let mut config = config(definition, given.settings);
    config.mappings = given.mappings;
    let spec = find(definition).expect("it is in the catalog");
    let plan = Plan::compile(spec, &config).unwrap_or_else(|why| panic!("{definition}: {why}"));
    match plan.plan(config.key(), &activation, at) {
        Planned::Payloads { refused, .. } => refused.into_iter().map(|(_, failure)| failure).collect(),
        left_out @ (Planned::LeftOut { .. } | Planned::Dead(_)) => panic!("{definition}: {left_out:?}"),
    }
}

fn plan(spec: &Spec, name: &str) -> Case {
    let place = format!("{}: {name}", spec.name);
    let given: Given =
        serde_json::from_slice(&read(spec, name, "given")).unwrap_or_else(|why| panic!("{place}: {why}"));
    let event = Bytes::from(read(spec, name, "event"));
    // What is said in seconds is cut, not rounded.
    let at = Timestamp::from_millis(given.at_seconds * 1000 + 999);
    let activation = activation(&given, at, event.clone());
    let mut config = config(&spec.name, given.settings);
    config.mappings = given.mappings;
    config.audiences = given.profile.audiences.into_keys().collect();
    let limits = Limits::default();
    let outbound = Arc::new(Outbound::new(Addresses::Any, limits.connect_timeout).expect("clients"));
    let ways = Ways { outbound, tokens: None };
    let configured = Configured::new(&config, &limits, &ways).unwrap_or_else(|why| panic!("{place}: {why}"));
    let mut payloads = match configured.plan.plan(config.key(), &activation, at) {
        Planned::Payloads { payloads, refused } => {
            assert!(refused.is_empty(), "{place}: {refused:?}");
            payloads
        }
        left_out @ (Planned::LeftOut { .. } | Planned::Dead(_)) => panic!("{place}: {left_out:?}"),
    };
    if let Some(wanted) = &given.delivery_id {
        let header = &activation.header;
        let id = delivery_id(config.key(), header.position, header.ordinal, &header.message_id);
        for payload in &mut payloads {
            let body = std::str::from_utf8(&payload.body).expect("payloads are JSON");
            payload.body = Bytes::from(body.replace(&id, wanted));
            payload.id = payload.id.replace(&id, wanted);
        }
    }
    Case { configured, payloads, at, event }
}

impl Case {
    fn requests(&self) -> Vec<RequestRecord> {
        let requests = self.configured.requests(self.payloads.clone());
        requests.iter().map(|payloads| self.request(payloads)).collect()
    }

    fn request(&self, payloads: &[Payload]) -> RequestRecord {
        let described = self.configured.transport.describe(payloads, self.at, usize::MAX);
        described.unwrap_or_else(|why| panic!("{}: {why:?}", payloads[0].id))
    }
}

fn shown(request: RequestRecord) -> Value {
    let version = concat!("tributary/", env!("CARGO_PKG_VERSION"));
    let headers: BTreeMap<String, String> = request
        .headers
        .into_iter()
        .map(|(name, value)| (name, if value == version { "tributary/VERSION".to_owned() } else { value }))
        .collect();
    json!({"method": request.method, "target": request.target, "headers": headers, "body": request.body})
}

#[allow(clippy::disallowed_methods, reason = "how `cargo xtask golden` asks for new golden files")]
fn is_rewriting() -> bool {
    std::env::var("TRIBUTARY_GOLDEN").is_ok_and(|mode| mode == "rewrite")
}

#[test]
fn golden_events_become_golden_requests() {
    for spec in definitions() {
        for name in names(spec) {
            let mut requests: Vec<Value> = plan(spec, &name).requests().into_iter().map(shown).collect();
            let got = if requests.len() == 1 { requests.remove(0) } else { Value::Array(requests) };
            if is_rewriting() {
                let text = serde_json::to_string_pretty(&got).expect("JSON");
                fs::write(file(spec, &name, "request"), text + "\n").expect("the folder can be written to");
            }
            let want: Value = serde_json::from_slice(&read(spec, &name, "request")).expect("JSON");
            assert_eq!(got, want, "{}: {name}", spec.name);
        }
    }
}

#[test]
fn every_action_has_a_golden_pair_and_is_documented() {
    for spec in definitions() {
        let mut seen = vec![false; spec.actions.len()];
        for name in names(spec) {
            for payload in plan(spec, &name).payloads {
                let action = &spec.actions[payload.action].name;
                seen[payload.action] |= spec.actions.len() == 1 || name.split('-').next() == Some(action);
            }
        }
        assert!(!spec.documentation.is_empty(), "{} names what it follows", spec.name);
        for (action, seen) in spec.actions.iter().zip(seen) {
            let place = format!("{}: {}", spec.name, action.name);
            assert!(seen, "{place} has a golden pair whose name begins so");
            let page = action.documentation.as_deref().unwrap_or_default();
            assert!(page.starts_with("https://"), "{place} names where it is documented");
        }
    }
}

#[test]
fn google_analytics_is_not_sent_what_google_excludes() {
    let settings = json!({"measurement_id": "G-AB12CD34EF", "api_secret": "s"});
    let long = "x".repeat(1_000);
    let products: Vec<Value> = (0..200).map(|at| json!({"product_id": at, "name": long})).collect();
    let names = ["sku", "name", "brand", "category", "variant", "coupon", "affiliation"];
    let large = |_: i32| -> Value { names.iter().map(|name| ((*name).to_owned(), json!(long))).collect() };
    let large: Vec<Value> = (0..200).map(large).collect();
    let (missing, invalid) = (Reason::MissingField, Reason::InvalidField);
    let order = |products: Value| json!({"order_id": "o-1", "currency": "EUR", "products": products});
    let cases = [
        ("Product Viewed", json!({}), Some((missing, "params.items[0].item_id"))),
        ("Order Completed", order(json!([{"price": 1}])), Some((missing, "params.items[0].item_id"))),
        ("Order Completed", order(json!(["p1", 5])), Some((missing, "params.items[0].item_id"))),
        (
            "Order Completed",
            order(json!("p1")),
            Some((invalid, "params.items[0] of purchase must be an object")),
        ),
        (
            "Order Completed",
            order(json!([])),
            Some((missing, "the field params.items of purchase is required")),
        ),
        (
            "Order Completed",
            order(json!([{"sku": "a", "price": "x"}])),
            Some((invalid, "params.items[0].price")),
        ),
        (
            "Order Completed",
            json!({"order_id": "", "currency": "EUR", "products": products}),
            Some((missing, "params.transaction_id")),
        ),
        ("Order Completed", order(json!(products)), None),
        ("Order Completed", order(json!([{"product_id": "", "sku": "a", "price": ""}])), None),
        (
            "Order Completed",
            order(json!(large)),
            Some((invalid, "the limit is 129000: map less, above all to params.items")),
        ),
        ("Order Refunded", order(json!([])), None),
        ("Products Searched", json!({"query": " "}), Some((missing, "params.search_term"))),
    ];
    for (name, properties, want) in cases {
        let event = json!({"type": "track", "event": name, "anonymousId": "a", "properties": properties});
        let refused = refusals("google_analytics_4", &settings, &Value::Null, &event);
        match (refused.as_slice(), want) {
            ([], None) => {}
            ([failure], Some((reason, text))) => {
                assert_eq!(failure.reason, reason, "{name}: {}", failure.text);
                assert!(failure.text.contains(text), "{name}: {}", failure.text);
            }
            (refused, want) => panic!("{name}: {refused:?}, not {want:?}"),
        }
    }
}

#[test]
fn google_analytics_is_not_sent_what_google_would_count_at_another_time() {
    let mapped = |time: Value| {
        let fields = json!({ "timestamp_micros": time });
        json!([{"id": 1, "name": "m", "action": "custom_event", "enabled": true, "fields": fields}])
    };
    // It is 2026-11-20T10:00:01Z.
    let cases = [
        ("event", Value::Null, "2026-11-17T10:00:01.000Z", None),
        ("event", Value::Null, "2026-11-17T10:00:00.999Z", Some("more than 72 hours old")),
        ("event", Value::Null, "2026-10-20T10:00:00.000Z", Some("more than 744 hours old")),
        ("event", Value::Null, "2026-11-21T10:00:00.000Z", None),
        ("event", Value::Null, "", None),
        ("audience_entered", Value::Null, "2026-11-17T11:00:00.000Z", None),
        ("audience_entered", Value::Null, "2026-11-17T09:00:00.000Z", Some("more than 73 hours old")),
        (
            "event",
            mapped(json!({"@path": "$.sentAt"})),
            "2026-11-20T10:00:00.000Z",
            Some("more than 264 hours old"),
        ),
        ("event", mapped(json!({"@path": "$.delivery.received_at"})), "2026-10-20T10:00:00.000Z", None),
        ("event", mapped(Value::Null), "2026-10-20T10:00:00.000Z", None),
    ];
    for (kind, mappings, timestamp, want) in cases {
        let given = json!({
            "settings": {"measurement_id": "G-AB12CD34EF", "api_secret": "s"}, "mappings": mappings, "kind": kind,
            "at_seconds": 1_795_168_801,
        });
        let mut event = json!({
            "type": "track", "event": "Song Played", "anonymousId": "a", "sentAt": "2026-11-09T10:00:00.000Z",
            "receivedAt": "2026-11-20T10:00:00.000Z", "properties": {"audience_key": "fans"},
        });
        if !timestamp.is_empty() {
            event["timestamp"] = timestamp.into();
        }
        let refused = refusals_of("google_analytics_4", given, &event);
        let place = format!("{kind} {mappings} {timestamp}");
        match (refused.as_slice(), want) {
            ([], None) => {}
            ([failure], Some(age)) => {
                assert_eq!(failure.reason, Reason::TooOld, "{place}: {}", failure.text);
                assert!(failure.text.contains(age), "{place}: {}", failure.text);
            }
            (refused, want) => panic!("{place}: {refused:?}, not {want:?}"),
        }
    }
}

#[test]
fn slack_is_sent_no_empty_message() {
    let message =
        |message: &str| json!({"webhook_url": "https://hooks.slack.com/services/T/B/x", "message": message});
    let event = json!({"type": "track", "event": "Seen", "anonymousId": "a", "properties": {}});
    for (text, is_sent) in
        [("{{properties.missing}}", false), (" {{properties.missing}}\n", false), ("{{event}}", true)]
    {
        let refused = refusals("slack", &message(text), &Value::Null, &event);
        let reasons: Vec<Reason> = refused.iter().map(|failure| failure.reason).collect();
        assert_eq!(reasons, if is_sent { vec![] } else { vec![Reason::MissingField] }, "{text:?}");
    }
    let blocks = json!([{
        "id": 1, "name": "m", "action": "post_message", "enabled": true,
        "fields": {"text": {"@path": "$.properties.none"}, "blocks": [{"type": "divider"}]},
    }]);
    assert!(refusals("slack", &message("x"), &blocks, &event).is_empty(), "blocks are enough");
}

#[test]
fn constants_that_can_never_be_sent_are_not_saved() {
    let settings = json!({"measurement_id": "G-AB12CD34EF", "api_secret": "s"});
    let mut config = config("google_analytics_4", serde_json::from_value(settings).expect("settings"));
    let mapped = |value: Value| {
        let mapping = json!([{
            "id": 1, "name": "m", "action": "purchase", "enabled": true, "fields": {"params.value": value},
        }]);
        serde_json::from_value::<Vec<Mapping>>(mapping).expect("mappings")
    };
    for (value, is_saved) in
        [(json!("abc"), false), (json!("5.5"), true), (json!({"@path": "$.event"}), true)]
    {
        config.mappings = Some(mapped(value.clone()));
        match check(&config, true) {
            Ok(_) => assert!(is_saved, "{value}"),
            Err(error) => {
                assert!(!is_saved, "{value}: {error}");
                assert_eq!(error.field, "mappings[0].fields.params.value");
            }
        }
    }
}

#[test]
fn the_webhook_sends_events_byte_for_byte() {
    let spec = find("webhook").expect("it is in the catalog");
    let mut alone = 0;
    for name in names(spec).iter().filter(|name| !name.contains("batch")) {
        let case = plan(spec, name);
        let requests = case.requests();
        assert_eq!(requests[0].body.as_bytes(), &*case.event, "{name}");
        alone += 1;
    }
    assert!(alone >= 4, "there are such cases");
    let case = plan(spec, "send-batch");
    let payload = |id: &str, event: &str| {
        let body = Bytes::from(format!(r#"{{"event":{event}}}"#));
        Payload { id: id.to_owned(), body, ..case.payloads[0].clone() }
    };
    let request = case.request(&[payload("a", r#"{"n": 1.50,"e":"\u00eb"}"#), payload("b", "{}")]);
    let want = r#"{"deliveries":[{"event":{"n": 1.50,"e":"\u00eb"},"id":"a"},{"event":{},"id":"b"}]}"#;
    assert_eq!(request.body, want);
    let id = "batch_41153ec5e22e7e1d208eec929ef45dcd";
    assert!(request.headers.contains(&("webhook-id".to_owned(), id.to_owned())));
}

#[test]
fn settings_of_the_webhook_are_taken_or_refused_with_a_reason() {
    let with = |more: Value| {
        let mut settings = json!({"url": "https://example.com"});
        settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        settings
    };
    let cases = [
        (with(json!({})), None),
        (
            json!({"url": "http://127.0.0.1:9/x?y=z", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}),
            None,
        ),
        (with(json!({"secret": null, "events_per_request": null, "send": null})), None),
        (with(json!({"events_per_request": 1000, "send": ["events", "profile_changes"]})), None),
        (with(json!({"method": "PUT", "headers": {"x-api-key": "k"}, "basic_user": "u"})), None),
        (with(json!({"send": []})), Some(("send", "at least one of"))),
        (with(json!({"send": "events"})), Some(("send", "must be a list"))),
        (with(json!({"send": ["events", "hunter2"]})), Some(("send[1]", "events, profile_changes"))),
        (with(json!({"events_per_request": 0})), Some(("events_per_request", "from 1 to 1000"))),
        (with(json!({"events_per_request": "9"})), Some(("events_per_request", "from 1 to 1000"))),
        (with(json!({"events_per_request": 1001})), Some(("events_per_request", "from 1 to 1000"))),
        (json!({}), Some(("url", "is required"))),
        (json!({"url": null}), Some(("url", "is required"))),
        (json!({"url": 7}), Some(("url", "must be text"))),
        (json!({"url": "example.com/hook"}), Some(("url", "http or https"))),
        (json!({"url": "ftp://example.com/hook"}), Some(("url", "http or https"))),
        (json!({"url": "http://"}), Some(("url", "http or https"))),
        (with(json!({"secret": "hunter2"})), Some(("secret", "whsec_ followed by base64"))),
        (with(json!({"secret": "whsec_"})), Some(("secret", "whsec_ followed by base64"))),
        (with(json!({"secret": "whsec_a b"})), Some(("secret", "whsec_ followed by base64"))),
        (with(json!({"method": "GET"})), Some(("method", "one of"))),
        (with(json!({"oauth_client_id": "hunter2"})), Some(("oauth_token_url", "oauth_client_id"))),
        (with(json!({"sekret": "x"})), Some(("sekret", "is not a setting"))),
    ];
    for (given, want) in cases {
        let settings = serde_json::from_value(given.clone()).expect("settings are an object");
        match (check(&config("webhook", settings), true).err(), want) {
            (None, None) => {}
            (Some(got), Some((field, message))) => {
                assert_eq!(got.field, field, "{given}");
                assert!(got.message.contains(message), "{given}: {got}");
                assert!(!got.to_string().contains("hunter2"), "a value is never shown");
            }
            (got, want) => panic!("{given}: got {got:?}, want {want:?}"),
        }
    }
}
