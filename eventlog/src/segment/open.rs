//! Opening a log: the last segment is scanned and its torn tail cut off; the others are only listed.

use super::encoder::Encoder;
use super::fs::{Fs, FsFile};
use super::header::{SEGMENT_HEADER_BYTES, SegmentHeader, first_of_name, segment_path};
use super::index::SparseIndex;
use super::recovery::{Scanned, Tail, holds_frames, scan};
use super::segment_log::{OpenError, SegmentLog, SegmentOptions, create_segment, next_epoch};
use super::shared::{Segment, Shared};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The segment to write to, as it was found or made.
struct Last {
    path: PathBuf,
    file: Box<dyn FsFile>,
    header: SegmentHeader,
    scanned: Scanned,
}

pub(super) fn open(fs: Arc<dyn Fs>, dir: &Path, options: SegmentOptions) -> Result<SegmentLog, OpenError> {
    let io = |source| OpenError::Io { dir: dir.to_owned(), source };
    fs.create_dir(dir).map_err(io)?;
    let mut files: Vec<(u64, u64)> = fs
        .list(dir)
        .map_err(io)?
        .into_iter()
        .filter_map(|file| Some((first_of_name(&file.name)?, file.bytes)))
        .collect();
    files.sort_unstable();
    let last = loop {
        let Some((first, _)) = files.pop() else { break create(fs.as_ref(), dir, &options, 0).map_err(io)? };
        if let Some(last) = open_last(fs.as_ref(), dir, first)? {
            break last;
        }
        // The segment was being made when the machine stopped: nothing was ever written to it.
        if files.is_empty() {
            break create(fs.as_ref(), dir, &options, first).map_err(io)?;
        }
        fs.remove(&segment_path(dir, first)).map_err(io)?;
    };
    if last.scanned.tail == Tail::Torn {
        last.file.set_len(last.scanned.index.bytes).map_err(io)?;
    }
    // A process that stopped without the machine leaves bytes and names that were never synced.
    last.file.sync().map_err(io)?;
    fs.sync_dir(dir).map_err(io)?;
    let mut segments: Vec<Arc<Segment>> = files
        .into_iter()
        .map(|(first, bytes)| Arc::new(Segment::new(first, segment_path(dir, first), bytes)))
        .collect();
    let Scanned { index, synced, .. } = last.scanned;
    let (next, offset) = (index.end, index.bytes);
    let segment = Arc::new(Segment::active(last.path, last.header, index));
    segments.push(Arc::clone(&segment));
    let mut log = SegmentLog {
        shared: Arc::new(Shared::new(fs, dir, segments, next)),
        options,
        file: last.file,
        segment,
        header: last.header,
        offset,
        next,
        marked: synced,
        unsynced: false,
        failed: false,
        encoder: Encoder::default(),
    };
    log.mark().map_err(io)?;
    Ok(log)
}

fn create(fs: &dyn Fs, dir: &Path, options: &SegmentOptions, first: u64) -> io::Result<Last> {
    let now = options.clock.now();
    let header = SegmentHeader { first, epoch: next_epoch(0, now), created_at_millis: now.as_millis() };
    let path = segment_path(dir, first);
    let file = create_segment(fs, dir, &path, &header)?;
    let index = SparseIndex::empty(first, header.epoch);
    Ok(Last { path, file, header, scanned: Scanned { index, synced: first, tail: Tail::Clean } })
}

/// `None` if the file is an unfinished beginning.
fn open_last(fs: &dyn Fs, dir: &Path, first: u64) -> Result<Option<Last>, OpenError> {
    let io = |source| OpenError::Io { dir: dir.to_owned(), source };
    let path = segment_path(dir, first);
    let corrupt = |offset, sequence, what| OpenError::Corrupt {
        file: path.display().to_string(),
        offset,
        sequence,
        what,
    };
    let file = fs.open_write(&path).map_err(io)?;
    let mut bytes = [0; SEGMENT_HEADER_BYTES];
    let read = file.read_at(&mut bytes, 0).map_err(io)?;
    let Some(header) = SegmentHeader::parse(&bytes[..read], first) else {
        return match holds_frames(file.as_ref(), first).map_err(io)? {
            true => Err(corrupt(0, first, "the segment's header is not intact")),
            false => Ok(None),
        };
    };
    let scanned = scan(file.as_ref(), first, header.epoch).map_err(io)?;
    if let Tail::Rotten { offset, sequence } = scanned.tail {
        return Err(corrupt(offset, sequence, "a frame is not intact, and later ones are"));
    }
    Ok(Some(Last { path, file, header, scanned }))
}
