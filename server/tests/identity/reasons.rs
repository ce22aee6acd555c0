//! Why identifiers are one profile or not: explain, history, alias, blocked values.

use super::*;
use crate::harness::data_dir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_join_and_every_refusal_has_its_reason() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .seen(&[
            track("m1", json!({"anonymousId": "x1"})),
            identify("m2", json!({"userId": "ada", "anonymousId": "x1", "traits": {"email": "Ada@b.c"}})),
            track("m3", json!({"userId": "bob", "anonymousId": "x1"})),
            track("m4", json!({"userId": "carl", "anonymousId": "null"})),
        ])
        .await;
    let (ada, bob) = (standing(&server, "user_id:ada").await.0, standing(&server, "user_id:bob").await.0);
    assert_ne!(ada, bob, "a shared device joins nobody");

    let same = explained(&server, "user_id:ada", "anonymous_id:x1").await;
    assert_eq!((&same["same_profile"], &same["profile_id"]), (&json!(true), &json!(ada)));
    let steps = same["path"].as_array().expect("steps");
    assert_eq!(steps.len(), 1, "{same}");
    assert_eq!((&steps[0]["rule"], &steps[0]["event"]["message_id"]), (&json!("same_event"), &json!("m2")));
    let through = explained(&server, "anonymous_id:x1", "email:ADA@b.c").await;
    let steps = through["path"].as_array().expect("steps");
    let ends: Vec<_> = steps.iter().map(|step| (&step["from"], &step["to"])).collect();
    let (x1, user, email) = (json!("anonymous_id:x1"), json!("user_id:ada"), json!("email:ada@b.c"));
    assert_eq!(ends, [(&x1, &user), (&user, &email)]);

    let apart = explained(&server, "user_id:bob", "anonymous_id:x1").await;
    assert_eq!((&apart["same_profile"], &apart["profile_id"]), (&json!(false), &json!(bob)));
    assert_eq!(apart["with_profile_id"], json!(ada));
    let why = &apart["kept_apart"][0];
    assert_eq!((&why["reason"], &why["event"]["message_id"]), (&json!("limit"), &json!("m3")), "{apart}");
    assert_eq!((&why["anchor"], &why["identifier"]), (&json!("user_id:bob"), &x1));
    assert_eq!(why["detail"], json!({"namespace": "user_id", "limit": 1, "count": 2}));
    let other_way = explained(&server, "anonymous_id:x1", "user_id:bob").await;
    assert_eq!(other_way["kept_apart"][0]["reason"], "limit", "{other_way}");
    let blocked = explained(&server, "user_id:carl", "anonymous_id:null").await;
    assert_eq!(blocked["kept_apart"][0]["reason"], "blocked", "{blocked}");
    assert_eq!(blocked["with_profile_id"], Value::Null);
    let strangers = explained(&server, "user_id:ada", "user_id:carl").await;
    assert_eq!((&strangers["same_profile"], &strangers["kept_apart"]), (&json!(false), &json!([])));

    let rows = history(&server, "user_id:ada", 200).await;
    assert_eq!((&rows[0]["type"], &rows[0]["event"]["message_id"]), (&json!("created"), &json!("m1")));
    let gained: Vec<_> = of_type(&rows, "gained").iter().map(|row| row["identifier"].clone()).collect();
    assert!(gained.contains(&user) && gained.contains(&email), "{rows:?}");
    assert_eq!(history(&server, "email:ada@b.c", 1).await, rows, "pages show every row once");
    let demoted = history(&server, "user_id:bob", 200).await;
    let demoted = of_type(&demoted, "demoted");
    assert_eq!((&demoted[0]["identifier"], &demoted[0]["reason"]), (&x1, &json!("limit")));

    for (who, part, status) in [
        ("user_id:nobody", "explain?with=user_id:ada", 404),
        ("user_id:ada", "explain?with=user_id:nobody", 404),
        ("user_id:ada", "explain", 400),
        ("user_id:ada", "explain?with=ada", 400),
        ("user_id:ada", "explain?with=email:ada", 400),
        ("user_id:ada", "explain?with=user_id:bob&limit=1", 400),
        ("user_id:nobody", "history", 404),
        ("user_id:ada", "history?next=nonsense", 400),
        ("user_id:ada", "external_ids?next=nonsense", 400),
        ("user_id:ada", "traits?start=2026-01-31T12:00:00Z", 400),
        ("user_id:ada", "history?sort=asc", 400),
    ] {
        let (got, body) = server.profile(who, part).await;
        assert_eq!(got, status, "{who}/{part}: {body}");
        assert!(body["error"]["code"].is_string() && body["error"]["message"].is_string(), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_alias_joins_where_the_limits_allow() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .seen(&[
            track("m1", json!({"anonymousId": "x1"})),
            track("m2", json!({"userId": "ada"})),
            call("alias", "m3", json!({"userId": "ada", "previousId": "x1"})),
            track("m4", json!({"userId": "old"})),
            call("alias", "m5", json!({"userId": "ada", "previousId": "old"})),
        ])
        .await;
    let joined = explained(&server, "anonymous_id:x1", "user_id:ada").await;
    assert_eq!(joined["same_profile"], true, "{joined}");
    let step = &joined["path"][0];
    assert_eq!((&step["rule"], &step["event"]["message_id"]), (&json!("alias"), &json!("m3")), "{joined}");
    let refused = explained(&server, "user_id:ada", "user_id:old").await;
    let why = &refused["kept_apart"][0];
    assert_eq!((&why["reason"], &why["event"]["message_id"]), (&json!("limit"), &json!("m5")), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_of_nobody_is_counted_and_makes_no_profile() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server
        .seen(&[
            track(
                "m1",
                json!({"userId": "undefined", "anonymousId": "00000000-0000-0000-0000-000000000000"}),
            ),
            track("m2", json!({"userId": "NULL", "anonymousId": "x1"})),
        ])
        .await;
    let outcome = r#"tributary_outcomes_total{stage="projector",outcome="unidentified"}"#;
    assert_eq!(server.metric(outcome).await, 1.0);
    for who in ["user_id:undefined", "user_id:NULL", "anonymous_id:00000000-0000-0000-0000-000000000000"] {
        assert_eq!(server.profile(who, "metadata").await.0, 404, "{who}");
    }
    assert_eq!(identifiers(&server, "anonymous_id:x1").await, ["anonymous_id:x1"]);
}
