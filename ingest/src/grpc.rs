//! The collector over gRPC: decode, call the pipeline, encode. No decisions are taken here.
//!
//! What a method promises its callers is written in `proto/tributary/v1/collector.proto`.

mod admission;
mod event;
mod send;
mod status;
mod stream;

use crate::error::IngestError;
use crate::metrics::Method;
use crate::pipeline::Collector;
use admission::{Call, admit};
use futures_util::FutureExt;
use status::{in_our_words, refused, status_of};
use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::watch;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, CompressionEncoding, Service, http};
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tributary_proto::grpc::v1;
use tributary_proto::grpc::v1::collector_server::CollectorServer;

/// The gRPC service that takes events in, to be added to a server.
#[derive(Clone)]
pub struct GrpcService {
    collector: Arc<Collector>,
    inner: CollectorServer<Handler>,
}

/// The service in front of `collector`. Once `stopping` turns true (or its sender is gone), streams acknowledge
/// what they have taken in and end.
pub fn service(collector: Arc<Collector>, stopping: watch::Receiver<bool>) -> GrpcService {
    let handler = Handler { collector: Arc::clone(&collector), stopping };
    // It bounds a message both as sent and as inflated.
    let limit = collector.limits().decoded_bytes_max;
    let inner = CollectorServer::new(handler)
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(limit);
    GrpcService { collector, inner }
}

impl NamedService for GrpcService {
    const NAME: &'static str = <CollectorServer<Handler> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for GrpcService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let method = match request.uri().path() {
            "/tributary.v1.Collector/Send" => Method::Send,
            "/tributary.v1.Collector/Stream" => Method::Stream,
            _ => return self.inner.call(request),
        };
        match admit(&self.collector, method, request) {
            Ok(request) => {
                let collector = Arc::clone(&self.collector);
                let answer = self.inner.call(request);
                Box::pin(answer.map(move |answer| answer.map(|answer| settle(&collector, method, answer))))
            }
            Err(why) => {
                let status = status_of(why);
                refused(&self.collector, method, &status);
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        }
    }
}

/// Counts an answer, and puts a refusal that came from below into the collector's words. A stream that was
/// opened is counted when it ends.
fn settle(collector: &Collector, method: Method, answer: http::Response<Body>) -> http::Response<Body> {
    match answer.extensions().get::<Status>() {
        Some(status) => {
            let status = in_our_words(status.clone(), collector.limits());
            refused(collector, method, &status);
            status.into_http()
        }
        None => {
            if method == Method::Send {
                collector.metrics().request_succeeded(method);
            }
            answer
        }
    }
}

struct Handler {
    collector: Arc<Collector>,
    stopping: watch::Receiver<bool>,
}

#[tonic::async_trait]
impl v1::collector_server::Collector for Handler {
    async fn send(&self, request: Request<v1::SendRequest>) -> Result<Response<v1::SendResponse>, Status> {
        let call = call_of(&request)?;
        let taken = send::take(&self.collector, call, request.into_inner()).await;
        taken.map(Response::new).map_err(status_of)
    }

    type StreamStream = stream::Answers;

    async fn stream(
        &self,
        request: Request<Streaming<v1::StreamRequest>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let call = call_of(&request)?;
        let collector = Arc::clone(&self.collector);
        Ok(Response::new(stream::open(collector, call, request.into_inner(), self.stopping.clone())))
    }
}

/// What was found out about a call before its body was read.
fn call_of<T>(request: &Request<T>) -> Result<Call, Status> {
    request.extensions().get().cloned().ok_or_else(|| status_of(IngestError::Abandoned))
}

#[cfg(test)]
mod tests;
