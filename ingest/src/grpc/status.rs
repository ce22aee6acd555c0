//! Refusals as gRPC statuses.

use crate::error::IngestError;
use crate::limits::IngestLimits;
use crate::metrics::Method;
use crate::pipeline::Collector;
use std::error::Error;
use std::sync::Arc;
use tonic::{Code, Status};
use tributary_model::ErrorCode;
use tributary_proto::status::{grpc_status, http_status};

/// The metadata that tells after how many seconds trying again makes sense.
const RETRY_AFTER: &str = "retry-after";

/// The status that tells a client about a refusal. It carries the refusal as its source.
pub(super) fn status_of(why: IngestError) -> Status {
    let mut status = Status::new(grpc_status(why.code()), why.to_string());
    if let Some(seconds) = why.retry_after_seconds() {
        status.metadata_mut().insert(RETRY_AFTER, seconds.into());
    }
    status.set_source(Arc::new(why));
    status
}

/// The refusal that a status tells about, if it is one of the collector's.
fn refusal_of(status: &Status) -> Option<&IngestError> {
    status.source()?.downcast_ref()
}

/// A status in the collector's words: its own as it is, and what comes from below, where messages are decoded,
/// as the refusal that it amounts to.
pub(super) fn in_our_words(mut status: Status, limits: &IngestLimits) -> Status {
    if refusal_of(&status).is_some() {
        return status;
    }
    let code = status.code();
    if code == Code::Unimplemented {
        // It stays as it is, because it tells the codings that are taken, as the protocol wants.
        status.set_source(Arc::new(IngestError::UnsupportedEncoding));
        status
    } else if code == Code::OutOfRange || code == Code::ResourceExhausted {
        status_of(IngestError::DecodedTooLarge { limit: limits.decoded_bytes_max })
    } else if code == Code::Internal {
        status_of(IngestError::Undecodable(status.message().to_owned()))
    } else {
        status_of(IngestError::BodyBroken)
    }
}

/// Counts a refusal, and logs it once. The status is in the collector's words.
pub(super) fn refused(collector: &Collector, method: Method, status: &Status) {
    let unknown = IngestError::Abandoned;
    let why = refusal_of(status).unwrap_or(&unknown);
    let code = why.code();
    collector.metrics().request_refused(method, http_status(code), why);
    if code == ErrorCode::Internal {
        tracing::error!(endpoint = method.name(), error = %why, "request failed");
    } else {
        tracing::debug!(endpoint = method.name(), error = %why, "request refused");
    }
}
