//! What the projector does now and then: checkpoints, snapshots, indexes, and word of what the log has to keep.

use super::run::Run;
use super::threads::{StoreJob, StoreThread};
use super::{
    PROTECT_DEFINITIONS, PROTECT_PROJECTOR, PROTECT_SNAPSHOT, ProjectorError, ProjectorOptions,
    ProjectorParts,
};
use crate::checkpoint::Checkpointer;
use crate::codec::Checkpoint;
use crate::state::State;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::TrySendError;
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::fail_points::crash_point;

/// From where records are needed that new definitions read again: by the state of now, by the checkpoint under way, and
/// by the last one in the store, from which a start after a crash goes on.
#[derive(Debug, Default)]
pub(super) struct Reads {
    now: u64,
    under_way: u64,
    stored: u64,
}

impl Reads {
    /// What the state says at the start.
    pub(super) fn start(&mut self, from: Option<u64>) {
        let from = from.unwrap_or(u64::MAX);
        *self = Self { now: from, under_way: from, stored: from };
    }

    /// What the state says now.
    pub(super) fn note(&mut self, from: Option<u64>) {
        self.now = from.unwrap_or(u64::MAX);
    }

    /// The last checkpoint is in the store, and one of the state of now begins.
    fn begin_checkpoint(&mut self) {
        self.stored = self.under_way;
        self.under_way = self.now;
    }

    fn needed(&self) -> u64 {
        self.now.min(self.under_way).min(self.stored)
    }
}

impl Run {
    pub(super) fn look_after_timers(&mut self) -> Result<(), ProjectorError> {
        let store = self.store.as_ref().expect("the store thread runs until the end");
        if store.thread.is_finished() {
            return Err(self.store_failure());
        }
        let dirty = self.state.dirty();
        let due = self.last_checkpoint.elapsed() >= self.options.checkpoint_interval && dirty > 0
            || dirty >= self.options.checkpoint_entries;
        if due && !self.state.is_applying() {
            self.checkpoint()?;
        }
        if let Ok(reply) = self.requests.try_recv() {
            self.checkpoint()?;
            self.store_job(StoreJob::Snapshot { reply: Some(reply) })?;
        }
        if Instant::now() >= self.next_snapshot {
            self.next_snapshot = Instant::now() + self.options.snapshot_interval;
            self.store_job(StoreJob::Snapshot { reply: None })?;
        }
        let recorded = self.parts.indexes.recorded();
        if self.last_index.elapsed() >= self.options.index_interval && recorded > 0
            || recorded >= self.options.index_entries
        {
            self.flush_index()?;
        }
        self.protect();
        Ok(())
    }

    /// Hands what changed to the store thread; waits for the checkpoint before it, if there is one.
    pub(super) fn checkpoint(&mut self) -> Result<(), ProjectorError> {
        self.await_append()?;
        self.await_store()?;
        self.last_checkpoint = Instant::now();
        if self.state.dirty() == 0 {
            return Ok(());
        }
        crash_point("projector::activations_durable");
        self.reads.note(self.machine.reads_from()?);
        self.reads.begin_checkpoint();
        let checkpoint = self.machine.checkpoint();
        let changes = self.state.begin_checkpoint();
        self.store_job(StoreJob::Checkpoint { changes, checkpoint })
    }

    /// Waits until the checkpoint under way is in the store.
    pub(super) fn await_store(&mut self) -> Result<(), ProjectorError> {
        while self.state.is_applying() {
            if self.store.as_ref().is_none_or(|store| store.thread.is_finished()) {
                return Err(self.store_failure());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        Ok(())
    }

    fn store_job(&mut self, job: StoreJob) -> Result<(), ProjectorError> {
        let store = self.store.as_ref().expect("the store thread runs until the end");
        if store.jobs.send(job).is_err() {
            return Err(self.store_failure());
        }
        Ok(())
    }

    fn store_failure(&mut self) -> ProjectorError {
        match self.store.take().map(|store| (drop(store.jobs), store.thread.join()).1) {
            Some(Ok(Err(error))) => error.into(),
            _ => ProjectorError::Thread("checkpoint"),
        }
    }

    fn flush_index(&mut self) -> Result<(), ProjectorError> {
        let index = self.index.as_ref().expect("the index thread runs until the end");
        self.last_index = Instant::now();
        match index.watermarks.try_send(self.machine.checkpoint().next) {
            Ok(()) | Err(TrySendError::Full(_)) => self.expire_index(),
            Err(TrySendError::Disconnected(_)) => {
                match self.index.take().map(|index| (drop(index.watermarks), index.thread.join()).1) {
                    Some(Ok(Err(error))) => Err(error.into()),
                    _ => Err(ProjectorError::Thread("index")),
                }
            }
        }
    }

    /// Drops index days that nothing needs: a later run reads the log again from a snapshot at the earliest,
    /// and asks for message ids as far back as a window before that.
    fn expire_index(&self) -> Result<(), ProjectorError> {
        let log_time = self.machine.checkpoint().log_time;
        let kept = self.options.snapshot_interval * (1 + self.options.snapshots_kept as u32);
        let needed = log_time.plus_micros(-micros(kept + self.options.message_window));
        self.parts.indexes.expire(log_time, self.parts.events.bounds().first, needed)?;
        Ok(())
    }

    /// Tells the events log what has to stay.
    pub(super) fn protect(&self) {
        let Some(store) = &self.store else { return };
        let recoverable = store.recoverable.load(Ordering::SeqCst);
        let needed = recoverable.min(self.parts.indexes.watermark());
        self.parts.events.protect(PROTECT_PROJECTOR, needed);
        let oldest = store.oldest_snapshot.load(Ordering::SeqCst);
        // Until there is a snapshot, a state that is lost can be made again from the whole log only.
        let first = if oldest == u64::MAX { 0 } else { oldest };
        self.parts.events.protect(PROTECT_SNAPSHOT, first);
        self.parts.events.protect(PROTECT_DEFINITIONS, self.reads.needed());
    }
}

/// A store thread for a generation.
pub(super) fn start_store(
    checkpointer: Checkpointer,
    state: &Arc<State>,
    checkpoint: Checkpoint,
    options: &ProjectorOptions,
    parts: &ProjectorParts,
) -> StoreThread {
    StoreThread::start(
        checkpointer,
        Arc::clone(state),
        checkpoint,
        parts.hash_key.fingerprint(),
        options.paths.snapshots.clone(),
        options.snapshots_kept,
    )
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
