//! `load idle`: what a server takes that has nothing to do.

use super::process::{CpuTime, Process};
use super::report::save;
use super::server::TargetArgs;
use anyhow::Context;
use serde::Serialize;
use std::path::PathBuf;
use std::time::Duration;

/// The flags of `load idle`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IdleArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// How long after the start it is looked at
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    seconds: u64,
    /// Save the figures as a JSON document
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Idle {
    seconds: u64,
    rss_bytes: u64,
    peak_bytes: u64,
    written_bytes: u64,
    cpu: CpuTime,
}

/// Runs the command.
///
/// # Errors
/// If the server can't be started or looked at.
pub(crate) fn command(args: &IdleArgs) -> anyhow::Result<()> {
    let driven = args.target.open()?;
    let pid = driven.target.pid.context("--pid is missing: the server's process id")?;
    let process = Process::of(pid);
    let before = process.sample()?;
    std::thread::sleep(Duration::from_secs(args.seconds));
    let after = process.sample()?;
    driven.stop()?;
    let idle = Idle {
        seconds: args.seconds,
        rss_bytes: after.rss_bytes,
        peak_bytes: after.peak_bytes,
        written_bytes: after.written_bytes,
        cpu: after.cpu_since(&before),
    };
    println!(
        "after {} s: {:.0} MB in memory ({:.0} at most), {:.1} ms of CPU a second, {:.1} MB written",
        idle.seconds,
        idle.rss_bytes as f64 / 1e6,
        idle.peak_bytes as f64 / 1e6,
        idle.cpu.micros / 1e3 / idle.seconds.max(1) as f64,
        idle.written_bytes as f64 / 1e6,
    );
    args.out.as_deref().map_or(Ok(()), |path| save(&idle, path))
}
