//! Trails are commutative merges, up to their limits and beyond.

use super::*;
use proptest::prelude::*;

fn mark(millis: i64, tie: u64, value: Option<&str>) -> Mark {
    Mark { at: Timestamp::from_millis(millis), tie, value: value.map(Into::into) }
}

fn folded(keep: &Keep, marks: &[Mark], log_time: Timestamp) -> Trail {
    let mut trail = Trail::default();
    for mark in marks {
        trail.fold(keep, mark.clone(), true, log_time);
    }
    trail
}

fn span(text: &str) -> Span {
    text.parse().expect("a span")
}

fn keeps() -> impl Strategy<Value = Keep> {
    prop::sample::select(vec![Keep::Totals, Keep::Values, Keep::Marks(None), Keep::Marks(Some(span("1h")))])
}

/// Marks of distinct events, few values and close times.
fn marks() -> impl Strategy<Value = Vec<Mark>> {
    prop::collection::vec((0i64..7_200, prop::option::of(0u8..8)), 0..40).prop_map(|marks| {
        let mark = |(tie, (seconds, value)): (usize, (i64, Option<u8>))| {
            let value =
                value.map(|value| if value > 5 { format!("\"v{value}\"") } else { value.to_string() });
            mark(seconds * 1000, tie as u64, value.as_deref())
        };
        marks.into_iter().enumerate().map(mark).collect()
    })
}

proptest! {
    #[test]
    fn neither_order_nor_fragments_make_a_difference(
        keep in keeps(),
        marks in marks(),
        cut in 0usize..40,
        turn in 0usize..40,
    ) {
        let now = Timestamp::from_millis(7_200_000);
        let whole = folded(&keep, &marks, now);
        let mut turned = marks.clone();
        if !turned.is_empty() {
            let by = turn % turned.len();
            turned.rotate_left(by);
        }
        prop_assert_eq!(&folded(&keep, &turned, now), &whole);
        let (one, other) = turned.split_at(cut.min(turned.len()));
        let mut merged = folded(&keep, other, now);
        merged.merge(&folded(&keep, one, now));
        prop_assert_eq!(&merged, &whole);
        // An event that comes later is folded into one fragment, and into the merge that is kept beside it.
        if let Some((last, before)) = turned.split_last() {
            let mut beside = folded(&keep, before, now);
            beside.fold_merged(&keep, last.clone(), true, now);
            prop_assert_eq!(&beside, &whole);
        }
    }

    #[test]
    fn windows_hold_what_is_less_than_so_long_ago(marks in marks(), now in 0i64..10_800, seconds in 1i64..7_200) {
        let trail = folded(&Keep::Marks(None), &marks, Timestamp::default());
        let now = Timestamp::from_millis(now * 1000);
        let micros = seconds * 1_000_000;
        let mut want: Vec<Mark> = marks.into_iter().filter(|mark| now.micros_since(mark.at) < micros).collect();
        want.sort();
        prop_assert_eq!(trail.marks_within(micros, now), want.as_slice());
        prop_assert_eq!(trail.buckets_within(micros, now), Buried::default());
    }
}

/// So many events, one a second, shuffled by a fixed step.
fn many(count: usize) -> Vec<Mark> {
    (0..count).map(|at| (at * 7919) % count).map(|at| mark(at as i64 * 1000, at as u64, Some("2"))).collect()
}

#[test]
fn beyond_the_limit_minutes_are_kept_whatever_the_order() {
    let count = 2 * MARKS_MAX + 500;
    let marks = many(count);
    let now = Timestamp::from_millis(count as i64 * 1000);
    let trail = folded(&Keep::Marks(None), &marks, now);
    let mut reversed = marks.clone();
    reversed.reverse();
    assert_eq!(folded(&Keep::Marks(None), &reversed, now), trail);
    assert_eq!(trail.marks.len(), MARKS_MAX);
    let buried: u64 = trail.buckets.values().map(|bucket| bucket.count).sum();
    assert_eq!(buried as usize, count - MARKS_MAX);
    // A window that ends where a minute begins is exact, one that cuts a minute says so.
    let minutes = trail.buckets_within(count as i64 * 1_000_000, now);
    assert_eq!(
        (minutes.total.count as usize, minutes.total.sum),
        (count - MARKS_MAX, Number::whole(2 * 1500))
    );
    assert!(trail.buckets_within((count as i64 - 90) * 1_000_000, now).is_approximate);
    assert_eq!(trail.buckets_within(500_000_000, now), Buried::default());
    assert_eq!(trail.lost, None);
}

#[test]
fn making_room_is_told() {
    let mut trail = Trail::default();
    let now = Timestamp::default();
    let cuts: Vec<bool> = (0..MARKS_MAX as i64 + 2)
        .map(|at| trail.fold(&Keep::Marks(None), mark(at, 0, None), false, now))
        .collect();
    assert_eq!(cuts.iter().filter(|cut| **cut).count(), 2);
    assert!(!cuts[MARKS_MAX - 1] && cuts[MARKS_MAX]);
}

#[test]
fn too_many_values_keep_the_first_by_their_texts() {
    let values: Vec<String> = (0..VALUES_MAX + 10).map(|at| format!("\"{at:05}\"")).collect();
    let marks: Vec<Mark> = values.iter().rev().map(|value| mark(0, 0, Some(value))).collect();
    let trail = folded(&Keep::Values, &marks, Timestamp::default());
    assert!(trail.is_values_cut && trail.values.len() == VALUES_MAX && trail.count == marks.len() as u64);
    assert!(
        trail.values.contains_key("\"00000\"")
            && !trail.values.contains_key(values.last().expect("some").as_str())
    );
}

#[test]
fn minutes_beyond_their_limit_are_lost_and_that_is_told() {
    let count = MARKS_MAX + BUCKETS_MAX + 10;
    let marks: Vec<Mark> = (0..count).map(|at| mark(at as i64 * 60_000, 0, None)).collect();
    let trail = folded(&Keep::Marks(None), &marks, Timestamp::default());
    assert_eq!(trail.buckets.len(), BUCKETS_MAX);
    assert_eq!(trail.lost, Some(Timestamp::from_millis(10 * 60_000)));
    let now = Timestamp::from_millis(count as i64 * 60_000);
    assert!(trail.buckets_within(count as i64 * 60_000_000, now).is_approximate);
}
