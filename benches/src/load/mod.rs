//! The commands under `load`, and what they are made of.
//!
//! [`run`] is the core: [`drive`] sends, [`receiver`] takes deliveries (on [`loopback`]), [`probe`] reads profiles, while [`process`]
//! and [`machine`] look at what that costs and [`report`] says it. [`server`] starts the server, or finds one.

pub(crate) mod control;
pub(crate) mod directory;
mod drive;
pub(crate) mod flamegraph;
pub(crate) mod http;
pub(crate) mod idle;
pub(crate) mod latency;
pub(crate) mod loopback;
mod machine;
pub(crate) mod pair;
pub(crate) mod prepare;
mod probe;
pub(crate) mod process;
mod receiver;
mod report;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod start_time;
mod tally;
#[cfg(test)]
mod tests;
