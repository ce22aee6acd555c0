//! How far a preview is, and the word to stop it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared by whoever runs a preview and whoever waits for it.
#[derive(Debug, Default)]
pub struct PreviewProgress {
    read: AtomicU64,
    of: AtomicU64,
    cancelled: AtomicBool,
}

impl PreviewProgress {
    /// How many records it has read.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// How many there are to read; 0 until it has begun.
    pub fn of(&self) -> u64 {
        self.of.load(Ordering::Relaxed)
    }

    /// Tells it to end soon, without a report.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to end.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, read: u64, of: u64) {
        self.of.store(of, Ordering::Relaxed);
        self.read.store(read, Ordering::Relaxed);
    }
}
