//! Attempts and exchanges.

use super::*;

/// Everything of a day, or all of it.
fn all() -> Range<Place> {
    Place::at(Timestamp::MIN)..Place::at(Timestamp::from_micros(i64::MAX))
}

/// Destination and activation of what is found within a day, with the numbers of its attempts.
fn found(store: &Store, day: i64, sought: &Sought, places: Range<Place>) -> Vec<(Key, u64, Vec<u32>)> {
    let groups = store.attempts(day, sought, places).expect("readable");
    let seen = groups.map(|group| {
        let group = group.expect("readable");
        let numbers = group.attempts.iter().map(|attempt| attempt.number).collect();
        (group.key, group.activation, numbers)
    });
    seen.collect()
}

fn put(store: &Store, key: Key, now: Timestamp, attempts: Vec<AttemptRecord>) {
    let mut commit = commit_at(key, now);
    commit.attempts = attempts;
    write(store, commit);
}

#[test]
fn attempts_are_found_newest_delivery_first_by_destination_message_and_profile() {
    let directory = directory();
    let store = open(&directory);
    let now = moment(TODAY, 100);
    put(&store, KEY, now, vec![attempt(5, moment(TODAY, 1), 1), attempt(6, moment(TODAY, 2), 1)]);
    put(&store, OTHER, now, vec![attempt(5, moment(TODAY, 2), 1), attempt(7, moment(TODAY, 2), 1)]);
    put(&store, KEY, now, vec![attempt(5, moment(TODAY, 1), 2)]);
    let nobody = AttemptRecord { profile: None, ..attempt(8, moment(TODAY, 3), 1) };
    put(&store, KEY, now, vec![nobody]);
    let of = |profile: u8, attempt| AttemptRecord { profile: Some(ProfileId([profile; 16])), ..attempt };
    put(&store, KEY, now, vec![of(2, attempt(3, moment(TODAY, 0), 1))]);
    put(&store, OTHER, now, vec![of(3, attempt(9, moment(TODAY, 4), 1))]);
    drop(store);
    let store = open(&directory);
    let one = (KEY, 5, vec![1, 2]);
    let workspace = KEY.workspace;
    let profiles =
        |ids: &[u8]| Sought::Profiles(workspace, ids.iter().map(|id| ProfileId([*id; 16])).collect());
    let message = |id: &str| Sought::Message(workspace, MessageId::parse(id).expect("an id"));
    let cases = [
        (
            "a destination",
            Sought::Destinations(vec![KEY]),
            vec![(KEY, 8, vec![1]), (KEY, 6, vec![1]), one.clone(), (KEY, 3, vec![1])],
        ),
        (
            "several",
            Sought::Destinations(vec![KEY, OTHER]),
            vec![
                (OTHER, 9, vec![1]),
                (KEY, 8, vec![1]),
                (OTHER, 7, vec![1]),
                (KEY, 6, vec![1]),
                (OTHER, 5, vec![1]),
                one.clone(),
                (KEY, 3, vec![1]),
            ],
        ),
        ("an event", message("m-5"), vec![(OTHER, 5, vec![1]), one.clone()]),
        ("no event", message("m-99"), vec![]),
        (
            "a profile",
            profiles(&[1]),
            vec![(OTHER, 7, vec![1]), (KEY, 6, vec![1]), (OTHER, 5, vec![1]), one.clone()],
        ),
        (
            "several profiles, in one order",
            profiles(&[3, 9, 1, 2]),
            vec![
                (OTHER, 9, vec![1]),
                (OTHER, 7, vec![1]),
                (KEY, 6, vec![1]),
                (OTHER, 5, vec![1]),
                one,
                (KEY, 3, vec![1]),
            ],
        ),
        ("no profile", profiles(&[]), vec![]),
        ("another workspace", Sought::Profiles(WorkspaceId(2), vec![ProfileId([1; 16])]), vec![]),
    ];
    for (name, sought, want) in cases {
        assert_eq!(found(&store, TODAY, &sought, all()), want, "{name}");
        assert!(found(&store, TODAY + 1, &sought, all()).is_empty(), "{name}, another day");
        // From every place on, a page shows what is behind it.
        let groups = store.attempts(TODAY, &sought, all()).expect("readable");
        let places: Vec<Place> = groups.map(|group| group.expect("readable").place()).collect();
        for (at, place) in places.iter().enumerate() {
            let before = found(&store, TODAY, &sought, all().start..*place);
            assert_eq!(before, want[at + 1..], "{name}, before {place:?}");
            let from = found(&store, TODAY, &sought, *place..all().end);
            assert_eq!(from, want[..=at], "{name}, from {place:?}");
        }
    }
}

#[test]
fn of_many_attempts_the_first_ones_and_the_newest_are_there() {
    let directory = directory();
    let store = open(&directory);
    for number in 1..=30 {
        put(&store, KEY, moment(TODAY, 100), vec![attempt(5, moment(TODAY, 1), number)]);
    }
    let want = (KEY, 5, (1..20).chain([30]).collect());
    assert_eq!(found(&store, TODAY, &Sought::Destinations(vec![KEY]), all()), [want]);
}

#[test]
fn what_was_exchanged_is_found_by_its_number() {
    let directory = directory();
    let store = open(&directory);
    let number = exchange_number(moment(TODAY, 5));
    let mut commit = commit_at(KEY, moment(TODAY, 9));
    commit.exchanges = vec![(number, exchange("a")), (number + 1, exchange("b"))];
    write(&store, commit);
    let of = |key, number| store.exchange(key, number).expect("readable");
    assert_eq!(of(KEY, number), Some(exchange("a")));
    assert_eq!(of(KEY, number + 1), Some(exchange("b")));
    assert_eq!((of(KEY, number + 2), of(OTHER, number)), (None, None));
    assert_eq!(of(KEY, exchange_number(moment(TODAY + 1, 5))), None, "a day without any");
}

#[test]
fn days_go_when_they_are_old_and_do_not_come_back() {
    let directory = directory();
    let store = open(&directory);
    let number = exchange_number(moment(TODAY, 5));
    let mut commit = commit_at(KEY, moment(TODAY, 9));
    commit.attempts = vec![attempt(5, moment(TODAY, 1), 1)];
    commit.exchanges = vec![(number, exchange("a"))];
    write(&store, commit);
    put(&store, KEY, moment(TODAY + 14, 0), vec![attempt(6, moment(TODAY + 14, 0), 1)]);
    assert_eq!(store.record_days(), [TODAY + 14, TODAY]);
    let late = AttemptRecord { at: moment(TODAY + 15, 7), ..attempt(5, moment(TODAY, 1), 2) };
    put(&store, KEY, moment(TODAY + 15, 8), vec![late]);
    drop(store);
    let store = open(&directory);
    assert_eq!(store.record_days(), [TODAY + 15, TODAY + 14]);
    assert_eq!(store.exchange(KEY, number).expect("readable"), None);
    let kept = found(&store, TODAY + 15, &Sought::Destinations(vec![KEY]), all());
    assert_eq!(kept, [(KEY, 5, vec![2])], "what is tried after weeks is in the day of the attempt");
}

#[test]
fn a_day_of_a_destination_has_a_limit_and_details_go_first() {
    let directory = directory();
    let mut store = open(&directory);
    let body = "x".repeat(1_000);
    let mut kept = (0, 0);
    for round in 0..200_u64 {
        let at = moment(TODAY, 1 + round as i64);
        let mut commit = commit_at(KEY, at);
        commit.attempts = vec![attempt(round, at, 1)];
        commit.exchanges = vec![(exchange_number(at), exchange(&body))];
        write(&store, commit);
        if round == 30 {
            // What was used is known after a restart.
            drop(store);
            store = open(&directory);
        }
        kept.0 += u64::from(store.exchange(KEY, exchange_number(at)).expect("readable").is_some());
    }
    kept.1 = found(&store, TODAY, &Sought::Destinations(vec![KEY]), all()).len();
    // 64 KiB: 48 KiB before details go, the rest for attempts of about 190 bytes.
    assert!((30..45).contains(&kept.0), "{kept:?}");
    assert!((80..160).contains(&kept.1), "{kept:?}");
    let at = moment(TODAY, 1);
    put(&store, OTHER, at, vec![attempt(1, at, 1)]);
    assert_eq!(found(&store, TODAY, &Sought::Destinations(vec![OTHER]), all()).len(), 1, "each its own");
    put(&store, KEY, at, vec![attempt(1, moment(TODAY + 1, 0), 1)]);
    assert_eq!(found(&store, TODAY + 1, &Sought::Destinations(vec![KEY]), all()).len(), 1, "each day anew");
}
