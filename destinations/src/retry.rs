//! When a failed delivery is tried again, and when it is given up. Pure: times and chance are handed in.
//!
//! Exponential backoff with full jitter: after the n-th failure the wait is drawn evenly from nothing to
//! `base × 2^(n−1)`, at most `cap`, so that deliveries that failed together do not come back together. A
//! receiver's `Retry-After` is a lower bound of the wait. A delivery that still fails when `give_up_after` has
//! passed since its first attempt is given up; it gets one last attempt at that moment if its backoff would
//! lead beyond it.

use std::time::Duration;
use tributary_model::Timestamp;

/// The limits of retrying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest wait after the first failure.
    pub base: Duration,
    /// The longest wait after any failure, unless the receiver asks for more.
    pub cap: Duration,
    /// For how long after its first attempt a delivery is tried.
    pub give_up_after: Duration,
}

impl Default for RetryPolicy {
    /// Half a second, ten minutes, seven days.
    fn default() -> Self {
        Self {
            base: Duration::from_millis(500),
            cap: Duration::from_secs(10 * 60),
            give_up_after: Duration::from_secs(7 * 24 * 60 * 60),
        }
    }
}

/// What becomes of a delivery after a failure that may pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// It is due again at that time.
    At(Timestamp),
    /// It has been tried for long enough.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after the `attempts`-th failure, at `now`. `asked` is what the receiver's `Retry-After` says,
    /// `chance` is drawn evenly from 0 (included) to 1.
    pub fn next(
        &self,
        attempts: u32,
        first_attempt: Timestamp,
        now: Timestamp,
        asked: Option<Duration>,
        chance: f64,
    ) -> Next {
        let deadline = first_attempt.plus_micros(micros(self.give_up_after));
        if now >= deadline {
            return Next::GiveUp;
        }
        let doublings = attempts.saturating_sub(1).min(31);
        let longest = self.base.saturating_mul(1 << doublings).min(self.cap);
        let wait = longest.mul_f64(chance.clamp(0.0, 1.0)).max(asked.unwrap_or_default());
        Next::At(now.plus_micros(micros(wait)).min(deadline))
    }
}

/// A span in microseconds; one longer than the range of [`Timestamp`] counts as the longest.
pub(crate) fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Reads a `Retry-After` header (RFC 9110 §10.2.3): seconds, or a date in any of the three forms of HTTP
/// (§5.6.7). A date in the past is no wait. `None` if it is neither.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let at = Timestamp::from_micros(parse_http_date(value)?.as_microsecond());
    Some(Duration::from_micros(u64::try_from(at.micros_since(now)).unwrap_or(0)))
}

fn parse_http_date(value: &str) -> Option<jiff::Timestamp> {
    if let Ok(at) = jiff::fmt::rfc2822::parse(value) {
        return Some(at.timestamp());
    }
    ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"].into_iter().find_map(|form| {
        let civil = jiff::civil::DateTime::strptime(form, value).ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: i64 = 1_000_000;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("1994-11-06T08:49:00Z").expect("a time");
        let cases = [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(37)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(37)),
            ("Sun Nov  6 08:49:37 1994", Some(37)),
            ("Sun, 06 Nov 1994 08:48:00 GMT", Some(0)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("-5", None),
            ("soon", None),
            ("", None),
        ];
        for (value, want) in cases {
            assert_eq!(parse_retry_after(value, now), want.map(Duration::from_secs), "{value:?}");
        }
    }

    proptest! {
        #[test]
        fn waits_grow_to_the_cap_and_end_at_the_deadline(
            attempts in 1u32..200,
            since_first in 0i64..8 * 86_400 * SECOND,
            asked in proptest::option::of(0u64..10 * 86_400),
            chance in 0.0f64..1.0,
        ) {
            let policy = RetryPolicy::default();
            let first = Timestamp::from_micros(1_800_000_000 * SECOND);
            let now = first.plus_micros(since_first);
            let deadline = first.plus_micros(7 * 86_400 * SECOND);
            let asked = asked.map(Duration::from_secs);
            match policy.next(attempts, first, now, asked, chance) {
                Next::GiveUp => prop_assert!(now >= deadline),
                Next::At(at) => {
                    prop_assert!(now < deadline && at >= now && at <= deadline);
                    let mut longest = 500_000i64;
                    for _ in 1..attempts {
                        longest = (longest * 2).min(600 * SECOND);
                    }
                    let floor = now.plus_micros(micros(asked.unwrap_or_default())).min(deadline);
                    let ceiling = now.plus_micros(longest).max(floor);
                    prop_assert!(at >= floor && at <= ceiling);
                }
            }
        }
    }
}
