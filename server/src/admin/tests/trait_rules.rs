//! Rules of traits.

use serde_json::json;

use super::*;

const RULES: &str = "/trait-rules";

#[actix_web::test]
async fn rules_are_replaced_and_what_was_shown_can_be_sent_back() {
    let server = Server::start();
    let shown = server.get(RULES).await.expect(200);
    assert_eq!((&shown.body["policies"], shown.header("etag")), (&json!({}), Some("\"1\"")));
    let searched = shown.body["searched"].as_array().expect("a list");
    assert!(searched.contains(&json!("email")) && searched.contains(&json!("lastName")), "{searched:?}");
    let again = server.put("PUT", RULES, shown.body.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&shown.body, Some("\"1\"")));

    let policies = json!({"plan": "oldest", "score": {"sources": ["src_1"]}, "tags": "union", "top": "max",
        "low": "min", "city": "newest"});
    let written = json!({"policies": policies, "searched": ["vat", "email"]});
    let changed = server.put("PUT", RULES, written).await.expect(200);
    assert_eq!(changed.body, json!({"policies": policies, "searched": ["email", "vat"]}));
    assert_eq!(server.get(RULES).await.expect(200).body, changed.body);
    assert_eq!(*server.others.read.lock().expect("not poisoned"), [(WorkspaceId(1), 1), (WorkspaceId(1), 2)]);
    assert_eq!(server.get("/workspace").await.expect(200).body["trait_rules"], changed.body);

    let source = server.put("POST", "/sources", json!({"name": "model"})).await.expect(201).text("id");
    let ranked = json!({"policies": {"score": {"sources": [source, "src_1"]}}});
    let changed = server.put("PUT", RULES, ranked.clone()).await.expect(200);
    assert_eq!(changed.body["searched"], shown.body["searched"], "what is left out gets its default");
    server.delete(&format!("/sources/{source}")).await.expect(204);
    let kept = server.put("PUT", RULES, changed.body.clone()).await.expect(200);
    assert_eq!(kept.body, changed.body, "the values of a deleted source stay, and so may its rank");
    server.put("PUT", RULES, json!({})).await.expect(200);
    server.put("PUT", RULES, ranked).await.expect(400);
}

#[actix_web::test]
async fn rules_that_cannot_work_are_told_where() {
    let server = Server::start();
    let policy = |policy: Value| json!({"policies": {"score": policy}});
    let many: Vec<String> = (0..101).map(|number| format!("trait{number}")).collect();
    let cases = [
        ("no policy", policy(json!("loudest")), "policies.score", "is no policy"),
        ("a number", policy(json!(7)), "policies.score", "is no policy"),
        (
            "an unknown member",
            policy(json!({"sources": ["src_1"], "then": "max"})),
            "policies.score",
            "give one of",
        ),
        ("no sources", policy(json!({"sources": []})), "policies.score.sources", "a list of 1"),
        ("no list", policy(json!({"sources": "src_1"})), "policies.score.sources", "a list of 1"),
        (
            "an unknown source",
            policy(json!({"sources": ["src_1", "src_9"]})),
            "policies.score.sources[1]",
            "src_9",
        ),
        ("no id", policy(json!({"sources": [1]})), "policies.score.sources[0]", "no source 1"),
        ("twice", policy(json!({"sources": ["src_1", "src_1"]})), "policies.score.sources[1]", "twice"),
        ("no name", json!({"policies": {"": "max"}}), "policies.", "1 to 512 bytes"),
        ("searched twice", json!({"searched": ["a", "a"]}), "searched[1]", "twice"),
        ("searched by nothing", json!({"searched": ["a", ""]}), "searched[1]", "1 to 512 bytes"),
        ("searched by too many", json!({"searched": many}), "searched", "at most 100"),
    ];
    for (name, body, place, part) in cases {
        let answer = server.put("PUT", RULES, body).await.expect(400);
        assert_eq!(answer.body["error"]["place"], place, "{name}: {}", answer.body);
        let message = answer.message();
        assert!(message.starts_with(&format!("`{place}`: ")) && message.contains(part), "{name}: {message}");
    }
    let answer = server.put("PUT", RULES, json!({"weights": {}})).await.expect(400);
    assert!(answer.message().contains("unknown field `weights`"), "{}", answer.body);
    assert_eq!(server.get("/workspace").await.body["version"], 1, "nothing was changed");
}
