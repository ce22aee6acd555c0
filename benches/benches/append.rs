//! What it costs to make events durable in the embedded log: 64 producers with 1 KB each, who wait for the fsync.

use bytes::Bytes;
use criterion::{Criterion, Throughput};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tributary_bench::events::Events;
use tributary_bench::population::Population;
use tributary_eventlog::{EmbeddedLog, EventLog, LogOptions};

const PRODUCERS: u64 = 64;
const TIME: &str = "2026-11-20T10:00:00.250Z";

fn open(directory: &Path) -> Arc<EmbeddedLog> {
    let fatal = Arc::new(|reason: &str| panic!("{reason}"));
    // The pause between commits is no work: it would be all that is seen.
    let options = LogOptions { commit_interval: Duration::ZERO, ..LogOptions::new("events") };
    Arc::new(EmbeddedLog::open(directory, options, fatal).expect("a new log"))
}

/// As many events of as many producers as fit; each appends the next when its last is durable.
async fn append(log: &Arc<EmbeddedLog>, events: u64, entry: &Bytes) -> Duration {
    let started = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (log, entry) = (Arc::clone(log), entry.clone());
            let share = events / PRODUCERS + u64::from(producer < events % PRODUCERS);
            tokio::spawn(async move {
                for _ in 0..share {
                    log.append(vec![entry.clone()]).await.expect("the log takes it");
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.expect("no producer panics");
    }
    started.elapsed()
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a directory");
    let log = open(directory.path());
    let mut events = Events::new(Population::new(1, 1_000), 1, 1, 0);
    let mut payload = Vec::new();
    let event = events.choose();
    events.write(&event, TIME, &mut payload);
    let entry = Bytes::from(payload);

    let mut group = criterion.benchmark_group("append");
    group.throughput(Throughput::Elements(1));
    group.bench_function("64 producers, one event each", |bencher| {
        bencher.iter_custom(|events| runtime.block_on(append(&log, events, &entry)));
    });
    group.throughput(Throughput::Elements(100));
    group.bench_function("one producer, 100 events", |bencher| {
        bencher.iter(|| runtime.block_on(log.append(vec![entry.clone(); 100])).expect("the log takes them"));
    });
    group.finish();
    log.close();
    criterion.final_summary();
}
