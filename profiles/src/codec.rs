//! The values of the state store: postcard behind a version byte.
//!
//! A value of an older version is brought to today's by one upgrade function for each version; samples of
//! every version stay in the tests.

use crate::key::Tag;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_identity::{Edge, Node, ProfileRecord, Refusal};
use tributary_model::workspace::IdentityRules;
use tributary_model::{Fragment, Timestamp};

/// Up to where the events log has been applied to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The sequence of the first record that is not applied.
    pub next: u64,
    /// The largest receive time among the applied records: the projector's time.
    pub log_time: Timestamp,
}

/// What the projector keeps of a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct WorkspaceState {
    /// The version in force at the checkpoint; 0 before the first.
    pub version: u64,
    /// Whether the workspace was deleted: this entry is all that is left of it.
    pub deleted: bool,
    /// The rules by which events are resolved.
    pub rules: IdentityRules,
    /// How many profiles are live.
    pub profiles: u64,
    /// How many events were projected.
    pub projected: u64,
    /// How many events were duplicates.
    pub duplicates: u64,
}

/// A decoded entry of the state store. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Under [`Tag::Checkpoint`].
    Checkpoint(Checkpoint),
    /// Under [`Tag::Edge`].
    Edge(Arc<Edge>),
    /// Under [`Tag::Fragment`].
    Fragment(Arc<Fragment>),
    /// Under [`Tag::Node`].
    Node(Arc<Node>),
    /// Under [`Tag::Profile`].
    Profile(Arc<ProfileRecord>),
    /// Under [`Tag::Refusal`].
    Refusal(Arc<Refusal>),
    /// Under [`Tag::Workspace`].
    Workspace(Arc<WorkspaceState>),
}

/// A stored value can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Written by a newer version of the program.
    #[error("a stored value has form {0}, which this version does not know")]
    Version(u8),
    /// The bytes don't fit.
    #[error("a stored value is damaged")]
    Damaged,
}

const VERSION: u8 = 1;

impl Value {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Checkpoint(value) => write(value),
            Self::Edge(value) => write(&**value),
            Self::Fragment(value) => write(&**value),
            Self::Node(value) => write(&**value),
            Self::Profile(value) => write(&**value),
            Self::Refusal(value) => write(&**value),
            Self::Workspace(value) => write(&**value),
        }
    }

    /// Reads the stored form of an entry under this tag.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(tag: Tag, bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match tag {
            Tag::Checkpoint => Self::Checkpoint(read(bytes)?),
            Tag::Edge => Self::Edge(Arc::new(read(bytes)?)),
            Tag::Fragment => Self::Fragment(Arc::new(read(bytes)?)),
            Tag::Node => Self::Node(Arc::new(read(bytes)?)),
            Tag::Profile => Self::Profile(Arc::new(read(bytes)?)),
            Tag::Refusal => Self::Refusal(Arc::new(read(bytes)?)),
            Tag::Workspace => Self::Workspace(Arc::new(read(bytes)?)),
        })
    }

    /// About how much memory it takes, in bytes, for the cache's bound.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Checkpoint(_) | Self::Workspace(_) => 200,
            Self::Edge(_) | Self::Refusal(_) => 400,
            Self::Node(_) => 250,
            Self::Profile(profile) => match &**profile {
                ProfileRecord::Live(live) => 300 + 120 * live.members.len() as u64,
                ProfileRecord::MergedInto(_) => 150,
            },
            Self::Fragment(fragment) => {
                let traits = fragment.traits.iter().map(|(name, entry)| {
                    160 + name.len()
                        + entry.message_id.as_str().len()
                        + entry.value.as_deref().map_or(0, str::len)
                });
                400 + traits.sum::<usize>() as u64
            }
        }
    }
}

fn write<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![VERSION]).expect("plain values can be written")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| CodecError::Damaged),
        Some((&other, _)) => Err(CodecError::Version(other)),
        None => Err(CodecError::Damaged),
    }
}
