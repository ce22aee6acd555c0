//! Starts the real binary on free ports and talks to it as its clients do.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

pub(crate) const TOKEN: &str = "an-admin-token-for-tests";
pub(crate) const WRITE_KEY: &str = "a-write-key-for-tests";
/// Long enough for a loaded machine; nothing waits so long that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server process. Dropped, it is killed as by `kill -9`.
pub(crate) struct Server {
    /// Until somebody waits for its end.
    child: Option<Child>,
    pub(crate) grpc: SocketAddr,
    faces: Faces,
}

/// What a server serves, and a client for it.
#[derive(Clone)]
pub(crate) struct Faces {
    pub(crate) http: SocketAddr,
    pub(crate) api: SocketAddr,
    pub(crate) client: reqwest::Client,
}

impl Deref for Server {
    type Target = Faces;

    fn deref(&self) -> &Faces {
        &self.faces
    }
}

impl Server {
    /// Starts the binary on this data directory and waits until it tells its addresses.
    pub(crate) fn start(data_dir: &Path, more: &[&str]) -> Self {
        Self::launch(data_dir, more, &[])
            .unwrap_or_else(|status| panic!("the server ended before it told its addresses: {status}"))
    }

    /// As [`Server::start`], with further environment variables; or how it ended instead of telling its addresses.
    pub(crate) fn launch(
        data_dir: &Path,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Result<Self, ExitStatus> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tributary"))
            .args(["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--api", "127.0.0.1:0"])
            .arg("--allow-private-destinations")
            .arg("--data-dir")
            .arg(data_dir)
            .args(more)
            .env("TRIBUTARY_ADMIN_TOKEN", TOKEN)
            .env("TRIBUTARY_WRITE_KEY", WRITE_KEY)
            .env("TRIBUTARY_LOG", "error")
            .envs(topics_of(data_dir))
            .envs(environment.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let mut address = |name: &str| -> Option<SocketAddr> {
            let line = lines
                .by_ref()
                .map(|line| line.expect("stdout is text"))
                .find(|line| line.starts_with(name))?;
            let url = line.rsplit(' ').next().expect("a line has words");
            Some(url.trim_start_matches("http://").parse().expect("an address"))
        };
        let told = (address("tracking API"), address("gRPC"), address("profile and admin API"));
        let (Some(http), Some(grpc), Some(api)) = told else {
            return Err(child.wait().expect("it ends"));
        };
        Ok(Self { child: Some(child), grpc, faces: Faces::new(http, api) })
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.child.take().expect("nobody waited for it yet").wait().expect("it ends")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("it runs");
    }

    /// The process id.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("nobody waited for it yet"))
    }

    /// Waits until it has ended, by itself or by a signal.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        let pid = self.pid();
        let mut child = self.child.take().expect("nobody waited for it yet");
        let end = tokio::task::spawn_blocking(move || child.wait().expect("it can be waited for"));
        match tokio::time::timeout(PATIENCE, end).await {
            Ok(status) => status.expect("waiting does not panic"),
            Err(_) => {
                // It may have ended just now.
                let _ = kill_process(pid, Signal::KILL);
                panic!("the server did not end within {PATIENCE:?}");
            }
        }
    }
}

impl Faces {
    /// What is served at these addresses.
    pub(crate) fn new(http: SocketAddr, api: SocketAddr) -> Self {
        // Another test may have installed it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        Self { http, api, client }
    }

    /// Posts to the tracking API with the default source's write key.
    pub(crate) async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let request = self.client.post(format!("http://{}{path}", self.http)).basic_auth(WRITE_KEY, Some(""));
        answer(request.body(body)).await
    }

    /// Posts a batch of events and expects it to be taken.
    pub(crate) async fn batch(&self, events: &[Value]) {
        let (status, body) = self.post("/v1/batch", json!({"batch": events}).to_string()).await;
        assert_eq!((status, body), (200, json!({"success": true})));
    }

    /// A call of the private face with the first token.
    pub(crate) async fn call(
        &self,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        self.call_as(TOKEN, method, path, body).await
    }

    /// A call of the private face with this token.
    pub(crate) async fn call_as(
        &self,
        token: &str,
        method: reqwest::Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request =
            self.client.request(method, format!("http://{}{path}", self.api)).bearer_auth(token);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        answer(request).await
    }

    /// A read of the private face with the first token.
    pub(crate) async fn get(&self, path: &str) -> (u16, Value) {
        self.call(reqwest::Method::GET, path, None).await
    }

    /// A part of a profile in the default workspace.
    pub(crate) async fn profile(&self, who: &str, part: &str) -> (u16, Value) {
        self.get(&format!("/v1/spaces/default/collections/users/profiles/{who}/{part}")).await
    }

    /// Sends events and waits until readers see them: what comes after them in the log is visible.
    pub(crate) async fn seen(&self, events: &[Value]) {
        let last = events.last().expect("events")["messageId"].as_str().expect("an id");
        let marker = format!("after-{last}");
        let after =
            serde_json::json!({"type": "track", "messageId": marker, "userId": marker, "event": "Sent"});
        self.batch(events).await;
        self.batch(&[after]).await;
        let who = format!("user_id:{marker}");
        self.until("the events are visible", async || self.profile(&who, "metadata").await.0 == 200).await;
    }

    /// Waits until the activations log has so many entries. They are written a moment after profiles show what brought
    /// them.
    pub(crate) async fn activated(&self, count: u32) {
        let end = r#"tributary_log_end_sequence{log="activations"}"#;
        let are_written = async || self.metric(end).await == f64::from(count);
        self.until("activations are written", are_written).await;
    }

    /// Waits until everything is ready.
    pub(crate) async fn ready(&self) {
        self.until("the server is ready", async || self.get("/readyz").await.0 == 200).await;
    }

    /// Waits until a condition holds, and fails the test if it never does.
    pub(crate) async fn until(&self, what: &str, mut holds: impl AsyncFnMut() -> bool) {
        until(what, &mut holds).await;
    }

    /// The value of a metric with exactly these labels, 0 if it is not there.
    pub(crate) async fn metric(&self, name_and_labels: &str) -> f64 {
        self.metric_if_there(name_and_labels).await.unwrap_or(0.0)
    }

    /// The value of a metric with exactly these labels.
    pub(crate) async fn metric_if_there(&self, name_and_labels: &str) -> Option<f64> {
        let url = format!("http://{}/metrics", self.api);
        let text = self.client.get(url).send().await.expect("metrics").text().await.expect("text");
        let line = text.lines().find_map(|line| line.strip_prefix(name_and_labels)?.strip_prefix(' '));
        line.map(|value| value.parse().expect("a number"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // Already ended in the common case.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until a condition holds; looks again as soon as the runtime has nothing better to do.
pub(crate) async fn until(what: &str, holds: &mut impl AsyncFnMut() -> bool) {
    let by = Instant::now() + PATIENCE;
    while !holds().await {
        assert!(Instant::now() < by, "{what}: not within {PATIENCE:?}");
        tokio::task::yield_now().await;
    }
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let bytes = response.bytes().await.expect("a body");
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

/// Where the log of every server is Kafka (`cargo xtask kafka-tests` says so by the variable of that setting), each
/// data directory has topics of its own.
#[allow(clippy::disallowed_methods, reason = "how the tests are told to run on Kafka")]
fn topics_of(data_dir: &Path) -> Option<(&'static str, String)> {
    std::env::var_os("TRIBUTARY_EVENT_LOG")?;
    let letters = data_dir.to_string_lossy().chars().filter(char::is_ascii_alphanumeric).collect::<String>();
    Some(("TRIBUTARY_KAFKA_TOPIC_PREFIX", letters))
}

/// A directory for one test's data; it goes away with the value.
pub(crate) fn data_dir() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("data");
    (directory, path)
}
