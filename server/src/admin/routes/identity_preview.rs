//! What changed identity rules would make of the log, and what the rules in force make of the stored evidence.

use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value};
use tributary_model::workspace::Scope;
use tributary_model::{ErrorCode, WorkspaceId};

use super::{Answer, caller};
use crate::admin::error::ApiError;
use crate::admin::identity::{PreviewDone, PreviewNew, PreviewRunning, Rebuilding, Rebuilt, WAIT_SECONDS};
use crate::admin::outside::PreviewState;
use crate::admin::{Admin, request};

const WHAT: &str = "preview";

/// Try changed identity rules
///
/// Runs them over the log, or a window of it, without touching any profile. One preview runs at a time.
#[utoipa::path(post, path = "/admin/v1/identity-rules/preview", tag = "identity_preview",
    request_body = PreviewNew,
    responses(
        (status = 200, description = "The report", body = PreviewDone),
        (status = 202, description = "It goes on; read it by its id", body = PreviewRunning),
    ))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminWrite)?.workspace.id;
    let body: Map<String, Value> = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let new = PreviewNew::of(body)?;
    let wait = Duration::from_secs(new.wait_seconds()?);
    let previews = &admin.outside.previews;
    let id = previews.begin(workspace, new.order()?)?;
    // Whether it ended or goes on is told by its state.
    let _ = tokio::time::timeout(wait, previews.ended(workspace, &id)).await;
    shown(&admin, workspace, id)
}

/// Read a preview
///
/// The results of the last ten are kept, until the server stops.
#[utoipa::path(get, path = "/admin/v1/identity-rules/preview/{id}", tag = "identity_preview",
    params(("id" = String, Path, description = "Its id", example = "prv_1")),
    responses(
        (status = 200, description = "The report", body = PreviewDone),
        (status = 202, description = "It goes on", body = PreviewRunning),
    ))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace.id;
    shown(&admin, workspace, request::id(&http, WHAT)?)
}

/// Stop a preview
///
/// Its result is forgotten.
#[utoipa::path(delete, path = "/admin/v1/identity-rules/preview/{id}", tag = "identity_preview",
    params(("id" = String, Path, description = "Its id", example = "prv_1")),
    responses((status = 204, description = "Stopped and forgotten")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminWrite)?.workspace.id;
    let id: String = request::id(&http, WHAT)?;
    let previews = &admin.outside.previews;
    if !previews.stop(workspace, &id) {
        return Err(request::no_such(WHAT, id));
    }
    previews.ended(workspace, &id).await;
    previews.forget(workspace, &id);
    Ok(HttpResponse::NoContent().finish())
}

fn shown(admin: &Admin, workspace: WorkspaceId, id: String) -> Answer {
    match admin.outside.previews.state(workspace, &id) {
        None => Err(request::no_such(WHAT, id)),
        Some(PreviewState::Running { read, of }) => {
            let state = "running".to_owned();
            Ok(HttpResponse::Accepted().json(PreviewRunning { id, state, read, of }))
        }
        Some(PreviewState::Done(report)) => {
            let (state, report) = ("done".to_owned(), (*report).clone());
            Ok(HttpResponse::Ok().json(PreviewDone { id, state, report }))
        }
        Some(PreviewState::Failed(code, message)) => {
            let error = ApiError::new(code, message);
            Err(if code == ErrorCode::Unavailable { error.retry_after(5) } else { error })
        }
    }
}

/// Make the profiles again under the rules in force
///
/// Every link that was ever offered is decided anew, in the order of the log, further back than the log reaches.
/// Answers once that is in force, or after 25 seconds that it goes on.
#[utoipa::path(post, path = "/admin/v1/identity-rules/rebuild", tag = "identity_preview",
    responses(
        (status = 200, description = "It is in force", body = Rebuilt),
        (status = 202, description = "It goes on", body = Rebuilding),
    ))]
pub(in crate::admin) async fn rebuild(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let workspace = &caller.workspace;
    let by = caller.orderer();
    let wait = Duration::from_secs(WAIT_SECONDS);
    match admin.outside.graphs.rebuild(workspace.id, workspace.version, by, wait).await? {
        Some(rebuilt) => Ok(HttpResponse::Ok().json(rebuilt)),
        None => Ok(HttpResponse::Accepted().json(Rebuilding { state: "running".to_owned() })),
    }
}
