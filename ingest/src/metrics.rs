//! The collector's metrics. Labels come from closed sets.

use crate::error::IngestError;
use crate::reason::RejectReason;
use metrics::{Counter, Histogram, counter, histogram};
use std::time::Duration;
use tributary_model::outcome::Outcome;
use tributary_model::{EventKind, Marks};

/// Counter: requests answered, by `endpoint` (the calls and `batch`) and `status` (the first digit: `2xx`…).
pub const REQUESTS: &str = "tributary_ingest_requests_total";
/// Counter: events that became durable in the events log.
pub const EVENTS_ACCEPTED: &str = "tributary_ingest_events_accepted_total";
/// Counter: events set aside in the rejects log, by `reason`.
pub const EVENTS_REJECTED: &str = "tributary_ingest_events_rejected_total";
/// Counter: marks put on accepted events, by `mark`.
pub const MARKS: &str = "tributary_ingest_marks_total";
/// Counter: bytes of bodies; `form` is `wire` (as sent) or `decoded`.
pub const BODY_BYTES: &str = "tributary_ingest_body_bytes_total";
/// Counter: limits hit, by `limit` (a field name of `IngestLimits`).
pub const LIMIT_HITS: &str = "tributary_ingest_limit_hits_total";
/// Histogram: seconds from handing a request's entries to the logs until they are durable.
pub const APPEND_SECONDS: &str = "tributary_ingest_append_seconds";
/// Counter: how events and deliveries ended, by `stage` and `outcome`.
pub const OUTCOMES: &str = "tributary_outcomes_total";
/// Gauge: entries of the rejects log that the lookup has not indexed yet.
pub const REJECTS_BEHIND: &str = "tributary_ingest_rejects_lookup_behind";

/// Where a request came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// A call's own path, for one event.
    Single(EventKind),
    /// The path for batches.
    Batch,
}

impl Endpoint {
    pub(crate) const ALL: [Self; 7] = [
        Self::Single(EventKind::Identify),
        Self::Single(EventKind::Track),
        Self::Single(EventKind::Page),
        Self::Single(EventKind::Screen),
        Self::Single(EventKind::Group),
        Self::Single(EventKind::Alias),
        Self::Batch,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Single(kind) => kind.name(),
            Self::Batch => "batch",
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Single(kind) => kind.index(),
            Self::Batch => 6,
        }
    }
}

/// How the events of one request ended.
#[derive(Debug, Default, Clone)]
pub(crate) struct Tally {
    pub(crate) accepted: u64,
    pub(crate) marks: Vec<Marks>,
    pub(crate) rejected: Vec<RejectReason>,
}

/// Handles to what is counted for every request, looked up once.
pub(crate) struct Metrics {
    requests_ok: [Counter; 7],
    accepted: Counter,
    rejected: Vec<Counter>,
    outcome_rejected: Counter,
    wire_bytes: Counter,
    decoded_bytes: Counter,
    append_seconds: Histogram,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests_ok: Endpoint::ALL
                .map(|endpoint| counter!(REQUESTS, "endpoint" => endpoint.name(), "status" => "2xx")),
            accepted: counter!(EVENTS_ACCEPTED),
            rejected: RejectReason::ALL
                .iter()
                .map(|reason| counter!(EVENTS_REJECTED, "reason" => reason.name()))
                .collect(),
            outcome_rejected: counter!(OUTCOMES, "stage" => "collector", "outcome" => Outcome::Rejected.name()),
            wire_bytes: counter!(BODY_BYTES, "form" => "wire"),
            decoded_bytes: counter!(BODY_BYTES, "form" => "decoded"),
            append_seconds: histogram!(APPEND_SECONDS),
        }
    }

    pub(crate) fn request_succeeded(&self, endpoint: Endpoint) {
        self.requests_ok[endpoint.index()].increment(1);
    }

    pub(crate) fn request_refused(&self, endpoint: Endpoint, status: u16, why: &IngestError) {
        let class = match status {
            400..500 => "4xx",
            _ => "5xx",
        };
        counter!(REQUESTS, "endpoint" => endpoint.name(), "status" => class).increment(1);
        if let Some(limit) = why.limit() {
            counter!(LIMIT_HITS, "limit" => limit).increment(1);
        }
    }

    pub(crate) fn body_read(&self, wire_bytes: usize, decoded_bytes: usize) {
        self.wire_bytes.increment(wire_bytes as u64);
        self.decoded_bytes.increment(decoded_bytes as u64);
    }

    pub(crate) fn events_ended(&self, tally: &Tally) {
        self.accepted.increment(tally.accepted);
        for marks in &tally.marks {
            for mark in marks.names() {
                counter!(MARKS, "mark" => mark).increment(1);
            }
        }
        for reason in &tally.rejected {
            self.rejected[reason.index()].increment(1);
            self.outcome_rejected.increment(1);
            if let Some(limit) = reason.limit() {
                counter!(LIMIT_HITS, "limit" => limit).increment(1);
            }
        }
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.append_seconds.record(took.as_secs_f64());
    }
}
