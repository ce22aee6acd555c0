//! Events: duplicates, whose an event is, and what it adds to what is known.

use super::past::Past;
use super::{Machine, ProjectError, count, note_profiles};
use crate::alarms::Seen;
use crate::announce;
use crate::codec::{Value, WorkspaceState};
use crate::key::Key;
use crate::metrics;
use bytes::Bytes;
use std::sync::Arc;
use tributary_eventlog::index::{FirstSeen, IndexedEvent, MessageKey};
use tributary_identity::{Context, Evidence, Resolution, nodes_of, resolve};
use tributary_model::fragment::Sighting;
use tributary_model::identity_rules::{EventIdentifiers, IdentifierReader};
use tributary_model::outcome::Outcome;
use tributary_model::{
    Envelope, EventKind, EventView, Fragment, NodeKey, Position, Record, RecordKind, WorkspaceId,
};

impl Machine {
    /// Enters a record into the indexes alone: one that the state has already, but the indexes lost.
    ///
    /// # Errors
    /// If the state or the indexes fail, or the record can't be read.
    pub fn index_only(&mut self, sequence: u64, frame: u64, bytes: &Bytes) -> Result<(), ProjectError> {
        let record = Record::decode(bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let envelope = &record.envelope;
        if !matches!(envelope.kind, RecordKind::Event(_)) || self.is_duplicate(sequence, frame, envelope)? {
            return Ok(());
        }
        let event =
            EventView::parse(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let id = envelope.workspace;
        let workspace = self.graph.workspace(id)?;
        let rules = workspace.rules_at(sequence);
        let found = if Arc::ptr_eq(rules, &workspace.rules) {
            self.reader(id, &workspace)?.read(&event)
        } else {
            let reader = IdentifierReader::new(rules).map_err(|why| ProjectError::Rules(id, why))?;
            reader.read(&event)
        };
        let log_time = self.checkpoint.log_time;
        let context = Context { workspace: id, rules: rules.as_ref(), hash_key: &self.hash_key, log_time };
        let nodes = nodes_of(&mut Past::of(&mut self.graph, sequence), &context, &found)?;
        if let Some(anchor) = nodes.first() {
            self.index_event(sequence, frame, envelope, anchor);
        }
        Ok(())
    }

    pub(super) fn apply_event(
        &mut self,
        sequence: u64,
        frame: u64,
        kind: EventKind,
        record: &Record,
    ) -> Result<(), ProjectError> {
        let envelope = &record.envelope;
        let id = envelope.workspace;
        let mut workspace = self.graph.take_workspace(id)?;
        if workspace.deleted {
            self.graph.put_workspace(id, workspace);
            count(Outcome::WorkspaceDeleted);
            return Ok(());
        }
        if self.is_duplicate(sequence, frame, envelope)? {
            Arc::make_mut(&mut workspace).duplicates += 1;
            self.graph.put_workspace(id, workspace);
            count(Outcome::Duplicate);
            return Ok(());
        }
        let event =
            EventView::parse(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let found = self.reader(id, &workspace)?.read(&event);
        let message_id = envelope.message_id.clone().expect("an event's record has a message id");
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id,
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        let counters = Arc::make_mut(&mut workspace);
        let resolution = self.resolve(id, counters, &found, &evidence)?;
        match &resolution {
            Some(resolution) => {
                self.fold(id, resolution, &event, &evidence)?;
                self.index_event(sequence, frame, envelope, &resolution.anchor);
                counters.projected += 1;
                note(id, resolution, counters.profiles);
                count(Outcome::Projected);
            }
            None => {
                counters.unidentified += 1;
                count(Outcome::Unidentified);
            }
        }
        self.graph.put_workspace(id, workspace);
        let payload = record.payload.clone();
        self.activations.push(announce::of_event(envelope, kind, evidence, resolution.as_ref(), payload));
        if let Some(resolution) = resolution.filter(|resolution| !resolution.merged.is_empty()) {
            self.activations.push(announce::of_merge(envelope, sequence, &resolution));
        }
        Ok(())
    }

    /// The rules in force, compiled.
    fn reader(
        &self,
        id: WorkspaceId,
        workspace: &WorkspaceState,
    ) -> Result<Arc<IdentifierReader>, ProjectError> {
        self.state.rules().of(id, workspace).map_err(|why| ProjectError::Rules(id, why))
    }

    /// Whose an event is: from memory if it brings nothing new, else from the graph.
    fn resolve(
        &mut self,
        id: WorkspaceId,
        counters: &mut WorkspaceState,
        found: &EventIdentifiers,
        evidence: &Evidence,
    ) -> Result<Option<Resolution>, ProjectError> {
        let day = evidence.day();
        let known = self.resolved.recall(id, found, day);
        if known.is_some() {
            return Ok(known);
        }
        let rules = Arc::clone(&counters.rules);
        let log_time = self.checkpoint.log_time;
        let context = Context { workspace: id, rules: &rules, hash_key: &self.hash_key, log_time };
        let resolution = resolve(&mut self.graph, &context, found, evidence)?;
        let changed = self.drop_changed();
        let Some(resolution) = resolution else { return Ok(None) };
        self.resolved.keep(id, found, &resolution, day);
        counters.profiles = counters.profiles.saturating_add_signed(resolution.profiles_delta);
        let seen = Seen {
            workspace: id,
            rules: &rules,
            sequence: evidence.position.sequence,
            log_time,
            is_changed: changed.contains(&(id, resolution.profile)),
        };
        self.alarms.look(&mut self.graph, &seen, &resolution, counters)?;
        Ok(Some(resolution))
    }

    /// Whether the event was seen before; if not, it is remembered as the first of its id.
    fn is_duplicate(&self, sequence: u64, frame: u64, envelope: &Envelope) -> Result<bool, ProjectError> {
        let message_id = envelope.message_id.as_ref().expect("an event's record has a message id");
        let key = MessageKey::new(envelope.workspace, envelope.source, message_id);
        let received_at = envelope.received_at;
        if self.indexes.first_seen(&key, sequence, received_at)?.is_some() {
            return Ok(true);
        }
        self.indexes.record_message(key, FirstSeen { sequence, frame, received_at });
        Ok(false)
    }

    fn index_event(&self, sequence: u64, frame: u64, envelope: &Envelope, anchor: &NodeKey) {
        let workspace = envelope.workspace;
        let fragment = self.hash_key.identifier_hash(workspace, &anchor.identifier, anchor.epoch);
        let (event_time, received_at) = (envelope.event_time, envelope.received_at);
        self.indexes.record_event(
            workspace,
            fragment,
            IndexedEvent { event_time, sequence, frame, received_at },
        );
    }

    /// Folds the event into its anchor's fragment, and into the profile's merged view if there is one.
    fn fold(
        &mut self,
        workspace: WorkspaceId,
        resolution: &Resolution,
        event: &EventView<'_>,
        evidence: &Evidence,
    ) -> Result<(), ProjectError> {
        let sighting = Sighting {
            at: evidence.event_time,
            message_id: evidence.message_id.clone(),
            source: evidence.source,
        };
        let key = Key::fragment(workspace, &resolution.anchor);
        // Taken out of the batch, so that an entry changed twice in a batch is not copied twice.
        let mut fragment = match self.graph.take(&key)? {
            Some(Value::Fragment(fragment)) => fragment,
            _ => Arc::new(Fragment::default()),
        };
        Arc::make_mut(&mut fragment).fold(event, &sighting);
        self.graph.put(key, Value::Fragment(fragment));

        // Views of profiles that the event changed were dropped with the change: `None` is what is found of them.
        let id = (workspace, resolution.profile);
        let view = match self.views.remove(&id) {
            Some(view) => view,
            None => self.state.view(workspace, resolution.profile),
        };
        let view = view.filter(|view| view.profile == resolution.live).map(|mut view| {
            Arc::make_mut(&mut view).merged.fold(event, &sighting);
            view
        });
        self.views.insert(id, view);
        Ok(())
    }
}

fn note(workspace: WorkspaceId, resolution: &Resolution, profiles: u64) {
    if resolution.created || resolution.profiles_delta != 0 {
        note_profiles(workspace, profiles);
    }
    if !resolution.merged.is_empty() {
        ::metrics::counter!(metrics::MERGES).increment(resolution.merged.len() as u64);
    }
    for demotion in &resolution.demoted {
        ::metrics::counter!(metrics::DEMOTIONS, "reason" => demotion.reason.name()).increment(1);
    }
}
