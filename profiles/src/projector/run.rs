//! The projector's own thread: read, apply, publish, append.

use super::logs::{Reading, last_place};
use super::threads::{IndexThread, StoreThread};
use super::ticking::Ticking;
use super::upkeep::{Reads, start_store};
use super::{Progress, ProjectorError, ProjectorOptions, ProjectorParts, SnapshotReply, check_read};
use crate::checkpoint::{CheckpointError, write_now};
use crate::codec::Checkpoint;
use crate::generation::Generation;
use crate::machine::{Applied, Machine, ProjectError};
use crate::metrics;
use crate::rebuild::RebuildError;
use crate::snapshot;
use crate::state::State;
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tributary_eventlog::fail_points::crash_point;
use tributary_eventlog::{AppendError, AppendFuture, Entry, ReadError};
use tributary_model::{Activation, Position};

/// How many bytes of records one batch holds at most.
const BATCH_BYTES: usize = 256 << 10;
/// How many activations are appended at once: fewer than a start looks at to find the last place.
const APPEND_MAX: usize = 4000;
/// How many bytes of them, about.
const APPEND_BYTES: usize = 4 << 20;
/// How long the projector waits for new records before it looks after what is due by the clock.
pub(super) const IDLE: Duration = Duration::from_millis(200);
/// How long a stop goes on reading what is left in the log; the rest is for the next start.
pub(super) const DRAIN: Duration = Duration::from_secs(3);
/// How long after a start the first snapshot is taken, where there is none.
const FIRST_SNAPSHOT: Duration = Duration::from_secs(3600);

/// What the projector's thread owns.
pub(super) struct Run {
    pub(super) options: ProjectorOptions,
    pub(super) parts: ProjectorParts,
    pub(super) machine: Machine,
    pub(super) state: Arc<State>,
    pub(super) store: Option<StoreThread>,
    pub(super) index: Option<IndexThread>,
    progress: watch::Sender<Progress>,
    pub(super) requests: Receiver<SnapshotReply>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) generation_directory: PathBuf,
    reading: Reading,
    /// The largest place of an activation that their log already held at the start.
    written: Option<(Position, u32)>,
    /// The last append to the activations log, until it is known to be durable.
    appending: Option<(Vec<Bytes>, AppendFuture)>,
    /// Waits for appends; the projector's thread is no task.
    pub(super) waiter: tokio::runtime::Runtime,
    pub(super) ticking: Ticking,
    /// From where records are needed that new definitions read again.
    pub(super) reads: Reads,
    pub(super) last_checkpoint: Instant,
    pub(super) last_index: Instant,
    pub(super) next_snapshot: Instant,
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
        let machine = machine(&state, &parts, checkpoint, &options);
        let written = last_place(&*parts.activations)?;
        let generation_directory = generation.directory().to_owned();
        let store = start_store(generation.checkpointer, &state, checkpoint, &options, &parts);
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
            ticking: Ticking::default(),
            reads: Reads::default(),
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
        self.reads.start(self.machine.reads_from()?);
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
            if !self.apply(&entries)? {
                return Ok(());
            }
            if entries.is_empty() {
                if self.stop.load(Ordering::SeqCst) {
                    return Ok(());
                }
                self.look_after_timers()?;
                let wait = self.tick()?;
                self.parts.events.wait_past(next, wait);
            } else {
                self.publish()?;
                self.report();
                self.look_after_timers()?;
                self.tick()?;
            }
        }
    }

    /// Applies records; false if a stop came in between.
    fn apply(&mut self, entries: &[Entry]) -> Result<bool, ProjectorError> {
        for entry in entries {
            let Some(applied) = self.apply_one(entry)? else { return Ok(false) };
            match applied {
                Applied::Done => {}
                Applied::Rebuild { .. } => match self.rebuild(entry) {
                    // Its record is the first that the next start reads.
                    Err(ProjectorError::Rebuild(RebuildError::Stopped)) => return Ok(false),
                    rebuilt => rebuilt?,
                },
            }
            if self.machine.is_full() {
                self.publish()?;
                self.look_after_timers()?;
            }
        }
        Ok(true)
    }

    /// Applies a record. Where it needs older ones that can't be read now, that is waited for; `None` if a stop came in
    /// between: then the record is the first that the next start reads.
    fn apply_one(&mut self, entry: &Entry) -> Result<Option<Applied>, ProjectorError> {
        let mut told = false;
        loop {
            let reason = match self.machine.apply(entry.sequence, entry.frame, &entry.bytes) {
                Err(ProjectError::Log(ReadError::Unavailable(reason))) => reason,
                applied => return Ok(Some(applied?)),
            };
            if !std::mem::replace(&mut told, true) {
                tracing::warn!(
                    sequence = entry.sequence,
                    reason,
                    "older records can't be read now: the projector waits for them"
                );
            }
            if self.stop.load(Ordering::SeqCst) {
                self.publish()?;
                return Ok(None);
            }
            thread::park_timeout(IDLE);
        }
    }

    /// Makes what was applied visible, and appends what it brought.
    pub(super) fn publish(&mut self) -> Result<(), ProjectorError> {
        let activations = self.machine.publish();
        let visible = self.machine.checkpoint().next;
        self.progress.send_modify(|progress| progress.visible = visible);
        self.append(activations)
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
        let checkpoint = Checkpoint { next: first, ..checkpoint };
        self.machine = machine(&self.state, &self.parts, checkpoint, &self.options);
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
    pub(super) fn append(&mut self, activations: Vec<Activation>) -> Result<(), ProjectorError> {
        let written = self.written;
        let new = activations
            .iter()
            .filter(|activation| written.is_none_or(|written| activation.place() > written))
            .map(Activation::encode);
        let (mut chunk, mut bytes) = (Vec::new(), 0);
        for entry in new {
            bytes += entry.len();
            chunk.push(entry);
            if chunk.len() >= APPEND_MAX || bytes >= APPEND_BYTES {
                self.append_chunk(std::mem::take(&mut chunk))?;
                bytes = 0;
            }
        }
        self.append_chunk(chunk)
    }

    fn append_chunk(&mut self, entries: Vec<Bytes>) -> Result<(), ProjectorError> {
        self.await_append()?;
        if !entries.is_empty() {
            let future = self.parts.activations.append(entries.clone());
            self.appending = Some((entries, future));
        }
        Ok(())
    }

    /// Waits for the append under way, and tries it again while it is refused.
    ///
    /// Whole, every time: after `Unknown` some of it may be in the log already. Then it is there twice, in the same
    /// order, and readers pass over what is not behind what they have read. A part alone could not be told from a
    /// gap. (A log in Kafka that never gives up ends so only when it is closed, or when the place of a stored entry
    /// was not told.)
    pub(super) fn await_append(&mut self) -> Result<(), ProjectorError> {
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
                | ProjectorError::Rebuild(RebuildError::Old(_))
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

/// The machine that goes on from a checkpoint.
fn machine(
    state: &Arc<State>,
    parts: &ProjectorParts,
    checkpoint: Checkpoint,
    options: &ProjectorOptions,
) -> Machine {
    Machine::new(
        Arc::clone(state),
        Arc::clone(&parts.indexes),
        Arc::clone(&parts.events),
        parts.hash_key.clone(),
        checkpoint,
        options.resolution_cache_bytes,
    )
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
