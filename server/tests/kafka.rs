//! The real binary with its logs in Kafka: a mock cluster within the test's process.

use crate::data_map::check_stores;
use crate::harness::{Server, WRITE_KEY, data_dir};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cluster with the topics of a product, and the configuration of its clients.
struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    brokers: String,
    config: PathBuf,
}

impl Cluster {
    fn start(data_dir: &Path) -> Self {
        let mock = MockCluster::new(1).expect("a mock cluster");
        for log in ["events", "activations"] {
            // The mock can't be asked to create topics.
            mock.create_topic(&format!("shop.{log}"), 1, 1).expect("a topic");
        }
        let config = data_dir.with_extension("toml");
        let text = "[kafka]\ntopic_prefix = 'shop'\ncreate_topics = false\n\
                    [kafka.client]\n'reconnect.backoff.max.ms' = 200\n";
        std::fs::write(&config, text).expect("written");
        Self { brokers: mock.bootstrap_servers(), mock, config }
    }

    fn arguments(&self) -> [&str; 6] {
        let config = self.config.to_str().expect("text");
        ["--log", "kafka", "--kafka-brokers", &self.brokers, "--config", config]
    }

    fn server(&self, data_dir: &Path) -> Server {
        Server::start(data_dir, &self.arguments())
    }
}

fn identify(id: &str, user: &str, plan: &str) -> Value {
    json!({"type": "identify", "messageId": id, "userId": user, "traits": {"plan": plan}})
}

async fn plan(server: &Server, user: &str) -> Value {
    server.profile(&format!("user_id:{user}"), "traits").await.1["traits"]["plan"].take()
}

/// What a start says that is refused.
fn refusal(data_dir: &Path, arguments: &[&str]) -> String {
    let addresses = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--api", "127.0.0.1:0"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    let output = command.args(addresses).args(arguments).arg("--data-dir").arg(data_dir).output();
    let output = output.expect("it runs");
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_become_profiles_and_a_restart_goes_on() {
    let (_directory, path) = data_dir();
    let cluster = Cluster::start(&path);
    let server = cluster.server(&path);
    server.batch(&[identify("m1", "u1", "free"), identify("m2", "u2", "pro")]).await;
    server.until("they are there", async || plan(&server, "u2").await == "pro").await;
    assert!(server.stop().success());
    assert!(!path.join("events").exists(), "nothing is kept beside Kafka");
    check_stores(&path);

    let server = cluster.server(&path);
    server.ready().await;
    assert_eq!(plan(&server, "u1").await, "free");
    server.batch(&[identify("m1", "u1", "never"), identify("m3", "u1", "paid")]).await;
    server.until("the new one is there", async || plan(&server, "u1").await == "paid").await;
    let (_, metadata) = server.profile("user_id:u1", "metadata").await;
    assert_eq!(metadata["event_count"], 2, "the repeated event does not count");
    let (status, events) = server.profile("user_id:u1", "events").await;
    assert_eq!((status, events["data"].as_array().map(Vec::len)), (200, Some(2)), "{events}");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_events_are_refused_and_later_nothing_is_lost_or_doubled() {
    let (_directory, path) = data_dir();
    let cluster = Cluster::start(&path);
    let server = cluster.server(&path);
    server.ready().await;
    server.batch(&[identify("m1", "u1", "free")]).await;
    server.until("it is there", async || plan(&server, "u1").await == "free").await;

    cluster.mock.broker_down(-1).expect("it goes down");
    server.until("readiness says so", async || server.get("/readyz").await.0 == 503).await;
    let (_, readiness) = server.get("/readyz").await;
    let reason = readiness["parts"]["collector"]["reason"].as_str().expect("a reason");
    assert!(reason.contains("broker"), "{readiness}");
    let body = identify("m2", "u1", "pro").to_string();
    let request = server.client.post(format!("http://{}/v1/identify", server.http));
    let answer = request.basic_auth(WRITE_KEY, Some("")).body(body.clone()).send().await.expect("an answer");
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()["retry-after"], "5");
    assert_eq!(plan(&server, "u1").await, "free", "profiles can still be read");

    cluster.mock.broker_up(-1).expect("it comes up");
    server.ready().await;
    for _ in 0..2 {
        // Repeats are what SDKs do that got no answer.
        let (status, answer) = server.post("/v1/identify", body.clone()).await;
        assert_eq!(status, 200, "{answer}");
    }
    server.until("it is there", async || plan(&server, "u1").await == "pro").await;
    server.batch(&[identify("m3", "u1", "paid")]).await;
    server.until("the last one is there", async || plan(&server, "u1").await == "paid").await;
    let (_, metadata) = server.profile("user_id:u1", "metadata").await;
    assert_eq!(metadata["event_count"], 3, "each counts once");
    assert!(server.stop().success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_directory_belongs_to_one_kind_of_log() {
    let (_directory, path) = data_dir();
    let cluster = Cluster::start(&path);
    assert!(cluster.server(&path).stop().success());
    let error = refusal(&path, &[]);
    assert!(error.contains("kafka-events.json") && error.contains("start with --log kafka"), "{error}");

    let embedded = path.with_extension("embedded");
    assert!(Server::start(&embedded, &[]).stop().success());
    let error = refusal(&embedded, &cluster.arguments());
    assert!(error.contains("start with --log embedded"), "{error}");

    let fresh = path.with_extension("fresh");
    let error = refusal(&fresh, &cluster.arguments());
    assert!(error.contains("shop.events") && error.contains("kafka.topic_prefix"), "a used topic: {error}");
}
