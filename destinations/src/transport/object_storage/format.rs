//! What files hold.

use super::{ndjson, parquet};
use crate::connect::Whole;
use crate::exchange::Payload;
use crate::failure::Failure;
use bytes::Bytes;

/// What files hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Ndjson,
    NdjsonGzip,
    Parquet,
}

/// A file, and the payloads that are not in it: their indexes, and why.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) bytes: Bytes,
    pub(super) refused: Vec<(usize, Failure)>,
}

/// The beginning of a file, for people.
pub(super) struct Shown {
    pub(super) text: Vec<u8>,
    /// Whether all rows are in it.
    pub(super) whole: Whole,
    /// The bytes of all rows.
    pub(super) bytes: u64,
}

impl Format {
    /// What the names of files end with.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Ndjson => "ndjson",
            Self::NdjsonGzip => "ndjson.gz",
            Self::Parquet => "parquet",
        }
    }

    /// The media type of files. A compressed file is told to be one, not to be text with a content encoding: then some
    /// clients would unpack it, and some would not.
    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::NdjsonGzip => "application/gzip",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }

    /// The file of these payloads.
    ///
    /// # Errors
    /// If there can't be one.
    pub(super) fn encode(self, payloads: &[Payload]) -> Result<Encoded, Failure> {
        let whole = |bytes: Vec<u8>| Encoded { bytes: bytes.into(), refused: Vec::new() };
        match self {
            Self::Ndjson => Ok(whole(ndjson::lines(payloads))),
            Self::NdjsonGzip => Ok(whole(ndjson::compressed(payloads))),
            Self::Parquet => parquet::encode(payloads),
        }
    }

    /// What is shown of a file, at least `most` bytes if there are so many: of NDJSON the lines before they are compressed, of
    /// Parquet a JSON object about columns and rows.
    pub(super) fn shown(self, payloads: &[Payload], most: usize) -> Shown {
        let (lines, bytes) = beginning(payloads, most);
        let shown_bytes = lines.len() as u64;
        let text = match self {
            Self::Ndjson | Self::NdjsonGzip => lines,
            Self::Parquet => parquet::described(payloads.len(), &lines),
        };
        // What is said of a file's size is always that of all its lines.
        let is_all = text.len() <= most && shown_bytes == bytes;
        Shown { text, whole: if is_all { Whole::Given } else { Whole::Bytes(bytes) }, bytes }
    }
}

/// The first lines, as many as are needed for so many bytes, and the bytes of all.
fn beginning(payloads: &[Payload], most: usize) -> (Vec<u8>, u64) {
    let (mut shown, mut line, mut bytes) = (Vec::new(), Vec::new(), 0);
    for payload in payloads {
        line.clear();
        ndjson::line(&payload.body, &mut line);
        bytes += line.len() as u64;
        if shown.len() < most {
            shown.extend_from_slice(&line);
        }
    }
    (shown, bytes)
}
