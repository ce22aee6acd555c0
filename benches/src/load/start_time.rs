//! `load start-time`: from the start of the process to the first event it accepts, with a long log.
//!
//! The log is filled by the log's own writer with records as the collector makes them, which is faster than sending
//! them; the first start makes keys, workspace and the record they are modelled on. After that, each round starts
//! the server, posts an event at once, sends a short load, and ends it by `kill -9`, so that every start but the first
//! follows a kill. A first start on a log that was filled like this has all of it to project, which goes on behind the
//! answers; readiness says when that is done. With `--ready-within-seconds` long enough, later rounds show a start
//! that has nothing to catch up with.

use super::control::Control;
use super::directory::{Place, weigh};
use super::drive::{Composer, Load, LoadArgs, new_salt};
use super::http::Connection;
use super::machine::Machine;
use super::report::save;
use super::server::{Launch, Started, TargetArgs};
use super::tally::Window;
use crate::events::Events;
use crate::population::{Population, mix};
use anyhow::{Context, anyhow, ensure};
use bytes::Bytes;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tributary_eventlog::{EmbeddedLog, EventLog, LogOptions};
use tributary_model::clock::{Clock, SystemClock};
use tributary_model::{Envelope, MessageId, Record, RecordKind};

/// Records that become durable together while the log is filled.
const GROUP: usize = 2_000;
/// How often readiness is asked for.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// The flags of `load start-time`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct StartTimeArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    load: LoadArgs,
    /// Fill the events log up to so many gigabytes on disk, if it is shorter
    #[arg(long, value_name = "GIGABYTES", default_value_t = 10.0)]
    log_gigabytes: f64,
    /// How often the server is started
    #[arg(long, value_name = "NUMBER", default_value_t = 3)]
    rounds: u32,
    /// How long readiness is waited for in each round
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    ready_within_seconds: u64,
    /// Save the figures as a JSON document
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct StartTimes {
    machine: Machine,
    log_bytes: u64,
    rounds: Vec<Round>,
}

/// Times from the start of the process.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Round {
    /// Until it told its addresses.
    told_ms: f64,
    /// Until an event was accepted.
    accepted_ms: f64,
    /// Until everything that the log held was in profiles; `None` if that took too long.
    ready_ms: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// If the log can't be filled, or the server does not accept an event.
pub(crate) fn command(args: &StartTimeArgs) -> anyhow::Result<()> {
    let launch = args.target.launch()?.context("--start is missing: the binary of Tributary")?;
    let place = match &args.target.data_dir {
        Some(path) => Place::kept(path),
        None => Place::temporary(args.target.scratch.as_deref())?,
    };
    let wanted = (args.log_gigabytes * 1e9) as u64;
    fill(&launch, place.path(), wanted, &args.load)?;
    let log_bytes = weigh(place.path())?.get("events").copied().unwrap_or(0);
    let mut rounds = Vec::new();
    for number in 1..=args.rounds {
        let round = measure(&launch, place.path(), args)?;
        println!(
            "round {number} of {}, {:.1} GB of events: {}",
            args.rounds,
            log_bytes as f64 / 1e9,
            round.text()
        );
        rounds.push(round);
    }
    let times = StartTimes { machine: Machine::look(Some(place.path())), log_bytes, rounds };
    args.out.as_deref().map_or(Ok(()), |path| save(&times, path))
}

impl Round {
    fn text(&self) -> String {
        let ready = self.ready_ms.map_or("not ready in time".to_owned(), |ms| format!("ready {ms:.0} ms"));
        format!("addresses {:.0} ms, first event accepted {:.0} ms, {ready}", self.told_ms, self.accepted_ms)
    }
}

/// One start, a short load, and the kill.
fn measure(launch: &Launch, data_dir: &Path, args: &StartTimeArgs) -> anyhow::Result<Round> {
    let server = launch.start(data_dir)?;
    let since = |spawned: Instant| spawned.elapsed().as_secs_f64() * 1e3;
    let told_ms = since(server.spawned);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let population = population(&args.load);
    runtime.block_on(post_one(&server, population))?;
    let accepted_ms = since(server.spawned);
    let mut control = Control::new(server.target.api, &server.target.token);
    let within = Duration::from_secs(args.ready_within_seconds);
    let ready = runtime.block_on(is_ready(&mut control, within));
    let ready_ms = ready.then(|| since(server.spawned));
    let window = Window::begin(Duration::ZERO, Duration::from_secs(args.load.seconds));
    Load::new(&server.target, &args.load, window, population, u64::from(new_salt())).run()?;
    server.kill()?;
    Ok(Round { told_ms, accepted_ms, ready_ms })
}

fn population(load: &LoadArgs) -> Population {
    Population::new(load.seed.unwrap_or(1), load.people.unwrap_or(200_000))
}

async fn post_one(server: &Started, population: Population) -> anyhow::Result<()> {
    let target = &server.target;
    let mut events = Events::new(population, 1, new_salt(), u16::MAX);
    let mut composer = Composer::of(target.http, &target.write_key, false);
    let event = events.identify(0);
    composer.compose(&events, &[event]);
    let mut connection = Connection::new(target.http);
    let answer = connection.exchange(composer.request()).await?;
    let (status, body) = (answer.status, String::from_utf8_lossy(answer.body));
    ensure!(status == 200, "the server answered its first event with {status}: {body}");
    Ok(())
}

async fn is_ready(control: &mut Control, within: Duration) -> bool {
    let by = Instant::now() + within;
    let mut tick = tokio::time::interval(ASK_EVERY);
    while Instant::now() < by {
        tick.tick().await;
        if control.is_ready().await {
            return true;
        }
    }
    false
}

/// Fills the events log of a directory, which the first start makes.
fn fill(launch: &Launch, data_dir: &Path, wanted: u64, load: &LoadArgs) -> anyhow::Result<()> {
    let population = population(load);
    if !data_dir.join("events").exists() {
        let server = launch.start(data_dir)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(post_one(&server, population))?;
        server.stop()?;
    }
    let fatal = Arc::new(|reason: &str| eprintln!("the log can't be filled: {reason}"));
    let log = EmbeddedLog::open(&data_dir.join("events"), LogOptions::new("events"), fatal)?;
    let model = model(&log)?;
    let mut events = Events::new(population, u64::from(new_salt()), new_salt(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let mut written = 0u64;
    while log.status().bytes_kept < wanted {
        let entries: Vec<Bytes> = (0..GROUP).map(|_| record(&model, &mut events)).collect();
        runtime.block_on(log.append(entries)).context("the log took no more records")?;
        written += GROUP as u64;
    }
    log.close();
    if written > 0 {
        println!("{written} records written: the log has {:.1} GB", log.status().bytes_kept as f64 / 1e9);
    }
    Ok(())
}

/// The envelope of the newest event in a log.
fn model(log: &dyn EventLog) -> anyhow::Result<Envelope> {
    let bounds = log.bounds();
    for sequence in (bounds.first..bounds.end).rev() {
        let bytes = log.read_one(sequence, 0)?.context("an entry below the log's end is there")?;
        let record = Record::decode(&bytes)?;
        if matches!(record.envelope.kind, RecordKind::Event(_)) {
            return Ok(record.envelope);
        }
    }
    Err(anyhow!("the log holds no event yet; remove the data directory"))
}

/// An event as the collector would have stored it.
fn record(model: &Envelope, events: &mut Events) -> Bytes {
    let event = events.choose();
    let now = SystemClock.now().floor_to_millis();
    let time = now.to_string();
    let mut payload = Vec::with_capacity(1_200);
    events.write(&event, &time, &mut payload);
    payload.truncate(payload.len() - 1);
    for member in ["originalTimestamp", "sentAt", "receivedAt"] {
        payload.extend_from_slice(format!(",\"{member}\":\"{time}\"").as_bytes());
    }
    payload.push(b'}');
    let message_id = events.message_id(&event);
    // The hash is keyed with the installation's key; the projector does not read it, so any bytes weigh the same.
    let hash = mix(message_id.len() as u64 ^ now.as_micros().unsigned_abs());
    let hash = (u128::from(hash) << 64) | u128::from(mix(hash));
    let envelope = Envelope {
        kind: RecordKind::Event(events.kind(&event).of_model()),
        message_id: Some(MessageId::parse(&message_id).expect("message ids are short")),
        received_at: now,
        event_time: now,
        anchor_hash: Some(hash.to_be_bytes()),
        ..model.clone()
    };
    Record { envelope, payload: payload.into() }.encode()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::{EventKind, EventView, Marks, SourceId, WorkspaceId};

    fn envelope() -> Envelope {
        let at = SystemClock.now().floor_to_millis();
        Envelope {
            workspace: WorkspaceId(1),
            kind: RecordKind::Event(EventKind::Alias),
            workspace_version: 4,
            source: SourceId(2),
            message_id: None,
            received_at: at,
            event_time: at,
            marks: Marks::default(),
            schema_version: 1,
            key_id: 0,
            anchor_hash: None,
        }
    }

    #[test]
    fn a_record_is_what_the_collector_would_have_stored() {
        let model = envelope();
        let mut events = Events::new(Population::new(1, 100), 1, 9, 0);
        for _ in 0..50 {
            let record = Record::decode(&record(&model, &mut events)).expect("a record");
            let view = EventView::parse(&record.payload).expect("an event");
            assert_eq!(RecordKind::Event(view.kind), record.envelope.kind);
            assert_eq!((record.envelope.workspace_version, record.envelope.source), (4, SourceId(2)));
            let id = view.members().text("messageId").expect("an id");
            assert_eq!(record.envelope.message_id.expect("an id").as_str(), id);
            assert!(view.members().text("receivedAt").is_some());
        }
    }

    #[test]
    fn the_newest_event_is_the_model() {
        let directory = tempfile::tempdir().expect("a directory");
        let fatal = Arc::new(|reason: &str| panic!("{reason}"));
        // The machine that runs the tests may be short of space.
        let options = LogOptions { free_space_bytes: 0, ..LogOptions::new("events") };
        let log = EmbeddedLog::open(directory.path(), options, fatal).expect("a new log");
        assert!(model(&log).is_err());
        let version = Record::of_workspace(WorkspaceId(1), 1, SystemClock.now(), Some(Bytes::new()));
        let event = Record { envelope: envelope(), payload: Bytes::from_static(b"{}") };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let entries = vec![event.encode(), version.encode()];
        runtime.block_on(log.append(entries)).expect("appended");
        assert_eq!(model(&log).expect("an event"), event.envelope);
    }

    #[test]
    fn a_round_says_what_it_took() {
        let round = Round { told_ms: 40.4, accepted_ms: 55.0, ready_ms: None };
        assert_eq!(round.text(), "addresses 40 ms, first event accepted 55 ms, not ready in time");
        let round = Round { ready_ms: Some(300.2), ..round };
        assert!(round.text().ends_with("ready 300 ms"), "{}", round.text());
    }
}
