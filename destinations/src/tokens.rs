//! The tokens of OAuth 2.0 that destinations have at the moment, whoever asks for them: the worker, a test, a preview.
//!
//! A token endpoint that gives a new refresh token with an access token may take the old one no longer, and may take its use
//! for a theft (RFC 9700 §4.14.2). So the newest one is kept, sealed, before the access token is used, and a start goes on
//! with it. Other client ids, endpoints or refresh tokens in the settings begin anew.

use crate::config::Key;
use crate::store::{Store, StoreError};
use crate::transport::Grant;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use tributary_model::{DestinationId, WorkspaceId};

/// Seals what is kept of a destination's credentials, so that who reads the files can't use it.
pub trait Vault: Send + Sync {
    /// Seals a secret for a destination.
    fn seal(&self, workspace: WorkspaceId, destination: DestinationId, secret: &str) -> String;

    /// Opens what was sealed for the same destination; `None` if it does not open, under another key for instance.
    fn open(&self, workspace: WorkspaceId, destination: DestinationId, sealed: &str) -> Option<String>;
}

/// What tokens are asked for with, as a hash: what they are kept for.
pub(crate) type Fingerprint = blake3::Hash;

/// The grants of a destination for as long as somebody has them.
type InUse = Vec<(Fingerprint, Weak<Grant>)>;

/// The grants that are in use, and where refresh tokens are kept.
pub(crate) struct TokenBook {
    store: Arc<Store>,
    vault: Arc<dyn Vault>,
    grants: Mutex<BTreeMap<Key, InUse>>,
}

/// The book, at the page of one destination.
#[derive(Clone)]
pub(crate) struct Tokens {
    book: Arc<TokenBook>,
    key: Key,
}

impl TokenBook {
    pub(crate) fn new(store: Arc<Store>, vault: Arc<dyn Vault>) -> Self {
        Self { store, vault, grants: Mutex::default() }
    }

    /// The page of a destination.
    pub(crate) fn of(self: &Arc<Self>, key: Key) -> Tokens {
        Tokens { book: Arc::clone(self), key }
    }
}

impl Tokens {
    /// The grant that is in use with equal credentials, or a new one.
    pub(crate) fn grant(&self, fingerprint: Fingerprint, new: impl FnOnce() -> Grant) -> Arc<Grant> {
        let mut grants = self.book.grants.lock().unwrap_or_else(PoisonError::into_inner);
        grants.retain(|_, all| {
            all.retain(|(_, grant)| grant.strong_count() > 0);
            !all.is_empty()
        });
        let all = grants.entry(self.key).or_default();
        let known = all.iter().find(|(other, _)| *other == fingerprint);
        if let Some(grant) = known.and_then(|(_, grant)| grant.upgrade()) {
            return grant;
        }
        let grant = Arc::new(new());
        all.push((fingerprint, Arc::downgrade(&grant)));
        grant
    }

    /// The refresh token that was kept with this fingerprint, if there is one. Blocks.
    ///
    /// # Errors
    /// If the store can't be read.
    pub(crate) fn kept(&self, fingerprint: Fingerprint) -> Result<Option<String>, StoreError> {
        let Some(sealed) = self.book.store.refresh_token(self.key)? else { return Ok(None) };
        let Some(opened) = self.book.vault.open(self.key.workspace, self.key.destination, &sealed) else {
            tracing::warn!(
                destination = %self.key,
                "the kept refresh token does not open under this installation's key: the one in the settings is used"
            );
            return Ok(None);
        };
        let token = opened.strip_prefix(fingerprint.to_hex().as_str());
        Ok(token.and_then(|token| token.strip_prefix(':')).map(str::to_owned))
    }

    /// Keeps a refresh token in the place of the last one; it is durable then. Blocks.
    ///
    /// # Errors
    /// If the store can't be written.
    pub(crate) fn keep(&self, fingerprint: Fingerprint, token: &str) -> Result<(), StoreError> {
        let secret = format!("{}:{token}", fingerprint.to_hex());
        let sealed = self.book.vault.seal(self.key.workspace, self.key.destination, &secret);
        self.book.store.keep_refresh_token(self.key, &sealed)
    }
}
