//! The profile API: `GET /v1/spaces/{workspace}/collections/users/profiles/{namespace}:{value}/…` in the shapes of
//! Segment's Profile API, and what it has not: audiences, consent, reasons, history, unmerge, identifiers moved by hand,
//! and reads that wait or look back. Accounts are read the same way, in the collection `accounts`.
//!
//! Everything that reads blocks, so it runs on threads for that. A change is answered once it is in force. Every answer
//! has a `Request-Id`, which the log names where we are at fault.

mod accounts;
mod address;
mod answer;
mod belongings;
mod body;
mod change;
mod error;
mod query;
mod reasons;
mod request_id;
mod traits;

use crate::desk::CommandDesk;
use crate::metrics;
use crate::reader::{AS_OF_NODES_MAX, AS_OF_RECORDS_MAX, AsOf, Found, ProfileReader};
use actix_web::http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, web};
use address::{Address, Collection, Endpoint, Part};
use body::Body;
use change::Asked;
use error::ApiError;
use query::{Class, Query};
use request_id::RequestIds;
use std::sync::{Arc, OnceLock};
use tributary_model::command::Who;
use tributary_model::{ErrorCode, WorkspaceId};

/// Who may read and change which workspace's profiles: the server's knowledge of tokens.
pub trait Access: Send + Sync + 'static {
    /// The workspace of that name, if the token may read its profiles.
    ///
    /// # Errors
    /// `Unauthenticated` for a missing or unknown token, `Forbidden` for one of another workspace or without the
    /// scope.
    fn profiles(&self, token: Option<&str>, workspace: &str) -> Result<WorkspaceId, ErrorCode>;

    /// The workspace of that name, its version in force, and who asks in words for a history, if the token may change
    /// its profiles.
    ///
    /// # Errors
    /// As [`Access::profiles`].
    fn change(&self, token: Option<&str>, workspace: &str) -> Result<(WorkspaceId, u64, String), ErrorCode>;
}

/// What the API answers from.
pub struct ProfileApi {
    access: Arc<dyn Access>,
    reader: Arc<OnceLock<ProfileReader>>,
    desk: Arc<OnceLock<CommandDesk>>,
    request_ids: RequestIds,
}

impl ProfileApi {
    /// An API that answers 503 until `reader` is set, and to changes until `desk` is.
    pub fn new(
        access: Arc<dyn Access>,
        reader: Arc<OnceLock<ProfileReader>>,
        desk: Arc<OnceLock<CommandDesk>>,
    ) -> Self {
        Self { access, reader, desk, request_ids: RequestIds::new() }
    }

    fn reader(&self) -> Result<&ProfileReader, ApiError> {
        self.reader.get().ok_or_else(ApiError::starting)
    }

    fn desk(&self) -> Result<&CommandDesk, ApiError> {
        self.desk.get().ok_or_else(ApiError::starting)
    }
}

/// Adds the profile API to an application.
pub fn routes(api: Arc<ProfileApi>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        // Every method, so that a wrong one is told which is right.
        let resource = web::resource("/v1/spaces/{rest:.*}");
        config.service(resource.app_data(web::Data::from(api)).to(serve));
    }
}

async fn serve(request: HttpRequest, api: web::Data<ProfileApi>, payload: web::Payload) -> HttpResponse {
    let path = request.uri().path().strip_prefix("/v1/spaces/").unwrap_or_default();
    let address = Address::parse(path);
    let endpoint = address.as_ref().map_or("unknown", |address| address.endpoint.name());
    let request_id = api.request_ids.next();
    let answered = match address {
        Ok(address) => answer(&request, api.into_inner(), address, payload).await,
        Err(error) => Err(error),
    };
    let mut response = match answered {
        Ok(body) => HttpResponse::Ok().content_type("application/json").body(body),
        Err(error) => error.response(&request_id),
    };
    let status = response.status().as_u16().to_string();
    ::metrics::counter!(metrics::API_REQUESTS, "endpoint" => endpoint, "status" => status).increment(1);
    let request_id = HeaderValue::try_from(request_id).expect("letters and digits");
    response.headers_mut().insert(HeaderName::from_static("request-id"), request_id);
    response
}

async fn answer(
    request: &HttpRequest,
    api: Arc<ProfileApi>,
    address: Address,
    payload: web::Payload,
) -> Result<Vec<u8>, ApiError> {
    let method = address.endpoint.method();
    if *request.method() != method {
        return Err(ApiError::Method(method));
    }
    let token = token_of(request);
    let query = request.query_string().to_owned();
    match address.endpoint {
        Endpoint::Read(part) => {
            let workspace = api
                .access
                .profiles(token.as_deref(), &address.workspace)
                .map_err(|code| refused(code, "this token may not read the profiles of this workspace"))?;
            let reader = api.reader()?.clone();
            let mut query = Query::parse(&query, query::known_of(address.collection, part))?;
            request.uri().path().clone_into(&mut query.url);
            if let Some(position) = query.wait_for {
                api.desk()?.seen(position).await?;
            }
            blocking(move || read(&reader, workspace, &address, part, &query)).await
        }
        Endpoint::Change(change) => {
            change::answer(api, Asked { address, change, token, query }, payload).await
        }
    }
}

/// Reads a part of a profile. Blocking.
fn read(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    part: Part,
    query: &Query,
) -> Result<Vec<u8>, ApiError> {
    let body = match address.collection {
        Collection::Users => read_person(reader, workspace, address, part, query)?,
        Collection::Accounts => accounts::answer(reader, workspace, &address.value, part, query)?,
    };
    Ok(body::bytes(&body))
}

fn read_person(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    part: Part,
    query: &Query,
) -> Result<Body, ApiError> {
    let find = || found(reader, workspace, address, query);
    match part {
        Part::Traits => {
            let found = find()?;
            let memberships = if query.wants_class(Class::Audience) {
                reader.memberships(workspace, found.id)?
            } else {
                Vec::new()
            };
            let now = query.as_of.unwrap_or_else(|| reader.now());
            traits::traits(&found.view, &memberships, now, &reader.unfilled(workspace)?, query)
        }
        Part::ExternalIds => answer::external_ids(reader, workspace, &find()?, query),
        Part::Events => answer::events(reader, workspace, &find()?, query),
        Part::Metadata => Ok(answer::metadata(&find()?)),
        Part::Links => {
            let accounts = reader.accounts_of(workspace, &find()?.view);
            Ok(belongings::links(&accounts, query))
        }
        Part::Audiences => {
            let memberships = reader.memberships(workspace, find()?.id)?;
            let definitions = reader.definitions(workspace)?;
            Ok(belongings::audiences(&definitions.defined.audiences, &memberships, query))
        }
        Part::Consent => Ok(belongings::consent(&find()?.view, query)),
        Part::Explain => explain(reader, workspace, address, query),
        Part::History => history(reader, workspace, address, query),
    }
}

/// The profile that a path names, as it is now, or as it was.
fn found(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    query: &Query,
) -> Result<Found, ApiError> {
    let Some(at) = query.as_of else {
        let found = reader.find(workspace, &address.namespace, &address.value)?;
        return found.ok_or_else(ApiError::no_profile);
    };
    let now = reader.now();
    if at > now {
        return Err(ApiError::invalid(format!("as_of is {at}, which is later than now, {now}")));
    }
    let who = whose(reader, workspace, address)?;
    match reader.as_of(workspace, &who, at)? {
        AsOf::Found(found) => Ok(found),
        AsOf::NoProfile => Err(ApiError::not_found("no profile had this identifier then")),
        AsOf::Incomplete { first_possible } => Err(ApiError::Incomplete { first_possible }),
        AsOf::TooMuch => Err(ApiError::Refused(
            ErrorCode::Conflict,
            format!(
                "as_of would have to look at more than {AS_OF_NODES_MAX} identifiers or {AS_OF_RECORDS_MAX} records: \
                 too many have to do with this profile"
            ),
        )),
    }
}

fn explain(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    query: &Query,
) -> Result<Body, ApiError> {
    let with = query
        .with
        .as_deref()
        .ok_or_else(|| ApiError::invalid("`with` is missing: the other identifier, as namespace:value"))?;
    let rules = reader.rules(workspace)?;
    let with = address::identifier(&rules, "with", with)?;
    let who = whose(reader, workspace, address)?;
    reasons::explanation(&reader.explain(workspace, &who, &with)?)
}

fn history(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    address: &Address,
    query: &Query,
) -> Result<Body, ApiError> {
    let who = whose(reader, workspace, address)?;
    let rows = reader.history(workspace, &who)?.ok_or_else(ApiError::no_profile)?;
    reasons::history(&rows, query)
}

/// Who is named by a path, whether there is such a profile or not.
fn whose(reader: &ProfileReader, workspace: WorkspaceId, address: &Address) -> Result<Who, ApiError> {
    reader.who(workspace, &address.namespace, &address.value)?.ok_or_else(ApiError::no_profile)
}

/// What a caller is told that `Access` turns away.
fn refused(code: ErrorCode, forbidden: &str) -> ApiError {
    let message = if code == ErrorCode::Unauthenticated {
        "an API token is needed: `Authorization: Bearer …`, or Basic with it as user"
    } else {
        forbidden
    };
    ApiError::Refused(code, message.to_owned())
}

/// Runs blocking work beside the request threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ApiError> + Send + 'static,
) -> Result<T, ApiError> {
    // It is given up only where the runtime ends.
    web::block(work).await.unwrap_or_else(|_| Err(ApiError::stopping()))
}

/// The token of a request: Bearer, or the user of Basic.
fn token_of(request: &HttpRequest) -> Option<String> {
    use base64::Engine;
    let value = request.headers().get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(rest.trim().to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let bytes = base64::engine::general_purpose::STANDARD.decode(rest.trim()).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        return Some(text.split_once(':').map_or(text.clone(), |(user, _)| user.to_owned()));
    }
    None
}
