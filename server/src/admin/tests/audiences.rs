//! Audiences and computed traits: saved, shown, refused, and what may refer to what.

use serde_json::json;

use super::*;

const PRO: &str = r#"traits.plan = "pro""#;
const SPENT: &str = r#"sum(event("Order Completed").properties.total within 30d)"#;

/// The tree of [`PRO`].
fn pro() -> Value {
    json!({"compare": {"left": {"trait": "plan"}, "operator": "equals", "right": {"value": "pro"}}})
}

fn standing(stage: &'static str, problem: Option<&str>) -> AudienceStanding {
    let since = Some(Timestamp::from_millis(0));
    AudienceStanding { stage, done: 3, total: 7, since, size: 2, problem: problem.map(str::to_owned) }
}

impl Server {
    /// Creates an audience that is right.
    async fn audience(&self, key: &str, definition: &str) -> Answer {
        self.put("POST", "/audiences", json!({"key": key, "definition": definition})).await.expect(201)
    }

    async fn computed(&self, key: &str) -> Answer {
        self.put("POST", "/computed-traits", json!({"key": key, "definition": SPENT})).await.expect(201)
    }

    fn stands(&self, id: u32, standing: AudienceStanding) {
        self.others.standings.lock().expect("not poisoned").insert(AudienceId(id), standing);
    }
}

#[actix_web::test]
async fn an_audience_is_created_read_changed_and_deleted() {
    let server = Server::start();
    let made = server.audience("pro", PRO).await;
    assert_eq!(
        (made.text("id"), made.text("key"), made.text("name")),
        ("aud_3".into(), "pro".into(), "pro".into())
    );
    assert_eq!((&made.body["tree"], &made.body["include_anonymous"]), (&pro(), &json!(false)));
    assert_eq!(
        (made.text("created_at").as_str(), made.header("etag")),
        ("2026-09-21T14:13:20.000Z", Some("\"2\""))
    );
    let waiting =
        json!({"stage": "waiting", "done": 0, "total": 0, "since": null, "size": 0, "problem": null});
    assert_eq!(made.body["status"], waiting);
    assert_eq!(*server.others.read.lock().expect("not poisoned"), [(WorkspaceId(1), 2)], "it was waited for");

    server.stands(3, standing("evaluating", None));
    let path = "/audiences/pro";
    let read = server.get(path).await.expect(200);
    let status = json!({"stage": "evaluating", "done": 3, "total": 7, "since": "1970-01-01T00:00:00.000Z",
        "size": 2, "problem": null});
    assert_eq!(read.body["status"], status);
    assert_eq!(server.get("/audiences").await.expect(200).body["data"], json!([read.body]));
    let again = server.put("PUT", path, read.body.clone()).await.expect(200);
    assert_eq!(
        (&again.body, again.header("etag")),
        (&read.body, Some("\"2\"")),
        "sent back it changes nothing"
    );

    let definition = json!({"not": pro()});
    let put = json!({"definition": definition, "name": "Not pro", "include_anonymous": true});
    let changed = server.put("PUT", path, put).await.expect(200);
    assert_eq!((&changed.body["tree"], changed.text("id")), (&definition, "aud_3".to_owned()));
    assert_eq!(
        (changed.text("name").as_str(), &changed.body["include_anonymous"]),
        ("Not pro", &json!(true))
    );
    let text = json!({"definition": changed.body["definition"]});
    let as_text = server.put("PUT", path, text).await.expect(200);
    assert_eq!((&as_text.body, as_text.header("etag")), (&changed.body, Some("\"3\"")), "both forms are one");
    let stale =
        server.request("PUT", path).insert_header(("if-match", "\"1\"")).set_json(json!({"definition": PRO}));
    server.send(stale).await.expect(412);

    server.delete(path).await.expect(204);
    for method in ["GET", "DELETE"] {
        server.send(server.request(method, path)).await.expect(404);
    }
    server.put("PUT", path, json!({"definition": PRO})).await.expect(404);
    let history = server.get("/workspace/versions?limit=3").await.expect(200);
    let changes: Vec<_> =
        history.body["data"].as_array().expect("rows").iter().map(|row| &row["change"]).collect();
    assert_eq!(
        changes,
        ["audience pro (aud_3) deleted", "audience pro changed", "audience pro (aud_3) created"]
    );
    assert_eq!(server.audience("pro", PRO).await.text("id"), "aud_4", "the new one is another one");
}

#[actix_web::test]
async fn a_computed_trait_is_created_read_changed_and_deleted() {
    let server = Server::start();
    let made = server.computed("spent").await;
    assert_eq!((made.text("id"), made.text("name")), ("trt_3".to_owned(), "spent".to_owned()));
    let of = json!({"kind": "track", "name": "Order Completed", "window": {"within": "30d"}});
    assert_eq!(made.body["tree"], json!({"function": "sum", "of": of, "value": "properties.total"}));
    let path = "/computed-traits/spent";
    assert_eq!(server.get(path).await.expect(200).body, made.body);
    assert_eq!(server.get("/computed-traits").await.expect(200).body["data"], json!([made.body]));
    let again = server.put("PUT", path, made.body.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&made.body, Some("\"2\"")));
    let put = json!({"key": "spent", "name": "Spent", "definition": {"function": "count", "of": {"kind": "track"}}});
    let changed = server.put("PUT", path, put).await.expect(200);
    assert_eq!(
        (changed.text("name").as_str(), &changed.body["tree"]["function"]),
        ("Spent", &json!("count"))
    );
    server.delete(path).await.expect(204);
    server.get(path).await.expect(404);
    server.delete(path).await.expect(404);
}

#[actix_web::test]
async fn a_computed_trait_shows_how_far_the_log_is_read_for_it() {
    let server = Server::start();
    let made = server.computed("spent").await;
    assert_eq!(made.body["status"], json!({"stage": "waiting", "done": 0, "total": 0, "since": null}));
    let standing =
        ComputedStanding { stage: "reading", done: 3, total: 7, since: Some(Timestamp::from_millis(0)) };
    server.others.computed.lock().expect("not poisoned").insert(ComputedTraitId(3), standing);
    let read = server.get("/computed-traits/spent").await.expect(200);
    let status = json!({"stage": "reading", "done": 3, "total": 7, "since": "1970-01-01T00:00:00.000Z"});
    assert_eq!(read.body["status"], status);
    assert_eq!(server.get("/computed-traits").await.expect(200).body["data"], json!([read.body]));
}

#[actix_web::test]
async fn an_audience_that_is_left_is_shown_until_nobody_is_in_it() {
    let server = Server::start();
    assert_eq!(server.get("/audiences").await.expect(200).body, json!({"data": [], "leaving": []}));
    *server.others.leaving.lock().expect("not poisoned") = vec![("gone".to_owned(), 3)];
    let leaving = json!([{"key": "gone", "left": 3}]);
    assert_eq!(server.get("/audiences").await.expect(200).body["leaving"], leaving);
    let missing = server.get("/audiences/gone").await.expect(404);
    assert!(
        missing.message().contains("leaving") && missing.message().contains('3'),
        "{}",
        missing.message()
    );
    let unknown = server.get("/audiences/never").await.expect(404);
    assert!(!unknown.message().contains("leaving"), "{}", unknown.message());
    // A new one of the key is shown, though it waits.
    let again = server.audience("gone", PRO).await;
    assert_eq!(server.get("/audiences/gone").await.expect(200).body, again.body);
}

#[actix_web::test]
async fn a_key_is_a_word_of_its_own() {
    let server = Server::start();
    server.audience("taken", PRO).await;
    server.computed("spent").await;
    let long = "x".repeat(65);
    let cases = [
        ("", 400, "`key`"),
        ("7days", 400, "a letter"),
        ("two words", 400, "a letter"),
        ("größe", 400, "a letter"),
        (&*long, 400, "63"),
        ("audience_key", 400, "reserved"),
        ("Email", 400, "reserved"),
        ("preview", 400, "reserved"),
        ("OR", 400, "reserved"),
        ("taken", 409, "audience taken"),
        ("spent", 409, "computed trait spent"),
    ];
    for (key, status, part) in cases {
        for (path, definition) in [("/audiences", PRO), ("/computed-traits", SPENT)] {
            let answer = server.put("POST", path, json!({"key": key, "definition": definition})).await;
            assert_eq!(answer.status.as_u16(), status, "{key}: {}", answer.body);
            assert!(answer.message().contains(part), "{key}: {part} is not in {}", answer.body);
            assert_eq!(answer.body["error"]["place"], "key", "{key}");
        }
    }
    let put = json!({"key": "other", "definition": PRO});
    let answer = server.put("PUT", "/audiences/taken", put).await.expect(400);
    assert!(answer.message().contains("can't be changed"), "{}", answer.body);
    server.audience(&"x".repeat(64), PRO).await;
}

#[actix_web::test]
async fn what_is_sent_beside_a_definition_is_checked() {
    let server = Server::start();
    server.audience("pro", PRO).await;
    let cases = [
        ("no definition", json!({}), "missing field `definition`", None),
        ("unknown member", json!({"definition": PRO, "colour": 1}), "unknown field `colour`", Some("colour")),
        ("a blank name", json!({"definition": PRO, "name": " "}), "`name`", Some("name")),
        ("another tree", json!({"definition": PRO, "tree": {"not": pro()}}), "`tree` differs", Some("tree")),
        ("another id", json!({"definition": PRO, "id": "aud_9"}), "`id`: audience pro is aud_3", Some("id")),
        ("a number", json!({"definition": 7}), "`definition`", Some("definition")),
    ];
    for (name, body, part, place) in cases {
        let answer = server.put("PUT", "/audiences/pro", body).await.expect(400);
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
        assert_eq!(answer.body["error"]["place"].as_str(), place, "{name}: {}", answer.body);
    }
    assert_eq!(server.get("/workspace").await.body["version"], 2, "nothing was changed");
}

#[actix_web::test]
async fn a_definition_is_refused_with_its_place() {
    let server = Server::start();
    let text = r#"traits.plan = "pro" and median(event("A")) > 1"#;
    let answer = server.put("POST", "/audiences", json!({"key": "x", "definition": text})).await.expect(400);
    let error = &answer.body["error"];
    assert_eq!((&error["code"], &error["line"]), (&json!("invalid_request"), &json!(1)), "{error}");
    let column = error["column"].as_u64().expect("a column");
    assert!(column >= 25, "the rest of the text is right: {error}");
    assert!(answer.message().starts_with(&format!("`definition`, line 1, column {column}: ")), "{error}");
    let wrong =
        json!({"compare": {"left": {"trait": "plan"}, "operator": "resembles", "right": {"value": "pro"}}});
    let tree = json!({"all": [pro(), wrong]});
    let answer = server.put("POST", "/audiences", json!({"key": "x", "definition": tree})).await.expect(400);
    let error = &answer.body["error"];
    assert!(error["place"].as_str().is_some_and(|place| place.starts_with("definition.all[1]")), "{error}");
    assert_eq!((&error["line"], &error["column"]), (&Value::Null, &Value::Null), "{error}");
    let computed = json!({"key": "x", "definition": PRO});
    let answer = server.put("POST", "/computed-traits", computed).await.expect(400);
    assert!(answer.message().starts_with("`definition`"), "{}", answer.body);
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

#[actix_web::test]
async fn references_are_to_what_is_there_and_never_in_a_cycle() {
    let server = Server::start();
    server.audience("a", PRO).await;
    server.audience("b", r#"audience("a")"#).await;
    server.audience("c", r#"not audience("b")"#).await;
    let cases = [
        ("an unknown audience", "a", r#"audience("nobody")"#, "nobody", "definition.audience", 10),
        (
            "an unknown computed trait",
            "a",
            "computed.spent > 1",
            "spent",
            "definition.compare.left.computed",
            1,
        ),
        ("itself", "a", r#"audience("a")"#, "cycle", "definition.audience", 10),
        (
            "a cycle of three",
            "a",
            r#"traits.plan exists and audience("c")"#,
            "cycle",
            "definition.all[1].audience",
            33,
        ),
    ];
    for (name, key, definition, part, place, column) in cases {
        let answer = server.put("PUT", &format!("/audiences/{key}"), json!({"definition": definition})).await;
        let answer = answer.expect(400);
        let error = &answer.body["error"];
        assert!(answer.message().starts_with("`definition`, line 1, column "), "{name}: {error}");
        assert!(answer.message().contains(part), "{name}: {part} is not in {error}");
        assert_eq!(error["place"], place, "{name}");
        assert_eq!((&error["line"], &error["column"]), (&json!(1), &json!(column)), "{name}");
    }
    assert_eq!(server.get("/workspace").await.body["version"], 4, "nothing was changed");
}

#[actix_web::test]
async fn what_is_in_use_is_deleted_by_force_only_and_then_its_users_are_broken() {
    let server = Server::start();
    server.computed("spent").await;
    server.audience("rich", "computed.spent > 1000").await;
    server.audience("vip", r#"audience("rich") and traits.plan = "pro""#).await;
    let answer = server.delete("/computed-traits/spent").await.expect(409);
    assert!(answer.message().contains("is used by audience rich;"), "{}", answer.body);
    let answer = server.delete("/audiences/rich").await.expect(409);
    assert!(answer.message().contains("is used by audience vip;"), "{}", answer.body);
    server.delete("/computed-traits/spent?force=false").await.expect(409);
    server.delete("/computed-traits/spent?forced=true").await.expect(400);
    server.delete("/computed-traits/spent?force=true").await.expect(204);

    server.stands(4, standing("broken", Some("there is no computed trait `spent`")));
    let rich = server.get("/audiences/rich").await.expect(200);
    assert_eq!(rich.body["status"]["stage"], "broken");
    assert_eq!(rich.body["status"]["problem"], "there is no computed trait `spent`");
    // What is broken may stay so beside other changes.
    server.audience("other", PRO).await;
    server
        .put("PUT", "/audiences/rich", json!({"definition": rich.body["definition"], "name": "Rich"}))
        .await
        .expect(200);
    let on_it = json!({"key": "more", "definition": r#"audience("vip")"#});
    let answer = server.put("POST", "/audiences", on_it).await.expect(400);
    assert!(answer.message().contains("audience vip is broken"), "{}", answer.body);
    server.put("PUT", "/audiences/vip", json!({"definition": PRO})).await.expect(200);
    server.computed("spent").await;
    server.audience("more", r#"audience("rich")"#).await;
}

#[actix_web::test]
async fn members_are_paged_by_their_profiles() {
    let server = Server::start();
    server.audience("pro", PRO).await;
    let path = "/audiences/pro/members";
    let all = server.get(path).await.expect(200);
    let cursor = json!({"url": format!("{PREFIX}{path}"), "has_more": false, "next": "", "limit": 20});
    assert_eq!((all.body["data"].as_array().map(Vec::len), &all.body["cursor"]), (Some(5), &cursor));
    let id = |number: u8| ProfileId([number; 16]).to_string();
    let first =
        json!({"profile_id": id(1), "since": "1970-01-01T00:00:00.000Z", "identifiers": ["user_id:ws_1"]});
    assert_eq!(all.body["data"][0], first);
    let verbose = server.get(&format!("{path}?verbose=true&limit=1")).await.expect(200);
    assert_eq!(verbose.body["data"][0]["traits"], json!({"plan": "pro"}));
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("{path}?limit=2&next={next}")).await.expect(200).body;
        let rows = page["data"].as_array().expect("rows");
        seen.extend(rows.iter().map(|row| row["profile_id"].as_str().expect("an id").to_owned()));
        assert_eq!(page["cursor"]["limit"], 2);
        if page["cursor"]["has_more"] == false {
            break;
        }
        assert_eq!(rows.len(), 2);
        next = page["cursor"]["next"].as_str().expect("a cursor").to_owned();
    }
    assert_eq!(seen, (1..=5).map(id).collect::<Vec<_>>());
    server.get(&format!("{path}?limit=5000")).await.expect(200);
    for query in ["limit=0", "limit=x", "next=soon", "verbose=1", "cursor=x"] {
        server.get(&format!("{path}?{query}")).await.expect(400);
    }
    server.get("/audiences/nobody/members").await.expect(404);
}

#[actix_web::test]
async fn sizes_are_told_by_the_hour() {
    let server = Server::start();
    server.audience("pro", PRO).await;
    server.stands(3, standing("live", None));
    let at = |text: &str| Timestamp::parse(text).expect("a time");
    *server.others.hours.lock().expect("not poisoned") = vec![
        SizeHour { at: at("2026-09-21T14:00:00Z"), size: 4, entered: 4, exited: 0 },
        SizeHour { at: at("2026-09-21T16:00:00Z"), size: 2, entered: 1, exited: 3 },
    ];
    let point = |hour: u8, size: u64, entered: u64, exited: u64| {
        let at = format!("2026-09-21T{hour}:00:00.000Z");
        json!({"at": at, "size": size, "entered": entered, "exited": exited})
    };
    let all = [point(14, 4, 4, 0), point(15, 4, 0, 0), point(16, 2, 1, 3), point(17, 2, 0, 0)];
    let path = "/audiences/pro/size";
    let cases = [
        ("", 0..4),
        ("?from=2026-01-01T00:00:00Z", 0..4),
        ("?from=2026-09-21T15:30:00Z&to=2026-09-21T17:00:00Z", 1..3),
        ("?from=2026-09-21T17:00:00Z&to=2030-01-01T00:00:00Z", 3..4),
        ("?to=2026-09-21T14:00:00Z", 0..0),
        ("?from=2027-01-01T00:00:00Z&to=2030-01-01T00:00:00Z", 0..0),
    ];
    for (query, want) in cases {
        let told = server.get(&format!("{path}{query}")).await.expect(200);
        assert_eq!(told.body, json!({"size": 2, "data": all[want]}), "{query}");
    }
    for query in ["from=today", "to=", "from=2026-09-21T15:00:00Z&to=2026-09-21T15:00:00Z", "limit=1"] {
        server.get(&format!("{path}?{query}")).await.expect(400);
    }
}

#[actix_web::test]
async fn who_is_in_an_audience_is_personal() {
    let server = Server::start();
    server.audience("pro", PRO).await;
    let reader = json!({"name": "reader", "scopes": ["admin:read"]});
    let reader = server.put("POST", "/tokens", reader).await.expect(201).text("token");
    server.send(request("GET", "/audiences/pro", &reader)).await.expect(200);
    for part in ["members", "size"] {
        let answer =
            server.send(request("GET", &format!("/audiences/pro/{part}"), &reader)).await.expect(403);
        assert!(answer.message().contains("profiles:read"), "{}", answer.body);
    }
}

#[actix_web::test]
async fn there_are_so_many_at_most() {
    let server = Server::start();
    let mut document = server.get("/workspace").await.expect(200).body;
    let audience = |number: u32| json!({"key": format!("a{number}"), "definition": PRO});
    let computed = |number: u32| json!({"key": format!("c{number}"), "definition": SPENT});
    document["audiences"] = (0..1_000).map(audience).collect();
    document["computed_traits"] = (0..200).map(computed).collect();
    server.put("PUT", "/workspace", document).await.expect(200);
    let answer = server.put("POST", "/audiences", audience(1_000)).await.expect(409);
    assert!(answer.message().contains("1000 audiences"), "{}", answer.body);
    let answer = server.put("POST", "/computed-traits", computed(200)).await.expect(409);
    assert!(answer.message().contains("200 computed traits"), "{}", answer.body);
}
