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
//! whoever asks has to look at those profiles one by one ([`Sides`]). Of all workspaces together, columns take so many
//! bytes ([`Columns::limit`]): those that were asked longest ago are dropped, and made anew when needed.

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
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tributary_model::WorkspaceId;

/// How many bytes the columns of all workspaces take, unless it is said otherwise.
const BYTES_MAX: u64 = 512 << 20;

/// The columns of all workspaces; part of the state.
pub(crate) struct Columns {
    inner: RwLock<Inner>,
    /// How many bytes they take together, about.
    bytes_max: AtomicU64,
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
    /// Counts looks at tables.
    looks: AtomicU64,
}

enum Slot {
    /// They are being made; meanwhile it is noted what changes.
    Building(Pending),
    Ready(Box<Table>),
}

impl Default for Columns {
    fn default() -> Self {
        Self { inner: RwLock::default(), bytes_max: AtomicU64::new(BYTES_MAX), building: Mutex::default() }
    }
}

impl Columns {
    /// They take so many bytes together, about; but those that were asked last stay, however large they are.
    pub(crate) fn limit(&self, bytes: u64) {
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    fn bytes_max(&self) -> u64 {
        self.bytes_max.load(Ordering::Relaxed)
    }

    /// The store has the log up to here. To be said before the first checkpoint.
    pub(crate) fn begin(&self, checkpoint: Checkpoint) {
        self.write().checkpoint = checkpoint;
    }

    /// Keeps everybody from reading until a checkpoint is in the store and the columns have followed.
    pub(crate) fn settle(&self) -> Settling<'_> {
        Settling(self.write(), self.bytes_max())
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
            Slot::Ready(table) => {
                table.look(self.0.looks.fetch_add(1, Ordering::Relaxed) + 1);
                Some(table)
            }
            Slot::Building(_) => None,
        }
    }
}

/// A checkpoint on its way into the store.
#[must_use = "the columns have to follow"]
pub(crate) struct Settling<'a>(RwLockWriteGuard<'a, Inner>, u64);

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
        inner.make_room(self.1);
    }
}

impl Inner {
    /// Drops the columns that were asked longest ago until the others take so many bytes, or one is left.
    fn make_room(&mut self, bytes_max: u64) {
        let mut ready: Vec<(u64, WorkspaceId, u64)> = Vec::new();
        for (workspace, slot) in &self.tables {
            match slot {
                Slot::Building(_) => {}
                Slot::Ready(table) => ready.push((table.looked_at(), *workspace, table.bytes() as u64)),
            }
        }
        ready.sort_unstable();
        let mut bytes: u64 = ready.iter().map(|(_, _, bytes)| bytes).sum();
        let but_one = ready.len().saturating_sub(1);
        for (_, workspace, taken) in ready.into_iter().take(but_one) {
            if bytes <= bytes_max {
                break;
            }
            self.tables.remove(&workspace);
            bytes -= taken;
            no_room("workspace");
        }
        ::metrics::gauge!(metrics::COLUMNS_BYTES).set(bytes as f64);
    }
}

/// Something has no room in the columns.
fn no_room(what: &'static str) {
    ::metrics::counter!(metrics::COLUMNS_WITHOUT_ROOM, "what" => what).increment(1);
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
