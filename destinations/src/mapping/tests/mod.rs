//! The mapping language by examples, against a slow reference, and with whatever may be thrown at it.

mod directives;
mod entries;
mod fields;
mod numbers;
mod paths;
mod properties;
mod reference;
mod refused;
mod templates;

use super::{Directive, Root};
use serde_json::Value as Json;

/// An event with one of everything.
const EVENT: &str = r#"{
    "type": "track", "event": "Order Completed", "userId": "u1",
    "properties": {
        "total": 12.50, "big": 123456789012345678901234567890, "huge": 1e400, "negative": -0, "zero": 0.00,
        "name": "Gr\u00fcn \u0041da \"x\"", "plain": "Grün", "empty": "", "null": null, "yes": true, "no": false,
        "list": [1, 2.0, {"a": "b"}], "none": [], "nothing": {},
        "products": [{"sku": "A", "price": 10.10}, {"sku": "B", "price": "5"}, {"price": 0}],
        "address": {"city": "Ulm", "geo": {"lat": 48.40}},
        "json": "{\"a\":[1.50,{\"b\":null}]}", "twice": 1, "twice": 2, "first name": "Ada", "a.b": "dotted"
    },
    "context": {"page": {"url": "https://shop.example/?a=1&b=2"}, "ip": "192.0.2.1"},
    "traits": {"email": "ada@example.com"},
    "profile": "of the event"
}"#;

/// What is laid over the event.
const PROFILE: &str =
    r#"{"id":"p1","traits":{"plan":"pro"},"audiences":{"vip":true},"identifiers":{"email":["a@b.c"]}}"#;

fn root() -> Root<'static> {
    Root::new(EVENT).with("profile", PROFILE).with("delivery", r#"{"id":"msg_1","mapping":1}"#)
}

fn read_json(text: &str) -> Json {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// What a directive makes of something, as JSON text; why it can't as an error.
fn made_of(directive: &str, root: &Root<'_>) -> Result<Option<String>, String> {
    let directive =
        Directive::parse(&read_json(directive)).unwrap_or_else(|error| panic!("{directive}: {error}"));
    let value = directive.evaluate(root).map_err(|error| error.to_string())?;
    Ok(value.map(|value| {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).expect("JSON is text")
    }))
}

/// Checks what directives make of the event: JSON text, or nothing.
fn check(cases: &[(&str, Option<&str>)]) {
    for (directive, want) in cases {
        let made = made_of(directive, &root()).unwrap_or_else(|error| panic!("{directive}: {error}"));
        assert_eq!(made.as_deref(), *want, "{directive}");
    }
}
