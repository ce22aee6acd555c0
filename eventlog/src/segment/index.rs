//! The sparse index of a segment: where to begin reading for a sequence.
//!
//! While a segment is written it lives in memory. When the segment is full it goes into a file beside it
//! (`.idx`), little-endian: magic `TIx1`, CRC-32 of what follows, epoch, first sequence, end sequence, length of
//! the segment (8 bytes each), then for each point its sequence and offset, relative to the segment (4 bytes
//! each). The file is a shortcut: if it is missing or damaged, the segment is scanned instead.

use super::frame::{u32_at, u64_at};
use super::header::SEGMENT_HEADER_BYTES;

const MAGIC: [u8; 4] = *b"TIx1";
const FIXED_BYTES: usize = 40;
/// A point at least this many bytes apart: what a read has to pass over at most, but for one frame.
const POINT_EVERY_BYTES: u64 = 16 << 10;

/// A frame's place in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The frame's first sequence.
    pub(crate) sequence: u64,
    /// Where the frame begins in the file.
    pub(crate) offset: u64,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SparseIndex {
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    /// One past the last sequence.
    pub(crate) end: u64,
    /// Where the last frame ends.
    pub(crate) bytes: u64,
    points: Vec<(u32, u32)>,
}

impl SparseIndex {
    /// The index of a segment without frames.
    pub(crate) fn empty(first: u64, epoch: u64) -> Self {
        Self { epoch, first, end: first, bytes: SEGMENT_HEADER_BYTES as u64, points: Vec::new() }
    }

    /// Takes in the next frame: `count` entries in `frame_bytes` bytes.
    pub(crate) fn push(&mut self, count: u32, frame_bytes: u64) {
        let due = self.points.last().is_none_or(|last| self.bytes >= u64::from(last.1) + POINT_EVERY_BYTES);
        if due && count > 0 {
            // A place too far off for four bytes gets no point: reads then begin further ahead.
            let point = (u32::try_from(self.end - self.first), u32::try_from(self.bytes));
            if let (Ok(sequence), Ok(offset)) = point {
                self.points.push((sequence, offset));
            }
        }
        self.end += u64::from(count);
        self.bytes += frame_bytes;
    }

    /// The last known frame that begins at or before `sequence`.
    pub(crate) fn locate(&self, sequence: u64) -> Place {
        let wanted = u32::try_from(sequence.saturating_sub(self.first)).unwrap_or(u32::MAX);
        let behind = self.points.partition_point(|point| point.0 <= wanted);
        match behind.checked_sub(1).map(|found| self.points[found]) {
            Some((sequence, offset)) => {
                Place { sequence: self.first + u64::from(sequence), offset: u64::from(offset) }
            }
            None => Place { sequence: self.first, offset: SEGMENT_HEADER_BYTES as u64 },
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES + self.points.len() * 8);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[0; 4]);
        for number in [self.epoch, self.first, self.end, self.bytes] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (sequence, offset) in &self.points {
            bytes.extend_from_slice(&sequence.to_le_bytes());
            bytes.extend_from_slice(&offset.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are damaged.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let intact = bytes.len() >= FIXED_BYTES
            && bytes[..4] == MAGIC
            && u32_at(bytes, 4) == crc32fast::hash(&bytes[8..]);
        intact.then(|| Self {
            epoch: u64_at(bytes, 8),
            first: u64_at(bytes, 16),
            end: u64_at(bytes, 24),
            bytes: u64_at(bytes, 32),
            points: bytes[FIXED_BYTES..]
                .chunks_exact(8)
                .map(|point| (u32_at(point, 0), u32_at(point, 4)))
                .collect(),
        })
    }
}
