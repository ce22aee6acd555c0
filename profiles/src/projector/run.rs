//! The projector's own thread: read, apply, publish, append, and the timers.

use super::logs::{Reading, last_place};
use super::threads::{IndexThread, StoreJob, StoreThread};
use super::{
    PROTECT_PROJECTOR, PROTECT_SNAPSHOT, Progress, ProjectorError, ProjectorOptions, ProjectorParts,
    SnapshotReply, check_read,
};
use crate::checkpoint::{CheckpointError, write_now};
use crate::codec::Checkpoint;
use crate::generation::Generation;
use crate::machine::{Machine, ProjectError};
use crate::metrics;
use crate::snapshot;
use crate::state::State;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, TrySendError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tributary_eventlog::fail_points::crash_point;
use tributary_eventlog::{AppendError, AppendFuture, ReadError};
use tributary_model::{Activation, Position};

/// How many bytes of records one batch holds at most.
const BATCH_BYTES: usize = 256 << 10;
/// How long the projector waits for new records before it looks after its timers.
const IDLE: Duration = Duration::from_millis(200);
/// How long a stop goes on reading what is left in the log; the rest is for the next start.
const DRAIN: Duration = Duration::from_secs(3);
/// How long after a start the first snapshot is taken, where there is none.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(3600);

/// What the projector's thread owns.
pub(super) struct Run {
    options: ProjectorOptions,
    parts: ProjectorParts,
    machine: Machine,
    state: Arc<State>,
    store: Option<StoreThread>,
    index: Option<IndexThread>,
    progress: watch::Sender<Progress>,
    requests: Receiver<SnapshotReply>,
    stop: Arc<AtomicBool>,
    generation_directory: PathBuf,
    reading: Reading,
    /// The largest place of an activation that their log already held at the start.
    written: Option<(Position, u32)>,
    /// The last append to the activations log, until it is known to be durable.
    appending: Option<(Vec<Bytes>, AppendFuture)>,
    /// Waits for appends; the projector's thread is no task.
    waiter: tokio::runtime::Runtime,
    last_checkpoint: Instant,
    last_index: Instant,
    next_snapshot: Instant,
}

impl Run {
    pub(super) fn new(
        options: ProjectorOptions,
        parts: ProjectorParts,
        generation: Generation,
        state: Arc<State>,
        progress: watch::Sender<Progress>,
        requests: Receiver<SnapshotReply>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, ProjectorError> {
        let checkpoint = generation.checkpoint;
        check_read(&*parts.events, checkpoint.next.max(parts.indexes.watermark()))?;
        let machine = Machine::new(
            Arc::clone(&state),
            Arc::clone(&parts.indexes),
            parts.hash_key.clone(),
            checkpoint,
            options.resolution_cache_bytes,
        );
        let written = last_place(&*parts.activations)?;
        let generation_directory = generation.directory().to_owned();
        let store = StoreThread::start(
            generation.checkpointer,
            Arc::clone(&state),
            checkpoint,
            parts.hash_key.fingerprint(),
            options.paths.snapshots.clone(),
            options.snapshots_kept,
        );
        let index = IndexThread::start(Arc::clone(&parts.indexes));
        progress.send_replace(Progress { visible: checkpoint.next, rebuilt: generation.rebuilt });
        let now = Instant::now();
        let next_snapshot = now + until_snapshot(&options);
        let waiter = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let run = Self {
            options,
            reading: Reading::new(Arc::clone(&parts.events)),
            parts,
            machine,
            state,
            store: Some(store),
            index: Some(index),
            progress,
            requests,
            stop,
            generation_directory,
            written,
            appending: None,
            waiter: waiter.map_err(ProjectorError::Start)?,
            last_checkpoint: now,
            last_index: now,
            next_snapshot,
        };
        run.protect();
        Ok(run)
    }

    pub(super) fn run(&mut self) -> Result<(), ProjectorError> {
        self.check_history()?;
        self.index_again()?;
        let mut stop_by: Option<Instant> = None;
        loop {
            if self.stop.load(Ordering::SeqCst) {
                let now = Instant::now();
                if now >= *stop_by.get_or_insert(now + DRAIN) {
                    return Ok(());
                }
            }
            crash_point("projector::read");
            let next = self.machine.checkpoint().next;
            let Some(entries) = self.reading.read(next, BATCH_BYTES)? else {
                if self.stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                self.look_after_timers()?;
                continue;
            };
            for entry in &entries {
                self.machine.apply(entry.sequence, entry.frame, &entry.bytes)?;
            }
            if entries.is_empty() {
                if self.stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                self.look_after_timers()?;
                self.parts.events.wait_past(next, IDLE);
            } else {
                let activations = self.machine.publish();
                let visible = self.machine.checkpoint().next;
                self.progress.send_modify(|progress| progress.visible = visible);
                self.append(activations)?;
                self.report();
                self.look_after_timers()?;
            }
        }
    }

    /// A state that the log no longer reaches back to is not carried over the hole: that takes a person's decision.
    /// A state that is made from nothing begins with what is there, since nothing better is left, and says so.
    fn check_history(&mut self) -> Result<(), ProjectorError> {
        let first = self.parts.events.bounds().first;
        let checkpoint = self.machine.checkpoint();
        if checkpoint.next >= first {
            return Ok(());
        }
        if checkpoint.next > 0 {
            return Err(ProjectorError::LostHistory { next: checkpoint.next, first });
        }
        tracing::error!(
            to = first,
            "profiles are made without the records before this one: the log lacks them"
        );
        self.machine = Machine::new(
            Arc::clone(&self.state),
            Arc::clone(&self.parts.indexes),
            self.parts.hash_key.clone(),
            Checkpoint { next: first, ..checkpoint },
            self.options.resolution_cache_bytes,
        );
        Ok(())
    }

    /// Reads again what the state has but the indexes lost with the memory of the last run.
    fn index_again(&mut self) -> Result<(), ProjectorError> {
        let mut next = self.parts.indexes.watermark().max(self.parts.events.bounds().first);
        let end = self.machine.checkpoint().next;
        while next < end {
            let Some(entries) = self.reading.read(next, BATCH_BYTES)? else {
                if self.stop.load(Ordering::SeqCst) {
                    // No good end: the indexes would be marked as whole.
                    return Err(
                        ReadError::Unavailable("told to stop before it could be read".to_owned()).into()
                    );
                }
                continue;
            };
            if entries.is_empty() {
                break;
            }
            for entry in entries.iter().filter(|entry| entry.sequence < end) {
                self.machine.index_only(entry.sequence, entry.frame, &entry.bytes)?;
            }
            next += entries.len() as u64;
        }
        Ok(())
    }

    /// Appends activations, but those that the log already holds. One append is under way at a time: a
    /// refused one must be tried again before the next, or the order would be lost.
    fn append(&mut self, activations: Vec<Activation>) -> Result<(), ProjectorError> {
        let written = self.written;
        let new: Vec<Bytes> = activations
            .iter()
            .filter(|activation| written.is_none_or(|written| activation.place() > written))
            .map(Activation::encode)
            .collect();
        self.await_append()?;
        if !new.is_empty() {
            let future = self.parts.activations.append(new.clone());
            self.appending = Some((new, future));
        }
        Ok(())
    }

    /// Waits for the append under way, and tries it again while it is refused.
    ///
    /// Whole, every time: after `Unknown` some of it may be in the log already. Then it is there twice, in the same
    /// order, and readers pass over what is not behind what they have read. A part alone could not be told from a
    /// gap. (A log in Kafka that never gives up ends so only when it is closed, or when the place of a stored entry
    /// was not told.)
    fn await_append(&mut self) -> Result<(), ProjectorError> {
        let Some((entries, mut future)) = self.appending.take() else { return Ok(()) };
        let mut stop_by: Option<Instant> = None;
        let mut told = false;
        loop {
            let answer = self.waiter.block_on(async { tokio::time::timeout(IDLE, &mut future).await });
            // A log elsewhere may take its time, or be away for a moment. A stop does not wait for long.
            let now = Instant::now();
            let is_over = self.stop.load(Ordering::SeqCst) && now >= *stop_by.get_or_insert(now + DRAIN);
            let error = match answer {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) => error,
                Err(_) if is_over => return Err(ProjectorError::Activations(AppendError::Unknown)),
                Err(_) => continue,
            };
            let is_hopeless = error == AppendError::Closed || error.retry_after_seconds().is_none();
            if is_hopeless || is_over {
                return Err(ProjectorError::Activations(error));
            }
            ::metrics::counter!(metrics::ACTIVATION_RETRIES).increment(1);
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(%error, "the activations log refused an append; it is tried again until it is taken");
            }
            thread::park_timeout(IDLE);
            future = self.parts.activations.append(entries.clone());
        }
    }

    fn look_after_timers(&mut self) -> Result<(), ProjectorError> {
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
    fn checkpoint(&mut self) -> Result<(), ProjectorError> {
        self.await_append()?;
        while self.state.is_applying() {
            if self.store.as_ref().is_none_or(|store| store.thread.is_finished()) {
                return Err(self.store_failure());
            }
            thread::park_timeout(Duration::from_millis(5));
        }
        self.last_checkpoint = Instant::now();
        if self.state.dirty() == 0 {
            return Ok(());
        }
        crash_point("projector::activations_durable");
        let checkpoint = self.machine.checkpoint();
        let changes = self.state.begin_checkpoint();
        self.store_job(StoreJob::Checkpoint { changes, checkpoint })
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
    fn protect(&self) {
        let Some(store) = &self.store else { return };
        let recoverable = store.recoverable.load(Ordering::SeqCst);
        let needed = recoverable.min(self.parts.indexes.watermark());
        self.parts.events.protect(PROTECT_PROJECTOR, needed);
        let oldest = store.oldest_snapshot.load(Ordering::SeqCst);
        // Until there is a snapshot, a state that is lost can be made again from the whole log only.
        let first = if oldest == u64::MAX { 0 } else { oldest };
        self.parts.events.protect(PROTECT_SNAPSHOT, first);
    }

    fn report(&self) {
        let next = self.machine.checkpoint().next;
        let end = self.parts.events.bounds().end;
        ::metrics::gauge!(metrics::PROJECTED_SEQUENCE).set(next as f64);
        ::metrics::gauge!(metrics::LAG).set(end.saturating_sub(next) as f64);
    }

    /// A damaged store is made again at the next start.
    pub(super) fn note_failure(&self, error: &ProjectorError) {
        let damaged = matches!(
            error,
            ProjectorError::Project(ProjectError::Store(_) | ProjectError::Graph(_))
                | ProjectorError::Checkpoint(CheckpointError::Store(_))
        );
        if damaged {
            Generation::mark_suspect(&self.generation_directory);
        }
    }

    /// The last checkpoint and the last write of the indexes.
    pub(super) fn finish(&mut self) -> Result<(), ProjectorError> {
        self.await_append()?;
        if let Some(index) = self.index.take() {
            drop(index.watermarks);
            index.thread.join().map_err(|_| ProjectorError::Thread("index"))??;
        }
        self.parts.indexes.flush(self.machine.checkpoint().next)?;
        if let Some(store) = self.store.take() {
            drop(store.jobs);
            let mut checkpointer =
                store.thread.join().map_err(|_| ProjectorError::Thread("checkpoint"))??;
            write_now(&mut checkpointer, &self.state, self.machine.checkpoint())?;
        }
        Ok(())
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// How long until the next snapshot is due: an interval after the newest one, also over restarts.
fn until_snapshot(options: &ProjectorOptions) -> Duration {
    let newest = snapshot::list(&options.paths.snapshots).pop();
    let age = newest.and_then(|newest| newest.path.metadata().ok()?.modified().ok()?.elapsed().ok());
    match age {
        Some(age) => options.snapshot_interval.saturating_sub(age),
        None => FIRST_SNAPSHOT.min(options.snapshot_interval),
    }
}
