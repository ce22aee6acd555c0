//! The installation's secret for hashes that must be stable and yet tell nothing.

use crate::id::{ProfileId, WorkspaceId};
use crate::identifier::{Identifier, NodeKey};
use std::fmt;

/// A 256-bit key for keyed hashes (BLAKE3, keyed mode). One log gives one state only under one key.
#[derive(Clone, PartialEq, Eq)]
pub struct HashKey([u8; 32]);

impl HashKey {
    /// Derives the hash key from the installation's root secret.
    pub fn derive(root: &[u8]) -> Self {
        Self(blake3::derive_key("tributary 2026 identifier hashes v1", root))
    }

    /// The profile id that this identifier creates.
    pub fn profile_id(&self, workspace: WorkspaceId, node: &NodeKey) -> ProfileId {
        ProfileId(self.hash(b'p', workspace, &node.identifier, node.epoch))
    }

    /// The hash that stands for an identifier where its value must not: in envelopes and index keys.
    pub fn identifier_hash(&self, workspace: WorkspaceId, identifier: &Identifier, epoch: u32) -> [u8; 16] {
        self.hash(b'i', workspace, identifier, epoch)
    }

    /// A short text by which two keys can be told apart, without telling the key.
    pub fn fingerprint(&self) -> String {
        hex::encode(&blake3::keyed_hash(&self.0, b"fingerprint").as_bytes()[..8])
    }

    fn hash(&self, use_: u8, workspace: WorkspaceId, identifier: &Identifier, epoch: u32) -> [u8; 16] {
        let namespace = identifier.namespace().as_str();
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&[use_]);
        hasher.update(&workspace.0.to_be_bytes());
        hasher.update(&epoch.to_be_bytes());
        hasher.update(&(namespace.len() as u32).to_be_bytes());
        hasher.update(namespace.as_bytes());
        hasher.update(identifier.value().as_bytes());
        let mut short = [0; 16];
        short.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        short
    }
}

impl fmt::Debug for HashKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "HashKey({})", self.fingerprint())
    }
}
