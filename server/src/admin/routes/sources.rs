//! Sources: where events come from.

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use tributary_model::SourceId;
use tributary_model::workspace::Scope;

use super::{Answer, caller, deleted, order, versioned};
use crate::admin::dto::{List, SourceNew, SourcePatch, SourceView};
use crate::admin::edit::gone;
use crate::admin::{Admin, request};

const WHAT: &str = "source";

/// Create a source
///
/// Answers with its write key.
#[utoipa::path(post, path = "/admin/v1/sources", tag = "sources", request_body = SourceNew,
    responses((status = 201, description = "Created", body = SourceView)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let new: SourceNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let editor = admin.editor.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let id = editor.create_source(draft, new)?;
            Ok((id, format!("source {id} created")))
        })
        .await?;
    let source = made.workspace.source(made.value).ok_or_else(|| request::no_such(WHAT, made.value))?;
    Ok(versioned(StatusCode::CREATED, &made.workspace, &SourceView::of(source)))
}

/// List the sources
#[utoipa::path(get, path = "/admin/v1/sources", tag = "sources",
    responses((status = 200, description = "All sources, by id", body = List<SourceView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let data = workspace.sources.iter().map(SourceView::of).collect();
    Ok(versioned(StatusCode::OK, &workspace, &List { data }))
}

/// Read a source
#[utoipa::path(get, path = "/admin/v1/sources/{id}", tag = "sources",
    params(("id" = String, Path, description = "Its id", example = "src_1")),
    responses((status = 200, description = "The source", body = SourceView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let id: SourceId = request::id(&http, WHAT)?;
    let source = workspace.source(id).ok_or_else(|| request::no_such(WHAT, id))?;
    Ok(versioned(StatusCode::OK, &workspace, &SourceView::of(source)))
}

/// Change a source
#[utoipa::path(patch, path = "/admin/v1/sources/{id}", tag = "sources", request_body = SourcePatch,
    params(("id" = String, Path, description = "Its id", example = "src_1")),
    responses((status = 200, description = "The source as it is now", body = SourceView)))]
pub(in crate::admin) async fn change(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let id: SourceId = request::id(&http, WHAT)?;
    let patch: SourcePatch = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let editor = admin.editor.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            editor.patch_source(draft, id, patch)?;
            Ok(((), format!("source {id} changed")))
        })
        .await?;
    let source = made.workspace.source(id).ok_or_else(|| request::no_such(WHAT, id))?;
    Ok(versioned(StatusCode::OK, &made.workspace, &SourceView::of(source)))
}

/// Delete a source
///
/// Its write key is refused from then on. What it sent stays.
#[utoipa::path(delete, path = "/admin/v1/sources/{id}", tag = "sources",
    params(("id" = String, Path, description = "Its id", example = "src_1")),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let id: SourceId = request::id(&http, WHAT)?;
    let made = admin
        .store
        .change(order, move |draft| {
            draft.workspace.source(id).ok_or_else(|| gone(WHAT, id))?;
            draft.workspace.sources.retain(|source| source.id != id);
            Ok(((), format!("source {id} deleted")))
        })
        .await?;
    Ok(deleted(&made.workspace))
}
