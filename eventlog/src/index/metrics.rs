//! The metrics of the indexes.

use std::time::Duration;

/// Histogram, seconds: how long a flush took.
const FLUSH_SECONDS: &str = "tributary_index_flush_seconds";
/// Counter by `index` (`messages`, `events`, `names`): entries written to the store.
const WRITTEN: &str = "tributary_index_written_total";
/// Gauge by `index` (`messages`, `events`, `names`): days that the store holds.
const DAYS: &str = "tributary_index_days";
/// Counter: sightings given up because one message id had too many within a day.
const SIGHTINGS_DROPPED: &str = "tributary_index_sightings_dropped_total";

/// How many entries a flush wrote.
pub(super) struct Written {
    pub(super) messages: usize,
    pub(super) events: usize,
    pub(super) names: usize,
}

pub(super) fn flushed(took: Duration, written: Written) {
    metrics::histogram!(FLUSH_SECONDS).record(took.as_secs_f64());
    metrics::counter!(WRITTEN, "index" => "messages").increment(written.messages as u64);
    metrics::counter!(WRITTEN, "index" => "events").increment(written.events as u64);
    metrics::counter!(WRITTEN, "index" => "names").increment(written.names as u64);
}

pub(super) fn days(messages: usize, events: usize, names: usize) {
    metrics::gauge!(DAYS, "index" => "messages").set(messages as f64);
    metrics::gauge!(DAYS, "index" => "events").set(events as f64);
    metrics::gauge!(DAYS, "index" => "names").set(names as f64);
}

pub(super) fn sightings_dropped(count: usize) {
    metrics::counter!(SIGHTINGS_DROPPED).increment(count as u64);
}
