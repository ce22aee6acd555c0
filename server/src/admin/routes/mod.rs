//! The routes: read the request, check the scope, call the store, show the result.
//!
//! [`ENDPOINTS`] is the one list of them; a test holds the OpenAPI document to it.

pub(super) mod alarms;
pub(super) mod audience_members;
pub(super) mod audience_preview;
pub(super) mod audiences;
pub(super) mod computed_traits;
pub(super) mod dead_letters;
pub(super) mod destinations;
pub(super) mod document;
pub(super) mod export;
pub(super) mod identity_preview;
pub(super) mod identity_rules;
pub(super) mod people;
pub(super) mod rejects;
pub(super) mod snapshots;
pub(super) mod sources;
pub(super) mod tokens;
pub(super) mod trait_rules;
pub(super) mod workspaces;

use std::sync::Arc;

use actix_web::http::header::ETAG;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, Route};
use serde::Serialize;
use tributary_model::Workspace;
use tributary_model::workspace::Scope;

use super::auth::{Caller, authenticate};
use super::error::ApiError;
use super::{Admin, PREFIX, request};
use crate::workspaces::Order;

/// What every handler answers.
type Answer = Result<HttpResponse, ApiError>;

/// A method on a path (below [`PREFIX`]) and what serves it.
pub(super) struct Endpoint {
    pub(super) method: Method,
    pub(super) path: &'static str,
    route: fn() -> Route,
}

macro_rules! endpoint {
    ($method:ident $path:literal $handler:expr) => {
        Endpoint { method: Method::$method, path: $path, route: || web::method(Method::$method).to($handler) }
    };
}

/// Every endpoint of the admin API. Those of one path stand together, and a path with a word before one that takes any
/// word in that place.
pub(super) static ENDPOINTS: &[Endpoint] = &[
    endpoint!(POST "/sources" sources::create),
    endpoint!(GET "/sources" sources::list),
    endpoint!(GET "/sources/{id}" sources::read),
    endpoint!(PATCH "/sources/{id}" sources::change),
    endpoint!(DELETE "/sources/{id}" sources::delete),
    endpoint!(GET "/definitions" destinations::definitions::list),
    endpoint!(GET "/definitions/{name}" destinations::definitions::read),
    endpoint!(POST "/destinations" destinations::create),
    endpoint!(GET "/destinations" destinations::list),
    endpoint!(GET "/destinations/status" destinations::status::all),
    endpoint!(POST "/destinations/preview" destinations::preview::preview_unsaved),
    endpoint!(POST "/destinations/test" destinations::preview::test_unsaved),
    endpoint!(GET "/destinations/{id}" destinations::read),
    endpoint!(PATCH "/destinations/{id}" destinations::change),
    endpoint!(DELETE "/destinations/{id}" destinations::delete),
    endpoint!(GET "/destinations/{id}/status" destinations::status::status_of),
    endpoint!(POST "/destinations/{id}/preview" destinations::preview::preview),
    endpoint!(POST "/destinations/{id}/test" destinations::preview::test),
    endpoint!(POST "/destinations/{id}/delete_person" destinations::preview::delete_person),
    endpoint!(POST "/destinations/{id}/resume" destinations::status::resume),
    endpoint!(POST "/destinations/{id}/replay" destinations::replays::begin),
    endpoint!(GET "/destinations/{id}/replays" destinations::replays::list),
    endpoint!(GET "/destinations/{id}/replays/{replay}" destinations::replays::read),
    endpoint!(DELETE "/destinations/{id}/replays/{replay}" destinations::replays::cancel),
    endpoint!(GET "/destinations/{id}/deliveries" destinations::deliveries::of_destination),
    endpoint!(GET "/destinations/{id}/overview" destinations::overview::read),
    endpoint!(GET "/destinations/{id}/dead-letters" dead_letters::list),
    endpoint!(GET "/deliveries" destinations::deliveries::of_all),
    endpoint!(POST "/tokens" tokens::create),
    endpoint!(GET "/tokens" tokens::list),
    endpoint!(GET "/tokens/{id}" tokens::read),
    endpoint!(PATCH "/tokens/{id}" tokens::change),
    endpoint!(DELETE "/tokens/{id}" tokens::delete),
    endpoint!(GET "/workspace" document::read),
    endpoint!(PUT "/workspace" document::replace),
    endpoint!(GET "/workspace/versions" document::versions),
    endpoint!(POST "/workspaces" workspaces::create),
    endpoint!(GET "/workspaces" workspaces::list),
    endpoint!(GET "/workspaces/{id}" workspaces::read),
    endpoint!(PATCH "/workspaces/{id}" workspaces::change),
    endpoint!(DELETE "/workspaces/{id}" workspaces::delete),
    endpoint!(GET "/identity-rules" identity_rules::read),
    endpoint!(PUT "/identity-rules" identity_rules::replace),
    endpoint!(POST "/identity-rules/preview" identity_preview::create),
    endpoint!(GET "/identity-rules/preview/{id}" identity_preview::read),
    endpoint!(DELETE "/identity-rules/preview/{id}" identity_preview::delete),
    endpoint!(POST "/identity-rules/rebuild" identity_preview::rebuild),
    endpoint!(GET "/identity/alarms" alarms::list),
    endpoint!(POST "/computed-traits" computed_traits::create),
    endpoint!(GET "/computed-traits" computed_traits::list),
    endpoint!(GET "/computed-traits/{key}" computed_traits::read),
    endpoint!(PUT "/computed-traits/{key}" computed_traits::replace),
    endpoint!(DELETE "/computed-traits/{key}" computed_traits::delete),
    endpoint!(POST "/audiences" audiences::create),
    endpoint!(GET "/audiences" audiences::list),
    endpoint!(POST "/audiences/preview" audience_preview::create),
    endpoint!(GET "/audiences/preview/{id}" audience_preview::read),
    endpoint!(DELETE "/audiences/preview/{id}" audience_preview::delete),
    endpoint!(GET "/audiences/{key}" audiences::read),
    endpoint!(PUT "/audiences/{key}" audiences::replace),
    endpoint!(DELETE "/audiences/{key}" audiences::delete),
    endpoint!(GET "/audiences/{key}/members" audience_members::list),
    endpoint!(GET "/audiences/{key}/size" audience_members::size),
    endpoint!(GET "/audiences/{key}/export" export::members),
    endpoint!(GET "/trait-rules" trait_rules::read),
    endpoint!(PUT "/trait-rules" trait_rules::replace),
    endpoint!(GET "/profiles" people::search),
    endpoint!(GET "/profiles/export" export::profiles),
    endpoint!(GET "/rejects" rejects::list),
    endpoint!(POST "/snapshots" snapshots::create),
];

/// Registers the admin API, for `App::configure`.
pub fn routes(admin: Arc<Admin>) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let mut scope = web::scope(PREFIX).app_data(Data::from(admin));
        for of_path in ENDPOINTS.chunk_by(|one, next| one.path == next.path) {
            let methods: Vec<&str> = of_path.iter().map(|endpoint| endpoint.method.as_str()).collect();
            let allow = methods.join(", ");
            let mut resource = web::resource(of_path[0].path);
            for endpoint in of_path {
                resource = resource.route((endpoint.route)());
            }
            let refuse = move || {
                let allow = allow.clone();
                async move { Answer::Err(ApiError::method_not_allowed(allow)) }
            };
            scope = scope.service(resource.default_service(web::to(refuse)));
        }
        config.service(scope.default_service(web::to(unknown_path)));
    }
}

async fn unknown_path(request: HttpRequest) -> Answer {
    Err(ApiError::not_found(format!("there is nothing at {}", request.path())))
}

/// Who asks, if its token has the scope.
fn caller(admin: &Admin, request: &HttpRequest, scope: Scope) -> Result<Caller, ApiError> {
    let caller = authenticate(&admin.store.snapshot(), request.headers())?;
    caller.require(scope)?;
    Ok(caller)
}

/// A change of the caller's own workspace.
fn order(admin: &Admin, request: &HttpRequest) -> Result<(Caller, Order), ApiError> {
    let caller = caller(admin, request, Scope::AdminWrite)?;
    let expected = request::if_match(request)?;
    let order = Order { workspace: caller.workspace.id, by: caller.author(), expected };
    Ok((caller, order))
}

/// An answer that tells the version of the workspace.
fn versioned(status: StatusCode, workspace: &Workspace, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((ETAG, etag(workspace))).json(body)
}

/// The answer to a deletion.
fn deleted(workspace: &Workspace) -> HttpResponse {
    HttpResponse::NoContent().insert_header((ETAG, etag(workspace))).finish()
}

fn etag(workspace: &Workspace) -> String {
    format!("\"{}\"", workspace.version)
}

/// Runs blocking work beside the request threads.
async fn blocking<T: Send + 'static, E: Into<ApiError> + Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError> {
    match web::block(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(error) => Err(ApiError::internal(&error)),
    }
}
