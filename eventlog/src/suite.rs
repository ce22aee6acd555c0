//! The conformance suite: what every log must do, run against each implementation by its tests. It panics where a
//! log does not keep the contract of [`crate::log`].
//!
//! Left out: what only some logs have (crashes, retention by bytes, lack of room); their own tests cover it.

use crate::log::{AppendError, Bounds, EventLog};
pub use crate::wait::wait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tributary_model::Timestamp;

/// Longer than any step of a healthy log takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a log promises of an append of several entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appends {
    /// All of them with consecutive sequences, or none.
    Whole,
    /// Each in its place behind the one before, others may lie between; after a failure some of them may be there.
    InOrder,
}

/// Runs every check on a fresh, empty log from `make`.
pub fn run(appends: Appends, mut make: impl FnMut() -> Arc<dyn EventLog>) {
    empty_log_has_nothing(&*make());
    appends_get_consecutive_sequences(&*make());
    appends_count_without_being_polled(&*make());
    reads_stop_at_the_bytes_asked_for(&*make());
    single_entries_are_found_with_and_without_hint(&*make());
    concurrent_appends_keep_what_is_promised(appends, &make());
    watchers_see_the_end_move(&make());
    retention_spares_what_is_young(&*make());
    closing_keeps_what_was_appended(&*make());
}

fn append(log: &dyn EventLog, entries: Vec<Bytes>) -> Range<u64> {
    wait(log.append(entries)).expect("a healthy log takes appends")
}

fn entry(number: u64, bytes: usize) -> Bytes {
    let mut entry = number.to_le_bytes().repeat(bytes.div_ceil(8));
    entry.truncate(bytes);
    entry.into()
}

fn read_all(log: &dyn EventLog, bytes_max: usize) -> Vec<Bytes> {
    let mut all = Vec::new();
    loop {
        let next = all.len() as u64;
        let entries = log.read(next, bytes_max).expect("a healthy log reads");
        if entries.is_empty() {
            return all;
        }
        for (entry, sequence) in entries.into_iter().zip(next..) {
            assert_eq!(entry.sequence, sequence, "sequences have no gaps");
            all.push(entry.bytes);
        }
    }
}

fn empty_log_has_nothing(log: &dyn EventLog) {
    assert_eq!(log.bounds(), Bounds { first: 0, end: 0 });
    assert!(log.read(0, 1000).expect("reading at the end is no error").is_empty());
    assert!(log.read(7, 1000).expect("nor is reading beyond it").is_empty());
    assert_eq!(log.read_one(0, 0).expect("a log can be asked for what is not there"), None);
    assert_eq!(append(log, Vec::new()), 0..0, "an append of nothing has an empty range");
    assert!(!log.wait_past(0, Duration::ZERO));
    assert!(log.status().accepting);
}

fn appends_get_consecutive_sequences(log: &dyn EventLog) {
    let appends = [vec![1, 0, 3], vec![70_000], vec![20], vec![40_000, 40_000, 10], vec![0]];
    let mut want = Vec::new();
    for sizes in appends {
        let first = want.len() as u64;
        let entries: Vec<Bytes> = sizes.iter().map(|size| entry(first + 1, *size)).collect();
        want.extend(entries.iter().cloned());
        assert_eq!(append(log, entries), first..want.len() as u64);
        assert_eq!(log.bounds(), Bounds { first: 0, end: want.len() as u64 }, "answered means readable");
    }
    assert_eq!(read_all(log, usize::MAX), want);
    assert_eq!(read_all(log, 1), want);
}

fn appends_count_without_being_polled(log: &dyn EventLog) {
    for number in 0..20 {
        drop(log.append(vec![entry(number, 9)]));
    }
    assert_eq!(append(log, vec![entry(20, 9)]), 20..21, "appends are ordered as they were called");
    assert_eq!(read_all(log, 100), (0..21).map(|number| entry(number, 9)).collect::<Vec<_>>());
}

fn reads_stop_at_the_bytes_asked_for(log: &dyn EventLog) {
    append(log, (0..100).map(|number| entry(number, 100)).collect());
    let counts = [(0, 1), (1, 1), (100, 1), (199, 1), (200, 2), (1000, 10), (1_000_000, 100)];
    for (bytes_max, want) in counts {
        assert_eq!(log.read(0, bytes_max).expect("reads").len(), want, "{bytes_max} bytes");
    }
    let from_the_middle: Vec<u64> =
        log.read(50, 300).expect("reads").into_iter().map(|entry| entry.sequence).collect();
    assert_eq!(from_the_middle, [50, 51, 52]);
}

fn single_entries_are_found_with_and_without_hint(log: &dyn EventLog) {
    for number in 0..50 {
        append(log, vec![entry(number, 3000), entry(number + 1000, 30)]);
    }
    for read in log.read(0, usize::MAX).expect("reads") {
        assert!(read.frame <= read.sequence);
        for hint in [read.frame, 0] {
            let found = log.read_one(read.sequence, hint).expect("reads");
            assert_eq!(found.as_ref(), Some(&read.bytes), "sequence {} by {hint}", read.sequence);
        }
    }
    assert_eq!(log.read_one(100, 0).expect("reads"), None);
}

fn concurrent_appends_keep_what_is_promised(appends: Appends, log: &Arc<dyn EventLog>) {
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let log = Arc::clone(log);
            thread::spawn(move || {
                for round in 0..50 {
                    let entries = vec![entry(writer * 1000 + round, 40); 3];
                    let range = append(&*log, entries.clone());
                    let read = log.read(range.start, 120).expect("what was answered is readable");
                    let read: Vec<Bytes> = read.into_iter().map(|entry| entry.bytes).collect();
                    assert_eq!(read[0], entries[0], "the range begins with the first entry");
                    assert!(appends == Appends::InOrder || read == entries);
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("the writer's checks hold");
    }
    assert_eq!(log.bounds().end, 8 * 50 * 3);
    let all = read_all(&**log, 5000);
    if appends == Appends::Whole {
        for whole in all.chunks(3) {
            assert!(whole.iter().all(|entry| *entry == whole[0]), "no append is cut apart");
        }
    }
    for writer in 0..8 {
        let want: Vec<Bytes> = (0..50).flat_map(|round| vec![entry(writer * 1000 + round, 40); 3]).collect();
        let got: Vec<Bytes> = all.iter().filter(|entry| want.contains(entry)).cloned().collect();
        assert_eq!(got, want, "each writer's appends are in order");
    }
}

fn watchers_see_the_end_move(log: &Arc<dyn EventLog>) {
    let watcher = log.watch();
    assert_eq!(*watcher.borrow(), 0);
    let waiting = {
        let log = Arc::clone(log);
        thread::spawn(move || log.wait_past(1, PATIENCE))
    };
    append(&**log, vec![entry(0, 5)]);
    append(&**log, vec![entry(1, 5)]);
    assert!(waiting.join().expect("waiting does not panic"));
    assert!(!log.wait_past(2, Duration::ZERO));
    assert_eq!(*watcher.borrow(), 2);
}

fn retention_spares_what_is_young(log: &dyn EventLog) {
    append(log, vec![entry(0, 100)]);
    log.protect("a reader", 0);
    let bounds = log.enforce_retention(Timestamp::from_millis(0)).expect("retention runs");
    assert_eq!(bounds, Bounds { first: 0, end: 1 });
}

fn closing_keeps_what_was_appended(log: &dyn EventLog) {
    let pending: Vec<_> = (0..30).map(|number| log.append(vec![entry(number, 50)])).collect();
    log.close();
    for (number, append) in (0..30).zip(pending) {
        assert_eq!(wait(append).expect("queued before it was closed"), number..number + 1);
    }
    assert_eq!(wait(log.append(vec![entry(0, 1)])), Err(AppendError::Closed));
    assert!(!log.status().accepting);
    assert_eq!(log.status().refusal, Some(AppendError::Closed));
    assert_eq!(read_all(log, 400).len(), 30, "a closed log can be read");
    log.close();
}
