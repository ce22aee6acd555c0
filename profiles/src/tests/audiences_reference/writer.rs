//! Writes what happens as records of the log.

use super::super::START;
use super::people::ONE;
use super::stream::{Call, Definition, HOUR, Happening};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tributary_model::command::Command;
use tributary_model::condition::{Aggregate, Condition, Scope, check_condition, read_aggregate};
use tributary_model::event::AcceptedEvent;
use tributary_model::tick::Tick;
use tributary_model::workspace::{Audience, ComputedTrait};
use tributary_model::{
    AudienceId, ComputedTraitId, EventKind, Marks, MessageId, Record, SourceId, Timestamp, Workspace,
};

/// How many hours after the first copy another is surely taken for a repeat.
const REMEMBERED_HOURS: i64 = 6 * 24;

/// Makes records of what happens.
pub(super) struct Writer {
    now: Timestamp,
    /// The largest time so far.
    pub(super) log_time: Timestamp,
    /// The workspace at the version in force.
    pub(super) workspace: Workspace,
    sent: Vec<AcceptedEvent>,
    next_audience: u32,
}

impl Writer {
    pub(super) fn new(workspace: Workspace) -> Self {
        Self { now: START, log_time: START, workspace, sent: Vec::new(), next_audience: 1 }
    }

    /// The record of it; `None` if there is nothing to write.
    pub(super) fn record(&mut self, happening: &Happening) -> Option<Record> {
        let record = match happening {
            Happening::Call(call) => {
                self.pass(call.later);
                let event = self.event(call);
                self.sent.push(event.clone());
                Record::from_event(event)
            }
            Happening::Again { which, later } => {
                let first = self.sent.get(which % self.sent.len().max(1))?.clone();
                let age = self.now.micros_since(first.received_at) / HOUR;
                if age + later > REMEMBERED_HOURS {
                    return None;
                }
                self.pass(*later);
                Record::from_event(AcceptedEvent { received_at: self.now, ..first })
            }
            Happening::Order { action, later } => {
                self.pass(*later);
                let command = Command { by: "ada".to_owned(), reason: None, action: action.clone() };
                Record::of_command(ONE, self.workspace.version, self.now, &command)
            }
            Happening::Define(definitions) => {
                for definition in definitions {
                    self.define(definition);
                }
                self.workspace.version += 1;
                version(&self.workspace, self.now)
            }
            Happening::Wait(hours) => {
                self.pass(*hours);
                Record::of_tick(ONE, self.workspace.version, self.now, &Tick::Timers { max: 2 })
            }
        };
        Some(record)
    }

    fn pass(&mut self, hours: i64) {
        self.now = self.now.plus_micros(hours * HOUR);
        self.log_time = self.log_time.max(self.now);
    }

    fn event(&self, call: &Call) -> AcceptedEvent {
        let number = self.sent.len() as i64;
        let message = format!("m{number}");
        // Identify and group calls may have equal times.
        let apart = if matches!(call.kind, EventKind::Identify | EventKind::Group) { 0 } else { number + 1 };
        AcceptedEvent {
            workspace: ONE,
            workspace_version: self.workspace.version,
            source: SourceId(1),
            kind: call.kind,
            received_at: self.now,
            event_time: self.now.plus_micros(-call.age * HOUR - apart),
            marks: Marks::default(),
            anchor_hash: None,
            payload: call.body(&message).to_string().into(),
            message_id: MessageId::parse(&message).expect("a message id"),
        }
    }

    fn define(&mut self, definition: &Definition) {
        let (audiences, computed) = (&mut self.workspace.audiences, &mut self.workspace.computed_traits);
        match definition {
            Definition::Audience { place, condition, include_anonymous } => {
                let key = format!("a{place}");
                let known = audiences.iter().position(|audience| audience.key == key);
                let id = known.map_or(AudienceId(self.next_audience), |known| audiences[known].id);
                let made = audience(id, &key, condition, *include_anonymous);
                match known {
                    Some(known) => audiences[known] = made,
                    None => {
                        audiences.push(made);
                        self.next_audience += 1;
                    }
                }
            }
            Definition::Computed { place, aggregate } => {
                let made = computed_trait(*place, aggregate);
                computed.retain(|known| known.key != made.key);
                computed.push(made);
            }
            Definition::NoAudience(place) => {
                audiences.retain(|audience| audience.key != format!("a{place}"));
            }
            Definition::NoComputed(place) => computed.retain(|known| known.key != format!("c{place}")),
        }
    }
}

impl Call {
    fn body(&self, message: &str) -> Value {
        let mut body = json!({"type": self.kind.name(), "messageId": message});
        let mut context = BTreeMap::new();
        if let Some(user) = self.user {
            body["userId"] = format!("u{user}").into();
        }
        if let Some(device) = self.device {
            body["anonymousId"] = format!("d{device}").into();
        }
        let mut values = self.values.clone();
        if let Some(email) = self.email.map(|email| format!("e{email}@x.y")) {
            if self.kind == EventKind::Identify {
                values.insert("email".to_owned(), email.into());
            } else {
                context.insert("traits", json!({"email": email}));
            }
        }
        let place =
            if matches!(self.kind, EventKind::Identify | EventKind::Group) { "traits" } else { "properties" };
        body[place] = values.into();
        match self.kind {
            EventKind::Track => body["event"] = self.name.into(),
            EventKind::Page | EventKind::Screen => body["name"] = "P".into(),
            EventKind::Group => body["groupId"] = format!("g{}", self.other).into(),
            EventKind::Alias => body["previousId"] = format!("u{}", self.other).into(),
            EventKind::Identify => {}
        }
        body["context"] = json!(context);
        body
    }
}

/// The record that puts a version of the workspace into force.
pub(super) fn version(workspace: &Workspace, at: Timestamp) -> Record {
    let document = serde_json::to_vec(workspace).expect("a document can be written");
    Record::of_workspace(ONE, workspace.version, at, Some(document.into()))
}

fn audience(id: AudienceId, key: &str, condition: &Condition, include_anonymous: bool) -> Audience {
    if let Err(error) = check_condition(condition, Scope::Profile) {
        panic!("{error}: {condition:?}");
    }
    Audience {
        id,
        key: key.to_owned(),
        name: format!("The {key}"),
        definition: condition.clone(),
        include_anonymous,
        created_at: START,
    }
}

fn computed_trait(place: u8, aggregate: &Aggregate) -> ComputedTrait {
    let json = serde_json::to_value(aggregate).expect("it can be written");
    match read_aggregate(&json) {
        Ok(read) => assert_eq!(read, *aggregate),
        Err(error) => panic!("{error}: {aggregate:?}"),
    }
    ComputedTrait {
        id: ComputedTraitId(u32::from(place) + 1),
        key: format!("c{place}"),
        name: format!("The computed trait {place}"),
        definition: aggregate.clone(),
        created_at: START,
    }
}
