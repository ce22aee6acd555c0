//! Random streams: what happens to few people with few ids, and what is done about them.
//!
//! The log's time goes by whole hours. So do the event times of identify and group calls, which meet the edges of windows
//! exactly; those of all others differ by some microseconds, so that no two are equal. A message comes a second time
//! within the days for which it is remembered.

use super::super::START;
use super::definitions::{PLACES, aggregate, condition};
use proptest::collection::vec;
use proptest::option::{of, weighted};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};
use tributary_model::command::{Action, UnmergeTarget, Who};
use tributary_model::condition::{Aggregate, Condition};
use tributary_model::{EventKind, Identifier, Namespace};

/// In microseconds.
pub(super) const HOUR: i64 = 3_600_000_000;

/// What happens.
#[derive(Debug, Clone)]
pub(super) enum Happening {
    /// Somebody's call.
    Call(Call),
    /// An earlier call comes again.
    Again { which: usize, later: i64 },
    /// A person's command.
    Order { action: Action, later: i64 },
    /// Something is defined, changed or deleted.
    Define(Vec<Definition>),
    /// Nothing, for so many hours.
    Wait(i64),
}

#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) kind: EventKind,
    pub(super) name: &'static str,
    pub(super) user: Option<u8>,
    pub(super) device: Option<u8>,
    pub(super) email: Option<u8>,
    /// The account of a group call, or the user of an alias call's `previousId`.
    pub(super) other: u8,
    pub(super) values: Map<String, Value>,
    /// Hours since what came before; may be negative, as clocks are.
    pub(super) later: i64,
    /// Hours before arrival.
    pub(super) age: i64,
}

/// A change of what is defined.
#[derive(Debug, Clone)]
pub(super) enum Definition {
    Audience { place: u8, condition: Condition, include_anonymous: bool },
    Computed { place: u8, aggregate: Aggregate },
    NoAudience(u8),
    NoComputed(u8),
}

/// A moment that no windows' edge meets, or a day.
pub(super) fn date() -> BoxedStrategy<String> {
    let moments = (-200..400i64).prop_map(|hours| START.plus_micros(hours * HOUR + HOUR / 2).to_string());
    let days = select(vec!["2026-09-20", "2026-09-23", "2026-10-05"]).prop_map(str::to_owned);
    prop_oneof![3 => moments, 1 => days].boxed()
}

fn members(values: Vec<(&'static str, Option<Value>)>) -> Map<String, Value> {
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn number() -> BoxedStrategy<Value> {
    select(vec![json!(1), json!(1.0), json!(2), json!(2.5), json!(10), json!(-1), json!("1"), json!(null)])
        .boxed()
}

fn text() -> BoxedStrategy<Value> {
    select(vec![json!("a"), json!("ab"), json!("b"), json!("ä"), json!("A"), json!(null), json!(true)])
        .boxed()
}

fn list() -> BoxedStrategy<Value> {
    vec(select(vec![json!("a"), json!("ab"), json!(1), json!(2.5)]), 0..3).prop_map(Value::from).boxed()
}

fn object() -> BoxedStrategy<Value> {
    number().prop_map(|number| json!({"k": number})).boxed()
}

fn values(kind: EventKind) -> BoxedStrategy<Map<String, Value>> {
    match kind {
        EventKind::Identify => {
            let dates = prop_oneof![4 => date().prop_map(Value::from), 1 => Just(json!("soon"))];
            let nested = prop_oneof![3 => object(), 1 => number()];
            (of(number()), of(text()), weighted(0.3, list()), of(dates), weighted(0.3, nested))
                .prop_map(|(n, t, l, d, o)| members(vec![("n", n), ("t", t), ("l", l), ("d", d), ("o", o)]))
                .boxed()
        }
        EventKind::Group => {
            let parts = (of(text()), of(number()));
            parts.prop_map(|(plan, seats)| members(vec![("plan", plan), ("seats", seats)])).boxed()
        }
        EventKind::Track | EventKind::Page | EventKind::Screen | EventKind::Alias => {
            (weighted(0.8, number()), of(number()), of(text()), weighted(0.3, object()))
                .prop_map(|(x, y, s, o)| members(vec![("x", x), ("y", y), ("s", s), ("o", o)]))
                .boxed()
        }
    }
}

fn later() -> BoxedStrategy<i64> {
    prop_oneof![10 => 0..4i64, 1 => -3..0i64, 3 => 5..30i64, 2 => 70..180i64, 1 => 700..760i64].boxed()
}

fn call() -> BoxedStrategy<Call> {
    let kinds = prop_oneof![
        8 => Just(EventKind::Track),
        1 => Just(EventKind::Page),
        4 => Just(EventKind::Identify),
        2 => Just(EventKind::Group),
        1 => Just(EventKind::Alias),
    ];
    let call = kinds.prop_flat_map(|kind| (Just(kind), values(kind)));
    let ids = (of(0..3u8), of(0..4u8), weighted(0.2, 0..2u8), 0..3u8);
    let names = select(vec!["A", "B", "C"]);
    let ages = prop_oneof![6 => Just(0i64), 4 => 1..60i64, 1 => 100..800i64];
    let parts = (call, names, ids, later(), ages);
    parts
        .prop_map(|((kind, values), name, (user, device, email, other), later, age)| {
            // Every call is somebody's.
            let device = if user.is_none() { device.or(Some(0)) } else { device };
            Call { kind, name, user, device, email, other, values, later, age }
        })
        .boxed()
}

fn identifier(number: u8) -> Identifier {
    let (namespace, value) = match number {
        0..3 => (Namespace::USER_ID, format!("u{number}")),
        3..5 => (Namespace::EMAIL, format!("e{}@x.y", number - 3)),
        _ => (Namespace::ANONYMOUS_ID, format!("d{}", number - 5)),
    };
    Identifier::parse(namespace, &value).expect("an identifier")
}

fn action() -> BoxedStrategy<Action> {
    let one = || (0..9u8).prop_map(identifier);
    let who = || one().prop_map(Who::Identifier);
    let side = || vec(one(), 1..3);
    let target = prop_oneof![
        5 => one().prop_map(UnmergeTarget::Identifier),
        1 => (one(), one()).prop_map(|(anchor, other)| UnmergeTarget::Edge(anchor, other)),
        1 => (0..30u64).prop_map(UnmergeTarget::Merge),
        1 => (side(), side()).prop_map(|(one, other)| UnmergeTarget::Sides(vec![one, other])),
    ];
    // Of somebody's own, mostly: another's is refused.
    let own = |number| (Who::Identifier(identifier(number)), identifier(number));
    prop_oneof![
        8 => (who(), target, proptest::bool::weighted(0.1))
            .prop_map(|(who, target, retake)| Action::Unmerge { who, target, retake }),
        2 => (who(), one()).prop_map(|(who, identifier)| Action::Link { who, identifier }),
        2 => (0..9u8, who()).prop_map(move |(number, to)| {
            let (who, identifier) = own(number);
            Action::Move { who, identifier, to }
        }),
        1 => (0..9u8).prop_map(move |number| {
            let (who, identifier) = own(number);
            Action::Remove { who, identifier }
        }),
    ]
    .boxed()
}

fn audience(place: u8) -> BoxedStrategy<Definition> {
    let parts = (condition(place), proptest::bool::weighted(0.6));
    parts
        .prop_map(move |(condition, include_anonymous)| Definition::Audience {
            place,
            condition,
            include_anonymous,
        })
        .boxed()
}

fn computed(place: u8) -> BoxedStrategy<Definition> {
    aggregate().prop_map(move |aggregate| Definition::Computed { place, aggregate }).boxed()
}

/// What is defined at first.
fn beginning() -> BoxedStrategy<Happening> {
    let audiences: Vec<_> = (0..PLACES).map(audience).collect();
    let computed: Vec<_> = (0..PLACES).map(computed).collect();
    let all = (audiences, computed, 1..=usize::from(PLACES), 0..=usize::from(PLACES));
    let made = |(mut audiences, mut computed, some, others): (Vec<_>, Vec<_>, usize, usize)| {
        audiences.truncate(some);
        computed.truncate(others);
        computed.append(&mut audiences);
        Happening::Define(computed)
    };
    all.prop_map(made).boxed()
}

fn happening() -> BoxedStrategy<Happening> {
    let place = || 0..PLACES;
    let definition = prop_oneof![
        4 => place().prop_flat_map(audience),
        2 => place().prop_flat_map(computed),
        1 => place().prop_map(Definition::NoAudience),
        1 => place().prop_map(Definition::NoComputed),
    ];
    prop_oneof![
        24 => call().prop_map(Happening::Call),
        2 => (any::<usize>(), 0..40i64).prop_map(|(which, later)| Happening::Again { which, later }),
        4 => (action(), 0..3i64).prop_map(|(action, later)| Happening::Order { action, later }),
        2 => vec(definition, 1..3).prop_map(Happening::Define),
        3 => prop_oneof![1..40i64, 100..760i64].prop_map(Happening::Wait),
    ]
    .boxed()
}

/// What happens in a log: some of it before anything is defined.
pub(super) fn happenings(most: usize) -> BoxedStrategy<Vec<Happening>> {
    let before = vec(call().prop_map(Happening::Call), 0..4);
    (before, beginning(), vec(happening(), 1..most))
        .prop_map(|(mut all, beginning, mut after)| {
            all.push(beginning);
            all.append(&mut after);
            all
        })
        .boxed()
}
