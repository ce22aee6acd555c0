//! What can't be evaluated any more stands still, visibly, and goes on once it is mended.

use super::*;
use crate::harness::data_dir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_whose_audience_is_gone_stops_the_destination_and_leaks_nothing() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let minors = json!({"key": "minors", "definition": "traits.age < 18"});
    post(&server, "/admin/v1/audiences", minors, 201).await;
    let filter =
        json!({"name": "no minors", "condition": "profile.audiences.minors = true", "action": {"drop": {}}});
    let hook = webhook(&server, &receiver, json!({"filters": [filter]})).await;
    server.batch(&[track("m1", "ada", json!({}))]).await;
    receiver.takes(&["m1"]).await;

    let audience = "/admin/v1/audiences/minors";
    let (status, refused) = server.call(Method::DELETE, audience, None).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(server.call(Method::DELETE, &format!("{audience}?force=true"), None).await.0, 204);
    let told = reads(&server, &hook, "it is broken", |shown| shown["state"] == "broken").await;
    assert!(told["problem"].as_str().is_some_and(|problem| problem.contains("minors")), "{told}");
    let all = read(&server, &format!("{DESTINATIONS}/status")).await;
    assert_eq!(all["alarms"][0]["kind"], "broken", "{all}");
    server.seen(&[track("m2", "ada", json!({}))]).await;
    assert_eq!(receiver.taken(), ["m1"], "nothing goes past a filter that can't be evaluated");
    let waits = |status: &Value| status["behind"].as_u64() > Some(0) && status["oldest_pending"].is_string();
    reads(&server, &format!("{hook}/status"), "it is told what waits", waits).await;
    let overview = read(&server, &format!("{hook}/overview")).await;
    let pending = &overview["pending"];
    assert!(pending["behind"].as_u64() > Some(0) && pending["lag_ms"].is_u64(), "{overview}");
    let id = hook.rsplit('/').next().expect("an id");
    let behind = format!(r#"tributary_destination_behind{{workspace="ws_1",destination="{id}"}}"#);
    server.until("the metric says so too", async || server.metric(&behind).await > 0.0).await;
    let refused = post(&server, &format!("{hook}/replay"), json!({}), 409).await;
    assert!(refused["error"]["message"].as_str().is_some_and(|why| why.contains("minors")), "{refused}");

    patch(&server, &hook, json!({"filters": []})).await;
    receiver.takes(&["after-m2", "m1", "m2"]).await;
    reads(&server, &hook, "it is on again", |shown| shown["state"] == "on").await;
    assert!(server.stop().success());
}
