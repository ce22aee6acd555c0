//! What it costs to map a typical event: a track call of about a kilobyte, an action with 15 fields.

use criterion::Criterion;
use serde_json::json;
use std::collections::BTreeMap;
use std::hint::black_box;
use tributary_destinations::{Mapper, RawSettings, Spec};

const EVENT: &str = r#"{"type":"track","event":"Order Completed","messageId":"ajs-next-00000001-0000-4000-8000-000000000001",
"anonymousId":"5f0c2c1e-7a0b-4d1c-9f0e-2b6d3c4e5f60","userId":"user-184467","timestamp":"2026-11-20T10:00:00.123Z",
"sentAt":"2026-11-20T10:00:00.250Z","receivedAt":"2026-11-20T10:00:00.300Z","context":{"library":{"name":"analytics.js",
"version":"npm:next-1.81.0"},"userAgent":"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0","locale":"de-DE",
"page":{"path":"/checkout/done","referrer":"https://shop.example/checkout","title":"Thank you","url":"https://shop.example/checkout/done"},
"campaign":{"source":"newsletter","medium":"email","name":"november"}},"properties":{"order_id":"50314b8e9bcf000000000000",
"total":27.50,"revenue":25.00,"shipping":3,"tax":2.00,"discount":2.5,"coupon":"hasbros","currency":"eur","email":"Ada@Example.com",
"products":[{"product_id":"507f1f77","sku":"45790-32","name":"Monopoly: 3rd Edition","price":19.00,"quantity":1},
{"product_id":"505bd76785","sku":"46493-32","name":"Uno Card Game","price":3,"quantity":2}]}}"#;

/// A definition with that action.
fn spec() -> &'static Spec {
    let field = |name: &str, kind: &str, default: serde_json::Value| json!({"name": name, "kind": kind, "default": default, "help": "…"});
    let item = json!({"id": {"@path": "$.sku"}, "name": {"@path": "$.name"}, "price": {"@path": "$.price"}});
    let fields = json!([
        field("event", "text", json!({"@path": "$.event"})),
        field("id", "text", json!({"@path": "$.messageId"})),
        field(
            "user.id",
            "text",
            json!({"@if": {"exists": {"@path": "$.userId"}, "then": {"@path": "$.userId"}}})
        ),
        field("user.anonymous_id", "text", json!({"@path": "$.anonymousId"})),
        field("at", "unix_micros", json!({"@path": "$.timestamp"})),
        field("order", "text", json!({"@path": "$.properties.order_id"})),
        field("value", "number", json!({"@path": "$.properties.total"})),
        field("tax", "number", json!({"@path": "$.properties.tax"})),
        field("shipping", "number", json!({"@path": "$.properties.shipping"})),
        field("coupon", "text", json!({"@path": "$.properties.coupon"})),
        field(
            "currency",
            "text",
            json!({"@case": {"operator": "upper", "value": {"@path": "$.properties.currency"}}})
        ),
        field("url", "text", json!({"@path": "$.context.page.url"})),
        field("campaign", "text", json!({"@path": "$.context.campaign.name"})),
        field(
            "text",
            "text",
            json!({"@template": "{{event}}: {{properties.total}} {{properties.currency}}"})
        ),
        field("items", "list", json!({"@arrayPath": ["$.properties.products", item]})),
    ]);
    let whole = json!({
        "name": "bench", "title": "Bench", "help": "For benches.", "transport": {"kind": "object_storage"}, "settings": [],
        "actions": [{"name": "send", "title": "Send", "help": "Sends.", "takes": ["track"], "fields": fields}]
    });
    Box::leak(Box::new(serde_json::from_value(whole).expect("a definition")))
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mapper = |fields: &BTreeMap<String, serde_json::Value>| {
        Mapper::new(spec(), "send", fields, &RawSettings::new()).expect("a sound mapping")
    };
    let typical = mapper(&BTreeMap::new());
    let body = typical.map(EVENT).expect("a payload");
    let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    assert_eq!(body["currency"], "EUR", "every field is filled");
    assert_eq!(body["items"][1]["id"], "46493-32", "every field is filled");
    criterion.bench_function("mapping/15 fields", |bencher| bencher.iter(|| typical.map(black_box(EVENT))));

    let leave_out = |but: &str, directive: serde_json::Value| {
        let fields = spec().actions[0].fields.iter().map(|field| (field.name.clone(), json!(null)));
        let mut fields: BTreeMap<String, serde_json::Value> = fields.collect();
        fields.insert(but.to_owned(), directive);
        mapper(&fields)
    };
    let blocks = leave_out("text", json!({"@template": "{{#if properties.coupon}}{{event}}{{/if}}"}));
    criterion.bench_function("mapping/a template with a block", |bencher| {
        bencher.iter(|| blocks.map(black_box(EVENT)));
    });
    let query = leave_out("items", json!({"@path": "$.properties.products[?@.price > 5].sku"}));
    criterion.bench_function("mapping/a path with a filter", |bencher| {
        bencher.iter(|| query.map(black_box(EVENT)));
    });
    criterion.final_summary();
}
