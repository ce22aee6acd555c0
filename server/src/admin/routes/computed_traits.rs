//! Computed traits: what is computed from the events of a profile.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use tributary_model::Workspace;
use tributary_model::workspace::{ComputedTrait, Scope};

use super::audiences::{forced, has_read, key};
use super::{Answer, blocking, caller, deleted, order, versioned};
use crate::admin::audiences::bodies::{
    ComputedTraitDefinition, ComputedTraitNew, ComputedTraitPut, ComputedTraitStatus, ComputedTraitView,
};
use crate::admin::audiences::{create_computed_trait, delete_computed_trait, replace_computed_trait};
use crate::admin::dto::List;
use crate::admin::error::ApiError;
use crate::admin::outside::{Audiences, OutsideError};
use crate::admin::{Admin, request};

const WHAT: &str = "computed trait";

/// Create a computed trait
///
/// It has a value for every profile from then on, from the events as far back as the log reaches. Until they are read,
/// which `status` shows, values are approximate.
#[utoipa::path(post, path = "/admin/v1/computed-traits", tag = "computed_traits",
    request_body = ComputedTraitNew,
    responses((status = 201, description = "Created", body = ComputedTraitView)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let new: ComputedTraitNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let key = new.key.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let key = new.key.clone();
            let id = create_computed_trait(draft, new)?;
            Ok(((), format!("computed trait {key} ({id}) created")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    let view = view(&admin, &made.workspace, &key).await?;
    Ok(versioned(StatusCode::CREATED, &made.workspace, &view))
}

/// List the computed traits
#[utoipa::path(get, path = "/admin/v1/computed-traits", tag = "computed_traits",
    responses((status = 200, description = "All computed traits, by id", body = List<ComputedTraitView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let (part, of) = (Arc::clone(&admin.outside.audiences), Arc::clone(&workspace));
    let data = blocking(move || {
        let views = of.computed_traits.iter().map(|computed| standing(&*part, &of, computed));
        views.collect::<Result<Vec<_>, _>>()
    })
    .await?;
    Ok(versioned(StatusCode::OK, &workspace, &List { data }))
}

/// Read a computed trait
#[utoipa::path(get, path = "/admin/v1/computed-traits/{key}", tag = "computed_traits",
    params(("key" = String, Path, description = "Its key", example = "orders_30d")),
    responses((status = 200, description = "The computed trait", body = ComputedTraitView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let view = view(&admin, &workspace, key(&http)).await?;
    Ok(versioned(StatusCode::OK, &workspace, &view))
}

/// Change a computed trait
///
/// Audiences that refer to it are evaluated anew. The key can't be changed.
#[utoipa::path(put, path = "/admin/v1/computed-traits/{key}", tag = "computed_traits",
    request_body = ComputedTraitPut,
    params(("key" = String, Path, description = "Its key", example = "orders_30d")),
    responses((status = 200, description = "The computed trait as it is now", body = ComputedTraitView)))]
pub(in crate::admin) async fn replace(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let key = key(&http).to_owned();
    let put: ComputedTraitPut = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let of_change = key.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            replace_computed_trait(draft, &of_change, put)?;
            Ok(((), format!("computed trait {of_change} changed")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    let view = view(&admin, &made.workspace, &key).await?;
    Ok(versioned(StatusCode::OK, &made.workspace, &view))
}

/// Delete a computed trait
///
/// It is no trait of profiles any more.
#[utoipa::path(delete, path = "/admin/v1/computed-traits/{key}", tag = "computed_traits",
    params(
        ("key" = String, Path, description = "Its key", example = "orders_30d"),
        ("force" = Option<bool>, Query, description = "Whether audiences that refer to it may break"),
    ),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let (_, order) = order(&admin, &http)?;
    let (key, in_use) = (key(&http).to_owned(), forced(&http)?);
    let made = admin
        .store
        .change(order, move |draft| {
            let id = delete_computed_trait(draft, &key, in_use)?;
            Ok(((), format!("computed trait {key} ({id}) deleted")))
        })
        .await?;
    has_read(&admin, &made.workspace).await;
    Ok(deleted(&made.workspace))
}

async fn view(admin: &Admin, workspace: &Arc<Workspace>, key: &str) -> Result<ComputedTraitView, ApiError> {
    let found = workspace.computed_traits.iter().find(|computed| computed.key == key);
    let computed = found.ok_or_else(|| request::no_such(WHAT, key))?.clone();
    let (part, of) = (Arc::clone(&admin.outside.audiences), Arc::clone(workspace));
    blocking(move || standing(&*part, &of, &computed)).await
}

/// A computed trait with how it stands. Blocking.
fn standing(
    part: &dyn Audiences,
    workspace: &Workspace,
    computed: &ComputedTrait,
) -> Result<ComputedTraitView, OutsideError> {
    let status = ComputedTraitStatus::of(part.computed_standing(workspace.id, computed.id)?);
    Ok(ComputedTraitView { computed: ComputedTraitDefinition::of(computed), status })
}
