//! The collector's road: authenticate → normalize → check → append.

use crate::auth::{SourceRef, WriteKeys};
use crate::error::IngestError;
use crate::limits::{BodyBudget, IngestLimits, Reservation};
use crate::metrics::{Endpoint, Metrics, Tally};
use crate::normalize::{Arrival, Defaults, check_size, normalize, quoted};
use crate::reason::{Problem, RejectReason};
use crate::rejects::Reject;
use crate::shape::PathKind;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use tributary_eventlog::EventLog;
use tributary_model::clock::Clock;
use tributary_model::event::AcceptedEvent;
use tributary_model::json::Members;
use tributary_model::{HashKey, Marks, Position, Record, Timestamp};
use tributary_proto::json::{Batch, BodyError, Single};
use tributary_proto::surrogate::Text;

/// Takes events in. Stateless but for the bound on bodies in work: any number may stand in front of one log.
pub struct Collector {
    log: Arc<dyn EventLog>,
    rejects: Arc<dyn EventLog>,
    write_keys: Arc<WriteKeys>,
    hash_key: HashKey,
    clock: Arc<dyn Clock>,
    limits: IngestLimits,
    budget: Arc<BodyBudget>,
    metrics: Metrics,
}

impl fmt::Debug for Collector {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Collector({:?})", self.write_keys)
    }
}

/// The entries that a request amounts to, and how its events ended if they become durable.
#[derive(Default)]
pub(crate) struct Prepared {
    records: Vec<Bytes>,
    rejects: Vec<Bytes>,
    tally: Tally,
    /// One for each event, in order, if the client is told of each.
    ended: Option<Vec<Ended>>,
}

/// How one event ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ended {
    /// Its message id, made here if it came without; `None` if it was rejected without.
    pub(crate) message_id: Option<String>,
    /// Why it was rejected, if it was.
    pub(crate) problem: Option<Problem>,
}

impl Collector {
    /// A collector that writes accepted events to `log` and refused ones to `rejects`. A metrics recorder has
    /// to be installed before.
    pub fn new(
        log: Arc<dyn EventLog>,
        rejects: Arc<dyn EventLog>,
        write_keys: Arc<WriteKeys>,
        hash_key: HashKey,
        clock: Arc<dyn Clock>,
        limits: IngestLimits,
    ) -> Self {
        let budget = BodyBudget::new(limits.in_flight_bytes_max);
        Self { log, rejects, write_keys, hash_key, clock, limits, budget, metrics: Metrics::new() }
    }

    pub(crate) fn limits(&self) -> &IngestLimits {
        &self.limits
    }

    pub(crate) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    pub(crate) fn budget(&self) -> &Arc<BodyBudget> {
        &self.budget
    }

    pub(crate) fn write_keys(&self) -> &WriteKeys {
        &self.write_keys
    }

    /// The arrival time of a request that begins now.
    pub(crate) fn arrival_time(&self) -> Timestamp {
        self.clock.now().floor_to_millis()
    }

    /// Reads a decoded body into what is to be stored. `source` is the one that the header named; without,
    /// the body has to. Events that are refused alone are part of the result.
    ///
    /// # Errors
    /// Why the request is refused whole.
    pub(crate) fn prepare(
        &self,
        endpoint: Endpoint,
        source: Option<SourceRef>,
        received_at: Timestamp,
        body: &[u8],
    ) -> Result<Prepared, IngestError> {
        let text = Text::parse(body).map_err(BodyError::from)?;
        match endpoint {
            Endpoint::Single(kind) => {
                let single = Single::parse(text.as_str())?;
                let source = match source {
                    Some(source) => source,
                    None => self.authenticate_body(single.write_key().as_deref())?,
                };
                let path = PathKind::Implied(kind);
                let arrival = self.arrival(&source, path, received_at, Defaults::default());
                let mut prepared = Prepared::default();
                prepared.take(single.text, Some(single.members), &text, &arrival);
                Ok(prepared)
            }
            Endpoint::Batch => {
                let batch = Batch::parse(text.as_str(), self.limits.batch_events_max)?;
                let source = match source {
                    Some(source) => source,
                    None => self.authenticate_body(batch.write_key.as_deref())?,
                };
                if batch.len > self.limits.batch_events_max {
                    let limit = self.limits.batch_events_max;
                    return Err(IngestError::BatchTooLarge { len: batch.len, limit });
                }
                let defaults = Defaults::new(batch.sent_at, batch.context, batch.integrations);
                self.check_defaults(&defaults, batch.len)?;
                let arrival = self.arrival(&source, PathKind::Open, received_at, defaults);
                let mut prepared = Prepared::default();
                for event in &batch.events {
                    prepared.take(event.get(), None, &text, &arrival);
                }
                Ok(prepared)
            }
        }
    }

    /// Makes what was prepared durable: all of it, or nothing is acknowledged. Rejects go first, so that a
    /// refusal by their log leaves no event behind that the client would send again. Answers with the position of the
    /// last event; `None` if there was none but rejects.
    ///
    /// # Errors
    /// If a log refuses.
    pub(crate) async fn store(
        &self,
        prepared: Prepared,
        reservation: Reservation,
    ) -> Result<Option<Position>, IngestError> {
        let started = Instant::now();
        if !prepared.rejects.is_empty() {
            self.rejects.append(prepared.rejects).await?;
        }
        let mut last = None;
        if !prepared.records.is_empty() {
            last = last_of(self.log.append(prepared.records).await?);
        }
        self.stored(started, &prepared.tally, reservation);
        Ok(last)
    }

    /// Queues what was prepared behind all that was queued before, and tells once it is durable, as
    /// [`Collector::store`] does. For clients whose events carry the same message id when they are sent again: what one log took while the other
    /// refused is a duplicate then.
    pub(crate) fn queue(
        self: &Arc<Self>,
        prepared: Prepared,
        reservation: Reservation,
    ) -> impl Future<Output = Result<Option<Position>, IngestError>> + Send + use<> {
        let started = Instant::now();
        let Prepared { records, rejects, tally, ended: _ } = prepared;
        let rejects = (!rejects.is_empty()).then(|| self.rejects.append(rejects));
        let records = (!records.is_empty()).then(|| self.log.append(records));
        let collector = Arc::clone(self);
        async move {
            if let Some(rejects) = rejects {
                rejects.await?;
            }
            let last = match records {
                Some(records) => last_of(records.await?),
                None => None,
            };
            collector.stored(started, &tally, reservation);
            Ok(last)
        }
    }

    /// Counts what became durable and gives back the room that it took.
    fn stored(&self, started: Instant, tally: &Tally, reservation: Reservation) {
        drop(reservation);
        self.metrics.appended(started.elapsed());
        self.metrics.events_ended(tally);
    }

    /// Whether what is said for all `len` events of a request, repeated in each, is within its limit.
    ///
    /// # Errors
    /// If it is not.
    pub(crate) fn check_defaults(&self, defaults: &Defaults<'_>, len: usize) -> Result<(), IngestError> {
        let limit = self.limits.defaults_bytes_max;
        if defaults.added_bytes_max().saturating_mul(len) > limit {
            return Err(IngestError::DefaultsTooLarge { limit });
        }
        Ok(())
    }

    fn authenticate_body(&self, write_key: Option<&str>) -> Result<SourceRef, IngestError> {
        match write_key {
            Some(key) if !key.is_empty() => self.write_keys.authenticate(key),
            _ => Err(IngestError::MissingWriteKey),
        }
    }

    /// What holds for every event of a request.
    pub(crate) fn arrival<'a>(
        &'a self,
        source: &'a SourceRef,
        path: PathKind,
        received_at: Timestamp,
        defaults: Defaults<'a>,
    ) -> Arrival<'a> {
        Arrival {
            source,
            path,
            received_at,
            received_at_json: quoted(&received_at.to_string()),
            defaults,
            limits: &self.limits,
            hash_key: &self.hash_key,
        }
    }
}

impl Prepared {
    /// Nothing yet; to keep how each of about `len` events ended.
    pub(crate) fn with_ends(len: usize) -> Self {
        Self { ended: Some(Vec::with_capacity(len)), ..Self::default() }
    }

    /// How each event ended; empty where that is not kept.
    pub(crate) fn take_ends(&mut self) -> Vec<Ended> {
        self.ended.take().unwrap_or_default()
    }

    /// Takes one event that came by itself, as the JSON text of an object.
    pub(crate) fn take_alone(&mut self, event: &str, arrival: &Arrival<'_>) {
        let text = Text::from(event);
        self.take(text.as_str(), None, &text, arrival);
    }

    /// Takes one event of the body `text`, as a record or as a reject.
    fn take(&mut self, event: &str, members: Option<Members<'_>>, text: &Text<'_>, arrival: &Arrival<'_>) {
        match accept(event, members, text, arrival) {
            Ok(accepted) => {
                self.tally.accepted += 1;
                if let Some(ended) = &mut self.ended {
                    let message_id = Some(accepted.message_id.as_str().to_owned());
                    ended.push(Ended { message_id, problem: None });
                }
                if accepted.marks != Marks::default() {
                    self.tally.marks.push(accepted.marks);
                }
                self.records.push(Record::from_event(accepted).encode());
            }
            Err(problem) => {
                let message_id = Members::parse(event).ok().and_then(|members| members.text("messageId"));
                self.reject(text.original_of(event), message_id.as_deref(), problem, arrival);
            }
        }
    }

    /// Sets aside one event that can't be taken.
    pub(crate) fn reject(
        &mut self,
        original: impl AsRef<[u8]>,
        message_id: Option<&str>,
        problem: Problem,
        arrival: &Arrival<'_>,
    ) {
        self.tally.rejected.push(problem.reason);
        let told = self.ended.is_some().then(|| problem.clone());
        let reject = Reject::new(
            arrival.source.workspace_id(),
            arrival.source.source,
            arrival.received_at,
            message_id.filter(|id| !id.is_empty()),
            problem,
            original,
        );
        self.rejects.push(reject.encode());
        if let Some(ended) = &mut self.ended {
            ended.push(Ended { message_id: reject.message_id, problem: told });
        }
    }
}

/// The position of the last of the records with these sequences.
fn last_of(mut appended: Range<u64>) -> Option<Position> {
    appended.next_back().map(Position::at)
}

fn accept(
    event: &str,
    members: Option<Members<'_>>,
    text: &Text<'_>,
    arrival: &Arrival<'_>,
) -> Result<AcceptedEvent, Problem> {
    check_size(event, arrival.limits)?;
    let mut marks = Marks::default();
    if text.is_repaired(event) {
        marks.add(Marks::REPLACED_SURROGATE);
    }
    match members {
        Some(members) => normalize(event, members, marks, arrival),
        None => match Members::parse(event) {
            Ok(members) => normalize(event, members, marks, arrival),
            Err(_) => {
                let say = "an element of `batch` is not an object; send each event as a JSON object";
                Err(Problem::new(RejectReason::NotAnObject, "", say))
            }
        },
    }
}

mod dry_run;
#[cfg(test)]
mod tests;
