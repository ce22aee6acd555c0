//! Starts, stops, and what survives them.

use crate::harness::{PATIENCE, Server, TOKEN, data_dir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

fn identify(id: &str, user: &str, plan: &str) -> Value {
    json!({"type": "identify", "messageId": id, "userId": user, "traits": {"plan": plan}})
}

async fn plan(server: &Server, user: &str) -> Value {
    server.profile(&format!("user_id:{user}"), "traits").await.1["traits"]["plan"].take()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_loses_nothing_and_duplicates_are_known_after_it() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[identify("m1", "u1", "free"), identify("m2", "u2", "pro")]).await;
    assert!(server.stop().success(), "a graceful stop ends with status 0");

    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(plan(&server, "u1").await, "free");
    server.batch(&[identify("m1", "u1", "never"), identify("m3", "u1", "paid")]).await;
    server.until("the new one is there", async || plan(&server, "u1").await == "paid").await;
    let (_, metadata) = server.profile("user_id:u1", "metadata").await;
    assert_eq!(metadata["event_count"], 2, "the repeated event does not count");
    let duplicates =
        server.metric(r#"tributary_outcomes_total{stage="projector",outcome="duplicate"}"#).await;
    assert_eq!(duplicates, 1.0);
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_that_does_not_open_is_made_again() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[identify("m1", "u1", "free")]).await;
    server.until("it is there", async || plan(&server, "u1").await == "free").await;
    assert!(server.stop().success());
    for at in ["db", "conf"] {
        std::fs::write(path.join("state/gen-000001/sled").join(at), b"not a database").expect("written");
    }
    let server = Server::start(&path, &[]);
    server.ready().await;
    assert_eq!(plan(&server, "u1").await, "free");
    assert!(path.join("state/broken-000001").is_dir(), "the broken one is kept for a look");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn snapshots_are_taken_and_restored() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[identify("m1", "u1", "free")]).await;
    server.until("it is there", async || plan(&server, "u1").await == "free").await;
    let api = server.api.to_string();
    let running = command(&path, &["snapshot", "--api", &api, "--token", TOKEN]);
    server.batch(&[identify("m2", "u1", "pro")]).await;
    server.until("it changed", async || plan(&server, "u1").await == "pro").await;
    assert!(!restores(&path, &running), "a running server is not restored under");
    assert!(server.stop().success());
    let stopped = command(&path, &["snapshot"]);
    assert_ne!(running, stopped);

    for snapshot in [&running, &stopped] {
        assert!(restores(&path, snapshot));
        let server = Server::start(&path, &[]);
        server.ready().await;
        assert_eq!(plan(&server, "u1").await, "pro", "the log is read on from the snapshot");
        let (_, metadata) = server.profile("user_id:u1", "metadata").await;
        assert_eq!(metadata["event_count"], 2);
        assert!(server.stop().success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_space_events_are_refused_and_readiness_says_so() {
    let (_directory, path) = data_dir();
    let server = Server::start(&path, &[]);
    server.batch(&[identify("m1", "u1", "free")]).await;
    assert!(server.stop().success());
    let config = path.with_extension("toml");
    let text = "[log]\nfree_space_bytes = 1000000000000\nfree_space_percent = 90\n[events]\nretention_seconds = 86400\n";
    std::fs::write(&config, text).expect("written");
    let server = Server::start(&path, &["--config", config.to_str().expect("text")]);
    let request = server.client.post(format!("http://{}/v1/identify", server.http));
    let request = request.basic_auth(crate::harness::WRITE_KEY, Some(""));
    let answer = request.body(identify("m2", "u1", "pro").to_string()).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    let wait: u32 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=300).contains(&wait));
    let (status, body) = server.get("/readyz").await;
    assert_eq!(status, 503);
    assert!(body["parts"]["collector"]["reason"].as_str().expect("a reason").contains("space"), "{body}");
    server.until("profiles can still be read", async || plan(&server, "u1").await == "free").await;
}

#[test]
fn a_second_server_on_the_same_directory_is_refused() {
    let (_directory, path) = data_dir();
    let _server = Server::start(&path, &[]);
    let mut second = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let second = second.args(["--http", "127.0.0.1:0", "--api", "127.0.0.1:0", "--data-dir"]).arg(&path);
    let output = second.output().expect("it runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("in use by another process"));
}

/// Runs a command on this data directory and hands back the last line that it printed.
fn command(path: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let output = command.args(arguments).arg("--data-dir").arg(path).output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{arguments:?} {text} {} (patience {PATIENCE:?})",
        String::from_utf8_lossy(&output.stderr)
    );
    text.lines().last().expect("it prints a line").to_owned()
}

fn restores(path: &Path, snapshot: &str) -> bool {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let status = command.args(["restore", snapshot, "--data-dir"]).arg(path).status().expect("it runs");
    status.success()
}
