//! Destinations through the whole server: tried, filtered, paused, replayed, explained, broken and mended.

mod broken;
mod gates;
mod paused;
mod receiver;
mod replayed;
mod tried;

use crate::harness::Server;
use receiver::Receiver;
use reqwest::Method;
use serde_json::{Value, json};

const DESTINATIONS: &str = "/admin/v1/destinations";

fn track(id: &str, user: &str, properties: Value) -> Value {
    json!({"type": "track", "event": "Seen", "messageId": id, "userId": user, "properties": properties})
}

/// Creates a webhook to the receiver, with more about it; tells its path in the API.
async fn webhook(server: &Server, receiver: &Receiver, more: Value) -> String {
    let mut body = json!({"definition": "webhook", "name": "w", "settings": {"url": receiver.url(), "send": ["events"]}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let (status, made) = server.call(Method::POST, DESTINATIONS, Some(body)).await;
    assert_eq!(status, 201, "{made}");
    format!("{DESTINATIONS}/{}", made["id"].as_str().expect("an id"))
}

/// Sends something, and expects that status.
async fn post(server: &Server, path: &str, body: Value, want: u16) -> Value {
    let (status, answer) = server.call(Method::POST, path, Some(body)).await;
    assert_eq!(status, want, "{path}: {answer}");
    answer
}

/// Changes a destination.
async fn patch(server: &Server, path: &str, body: Value) -> Value {
    let (status, answer) = server.call(Method::PATCH, path, Some(body)).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Reads something that has to be there.
async fn read(server: &Server, path: &str) -> Value {
    let (status, answer) = server.get(path).await;
    assert_eq!(status, 200, "{path}: {answer}");
    answer
}

/// Reads something until it is as it shall be.
async fn reads(server: &Server, path: &str, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
    let mut last = Value::Null;
    server
        .until(&format!("{path}: {what}"), async || {
            last = read(server, path).await;
            holds(&last)
        })
        .await;
    last
}

/// How many deliveries of a destination ended so.
fn ended(status: &Value, outcome: &str) -> u64 {
    status["totals"]["ended"][outcome].as_u64().unwrap_or(0)
}
