//! Dead letters where they are stored.

use super::{StoreError, number_of, numbered};
use crate::config::Key;
use crate::dead_letter::{DeadLetter, DeadLetterPage, LetterHead};
use crate::failure::Reason;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch};

/// Dead letters by destination and number.
pub(super) struct Letters(Keyspace);

/// The activations of which there are dead letters, in order, each once, and whether one is for the reason asked for.
#[derive(Debug)]
pub(crate) struct DeadActivations(Vec<(u64, bool)>);

impl DeadActivations {
    fn new(mut found: Vec<(u64, bool)>) -> Self {
        found.sort_unstable();
        // Of those of one activation the last is for the reason if any is.
        found.reverse();
        found.dedup_by_key(|(activation, _)| *activation);
        found.reverse();
        Self(found)
    }

    /// The first one that is for the reason, at that activation or behind it.
    pub(crate) fn at_or_behind(&self, activation: u64) -> Option<u64> {
        let from = self.0.partition_point(|(known, _)| *known < activation);
        self.0[from..].iter().find(|(_, is_of_it)| *is_of_it).map(|(known, _)| *known)
    }

    /// Whether there is one that is for the reason; `None` if there is none of the activation.
    pub(crate) fn of(&self, activation: u64) -> Option<bool> {
        let at = self.0.binary_search_by_key(&activation, |(known, _)| *known).ok()?;
        Some(self.0[at].1)
    }
}

/// Values lie apart from their keys, so that a start which reads the keys does not read the events.
fn options() -> KeyspaceCreateOptions {
    KeyspaceCreateOptions::default().with_kv_separation(Some(KvSeparationOptions::default()))
}

impl Letters {
    pub(super) fn open(db: &Database) -> Result<Self, StoreError> {
        Ok(Self(db.keyspace("dst_letters", options)?))
    }

    pub(super) fn keyspace(&self) -> &Keyspace {
        &self.0
    }

    /// Number and size of each dead letter, oldest first.
    pub(super) fn numbers(&self, key: Key) -> impl Iterator<Item = Result<(u64, u32), StoreError>> {
        self.0.prefix(key.prefix()).map(|entry| {
            let key = entry.key()?;
            Ok((number_of(&key)?, size_of(&key)?))
        })
    }

    /// Dead letters, newest first: those numbered below `before`, at most `limit`.
    pub(super) fn page(
        &self,
        key: Key,
        limit: usize,
        before: Option<u64>,
    ) -> Result<DeadLetterPage, StoreError> {
        let mut page = DeadLetterPage { letters: Vec::new(), next: None };
        let mut last = None;
        let range = numbered(key, 0)..numbered(key, before.unwrap_or(u64::MAX));
        for entry in self.0.range(range).rev() {
            if page.letters.len() == limit {
                page.next = last;
                break;
            }
            let (entry_key, value) = entry.into_inner()?;
            last = Some(number_of(&entry_key)?);
            page.letters.push(DeadLetter::decode(&value)?);
        }
        Ok(page)
    }

    /// The activations of which there are dead letters, and whether one is for this reason (any, if none is given).
    pub(super) fn activations(
        &self,
        key: Key,
        reason: Option<Reason>,
    ) -> Result<DeadActivations, StoreError> {
        let mut found = Vec::new();
        for entry in self.0.prefix(key.prefix()) {
            let head = LetterHead::decode(&entry.value()?)?;
            found.push((head.activation, reason.is_none_or(|reason| reason == head.reason)));
        }
        Ok(DeadActivations::new(found))
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, key: Key, number: u64, letter: &[u8]) {
        batch.insert(&self.0, letter_key(key, number, letter_size(letter)), letter);
    }

    pub(super) fn remove(&self, batch: &mut OwnedWriteBatch, key: Key, number: u64, size: u32) {
        batch.remove(&self.0, letter_key(key, number, size));
    }
}

/// The size of an encoded dead letter as its key holds it.
pub(crate) fn letter_size(letter: &[u8]) -> u32 {
    u32::try_from(letter.len()).unwrap_or(u32::MAX)
}

fn letter_key(key: Key, number: u64, size: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..16].copy_from_slice(&numbered(key, number));
    bytes[16..].copy_from_slice(&size.to_be_bytes());
    bytes
}

fn size_of(key: &[u8]) -> Result<u32, StoreError> {
    let bytes = key.get(16..20).and_then(|bytes| bytes.try_into().ok());
    bytes.map(u32::from_be_bytes).ok_or(StoreError::Damaged("destination's key"))
}
