//! The destination engine: it takes activations from their log and brings each to every destination of its
//! workspace, at least once, each at its own pace.
//!
//! - What a destination *is*: [`definition`] (data, in `catalog/`), [`registry`] (the one list), `settings`, `mapping` (from
//!   an event to the fields of an action), `plan` (gates, filters, triggers and mappings of one destination, pure),
//!   `transport` (how what was mapped reaches it: HTTP, a database, files), [`connect`] (the only way out of the process, and
//!   which addresses are refused).
//! - What happens to a delivery: `fanout` (which activations are whose), `worker` and `sending` (one task for each destination:
//!   read, plan, send, judge, record), `health` (pauses), `pace` (concurrency, rate, budget), [`retry`] (when again, when no
//!   more), `replaying` (sending again what was before).
//! - What is remembered: `tokens` (of OAuth 2.0), `ledger` and `order` (in memory, pure), `stored` and `store` (in fjall), [`dead_letter`] (what is given
//!   up), [`records`] (attempts), `counts` and [`overview`] (numbers by the minute).
//! - [`engine`] starts, reconfigures, parks, resumes and removes the workers, and answers questions about them.
//!
//! A delivery is one activation for one destination, and ends in exactly one
//! [`Outcome`](tributary_model::outcome::Outcome).

pub mod connect;
pub mod dead_letter;
pub mod definition;
pub mod deliveries;
pub mod engine;
pub mod exchange;
pub mod failure;
pub mod metrics;
pub mod overview;
pub mod records;
pub mod registry;
pub mod replay;
pub mod retry;

mod attempt;
mod check;
mod config;
mod configured;
mod consent;
mod counts;
mod fanout;
mod filters;
mod health;
mod integrations;
mod ledger;
mod locate;
mod mapping;
mod order;
mod pace;
mod plan;
mod reader;
mod record;
mod remove;
mod replaying;
mod selection;
mod sending;
mod settings;
mod status;
mod store;
mod stored;
mod tokens;
mod transport;
mod worker;

#[cfg(test)]
mod golden;

pub use check::check;
pub use config::{DestinationConfig, Limits};
pub use dead_letter::{DeadLetter, DeadLetterPage};
pub use definition::{RawSettings, SettingKind, SettingSpec, SettingsError, Spec};
pub use engine::preview_identifiers;
pub use engine::{Engine, EngineError, EngineOptions};
pub use mapping::Mapper;
pub use retry::RetryPolicy;
pub use status::{DestinationStatus, Paused};
pub use stored::{PauseReason, Totals};
pub use tokens::Vault;
pub use transport::Person;
