//! The wire: HTTP bodies in and out, error codes to statuses.
//!
//! What a client sends is read here only as far as it can be without deciding anything: a body into its
//! parts, each with the bytes that the client sent. What the parts mean is the collector's business.

pub mod json;
pub mod status;
pub mod surrogate;
