use super::*;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;

const SETTINGS: &str = r#"{"url":"https://example.com/in?token=abc","method":"put","secret":"s3cret"}"#;

fn form(spec: Json) -> Result<Form, SettingsError> {
    let spec: RequestSpec = serde_json::from_value(spec).expect("a specification");
    let (spec, response) = (Box::leak(Box::new(spec)), Box::leak(Box::new(ResponseSpec::default())));
    Form::compile("request", spec, response)
}

fn payload(id: &str, body: &str) -> Payload {
    Payload {
        id: id.to_owned(),
        mapping: 1,
        action: 0,
        group: 0,
        profile: None,
        received_at: Timestamp::default(),
        body: Bytes::from(body.to_owned()),
    }
}

fn made(spec: Json, subject: Subject<'_>) -> Result<OutboundRequest, Failure> {
    let form = form(spec).expect("it can be used");
    let root = root(SETTINGS, subject, "batch_1", Timestamp::from_millis(1_795_168_800_999))?;
    form.request(&root)
}

fn text(request: &OutboundRequest) -> &str {
    std::str::from_utf8(&request.body).expect("bodies are text")
}

#[test]
fn requests_are_made_of_settings_and_payloads() {
    let payloads =
        [payload("msg_a", r#"{"event":{"n": 1.50,"e":"\u00eb","m":1e400},"k":"v"}"#), payload("msg_b", "{}")];
    let spec = json!({
        "method": {"@path": "$.settings.method"},
        "url": {"@path": "$.settings.url"},
        "query": {
            "k": {"@path": "$.first.k"},
            "n": {"@path": "$.first.event.n"},
            "odd": "a/b?c=d&e é",
            "none": {"@path": "$.first.none"},
            "yes": true,
        },
        "headers": {
            "webhook-id": {"@path": "$.ids[1]"},
            "webhook-timestamp": {"@path": "$.at.seconds"},
            "x-id": {"@path": "$.id"},
            "x-none": {"@path": "$.settings.none"},
        },
        "body": {
            "whole": {"@path": "$.first.event"},
            "all": {"@path": "$.payloads"},
            "items": {"@path": "$.items"},
            "at": {"@path": "$.at"},
        },
    });
    let request = made(spec, Subject::Payloads(&payloads)).expect("a request");
    assert_eq!(request.method, "PUT");
    let query = "token=abc&k=v&n=1.50&odd=a%2Fb%3Fc%3Dd%26e+%C3%A9&yes=true";
    assert_eq!(request.url.as_str(), format!("https://example.com/in?{query}"));
    let headers: BTreeMap<&str, &str> =
        request.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
    let want = [
        ("content-type", "application/json"),
        ("user-agent", USER_AGENT),
        ("webhook-id", "msg_b"),
        ("webhook-timestamp", "1795168800"),
        ("x-id", "batch_1"),
    ];
    assert_eq!(headers, BTreeMap::from(want));
    let first = r#"{"event":{"n": 1.50,"e":"\u00eb","m":1e400},"k":"v"}"#;
    let event = r#"{"n": 1.50,"e":"\u00eb","m":1e400}"#;
    let at = r#"{"seconds":1795168800,"micros":1795168800999000,"text":"2026-11-20T10:00:00.999Z"}"#;
    let body: BTreeMap<&str, String> = [
        ("whole", event.to_owned()),
        ("all", format!("[{first},{{}}]")),
        ("items", format!(r#"[{{"id":"msg_a","payload":{first}}},{{"id":"msg_b","payload":{{}}}}]"#)),
        ("at", at.to_owned()),
    ]
    .into();
    for (name, want) in body {
        assert!(text(&request).contains(&format!("\"{name}\":{want}")), "{name} in {}", text(&request));
    }
}

#[test]
fn what_is_taken_as_a_whole_stays_as_it_stands() {
    let event = "{\"n\": 1.50,\n \"e\":\"\\u00eb\"}";
    let payloads = [payload("msg_a", &format!("{{\"event\":{event}}}"))];
    let spec = json!({"url": "https://example.com", "body": {"@path": "$.first.event"}});
    assert_eq!(text(&made(spec, Subject::Payloads(&payloads)).expect("a request")), event);
}

#[test]
fn a_deletion_names_the_person() {
    let person: Person = [
        ("user_id".to_owned(), vec!["u-7".to_owned(), "u 8".to_owned()]),
        ("email".to_owned(), vec!["ada@example.com".to_owned()]),
    ]
    .into();
    let spec = json!({
        "method": "delete",
        "url": "https://example.com/people",
        "query": {"id": {"@path": "$.person.ids.user_id[1]"}},
        "body": {"@path": "$.person"},
    });
    let request = made(spec, Subject::Person(&person)).expect("a request");
    assert_eq!((&*request.method, request.url.query()), ("DELETE", Some("id=u+8")));
    assert_eq!(text(&request), r#"{"ids":{"email":["ada@example.com"],"user_id":["u-7","u 8"]}}"#);
}

#[test]
fn a_request_without_a_body_has_no_type_of_it() {
    let request =
        made(json!({"url": "https://example.com", "method": "GET"}), Subject::Settings).expect("a request");
    assert_eq!(request.headers, [("user-agent".to_owned(), USER_AGENT.to_owned())]);
    assert!(request.body.is_empty());
    let own = json!({"url": "https://example.com", "body": 1, "headers": {"content-type": "text/plain"}});
    assert_eq!(made(own, Subject::Settings).expect("a request").header("content-type"), Some("text/plain"));
}

#[test]
fn a_name_in_the_url_becomes_a_header() {
    let request =
        made(json!({"url": "https://ada:l%20ve@example.com/in"}), Subject::Settings).expect("a request");
    assert_eq!(request.url.as_str(), "https://example.com/in");
    assert_eq!(request.header("authorization"), Some(&*basic("ada", "l ve")));
}

#[test]
fn what_is_no_request_is_never_made() {
    let long = json!({"@path": "$.first.text"});
    let cases = [
        (json!({"url": {"@path": "$.settings.none"}}), "the URL is missing"),
        (json!({"url": {"@path": "$.first.url"}}), "the URL is no absolute URL"),
        (json!({"url": {"@path": "$.first.list"}}), "the URL is neither text"),
        (json!({"url": "/in"}), "the URL is no absolute URL"),
        (json!({"url": "example.com/in"}), "the URL is no absolute URL"),
        (json!({"url": "ftp://example.com/in"}), "the URL is no absolute URL"),
        (json!({"url": "mailto:hidden@example.com"}), "the URL is no absolute URL"),
        (json!({"url": "https://example.com", "method": "CONNECT"}), "the method is none of"),
        (json!({"url": "https://example.com", "method": {"@path": "$.first.none"}}), "the method is none of"),
        (json!({"url": "https://example.com", "headers": {"x-a": long}}), "the header x-a can't hold"),
        (
            json!({"url": "https://example.com", "query": {"a": {"@path": "$.first"}}}),
            "the query's a is neither",
        ),
        (json!({"url": "https://example.com", "body": {"@path": "$.first.none"}}), "the body is missing"),
    ];
    let payloads = [payload("msg_a", r#"{"text":"hidden\nline","url":"hidden","list":["hidden"]}"#)];
    for (spec, want) in cases {
        let failure = made(spec.clone(), Subject::Payloads(&payloads)).expect_err("it can't be made");
        assert_eq!((failure.reason, failure.outage), (Reason::InvalidRequest, false), "{spec}: {failure:?}");
        assert!(failure.text.contains(want) && !failure.text.contains("hidden"), "{spec}: {failure:?}");
    }
    let odd = Payload { body: Bytes::from_static(b"{\"a\":\"\xff\"}"), ..payload("msg_a", "") };
    let failure =
        made(json!({"url": "https://example.com"}), Subject::Payloads(&[odd])).expect_err("no text");
    assert_eq!(failure.reason, Reason::UnreadableEvent);
}

#[test]
fn a_specification_that_can_not_be_used_is_refused() {
    let cases = [
        (json!({"url": {"@path": "$["}}), "request.url"),
        (json!({"url": "x", "method": {"@nothing": 1}}), "request.method"),
        (json!({"url": "x", "query": {"a": {"@path": "$["}}}), "request.query.a"),
        (json!({"url": "x", "body": {"a": {"@path": "$["}}}), "request.body"),
        (json!({"url": "x", "headers": {"X-Upper": "a"}}), "request.headers.X-Upper"),
        (json!({"url": "x", "headers": {"a b": "a"}}), "request.headers.a b"),
        (json!({"url": "x", "headers": {"content-length": "1"}}), "request.headers.content-length"),
        (json!({"url": "x", "headers": {"connection": "close"}}), "request.headers.connection"),
        (json!({"url": "x", "response": {"message": ["$["]}}), "request.response.message"),
    ];
    for (spec, place) in cases {
        let refused = form(spec.clone()).err().unwrap_or_else(|| panic!("{spec} is taken"));
        assert!(refused.field.starts_with(place), "{spec}: {refused}");
    }
}

proptest! {
    #[test]
    fn text_in_the_query_never_leads_elsewhere(value in ".{0,40}") {
        let payloads = [payload("msg_a", &json!({"v": value}).to_string())];
        let spec = json!({"url": "https://example.com/in", "query": {"v": {"@path": "$.first.v"}, "w": 1}});
        let url = made(spec, Subject::Payloads(&payloads)).expect("a request").url;
        prop_assert_eq!((url.host_str(), url.path(), url.fragment()), (Some("example.com"), "/in", None));
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        prop_assert_eq!(pairs, [("v".to_owned(), value), ("w".to_owned(), "1".to_owned())]);
    }
}
