//! Events: duplicates, whose an event is, and what it adds to what is known.

use super::known::Active;
use super::past::Past;
use super::touched::Touched;
use super::{Machine, ProjectError, count, note_profiles};
use crate::alarms::Seen;
use crate::announce;
use crate::codec::{Value, WorkspaceState};
use crate::key::Key;
use crate::metrics;
use crate::state::View;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use tributary_eventlog::index::{FirstSeen, IndexedEvent, MessageKey};
use tributary_identity::{Context, Evidence, Resolution, nodes_of, resolve};
use tributary_model::catalog::Catalog;
use tributary_model::fragment::Sighting;
use tributary_model::identity_rules::{EventIdentifiers, IdentifierReader};
use tributary_model::keeper::event_name;
use tributary_model::outcome::Outcome;
use tributary_model::{
    Envelope, EventKind, EventView, Fragment, NodeKey, Position, ProfileId, Record, RecordKind, WorkspaceId,
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
            self.index_event(sequence, frame, envelope, anchor, &event);
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
        let active = self.active(id)?;
        let counters = Arc::make_mut(&mut workspace);
        let (resolution, changed) = self.resolve(id, counters, &found, &evidence)?;
        let mut touched = Touched { changed, ..Touched::default() };
        match &resolution {
            Some(resolution) => {
                self.fold(id, &active, resolution, &event, &evidence, &mut touched)?;
                self.index_event(sequence, frame, envelope, &resolution.anchor, &event);
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
        if kind == EventKind::Group {
            touched.group = self.fold_group(id, resolution.as_ref(), &event, &sighting(&evidence))?;
        }
        let payload = record.payload.clone();
        self.activations.push(announce::of_event(envelope, kind, evidence, resolution.as_ref(), payload));
        if let Some(resolution) = resolution.as_ref().filter(|resolution| !resolution.merged.is_empty()) {
            self.activations.push(announce::of_merge(envelope, sequence, resolution));
        }
        self.look_at_event(id, &active, resolution.as_ref(), &touched)
    }

    /// The rules in force, compiled.
    pub(super) fn reader(
        &self,
        id: WorkspaceId,
        workspace: &WorkspaceState,
    ) -> Result<Arc<IdentifierReader>, ProjectError> {
        self.state.rules().of(id, workspace).map_err(|why| ProjectError::Rules(id, why))
    }

    /// Whose an event is: from memory if it brings nothing new, else from the graph. And the profiles whose records it
    /// changed.
    fn resolve(
        &mut self,
        id: WorkspaceId,
        counters: &mut WorkspaceState,
        found: &EventIdentifiers,
        evidence: &Evidence,
    ) -> Result<(Option<Resolution>, BTreeSet<ProfileId>), ProjectError> {
        let day = evidence.day();
        let known = self.resolved.recall(id, found, day);
        if known.is_some() {
            return Ok((known, BTreeSet::new()));
        }
        let rules = Arc::clone(&counters.rules);
        let log_time = self.checkpoint.log_time;
        let context = Context { workspace: id, rules: &rules, hash_key: &self.hash_key, log_time };
        let resolution = resolve(&mut self.graph, &context, found, evidence)?;
        let changed = self.drop_changed();
        let Some(resolution) = resolution else { return Ok((None, changed)) };
        self.resolved.keep(id, found, &resolution, day);
        counters.profiles = counters.profiles.saturating_add_signed(resolution.profiles_delta);
        let seen = Seen {
            workspace: id,
            rules: &rules,
            sequence: evidence.position.sequence,
            log_time,
            is_changed: changed.contains(&resolution.profile),
        };
        self.alarms.look(&mut self.graph, &seen, &resolution, counters)?;
        Ok((Some(resolution), changed))
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

    fn index_event(
        &self,
        sequence: u64,
        frame: u64,
        envelope: &Envelope,
        anchor: &NodeKey,
        event: &EventView<'_>,
    ) {
        let workspace = envelope.workspace;
        let fragment = self.hash_key.identifier_hash(workspace, &anchor.identifier, anchor.epoch);
        let (event_time, received_at) = (envelope.event_time, envelope.received_at);
        let entry = IndexedEvent { event_time, sequence, frame, received_at };
        self.indexes.record_event(workspace, fragment, entry);
        self.indexes.record_name(workspace, event.kind, event_name(event).as_deref(), &fragment, entry);
    }

    /// Folds the event into its anchor's fragment, and into the profile's merged view if there is one. Notes what that
    /// changed.
    fn fold(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        resolution: &Resolution,
        event: &EventView<'_>,
        evidence: &Evidence,
        touched: &mut Touched,
    ) -> Result<(), ProjectError> {
        let sighting = sighting(evidence);
        let (catalog, log_time) = (&active.catalog, self.checkpoint.log_time);
        touched.traits = names_of(event);
        let is_searched = touched.traits.iter().any(|name| catalog.searched().contains(name));
        let key = Key::fragment(workspace, &resolution.anchor);
        // Taken out of the batch, so that an entry changed twice in a batch is not copied twice.
        let mut fragment = match self.graph.take(&key)? {
            Some(Value::Fragment(fragment)) => fragment,
            _ => Arc::new(Fragment::default()),
        };
        let before = is_searched.then(|| searched_part(&fragment, catalog));
        let changed = Arc::make_mut(&mut fragment);
        let seen = catalog.keepers().see(event, &sighting);
        // First, as long as the fragment has what its traits were before.
        let folded = catalog.keepers().fold_seen(changed, &seen, log_time);
        if folded.has_cut {
            ::metrics::counter!(metrics::DEFINITION_LIMIT_HITS, "limit" => "trail").increment(1);
        }
        changed.fold(event, &sighting);
        if let Some(before) = before {
            self.index_search(workspace, &resolution.anchor, &before, &fragment)?;
        }
        self.graph.put(key, Value::Fragment(fragment));
        touched.keepers = folded.changed;

        // Views of profiles that the event changed were dropped with the change: `None` is what is found of them.
        let id = (workspace, resolution.profile);
        let view = match self.views.remove(&id) {
            Some(view) => view,
            None => self.state.view(workspace, resolution.profile),
        };
        let holds = |view: &Arc<View>| view.profile == resolution.live && view.is_under(catalog);
        // What had to make room in the fragment makes room in the merge of all: that is made again.
        let view = view.filter(|view| !folded.has_cut && holds(view)).map(|mut view| {
            let merged = &mut Arc::make_mut(&mut view).merged;
            merged.fold(event, &sighting);
            catalog.keepers().fold_merged(merged, &seen, log_time);
            view
        });
        self.views.insert(id, view);
        Ok(())
    }
}

fn sighting(evidence: &Evidence) -> Sighting {
    Sighting { at: evidence.event_time, message_id: evidence.message_id.clone(), source: evidence.source }
}

/// The traits of the person that an event sets.
fn names_of(event: &EventView<'_>) -> Vec<String> {
    let traits = event.person_traits();
    traits.iter().flat_map(|traits| traits.iter()).map(|(name, _)| name.to_owned()).collect()
}

/// What a fragment has of the traits that people are searched by.
pub(super) fn searched_part(fragment: &Fragment, catalog: &Catalog) -> Fragment {
    let mut part = Fragment::default();
    for name in catalog.searched() {
        let newest = fragment.traits.get_key_value(name.as_str());
        part.traits.extend(newest.map(|(name, value)| (name.clone(), value.clone())));
        let keeper = catalog.policy(name).map(|(_, keeper)| keeper);
        let record = keeper.and_then(|keeper| fragment.kept.get_key_value(&keeper));
        part.kept.extend(record.map(|(number, record)| (*number, record.clone())));
    }
    part
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
