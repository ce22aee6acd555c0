//! Small checks of plans; how they agree with a slow evaluation over whole lists of events is tested in `profiles`.

use super::*;
use crate::condition::{Condition, EventPattern, Scope, Window, parse_aggregate, parse_condition};
use crate::event::{EventKind, EventView};
use crate::fragment::{Fragment, Sighting};
use crate::id::{AudienceId, MessageId, SourceId};
use crate::keeper::Kept;
use crate::trail::Trail;
use std::borrow::Cow;

const DAY: i64 = 86_400_000;

/// A person as a fragment tells.
struct One<'a>(&'a Fragment);

impl Person for One<'_> {
    fn trait_json(&self, name: &str) -> Option<Cow<'_, str>> {
        self.0.traits.get(name)?.value.as_deref().map(Cow::Borrowed)
    }

    fn trail(&self, keeper: u32) -> Option<&Trail> {
        match self.0.kept.get(&keeper)? {
            Kept::Trail(trail) => Some(trail),
            Kept::Trait(_) => None,
        }
    }

    fn has_user_id(&self) -> bool {
        true
    }
}

/// Days, and events on them as (day, payload).
fn fragment(specs: &[(u32, KeeperSpec)], events: &[(i64, &str)]) -> Fragment {
    let keepers = Keepers::of(specs);
    let mut fragment = Fragment::default();
    for (number, (day, payload)) in events.iter().enumerate() {
        let event = EventView::parse(payload.as_bytes()).expect("an event");
        let sighting = Sighting {
            at: Timestamp::from_millis(day * DAY),
            message_id: MessageId::parse(&format!("m{number}")).expect("an id"),
            source: SourceId(1),
        };
        fragment.fold(&event, &sighting);
        keepers.fold(&mut fragment, &event, &sighting, sighting.at);
    }
    fragment
}

fn order(total: u32) -> String {
    format!(
        r#"{{"type":"track","event":"Order Completed","properties":{{"total":{total},"sku":"s{total}"}}}}"#
    )
}

fn verdict(text: &str, events: &[(i64, &str)], day: i64) -> Verdict {
    let condition = parse_condition(text, Scope::Profile).expect(text);
    let draft = Draft::new(&Defined::default(), &condition, true).expect(text);
    let fragment = fragment(&draft.specs, events);
    let facts = Facts { person: &One(&fragment), accounts: &[], now: Timestamp::from_millis(day * DAY) };
    draft.plan.evaluate(&facts)
}

#[test]
fn the_question_of_a_marketer_is_answered_and_expires() {
    let text = r#"count(event("Order Completed") where properties.total > 100 within 30d) >= 2
        and not event("App Opened") within 7d"#;
    let (small, large) = (order(50), order(150));
    let open = r#"{"type":"track","event":"App Opened"}"#;
    let events = [(1, large.as_str()), (5, &small), (10, &large), (12, open)];
    // Day 12 to 19: the app was opened; from 31 on only one order is left.
    for (day, want, due) in [(11, true, None), (15, false, Some(19)), (20, true, Some(31)), (31, false, None)]
    {
        let events: Vec<_> = events.iter().filter(|(at, _)| *at <= day).copied().collect();
        let got = verdict(text, &events, day);
        assert_eq!(got.is_true, want, "day {day}");
        if let Some(due) = due {
            assert_eq!(got.due, Some(Timestamp::from_millis(due * DAY)), "day {day}");
        }
    }
}

#[test]
fn sequences_see_what_lies_between() {
    let event = |name: &str| format!(r#"{{"type":"track","event":"{name}"}}"#);
    let (a, b, c) = (event("A"), event("B"), event("C"));
    let text = r#"sequence(event("A") then event("B") within 2d without event("C"))"#;
    type Case<'a> = (&'a str, &'a [(i64, &'a str)], bool);
    let cases: [Case<'_>; 6] = [
        ("soon enough", &[(1, &a), (3, &b)], true),
        ("too late", &[(1, &a), (4, &b)], false),
        ("something between", &[(1, &a), (2, &c), (3, &b)], false),
        ("a second beginning", &[(1, &a), (2, &c), (3, &a), (4, &b)], true),
        ("the wrong order", &[(1, &b), (2, &a)], false),
        ("read late", &[(3, &b), (1, &a)], true),
    ];
    for (name, events, want) in cases {
        assert_eq!(verdict(text, events, 10).is_true, want, "{name}");
    }
}

#[test]
fn functions_are_computed() {
    let orders: Vec<String> = [150, 50, 150].into_iter().map(order).collect();
    let events: Vec<(i64, &str)> =
        orders.iter().enumerate().map(|(at, order)| (at as i64 + 1, order.as_str())).collect();
    let of = r#"(event("Order Completed").properties"#;
    let cases = [
        (r#"count(event("Order Completed"))"#.to_owned(), Some("3")),
        (r#"count(event("Order Completed") within 2d)"#.to_owned(), Some("1")),
        (r#"count(event("Nothing"))"#.to_owned(), Some("0")),
        (format!("sum{of}.total)"), Some("350")),
        (format!("sum{of}.nothing)"), None),
        (format!("average{of}.total)"), Some("116.666666667")),
        (format!("min{of}.total)"), Some("50")),
        (format!("max{of}.total within 365d)"), Some("150")),
        (format!("first{of}.sku)"), Some(r#""s150""#)),
        (format!("last{of}.total within 30d)"), Some("150")),
        (format!("most_frequent{of}.sku)"), Some(r#""s150""#)),
        (format!("most_frequent{of}.sku within 2d)"), None),
        (format!("unique_list{of}.total)"), Some("[150,50]")),
        (format!("unique_count{of}.total)"), Some("2")),
        (r#"time_since(event("Order Completed"))"#.to_owned(), Some("86400")),
    ];
    for (text, want) in cases {
        let definition = parse_aggregate(&text).expect(&text);
        let measure = Measure::of(&definition);
        let specs = [(1, measure.keeper.clone())];
        let fragment = fragment(&specs, &events);
        let measured = measure.map(&mut |_| 1).answer(&One(&fragment), Timestamp::from_millis(4 * DAY));
        assert_eq!(measured.value.as_deref(), want, "{text}");
    }
}

#[test]
fn values_are_answered_as_they_were_sent() {
    let ids = [r#"{"id":1,"tags":["a"]}"#, "[1.0]", "123456789012345678901", "123456789012345678902"];
    let seen = ids.map(|id| format!(r#"{{"type":"track","event":"Seen","properties":{{"id":{id}}}}}"#));
    let mut events: Vec<(i64, &str)> = (1..).zip(seen.iter().map(String::as_str)).collect();
    events.push((5, &seen[0]));
    let all = format!("[{},{},{},{}]", ids[2], ids[3], ids[1], ids[0]);
    let cases = [
        ("first", "", ids[0]),
        ("last", "", ids[0]),
        ("first", " within 3d", ids[2]),
        ("most_frequent", "", ids[0]),
        ("most_frequent", " within 30d", ids[0]),
        ("unique_list", "", &all),
        ("unique_list", " within 30d", &all),
        ("unique_count", "", "4"),
    ];
    for (function, within, want) in cases {
        let text = format!(r#"{function}(event("Seen").properties.id{within})"#);
        let measure = Measure::of(&parse_aggregate(&text).expect(&text));
        let fragment = fragment(&[(1, measure.keeper.clone())], &events);
        let answer = measure.map(&mut |_| 1).answer(&One(&fragment), Timestamp::from_millis(6 * DAY - 1));
        assert_eq!(answer.value.as_deref(), Some(want), "{text}");
    }
    let text = r#"first(event("Seen").properties.id) exists"#;
    assert!(verdict(text, &events, 6).is_true, "conditions see that there is an object");
}

fn defined(audiences: &[(&str, &str)]) -> Defined {
    let audience = |(number, (key, text)): (usize, &(&str, &str))| Audience {
        id: AudienceId(number as u32 + 1),
        key: (*key).to_owned(),
        name: String::new(),
        definition: parse_condition(text, Scope::Profile).expect(text),
        include_anonymous: true,
        created_at: Timestamp::default(),
    };
    Defined { audiences: audiences.iter().enumerate().map(audience).collect(), ..Defined::default() }
}

fn compile(defined: &Defined) -> Catalog {
    let wanted = Catalog::wanted(defined);
    let numbers = wanted.iter().enumerate().map(|(at, spec)| (spec.hash(), at as u32 + 1)).collect();
    Catalog::compile(defined, &numbers)
}

#[test]
fn only_what_an_event_can_change_is_touched() {
    let catalog = compile(&defined(&[
        ("pro", r#"traits.plan = "pro""#),
        ("buyers", r#"event("Order Completed")"#),
        ("both", r#"audience("pro") and audience("buyers")"#),
        ("quiet", r#"not event("Order Completed") within 7d"#),
        ("team", r#"account(traits.tier = "gold" and any member(event("Invited")))"#),
    ]));
    let keeper = |at: usize| catalog.audiences()[at].keepers.clone();
    assert_eq!(catalog.touched(&["plan"], &[]), [0, 2]);
    assert_eq!(catalog.touched(&[], &keeper(1)), [1, 2]);
    assert_eq!(catalog.touched(&["name"], &[99]), [0usize; 0]);
    assert_eq!(catalog.touched_through_accounts(&[], &keeper(4)), [4]);
    assert_eq!(catalog.touched(&[], &keeper(4)), [4]);
    assert_eq!(catalog.of_accounts(), [4]);
    let of = |at: usize| &catalog.audiences()[at];
    assert!(of(3).is_timed && of(3).is_true_of_nobody && !of(1).is_timed && !of(1).is_true_of_nobody);
}

#[test]
fn what_can_not_work_is_broken_and_says_why() {
    let cases = [
        (vec![("a", r#"audience("b")"#), ("b", r#"not audience("a")"#)], "in a cycle: a → b → a"),
        (vec![("a", r#"audience("gone")"#)], "there is no audience `gone`"),
        (vec![("a", "computed.gone > 1")], "there is no computed trait `gone`"),
        (vec![("a", "traits.x exists"), ("a", "traits.y exists")], "another definition with the key `a`"),
    ];
    for (audiences, want) in cases {
        let defined = defined(&audiences);
        let (key, message) = check_references(&defined).expect_err(want);
        assert!(key == "a" && message.contains(want), "{message}");
        compile(&defined);
    }
}

#[test]
fn only_a_change_of_meaning_is_one() {
    let hash = |audiences: &[(&str, &str)]| compile(&defined(audiences)).audiences()[0].hash;
    let plain = hash(&[("a", r#"audience("b")"#), ("b", "traits.x exists")]);
    assert_eq!(plain, hash(&[("a", r#"audience("b")"#), ("b", "traits.x exists"), ("c", "traits.y exists")]));
    assert_ne!(plain, hash(&[("a", r#"audience("b")"#), ("b", "traits.y exists")]));
}

/// So many of the same condition, all of which have to hold.
fn all_of(count: usize, text: &str) -> String {
    format!("all({})", vec![text; count].join(", "))
}

#[test]
fn audiences_in_audiences_have_limits() {
    let of = |audiences: &[(String, String)]| {
        let audiences = audiences.iter().map(|(key, text)| (key.as_str(), text.as_str()));
        defined(&audiences.collect::<Vec<_>>())
    };
    // Each names the next; the last is a condition of its own.
    let chain = |length: usize| {
        let inner = (1..length).map(|next| format!(r#"audience("a{next}")"#));
        let texts = inner.chain(["traits.x exists".to_owned()]);
        of(&texts.enumerate().map(|(at, text)| (format!("a{at}"), text)).collect::<Vec<_>>())
    };
    assert_eq!(check_references(&chain(100)), Ok(()));
    let (key, message) = check_references(&chain(101)).expect_err("it is too deep");
    assert!(key == "a0" && message.contains("more than 100 deep"), "{message}");

    let wide = |audiences: usize, each: usize| {
        let base = ("base".to_owned(), all_of(150, "traits.x exists"));
        let one = |at: usize| (format!("wide{at}"), all_of(each, r#"audience("base")"#));
        of(&[base].into_iter().chain((0..audiences).map(one)).collect::<Vec<_>>())
    };
    assert_eq!(check_references(&wide(1, 65)), Ok(()));
    let (_, message) = check_references(&wide(1, 66)).expect_err("it is too large");
    assert!(message.contains("more than 10000 parts"), "{message}");
    assert_eq!(check_size(&wide(10, 65)), Ok(()));
    let message = check_size(&wide(11, 65)).expect_err("they are too large together");
    assert!(message.contains("more than 100000 parts together"), "{message}");
}

#[test]
fn events_and_values_count_as_parts() {
    let values: Vec<String> = (0..1000).map(|value| value.to_string()).collect();
    let list = format!("in ({})", values.join(", "));
    let many = all_of(110, r#"audience("base")"#);
    for text in [
        format!("traits.x {list}"),
        format!(r#"event("A") where properties.x {list}"#),
        format!(r#"count(event("A") where properties.x {list}) > 1"#),
        format!(r#"sequence(event("A") where properties.x {list} then event("B"))"#),
    ] {
        let defined = defined(&[("base", text.as_str()), ("many", many.as_str())]);
        let (key, message) = check_references(&defined).expect_err(&text);
        assert!(key == "many" && message.contains("more than 10000 parts"), "{message}");
    }
}

#[test]
fn keepers_are_wanted_once_and_have_a_limit() {
    let performed = |at: usize| {
        let name = Some(format!("e{at}"));
        Condition::Performed(EventPattern {
            kind: EventKind::Track,
            name,
            filter: None,
            window: Window::Ever,
        })
    };
    let of = |count: usize| {
        let mut defined = defined(&[("a", "traits.x exists"), ("b", "traits.x exists")]);
        defined.audiences[0].definition = Condition::All((0..count / 2).map(performed).collect());
        defined.audiences[1].definition =
            Condition::Any((0..count).skip(count / 2 - 1).map(performed).collect());
        defined.traits.policies.insert("plan".to_owned(), MergePolicy::Oldest);
        defined
    };
    let wanted = Catalog::wanted(&of(4));
    let name = |spec: &KeeperSpec| match spec {
        KeeperSpec::Trail(spec) => spec.events.name.clone(),
        KeeperSpec::Trait { name } => Some(name.clone()),
    };
    let names: Vec<String> = wanted.iter().filter_map(name).collect();
    assert_eq!(names, ["e0", "e1", "e2", "e3", "plan"]);
    assert_eq!(check_size(&of(KEEPERS_MAX)), Ok(()));
    let message = check_size(&of(KEEPERS_MAX + 1)).expect_err("they are too many");
    assert!(message.contains("5001 different sets of events"), "{message}");
}

#[test]
fn what_has_no_number_is_broken_or_left_out() {
    let mut defined =
        defined(&[("numbered", r#"event("A")"#), ("plain", "traits.x exists"), ("not", r#"not event("B")"#)]);
    let computed = |number: u32, text: &str| ComputedTrait {
        id: ComputedTraitId(number),
        key: format!("c{number}"),
        name: String::new(),
        definition: parse_aggregate(text).expect(text),
        created_at: Timestamp::default(),
    };
    defined.computed_traits = vec![computed(1, r#"count(event("B"))"#), computed(2, r#"count(event("A"))"#)];
    defined.traits.policies.insert("plan".to_owned(), MergePolicy::Oldest);
    let of_a = Measure::of(&defined.computed_traits[1].definition).keeper;
    let whole = compile(&defined);
    let catalog = Catalog::compile(&defined, &BTreeMap::from([(of_a.hash(), 7)]));
    let problems: Vec<Option<&str>> =
        catalog.audiences().iter().map(|audience| audience.problem.as_deref()).collect();
    assert_eq!(problems, [None, None, Some("nothing is kept of the events that it asks about")]);
    let broken = &catalog.audiences()[2];
    assert!(broken.keepers.is_empty() && !broken.is_true_of_nobody);
    assert_eq!(broken.hash, whole.audiences()[2].hash, "it means the same");
    let computed: Vec<u32> = catalog.computed().iter().map(|computed| computed.keeper).collect();
    assert_eq!(computed, [7]);
    assert!(catalog.policy("plan").is_none() && whole.policy("plan").is_some());
    assert_eq!(catalog.keepers().numbers(), &BTreeSet::from([7]));
}

/// The state knows keepers by hashes of these texts. If they change, the log is read back for all of them.
#[test]
fn keepers_are_known_by_texts_that_stay() {
    let cases = [
        (
            r#"sum(event("Order Completed").properties.total where properties.currency = "EUR" within 30d)"#,
            concat!(
                r#"{"Trail":{"events":{"kind":"track","name":"Order Completed","where":{"compare":"#,
                r#"{"left":{"field":"properties.currency"},"operator":"equals","right":{"value":"EUR"}}}},"#,
                r#""value":"properties.total","keep":{"Marks":"30d"}}}"#
            ),
        ),
        (
            r#"count(event() between "2026-01-01" and "2026-02-01")"#,
            concat!(
                r#"{"Trail":{"events":{"kind":"track","#,
                r#""window":{"between":["2026-01-01T00:00:00.000Z","2026-02-01T00:00:00.000Z"]}},"#,
                r#""value":null,"keep":"Totals"}}"#
            ),
        ),
    ];
    let of_trails = cases.map(|(text, want)| (Measure::of(&parse_aggregate(text).expect(text)).keeper, want));
    let of_trait = (KeeperSpec::Trait { name: "plan".to_owned() }, r#"{"Trait":{"name":"plan"}}"#);
    for (spec, want) in of_trails.into_iter().chain([of_trait]) {
        assert_eq!(serde_json::to_string(&spec).expect("it can be written"), want);
        assert_eq!(spec.hash(), blake3::hash(want.as_bytes()).as_bytes()[..16], "{want}");
    }
}

#[test]
fn a_value_that_is_too_long_is_missing_and_makes_the_rest_approximate() {
    let long = format!(
        r#"{{"type":"track","event":"A","properties":{{"v":"{}"}}}}"#,
        "x".repeat(crate::trail::VALUE_BYTES_MAX)
    );
    let short = r#"{"type":"track","event":"A","properties":{"v":"y"}}"#;
    for (text, want) in [
        (r#"last(event("A").properties.v)"#, Some(r#""y""#)),
        (r#"unique_count(event("A").properties.v within 30d)"#, Some("1")),
    ] {
        let measure = Measure::of(&parse_aggregate(text).expect(text));
        let specs = [(1, measure.keeper.clone())];
        let fragment = fragment(&specs, &[(1, short), (2, &long)]);
        let plan = ComputedPlan {
            id: ComputedTraitId(1),
            key: String::new(),
            name: String::new(),
            keeper: 1,
            measure: measure.map(&mut |_| 1),
        };
        let computed = plan.value(&One(&fragment), Timestamp::from_millis(3 * DAY));
        assert_eq!((computed.json.as_deref(), computed.is_approximate), (want, true), "{text}");
    }
}
