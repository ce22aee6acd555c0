//! Full snapshots of the state.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller};
use crate::admin::Admin;
use crate::admin::outside::SnapshotTaken;

/// Take a full snapshot of the state
///
/// Only the first token may. Answers once the snapshot is durable.
#[utoipa::path(post, path = "/admin/v1/snapshots", tag = "snapshots",
    responses((status = 201, description = "Taken", body = SnapshotTaken)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest) -> Answer {
    caller(&admin, &http, Scope::WorkspacesWrite)?;
    let snapshots = Arc::clone(&admin.outside.snapshots);
    let taken = blocking(move || snapshots.take()).await?;
    Ok(HttpResponse::Created().json(taken))
}
