//! The projector's state machine: one record of the events log after the other, and nothing else.
//!
//! It reads no clock and no configuration but the log's, so one log always gives one state and one activations
//! log, however the run was cut into restarts. What is folded where, and who decides what:
//!
//! - A duplicate is an event whose message id was first seen at a smaller position within the window, by the
//!   events' own receive times. So a record read again after a crash is processed again.
//! - Who an event belongs to is `identity`'s decision, under the rules in force at the record's position.
//! - An event is folded into the fragment of its anchor, and brings one activation.
//!
//! Changes gather in a batch that becomes visible whole.

use crate::codec::{Checkpoint, Value, WorkspaceState};
use crate::key::Key;
use crate::metrics;
use crate::resolved::ResolutionCache;
use crate::state::{Changes, State, Views};
use crate::store::StoreError;
use bytes::Bytes;
use std::sync::Arc;
use tributary_eventlog::index::{FirstSeen, IndexError, IndexedEvent, Indexes, MessageKey};
use tributary_identity::{Edge, EdgeKey, Node, Refusal};
use tributary_identity::{Evidence, GraphStore, Inconsistent, ProfileRecord, Resolution, declared, resolve};
use tributary_model::activation::ActivationHeader;
use tributary_model::fragment::Sighting;
use tributary_model::identifier::identifiers_of;
use tributary_model::outcome::Outcome;
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    Activation, Envelope, EventView, Fragment, HashKey, Identifier, NodeKey, Position, ProfileId, Record,
    RecordKind, Workspace, WorkspaceId,
};

/// A record can't be projected. None of these is a client's fault: what is in the log was checked.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The indexes failed.
    #[error("the indexes failed")]
    Index(#[from] IndexError),
    /// The stored graph contradicts itself.
    #[error("the stored graph contradicts itself")]
    Graph(#[from] Inconsistent),
    /// A record's payload is not what its envelope says.
    #[error("record {0} of the events log can't be read")]
    Record(u64, #[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The state machine and the batch that it is working on.
pub struct Machine {
    state: Arc<State>,
    indexes: Arc<Indexes>,
    hash_key: HashKey,
    checkpoint: Checkpoint,
    batch: Changes,
    views: Views,
    activations: Vec<Activation>,
    resolved: ResolutionCache,
}

impl Machine {
    /// The machine as it stood at `checkpoint`, which is what `state` holds. It keeps resolutions in about so many
    /// bytes of memory; how many makes no difference to what it does.
    pub fn new(
        state: Arc<State>,
        indexes: Arc<Indexes>,
        hash_key: HashKey,
        checkpoint: Checkpoint,
        resolution_cache_bytes: u64,
    ) -> Self {
        Self {
            resolved: ResolutionCache::new(resolution_cache_bytes, hash_key.clone()),
            state,
            indexes,
            hash_key,
            checkpoint,
            batch: Changes::default(),
            views: Views::default(),
            activations: Vec::new(),
        }
    }

    /// Up to where records have been applied.
    pub fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Applies the next record.
    ///
    /// # Errors
    /// If the state or the indexes fail, or the record can't be read; the machine must not be used again.
    ///
    /// # Panics
    /// If the record is not the next one.
    pub fn apply(&mut self, sequence: u64, frame: u64, bytes: &Bytes) -> Result<(), ProjectError> {
        assert_eq!(sequence, self.checkpoint.next, "records come in order, each once");
        let record = Record::decode(bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        match record.envelope.kind {
            RecordKind::Event(_) => self.apply_event(sequence, frame, &record)?,
            RecordKind::WorkspaceVersion => self.apply_version(sequence, &record)?,
            RecordKind::WorkspaceDeleted => self.delete_workspace(record.envelope.workspace)?,
        }
        self.checkpoint.next = sequence + 1;
        self.checkpoint.log_time = self.checkpoint.log_time.max(record.envelope.received_at);
        Ok(())
    }

    /// Enters a record into the indexes alone: one that the state has already, but the indexes lost.
    ///
    /// # Errors
    /// If the state or the indexes fail, or the record can't be read.
    pub fn index_only(&mut self, sequence: u64, frame: u64, bytes: &Bytes) -> Result<(), ProjectError> {
        let record = Record::decode(bytes).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let envelope = &record.envelope;
        if matches!(envelope.kind, RecordKind::Event(_)) && !self.is_duplicate(sequence, frame, envelope)? {
            let event = EventView::parse(&record.payload)
                .map_err(|why| ProjectError::Record(sequence, why.into()))?;
            let workspace = self.workspace(envelope.workspace)?;
            if let Some(anchor) = identifiers_of(&event, &workspace.rules).into_iter().next() {
                self.index_event(sequence, frame, envelope, &NodeKey::first_epoch(anchor));
            }
        }
        Ok(())
    }

    /// Makes the batch visible to readers and hands out its activations, in order.
    pub fn publish(&mut self) -> Vec<Activation> {
        if !self.batch.is_empty() {
            self.state.publish(std::mem::take(&mut self.batch), std::mem::take(&mut self.views));
        }
        std::mem::take(&mut self.activations)
    }

    fn apply_event(&mut self, sequence: u64, frame: u64, record: &Record) -> Result<(), ProjectError> {
        let envelope = &record.envelope;
        let id = envelope.workspace;
        let mut workspace = self.workspace(id)?;
        if workspace.deleted {
            count(Outcome::WorkspaceDeleted);
            return Ok(());
        }
        if self.is_duplicate(sequence, frame, envelope)? {
            Arc::make_mut(&mut workspace).duplicates += 1;
            self.put(Key::workspace(id), Value::Workspace(workspace));
            count(Outcome::Duplicate);
            return Ok(());
        }
        let event =
            EventView::parse(&record.payload).map_err(|why| ProjectError::Record(sequence, why.into()))?;
        let identifiers = identifiers_of(&event, &workspace.rules);
        let message_id = envelope.message_id.clone().expect("an event's record has a message id");
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id,
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        let resolution = self.resolve(id, &workspace.rules, &identifiers, &evidence)?;
        if let Some(resolution) = &resolution {
            self.fold(id, resolution, &event, &evidence)?;
            self.index_event(sequence, frame, envelope, &resolution.anchor);
        }
        let counters = Arc::make_mut(&mut workspace);
        counters.projected += 1;
        if let Some(resolution) = &resolution {
            counters.profiles += u64::from(resolution.created);
            counters.profiles -= resolution.merged.len() as u64;
            note(id, resolution, counters.profiles);
        }
        self.put(Key::workspace(id), Value::Workspace(workspace));
        self.activations.push(activation(envelope, evidence, resolution, record.payload.clone()));
        count(Outcome::Projected);
        Ok(())
    }

    /// Whose an event is: from memory if it brings nothing new, else from the graph.
    fn resolve(
        &mut self,
        workspace: WorkspaceId,
        rules: &IdentityRules,
        identifiers: &[Identifier],
        evidence: &Evidence,
    ) -> Result<Option<Resolution>, ProjectError> {
        let day = evidence.day();
        let known = self.resolved.recall(workspace, &declared(identifiers, rules), day);
        if known.is_some() {
            return Ok(known);
        }
        let key = self.hash_key.clone();
        let resolution = resolve(self, workspace, rules, &key, identifiers, evidence)?;
        if let Some(resolution) = &resolution {
            self.resolved.keep(workspace, resolution, day);
        }
        Ok(resolution)
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
        let mut fragment = match self.take(&key)? {
            Some(Value::Fragment(fragment)) => fragment,
            _ => Arc::new(Fragment::default()),
        };
        Arc::make_mut(&mut fragment).fold(event, &sighting);
        self.put(key, Value::Fragment(fragment));

        let id = (workspace, resolution.profile);
        let view = match self.views.remove(&id) {
            Some(view) => view,
            None => self.state.view(workspace, resolution.profile),
        };
        let view = view
            .filter(|view| resolution.merged.is_empty() && view.profile.members == resolution.members)
            .map(|mut view| {
                Arc::make_mut(&mut view).merged.fold(event, &sighting);
                view
            });
        self.views.insert(id, view);
        for merged in &resolution.merged {
            self.views.insert((workspace, *merged), None);
        }
        Ok(())
    }

    fn apply_version(&mut self, sequence: u64, record: &Record) -> Result<(), ProjectError> {
        let id = record.envelope.workspace;
        let mut workspace = self.workspace(id)?;
        let document: Workspace = serde_json::from_slice(&record.payload)
            .map_err(|why| ProjectError::Record(sequence, why.into()))?;
        // A version that was already in force may be recorded again after a crash.
        if !workspace.deleted && document.version > workspace.version {
            let workspace = Arc::make_mut(&mut workspace);
            workspace.version = document.version;
            workspace.rules = document.identity;
        }
        self.put(Key::workspace(id), Value::Workspace(workspace));
        Ok(())
    }

    fn delete_workspace(&mut self, id: WorkspaceId) -> Result<(), ProjectError> {
        let mut keys = self.state.keys_of(id)?;
        keys.extend(self.batch.keys().filter(|key| key.is_of(id)).cloned());
        for key in keys {
            if let Some(Value::Profile(_)) = self.get(&key)?
                && let Ok(profile) = <[u8; 16]>::try_from(&key.as_bytes()[5..])
            {
                self.views.insert((id, ProfileId(profile)), None);
            }
            self.batch.insert(key, None);
        }
        self.resolved.clear();
        let left = WorkspaceState { deleted: true, ..WorkspaceState::default() };
        self.put(Key::workspace(id), Value::Workspace(Arc::new(left)));
        ::metrics::gauge!(metrics::PROFILES, "workspace" => id.to_string()).set(0.0);
        Ok(())
    }

    fn workspace(&self, id: WorkspaceId) -> Result<Arc<WorkspaceState>, StoreError> {
        Ok(match self.get(&Key::workspace(id))? {
            Some(Value::Workspace(workspace)) => workspace,
            // The version that created the workspace has left the log: its rules are not known any more.
            _ => Arc::default(),
        })
    }

    fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.batch.get(key) {
            Some(value) => Ok(value.clone()),
            None => self.state.get_for_writer(key),
        }
    }

    fn take(&mut self, key: &Key) -> Result<Option<Value>, StoreError> {
        match self.batch.remove(key) {
            Some(value) => Ok(value),
            None => self.state.get_for_writer(key),
        }
    }

    fn put(&mut self, key: Key, value: Value) {
        self.batch.insert(key, Some(value));
    }
}

/// The graph as the batch sees it.
impl GraphStore for Machine {
    type Error = ProjectError;

    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, ProjectError> {
        Ok(match self.get(&Key::node(workspace, key))? {
            Some(Value::Node(node)) => Some(node),
            _ => None,
        })
    }

    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, ProjectError> {
        Ok(match self.get(&Key::profile(workspace, id))? {
            Some(Value::Profile(profile)) => Some((*profile).clone()),
            _ => None,
        })
    }

    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, ProjectError> {
        Ok(match self.get(&Key::edge(workspace, key))? {
            Some(Value::Edge(edge)) => Some(edge),
            _ => None,
        })
    }

    fn refusal(
        &mut self,
        workspace: WorkspaceId,
        key: &EdgeKey,
    ) -> Result<Option<Arc<Refusal>>, ProjectError> {
        Ok(match self.get(&Key::refusal(workspace, key))? {
            Some(Value::Refusal(refusal)) => Some(refusal),
            _ => None,
        })
    }

    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), ProjectError> {
        self.put(Key::node(workspace, &key), Value::Node(Arc::new(node)));
        Ok(())
    }

    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), ProjectError> {
        self.resolved.changed(workspace, id);
        self.put(Key::profile(workspace, id), Value::Profile(Arc::new(record)));
        Ok(())
    }

    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), ProjectError> {
        self.put(Key::edge(workspace, &key), Value::Edge(Arc::new(edge)));
        Ok(())
    }

    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), ProjectError> {
        self.put(Key::refusal(workspace, &key), Value::Refusal(Arc::new(refusal)));
        Ok(())
    }
}

fn activation(
    envelope: &Envelope,
    evidence: Evidence,
    resolution: Option<Resolution>,
    event: Bytes,
) -> Activation {
    let RecordKind::Event(event_kind) = envelope.kind else { unreachable!("only events bring activations") };
    let identifiers: Vec<Identifier> =
        resolution.iter().flat_map(|r| r.members.iter().map(|node| node.identifier.clone())).collect();
    let header = ActivationHeader {
        workspace: envelope.workspace,
        position: evidence.position,
        ordinal: 0,
        profile: resolution.map(|resolution| resolution.profile),
        identifiers,
        event_kind,
        source: evidence.source,
        message_id: evidence.message_id,
        received_at: evidence.received_at,
        event_time: evidence.event_time,
    };
    Activation { header, event }
}

fn count(outcome: Outcome) {
    ::metrics::counter!(metrics::EVENTS, "stage" => "projector", "outcome" => outcome.name()).increment(1);
}

fn note(workspace: WorkspaceId, resolution: &Resolution, profiles: u64) {
    if resolution.created || !resolution.merged.is_empty() {
        ::metrics::gauge!(metrics::PROFILES, "workspace" => workspace.to_string()).set(profiles as f64);
        ::metrics::counter!(metrics::MERGES).increment(resolution.merged.len() as u64);
    }
    for demotion in &resolution.demoted {
        ::metrics::counter!(metrics::DEMOTIONS, "reason" => demotion.reason.name()).increment(1);
    }
}
