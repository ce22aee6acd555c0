//! The projector's state as its readers see it: changes in memory over the store.
//!
//! An entry is looked up in four layers: `dirty` (changed since the last checkpoint), `applying` (the
//! checkpoint on its way into the store), a bounded cache of unchanged entries, and the store. A changed entry
//! leaves memory only once the store has it. There is one writer, the projector; it publishes whole batches,
//! so a reader sees a batch of events either not at all or in full (an entry at a time).
//!
//! Beside the entries it keeps what is made from them and shared by the writer and its readers: merged views,
//! partitions, compiled rules and definitions, and the results of commands.

mod prefixes;
mod range;
mod view;

pub(crate) use prefixes::Prefixes;
pub use view::{View, Views};

use crate::catalogs::Catalogs;
use crate::codec::Value;
use crate::columns::Columns;
use crate::definitions::DefinitionsState;
use crate::key::{Key, Tag};
use crate::machine::CommandResults;
use crate::rules::RulesCache;
use crate::store::{Store, StoreError};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use range::{KeysInOrder, is_read_in_order};
use rustc_hash::FxHashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tributary_identity::{Partition, Partitions};
use tributary_model::catalog::Catalog;
use tributary_model::{ProfileId, Timestamp, WorkspaceId};
use view::ViewWeight;

/// Changed entries by key; `None` is a removed one.
pub type Changes = FxHashMap<Key, Option<Value>>;

#[derive(Clone)]
struct ValueWeight;

impl Weighter<Key, Value> for ValueWeight {
    fn weight(&self, key: &Key, value: &Value) -> u64 {
        value.weight() + key.as_bytes().len() as u64 + 100
    }
}

struct Layers {
    dirty: Changes,
    applying: Arc<Changes>,
    /// The keys of `dirty` and of `applying` that are read in order.
    dirty_keys: KeysInOrder,
    applying_keys: KeysInOrder,
    store: Arc<dyn Store>,
    /// The projector's time as of the last published batch.
    log_time: Timestamp,
    /// Counts published batches, so that a reader knows whether a view it made is still of today.
    published: u64,
}

/// The state, shared by the projector and its readers.
pub struct State {
    layers: RwLock<Layers>,
    clean: Cache<Key, Value, ValueWeight>,
    views: Cache<(WorkspaceId, ProfileId), Arc<View>, ViewWeight>,
    /// Those that were asked for; locked after `layers`, if both are.
    partitions: RwLock<FxHashMap<WorkspaceId, Arc<Partitions>>>,
    rules: RulesCache,
    catalogs: Catalogs,
    columns: Columns,
    results: Arc<CommandResults>,
}

impl State {
    /// The state in this store, with caches of so many bytes (about) for entries and for merged views.
    pub fn new(store: Arc<dyn Store>, entry_cache_bytes: u64, view_cache_bytes: u64) -> Self {
        let layers = Layers {
            dirty: Changes::default(),
            applying: Arc::default(),
            dirty_keys: KeysInOrder::default(),
            applying_keys: KeysInOrder::default(),
            store,
            log_time: Timestamp::default(),
            published: 0,
        };
        Self {
            layers: RwLock::new(layers),
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
            partitions: RwLock::default(),
            rules: RulesCache::new(),
            catalogs: Catalogs::new(),
            columns: Columns::default(),
            results: Arc::default(),
        }
    }

    /// The store below.
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.read().store)
    }

    /// The compiled rules of workspaces.
    pub(crate) fn rules(&self) -> &RulesCache {
        &self.rules
    }

    /// The compiled definitions of workspaces.
    pub(crate) fn catalogs(&self) -> &Catalogs {
        &self.catalogs
    }

    /// What a workspace defines, as published; nothing, if that was never said.
    ///
    /// # Errors
    /// If the store fails.
    pub fn definitions(&self, workspace: WorkspaceId) -> Result<Arc<DefinitionsState>, StoreError> {
        Ok(match self.get(&Key::definitions(workspace))? {
            Some(Value::Definitions(definitions)) => definitions,
            _ => Arc::default(),
        })
    }

    /// What a workspace defines, as published, compiled.
    ///
    /// # Errors
    /// If the store fails.
    pub fn catalog(&self, workspace: WorkspaceId) -> Result<Arc<Catalog>, StoreError> {
        let definitions = self.definitions(workspace)?;
        Ok(self.catalogs.of(workspace, &definitions))
    }

    /// The projector's time: the largest receive time in what is published.
    pub fn log_time(&self) -> Timestamp {
        self.read().log_time
    }

    /// Says what the projector's time is, where that is not known from a batch: at a start, say.
    pub(crate) fn set_log_time(&self, log_time: Timestamp) {
        self.write().log_time = log_time;
    }

    /// The column index.
    pub(crate) fn columns(&self) -> &Columns {
        &self.columns
    }

    /// What became of commands.
    pub fn results(&self) -> &Arc<CommandResults> {
        &self.results
    }

    /// Puts another store in the place of the one below, and forgets everything that was made from that. Whoever
    /// reads from the old one at this moment ends with what it says.
    ///
    /// # Panics
    /// If something awaits a checkpoint: it would be lost, or come into the wrong store.
    pub(crate) fn swap_store(&self, store: Arc<dyn Store>) {
        // Before the layers' lock, as everywhere.
        let _columns = self.columns.forget();
        let mut layers = self.write();
        assert!(
            layers.dirty.is_empty() && layers.applying.is_empty(),
            "a store is left only once it has everything"
        );
        layers.store = store;
        layers.published += 1;
        self.clean.clear();
        self.views.clear();
        self.catalogs.clear();
        self.partitions_mut().clear();
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

    /// An entry as the last checkpoint has it. While one is on its way into the store, it may be of either, and one of
    /// several parts may be unreadable.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn settled(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.clean.get(key) {
            Some(value) => Ok(Some(value)),
            None => self.load(key),
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

    /// The partitions of a workspace.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn partitions(&self, workspace: WorkspaceId) -> Result<Arc<Partitions>, StoreError> {
        let known = self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(&workspace).cloned();
        if let Some(known) = known {
            return Ok(known);
        }
        let published = self.published();
        let entries = self.entries_with(workspace, Tag::Partition, &[Vec::new()])?;
        let mut stored: Vec<Partition> = Vec::with_capacity(entries.len());
        for (_, value) in entries {
            if let Value::Partition(partition) = value {
                stored.push(Partition::clone(&partition));
            }
        }
        let made = Arc::new(Partitions::new(stored));
        let layers = self.read();
        // `publish` holds the write lock while it forgets partitions, so none can slip in between.
        if layers.published == published {
            self.partitions_mut().insert(workspace, Arc::clone(&made));
        }
        Ok(made)
    }

    /// Makes a batch visible. `views` names every profile that it touched, `parted` every workspace whose partitions it
    /// changes; `log_time` is the projector's time with it.
    pub(crate) fn publish(
        &self,
        changes: Changes,
        views: Views,
        parted: &[WorkspaceId],
        log_time: Timestamp,
    ) {
        let is_in_order = |key: &&Key| Tag::of(key.as_bytes()).is_some_and(is_read_in_order);
        let in_order: Vec<Key> = changes.keys().filter(is_in_order).cloned().collect();
        let mut layers = self.write();
        layers.published += 1;
        layers.log_time = log_time;
        layers.dirty_keys.extend(in_order);
        if !parted.is_empty() {
            self.partitions_mut().retain(|workspace, _| !parted.contains(workspace));
        }
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
        layers.applying_keys = std::mem::take(&mut layers.dirty_keys);
        Arc::clone(&layers.applying)
    }

    /// The store has the whole checkpoint: its entries may leave memory.
    pub(crate) fn end_checkpoint(&self) {
        let mut layers = self.write();
        let applied = std::mem::take(&mut layers.applying);
        layers.applying_keys.clear();
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
        match self.store().get(key)? {
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

    fn partitions_mut(&self) -> RwLockWriteGuard<'_, FxHashMap<WorkspaceId, Arc<Partitions>>> {
        self.partitions.write().unwrap_or_else(PoisonError::into_inner)
    }
}
