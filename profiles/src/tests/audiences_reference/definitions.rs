//! Random definitions: typed trees over few names, so that what they ask about happens.
//!
//! Left out is what the rules do not decide: equality of lengths of time, whether a list of no values is missing, and
//! the order of events of equal time, which only track and page calls are asked for and never have.

use super::super::START;
use super::stream::{HOUR, date};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Union;
use tributary_model::condition::{
    Aggregate, Comparison, Condition, EventPattern, FieldPath, Function, Literal, Members, Number, Operand,
    Operator, Quantifier, Right, Sequence, Span, Step, Window,
};
use tributary_model::{EventKind, Timestamp};

/// How many audiences, and how many computed traits, there are at most.
pub(super) const PLACES: u8 = 3;

const ORDERS: &[Operator] =
    &[Operator::Less, Operator::LessOrEqual, Operator::Greater, Operator::GreaterOrEqual];
const EQUALITY: &[Operator] = &[Operator::Equals, Operator::NotEquals];
const PRESENCE: &[Operator] = &[Operator::Exists, Operator::Absent];
const PARTS: &[Operator] = &[Operator::Contains, Operator::NotContains];

fn path(text: &str) -> FieldPath {
    text.parse().expect("a path")
}

fn operand(of: fn(FieldPath) -> Operand, paths: &'static [&'static str]) -> BoxedStrategy<Operand> {
    select(paths).prop_map(move |text| of(path(text))).boxed()
}

fn fixed<T: std::fmt::Debug + Clone + 'static>(value: T) -> BoxedStrategy<T> {
    Just(value).boxed()
}

fn number() -> BoxedStrategy<Literal> {
    let texts = select(vec!["0", "1", "2", "2.5", "10", "-1"]);
    texts.prop_map(|text| Literal::Number(Number::parse(text).expect("a number"))).boxed()
}

fn text() -> BoxedStrategy<Literal> {
    select(vec!["a", "ab", "b", "ä", "A"]).prop_map(|text| Literal::Text(text.to_owned())).boxed()
}

fn literal() -> BoxedStrategy<Literal> {
    let bool = any::<bool>().prop_map(Literal::Bool);
    prop_oneof![4 => number(), 4 => text(), 1 => bool, 1 => Just(Literal::Null)].boxed()
}

fn span() -> BoxedStrategy<Span> {
    let texts = select(vec!["1h", "6h", "1d", "3d", "7d", "30d"]);
    texts.prop_map(|text| text.parse().expect("a length of time")).boxed()
}

/// An hour before, at or after the beginning of the log.
fn moment() -> BoxedStrategy<Timestamp> {
    (-100..400i64).prop_map(|hours| START.plus_micros(hours * HOUR)).boxed()
}

fn within() -> BoxedStrategy<Window> {
    prop_oneof![1 => Just(Window::Ever), 2 => span().prop_map(Window::Within)].boxed()
}

fn window() -> BoxedStrategy<Window> {
    let between =
        (moment(), 1..300i64).prop_map(|(from, hours)| Window::Between(from, from.plus_micros(hours * HOUR)));
    prop_oneof![5 => within(), 1 => between].boxed()
}

fn one(literal: Literal) -> Right {
    Right::Value(literal)
}

fn compare(
    left: &BoxedStrategy<Operand>,
    operators: &'static [Operator],
    right: impl Strategy<Value = Right> + 'static,
) -> BoxedStrategy<Condition> {
    let parts = (left.clone(), select(operators), right);
    let made = |(left, operator, right)| Condition::Compare(Comparison { left, operator, right });
    parts.prop_map(made).boxed()
}

/// A comparison of what may be of any type.
fn untyped(left: BoxedStrategy<Operand>) -> BoxedStrategy<Condition> {
    let texts = select(vec!["^a", "b$", "^(a|ä)$"]).prop_map(|text| one(Literal::Text(text.to_owned())));
    let several = |one: BoxedStrategy<Literal>| vec(one, 1..4).prop_map(Right::Values);
    prop_oneof![
        4 => compare(&left, ORDERS, number().prop_map(one)),
        1 => compare(&left, ORDERS, text().prop_map(one)),
        3 => compare(&left, EQUALITY, literal().prop_map(one)),
        1 => compare(&left, &[Operator::OneOf, Operator::NoneOf], several(number())),
        1 => compare(&left, &[Operator::OneOf, Operator::NoneOf], several(text())),
        2 => compare(&left, PARTS, text().prop_map(one)),
        1 => compare(&left, &[Operator::ContainsAny], several(text())),
        1 => compare(&left, &[Operator::StartsWith, Operator::EndsWith], text().prop_map(one)),
        1 => compare(&left, &[Operator::Matches], texts),
        2 => compare(&left, PRESENCE, Just(Right::Nothing)),
        1 => compare(&left, ORDERS, left.clone().prop_map(Right::Operand)),
        1 => compare(&left, EQUALITY, left.clone().prop_map(Right::Operand)),
    ]
    .boxed()
}

fn numeric(left: &BoxedStrategy<Operand>) -> BoxedStrategy<Condition> {
    prop_oneof![
        4 => compare(left, ORDERS, number().prop_map(one)),
        2 => compare(left, EQUALITY, number().prop_map(one)),
        1 => compare(left, &[Operator::OneOf, Operator::NoneOf], vec(number(), 1..3).prop_map(Right::Values)),
        1 => compare(left, ORDERS, left.clone().prop_map(Right::Operand)),
    ]
    .boxed()
}

/// A condition about a date.
fn dated() -> BoxedStrategy<Condition> {
    const MOMENTS: &[Operator] = &[Operator::BeforeDate, Operator::AfterDate];
    const SPANS: &[Operator] =
        &[Operator::WithinLast, Operator::WithinNext, Operator::BeforeLast, Operator::AfterNext];
    let left = operand(Operand::Trait, &["d"]);
    let moments = date().prop_map(|text| one(Literal::Text(text)));
    prop_oneof![
        1 => compare(&left, MOMENTS, moments),
        2 => compare(&left, SPANS, span().prop_map(Right::Span)),
    ]
    .boxed()
}

/// Parts put together, on so many levels.
fn together(levels: u32, part: BoxedStrategy<Condition>) -> BoxedStrategy<Condition> {
    let whole = part.prop_recursive(levels, 2 * levels, 2, |part| {
        prop_oneof![
            vec(part.clone(), 1..4).prop_map(Condition::All),
            vec(part.clone(), 1..4).prop_map(Condition::Any),
            part.prop_map(|part| Condition::Not(Box::new(part))),
        ]
    });
    whole.boxed()
}

fn filter() -> BoxedStrategy<Condition> {
    let fields = &["properties.x", "properties.y", "properties.s", "properties.o.k"];
    let left = operand(Operand::Field, fields);
    let negated = |part: Condition| Condition::Not(Box::new(part));
    let one = untyped(left);
    prop_oneof![
        4 => one.clone(),
        1 => one.clone().prop_map(negated),
        1 => vec(one.clone(), 2..3).prop_map(Condition::All),
        1 => vec(one, 2..3).prop_map(Condition::Any),
    ]
    .boxed()
}

fn pattern(
    kinds: BoxedStrategy<(EventKind, Option<String>)>,
    window: BoxedStrategy<Window>,
) -> BoxedStrategy<EventPattern> {
    let filter = proptest::option::weighted(0.4, filter().prop_map(Box::new));
    let parts = (kinds, filter, window);
    parts.prop_map(|((kind, name), filter, window)| EventPattern { kind, name, filter, window }).boxed()
}

/// Calls that have no equal times.
fn ordered() -> BoxedStrategy<(EventKind, Option<String>)> {
    let name = |names: &'static [&'static str]| select(names).prop_map(|name| Some(name.to_owned()));
    prop_oneof![
        8 => name(&["A", "B", "C"]).prop_map(|name| (EventKind::Track, name)),
        1 => Just((EventKind::Track, None::<String>)),
        1 => name(&["P"]).prop_map(|name| (EventKind::Page, name)),
    ]
    .boxed()
}

fn calls() -> BoxedStrategy<(EventKind, Option<String>)> {
    let others = select(vec![EventKind::Identify, EventKind::Group]).prop_map(|kind| (kind, None::<String>));
    prop_oneof![5 => ordered(), 1 => others].boxed()
}

fn of(function: Function, event: BoxedStrategy<EventPattern>) -> BoxedStrategy<Aggregate> {
    let has_value = !matches!(function, Function::Count | Function::TimeSince);
    let value =
        select(vec!["properties.x", "properties.s"]).prop_map(move |text| has_value.then(|| path(text)));
    (event, value).prop_map(move |(of, value)| Aggregate { function, of, value }).boxed()
}

fn aggregate_of(function: Function) -> BoxedStrategy<Aggregate> {
    let kinds = match function {
        Function::Count | Function::TimeSince => calls(),
        Function::Sum
        | Function::Average
        | Function::Min
        | Function::Max
        | Function::First
        | Function::Last
        | Function::MostFrequent
        | Function::UniqueList
        | Function::UniqueCount => ordered(),
    };
    of(function, pattern(kinds, window()))
}

fn aggregated(function: Function) -> BoxedStrategy<Condition> {
    let left = aggregate_of(function).prop_map(|what| Operand::Aggregate(Box::new(what))).boxed();
    match function {
        Function::Count | Function::UniqueCount => numeric(&left),
        Function::Sum | Function::Average | Function::Min | Function::Max => {
            prop_oneof![4 => numeric(&left), 1 => compare(&left, PRESENCE, Just(Right::Nothing))].boxed()
        }
        Function::First | Function::Last | Function::MostFrequent => untyped(left),
        Function::UniqueList => prop_oneof![
            compare(&left, PARTS, text().prop_map(one)),
            compare(&left, PARTS, number().prop_map(one)),
            compare(&left, &[Operator::ContainsAny], vec(text(), 1..3).prop_map(Right::Values)),
        ]
        .boxed(),
        Function::TimeSince => prop_oneof![
            4 => compare(&left, ORDERS, span().prop_map(Right::Span)),
            1 => compare(&left, PRESENCE, Just(Right::Nothing)),
        ]
        .boxed(),
    }
}

const FUNCTIONS: [Function; 11] = [
    Function::Count,
    Function::Sum,
    Function::Average,
    Function::Min,
    Function::Max,
    Function::First,
    Function::Last,
    Function::MostFrequent,
    Function::UniqueList,
    Function::UniqueCount,
    Function::TimeSince,
];

/// What a computed trait may be.
pub(super) fn aggregate() -> BoxedStrategy<Aggregate> {
    Union::new(FUNCTIONS.map(aggregate_of)).boxed()
}

fn any_aggregated() -> BoxedStrategy<Condition> {
    let weighted =
        |function: Function| (if function == Function::Count { 6 } else { 1 }, aggregated(function));
    Union::new_weighted(FUNCTIONS.map(weighted).into()).boxed()
}

fn performed() -> BoxedStrategy<Condition> {
    pattern(calls(), window()).prop_map(Condition::Performed).boxed()
}

fn sequence() -> BoxedStrategy<Condition> {
    let event = || pattern(ordered(), fixed(Window::Ever));
    let step = (event(), proptest::option::of(span()), proptest::option::weighted(0.3, event()))
        .prop_map(|(event, within, without)| Step { event, within, without });
    let parts = (event(), vec(step, 1..3), within());
    parts.prop_map(|(first, then, window)| Condition::Sequence(Sequence { first, then, window })).boxed()
}

fn traits() -> BoxedStrategy<Condition> {
    let of_any_type = untyped(operand(Operand::Trait, &["n", "t", "l", "o.k"]));
    prop_oneof![3 => of_any_type, 1 => dated()].boxed()
}

fn computed() -> BoxedStrategy<Condition> {
    let left = (0..PLACES).prop_map(|place| Operand::Computed(format!("c{place}"))).boxed();
    let spans = compare(&left, ORDERS, span().prop_map(Right::Span));
    prop_oneof![3 => untyped(left), 1 => spans].boxed()
}

fn account() -> BoxedStrategy<Condition> {
    let member = together(1, prop_oneof![2 => traits(), 1 => performed(), 1 => any_aggregated()].boxed());
    let quantifier = select(vec![Quantifier::Any, Quantifier::All]);
    let members = (quantifier, member).prop_map(|(quantifier, condition)| {
        Condition::Members(Members { quantifier, condition: Box::new(condition) })
    });
    let own = untyped(operand(Operand::Trait, &["plan", "seats"]));
    let part = together(1, prop_oneof![own, members].boxed());
    part.prop_map(|part| Condition::Account(Box::new(part))).boxed()
}

/// The condition of the audience at a place: it may look at those before it.
pub(super) fn condition(place: u8) -> BoxedStrategy<Condition> {
    let mut leaves = vec![
        (3, traits()),
        (2, computed()),
        (5, any_aggregated()),
        (3, performed()),
        (2, sequence()),
        (2, account()),
    ];
    if place > 0 {
        leaves.push((2, (0..place).prop_map(|other| Condition::Audience(format!("a{other}"))).boxed()));
    }
    together(2, Union::new_weighted(leaves).boxed())
}
