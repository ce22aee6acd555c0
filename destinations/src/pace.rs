//! How fast a destination is sent to: how many requests at once, how many a second, and how many of them may be attempts
//! made again.
//!
//! Concurrency adapts: it grows by one for as many requests as it lets under way (from the start, for each request, until
//! the first sign of congestion), and shrinks by three tenths at a sign of congestion, once for the requests that were under
//! way then. The vendor's rate is a hard limit. Attempts made again draw on a budget that deliveries which are taken fill:
//! a receiver that takes nothing gets few of them, one that takes what it is sent gets as many as wait.

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use tower::retry::budget::{Budget, TpsBudget};

/// Requests under way at once, to begin with.
const CONCURRENCY_FIRST: f64 = 4.0;

/// By what concurrency shrinks.
const DECREASE: f64 = 0.7;

/// Attempts made again that are always let through, each second.
const RETRIES_PER_SECOND_MIN: u32 = 10;

/// How many attempts made again a delivery that was taken pays for.
const RETRIES_PER_DELIVERED: f32 = 2.0;

/// For how long what was paid counts.
const RETRY_BUDGET_SPAN: Duration = Duration::from_secs(10);

/// How many requests may be under way at once.
#[derive(Debug)]
pub(crate) struct Concurrency {
    now: f64,
    max: f64,
    /// Nothing has hinted at congestion yet.
    is_first: bool,
    /// When it was last made smaller: requests begun before that say nothing more.
    decreased_at: Option<Instant>,
}

impl Concurrency {
    /// One that may grow to so many.
    pub(crate) fn new(max: usize) -> Self {
        let max = max.max(1) as f64;
        Self { now: CONCURRENCY_FIRST.min(max), max, is_first: true, decreased_at: None }
    }

    /// Requests that may be under way now.
    pub(crate) fn limit(&self) -> usize {
        self.now as usize
    }

    /// A request was answered well.
    pub(crate) fn went_well(&mut self) {
        self.now = (self.now + if self.is_first { 1.0 } else { 1.0 / self.now }).min(self.max);
    }

    /// A request begun at that time met a sign of congestion: no answer, an error of the server, or a refusal because of too
    /// many requests.
    pub(crate) fn congested(&mut self, began: Instant, now: Instant) {
        if self.decreased_at.is_some_and(|at| began <= at) {
            return;
        }
        self.is_first = false;
        self.decreased_at = Some(now);
        self.now = (self.now * DECREASE).max(1.0);
    }
}

/// How many requests a second there may be.
pub(crate) struct Rate {
    limiter: Option<DefaultDirectRateLimiter>,
    clock: DefaultClock,
}

impl Rate {
    /// At most so many requests a second; `None` for any number. A tenth of a second's requests may come at once.
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        let limiter = per_second.filter(|rate| *rate > 0.0).and_then(|rate| {
            let burst = NonZeroU32::new((rate / 10.0) as u32).unwrap_or(NonZeroU32::MIN);
            let quota = Quota::with_period(Duration::from_secs_f64(1.0 / rate))?;
            Some(RateLimiter::direct(quota.allow_burst(burst)))
        });
        Self { limiter, clock: DefaultClock::default() }
    }

    /// Waits for leave for one request.
    pub(crate) async fn wait(&self) {
        while let Err(wait) = self.take() {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes leave for one request, or says for how long there is none.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        limiter.check().map_err(|not_until| not_until.wait_time_from(self.clock.now()))
    }
}

/// How many attempts may be made again.
pub(crate) struct RetryBudget(TpsBudget);

impl RetryBudget {
    /// A fresh one.
    pub(crate) fn new() -> Self {
        Self(TpsBudget::new(RETRY_BUDGET_SPAN, RETRIES_PER_SECOND_MIN, RETRIES_PER_DELIVERED))
    }

    /// A delivery was taken.
    pub(crate) fn pay(&self) {
        self.0.deposit();
    }

    /// Takes leave for one attempt made again.
    pub(crate) fn take(&self) -> bool {
        self.0.withdraw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrency_grows_by_one_for_a_round_and_shrinks_once_for_one() {
        let mut concurrency = Concurrency::new(10);
        assert_eq!(concurrency.limit(), 4);
        (0..20).for_each(|_| concurrency.went_well());
        assert_eq!(concurrency.limit(), 10, "up to the most");
        let began = Instant::now();
        let later = began + Duration::from_secs(1);
        (0..10).for_each(|_| concurrency.congested(began, later));
        assert_eq!(concurrency.limit(), 7, "all of them were under way at the same time");
        (0..6).for_each(|_| concurrency.went_well());
        assert_eq!(concurrency.limit(), 7);
        (0..2).for_each(|_| concurrency.went_well());
        assert_eq!(concurrency.limit(), 8, "one more for a round");
        for round in 1..20 {
            concurrency.congested(later + Duration::from_secs(round), later + Duration::from_secs(round));
        }
        assert_eq!(concurrency.limit(), 1, "there is always one");
        assert_eq!(Concurrency::new(2).limit(), 2);
        assert_eq!(Concurrency::new(0).limit(), 1);
    }

    #[test]
    fn a_rate_lets_its_burst_through_and_then_says_for_how_long_not() {
        let rate = Rate::new(Some(0.001));
        assert_eq!(rate.take(), Ok(()));
        let wait = rate.take().expect_err("one in a thousand seconds");
        assert!(wait > Duration::from_secs(500) && wait <= Duration::from_secs(1000), "{wait:?}");
        let burst = Rate::new(Some(0.001 * 1e6));
        assert!((0..100).all(|_| burst.take().is_ok()), "a tenth of a second's at once");
        let free = Rate::new(None);
        assert!((0..10_000).all(|_| free.take().is_ok()));
    }

    #[test]
    fn a_receiver_that_takes_nothing_gets_few_attempts_again() {
        let budget = RetryBudget::new();
        let without = (0..10_000).filter(|_| budget.take()).count();
        assert!((1..=200).contains(&without), "{without}");
        (0..1_000).for_each(|_| budget.pay());
        let with = (0..10_000).filter(|_| budget.take()).count();
        assert!((1_000..=2_200).contains(&with), "{with}");
    }
}
