//! Reasons, undo and changes by hand: asked for over HTTP, in force in the next read, still there after a restart.

mod by_hand;
mod mended;
mod reasons;
mod undo;

use crate::harness::Server;
use reqwest::Method;
use serde_json::{Value, json};

const PROFILES: &str = "/v1/spaces/default/collections/users/profiles";

/// A track call with these members beside.
fn track(id: &str, who: Value) -> Value {
    call("track", id, who)
}

/// An identify call with these members beside.
fn identify(id: &str, who: Value) -> Value {
    call("identify", id, who)
}

fn call(kind: &str, id: &str, mut members: Value) -> Value {
    members["type"] = kind.into();
    members["messageId"] = id.into();
    if kind == "track" {
        members["event"] = "Seen".into();
    }
    members
}

async fn change(server: &Server, who: &str, what: &str, body: Value) -> (u16, Value) {
    server.call(Method::POST, &format!("{PROFILES}/{who}/{what}"), Some(body)).await
}

/// A change that is expected to be made.
async fn changed(server: &Server, who: &str, what: &str, body: Value) -> Value {
    let (status, answer) = change(server, who, what, body).await;
    assert_eq!(status, 200, "{answer}");
    answer
}

async fn explained(server: &Server, who: &str, with: &str) -> Value {
    let (status, answer) = server.profile(who, &format!("explain?with={with}")).await;
    assert_eq!(status, 200, "{who} with {with}: {answer}");
    answer
}

/// Every row of a profile's history, read in pages of this size.
async fn history(server: &Server, who: &str, limit: usize) -> Vec<Value> {
    let (mut rows, mut next) = (Vec::new(), String::new());
    loop {
        let (status, page) = server.profile(who, &format!("history?limit={limit}&next={next}")).await;
        assert_eq!(status, 200, "{who}: {page}");
        rows.extend(page["data"].as_array().expect("rows").iter().cloned());
        if page["cursor"]["has_more"] != true {
            return rows;
        }
        next = page["cursor"]["next"].as_str().expect("a cursor").to_owned();
    }
}

fn of_type<'a>(rows: &'a [Value], kind: &str) -> Vec<&'a Value> {
    rows.iter().filter(|row| row["type"] == kind).collect()
}

/// Its profile's id, and how many events that has.
async fn standing(server: &Server, who: &str) -> (String, u64) {
    let (status, metadata) = server.profile(who, "metadata").await;
    assert_eq!(status, 200, "{who}: {metadata}");
    let id = metadata["profile_id"].as_str().expect("an id").to_owned();
    (id, metadata["event_count"].as_u64().expect("a count"))
}

async fn identifiers(server: &Server, who: &str) -> Vec<String> {
    let (status, body) = server.profile(who, "external_ids").await;
    assert_eq!(status, 200, "{who}: {body}");
    let text = |row: &Value| {
        format!("{}:{}", row["type"].as_str().expect("text"), row["id"].as_str().expect("text"))
    };
    body["data"].as_array().expect("rows").iter().map(text).collect()
}
