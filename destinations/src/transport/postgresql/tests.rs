//! What becomes of payloads before they reach a database, and what is shown of them.

mod answers;

use super::columns::{ColumnType, Misfit};
use super::insert::{folded, statements};
use super::names::identifier;
use super::schema::{COLUMNS_MAX, Shape, changes};
use super::*;
use crate::connect::{Addresses, Outbound};
use crate::registry;
use bytes::Bytes;
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn spec() -> &'static Spec {
    registry::find("postgresql").expect("the catalog has it")
}

/// Good settings, with these over them.
fn settings(over: Value) -> RawSettings {
    let own = json!({"host": "127.0.0.1", "database": "d", "user": "u", "password": "hunter2", "encryption": "none"});
    let mut settings: RawSettings = serde_json::from_value(own).expect("an object");
    settings.extend(serde_json::from_value::<RawSettings>(over).expect("an object"));
    settings
}

pub(super) fn database(over: Value, timeout: Duration) -> Result<Postgresql, SettingsError> {
    let outbound = Outbound::new(Addresses::Any, Duration::from_secs(10)).expect("a way out");
    let parts =
        TransportParts { outbound: Arc::new(outbound), timeout, response_bytes: 64 << 10, tokens: None };
    Postgresql::new(spec(), &settings(over), &parts)
}

/// A payload of the definition's action of that name.
pub(super) fn payload(id: &str, action: &str, body: &Value) -> Payload {
    let place = spec().actions.iter().position(|known| known.name == action);
    Payload {
        id: id.into(),
        mapping: 1,
        action: place.expect("the action is there"),
        group: 0,
        profile: None,
        received_at: at(),
        body: Bytes::from(body.to_string()),
    }
}

pub(super) fn at() -> Timestamp {
    Timestamp::parse("2026-11-21T23:10:00Z").expect("a moment")
}

fn entry(action: &str, body: &Value) -> Result<Entry, Failure> {
    rows::read(&Names::of(spec()), 0, &payload("msg_1.2", action, body))
}

fn good(body: &str) -> Entry {
    let body =
        Payload { body: Bytes::copy_from_slice(body.as_bytes()), ..payload("msg_1", "users", &json!({})) };
    rows::read(&Names::of(spec()), 0, &body).expect("a good row")
}

#[test]
fn settings_are_taken_or_refused_with_a_reason() {
    let cases = [
        (json!({}), None),
        (json!({"host": "::1", "schema": "shop"}), None),
        (json!({"encryption": "verify_full"}), None),
        (json!({"host": "db:5432"}), Some(("host", "the port is a setting of its own"))),
        (json!({"port": 65536}), Some(("port", "from 1 to 65535"))),
        (json!({"schema": "pg_toast"}), Some(("schema", "choose another"))),
        (json!({"schema": "information_schema"}), Some(("schema", "choose another"))),
        (
            json!({"encryption": "verify_full", "root_certificate": "-----BEGIN CERTIFICATE-----\nhunter2"}),
            Some(("root_certificate", "as PEM text")),
        ),
    ];
    for (over, want) in cases {
        match (database(over.clone(), Duration::from_secs(1)).err(), want) {
            (None, None) => {}
            (Some(got), Some((field, message))) => {
                assert_eq!(got.field, field, "{over}");
                assert!(got.message.contains(message), "{over}: {got}");
                assert!(!got.to_string().contains("hunter2"), "a value is never shown");
            }
            (got, want) => panic!("{over}: got {got:?}, want {want:?}"),
        }
    }
}

#[test]
fn names_are_safe_short_and_apart() {
    let cases = [
        ("Order Completed", "order_completed"),
        ("orderCompleted", "order_completed"),
        ("context_userAgent", "context_user_agent"),
        ("  $lib.version ", "lib_version"),
        ("Größe", "größe"),
        ("2nd visit", "_2nd_visit"),
        ("ctid", "_ctid"),
        ("x\"; DROP TABLE y; --", "x_drop_table_y"),
    ];
    for (given, want) in cases {
        assert_eq!(identifier(given), want, "{given}");
    }
    let long = |end: &str| identifier(&format!("{}{end}", "ü".repeat(60)));
    assert!(long("a").len() <= names::NAME_BYTES_MAX && long("a") != long("b"));
    assert_eq!(long("a"), long("a"), "a name does not depend on anything else");
    assert!(identifier("!").starts_with("unnamed_") && identifier("!") != identifier("?"));
}

#[test]
fn columns_get_types_by_their_values() {
    use ColumnType::{Bigint, Boolean, Jsonb, Numeric, Text, Timestamp};
    let cases = [
        ("null", Ok(None)),
        ("true", Ok(Some(Boolean))),
        ("9223372036854775807", Ok(Some(Bigint))),
        ("9223372036854775808", Ok(Some(Numeric))),
        ("12.50", Ok(Some(Numeric))),
        ("1e1001", Err(Misfit::Number)),
        ("1e99999999999999999999", Err(Misfit::Number)),
        (r#""a""#, Ok(Some(Text))),
        (r#""2026-11-20T10:00:00Z""#, Ok(Some(Timestamp))),
        (r#""2026-11-20T10:00:00.123456+05:30""#, Ok(Some(Timestamp))),
        (r#""2026-11-20T10:00:00""#, Ok(Some(Text))),
        (r#""2026-11-20""#, Ok(Some(Text))),
        (r#""2026-13-20T10:00:00Z""#, Ok(Some(Text))),
        (r#""0000-11-20T10:00:00Z""#, Ok(Some(Text))),
        (r#""a\u0000b""#, Err(Misfit::Text)),
        (r#""\ud800""#, Err(Misfit::Text)),
        ("[1,\"\\\\u0000\"]", Ok(Some(Jsonb))),
        (r#"["a\"\u0000"]"#, Err(Misfit::Text)),
        ("[[1e5000]]", Err(Misfit::Number)),
    ];
    for (json, want) in cases {
        assert_eq!(ColumnType::of_value(json), want, "{json}");
    }
}

#[test]
fn values_fit_their_columns_or_say_why_not() {
    use ColumnType::{Bigint, Boolean, Jsonb, Numeric, Text, Timestamp};
    let cases = [
        (Boolean, "true", Ok("true")),
        (Boolean, "1", Err(Misfit::Type)),
        (Bigint, "-0", Ok("-0")),
        (Bigint, "1.0", Err(Misfit::Type)),
        (Bigint, r#""1""#, Err(Misfit::Type)),
        (Numeric, "1.10", Ok("1.10")),
        (Numeric, "false", Err(Misfit::Type)),
        (Timestamp, r#""2026-11-20T11:00:00+01:00""#, Ok(r#""2026-11-20T10:00:00.000Z""#)),
        (Timestamp, r#""2026-11-20""#, Ok(r#""2026-11-20T00:00:00.000Z""#)),
        (Timestamp, r#""soon""#, Err(Misfit::Type)),
        (Timestamp, "5", Err(Misfit::Type)),
        (Text, "1.50", Ok(r#""1.50""#)),
        (Text, r#"["a"]"#, Ok(r#""[\"a\"]""#)),
        (Text, r#""a\u0000""#, Err(Misfit::Text)),
        (Jsonb, "5", Ok("5")),
        (ColumnType::of_sql("date"), r#""2026-11-20""#, Ok(r#""2026-11-20""#)),
        (Bigint, "null", Ok("null")),
    ];
    for (kind, json, want) in cases {
        assert_eq!(kind.fit(json).as_deref(), want.as_ref().copied(), "{kind:?} {json}");
    }
}

#[test]
fn payloads_become_rows() {
    let row = json!({"id": "d1", "event": "E", "context": {"page": {"url": "u"}, "list": [1]}, "none": {}});
    let spread = json!({"property": {"id": 7, "userId": "x", "Total": 1, "total": 2, "a": {"b": null}}});
    let body = json!({"table": "Order Done", "key": "id", "row": row, "spread": spread});
    let entry = entry("events", &body).expect("a row");
    assert_eq!((entry.table.as_str(), entry.row_id.as_str()), ("order_done", "msg_1"));
    assert_eq!(entry.cells[0], ("id".into(), r#""d1""#.into()), "the key comes first");
    let columns: Vec<&str> = entry.cells.iter().map(|(column, _)| column.as_str()).collect();
    let want = [
        "a_b",
        "context_list",
        "context_page_url",
        "event",
        "id",
        "property_id",
        "property_user_id",
        "total",
    ];
    let mut sorted = columns.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, want);
    let discards: Vec<_> =
        entry.discards.iter().map(|one| (one.column.as_str(), one.value.as_str(), one.why)).collect();
    assert_eq!(discards, [("total", "2", Misfit::Name)]);
    let twice = good(r#"{"table":"t","key":"k","row":{"k":"a","x":1,"x":2.50}}"#);
    assert_eq!(twice.cells[1], ("x".into(), "2.50".into()), "the last of two counts, with its digits");
}

#[test]
fn what_lies_too_deep_stays_json() {
    for (depth, want) in [(63, "1"), (64, r#"{"a":1}"#)] {
        let row = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        let entry = good(&format!(r#"{{"table":"t","key":"k","row":{{"k":"x","deep":{row}}}}}"#));
        assert_eq!(entry.cells[1].1, want, "{depth}");
    }
}

#[test]
fn tables_of_events_keep_off_the_definitions_own() {
    let cases = [
        ("events", "Users", "event_users"),
        ("events", "Discards", "event_discards"),
        ("users", "users", "users"),
        ("users", "discards", "event_discards"),
        ("events", "Signed Up", "signed_up"),
    ];
    for (action, table, want) in cases {
        let row = entry(action, &json!({"table": table, "key": ["k"], "row": {"k": "1"}})).expect("a row");
        assert_eq!(row.table, want, "{action} {table}");
    }
}

#[test]
fn payloads_without_a_key_are_refused() {
    let body = |row: Value| json!({"table": "t", "key": ["k"], "newest_by": "at", "row": row});
    let (missing, invalid) = (Reason::MissingField, Reason::InvalidField);
    let long = "x".repeat(900);
    let cases = [
        (json!({"key": ["k"], "row": {"k": 1}}), missing, "`table`"),
        (json!({"table": "t", "row": {"k": 1}}), missing, "`key`"),
        (json!({"table": "t", "key": ["k"]}), missing, "`row`"),
        (json!({"table": "t", "key": 7, "row": {"k": 1}}), invalid, "list of columns"),
        (body(json!({"at": "2026-11-20T10:00:00Z"})), missing, "row.k"),
        (body(json!({"k": null, "at": "2026-11-20T10:00:00Z"})), missing, "row.k"),
        (body(json!({"k": "secret", "at": "soon"})), invalid, "row.at"),
        (body(json!({"k": "secret"})), missing, "row.at"),
        (body(json!({"k": ["secret"], "at": "2026-11-20T10:00:00Z"})), invalid, "is a list"),
        (body(json!({"k": long, "at": "2026-11-20T10:00:00Z"})), invalid, "800 bytes"),
    ];
    for (body, reason, text) in cases {
        let failure = entry("users", &body).err().expect("it is refused");
        assert_eq!(failure.reason, reason, "{body}");
        assert!(failure.text.contains(text), "{body}: {}", failure.text);
        assert!(!failure.text.contains("secret"), "a value is never shown");
    }
}

#[test]
fn tables_are_made_grown_and_widened() {
    let first =
        good(r#"{"table":"t","key":"k","newest_by":"at","row":{"a":null,"n":1,"at":"2026-11-20","k":7}}"#);
    let second =
        good(r#"{"table":"t","key":"k","newest_by":"at","row":{"n":2.5,"x":[],"at":"2026-11-20","k":8}}"#);
    let made = changes(None, &[&first, &second]);
    let want = r#"CREATE TABLE IF NOT EXISTS "s"."t" ("at" timestamp with time zone, "k" text, "n" numeric, "x" jsonb, PRIMARY KEY ("k"));"#;
    assert_eq!(made.statement("s", "t"), want);
    let shape = changes(None, &[&first]).applied(None);
    let grown = changes(Some(&shape), &[&second]);
    let want = r#"ALTER TABLE "s"."t" ADD COLUMN IF NOT EXISTS "x" jsonb, ALTER COLUMN "n" TYPE numeric;"#;
    assert_eq!(grown.statement("s", "t"), want);
    let shape = grown.applied(Some(&shape));
    assert!(changes(Some(&shape), &[&first, &second]).is_empty());
    let full = Shape { columns: (0..COLUMNS_MAX).map(|n| (format!("c{n}"), ColumnType::Text)).collect() };
    assert!(changes(Some(&full), &[&second]).is_empty(), "no more columns than there may be");
    let (_, discards) = folded(&full, &[&second]);
    assert!(discards.iter().all(|(_, discard)| discard.why == Misfit::Column));
}

#[test]
fn rows_with_the_same_key_become_one() {
    let row = |time: &str, more: &str| {
        good(&format!(
            r#"{{"table":"t","key":"k","newest_by":"at","row":{{"k":"a","at":"2026-11-20T{time}Z",{more}}}}}"#
        ))
    };
    let (ten, nine) = (row("10:00:00", r#""x":1,"y":1"#), row("09:00:00", r#""x":2,"z":2"#));
    let eleven = row("11:00:00", r#""x":3"#);
    let cases = [
        ([&ten, &nine], r#"[{"at":"2026-11-20T10:00:00.000Z","k":"a","x":1,"y":1}]"#),
        (
            [&nine, &eleven],
            r#"[{"at":"2026-11-20T11:00:00.000Z","k":"a","x":3,"z":2,"":{"z":"2026-11-20T09:00:00.000Z"}}]"#,
        ),
        ([&ten, &ten], r#"[{"at":"2026-11-20T10:00:00.000Z","k":"a","x":1,"y":1}]"#),
    ];
    let shape = changes(None, &[&ten, &nine, &eleven]).applied(None);
    for (entries, want) in cases {
        let (rows, discards) = folded(&shape, &entries);
        assert!(discards.is_empty());
        let made = statements("s", "t", &shape, &rows);
        assert_eq!(made.parameter, want);
        let update = made.update.expect("there are other columns");
        assert_eq!(update.contains("e.j->''->>'z'"), want.contains(r#""":"#), "{update}");
    }
}

#[test]
fn discards_are_bounded_and_say_whose_they_are() {
    let entry = good(r#"{"table":"t","key":"k","row":{"k":"a","user_id":"u1","x":1}}"#);
    let discard =
        |column: String, value: &str| rows::Discard { column, value: value.into(), why: Misfit::Type };
    let many: Vec<_> = (0..150).map(|n| discard(format!("c{n}"), r#""\u0000""#)).collect();
    let made = entry.discarded(&many);
    assert_eq!(made.len(), 101);
    let value = |entry: &Entry, name: &str| {
        let cell = entry.cells.iter().find(|(column, _)| column == name);
        cell.map(|(_, json)| json.clone()).unwrap_or_default()
    };
    assert_eq!(value(&made[0], "value"), r#""\"\\u0000\"""#, "text that can be stored");
    assert_eq!(value(&made[0], "user_id"), r#""u1""#);
    assert_eq!(value(&made[100], "value"), r#""50""#);
    let long = format!("\"{}\"", "é".repeat(9_000));
    let long = entry.discarded(&[discard("c".into(), &long)]);
    assert!(value(&long[0], "value").len() < 10_100);
}

#[test]
fn secrets_are_hidden_in_what_is_described() {
    let database = database(json!({}), Duration::from_secs(1)).expect("good settings");
    let body = json!({"table": "t", "key": "k", "row": {"k": "hunter2"}});
    let shown = database.describe(&[payload("msg_1", "users", &body)], at(), usize::MAX).expect("it is good");
    assert!(shown.body.ends_with("-- $1 = [{\"k\":\"********\"}]\n"), "{}", shown.body);
}

#[test]
fn what_is_described_is_without_secrets_and_cut() {
    let database =
        database(json!({"host": "::1", "port": 7}), Duration::from_secs(1)).expect("good settings");
    let payloads = [
        payload("msg_1", "users", &json!({"table": "t"})),
        payload("msg_2", "users", &json!({"table": "t", "key": "k", "row": {"k": "é"}})),
    ];
    let whole = database.describe(&payloads, at(), usize::MAX).expect("one is good");
    assert_eq!((whole.method.as_str(), whole.target.as_str()), ("SQL", "postgresql://[::1]:7/d"));
    assert_eq!(whole.body_bytes, whole.body.len() as u64);
    assert!(whole.body.ends_with("-- $1 = [{\"k\":\"é\"}]\n"), "{}", whole.body);
    assert!(!format!("{} {}", whole.target, whole.body).contains("hunter2"));
    let mark = format!("… (cut: the whole has {} bytes)", whole.body_bytes);
    let short = database.describe(&payloads, at(), 100).expect("one is good");
    assert_eq!((short.body.len(), short.body_bytes), (100, whole.body_bytes));
    let begins = short.body.strip_suffix(&mark).expect("it says that it is cut");
    assert!(whole.body.starts_with(begins), "{}", short.body);
    let failure = database.describe(&payloads[..1], at(), 10).expect_err("none is good");
    assert_eq!(failure.reason, Reason::MissingField);
}
