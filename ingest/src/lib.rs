//! The collector: authenticate, normalize, check, append, answer.
//!
//! It guarantees that a success answer means every event of the request is durable: the good ones in the
//! events log, the refused ones with their reason in the rejects log. One bad event never sinks its batch.
//! It waits for nothing behind the log. Duplicates are not its business: the projector finds them.

mod auth;
mod body;
mod error;
pub mod grpc;
pub mod http;
mod limits;
pub mod metrics;
mod normalize;
mod pipeline;
mod reason;
pub mod rejects;
mod shape;
mod splice;
#[cfg(test)]
mod testing;
mod time;

pub use auth::{SourceRef, WriteKeys};
pub use error::{IngestError, StreamFault};
pub use grpc::GrpcService;
pub use http::{not_found, routes};
pub use limits::IngestLimits;
pub use normalize::as_stored;
pub use pipeline::Collector;
pub use reason::RejectReason;
pub use rejects::Reject;
pub use rejects::lookup::{LookupError, RejectLookup};
