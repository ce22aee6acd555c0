//! Small checks of plans; how they agree with a slow evaluation over whole lists of events is tested in `profiles`.

use super::*;
use crate::condition::{Scope, parse_aggregate, parse_condition};
use crate::event::EventView;
use crate::fragment::{Fragment, Sighting};
use crate::id::{MessageId, SourceId};
use crate::keeper::Kept;

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
        let measured = measure.map(&mut |_| 1).measure(&One(&fragment), Timestamp::from_millis(4 * DAY));
        let json = (!measured.datum.is_null()).then(|| measured.datum.to_json());
        assert_eq!(json.as_deref(), want, "{text}");
    }
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
