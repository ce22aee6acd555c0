//! What the result of an attempt means for the books.

use crate::attempt::{Attempt, AttemptResult, Flight, Sent};
use crate::configured::Configured;
use crate::connect::shortened;
use crate::dead_letter::DeadLetter;
use crate::exchange::ResponseRecord;
use crate::failure::{Failure, Reason};
use crate::fanout::{delivery_id, is_passed_over};
use crate::health::HOLD_MAX;
use crate::ledger::Job;
use crate::records::{AttemptRecord, ExchangeRecord};
use crate::retry::{Next, micros};
use crate::sending::Sending;
use crate::stored::{PauseReason, StoredPause, Waiting};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tributary_model::Timestamp;
use tributary_model::outcome::Outcome;

/// Bytes of a request's body that a dead letter or a record keeps.
const REQUEST_BYTES_MAX: usize = 4096;

/// Bytes of an answer that a dead letter or a record keeps.
const RESPONSE_BYTES_MAX: usize = 2048;

/// The requests of a flight, made fit for records at most once.
struct Details<'a> {
    flight: &'a [Sent],
    configured: Configured,
    /// When the flight began.
    began: Instant,
    /// Drawn evenly from 0 to 1, once for all of the flight.
    chance: f64,
    made: Vec<Option<(u64, ExchangeRecord)>>,
}

impl Sending<'_> {
    /// Enters the results of deliveries that were attempted together.
    pub(crate) fn finish(&mut self, flight: Flight) {
        let Flight { attempts, requests, began, probe, configured } = flight;
        self.judge(&attempts, began, probe);
        let made = requests.iter().map(|_| None).collect();
        // What failed together comes back together, so that it can share a request again.
        let mut details = Details { flight: &requests, configured, began, made, chance: rand::random() };
        let replays: BTreeSet<u64> =
            attempts.iter().filter_map(|attempt| attempt.job.waiting.replay).collect();
        for attempt in attempts {
            self.enter(attempt, &mut details);
        }
        self.replaying.came_back(&replays);
        let made = details.made.into_iter().flatten();
        for (number, exchange) in made {
            self.ledger.remember_exchange(number, exchange);
        }
    }

    /// What the flight says about the receiver as a whole.
    fn judge(&mut self, attempts: &[Attempt], began: Instant, probe: bool) {
        let Some(now) = attempts.iter().map(|attempt| attempt.ended).max() else { return };
        let mut failures = attempts.iter().filter_map(|attempt| match &attempt.result {
            AttemptResult::Failed { failure, after, .. } => Some((failure, *after, attempt.job.sequence)),
            AttemptResult::Delivered
            | AttemptResult::Rejected(_)
            | AttemptResult::Credentials { .. }
            | AttemptResult::NotTried
            | AttemptResult::Expired
            | AttemptResult::LeftOut(_) => None,
        });
        let worst = failures.clone().find(|(failure, ..)| failure.outage).or_else(|| failures.next());
        let is_answer = |attempt: &Attempt| match &attempt.result {
            AttemptResult::Delivered => true,
            AttemptResult::Rejected(failure) => failure.status.is_some() || attempt.is_sent,
            AttemptResult::Failed { .. }
            | AttemptResult::Credentials { .. }
            | AttemptResult::NotTried
            | AttemptResult::Expired
            | AttemptResult::LeftOut(_) => false,
        };
        let is_answered = attempts.iter().any(is_answer);
        match worst {
            Some((failure, after, delivery)) => {
                let congested = failure.outage || failure.reason == Reason::RateLimited;
                if congested {
                    self.concurrency.congested(began, Instant::now());
                }
                if let Some(asked) = after {
                    self.health.hold(now, asked);
                }
                if failure.outage {
                    let suspect = (!failure.unsent).then_some(delivery);
                    if self.health.failed(suspect, now, rand::random()) {
                        self.pause(PauseReason::Outage, failure.clone(), now);
                    }
                } else if failure.status.is_some() || is_answered {
                    self.answered(now);
                } else if probe {
                    self.health.probe_again(now);
                }
            }
            None if is_answered => {
                self.concurrency.went_well();
                self.answered(now);
            }
            // Nothing was asked of the receiver, and none of them is a probe again.
            None if probe && attempts.iter().all(|attempt| attempt.result.is_end()) => {
                self.health.probe_another(now);
            }
            None if probe => self.health.probe_again(now),
            None => {}
        }
    }

    /// Enters the result of an attempt.
    fn enter(&mut self, attempt: Attempt, details: &mut Details<'_>) {
        let Attempt { mut job, started, ended, result, request, is_sent: _ } = attempt;
        if let AttemptResult::NotTried = result {
            self.ledger.failed(job.sequence, Waiting { due: Timestamp::MIN, ..job.waiting }, ended);
            return;
        }
        let waiting = &mut job.waiting;
        waiting.attempts = waiting.attempts.saturating_add(1);
        waiting.told = waiting.told.saturating_add(1);
        waiting.first_attempt.get_or_insert(started);
        waiting.last_attempt = Some(started);
        let seconds = ended.micros_since(started).max(0) as f64 / 1e6;
        self.worker.meters.attempt_seconds.record(seconds);
        let times = Times { started, ended };
        match result {
            AttemptResult::Delivered => self.delivered(&job, times, request, details),
            AttemptResult::Rejected(failure) => {
                self.worker.meters.rejected.increment(1);
                self.note(&failure);
                self.count_failed(&job, failure.reason, ended);
                self.give_up(&job, failure, times, request, details);
            }
            AttemptResult::Failed { failure, after, done, refused, alone } => {
                self.worker.meters.retried.increment(1);
                let is_refused = failure.reason == Reason::AddressRefused;
                self.worker.meters.addresses_refused.increment(u64::from(is_refused));
                self.note(&failure);
                job.waiting.done = done;
                job.waiting.refused = refused;
                job.waiting.alone |= alone;
                self.try_again(job, failure, after, times, request, details);
            }
            AttemptResult::Credentials { failure, done, refused } => {
                self.worker.meters.retried.increment(1);
                self.note(&failure);
                self.count_failed(&job, failure.reason, ended);
                self.remember(&job, times, Some(&failure), None, request, details);
                if self.speaks_of_now(details) {
                    self.pause(PauseReason::Credentials, failure.clone(), ended);
                }
                let attempts = job.waiting.attempts.saturating_sub(1);
                let due = Timestamp::MIN;
                let failure = Some(failure);
                let waiting = Waiting { attempts, due, failure, done, refused, ..job.waiting };
                self.ledger.failed(job.sequence, waiting, ended);
            }
            AttemptResult::Expired => {
                tracing::warn!(
                    destination = %self.worker.key,
                    activation = job.sequence,
                    "retention removed an activation while its delivery waited"
                );
                self.ledger.ended(job.sequence, Outcome::Expired, ended);
            }
            AttemptResult::LeftOut(outcome) => self.ledger.ended(job.sequence, outcome, ended),
            AttemptResult::NotTried => unreachable!("it was entered above"),
        }
    }

    fn delivered(&mut self, job: &Job, times: Times, request: Option<usize>, details: &mut Details<'_>) {
        self.worker.meters.delivered.increment(1);
        self.worker.cell.change(|status| status.last_error = None);
        self.budget.pay();
        if let Some(activation) = job.activation.as_ref().filter(|_| job.waiting.replay.is_none()) {
            let taken = times.ended.micros_since(activation.header.received_at);
            self.ledger.counts().delivered_after(times.ended, taken.max(0).unsigned_abs());
        }
        // What failed before, or is sent again, is told to its end.
        let told = job.waiting.told > 1 || job.waiting.replay.is_some();
        let sampled = self.sampler.take(Instant::now(), rand::random());
        if told || sampled.is_some() {
            let outcome = Some(Outcome::Delivered);
            self.remember_as(job, times, (None, outcome, sampled == Some(true)), request, details);
        }
        self.ledger.ended(job.sequence, Outcome::Delivered, times.ended);
    }

    fn try_again(
        &mut self,
        job: Job,
        failure: Failure,
        after: Option<Duration>,
        times: Times,
        request: Option<usize>,
        details: &mut Details<'_>,
    ) {
        let Waiting { attempts, position, .. } = job.waiting;
        let now = times.ended;
        self.count_failed(&job, failure.reason, now);
        if is_passed_over(&self.config, position) && job.waiting.replay.is_none() {
            self.remember(&job, times, Some(&failure), Some(Outcome::Skipped), request, details);
            self.ledger.ended(job.sequence, Outcome::Skipped, now);
            return;
        }
        // Time in pauses does not count.
        let since = job.waiting.first_attempt.unwrap_or(now).plus_micros(job.waiting.paused_micros);
        let next = self.worker.shared.retry.next(attempts, since, now, after, details.chance);
        let due = match next {
            Next::At(due) => due,
            // In a pause no time is used up.
            Next::GiveUp if self.ledger.paused().is_some() => now,
            Next::GiveUp => {
                self.give_up(&job, failure, times, request, details);
                return;
            }
        };
        self.remember(&job, times, Some(&failure), None, request, details);
        // What the receiver wanted later than a hold lasts is not sent earlier because an outage is over.
        let is_wanted_later = after.is_some_and(|after| after > HOLD_MAX);
        let failure = Some(Failure { outage: failure.outage && !is_wanted_later, ..failure });
        self.ledger.failed(job.sequence, Waiting { due, failure, ..job.waiting }, now);
    }

    /// Counts an attempt that failed.
    fn count_failed(&mut self, job: &Job, reason: Reason, at: Timestamp) {
        if job.waiting.replay.is_none() {
            self.ledger.counts().failed(at, reason);
        }
    }

    fn give_up(
        &mut self,
        job: &Job,
        failure: Failure,
        times: Times,
        request: Option<usize>,
        details: &mut Details<'_>,
    ) {
        let outcome = Some(Outcome::DeadLetter);
        self.remember(job, times, Some(&failure), outcome, request, details);
        let exchange = request.and_then(|request| self.details(request, details)).map(|(_, made)| made);
        let letter = self.letter(job, failure, times.ended, exchange);
        self.ledger.bury(&letter);
        self.ledger.ended(job.sequence, Outcome::DeadLetter, times.ended);
    }

    /// A dead letter of a delivery.
    pub(crate) fn letter(
        &self,
        job: &Job,
        failure: Failure,
        now: Timestamp,
        exchange: Option<ExchangeRecord>,
    ) -> DeadLetter {
        let (waiting, key) = (&job.waiting, self.worker.key);
        let (request, response) = exchange.map_or((None, None), |made| (Some(made.request), made.response));
        DeadLetter {
            workspace: key.workspace,
            destination: key.destination,
            position: waiting.position,
            ordinal: waiting.ordinal,
            activation: job.sequence,
            delivery_id: delivery_id(key, waiting.position, waiting.ordinal, &waiting.message_id),
            message_id: waiting.message_id.clone(),
            profile: waiting.profile,
            reason: failure.text,
            reason_code: failure.reason,
            attempts: waiting.attempts,
            first_attempt: waiting.first_attempt,
            last_attempt: waiting.last_attempt,
            given_up_at: now,
            event: job.activation.as_ref().map(|activation| activation.event.clone()).unwrap_or_default(),
            status: failure.status,
            request,
            response,
            replay: waiting.replay,
        }
    }

    /// Remembers that a delivery could not be made into a request.
    pub(crate) fn remember_refusal(&mut self, job: &Job, failure: &Failure, now: Timestamp) {
        let configured = self.means.configured.clone();
        let mut none =
            Details { flight: &[], configured, began: Instant::now(), made: Vec::new(), chance: 0.0 };
        let times = Times { started: now, ended: now };
        self.remember(job, times, Some(failure), Some(Outcome::DeadLetter), None, &mut none);
    }

    fn remember(
        &mut self,
        job: &Job,
        times: Times,
        failure: Option<&Failure>,
        outcome: Option<Outcome>,
        request: Option<usize>,
        details: &mut Details<'_>,
    ) {
        self.remember_as(job, times, (failure, outcome, false), request, details);
    }

    /// Remembers an attempt: its failure, how the delivery ended by it, and whether it is one of many.
    fn remember_as(
        &mut self,
        job: &Job,
        times: Times,
        (failure, outcome, sampled): (Option<&Failure>, Option<Outcome>, bool),
        request: Option<usize>,
        details: &mut Details<'_>,
    ) {
        let exchange = request.and_then(|request| self.details(request, details)).map(|(number, _)| number);
        let (waiting, key) = (&job.waiting, self.worker.key);
        self.ledger.remember(AttemptRecord {
            activation: job.sequence,
            position: waiting.position,
            ordinal: waiting.ordinal,
            delivery_id: delivery_id(key, waiting.position, waiting.ordinal, &waiting.message_id),
            message_id: waiting.message_id.clone(),
            profile: waiting.profile,
            event_kind: job.activation.as_ref().map(|activation| activation.header.event_kind),
            first_attempt: waiting.first_attempt.unwrap_or(times.started),
            number: waiting.told.max(1),
            at: times.started,
            took_micros: times.ended.micros_since(times.started).max(0).unsigned_abs(),
            failure: failure.cloned(),
            outcome,
            exchange,
            sampled,
            replay: waiting.replay,
        });
    }

    /// A request of the flight and what came back, as they are remembered, with their number.
    fn details(&mut self, request: usize, details: &mut Details<'_>) -> Option<(u64, ExchangeRecord)> {
        let sent = details.flight.get(request)?;
        let made = details.made.get_mut(request)?;
        if made.is_none() {
            let number = self.exchange_numbers.next(sent.at);
            let request = sent.record(&details.configured, REQUEST_BYTES_MAX);
            let response = sent.response.clone().map(bounded);
            *made = Some((number, ExchangeRecord { request, response }));
        }
        made.clone()
    }

    /// Whether a refusal of credentials is one of those in use: not if the flight was under way when a pause was ended,
    /// or the settings were changed. What it carried is tried again at once.
    fn speaks_of_now(&self, details: &Details<'_>) -> bool {
        details.configured.fingerprint == self.means.configured.fingerprint
            && self.resumed_at.is_none_or(|resumed| details.began >= resumed)
    }

    /// Nothing is sent from now on.
    fn pause(&mut self, reason: PauseReason, failure: Failure, now: Timestamp) {
        if self.ledger.paused().is_some_and(|pause| pause.reason == reason) {
            return;
        }
        match reason {
            PauseReason::Credentials => self.health.shut(),
            PauseReason::Outage => {}
        }
        tracing::warn!(
            destination = %self.worker.key, reason = reason.name(), error = failure.text, "destination paused"
        );
        let settings = self.means.configured.fingerprint;
        // It is shown once it is durable.
        self.ledger.pause(StoredPause { reason, since: now, failure, settings });
        self.worker.meters.paused(Some(reason));
    }

    /// The receiver answered: what waits because it was out becomes due soon.
    fn answered(&mut self, now: Timestamp) {
        let is_out = self.ledger.paused().is_some_and(|pause| pause.reason == PauseReason::Outage);
        let spread = self.health.answered(now, self.ledger.queue().len());
        if is_out {
            self.end_pause(now);
        }
        let Some(spread) = spread else { return };
        // What shares requests is not spread: it comes in few of them anyway.
        let spread = if self.means.configured.batch.events > 1 { 0 } else { micros(spread) };
        let in_time = || now.plus_micros((rand::random::<f64>() * spread as f64) as i64);
        self.ledger.hasten(now.plus_micros(spread), in_time);
    }

    fn note(&self, failure: &Failure) {
        // Its words may hold personal data.
        let (reason, status) = (failure.reason.name(), failure.status);
        tracing::debug!(destination = %self.worker.key, reason, status, "attempt failed");
        self.worker.cell.change(|status| status.last_error = Some(failure.own_words().to_owned()));
    }
}

/// When an attempt began and ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) started: Timestamp,
    pub(crate) ended: Timestamp,
}

/// The answer as it is kept. Transports have cut it already where it was long; to some of them more is worth showing.
fn bounded(response: ResponseRecord) -> ResponseRecord {
    ResponseRecord { body: shortened(response.body, RESPONSE_BYTES_MAX), ..response }
}

/// Numbers of exchanges: unique for a destination, and rising with time.
#[derive(Debug, Default)]
pub(crate) struct ExchangeNumbers(u64);

impl ExchangeNumbers {
    fn next(&mut self, at: Timestamp) -> u64 {
        let by_time = at.as_micros().max(0).unsigned_abs().saturating_mul(4096);
        self.0 = by_time.max(self.0 + 1);
        self.0
    }
}

/// Which deliveries that went well are remembered in detail: so many a second, and of the others a share.
#[derive(Debug)]
pub(crate) struct Sampler {
    per_second: u32,
    share: f64,
    second: Instant,
    taken: u32,
}

impl Sampler {
    /// So many a second, and a share in percent of the others.
    pub(crate) fn new(per_second: u32, percent: u32, now: Instant) -> Self {
        Self { per_second, share: f64::from(percent) / 100.0, second: now, taken: 0 }
    }

    /// Whether one is remembered, and if so, whether it stands for others that are not. `chance` is drawn evenly from 0 to 1.
    fn take(&mut self, now: Instant, chance: f64) -> Option<bool> {
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.taken) = (now, 0);
        }
        if self.taken < self.per_second {
            self.taken += 1;
            return Some(false);
        }
        (chance < self.share).then_some(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_a_second_are_remembered_and_a_share_of_the_others() {
        let now = Instant::now();
        let mut sampler = Sampler::new(2, 10, now);
        let mut take = |millis: u64, chance: f64| sampler.take(now + Duration::from_millis(millis), chance);
        assert_eq!([take(0, 0.9), take(1, 0.9), take(2, 0.9)], [Some(false), Some(false), None]);
        assert_eq!([take(3, 0.05), take(999, 0.5)], [Some(true), None]);
        assert_eq!(take(1_000, 0.5), Some(false), "another second");
    }

    #[test]
    fn numbers_of_exchanges_rise_whatever_the_clock_does() {
        let mut numbers = ExchangeNumbers::default();
        let times = [5, 5, 7, 3, 8].map(Timestamp::from_micros);
        let given = times.map(|at| numbers.next(at));
        assert!(given.is_sorted_by(|one, next| one < next), "{given:?}");
    }

    #[test]
    fn answers_that_are_cut_say_so() {
        let kept = |body: &str| bounded(ResponseRecord { status: Some(400), body: body.to_owned() }).body;
        let whole = "é".repeat(RESPONSE_BYTES_MAX / 2);
        assert_eq!(kept(&whole), whole);
        let long = kept(&"é".repeat(35_000));
        let mark = "… (cut: the whole has 70000 bytes)";
        assert!(long.starts_with("éé") && long.ends_with(&format!("é{mark}")), "{long}");
        assert_eq!(long.len(), RESPONSE_BYTES_MAX);
        // What was cut before it came here is no shorter than it was.
        let again = kept(&format!("{}{mark}", "x".repeat(5_000)));
        assert!(again.ends_with(&format!("x{mark}")), "{again}");
        assert_eq!((again.matches('…').count(), again.len()), (1, RESPONSE_BYTES_MAX));
    }
}
