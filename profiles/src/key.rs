//! The order of keys in the state store.
//!
//! Every key begins with the workspace (four bytes, big-endian), then a tag that says what the entry is, then
//! the parts that name it; texts carry their length, so that no key is the beginning of another of its tag
//! and values may hold any character. Workspace 0 does not exist and holds what belongs to the whole store.

use std::fmt;
use std::sync::Arc;
use tributary_identity::EdgeKey;
use tributary_model::identity_rules::Normalization;
use tributary_model::{Identifier, Namespace, NodeKey, ProfileId, WorkspaceId};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// Something about identity that somebody should look at.
    Alarm,
    /// Up to where the log has been applied.
    Checkpoint,
    /// An evidence edge.
    Edge,
    /// A fragment.
    Fragment,
    /// Something that happened to a profile.
    History,
    /// A node of the identity graph.
    Node,
    /// Sets of identifiers that a person parted.
    Partition,
    /// A profile.
    Profile,
    /// That there is a refused link which names this identifier second.
    RefusedBy,
    /// A refused link.
    Refusal,
    /// How many profiles an identifier joined on a day.
    Tally,
    /// What the projector keeps of a workspace: its version, its rules, its counters.
    Workspace,
}

impl Tag {
    /// Every tag.
    pub const ALL: [Self; 12] = [
        Self::Alarm,
        Self::Checkpoint,
        Self::Edge,
        Self::Fragment,
        Self::History,
        Self::Node,
        Self::Partition,
        Self::Profile,
        Self::RefusedBy,
        Self::Refusal,
        Self::Tally,
        Self::Workspace,
    ];

    /// The byte that stands for it in keys.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Alarm => b'a',
            Self::RefusedBy => b'b',
            Self::Checkpoint => b'c',
            Self::Partition => b'd',
            Self::Edge => b'e',
            Self::Fragment => b'f',
            Self::History => b'h',
            Self::Node => b'n',
            Self::Profile => b'p',
            Self::Refusal => b'r',
            Self::Tally => b't',
            Self::Workspace => b'w',
        }
    }

    /// The tag of a stored key; `None` if the bytes are no key of ours.
    pub fn of(key: &[u8]) -> Option<Self> {
        let byte = key.get(4)?;
        Self::ALL.into_iter().find(|tag| tag.byte() == *byte)
    }
}

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

    /// A node of the identity graph.
    pub fn node(workspace: WorkspaceId, node: &NodeKey) -> Self {
        let mut bytes = start(workspace, Tag::Node);
        push_node(&mut bytes, node);
        Self(bytes.into())
    }

    /// A profile.
    pub fn profile(workspace: WorkspaceId, id: ProfileId) -> Self {
        let mut bytes = start(workspace, Tag::Profile);
        bytes.extend_from_slice(&id.0);
        Self(bytes.into())
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
        let mut bytes = start(workspace, Tag::Fragment);
        push_node(&mut bytes, node);
        Self(bytes.into())
    }

    /// How many profiles an identifier joined on a day.
    pub fn tally(workspace: WorkspaceId, node: &NodeKey) -> Self {
        let mut bytes = start(workspace, Tag::Tally);
        push_node(&mut bytes, node);
        Self(bytes.into())
    }

    /// Something that happened to a profile: the record of the log that did it, and a number for each of the things
    /// that this record did. Those of one profile are neighbours, in the order in which they happened.
    pub fn history(workspace: WorkspaceId, profile: ProfileId, sequence: u64, ordinal: u32) -> Self {
        let mut bytes = start(workspace, Tag::History);
        bytes.extend_from_slice(&profile.0);
        bytes.extend_from_slice(&sequence.to_be_bytes());
        bytes.extend_from_slice(&ordinal.to_be_bytes());
        Self(bytes.into())
    }

    /// A partition, by its id.
    pub fn partition(workspace: WorkspaceId, id: u64) -> Self {
        let mut bytes = start(workspace, Tag::Partition);
        bytes.extend_from_slice(&id.to_be_bytes());
        Self(bytes.into())
    }

    /// An alarm, by its number; numbers count up.
    pub fn alarm(workspace: WorkspaceId, number: u64) -> Self {
        let mut bytes = start(workspace, Tag::Alarm);
        bytes.extend_from_slice(&number.to_be_bytes());
        Self(bytes.into())
    }

    /// A key as it was stored.
    pub fn from_stored(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether the entry belongs to this workspace.
    pub fn is_of(&self, workspace: WorkspaceId) -> bool {
        self.0.starts_with(&workspace.0.to_be_bytes())
    }

    /// The workspace that the entry belongs to; `None` if the bytes are no key of ours.
    pub fn workspace_id(&self) -> Option<WorkspaceId> {
        let bytes = self.0.get(..4)?.try_into().ok()?;
        Some(WorkspaceId(u32::from_be_bytes(bytes)))
    }

    /// The node that a node's, a fragment's or a tally's key names; `None` for any other key.
    pub fn node_named(&self) -> Option<NodeKey> {
        match Tag::of(&self.0)? {
            Tag::Node | Tag::Fragment | Tag::Tally => Rest::of(self).node(),
            Tag::Alarm
            | Tag::Checkpoint
            | Tag::Edge
            | Tag::History
            | Tag::Partition
            | Tag::Profile
            | Tag::RefusedBy
            | Tag::Refusal
            | Tag::Workspace => None,
        }
    }

    /// The link that the key of an edge, a refusal or the word of one names; `None` for any other key.
    pub fn edge_named(&self) -> Option<EdgeKey> {
        let mut rest = Rest::of(self);
        match Tag::of(&self.0)? {
            Tag::Edge | Tag::Refusal => Some(EdgeKey { anchor: rest.node()?, other: rest.node()? }),
            Tag::RefusedBy => Some(EdgeKey { other: rest.node()?, anchor: rest.node()? }),
            Tag::Alarm
            | Tag::Checkpoint
            | Tag::Fragment
            | Tag::History
            | Tag::Node
            | Tag::Partition
            | Tag::Profile
            | Tag::Tally
            | Tag::Workspace => None,
        }
    }

    /// The profile that a profile's key names; `None` for any other key.
    pub fn profile_named(&self) -> Option<ProfileId> {
        let id = self.0.get(5..).filter(|_| Tag::of(&self.0) == Some(Tag::Profile))?;
        id.try_into().ok().map(ProfileId)
    }

    /// The number that a partition's or an alarm's key ends with; `None` for any other key.
    pub fn number_named(&self) -> Option<u64> {
        let number =
            self.0.get(5..).filter(|_| matches!(Tag::of(&self.0), Some(Tag::Alarm | Tag::Partition)))?;
        number.try_into().ok().map(u64::from_be_bytes)
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

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?}, {} bytes)", Tag::of(&self.0), self.0.len())
    }
}

fn push_node(bytes: &mut Vec<u8>, node: &NodeKey) {
    push_text(bytes, node.identifier.namespace().as_str());
    push_text(bytes, node.identifier.value());
    bytes.extend_from_slice(&node.epoch.to_be_bytes());
}

fn push_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("identifiers are bounded well below 64 KiB");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

fn pair(workspace: WorkspaceId, tag: Tag, one: &NodeKey, other: &NodeKey) -> Arc<[u8]> {
    let mut bytes = start(workspace, tag);
    push_node(&mut bytes, one);
    push_node(&mut bytes, other);
    bytes.into()
}

/// What is left to be read of a key.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// Everything after the tag.
    fn of(key: &'a Key) -> Self {
        Self(key.0.get(5..).unwrap_or_default())
    }

    fn node(&mut self) -> Option<NodeKey> {
        let namespace = Namespace::new(self.text()?);
        // Its form is the one that its rule gave it once, whatever the rules say today.
        let identifier = Identifier::normalized(namespace, self.text()?, &Normalization::Exact).ok()?;
        let epoch = u32::from_be_bytes(self.take(4)?.try_into().ok()?);
        Some(NodeKey { identifier, epoch })
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        std::str::from_utf8(self.take(usize::from(length))?).ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_what_they_name() {
        let node = |namespace, value, epoch| {
            let identifier = Identifier::normalized(Namespace::new(namespace), value, &Normalization::Exact);
            NodeKey { identifier: identifier.expect("an identifier"), epoch }
        };
        let workspace = WorkspaceId(7);
        // An e-mail address in a form that the namespace does not have by default.
        let (one, other) = (node("email", "Not@An e-mail", 0), node("loyalty", "\u{e9}:~/", 3));
        let edge = EdgeKey { anchor: one.clone(), other: other.clone() };
        for key in [Key::edge(workspace, &edge), Key::refusal(workspace, &edge)] {
            assert_eq!((key.edge_named(), key.node_named()), (Some(edge.clone()), None));
        }
        let word = Key::refused_by(workspace, &edge);
        assert_eq!(word.edge_named().as_ref(), Some(&edge));
        assert!(word.as_bytes()[5..].starts_with(&node_prefix(&other)));
        for key in [Key::node(workspace, &one), Key::fragment(workspace, &one), Key::tally(workspace, &one)] {
            assert_eq!((key.node_named(), key.edge_named()), (Some(one.clone()), None));
        }
        let id = ProfileId([9; 16]);
        assert_eq!(Key::profile(workspace, id).profile_named(), Some(id));
        assert_eq!(Key::history(workspace, id, 1, 0).profile_named(), None);
        assert_eq!(Key::alarm(workspace, 5).number_named(), Some(5));
        assert_eq!(Key::partition(workspace, 6).number_named(), Some(6));
        assert_eq!(Key::workspace(workspace).number_named(), None);
        assert_eq!(Key::checkpoint().workspace_id(), Some(WorkspaceId(0)));
    }

    #[test]
    fn every_tag_has_its_own_byte() {
        for tag in Tag::ALL {
            assert_eq!(Tag::of(&start(WorkspaceId(1), tag)), Some(tag));
        }
    }
}
