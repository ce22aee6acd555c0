//! The one thread that owns the state of the store and makes every change, one after the other.
//!
//! A change is: build the next version → write its file → append its record to the events log and wait until
//! that is durable → write its position → swap the snapshot → answer. A crash before the record is durable, or
//! before its position is written, leaves a version without a position: it is appended once more at the next
//! start (nobody was told that it was made; a reader of the log meets the same version twice and takes the
//! first). A record that the log refuses leaves nothing.
//!
//! A record without an answer ([`AppendError::Unknown`]) may be in the log. Then another record of the same version
//! must never follow: whoever reads the log would take the first, and this store the second. So the version stays as
//! it is, on its way, and is appended again until the log answers; no other change is made meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tributary_eventlog::{AppendError, EventLog};
use tributary_model::clock::Clock;
use tributary_model::{ErrorCode, Position, Record, Workspace, WorkspaceId};

use super::change::{Author, Changed, Draft, Order, Refusal, StoreError};
use super::files::{Files, Stored, VersionFile};
use super::snapshot::Snapshot;
use super::{Fatal, InForce, Job, check_name};
use crate::metrics;

/// How long to wait before a version that the log refused after a restart is tried again.
const SETTLE_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Owner {
    files: Files,
    log: Arc<dyn EventLog>,
    clock: Arc<dyn Clock>,
    fatal: Fatal,
    in_force: InForce,
    runtime: Runtime,
    workspaces_max: u64,
    /// The workspaces in force.
    current: BTreeMap<WorkspaceId, Arc<Workspace>>,
    /// Versions that are on their way: without an answer of the log, or from before the process ended.
    pending: BTreeMap<WorkspaceId, VersionFile>,
    next_workspace: u32,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

impl Owner {
    /// Reads what is stored and brings versions into force that were on their way.
    pub(super) fn open(
        files: Files,
        log: Arc<dyn EventLog>,
        clock: Arc<dyn Clock>,
        fatal: Fatal,
        in_force: InForce,
        workspaces_max: u64,
    ) -> Result<Self, StoreError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let mut owner = Self {
            files,
            log,
            clock,
            fatal,
            in_force,
            runtime,
            workspaces_max,
            current: BTreeMap::new(),
            pending: BTreeMap::new(),
            next_workspace: 1,
            snapshot: watch::Sender::new(Arc::default()),
        };
        // A directory without a version is left from a workspace that never came to be.
        for (id, stored) in owner.files.stored()?.into_iter().filter(|(_, stored)| stored.newest > 0) {
            owner.next_workspace = owner.next_workspace.max(id.0 + 1);
            owner.load(id, &stored)?;
        }
        owner.settle();
        owner.swap();
        Ok(owner)
    }

    fn load(&mut self, id: WorkspaceId, stored: &Stored) -> Result<(), StoreError> {
        let in_force = if stored.settled { stored.newest } else { stored.newest.saturating_sub(1) };
        if in_force > 0
            && let Some(workspace) = self.files.read_version(id, in_force)?.workspace()?
        {
            self.current.insert(id, Arc::new(workspace));
        }
        if in_force < stored.newest {
            let version = self.files.read_version(id, stored.newest)?;
            version.workspace()?;
            self.pending.insert(id, version);
        }
        Ok(())
    }

    pub(super) fn snapshot(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// Whether no workspace was ever created.
    pub(super) fn is_new(&self) -> bool {
        self.current.is_empty() && self.pending.is_empty() && self.next_workspace == 1
    }

    pub(super) fn workspace(&self, id: WorkspaceId) -> Option<&Arc<Workspace>> {
        self.current.get(&id)
    }

    pub(super) fn workspaces(&self) -> impl Iterator<Item = &Arc<Workspace>> {
        self.current.values()
    }

    /// Does one job after the other until nobody can send any more.
    pub(super) fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            let next = if self.pending.is_empty() {
                self.runtime.block_on(jobs.recv())
            } else {
                let waiting = async { tokio::time::timeout(SETTLE_EVERY, jobs.recv()).await };
                match self.runtime.block_on(waiting) {
                    Ok(next) => next,
                    Err(_) => {
                        self.settle();
                        self.swap();
                        continue;
                    }
                }
            };
            match next {
                Some(job) => job(&mut self),
                None => return,
            }
        }
    }

    /// Makes the next version of a workspace. A change that changes nothing makes no version.
    pub(super) fn change<T>(
        &mut self,
        order: Order,
        edit: impl FnOnce(&mut Draft) -> Result<(T, String), Refusal>,
    ) -> Result<Changed<T>, StoreError> {
        let current = self.in_force(&order)?;
        let mut draft = Draft { workspace: (*current).clone(), at: self.clock.now() };
        draft.workspace.version = current.version + 1;
        let (value, change) = edit(&mut draft)?;
        let Draft { mut workspace, at } = draft;
        workspace.version = current.version;
        if workspace == *current {
            return Ok(Changed { workspace: current, value });
        }
        workspace.version = current.version + 1;
        self.check(&workspace)?;
        let version = VersionFile::new(workspace.version, at, order.by, change, Some(&workspace))?;
        let workspace = Arc::new(workspace);
        self.commit(workspace.id, &version)?;
        self.current.insert(workspace.id, Arc::clone(&workspace));
        self.swap();
        Ok(Changed { workspace, value })
    }

    /// Creates a workspace with the next number. `edit` gets it empty, without a name.
    pub(super) fn create<T>(
        &mut self,
        by: Author,
        edit: impl FnOnce(&mut Draft) -> Result<(T, String), Refusal>,
    ) -> Result<Changed<T>, StoreError> {
        self.settled()?;
        if self.current.len() as u64 >= self.workspaces_max {
            let message = format!("there are {} workspaces, which is the limit", self.current.len());
            return Err(Refusal::new(ErrorCode::Conflict, message).into());
        }
        let at = self.clock.now();
        let workspace = Workspace {
            id: WorkspaceId(self.next_workspace),
            name: String::new(),
            version: 1,
            created_at: at,
            next_id: 1,
            sources: Vec::new(),
            destinations: Vec::new(),
            tokens: Vec::new(),
            identity: Default::default(),
            computed_traits: Vec::new(),
            audiences: Vec::new(),
            traits: Default::default(),
        };
        let mut draft = Draft { workspace, at };
        let (value, change) = edit(&mut draft)?;
        self.check(&draft.workspace)?;
        let version = VersionFile::new(1, at, by, change, Some(&draft.workspace))?;
        let workspace = Arc::new(draft.workspace);
        let made = self.commit(workspace.id, &version);
        // One that may come to be has its number for good.
        if matches!(made, Ok(()) | Err(StoreError::Unsettled)) {
            self.next_workspace += 1;
        }
        made?;
        self.current.insert(workspace.id, Arc::clone(&workspace));
        self.swap();
        Ok(Changed { workspace, value })
    }

    /// Ends a workspace. Its number is never used again; its name is free.
    pub(super) fn delete(&mut self, order: Order) -> Result<(), StoreError> {
        let current = self.in_force(&order)?;
        if current.id == super::FIRST {
            let message = "the first workspace holds the first token and can't be deleted";
            return Err(Refusal::new(ErrorCode::Conflict, message).into());
        }
        let change = format!("workspace {} deleted", current.id);
        let version = VersionFile::new(current.version + 1, self.clock.now(), order.by, change, None)?;
        self.commit(current.id, &version)?;
        self.current.remove(&current.id);
        self.swap();
        Ok(())
    }

    fn in_force(&mut self, order: &Order) -> Result<Arc<Workspace>, StoreError> {
        self.settled()?;
        let current = self.current.get(&order.workspace).ok_or(StoreError::NoWorkspace(order.workspace))?;
        match order.expected {
            Some(expected) if expected != current.version => {
                Err(StoreError::OtherVersion { expected, in_force: current.version })
            }
            _ => Ok(Arc::clone(current)),
        }
    }

    /// Settles what is on its way. No change is made beside it, because it counts where names and keys have to be
    /// unique.
    fn settled(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.settle();
        self.swap();
        match (self.pending.is_empty(), self.log.status().refusal) {
            (true, _) => Ok(()),
            (false, Some(refusal)) => Err(StoreError::Log(refusal)),
            (false, None) => Err(StoreError::Unsettled),
        }
    }

    /// What must hold over all workspaces.
    fn check(&self, next: &Workspace) -> Result<(), Refusal> {
        check_name(&next.name)?;
        let conflict = |message: String| Refusal::new(ErrorCode::Conflict, message);
        let others = || self.current.values().filter(|other| other.id != next.id);
        if others().any(|other| other.name == next.name) {
            return Err(conflict(format!("there is a workspace named {:?} already", next.name)));
        }
        let mut write_keys: HashSet<&str> =
            others().flat_map(|other| &other.sources).map(|source| source.write_key.as_str()).collect();
        for source in &next.sources {
            if !write_keys.insert(&source.write_key) {
                return Err(conflict(format!(
                    "the write key of source {:?} belongs to another source already",
                    source.name
                )));
            }
        }
        let mut hashes: HashSet<&str> =
            others().flat_map(|other| &other.tokens).map(|token| token.hash.as_str()).collect();
        match next.tokens.iter().find(|token| !hashes.insert(&token.hash)) {
            Some(token) => Err(conflict(format!("token {:?} is in use already", token.name))),
            None => Ok(()),
        }
    }

    /// Makes a version durable: file, record, position.
    fn commit(&mut self, id: WorkspaceId, version: &VersionFile) -> Result<(), StoreError> {
        let result = self.files.write_version(id, version).and_then(|()| self.append(id, version));
        let VersionFile { version: number, by, change, .. } = version;
        match &result {
            Ok(()) => {
                metrics::workspace_change("made");
                tracing::info!(workspace = %id, version = number, %by, change, "workspace changed");
            }
            Err(StoreError::Log(AppendError::Unknown)) => {
                metrics::workspace_change("unsettled");
                tracing::warn!(workspace = %id, version = number, %by, change, "the log did not answer for a change: it is appended again");
                self.pending.insert(id, version.clone());
                return Err(StoreError::Unsettled);
            }
            Err(error) => {
                metrics::workspace_change("refused");
                tracing::warn!(workspace = %id, version = number, %by, %error, "workspace not changed");
                // After `Closed` the record may be durable; what is on disk decides at the next start.
                if !matches!(error, StoreError::Log(AppendError::Closed))
                    && let Err(error) = self.files.remove_version(id, version.version)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::error!(workspace = %id, version = number, %error, "cannot take the version back");
                }
            }
        }
        result
    }

    /// Appends the record of a version whose file is written, and writes the position.
    fn append(&self, id: WorkspaceId, version: &VersionFile) -> Result<(), StoreError> {
        let record = Record::of_workspace(id, version.version, version.at, version.document());
        let range = self.runtime.block_on(self.log.append(vec![record.encode()]))?;
        let position = Position::at(range.start);
        if let Err(source) = self.files.write_position(id, version.version, position) {
            // The version is in the log and yet can't be put into force: going on would make it a second time.
            (self.fatal)(&format!("cannot write the position of {id} version {}: {source}", version.version));
            return Err(StoreError::Log(AppendError::Closed));
        }
        Ok(())
    }

    /// Appends the versions that are on their way once more.
    fn settle(&mut self) {
        for (id, version) in std::mem::take(&mut self.pending) {
            match self.append(id, &version).and_then(|()| version.workspace()) {
                Ok(Some(workspace)) => {
                    tracing::info!(workspace = %id, version = version.version, "workspace version recovered");
                    self.current.insert(id, Arc::new(workspace));
                }
                Ok(None) => {
                    self.current.remove(&id);
                }
                Err(error) => {
                    tracing::warn!(workspace = %id, version = version.version, %error, "workspace version waits");
                    self.pending.insert(id, version);
                }
            }
        }
    }

    /// Puts what is in force before everybody, those who must not lag behind an answer first.
    fn swap(&self) {
        let snapshot = Arc::new(Snapshot::new(self.current.values().cloned().collect()));
        (self.in_force)(&snapshot);
        self.snapshot.send_replace(snapshot);
    }
}
