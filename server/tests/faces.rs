//! What the product does for those who use it: events in, profiles out, deliveries on.

use crate::harness::{Server, TOKEN, data_dir, until};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use reqwest::Method;
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A receiver on loopback that keeps what it was sent and answers with a status that the test sets.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Vec<(HttpRequestHead, Value)>>>,
    status: Arc<Mutex<u16>>,
}

#[derive(Clone)]
struct HttpRequestHead {
    id: String,
    signed: bool,
}

impl Receiver {
    async fn start() -> Self {
        let got: Arc<Mutex<Vec<(HttpRequestHead, Value)>>> = Arc::default();
        let status = Arc::new(Mutex::new(200));
        let (keep, answer) = (Arc::clone(&got), Arc::clone(&status));
        let server = HttpServer::new(move || {
            let (keep, answer) = (Arc::clone(&keep), Arc::clone(&answer));
            App::new().default_service(web::to(move |request: HttpRequest, body: web::Bytes| {
                let status = *answer.lock().expect("not poisoned");
                if status == 200 {
                    let webhook = Webhook::new(SECRET).expect("a secret");
                    let mut headers = reqwest::header::HeaderMap::new();
                    for (name, value) in request.headers() {
                        let name: reqwest::header::HeaderName = name.as_str().parse().expect("a name");
                        headers.insert(name, value.to_str().expect("text").parse().expect("a value"));
                    }
                    let signed = webhook.verify(&body, &headers).is_ok();
                    let id = headers["webhook-id"].to_str().expect("text").to_owned();
                    let body = serde_json::from_slice(&body).expect("JSON");
                    keep.lock().expect("not poisoned").push((HttpRequestHead { id, signed }, body));
                }
                let status = actix_web::http::StatusCode::from_u16(status).expect("a status");
                async move { HttpResponse::build(status).body("noted") }
            }))
        })
        .workers(1)
        .disable_signals()
        .bind("127.0.0.1:0")
        .expect("a free port");
        let address = server.addrs()[0];
        tokio::spawn(server.run());
        Self { address, got, status }
    }

    fn answer(&self, status: u16) {
        *self.status.lock().expect("not poisoned") = status;
    }

    /// The changes of profiles of that name.
    fn changes(&self, name: &str) -> Vec<Value> {
        let got = self.got.lock().expect("not poisoned");
        got.iter().map(|(_, body)| body).filter(|body| body["event"] == name).cloned().collect()
    }

    fn names(&self) -> Vec<String> {
        let got = self.got.lock().expect("not poisoned");
        let mut names: Vec<String> =
            got.iter().map(|(_, body)| body["messageId"].as_str().expect("an id").to_owned()).collect();
        names.sort();
        names
    }
}

fn track(id: &str, user: &str) -> Value {
    json!({"type": "track", "event": "Seen", "messageId": id, "userId": user, "properties": {"n": 1}})
}

async fn webhook(server: &Server, receiver: &Receiver, more: Value) -> String {
    let mut settings = json!({"url": format!("http://{}/in", receiver.address), "secret": SECRET});
    settings.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let body = json!({"definition": "webhook", "name": "w", "enabled": true, "settings": settings});
    let (status, body) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
    assert_eq!(status, 201, "{body}");
    assert!(!body.to_string().contains("MfKQ9r8GKY"), "secrets are never returned");
    body["id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_profiles() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .batch(&[
            json!({"type": "page", "messageId": "m1", "anonymousId": "a:1/x", "name": "Home"}),
            json!({"type": "track", "messageId": "m2", "anonymousId": "a:1/x", "event": "Product Viewed",
                   "properties": {"big": 9_007_199_254_740_993_u64}}),
            json!({"type": "track", "messageId": "m3", "userId": "u1", "event": "Order Completed"}),
            json!({"type": "identify", "messageId": "m4", "userId": "u1", "anonymousId": "a:1/x",
                   "traits": {"email": " Ada@Example.com ", "plan": "pro", "gone": null}}),
            json!({"type": "group", "messageId": "m5", "userId": "u1", "groupId": "g",
                   "traits": {"email": "acme@example.com", "plan": "enterprise"}}),
        ])
        .await;
    server
        .until("the profile is whole", async || {
            server.profile("user_id:u1", "metadata").await.1["event_count"] == 5
        })
        .await;

    let (_, metadata) = server.profile("user_id:u1", "metadata").await;
    let id = metadata["profile_id"].as_str().expect("an id").to_owned();
    for who in [
        "user_id:u1",
        "email:ada@example.com",
        "email:ADA@example.com",
        "anonymous_id:a:1%2Fx",
        &format!("profile_id:{id}"),
    ] {
        let (status, body) = server.profile(who, "traits").await;
        let traits = json!({"email": " Ada@Example.com ", "plan": "pro"});
        assert_eq!((status, &body["traits"]), (200, &traits), "{who}: {body}");
        assert_eq!(body["cursor"]["has_more"], false, "{who}: {body}");
    }
    let (_, ids) = server.profile("user_id:u1", "external_ids").await;
    let ids: Vec<_> = ids["data"].as_array().expect("rows").iter().map(|row| &row["type"]).collect();
    assert_eq!(ids, ["anonymous_id", "email", "user_id"]);
    let (_, events) = server.profile("user_id:u1", "events").await;
    let rows = events["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[0]["messageId"], "m5", "newest first");
    assert!(rows.iter().any(|row| row["properties"]["big"] == 9_007_199_254_740_993_u64), "kept exactly");

    for (who, part, status) in [
        ("user_id:nobody", "traits", 404),
        ("user_id", "traits", 400),
        ("user_id:u1", "nothing", 404),
        ("user_id:u1", "traits?limit=0", 400),
    ] {
        let (got, body) = server.profile(who, part).await;
        assert_eq!(got, status, "{who}/{part}: {body}");
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{body}");
    }
    let path = "/v1/spaces/default/collections/users/profiles/user_id:u1/traits";
    assert_eq!(server.call_as("wrong", Method::GET, path, None).await.0, 401);
    let basic = server.client.get(format!("http://{}{path}", server.api)).basic_auth(TOKEN, Some(""));
    assert_eq!(basic.send().await.expect("an answer").status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_events_are_set_aside_and_found() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let bad = [
        ("no_ids", r#"{"type":"track","messageId":"no_ids","event":"x"}"#.to_owned()),
        ("no_type", r#"{"messageId":"no_type","userId":"u"}"#.to_owned()),
        ("odd_type", r#"{"type":"sing","messageId":"odd_type","userId":"u"}"#.to_owned()),
        ("no_name", r#"{"type":"track","messageId":"no_name","userId":"u"}"#.to_owned()),
        (
            "wrong",
            r#"{"type":"track","messageId":"wrong","userId":"u","event":"x","properties":[]}"#.to_owned(),
        ),
        ("number", r#"{"type":"track","messageId":"number","userId":7,"event":"x"}"#.to_owned()),
        (
            "deep",
            format!(
                r#"{{"type":"track","messageId":"deep","userId":"u","event":"x","properties":{{"d":{deep}}}}}"#
            ),
        ),
        (
            "large",
            format!(
                r#"{{"type":"track","messageId":"large","userId":"u","event":"x","properties":{{"d":"{}"}}}}"#,
                "y".repeat(1 << 20)
            ),
        ),
    ];
    let good = r#"{"type":"track","messageId":"good","userId":"u","event":"x","properties":{"s":"\ud83d","z":"\u0000","n":123456789012345678901234567890.5}}"#;
    for (name, event) in &bad {
        let (status, body) = server.post("/v1/batch", format!(r#"{{"batch":[{event},{good}]}}"#)).await;
        assert_eq!((status, &body), (200, &json!({"success": true})), "{name}");
        let (status, body) = server.get(&format!("/admin/v1/rejects?message_id={name}")).await;
        assert_eq!(status, 200, "{body}");
        let rows = body["data"].as_array().expect("rows");
        assert_eq!(rows.len(), 1, "{name}: {body}");
        assert!(rows[0]["reason"].is_string() && rows[0]["message"].is_string(), "{name}");
    }
    server
        .until("the good one is there", async || {
            server.profile("user_id:u", "metadata").await.1["event_count"] == 1
        })
        .await;
    let url = format!("http://{}/v1/spaces/default/collections/users/profiles/user_id:u/events", server.api);
    let text = server
        .client
        .get(url)
        .bearer_auth(TOKEN)
        .send()
        .await
        .expect("an answer")
        .text()
        .await
        .expect("text");
    assert!(text.contains(r#""s":"\ufffd","z":"\u0000","n":123456789012345678901234567890.5"#), "{text}");

    for (body, status) in [("nonsense", 400), ("[]", 400), (r#"{"batch":7}"#, 400), ("", 400)] {
        let (got, answer) = server.post("/v1/batch", body).await;
        assert_eq!(got, status, "{body}");
        assert!(answer["code"].is_string() && answer["message"].is_string(), "{answer}");
    }
    let many = format!(r#"{{"batch":[{}]}}"#, vec![good; 2501].join(","));
    assert_eq!(server.post("/v1/batch", many).await.0, 413);
    assert_eq!(server.post("/v1/track", "x".repeat(5 * 1024 * 1024 + 1)).await.0, 413);
    let request =
        server.client.post(format!("http://{}/v1/track", server.http)).basic_auth("nobody", Some(""));
    assert_eq!(request.body("{}").send().await.expect("an answer").status(), 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_is_toggled_without_loss() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    server.batch(&[track("before", "u1")]).await;
    let id = webhook(&server, &receiver, json!({})).await;
    let at = format!("/admin/v1/destinations/{id}");
    server.batch(&[track("m1", "u1")]).await;
    until("the first delivery", &mut async || receiver.names() == ["m1"]).await;

    let off = || server.call(Method::PATCH, &at, Some(json!({"enabled": false})));
    assert_eq!(off().await.0, 200);
    server.batch(&[track("m2", "u1")]).await;
    server
        .until("it is projected", async || {
            server.profile("user_id:u1", "metadata").await.1["event_count"] == 3
        })
        .await;
    assert_eq!(receiver.names(), ["m1"]);
    assert_eq!(server.call(Method::PATCH, &at, Some(json!({"enabled": true}))).await.0, 200);
    until("what was parked", &mut async || receiver.names() == ["m1", "m2"]).await;

    assert_eq!(off().await.0, 200);
    server.batch(&[track("m3", "u1")]).await;
    let now = json!({"enabled": true, "resume": "now"});
    assert_eq!(server.call(Method::PATCH, &at, Some(now)).await.0, 200);
    server.batch(&[track("m4", "u1")]).await;
    until("from now on", &mut async || receiver.names() == ["m1", "m2", "m4"]).await;

    receiver.answer(503);
    server.batch(&[track("m5", "u1")]).await;
    receiver.answer(200);
    until("tried again", &mut async || receiver.names() == ["m1", "m2", "m4", "m5"]).await;
    receiver.answer(422);
    server.batch(&[track("m6", "u1")]).await;
    server
        .until("a dead letter", async || {
            let (_, letters) = server.get(&format!("{at}/dead-letters")).await;
            letters["data"][0]["message_id"] == "m6" && letters["data"][0]["response"]["status"] == 422
        })
        .await;

    let got = receiver.got.lock().expect("not poisoned");
    assert!(got.iter().all(|(head, _)| head.signed), "every delivery is signed");
    let ids: std::collections::BTreeSet<_> = got.iter().map(|(head, _)| head.id.clone()).collect();
    assert_eq!(ids.len(), got.len(), "every delivery has an id of its own");
    assert_eq!(got[0].1["properties"], json!({"n": 1}));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn destinations_are_told_of_merges_and_splits_unless_they_want_events_only() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let (both, events) = (Receiver::start().await, Receiver::start().await);
    server.ready().await;
    webhook(&server, &both, json!({})).await;
    let events_only = webhook(&server, &events, json!({"send": ["events"]})).await;
    let anonymous = json!({"type": "track", "event": "Seen", "messageId": "m1", "anonymousId": "a1"});
    let mut joining = track("m3", "u1");
    joining["anonymousId"] = "a1".into();
    server.batch(&[anonymous, track("m2", "u1"), joining]).await;
    until("the events and their merge", &mut async || both.names().len() == 4).await;
    let merged = both.changes("Profile Merged");
    assert_eq!(merged.len(), 1);
    let properties = &merged[0]["properties"];
    assert_eq!(merged[0]["userId"], "u1");
    assert_eq!(properties["merged_profile_ids"].as_array().map(Vec::len), Some(1), "{properties}");
    let (_, metadata) = server.profile("user_id:u1", "metadata").await;
    assert_eq!(properties["profile_id"], metadata["profile_id"]);
    let mut identifiers: Vec<_> =
        properties["identifiers"].as_array().expect("a list").iter().map(Value::to_string).collect();
    identifiers.sort();
    assert_eq!(identifiers, [r#""anonymous_id:a1""#, r#""user_id:u1""#]);

    let at = "/v1/spaces/default/collections/users/profiles/user_id:u1/unmerge";
    let body = json!({"identifier": "anonymous_id:a1", "reason": "not the same person"});
    let (status, parted) = server.call(Method::POST, at, Some(body)).await;
    assert_eq!(status, 200, "{parted}");
    until("both sides of the split", &mut async || both.names().len() == 6).await;
    let mut split: Vec<Value> = Vec::new();
    for one in both.changes("Profile Split") {
        assert_eq!(one["properties"]["split_from"], metadata["profile_id"], "{one}");
        split.push(one["properties"]["profile_id"].clone());
    }
    let mut wanted: Vec<Value> = Vec::new();
    for one in parted["profiles"].as_array().expect("a list") {
        wanted.push(one["profile_id"].clone());
    }
    for ids in [&mut split, &mut wanted] {
        ids.sort_by_key(Value::to_string);
    }
    assert_eq!((split.len(), split), (2, wanted));

    let filtered = format!(
        r#"tributary_deliveries_total{{workspace="ws_1",destination="{events_only}",outcome="filtered"}}"#
    );
    server.until("what is left out is counted", async || server.metric(&filtered).await == 3.0).await;
    until("the events", &mut async || events.names() == ["m1", "m2", "m3"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workspaces_never_meet() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let (status, other) =
        server.call(Method::POST, "/admin/v1/workspaces", Some(json!({"name": "other"}))).await;
    assert_eq!(status, 201, "{other}");
    let token = other["token"].as_str().expect("its own token").to_owned();
    let source = json!({"name": "web"});
    let (status, source) = server.call_as(&token, Method::POST, "/admin/v1/sources", Some(source)).await;
    assert_eq!(status, 201, "{source}");
    let key = source["write_key"].as_str().expect("a write key").to_owned();

    let same =
        json!({"type": "identify", "messageId": "same", "userId": "u1", "traits": {"where": "default"}});
    server.batch(&[same]).await;
    let same = json!({"type": "identify", "messageId": "same", "userId": "u1", "traits": {"where": "other"}});
    let request =
        server.client.post(format!("http://{}/v1/identify", server.http)).basic_auth(&key, Some(""));
    assert_eq!(request.body(same.to_string()).send().await.expect("an answer").status(), 200);
    let there = "/v1/spaces/other/collections/users/profiles/user_id:u1/traits";
    server
        .until("both are there", async || {
            let ours = server.profile("user_id:u1", "traits").await.1["traits"]["where"] == "default";
            ours && server.call_as(&token, Method::GET, there, None).await.1["traits"]["where"] == "other"
        })
        .await;
    assert_eq!(server.get(there).await.0, 403, "a token reads its own workspace");
    assert_eq!(server.call_as(&token, Method::GET, "/admin/v1/workspaces", None).await.0, 403);
}
