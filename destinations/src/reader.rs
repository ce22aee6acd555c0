//! Reads the activations log for one destination, a piece ahead, on a thread for blocking work.

use crate::locate::UnreadableActivation;
use std::collections::VecDeque;
use std::future::pending;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::Activation;

/// Bytes of activations that are read at once.
const READ_BYTES: usize = 256 << 10;

/// An activation as it was read.
pub(crate) struct Read {
    pub(crate) sequence: u64,
    pub(crate) frame: u64,
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
}

impl Reader {
    /// A reader that begins at a sequence.
    pub(crate) fn new(log: Arc<dyn EventLog>, next: u64) -> Self {
        let end = log.watch();
        Self { log, next, ahead: VecDeque::new(), reading: None, end, expired: None }
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
                Ok(Ok(read)) => {
                    self.next = read.back().map_or(self.next, |last| last.sequence + 1);
                    self.ahead = read;
                }
                Ok(Err(UnreadableActivation::Log(ReadError::Expired { first }))) => {
                    self.expired = Some(first)
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

/// Reads a piece, as far as it can be understood. Blocking.
fn read(log: &dyn EventLog, from: u64) -> Result<VecDeque<Read>, UnreadableActivation> {
    let mut read = VecDeque::new();
    for entry in log.read(from, READ_BYTES)? {
        match Activation::decode(&entry.bytes) {
            Ok(activation) => {
                read.push_back(Read { sequence: entry.sequence, frame: entry.frame, activation });
            }
            // What comes before it is delivered first.
            Err(_) if !read.is_empty() => break,
            Err(_) => return Err(UnreadableActivation::Form(entry.sequence)),
        }
    }
    Ok(read)
}
