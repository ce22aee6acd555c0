//! Evidence in the order of the log, sorted on disk: there may be more of it than fits memory.

use crate::codec::CodecError;
use crate::key::Key;
use crate::sled_store::SledStore;
use crate::store::{Change, Store, StoreError};
use std::fs;
use std::path::{Path, PathBuf};
use tributary_identity::{Dated, Item, item_order};
use tributary_model::NodeKey;

/// sled's page cache, in bytes.
const CACHE_BYTES: u64 = 32 << 20;
/// How many items are put into the store at once.
const CHUNK: usize = 4096;
/// What all keys begin with: no workspace, and a tag that no other entry has.
const START: [u8; 5] = [0, 0, 0, 0, b'i'];
/// How many bytes of a key are the same for all items of an event: the start, partition and sequence.
const EVENT_BYTES: usize = START.len() + 4 + 8;

/// A store for items of evidence. Its directory is removed with it.
pub(super) struct Sorting {
    /// There until the end, when it has to be closed first.
    store: Option<SledStore>,
    directory: PathBuf,
    chunk: Vec<Change>,
    added: u64,
}

impl Sorting {
    /// An empty one in this directory.
    pub(super) fn begin(directory: &Path) -> Result<Self, StoreError> {
        let store = SledStore::open(directory, CACHE_BYTES)?;
        Ok(Self { store: Some(store), directory: directory.to_owned(), chunk: Vec::new(), added: 0 })
    }

    /// Adds an item.
    pub(super) fn add(&mut self, item: &Dated) -> Result<(), StoreError> {
        let position = item.evidence.position;
        let mut key = START.to_vec();
        key.extend_from_slice(&position.partition.to_be_bytes());
        key.extend_from_slice(&position.sequence.to_be_bytes());
        key.extend_from_slice(&self.added.to_be_bytes());
        self.added += 1;
        let value = postcard::to_allocvec(item).expect("plain values can be written");
        self.chunk.push((Key::from_stored(&key), Some(value)));
        if self.chunk.len() >= CHUNK { self.write() } else { Ok(()) }
    }

    /// Calls `take` with the items of each event, in their order, one event after the other.
    pub(super) fn for_each_event<E: From<StoreError>>(
        &mut self,
        mut take: impl FnMut(&[Dated]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.write()?;
        let mut event: Box<[u8]> = Box::default();
        let mut items: Vec<Dated> = Vec::new();
        for entry in self.store().entries(&START) {
            let (key, value) = entry?;
            let of =
                key.as_bytes().get(..EVENT_BYTES).ok_or(CodecError::Damaged).map_err(StoreError::from)?;
            if *of != *event {
                take_sorted(&mut items, &mut take)?;
                event = of.into();
            }
            let item = postcard::from_bytes(&value).map_err(|_| StoreError::from(CodecError::Damaged))?;
            items.push(item);
        }
        take_sorted(&mut items, &mut take)
    }

    fn write(&mut self) -> Result<(), StoreError> {
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.store().apply(&chunk)
    }

    fn store(&self) -> &SledStore {
        self.store.as_ref().expect("it is there until the end")
    }
}

impl Drop for Sorting {
    fn drop(&mut self) {
        drop(self.store.take());
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "sorted evidence was not removed");
        }
    }
}

fn take_sorted<E>(items: &mut Vec<Dated>, take: &mut impl FnMut(&[Dated]) -> Result<(), E>) -> Result<(), E> {
    if items.is_empty() {
        return Ok(());
    }
    items.sort_by(item_order);
    keep_one_anchor(items);
    take(items)?;
    items.clear();
    Ok(())
}

/// An event has one anchor. States of a version that did not keep which say it of every identifier that an event
/// brought: of those, the ones that a link of the same event ties to another are none.
fn keep_one_anchor(items: &mut Vec<Dated>) {
    let is_anchor = |dated: &&Dated| matches!(dated.item, Item::Anchored { .. });
    if items.iter().filter(is_anchor).count() < 2 {
        return;
    }
    let tied: Vec<NodeKey> = items
        .iter()
        .filter_map(|dated| match &dated.item {
            Item::Link { key, .. } => Some(key.other.clone()),
            Item::Anchored { .. } | Item::Epoch { .. } => None,
        })
        .collect();
    items.retain(|dated| match &dated.item {
        Item::Anchored { node } => !tied.contains(node),
        Item::Link { .. } | Item::Epoch { .. } => true,
    });
}
