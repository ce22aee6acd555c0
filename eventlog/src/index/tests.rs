//! The indexes through their public face, against a reference that keeps everything in a list.

mod names;
mod reference;

use super::*;
use fjall::{Database, PersistMode};
use std::sync::atomic::AtomicBool;
use tempfile::TempDir;
use tributary_model::{MessageId, SourceId};

const DAY: i64 = days::DAY_MICROS;

fn database(dir: &TempDir) -> Database {
    Database::builder(dir.path()).worker_threads(2).open().expect("a database opens in a fresh directory")
}

fn open(dir: &TempDir) -> Indexes {
    Indexes::open(database(dir), IndexOptions::default()).expect("indexes open")
}

fn key(workspace: u32, id: &str) -> MessageKey {
    MessageKey::new(WorkspaceId(workspace), SourceId(1), &MessageId::parse(id).expect("a valid id"))
}

fn seen(sequence: u64, micros: i64) -> FirstSeen {
    FirstSeen { sequence, frame: sequence, received_at: Timestamp::from_micros(micros) }
}

fn event(sequence: u64, micros: i64) -> IndexedEvent {
    let at = Timestamp::from_micros(micros);
    IndexedEvent { event_time: at, sequence, frame: sequence, received_at: at }
}

fn newest(limit: usize) -> EventQuery {
    EventQuery { start: None, end: None, order: EventOrder::Newest, after: None, limit, first_sequence: 0 }
}

#[test]
fn workspaces_with_equal_ids_and_fragments_never_meet() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    let fragment = [7; 16];
    for stage in ["in memory", "stored"] {
        indexes.record_message(key(1, "m"), seen(0, 5));
        indexes.record_event(WorkspaceId(1), fragment, event(0, 5));
        let now = Timestamp::from_micros(6);
        assert_eq!(indexes.first_seen(&key(1, "m"), 9, now).expect("readable"), Some(seen(0, 5)), "{stage}");
        assert_eq!(indexes.first_seen(&key(2, "m"), 9, now).expect("readable"), None, "{stage}");
        assert_eq!(indexes.find_message(&key(2, "m")).expect("readable"), None, "{stage}");
        let events = |workspace| {
            indexes.events(WorkspaceId(workspace), &[fragment], newest(9)).expect("readable").len()
        };
        assert_eq!((events(1), events(2)), (1, 0), "{stage}");
        indexes.flush(1).expect("writable");
    }
}

#[test]
fn the_watermark_survives_and_never_falls() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    assert_eq!(indexes.watermark(), 0);
    indexes.record_message(key(1, "m"), seen(3, 5));
    assert_eq!(indexes.recorded(), 1);
    indexes.flush(4).expect("writable");
    assert_eq!(indexes.recorded(), 0);
    indexes.flush(2).expect("writable");
    assert_eq!(indexes.watermark(), 4);
    drop(indexes);
    let indexes = open(&dir);
    assert_eq!(indexes.watermark(), 4);
    assert_eq!(indexes.find_message(&key(1, "m")).expect("readable"), Some(seen(3, 5)));
}

#[test]
fn days_are_dropped_once_nothing_needs_them() {
    let dir = TempDir::new().expect("a temporary directory");
    let db = database(&dir);
    let options = IndexOptions { message_window: Duration::from_secs(86_400), message_days_kept: 2 };
    let indexes = Indexes::open(db.clone(), options).expect("indexes open");
    for day in 0..6_u32 {
        let (sequence, at) = (u64::from(day), i64::from(day) * DAY + 1);
        indexes.record_message(key(1, &format!("m{day}")), seen(sequence, at));
        indexes.record_event(WorkspaceId(1), [1; 16], event(sequence, at));
    }
    indexes.flush(6).expect("writable");
    let days = || {
        let mut names: Vec<String> = db.list_keyspace_names().iter().map(ToString::to_string).collect();
        names.retain(|name| name != "idx_meta");
        names.sort();
        names.iter().map(|name| name.replace("idx_", "")).collect::<Vec<_>>().join(" ")
    };
    let day = |number: i64| Timestamp::from_micros(number * DAY + 1);
    let all = "evt_0 evt_1 evt_2 evt_3 evt_4 evt_5 msg_0 msg_1 msg_2 msg_3 msg_4 msg_5";
    assert_eq!(days(), all);
    indexes.expire(day(5), 0, day(0)).expect("writable");
    assert_eq!(days(), all, "everything may still be read again");
    indexes.expire(day(5), 2, day(2)).expect("writable");
    assert_eq!(days(), "evt_2 evt_3 evt_4 evt_5 msg_2 msg_3 msg_4 msg_5");
    indexes.expire(day(5), 6, day(5)).expect("writable");
    assert_eq!(days(), "msg_3 msg_4 msg_5", "the days kept count from the log time");
    assert_eq!(indexes.find_message(&key(1, "m2")).expect("readable"), None);
    assert_eq!(indexes.find_message(&key(1, "m3")).expect("readable"), Some(seen(3, 3 * DAY + 1)));
    assert_eq!(indexes.events(WorkspaceId(1), &[[1; 16]], newest(9)).expect("readable"), []);

    indexes.record_event(WorkspaceId(1), [1; 16], event(7, 1));
    indexes.flush(8).expect("a dropped day can come back");
    assert_eq!(indexes.events(WorkspaceId(1), &[[1; 16]], newest(9)).expect("readable"), [event(7, 1)]);
}

#[test]
fn one_id_keeps_a_bounded_number_of_sightings_a_day() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    let count = SIGHTINGS_PER_DAY_MAX as u64 + 10;
    for sequence in 0..count {
        indexes.record_message(key(1, "m"), seen(sequence, 1));
        if sequence % 20 == 0 {
            indexes.flush(sequence + 1).expect("writable");
        }
    }
    indexes.flush(count).expect("writable");
    let before = |sequence| {
        let found = indexes.first_seen(&key(1, "m"), sequence, Timestamp::from_micros(2));
        found.expect("readable").map(|seen| seen.sequence)
    };
    assert_eq!(before(count), Some(count - 1));
    assert_eq!(before(12), Some(11));
    assert_eq!(before(10), None, "the oldest were given up");
}

#[test]
fn many_ids_are_found_and_absent_ones_are_not() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    let count = 30_000_u64;
    for sequence in 0..count {
        indexes.record_message(key(1, &format!("m{sequence}")), seen(sequence, 1));
        if sequence % 7_000 == 0 {
            indexes.flush(sequence + 1).expect("writable");
        }
    }
    indexes.flush(count).expect("writable");
    let now = Timestamp::from_micros(1);
    for sequence in 0..count {
        let known = indexes.first_seen(&key(1, &format!("m{sequence}")), count, now).expect("readable");
        assert_eq!(known, Some(seen(sequence, 1)));
        let absent = indexes.first_seen(&key(1, &format!("n{sequence}")), count, now).expect("readable");
        assert_eq!(absent, None);
    }
}

#[test]
fn another_format_is_refused() {
    let dir = TempDir::new().expect("a temporary directory");
    drop(open(&dir));
    let db = database(&dir);
    let meta = db.keyspace("idx_meta", fjall::KeyspaceCreateOptions::default).expect("is there");
    meta.insert("format", 2_u32.to_be_bytes()).expect("writable");
    db.persist(PersistMode::SyncAll).expect("writable");
    let refused = Indexes::open(db, IndexOptions::default()).err().expect("must be refused");
    assert!(matches!(refused, IndexError::Format { found: 2, supported: 1 }), "{refused}");
}

/// Readers run while entries are recorded and flushed; whatever had been recorded when a read began is found.
#[test]
fn readers_see_no_gap_while_a_flush_runs() {
    const FLUSHES: u64 = 25;
    const ENTRIES_PER_FLUSH: u64 = 200;
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    let recorded = AtomicU64::new(0);
    let flushed = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);

    let read = |mut random: u64| {
        let mut draw = |below: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % below
        };
        while !done.load(Ordering::Acquire) {
            let end = recorded.load(Ordering::Acquire);
            if end == 0 {
                continue;
            }
            // Mostly what is being flushed, or was just now.
            let reach = if draw(4) == 0 { end } else { end.min(2 * ENTRIES_PER_FLUSH) };
            check_reads(&indexes, end - 1 - draw(reach), end);
            reads.fetch_add(1, Ordering::Relaxed);
        }
    };

    std::thread::scope(|scope| {
        let readers = [scope.spawn(|| read(1)), scope.spawn(|| read(2))];
        let flusher = scope.spawn(|| {
            for round in 0..FLUSHES {
                // Something to write, and something recorded while it is written.
                while recorded.load(Ordering::Acquire) < round * ENTRIES_PER_FLUSH + ENTRIES_PER_FLUSH / 2 {
                    std::thread::yield_now();
                }
                indexes.flush(recorded.load(Ordering::Acquire)).expect("writable");
                flushed.store(round + 1, Ordering::Release);
            }
        });
        for sequence in 0..FLUSHES * ENTRIES_PER_FLUSH {
            let flushes_needed = sequence / ENTRIES_PER_FLUSH;
            while flushed.load(Ordering::Acquire) < flushes_needed && !flusher.is_finished() {
                std::thread::yield_now();
            }
            // The readers are at work before the first flush.
            while sequence == 1
                && reads.load(Ordering::Relaxed) == 0
                && !readers.iter().all(|reader| reader.is_finished())
            {
                std::thread::yield_now();
            }
            indexes.record_message(numbered(sequence), seen(sequence, moment(sequence)));
            let fragment = [1 + u8::from(sequence.is_multiple_of(2)); 16];
            indexes.record_event(WorkspaceId(1), fragment, event(sequence, moment(sequence)));
            recorded.store(sequence + 1, Ordering::Release);
        }
        let flushed = flusher.join();
        done.store(true, Ordering::Release);
        for reader in readers {
            reader.join().expect("a reader met a gap");
        }
        flushed.expect("every flush succeeds");
    });
    assert!(reads.load(Ordering::Relaxed) > 0);
    indexes.flush(FLUSHES * ENTRIES_PER_FLUSH).expect("writable");
    assert_eq!(indexes.watermark(), FLUSHES * ENTRIES_PER_FLUSH);
}

/// Every third entry is of another day, so that a flush writes several keyspaces.
fn moment(sequence: u64) -> i64 {
    i64::try_from(sequence).expect("small") + i64::from(sequence.is_multiple_of(3)) * DAY
}

fn numbered(sequence: u64) -> MessageKey {
    key(1, &format!("m{sequence}"))
}

/// Reads one entry, and a page of events from it on, when everything below `end` had been recorded.
fn check_reads(indexes: &Indexes, sequence: u64, end: u64) {
    let found = indexes.find_message(&numbered(sequence)).expect("readable");
    assert_eq!(found, Some(seen(sequence, moment(sequence))));

    let start = Timestamp::from_micros(moment(sequence));
    let query = EventQuery { start: Some(start), order: EventOrder::Oldest, ..newest(40) };
    let page = indexes.events(WorkspaceId(1), &[[1; 16], [2; 16]], query).expect("readable");
    assert!(page.is_sorted_by_key(|event| (event.event_time, event.sequence)));
    // The page may also hold what was recorded meanwhile, in between and behind.
    let last = page.last().map_or(start, |last| last.event_time);
    for other in (0..end).map(|sequence| event(sequence, moment(sequence))) {
        if (start..=last).contains(&other.event_time) {
            assert!(page.contains(&other), "{other:?} is missing of {end} in {page:?}");
        }
    }
}
