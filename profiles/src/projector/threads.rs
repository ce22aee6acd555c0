//! The threads beside the projector's own: one for the store, one for the indexes.

use super::SnapshotReply;
use crate::checkpoint::{CheckpointError, Checkpointer};
use crate::codec::Checkpoint;
use crate::metrics;
use crate::snapshot;
use crate::state::{Changes, State};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tributary_eventlog::index::{IndexError, Indexes};

/// What the store's thread is asked to do.
pub(super) enum StoreJob {
    Checkpoint { changes: Arc<Changes>, checkpoint: Checkpoint },
    Snapshot { reply: Option<SnapshotReply> },
}

/// Starts a named thread.
pub(super) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    thread::Builder::new().name(name.to_owned()).spawn(run).expect("a thread can be started")
}

/// A store thread: puts checkpoints into the store and takes snapshots, one thing at a time.
pub(super) struct StoreThread {
    pub(super) jobs: SyncSender<StoreJob>,
    pub(super) thread: JoinHandle<Result<Checkpointer, CheckpointError>>,
    /// Below this sequence, the state survives a crash.
    pub(super) recoverable: Arc<AtomicU64>,
    /// The oldest snapshot's position; `u64::MAX` while there is none.
    pub(super) oldest_snapshot: Arc<AtomicU64>,
}

impl StoreThread {
    pub(super) fn start(
        mut checkpointer: Checkpointer,
        state: Arc<State>,
        mut applied: Checkpoint,
        hash_key: String,
        snapshots: PathBuf,
        kept: usize,
    ) -> Self {
        let (jobs, receiver) = sync_channel::<StoreJob>(1);
        state.columns().begin(applied);
        let recoverable = Arc::new(AtomicU64::new(applied.next));
        let oldest = snapshot::list(&snapshots).first().map_or(u64::MAX, |snapshot| snapshot.next);
        let oldest_snapshot = Arc::new(AtomicU64::new(oldest));
        let shared = (Arc::clone(&recoverable), Arc::clone(&oldest_snapshot));
        let thread = spawn("checkpoint", move || {
            let (recoverable, oldest_snapshot) = shared;
            while let Ok(job) = receiver.recv() {
                match job {
                    StoreJob::Checkpoint { changes, checkpoint } => {
                        let started = Instant::now();
                        let settling = state.columns().settle();
                        checkpointer.write(&changes, checkpoint, || {
                            recoverable.store(checkpoint.next, Ordering::SeqCst);
                        })?;
                        state.end_checkpoint();
                        settling.end(&state, &changes, checkpoint);
                        applied = checkpoint;
                        ::metrics::histogram!(metrics::CHECKPOINT_SECONDS).record(started.elapsed());
                        ::metrics::counter!(metrics::CHECKPOINT_ENTRIES).increment(changes.len() as u64);
                    }
                    StoreJob::Snapshot { reply } => {
                        let taken =
                            snapshot::export(&snapshots, checkpointer.store(), applied, &hash_key, kept);
                        if let Some(first) = snapshot::list(&snapshots).first() {
                            oldest_snapshot.store(first.next, Ordering::SeqCst);
                        }
                        match (&taken, reply) {
                            (_, Some(reply)) => drop(reply.send(taken)),
                            (Err(error), None) => tracing::error!(%error, "the snapshot was not taken"),
                            (Ok(_), None) => {}
                        }
                    }
                }
            }
            Ok(checkpointer)
        });
        Self { jobs, thread, recoverable, oldest_snapshot }
    }
}

/// A thread that writes the indexes when told up to where they are complete.
pub(super) struct IndexThread {
    pub(super) watermarks: SyncSender<u64>,
    pub(super) thread: JoinHandle<Result<(), IndexError>>,
}

impl IndexThread {
    pub(super) fn start(indexes: Arc<Indexes>) -> Self {
        let (watermarks, receiver) = sync_channel::<u64>(1);
        let thread = spawn("index", move || {
            while let Ok(watermark) = receiver.recv() {
                indexes.flush(watermark)?;
            }
            Ok(())
        });
        Self { watermarks, thread }
    }
}
