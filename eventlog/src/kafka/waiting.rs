//! Appends that wait for the broker's answer: how many, how much, and since when.

use crate::queue_limit::QueueLimit;
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Waiting {
    appends: Mutex<Appends>,
    emptied: Condvar,
    appends_max: usize,
    bytes: QueueLimit,
}

#[derive(Default)]
struct Appends {
    next: u64,
    since: BTreeMap<u64, Instant>,
    entries: usize,
}

impl Waiting {
    pub(super) fn new(appends_max: usize, bytes_max: usize) -> Self {
        let bytes = QueueLimit::new(bytes_max);
        Self { appends: Mutex::default(), emptied: Condvar::new(), appends_max, bytes }
    }

    /// Counts an append in and numbers it; `None` if more would wait than may. One of more bytes than may wait has
    /// to wait alone.
    pub(super) fn begin(&self, entries: usize, bytes: usize) -> Option<u64> {
        let mut appends = self.lock();
        if appends.since.len() >= self.appends_max || !self.bytes.take(bytes) {
            return None;
        }
        let number = appends.next;
        appends.next += 1;
        appends.entries += entries;
        appends.since.insert(number, Instant::now());
        Some(number)
    }

    /// The append has its answer. Tells how long it waited.
    pub(super) fn end(&self, number: u64, entries: usize, bytes: usize) -> Duration {
        let mut appends = self.lock();
        self.bytes.give_back(bytes);
        appends.entries -= entries;
        let since = appends.since.remove(&number);
        if appends.since.is_empty() {
            self.emptied.notify_all();
        }
        since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// For how long the oldest one has been waiting.
    pub(super) fn oldest(&self) -> Option<Duration> {
        self.lock().since.first_key_value().map(|(_, since)| since.elapsed())
    }

    /// Waits until none waits; false if that took longer than `timeout`.
    pub(super) fn wait_for_none(&self, timeout: Duration) -> bool {
        let (appends, _) = self
            .emptied
            .wait_timeout_while(self.lock(), timeout, |appends| !appends.since.is_empty())
            .unwrap_or_else(PoisonError::into_inner);
        appends.since.is_empty()
    }

    pub(super) fn entries(&self) -> usize {
        self.lock().entries
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.bytes()
    }

    fn lock(&self) -> MutexGuard<'_, Appends> {
        self.appends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_a_limit_has_to_wait_alone() {
        let waiting = Waiting::new(3, 100);
        let large = waiting.begin(50, 1_000).expect("alone, anything may wait");
        assert_eq!(waiting.begin(1, 1), None);
        assert!(waiting.oldest().is_some() && !waiting.wait_for_none(Duration::ZERO));
        waiting.end(large, 50, 1_000);
        assert!(waiting.oldest().is_none() && waiting.wait_for_none(Duration::ZERO));
        let cases = [(6, 50, true), (1, 51, false), (4, 49, true), (1, 1, true), (1, 0, false)];
        for (entries, bytes, fits) in cases {
            assert_eq!(waiting.begin(entries, bytes).is_some(), fits, "{entries} entries, {bytes} bytes");
        }
        assert_eq!((waiting.entries(), waiting.bytes()), (11, 100));
    }
}
