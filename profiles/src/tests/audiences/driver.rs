//! A machine driven record by record, and what is to be seen of its audiences.

use super::super::*;
use super::ONE;
use crate::codec::Value;
use crate::definitions::{DefinitionsState, Stage};
use crate::key::{Tag, audience_prefix};
use crate::testing::computed;
use serde_json::{Value as Json, json};
use std::ops::Bound;
use tempfile::TempDir;
use tributary_identity::ProfileRecord;
use tributary_model::activation::ActivationKind;
use tributary_model::command::{Action, Command};
use tributary_model::event::AcceptedEvent;
use tributary_model::tick::Tick;
use tributary_model::workspace::{Audience, IdentityRules, TraitRules};
use tributary_model::{AudienceId, Marks, MessageId, SourceId, Workspace};

/// The document of a workspace.
pub(super) fn document(version: u64, identity: IdentityRules, audiences: Vec<Audience>) -> Workspace {
    Workspace {
        id: ONE,
        name: "one".to_owned(),
        version,
        created_at: START,
        next_id: 1,
        sources: Vec::new(),
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity,
        computed_traits: vec![computed(1, "orders", "count(event(\"Order Completed\"))")],
        audiences,
        traits: TraitRules::default(),
    }
}

/// The record that puts it into force.
pub(super) fn in_force(document: &Workspace, at: Timestamp) -> Bytes {
    let bytes = serde_json::to_vec(document).expect("a document can be written");
    Record::of_workspace(ONE, document.version, at, Some(bytes.into())).encode()
}

/// A machine over a log of its own, driven record by record.
pub(super) struct Driver {
    directory: TempDir,
    pub(super) log: Arc<MemoryLog>,
    indexes: Arc<Indexes>,
    open: Option<Open>,
    version: u64,
    pub(super) now: Timestamp,
    pub(super) told: Vec<Activation>,
}

/// What a restart makes anew.
pub(super) struct Open {
    generation: Generation,
    pub(super) state: Arc<State>,
    machine: Machine,
}

impl Driver {
    pub(super) fn new() -> Self {
        Self::over(Arc::new(MemoryLog::new()))
    }

    pub(super) fn over(log: Arc<MemoryLog>) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let indexes = open_indexes(directory.path());
        let mut driver =
            Self { directory, log, indexes, open: None, version: 0, now: START, told: Vec::new() };
        driver.reopen();
        driver
    }

    /// A machine that goes on from what the store has.
    pub(super) fn reopen(&mut self) {
        drop(self.open.take());
        let paths = StatePaths::within(self.directory.path());
        let generation = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
        let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
        let log = Arc::clone(&self.log) as Arc<dyn EventLog>;
        let (indexes, checkpoint) = (Arc::clone(&self.indexes), generation.checkpoint);
        let machine = Machine::new(Arc::clone(&state), indexes, log, hash_key(), checkpoint, 1);
        self.open = Some(Open { generation, state, machine });
    }

    pub(super) fn open(&mut self) -> &mut Open {
        self.open.as_mut().expect("it is open but for a moment")
    }

    pub(super) fn machine(&mut self) -> &mut Machine {
        &mut self.open().machine
    }

    /// Applies what the log has up to here.
    pub(super) fn read(&mut self, to: u64) {
        loop {
            let next = self.machine().checkpoint().next;
            if next >= to {
                return;
            }
            let entry = self.log.read(next, 1).expect("readable").remove(0);
            let applied = self.machine().apply(next, 0, &entry.bytes).expect("applied");
            assert_eq!(applied, Applied::Done, "no rebuild is among the records");
        }
    }

    pub(super) fn put(&mut self, record: Bytes) {
        append(&*self.log, vec![record]);
        self.read(self.log.bounds().end);
        let told = self.machine().publish();
        self.told.extend(told);
    }

    pub(super) fn write(&mut self) {
        let open = self.open.as_mut().expect("it is open");
        let _published = open.machine.publish();
        let checkpoint = open.machine.checkpoint();
        write_now(&mut open.generation.checkpointer, &open.state, checkpoint).expect("written");
    }

    /// An event that arrives now and happened so many microseconds ago.
    pub(super) fn send_late(&mut self, kind: EventKind, mut body: Json, age: i64) {
        let message_id = format!("m{}", self.log.bounds().end);
        body["type"] = kind.name().into();
        body["messageId"] = message_id.as_str().into();
        let event = AcceptedEvent {
            workspace: ONE,
            workspace_version: 1,
            source: SourceId(1),
            kind,
            message_id: MessageId::parse(&message_id).expect("a message id"),
            received_at: self.now,
            event_time: self.now.plus_micros(-age),
            marks: Marks::default(),
            anchor_hash: None,
            payload: body.to_string().into(),
        };
        self.put(Record::from_event(event).encode());
    }

    pub(super) fn send(&mut self, kind: EventKind, body: Json) {
        self.send_late(kind, body, 0);
    }

    pub(super) fn order(&mut self, user: &str) {
        self.send(EventKind::Track, json!({"userId": user, "event": "Order Completed"}));
    }

    pub(super) fn define(&mut self, audiences: Vec<Audience>) {
        self.define_with(audiences, TraitRules::default());
    }

    pub(super) fn define_with(&mut self, audiences: Vec<Audience>, traits: TraitRules) {
        self.version += 1;
        let document = Workspace { traits, ..document(self.version, IdentityRules::default(), audiences) };
        self.put(in_force(&document, self.now));
    }

    pub(super) fn command(&mut self, action: Action) {
        let command = Command { by: "ada".to_owned(), reason: None, action };
        self.put(Record::of_command(ONE, 1, self.now, &command).encode());
    }

    pub(super) fn tick(&mut self, tick: &Tick) {
        self.put(Record::of_tick(ONE, 1, self.now, tick).encode());
    }

    /// Takes one step that is due, if there is one.
    pub(super) fn step(&mut self) -> bool {
        let now = self.now;
        let due = self.machine().due(WorkspaceId(0)).expect("readable");
        let timers = due.timer.filter(|(at, _)| *at <= now).map(|_| Tick::Timers { max: 1000 });
        let Some(tick) = timers.or(due.work.map(|(_, tick)| tick)) else { return false };
        self.tick(&tick);
        true
    }

    /// Takes every step that is due.
    pub(super) fn settle(&mut self) {
        while self.step() {}
    }

    pub(super) fn pass(&mut self, micros: i64) {
        self.now = self.now.plus_micros(micros);
        self.settle();
    }

    pub(super) fn definitions(&mut self) -> Arc<DefinitionsState> {
        self.open().state.definitions(ONE).expect("readable")
    }

    pub(super) fn stage(&mut self, key: &str) -> Stage {
        let definitions = self.definitions();
        definitions.audiences.iter().find(|audience| audience.key == key).expect("it is defined").stage
    }

    /// The members of an audience, by their identifiers of today; those of the size and of the standings are the same.
    pub(super) fn members(&mut self, id: u32) -> BTreeSet<String> {
        let state = Arc::clone(&self.open().state);
        let id = AudienceId(id);
        let rows = state.range(ONE, Tag::Member, Bound::Unbounded, &audience_prefix(id), 1000);
        let mut found = BTreeSet::new();
        for (key, value) in rows.expect("readable") {
            let (Some((_, profile)), Value::Member(membership)) = (key.member_named(), value) else {
                panic!("{key:?} is no member")
            };
            let Some(Value::Standing(standing)) = state.get(&Key::standing(ONE, profile)).expect("readable")
            else {
                panic!("a member has a standing")
            };
            assert_eq!(standing.memberships.get(&id), Some(&*membership));
            let Some(Value::Profile(record)) = state.get(&Key::profile(ONE, profile)).expect("readable")
            else {
                panic!("a member is a profile")
            };
            let ProfileRecord::Live(live) = &*record else { panic!("a member is live") };
            let texts: Vec<String> = live.identifiers().map(|node| node.identifier.to_text()).collect();
            found.insert(texts.join(" "));
        }
        let definitions = self.definitions();
        let audience = definitions.audiences.iter().find(|audience| audience.id == id);
        assert_eq!(audience.map_or(0, |audience| audience.members), found.len() as u64);
        found
    }

    /// What was told of audiences since this was last asked: change, key, identifiers.
    pub(super) fn told(&mut self) -> Vec<String> {
        let told = std::mem::take(&mut self.told);
        let mut found = Vec::new();
        for pair in told.iter().filter(|told| is_of_audience(told)).collect::<Vec<_>>().chunks(2) {
            let [track, identify] = pair else { panic!("each change is told in two forms") };
            let body: Json = serde_json::from_slice(&track.event).expect("JSON");
            let key = body["properties"]["audience_key"].as_str().expect("a key").to_owned();
            let is_in = track.header.kind == ActivationKind::AudienceEntered;
            let event = if is_in { "Audience Entered" } else { "Audience Exited" };
            assert_eq!((&body["event"], &body["properties"][&key]), (&json!(event), &json!(is_in)));
            let traits: Json = serde_json::from_slice(&identify.event).expect("JSON");
            assert_eq!(traits["traits"], json!({ key.as_str(): is_in }));
            assert_eq!(identify.header.kind, ActivationKind::AudienceTrait);
            assert_eq!(identify.header.identifiers, track.header.identifiers);
            assert_eq!(identify.header.ordinal, track.header.ordinal + 1);
            assert_eq!(body["messageId"], json!(track.header.message_id.as_str()));
            let identifiers: Vec<String> = track.header.identifiers.iter().map(Identifier::to_text).collect();
            let change = if is_in { "+" } else { "-" };
            found.push(format!("{change}{key} {}", identifiers.join(" ")));
        }
        found
    }
}

pub(super) fn is_of_audience(told: &Activation) -> bool {
    match told.header.kind {
        ActivationKind::AudienceEntered | ActivationKind::AudienceExited | ActivationKind::AudienceTrait => {
            true
        }
        ActivationKind::Event | ActivationKind::ProfileMerged | ActivationKind::ProfileSplit => false,
    }
}
