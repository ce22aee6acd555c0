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

    patch(&server, &hook, json!({"filters": []})).await;
    receiver.takes(&["after-m2", "m1", "m2"]).await;
    reads(&server, &hook, "it is on again", |shown| shown["state"] == "on").await;
    assert!(server.stop().success());
}
