//! `tributary demo`: the whole product in one process, played a shop's day through its public faces, and a scene in which
//! people enter and leave audiences by what they do and by time alone.
//!
//! What it prints as happened is read from outside: metrics, profile API, and what its receiver was sent. What it
//! prints beside that as expected comes from the generator of the day, which never asks the product. It
//! leaves no trace unless it was given a directory; with Kafka its topics are its own.

mod api;
mod audiences;
mod observe;
mod receiver;
mod report;
mod scene;
mod sender;

use crate::app::{self, Running};
use crate::config::{Config, Environment, EventLogKind, ServeArgs};
use crate::tls;
use anyhow::{Context, anyhow, bail};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tributary_eventlog::kafka::{BrokerTopics, KafkaOptions};
use tributary_model::clock::{Clock, SystemClock};
use tributary_sample::Day;

use api::Api;
use audiences::Audiences;
use observe::Observer;
use receiver::Receiver;
use report::Report;
use sender::Sender;

/// How long the start may take.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// Each request of the demo must be answered within so long.
const REQUEST_WITHIN: Duration = Duration::from_secs(10);
/// When nothing has moved for so long, what there is counts as the end.
const QUIET_FOR: Duration = Duration::from_secs(4);
/// How long the stop may take.
const STOP_WITHIN: Duration = Duration::from_secs(9);
const DAY_MICROS: i64 = 24 * 60 * 60 * 1_000_000;

/// The flags of `tributary demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// Keep everything in this directory, which must be empty or missing [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Serve the public tracking API on this address [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "IP:PORT")]
    pub http: Option<SocketAddr>,
    /// Serve profile API, admin API, metrics, health on this address [default: a free port of 127.0.0.1]
    #[arg(long, value_name = "IP:PORT")]
    pub api: Option<SocketAddr>,
    /// Play another day, with other people
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// How many people take part
    #[arg(long, value_name = "NUMBER", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..))]
    pub people: u64,
    /// How many calls they make
    #[arg(long, value_name = "NUMBER", default_value_t = 5_000)]
    pub events: u64,
    /// Keep events and activations here, in topics of the demo's own
    #[arg(long, value_name = "embedded|kafka")]
    pub log: Option<String>,
    /// The brokers of Kafka to begin with, with commas between
    #[arg(long, value_name = "HOST:PORT,…")]
    pub kafka_brokers: Option<String>,
    /// End when the day is over: with status 0 only if every number is as expected
    #[arg(long)]
    pub exit: bool,
}

/// Whether every number was as expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Every one.
    Agreed,
    /// Not every one: the report says which, or that the day was cut short.
    Differed,
}

/// Plays the day and reports. Without `--exit` it stays until `told`, the process's being told to stop. Ends with a
/// graceful stop.
///
/// # Errors
/// If the product can't be started or fails, a call is refused, or an answer can't be read.
pub async fn run(args: &DemoArgs, told: impl Future<Output = ()>) -> anyhow::Result<Verdict> {
    tls::install();
    let place = Place::choose(args.data_dir.as_deref())?;
    tokio::pin!(told);
    let config = configuration(args, &place)?;
    let topics = OwnTopics::of(&config, &place);
    let running = app::start(config).await?;
    let receiver = Receiver::start()?;
    let mut verdict = tokio::select! {
        verdict = play(args, &running, &receiver) => verdict.map(Some),
        reason = running.failed() => Err(failed(&reason)),
        () = &mut told => Ok(None),
    };
    if !args.exit && matches!(verdict, Ok(Some(_))) {
        println!("\nStays up until Ctrl-C.");
        tokio::select! {
            () = &mut told => {}
            reason = running.failed() => verdict = Err(failed(&reason)),
        }
    }
    // The receiver outlives the product: what is still on its way arrives.
    let stopped = tokio::time::timeout(STOP_WITHIN, running.stop()).await;
    receiver.stop().await;
    topics.delete().await;
    let verdict = verdict?;
    stopped.context("the product took too long to stop")?.context("the product did not stop cleanly")?;
    Ok(verdict.unwrap_or_else(|| {
        println!("Told to stop before the day was over.");
        Verdict::Differed
    }))
}

fn failed(reason: &str) -> anyhow::Error {
    anyhow!("a part of the product has failed: {reason}")
}

/// Where the data goes; a temporary directory goes away with it.
enum Place {
    Given(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn choose(given: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = given else {
            let directory = tempfile::Builder::new().prefix("tributary-demo-").tempdir();
            return Ok(Self::Temporary(directory.context("no temporary directory can be made")?));
        };
        match std::fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
            Ok(true) => bail!(
                "{0} is not empty. The demo counts what one day makes of an empty product, so it neither adds to \
                 data nor removes any. Name another directory, or leave --data-dir out; \
                 `tributary serve --data-dir {0}` serves what an earlier demo left there",
                path.display()
            ),
            Ok(false) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                return Err(error)
                    .with_context(|| format!("{} can't be used as data directory", path.display()));
            }
        }
        Ok(Self::Given(path.to_path_buf()))
    }

    fn path(&self) -> &Path {
        match self {
            Self::Given(path) => path,
            Self::Temporary(directory) => directory.path(),
        }
    }
}

/// Flags decide what they name and the demo decides the rest of the addresses; everything else may be set as for
/// `serve`.
fn configuration(args: &DemoArgs, place: &Place) -> anyhow::Result<Config> {
    let address = |given: Option<SocketAddr>| {
        Some(given.map_or_else(|| "127.0.0.1:0".to_owned(), |address| address.to_string()))
    };
    let serve = ServeArgs {
        config: None,
        data_dir: Some(place.path().to_path_buf()),
        http: address(args.http),
        api: address(args.api),
        grpc: address(None),
        event_log: args.log.clone(),
        kafka_brokers: args.kafka_brokers.clone(),
        allow_private_destinations: true,
    };
    let mut config = Config::load(&serve, &Environment::of_process())?;
    // Never the topics of an earlier demo, nor those of a product that is in use.
    config.kafka.topic_prefix = format!("{}-demo-{:08x}", config.kafka.topic_prefix, rand::random::<u32>());
    Ok(config)
}

/// The topics of a demo in a temporary directory, which go away with it. Those of a directory that was given stay,
/// because what stays there points into them.
struct OwnTopics(Option<(KafkaOptions, Vec<String>)>);

impl OwnTopics {
    fn of(config: &Config, place: &Place) -> Self {
        let is_own = config.event_log == EventLogKind::Kafka
            && config.kafka.create_topics
            && matches!(place, Place::Temporary(_));
        Self(is_own.then(|| {
            let names = ["events", "activations"].map(|log| config.kafka.topic_name(log));
            (config.kafka.events(&config.ingest, &config.log, Duration::ZERO), names.to_vec())
        }))
    }

    /// Deletes them, as far as that may be done.
    async fn delete(self) {
        let Some((options, names)) = self.0 else { return };
        let delete = move || {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            BrokerTopics::new(&options).map_err(|error| error.to_string())?.delete(&names)
        };
        match tokio::task::spawn_blocking(delete).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(error, "the demo's topics could not be deleted"),
            Err(error) => tracing::warn!(%error, "the demo's topics could not be deleted"),
        }
    }
}

async fn play(args: &DemoArgs, running: &Running, receiver: &Receiver) -> anyhow::Result<Verdict> {
    let first =
        running.first_start.as_ref().context("the directory was taken by another product meanwhile")?;
    let client = client()?;
    let api = Api::new(client.clone(), running.api, first.admin_token.clone());
    let observer = Observer::new(client.clone(), running.api);
    observer.ready(READY_WITHIN).await?;
    api.create_webhook(&receiver.url(), receiver.secret()).await?;
    audiences::create(&api, READY_WITHIN).await?;

    // The day that ends now: an event can't have happened after it arrives.
    let day_start = SystemClock.now().plus_micros(-DAY_MICROS).as_millis();
    let mut day = Day::new(tributary_sample::Config {
        seed: args.seed,
        people: args.people,
        events: args.events,
        day_start: jiff::Timestamp::from_millisecond(day_start)?,
    });
    let sender = Sender::new(client, running.http, first.write_key.clone());
    println!("A shop's day (seed {}): {} people", args.seed, args.people);
    let posted = sender.post_day(&mut day, args.events).await?;
    let want = day.expectation();

    let observed = observer.settle(want, receiver, QUIET_FOR).await?;
    let user_id = want.example.user_id().context("the day has no example")?;
    let profile = api.profile(user_id).await?;
    let report = Report { want, observed, profile, posted };
    print!("{report}");
    let scene = scene::play(&sender, receiver).await?;
    let audiences = Audiences::settle(&api, receiver, want, QUIET_FOR).await?;
    print!("{audiences}{}", report.addresses(running.http, running.api, first));
    let mut differences = report.differences();
    differences.extend(audiences.differences());
    differences.extend((!scene.is_as_expected()).then_some("three people"));
    if differences.is_empty() {
        return Ok(Verdict::Agreed);
    }
    println!("\nNot as expected: {}.", differences.join(", "));
    Ok(Verdict::Differed)
}

/// The demo calls itself only: by address, without proxies, and never waits for ever.
fn client() -> anyhow::Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    builder.timeout(REQUEST_WITHIN).build().context("no HTTP client can be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("missing");
        assert!(Place::choose(Some(&missing)).is_ok());
        assert!(Place::choose(Some(directory.path())).is_ok());
        std::fs::write(directory.path().join("lock"), "").expect("written");
        let refused = Place::choose(Some(directory.path())).err().expect("not empty");
        assert!(refused.to_string().contains("is not empty"), "{refused}");
    }
}
