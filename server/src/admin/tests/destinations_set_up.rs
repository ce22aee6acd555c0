//! What is done with events: mappings, filters and rules of consent, how they are read, checked and shown.

use serde_json::json;

use super::*;

const PATH: &str = "/destinations/dst_3";

fn webhook(more: Value) -> Value {
    let mut body =
        json!({"definition": "webhook", "name": "hook", "settings": {"url": "https://example.com/hook"}});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    body
}

fn orders() -> Value {
    json!({"name": "orders", "action": "send", "trigger": "event = \"Order Completed\"",
        "fields": {"event": {"@path": "$.properties"}}})
}

fn no_tests() -> Value {
    json!({"name": "no tests", "condition": "properties.test = true", "action": {"drop": {}}})
}

#[actix_web::test]
async fn what_nothing_is_said_of_is_what_the_definition_does() {
    let server = Server::start();
    let made = server.put("POST", "/destinations", webhook(json!({}))).await.expect(201);
    assert_eq!(made.body["mappings"], json!(null));
    assert_eq!(made.body["filters"], json!([]));
    assert_eq!(made.body["consent"], json!({"categories": [], "missing": "closed"}));
    assert_eq!((&made.body["state"], &made.body["problem"]), (&json!("on"), &json!(null)));
}

#[actix_web::test]
async fn conditions_are_shown_as_text_and_as_tree_and_either_can_be_sent_back() {
    let server = Server::start();
    let body = webhook(json!({"mappings": [orders()], "filters": [no_tests()],
        "consent": {"categories": ["ads", "analytics", "ads"], "missing": "open"}}));
    let made = server.put("POST", "/destinations", body).await.expect(201).body;
    let mapping = &made["mappings"][0];
    assert_eq!((&mapping["id"], &mapping["enabled"]), (&json!(1), &json!(true)));
    assert_eq!(mapping["trigger"], "event = \"Order Completed\"");
    assert_eq!(mapping["trigger_tree"]["compare"]["left"], json!({"field": "event"}));
    let filter = &made["filters"][0];
    assert_eq!(filter["condition_tree"]["compare"]["right"], json!({"value": true}));
    assert_eq!(filter["action"], json!({"drop": {}}));
    assert_eq!(made["consent"], json!({"categories": ["ads", "analytics"], "missing": "open"}));

    let again = json!({"mappings": made["mappings"], "filters": made["filters"], "consent": made["consent"]});
    let same = server.put("PATCH", PATH, again).await.expect(200);
    assert_eq!(
        (&same.body, same.header("etag")),
        (&made, Some("\"2\"")),
        "what changes nothing makes no version"
    );
    let mut as_tree = mapping.clone();
    as_tree["trigger"] = mapping["trigger_tree"].clone();
    let same = server.put("PATCH", PATH, json!({"mappings": [as_tree]})).await.expect(200);
    assert_eq!(same.body, made);
    let mut other = mapping.clone();
    other["trigger"] = json!("event = \"Cart Viewed\"");
    let refused = server.put("PATCH", PATH, json!({"mappings": [other]})).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "mappings[0].trigger_tree");
}

#[actix_web::test]
async fn parts_are_changed_one_by_one_and_numbers_stay_with_their_mappings() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook(json!({"mappings": [orders(), orders()]}))).await.expect(201);
    let ids = |body: &Value| -> Vec<u64> {
        let mappings = body["mappings"].as_array().expect("mappings");
        mappings.iter().map(|mapping| mapping["id"].as_u64().expect("a number")).collect()
    };
    let kept = json!({"id": 2, "name": "kept", "action": "send", "enabled": false});
    let cases = [
        (json!({"mappings": [orders(), kept]}), vec![3, 2]),
        (json!({"filters": [no_tests()]}), vec![3, 2]),
        (json!({"mappings": [{"id": 9, "name": "nine", "action": "send"}, orders()]}), vec![9, 10]),
    ];
    for (patch, want) in cases {
        let changed = server.put("PATCH", PATH, patch.clone()).await.expect(200).body;
        assert_eq!(ids(&changed), want, "{patch}");
    }
    let changed = server.put("PATCH", PATH, json!({"mappings": null})).await.expect(200).body;
    assert_eq!(
        (&changed["mappings"], changed["filters"][0]["name"].as_str()),
        (&json!(null), Some("no tests"))
    );
    let changed = server.put("PATCH", PATH, json!({"mappings": [orders()]})).await.expect(200).body;
    assert_eq!(ids(&changed), [11], "no number is given again");
    let own =
        json!({"definition": "webhook", "name": "own", "settings": {"url": "https://example.com/hook"}});
    let own = server.put("POST", "/destinations", own).await.expect(201).text("id");
    let path = format!("/destinations/{own}");
    let changed = server.put("PATCH", &path, json!({"mappings": [orders()]})).await.expect(200).body;
    assert_eq!(ids(&changed), [2], "the definition's own action has the first number");
    let history = server.get("/workspace/versions").await.expect(200).body.to_string();
    assert!(history.contains("destination dst_3 given filters (no tests)"), "{history}");
    assert!(history.contains("given the mappings of its definition"), "{history}");
}

#[actix_web::test]
async fn of_consent_what_a_change_does_not_name_stays() {
    let server = Server::start();
    let body = webhook(json!({"consent": {"categories": ["ads"], "missing": "open"}}));
    server.put("POST", "/destinations", body).await.expect(201);
    let cases = [
        (json!({"missing": "closed"}), json!({"categories": ["ads"], "missing": "closed"})),
        (json!({"categories": ["mail"]}), json!({"categories": ["mail"], "missing": "closed"})),
        (json!({}), json!({"categories": ["mail"], "missing": "closed"})),
        (json!({"categories": []}), json!({"categories": [], "missing": "closed"})),
    ];
    for (sent, want) in cases {
        let changed = server.put("PATCH", PATH, json!({"consent": sent})).await.expect(200).body;
        assert_eq!(changed["consent"], want, "{sent}");
    }
    let partial = json!({"missing": "open"});
    let refused = server.put("POST", "/destinations", webhook(json!({"consent": partial}))).await.expect(400);
    assert!(refused.message().contains("missing field `categories`"), "{}", refused.body);
    let mut document = server.get("/workspace").await.expect(200).body;
    document["destinations"][0]["consent"] = partial;
    server.put("PUT", "/workspace", document).await.expect(400);
}

#[actix_web::test]
async fn what_can_t_work_is_refused_with_its_place() {
    let server = Server::start();
    let mapping = |more: Value| {
        let mut mapping = orders();
        mapping.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        json!({"mappings": [orders(), mapping]})
    };
    let filter = |condition: Value, action: Value| json!({"filters": [{"name": "f", "condition": condition, "action": action}]});
    let dropped = || json!({"drop": {}});
    let cases = [
        ("an unknown action", mapping(json!({"action": "fax"})), "mappings[1].action"),
        ("no name", mapping(json!({"name": " "})), "mappings[1].name"),
        ("an unknown field", mapping(json!({"fields": {"color": "red"}})), "mappings[1].fields.color"),
        ("no path", mapping(json!({"fields": {"event": {"@path": "$["}}})), "mappings[1].fields.event"),
        ("half a trigger", mapping(json!({"trigger": "event ="})), "mappings[1].trigger"),
        (
            "a trigger about a profile",
            mapping(json!({"trigger": {"compare": {"left": {"trait": "x"}, "operator": "exists"}}})),
            "mappings[1].trigger.compare",
        ),
        (
            "a number twice",
            json!({"mappings": [{"id": 1, "name": "a", "action": "send"}, {"id": 1, "name": "b", "action": "send"}]}),
            "mappings[1].id",
        ),
        ("half a condition", filter(json!("event ="), dropped()), "filters[0].condition"),
        (
            "an unknown audience",
            filter(json!("profile.audiences.nobody = true"), dropped()),
            "filters[0].condition",
        ),
        (
            "too much",
            filter(json!("event = \"x\""), json!({"sample": {"percent": 101, "path": "userId"}})),
            "filters[0].action.sample.percent",
        ),
        (
            "no path",
            filter(json!("event = \"x\""), json!({"drop_properties": {"fields": ["a..b"]}})),
            "filters[0].action.drop_properties.fields[0]",
        ),
        (
            "a path that leads nowhere",
            filter(
                json!("event = \"x\""),
                json!({"drop_properties": {"fields": ["properties.a", "propertie.b"]}}),
            ),
            "filters[0].action.drop_properties.fields[1]",
        ),
        (
            "a sample by nothing",
            filter(json!("event = \"x\""), json!({"sample": {"percent": 1, "path": "$.userId"}})),
            "filters[0].action.sample.path",
        ),
        ("a setting", json!({"settings": {"url": "example"}}), "settings.url"),
    ];
    for (name, part, place) in cases {
        let answer = server.put("POST", "/destinations", webhook(part)).await;
        let error = &answer.body["error"];
        assert_eq!(
            (answer.status.as_u16(), &error["code"]),
            (400, &json!("invalid_request")),
            "{name}: {error}"
        );
        let told = error["place"].as_str().unwrap_or_default();
        assert!(told.starts_with(place), "{name}: {place} is not where {error} is");
        assert!(
            answer.message().starts_with(&format!("`{}", &place[..place.len().min(8)])),
            "{name}: {error}"
        );
    }
    for (name, body) in [
        (
            "two actions",
            filter(json!("event = \"x\""), json!({"drop": {}, "sample": {"percent": 1, "path": "a"}})),
        ),
        ("an unknown action", filter(json!("event = \"x\""), json!({"keep": {}}))),
        ("a wrong word", json!({"consent": {"categories": ["ads"], "missing": "shut"}})),
        ("an unknown member", json!({"mapping": []})),
    ] {
        let answer = server.put("POST", "/destinations", webhook(body)).await;
        assert_eq!(answer.status.as_u16(), 400, "{name}: {}", answer.body);
    }
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}

/// What is written into a mapping is kept as it was written, or not at all.
#[actix_web::test]
async fn numbers_that_can_not_be_kept_are_refused_wherever_a_mapping_is_taken() {
    let server = Server::start();
    server.put("POST", "/destinations", webhook(json!({"mappings": [orders()]}))).await.expect(201);
    let document = server.get("/workspace").await.expect(200).body;
    let mapping = json!({"name": "m", "action": "send", "fields": {"event": {"id": "NUMBER", "p": 0.5}}});
    let mut changed = document.clone();
    changed["destinations"][0]["mappings"] = json!([mapping]);
    let cases = [
        ("POST", "/destinations".to_owned(), webhook(json!({"mappings": [mapping]})), ""),
        ("PATCH", PATH.to_owned(), json!({"mappings": [mapping]}), ""),
        ("POST", format!("{PATH}/preview"), json!({"latest": true, "mappings": [mapping]}), ""),
        ("PUT", "/workspace".to_owned(), changed, "destinations[0]."),
    ];
    let send = |method: &str, path: &str, body: &Value, number: &str| {
        let text = body.to_string().replace("\"NUMBER\"", number);
        let request = server.request(method, path).insert_header(("content-type", "application/json"));
        server.send(request.set_payload(text))
    };
    for (method, path, body, within) in &cases {
        for number in ["12345678901234567890123", "0.1234567890123456789"] {
            let answer = send(method, path, body, number).await.expect(400);
            let place = format!("{within}mappings[0].fields.event.id");
            assert_eq!(answer.body["error"]["place"], place, "{path}: {}", answer.body);
            let told = format!("{number} can't be kept digit by digit; write it as a text");
            assert!(answer.message().ends_with(&told), "{path}: {}", answer.body);
        }
    }
    assert_eq!(server.get("/workspace").await.body, document, "nothing was changed");
    let (method, path, body, _) = &cases[1];
    for (number, want) in [("12.50", json!(12.5)), ("9007199254740993", json!(9_007_199_254_740_993_u64))] {
        let answer = send(method, path, body, number).await.expect(200);
        assert_eq!(answer.body["mappings"][0]["fields"]["event"]["id"], want);
    }
}

#[actix_web::test]
async fn an_audience_that_a_destination_asks_for_stays_unless_it_is_forced() {
    let server = Server::start();
    let vip = json!({"key": "vip", "definition": "traits.plan = \"pro\""});
    server.put("POST", "/audiences", vip).await.expect(201);
    let filter =
        json!({"name": "vip only", "condition": "not profile.audiences.vip = true", "action": {"drop": {}}});
    let made =
        server.put("POST", "/destinations", webhook(json!({"filters": [filter]}))).await.expect(201).body;
    let path = format!("/destinations/{}", made["id"].as_str().expect("an id"));
    let needs = || server.admin.store.snapshot().workspaces()[0].destinations[0].needs.clone();
    assert!(needs().audiences.contains("vip"));

    let refused = server.delete("/audiences/vip").await.expect(409);
    assert!(refused.message().contains("is used by destination dst_4 (hook);"), "{}", refused.body);
    let mut document = server.get("/workspace").await.expect(200).body;
    document["audiences"] = json!([]);
    let refused = server.put("PUT", "/workspace", document.clone()).await.expect(400);
    assert!(refused.message().contains("vip is missing, but destination dst_4"), "{}", refused.body);
    document["destinations"][0]["filters"] = json!([]);
    server.put("PUT", "/workspace", document).await.expect(200);

    // Both may come together.
    let mut document = server.get("/workspace").await.expect(200).body;
    document["audiences"] = json!([{"key": "lapsed", "definition": "traits.plan absent"}]);
    document["destinations"][0]["filters"] =
        json!([{"name": "f", "condition": "profile.audiences.lapsed = true", "action": {"drop": {}}}]);
    server.put("PUT", "/workspace", document).await.expect(200);
    assert!(needs().audiences.contains("lapsed"));

    // What is broken stays as it is, until it is changed itself.
    server.delete("/audiences/lapsed?force=true").await.expect(204);
    server.put("PATCH", &path, json!({"name": "renamed", "enabled": false})).await.expect(200);
    let document = server.get("/workspace").await.expect(200).body;
    let same = server.put("PUT", "/workspace", document.clone()).await.expect(200);
    assert_eq!(same.body, document);
    let other = json!({"settings": {"url": "https://example.com/other"}});
    let refused = server.put("PATCH", &path, other).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "filters[0].condition", "{}", refused.body);
    // What needs no filters works.
    server.put("POST", &format!("{path}/test"), json!({})).await.expect(200);
    let person = json!({"identifiers": {"user_id": ["u1"]}});
    server.put("POST", &format!("{path}/delete_person"), person).await.expect(200);
    server.put("POST", &format!("{path}/preview"), json!({"latest": true})).await.expect(400);
    server.put("PATCH", &path, json!({"filters": []})).await.expect(200);
}

#[actix_web::test]
async fn a_document_leaves_what_it_does_not_name_and_tells_the_place() {
    let server = Server::start();
    let body =
        webhook(json!({"mappings": [orders()], "filters": [no_tests()], "consent": {"categories": ["ads"]}}));
    server.put("POST", "/destinations", body).await.expect(201);
    let document = server.get("/workspace").await.expect(200).body;
    let row = &document["destinations"][0];
    assert!(row.get("state").is_none(), "how it stands is no part of the document");
    let mut bare = document.clone();
    let parts = ["mappings", "filters", "consent"];
    bare["destinations"][0]
        .as_object_mut()
        .expect("an object")
        .retain(|name, _| !parts.contains(&name.as_str()));
    assert_eq!(server.put("PUT", "/workspace", bare).await.expect(200).body, document);
    let mut shown = document.clone();
    shown["destinations"][0]["state"] = json!("on");
    shown["destinations"][0]["problem"] = json!(null);
    assert_eq!(server.put("PUT", "/workspace", shown).await.expect(200).body, document);
    let mut wrong = document.clone();
    wrong["destinations"][0]["filters"][0]["condition"] = json!("event =");
    wrong["destinations"][0]["filters"][0]["condition_tree"] = json!(null);
    let refused = server.put("PUT", "/workspace", wrong).await.expect(400);
    assert_eq!(refused.body["error"]["place"], "destinations[0].filters[0].condition");
    let mut own = document.clone();
    own["destinations"][0]["mappings"] = json!(null);
    let changed = server.put("PUT", "/workspace", own).await.expect(200).body;
    assert_eq!(changed["destinations"][0]["mappings"], json!(null));
}

#[actix_web::test]
async fn headers_that_are_secret_are_sealed_whole() {
    let server = Server::start();
    let headers = json!({"x-api-key": "a-very-secret-key", "x-shop": "main"});
    let body = json!({"definition": "webhook", "name": "hook",
        "settings": {"url": "https://example.com/hook", "headers": headers}});
    let made = server.put("POST", "/destinations", body).await.expect(201);
    assert_eq!(made.body["settings"]["headers"], MASK);
    let opened = || {
        let snapshot = server.admin.store.snapshot();
        let workspace = &snapshot.workspaces()[0];
        unsealed(&server.admin.editor.sealing, workspace.id, &workspace.destinations[0]).expect("it opens")
    };
    assert_eq!(opened()["headers"], headers);
    let same = server.put("PATCH", PATH, json!({"settings": {"headers": headers}})).await.expect(200);
    assert_eq!(same.header("etag"), Some("\"2\""), "what changes nothing makes no version");
    server.put("PATCH", PATH, json!({"settings": {"headers": MASK, "method": "PUT"}})).await.expect(200);
    assert_eq!(opened()["headers"], headers);
}

#[actix_web::test]
async fn the_catalog_is_shown_as_data() {
    let server = Server::start();
    let all = server.get("/definitions").await.expect(200).body;
    let rows = all["data"].as_array().expect("rows");
    assert_eq!(rows.len(), tributary_destinations::registry::definitions().len());
    for row in rows {
        let name = row["name"].as_str().expect("a name");
        assert_eq!(&server.get(&format!("/definitions/{name}")).await.expect(200).body, row, "{name}");
        assert!(row["actions"].as_array().is_some_and(|actions| !actions.is_empty()), "{name}");
    }
    let webhook = server.get("/definitions/webhook").await.expect(200).body;
    assert_eq!(
        webhook["abilities"],
        json!({"deletes_person": true, "test_call": true, "ordered": true, "batched": true})
    );
    let url = &webhook["settings"][0];
    assert_eq!((&url["name"], &url["kind"], &url["required"]), (&json!("url"), &json!("url"), &json!(true)));
    let event = &webhook["actions"][0]["fields"][0];
    assert_eq!((&event["required"], &event["default"]), (&json!("always"), &json!({"@path": "$"})));
    let analytics = server.get("/definitions/google_analytics_4").await.expect(200).body;
    assert_eq!(analytics["limits"]["payload_bytes"], 129_000);
    assert_eq!(analytics["limits"]["event_age"], json!({"hours": 72, "field": "timestamp_micros"}));
    let actions = analytics["actions"].as_array().expect("actions");
    let purchase = actions.iter().find(|action| action["name"] == "purchase").expect("it has that");
    let fields = purchase["fields"].as_array().expect("fields");
    let items = fields.iter().find(|field| field["name"] == "params.items").expect("it has items");
    assert_eq!(items["each"]["any_of"], json!([["item_id", "item_name"]]));
    server.get("/definitions/fax").await.expect(404);
}
