//! `load pair`: two builds or settings under the same load, by turns, so that what the machine does beside it
//! meets both alike.
//!
//! A side is a line such as `TRIBUTARY_STATE_SLED_CACHE_BYTES=268435456 target/other/tributary --log kafka`: variables
//! of the environment, then a binary (else that of `--start`), then arguments. Rounds go A B, B A, A B: a machine
//! that gets slower or faster favours neither. Each run begins with a fresh copy of the data directory.

use super::directory::Stamp;
use super::report::{Report, save};
use super::run::{MeasureArgs, measure};
use super::server::{Launch, TargetArgs};
use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// The flags of `load pair`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PairArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    measured: MeasureArgs,
    /// One side: variables as NAME=VALUE, then a binary, then arguments; each may be left out
    #[arg(long, value_name = "SIDE", allow_hyphen_values = true)]
    a: String,
    /// The other side
    #[arg(long, value_name = "SIDE", allow_hyphen_values = true)]
    b: String,
    /// How often each side runs
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Save all figures as a JSON document
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// What is compared of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Figures {
    cpu_micros_per_event: f64,
    events_per_second: f64,
    p99_ms: f64,
}

/// A figure of both sides, over all rounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Compared {
    a_median: f64,
    b_median: f64,
    /// B over A, in the median round.
    ratio_median: f64,
    ratio_min: f64,
    ratio_max: f64,
}

#[derive(Debug, Serialize)]
struct Outcome {
    a: String,
    b: String,
    cpu_micros_per_event: Compared,
    events_per_second: Compared,
    p99_ms: Compared,
    runs_a: Vec<Report>,
    runs_b: Vec<Report>,
}

/// Runs the command.
///
/// # Errors
/// If a side is not understood, or a server can't be driven.
pub(crate) fn command(args: &PairArgs) -> anyhow::Result<()> {
    ensure!(
        args.target.data_dir.is_none(),
        "each run begins afresh: leave --data-dir out, --population is copied"
    );
    let default = args.target.launch()?.context("--start is missing: the binary of Tributary")?;
    let sides = [side(&args.a, &default), side(&args.b, &default)];
    let mut runs = [Vec::new(), Vec::new()];
    for round in 0..args.rounds {
        for place in order(round) {
            let driven = args.target.start(&sides[place])?;
            let whom = Stamp::settle(driven.stamp, args.measured.load.people, args.measured.load.seed)?;
            let report = measure(&driven.target, &args.measured, whom)?;
            driven.stop()?;
            println!("── round {} of {}, {}\n{report}", round + 1, args.rounds, ["A", "B"][place]);
            runs[place].push(report);
        }
    }
    let [runs_a, runs_b] = runs;
    let outcome = Outcome::of(args, runs_a, runs_b)?;
    print!("{outcome}");
    args.out.as_deref().map_or(Ok(()), |path| save(&outcome, path))
}

/// Which side runs first: they take turns at that.
fn order(round: u32) -> [usize; 2] {
    if round.is_multiple_of(2) { [0, 1] } else { [1, 0] }
}

/// How a side is started: what it says, beside what holds for both.
fn side(text: &str, default: &Launch) -> Launch {
    let mut launch = default.clone();
    let mut words = text.split_whitespace().peekable();
    while let Some((name, value)) = words.peek().and_then(|word| variable(word)) {
        launch.environment.push((name.to_owned(), value.to_owned()));
        words.next();
    }
    if let Some(binary) = words.next_if(|word| !word.starts_with('-')) {
        launch.binary = PathBuf::from(binary);
    }
    launch.arguments.extend(words.map(str::to_owned));
    launch
}

/// `NAME=VALUE`, the name in capitals.
fn variable(word: &str) -> Option<(&str, &str)> {
    let capitals = |name: &str| name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    word.split_once('=').filter(|(name, _)| !name.is_empty() && capitals(name))
}

impl Figures {
    fn of(report: &Report) -> anyhow::Result<Self> {
        let server = report.server.as_ref().context("the server's process was not looked at")?;
        Ok(Self {
            cpu_micros_per_event: server.cpu_per_event.micros,
            events_per_second: report.events_per_second,
            p99_ms: report.latency.map_or(f64::NAN, |latency| latency.p99_ms),
        })
    }
}

impl Compared {
    /// Of rounds: the figures of A and B in each.
    fn of(rounds: &[(f64, f64)]) -> Self {
        let ratios: Vec<f64> = rounds.iter().map(|(a, b)| b / a).collect();
        Self {
            a_median: median(rounds.iter().map(|(a, _)| *a).collect()),
            b_median: median(rounds.iter().map(|(_, b)| *b).collect()),
            ratio_min: ratios.iter().copied().fold(f64::INFINITY, f64::min),
            ratio_max: ratios.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            ratio_median: median(ratios),
        }
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => figures[middle],
        _ => f64::midpoint(figures[middle - 1], figures[middle]),
    }
}

impl Outcome {
    fn of(args: &PairArgs, runs_a: Vec<Report>, runs_b: Vec<Report>) -> anyhow::Result<Self> {
        let figures = |runs: &[Report]| runs.iter().map(Figures::of).collect::<anyhow::Result<Vec<_>>>();
        let rounds: Vec<(Figures, Figures)> = figures(&runs_a)?.into_iter().zip(figures(&runs_b)?).collect();
        let compared = |of: fn(&Figures) -> f64| {
            Compared::of(&rounds.iter().map(|(a, b)| (of(a), of(b))).collect::<Vec<_>>())
        };
        Ok(Self {
            a: args.a.clone(),
            b: args.b.clone(),
            cpu_micros_per_event: compared(|figures| figures.cpu_micros_per_event),
            events_per_second: compared(|figures| figures.events_per_second),
            p99_ms: compared(|figures| figures.p99_ms),
            runs_a,
            runs_b,
        })
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "══ A: {}\n══ B: {}\n   over {} rounds, medians", self.a, self.b, self.runs_a.len())?;
        writeln!(out, "   server CPU    {} µs an event", self.cpu_micros_per_event)?;
        writeln!(out, "   accepted      {} events/s", self.events_per_second)?;
        writeln!(out, "   answer p99    {} ms", self.p99_ms)
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { a_median, b_median, ratio_median, ratio_min, ratio_max } = self;
        write!(
            out,
            "A {a_median:>10.2}  B {b_median:>10.2}  B/A {ratio_median:.3} ({ratio_min:.3} to {ratio_max:.3})"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(binary: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Launch {
        Launch {
            binary: PathBuf::from(binary),
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    #[test]
    fn a_side_changes_what_it_names() {
        let default = launch("one", &["--log", "embedded"], &[("A", "1")]);
        let cases = [
            ("", default.clone()),
            ("other/two", launch("other/two", &["--log", "embedded"], &[("A", "1")])),
            ("--x y=z", launch("one", &["--log", "embedded", "--x", "y=z"], &[("A", "1")])),
            (
                "B_C=2 D=e=f two --x",
                launch("two", &["--log", "embedded", "--x"], &[("A", "1"), ("B_C", "2"), ("D", "e=f")]),
            ),
        ];
        for (text, want) in cases {
            assert_eq!(side(text, &default), want, "{text}");
        }
    }

    #[test]
    fn sides_take_turns() {
        let all: Vec<usize> = (0..4).flat_map(order).collect();
        assert_eq!(all, [0, 1, 1, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn the_median_round_decides_and_the_spread_is_told() {
        let compared = Compared::of(&[(10.0, 9.0), (20.0, 10.0), (12.0, 12.0)]);
        let want =
            Compared { a_median: 12.0, b_median: 10.0, ratio_median: 0.9, ratio_min: 0.5, ratio_max: 1.0 };
        assert_eq!(compared, want);
        assert_eq!(Compared::of(&[(1.0, 1.0), (1.0, 2.0)]).ratio_median, 1.5);
        assert_eq!(compared.to_string(), "A      12.00  B      10.00  B/A 0.900 (0.500 to 1.000)");
    }

    #[test]
    fn the_outcome_compares_what_the_runs_say() {
        let run = |micros: f64, rate: f64| {
            let mut report = super::super::report::tests::example();
            report.events_per_second = rate;
            if let Some(server) = &mut report.server {
                server.cpu_per_event.micros = micros;
            }
            report
        };
        let figures = Figures::of(&run(20.0, 1_000.0)).expect("a server");
        assert_eq!(figures, Figures { cpu_micros_per_event: 20.0, events_per_second: 1_000.0, p99_ms: 2.0 });
        let mut blind = run(1.0, 1.0);
        blind.server = None;
        assert!(Figures::of(&blind).is_err());
    }
}
