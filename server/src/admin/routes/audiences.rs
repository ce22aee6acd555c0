//! Audiences: who belongs together.

use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use serde::Deserialize;
use tributary_model::Workspace;
use tributary_model::workspace::{Audience, Scope};

use super::{Answer, blocking, caller, deleted, order, versioned};
use crate::admin::audiences::bodies::{
    AudienceDefinition, AudienceList, AudienceNew, AudiencePut, AudienceStatus, AudienceView, LeavingAudience,
};
use crate::admin::audiences::{InUse, create_audience, delete_audience, replace_audience};
use crate::admin::error::ApiError;
use crate::admin::outside::OutsideError;
use crate::admin::{Admin, request};

const WHAT: &str = "audience";

/// How long an answer waits until the projector has read the change, so that it can tell how the audience stands.
const READ_WAIT: Duration = Duration::from_secs(2);

/// Create an audience
///
/// Answers once the change is in force, with how far it is evaluated. The events that count reach back to
/// `status.since`.
#[utoipa::path(post, path = "/admin/v1/audiences", tag = "audiences", request_body = AudienceNew,
    responses((status = 201, description = "Created", body = AudienceView)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let new: AudienceNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let key = new.key.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let key = new.key.clone();
            let id = create_audience(draft, new)?;
            Ok(((), format!("audience {key} ({id}) created")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    let view = view(&admin, &made.workspace, &key).await?;
    Ok(versioned(StatusCode::CREATED, &made.workspace, &view))
}

/// List the audiences
///
/// Beside them, those that were deleted and whose members are leaving.
#[utoipa::path(get, path = "/admin/v1/audiences", tag = "audiences",
    responses((status = 200, description = "All audiences, by id", body = AudienceList)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let (part, of) = (Arc::clone(&admin.outside.audiences), Arc::clone(&workspace));
    let list = blocking(move || {
        let view = |audience: &Audience| {
            let status = AudienceStatus::of(part.standing(of.id, audience.id)?);
            Ok::<_, OutsideError>(AudienceView { audience: AudienceDefinition::of(audience), status })
        };
        let data = of.audiences.iter().map(view).collect::<Result<_, _>>()?;
        let leaving = part.leaving(of.id)?.into_iter();
        let leaving = leaving.map(|(key, left)| LeavingAudience { key, left }).collect();
        Ok::<_, OutsideError>(AudienceList { data, leaving })
    })
    .await?;
    Ok(versioned(StatusCode::OK, &workspace, &list))
}

/// Read an audience
#[utoipa::path(get, path = "/admin/v1/audiences/{key}", tag = "audiences",
    params(("key" = String, Path, description = "Its key", example = "lapsed")),
    responses((status = 200, description = "The audience, and how it stands", body = AudienceView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let key = key(&http);
    if find(&workspace, key).is_err() {
        return Err(left(&admin, &workspace, key).await?);
    }
    let view = view(&admin, &workspace, key).await?;
    Ok(versioned(StatusCode::OK, &workspace, &view))
}

/// Change an audience
///
/// A changed condition is evaluated anew for every profile; who is a member by both stays one. The key can't be changed.
#[utoipa::path(put, path = "/admin/v1/audiences/{key}", tag = "audiences", request_body = AudiencePut,
    params(("key" = String, Path, description = "Its key", example = "lapsed")),
    responses((status = 200, description = "The audience as it is now", body = AudienceView)))]
pub(in crate::admin) async fn replace(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let key = key(&http).to_owned();
    let put: AudiencePut = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let of_change = key.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            replace_audience(draft, &of_change, put)?;
            Ok(((), format!("audience {of_change} changed")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    let view = view(&admin, &made.workspace, &key).await?;
    Ok(versioned(StatusCode::OK, &made.workspace, &view))
}

/// Delete an audience
///
/// Its members leave it.
#[utoipa::path(delete, path = "/admin/v1/audiences/{key}", tag = "audiences",
    params(
        ("key" = String, Path, description = "Its key", example = "lapsed"),
        ("force" = Option<bool>, Query, description = "Whether those that refer to it may break"),
    ),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let (key, in_use) = (key(&http).to_owned(), forced(&http)?);
    let made = admin
        .store
        .change(order, move |draft| {
            let id = delete_audience(draft, &key, in_use)?;
            Ok(((), format!("audience {key} ({id}) deleted")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    Ok(deleted(&made.workspace))
}

/// The key in the path.
pub(super) fn key(http: &HttpRequest) -> &str {
    http.match_info().get("key").unwrap_or_default()
}

/// The audience of a key.
pub(super) fn find<'a>(workspace: &'a Workspace, key: &str) -> Result<&'a Audience, ApiError> {
    let found = workspace.audiences.iter().find(|audience| audience.key == key);
    found.ok_or_else(|| request::no_such(WHAT, key))
}

/// That there is no audience of this key; if there was one that still has members, that they are leaving.
async fn left(admin: &Admin, workspace: &Workspace, key: &str) -> Result<ApiError, ApiError> {
    let (part, id) = (Arc::clone(&admin.outside.audiences), workspace.id);
    let leaving = blocking(move || part.leaving(id)).await?;
    Ok(match leaving.into_iter().find(|(leaving, _)| leaving == key) {
        Some((_, left)) => ApiError::not_found(format!(
            "there is no {WHAT} {key} any more: it was deleted, and its members are leaving, {left} are left"
        )),
        None => request::no_such(WHAT, key),
    })
}

async fn view(admin: &Admin, workspace: &Workspace, key: &str) -> Result<AudienceView, ApiError> {
    let audience = find(workspace, key)?;
    let part = Arc::clone(&admin.outside.audiences);
    let (workspace, id) = (workspace.id, audience.id);
    let standing = blocking(move || part.standing(workspace, id)).await?;
    let status = AudienceStatus::of(standing);
    Ok(AudienceView { audience: AudienceDefinition::of(audience), status })
}

/// Waits a moment until the projector has read this version.
pub(super) async fn has_read(admin: &Admin, workspace: &Workspace) {
    admin.outside.audiences.has_read(workspace.id, workspace.version, READ_WAIT).await;
}

/// How a deletion is meant.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Deletion {
    force: Option<bool>,
}

/// What happens to a deletion while others refer to what is deleted.
pub(super) fn forced(http: &HttpRequest) -> Result<InUse, ApiError> {
    let deletion: Deletion = request::query(http)?;
    Ok(if deletion.force.unwrap_or(false) { InUse::Forced } else { InUse::Refused })
}
