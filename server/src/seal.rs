//! Sealing the secrets of destinations: XChaCha20-Poly1305 under a key of the installation.
//!
//! Stored form: base64 of a random nonce of 24 bytes and the ciphertext. The place where a secret belongs is
//! authenticated with it, so that a sealed value copied to another destination, setting or workspace does not
//! open there.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce};
use tributary_destinations::Vault;
use tributary_model::{DestinationId, WorkspaceId};

use crate::credentials::Secret;

const NONCE_BYTES: usize = 24;

/// Where a secret belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// The destination within it.
    pub destination: DestinationId,
    /// The name of the setting.
    pub setting: &'a str,
}

impl Place<'_> {
    /// Numbers of fixed length first, so that no two places give the same bytes.
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"tributary setting v1".to_vec();
        bytes.extend_from_slice(&self.workspace.0.to_be_bytes());
        bytes.extend_from_slice(&self.destination.0.to_be_bytes());
        bytes.extend_from_slice(self.setting.as_bytes());
        bytes
    }
}

/// A sealed value does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// It is not in the form that sealing gives.
    #[error("the sealed value of {0} is damaged")]
    Damaged(String),
    /// It was sealed under another key or for another place, or was changed.
    #[error("the sealed value of {0} does not open under this installation's root key")]
    Refused(String),
}

/// The key that seals.
#[derive(Clone)]
pub struct SealingKey(XChaCha20Poly1305);

impl SealingKey {
    /// Derives the sealing key from the installation's root key.
    pub fn derive(root: &[u8]) -> Self {
        let key = blake3::derive_key("tributary 2026 sealing of settings v1", root);
        Self(XChaCha20Poly1305::new(&key.into()))
    }

    /// Seals a secret for its place. Each call gives another text.
    ///
    /// # Panics
    /// Never: the cipher refuses only texts of hundreds of gigabytes.
    pub fn seal(&self, place: Place<'_>, secret: &str) -> String {
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let payload = Payload { msg: secret.as_bytes(), aad: &place.bytes() };
        let sealed =
            self.0.encrypt(&XNonce::from(nonce), payload).expect("a setting is far below the cipher's limit");
        STANDARD.encode([&nonce[..], &sealed[..]].concat())
    }

    /// Opens what [`Self::seal`] gave for the same place.
    ///
    /// # Errors
    /// If the text is damaged, or was sealed under another key or for another place.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<Secret, UnsealError> {
        let name = || format!("{} {}/{}", place.setting, place.workspace, place.destination);
        let bytes = STANDARD.decode(sealed).map_err(|_| UnsealError::Damaged(name()))?;
        let (nonce, ciphertext) =
            bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(|| UnsealError::Damaged(name()))?;
        let payload = Payload { msg: ciphertext, aad: &place.bytes() };
        let opened =
            self.0.decrypt(&XNonce::from(*nonce), payload).map_err(|_| UnsealError::Refused(name()))?;
        String::from_utf8(opened).map(Secret::new).map_err(|_| UnsealError::Damaged(name()))
    }
}

/// The setting that a token endpoint's newest refresh token is sealed for.
const REFRESH_TOKEN: &str = "(newest refresh token)";

impl Vault for SealingKey {
    fn seal(&self, workspace: WorkspaceId, destination: DestinationId, secret: &str) -> String {
        self.seal(Place { workspace, destination, setting: REFRESH_TOKEN }, secret)
    }

    fn open(&self, workspace: WorkspaceId, destination: DestinationId, sealed: &str) -> Option<String> {
        let opened = self.open(Place { workspace, destination, setting: REFRESH_TOKEN }, sealed);
        opened.ok().map(|secret| secret.expose().to_owned())
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SealingKey(********)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> =
        Place { workspace: WorkspaceId(1), destination: DestinationId(3), setting: "secret" };

    #[test]
    fn a_secret_opens_in_its_place_only() {
        let key = SealingKey::derive(&[7; 32]);
        let sealed = key.seal(PLACE, "whsec_abc");
        assert!(!sealed.contains("whsec"));
        assert_ne!(sealed, key.seal(PLACE, "whsec_abc"), "each sealing has a nonce of its own");
        assert_eq!(key.open(PLACE, &sealed), Ok(Secret::new("whsec_abc")));
        let elsewhere = [
            Place { workspace: WorkspaceId(2), ..PLACE },
            Place { destination: DestinationId(4), ..PLACE },
            Place { setting: "secret2", ..PLACE },
        ];
        for place in elsewhere {
            assert!(matches!(key.open(place, &sealed), Err(UnsealError::Refused(_))), "{place:?}");
        }
        let other_key = SealingKey::derive(&[8; 32]);
        assert!(matches!(other_key.open(PLACE, &sealed), Err(UnsealError::Refused(_))));
    }

    #[test]
    fn a_changed_text_does_not_open() {
        let key = SealingKey::derive(&[7; 32]);
        let mut bytes = STANDARD.decode(key.seal(PLACE, "whsec_abc")).expect("base64");
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let cases = [
            ("flipped bit", STANDARD.encode(&bytes), UnsealError::Refused(String::new())),
            ("too short", STANDARD.encode([0; 10]), UnsealError::Damaged(String::new())),
            ("no base64", "?".to_owned(), UnsealError::Damaged(String::new())),
        ];
        for (name, text, want) in cases {
            let got = key.open(PLACE, &text).expect_err(name);
            assert_eq!(std::mem::discriminant(&got), std::mem::discriminant(&want), "{name}");
        }
    }
}
