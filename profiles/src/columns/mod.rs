//! The column index: what profiles are like, by trait instead of by profile, so that a condition over all of them is
//! answered by set operations.
//!
//! For each workspace that somebody asked about: a dictionary of values for each trait and which profile has which, the
//! live profiles, those with a `user_id`, the members of each audience, and whose each fragment is. How often which
//! events occurred is the name index's business ([`tributary_eventlog::index`]).
//!
//! It is in memory and made from the store ([`Columns::build`]). From then on, each checkpoint brings it up to date:
//! **it is always exactly as of one checkpoint**. To that end the thread that writes a checkpoint holds the lock from
//! before the first entry is written until the columns have followed, so that whoever holds it reads one state in the
//! columns and in the store. A changed profile is read again; an event that changes no trait costs a hash.
//!
//! What has no room (values that are long, too many of them, too many traits) is not guessed at: it is unknown, and
//! whoever asks has to look at those profiles one by one ([`Sides`]).

mod build;
mod settled;
mod sides;
mod table;
mod trait_column;

pub(crate) use build::BuildError;
pub(crate) use settled::{Settled, is_passing};
pub(crate) use sides::Sides;
pub(crate) use table::{Lookup, Table, Touched};
pub(crate) use trait_column::TraitColumn;

use crate::codec::{Checkpoint, Value};
use crate::key::Key;
use crate::metrics;
use crate::state::{Changes, State};
use build::Pending;
use rustc_hash::FxHashMap;
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tributary_model::WorkspaceId;

/// The columns of all workspaces; part of the state.
#[derive(Default)]
pub(crate) struct Columns {
    inner: RwLock<Inner>,
    /// Held while columns are made.
    building: Mutex<()>,
}

#[derive(Default)]
struct Inner {
    /// Up to where the store has the log.
    checkpoint: Checkpoint,
    tables: FxHashMap<WorkspaceId, Slot>,
    /// Counts tables.
    last_serial: u64,
}

enum Slot {
    /// They are being made; meanwhile it is noted what changes.
    Building(Pending),
    Ready(Box<Table>),
}

impl Columns {
    /// The store has the log up to here. To be said before the first checkpoint.
    pub(crate) fn begin(&self, checkpoint: Checkpoint) {
        self.write().checkpoint = checkpoint;
    }

    /// Keeps everybody from reading until a checkpoint is in the store and the columns have followed.
    pub(crate) fn settle(&self) -> Settling<'_> {
        Settling(self.write())
    }

    /// Forgets all columns, and keeps everybody from reading until the result is dropped: the store is exchanged.
    pub(crate) fn forget(&self) -> Forgotten<'_> {
        let mut lock = self.write();
        lock.tables.clear();
        Forgotten { _lock: lock }
    }

    /// The columns as of one checkpoint, which the store has and does not leave until the result is dropped.
    pub(crate) fn read(&self) -> Held<'_> {
        Held(self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody reads the columns, of which there are none.
#[must_use = "the columns can be made again once it is dropped"]
pub(crate) struct Forgotten<'a> {
    _lock: RwLockWriteGuard<'a, Inner>,
}

/// The columns as of one checkpoint.
pub(crate) struct Held<'a>(RwLockReadGuard<'a, Inner>);

impl Held<'_> {
    /// The checkpoint.
    pub(crate) fn checkpoint(&self) -> Checkpoint {
        self.0.checkpoint
    }

    /// The columns of a workspace, if they are made.
    pub(crate) fn table(&self, workspace: WorkspaceId) -> Option<&Table> {
        match self.0.tables.get(&workspace)? {
            Slot::Ready(table) => Some(table),
            Slot::Building(_) => None,
        }
    }
}

/// A checkpoint on its way into the store.
#[must_use = "the columns have to follow"]
pub(crate) struct Settling<'a>(RwLockWriteGuard<'a, Inner>);

impl Settling<'_> {
    /// The store has the checkpoint, and nothing else has come into it: the columns follow.
    pub(crate) fn end(mut self, state: &State, changes: &Changes, checkpoint: Checkpoint) {
        let inner = &mut *self.0;
        inner.checkpoint = checkpoint;
        if inner.tables.is_empty() {
            return;
        }
        for (key, value) in changes {
            let workspace = key.workspace_id();
            if let Some((workspace, slot)) = workspace.and_then(|id| Some((id, inner.tables.get_mut(&id)?))) {
                slot.note(workspace, key, value.as_ref());
            }
        }
        inner.tables.retain(|workspace, slot| slot.settle(state, *workspace));
        inner.note_bytes();
    }
}

impl Inner {
    fn note_bytes(&self) {
        let bytes = self.tables.values().map(|slot| match slot {
            Slot::Building(_) => 0,
            Slot::Ready(table) => table.bytes(),
        });
        ::metrics::gauge!(metrics::COLUMNS_BYTES).set(bytes.sum::<usize>() as f64);
    }
}

impl Slot {
    fn note(&mut self, workspace: WorkspaceId, key: &Key, value: Option<&Value>) {
        match self {
            Self::Building(pending) => pending.note(workspace, key, value),
            Self::Ready(table) => table.note(workspace, key, value),
        }
    }

    /// Follows what was noted; false if the columns have to be made anew.
    fn settle(&mut self, state: &State, workspace: WorkspaceId) -> bool {
        match self {
            Self::Building(_) => true,
            Self::Ready(table) => table.settle(state, workspace).unwrap_or_else(|error| {
                tracing::error!(%workspace, %error, "columns can't be brought up to date; they are made anew when needed");
                false
            }),
        }
    }
}
