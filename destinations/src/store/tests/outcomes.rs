//! How deliveries ended, against a map that keeps everything.

use super::*;

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Delivered,
        Outcome::DeadLetter,
        Outcome::Skipped,
        Outcome::Filtered,
        Outcome::FilteredByConsent,
    ])
}

/// What is said in one commit: of runs of deliveries, near the bounds of blocks more often than elsewhere.
fn endings() -> impl Strategy<Value = Vec<(u64, u64, Outcome)>> {
    let start = prop_oneof![0..40_u64, 4_080..4_110_u64, 8_180..8_200_u64, 0..20_000_u64];
    prop::collection::vec((start, 1..30_u64, outcome()), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_newest_that_was_said_counts(
        commits in prop::collection::vec((any::<bool>(), -2..5_i64, endings()), 1..10),
        restart in 0..10_usize,
        ranges in prop::collection::vec((0..21_000_u64, 0..9_000_u64), 1..5),
    ) {
        let directory = directory();
        let mut store = open(&directory);
        let mut said: BTreeMap<(Key, u64), Outcome> = BTreeMap::new();
        for (number, (is_other, day, endings)) in commits.into_iter().enumerate() {
            let key = if is_other { OTHER } else { KEY };
            // The clock may be set back.
            let mut commit = commit_at(key, moment(TODAY + day, 0));
            for (start, length, outcome) in endings {
                for activation in start..start + length {
                    commit.endings.push(Ending { activation, outcome });
                    said.insert((key, activation), outcome);
                }
            }
            write(&store, commit);
            if number == restart {
                drop(store);
                store = open(&directory);
            }
        }
        for (start, length) in ranges {
            for key in [KEY, OTHER] {
                let want: BTreeMap<u64, Outcome> = said
                    .range((key, start)..(key, start + length))
                    .map(|((_, activation), outcome)| (*activation, *outcome))
                    .collect();
                let got = store.outcomes(key, start..start + length).expect("readable");
                prop_assert_eq!(got, want, "{}..{}", start, start + length);
                let one = store.outcome_of(key, start).expect("readable");
                prop_assert_eq!(one, said.get(&(key, start)).copied());
                for outcome in [Outcome::DeadLetter, Outcome::Skipped] {
                    let first = store.first_ended(key, start..start + length, outcome).expect("readable");
                    let want = said.range((key, start)..(key, start + length));
                    let want = want.filter(|(_, said)| **said == outcome).map(|((_, first), _)| *first).next();
                    prop_assert_eq!(first, want, "{}..{}", start, start + length);
                }
            }
        }
        let mut books = store.books();
        for ((key, activation), outcome) in said.iter().step_by(7) {
            prop_assert_eq!(store.outcome_of(*key, *activation).expect("readable"), Some(*outcome));
            for activation in [*activation, activation + 40] {
                let (_, told) = books.of(*key, activation).expect("readable");
                prop_assert_eq!(told, said.get(&(*key, activation)).copied());
            }
        }
    }
}

#[test]
fn what_is_said_in_one_batch_is_in_order() {
    let directory = directory();
    let store = open(&directory);
    let said = |outcome| {
        let mut commit = commit_at(KEY, moment(TODAY, 0));
        commit.endings = vec![Ending { activation: 7, outcome }];
        commit
    };
    wait(async {
        let (first, second) =
            tokio::join!(store.commit(said(Outcome::DeadLetter)), store.commit(said(Outcome::Delivered)));
        first.and(second).expect("writable");
    });
    assert_eq!(store.outcome_of(KEY, 7).expect("readable"), Some(Outcome::Delivered));
}

#[test]
fn books_tell_what_is_stored_now() {
    let directory = directory();
    let store = open(&directory);
    let mut books = store.books();
    let (state, said) = books.of(KEY, 7).expect("readable");
    assert_eq!((state, said), (None, None));
    for (taken, outcome) in (1..).zip([Outcome::DeadLetter, Outcome::Delivered]) {
        let mut commit = commit_at(KEY, moment(TODAY, 0));
        commit.state.totals.taken = taken;
        commit.endings = vec![Ending { activation: 7, outcome }];
        write(&store, commit);
        // More blocks than are held.
        for block in (0..100).rev() {
            let (state, said) = books.of(KEY, block * 4_096 + 7).expect("readable");
            let want = (block == 0).then_some(outcome);
            assert_eq!((state.map(|state| state.totals.taken), said), (Some(taken), want), "block {block}");
        }
    }
}

#[test]
fn days_are_kept_as_long_as_attempts_at_least() {
    let directory = directory();
    let db = Database::builder(directory.path()).worker_threads(2).open().expect("a database");
    let store = Store::open(db, 14, 3, 64 << 10).expect("a store");
    assert_eq!(store.outcomes_told_from(moment(TODAY, 5)), TODAY - 14);
    let mut commit = commit_at(KEY, moment(TODAY + 2, 0));
    commit.endings = vec![Ending { activation: 1, outcome: Outcome::Skipped }];
    write(&store, commit);
    assert_eq!(store.outcomes_told_from(moment(TODAY, 5)), TODAY - 12, "what is written knows the day");
}

#[test]
fn it_is_kept_for_as_many_days_as_was_said() {
    let directory = directory();
    let store = open(&directory);
    for (day, activation) in [(0, 1), (1, 2), (31, 3)] {
        let mut commit = commit_at(KEY, moment(TODAY + day, 0));
        commit.endings = vec![Ending { activation, outcome: Outcome::Skipped }];
        write(&store, commit);
    }
    let said =
        |store: &Store| -> Vec<u64> { store.outcomes(KEY, 0..100).expect("readable").into_keys().collect() };
    assert_eq!(said(&store), [1, 2, 3]);
    write(&store, commit_at(KEY, moment(TODAY + 32, 0)));
    drop(store);
    assert_eq!(said(&open(&directory)), [2, 3], "dropped with its day");
}
