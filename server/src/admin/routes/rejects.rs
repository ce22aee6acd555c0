//! Events that the collector set aside.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller};
use crate::admin::Admin;
use crate::admin::dto::Page;
use crate::admin::outside::RejectRow;
use crate::admin::request::{self, Paging};

/// List rejected events
///
/// Newest first; with `message_id`, those of one message.
#[utoipa::path(get, path = "/admin/v1/rejects", tag = "rejects",
    params(
        ("message_id" = Option<String>, Query, description = "The message id of the event"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some rejected events", body = Page<RejectRow>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let id = caller(&admin, &http, Scope::AdminRead)?.workspace.id;
    let paging: Paging = request::query(&http)?;
    let limit = paging.limit()?;
    let rejects = Arc::clone(&admin.outside.rejects);
    let found =
        blocking(move || rejects.find(id, paging.message_id.as_deref(), limit, paging.cursor.as_deref()))
            .await?;
    Ok(HttpResponse::Ok().json(Page::new(found.rows, found.next, limit)))
}
