//! The segment log over the modelled file system.

mod damage;
mod model;

use super::model_fs::ModelFs;
use super::{Fs, SegmentLog, SegmentOptions};
use crate::log::{Bounds, ReadError};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tributary_model::Timestamp;
use tributary_model::clock::ManualClock;

fn dir() -> PathBuf {
    PathBuf::from("/log")
}

fn options_at(millis: i64, segment_bytes: u64, frame_bytes: usize) -> SegmentOptions {
    let clock = Arc::new(ManualClock::at(Timestamp::from_millis(millis)));
    SegmentOptions { segment_bytes, frame_bytes, clock }
}

fn small() -> SegmentOptions {
    options_at(1_000, 2_000, 300)
}

fn open(fs: &ModelFs, options: SegmentOptions) -> SegmentLog {
    SegmentLog::open(Arc::new(fs.clone()), &dir(), options).expect("the log is whole")
}

/// Entries that lz4 can't shrink.
fn noise(seed: u64, bytes: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut noise = Vec::with_capacity(bytes);
    while noise.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.push(state.to_le_bytes()[3]);
    }
    noise.into()
}

fn fill(log: &mut SegmentLog, entries: u64) -> Vec<Bytes> {
    let entries: Vec<Bytes> = (0..entries).map(|number| noise(number, 100)).collect();
    for entry in &entries {
        log.append(std::slice::from_ref(entry)).expect("there is room");
        log.sync().expect("the disk works");
    }
    entries
}

fn read_all(log: &SegmentLog, bytes_max: usize) -> Result<Vec<Bytes>, ReadError> {
    let Bounds { first, end } = log.bounds();
    let mut all = Vec::new();
    let mut next = first;
    while next < end {
        let entries = log.read(next, bytes_max)?;
        assert!(!entries.is_empty(), "a read below the end gives something");
        for entry in entries {
            assert_eq!(entry.sequence, next, "sequences have no gaps");
            next += 1;
            all.push(entry.bytes);
        }
    }
    Ok(all)
}

fn segment_files(fs: &ModelFs) -> Vec<PathBuf> {
    let files = fs.files().into_iter().map(|(path, _)| path);
    files.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).collect()
}

#[test]
fn large_appends_span_frames_and_stay_one() {
    let fs = ModelFs::new();
    let mut log = open(&fs, SegmentOptions::default());
    let entries: Vec<Bytes> = [3 << 20, 10, 64 << 10, 0, 200_000, 1 << 20]
        .iter()
        .enumerate()
        .map(
            |(seed, bytes)| {
                if seed % 2 == 0 { noise(seed as u64, *bytes) } else { Bytes::from(vec![7_u8; *bytes]) }
            },
        )
        .collect();
    assert_eq!(log.append(&entries).expect("there is room"), 0..6);
    assert_eq!(log.bounds().end, 0, "not readable before it is durable");
    log.sync().expect("the disk works");
    for bytes_max in [1, 100_000, usize::MAX] {
        assert_eq!(read_all(&log, bytes_max).expect("reads"), entries);
    }
    for (sequence, entry) in (0..).zip(&entries) {
        assert_eq!(log.reader().read_one(sequence).expect("reads").as_ref(), Some(entry));
    }
    assert_eq!(read_all(&open(&fs, SegmentOptions::default()), 1 << 20).expect("reads"), entries);
}

#[test]
fn what_is_too_large_is_refused_and_the_log_goes_on() {
    let mut log = open(&ModelFs::new(), small());
    let entry = Bytes::from(vec![0_u8; super::ENTRY_BYTES_MAX + 1]);
    let refused = log.append(&[entry]).expect_err("larger than an entry may be");
    assert_eq!(refused.kind(), std::io::ErrorKind::InvalidInput);
    fill(&mut log, 3);
    assert_eq!(log.bounds().end, 3);
}

#[test]
fn compressible_entries_take_less_room() {
    let fs = ModelFs::new();
    let mut log = open(&fs, SegmentOptions::default());
    let entries = vec![Bytes::from(vec![b'x'; 1000]); 1000];
    log.append(&entries).expect("there is room");
    log.sync().expect("the disk works");
    assert!(log.kept_bytes() < 50_000, "{} bytes kept", log.kept_bytes());
    assert_eq!(read_all(&log, 10_000).expect("reads"), entries);
}

#[test]
fn opening_reads_the_last_segment_alone() {
    let read_to_open = |entries| {
        let fs = ModelFs::new();
        let mut log = open(&fs, small());
        fill(&mut log, entries);
        log.roll().expect("there is room");
        fill(&mut log, 5);
        drop(log);
        let before = fs.read_bytes();
        let log = open(&fs, small());
        assert_eq!(log.bounds().end, entries + 5);
        fs.read_bytes() - before
    };
    assert_eq!(read_to_open(20), read_to_open(2_000));
}

#[test]
fn reading_an_old_segment_reads_its_index_and_not_all_of_it() {
    let fs = ModelFs::new();
    let cut = || options_at(1_000, 1 << 20, 300);
    let mut log = open(&fs, cut());
    let entries = fill(&mut log, 9_000);
    drop(log);
    let log = open(&fs, cut());
    let before = fs.read_bytes();
    assert_eq!(log.reader().read_one(3_000).expect("reads").as_ref(), Some(&entries[3_000]));
    let read = fs.read_bytes() - before;
    assert!(read < 60_000, "{read} bytes read");
    let before = fs.read_bytes();
    assert_eq!(log.reader().read_one(3_000).expect("reads").as_ref(), Some(&entries[3_000]));
    assert_eq!(fs.read_bytes(), before, "a frame read a moment ago is kept");
}

#[test]
fn dropping_removes_whole_segments_and_clearing_all() {
    let fs = ModelFs::new();
    let mut log = open(&fs, small());
    let entries = fill(&mut log, 100);
    let files = segment_files(&fs).len();
    log.drop_before(50).expect("files can be removed");
    let Bounds { first, end } = log.bounds();
    assert!(first > 30 && first <= 50 && end == 100, "{first}..{end}");
    assert!(segment_files(&fs).len() < files);
    assert!(matches!(log.read(first - 1, 1), Err(ReadError::Expired { first: told }) if told == first));
    assert!(matches!(log.reader().read_one(0), Err(ReadError::Expired { .. })));
    assert_eq!(read_all(&log, 1_000).expect("reads"), entries[usize::try_from(first).expect("small")..]);
    log.clear().expect("there is room");
    assert_eq!(log.bounds(), Bounds { first: 100, end: 100 });
    assert_eq!(fs.files().len(), 1);
    log.append(&entries[..2]).expect("there is room");
    log.sync().expect("the disk works");
    assert_eq!(open(&fs, small()).bounds(), Bounds { first: 100, end: 102 });
}

#[test]
fn a_segment_that_was_only_begun_is_begun_again() {
    let begun = dir().join(format!("{:020}.seg", 10));
    for rest in [&b""[..], b"TSg1", &[0; 40]] {
        let fs = ModelFs::new();
        let entries = fill(&mut open(&fs, small()), 10);
        fs.put(&begun, rest);
        let mut log = open(&fs, small());
        assert_eq!(read_all(&log, 1_000).expect("reads"), entries);
        assert_eq!(log.append(&entries[..1]).expect("there is room"), 10..11);
    }
}

#[test]
fn the_real_file_system_keeps_a_log() {
    let temporary = tempfile::tempdir().expect("a directory can be made");
    let dir = temporary.path().join("deep").join("log");
    let open =
        |dir: &Path| SegmentLog::open(Arc::new(super::RealFs), dir, small()).expect("the log is whole");
    let mut log = open(&dir);
    let entries = fill(&mut log, 100);
    log.drop_before(40).expect("files can be removed");
    let first = log.bounds().first;
    drop(log);
    let log = open(&dir);
    assert_eq!(log.bounds(), Bounds { first, end: 100 });
    assert_eq!(read_all(&log, 500).expect("reads"), entries[usize::try_from(first).expect("small")..]);
    let space = super::RealFs.space(&dir).expect("free space can be told");
    assert!(space.free_bytes <= space.total_bytes);
}
