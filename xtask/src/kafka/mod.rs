//! A real Apache Kafka for tests: `cargo xtask kafka up`.
//!
//! It is fetched from Maven Central once, runs on loopback in KRaft mode with one broker or three, each of them a
//! controller too, and needs Java and Maven. Everything lies in Cargo's target folder. Single brokers can be
//! stopped, killed, started, paused and resumed, which is what tests of faults do through this same command.
//! Nothing else in the project starts brokers. For production it is of no use: no settings are meant for it.

use crate::project::Project;
use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use rustix::process::Signal;

mod cluster;
mod fetch;
mod layout;
mod lock;
mod process;
mod settings;
mod wire;

pub(crate) use cluster::Cluster;
pub(crate) use fetch::version;

use cluster::{Condition, Found};

/// The variable by which tests are told of a real broker.
pub(crate) const BROKERS_VARIABLE: &str = "TRIBUTARY_TEST_KAFKA_BROKERS";
/// The variable by which tests are told how to stop and start brokers: a program and its first arguments, with
/// spaces between.
pub(crate) const CONTROL_VARIABLE: &str = "TRIBUTARY_TEST_KAFKA_CONTROL";

const PORT: u16 = 19_092;
/// Room for the ports above it, which are not those that the system gives to clients.
const PORT_MAX: i64 = 32_000;

/// Apache Kafka on this machine, for tests.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The port of the first broker, which names the cluster; others may be up on other ports, 20 away
    #[arg(
        long, global = true, default_value_t = PORT,
        value_parser = clap::value_parser!(u16).range(1024..=PORT_MAX)
    )]
    port: u16,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand, Debug, PartialEq)]
enum Action {
    /// Start brokers with no data, wait until they answer, print how tests find them
    Up {
        /// How many
        #[arg(long, value_enum, default_value_t = Size::One)]
        brokers: Size,
    },
    /// Stop all brokers and remove their data
    Down,
    /// How each broker is
    Status,
    /// Start brokers that were stopped or killed, and wait until they answer
    Start {
        #[arg(required = true)]
        numbers: Vec<u16>,
    },
    /// Stop brokers; their data stays
    Stop {
        #[arg(required = true)]
        numbers: Vec<u16>,
    },
    /// `kill -9` brokers; their data stays
    Kill {
        #[arg(required = true)]
        numbers: Vec<u16>,
    },
    /// Let brokers stand still (SIGSTOP)
    Pause {
        #[arg(required = true)]
        numbers: Vec<u16>,
    },
    /// Let brokers go on that stand still (SIGCONT)
    Resume {
        #[arg(required = true)]
        numbers: Vec<u16>,
    },
}

/// How many brokers a cluster has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Size {
    /// One, which is all that most tests need.
    #[value(name = "1")]
    One,
    /// Three, of which one may be away.
    #[value(name = "3")]
    Three,
}

impl Size {
    fn brokers(self) -> u16 {
        match self {
            Self::One => 1,
            Self::Three => 3,
        }
    }
}

/// Does what the arguments say.
pub(crate) fn run(project: &Project, Arguments { port, action }: Arguments) -> Result<()> {
    match action {
        Action::Up { brokers } => {
            let (cluster, found) = Cluster::up(project, port, brokers.brokers())?;
            match found {
                Found::Nothing => println!("Kafka {} is up", version()),
                Found::Up => println!("Kafka {} was up already", version()),
            }
            println!("{BROKERS_VARIABLE}={}", cluster.bootstrap());
            Ok(())
        }
        Action::Down => {
            let there = Cluster::down(project, port)?;
            println!("{}", if there { "Kafka is down, its data is gone" } else { "Kafka was not up" });
            Ok(())
        }
        Action::Status => status(&Cluster::open(project, port)?),
        Action::Start { numbers } => Cluster::open(project, port)?.start(&numbers),
        Action::Stop { numbers } => Cluster::open(project, port)?.stop(&numbers, Signal::TERM),
        Action::Kill { numbers } => Cluster::open(project, port)?.stop(&numbers, Signal::KILL),
        Action::Pause { numbers } => Cluster::open(project, port)?.signal(&numbers, Signal::STOP),
        Action::Resume { numbers } => Cluster::open(project, port)?.signal(&numbers, Signal::CONT),
    }
}

/// Puts a new cluster up on this port, does the work, and takes it down, whatever came of the work.
pub(crate) fn with_brokers(
    project: &Project,
    port: u16,
    size: Size,
    work: impl FnOnce(&Cluster<'_>) -> Result<()>,
) -> Result<()> {
    // Left by a run that was cut short.
    Cluster::down(project, port)?;
    let (cluster, _) = Cluster::up(project, port, size.brokers())?;
    let result = work(&cluster);
    if result.is_err() {
        cluster.show_logs();
    }
    match (result, Cluster::down(project, port)) {
        (result, Ok(_)) => result,
        (Ok(()), Err(why)) => Err(why),
        (Err(why), Err(also)) => Err(why.context(format!("and the brokers can't be taken down: {also:#}"))),
    }
}

/// How a program calls this command for the cluster on this port, for [`CONTROL_VARIABLE`].
pub(crate) fn control(port: u16) -> Result<String> {
    let program = std::env::current_exe()?.display().to_string();
    // The system says so when a newer build has taken this one's place, which does as well.
    let program = program.strip_suffix(" (deleted)").unwrap_or(&program);
    Ok(format!("{program} kafka --port {port}"))
}

fn status(cluster: &Cluster<'_>) -> Result<()> {
    for (number, address, condition) in cluster.conditions() {
        let shown = match condition {
            Condition::Answers(known) => format!("answers, knows {known}"),
            Condition::Silent => "runs, does not answer".into(),
            Condition::Paused => "paused".into(),
            Condition::Stopped => "stopped".into(),
        };
        println!("broker {number}  {address}  {shown}");
    }
    println!("{BROKERS_VARIABLE}={}", cluster.bootstrap());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Whole {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &str) -> Option<(u16, Action)> {
        let whole = Whole::try_parse_from(format!("kafka {words}").split_whitespace()).ok()?;
        Some((whole.arguments.port, whole.arguments.action))
    }

    #[test]
    fn arguments_are_read_or_refused() {
        let cases = [
            ("up", Some((19_092, Action::Up { brokers: Size::One }))),
            ("up --brokers 3 --port 20000", Some((20_000, Action::Up { brokers: Size::Three }))),
            ("--port 20000 stop 1 2 3", Some((20_000, Action::Stop { numbers: vec![1, 2, 3] }))),
            ("pause 2", Some((19_092, Action::Pause { numbers: vec![2] }))),
            ("up --brokers 2", None),
            ("up --port 40000", None),
            ("stop", None),
            ("stop one", None),
            ("", None),
        ];
        for (words, want) in cases {
            assert_eq!(parse(words), want, "{words}");
        }
    }
}
