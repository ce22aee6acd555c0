//! What became of deliveries: their attempts, with what was sent and what came back.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use tributary_destinations::deliveries::DeliveryQuery;
use tributary_model::Workspace;
use tributary_model::workspace::Scope;

use super::{WHAT, find};
use crate::admin::destinations::queries::{DeliveriesQuery, DeliveryRow};
use crate::admin::dto::Page;
use crate::admin::error::ApiError;
use crate::admin::routes::{Answer, blocking, caller};
use crate::admin::{Admin, request};

/// List the deliveries of a destination
///
/// Newest first. Every failed attempt is remembered for a while, and details of deliveries that went well up to a rate. With
/// a message id, and nothing else but an outcome, it is also told what became of an event of which nothing is remembered; without
/// one only what was tried is found. A page may have fewer rows than asked for though there are more.
#[utoipa::path(get, path = "/admin/v1/destinations/{id}/deliveries", tag = "deliveries",
    params(
        ("id" = String, Path, description = "The id of the destination", example = "dst_3"),
        ("message_id" = Option<String>, Query, description = "Those of this event"),
        ("profile_id" = Option<String>, Query, description = "Those of this profile's events, and of the profiles that it is one with now"),
        ("outcome" = Option<String>, Query, description = "Those that ended so, or are `pending`; what was left out (`filtered…`) by its `message_id` alone", example = "dead_letter"),
        ("reason" = Option<String>, Query, description = "Those that failed for this reason", example = "timeout"),
        ("from" = Option<String>, Query, description = "Those that were first tried then or later"),
        ("until" = Option<String>, Query, description = "Those that were first tried before that"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some deliveries", body = Page<DeliveryRow>)))]
pub(in crate::admin) async fn of_destination(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let id = find(&workspace, request::id(&http, WHAT)?)?.id;
    let query = request::query::<DeliveriesQuery>(&http)?.query(Some(id))?;
    found(&admin, workspace, query).await
}

/// List the deliveries of an event, or of a profile's events
///
/// Over all destinations, newest first. With a message id, and nothing else but an outcome, there is a row for each destination
/// that the event is for, deleted ones included.
#[utoipa::path(get, path = "/admin/v1/deliveries", tag = "deliveries",
    params(
        ("message_id" = Option<String>, Query, description = "Those of this event; it or `profile_id` is required"),
        ("profile_id" = Option<String>, Query, description = "Those of this profile's events, and of the profiles that it is one with now"),
        ("outcome" = Option<String>, Query, description = "Those that ended so, or are `pending`; what was left out (`filtered…`) by its `message_id` alone", example = "dead_letter"),
        ("reason" = Option<String>, Query, description = "Those that failed for this reason", example = "timeout"),
        ("from" = Option<String>, Query, description = "Those that were first tried then or later"),
        ("until" = Option<String>, Query, description = "Those that were first tried before that"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some deliveries", body = Page<DeliveryRow>)))]
pub(in crate::admin) async fn of_all(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let workspace = caller(&admin, &http, Scope::AdminRead)?.workspace;
    let query = request::query::<DeliveriesQuery>(&http)?.query(None)?;
    if query.message_id.is_none() && query.profiles.is_empty() {
        return Err(ApiError::invalid("the query: give `message_id` or `profile_id`"));
    }
    found(&admin, workspace, query).await
}

async fn found(admin: &Admin, workspace: Arc<Workspace>, query: DeliveryQuery) -> Answer {
    let (part, limit) = (Arc::clone(&admin.outside.destinations), query.limit);
    let found = blocking(move || part.deliveries(&workspace, &query)).await?;
    Ok(HttpResponse::Ok().json(Page::new(found.rows, found.next, limit)))
}
