//! A state of its own that nobody else sees: over a fresh store, with changes in memory that are put into it once
//! there are many.
//!
//! There is no redo record and nothing is made durable: whoever fills one throws it away after a crash and begins
//! anew. Memory stays bounded however much is put in.

mod graph;
mod moves;
mod owners;

pub(crate) use graph::LentGraph;
pub(crate) use moves::Moves;

use crate::codec::Value;
use crate::graph::WriteGraph;
use crate::state::{State, Views};
use crate::store::{Change, Store, StoreError};
use std::sync::Arc;
use tributary_model::Timestamp;

/// How many changes of the graph are published at once.
const BATCH: usize = 512;
/// How many changed entries are held in memory at most, about.
const ENTRIES_MAX: usize = 20_000;
/// Nothing reads profiles from here.
const VIEW_CACHE_BYTES: u64 = 1 << 16;

/// See the module.
pub(crate) struct Scratch {
    state: Arc<State>,
    store: Arc<dyn Store>,
    graph: WriteGraph,
    /// Calls since the graph's changes were last published.
    steps: usize,
}

impl Scratch {
    /// A state over this store, with a cache of so many bytes (about).
    pub(crate) fn new(store: Arc<dyn Store>, entry_cache_bytes: u64) -> Self {
        let state = Arc::new(State::new(Arc::clone(&store), entry_cache_bytes, VIEW_CACHE_BYTES));
        let graph = WriteGraph::new(Arc::clone(&state));
        Self { state, store, graph, steps: 0 }
    }

    /// The graph. What is put into it is found at once.
    pub(crate) fn graph(&mut self) -> &mut WriteGraph {
        &mut self.graph
    }

    /// To be called now and then, after every event say: makes room in memory once there is much in it.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn flush_if_large(&mut self) -> Result<(), StoreError> {
        self.steps += 1;
        if self.steps >= BATCH {
            self.publish();
            if self.state.dirty() >= ENTRIES_MAX {
                self.write_out()?;
            }
        }
        Ok(())
    }

    /// Puts everything into the store.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn flush(&mut self) -> Result<(), StoreError> {
        self.publish();
        self.write_out()
    }

    /// The store; it has everything after [`Scratch::flush`].
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn publish(&mut self) {
        self.steps = 0;
        let (changes, parted) = (self.graph.take_batch(), self.graph.take_parted());
        // Nothing here asks for the time.
        self.state.publish(changes, Views::default(), &parted, Timestamp::default());
    }

    fn write_out(&self) -> Result<(), StoreError> {
        let changes = self.state.begin_checkpoint();
        let mut sorted: Vec<Change> =
            changes.iter().map(|(key, value)| (key.clone(), value.as_ref().map(Value::encode))).collect();
        sorted.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        self.store.apply(&sorted)?;
        self.state.end_checkpoint();
        Ok(())
    }
}
