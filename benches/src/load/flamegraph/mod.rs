//! `load flamegraph`: where a process spends its time, sampled by `perf` and drawn as an SVG.
//!
//! Stacks are walked by frame pointers, so the binary has to be built with them:
//! `RUSTFLAGS=-Cforce-frame-pointers=yes cargo build --release`.

mod stacks;
mod svg;

use anyhow::{Context, ensure};
use stacks::Stacks;
use std::io::BufReader;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The flags of `load flamegraph`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct FlamegraphArgs {
    /// The process
    #[arg(long, value_name = "PID")]
    pid: u32,
    /// For how long it is sampled
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    seconds: u32,
    /// Samples in a second, on each core
    #[arg(long, value_name = "NUMBER", default_value_t = 997)]
    frequency: u32,
    /// How stacks are walked: fp, or dwarf for a binary without frame pointers (slow, large)
    #[arg(long, value_name = "HOW", default_value = "fp")]
    call_graph: String,
    /// What the picture is called
    #[arg(long, value_name = "TEXT", default_value = "CPU time by thread and function")]
    title: String,
    /// The SVG file
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// If `perf` is not there or not allowed, or sampled nothing.
pub(crate) fn command(args: &FlamegraphArgs) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    let data = directory.path().join("perf.data");
    let recorded = Command::new("perf")
        .args(["record", "--quiet", "--freq", &args.frequency.to_string()])
        .args(["--call-graph", &args.call_graph, "--pid", &args.pid.to_string(), "--output"])
        .arg(&data)
        .args(["--", "sleep", &args.seconds.to_string()])
        .status()
        .context("perf can't be started; it is in the package linux-perf or linux-tools")?;
    ensure!(recorded.success(), "perf could not record process {}: {recorded}", args.pid);

    let mut script = Command::new("perf")
        .args(["script", "--fields", "comm,ip,sym", "--input"])
        .arg(&data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("perf can't be started")?;
    let output = script.stdout.take().context("perf's output is not to be read")?;
    let stacks = Stacks::read(BufReader::new(output))?;
    let status = script.wait()?;
    ensure!(status.success(), "perf could not read its own recording: {status}");
    ensure!(stacks.samples() > 0, "process {} did nothing that could be sampled", args.pid);

    if let Some(folder) = args.out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{} can't be made", folder.display()))?;
    }
    let picture = svg::draw(&stacks, &args.title);
    std::fs::write(&args.out, picture).with_context(|| format!("{} can't be written", args.out.display()))?;
    println!("{} samples: {}", stacks.samples(), args.out.display());
    Ok(())
}
