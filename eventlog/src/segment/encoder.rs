//! Packs appends into frames: small ones share a frame, one that does not fit into a frame spans several of its
//! own.

use super::frame::{ENTRY_OVERHEAD_BYTES, Ends, Stamp, encode, put_entry};
use bytes::Bytes;

/// Buffers larger than this are given back after use.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// Builds the frames of one write; its buffers are used again.
#[derive(Debug, Default)]
pub(crate) struct Encoder {
    /// Encoded frames, ready to be written.
    pub(crate) out: Vec<u8>,
    /// Count of entries and bytes of each frame encoded since [`Encoder::begin`].
    pub(crate) frames: Vec<(u32, u64)>,
    /// The frame being filled.
    body: Vec<u8>,
    count: u32,
    next: u64,
}

impl Encoder {
    /// Starts a write whose first entry gets sequence `next`.
    pub(crate) fn begin(&mut self, next: u64) {
        self.out.clear();
        self.out.shrink_to(KEPT_BYTES_MAX);
        self.body.clear();
        self.body.shrink_to(KEPT_BYTES_MAX);
        self.frames.clear();
        self.count = 0;
        self.next = next;
    }

    /// Adds one append, whole.
    pub(crate) fn push(&mut self, entries: &[Bytes], stamp: &Stamp, frame_bytes: usize) {
        let bytes: usize = entries.iter().map(|entry| entry.len() + ENTRY_OVERHEAD_BYTES).sum();
        if self.count > 0 && self.body.len() + bytes > frame_bytes {
            self.end_frame(stamp, Ends::Here);
        }
        for entry in entries {
            if self.count > 0 && self.body.len() + entry.len() + ENTRY_OVERHEAD_BYTES > frame_bytes {
                self.end_frame(stamp, Ends::InALaterFrame);
            }
            put_entry(&mut self.body, entry);
            self.count += 1;
        }
        if bytes > frame_bytes {
            self.end_frame(stamp, Ends::Here);
        }
    }

    /// Ends the last frame; returns the sequence behind it.
    pub(crate) fn finish(&mut self, stamp: &Stamp) -> u64 {
        if self.count > 0 {
            self.end_frame(stamp, Ends::Here);
        }
        self.next
    }

    /// A frame without entries, for its stamp alone.
    pub(crate) fn mark(&mut self, stamp: &Stamp) {
        self.end_frame(stamp, Ends::Here);
    }

    fn end_frame(&mut self, stamp: &Stamp, ends: Ends) {
        let before = self.out.len();
        encode(&mut self.out, stamp, self.next, self.count, &self.body, ends);
        self.frames.push((self.count, (self.out.len() - before) as u64));
        self.next += u64::from(self.count);
        self.count = 0;
        self.body.clear();
    }
}
