//! The project's own checks and chores, run as `cargo xtask <command>`.
//!
//! `ci` is what CI runs, so that a clean run at the desk is a clean run everywhere. Each check is a command of
//! its own too. Nothing here is part of the product.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

mod arrows;
mod ci;
mod deny;
mod docs;
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
        /// Also play the demo and drive the server with published SDKs (needs a package registry)
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
    Docs,
    /// Licenses, duplicates and origins of dependencies
    Deny,
    /// Known vulnerabilities of dependencies, where the advisory database can be fetched
    Advisories,
    /// The demo in a release build, judged by its exit status
    Demo,
    /// Published SDKs against a release build
    Sdk,
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
        Command::Docs => docs::check(&project),
        Command::Deny => deny::check(&project),
        Command::Advisories => deny::advisories(&project),
        Command::Demo => ci::demo(&project),
        Command::Sdk => ci::sdk(&project),
        Command::Golden => ci::golden(&project),
    }
}
