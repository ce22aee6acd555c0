//! The admin API over HTTP, on a real store in a temporary directory.

mod access;
mod audience_preview;
mod audiences;
mod audiences_in_document;
mod destinations;
mod destinations_at_work;
mod destinations_kept;
mod destinations_set_up;
mod document;
mod export;
mod fixed_engine;
mod identity;
mod openapi;
mod people;
mod resources;
mod trait_rules;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::http::{Method, StatusCode};
use actix_web::test::{TestRequest, call_service, init_service, read_body};
use actix_web::{App, web};
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use serde_json::Value;
use tributary_eventlog::MemoryLog;
use tributary_model::clock::ManualClock;
use tributary_model::{
    AudienceId, ComputedTraitId, DestinationId, ErrorCode, ProfileId, Timestamp, WorkspaceId,
};

use super::identity::{AlarmRow, Rebuilt};
use super::outside::{
    AudienceMember, AudienceStanding, Audiences, ComputedStanding, DeadLetterRow, DeadLetters, Detail,
    Graphs, OutsideError, PreviewOrder, PreviewState, Previews, RejectRow, Rejects, Rows, SizeHour,
    SnapshotTaken, Snapshots,
};
use super::*;
use crate::config::AdminSettings;
use crate::seal::SealingKey;
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
    others: Arc<Fixed>,
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
        let editor = Editor {
            sealing: SealingKey::derive(&[1; 32]),
            limits,
            allow_private_destinations: false,
            intake: tributary_ingest::IngestLimits::default(),
        };
        let others = Arc::new(Fixed::default());
        let admin = Arc::new(Admin::new(store, editor, Outside::of(&others)));
        Self { admin, log, dir, token, others }
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

/// Other parts that always answer the same: rows that repeat what they were asked, and what a test laid down.
#[derive(Default)]
struct Fixed {
    /// The order of the only preview, and how that is.
    preview: Mutex<Option<(PreviewOrder, PreviewState)>>,
    /// How the next preview is once it was begun; it goes on where nothing is laid down.
    next_preview: Mutex<Option<PreviewState>>,
    /// What a rebuild makes; it goes on where nothing is laid down.
    rebuilt: Mutex<Option<Rebuilt>>,
    /// Who ordered rebuilds of what, under which version.
    rebuilds: Mutex<Vec<(WorkspaceId, u64, String)>>,
    /// How audiences stand; those that are not laid down wait.
    standings: Mutex<HashMap<AudienceId, AudienceStanding>>,
    /// How computed traits stand; those that are not laid down wait.
    computed: Mutex<HashMap<ComputedTraitId, ComputedStanding>>,
    /// The audiences whose members are leaving.
    leaving: Mutex<Vec<(String, u64)>>,
    /// The hours in which any audience changed.
    hours: Mutex<Vec<SizeHour>>,
    /// The versions that were waited for.
    read: Mutex<Vec<(WorkspaceId, u64)>>,
    /// How destinations are doing, and what was asked of them.
    engine: fixed_engine::FixedEngine,
}

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
            profile_id: None,
            reason: format!("limit {limit}"),
            reason_code: "bad_request",
            attempts: 1,
            first_attempt_at: None,
            last_attempt_at: None,
            given_up_at: Timestamp::from_millis(0).to_string(),
            request: None,
            response: None,
            replay: None,
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

impl Previews for Fixed {
    fn begin(&self, _: WorkspaceId, order: PreviewOrder) -> Result<String, OutsideError> {
        let mut preview = self.preview.lock().expect("not poisoned");
        if let Some((_, PreviewState::Running { .. })) = &*preview {
            return Err(OutsideError::Busy("preview prv_1 is running".to_owned()));
        }
        let state = self.next_preview.lock().expect("not poisoned").take();
        *preview = Some((order, state.unwrap_or(PreviewState::Running { read: 3, of: 7 })));
        Ok("prv_1".to_owned())
    }

    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState> {
        let preview = self.preview.lock().expect("not poisoned");
        let is_it = workspace == WorkspaceId(1) && id == "prv_1";
        preview.as_ref().filter(|_| is_it).map(|(_, state)| state.clone())
    }

    fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()> {
        match self.state(workspace, id) {
            Some(PreviewState::Running { .. }) => future::pending().boxed(),
            Some(PreviewState::Done(_) | PreviewState::Failed(..)) | None => future::ready(()).boxed(),
        }
    }

    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool {
        let known = self.state(workspace, id).is_some();
        if let (true, Some((_, state))) = (known, &mut *self.preview.lock().expect("not poisoned")) {
            *state = PreviewState::Failed(ErrorCode::Unavailable, "it was stopped".to_owned());
        }
        known
    }

    fn forget(&self, _: WorkspaceId, _: &str) {
        *self.preview.lock().expect("not poisoned") = None;
    }
}

impl Graphs for Fixed {
    fn rebuild(
        &self,
        workspace: WorkspaceId,
        version: u64,
        by: String,
        wait: Duration,
    ) -> BoxFuture<'static, Result<Option<Rebuilt>, OutsideError>> {
        assert_eq!(wait, Duration::from_secs(25));
        self.rebuilds.lock().expect("not poisoned").push((workspace, version, by));
        future::ready(Ok(*self.rebuilt.lock().expect("not poisoned"))).boxed()
    }

    fn alarms(
        &self,
        workspace: WorkspaceId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<AlarmRow>, OutsideError> {
        if cursor == Some("bad") {
            return Err(OutsideError::Cursor);
        }
        let row = AlarmRow {
            kind: format!("{workspace} {limit} {cursor:?}"),
            at: Timestamp::from_millis(0).to_string(),
            profile_id: None,
            identifier: Some("email:a@b".to_owned()),
            count: 20,
            threshold: 20,
        };
        Ok(Rows { rows: vec![row], next: Some("7".to_owned()) })
    }
}

impl Audiences for Fixed {
    fn has_read(&self, workspace: WorkspaceId, version: u64, _: Duration) -> BoxFuture<'static, ()> {
        self.read.lock().expect("not poisoned").push((workspace, version));
        future::ready(()).boxed()
    }

    fn standing(
        &self,
        _: WorkspaceId,
        audience: AudienceId,
    ) -> Result<Option<AudienceStanding>, OutsideError> {
        Ok(self.standings.lock().expect("not poisoned").get(&audience).cloned())
    }

    fn computed_standing(
        &self,
        _: WorkspaceId,
        computed: ComputedTraitId,
    ) -> Result<Option<ComputedStanding>, OutsideError> {
        Ok(self.computed.lock().expect("not poisoned").get(&computed).copied())
    }

    fn leaving(&self, _: WorkspaceId) -> Result<Vec<(String, u64)>, OutsideError> {
        Ok(self.leaving.lock().expect("not poisoned").clone())
    }

    fn members(
        &self,
        workspace: WorkspaceId,
        _: AudienceId,
        after: Option<ProfileId>,
        limit: usize,
        detail: Detail,
    ) -> Result<Vec<AudienceMember>, OutsideError> {
        // Five profiles, whatever is asked for.
        let all = (1..=5).map(|number| ProfileId([number; 16]));
        let member = |profile: ProfileId| AudienceMember {
            profile,
            since: Timestamp::from_millis(0),
            identifiers: vec![format!("user_id:{workspace}")],
            is_approximate: profile == ProfileId([2; 16]),
            traits: (detail == Detail::Traits).then(|| vec![("plan".to_owned(), "\"pro\"".to_owned())]),
        };
        Ok(all.filter(|id| after.is_none_or(|after| *id > after)).take(limit).map(member).collect())
    }

    fn sizes(
        &self,
        _: WorkspaceId,
        _: AudienceId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<SizeHour>, OutsideError> {
        let hours = self.hours.lock().expect("not poisoned");
        Ok(hours.iter().filter(|hour| from <= hour.at && hour.at < to).copied().collect())
    }

    fn now(&self) -> Result<Timestamp, OutsideError> {
        // Three hours and a half after everything was created.
        Ok(Timestamp::from_millis(1_790_000_000_000 + 12_600_000))
    }
}
