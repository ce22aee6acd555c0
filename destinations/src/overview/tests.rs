//! Overviews of a store on disk.

use super::*;
use crate::store::tests::{DAY, KEY, OTHER, TODAY, commit_at, directory, moment, open, write};
use tempfile::TempDir;

/// Counts of today and yesterday: ten deliveries in each hour of today, and one that a replay sent again; a failed one in
/// the first hour of yesterday.
fn store() -> (TempDir, Store) {
    let directory = directory();
    let store = open(&directory);
    let mut commit = commit_at(KEY, moment(TODAY, 0));
    let failed = moment(TODAY - 1, 600);
    commit.counts.received(failed, 1);
    commit.counts.mapped(failed, 1);
    commit.counts.failed(failed, Reason::Timeout);
    commit.counts.dead(failed, Reason::Timeout);
    commit.counts.ended(failed, Outcome::DeadLetter, 1);
    for hour in 0..24 {
        let at = moment(TODAY, hour * 3_600 + 90);
        commit.counts.received(at, 10);
        commit.counts.mapped(at, 8);
        commit.counts.ended(at, Outcome::FilteredByConsent, 2);
        commit.counts.ended(at, Outcome::Delivered, 8);
        commit.counts.replayed(at, Outcome::Skipped, 1);
        (1..=8).for_each(|tenth| commit.counts.delivered_after(at, tenth * 100_000));
    }
    write(&store, commit);
    (directory, store)
}

fn of(store: &Store, from: Timestamp, until: Timestamp, step: Step) -> Overview {
    overview(store, KEY, (from, until), step, moment(TODAY + 1, 0)).expect("readable")
}

#[test]
fn totals_series_and_the_time_before() {
    let (_directory, store) = store();
    let seen = of(&store, moment(TODAY, 0), moment(TODAY + 1, 0), Step::Hour);
    assert_eq!((seen.from, seen.until), (moment(TODAY, 0), moment(TODAY + 1, 0)));
    assert_eq!((seen.totals.received, seen.totals.mapped), (240, 192));
    assert_eq!((seen.totals.filtered(), seen.totals.delivered()), (48, 192));
    assert!(seen.totals.failed.is_empty());
    assert_eq!(seen.totals.replayed, [(Outcome::Skipped, 24)].into());
    assert_eq!(seen.totals.ended.values().sum::<u64>(), 240, "replays are not among them");
    let latency = seen.totals.latency.expect("some were delivered");
    for (got, want) in [(latency.p50_ms, 400.0), (latency.p95_ms, 800.0), (latency.p99_ms, 800.0)] {
        assert!((got - want).abs() <= want / 16.0, "{got} instead of {want}");
    }
    assert_eq!(seen.series.len(), 24);
    for (hour, (at, flow)) in (0..).zip(&seen.series) {
        assert_eq!((*at, flow.received), (moment(TODAY, hour * 3_600), 10));
        assert_eq!(flow.replayed, [(Outcome::Skipped, 1)].into());
    }
    let before = seen.previous.expect("it is kept");
    assert_eq!((before.received, before.dead_letters), (1, [(Reason::Timeout, 1)].into()));
    assert_eq!((before.failed, before.latency), ([(Reason::Timeout, 1)].into(), None));
    assert!(before.replayed.is_empty());
    let nobody =
        overview(&store, OTHER, (moment(TODAY, 0), moment(TODAY, 60)), Step::Minute, moment(TODAY, 0));
    assert_eq!(nobody.expect("readable").totals, Flow::default());
}

#[test]
fn points_begin_at_whole_steps_and_are_never_too_many() {
    let (_directory, store) = store();
    let (start, day) = (moment(TODAY, 90 * 60), |days: i64| Timestamp::from_micros((TODAY + days) * DAY));
    let cases = [
        ("minutes", start, moment(TODAY, 95 * 60), Step::Minute, Step::Minute, 5, start),
        ("a begun minute", start, moment(TODAY, 95 * 60 + 1), Step::Minute, Step::Minute, 6, start),
        ("begun hours", start, moment(TODAY, 125 * 60), Step::Hour, Step::Hour, 2, moment(TODAY, 3_600)),
        ("a day of minutes", day(0), day(1), Step::Minute, Step::Minute, 1_440, day(0)),
        ("a week of minutes", day(-6), day(1), Step::Minute, Step::Hour, 168, day(-6)),
        ("a year", day(-364), day(1), Step::Hour, Step::Hour, 720, day(-29)),
        ("a month of days", day(-29), day(1), Step::Day, Step::Day, 30, day(-29)),
        ("nothing", start, start, Step::Minute, Step::Minute, 1, moment(TODAY, 89 * 60)),
        ("backwards", day(1), start, Step::Day, Step::Day, 1, day(0)),
    ];
    for (name, from, until, asked, step, points, first) in cases {
        let seen = of(&store, from, until, asked);
        assert_eq!((seen.step, seen.series.len(), seen.series[0].0), (step, points, first), "{name}");
        let sum: u64 = seen.series.iter().map(|(_, flow)| flow.received).sum();
        assert_eq!(sum, seen.totals.received, "{name}");
    }
}

#[test]
fn what_is_not_kept_is_not_compared_with() {
    let (_directory, store) = store();
    let day = |days: i64| moment(TODAY + days, 0);
    for (days, is_kept) in [(1, true), (14, true), (15, true), (16, false), (30, false)] {
        let seen = of(&store, day(1 - days), day(1), Step::Day);
        assert_eq!(seen.previous.is_some(), is_kept, "{days} days");
    }
    let epoch =
        overview(&store, KEY, (Timestamp::MIN, Timestamp::default()), Step::Day, Timestamp::default());
    assert_eq!(epoch.expect("readable").totals, Flow::default());
    let end = Timestamp::from_micros(i64::MAX);
    let far = overview(&store, KEY, (Timestamp::MIN, end), Step::Minute, end).expect("readable");
    assert_eq!((far.step, far.totals.received), (Step::Hour, 0));
}
