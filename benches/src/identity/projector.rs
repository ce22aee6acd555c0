//! The whole projector, on sled, behind a log that makes its records up.

use super::cost::{Cost, Measured, Stopwatch, resident_bytes};
use super::logs::{Dropped, PeopleLog};
use super::people::{Circle, People};
use crate::load::directory;
use anyhow::{Context, bail};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tributary_eventlog::index::{IndexOptions, Indexes};
use tributary_model::HashKey;
use tributary_model::clock::SystemClock;
use tributary_profiles::{Progress, Projector, ProjectorOptions, ProjectorParts, StatePaths};

/// Makes about so many identifiers known, then projects so many events of known people, twice.
///
/// # Errors
/// If the projector fails, or its directory can't be made or weighed.
pub(super) fn measure(identifiers: u64, known: u64, scratch: Option<&Path>) -> anyhow::Result<Measured> {
    let place = directory::Place::temporary(scratch)?;
    std::fs::create_dir_all(place.path())
        .with_context(|| format!("{} can't be made", place.path().display()))?;
    let people = People::with_identifiers(identifiers);
    let before = resident_bytes()?;
    let run = Run::start(people, place.path())?;

    let tenth = people.events() - people.events() / 10;
    let mut making = run.up_to(tenth, links(&people, 0..tenth))?;
    let last_tenth = run.up_to(people.events(), links(&people, tenth..people.events()))?;
    making.add(&last_tenth);
    let memory_bytes = resident_bytes()?.saturating_sub(before);

    let mut rounds = Vec::with_capacity(4);
    for circle in [Circle::Familiar, Circle::Anybody] {
        // The first round fills the caches and is not counted.
        for _ in 0..2 {
            rounds.push(run.known(known, circle)?);
        }
    }
    let [_, familiar, _, anybody] = rounds[..] else { unreachable!("two circles, two rounds each") };
    run.stop()?;
    let weights = directory::weigh(&StatePaths::within(place.path()).state)?;
    Ok(Measured {
        graph: "projector".to_owned(),
        identifiers: people.identifiers(),
        making,
        last_tenth,
        familiar,
        anybody,
        memory_bytes,
        disk_bytes: Some(weights.values().sum()),
    })
}

/// How many links the events of these numbers bring.
fn links(people: &People, numbers: Range<u64>) -> u64 {
    numbers.map(|number| people.making(number).carried.links()).sum()
}

struct Run {
    projector: Projector,
    log: Arc<PeopleLog>,
    progress: watch::Receiver<Progress>,
    runtime: Runtime,
}

impl Run {
    fn start(people: People, data_dir: &Path) -> anyhow::Result<Self> {
        let database = fjall::Database::builder(data_dir.join("index")).worker_threads(2).open()?;
        let log = Arc::new(PeopleLog::new(people));
        let parts = ProjectorParts {
            events: log.clone(),
            activations: Arc::new(Dropped::default()),
            indexes: Arc::new(Indexes::open(database, IndexOptions::default())?),
            hash_key: HashKey::derive(b"bench"),
            clock: Arc::new(SystemClock),
        };
        let options = ProjectorOptions::new(StatePaths::within(data_dir));
        let projector =
            Projector::start(options, parts, |error| eprintln!("the projector failed: {error:#}"))?;
        let progress = projector.progress();
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        Ok(Self { projector, log, progress, runtime })
    }

    /// Lets the log grow up to `end`, and waits until that is visible.
    fn up_to(&self, end: u64, links: u64) -> anyhow::Result<Cost> {
        let events = end.saturating_sub(self.log.end());
        let mut progress = self.progress.clone();
        let stopwatch = Stopwatch::start();
        self.log.grow(end);
        let ended = self.runtime.block_on(progress.wait_for(|progress| progress.visible >= end)).is_err();
        if ended {
            bail!("the projector ended before it had read everything");
        }
        Ok(stopwatch.cost(events, links))
    }

    fn known(&self, events: u64, circle: Circle) -> anyhow::Result<Cost> {
        self.log.set_circle(circle);
        self.up_to(self.log.end() + events, 0)
    }

    fn stop(self) -> anyhow::Result<()> {
        Ok(self.projector.stop()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_projected_and_stored() {
        let measured = measure(3_000, 500, None).expect("measured");
        assert_eq!((measured.identifiers, measured.making.links), (3_000, 2_000));
        assert_eq!((measured.making.events, measured.last_tenth.events), (2_500, 250));
        assert_eq!((measured.familiar.events, measured.anybody.events), (500, 500));
        assert!(measured.disk_bytes.is_some_and(|bytes| bytes > 3_000), "{measured:?}");
    }
}
