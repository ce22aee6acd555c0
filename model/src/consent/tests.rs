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

/// A page call of `u` with this as its context.
fn page(context: &str) -> String {
    format!(r#"{{"type":"page","userId":"u","context":{context}}}"#)
}

/// Contexts that say nothing of consent.
const SILENT: [&str; 9] = [
    "null",
    "[]",
    r#""consent""#,
    r#"["consent"]"#,
    "{}",
    r#"{"consent":null}"#,
    r#"{"consent":{}}"#,
    r#"{"consent":{"ad":false}}"#,
    r#"{"consent":{"categoryPreferences":null}}"#,
];

/// Contexts that refuse everything: preferences that are empty, or that can't be read.
const REFUSING: [&str; 14] = [
    r#"{"consent":{"categoryPreferences":{}}}"#,
    r#"{"consent":{"categoryPreferences":[]}}"#,
    r#"{"consent":{"categoryPreferences":[true]}}"#,
    r#"{"consent":{"categoryPreferences":["ad"]}}"#,
    r#"{"consent":{"categoryPreferences":"x"}}"#,
    r#"{"consent":{"categoryPreferences":true}}"#,
    r#"{"consent":{"categoryPreferences":{"\ud800":true,"ad":true}}}"#,
    r#"{"consent":[]}"#,
    r#"{"consent":"x"}"#,
    r#"{"consent":""}"#,
    r#"{"consent":0}"#,
    r#"{"consent":true}"#,
    r#"{"\u0063onsent":false}"#,
    r#"{"\ud800":1,"consent":{"categoryPreferences":{"ad":true}}}"#,
];

#[test]
fn only_true_grants() {
    let refused = |names: &[&'static str]| -> Vec<(&'static str, bool, i64)> {
        names.iter().map(|name| (*name, false, 5)).collect()
    };
    let cases = [
        (r#"{"ad":true,"ads":false}"#, vec![("ad", true, 5), ("ads", false, 5)]),
        (
            r#"{"ad":"true","b":1,"c":null,"d":{},"e":"false","f":0}"#,
            refused(&["ad", "b", "c", "d", "e", "f"]),
        ),
        (r#"{"ad":true,"b":"false"}"#, vec![("ad", true, 5), ("b", false, 5)]),
        (r#"{}"#, vec![]),
        ("[true]", vec![]),
        ("true", vec![]),
        (r#"{"ad":false,"ad":true}"#, vec![("ad", true, 5)]),
        (r#"{"ad":true,"ad":"x"}"#, refused(&["ad"])),
        (r#"{"":true}"#, vec![]),
        (r#"{"":false,"ad":true}"#, vec![("ad", true, 5)]),
    ];
    for (preferences, want) in cases {
        let payload = page(&format!(r#"{{"consent":{{"categoryPreferences":{preferences}}}}}"#));
        let mut consent = Consent::default();
        fold(&mut consent, 5, payload.as_bytes());
        assert_eq!(shown(&consent), want, "{preferences}");
    }
    let mut consent = Consent::default();
    fold(&mut consent, 5, page(r#"{"consent":{"\u0063ategoryPreferences":{"a":true}}}"#).as_bytes());
    assert_eq!(shown(&consent), [("a", true, 5)], "a name written with escapes is the same name");
}

#[test]
fn a_refusal_is_remembered_however_it_was_written() {
    let refusals = ["false", r#""false""#, r#""true""#, "0", "1", "null", "[]", "{}"];
    for refusal in refusals {
        for granted_before in [true, false] {
            let mut consent = Consent::default();
            if granted_before {
                fold(&mut consent, 1, &stored(Some("u"), None, &json!({"ad": true, "mail": true})));
            }
            let preferences = format!(r#"{{"consent":{{"categoryPreferences":{{"ad":{refusal}}}}}}}"#);
            fold(&mut consent, 2, page(&preferences).as_bytes());
            fold(&mut consent, 3, page("{}").as_bytes());
            let want = (Some(false), granted_before.then_some(true));
            assert_eq!((consent.says("ad"), consent.says("mail")), want, "{refusal}");
            fold(&mut consent, 4, &stored(Some("u"), None, &json!({"ad": true})));
            assert_eq!(consent.says("ad"), Some(true), "{refusal}");
        }
    }
}

#[test]
fn preferences_that_cannot_be_read_refuse_everything_and_null_says_nothing() {
    let granted = || {
        let mut consent = Consent::default();
        fold(&mut consent, 1, &stored(Some("u"), None, &json!({"ad": true})));
        consent
    };
    for context in SILENT {
        let (mut consent, mut known) = (Consent::default(), granted());
        fold(&mut consent, 5, page(context).as_bytes());
        fold(&mut known, 5, page(context).as_bytes());
        assert!(consent.is_empty(), "{context}");
        assert_eq!(known, granted(), "{context}");
    }
    let mut empty = granted();
    fold(&mut empty, 5, &stored(Some("u"), None, &json!({})));
    for context in REFUSING {
        let (mut consent, mut known) = (Consent::default(), granted());
        fold(&mut consent, 5, page(context).as_bytes());
        fold(&mut known, 5, page(context).as_bytes());
        assert_eq!((consent.says("ad"), consent.says("mail")), (Some(false), Some(false)), "{context}");
        assert_eq!(known, empty, "{context}");
    }
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
fn empty_preferences_refuse_everything_until_an_id_grants_it() {
    let (grant, refusal, all) = (json!({"ad": true}), json!({"ad": false}), json!({}));
    let (user, device, other) = (Some("u"), Some("x"), Some("y"));
    // (what it shows, events by time, what is said about `ad`, and about another category)
    let cases = [
        ("never named", vec![(1, user, None, &all)], Some(false), Some(false)),
        (
            "refused after a grant",
            vec![(1, user, None, &grant), (2, user, None, &all)],
            Some(false),
            Some(false),
        ),
        ("granted after that", vec![(1, user, None, &all), (2, user, None, &grant)], Some(true), Some(false)),
        ("late", vec![(2, user, None, &grant), (1, user, None, &all)], Some(true), Some(false)),
        ("at one time", vec![(2, user, None, &grant), (2, user, None, &all)], Some(false), Some(false)),
        (
            "a device of its own",
            vec![(1, None, device, &all), (2, user, other, &grant)],
            Some(false),
            Some(false),
        ),
        ("signed in", vec![(1, None, device, &all), (2, user, device, &grant)], Some(true), Some(false)),
        ("both", vec![(1, user, None, &refusal), (2, user, None, &all)], Some(false), Some(false)),
        ("nothing", vec![], None, None),
        ("only another", vec![(1, user, None, &grant)], Some(true), None),
    ];
    for (name, events, ad, mail) in cases {
        let mut consent = Consent::default();
        for (at, user, device, preferences) in &events {
            fold(&mut consent, *at, &stored(*user, *device, preferences));
        }
        assert_eq!((consent.says("ad"), consent.says("mail")), (ad, mail), "{name}");
        let named = events.iter().any(|(.., preferences)| **preferences != all);
        let current: Vec<_> =
            shown(&consent).into_iter().map(|(name, granted, _)| (name, Some(granted))).collect();
        assert_eq!(current, if named { vec![("ad", ad)] } else { vec![] }, "{name}");
        assert_eq!(consent.is_empty(), events.is_empty(), "{name}");
    }
}

#[test]
fn beside_an_event_only_other_ids_count() {
    let (grant, refusal, all) = (json!({"ad": true}), json!({"ad": false}), json!({}));
    let (user, device, other) = (Some("u"), Some("x"), Some("y"));
    // (what it shows, events by time, the ids of the event that is asked about, what others said about `ad`)
    let cases = [
        ("nothing", vec![], (user, device), None),
        ("only itself", vec![(2, user, device, &grant)], (user, device), None),
        ("at one time", vec![(3, user, None, &refusal), (3, user, None, &grant)], (user, None), None),
        ("before", vec![(1, user, None, &refusal), (1, None, device, &all)], (user, device), None),
        ("after", vec![(9, user, None, &refusal), (9, None, device, &all)], (user, device), None),
        ("one of the two", vec![(1, user, device, &refusal)], (user, None), Some(false)),
        ("another device", vec![(1, None, other, &refusal)], (user, device), Some(false)),
        ("another device, everything", vec![(1, None, other, &all)], (user, device), Some(false)),
        ("granted again", vec![(1, None, other, &all), (2, None, other, &grant)], (user, device), Some(true)),
        ("no id of its own", vec![(1, user, None, &grant)], (None, None), Some(true)),
        ("the same text", vec![(1, None, Some("u"), &refusal)], (user, None), Some(false)),
    ];
    for (name, events, (user, device), want) in cases {
        let mut consent = Consent::default();
        for (at, user, device, preferences) in &events {
            fold(&mut consent, *at, &stored(*user, *device, preferences));
        }
        let payload = stored(user, device, &grant);
        let event = EventView::parse(&payload).expect("an event");
        assert_eq!(consent.says_beside("ad", &event), want, "{name}");
    }
}

#[test]
fn what_an_event_states_itself_is_read() {
    // (context, what it says of `ad`; `None` if it states nothing)
    let cases = [
        (r#"{"consent":{"categoryPreferences":{"ad":true}}}"#, Some(true)),
        (r#"{"consent":{"\u0063ategoryPreferences":{"ad":true}}}"#, Some(true)),
        (r#"{"consent":{"categoryPreferences":{"ad":false,"ad":true}}}"#, Some(true)),
        (r#"{"consent":{"categoryPreferences":{"ad":false}}}"#, Some(false)),
        (r#"{"consent":{"categoryPreferences":{"ad":"true"}}}"#, Some(false)),
        (r#"{"consent":{"categoryPreferences":{"other":true}}}"#, Some(false)),
    ];
    let silent = SILENT.map(|context| (context, None));
    let refusing = REFUSING.map(|context| (context, Some(false)));
    for (context, want) in cases.into_iter().chain(silent).chain(refusing) {
        let payload = page(context);
        let stated = StatedConsent::read(payload.as_bytes());
        assert_eq!(stated.as_ref().map(|stated| stated.grants("ad")), want, "{context}");
        assert!(stated.is_none_or(|stated| stated.event().user_id.as_deref() == Some("u")), "{context}");
    }
    let elsewhere = br#"{"type":"page","properties":{"categoryPreferences":{"ad":true}}}"#;
    assert!(StatedConsent::read(elsewhere).is_none());
    assert!(StatedConsent::read(b"categoryPreferences").is_none());
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
        // That everything was refused takes the place of no category.
        fold(&mut consent, 0, &stored(Some("v"), None, &json!({})));
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
    /// folded into the merge. What counts is what a plain reading of the events says.
    #[test]
    fn order_repetition_and_fragments_make_no_difference(
        events in proptest::collection::vec(said(), 1..20),
        order in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut straight = Consent::default();
        for one in &events {
            fold(&mut straight, one.at, &one.payload());
        }
        // Two fragments and their merge, with repeats and in another order; the last events go into the merge.
        let mut fragments = [Consent::default(), Consent::default()];
        for index in &order {
            let one = index.get(&events);
            fold(&mut fragments[usize::from(one.at % 2 == 0)], one.at, &one.payload());
        }
        let [mut merged, other] = fragments;
        merged.merge(&other);
        for one in events.iter().rev() {
            fold(&mut merged, one.at, &one.payload());
        }
        prop_assert_eq!(&merged, &straight);
        for category in ["a", "b", "c"] {
            prop_assert_eq!(straight.says(category), plainly(&events, category), "{}", category);
        }
        for (category, value) in straight.current() {
            prop_assert_eq!(Some(value.granted), straight.says(category));
        }
        // Beside an event counts what counted had its ids never said anything.
        for one in &events {
            let payload = one.payload();
            let event = EventView::parse(&payload).expect("an event");
            for category in ["a", "b"] {
                let others = plainly_beside(&events, category, &one.ids());
                prop_assert_eq!(straight.says_beside(category, &event), others, "{}", category);
            }
        }
    }
}

/// What somebody said once.
#[derive(Debug)]
struct Said {
    at: i64,
    user: Option<u8>,
    device: u8,
    /// A category and whether it is granted; without one, everything is refused.
    preference: Option<(String, bool)>,
    /// In which of several ways a refusal is written.
    form: usize,
}

impl Said {
    fn ids(&self) -> Vec<String> {
        self.user.map(|user| format!("u{user}")).into_iter().chain([format!("x{}", self.device)]).collect()
    }

    fn payload(&self) -> Vec<u8> {
        let (user, device) = (self.user.map(|user| format!("u{user}")), format!("x{}", self.device));
        let preferences = match &self.preference {
            Some((category, true)) => json!({category.as_str(): true}),
            Some((category, false)) => {
                let forms = [json!(false), json!("false"), json!(0), json!(null)];
                json!({category.as_str(): forms[self.form]})
            }
            None => [json!({}), json!([]), json!("x"), json!(0)][self.form].clone(),
        };
        stored(user.as_deref(), Some(&device), &preferences)
    }

    /// What it says about a category.
    fn about(&self, category: &str) -> Option<bool> {
        match &self.preference {
            Some((name, granted)) => (name == category).then_some(*granted),
            None => Some(false),
        }
    }
}

fn said() -> impl Strategy<Value = Said> {
    let preference = prop_oneof![
        4 => ("[ab]", any::<bool>()).prop_map(Some),
        1 => Just(None),
    ];
    (0..6i64, proptest::option::of(0..2u8), 0..3u8, preference, 0..4usize)
        .prop_map(|(at, user, device, preference, form)| Said { at, user, device, preference, form })
}

/// Of each id what was said last, a refusal being later at the same time; any refusal of those counts.
fn plainly(events: &[Said], category: &str) -> Option<bool> {
    plainly_beside(events, category, &[])
}

/// The same of all ids but these.
fn plainly_beside(events: &[Said], category: &str, without: &[String]) -> Option<bool> {
    let mut newest: BTreeMap<String, (i64, bool)> = BTreeMap::new();
    for one in events {
        let Some(granted) = one.about(category) else { continue };
        for id in one.ids().into_iter().filter(|id| !without.contains(id)) {
            let known = newest.entry(id).or_insert((one.at, !granted));
            *known = (*known).max((one.at, !granted));
        }
    }
    newest.values().map(|(_, is_refused)| !is_refused).reduce(|one, other| one && other)
}
