//! Properties of projection, against the slow reference and through real sled, redo records and indexes.

mod accounts;
mod all;
mod as_of;
mod audience_preview;
mod audiences;
mod audiences_reference;
mod away;
mod identity;
mod preview;
mod rebuild;
mod search;
mod sketch;

use crate::checkpoint::write_now;
use crate::generation::{Generation, StatePaths};
use crate::key::Key;
use crate::machine::{Applied, Machine};
use crate::projector::{Projector, ProjectorError, ProjectorOptions, ProjectorParts, check_end};
use crate::reader::ProfileReader;
use crate::reference::{self, ExpectedProfile, Reference};
use crate::state::State;
use bytes::Bytes;
use proptest::prelude::*;
use sketch::{Sketch, event, log, records, step};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::index::{EventOrder, EventQuery, IndexOptions, Indexes};
use tributary_eventlog::{EventLog, MemoryLog};
use tributary_model::clock::ManualClock;
use tributary_model::{
    Activation, EventKind, HashKey, Identifier, Namespace, NodeKey, ProfileId, Record, Timestamp, WorkspaceId,
};

const CACHE: u64 = 10 << 20;
const START: Timestamp = Timestamp::from_millis(1_790_000_000_000);
const WORKSPACES: [WorkspaceId; 2] = [WorkspaceId(1), WorkspaceId(2)];

fn hash_key() -> HashKey {
    HashKey::derive(b"a test's root key")
}

/// A clock that is behind the log's time.
fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::default())
}

/// A log that holds these records.
fn held(records: &[Bytes]) -> Arc<dyn EventLog> {
    let log = Arc::new(MemoryLog::new());
    append(&*log, records.to_vec());
    log
}

fn append(log: &dyn EventLog, entries: Vec<Bytes>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(log.append(entries)).expect("memory takes everything");
}

fn reference(records: &[Bytes]) -> Reference {
    let mut reference = Reference::new(hash_key());
    for (sequence, bytes) in records.iter().enumerate() {
        reference.apply(sequence as u64, &Record::decode(bytes).expect("a record"));
    }
    reference
}

fn open_indexes(directory: &Path) -> Arc<Indexes> {
    let db = fjall::Database::builder(directory.join("index")).worker_threads(2).open().expect("fjall opens");
    Arc::new(Indexes::open(db, IndexOptions::default()).expect("the indexes open"))
}

/// Every profile of a workspace as it is stored.
fn stored_profiles(state: &State, workspace: WorkspaceId) -> BTreeMap<ProfileId, ExpectedProfile> {
    reference::stored_profiles(&*state.store(), workspace).expect("readable")
}

/// Everything in the store, byte for byte.
fn dump(state: &State) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut entries = BTreeMap::new();
    let visit = &mut |key: Key, value| {
        entries.insert(key.as_bytes().to_vec(), value);
        Ok(())
    };
    state.store().scan(&[], visit).expect("readable");
    entries
}

fn activations(log: &dyn EventLog) -> Vec<Activation> {
    let bounds = log.bounds();
    let mut found = Vec::new();
    let mut next = bounds.first;
    while next < bounds.end {
        for entry in log.read(next, 1 << 20).expect("readable") {
            next = entry.sequence + 1;
            found.push(Activation::decode(&entry.bytes).expect("an activation"));
        }
    }
    found
}

/// Runs the real projector over the log until it has read it all, then stops it.
fn run_projector(directory: &Path, events: &Arc<MemoryLog>, activations: &Arc<MemoryLog>) {
    let projector = start_projector(directory, events, activations);
    projector.stop().expect("a clean stop");
}

fn start_projector(directory: &Path, events: &Arc<MemoryLog>, activations: &Arc<MemoryLog>) -> Projector {
    let options = ProjectorOptions {
        store_cache_bytes: CACHE,
        checkpoint_interval: Duration::from_millis(1),
        ..ProjectorOptions::new(StatePaths::within(directory))
    };
    let parts = ProjectorParts {
        events: Arc::clone(events) as Arc<dyn EventLog>,
        activations: Arc::clone(activations) as Arc<dyn EventLog>,
        indexes: open_indexes(directory),
        hash_key: hash_key(),
        clock: clock(),
    };
    Projector::start(options, parts, |error| panic!("the projector ended: {error}")).expect("it starts")
}

/// Projects `from..to` by hand and breaks off without a last checkpoint, as a crash would.
fn run_until_crash(directory: &Path, records: &[Bytes], to: usize, checkpoints: &BTreeSet<usize>) {
    let indexes = open_indexes(directory);
    let paths = StatePaths::within(directory);
    let mut generation = Generation::open(&paths, &hash_key(), CACHE).expect("it opens");
    let state = Arc::new(State::new(Arc::clone(&generation.store), CACHE, CACHE));
    let checkpoint = generation.checkpoint;
    // Room for few resolutions, so that many are forgotten.
    let mut machine =
        Machine::new(Arc::clone(&state), Arc::clone(&indexes), held(records), hash_key(), checkpoint, 1);
    let next = checkpoint.next as usize;
    let watermark = indexes.watermark() as usize;
    for (at, record) in records.iter().enumerate().take(next).skip(watermark) {
        machine.index_only(at as u64, 0, record).expect("indexed");
    }
    for (at, record) in records.iter().enumerate().take(to).skip(next) {
        let applied = machine.apply(at as u64, 0, record).expect("applied");
        assert_eq!(applied, Applied::Done, "no rebuild is among the steps");
        if checkpoints.contains(&at) {
            let _activations = machine.publish();
            write_now(&mut generation.checkpointer, &state, machine.checkpoint()).expect("written");
            if at % 2 == 0 {
                indexes.flush(machine.checkpoint().next).expect("flushed");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// For any events, commands and rules: what the projector stores and writes is what the slow reference says, two
    /// workspaces with equal identifiers included, and profiles read back through the reader.
    #[test]
    fn projection_agrees_with_the_reference(steps in proptest::collection::vec(step(), 1..120)) {
        let directory = tempfile::tempdir().expect("a directory");
        let records = log(&steps);
        let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, records.clone());
        let expected = reference(&records);

        let projector = start_projector(directory.path(), &events, &written);
        projector.stop().expect("a clean stop");
        for workspace in WORKSPACES {
            prop_assert_eq!(stored_profiles(projector.state(), workspace), expected.profiles(workspace));
            let counts = reference::stored_counts(&*projector.state().store(), workspace).expect("readable");
            prop_assert_eq!(counts, expected.counts(workspace));
        }
        prop_assert_eq!(activations(&*written), expected.activations);
    }

    /// For any events, commands and rules: the same log gives byte-equal state and the same activations, however the
    /// run was cut, by stops and by crashes with and without checkpoints and index writes before them; and every
    /// event is found, in whatever epoch its identifier was.
    #[test]
    fn restarts_change_nothing(
        steps in proptest::collection::vec(step(), 1..60),
        cuts in proptest::collection::vec((0..60usize, proptest::collection::btree_set(0..60usize, 0..4)), 0..3),
    ) {
        let records = log(&steps);
        let whole = tempfile::tempdir().expect("a directory");
        let (events, undisturbed) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, records.clone());
        let projector = start_projector(whole.path(), &events, &undisturbed);
        projector.stop().expect("a clean stop");

        let cut = tempfile::tempdir().expect("a directory");
        for (to, checkpoints) in &cuts {
            run_until_crash(cut.path(), &records, (*to).min(records.len()), checkpoints);
        }
        let (part, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        let half = records.len() / 2;
        let covered = cuts.iter().map(|(to, _)| (*to).min(records.len())).max().unwrap_or(0);
        append(&*part, records[..half.max(covered)].to_vec());
        run_projector(cut.path(), &part, &written);
        append(&*part, records[half.max(covered)..].to_vec());
        let again = start_projector(cut.path(), &part, &written);
        again.stop().expect("a clean stop");

        prop_assert_eq!(dump(again.state()), dump(projector.state()));
        // The crashes above wrote no activations, so only what came after the last checkpoint is there.
        let (all, got) = (activations(&*undisturbed), activations(&*written));
        prop_assert!(all.ends_with(&got), "no activation is doubled or out of order");
        let indexes = open_indexes(cut.path());
        let reader = ProfileReader::new(Arc::clone(again.state()), indexes, part, hash_key(), clock());
        check_reads(&reader, &reference(&records))?;
    }

    /// Where no limit is reached: any order of arrival and any repetition gives the same profile.
    #[test]
    fn order_and_repetition_do_not_matter(
        sketches in proptest::collection::vec(sketch::sketch(), 1..40).prop_flat_map(|sketches| {
            let made: Vec<Sketch> = sketches
                .into_iter()
                .enumerate()
                .map(|(at, sketch)| Sketch {
                    workspace: 1,
                    source: 1,
                    // One person with few ids: no limit is met. Every event is another message.
                    user: Some(0),
                    email: sketch.email.map(|_| 0),
                    device: sketch.device.map(|device| device % 3),
                    previous: None,
                    message: at as u8,
                    later: 0,
                    ..sketch
                })
                .collect();
            let repeats = proptest::collection::vec(0..made.len(), 0..20);
            let order = Just((0..made.len()).collect::<Vec<_>>()).prop_shuffle();
            (Just(made), order, repeats)
        })
    ) {
        let (made, order, repeats) = sketches;
        let straight = records(&made);
        let shuffled: Vec<Bytes> =
            order.iter().chain(&repeats).map(|at| straight[*at].clone()).collect();
        let mut seen = Vec::new();
        for records in [straight, shuffled] {
            let directory = tempfile::tempdir().expect("a directory");
            let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
            append(&*events, records);
            let projector = start_projector(directory.path(), &events, &written);
            projector.stop().expect("a clean stop");
            let profiles = stored_profiles(projector.state(), WorkspaceId(1));
            seen.push(profiles.into_values().collect::<Vec<_>>());
        }
        prop_assert_eq!(&seen[0], &seen[1]);
    }

    /// Events of a profile come newest first, each once, over all its fragments.
    #[test]
    fn events_of_a_profile_are_found(steps in proptest::collection::vec(step(), 1..80)) {
        let directory = tempfile::tempdir().expect("a directory");
        let records = log(&steps);
        let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
        append(&*events, records.clone());
        let expected = reference(&records);
        let (projector, reader) = running(directory.path(), &events, &written);
        check_reads(&reader, &expected)?;
        projector.stop().expect("a clean stop");
    }
}

/// A projector that has read the whole log and runs on, and a reader of what it made.
fn running(
    directory: &Path,
    events: &Arc<MemoryLog>,
    written: &Arc<MemoryLog>,
) -> (Projector, ProfileReader) {
    let indexes = open_indexes(directory);
    let parts = ProjectorParts {
        events: Arc::clone(events) as Arc<dyn EventLog>,
        activations: Arc::clone(written) as Arc<dyn EventLog>,
        indexes: Arc::clone(&indexes),
        hash_key: hash_key(),
        clock: clock(),
    };
    let options = ProjectorOptions::new(StatePaths::within(directory));
    let projector = Projector::start(options, parts, |error| panic!("{error}")).expect("it starts");
    wait_for(&projector, events.bounds().end);
    let events = Arc::clone(events) as Arc<dyn EventLog>;
    let reader = ProfileReader::new(Arc::clone(projector.state()), indexes, events, hash_key(), clock());
    (projector, reader)
}

/// Waits until everything before this sequence is visible.
fn wait_for(projector: &Projector, end: u64) {
    let mut progress = projector.progress();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(progress.wait_for(|progress| progress.visible >= end)).expect("it goes on");
}

/// Every profile is found by each of its identifiers and by its id, with its own events.
fn check_reads(reader: &ProfileReader, expected: &Reference) -> Result<(), TestCaseError> {
    for workspace in WORKSPACES {
        for (id, profile) in expected.profiles(workspace) {
            for text in &profile.identifiers {
                let (namespace, value) = text.split_once(':').expect("an identifier's text");
                let found = reader.find(workspace, namespace, value).expect("readable").expect("known");
                prop_assert_eq!(found.id, id);
            }
            let found = reader.find(workspace, "profile_id", &id.to_string()).expect("readable");
            let found = found.expect("a live profile is found by its id");
            prop_assert_eq!(found.id, id);
            prop_assert_eq!(found.view.merged.counts, profile.counts);
            let query = EventQuery {
                start: None,
                end: None,
                order: EventOrder::Newest,
                after: None,
                limit: 1000,
                first_sequence: 0,
            };
            let got = reader.events(workspace, &found.view.profile, query).expect("readable");
            let got: Vec<u64> = got.iter().map(|entry| entry.sequence).collect();
            prop_assert_eq!(got, expected.events_of(workspace, &found.view.profile.members));
        }
        all::check_pages(reader, workspace, &expected.profiles(workspace))?;
    }
    Ok(())
}

/// Requests overlap: the copy that comes first in the log may have arrived a moment after the other.
#[test]
fn a_repeat_is_known_though_it_arrived_earlier() {
    let sketch = |later| Sketch { user: Some(1), later, ..event(1) };
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records(&[sketch(30), sketch(-2)]));
    let projector = start_projector(directory.path(), &events, &written);
    projector.stop().expect("a clean stop");
    assert_eq!(activations(&*written).len(), 1);
    let profiles = stored_profiles(projector.state(), WorkspaceId(1));
    assert_eq!(profiles.values().map(|profile| profile.counts[EventKind::Track.index()]).sum::<u64>(), 1);
}

/// A log that ends before what was read from it would give sequences a second time.
#[test]
fn a_log_that_lost_its_end_is_refused() {
    let records = records(&[sketch_of(1), sketch_of(2)]);
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    assert!(check_end(&*events, &*written).is_ok(), "nothing was read from nothing");
    append(&*events, records.clone());
    run_projector(directory.path(), &events, &written);
    assert!(check_end(&*events, &*written).is_ok());

    let cut = MemoryLog::new();
    append(&cut, records[..1].to_vec());
    let error = check_end(&cut, &*written).expect_err("the second record is gone");
    assert!(matches!(error, ProjectorError::LogLostEnd { end: 1, read: 2 }), "{error}");
}

fn sketch_of(message: u8) -> Sketch {
    Sketch { user: Some(1), ..event(message) }
}

/// Ids of profiles that were merged away keep finding the profile, also after several merges.
#[test]
fn merged_away_ids_keep_resolving() {
    let event = |kind, user, device, message| Sketch { kind, user, device, ..event(message) };
    let sketches = [
        event(EventKind::Track, None, Some(1), 1),
        event(EventKind::Track, None, Some(2), 2),
        event(EventKind::Track, None, Some(3), 3),
        event(EventKind::Identify, Some(1), Some(3), 4),
        event(EventKind::Identify, Some(1), Some(2), 5),
        event(EventKind::Identify, Some(1), Some(1), 6),
    ];
    let directory = tempfile::tempdir().expect("a directory");
    let (events, written) = (Arc::new(MemoryLog::new()), Arc::new(MemoryLog::new()));
    append(&*events, records(&sketches));
    let projector = start_projector(directory.path(), &events, &written);
    projector.stop().expect("a clean stop");
    let state = Arc::clone(projector.state());
    let reader = ProfileReader::new(state, open_second(), events, hash_key(), clock());
    let key = hash_key();
    let mut ids = BTreeSet::new();
    for device in ["d1", "d2", "d3"] {
        let identifier = Identifier::parse(Namespace::ANONYMOUS_ID, device).expect("an id");
        let node = NodeKey::first_epoch(identifier);
        let created = key.profile_id(WorkspaceId(1), &node).to_string();
        let found = reader.find(WorkspaceId(1), "profile_id", &created).expect("readable").expect("known");
        assert_eq!(found.view.profile.members.len(), 4, "{device}");
        ids.insert(found.id);
    }
    assert_eq!(ids.len(), 1, "one profile, the oldest");
}

/// Indexes that nothing was written to; for a reader that is asked for no events.
fn open_second() -> Arc<Indexes> {
    let directory = tempfile::tempdir().expect("a directory");
    open_indexes(&directory.keep())
}
