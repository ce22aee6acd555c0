//! Accounts and links, against what a slow reading of the list of events says.

use super::sketch::{Step, event, step};
use super::*;
use crate::account::ACCOUNT_ID_BYTES_MAX;
use crate::key::Tag;
use serde_json::{Value, json};
use tributary_model::activation::ActivationKind;
use tributary_model::command::{Action, Command};
use tributary_model::fragment::{ACCOUNTS_MAX, Sighting};
use tributary_model::{MessageId, RecordKind};

const ONE: WorkspaceId = WorkspaceId(1);

/// An account's id as it is sent, from a small pool; `None` where a call has none.
fn group_id(number: u8) -> Option<Value> {
    match number {
        0..3 => Some(json!(format!("g{number}"))),
        3 => Some(json!(7)),
        // The same as the number.
        4 => Some(json!("7")),
        5 => Some(json!("x".repeat(ACCOUNT_ID_BYTES_MAX + 1))),
        6 => Some(json!("")),
        7 => Some(json!(" g0")),
        _ => None,
    }
}

/// A log of these steps; many of its events are group calls.
fn grouped(steps: &[(Step, bool)], groups: &[u8]) -> Vec<Bytes> {
    let steps: Vec<Step> = steps
        .iter()
        .map(|(step, is_group)| match step {
            Step::Event(sketch) if *is_group => {
                Step::Event(Sketch { kind: EventKind::Group, previous: None, ..sketch.clone() })
            }
            Step::Event(_) | Step::Order { .. } | Step::Rules { .. } => step.clone(),
        })
        .collect();
    let named = log(&steps).into_iter().zip(groups.iter().cycle());
    named.map(|(bytes, group)| with_group(&bytes, group_id(*group))).collect()
}

/// The record with this `groupId`, if it is a group call.
fn with_group(bytes: &Bytes, group: Option<Value>) -> Bytes {
    let mut record = Record::decode(bytes).expect("a record");
    let Some(group) = group.filter(|_| record.envelope.kind == RecordKind::Event(EventKind::Group)) else {
        return bytes.clone();
    };
    let mut body: Value = serde_json::from_slice(&record.payload).expect("an event");
    body["groupId"] = group;
    record.payload = body.to_string().into();
    record.encode()
}

/// A group call about an account.
#[derive(Debug, Clone)]
struct Call {
    group: String,
    sighting: Sighting,
    traits: Vec<(String, Option<String>)>,
}

impl Call {
    fn of(bytes: &Bytes) -> Option<Self> {
        let record = Record::decode(bytes).expect("a record");
        if record.envelope.kind != RecordKind::Event(EventKind::Group) {
            return None;
        }
        let body: Value = serde_json::from_slice(&record.payload).expect("an event");
        let group = match &body["groupId"] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => return None,
        };
        if group.is_empty() || group.len() > ACCOUNT_ID_BYTES_MAX {
            return None;
        }
        let sighting = Sighting {
            at: record.envelope.event_time,
            message_id: record.envelope.message_id.expect("an event has a message id"),
            source: record.envelope.source,
        };
        let value = |value: &Value| Some(value.to_string()).filter(|text| text != "null");
        let traits = body["traits"].as_object().expect("traits");
        let traits = traits.iter().map(|(name, sent)| (name.clone(), value(sent))).collect();
        Some(Self { group, sighting, traits })
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Expected {
    traits: BTreeMap<String, String>,
    calls: u64,
    first: Option<Sighting>,
    last: Option<Sighting>,
}

/// The accounts of a workspace: every group call that is no repeat, in the order of event times.
fn expected(records: &[Bytes], reference: &Reference, workspace: WorkspaceId) -> BTreeMap<String, Expected> {
    let own = reference.activations.iter().map(|activation| &activation.header);
    let own = own.filter(|header| header.kind == ActivationKind::Event && header.workspace == workspace);
    let mut calls: Vec<Call> =
        own.filter_map(|header| Call::of(&records[header.position.sequence as usize])).collect();
    calls.sort_by_key(|call| call.sighting.clone());
    let mut accounts: BTreeMap<String, Expected> = BTreeMap::new();
    for call in calls {
        let account = accounts.entry(call.group.clone()).or_default();
        account.calls += 1;
        account.first.get_or_insert_with(|| call.sighting.clone());
        account.last = Some(call.sighting);
        for (name, value) in call.traits {
            match value {
                Some(value) => drop(account.traits.insert(name, value)),
                None => drop(account.traits.remove(&name)),
            }
        }
    }
    accounts
}

/// The people of an account, read in pages of two; each once.
fn people(reader: &ProfileReader, workspace: WorkspaceId, group: &str) -> BTreeSet<ProfileId> {
    let (mut people, mut after) = (BTreeSet::new(), None);
    loop {
        let page = reader.members_of(workspace, group, after.as_ref(), 2).expect("readable");
        assert!(page.people.len() <= 2 && (!page.has_more || page.people.len() == 2));
        for person in &page.people {
            assert!(people.insert(person.id), "nobody is met twice");
        }
        match page.people.into_iter().next_back() {
            Some(last) if page.has_more => after = Some(last.anchor),
            _ => return people,
        }
    }
}

/// Everything that is read of accounts is what the list of events says.
fn check(
    reader: &ProfileReader,
    records: &[Bytes],
    reference: &Reference,
    workspace: WorkspaceId,
) -> Result<(), TestCaseError> {
    let accounts = expected(records, reference, workspace);
    let mut linked: BTreeMap<String, BTreeSet<ProfileId>> = BTreeMap::new();
    for id in reference.profiles(workspace).into_keys() {
        let found = reader.find(workspace, "profile_id", &id.to_string()).expect("readable");
        let view = found.expect("a live profile is found by its id").view;
        let mut own: BTreeMap<String, Sighting> = BTreeMap::new();
        for sequence in reference.events_of(workspace, &view.profile.members) {
            let Some(call) = Call::of(&records[sequence as usize]) else { continue };
            linked.entry(call.group.clone()).or_default().insert(id);
            let first = own.entry(call.group).or_insert_with(|| call.sighting.clone());
            *first = call.sighting.min(first.clone());
        }
        let got = reader.accounts_of(workspace, &view);
        prop_assert_eq!(got, own.into_iter().collect::<Vec<_>>());
    }
    for (group, want) in &accounts {
        let account = reader.account(workspace, group).expect("readable").expect("it is known");
        let fragment = &account.fragment;
        let traits = fragment.current_traits();
        let got = Expected {
            traits: traits.map(|(name, value, _)| (name.to_owned(), value.to_owned())).collect(),
            calls: fragment.events(),
            first: fragment.first.clone(),
            last: fragment.last.clone(),
        };
        prop_assert_eq!(&got, want);
        prop_assert_eq!(people(reader, workspace, group), linked.remove(group).unwrap_or_default());
    }
    prop_assert!(linked.is_empty(), "nobody is linked with an account that is not there");
    Ok(())
}

/// How many entries under a tag a workspace has.
fn entries(state: &State, workspace: WorkspaceId, tag: Tag) -> usize {
    state.entries_with(workspace, tag, &[Vec::new()]).expect("readable").len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// For any events, commands and rules, whether there was a crash, and whether the graph is made again in the end:
    /// accounts, the people of each and the accounts of each person are those that the list of events says.
    #[test]
    fn accounts_agree_with_the_events(
        steps in proptest::collection::vec((step(), any::<bool>()), 1..80),
        groups in proptest::collection::vec(0..9u8, 80),
        cut in proptest::option::of((0..80usize, proptest::collection::btree_set(0..80usize, 0..4))),
        is_made_again in any::<bool>(),
    ) {
        let mut records = grouped(&steps, &groups);
        let directory = tempfile::tempdir().expect("a directory");
        if let Some((to, checkpoints)) = &cut {
            run_until_crash(directory.path(), &records, (*to).min(records.len()), checkpoints);
        }
        if is_made_again {
            let last = Record::decode(records.last().expect("a step")).expect("a record").envelope.received_at;
            let command = Command { by: "ada".to_owned(), reason: None, action: Action::Rebuild };
            records.push(Record::of_command(ONE, 1, last, &command).encode());
        }
        let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, records.clone());
        let (projector, reader) = running(directory.path(), &events, &written);
        let reference = reference(&records);
        for workspace in WORKSPACES {
            check(&reader, &records, &reference, workspace)?;
            let stored = entries(projector.state(), workspace, Tag::Account);
            prop_assert_eq!(stored, expected(&records, &reference, workspace).len());
        }
        projector.stop().expect("a clean stop");
    }
}

fn call(message: u8, user: Option<u8>, device: Option<u8>, group: &str) -> Bytes {
    let sketch =
        Sketch { kind: EventKind::Group, user, device, traits: vec![(0, Some(1))], ..event(message) };
    with_group(&log(&[Step::Event(sketch)])[0], Some(json!(group)))
}

#[test]
fn a_group_call_of_nobody_makes_an_account_without_people() {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    // The user id is one that stands for nobody.
    append(&*events, vec![call(1, Some(9), None, "g0"), call(2, Some(1), None, "g1")]);
    let (projector, reader) = running(directory.path(), &events, &written);
    let account = reader.account(ONE, "g0").expect("readable").expect("it is known");
    assert_eq!((account.fragment.events(), account.members), (1, 0));
    assert_eq!(people(&reader, ONE, "g0"), BTreeSet::new());
    assert_eq!(people(&reader, ONE, "g1").len(), 1);
    assert_eq!(reader.account(ONE, "g2").expect("readable"), None);
    assert_eq!(reader.account(WorkspaceId(2), "g0").expect("readable"), None);
    let too_long = "x".repeat(100_000);
    assert_eq!(reader.account(ONE, &too_long).expect("readable"), None);
    assert_eq!(people(&reader, ONE, &too_long), BTreeSet::new());
    projector.stop().expect("a clean stop");
}

#[test]
fn the_first_accounts_of_a_person_are_kept_and_each_account_lists_the_person() {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    let group = |number: usize| format!("g{number:03}");
    let calls = (0..=ACCOUNTS_MAX).rev().map(|number| {
        let mut record = Record::decode(&call(1, Some(1), None, &group(number))).expect("a record");
        let message_id = format!("m{number}");
        record.envelope.message_id = Some(MessageId::parse(&message_id).expect("a message id"));
        let mut body: Value = serde_json::from_slice(&record.payload).expect("an event");
        body["messageId"] = message_id.into();
        record.payload = body.to_string().into();
        record.encode()
    });
    append(&*events, calls.collect());
    let (projector, reader) = running(directory.path(), &events, &written);
    let people_of_last = people(&reader, ONE, &group(ACCOUNTS_MAX));
    let id = people_of_last.first().expect("the account lists the person").to_string();
    let view = reader.find(ONE, "profile_id", &id).expect("readable").expect("it is live").view;
    let accounts: Vec<String> = reader.accounts_of(ONE, &view).into_iter().map(|(group, _)| group).collect();
    assert_eq!(accounts, (0..ACCOUNTS_MAX).map(group).collect::<Vec<_>>());
    projector.stop().expect("a clean stop");
}

#[test]
fn a_deleted_workspace_leaves_no_accounts() {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    let deleted = Record::of_workspace(ONE, 2, START, None).encode();
    append(&*events, vec![call(1, Some(1), None, "g0"), call(2, None, Some(1), "g0"), deleted]);
    let (projector, reader) = running(directory.path(), &events, &written);
    assert_eq!(reader.account(ONE, "g0").expect("readable"), None);
    for tag in [Tag::Account, Tag::AccountMember] {
        assert_eq!(entries(projector.state(), ONE, tag), 0, "{tag:?}");
    }
    projector.stop().expect("a clean stop");
}
