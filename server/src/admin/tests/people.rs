//! The search for people, over people who are always the same.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::super::people::{People, PersonRow, SearchRefused};
use super::*;

impl People for Fixed {
    fn search(
        &self,
        workspace: WorkspaceId,
        text: &str,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<PersonRow>, SearchRefused> {
        match (text, cursor) {
            ("", _) => return Err(SearchRefused::Text("there is nothing to search for".to_owned())),
            (_, Some("broken")) => return Err(OutsideError::Cursor.into()),
            ("early", _) => return Err(OutsideError::NotReady("the profiles").into()),
            _ => {}
        }
        let json = |value: Value| RawValue::from_string(value.to_string()).expect("JSON");
        let row = PersonRow {
            profile_id: format!("{text} {limit} {}", cursor.unwrap_or("first")),
            matched: BTreeMap::from([("name".to_owned(), json(json!("Ada")))]),
            traits: BTreeMap::from([
                ("name".to_owned(), json(json!("Ada"))),
                ("phone".to_owned(), json(json!(7))),
            ]),
            identifiers: vec![format!("user_id:{workspace}")],
        };
        Ok(Rows { rows: vec![row], next: Some("more".to_owned()) })
    }
}

#[actix_web::test]
async fn people_are_searched_for() {
    let server = Server::start();
    let answer = server.get("/profiles?q=ada%20l&limit=7&cursor=more").await.expect(200);
    let want = json!({
        "data": [{
            "profile_id": "ada l 7 more",
            "matched": {"name": "Ada"},
            "traits": {"name": "Ada", "phone": 7},
            "identifiers": ["user_id:ws_1"],
        }],
        "cursor": {"has_more": true, "limit": 7, "next": "more"},
    });
    assert_eq!(answer.body, want);
    let answer = server.get("/profiles?q=ada").await.expect(200);
    assert_eq!(answer.body["data"][0]["profile_id"], "ada 20 first");
}

#[actix_web::test]
async fn searches_that_are_refused() {
    let server = Server::start();
    let cases = [
        ("", 400, "`q`"),
        ("?q=", 400, "`q`: there is nothing to search for"),
        ("?q=a&limit=0", 400, "`limit` is 0"),
        ("?q=a&limit=201", 400, "`limit` is 201"),
        ("?q=a&name=b", 400, "unknown field `name`"),
        ("?q=a&cursor=broken", 400, "`cursor`"),
        ("?q=early", 503, "the profiles not ready yet"),
    ];
    for (query, status, part) in cases {
        let answer = server.get(&format!("/profiles{query}")).await.expect(status);
        assert!(answer.message().contains(part), "{query}: {}", answer.body);
    }
}

#[actix_web::test]
async fn a_search_needs_both_scopes() {
    let server = Server::start();
    for (scopes, status) in
        [(vec!["admin:read"], 403), (vec!["profiles:read"], 403), (vec!["admin:read", "profiles:read"], 200)]
    {
        let body = json!({"name": "searcher", "scopes": scopes});
        let token = server.put("POST", "/tokens", body).await.expect(201).text("token");
        server.send(request("GET", "/profiles?q=a", &token)).await.expect(status);
    }
}
