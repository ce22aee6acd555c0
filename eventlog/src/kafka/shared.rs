//! What appends, readers and the monitor of one log share: how far it reaches, and whether its brokers answer.

use super::tail::Tail;
use super::waiting::Waiting;
use crate::embedded::Fatal;
use crate::log::{AppendError, Bounds, Entry};
use crate::metrics::KafkaMetrics;
use bytes::Bytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Once the oldest append has been waiting for so long, further ones are refused until it has its answer.
pub(super) const STALL: Duration = Duration::from_secs(3);
/// After how long without any connection appends are refused. A connection that is made anew at once, as after a
/// broker closed an idle one, is nobody's concern.
const GRACE: Duration = Duration::from_millis(500);

/// See the module.
pub(super) struct Shared {
    pub(super) name: &'static str,
    pub(super) topic: String,
    /// The sequence of offset 0.
    pub(super) base: u64,
    pub(super) waiting: Waiting,
    pub(super) figures: KafkaMetrics,
    known: Mutex<Known>,
    grown: Condvar,
    end: watch::Sender<u64>,
    away: Mutex<Away>,
    monitor: OnceLock<Thread>,
    closed: AtomicBool,
    fatal: Fatal,
}

struct Known {
    bounds: Bounds,
    tail: Tail,
}

#[derive(Default)]
struct Away {
    /// Since when the client has had no connection, as far as it said.
    suspected: Option<Instant>,
    /// Whether it was told that the brokers don't answer.
    told: bool,
}

impl Shared {
    pub(super) fn new(
        name: &'static str,
        topic: String,
        base: u64,
        bounds: Bounds,
        tail_bytes: usize,
        waiting: Waiting,
        fatal: Fatal,
    ) -> Self {
        Self {
            name,
            topic,
            base,
            waiting,
            figures: KafkaMetrics::of(name),
            known: Mutex::new(Known { bounds, tail: Tail::new(tail_bytes) }),
            grown: Condvar::new(),
            end: watch::Sender::new(bounds.end),
            away: Mutex::default(),
            monitor: OnceLock::new(),
            closed: AtomicBool::new(false),
            fatal,
        }
    }

    pub(super) fn bounds(&self) -> Bounds {
        self.known().bounds
    }

    pub(super) fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    pub(super) fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        let (known, _) = self
            .grown
            .wait_timeout_while(self.known(), timeout, |known| known.bounds.end <= sequence)
            .unwrap_or_else(PoisonError::into_inner);
        known.bounds.end > sequence
    }

    /// The broker has stored an entry of ours. It becomes readable with [`Shared::advance`].
    pub(super) fn stored(&self, sequence: u64, entry: Bytes) {
        self.known().tail.push(sequence, entry);
    }

    /// The log is durable up to `end`.
    pub(super) fn advance(&self, end: u64) {
        let mut known = self.known();
        if end <= known.bounds.end {
            return;
        }
        known.bounds.end = end;
        // Under the lock, so that watchers never see the end move back.
        self.end.send_replace(end);
        drop(known);
        self.grown.notify_all();
    }

    /// Nothing below `first` is kept any more.
    pub(super) fn removed_below(&self, first: u64) {
        let mut known = self.known();
        known.bounds.first = known.bounds.first.max(first).min(known.bounds.end);
    }

    /// Bounds, and the entries from `from` on if they are held in memory.
    pub(super) fn read_tail(&self, from: u64, bytes_max: usize) -> (Bounds, Option<Vec<Entry>>) {
        let known = self.known();
        (known.bounds, known.tail.read(from, known.bounds.end, bytes_max))
    }

    /// Bounds, and one entry if it is held in memory.
    pub(super) fn get_tail(&self, sequence: u64) -> (Bounds, Option<Bytes>) {
        let known = self.known();
        (known.bounds, known.tail.get(sequence).cloned())
    }

    /// The newest entry that is held in memory and durable, with its sequence.
    pub(super) fn newest(&self) -> Option<(u64, Bytes)> {
        let known = self.known();
        let (sequence, entry) = known.tail.last()?;
        (sequence < known.bounds.end).then(|| (sequence, entry.clone()))
    }

    /// Why an append would be refused, if it would.
    pub(super) fn refusal(&self) -> Option<AppendError> {
        if self.is_closed() {
            return Some(AppendError::Closed);
        }
        let stalled = self.waiting.oldest().is_some_and(|age| age >= STALL);
        (stalled || self.is_away()).then_some(AppendError::Unreachable)
    }

    /// Whether the brokers count as away.
    pub(super) fn is_away(&self) -> bool {
        let away = self.away();
        away.told || away.suspected.is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// The client has lost its last connection. The monitor looks at once what that means.
    pub(super) fn suspect(&self) {
        self.away().suspected.get_or_insert_with(Instant::now);
        if let Some(monitor) = self.monitor.get() {
            monitor.unpark();
        }
    }

    /// The brokers don't answer. Told once.
    pub(super) fn lost_sight(&self, reason: &str) {
        let mut away = self.away();
        if !away.told && !self.is_closed() {
            away.told = true;
            tracing::warn!(
                log = self.name,
                topic = self.topic,
                reason,
                "Kafka does not answer: appends are refused until it does"
            );
        }
    }

    /// The brokers have answered a question that was asked at `asked_at`.
    pub(super) fn in_sight(&self, asked_at: Instant) {
        let mut away = self.away();
        // A connection that was lost after the question may still be lost.
        away.suspected = away.suspected.filter(|since| *since > asked_at);
        if std::mem::take(&mut away.told) {
            tracing::info!(log = self.name, topic = self.topic, "Kafka answers again");
        }
    }

    /// Whether there is something to look at before the next look is due.
    pub(super) fn is_suspected(&self) -> bool {
        self.away().suspected.is_some()
    }

    pub(super) fn set_monitor(&self, monitor: Thread) {
        // There is one monitor, started once.
        let _ = self.monitor.set(monitor);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    /// Ends the log for good: going on could contradict what was acknowledged.
    pub(super) fn fail(&self, reason: &str) {
        if !self.closed.swap(true, Ordering::AcqRel) {
            (self.fatal)(&format!("log {} in topic {}: {reason}", self.name, self.topic));
        }
    }

    pub(super) fn show_figures(&self) {
        let reachable = !self.is_away();
        self.figures.show(self.bounds(), self.waiting.entries(), self.waiting.bytes(), reachable);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn away(&self) -> MutexGuard<'_, Away> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
