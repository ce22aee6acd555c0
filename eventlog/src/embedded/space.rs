//! The free-space mark: appends stop before any store on the file system meets a full disk, and go on by
//! themselves once there is room.

use super::LogOptions;
use crate::log::AppendError;
use crate::segment::Fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// For how many check intervals a write that met a full disk speaks louder than the figures of free space, which
/// know nothing of quotas.
const FULL_FOR_INTERVALS: u32 = 10;

/// Whether older figures will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Figures {
    /// As old as the check interval at most.
    Recent,
    Fresh,
}

/// Watches the room on one file system.
pub(super) struct SpaceGuard {
    fs: Arc<dyn Fs>,
    dir: PathBuf,
    bytes_min: u64,
    percent_min: u8,
    interval: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    checked: Option<Instant>,
    free_bytes: u64,
    mark_bytes: u64,
    was_full: Option<Instant>,
}

impl SpaceGuard {
    pub(super) fn new(dir: &Path, options: &LogOptions) -> Self {
        let guard = Self {
            fs: Arc::clone(&options.fs),
            dir: dir.to_owned(),
            bytes_min: options.free_space_bytes,
            percent_min: options.free_space_percent,
            interval: options.space_check_interval,
            seen: Mutex::default(),
        };
        guard.check(&mut guard.lock(), Instant::now());
        guard
    }

    /// `NoSpace` while free space is below the mark, or the disk was full a moment ago.
    pub(super) fn refusal(&self, figures: Figures) -> Option<AppendError> {
        let mut seen = self.lock();
        let now = Instant::now();
        let stale = seen.checked.is_none_or(|checked| now.duration_since(checked) >= self.interval);
        if stale || figures == Figures::Fresh {
            self.check(&mut seen, now);
        }
        let full = seen
            .was_full
            .is_some_and(|at| now.duration_since(at) < self.interval.saturating_mul(FULL_FOR_INTERVALS));
        let short = seen.free_bytes < seen.mark_bytes;
        // An append may be tried as soon as the figures allow it; only `status` waits for the disk to settle.
        let refused = short || (full && figures == Figures::Fresh);
        refused.then_some(AppendError::NoSpace { free_bytes: seen.free_bytes, mark_bytes: seen.mark_bytes })
    }

    /// A write found no room.
    pub(super) fn met_full_disk(&self) -> AppendError {
        let mut seen = self.lock();
        let now = Instant::now();
        self.check(&mut seen, now);
        seen.was_full = Some(now);
        AppendError::NoSpace { free_bytes: seen.free_bytes, mark_bytes: seen.mark_bytes }
    }

    /// As last seen.
    pub(super) fn free_bytes(&self) -> u64 {
        self.lock().free_bytes
    }

    fn check(&self, seen: &mut Seen, now: Instant) {
        match self.fs.space(&self.dir) {
            Ok(space) => {
                let percent = u128::from(space.total_bytes) * u128::from(self.percent_min) / 100;
                seen.mark_bytes = self.bytes_min.min(u64::try_from(percent).unwrap_or(u64::MAX));
                seen.free_bytes = space.free_bytes;
            }
            // The last figures stand: a full disk still shows when it is written to.
            Err(error) => tracing::warn!(%error, "free space can't be told"),
        }
        seen.checked = Some(now);
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
