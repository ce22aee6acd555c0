//! Replays: dead letters once the receiver was mended, what was not delivered, and what was before a destination.

use super::*;
use crate::harness::data_dir;

/// Begins a replay and waits until it is done.
async fn done(server: &Server, hook: &str, order: Value) -> Value {
    let begun = post(server, &format!("{hook}/replay"), order, 202).await;
    let path = format!("{hook}/replays/{}", begun["id"].as_str().expect("an id"));
    reads(server, &path, "it is done", |replay| replay["state"] != "running").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_sent_again_with_their_ids() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    server.batch(&[track("m1", "ada", json!({"n": 1}))]).await;
    receiver.takes(&["m1"]).await;
    receiver.answer(422);
    server.batch(&[track("m2", "ada", json!({"n": 2})), track("m3", "ada", json!({"n": 3}))]).await;
    let status = format!("{hook}/status");
    reads(&server, &status, "both are given up", |status| ended(status, "dead_letter") == 2).await;
    let deliveries =
        read(&server, &format!("{hook}/deliveries?outcome=dead_letter&reason=bad_request")).await;
    let rows = deliveries["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 2, "{deliveries}");
    assert_eq!(rows[0]["attempts"][0]["response"], json!({"status": 422, "body": "noted"}), "{deliveries}");
    assert_eq!(rows[0]["attempts"][0]["request"]["method"], "POST", "{deliveries}");

    receiver.answer(200);
    let dry = done(&server, &hook, json!({"only": "dead_letters", "dry_run": true})).await;
    assert_eq!((&dry["matched"], &dry["queued"]), (&json!(2), &json!(0)), "{dry}");
    let none = done(&server, &hook, json!({"only": "dead_letters", "reason": "timeout"})).await;
    assert_eq!(none["matched"], 0, "{none}");
    let some = json!({"only": "dead_letters", "reason": "bad_request", "condition": "properties.n > 2"});
    let some = done(&server, &hook, some).await;
    assert_eq!(
        (&some["state"], &some["queued"], &some["ended"]["delivered"]),
        (&json!("done"), &json!(1), &json!(1)),
        "{some}"
    );
    receiver.takes(&["m1", "m3"]).await;
    let ids: Vec<_> = receiver
        .calls()
        .into_iter()
        .filter(|call| call.body["messageId"] == "m3")
        .map(|call| call.id)
        .collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "the id of the first time: {ids:?}");
    let rest = done(&server, &hook, json!({"only": "not_delivered"})).await;
    assert_eq!(rest["ended"], json!({"delivered": 1}), "{rest}");
    receiver.takes(&["m1", "m2", "m3"]).await;
    let all = read(&server, &format!("{hook}/replays")).await;
    assert_eq!(all["data"].as_array().map(Vec::len), Some(4), "{all}");
    assert_eq!(all["data"][0], rest, "the newest first");
    let told = read(&server, "/admin/v1/deliveries?message_id=m3").await;
    assert_eq!(told["data"][0]["outcome"], "delivered", "the newest first: {told}");
    assert_eq!(told["data"][0]["attempts"][0]["replay"], some["id"], "{told}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_destination_is_back_filled() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    server.seen(&[track("m1", "ada", json!({})), track("m2", "bob", json!({"test": true}))]).await;
    let filter = json!({"name": "no tests", "condition": "properties.test = true", "action": {"drop": {}}});
    let hook = webhook(&server, &receiver, json!({"filters": [filter]})).await;
    server.batch(&[track("m3", "ada", json!({}))]).await;
    receiver.takes(&["m3"]).await;
    reads(&server, &format!("{hook}/status"), "it has read what there is", |status| {
        status["behind"] == 0 && status["cursor"] != 0
    })
    .await;
    let order = json!({"condition": "event = \"Seen\""});
    let filled = done(&server, &hook, order).await;
    assert_eq!(filled["filtered"], json!({"filtered_by_filter": 1}), "{filled}");
    let took = receiver.taken();
    assert!(took.contains(&"m1".to_owned()) && !took.contains(&"m2".to_owned()), "{took:?}");

    let late = webhook(&server, &receiver, json!({})).await;
    let filled = done(&server, &late, json!({"condition": "event = \"Seen\"", "dry_run": true})).await;
    assert_eq!(filled["matched"], 3, "right after it was created: {filled}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replay_says_what_it_waits_for() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    server.seen(&[track("m1", "ada", json!({}))]).await;
    // Its own and its marker's are there to be replayed.
    server.activated(2).await;
    let hook = webhook(&server, &receiver, json!({"enabled": false})).await;
    let dry = done(&server, &hook, json!({"condition": "event = \"Seen\"", "dry_run": true})).await;
    assert_eq!((&dry["matched"], &dry["waits_for"]), (&json!(1), &json!(null)), "{dry}");
    let begun = post(&server, &format!("{hook}/replay"), json!({"condition": "event = \"Seen\""}), 202).await;
    assert_eq!((&begun["state"], &begun["waits_for"]), (&json!("running"), &json!("off")), "{begun}");
    let path = format!("{hook}/replays/{}", begun["id"].as_str().expect("an id"));
    assert_eq!(read(&server, &path).await["waits_for"], "off");
    let all = read(&server, &format!("{hook}/replays")).await;
    assert_eq!((&all["data"][0]["waits_for"], &all["data"][1]["waits_for"]), (&json!("off"), &json!(null)));
    patch(&server, &hook, json!({"enabled": true})).await;
    let sent = reads(&server, &path, "it is done", |replay| replay["state"] != "running").await;
    assert_eq!((&sent["waits_for"], &sent["ended"]), (&json!(null), &json!({"delivered": 1})), "{sent}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_replay_runs_at_a_time_and_can_be_cancelled() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let events: Vec<Value> = (0..20).map(|n| track(&format!("m{n:02}"), "ada", json!({}))).collect();
    server.seen(&events).await;
    // All of them and their marker's are there to be counted.
    server.activated(21).await;
    let hook = webhook(&server, &receiver, json!({})).await;
    let status = format!("{hook}/status");
    let has_read = |status: &Value| status["behind"] == 0 && status["cursor"] != 0;
    reads(&server, &status, "it has read what there is", has_read).await;
    // One a second: it takes twenty seconds unless it is cancelled.
    let slowly = json!({"condition": "event = \"Seen\"", "rate_per_second": 1});
    let begun = post(&server, &format!("{hook}/replay"), slowly.clone(), 202).await;
    post(&server, &format!("{hook}/replay"), slowly, 409).await;
    // A dry run does not wait for it.
    let dry = done(&server, &hook, json!({"condition": "event = \"Seen\"", "dry_run": true})).await;
    assert_eq!((&dry["state"], &dry["matched"]), (&json!("done"), &json!(20)), "{dry}");
    let path = format!("{hook}/replays/{}", begun["id"].as_str().expect("an id"));
    assert_eq!(server.call(Method::DELETE, &path, None).await.0, 204);
    let cancelled = reads(&server, &path, "it is cancelled", |replay| replay["state"] == "cancelled").await;
    assert!(cancelled["ended_at"].is_string(), "{cancelled}");
    assert!(receiver.calls().len() < 20, "not all was sent");
    assert_eq!(server.get(&format!("{hook}/replays/99")).await.0, 404);
    assert!(server.stop().success());
}
