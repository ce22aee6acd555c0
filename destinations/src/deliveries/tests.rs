//! Questions about deliveries, to a store on disk.

use super::*;
use crate::records::Ending;
use crate::store::tests::{
    DAY, KEY, OTHER, TODAY, attempt, commit_at, directory, exchange, exchange_number, moment, open, waiting,
    write,
};
use crate::store::{Commit, Store};
use crate::stored::{Mark, StoredState, Waiting};
use tempfile::TempDir;

/// A destination that began behind position 10, has settled everything below activation 1,000, and of which this is known:
///
/// | activation | first tried | what became of it |
/// |---|---|---|
/// | 20 | yesterday | failed, then taken |
/// | 21 | today, second 1 | failed with an answer, given up |
/// | 22 | today, second 2 | failed, waits |
/// | 23 | today, second 3 | taken, as one of many |
/// | 24 | never | left out |
/// | 1,001 | today, second 4 | failed, under way again |
fn store() -> (TempDir, Store) {
    let directory = directory();
    let store = open(&directory);
    let now = moment(TODAY, 100);
    let mut commit = commit_at(KEY, now);
    let refused = Failure::answered(404, "gone");
    let number = exchange_number(moment(TODAY, 1));
    let taken = |attempt: AttemptRecord| AttemptRecord {
        failure: None,
        outcome: Some(Outcome::Delivered),
        ..attempt
    };
    commit.attempts = vec![
        attempt(20, moment(TODAY - 1, 1), 1),
        taken(attempt(20, moment(TODAY - 1, 1), 2)),
        AttemptRecord {
            failure: Some(refused),
            outcome: Some(Outcome::DeadLetter),
            exchange: Some(number),
            profile: Some(ProfileId([2; 16])),
            ..attempt(21, moment(TODAY, 1), 1)
        },
        attempt(22, moment(TODAY, 2), 1),
        AttemptRecord { sampled: true, ..taken(attempt(23, moment(TODAY, 3), 1)) },
        attempt(1_001, moment(TODAY, 4), 1),
    ];
    commit.exchanges = vec![(number, exchange("x"))];
    commit.endings = vec![
        Ending { activation: 21, outcome: Outcome::DeadLetter },
        Ending { activation: 24, outcome: Outcome::FilteredByTrigger },
    ];
    commit.waiting = vec![(22, Some(waiting(22)))];
    write(&store, commit);
    let mut others = commit_at(OTHER, now);
    others.attempts = vec![attempt(20, moment(TODAY, 1), 1)];
    write(&store, others);
    (directory, store)
}

fn asked(store: &Store, query: &DeliveryQuery) -> Vec<(DestinationId, u64)> {
    let page = deliveries(store, KEY.workspace, query).expect("readable");
    assert_eq!(page.next, None, "everything is on one page");
    page.deliveries.iter().map(|delivery| (delivery.destination, delivery.activation)).collect()
}

fn all() -> DeliveryQuery {
    DeliveryQuery { limit: 100, ..DeliveryQuery::default() }
}

#[test]
fn deliveries_are_found_by_everything_that_is_known_of_them() {
    let (_directory, store) = store();
    let (one, other) = (KEY.destination, OTHER.destination);
    let of_one = DeliveryQuery { destination: Some(one), ..all() };
    let message = |id: &str| Some(MessageId::parse(id).expect("an id"));
    let pending = Some(DeliveryState::Pending);
    let ended = |outcome| Some(DeliveryState::Ended(outcome));
    let cases = [
        ("a destination", of_one.clone(), vec![(one, 1_001), (one, 23), (one, 22), (one, 21), (one, 20)]),
        ("an event", DeliveryQuery { message_id: message("m-20"), ..all() }, vec![(other, 20), (one, 20)]),
        ("an event at one", DeliveryQuery { message_id: message("m-20"), ..of_one.clone() }, vec![(one, 20)]),
        ("a profile", DeliveryQuery { profiles: vec![ProfileId([2; 16])], ..all() }, vec![(one, 21)]),
        (
            "profiles that are one",
            DeliveryQuery { profiles: vec![ProfileId([2; 16]), ProfileId([1; 16])], ..of_one.clone() },
            vec![(one, 1_001), (one, 23), (one, 22), (one, 21), (one, 20)],
        ),
        (
            "an event of another profile",
            DeliveryQuery { message_id: message("m-20"), profiles: vec![ProfileId([2; 16])], ..all() },
            vec![],
        ),
        ("what waits", DeliveryQuery { state: pending, ..of_one.clone() }, vec![(one, 1_001), (one, 22)]),
        ("what was given up", DeliveryQuery { state: ended(Outcome::DeadLetter), ..all() }, vec![(one, 21)]),
        (
            "what was taken",
            DeliveryQuery { state: ended(Outcome::Delivered), ..of_one.clone() },
            vec![(one, 23), (one, 20)],
        ),
        ("a reason", DeliveryQuery { reason: Some(Reason::NotFound), ..all() }, vec![(one, 21)]),
        (
            "a time",
            DeliveryQuery { from: Some(moment(TODAY, 1)), until: Some(moment(TODAY, 3)), ..of_one.clone() },
            vec![(one, 22), (one, 21)],
        ),
        (
            "yesterday",
            DeliveryQuery { until: Some(Timestamp::from_micros(TODAY * DAY)), ..all() },
            vec![(one, 20)],
        ),
    ];
    for (name, query, want) in cases {
        assert_eq!(asked(&store, &query), want, "{name}");
    }
    let everything = asked(&store, &all());
    assert_eq!(everything, [(one, 1_001), (one, 23), (one, 22), (one, 21), (other, 20), (one, 20)]);
    let elsewhere = deliveries(&store, WorkspaceId(2), &all()).expect("readable");
    assert_eq!(elsewhere, DeliveryPage::default());
}

#[test]
fn a_delivery_shows_what_was_tried_and_exchanged() {
    let (_directory, store) = store();
    let query = DeliveryQuery { state: Some(DeliveryState::Ended(Outcome::DeadLetter)), ..all() };
    let page = deliveries(&store, KEY.workspace, &query).expect("readable");
    let delivery = &page.deliveries[0];
    assert_eq!((delivery.delivery_id.as_str(), delivery.position), ("msg_21", Position::at(21)));
    assert_eq!(delivery.attempts.len(), 1);
    assert_eq!(delivery.attempts[0].exchange, Some(exchange("x")));
    let query = DeliveryQuery { message_id: Some(MessageId::parse("m-20").expect("an id")), ..all() };
    let page = deliveries(&store, KEY.workspace, &query).expect("readable");
    let numbers: Vec<u32> = page.deliveries[1].attempts.iter().map(|one| one.attempt.number).collect();
    assert_eq!(numbers, [1, 2]);
    assert_eq!(
        page.deliveries[0].state,
        DeliveryState::Ended(Outcome::Delivered),
        "settled, and nothing said"
    );
}

#[test]
fn pages_go_on_where_they_ended() {
    let (_directory, store) = store();
    let everything = asked(&store, &all());
    for limit in [0, 1, 2, 4] {
        let mut query = DeliveryQuery { limit, ..all() };
        let mut found = Vec::new();
        loop {
            let page = deliveries(&store, KEY.workspace, &query).expect("readable");
            assert!(page.deliveries.len() <= limit.max(1));
            found.extend(page.deliveries.iter().map(|one| (one.destination, one.activation)));
            let Some(next) = page.next else { break };
            query.cursor = DeliveryCursor::parse(&next.to_string());
            assert_eq!(query.cursor, Some(next));
        }
        assert_eq!(found, everything, "{limit} a page");
    }
    for text in ["", "1.2.3", "1.2.3.4.5", "1.2.3.x", "01.2.3.4", "1.2.-3.4"] {
        assert_eq!(DeliveryCursor::parse(text), None, "{text}");
    }
}

#[test]
fn the_work_for_a_page_is_bounded() {
    let directory = directory();
    let store = {
        let db = fjall::Database::builder(directory.path()).worker_threads(2).open().expect("a database");
        Store::open(db, 14, 31, 1 << 30).expect("a store")
    };
    let count = LOOKED_AT_MAX as u64 + 10;
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    commit.attempts = (0..count).map(|activation| attempt(activation, moment(TODAY, 0), 1)).collect();
    write(&store, commit);
    let mut query = DeliveryQuery { reason: Some(Reason::Tls), ..all() };
    let page = deliveries(&store, KEY.workspace, &query).expect("readable");
    assert!(page.deliveries.is_empty());
    query.cursor = page.next;
    let page = deliveries(&store, KEY.workspace, &query).expect("readable");
    assert_eq!((query.cursor.is_some(), page), (true, DeliveryPage::default()));
}

#[test]
fn what_became_of_an_activation_is_told() {
    let (_directory, store) = store();
    let fate =
        |key, activation: u64| fate(&store, key, activation, Position::at(activation)).expect("readable");
    let waits = Fate::Waiting {
        attempts: 1,
        first_attempt: Some(moment(TODAY, 2)),
        due: moment(TODAY, 200),
        failure: Some(Failure::new(Reason::Timeout, "no answer")),
        replay: None,
    };
    let cases = [
        (KEY, 10, Fate::NotIts),
        (KEY, 11, Fate::Delivered),
        (KEY, 21, Fate::Ended(Outcome::DeadLetter)),
        (KEY, 22, waits),
        (KEY, 24, Fate::Ended(Outcome::FilteredByTrigger)),
        (KEY, 1_000, Fate::Pending),
        (OTHER, 24, Fate::Delivered),
        (Key { destination: DestinationId(9), ..KEY }, 24, Fate::Pending),
    ];
    for (key, activation, want) in cases {
        assert_eq!(fate(key, activation), want, "{key} {activation}");
    }
    // A replay sent two of them again.
    let mut commit: Commit = commit_at(KEY, moment(TODAY, 200));
    commit.endings = vec![
        Ending { activation: 10, outcome: Outcome::Delivered },
        Ending { activation: 21, outcome: Outcome::Delivered },
    ];
    write(&store, commit);
    assert_eq!((fate(KEY, 10), fate(KEY, 21)), (Fate::Delivered, Fate::Delivered));
}

#[test]
fn what_a_replay_sends_again_does_not_change_what_became_of_the_first_time() {
    let (_directory, store) = store();
    let state_of = |activation: u64| {
        let id = format!("m-{activation}");
        let query = DeliveryQuery {
            destination: Some(KEY.destination),
            message_id: Some(MessageId::parse(&id).expect("an id")),
            ..all()
        };
        let page = deliveries(&store, KEY.workspace, &query).expect("readable");
        page.deliveries.iter().map(|delivery| delivery.state).collect::<Vec<_>>()
    };
    let ended = DeliveryState::Ended;
    // 21 was given up, and is sent again; 22 failed and was passed over then, and waits by a replay.
    let again = AttemptRecord { replay: Some(1), ..attempt(21, moment(TODAY, 300), 1) };
    let mut commit = commit_at(KEY, moment(TODAY, 300));
    commit.attempts = vec![again.clone()];
    commit.endings = vec![Ending { activation: 22, outcome: Outcome::Skipped }];
    let by_replay = |first_attempt| Waiting { first_attempt, replay: Some(1), ..waiting(0) };
    commit.waiting = vec![(21, Some(by_replay(Some(moment(TODAY, 300))))), (22, Some(by_replay(None)))];
    write(&store, commit);
    assert_eq!(state_of(21), [DeliveryState::Pending, ended(Outcome::DeadLetter)]);
    assert_eq!(state_of(22), [ended(Outcome::Skipped)]);
    // 20 was taken, sent again by a replay that was cancelled after one attempt.
    let mut commit = commit_at(KEY, moment(TODAY, 300));
    commit.attempts = vec![AttemptRecord { replay: Some(1), ..attempt(20, moment(TODAY, 300), 1) }];
    write(&store, commit);
    assert_eq!(state_of(20), [ended(Outcome::Skipped), ended(Outcome::Delivered)]);
    let mut commit = commit_at(KEY, moment(TODAY, 400));
    commit.attempts =
        vec![AttemptRecord { failure: None, outcome: Some(Outcome::Delivered), number: 2, ..again }];
    commit.endings = vec![Ending { activation: 21, outcome: Outcome::Delivered }];
    commit.waiting = vec![(21, None)];
    write(&store, commit);
    assert_eq!(state_of(21), [ended(Outcome::Delivered), ended(Outcome::DeadLetter)]);
}

#[test]
fn what_was_passed_over_stays_so_however_a_replay_ends() {
    let (_directory, store) = store();
    let states = || {
        let query = DeliveryQuery {
            destination: Some(KEY.destination),
            message_id: Some(MessageId::parse("m-22").expect("an id")),
            ..all()
        };
        let page = deliveries(&store, KEY.workspace, &query).expect("readable");
        page.deliveries.iter().map(|delivery| delivery.state).collect::<Vec<_>>()
    };
    let ended = DeliveryState::Ended;
    let end = |at: Timestamp, outcome, attempts| {
        let mut commit = commit_at(KEY, at);
        commit.attempts = attempts;
        commit.endings = vec![Ending { activation: 22, outcome }];
        commit.waiting = vec![(22, None)];
        write(&store, commit);
    };
    let by_replay = |replay, at: Timestamp, outcome| AttemptRecord {
        replay: Some(replay),
        outcome: Some(outcome),
        ..attempt(22, at, 1)
    };
    // 22 had failed and was given up, and the day had no room left for that attempt.
    end(moment(TODAY, 200), Outcome::DeadLetter, vec![]);
    assert_eq!(states(), [ended(Outcome::DeadLetter)]);
    end(moment(TODAY, 200), Outcome::Skipped, vec![]);
    assert_eq!(states(), [ended(Outcome::Skipped)]);
    let given_up = by_replay(1, moment(TODAY, 300), Outcome::DeadLetter);
    end(moment(TODAY, 300), Outcome::DeadLetter, vec![given_up]);
    assert_eq!(states(), [ended(Outcome::DeadLetter), ended(Outcome::Skipped)]);
    let taken = by_replay(2, moment(TODAY, 400), Outcome::Delivered);
    end(moment(TODAY, 400), Outcome::Delivered, vec![AttemptRecord { failure: None, ..taken }]);
    let all_three = [Outcome::Delivered, Outcome::DeadLetter, Outcome::Skipped].map(ended);
    assert_eq!(states(), all_three);
}

#[test]
fn what_waited_ended_with_its_destination() {
    let (_directory, store) = store();
    let mut commit = commit_at(KEY, moment(TODAY, 200));
    commit.endings = vec![Ending { activation: 22, outcome: Outcome::DestinationDeleted }];
    write(&store, commit);
    let mark = Some(Mark::new(2_000, (Position::at(2_000), 0)));
    let ended = StoredState { ended: true, mark, ..StoredState::new(1_000, Position::at(10)) };
    store.end(KEY, &ended).expect("writable");
    let deleted = Some(DeliveryState::Ended(Outcome::DestinationDeleted));
    let query = DeliveryQuery { state: deleted, destination: Some(KEY.destination), ..all() };
    let one = KEY.destination;
    assert_eq!(asked(&store, &query), [(one, 1_001), (one, 22)]);
    let deleted = Fate::Ended(Outcome::DestinationDeleted);
    let cases = [
        (10, Fate::NotIts),
        (11, Fate::Delivered),
        (21, Fate::Ended(Outcome::DeadLetter)),
        (22, deleted.clone()),
        (1_000, deleted.clone()),
        (1_999, deleted),
        (2_000, Fate::NotIts),
    ];
    for (activation, want) in cases {
        let told = fate(&store, KEY, activation, Position::at(activation)).expect("readable");
        assert_eq!(told, want, "{activation}");
    }
}
