//! The wire: HTTP bodies and gRPC messages, error codes to statuses.
//!
//! What a client sends is read here only as far as it can be without deciding anything: a body into its
//! parts, each with the bytes that the client sent; a gRPC event into the JSON object that it is over HTTP. What
//! the parts mean is the collector's business.

pub mod convert;
pub mod grpc;
pub mod json;
pub mod status;
pub mod surrogate;
