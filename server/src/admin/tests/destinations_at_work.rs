//! Destinations at work: how they stand, tries, replays, deliveries; what is asked of the engine, and what is told.

use serde_json::json;
use tributary_destinations::deliveries::DeliveryState;
use tributary_destinations::engine::{PreviewOf, PreviewOrder};
use tributary_destinations::failure::Reason;
use tributary_destinations::replay::ReplayOnly;
use tributary_destinations::{DestinationConfig, DestinationStatus, PauseReason};
use tributary_model::outcome::Outcome;

use super::super::destinations::queries::event_of;
use super::fixed_engine::paused;
use super::*;

const PATH: &str = "/destinations/dst_3";
const KEY: &str = "xoxb-a-very-secret-key";

/// A server with a webhook whose headers are secret.
async fn furnished() -> Server {
    let server = Server::start();
    let body = json!({"definition": "webhook", "name": "hook",
        "settings": {"url": "https://example.com/hook", "headers": {"x-api-key": KEY}}});
    server.put("POST", "/destinations", body).await.expect(201);
    server
}

impl Server {
    fn destination_stands(&self, status: DestinationStatus) {
        self.others.engine.statuses.lock().expect("not poisoned").insert(DestinationId(3), status);
    }

    fn last_tried(&self) -> (DestinationConfig, Option<PreviewOrder>) {
        self.others.engine.tried.lock().expect("not poisoned").last().expect("something was tried").clone()
    }
}

#[actix_web::test]
async fn how_a_destination_stands_is_told_with_it() {
    let server = furnished().await;
    let broken =
        DestinationStatus { enabled: true, problem: Some("no way".to_owned()), ..Default::default() };
    let cases = [
        ("unknown yet", None, "on", json!(null), vec![]),
        (
            "at work",
            Some(DestinationStatus { enabled: true, ..Default::default() }),
            "on",
            json!(null),
            vec![],
        ),
        ("broken", Some(broken), "broken", json!("no way"), vec!["broken"]),
        ("out", Some(paused(PauseReason::Outage)), "paused", json!(null), vec!["paused_outage"]),
        (
            "refused",
            Some(paused(PauseReason::Credentials)),
            "paused",
            json!(null),
            vec!["paused_credentials"],
        ),
    ];
    for (name, status, state, problem, alarms) in cases {
        if let Some(status) = status {
            server.destination_stands(status);
        }
        let shown = server.get(PATH).await.expect(200).body;
        assert_eq!((&shown["state"], &shown["problem"]), (&json!(state), &problem), "{name}");
        assert_eq!(server.get("/destinations").await.expect(200).body["data"][0]["state"], state, "{name}");
        let all = server.get("/destinations/status").await.expect(200).body;
        assert_eq!(all["data"][0], server.get(&format!("{PATH}/status")).await.expect(200).body, "{name}");
        let kinds: Vec<_> =
            all["alarms"].as_array().expect("alarms").iter().map(|row| &row["kind"]).collect();
        assert_eq!(kinds, alarms, "{name}");
    }
    let status = server.get(&format!("{PATH}/status")).await.expect(200).body;
    assert_eq!(
        status["paused"]["failure"],
        json!({"code": "unauthorized", "message": "the credentials are refused", "status": 401})
    );
    assert_eq!((&status["cursor"], &status["totals"]), (&json!(7), &json!({"taken": 0, "ended": {}})));
    let off = server.put("PATCH", PATH, json!({"enabled": false})).await.expect(200).body;
    assert_eq!(off["state"], "off", "whatever it was before");
    server.get("/destinations/dst_9/status").await.expect(404);
}

#[actix_web::test]
async fn what_is_mended_is_told_with_the_change_that_mends_it() {
    let server = furnished().await;
    let vip = json!({"key": "vip", "definition": "traits.plan = \"pro\""});
    server.put("POST", "/audiences", vip).await.expect(201);
    let filter = json!({"name": "f", "condition": "profile.audiences.vip = true", "action": {"drop": {}}});
    server.put("PATCH", PATH, json!({"filters": [filter]})).await.expect(200);
    server.delete("/audiences/vip?force=true").await.expect(204);
    let snapshot = server.admin.store.snapshot();
    let workspace = &snapshot.workspaces()[0];
    let problem = server.admin.editor.problem(workspace, &workspace.destinations[0]).expect("vip is gone");
    let stands = |problem: &str| {
        let problem = Some(problem.to_owned());
        server.destination_stands(DestinationStatus { enabled: true, problem, ..Default::default() });
    };
    stands(&problem);
    let cases = [
        (json!({"name": "renamed"}), "broken", json!(problem)),
        (json!({"enabled": false}), "off", json!(problem)),
        (json!({"enabled": true}), "broken", json!(problem)),
        (json!({"filters": []}), "on", json!(null)),
    ];
    for (patch, state, want) in cases {
        let told = server.put("PATCH", PATH, patch.clone()).await.expect(200).body;
        assert_eq!((&told["state"], &told["problem"]), (&json!(state), &want), "{patch}");
    }
    // What is not about how it is set up stays.
    stands("the log can't be read");
    let told = server.put("PATCH", PATH, json!({"filters": [], "name": "other"})).await.expect(200).body;
    assert_eq!((&told["state"], &told["problem"]), (&json!("broken"), &json!("the log can't be read")));
}

#[actix_web::test]
async fn what_retention_will_take_is_an_alarm() {
    let server = furnished().await;
    type Case = (&'static str, f64, Option<DestinationStatus>, bool, &'static [&'static str]);
    let cases: [Case; 5] = [
        ("enough is left", 0.79, None, true, &[]),
        ("little is left", 0.8, None, true, &["retention"]),
        ("beside a pause", 1.0, Some(paused(PauseReason::Outage)), true, &["paused_outage", "retention"]),
        ("of one that is off", 0.9, None, false, &["retention"]),
        ("nothing is needed", 0.0, None, false, &[]),
    ];
    for (name, used, status, enabled, alarms) in cases {
        *server.others.engine.retention_used.lock().expect("not poisoned") = used;
        server.put("PATCH", PATH, json!({"enabled": enabled})).await.expect(200);
        if let Some(status) = status {
            server.destination_stands(status);
        }
        let all = server.get("/destinations/status").await.expect(200).body;
        let kinds: Vec<_> =
            all["alarms"].as_array().expect("alarms").iter().map(|row| &row["kind"]).collect();
        assert_eq!(kinds, alarms, "{name}");
        let row = &all["data"][0];
        assert_eq!(row["retention_warning"], alarms.contains(&"retention"), "{name}");
        assert_eq!(row["retention_used"], used, "{name}");
    }
}

#[actix_web::test]
async fn parameters_are_refused_where_there_are_none() {
    let server = furnished().await;
    let status = format!("{PATH}/status");
    for path in
        ["/destinations", PATH, status.as_str(), "/destinations/status", "/definitions", "/definitions/slack"]
    {
        let refused = server.get(&format!("{path}?x=1")).await.expect(400);
        assert!(refused.message().contains("unknown field `x`"), "{path}: {}", refused.body);
    }
    server.put("PATCH", &format!("{PATH}?x=1"), json!({"name": "other"})).await.expect(400);
    server.delete(&format!("{PATH}?x=1")).await.expect(400);
    assert_eq!(server.get(PATH).await.expect(200).body["name"], "hook");
}

#[actix_web::test]
async fn only_what_is_paused_is_resumed() {
    let server = furnished().await;
    let path = format!("{PATH}/resume");
    let refused = server.send(server.request("POST", &path)).await.expect(409);
    assert!(refused.message().contains("not paused"), "{}", refused.body);
    server.destination_stands(paused(PauseReason::Credentials));
    server.send(server.request("POST", &path)).await.expect(202);
    assert_eq!(*server.others.engine.resumed.lock().expect("not poisoned"), [DestinationId(3)]);
}

#[actix_web::test]
async fn a_preview_is_told_in_full() {
    let server = furnished().await;
    let path = format!("{PATH}/preview");
    let event = json!({"event": {"type": "track", "event": "x", "userId": "u"}, "profile": {"traits": {"plan": "pro"}}});
    let told = server.put("POST", &path, event).await.expect(200).body;
    assert_eq!((&told["sent"], &told["delivery_id"]), (&json!(false), &json!("msg_1")));
    assert_eq!(told["left_out"], json!({"outcome": "filtered_by_filter", "by": "filter \"no tests\""}));
    assert_eq!(told["payloads"][0]["body"], json!({"n": 1.50}));
    assert_eq!(told["refused"][0]["failure"]["code"], "missing_field");
    assert_eq!(told["requests"][0]["request"]["headers"], json!([{"name": "x-api-key", "value": MASK}]));
    assert_eq!(
        (&told["requests"][0]["response"], &told["requests"][0]["verdicts"]),
        (&json!(null), &json!([]))
    );
    let sent = server.put("POST", &path, json!({"latest": true, "send": true})).await.expect(200).body;
    let verdict = &sent["requests"][0]["verdicts"][0];
    assert_eq!((&verdict["verdict"], &verdict["retry_after_ms"]), (&json!("retry"), &json!(2_000)));
    assert_eq!(sent["requests"][0]["response"], json!({"status": 429, "body": "noted"}));
    for (body, status, part) in [
        (json!({}), 400, "exactly one"),
        (json!({"message_id": "nobody"}), 404, "no such event"),
        (json!({"event": []}), 400, "`event`: the event is no JSON object"),
        (json!({"event": {"type": "page"}}), 400, "`event`: the event has neither"),
        (json!({"latest": true, "settings": {"url": 7}}), 400, "`settings.url` must be text"),
        (
            json!({"latest": true, "filters": [{"name": "f", "condition": "x", "action": {"drop": {}}}]}),
            400,
            "`filters[0].condition`",
        ),
        (json!({"latest": true, "color": "red"}), 400, "unknown field `color`"),
    ] {
        let answer = server.put("POST", &path, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.body);
        assert!(answer.message().contains(part), "{body}: {part} is not in {}", answer.body);
    }
    let reader = json!({"name": "r", "scopes": ["admin:read"]});
    let reader = server.put("POST", "/tokens", reader).await.expect(201).text("token");
    let ask = |body: Value| request("POST", &path, &reader).set_json(body);
    server.send(ask(json!({"latest": true}))).await.expect(200);
    server.send(ask(json!({"latest": true, "send": true}))).await.expect(403);
}

#[actix_web::test]
async fn what_is_not_saved_is_tried_over_what_is() {
    let server = furnished().await;
    let unsaved = json!({"message_id": "m1", "settings": {"url": "https://example.org/"},
        "mappings": [{"name": "m", "action": "send", "fields": {"event": {"@path": "$.traits"}}}],
        "filters": [{"name": "f", "condition": "event = \"x\"", "action": {"drop": {}}}],
        "consent": {"categories": ["ads"]}});
    server.put("POST", &format!("{PATH}/preview"), unsaved).await.expect(200);
    let (config, order) = server.last_tried();
    assert_eq!(
        (&config.settings["url"], &config.settings["headers"]),
        (&json!("https://example.org/"), &json!({"x-api-key": KEY}))
    );
    assert_eq!((config.id, config.filters.len(), config.consent.categories.len()), (DestinationId(3), 1, 1));
    assert_eq!(config.mappings.map(|mappings| mappings[0].id), Some(2));
    assert!(
        order.is_some_and(|order| matches!(order.of, PreviewOf::Message(id) if id == "m1") && !order.send)
    );
    assert_eq!(server.get("/workspace").await.body["version"], 2, "nothing is saved");

    let whole = json!({"definition": "webhook", "settings": {"url": "https://example.org/"}, "latest": true});
    server.put("POST", "/destinations/preview", whole).await.expect(200);
    let (config, _) = server.last_tried();
    assert_eq!((config.id, config.name.as_str(), config.mappings), (DestinationId(4), "webhook", None));
    let fax = json!({"definition": "fax", "latest": true});
    assert!(server.put("POST", "/destinations/preview", fax).await.expect(400).message().contains("fax"));
    let masked = json!({"definition": "webhook", "latest": true, "settings": {"url": "https://x.org/", "secret": MASK}});
    let refused = server.put("POST", "/destinations/preview", masked).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "settings.secret");
}

#[actix_web::test]
async fn saved_secrets_are_not_sent_elsewhere() {
    let server = furnished().await;
    let url = "https://example.org/";
    let (preview, test) = (format!("{PATH}/preview"), format!("{PATH}/test"));
    let cases = [
        ("a test", &test, json!({"settings": {"url": url}}), 400),
        ("a test, masked", &test, json!({"settings": {"url": url, "headers": MASK}}), 400),
        ("a test with another secret", &test, json!({"settings": {"url": url, "headers": {"a": "b"}}}), 200),
        ("a test without a secret", &test, json!({"settings": {"url": url, "headers": null}}), 200),
        ("a test of the same", &test, json!({"settings": {"url": "https://example.com/hook"}}), 200),
        ("a test by another method", &test, json!({"settings": {"method": "PUT"}}), 200),
        (
            "a token from elsewhere",
            &test,
            json!({"settings": {"oauth_token_url": url,
            "oauth_client_id": "c", "oauth_client_secret": "s"}}),
            400,
        ),
        ("shown", &preview, json!({"latest": true, "settings": {"url": url}}), 200),
        ("sent", &preview, json!({"latest": true, "send": true, "settings": {"url": url}}), 400),
        ("sent as it is", &preview, json!({"latest": true, "send": true}), 200),
    ];
    for (name, path, body, status) in cases {
        let answer = server.put("POST", path, body).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        if status == 400 {
            assert_eq!(answer.body["error"]["place"], "settings.headers", "{name}: {}", answer.body);
            assert!(answer.message().contains("has to be sent anew: `settings."), "{name}: {}", answer.body);
        }
    }
}

#[actix_web::test]
async fn settings_are_tested_and_people_deleted() {
    let server = furnished().await;
    let told = server.put("POST", &format!("{PATH}/test"), json!({})).await.expect(200).body;
    assert_eq!((&told["succeeded"], &told["failure"]), (&json!(true), &json!(null)));
    let other = json!({"settings": {"url": "https://example.org/", "headers": {"x-api-key": "other"}}});
    server.put("POST", &format!("{PATH}/test"), other).await.expect(200);
    assert_eq!(server.last_tried().0.settings["url"], "https://example.org/");
    let unsaved = json!({"definition": "webhook", "name": "w", "settings": {"url": "https://example.org/"}});
    server.put("POST", "/destinations/test", unsaved).await.expect(200);
    server.put("POST", "/destinations/test", json!({"definition": "webhook", "name": "w"})).await.expect(400);

    let path = format!("{PATH}/delete_person");
    let person = json!({"identifiers": {"user_id": ["u1"], "email": ["ada@example.com"]}});
    let told = server.put("POST", &path, person).await.expect(200).body;
    assert_eq!((&told["succeeded"], &told["failure"]["code"]), (&json!(false), &json!("server_error")));
    assert_eq!(server.others.engine.deleted.lock().expect("not poisoned")[0]["user_id"], ["u1"]);
    for body in [json!({}), json!({"identifiers": {}}), json!({"identifiers": {"user_id": []}})] {
        server.put("POST", &path, body).await.expect(400);
    }
    let slack =
        json!({"definition": "slack", "name": "s", "settings": {"webhook_url": "https://example.com/s"}});
    let slack = server.put("POST", "/destinations", slack).await.expect(201).text("id");
    let person = json!({"identifiers": {"user_id": ["u1"]}});
    let refused =
        server.put("POST", &format!("/destinations/{slack}/delete_person"), person).await.expect(400);
    assert!(refused.message().contains("slack deletes nobody"), "{}", refused.body);
}

#[actix_web::test]
async fn replays_are_begun_listed_and_cancelled() {
    let server = furnished().await;
    let (replay, replays) = (format!("{PATH}/replay"), format!("{PATH}/replays"));
    assert_eq!(server.get(&replays).await.expect(200).body, json!({"data": []}));
    let order = json!({"from": "2026-01-01T00:00:00Z", "condition": "event = \"x\"", "only": "dead_letters",
        "reason": "timeout", "dry_run": true, "rate_per_second": 5});
    let begun = server.put("POST", &replay, order).await.expect(202).body;
    assert_eq!((&begun["id"], &begun["condition"]), (&json!("1"), &json!("event = \"x\"")));
    let ordered = server.others.engine.orders.lock().expect("not poisoned")[0].clone();
    assert_eq!(ordered.only, ReplayOnly::DeadLetters { reason: Some(Reason::Timeout) });
    assert_eq!((ordered.dry_run, ordered.rate_per_second, ordered.until), (true, Some(5), None));
    server.put("POST", &replay, json!({})).await.expect(409);
    let refused = server.put("POST", &replay, json!({"condition": "event = \"x\""})).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "condition");
    let refused = server.put("POST", &replay, json!({"condition": "event ="})).await.expect(400);
    assert_eq!(
        (&refused.body["error"]["place"], &refused.body["error"]["line"]),
        (&json!("condition"), &json!(1))
    );
    let row = server.get(&format!("{replays}/1")).await.expect(200).body;
    assert_eq!(server.get(&replays).await.expect(200).body["data"][0], row);
    assert_eq!(row["filtered"], json!({"filtered_by_consent": 1}));
    for id in ["2", "x", "01"] {
        server.get(&format!("{replays}/{id}")).await.expect(404);
        server.delete(&format!("{replays}/{id}")).await.expect(404);
    }
    server.delete(&format!("{replays}/1")).await.expect(204);
    assert_eq!(*server.others.engine.cancelled.lock().expect("not poisoned"), [1]);
}

#[actix_web::test]
async fn a_replay_without_room_in_the_queue_says_so() {
    let server = furnished().await;
    let (replay, replays) = (format!("{PATH}/replay"), format!("{PATH}/replays"));
    let far =
        server.put("POST", &replay, json!({"rate_per_second": 1_000_000_000_000_i64})).await.expect(400);
    assert_eq!(far.body["error"]["place"], "rate_per_second");
    assert!(far.body["error"]["message"].as_str().expect("a text").contains("give 1 to 1000000"));
    let stands = |replay_waits_for_room| {
        let known = DestinationStatus { enabled: true, replay_waits_for_room, ..Default::default() };
        server.destination_stands(known);
    };
    stands(true);
    let begun = server.put("POST", &replay, json!({})).await.expect(202).body;
    assert_eq!(begun["waits_for"], "queue");
    stands(false);
    assert_eq!(server.get(&replays).await.expect(200).body["data"][0]["waits_for"], json!(null));
}

#[actix_web::test]
async fn deliveries_are_looked_for() {
    let server = furnished().await;
    let path = format!("{PATH}/deliveries");
    let profile = "07070707070707070707070707070707";
    let cases = [
        (format!("{path}?message_id=m1"), true, None),
        (format!("{path}?message_id=m1&limit=5"), true, None),
        ("/deliveries?message_id=m1".to_owned(), true, None),
        (
            format!("{path}?outcome=dead_letter&reason=timeout&from=2026-01-01T00:00:00Z"),
            false,
            Some(DeliveryState::Ended(Outcome::DeadLetter)),
        ),
        (format!("{path}?message_id=m1&outcome=pending"), true, Some(DeliveryState::Pending)),
        (format!("{path}?profile_id={profile}&until=2026-01-01T00:00:00Z&cursor=1.2.3.4"), false, None),
        (format!("/deliveries?message_id=m1&profile_id={profile}"), false, None),
    ];
    for (asked, is_of_event, state) in cases {
        let found = server.get(&asked).await.expect(200).body;
        assert_eq!(found["cursor"]["next"], "1.2.3.4", "{asked}");
        let query =
            server.others.engine.queries.lock().expect("not poisoned").pop().expect("it was looked for");
        assert_eq!(event_of(&query).is_some(), is_of_event, "{asked}");
        assert_eq!(query.destination.is_none(), asked.starts_with("/deliveries"), "{asked}");
        assert_eq!(query.state, state, "{asked}");
    }
    for asked in [
        "/deliveries".to_owned(),
        "/deliveries?outcome=delivered".to_owned(),
        format!("{path}?outcome=lost"),
        format!("{path}?reason=bad"),
        format!("{path}?profile_id=u1"),
        format!("{path}?limit=0"),
        format!("{path}?from=now"),
        format!("{path}?cursor=bad"),
        format!("{path}?message_id="),
        format!("{path}?color=red"),
    ] {
        server.get(&asked).await.expect(400);
    }
    server.get("/destinations/dst_9/deliveries").await.expect(404);
}

#[actix_web::test]
async fn an_overview_is_of_the_last_day_by_the_hour_where_nothing_is_said() {
    let server = furnished().await;
    let path = format!("{PATH}/overview");
    let told = server.get(&path).await.expect(200).body;
    assert_eq!(told["step"], "hour");
    let at = |member: &str| Timestamp::parse(told[member].as_str().expect("a time")).expect("a time");
    assert_eq!(at("until").micros_since(at("from")), 24 * 3_600_000_000);
    let other = format!("{path}?from=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z&step=minute");
    assert_eq!(server.get(&other).await.expect(200).body["step"], "minute");
    for query in ["step=5m", "from=x", "from=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "since=1"] {
        server.get(&format!("{path}?{query}")).await.expect(400);
    }
    server.get("/destinations/dst_9/overview").await.expect(404);
}
