//! `load run`: one load on one server, and what it cost.

use super::control::{Control, Settled};
use super::directory::{Stamp, weigh};
use super::drive::{Load, LoadArgs};
use super::machine::{CpuUse, Machine};
use super::probe::{self, ProbeArgs, Probed};
use super::process::{Process, Sample};
use super::receiver::Receiver;
use super::report::{DiskFacts, LoadFacts, Report, Road, ServerFacts};
use super::server::{Target, TargetArgs};
use super::tally::{Tally, Window};
use crate::population::Population;
use anyhow::{Context, anyhow};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long a server may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(600);

/// The flags of `load run`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) target: TargetArgs,
    #[command(flatten)]
    pub(crate) measured: MeasureArgs,
    /// Save the figures as a JSON document
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct MeasureArgs {
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    #[command(flatten)]
    pub(crate) probes: ProbeArgs,
    /// Set up one webhook destination, on a receiver of the generator's own
    #[arg(long)]
    pub(crate) destination: bool,
    /// Most events in a request to the destination
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) events_per_request: u32,
    /// Take a snapshot of the state at the end: its size is the live size of the state
    #[arg(long)]
    pub(crate) snapshot: bool,
    /// For how long the server's last checkpoint is waited for once everything has gone its whole way
    #[arg(long, value_name = "SECONDS", default_value_t = 2)]
    pub(crate) linger_seconds: u64,
}

/// Runs the command.
///
/// # Errors
/// If the server can't be driven.
pub(crate) fn command(args: &RunArgs) -> anyhow::Result<()> {
    let driven = args.target.open()?;
    let whom = Stamp::settle(driven.stamp, args.measured.load.people, args.measured.load.seed)?;
    let report = measure(&driven.target, &args.measured, whom)?;
    driven.stop()?;
    print!("{report}");
    match &args.out {
        Some(path) => report.save(path),
        None => Ok(()),
    }
}

/// Everything that is looked at, at a moment.
struct Moment {
    server: Option<Sample>,
    generator: Sample,
    machine: CpuUse,
}

/// Runs one load on a server that is ready or about to be.
///
/// # Errors
/// If the server can't be driven, or ends.
pub(crate) fn measure(target: &Target, args: &MeasureArgs, whom: Stamp) -> anyhow::Result<Report> {
    let population = Population::new(whom.seed, whom.people);
    let waiting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut control = Control::new(target.api, &target.token);
    let receiver = args.destination.then(Receiver::start).transpose()?;
    let destination = waiting.block_on(prepare(&mut control, receiver.as_ref(), args.events_per_request))?;
    let before = waiting.block_on(control.figures(destination.as_deref()))?;
    let watch = Watch { server: target.pid.map(Process::of), generator: Process::of(std::process::id()) };
    if let Some(server) = &watch.server {
        server.forget_peak();
    }
    let kept_before = weight(target)?;
    let start = watch.look()?;

    let window =
        Window::begin(Duration::from_secs(args.load.warm_up_seconds), Duration::from_secs(args.load.seconds));
    let load = Load::new(target, &args.load, window, population, whom.seed);
    let load = spawn("load", move || load.run())?;
    let probes = {
        let (target, args) = (target.clone(), args.probes);
        spawn("probe", move || probe::run(&target, args, window, population))?
    };
    sleep_until(window.from);
    let from = watch.look()?;
    sleep_until(window.until);
    let until = watch.look()?;
    let at_end = waiting.block_on(control.figures(destination.as_deref()))?;
    let tally: Tally = join(load)?;
    let probed: Probed = join(probes)?;
    let settled = waiting.block_on(control.settle(&before, destination.as_deref()))?;
    // Time that counts for the road ends here; the last checkpoint's CPU is still to come.
    std::thread::sleep(Duration::from_secs(args.linger_seconds));
    let end = watch.look()?;
    if args.snapshot {
        waiting.block_on(control.take_snapshot())?;
    }

    Ok(Report {
        command: std::env::args().collect(),
        generator_version: env!("CARGO_PKG_VERSION").to_owned(),
        server_version: target.version.clone(),
        machine: Machine::look(target.data_dir.as_deref()),
        load: facts(args, whom),
        events_per_second: tally.accepted as f64 / window.length().as_secs_f64().max(1e-9),
        accepted: tally.accepted,
        event_bytes: tally.event_bytes,
        answers: tally.answers.clone(),
        unsent: tally.unsent,
        latency: tally.latency.summary(),
        lateness: tally.lateness.summary(),
        visible: probed.visible.summary(),
        reads: probed.reads.summary(),
        failed_probes: probed.missed + probed.failed_reads,
        road: road(&settled, at_end.lag, &window, receiver.as_ref()),
        server: server_facts(&[&start, &from, &until, &end], &tally, &probed, &kept_before, target)?,
        generator_cpu_per_event: until.generator.cpu_since(&from.generator).per_event(tally.accepted),
        machine_use: until.machine.since(&from.machine),
    })
}

/// Looks at the server, the generator and the machine.
struct Watch {
    server: Option<Process>,
    generator: Process,
}

impl Watch {
    fn look(&self) -> anyhow::Result<Moment> {
        let server = self.server.as_ref().map(Process::sample).transpose();
        Ok(Moment {
            server: server.context("the server's process can't be looked at")?,
            generator: self.generator.sample()?,
            machine: CpuUse::look(),
        })
    }
}

/// Waits until the server is ready, and sets the destination up; its id.
async fn prepare(
    control: &mut Control,
    receiver: Option<&Receiver>,
    events_per_request: u32,
) -> anyhow::Result<Option<String>> {
    control.ready(READY_WITHIN).await?;
    let Some(receiver) = receiver else { return Ok(None) };
    let id = control.create_webhook(&receiver.url(), events_per_request).await?;
    control.ready(READY_WITHIN).await?;
    Ok(Some(id))
}

fn road(settled: &Settled, lag_at_end: u64, window: &Window, receiver: Option<&Receiver>) -> Road {
    let Settled { at, figures, done } = settled;
    Road {
        settled: *done,
        lag_at_end,
        settle_seconds: at.saturating_duration_since(window.until).as_secs_f64(),
        events_per_second: figures.read as f64 / (*at - window.start).as_secs_f64().max(1e-9),
        projected: figures.projected,
        duplicates: figures.read - figures.projected,
        profiles: figures.profiles,
        delivered: figures.delivered,
        delivery_requests: receiver.map_or(0, Receiver::received),
    }
}

fn server_facts(
    moments: &[&Moment; 4],
    tally: &Tally,
    probed: &Probed,
    kept_before: &BTreeMap<String, u64>,
    target: &Target,
) -> anyhow::Result<Option<ServerFacts>> {
    let [start, from, until, end] = moments;
    let (Some(start), Some(from), Some(until), Some(end)) =
        (&start.server, &from.server, &until.server, &end.server)
    else {
        return Ok(None);
    };
    let directory = weight(target)?;
    let sum = |weights: &BTreeMap<String, u64>| weights.values().sum::<u64>() as i64;
    let kept_bytes = sum(&directory) - sum(kept_before);
    let written_bytes = end.written_bytes - start.written_bytes;
    // Disk is counted from the load's beginning, so the events of the warm-up count too.
    let mean_bytes = tally.event_bytes as f64 / tally.accepted.max(1) as f64;
    let event_bytes = (mean_bytes * tally.accepted_ever as f64).max(1.0);
    let events = tally.accepted + probed.accepted;
    Ok(Some(ServerFacts {
        cpu_per_event: end.cpu_since(from).per_event(events),
        cpu_per_event_under_load: until.cpu_since(from).per_event(events),
        rss_start_bytes: start.rss_bytes,
        rss_peak_bytes: end.peak_bytes,
        rss_end_bytes: end.rss_bytes,
        disk: DiskFacts {
            written_bytes,
            written_per_event_byte: written_bytes as f64 / event_bytes,
            kept_bytes,
            kept_per_event_byte: kept_bytes as f64 / event_bytes,
            directory,
        },
    }))
}

fn facts(args: &MeasureArgs, whom: Stamp) -> LoadFacts {
    let load = &args.load;
    LoadFacts {
        protocol: load.protocol.name().to_owned(),
        rate: load.rate.to_string(),
        batch: load.batch,
        connections: load.connections,
        gzip: load.gzip,
        seconds: load.seconds,
        warm_up_seconds: load.warm_up_seconds,
        people: whom.people,
        seed: whom.seed,
        destination: args.destination,
        events_per_request: args.events_per_request,
    }
}

fn weight(target: &Target) -> anyhow::Result<BTreeMap<String, u64>> {
    target.data_dir.as_deref().map_or_else(|| Ok(BTreeMap::new()), weigh)
}

/// A thread whose name shows in the generator's own figures.
fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<JoinHandle<T>> {
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
    thread.with_context(|| format!("thread {name} can't be started"))
}

fn join<T>(thread: JoinHandle<anyhow::Result<T>>) -> anyhow::Result<T> {
    thread.join().unwrap_or_else(|_| Err(anyhow!("a thread of the generator panicked")))
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}
