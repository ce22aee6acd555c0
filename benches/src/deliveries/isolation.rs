//! What broken destinations cost the healthy ones: the same load on a server whose 200 destinations are all healthy, and on
//! one of which one is black-holed (no connection can be made), one gets an answer a second, and one never gets an answer, by
//! turns.

use super::poster::Poster;
use super::sink::{BlackHole, Sink};
use crate::load::control::Control;
use crate::load::latency::Summary;
use crate::load::process::Process;
use crate::load::server::TargetArgs;
use anyhow::{Context, ensure};
use std::time::Duration;

/// What is measured.
#[derive(Debug, clap::Args)]
pub(crate) struct IsolationArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How many destinations there are
    #[arg(long, default_value_t = 200)]
    destinations: u32,
    /// How many events are posted a second
    #[arg(long, default_value_t = 10)]
    rate: u64,
    /// For how many seconds
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many pairs of runs
    #[arg(long, default_value_t = 5)]
    pairs: u32,
}

/// What a run showed.
#[derive(Debug, Clone, Copy)]
struct Run {
    took: Summary,
    rss_bytes: u64,
}

/// Measures it, and prints both sides of each pair.
///
/// # Errors
/// If a server can't be driven.
pub(crate) fn command(args: &IsolationArgs) -> anyhow::Result<()> {
    let (mut p99, mut memory) = (Vec::new(), Vec::new());
    for pair in 1..=args.pairs {
        // The one that goes first changes, as machines warm up.
        let (healthy, broken) = if pair % 2 == 1 {
            let healthy = run(args, false)?;
            (healthy, run(args, true)?)
        } else {
            let broken = run(args, true)?;
            (run(args, false)?, broken)
        };
        let moved = broken.took.p99_ms / healthy.took.p99_ms - 1.0;
        let grown = (broken.rss_bytes as f64 - healthy.rss_bytes as f64) / 1e6;
        println!(
            "pair {pair}: all healthy: {}, {:.0} MB; three broken: {}, {:.0} MB; p99 moved by {:+.1} %, memory by {grown:+.1} MB",
            healthy.took,
            healthy.rss_bytes as f64 / 1e6,
            broken.took,
            broken.rss_bytes as f64 / 1e6,
            moved * 100.0
        );
        p99.push(moved * 100.0);
        memory.push(grown);
    }
    println!("median: p99 moved by {:+.1} %, memory by {:+.1} MB", median(&mut p99), median(&mut memory));
    Ok(())
}

fn run(args: &IsolationArgs, with_broken: bool) -> anyhow::Result<Run> {
    let driven = args.target.open()?;
    let pid = driven.target.pid.context("--pid is missing: the memory is that of a process")?;
    let sink = Sink::start()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let run = runtime.block_on(async {
        let mut control = Control::new(driven.target.api, &driven.target.token);
        control.ready(Duration::from_secs(300)).await?;
        let hole = BlackHole::open().await?;
        for number in 0..args.destinations {
            let url = match number {
                0 if with_broken => hole.url(),
                1 if with_broken => sink.url("slow"),
                2 if with_broken => sink.url("mute"),
                number => sink.url(&format!("healthy/{number}")),
            };
            control.create_webhook(&url, 1).await?;
        }
        let mut poster = Poster::new(&driven.target);
        let mut tick = tokio::time::interval(Duration::from_secs_f64(1.0 / args.rate as f64));
        // What is measured begins once connections and caches are there.
        for second in 0..args.seconds + 5 {
            for _ in 0..args.rate {
                tick.tick().await;
                poster.post(1, 1_000).await?;
            }
            if second == 4 {
                drop(sink.take());
            }
        }
        let healthy = u64::from(args.destinations) - if with_broken { 3 } else { 0 };
        let want = (args.seconds + 5) * args.rate * healthy;
        let mut wait = tokio::time::interval(Duration::from_millis(20));
        for _ in 0..3_000 {
            wait.tick().await;
            if sink.events() >= want {
                break;
            }
        }
        ensure!(sink.events() >= want, "{} of {want} deliveries came", sink.events());
        let took = sink.take().summary().context("nothing was measured")?;
        Ok(Run { took, rss_bytes: Process::of(pid).sample()?.rss_bytes })
    })?;
    driven.stop()?;
    Ok(run)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
