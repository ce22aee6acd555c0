//! Filters on their way to a payload; what can't be used, and what can't be read.

use super::*;

#[test]
fn what_filters_take_out_is_missing_for_everything_after_them() {
    let event =
        r#"{"type":"track","event":"Seen","properties":{"total": 1.0 ,"card":"4000","mail":"a@b.c"}}"#;
    let drop = |fields: &[&str]| json!({"drop_properties": {"fields": fields}});
    let type_exists = "type exists";
    let whole =
        |left: &str| vec![format!(r#"{{"event":{{"type":"track","event":"Seen","properties":{left}}}}}"#)];
    let cases = [
        (vec![filter(type_exists, drop(&["properties.card"]))], whole(r#"{"total": 1.0,"mail":"a@b.c"}"#)),
        (
            vec![
                filter(type_exists, drop(&["properties.card"])),
                filter("properties.card absent", drop(&["properties.mail"])),
                filter("properties.mail exists", json!("drop")),
            ],
            whole(r#"{"total": 1.0}"#),
        ),
        (
            vec![filter(type_exists, json!({"allow_properties": {"fields": ["properties.mail"]}}))],
            whole(r#"{"mail":"a@b.c"}"#),
        ),
        (
            vec![
                filter(type_exists, drop(&["properties.card"])),
                filter("properties.card absent", json!("drop")),
            ],
            Vec::new(),
        ),
        (vec![filter("event = \"Other\"", drop(&["properties"]))], vec![format!(r#"{{"event":{event}}}"#)]),
    ];
    for (number, (filters, want)) in (1..).zip(cases) {
        let mut config = config();
        config.filters = filters;
        let got: Vec<bytes::Bytes> = match plan(&config).plan(KEY, &activation(event), NOW) {
            Planned::Payloads { payloads, .. } => payloads.into_iter().map(|payload| payload.body).collect(),
            Planned::LeftOut { outcome, .. } => {
                assert_eq!(outcome, Outcome::FilteredByFilter, "case {number}");
                Vec::new()
            }
            Planned::Dead(failure) => panic!("case {number}: {failure:?}"),
        };
        assert_eq!(got, want, "case {number}");
    }
}

#[test]
fn triggers_look_at_what_filters_left() {
    let mut config = config();
    config.filters = vec![filter("type exists", json!({"drop_properties": {"fields": ["properties.plan"]}}))];
    config.mappings = Some(vec![mapping(1, "whole", Some("properties.plan exists"))]);
    let activation = activation(r#"{"type":"track","properties":{"plan":"pro"}}"#);
    let outcome = left_out(&config, &activation).map(|(outcome, _)| outcome);
    assert_eq!(outcome, Some(Outcome::FilteredByTrigger));
}

#[test]
fn a_filter_that_can_not_be_told_ends_in_a_dead_letter() {
    let mut config = config();
    config.filters = vec![filter("profile.traits.tier = \"gold\"", json!("drop"))];
    let Planned::Dead(failure) = plan(&config).plan(KEY, &activation(r#"{"type":"track"}"#), NOW) else {
        panic!("it is neither sent nor left out");
    };
    assert_eq!(failure.reason, Reason::FilterNotEvaluable);
    assert!(failure.text.contains("filter \"the filter\" names the trait `tier`"), "{}", failure.text);
    // Of what an earlier filter leaves out, the later one need not be told.
    config.filters.insert(0, filter("type exists", json!("drop")));
    assert!(left_out(&config, &activation(r#"{"type":"track"}"#)).is_some());
}

#[test]
fn damaged_events_are_dead_letters() {
    let events: [&[u8]; 5] = [b"", b"{", b"[]", b"{} x", b"{\"a\":\"\xff\"}"];
    for event in events {
        let mut damaged = activation("");
        damaged.event = bytes::Bytes::from_static(event);
        let Planned::Dead(failure) = plan(&config()).plan(KEY, &damaged, NOW) else {
            panic!("it can't be sent: {event:?}");
        };
        assert_eq!(failure.reason, Reason::UnreadableEvent);
    }
}

type Change = fn(&mut DestinationConfig);

/// What is changed, where the error says it stands, and a part of what it says.
const BAD: &[(Change, &str, &str)] = &[
    (|config| config.settings = [("send".to_owned(), json!([]))].into(), "send", "must name at least one"),
    (|config| config.settings = [("x".to_owned(), json!(1))].into(), "x", "is not a setting of sample"),
    (|config| config.consent.categories = [String::new()].into(), "consent.categories", "is empty or longer"),
    (
        |config| config.consent.categories = ["c".repeat(129)].into(),
        "consent.categories",
        "is empty or longer",
    ),
    (
        |config| config.consent.categories = (0..101).map(|at| format!("c{at}")).collect(),
        "consent.categories",
        "names 101 categories; the limit is 100",
    ),
    (|config| config.filters = vec![filter("type exists", json!("drop")); 11], "filters", "the limit is 10"),
    (
        |config| {
            let mut wrong = filter("type exists", json!("drop"));
            wrong.condition = parse_condition("traits.a exists", Scope::Profile).expect("a condition");
            config.filters = vec![filter("type exists", json!("drop")), wrong];
        },
        "filters[1].condition",
        "can't be used: compare.left: a condition about an event looks at that event alone",
    ),
    (
        |config| config.filters = vec![filter("profile.audiences.gone = true", json!("drop"))],
        "filters[0].condition",
        "names the audience `gone`, which the workspace does not have",
    ),
    (|config| config.mappings = Some(Vec::new()), "mappings", "is empty"),
    (
        |config| config.mappings = Some((1..=51).map(|id| mapping(id, "whole", None)).collect()),
        "mappings",
        "has 51 mappings; the limit is 50",
    ),
    (|config| config.mappings = Some(vec![mapping(0, "whole", None)]), "mappings[0].id", "from 1 to 1000000"),
    (
        |config| config.mappings = Some(vec![mapping(1_000_001, "whole", None)]),
        "mappings[0].id",
        "from 1 to 1000000",
    ),
    (
        |config| config.mappings = Some(vec![mapping(3, "whole", None), mapping(3, "whole", None)]),
        "mappings[1].id",
        "that no other mapping has",
    ),
    (
        |config| config.mappings = Some(vec![mapping(1, "whol", None)]),
        "mappings[0].action",
        "is no action of sample; it has order, whole, never",
    ),
    (
        |config| config.mappings = Some(vec![mapping(1, "whole", Some("profile.audiences.gone = true"))]),
        "mappings[0].trigger",
        "names the audience `gone`",
    ),
    (
        |config| {
            let mut wrong = mapping(1, "whole", None);
            wrong.fields = [("colour".to_owned(), json!("red"))].into();
            config.mappings = Some(vec![wrong]);
        },
        "mappings[0].fields.colour",
        "",
    ),
    (
        |config| {
            let mut wrong = mapping(1, "whole", None);
            wrong.fields = [("event".to_owned(), json!({"@path": "$["}))].into();
            config.mappings = Some(vec![wrong]);
        },
        "mappings[0].fields.event",
        "",
    ),
];

#[test]
fn what_can_not_be_used_is_refused_with_the_place() {
    for (change, field, part) in BAD {
        let mut config = config();
        change(&mut config);
        let error = Plan::compile(&SPEC, &config).err().expect(field);
        assert!(error.field.starts_with(field) && error.message.contains(part), "{field}: {error}");
    }
}
