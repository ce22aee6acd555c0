//! How many deliveries a second one destination is sent, and what one costs: events are projected while it is off, then it is
//! switched on.

use super::poster::Poster;
use super::sink::Sink;
use crate::load::control::Control;
use crate::load::process::Process;
use crate::load::server::TargetArgs;
use anyhow::{Context, ensure};
use std::time::{Duration, Instant};

/// Events in a posted batch.
const BATCH: u64 = 500;

/// People that the events are of.
const PEOPLE: u64 = 20_000;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct ThroughputArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many events are delivered
    #[arg(long, default_value_t = 200_000)]
    events: u64,
    /// How many events share a request
    #[arg(long, default_value_t = 500)]
    events_per_request: u32,
}

/// Measures it, and prints it.
///
/// # Errors
/// If the server can't be driven.
pub(crate) fn command(args: &ThroughputArgs) -> anyhow::Result<()> {
    let driven = args.target.open()?;
    let pid = driven.target.pid.context("--pid is missing: the CPU time is that of a process")?;
    let sink = Sink::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut control = Control::new(driven.target.api, &driven.target.token);
        control.ready(Duration::from_secs(300)).await?;
        let id = control.create_webhook(&sink.url("events"), args.events_per_request).await?;
        control.switch(&id, false).await?;
        let mut poster = Poster::new(&driven.target);
        for _ in 0..args.events.div_ceil(BATCH) {
            poster.post(BATCH, PEOPLE).await?;
        }
        let events = args.events.div_ceil(BATCH) * BATCH;
        let before = crate::load::control::Figures::default();
        let settled = control.settle(&before, None).await?;
        ensure!(settled.done, "the projector did not read all events");
        let process = Process::of(pid);
        let (cpu, began) = (process.sample()?, Instant::now());
        control.switch(&id, true).await?;
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        while sink.events() < events {
            tick.tick().await;
            ensure!(began.elapsed() < Duration::from_secs(600), "only {} of {events} came", sink.events());
        }
        let took = began.elapsed();
        let used = process.sample()?.cpu_since(&cpu).per_event(events);
        println!(
            "{events} deliveries, {} in a request: {:.0}/s, {:.1} µs of CPU each in the server",
            args.events_per_request,
            events as f64 / took.as_secs_f64(),
            used.micros
        );
        Ok(())
    })?;
    driven.stop()
}
