//! Secrets that are sent masked, as a whole and in part, and tests of settings that are not saved.

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

/// Previews and records of attempts show URLs and headers in that form.
#[actix_web::test]
async fn what_is_masked_in_part_is_refused() {
    let server = Server::start();
    let url = "https://hooks.example.com/services/T0001/B0001/verysecretpart";
    let slack = |url: &str| json!({"definition": "slack", "name": "s", "settings": {"webhook_url": url}});
    server.put("POST", "/destinations", slack(url)).await.expect(201);
    let open = |settings: Value| json!({"definition": "webhook", "name": "w", "settings": settings});
    let hook =
        open(json!({"url": "https://example.com/hook", "headers": {"authorization": "Bearer s3cret"}}));
    server.put("POST", "/destinations", hook).await.expect(201);
    let (masked, place) = (format!("https://hooks.example.com/{MASK}"), "settings.webhook_url");
    let settings = json!({"settings": {"webhook_url": masked}});
    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["settings"]["webhook_url"] = json!(masked);
    let (test, preview) = (format!("{PATH}/test"), format!("{PATH}/preview"));
    let tried = json!({"settings": settings["settings"], "latest": true});
    let headers = json!({"settings": {"headers": {"x-two": "b", "authorization": format!("Bearer {MASK}")}}});
    let open_url = open(json!({"url": masked}));
    let password =
        json!({"url": "https://example.com/", "basic_user": "u", "basic_password": format!(" {MASK}")});
    let kept = format!("send the whole value, or {MASK} alone to keep it");
    let whole = "send the whole value";
    let cases = [
        ("PATCH", PATH, settings.clone(), place, kept.as_str()),
        ("POST", test.as_str(), settings, place, kept.as_str()),
        ("POST", preview.as_str(), tried, place, kept.as_str()),
        ("PUT", "/workspace", document, "destinations[0].settings.webhook_url", kept.as_str()),
        ("POST", "/destinations", slack(&masked), place, whole),
        ("POST", "/destinations/test", slack(&masked), place, whole),
        ("POST", "/destinations", open_url, "settings.url", whole),
        ("POST", "/destinations", open(password), "settings.basic_password", whole),
        ("PATCH", "/destinations/dst_4", headers, "settings.headers.authorization", kept.as_str()),
    ];
    let before = server.get("/workspace").await.expect(200).body;
    for (method, path, body, place, advice) in cases {
        let refused = server.put(method, path, body).await.expect(400);
        assert_eq!(refused.body["error"]["place"], place, "{path}: {}", refused.body);
        let told = format!("`{}` is masked in part; {advice}", place.trim_start_matches("destinations[0]."));
        assert!(refused.message().ends_with(&told), "{path}: {}", refused.body);
    }
    assert_eq!(server.get("/workspace").await.expect(200).body, before, "nothing was changed");
    let alone = json!({"settings": {"webhook_url": MASK}});
    let same = server.put("PATCH", PATH, alone).await.expect(200);
    assert_eq!(same.header("etag"), Some("\"3\""), "it is kept");
}

#[actix_web::test]
async fn what_is_no_setting_is_refused_without_a_value_too() {
    let server = Server::start();
    let body = |settings: Value| json!({"definition": "webhook", "name": "hook", "settings": settings});
    let url = "https://example.com/hook";
    server.put("POST", "/destinations", body(json!({"url": url, "method": null}))).await.expect(201);
    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["settings"]["nope"] = json!(null);
    let patch = json!({"settings": {"nope": null}});
    let test = format!("{PATH}/test");
    let cases = [
        ("POST", "/destinations", body(json!({"url": url, "nope": null})), ""),
        ("POST", "/destinations/test", body(json!({"url": url, "nope": null})), ""),
        ("PATCH", PATH, patch.clone(), ""),
        ("POST", test.as_str(), patch, ""),
        ("PUT", "/workspace", document, "destinations[0]."),
    ];
    for (method, path, body, before) in cases {
        let refused = server.put(method, path, body).await.expect(400);
        assert_eq!(refused.body["error"]["place"], format!("{before}settings.nope"), "{path}");
        assert!(refused.message().contains("`settings.nope` is not a setting of webhook"), "{path}");
    }
    server.put("PATCH", PATH, json!({"settings": {"method": null}})).await.expect(200);
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
