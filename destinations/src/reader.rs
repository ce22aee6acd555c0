//! Reads the activations log for one destination, a piece ahead, on a thread for blocking work.
//!
//! Activations are in the order of their places. One whose place is not behind all that came before is there for the
//! second time: its process was killed after it had sent it, and the next one wrote it again (only a log in Kafka
//! lets that happen). Such a one is marked, and passed over. To know it after a restart too, a start begins to read
//! at a mark that was left at or before the cursor, with the largest place until there.

use crate::locate::UnreadableActivation;
use crate::stored::Mark;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::{Activation, Position};

/// Bytes of activations that are read at once.
const READ_BYTES: usize = 256 << 10;

/// An activation as it was read.
pub(crate) struct Read {
    pub(crate) sequence: u64,
    pub(crate) frame: u64,
    /// It is in the log for the second time.
    pub(crate) repeats: bool,
    pub(crate) activation: Activation,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A piece was read.
    Read,
    /// The log has grown.
    Grown,
}

/// A reader of the activations log.
pub(crate) struct Reader {
    log: Arc<dyn EventLog>,
    next: u64,
    ahead: VecDeque<Read>,
    reading: Option<JoinHandle<Result<VecDeque<Read>, UnreadableActivation>>>,
    end: watch::Receiver<u64>,
    expired: Option<u64>,
    /// What is before it has been settled.
    needed_from: u64,
    /// The largest place read.
    newest: Option<(Position, u32)>,
    /// Where the pieces read began, of which some may not be settled.
    marks: VecDeque<Mark>,
}

impl Reader {
    /// A reader that begins at the mark, or at the cursor where there is none.
    pub(crate) fn new(log: Arc<dyn EventLog>, cursor: u64, mark: Option<Mark>) -> Self {
        let end = log.watch();
        Self {
            log,
            next: mark.map_or(cursor, |mark| mark.sequence.min(cursor)),
            ahead: VecDeque::new(),
            reading: None,
            end,
            expired: None,
            needed_from: cursor,
            newest: mark.map(|mark| mark.place()),
            marks: VecDeque::new(),
        }
    }

    /// Where a start with this cursor may begin to read; `None` if nothing has changed about that.
    pub(crate) fn mark(&mut self, cursor: u64) -> Option<Mark> {
        let mut mark = None;
        while self.marks.front().is_some_and(|next| next.sequence <= cursor) {
            mark = self.marks.pop_front();
        }
        mark
    }

    /// The first of what was read and not taken.
    pub(crate) fn front(&self) -> Option<&Read> {
        self.ahead.front()
    }

    /// Takes it.
    pub(crate) fn pop(&mut self) -> Option<Read> {
        self.ahead.pop_front()
    }

    /// The oldest sequence of the log, if the reader found that what it should read next has expired.
    pub(crate) fn expired(&self) -> Option<u64> {
        self.expired
    }

    /// Goes on from a sequence after what expired.
    pub(crate) fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
        self.expired = None;
    }

    /// Begins to read the next piece, if everything read has been taken and there is one.
    ///
    /// # Errors
    /// If the log ends before what was read from it already.
    pub(crate) fn read_on(&mut self) -> Result<(), UnreadableActivation> {
        if self.reading.is_some() || !self.ahead.is_empty() || self.expired.is_some() {
            return Ok(());
        }
        let end = *self.end.borrow_and_update();
        if self.next > end {
            return Err(UnreadableActivation::Shrunk { end, wanted: self.next });
        }
        if self.next < end {
            let (log, from) = (Arc::clone(&self.log), self.next);
            self.reading = Some(tokio::task::spawn_blocking(move || read(&*log, from)));
        }
        Ok(())
    }

    /// Waits until a piece has been read, or the log has grown while there was nothing to read. May be dropped
    /// and called again.
    ///
    /// # Errors
    /// Why the next activation can't be had; [`Reader::read_on`] tries it again.
    pub(crate) async fn changed(&mut self) -> Result<Progress, UnreadableActivation> {
        if let Some(reading) = &mut self.reading {
            let read = reading.await;
            self.reading = None;
            match read {
                Ok(Ok(read)) => self.take(read),
                Ok(Err(UnreadableActivation::Log(ReadError::Expired { first }))) => {
                    // Nothing is lost by what was read only to know what is there twice.
                    self.next = self.next.max(first.min(self.needed_from));
                    self.expired = (first > self.needed_from).then_some(first);
                }
                Ok(Err(why)) => return Err(why),
                Err(_) => return Err(UnreadableActivation::Form(self.next)),
            }
            return Ok(Progress::Read);
        }
        if self.ahead.is_empty() && self.expired.is_none() && self.end.changed().await.is_ok() {
            self.end.mark_changed();
            return Ok(Progress::Grown);
        }
        pending().await
    }
}

impl Reader {
    /// Takes a piece, and marks what is there for the second time.
    fn take(&mut self, mut read: VecDeque<Read>) {
        self.marks.extend(self.newest.map(|newest| Mark::new(self.next, newest)));
        for next in &mut read {
            let place = Some(next.activation.place());
            next.repeats = place <= self.newest;
            self.newest = self.newest.max(place);
        }
        self.next = read.back().map_or(self.next, |last| last.sequence + 1);
        self.needed_from = self.needed_from.max(self.next);
        self.ahead = read;
    }
}

/// Reads a piece, as far as it can be understood. Blocking.
fn read(log: &dyn EventLog, from: u64) -> Result<VecDeque<Read>, UnreadableActivation> {
    let mut read = VecDeque::new();
    for entry in log.read(from, READ_BYTES)? {
        match Activation::decode(&entry.bytes) {
            Ok(activation) => {
                let (sequence, frame) = (entry.sequence, entry.frame);
                read.push_back(Read { sequence, frame, repeats: false, activation });
            }
            // What comes before it is delivered first.
            Err(_) if !read.is_empty() => break,
            Err(_) => return Err(UnreadableActivation::Form(entry.sequence)),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tributary_eventlog::MemoryLog;
    use tributary_model::activation::{ActivationHeader, ActivationKind};
    use tributary_model::{EventKind, MessageId, SourceId, Timestamp, WorkspaceId};

    fn append(log: &MemoryLog, position: u64) {
        append_at(log, position, 0);
    }

    fn append_at(log: &MemoryLog, position: u64, ordinal: u32) {
        let header = ActivationHeader {
            workspace: WorkspaceId(1),
            position: Position::at(position),
            ordinal,
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
        // A log in memory has appended once the call returns.
        drop(log.append(vec![Activation { header, event: Bytes::new() }.encode()]));
    }

    /// Reads on to the end; the positions that are not there for the second time, and those that are.
    async fn read_all(reader: &mut Reader) -> (Vec<u64>, Vec<u64>) {
        let (mut new, mut repeated) = (Vec::new(), Vec::new());
        loop {
            reader.read_on().expect("the log can be read");
            if reader.reading.is_none() {
                return (new, repeated);
            }
            reader.changed().await.expect("the log can be read");
            while let Some(read) = reader.pop() {
                let position = read.activation.header.position.sequence;
                if read.repeats { repeated.push(position) } else { new.push(position) }
            }
        }
    }

    #[tokio::test]
    async fn what_is_there_for_the_second_time_is_known_wherever_a_start_begins() {
        // A killed process had sent 4 and 5; the next one wrote them, and two more, before they arrived.
        let positions = [1, 2, 3, 4, 5, 6, 7, 4, 5, 8];
        let log = Arc::new(MemoryLog::new());
        let mut reader = Reader::new(Arc::<MemoryLog>::clone(&log), 0, None);
        // Each in a piece of its own, as they came.
        let mut marks = Vec::new();
        let (mut new, mut repeated) = (Vec::new(), Vec::new());
        for (position, cursor) in positions.into_iter().zip(1..) {
            append(&log, position);
            let read = read_all(&mut reader).await;
            new.extend(read.0);
            repeated.extend(read.1);
            marks.push((cursor, reader.mark(cursor)));
        }
        assert_eq!(new, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(repeated, [4, 5]);
        for (cursor, mark) in marks {
            let mut again = Reader::new(Arc::<MemoryLog>::clone(&log), cursor, mark);
            let from = mark.map_or(cursor, |mark| mark.sequence) as usize;
            let (new, repeated) = read_all(&mut again).await;
            let want: Vec<u64> = match mark {
                // The first piece has no mark before it: nothing was read until there.
                None => [2, 3, 4, 5, 6, 7, 8].to_vec(),
                Some(_) => (from..positions.len())
                    .filter(|at| positions[..*at].iter().all(|before| *before < positions[*at]))
                    .map(|at| positions[at])
                    .collect(),
            };
            assert_eq!(new, want, "from {from}, cursor {cursor}");
            assert_eq!(new.len() + repeated.len(), positions.len() - from);
        }
    }

    #[tokio::test]
    async fn activations_of_one_record_are_told_apart_by_their_ordinals() {
        // A killed process had sent the second of record 2 and all of record 3.
        let places = [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2), (2, 1), (3, 0), (3, 1), (3, 2), (4, 0)];
        let log = Arc::new(MemoryLog::new());
        places.iter().for_each(|(position, ordinal)| append_at(&log, *position, *ordinal));
        for (cursor, mark) in [
            (0, None),
            (2, Some(Mark::new(2, (Position::at(2), 0)))),
            (5, Some(Mark::new(3, (Position::at(2), 1)))),
        ] {
            let mut reader = Reader::new(Arc::<MemoryLog>::clone(&log), cursor, mark);
            let (new, repeated) = read_all(&mut reader).await;
            let from = mark.map_or(cursor, |mark| mark.sequence) as usize;
            let before: Vec<u64> = places[from..6].iter().map(|(position, _)| *position).collect();
            assert_eq!(new, [before, vec![4]].concat(), "from {from}");
            assert_eq!(repeated, [2, 3, 3, 3], "from {from}");
        }
    }

    #[tokio::test]
    async fn a_mark_that_expired_loses_nothing() {
        let log = Arc::new(MemoryLog::new());
        (1..=9).for_each(|position| append(&log, position));
        log.expire_before(4);
        let mark = Some(Mark::new(2, (Position::at(2), 0)));
        let mut reader = Reader::new(Arc::<MemoryLog>::clone(&log), 6, mark);
        assert_eq!(read_all(&mut reader).await.0, [5, 6, 7, 8, 9]);
        assert_eq!(reader.expired(), None);
        log.expire_before(8);
        let mut reader = Reader::new(Arc::<MemoryLog>::clone(&log), 6, mark);
        assert!(read_all(&mut reader).await.0.is_empty());
        assert_eq!(reader.expired(), Some(8), "what was not settled has expired");
    }
}
