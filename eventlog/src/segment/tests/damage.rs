//! Damage: what is cut, what is reported, and what a former life of the disk's blocks may not do.

use super::{dir, fill, noise, open, options_at, read_all, segment_files, small};
use crate::log::ReadError;
use crate::segment::model_fs::ModelFs;
use crate::segment::{OpenError, SegmentLog, SegmentOptions};
use bytes::Bytes;
use std::sync::Arc;

/// A frame of one entry of 100 bytes that lz4 does not shrink.
const FRAME_BYTES: usize = 56 + 4 + 100;
const HEADER_BYTES: usize = 40;

fn roomy() -> SegmentOptions {
    options_at(1_000, 1 << 20, 300)
}

fn try_open(fs: &ModelFs) -> Result<SegmentLog, OpenError> {
    SegmentLog::open(Arc::new(fs.clone()), &dir(), roomy())
}

#[test]
fn a_torn_tail_is_cut_and_written_over() {
    for torn_bytes in [1, 30, 56, 57, FRAME_BYTES - 1] {
        let fs = ModelFs::new();
        let mut log = open(&fs, roomy());
        let entries = fill(&mut log, 5);
        drop(log);
        let file = &segment_files(&fs)[0];
        let mut bytes = fs.contents(file);
        bytes.truncate(HEADER_BYTES + 4 * FRAME_BYTES + torn_bytes);
        fs.put(file, &bytes);
        let mut log = open(&fs, roomy());
        assert_eq!(read_all(&log, 1_000).expect("reads"), entries[..4], "{torn_bytes} bytes left");
        log.append(&entries[4..]).expect("there is room");
        log.sync().expect("the disk works");
        assert_eq!(read_all(&open(&fs, roomy()), 1_000).expect("reads"), entries);
    }
}

#[test]
fn damage_that_a_later_frame_disproves_to_be_torn_keeps_the_log_closed() {
    for damaged in 0..4_u64 {
        let fs = ModelFs::new();
        let mut log = open(&fs, roomy());
        fill(&mut log, 5);
        drop(log);
        let file = &segment_files(&fs)[0];
        let offset = (HEADER_BYTES + usize::try_from(damaged).expect("small") * FRAME_BYTES) as u64;
        fs.rot(file, (offset + 70) * 8);
        let before = fs.contents(file);
        match try_open(&fs) {
            Err(OpenError::Corrupt { offset: told, sequence, .. }) => {
                assert_eq!((told, sequence), (offset, damaged));
            }
            Err(other) => panic!("{other}"),
            Ok(log) => panic!("frame {damaged} was given up, leaving {:?}", log.bounds()),
        }
        assert_eq!(fs.contents(file), before, "nothing is changed");
    }
}

#[test]
fn after_a_mark_the_last_frame_is_protected_too() {
    let fs = ModelFs::new();
    let mut log = open(&fs, roomy());
    fill(&mut log, 5);
    log.mark().expect("there is room");
    drop(log);
    let file = &segment_files(&fs)[0];
    fs.rot(file, (HEADER_BYTES + 4 * FRAME_BYTES + 20) as u64 * 8);
    assert!(matches!(try_open(&fs), Err(OpenError::Corrupt { sequence: 4, .. })));
}

#[test]
fn an_append_over_several_frames_is_cut_as_a_whole() {
    let fs = ModelFs::new();
    let mut log = open(&fs, roomy());
    let entries = fill(&mut log, 2);
    let large: Vec<Bytes> = (10..20).map(|seed| noise(seed, 100)).collect();
    log.append(&large).expect("there is room");
    log.sync().expect("the disk works");
    drop(log);
    let file = &segment_files(&fs)[0];
    let mut bytes = fs.contents(file);
    bytes.truncate(bytes.len() - 1);
    fs.put(file, &bytes);
    assert_eq!(read_all(&open(&fs, roomy()), 1_000).expect("reads"), entries);
}

#[test]
fn damage_in_an_old_segment_is_reported_where_it_is_and_never_skipped() {
    let fs = ModelFs::new();
    let mut log = open(&fs, small());
    let entries = fill(&mut log, 60);
    drop(log);
    fs.rot(&segment_files(&fs)[1], (HEADER_BYTES + 3 * FRAME_BYTES + 80) as u64 * 8);
    let log = open(&fs, small());
    let damaged = log.read(0, usize::MAX).expect("what stands before the damage is good").len();
    assert!(damaged > 0 && damaged < 60);
    match log.read(damaged as u64, 1_000) {
        Err(ReadError::Corrupt { sequence, .. }) => assert_eq!(sequence, damaged as u64),
        other => panic!("{other:?}"),
    }
    assert!(matches!(log.reader().read_one(damaged as u64), Err(ReadError::Corrupt { .. })));
    let behind = log.read(damaged as u64 + 1, 100).expect("what stands behind the damage is good");
    assert_eq!(behind[0].bytes, entries[damaged + 1]);
}

#[test]
fn a_lost_or_damaged_index_is_rebuilt() {
    let fs = ModelFs::new();
    let mut log = open(&fs, small());
    let entries = fill(&mut log, 60);
    drop(log);
    let indexes: Vec<_> = fs
        .files()
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
        .collect();
    assert!(indexes.len() > 2);
    fs.rot(&indexes[0], 100);
    fs.put(&indexes[1], b"");
    assert_eq!(read_all(&open(&fs, small()), 1_000).expect("reads"), entries);
}

#[test]
fn a_missing_segment_is_reported() {
    let fs = ModelFs::new();
    let mut log = open(&fs, small());
    fill(&mut log, 60);
    drop(log);
    let files = segment_files(&fs);
    crate::segment::Fs::remove(&fs, &files[1]).expect("it is there");
    let log = open(&fs, small());
    assert!(matches!(log.read(0, 100), Err(ReadError::Corrupt { .. })));
}

#[test]
fn a_damaged_header_over_frames_keeps_the_log_closed() {
    let fs = ModelFs::new();
    let mut log = open(&fs, roomy());
    fill(&mut log, 3);
    drop(log);
    fs.rot(&segment_files(&fs)[0], 100);
    assert!(matches!(try_open(&fs), Err(OpenError::Corrupt { offset: 0, sequence: 0, .. })));
}

#[test]
fn a_former_life_of_the_blocks_is_never_read_as_new() {
    let former = {
        let fs = ModelFs::new();
        fill(&mut open(&fs, roomy()), 9);
        fs.contents(&segment_files(&fs)[0])
    };
    let fs = ModelFs::new();
    let later = || options_at(2_000, 1 << 20, 300);
    let mut log = open(&fs, later());
    let entries: Vec<Bytes> = (100..103).map(|seed| noise(seed, 100)).collect();
    for entry in &entries {
        log.append(std::slice::from_ref(entry)).expect("there is room");
        log.sync().expect("the disk works");
    }
    drop(log);
    let file = &segment_files(&fs)[0];
    let mut bytes = fs.contents(file);
    // Frames of the former life follow exactly, with the sequences and marks that would fit.
    bytes.extend_from_slice(&former[bytes.len()..]);
    fs.put(file, &bytes);
    let log = open(&fs, later());
    assert_eq!(read_all(&log, 1_000).expect("reads"), entries);
}
