//! How destinations are doing, and the end of a pause.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::{Destination, Scope};
use tributary_model::{ErrorCode, Workspace};

use super::{WHAT, find, view};
use crate::admin::destinations::states::{DestinationStatusView, StatusesView};
use crate::admin::error::ApiError;
use crate::admin::outside::OutsideError;
use crate::admin::routes::{Answer, caller};
use crate::admin::{Admin, request};

/// Read how all destinations are doing
///
/// In `alarms` are those that are on and don't work: paused, or broken; and those, on or off, from which retention will soon take
/// what they have not had.
#[utoipa::path(get, path = "/admin/v1/destinations/status", tag = "destinations",
    responses((status = 200, description = "All destinations, by id", body = StatusesView)))]
pub(in crate::admin) async fn all(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let data = workspace.destinations.iter().map(|destination| status(&admin, &workspace, destination));
    Ok(HttpResponse::Ok().json(StatusesView::of(data.collect())))
}

/// Read how a destination is doing
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/status", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "How it is doing", body = DestinationStatusView)))]
pub(in crate::admin) async fn status_of(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let destination = find(&workspace, request::id(&http, WHAT)?)?;
    Ok(HttpResponse::Ok().json(status(&admin, &workspace, destination)))
}

/// End the pause of a destination
///
/// What it holds back is sent at once. If the receiver is still out, or still refuses, it is paused again.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/resume", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses(
        (status = 202, description = "It goes on", body = DestinationStatusView),
        (status = 409, description = "It is not paused", body = crate::admin::error::ErrorBody),
    ))]
pub(in crate::admin) async fn resume(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    let workspace = &caller.workspace;
    let destination = find(workspace, request::id(&http, WHAT)?)?;
    if view(&admin, workspace, destination).state != "paused" {
        let message = format!("{WHAT} {} is not paused", destination.id);
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    if !admin.outside.destinations.resume(workspace.id, destination.id)? {
        return Err(OutsideError::NotReady("the destination").into());
    }
    tracing::info!(workspace = %workspace.id, destination = %destination.id, by = %caller.author(), "a pause was ended");
    Ok(HttpResponse::Accepted().json(status(&admin, workspace, destination)))
}

fn status(admin: &Admin, workspace: &Workspace, destination: &Destination) -> DestinationStatusView {
    let (engine, view) = (&admin.outside.destinations, view(admin, workspace, destination));
    let used = engine.retention_used(workspace.id, destination.id);
    DestinationStatusView::of(view, engine.status(workspace.id, destination.id), used)
}
