//! Logs that may be elsewhere: while one can't be read, the projector waits. That is never the end of the log.

use super::ProjectorError;
use crate::machine::ProjectError;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::{Entry, EventLog, ReadError};
use tributary_model::{Activation, Position};

/// How long to wait before a read that failed for now is tried again.
const AGAIN: Duration = Duration::from_millis(200);
/// How long a start waits for the end of the activations log.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How many activations at the end of their log are looked at for the last place. An append of the projector has no
/// more entries than that, and one is under way at a time: so what a killed process sent, and what arrived after
/// later ones, is shorter.
const LAST_ACTIVATIONS: u64 = 4096;
/// How many bytes of them are read at once.
const READ_BYTES: usize = 1 << 20;

/// Reads the events log on.
pub(super) struct Reading {
    log: Arc<dyn EventLog>,
    /// The last read failed for now.
    waits: bool,
}

impl Reading {
    pub(super) fn new(log: Arc<dyn EventLog>) -> Self {
        Self { log, waits: false }
    }

    /// What [`EventLog::read`] gives; `None`, after a moment, if that can't be told now. Each change of that is told
    /// once.
    pub(super) fn read(&mut self, from: u64, bytes_max: usize) -> Result<Option<Vec<Entry>>, ReadError> {
        match self.log.read(from, bytes_max) {
            Ok(entries) => {
                if std::mem::take(&mut self.waits) {
                    tracing::info!(from, "the events log can be read again");
                }
                Ok(Some(entries))
            }
            Err(ReadError::Unavailable(reason)) => {
                if !std::mem::replace(&mut self.waits, true) {
                    tracing::warn!(
                        from,
                        reason,
                        "the events log can't be read now: the projector waits for it"
                    );
                }
                thread::park_timeout(AGAIN);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The largest place of the activations at the end of their log, if there are any: the projector goes on behind it.
///
/// The last entry alone would not do: on Kafka, entries that a killed process had sent may lie behind later ones. They
/// repeat what is there, and whoever reads passes over what is not behind what it has read.
pub(super) fn last_place(activations: &dyn EventLog) -> Result<Option<(Position, u32)>, ProjectorError> {
    let bounds = activations.bounds();
    let mut next = bounds.end.saturating_sub(LAST_ACTIVATIONS).max(bounds.first);
    let mut last = None;
    let by = Instant::now() + START_PATIENCE;
    while next < bounds.end {
        let entries = match activations.read(next, READ_BYTES) {
            Ok(entries) => entries,
            Err(ReadError::Unavailable(reason)) if Instant::now() < by => {
                tracing::debug!(next, reason, "the activations log can't be read now");
                thread::park_timeout(AGAIN);
                continue;
            }
            // Nothing protects activations: retention may have been quicker.
            Err(ReadError::Expired { first }) if first > next => {
                next = first;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            let activation = Activation::decode(&entry.bytes)
                .map_err(|why| ProjectError::Record(entry.sequence, why.into()))?;
            last = last.max(Some(activation.place()));
            next = entry.sequence + 1;
        }
    }
    Ok(last)
}
