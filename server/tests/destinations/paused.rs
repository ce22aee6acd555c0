//! Pauses: nothing is given up while the receiver refuses us or is out, and one call ends it.

use super::*;
use crate::harness::data_dir;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_credentials_pause_until_somebody_ends_it() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    let (status, resume) = (format!("{hook}/status"), format!("{hook}/resume"));
    post(&server, &resume, json!({}), 409).await;
    receiver.answer(401);
    server.batch(&[track("m1", "ada", json!({})), track("m2", "bob", json!({}))]).await;
    let told = reads(&server, &status, "it is paused", |status| status["state"] == "paused").await;
    assert_eq!(told["paused"]["reason"], "credentials", "{told}");
    assert_eq!(told["paused"]["failure"]["code"], "unauthorized", "{told}");
    assert_eq!(told["paused"]["probes_at"], json!(null), "{told}");
    let all = read(&server, &format!("{DESTINATIONS}/status")).await;
    assert_eq!(all["alarms"][0]["kind"], "paused_credentials", "{all}");
    assert_eq!(read(&server, &hook).await["state"], "paused");

    receiver.answer(200);
    let resumed = post(&server, &resume, json!({}), 202).await;
    assert_eq!((&resumed["state"], &resumed["paused"]), (&json!("on"), &json!(null)), "{resumed}");
    receiver.takes(&["m1", "m2"]).await;
    let told = reads(&server, &status, "it is on again", |status| status["state"] == "on").await;
    assert_eq!(ended(&told, "dead_letter"), 0, "{told}");
    let all = read(&server, &format!("{DESTINATIONS}/status")).await;
    assert_eq!(all["alarms"], json!([]), "{all}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_is_ended_while_the_destination_is_off_too() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    let (status, resume) = (format!("{hook}/status"), format!("{hook}/resume"));
    receiver.answer(401);
    server.batch(&[track("m1", "ada", json!({}))]).await;
    reads(&server, &status, "it is paused", |status| status["state"] == "paused").await;
    patch(&server, &hook, json!({"enabled": false})).await;
    let is_off = |status: &Value| status["state"] == "off" && status["paused"].is_object();
    reads(&server, &status, "it is off, and paused", is_off).await;
    let resumed = post(&server, &resume, json!({}), 202).await;
    assert_eq!((&resumed["state"], &resumed["paused"]), (&json!("off"), &json!(null)), "{resumed}");
    reads(&server, &status, "it is not paused", |status| status["paused"].is_null()).await;
    post(&server, &resume, json!({}), 409).await;
    receiver.answer(200);
    patch(&server, &hook, json!({"enabled": true})).await;
    receiver.takes(&["m1"]).await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changed_settings_end_a_pause_by_credentials_and_a_restart_does_not() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    let (receiver, other) = (Receiver::start().await, Receiver::start().await);
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    receiver.answer(401);
    server.batch(&[track("m1", "ada", json!({}))]).await;
    let status = format!("{hook}/status");
    reads(&server, &status, "it is paused", |status| status["state"] == "paused").await;
    assert!(server.stop().success());
    receiver.answer(200);

    let server = Server::start(&path, &[]);
    server.ready().await;
    reads(&server, &status, "it is still paused", |status| status["state"] == "paused").await;
    assert!(receiver.taken().is_empty(), "nothing is sent while it is");
    patch(&server, &hook, json!({"settings": {"url": other.url()}})).await;
    other.takes(&["m1"]).await;
    reads(&server, &status, "it is on again", |status| status["state"] == "on").await;
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_pauses_and_ends_by_itself() {
    let (_directory, path) = data_dir();
    let config = path.with_extension("toml");
    let settings = "[destinations]\noutage_failures_min = 2\noutage_after_ms = 0\nprobe_max_ms = 100\nbackoff_base_ms = 1\n";
    std::fs::write(&config, settings).expect("it can be written");
    let server = Server::start(&path, &["--config", config.to_str().expect("text")]);
    let receiver = Receiver::start().await;
    server.ready().await;
    let hook = webhook(&server, &receiver, json!({})).await;
    receiver.answer(500);
    server
        .batch(&[track("m1", "ada", json!({})), track("m2", "bob", json!({})), track("m3", "eve", json!({}))])
        .await;
    let status = format!("{hook}/status");
    let told = reads(&server, &status, "it is paused", |status| status["state"] == "paused").await;
    assert_eq!(told["paused"]["reason"], "outage", "{told}");
    assert!(told["oldest_pending"].is_string(), "{told}");
    receiver.answer(200);
    receiver.takes(&["m1", "m2", "m3"]).await;
    let told = reads(&server, &status, "it is on again", |status| status["state"] == "on").await;
    assert_eq!((ended(&told, "dead_letter"), &told["paused"]), (0, &json!(null)), "{told}");
    assert!(server.stop().success());
}
