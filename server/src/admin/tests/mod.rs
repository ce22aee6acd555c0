//! The admin API over HTTP, on a real store in a temporary directory.

mod access;
mod destinations;
mod document;
mod openapi;
mod resources;

use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use serde_json::Value;
use tributary_eventlog::MemoryLog;
use tributary_model::clock::ManualClock;
use tributary_model::{DestinationId, Timestamp, WorkspaceId};

use super::outside::{DeadLetterRow, OutsideError, RejectRow, Rows, SnapshotTaken};
use super::*;
use crate::config::AdminSettings;
use crate::workspaces::{Given, StoreOptions};

/// An answer as a client sees it.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or_default()
    }

    fn message(&self) -> &str {
        self.body["error"]["message"].as_str().unwrap_or_default()
    }

    fn text(&self, member: &str) -> String {
        self.body[member].as_str().unwrap_or_else(|| panic!("no text {member} in {}", self.body)).to_owned()
    }

    #[track_caller]
    fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self
    }
}

/// A server of the admin API, and the first token.
struct Server {
    admin: Arc<Admin>,
    log: Arc<MemoryLog>,
    dir: tempfile::TempDir,
    token: String,
}

impl Server {
    fn start() -> Self {
        Self::with(AdminSettings::default())
    }

    fn with(limits: AdminSettings) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let log = Arc::new(MemoryLog::new());
        let options = StoreOptions {
            log: Arc::<MemoryLog>::clone(&log),
            clock: Arc::new(ManualClock::at(Timestamp::from_millis(1_790_000_000_000))),
            fatal: Arc::new(|why| panic!("fatal: {why}")),
            given: Given::default(),
            workspaces_max: limits.workspaces_max,
            in_force: Arc::new(|_| ()),
        };
        let (store, credentials) = WorkspaceStore::open(dir.path(), options).expect("the store opens");
        let token = credentials.expect("a first start").token.expose().to_owned();
        let sealing = SealingKey::derive(&[1; 32]);
        let (rejects, letters, snapshots) = (Arc::new(Fixed), Arc::new(Fixed), Arc::new(Fixed));
        let admin = Arc::new(Admin::new(store, sealing, limits, rejects, letters, snapshots));
        Self { admin, log, dir, token }
    }

    async fn send(&self, request: TestRequest) -> Answer {
        let document = Arc::new(openapi::document());
        let app = App::new().configure(routes(Arc::clone(&self.admin))).configure(openapi::route(document));
        let service = init_service(app).await;
        let response = call_service(&service, request.to_request()).await;
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes: web::Bytes = read_body(response).await;
        let body = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("every body is JSON")
        };
        Answer { status, headers, body }
    }

    /// A request with the first token.
    fn request(&self, method: &str, path: &str) -> TestRequest {
        request(method, path, &self.token)
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(self.request("GET", path)).await
    }

    async fn put(&self, method: &str, path: &str, body: Value) -> Answer {
        self.send(self.request(method, path).set_json(body)).await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.send(self.request("DELETE", path)).await
    }
}

fn request(method: &str, path: &str, token: &str) -> TestRequest {
    TestRequest::default()
        .method(Method::from_bytes(method.as_bytes()).expect("a method"))
        .uri(&format!("{PREFIX}{path}"))
        .insert_header((AUTHORIZATION, format!("Bearer {token}")))
}

/// Other parts that always answer the same: rows that repeat what they were asked.
struct Fixed;

impl Rejects for Fixed {
    fn find(
        &self,
        workspace: WorkspaceId,
        message_id: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<RejectRow>, OutsideError> {
        if cursor == Some("bad") {
            return Err(OutsideError::Cursor);
        }
        let event = serde_json::value::RawValue::from_string("{\"big\":9007199254740993}".to_owned());
        let row = RejectRow {
            message_id: message_id.map(str::to_owned),
            source: Some("src_1".to_owned()),
            received_at: Timestamp::from_millis(0).to_string(),
            reason: "no_type".to_owned(),
            message: format!("{workspace} {limit} {cursor:?}"),
            event: Some(event.expect("JSON")),
            pointer: String::new(),
            event_base64: None,
        };
        Ok(Rows { rows: vec![row], next: Some("more".to_owned()) })
    }
}

impl DeadLetters for Fixed {
    fn list(
        &self,
        _: WorkspaceId,
        destination: DestinationId,
        limit: usize,
        _: Option<&str>,
    ) -> Result<Rows<DeadLetterRow>, OutsideError> {
        let row = DeadLetterRow {
            delivery_id: format!("{destination}"),
            message_id: "m".to_owned(),
            reason: format!("limit {limit}"),
            attempts: 1,
            first_attempt_at: None,
            last_attempt_at: None,
            given_up_at: Timestamp::from_millis(0).to_string(),
            response_status: Some(400),
            response_excerpt: String::new(),
            event: None,
        };
        Ok(Rows { rows: vec![row], next: None })
    }
}

impl Snapshots for Fixed {
    fn take(&self) -> Result<SnapshotTaken, OutsideError> {
        Err(OutsideError::NotReady("the state"))
    }
}
