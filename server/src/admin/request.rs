//! Reading requests: bodies within their limit, queries, `If-Match`.

use actix_web::http::header::IF_MATCH;
use actix_web::{HttpRequest, web};
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tributary_model::{ErrorCode, Timestamp};

use super::error::ApiError;

/// Reads a JSON body.
///
/// # Errors
/// If it is larger than the limit, can't be received, or is not what is wanted; the message says where.
pub(super) async fn json<T: DeserializeOwned>(
    mut payload: web::Payload,
    bytes_max: u64,
) -> Result<T, ApiError> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| ApiError::invalid(format!("the body can't be read: {error}")))?;
        if (body.len() + chunk.len()) as u64 > bytes_max {
            let message = format!("the body is larger than {bytes_max} bytes");
            return Err(ApiError::new(ErrorCode::TooLarge, message));
        }
        body.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&body).map_err(|error| ApiError::invalid(format!("the body: {error}")))
}

/// Reads the query of a request.
///
/// # Errors
/// If it holds an unknown name or a value that can't be read.
pub(super) fn query<T: DeserializeOwned>(request: &HttpRequest) -> Result<T, ApiError> {
    web::Query::<T>::from_query(request.query_string())
        .map(web::Query::into_inner)
        .map_err(|error| ApiError::invalid(format!("the query: {error}")))
}

/// The version that the caller knows, from `If-Match`; `None` if it names none or `*`.
///
/// # Errors
/// If the header is there and names no version.
pub(super) fn if_match(request: &HttpRequest) -> Result<Option<u64>, ApiError> {
    let Some(header) = request.headers().get(IF_MATCH) else { return Ok(None) };
    let text = header.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let text = text.strip_prefix("W/").unwrap_or(text);
    let number = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let advice = "`If-Match`: give the version from `ETag`, such as \"7\"";
    number.parse().map(Some).map_err(|_| ApiError::invalid(advice))
}

/// The id in the path. One that can't be read names nothing.
pub(super) fn id<T: std::str::FromStr>(request: &HttpRequest, what: &str) -> Result<T, ApiError> {
    let text = request.match_info().get("id").unwrap_or_default();
    text.parse().map_err(|_| no_such(what, text))
}

/// There is nothing of that id.
pub(super) fn no_such(what: &str, id: impl std::fmt::Display) -> ApiError {
    ApiError::not_found(format!("there is no {what} {id}"))
}

/// Reads a time that is given as a text.
///
/// # Errors
/// If it is none.
pub(super) fn time(name: &str, text: Option<String>) -> Result<Option<Timestamp>, ApiError> {
    let Some(text) = text else { return Ok(None) };
    let advice = || ApiError::invalid(format!("`{name}`: give a time such as 2026-11-20T10:00:00Z"));
    Timestamp::parse(&text).map(Some).ok_or_else(advice)
}

/// Reads the ends of a time in which something is looked for.
///
/// # Errors
/// If one is no time, or the time is empty.
pub(super) fn span(
    from: Option<String>,
    until: Option<String>,
) -> Result<(Option<Timestamp>, Option<Timestamp>), ApiError> {
    let (from, until) = (time("from", from)?, time("until", until)?);
    if from.zip(until).is_some_and(|(from, until)| from >= until) {
        return Err(ApiError::invalid("`until` has to be later than `from`"));
    }
    Ok((from, until))
}

/// Which part of a long list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Paging {
    limit: Option<usize>,
    pub(super) cursor: Option<String>,
    /// Only where a list can be narrowed to one message.
    pub(super) message_id: Option<String>,
}

const LIMIT: usize = 20;
const LIMIT_MAX: usize = 200;

/// How many rows, if so many are asked for.
///
/// # Errors
/// If that is not from 1 to 200.
pub(super) fn limit(asked: Option<usize>) -> Result<usize, ApiError> {
    match asked.unwrap_or(LIMIT) {
        limit @ 1..=LIMIT_MAX => Ok(limit),
        other => Err(ApiError::invalid(format!("`limit` is {other}; give 1 to {LIMIT_MAX}"))),
    }
}

impl Paging {
    /// How many rows.
    ///
    /// # Errors
    /// If it is not from 1 to 200.
    pub(super) fn limit(&self) -> Result<usize, ApiError> {
        limit(self.limit)
    }

    /// Refuses what does not narrow this list.
    ///
    /// # Errors
    /// If `message_id` is given.
    pub(super) fn without_message_id(self) -> Result<Self, ApiError> {
        match self.message_id {
            Some(_) => Err(ApiError::invalid("the query: `message_id` is not known here")),
            None => Ok(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn if_match_takes_every_form_of_a_version() {
        let cases = [
            ("none", None, Ok(None)),
            ("any", Some("*"), Ok(None)),
            ("quoted", Some("\"7\""), Ok(Some(7))),
            ("weak", Some("W/\"7\""), Ok(Some(7))),
            ("bare", Some("7"), Ok(Some(7))),
            ("text", Some("\"seven\""), Err(ErrorCode::InvalidRequest)),
            ("half quoted", Some("\"7"), Err(ErrorCode::InvalidRequest)),
        ];
        for (name, header, want) in cases {
            let mut request = TestRequest::default();
            if let Some(header) = header {
                request = request.insert_header((IF_MATCH, header));
            }
            let got = if_match(&request.to_http_request());
            assert_eq!(got.map_err(|error| error.code()), want, "{name}");
        }
    }
}
