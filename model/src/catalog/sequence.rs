//! Sequences of events.

use super::plan::{Person, PlanStep, Verdict};
use crate::condition::Span;
use crate::time::Timestamp;
use crate::trail::{Mark, Trail};

/// Whether a person's events came one after the other.
///
/// Goes from the last step to the first: for each event of a step, the earliest event of the next one that completes
/// the sequence is the one that is nearest in time and has the least between.
pub(super) fn sequence(
    first: u32,
    steps: &[PlanStep<u32>],
    within: Option<Span>,
    person: &dyn Person,
    now: Timestamp,
) -> Verdict {
    let none = Trail::default();
    let mut is_approximate = false;
    let mut marks = |keeper: u32| -> Vec<Mark> {
        let trail = person.trail(keeper).unwrap_or(&none);
        let buried = match within {
            Some(span) => trail.buckets_within(span.micros(), now).total.count > 0,
            None => !trail.buckets.is_empty() || trail.lost.is_some(),
        };
        is_approximate |= buried;
        match within {
            Some(span) => trail.marks_within(span.micros(), now).to_vec(),
            None => trail.marks.clone(),
        }
    };
    let mut later: Option<Vec<Mark>> = None;
    for (at, step) in steps.iter().enumerate().rev() {
        let good = later.unwrap_or_else(|| marks(step.event));
        let earlier = marks(if at == 0 { first } else { steps[at - 1].event });
        let between = step.without.map(&mut marks).unwrap_or_default();
        later = Some(leading_to(earlier, &good, step.within, &between));
    }
    let last = later.as_deref().and_then(<[Mark]>::last);
    let due = last.zip(within).map(|(mark, span)| mark.at.plus_micros(span.micros()));
    Verdict { is_true: last.is_some(), due, is_approximate }
}

/// Those of `earlier` that an event of `good` follows, soon enough and with none of `between` between.
fn leading_to(earlier: Vec<Mark>, good: &[Mark], within: Option<Span>, between: &[Mark]) -> Vec<Mark> {
    let order = |mark: &Mark| (mark.at, mark.tie);
    let leads = |mark: &Mark| {
        let next = good.get(good.partition_point(|other| order(other) <= order(mark)))?;
        let is_soon = within.is_none_or(|span| next.at.micros_since(mark.at) <= span.micros());
        let first_between = between.get(between.partition_point(|other| order(other) <= order(mark)));
        let is_free = first_between.is_none_or(|other| order(other) >= order(next));
        (is_soon && is_free).then_some(())
    };
    earlier.into_iter().filter(|mark| leads(mark).is_some()).collect()
}
