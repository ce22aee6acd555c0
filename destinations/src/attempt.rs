//! One attempt to bring a delivery to its destination.

use crate::config::{Configured, Key};
use crate::connect::{Client, SendError};
use crate::dead_letter::EXCERPT_BYTES_MAX;
use crate::definition::{Delivery, InboundResponse, Payload, Rejection, Verdict};
use crate::fanout::delivery_id;
use crate::ledger::{Failure, Job};
use crate::locate::UnreadableActivation;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::clock::Clock;
use tributary_model::{Activation, Timestamp};

/// What an attempt needs. Settings that change later apply to later attempts.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) key: Key,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) client: Arc<Client>,
    pub(crate) configured: Configured,
}

/// An attempt that is over.
pub(crate) struct Attempt {
    pub(crate) job: Job,
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) result: AttemptResult,
    /// The beginning of the response's body.
    pub(crate) excerpt: Bytes,
}

/// How an attempt went.
#[derive(Debug)]
pub(crate) enum AttemptResult {
    /// The destination took it.
    Delivered,
    /// It may be taken later; the receiver may have said when.
    Failed { failure: Failure, after: Option<Duration>, refused: bool },
    /// It will never be taken.
    Rejected(Failure),
    /// Retention has removed the activation from its log.
    Expired,
    /// The settings leave it out: they were changed since it was read.
    LeftOut,
}

/// Attempts these deliveries with one request. Dropping the future breaks it off; the receiver may have got them
/// then.
pub(crate) async fn attempt(means: Means, jobs: Vec<Job>) -> Vec<Attempt> {
    let started = means.clock.now();
    let mut ended = Vec::new();
    let (mut sent, mut payloads) = (Vec::with_capacity(jobs.len()), Vec::with_capacity(jobs.len()));
    for mut job in jobs {
        match payload_of(&means, &mut job).await {
            Ok(payload) => {
                sent.push(job);
                payloads.push(payload);
            }
            Err(result) => ended.push((job, result, Bytes::new())),
        }
    }
    if !payloads.is_empty() {
        let (results, excerpt) = send(&means, &payloads, started).await;
        ended.extend(sent.into_iter().zip(results).map(|(job, result)| (job, result, excerpt.clone())));
    }
    let now = means.clock.now();
    let attempt = |(job, result, excerpt)| Attempt { job, started, ended: now, result, excerpt };
    ended.into_iter().map(attempt).collect()
}

/// What a delivery contributes to the request, or how it has ended before there was one.
async fn payload_of(means: &Means, job: &mut Job) -> Result<Payload, AttemptResult> {
    let activation = match activation_of(means, job).await {
        Ok(activation) => activation,
        Err(UnreadableActivation::Log(ReadError::Expired { .. })) => return Err(AttemptResult::Expired),
        Err(why) => return Err(failed(why.to_string(), None, false)),
    };
    if !means.configured.takes(&activation) {
        return Err(AttemptResult::LeftOut);
    }
    let waiting = &job.waiting;
    let id = delivery_id(means.key, waiting.position, waiting.ordinal, &waiting.message_id);
    let delivery = Delivery { id: &id, activation: &activation };
    means.configured.destination.encode(&delivery).map_err(|why| rejected(why, None))
}

async fn activation_of(means: &Means, job: &mut Job) -> Result<Arc<Activation>, UnreadableActivation> {
    if let Some(activation) = &job.activation {
        return Ok(Arc::clone(activation));
    }
    let (log, sequence, frame) = (Arc::clone(&means.log), job.sequence, job.waiting.frame);
    let read = tokio::task::spawn_blocking(move || log.read_one(sequence, frame)).await;
    let bytes = match read {
        Ok(read) => read?.ok_or(UnreadableActivation::Form(sequence))?,
        Err(_) => return Err(UnreadableActivation::Form(sequence)),
    };
    let activation = Activation::decode(&bytes).map_err(|_| UnreadableActivation::Form(sequence))?;
    let activation = Arc::new(activation);
    job.activation = Some(Arc::clone(&activation));
    Ok(activation)
}

async fn send(means: &Means, payloads: &[Payload], started: Timestamp) -> (Vec<AttemptResult>, Bytes) {
    let request = means.configured.destination.request(payloads, started);
    let each =
        |result: &dyn Fn() -> AttemptResult| (payloads.iter().map(|_| result()).collect(), Bytes::new());
    match means.client.send(request, started).await {
        Ok(response) => {
            let excerpt = response.body.slice(..response.body.len().min(EXCERPT_BYTES_MAX));
            (judge(means, &response, payloads.len()), Bytes::copy_from_slice(&excerpt))
        }
        Err(why @ SendError::Request(_)) => each(&|| rejected(Rejection(why.to_string()), None)),
        Err(why @ SendError::Refused(_)) => each(&|| failed(why.to_string(), None, true)),
        Err(why @ (SendError::Timeout | SendError::Connection(_))) => {
            each(&|| failed(why.to_string(), None, false))
        }
    }
}

/// What a response means for each delivery of the request. One that carried several and was rejected says
/// nothing about which of them was at fault: each is tried again, alone.
fn judge(means: &Means, response: &InboundResponse, deliveries: usize) -> Vec<AttemptResult> {
    let mut verdicts = means.configured.destination.verdicts(response, deliveries).into_iter();
    let judged = (0..deliveries).map(|_| match judge_one(response, verdicts.next()) {
        AttemptResult::Rejected(failure) if deliveries > 1 => {
            AttemptResult::Failed { failure, after: None, refused: false }
        }
        result @ (AttemptResult::Delivered
        | AttemptResult::Failed { .. }
        | AttemptResult::Rejected(_)
        | AttemptResult::Expired
        | AttemptResult::LeftOut) => result,
    });
    judged.collect()
}

fn judge_one(response: &InboundResponse, verdict: Option<Verdict>) -> AttemptResult {
    let status = response.status;
    match verdict {
        Some(Verdict::Delivered) => AttemptResult::Delivered,
        Some(Verdict::Retry { after }) => AttemptResult::Failed {
            failure: Failure {
                text: format!("answered {status}"),
                status: Some(status),
                outage: status >= 500 && after.is_none(),
            },
            after,
            refused: false,
        },
        Some(Verdict::Rejected(why)) => rejected(why, Some(status)),
        None => failed("the definition gave no verdict".to_owned(), None, false),
    }
}

fn rejected(why: Rejection, status: Option<u16>) -> AttemptResult {
    AttemptResult::Rejected(Failure { text: why.0, status, outage: false })
}

fn failed(text: String, after: Option<Duration>, refused: bool) -> AttemptResult {
    AttemptResult::Failed { failure: Failure { text, status: None, outage: true }, after, refused }
}
