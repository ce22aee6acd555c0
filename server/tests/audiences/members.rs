//! Who is in an audience: before and after it was created, while it changes, and how many over time.

use super::*;
use crate::harness::data_dir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_audience_is_filled_from_what_came_before_and_goes_on_with_what_comes() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    server
        .seen(&[
            identify("m1", "ada", json!({"plan": "pro"})),
            identify("m2", "bob", json!({"plan": "free"})),
            ordered("m3", "ada", 120),
            ordered("m4", "ada", 150),
            ordered("m5", "bob", 900),
            ordered("m6", "bob", 20),
        ])
        .await;
    let pro = filled(&server, "pro", r#"traits.plan = "pro""#).await;
    let buyers = r#"count(event("Order Completed") where properties.total > 100 within 30d) >= 2"#;
    let buyers = filled(&server, "buyers", buyers).await;
    for (key, audience) in [("pro", &pro), ("buyers", &buyers)] {
        assert_eq!((&audience["status"]["size"], &audience["status"]["problem"]), (&json!(1), &Value::Null));
        assert_eq!(audience["status"]["since"], Value::Null, "the log has all there ever was: {audience}");
        assert_eq!(members(&server, key, 20).await, users(["ada"]), "{key}");
    }
    server.seen(&[ordered("m7", "bob", 101), identify("m8", "bob", json!({"plan": "pro"}))]).await;
    for key in ["pro", "buyers"] {
        assert_eq!(members(&server, key, 1).await, users(["ada", "bob"]), "{key}");
    }
    server.seen(&[identify("m9", "ada", json!({"plan": null}))]).await;
    assert_eq!(members(&server, "pro", 20).await, users(["bob"]));

    let put =
        json!({"definition": r#"traits.plan absent and event("Order Completed")"#, "name": "Without a plan"});
    let (status, changed) = server.call(Method::PUT, &format!("{AUDIENCES}/pro"), Some(put)).await;
    assert_eq!((status, &changed["id"]), (200, &pro["id"]), "{changed}");
    // Once what comes behind the change is visible, so is the change: it is not live by its old definition.
    server.seen(&[identify("m10", "cleo", json!({"plan": "free"}))]).await;
    reaches(&server, "pro", "live").await;
    assert_eq!(members(&server, "pro", 20).await, users(["ada"]), "a changed definition is evaluated anew");
    assert!(server.stop().success());

    let server = Server::start(&path, &[]);
    server.ready().await;
    reaches(&server, "pro", "live").await;
    assert_eq!(members(&server, "pro", 20).await, users(["ada"]), "still so after a restart");
    assert_eq!(members(&server, "buyers", 20).await, users(["ada", "bob"]));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_right_while_others_enter_and_leave() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let plan = |round: &str, user: &str, plan: &str| {
        identify(&format!("{round}-{user}"), user, json!({"plan": plan}))
    };
    let name = |number: u32| format!("user-{number:02}");
    let first: Vec<Value> = (0..30).map(|number| plan("a", &name(number), "pro")).collect();
    server.seen(&first).await;
    filled(&server, "pro", r#"traits.plan = "pro""#).await;

    let (rows, next) = page(&server, "pro", 10, "").await;
    let mut told: Vec<String> = rows.iter().map(user_of).collect();
    assert_eq!(told.len(), 10);
    // Ten leave, told or not, and ten enter.
    let mut changes: Vec<Value> = (0..10).map(|number| plan("b", &name(number), "free")).collect();
    changes.extend((30..40).map(|number| plan("b", &name(number), "pro")));
    server.seen(&changes).await;
    let mut next = next;
    while let Some(after) = next {
        let (rows, cursor) = page(&server, "pro", 7, &after).await;
        told.extend(rows.iter().map(user_of));
        next = cursor;
    }
    let once: BTreeSet<String> = told.iter().cloned().collect();
    assert_eq!(once.len(), told.len(), "nobody is told twice");
    for stayed in (10..30).map(name) {
        assert!(once.contains(&stayed), "{stayed} was a member all the time");
    }
    let now: BTreeSet<String> = (10..40).map(name).collect();
    assert_eq!(members(&server, "pro", 200).await, now);

    let (_, verbose) = server.get(&format!("{AUDIENCES}/pro/members?limit=1&verbose=true")).await;
    assert_eq!(verbose["data"][0]["traits"], json!({"plan": "pro", "pro": true}), "{verbose}");
    let (status, size) = server.get(&format!("{AUDIENCES}/pro/size")).await;
    assert_eq!((status, &size["size"]), (200, &json!(30)), "{size}");
    let points = size["data"].as_array().expect("points");
    let sum = |member: &str| points.iter().filter_map(|point| point[member].as_u64()).sum::<u64>();
    assert_eq!((sum("entered"), sum("exited")), (40, 10), "{size}");
    assert_eq!(points.last().expect("the hour of now")["size"], 30, "{size}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_user_id_is_in_it_only_if_that_is_wanted() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.ready().await;
    let seen = json!({"type": "track", "event": "Looked", "messageId": "m1", "anonymousId": "x1"});
    server.seen(&[seen]).await;
    filled(&server, "named", r#"event("Looked")"#).await;
    let body = json!({"key": "anybody", "definition": r#"event("Looked")"#, "include_anonymous": true});
    let (status, made) = server.call(Method::POST, AUDIENCES, Some(body)).await;
    assert_eq!((status, &made["include_anonymous"]), (201, &json!(true)), "{made}");
    reaches(&server, "anybody", "live").await;
    assert_eq!(page(&server, "named", 20, "").await.0.len(), 0);
    assert_eq!(page(&server, "anybody", 20, "").await.0[0]["identifiers"], json!(["anonymous_id:x1"]));
    let joined = json!({"type": "track", "event": "Signed In", "messageId": "m2", "anonymousId": "x1", "userId": "ada"});
    server.seen(&[joined]).await;
    assert_eq!(members(&server, "named", 20).await, users(["ada"]));
    assert!(server.stop().success());
}
