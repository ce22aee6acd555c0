//! How destinations are doing, and the end of a pause.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_destinations::DestinationStatus;
use tributary_model::workspace::{Destination, Scope};
use tributary_model::{ErrorCode, Workspace};

use super::{WHAT, find, no_parameters, view_at};
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
    no_parameters(&http)?;
    let data = workspace.destinations.iter().map(|destination| status(&admin, &workspace, destination));
    Ok(HttpResponse::Ok().json(StatusesView::of(data.collect())))
}

/// Read how a destination is doing
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/status", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "How it is doing", body = DestinationStatusView)))]
pub(in crate::admin) async fn status_of(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    no_parameters(&http)?;
    let destination = find(&workspace, request::id(&http, WHAT)?)?;
    Ok(HttpResponse::Ok().json(status(&admin, &workspace, destination)))
}

/// End the pause of a destination
///
/// What it holds back is sent at once; by one that is off, when it is switched on. If the receiver is still out, or still
/// refuses, it is paused again. The answer shows the destination without the pause.
#[utoipa::path(post, path = "/admin/v1/destinations/{id}/resume", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses(
        (status = 202, description = "The pause ends", body = DestinationStatusView),
        (status = 409, description = "It is not paused, or it is broken", body = crate::admin::error::ErrorBody),
    ))]
pub(in crate::admin) async fn resume(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminWrite)?;
    no_parameters(&http)?;
    let workspace = &caller.workspace;
    let destination = find(workspace, request::id(&http, WHAT)?)?;
    let known = admin.outside.destinations.status(workspace.id, destination.id);
    if let Some(problem) = view_at(&admin, workspace, destination, known.as_ref()).problem {
        let message = format!("{WHAT} {} can't go on before it is mended: {problem}", destination.id);
        return Err(ApiError::new(ErrorCode::Conflict, message));
    }
    let Some(paused) = known.filter(|known| known.paused.is_some()) else {
        let message = format!("{WHAT} {} is not paused", destination.id);
        return Err(ApiError::new(ErrorCode::Conflict, message));
    };
    if !admin.outside.destinations.resume(workspace.id, destination.id)? {
        return Err(OutsideError::NotReady("the destination").into());
    }
    tracing::info!(workspace = %workspace.id, destination = %destination.id, by = %caller.author(), "a pause was ended");
    // It was asked, and does so once that is durable.
    let resumed = DestinationStatus { paused: None, ..paused };
    Ok(HttpResponse::Accepted().json(shown(&admin, workspace, destination, Some(resumed))))
}

fn status(admin: &Admin, workspace: &Workspace, destination: &Destination) -> DestinationStatusView {
    let known = admin.outside.destinations.status(workspace.id, destination.id);
    shown(admin, workspace, destination, known)
}

fn shown(
    admin: &Admin,
    workspace: &Workspace,
    destination: &Destination,
    known: Option<DestinationStatus>,
) -> DestinationStatusView {
    let view = view_at(admin, workspace, destination, known.as_ref());
    let used = admin.outside.destinations.retention_used(workspace.id, destination.id);
    DestinationStatusView::of(view, known, used)
}
