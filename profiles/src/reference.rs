//! A slow projection of a log, written from the rules: what tests compare the projector with.
//!
//! It keeps every event and computes everything anew from them: a profile's traits by sorting its events, its
//! counts by counting them. It shares the resolver with the projector (that has a slow reference of its own) and
//! nothing else: no store, no indexes, no fragments, no caches.

use crate::codec::Value;
use crate::key::{Key, Tag};
use crate::store::{Store, StoreError};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tributary_identity::{Evidence, MemoryGraph, ProfileRecord, Resolution, resolve};
use tributary_model::activation::ActivationHeader;
use tributary_model::fragment::Sighting;
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    Activation, EventKind, Fragment, HashKey, Identifier, MessageId, Namespace, NodeKey, Position, ProfileId,
    Record, RecordKind, SourceId, Timestamp, Workspace, WorkspaceId,
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
}

/// What the store counts for a workspace; nothing where it knows none.
///
/// # Errors
/// If the store can't be read.
pub fn stored_counts(store: &dyn Store, workspace: WorkspaceId) -> Result<Counts, StoreError> {
    let Some(bytes) = store.get(&Key::workspace(workspace))? else { return Ok(Counts::default()) };
    match Value::decode(Tag::Workspace, &bytes)? {
        Value::Workspace(state) => {
            Ok(Counts { profiles: state.profiles, projected: state.projected, duplicates: state.duplicates })
        }
        Value::Checkpoint(_)
        | Value::Edge(_)
        | Value::Fragment(_)
        | Value::Node(_)
        | Value::Profile(_)
        | Value::Refusal(_) => Ok(Counts::default()),
    }
}

/// Every live profile of a workspace as a store holds it, in the form of what is expected.
///
/// # Errors
/// If the store can't be read.
pub fn stored_profiles(
    store: &dyn Store,
    workspace: WorkspaceId,
) -> Result<BTreeMap<ProfileId, ExpectedProfile>, StoreError> {
    let mut live = Vec::new();
    let mut fragments = BTreeMap::new();
    store.scan(&workspace.0.to_be_bytes(), &mut |key, bytes| {
        let tag = Tag::of(key.as_bytes()).expect("stored keys have a tag");
        match Value::decode(tag, &bytes)? {
            Value::Profile(profile) => {
                if let ProfileRecord::Live(profile) = &*profile {
                    let id = key.as_bytes()[5..].try_into().expect("a profile's key ends with its id");
                    live.push((ProfileId(id), profile.clone()));
                }
            }
            Value::Fragment(fragment) => drop(fragments.insert(key, fragment)),
            Value::Checkpoint(_)
            | Value::Edge(_)
            | Value::Node(_)
            | Value::Refusal(_)
            | Value::Workspace(_) => {}
        }
        Ok(())
    })?;
    let seen = |sighting: &Option<Sighting>| {
        sighting.as_ref().map(|sighting| (sighting.at, sighting.message_id.to_string()))
    };
    let profiles = live.into_iter().map(|(id, profile)| {
        let mut merged = Fragment::default();
        for node in profile.members.iter() {
            if let Some(fragment) = fragments.get(&Key::fragment(workspace, node)) {
                merged.merge(fragment);
            }
        }
        let expected = ExpectedProfile {
            identifiers: profile.members.iter().map(|node| node.identifier.to_text()).collect(),
            traits: merged.current_traits().map(|(name, value, _)| (name.into(), value.into())).collect(),
            counts: merged.counts,
            first: seen(&merged.first),
            last: seen(&merged.last),
        };
        (id, expected)
    });
    Ok(profiles.collect())
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
    graph: MemoryGraph,
    rules: HashMap<WorkspaceId, IdentityRules>,
    deleted: BTreeSet<WorkspaceId>,
    seen: HashMap<(WorkspaceId, SourceId, MessageId), Vec<Timestamp>>,
    by_anchor: BTreeMap<(WorkspaceId, NodeKey), Vec<Event>>,
    /// Every activation that the log should bring, in order.
    pub activations: Vec<Activation>,
    /// How many events were projected, by workspace.
    pub projected: BTreeMap<WorkspaceId, u64>,
    /// How many events were duplicates, by workspace.
    pub duplicates: BTreeMap<WorkspaceId, u64>,
}

impl Reference {
    /// A projection of nothing yet; message ids are remembered for 7 days.
    pub fn new(hash_key: HashKey) -> Self {
        Self {
            hash_key,
            window_micros: 7 * 86_400_000_000,
            graph: MemoryGraph::new(),
            rules: HashMap::new(),
            deleted: BTreeSet::new(),
            seen: HashMap::new(),
            by_anchor: BTreeMap::new(),
            activations: Vec::new(),
            projected: BTreeMap::new(),
            duplicates: BTreeMap::new(),
        }
    }

    /// Projects the record at this sequence.
    ///
    /// # Panics
    /// If the record could not have been written by the collector or the admin API.
    pub fn apply(&mut self, sequence: u64, record: &Record) {
        let id = record.envelope.workspace;
        match record.envelope.kind {
            RecordKind::WorkspaceVersion => {
                let document: Workspace = serde_json::from_slice(&record.payload).expect("a workspace");
                self.rules.insert(id, document.identity);
            }
            RecordKind::WorkspaceDeleted => {
                self.deleted.insert(id);
                self.graph.remove_workspace(id);
                self.by_anchor.retain(|(workspace, _), _| *workspace != id);
                self.projected.remove(&id);
                self.duplicates.remove(&id);
            }
            RecordKind::Event(_) if self.deleted.contains(&id) => {}
            RecordKind::Event(kind) => self.event(sequence, kind, record),
        }
    }

    /// What is expected of a workspace's counters.
    pub fn counts(&self, workspace: WorkspaceId) -> Counts {
        let live = |(_, record): &(ProfileId, &ProfileRecord)| matches!(record, ProfileRecord::Live(_));
        Counts {
            profiles: self.graph.profiles(workspace).filter(live).count() as u64,
            projected: self.projected.get(&workspace).copied().unwrap_or_default(),
            duplicates: self.duplicates.get(&workspace).copied().unwrap_or_default(),
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
                identifiers: live.members.iter().map(|node| node.identifier.to_text()).collect(),
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
        *self.projected.entry(workspace).or_default() += 1;

        let rules = self.rules.get(&workspace).cloned().unwrap_or_default();
        let members: BTreeMap<String, Box<RawValue>> =
            serde_json::from_slice(&record.payload).expect("a JSON object");
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id: message_id.clone(),
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        let identifiers = identifiers(kind, &members);
        let resolution = resolve(&mut self.graph, workspace, &rules, &self.hash_key, &identifiers, &evidence)
            .expect("the graph in memory does not fail");
        if let Some(resolution) = &resolution {
            let event = Event {
                sequence,
                kind,
                at: envelope.event_time,
                message_id: message_id.clone(),
                source: envelope.source,
                traits: if kind == EventKind::Identify { person_traits(&members) } else { Vec::new() },
            };
            self.by_anchor.entry((workspace, resolution.anchor.clone())).or_default().push(event);
        }
        self.activations.push(activation(kind, record, evidence, resolution));
    }
}

fn activation(
    event_kind: EventKind,
    record: &Record,
    evidence: Evidence,
    resolution: Option<Resolution>,
) -> Activation {
    let members = resolution.iter().flat_map(|resolution| resolution.members.iter());
    Activation {
        header: ActivationHeader {
            workspace: record.envelope.workspace,
            position: evidence.position,
            ordinal: 0,
            identifiers: members.map(|node| node.identifier.clone()).collect(),
            profile: resolution.as_ref().map(|resolution| resolution.profile),
            event_kind,
            source: evidence.source,
            message_id: evidence.message_id,
            received_at: evidence.received_at,
            event_time: evidence.event_time,
        },
        event: record.payload.clone(),
    }
}

fn identifiers(kind: EventKind, members: &BTreeMap<String, Box<RawValue>>) -> Vec<Identifier> {
    let text = |members: &BTreeMap<String, Box<RawValue>>, name: &str| {
        serde_json::from_str::<String>(members.get(name)?.get()).ok()
    };
    let mut emails = Vec::new();
    if kind == EventKind::Identify {
        emails.extend(text(&object(members, "traits").unwrap_or_default(), "email"));
    }
    let context = object(members, "context").unwrap_or_default();
    emails.extend(text(&object(&context, "traits").unwrap_or_default(), "email"));

    let mut found = Vec::new();
    let user_id = text(members, "userId").map(|value| (Namespace::USER_ID, value));
    let emails = emails.into_iter().map(|value| (Namespace::EMAIL, value));
    let anonymous_id = text(members, "anonymousId").map(|value| (Namespace::ANONYMOUS_ID, value));
    for (namespace, value) in user_id.into_iter().chain(emails).chain(anonymous_id) {
        if let Ok(identifier) = Identifier::parse(namespace, &value)
            && !found.contains(&identifier)
        {
            found.push(identifier);
        }
    }
    found
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
