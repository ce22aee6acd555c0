//! One attempt to bring deliveries to their destination: requests are made of their payloads, sent one after the other, and
//! judged.

use crate::config::Key;
use crate::configured::Configured;
use crate::definition::OrderSpec;
use crate::exchange::{Payload, RequestRecord, ResponseRecord, Verdict};
use crate::failure::{Failure, Reason};
use crate::ledger::{Job, Mapped};
use crate::locate::UnreadableActivation;
use crate::pace::Rate;
use crate::plan::Planned;
use crate::stored::Waiting;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::clock::Clock;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, ProfileId, Timestamp};

/// What an attempt needs. Settings that change later apply to later attempts.
#[derive(Clone)]
pub(crate) struct Means {
    pub(crate) key: Key,
    pub(crate) log: Arc<dyn EventLog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) configured: Configured,
    /// Requests carry at most about so many bytes of payloads.
    pub(crate) bytes_max: usize,
    /// Requests carry at most so many payloads.
    pub(crate) payloads_max: usize,
    /// How many requests a second there may be. Leave for the first one was taken before the attempt.
    pub(crate) rate: Arc<Rate>,
}

/// Deliveries that were attempted together.
pub(crate) struct Flight {
    /// What became of each.
    pub(crate) attempts: Vec<Attempt>,
    /// The requests that were sent, in their order.
    pub(crate) requests: Vec<Sent>,
    /// When it began, by a clock that only goes forward.
    pub(crate) began: std::time::Instant,
    /// It was sent to see whether the receiver is back.
    pub(crate) probe: bool,
    /// What it was sent with.
    pub(crate) configured: Configured,
}

/// An attempt that is over.
pub(crate) struct Attempt {
    pub(crate) job: Job,
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
    pub(crate) result: AttemptResult,
    /// The request that the result comes from, if one does: an index of [`Flight::requests`].
    pub(crate) request: Option<usize>,
    /// Whether anything of it was sent.
    pub(crate) is_sent: bool,
}

/// A request that was sent.
pub(crate) struct Sent {
    pub(crate) payloads: Vec<Payload>,
    pub(crate) at: Timestamp,
    pub(crate) response: Option<ResponseRecord>,
}

impl Sent {
    /// What was sent, for people: made again from the same payloads for the same time.
    pub(crate) fn record(&self, configured: &Configured, body_bytes: usize) -> RequestRecord {
        configured.transport.describe(&self.payloads, self.at, body_bytes).unwrap_or_default()
    }
}

/// How an attempt went.
#[derive(Debug)]
pub(crate) enum AttemptResult {
    /// The destination took it, or as much of it as there was to take.
    Delivered,
    /// It may be taken later; the receiver may have said when.
    Failed {
        failure: Failure,
        after: Option<Duration>,
        /// Mappings whose payloads have been taken, or refused for good.
        done: Vec<u32>,
        /// Why a payload was refused for good.
        refused: Option<Failure>,
        /// It goes in a request of its own from now on.
        alone: bool,
    },
    /// It will never be taken.
    Rejected(Failure),
    /// The receiver refuses everything.
    Credentials {
        failure: Failure,
        /// As in [`AttemptResult::Failed`].
        done: Vec<u32>,
        /// As in [`AttemptResult::Failed`].
        refused: Option<Failure>,
    },
    /// It was not sent: something before it has to go first.
    NotTried,
    /// Retention has removed the activation from its log.
    Expired,
    /// The settings leave it out: they were changed since it was read.
    LeftOut(Outcome),
}

impl AttemptResult {
    /// Whether the delivery has ended by it.
    pub(crate) const fn is_end(&self) -> bool {
        match self {
            Self::Delivered | Self::Rejected(_) | Self::Expired | Self::LeftOut(_) => true,
            Self::Failed { .. } | Self::Credentials { .. } | Self::NotTried => false,
        }
    }
}

/// A delivery on its way.
struct OnTheWay {
    job: Job,
    mapped: Arc<Mapped>,
    verdicts: Vec<Option<Verdict>>,
    /// It went in a request that was refused as a whole, with others.
    with_others: bool,
    /// Of each payload, the request in which it was sent.
    requests: Vec<Option<usize>>,
}

/// Payloads that go in one request: indexes of deliveries and of their payloads.
type Parcel = Vec<(usize, usize)>;

/// Attempts these deliveries. Dropping the future breaks it off; the receiver may have got them then.
pub(crate) async fn attempt(means: Means, jobs: Vec<Job>, probe: bool) -> Flight {
    let (started, began) = (means.clock.now(), std::time::Instant::now());
    let (mut ended, mut on_the_way) = (Vec::new(), Vec::with_capacity(jobs.len()));
    let keeps_order = means.configured.order == OrderSpec::Profile;
    let mut held: Vec<ProfileId> = Vec::new();
    for mut job in jobs {
        if job.waiting.profile.is_some_and(|profile| held.contains(&profile)) {
            ended.push((job, AttemptResult::NotTried, None, false));
            continue;
        }
        match mapped_of(&means, &mut job).await {
            Ok(mapped) => {
                let payloads = mapped.payloads.len();
                let (verdicts, requests) = (vec![None; payloads], vec![None; payloads]);
                on_the_way.push(OnTheWay { job, mapped, verdicts, with_others: false, requests });
            }
            Err(result) => {
                // What is behind one that could not be read waits for it.
                held.extend(job.waiting.profile.filter(|_| keeps_order && !result.is_end()));
                ended.push((job, result, None, false));
            }
        }
    }
    let requests = send_all(&means, &mut on_the_way).await;
    for delivery in on_the_way {
        let (result, request) = delivery.result();
        let is_sent = delivery.requests.iter().any(Option::is_some);
        ended.push((delivery.job, result, request, is_sent));
    }
    let now = means.clock.now();
    let attempt =
        |(job, result, request, is_sent)| Attempt { job, started, ended: now, result, request, is_sent };
    let attempts = ended.into_iter().map(attempt).collect();
    Flight { attempts, requests, began, probe, configured: means.configured }
}

/// What the mappings make of a delivery, or how it has ended before there was a request.
async fn mapped_of(means: &Means, job: &mut Job) -> Result<Arc<Mapped>, AttemptResult> {
    let (plan, now) = (&means.configured.plan, means.clock.now());
    if let Some(mapped) = job.mapped.as_ref().filter(|mapped| !plan.is_outdated(&mapped.payloads, now)) {
        return Ok(Arc::clone(mapped));
    }
    let activation = match activation_of(means, job).await {
        Ok(activation) => activation,
        Err(UnreadableActivation::Log(ReadError::Expired { .. })) => return Err(AttemptResult::Expired),
        Err(why) => {
            return Err(not_now(&job.waiting, Failure::new(Reason::UnreadableEvent, why.to_string())));
        }
    };
    match plan.plan(means.key, &activation, now) {
        Planned::LeftOut { outcome, .. } => Err(AttemptResult::LeftOut(outcome)),
        Planned::Dead(failure) => Err(AttemptResult::Rejected(failure)),
        Planned::Payloads { mut payloads, mut refused } => {
            // A mapping that is done with it is not asked again: what was taken may be too old by now.
            let is_open = |mapping: u32| !job.waiting.done.contains(&mapping);
            payloads.retain(|payload| is_open(payload.mapping));
            refused.retain(|(mapping, _)| is_open(*mapping));
            Ok(Arc::new(Mapped { payloads, refused: Failure::of_mappings(&refused) }))
        }
    }
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

/// Sends everything in as few requests as may be, one after the other, and enters the verdicts. Nothing is sent behind a
/// request that the receiver did not answer, nor a delivery behind another one of its profile that failed.
async fn send_all(means: &Means, deliveries: &mut [OnTheWay]) -> Vec<Sent> {
    let mut requests = Vec::new();
    let mut held: Vec<ProfileId> = Vec::new();
    let keeps_order = means.configured.order == OrderSpec::Profile;
    for parcel in parcels(means, deliveries) {
        let is_held =
            |at: usize| deliveries[at].job.waiting.profile.is_some_and(|profile| held.contains(&profile));
        let parcel: Parcel = parcel.into_iter().filter(|(at, _)| !is_held(*at)).collect();
        if parcel.is_empty() {
            continue;
        }
        let payloads: Vec<Payload> =
            parcel.iter().map(|(at, nth)| deliveries[*at].mapped.payloads[*nth].clone()).collect();
        if !requests.is_empty() {
            means.rate.wait().await;
        }
        let at = means.clock.now();
        let exchange = means.configured.transport.send(&payloads, at).await;
        let number = requests.len();
        let as_a_whole = !exchange.by_item
            && refused_as_a_whole(&exchange.verdicts)
            && parcel.iter().any(|(at, _)| *at != parcel[0].0);
        let mut verdicts = exchange.verdicts.into_iter();
        let mut goes_on = true;
        for (at, nth) in &parcel {
            let verdict = verdicts.next().unwrap_or_else(no_verdict);
            let delivery = &mut deliveries[*at];
            if let Verdict::Retry { failure, .. } = &verdict {
                goes_on &= !failure.outage && failure.reason != Reason::RateLimited;
                held.extend(delivery.job.waiting.profile.filter(|_| keeps_order));
            }
            goes_on &= !matches!(verdict, Verdict::Credentials(_));
            if as_a_whole {
                delivery.with_others = true;
                held.extend(delivery.job.waiting.profile.filter(|_| keeps_order));
            }
            delivery.verdicts[*nth] = Some(verdict);
            delivery.requests[*nth] = Some(number);
        }
        requests.push(Sent { payloads, at, response: exchange.response });
        if !goes_on {
            break;
        }
    }
    requests
}

/// Whether one verdict was given for all that was not said of each: then nothing is said about which was at fault.
fn refused_as_a_whole(verdicts: &[Verdict]) -> bool {
    let first = verdicts.first();
    matches!(first, Some(Verdict::Rejected(_))) && verdicts.iter().all(|verdict| Some(verdict) == first)
}

fn no_verdict() -> Verdict {
    let text = "nothing was said about this delivery";
    Verdict::Retry { failure: Failure::new(Reason::UnreadableAnswer, text), after: None }
}

/// Which payloads go together. In the order of the deliveries; where order matters, a payload of a profile never goes in
/// a request before one that carries an earlier payload of it.
fn parcels(means: &Means, deliveries: &[OnTheWay]) -> Vec<Parcel> {
    let transport = &means.configured.transport;
    let mut parcels: Vec<(Parcel, usize)> = Vec::new();
    let mut open: HashMap<(u64, u64), usize> = HashMap::new();
    let mut last: HashMap<ProfileId, usize> = HashMap::new();
    for (at, delivery) in deliveries.iter().enumerate() {
        for (nth, payload) in delivery.mapped.payloads.iter().enumerate() {
            let key = (payload.group, transport.part(payload));
            let after = payload.profile.and_then(|profile| last.get(&profile)).copied().unwrap_or(0);
            let bytes = payload.body.len();
            let fits = |number: &usize| {
                let (parcel, size) = &parcels[*number];
                let fits = parcel.len() < means.payloads_max && size + bytes <= means.bytes_max;
                // One that goes alone shares not even with its own.
                *number >= after && fits && !delivery.job.waiting.alone
            };
            let number = match open.get(&key).copied().filter(fits) {
                Some(number) => number,
                None => {
                    parcels.push((Parcel::new(), 0));
                    open.insert(key, parcels.len() - 1);
                    parcels.len() - 1
                }
            };
            parcels[number].0.push((at, nth));
            parcels[number].1 += bytes;
            if let Some(profile) = payload.profile.filter(|_| means.configured.order == OrderSpec::Profile) {
                last.insert(profile, number);
            }
        }
    }
    parcels.into_iter().map(|(parcel, _)| parcel).collect()
}

impl OnTheWay {
    /// What the verdicts on its payloads amount to, and the request that this comes from: of a failure the one that failed,
    /// if it made one; of a success the last.
    fn result(&self) -> (AttemptResult, Option<usize>) {
        let waiting = &self.job.waiting;
        let mut done = waiting.done.clone();
        let (mut retry, mut alone, mut waits, mut credentials) = (None, false, false, None);
        let (mut refusals, mut refusing) = (Vec::new(), None);
        let sent = self.mapped.payloads.iter().zip(&self.verdicts).zip(&self.requests);
        for ((payload, verdict), request) in sent {
            match verdict {
                Some(Verdict::Delivered) => done.push(payload.mapping),
                Some(Verdict::Credentials(failure)) => {
                    credentials.get_or_insert((failure.clone(), *request));
                }
                Some(Verdict::Retry { failure, after }) => {
                    retry.get_or_insert((failure.clone(), *after, *request));
                }
                Some(Verdict::Rejected(failure)) if self.with_others => {
                    retry.get_or_insert((failure.clone(), None, *request));
                    alone = true;
                }
                Some(Verdict::Rejected(failure)) => {
                    done.push(payload.mapping);
                    refusals.push((payload.mapping, failure.clone()));
                    refusing = refusing.or(*request);
                }
                None => waits = true,
            }
        }
        let known = waiting.refused.clone().or_else(|| self.mapped.refused.clone());
        let refused = match (known, Failure::of_mappings(&refusals)) {
            (Some(known), Some(new)) => Some(known.and(&new)),
            (known, new) => known.or(new),
        };
        if let Some((failure, request)) = credentials {
            return (AttemptResult::Credentials { failure, done, refused }, request);
        }
        match (retry, refused) {
            (Some((failure, after, request)), refused) => {
                (AttemptResult::Failed { failure, after, done, refused, alone }, request)
            }
            (None, _) if waits && done.len() == waiting.done.len() => (AttemptResult::NotTried, None),
            (None, refused) if waits => {
                let failure = Failure::new(Reason::Unknown, "a part of it has not been sent yet");
                (AttemptResult::Failed { failure, after: None, done, refused, alone }, None)
            }
            (None, Some(failure)) => (AttemptResult::Rejected(failure), refusing),
            (None, None) => (AttemptResult::Delivered, self.requests.iter().rev().find_map(|sent| *sent)),
        }
    }
}

fn not_now(waiting: &Waiting, failure: Failure) -> AttemptResult {
    let Waiting { done, refused, alone, .. } = waiting.clone();
    AttemptResult::Failed { failure, after: None, done, refused, alone }
}
