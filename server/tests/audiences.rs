//! Audiences through the whole server: filled from what came before and from what comes after, paged, measured, told to
//! a webhook, broken by force, refused with the place.

mod broken;
mod members;
mod receiver;
mod refused;
mod told;

use crate::harness::Server;
use reqwest::Method;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const AUDIENCES: &str = "/admin/v1/audiences";
const COMPUTED: &str = "/admin/v1/computed-traits";

fn identify(id: &str, user: &str, traits: Value) -> Value {
    json!({"type": "identify", "messageId": id, "userId": user, "traits": traits})
}

fn ordered(id: &str, user: &str, total: u32) -> Value {
    json!({"type": "track", "event": "Order Completed", "messageId": id, "userId": user,
        "properties": {"total": total}})
}

/// Creates an audience and waits until it is filled.
async fn filled(server: &Server, key: &str, definition: &str) -> Value {
    let body = json!({"key": key, "definition": definition});
    let (status, made) = server.call(Method::POST, AUDIENCES, Some(body)).await;
    assert_eq!(status, 201, "{key}: {made}");
    reaches(server, key, "live").await
}

/// Waits until an audience is at this stage.
async fn reaches(server: &Server, key: &str, stage: &str) -> Value {
    let mut last = Value::Null;
    server
        .until(&format!("{key} is {stage}"), async || {
            let (status, audience) = server.get(&format!("{AUDIENCES}/{key}")).await;
            assert_eq!(status, 200, "{audience}");
            last = audience;
            last["status"]["stage"] == stage
        })
        .await;
    last
}

/// Every member's user id, read in pages of this size; each may be told once.
async fn members(server: &Server, key: &str, limit: usize) -> BTreeSet<String> {
    let (mut users, mut next) = (BTreeSet::new(), String::new());
    loop {
        let (rows, cursor) = page(server, key, limit, &next).await;
        for row in rows {
            assert!(users.insert(user_of(&row)), "{row} is told twice");
        }
        match cursor {
            Some(cursor) => next = cursor,
            None => return users,
        }
    }
}

/// A page of members, and where the next begins.
async fn page(server: &Server, key: &str, limit: usize, next: &str) -> (Vec<Value>, Option<String>) {
    let (status, page) = server.get(&format!("{AUDIENCES}/{key}/members?limit={limit}&next={next}")).await;
    assert_eq!(status, 200, "{key}: {page}");
    let rows = page["data"].as_array().expect("rows").clone();
    let more = page["cursor"]["has_more"] == true;
    (rows, more.then(|| page["cursor"]["next"].as_str().expect("a cursor").to_owned()))
}

fn user_of(row: &Value) -> String {
    let identifiers = row["identifiers"].as_array().expect("identifiers").iter();
    let user = identifiers.filter_map(Value::as_str).find_map(|text| text.strip_prefix("user_id:"));
    user.unwrap_or_else(|| panic!("no user id in {row}")).to_owned()
}

fn users<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}
