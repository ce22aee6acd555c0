//! What a worker counts while it sends.

use super::latency::Latency;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The stretch of time that is measured: what comes before it warms everything up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    /// When the load begins.
    pub(crate) start: Instant,
    /// From when on it is measured.
    pub(crate) from: Instant,
    /// When it ends.
    pub(crate) until: Instant,
}

impl Window {
    /// One that begins now.
    pub(crate) fn begin(warm_up: Duration, length: Duration) -> Self {
        let start = Instant::now();
        let from = start + warm_up;
        Self { start, from, until: from + length }
    }

    /// Whether what was due at this moment is measured.
    pub(crate) fn holds(&self, at: Instant) -> bool {
        self.from <= at && at < self.until
    }

    /// How long is measured.
    pub(crate) fn length(&self) -> Duration {
        self.until - self.from
    }
}

/// Counts of one worker, or of all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    /// Events that were accepted, those before the measured window included.
    pub(crate) accepted_ever: u64,
    /// Requests answered within the window.
    pub(crate) requests: u64,
    /// Events accepted within the window.
    pub(crate) accepted: u64,
    /// Bytes of those events as JSON, without what a request adds.
    pub(crate) event_bytes: u64,
    /// Answers by status; what never got one, by why. Over the whole run.
    pub(crate) answers: BTreeMap<String, u64>,
    /// From when a request was due (or sent, flat out) to its answer.
    pub(crate) latency: Latency,
    /// From when a request was due to when it was sent: the generator's own lateness, and waiting for a free
    /// connection.
    pub(crate) lateness: Latency,
    /// Requests that were due but never sent, because the server was too far behind.
    pub(crate) unsent: u64,
}

/// One request with its answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    /// When it was due.
    pub(crate) due: Instant,
    /// When it was sent.
    pub(crate) at: Instant,
    /// When the answer was there.
    pub(crate) answered: Instant,
    /// How many events it held.
    pub(crate) events: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Tally {
    /// Counts a request whose events were accepted.
    pub(crate) fn accepted(&mut self, window: &Window, sent: &Sent) {
        self.accepted_ever += sent.events;
        if window.holds(sent.due) {
            self.requests += 1;
            self.accepted += sent.events;
            self.event_bytes += sent.bytes;
            self.latency.note(sent.answered.saturating_duration_since(sent.due));
            self.lateness.note(sent.at.saturating_duration_since(sent.due));
        }
    }

    /// Counts an answer, or why there was none.
    pub(crate) fn answer(&mut self, what: &str, count: u64) {
        match self.answers.get_mut(what) {
            Some(have) => *have += count,
            None => {
                self.answers.insert(what.to_owned(), count);
            }
        }
    }

    /// Takes in what another worker has counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.accepted_ever += other.accepted_ever;
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.event_bytes += other.event_bytes;
        self.unsent += other.unsent;
        for (what, count) in &other.answers {
            self.answer(what, *count);
        }
        self.latency.add(&other.latency);
        self.lateness.add(&other.lateness);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_window_is_measured_and_a_late_answer_counts_from_when_it_was_due() {
        let window = Window::begin(Duration::from_secs(10), Duration::from_secs(10));
        let after = |seconds| window.start + Duration::from_secs(seconds);
        let mut tally = Tally::default();
        for (due, at, answered) in [(5, 5, 6), (10, 10, 11), (12, 15, 19), (20, 20, 21)] {
            let (due, at, answered) = (after(due), after(at), after(answered));
            tally.accepted(&window, &Sent { due, at, answered, events: 3, bytes: 30 });
        }
        tally.answer("200", 4);
        assert_eq!((tally.accepted_ever, tally.accepted, tally.requests), (12, 6, 2));
        assert_eq!(tally.event_bytes, 60);
        let latency = tally.latency.summary().expect("two answers");
        assert!((latency.max_ms / 7_000.0 - 1.0).abs() < 0.002, "{}", latency.max_ms);
        let lateness = tally.lateness.summary().expect("two requests");
        assert!((lateness.max_ms / 3_000.0 - 1.0).abs() < 0.002, "{}", lateness.max_ms);

        let mut both = tally.clone();
        both.answer("503", 1);
        both.add(&tally);
        assert_eq!((both.accepted_ever, both.accepted, both.requests), (24, 12, 4));
        assert_eq!(both.answers, BTreeMap::from([("200".to_owned(), 8), ("503".to_owned(), 1)]));
        assert_eq!(both.latency.summary().map(|summary| summary.count), Some(4));
    }
}
