//! Profiles over gRPC: decode, read, encode.
//!
//! What a method promises its callers is written in `proto/tributary/v1/profiles.proto`. Everything that reads
//! blocks, so it runs on threads for that; watches share one reader of the activations log.

mod answer;
mod feed;
mod follow;
mod read;
mod status;
mod token;
mod watch;

use crate::api::Access;
use crate::desk::CommandDesk;
use crate::reader::ProfileReader;
use crate::waiting::parse_wait_for;
use feed::Feed;
use status::{Refusal, settle};
use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use tokio::sync::Semaphore;
use tokio::sync::watch::Receiver;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, CompressionEncoding, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tributary_eventlog::EventLog;
use tributary_model::{ErrorCode, WorkspaceId};
use tributary_proto::grpc::v1;
use tributary_proto::grpc::v1::profiles_server::ProfilesServer;

/// How many watches are open at once.
pub const WATCHES_MAX: usize = 100;
/// The largest request, in bytes: room for a batch of the longest identifiers.
const REQUEST_BYTES_MAX: usize = 256 << 10;
/// The most bytes that the profiles of a batch have together: clients take 4 MiB unless told otherwise, and the rest of
/// the answer needs some, too.
const ANSWER_BYTES_MAX: usize = 4_000_000;

/// What the service answers from.
pub struct ProfilesParts {
    /// Who may read which workspace.
    pub access: Arc<dyn Access>,
    /// The reader, once there is one; until then calls are answered with `UNAVAILABLE`.
    pub reader: Arc<OnceLock<ProfileReader>>,
    /// The desk, which knows what readers see.
    pub desk: Arc<OnceLock<CommandDesk>>,
    /// What changes are read from.
    pub activations: Arc<dyn EventLog>,
}

/// The gRPC service that shows profiles, to be added to a server.
#[derive(Clone)]
pub struct ProfilesService {
    inner: ProfilesServer<Handler>,
}

/// The service over these parts. Once `stopping` turns true (or its sender is gone), watches end. To be called within
/// a runtime.
pub fn service(parts: ProfilesParts, stopping: Receiver<bool>) -> ProfilesService {
    let ProfilesParts { access, reader, desk, activations } = parts;
    let feed = Arc::new(Feed::new(activations, stopping.clone()));
    let watches = Arc::new(Semaphore::new(WATCHES_MAX));
    let handler = Handler { api: Arc::new(Api { access, reader, desk, feed, watches, stopping }) };
    let inner = ProfilesServer::new(handler)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(REQUEST_BYTES_MAX);
    ProfilesService { inner }
}

impl NamedService for ProfilesService {
    const NAME: &'static str = <ProfilesServer<Handler> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for ProfilesService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let endpoint = match request.uri().path() {
            "/tributary.v1.Profiles/Get" => "grpc_get",
            "/tributary.v1.Profiles/BatchGet" => "grpc_batch_get",
            "/tributary.v1.Profiles/Watch" => "grpc_watch",
            _ => return self.inner.call(request),
        };
        let answer = self.inner.call(request);
        Box::pin(async move { answer.await.map(|answer| settle(endpoint, answer)) })
    }
}

/// What the methods share.
struct Api {
    access: Arc<dyn Access>,
    reader: Arc<OnceLock<ProfileReader>>,
    desk: Arc<OnceLock<CommandDesk>>,
    feed: Arc<Feed>,
    watches: Arc<Semaphore>,
    stopping: Receiver<bool>,
}

impl Api {
    /// The workspace of that name, if the token may read its profiles.
    fn admit(&self, token: Option<&str>, workspace: &str) -> Result<WorkspaceId, Refusal> {
        self.access.profiles(token, workspace).map_err(|code| {
            let message = if code == ErrorCode::Unauthenticated {
                "an API token is needed: the metadata `authorization` with `Bearer …`"
            } else {
                "this token may not read the profiles of this workspace"
            };
            Refusal::Refused(code, message.to_owned())
        })
    }

    fn reader(&self) -> Result<ProfileReader, Refusal> {
        self.reader.get().cloned().ok_or_else(Refusal::starting)
    }

    /// Waits until readers see the record at this position, if one is named.
    async fn wait_for(&self, position: &str) -> Result<(), Refusal> {
        if position.is_empty() {
            return Ok(());
        }
        let position = parse_wait_for(position)?;
        let desk = self.desk.get().ok_or_else(Refusal::starting)?;
        let mut stopping = self.stopping.clone();
        tokio::select! {
            biased;
            () = stopped(&mut stopping) => Err(Refusal::stopping()),
            seen = desk.seen(position) => Ok(seen?),
        }
    }
}

struct Handler {
    api: Arc<Api>,
}

#[tonic::async_trait]
impl v1::profiles_server::Profiles for Handler {
    async fn get(&self, request: Request<v1::GetRequest>) -> Result<Response<v1::Profile>, Status> {
        let token = token_of(request.metadata());
        let profile = read::one(&self.api, token.as_deref(), request.into_inner()).await?;
        Ok(Response::new(profile))
    }

    async fn batch_get(
        &self,
        request: Request<v1::BatchGetRequest>,
    ) -> Result<Response<v1::BatchGetResponse>, Status> {
        let token = token_of(request.metadata());
        let results = read::batch(&self.api, token.as_deref(), request.into_inner()).await?;
        Ok(Response::new(v1::BatchGetResponse { results }))
    }

    type WatchStream = watch::Changes;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let token = token_of(request.metadata());
        let changes = watch::open(&self.api, token, request.into_inner()).await?;
        Ok(Response::new(changes))
    }
}

/// The API token of a call.
fn token_of(metadata: &MetadataMap) -> Option<String> {
    let (scheme, token) = metadata.get("authorization")?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
}

/// Runs work that blocks beside the calls.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    // It is given up only where the runtime ends.
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(Refusal::stopping()))
}

/// Resolves once the server stops.
async fn stopped(stopping: &mut Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_from_bearer() {
        let cases =
            [("Bearer abc", Some("abc")), ("bEARER  abc ", Some("abc")), ("Basic abc", None), ("abc", None)];
        for (header, want) in cases {
            let mut metadata = MetadataMap::new();
            metadata.insert("authorization", header.parse().expect("visible ASCII"));
            assert_eq!(token_of(&metadata).as_deref(), want, "{header}");
        }
        assert_eq!(token_of(&MetadataMap::new()), None);
    }
}
