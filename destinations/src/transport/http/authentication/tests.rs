use super::*;
use crate::connect::{Addresses, Outbound};
use bytes::Bytes;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use url::Url;

const SECOND: Duration = Duration::from_secs(1);

fn authentication(specs: Json, settings: Json) -> Result<Authentication, SettingsError> {
    let outbound = Arc::new(Outbound::new(Addresses::Public, SECOND).expect("a way out"));
    let parts = TransportParts { outbound, timeout: SECOND, response_bytes: 100, tokens: None };
    let specs: Vec<AuthenticationSpec> = serde_json::from_value(specs).expect("specifications");
    let settings: RawSettings = serde_json::from_value(settings).expect("settings");
    Authentication::new(&specs, &settings, &parts, SECOND)
}

fn headers(authentication: &Authentication) -> BTreeMap<String, String> {
    let mut request = OutboundRequest {
        method: "POST".to_owned(),
        url: Url::parse("https://example.com").expect("a URL"),
        headers: vec![("user-agent".to_owned(), "tributary".to_owned())],
        body: Bytes::from_static(br#"{"test": 2432232314}"#),
    };
    authentication
        .apply(&mut request, "msg_p5jXN8AQM9LWM0D4loKWxJek", Timestamp::from_millis(1_614_265_330_000))
        .expect("it can");
    request.headers.into_iter().collect()
}

/// All of it, with each setting named as what it is.
fn all() -> Json {
    json!([
        {"kind": "headers", "setting": "headers"},
        {"kind": "header", "name": "x-api-key", "setting": "key"},
        {"kind": "header", "name": "authorization", "prefix": "Bearer ", "setting": "token"},
        {"kind": "basic", "user": "user", "password": "password"},
        {"kind": "oauth2", "grant": "refresh_token", "token_url": "url", "client_id": "id", "client_secret": "secret",
         "refresh_token": "refresh", "scope": "scope"},
        {"kind": "standard_webhooks", "secret": "whsec"},
    ])
}

#[test]
fn each_is_used_where_its_settings_are_given() {
    // The example of the Standard Webhooks specification.
    let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
    let signed = [
        ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
        ("webhook-timestamp", "1614265330"),
        ("webhook-signature", signature),
    ];
    let cases = [
        (json!({}), vec![]),
        (
            json!({"headers": {"X-One": "1", "user-agent": "own"}}),
            vec![("x-one", "1"), ("user-agent", "own")],
        ),
        (json!({"key": "k"}), vec![("x-api-key", "k")]),
        (json!({"token": "t"}), vec![("authorization", "Bearer t")]),
        (
            json!({"user": "Aladdin", "password": "open sesame"}),
            vec![("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")],
        ),
        (json!({"user": "Aladdin"}), vec![("authorization", "Basic QWxhZGRpbjo=")]),
        (json!({"password": "open sesame"}), vec![]),
        (json!({"whsec": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}), signed.to_vec()),
    ];
    for (settings, want) in cases {
        let authentication = authentication(all(), settings.clone()).expect("good settings");
        let mut all: BTreeMap<String, String> = [("user-agent".to_owned(), "tributary".to_owned())].into();
        all.extend(want.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(headers(&authentication), all, "{settings}");
        for name in all.keys().filter(|name| *name != "user-agent" && !name.starts_with("webhook-")) {
            assert!(authentication.is_secret(name), "{name}");
        }
        assert!(authentication.is_secret("webhook-signature") && !authentication.is_secret("webhook-id"));
    }
}

#[test]
fn tokens_are_used_where_all_of_it_is_given() {
    let full = json!({"url": "https://example.com/token", "id": "i", "secret": "s", "refresh": "r"});
    assert!(authentication(all(), full.clone()).expect("good settings").oauth.is_some());
    for missing in ["url", "id", "secret", "refresh"] {
        let mut settings = full.clone();
        settings.as_object_mut().expect("settings").remove(missing);
        assert!(authentication(all(), settings).expect("good settings").oauth.is_none(), "{missing}");
    }
}

#[test]
fn what_was_made_of_settings_is_secret_too() {
    let settings = json!({"user": "Aladdin", "password": "open sesame", "whsec": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"});
    let secrets = authentication(all(), settings).expect("good settings").secrets;
    assert_eq!(secrets, ["QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]);
}

#[test]
fn an_id_in_the_header_is_what_is_signed() {
    let authentication = authentication(all(), json!({"whsec": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}))
        .expect("good settings");
    let signature = |id: Option<&str>| {
        let mut request = OutboundRequest {
            method: "POST".to_owned(),
            url: Url::parse("https://example.com").expect("a URL"),
            headers: id.map(|id| ("webhook-id".to_owned(), id.to_owned())).into_iter().collect(),
            body: Bytes::from_static(b"{}"),
        };
        authentication.apply(&mut request, "given", Timestamp::default()).expect("it can");
        (
            request.header("webhook-id").map(str::to_owned),
            request.header("webhook-signature").map(str::to_owned),
        )
    };
    assert_eq!(signature(None).0.as_deref(), Some("given"));
    assert_eq!(signature(Some("own")).0.as_deref(), Some("own"));
    assert_eq!(signature(Some("given")), signature(None));
    assert_ne!(signature(Some("own")).1, signature(None).1);
}

#[test]
fn settings_that_can_not_be_used_are_refused_and_not_shown() {
    let cases = [
        (json!({"whsec": "hidden"}), "whsec", "whsec_ followed by base64"),
        (json!({"whsec": "whsec_"}), "whsec", "whsec_ followed by base64"),
        (json!({"whsec": "whsec_hid den"}), "whsec", "whsec_ followed by base64"),
        (json!({"user": "hidden:hidden"}), "user", "colon"),
        (json!({"key": "hidden\nhidden"}), "key", "line breaks"),
        (json!({"headers": {"x-one": "hidden\r\nx-two: hidden"}}), "headers.x-one", "line breaks"),
        (json!({"url": "hidden", "id": "i", "secret": "s", "refresh": "r"}), "url", "absolute URL"),
    ];
    for (settings, field, message) in cases {
        let refused =
            authentication(all(), settings.clone()).err().unwrap_or_else(|| panic!("{settings} is taken"));
        assert_eq!(refused.field, field, "{settings}: {refused}");
        assert!(
            refused.message.contains(message) && !refused.message.contains("hid"),
            "{settings}: {refused}"
        );
    }
}
