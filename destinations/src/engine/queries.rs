//! What can be asked about destinations and their deliveries. Everything here reads from disk: it belongs on a thread for
//! blocking work.

use super::Engine;
use crate::config::Key;
use crate::dead_letter::DeadLetterPage;
use crate::deliveries::{DeliveryPage, DeliveryQuery, Fate, deliveries, fate};
use crate::fanout::delivery_id;
use crate::locate::{UnreadableActivation, first_behind, read_from};
use crate::overview::{Overview, Step, overview};
use crate::replay::ReplayJob;
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_eventlog::EventLog;
use tributary_model::activation::ActivationHeader;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, DestinationId, EventKind, Position, ProfileId, Timestamp, WorkspaceId};

/// Bytes of the activations log that are read at once.
const READ_BYTES: usize = 256 << 10;

/// How far before the place that a binary search tells the activations of a position may begin, in activations: in Kafka
/// what a killed process had sent may lie in the log once more, and mislead the search.
const BEFORE: u64 = 4096;

/// An activation of a record, and what became of it at a destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// The destination, which may have been deleted.
    pub destination: DestinationId,
    /// Which of the record's activations it is.
    pub ordinal: u32,
    /// The delivery's id, as receivers see it.
    pub delivery_id: String,
    /// Whose it is.
    pub profile: Option<ProfileId>,
    /// Which call the event is.
    pub event_kind: EventKind,
    /// What became of it.
    pub fate: Fate,
}

impl Engine {
    /// Dead letters of a destination, newest first, at most `limit`. `cursor` is where the last page ended
    /// ([`DeadLetterPage::next`]).
    ///
    /// # Errors
    /// If the store fails.
    pub fn dead_letters(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        limit: usize,
        cursor: Option<u64>,
    ) -> Result<DeadLetterPage, StoreError> {
        self.shared.store.letters(Key { workspace, destination }, limit, cursor)
    }

    /// Deliveries of a workspace of which something is remembered, newest first: all that an attempt failed of, and some of
    /// the others. The work for a page is bounded, so there may be fewer than asked for on one that is not the last.
    ///
    /// # Errors
    /// If the store fails.
    pub fn deliveries(
        &self,
        workspace: WorkspaceId,
        query: &DeliveryQuery,
    ) -> Result<DeliveryPage, StoreError> {
        deliveries(&self.shared.store, workspace, query)
    }

    /// How a delivery ended that was not simply taken, or that a replay sent again. `None` of one that was taken, that has
    /// not ended, or that is none of the destination's.
    ///
    /// # Errors
    /// If the store fails.
    pub fn outcome_of(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        activation: u64,
    ) -> Result<Option<Outcome>, StoreError> {
        self.shared.store.outcome_of(Key { workspace, destination }, activation)
    }

    /// How a destination did between two times, thirty days at most. What waits now, and how far behind it is, its status
    /// tells ([`Engine::status`]).
    ///
    /// # Errors
    /// If the store fails.
    pub fn overview(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        (from, until): (Timestamp, Timestamp),
        step: Step,
    ) -> Result<Overview, StoreError> {
        let key = Key { workspace, destination };
        overview(&self.shared.store, key, (from, until), step, self.shared.clock.now())
    }

    /// The replays of a destination, newest first: the last fifty.
    ///
    /// # Errors
    /// If the store fails.
    pub fn replays(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
    ) -> Result<Vec<ReplayJob>, StoreError> {
        self.shared.store.replays(Key { workspace, destination })
    }

    /// What became of the activations that a record of the events log caused, at each destination of its workspace, deleted
    /// ones included. Empty if there are none (yet), or retention has removed them.
    ///
    /// # Errors
    /// If the store or the activations log can't be read.
    pub fn explain(&self, workspace: WorkspaceId, position: Position) -> Result<Vec<Explained>, StoreError> {
        let activations = activations_of(&*self.shared.log, workspace, position)
            .map_err(|why| StoreError::Log(Arc::new(why)))?;
        // One that is new has no books yet; of one that was deleted there is nothing else.
        let mut keys: BTreeSet<Key> = self.shared.store.destinations_of(workspace)?.into_iter().collect();
        keys.extend(self.cells().keys().filter(|key| key.workspace == workspace));
        let mut explained = Vec::new();
        for key in keys {
            for (ordinal, (sequence, header)) in &activations {
                explained.push(Explained {
                    destination: key.destination,
                    ordinal: *ordinal,
                    delivery_id: delivery_id(key, position, *ordinal, &header.message_id),
                    profile: header.profile,
                    event_kind: header.event_kind,
                    fate: fate(&self.shared.store, key, *sequence, position)?,
                });
            }
        }
        Ok(explained)
    }
}

/// The activations that a record caused, by ordinal: sequence and header, as they are in the log for the first time.
fn activations_of(
    log: &dyn EventLog,
    workspace: WorkspaceId,
    position: Position,
) -> Result<BTreeMap<u32, (u64, ActivationHeader)>, UnreadableActivation> {
    let mut activations = BTreeMap::new();
    let found = match position.sequence.checked_sub(1) {
        Some(sequence) => first_behind(log, Position { sequence, ..position })?,
        None => log.bounds().first,
    };
    let mut next = found.saturating_sub(BEFORE).max(log.bounds().first);
    loop {
        let entries = read_from(log, &mut next, READ_BYTES)?;
        if entries.is_empty() {
            return Ok(activations);
        }
        for entry in entries {
            next = entry.sequence + 1;
            let activation =
                Activation::decode(&entry.bytes).map_err(|_| UnreadableActivation::Form(entry.sequence))?;
            let header = activation.header;
            if header.position == position && header.workspace == workspace {
                activations.entry(header.ordinal).or_insert((entry.sequence, header));
            } else if header.position > position && entry.sequence >= found {
                return Ok(activations);
            }
        }
    }
}

#[cfg(test)]
mod tests;
