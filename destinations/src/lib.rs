//! The destination engine: it takes activations from their log and brings each to every destination of its
//! workspace, at least once, each at its own pace.
//!
//! - What a destination *is*: [`definition`] (traits and data), [`registry`] (the one list), `webhook`.
//! - What happens to a delivery: `fanout` (which activations are whose), `selection` (which of them the settings
//!   leave out), `worker` (one task for each destination: read, send, judge, record), [`retry`] (when again, when
//!   no more), [`dead_letter`] (what is given up), [`connect`] (the network, and which addresses are refused).
//! - What is remembered: `ledger` and `order` (in memory, pure), `store` (in fjall).
//! - [`engine`] starts, reconfigures, parks, resumes and removes the workers.
//!
//! A delivery is one activation for one destination, and ends in exactly one
//! [`Outcome`](tributary_model::outcome::Outcome). Left out: what an event means; the engine never looks into
//! an event's bytes.

pub mod connect;
pub mod dead_letter;
pub mod definition;
pub mod engine;
pub mod metrics;
pub mod registry;
pub mod retry;

mod attempt;
mod config;
mod fanout;
mod integrations;
mod ledger;
mod locate;
mod order;
mod outage;
mod reader;
mod record;
mod remove;
mod selection;
mod sending;
mod status;
mod store;
mod webhook;
mod worker;

pub use config::{DestinationConfig, Limits};
pub use dead_letter::{DeadLetter, DeadLetterPage};
pub use definition::{Definition, Destination, RawSettings, SettingKind, SettingSpec, SettingsError, Spec};
pub use engine::{Engine, EngineError, EngineOptions};
pub use ledger::Totals;
pub use retry::RetryPolicy;
pub use status::DestinationStatus;
