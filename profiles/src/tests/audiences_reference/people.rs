//! What the reference knows: the list of each profile's events, and nothing kept of them.
//!
//! - Whose an event is, and that a repeat is none, the reference of identity says.
//! - A trait has the value that the identify call with the newest event time gave it, of equal times the one with the
//!   largest message id; null removes it. So has an account's, of group calls, whoever sent them.
//! - A person belongs to the accounts that the person's group calls name, and those people are the account's members.

use super::value::Val;
use crate::reference::Reference;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use tributary_model::condition::FieldPath;
use tributary_model::{EventKind, ProfileId, Record, RecordKind, Timestamp, Workspace, WorkspaceId};

/// An event that is no repeat.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) at: Timestamp,
    message: String,
    pub(super) kind: EventKind,
    pub(super) body: Value,
}

impl Event {
    /// That of a record; `None` if it is of something else.
    pub(super) fn of(record: &Record) -> Option<Self> {
        let RecordKind::Event(kind) = record.envelope.kind else { return None };
        Some(Self {
            at: record.envelope.event_time,
            message: record.envelope.message_id.as_ref().expect("an event has a message id").to_string(),
            kind,
            body: serde_json::from_slice(&record.payload).expect("a JSON object"),
        })
    }

    /// What stands at a path of it.
    pub(super) fn field(&self, path: &FieldPath) -> Val {
        lookup(&self.body, path)
    }

    /// The name of a track, page or screen call.
    pub(super) fn name(&self) -> Option<&str> {
        match self.kind {
            EventKind::Track => self.body["event"].as_str(),
            EventKind::Page | EventKind::Screen => self.body["name"].as_str(),
            EventKind::Identify | EventKind::Group | EventKind::Alias => None,
        }
    }

    fn group(&self) -> Option<&str> {
        if self.kind == EventKind::Group { self.body["groupId"].as_str() } else { None }
    }
}

/// A live profile.
#[derive(Debug)]
pub(super) struct Person<'a> {
    /// Its identifiers as `namespace:value`, sorted.
    pub(super) identifiers: BTreeSet<String>,
    /// Its events, in the order of event times.
    pub(super) events: Vec<&'a Event>,
    /// Its traits: an object.
    pub(super) traits: Value,
    /// Its accounts.
    pub(super) accounts: BTreeSet<&'a str>,
}

impl Person<'_> {
    pub(super) fn has_user_id(&self) -> bool {
        self.identifiers.iter().any(|identifier| identifier.starts_with("user_id:"))
    }
}

/// Everybody, as it is at one time under one version of the workspace.
#[derive(Debug)]
pub(super) struct World<'a> {
    /// The largest time of arrival so far.
    pub(super) now: Timestamp,
    /// What is defined.
    pub(super) workspace: &'a Workspace,
    /// The live profiles.
    pub(super) people: BTreeMap<ProfileId, Person<'a>>,
    /// The traits of each account: an object.
    pub(super) accounts: BTreeMap<&'a str, Value>,
}

impl<'a> World<'a> {
    /// Of all events that are no repeats, by sequence.
    pub(super) fn new(
        now: Timestamp,
        workspace: &'a Workspace,
        events: &'a BTreeMap<u64, Event>,
        reference: &Reference,
    ) -> Self {
        let expected = reference.profiles(workspace.id);
        let people = reference.sequences(workspace.id).into_iter().map(|(id, sequences)| {
            let own = sorted(sequences.iter().map(|sequence| &events[sequence]));
            let identifiers = expected[&id].identifiers.clone();
            (id, Person { identifiers, traits: traits(&own), accounts: groups(&own), events: own })
        });
        let all = sorted(events.values());
        let accounts = groups(&all).into_iter().map(|group| {
            let calls: Vec<&Event> =
                all.iter().copied().filter(|event| event.group() == Some(group)).collect();
            (group, account_traits(&calls))
        });
        Self { now, workspace, people: people.collect(), accounts: accounts.collect() }
    }

    /// The members of an account.
    pub(super) fn members(&self, group: &str) -> impl Iterator<Item = &Person<'a>> {
        self.people.values().filter(move |person| person.accounts.contains(group))
    }
}

/// What stands at a path; null where there is nothing.
pub(super) fn lookup(object: &Value, path: &FieldPath) -> Val {
    Val::of(path.names().fold(object, |value, name| &value[name]))
}

fn sorted<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<&'a Event> {
    let mut events: Vec<&Event> = events.collect();
    events.sort_by(|one, other| (one.at, &one.message).cmp(&(other.at, &other.message)));
    events
}

fn groups<'a>(events: &[&'a Event]) -> BTreeSet<&'a str> {
    events.iter().filter_map(|event| event.group()).collect()
}

fn traits(events: &[&Event]) -> Value {
    let calls = events.iter().filter(|event| event.kind == EventKind::Identify);
    newest(calls.map(|event| &event.body["traits"]))
}

fn account_traits(calls: &[&Event]) -> Value {
    newest(calls.iter().map(|call| &call.body["traits"]))
}

/// Each member of the objects as the last of them has it, without those that are null.
fn newest<'a>(objects: impl Iterator<Item = &'a Value>) -> Value {
    let mut all = Map::new();
    for (name, value) in objects.filter_map(Value::as_object).flatten() {
        all.insert(name.clone(), value.clone());
    }
    all.retain(|_, value| !value.is_null());
    all.into()
}

/// The workspace that every log of these tests is about.
pub(super) const ONE: WorkspaceId = WorkspaceId(1);
