//! Secret headers of which some are sent masked, and tests of settings that are not saved.

use serde_json::json;

use super::*;

const PATH: &str = "/destinations/dst_3";

#[actix_web::test]
async fn a_masked_header_keeps_its_value() {
    let server = Server::start();
    let url = "https://example.com/hook";
    let body = |settings: Value| json!({"definition": "webhook", "name": "hook", "settings": settings});
    let masked = json!({"url": url, "headers": {"X-Api-Key": MASK}});
    for path in ["/destinations", "/destinations/test"] {
        let refused = server.put("POST", path, body(masked.clone())).await.expect(400);
        assert_eq!(refused.body["error"]["place"], "settings.headers.X-Api-Key", "{path}: {}", refused.body);
    }
    let made = json!({"url": url, "headers": {"x-api-key": "a-very-secret-key", "x-shop": "main"}});
    server.put("POST", "/destinations", body(made)).await.expect(201);
    let opened = || {
        let snapshot = server.admin.store.snapshot();
        let workspace = &snapshot.workspaces()[0];
        let opened = unsealed(&server.admin.editor.sealing, workspace.id, &workspace.destinations[0]);
        opened.expect("it opens")["headers"].clone()
    };
    let headers = |headers: Value| json!({"settings": {"headers": headers}});
    let kept = json!({"X-Api-Key": MASK, "x-two": "b"});
    let changed = server.put("PATCH", PATH, headers(kept.clone())).await.expect(200);
    assert_eq!(changed.body["settings"]["headers"], MASK);
    let both = json!({"X-Api-Key": "a-very-secret-key", "x-two": "b"});
    assert_eq!(opened(), both);
    let same = server.put("PATCH", PATH, headers(kept.clone())).await.expect(200);
    assert_eq!(same.header("etag"), Some("\"3\""), "what changes nothing makes no version");
    let refused = server.put("PATCH", PATH, headers(json!({"x-shop": MASK}))).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "settings.headers.x-shop", "{}", refused.body);
    assert!(refused.message().contains("is masked, but no value is known"), "{}", refused.body);

    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["settings"]["headers"] = json!({"x-api-key": MASK, "x-three": MASK});
    let refused = server.put("PUT", "/workspace", document.clone()).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "destinations[0].settings.headers.x-three");
    document["destinations"][0]["settings"]["headers"] = json!({"x-api-key": MASK, "x-three": "c"});
    server.put("PUT", "/workspace", document).await.expect(200);
    assert_eq!(opened(), json!({"x-api-key": "a-very-secret-key", "x-three": "c"}));
}

#[actix_web::test]
async fn a_kept_header_does_not_go_elsewhere() {
    let server = Server::start();
    let settings = json!({"url": "https://example.com/hook", "headers": {"x-api-key": "a-very-secret-key"}});
    let body = json!({"definition": "webhook", "name": "hook", "settings": settings});
    server.put("POST", "/destinations", body).await.expect(201);
    let elsewhere = json!({"url": "https://example.org/", "headers": {"x-api-key": MASK}});
    let patch = json!({"settings": elsewhere});
    let sent = json!({"settings": elsewhere, "latest": true, "send": true});
    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["settings"] = elsewhere.clone();
    let (test, preview) = (format!("{PATH}/test"), format!("{PATH}/preview"));
    let cases = [
        ("PATCH", PATH, patch.clone(), ""),
        ("POST", test.as_str(), patch.clone(), ""),
        ("POST", preview.as_str(), sent, ""),
        ("PUT", "/workspace", document, "destinations[0]."),
    ];
    for (method, path, body, before) in cases {
        let refused = server.put(method, path, body).await.expect(400);
        let place = format!("{before}settings.headers.x-api-key");
        assert_eq!(refused.body["error"]["place"], place, "{path}: {}", refused.body);
        assert!(
            refused.message().contains("has to be sent anew: `settings.url`"),
            "{path}: {}",
            refused.body
        );
    }
    let shown = json!({"settings": elsewhere, "latest": true});
    server.put("POST", &preview, shown).await.expect(200);
    let same = json!({"settings": {"method": "PUT", "headers": {"x-api-key": MASK}}});
    server.put("POST", &test, same).await.expect(200);
}

#[actix_web::test]
async fn a_test_needs_no_name() {
    let server = Server::start();
    let settings = json!({"url": "https://example.com/hook"});
    let bare = json!({"definition": "webhook", "settings": settings});
    let named = json!({"definition": "webhook", "name": "w", "enabled": false, "settings": settings});
    for body in [&bare, &named] {
        server.put("POST", "/destinations/test", body.clone()).await.expect(200);
    }
    let refused = server.put("POST", "/destinations", bare).await.expect(400);
    assert!(refused.message().contains("missing field `name`"), "{}", refused.body);
}
