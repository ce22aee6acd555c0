//! The commands of the binary.

pub mod demo;
mod export;
mod identity;
mod progress;
mod running;
mod serve;
mod snapshot;
mod traits;

use crate::config::{Config, Environment, ServeArgs};
use crate::telemetry;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Tributary, a customer data platform in one binary. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "tributary", version, about, args_conflicts_with_subcommands = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the product (the default)
    Serve(ServeArgs),
    /// Start everything in a temporary directory, play a shop's day through it, show what happened
    Demo(demo::DemoArgs),
    /// Print the checked configuration, or what is wrong with it
    CheckConfig(ServeArgs),
    /// Take a snapshot of all profiles: of a running server, or of a stopped data directory
    Snapshot(snapshot::SnapshotArgs),
    /// Put a snapshot in the place of all profiles; the server must be stopped
    Restore(snapshot::RestoreArgs),
    /// Try changed identity rules, rebuild profiles, measure identity resolution
    Identity(identity::IdentityArgs),
    /// Bring traits that were computed elsewhere to the people of a running server
    Traits(traits::TraitsArgs),
    /// Get the people of a running server as a file
    Profiles(export::ProfilesArgs),
}

/// Does what the arguments say. The exit code is the command's.
///
/// # Errors
/// If it can't be done; the text says what was wrong and what to do.
pub fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(args) => {
            telemetry::start_logging(environment.log_directives().unwrap_or("info"));
            let config = Config::load(&args, &environment)?;
            runtime()?.block_on(serve::run(config))
        }
        Command::Demo(args) => {
            // The demo speaks for itself; only what goes wrong is worth a line beside it.
            telemetry::start_logging(environment.log_directives().unwrap_or("warn"));
            let verdict =
                runtime()?.block_on(async { demo::run(&args, serve::told_to_stop()?.wait()).await })?;
            Ok(match verdict {
                demo::Verdict::Agreed => ExitCode::SUCCESS,
                demo::Verdict::Differed => ExitCode::FAILURE,
            })
        }
        Command::CheckConfig(args) => {
            let config = Config::load(&args, &environment)?;
            for notice in &config.notices {
                eprintln!("notice: {notice}");
            }
            print!("{}", config.to_toml());
            Ok(ExitCode::SUCCESS)
        }
        Command::Snapshot(args) => runtime()?.block_on(snapshot::take(args, &environment)),
        Command::Restore(args) => snapshot::restore(&args, &environment),
        Command::Identity(args) => identity::run(args, &environment),
        Command::Traits(args) => traits::run(args, &environment),
        Command::Profiles(args) => export::run(args, &environment),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}
