//! Reading the log back: events that are older than a keeper are folded into it.
//!
//! The event index says whose an event was, so nothing is decided anew: an event that is not in it was a repeat, or of
//! nobody. What was folded goes to the fragment of the anchor that the event had, and with that to whoever has the
//! anchor's node now.
//!
//! Only what a step was told to read is read, before anything is changed: a step that can't read the log now can be
//! taken again. Records that the log has lost are passed over, and so are those under rules that are forgotten; the
//! definitions say since when it reaches. That is so too where a step is read again and finds less than it did before:
//! whatever waits for the reading is evaluated behind it, over what was found.

use super::events::searched_part;
use super::known::Active;
use super::past::Past;
use super::{Machine, ProjectError};
use crate::codec::{Value, WorkspaceState};
use crate::definitions::DefinitionsState;
use crate::key::Key;
use crate::metrics;
use std::sync::Arc;
use tributary_eventlog::index::{EventOrder, EventQuery};
use tributary_eventlog::{Entry, ReadError};
use tributary_identity::{Context, GraphRead, nodes_of};
use tributary_model::fragment::Sighting;
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::keeper::Keepers;
use tributary_model::workspace::IdentityRules;
use tributary_model::{Envelope, EventView, Fragment, NodeKey, Record, RecordKind, Timestamp, WorkspaceId};

/// How many bytes of records are read at once.
const READ_BYTES: usize = 1 << 20;

/// What is made for many events.
struct Made {
    /// Rules that were in force, compiled.
    rules: Option<(Arc<IdentityRules>, Arc<IdentifierReader>)>,
    /// The keepers that lack events before this record.
    keepers: Option<(u64, Keepers)>,
}

impl Made {
    fn reader(
        &mut self,
        id: WorkspaceId,
        rules: &Arc<IdentityRules>,
    ) -> Result<Arc<IdentifierReader>, ProjectError> {
        if let Some((known, reader)) = &self.rules
            && Arc::ptr_eq(known, rules)
        {
            return Ok(Arc::clone(reader));
        }
        let made = IdentifierReader::new(rules).map_err(|why| ProjectError::Rules(id, why))?;
        let made = Arc::new(made);
        self.rules = Some((Arc::clone(rules), Arc::clone(&made)));
        Ok(made)
    }

    fn keepers(&mut self, sequence: u64, active: &Active, definitions: &DefinitionsState) -> &Keepers {
        // The log is read forwards: what holds up to a record held since the one before.
        if self.keepers.as_ref().is_none_or(|(until, _)| sequence >= *until) {
            let (numbers, until) = definitions.missing_at(sequence);
            self.keepers = Some((until, active.catalog.keepers().only(&numbers)));
        }
        &self.keepers.as_ref().expect("it was just made").1
    }
}

impl Machine {
    /// Folds the events of these records into what new keepers keep, if they are those that come next.
    pub(super) fn read_back(&mut self, id: WorkspaceId, from: u64, to: u64) -> Result<(), ProjectError> {
        let definitions = self.definitions(id)?;
        let Some(reading) = definitions.reading.filter(|reading| reading.next == from && from < to) else {
            return Ok(());
        };
        let active = self.active(id)?;
        let workspace = self.graph.workspace(id)?;
        // Under rules that are forgotten, nobody knows whose an event was.
        let (mut first, entries) =
            self.entries(from.max(workspace.knows_rules_from()), to.min(reading.end))?;
        let mut lost_before = None;
        if first > from {
            let arrival = self.arrival_of(first, &entries)?;
            first = arrival.0;
            lost_before = Some(arrival.1);
        }
        let mut made = Made { rules: None, keepers: None };
        for entry in &entries {
            self.fold_back(id, entry, &workspace, (&*active, &*definitions), &mut made)?;
        }
        ::metrics::counter!(metrics::READ_BACK).increment(entries.len() as u64);
        let next = to.max(first).min(reading.end);
        self.change_definitions(id, |definitions, catalog| {
            if let Some(received_at) = lost_before {
                definitions.begin_behind(first, received_at);
            }
            if let Some(reading) = &mut definitions.reading {
                reading.next = next;
            }
            if next == reading.end {
                definitions.end_reading();
            }
            definitions.go_on(catalog, workspace.profiles);
        })
    }

    /// The records of these sequences that the log has, and the sequence that they begin with.
    fn entries(&self, from: u64, to: u64) -> Result<(u64, Vec<Entry>), ProjectError> {
        let (mut first, mut entries) = (from, Vec::new());
        loop {
            let next = first + entries.len() as u64;
            if next >= to {
                return Ok((first, entries));
            }
            match self.events.read(next, READ_BYTES) {
                Ok(read) if read.is_empty() => return Ok((first, entries)),
                Ok(read) => entries.extend(read.into_iter().take_while(|entry| entry.sequence < to)),
                Err(ReadError::Expired { first: oldest }) if oldest > next => {
                    entries.clear();
                    first = oldest;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The first record from this sequence on that the log still has, and when it arrived: the log's time, if it has
    /// none. `entries` are those that were read from there.
    fn arrival_of(&self, sequence: u64, entries: &[Entry]) -> Result<(u64, Timestamp), ProjectError> {
        let (mut first, mut entry) = (sequence, entries.first().cloned());
        while entry.is_none() {
            match self.events.read(first, 1) {
                Ok(read) if read.is_empty() => return Ok((first, self.checkpoint.log_time)),
                Ok(read) => entry = read.into_iter().next(),
                // Retention went on meanwhile.
                Err(ReadError::Expired { first: oldest }) if oldest > first => first = oldest,
                Err(error) => return Err(error.into()),
            }
        }
        let bytes = entry.map(|entry| entry.bytes).expect("the loop ends with one");
        let record = Record::decode(&bytes).map_err(|why| ProjectError::Record(first, why.into()))?;
        Ok((first, record.envelope.received_at))
    }

    fn fold_back(
        &mut self,
        id: WorkspaceId,
        entry: &Entry,
        workspace: &WorkspaceState,
        (active, definitions): (&Active, &DefinitionsState),
        made: &mut Made,
    ) -> Result<(), ProjectError> {
        let sequence = entry.sequence;
        let record =
            Record::decode(&entry.bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let envelope = &record.envelope;
        let (RecordKind::Event(_), Some(message_id)) = (envelope.kind, &envelope.message_id) else {
            return Ok(());
        };
        if envelope.workspace != id {
            return Ok(());
        }
        let event =
            EventView::parse(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let sighting =
            Sighting { at: envelope.event_time, message_id: message_id.clone(), source: envelope.source };
        let log_time = self.checkpoint.log_time;
        let keepers = made.keepers(sequence, active, definitions);
        // Most events are about nothing that is new.
        let nothing = keepers.fold(&mut Fragment::default(), &event, &sighting, log_time).changed.is_empty();
        if nothing {
            return Ok(());
        }
        let reader = made.reader(id, workspace.rules_at(sequence))?;
        let Some(anchor) = self.anchor_of(id, sequence, envelope, (workspace, &*reader), &event)? else {
            return Ok(());
        };
        let key = Key::fragment(id, &anchor);
        let mut fragment = match self.graph.take(&key)? {
            Some(Value::Fragment(fragment)) => fragment,
            _ => Arc::default(),
        };
        let before = searched_part(&fragment, &active.catalog);
        let keepers = made.keepers(sequence, active, definitions);
        keepers.fold(Arc::make_mut(&mut fragment), &event, &sighting, log_time);
        self.index_search(id, &anchor, &before, &fragment)?;
        self.graph.put(key, Value::Fragment(fragment));
        if let Some(node) = self.graph.node(id, &anchor)? {
            self.views.insert((id, node.profile), None);
        }
        Ok(())
    }

    /// The anchor that an event had, by the event index.
    fn anchor_of(
        &mut self,
        id: WorkspaceId,
        sequence: u64,
        envelope: &Envelope,
        (workspace, reader): (&WorkspaceState, &IdentifierReader),
        event: &EventView<'_>,
    ) -> Result<Option<NodeKey>, ProjectError> {
        let found = reader.read(event);
        let rules = workspace.rules_at(sequence);
        let log_time = self.checkpoint.log_time;
        let context = Context { workspace: id, rules: rules.as_ref(), hash_key: &self.hash_key, log_time };
        let at = envelope.event_time;
        let query = EventQuery {
            start: Some(at),
            end: Some(at),
            order: EventOrder::Oldest,
            after: sequence.checked_sub(1).map(|before| (at, before)),
            limit: 1,
            first_sequence: 0,
        };
        for node in nodes_of(&mut Past::of(&mut self.graph, sequence), &context, &found)? {
            let fragment = self.hash_key.identifier_hash(id, &node.identifier, node.epoch);
            let indexed = self.indexes.events(id, &[fragment], query)?;
            if indexed.first().is_some_and(|event| event.sequence == sequence) {
                return Ok(Some(node));
            }
        }
        Ok(None)
    }
}
