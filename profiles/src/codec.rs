//! The values of the state store: postcard behind a version byte.
//!
//! A value of an older version is brought to today's by the module of that version; samples of every version stay
//! in the tests.

mod v1;
mod workspace;

#[cfg(test)]
mod tests;

pub use workspace::{MergeHours, RulesBefore, WorkspaceState};

use crate::alarms::{AlarmRow, Tally};
use crate::key::Tag;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_identity::{Edge, HistoryEntry, Node, Partition, ProfileRecord, Refusal};
use tributary_model::{Fragment, Timestamp};

/// Up to where the events log has been applied to the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The sequence of the first record that is not applied.
    pub next: u64,
    /// The largest receive time among the applied records: the projector's time.
    pub log_time: Timestamp,
}

/// A decoded entry of the state store. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Under [`Tag::Alarm`].
    Alarm(Arc<AlarmRow>),
    /// Under [`Tag::Checkpoint`].
    Checkpoint(Checkpoint),
    /// Under [`Tag::Edge`].
    Edge(Arc<Edge>),
    /// Under [`Tag::Fragment`].
    Fragment(Arc<Fragment>),
    /// Under [`Tag::History`].
    History(Arc<HistoryEntry>),
    /// Under [`Tag::Node`].
    Node(Arc<Node>),
    /// Under [`Tag::Partition`].
    Partition(Arc<Partition>),
    /// Under [`Tag::Profile`].
    Profile(Arc<ProfileRecord>),
    /// Under [`Tag::RefusedBy`]: the key says it all.
    RefusedBy,
    /// Under [`Tag::Refusal`].
    Refusal(Arc<Refusal>),
    /// Under [`Tag::Tally`].
    Tally(Tally),
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

/// The version in which entries under a tag are written.
const fn version_of(tag: Tag) -> u8 {
    match tag {
        Tag::Edge | Tag::Node | Tag::Profile | Tag::Refusal | Tag::Workspace => 2,
        Tag::Alarm
        | Tag::Checkpoint
        | Tag::Fragment
        | Tag::History
        | Tag::Partition
        | Tag::RefusedBy
        | Tag::Tally => 1,
    }
}

impl Value {
    /// The tag under which it is stored.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Alarm(_) => Tag::Alarm,
            Self::Checkpoint(_) => Tag::Checkpoint,
            Self::Edge(_) => Tag::Edge,
            Self::Fragment(_) => Tag::Fragment,
            Self::History(_) => Tag::History,
            Self::Node(_) => Tag::Node,
            Self::Partition(_) => Tag::Partition,
            Self::Profile(_) => Tag::Profile,
            Self::RefusedBy => Tag::RefusedBy,
            Self::Refusal(_) => Tag::Refusal,
            Self::Tally(_) => Tag::Tally,
            Self::Workspace(_) => Tag::Workspace,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let version = version_of(self.tag());
        match self {
            Self::Alarm(value) => write(version, &**value),
            Self::Checkpoint(value) => write(version, value),
            Self::Edge(value) => write(version, &**value),
            Self::Fragment(value) => write(version, &**value),
            Self::History(value) => write(version, &**value),
            Self::Node(value) => write(version, &**value),
            Self::Partition(value) => write(version, &**value),
            Self::Profile(value) => write(version, &**value),
            Self::RefusedBy => write(version, &()),
            Self::Refusal(value) => write(version, &**value),
            Self::Tally(value) => write(version, value),
            Self::Workspace(value) => write(version, &**value),
        }
    }

    /// Reads the stored form of an entry under this tag.
    ///
    /// # Errors
    /// If the bytes are damaged or of an unknown version.
    pub fn decode(tag: Tag, bytes: &[u8]) -> Result<Self, CodecError> {
        let (version, rest) = bytes.split_first().ok_or(CodecError::Damaged)?;
        match *version {
            current if current == version_of(tag) => Self::decode_current(tag, rest),
            // What was always written in version 1 was met above.
            1 => v1::decode(tag, rest),
            other => Err(CodecError::Version(other)),
        }
    }

    fn decode_current(tag: Tag, bytes: &[u8]) -> Result<Self, CodecError> {
        Ok(match tag {
            Tag::Alarm => Self::Alarm(Arc::new(read(bytes)?)),
            Tag::Checkpoint => Self::Checkpoint(read(bytes)?),
            Tag::Edge => Self::Edge(Arc::new(read(bytes)?)),
            Tag::Fragment => Self::Fragment(Arc::new(read(bytes)?)),
            Tag::History => Self::History(Arc::new(read(bytes)?)),
            Tag::Node => Self::Node(Arc::new(read(bytes)?)),
            Tag::Partition => Self::Partition(Arc::new(read(bytes)?)),
            Tag::Profile => Self::Profile(Arc::new(read(bytes)?)),
            Tag::RefusedBy => Self::RefusedBy,
            Tag::Refusal => Self::Refusal(Arc::new(read(bytes)?)),
            Tag::Tally => Self::Tally(read(bytes)?),
            Tag::Workspace => Self::Workspace(Arc::new(read(bytes)?)),
        })
    }

    /// About how much memory it takes, in bytes, for the cache's bound.
    pub fn weight(&self) -> u64 {
        match self {
            Self::Checkpoint(_) | Self::RefusedBy | Self::Tally(_) => 50,
            Self::Workspace(_) => 1000,
            Self::Alarm(_) => 250,
            Self::Edge(_) | Self::Refusal(_) => 400,
            Self::Node(_) => 260,
            Self::History(_) => 800,
            Self::Partition(partition) => {
                300 + 120 * partition.sides.iter().map(Vec::len).sum::<usize>() as u64
            }
            Self::Profile(profile) => match &**profile {
                ProfileRecord::Live(live) => 340 + 120 * (live.members.len() + live.former.len()) as u64,
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

fn write<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("plain values can be written")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    postcard::from_bytes(bytes).map_err(|_| CodecError::Damaged)
}
