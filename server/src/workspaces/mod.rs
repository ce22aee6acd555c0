//! The store of workspaces: immutable versions, each durable in a file and put into force by a record of the
//! events log.
//!
//! Every change makes the next version of one workspace, and readers get the new [`Snapshot`] whole. A change is
//! answered once it is durable in both places. Left out: removing versions that nothing refers to any more.

mod change;
mod files;
mod first;
mod owner;
mod snapshot;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tributary_eventlog::EventLog;
use tributary_model::clock::Clock;
use tributary_model::workspace::Scope;
use tributary_model::{ErrorCode, Position, Timestamp, WorkspaceId};

pub use change::{Author, Changed, Draft, Fault, Order, Refusal, StoreError};
pub use first::Credentials;
pub use snapshot::Snapshot;

use crate::credentials::{Secret, random_token, random_write_key};
use files::Files;
pub(crate) use first::is_first;
use owner::Owner;

/// The workspace that the first start creates. It holds the first token.
pub const FIRST: WorkspaceId = WorkspaceId(1);

/// The scopes of the token that a new workspace gets.
pub const WORKSPACE_SCOPES: [Scope; 3] = [Scope::ProfilesRead, Scope::AdminRead, Scope::AdminWrite];

/// How many changes may wait for their turn.
const JOBS_MAX: usize = 64;

/// Ends the process: called when going on could contradict what is durable.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// Told what is in force now; called by the one thread that makes changes, so it must not wait for a change.
pub type InForce = Arc<dyn Fn(&Arc<Snapshot>) + Send + Sync>;

type Job = Box<dyn FnOnce(&mut Owner) + Send>;

/// What the store needs.
pub struct StoreOptions {
    /// The events log.
    pub log: Arc<dyn EventLog>,
    /// The time of changes.
    pub clock: Arc<dyn Clock>,
    /// How the process is ended.
    pub fatal: Fatal,
    /// The credentials that were given.
    pub given: Given,
    /// The most workspaces, deleted ones not counted.
    pub workspaces_max: u64,
    /// Told of every version that came into force, before its change is answered.
    pub in_force: InForce,
}

/// The credentials that the environment gives.
#[derive(Debug, Default, Clone)]
pub struct Given {
    /// What the first token is to be; random where it is not given.
    pub admin_token: Option<Secret>,
    /// What the write key of the default source is to be; random where it is not given.
    pub write_key: Option<Secret>,
}

/// One row of a workspace's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionInfo {
    /// The version.
    pub version: u64,
    /// When it was made.
    pub at: Timestamp,
    /// By whom.
    pub by: Author,
    /// What changed.
    pub change: String,
}

/// A handle on the store; clones are handles on the same one. It ends when the last one is dropped.
#[derive(Clone)]
pub struct WorkspaceStore {
    jobs: mpsc::Sender<Job>,
    snapshot: watch::Receiver<Arc<Snapshot>>,
    files: Files,
}

impl std::fmt::Debug for WorkspaceStore {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "WorkspaceStore({:?})", self.files)
    }
}

impl WorkspaceStore {
    /// Opens the store in `data_dir/workspaces`. Brings versions into force that were on their way when the
    /// process ended, creates the first workspace with the first start, and takes over credentials that were
    /// given anew. Blocks until that is durable. The second value is what a first start has to show, once.
    ///
    /// # Errors
    /// If files can't be read or written, are damaged, or a change that the start has to make is refused.
    pub fn open(data_dir: &Path, options: StoreOptions) -> Result<(Self, Option<Credentials>), StoreError> {
        let files = Files::open(data_dir.join("workspaces"))?;
        let (opened, wait) = std::sync::mpsc::sync_channel(1);
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let of_owner = files.clone();
        std::thread::Builder::new().name("workspaces".to_owned()).spawn(move || {
            let StoreOptions { log, clock, fatal, given, workspaces_max, in_force } = options;
            let on_panic = Arc::clone(&fatal);
            let prepared =
                Owner::open(of_owner, log, clock, fatal, in_force, workspaces_max).and_then(|mut owner| {
                    let credentials = first::prepare(&mut owner, &given)?;
                    Ok((owner, credentials))
                });
            match prepared {
                Ok((owner, credentials)) => {
                    if opened.send(Ok((owner.snapshot(), credentials))).is_ok() {
                        let run = std::panic::AssertUnwindSafe(|| owner.run(queue));
                        if std::panic::catch_unwind(run).is_err() {
                            on_panic("the thread of workspaces panicked");
                        }
                    }
                }
                // Whoever waits is there: it waits for this very answer.
                Err(error) => drop(opened.send(Err(error))),
            }
        })?;
        let (snapshot, credentials) = wait.recv().map_err(|_| StoreError::Closed)??;
        Ok((Self { jobs, snapshot, files }, credentials))
    }

    /// What is in force now.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// What is in force, as a value whose changes can be awaited. It is swapped before a change is answered.
    pub fn watch(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// Makes the next version of a workspace. `edit` changes the draft, and gives a value for the caller and the
    /// words for the history. A change that leaves everything as it is makes no version. Once called it is
    /// carried through, even if the caller goes away.
    ///
    /// # Errors
    /// If `edit` refuses, a rule over all workspaces is broken, the expected version is not in force, or the
    /// change can't be made durable.
    pub async fn change<T, F>(&self, order: Order, edit: F) -> Result<Changed<T>, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Draft) -> Result<(T, String), Refusal> + Send + 'static,
    {
        self.ask(move |owner| owner.change(order, edit)).await
    }

    /// Creates a workspace with a source `default` and a token of its own.
    ///
    /// # Errors
    /// If the name is not one or is in use, the limit is reached, or it can't be made durable.
    pub async fn create(&self, by: Author, name: String) -> Result<Changed<Credentials>, StoreError> {
        check_name(&name)?;
        self.ask(move |owner| {
            owner.create(by, |draft| {
                let (token, key) = (random_token(), random_write_key());
                let made = first::furnish(draft, &name, "first", token, key, &WORKSPACE_SCOPES);
                Ok((made, format!("workspace {name} created")))
            })
        })
        .await
    }

    /// Deletes a workspace. Its number is never used again; its name is free.
    ///
    /// # Errors
    /// If it is the first one or does not exist, the expected version is not in force, or the end can't be made
    /// durable.
    pub async fn delete(&self, order: Order) -> Result<(), StoreError> {
        self.ask(move |owner| owner.delete(order)).await
    }

    /// Where in the events log a version came into force. Reads a small file; blocking.
    ///
    /// # Errors
    /// If there is no such version, or its file can't be read.
    pub fn position_of(&self, workspace: WorkspaceId, version: u64) -> Result<Position, StoreError> {
        self.files.read_position(workspace, version)
    }

    /// The history of a workspace, newest first, from below version `before`. Reads a small file for each row;
    /// blocking.
    ///
    /// # Errors
    /// If there is no such workspace, or a file can't be read.
    pub fn versions(
        &self,
        workspace: WorkspaceId,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<VersionInfo>, StoreError> {
        let snapshot = self.snapshot();
        let newest = snapshot.workspace(workspace).ok_or(StoreError::NoWorkspace(workspace))?.version;
        let from = before.map_or(newest, |before| before.saturating_sub(1).min(newest));
        let read = |version| {
            let file = self.files.read_version(workspace, version)?;
            Ok::<_, StoreError>(VersionInfo { version, at: file.at, by: file.by, change: file.change })
        };
        (1..=from).rev().take(limit).map(read).collect()
    }

    async fn ask<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Owner) -> Result<T, StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        // A caller that went away meanwhile does not undo the change.
        let job: Job = Box::new(move |owner| drop(answer.send(work(owner))));
        self.jobs.send(job).await.map_err(|_| StoreError::Closed)?;
        answered.await.map_err(|_| StoreError::Closed)?
    }
}

/// Whether a text can be the name of a workspace: 1 to 64 of `a-z`, `0-9`, `-`, `_`, beginning with a letter or
/// digit, and not in the form of a workspace's id.
///
/// # Errors
/// What a name has to look like.
pub fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    if begins && name.len() <= 64 && name.bytes().all(fits) && name.parse::<WorkspaceId>().is_err() {
        return Ok(());
    }
    let message = "`name` of a workspace: give 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit, \
                   and not in the form of an id such as ws_1";
    Err(Refusal::new(ErrorCode::InvalidRequest, message))
}

#[cfg(test)]
mod tests;
