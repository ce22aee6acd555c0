//! Replays: what was before is sent again, with the delivery ids of the first time.

use std::sync::Arc;

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::{Destination, Scope};
use tributary_model::{ErrorCode, Workspace};

use super::{find, no_parameters, view, view_at};
use crate::admin::destinations::replays::{ReplayNew, ReplayView};
use crate::admin::dto::List;
use crate::admin::error::{ApiError, ErrorBody};
use crate::admin::routes::{Answer, blocking, caller};
use crate::admin::{Admin, request};

const WHAT: &str = "replay";

/// Send again what was before
///
/// Also what arrived before the destination was created: so a new one is back-filled. A dry run only counts. Deliveries have
/// the ids of the first time. One replay of a destination runs at a time, and beside it one dry run. While the destination is off
/// or paused, a replay waits, and says so; a dry run does not wait.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/replay", tag = "replays", request_body = ReplayNew,
    params(("id" = String, Path, description = "The id of the destination", example = "dst_3")),
    responses(
        (status = 202, description = "It runs", body = ReplayView),
        (status = 409, description = "Another one runs (for a dry run: another dry run), or the destination is broken", body = ErrorBody),
    ))]
pub(in crate::admin) async fn begin(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let of = place(&caller.workspace, &http)?;
    let (workspace, destination) = (caller.workspace.id, of.id);
    let new: ReplayNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let order = new.order()?;
    if let Some(problem) = view(&admin, &caller.workspace, of).problem {
        let message =
            format!("{} {destination} is broken, so nothing can be sent again: {problem}", super::WHAT);
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let begun = admin.outside.destinations.start_replay(workspace, destination, order).await?;
    let begun = told(&admin, &caller.workspace, of, vec![begun]).remove(0);
    tracing::info!(%workspace, %destination, replay = begun.id, by = %caller.author(), "a replay was begun");
    Ok(HttpResponse::Accepted().json(begun))
}

/// List the replays of a destination
///
/// Newest first, with how far they are.
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/replays", tag = "replays",
    params(("id" = String, Path, description = "The id of the destination", example = "dst_3")),
    responses((status = 200, description = "The replays that are remembered", body = List<ReplayView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let destination = place(&workspace, &http)?;
    let data = replays(&admin, &workspace, destination).await?;
    Ok(HttpResponse::Ok().json(List::<ReplayView> { data }))
}

/// Read a replay
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/replays/{replay}", tag = "replays",
    params(
        ("id" = String, Path, description = "The id of the destination", example = "dst_3"),
        ("replay" = String, Path, description = "The id of the replay", example = "1"),
    ),
    responses((status = 200, description = "The replay", body = ReplayView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let destination = place(&workspace, &http)?;
    let id = replay(&http);
    let all = replays(&admin, &workspace, destination).await?;
    let found = all.into_iter().find(|replay| replay.id == id);
    Ok(HttpResponse::Ok().json(found.ok_or_else(|| request::no_such(WHAT, id))?))
}

/// Cancel a replay
///
/// What it queued and is not under way is not sent.
#[utoipa::path(delete, path = "/admin/v1/destinations/{id}/replays/{replay}", tag = "replays",
    params(
        ("id" = String, Path, description = "The id of the destination", example = "dst_3"),
        ("replay" = String, Path, description = "The id of the replay", example = "1"),
    ),
    responses((status = 204, description = "Cancelled, if it still ran")))]
pub(in crate::admin) async fn cancel(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let of = place(&caller.workspace, &http)?;
    let (workspace, destination) = (caller.workspace.id, of.id);
    let id = replay(&http);
    let all = replays(&admin, &caller.workspace, of).await?;
    if !all.iter().any(|replay| replay.id == id) {
        return Err(request::no_such(WHAT, id));
    }
    let number = id.parse().map_err(|_| request::no_such(WHAT, id))?;
    if admin.outside.destinations.cancel_replay(workspace, destination, number).await? {
        tracing::info!(%workspace, %destination, replay = number, by = %caller.author(), "a replay was cancelled");
    }
    Ok(HttpResponse::NoContent().finish())
}

/// The destination that is meant.
fn place<'a>(workspace: &'a Workspace, http: &HttpRequest) -> Result<&'a Destination, ApiError> {
    no_parameters(http)?;
    find(workspace, request::id(http, super::WHAT)?)
}

/// The id of a replay in the path.
fn replay(http: &HttpRequest) -> &str {
    http.match_info().get("replay").unwrap_or_default()
}

async fn replays(
    admin: &Admin,
    workspace: &Workspace,
    destination: &Destination,
) -> Result<Vec<ReplayView>, ApiError> {
    let part = Arc::clone(&admin.outside.destinations);
    let (of, id) = (workspace.id, destination.id);
    let replays = blocking(move || part.replays(of, id)).await?;
    Ok(told(admin, workspace, destination, replays))
}

/// Replays of a destination, with what keeps those that run from going on.
fn told(
    admin: &Admin,
    workspace: &Workspace,
    destination: &Destination,
    replays: Vec<ReplayView>,
) -> Vec<ReplayView> {
    let status = admin.outside.destinations.status(workspace.id, destination.id);
    let view = view_at(admin, workspace, destination, status.as_ref());
    replays.into_iter().map(|replay| replay.beside(&view, status.as_ref())).collect()
}
