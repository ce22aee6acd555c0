//! The workspace as one document.

use serde_json::json;

use super::*;

async fn furnished() -> Server {
    let server = Server::start();
    let body = json!({"definition": "webhook", "name": "hook",
        "settings": {"url": "https://example.com/", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}});
    server.put("POST", "/destinations", body).await.expect(201);
    server
}

#[actix_web::test]
async fn a_document_sent_back_changes_nothing() {
    let server = furnished().await;
    let read = server.get("/workspace").await.expect(200);
    assert_eq!((read.text("id"), read.text("name")), ("ws_1".to_owned(), "default".to_owned()));
    let again = server.put("PUT", "/workspace", read.body.clone()).await.expect(200);
    assert_eq!(again.body, read.body);
    assert_eq!(again.header("etag"), Some("\"2\""), "what changes nothing makes no version");
}

#[actix_web::test]
async fn a_document_creates_changes_and_deletes_and_keeps_masked_secrets() {
    let server = furnished().await;
    let sealed = || server.admin.store.snapshot().workspaces()[0].destinations[0].settings["secret"].clone();
    let before = sealed();
    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["name"] = json!("renamed");
    document["destinations"].as_array_mut().expect("a list").push(json!({
        "definition": "webhook", "name": "second", "enabled": false, "settings": {"url": "https://example.org/"}}));
    document["sources"] = json!([{"name": "fresh"}, {"name": "kept key", "write_key": "kept-key"}]);
    let answer = server.put("PUT", "/workspace", document).await.expect(200);
    assert_eq!(answer.body["version"], 3);
    let ids = |list: &str| -> Vec<String> {
        let rows = answer.body[list].as_array().expect("a list");
        rows.iter().map(|row| row["id"].as_str().expect("an id").to_owned()).collect()
    };
    assert_eq!(ids("sources"), ["src_4", "src_5"], "ids are never used again");
    assert_eq!(ids("destinations"), ["dst_3", "dst_6"]);
    assert_eq!(answer.body["sources"][1]["write_key"], "kept-key");
    assert_eq!(answer.body["destinations"][0]["name"], "renamed");
    assert_eq!(answer.body["destinations"][1]["enabled"], false);
    assert_eq!(sealed(), before, "the masked secret is the very same");
    assert_eq!(answer.body, server.get("/workspace").await.body);
}

#[actix_web::test]
async fn a_document_that_is_wrong_changes_nothing_and_is_told_where() {
    let server = furnished().await;
    let document = server.get("/workspace").await.expect(200).body;
    let with = |change: fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        document
    };
    let cases: Vec<(&str, u16, Value, &str)> = vec![
        (
            "no sources",
            400,
            with(|d| drop(d.as_object_mut().and_then(|d| d.remove("sources")))),
            "missing field",
        ),
        ("unknown member", 400, with(|d| d["journeys"] = json!([])), "unknown field `journeys`"),
        ("unknown in a source", 400, with(|d| d["sources"][0]["x"] = json!(1)), "unknown field `x`"),
        ("another workspace", 400, with(|d| d["id"] = json!("ws_9")), "`id`"),
        ("an old version", 412, with(|d| d["version"] = json!(1)), "version 2"),
        ("no rules", 400, with(|d| d["identity"]["namespaces"] = json!([])), "`identity.namespaces`"),
        (
            "a rule that can't work",
            400,
            with(|d| d["identity"]["namespaces"][1]["limit"]["count"] = json!(0)),
            "`identity.namespaces[1].limit.count`",
        ),
        ("an unknown id", 400, with(|d| d["sources"][0]["id"] = json!("src_9")), "`sources[0].id`"),
        (
            "an id twice",
            400,
            with(|d| {
                let first = d["sources"][0].clone();
                d["sources"].as_array_mut().expect("a list").push(first);
            }),
            "`sources[1].id`: src_1 is there twice",
        ),
        ("a blank name", 400, with(|d| d["sources"][0]["name"] = json!("")), "`sources[0]`: `name`"),
        (
            "a wrong setting",
            400,
            with(|d| d["destinations"][0]["settings"]["url"] = json!(7)),
            "`destinations[0]`: `settings.url`",
        ),
        (
            "another definition",
            400,
            with(|d| d["destinations"][0]["definition"] = json!("fax")),
            "`definition` can't be changed",
        ),
        (
            "one right, one wrong",
            400,
            with(|d| {
                d["sources"][0]["name"] = json!("right");
                d["destinations"][0]["name"] = json!("");
            }),
            "`destinations[0]`",
        ),
    ];
    for (name, status, body, part) in cases {
        let answer = server.put("PUT", "/workspace", body).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
    }
    assert_eq!(server.get("/workspace").await.body, document);
}

#[actix_web::test]
async fn a_document_changes_the_identity_rules_and_keeps_those_that_are_not_sent() {
    let server = furnished().await;
    let mut document = server.get("/workspace").await.expect(200).body;
    document["identity"] =
        json!({"namespaces": [{"name": "user_id", "limit": {"count": 2, "window": "year"}}]});
    let changed =
        server.put("PUT", "/workspace", document.clone()).await.expect(200).body["identity"].clone();
    assert_eq!(changed["namespaces"][0]["limit"], json!({"count": 2, "window": "year"}));
    assert_eq!(server.get("/identity-rules").await.expect(200).body, changed);
    document.as_object_mut().expect("an object").retain(|name, _| name != "identity" && name != "version");
    assert_eq!(server.put("PUT", "/workspace", document).await.expect(200).body["identity"], changed);
}

#[actix_web::test]
async fn only_the_first_token_renames_a_workspace() {
    let server = Server::start();
    let made = server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(201);
    let token = made.text("token");
    let mut document = server.send(request("GET", "/workspace", &token)).await.expect(200).body;
    document["name"] = json!("us");
    server.send(request("PUT", "/workspace", &token).set_json(&document)).await.expect(403);
    let mut document = server.get("/workspace").await.expect(200).body;
    document["name"] = json!("eu");
    server.put("PUT", "/workspace", document.clone()).await.expect(409);
    document["name"] = json!("main");
    assert_eq!(server.put("PUT", "/workspace", document).await.expect(200).text("name"), "main");
}
