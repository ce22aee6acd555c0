//! Brokers that are stopped, killed, gone or standing still while the server is under load: no acknowledged event is
//! lost, none counts twice, and while no broker answers the collector refuses with 503 and Retry-After.
//!
//! Where `TRIBUTARY_TEST_KAFKA_BROKERS` and `TRIBUTARY_TEST_KAFKA_CONTROL` are set, as `cargo xtask kafka-faults`
//! does, the brokers are three real ones, and the second variable is the program that takes them away, with its first
//! arguments. Without them they are those of a mock cluster in this process, and the faults are shorter.
//! `TRIBUTARY_FAULT_SECONDS` sets how long they last.

use super::faults::post;
use super::logs::Logs;
use super::{Life, Proof, given, number};
use crate::harness::{PATIENCE, data_dir};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rustix::process::Signal;
use std::process::Command;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

const SEED: u64 = 20_261_130;
const BROKERS: [i32; 3] = [1, 2, 3];

/// For how many seconds all brokers are away.
const SECONDS: u64 = 60;
/// The same on a mock cluster.
const SECONDS_MOCK: u64 = 6;
/// A broker of the mock that stands still answers so late: later than the log waits before it refuses.
const STANDS_STILL: Duration = Duration::from_secs(5);

/// Within this time there is an answer, whatever the brokers do. The log gives up after 10 seconds; the rest is for
/// loaded machines.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often the collector is asked while a fault lasts.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// So many more acknowledged posts show that everything goes on.
const POSTS: u64 = 5;

/// The id of an event that is posted again and again: however often it is taken, it counts once.
const PROBE: &str = "probe";

/// Real brokers can have one fault at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_broker_may_go_and_come_back() {
    let trial = Trial::begin(SEED).await;
    for (broker, fault) in [(1, Fault::Stop), (2, Fault::Kill), (3, Fault::Stop)] {
        trial.make(fault, &[broker]).await;
        trial.takes_events().await;
        trial.make(Fault::Start, &[broker]).await;
        trial.goes_on().await;
    }
    trial.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brokers_may_be_away_for_a_while() {
    let trial = Trial::begin(SEED + 1).await;
    trial.make(Fault::Stop, &BROKERS).await;
    trial.refuses().await;
    let statuses = trial.asks_for(trial.fault_lasts).await;
    assert!(statuses.iter().all(|status| *status == 503), "without brokers nothing is taken: {statuses:?}");
    trial.make(Fault::Start, &BROKERS).await;
    trial.takes_events().await;
    trial.goes_on().await;
    trial.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leading_broker_may_stand_still() {
    let trial = Trial::begin(SEED + 2).await;
    let leader = trial.leader();
    trial.make(Fault::Pause, &[leader]).await;
    let began = Instant::now();
    trial.takes_events().await;
    trial.asks_for((trial.fault_lasts / 2).saturating_sub(began.elapsed())).await;
    trial.make(Fault::Resume, &[leader]).await;
    trial.takes_events().await;
    trial.goes_on().await;
    trial.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_brokers_may_stand_still() {
    let trial = Trial::begin(SEED + 3).await;
    trial.make(Fault::Pause, &BROKERS).await;
    trial.refuses().await;
    trial.asks_for(trial.fault_lasts / 2).await;
    trial.make(Fault::Resume, &BROKERS).await;
    trial.takes_events().await;
    trial.goes_on().await;
    trial.finish().await;
}

/// What is done to brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Stop,
    Kill,
    Start,
    Pause,
    Resume,
}

impl Fault {
    /// How [`Control`] calls it.
    fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Kill => "kill",
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
        }
    }

    /// Whether the brokers don't answer from then on.
    fn takes_away(self) -> bool {
        match self {
            Self::Stop | Self::Kill | Self::Pause => true,
            Self::Start | Self::Resume => false,
        }
    }
}

/// The server under load, with three brokers.
struct Trial {
    proof: Proof,
    life: Life,
    control: Option<Control>,
    fault_lasts: Duration,
    _directory: tempfile::TempDir,
    // Last, so that the next trial finds brokers that run.
    _alone: Option<MutexGuard<'static, ()>>,
}

impl Trial {
    async fn begin(seed: u64) -> Self {
        let real = given("TRIBUTARY_TEST_KAFKA_BROKERS").zip(given("TRIBUTARY_TEST_KAFKA_CONTROL"));
        let (brokers, control) = real.map(|(brokers, words)| (brokers, Control { words })).unzip();
        let (alone, seconds) = match control {
            Some(_) => (Some(ONE_AT_A_TIME.lock().await), SECONDS),
            None => (None, SECONDS_MOCK),
        };
        let (directory, path) = data_dir();
        let mut proof = Proof::begin(Logs::kafka(path, brokers), seed).await;
        let life = proof.start(None).unwrap_or_else(|status| panic!("the start failed: {status}"));
        life.server.ready().await;
        assert_eq!(post(&life.server, PROBE).await.0, 200);
        proof.load.posted(PROBE);
        proof.until_posts(POSTS).await;
        Self {
            proof,
            life,
            control,
            fault_lasts: Duration::from_secs(number("TRIBUTARY_FAULT_SECONDS").unwrap_or(seconds)),
            _directory: directory,
            _alone: alone,
        }
    }

    /// Does this to brokers, and waits until it is done.
    async fn make(&self, fault: Fault, brokers: &[i32]) {
        match &self.control {
            Some(control) => control.call(fault, brokers).await,
            None => self.mock_fault(fault, brokers),
        }
    }

    fn mock_fault(&self, fault: Fault, brokers: &[i32]) {
        let logs = &self.proof.logs;
        let mock = logs.mock().expect("brokers that nobody controls are the mock's");
        for broker in brokers {
            let done = match fault {
                Fault::Stop | Fault::Kill => mock.broker_down(*broker),
                Fault::Start => mock.broker_up(*broker),
                Fault::Pause => mock.broker_round_trip_time(*broker, STANDS_STILL),
                Fault::Resume => mock.broker_round_trip_time(*broker, Duration::ZERO),
            };
            done.expect("the broker is there");
        }
        // A real cluster chooses another leader by itself.
        if let (true, [broker]) = (fault.takes_away(), brokers) {
            for topic in logs.topics() {
                mock.partition_leader(&topic, 0, Some(broker % 3 + 1)).expect("the topic is there");
            }
        }
    }

    /// The broker that leads the events' partition.
    fn leader(&self) -> i32 {
        let logs = &self.proof.logs;
        let consumer: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", logs.brokers()).create().expect("a client");
        let [events, _] = logs.topics();
        let metadata = consumer.fetch_metadata(Some(&events), PATIENCE).expect("brokers answer");
        metadata.topics()[0].partitions()[0].leader()
    }

    /// Posts the probe. There is an answer in time, and it is taken or refused with a time to come back.
    async fn ask(&self) -> u16 {
        let asked = tokio::time::timeout(ANSWER_WITHIN, post(&self.life.server, PROBE)).await;
        let (status, after) = asked.expect("the collector answers, whatever the brokers do");
        match status {
            200 => {}
            503 => {
                assert!(after.is_some_and(|seconds| (1..=300).contains(&seconds)), "Retry-After: {after:?}")
            }
            other => panic!("the collector answered {other}"),
        }
        status
    }

    /// Asks for that long, and hands back what the answers were. The time is the fault's: nothing is waited for.
    async fn asks_for(&self, duration: Duration) -> Vec<u16> {
        let by = Instant::now() + duration;
        let mut pace = tokio::time::interval(ASK_EVERY);
        let mut statuses = Vec::new();
        while Instant::now() < by {
            pace.tick().await;
            statuses.push(self.ask().await);
        }
        statuses
    }

    /// Waits until the collector refuses.
    async fn refuses(&self) {
        self.life.server.until("the collector refuses", async || self.ask().await == 503).await;
    }

    /// Waits until the collector takes events.
    async fn takes_events(&self) {
        self.life.server.until("the collector takes events", async || self.ask().await == 200).await;
    }

    /// Waits until the load gets on, which needs deliveries too.
    async fn goes_on(&self) {
        self.proof.until_posts(POSTS).await;
    }

    /// Stops the server, starts it again for what is left of the load, and compares.
    async fn finish(self) {
        let Self { _alone, _directory, control: _control, mut proof, life, fault_lasts: _ } = self;
        life.server.signal(Signal::TERM);
        let status = proof.bury(life).await;
        assert!(status.success(), "{status}");
        proof.finish().await;
    }
}

/// The program that stops and starts real brokers.
struct Control {
    /// Its path and first arguments, with spaces between.
    words: String,
}

impl Control {
    fn command(&self, fault: Fault, brokers: &[i32]) -> Command {
        let mut words = self.words.split_whitespace();
        let mut command = Command::new(words.next().expect("the variable names a program"));
        command.args(words).arg(fault.name()).args(brokers.iter().map(i32::to_string));
        command
    }

    async fn call(&self, fault: Fault, brokers: &[i32]) {
        let mut command = self.command(fault, brokers);
        let output = tokio::task::spawn_blocking(move || command.output()).await;
        let output = output.expect("it does not panic").expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{fault:?} {brokers:?}: {said}");
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The next trial is to find all brokers running. Those that are not paused take no harm from it.
            for broker in BROKERS {
                let _ = self.command(Fault::Resume, &[broker]).status();
            }
            let _ = self.command(Fault::Start, &BROKERS).status();
        }
    }
}
