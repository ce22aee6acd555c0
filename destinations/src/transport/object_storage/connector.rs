//! How the storage's client reaches the network: through [`Outbound`], the only way out.
//!
//! The client makes and signs requests. What the answer to one means is read from the answer itself, which the
//! connector leaves in a [`Note`] that goes along with the request: the client's own errors say less.

use crate::connect::{InboundResponse, Outbound, OutboundRequest};
use crate::failure::{Failure, Reason};
use futures_util::future::BoxFuture;
use object_store::client::{
    ClientOptions, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};
use object_store::{Extensions, Result as StoreResult};
use reqwest::StatusCode;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tributary_model::Timestamp;
use url::Url;

/// What a request came to.
pub(super) type Answer = Result<InboundResponse, Failure>;

/// Goes along with a request, and has its answer afterwards.
#[derive(Clone)]
pub(super) struct Note {
    at: Timestamp,
    answer: Arc<Mutex<Option<Answer>>>,
}

impl Note {
    /// A note for a request that is made at that time.
    pub(super) fn new(at: Timestamp) -> Self {
        Self { at, answer: Arc::default() }
    }

    /// What goes along with the request.
    pub(super) fn extensions(&self) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(self.clone());
        extensions
    }

    /// The answer. Without one the client did not even make a request.
    pub(super) fn answer(self) -> Answer {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        answer.unwrap_or_else(|| {
            let text = "the request can't be made: check endpoint, bucket and prefix";
            Err(Failure::new(Reason::InvalidRequest, text))
        })
    }

    fn leave(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }
}

/// Brings requests of the storage's client to the network.
#[derive(Clone)]
pub(super) struct Connector {
    pub(super) outbound: Arc<Outbound>,
    pub(super) timeout: Duration,
    pub(super) response_bytes: usize,
}

impl fmt::Debug for Connector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> StoreResult<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

impl HttpService for Connector {
    // What `async fn call(&self, request)` is for a trait whose futures are boxed.
    fn call<'a, 'b>(&'a self, request: HttpRequest) -> BoxFuture<'b, Result<HttpResponse, HttpError>>
    where
        'a: 'b,
        Self: 'b,
    {
        Box::pin(self.exchange(request))
    }
}

/// No answer came: the note says why.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
struct NoAnswer;

impl Connector {
    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let note = parts.extensions.get::<Note>().cloned();
        let note = note.expect("every request of this destination is made with a note");
        let url = Url::parse(&parts.uri.to_string());
        let url = url.map_err(|why| HttpError::new(HttpErrorKind::Unknown, why))?;
        // The length is set with the body.
        let headers = parts.headers.iter().filter(|(name, _)| name.as_str() != "content-length");
        let headers =
            headers.map(|(name, value)| value.to_str().map(|value| (name.to_string(), value.to_owned())));
        let headers = headers.collect::<Result<Vec<_>, _>>();
        let request = OutboundRequest {
            method: parts.method.as_str().to_owned(),
            url,
            headers: headers.map_err(|why| HttpError::new(HttpErrorKind::Unknown, why))?,
            body: HttpResponseBody::new(body).bytes().await?,
        };
        let answer = self.outbound.send(request, self.timeout, self.response_bytes, note.at).await;
        let response = answer.as_ref().ok().map(|answer| (answer.status, answer.body.clone()));
        note.leave(answer);
        let (status, body) = response.ok_or_else(|| HttpError::new(HttpErrorKind::Unknown, NoAnswer))?;
        let mut response = HttpResponse::new(body.into());
        *response.status_mut() =
            StatusCode::from_u16(status).map_err(|why| HttpError::new(HttpErrorKind::Decode, why))?;
        Ok(response)
    }
}
