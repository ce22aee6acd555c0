//! The projector, the profile store and the profile API.
//!
//! - [`projector`] reads the events log, drives the [`machine`], writes activations and checkpoints.
//! - [`state`] is what readers see; [`store`] is where it is kept, [`sled_store`] the store on sled. `graph` is the
//!   identity graph in it, [`rebuild`] makes that again, [`preview`] tries other rules on the log.
//! - [`checkpoint`], [`snapshot`] and [`generation`] make it survive.
//! - [`reader`] and [`api`] answer questions about profiles, [`desk`] takes commands in.
//! - [`alarms`] tell of what somebody should look at.

pub mod alarms;
mod announce;
pub mod api;
pub mod checkpoint;
pub mod codec;
pub mod desk;
pub mod generation;
mod graph;
pub mod key;
pub mod machine;
pub mod metrics;
pub mod preview;
pub mod projector;
pub mod reader;
pub mod rebuild;
pub mod reference;
mod resolved;
mod rules;
mod scratch;
pub mod sled_store;
pub mod snapshot;
pub mod state;
pub mod store;

#[cfg(test)]
mod tests;

pub use api::{Access, ProfileApi};
pub use generation::StatePaths;
pub use projector::{Progress, Projector, ProjectorError, ProjectorOptions, ProjectorParts};
pub use reader::ProfileReader;
