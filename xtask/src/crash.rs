//! The crash proof with as many kills as wanted, and that no release build can be crashed that way.

use crate::kafka::BROKERS_VARIABLE;
use crate::project::{Project, run as run_command};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;

/// How many kills CI asks for, on each log.
const KILLS: usize = 20;

/// What is killed, and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// How often the server is killed, on each log
    #[arg(long, default_value_t = KILLS)]
    kills: usize,
    /// Decides about the load and the kills; a run that fails prints its own
    #[arg(long)]
    seed: Option<u64>,
    /// The log to kill the server on
    #[arg(long, value_enum, default_value_t = Log::Both)]
    log: Log,
    /// Brokers for Kafka [default: TRIBUTARY_TEST_KAFKA_BROKERS, else a mock cluster, which bears ten kills]
    #[arg(long, value_name = "HOST:PORT,…")]
    brokers: Option<String>,
}

/// Which log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Log {
    /// Segment files in the data directory
    Embedded,
    /// Topics of Kafka
    Kafka,
    /// One after the other
    Both,
}

impl Arguments {
    /// What CI asks for, with these brokers.
    pub(crate) fn of_ci(brokers: String) -> Self {
        Self { kills: KILLS, seed: None, log: Log::Both, brokers: Some(brokers) }
    }
}

/// Runs the crash tests.
pub(crate) fn run(project: &Project, arguments: &Arguments) -> Result<()> {
    let tests = match arguments.log {
        Log::Embedded => "crash::on_the_embedded_log",
        Log::Kafka => "crash::on_kafka",
        Log::Both => "crash::on_",
    };
    let mut command = project.command("cargo");
    // All packages are named, so that nothing is built with other features than by `cargo test`. One test at a time:
    // each wants the machine for itself.
    command.args(["test", "--workspace", "--locked", "--test", "main", "--", "--test-threads", "1", tests]);
    command.env("TRIBUTARY_CRASH_KILLS", arguments.kills.to_string());
    if let Some(seed) = arguments.seed {
        command.env("TRIBUTARY_CRASH_SEED", seed.to_string());
    }
    if let Some(brokers) = &arguments.brokers {
        command.env(BROKERS_VARIABLE, brokers);
    }
    run_command(&mut command)
}

/// Checks that a release build of the server has no fail points: tests alone turn them on.
pub(crate) fn fail_points(project: &Project) -> Result<()> {
    let output = project
        .command("cargo")
        .args(["tree", "--locked", "--package", "tributary-server", "--edges", "normal,build,features"])
        .args(["--invert", "fail"])
        .output()
        .context("cargo could not be started")?;
    if !output.status.success() {
        bail!("cargo tree failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let tree = String::from_utf8_lossy(&output.stdout);
    if tree.contains("feature \"failpoints\"") {
        bail!("the feature `failpoints` of the crate `fail` is on outside of tests:\n{tree}");
    }
    Ok(())
}
