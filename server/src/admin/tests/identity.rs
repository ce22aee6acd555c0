//! Identity rules, previews, rebuilds, alarms.

use serde_json::json;

use super::super::identity::{BeforeAfter, PreviewReport, PreviewWindow};
use super::*;

const RULES: &str = "/identity-rules";
const PREVIEW: &str = "/identity-rules/preview";

/// The row of a namespace.
fn rule<'a>(rules: &'a Value, name: &str) -> &'a Value {
    let rows = rules["namespaces"].as_array().expect("a list");
    rows.iter().find(|rule| rule["name"] == name).unwrap_or_else(|| panic!("no {name} in {rules}"))
}

#[actix_web::test]
async fn the_default_rules_are_shown_in_full() {
    let server = Server::start();
    let read = server.get(RULES).await.expect(200);
    assert_eq!(read.header("etag"), Some("\"1\""));
    let rules = &read.body;
    let ever = |count: u32| json!({"count": count, "window": "ever"});
    for (name, priority, count) in [("user_id", 1, 1), ("email", 2, 5), ("anonymous_id", 3, 5)] {
        let rule = rule(rules, name);
        assert_eq!((&rule["priority"], &rule["limit"]), (&json!(priority), &ever(count)), "{name}");
        assert_eq!((&rule["blocked"], &rule["blocked_patterns"]), (&json!([]), &json!([])), "{name}");
        assert_eq!((&rule["block_suggested"], &rule["shared_device"]), (&json!(true), &json!("first_owner")));
    }
    assert_eq!(rule(rules, "email")["normalize"], "email");
    assert_eq!(rule(rules, "user_id")["normalize"], "exact");
    for (name, path) in [
        ("email", "traits.email"),
        ("email", "context.traits.email"),
        ("anonymous_id", "anonymousId"),
        ("ios.id", "context.externalIds"),
    ] {
        let from = rule(rules, name)["from"].as_array().expect("a list");
        assert!(from.contains(&json!(path)), "{path} is not in {from:?}");
    }
    let names: Vec<&Value> =
        rules["namespaces"].as_array().expect("a list").iter().map(|rule| &rule["name"]).collect();
    assert!(!names.contains(&&json!("group_id")), "{names:?}");
    assert_eq!((&rules["identifiers_max"], &rules["merges_max"]), (&json!(1_000), &json!(100)));
    assert_eq!(
        rules["alarms"],
        json!({"joins_per_day": 20, "near_cap_percent": 90, "merges_per_hour_min": 50, "merges_jump_factor": 5})
    );
}

#[actix_web::test]
async fn what_was_shown_and_is_sent_back_changes_nothing() {
    let server = Server::start();
    let rules = server.get(RULES).await.expect(200).body;
    let again = server.put("PUT", RULES, rules.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&rules, Some("\"1\"")));
    let written = json!({"merges_max": 7, "namespaces": [
        {"name": "user_id", "limit": 2},
        {"name": "phone", "from": ["traits.phone", {"path": "context.device.phone",
            "when": {"context.device.type": "ios"}}], "normalize": {"phone": {"region": "DE"}},
            "blocked": ["+491700000000"], "blocked_patterns": ["^\\+4917055"], "block_suggested": false},
        {"name": "crm", "from": ["traits.crm"], "priority": 2, "shared_device": "last_sign_in",
            "limit": {"count": 3, "window": "week"}},
    ]});
    let first = server.put("PUT", RULES, written).await.expect(200);
    assert_eq!(first.header("etag"), Some("\"2\""));
    assert_eq!(rule(&first.body, "user_id")["limit"], json!({"count": 2, "window": "ever"}));
    assert_eq!(rule(&first.body, "crm")["priority"], 2);
    assert_eq!(rule(&first.body, "phone")["priority"], 3);
    let again = server.put("PUT", RULES, first.body.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&first.body, Some("\"2\"")));
    assert_eq!(server.get(RULES).await.expect(200).body, first.body);
    assert_eq!(server.get("/workspace").await.expect(200).body["identity"], first.body);
    let history = server.get("/workspace/versions?limit=1").await.expect(200);
    let change = history.body["data"][0]["change"].as_str().expect("words").to_owned();
    assert!(change.starts_with("identity rules changed (user_id, "), "{change}");
    assert!(change.contains("phone") && change.contains("caps"), "{change}");
}

/// Rules with one namespace `email`, and these members of it.
fn email(mut members: Value) -> Value {
    members["name"] = json!("email");
    json!({"namespaces": [{"name": "user_id"}, members]})
}

/// Rules that can't work, where the refusal says that it is, and a part of why.
fn refused_rules() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let limit = |limit: Value| email(json!({"limit": limit}));
    let twice = json!({"namespaces": [{"name": "email"}, {"name": "email"}]});
    let one_priority = json!({"namespaces": [
        {"name": "email", "priority": 2}, {"name": "user_id"}, {"name": "ios.id", "priority": 2}]});
    vec![
        ("no object", json!([1]), "rules", "no object"),
        ("nothing", json!({}), "namespaces", "is missing"),
        ("no namespaces", json!({"namespaces": []}), "namespaces", "is empty"),
        ("no name", json!({"namespaces": [{"priority": 1}]}), "namespaces[0].name", "is missing"),
        ("no such name", json!({"namespaces": [{"name": "E Mail"}]}), "namespaces[0].name", "is no name"),
        ("our name", json!({"namespaces": [{"name": "profile_id"}]}), "namespaces[0].name", "profiles"),
        ("accounts", json!({"namespaces": [{"name": "group_id"}]}), "namespaces[0].name", "accounts"),
        (
            "one that nobody knows",
            json!({"namespaces": [{"name": "crm"}]}),
            "namespaces[0].from",
            "is missing",
        ),
        ("a namespace twice", twice, "namespaces[1].name", "already"),
        ("unknown member", json!({"namespaces": [], "weight": 1}), "weight", "not known"),
        ("unknown member of a rule", email(json!({"weight": 1})), "namespaces[1].weight", "not known"),
        ("limit 0", limit(json!({"count": 0, "window": "ever"})), "namespaces[1].limit.count", "is 0"),
        ("limit 0 in short", limit(json!(0)), "namespaces[1].limit", "is 0"),
        ("limit below 0", limit(json!({"count": -1})), "namespaces[1].limit.count", "is -1"),
        (
            "unknown window",
            limit(json!({"count": 1, "window": "fortnight"})),
            "namespaces[1].limit.window",
            "not known",
        ),
        ("priority 0", email(json!({"priority": 0})), "namespaces[1].priority", "is 0"),
        ("one priority for two", one_priority, "namespaces[2].priority", "`email`"),
        ("no path", email(json!({"from": ["traits..email"]})), "namespaces[1].from[0]", "empty name"),
        ("no normalization", email(json!({"normalize": "soundex"})), "namespaces[1].normalize", "exact"),
        (
            "no country",
            email(json!({"normalize": {"phone": {"region": "XX"}}})),
            "namespaces[1].normalize.phone.region",
            "no country",
        ),
        (
            "no regex",
            email(json!({"blocked_patterns": ["ok", "("]})),
            "namespaces[1].blocked_patterns[1]",
            "unclosed group",
        ),
        (
            "a regex that explodes",
            email(json!({"blocked_patterns": ["((a{100}){100}){100}"]})),
            "namespaces[1].blocked_patterns[0]",
            "explodes",
        ),
        ("no policy", email(json!({"shared_device": "loudest"})), "namespaces[1].shared_device", "not known"),
        (
            "no identifiers",
            json!({"namespaces": [{"name": "email"}], "identifiers_max": 0}),
            "identifiers_max",
            "is 0",
        ),
    ]
}

#[actix_web::test]
async fn rules_that_cannot_work_are_refused_as_a_whole_and_told_where() {
    let server = Server::start();
    let rules = server.get(RULES).await.expect(200).body;
    for (name, body, place, part) in refused_rules() {
        let put = server.put("PUT", RULES, body.clone()).await;
        let preview = server.put("POST", PREVIEW, json!({"rules": body})).await;
        let places = [format!("`{place}`: "), format!("`rules.{place}`: ")];
        for (answer, place) in [put, preview].into_iter().zip(places) {
            assert_eq!((answer.status.as_u16(), answer.code()), (400, "invalid_request"), "{name}");
            let message = answer.message();
            assert!(
                message.starts_with(&place) && message.contains(part),
                "{name}: {place}{part}: {message}"
            );
        }
    }
    let after = server.get(RULES).await.expect(200);
    assert_eq!((&after.body, after.header("etag")), (&rules, Some("\"1\"")));
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
    assert!(server.others.preview.lock().expect("not poisoned").is_none(), "nothing was tried");
}

#[actix_web::test]
async fn another_version_in_force_is_a_failed_precondition() {
    let server = Server::start();
    let rules = json!({"namespaces": [{"name": "user_id"}]});
    let change = |etag: &str| {
        server.request("PUT", RULES).insert_header(("if-match", etag.to_owned())).set_json(rules.clone())
    };
    let answer = server.send(change("\"7\"")).await.expect(412);
    assert_eq!(answer.code(), "precondition_failed");
    let answer = server.send(change("\"1\"")).await.expect(200);
    assert_eq!(answer.header("etag"), Some("\"2\""));
    server.send(change("\"1\"")).await.expect(412);
}

fn report() -> PreviewReport {
    let number = |before| BeforeAfter { before, after: before + 1 };
    PreviewReport {
        events: 9,
        window: PreviewWindow { from: None, until: None },
        profiles: number(1),
        identifiers: number(3),
        merges: 0,
        splits: 1,
        unidentified: number(5),
        biggest_clusters: Vec::new(),
        busiest_identifiers: Vec::new(),
        samples: Vec::new(),
    }
}

#[actix_web::test]
async fn a_preview_is_waited_for_read_and_stopped() {
    let server = Server::start();
    let order = json!({"rules": {"namespaces": [{"name": "email"}]}, "from": "2026-11-20T10:00:00Z",
        "until": "2026-11-20T12:00:00+01:00", "wait_seconds": 0});
    let running = json!({"id": "prv_1", "state": "running", "read": 3, "of": 7});
    assert_eq!(server.put("POST", PREVIEW, order.clone()).await.expect(202).body, running);
    let asked = server.others.preview.lock().expect("not poisoned").clone().expect("an order").0;
    assert_eq!(asked.rules.namespaces[0].name.as_str(), "email");
    let hours = |from: Timestamp, until: Timestamp| until.micros_since(from) / 3_600_000_000;
    assert_eq!(asked.from.zip(asked.until).map(|(from, until)| hours(from, until)), Some(1));
    let path = format!("{PREVIEW}/prv_1");
    assert_eq!(server.get(&path).await.expect(202).body, running);
    let answer = server.put("POST", PREVIEW, order.clone()).await.expect(409);
    assert_eq!((answer.code(), answer.message()), ("conflict", "preview prv_1 is running"));
    server.delete(&path).await.expect(204);
    server.get(&path).await.expect(404);
    server.delete(&path).await.expect(404);

    *server.others.next_preview.lock().expect("not poisoned") = Some(PreviewState::Done(Arc::new(report())));
    let mut order = order;
    order.as_object_mut().expect("an object").remove("wait_seconds");
    let done = server.put("POST", PREVIEW, order.clone()).await.expect(200);
    assert_eq!((done.text("id"), done.text("state")), ("prv_1".to_owned(), "done".to_owned()));
    assert_eq!(done.body["profiles"], json!({"before": 1, "after": 2}));
    assert_eq!(server.get(&path).await.expect(200).body, done.body);

    let failed = PreviewState::Failed(ErrorCode::Unavailable, "the server is stopping".to_owned());
    *server.others.next_preview.lock().expect("not poisoned") = Some(failed);
    let answer = server.put("POST", PREVIEW, order).await.expect(503);
    assert_eq!((answer.message(), answer.header("retry-after")), ("the server is stopping", Some("5")));
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

#[actix_web::test]
async fn a_preview_that_cannot_be_asked_for_is_told_why() {
    let server = Server::start();
    let with = |name: &str, value: Value| {
        let mut order = json!({"rules": {"namespaces": [{"name": "email"}]}});
        order[name] = value;
        order
    };
    let window = json!({"rules": {"namespaces": [{"name": "email"}]},
        "from": "2026-11-20T10:00:00Z", "until": "2026-11-20T10:00:00Z"});
    let cases = [
        ("no rules", json!({}), "missing field `rules`"),
        ("unknown member", with("till", json!(1)), "unknown field `till`"),
        ("no time", with("from", json!("yesterday")), "`from`"),
        ("an end that is none", with("until", json!("")), "`until`"),
        ("nothing between", window, "`until` has to be later than `from`"),
        ("a long wait", with("wait_seconds", json!(61)), "`wait_seconds` is 61"),
    ];
    for (name, body, part) in cases {
        let answer = server.put("POST", PREVIEW, body).await.expect(400);
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
    }
    assert!(server.others.preview.lock().expect("not poisoned").is_none(), "nothing was tried");
}

#[actix_web::test]
async fn a_preview_belongs_to_its_workspace() {
    let server = Server::start();
    let order = json!({"rules": {"namespaces": [{"name": "email"}]}, "wait_seconds": 0});
    server.put("POST", PREVIEW, order).await.expect(202);
    let other = server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(201).text("token");
    for method in ["GET", "DELETE"] {
        server.send(request(method, &format!("{PREVIEW}/prv_1"), &other)).await.expect(404);
    }
}

#[actix_web::test]
async fn a_rebuild_is_ordered_in_the_name_of_the_caller() {
    let server = Server::start();
    let path = "/identity-rules/rebuild";
    let goes_on = server.send(server.request("POST", path)).await.expect(202);
    assert_eq!(goes_on.body, json!({"state": "running"}));
    let made = Rebuilt { profiles_before: 5, profiles_after: 6, merges: 0, splits: 1 };
    *server.others.rebuilt.lock().expect("not poisoned") = Some(made);
    let done = server.send(server.request("POST", path)).await.expect(200);
    assert_eq!(done.body, json!({"profiles_before": 5, "profiles_after": 6, "merges": 0, "splits": 1}));
    let ordered = server.others.rebuilds.lock().expect("not poisoned").clone();
    assert_eq!(ordered, vec![(WorkspaceId(1), 1, "tok_2 first".to_owned()); 2]);
}

#[actix_web::test]
async fn alarms_are_those_of_the_callers_workspace() {
    let server = Server::start();
    let found = server.get("/identity/alarms?limit=5&cursor=c").await.expect(200);
    assert_eq!(found.body["data"][0]["kind"], "ws_1 5 Some(\"c\")");
    assert_eq!(found.body["data"][0]["identifier"], "email:a@b");
    assert_eq!(found.body["cursor"], json!({"has_more": true, "limit": 5, "next": "7"}));
    server.get("/identity/alarms?cursor=bad").await.expect(400);
    server.get("/identity/alarms?message_id=m").await.expect(400);
}
