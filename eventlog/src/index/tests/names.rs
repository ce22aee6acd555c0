//! The name index: each event once, whatever is written when, and after every crash.

use super::*;
use proptest::prelude::*;

/// What a test does with the indexes.
#[derive(Debug, Clone)]
enum Step {
    /// Records so many further events.
    Record(u8),
    /// Writes up to so many events before the last one recorded.
    Flush(u8),
    /// Writes the same, but is cut short before the watermark is stored.
    Cut(u8),
    /// Opens the indexes again, and records what is not below the watermark.
    Reopen,
    /// Records again what was recorded before, from so many events before the last.
    Again(u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20u8).prop_map(Step::Record),
        2 => (0..8u8).prop_map(Step::Flush),
        1 => (0..8u8).prop_map(Step::Cut),
        1 => Just(Step::Reopen),
        1 => (1..40u8).prop_map(Step::Again),
    ]
}

/// Three names of two kinds, over three days.
fn record(indexes: &Indexes, sequence: u64) {
    let (kind, name) = called(sequence);
    indexes.record_name(WorkspaceId(1), kind, name, &fragment(sequence), entry(sequence));
}

fn called(sequence: u64) -> (EventKind, Option<&'static str>) {
    match sequence % 4 {
        0 => (EventKind::Track, Some("Order Completed")),
        1 | 2 => (EventKind::Track, Some("App Opened")),
        _ => (EventKind::Identify, None),
    }
}

fn fragment(sequence: u64) -> [u8; 16] {
    [u8::try_from(sequence % 5).expect("small"); 16]
}

fn entry(sequence: u64) -> IndexedEvent {
    let received = i64::try_from(sequence).expect("small") * DAY / 40;
    let late = i64::try_from(sequence % 7).expect("small") * DAY / 5;
    IndexedEvent {
        event_time: Timestamp::from_micros(received - late),
        sequence,
        frame: sequence,
        received_at: Timestamp::from_micros(received),
    }
}

fn query(kind: EventKind, name: Option<&str>) -> NameQuery<'_> {
    NameQuery {
        workspace: WorkspaceId(1),
        kind,
        name,
        start: Timestamp::MIN,
        end: Timestamp::from_micros(i64::MAX),
        first_sequence: 0,
        before: u64::MAX,
    }
}

fn found(indexes: &Indexes, query: &NameQuery<'_>) -> Vec<NamedEvent> {
    let mut found = Vec::new();
    indexes.names(query, &mut |event| found.push(event)).expect("readable");
    found.sort_by_key(|event| event.sequence);
    found
}

fn expected(end: u64, query: &NameQuery<'_>) -> Vec<NamedEvent> {
    (0..end)
        .filter(|sequence| {
            let (kind, name) = called(*sequence);
            kind == query.kind && (query.name.is_none() || query.name == name)
        })
        .map(|sequence| {
            let fragment = short_fragment(&fragment(sequence));
            NamedEvent { fragment, event_time: entry(sequence).event_time, sequence }
        })
        .filter(|event| {
            (query.first_sequence..query.before).contains(&event.sequence)
                && (query.start..=query.end).contains(&event.event_time)
        })
        .collect()
}

fn check(indexes: &Indexes, end: u64) -> Result<(), TestCaseError> {
    let half = entry(end / 2).event_time;
    let queries = [
        query(EventKind::Track, Some("Order Completed")),
        query(EventKind::Track, Some("App Opened")),
        query(EventKind::Track, None),
        query(EventKind::Identify, None),
        NameQuery { start: half, ..query(EventKind::Track, None) },
        NameQuery { end: half, ..query(EventKind::Track, Some("App Opened")) },
        NameQuery { first_sequence: end / 3, before: end / 2, ..query(EventKind::Track, None) },
    ];
    for query in queries {
        prop_assert_eq!(found(indexes, &query), expected(end, &query), "{:?}", query);
    }
    prop_assert_eq!(found(indexes, &query(EventKind::Page, None)), []);
    prop_assert_eq!(found(indexes, &query(EventKind::Track, Some("Other"))), []);
    let other = NameQuery { workspace: WorkspaceId(2), ..query(EventKind::Track, None) };
    prop_assert_eq!(found(indexes, &other), []);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn each_event_is_found_once(steps in prop::collection::vec(step(), 1..25)) {
        let dir = TempDir::new().expect("a temporary directory");
        let mut indexes = open(&dir);
        let mut end = 0;
        for step in steps {
            match step {
                Step::Record(more) => {
                    (end..end + u64::from(more)).for_each(|sequence| record(&indexes, sequence));
                    end += u64::from(more);
                }
                Step::Flush(less) => indexes.flush(end.saturating_sub(less.into())).expect("writable"),
                Step::Cut(less) => {
                    let watermark = end.saturating_sub(less.into());
                    indexes.names.write(watermark, &indexes.meta).expect("writable");
                }
                Step::Reopen => {
                    drop(indexes);
                    indexes = open(&dir);
                    prop_assert_eq!(indexes.names_covered_from(), 0);
                    // Nothing of what was above the watermark is left.
                    check(&indexes, indexes.watermark())?;
                    (indexes.watermark()..end).for_each(|sequence| record(&indexes, sequence));
                }
                Step::Again(back) => {
                    (end.saturating_sub(back.into())..end).for_each(|sequence| record(&indexes, sequence));
                }
            }
            check(&indexes, end)?;
        }
    }
}

#[test]
fn what_an_older_version_indexed_is_not_covered() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    (0..10).for_each(|sequence| indexes.record_event(WorkspaceId(1), [1; 16], event(sequence, 5)));
    indexes.flush(10).expect("writable");
    // As if this version had never been here.
    indexes.meta.forget_names_covered_from().expect("writable");
    drop(indexes);
    for _ in 0..2 {
        let indexes = open(&dir);
        assert_eq!(indexes.names_covered_from(), 10);
        indexes.flush(20).expect("writable");
    }
}

#[test]
fn days_of_names_go_with_the_log() {
    let dir = TempDir::new().expect("a temporary directory");
    let indexes = open(&dir);
    (0..120).for_each(|sequence| record(&indexes, sequence));
    indexes.flush(120).expect("writable");
    assert_eq!(indexes.names.days(), 3);
    indexes.expire(Timestamp::from_micros(3 * DAY), 40, Timestamp::MIN).expect("writable");
    assert_eq!(indexes.names.days(), 2);
    let first = found(&indexes, &query(EventKind::Track, None)).first().map(|event| event.sequence);
    assert_eq!(first, Some(40));
}
