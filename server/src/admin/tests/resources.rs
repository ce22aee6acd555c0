//! Sources, tokens, workspaces, history, and what other parts of the server tell.

use serde_json::json;

use super::*;

#[actix_web::test]
async fn a_source_is_created_read_changed_and_deleted() {
    let server = Server::start();
    let made = server.put("POST", "/sources", json!({"name": "shop"})).await.expect(201);
    let (id, key) = (made.text("id"), made.text("write_key"));
    assert_eq!((id.as_str(), &made.body["enabled"]), ("src_3", &json!(true)));
    assert_eq!(made.body["created_at"], "2026-09-21T14:13:20.000Z");
    let path = format!("/sources/{id}");
    assert_eq!(server.get(&path).await.expect(200).body, made.body);
    assert_eq!(server.get("/sources").await.expect(200).body["data"][1], made.body);
    let changed = server.put("PATCH", &path, json!({"enabled": false, "name": "store"})).await.expect(200);
    assert_eq!((&changed.body["enabled"], &changed.body["name"]), (&json!(false), &json!("store")));
    assert_eq!(changed.text("write_key"), key);
    let taken = json!({"name": "copy", "write_key": key});
    let answer = server.put("POST", "/sources", taken).await.expect(409);
    assert!(!answer.message().contains(&key), "{}", answer.body);
    let own =
        server.put("POST", "/sources", json!({"name": "old", "write_key": "kept-key"})).await.expect(201);
    assert_eq!(own.text("write_key"), "kept-key");
    server.delete(&path).await.expect(204);
    server.get(&path).await.expect(404);
    server.delete(&path).await.expect(404);
    server.put("PATCH", "/sources/7", json!({})).await.expect(404);
}

#[actix_web::test]
async fn a_token_is_shown_once_and_gives_no_more_than_its_creator_has() {
    let server = Server::start();
    let body = json!({"name": "script", "scopes": ["admin:write", "admin:read", "admin:read"]});
    let made = server.put("POST", "/tokens", body).await.expect(201);
    let (id, token) = (made.text("id"), made.text("token"));
    assert!(token.starts_with("trb_"));
    assert_eq!(made.body["scopes"], json!(["admin:read", "admin:write"]));
    let path = format!("/tokens/{id}");
    let read = server.get(&path).await.expect(200);
    assert_eq!(read.body.get("token"), None);
    assert!(!server.get("/tokens").await.expect(200).body.to_string().contains(&token));

    let grant = |scopes: Value| {
        request("POST", "/tokens", &token).set_json(json!({"name": "more", "scopes": scopes}))
    };
    server.send(grant(json!(["admin:read"]))).await.expect(201);
    server.send(grant(json!(["profiles:read"]))).await.expect(403);
    server.send(grant(json!(["workspaces:write"]))).await.expect(403);
    server.send(grant(json!([]))).await.expect(400);
    server.send(grant(json!(["everything"]))).await.expect(400);
    server.put("POST", "/tokens", json!({"name": "x", "scopes": ["workspaces:write"]})).await.expect(403);

    let changed = server.put("PATCH", &path, json!({"scopes": ["admin:read"]})).await.expect(200);
    assert_eq!(changed.body["scopes"], json!(["admin:read"]));
    server.send(grant(json!(["admin:read"]))).await.expect(403);
    server.delete(&path).await.expect(204);
    server.send(request("GET", "/sources", &token)).await.expect(401);
}

#[actix_web::test]
async fn the_first_token_stays() {
    let server = Server::start();
    let first = server.get("/tokens").await.body["data"][0]["id"].as_str().expect("an id").to_owned();
    let path = format!("/tokens/{first}");
    let answer = server.delete(&path).await.expect(409);
    assert!(answer.message().contains("TRIBUTARY_ADMIN_TOKEN"), "{}", answer.body);
    server.put("PATCH", &path, json!({"scopes": ["admin:read"]})).await.expect(409);
    server.put("PATCH", &path, json!({"name": "root"})).await.expect(200);
}

#[actix_web::test]
async fn a_workspace_has_its_own_token_and_source() {
    let server = Server::start();
    let made = server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(201);
    let (id, token) = (made.text("id"), made.text("token"));
    assert_eq!(id, "ws_2");
    let own = server.send(request("GET", "/sources", &token)).await.expect(200);
    assert_eq!(own.body["data"][0]["write_key"], made.body["write_key"]);
    assert_eq!(own.body["data"].as_array().map(Vec::len), Some(1));
    server.send(request("GET", "/workspaces", &token)).await.expect(403);
    assert_eq!(server.get("/workspaces").await.expect(200).body["data"].as_array().map(Vec::len), Some(2));
    assert_eq!(server.get("/workspaces/eu").await.expect(200).text("id"), id);

    server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(409);
    server.put("POST", "/workspaces", json!({"name": "E U"})).await.expect(400);
    let renamed = server.put("PATCH", "/workspaces/ws_2", json!({"name": "europe"})).await.expect(200);
    assert_eq!((renamed.text("name"), renamed.header("etag")), ("europe".to_owned(), Some("\"2\"")));
    let stale = server.request("DELETE", "/workspaces/ws_2").insert_header(("if-match", "\"1\""));
    server.send(stale).await.expect(412);
    server.delete("/workspaces/europe").await.expect(204);
    server.send(request("GET", "/sources", &token)).await.expect(401);
    server.get("/workspaces/ws_2").await.expect(404);
    server.delete("/workspaces/ws_1").await.expect(409);
    assert_eq!(server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(201).text("id"), "ws_3");
}

#[actix_web::test]
async fn the_history_tells_who_changed_what_and_when() {
    let server = Server::start();
    for name in ["a", "b", "c"] {
        server.put("POST", "/sources", json!({"name": name})).await.expect(201);
    }
    let page = server.get("/workspace/versions?limit=3").await.expect(200);
    let row = &page.body["data"][0];
    assert_eq!((&row["version"], &row["change"]), (&json!(4), &json!("source src_5 created")));
    assert_eq!(row["by"], json!({"kind": "token", "workspace": "ws_1", "token": "tok_2", "name": "first"}));
    assert_eq!(page.body["cursor"], json!({"has_more": true, "limit": 3, "next": "2"}));
    let rest = server.get("/workspace/versions?limit=3&cursor=2").await.expect(200);
    assert_eq!(rest.body["data"][0]["by"], json!({"kind": "first_start"}));
    assert_eq!(rest.body["cursor"], json!({"has_more": false, "limit": 3}));
    for query in ["limit=0", "limit=201", "limit=x", "cursor=x", "page=2", "message_id=m"] {
        server.get(&format!("/workspace/versions?{query}")).await.expect(400);
    }
}

#[actix_web::test]
async fn other_parts_are_asked_with_the_callers_workspace() {
    let server = Server::start();
    let found = server.get("/rejects?message_id=m%201&limit=7&cursor=c").await.expect(200);
    let row = &found.body["data"][0];
    assert_eq!((&row["message_id"], &row["message"]), (&json!("m 1"), &json!("ws_1 7 Some(\"c\")")));
    assert!(row.to_string().contains("9007199254740993"), "numbers stay as they were sent: {row}");
    assert_eq!(found.body["cursor"], json!({"has_more": true, "limit": 7, "next": "more"}));
    server.get("/rejects?cursor=bad").await.expect(400);
    server.get("/destinations/dst_9/dead-letters").await.expect(404);
    let answer = server.send(server.request("POST", "/snapshots")).await.expect(503);
    assert_eq!((answer.message(), answer.header("retry-after")), ("the state not ready yet", Some("1")));
}
