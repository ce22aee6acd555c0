//! Trees that make sense, and texts of words of the language that seldom do.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use tributary_model::condition::{
    Aggregate, Comparison, Condition, EventPattern, FieldPath, Function, Literal, Members, Number, Operand,
    Operator, Quantifier, Right, Sequence, Span, Step, Window,
};
use tributary_model::{EventKind, Timestamp};

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stand {
    Profile,
    Account,
    Member,
    Event,
}

/// Names: plain ones, words of the language, and anything.
fn name() -> impl Strategy<Value = String> {
    let words = [
        "order",
        "not",
        "and",
        "in",
        "null",
        "event",
        "traits",
        "within",
        "type",
        "userId",
        "a.b",
        "a\\b",
        "2fa",
        "first-name",
        "größe",
        "count",
        "30d",
        "-",
        "any",
        "then",
        "\"",
        "'",
        "(",
        " ",
    ];
    prop_oneof![
        3 => "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        2 => select(words.to_vec()).prop_map(str::to_owned),
        1 => vec(any::<char>(), 1..6).prop_map(String::from_iter),
    ]
}

fn path() -> impl Strategy<Value = FieldPath> {
    vec(name(), 1..4).prop_map(|names| FieldPath::new(names).expect("short names"))
}

fn field() -> impl Strategy<Value = FieldPath> {
    let heads = select(vec!["properties", "context", "traits", "event", "name", "userId"]);
    prop_oneof![
        1 => path(),
        3 => (heads, vec(name(), 0..3)).prop_map(|(head, mut names)| {
            names.insert(0, head.to_owned());
            FieldPath::new(names).expect("short names")
        }),
    ]
}

/// Of at most 15 digits, which every JSON parser keeps.
fn number() -> impl Strategy<Value = Number> {
    (-999_999_999_999_999_i64..=999_999_999_999_999, 0_u32..=9)
        .prop_map(|(digits, places)| Number::parse(&format!("{digits}e-{places}")).expect("a number"))
}

fn span() -> impl Strategy<Value = Span> {
    prop_oneof![(1_u64..=3650).prop_map(|days| days * 86_400), 1_u64..=3650 * 86_400,]
        .prop_map(|seconds| Span::from_seconds(seconds).expect("it is in the range"))
}

fn some_text() -> impl Strategy<Value = String> {
    prop_oneof![name(), "[ -~]{1,12}"]
}

/// Anything but null and empty text.
fn part() -> impl Strategy<Value = Literal> {
    prop_oneof![
        some_text().prop_map(Literal::Text),
        number().prop_map(Literal::Number),
        any::<bool>().prop_map(Literal::Bool),
    ]
}

fn literal() -> impl Strategy<Value = Literal> {
    prop_oneof![4 => part(), 1 => Just(Literal::Null), 1 => Just(Literal::Text(String::new()))]
}

fn window() -> BoxedStrategy<Window> {
    // Around today to the second, and anywhere in the years 1 to 9999 to the microsecond.
    let near = (1_700_000_000_i64..1_900_000_000, 1_i64..100_000_000)
        .prop_map(|(from, length)| (from * 1_000_000, (from + length) * 1_000_000));
    let days = (0_i64..30_000, 1_i64..1000)
        .prop_map(|(from, length)| (from * 86_400_000_000, (from + length) * 86_400_000_000));
    let far = (-62_135_596_800_000_000_i64..253_402_000_000_000_000, 1_i64..1_000_000)
        .prop_map(|(from, length)| (from, from + length));
    let between = prop_oneof![near, days, far]
        .prop_map(|(from, to)| Window::Between(Timestamp::from_micros(from), Timestamp::from_micros(to)));
    prop_oneof![3 => Just(Window::Ever), 3 => span().prop_map(Window::Within), 2 => between].boxed()
}

/// The call and the name of an event, and maybe a condition about it.
fn bare_pattern() -> BoxedStrategy<EventPattern> {
    let call = prop_oneof![
        (select(vec![EventKind::Track, EventKind::Page, EventKind::Screen]), option::of(some_text())),
        (select(vec![EventKind::Identify, EventKind::Group, EventKind::Alias]), Just(None)),
    ];
    (call, option::of(condition(Stand::Event)))
        .prop_map(|((kind, name), filter)| EventPattern {
            kind,
            name,
            filter: filter.map(Box::new),
            window: Window::Ever,
        })
        .boxed()
}

fn pattern() -> BoxedStrategy<EventPattern> {
    (bare_pattern(), window()).prop_map(|(pattern, window)| EventPattern { window, ..pattern }).boxed()
}

fn aggregate(functions: Vec<Function>) -> BoxedStrategy<Aggregate> {
    (select(functions), pattern(), field())
        .prop_map(|(function, of, path)| {
            let takes_value = !matches!(function, Function::Count | Function::TimeSince);
            Aggregate { function, of, value: takes_value.then_some(path) }
        })
        .boxed()
}

/// Of every function.
pub(crate) fn any_aggregate() -> BoxedStrategy<Aggregate> {
    let functions = [COUNTS, NUMBERS, VALUES, &[Function::UniqueList, Function::TimeSince]].concat();
    aggregate(functions)
}

const COUNTS: &[Function] = &[Function::Count, Function::UniqueCount];
const NUMBERS: &[Function] = &[Function::Sum, Function::Average, Function::Min, Function::Max];
const VALUES: &[Function] = &[Function::First, Function::Last, Function::MostFrequent];

const ORDERS: [Operator; 4] =
    [Operator::Less, Operator::LessOrEqual, Operator::Greater, Operator::GreaterOrEqual];
const EQUALITIES: [Operator; 2] = [Operator::Equals, Operator::NotEquals];
const AROUND_NOW: [Operator; 4] =
    [Operator::WithinLast, Operator::WithinNext, Operator::BeforeLast, Operator::AfterNext];

/// What may be of any JSON type.
fn open_operand(stand: Stand) -> BoxedStrategy<Operand> {
    match stand {
        Stand::Event => field().prop_map(Operand::Field).boxed(),
        Stand::Account => path().prop_map(Operand::Trait).boxed(),
        Stand::Profile | Stand::Member => prop_oneof![
            4 => path().prop_map(Operand::Trait),
            2 => name().prop_map(Operand::Computed),
            1 => aggregate(VALUES.to_vec()).prop_map(|aggregate| Operand::Aggregate(Box::new(aggregate))),
        ]
        .boxed(),
    }
}

fn measured(functions: &[Function]) -> BoxedStrategy<Operand> {
    aggregate(functions.to_vec()).prop_map(|aggregate| Operand::Aggregate(Box::new(aggregate))).boxed()
}

/// An operator, and what may stand at its right where the left may be anything.
fn open_rest(stand: Stand) -> BoxedStrategy<(Operator, Right)> {
    let ordered = prop_oneof![number().prop_map(Literal::Number), some_text().prop_map(Literal::Text)];
    let dates = select(vec!["2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31T12:00:00.123456+02:00"]);
    let patterns = select(vec!["^a+$", r"\d{1,3}\.x", "[\"']", "(?i)é"]);
    let text = |text: &str| Right::Value(Literal::Text(text.to_owned()));
    let operand = || open_operand(stand).prop_map(Right::Operand);
    let compared = [&EQUALITIES[..], &ORDERS[..], &[Operator::BeforeDate, Operator::StartsWith]].concat();
    let listed = [Operator::OneOf, Operator::NoneOf, Operator::ContainsAny, Operator::Contains];
    let always = prop_oneof![
        (select(EQUALITIES.to_vec()), literal().prop_map(Right::Value)),
        (select(ORDERS.to_vec()), ordered.prop_map(Right::Value)),
        (select(vec![Operator::OneOf, Operator::NoneOf]), vec(literal(), 1..5).prop_map(Right::Values)),
        (Just(Operator::ContainsAny), vec(part(), 1..5).prop_map(Right::Values)),
        (select(vec![Operator::Contains, Operator::NotContains]), part().prop_map(Right::Value)),
        (
            select(vec![Operator::StartsWith, Operator::EndsWith]),
            some_text().prop_map(|text| Right::Value(Literal::Text(text))),
        ),
        (Just(Operator::Matches), patterns.prop_map(text)),
        (select(vec![Operator::BeforeDate, Operator::AfterDate]), dates.prop_map(text)),
        (select(vec![Operator::Exists, Operator::Absent]), Just(Right::Nothing)),
        (select(compared), operand()),
        (select(listed.to_vec()), operand()),
    ];
    let around_now = (select(AROUND_NOW.to_vec()), span().prop_map(Right::Span));
    match stand {
        // An event does not depend on the present.
        Stand::Event => always.boxed(),
        Stand::Profile | Stand::Account | Stand::Member => prop_oneof![10 => always, 1 => around_now].boxed(),
    }
}

fn number_rest(functions: &'static [Function]) -> BoxedStrategy<(Operator, Right)> {
    let operators = [&EQUALITIES[..], &ORDERS[..]].concat();
    let number = || number().prop_map(Literal::Number);
    prop_oneof![
        (select(operators.clone()), number().prop_map(Right::Value)),
        (select(vec![Operator::OneOf, Operator::NoneOf]), vec(number(), 1..4).prop_map(Right::Values)),
        (select(operators), measured(functions).prop_map(Right::Operand)),
    ]
    .boxed()
}

fn comparison(stand: Stand) -> BoxedStrategy<Comparison> {
    let sides = (open_operand(stand), open_rest(stand)).boxed();
    let sides = match stand {
        Stand::Event | Stand::Account => sides,
        Stand::Profile | Stand::Member => {
            let since = || measured(&[Function::TimeSince]);
            let ordered = || select(ORDERS.to_vec());
            let list_rest = prop_oneof![
                (select(vec![Operator::Contains, Operator::NotContains]), part().prop_map(Right::Value)),
                (Just(Operator::ContainsAny), vec(part(), 1..4).prop_map(Right::Values)),
            ];
            prop_oneof![
                4 => sides,
                2 => (measured(COUNTS), number_rest(NUMBERS)),
                1 => (measured(NUMBERS), number_rest(COUNTS)),
                1 => (measured(NUMBERS), Just((Operator::Absent, Right::Nothing))),
                1 => (since(), (ordered(), span().prop_map(Right::Span))),
                1 => (since(), (ordered(), since().prop_map(Right::Operand))),
                1 => (measured(&[Function::UniqueList]), list_rest),
                1 => (name().prop_map(Operand::Computed), (ordered(), span().prop_map(Right::Span))),
            ]
            .boxed()
        }
    };
    sides.prop_map(|(left, (operator, right))| Comparison { left, operator, right }).boxed()
}

fn sequence() -> BoxedStrategy<Sequence> {
    let step = (bare_pattern(), option::of(span()), option::of(bare_pattern()))
        .prop_map(|(event, within, without)| Step { event, within, without });
    let window = prop_oneof![Just(Window::Ever), span().prop_map(Window::Within)];
    (bare_pattern(), vec(step, 1..3), window)
        .prop_map(|(first, then, window)| Sequence { first, then, window })
        .boxed()
}

fn leaf(stand: Stand) -> BoxedStrategy<Condition> {
    let compared = comparison(stand).prop_map(Condition::Compare).boxed();
    let performed = || pattern().prop_map(Condition::Performed);
    let in_order = || sequence().prop_map(Condition::Sequence);
    match stand {
        Stand::Event => compared,
        Stand::Account => {
            let quantifier = select(vec![Quantifier::Any, Quantifier::All]);
            let members = (quantifier, condition(Stand::Member)).prop_map(|(quantifier, condition)| {
                Condition::Members(Members { quantifier, condition: Box::new(condition) })
            });
            prop_oneof![2 => compared, 1 => members].boxed()
        }
        Stand::Member => prop_oneof![4 => compared, 2 => performed(), 1 => in_order()].boxed(),
        Stand::Profile => {
            let account = condition(Stand::Account).prop_map(|within| Condition::Account(Box::new(within)));
            prop_oneof![
                5 => compared,
                3 => performed(),
                1 => in_order(),
                1 => name().prop_map(Condition::Audience),
                1 => account,
            ]
            .boxed()
        }
    }
}

/// A condition that makes sense where it stands; now and then over a limit.
pub(crate) fn condition(stand: Stand) -> BoxedStrategy<Condition> {
    leaf(stand)
        .prop_recursive(3, 6, 3, |inner| {
            prop_oneof![
                vec(inner.clone(), 1..4).prop_map(Condition::All),
                vec(inner.clone(), 1..4).prop_map(Condition::Any),
                inner.prop_map(|condition| Condition::Not(Box::new(condition))),
            ]
        })
        .boxed()
}

/// Words and signs of the language in any order; blanks between some of them.
pub(crate) fn words() -> impl Strategy<Value = String> {
    let words = [
        "event(\"A\")",
        "event(",
        "count(",
        "sum(",
        "time_since(",
        "traits.a",
        "traits.order",
        "computed.b",
        "properties.x",
        "profile.traits.a",
        "event",
        "name",
        "field(\"a b\")",
        "=",
        "!=",
        ">",
        "<=",
        "in",
        "not",
        "contains",
        "exists",
        "absent",
        "and",
        "or",
        "where",
        "within",
        "between",
        "30d",
        "30",
        "-1.5e3",
        "\"x\"",
        "'y'",
        "\"2026-01-01\"",
        "(",
        ")",
        "(",
        ")",
        ",",
        "all(",
        "any(",
        "any member(",
        "account(",
        "audience(\"k\")",
        "sequence(",
        "then",
        "without",
        "null",
        "true",
        ".",
        ".properties.x",
        "“",
        "\"",
        "is",
        "page()",
        "ANY",
        "within_last",
        "matches",
        "&&",
    ];
    let blank = prop_oneof![4 => Just(" "), 1 => Just(""), 1 => Just("\n")];
    vec((select(words.to_vec()), blank), 0..24)
        .prop_map(|words| words.into_iter().flat_map(|(word, blank)| [word, blank]).collect())
}
