//! What of a segment file is whole: told from the file alone, frame by frame.
//!
//! A frame counts if it is intact, of the segment's epoch, and begins with the next sequence; an append that
//! spans frames counts once its last frame does. The first place where that ends is one of two things:
//!
//! - A *torn tail*: what follows was being written when the machine stopped. Nothing of it was acknowledged, and
//!   whatever pieces of it reached the disk are cut off.
//! - *Bit rot*: an intact frame further on carries a `synced` mark beyond that place, so what stood there had
//!   been durable, perhaps acknowledged. Cutting would lose it without a word, so opening fails.

use super::frame::{FrameHeader, HEADER_BYTES, MAGIC};
use super::fs::FsFile;
use super::header::SEGMENT_HEADER_BYTES;
use super::index::SparseIndex;
use std::io;

/// Bytes read at a time.
const WINDOW_BYTES: usize = 1 << 20;

/// What a scan found.
#[derive(Debug)]
pub(crate) struct Scanned {
    /// The index over the whole appends; its `bytes` is where the last of them ends.
    pub(crate) index: SparseIndex,
    /// The highest `synced` mark among them.
    pub(crate) synced: u64,
    /// Whether the file ends with the last whole append, or how it goes on.
    pub(crate) tail: Tail,
}

/// What stands behind the last whole append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tail {
    /// Nothing.
    Clean,
    /// Remains of a write that was never durable.
    Torn,
    /// Damage to what was durable, at this offset, beginning with this sequence.
    Rotten { offset: u64, sequence: u64 },
}

/// Scans the segment that begins with sequence `first` in `epoch`.
pub(crate) fn scan(file: &dyn FsFile, first: u64, epoch: u64) -> io::Result<Scanned> {
    let mut window = Window::over(file)?;
    let mut index = SparseIndex::empty(first, epoch);
    let mut synced = first;
    let mut offset = index.bytes;
    let mut next = first;
    // Frames of an append whose last frame has not been met yet.
    let mut open: Vec<(u32, u64)> = Vec::new();
    while let Some(header) = intact_frame(&mut window, offset, epoch)? {
        if header.first != next {
            break;
        }
        open.push((header.count, header.frame_bytes() as u64));
        offset += header.frame_bytes() as u64;
        next = header.end();
        if !header.continues() {
            for (count, bytes) in open.drain(..) {
                index.push(count, bytes);
            }
            synced = synced.max(header.synced);
        }
    }
    let tail = if index.bytes == window.file_bytes {
        Tail::Clean
    } else if durable_beyond(&mut window, offset, epoch, index.end)? {
        Tail::Rotten { offset, sequence: next }
    } else {
        Tail::Torn
    };
    Ok(Scanned { index, synced, tail })
}

/// Whether a file whose header can't be read holds any frame of the segment that begins with `first`. The header
/// is durable before the first frame is written, so then it is the header that was damaged.
pub(crate) fn holds_frames(file: &dyn FsFile, first: u64) -> io::Result<bool> {
    let mut window = Window::over(file)?;
    let mut offset = 0;
    while let Some(found) = find_magic(&mut window, offset)? {
        if intact_frame_of_any_epoch(&mut window, found)?.is_some_and(|header| header.synced >= first) {
            return Ok(true);
        }
        offset = found + 1;
    }
    Ok(false)
}

/// Whether an intact frame behind `offset` tells that more than `end` had been durable.
fn durable_beyond(window: &mut Window<'_>, offset: u64, epoch: u64, end: u64) -> io::Result<bool> {
    let mut offset = offset.max(SEGMENT_HEADER_BYTES as u64);
    while let Some(found) = find_magic(window, offset)? {
        if intact_frame(window, found, epoch)?.is_some_and(|header| header.synced > end) {
            return Ok(true);
        }
        offset = found + 1;
    }
    Ok(false)
}

fn intact_frame(window: &mut Window<'_>, offset: u64, epoch: u64) -> io::Result<Option<FrameHeader>> {
    let header = FrameHeader::parse(window.read(offset, HEADER_BYTES)?);
    match header.filter(|header| header.epoch == epoch) {
        Some(_) => intact_frame_of_any_epoch(window, offset),
        None => Ok(None),
    }
}

fn intact_frame_of_any_epoch(window: &mut Window<'_>, offset: u64) -> io::Result<Option<FrameHeader>> {
    let Some(header) = FrameHeader::parse(window.read(offset, HEADER_BYTES)?) else { return Ok(None) };
    let frame = window.read(offset, header.frame_bytes())?;
    Ok(header.check(frame).then_some(header))
}

/// The first place at or behind `offset` where a frame may begin.
fn find_magic(window: &mut Window<'_>, mut offset: u64) -> io::Result<Option<u64>> {
    loop {
        let bytes = window.ahead(offset)?;
        if bytes.len() < HEADER_BYTES {
            return Ok(None);
        }
        if let Some(found) = memchr::memmem::find(bytes, &MAGIC) {
            return Ok(Some(offset + found as u64));
        }
        offset += (bytes.len() - (MAGIC.len() - 1)) as u64;
    }
}

/// A moving view of a file.
struct Window<'a> {
    file: &'a dyn FsFile,
    file_bytes: u64,
    offset: u64,
    buffer: Vec<u8>,
}

impl<'a> Window<'a> {
    fn over(file: &'a dyn FsFile) -> io::Result<Self> {
        Ok(Self { file, file_bytes: file.len()?, offset: 0, buffer: Vec::new() })
    }

    /// What is at hand from `offset` on, if it has room for a header; else the next stretch of the file.
    fn ahead(&mut self, offset: u64) -> io::Result<&[u8]> {
        let at_hand = offset
            .checked_sub(self.offset)
            .and_then(|skip| self.buffer.len().checked_sub(usize::try_from(skip).ok()?))
            .filter(|left| *left >= HEADER_BYTES);
        self.read(offset, at_hand.unwrap_or(WINDOW_BYTES))
    }

    /// The `len` bytes at `offset`; fewer at the end of the file.
    fn read(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let left = usize::try_from(self.file_bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(left);
        let inside = offset
            .checked_sub(self.offset)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + len <= self.buffer.len());
        let skip = match inside {
            Some(skip) => skip,
            None => {
                self.buffer.resize(len.max(WINDOW_BYTES.min(left)), 0);
                let read = self.file.read_at(&mut self.buffer, offset)?;
                self.buffer.truncate(read);
                self.offset = offset;
                0
            }
        };
        Ok(&self.buffer[skip..(skip + len).min(self.buffer.len())])
    }
}
