//! What identity costs, at the sizes that are asked for: links among new identifiers, events whose identifiers are known,
//! and the bytes that each identifier takes.
//!
//! Two graphs are measured, each size in a process of its own, so that no other one's memory is in the figures:
//!
//! - `memory`: resolution alone, on the graph in memory. Identifiers are read from events before the clock runs.
//! - `projector`: the product's own road behind the events log, on sled: parsing, resolution, folding, indexes,
//!   checkpoints. Its records are made up as they are read, on the projector's thread, which is part of its figures.

pub(crate) mod cost;
pub(crate) mod logs;
mod memory;
mod people;
mod projector;

use anyhow::{Context, bail};
use clap::ValueEnum;
use cost::{Cost, Measured};
use std::fmt;
use std::path::PathBuf;
use std::process::Command;

/// The flags of `identity`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct IdentityArgs {
    /// How many identifiers there are, three to a person; may be given several times
    #[arg(long, value_name = "NUMBER", default_values_t = [1_000_000_u64, 10_000_000], value_parser = clap::value_parser!(u64).range(600..))]
    identifiers: Vec<u64>,
    /// Which graph to measure; may be given several times
    #[arg(long, value_enum, default_values_t = [Graph::Memory, Graph::Projector])]
    graph: Vec<Graph>,
    /// How many events of known people are resolved for each figure
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    known: u64,
    /// Keep the projector's state below this directory meanwhile [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure in this process: one size on one graph
    #[arg(long, hide = true)]
    alone: bool,
}

/// A graph that can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Graph {
    /// Resolution alone, in memory
    Memory,
    /// The whole projector, on sled
    Projector,
}

impl Graph {
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Projector => "projector",
        }
    }
}

impl fmt::Display for Graph {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// Measures what the arguments say, and prints it.
///
/// # Errors
/// If something can't be measured, or its outcome is not what it has to be.
pub(crate) fn command(args: &IdentityArgs) -> anyhow::Result<()> {
    if args.alone {
        let [identifiers] = args.identifiers[..] else { bail!("one size at a time") };
        let [graph] = args.graph[..] else { bail!("one graph at a time") };
        let measured = match graph {
            Graph::Memory => memory::measure(identifiers, args.known)?,
            Graph::Projector => projector::measure(identifiers, args.known, args.scratch.as_deref())?,
        };
        println!("{}", serde_json::to_string(&measured)?);
        return Ok(());
    }
    let mut all = Vec::new();
    for graph in &args.graph {
        for identifiers in &args.identifiers {
            eprintln!("{graph} with {identifiers} identifiers …");
            all.push(in_a_process(*graph, *identifiers, args)?);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print!("{}", Table(&all));
    }
    Ok(())
}

fn in_a_process(graph: Graph, identifiers: u64, args: &IdentityArgs) -> anyhow::Result<Measured> {
    let mut command = Command::new(std::env::current_exe().context("this program can't be found")?);
    command.args(["identity", "--alone", "--graph", graph.name()]);
    command.args(["--identifiers", &identifiers.to_string(), "--known", &args.known.to_string()]);
    if let Some(scratch) = &args.scratch {
        command.arg("--scratch").arg(scratch);
    }
    let output = command.stderr(std::process::Stdio::inherit()).output().context("it can't be started")?;
    if !output.status.success() {
        bail!("measuring {graph} with {identifiers} identifiers failed ({})", output.status);
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The figures as a table that a page can take as it is.
struct Table<'a>(&'a [Measured]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "| graph | identifiers | new links/s (CPU each) | of the last tenth | known events/s, {} people (CPU each) \
             | known events/s, anybody (CPU each) | bytes an identifier in memory | on disk |",
            people::FAMILIAR
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|---|")?;
        for measured in self.0 {
            let links = |cost: &Cost| each(cost.links, cost);
            let events = |cost: &Cost| each(cost.events, cost);
            let disk = measured.disk_bytes.map_or_else(|| "–".to_owned(), |bytes| measured.bytes_each(bytes));
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {disk} |",
                measured.graph,
                measured.identifiers,
                links(&measured.making),
                links(&measured.last_tenth),
                events(&measured.familiar),
                events(&measured.anybody),
                measured.bytes_each(measured.memory_bytes),
            )?;
        }
        Ok(())
    }
}

fn each(number: u64, cost: &Cost) -> String {
    let cpu = cost.cpu_seconds * 1e6 / number.max(1) as f64;
    format!("{:.0} ({cpu:.2} µs)", number as f64 / cost.seconds.max(1e-9))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Read {
        #[command(flatten)]
        args: IdentityArgs,
    }

    #[test]
    fn both_graphs_take_all_sizes_unless_told_otherwise() {
        let read = |words: &[&str]| Read::try_parse_from([&["identity"][..], words].concat());
        let args = read(&[]).expect("no flags are needed").args;
        assert_eq!(args.identifiers, [1_000_000, 10_000_000]);
        assert_eq!(args.graph, [Graph::Memory, Graph::Projector]);
        let args = read(&["--identifiers", "600", "--graph", "memory"]).expect("flags").args;
        assert_eq!((args.identifiers, args.graph), (vec![600], vec![Graph::Memory]));
        assert!(read(&["--identifiers", "10"]).is_err());
    }

    #[test]
    fn the_table_has_a_row_for_each() {
        let cost = Cost { events: 1_000, links: 500, seconds: 0.5, cpu_seconds: 0.25 };
        let measured = |graph: &str, disk_bytes| Measured {
            graph: graph.to_owned(),
            identifiers: 1_000,
            making: cost,
            last_tenth: cost,
            familiar: cost,
            anybody: cost,
            memory_bytes: 300_000,
            disk_bytes,
        };
        let text = Table(&[measured("memory", None), measured("projector", Some(50_000))]).to_string();
        let row = "1000 (500.00 µs) | 1000 (500.00 µs) | 2000 (250.00 µs) | 2000 (250.00 µs) | 300";
        assert!(text.contains(&format!("| memory | 1000 | {row} | – |\n")), "{text}");
        assert!(text.contains(&format!("| projector | 1000 | {row} | 50 |\n")), "{text}");
    }
}
