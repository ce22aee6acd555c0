//! A frame: the unit that is written, checked and read as one.
//!
//! A header of 56 bytes, little-endian, and a body:
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | magic `TFr1` |
//! | 4..8 | CRC-32 of everything behind it: rest of the header, stored body |
//! | 8..12 | length of the stored body |
//! | 12..16 | length of the body once decoded |
//! | 16..24 | epoch of the segment: a frame with another one is a former life of the disk's blocks |
//! | 24..32 | first sequence |
//! | 32..40 | `synced`: when this was written, everything below this sequence was durable |
//! | 40..48 | written at, milliseconds since 1970: for whoever has to examine a file |
//! | 48..52 | number of entries; 0 for a mark, which only carries `synced` |
//! | 52..56 | flags: 1 the body is an lz4 block, 2 the append goes on in the next frame |
//!
//! The decoded body is, for each entry, its length (4 bytes) and its bytes. A body that lz4 does not shrink is
//! stored as it is.

use crate::log::Entry;
use bytes::Bytes;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

/// Bytes of a frame's header.
pub(crate) const HEADER_BYTES: usize = 56;
/// What every frame begins with.
pub(crate) const MAGIC: [u8; 4] = *b"TFr1";
/// Bytes that an entry takes in a body beside its own.
pub(crate) const ENTRY_OVERHEAD_BYTES: usize = 4;
/// The largest body that can be, stored or decoded: one entry of the largest size with room to spare. A header
/// that claims more is damaged.
pub(crate) const BODY_BYTES_MAX: usize = 80 << 20;
/// Bodies smaller than this are not worth compressing.
const COMPRESS_FROM_BYTES: usize = 128;

const FLAG_LZ4: u32 = 1;
const FLAG_CONTINUES: u32 = 2;

/// A header as it was read, not yet trusted: only `check` proves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    crc: u32,
    pub(crate) stored_bytes: u32,
    decoded_bytes: u32,
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) synced: u64,
    pub(crate) count: u32,
    flags: u32,
}

impl FrameHeader {
    /// Reads a header from the front of `bytes`; `None` if it is too short or clearly is none.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER_BYTES)?;
        if header[..4] != MAGIC {
            return None;
        }
        let parsed = Self {
            crc: u32_at(header, 4),
            stored_bytes: u32_at(header, 8),
            decoded_bytes: u32_at(header, 12),
            epoch: u64_at(header, 16),
            first: u64_at(header, 24),
            synced: u64_at(header, 32),
            count: u32_at(header, 48),
            flags: u32_at(header, 52),
        };
        let plausible = parsed.stored_bytes as usize <= BODY_BYTES_MAX
            && parsed.decoded_bytes as usize <= BODY_BYTES_MAX
            && parsed.first.checked_add(u64::from(parsed.count)).is_some();
        plausible.then_some(parsed)
    }

    /// One past the last sequence.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Bytes that the frame takes in its file.
    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES + self.stored_bytes as usize
    }

    /// Whether the append that this frame belongs to goes on in the next frame.
    pub(crate) fn continues(&self) -> bool {
        self.flags & FLAG_CONTINUES != 0
    }

    /// Whether `frame`, header and stored body, is what was once written.
    pub(crate) fn check(&self, frame: &[u8]) -> bool {
        frame.len() == self.frame_bytes() && crc32fast::hash(&frame[8..]) == self.crc
    }

    /// The body's decoded form; `frame` has to have passed [`Self::check`]. `None` if it does not decode, which
    /// a passed check rules out but for a fault in writing.
    pub(crate) fn decode(&self, frame: &Bytes) -> Option<Bytes> {
        if self.flags & FLAG_LZ4 == 0 {
            return Some(frame.slice(HEADER_BYTES..));
        }
        let mut body = vec![0; self.decoded_bytes as usize];
        let decoded = decompress_into(&frame[HEADER_BYTES..], &mut body).ok()?;
        (decoded == body.len()).then(|| Bytes::from(body))
    }
}

/// A decoded frame.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) first: u64,
    pub(crate) count: u32,
    body: Bytes,
}

impl Frame {
    /// From a frame's header and its file bytes. `None` if it is damaged.
    pub(crate) fn open(header: &FrameHeader, bytes: &Bytes) -> Option<Self> {
        if !header.check(bytes) {
            return None;
        }
        let frame = Self { first: header.first, count: header.count, body: header.decode(bytes)? };
        (frame.entries().count() == frame.count as usize).then_some(frame)
    }

    /// One past the last sequence.
    pub(crate) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Bytes of the decoded body.
    pub(crate) fn body_bytes(&self) -> usize {
        self.body.len()
    }

    /// The entries in order; they share the body's memory.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> + '_ {
        let mut offset = 0;
        (self.first..self.end()).map_while(move |sequence| {
            let start = offset + ENTRY_OVERHEAD_BYTES;
            let len = u32_at(self.body.get(offset..start)?, 0) as usize;
            let end = start.checked_add(len).filter(|end| *end <= self.body.len())?;
            offset = end;
            Some(Entry { sequence, frame: self.first, bytes: self.body.slice(start..end) })
        })
    }
}

/// What the frames of one write have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    pub(crate) synced: u64,
    pub(crate) written_at_millis: i64,
}

/// Whether the append of a frame ends with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    Here,
    InALaterFrame,
}

/// Adds a frame around `body` (entries as [`put_entry`] wrote them) to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, stamp: &Stamp, first: u64, count: u32, body: &[u8], ends: Ends) {
    let start = out.len();
    let body_start = start + HEADER_BYTES;
    let mut flags = if ends == Ends::InALaterFrame { FLAG_CONTINUES } else { 0 };
    let mut stored_bytes = body.len();
    out.resize(body_start, 0);
    if body.len() >= COMPRESS_FROM_BYTES {
        out.resize(body_start + get_maximum_output_size(body.len()), 0);
        if let Ok(shrunk) = compress_into(body, &mut out[body_start..])
            && shrunk < body.len()
        {
            stored_bytes = shrunk;
            flags |= FLAG_LZ4;
        }
    }
    if flags & FLAG_LZ4 == 0 {
        out.truncate(body_start);
        out.extend_from_slice(body);
    } else {
        out.truncate(body_start + stored_bytes);
    }
    let header = &mut out[start..body_start];
    header[..4].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&length(stored_bytes).to_le_bytes());
    header[12..16].copy_from_slice(&length(body.len()).to_le_bytes());
    header[16..24].copy_from_slice(&stamp.epoch.to_le_bytes());
    header[24..32].copy_from_slice(&first.to_le_bytes());
    header[32..40].copy_from_slice(&stamp.synced.to_le_bytes());
    header[40..48].copy_from_slice(&stamp.written_at_millis.to_le_bytes());
    header[48..52].copy_from_slice(&count.to_le_bytes());
    header[52..56].copy_from_slice(&flags.to_le_bytes());
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
}

/// Adds one entry to a body.
pub(crate) fn put_entry(body: &mut Vec<u8>, entry: &[u8]) {
    body.extend_from_slice(&length(entry.len()).to_le_bytes());
    body.extend_from_slice(entry);
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("entries are refused above 64 MB, so no frame comes near 4 GB")
}

/// The little-endian number at `offset`.
pub(crate) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

/// The little-endian number at `offset`.
pub(crate) fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}
