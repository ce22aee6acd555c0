//! Commands, epochs, alarms and events without identifiers, through the projector and its readers.

use super::sketch::{Step, accepted, event, identifier, rules, version};
use super::*;
use crate::alarms::AlarmKind;
use crate::codec::Value;
use crate::machine::CommandResult;
use crate::rebuild::RebuildReport;
use serde_json::json;
use tributary_identity::{Explanation, RefusalReason, RefusedKind, Row};
use tributary_model::activation::ActivationKind;
use tributary_model::command::{Action, Command, UnmergeTarget, Who};
use tributary_model::workspace::IdentityRules;

const ONE: WorkspaceId = WorkspaceId(1);

/// Numbers of [`identifier`].
const USER_1: u8 = 1;
const EMAIL_1: u8 = 5;
const DEVICE_1: u8 = 9;
const DEVICE_2: u8 = 10;

fn who(number: u8) -> Who {
    Who::Identifier(identifier(number))
}

fn identify(message: u8, user: u8, device: u8) -> Step {
    let kind = EventKind::Identify;
    Step::Event(Sketch { kind, user: Some(user), device: Some(device), ..event(message) })
}

fn track(message: u8, device: u8) -> Step {
    Step::Event(Sketch { device: Some(device), ..event(message) })
}

fn order(action: Action) -> Step {
    Step::Order { workspace: 1, action, later: 1 }
}

fn unmerge(whose: u8, target: UnmergeTarget) -> Action {
    Action::Unmerge { who: who(whose), target, retake: false }
}

/// The id of the profile that an identifier of the pools is on.
fn profile_of(reader: &ProfileReader, number: u8) -> Option<ProfileId> {
    let identifier = identifier(number);
    let found = reader.find(ONE, identifier.namespace().as_str(), identifier.value()).expect("readable");
    found.map(|found| found.id)
}

struct Ran {
    projector: Projector,
    reader: ProfileReader,
    events: Arc<MemoryLog>,
    written: Arc<MemoryLog>,
    _directory: tempfile::TempDir,
}

/// A projector that has read this log and runs on.
fn ran(records: Vec<Bytes>) -> Ran {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records);
    let (projector, reader) = running(directory.path(), &events, &written);
    Ran { projector, reader, events, written, _directory: directory }
}

impl Ran {
    fn result(&self, sequence: u64) -> CommandResult {
        self.projector.state().results().take(sequence).expect("a result is kept")
    }

    /// Puts more into the log and waits until it is read.
    fn go_on(&self, records: Vec<Bytes>) {
        append(&*self.events, records);
        wait_for(&self.projector, self.events.bounds().end);
    }
}

#[test]
fn an_unmerge_parts_a_profile_and_says_so() {
    let steps = [
        identify(1, 1, 1),
        track(2, 2),
        identify(3, 1, 2),
        order(unmerge(USER_1, UnmergeTarget::Identifier(identifier(DEVICE_2)))),
        order(unmerge(USER_1, UnmergeTarget::Identifier(identifier(DEVICE_2)))),
        identify(4, 1, 2),
    ];
    let ran = ran(log(&steps));
    let hash_key = hash_key();
    let created_by = |number| hash_key.profile_id(ONE, &NodeKey::first_epoch(identifier(number)));
    let (old, back) = (created_by(USER_1), created_by(DEVICE_2));
    let CommandResult::Unmerged(unmerged) = ran.result(3) else { panic!("it was refused") };
    assert_eq!((unmerged.partition, unmerged.before, unmerged.profiles_delta), (3, old, 1));
    let ids: Vec<ProfileId> = unmerged.profiles.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [old, back], "the older keeps its id, the other gets back the one it had");
    let CommandResult::Refused(refused) = ran.result(4) else { panic!("there is nothing left to part") };
    assert_eq!(refused.kind, RefusedKind::NothingToPart);
    assert!(ran.projector.state().results().take(3).is_none(), "a result is told once");

    // The last event could not join them again.
    assert_eq!(profile_of(&ran.reader, DEVICE_1), Some(old));
    assert_eq!(profile_of(&ran.reader, DEVICE_2), Some(back));
    let explained = ran.reader.explain(ONE, &who(USER_1), &identifier(DEVICE_2)).expect("readable");
    let Explanation::Apart { who: one, with, kept_apart, .. } = explained else { panic!("they are apart") };
    assert_eq!((one, with), (old, Some(back)));
    let by_partition = |reason: &RefusalReason| *reason == RefusalReason::Partition { partition: 3 };
    assert!(kept_apart.iter().any(|apart| by_partition(&apart.reason)), "{kept_apart:?}");
    let rows = ran.reader.history(ONE, &who(USER_1)).expect("readable").expect("a profile");
    let kinds: Vec<&Row> = rows.iter().map(|row| &row.what).collect();
    assert!(kinds.iter().any(|row| matches!(row, Row::Merged { merge: 2, .. })), "{kinds:?}");
    assert!(kinds.iter().any(|row| matches!(row, Row::Parted { partition: 3, .. })), "{kinds:?}");

    ran.projector.stop().expect("a clean stop");
    let told = activations(&*ran.written);
    let about: Vec<_> = told
        .iter()
        .filter(|activation| activation.header.kind != ActivationKind::Event)
        .map(|activation| (activation.place().0.sequence, activation.place().1, activation.header.kind))
        .collect();
    let split = ActivationKind::ProfileSplit;
    assert_eq!(about, [(2, 1, ActivationKind::ProfileMerged), (3, 0, split), (3, 1, split)]);
    let bodies: Vec<serde_json::Value> = told
        .iter()
        .filter(|activation| activation.header.kind != ActivationKind::Event)
        .map(|activation| serde_json::from_slice(&activation.event).expect("JSON"))
        .collect();
    assert_eq!(bodies[0]["event"], "Profile Merged");
    assert_eq!(bodies[0]["userId"], "u1");
    assert_eq!(bodies[0]["messageId"], "tributary-2-1");
    assert_eq!(
        bodies[0]["properties"],
        json!({"profile_id": old.to_string(), "merged_profile_ids": [back.to_string()],
            "identifiers": ["anonymous_id:d1", "anonymous_id:d2", "user_id:u1"]})
    );
    assert_eq!(bodies[2]["event"], "Profile Split");
    assert_eq!(bodies[2]["anonymousId"], "d2");
    assert_eq!(
        bodies[2]["properties"],
        json!({"profile_id": back.to_string(), "split_from": old.to_string(),
            "other_profile_ids": [old.to_string()], "identifiers": ["anonymous_id:d2"]})
    );
}

/// What was a person's e-mail address stays in what the person's own events said, and is not told any more.
#[test]
fn traits_that_name_a_parted_identifier_are_left_out() {
    let kind = EventKind::Identify;
    let sign_up = Sketch { kind, user: Some(1), email: Some(1), traits: vec![(0, Some(4))], ..event(1) };
    let ran = ran(log(&[Step::Event(sign_up)]));
    let names = || -> Vec<String> {
        let found = ran.reader.find(ONE, "user_id", "u1").expect("readable").expect("known");
        found.view.traits().map(|(name, _, _)| name.to_owned()).collect()
    };
    assert_eq!(names(), ["email", "t0"]);
    let action = unmerge(USER_1, UnmergeTarget::Identifier(identifier(EMAIL_1)));
    let tried = ran.reader.dry_run(ONE, &action, START).expect("readable").expect("it can be parted");
    let mut shown: Vec<Vec<&str>> =
        tried.views.iter().map(|view| view.traits().map(|(name, _, _)| name).collect()).collect();
    // Both parts are as old: one event brought them.
    shown.sort_unstable();
    assert_eq!(shown, [vec![], vec!["t0"]]);
    assert_eq!(names(), ["email", "t0"], "trying changes nothing");

    ran.go_on(log(&[order(action)]));
    assert_eq!(names(), ["t0"]);
    let found = ran.reader.find(ONE, "user_id", "u1").expect("readable").expect("known");
    assert_eq!(*found.view.hidden, [identifier(EMAIL_1)]);
    assert_eq!(found.view.merged.current_traits().count(), 2, "it is kept all the same");
    let by_email = ran.reader.find(ONE, "email", " e1@X.Y ").expect("readable").expect("known");
    assert_ne!(by_email.id, found.id);
    ran.projector.stop().expect("a clean stop");
}

#[test]
fn commands_that_change_nothing_are_refused_when_tried() {
    let ran = ran(log(&[identify(1, 1, 1)]));
    let (user, device) = (identifier(USER_1), identifier(DEVICE_1));
    let cases = [
        (unmerge(USER_1, UnmergeTarget::Identifier(identifier(DEVICE_2))), RefusedKind::NothingToPart),
        (unmerge(DEVICE_2, UnmergeTarget::Identifier(user)), RefusedKind::NotFound),
        (Action::Link { who: who(USER_1), identifier: device }, RefusedKind::Conflict),
        (Action::Remove { who: who(DEVICE_2), identifier: identifier(DEVICE_2) }, RefusedKind::NotFound),
    ];
    for (action, want) in cases {
        let refused = ran.reader.dry_run(ONE, &action, START).expect("readable").expect_err("it is refused");
        assert_eq!(refused.kind, want, "{action:?}");
    }
    ran.projector.stop().expect("a clean stop");
}

/// A device follows the last sign-in, and is moved by hand then: earlier events stay where they are, also for indexes
/// that are made again from the log, under rules that have changed since.
#[test]
fn indexes_that_lag_behind_find_the_epoch_of_an_event() {
    let steps = [
        Step::Rules { workspace: 1, rules: Box::new(rules(0)) },
        identify(1, 1, 1),
        track(2, 1),
        identify(3, 2, 1),
        track(4, 1),
        Step::Rules { workspace: 1, rules: Box::new(IdentityRules::default()) },
        order(Action::Move { who: who(2), identifier: identifier(DEVICE_1), to: who(USER_1) }),
        track(5, 1),
        // Read after the indexes have been made again.
        track(6, 9),
    ];
    let records = log(&steps);
    let directory = tempfile::tempdir().expect("a directory");
    {
        let paths = StatePaths::within(directory.path());
        let mut generation = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
        let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
        let indexes = open_second();
        let (events, checkpoint) = (held(&records), generation.checkpoint);
        let mut machine = Machine::new(Arc::clone(&state), indexes, events, hash_key(), checkpoint, CACHE);
        for (at, record) in records[..8].iter().enumerate() {
            assert_eq!(machine.apply(at as u64, 0, record).expect("applied"), Applied::Done);
        }
        let _activations = machine.publish();
        write_now(&mut generation.checkpointer, &state, machine.checkpoint()).expect("written");
    }
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records.clone());
    let (projector, reader) = running(directory.path(), &events, &written);
    let sequences = |number: u8| -> Vec<u64> {
        let identifier = identifier(number);
        let found = reader.find(ONE, "user_id", identifier.value()).expect("readable").expect("known");
        let query = EventQuery {
            start: None,
            end: None,
            order: EventOrder::Newest,
            after: None,
            limit: 10,
            first_sequence: 0,
        };
        let entries = reader.events(ONE, &found.view.profile, query).expect("readable");
        entries.iter().map(|entry| entry.sequence).collect()
    };
    assert_eq!(sequences(1), [7, 2, 1], "the first sign-in, and what was moved by hand");
    assert_eq!(sequences(2), [4, 3], "the second sign-in");
    assert_eq!(profile_of(&reader, DEVICE_1), profile_of(&reader, USER_1));
    projector.stop().expect("a clean stop");
}

#[test]
fn an_event_without_identifiers_has_no_profile_and_its_own_outcome() {
    let body = json!({"type": "track", "userId": "undefined", "anonymousId": "00-00", "messageId": "m1"});
    let ran = ran(vec![accepted(&event(1), START, &body)]);
    ran.projector.stop().expect("a clean stop");
    let counts = reference::stored_counts(&*ran.projector.state().store(), ONE).expect("readable");
    assert_eq!((counts.projected, counts.unidentified, counts.profiles), (0, 1, 0));
    let told = activations(&*ran.written);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].header.profile, told[0].header.identifiers.len()), (None, 0));
}

/// What was handed over counts for no cap, and so for no alarm about one.
#[test]
fn a_kiosk_that_changes_hands_brings_nobody_near_a_cap() {
    let rules: IdentityRules = serde_json::from_value(json!({
        "namespaces": [{"name": "user_id"}, {"name": "anonymous_id", "shared_device": "last_sign_in"}],
        "identifiers_max": 5,
    }))
    .expect("rules that work");
    let mut steps = vec![Step::Rules { workspace: 1, rules: Box::new(rules) }];
    steps.extend((0..16).map(|message| identify(message, 1 + message % 2, 1)));
    let ran = ran(log(&steps));
    let found = ran.reader.find(ONE, "user_id", "u1").expect("readable").expect("known");
    assert!(found.view.profile.members.len() > 5, "each of its sign-ins but the last is a former member");
    let near = ran.reader.alarms(ONE, 10, None).expect("readable");
    let near: Vec<_> = near.iter().filter(|(_, row)| row.kind != AlarmKind::IdentifierJoinsMany).collect();
    assert!(near.is_empty(), "{} alarms", near.len());
}

#[test]
fn alarms_are_raised_and_listed() {
    let rules: IdentityRules = serde_json::from_value(json!({
        "namespaces": [{"name": "user_id"}, {"name": "anonymous_id", "limit": {"count": 9, "window": "ever"}}],
        "identifiers_max": 5,
        "alarms": {"joins_per_day": 3, "near_cap_percent": 80, "merges_per_hour_min": 3, "merges_jump_factor": 5},
    }))
    .expect("rules that work");
    let mut steps = vec![Step::Rules { workspace: 1, rules: Box::new(rules) }];
    let at_once = |sketch| Step::Event(Sketch { later: 0, ..sketch });
    steps.extend((1..=5).map(|device| at_once(Sketch { device: Some(device), ..event(device) })));
    // Three merges, the last of which makes five identifiers; then one too many.
    steps.extend((1..=5).map(|device| {
        let kind = EventKind::Identify;
        at_once(Sketch { kind, user: Some(1), device: Some(device), ..event(10 + device) })
    }));
    let ran = ran(log(&steps));
    let rows = ran.reader.alarms(ONE, 10, None).expect("readable");
    let seen: Vec<_> = rows.iter().rev().map(|(number, row)| (*number, row.kind, row.count)).collect();
    let (joins, near, at_cap, jump) = (
        AlarmKind::IdentifierJoinsMany,
        AlarmKind::ProfileNearCap,
        AlarmKind::ProfileAtCap,
        AlarmKind::MergesJump,
    );
    // The first identify adds the user to the profile of the first device; each of the others merges.
    assert_eq!(seen, [(0, near, 4), (1, joins, 3), (2, jump, 3), (3, at_cap, 6)]);
    let subject = rows[2].1.identifier.as_ref().map(Identifier::to_text);
    assert_eq!(subject.as_deref(), Some("user_id:u1"));
    let older = ran.reader.alarms(ONE, 1, Some(2)).expect("readable");
    assert_eq!(older, rows[2..3]);
    ran.projector.stop().expect("a clean stop");
}

#[test]
fn a_rebuild_is_left_to_whoever_drives_the_machine() {
    let directory = tempfile::tempdir().expect("a directory");
    let indexes = open_indexes(directory.path());
    let generation =
        Generation::open(&StatePaths::within(directory.path()), &hash_key(), CACHE).expect("it opens");
    let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
    let records = log(&[identify(1, 1, 1), order(Action::Rebuild), track(2, 1)]);
    let (events, checkpoint) = (held(&records), generation.checkpoint);
    let mut machine = Machine::new(Arc::clone(&state), indexes, events, hash_key(), checkpoint, CACHE);
    assert_eq!(machine.apply(0, 0, &records[0]).expect("applied"), Applied::Done);
    let due = Applied::Rebuild { workspace: ONE, sequence: 1 };
    assert_eq!(machine.apply(1, 0, &records[1]).expect("read"), due);
    assert_eq!(machine.checkpoint().next, 1, "a start would read it again");
    assert_eq!(machine.publish().len(), 1);
    machine.rebuilt(ONE, 1, RebuildReport::default()).expect("it goes on");
    assert_eq!(machine.checkpoint().next, 2);
    assert!(matches!(state.results().take(1), Some(CommandResult::Rebuilt(_))));
    assert_eq!(machine.apply(2, 0, &records[2]).expect("applied"), Applied::Done);
}

#[test]
fn a_deleted_workspace_takes_no_commands() {
    let action = unmerge(USER_1, UnmergeTarget::Identifier(identifier(DEVICE_1)));
    let command = Command { by: "ada".to_owned(), reason: None, action };
    let mut records = log(&[identify(1, 1, 1)]);
    records.push(version(1, 1, START, &rules(3)));
    records.push(Record::of_workspace(ONE, 2, START, None).encode());
    records.push(Record::of_command(ONE, 2, START, &command).encode());
    let ran = ran(records);
    assert!(matches!(ran.result(3), CommandResult::Refused(why) if why.kind == RefusedKind::NotFound));
    ran.projector.stop().expect("a clean stop");
    let left = ran.projector.state().get(&Key::workspace(ONE)).expect("readable");
    assert!(matches!(left, Some(Value::Workspace(state)) if state.deleted && state.profiles == 0));
    assert_eq!(dump(ran.projector.state()).len(), 2, "that it was deleted, and the checkpoint");
}
