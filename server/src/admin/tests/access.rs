//! Who may do what, and what every path answers to a request that it can't serve.

use actix_web::http::header::AUTHORIZATION;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tributary_eventlog::AppendError;

use super::super::routes::ENDPOINTS;
use super::*;

#[actix_web::test]
async fn every_endpoint_asks_for_a_token_with_the_scope() {
    let server = Server::start();
    let scopes = json!({"name": "reader", "scopes": ["profiles:read"]});
    let weak = server.put("POST", "/tokens", scopes).await.expect(201).text("token");
    for endpoint in ENDPOINTS {
        let path = endpoint.path.replace("{id}", "src_1").replace("{key}", "lapsed");
        let path = path.replace("{name}", "webhook").replace("{replay}", "1");
        let method = endpoint.method.as_str();
        let place = format!("{method} {path}");
        let none = TestRequest::default().method(endpoint.method.clone()).uri(&format!("{PREFIX}{path}"));
        let answer = server.send(none).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (401, "unauthenticated"), "{place}");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"), "{place}");
        let answer = server.send(request(method, &path, "trb_unknown")).await;
        assert_eq!(answer.status.as_u16(), 401, "{place}");
        let answer = server.send(request(method, &path, &weak)).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (403, "forbidden"), "{place}");
    }
}

#[actix_web::test]
async fn reading_and_changing_are_scopes_of_their_own() {
    let server = Server::start();
    let token = |scope: &str| json!({"name": scope, "scopes": [scope]});
    let reader = server.put("POST", "/tokens", token("admin:read")).await.expect(201).text("token");
    let writer = server.put("POST", "/tokens", token("admin:write")).await.expect(201).text("token");
    let body = json!({"name": "shop"});
    server.send(request("GET", "/sources", &reader)).await.expect(200);
    server.send(request("POST", "/sources", &reader).set_json(&body)).await.expect(403);
    server.send(request("GET", "/sources", &writer)).await.expect(403);
    server.send(request("POST", "/sources", &writer).set_json(&body)).await.expect(201);
    server.send(request("GET", "/workspaces", &writer)).await.expect(403);
    server.send(request("POST", "/snapshots", &writer)).await.expect(403);
}

#[actix_web::test]
async fn the_token_may_be_the_user_of_basic_authentication() {
    let server = Server::start();
    let basic = format!("Basic {}", STANDARD.encode(format!("{}:", server.token)));
    let request = TestRequest::get().uri("/admin/v1/sources").insert_header((AUTHORIZATION, basic));
    server.send(request).await.expect(200);
}

#[actix_web::test]
async fn unknown_paths_and_methods_are_answered_in_json() {
    let server = Server::start();
    let answer = server.get("/nothing").await.expect(404);
    assert_eq!(answer.code(), "not_found");
    let answer = server.put("PUT", "/sources", json!({})).await.expect(405);
    assert_eq!((answer.code(), answer.header("allow")), ("method_not_allowed", Some("POST, GET")));
}

#[actix_web::test]
async fn bodies_that_are_wrong_are_told_where() {
    let server = Server::with(AdminSettings { body_bytes_max: 64, ..AdminSettings::default() });
    let large = "x".repeat(65);
    let cases = [
        ("empty", "", 400, "line 1"),
        ("malformed", "{\"name\":", 400, "line 1 column 8"),
        ("an array", "[1]", 400, "expected a JSON object"),
        ("unknown member", r#"{"name":"x","nmae":"y"}"#, 400, "unknown field `nmae`"),
        ("missing member", "{}", 400, "missing field `name`"),
        ("wrong type", r#"{"name":7}"#, 400, "expected a string"),
        ("not utf-8", "\u{0}", 400, "line 1"),
        ("blank name", r#"{"name":"  "}"#, 400, "`name`"),
        ("write key", r#"{"name":"x","write_key":"a:b"}"#, 400, "`write_key`"),
        ("too large", large.as_str(), 413, "64 bytes"),
    ];
    for (name, body, status, part) in cases {
        let answer = server.send(server.request("POST", "/sources").set_payload(body.to_owned())).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
    }
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

#[actix_web::test]
async fn a_change_that_the_log_refuses_is_answered_with_503() {
    let server = Server::start();
    server.log.set_refusal(Some(AppendError::NoSpace { free_bytes: 1, mark_bytes: 2 }));
    let answer = server.put("POST", "/sources", json!({"name": "shop"})).await.expect(503);
    assert_eq!((answer.code(), answer.header("retry-after")), ("unavailable", Some("10")));
    assert_eq!(server.get("/sources").await.body["data"].as_array().map(Vec::len), Some(1));
}

#[actix_web::test]
async fn if_match_guards_every_change() {
    let server = Server::start();
    let etag = server.get("/workspace").await.header("etag").map(str::to_owned).expect("a version");
    assert_eq!(etag, "\"1\"");
    let change = |etag: &str| {
        let body = json!({"name": "shop"});
        server.request("POST", "/sources").insert_header(("if-match", etag.to_owned())).set_json(body)
    };
    let answer = server.send(change(&etag)).await.expect(201);
    assert_eq!(answer.header("etag"), Some("\"2\""));
    let answer = server.send(change(&etag)).await.expect(412);
    assert_eq!(answer.code(), "precondition_failed");
    assert!(answer.message().contains("version 2"), "{}", answer.body);
    server.send(change("*")).await.expect(201);
    server.send(change("soon")).await.expect(400);
}
