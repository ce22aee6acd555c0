//! What an event costs with few audiences and with many: the whole projector's CPU time, checkpoints included.
//!
//! Each figure is of a process of its own, which projects the same events. Rounds go up and down (none, 10, 200; 200,
//! 10, none), so that a machine which changes its speed favours nobody. Before the clock runs, everybody is known with
//! every identifier, and has done something. No timer is due meanwhile: those are measured by themselves.

use super::alone::in_a_process;
use super::running::Running;
use super::shop::{Others, Shop, audiences};
use super::workspace::{START, WORKSPACE, version};
use crate::identity::cost::{Cost, Stopwatch};
use crate::identity::logs::Dropped;
use crate::load::directory;
use anyhow::{Context, bail};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;
use tributary_eventlog::MemoryLog;
use tributary_model::catalog::Catalog;
use tributary_model::clock::ManualClock;
use tributary_model::fragment::Sighting;
use tributary_model::{EventView, Fragment, Record};
use tributary_profiles::StatePaths;
use tributary_profiles::codec::Value;
use tributary_profiles::key::Tag;
use tributary_profiles::state::State;

/// How many events of the warm-up are appended at once.
const CHUNK: usize = 10_000;

/// The flags of `audiences events`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct EventsArgs {
    /// How many audiences there are; may be given several times
    #[arg(long, value_name = "NUMBER", default_values_t = [0_u32, 10, 200], value_parser = clap::value_parser!(u32).range(..=200))]
    audiences: Vec<u32>,
    /// How many people there are
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// How many events each figure is of
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    events: u64,
    /// How many events come before those
    #[arg(long, value_name = "NUMBER", default_value_t = 100_000)]
    warm_up: u64,
    /// How often each is measured
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Keep the projector's state below this directory meanwhile [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Let the audiences behind the first ten be about calls and traits that nobody sends
    #[arg(long)]
    elsewhere: bool,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Measure in this process: one number of audiences, once
    #[arg(long, hide = true)]
    alone: bool,
}

/// What so many audiences cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Measured {
    audiences: u32,
    cost: Cost,
    /// How many audiences the events can change, added up: so many evaluations there were.
    evaluations: u64,
    /// How many profiles entered an audience or left one.
    changes: u64,
    /// What the state has on disk at the end.
    disk_bytes: u64,
}

/// Measures what the arguments say, and prints it.
///
/// # Errors
/// If something can't be measured.
pub(crate) fn command(args: &EventsArgs) -> anyhow::Result<()> {
    if args.alone {
        let [audiences] = args.audiences[..] else { bail!("one number of audiences at a time") };
        println!("{}", serde_json::to_string(&measure(audiences, args)?)?);
        return Ok(());
    }
    let mut all = Vec::new();
    for round in 0..args.rounds {
        for audiences in order(round, &args.audiences) {
            eprintln!("round {} of {}, {audiences} audiences …", round + 1, args.rounds);
            all.push(in_a_process::<Measured>(&words(audiences, args))?);
        }
    }
    if args.json {
        println!("{}", serde_json::to_string_pretty(&all)?);
    } else {
        print!("{}", Table::of(&args.audiences, &all));
    }
    Ok(())
}

/// Who comes when: one round forwards, the next backwards.
fn order(round: u32, audiences: &[u32]) -> Vec<u32> {
    let mut order = audiences.to_vec();
    if !round.is_multiple_of(2) {
        order.reverse();
    }
    order
}

/// The words by which this program measures once.
fn words(audiences: u32, args: &EventsArgs) -> Vec<String> {
    let mut words = vec!["audiences".to_owned(), "events".to_owned(), "--alone".to_owned()];
    let numbers = [
        ("--audiences", u64::from(audiences)),
        ("--people", args.people),
        ("--events", args.events),
        ("--warm-up", args.warm_up),
    ];
    words.extend(numbers.into_iter().flat_map(|(flag, number)| [flag.to_owned(), number.to_string()]));
    words.extend(args.elsewhere.then(|| "--elsewhere".to_owned()));
    if let Some(scratch) = &args.scratch {
        words.extend(["--scratch".to_owned(), scratch.display().to_string()]);
    }
    words
}

fn measure(count: u32, args: &EventsArgs) -> anyhow::Result<Measured> {
    let place = directory::Place::temporary(args.scratch.as_deref())?;
    let log = Arc::new(MemoryLog::new());
    let clock = Arc::new(ManualClock::at(START));
    let running = Running::start(place.path(), log.clone(), Arc::new(Dropped::default()), clock)?;
    let project = |records: Vec<Bytes>| running.wait_for(running.append(&*log, records)?);

    let others = if args.elsewhere { Others::Elsewhere } else { Others::Shop };
    project(vec![version(audiences(count, others)?)?])?;
    let mut shop = Shop::new(args.people, args.people + args.warm_up + args.events);
    let everybody: Vec<Bytes> = (0..args.people).map(|person| shop.sign_up(person)).collect();
    project(everybody)?;
    let mut left = usize::try_from(args.warm_up)?;
    while left > 0 {
        let chunk = left.min(CHUNK);
        project((0..chunk).map(|_| shop.event()).collect())?;
        left -= chunk;
    }

    let before = changes(running.state())?;
    let records: Vec<Bytes> = (0..args.events).map(|_| shop.event()).collect();
    let kept = records.clone();
    let stopwatch = Stopwatch::start();
    project(records)?;
    let state = running.stop()?;
    let cost = stopwatch.cost(args.events, 0);

    let disk = directory::weigh(&StatePaths::within(place.path()).state)?;
    Ok(Measured {
        audiences: count,
        cost,
        evaluations: evaluations(&*state.catalog(WORKSPACE)?, &kept)?,
        changes: changes(&state)? - before,
        disk_bytes: disk.values().sum(),
    })
}

/// How often profiles entered audiences or left them so far.
fn changes(state: &State) -> anyhow::Result<u64> {
    let mut changes = 0;
    for (_, value) in state.range(WORKSPACE, Tag::Size, Bound::Unbounded, &[], usize::MAX)? {
        if let Value::Size(row) = value {
            changes += row.entered + row.exited;
        }
    }
    Ok(changes)
}

/// How many audiences these events can change, added up.
fn evaluations(catalog: &Catalog, records: &[Bytes]) -> anyhow::Result<u64> {
    let mut evaluations = 0;
    for bytes in records {
        let record = Record::decode(bytes)?;
        let envelope = &record.envelope;
        let event = EventView::parse(&record.payload)?;
        let message_id = envelope.message_id.clone().context("an event has a message id")?;
        let sighting = Sighting { at: envelope.event_time, message_id, source: envelope.source };
        let mut nothing = Fragment::default();
        let folded = catalog.keepers().fold(&mut nothing, &event, &sighting, envelope.received_at);
        let traits = event.person_traits();
        let names: Vec<&str> = traits.iter().flat_map(|traits| traits.iter()).map(|(name, _)| name).collect();
        evaluations += catalog.touched(&names, &folded.changed).len() as u64;
    }
    Ok(evaluations)
}

/// The figures as a table that a page can take as it is.
struct Table(Vec<Row>);

/// What so many audiences cost over all rounds.
struct Row {
    audiences: u32,
    /// Microseconds of CPU for each event, in each round.
    micros: Vec<f64>,
    /// Over what the fewest audiences cost that there are.
    ratio: Option<f64>,
    evaluations: f64,
    changes: f64,
    disk_bytes: u64,
}

impl Table {
    /// Of these numbers of audiences, in this order.
    fn of(audiences: &[u32], all: &[Measured]) -> Self {
        let of = |count: u32| all.iter().filter(move |measured| measured.audiences == count);
        let micros = |count| -> Vec<f64> { of(count).map(Measured::micros).collect() };
        let fewest = audiences.iter().copied().filter(|count| *count > 0).min();
        let least = fewest.and_then(|count| median(micros(count)));
        let row = |count: u32| {
            let last = of(count).next_back()?;
            let each = |number: u64| number as f64 / last.cost.events.max(1) as f64;
            let micros = micros(count);
            let ratio = median(micros.clone()).zip(least).map(|(micros, least)| micros / least);
            let (evaluations, changes) = (each(last.evaluations), each(last.changes));
            Some(Row { audiences: count, micros, ratio, evaluations, changes, disk_bytes: last.disk_bytes })
        };
        Self(audiences.iter().filter_map(|count| row(*count)).collect())
    }
}

impl Measured {
    /// Microseconds of CPU for each event.
    fn micros(&self) -> f64 {
        self.cost.cpu_seconds * 1e6 / self.cost.events.max(1) as f64
    }
}

fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let upper = *figures.get(middle)?;
    Some(if figures.len() % 2 == 1 { upper } else { f64::midpoint(figures[middle - 1], upper) })
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fewest = self.0.iter().map(|row| row.audiences).filter(|count| *count > 0).min().unwrap_or(0);
        writeln!(
            out,
            "| audiences | CPU an event | rounds | over {fewest} audiences | audiences evaluated, an event \
             | entries and exits, an event | state on disk |"
        )?;
        writeln!(out, "|---|---|---|---|---|---|---|")?;
        for row in &self.0 {
            let rounds: Vec<String> = row.micros.iter().map(|micros| format!("{micros:.1}")).collect();
            writeln!(
                out,
                "| {} | {:.1} µs | {} | {:.2} | {:.2} | {:.3} | {:.0} MB |",
                row.audiences,
                median(row.micros.clone()).unwrap_or(f64::NAN),
                rounds.join(", "),
                row.ratio.unwrap_or(f64::NAN),
                row.evaluations,
                row.changes,
                row.disk_bytes as f64 / 1e6,
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Read {
        #[command(flatten)]
        args: EventsArgs,
    }

    fn read(words: &[&str]) -> EventsArgs {
        Read::try_parse_from([&["events"][..], words].concat()).expect("flags").args
    }

    #[test]
    fn an_event_concerns_some_of_many_audiences() {
        let args = read(&["--people", "200", "--events", "1000", "--warm-up", "1000"]);
        let none = measure(0, &args).expect("measured");
        assert_eq!((none.evaluations, none.changes, none.cost.events), (0, 0, 1_000));
        let few = measure(10, &args).expect("measured");
        let many = measure(200, &args).expect("measured");
        assert!(few.evaluations > 0 && few.evaluations < many.evaluations, "{few:?} {many:?}");
        // A fifth of all at most: what an event can't change is left alone.
        assert!((1_000..40_000).contains(&many.evaluations), "{many:?}");
        assert!(few.changes > 0 && few.changes < many.changes, "{few:?} {many:?}");
        assert!(many.cost.cpu_seconds > 0.0 && many.disk_bytes > 0, "{many:?}");
    }

    #[test]
    fn rounds_go_forwards_and_back() {
        let args = read(&[]);
        assert_eq!(order(0, &args.audiences), [0, 10, 200]);
        assert_eq!(order(1, &args.audiences), [200, 10, 0]);
        let words = words(10, &args);
        let of_the_command: Vec<&str> = words[2..].iter().map(String::as_str).collect();
        let again = read(&of_the_command);
        assert!(again.alone);
        let numbers = (again.people, again.events, again.warm_up);
        assert_eq!((again.audiences, numbers), (vec![10], (args.people, args.events, args.warm_up)));
    }

    #[test]
    fn the_table_compares_medians_with_the_fewest_audiences() {
        let measured = |audiences, cpu_seconds| Measured {
            audiences,
            cost: Cost { events: 1_000, links: 0, seconds: 1.0, cpu_seconds },
            evaluations: u64::from(audiences) * 30,
            changes: u64::from(audiences),
            disk_bytes: 5_000_000,
        };
        let all = [
            measured(0, 0.03),
            measured(10, 0.04),
            measured(200, 0.06),
            measured(200, 0.08),
            measured(10, 0.04),
            measured(0, 0.03),
        ];
        let text = Table::of(&[0, 10, 200], &all).to_string();
        for row in [
            "| 0 | 30.0 µs | 30.0, 30.0 | 0.75 | 0.00 | 0.000 | 5 MB |",
            "| 10 | 40.0 µs | 40.0, 40.0 | 1.00 | 0.30 | 0.010 | 5 MB |",
            "| 200 | 70.0 µs | 60.0, 80.0 | 1.75 | 6.00 | 0.200 | 5 MB |",
        ] {
            assert!(text.contains(row), "{row}\n{text}");
        }
    }
}
