//! Definitions that can't work are refused with place and reason, and change nothing.

use super::*;
use crate::harness::data_dir;

/// How a refusal begins that tells the place in a text.
const LINE: &str = "`definition`, line 1, column ";

/// What is wrong, the definition, where the refusal says that it is, and a part of why.
fn bad_definitions() -> Vec<(&'static str, Value, &'static str, &'static str)> {
    let compare = |left: Value, operator: &str, right: Value| json!({"compare": {"left": left, "operator": operator, "right": right}});
    let plan = || json!({"trait": "plan"});
    let window = json!({"performed": {"kind": "track", "name": "A", "window": {"within": "0s"}}});
    let exploding = compare(plan(), "matches", json!({"value": "((a{100}){100}){100}"}));
    vec![
        ("no text", json!(""), "definition", ""),
        ("no tree", json!([]), "definition", ""),
        ("half a text", json!("traits.plan ="), "definition", LINE),
        ("an unknown function", json!(r#"median(event("A").properties.n) > 1"#), "definition", LINE),
        ("an unknown operator", json!("traits.plan resembles 1"), "definition", LINE),
        ("a window of zero", json!(r#"event("A") within 0d"#), "definition", "zero"),
        ("a window of zero in a tree", window, "definition.performed.window", "zero"),
        ("an unknown member", json!({"none": []}), "definition", "none"),
        ("a wrong type", compare(plan(), "greater", json!({"value": true})), "definition.compare", ""),
        ("a text for a number", json!(r#"count(event("A")) > "two""#), "definition", ""),
        (
            "a regex that explodes",
            json!({"all": [exploding]}),
            "definition.all[0].compare",
            "explodes to more than 256 KB",
        ),
        ("a field without an event", json!(r#"field("properties.total") > 1"#), "definition", ""),
        ("an unknown audience", json!(r#"audience("nobody")"#), "definition.audience", LINE),
        (
            "an unknown audience in a tree",
            json!({"any": [{"audience": "nobody"}]}),
            "definition.any[0].audience",
            "nobody",
        ),
        ("an unknown computed trait", json!("computed.nothing > 1"), "definition.compare.left", LINE),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_definitions_are_refused_with_place_and_reason() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    for (name, definition, place, part) in bad_definitions() {
        let body = json!({"key": "bad", "definition": definition});
        let (status, refused) = server.call(Method::POST, AUDIENCES, Some(body)).await;
        let error = &refused["error"];
        assert_eq!((status, &error["code"]), (400, &json!("invalid_request")), "{name}: {refused}");
        let at = error["place"].as_str().unwrap_or_default();
        assert!(at.starts_with(place), "{name}: {place} is not where {refused} is");
        if part == LINE {
            assert_eq!(error["line"], 1, "{name}: {refused}");
            assert!(error["column"].is_u64(), "{name}: {refused}");
        }
        let message = error["message"].as_str().unwrap_or_default().to_lowercase();
        assert!(
            message.starts_with("`definition") && message.contains(&part.to_lowercase()),
            "{name}: {part}: {refused}"
        );
    }
    filled(&server, "a", "traits.plan exists").await;
    filled(&server, "b", r#"not audience("a")"#).await;
    let cycle = json!({"definition": r#"audience("b")"#});
    let (status, refused) = server.call(Method::PUT, &format!("{AUDIENCES}/a"), Some(cycle)).await;
    assert_eq!((status, &refused["error"]["place"]), (400, &json!("definition.audience")), "{refused}");
    assert_eq!(
        (&refused["error"]["line"], &refused["error"]["column"]),
        (&json!(1), &json!(10)),
        "{refused}"
    );
    let near = json!({"key": "c", "definition": "traits.plan exists and\n computed.order > 1"});
    let count = json!({"key": "orders", "definition": r#"count(event("A"))"#});
    assert_eq!(server.call(Method::POST, COMPUTED, Some(count)).await.0, 201);
    let (status, guessed) = server.call(Method::POST, AUDIENCES, Some(near)).await;
    let error = &guessed["error"];
    assert_eq!(
        (status, &error["place"]),
        (400, &json!("definition.all[1].compare.left.computed")),
        "{guessed}"
    );
    assert_eq!((&error["line"], &error["column"]), (&json!(2), &json!(2)), "{guessed}");
    assert_eq!(error["hint"], "did you mean `orders`?", "{guessed}");
    assert!(refused["error"]["message"].as_str().is_some_and(|text| text.contains("cycle")), "{refused}");
    for path in [AUDIENCES, COMPUTED] {
        let definition = if path == AUDIENCES { "traits.plan exists" } else { r#"count(event("A"))"# };
        let body = json!({"key": "a", "definition": definition});
        let (status, refused) = server.call(Method::POST, path, Some(body)).await;
        assert_eq!((status, &refused["error"]["place"]), (409, &json!("key")), "{path}: {refused}");
    }
    let (_, all) = server.get(AUDIENCES).await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(2), "{all}");
    assert!(server.stop().success());
}
