//! A log in a topic of Kafka: one partition, whose offsets are the sequences.
//!
//! **Writing.** An entry is a message of partition 0, `sequence = base + offset`. The producer is idempotent and
//! waits for all in-sync replicas, so an answer says that the entry is durable by the cluster's measure (Kafka
//! answers before it syncs: replication, not a disk, makes it safe against a loss of power). A future resolves once
//! every entry of its append has been answered.
//!
//! An append is in order but not whole. What that means depends on [`Delivery`]:
//!
//! - `Within`: an append without an answer in time ends with `Unknown`, and later ones go on. Entries of it may be
//!   stored, or not, and later entries may be stored without earlier ones. The events log is like that: what was not
//!   acknowledged is posted again, and repeats are dropped by message id.
//! - `Always`: the client never gives up while the process lives, and stops the log if an entry is refused for good.
//!   So whatever a crash cuts short, the log holds a prefix of what was appended, with no gap. The activations log is
//!   like that: after a restart the projector goes on behind the last one.
//!
//! What a killed process had sent may arrive after its successor began. Nothing here fences it off: such entries are
//! part of the log like any other, and readers drop what they have seen, events by message id and activations by
//! place.
//!
//! **Brokers away.** Appends are refused with `Unreachable` once the client has had no connection for 0.5 s, and from
//! the moment that the oldest append has waited 3 s for its answer. A thread asks the brokers at an
//! interval, so their return is noticed without traffic. Reads answer `Unavailable`.
//!
//! **Reading.** The newest entries are held in memory; everything else comes from a few consumers that are assigned
//! by hand, without a group and without commits. Where a reader is stays with the reader: the projector's position
//! is part of its checkpoint, in the same atomic record as the state, a destination's cursor part of its commit; with
//! that position a consumer is assigned. A position that the topic no longer reaches back to is
//! `ReadError::Expired`, never a jump (`auto.offset.reset=error`).
//!
//! **Retention.** By age only, by removing records, never past a protected reader; the brokers' own retention is
//! switched off. A limit in bytes is not kept here.
//!
//! **What is remembered** beside the state (`base`): the topic, its cluster, how far it reached, and the checksum
//! of an entry. A topic that does not agree is refused.
//!
//! Left out: transactions, more than one partition, and fencing between processes.

mod base;
mod client;
mod error;
mod find;
mod monitor;
mod options;
mod producer;
mod reader;
mod shared;
mod tail;
#[cfg(test)]
mod tests;
mod topics;
mod waiting;

pub use error::KafkaOpenError;
pub use options::{Delivery, KafkaOptions, Settings, TopicSetup};
pub use topics::{BrokerTopics, GivenTopics, Since, Topics, WantedTopic};

use crate::embedded::Fatal;
use crate::log::{AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError};
use crate::protected::Protected;
use base::{MemoryFile, Witness};
use bytes::Bytes;
use monitor::{ANSWER, Monitor, Parts};
use options::client_error;
use producer::Producer;
use reader::{Failure, Readers};
use shared::Shared;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tributary_model::Timestamp;
use waiting::Waiting;

/// How long a read waits for an entry that is known to be there.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// The same while no broker answers: what was fetched ahead is still given.
const READ_WITHIN_AWAY: Duration = Duration::from_millis(200);
/// How often a read that met a loss is tried with another consumer before the loss is believed.
const READ_AGAIN: usize = 2;
/// How long closing waits for answers that are still out.
const CLOSE_WITHIN: Duration = Duration::from_secs(4);

/// See the module.
pub struct KafkaLog {
    shared: Arc<Shared>,
    producer: Arc<Producer>,
    /// For reading on in order.
    readers: Arc<Readers>,
    /// For single entries.
    lookups: Arc<Readers>,
    topics: Arc<dyn Topics>,
    retention_age: Option<Duration>,
    protected: Protected,
    /// Held while entries are removed.
    removing: Mutex<()>,
    monitor: Monitor,
}

/// The file in a data directory that tells that the log of that name is in Kafka.
pub fn memory_file(directory: &Path, log: &str) -> PathBuf {
    directory.join(base::file_name(log))
}

impl KafkaLog {
    /// Opens the log, whose topic is created if it is missing. `directory` remembers the topic. Waits for the brokers
    /// as long as the options say. The process has to have installed its metrics recorder before. Blocking.
    ///
    /// # Errors
    /// If a setting can't be used, no broker answers, or the topic is not the one remembered, or not as it has to be.
    pub fn open(
        options: KafkaOptions,
        directory: &Path,
        topics: Arc<dyn Topics>,
        fatal: Fatal,
    ) -> Result<Self, KafkaOpenError> {
        let producer_config = options.producer_config()?;
        let entry_bytes_max = options.largest_entry()?;
        let wanted = WantedTopic::of(&options)?;
        let found = find::find(&options, &*topics, &wanted)?;
        let file = MemoryFile::new(directory, options.name);
        let memory = file.check(&wanted.name, found.cluster.as_deref(), found.high)?;
        let pool = |config, readers_max| Arc::new(Readers::new(config, wanted.name.clone(), readers_max));
        let readers = pool(options.reader_config(), options.readers_max);
        let lookups = pool(options.lookup_config(), options.lookups_max);
        let bounds = Bounds { first: memory.base + found.low, end: memory.base + found.high };
        if let Some(witness) = memory.witness.filter(|witness| witness.sequence >= bounds.first) {
            check_witness(&options, &file, &lookups, memory.base, witness)?;
        }
        file.write(&memory).map_err(|error| KafkaOpenError::Memory {
            file: file.path().to_owned(),
            problem: error.to_string(),
        })?;
        let waiting = Waiting::new(options.queue_appends_max, options.queue_bytes_max);
        let shared = Arc::new(Shared::new(
            options.name,
            wanted.name.clone(),
            memory.base,
            bounds,
            options.tail_bytes,
            waiting,
            fatal,
        ));
        let producer =
            Producer::new(&producer_config, Arc::clone(&shared), options.delivery, entry_bytes_max)
                .map_err(|error| client_error(&error))?;
        let producer = Arc::new(producer);
        wait_for_connection(&options, &shared, &producer)?;
        let monitor = Monitor::start(Parts {
            shared: Arc::clone(&shared),
            producer: Arc::clone(&producer),
            pools: [Arc::clone(&readers), Arc::clone(&lookups)],
            file,
            memory,
        })
        .map_err(KafkaOpenError::Thread)?;
        tracing::info!(
            log = options.name,
            topic = wanted.name,
            first = bounds.first,
            end = bounds.end,
            "log in Kafka opened"
        );
        Ok(Self {
            shared,
            producer,
            readers,
            lookups,
            topics,
            retention_age: options.retention_age,
            protected: Protected::default(),
            removing: Mutex::default(),
            monitor,
        })
    }

    /// Entries from the broker: at least one of those from `from` to below `end`.
    fn fetch_entries(
        &self,
        readers: &Readers,
        from: u64,
        end: u64,
        bytes_max: usize,
    ) -> Result<Vec<Bytes>, ReadError> {
        let shared = &self.shared;
        shared.figures.read_from_broker();
        let mut tries = 0;
        loop {
            let within = if shared.is_away() { READ_WITHIN_AWAY } else { READ_WITHIN };
            let what = match readers.read(from - shared.base, end - shared.base, bytes_max, within) {
                Ok(entries) => return Ok(entries),
                Err(Failure::Later(reason)) => return Err(ReadError::Unavailable(reason)),
                Err(Failure::OutOfRange) => "the topic does not reach that far any more",
                Err(Failure::Gap(_)) => "the topic goes on behind them",
                Err(Failure::Damaged) => "what the broker sends is damaged",
            };
            let (low, _) = self.producer.watermarks(ANSWER).map_err(ReadError::Unavailable)?;
            shared.removed_below(shared.base + low);
            let first = shared.bounds().first;
            if from < first {
                return Err(ReadError::Expired { first });
            }
            if tries == READ_AGAIN {
                let place = format!("topic {}", shared.topic);
                return Err(ReadError::Lost { place, sequence: from, what });
            }
            tries += 1;
        }
    }

    /// Removes what was written before `at`, as far as readers allow.
    fn remove_older(&self, at: Timestamp) -> Result<Bounds, RetentionError> {
        let shared = &self.shared;
        let since = self.topics.since(&shared.topic, at).map_err(RetentionError::Broker)?;
        let bounds = shared.bounds();
        let young = match since {
            Since::Offset(offset) => shared.base + offset,
            Since::End => bounds.end,
            Since::Unknown => return Ok(bounds),
        };
        let needed = self.protected.lowest().map_or(u64::MAX, |(_, from)| from);
        let before = young.min(needed).min(bounds.end);
        if before > bounds.first {
            let low = self
                .topics
                .delete_before(&shared.topic, before - shared.base)
                .map_err(RetentionError::Broker)?;
            shared.removed_below(shared.base + low);
            tracing::info!(log = shared.name, first = shared.base + low, "entries expired");
        }
        Ok(shared.bounds())
    }
}

/// Waits until the producer reaches the topic's leader: an append right after the open finds it connected.
fn wait_for_connection(
    options: &KafkaOptions,
    shared: &Shared,
    producer: &Producer,
) -> Result<(), KafkaOpenError> {
    let by = Instant::now() + options.start_timeout;
    loop {
        let asked_at = Instant::now();
        match producer.watermarks(ANSWER) {
            Ok(_) => {
                shared.in_sight(asked_at);
                return Ok(());
            }
            Err(reason) if Instant::now() >= by => return Err(unreachable(options, reason)),
            Err(_) => thread::park_timeout(Duration::from_millis(100)),
        }
    }
}

fn unreachable(options: &KafkaOptions, reason: String) -> KafkaOpenError {
    KafkaOpenError::Unreachable {
        brokers: options.brokers_text(),
        seconds: options.start_timeout.as_secs(),
        reason,
    }
}

/// Whether the entry that is remembered is where it was.
fn check_witness(
    options: &KafkaOptions,
    file: &MemoryFile,
    lookups: &Readers,
    base: u64,
    witness: Witness,
) -> Result<(), KafkaOpenError> {
    let offset = witness.sequence - base;
    match lookups.read(offset, offset + 1, 1, options.start_timeout) {
        Ok(entries) if entries.iter().all(|entry| Witness::of(witness.sequence, entry) == witness) => Ok(()),
        Err(Failure::Later(reason)) => Err(unreachable(options, reason)),
        Ok(_) | Err(Failure::OutOfRange | Failure::Gap(_) | Failure::Damaged) => {
            Err(file.other_witness(&options.topic, witness.sequence))
        }
    }
}

impl EventLog for KafkaLog {
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture {
        match self.producer.send(entries) {
            // A client that ended without an answer acknowledges nothing.
            Ok(answered) => Box::pin(async move { answered.await.unwrap_or(Err(AppendError::Unknown)) }),
            Err(refused) => {
                self.shared.figures.refused(&refused);
                Box::pin(std::future::ready(Err(refused)))
            }
        }
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let (bounds, held) = self.shared.read_tail(from, bytes_max);
        if from < bounds.first {
            return Err(ReadError::Expired { first: bounds.first });
        }
        if from >= bounds.end {
            return Ok(Vec::new());
        }
        if let Some(read) = held {
            self.shared.figures.read_from_tail();
            return Ok(read);
        }
        let entries = self.fetch_entries(&self.readers, from, bounds.end, bytes_max)?;
        let numbered = (from..).zip(entries);
        Ok(numbered.map(|(sequence, bytes)| Entry { sequence, frame: sequence, bytes }).collect())
    }

    fn read_one(&self, sequence: u64, _frame: u64) -> Result<Option<Bytes>, ReadError> {
        let (bounds, held) = self.shared.get_tail(sequence);
        if sequence < bounds.first {
            return Err(ReadError::Expired { first: bounds.first });
        }
        if sequence >= bounds.end {
            return Ok(None);
        }
        if let Some(entry) = held {
            self.shared.figures.read_from_tail();
            return Ok(Some(entry));
        }
        let entries = self.fetch_entries(&self.lookups, sequence, sequence + 1, 1)?;
        Ok(entries.into_iter().next())
    }

    fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.shared.watch()
    }

    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        self.shared.wait_past(sequence, timeout)
    }

    fn protect(&self, reader: &'static str, from: u64) {
        self.protected.set(reader, from);
    }

    fn status(&self) -> LogStatus {
        let refusal = self.shared.refusal();
        self.shared.show_figures();
        LogStatus { accepting: refusal.is_none(), refusal, bytes_kept: 0 }
    }

    fn enforce_retention(&self, now: Timestamp) -> Result<Bounds, RetentionError> {
        if self.shared.is_closed() {
            return Err(RetentionError::Closed);
        }
        // While no broker answers there is nothing to try; the next call comes.
        let Some(age) = self.retention_age.filter(|_| !self.shared.is_away()) else {
            return Ok(self.bounds());
        };
        let _removing = self.removing.lock().unwrap_or_else(PoisonError::into_inner);
        self.remove_older(now.plus_micros(-i64::try_from(age.as_micros()).unwrap_or(i64::MAX)))
    }

    fn close(&self) {
        self.producer.close(CLOSE_WITHIN);
        self.monitor.stop();
    }
}

impl Drop for KafkaLog {
    fn drop(&mut self) {
        self.close();
    }
}
