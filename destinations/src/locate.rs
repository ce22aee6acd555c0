//! Where in the activations log a new destination begins, and why an activation can't be had.

use tributary_eventlog::{Entry, EventLog, ReadError};
use tributary_model::activation::ActivationHeader;
use tributary_model::{Activation, Position};

/// An activation can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnreadableActivation {
    #[error("the activations log can't be read")]
    Log(#[from] ReadError),
    #[error("the activations log ends at {end}, before {wanted}, which was read from it once")]
    Shrunk { end: u64, wanted: u64 },
    #[error("activation {0} is not in a form that this version knows")]
    Form(u64),
}

/// How far before the first activation of its own a destination begins to read. What a killed process had sent may
/// lie there once more, in Kafka, and lead a binary search behind it; it is never more than that.
const BEFORE: u64 = 4096;

/// Where a destination begins to read whose events are behind `after`: a little before the first of them, which
/// takes nothing in that is not its own. Blocking.
pub(crate) fn start_for(log: &dyn EventLog, after: Position) -> Result<u64, UnreadableActivation> {
    let first = log.bounds().first;
    Ok(first_behind(log, after)?.saturating_sub(BEFORE).max(first))
}

/// The first sequence whose activation is of an event behind `after`, by binary search: activations are ordered
/// by position. It is the log's end if there is none yet. Blocking.
pub(crate) fn first_behind(log: &dyn EventLog, after: Position) -> Result<u64, UnreadableActivation> {
    first_where(log, |header| header.position > after)
}

/// The first sequence of whose activation this is true, by binary search: it has to be true of all behind that one. It is the
/// log's end if there is none yet. Blocking.
pub(crate) fn first_where(
    log: &dyn EventLog,
    is_behind: impl Fn(&ActivationHeader) -> bool,
) -> Result<u64, UnreadableActivation> {
    let bounds = log.bounds();
    let (mut low, mut high) = (bounds.first, bounds.end);
    while low < high {
        let middle = low + (high - low) / 2;
        let bytes = match log.read_one(middle, 0) {
            Ok(Some(bytes)) => bytes,
            // Below the durable end there is always an entry; another reader's answer would be no better.
            Ok(None) => return Err(UnreadableActivation::Form(middle)),
            Err(ReadError::Expired { first }) => {
                low = first.max(low).min(high);
                continue;
            }
            Err(
                why @ (ReadError::Corrupt { .. }
                | ReadError::Lost { .. }
                | ReadError::Unavailable(_)
                | ReadError::Io(_)),
            ) => return Err(why.into()),
        };
        let activation = Activation::decode(&bytes).map_err(|_| UnreadableActivation::Form(middle))?;
        if is_behind(&activation.header) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    Ok(low)
}

/// The entries from `next` on, about so many bytes of them; none at the end of the log. What retention has removed is passed
/// over, and `next` with it. Blocking.
pub(crate) fn read_from(log: &dyn EventLog, next: &mut u64, bytes: usize) -> Result<Vec<Entry>, ReadError> {
    loop {
        let read = log.read(*next, bytes);
        let Err(ReadError::Expired { first }) = read else { return read };
        *next = first.max(*next + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tributary_eventlog::MemoryLog;
    use tributary_model::activation::ActivationKind;
    use tributary_model::{EventKind, MessageId, SourceId, Timestamp, WorkspaceId};

    #[test]
    fn the_first_activation_behind_a_position_is_found() {
        let positions = [3u64, 3, 4, 9, 9, 9, 12];
        let log = MemoryLog::new();
        for position in positions {
            let header = ActivationHeader {
                workspace: WorkspaceId(1),
                position: Position::at(position),
                ordinal: 0,
                profile: None,
                identifiers: Vec::new(),
                event_kind: EventKind::Page,
                source: SourceId(1),
                message_id: MessageId::parse("m").expect("an id"),
                received_at: Timestamp::default(),
                event_time: Timestamp::default(),
                kind: ActivationKind::Event,
                carried: tributary_model::activation::Carried::default(),
            };
            drop(log.append(vec![Activation { header, event: Bytes::new() }.encode()]));
        }
        for expired in 0..=positions.len() {
            log.expire_before(expired as u64);
            for after in 0..14 {
                let want = positions.iter().position(|position| *position > after).unwrap_or(positions.len());
                let got = first_behind(&log, Position::at(after)).expect("the log can be read");
                assert_eq!(got, want.max(expired) as u64, "after {after}, {expired} expired");
            }
        }
    }
}
