//! What is read from events, by hand-made examples.

use crate::{read, reader, texts};
use serde_json::json;
use tributary_model::identity_rules::{
    BLOCKED_PER_EVENT_MAX, IDENTIFIERS_PER_EVENT_MAX, IdentifierReader, IdentityRules,
};
use tributary_model::{Identifier, Namespace};

fn default_reader() -> IdentifierReader {
    IdentifierReader::new(&IdentityRules::default()).expect("the default rules work")
}

#[test]
fn identifiers_come_in_order_of_priority() {
    let cases: &[(&str, &[&str])] = &[
        (
            r#"{"type":"identify","userId":"u","anonymousId":"a","traits":{"email":"A@x"},"context":{"traits":{"email":"b@x"}}}"#,
            &["user_id:u", "email:a@x", "email:b@x", "anonymous_id:a"],
        ),
        (r#"{"type":"track","anonymousId":"a","traits":{"email":"a@x"}}"#, &["anonymous_id:a"]),
        (
            r#"{"type":"group","userId":"u","groupId":"g","traits":{"email":"acme@x"},"context":{"traits":{"email":"me@x"}}}"#,
            &["user_id:u", "email:me@x"],
        ),
        (r#"{"type":"identify","userId":null,"anonymousId":"a","traits":{"email":7}}"#, &["anonymous_id:a"]),
        (r#"{"type":"track","userId":"u","properties":{"email":"a@x"}}"#, &["user_id:u"]),
        (r#"{"type":"track","userId":"","anonymousId":"null"}"#, &[]),
        (
            r#"{"type":"page","anonymousId":"a","context":{"integrations":{"Google Analytics":{"clientId":"1.2"}}}}"#,
            &["anonymous_id:a", "ga_client_id:1.2"],
        ),
        (
            r#"{"type":"screen","context":{"device":{"type":"ios","id":"D","advertisingId":"I","token":"T","adTrackingEnabled":true}}}"#,
            &["ios.id:D", "ios.idfa:I", "ios.push_token:T"],
        ),
        (
            r#"{"type":"screen","context":{"device":{"type":"Android","id":"D","advertisingId":"I","token":"T","adTrackingEnabled":false}}}"#,
            &["android.id:D", "android.push_token:T"],
        ),
        (r#"{"type":"screen","userId":"u","context":{"device":{"id":"D","token":"T"}}}"#, &["user_id:u"]),
        // Names may be written with escapes, values too.
        (
            r#"{"type":"screen","context":{"\u0064evice":{"type":"io\u0073","\u0069d":"\u0044"}}}"#,
            &["ios.id:D"],
        ),
        // The last of a repeated name counts.
        (
            r#"{"type":"page","userId":"u","context":{"traits":{"email":"a@x"},"traits":{"email":"b@x","email":"c@x"}}}"#,
            &["user_id:u", "email:c@x"],
        ),
        (r#"{"type":"page","userId":"u","context":[{"traits":{"email":"a@x"}}]}"#, &["user_id:u"]),
        (r#"{"type":"page","userId":"u","context":{"traits":"email"}}"#, &["user_id:u"]),
    ];
    let reader = default_reader();
    for (event, want) in cases {
        assert_eq!(texts(&read(&reader, event).identifiers), *want, "{event}");
    }
}

/// (an entry of `context.externalIds`, what is read from it)
#[test]
fn external_ids_need_all_four_members() {
    let cases: [(&str, &[&str]); 12] = [
        (r#"{"id":"7","type":"ios.id","collection":"users","encoding":"none"}"#, &["ios.id:7"]),
        (r#"{"encoding":"none","collection":"users","type":"email","id":" A@x "}"#, &["email:a@x"]),
        (r#"{"id":7,"type":"user_id","collection":"users","encoding":"none","more":1}"#, &["user_id:7"]),
        (r#"{"id":"7","type":"group_id","collection":"users","encoding":"none"}"#, &[]),
        (r#"{"id":"7","type":"loyalty_id","collection":"users","encoding":"none"}"#, &[]),
        (r#"{"id":"7","type":"IOS.id","collection":"users","encoding":"none"}"#, &[]),
        (r#"{"id":"7","type":"ios.id","collection":"accounts","encoding":"none"}"#, &[]),
        (r#"{"id":"7","type":"ios.id","collection":"users","encoding":"base64"}"#, &[]),
        (r#"{"id":"7","type":"ios.id","collection":"users"}"#, &[]),
        (r#"{"type":"ios.id","collection":"users","encoding":"none"}"#, &[]),
        (r#"{"id":1.5,"type":"ios.id","collection":"users","encoding":"none"}"#, &[]),
        (r#"["ios.id"]"#, &[]),
    ];
    let reader = default_reader();
    for (entry, want) in cases {
        let event = format!(r#"{{"type":"page","context":{{"externalIds":[null,{entry}]}}}}"#);
        assert_eq!(texts(&read(&reader, &event).identifiers), want, "{entry}");
    }
}

#[test]
fn any_path_can_be_named() {
    let reader = reader(&json!({"namespaces": [
        {"name": "user_id", "from": ["traits.id", "userId"]},
        {"name": "order", "from": ["properties.order['the id']", "properties.orderId"], "priority": 1},
        {"name": "phone", "from": ["traits.phone", "context.traits.phone"], "normalize": {"phone": {"region": "DE"}}},
        {"name": "till", "from": [{"path": "properties.till", "when": {"properties.paid": true, "context.store": 5}}]},
    ]}));
    let cases: &[(&str, &[&str])] = &[
        (
            r#"{"type":"identify","userId":"u","traits":{"id":12,"phone":"030 123456"}}"#,
            &["user_id:12", "user_id:u", "phone:+4930123456"],
        ),
        (
            r#"{"type":"track","anonymousId":"a","properties":{"order":{"the id":"x"},"orderId":"x"},"traits":{"id":1}}"#,
            &["order:x"],
        ),
        (
            r#"{"type":"track","properties":{"orderId":9007199254740993},"context":{"traits":{"phone":"+49 30 123456"}}}"#,
            &["order:9007199254740993", "phone:+4930123456"],
        ),
        (r#"{"type":"track","properties":{"till":"t","paid":true},"context":{"store":5}}"#, &["till:t"]),
        (r#"{"type":"track","properties":{"till":"t","paid":"true"},"context":{"store":5}}"#, &[]),
        (r#"{"type":"track","properties":{"till":"t","paid":true},"context":{"store":"5"}}"#, &[]),
        (r#"{"type":"track","properties":{"till":"t","paid":true}}"#, &[]),
        (r#"{"type":"track","properties":{"till":true,"paid":true},"context":{"store":5}}"#, &[]),
        (r#"{"type":"track","properties":{"orderId":{"x":1}}}"#, &[]),
    ];
    for (event, want) in cases {
        assert_eq!(texts(&read(&reader, event).identifiers), *want, "{event}");
    }
}

#[test]
fn blocked_values_are_told_apart() {
    let event = |user: &str, email: &str| {
        format!(
            r#"{{"type":"identify","userId":"{user}","anonymousId":"0000-0","traits":{{"email":"{email}"}}}}"#
        )
    };
    let reader = reader(&json!({"namespaces": [
        {"name": "user_id", "block_suggested": false, "blocked": ["QA-1"], "blocked_patterns": ["^test", "bot$"]},
        {"name": "email", "blocked": ["null", " Info@Example.com "], "blocked_patterns": ["@example\\.org$"]},
        {"name": "anonymous_id"},
    ]}));
    let cases: &[(&str, &str, &[&str], &[&str])] = &[
        ("u", "a@x", &["user_id:u", "email:a@x"], &["anonymous_id:0000-0"]),
        ("null", "null", &["user_id:null"], &["anonymous_id:0000-0"]),
        ("QA-1", "INFO@example.com", &[], &["user_id:QA-1", "email:info@example.com", "anonymous_id:0000-0"]),
        ("qa-1", "info@Example.ORG", &["user_id:qa-1"], &["email:info@example.org", "anonymous_id:0000-0"]),
        ("test-5", "a@x", &["email:a@x"], &["user_id:test-5", "anonymous_id:0000-0"]),
        ("a bot", "a@x", &["email:a@x"], &["user_id:a bot", "anonymous_id:0000-0"]),
    ];
    for (user, email, identifiers, blocked) in cases {
        let found = read(&reader, &event(user, email));
        assert_eq!(texts(&found.identifiers), *identifiers, "{user} {email}");
        assert_eq!(texts(&found.blocked), *blocked, "{user} {email}");
        assert!(found.blocked.iter().all(|identifier| reader.blocks(identifier)));
        assert!(!found.identifiers.iter().any(|identifier| reader.blocks(identifier)));
    }
}

#[test]
fn the_previous_id_of_an_alias_is_read_both_ways() {
    let both = (Some("anonymous_id:p"), Some("user_id:p"));
    let cases = [
        (r#"{"type":"alias","userId":"u","previousId":"p"}"#, both),
        (r#"{"type":"track","userId":"u","previousId":"p"}"#, (None, None)),
        (r#"{"type":"alias","userId":"u","previousId":""}"#, (None, None)),
        (r#"{"type":"alias","userId":"u","previousId":"null"}"#, (None, None)),
        (r#"{"type":"alias","userId":"u"}"#, (None, None)),
        (r#"{"type":"alias","userId":"u","previousId":"blocked"}"#, (Some("anonymous_id:blocked"), None)),
    ];
    let all = reader(
        &json!({"namespaces": [{"name": "user_id", "blocked": ["blocked"]}, {"name": "anonymous_id"}]}),
    );
    for (event, (anonymous, user)) in cases {
        let found = read(&all, event);
        assert_eq!(texts(&found.identifiers), ["user_id:u"], "{event}");
        let text = |identifier: &Option<Identifier>| identifier.as_ref().map(Identifier::to_text);
        let previous =
            found.previous.as_ref().map(|previous| (text(&previous.as_anonymous), text(&previous.as_user)));
        let want = (anonymous.map(str::to_owned), user.map(str::to_owned));
        assert_eq!(previous, Some(want).filter(|(a, u)| a.is_some() || u.is_some()), "{event}");
    }
    let undeclared = reader(&json!({"namespaces": [{"name": "email"}]}));
    assert_eq!(read(&undeclared, cases[0].0).previous, None);
}

#[test]
fn an_event_has_so_many_and_no_more() {
    let external = |count: usize, id: &dyn Fn(usize) -> String| {
        let entry = |number| {
            let id = id(number);
            format!(r#"{{"id":"{id}","type":"anonymous_id","collection":"users","encoding":"none"}}"#)
        };
        let entries: Vec<_> = (0..count).map(entry).collect();
        format!(r#"{{"type":"page","userId":"u","context":{{"externalIds":[{}]}}}}"#, entries.join(","))
    };
    let reader = default_reader();
    let found = read(&reader, &external(150, &|number| format!("a{number}")));
    assert_eq!(found.identifiers.len(), IDENTIFIERS_PER_EVENT_MAX);
    assert_eq!(texts(&found.identifiers)[..2], ["user_id:u", "anonymous_id:a0"]);
    let found = read(&reader, &external(150, &|number| "0".repeat(number + 1)));
    assert_eq!(
        (texts(&found.identifiers), found.blocked.len()),
        (vec!["user_id:u".to_owned()], BLOCKED_PER_EVENT_MAX)
    );
}

#[test]
fn a_text_is_an_identifier_as_the_rules_say() {
    let reader = reader(&json!({"namespaces": [
        {"name": "email", "normalize": "exact"},
        {"name": "phone", "from": ["traits.phone"], "normalize": "phone"},
    ]}));
    let cases = [
        ("email", " A@x", Some(" A@x")),
        ("phone", "+49 (0)30 123456", Some("+4930123456")),
        ("phone", "030 123456", None),
        ("undeclared", " X ", Some(" X ")),
        ("undeclared", "", None),
    ];
    for (namespace, raw, want) in cases {
        let got = reader.identifier(&Namespace::new(namespace), raw).ok();
        assert_eq!(got.as_ref().map(Identifier::value), want, "{namespace}:{raw}");
    }
    let email = default_reader().identifier(&Namespace::EMAIL, " A@x");
    assert_eq!(email.as_ref().map(Identifier::value), Ok("a@x"));
}
