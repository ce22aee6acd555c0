//! Previews of audiences, of a part that knows profiles with a `user_id` at once and runs a job for all others.

use std::collections::BTreeMap;

use serde_json::json;
use serde_json::value::RawValue;

use super::super::audience_preview::{
    AudiencePreviewOrder, AudiencePreviewReport, AudiencePreviews, MemberSample, OverlapRow, PreviewMoment,
};
use super::*;

/// The job that goes on, the one that is done, and the one that failed.
const JOBS: [&str; 3] = ["prv_1", "prv_2", "prv_3"];

fn report(answered_by: &'static str) -> AudiencePreviewReport {
    let json = RawValue::from_string(r#""pro""#.to_owned()).expect("JSON");
    AudiencePreviewReport {
        size: 1,
        members: vec![MemberSample {
            profile_id: "01".repeat(16),
            identifiers: vec!["user_id:u1".to_owned()],
            traits: BTreeMap::from([("plan".to_owned(), json)]),
        }],
        overlap: vec![OverlapRow { key: "base".to_owned(), size: 9, both: 1 }],
        as_of: PreviewMoment { position: 5, time: "2026-09-21T14:13:20.000Z".to_owned() },
        answered_by,
        approximate: false,
    }
}

fn shown(id: Option<&str>, answered_by: &str) -> Value {
    let mut shown = json!({
        "state": "done",
        "size": 1,
        "members": [{"profile_id": "01".repeat(16), "identifiers": ["user_id:u1"], "traits": {"plan": "pro"}}],
        "overlap": [{"key": "base", "size": 9, "both": 1}],
        "as_of": {"position": 5, "time": "2026-09-21T14:13:20.000Z"},
        "answered_by": answered_by,
        "approximate": false,
    });
    if let Some(id) = id {
        shown["id"] = id.into();
    }
    shown
}

impl AudiencePreviews for Fixed {
    fn at_once(&self, order: &AudiencePreviewOrder) -> Result<Option<AudiencePreviewReport>, OutsideError> {
        Ok((!order.include_anonymous).then(|| report("columns")))
    }

    fn begin(&self, order: &AudiencePreviewOrder) -> Result<String, OutsideError> {
        if order.condition.to_string().contains("busy") {
            return Err(OutsideError::Busy("preview prv_1 is running".to_owned()));
        }
        Ok(JOBS[0].to_owned())
    }

    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState<AudiencePreviewReport>> {
        if workspace != WorkspaceId(1) {
            return None;
        }
        match JOBS.iter().position(|job| *job == id)? {
            0 => Some(PreviewState::Running { read: 3, of: 7 }),
            1 => Some(PreviewState::Done(Arc::new(report("scan")))),
            _ => Some(PreviewState::Failed(ErrorCode::Unavailable, "it was stopped".to_owned())),
        }
    }

    fn ended(&self, _: WorkspaceId, _: &str) -> BoxFuture<'static, ()> {
        future::ready(()).boxed()
    }

    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool {
        AudiencePreviews::state(self, workspace, id).is_some()
    }

    fn forget(&self, _: WorkspaceId, _: &str) {}
}

#[actix_web::test]
async fn a_preview_is_answered_at_once_or_by_its_id() {
    let server = Server::start();
    let path = "/audiences/preview";
    let definition = r#"traits.plan = "pro""#;
    let answer = server.put("POST", path, json!({"definition": definition})).await.expect(200);
    assert_eq!(answer.body, shown(None, "columns"));
    let body = json!({"definition": definition, "include_anonymous": true, "wait_seconds": 0});
    let answer = server.put("POST", path, body).await.expect(202);
    let running = json!({"id": "prv_1", "state": "running", "read": 3, "of": 7});
    assert_eq!(answer.body, running);
    assert_eq!(server.get("/audiences/preview/prv_1").await.expect(202).body, running);
    let done = server.get("/audiences/preview/prv_2").await.expect(200);
    assert_eq!(done.body, shown(Some("prv_2"), "scan"));
    let failed = server.get("/audiences/preview/prv_3").await.expect(503);
    assert_eq!((failed.message(), failed.header("retry-after")), ("it was stopped", Some("5")));
    server.get("/audiences/preview/prv_4").await.expect(404);
    server.delete("/audiences/preview/prv_1").await.expect(204);
    server.delete("/audiences/preview/prv_4").await.expect(404);
}

#[actix_web::test]
async fn previews_that_are_refused() {
    let server = Server::start();
    let cases = [
        (json!({}), 400, "missing field `definition`"),
        (json!({"definition": "traits.plan ="}), 400, "`definition`, line 1"),
        (
            json!({"definition": {"audience": "gone"}}),
            400,
            "`definition.audience`: there is no audience `gone`",
        ),
        (json!({"definition": r#"event("A")"#, "wait_seconds": 61}), 400, "`wait_seconds` is 61"),
        (json!({"definition": r#"event("A")"#, "other": 1}), 400, "unknown field `other`"),
        (json!({"definition": r#"event("busy")"#, "include_anonymous": true}), 409, "prv_1 is running"),
    ];
    for (body, status, part) in cases {
        let answer = server.put("POST", "/audiences/preview", body.clone()).await.expect(status);
        assert!(answer.message().contains(part), "{body}: {}", answer.body);
    }
}

#[actix_web::test]
async fn a_preview_needs_both_scopes() {
    let server = Server::start();
    for (scopes, status) in
        [(vec!["admin:read"], 403), (vec!["profiles:read"], 403), (vec!["admin:read", "profiles:read"], 200)]
    {
        let body = json!({"name": "asker", "scopes": scopes});
        let token = server.put("POST", "/tokens", body).await.expect(201).text("token");
        let asked =
            request("POST", "/audiences/preview", &token).set_json(json!({"definition": r#"event("A")"#}));
        server.send(asked).await.expect(status);
    }
}
