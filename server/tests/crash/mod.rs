//! The crash proof: the server under load, killed again and again, at random times and between any two steps that
//! a crash must not tear apart, while people undo merges, change the rules and have the graph rebuilt; and in the end
//! compared with a slow, fresh projection of the log that survived.
//!
//! Everything random follows from a seed (times of kills apart, which the machine decides too). The environment
//! says how much: `TRIBUTARY_CRASH_KILLS`, `TRIBUTARY_CRASH_SEED`; `cargo xtask crash` sets both. A test that
//! fails prints the command that repeats it. What else may go wrong is in `faults`, `broker_faults`, `damage` and
//! `clock`.

mod broker_faults;
mod clock;
mod compare;
mod damage;
mod faults;
mod kills;
mod load;
mod logs;
mod orders;
mod receiver;

use crate::harness::{Faces, PATIENCE, Server, data_dir};
use compare::Survived;
use faults::post;
use kills::{Ending, schedule};
use load::{Answer, Load, Pace, Post, send};
use logs::Logs;
use orders::Order;
use receiver::Receiver;
use reqwest::Method;
use rustix::process::Signal;
use serde_json::json;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::str::FromStr;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tributary_model::DestinationId;

const KILLS: usize = 10;
const SEED: u64 = 20_261_120;

/// The id of the event behind everything else.
const LAST: &str = "last";

/// Checkpoints follow each other so closely, in milliseconds, that most kills meet one.
const CHECKPOINT_INTERVAL_MS: &str = "20";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_embedded_log_nothing_is_lost_or_doubled() {
    let (_directory, path) = data_dir();
    killed_again_and_again(Logs::embedded(path)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_kafka_nothing_is_lost_or_doubled() {
    let (_directory, path) = data_dir();
    killed_again_and_again(Logs::kafka(path, given("TRIBUTARY_TEST_KAFKA_BROKERS"))).await;
}

async fn killed_again_and_again(logs: Logs) {
    let seed = number("TRIBUTARY_CRASH_SEED").unwrap_or(SEED);
    let kills = logs.kills_max(number("TRIBUTARY_CRASH_KILLS").unwrap_or(KILLS));
    let _replay = Replay { seed, kills, log: logs.name() };
    let endings = schedule(seed, kills, logs.lives());
    let mut proof = Proof::begin(logs, seed).await;
    for ending in endings {
        proof.live(ending).await;
    }
    proof.finish().await;
}

/// The value of a variable, if it is set.
#[allow(clippy::disallowed_methods, reason = "how `cargo xtask crash` hands its flags to the tests")]
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number<T: FromStr>(name: &str) -> Option<T> {
    let text = given(name)?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text}; give a whole number")))
}

/// Says how to repeat a test that fails.
struct Replay {
    seed: u64,
    kills: usize,
    log: &'static str,
}

impl Drop for Replay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, kills, log } = self;
            eprintln!("repeat this with: cargo xtask crash --seed {seed} --kills {kills} --log {log}");
        }
    }
}

/// A data directory, its load, and what has become of both so far.
struct Proof {
    logs: Logs,
    load: Arc<Load>,
    receiver: Receiver,
    destination: DestinationId,
    /// What each sender has posted and not seen acknowledged.
    left: Vec<Option<Post>>,
}

/// One life of the server, under load.
struct Life {
    server: Server,
    over: watch::Sender<bool>,
    senders: Vec<JoinHandle<Option<Post>>>,
}

impl Life {
    /// Orders one rebuild after the other, until one of them has ended the process.
    async fn rebuild_until_gone(&self) {
        let is_gone = async || matches!(Order::rebuild().answer(&self.server, PATIENCE).await, Answer::Gone);
        self.server.until("a rebuild ends the process", is_gone).await;
    }
}

impl Proof {
    /// The first start: with a destination for everything that comes after it.
    async fn begin(logs: Logs, seed: u64) -> Self {
        let pace = logs.pace();
        Self::begin_at(logs, seed, pace).await
    }

    async fn begin_at(logs: Logs, seed: u64, pace: Pace) -> Self {
        assert!(fail::has_failpoints(), "the tests are built with fail points");
        let receiver = Receiver::start();
        let server = Server::start(&logs.path, &logs.arguments());
        server.ready().await;
        let body = json!({"definition": "webhook", "name": "receiver", "settings": {"url": receiver.url}});
        let (status, body) = server.call(Method::POST, "/admin/v1/destinations", Some(body)).await;
        assert_eq!(status, 201, "{body}");
        let destination = body["id"].as_str().expect("an id").parse().expect("a destination's id");
        assert!(server.stop().success());
        let load = Arc::new(Load::new(seed, pace, receiver.count()));
        let left = (0..pace.senders).map(|_| None).collect();
        Self { logs, load, receiver, destination, left }
    }

    /// Starts the server with these fail points, and the senders.
    fn start(&mut self, fail_points: Option<&str>) -> Result<Life, ExitStatus> {
        let mut environment = vec![("TRIBUTARY_STATE_CHECKPOINT_INTERVAL_MS", CHECKPOINT_INTERVAL_MS)];
        environment.extend(fail_points.map(|actions| ("FAILPOINTS", actions)));
        let server = Server::launch(&self.logs.path, &self.logs.arguments(), &environment)?;
        let over = watch::Sender::new(false);
        let sender = |left| {
            let faces: Faces = (*server).clone();
            tokio::spawn(send(faces, Arc::clone(&self.load), over.subscribe(), left))
        };
        let senders = self.left.drain(..).map(sender).collect();
        Ok(Life { server, over, senders })
    }

    /// Waits until so many more posts are acknowledged.
    async fn until_posts(&self, more: u64) {
        let mut posts = self.load.posts();
        let wanted = *posts.borrow() + more;
        let reached = tokio::time::timeout(PATIENCE, posts.wait_for(|count| *count >= wanted)).await;
        assert!(reached.is_ok(), "no {more} further posts were acknowledged within {PATIENCE:?}");
    }

    /// Waits for the end of a life, and keeps what its senders have left.
    async fn bury(&mut self, life: Life) -> ExitStatus {
        let status = life.server.ended().await;
        life.over.send_replace(true);
        for sender in life.senders {
            self.left.push(sender.await.expect("a sender does not panic"));
        }
        status
    }

    /// One life, from a start to this end.
    async fn live(&mut self, ending: Ending) {
        let fail_points = ending.fail_points();
        let status = match self.start(fail_points.as_deref()) {
            Ok(life) => {
                match ending {
                    Ending::Killed { posts } => {
                        self.until_posts(posts).await;
                        life.server.signal(Signal::KILL);
                    }
                    Ending::Stopped { posts } => {
                        self.until_posts(posts).await;
                        life.server.signal(Signal::TERM);
                    }
                    Ending::AtPoint { .. } if ending.needs_rebuild() => life.rebuild_until_gone().await,
                    Ending::AtPoint { .. } => {}
                }
                self.bury(life).await
            }
            Err(status) => status,
        };
        match ending {
            Ending::Stopped { .. } => assert!(status.success(), "{ending:?}: {status}"),
            Ending::Killed { .. } | Ending::AtPoint { .. } => {
                assert_eq!(status.signal(), Some(Signal::KILL.as_raw()), "{ending:?}: {status}");
            }
        }
    }

    /// The last life: everything that was handed out is acknowledged, projected and delivered; then a stop, and the
    /// comparison.
    async fn finish(mut self) {
        self.load.end();
        let mut life = self.start(None).unwrap_or_else(|status| panic!("the last start failed: {status}"));
        for sender in life.senders.drain(..) {
            let left = sender.await.expect("a sender does not panic");
            assert!(left.is_none(), "the server that is not killed takes everything");
        }
        life.server.ready().await;
        // Once this one is delivered, whatever is to come of the records before it is in the activations log.
        life.server.until("the last event is taken", async || post(&life.server, LAST).await.0 == 200).await;
        self.load.posted(LAST);
        self.receiver.until(self.load.books(|books| books.handed_out.len() as u64)).await;
        self.receiver.until_event(LAST).await;
        // What arrived in an earlier life may be unknown to the books, which end when this life has brought it again.
        let behind =
            format!(r#"tributary_destination_behind{{workspace="ws_1",destination="{}"}}"#, self.destination);
        life.server
            .until("the books are complete", async || life.server.metric_if_there(&behind).await == Some(0.0))
            .await;
        assert!(life.server.stop().success());
        self.compare().await;
    }

    async fn compare(&self) {
        let path = &self.logs.path;
        let survived = Survived::read(path, &self.logs);
        self.load.books(|books| {
            survived.holds(books, &self.logs);
            for (kind, ordered) in &books.orders {
                assert!(ordered.taken > 0 || ordered.refused < 50, "{kind:?} is never taken: {ordered:?}");
            }
        });
        survived.compare_state(path);
        survived.compare_activations(&self.logs);
        let deliveries = self.receiver.deliveries();
        survived.compare_deliveries(path, &self.logs, self.destination, &deliveries).await;
    }
}
