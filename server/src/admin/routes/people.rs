//! The search for people.

use std::sync::Arc;

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use serde::Deserialize;
use tributary_model::workspace::Scope;

use super::{Answer, blocking, caller};
use crate::admin::Admin;
use crate::admin::dto::Page;
use crate::admin::error::ApiError;
use crate::admin::people::PersonRow;
use crate::admin::request;

/// How many rows, if the request does not say, and at most.
const LIMIT: usize = 20;
const LIMIT_MAX: usize = 200;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Search {
    q: String,
    limit: Option<usize>,
    cursor: Option<String>,
}

/// Search for people
///
/// By an identifier as a whole, or by how the value of a trait begins; upper and lower case are the same in traits.
/// `name:text` looks in the trait or namespace of that name alone, if there is one; else the text is looked for in
/// `user_id`, `email` and every trait that people are searched by. Those found by an identifier come first. The token
/// needs `profiles:read` as well.
#[utoipa::path(get, path = "/admin/v1/profiles", tag = "profiles",
    params(
        ("q" = String, Query, description = "The text: 1 to 512 bytes, of which the first 100 count in traits"),
        ("limit" = Option<usize>, Query, description = "How many rows: 20, or 1 to 200"),
        ("cursor" = Option<String>, Query, description = "`cursor.next` of the rows before"),
    ),
    responses((status = 200, description = "Some people; there may be more though there are fewer than `limit`",
        body = Page<PersonRow>)))]
pub(in crate::admin) async fn search(admin: Data<Admin>, http: HttpRequest) -> Answer {
    let caller = caller(&admin, &http, Scope::AdminRead)?;
    caller.require(Scope::ProfilesRead)?;
    let id = caller.workspace.id;
    let Search { q, limit, cursor } = request::query(&http)?;
    let limit = match limit.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => limit,
        other => return Err(ApiError::invalid(format!("`limit` is {other}; give 1 to {LIMIT_MAX}"))),
    };
    let people = Arc::clone(&admin.outside.people);
    let found = blocking(move || people.search(id, &q, limit, cursor.as_deref())).await?;
    Ok(HttpResponse::Ok().json(Page::new(found.rows, found.next, limit)))
}
