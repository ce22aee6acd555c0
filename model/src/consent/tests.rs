use super::*;
use proptest::prelude::*;
use serde_json::json;

/// An event with these preferences, as stored.
fn stored(user: Option<&str>, device: Option<&str>, preferences: &serde_json::Value) -> Vec<u8> {
    let context = json!({"consent": {"categoryPreferences": preferences}});
    let event =
        json!({"type": "track", "event": "Seen", "userId": user, "anonymousId": device, "context": context});
    event.to_string().into_bytes()
}

fn sighting(at: i64, message: &str) -> Sighting {
    Sighting {
        at: Timestamp::from_millis(at),
        message_id: MessageId::parse(message).expect("an id"),
        source: SourceId(1),
    }
}

fn fold(consent: &mut Consent, at: i64, payload: &[u8]) {
    let event = EventView::parse(payload).expect("an event");
    consent.fold(&event, &sighting(at, &format!("m{at}")));
}

fn shown(consent: &Consent) -> Vec<(&str, bool, i64)> {
    consent.current().map(|(name, value)| (name, value.granted, value.at.as_micros() / 1000)).collect()
}

#[test]
fn only_booleans_are_preferences() {
    let cases = [
        (r#"{"ad":true,"ads":false}"#, vec![("ad", true, 5), ("ads", false, 5)]),
        (r#"{"ad":"true","b":1,"c":null,"d":{}}"#, vec![]),
        (r#"{}"#, vec![]),
        ("[true]", vec![]),
        ("true", vec![]),
        (r#"{"ad":false,"ad":true}"#, vec![("ad", true, 5)]),
        (r#"{"ad":true,"ad":"x"}"#, vec![]),
        (r#"{"":true}"#, vec![("", true, 5)]),
    ];
    for (preferences, want) in cases {
        let payload = format!(
            r#"{{"type":"page","userId":"u","context":{{"consent":{{"categoryPreferences":{preferences}}}}}}}"#
        );
        let mut consent = Consent::default();
        fold(&mut consent, 5, payload.as_bytes());
        assert_eq!(shown(&consent), want, "{preferences}");
    }
    for context in ["null", "[]", r#"{"consent":null}"#, r#"{"consent":{"categoryPreferences":null}}"#, "{}"]
    {
        let mut consent = Consent::default();
        fold(&mut consent, 5, format!(r#"{{"type":"page","userId":"u","context":{context}}}"#).as_bytes());
        assert!(consent.is_empty(), "{context}");
    }
    let mut consent = Consent::default();
    let escaped =
        r#"{"type":"page","userId":"u","context":{"consent":{"\u0063ategoryPreferences":{"a":true}}}}"#;
    fold(&mut consent, 5, escaped.as_bytes());
    assert_eq!(shown(&consent), [("a", true, 5)], "a name written with escapes is the same name");
}

#[test]
fn the_newest_preference_of_an_id_counts_and_a_refusal_of_any_id_wins() {
    let (grant, refusal) = (json!({"ad": true}), json!({"ad": false}));
    let (user, device, other) = (Some("u"), Some("x"), Some("y"));
    // (what it shows, events by time, what counts)
    let cases = [
        ("granted again", vec![(1, user, None, &refusal), (2, user, None, &grant)], (true, 2)),
        ("late", vec![(2, user, None, &refusal), (1, user, None, &grant)], (false, 2)),
        ("before the merge", vec![(1, None, device, &refusal), (2, user, None, &grant)], (false, 1)),
        ("a device of its own", vec![(1, user, device, &refusal), (2, user, other, &grant)], (false, 1)),
        ("signed in", vec![(1, None, device, &refusal), (2, user, device, &grant)], (true, 2)),
        ("at one time", vec![(3, user, None, &grant), (3, user, None, &refusal)], (false, 3)),
    ];
    for (name, events, (granted, at)) in cases {
        let mut consent = Consent::default();
        for (at, user, device, preferences) in events {
            fold(&mut consent, at, &stored(user, device, preferences));
        }
        assert_eq!(shown(&consent), [("ad", granted, at)], "{name}");
    }
}

#[test]
fn limits_leave_what_was_refused() {
    let mut consent = Consent::default();
    let refused_at = 7;
    for at in 0..(IDS_MAX as i64 + 50) {
        let device = format!("x{at}");
        fold(&mut consent, at, &stored(None, Some(&device), &json!({"ad": at != refused_at})));
    }
    assert_eq!(consent.0["ad"].len(), IDS_MAX);
    assert_eq!(shown(&consent), [("ad", false, refused_at)]);

    let names: Vec<String> = (0..CATEGORIES_MAX + 20).map(|at| format!("c{at:04}")).collect();
    for order in [names.clone(), names.iter().rev().cloned().collect()] {
        let mut consent = Consent::default();
        for name in &order {
            fold(&mut consent, 1, &stored(Some("u"), None, &json!({name.as_str(): true})));
        }
        let kept: Vec<&str> = consent.current().map(|(name, _)| name).collect();
        assert_eq!(kept, names[..CATEGORIES_MAX].iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut consent = Consent::default();
    let long = "c".repeat(CATEGORY_BYTES_MAX + 1);
    fold(&mut consent, 1, &stored(Some("u"), None, &json!({long.as_str(): true})));
    assert!(consent.is_empty());
}

proptest! {
    /// Whatever the order, the repetition and the fragments that events came by: the same counts. An event may also be
    /// folded into the merge.
    #[test]
    fn order_repetition_and_fragments_make_no_difference(
        events in proptest::collection::vec(
            (0..6i64, proptest::option::of(0..2u8), 0..3u8, "[ab]", any::<bool>()), 1..20,
        ),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let event = |(at, user, device, category, granted): &(i64, Option<u8>, u8, String, bool)| {
            let (user, device) = (user.map(|user| format!("u{user}")), format!("x{device}"));
            let preferences = json!({category.as_str(): granted});
            (*at, stored(user.as_deref(), Some(&device), &preferences))
        };
        let mut straight = Consent::default();
        for one in &events {
            let (at, payload) = event(one);
            fold(&mut straight, at, &payload);
        }
        // Two fragments and their merge, with repeats and in another order; the last events go into the merge.
        let mut fragments = [Consent::default(), Consent::default()];
        for index in &order {
            let (at, payload) = event(index.get(&events));
            fold(&mut fragments[usize::from(at % 2 == 0)], at, &payload);
        }
        let [mut merged, other] = fragments;
        merged.merge(&other);
        for one in events.iter().rev() {
            let (at, payload) = event(one);
            fold(&mut merged, at, &payload);
        }
        prop_assert_eq!(merged, straight);
    }
}
