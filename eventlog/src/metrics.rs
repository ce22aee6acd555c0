//! The names of the logs' metrics. Each carries the label `log` with the log's name.

/// Counter: entries made durable.
pub const LOG_ENTRIES_TOTAL: &str = "tributary_log_entries_total";
/// Counter: bytes of entries made durable, before compression.
pub const LOG_ENTRY_BYTES_TOTAL: &str = "tributary_log_entry_bytes_total";
/// Counter: bytes that segment files grew by.
pub const LOG_WRITTEN_BYTES_TOTAL: &str = "tributary_log_written_bytes_total";
/// Histogram: seconds that an fsync took.
pub const LOG_SYNC_SECONDS: &str = "tributary_log_sync_seconds";
/// Counter: appends refused, by `reason` (no_space, backlog, queue_full, too_large, unreachable,
/// unknown, closed).
pub const LOG_REFUSED_TOTAL: &str = "tributary_log_refused_total";
/// Gauge: bytes of entries waiting to be written.
pub const LOG_QUEUE_BYTES: &str = "tributary_log_queue_bytes";
/// Gauge: one past the last durable sequence.
pub const LOG_END_SEQUENCE: &str = "tributary_log_end_sequence";
/// Gauge: oldest readable sequence.
pub const LOG_FIRST_SEQUENCE: &str = "tributary_log_first_sequence";
/// Gauge: bytes of segment files kept.
pub const LOG_KEPT_BYTES: &str = "tributary_log_kept_bytes";
/// Gauge: bytes free on the log's file system when last checked.
pub const LOG_FREE_BYTES: &str = "tributary_log_free_bytes";

/// Gauge: entries handed to Kafka that it has not answered.
pub const KAFKA_DELIVERIES_IN_FLIGHT: &str = "tributary_kafka_deliveries_in_flight";
/// Histogram: seconds from handing an append to Kafka until all of it was answered.
pub const KAFKA_DELIVERY_SECONDS: &str = "tributary_kafka_delivery_seconds";
/// Counter: reads by where the entries came `from` (tail, broker).
pub const KAFKA_READS_TOTAL: &str = "tributary_kafka_reads_total";
/// Gauge: 1 while the brokers answer, 0 while they don't.
pub const KAFKA_REACHABLE: &str = "tributary_kafka_reachable";

use crate::log::{AppendError, Bounds};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::time::Duration;

/// One log's metrics, looked up once.
pub(crate) struct LogMetrics {
    name: &'static str,
    entries: Counter,
    entry_bytes: Counter,
    written_bytes: Counter,
    sync_seconds: Histogram,
    queue_bytes: Gauge,
    end_sequence: Gauge,
    first_sequence: Gauge,
    kept_bytes: Gauge,
    free_bytes: Gauge,
}

impl LogMetrics {
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name,
            entries: counter!(LOG_ENTRIES_TOTAL, "log" => name),
            entry_bytes: counter!(LOG_ENTRY_BYTES_TOTAL, "log" => name),
            written_bytes: counter!(LOG_WRITTEN_BYTES_TOTAL, "log" => name),
            sync_seconds: histogram!(LOG_SYNC_SECONDS, "log" => name),
            queue_bytes: gauge!(LOG_QUEUE_BYTES, "log" => name),
            end_sequence: gauge!(LOG_END_SEQUENCE, "log" => name),
            first_sequence: gauge!(LOG_FIRST_SEQUENCE, "log" => name),
            kept_bytes: gauge!(LOG_KEPT_BYTES, "log" => name),
            free_bytes: gauge!(LOG_FREE_BYTES, "log" => name),
        }
    }

    pub(crate) fn synced(&self, took: Duration) {
        self.sync_seconds.record(took);
    }

    pub(crate) fn wrote(&self, entries: u64, entry_bytes: u64, written_bytes: u64) {
        self.entries.increment(entries);
        self.entry_bytes.increment(entry_bytes);
        self.written_bytes.increment(written_bytes);
    }

    pub(crate) fn refused(&self, why: &AppendError) {
        counter!(LOG_REFUSED_TOTAL, "log" => self.name, "reason" => why.reason()).increment(1);
    }

    pub(crate) fn show(&self, bounds: Bounds, kept_bytes: u64, queue_bytes: usize, free_bytes: u64) {
        self.queue_bytes.set(queue_bytes as f64);
        self.end_sequence.set(bounds.end as f64);
        self.first_sequence.set(bounds.first as f64);
        self.kept_bytes.set(kept_bytes as f64);
        self.free_bytes.set(free_bytes as f64);
    }
}

/// The metrics of one log that is kept in Kafka, looked up once.
pub(crate) struct KafkaMetrics {
    name: &'static str,
    entries: Counter,
    entry_bytes: Counter,
    queue_bytes: Gauge,
    end_sequence: Gauge,
    first_sequence: Gauge,
    in_flight: Gauge,
    delivery_seconds: Histogram,
    from_tail: Counter,
    from_broker: Counter,
    reachable: Gauge,
}

impl KafkaMetrics {
    pub(crate) fn of(name: &'static str) -> Self {
        Self {
            name,
            entries: counter!(LOG_ENTRIES_TOTAL, "log" => name),
            entry_bytes: counter!(LOG_ENTRY_BYTES_TOTAL, "log" => name),
            queue_bytes: gauge!(LOG_QUEUE_BYTES, "log" => name),
            end_sequence: gauge!(LOG_END_SEQUENCE, "log" => name),
            first_sequence: gauge!(LOG_FIRST_SEQUENCE, "log" => name),
            in_flight: gauge!(KAFKA_DELIVERIES_IN_FLIGHT, "log" => name),
            delivery_seconds: histogram!(KAFKA_DELIVERY_SECONDS, "log" => name),
            from_tail: counter!(KAFKA_READS_TOTAL, "log" => name, "from" => "tail"),
            from_broker: counter!(KAFKA_READS_TOTAL, "log" => name, "from" => "broker"),
            reachable: gauge!(KAFKA_REACHABLE, "log" => name),
        }
    }

    pub(crate) fn refused(&self, why: &AppendError) {
        counter!(LOG_REFUSED_TOTAL, "log" => self.name, "reason" => why.reason()).increment(1);
    }

    pub(crate) fn delivered(&self, entries: u64, entry_bytes: u64, took: Duration) {
        self.entries.increment(entries);
        self.entry_bytes.increment(entry_bytes);
        self.delivery_seconds.record(took);
    }

    pub(crate) fn read_from_tail(&self) {
        self.from_tail.increment(1);
    }

    pub(crate) fn read_from_broker(&self) {
        self.from_broker.increment(1);
    }

    pub(crate) fn show(&self, bounds: Bounds, in_flight: usize, queue_bytes: usize, reachable: bool) {
        self.end_sequence.set(bounds.end as f64);
        self.first_sequence.set(bounds.first as f64);
        self.in_flight.set(in_flight as f64);
        self.queue_bytes.set(queue_bytes as f64);
        self.reachable.set(if reachable { 1.0 } else { 0.0 });
    }
}
