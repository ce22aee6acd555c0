//! Tables that PostgreSQL does not let us change, or that take no row.

use super::*;

/// What a table of discarded values says, by row and column.
const DISCARDED: &str = "SELECT row_id, column_name, value FROM discards ORDER BY 1, 2";

/// The discarded values of a schema.
async fn discarded(database: &Postgresql, schema: &str) -> Vec<String> {
    ask(database, &DISCARDED.replace("FROM ", &format!("FROM {schema}."))).await
}

#[tokio::test]
async fn columns_that_can_not_become_wider_keep_no_row_out() {
    let database = fresh("t_wide").await;
    stored(&database, &[event("msg_1", "E", &json!({"n": 1, "m": 1, "o": 1}))]).await;
    ask(&database, "CREATE VIEW t_wide.seen AS SELECT n FROM t_wide.e").await;
    let hasty = connected("t_wide", json!({}), Duration::from_secs(4));
    // A view needs the column as it is; another column of the table is made wider all the same.
    stored(&hasty, &[event("msg_2", "E", &json!({"n": 2.5, "o": 2.5}))]).await;
    // Rows can be stored, but the table can't be changed.
    let holder = database.connections.take().await.expect("a connection");
    holder.client.batch_execute("BEGIN; LOCK TABLE t_wide.e IN ROW SHARE MODE").await.expect("a lock");
    stored(&hasty, &[event("msg_3", "E", &json!({"m": 3.5, "o": 3.5}))]).await;
    holder.client.batch_execute("COMMIT").await.expect("the lock is given back");
    // It is not asked for again at once.
    stored(&hasty, &[event("msg_4", "E", &json!({"n": 4, "m": 4.5}))]).await;
    let rows = ask(&database, "SELECT id, n, m, o FROM t_wide.e ORDER BY 1").await;
    assert_eq!(rows, ["msg_1|1|1|1", "msg_2|NULL|NULL|2.5", "msg_3|NULL|NULL|3.5", "msg_4|4|NULL|NULL"]);
    let want = ["msg_2|n|2.5", "msg_3|m|3.5", "msg_4|m|4.5"];
    assert_eq!(discarded(&database, "t_wide").await, want);
    // Others begin with what they find.
    stored(&database, &[event("msg_5", "E", &json!({"m": 5.5}))]).await;
    assert_eq!(ask(&database, "SELECT m FROM t_wide.e WHERE id = 'msg_5'").await, ["5.5"]);
}

#[tokio::test]
async fn columns_and_tables_that_can_not_be_made_keep_no_row_out() {
    let database = fresh("t_full").await;
    // PostgreSQL counts dropped columns too.
    let full = "CREATE SCHEMA t_full; CREATE TABLE t_full.e (id text PRIMARY KEY, user_id text); \
                DO $$ BEGIN FOR n IN 1..1597 LOOP \
                EXECUTE 'ALTER TABLE t_full.e ADD c int; ALTER TABLE t_full.e DROP c'; END LOOP; END $$; \
                CREATE TYPE t_full.taken AS ENUM ('a')";
    ask(&database, full).await;
    // One column more has room.
    let payloads = [event("msg_1", "E", &json!({"n": 1})), event("msg_2", "Taken", &json!({}))];
    stored(&database, &payloads).await;
    stored(&database, &[event("msg_3", "E", &json!({"n": 3}))]).await;
    assert_eq!(ask(&database, "SELECT id, event FROM t_full.e ORDER BY 1").await, ["msg_1|E", "msg_3|E"]);
    let whole = r#"msg_2||{"id":"msg_2","event":"Taken","user_id":"u1"}"#;
    assert_eq!(discarded(&database, "t_full").await, ["msg_1|n|1", whole, "msg_3|n|3"]);
}

#[tokio::test]
async fn a_row_that_a_trigger_refuses_in_its_own_way_fails_alone() {
    let database = fresh("t_trigger").await;
    stored(&database, &[event("msg_1", "E", &json!({"n": 1}))]).await;
    let trigger = "CREATE FUNCTION t_trigger.small() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
                   IF NEW.n > 5 THEN RAISE EXCEPTION 'not %', NEW.n USING ERRCODE = 'AB123'; END IF; RETURN NEW; \
                   END $$; CREATE TRIGGER small BEFORE INSERT ON t_trigger.e FOR EACH ROW \
                   EXECUTE FUNCTION t_trigger.small()";
    ask(&database, trigger).await;
    let numbers = [("msg_2", 2), ("msg_3", 777), ("msg_4", 4)];
    let payloads = numbers.map(|(id, n)| event(id, "E", &json!({"n": n})));
    let verdicts = send(&database, &payloads).await;
    assert_eq!((&verdicts[0], &verdicts[2]), (&Verdict::Delivered, &Verdict::Delivered));
    let Verdict::Retry { failure, .. } = &verdicts[1] else { panic!("{:?}", verdicts[1]) };
    assert!(failure.text.contains("AB123") && !failure.text.contains("777"), "{}", failure.text);
    assert_eq!(ask(&database, "SELECT id FROM t_trigger.e ORDER BY 1").await, ["msg_1", "msg_2", "msg_4"]);
}

#[tokio::test]
async fn a_row_that_a_policy_refuses_fails_alone_where_others_are_stored() {
    let database = fresh("t_policy").await;
    let tables = "CREATE SCHEMA t_policy; DROP ROLE IF EXISTS t_limited; CREATE ROLE t_limited LOGIN PASSWORD 'n'; \
                  CREATE TABLE t_policy.e (id text PRIMARY KEY, event text, user_id text, n bigint); \
                  ALTER TABLE t_policy.e ENABLE ROW LEVEL SECURITY; \
                  CREATE POLICY small ON t_policy.e USING (true) WITH CHECK (n < 5); \
                  GRANT USAGE ON SCHEMA t_policy TO t_limited; \
                  GRANT SELECT, INSERT, UPDATE ON t_policy.e TO t_limited";
    ask(&database, tables).await;
    let limited = connected("t_policy", json!({"user": "t_limited", "password": "n"}), PATIENCE);
    let row = |id: &str, n: i64| event(id, "E", &json!({"n": n}));
    let verdicts = send(&limited, &[row("msg_1", 1), row("msg_2", 7), row("msg_3", 3)]).await;
    assert_eq!((&verdicts[0], &verdicts[2]), (&Verdict::Delivered, &Verdict::Delivered));
    let Verdict::Rejected(failure) = &verdicts[1] else { panic!("{:?}", verdicts[1]) };
    assert_eq!(failure.reason, Reason::DataRefused, "{}", failure.text);
    assert_eq!(ask(&database, "SELECT id FROM t_policy.e ORDER BY 1").await, ["msg_1", "msg_3"]);
    // By itself it says nothing about others.
    let verdicts = send(&limited, &[row("msg_4", 8)]).await;
    assert!(matches!(verdicts[0], Verdict::Credentials(_)), "{verdicts:?}");
}

#[tokio::test]
async fn tables_that_take_no_row_pause_and_say_what_to_do() {
    let database = fresh("t_shape").await;
    let tables = "CREATE SCHEMA t_shape; CREATE TABLE t_shape.keyless (id text, event text, user_id text); \
                  CREATE VIEW t_shape.counted AS SELECT 'a' AS id, 'b' AS event, 'c' AS user_id, count(*); \
                  CREATE TABLE t_shape.own (id text PRIMARY KEY, event text GENERATED ALWAYS AS (id) STORED, \
                  user_id text)";
    ask(&database, tables).await;
    let cases = [
        ("keyless", "42P10", "unique index"),
        ("counted", "55000", "rename it"),
        ("own", "428C9", "GENERATED ALWAYS"),
    ];
    for (table, code, advice) in cases {
        let verdicts = send(&database, &[event("msg_1", table, &json!({}))]).await;
        let Verdict::Credentials(failure) = &verdicts[0] else { panic!("{table}: {verdicts:?}") };
        assert_eq!(failure.reason, Reason::DataRefused, "{table}");
        for part in [table, code, advice] {
            assert!(failure.text.contains(part), "{table}: {}", failure.text);
        }
    }
}
