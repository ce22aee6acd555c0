//! The collector's metrics. Labels come from closed sets.

use crate::error::IngestError;
use crate::reason::RejectReason;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use std::time::Duration;
use tributary_model::outcome::Outcome;
use tributary_model::{EventKind, Marks};

/// Counter: requests answered, by `endpoint` (the calls and `batch`; `send` and `stream` of gRPC) and `status` (the
/// first digit of the HTTP status, also for gRPC: `2xx`…).
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
/// Gauge: gRPC streams that are open.
pub const STREAMS_OPEN: &str = "tributary_ingest_streams_open";
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

/// A method of the gRPC service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Events in one message.
    Send,
    /// Events one by one, each acknowledged.
    Stream,
}

impl Method {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Stream => "stream",
        }
    }
}

/// Where a request came in, whichever door that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Http(Endpoint),
    Grpc(Method),
}

impl Door {
    fn all() -> impl Iterator<Item = Self> {
        let http = Endpoint::ALL.into_iter().map(Self::Http);
        http.chain([Self::Grpc(Method::Send), Self::Grpc(Method::Stream)])
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Http(endpoint) => endpoint.name(),
            Self::Grpc(method) => method.name(),
        }
    }

    /// Its place in [`Self::all`].
    const fn index(self) -> usize {
        match self {
            Self::Http(endpoint) => endpoint.index(),
            Self::Grpc(Method::Send) => Endpoint::ALL.len(),
            Self::Grpc(Method::Stream) => Endpoint::ALL.len() + 1,
        }
    }
}

impl From<Endpoint> for Door {
    fn from(endpoint: Endpoint) -> Self {
        Self::Http(endpoint)
    }
}

impl From<Method> for Door {
    fn from(method: Method) -> Self {
        Self::Grpc(method)
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
    requests_ok: Vec<Counter>,
    streams_open: Gauge,
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
            requests_ok: Door::all()
                .map(|door| counter!(REQUESTS, "endpoint" => door.name(), "status" => "2xx"))
                .collect(),
            streams_open: gauge!(STREAMS_OPEN),
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

    pub(crate) fn request_succeeded(&self, door: impl Into<Door>) {
        self.requests_ok[door.into().index()].increment(1);
    }

    pub(crate) fn request_refused(&self, door: impl Into<Door>, status: u16, why: &IngestError) {
        let class = match status {
            400..500 => "4xx",
            _ => "5xx",
        };
        counter!(REQUESTS, "endpoint" => door.into().name(), "status" => class).increment(1);
        if let Some(limit) = why.limit() {
            self.limit_hit(limit);
        }
    }

    /// A limit was hit; the name is a field of `IngestLimits`.
    pub(crate) fn limit_hit(&self, limit: &'static str) {
        counter!(LIMIT_HITS, "limit" => limit).increment(1);
    }

    pub(crate) fn stream_opened(&self) {
        self.streams_open.increment(1.0);
    }

    pub(crate) fn stream_closed(&self) {
        self.streams_open.decrement(1.0);
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
                self.limit_hit(limit);
            }
        }
    }

    pub(crate) fn appended(&self, took: Duration) {
        self.append_seconds.record(took.as_secs_f64());
    }
}
