//! The profile API: `GET /v1/spaces/{workspace}/collections/users/profiles/{namespace}:{value}/…` in the shapes of
//! Segment's Profile API.
//!
//! Paths are taken apart here rather than by the router: `{value}` may hold anything once percent-decoded, colons
//! and slashes (as `%2F`) included, and it ends at the last `/`.

mod answer;
mod query;

use crate::metrics;
use crate::reader::{LookupError, ProfileReader};
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HeaderValue, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, web};
use percent_encoding::percent_decode_str;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use tributary_model::{ErrorCode, WorkspaceId};
use tributary_proto::status::http_status;

/// Who may read which workspace's profiles: the server's knowledge of tokens.
pub trait Access: Send + Sync + 'static {
    /// The workspace of that name, if the token may read its profiles.
    ///
    /// # Errors
    /// `Unauthenticated` for a missing or unknown token, `Forbidden` for one of another workspace or without the
    /// scope.
    fn profiles(&self, token: Option<&str>, workspace: &str) -> Result<WorkspaceId, ErrorCode>;
}

/// What the API answers from.
pub struct ProfileApi {
    access: Arc<dyn Access>,
    reader: Arc<OnceLock<ProfileReader>>,
}

impl ProfileApi {
    /// An API that answers 503 until `reader` is set.
    pub fn new(access: Arc<dyn Access>, reader: Arc<OnceLock<ProfileReader>>) -> Self {
        Self { access, reader }
    }
}

/// Why a request gets no profile.
#[derive(Debug, thiserror::Error)]
enum ApiError {
    #[error("{1}")]
    Refused(ErrorCode, String),
    #[error("the profile can't be read at the moment")]
    Lookup(#[from] LookupError),
}

impl ApiError {
    fn invalid(message: impl Into<String>) -> Self {
        Self::Refused(ErrorCode::InvalidRequest, message.into())
    }

    fn not_found(message: impl Into<String>) -> Self {
        Self::Refused(ErrorCode::NotFound, message.into())
    }

    fn code(&self) -> ErrorCode {
        match self {
            Self::Refused(code, _) => *code,
            Self::Lookup(error) => error.code(),
        }
    }

    /// The error body: the codes are those of Segment's Profile API.
    fn response(&self) -> HttpResponse {
        let code = self.code();
        let name = match code {
            ErrorCode::Unauthenticated | ErrorCode::Forbidden => "authentication_error",
            ErrorCode::NotFound => "not_found",
            ErrorCode::Unavailable => "unavailable",
            ErrorCode::Internal => "internal_error",
            ErrorCode::InvalidRequest
            | ErrorCode::MethodNotAllowed
            | ErrorCode::Conflict
            | ErrorCode::PreconditionFailed
            | ErrorCode::TooLarge => "invalid_request_error",
        };
        if let (Self::Lookup(error), ErrorCode::Internal) = (self, code) {
            tracing::error!(error = error as &dyn std::error::Error, "a profile could not be read");
        }
        let status = StatusCode::from_u16(http_status(code)).expect("the table holds HTTP statuses");
        let mut response = HttpResponse::build(status);
        if code == ErrorCode::Unauthenticated {
            response.insert_header((WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")));
        }
        if code == ErrorCode::Unavailable {
            response.insert_header(("retry-after", "1"));
        }
        response.json(serde_json::json!({"error": {"code": name, "message": self.to_string()}}))
    }
}

/// Which part of a profile is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    Traits,
    ExternalIds,
    Events,
    Metadata,
}

impl Endpoint {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "traits" => Some(Self::Traits),
            "external_ids" => Some(Self::ExternalIds),
            "events" => Some(Self::Events),
            "metadata" => Some(Self::Metadata),
            _ => None,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Traits => "traits",
            Self::ExternalIds => "external_ids",
            Self::Events => "events",
            Self::Metadata => "metadata",
        }
    }
}

/// A request for a part of a profile.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    workspace: String,
    namespace: String,
    value: String,
    endpoint: Endpoint,
}

impl Address {
    /// Takes the path after `/v1/spaces/` apart.
    fn parse(path: &str) -> Result<Self, ApiError> {
        let unknown = || ApiError::not_found("no such path; see /openapi.json");
        let mut parts = path.split('/');
        let mut next = || parts.next().ok_or_else(unknown);
        let workspace = decode(next()?)?;
        let (collections, users, profiles) = (next()?, next()?, next()?);
        if (collections, profiles) != ("collections", "profiles") {
            return Err(unknown());
        }
        if users != "users" {
            return Err(ApiError::not_found(format!("no collection {users:?}; there is `users`")));
        }
        let who = next()?;
        let endpoint = Endpoint::parse(next()?).ok_or_else(unknown)?;
        if parts.next().is_some() {
            return Err(unknown());
        }
        let who = decode(who)?;
        let (namespace, value) = who.split_once(':').ok_or_else(|| {
            ApiError::invalid("a profile is named by namespace:value, user_id:u1 for instance")
        })?;
        Ok(Self { workspace, namespace: namespace.to_owned(), value: value.to_owned(), endpoint })
    }
}

fn decode(segment: &str) -> Result<String, ApiError> {
    let text = percent_decode_str(segment).decode_utf8();
    Ok(text.map_err(|_| ApiError::invalid("the path is not UTF-8 once percent-decoded"))?.into_owned())
}

/// Adds the profile API to an application.
pub fn routes(api: Arc<ProfileApi>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::from(api)).route("/v1/spaces/{rest:.*}", web::get().to(profile));
    }
}

async fn profile(request: HttpRequest, api: web::Data<ProfileApi>) -> HttpResponse {
    let path = request.uri().path().strip_prefix("/v1/spaces/").unwrap_or_default();
    let address = Address::parse(path);
    let endpoint = address.as_ref().map_or("unknown", |address| address.endpoint.name());
    let token = token_of(&request);
    let query = request.query_string().to_owned();
    let api = api.into_inner();
    let answered = match address {
        Ok(address) => web::block(move || answer(&api, &address, token.as_deref(), &query)).await,
        Err(error) => Ok(Err(error)),
    };
    let response = match answered {
        Ok(Ok(body)) => HttpResponse::Ok().content_type("application/json").body(body),
        Ok(Err(error)) => error.response(),
        Err(_) => ApiError::Refused(ErrorCode::Unavailable, "the server is stopping".into()).response(),
    };
    let status = response.status().as_u16().to_string();
    ::metrics::counter!(metrics::API_REQUESTS, "endpoint" => endpoint, "status" => status).increment(1);
    response
}

fn answer(
    api: &ProfileApi,
    address: &Address,
    token: Option<&str>,
    query: &str,
) -> Result<Vec<u8>, ApiError> {
    let workspace = api.access.profiles(token, &address.workspace).map_err(|code| {
        let message = if code == ErrorCode::Unauthenticated {
            "an API token is needed: `Authorization: Bearer …`, or Basic with it as user"
        } else {
            "this token may not read the profiles of this workspace"
        };
        ApiError::Refused(code, message.into())
    })?;
    let starting = || ApiError::Refused(ErrorCode::Unavailable, "profiles are still being opened".into());
    let reader = api.reader.get().ok_or_else(starting)?;
    let query = query::Query::parse(query)?;
    let found = reader
        .find(workspace, &address.namespace, &address.value)?
        .ok_or_else(|| ApiError::not_found("no profile has this identifier"))?;
    let body = match address.endpoint {
        Endpoint::Traits => answer::traits(&found, &query)?,
        Endpoint::ExternalIds => answer::external_ids(reader, workspace, &found, &query)?,
        Endpoint::Events => answer::events(reader, workspace, &found, &query)?,
        Endpoint::Metadata => answer::metadata(&found),
    };
    Ok(serde_json::to_vec(&body).expect("an answer of plain values can be written"))
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

/// A JSON text that is already there, to be put into an answer as it is.
fn raw(text: &str) -> Result<Box<RawValue>, ApiError> {
    RawValue::from_string(text.to_owned())
        .map_err(|_| ApiError::Refused(ErrorCode::Internal, "a stored value is not JSON".into()))
}

/// An answer: members by name.
type Body = BTreeMap<&'static str, Box<RawValue>>;

fn member<T: serde::Serialize>(value: &T) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("plain values can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_keep_every_character_of_a_value() {
        let cases = [
            ("default/collections/users/profiles/user_id:u1/traits", Some(("user_id", "u1"))),
            ("default/collections/users/profiles/user_id:a:b%3Ac/traits", Some(("user_id", "a:b:c"))),
            ("default/collections/users/profiles/email:a%2Bb%40x.y/traits", Some(("email", "a+b@x.y"))),
            ("default/collections/users/profiles/user_id:a%2Fb%20c/traits", Some(("user_id", "a/b c"))),
            ("default/collections/users/profiles/user_id%3Au1/traits", Some(("user_id", "u1"))),
            ("default/collections/users/profiles/user_id:%2525/traits", Some(("user_id", "%25"))),
            ("default/collections/users/profiles/user_id:a+b/traits", Some(("user_id", "a+b"))),
            ("default/collections/users/profiles/u1/traits", None),
            ("default/collections/users/profiles/user_id:%ff/traits", None),
            ("default/collections/users/profiles/user_id:u1/nothing", None),
            ("default/collections/users/profiles/user_id:u1/traits/", None),
            ("default/collections/accounts/profiles/group_id:g/traits", None),
            ("default", None),
        ];
        for (path, want) in cases {
            let got = Address::parse(path).ok();
            let got = got.as_ref().map(|address| (address.namespace.as_str(), address.value.as_str()));
            assert_eq!(got, want, "{path}");
        }
    }
}
