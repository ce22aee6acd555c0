//! A log in memory, for the tests of other crates. It keeps the contract but for durability: what is appended is
//! as durable as the value itself. Tests can make it refuse and forget.

use crate::log::{AppendError, AppendFuture, Bounds, Entry, EventLog, LogStatus, ReadError, RetentionError};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tributary_model::Timestamp;

/// See the module.
#[derive(Debug, Default)]
pub struct MemoryLog {
    kept: Mutex<Kept>,
    grown: Condvar,
    end: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    first: u64,
    /// Each with the first sequence of its append, which stands for a frame.
    entries: VecDeque<(u64, Bytes)>,
    bytes: u64,
    protected: BTreeMap<&'static str, u64>,
    refusal: Option<AppendError>,
    loses_answers: bool,
    unreadable: bool,
    /// Entries whose next single read fails.
    fail_once: BTreeSet<u64>,
}

impl Kept {
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    fn append(&mut self, entries: Vec<Bytes>) -> Result<Range<u64>, AppendError> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let first = self.end();
        self.bytes += entries.iter().map(|entry| entry.len() as u64).sum::<u64>();
        self.entries.extend(entries.into_iter().map(|entry| (first, entry)));
        if self.loses_answers { Err(AppendError::Unknown) } else { Ok(first..self.end()) }
    }

    fn check_readable(&self) -> Result<(), ReadError> {
        if self.unreadable { Err(ReadError::Unavailable("a test says so".to_owned())) } else { Ok(()) }
    }

    fn offset(&self, sequence: u64) -> Result<usize, ReadError> {
        match sequence.checked_sub(self.first) {
            Some(offset) => Ok(usize::try_from(offset).unwrap_or(usize::MAX)),
            None => Err(ReadError::Expired { first: self.first }),
        }
    }
}

impl MemoryLog {
    /// An empty log.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes every append fail with this, or succeed again.
    pub fn set_refusal(&self, refusal: Option<AppendError>) {
        self.lock().refusal = refusal;
    }

    /// Makes every append store its entries and yet answer that this is unknown, or answer as usual again.
    pub fn lose_answers(&self, loses: bool) {
        self.lock().loses_answers = loses;
    }

    /// Makes every read fail for now, as that of a broker that is away, or succeed again.
    pub fn set_unreadable(&self, unreadable: bool) {
        self.lock().unreadable = unreadable;
    }

    /// Makes the next read of that entry alone fail, as that of a broker that is away for a moment.
    pub fn fail_once(&self, sequence: u64) {
        self.lock().fail_once.insert(sequence);
    }

    /// Forgets entries below `sequence`, as retention would, but for what readers protect.
    pub fn expire_before(&self, sequence: u64) {
        let mut kept = self.lock();
        let needed = kept.protected.values().copied().min().unwrap_or(u64::MAX);
        let until = sequence.min(needed).min(kept.end());
        while kept.first < until {
            let bytes = kept.entries.pop_front().map_or(0, |(_, entry)| entry.len() as u64);
            kept.bytes -= bytes;
            kept.first += 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventLog for MemoryLog {
    fn append(&self, entries: Vec<Bytes>) -> AppendFuture {
        let mut kept = self.lock();
        let appended = kept.append(entries);
        self.end.send_replace(kept.end());
        drop(kept);
        self.grown.notify_all();
        Box::pin(std::future::ready(appended))
    }

    fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let kept = self.lock();
        kept.check_readable()?;
        let mut left = bytes_max;
        let mut read = Vec::new();
        for (sequence, (frame, bytes)) in (from..).zip(kept.entries.iter().skip(kept.offset(from)?)) {
            if !read.is_empty() && (left == 0 || bytes.len() > left) {
                break;
            }
            left = left.saturating_sub(bytes.len());
            read.push(Entry { sequence, frame: *frame, bytes: bytes.clone() });
        }
        Ok(read)
    }

    fn read_one(&self, sequence: u64, _frame: u64) -> Result<Option<Bytes>, ReadError> {
        let mut kept = self.lock();
        kept.check_readable()?;
        if kept.fail_once.remove(&sequence) {
            return Err(ReadError::Unavailable("a test says so, once".to_owned()));
        }
        Ok(kept.entries.get(kept.offset(sequence)?).map(|(_, bytes)| bytes.clone()))
    }

    fn bounds(&self) -> Bounds {
        let kept = self.lock();
        Bounds { first: kept.first, end: kept.end() }
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    fn wait_past(&self, sequence: u64, timeout: Duration) -> bool {
        let (kept, _) = self
            .grown
            .wait_timeout_while(self.lock(), timeout, |kept| kept.end() <= sequence)
            .unwrap_or_else(PoisonError::into_inner);
        kept.end() > sequence
    }

    fn protect(&self, reader: &'static str, from: u64) {
        self.lock().protected.insert(reader, from);
    }

    fn status(&self) -> LogStatus {
        let kept = self.lock();
        LogStatus { accepting: kept.refusal.is_none(), refusal: kept.refusal.clone(), bytes_kept: kept.bytes }
    }

    fn enforce_retention(&self, _now: Timestamp) -> Result<Bounds, RetentionError> {
        match self.status().refusal {
            Some(AppendError::Closed) => Err(RetentionError::Closed),
            Some(_) | None => Ok(self.bounds()),
        }
    }

    fn close(&self) {
        self.set_refusal(Some(AppendError::Closed));
    }
}
