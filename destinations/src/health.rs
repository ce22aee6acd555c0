//! Whether a destination's receiver is there, as its answers show, and whether anything is sent to it. Pure.
//!
//! - Rejected credentials pause a destination at once: whatever is sent would be refused as well. It goes on when its
//!   settings are changed, or somebody resumes it.
//! - An outage pauses it: so many requests in a row without an answer, or with 5xx, over so long a time. While it lasts, one
//!   delivery is tried now and then. The first answer ends it. Answers to one and the same delivery are none: that may be to
//!   blame itself. Where nothing reaches the receiver, no delivery is.
//!
//! In a pause no delivery's attempts or time are used up. When an outage ends, what failed by it becomes due soon, spread
//! over a short time, instead of at the end of waits that have grown to minutes; at most once a minute, so that a receiver
//! that fails for some events only is not pressed.
//!
//! A wish not to be asked again for a while (`Retry-After` with 429 or 503) holds all of a destination, for a minute at
//! most; the delivery that it was said of waits in full, unless an outage is probed with it.

use std::time::Duration;
use tributary_model::Timestamp;

/// So many failures in a row are an outage, as far as hastening is concerned.
const FAILURES_MIN: u32 = 3;

/// Deliveries are hastened at most that often.
const HASTEN_PAUSE_MICROS: i64 = 60_000_000;

/// For each delivery that waits, its share of the time over which they are spread.
const SPREAD_EACH: Duration = Duration::from_millis(5);

/// The longest time over which they are spread.
const SPREAD_MAX: Duration = Duration::from_secs(10);

/// The longest time for which a wish of the receiver holds all of a destination.
pub(crate) const HOLD_MAX: Duration = Duration::from_secs(60);

/// The first wait before a paused receiver is tried, in microseconds; it doubles.
const PROBE_FIRST_MICROS: i64 = 1_000_000;

/// When an outage pauses a destination, and how it is tried then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct HealthLimits {
    /// Failures in a row …
    pub(crate) outage_failures: u32,
    /// … over at least so long.
    pub(crate) outage_after: Duration,
    /// The longest wait between two probes.
    pub(crate) probe_max: Duration,
}

/// What may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Leave {
    /// As much as there is.
    Open,
    /// One delivery, to see whether the receiver is back.
    Probe,
    /// Nothing before that time; `None`: nothing before somebody does something about it.
    Until(Option<Timestamp>),
}

/// How a receiver is.
#[derive(Debug)]
pub(crate) struct Health {
    limits: HealthLimits,
    failures: u32,
    failing_since: Option<Timestamp>,
    /// The delivery that failed first of those in a row; `None` once it can't be to blame: others have failed as well, or
    /// nothing reached the receiver.
    failing_alone: Option<u64>,
    hastened_at: Option<Timestamp>,
    held_until: Option<Timestamp>,
    probing: Option<Probing>,
    /// Paused until somebody does something about it.
    shut: bool,
}

/// An outage during which a receiver is tried now and then.
#[derive(Debug)]
struct Probing {
    next: Timestamp,
    wait: i64,
    under_way: bool,
}

impl Health {
    /// One of which nothing is known.
    pub(crate) fn new(limits: HealthLimits) -> Self {
        Self {
            limits,
            failures: 0,
            failing_since: None,
            failing_alone: None,
            hastened_at: None,
            held_until: None,
            probing: None,
            shut: false,
        }
    }

    /// It was paused by an outage when it was last looked at: it is tried at once.
    pub(crate) fn out(&mut self, now: Timestamp) {
        self.probing = Some(Probing { next: now, wait: PROBE_FIRST_MICROS, under_way: false });
    }

    /// Nothing is sent until somebody does something about it.
    pub(crate) fn shut(&mut self) {
        self.shut = true;
        self.probing = None;
    }

    /// Somebody did something about it.
    pub(crate) fn open(&mut self) {
        self.shut = false;
        self.probing = None;
        self.held_until = None;
        self.failures = 0;
        self.failing_since = None;
    }

    /// What may be sent now.
    pub(crate) fn leave(&self, now: Timestamp) -> Leave {
        if self.shut {
            return Leave::Until(None);
        }
        if let Some(held) = self.held_until.filter(|held| *held > now) {
            return Leave::Until(Some(held));
        }
        match &self.probing {
            None => Leave::Open,
            Some(probing) if probing.under_way => Leave::Until(None),
            Some(probing) if probing.next > now => Leave::Until(Some(probing.next)),
            Some(_) => Leave::Probe,
        }
    }

    /// When a paused receiver is tried next.
    pub(crate) fn probes_at(&self) -> Option<Timestamp> {
        self.probing.as_ref().map(|probing| probing.next)
    }

    /// The probe has begun.
    pub(crate) fn probe(&mut self) {
        if let Some(probing) = &mut self.probing {
            probing.under_way = true;
        }
    }

    /// A probe ended without telling anything about the receiver: another one may begin after a while.
    pub(crate) fn probe_again(&mut self, now: Timestamp) {
        if let Some(probing) = &mut self.probing {
            probing.under_way = false;
            probing.next = now.plus_micros(probing.wait);
        }
    }

    /// A probe ended without a request, and for good: another delivery may be tried at once.
    pub(crate) fn probe_another(&mut self, now: Timestamp) {
        if let Some(probing) = &mut self.probing {
            probing.under_way = false;
            probing.next = now;
        }
    }

    /// The receiver asked not to be asked for so long.
    pub(crate) fn hold(&mut self, now: Timestamp, asked: Duration) {
        let span = i64::try_from(asked.min(HOLD_MAX).as_micros()).unwrap_or(i64::MAX);
        let until = now.plus_micros(span);
        self.held_until = Some(self.held_until.map_or(until, |held| held.max(until)));
    }

    /// A request failed as in an outage; `suspect` is the delivery that may be to blame for it, one of those that it carried,
    /// `None` where nothing reached the receiver;
    /// `chance` is drawn evenly from 0 to 1. True if that pauses the destination: one delivery that fails by itself does not.
    pub(crate) fn failed(&mut self, suspect: Option<u64>, now: Timestamp, chance: f64) -> bool {
        if suspect.is_none() && self.failing_alone.is_some() {
            // What was counted so far spoke of one delivery, not of the receiver.
            self.failures = 0;
            self.failing_since = None;
        }
        self.failing_alone = match self.failures {
            0 => suspect,
            _ => self.failing_alone.filter(|first| Some(*first) == suspect),
        };
        self.failures = self.failures.saturating_add(1);
        let since = *self.failing_since.get_or_insert(now);
        if let Some(probing) = &mut self.probing {
            let probe_max = i64::try_from(self.limits.probe_max.as_micros()).unwrap_or(i64::MAX);
            probing.wait = probing.wait.saturating_mul(2).min(probe_max);
            let wait = probing.wait / 2 + (probing.wait as f64 / 2.0 * chance) as i64;
            probing.next = now.plus_micros(wait);
            probing.under_way = false;
            return false;
        }
        let lasted = now.micros_since(since) as i128;
        if self.failing_alone.is_some()
            || self.failures < self.limits.outage_failures
            || lasted < i128::try_from(self.limits.outage_after.as_micros()).unwrap_or(i128::MAX)
        {
            return false;
        }
        self.probing = Some(Probing {
            next: now.plus_micros(PROBE_FIRST_MICROS),
            wait: PROBE_FIRST_MICROS,
            under_way: false,
        });
        true
    }

    /// The receiver answered. If that ends an outage, the time over which the waiting deliveries are spread.
    pub(crate) fn answered(&mut self, now: Timestamp, waiting: usize) -> Option<Duration> {
        let was_out = self.probing.take().is_some() || self.failures >= FAILURES_MIN;
        self.failures = 0;
        self.failing_since = None;
        let is_soon = self.hastened_at.is_some_and(|at| now.micros_since(at).abs() < HASTEN_PAUSE_MICROS);
        if !was_out || is_soon || waiting == 0 {
            return None;
        }
        self.hastened_at = Some(now);
        Some(SPREAD_EACH.saturating_mul(u32::try_from(waiting).unwrap_or(u32::MAX)).min(SPREAD_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HealthLimits = HealthLimits {
        outage_failures: 5,
        outage_after: Duration::from_secs(10),
        probe_max: Duration::from_secs(60),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    #[test]
    fn several_failures_in_a_row_hasten_what_waits_once_a_minute() {
        let mut health = Health::new(LIMITS);
        let fail = |health: &mut Health, times: u64| {
            (0..times).for_each(|delivery| {
                health.failed(Some(delivery), at(0), 0.0);
            });
        };
        fail(&mut health, 2);
        assert_eq!(health.answered(at(0), 5), None, "two are not enough");
        fail(&mut health, 1);
        assert_eq!(health.answered(at(1), 5), None, "an answer begins a new row");
        fail(&mut health, 3);
        assert_eq!(health.answered(at(2), 4), Some(Duration::from_millis(20)));
        assert_eq!(health.answered(at(3), 4), None, "once for each outage");
        fail(&mut health, 3);
        assert_eq!(health.answered(at(10), 4), None, "at most once a minute");
        fail(&mut health, 3);
        assert_eq!(health.answered(at(62), 100_000), Some(SPREAD_MAX));
    }

    #[test]
    fn an_outage_pauses_and_is_probed_ever_less_often() {
        let mut health = Health::new(LIMITS);
        assert!(
            (0..20).all(|delivery| !health.failed(Some(delivery), at(0), 0.0)),
            "it has not lasted for long enough"
        );
        assert_eq!(health.leave(at(9)), Leave::Open);
        assert!(health.failed(Some(1), at(10), 0.0), "now it has");
        assert_eq!(health.leave(at(10)), Leave::Until(Some(at(11))));
        let mut waits = Vec::new();
        for _ in 0..9 {
            let now = health.probes_at().expect("it is probed");
            assert_eq!(health.leave(now), Leave::Probe);
            health.probe();
            assert_eq!(health.leave(now), Leave::Until(None), "one at a time");
            assert!(!health.failed(Some(1), now, 1.0), "it is paused already");
            waits.push(health.probes_at().expect("it is probed").micros_since(now) / 1_000_000);
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60, 60, 60]);
        assert_eq!(health.answered(at(1_000), 1), Some(SPREAD_EACH));
        assert_eq!(health.leave(at(1_000)), Leave::Open);
    }

    #[test]
    fn few_failures_over_a_long_time_are_no_outage() {
        let mut health = Health::new(LIMITS);
        assert!((0..4).all(|hour| !health.failed(Some(hour as u64), at(hour * 3_600), 0.0)));
        assert_eq!(health.leave(at(20_000)), Leave::Open);
        let mut health = Health::new(LIMITS);
        assert!(
            (0..100).all(|minute| !health.failed(Some(7), at(minute * 60), 0.0)),
            "one that fails by itself"
        );
        assert!(health.failed(Some(8), at(6_000), 0.0), "another one fails as well");
    }

    #[test]
    fn no_delivery_is_to_blame_where_nobody_answers() {
        let mut health = Health::new(LIMITS);
        assert!((0..4).all(|second| !health.failed(None, at(second * 4), 0.0)));
        assert!(health.failed(None, at(16), 0.0), "it is out, however few deliveries there are");
        let mut health = Health::new(LIMITS);
        assert!((0..9).all(|second| !health.failed(Some(7), at(second * 4), 0.0)));
        assert!((9..13).all(|second| !health.failed(None, at(second * 4), 0.0)), "it is counted anew");
        assert!(health.failed(None, at(52), 0.0), "it is not the delivery");
    }

    #[test]
    fn what_is_shut_stays_so_until_it_is_opened() {
        let mut health = Health::new(LIMITS);
        health.shut();
        assert_eq!(health.answered(at(0), 0), None);
        assert_eq!(health.leave(at(1_000_000)), Leave::Until(None));
        health.open();
        assert_eq!(health.leave(at(0)), Leave::Open);
    }

    #[test]
    fn a_wish_holds_everything_but_not_for_ever() {
        let mut health = Health::new(LIMITS);
        health.hold(at(0), Duration::from_secs(5));
        health.hold(at(0), Duration::from_secs(2));
        assert_eq!(health.leave(at(4)), Leave::Until(Some(at(5))));
        assert_eq!(health.leave(at(5)), Leave::Open);
        health.hold(at(10), Duration::from_secs(86_400));
        assert_eq!(health.leave(at(69)), Leave::Until(Some(at(70))));
        assert_eq!(health.leave(at(70)), Leave::Open);
    }
}
