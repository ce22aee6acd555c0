//! The profile API as its clients meet it: own writes are read, classes of traits, links, audiences, consent, pages,
//! refusals and the ids of requests.

use crate::harness::{Server, TOKEN, data_dir};
use reqwest::Method;
use serde_json::{Value, json};

const PROFILES: &str = "/v1/spaces/default/collections/users/profiles";

/// An event of Ada's, with these members beside.
fn event(kind: &str, id: &str, mut members: Value) -> Value {
    let own = members.as_object_mut().expect("an object");
    own.insert("type".to_owned(), kind.into());
    own.insert("messageId".to_owned(), id.into());
    own.entry("userId").or_insert_with(|| "ada".into());
    members
}

/// Sends events and answers with the position of the last one.
async fn stored(server: &Server, events: &[Value]) -> String {
    let body = json!({"batch": events}).to_string();
    let (status, answer) = server.post("/v1/batch?position=true", body).await;
    assert_eq!((status, &answer["success"]), (200, &json!(true)), "{answer}");
    answer["position"].as_str().expect("a position").to_owned()
}

/// A part of Ada's profile.
async fn ada(server: &Server, part: &str) -> Value {
    let (status, body) = server.profile("user_id:ada", part).await;
    assert_eq!(status, 200, "{part}: {body}");
    body
}

/// The values of this member in the rows of an answer.
fn column(body: &Value, name: &str) -> Vec<Value> {
    body["data"].as_array().expect("rows").iter().map(|row| row[name].clone()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_for_a_position_reads_their_own_writes() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    for n in 0..30 {
        // Of two events of the same millisecond, the trait of the one with the larger message id counts.
        let own = event("identify", &format!("m{n:02}"), json!({"traits": {"n": n}}));
        let position = stored(&server, &[own]).await;
        let body = ada(&server, &format!("traits?wait_for={position}")).await;
        assert_eq!(body["traits"]["n"], n, "{position}");
    }
    let track = event("track", "last", json!({"event": "Seen", "anonymousId": "x1"})).to_string();
    let (status, answer) = server.post("/v1/track?position=true", track).await;
    assert_eq!(status, 200, "{answer}");
    let position = answer["position"].as_str().expect("a position");
    for (part, more) in [
        ("external_ids", ""),
        ("events", ""),
        ("metadata", ""),
        ("links", ""),
        ("audiences", ""),
        ("consent", ""),
        ("history", ""),
        ("explain", "&with=user_id:ada"),
    ] {
        let (status, body) =
            server.profile("anonymous_id:x1", &format!("{part}?wait_for={position}{more}")).await;
        assert_eq!(status, 200, "{part}: {body}");
    }
    assert_eq!(column(&ada(&server, "events?limit=1").await, "messageId"), ["last"]);

    let (status, answer) = server.post("/v1/track?position=true", "{}").await;
    assert_eq!((status, answer), (200, json!({"success": true, "position": null})), "it is set aside");
    let (status, answer) = server.post("/v1/track?position=yes", "{}").await;
    assert_eq!((status, &answer["code"]), (400, &json!("invalid_request")), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_sent_computed_and_entered_is_shown_together() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let bought = r#"count(event("Order Completed"))"#;
    for (kind, body) in [
        ("computed-traits", json!({"key": "orders", "definition": bought})),
        ("audiences", json!({"key": "buyers", "name": "Buyers", "definition": format!("{bought} >= 2")})),
    ] {
        let (status, answer) = server.call(Method::POST, &format!("/admin/v1/{kind}"), Some(body)).await;
        assert_eq!(status, 201, "{kind}: {answer}");
    }
    let stage = async || server.get("/admin/v1/audiences/buyers").await.1["status"]["stage"].clone();
    server.until("the audience is live", async || stage().await == "live").await;

    let order = |id: &str| event("track", id, json!({"event": "Order Completed"}));
    let consent = json!({"consent": {"categoryPreferences": {"ads": false, "mail": true}}});
    let first = [
        event(
            "identify",
            "m1",
            json!({"traits": {"plan": "pro", "buyers": "so they say"}, "context": consent}),
        ),
        event("group", "m2", json!({"groupId": "acme", "traits": {"name": "Acme"}})),
        order("m3"),
    ];
    let position = stored(&server, &first).await;
    let shown = ada(&server, &format!("traits?wait_for={position}")).await;
    assert_eq!(shown["traits"], json!({"orders": 1, "plan": "pro"}), "a trait is no membership");
    assert_eq!(column(&ada(&server, "audiences").await, "key"), Vec::<Value>::new());

    let position = stored(&server, &[order("m4")]).await;
    let shown = ada(&server, &format!("traits?wait_for={position}")).await;
    assert_eq!(shown["traits"], json!({"buyers": true, "orders": 2, "plan": "pro"}));
    for (query, want) in [
        ("class=audience", json!({"buyers": true})),
        ("class=computed_trait", json!({"orders": 2})),
        ("class=custom", json!({"buyers": "so they say", "plan": "pro"})),
        ("include=orders", json!({"orders": 2})),
        ("limit=1&next=buyers", json!({"orders": 2})),
    ] {
        assert_eq!(ada(&server, &format!("traits?{query}")).await["traits"], want, "{query}");
    }
    let told = ada(&server, "traits?verbose=true").await["traits"].clone();
    assert_eq!(
        (&told["plan"]["value"], &told["plan"]["message_id"]),
        (&json!("pro"), &json!("m1")),
        "{told}"
    );
    assert_eq!(told["orders"], json!({"value": 2, "class": "computed_trait", "approximate": false}));
    assert_eq!((&told["buyers"]["value"], &told["buyers"]["class"]), (&json!(true), &json!("audience")));

    let row = ada(&server, "audiences").await["data"][0].clone();
    assert_eq!((&row["key"], &row["name"]), (&json!("buyers"), &json!("Buyers")), "{row}");
    assert_eq!(row["since"], told["buyers"]["updated_at"], "{row}");
    assert!(row["id"].as_str().expect("an id").starts_with("aud_"), "{row}");
    let rows = ada(&server, "links").await;
    assert_eq!(column(&rows, "to_collection"), ["accounts"]);
    assert_eq!(rows["data"][0]["external_ids"][0]["id"], "acme", "{rows}");
    let rows = ada(&server, "consent").await;
    assert_eq!(column(&rows, "category"), ["ads", "mail"]);
    assert_eq!(column(&rows, "granted"), [false, true]);
    assert_eq!(column(&rows, "message_id"), ["m1", "m1"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_of_consent_holds_through_a_merge_until_its_device_grants_it() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let seen = |id: &str, user: Value, device: Value, ads: bool| {
        let context = json!({"consent": {"categoryPreferences": {"ads": ads}}});
        event("page", id, json!({"userId": user, "anonymousId": device, "context": context}))
    };
    let position = stored(
        &server,
        &[
            seen("m1", json!(null), json!("x1"), false),
            seen("m2", json!("ada"), json!("x2"), true),
            event("track", "m3", json!({"event": "Signed In", "anonymousId": "x1"})),
        ],
    )
    .await;
    let rows = ada(&server, &format!("consent?wait_for={position}")).await;
    assert_eq!(
        (column(&rows, "granted"), column(&rows, "message_id")),
        (vec![json!(false)], vec![json!("m1")])
    );
    let position = stored(&server, &[seen("m4", json!("ada"), json!("x1"), true)]).await;
    let rows = ada(&server, &format!("consent?wait_for={position}")).await;
    assert_eq!(column(&rows, "granted"), [true], "{rows}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_has_its_shape_and_an_id() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.seen(&[event("identify", "m1", json!({"traits": {"a": 1, "b": 2}, "anonymousId": "x1"}))]).await;
    let traits = format!("{PROFILES}/user_id:ada/traits");
    let page = ada(&server, "traits?limit=1").await;
    assert_eq!(page["cursor"], json!({"url": traits, "has_more": true, "next": "a", "limit": 1}));
    for part in ["traits", "external_ids", "events", "links", "audiences", "consent", "history"] {
        let cursor = ada(&server, part).await["cursor"].clone();
        let url = format!("{PROFILES}/user_id:ada/{part}");
        assert_eq!(cursor, json!({"url": url, "has_more": false, "next": "", "limit": 20}), "{part}");
    }

    let cases = [
        (Method::GET, "user_id:ada/traits", TOKEN, 200, ""),
        (Method::GET, "user_id:nobody/traits", TOKEN, 404, "not_found"),
        (Method::GET, "user_id:nobody/links", TOKEN, 404, "not_found"),
        (Method::GET, "user_id:nobody/consent", TOKEN, 404, "not_found"),
        (Method::GET, "user_id:ada/nothing", TOKEN, 404, "not_found"),
        (Method::GET, "user_id:ada/traits", "wrong", 401, "authentication_error"),
        (Method::POST, "user_id:ada/links", TOKEN, 405, "method_not_allowed"),
        (Method::GET, "user_id:ada/traits?colour=red", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/traits?class=sql", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/events?class=custom", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/events?as_of=2026-01-01T00:00:00Z", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/traits?as_of=yesterday", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/traits?as_of=9999-01-01T00:00:00Z", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/metadata?wait_for=7", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/metadata?wait_for=1.7", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/metadata?wait_for=null", TOKEN, 400, "invalid_request_error"),
        (Method::GET, "user_id:ada/consent?wait_for=0.-1", TOKEN, 400, "invalid_request_error"),
        // Who may not read is not told how far the log is.
        (
            Method::GET,
            "user_id:ada/traits?wait_for=0.18446744073709551615",
            "wrong",
            401,
            "authentication_error",
        ),
    ];
    let mut ids = std::collections::BTreeSet::new();
    for (method, path, token, status, code) in &cases {
        let url = format!("http://{}{PROFILES}/{path}", server.api);
        let request = server.client.request(method.clone(), url).bearer_auth(token);
        let answer = request.send().await.expect("an answer");
        let id = answer.headers()["request-id"].to_str().expect("text").to_owned();
        assert_eq!(answer.status().as_u16(), *status, "{path}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"]["code"].as_str().unwrap_or_default(), *code, "{path}: {body}");
        assert!(ids.insert(id), "{path}: an id that another answer had");
    }
    assert_eq!(ids.len(), cases.len());
}
