//! `tributary identity`: tries and rebuilds identity rules on a running server, and measures the default ones.

mod preview;
mod report;
mod scorecard;

use super::running::RunningServer;
use crate::admin::identity::Rebuilt;
use crate::config::{Environment, ServeArgs};
use crate::telemetry;
use anyhow::Context;
use clap::Subcommand;
use indicatif::HumanCount;
use reqwest::{Method, StatusCode};
use std::process::ExitCode;

/// The flags of `tributary identity`.
#[derive(Debug, clap::Args)]
pub(super) struct IdentityArgs {
    #[command(subcommand)]
    command: IdentityCommand,
}

#[derive(Debug, Subcommand)]
enum IdentityCommand {
    /// Show what changed identity rules would make of the log of a running server; nothing is changed
    Preview(preview::PreviewArgs),
    /// Make the profiles of a running server again, under the rules in force, from every link that was ever offered
    Rebuild(RebuildArgs),
    /// Measure identity resolution on made-up people whose truth is known
    Scorecard(scorecard::ScorecardArgs),
}

/// The flags of `tributary identity rebuild`.
#[derive(Debug, clap::Args)]
struct RebuildArgs {
    #[command(flatten)]
    serve: ServeArgs,
    /// A token with admin:write [environment: TRIBUTARY_ADMIN_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
}

/// Does what the arguments say.
pub(super) fn run(args: IdentityArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(environment.log_directives().unwrap_or("warn"));
    match args.command {
        IdentityCommand::Preview(args) => super::runtime()?.block_on(preview::run(args, environment)),
        IdentityCommand::Rebuild(args) => super::runtime()?.block_on(rebuild(args, environment)),
        IdentityCommand::Scorecard(args) => scorecard::run(&args),
    }
}

async fn rebuild(args: RebuildArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let server = RunningServer::configured(&args.serve, environment, args.token)?;
    let (status, body) = server.call(Method::POST, "/identity-rules/rebuild", None).await?;
    if status == StatusCode::ACCEPTED {
        println!(
            "The rebuild goes on and will come into force, also after a restart. It is done once the metric \
             tributary_projector_lag_records is back where it was."
        );
        return Ok(ExitCode::SUCCESS);
    }
    let done: Rebuilt = serde_json::from_value(body).context("the server's answer is of another form")?;
    println!(
        "Rebuilt: {} profiles before, {} now; {} hold what was on several, {} were split.",
        HumanCount(done.profiles_before),
        HumanCount(done.profiles_after),
        HumanCount(done.merges),
        HumanCount(done.splits)
    );
    Ok(ExitCode::SUCCESS)
}
