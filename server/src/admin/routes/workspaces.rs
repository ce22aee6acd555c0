//! Workspaces: created, changed and deleted by the first token only.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::Workspace;
use tributary_model::workspace::Scope;

use super::{Answer, caller, versioned};
use crate::admin::dto::{List, WorkspaceCreated, WorkspaceName, WorkspaceView};
use crate::admin::error::ApiError;
use crate::admin::{Admin, request};
use crate::workspaces::{Order, check_name};

const WHAT: &str = "workspace";

/// Create a workspace
///
/// Answers with its own token (shown this once) and the write key of its source `default`.
#[utoipa::path(post, path = "/admin/v1/workspaces", tag = "workspaces", request_body = WorkspaceName,
    responses((status = 201, description = "Created", body = WorkspaceCreated)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let caller = caller(&admin, &http, Scope::WorkspacesWrite)?;
    let new: WorkspaceName = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let made = admin.store.create(caller.author(), new.name).await?;
    let body = WorkspaceCreated::of(&made.workspace, &made.value);
    Ok(versioned(StatusCode::CREATED, &made.workspace, &body))
}

/// List the workspaces
#[utoipa::path(get, path = "/admin/v1/workspaces", tag = "workspaces",
    responses((status = 200, description = "All workspaces, by id", body = List<WorkspaceView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    caller(&admin, &http, Scope::WorkspacesWrite)?;
    let snapshot = admin.store.snapshot();
    let data = snapshot.workspaces().iter().map(|workspace| WorkspaceView::of(workspace)).collect();
    Ok(HttpResponse::Ok().json(List { data }))
}

/// Read a workspace
#[utoipa::path(get, path = "/admin/v1/workspaces/{id}", tag = "workspaces",
    params(("id" = String, Path, description = "Its id or name", example = "ws_2")),
    responses((status = 200, description = "The workspace", body = WorkspaceView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    caller(&admin, &http, Scope::WorkspacesWrite)?;
    let workspace = find(&admin, &http)?;
    Ok(versioned(StatusCode::OK, &workspace, &WorkspaceView::of(&workspace)))
}

/// Rename a workspace
#[utoipa::path(patch, path = "/admin/v1/workspaces/{id}", tag = "workspaces", request_body = WorkspaceName,
    params(("id" = String, Path, description = "Its id or name", example = "ws_2")),
    responses((status = 200, description = "The workspace as it is now", body = WorkspaceView)))]
pub(in crate::admin) async fn change(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let order = order(&admin, &http)?;
    let name = request::json::<WorkspaceName>(payload, admin.editor.limits.body_bytes_max).await?.name;
    check_name(&name)?;
    let made = admin
        .store
        .change(order, move |draft| {
            let change = format!("workspace renamed from {} to {name}", draft.workspace.name);
            draft.workspace.name = name;
            Ok(((), change))
        })
        .await?;
    Ok(versioned(StatusCode::OK, &made.workspace, &WorkspaceView::of(&made.workspace)))
}

/// Delete a workspace
///
/// Its write keys and tokens are refused from then on. Its id is never used again.
#[utoipa::path(delete, path = "/admin/v1/workspaces/{id}", tag = "workspaces",
    params(("id" = String, Path, description = "Its id or name", example = "ws_2")),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let order = order(&admin, &http)?;
    admin.store.delete(order).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// A change of the workspace in the path. `If-Match` names a version of that one.
fn order(admin: &Admin, http: &HttpRequest) -> Result<Order, ApiError> {
    let by = caller(admin, http, Scope::WorkspacesWrite)?.author();
    Ok(Order { workspace: find(admin, http)?.id, by, expected: request::if_match(http)? })
}

fn find(admin: &Admin, http: &HttpRequest) -> Result<Arc<Workspace>, ApiError> {
    let text = http.match_info().get("id").unwrap_or_default();
    let snapshot = admin.store.snapshot();
    let found = match text.parse() {
        Ok(id) => snapshot.workspace(id),
        Err(_) => snapshot.named(text),
    };
    found.map(Arc::clone).ok_or_else(|| request::no_such(WHAT, text))
}
