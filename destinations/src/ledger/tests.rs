use super::*;
use crate::failure::{Failure, Reason};
use crate::order::LaneKey;
use crate::store::{Commit, StoreError};
use crate::stored::StoredState;
use bytes::Bytes;
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::{DestinationId, EventKind, MessageId, SourceId, WorkspaceId};

const KEY: Key = Key { workspace: WorkspaceId(1), destination: DestinationId(2) };

/// The next delivery not tried before, in a request of its own.
fn next(ledger: &mut Ledger) -> Option<Job> {
    ledger.next_fresh(1, usize::MAX, BatchAmong::All).pop()
}

/// The next waiting delivery that is due.
fn due(ledger: &mut Ledger, micros: i64) -> Option<Job> {
    ledger.next_due(Timestamp::from_micros(micros), 1, usize::MAX).pop()
}

/// Nothing in these tests depends on the time.
const NOW: Timestamp = Timestamp::from_micros(7);

fn mapped() -> Mapped {
    Mapped { payloads: Vec::new(), refused: None }
}

fn ledger(cursor: u64) -> Ledger {
    let state = StoredState::new(cursor, Position::at(0));
    let remembered = Remembered { state, waiting: Vec::new(), letters: VecDeque::new() };
    Ledger::new(KEY, OrderSpec::Profile, remembered, LetterLimits { count: 2, bytes: 1 << 20 })
}

fn activation(sequence: u64, profile: u8) -> Activation {
    Activation {
        header: ActivationHeader {
            workspace: KEY.workspace,
            position: Position::at(sequence),
            ordinal: 0,
            profile: Some(ProfileId([profile; 16])),
            identifiers: Vec::new(),
            event_kind: EventKind::Track,
            source: SourceId(1),
            message_id: MessageId::parse("m").expect("an id"),
            received_at: Timestamp::default(),
            event_time: Timestamp::default(),
            kind: ActivationKind::Event,
            carried: Carried::default(),
        },
        event: Bytes::from_static(b"{}"),
    }
}

fn again(job: &Job, due: i64) -> Waiting {
    Waiting { attempts: job.waiting.attempts + 1, due: Timestamp::from_micros(due), ..job.waiting.clone() }
}

/// What a restart finds after this commit on top of nothing.
fn reloaded(commit: &Commit) -> Ledger {
    let state = StoredState::decode(&commit.state.encode()).expect("the stored form is read back");
    let waiting = commit.waiting.iter().filter_map(|(sequence, waiting)| {
        let waiting = waiting.as_ref()?;
        Some((*sequence, Waiting::decode(&waiting.encode()).expect("the stored form is read back")))
    });
    let remembered = Remembered { state, waiting: waiting.collect(), letters: VecDeque::new() };
    Ledger::new(KEY, OrderSpec::Profile, remembered, LetterLimits { count: 2, bytes: 1 << 20 })
}

#[test]
fn the_cursor_stands_at_the_first_that_is_not_settled() {
    let mut ledger = ledger(10);
    for (sequence, profile) in [(10, 1), (11, 2), (13, 3)] {
        ledger.admit(sequence, 0, activation(sequence, profile), mapped(), NOW);
    }
    ledger.pass(12);
    assert_eq!(ledger.cursor(), 10);
    while next(&mut ledger).is_some() {}
    ledger.ended(13, Outcome::Delivered, NOW);
    ledger.ended(11, Outcome::Delivered, NOW);
    let (commit, settled) = ledger.take_commit();
    assert_eq!((settled.cursor, commit.state.settled.as_slice()), (10, &[(11, 3)][..]));
    assert_eq!(settled.ended[Outcome::Delivered as usize], 2);
    let reloaded = reloaded(&commit);
    assert!(!reloaded.is_settled(10) && (11..14).all(|sequence| reloaded.is_settled(sequence)));
    assert!(!commit.state.is_settled(10) && commit.state.is_settled(13) && !commit.state.is_settled(14));
    ledger.ended(10, Outcome::Delivered, NOW);
    assert_eq!(ledger.cursor(), 14);
    assert_eq!((ledger.totals().taken, ledger.totals().ended_in_all()), (3, 3));
    assert_eq!((ledger.fresh_len(), ledger.fresh_bytes()), (0, 0));
}

#[test]
fn a_failure_moves_its_profile_into_the_queue_and_frees_the_cursor() {
    let mut ledger = ledger(0);
    for sequence in 0..3 {
        ledger.admit(sequence, 0, activation(sequence, 1), mapped(), NOW);
    }
    let job = next(&mut ledger).expect("the first may go");
    assert!(next(&mut ledger).is_none(), "one of a profile at a time");
    ledger.failed(0, again(&job, 50), NOW);
    ledger.admit(3, 0, activation(3, 1), mapped(), NOW);
    assert_eq!((ledger.cursor(), ledger.queue().len(), ledger.totals().taken), (4, 4, 4));
    let (commit, _) = ledger.take_commit();
    assert_eq!(commit.waiting.len(), 4);
    let mut reloaded = reloaded(&commit);
    assert_eq!(reloaded.next_due_at(), Some(Timestamp::from_micros(50)));
    for want in 0..4 {
        let job = due(&mut reloaded, 50).expect("it is due");
        assert_eq!((job.sequence, job.waiting.attempts), (want, u32::from(want == 0)));
        assert!(job.again && due(&mut reloaded, 50).is_none());
        reloaded.ended(want, Outcome::Delivered, NOW);
    }
    assert_eq!(reloaded.totals().ended(Outcome::Delivered), 4);
    let (commit, _) = reloaded.take_commit();
    assert!(commit.waiting.iter().all(|(_, waiting)| waiting.is_none()), "all of them are gone");
}

#[test]
fn what_expired_is_counted_but_for_what_was_settled() {
    let mut ledger = ledger(5);
    ledger.pass(7);
    ledger.pass(12);
    assert_eq!(ledger.lose(12, NOW), 6, "5, 6, 8, 9, 10, 11");
    assert_eq!(ledger.cursor(), 13);
    assert_eq!((ledger.totals().taken, ledger.totals().ended(Outcome::Expired)), (6, 6));
}

#[test]
fn outage_failures_can_be_hastened_and_others_keep_their_times() {
    let mut ledger = ledger(0);
    for (sequence, is_outage) in [(0, true), (1, false)] {
        ledger.admit(sequence, 0, activation(sequence, sequence as u8), mapped(), NOW);
        let job = next(&mut ledger).expect("it may go");
        let failure = Failure { outage: is_outage, ..Failure::new(Reason::ServerError, "") };
        ledger.failed(sequence, Waiting { failure: Some(failure), ..again(&job, 1_000) }, NOW);
    }
    ledger.hasten(Timestamp::from_micros(10), || Timestamp::from_micros(5));
    assert_eq!(due(&mut ledger, 5).map(|job| job.sequence), Some(0));
    assert_eq!(ledger.next_due_at(), Some(Timestamp::from_micros(1_000)));
}

#[test]
fn lanes_are_told_by_profile_or_alone() {
    let profile = ProfileId([1; 16]);
    assert_eq!(LaneKey::of(1, Some(profile)), LaneKey::of(2, Some(profile)));
    assert_ne!(LaneKey::of(1, None), LaneKey::of(2, None));
}

#[test]
fn states_stored_by_earlier_versions_are_still_read() {
    let mut totals = Totals::default();
    totals.taken = 300;
    totals.end(Outcome::Delivered, 290);
    totals.end(Outcome::DeadLetter, 3);
    let state = StoredState {
        settled: vec![(1002, 3)],
        totals,
        next_letter: 3,
        ..StoredState::new(1000, Position::at(77))
    };
    let marked = StoredState { mark: Some(Mark::new(990, (Position::at(70), 0))), ..state.clone() };
    let failure = Failure { outage: true, ..Failure::answered(500, "answered 500") };
    let waiting = Waiting {
        frame: 900,
        position: Position::at(80),
        ordinal: 0,
        message_id: MessageId::parse("m-1").expect("an id"),
        profile: Some(ProfileId([9; 16])),
        attempts: 4,
        first_attempt: Some(Timestamp::from_micros(1_000_000)),
        last_attempt: Some(Timestamp::from_micros(2_000_000)),
        due: Timestamp::from_micros(3_000_000),
        failure: Some(failure.clone()),
        received_at: Timestamp::from_micros(1_000_000),
        paused_micros: 0,
        told: 0,
        bytes: 0,
        done: Vec::new(),
        refused: None,
        alone: false,
        replay: None,
    };
    let stored_state = include_bytes!("samples/state.1");
    let stored_waiting = include_bytes!("samples/waiting.1");
    assert_eq!(StoredState::decode(stored_state).expect("version 1 is read"), state);
    let with_mark = include_bytes!("samples/state.2");
    assert_eq!(StoredState::decode(with_mark).expect("version 2 is read"), marked);
    let pause = StoredPause {
        reason: crate::stored::PauseReason::Credentials,
        since: NOW,
        failure: failure.clone(),
        settings: 5,
    };
    let today = StoredState { paused: Some(pause), ..marked.clone() };
    assert_eq!(StoredState::decode(&today.encode()).expect("own bytes"), today);
    assert_eq!((state.reads_from(), marked.reads_from()), (1000, 990));
    assert_eq!(Waiting::decode(stored_waiting).expect("version 1 is read"), waiting);
    let again = Waiting { bytes: 5, done: vec![2], refused: Some(failure), replay: Some(3), ..waiting };
    assert_eq!(Waiting::decode(&again.encode()).expect("own bytes"), again);
    assert!(matches!(StoredState::decode(&[4]), Err(StoreError::Version { version: 4, .. })));
    assert!(matches!(StoredState::decode(&stored_state[..4]), Err(StoreError::Damaged(_))));
    assert!(matches!(Waiting::decode(&[]), Err(StoreError::Damaged(_))));
}

#[test]
fn what_is_sent_again_is_counted_apart_and_goes_before_what_is_new() {
    let mut ledger = ledger(10);
    ledger.admit(10, 0, activation(10, 1), mapped(), NOW);
    ledger.admit(11, 0, activation(11, 1), mapped(), NOW);
    let first = next(&mut ledger).expect("it may go");
    let again = |sequence: u64| Waiting { replay: Some(4), ..Waiting::untried(0, &activation(sequence, 1)) };
    assert!(ledger.send_again(3, again(3), NOW));
    assert!(!ledger.send_again(3, again(3), NOW), "it waits already");
    assert!(!ledger.send_again(10, again(10), NOW), "it is on its way");
    assert!(due(&mut ledger, 100).is_none(), "its lane is busy");
    ledger.ended(first.sequence, Outcome::Delivered, NOW);
    assert_eq!(due(&mut ledger, 100).map(|job| job.sequence), Some(3));
    ledger.ended(3, Outcome::Delivered, NOW);
    assert_eq!(due(&mut ledger, 100).map(|job| job.sequence), Some(11), "what was new waits behind it");
    assert_eq!((ledger.replayed().taken, ledger.replayed().ended(Outcome::Delivered)), (1, 1));
    assert_eq!((ledger.totals().taken, ledger.totals().ended(Outcome::Delivered)), (2, 1));
    assert_eq!(ledger.take_replay_ended(4), [(Outcome::Delivered, 1)].into());
    assert!(ledger.take_replay_ended(4).is_empty(), "each is told once");
}

#[test]
fn one_that_goes_alone_comes_alone() {
    let mut ledger = ledger(0);
    for sequence in 0..4 {
        ledger.admit(sequence, 0, activation(sequence, sequence as u8), mapped(), NOW);
    }
    for job in ledger.next_fresh(4, usize::MAX, BatchAmong::All) {
        let alone = job.sequence == 2;
        let waiting = Waiting { alone, bytes: 2, ..again(&job, 10 + job.sequence as i64) };
        ledger.failed(job.sequence, waiting, NOW);
    }
    assert_eq!(ledger.queue_bytes(), 8);
    let mut next = |bytes| -> Vec<u64> {
        let jobs = ledger.next_due(Timestamp::from_micros(100), 10, bytes);
        jobs.iter().map(|job| job.sequence).collect()
    };
    assert_eq!([next(usize::MAX), next(usize::MAX), next(usize::MAX)], [vec![0, 1], vec![2], vec![3]]);
}

#[test]
fn only_what_is_not_under_way_can_be_ended_from_outside() {
    let mut ledger = ledger(10);
    for sequence in [1, 2, 3] {
        let waiting = Waiting { replay: Some(1), ..Waiting::untried(0, &activation(sequence, 1)) };
        assert!(ledger.send_again(sequence, waiting, NOW));
    }
    let job = due(&mut ledger, 0).expect("the first may go");
    ledger.end_waiting(|waiting| waiting.replay == Some(1), Outcome::Skipped, NOW);
    assert_eq!(
        ledger.queue().keys().copied().collect::<Vec<_>>(),
        [1],
        "the one under way ends by its result"
    );
    ledger.ended(job.sequence, Outcome::Delivered, NOW);
    assert!(ledger.queue().is_empty() && ledger.under_way() == 0);
    let ended = ledger.take_replay_ended(1);
    assert_eq!(ended, [(Outcome::Delivered, 1), (Outcome::Skipped, 2)].into());
}

#[test]
fn what_replays_put_into_the_queue_is_known_apart() {
    let mut ledger = ledger(10);
    let of = |replay: Option<u64>, sequence: u64| {
        let waiting = Waiting::untried(0, &activation(sequence, sequence as u8));
        Waiting { replay, bytes: 5, ..waiting }
    };
    for (replay, sequence) in [(Some(1), 1), (Some(1), 2), (Some(2), 3), (None, 4)] {
        assert!(ledger.send_again(sequence, of(replay, sequence), NOW));
    }
    let stands = |ledger: &Ledger, replay| {
        let of = ledger.of_replay(replay);
        (of.queued.count, of.queued.bytes, of.untried, of.under_way)
    };
    let none = (0, 0, 0, 0);
    assert_eq!([1, 2, 3].map(|replay| stands(&ledger, replay)), [(2, 10, 2, 0), (1, 5, 1, 0), none]);
    let jobs = ledger.next_due(NOW, 2, usize::MAX);
    assert_eq!(stands(&ledger, 1), (2, 10, 2, 2));
    ledger.failed(1, again(&jobs[0], 50), NOW);
    ledger.ended(2, Outcome::Delivered, NOW);
    assert_eq!(stands(&ledger, 1), (1, 5, 0, 0));
    let (commit, _) = ledger.take_commit();
    assert_eq!(stands(&reloaded(&commit), 1), (1, 5, 0, 0), "after a restart, too");
    ledger.end_waiting(|waiting| waiting.replay == Some(1), Outcome::Skipped, NOW);
    assert_eq!([1, 2].map(|replay| stands(&ledger, replay)), [none, (1, 5, 1, 0)]);
}

#[test]
fn what_a_replay_brings_of_a_profile_shares_a_request_until_it_fails() {
    let mut ledger = ledger(10);
    let due = Timestamp::from_micros;
    for (sequence, at) in [(1, 0), (2, 0), (3, 0), (4, 60)] {
        let waiting =
            Waiting { replay: Some(1), due: due(at), ..Waiting::untried(0, &activation(sequence, 1)) };
        assert!(ledger.send_again(sequence, waiting, NOW));
    }
    let next = |ledger: &mut Ledger, at| ledger.next_due(due(at), 10, usize::MAX);
    let jobs = next(&mut ledger, 7);
    assert_eq!(jobs.iter().map(|job| job.sequence).collect::<Vec<_>>(), [1, 2, 3], "4 is not due");
    assert!(next(&mut ledger, 99).is_empty(), "the lane is busy");
    ledger.ended(1, Outcome::Delivered, NOW);
    ledger.failed(2, again(&jobs[1], 20), NOW);
    ledger.failed(3, jobs[2].waiting.clone(), NOW);
    assert!(next(&mut ledger, 19).is_empty(), "3 waits behind 2");
    assert_eq!(next(&mut ledger, 99).iter().map(|job| job.sequence).collect::<Vec<_>>(), [2]);
    ledger.ended(2, Outcome::Delivered, NOW);
    assert_eq!(next(&mut ledger, 99).iter().map(|job| job.sequence).collect::<Vec<_>>(), [3, 4]);
}
