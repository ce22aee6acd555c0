//! Sends a load: at a rate that does not care how fast answers come, or flat out.
//!
//! At a rate, requests are due at fixed moments, and each is sent by whichever connection is free then. A late answer
//! holds up nothing but its connection, and times count from when a request was due: an overloaded server can't
//! make its own figures look good by answering slowly. The runtime's timer has steps of a millisecond, so requests
//! of one millisecond leave together; how late they left is told apart. Flat out, every connection sends its next
//! request as soon as the last was answered.

mod grpc;
mod http;
mod pace;
mod stream;

use super::server::Target;
use super::tally::{Tally, Window};
use crate::events::Events;
use crate::population::Population;
use anyhow::{Context, bail, ensure};
pub(crate) use http::Composer;
use pace::Pace;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use tributary_model::clock::{Clock, SystemClock};

/// How long requests that are due may still be sent after the end, if the server is behind.
const OVERTIME: Duration = Duration::from_secs(5);
/// How long a connection waits after a request that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// What is sent, and how.
#[derive(Debug, Clone, PartialEq, clap::Args)]
pub(crate) struct LoadArgs {
    /// Events in a second, or `max` for as many as are answered
    #[arg(long, value_name = "NUMBER|max", default_value = "max")]
    pub(crate) rate: Rate,
    /// Events in a request; 1 sends each to the path of its own call
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// Connections, each with one request at a time (grpc-stream: with many events)
    #[arg(long, value_name = "NUMBER", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
    /// How it is sent
    #[arg(long, value_enum, default_value_t = Protocol::Http)]
    pub(crate) protocol: Protocol,
    /// Compress bodies
    #[arg(long)]
    pub(crate) gzip: bool,
    /// For how long it is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    pub(crate) seconds: u64,
    /// For how long it runs before that
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub(crate) warm_up_seconds: u64,
    /// How many people there are [default: those of the data directory's stamp, else 200000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) people: Option<u64>,
    /// Who they are, and what they do [default: that of the data directory's stamp, else 1]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,
}

/// How it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// The tracking API
    Http,
    /// `Send` over gRPC
    Grpc,
    /// `Stream` over gRPC: one event a message
    GrpcStream,
}

/// How fast it is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Rate {
    /// As fast as answers come.
    Max,
    /// So many events in a second.
    PerSecond(f64),
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.parse::<f64>() {
            Ok(rate) if rate > 0.0 && rate <= 1e7 => Ok(Self::PerSecond(rate)),
            _ => Err("give a number of events in a second above 0, or max".to_owned()),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Max => out.write_str("max"),
            Self::PerSecond(rate) => write!(out, "{rate}"),
        }
    }
}

impl Protocol {
    /// The name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
            Self::GrpcStream => "grpc-stream",
        }
    }
}

/// What the workers of a load share.
#[derive(Debug)]
pub(crate) struct Load {
    target: Target,
    args: LoadArgs,
    window: Window,
    pace: Pace,
    population: Population,
    seed: u64,
    /// Sets this run's message ids apart from those of others.
    salt: u32,
}

impl Load {
    /// A load that begins with `window`.
    pub(crate) fn new(
        target: &Target,
        args: &LoadArgs,
        window: Window,
        population: Population,
        seed: u64,
    ) -> Self {
        let in_request = if args.protocol == Protocol::GrpcStream { 1 } else { args.batch };
        Self {
            target: target.clone(),
            args: args.clone(),
            window,
            pace: Pace::new(&window, args.rate, in_request),
            population,
            seed,
            salt: new_salt(),
        }
    }

    /// Sends it all, on a thread of its own, and counts.
    ///
    /// # Errors
    /// If a connection can't be made at the start.
    pub(crate) fn run(self) -> anyhow::Result<Tally> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(self.send())
    }

    async fn send(self) -> anyhow::Result<Tally> {
        ensure!(
            self.args.protocol == Protocol::Http || self.target.grpc.is_some(),
            "the server's gRPC address is not known: give it with --grpc"
        );
        if self.args.gzip && self.args.protocol == Protocol::GrpcStream {
            bail!("a stream is not compressed; leave --gzip out");
        }
        let load = Arc::new(self);
        let mut workers = Vec::new();
        for worker in 0..load.args.connections {
            workers.push(tokio::spawn(Self::work(Arc::clone(&load), worker)));
        }
        let mut all = Tally::default();
        for worker in workers {
            all.add(&worker.await.context("a connection's task panicked")??);
        }
        all.unsent = load.pace.left();
        Ok(all)
    }

    async fn work(self: Arc<Self>, worker: u16) -> anyhow::Result<Tally> {
        match self.args.protocol {
            Protocol::Http => Ok(http::Worker::new(&self, worker).run(&self).await),
            Protocol::Grpc => Ok(grpc::Worker::connect(&self, worker).await?.run(&self).await),
            Protocol::GrpcStream => stream::Worker::connect(&self, worker).await?.run(&self).await,
        }
    }

    fn events(&self, worker: u16) -> Events {
        Events::new(self.population, self.seed, self.salt, worker)
    }
}

/// A number that differs from run to run.
pub(crate) fn new_salt() -> u32 {
    let micros = SystemClock.now().as_micros().unsigned_abs();
    u32::try_from(crate::population::mix(micros) >> 32).expect("half of the bits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read() {
        let cases = [
            ("max", Some(Rate::Max)),
            ("5000", Some(Rate::PerSecond(5_000.0))),
            ("0.5", Some(Rate::PerSecond(0.5))),
            ("0", None),
            ("-3", None),
            ("NaN", None),
            ("fast", None),
        ];
        for (text, want) in cases {
            assert_eq!(text.parse::<Rate>().ok(), want, "{text}");
        }
        assert_eq!(Rate::PerSecond(5_000.0).to_string(), "5000");
    }
}
