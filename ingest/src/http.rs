//! The tracking API over HTTP: decode, call the pipeline, encode. No decisions are taken here.

use crate::auth::{SourceRef, write_key_of_header};
use crate::body::{self, BLOCKING_FROM_BYTES, Coding};
use crate::error::IngestError;
use crate::metrics::Endpoint;
use crate::pipeline::Collector;
use actix_web::http::header::{ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, RETRY_AFTER};
use actix_web::http::{StatusCode, header::ContentType};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use std::borrow::Cow;
use std::sync::Arc;
use tributary_model::ErrorCode;
use tributary_proto::json::{SUCCESS, error_body, success_at};
use tributary_proto::status::http_status;

/// The routes of the tracking API, to be given to `App::configure`. Any other method of a known path is
/// answered by 405; unknown paths are up to the app (see [`not_found`]).
pub fn routes(collector: Arc<Collector>) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        for endpoint in Endpoint::ALL {
            let collector = Arc::clone(&collector);
            let handler = move |request: HttpRequest, payload: web::Payload| {
                handle(Arc::clone(&collector), endpoint, request, payload)
            };
            config.service(
                web::resource(format!("/v1/{}", endpoint.name()))
                    .route(web::post().to(handler))
                    .default_service(web::to(method_not_allowed)),
            );
        }
    }
}

/// The answer for a path that the tracking API does not have.
pub async fn not_found() -> HttpResponse {
    error_response(ErrorCode::NotFound, "there is no such path; see the tracking API's description", None)
}

async fn method_not_allowed() -> HttpResponse {
    let mut response = error_response(ErrorCode::MethodNotAllowed, "this path takes POST only", None);
    response.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static("POST"));
    response
}

async fn handle(
    collector: Arc<Collector>,
    endpoint: Endpoint,
    request: HttpRequest,
    payload: web::Payload,
) -> HttpResponse {
    match collect(&collector, endpoint, &request, payload).await {
        Ok(body) => {
            collector.metrics().request_succeeded(endpoint);
            HttpResponse::Ok().content_type(ContentType::json()).body(body)
        }
        Err(why) => {
            let code = why.code();
            let response = error_response(code, &why.to_string(), why.retry_after_seconds());
            collector.metrics().request_refused(endpoint, response.status().as_u16(), &why);
            if code == ErrorCode::Internal {
                tracing::error!(endpoint = endpoint.name(), error = %why, "request failed");
            } else {
                tracing::debug!(endpoint = endpoint.name(), error = %why, "request refused");
            }
            response
        }
    }
}

/// The body of the answer, once the events are stored.
async fn collect(
    collector: &Arc<Collector>,
    endpoint: Endpoint,
    request: &HttpRequest,
    mut payload: web::Payload,
) -> Result<Cow<'static, str>, IngestError> {
    let received_at = collector.arrival_time();
    let source = source_of_header(collector, request)?;
    let wants_position = wants_position(request.query_string())?;
    let coding = Coding::parse(request.headers().get(CONTENT_ENCODING))?;
    let mut reservation = collector.budget().reserve();
    let wire =
        body::read(&mut payload, announced_bytes(request), collector.limits(), &mut reservation).await?;

    let work = {
        let collector = Arc::clone(collector);
        let blocking = wire.len() >= BLOCKING_FROM_BYTES;
        let work = move || {
            let decoded = match coding {
                Coding::Plain => wire.clone(),
                Coding::Gzip => Bytes::from(body::gunzip(&wire, collector.limits(), &mut reservation)?),
            };
            collector.metrics().body_read(wire.len(), decoded.len());
            // The records hold about what the body held.
            reservation.grow(decoded.len())?;
            let prepared = collector.prepare(endpoint, source, received_at, &decoded)?;
            Ok::<_, IngestError>((prepared, reservation))
        };
        if blocking { web::block(work).await.map_err(|_| IngestError::Abandoned)? } else { work() }
    };
    let (prepared, reservation) = work?;

    // A task of its own: a client that goes away now leaves events that are stored and counted all the same.
    let storing = {
        let collector = Arc::clone(collector);
        actix_web::rt::spawn(async move { collector.store(prepared, reservation).await })
    };
    let last = storing.await.map_err(|_| IngestError::Abandoned)??;
    Ok(if wants_position { success_at(last).into() } else { SUCCESS.into() })
}

/// Whether the client asks for the position of its last event. Of the query, nothing else is looked at: SDKs and
/// proxies put things there.
fn wants_position(query: &str) -> Result<bool, IngestError> {
    let mut given = query.split('&').filter_map(|pair| match pair.split_once('=') {
        Some(("position", value)) => Some(value),
        None if pair == "position" => Some(""),
        Some(_) | None => None,
    });
    match given.next_back() {
        Some("true") => Ok(true),
        Some("false") | None => Ok(false),
        Some(_) => Err(IngestError::BadPosition),
    }
}

/// The source that the header names, checked before any of the body is read; `None` if it names none.
fn source_of_header(collector: &Collector, request: &HttpRequest) -> Result<Option<SourceRef>, IngestError> {
    let Some(header) = request.headers().get(AUTHORIZATION) else { return Ok(None) };
    match write_key_of_header(header.as_bytes())? {
        Some(key) => collector.write_keys().authenticate(&key).map(Some),
        None => Ok(None),
    }
}

fn announced_bytes(request: &HttpRequest) -> Option<u64> {
    request.headers().get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

fn error_response(code: ErrorCode, message: &str, retry_after_seconds: Option<u32>) -> HttpResponse {
    let status = StatusCode::from_u16(http_status(code)).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    if let Some(seconds) = retry_after_seconds {
        response.insert_header((RETRY_AFTER, seconds));
    }
    response.content_type(ContentType::json()).body(error_body(code, message))
}

#[cfg(test)]
mod tests;
