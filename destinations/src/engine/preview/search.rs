//! Looks for an activation from the end of the log on.
//!
//! The log is read a piece at a time, the pieces from the newest to the oldest. Of what fits, only the place is kept; the
//! winner is read again.

use crate::locate::read_from;
use std::ops::Range;
use tributary_eventlog::{EventLog, ReadError};
use tributary_model::{Activation, WorkspaceId};

/// Activations that are looked at, from the end.
pub(super) const LOOKED_AT_MAX: u64 = 200_000;

/// Bytes of the activations log that are read at once.
const READ_BYTES: usize = 1 << 20;

/// Activations of the first piece. Each further one has twice as many: what is sought is mostly near the end.
const STEP_FIRST: u64 = 64;

/// Activations of a piece at most.
const STEP_MAX: u64 = 4_096;

/// How well an activation fits what is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    /// It does not.
    None,
    /// It is taken if there is no better one.
    Some,
    /// It is what is looked for.
    Best,
}

/// Where an activation lies: its sequence, and the first one of its frame.
type Place = (u64, u64);

/// The newest activations of a piece that fit, and that fit best.
#[derive(Debug, Default)]
struct Piece {
    some: Option<Place>,
    best: Option<Place>,
}

/// The newest activation of the workspace that fits best; `None` if none does, or retention has just removed it. Those that
/// can't be understood are passed over. Blocking.
pub(super) fn newest(
    log: &dyn EventLog,
    workspace: WorkspaceId,
    fit: impl Fn(&Activation) -> Fit,
) -> Result<Option<Activation>, ReadError> {
    let bounds = log.bounds();
    let oldest = bounds.first.max(bounds.end.saturating_sub(LOOKED_AT_MAX));
    let (mut end, mut step, mut found) = (bounds.end, STEP_FIRST, None);
    while end > oldest {
        let from = end.saturating_sub(step).max(oldest);
        let piece = search(log, from..end, workspace, &fit)?;
        if piece.best.is_some() {
            found = piece.best;
            break;
        }
        found = found.or(piece.some);
        (end, step) = (from, (step * 2).min(STEP_MAX));
    }
    let Some((sequence, frame)) = found else { return Ok(None) };
    match log.read_one(sequence, frame) {
        Ok(bytes) => Ok(bytes.and_then(|bytes| Activation::decode(&bytes).ok())),
        Err(ReadError::Expired { .. }) => Ok(None),
        Err(
            why @ (ReadError::Corrupt { .. }
            | ReadError::Lost { .. }
            | ReadError::Unavailable(_)
            | ReadError::Io(_)),
        ) => Err(why),
    }
}

fn search(
    log: &dyn EventLog,
    sequences: Range<u64>,
    workspace: WorkspaceId,
    fit: &impl Fn(&Activation) -> Fit,
) -> Result<Piece, ReadError> {
    let (mut piece, mut next) = (Piece::default(), sequences.start);
    while next < sequences.end {
        let entries = read_from(log, &mut next, READ_BYTES)?;
        if entries.is_empty() {
            break;
        }
        for entry in entries {
            next = entry.sequence + 1;
            if entry.sequence >= sequences.end {
                break;
            }
            let Ok(activation) = Activation::decode(&entry.bytes) else { continue };
            if activation.header.workspace != workspace {
                continue;
            }
            let place = Some((entry.sequence, entry.frame));
            match fit(&activation) {
                Fit::Best => piece.best = place,
                Fit::Some => piece.some = place,
                Fit::None => {}
            }
        }
    }
    Ok(piece)
}

#[cfg(test)]
mod tests;
