//! `load prepare`: a data directory in which everybody has a profile.
//!
//! The product itself makes it: one `identify` call for each person, with all three identifiers, sent in batches as
//! fast as they are answered. So the directory is what a server would have after such a day, logs and indexes
//! included. Left out is age: nothing has been overwritten yet.

use super::control::Control;
use super::directory::Stamp;
use super::drive::{Composer, new_salt};
use super::http::Connection;
use super::server::{Launch, Started};
use crate::events::{Event, Events};
use crate::population::Population;
use anyhow::{Context, bail, ensure};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// People in a request.
const BATCH: u64 = 250;
/// Requests under way at once.
const CONNECTIONS: u16 = 4;
/// How long the server may take to be ready.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// The flags of `load prepare`.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct PrepareArgs {
    /// The binary of Tributary
    #[arg(long, value_name = "BINARY")]
    start: PathBuf,
    /// An argument for the server; can be given several times
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    server_arg: Vec<String>,
    /// The directory, which must be empty or missing, or hold these people already
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// How many people
    #[arg(long, value_name = "NUMBER", default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    people: u64,
    /// Who they are
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

/// Runs the command.
///
/// # Errors
/// If the directory holds something else, or the server does not take everybody.
pub(crate) fn command(args: &PrepareArgs) -> anyhow::Result<()> {
    let stamp = Stamp { seed: args.seed, people: args.people };
    let directory = args.data_dir.display();
    match Stamp::read(&args.data_dir)? {
        Some(there) if there == stamp => {
            println!("{directory} holds these {} people already", stamp.people);
            return Ok(());
        }
        Some(other) => {
            bail!("{directory} holds {} people of seed {}; name another", other.people, other.seed)
        }
        None => {}
    }
    let taken = std::fs::read_dir(&args.data_dir).is_ok_and(|mut entries| entries.next().is_some());
    ensure!(!taken, "{directory} is not empty, and holds no finished population: remove it, or name another");
    let launch =
        Launch { binary: args.start.clone(), arguments: args.server_arg.clone(), environment: Vec::new() };
    let started = Instant::now();
    let server = launch.start(&args.data_dir)?;
    fill(&server, stamp)?;
    server.stop()?;
    // Last: a directory with a stamp is whole.
    stamp.write(&args.data_dir)?;
    println!("{directory} holds {} people, made in {:.0} s", stamp.people, started.elapsed().as_secs_f64());
    Ok(())
}

/// Sends everybody, and waits until everybody has a profile.
///
/// # Errors
/// If the server refuses somebody, or has another number of profiles in the end.
pub(crate) fn fill(server: &Started, stamp: Stamp) -> anyhow::Result<()> {
    let target = &server.target;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut control = Control::new(target.api, &target.token);
        control.ready(READY_WITHIN).await?;
        let before = control.figures(None).await?;
        let (next, salt) = (Arc::new(AtomicU64::new(0)), new_salt());
        let mut workers = Vec::new();
        for worker in 0..CONNECTIONS {
            let events = Events::new(Population::new(stamp.seed, stamp.people), stamp.seed, salt, worker);
            let composer = Composer::of(target.http, &target.write_key, false);
            workers.push(tokio::spawn(send(target.http, composer, events, stamp.people, Arc::clone(&next))));
        }
        for worker in workers {
            worker.await.context("a connection's task panicked")??;
        }
        let settled = control.settle(&before, None).await?;
        let profiles = settled.figures.profiles;
        ensure!(settled.done, "the projector stands still after {profiles} profiles");
        ensure!(profiles == stamp.people, "{profiles} profiles came of {} people", stamp.people);
        Ok(())
    })
}

async fn send(
    address: SocketAddr,
    mut composer: Composer,
    mut events: Events,
    people: u64,
    next: Arc<AtomicU64>,
) -> anyhow::Result<()> {
    let mut connection = Connection::new(address);
    loop {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        if first >= people {
            return Ok(());
        }
        let chosen: Vec<Event> =
            (first..people.min(first + BATCH)).map(|person| events.identify(person)).collect();
        composer.compose(&events, &chosen);
        let answer = connection.exchange(composer.request()).await?;
        let (status, body) = (answer.status, String::from_utf8_lossy(answer.body));
        ensure!(status == 200, "the server answered {status}: {body}");
    }
}
