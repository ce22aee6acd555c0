//! What filters do with events.

use super::*;
use crate::plan::ProfileText;
use proptest::prelude::*;
use serde_json::{Value, json};
use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::{
    EventKind, EventView, Identifier, MessageId, Namespace, Position, ProfileId, SourceId, Timestamp,
    WorkspaceId,
};

/// The header of a track call of a person.
fn header(message_id: &str) -> ActivationHeader {
    ActivationHeader {
        workspace: WorkspaceId(1),
        position: Position::at(1),
        ordinal: 0,
        profile: Some(ProfileId([7; 16])),
        identifiers: vec![Identifier::parse(Namespace::USER_ID, "ada").expect("an identifier")],
        event_kind: EventKind::Track,
        source: SourceId(1),
        message_id: MessageId::parse(message_id).expect("an id"),
        received_at: Timestamp::default(),
        event_time: Timestamp::default(),
        kind: ActivationKind::Event,
        carried: Carried {
            traits: [("plan".into(), Some("\"pro\"".into())), ("age".into(), None)].into(),
            audiences: [("vip".into(), true)].into(),
            consent: None,
        },
    }
}

fn filter(condition: &str, action: Value) -> Result<CompiledFilter, SettingsError> {
    let filter = DestinationFilter {
        name: "test".to_owned(),
        condition: parse_condition(condition, Scope::Event).expect(condition),
        action: serde_json::from_value(action).expect("an action"),
    };
    CompiledFilter::compile("filters[3]", &filter, &["vip".to_owned(), "new".to_owned()].into())
}

fn act(filter: &CompiledFilter, header: &ActivationHeader, event: &str) -> Result<Acted, Failure> {
    let members = Members::parse(event).expect("an object");
    let view = EventView::from_members(header.event_kind, members);
    let profile = ProfileText::of(header, filter.names().needs());
    filter.act(&Subject { header, event: &view, profile: &profile }, event)
}

#[test]
fn events_are_left_out_where_the_condition_holds() {
    let event = r#"{"type":"track","event":"Seen","properties":{"total":5},"profile":{"id":"not this"}}"#;
    let cases = [
        ("event = \"Seen\"", true),
        ("event = \"Bought\"", false),
        ("properties.total > 4 and type = \"track\"", true),
        ("properties.none exists", false),
        ("profile.traits.plan = \"pro\"", true),
        ("profile.traits.age absent", true),
        ("profile.audiences.vip = true", true),
        ("profile.id = \"not this\"", false),
        ("profile.identifiers.user_id contains \"ada\"", true),
        ("profile.identifiers.email exists", false),
    ];
    for (condition, is_left_out) in cases {
        let filter = filter(condition, json!("drop")).expect(condition);
        let want = if is_left_out { Acted::LeftOut } else { Acted::Passed };
        assert_eq!(act(&filter, &header("m"), event), Ok(want), "{condition}");
    }
}

#[test]
fn what_is_not_carried_can_not_be_told() {
    let cases = [
        ("profile.traits.tier = \"gold\"", json!("drop"), "the trait `tier`"),
        ("profile.audiences.new = true", json!("drop"), "the audience `new`"),
        ("event = \"none\" and profile.traits.tier exists", json!("drop"), "the trait `tier`"),
        (
            "type exists",
            json!({"sample": {"percent": 5.0, "path": "profile.traits.tier"}}),
            "the trait `tier`",
        ),
    ];
    for (condition, action, part) in cases {
        let filter = filter(condition, action).expect(condition);
        let failure = act(&filter, &header("m"), "{}").expect_err(condition);
        assert_eq!(failure.reason, crate::failure::Reason::FilterNotEvaluable);
        assert!(failure.text.contains(part) && failure.text.contains("filter \"test\""), "{}", failure.text);
        // Of nobody it is known that nothing is known.
        let mut nobody = header("m");
        (nobody.profile, nobody.carried) = (None, Carried::default());
        assert!(act(&filter, &nobody, "{}").is_ok(), "{condition}");
    }
}

fn paths(texts: &[&str]) -> Vec<FieldPath> {
    texts.iter().map(|text| text.parse().expect(text)).collect()
}

#[test]
fn filters_edit_where_their_condition_holds() {
    let event = r#"{"type":"track","properties":{"total": 1.0 ,"card":"4000"}}"#;
    let (dropped, allowed) = (
        r#"{"type":"track","properties":{"total": 1.0}}"#,
        r#"{"type":"track","properties":{"card":"4000"}}"#,
    );
    for (kind, condition, want) in [
        ("drop_properties", "type exists", Some(dropped)),
        ("allow_properties", "type exists", Some(allowed)),
        ("drop_properties", "type absent", None),
    ] {
        let filter = filter(condition, json!({kind: {"fields": ["properties.card"]}})).expect("a filter");
        let want = want.map_or(Acted::Passed, |text| Acted::Edited(text.to_owned()));
        assert_eq!(act(&filter, &header("m"), event), Ok(want), "{kind} {condition}");
    }
}

#[test]
fn members_are_taken_out_and_every_other_byte_stays() {
    // (members, the event, what is left)
    let cases: [(&[&str], &str, Option<&str>); 13] = [
        (&["a"], r#"{"a":1,"b":2}"#, Some(r#"{"b":2}"#)),
        (&["b"], r#"{"a":1,"b":2}"#, Some(r#"{"a":1}"#)),
        (&["b"], r#"{ "a" : 1 , "b" : 2 , "c" : 3.00 }"#, Some(r#"{ "a" : 1 , "c" : 3.00 }"#)),
        (&["a"], r#"{ "a" : 1 , "b" : 2 }"#, Some(r#"{ "b" : 2 }"#)),
        (&["a", "b"], r#"{"a":1, "b":2 }"#, Some(r#"{ }"#)),
        (&["none", "a.b"], r#"{"a":1,"a.b":2}"#, None),
        (&[r"a\.b"], r#"{"a":1,"a.b":2}"#, Some(r#"{"a":1}"#)),
        (&["a"], r#"{"a":1,"x":0,"a":2}"#, Some(r#"{"x":0}"#)),
        (&["\u{e9}"], r#"{"x,y":[1 , 2],"\u00e9":1,"é":2}"#, Some(r#"{"x,y":[1 , 2]}"#)),
        (&["p.x", "p.y"], r#"{"p":{"x":1,"k":1e2,"y":[]},"q":"{"}"#, Some(r#"{"p":{"k":1e2},"q":"{"}"#)),
        (&["p.x"], r#"{"p":[{"x":1,"y":2},"x",[{"x":3}]]}"#, Some(r#"{"p":[{"y":2},"x",[{}]]}"#)),
        (&["p.x"], r#"{"p":"x"}"#, None),
        (&["p", "p.x"], r#"{"p":{"y":1}}"#, Some(r#"{}"#)),
    ];
    for (fields, event, want) in cases {
        let edit = Edit::Drop(Named::of(&paths(fields)));
        assert_eq!(edit.edited(event).as_deref(), want, "{fields:?} {event}");
    }
}

#[test]
fn only_allowed_members_stay_in_the_objects_that_are_mentioned() {
    let cases: [(&[&str], &str, Option<&str>); 10] = [
        (&["p.x"], r#"{"q":1,"p":{"x":1 ,"y":2}}"#, Some(r#"{"q":1,"p":{"x":1}}"#)),
        (&["p.x"], r#"{"p":{"y":2, "x":0.10}}"#, Some(r#"{"p":{ "x":0.10}}"#)),
        (&["p.x"], r#"{"p":{"x":{"deep":[1]}}}"#, None),
        (&["p.a.x"], r#"{"p":{"y":1,"a":{"x":1,"z":2}}}"#, Some(r#"{"p":{"y":1,"a":{"x":1}}}"#)),
        (&["p.y", "p.a.x"], r#"{"p":{"y":1,"z":1,"a":{"x":1,"z":2}}}"#, Some(r#"{"p":{"y":1,"a":{"x":1}}}"#)),
        (
            &["type", "p.x"],
            r#"{"type":"track","p":{"x":1,"y":2},"q":1}"#,
            Some(r#"{"type":"track","p":{"x":1}}"#),
        ),
        (
            &["p.x"],
            r#"{"p":[{"x":1,"y":2},"secret",[{"y":3}]],"q":1}"#,
            Some(r#"{"p":[{"x":1},[{}]],"q":1}"#),
        ),
        // What stands where an object should is not allowed by what is said about its members.
        (&["p.x"], r#"{"p":"secret","q":1}"#, Some(r#"{"q":1}"#)),
        (&["p.a.x"], r#"{"p":{"a":"secret"}}"#, Some(r#"{"p":{}}"#)),
        (&["p.x"], r#"{"q":1}"#, None),
    ];
    for (fields, event, want) in cases {
        let edit = Edit::Allow(Named::of(&paths(fields)));
        assert_eq!(edit.edited(event).as_deref(), want, "{fields:?} {event}");
    }
}

#[test]
fn what_makes_no_sense_is_refused_with_the_place() {
    let fields = |kind: &str, fields: &[&str]| json!({kind: {"fields": fields}});
    let many: Vec<String> = (0..=FIELDS_MAX).map(|at| format!("properties.p{at}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let cases = [
        (
            "type exists",
            json!({"sample": {"percent": 101, "path": "userId"}}),
            "action.sample.percent",
            "0 to 100",
        ),
        (
            "type exists",
            json!({"sample": {"percent": -0.5, "path": "userId"}}),
            "action.sample.percent",
            "0 to 100",
        ),
        ("type exists", fields("drop_properties", &[]), "action.drop_properties.fields", "is empty"),
        (
            "type exists",
            fields("allow_properties", &many),
            "action.allow_properties.fields",
            "the limit is 200",
        ),
        (
            "type exists",
            fields("drop_properties", &["traits.a", "profile.traits.x"]),
            "action.drop_properties.fields[1]",
            "no part of the event",
        ),
        ("profile.audiences.gone = true", json!("drop"), "condition", "the audience `gone`"),
        (
            "type exists",
            json!({"sample": {"percent": 5, "path": "profile.audiences.gone"}}),
            "condition",
            "the audience `gone`",
        ),
    ];
    for (condition, action, place, part) in cases {
        let error = filter(condition, action.clone()).err().expect(condition);
        assert_eq!(error.field, format!("filters[3].{place}"), "{condition} {action}");
        assert!(error.message.contains(part), "{error}");
    }
}

/// A path that leads nowhere would keep nothing back, and nobody would see it.
#[test]
fn paths_that_lead_nowhere_are_refused_with_the_place() {
    let cases = [
        ("$.properties.card", "write properties.card"),
        ("properties.*", "write properties for all"),
        ("properties.y[0]", "write properties.y"),
        (" properties.card", "write properties.card"),
        ("propertie.card", "write properties.card"),
        ("Properties.card", "write properties.card"),
        ("total", "write properties.total"),
        ("$.userId", "write userId"),
    ];
    for (path, hint) in cases {
        for kind in ["drop_properties", "allow_properties"] {
            let action = json!({kind: {"fields": ["context.ip", "properties.first name", path]}});
            let error = filter("type exists", action).err().expect(path);
            assert_eq!(error.field, format!("filters[3].action.{kind}.fields[2]"), "{path}");
            assert!(error.message.contains(hint), "{path}: {error}");
        }
        let error = filter("type exists", json!({"sample": {"percent": 5, "path": path}})).err().expect(path);
        assert_eq!(error.field, "filters[3].action.sample.path", "{path}");
        assert!(error.message.contains(hint), "{path}: {error}");
    }
    let action = json!({"sample": {"percent": 5, "path": "profile.trait.plan"}});
    let error = filter("type exists", action).err().expect("there is no such part");
    assert_eq!(error.field, "filters[3].action.sample.path");
    assert!(error.message.contains("did you mean `profile.traits`"), "{error}");
}

fn sampled(percent: f64, path: &str, message_id: &str, event: &str) -> bool {
    let action = json!({"sample": {"percent": percent, "path": path}});
    let filter = filter("type exists or type absent", action).expect("a filter");
    act(&filter, &header(message_id), event) == Ok(Acted::Passed)
}

#[test]
fn samples_are_about_as_large_as_was_asked_for() {
    for (percent, least, most) in
        [(0.0, 0, 0), (10.0, 850, 1150), (50.0, 4800, 5200), (100.0, 10_000, 10_000)]
    {
        let action = json!({"sample": {"percent": percent, "path": "userId"}});
        let filter = filter("type absent", action).expect("a filter");
        let passed = |event: &str, id: &str| act(&filter, &header(id), event) == Ok(Acted::Passed);
        let by_user = (0..10_000).filter(|at| passed(&format!(r#"{{"userId":"u{at}"}}"#), "m")).count();
        let by_message = (0..10_000).filter(|at| passed(r#"{"userId":null}"#, &format!("m{at}"))).count();
        for count in [by_user, by_message] {
            assert!((least..=most).contains(&count), "{percent} %: {count} of 10000");
        }
    }
}

#[test]
fn equal_values_share_their_fate() {
    let forms = [r#"{"userId":"a"}"#, r#"{ "userId" : "\u0061" , "x" : 1 }"#];
    let numbers = [r#"{"userId":10}"#, r#"{"userId":1e1}"#, r#"{"userId":10.0}"#];
    for percent in 0..100 {
        let fate = |event: &&str| sampled(f64::from(percent), "userId", "m", event);
        assert_eq!(fate(&forms[0]), fate(&forms[1]));
        assert!(numbers.iter().map(fate).all(|passed| passed == fate(&numbers[0])));
    }
    let by_profile = (0..100).filter(|percent| sampled(f64::from(*percent), "profile.id", "m", "{}")).count();
    let again = (0..100).filter(|percent| sampled(f64::from(*percent), "profile.id", "other", "{}")).count();
    assert_eq!(by_profile, again, "the profile decides, not the message");
}

proptest! {
    /// A larger share holds all of a smaller one, and the message makes no difference where the value is there.
    #[test]
    fn samples_are_deterministic_and_nested(
        user in "[a-z]{1,8}", messages in ["[a-z]{1,8}", "[a-z]{1,8}"], shares in [0.0..100.0_f64, 0.0..100.0_f64],
    ) {
        let event = json!({"userId": user}).to_string();
        let [small, large] = if shares[0] <= shares[1] { shares } else { [shares[1], shares[0]] };
        let fate = |percent: f64, message: &str| sampled(percent, "userId", message, &event);
        prop_assert_eq!(fate(small, &messages[0]), fate(small, &messages[1]));
        prop_assert!(!fate(small, &messages[0]) || fate(large, &messages[0]));
    }

    /// Taking members out of an event's text leaves what taking them out of the parsed event leaves.
    #[test]
    fn edits_agree_with_a_parser(event in events(), drops in proptest::collection::vec(path(), 1..4)) {
        let text = event.to_string();
        let names: Vec<String> = drops.iter().map(|path| path.join(".")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let left = Edit::Drop(Named::of(&paths(&names))).edited(&text).unwrap_or(text);
        let mut want = event;
        drops.iter().for_each(|path| remove(&mut want, path));
        prop_assert_eq!(serde_json::from_str::<Value>(&left).expect("it is JSON"), want);
    }
}

fn path() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec("[abc]", 1..4)
}

fn events() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![any::<i32>().prop_map(Value::from), "[a-c,\"{}]{0,4}".prop_map(Value::from)];
    let value = leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            proptest::collection::btree_map("[abcd]", inner.clone(), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
            proptest::collection::vec(inner, 0..4).prop_map(Value::Array),
        ]
    });
    proptest::collection::btree_map("[abcd]", value, 0..4)
        .prop_map(|members| Value::Object(members.into_iter().collect()))
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((name, rest)) = path.split_first() else { return };
    if let Value::Array(elements) = value {
        elements.iter_mut().for_each(|element| remove(element, path));
    } else if let Value::Object(members) = value {
        if rest.is_empty() {
            members.remove(name);
        } else if let Some(member) = members.get_mut(name) {
            remove(member, rest);
        }
    }
}
