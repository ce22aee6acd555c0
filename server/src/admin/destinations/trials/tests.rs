use super::*;

/// What is asked of the engine at a fixed time.
fn order(body: &str) -> Result<PreviewOrder, Refusal> {
    let body: DestinationPreviewNew = serde_json::from_str(body).expect("a body");
    body.parts().0.order(&IngestLimits::default(), Timestamp::from_millis(1_790_000_000_000))
}

/// A given event, and whose it is.
fn given_event(body: &str) -> (String, PreviewProfile) {
    match order(body).expect(body).of {
        PreviewOf::Event { event, profile } => (String::from_utf8(event.to_vec()).expect("UTF-8"), profile),
        PreviewOf::Message(_) | PreviewOf::Latest => panic!("an event was given"),
    }
}

const EVENT: &str = r#"{"type": "page", "userId": "u"}"#;

#[test]
fn exactly_one_event_is_tried() {
    let cases = [
        (r#"{"event": @}"#, true),
        (r#"{"message_id": "m1", "send": true}"#, true),
        (r#"{"latest": true}"#, true),
        (r#"{"latest": true, "profile": {}}"#, false),
        (r#"{"event": @, "profile": {"id": "nobody"}}"#, false),
        (r#"{"event": @, "profile": {"identifiers": {"email": [""]}}}"#, false),
        ("{}", false),
        (r#"{"latest": false}"#, false),
        (r#"{"event": @, "latest": true}"#, false),
        (r#"{"event": @, "message_id": "m1"}"#, false),
    ];
    for (body, is_taken) in cases {
        assert_eq!(order(&body.replace('@', EVENT)).is_ok(), is_taken, "{body}");
    }
    assert!(order(r#"{"message_id": "m1", "send": true}"#).expect("it is taken").send);
}

#[test]
fn an_event_is_taken_as_the_collector_takes_it() {
    let now = Timestamp::from_millis(1_790_000_000_000);
    let filled_in = format!(r#","messageId":"preview","timestamp":"{now}","receivedAt":"{now}"}}"#);
    let cases = [
        (EVENT, Ok(EVENT.replace('}', &filled_in))),
        (r#"{"userId": "u"}"#, Err("`event`: the event has no `type`")),
        (r#"{"type": "sing", "userId": "u"}"#, Err("`event`: `type` is none of the known calls")),
        (r#"{"type": "page"}"#, Err("`event`: the event has neither")),
        ("[]", Err("`event`: the event is no JSON object")),
    ];
    for (event, want) in cases {
        let body = format!(r#"{{"event": {event}}}"#);
        match want {
            Ok(want) => assert_eq!(given_event(&body).0, want, "{event}"),
            Err(part) => {
                let refusal = order(&body).expect_err(event);
                assert!(refusal.message.starts_with(part), "{event}: {}", refusal.message);
            }
        }
    }
}

#[test]
fn a_person_is_named_by_identifiers_in_their_form() {
    let cases = [
        (r#"{"user_id": ["u2", "u1", "u2"]}"#, Ok(r#"{"user_id":["u1","u2"]}"#)),
        (
            r#"{"email": [" Ada@Example.com ", "ada@example.com"], "user_id": []}"#,
            Ok(r#"{"email":["ada@example.com"]}"#),
        ),
        (r#"{"user_id": [" U1 "], "shop_id": ["S"]}"#, Ok(r#"{"shop_id":["S"],"user_id":[" U1 "]}"#)),
        (r#"{}"#, Err("identifiers")),
        (r#"{"user_id": [], "email": []}"#, Err("identifiers")),
        (r#"{"user_id": ["u1", ""]}"#, Err("identifiers.user_id")),
        (r#"{"user_id": ["u1"], "email": ["ada"]}"#, Err("identifiers.email")),
        (r#"{"email": ["  "]}"#, Err("identifiers.email")),
    ];
    for (identifiers, want) in cases {
        let body = format!(r#"{{"identifiers": {identifiers}}}"#);
        let body: PersonDelete = serde_json::from_str(&body).expect("a body");
        let person = body.person(&IdentityRules::default());
        let told = person.as_ref().map(|person| serde_json::to_string(person).expect("texts"));
        let place = |refusal: &Refusal| refusal.fault.as_ref().map(|fault| fault.place.clone());
        assert_eq!(
            told.map_err(place),
            want.map(str::to_owned).map_err(|place| Some(place.to_owned())),
            "{identifiers}"
        );
    }
}

#[test]
fn what_is_nested_too_deeply_is_refused() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let event = |levels: usize| format!(r#"{{"type":"page","userId":"u","a":{}}}"#, nested(levels));
    let body = |event: &str, plan: &str| {
        format!(r#"{{"event": {event}, "profile": {{"traits": {{"plan": {plan}}}}}}}"#)
    };
    let cases = [
        ("64 levels each", body(&event(63), &nested(64)), None),
        ("an event of 65", body(&event(64), "1"), Some("event")),
        ("a bottomless event", body(&event(1_000_000), "1"), Some("event")),
        ("a trait of 65", body(EVENT, &nested(65)), Some("profile.traits.plan")),
        ("a bottomless trait", body(EVENT, &nested(1_000_000)), Some("profile.traits.plan")),
    ];
    for (name, body, want) in cases {
        let fault = order(&body).err().and_then(|refusal| refusal.fault);
        assert_eq!(fault.as_ref().map(|fault| fault.place.as_str()), want, "{name}");
    }
}

#[test]
fn numbers_of_an_event_and_of_traits_keep_their_digits() {
    let body = r#"{"event": {"type": "page", "userId": "u", "properties": {"n": 9007199254740993.10}},
        "profile": {"traits": {"score": 1.50}, "consent": {"ads": true}}}"#;
    let (event, profile) = given_event(body);
    assert!(event.contains(r#""properties": {"n": 9007199254740993.10}"#), "{event}");
    assert_eq!(profile.carried.traits["score"].as_deref(), Some("1.50"));
    assert_eq!(profile.carried.consent, Some([("ads".into(), true)].into()));
}

#[test]
fn a_profile_without_consent_never_said_anything() {
    for profile in [r#"{}"#, r#"{"consent": null}"#, r#"{"consent": {}}"#] {
        let (_, read) = given_event(&format!(r#"{{"event": {EVENT}, "profile": {profile}}}"#));
        assert_eq!(read.carried.consent, Some(BTreeMap::new()), "{profile}");
    }
}
