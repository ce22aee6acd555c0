//! Destinations: their bodies, how what is done with events is read and checked, what is told of deliveries.
//!
//! A destination that can't work is refused when it is saved, with the place. One that was right and no longer works (an
//! audience that it names was deleted by force) stays as it is, stands still, and is shown as broken.

pub mod bodies;
mod config;
pub mod definitions;
mod edits;
mod literals;
mod objects;
pub mod outside;
pub mod queries;
pub mod replays;
pub mod reports;
mod rules;
pub mod states;
pub mod trials;

pub use config::config;
pub(super) use edits::check_references;
