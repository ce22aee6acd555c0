//! The order of keys in the state store.
//!
//! Every key begins with the workspace (four bytes, big-endian), then a tag that says what the entry is, then
//! the parts that name it; texts carry their length, so that no key is the beginning of another of its tag
//! and values may hold any character. Workspace 0 does not exist and holds what belongs to the whole store.

use std::fmt;
use std::sync::Arc;
use tributary_identity::EdgeKey;
use tributary_model::{NodeKey, ProfileId, WorkspaceId};

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Tag {
    /// An evidence edge.
    Edge,
    /// A fragment.
    Fragment,
    /// Up to where the log has been applied.
    Checkpoint,
    /// A node of the identity graph.
    Node,
    /// A profile.
    Profile,
    /// A refused link.
    Refusal,
    /// What the projector keeps of a workspace: its version, its rules, its counters.
    Workspace,
}

impl Tag {
    /// Every tag.
    pub const ALL: [Self; 7] = [
        Self::Edge,
        Self::Fragment,
        Self::Checkpoint,
        Self::Node,
        Self::Profile,
        Self::Refusal,
        Self::Workspace,
    ];

    /// The byte that stands for it in keys.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Edge => b'e',
            Self::Fragment => b'f',
            Self::Checkpoint => b'c',
            Self::Node => b'n',
            Self::Profile => b'p',
            Self::Refusal => b'r',
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
        Self(pair(workspace, Tag::Edge, edge))
    }

    /// A refused link; those of one anchor are neighbours.
    pub fn refusal(workspace: WorkspaceId, edge: &EdgeKey) -> Self {
        Self(pair(workspace, Tag::Refusal, edge))
    }

    /// A fragment.
    pub fn fragment(workspace: WorkspaceId, node: &NodeKey) -> Self {
        let mut bytes = start(workspace, Tag::Fragment);
        push_node(&mut bytes, node);
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
}

impl fmt::Debug for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Key({:?}, {} bytes)", Tag::of(&self.0), self.0.len())
    }
}

fn start(workspace: WorkspaceId, tag: Tag) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(64);
    bytes.extend_from_slice(&workspace.0.to_be_bytes());
    bytes.push(tag.byte());
    bytes
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

fn pair(workspace: WorkspaceId, tag: Tag, edge: &EdgeKey) -> Arc<[u8]> {
    let mut bytes = start(workspace, tag);
    push_node(&mut bytes, &edge.anchor);
    push_node(&mut bytes, &edge.other);
    bytes.into()
}
