//! One attempt to bring a delivery to its destination.

use crate::config::Key;
use crate::connect::{Client, SendError};
use crate::dead_letter::EXCERPT_BYTES_MAX;
use crate::definition::{Delivery, Destination, InboundResponse, Rejection, Verdict};
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
    pub(crate) destination: Arc<dyn Destination>,
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
}

/// Makes an attempt. Dropping the future breaks it off; the receiver may have got the delivery then.
pub(crate) async fn attempt(means: Means, mut job: Job) -> Attempt {
    let started = means.clock.now();
    let (result, excerpt) = match activation_of(&means, &mut job).await {
        Ok(activation) => send(&means, &job, &activation, started).await,
        Err(UnreadableActivation::Log(ReadError::Expired { .. })) => (AttemptResult::Expired, Bytes::new()),
        Err(why) => (failed(why.to_string(), None, false), Bytes::new()),
    };
    Attempt { job, started, ended: means.clock.now(), result, excerpt }
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

async fn send(
    means: &Means,
    job: &Job,
    activation: &Activation,
    started: Timestamp,
) -> (AttemptResult, Bytes) {
    let waiting = &job.waiting;
    let id = delivery_id(means.key, waiting.position, waiting.ordinal, &waiting.message_id);
    let payload = match means.destination.encode(&Delivery { id: &id, activation }) {
        Ok(payload) => payload,
        Err(why) => return (rejected(why, None), Bytes::new()),
    };
    let request = means.destination.request(&[payload], started);
    match means.client.send(request, started).await {
        Ok(response) => {
            let excerpt = response.body.slice(..response.body.len().min(EXCERPT_BYTES_MAX));
            (judge(means, &response), Bytes::copy_from_slice(&excerpt))
        }
        Err(why @ SendError::Request(_)) => (rejected(Rejection(why.to_string()), None), Bytes::new()),
        Err(why @ SendError::Refused(_)) => (failed(why.to_string(), None, true), Bytes::new()),
        Err(why @ (SendError::Timeout | SendError::Connection(_))) => {
            (failed(why.to_string(), None, false), Bytes::new())
        }
    }
}

fn judge(means: &Means, response: &InboundResponse) -> AttemptResult {
    let status = response.status;
    match means.destination.verdicts(response, 1).into_iter().next() {
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
