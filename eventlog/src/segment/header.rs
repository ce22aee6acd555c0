//! The front of a segment file, and the files' names.
//!
//! 40 bytes, little-endian: magic `TSg1`, CRC-32 of what follows, format version (4 bytes), zero (4 bytes),
//! first sequence, epoch, created at (milliseconds since 1970). The header is durable before the first frame
//! is written behind it.

use super::frame::{u32_at, u64_at};
use std::path::{Path, PathBuf};

/// Bytes of a segment's header: where its first frame begins.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 40;

const MAGIC: [u8; 4] = *b"TSg1";
const VERSION: u32 = 1;

/// What a segment file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) first: u64,
    pub(crate) epoch: u64,
    pub(crate) created_at_millis: i64,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.created_at_millis.to_le_bytes());
        let crc = crc32fast::hash(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if the bytes are no whole header of the segment that begins with sequence `first`.
    pub(crate) fn parse(bytes: &[u8], first: u64) -> Option<Self> {
        let bytes = bytes.get(..SEGMENT_HEADER_BYTES)?;
        let intact = bytes[..4] == MAGIC
            && u32_at(bytes, 4) == crc32fast::hash(&bytes[8..])
            && u32_at(bytes, 8) == VERSION
            && u64_at(bytes, 16) == first;
        intact.then(|| Self {
            first,
            epoch: u64_at(bytes, 24),
            created_at_millis: u64_at(bytes, 32).cast_signed(),
        })
    }
}

/// The file of the segment that begins with sequence `first`.
pub(crate) fn segment_path(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:020}.seg"))
}

/// The file of that segment's sparse index.
pub(crate) fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

/// The first sequence that a segment's file name tells; `None` for any other file.
pub(crate) fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    (digits.len() == 20 && digits.bytes().all(|digit| digit.is_ascii_digit()))
        .then(|| digits.parse().ok())
        .flatten()
}
