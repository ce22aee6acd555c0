//! Retention: which whole segments may go, and when a reader that is behind stops appends instead.

use super::LogOptions;
use crate::log::{AppendError, ReadError, RetentionError};
use crate::protected::Protected;
use crate::segment::{Detached, SegmentLog, SegmentReader};
use std::time::Duration;
use tributary_model::Timestamp;

/// The segment that is written to ends after this share of the retention age, so that a quiet log's entries expire
/// that close to their time.
const SEGMENTS_PER_AGE: u32 = 10;

/// Why appends have to wait for a reader: a quarter more than the limit is kept, and the reader needs the oldest
/// segment.
pub(super) fn backlog(
    reader: &SegmentReader,
    options: &LogOptions,
    protected: &Protected,
) -> Option<AppendError> {
    let limit_bytes = options.retention_bytes.map(|limit| limit.saturating_add(limit / 4))?;
    let kept_bytes = reader.kept_bytes();
    if kept_bytes <= limit_bytes {
        return None;
    }
    let (reader, from) = protected.lowest().filter(|lowest| {
        // A lone segment is never removed, so no reader is in its way.
        reader.oldest_segment_end().is_some_and(|end| lowest.1 < end)
    })?;
    tracing::debug!(reader, from, "a reader holds the log back");
    Some(AppendError::Backlog { kept_bytes, limit_bytes, reader })
}

/// Takes off the log what is too old or too much.
pub(super) fn retain(
    log: &mut SegmentLog,
    options: &LogOptions,
    protected: &Protected,
    now: Timestamp,
) -> Result<Detached, RetentionError> {
    if let Some(age) = options.retention_age
        && is_older(log.created_at(), age / SEGMENTS_PER_AGE, now)
    {
        log.roll()?;
    }
    let needed = protected.lowest().map_or(u64::MAX, |(_, from)| from);
    let mut kept_bytes = log.kept_bytes();
    let mut drop_before = 0;
    for segment in log.reader().full_segments() {
        let too_much = options.retention_bytes.is_some_and(|limit| kept_bytes > limit);
        let too_old = match options.retention_age {
            Some(age) => is_older(log.reader().written_before(&segment).map_err(unreadable)?, age, now),
            None => false,
        };
        if segment.end > needed || !(too_much || too_old) {
            break;
        }
        drop_before = segment.end;
        kept_bytes -= segment.bytes;
    }
    Ok(log.detach_before(drop_before))
}

fn is_older(at: Timestamp, age: Duration, now: Timestamp) -> bool {
    i128::from(now.micros_since(at)) > i128::try_from(age.as_micros()).unwrap_or(i128::MAX)
}

fn unreadable(error: ReadError) -> RetentionError {
    RetentionError::Io(std::io::Error::other(error))
}
