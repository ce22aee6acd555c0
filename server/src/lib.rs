//! The server: configuration, the store of workspaces, the admin API, and how the parts are wired together.
//!
//! The binary only reads its arguments and calls in here, so that tests drive the same code.

pub mod admin;
pub mod app;
pub mod bulk;
pub mod cli;
mod clock;
pub mod config;
pub mod credentials;
mod durable;
pub mod keys;
pub mod lifecycle;
mod metrics;
pub mod seal;
pub mod telemetry;
pub mod tls;
pub mod workspaces;
