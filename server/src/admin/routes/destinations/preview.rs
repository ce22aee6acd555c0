//! Tries: an event, a test call, the deletion of a person. What reaches the receiver needs `admin:write`.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use tributary_destinations::DestinationConfig;
use tributary_destinations::engine::CallReport;
use tributary_model::workspace::Scope;

use super::{WHAT, find, no_parameters};
use crate::admin::auth::Caller;
use crate::admin::destinations::reports::{CallView, PreviewView};
use crate::admin::destinations::trials::{
    DestinationPreviewNew, DestinationPreviewUnsaved, PersonDelete, Reach, Subject, TestNew, TestUnsaved,
};
use crate::admin::error::ApiError;
use crate::admin::routes::{Answer, blocking, caller};
use crate::admin::{Admin, request};
use crate::workspaces::Refusal;

/// Try an event with a destination
///
/// Tells what would be left out and by what, what the mappings make of it, and the exact requests, secrets masked; with
/// `"send": true` it is sent, too, and the answers are told. Nothing is recorded.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/preview", tag = "destinations",
    request_body = DestinationPreviewNew,
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "What would become of the event, or became of it", body = PreviewView)))]
pub(in crate::admin) async fn preview(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    no_parameters(&http)?;
    let caller = caller(&admin, &http, Scope::AdminRead)?;
    let destination = find(&caller.workspace, request::id(&http, WHAT)?)?.clone();
    let (subject, parts) = body::<DestinationPreviewNew>(&admin, payload).await?.parts();
    let (editor, workspace) = (admin.editor.clone(), caller.workspace.clone());
    let reach = subject.reach();
    let config = move || editor.tried(&workspace, &destination, parts, reach);
    previewed(&admin, &caller, subject, config).await
}

/// Try an event with a destination that is not saved
#[utoipa::path(post, path = "/admin/v1/destinations/preview", tag = "destinations", request_body = DestinationPreviewUnsaved,
    responses((status = 200, description = "What would become of the event, or became of it", body = PreviewView)))]
pub(in crate::admin) async fn preview_unsaved(
    admin: Data<Admin>,
    http: HttpRequest,
    payload: Payload,
) -> Answer {
    no_parameters(&http)?;
    let caller = caller(&admin, &http, Scope::AdminRead)?;
    let (subject, new) = body::<DestinationPreviewUnsaved>(&admin, payload).await?.parts();
    let (editor, workspace) = (admin.editor.clone(), caller.workspace.clone());
    previewed(&admin, &caller, subject, move || editor.tried_new(&workspace, new)).await
}

/// Test the settings of a destination
///
/// By the definition's test call, which does no harm; also with settings that are not saved.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/test", tag = "destinations", request_body = TestNew,
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "What came of the call", body = CallView)))]
pub(in crate::admin) async fn test(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    no_parameters(&http)?;
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let destination = find(&caller.workspace, request::id(&http, WHAT)?)?.clone();
    let TestNew { settings } = body(&admin, payload).await?;
    let (editor, workspace) = (admin.editor.clone(), caller.workspace.clone());
    let config = blocking(move || editor.called(&workspace, &destination, settings)).await?;
    tested(&admin, config).await
}

/// Test the settings of a destination that is not saved
#[utoipa::path(post, path = "/admin/v1/destinations/test", tag = "destinations", request_body = TestUnsaved,
    responses((status = 200, description = "What came of the call", body = CallView)))]
pub(in crate::admin) async fn test_unsaved(
    admin: Data<Admin>,
    http: HttpRequest,
    payload: Payload,
) -> Answer {
    no_parameters(&http)?;
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let new = body::<TestUnsaved>(&admin, payload).await?.destination();
    let (editor, workspace) = (admin.editor.clone(), caller.workspace.clone());
    let config = blocking(move || editor.tried_new(&workspace, new)).await?;
    tested(&admin, config).await
}

/// Delete a person at a receiver
///
/// By the definition's own request. It can't be undone.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/delete_person", tag = "destinations",
    request_body = PersonDelete,
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "What came of the call", body = CallView)))]
pub(in crate::admin) async fn delete_person(
    admin: Data<Admin>,
    http: HttpRequest,
    payload: Payload,
) -> Answer {
    no_parameters(&http)?;
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let destination = find(&caller.workspace, request::id(&http, WHAT)?)?.clone();
    let person = body::<PersonDelete>(&admin, payload).await?.person(&caller.workspace.identity)?;
    let (editor, workspace, id) = (admin.editor.clone(), caller.workspace.clone(), destination.id);
    let config = blocking(move || editor.called(&workspace, &destination, None)).await?;
    let definition = config.definition.clone();
    let report = admin.outside.destinations.delete_person(config, person).await?;
    let report = report.ok_or_else(|| unable(&definition, "deletes nobody"))?;
    let workspace = caller.workspace.id;
    tracing::info!(%workspace, destination = %id, by = %caller.author(), "the deletion of a person was asked for");
    Ok(called(report))
}

async fn body<T: DeserializeOwned>(admin: &Admin, payload: Payload) -> Result<T, ApiError> {
    request::json(payload, admin.editor.limits.body_bytes_max).await
}

async fn previewed(
    admin: &Admin,
    caller: &Caller,
    subject: Subject,
    config: impl FnOnce() -> Result<DestinationConfig, Refusal> + Send + 'static,
) -> Answer {
    if subject.reach() == Reach::Sent {
        caller.require(Scope::AdminWrite)?;
    }
    let destinations = &admin.outside.destinations;
    let order = subject.order(&admin.editor.intake, destinations.time())?;
    let config = blocking(config).await?;
    let report = destinations.preview(config, order).await?;
    Ok(HttpResponse::Ok().json(PreviewView::of(report)))
}

async fn tested(admin: &Admin, config: DestinationConfig) -> Answer {
    let definition = config.definition.clone();
    let report = admin.outside.destinations.test(config).await?;
    Ok(called(report.ok_or_else(|| unable(&definition, "has no test call"))?))
}

fn called(report: CallReport) -> HttpResponse {
    HttpResponse::Ok().json(CallView::of(report))
}

fn unable(definition: &str, what: &str) -> ApiError {
    ApiError::invalid(format!("the definition {definition} {what}"))
}
