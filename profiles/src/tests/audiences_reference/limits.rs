//! Over the limits: a thousand single events of a kind are kept, and of those before, how many there were in each minute.
//!
//! So a count is exact where the edge of its window lies between two minutes or among the single events, and says that
//! it is not where the edge cuts a minute. Values of events are known as long as those are kept singly, and a thousand
//! different ones where there is no window.

use super::people::ONE;
use super::windows::track;
use super::writer::version;
use super::*;
use crate::codec::Checkpoint;
use crate::store::MemoryStore;
use tributary_model::AudienceId;
use tributary_model::catalog::{Computed, Facts, Verdict};

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const WINDOW: i64 = 30 * 24 * 60 * MINUTE;

/// More by two hundred than are kept singly.
const EVENTS: i64 = 1200;

/// The minute in which the events begin.
fn base() -> Timestamp {
    Timestamp::from_micros(START.as_micros().div_euclid(MINUTE) * MINUTE)
}

/// Three in each minute: 10, 30 and 50 seconds after it begins.
fn time_of(number: i64) -> Timestamp {
    base().plus_micros(10 * SECOND + number * 20 * SECOND)
}

struct Run {
    driver: Driver,
    _directory: tempfile::TempDir,
}

impl Run {
    /// One person's events, each with another value.
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, log) = (Arc::new(MemoryStore::default()), Arc::new(MemoryLog::new()));
        let indexes = open_indexes(directory.path());
        let mut driver = Driver::new(store, indexes, log, Checkpoint::default());
        let mut workspace = testing::workspace();
        let definitions = [
            r#"count(event("A") within 30d)"#,
            r#"unique_count(event("A").properties.total within 30d)"#,
            r#"count(event("A"))"#,
            r#"unique_count(event("A").properties.total)"#,
        ];
        for (id, (key, definition)) in
            (1..).zip(["count", "unique", "all", "all_unique"].into_iter().zip(definitions))
        {
            workspace.computed_traits.push(testing::computed(id, key, definition));
        }
        let many = r#"count(event("A") within 30d) >= 1139"#;
        workspace.audiences.push(testing::audience(1, "many", many));
        driver.write(&version(&workspace, base()));
        for number in 0..EVENTS {
            driver.write(&track(time_of(number), "u1", "A", number));
        }
        Self { driver, _directory: directory }
    }

    /// The computed traits with the window's edge at this time, and whether the person is among the many.
    fn at_edge(&self, edge: Timestamp) -> (BTreeMap<String, Computed>, Verdict) {
        let now = edge.plus_micros(WINDOW);
        let reader = &self.driver.reader;
        let view = reader.find(ONE, "user_id", "u1").expect("readable").expect("known").view;
        let computed = view.computed(now).into_iter().map(|(plan, computed)| (plan.key.clone(), computed));
        let computed = computed.collect();
        let catalog = reader.catalog(ONE).expect("readable");
        let facts = Facts { person: &*view, accounts: &[], now };
        (computed, catalog.audiences()[0].evaluate(&facts))
    }
}

fn number(computed: &Computed) -> i64 {
    computed.json.as_deref().expect("a count is never missing").parse().expect("a whole number")
}

/// How many events are younger than the edge.
fn exact(edge: Timestamp) -> i64 {
    (0..EVENTS).filter(|number| time_of(*number) > edge).count() as i64
}

#[test]
fn over_a_thousand_events_counts_are_exact_between_minutes() {
    let run = Run::new();
    let after = |minute: i64, seconds: i64| base().plus_micros(minute * MINUTE + seconds * SECOND);
    let cases = [
        ("nothing has left", after(-10, 0), true, false),
        ("between two minutes", after(20, 0).plus_micros(-1), true, false),
        ("among single events", after(100, 20), true, true),
        ("between the last two", after(399, 40), true, true),
        ("everything has left", after(500, 0), true, true),
        ("within a minute", after(20, 20), false, false),
    ];
    for (name, edge, is_exact, knows_values) in cases {
        let (computed, many) = run.at_edge(edge);
        let count = &computed["count"];
        assert_eq!(count.is_approximate, !is_exact, "{name}");
        let off = (number(count) - exact(edge)).abs();
        assert!(off == 0 || !is_exact && off <= 3, "{name}: {off}");
        let unique = &computed["unique"];
        assert_eq!(unique.is_approximate, !knows_values, "{name}");
        assert!(!knows_values || number(unique) == exact(edge), "{name}");

        assert_eq!(many.is_approximate, !is_exact, "{name}");
        assert!(!is_exact || many.is_true == (exact(edge) >= 1139), "{name}");
        assert_eq!((number(&computed["all"]), computed["all"].is_approximate), (EVENTS, false), "{name}");
        assert!(computed["all_unique"].is_approximate, "{name}");
    }
    let members = run.driver.reader.members(ONE, AudienceId(1), None, 10).expect("readable");
    assert_eq!(members.len(), 1, "all events are within the window now");
}
