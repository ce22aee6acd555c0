//! Settings as definitions declare them, good and bad.

use super::*;
use crate::registry;
use serde_json::json;

/// A definition with a setting of every kind.
fn spec() -> Spec {
    let setting = |name: &str, kind: &str, more: Value| {
        let mut setting = json!({"name": name, "title": name, "kind": kind, "help": "h"});
        let members = setting.as_object_mut().expect("it is one");
        members.extend(more.as_object().expect("it is one").clone());
        setting
    };
    let choices = json!({"choices": ["eu", "us"], "default": "eu"});
    let settings = json!([
        setting("url", "url", json!({"required": true})),
        setting("token", "text", json!({"secret": true, "needs": ["account"]})),
        setting("password", "text", json!({"secret": true})),
        setting(
            "account",
            "text",
            json!({"pattern": "[0-9]{3,}", "expected": "must be three digits or more"})
        ),
        setting("prefix", "text", json!({"pattern": "a|b"})),
        setting("message", "template", json!({})),
        setting("region", "choice", choices),
        setting("strict", "switch", json!({})),
        setting("rate", "count", json!({"minimum": 5, "maximum": 50, "required": true, "default": 10})),
        setting("rows", "count", json!({})),
        setting("headers", "headers", json!({"secret": true})),
        setting("send", "activations", json!({})),
        setting("hook", "url", json!({"secret": true})),
    ]);
    let json = json!({
        "name": "sample", "title": "t", "help": "h", "settings": settings, "one_of": [["token", "password"]],
        "transport": {"kind": "object_storage"}, "actions": [],
    });
    serde_json::from_value(json).expect("a definition")
}

/// The good settings with these over them.
fn settings(changed: &Value) -> RawSettings {
    let mut settings = RawSettings::from([
        ("url".to_owned(), json!("https://example.com")),
        ("password".to_owned(), json!("s3cret")),
    ]);
    settings.extend(changed.as_object().expect("an object").clone());
    settings
}

#[test]
fn good_settings_are_taken() {
    let cases = [
        json!({}),
        json!({"url": "http://10.0.0.1:8080/x?y=z", "region": null, "strict": null}),
        json!({"token": "t", "password": null, "account": "123"}),
        json!({"prefix": "a", "message": "Order of {{properties.total}}", "region": "us", "strict": false}),
        json!({"hook": "https://ada:s3cret@example.com/?token=x"}),
        json!({"rate": 5, "rows": 1_000_000, "send": ["events"]}),
        json!({"rate": 50, "headers": {"X-Api-Key": "k", "accept": "text/plain"}}),
    ];
    for changed in cases {
        assert_eq!(check_settings(&spec(), &settings(&changed)), Ok(()), "{changed}");
    }
}

#[test]
fn bad_settings_are_refused_with_the_place_and_without_the_value() {
    let cases = [
        (json!({"url": null}), "url", "is required"),
        (json!({"url": "example.com"}), "url", "must be an absolute URL with http or https"),
        (json!({"url": "ftp://example.com"}), "url", "must be an absolute URL with http or https"),
        (json!({"url": 5}), "url", "must be text"),
        (json!({"url": "https://example.com/a\nb"}), "url", "must not hold line breaks"),
        (json!({"url": "\thttps://example.com"}), "url", "must not hold line breaks"),
        (json!({"hook": "https://example.com/s3cret\r"}), "hook", "must not hold line breaks"),
        (json!({"url": "https://ada:s3cret@example.com"}), "url", "must not hold a user name or password"),
        (json!({"url": "https://s3cret@example.com"}), "url", "must not hold a user name or password"),
        (json!({"password": ""}), "password", "is empty; leave it out to go without it"),
        (json!({"url": ""}), "url", "is empty, and required"),
        (json!({"region": ""}), "region", "is empty; leave it out for its default"),
        (
            json!({"token": "t", "password": null, "account": ""}),
            "account",
            "is empty, and required where `token` is given",
        ),
        (json!({"password": "x".repeat(20_000)}), "password", "has 20000 bytes; the limit is 16384"),
        (json!({"account": "12"}), "account", "must be three digits or more"),
        (json!({"account": "x123"}), "account", "must be three digits or more"),
        (json!({"prefix": "ab"}), "prefix", "must match a|b"),
        (json!({"message": "{{#each}"}), "message", ""),
        (json!({"region": "asia"}), "region", "must be one of: eu, us"),
        (json!({"strict": "true"}), "strict", "must be true or false"),
        (json!({"rate": 4}), "rate", "must be a whole number from 5 to 50"),
        (json!({"rate": 51}), "rate", "must be a whole number from 5 to 50"),
        (json!({"rate": "10"}), "rate", "must be a whole number from 5 to 50"),
        (json!({"rate": -1}), "rate", "must be a whole number from 5 to 50"),
        (json!({"rows": 0}), "rows", "must be a whole number from 1 on"),
        (json!({"rows": 1.5}), "rows", "must be a whole number from 1 on"),
        (json!({"headers": ["a"]}), "headers", "must be an object of texts"),
        (json!({"headers": {"a b": "c"}}), "headers.a b", "is no name of a header"),
        (json!({"headers": {"a": 5}}), "headers.a", "must be text"),
        (json!({"headers": {"a": "b\r\nc: d"}}), "headers.a", "without line breaks"),
        (json!({"headers": {"Host": "b"}}), "headers.Host", "belongs to the connection"),
        (json!({"headers": {"X-A": "b", "x-a": "c"}}), "headers.x-a", "is given twice"),
        (json!({"send": ["merges"]}), "send[0]", "must be one of: events"),
        (json!({"token": "t", "password": null}), "account", "is required where `token` is given"),
        (json!({"password": null}), "token", "is missing; give exactly one of: token, password"),
        (json!({"token": "t", "account": "123"}), "password", "is given beside `token`"),
        (json!({"colour": "red"}), "colour", "is not a setting of sample; it takes url, token, password"),
    ];
    for (changed, field, message) in cases {
        let error = check_settings(&spec(), &settings(&changed)).expect_err(&changed.to_string());
        assert!(error.field == field && error.message.contains(message), "{changed}: {error}");
        assert!(!error.message.contains("s3cret"), "{error}");
    }
}

#[test]
fn what_authenticates_a_webhook_does_not_get_into_the_way_of_the_rest() {
    let spec = registry::find("webhook").expect("the catalog has it");
    let token_url = "https://example.com/token";
    let oauth =
        json!({"oauth_token_url": token_url, "oauth_client_id": "c", "oauth_client_secret": "s3cret"});
    let with = |more: &Value, headers: Value| {
        let mut settings = RawSettings::from([
            ("url".to_owned(), json!("https://example.com")),
            ("headers".to_owned(), headers),
        ]);
        settings.extend(more.as_object().expect("an object").clone());
        check_settings(spec, &settings).map_err(|error| (error.field, error.message))
    };
    let none = json!({});
    let basic = json!({"basic_user": "u"});
    let secret = json!({"secret": "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0"});
    let renewed = json!({"oauth_token_url": token_url, "oauth_client_id": "c", "oauth_client_secret": "s3cret",
        "oauth_refresh_token": "s3cret"});
    let good = [
        (&none, json!({"webhook-signature": "of another scheme"})),
        (&none, json!({"Authorization": "Bearer s3cret", "x-webhook-id": "1", "content-type": "text/json"})),
        (&json!({"basic_user": null}), json!({"authorization": "Bearer s3cret"})),
        (&basic, json!({"x-api-key": "s3cret"})),
        (&oauth, json!({"x-api-key": "s3cret"})),
        (&renewed, json!({"x-api-key": "s3cret"})),
    ];
    for (more, headers) in good {
        assert_eq!(with(more, headers.clone()), Ok(()), "{more} {headers}");
    }
    let bad = [
        (&none, "webhook-id", "each request has one of its own"),
        (&none, "Webhook-Timestamp", "each request has one of its own"),
        (&secret, "webhook-signature", "each request has one of its own"),
        (&basic, "Authorization", "is given beside `basic_user`"),
        (&oauth, "authorization", "is given beside `oauth_token_url`"),
    ];
    for (more, name, words) in bad {
        let (field, message) = with(more, json!({name: "s3cret"})).expect_err(name);
        assert_eq!(field, format!("headers.{name}"));
        assert!(message.contains(words) && !message.contains("s3cret"), "{name}: {message}");
    }
    for tokens in [&oauth, &renewed] {
        let mut both = basic.clone();
        both.as_object_mut().expect("an object").extend(tokens.as_object().expect("an object").clone());
        let (field, message) = with(&both, json!({"x-api-key": "s3cret"})).expect_err("only one is sent");
        let want = "is given beside `oauth_token_url`, which is sent in the same header; give one of them";
        assert_eq!((field.as_str(), message.as_str()), ("basic_user", want));
    }
}

#[test]
fn defaults_count_where_nothing_is_given() {
    let filled = with_defaults(&spec(), &settings(&json!({"region": null, "strict": true})));
    let want = settings(&json!({"region": "eu", "strict": true, "rate": 10}));
    assert_eq!(filled, want);
    let (spec, none) = (spec(), RawSettings::new());
    assert_eq!(text(&spec, &none, "region"), Ok(Some("eu")));
    assert_eq!((count(&spec, &none, "rate"), count(&spec, &none, "rows")), (Ok(Some(10)), Ok(None)));
    assert_eq!(
        (switch(&spec, &filled, "strict"), switch(&spec, &none, "strict")),
        (Ok(Some(true)), Ok(None))
    );
    let address = url(&spec, &filled, "url").map(|url| url.map(String::from));
    assert_eq!((address, url(&spec, &none, "url")), (Ok(Some("https://example.com/".to_owned())), Ok(None)));
}
