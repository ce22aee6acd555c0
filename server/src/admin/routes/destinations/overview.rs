//! What went through a destination: received, filtered, mapped, failed, delivered.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::Scope;

use super::{WHAT, find};
use crate::admin::destinations::queries::{OverviewQuery, OverviewView, StepBody};
use crate::admin::routes::{Answer, blocking, caller};
use crate::admin::{Admin, request};

/// Read what went through a destination
///
/// From what it received to what it delivered, with what was filtered by what and what failed for which reason, by the step;
/// the same of the time before it; and what is pending now. Reaches back thirty days.
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/overview", tag = "overview",
    params(
        ("id" = String, Path, description = "The id of the destination", example = "dst_3"),
        ("from" = Option<String>, Query, description = "The first moment; a day before the last"),
        ("until" = Option<String>, Query, description = "The moment after the last; now"),
        ("step" = Option<StepBody>, Query, description = "How far apart points are; an hour"),
    ),
    responses((status = 200, description = "What went through", body = OverviewView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let id = find(&workspace, request::id(&http, WHAT)?)?.id;
    let part = Arc::clone(&admin.outside.destinations);
    let (from, until, step) = request::query::<OverviewQuery>(&http)?.times(part.time())?;
    let overview = blocking(move || part.overview(workspace.id, id, (from, until), step)).await?;
    Ok(HttpResponse::Ok().json(overview))
}
