//! What a real PostgreSQL makes of our rows: `cargo xtask destinations` starts one.
//!
//! Each test has a schema of its own, so that they don't meet.

mod tables;

use super::tests::{at, database, payload};
use super::*;
use serde_json::{Value, json};
use tokio_postgres::SimpleQueryMessage;
use url::Url;

/// The variable that says where the server is: `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslrootcert=FILE`.
const VARIABLE: &str = "TRIBUTARY_TEST_POSTGRESQL";

/// The time for an exchange, where a test is not about that.
const PATIENCE: Duration = Duration::from_secs(30);

#[allow(
    clippy::disallowed_methods,
    reason = "how `cargo xtask destinations` tells the tests where the server is"
)]
fn server() -> Url {
    let found = std::env::var(VARIABLE);
    let found =
        found.unwrap_or_else(|_| panic!("{VARIABLE} is not set: run this with `cargo xtask destinations`"));
    Url::parse(&found).expect("a URL")
}

fn settings(schema: &str, over: Value) -> Value {
    let server = server();
    let mut settings = json!({
        "host": server.host_str(), "port": server.port(), "database": server.path().trim_start_matches('/'),
        "user": server.username(), "password": server.password(), "schema": schema, "encryption": "none",
    });
    let over = over.as_object().expect("an object").clone();
    settings.as_object_mut().expect("an object").extend(over);
    settings
}

fn connected(schema: &str, over: Value, timeout: Duration) -> Postgresql {
    database(settings(schema, over), timeout).expect("good settings")
}

/// A database whose schema is not there yet.
async fn fresh(schema: &str) -> Postgresql {
    let database = connected(schema, json!({}), PATIENCE);
    ask(&database, &format!("DROP SCHEMA IF EXISTS {schema} CASCADE")).await;
    database
}

/// The rows that a statement gives, values with `|` between.
async fn ask(database: &Postgresql, sql: &str) -> Vec<String> {
    let session = database.connections.take().await.expect("a connection");
    let rows = session.client.simple_query(sql).await.unwrap_or_else(|why| panic!("{sql}: {why:?}"));
    let mut found = Vec::new();
    for row in rows {
        if let SimpleQueryMessage::Row(row) = row {
            let values: Vec<&str> = (0..row.len()).map(|at| row.get(at).unwrap_or("NULL")).collect();
            found.push(values.join("|"));
        }
    }
    database.connections.keep(session);
    found
}

/// An upsert that knows which row is newer.
fn user(id: &str, time: &str, traits: &Value) -> Payload {
    let row = json!({"user_id": id, "event_time": format!("2026-11-20T{time}Z")});
    let body = json!({"table": "users", "key": ["user_id"], "newest_by": "event_time", "row": row, "spread": {"trait": traits}});
    payload("msg_u", "users", &body)
}

/// A row of a table of events.
fn event(id: &str, table: &str, properties: &Value) -> Payload {
    let row = json!({"id": id, "event": table, "user_id": "u1"});
    payload(
        id,
        "events",
        &json!({"table": table, "key": ["id"], "row": row, "spread": {"property": properties}}),
    )
}

async fn send(database: &Postgresql, payloads: &[Payload]) -> Vec<Verdict> {
    let exchange = database.send(payloads, at()).await;
    assert_eq!(exchange.verdicts.len(), payloads.len());
    exchange.verdicts
}

async fn stored(database: &Postgresql, payloads: &[Payload]) {
    for verdict in send(database, payloads).await {
        assert_eq!(verdict, Verdict::Delivered);
    }
}

#[tokio::test]
async fn columns_grow_widen_and_discard_and_repeats_change_nothing() {
    let database = fresh("t_grow").await;
    let first = [
        event(
            "msg_1",
            "Order Done",
            &json!({"n": 1, "ok": true, "when": "2026-01-01T00:00:00+01:00", "items": [{"a": 1}]}),
        ),
        event("msg_2", "Order Done", &json!({"n": 2, "ok": "no", "name": "A\u{0}B", "deep": {"er": "x"}})),
    ];
    stored(&database, &first).await;
    let second =
        [event("msg_3", "Order Done", &json!({"n": 2.50, "when": "soon", "name": "Zoë's \"\\", "ok": null}))];
    stored(&database, &second).await;
    let order =
        "SELECT id, n, ok, \"when\" AT TIME ZONE 'UTC', items, deep_er FROM t_grow.order_done ORDER BY id";
    let want = [
        r#"msg_1|1|t|2025-12-31 23:00:00|[{"a": 1}]|NULL"#,
        "msg_2|2|NULL|NULL|NULL|x",
        "msg_3|2.5|NULL|NULL|NULL|NULL",
    ];
    assert_eq!(ask(&database, order).await, want);
    assert_eq!(ask(&database, "SELECT name FROM t_grow.order_done WHERE id = 'msg_3'").await, ["Zoë's \"\\"]);
    let discards =
        "SELECT row_id, table_name, column_name, value, user_id FROM t_grow.discards ORDER BY 1, 3";
    let want = [
        r#"msg_2|order_done|name|"A\u0000B"|u1"#,
        "msg_2|order_done|ok|no|u1",
        "msg_3|order_done|when|soon|u1",
    ];
    assert_eq!(ask(&database, discards).await, want);
    let versions = "SELECT xmin, * FROM t_grow.order_done ORDER BY id";
    let before = ask(&database, versions).await;
    stored(&database, &[&second[..], &first[..]].concat()).await;
    assert_eq!(ask(&database, versions).await, before, "nothing was written again");
    assert_eq!(ask(&database, "SELECT count(*) FROM t_grow.discards").await, ["3"]);
}

#[tokio::test]
async fn numbers_keep_their_digits() {
    let database = fresh("t_digits").await;
    let body = r#"{"table":"T","key":"id","row":{"id":"msg_1","big":123456789012345678901234567890.10,"list":[1.50]}}"#;
    let body = bytes::Bytes::from_static(body.as_bytes());
    stored(&database, &[Payload { body, ..payload("msg_1", "events", &json!({})) }]).await;
    let rows = ask(&database, "SELECT big, list FROM t_digits.t").await;
    assert_eq!(rows, ["123456789012345678901234567890.10|[1.50]"]);
}

#[tokio::test]
async fn the_newest_row_counts_in_one_batch_as_one_by_one() {
    let (one, two, three) = (json!({"a": 1, "b": 1}), json!({"b": 2, "c": 2}), json!({"a": null, "d": true}));
    let rows = [
        ("10:00:00", &one),
        ("11:00:00", &two),
        ("09:00:00", &three),
        ("10:30:00", &three),
        ("11:00:00", &one),
    ];
    let select =
        |schema: &str| format!("SELECT event_time AT TIME ZONE 'UTC', a, b, c, d FROM {schema}.users");
    let (all, single) = (fresh("t_newest").await, fresh("t_newest_single").await);
    let both = [(&all, "DELETE FROM t_newest.users"), (&single, "DELETE FROM t_newest_single.users")];
    for (database, _) in both {
        // With every column.
        stored(database, &[user("u0", "00:00:00", &json!({"a": 0, "b": 0, "c": 0, "d": false}))]).await;
    }
    // Every order of three of them, with none or one of them there already.
    for (n, there) in (0..125).flat_map(|n| [(n, 0), (n, 1)]) {
        let order: [usize; 3] = [n / 25, n / 5 % 5, n % 5];
        let payloads = order.map(|row| user("u1", rows[row].0, rows[row].1));
        for (database, empty) in both {
            ask(database, empty).await;
            stored(database, &payloads[..1]).await;
            if there == 0 {
                ask(database, empty).await;
            }
        }
        stored(&all, &payloads[there..]).await;
        for payload in &payloads[there..] {
            stored(&single, std::slice::from_ref(payload)).await;
        }
        let (got, want) =
            (ask(&all, &select("t_newest")).await, ask(&single, &select("t_newest_single")).await);
        assert_eq!(got, want, "{order:?}, {there} there");
    }
    ask(&all, "DELETE FROM t_newest.users").await;
    let known = [user("u1", "10:00:00", &one), user("u1", "11:00:00", &two), user("u1", "09:00:00", &three)];
    stored(&all, &known).await;
    stored(&all, &known).await;
    assert_eq!(ask(&all, &select("t_newest")).await, ["2026-11-20 11:00:00|1|2|2|NULL"]);
}

#[tokio::test]
async fn several_make_the_same_tables_at_once() {
    let database = fresh("t_race").await;
    let others: Vec<Postgresql> = (0..4).map(|_| connected("t_race", json!({}), PATIENCE)).collect();
    let work = others.iter().enumerate().map(|(n, other)| async move {
        let mut properties = json!({"shared": n});
        properties[format!("own_{n}")] = n.into();
        let payload = event(&format!("msg_{n}"), "Race", &properties);
        stored(other, &[payload]).await;
    });
    futures_util::future::join_all(work).await;
    assert_eq!(ask(&database, "SELECT count(*), sum(shared) FROM t_race.race").await, ["4|6"]);
}

#[tokio::test]
async fn what_others_change_is_found_out() {
    let database = fresh("t_others").await;
    let row = |id: &str, name: &str| event(id, "E", &json!({"name": name, "n": 1}));
    stored(&database, &[row("msg_1", "long enough")]).await;
    ask(&database, "DROP SCHEMA t_others CASCADE").await;
    stored(&database, &[row("msg_2", "again")]).await;
    ask(&database, "ALTER TABLE t_others.e DROP COLUMN n").await;
    stored(&database, &[row("msg_3", "more")]).await;
    assert_eq!(ask(&database, "SELECT id, n FROM t_others.e ORDER BY 1").await, ["msg_2|NULL", "msg_3|1"]);
    // A type that somebody else chose: the value goes, the row stays.
    ask(&database, "ALTER TABLE t_others.e ALTER COLUMN name TYPE varchar(6)").await;
    stored(&database, &[row("msg_4", "short"), row("msg_5", "too long"), row("msg_6", "fits")]).await;
    let names = "SELECT id, name FROM t_others.e WHERE id > 'msg_3' ORDER BY 1";
    assert_eq!(ask(&database, names).await, ["msg_4|short", "msg_5|NULL", "msg_6|fits"]);
    assert_eq!(ask(&database, "SELECT row_id, value FROM t_others.discards").await, ["msg_5|too long"]);
    // A constraint: that row is refused alone.
    ask(&database, "ALTER TABLE t_others.e ADD CONSTRAINT small CHECK (n < 5)").await;
    let refused = event("msg_8", "E", &json!({"n": 7}));
    let verdicts = send(&database, &[row("msg_7", "fine"), refused, row("msg_9", "fine")]).await;
    assert_eq!((&verdicts[0], &verdicts[2]), (&Verdict::Delivered, &Verdict::Delivered));
    let Verdict::Rejected(failure) = &verdicts[1] else { panic!("{:?}", verdicts[1]) };
    assert_eq!(failure.reason, Reason::DataRefused);
    assert!(failure.text.contains("constraint small") && failure.text.contains("23514"), "{}", failure.text);
    assert_eq!(ask(&database, "SELECT count(*) FROM t_others.e WHERE id > 'msg_6'").await, ["2"]);
}

#[tokio::test]
async fn connections_that_end_and_locks_that_last() {
    let database = fresh("t_locks").await;
    stored(&database, &[event("msg_1", "E", &json!({}))]).await;
    let other = connected("t_locks", json!({}), PATIENCE);
    let own = ask(&database, "SELECT pg_backend_pid()").await.remove(0);
    assert_eq!(ask(&other, &format!("SELECT pg_terminate_backend({own})")).await, ["t"]);
    stored(&database, &[event("msg_2", "E", &json!({}))]).await;
    let holder = other.connections.take().await.expect("a connection");
    holder.client.batch_execute("BEGIN; LOCK TABLE t_locks.e").await.expect("a lock");
    let hasty = connected("t_locks", json!({}), Duration::from_secs(2));
    let verdicts = send(&hasty, &[event("msg_3", "E", &json!({}))]).await;
    let Verdict::Retry { failure, .. } = &verdicts[0] else { panic!("{verdicts:?}") };
    assert_eq!((failure.reason, failure.outage), (Reason::Timeout, false));
    holder.client.batch_execute("COMMIT").await.expect("the lock is given back");
    stored(&hasty, &[event("msg_3", "E", &json!({}))]).await;
    assert_eq!(ask(&database, "SELECT count(*) FROM t_locks.e").await, ["3"]);
}

#[tokio::test]
async fn refused_credentials_and_missing_rights_are_told() {
    let database = fresh("t_rights").await;
    ask(
        &database,
        "CREATE SCHEMA t_rights; DROP ROLE IF EXISTS t_nobody; CREATE ROLE t_nobody LOGIN PASSWORD 'n'",
    )
    .await;
    let nobody = json!({"user": "t_nobody", "password": "n"});
    let cases = [
        (json!({"password": "hunter2"}), Reason::Unauthorized),
        (json!({"database": "t_none"}), Reason::NotFound),
        (nobody, Reason::PermissionDenied),
    ];
    for (over, reason) in cases {
        let poor = connected("t_rights", over, PATIENCE);
        let verdicts = send(&poor, &[event("msg_1", "E", &json!({}))]).await;
        let called = poor.test(at()).expect("there is a test").await;
        for verdict in [&verdicts[0], &called.verdict] {
            let Verdict::Credentials(failure) = verdict else { panic!("{reason:?}: {verdict:?}") };
            assert_eq!(failure.reason, reason, "{}", failure.text);
            assert!(!failure.text.contains("hunter2"));
        }
    }
}

#[tokio::test]
async fn a_test_leaves_nothing_behind() {
    let database = fresh("t_test").await;
    for schema_is_there in ["0", "1"] {
        let called = database.test(at()).expect("there is a test").await;
        assert_eq!(called.verdict, Verdict::Delivered, "{:?}", called.response);
        let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 't_test'";
        assert_eq!(ask(&database, schemas).await, [schema_is_there]);
        let table = r#"SELECT to_regclass('t_test."tributary test"')"#;
        assert_eq!(ask(&database, table).await, ["NULL"]);
        ask(&database, "CREATE SCHEMA IF NOT EXISTS t_test").await;
    }
}

#[tokio::test]
async fn connections_are_encrypted_and_certificates_judged() {
    let server = server();
    let file =
        server.query_pairs().find(|(name, _)| name == "sslrootcert").expect("the URL names a certificate");
    let root = std::fs::read_to_string(&*file.1).expect("the certificate is there");
    let by = |host: &str, root: Option<&str>| {
        let over = json!({"encryption": "verify_full", "host": host, "root_certificate": root});
        connected("t_tls", over, PATIENCE)
    };
    for host in ["127.0.0.1", "localhost"] {
        let database = by(host, Some(&root));
        let encrypted = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        assert_eq!(ask(&database, encrypted).await, ["t"], "{host}");
    }
    let called = by("127.0.0.1", None).test(at()).expect("there is a test").await;
    let Verdict::Retry { failure, .. } = called.verdict else { panic!("nobody trusts that certificate") };
    assert_eq!(failure.reason, Reason::Tls, "{}", failure.text);
}

#[tokio::test]
async fn a_person_is_deleted_from_every_table() {
    let database = fresh("t_delete").await;
    let of = |id: &str, user: &str, anonymous: Option<&str>, n: Value| {
        let row = json!({"id": id, "user_id": user, "anonymous_id": anonymous, "n": n});
        payload(id, "tracks", &json!({"table": "tracks", "key": "id", "row": row}))
    };
    let rows = [
        of("msg_1", "u1", None, 1.into()),
        of("msg_2", "u2", Some("a1"), "misfit".into()),
        of("msg_3", "u3", Some("a3"), "misfit".into()),
    ];
    stored(&database, &rows).await;
    stored(&database, &[user("u1", "10:00:00", &json!({"plan": "pro"})), user("u3", "10:00:00", &json!({}))])
        .await;
    let email = |id: &str, email: &str| {
        let row = json!({"id": id, "user_id": "u5", "context": {"traits": {"email": email}}});
        payload(id, "pages", &json!({"table": "pages", "key": "id", "row": row}))
    };
    stored(&database, &[email("msg_4", " None@Example.com"), email("msg_5", "one@example.com")]).await;
    let ids = |values: &[&str]| values.iter().map(ToString::to_string).collect::<Vec<_>>();
    let person = Person::from([
        ("user_id".into(), ids(&["u1", "u'x", "u\0x"])),
        ("anonymous_id".into(), ids(&["a1"])),
        ("email".into(), ids(&["none@example.com"])),
    ]);
    // What can't be deleted from one table stays there alone, and another call goes on with it.
    let holder = connected("t_delete", json!({}), PATIENCE).connections.take().await.expect("a connection");
    holder.client.batch_execute("BEGIN; LOCK TABLE t_delete.pages").await.expect("a lock");
    let hasty = connected("t_delete", json!({}), Duration::from_secs(2));
    let called = hasty.delete(&person, at()).expect("it can delete").await;
    let Verdict::Retry { failure, .. } = &called.verdict else { panic!("{:?}", called.verdict) };
    assert_eq!(failure.reason, Reason::Timeout);
    let response = called.response.expect("it says what it did").body;
    let response: Value = serde_json::from_str(&response).expect("JSON");
    assert_eq!(response["deleted"], json!({"discards": 1, "tracks": 2, "users": 1}));
    assert!(response["failed"]["pages"].is_string(), "{response}");
    holder.client.batch_execute("COMMIT").await.expect("the lock is given back");
    let called = database.delete(&person, at()).expect("it can delete").await;
    assert_eq!(called.verdict, Verdict::Delivered);
    let response = called.response.expect("it says what it did").body;
    let response: Value = serde_json::from_str(&response).expect("JSON");
    assert_eq!(response, json!({"deleted": {"discards": 0, "pages": 1, "tracks": 0, "users": 0}}));
    assert!(!called.request.body.contains("a1") && called.request.body.contains("anonymous_id"));
    assert_eq!(ask(&database, "SELECT id FROM t_delete.tracks").await, ["msg_3"]);
    assert_eq!(ask(&database, "SELECT row_id FROM t_delete.discards").await, ["msg_3"]);
    assert_eq!(ask(&database, "SELECT user_id FROM t_delete.users").await, ["u3"]);
    assert_eq!(ask(&database, "SELECT id FROM t_delete.pages").await, ["msg_5"]);
}
