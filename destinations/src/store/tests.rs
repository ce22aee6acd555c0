//! The store through its public face. Its parts that other tests need are here, too.

use super::*;
use crate::dead_letter::DeadLetter;
use crate::exchange::{RequestRecord, ResponseRecord};
use crate::failure::{Failure, Reason};
use crate::replay::{Reach, ReplayOnly, ReplayOrder, ReplayState};
use bytes::Bytes;
use proptest::prelude::*;
use tempfile::TempDir;
use tributary_model::{DestinationId, EventKind, MessageId, Position, ProfileId};

mod outcomes;
mod records;

pub(crate) const KEY: Key = Key { workspace: WorkspaceId(1), destination: DestinationId(2) };
pub(crate) const OTHER: Key = Key { workspace: WorkspaceId(1), destination: DestinationId(3) };
pub(crate) const DAY: i64 = 86_400_000_000;
/// A day of the year 2026.
pub(crate) const TODAY: i64 = 20_500;

/// A store that keeps records of 14 days, and of a day 64 KiB, and how deliveries ended for 31 days.
pub(crate) fn open(directory: &TempDir) -> Store {
    let db = Database::builder(directory.path()).worker_threads(2).open().expect("a database");
    Store::open(db, 14, 31, 64 << 10).expect("a store")
}

pub(crate) fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

pub(crate) fn write(store: &Store, commit: Commit) {
    wait(store.commit(commit)).expect("it is written");
}

/// So many seconds into a day.
pub(crate) fn moment(day: i64, seconds: i64) -> Timestamp {
    Timestamp::from_micros(day * DAY + seconds * 1_000_000)
}

/// A commit of that time, of a destination that has settled the first thousand activations.
pub(crate) fn commit_at(key: Key, at: Timestamp) -> Commit {
    let mut commit = Commit::of(key, StoredState::new(1_000, Position::at(10)));
    commit.counts.received(at, 0);
    commit
}

/// An attempt that failed, of a delivery that was first tried at that time.
pub(crate) fn attempt(activation: u64, first_attempt: Timestamp, number: u32) -> AttemptRecord {
    AttemptRecord {
        activation,
        position: Position::at(activation),
        ordinal: 0,
        delivery_id: format!("msg_{activation}"),
        message_id: MessageId::parse(&format!("m-{activation}")).expect("an id"),
        profile: Some(ProfileId([1; 16])),
        event_kind: Some(EventKind::Track),
        first_attempt,
        number,
        at: first_attempt.plus_micros(i64::from(number - 1) * 1_000_000),
        took_micros: 10,
        failure: Some(Failure::new(Reason::Timeout, "no answer")),
        outcome: None,
        exchange: None,
        sampled: false,
        replay: None,
    }
}

/// A delivery that failed once and waits.
pub(crate) fn waiting(activation: u64) -> Waiting {
    Waiting {
        frame: 0,
        position: Position::at(activation),
        ordinal: 0,
        message_id: MessageId::parse("m").expect("an id"),
        profile: None,
        attempts: 1,
        first_attempt: Some(moment(TODAY, 2)),
        last_attempt: Some(moment(TODAY, 2)),
        due: moment(TODAY, 200),
        failure: Some(Failure::new(Reason::Timeout, "no answer")),
        received_at: moment(TODAY, 1),
        paused_micros: 0,
        told: 1,
        bytes: 2,
        done: Vec::new(),
        refused: None,
        alone: false,
        replay: None,
    }
}

/// A dead letter of an activation.
pub(crate) fn letter(activation: u64, reason: Reason) -> Vec<u8> {
    let letter = DeadLetter {
        workspace: KEY.workspace,
        destination: KEY.destination,
        position: Position::at(activation),
        ordinal: 0,
        activation,
        reason_code: reason,
        delivery_id: format!("msg_{activation}"),
        message_id: MessageId::parse("m").expect("an id"),
        profile: None,
        reason: String::new(),
        attempts: 1,
        first_attempt: None,
        last_attempt: None,
        given_up_at: Timestamp::default(),
        event: Bytes::from_static(b"{}"),
        status: None,
        request: None,
        response: None,
        replay: None,
    };
    letter.encode()
}

pub(crate) fn exchange(body: &str) -> ExchangeRecord {
    let request = RequestRecord { method: "POST".to_owned(), body: body.to_owned(), ..Default::default() };
    ExchangeRecord { request, response: Some(ResponseRecord { status: Some(503), body: String::new() }) }
}

/// The number of an exchange of that time.
pub(crate) fn exchange_number(at: Timestamp) -> u64 {
    at.as_micros().unsigned_abs() * 4096
}

#[test]
fn a_commit_is_there_after_a_restart() {
    let directory = directory();
    let store = open(&directory);
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    commit.letters = vec![(0, letter(5, Reason::NotFound)), (1, letter(6, Reason::Timeout))];
    commit.endings = vec![Ending { activation: 5, outcome: Outcome::DeadLetter }];
    write(&store, commit);
    write(&store, commit_at(OTHER, moment(TODAY, 0)));
    drop(store);
    let store = open(&directory);
    let remembered = store.load(KEY).expect("readable").expect("it is there");
    assert_eq!(remembered.state, StoredState::new(1_000, Position::at(10)));
    let numbers: Vec<_> = remembered.letters.iter().map(|(number, _)| *number).collect();
    assert_eq!((remembered.waiting.len(), numbers), (0, vec![0, 1]));
    let page = store.letters(KEY, 1, None).expect("readable");
    assert_eq!((page.letters[0].activation, page.next), (6, Some(1)));
    let page = store.letters(KEY, 9, page.next).expect("readable");
    assert_eq!((page.letters[0].activation, page.letters.len(), page.next), (5, 1, None));
    assert_eq!(store.outcome_of(KEY, 5).expect("readable"), Some(Outcome::DeadLetter));
    assert_eq!(store.destinations().expect("readable"), [KEY, OTHER]);

    let ended = StoredState { ended: true, ..StoredState::new(1_000, Position::at(10)) };
    store.end(KEY, &ended).expect("writable");
    let remembered = store.load(KEY).expect("readable").expect("it is there");
    assert!(remembered.state.ended && remembered.letters.is_empty());
    assert_eq!(store.destinations().expect("readable"), [OTHER]);
    assert_eq!(store.destinations_of(KEY.workspace).expect("readable"), [KEY, OTHER]);
    assert!(store.destinations_of(WorkspaceId(2)).expect("readable").is_empty());
}

#[test]
fn dropped_letters_are_gone() {
    let directory = directory();
    let store = open(&directory);
    let bytes = letter(5, Reason::NotFound);
    let size = letter_size(&bytes);
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    commit.letters = vec![(0, bytes), (1, letter(6, Reason::Timeout))];
    write(&store, commit);
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    commit.letters_dropped = vec![(0, size)];
    write(&store, commit);
    let page = store.letters(KEY, 9, None).expect("readable");
    assert_eq!(page.letters.iter().map(|letter| letter.activation).collect::<Vec<_>>(), [6]);
}

fn new_replay(key: Key) -> NewReplay {
    let order = ReplayOrder { only: ReplayOnly::NotDelivered, ..ReplayOrder::default() };
    NewReplay { key, order, first: 3, end: 900, began_at: moment(TODAY, 1), reach: Reach::default() }
}

fn dry_run(key: Key) -> NewReplay {
    let new = new_replay(key);
    NewReplay { order: ReplayOrder { dry_run: true, ..new.order }, ..new }
}

#[test]
fn one_replay_of_a_destination_runs_and_a_cancelled_one_stays_so() {
    let directory = directory();
    let store = open(&directory);
    let first = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
    assert_eq!((first.id, first.next, first.end), (1, 3, 900));
    assert!(matches!(wait(store.begin_replay(new_replay(KEY))), Err(ReplayError::Busy)));
    assert!(wait(store.begin_replay(new_replay(OTHER))).is_ok(), "another destination's");
    assert_eq!(store.active_replays(KEY).expect("readable"), vec![first.clone()]);

    let now = moment(TODAY, 9);
    assert!(wait(store.cancel_replay(KEY, 1, now)).expect("writable"));
    assert!(!wait(store.cancel_replay(KEY, 1, now)).expect("writable"), "it runs no more");
    assert!(!wait(store.cancel_replay(KEY, 7, now)).expect("writable"), "there is none");
    let mut late = commit_at(KEY, now);
    late.replays = vec![ReplayJob { next: 500, queued: 7, ..first }];
    write(&store, late);
    drop(store);
    let store = open(&directory);
    let all = store.replays(KEY).expect("readable");
    assert_eq!((all.len(), &all[0].state, all[0].queued), (1, &ReplayState::Cancelled, 7));
    assert_eq!((all[0].next, all[0].ended_at), (500, Some(now)));
    assert!(store.active_replays(KEY).expect("readable").is_empty());
    assert_eq!(wait(store.begin_replay(new_replay(KEY))).expect("nothing runs").id, 2);
}

#[test]
fn progress_that_comes_late_revives_nothing() {
    let directory = directory();
    let store = open(&directory);
    for (id, end) in (1..).zip([ReplayState::Done, ReplayState::Failed("why".to_owned())]) {
        let job = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
        let ended_at = Some(moment(TODAY, 5));
        let ended = ReplayJob { state: end.clone(), ended_at, ..job.clone() };
        for replay in [ended, ReplayJob { queued: 3, ..job }] {
            let mut commit = commit_at(KEY, moment(TODAY, 9));
            commit.replays = vec![replay];
            write(&store, commit);
        }
        let stored = store.replays(KEY).expect("readable").remove(0);
        assert_eq!((stored.id, stored.queued, stored.ended_at), (id, 3, ended_at));
        assert_eq!(stored.state, end);
    }
}

#[test]
fn one_begins_behind_all_that_are_stored_and_all_that_are_about_to_be() {
    let directory = directory();
    let store = open(&directory);
    let first = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
    wait(store.cancel_replay(KEY, 1, moment(TODAY, 2))).expect("writable");
    let second = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
    let stored = &store.tables.replays;
    let done = ReplayJob { state: ReplayState::Done, ..second.clone() };
    let cases = [
        ("nothing else", vec![], None),
        ("progress of the first", vec![&first], None),
        ("progress of both", vec![&first, &second], None),
        ("the end of the second", vec![&done], Some(3)),
        ("that, and progress of the first", vec![&first, &done], Some(3)),
    ];
    for (name, updates, want) in cases {
        let (mut batch, mut changed) = (store.tables.db.batch(), replays::Changed::new());
        for job in updates {
            stored.update(&mut changed, KEY, job).expect("readable");
        }
        let begun = stored.begin(&mut batch, &mut changed, new_replay(KEY));
        assert_eq!(begun.ok().map(|job| job.id), want, "{name}");
    }
}

#[test]
fn the_newest_fifty_replays_are_kept() {
    let directory = directory();
    let store = open(&directory);
    for id in 1..=53 {
        let job = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
        assert_eq!(job.id, id);
        let mut commit = commit_at(KEY, moment(TODAY, 2));
        commit.replays = vec![ReplayJob { state: ReplayState::Done, ..job }];
        write(&store, commit);
    }
    let kept: Vec<u64> = store.replays(KEY).expect("readable").iter().map(|job| job.id).collect();
    assert_eq!(kept, (4..=53).rev().collect::<Vec<_>>());
    let mut late = commit_at(KEY, moment(TODAY, 3));
    late.replays = vec![new_replay(KEY).job(1)];
    write(&store, late);
    assert_eq!(store.replays(KEY).expect("readable").len(), 50, "one that is gone stays away");
}

#[test]
fn a_dry_run_runs_beside_a_replay_that_is_kept_for_as_long_as_it_runs() {
    let directory = directory();
    let store = open(&directory);
    let sends = wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
    let dead = |job: &ReplayJob| store.dead_activations(KEY, job).expect("readable");
    let known = dead(&sends);
    for id in 2..=60 {
        let counts = wait(store.begin_replay(dry_run(KEY))).expect("no other dry run runs");
        assert_eq!(counts.id, id);
        assert!(matches!(wait(store.begin_replay(dry_run(KEY))), Err(ReplayError::Busy)));
        assert!(matches!(wait(store.begin_replay(new_replay(KEY))), Err(ReplayError::Busy)));
        assert_eq!(store.active_replays(KEY).expect("readable"), vec![counts.clone(), sends.clone()]);
        let counted = dead(&counts);
        assert!(Arc::ptr_eq(&known, &dead(&sends)) && Arc::ptr_eq(&counted, &dead(&counts)));
        store.forget_dead_activations(KEY, id);
        assert!(Arc::ptr_eq(&known, &dead(&sends)) && !Arc::ptr_eq(&counted, &dead(&counts)));
        assert!(wait(store.cancel_replay(KEY, id, moment(TODAY, 2))).expect("writable"));
    }
    let kept = || store.replays(KEY).expect("readable").iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!(kept(), (11..=60).rev().chain([1]).collect::<Vec<_>>());
    assert!(wait(store.cancel_replay(KEY, 1, moment(TODAY, 3))).expect("writable"));
    wait(store.begin_replay(new_replay(KEY))).expect("nothing runs");
    assert_eq!(kept(), (12..=61).rev().collect::<Vec<_>>());
}

#[test]
fn orders_that_come_together_know_of_each_other() {
    let directory = directory();
    let store = open(&directory);
    let begun = wait(async {
        let (first, second) =
            tokio::join!(store.begin_replay(new_replay(KEY)), store.begin_replay(new_replay(KEY)));
        [first.is_ok(), second.is_ok()]
    });
    assert_eq!(begun.iter().filter(|is_ok| **is_ok).count(), 1);
}

#[test]
fn old_counts_go_a_piece_at_a_time() {
    let directory = directory();
    let store = open(&directory);
    let keys = (0..40).map(|number| Key { destination: DestinationId(number), ..KEY });
    for key in keys.clone() {
        let mut commit = commit_at(key, moment(TODAY, 0));
        (0..10).for_each(|minute| commit.counts.received(moment(TODAY, minute * 60), 1));
        write(&store, commit);
    }
    let all = || {
        let mut rows = 0;
        for key in keys.clone() {
            store.tallies(key, 0..u32::MAX, |_, _| rows += 1).expect("readable");
        }
        rows
    };
    assert_eq!(all(), 400);
    let mut left = Vec::new();
    for turn in 0..4 {
        write(&store, commit_at(KEY, moment(TODAY + 31, turn)));
        // What is ordered next is looked at when the writer is done with tidying.
        assert!(!wait(store.cancel_replay(KEY, 1, moment(TODAY, 0))).expect("readable"));
        left.push(all());
    }
    // Sixteen destinations at a time; the one row more is that of the new minute.
    assert_eq!(left, [241, 81, 1, 1]);
}

/// What one commit counts: minutes, deliveries, milliseconds.
fn counted() -> impl Strategy<Value = Vec<(u8, u8, u64)>> {
    prop::collection::vec((0..4_u8, 1..5_u8, 0..100_000_u64), 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn counts_of_all_commits_add_up(
        commits in prop::collection::vec((any::<bool>(), counted()), 1..8),
        restart in 0..8_usize,
    ) {
        let directory = directory();
        let mut store = open(&directory);
        let mut sums: BTreeMap<Key, BTreeMap<u32, Tally>> = BTreeMap::new();
        for (number, (is_other, counted)) in commits.into_iter().enumerate() {
            let key = if is_other { OTHER } else { KEY };
            let mut commit = Commit::of(key, StoredState::new(0, Position::at(0)));
            for (minute, deliveries, millis) in counted {
                let at = moment(TODAY, i64::from(minute) * 60);
                commit.counts.received(at, deliveries.into());
                commit.counts.ended(at, Outcome::Delivered, deliveries.into());
                commit.counts.delivered_after(at, millis * 1_000);
                commit.counts.failed(at, Reason::Timeout);
                commit.counts.replayed(at, Outcome::Skipped, deliveries.into());
            }
            for (minute, tally) in commit.counts.minutes() {
                sums.entry(key).or_default().entry(minute).or_default().merge(tally);
            }
            write(&store, commit);
            if number == restart {
                drop(store);
                store = open(&directory);
            }
        }
        for key in [KEY, OTHER] {
            let mut found = BTreeMap::new();
            store
                .tallies(key, 0..u32::MAX, |minute, tally| {
                    found.insert(minute, tally.clone());
                })
                .expect("readable");
            prop_assert_eq!(found, sums.remove(&key).unwrap_or_default());
        }
    }
}
