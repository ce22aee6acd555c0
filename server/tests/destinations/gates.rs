//! What is left out by which gate, and how that is told.

use super::*;
use crate::harness::data_dir;

/// Three events that reach a destination, and one for each gate that ends there.
fn events() -> Vec<Value> {
    let consented = |id: &str, granted: bool| {
        let mut event = track(id, "ada", json!({"kind": "plain"}));
        event["context"] = json!({"consent": {"categoryPreferences": {"ads": granted}}});
        event
    };
    let mut elsewhere = consented("integrations", true);
    elsewhere["integrations"] = json!({"All": true, "Webhook": false});
    let mut test = consented("filter", true);
    test["properties"]["test"] = json!(true);
    let mut other = consented("trigger", true);
    other["event"] = json!("Heard");
    vec![
        consented("m1", true),
        consented("consent", false),
        elsewhere,
        test,
        other,
        consented("m2", true),
        consented("m3", true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_gate_leaves_out_what_it_shall_and_says_so() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(
        &server,
        &receiver,
        json!({
            "mappings": [{"name": "seen", "action": "send", "trigger": "event = \"Seen\""}],
            "filters": [
                {"name": "no tests", "condition": "properties.test = true", "action": {"drop": {}}},
                {"name": "short", "condition": "type exists", "action": {"drop_properties": {"fields": ["context"]}}},
            ],
            "consent": {"categories": ["ads"]},
        }),
    )
    .await;
    server.batch(&events()).await;
    receiver.takes(&["m1", "m2", "m3"]).await;
    assert!(receiver.calls().iter().all(|call| call.body.get("context").is_none()), "{:?}", receiver.calls());
    let gates = ["consent", "integrations", "filter", "trigger"];
    let settled =
        |status: &Value| ended(status, "delivered") == 3 && ended(status, "filtered_by_trigger") == 1;
    let status = reads(&server, &format!("{hook}/status"), "everything ended", settled).await;
    for gate in gates {
        assert_eq!(ended(&status, &format!("filtered_by_{gate}")), 1, "{status}");
        let path = format!("/admin/v1/deliveries?message_id={gate}");
        let told = read(&server, &path).await;
        let row = &told["data"][0];
        let want = format!("filtered_by_{gate}");
        assert_eq!((&row["outcome"], &row["remembered"]), (&json!(want), &json!(false)), "{told}");
        assert_eq!(told["data"].as_array().map(Vec::len), Some(1), "{told}");
        assert!(row["delivery_id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{told}");
        assert_eq!((&row["event_type"], row["profile_id"].is_string()), (&json!("track"), true), "{told}");
        assert_eq!(read(&server, &format!("{path}&outcome={want}")).await, told);
        let others = read(&server, &format!("{path}&outcome=delivered")).await;
        assert_eq!(others["data"], json!([]), "{gate}");
        let (status, refused) = server.get(&format!("{hook}/deliveries?outcome={want}")).await;
        assert_eq!(status, 400, "{refused}");
    }
    let overview = reads(&server, &format!("{hook}/overview?step=minute"), "all is counted", |overview| {
        overview["total"]["delivered"] == 3 && overview["total"]["received"] == 7
    })
    .await;
    let total = &overview["total"];
    assert_eq!(total["mapped"], 3, "{overview}");
    assert_eq!(total["filtered"].as_object().map(serde_json::Map::len), Some(4), "{overview}");
    assert!(total["latency_ms"]["p95"].as_f64().is_some_and(|ms| ms > 0.0), "{overview}");
    assert_eq!(overview["pending"]["waiting"], 0, "{overview}");
    let delivered = read(&server, "/admin/v1/deliveries?message_id=m1&outcome=delivered").await;
    assert_eq!(delivered["data"].as_array().map(Vec::len), Some(1), "{delivered}");
    let series = overview["series"].as_array().expect("points");
    assert_eq!(series.iter().filter_map(|point| point["received"].as_u64()).sum::<u64>(), 7, "{overview}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_an_event_is_told_of_a_deleted_destination_too() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    server.batch(&[track("m1", "ada", json!({}))]).await;
    receiver.takes(&["m1"]).await;
    reads(&server, &format!("{hook}/status"), "it is on record", |status| ended(status, "delivered") == 1)
        .await;
    patch(&server, &hook, json!({"enabled": false})).await;
    server.seen(&[track("m2", "ada", json!({}))]).await;
    let told = |id: &str| format!("/admin/v1/deliveries?message_id={id}");
    let waits = |told: &Value| told["data"][0]["outcome"].is_null() && told["data"][0].is_object();
    reads(&server, &told("m2"), "it waits", waits).await;
    assert_eq!(server.call(Method::DELETE, &hook, None).await.0, 204);
    let is_deleted = |told: &Value| told["data"][0]["outcome"] == "destination_deleted";
    let row = reads(&server, &told("m2"), "it ended with its destination", is_deleted).await;
    assert!(row["data"][0]["delivery_id"].is_string(), "{row}");
    assert_eq!(read(&server, &told("m1")).await["data"][0]["outcome"], "delivered");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payload_that_lacks_what_is_required_is_a_dead_letter_without_a_request() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let mapping =
        json!({"name": "n", "action": "send", "fields": {"event": {"@path": "$.properties.thing"}}});
    let hook = webhook(&server, &receiver, json!({"mappings": [mapping]})).await;
    server.batch(&[track("m1", "ada", json!({})), track("m2", "ada", json!({"thing": {"n": 2}}))]).await;
    let letters = format!("{hook}/dead-letters");
    let told =
        reads(&server, &letters, "there is one", |letters| letters["data"][0]["message_id"] == "m1").await;
    let letter = &told["data"][0];
    assert_eq!(
        (&letter["reason_code"], &letter["request"]),
        (&json!("missing_field"), &json!(null)),
        "{told}"
    );
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("event")), "{told}");
    server.until("the good one arrives", async || receiver.calls().len() == 1).await;
    assert_eq!(receiver.calls()[0].body, json!({"n": 2}));
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_of_those_who_became_one_are_found_by_each_of_their_ids() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    let seen = |id: &str, ids: Value| {
        let mut event = json!({"type": "track", "event": "Seen", "messageId": id});
        event.as_object_mut().expect("an object").extend(ids.as_object().expect("an object").clone());
        event
    };
    server.batch(&[seen("m1", json!({"anonymousId": "a1"})), seen("m2", json!({"userId": "ada"}))]).await;
    receiver.takes(&["m1", "m2"]).await;
    let mut profiles = Vec::new();
    for id in ["m1", "m2"] {
        let path = format!("/admin/v1/deliveries?message_id={id}");
        let told =
            reads(&server, &path, "it is on record", |told| told["data"][0]["remembered"] == true).await;
        profiles.push(told["data"][0]["profile_id"].as_str().expect("an id").to_owned());
    }
    assert_ne!(profiles[0], profiles[1]);
    server.batch(&[seen("m3", json!({"userId": "ada", "anonymousId": "a1"}))]).await;
    receiver.takes(&["m1", "m2", "m3"]).await;
    for profile in &profiles {
        for path in ["/admin/v1".to_owned(), hook.clone()] {
            let path = format!("{path}/deliveries?profile_id={profile}");
            let is_all = |told: &Value| told["data"].as_array().is_some_and(|rows| rows.len() == 3);
            let told = reads(&server, &path, "all three", is_all).await;
            let mut paged = Vec::new();
            let mut next = String::new();
            while paged.len() < 3 {
                let page = read(&server, &format!("{path}&limit=1{next}")).await;
                paged.extend(page["data"].as_array().expect("rows").iter().cloned());
                let Some(cursor) = page["cursor"]["next"].as_str().filter(|next| !next.is_empty()) else {
                    break;
                };
                next = format!("&cursor={cursor}");
            }
            assert_eq!(json!(paged), told["data"], "{path}");
            assert_eq!(told["data"][0]["message_id"], "m3", "the newest first: {told}");
        }
    }
    assert!(server.stop().success());
}
