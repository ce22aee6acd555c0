//! What became of commands: told to whoever handed them in, and to nobody else.

use crate::rebuild::RebuildReport;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use tributary_identity::{CommandRefused, HandedOver, Unmerged};

/// How many results are kept for whoever has not asked yet; the oldest give way.
pub const RESULTS_MAX: usize = 1000;

/// What became of a command.
#[derive(Debug, Clone)]
pub enum CommandResult {
    /// A profile was parted.
    Unmerged(Unmerged),
    /// An identifier has another owner, or none.
    HandedOver(HandedOver),
    /// The graph was made again.
    Rebuilt(RebuildReport),
    /// Nothing changed.
    Refused(CommandRefused),
}

/// Results by the sequence of the command's record. They are there once the record is visible, and only in the process
/// that read it.
#[derive(Debug, Default)]
pub struct CommandResults(Mutex<BTreeMap<u64, CommandResult>>);

impl CommandResults {
    /// Keeps a result.
    pub(crate) fn put(&self, sequence: u64, result: CommandResult) {
        let mut results = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        results.insert(sequence, result);
        while results.len() > RESULTS_MAX {
            results.pop_first();
        }
    }

    /// Takes a result out; `None` if there is none, or no longer.
    pub fn take(&self, sequence: u64) -> Option<CommandResult> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&sequence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_results_are_kept_and_told_once() {
        let results = CommandResults::default();
        for sequence in 0..RESULTS_MAX as u64 + 2 {
            let (kind, message) = (tributary_identity::RefusedKind::NotFound, sequence.to_string());
            results
                .put(sequence, CommandResult::Refused(CommandRefused { kind, message, paths: Vec::new() }));
        }
        for (sequence, is_there) in
            [(0, false), (1, false), (2, true), (2, false), (1001, true), (1002, false)]
        {
            assert_eq!(results.take(sequence).is_some(), is_there, "{sequence}");
        }
    }
}
