//! The projector: reads the events log, drives the state machine, writes activations, makes checkpoints.
//!
//! One thread reads and projects; a second puts checkpoints into the store and takes snapshots; a third writes
//! the indexes. Order, which makes a crash harmless at any point:
//!
//! 1. A batch of records is applied and becomes visible; its activations are appended to their log.
//! 2. Activations up to a checkpoint are durable before the checkpoint's redo record is.
//! 3. Only what a durable redo record and durable indexes cover may be removed from the events log.
//!
//! After a start, activations that their log already holds are made again by the machine and not written
//! again: none is lost and none is there twice.
//!
//! An append that the activations log refuses (no space, no broker) is tried again until it is taken; nothing is
//! skipped. An events log that can't be read now is waited for.
//!
//! What time alone changes, and work that is too large for one record, is done when a tick is read (see [`crate::machine`]).
//! The projector appends ticks to the events log, one at a time: it learns that one is done by reading it. So ticks wait
//! behind the events that are there already, and a stop or a crash loses none: what is due then is due at the next start.
//!
//! A rebuild stops projecting until it is done: it is ordered by a record of the log, and what comes behind that is
//! resolved in the new graph. Reads go on meanwhile, from the old one.
//!
//! Where the log is in Kafka, the checkpoint's position is what a consumer is assigned at: it is durable in the same
//! record as the state. If the log no longer reaches back to it, the projector refuses to go on.

mod logs;
mod options;
mod rebuilding;
mod run;
mod threads;
mod ticking;
mod upkeep;

pub use options::{ProjectorOptions, ProjectorParts};

use crate::checkpoint::CheckpointError;
use crate::generation::{Generation, GenerationError};
use crate::machine::ProjectError;
use crate::rebuild::RebuildError;
use crate::snapshot::{Snapshot, SnapshotError};
use crate::state::State;
use run::Run;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::watch;
use tributary_eventlog::index::IndexError;
use tributary_eventlog::{AppendError, EventLog, ReadError};

/// The projector ended, and with it the process has to.
#[derive(Debug, thiserror::Error)]
pub enum ProjectorError {
    /// The state can't be opened nor made again.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// A checkpoint failed.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A record could not be projected.
    #[error(transparent)]
    Project(#[from] ProjectError),
    /// A graph could not be made again.
    #[error("the identity graph can't be made again")]
    Rebuild(#[from] RebuildError),
    /// A log can't be read.
    #[error("a log can't be read")]
    Log(#[from] ReadError),
    /// The indexes can't be written.
    #[error("the indexes can't be written")]
    Index(#[from] IndexError),
    /// The activations log was closed under the projector, or refused its last entries before a stop.
    #[error("the activations log refused the projector's entries")]
    Activations(#[source] AppendError),
    /// The events log ends before something that was read from it: a log never does that by itself.
    #[error(
        "the events log ends at sequence {end}, but was read up to {read}: its newest entries are lost; restore \
         the log from a backup, or move state, index and activations aside to go on with what it holds"
    )]
    LogLostEnd {
        /// Where the log ends.
        end: u64,
        /// Up to where it was read once.
        read: u64,
    },
    /// The events log lacks records between the state and its oldest one.
    #[error(
        "profiles are at record {next} of the events log, which begins with {first}: the records between were removed \
         before they were read; restore a snapshot that reaches {first}, or move state and snapshots aside to make \
         profiles of what the log still holds"
    )]
    LostHistory {
        /// The next record that the state needs.
        next: u64,
        /// The oldest one that is there.
        first: u64,
    },
    /// The projector's own scheduler can't be made.
    #[error("the projector can't be started")]
    Start(#[source] std::io::Error),
    /// One of the projector's threads is gone.
    #[error("the projector's {0} thread ended unexpectedly")]
    Thread(&'static str),
}

/// The reader names under which the events log keeps what the projector needs.
const PROTECT_PROJECTOR: &str = "projector";
const PROTECT_SNAPSHOT: &str = "snapshot";
const PROTECT_DEFINITIONS: &str = "definitions";

/// Makes retention keep everything until the projector says what it needs. To be called before retention
/// first runs.
pub fn protect_all(events: &dyn EventLog) {
    events.protect(PROTECT_PROJECTOR, 0);
    events.protect(PROTECT_SNAPSHOT, 0);
    events.protect(PROTECT_DEFINITIONS, 0);
}

/// Checks that the events log still holds every record that an activation was made from. To be called before the
/// log takes anything: a sequence that was given once must not be given again. Blocking.
///
/// # Errors
/// [`ProjectorError::LogLostEnd`], or if a log can't be read.
pub fn check_end(events: &dyn EventLog, activations: &dyn EventLog) -> Result<(), ProjectorError> {
    let last = logs::last_place(activations)?;
    check_read(events, last.map_or(0, |(position, _)| position.sequence + 1))
}

fn check_read(events: &dyn EventLog, read: u64) -> Result<(), ProjectorError> {
    let end = events.bounds().end;
    if read > end { Err(ProjectorError::LogLostEnd { end, read }) } else { Ok(()) }
}

/// How far the projector is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// Records below this sequence are visible to readers.
    pub visible: u64,
    /// Why the state is being made again, if it is.
    pub rebuilt: Option<String>,
}

type SnapshotReply = SyncSender<Result<Snapshot, SnapshotError>>;

/// A running projector.
pub struct Projector {
    state: Arc<State>,
    progress: watch::Receiver<Progress>,
    requests: SyncSender<SnapshotReply>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<Result<(), ProjectorError>>>>,
}

impl Projector {
    /// Opens the state, which may take a while, and starts projecting. `ended` is called when the projector
    /// ends for any reason but [`Projector::stop`]. Blocking.
    ///
    /// # Errors
    /// If the state can't be opened nor made again, or the logs can't be read.
    pub fn start(
        options: ProjectorOptions,
        parts: ProjectorParts,
        ended: impl FnOnce(ProjectorError) + Send + 'static,
    ) -> Result<Self, ProjectorError> {
        let generation = Generation::open(&options.paths, &parts.hash_key, options.store_cache_bytes)?;
        let state = Arc::new(State::new(
            Arc::clone(&generation.store),
            options.entry_cache_bytes,
            options.view_cache_bytes,
        ));
        state.columns().limit(options.columns_bytes_max);
        state.set_log_time(generation.checkpoint.log_time);
        let (progress_sender, progress) = watch::channel(Progress::default());
        let (requests, request_receiver) = sync_channel(4);
        let stop = Arc::new(AtomicBool::new(false));
        let mut run = Run::new(
            options,
            parts,
            generation,
            Arc::clone(&state),
            progress_sender,
            request_receiver,
            Arc::clone(&stop),
        )?;
        let thread = threads::spawn("projector", move || {
            let result = catch_unwind(AssertUnwindSafe(|| run.run()));
            match result.unwrap_or(Err(ProjectorError::Thread("main"))) {
                Err(error) => {
                    run.note_failure(&error);
                    ended(error);
                    Ok(())
                }
                Ok(()) => run.finish(),
            }
        });
        Ok(Self { state, progress, requests, stop, thread: Mutex::new(Some(thread)) })
    }

    /// The state for readers.
    pub fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// How far it is, as a value that can be awaited.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Takes a snapshot of the state as of the next checkpoint. Blocking.
    ///
    /// # Errors
    /// If it can't be written, too many are asked for at once, or the projector stops meanwhile.
    pub fn snapshot_blocking(&self) -> Result<Snapshot, SnapshotError> {
        let (reply, answer) = sync_channel(1);
        self.requests.try_send(reply).map_err(|_| SnapshotError::Busy)?;
        answer.recv().map_err(|_| SnapshotError::Busy)?
    }

    /// Projects what the events log holds, makes a last checkpoint, and ends. Blocking.
    ///
    /// # Errors
    /// If the last checkpoint could not be made: nothing is lost, but the next start has more to read.
    pub fn stop(&self) -> Result<(), ProjectorError> {
        self.stop.store(true, Ordering::SeqCst);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        match thread {
            Some(thread) => thread.join().map_err(|_| ProjectorError::Thread("main"))?,
            None => Ok(()),
        }
    }
}
