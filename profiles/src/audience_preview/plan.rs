//! What the indexes say of a condition: a walk over its tree, with sets of profiles.
//!
//! What they can't say of a profile stays open ([`Sides`]), but no more than that: of a count of events with a condition
//! about them, how many there are without it is the most that there can be; a sequence needs an event of each of its
//! names; and nobody's sum is over events that nobody had.

use super::operand::{Constant, Source, count, of_none};
use crate::columns::{Lookup, Sides, Table, TraitColumn};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;
use std::ops::Range;
use tributary_eventlog::index::{IndexError, Indexes, NameQuery};
use tributary_model::catalog::Defined;
use tributary_model::condition::compare::{RightValue, compare};
use tributary_model::condition::{
    Aggregate, Comparison, Condition, Datum, EventPattern, FieldPath, Function, Operator, Right, Sequence,
    Window,
};
use tributary_model::{Timestamp, WorkspaceId};

/// Of a count with a condition about events, so many possible counts are tried.
const COUNTS_TRIED_MAX: u32 = 10_000;

/// Asks the indexes as of one checkpoint.
pub(super) struct Planner<'a> {
    pub(super) table: &'a Table,
    pub(super) defined: &'a Defined,
    pub(super) indexes: &'a Indexes,
    pub(super) workspace: WorkspaceId,
    pub(super) now: Timestamp,
    /// The events that count.
    pub(super) positions: Range<u64>,
    /// Whether the name index knows every event that the audience would know.
    pub(super) counts: bool,
}

impl Planner<'_> {
    /// For whom a condition holds, and for whom it may.
    ///
    /// # Errors
    /// If the name index can't be read.
    pub(super) fn sides(&self, condition: &Condition) -> Result<Sides, IndexError> {
        Ok(match condition {
            Condition::All(conditions) => {
                let mut all = Sides::exactly(self.table.live().clone());
                for condition in conditions {
                    if all.may.is_empty() {
                        break;
                    }
                    all = all.and(&self.sides(condition)?);
                }
                all
            }
            Condition::Any(conditions) => {
                let mut any = Sides::nobody();
                for condition in conditions {
                    any = any.or(&self.sides(condition)?);
                }
                any
            }
            Condition::Not(condition) => self.sides(condition)?.not(self.table.live()),
            Condition::Compare(comparison) => self.comparison(comparison)?,
            Condition::Performed(pattern) => self.performed(pattern)?,
            Condition::Sequence(sequence) => self.sequence(sequence)?,
            Condition::Audience(key) => self.audience(key)?,
            Condition::Account(_) => self.open(),
            // Without an account around it, it holds of nobody.
            Condition::Members(_) => Sides::nobody(),
        })
    }

    /// Nothing is known.
    fn open(&self) -> Sides {
        Sides::perhaps(self.table.live().clone())
    }

    fn audience(&self, key: &str) -> Result<Sides, IndexError> {
        // That it is there, and that none names itself, was checked when the condition was compiled.
        let Some(audience) = self.defined.audiences.iter().find(|audience| audience.key == key) else {
            return Ok(Sides::nobody());
        };
        let sides = self.sides(&audience.definition)?;
        Ok(if audience.include_anonymous {
            sides
        } else {
            sides.and(&Sides::exactly(self.table.known().clone()))
        })
    }

    fn comparison(&self, comparison: &Comparison) -> Result<Sides, IndexError> {
        let Comparison { left, operator, right } = comparison;
        let Some(left) = Source::of(left, self.defined) else { return Ok(self.open()) };
        if let Right::Operand(right) = right {
            return Ok(match (left, Source::of(right, self.defined)) {
                (Source::Trait(left), Some(Source::Trait(right))) => self.of_traits(left, *operator, right),
                _ => self.open(),
            });
        }
        let Some(constant) = Constant::of(*operator, right) else { return Ok(self.open()) };
        match left {
            Source::Trait(path) => Ok(self.of_trait(path, *operator, &constant)),
            Source::Measure(aggregate) => self.of_measure(aggregate, *operator, &constant),
        }
    }

    fn of_trait(&self, path: &FieldPath, operator: Operator, constant: &Constant) -> Sides {
        let holds = |datum: &Datum| constant.compares(datum, operator, self.now);
        let of_missing = holds(&Datum::Null);
        let live = self.table.live();
        match self.table.values(path.head()) {
            Lookup::Column(column) => {
                column.sides(live, of_missing, |json| holds(&Datum::at(json, path.rest())))
            }
            Lookup::Nothing if of_missing => Sides::exactly(live.clone()),
            Lookup::Nothing => Sides::nobody(),
            Lookup::Unknown => self.open(),
        }
    }

    fn of_traits(&self, left: &FieldPath, operator: Operator, right: &FieldPath) -> Sides {
        let none = TraitColumn::default();
        let column = |path: &FieldPath| match self.table.values(path.head()) {
            Lookup::Column(column) => Some(column),
            Lookup::Nothing => Some(&none),
            Lookup::Unknown => None,
        };
        let value = |json: Option<&str>, path: &FieldPath| {
            json.map_or(Datum::Null, |json| Datum::at(json, path.rest()))
        };
        match (column(left), column(right)) {
            (Some(of_left), Some(of_right)) => {
                of_left.sides_with(of_right, self.table.live(), |one, other| {
                    let other = value(other, right);
                    compare(&value(one, left), operator, &RightValue::One(&other), self.now)
                })
            }
            _ => self.open(),
        }
    }

    fn of_measure(
        &self,
        aggregate: &Aggregate,
        operator: Operator,
        constant: &Constant,
    ) -> Result<Sides, IndexError> {
        let Aggregate { function, of, .. } = aggregate;
        let Some(tally) = self.tally(of, &of.window)? else { return Ok(self.open()) };
        let live = self.table.live();
        let holds = |datum: &Datum| constant.compares(datum, operator, self.now);
        let is_plain = of.filter.is_none();
        if is_plain && *function == Function::TimeSince {
            return Ok(tally.sides(live, |events, latest| {
                let since = self.now.micros_since(Timestamp::from_micros(latest)).max(0);
                Some(holds(&if events > 0 { Datum::Span(since) } else { Datum::Null }))
            }));
        }
        let none = holds(&of_none(*function));
        let mut known: FxHashMap<u32, Option<bool>> = FxHashMap::default();
        Ok(tally.sides(live, |events, _| {
            if events == 0 {
                return Some(none);
            }
            if *function != Function::Count {
                return None;
            }
            *known.entry(events).or_insert_with(|| {
                if is_plain {
                    return Some(holds(&count(events)));
                }
                // So many at most: if each possible number says the same, it does not matter which it is.
                let is_same = events <= COUNTS_TRIED_MAX
                    && (1..=events).all(|possible| holds(&count(possible)) == none);
                is_same.then_some(none)
            })
        }))
    }

    fn performed(&self, pattern: &EventPattern) -> Result<Sides, IndexError> {
        let Some(tally) = self.tally(pattern, &pattern.window)? else { return Ok(self.open()) };
        let is_plain = pattern.filter.is_none();
        Ok(tally.sides(self.table.live(), |events, _| match events {
            0 => Some(false),
            _ => is_plain.then_some(true),
        }))
    }

    fn sequence(&self, sequence: &Sequence) -> Result<Sides, IndexError> {
        let mut sides = self.open();
        let steps = sequence.then.iter().map(|step| &step.event);
        for pattern in std::iter::once(&sequence.first).chain(steps) {
            let Some(tally) = self.tally(pattern, &sequence.window)? else { return Ok(self.open()) };
            let had = tally.sides(self.table.live(), |events, _| Some(events > 0));
            sides = sides.and(&had);
        }
        Ok(Sides::perhaps(sides.may))
    }

    /// How many events of a name each profile has in a window; `None` if the name index does not know them all.
    fn tally(&self, pattern: &EventPattern, window: &Window) -> Result<Option<Tally>, IndexError> {
        if !self.counts {
            return Ok(None);
        }
        let query = query(self.workspace, pattern, window, self.now, &self.positions);
        let mut tally = Tally::new(self.table.docs_end());
        self.indexes.names(&query, &mut |event| {
            if let Some(doc) = self.table.doc_of_fragment(event.fragment) {
                tally.add(doc, event.event_time);
            }
        })?;
        Ok(Some(tally))
    }
}

/// The events of a pattern's name in a window.
pub(super) fn query<'a>(
    workspace: WorkspaceId,
    pattern: &'a EventPattern,
    window: &Window,
    now: Timestamp,
    positions: &Range<u64>,
) -> NameQuery<'a> {
    let (start, end) = match window {
        Window::Ever => (Timestamp::MIN, Timestamp::from_micros(i64::MAX)),
        // What is so long ago has left.
        Window::Within(span) => {
            (now.plus_micros(-span.micros()).plus_micros(1), Timestamp::from_micros(i64::MAX))
        }
        Window::Between(from, to) => (*from, to.plus_micros(-1)),
    };
    NameQuery {
        workspace,
        kind: pattern.kind,
        name: pattern.name.as_deref(),
        start,
        end,
        first_sequence: positions.start,
        before: positions.end,
    }
}

/// How many events each profile had, and when the latest was.
struct Tally {
    events: Vec<u32>,
    latest: Vec<i64>,
}

impl Tally {
    fn new(docs: usize) -> Self {
        Self { events: vec![0; docs], latest: vec![i64::MIN; docs] }
    }

    fn add(&mut self, doc: u32, at: Timestamp) {
        let place = doc as usize;
        if let (Some(events), Some(latest)) = (self.events.get_mut(place), self.latest.get_mut(place)) {
            *events = events.saturating_add(1);
            *latest = at.as_micros().max(*latest);
        }
    }

    /// What each profile's number of events and the time of its latest decide; `None` for those that they don't.
    fn sides(&self, live: &RoaringBitmap, mut decide: impl FnMut(u32, i64) -> Option<bool>) -> Sides {
        let (mut must, mut open) = (RoaringBitmap::new(), RoaringBitmap::new());
        for doc in live {
            let place = doc as usize;
            let events = self.events.get(place).copied().unwrap_or(0);
            let latest = self.latest.get(place).copied().unwrap_or(i64::MIN);
            match decide(events, latest) {
                Some(true) => {
                    must.insert(doc);
                }
                Some(false) => {}
                None => {
                    open.insert(doc);
                }
            }
        }
        let may = &must | &open;
        Sides { must, may }
    }
}
