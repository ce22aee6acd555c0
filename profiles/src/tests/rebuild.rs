//! Rebuilds: the graph made again from its evidence, in a new generation.

use super::sketch::{Step, rules, sketch};
use super::*;
use crate::codec::{Checkpoint, Value};
use crate::generation::NextGeneration;
use crate::machine::CommandResult;
use crate::rebuild::{Rebuild, RebuildError, RebuildReport};
use crate::snapshot;
use crate::store::MemoryStore;
use tributary_identity::ProfileRecord;
use tributary_model::activation::ActivationKind;
use tributary_model::command::Action;
use tributary_model::workspace::IdentityRules;

const ONE: WorkspaceId = WorkspaceId(1);

fn rebuild(workspace: u32) -> Step {
    Step::Order { workspace, action: Action::Rebuild, later: 1 }
}

/// So many people to a profile.
fn people(count: u32) -> Step {
    let mut rules = IdentityRules::default();
    for rule in rules.namespaces.iter_mut().filter(|rule| rule.name == Namespace::USER_ID) {
        rule.limit.count = count;
    }
    Step::Rules { workspace: 1, rules: Box::new(rules) }
}

fn seen(user: u8, device: u8, message: u8) -> Step {
    Step::Event(Sketch { user: Some(user), device: Some(device), ..event(message) })
}

/// A log in which a limit keeps two people on one device apart, until there is a rebuild under looser rules; and a third
/// who comes after that.
fn loosened() -> Vec<Bytes> {
    log(&[people(1), seen(1, 1, 1), seen(2, 1, 2), people(5), rebuild(1), seen(3, 1, 3)])
}

/// The record of `loosened` that orders the rebuild.
const ORDERED: u64 = 4;

fn profile_of(user: &str) -> ProfileId {
    let identifier = Identifier::parse(Namespace::USER_ID, user).expect("an id");
    hash_key().profile_id(ONE, &NodeKey::first_epoch(identifier))
}

type Left = (BTreeMap<Vec<u8>, Vec<u8>>, Vec<Activation>);

/// What a projection leaves that is stopped after each of so many records.
fn projected(records: &[Bytes], cuts: &BTreeSet<usize>) -> Left {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    let mut done = 0;
    for cut in cuts.iter().copied().filter(|cut| *cut < records.len()) {
        append(&*events, records[done..cut].to_vec());
        done = cut;
        run_projector(directory.path(), &events, &written);
    }
    append(&*events, records[done..].to_vec());
    let projector = start_projector(directory.path(), &events, &written);
    stop_at(&projector, records.len());
    (dump(projector.state()), activations(&*written))
}

/// Stops once so many records are visible, however long the rebuilds among them take.
fn stop_at(projector: &Projector, records: usize) {
    let mut progress = projector.progress();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let end = records as u64;
    runtime.block_on(progress.wait_for(|progress| progress.visible == end)).expect("it goes on");
    projector.stop().expect("a clean stop");
}

/// The same in one run, and the projector that did it.
fn project(records: Vec<Bytes>) -> (tempfile::TempDir, Projector, Vec<Activation>) {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    let end = records.len();
    append(&*events, records);
    let projector = start_projector(directory.path(), &events, &written);
    stop_at(&projector, end);
    let written = activations(&*written);
    (directory, projector, written)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Under the same rules a rebuild decides as before: everything is the same, byte for byte. (Where an event has
    /// more than two identifiers, one that was left out with another may fit alone.)
    #[test]
    fn a_rebuild_under_the_same_rules_changes_nothing(
        sketches in proptest::collection::vec(sketch(), 1..80)
    ) {
        let workspaces: BTreeSet<u32> = sketches.iter().map(|sketch| sketch.workspace).collect();
        let pairs = sketches.into_iter().map(|sketch| {
            Step::Event(Sketch {
                email: sketch.email.filter(|_| sketch.user.is_none() || sketch.device.is_none()),
                previous: None,
                later: sketch.later.abs(),
                ..sketch
            })
        });
        let mut steps: Vec<Step> = pairs.collect();
        let straight = projected(&log(&steps), &BTreeSet::new());
        for workspace in workspaces {
            steps.push(Step::Order { workspace, action: Action::Rebuild, later: 0 });
        }
        let rebuilt = projected(&log(&steps), &BTreeSet::new());
        let without_checkpoint = |(mut entries, _): Left| {
            entries.remove(Key::checkpoint().as_bytes());
            entries
        };
        prop_assert_eq!(&straight.1, &rebuilt.1);
        prop_assert_eq!(without_checkpoint(straight), without_checkpoint(rebuilt));
    }

    /// Rebuilds among events, commands and changed rules, and restarts anywhere: one log gives one state and one list
    /// of activations.
    #[test]
    fn restarts_around_rebuilds_change_nothing(
        steps in proptest::collection::vec(prop_oneof![15 => step(), 1 => (1..3u32).prop_map(rebuild)], 1..50),
        cuts in proptest::collection::btree_set(0..50usize, 0..4),
    ) {
        let records = log(&steps);
        let (whole, cut) = (projected(&records, &BTreeSet::new()), projected(&records, &cuts));
        prop_assert_eq!(whole.0, cut.0);
        prop_assert_eq!(whole.1, cut.1);
    }

    /// Rebuilds under whatever rules make the profiles that the reference makes of the same evidence.
    #[test]
    fn rebuilds_agree_with_the_reference(
        steps in proptest::collection::vec(
            prop_oneof![
                12 => sketch().prop_map(Step::Event),
                2 => (1..3u32, 0..6u8)
                    .prop_map(|(workspace, number)| Step::Rules { workspace, rules: Box::new(rules(number)) }),
                2 => (1..3u32).prop_map(rebuild),
            ],
            1..80,
        )
    ) {
        let records = log(&steps);
        let expected = reference(&records);
        let (_directory, projector, _) = project(records);
        for workspace in WORKSPACES {
            prop_assert_eq!(stored_profiles(projector.state(), workspace), expected.profiles(workspace));
            let counts = reference::stored_counts(&*projector.state().store(), workspace);
            prop_assert_eq!(counts.expect("readable"), expected.counts(workspace));
        }
    }
}

/// Refused links are evidence too: looser rules join what they had kept apart, and whoever keeps profiles elsewhere is
/// told.
#[test]
fn a_rebuild_under_looser_rules_joins_what_was_refused() {
    let (directory, projector, written) = project(loosened());
    let profiles = stored_profiles(projector.state(), ONE);
    assert_eq!(profiles.len(), 1);
    let (id, profile) = profiles.first_key_value().expect("one");
    assert_eq!(*id, profile_of("u1"), "the oldest keeps its id");
    let identifiers: Vec<&str> = profile.identifiers.iter().map(String::as_str).collect();
    assert_eq!(identifiers, ["anonymous_id:d1", "user_id:u1", "user_id:u2", "user_id:u3"]);
    let report = RebuildReport { profiles_before: 2, profiles_after: 1, merges: 1, splits: 0 };
    let result = projector.state().results().take(ORDERED);
    assert!(matches!(result, Some(CommandResult::Rebuilt(got)) if got == report), "{result:?}");
    // Under these rules nobody would create that profile; its id still leads to whoever has its identifiers.
    let given_up = projector.state().get(&Key::profile(ONE, profile_of("u2"))).expect("readable");
    let Some(Value::Profile(given_up)) = given_up else { panic!("{given_up:?}") };
    assert_eq!(*given_up, ProfileRecord::MergedInto(*id));

    let told: Vec<(u64, serde_json::Value, serde_json::Value)> = written
        .into_iter()
        .filter(|activation| activation.header.kind != ActivationKind::Event)
        .map(|activation| {
            let body: serde_json::Value = serde_json::from_slice(&activation.event).expect("JSON");
            (activation.place().0.sequence, body["event"].clone(), body["properties"].clone())
        })
        .collect();
    let properties = serde_json::json!({
        "profile_id": profile_of("u1").to_string(),
        "merged_profile_ids": [profile_of("u2").to_string()],
        "identifiers": ["anonymous_id:d1", "user_id:u1", "user_id:u2"],
    });
    assert_eq!(told, [(ORDERED, serde_json::Value::from("Profile Merged"), properties)]);
    let generations = std::fs::read_dir(directory.path().join("state")).expect("the generations");
    assert_eq!(generations.count(), 2, "the pointer and the one in use: nothing is left over");
}

/// Tighter rules part what they would not have joined; both parts are told of.
#[test]
fn a_rebuild_under_tighter_rules_parts_what_was_joined() {
    let records = log(&[people(5), seen(1, 1, 1), seen(2, 1, 2), people(1), rebuild(1)]);
    let (_directory, projector, written) = project(records);
    let ids: BTreeSet<ProfileId> = stored_profiles(projector.state(), ONE).into_keys().collect();
    assert_eq!(ids, BTreeSet::from([profile_of("u1"), profile_of("u2")]));
    let split: Vec<ProfileId> = written
        .iter()
        .filter(|activation| activation.header.kind == ActivationKind::ProfileSplit)
        .filter_map(|activation| activation.header.profile)
        .collect();
    assert_eq!(split, ids.into_iter().collect::<Vec<_>>());
}

/// Projects up to the rebuild of `loosened` by hand and fills the new generation, without switching to it.
fn fill(directory: &Path, gives_up: fn() -> bool) -> (NextGeneration, Result<(), RebuildError>) {
    let indexes = open_indexes(directory);
    let paths = StatePaths::within(directory);
    let mut generation = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
    let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
    let (events, checkpoint) = (held(&loosened()), generation.checkpoint);
    let mut machine = Machine::new(Arc::clone(&state), indexes, events, hash_key(), checkpoint, 1);
    for (sequence, record) in (0..).zip(loosened()) {
        if machine.apply(sequence, 0, &record).expect("applied") != Applied::Done {
            break;
        }
    }
    let _activations = machine.publish();
    assert_eq!(machine.checkpoint().next, ORDERED);
    write_now(&mut generation.checkpointer, &state, machine.checkpoint()).expect("written");
    let next = NextGeneration::begin(&paths, CACHE).expect("it can be made");
    let record = Record::decode(&loosened()[ORDERED as usize]).expect("own bytes");
    let received_at = record.envelope.received_at;
    let rebuild = Rebuild {
        workspace: ONE,
        sequence: ORDERED,
        received_at,
        by: "ada".to_owned(),
        reason: Some("a test".to_owned()),
        checkpoint: Checkpoint { next: ORDERED + 1, log_time: received_at },
        hash_key: hash_key(),
        old: Arc::clone(&generation.store),
        new: Arc::clone(next.store()),
        sorting: next.sorting(),
        gives_up: Box::new(gives_up),
    };
    let filled = rebuild.fill().map(drop);
    (next, filled)
}

fn filled(directory: &Path) -> NextGeneration {
    let (next, filled) = fill(directory, || false);
    filled.expect("it is filled");
    next
}

#[test]
fn a_crash_before_the_switch_leaves_the_old_graph() {
    let directory = tempfile::tempdir().expect("a directory");
    drop(filled(directory.path()));
    let paths = StatePaths::within(directory.path());
    let open = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
    assert_eq!((open.checkpoint.next, &open.rebuilt), (ORDERED, &None));
    assert!(open.directory().ends_with("gen-000001"));
    let others = std::fs::read_dir(&paths.state).expect("the generations").count();
    assert_eq!(others, 2, "what the crash left is gone");
    drop(open);

    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, loosened());
    let projector = start_projector(directory.path(), &events, &written);
    stop_at(&projector, loosened().len());
    let (state, all) = projected(&loosened(), &BTreeSet::new());
    assert_eq!(dump(projector.state()), state);
    assert!(all.ends_with(&activations(&*written)));
}

#[test]
fn a_crash_after_the_switch_leaves_the_new_graph() {
    let directory = tempfile::tempdir().expect("a directory");
    let next = filled(directory.path());
    drop(next.switch(&hash_key()).expect("it is switched"));
    let paths = StatePaths::within(directory.path());
    let open = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
    assert_eq!(open.checkpoint.next, ORDERED + 1, "the record is applied");
    assert_eq!(stored_profiles(&State::new(Arc::clone(&open.store), CACHE, CACHE), ONE).len(), 1);
    drop(open);

    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, loosened());
    let projector = start_projector(directory.path(), &events, &written);
    stop_at(&projector, loosened().len());
    assert_eq!(dump(projector.state()), projected(&loosened(), &BTreeSet::new()).0);
    assert_eq!(activations(&*written).len(), 1, "only the event behind the rebuild is told");
}

/// What was announced before a crash, and was not switched to, is not announced again.
#[test]
fn announcements_are_written_once() {
    let (_, all) = projected(&loosened(), &BTreeSet::new());
    let directory = tempfile::tempdir().expect("a directory");
    drop(filled(directory.path()));
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, loosened());
    // The two events and the merge.
    append(&*written, all[..3].iter().map(Activation::encode).collect());
    let projector = start_projector(directory.path(), &events, &written);
    stop_at(&projector, loosened().len());
    assert_eq!(activations(&*written), all);
}

/// A stop that does not wait leaves the state in use as it was.
#[test]
fn a_rebuild_can_be_given_up() {
    let directory = tempfile::tempdir().expect("a directory");
    let (next, filled) = fill(directory.path(), || true);
    assert!(matches!(filled, Err(RebuildError::Stopped)), "{filled:?}");
    assert!(!next.sorting().exists());
    next.discard();
    let paths = StatePaths::within(directory.path());
    assert_eq!(std::fs::read_dir(&paths.state).expect("the generations").count(), 2);
    let open = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
    assert_eq!(open.checkpoint.next, ORDERED);
}

/// Snapshots go on behind a switch, from the new store.
#[test]
fn snapshots_are_taken_of_the_new_graph() {
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, loosened());
    let projector = start_projector(directory.path(), &events, &written);
    let end = loosened().len() as u64;
    let mut progress = projector.progress();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(progress.wait_for(|progress| progress.visible == end)).expect("it goes on");
    let taken = projector.snapshot_blocking().expect("it is taken");
    assert_eq!(taken.next, end);
    projector.stop().expect("a clean stop");
    let copy = MemoryStore::default();
    let checkpoint = snapshot::import(&taken.path, &copy, &hash_key()).expect("it is whole");
    assert_eq!(checkpoint.next, end);
    assert_eq!(dump(&State::new(Arc::new(copy), CACHE, CACHE)), dump(projector.state()));
}
