//! When requests are due: one row of moments, shared by all connections.

use super::{OVERTIME, Rate};
use crate::load::tally::Window;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Hands out the moments.
#[derive(Debug)]
pub(crate) struct Pace {
    start: Instant,
    until: Instant,
    /// Between two requests; `None` flat out.
    interval: Option<f64>,
    next: AtomicU64,
}

impl Pace {
    /// Requests of so many events each, at a rate of events.
    pub(crate) fn new(window: &Window, rate: Rate, events: u32) -> Self {
        let interval = match rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => Some(f64::from(events) / rate),
        };
        Self { start: window.start, until: window.until, interval, next: AtomicU64::new(0) }
    }

    /// The next moment that nobody else has; `None` once it is over. Flat out it is now. It is over once the next
    /// would be after the end, or the end is too long ago to catch up.
    pub(crate) fn take(&self) -> Option<Instant> {
        let now = Instant::now();
        let Some(interval) = self.interval else { return (now < self.until).then_some(now) };
        if now >= self.until + OVERTIME {
            return None;
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        Some(self.due(number, interval)).filter(|due| *due < self.until)
    }

    /// Whether there is no rate.
    pub(crate) fn is_flat_out(&self) -> bool {
        self.interval.is_none()
    }

    /// How many moments before the end nobody took.
    pub(crate) fn left(&self) -> u64 {
        let Some(interval) = self.interval else { return 0 };
        let all = ((self.until - self.start).as_secs_f64() / interval).ceil() as u64;
        all.saturating_sub(self.next.load(Ordering::Relaxed))
    }

    fn due(&self, number: u64, interval: f64) -> Instant {
        self.start + Duration::from_secs_f64(number as f64 * interval)
    }
}

/// Waits until a moment, if it is still to come.
pub(crate) async fn wait_until(moment: Instant) {
    if moment > Instant::now() {
        tokio::time::sleep_until(moment.into()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_a_row_that_ends() {
        let window = Window::begin(Duration::from_secs(100), Duration::from_secs(100));
        let pace = Pace::new(&window, Rate::PerSecond(2.0), 100);
        assert_eq!(pace.left(), 4, "one every fifty seconds");
        let taken: Vec<u64> =
            std::iter::from_fn(|| pace.take()).map(|due| (due - window.start).as_secs()).collect();
        assert_eq!(taken, [0, 50, 100, 150]);
        assert_eq!((pace.take(), pace.left()), (None, 0));
    }

    #[test]
    fn flat_out_it_is_always_now_until_the_end() {
        let window = Window::begin(Duration::ZERO, Duration::from_secs(100));
        let pace = Pace::new(&window, Rate::Max, 1);
        assert!(pace.take().expect("not over") >= window.start);
        assert_eq!(pace.left(), 0);
        let over = Window::begin(Duration::ZERO, Duration::ZERO);
        assert_eq!(Pace::new(&over, Rate::Max, 1).take(), None);
    }
}
