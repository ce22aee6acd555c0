//! What timers cost, with ten million of them pending: taking those that are due, alone and with all that follows.
//!
//! The store is filled as the product's state machine would have done it, event by event; then the product's own
//! projector takes timers from it, between logs on disk, in a process of its own. Both figures end when everything is
//! durable: the ticks, the activations, the changed state by checkpoints.
//!
//! - *taken alone*: timers of profiles that are gone. Each is removed, and the record of what the profile was in is read
//!   and written.
//! - *with exits*: timers by which profiles leave their audience. Each is taken, the profile is read and evaluated, its
//!   membership is removed, and two activations are written.
//!
//! Only those who leave have a profile in the store, unless everybody is to have one.

mod fill;
mod plan;
mod take;

use super::alone::in_a_process;
use crate::load::directory;
use anyhow::ensure;
use plan::Plan;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use take::{Measured, Taken};

/// The flags of `audiences timers`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct TimersArgs {
    /// How many timers are pending at first
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(2..))]
    pending: u64,
    /// How many of them are due in each of the two measurements
    #[arg(long, value_name = "NUMBER", default_value_t = 300_000, value_parser = clap::value_parser!(u64).range(1..))]
    due: u64,
    /// Give everybody a profile, not only those who leave: that takes much longer to make
    #[arg(long)]
    whole: bool,
    /// Keep state and logs below this directory meanwhile [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure in this process, in a directory that was filled
    #[arg(long, value_name = "DIR", hide = true)]
    filled: Option<PathBuf>,
}

/// Measures what the arguments say, and prints it.
///
/// # Errors
/// If something can't be measured, or its outcome is not what it has to be.
pub(crate) fn command(args: &TimersArgs) -> anyhow::Result<()> {
    let plan = plan(args)?;
    if let Some(filled) = &args.filled {
        println!("{}", serde_json::to_string(&take::measure(&plan, filled)?)?);
        return Ok(());
    }
    let place = directory::Place::temporary(args.scratch.as_deref())?;
    let began = Instant::now();
    fill::fill(&plan, place.path(), fill::BATCH)?;
    eprintln!("{} timers were set in {:.0} s", plan.pending, began.elapsed().as_secs_f64());
    let measured: Measured = in_a_process(&words(place.path(), args))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&measured)?);
    } else {
        print!("{}", Table(&measured));
    }
    Ok(())
}

fn plan(args: &TimersArgs) -> anyhow::Result<Plan> {
    ensure!(args.due <= args.pending / 2, "two measurements take {} each: more than are pending", args.due);
    Ok(Plan { pending: args.pending, due: args.due, is_whole: args.whole })
}

/// The words by which this program measures in a directory that was filled.
fn words(filled: &Path, args: &TimersArgs) -> Vec<String> {
    let mut words = vec!["audiences".to_owned(), "timers".to_owned()];
    for (flag, value) in [
        ("--filled", filled.display().to_string()),
        ("--pending", args.pending.to_string()),
        ("--due", args.due.to_string()),
    ] {
        words.extend([flag.to_owned(), value]);
    }
    if args.whole {
        words.push("--whole".to_owned());
    }
    words
}

/// The figures as a table that a page can take as it is.
struct Table<'a>(&'a Measured);

impl fmt::Display for Table<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.0;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let whose =
            if measured.is_whole { "everybody has a profile" } else { "those who leave have a profile" };
        writeln!(
            out,
            "{} timers pending, {whose}; state on disk {:.0} MB at first, {:.0} MB at the end\n",
            measured.pending,
            megabytes(measured.disk_bytes),
            megabytes(measured.disk_bytes_after)
        )?;
        writeln!(out, "| timers | taken | ticks | a second | CPU each | activations | memory |")?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for (name, taken) in [("taken alone", &measured.stale), ("with exits", &measured.leaving)] {
            let Taken { cost, ticks, activations, memory_bytes, .. } = taken;
            writeln!(
                out,
                "| {name} | {} | {ticks} | {:.0} | {:.1} µs | {activations} | {:.0} MB |",
                cost.events,
                cost.events as f64 / cost.seconds.max(1e-9),
                cost.cpu_seconds * 1e6 / cost.events.max(1) as f64,
                megabytes(*memory_bytes)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::cost::Cost;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Read {
        #[command(flatten)]
        args: TimersArgs,
    }

    fn read(words: &[&str]) -> TimersArgs {
        Read::try_parse_from([&["timers"][..], words].concat()).expect("flags").args
    }

    #[test]
    fn those_who_are_due_leave_and_nobody_else() {
        for (is_whole, batch) in [(false, 700), (true, 3_000)] {
            let plan = Plan { pending: 2_000, due: 600, is_whole };
            let place = directory::Place::temporary(None).expect("a place");
            fill::fill(&plan, place.path(), batch).expect("filled");
            let measured = take::measure(&plan, place.path()).expect("measured");
            assert_eq!((measured.stale.members, measured.leaving.members), (2_000, 1_400));
            assert_eq!((measured.stale.activations, measured.leaving.activations), (0, 1_200));
            assert_eq!((measured.stale.cost.events, measured.stale.ticks), (600, 1));
            assert!(measured.disk_bytes > 2_000 && measured.leaving.cost.seconds > 0.0, "{measured:?}");
        }
    }

    #[test]
    fn the_process_that_measures_is_told_everything() {
        let args = read(&["--pending", "5000", "--due", "100", "--whole"]);
        let words = words(Path::new("/filled"), &args);
        let of_the_command: Vec<&str> = words[2..].iter().map(String::as_str).collect();
        let again = read(&of_the_command);
        assert_eq!((again.pending, again.due, again.whole), (5_000, 100, true));
        assert_eq!(again.filled.as_deref(), Some(Path::new("/filled")));
        let defaults = read(&[]);
        assert_eq!((defaults.pending, plan(&defaults).expect("a plan").due), (10_000_000, 300_000));
        assert!(plan(&read(&["--pending", "5000", "--due", "2501"])).is_err());
    }

    #[test]
    fn the_table_says_how_many_a_second() {
        let taken = |seconds, activations| Taken {
            cost: Cost { events: 1_000, links: 0, seconds, cpu_seconds: 0.025 },
            ticks: 1,
            activations,
            members: 0,
            memory_bytes: 300_000_000,
        };
        let measured = Measured {
            pending: 5_000,
            is_whole: false,
            disk_bytes: 7_000_000,
            disk_bytes_after: 9_000_000,
            stale: taken(0.02, 0),
            leaving: taken(0.05, 2_000),
        };
        let text = Table(&measured).to_string();
        for line in [
            "5000 timers pending, those who leave have a profile; state on disk 7 MB at first, 9 MB at the end\n",
            "| taken alone | 1000 | 1 | 50000 | 25.0 µs | 0 | 300 MB |\n",
            "| with exits | 1000 | 1 | 20000 | 25.0 µs | 2000 | 300 MB |\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }
}
