//! The projector's state as its readers see it: changes in memory over the store.
//!
//! An entry is looked up in four layers: `dirty` (changed since the last checkpoint), `applying` (the
//! checkpoint on its way into the store), a bounded cache of unchanged entries, and the store. A changed entry
//! leaves memory only once the store has it. There is one writer, the projector; it publishes whole batches,
//! so a reader sees a batch of events either not at all or in full (an entry at a time).

use crate::codec::Value;
use crate::key::{Key, Tag};
use crate::store::{Store, StoreError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rustc_hash::FxHashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tributary_identity::LiveProfile;
use tributary_model::{Fragment, ProfileId, WorkspaceId};

/// Changed entries by key; `None` is a removed one.
pub type Changes = FxHashMap<Key, Option<Value>>;

/// A profile with its fragments merged: what a read of the profile answers from.
#[derive(Debug, Clone)]
pub struct View {
    /// The profile.
    pub profile: Arc<LiveProfile>,
    /// The merge of its members' fragments.
    pub merged: Fragment,
}

/// Merged views touched by a batch: the new view, or `None` where it has to be made again.
pub type Views = FxHashMap<(WorkspaceId, ProfileId), Option<Arc<View>>>;

#[derive(Clone)]
struct ValueWeight;

impl Weighter<Key, Value> for ValueWeight {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        value.weight() + key.as_bytes().len() as u64 + 100
    }
}

#[derive(Clone)]
struct ViewWeight;

impl Weighter<(WorkspaceId, ProfileId), Arc<View>> for ViewWeight {
    fn weight(&self, _: &(WorkspaceId, ProfileId), view: &Arc<View>) -> u64 {
        let traits = view.merged.traits.iter();
        500 + traits
            .map(|(name, entry)| 200 + name.len() as u64 + entry.value.as_ref().map_or(0, |v| v.len()) as u64)
            .sum::<u64>()
    }
}

#[derive(Default)]
struct Layers {
    dirty: Changes,
    applying: Arc<Changes>,
    /// Counts published batches, so that a reader knows whether a view it made is still of today.
    published: u64,
}

/// The state, shared by the projector and its readers.
pub struct State {
    layers: RwLock<Layers>,
    clean: Cache<Key, Value, ValueWeight>,
    views: Cache<(WorkspaceId, ProfileId), Arc<View>, ViewWeight>,
    store: Arc<dyn Store>,
}

impl State {
    /// The state in this store, with caches of so many bytes (about) for entries and for merged views.
    pub fn new(store: Arc<dyn Store>, entry_cache_bytes: u64, view_cache_bytes: u64) -> Self {
        Self {
            layers: RwLock::default(),
            clean: Cache::with_weighter(
                usize::try_from(entry_cache_bytes / 600).unwrap_or(usize::MAX).max(100),
                entry_cache_bytes,
                ValueWeight,
            ),
            views: Cache::with_weighter(
                usize::try_from(view_cache_bytes / 2000).unwrap_or(usize::MAX).max(100),
                view_cache_bytes,
                ViewWeight,
            ),
            store,
        }
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// An entry as published, for readers.
    ///
    /// # Errors
    /// If the store fails.
    pub fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        if let Some(found) = self.in_memory(key) {
            return Ok(found);
        }
        match self.load(key) {
            // A value of several parts was met while a checkpoint replaced it: then memory holds it.
            Err(error @ (StoreError::Incomplete | StoreError::Codec(_))) => self.in_memory(key).ok_or(error),
            loaded => loaded,
        }
    }

    /// An entry as published, for the projector: what it reads from the store is kept in the cache. (Readers
    /// must not fill the cache: theirs could be of yesterday by the time it is put in.)
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn get_for_writer(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        if let Some(found) = self.in_memory(key) {
            return Ok(found);
        }
        let loaded = self.load(key)?;
        if let Some(value) = &loaded {
            self.clean.insert(key.clone(), value.clone());
        }
        Ok(loaded)
    }

    /// Every key of a workspace, in any layer.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn keys_of(&self, workspace: WorkspaceId) -> Result<Vec<Key>, StoreError> {
        let mut keys = Vec::new();
        let collect = &mut |key, _| {
            keys.push(key);
            Ok(())
        };
        self.store.scan(&workspace.0.to_be_bytes(), collect)?;
        let layers = self.read();
        let in_memory = layers.dirty.keys().chain(layers.applying.keys());
        keys.extend(in_memory.filter(|key| key.is_of(workspace)).cloned());
        Ok(keys)
    }

    /// Makes a batch visible. `views` names every profile that the batch touched.
    pub(crate) fn publish(&self, changes: Changes, views: Views) {
        let mut layers = self.write();
        layers.published += 1;
        if layers.dirty.is_empty() {
            layers.dirty = changes;
        } else {
            layers.dirty.extend(changes);
        }
        for (key, view) in views {
            match view {
                Some(view) => self.views.insert(key, view),
                None => {
                    self.views.remove(&key);
                }
            }
        }
    }

    /// How many entries await the next checkpoint.
    pub(crate) fn dirty(&self) -> usize {
        self.read().dirty.len()
    }

    /// Whether a checkpoint is on its way into the store.
    pub(crate) fn is_applying(&self) -> bool {
        !self.read().applying.is_empty()
    }

    /// Takes what changed since the last checkpoint as the next one's content; it stays readable.
    pub(crate) fn begin_checkpoint(&self) -> Arc<Changes> {
        let mut layers = self.write();
        debug_assert!(layers.applying.is_empty(), "one checkpoint at a time");
        layers.applying = Arc::new(std::mem::take(&mut layers.dirty));
        Arc::clone(&layers.applying)
    }

    /// The store has the whole checkpoint: its entries may leave memory.
    pub(crate) fn end_checkpoint(&self) {
        let mut layers = self.write();
        let applied = std::mem::take(&mut layers.applying);
        // Under the lock, and dirty entries hide these: nobody can meet an older value.
        for (key, value) in applied.iter() {
            match value {
                Some(value) => self.clean.insert(key.clone(), value.clone()),
                None => {
                    self.clean.remove(key);
                }
            }
        }
    }

    /// A cached merged view.
    pub(crate) fn view(&self, workspace: WorkspaceId, profile: ProfileId) -> Option<Arc<View>> {
        self.views.get(&(workspace, profile))
    }

    /// A number that changes with every published batch.
    pub(crate) fn published(&self) -> u64 {
        self.read().published
    }

    /// Caches a view that a reader made, unless something was published since `published`.
    pub(crate) fn keep_view(&self, workspace: WorkspaceId, id: ProfileId, view: Arc<View>, published: u64) {
        let layers = self.read();
        // `publish` holds the write lock while it changes views, so none can slip in between.
        if layers.published == published {
            self.views.insert((workspace, id), view);
        }
    }

    fn in_memory(&self, key: &Key) -> Option<Option<Value>> {
        {
            let layers = self.read();
            if let Some(value) = layers.dirty.get(key) {
                return Some(value.clone());
            }
            if let Some(value) = layers.applying.get(key) {
                return Some(value.clone());
            }
        }
        self.clean.get(key).map(Some)
    }

    fn load(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        let tag = Tag::of(key.as_bytes()).expect("keys are built with a tag");
        match self.store.get(key)? {
            Some(bytes) => Ok(Some(Value::decode(tag, &bytes)?)),
            None => Ok(None),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Layers> {
        self.layers.write().unwrap_or_else(PoisonError::into_inner)
    }
}
