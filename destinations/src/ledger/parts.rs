//! What a ledger hands out and takes.

use crate::exchange::Payload;
use crate::failure::Failure;
use crate::stored::Waiting;
use std::sync::Arc;
use tributary_model::Activation;
use tributary_model::outcome::Outcome;

/// A delivery that may go now.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sequence: u64,
    /// Whether it comes from the retry queue.
    pub(crate) again: bool,
    /// What is known of it; untried ones included.
    pub(crate) waiting: Waiting,
    /// The activation, if it is in memory; else it has to be read from the log.
    pub(crate) activation: Option<Arc<Activation>>,
    /// What the mappings made of it, if that is in memory.
    pub(crate) mapped: Option<Arc<Mapped>>,
}

/// What the mappings made of an activation.
#[derive(Debug)]
pub(crate) struct Mapped {
    /// One for each mapping that takes it, but for those that refused it.
    pub(crate) payloads: Vec<Payload>,
    /// Why one of the mappings can't make anything of it.
    pub(crate) refused: Option<Failure>,
}

impl Mapped {
    pub(super) fn bytes(&self) -> usize {
        self.payloads.iter().map(|payload| payload.body.len()).sum()
    }
}

/// The number of dead letters that are kept, and their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LetterLimits {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

/// What a commit makes countable once it is durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// The low-water cursor.
    pub(crate) cursor: u64,
    /// Deliveries that ended, indexed like [`Outcome::ALL`].
    pub(crate) ended: [u64; Outcome::ALL.len()],
    /// Dead letters that made room for newer ones.
    pub(crate) letters_dropped: u64,
}
