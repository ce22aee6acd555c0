//! Alarms of the identity graph.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller};
use crate::admin::Admin;
use crate::admin::dto::Page;
use crate::admin::identity::AlarmRow;
use crate::admin::request::{self, Paging};

/// List the alarms of the identity graph
///
/// Newest first: identifiers that join many profiles, profiles near a cap, jumps of merges. The newest 1,000 are kept.
#[utoipa::path(get, path = "/admin/v1/identity/alarms", tag = "alarms",
    params(
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some alarms", body = Page<AlarmRow>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let id = caller(&admin, &http, Scope::AdminRead)?.workspace.id;
    let paging = request::query::<Paging>(&http)?.without_message_id()?;
    let limit = paging.limit()?;
    let graphs = Arc::clone(&admin.outside.graphs);
    let found = blocking(move || graphs.alarms(id, limit, paging.cursor.as_deref())).await?;
    Ok(HttpResponse::Ok().json(Page::new(found.rows, found.next, limit)))
}
