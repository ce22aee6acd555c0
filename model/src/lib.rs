//! Pure domain types of Tributary.
//!
//! Everything here is a value or a function over values: no clock, disk, network or async. The other crates
//! depend on this one; it depends on none of them.

// The parser that is derived from the grammar of conditions names it.
extern crate alloc;

pub mod activation;
pub mod catalog;
pub mod clock;
pub mod command;
pub mod condition;
pub mod consent;
pub mod error;
pub mod event;
pub mod fragment;
pub mod hash_key;
pub mod id;
pub mod identifier;
pub mod identity_rules;
pub mod json;
pub mod keeper;
pub mod outcome;
pub mod pattern;
pub mod record;
pub mod tick;
pub mod time;
pub mod trail;
pub mod trait_record;
pub mod workspace;

pub use activation::{Activation, ActivationKind};
pub use command::Command;
pub use error::ErrorCode;
pub use event::{EventKind, EventView};
pub use fragment::Fragment;
pub use hash_key::HashKey;
pub use id::{AudienceId, ComputedTraitId, DestinationId, MessageId, ProfileId, SourceId, WorkspaceId};
pub use identifier::{Identifier, Namespace, NodeKey};
pub use identity_rules::{EventIdentifiers, IdentifierReader, IdentityRules};
pub use record::{Envelope, Marks, Position, Record, RecordKind};
pub use time::Timestamp;
pub use workspace::Workspace;
