//! Making the columns of a workspace while events go on.
//!
//! Every profile is read once, without a lock, while the checkpoints that come note what they change. What was changed is
//! read again, and what changed meanwhile again, until it is little enough to be read under the lock; then the columns
//! are as of one checkpoint.

use super::settled::{Settled, is_passing};
use super::table::Table;
use super::{Columns, Slot};
use crate::codec::Value;
use crate::key::{Key, Tag, start};
use crate::preview::PreviewProgress;
use crate::reader::LookupError;
use crate::state::State;
use crate::store::StoreError;
use rustc_hash::{FxHashMap, FxHashSet};
use std::ops::Bound;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use tributary_eventlog::index::short_fragment;
use tributary_identity::ProfileRecord;
use tributary_model::{AudienceId, HashKey, ProfileId, WorkspaceId};

/// What is done with an entry.
type Visit<'a> = dyn FnMut(&Key, Vec<u8>) -> Result<(), BuildError> + 'a;

/// How many profiles are read under the lock at most.
const LAST_MAX: usize = 1000;
/// How often what changed is read again before it is read under the lock, though it is more.
const ROUNDS_MAX: usize = 50;
/// How many profiles are read so then, at most.
const LAST_AFTER_ROUNDS_MAX: usize = 5_000;
/// How often columns are begun anew whose rules changed, or whose store was exchanged.
const ATTEMPTS_MAX: usize = 5;
/// How often reading goes on behind a value that a checkpoint was replacing.
const PASSING_MAX: usize = 1000;
/// How many profiles are read between two looks at whether to go on.
const STEP: u64 = 256;

/// The columns could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// Whoever waited for them gave up.
    #[error("making the columns was cancelled")]
    Cancelled,
    /// The state can't be read.
    #[error("the columns can't be made")]
    Lookup(#[from] LookupError),
    /// What they rest on changed again and again.
    #[error("the workspace's rules or definitions changed while its columns were made; try again")]
    Overtaken,
    /// Profiles change faster than they are read.
    #[error("too many profiles changed while the columns were made; try again when less happens")]
    Restless,
}

impl From<StoreError> for BuildError {
    fn from(error: StoreError) -> Self {
        Self::Lookup(error.into())
    }
}

/// What changed while columns were made.
pub(super) struct Pending {
    hash_key: HashKey,
    serial: u64,
    profiles: FxHashSet<ProfileId>,
    /// Fragments, by the beginnings of their hashes.
    nodes: FxHashSet<u64>,
    members: FxHashMap<(AudienceId, ProfileId), bool>,
    /// Whether something changed that rows depend on beside their profiles.
    is_suspect: bool,
}

impl Pending {
    fn new(hash_key: HashKey, serial: u64) -> Self {
        Self {
            hash_key,
            serial,
            profiles: FxHashSet::default(),
            nodes: FxHashSet::default(),
            members: FxHashMap::default(),
            is_suspect: false,
        }
    }

    pub(super) fn note(&mut self, workspace: WorkspaceId, key: &Key, value: Option<&Value>) {
        let node = key.node_named().filter(|_| Tag::of(key.as_bytes()) == Some(Tag::Fragment));
        if let Some(node) = node {
            let hash = self.hash_key.identifier_hash(workspace, &node.identifier, node.epoch);
            self.nodes.insert(short_fragment(&hash));
        } else if let Some(member) = key.member_named() {
            self.members.insert(member, value.is_some());
        } else if let Some(id) = key.profile_named() {
            self.profiles.insert(id);
        } else if let Some(Value::Partition(partition)) = value {
            for node in partition.sides.iter().flatten() {
                let hash = self.hash_key.identifier_hash(workspace, &node.identifier, node.epoch);
                self.nodes.insert(short_fragment(&hash));
            }
        } else if matches!(value, Some(Value::Workspace(_) | Value::Definitions(_))) {
            self.is_suspect = true;
        }
    }
}

/// Whether columns are done.
enum Step {
    Done,
    /// What they rest on has changed.
    Anew,
}

impl Columns {
    /// Makes the columns of a workspace, unless they are there. Blocking, for as long as reading every profile takes.
    ///
    /// # Errors
    /// If the state can't be read, or it is cancelled.
    pub(crate) fn build(
        &self,
        state: &State,
        workspace: WorkspaceId,
        hash_key: &HashKey,
        progress: &PreviewProgress,
    ) -> Result<(), BuildError> {
        let _alone = self.building.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..ATTEMPTS_MAX {
            let serial = {
                let mut inner = self.write();
                if let Some(Slot::Ready(_)) = inner.tables.get(&workspace) {
                    return Ok(());
                }
                inner.last_serial += 1;
                let serial = inner.last_serial;
                let pending = Pending::new(hash_key.clone(), serial);
                inner.tables.insert(workspace, Slot::Building(pending));
                serial
            };
            let building = Building { columns: self, state, workspace, hash_key, serial, progress };
            match building.run() {
                Ok(Step::Done) => return Ok(()),
                Ok(Step::Anew) => building.give_up(),
                Err(error) => {
                    building.give_up();
                    return Err(error);
                }
            }
        }
        Err(BuildError::Overtaken)
    }
}

struct Building<'a> {
    columns: &'a Columns,
    state: &'a State,
    workspace: WorkspaceId,
    hash_key: &'a HashKey,
    serial: u64,
    progress: &'a PreviewProgress,
}

impl Building<'_> {
    fn run(&self) -> Result<Step, BuildError> {
        let settled = Settled::new(self.state, self.workspace, self.hash_key)?;
        let mut table = Table::new(self.hash_key.clone(), settled.basis(), self.serial);
        let mut again = self.read_profiles(&settled, &mut table)?;
        self.read_members(&mut table)?;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let is_last = rounds >= ROUNDS_MAX;
            let mut inner = self.columns.write();
            let Some(Slot::Building(pending)) = inner.tables.get_mut(&self.workspace) else {
                return Ok(Step::Anew);
            };
            if pending.serial != self.serial {
                return Ok(Step::Anew);
            }
            let mut stale = std::mem::take(&mut again);
            stale.extend(pending.profiles.drain());
            let docs = pending.nodes.drain().filter_map(|node| table.doc_of_fragment(node));
            stale.extend(docs.filter_map(|doc| table.id(doc)));
            for ((audience, id), is_member) in pending.members.drain() {
                table.set_member(audience, id, is_member);
            }
            let is_suspect = std::mem::take(&mut pending.is_suspect);
            if is_last && stale.len() > LAST_AFTER_ROUNDS_MAX {
                return Err(BuildError::Restless);
            }
            if stale.len() <= LAST_MAX || is_last {
                let settled = Settled::new(self.state, self.workspace, self.hash_key)?;
                if settled.basis() != *table.basis() {
                    return Ok(Step::Anew);
                }
                for id in stale {
                    table.refresh(id, &settled)?;
                }
                // Whoever waits for them asks them next.
                table.look(inner.looks.fetch_add(1, Ordering::Relaxed) + 1);
                inner.tables.insert(self.workspace, Slot::Ready(Box::new(table)));
                inner.make_room(self.columns.bytes_max());
                return Ok(Step::Done);
            }
            drop(inner);
            let settled = Settled::new(self.state, self.workspace, self.hash_key)?;
            if is_suspect && settled.basis() != *table.basis() {
                return Ok(Step::Anew);
            }
            for id in stale {
                self.check()?;
                match table.refresh(id, &settled) {
                    Err(LookupError::Store(error)) if is_passing(&error) => {
                        again.insert(id);
                    }
                    refreshed => refreshed?,
                }
            }
        }
    }

    /// Reads every profile; answers with those that could not be read because of a checkpoint.
    fn read_profiles(
        &self,
        settled: &Settled<'_>,
        table: &mut Table,
    ) -> Result<FxHashSet<ProfileId>, BuildError> {
        let mut again = FxHashSet::default();
        let mut count = 0;
        self.progress.set(0, settled.profiles);
        self.entries(Tag::Profile, &mut |key, bytes| {
            let Some(id) = key.profile_named() else { return Ok(()) };
            let Value::Profile(record) = Value::decode(Tag::Profile, &bytes).map_err(StoreError::from)?
            else {
                return Ok(());
            };
            let ProfileRecord::Live(live) = &*record else { return Ok(()) };
            match settled.row(id, live) {
                Ok(row) => table.put(&row),
                Err(error) if is_passing(&error) => {
                    again.insert(id);
                }
                Err(error) => return Err(error.into()),
            }
            count += 1;
            if count % STEP == 0 {
                self.progress.set(count.min(settled.profiles), settled.profiles);
                self.check()?;
            }
            Ok(())
        })?;
        Ok(again)
    }

    fn read_members(&self, table: &mut Table) -> Result<(), BuildError> {
        self.entries(Tag::Member, &mut |key, _| {
            if let Some((audience, id)) = key.member_named() {
                table.set_member(audience, id, true);
            }
            Ok(())
        })
    }

    /// Calls `visit` with every entry of the workspace under a tag.
    fn entries(&self, tag: Tag, visit: &mut Visit<'_>) -> Result<(), BuildError> {
        let store = self.state.store();
        let prefix = start(self.workspace, tag);
        let mut last: Option<Key> = None;
        for _ in 0..PASSING_MAX {
            self.check()?;
            let from = last.clone();
            let from = from.as_ref().map_or(Bound::Unbounded, |last| Bound::Excluded(last.as_bytes()));
            let mut is_whole = true;
            for entry in store.entries_from(&prefix, from) {
                match entry {
                    Ok((key, bytes)) => {
                        visit(&key, bytes)?;
                        last = Some(key);
                    }
                    // A value of several parts that a checkpoint replaces right now: nothing comes behind it.
                    Err(error) if is_passing(&error) => {
                        is_whole = false;
                        break;
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if is_whole {
                return Ok(());
            }
        }
        Err(StoreError::Incomplete.into())
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.progress.is_cancelled() { Err(BuildError::Cancelled) } else { Ok(()) }
    }

    /// Notes changes no longer.
    fn give_up(&self) {
        let mut inner = self.columns.write();
        let is_own = |slot: &Slot| matches!(slot, Slot::Building(pending) if pending.serial == self.serial);
        if inner.tables.get(&self.workspace).is_some_and(is_own) {
            inner.tables.remove(&self.workspace);
        }
    }
}
