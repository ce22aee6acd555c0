//! The trait behind which the state store stands.

use crate::key::Key;
use std::collections::BTreeMap;
use std::iter;
use std::ops::Bound;
use std::sync::{PoisonError, RwLock};

/// A change of one entry: its new stored value, or `None` to remove it.
pub type Change = (Key, Option<Vec<u8>>);

/// Entries one by one, in the order of keys; nothing comes behind an error.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<(Key, Vec<u8>), StoreError>> + 'a>;

/// The state store failed. Its content can be made again from a snapshot and the log.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database said so.
    #[error("the state store failed")]
    Sled(#[from] sled::Error),
    /// The database panicked, as it does over some damage.
    #[error("the state store gave up: {0}")]
    Panicked(String),
    /// The file system said so.
    #[error("the state store's file can't be made durable")]
    Io(#[from] std::io::Error),
    /// A value lacks some of its parts.
    #[error("a stored value lacks some of its parts")]
    Incomplete,
    /// A value can't be read.
    #[error(transparent)]
    Codec(#[from] crate::codec::CodecError),
}

/// An ordered map from keys to bytes. Not transactional: the redo record makes a checkpoint atomic.
pub trait Store: Send + Sync + 'static {
    /// The value under a key.
    ///
    /// # Errors
    /// If the store fails.
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// Makes changes, in small steps; other threads may see some before the rest. Doing it again is harmless.
    ///
    /// # Errors
    /// If the store fails; some changes may have been made.
    fn apply(&self, changes: &[Change]) -> Result<(), StoreError>;

    /// Every entry whose key begins with `prefix` and is not before `from` (a whole key), in the order of keys. What
    /// others change meanwhile may be met or not.
    fn entries_from(&self, prefix: &[u8], from: Bound<&[u8]>) -> Entries<'_>;

    /// Every entry whose key begins with `prefix`; see [`Store::entries_from`].
    fn entries(&self, prefix: &[u8]) -> Entries<'_> {
        self.entries_from(prefix, Bound::Unbounded)
    }

    /// Calls `visit` with every entry whose key begins with `prefix`, in the order of keys.
    ///
    /// # Errors
    /// If the store fails, or whatever `visit` returns.
    fn scan(
        &self,
        prefix: &[u8],
        visit: &mut dyn FnMut(Key, Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for entry in self.entries(prefix) {
            let (key, value) = entry?;
            visit(key, value)?;
        }
        Ok(())
    }

    /// Returns once everything applied so far survives a loss of power.
    ///
    /// # Errors
    /// If it could not be written.
    fn make_durable(&self) -> Result<(), StoreError>;
}

/// Where entries begin whose keys begin with `prefix` and are not before `from`.
pub(crate) fn first_of<'a>(prefix: &'a [u8], from: Bound<&'a [u8]>) -> Bound<&'a [u8]> {
    match from {
        Bound::Included(key) | Bound::Excluded(key) if key >= prefix => from,
        Bound::Included(_) | Bound::Excluded(_) | Bound::Unbounded => Bound::Included(prefix),
    }
}

/// A store in memory, for tests.
#[derive(Debug, Default)]
pub struct MemoryStore(RwLock<BTreeMap<Key, Vec<u8>>>);

impl Store for MemoryStore {
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut entries = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in changes {
            match value {
                Some(value) => entries.insert(key.clone(), value.clone()),
                None => entries.remove(key),
            };
        }
        Ok(())
    }

    fn entries_from(&self, prefix: &[u8], from: Bound<&[u8]>) -> Entries<'_> {
        let prefix = prefix.to_vec();
        let mut from = first_of(&prefix, from).map(Key::from_stored);
        Box::new(iter::from_fn(move || {
            let entries = self.0.read().unwrap_or_else(PoisonError::into_inner);
            let (key, value) = entries.range((from.clone(), Bound::Unbounded)).next()?;
            from = Bound::Excluded(key.clone());
            key.as_bytes().starts_with(&prefix).then(|| Ok((key.clone(), value.clone())))
        }))
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
