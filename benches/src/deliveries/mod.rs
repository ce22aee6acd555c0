//! What deliveries cost, and what broken destinations cost the healthy ones: a real server, driven from outside.

pub(crate) mod isolation;
mod poster;
mod sink;
pub(crate) mod throughput;
