//! What the collector does to an event before it is stored: authenticate, normalize, check, encode.

use criterion::{Criterion, Throughput};
use std::hint::black_box;
use std::sync::Arc;
use tributary_bench::events::Events;
use tributary_bench::population::Population;
use tributary_eventlog::MemoryLog;
use tributary_ingest::{Collector, IngestLimits, WriteKeys};
use tributary_model::clock::ManualClock;
use tributary_model::workspace::{IdentityRules, Source};
use tributary_model::{HashKey, SourceId, Timestamp, Workspace, WorkspaceId};

const WRITE_KEY: &str = "wk_bench";
const TIME: &str = "2026-11-20T10:00:00.250Z";

fn collector() -> Collector {
    let at = Timestamp::parse(TIME).expect("a time");
    let workspace = Workspace {
        id: WorkspaceId(1),
        name: Workspace::DEFAULT_NAME.to_owned(),
        version: 1,
        created_at: at,
        next_id: 2,
        sources: vec![Source {
            id: SourceId(1),
            name: "bench".to_owned(),
            write_key: WRITE_KEY.to_owned(),
            enabled: true,
            created_at: at,
        }],
        destinations: Vec::new(),
        tokens: Vec::new(),
        identity: IdentityRules::default(),
        computed_traits: Vec::new(),
        audiences: Vec::new(),
        traits: Default::default(),
    };
    let write_keys = Arc::new(WriteKeys::new());
    write_keys.swap(&[Arc::new(workspace)]);
    Collector::new(
        Arc::new(MemoryLog::new()),
        Arc::new(MemoryLog::new()),
        write_keys,
        HashKey::derive(b"bench"),
        Arc::new(ManualClock::at(Timestamp::parse(TIME).expect("a time"))),
        IngestLimits::default(),
    )
}

fn batch(events: &mut Events, count: usize) -> Vec<u8> {
    let mut body = b"{\"batch\":[".to_vec();
    for place in 0..count {
        if place > 0 {
            body.push(b',');
        }
        let event = events.choose();
        events.write(&event, TIME, &mut body);
    }
    body.extend_from_slice(format!("],\"sentAt\":\"{TIME}\"}}").as_bytes());
    body
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let collector = collector();
    let mut events = Events::new(Population::new(1, 1_000), 1, 1, 0);
    let mut group = criterion.benchmark_group("check");
    for count in [1, 100] {
        let body = batch(&mut events, count);
        let ended = collector.dry_run(WRITE_KEY, &body).expect("a sound body");
        assert_eq!(ended, (count, 0), "every event is accepted");
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("batch of {count}"), |bencher| {
            bencher.iter(|| collector.dry_run(WRITE_KEY, black_box(&body)));
        });
    }
    group.finish();
    criterion.final_summary();
}
