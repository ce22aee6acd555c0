//! The commands of the bench binary.

use crate::audiences::events::EventsArgs;
use crate::audiences::preview::{self, PreviewArgs};
use crate::audiences::timers::TimersArgs;
use crate::audiences::{events, timers};
use crate::deliveries::isolation::{self, IsolationArgs};
use crate::deliveries::throughput::{self, ThroughputArgs};
use crate::identity::{self, IdentityArgs};
use crate::load::flamegraph::FlamegraphArgs;
use crate::load::idle::IdleArgs;
use crate::load::pair::PairArgs;
use crate::load::prepare::PrepareArgs;
use crate::load::run::RunArgs;
use crate::load::start_time::StartTimeArgs;
use crate::load::{flamegraph, idle, pair, prepare, run as load_run, start_time};
use clap::{Parser, Subcommand};

/// Measures Tributary.
#[derive(Debug, Parser)]
#[command(name = "tributary-bench", version, about)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Drives a server with seeded people, and says what that cost
    Load {
        #[command(subcommand)]
        command: LoadCommand,
    },
    /// Measure resolution at a million and ten million identifiers: links/s, events/s, bytes for each
    Identity(IdentityArgs),
    /// Measure previews of audiences over a million profiles, and reads of profiles meanwhile
    Preview(PreviewArgs),
    /// Measure what audiences cost: events that they are about, and timers
    Audiences {
        #[command(subcommand)]
        command: AudiencesCommand,
    },
    /// Measure deliveries: how many, what they cost, and what broken destinations cost the others
    Deliveries {
        #[command(subcommand)]
        command: DeliveriesCommand,
    },
}

#[derive(Debug, Subcommand)]
enum DeliveriesCommand {
    /// Measure how many deliveries a second one destination is sent, in batches
    Throughput(Box<ThroughputArgs>),
    /// Measure what a dead and a slow destination cost 198 healthy ones, by turns
    Isolation(Box<IsolationArgs>),
}

#[derive(Debug, Subcommand)]
enum AudiencesCommand {
    /// Measure what an event costs with none, 10 and 200 audiences, by turns
    Events(EventsArgs),
    /// Measure how many timers are taken a second, alone and with exits, with ten million pending
    Timers(TimersArgs),
}

#[derive(Debug, Subcommand)]
enum LoadCommand {
    /// Drive a server at a rate or flat out: events/s, latencies, CPU, memory, disk
    Run(Box<RunArgs>),
    /// Make a data directory in which everybody has a profile, for later runs
    Prepare(Box<PrepareArgs>),
    /// Alternate two builds or settings under the same load, and compare them
    Pair(Box<PairArgs>),
    /// Measure from the start of the process to the first accepted event, with a long log, after `kill -9`
    StartTime(Box<StartTimeArgs>),
    /// Measure an idle server some time after its start
    Idle(Box<IdleArgs>),
    /// Record where a process spends its time, as an SVG (needs `perf`)
    Flamegraph(Box<FlamegraphArgs>),
}

/// Does what the arguments say.
///
/// # Errors
/// If it can't be done; the text says what was wrong.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let command = match cli.command {
        Command::Load { command } => command,
        Command::Identity(args) => return identity::command(&args),
        Command::Preview(args) => return preview::command(&args),
        Command::Audiences { command: AudiencesCommand::Events(args) } => return events::command(&args),
        Command::Audiences { command: AudiencesCommand::Timers(args) } => return timers::command(&args),
        Command::Deliveries { command: DeliveriesCommand::Throughput(args) } => {
            return throughput::command(&args);
        }
        Command::Deliveries { command: DeliveriesCommand::Isolation(args) } => {
            return isolation::command(&args);
        }
    };
    match command {
        LoadCommand::Run(args) => load_run::command(&args),
        LoadCommand::Prepare(args) => prepare::command(&args),
        LoadCommand::Pair(args) => pair::command(&args),
        LoadCommand::StartTime(args) => start_time::command(&args),
        LoadCommand::Idle(args) => idle::command(&args),
        LoadCommand::Flamegraph(args) => flamegraph::command(&args),
    }
}
