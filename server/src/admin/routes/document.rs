//! The workspace as one document, and its history.

use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller, order, versioned};
use crate::admin::document::{self, Renaming};
use crate::admin::dto::{Document, DocumentPut, Page, VersionView};
use crate::admin::error::ApiError;
use crate::admin::request::{self, Paging};
use crate::admin::{Admin, outside::OutsideError};
use crate::workspaces::StoreError;

/// Read the workspace as one document
///
/// Secrets are masked. `ETag` holds its version.
#[utoipa::path(get, path = "/admin/v1/workspace", tag = "workspace",
    responses((status = 200, description = "The workspace", body = Document)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    Ok(versioned(StatusCode::OK, &workspace, &Document::of(&workspace)))
}

/// Replace the workspace as one document
///
/// Entries without an id are created, those that are missing are deleted, a masked secret keeps its value.
#[utoipa::path(put, path = "/admin/v1/workspace", tag = "workspace", request_body = DocumentPut,
    responses((status = 200, description = "The workspace as it is now", body = Document)))]
pub(in crate::admin) async fn replace(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (caller, mut order) = order(&admin, &http)?;
    let put: DocumentPut = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    order.expected = match (order.expected, put.version) {
        (Some(header), Some(body)) if header != body => {
            return Err(ApiError::invalid(format!("`If-Match` says {header}, `version` says {body}")));
        }
        (header, body) => header.or(body),
    };
    let renaming = if caller.may(Scope::WorkspacesWrite) { Renaming::Allowed } else { Renaming::Refused };
    let editor = admin.editor.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let change = document::replace(&editor, draft, put, renaming)?;
            Ok(((), change))
        })
        .await?;
    Ok(versioned(StatusCode::OK, &made.workspace, &Document::of(&made.workspace)))
}

/// List the versions of the workspace
///
/// Newest first: when each was made, by whom, and what changed.
#[utoipa::path(get, path = "/admin/v1/workspace/versions", tag = "workspace",
    params(
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some versions", body = Page<VersionView>)))]
pub(in crate::admin) async fn versions(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminRead)?;
    let paging = request::query::<Paging>(&http)?.without_message_id()?;
    let limit = paging.limit()?;
    let before =
        paging.cursor.map(|cursor| cursor.parse::<u64>().map_err(|_| OutsideError::Cursor)).transpose()?;
    let (store, id) = (admin.store.clone(), caller.workspace.id);
    let mut rows: Vec<VersionView> = blocking(move || {
        let infos = store.versions(id, before, limit + 1)?;
        Ok::<_, StoreError>(infos.into_iter().map(VersionView::of).collect())
    })
    .await?;
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.version.to_string());
    Ok(HttpResponse::Ok().json(Page::new(rows, next, limit)))
}
