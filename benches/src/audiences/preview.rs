//! Previews of audiences over many profiles, and what reads of profiles wait meanwhile.
//!
//! The profiles are made by the product's own projector, from a log that is made up as it is read, on the machine that
//! measures. Previews and reads run in the same process as in the product, without HTTP around them.

use super::log::{MadeLog, mix, user};
use crate::identity::logs::Dropped;
use crate::load::directory;
use anyhow::{Context, bail};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tributary_eventlog::EventLog;
use tributary_eventlog::index::{IndexOptions, Indexes};
use tributary_model::catalog::Defined;
use tributary_model::clock::ManualClock;
use tributary_model::condition::{Scope, parse_condition};
use tributary_model::{HashKey, WorkspaceId};
use tributary_profiles::audience_preview::{
    AudiencePreview, AudiencePreviewOrder, AudiencePreviewParts, prepare, preview, preview_at_once,
};
use tributary_profiles::preview::PreviewProgress;
use tributary_profiles::{ProfileReader, Projector, ProjectorOptions, ProjectorParts, StatePaths};

/// What the indexes answer.
const OF_COLUMNS: [&str; 7] = [
    r#"traits.plan = "pro""#,
    r#"traits.score > 5000 and not traits.country in ("C001", "C002", "C003")"#,
    r#"traits.email ends_with "7@example.com""#,
    r#"event("Order Completed") within 30d"#,
    r#"count(event("App Opened") within 30d) >= 2"#,
    r#"count(event("Order Completed") within 30d) >= 1 and not event("App Opened") within 7d"#,
    r#"traits.plan in ("pro", "team") and time_since(event("App Opened")) > 14d"#,
];

/// What takes a job.
const OF_SCANS: [&str; 2] = [
    r#"traits.plan = "pro" and event("Order Completed") where properties.total > 250 within 7d"#,
    r#"count(event("Order Completed") where properties.total > 100 within 30d) >= 2"#,
];

/// How often each preview is made; the slowest counts.
const ROUNDS: usize = 3;
/// How long the reader pauses between two reads: 500 reads a second, about.
const PAUSE: Duration = Duration::from_millis(2);

/// The flags of `preview`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PreviewArgs {
    /// How many profiles there are
    #[arg(long, value_name = "NUMBER", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(100..))]
    profiles: u64,
    /// How many events each has: the first says who it is
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    events: u64,
    /// Measure conditions that take a job, too
    #[arg(long)]
    scans: bool,
    /// Keep the state below this directory meanwhile [default: the system's temporary one]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// Measures what the arguments say, and prints it.
///
/// # Errors
/// If something can't be measured.
pub(crate) fn command(args: &PreviewArgs) -> anyhow::Result<()> {
    print!("{}", measure(args)?);
    Ok(())
}

/// What was measured.
struct Measured {
    profiles: u64,
    events: u64,
    making: Duration,
    columns: Duration,
    alone: Duration,
    rows: Vec<Row>,
}

struct Row {
    condition: &'static str,
    answered_by: &'static str,
    size: u64,
    slowest: Duration,
    /// The 99th percentile of reads meanwhile.
    reads: Duration,
}

impl fmt::Display for Measured {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{} profiles of {} events, projected in {:.0} s; columns made in {:.1} s; p99 of a read alone {:.2} ms\n",
            self.profiles,
            self.events,
            self.making.as_secs_f64(),
            self.columns.as_secs_f64(),
            self.alone.as_secs_f64() * 1e3,
        )?;
        writeln!(
            out,
            "| condition | answered by | size | preview, slowest of {ROUNDS} | p99 of a read meanwhile |"
        )?;
        writeln!(out, "|---|---|---|---|---|")?;
        for row in &self.rows {
            writeln!(
                out,
                "| `{}` | {} | {} | {:.3} s | {:.2} ms |",
                row.condition.replace('|', "\\|"),
                row.answered_by,
                row.size,
                row.slowest.as_secs_f64(),
                row.reads.as_secs_f64() * 1e3,
            )?;
        }
        Ok(())
    }
}

fn measure(args: &PreviewArgs) -> anyhow::Result<Measured> {
    let place = directory::Place::temporary(args.scratch.as_deref())?;
    std::fs::create_dir_all(place.path())
        .with_context(|| format!("{} can't be made", place.path().display()))?;
    let log = Arc::new(MadeLog::new(args.profiles, args.events));
    let database = fjall::Database::builder(place.path().join("index")).worker_threads(2).open()?;
    let indexes = Arc::new(Indexes::open(database, IndexOptions::default())?);
    // The time is the log's.
    let clock = Arc::new(ManualClock::default());
    let hash_key = HashKey::derive(b"bench");
    let parts = ProjectorParts {
        events: Arc::clone(&log) as Arc<dyn EventLog>,
        activations: Arc::new(Dropped::default()),
        indexes: Arc::clone(&indexes),
        hash_key: hash_key.clone(),
        clock: clock.clone(),
    };
    let options = ProjectorOptions::new(StatePaths::within(place.path()));
    let projector = Projector::start(options, parts, |error| eprintln!("the projector failed: {error:#}"))?;
    let began = Instant::now();
    project(&projector, &log)?;
    let making = began.elapsed();

    let events = Arc::clone(&log) as Arc<dyn EventLog>;
    let state = Arc::clone(projector.state());
    let reader = ProfileReader::new(
        Arc::clone(&state),
        Arc::clone(&indexes),
        Arc::clone(&events),
        hash_key.clone(),
        clock.clone(),
    );
    let parts = AudiencePreviewParts { state, indexes, events, hash_key, clock };
    let began = Instant::now();
    prepare(&parts, WorkspaceId(1), &PreviewProgress::default())?;
    let columns = began.elapsed();

    let (alone, ()) = while_reading(&reader, args.profiles, || {
        thread::sleep(Duration::from_millis(500));
        Ok(())
    })?;
    let mut rows = Vec::new();
    for condition in OF_COLUMNS {
        rows.push(row(&parts, &reader, args.profiles, condition, true)?);
    }
    for condition in OF_SCANS.into_iter().filter(|_| args.scans) {
        rows.push(row(&parts, &reader, args.profiles, condition, false)?);
    }
    projector.stop()?;
    Ok(Measured { profiles: args.profiles, events: args.events, making, columns, alone, rows })
}

/// Lets the log grow to its end, and waits until that is visible.
fn project(projector: &Projector, log: &MadeLog) -> anyhow::Result<()> {
    let mut progress = projector.progress();
    let end = log.records();
    log.grow(end);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    if runtime.block_on(progress.wait_for(|progress| progress.visible >= end)).is_err() {
        bail!("the projector ended before it had read everything");
    }
    Ok(())
}

fn row(
    parts: &AudiencePreviewParts,
    reader: &ProfileReader,
    profiles: u64,
    condition: &'static str,
    at_once: bool,
) -> anyhow::Result<Row> {
    let parsed = parse_condition(condition, Scope::Profile).map_err(|error| anyhow::anyhow!("{error}"))?;
    let order = AudiencePreviewOrder {
        workspace: WorkspaceId(1),
        defined: Arc::new(Defined::default()),
        condition: parsed,
        include_anonymous: false,
        visible: parts.events.bounds().end,
        draft: None,
    };
    let mut slowest = Duration::ZERO;
    let mut answer: Option<AudiencePreview> = None;
    let (reads, ()) = while_reading(reader, profiles, || {
        for _ in 0..ROUNDS {
            let began = Instant::now();
            let said = if at_once {
                preview_at_once(parts, &order)?.context("the indexes can't answer it")?
            } else {
                preview(parts, &order, &PreviewProgress::default())?
            };
            slowest = slowest.max(began.elapsed());
            answer = Some(said);
        }
        Ok(())
    })?;
    let answer = answer.context("a preview has an answer")?;
    Ok(Row { condition, answered_by: answer.answered_by.name(), size: answer.size, slowest, reads })
}

/// The 99th percentile of reads of random profiles while something is done.
fn while_reading<T>(
    reader: &ProfileReader,
    profiles: u64,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(Duration, T)> {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let reading = scope.spawn(|| -> anyhow::Result<Vec<Duration>> {
            let mut took = Vec::new();
            for number in 0.. {
                let name = user(mix(number) % profiles);
                let began = Instant::now();
                let found = reader.find(WorkspaceId(1), "user_id", &name)?;
                took.push(began.elapsed());
                if found.is_none() {
                    bail!("a profile is missing");
                }
                if is_over.load(Ordering::SeqCst) {
                    break;
                }
                thread::sleep(PAUSE);
            }
            Ok(took)
        });
        let done = work();
        is_over.store(true, Ordering::SeqCst);
        let mut took = reading.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
        took.sort_unstable();
        let place = (took.len() * 99 / 100).min(took.len().saturating_sub(1));
        let percentile = took.get(place).copied().context("something was read")?;
        Ok((percentile, done?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_is_answered_and_has_members() {
        let args = PreviewArgs { profiles: 600, events: 8, scans: true, scratch: None };
        let measured = measure(&args).expect("measured");
        assert_eq!(measured.rows.len(), OF_COLUMNS.len() + OF_SCANS.len());
        for row in &measured.rows {
            assert!(row.size > 0 && row.size < 600, "{}: {}", row.condition, row.size);
        }
        let by: Vec<&str> = measured.rows.iter().map(|row| row.answered_by).collect();
        assert_eq!(
            by,
            ["columns", "columns", "columns", "columns", "columns", "columns", "columns", "scan", "scan"]
        );
        let text = measured.to_string();
        assert!(text.contains("| `traits.plan = \"pro\"` | columns |"), "{text}");
    }
}
