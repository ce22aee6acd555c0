//! The limit on bytes that wait to be written.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts bytes in, and refuses what is over the limit.
pub(crate) struct QueueLimit {
    bytes: AtomicUsize,
    bytes_max: usize,
}

impl QueueLimit {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes: AtomicUsize::new(0), bytes_max }
    }

    /// Whether `bytes` more may wait; if so, they are counted. What is larger than the limit has to wait alone.
    pub(crate) fn take(&self, bytes: usize) -> bool {
        let fits = |waiting: usize| {
            let after = waiting.saturating_add(bytes);
            (waiting == 0 || after <= self.bytes_max).then_some(after)
        };
        self.bytes.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok()
    }

    /// The bytes wait no longer.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::AcqRel);
    }

    /// Bytes that wait now.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}
