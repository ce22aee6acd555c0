//! What is too old for a vendor, when it is first planned and when it has waited.

use super::*;

/// A definition whose vendor takes what is up to two hours old.
static AGED: LazyLock<Spec> = LazyLock::new(|| {
    let field = |name: &str, kind: &str, path: &str| {
        let default = json!({ "@path": path });
        json!({"name": name, "kind": kind, "help": "h", "default": default})
    };
    let action = |name: &str, at: &str| {
        let fields = [field("when.at", "datetime", at), field("name", "text", "$.event")];
        json!({
            "name": name, "title": "Send", "help": "h", "takes": ["track", "audience_changes"], "preset": true,
            "fields": fields,
        })
    };
    let json = json!({
        "name": "aged", "title": "Aged", "help": "h", "settings": [], "transport": {"kind": "object_storage"},
        "actions": [action("happened", "$.timestamp"), action("arrived", "$.delivery.received_at")],
        "limits": {"event_age": {"hours": 2, "field": "when.at"}},
    });
    serde_json::from_value(json).expect("a definition")
});

fn aged() -> Plan {
    Plan::compile(&AGED, &config()).unwrap_or_else(|error| panic!("{error}"))
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text).expect("a time")
}

/// An activation of an event that happened at noon, in another zone, and arrived at one o'clock.
fn from_noon(kind: ActivationKind) -> Activation {
    let mut activation =
        activation(r#"{"type":"track","event":"Seen","timestamp":"2026-11-20T14:00:00+02:00"}"#);
    activation.header.kind = kind;
    activation.header.received_at = at("2026-11-20T13:00:00Z");
    activation
}

fn made(plan: &Plan, activation: &Activation, now: Timestamp) -> (Vec<Payload>, Vec<(u32, Failure)>) {
    match plan.plan(KEY, activation, now) {
        Planned::Payloads { payloads, refused } => (payloads, refused),
        other @ (Planned::LeftOut { .. } | Planned::Dead(_)) => panic!("it is taken: {other:?}"),
    }
}

#[test]
fn what_is_too_old_is_refused_by_the_mappings_that_send_its_time() {
    let plan = aged();
    let cases: [(&str, &[u32]); 5] = [
        ("2026-11-20T11:00:00Z", &[]),
        ("2026-11-20T14:00:00Z", &[]),
        ("2026-11-20T14:00:00.000001Z", &[1]),
        ("2026-11-20T15:00:00Z", &[1]),
        ("2026-11-20T15:00:01Z", &[1, 2]),
    ];
    for kind in [ActivationKind::Event, ActivationKind::AudienceEntered] {
        for (now, want) in cases {
            let (payloads, refused) = made(&plan, &from_noon(kind), at(now));
            let numbers: Vec<u32> = refused.iter().map(|(mapping, _)| *mapping).collect();
            assert_eq!(numbers, want, "{now}");
            assert_eq!(payloads.len() + refused.len(), 2, "{now}");
            assert!(
                refused.iter().all(|(_, failure)| failure.reason == Reason::TooOld),
                "{now}: {refused:?}"
            );
        }
    }
    let (_, refused) = made(&plan, &from_noon(ActivationKind::Event), at("2026-11-21T12:00:00Z"));
    let want = "mapping 1 \"Send\": the field when.at says that the event is more than 23 hours old, and Aged takes what is \
                up to 2 hours old: send events sooner, or map the field to the time at which they shall count, such as \
                $.delivery.received_at";
    assert_eq!(refused[0].1.text, want);
}

#[test]
fn payloads_that_waited_for_too_long_are_outdated() {
    let plan = aged();
    let (payloads, refused) = made(&plan, &from_noon(ActivationKind::Event), at("2026-11-20T13:00:00Z"));
    assert!(refused.is_empty(), "{refused:?}");
    for (now, is_outdated) in
        [("2026-11-20T14:00:00Z", false), ("2026-11-20T14:00:01Z", true), ("2026-12-20T14:00:00Z", true)]
    {
        assert_eq!(plan.is_outdated(&payloads, at(now)), is_outdated, "{now}");
    }
    assert!(!plan.is_outdated(&[], NOW));
}

#[test]
fn what_gives_no_time_and_what_goes_elsewhere_is_of_any_age() {
    let far = at("2099-01-01T00:00:00Z");
    let mut timeless = from_noon(ActivationKind::Event);
    timeless.event = r#"{"type":"track","event":"Seen"}"#.into();
    let (payloads, refused) = made(&aged(), &timeless, far);
    assert_eq!((payloads.len(), refused[0].0), (1, 2), "only its arrival is old");
    let (payloads, _) = made(&plan(&config()), &from_noon(ActivationKind::Event), far);
    assert!(!payloads.is_empty() && !plan(&config()).is_outdated(&payloads, far));
}
