//! A rebuild as the projector carries it out: the new generation, its announcement, the switch.
//!
//! The order makes a crash harmless at any point:
//!
//! 1. Everything before the rebuild's record is in the store of the generation in use.
//! 2. The new generation is filled beside it, its checkpoint behind the record, and made durable.
//! 3. What it changes is announced, and those activations are durable.
//! 4. The pointer is switched, then the store under the readers, then the old generation is removed.
//!
//! A crash before the switch leaves the old generation and the record as the next to be read: the rebuild begins anew,
//! with the same result, and what was announced is not announced again. A crash behind it leaves the new generation,
//! whose checkpoint says that the record is applied.

use super::ProjectorError;
use super::run::{DRAIN, Run};
use super::upkeep::start_store;
use crate::codec::Checkpoint;
use crate::generation::{Generation, NextGeneration, retire};
use crate::machine::ProjectError;
use crate::rebuild::{Filled, Rebuild};
use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;
use tributary_eventlog::Entry;
use tributary_model::command::Command;
use tributary_model::{Activation, Record};

/// How many activations are appended at once: fewer than a start looks at to find the last place.
const APPEND_MAX: usize = 1000;
/// How many bytes of them, about.
const APPEND_BYTES: usize = 4 << 20;

impl Run {
    /// Carries out the rebuild that this record orders; the machine has said that it is due.
    pub(super) fn rebuild(&mut self, entry: &Entry) -> Result<(), ProjectorError> {
        let started = Instant::now();
        let sequence = entry.sequence;
        self.publish()?;
        self.checkpoint()?;
        self.await_store()?;
        let next = NextGeneration::begin(&self.options.paths, self.options.store_cache_bytes)?;
        let rebuild = self.rebuild_of(entry, &next)?;
        let workspace = rebuild.workspace;
        tracing::info!(%workspace, sequence, "the identity graph is made again");
        let filled = match self.fill(&rebuild) {
            Ok(filled) => filled,
            Err(error) => {
                drop(rebuild);
                next.discard();
                return Err(error);
            }
        };
        drop(rebuild);
        self.switch(next)?;
        self.machine.rebuilt(workspace, sequence, filled.report)?;
        self.publish()?;
        self.protect();
        tracing::info!(
            %workspace,
            sequence,
            seconds = started.elapsed().as_secs(),
            profiles_before = filled.report.profiles_before,
            profiles_after = filled.report.profiles_after,
            merges = filled.report.merges,
            splits = filled.report.splits,
            "the identity graph was made again"
        );
        Ok(())
    }

    fn rebuild_of(&self, entry: &Entry, next: &NextGeneration) -> Result<Rebuild, ProjectorError> {
        let sequence = entry.sequence;
        let record =
            Record::decode(&entry.bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let command =
            Command::decode(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let (received_at, before) = (record.envelope.received_at, self.machine.checkpoint());
        Ok(Rebuild {
            workspace: record.envelope.workspace,
            sequence,
            received_at,
            by: command.by,
            reason: command.reason,
            checkpoint: Checkpoint { next: sequence + 1, log_time: before.log_time.max(received_at) },
            hash_key: self.parts.hash_key.clone(),
            old: self.state.store(),
            new: Arc::clone(next.store()),
            sorting: next.sorting(),
            gives_up: Box::new(self.gives_up()),
        })
    }

    /// Says whether a stop has waited long enough: a rebuild that takes longer is left to the next start.
    fn gives_up(&self) -> impl Fn() -> bool + use<> {
        let (stop, by) = (Arc::clone(&self.stop), OnceCell::new());
        move || {
            let now = Instant::now;
            stop.load(Ordering::SeqCst) && now() >= *by.get_or_init(|| now() + DRAIN)
        }
    }

    /// Fills the new generation and announces what it changes.
    fn fill(&mut self, rebuild: &Rebuild) -> Result<Filled, ProjectorError> {
        let filled = rebuild.fill()?;
        let mut chunk: Vec<Activation> = Vec::new();
        let mut bytes = 0;
        for activation in rebuild.activations(&filled.moves) {
            let activation = activation?;
            bytes += activation.event.len();
            chunk.push(activation);
            if chunk.len() >= APPEND_MAX || bytes >= APPEND_BYTES {
                self.append(std::mem::take(&mut chunk))?;
                bytes = 0;
            }
        }
        self.append(chunk)?;
        self.await_append()?;
        Ok(filled)
    }

    /// Makes the new generation the one in use, here too.
    fn switch(&mut self, next: NextGeneration) -> Result<(), ProjectorError> {
        let generation = next.switch(&self.parts.hash_key)?;
        let directory = generation.directory().to_owned();
        let Generation { store, checkpointer, checkpoint, .. } = generation;
        // Its thread may hold the old store no longer.
        if let Some(thread) = self.store.take() {
            drop(thread.jobs);
            drop(thread.thread.join().map_err(|_| ProjectorError::Thread("checkpoint"))??);
        }
        let old_store = self.state.store();
        self.state.swap_store(store);
        self.store = Some(start_store(checkpointer, &self.state, checkpoint, &self.options, &self.parts));
        let old_directory = std::mem::replace(&mut self.generation_directory, directory);
        retire(&old_directory, old_store);
        Ok(())
    }
}
