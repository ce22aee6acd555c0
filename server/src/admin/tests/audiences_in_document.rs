//! Audiences, computed traits and rules of traits as parts of the document of a workspace.

use serde_json::json;

use super::*;

const PRO: &str = r#"traits.plan = "pro""#;
const ORDERS: &str = r#"count(event("Order Completed"))"#;

/// A document with a computed trait, an audience that asks for it, and another one.
async fn furnished() -> (Server, Value) {
    let server = Server::start();
    server.put("POST", "/computed-traits", json!({"key": "orders", "definition": ORDERS})).await.expect(201);
    let buyers = json!({"key": "buyers", "definition": "computed.orders > 0", "include_anonymous": true});
    server.put("POST", "/audiences", buyers).await.expect(201);
    server.put("POST", "/audiences", json!({"key": "pro", "definition": PRO})).await.expect(201);
    let document = server.get("/workspace").await.expect(200).body;
    (server, document)
}

fn keys(document: &Value, list: &str) -> Vec<String> {
    let rows = document[list].as_array().expect("a list");
    rows.iter()
        .map(|row| format!("{}={}", row["key"].as_str().expect("a key"), row["id"].as_str().expect("an id")))
        .collect()
}

#[actix_web::test]
async fn a_document_sent_back_changes_nothing() {
    let (server, document) = furnished().await;
    assert_eq!(keys(&document, "audiences"), ["buyers=aud_4", "pro=aud_5"]);
    let again = server.put("PUT", "/workspace", document.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&document, Some("\"4\"")));
    // Also with an audience in it that is broken.
    server.delete("/computed-traits/orders?force=true").await.expect(204);
    let broken = server.get("/workspace").await.expect(200).body;
    let again = server.put("PUT", "/workspace", broken.clone()).await.expect(200);
    assert_eq!((&again.body, again.header("etag")), (&broken, Some("\"5\"")));
}

#[actix_web::test]
async fn a_document_creates_changes_and_deletes_by_key_and_leaves_what_it_does_not_name() {
    let (server, document) = furnished().await;
    let mut put = document.clone();
    put["audiences"] = json!([
        {"key": "new", "definition": r#"audience("buyers") and computed.visits > 1"#},
        {"key": "buyers", "definition": "computed.orders > 1", "name": "Buyers"},
    ]);
    put["computed_traits"] = json!([
        {"key": "orders", "definition": ORDERS},
        {"key": "visits", "definition": {"function": "count", "of": {"kind": "page"}}},
    ]);
    put["trait_rules"] = json!({"policies": {"plan": "oldest"}});
    let made = server.put("PUT", "/workspace", put).await.expect(200).body;
    assert_eq!(made["version"], 5);
    assert_eq!(keys(&made, "audiences"), ["buyers=aud_4", "new=aud_7"]);
    assert_eq!(keys(&made, "computed_traits"), ["orders=trt_3", "visits=trt_6"]);
    let buyers = &made["audiences"][0];
    assert_eq!((&buyers["name"], &buyers["include_anonymous"]), (&json!("Buyers"), &json!(true)));
    assert_eq!(made["trait_rules"]["policies"], json!({"plan": "oldest"}));

    let mut rest = made.clone();
    let parts = ["audiences", "computed_traits", "trait_rules"];
    rest.as_object_mut().expect("an object").retain(|name, _| !parts.contains(&name.as_str()));
    let same = server.put("PUT", "/workspace", rest).await.expect(200);
    assert_eq!((&same.body, same.header("etag")), (&made, Some("\"5\"")));
}

#[actix_web::test]
async fn a_key_may_become_one_of_the_other_kind() {
    let (server, mut document) = furnished().await;
    document["audiences"] = json!([]);
    document["computed_traits"] = json!([{"key": "pro", "definition": ORDERS}]);
    let made = server.put("PUT", "/workspace", document).await.expect(200).body;
    assert_eq!(
        (keys(&made, "audiences").len(), keys(&made, "computed_traits")),
        (0, vec!["pro=trt_6".to_owned()])
    );
}

#[actix_web::test]
async fn a_document_that_is_wrong_changes_nothing_and_is_told_where() {
    let (server, document) = furnished().await;
    let with = |change: fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        document
    };
    let cases: Vec<(&str, u16, Value, &str, Option<&str>)> = vec![
        (
            "a wrong definition",
            400,
            with(|d| {
                d["audiences"][1]["tree"] = Value::Null;
                d["audiences"][1]["definition"] = json!({"all": [{"none": []}]});
            }),
            "`audiences[1]`: `definition.all[0]",
            None,
        ),
        (
            "a changed tree",
            400,
            with(|d| d["audiences"][1]["tree"] = json!({"all": []})),
            "`audiences[1]`: `tree` differs",
            Some("audiences[1].tree"),
        ),
        (
            "no key",
            400,
            with(|d| drop(d["audiences"][0].as_object_mut().and_then(|row| row.remove("key")))),
            "`audiences[0].key` is missing",
            None,
        ),
        (
            "a key twice",
            400,
            with(|d| d["audiences"][1]["key"] = json!("buyers")),
            "`audiences[1].key`: buyers is there twice",
            None,
        ),
        (
            "another key",
            400,
            with(|d| d["audiences"][1]["key"] = json!("renamed")),
            "`audiences[1]`: `id`: aud_5 has another key",
            None,
        ),
        (
            "a key of both kinds",
            409,
            with(|d| {
                let row = json!({"key": "orders", "definition": "traits.a exists"});
                d["audiences"].as_array_mut().expect("a list").push(row);
            }),
            "`audiences[2]`: `key`: there is a computed trait orders already",
            Some("audiences[2].key"),
        ),
        (
            "an unknown reference",
            400,
            with(|d| d["audiences"][1] = json!({"key": "pro", "definition": "computed.visits > 1"})),
            "`audiences[1].definition`, line 1, column 1: there is no computed trait `visits`",
            Some("audiences[1].definition.compare.left.computed"),
        ),
        (
            "what is in use goes",
            400,
            with(|d| d["computed_traits"] = json!([])),
            "`audiences[0].definition`, line 1, column 1: there is no computed trait `orders`",
            Some("audiences[0].definition.compare.left.computed"),
        ),
        (
            "what is in use goes, and its user is not named",
            400,
            with(|d| {
                d["computed_traits"] = json!([]);
                drop(d.as_object_mut().and_then(|d| d.remove("audiences")));
            }),
            "`computed_traits`: audience buyers: there is no computed trait `orders`",
            Some("computed_traits"),
        ),
        (
            "a wrong policy",
            400,
            with(|d| d["trait_rules"]["policies"]["plan"] = json!("loudest")),
            "`trait_rules.policies.plan`: ",
            Some("trait_rules.policies.plan"),
        ),
    ];
    for (name, status, body, part, place) in cases {
        let answer = server.put("PUT", "/workspace", body).await;
        assert_eq!(answer.status.as_u16(), status, "{name}: {}", answer.body);
        assert!(answer.message().contains(part), "{name}: {part} is not in {}", answer.body);
        if let Some(place) = place {
            assert_eq!(answer.body["error"]["place"], place, "{name}: {}", answer.body);
        }
    }
    assert_eq!(server.get("/workspace").await.body, document);
}
