//! Who would be in an audience of a condition. It is about people, so it needs `profiles:read` too.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::{ErrorCode, WorkspaceId};

use super::audience_members::reader;
use super::{Answer, blocking};
use crate::admin::audience_preview::{AudiencePreviewDone, AudiencePreviewNew, AudiencePreviewReport};
use crate::admin::error::ApiError;
use crate::admin::identity::PreviewRunning;
use crate::admin::outside::PreviewState;
use crate::admin::{Admin, request};

const WHAT: &str = "preview";

/// Try a condition
///
/// Says who would be in an audience of it, exactly: how many, some of them, and how many are in each audience that there
/// is. What traits, names of events and audiences decide is answered at once; the rest by a job, one at a time.
#[utoipa::path(post, path = "/admin/v1/audiences/preview", tag = "audience_preview",
    request_body = AudiencePreviewNew,
    responses(
        (status = 200, description = "The answer", body = AudiencePreviewDone),
        (status = 202, description = "It goes on; read it by its id", body = PreviewRunning),
    ))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let workspace = reader(&admin, &http)?;
    let new: AudiencePreviewNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let wait = Duration::from_secs(new.wait_seconds()?);
    let previews = &admin.outside.audience_previews;
    let (part, of) = (Arc::clone(previews), Arc::clone(&workspace));
    let tried = move || {
        let order = new.order(&of)?;
        let report = part.at_once(&order)?;
        Ok::<_, ApiError>((order, report))
    };
    let (order, report) = blocking(tried).await?;
    if let Some(report) = report {
        return Ok(done(None, report));
    }
    let id = previews.begin(&order)?;
    // Whether it ended or goes on is told by its state.
    let _ = tokio::time::timeout(wait, previews.ended(workspace.id, &id)).await;
    shown(&admin, workspace.id, id)
}

/// Read a preview of an audience
///
/// The results of the last ten jobs are kept, until the server stops.
#[utoipa::path(get, path = "/admin/v1/audiences/preview/{id}", tag = "audience_preview",
    params(("id" = String, Path, description = "Its id", example = "prv_1")),
    responses(
        (status = 200, description = "The answer", body = AudiencePreviewDone),
        (status = 202, description = "It goes on", body = PreviewRunning),
    ))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?.id;
    shown(&admin, workspace, request::id(&http, WHAT)?)
}

/// Stop a preview of an audience
///
/// Its result is forgotten.
#[utoipa::path(delete, path = "/admin/v1/audiences/preview/{id}", tag = "audience_preview",
    params(("id" = String, Path, description = "Its id", example = "prv_1")),
    responses((status = 204, description = "Stopped and forgotten")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = reader(&admin, &http)?.id;
    let id: String = request::id(&http, WHAT)?;
    let previews = &admin.outside.audience_previews;
    if !previews.stop(workspace, &id) {
        return Err(request::no_such(WHAT, id));
    }
    previews.ended(workspace, &id).await;
    previews.forget(workspace, &id);
    Ok(HttpResponse::NoContent().finish())
}

fn shown(admin: &Admin, workspace: WorkspaceId, id: String) -> Answer {
    match admin.outside.audience_previews.state(workspace, &id) {
        None => Err(request::no_such(WHAT, id)),
        Some(PreviewState::Running { read, of }) => {
            let state = "running".to_owned();
            Ok(HttpResponse::Accepted().json(PreviewRunning { id, state, read, of }))
        }
        Some(PreviewState::Done(report)) => Ok(done(Some(id), (*report).clone())),
        Some(PreviewState::Failed(code, message)) => {
            let error = ApiError::new(code, message);
            Err(if code == ErrorCode::Unavailable { error.retry_after(5) } else { error })
        }
    }
}

fn done(id: Option<String>, report: AudiencePreviewReport) -> HttpResponse {
    HttpResponse::Ok().json(AudiencePreviewDone { id, state: "done".to_owned(), report })
}
