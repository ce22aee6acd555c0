//! The thread that looks after a log: whether the brokers answer, how far the log reaches, what has to be
//! remembered of it.
//!
//! It asks the broker at an interval, so that a log without traffic knows too that its brokers are back, and so
//! that entries come into sight whose answers were lost.

use super::base::{Memory, MemoryFile, Witness};
use super::producer::Producer;
use super::reader::Readers;
use super::shared::{STALL, Shared};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How often it asks while brokers answer.
const LOOK: Duration = Duration::from_secs(1);
/// How often it asks while they don't.
const LOOK_AWAY: Duration = Duration::from_millis(250);
/// How long an answer may take.
pub(super) const ANSWER: Duration = Duration::from_secs(4);
/// The same while brokers don't answer, so that their return is noticed soon.
const ANSWER_AWAY: Duration = Duration::from_secs(2);
/// How often what is known of the topic is written down.
const REMEMBER: Duration = Duration::from_secs(10);
/// After how long a consumer that nobody uses is ended.
const IDLE: Duration = Duration::from_secs(60);
/// How often in a row a topic has to be shorter than it was before that is believed: a new leader may take a moment
/// to know how far it is.
const SHORTER_LOOKS: u32 = 5;

/// What the monitor works on.
pub(super) struct Parts {
    pub(super) shared: Arc<Shared>,
    pub(super) producer: Arc<Producer>,
    pub(super) pools: [Arc<Readers>; 2],
    pub(super) file: MemoryFile,
    pub(super) memory: Memory,
}

/// A running monitor.
pub(super) struct Monitor {
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Monitor {
    pub(super) fn start(parts: Parts) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&parts.shared), Arc::clone(&stop));
        let thread = thread::Builder::new()
            .name(format!("kafka-{}", shared.name))
            .spawn(move || Watch { parts, shorter: 0 }.run(&stopped))?;
        shared.set_monitor(thread.thread().clone());
        Ok(Self { stop, thread: Mutex::new(Some(thread)) })
    }

    /// Ends it; what is known of the topic is written down. Blocking.
    pub(super) fn stop(&self) {
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
        self.stop.store(true, Ordering::Release);
        thread.thread().unpark();
        if thread.join().is_err() {
            tracing::error!("the monitor of a log in Kafka panicked");
        }
    }
}

struct Watch {
    parts: Parts,
    /// How often in a row the topic was shorter than it had been.
    shorter: u32,
}

impl Watch {
    fn run(mut self, stop: &AtomicBool) {
        let mut remembered_at = Instant::now();
        while !stop.load(Ordering::Acquire) {
            self.look();
            if remembered_at.elapsed() >= REMEMBER {
                remembered_at = Instant::now();
                self.remember();
            }
            for pool in &self.parts.pools {
                pool.trim(IDLE);
            }
            self.parts.shared.show_figures();
            let away = self.is_away() || self.shorter > 0;
            thread::park_timeout(if away { LOOK_AWAY } else { LOOK });
        }
        self.remember();
    }

    fn is_away(&self) -> bool {
        self.parts.shared.is_away() || self.parts.shared.is_suspected()
    }

    fn look(&mut self) {
        let within = if self.is_away() { ANSWER_AWAY } else { ANSWER };
        let shared = &self.parts.shared;
        let (known, asked_at) = (shared.bounds().end, Instant::now());
        let (low, high) = match self.parts.producer.watermarks(within) {
            Ok(found) => found,
            Err(reason) => return shared.lost_sight(&reason),
        };
        let (first, end) = (shared.base + low, shared.base + high);
        if end < known {
            self.shorter += 1;
            shared.lost_sight("the topic is shorter than it was");
            if self.shorter >= SHORTER_LOOKS {
                shared.fail(&format!(
                    "the topic ends at sequence {end}, entries up to {known} had been acknowledged: the cluster lost data"
                ));
            }
            return;
        }
        self.shorter = 0;
        shared.advance(end);
        shared.removed_below(first);
        if shared.waiting.oldest().is_some_and(|age| age >= STALL) {
            shared.lost_sight("an append has been waiting for its answer for too long");
        } else {
            shared.in_sight(asked_at);
        }
    }

    fn remember(&mut self) {
        let Parts { shared, file, memory, .. } = &mut self.parts;
        let end = shared.bounds().end;
        if memory.end == end {
            return;
        }
        memory.end = end;
        if let Some((sequence, entry)) = shared.newest() {
            memory.witness = Some(Witness::of(sequence, &entry));
        }
        if let Err(error) = file.write(memory) {
            // What it held before is still true; it is only older.
            tracing::warn!(file = %file.path().display(), %error, "what is known of a topic can't be written down");
        }
    }
}
