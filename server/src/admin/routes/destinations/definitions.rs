//! The definitions of the catalog: what a destination can be.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_destinations::registry;
use tributary_model::workspace::Scope;

use super::no_parameters;
use crate::admin::destinations::definitions::DefinitionView;
use crate::admin::dto::List;
use crate::admin::routes::{Answer, caller};
use crate::admin::{Admin, request};

/// List the definitions
///
/// What there is in the catalog: settings, actions with their fields, batching, limits, abilities.
#[utoipa::path(get, path = "/admin/v1/definitions", tag = "definitions",
    responses((status = 200, description = "All definitions, by name", body = List<DefinitionView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    caller(&admin, &http, Scope::AdminRead)?;
    no_parameters(&http)?;
    let data = registry::definitions().iter().map(DefinitionView::of).collect();
    Ok(HttpResponse::Ok().json(List::<DefinitionView> { data }))
}

/// Read a definition
#[utoipa::path(get, path = "/admin/v1/definitions/{name}", tag = "definitions",
    params(("name" = String, Path, description = "Its name", example = "webhook")),
    responses((status = 200, description = "The definition", body = DefinitionView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    caller(&admin, &http, Scope::AdminRead)?;
    no_parameters(&http)?;
    let name = http.match_info().get("name").unwrap_or_default();
    let spec = registry::find(name).ok_or_else(|| request::no_such("definition", name))?;
    Ok(HttpResponse::Ok().json(DefinitionView::of(spec)))
}
