//! The embedded log: segment files behind one writer thread that makes many appends durable with one fsync.
//!
//! Appends go into a bounded queue. The writer takes all that wait, writes them with one call, syncs once, moves
//! the durable end, and answers. While it syncs, the next ones gather: the slower the disk, the larger the group.
//!
//! What ends it: a failed fsync, or any write error but lack of room. The `fatal` hook is called, nothing pending
//! or later is acknowledged, and nothing is tried again; only a new start finds out what the disk holds.
//!
//! Left out: a lock on the directory, and the interval at which retention is called.

mod retention;
mod space;
#[cfg(test)]
mod tests;
mod writer;

use crate::log::{AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError};
use crate::metrics;
use crate::protected::Protected;
use crate::queue_limit::QueueLimit;
use crate::segment::{
    APPEND_BYTES_MAX, ENTRY_BYTES_MAX, Fs, OpenError, RealFs, SegmentLog, SegmentOptions, SegmentReader,
};
use bytes::Bytes;
use space::{Figures, SpaceGuard};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};

/// Called with a reason when the log can't go on, on the log's own thread: it must not wait for the log. The
/// server's ends the process.
pub type Fatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How a log behaves. [`LogOptions::new`] has the defaults.
#[derive(Clone)]
pub struct LogOptions {
    /// The log's name in metrics and thread names.
    pub name: &'static str,
    /// A segment file at least this long is followed by the next. 64 MB.
    pub segment_bytes: u64,
    /// Bytes of entries that share a frame; a larger entry has a frame of its own. 64 KB.
    pub frame_bytes: usize,
    /// Entries older than this are removed, by whole segments. None: they are kept.
    pub retention_age: Option<Duration>,
    /// The oldest segments are removed while more bytes than this are kept. None: they are kept.
    pub retention_bytes: Option<u64>,
    /// Appends are refused while less than this is free, or than `free_space_percent` where that is less. 2 GB.
    pub free_space_bytes: u64,
    /// Percent of the file system's size; see `free_space_bytes`. 5.
    pub free_space_percent: u8,
    /// Between the beginnings of two commits lies at least so long, and what comes meanwhile shares the next one. 2 ms.
    pub commit_interval: Duration,
    /// Free space is asked for at most this often while appending. 100 ms.
    pub space_check_interval: Duration,
    /// Appends that may wait. 16,384.
    pub queue_appends_max: usize,
    /// Bytes of entries that may wait; a single larger append is taken when none waits. 64 MB.
    pub queue_bytes_max: usize,
    /// The file system.
    pub fs: Arc<dyn Fs>,
    /// Tells when entries were written, for retention by age.
    pub clock: Arc<dyn Clock>,
}

impl LogOptions {
    /// The defaults, without retention.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            segment_bytes: 64 << 20,
            frame_bytes: 64 << 10,
            retention_age: None,
            retention_bytes: None,
            free_space_bytes: 2 << 30,
            free_space_percent: 5,
            commit_interval: Duration::from_millis(2),
            space_check_interval: Duration::from_millis(100),
            queue_appends_max: 16_384,
            queue_bytes_max: 64 << 20,
            fs: Arc::new(RealFs),
            clock: Arc::new(SystemClock),
        }
    }
}

/// See the module.
pub struct EmbeddedLog {
    state: Arc<State>,
    queue: SyncSender<Command>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// Held while files are removed, so that they go in order.
    removing: Mutex<()>,
}

/// What callers and the writer share.
struct State {
    options: LogOptions,
    reader: SegmentReader,
    end: watch::Sender<u64>,
    /// The durable end again, for those who wait without a runtime.
    end_reached: (Mutex<u64>, Condvar),
    protected: Protected,
    space: SpaceGuard,
    waiting: QueueLimit,
    closed: AtomicBool,
    figures: metrics::LogMetrics,
}

/// What the writer is asked to do.
enum Command {
    Append {
        entries: Vec<Bytes>,
        bytes: usize,
        answer: oneshot::Sender<Result<std::ops::Range<u64>, AppendError>>,
    },
    Retain {
        now: Timestamp,
        answer: SyncSender<Result<crate::segment::Detached, RetentionError>>,
    },
    Close,
}

impl EmbeddedLog {
    /// Opens the log in `dir`, or makes an empty one, and starts its writer. The process has to have installed its
    /// metrics recorder before.
    ///
    /// # Errors
    /// [`OpenError::Corrupt`] if what had been acknowledged is damaged, else what the file system says.
    pub fn open(dir: &Path, options: LogOptions, fatal: Fatal) -> Result<Self, OpenError> {
        let cut = SegmentOptions {
            segment_bytes: options.segment_bytes,
            frame_bytes: options.frame_bytes,
            clock: Arc::clone(&options.clock),
        };
        let log = SegmentLog::open(Arc::clone(&options.fs), dir, cut)?;
        let bounds = log.bounds();
        let (queue, commands) = sync_channel(options.queue_appends_max);
        let state = Arc::new(State {
            reader: log.reader(),
            end: watch::Sender::new(bounds.end),
            end_reached: (Mutex::new(bounds.end), Condvar::new()),
            protected: Protected::default(),
            space: SpaceGuard::new(dir, &options),
            waiting: QueueLimit::new(options.queue_bytes_max),
            closed: AtomicBool::new(false),
            figures: metrics::LogMetrics::of(options.name),
            options,
        });
        state.show_figures();
        let writer = start_writer(Arc::clone(&state), log, commands, fatal)
            .map_err(|source| OpenError::Io { dir: dir.to_owned(), source })?;
        Ok(Self { state, queue, writer: Mutex::new(Some(writer)), removing: Mutex::new(()) })
    }

    /// Queues an append, or says why not.
    fn enqueue(
        &self,
        entries: Vec<Bytes>,
    ) -> Result<oneshot::Receiver<Result<std::ops::Range<u64>, AppendError>>, AppendError> {
        let state = &self.state;
        if state.closed.load(Ordering::Acquire) {
            return Err(AppendError::Closed);
        }
        let bytes = total_bytes(&entries)?;
        let (answer, answered) = oneshot::channel();
        if entries.is_empty() {
            let end = state.reader.bounds().end;
            // The receiver is held here, so it is there to take this.
            let _ = answer.send(Ok(end..end));
            return Ok(answered);
        }
        if !state.waiting.take(bytes) {
            return Err(AppendError::QueueFull);
        }
        self.queue.try_send(Command::Append { entries, bytes, answer }).map_err(|refused| {
            state.waiting.give_back(bytes);
            match refused {
                TrySendError::Full(_) => AppendError::QueueFull,
                TrySendError::Disconnected(_) => AppendError::Closed,
            }
        })?;
        Ok(answered)
    }
}

fn start_writer(
    state: Arc<State>,
    log: SegmentLog,
    commands: Receiver<Command>,
    fatal: Fatal,
) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(format!("log-{}", state.options.name))
        .spawn(move || writer::Writer::new(state, log, commands, fatal).run())
}

/// The bytes of an append, if they are within the limits.
fn total_bytes(entries: &[Bytes]) -> Result<usize, AppendError> {
    let mut total = 0;
    for entry in entries {
        if entry.len() > ENTRY_BYTES_MAX {
            return Err(AppendError::TooLarge { bytes: entry.len(), limit: ENTRY_BYTES_MAX });
        }
        total += entry.len();
    }
    match total <= APPEND_BYTES_MAX {
        true => Ok(total),
        false => Err(AppendError::TooLarge { bytes: total, limit: APPEND_BYTES_MAX }),
    }
}

impl State {
    /// Why an append would be refused, if it would.
    fn refusal(&self, figures: Figures) -> Option<AppendError> {
        if self.closed.load(Ordering::Acquire) {
            return Some(AppendError::Closed);
        }
        self.space
            .refusal(figures)
            .or_else(|| retention::backlog(&self.reader, &self.options, &self.protected))
    }

    fn show_figures(&self) {
        let free_bytes = self.space.free_bytes();
        self.figures.show(self.reader.bounds(), self.reader.kept_bytes(), self.waiting.bytes(), free_bytes);
    }

    /// Lets everyone see that the log is durable up to `end`.
    fn advance(&self, end: u64) {
        let (reached, moved) = &self.end_reached;
        *reached.lock().unwrap_or_else(PoisonError::into_inner) = end;
        moved.notify_all();
        self.end.send_replace(end);
    }
}

impl EventLog for EmbeddedLog {
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture {
        match self.enqueue(entries) {
            // A writer that ended without an answer acknowledges nothing.
            Ok(answered) => Box::pin(async move { answered.await.unwrap_or(Err(AppendError::Closed)) }),
            Err(refused) => {
                self.state.figures.refused(&refused);
                Box::pin(std::future::ready(Err(refused)))
            }
        }
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        self.state.reader.read(from, bytes_max)
    }

    fn read_one(&self, sequence: u64, _frame: u64) -> Result<Option<Bytes>, ReadError> {
        // The sparse index finds the frame by any of its sequences.
        self.state.reader.read_one(sequence)
    }

    fn bounds(&self) -> Bounds {
        self.state.reader.bounds()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.state.end.subscribe()
    }

    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        let (reached, moved) = &self.state.end_reached;
        let end = reached.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, _) = moved
            .wait_timeout_while(end, timeout, |end| *end <= sequence)
            .unwrap_or_else(PoisonError::into_inner);
        *end > sequence
    }

    fn protect(&self, reader: &'static str, from: u64) {
        self.state.protected.set(reader, from);
    }

    fn status(&self) -> LogStatus {
        let refusal = self.state.refusal(Figures::Fresh);
        self.state.show_figures();
        LogStatus { accepting: refusal.is_none(), refusal, bytes_kept: self.state.reader.kept_bytes() }
    }

    fn enforce_retention(&self, now: Timestamp) -> Result<Bounds, RetentionError> {
        let _removing = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, answered) = sync_channel(1);
        self.queue.send(Command::Retain { now, answer }).map_err(|_| RetentionError::Closed)?;
        let detached = answered.recv().map_err(|_| RetentionError::Closed)??;
        // Removing large files takes a while: here, not in the writer's time.
        let segments = detached.len();
        detached.remove()?;
        let bounds = self.bounds();
        if segments > 0 {
            tracing::info!(log = self.state.options.name, segments, first = bounds.first, "segments expired");
        }
        self.state.show_figures();
        Ok(bounds)
    }

    fn close(&self) {
        self.state.closed.store(true, Ordering::Release);
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(writer) = writer.take() {
            // A writer that has ended by itself takes no command; joining it is all there is to do.
            let _ = self.queue.send(Command::Close);
            if writer.join().is_err() {
                tracing::error!(log = self.state.options.name, "the log's writer panicked");
            }
        }
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.close();
    }
}
