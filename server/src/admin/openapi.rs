//! The OpenAPI document at `/openapi.json`.
//!
//! [`document`] describes the admin API. The descriptions of the other APIs are merged into it where the server
//! is put together (`OpenApi::merge`), and [`route`] serves the whole.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{Components, ContentBuilder, OpenApi, Ref, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi as _};

use super::error::ErrorBody;
use super::routes::destinations::{
    definitions, deliveries, overview, preview as destination_preview, replays, status as destination_status,
};
use super::routes::{
    alarms, audience_members, audience_preview, audiences, computed_traits, dead_letters, destinations,
    document as workspace, export, identity_preview, identity_rules, people, rejects, snapshots, sources,
    tokens, trait_rules, workspaces,
};

/// Where the document is served.
pub const PATH: &str = "/openapi.json";

/// The name of the security scheme: an API token as Bearer.
pub const TOKEN_SCHEME: &str = "token";

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Tributary", description = "A customer data platform"),
    paths(
        sources::create, sources::list, sources::read, sources::change, sources::delete,
        destinations::create, destinations::list, destinations::read, destinations::change,
        destinations::delete, dead_letters::list,
        definitions::list, definitions::read,
        destination_status::all, destination_status::status_of, destination_status::resume,
        destination_preview::preview, destination_preview::preview_unsaved, destination_preview::test,
        destination_preview::test_unsaved, destination_preview::delete_person,
        replays::begin, replays::list, replays::read, replays::cancel,
        deliveries::of_destination, deliveries::of_all, overview::read,
        tokens::create, tokens::list, tokens::read, tokens::change, tokens::delete,
        workspace::read, workspace::replace, workspace::versions,
        workspaces::create, workspaces::list, workspaces::read, workspaces::change, workspaces::delete,
        identity_rules::read, identity_rules::replace,
        identity_preview::create, identity_preview::read, identity_preview::delete, identity_preview::rebuild,
        computed_traits::create, computed_traits::list, computed_traits::read, computed_traits::replace,
        computed_traits::delete,
        audiences::create, audiences::list, audiences::read, audiences::replace, audiences::delete,
        audience_members::list, audience_members::size, export::members, export::profiles,
        audience_preview::create, audience_preview::read, audience_preview::delete,
        trait_rules::read, trait_rules::replace,
        alarms::list, people::search, rejects::list, snapshots::create,
    ),
    components(schemas(ErrorBody)),
    modifiers(&Names, &Tokens, &Errors),
)]
struct AdminApi;

/// The description of the admin API.
pub fn document() -> OpenApi {
    AdminApi::openapi()
}

/// Serves a document at [`PATH`], for `App::configure`. It needs no token.
pub fn route(document: Arc<OpenApi>) -> impl FnOnce(&mut ServiceConfig) {
    async fn serve(document: Data<OpenApi>) -> HttpResponse {
        HttpResponse::Ok().json(document.get_ref())
    }
    move |config| {
        config.service(web::resource(PATH).app_data(Data::from(document)).route(web::get().to(serve)));
    }
}

/// Gives every operation an id of its own: its tag and the name of its handler.
struct Names;

impl Modify for Names {
    fn modify(&self, openapi: &mut OpenApi) {
        for operation in operations(openapi) {
            let tag = operation.tags.iter().flatten().next().cloned().unwrap_or_default();
            let name = operation.operation_id.take().unwrap_or_default();
            operation.operation_id = Some(format!("{tag}_{name}"));
        }
    }
}

/// Adds the security scheme, and asks for it everywhere.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, openapi: &mut OpenApi) {
        let mut bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        bearer.description =
            Some("An API token. As the user of Basic authentication it works too.".to_owned());
        openapi
            .components
            .get_or_insert_with(Components::new)
            .add_security_scheme(TOKEN_SCHEME, SecurityScheme::Http(bearer));
        for operation in operations(openapi) {
            let required = SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN_SCHEME, []);
            operation.security = Some(vec![required]);
        }
    }
}

/// Adds the errors that every operation of a kind can answer with.
struct Errors;

impl Modify for Errors {
    fn modify(&self, openapi: &mut OpenApi) {
        for operation in operations(openapi) {
            let mut errors = vec![
                ("401", "No token, or one that nobody has"),
                ("403", "The token has not got the scope"),
                ("500", "The server failed"),
                ("503", "Not possible at the moment; `Retry-After` says when to try again"),
            ];
            let changes =
                operation.responses.responses.keys().any(|status| matches!(&**status, "201" | "204"))
                    || operation.request_body.is_some();
            if operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty())
                || operation.request_body.is_some()
            {
                errors.push(("400", "The request can't be read or breaks a rule"));
                errors.push(("404", "There is no such thing"));
            }
            if operation.request_body.is_some() {
                errors.push(("413", "The body is larger than the limit"));
            }
            if changes {
                errors.push(("409", "It clashes with what is there"));
                errors.push(("412", "`If-Match` names another version than the one in force"));
            }
            for (status, description) in errors {
                operation.responses.responses.insert(status.to_owned(), error(description).into());
            }
        }
    }
}

fn error(description: &str) -> Response {
    let schema = Ref::from_schema_name("ErrorBody");
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/json", content).build()
}

fn operations(openapi: &mut OpenApi) -> impl Iterator<Item = &mut Operation> {
    openapi.paths.paths.values_mut().flat_map(|item: &mut PathItem| {
        [&mut item.get, &mut item.put, &mut item.post, &mut item.delete, &mut item.patch]
            .into_iter()
            .flatten()
    })
}
