//! The order of keys in the state store.
//!
//! Every key begins with the workspace (four bytes, big-endian), then a tag that says what the entry is, then
//! the parts that name it; texts carry their length, so that no key is the beginning of another of its tag
//! and values may hold any character. Times and hours are big-endian with their sign turned round, so that the earlier
//! sorts before the later. Workspace 0 does not exist and holds what belongs to the whole store.
//!
//! One text has no length before it: a value to search for is ended by a zero byte, so that values which begin alike
//! are neighbours. It is kept in lower case, cut after [`SEARCHED_BYTES_MAX`] bytes, with spaces for its zero bytes.

mod named;
mod tag;

#[cfg(test)]
mod tests;

pub use tag::Tag;

use std::fmt;
use std::sync::Arc;
use tributary_identity::EdgeKey;
use tributary_model::{AudienceId, NodeKey, ProfileId, Timestamp, WorkspaceId};

/// How much of a trait's value can be searched for, in bytes.
pub const SEARCHED_BYTES_MAX: usize = 100;

/// A key of the state store. Its `Debug` hides the identifier values in it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<[u8]>);

impl Key {
    /// The one checkpoint entry.
    pub fn checkpoint() -> Self {
        Self(start(WorkspaceId(0), Tag::Checkpoint).into())
    }

    /// What the projector keeps of a workspace.
    pub fn workspace(workspace: WorkspaceId) -> Self {
        Self(start(workspace, Tag::Workspace).into())
    }

    /// What a workspace defines.
    pub fn definitions(workspace: WorkspaceId) -> Self {
        Self(start(workspace, Tag::Definitions).into())
    }

    /// What a workspace's destinations name of profiles.
    pub fn needs(workspace: WorkspaceId) -> Self {
        Self(start(workspace, Tag::Needs).into())
    }

    /// A node of the identity graph.
    pub fn node(workspace: WorkspaceId, node: &NodeKey) -> Self {
        Self(of_node(workspace, Tag::Node, node))
    }

    /// A profile.
    pub fn profile(workspace: WorkspaceId, id: ProfileId) -> Self {
        Self(with(workspace, Tag::Profile, &[&id.0]))
    }

    /// An evidence edge; those of one anchor are neighbours.
    pub fn edge(workspace: WorkspaceId, edge: &EdgeKey) -> Self {
        Self(pair(workspace, Tag::Edge, &edge.anchor, &edge.other))
    }

    /// A refused link; those of one anchor are neighbours.
    pub fn refusal(workspace: WorkspaceId, edge: &EdgeKey) -> Self {
        Self(pair(workspace, Tag::Refusal, &edge.anchor, &edge.other))
    }

    /// The word that there is this refused link; those that name the same identifier second are neighbours.
    pub fn refused_by(workspace: WorkspaceId, edge: &EdgeKey) -> Self {
        Self(pair(workspace, Tag::RefusedBy, &edge.other, &edge.anchor))
    }

    /// A fragment.
    pub fn fragment(workspace: WorkspaceId, node: &NodeKey) -> Self {
        Self(of_node(workspace, Tag::Fragment, node))
    }

    /// How many profiles an identifier joined on a day.
    pub fn tally(workspace: WorkspaceId, node: &NodeKey) -> Self {
        Self(of_node(workspace, Tag::Tally, node))
    }

    /// Something that happened to a profile: the record of the log that did it, and a number for each of the things
    /// that this record did. Those of one profile are neighbours, in the order in which they happened.
    pub fn history(workspace: WorkspaceId, profile: ProfileId, sequence: u64, ordinal: u32) -> Self {
        let parts: &[&[u8]] = &[&profile.0, &sequence.to_be_bytes(), &ordinal.to_be_bytes()];
        Self(with(workspace, Tag::History, parts))
    }

    /// A partition, by its id.
    pub fn partition(workspace: WorkspaceId, id: u64) -> Self {
        Self(with(workspace, Tag::Partition, &[&id.to_be_bytes()]))
    }

    /// An alarm, by its number; numbers count up.
    pub fn alarm(workspace: WorkspaceId, number: u64) -> Self {
        Self(with(workspace, Tag::Alarm, &[&number.to_be_bytes()]))
    }

    /// The audiences that a profile is in.
    pub fn standing(workspace: WorkspaceId, profile: ProfileId) -> Self {
        Self(with(workspace, Tag::Standing, &[&profile.0]))
    }

    /// A member of an audience; those of one audience are neighbours, in the order of their ids.
    pub fn member(workspace: WorkspaceId, audience: AudienceId, profile: ProfileId) -> Self {
        Self(with(workspace, Tag::Member, &[&audience_prefix(audience), &profile.0]))
    }

    /// A timer of a profile; those of a workspace are in the order in which they are due.
    pub fn timer(workspace: WorkspaceId, due: Timestamp, profile: ProfileId) -> Self {
        Self(with(workspace, Tag::Timer, &[&ordered(due.as_micros()), &profile.0]))
    }

    /// How large an audience was in an hour, counted from 1970-01-01; those of one audience are in the order of time.
    pub fn size(workspace: WorkspaceId, audience: AudienceId, hour: i64) -> Self {
        Self(with(workspace, Tag::Size, &[&audience_prefix(audience), &ordered(hour)]))
    }

    /// An account, by its group id.
    pub fn account(workspace: WorkspaceId, group: &str) -> Self {
        Self(with(workspace, Tag::Account, &[&account_members_prefix(group)]))
    }

    /// That an identifier is linked to an account; those of one account are neighbours.
    pub fn account_member(workspace: WorkspaceId, group: &str, node: &NodeKey) -> Self {
        Self(with(workspace, Tag::AccountMember, &[&account_members_prefix(group), &node_prefix(node)]))
    }

    /// That the fragment of a node has a trait whose value begins like this; values that begin alike are neighbours.
    /// The value is brought into the form for searches.
    pub fn search(workspace: WorkspaceId, trait_name: &str, value: &str, node: &NodeKey) -> Self {
        Self(with(workspace, Tag::Search, &[&search_prefix(trait_name, value), &[0], &node_prefix(node)]))
    }

    /// A key as it was stored.
    pub fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// What comes behind the tag.
    pub fn rest(&self) -> &[u8] {
        self.0.get(5..).unwrap_or_default()
    }

    /// Whether the entry belongs to this workspace.
    pub fn is_of(&self, workspace: WorkspaceId) -> bool {
        self.0.starts_with(&workspace.0.to_be_bytes())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?}, {} bytes)", Tag::of(&self.0), self.0.len())
    }
}

/// How the keys of a workspace's entries under a tag begin.
pub fn start(workspace: WorkspaceId, tag: Tag) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&workspace.0.to_be_bytes());
    bytes.push(tag.byte());
    bytes
}

/// How the keys of everything that hangs on a node go on after the tag: its edges and refusals where it is the
/// anchor, the words of refusals where it is the other.
pub fn node_prefix(node: &NodeKey) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    push_node(&mut bytes, node);
    bytes
}

/// How the keys of an audience's members and sizes go on after the tag.
pub fn audience_prefix(audience: AudienceId) -> Vec<u8> {
    audience.0.to_be_bytes().into()
}

/// How the keys of an account's members go on after the tag.
pub fn account_members_prefix(group: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    push_text(&mut bytes, group);
    bytes
}

/// How the keys of nodes go on after the tag that have a trait whose value begins like this. What is beyond
/// [`SEARCHED_BYTES_MAX`] does not count.
pub fn search_prefix(trait_name: &str, value_prefix: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    push_text(&mut bytes, trait_name);
    bytes.extend_from_slice(searched_form(value_prefix).as_bytes());
    bytes
}

/// The form in which values are searched for: in lower case, cut, with spaces for zero bytes. That of a value's
/// beginning is the beginning of the value's.
pub fn searched_form(value: &str) -> String {
    let mut form = String::with_capacity(value.len().min(SEARCHED_BYTES_MAX));
    // Each character for itself: what follows must not decide, as it does of a sigma in a word.
    for character in value.chars().flat_map(char::to_lowercase) {
        if form.len() + character.len_utf8() > SEARCHED_BYTES_MAX {
            break;
        }
        form.push(if character == '\0' { ' ' } else { character });
    }
    form
}

fn push_node(bytes: &mut Vec<u8>, node: &NodeKey) {
    push_text(bytes, node.identifier.namespace().as_str());
    push_text(bytes, node.identifier.value());
    bytes.extend_from_slice(&node.epoch.to_be_bytes());
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("identifiers and names are bounded well below 64 KiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

/// A number so that smaller ones, negative ones included, sort before larger ones.
fn ordered(number: i64) -> [u8; 8] {
    (number ^ i64::MIN).to_be_bytes()
}

fn with(workspace: WorkspaceId, tag: Tag, parts: &[&[u8]]) -> Arc<[u8]> {
    let mut bytes = start(workspace, tag);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes.into()
}

fn of_node(workspace: WorkspaceId, tag: Tag, node: &NodeKey) -> Arc<[u8]> {
    let mut bytes = start(workspace, tag);
    push_node(&mut bytes, node);
    bytes.into()
}

fn pair(workspace: WorkspaceId, tag: Tag, one: &NodeKey, other: &NodeKey) -> Arc<[u8]> {
    let mut bytes = start(workspace, tag);
    push_node(&mut bytes, one);
    push_node(&mut bytes, other);
    bytes.into()
}
