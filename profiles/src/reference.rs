//! A slow projection of a log, written from the rules: what tests compare the projector with.
//!
//! It keeps every event and computes everything anew from them: a profile's traits by sorting its events, its
//! counts by counting them. It shares the resolver and what carries commands out with the projector (those have a slow
//! reference of their own) and nothing else: no store, no indexes, no fragments, no caches.

mod announced;
mod carried;
mod rebuilt;
mod stored;

pub use stored::{stored_counts, stored_profiles};

use announced::{merged, of_event, of_rebuild, split};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use tributary_identity::{
    Context, Evidence, MemoryGraph, Ordered, ProfileRecord, Retake, hand_over, resolve, unmerge,
};
use tributary_model::command::{Action, Command};
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    Activation, EventKind, HashKey, MessageId, NodeKey, Position, ProfileId, Record, RecordKind, SourceId,
    Timestamp, Workspace, WorkspaceId,
};

/// What is expected of one profile.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExpectedProfile {
    /// Its identifiers as `namespace:value`.
    pub identifiers: BTreeSet<String>,
    /// Its traits as JSON text, removed ones left out.
    pub traits: BTreeMap<String, String>,
    /// How many events of each kind, in the order of [`EventKind::ALL`].
    pub counts: [u64; 6],
    /// Time and message id of its earliest event.
    pub first: Option<(Timestamp, String)>,
    /// Time and message id of its latest event.
    pub last: Option<(Timestamp, String)>,
}

/// What a store counts for a workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Live profiles.
    pub profiles: u64,
    /// Events that were projected.
    pub projected: u64,
    /// Events that were duplicates.
    pub duplicates: u64,
    /// Events that had no identifier.
    pub unidentified: u64,
}

struct Event {
    sequence: u64,
    kind: EventKind,
    at: Timestamp,
    message_id: MessageId,
    source: SourceId,
    traits: Vec<(String, Option<String>)>,
}

/// The slow projection.
pub struct Reference {
    hash_key: HashKey,
    window_micros: i64,
    log_time: Timestamp,
    graph: MemoryGraph,
    versions: HashMap<WorkspaceId, (u64, Arc<IdentityRules>)>,
    deleted: BTreeSet<WorkspaceId>,
    seen: HashMap<(WorkspaceId, SourceId, MessageId), Vec<Timestamp>>,
    by_anchor: BTreeMap<(WorkspaceId, NodeKey), Vec<Event>>,
    /// Every activation that the log should bring, in order.
    pub activations: Vec<Activation>,
    /// How many events were projected, by workspace.
    pub projected: BTreeMap<WorkspaceId, u64>,
    /// How many events were duplicates, by workspace.
    pub duplicates: BTreeMap<WorkspaceId, u64>,
    /// How many events had no identifier, by workspace.
    pub unidentified: BTreeMap<WorkspaceId, u64>,
    /// How many commands were refused, by workspace.
    pub refused: BTreeMap<WorkspaceId, u64>,
}

impl Reference {
    /// A projection of nothing yet; message ids are remembered for 7 days.
    pub fn new(hash_key: HashKey) -> Self {
        Self {
            hash_key,
            window_micros: 7 * 86_400_000_000,
            log_time: Timestamp::default(),
            graph: MemoryGraph::new(),
            versions: HashMap::new(),
            deleted: BTreeSet::new(),
            seen: HashMap::new(),
            by_anchor: BTreeMap::new(),
            activations: Vec::new(),
            projected: BTreeMap::new(),
            duplicates: BTreeMap::new(),
            unidentified: BTreeMap::new(),
            refused: BTreeMap::new(),
        }
    }

    /// Projects the record at this sequence.
    ///
    /// # Panics
    /// If the record could not have been written by the collector or an API.
    pub fn apply(&mut self, sequence: u64, record: &Record) {
        let id = record.envelope.workspace;
        self.log_time = self.log_time.max(record.envelope.received_at);
        match record.envelope.kind {
            RecordKind::WorkspaceVersion => {
                let document: Workspace = serde_json::from_slice(&record.payload).expect("a workspace");
                if self.versions.get(&id).is_none_or(|(version, _)| *version < document.version) {
                    self.versions.insert(id, (document.version, Arc::new(document.identity)));
                }
            }
            RecordKind::WorkspaceDeleted => {
                self.deleted.insert(id);
                self.graph.remove_workspace(id);
                self.by_anchor.retain(|(workspace, _), _| *workspace != id);
                for counts in [&mut self.projected, &mut self.duplicates, &mut self.unidentified] {
                    counts.remove(&id);
                }
            }
            RecordKind::Event(_) | RecordKind::Command if self.deleted.contains(&id) => {}
            RecordKind::Event(kind) => self.event(sequence, kind, record),
            RecordKind::Command => self.command(sequence, record),
            // What only time and new definitions bring has a reference of its own, in the tests of audiences.
            RecordKind::Tick => {}
        }
    }

    /// What is expected of a workspace's counters.
    pub fn counts(&self, workspace: WorkspaceId) -> Counts {
        let live = |(_, record): &(ProfileId, &ProfileRecord)| matches!(record, ProfileRecord::Live(_));
        let of = |counts: &BTreeMap<WorkspaceId, u64>| counts.get(&workspace).copied().unwrap_or_default();
        Counts {
            profiles: self.graph.profiles(workspace).filter(live).count() as u64,
            projected: of(&self.projected),
            duplicates: of(&self.duplicates),
            unidentified: of(&self.unidentified),
        }
    }

    /// What is expected of every profile of a workspace.
    pub fn profiles(&self, workspace: WorkspaceId) -> BTreeMap<ProfileId, ExpectedProfile> {
        let mut found = BTreeMap::new();
        for (id, record) in self.graph.profiles(workspace) {
            let ProfileRecord::Live(live) = record else { continue };
            let mut events: Vec<&Event> = live
                .members
                .iter()
                .filter_map(|node| self.by_anchor.get(&(workspace, node.clone())))
                .flatten()
                .collect();
            events.sort_by_key(|event| (event.at, event.message_id.clone(), event.source));
            let mut expected = ExpectedProfile {
                identifiers: live.identifiers().map(|node| node.identifier.to_text()).collect(),
                first: events.first().map(|event| (event.at, event.message_id.to_string())),
                last: events.last().map(|event| (event.at, event.message_id.to_string())),
                ..ExpectedProfile::default()
            };
            let mut traits = BTreeMap::new();
            for event in &events {
                expected.counts[event.kind.index()] += 1;
                traits.extend(event.traits.iter().cloned());
            }
            expected.traits = traits.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
            found.insert(id, expected);
        }
        found
    }

    /// The sequences of a profile's events, newest event time first.
    pub fn events_of(&self, workspace: WorkspaceId, members: &[NodeKey]) -> Vec<u64> {
        let mut events: Vec<(Timestamp, u64)> = members
            .iter()
            .filter_map(|node| self.by_anchor.get(&(workspace, node.clone())))
            .flatten()
            .map(|event| (event.at, event.sequence))
            .collect();
        events.sort_unstable();
        events.into_iter().rev().map(|(_, sequence)| sequence).collect()
    }

    /// The live profiles of a workspace, each with the sequences of its events.
    pub fn sequences(&self, workspace: WorkspaceId) -> BTreeMap<ProfileId, Vec<u64>> {
        let live = self.graph.profiles(workspace).filter_map(|(id, record)| match record {
            ProfileRecord::Live(live) => Some((id, self.events_of(workspace, &live.members))),
            ProfileRecord::MergedInto(_) => None,
        });
        live.collect()
    }

    /// The profiles of a workspace that were merged away, each with the one that it was merged into.
    pub fn merged(&self, workspace: WorkspaceId) -> BTreeMap<ProfileId, ProfileId> {
        let gone = self.graph.profiles(workspace).filter_map(|(id, record)| match record {
            ProfileRecord::Live(_) => None,
            ProfileRecord::MergedInto(target) => Some((id, *target)),
        });
        gone.collect()
    }

    fn event(&mut self, sequence: u64, kind: EventKind, record: &Record) {
        let envelope = &record.envelope;
        let workspace = envelope.workspace;
        let message_id = envelope.message_id.clone().expect("events have message ids");
        let seen = self.seen.entry((workspace, envelope.source, message_id.clone())).or_default();
        let window = self.window_micros;
        if seen.iter().any(|first| envelope.received_at.micros_since(*first) <= window) {
            *self.duplicates.entry(workspace).or_default() += 1;
            return;
        }
        seen.push(envelope.received_at);

        let rules = self.rules(workspace);
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id: message_id.clone(),
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        let whole = serde_json::from_slice(&record.payload).expect("a JSON object");
        let found = carried::identifiers(kind, &whole, &rules);
        let context = Context { workspace, rules: &rules, hash_key: &self.hash_key, log_time: self.log_time };
        let resolution =
            resolve(&mut self.graph, &context, &found, &evidence).expect("the graph in memory does not fail");
        self.activations.push(of_event(kind, record, evidence, resolution.as_ref()));
        let Some(resolution) = resolution else {
            *self.unidentified.entry(workspace).or_default() += 1;
            return;
        };
        *self.projected.entry(workspace).or_default() += 1;
        if !resolution.merged.is_empty() {
            self.activations.push(merged(sequence, record, &resolution));
        }
        let members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&record.payload).expect("a JSON object");
        let event = Event {
            sequence,
            kind,
            at: envelope.event_time,
            message_id,
            source: envelope.source,
            traits: if kind == EventKind::Identify { person_traits(&members) } else { Vec::new() },
        };
        self.by_anchor.entry((workspace, resolution.anchor)).or_default().push(event);
    }

    fn command(&mut self, sequence: u64, record: &Record) {
        let workspace = record.envelope.workspace;
        let command = Command::decode(&record.payload).expect("a command");
        let rules = self.rules(workspace);
        let context = Context { workspace, rules: &rules, hash_key: &self.hash_key, log_time: self.log_time };
        let order = Ordered {
            position: Position::at(sequence),
            at: record.envelope.received_at,
            by: &command.by,
            reason: command.reason.as_deref(),
        };
        let graph = &mut self.graph;
        let is_refused = match &command.action {
            Action::Unmerge { who, target, retake } => {
                let retake = if *retake { Retake::Again } else { Retake::Keep };
                let parted = unmerge(graph, &context, who, target, retake, &order).expect("memory");
                self.activations.extend(parted.iter().flat_map(|parted| split(sequence, record, parted)));
                parted.is_err()
            }
            Action::Link { .. } | Action::Remove { .. } | Action::Move { .. } => {
                hand_over(graph, &context, &command.action, &order).expect("memory").is_err()
            }
            Action::Rebuild => {
                let news = rebuilt::rebuild(graph, &context);
                self.activations.extend(of_rebuild(sequence, record, graph, news));
                false
            }
        };
        *self.refused.entry(workspace).or_default() += u64::from(is_refused);
    }

    fn rules(&self, workspace: WorkspaceId) -> Arc<IdentityRules> {
        self.versions.get(&workspace).map(|(_, rules)| Arc::clone(rules)).unwrap_or_default()
    }
}

fn person_traits(members: &BTreeMap<String, Box<RawValue>>) -> Vec<(String, Option<String>)> {
    let context = object(members, "context").unwrap_or_default();
    let traits = object(members, "traits").or_else(|| object(&context, "traits")).unwrap_or_default();
    let value = |value: Box<RawValue>| Some(value.get().to_owned()).filter(|text| text != "null");
    traits.into_iter().map(|(name, raw)| (name, value(raw))).collect()
}

fn object(members: &BTreeMap<String, Box<RawValue>>, name: &str) -> Option<BTreeMap<String, Box<RawValue>>> {
    serde_json::from_str(members.get(name)?.get()).ok()
}
