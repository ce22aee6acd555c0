//! The embedded log: the conformance suite, and what only it has.

use super::{EmbeddedLog, Fatal, LogOptions};
use crate::log::{AppendError, Bounds, EventLog, RetentionError};
use crate::segment::Space;
use crate::segment::model_fs::ModelFs;
use crate::suite::{self, Appends, wait};
use crate::{MemoryLog, OpenError};
use bytes::Bytes;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tributary_model::Timestamp;
use tributary_model::clock::ManualClock;

const HOUR_MICROS: i64 = 3_600_000_000;

/// A log that must not fail.
fn never() -> Fatal {
    fn fail(reason: &str) {
        panic!("{reason}");
    }
    Arc::new(fail)
}

fn options(fs: &ModelFs) -> LogOptions {
    LogOptions {
        segment_bytes: 4_000,
        frame_bytes: 1_000,
        space_check_interval: Duration::ZERO,
        fs: Arc::new(fs.clone()),
        ..LogOptions::new("test")
    }
}

fn open(options: LogOptions) -> EmbeddedLog {
    EmbeddedLog::open(Path::new("/log"), options, never()).expect("the log is whole")
}

fn append(log: &EmbeddedLog, entries: usize) {
    for _ in 0..entries {
        wait(log.append(vec![entry(log.bounds().end)])).expect("the log takes appends");
    }
}

/// 400 bytes that lz4 does not shrink much.
fn entry(seed: u64) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..50).flat_map(|_| next()).collect()
}

#[test]
fn the_memory_log_conforms() {
    suite::run(Appends::Whole, || Arc::new(MemoryLog::new()));
}

#[test]
fn the_embedded_log_conforms_on_the_real_file_system() {
    let temporary = tempfile::tempdir().expect("a directory can be made");
    let made = AtomicUsize::new(0);
    suite::run(Appends::Whole, || {
        let dir = temporary.path().join(made.fetch_add(1, Ordering::Relaxed).to_string());
        // The machine that runs the tests may be short of space; the mark has a test of its own.
        let options = LogOptions { free_space_bytes: 0, ..LogOptions::new("test") };
        Arc::new(EmbeddedLog::open(&dir, options, never()).expect("an empty log opens"))
    });
}

#[test]
fn the_embedded_log_conforms_with_small_segments() {
    suite::run(Appends::Whole, || Arc::new(open(options(&ModelFs::new()))));
}

#[test]
fn a_log_goes_on_where_it_was_closed() {
    let fs = ModelFs::new();
    for round in 0..5 {
        let log = open(options(&fs));
        assert_eq!(log.bounds(), Bounds { first: 0, end: round * 10 });
        assert_eq!(*log.watch().borrow(), round * 10);
        append(&log, 10);
    }
}

#[test]
fn a_failed_sync_acknowledges_nothing_and_is_final() {
    let fs = ModelFs::new();
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&reasons);
    let fatal: Fatal =
        Arc::new(move |reason: &str| heard.lock().expect("not poisoned").push(reason.to_owned()));
    let log = EmbeddedLog::open(Path::new("/log"), options(&fs), fatal).expect("an empty log opens");
    append(&log, 2);
    fs.set_failing_syncs(true);
    let before = fs.syncs();
    let pending: Vec<_> = (0..20).map(|seed| log.append(vec![entry(seed)])).collect();
    for append in pending {
        assert_eq!(wait(append), Err(AppendError::Closed));
    }
    assert_eq!(fs.syncs(), before + 1, "it is never retried");
    fs.set_failing_syncs(false);
    assert_eq!(wait(log.append(vec![entry(0)])), Err(AppendError::Closed));
    assert_eq!(log.status().refusal, Some(AppendError::Closed));
    assert_eq!(log.bounds().end, 2);
    assert_eq!(log.read(0, 10_000).expect("it can be read").len(), 2);
    log.close();
    assert_eq!(fs.syncs(), before + 1, "closing does not try again either");
    let reasons = reasons.lock().expect("not poisoned");
    assert_eq!(reasons.len(), 1);
    assert!(reasons[0].contains("fsync failed"), "{}", reasons[0]);
}

#[test]
fn appends_stop_at_the_free_space_mark_and_go_on_by_themselves() {
    let fs = ModelFs::new();
    let log = open(options(&fs));
    let gigabyte = 1_u64 << 30;
    // Whether appends are taken with so much free of so much.
    let cases = [
        ("5 % of a small disk", gigabyte / 10, gigabyte, true),
        ("less than 5 % of a small disk", gigabyte / 25, gigabyte, false),
        ("2 GB of a large disk", 2 * gigabyte, 1_000 * gigabyte, true),
        ("less than 2 GB of a large disk", 2 * gigabyte - 1, 1_000 * gigabyte, false),
        ("room again", 100 * gigabyte, 1_000 * gigabyte, true),
    ];
    for (name, free_bytes, total_bytes, takes) in cases {
        fs.set_space(Space { free_bytes, total_bytes });
        let end = log.bounds().end;
        let appended = wait(log.append(vec![entry(end)]));
        match appended {
            Ok(range) => assert!(takes && range == (end..end + 1), "{name}: {range:?}"),
            Err(AppendError::NoSpace { free_bytes: told, .. }) => {
                assert!(!takes && told == free_bytes, "{name}");
            }
            Err(other) => panic!("{name}: {other}"),
        }
        assert_eq!(log.status().accepting, takes, "{name}");
    }
    let refused = AppendError::NoSpace { free_bytes: 0, mark_bytes: 0 };
    assert_eq!(refused.retry_after_seconds(), Some(10));
}

#[test]
fn a_full_disk_refuses_whole_appends_and_leaves_nothing_behind() {
    let fs = ModelFs::new();
    let log = open(options(&fs));
    append(&log, 3);
    for room in [0, 1, 60, 700] {
        fs.set_room(Some(room));
        let refused = wait(log.append((0..5).map(entry).collect()));
        assert!(matches!(refused, Err(AppendError::NoSpace { .. })), "{room} bytes left: {refused:?}");
        fs.set_room(None);
        append(&log, 1);
    }
    drop(log);
    assert_eq!(open(options(&fs)).bounds().end, 7);
}

#[test]
fn a_full_disk_shows_in_the_status_for_a_while() {
    let fs = ModelFs::new();
    let log = open(LogOptions { space_check_interval: Duration::from_secs(3600), ..options(&fs) });
    fs.set_room(Some(10));
    assert!(wait(log.append(vec![entry(0)])).is_err());
    assert!(!log.status().accepting);
}

#[test]
fn retention_by_bytes_spares_what_readers_need_and_then_appends_wait() {
    let fs = ModelFs::new();
    let log = open(LogOptions { retention_bytes: Some(20_000), ..options(&fs) });
    log.protect("slow", 5);
    log.protect("fast", u64::MAX);
    let refusal = loop {
        match wait(log.append(vec![entry(log.bounds().end)])) {
            Ok(_) => assert!(log.status().bytes_kept < 40_000, "appends go on beyond the limit"),
            Err(refusal) => break refusal,
        }
    };
    assert!(
        matches!(refusal, AppendError::Backlog { limit_bytes: 25_000, reader: "slow", kept_bytes } if kept_bytes > 25_000),
        "{refusal:?}"
    );
    let now = Timestamp::from_millis(0);
    assert_eq!(log.enforce_retention(now).expect("retention runs").first, 0, "the reader needs it");
    assert!(matches!(log.status().refusal, Some(AppendError::Backlog { .. })));
    log.protect("slow", log.bounds().end);
    assert!(log.status().accepting, "nothing is in retention's way any more");
    let bounds = log.enforce_retention(now).expect("retention runs");
    assert!(bounds.first > 5, "{bounds:?}");
    assert!(log.status().bytes_kept <= 20_000);
    append(&log, 1);
    drop(log);
    let again = open(options(&fs));
    assert_eq!(again.bounds(), Bounds { first: bounds.first, end: bounds.end + 1 });
}

#[test]
fn retention_by_age_removes_old_segments_and_quiet_ones_too() {
    let fs = ModelFs::new();
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(1_000_000)));
    let at = |hours: i64| Timestamp::from_millis(1_000_000).plus_micros(hours * HOUR_MICROS);
    let log = open(LogOptions {
        retention_age: Some(Duration::from_secs(10 * 3600)),
        clock: Arc::<ManualClock>::clone(&clock),
        ..options(&fs)
    });
    append(&log, 30);
    clock.set(at(6));
    append(&log, 30);
    assert_eq!(log.enforce_retention(at(6)).expect("retention runs").first, 0);
    let first = log.enforce_retention(at(11)).expect("retention runs").first;
    assert!(first > 15 && first <= 30, "{first}");
    clock.set(at(12));
    log.protect("reader", 40);
    log.enforce_retention(at(12)).expect("retention runs");
    let first = log.enforce_retention(at(100)).expect("retention runs").first;
    assert!(first > 30 && first <= 40, "{first}");
    log.protect("reader", 60);
    let bounds = log.enforce_retention(at(100)).expect("retention runs");
    assert_eq!(bounds, Bounds { first: 60, end: 60 }, "also what no further append pushes out");
    log.close();
    assert!(matches!(log.enforce_retention(at(100)), Err(RetentionError::Closed)));
}

#[test]
fn what_was_acknowledged_survives_power_loss_under_load() {
    for seed in 0..60 {
        let fs = ModelFs::new();
        // The modelled power loss looks like a failing disk to the log.
        let log = EmbeddedLog::open(Path::new("/log"), options(&fs), Arc::new(|_: &str| {}));
        let log = Arc::new(log.expect("an empty log opens"));
        fs.set_changes_left(Some(seed % 40));
        let writers: Vec<_> = (0..4_u64)
            .map(|writer| {
                let log = Arc::clone(&log);
                std::thread::spawn(move || {
                    let mut acknowledged = Vec::new();
                    for round in 0.. {
                        let entries =
                            vec![entry(writer * 1_000 + round), entry(writer * 1_000 + round + 500)];
                        match wait(log.append(entries.clone())) {
                            Ok(range) => acknowledged.push((range.start, entries)),
                            Err(_) => break,
                        }
                    }
                    acknowledged
                })
            })
            .collect();
        let acknowledged: Vec<_> =
            writers.into_iter().flat_map(|writer| writer.join().expect("it does not panic")).collect();
        drop(log);
        fs.crash(seed);
        let log = open(options(&fs));
        for (first, entries) in acknowledged {
            for (sequence, entry) in (first..).zip(entries) {
                let found = log.read_one(sequence, 0).expect("it is whole");
                assert_eq!(found, Some(entry), "sequence {sequence}, seed {seed}");
            }
        }
        assert_eq!(log.bounds().end % 2, 0, "no append is back in part");
    }
}

#[test]
fn the_queue_refuses_what_is_over_its_limits() {
    let log = open(options(&ModelFs::new()));
    let entry = Bytes::from(vec![0_u8; crate::segment::ENTRY_BYTES_MAX + 1]);
    let refused = wait(log.append(vec![entry])).expect_err("larger than an entry may be");
    assert_eq!(refused.code(), tributary_model::ErrorCode::TooLarge);
    assert_eq!(refused.retry_after_seconds(), None);
    let limit = super::QueueLimit::new(100);
    assert!(limit.take(1_000), "alone, anything may wait");
    assert!(!limit.take(1));
    limit.give_back(1_000);
    assert!(limit.take(60) && limit.take(40) && !limit.take(1));
}

#[test]
fn damage_to_what_was_acknowledged_keeps_the_log_closed() {
    let fs = ModelFs::new();
    let log = open(LogOptions { segment_bytes: 1 << 20, ..options(&fs) });
    append(&log, 10);
    log.close();
    let (file, _) = fs.files().into_iter().next().expect("one segment");
    fs.rot(&file, 8 * 2_000);
    match EmbeddedLog::open(Path::new("/log"), options(&fs), never()) {
        Err(OpenError::Corrupt { offset, .. }) => assert!(offset <= 2_000),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("the damage went unseen"),
    }
}
