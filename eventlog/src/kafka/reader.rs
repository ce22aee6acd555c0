//! The way out: a few consumers, assigned by hand to an offset each.
//!
//! A reader that goes on where it stopped gets the consumer that stands there, with what it has fetched ahead; any
//! other read takes an idle one and assigns it anew. No group is joined, and nothing is committed: positions are
//! kept by whoever reads.
//!
//! Offsets of a log have no gaps, since nothing but entries is written. So an offset that is not the one expected
//! is loss, and is told as such.

use super::client::Quiet;
use super::producer::PARTITION;
use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Why entries could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The broker keeps nothing at that offset.
    OutOfRange,
    /// An entry is missing: the next one has this offset.
    Gap(u64),
    /// What the broker sent is damaged.
    Damaged,
    /// Nothing came in time, or the client failed.
    Later(String),
}

/// A bounded pool of consumers of one topic.
pub(super) struct Readers {
    config: ClientConfig,
    topic: String,
    readers_max: usize,
    pool: Mutex<Pool>,
    freed: Condvar,
}

#[derive(Default)]
struct Pool {
    idle: Vec<Reader>,
    at_work: usize,
}

struct Reader {
    consumer: BaseConsumer<Quiet>,
    /// The offset that it gives next; `None` if it has to be assigned first.
    next: Option<u64>,
    /// The entry of that offset, if it was taken from the consumer already.
    held: Option<Bytes>,
    used: Instant,
}

/// Whether a consumer can be used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Fine,
    Broken,
}

impl Readers {
    pub(super) fn new(config: ClientConfig, topic: String, readers_max: usize) -> Self {
        Self { config, topic, readers_max: readers_max.max(1), pool: Mutex::default(), freed: Condvar::new() }
    }

    /// Entries from offset `from` to below `end`, which is durable: at least one, then as many as fit into
    /// `bytes_max` bytes and come in time. Blocking.
    pub(super) fn read(
        &self,
        from: u64,
        end: u64,
        bytes_max: usize,
        within: Duration,
    ) -> Result<Vec<Bytes>, Failure> {
        let by = Instant::now() + within;
        let mut reader = self.take(from, by)?;
        let mut read = Vec::new();
        let (result, health) = match reader.assign(&self.topic, from) {
            Ok(()) => reader.collect(&mut read, end, bytes_max, by),
            Err(error) => (Err(Failure::Later(error.to_string())), Health::Broken),
        };
        self.put_back(reader, health);
        match result {
            // What came before the failure is good; the next read meets it again.
            Err(_) if !read.is_empty() => Ok(read),
            Err(failure) => Err(failure),
            Ok(()) => Ok(read),
        }
    }

    /// Ends consumers that nobody has used for so long.
    pub(super) fn trim(&self, idle_for: Duration) {
        let mut pool = self.lock();
        let (old, young): (Vec<Reader>, Vec<Reader>) =
            std::mem::take(&mut pool.idle).into_iter().partition(|reader| reader.used.elapsed() >= idle_for);
        pool.idle = young;
        drop(pool);
        // Ending a consumer takes a moment: outside of the lock.
        drop(old);
    }

    /// The consumer that stands at `from`, a new one, or the one that was idle longest.
    fn take(&self, from: u64, by: Instant) -> Result<Reader, Failure> {
        let mut pool = self.lock();
        loop {
            let stands_there = pool.idle.iter().position(|reader| reader.next == Some(from));
            if stands_there.is_none() && pool.at_work + pool.idle.len() < self.readers_max {
                pool.at_work += 1;
                drop(pool);
                return self.create().map_err(|error| {
                    self.leave();
                    Failure::Later(error.to_string())
                });
            }
            let longest_idle = || {
                let idle = pool.idle.iter().enumerate();
                idle.min_by_key(|(_, reader)| reader.used).map(|(index, _)| index)
            };
            if let Some(index) = stands_there.or_else(longest_idle) {
                pool.at_work += 1;
                return Ok(pool.idle.swap_remove(index));
            }
            let left = by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::Later(format!("all {} readers are at work", self.readers_max)));
            }
            pool = self.freed.wait_timeout(pool, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn create(&self) -> KafkaResult<Reader> {
        let consumer = self.config.create_with_context(Quiet)?;
        Ok(Reader { consumer, next: None, held: None, used: Instant::now() })
    }

    fn put_back(&self, mut reader: Reader, health: Health) {
        match health {
            Health::Fine => {
                reader.used = Instant::now();
                let mut pool = self.lock();
                pool.at_work -= 1;
                pool.idle.push(reader);
                drop(pool);
                self.freed.notify_one();
            }
            Health::Broken => {
                drop(reader);
                self.leave();
            }
        }
    }

    fn leave(&self) {
        self.lock().at_work -= 1;
        self.freed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// Makes `from` the next offset. The client drops by itself what it fetched for another one.
    fn assign(&mut self, topic: &str, from: u64) -> KafkaResult<()> {
        if self.next == Some(from) {
            return Ok(());
        }
        self.held = None;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, PARTITION, Offset::Offset(i64::try_from(from).unwrap_or(i64::MAX)))?;
        self.consumer.assign(&list)?;
        self.next = Some(from);
        Ok(())
    }

    /// Takes entries until there are enough.
    fn collect(
        &mut self,
        read: &mut Vec<Bytes>,
        end: u64,
        bytes_max: usize,
        by: Instant,
    ) -> (Result<(), Failure>, Health) {
        let mut left = bytes_max;
        while let Some(next) = self.next.filter(|next| *next < end) {
            if !read.is_empty() && left == 0 {
                break;
            }
            let entry = match self.held.take() {
                Some(entry) => entry,
                None => match self.poll(next, by) {
                    Ok(entry) => entry,
                    Err((failure, health)) => {
                        // Where the client stands now is not known for sure.
                        self.next = None;
                        return (Err(failure), health);
                    }
                },
            };
            if !read.is_empty() && entry.len() > left {
                self.held = Some(entry);
                break;
            }
            left = left.saturating_sub(entry.len());
            read.push(entry);
            self.next = Some(next + 1);
        }
        (Ok(()), Health::Fine)
    }

    /// The entry of that offset, from the client.
    fn poll(&self, offset: u64, by: Instant) -> Result<Bytes, (Failure, Health)> {
        let mut reason = "no entry came in time".to_owned();
        loop {
            let left = by.saturating_duration_since(Instant::now());
            match self.consumer.poll(left) {
                Some(Ok(message)) => {
                    let found = u64::try_from(message.offset()).unwrap_or(u64::MAX);
                    if found == offset {
                        return Ok(Bytes::copy_from_slice(message.payload().unwrap_or_default()));
                    }
                    if found > offset {
                        return Err((Failure::Gap(found), Health::Broken));
                    }
                }
                Some(Err(error)) => match judge(&error) {
                    Judged::Ends(failure, health) => return Err((failure, health)),
                    Judged::MayPass => reason = error.to_string(),
                },
                None => {}
            }
            if left.is_zero() {
                return Err((Failure::Later(reason), Health::Fine));
            }
        }
    }
}

/// What an error of the client means for a read.
enum Judged {
    Ends(Failure, Health),
    /// The client goes on by itself.
    MayPass,
}

fn judge(error: &KafkaError) -> Judged {
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return Judged::Ends(Failure::Later(error.to_string()), Health::Broken);
    }
    let Some(code) = error.rdkafka_error_code() else { return Judged::MayPass };
    let is_one_of = |codes: &[RDKafkaErrorCode]| codes.contains(&code);
    if is_one_of(&[RDKafkaErrorCode::AutoOffsetReset, RDKafkaErrorCode::OffsetOutOfRange]) {
        Judged::Ends(Failure::OutOfRange, Health::Broken)
    } else if is_one_of(&[
        RDKafkaErrorCode::BadMessage,
        RDKafkaErrorCode::BadCompression,
        RDKafkaErrorCode::InvalidMessage,
        RDKafkaErrorCode::LogTruncation,
    ]) {
        Judged::Ends(Failure::Damaged, Health::Broken)
    } else if is_one_of(&[
        RDKafkaErrorCode::UnknownTopicOrPartition,
        RDKafkaErrorCode::UnknownTopic,
        RDKafkaErrorCode::UnknownPartition,
        RDKafkaErrorCode::TopicAuthorizationFailed,
    ]) {
        Judged::Ends(Failure::Later(error.to_string()), Health::Fine)
    } else {
        // Brokers that come and go; also a group that may not be described, since none is used.
        Judged::MayPass
    }
}
