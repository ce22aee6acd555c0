//! Destinations: where activations go.

pub(in crate::admin) mod definitions;
pub(in crate::admin) mod deliveries;
pub(in crate::admin) mod overview;
pub(in crate::admin) mod preview;
pub(in crate::admin) mod replays;
pub(in crate::admin) mod status;

use actix_web::HttpRequest;
use actix_web::http::StatusCode;
use actix_web::web::{Data, Payload};
use serde::Deserialize;
use tributary_destinations::DestinationStatus;
use tributary_model::workspace::{Destination, Scope};
use tributary_model::{DestinationId, Workspace};

use super::{Answer, caller, deleted, order, versioned};
use crate::admin::destinations::bodies::{
    DestinationBody, DestinationNew, DestinationPatch, DestinationView, Resume,
};
use crate::admin::dto::List;
use crate::admin::edit::gone;
use crate::admin::error::{ApiError, ErrorBody};
use crate::admin::settings::unsealed;
use crate::admin::{Admin, request};

const WHAT: &str = "destination";

/// The query of a route that takes none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParameters {}

/// Refuses parameters where there are none.
fn no_parameters(http: &HttpRequest) -> Result<(), ApiError> {
    let NoParameters {} = request::query(http)?;
    Ok(())
}

/// Create a destination
///
/// It gets the events that are accepted from then on.
#[utoipa::path(post, path = "/admin/v1/destinations", tag = "destinations", request_body = DestinationNew,
    responses((status = 201, description = "Created", body = DestinationView)))]
pub(in crate::admin) async fn create(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (_, order) = order(&admin, &http)?;
    no_parameters(&http)?;
    let new: DestinationNew = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let editor = admin.editor.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let definition = new.definition.clone();
            let id = editor.create_destination(draft, new)?;
            Ok((id, format!("destination {id} ({definition}) created")))
        })
        .await?;
    let (id, workspace) = (made.value, made.workspace);
    Ok(versioned(StatusCode::CREATED, &workspace, &view(&admin, &workspace, find(&workspace, id)?)))
}

/// List the destinations
#[utoipa::path(get, path = "/admin/v1/destinations", tag = "destinations",
    responses((status = 200, description = "All destinations, by id", body = List<DestinationView>)))]
pub(in crate::admin) async fn list(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    no_parameters(&http)?;
    let data = workspace.destinations.iter().map(|destination| view(&admin, &workspace, destination));
    Ok(versioned(StatusCode::OK, &workspace, &List { data: data.collect() }))
}

/// Read a destination
#[utoipa::path(get, path = "/admin/v1/destinations/{id}", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 200, description = "The destination", body = DestinationView)))]
pub(in crate::admin) async fn read(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    no_parameters(&http)?;
    let destination = find(&workspace, request::id(&http, WHAT)?)?;
    Ok(versioned(StatusCode::OK, &workspace, &view(&admin, &workspace, destination)))
}

/// Change a destination
///
/// Off parks it. On resumes it where it was parked, or from now; from now only if it was off.
#[utoipa::path(patch, path = "/admin/v1/destinations/{id}", tag = "destinations",
    request_body = DestinationPatch,
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses(
        (status = 200, description = "The destination as it is now", body = DestinationView),
        (status = 409, description = "It can't be resumed from now, as it is on", body = ErrorBody),
    ))]
pub(in crate::admin) async fn change(admin: Data<Admin>, http: HttpRequest, payload: Payload) -> Answer {
    let (caller, order) = order(&admin, &http)?;
    no_parameters(&http)?;
    let id: DestinationId = request::id(&http, WHAT)?;
    let patch: DestinationPatch = request::json(payload, admin.editor.limits.body_bytes_max).await?;
    let editor = admin.editor.clone();
    let made = admin
        .store
        .change(order, move |draft| {
            let words = words(&patch);
            editor.patch_destination(draft, id, patch)?;
            Ok(((), format!("destination {id} {words}")))
        })
        .await?;
    let workspace = made.workspace;
    let changed = changed_view(&admin, &caller.workspace, &workspace, find(&workspace, id)?);
    Ok(versioned(StatusCode::OK, &workspace, &changed))
}

/// The change in words for the history; of settings, mappings and filters only the names.
fn words(patch: &DestinationPatch) -> String {
    let mut words = Vec::new();
    if patch.name.is_some() {
        words.push("renamed".to_owned());
    }
    if let Some(settings) = &patch.settings {
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        words.push(format!("given settings ({})", names.join(", ")));
    }
    match &patch.mappings {
        Some(Some(mappings)) => {
            let names: Vec<&str> = mappings.iter().map(|mapping| mapping.name.as_str()).collect();
            words.push(format!("given mappings ({})", names.join(", ")));
        }
        Some(None) => words.push("given the mappings of its definition".to_owned()),
        None => {}
    }
    if let Some(filters) = &patch.filters {
        let names: Vec<&str> = filters.iter().map(|filter| filter.name.as_str()).collect();
        words.push(format!("given filters ({})", names.join(", ")));
    }
    if patch.consent.is_some() {
        words.push("given a rule of consent".to_owned());
    }
    match (patch.enabled, patch.resume) {
        (Some(true), Some(Resume::Now)) => words.push("switched on from now".to_owned()),
        (Some(true), _) => words.push("switched on".to_owned()),
        (Some(false), _) => words.push("switched off".to_owned()),
        (None, _) => {}
    }
    words.join(", ")
}

/// Delete a destination
///
/// What waits for it is not delivered any more.
#[utoipa::path(delete, path = "/admin/v1/destinations/{id}", tag = "destinations",
    params(("id" = String, Path, description = "Its id", example = "dst_3")),
    responses((status = 204, description = "Deleted")))]
pub(in crate::admin) async fn delete(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let (_, order) = order(&admin, &http)?;
    no_parameters(&http)?;
    let id: DestinationId = request::id(&http, WHAT)?;
    let made = admin
        .store
        .change(order, move |draft| {
            draft.workspace.destination(id).ok_or_else(|| gone(WHAT, id))?;
            draft.workspace.destinations.retain(|destination| destination.id != id);
            Ok(((), format!("destination {id} deleted")))
        })
        .await?;
    Ok(deleted(&made.workspace))
}

/// The destination of an id.
fn find(workspace: &Workspace, id: DestinationId) -> Result<&Destination, ApiError> {
    workspace.destination(id).ok_or_else(|| request::no_such(WHAT, id))
}

/// A destination, and how it stands.
fn view(admin: &Admin, workspace: &Workspace, destination: &Destination) -> DestinationView {
    let status = admin.outside.destinations.status(workspace.id, destination.id);
    view_at(admin, workspace, destination, status.as_ref())
}

/// A destination that was just changed, and how it stands. The engine may not have read the change yet: where it tells what
/// was wrong with the destination before, what is wrong with it now counts.
fn changed_view(
    admin: &Admin,
    before: &Workspace,
    workspace: &Workspace,
    destination: &Destination,
) -> DestinationView {
    let mut status = admin.outside.destinations.status(workspace.id, destination.id);
    if let Some(status) = &mut status
        && status.problem.is_some()
    {
        let known = before.destination(destination.id);
        if status.problem == known.and_then(|known| admin.editor.problem(before, known)) {
            status.problem = admin.editor.problem(workspace, destination);
        }
    }
    view_at(admin, workspace, destination, status.as_ref())
}

/// A destination that the engine says this of; `None` while it does not know it.
fn view_at(
    admin: &Admin,
    workspace: &Workspace,
    destination: &Destination,
    status: Option<&DestinationStatus>,
) -> DestinationView {
    let sealed = unsealed(&admin.editor.sealing, workspace.id, destination).err().map(|why| why.to_string());
    let problem = sealed.or_else(|| status.and_then(|status| status.problem.clone()));
    let state = match (destination.enabled, &problem) {
        (false, _) => "off",
        (true, Some(_)) => "broken",
        (true, None) if status.is_some_and(|status| status.paused.is_some()) => "paused",
        (true, None) => "on",
    };
    DestinationView { destination: DestinationBody::of(destination), state, problem }
}
