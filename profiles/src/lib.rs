//! The projector, the profile store and the profile API.
//!
//! - [`projector`] reads the events log, drives the [`machine`], writes activations and checkpoints.
//! - [`state`] is what readers see; [`store`] is where it is kept, [`sled_store`] the store on sled. `graph` is the
//!   identity graph in it, [`rebuild`] makes that again, [`preview`] tries other rules on the log.
//! - [`checkpoint`], [`snapshot`] and [`generation`] make it survive.
//! - [`reader`], [`api`] and [`grpc`] answer questions about profiles, [`desk`] takes commands in, [`waiting`] lets
//!   reads wait.
//! - [`audience_preview`] says who would be in an audience; `columns` is the index that it asks.
//! - [`account`] is what is known of companies, teams and the like. [`alarms`] tell of what somebody should look at.

pub mod account;
pub mod alarms;
mod announce;
pub mod api;
pub mod audience_preview;
mod catalogs;
pub mod checkpoint;
pub mod codec;
mod columns;
pub mod definitions;
pub mod desk;
pub mod generation;
mod graph;
pub mod grpc;
pub mod key;
pub mod machine;
pub mod metrics;
pub mod needs;
pub mod preview;
pub mod projector;
pub mod reader;
pub mod rebuild;
pub mod reference;
mod resolved;
mod rules;
mod scratch;
mod searched;
pub mod sled_store;
pub mod snapshot;
pub mod standing;
pub mod state;
pub mod store;
pub mod waiting;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use api::{Access, ProfileApi};
pub use generation::StatePaths;
pub use projector::{Progress, Projector, ProjectorError, ProjectorOptions, ProjectorParts};
pub use reader::ProfileReader;
