//! Exports: who may have them, what is refused before they begin, and their bodies.

use serde_json::json;

use super::super::exports::{ExportRows, Exported, Exports};
use super::*;
use crate::bulk::Row;

/// One row for each of some profiles; of an audience, it tells which.
struct Few {
    left: u64,
    who: Exported,
}

impl Exports for Fixed {
    fn begin(&self, workspace: WorkspaceId, who: Exported) -> Result<Box<dyn ExportRows>, OutsideError> {
        match workspace {
            WorkspaceId(1) => Ok(Box::new(Few { left: 3, who })),
            _ => Err(OutsideError::NotReady("the profiles")),
        }
    }
}

impl ExportRows for Few {
    fn next(&mut self) -> Result<Vec<Row>, OutsideError> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(Vec::new()) };
        self.left = left;
        let since = match self.who {
            Exported::Members(id) => Some(id.to_string()),
            Exported::Everybody => None,
        };
        let traits =
            vec![("n".to_owned(), left.to_string()), ("plan".to_owned(), "\"pro, really\"".to_owned())];
        Ok(vec![Row {
            profile_id: format!("prf_{left}"),
            user_id: Some(format!("u{left}")),
            traits,
            since,
            ..Row::default()
        }])
    }
}

impl Server {
    /// The bytes of an answer with status 200, and its type.
    async fn download(&self, path: &str) -> (Vec<u8>, String) {
        let app = App::new().configure(routes(Arc::clone(&self.admin)));
        let service = init_service(app).await;
        let response = call_service(&service, self.request("GET", path).to_request()).await;
        assert_eq!(response.status().as_u16(), 200, "{path}");
        let header =
            response.headers().get("content-type").expect("a type").to_str().expect("text").to_owned();
        (read_body(response).await.to_vec(), header)
    }
}

#[actix_web::test]
async fn people_are_exported_in_each_format() {
    let server = Server::start();
    let audience = json!({"key": "pro", "definition": "traits.plan = \"pro\""});
    let id = server.put("POST", "/audiences", audience).await.expect(201).text("id");

    let (bytes, media_type) = server.download("/profiles/export").await;
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!((media_type.as_str(), text.lines().count()), ("application/x-ndjson", 3));
    let first: Value = serde_json::from_str(text.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["traits"], json!({"n": 2, "plan": "pro, really"}));
    assert_eq!((&first["user_id"], first.get("since")), (&json!("u2"), None));

    let (bytes, media_type) = server.download("/audiences/pro/export?format=csv&traits=plan").await;
    let text = String::from_utf8(bytes).expect("text");
    assert_eq!(media_type, "text/csv; charset=utf-8");
    let want =
        "profile_id,user_id,email,anonymous_ids,identifiers,audiences,since,traits,computed,traits.plan";
    assert_eq!(text.lines().next(), Some(want));
    assert_eq!(text.lines().nth(3), Some(format!("prf_0,u0,,,,,{id},,,\"pro, really\"").as_str()));

    let (bytes, media_type) = server.download("/audiences/pro/export?format=parquet").await;
    assert_eq!(media_type, "application/vnd.apache.parquet");
    assert!(bytes.starts_with(b"PAR1") && bytes.ends_with(b"PAR1"));
}

#[actix_web::test]
async fn what_can_not_be_exported_is_refused_before_anything_is_sent() {
    let server = Server::start();
    for (path, status, part) in [
        ("/audiences/pro/export", 404, "audience"),
        ("/profiles/export?format=json", 400, "`format`: give ndjson, csv or parquet"),
        ("/profiles/export?traits=a,", 400, "`traits`"),
        ("/profiles/export?formulas=escape", 400, "`formulas`: give `escape`, with `format=csv`"),
        ("/profiles/export?format=csv&formulas=keep", 400, "`formulas`"),
        ("/profiles/export?limit=7", 400, "unknown field `limit`"),
    ] {
        let answer = server.get(path).await.expect(status);
        assert!(answer.message().contains(part), "{path}: {}", answer.message());
    }
    let scopes = json!({"name": "reader", "scopes": ["admin:read"]});
    let weak = server.put("POST", "/tokens", scopes).await.expect(201).text("token");
    server.send(request("GET", "/profiles/export", &weak)).await.expect(403);

    let other = server.put("POST", "/workspaces", json!({"name": "eu"})).await.expect(201).text("token");
    let answer = server.send(request("GET", "/profiles/export", &other)).await.expect(503);
    assert!(answer.header("retry-after").is_some());
}
