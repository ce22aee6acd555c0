//! Destinations: their settings, their secrets, off and on.

use serde_json::json;

use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn webhook() -> Value {
    json!({"definition": "webhook", "name": "hook",
        "settings": {"url": "https://example.com/hook", "secret": SECRET}})
}

impl Server {
    /// The settings as the engine gets them.
    fn settings(&self) -> tributary_destinations::RawSettings {
        let snapshot = self.admin.store.snapshot();
        let workspace = &snapshot.workspaces()[0];
        unsealed(&self.admin.editor.sealing, workspace.id, &workspace.destinations[0]).expect("it opens")
    }
}

#[actix_web::test]
async fn a_secret_is_sealed_at_rest_and_never_returned() {
    let server = Server::start();
    let made = server.put("POST", "/destinations", webhook()).await.expect(201);
    assert_eq!(made.body["settings"], json!({"secret": MASK, "url": "https://example.com/hook"}));
    assert_eq!((made.text("id").as_str(), &made.body["enabled"]), ("dst_3", &json!(true)));
    assert_eq!(made.body["created_version"], 2);
    assert_eq!(server.settings()["secret"], SECRET);
    for path in ["/destinations", "/destinations/dst_3", "/workspace", "/workspace/versions"] {
        assert!(!server.get(path).await.expect(200).body.to_string().contains(SECRET), "{path}");
    }
    let entries = tributary_eventlog::EventLog::read(&*server.log, 0, usize::MAX).expect("readable");
    let find = |bytes: &[u8]| bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
    assert!(!entries.iter().any(|entry| find(&entry.bytes)), "the log holds no secret");
    for file in std::fs::read_dir(server.dir.path().join("workspaces/1")).expect("a directory") {
        let bytes = std::fs::read(file.expect("an entry").path()).expect("readable");
        assert!(!find(&bytes), "no file holds a secret");
    }
}

#[actix_web::test]
async fn what_a_definition_does_not_take_is_refused_and_told_where() {
    let server = Server::start();
    let url = "https://example.com/";
    let cases = [
        ("unknown definition", json!({"definition": "fax", "name": "x"}), "there is no definition \"fax\""),
        ("no definition", json!({"name": "x"}), "missing field `definition`"),
        ("no name", json!({"definition": "webhook"}), "missing field `name`"),
        ("unknown member", json!({"definition": "webhook", "name": "x", "on": true}), "unknown field `on`"),
        ("no settings", json!({"definition": "webhook", "name": "x"}), "`settings.url` is required"),
        (
            "settings of a wrong type",
            json!({"definition": "webhook", "name": "x", "settings": []}),
            "`settings`: expected an object",
        ),
        (
            "unknown setting",
            settings(json!({"url": url, "color": "red"})),
            "`settings.color` is not a setting",
        ),
        ("wrong type", settings(json!({"url": 7})), "`settings.url` must be text"),
        ("no url", settings(json!({"url": "example"})), "`settings.url` must be"),
        ("bad secret", settings(json!({"url": url, "secret": "x"})), "`settings.secret` must be"),
        (
            "secret of a wrong type",
            settings(json!({"url": url, "secret": [1]})),
            "`settings.secret` must be text",
        ),
        ("a mask for nothing", settings(json!({"url": url, "secret": MASK})), "`settings.secret` is masked"),
    ];
    for (name, body, part) in cases {
        let answer = server.put("POST", "/destinations", body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request"), "{name}");
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
    }
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

fn settings(settings: Value) -> Value {
    json!({"definition": "webhook", "name": "x", "settings": settings})
}

#[actix_web::test]
async fn settings_are_changed_one_by_one() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook()).await.expect(201);
    let patch = |settings: Value| json!({"settings": settings});
    let path = "/destinations/dst_3";
    let changed = server.put("PATCH", path, patch(json!({"method": "PUT"}))).await.expect(200);
    let url = "https://example.com/hook";
    assert_eq!(changed.body["settings"], json!({"secret": MASK, "url": url, "method": "PUT"}));
    assert_eq!(server.settings()["secret"], SECRET, "a secret that is not sent stays");
    for unchanged in [json!({"secret": MASK}), json!({"secret": SECRET}), json!({})] {
        let answer = server.put("PATCH", path, patch(unchanged)).await.expect(200);
        assert_eq!(answer.header("etag"), Some("\"3\""), "what changes nothing makes no version");
    }
    let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    server.put("PATCH", path, patch(json!({"secret": other}))).await.expect(200);
    assert_eq!(server.settings()["secret"], other);
    let answer = server.put("PATCH", path, patch(json!({"secret": null}))).await.expect(200);
    assert_eq!(answer.body["settings"], json!({"url": url, "method": "PUT"}));
    let elsewhere = json!({"url": "https://example.com/other", "method": null});
    let answer = server.put("PATCH", path, patch(elsewhere)).await.expect(200);
    assert_eq!(answer.body["settings"], json!({"url": "https://example.com/other"}));
    server.put("PATCH", path, patch(json!({"url": null}))).await.expect(400);
    server.put("PATCH", path, json!({"definition": "webhook"})).await.expect(400);
    let history = server.get("/workspace/versions").await.expect(200).body.to_string();
    assert!(history.contains("destination dst_3 given settings (secret)"), "{history}");
}

#[actix_web::test]
async fn saved_secrets_stay_where_they_were_given_for() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook()).await.expect(201);
    let url = "https://example.org/";
    let document = server.get("/workspace").await.expect(200).body;
    let mut elsewhere = document.clone();
    elsewhere["destinations"][0]["settings"]["url"] = json!(url);
    let cases = [
        ("PATCH", "/destinations/dst_3", json!({"settings": {"url": url}}), "settings.secret"),
        (
            "PATCH",
            "/destinations/dst_3",
            json!({"settings": {"url": url, "secret": MASK}}),
            "settings.secret",
        ),
        ("PUT", "/workspace", elsewhere.clone(), "destinations[0].settings.secret"),
    ];
    for (method, path, body, place) in cases {
        let refused = server.put(method, path, body).await.expect(400);
        assert_eq!(refused.body["error"]["place"], place, "{}", refused.body);
        let message = "`settings.secret` has to be sent anew: `settings.url` changes where requests go";
        assert!(refused.message().ends_with(message), "{}", refused.body);
    }
    assert_eq!(server.get("/workspace").await.expect(200).body, document);
    elsewhere["destinations"][0]["settings"]["secret"] = json!(SECRET);
    server.put("PUT", "/workspace", elsewhere).await.expect(200);
    assert_eq!((&server.settings()["url"], &server.settings()["secret"]), (&json!(url), &json!(SECRET)));
}

#[actix_web::test]
async fn addresses_that_are_never_reached_are_refused() {
    let server = Server::start();
    let database = |host: &str, encryption: &str| {
        json!({"definition": "postgresql", "name": "x", "settings": {"host": host, "database": "d", "user": "u",
            "password": "p", "encryption": encryption}})
    };
    let cases = [
        (settings(json!({"url": "http://example.com/"})), "settings.url"),
        (settings(json!({"url": "http://127.0.0.1:9/"})), "settings.url"),
        (settings(json!({"url": "https://192.168.0.7/"})), "settings.url"),
        (settings(json!({"url": "https://169.254.169.254/"})), "settings.url"),
        (settings(json!({"url": "https://ada:pass@example.com/"})), "settings.url"),
        (database("10.0.0.1", "verify_full"), "settings.host"),
        (database("db.example.com", "none"), "settings.encryption"),
    ];
    for (body, place) in cases {
        for path in ["/destinations", "/destinations/test"] {
            let refused = server.put("POST", path, body.clone()).await.expect(400);
            assert_eq!(refused.body["error"]["place"], place, "{path} {body}: {}", refused.body);
        }
    }
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

#[actix_web::test]
async fn off_parks_and_on_resumes_there_or_from_now() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook()).await.expect(201);
    let path = "/destinations/dst_3";
    let cases = [
        ("off", json!({"enabled": false}), false, json!(null), 3),
        ("on where it was parked", json!({"enabled": true}), true, json!(null), 4),
        ("off again", json!({"enabled": false, "name": "h"}), false, json!(null), 5),
        ("on, said in full", json!({"enabled": true, "resume": "parked"}), true, json!(null), 6),
        ("off once more", json!({"enabled": false}), false, json!(null), 7),
        ("on from now", json!({"enabled": true, "resume": "now"}), true, json!(8), 8),
    ];
    for (name, body, enabled, resumed, version) in cases {
        let answer = server.put("PATCH", path, body).await.expect(200);
        assert_eq!(answer.body["enabled"], enabled, "{name}");
        assert_eq!(answer.body["resumed_version"], resumed, "{name}");
        assert_eq!(answer.header("etag"), Some(format!("\"{version}\"").as_str()), "{name}");
    }
    let again = server.put("PATCH", path, json!({"enabled": true, "resume": "now"})).await.expect(409);
    assert!(again.message().contains("for switching on"), "what waits is not passed over: {}", again.body);
    for body in [
        json!({"resume": "now"}),
        json!({"enabled": false, "resume": "now"}),
        json!({"enabled": true, "resume": "later"}),
        json!({"enabled": "yes"}),
    ] {
        server.put("PATCH", path, body).await.expect(400);
    }
}

#[actix_web::test]
async fn dead_letters_are_those_of_the_destination() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook()).await.expect(201);
    let found = server.get("/destinations/dst_3/dead-letters?limit=5").await.expect(200);
    assert_eq!(found.body["data"][0]["delivery_id"], "dst_3");
    assert_eq!(found.body["cursor"], json!({"has_more": false, "limit": 5}));
    server.delete("/destinations/dst_3").await.expect(204);
    server.get("/destinations/dst_3/dead-letters").await.expect(404);
    server.get("/destinations/dst_3").await.expect(404);
}

#[actix_web::test]
async fn there_are_only_so_many() {
    let limits = AdminSettings { destinations_max: 1, sources_max: 2, tokens_max: 2, ..Default::default() };
    let server = Server::with(limits);
    server.put("POST", "/destinations", webhook()).await.expect(201);
    let answer = server.put("POST", "/destinations", webhook()).await.expect(409);
    assert!(answer.message().contains("limit"), "{}", answer.body);
    server.put("POST", "/sources", json!({"name": "a"})).await.expect(201);
    server.put("POST", "/sources", json!({"name": "b"})).await.expect(409);
    server.put("POST", "/tokens", json!({"name": "a", "scopes": ["admin:read"]})).await.expect(201);
    server.put("POST", "/tokens", json!({"name": "b", "scopes": ["admin:read"]})).await.expect(409);
}
