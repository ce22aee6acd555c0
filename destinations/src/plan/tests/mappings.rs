//! Triggers and mappings: which take what, and what they make of it.

use super::*;
use std::collections::BTreeSet;

#[test]
fn a_definition_does_by_itself_what_is_preset() {
    let event = r#"{ "type":"track", "event":"Order Completed","properties":{"total":12.50} }"#;
    let Planned::Payloads { payloads, refused } = plan(&config()).plan(KEY, &activation(event), NOW) else {
        panic!("it is sent");
    };
    assert!(refused.is_empty());
    let [payload] = payloads.as_slice() else { panic!("it does one thing") };
    // Its place among all actions is the number, so that other presets don't change it.
    assert_eq!((payload.mapping, payload.action), (2, 1));
    let id = delivery_id(KEY, Position::at(7), 0, &MessageId::parse("m").expect("an id"));
    assert_eq!(payload.id, format!("{id}.2"));
    assert_eq!(payload.body, format!(r#"{{"event":{event}}}"#), "byte for byte");
    assert_eq!(payload.profile, Some(ProfileId([7; 16])));
    assert_eq!(payload.received_at, Timestamp::from_millis(1_000));
}

#[test]
fn every_mapping_that_takes_an_event_does_something() {
    let mut config = config();
    let mut off = mapping(5, "whole", None);
    off.enabled = false;
    config.mappings = Some(vec![
        mapping(1, "order", None),
        mapping(2, "order", Some("properties.total > 100")),
        mapping(3, "order", Some("profile.audiences.vip = true and event = \"Order Completed\"")),
        mapping(4, "never", None),
        off,
        mapping(900_000, "whole", Some("profile.traits.age absent")),
    ]);
    let event = r#"{"type":"track","event":"Order Completed","properties":{"total":12.50}}"#;
    let activation = activation(event);
    let made = sent(&config, &activation);
    let id = delivery_id(KEY, Position::at(7), 0, &MessageId::parse("m").expect("an id"));
    let ids: Vec<_> = made.iter().map(|(mapping, id, _)| (*mapping, id.clone())).collect();
    assert_eq!(ids, [(1, id.clone()), (3, format!("{id}.3")), (900_000, format!("{id}.900000"))]);
    let shared = id.clone();
    let order = |id: &str, mapping: u32| {
        let delivery = json!({
            "id": id, "shared_id": shared, "kind": "event", "received_at": "1970-01-01T00:00:01.000Z",
            "mapping": mapping,
        });
        json!({"total": 12.5, "plan": "pro", "delivery": delivery})
    };
    assert_eq!(made[0].2, order(&id, 1));
    assert_eq!(made[1].2, order(&format!("{id}.3"), 3));
    assert_eq!(made[2].2, json!({"event": serde_json::from_str::<Value>(event).expect("JSON")}));
}

#[test]
fn actions_take_kinds_of_activations() {
    let mut config = config();
    let taken = |config: &DestinationConfig, kind: ActivationKind, event_kind: EventKind| {
        let mut activation = activation(r#"{"event":"Order Completed","properties":{"total":1}}"#);
        (activation.header.kind, activation.header.event_kind) = (kind, event_kind);
        left_out(config, &activation).is_none()
    };
    config.mappings = Some(vec![mapping(1, "order", None)]);
    for kind in ActivationKind::ALL {
        let is_clients = kind == ActivationKind::Event;
        assert_eq!(
            taken(&config, kind, EventKind::Track),
            is_clients,
            "{kind:?}: only events are track calls"
        );
    }
    for kind in EventKind::ALL {
        assert_eq!(taken(&config, ActivationKind::Event, kind), kind == EventKind::Track, "{kind}");
    }
    config.mappings = None;
    for kind in ActivationKind::ALL {
        assert!(taken(&config, kind, EventKind::Track), "{kind:?}");
    }
}

#[test]
fn what_is_not_valid_is_refused_and_the_rest_is_sent() {
    let mut config = config();
    config.mappings = Some(vec![mapping(1, "order", None), mapping(2, "whole", None)]);
    let missing = activation(r#"{"type":"track","event":"Order Completed","properties":{}}"#);
    let Planned::Payloads { payloads, refused } = plan(&config).plan(KEY, &missing, NOW) else {
        panic!("one of them is sent");
    };
    assert_eq!(payloads.iter().map(|payload| payload.mapping).collect::<Vec<_>>(), [2]);
    let [(1, failure)] = refused.as_slice() else { panic!("one is refused: {refused:?}") };
    assert_eq!(failure.reason, Reason::MissingField);
    assert!(failure.text.starts_with("mapping 1 \"mapping 1\": "), "{}", failure.text);
    assert!(failure.text.contains("total"), "{}", failure.text);

    config.mappings = Some(vec![mapping(1, "order", None)]);
    let Planned::Payloads { payloads, refused } = plan(&config).plan(KEY, &missing, NOW) else {
        panic!("it is refused");
    };
    assert!(payloads.is_empty() && refused.len() == 1);
}

#[test]
fn payloads_share_requests_by_action_and_by_what_has_to_be_equal() {
    let mut config = config();
    config.mappings =
        Some(vec![mapping(1, "order", None), mapping(2, "order", None), mapping(3, "whole", None)]);
    let event = r#"{"type":"track","event":"Order Completed","properties":{"total":1}}"#;
    let groups = |plan_of: Option<&str>| -> Vec<u64> {
        let mut activation = activation(event);
        activation.header.carried.traits = [("plan".into(), plan_of.map(Into::into))].into();
        match plan(&config).plan(KEY, &activation, NOW) {
            Planned::Payloads { payloads, .. } => payloads.iter().map(|payload| payload.group).collect(),
            other @ (Planned::LeftOut { .. } | Planned::Dead(_)) => panic!("it is sent: {other:?}"),
        }
    };
    let (pro, free, none) = (groups(Some("\"pro\"")), groups(Some("\"free\"")), groups(None));
    assert_eq!(pro, groups(Some("\"pro\"")));
    assert_eq!((pro[0], pro[2]), (pro[1], free[2]));
    assert_eq!(BTreeSet::from([pro[0], free[0], none[0], pro[2]]).len(), 4);
}

#[test]
fn what_activations_have_to_carry_is_known() {
    let mut config = config();
    assert_eq!(plan(&config).needs(), DestinationNeeds::default());
    let mut mapped = mapping(1, "order", Some("profile.traits.trigger.city exists"));
    mapped.fields = [
        ("total".to_owned(), json!({"@path": "$.profile.traits.spent"})),
        ("plan".to_owned(), json!({"@template": "{{profile.traits.first}} {{profile.audiences.new}}"})),
        ("delivery".to_owned(), json!({"name": {"@path": "$.profile.traits['last name']"}})),
    ]
    .into();
    let mut off = mapping(2, "order", Some("profile.traits.off exists and profile.audiences.gone = true"));
    off.enabled = false;
    config.mappings = Some(vec![mapped, off]);
    config.filters = vec![
        filter("profile.audiences.vip = true and profile.id exists", json!("drop")),
        filter("type exists", json!({"sample": {"percent": 5, "path": "profile.traits.bucket"}})),
    ];
    let texts =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let want = DestinationNeeds {
        traits: texts(&["bucket", "first", "last name", "spent", "trigger"]),
        audiences: texts(&["new", "vip"]),
    };
    assert_eq!(plan(&config).needs(), want);
    // What no part of it names any more is not needed: `plan` was, by default.
    config.mappings = Some(vec![mapping(1, "order", None)]);
    assert!(plan(&config).needs().traits.contains("plan"));
}

#[test]
fn a_destination_sees_of_a_profile_only_what_it_names() {
    let mut config = config();
    let mut mapped = mapping(1, "order", Some("profile.audiences.vip = true"));
    mapped.fields =
        [("total".to_owned(), json!(1)), ("delivery".to_owned(), json!({"@path": "$.profile"}))].into();
    config.mappings = Some(vec![mapped]);
    let mut activation = activation(r#"{"type":"track","profile":"not this"}"#);
    activation.header.carried.traits.insert("secret".into(), Some("1".into()));
    let made = sent(&config, &activation);
    let want = json!({
        "id": ProfileId([7; 16]).to_string(), "traits": {"plan": "pro"}, "audiences": {"vip": true},
        "identifiers": {"user_id": ["ada"]},
    });
    assert_eq!(made[0].2["delivery"], want);
}

#[test]
fn a_trigger_that_can_not_be_told_is_neither_sent_nor_left_out() {
    let mut config = config();
    config.mappings = Some(vec![
        mapping(1, "order", Some("profile.traits.tier = \"gold\"")),
        mapping(2, "never", Some("profile.traits.tier = \"gold\"")),
        mapping(3, "whole", None),
    ]);
    let activation = activation(r#"{"type":"track","event":"Seen","properties":{"total":1}}"#);
    let Planned::Payloads { payloads, refused } = plan(&config).plan(KEY, &activation, NOW) else {
        panic!("one of them is sent");
    };
    assert_eq!(payloads.iter().map(|payload| payload.mapping).collect::<Vec<_>>(), [3]);
    let [(1, failure)] = refused.as_slice() else { panic!("one can't be told: {refused:?}") };
    assert_eq!(failure.reason, Reason::FilterNotEvaluable);
    assert!(failure.text.contains("the trait `tier`"), "{}", failure.text);
}
