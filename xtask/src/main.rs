//! The project's own checks and chores, run as `cargo xtask <command>`.
//!
//! `ci` is what CI runs, so that a clean run at the desk is a clean run everywhere. Each check is a command of
//! its own too. Nothing here is part of the product.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod arrows;
mod ci;
mod components;
mod compose;
mod crash;
mod deny;
mod docs;
mod kafka;
mod project;
mod sources;

use project::Project;

/// The project's own checks and chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Every check, in order; stops at the first that fails
    Ci {
        /// Also play the demo, drive the server with published SDKs and a Python client of gRPC, and test with a real
        /// Kafka, a PostgreSQL and an S3 server (needs package registries)
        #[arg(long)]
        full: bool,
        /// Leave out `cargo test --workspace`, for callers that have just run it
        #[arg(long)]
        skip_tests: bool,
    },
    /// `cargo test --workspace`
    Test,
    /// Formatting
    Fmt,
    /// Lints, warnings being errors
    Clippy,
    /// The allowed dependencies between the project's crates, and what the pure ones may not reach
    Arrows,
    /// The size and shape of source files
    Sources,
    /// Rustdoc without warnings; what the pages under docs/ say against what is there
    Docs {
        /// Instead, write the pages that are made of other files: docs/destinations/
        #[arg(long)]
        write: bool,
    },
    /// Licenses, duplicates and origins of dependencies
    Deny,
    /// Known vulnerabilities of dependencies, where the advisory database can be fetched
    Advisories,
    /// The demo in a release build, judged by its exit status
    Demo,
    /// Published SDKs against a release build
    Sdk,
    /// A Python client, generated from the proto, against a release build
    Grpc,
    /// A real Apache Kafka on this machine, for tests
    Kafka(kafka::Arguments),
    /// The tests about Kafka, and the demo, with a real broker
    KafkaTests,
    /// Brokers stopped, paused and gone under load, with three real ones
    KafkaFaults {
        /// For how many seconds all brokers are away; they stand still for half of that
        #[arg(long, default_value_t = ci::FAULT_SECONDS)]
        seconds: u64,
    },
    /// The tests of destinations with a real PostgreSQL and an S3 server
    Destinations,
    /// The files of `docker compose`: the client's own check where it is at hand, and the versions in them
    Compose,
    /// The server killed again and again under load, then compared with a slow projection of its log
    Crash(crash::Arguments),
    /// That a release build has no fail points
    FailPoints,
    /// Rewrites golden files; read the difference before committing it
    Golden,
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let project = Project::find()?;
    match command {
        Command::Ci { full, skip_tests } => ci::run(&project, ci::steps(full, skip_tests)),
        Command::Test => ci::test(&project),
        Command::Fmt => ci::fmt(&project),
        Command::Clippy => ci::clippy(&project),
        Command::Arrows => arrows::check(&project),
        Command::Sources => sources::check(&project),
        Command::Docs { write: false } => docs::check(&project),
        Command::Docs { write: true } => docs::write(&project),
        Command::Deny => deny::check(&project),
        Command::Advisories => deny::advisories(&project),
        Command::Demo => ci::demo(&project),
        Command::Sdk => ci::sdk(&project),
        Command::Grpc => ci::grpc(&project),
        Command::Kafka(arguments) => kafka::run(&project, arguments),
        Command::KafkaTests => ci::kafka_tests(&project),
        Command::KafkaFaults { seconds } => ci::kafka_faults(&project, seconds),
        Command::Destinations => components::test(&project),
        Command::Compose => compose::check(&project),
        Command::Crash(arguments) => crash::run(&project, &arguments),
        Command::FailPoints => crash::fail_points(&project),
        Command::Golden => ci::golden(&project),
    }
}
