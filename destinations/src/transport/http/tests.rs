use super::*;
use crate::connect::Addresses;
use crate::connect::testing::{Answer, Receiver, Seen};
use crate::definition::TransportSpec;
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

const SECOND: Duration = Duration::from_secs(1);

/// What connects nowhere in these tests can be shared by them.
static PUBLIC: LazyLock<Arc<Outbound>> = LazyLock::new(|| outbound(Addresses::Public));

fn outbound(addresses: Addresses) -> Arc<Outbound> {
    Arc::new(Outbound::new(addresses, 10 * SECOND).expect("a way out"))
}

fn parts(addresses: Addresses) -> TransportParts {
    let outbound = match addresses {
        Addresses::Public => Arc::clone(&PUBLIC),
        Addresses::Any => outbound(addresses),
    };
    TransportParts { outbound, timeout: 10 * SECOND, response_bytes: 64 << 10, tokens: None }
}

fn setting(name: &str, kind: &str, secret: bool) -> Json {
    json!({"name": name, "title": name, "kind": kind, "secret": secret, "help": "X."})
}

/// A definition with these members of its transport, and of itself.
fn spec(transport: Json, more: Json) -> &'static Spec {
    let mut spec = json!({
        "name": "x",
        "title": "X",
        "help": "X.",
        "settings": [
            setting("url", "url", false),
            setting("hook", "url", true),
            setting("secret", "text", true),
            setting("key", "text", true),
            setting("user", "text", false),
            setting("password", "text", true),
            setting("headers", "headers", true),
            setting("per_request", "count", false),
            setting("token_url", "url", false),
            setting("client", "text", false),
            setting("client_secret", "text", true),
        ],
        "transport": {"kind": "http"},
        "actions": [],
    });
    let merge = |into: &mut Json, from: Json| {
        let members = from.as_object().cloned().unwrap_or_default();
        into.as_object_mut().expect("an object").extend(members);
    };
    merge(&mut spec["transport"], transport);
    merge(&mut spec, more);
    Box::leak(Box::new(serde_json::from_value(spec).expect("a definition")))
}

fn http(spec: &'static Spec, settings: Json, addresses: Addresses) -> Http {
    let TransportSpec::Http(http) = &spec.transport else { panic!("another transport") };
    let settings: RawSettings = serde_json::from_value(settings).expect("settings");
    Http::new(spec, http, &settings, &parts(addresses)).expect("good settings")
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

fn headers(headers: &[(String, String)]) -> BTreeMap<&str, &str> {
    headers.iter().map(|(name, value)| (&**name, &**value)).collect()
}

/// A webhook: what the definition of that name says, as far as these tests need it.
fn webhook() -> &'static Spec {
    let header = |path: &str| json!({"@path": path});
    spec(
        json!({
            "request": {
                "url": {"@path": "$.settings.url"},
                "headers": {"webhook-id": header("$.ids[0]"), "webhook-timestamp": header("$.at.seconds")},
                "body": {"@path": "$.first.event"},
            },
            "batch_request": {
                "url": {"@path": "$.settings.url"},
                "body": {"deliveries": {"@path": "$.payloads"}},
            },
            "authentication": [{"kind": "standard_webhooks", "secret": "secret"}],
        }),
        json!({"batch": {"events_setting": "per_request"}}),
    )
}

#[test]
fn an_event_is_signed_as_it_is_stored() {
    let event = concat!(
        r#"{"anonymousId":"a-1","event":"Order Completed","properties":{"total": 12.50,"id":9007199254740993},"#,
        r#""type":"track","messageId":"m-1","timestamp":"2026-11-20T10:00:00.000Z","#,
        r#""receivedAt":"2026-11-20T10:00:00.250Z"}"#,
    );
    let settings = json!({
        "url": "https://hooks.example.com/in?token=abc",
        "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    });
    let http = http(webhook(), settings, Addresses::Public);
    let payloads = [payload("msg_5f0c4bb2d0a94e1c8d1f2ab37c9e6d10", &format!("{{\"event\":{event}}}"))];
    let at = Timestamp::from_millis(1_795_168_800_999);
    let request = http.request(&payloads, at).expect("a request");
    assert_eq!((&*request.method, request.url.as_str()), ("POST", "https://hooks.example.com/in?token=abc"));
    let want = [
        ("content-type", "application/json"),
        ("user-agent", concat!("tributary/", env!("CARGO_PKG_VERSION"))),
        ("webhook-id", "msg_5f0c4bb2d0a94e1c8d1f2ab37c9e6d10"),
        ("webhook-timestamp", "1795168800"),
        ("webhook-signature", "v1,OsZzyx7dWKn9ZjM/JNz6Ic0RvDeT/mO2yR8k2HOLtcc="),
    ];
    assert_eq!(headers(&request.headers), BTreeMap::from(want));
    assert_eq!(request.body, event.as_bytes());

    let shown = http.describe(&payloads, at, 1000).expect("a request");
    assert_eq!((&*shown.method, &*shown.target), ("POST", request.url.as_str()));
    assert_eq!(headers(&shown.headers)["webhook-signature"], MASK);
    assert_eq!((&*shown.body, shown.body_bytes), (event, event.len() as u64));
    assert_eq!(http.describe(&payloads, at, 7).expect("a request").body, event[..7]);
}

#[test]
fn payloads_share_a_request_where_they_may() {
    let (a, b) = (payload("msg_a", r#"{"event":1}"#), payload("msg_b", r#"{"event":2}"#));
    let (one, two) = ([a.clone()], [a, b]);
    let together = r#"{"deliveries":[{"event":1},{"event":2}]}"#;
    let url = "https://example.com";
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let cases = [
        (json!({"url": url, "secret": secret}), &one[..], "1", "msg_a"),
        (json!({"url": url, "secret": secret}), &two[..], together, "batch_f1dd30228fe3ec33729bc5b6cad87d4c"),
        (
            json!({"url": url, "secret": secret, "per_request": 9}),
            &one[..],
            r#"{"deliveries":[{"event":1}]}"#,
            "batch_a28e1997dcc3c584c90a6b880e13aa59",
        ),
        (
            json!({"url": url, "secret": secret, "per_request": 9}),
            &two[..],
            together,
            "batch_f1dd30228fe3ec33729bc5b6cad87d4c",
        ),
    ];
    for (settings, payloads, body, id) in cases {
        let request =
            http(webhook(), settings.clone(), Addresses::Public).request(payloads, Timestamp::default());
        let request = request.expect("a request");
        assert_eq!(std::str::from_utf8(&request.body), Ok(body), "{settings}");
        assert_eq!(request.header("webhook-id"), Some(id), "{settings}");
    }
}

#[test]
fn an_action_may_have_a_request_of_its_own() {
    let action = |name: &str, request: Json| json!({"name": name, "title": "X", "help": "X.", "takes": ["track"], "fields": [], "request": request});
    let own = json!({"url": "https://example.com/own", "method": "PUT"});
    let spec = spec(
        json!({"request": {"url": "https://example.com/all"}}),
        json!({"actions": [action("plain", Json::Null), action("own", own)]}),
    );
    let http = http(spec, json!({}), Addresses::Public);
    for (action, want) in [(0, "POST https://example.com/all"), (1, "PUT https://example.com/own")] {
        let payload = Payload { action, ..payload("msg_a", "{}") };
        let request = http.request(&[payload], Timestamp::default()).expect("a request");
        assert_eq!(format!("{} {}", request.method, request.url), want);
    }
}

proptest! {
    #[test]
    fn no_secret_is_ever_shown(
        secrets in proptest::collection::hash_set("[a-zA-Z0-9/+=%&\" _.!-]{4,20}", 5),
        path in "[a-z0-9]{12,24}",
        before in "[a-z ]{0,4}",
        body_bytes in 0usize..400,
    ) {
        let secrets: Vec<String> = secrets.into_iter().collect();
        let [secret, key, password, header, client] = &secrets[..] else { panic!("five") };
        let everywhere = |spec: Json| -> &'static Spec {
            self::spec(
                json!({
                    "request": spec,
                    "authentication": [
                        {"kind": "headers", "setting": "headers"},
                        {"kind": "header", "name": "x-key", "prefix": "Key ", "setting": "key"},
                        {"kind": "basic", "user": "user", "password": "password"},
                    ],
                }),
                json!({}),
            )
        };
        let all = json!({"@path": "$.settings"});
        let spec = everywhere(json!({
            "url": {"@path": "$.settings.hook"},
            "query": {"secret": {"@path": "$.settings.secret"}, "key": {"@path": "$.settings.key"}},
            "headers": {"x-client": {"@path": "$.settings.client_secret"}},
            "body": {"all": all, "event": {"@path": "$.first"}},
        }));
        let settings = json!({
            "hook": format!("https://hooks.example.com/in/{path}?k={path}"),
            "secret": secret, "key": key, "user": "ada", "password": password,
            "headers": {"x-own": header}, "client_secret": client,
        });
        let http = http(spec, settings, Addresses::Public);
        let payloads = [payload("msg_a", &json!({"text": format!("{before}{secret} {key} {path}")}).to_string())];
        let shown = http.describe(&payloads, Timestamp::default(), body_bytes).expect("a request");
        let request = http.request(&payloads, Timestamp::default()).expect("a request");
        prop_assert!(request.url.as_str().contains(&path), "there is something to hide");
        prop_assert!(shown.target.starts_with("https://hooks.example.com/"), "{}", shown.target);
        prop_assert!(shown.body.len() <= body_bytes);
        let basic = request::basic("ada", password);
        let basic = basic.strip_prefix("Basic ").expect("a prefix").to_owned();
        let encoded: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        for hidden in secrets.iter().chain([&path, &basic, &encoded]) {
            let json = json!(hidden).to_string();
            for (name, text) in [("target", &shown.target), ("body", &shown.body)]
                .into_iter()
                .chain(shown.headers.iter().map(|(name, value)| (&**name, value)))
            {
                prop_assert!(!text.contains(hidden), "{name}: {text:?} holds {hidden:?}");
                prop_assert!(!text.contains(&json[1..json.len() - 1]), "{name}: {text:?} holds {hidden:?}");
            }
        }
    }
}

/// A definition with a test call, a deletion, and tokens.
fn service(authentication: Json) -> &'static Spec {
    let at = |path: &str| json!({"@template": format!("{{{{settings.url}}}}{path}")});
    spec(
        json!({
            "request": {"url": at("/in"), "body": {"@path": "$.payloads"}},
            "test": {"url": at("/test"), "method": "GET", "response": {"message": ["$.words"]}},
            "delete": {"url": at("/people"), "method": "DELETE", "body": {"@path": "$.person.ids"}},
            "authentication": authentication,
            "response": {
                "rules": [{"status": 207, "verdict": "items"}, {"status": 418, "verdict": "credentials", "text": "a teapot"}],
                "items": {"path": "$", "status": "$.s", "missing": "retry"},
                "message": ["$.message"],
            },
        }),
        json!({}),
    )
}

fn short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Delivered => "delivered".to_owned(),
        Verdict::Retry { failure, .. } => format!("retry: {}", failure.text),
        Verdict::Rejected(failure) => format!("rejected: {}", failure.text),
        Verdict::Credentials(failure) => format!("credentials: {}", failure.text),
    }
}

#[tokio::test]
async fn deliveries_are_sent_and_answers_remembered() {
    let long = json!({"message": "key-4711 is no key", "more": "x".repeat(5000)});
    let cases = [
        (Answer::full(200, "", "taken, key-4711"), ["delivered"; 2], "taken, ********"),
        (
            Answer::json(207, &json!([{"s": 200}, {"s": 400}])),
            ["delivered", "rejected: answered 207, with 400 for this delivery"],
            r#"[{"s":200},{"s":400}]"#,
        ),
        (
            Answer::full(418, "", "short and stout"),
            ["credentials: answered 418: a teapot"; 2],
            "short and stout",
        ),
        (
            Answer::json(400, &long),
            ["rejected: answered 400"; 2],
            "******** is no key\n{\"message\":\"********",
        ),
        (Answer::status(503), ["retry: answered 503"; 2], ""),
        (
            Answer::full(207, "content-encoding: gzip\r\n", "\u{1f}packed"),
            ["retry: answered 207, with a body that came with a content-encoding, which was not asked for";
                2],
            "(7 bytes with a content-encoding, which are not read)",
        ),
        (
            Answer::full(400, "content-encoding: br\r\n", "packed"),
            ["rejected: answered 400"; 2],
            "(6 bytes with a content-encoding, which are not read)",
        ),
    ];
    for (answer, verdicts, body) in cases {
        let shown = format!("{answer:?}");
        let receiver = Receiver::start(move |_| answer.clone());
        let settings = json!({"url": receiver.url(""), "key": "key-4711"});
        let http = http(service(json!([])), settings, Addresses::Any);
        let payloads = [payload("a", r#"{"n":1.0}"#), payload("b", "{}")];
        let exchange = http.send(&payloads, Timestamp::default()).await;
        assert_eq!(exchange.verdicts.iter().map(short).collect::<Vec<_>>(), verdicts, "{shown}");
        let response = exchange.response.expect("an answer");
        assert!(
            response.body.starts_with(body) && response.body.len() <= ANSWER_BYTES_SHOWN,
            "{}",
            response.body
        );
        let seen = receiver.seen();
        assert_eq!(
            (&*seen[0].method, &*seen[0].target, &*seen[0].body),
            ("POST", "/in", r#"[{"n":1.0},{}]"#)
        );
        assert_eq!(seen[0].header("content-type"), "application/json");
    }
}

#[tokio::test]
async fn every_header_that_is_sent_is_shown() {
    let receiver = Receiver::start(|_| Answer::status(200));
    let http = http(service(json!([])), json!({"url": receiver.url("")}), Addresses::Any);
    let payloads = [payload("a", "{}")];
    http.send(&payloads, Timestamp::default()).await;
    let shown = http.describe(&payloads, Timestamp::default(), 100).expect("a request");
    let seen = receiver.seen();
    let mut sent = headers(&seen[0].headers);
    // HTTP adds these.
    sent.retain(|name, _| !["host", "content-length"].contains(name));
    assert_eq!(headers(&shown.headers), sent);
    assert_eq!((sent["accept"], sent["accept-encoding"]), ("*/*", "identity"));
}

#[tokio::test]
async fn answers_about_many_deliveries_may_be_long() {
    let mut results: Vec<Json> = (0..200).map(|_| json!({"s": 200, "why": "x".repeat(400)})).collect();
    results[199]["s"] = 400.into();
    let body = Json::Array(results);
    let receiver = Receiver::start(move |_| Answer::json(207, &body));
    let http = http(service(json!([])), json!({"url": receiver.url("")}), Addresses::Any);
    let payloads: Vec<Payload> = (0..200).map(|at| payload(&format!("msg_{at}"), "{}")).collect();
    let exchange = http.send(&payloads, Timestamp::default()).await;
    let taken = exchange.verdicts.iter().filter(|verdict| **verdict == Verdict::Delivered).count();
    assert_eq!(
        (taken, short(&exchange.verdicts[199])),
        (199, "rejected: answered 207, with 400 for this delivery".to_owned())
    );
    // Of an answer to a few of them so much is not read, and what is missing might say that they were not taken.
    let exchange = http.send(&payloads[..2], Timestamp::default()).await;
    assert_eq!(
        exchange.verdicts.iter().map(short).collect::<Vec<_>>(),
        ["retry: answered 207, with a body that did not come whole"; 2]
    );
}

#[tokio::test]
async fn what_is_shown_in_part_says_how_long_the_whole_is() {
    let cases = [
        (2_048, ""),
        (30_000, "… (cut: the whole has 30000 bytes)"),
        // So much is read, and no more.
        (70_000, "… (cut: the whole has 65536 bytes or more)"),
    ];
    for (bytes, mark) in cases {
        let receiver = Receiver::start(move |_| Answer::full(200, "", &"x".repeat(bytes)));
        let http = http(service(json!([])), json!({"url": receiver.url("")}), Addresses::Any);
        let payloads = [payload("a", &json!({"n": "y".repeat(bytes)}).to_string())];
        let answer = http.send(&payloads, Timestamp::default()).await.response.expect("an answer");
        assert_eq!(answer.body.len(), ANSWER_BYTES_SHOWN, "{bytes}");
        assert_eq!(answer.body.trim_start_matches('x'), mark, "{bytes}");
        let shown = http.describe(&payloads, Timestamp::default(), 1_000).expect("a request");
        let mark = format!("y… (cut: the whole has {} bytes)", shown.body_bytes);
        assert!(shown.body.ends_with(&mark) && shown.body.len() == 1_000, "{}", shown.body);
    }
}

#[tokio::test]
async fn what_gets_no_answer_is_tried_again_and_what_is_no_request_is_not() {
    let payloads = [payload("a", "{}"), payload("b", "{}")];
    let cases = [
        (json!({"url": "http://127.0.0.1:9"}), Addresses::Public, "retry: the address is private"),
        (json!({"url": "http://1.1.1.1:9"}), Addresses::Any, "retry: the address is public"),
        (
            json!({"url": "no URL"}),
            Addresses::Any,
            "rejected: the request can't be made: the URL is no absolute URL",
        ),
    ];
    for (settings, addresses, want) in cases {
        let exchange =
            http(service(json!([])), settings.clone(), addresses).send(&payloads, Timestamp::default()).await;
        assert_eq!((exchange.verdicts.len(), &exchange.response), (2, &None), "{settings}");
        assert!(
            exchange.verdicts.iter().all(|verdict| short(verdict).starts_with(want)),
            "{settings}: {exchange:?}"
        );
    }
}

#[tokio::test]
async fn test_calls_and_deletions_show_what_they_did() {
    let receiver = Receiver::start(|seen| match &*seen.method {
        "GET" => Answer::json(401, &json!({"words": "who is key-4711?"})),
        _ => Answer::status(204),
    });
    let header = json!([{"kind": "header", "name": "x-key", "setting": "key"}]);
    let settings = json!({"url": receiver.url(""), "key": "key-4711"});
    let http = http(service(header), settings, Addresses::Any);
    let test = http.test(Timestamp::default()).expect("there is one").await;
    assert_eq!(short(&test.verdict), "credentials: answered 401: the credentials were refused");
    assert_eq!((&*test.request.method, &*test.request.target), ("GET", &*receiver.url("/test")));
    assert_eq!(headers(&test.request.headers)["x-key"], MASK);
    assert_eq!(test.response.expect("an answer").body, r#"{"words":"who is ********?"}"#);

    let person = Person::from([("user_id".to_owned(), vec!["u-7".to_owned()])]);
    let deleted = http.delete(&person, Timestamp::default()).expect("there is one").await;
    assert_eq!((deleted.verdict, &*deleted.request.body), (Verdict::Delivered, r#"{"user_id":["u-7"]}"#));
    let seen = receiver.seen();
    assert_eq!(
        (&*seen[1].method, &*seen[1].target, &*seen[1].body),
        ("DELETE", "/people", r#"{"user_id":["u-7"]}"#)
    );
    assert_eq!((seen[0].header("x-key"), seen[1].header("x-key")), ("key-4711", "key-4711"));

    let without = spec(json!({"request": {"url": "https://example.com"}}), json!({}));
    let without = self::http(without, json!({}), Addresses::Any);
    assert!(
        without.test(Timestamp::default()).is_none()
            && without.delete(&person, Timestamp::default()).is_none()
    );
}

/// A service that gives one token after the other, and takes only those that it is told to.
fn guarded(takes: &'static [&'static str]) -> Receiver {
    let mut given = 0;
    Receiver::start(move |seen: &Seen| {
        if seen.target == "/token" {
            given += 1;
            return Answer::json(
                200,
                &json!({"access_token": format!("token-{given}"), "token_type": "bearer"}),
            );
        }
        let token = seen.header("authorization").strip_prefix("Bearer ").unwrap_or_default();
        let status = if takes.contains(&token) { 200 } else { 401 };
        Answer::full(status, "", &format!("you said {token}, {}", "client-secret"))
    })
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let oauth = json!([{
        "kind": "oauth2", "grant": "client_credentials", "token_url": "token_url", "client_id": "client",
        "client_secret": "client_secret",
    }]);
    let cases: [(&'static [&'static str], [&str; 2], &[&str]); 3] = [
        (&["token-1"], ["delivered", "delivered"], &["/token", "/in", "/in"]),
        (&["token-2"], ["delivered", "delivered"], &["/token", "/in", "/token", "/in", "/in"]),
        (
            &[],
            ["credentials: answered 401: the credentials were refused"; 2],
            &["/token", "/in", "/token", "/in", "/in", "/token", "/in"],
        ),
    ];
    for (takes, verdicts, targets) in cases {
        let receiver = guarded(takes);
        let settings = json!({
            "url": receiver.url(""), "token_url": receiver.url("/token"), "client": "ada", "client_secret": "client-secret",
        });
        let http = http(service(oauth.clone()), settings, Addresses::Any);
        let payloads = [payload("a", "{}")];
        let shown = http.describe(&payloads, Timestamp::default(), 100).expect("a request");
        assert_eq!(headers(&shown.headers)["authorization"], "Bearer ********");
        for want in verdicts {
            let exchange = http.send(&payloads, Timestamp::default()).await;
            assert_eq!(exchange.verdicts.iter().map(short).collect::<Vec<_>>(), [want], "{takes:?}");
            assert_eq!(
                exchange.response.expect("an answer").body,
                "you said ********, ********",
                "{takes:?}"
            );
        }
        let seen: Vec<String> = receiver.seen().into_iter().map(|seen| seen.target).collect();
        assert_eq!(seen, targets, "{takes:?}");
    }
}

#[tokio::test]
async fn no_token_means_nothing_is_sent() {
    let receiver = Receiver::start(|seen| match &*seen.target {
        "/token" => Answer::json(401, &json!({"error": "invalid_client"})),
        _ => Answer::status(200),
    });
    let oauth = json!([{
        "kind": "oauth2", "grant": "client_credentials", "token_url": "token_url", "client_id": "client",
        "client_secret": "client_secret",
    }]);
    let settings = json!({
        "url": receiver.url(""), "token_url": receiver.url("/token"), "client": "ada", "client_secret": "client-secret",
    });
    let exchange = http(service(oauth), settings, Addresses::Any)
        .send(&[payload("a", "{}")], Timestamp::default())
        .await;
    assert!(
        short(&exchange.verdicts[0]).starts_with("credentials: the token endpoint refused"),
        "{exchange:?}"
    );
    assert_eq!((exchange.response, receiver.seen().len()), (None, 1));
}
