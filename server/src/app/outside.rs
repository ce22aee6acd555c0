//! What the faces need from the other parts, behind the traits that they define.

mod audience_previews;
mod audiences;
mod destinations;
mod exports;
mod people;

use super::behind::Behind;
use crate::admin::destinations::reports::{RequestView, ResponseView};
use crate::admin::identity::{AlarmRow, Rebuilt};
use crate::admin::outside::{
    DeadLetterRow, DeadLetters, Graphs, OutsideError, PreviewOrder, PreviewState, Previews, RejectRow,
    Rejects, Rows, SnapshotTaken, Snapshots,
};
use crate::workspaces::WorkspaceStore;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use serde_json::value::RawValue;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tributary_destinations::DeadLetter;
use tributary_ingest::rejects::lookup::FoundReject;
use tributary_model::command::{Action, Command};
use tributary_model::json::depth;
use tributary_model::workspace::Scope;
use tributary_model::{DestinationId, ErrorCode, WorkspaceId};
use tributary_profiles::desk::DeskError;
use tributary_profiles::machine::CommandResult;
use tributary_profiles::rebuild::RebuildReport;
use tributary_profiles::{Access, alarms, preview};

/// The parts, as far as they are open.
pub(super) struct Outside {
    behind: Arc<Behind>,
    store: WorkspaceStore,
    /// The record of each workspace's last rebuild, of those that this process ordered.
    rebuilds: Arc<tokio::sync::Mutex<HashMap<WorkspaceId, u64>>>,
    /// A permit for each export that may be under way.
    exports: Arc<Semaphore>,
}

impl Outside {
    pub(super) fn new(behind: Arc<Behind>, store: WorkspaceStore) -> Self {
        let exports = Arc::new(Semaphore::new(exports::EXPORTS_MAX));
        Self { behind, store, rebuilds: Arc::default(), exports }
    }
}

impl Access for Outside {
    fn profiles(&self, token: Option<&str>, workspace: &str) -> Result<WorkspaceId, ErrorCode> {
        let snapshot = self.store.snapshot();
        let token = token.ok_or(ErrorCode::Unauthenticated)?;
        let (owner, token) = snapshot.token(token).ok_or(ErrorCode::Unauthenticated)?;
        // Whether another workspace exists is not this token's business.
        if owner.name != workspace || !token.scopes.contains(&Scope::ProfilesRead) {
            return Err(ErrorCode::Forbidden);
        }
        Ok(owner.id)
    }

    fn change(&self, token: Option<&str>, workspace: &str) -> Result<(WorkspaceId, u64, String), ErrorCode> {
        let snapshot = self.store.snapshot();
        let token = token.ok_or(ErrorCode::Unauthenticated)?;
        let (owner, token) = snapshot.token(token).ok_or(ErrorCode::Unauthenticated)?;
        // The answer shows profiles, too.
        let needed = [Scope::AdminWrite, Scope::ProfilesRead];
        if owner.name != workspace || !needed.iter().all(|scope| token.scopes.contains(scope)) {
            return Err(ErrorCode::Forbidden);
        }
        Ok((owner.id, owner.version, format!("{} {}", token.id, token.name)))
    }
}

impl Rejects for Outside {
    fn find(
        &self,
        workspace: WorkspaceId,
        message_id: Option<&str>,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<RejectRow>, OutsideError> {
        let lookup = self.behind.rejects().ok_or(OutsideError::NotReady("the rejects"))?;
        let before = parse_cursor(cursor)?;
        let mut found = lookup
            .find(workspace, message_id, limit + 1, before)
            .map_err(|error| OutsideError::Failed("reading the rejects", error.into()))?;
        let next = (found.len() > limit).then(|| found[limit - 1].sequence.to_string());
        found.truncate(limit);
        Ok(Rows { rows: found.into_iter().map(reject_row).collect(), next })
    }
}

impl DeadLetters for Outside {
    fn list(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<DeadLetterRow>, OutsideError> {
        let engine = self.behind.engine().ok_or(OutsideError::NotReady("the destinations"))?;
        let page = engine
            .dead_letters(workspace, destination, limit, parse_cursor(cursor)?)
            .map_err(|error| OutsideError::Failed("reading the dead letters", error.into()))?;
        let next = page.next.map(|next| next.to_string());
        Ok(Rows { rows: page.letters.into_iter().map(dead_letter_row).collect(), next })
    }
}

impl Snapshots for Outside {
    fn take(&self) -> Result<SnapshotTaken, OutsideError> {
        let projector = self.behind.projector().ok_or(OutsideError::NotReady("the profiles"))?;
        let taken = projector
            .snapshot_blocking()
            .map_err(|error| OutsideError::Failed("taking the snapshot", error.into()))?;
        let name = taken.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(SnapshotTaken { snapshot: name, path: taken.path.display().to_string(), position: taken.next })
    }
}

impl Previews for Outside {
    fn begin(&self, workspace: WorkspaceId, order: PreviewOrder) -> Result<String, OutsideError> {
        let snapshot = self.store.snapshot();
        // Deleted in this very moment.
        let gone = || OutsideError::Unavailable("the workspace is gone".to_owned());
        let current = snapshot.workspace(workspace).ok_or_else(gone)?.identity.clone();
        let PreviewOrder { rules, from, until } = order;
        self.behind.previews().begin(current, preview::PreviewOrder { workspace, rules, from, until })
    }

    fn state(&self, workspace: WorkspaceId, id: &str) -> Option<PreviewState> {
        self.behind.previews().state(workspace, id)
    }

    fn ended(&self, workspace: WorkspaceId, id: &str) -> BoxFuture<'static, ()> {
        self.behind.previews().ended(workspace, id)
    }

    fn stop(&self, workspace: WorkspaceId, id: &str) -> bool {
        self.behind.previews().cancel(workspace, id)
    }

    fn forget(&self, workspace: WorkspaceId, id: &str) {
        self.behind.previews().forget(workspace, id);
    }
}

impl Graphs for Outside {
    fn rebuild(
        &self,
        workspace: WorkspaceId,
        version: u64,
        by: String,
        wait: Duration,
    ) -> BoxFuture<'static, Result<Option<Rebuilt>, OutsideError>> {
        let (desk, last) = (self.behind.desk(), Arc::clone(&self.rebuilds));
        let rebuild = async move {
            let desk = desk.get().ok_or(OutsideError::NotReady("the profiles"))?;
            let mut last = last.lock().await;
            if let Some(last) = last.get(&workspace).filter(|last| !desk.is_in_force(**last)) {
                let message =
                    format!("a rebuild is under way (record {last} of the log): wait until it is in force");
                return Err(OutsideError::Busy(message));
            }
            let command = Command { by, reason: None, action: Action::Rebuild };
            let sequence = desk.put(workspace, version, &command).await.map_err(not_ordered)?;
            last.insert(workspace, sequence);
            drop(last);
            match desk.result(sequence, wait).await {
                Ok(CommandResult::Rebuilt(report)) => Ok(Some(rebuilt(report))),
                Ok(CommandResult::Refused(refused)) => Err(OutsideError::Unavailable(refused.message)),
                Ok(CommandResult::Unmerged(_) | CommandResult::HandedOver(_)) => {
                    let message = format!("record {sequence} is no rebuild");
                    Err(OutsideError::Failed("the rebuild", message.into()))
                }
                // It is in the log, so it will be in force, or is already.
                Err(DeskError::Late { .. } | DeskError::Stopped { .. } | DeskError::Forgotten { .. }) => {
                    Ok(None)
                }
                Err(error @ (DeskError::Log(_) | DeskError::Behind)) => Err(not_ordered(error)),
            }
        };
        rebuild.boxed()
    }

    fn alarms(
        &self,
        workspace: WorkspaceId,
        limit: usize,
        cursor: Option<&str>,
    ) -> Result<Rows<AlarmRow>, OutsideError> {
        let reader = self.behind.reader();
        let reader = reader.get().ok_or(OutsideError::NotReady("the profiles"))?;
        let mut found = reader
            .alarms(workspace, limit + 1, parse_cursor(cursor)?)
            .map_err(|error| OutsideError::Failed("reading the alarms", error.into()))?;
        let next = (found.len() > limit).then(|| found[limit - 1].0.to_string());
        found.truncate(limit);
        Ok(Rows { rows: found.into_iter().map(|(_, alarm)| alarm_row(alarm)).collect(), next })
    }
}

fn not_ordered(error: DeskError) -> OutsideError {
    if error.code() == ErrorCode::Internal {
        return OutsideError::Failed("ordering the rebuild", error.into());
    }
    OutsideError::Unavailable(error.to_string())
}

fn parse_cursor(cursor: Option<&str>) -> Result<Option<u64>, OutsideError> {
    cursor.map(|text| text.parse().map_err(|_| OutsideError::Cursor)).transpose()
}

/// How deeply an event is nested that is shown as JSON; readers' parsers give up not far beyond.
const DEPTH_SHOWN_MAX: usize = 100;

/// The bytes as JSON, if they are and a reader's parser can take them.
fn json(bytes: &[u8]) -> Option<Box<RawValue>> {
    if depth(bytes) > DEPTH_SHOWN_MAX {
        return None;
    }
    serde_json::from_slice(bytes).ok()
}

fn reject_row(found: FoundReject) -> RejectRow {
    let reject = found.reject;
    let event = json(&reject.original);
    let event_base64 = event.is_none().then(|| STANDARD.encode(&reject.original));
    RejectRow {
        message_id: reject.message_id,
        source: Some(reject.source.to_string()),
        received_at: reject.received_at.to_string(),
        reason: reject.reason.name().to_owned(),
        message: reject.text,
        pointer: reject.pointer,
        event,
        event_base64,
    }
}

fn alarm_row(alarm: alarms::AlarmRow) -> AlarmRow {
    AlarmRow {
        kind: alarm.kind.name().to_owned(),
        at: alarm.at.to_string(),
        profile_id: alarm.profile.map(|id| id.to_string()),
        identifier: alarm.identifier.map(|identifier| identifier.to_text()),
        count: alarm.count,
        threshold: alarm.threshold,
    }
}

fn rebuilt(report: RebuildReport) -> Rebuilt {
    let RebuildReport { profiles_before, profiles_after, merges, splits } = report;
    Rebuilt { profiles_before, profiles_after, merges, splits }
}

fn dead_letter_row(letter: DeadLetter) -> DeadLetterRow {
    DeadLetterRow {
        delivery_id: letter.delivery_id,
        message_id: letter.message_id.to_string(),
        profile_id: letter.profile.map(|id| id.to_string()),
        reason: letter.reason,
        reason_code: letter.reason_code.name(),
        attempts: letter.attempts,
        first_attempt_at: letter.first_attempt.map(|at| at.to_string()),
        last_attempt_at: letter.last_attempt.map(|at| at.to_string()),
        given_up_at: letter.given_up_at.to_string(),
        request: letter.request.map(RequestView::of),
        response: letter.response.map(ResponseView::of),
        replay: letter.replay.map(|replay| replay.to_string()),
        event: json(&letter.event),
    }
}
