//! Deliveries that were given up.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::DestinationId;
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller};
use crate::admin::Admin;
use crate::admin::dto::Page;
use crate::admin::outside::DeadLetterRow;
use crate::admin::request::{self, Paging};

/// List the dead letters of a destination
///
/// Newest first.
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/dead-letters", tag = "dead_letters",
    params(
        ("id" = String, Path, description = "The id of the destination", example = "dst_3"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some dead letters", body = Page<DeadLetterRow>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let id: DestinationId = request::id(&http, "destination")?;
    workspace.destination(id).ok_or_else(|| request::no_such("destination", id))?;
    let paging = request::query::<Paging>(&http)?.without_message_id()?;
    let limit = paging.limit()?;
    let letters = Arc::clone(&admin.outside.dead_letters);
    let found = blocking(move || letters.list(workspace.id, id, limit, paging.cursor.as_deref())).await?;
    Ok(HttpResponse::Ok().json(Page::new(found.rows, found.next, limit)))
}
