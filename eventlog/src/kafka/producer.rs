//! The way in: an append is as many messages as it has entries, which share one answer.
//!
//! The messages of an append go to the client under one lock, so appends are in the log as they were called. The
//! broker answers each message; when the last answer is there, the log's end moves and the append resolves.
//!
//! A message that the client can't tell the offset of, though it is stored (its request was lost, a later one was
//! answered), makes its append end with `Unknown`: the entries are there, but not where.

use super::client::log_line;
use super::options::Delivery;
use super::shared::Shared;
use crate::log::AppendError;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// The partition that every log is in.
pub(super) const PARTITION: i32 = 0;

type Answer = Result<Range<u64>, AppendError>;

/// Appends of one log.
pub(super) struct Producer {
    client: ThreadedProducer<Deliveries>,
    shared: Arc<Shared>,
    /// Keeps the entries of an append together, and appends in the order of their calls.
    order: Mutex<()>,
    entry_bytes_max: usize,
}

impl Producer {
    pub(super) fn new(
        config: &ClientConfig,
        shared: Arc<Shared>,
        delivery: Delivery,
        entry_bytes_max: usize,
    ) -> KafkaResult<Self> {
        let deliveries =
            Deliveries { shared: Arc::clone(&shared), delivery, failing: AtomicBool::new(false) };
        let client = config.create_with_context(deliveries)?;
        Ok(Self { client, shared, order: Mutex::default(), entry_bytes_max })
    }

    /// Hands an append to the client, or says why not.
    pub(super) fn send(&self, entries: Vec<Bytes>) -> Result<oneshot::Receiver<Answer>, AppendError> {
        let shared = &self.shared;
        let (answer, answered) = oneshot::channel();
        if let Some(refusal) = shared.refusal() {
            return Err(refusal);
        }
        if entries.is_empty() {
            let end = shared.bounds().end;
            // The receiver is held here, so it is there to take this.
            let _ = answer.send(Ok(end..end));
            return Ok(answered);
        }
        let mut bytes = 0;
        for entry in &entries {
            if entry.len() > self.entry_bytes_max {
                return Err(AppendError::TooLarge { bytes: entry.len(), limit: self.entry_bytes_max });
            }
            bytes += entry.len();
        }
        let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        // Closing takes the same lock: what is counted in below is waited for.
        if shared.is_closed() {
            return Err(AppendError::Closed);
        }
        let number = shared.waiting.begin(entries.len(), bytes).ok_or(AppendError::QueueFull)?;
        let count = entries.len();
        let progress =
            Progress { left: count, range: None, unplaced: false, failure: None, answer: Some(answer) };
        let append = Arc::new(Append { number, entries, bytes, progress: Mutex::new(progress) });
        for index in 0..count {
            let ticket = Box::new(Ticket { append: Arc::clone(&append), index });
            let record = BaseRecord::<(), [u8], Box<Ticket>>::with_opaque_to(&shared.topic, ticket)
                .partition(PARTITION)
                .payload(&append.entries[index]);
            if let Err((error, _)) = self.client.send(record) {
                let failure = match index {
                    0 => not_taken(&error),
                    _ => AppendError::Unknown,
                };
                append.report_rest(shared, count - index, &failure);
                break;
            }
        }
        Ok(answered)
    }

    /// Refuses what comes from now on, and waits until all that was taken has its answer. What has none after
    /// `within` is given up.
    pub(super) fn close(&self, within: Duration) {
        {
            let _order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            self.shared.close();
        }
        if !self.shared.waiting.wait_for_none(within) {
            let entries = self.shared.waiting.entries();
            tracing::warn!(log = self.shared.name, entries, "closed without the answer of Kafka");
            self.client.purge(PurgeConfig::default().queue().inflight());
            self.shared.waiting.wait_for_none(Duration::from_secs(1));
        }
    }

    /// The offsets of the oldest entry and of the end, from the broker. Blocking.
    pub(super) fn watermarks(&self, within: Duration) -> Result<(u64, u64), String> {
        let found = self.client.client().fetch_watermarks(&self.shared.topic, PARTITION, within);
        let (low, high) = found.map_err(|error| error.to_string())?;
        let offset = |offset: i64| u64::try_from(offset).map_err(|_| "the broker told no offsets".to_owned());
        Ok((offset(low)?, offset(high)?))
    }
}

/// An append on its way.
struct Append {
    number: u64,
    entries: Vec<Bytes>,
    bytes: usize,
    progress: Mutex<Progress>,
}

struct Progress {
    left: usize,
    /// The sequences of its entries so far.
    range: Option<Range<u64>>,
    /// An entry is stored, but nobody said where.
    unplaced: bool,
    failure: Option<AppendError>,
    answer: Option<oneshot::Sender<Answer>>,
}

impl Append {
    /// The answer for one entry: its sequence, as far as it is known.
    fn report(&self, shared: &Shared, index: usize, stored: Result<Option<u64>, AppendError>) {
        if let Ok(Some(sequence)) = stored {
            shared.stored(sequence, self.entries[index].clone());
        }
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match stored {
            Ok(Some(sequence)) => {
                let range = progress.range.get_or_insert(sequence..sequence + 1);
                *range = range.start.min(sequence)..range.end.max(sequence + 1);
            }
            Ok(None) => progress.unplaced = true,
            Err(error) => {
                progress.failure.get_or_insert(error);
            }
        }
        progress.left -= 1;
        if progress.left == 0 {
            self.finish(shared, &mut progress);
        }
    }

    /// The client did not take the last `count` entries.
    fn report_rest(&self, shared: &Shared, count: usize, failure: &AppendError) {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.failure.get_or_insert_with(|| failure.clone());
        progress.left -= count;
        if progress.left == 0 {
            self.finish(shared, &mut progress);
        }
    }

    fn finish(&self, shared: &Shared, progress: &mut Progress) {
        let range = progress.range.take();
        if let Some(range) = &range {
            shared.advance(range.end);
        }
        let took = shared.waiting.end(self.number, self.entries.len(), self.bytes);
        let result = match (progress.failure.take(), range) {
            (Some(failure), _) => Err(failure),
            (None, Some(range)) if !progress.unplaced => Ok(range),
            (None, _) => Err(AppendError::Unknown),
        };
        match &result {
            Ok(_) => shared.figures.delivered(self.entries.len() as u64, self.bytes as u64, took),
            Err(error) => shared.figures.refused(error),
        }
        if let Some(answer) = progress.answer.take() {
            // A caller that no longer waits has its entries all the same.
            let _ = answer.send(result);
        }
    }
}

/// What the client hands back with the answer for a message.
pub(super) struct Ticket {
    append: Arc<Append>,
    index: usize,
}

/// Takes the broker's answers and the client's complaints, on the client's thread.
pub(super) struct Deliveries {
    shared: Arc<Shared>,
    delivery: Delivery,
    /// The last message failed: the next failure is not told again.
    failing: AtomicBool,
}

impl Deliveries {
    fn failed(&self, error: &KafkaError) -> AppendError {
        let code = error.rdkafka_error_code();
        let given_up =
            code == Some(RDKafkaErrorCode::PurgeQueue) || code == Some(RDKafkaErrorCode::PurgeInflight);
        if !given_up && !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(log = self.shared.name, %error, "Kafka did not take an entry");
        }
        if self.delivery == Delivery::Always && !given_up {
            // One entry that is missing before one that is there would never be noticed.
            self.shared.fail(&format!("an entry could not be stored ({error})"));
        }
        AppendError::Unknown
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        log_line(level, facility, text);
    }

    fn stats_raw(&self, _statistics: &[u8]) {}

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(target: "librdkafka", %error, reason);
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::AllBrokersDown) {
            self.shared.suspect();
        } else if code == Some(RDKafkaErrorCode::Fatal) {
            self.shared.fail(&format!("the client can't go on ({reason})"));
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<Ticket>;

    fn delivery(&self, result: &DeliveryResult<'_>, ticket: Box<Ticket>) {
        let stored = match result {
            Ok(message) => {
                self.failing.store(false, Ordering::Relaxed);
                Ok(u64::try_from(message.offset()).ok().map(|offset| self.shared.base + offset))
            }
            Err((error, _)) => Err(self.failed(error)),
        };
        ticket.append.report(&self.shared, ticket.index, stored);
    }
}

/// Why the client did not take a message.
fn not_taken(error: &KafkaError) -> AppendError {
    let code = error.rdkafka_error_code();
    if code == Some(RDKafkaErrorCode::QueueFull) {
        AppendError::QueueFull
    } else if code == Some(RDKafkaErrorCode::Fatal) {
        AppendError::Closed
    } else {
        tracing::error!(%error, "the Kafka client did not take an entry");
        AppendError::Unreachable
    }
}
