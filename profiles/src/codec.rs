//! The values of the state store: postcard behind a version byte.
//!
//! A value of an older version is brought to today's by the module of that version; samples of every version stay
//! in the tests.

mod v1;
mod weight;
mod workspace;

#[cfg(test)]
mod tests;

pub use workspace::{MergeHours, RulesBefore, WorkspaceState};

use crate::account::Account;
use crate::alarms::{AlarmRow, Tally};
use crate::definitions::DefinitionsState;
use crate::key::Tag;
use crate::needs::Needs;
use crate::standing::{Membership, SizeRow, Standing};
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
    /// Under [`Tag::Account`].
    Account(Arc<Account>),
    /// Under [`Tag::AccountMember`]: the key says it all.
    AccountMember,
    /// Under [`Tag::Alarm`].
    Alarm(Arc<AlarmRow>),
    /// Under [`Tag::Checkpoint`].
    Checkpoint(Checkpoint),
    /// Under [`Tag::Definitions`].
    Definitions(Arc<DefinitionsState>),
    /// Under [`Tag::Edge`].
    Edge(Arc<Edge>),
    /// Under [`Tag::Fragment`].
    Fragment(Arc<Fragment>),
    /// Under [`Tag::History`].
    History(Arc<HistoryEntry>),
    /// Under [`Tag::Member`].
    Member(Arc<Membership>),
    /// Under [`Tag::Needs`].
    Needs(Arc<Needs>),
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
    /// Under [`Tag::Search`]: the key says it all.
    Search,
    /// Under [`Tag::Size`].
    Size(SizeRow),
    /// Under [`Tag::Standing`].
    Standing(Arc<Standing>),
    /// Under [`Tag::Tally`].
    Tally(Tally),
    /// Under [`Tag::Timer`]: the key says it all.
    Timer,
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
        Tag::Edge | Tag::Fragment | Tag::Node | Tag::Profile | Tag::Refusal | Tag::Workspace => 2,
        Tag::Account
        | Tag::AccountMember
        | Tag::Alarm
        | Tag::Checkpoint
        | Tag::Definitions
        | Tag::History
        | Tag::Member
        | Tag::Needs
        | Tag::Partition
        | Tag::RefusedBy
        | Tag::Search
        | Tag::Size
        | Tag::Standing
        | Tag::Tally
        | Tag::Timer => 1,
    }
}

impl Value {
    /// The tag under which it is stored.
    pub const fn tag(&self) -> Tag {
        match self {
            Self::Account(_) => Tag::Account,
            Self::AccountMember => Tag::AccountMember,
            Self::Alarm(_) => Tag::Alarm,
            Self::Checkpoint(_) => Tag::Checkpoint,
            Self::Definitions(_) => Tag::Definitions,
            Self::Edge(_) => Tag::Edge,
            Self::Fragment(_) => Tag::Fragment,
            Self::History(_) => Tag::History,
            Self::Member(_) => Tag::Member,
            Self::Needs(_) => Tag::Needs,
            Self::Node(_) => Tag::Node,
            Self::Partition(_) => Tag::Partition,
            Self::Profile(_) => Tag::Profile,
            Self::RefusedBy => Tag::RefusedBy,
            Self::Refusal(_) => Tag::Refusal,
            Self::Search => Tag::Search,
            Self::Size(_) => Tag::Size,
            Self::Standing(_) => Tag::Standing,
            Self::Tally(_) => Tag::Tally,
            Self::Timer => Tag::Timer,
            Self::Workspace(_) => Tag::Workspace,
        }
    }

    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let version = version_of(self.tag());
        match self {
            Self::Account(value) => write(version, &**value),
            Self::Alarm(value) => write(version, &**value),
            Self::Checkpoint(value) => write(version, value),
            Self::Definitions(value) => write(version, &**value),
            Self::Edge(value) => write(version, &**value),
            Self::Fragment(value) => write(version, &**value),
            Self::History(value) => write(version, &**value),
            Self::Member(value) => write(version, &**value),
            Self::Needs(value) => write(version, &**value),
            Self::Node(value) => write(version, &**value),
            Self::Partition(value) => write(version, &**value),
            Self::Profile(value) => write(version, &**value),
            Self::AccountMember | Self::RefusedBy | Self::Search | Self::Timer => write(version, &()),
            Self::Refusal(value) => write(version, &**value),
            Self::Size(value) => write(version, value),
            Self::Standing(value) => write(version, &**value),
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
            Tag::Account => Self::Account(Arc::new(read(bytes)?)),
            Tag::AccountMember => Self::AccountMember,
            Tag::Alarm => Self::Alarm(Arc::new(read(bytes)?)),
            Tag::Checkpoint => Self::Checkpoint(read(bytes)?),
            Tag::Definitions => Self::Definitions(Arc::new(read(bytes)?)),
            Tag::Edge => Self::Edge(Arc::new(read(bytes)?)),
            Tag::Fragment => Self::Fragment(Arc::new(read(bytes)?)),
            Tag::History => Self::History(Arc::new(read(bytes)?)),
            Tag::Member => Self::Member(Arc::new(read(bytes)?)),
            Tag::Needs => Self::Needs(Arc::new(read(bytes)?)),
            Tag::Node => Self::Node(Arc::new(read(bytes)?)),
            Tag::Partition => Self::Partition(Arc::new(read(bytes)?)),
            Tag::Profile => Self::Profile(Arc::new(read(bytes)?)),
            Tag::RefusedBy => Self::RefusedBy,
            Tag::Refusal => Self::Refusal(Arc::new(read(bytes)?)),
            Tag::Search => Self::Search,
            Tag::Size => Self::Size(read(bytes)?),
            Tag::Standing => Self::Standing(Arc::new(read(bytes)?)),
            Tag::Tally => Self::Tally(read(bytes)?),
            Tag::Timer => Self::Timer,
            Tag::Workspace => Self::Workspace(Arc::new(read(bytes)?)),
        })
    }
}

fn write<T: Serialize>(version: u8, value: &T) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("plain values can be written")
}

fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    postcard::from_bytes(bytes).map_err(|_| CodecError::Damaged)
}
