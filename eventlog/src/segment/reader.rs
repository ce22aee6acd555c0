//! Reading: many readers at once, beside the writer, of durable entries only.

use super::frame::{Frame, FrameHeader, HEADER_BYTES};
use super::fs::FsFile;
use super::index::Place;
use super::shared::{CachedFrame, KnownPlace, Segment, Shared};
use crate::log::{Bounds, Entry, ReadError};
use bytes::Bytes;
use std::sync::Arc;
use tributary_model::Timestamp;

/// Bytes fetched at a time by a sequential read: at least, and at most (a larger frame is fetched whole).
const WINDOW_BYTES_MIN: usize = 64 << 10;
const WINDOW_BYTES_MAX: usize = 1 << 20;
/// Bytes fetched first for a single entry: a stretch of the sparse index and a frame of usual size.
const SINGLE_WINDOW_BYTES: usize = 32 << 10;

/// Reads a log's durable entries; cheap to clone, and to use from many threads.
#[derive(Clone)]
pub struct SegmentReader {
    pub(crate) shared: Arc<Shared>,
}

impl SegmentReader {
    /// What can be read now.
    pub fn bounds(&self) -> Bounds {
        self.shared.bounds()
    }

    /// As [`crate::EventLog::read`].
    ///
    /// # Errors
    /// As [`crate::EventLog::read`].
    pub fn read(&self, from: u64, bytes_max: usize) -> Result<Vec<Entry>, ReadError> {
        let bounds = self.bounds();
        if from < bounds.first {
            return Err(ReadError::Expired { first: bounds.first });
        }
        let mut batch = Batch { entries: Vec::new(), next: from, bytes_left: bytes_max };
        while batch.next < bounds.end && !batch.is_full() {
            match self.read_segment(&mut batch, bounds.end, bytes_max) {
                Ok(()) => {}
                // What was read before it is good; the damage is met again by the next read.
                Err(_) if !batch.entries.is_empty() => break,
                Err(error) => return Err(self.shared.explain(error, from)),
            }
        }
        Ok(batch.entries)
    }

    /// As [`crate::EventLog::read_one`].
    ///
    /// # Errors
    /// As [`crate::EventLog::read`].
    pub fn read_one(&self, sequence: u64) -> Result<Option<Bytes>, ReadError> {
        let bounds = self.bounds();
        if sequence < bounds.first {
            return Err(ReadError::Expired { first: bounds.first });
        }
        if sequence >= bounds.end {
            return Ok(None);
        }
        let found = match self.shared.cached(sequence) {
            Some(cached) => cached.frame,
            None => self.fetch(sequence).map_err(|error| self.shared.explain(error, sequence))?,
        };
        Ok(found.entries().find(|entry| entry.sequence == sequence).map(|entry| entry.bytes))
    }

    /// Bytes of all segments.
    pub fn kept_bytes(&self) -> u64 {
        self.shared.kept_bytes()
    }

    /// Where the oldest segment ends, if others follow it.
    pub(crate) fn oldest_segment_end(&self) -> Option<u64> {
        self.shared.second_segment()
    }

    /// The segments that are written to no more, oldest first.
    pub(crate) fn full_segments(&self) -> Vec<FullSegment> {
        let segments = self.shared.segments();
        let pairs = segments.windows(2);
        pairs
            .map(|pair| FullSegment {
                end: pair[1].first,
                bytes: pair[0].bytes(),
                next: Arc::clone(&pair[1]),
            })
            .collect()
    }

    /// When the last entry of a full segment had been written: as the next segment was made.
    pub(crate) fn written_before(&self, segment: &FullSegment) -> Result<Timestamp, ReadError> {
        Ok(Timestamp::from_millis(self.shared.header(&segment.next)?.created_at_millis))
    }

    /// Reads on within one segment until the batch is full or the segment ends.
    fn read_segment(&self, batch: &mut Batch, end: u64, bytes_max: usize) -> Result<(), ReadError> {
        let (segment, next_segment) = self.shared.find(batch.next)?;
        if let Some(cached) = self.shared.cached(batch.next) {
            if batch.take(&cached.frame) {
                self.shared.keep_place(batch.next, cached.behind);
            }
            return Ok(());
        }
        let window_bytes = bytes_max.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
        let mut cursor = Cursor::at(&self.shared, segment, next_segment, batch.next, window_bytes)?;
        let segment_end = next_segment.map_or(end, |next| next.min(end));
        while batch.next < segment_end && !batch.is_full() {
            let frame = cursor.frame_with(batch.next)?;
            let behind = cursor.known_place();
            if batch.take(&frame) {
                if batch.is_full() || batch.next == segment_end {
                    self.shared.keep_place(batch.next, behind);
                }
            } else {
                self.shared.keep_frame(CachedFrame { frame, behind });
            }
        }
        Ok(())
    }

    /// Reads the one frame that holds `sequence`, and keeps it.
    fn fetch(&self, sequence: u64) -> Result<Frame, ReadError> {
        let (segment, next_segment) = self.shared.find(sequence)?;
        let mut cursor = Cursor::at(&self.shared, segment, next_segment, sequence, SINGLE_WINDOW_BYTES)?;
        let frame = cursor.frame_with(sequence)?;
        self.shared.keep_frame(CachedFrame { frame: frame.clone(), behind: cursor.known_place() });
        Ok(frame)
    }
}

/// A segment that is written to no more.
pub(crate) struct FullSegment {
    /// One past its last sequence.
    pub(crate) end: u64,
    /// Its size.
    pub(crate) bytes: u64,
    next: Arc<Segment>,
}

/// The entries of one read.
struct Batch {
    entries: Vec<Entry>,
    next: u64,
    bytes_left: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.bytes_left == 0 && !self.entries.is_empty()
    }

    /// Takes from a frame what is wanted and fits; whether that was all to its end.
    fn take(&mut self, frame: &Frame) -> bool {
        let from = self.next;
        for entry in frame.entries().skip_while(|entry| entry.sequence < from) {
            if !self.entries.is_empty() && (self.bytes_left == 0 || entry.bytes.len() > self.bytes_left) {
                self.bytes_left = 0;
                return false;
            }
            self.bytes_left = self.bytes_left.saturating_sub(entry.bytes.len());
            self.next = entry.sequence + 1;
            self.entries.push(entry);
        }
        true
    }
}

/// Walks the frames of one segment.
struct Cursor {
    segment: Arc<Segment>,
    file: Arc<dyn FsFile>,
    epoch: u64,
    /// The next frame.
    place: Place,
    window: Bytes,
    window_offset: u64,
    window_bytes: usize,
}

impl Cursor {
    fn at(
        shared: &Shared,
        segment: Arc<Segment>,
        next_segment: Option<u64>,
        sequence: u64,
        window_bytes: usize,
    ) -> Result<Self, ReadError> {
        let (epoch, place) = shared.locate(&segment, next_segment, sequence)?;
        let file = shared.handle(&segment)?;
        Ok(Self { segment, file, epoch, place, window: Bytes::new(), window_offset: 0, window_bytes })
    }

    fn known_place(&self) -> KnownPlace {
        KnownPlace { segment: self.segment.first, place: self.place }
    }

    /// Goes on to the frame that holds `sequence`, and past it.
    fn frame_with(&mut self, sequence: u64) -> Result<Frame, ReadError> {
        loop {
            let header = FrameHeader::parse(&self.bytes(HEADER_BYTES)?)
                .filter(|header| header.epoch == self.epoch && header.first == self.place.sequence)
                .ok_or_else(|| self.corrupt("no frame where the next one should be"))?;
            let wanted = sequence < header.end();
            let frame = if wanted {
                let bytes = self.bytes(header.frame_bytes())?;
                let frame = Frame::open(&header, &bytes);
                Some(frame.ok_or_else(|| self.corrupt("a frame's checksum does not match"))?)
            } else {
                None
            };
            self.place =
                Place { sequence: header.end(), offset: self.place.offset + header.frame_bytes() as u64 };
            if let Some(frame) = frame {
                return Ok(frame);
            }
        }
    }

    /// The `len` bytes where the cursor stands.
    fn bytes(&mut self, len: usize) -> Result<Bytes, ReadError> {
        let offset = self.place.offset;
        let inside = offset
            .checked_sub(self.window_offset)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + len <= self.window.len());
        if let Some(skip) = inside {
            return Ok(self.window.slice(skip..skip + len));
        }
        let left = self.segment.bytes().saturating_sub(offset);
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        if len > left {
            return Err(self.corrupt("the file ends within a frame"));
        }
        let mut buffer = vec![0; len.max(self.window_bytes.min(left))];
        let read = self.file.read_at(&mut buffer, offset)?;
        buffer.truncate(read);
        if read < len {
            return Err(self.corrupt("the file ends within a frame"));
        }
        self.window = Bytes::from(buffer);
        self.window_offset = offset;
        Ok(self.window.slice(..len))
    }

    fn corrupt(&self, what: &'static str) -> ReadError {
        ReadError::Corrupt {
            file: self.segment.path.display().to_string(),
            offset: self.place.offset,
            sequence: self.place.sequence,
            what,
        }
    }
}
