//! What it costs to bring a checkpoint of 10,000 changed entries into sled: redo record, fsync, batches, fsync.
//!
//! The entries are those that 10,000 `identify` calls leave: fragments under their keys, among 100,000 that are there.

use criterion::{BatchSize, Criterion, Throughput};
use std::sync::Arc;
use tributary_bench::events::Events;
use tributary_bench::population::Population;
use tributary_model::fragment::Sighting;
use tributary_model::{
    EventView, Fragment, HashKey, Identifier, MessageId, Namespace, NodeKey, SourceId, Timestamp, WorkspaceId,
};
use tributary_profiles::checkpoint::Checkpointer;
use tributary_profiles::codec::{Checkpoint, Value};
use tributary_profiles::key::Key;
use tributary_profiles::sled_store::SledStore;
use tributary_profiles::state::Changes;

const PEOPLE: u64 = 100_000;
const CHANGES: u64 = 10_000;
const CACHE_BYTES: u64 = 128 << 20;
const TIME: &str = "2026-11-20T10:00:00.250Z";

struct Bench {
    population: Population,
    events: Events,
    turn: u64,
}

impl Bench {
    /// The fragments of the next so many people, each with one more event.
    fn changes(&mut self, count: u64) -> Changes {
        let mut changes = Changes::default();
        let mut payload = Vec::new();
        for _ in 0..count {
            self.turn += 1;
            // A stride without a common factor: neighbours in time are none in the store.
            let person = self.turn * 7_919 % PEOPLE;
            let event = self.events.identify(person);
            payload.clear();
            self.events.write(&event, TIME, &mut payload);
            let mut fragment = Fragment::default();
            let sighting = Sighting {
                at: Timestamp::from_micros(i64::try_from(self.turn).expect("small")),
                message_id: MessageId::parse(&self.events.message_id(&event)).expect("an id"),
                source: SourceId(1),
            };
            fragment.fold(&EventView::parse(&payload).expect("an event"), &sighting);
            let user_id = self.population.user_id(person);
            let identifier = Identifier::parse(Namespace::USER_ID, &user_id).expect("a user id");
            let key = Key::fragment(WorkspaceId(1), &NodeKey::first_epoch(identifier));
            changes.insert(key, Some(Value::Fragment(Arc::new(fragment))));
        }
        changes
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let directory = tempfile::tempdir().expect("a directory");
    let store = SledStore::open(&directory.path().join("sled"), CACHE_BYTES).expect("a new store");
    let hash_key = HashKey::derive(b"bench").fingerprint();
    let (mut checkpointer, checkpoint) =
        Checkpointer::open(&directory.path().join("redo"), Arc::new(store), hash_key)
            .expect("a new redo log");
    let population = Population::new(1, PEOPLE);
    let mut bench = Bench { population, events: Events::new(population, 1, 1, 0), turn: 0 };
    let everybody = bench.changes(PEOPLE);
    checkpointer.write(&everybody, checkpoint, || {}).expect("written");

    let mut group = criterion.benchmark_group("checkpoint");
    group.throughput(Throughput::Elements(CHANGES)).sample_size(10);
    let mut next = 0;
    group.bench_function("10,000 changed entries", |bencher| {
        bencher.iter_batched(
            || bench.changes(CHANGES),
            |changes| {
                next += 1;
                let checkpoint = Checkpoint { next, ..checkpoint };
                checkpointer.write(&changes, checkpoint, || {}).expect("written");
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
    criterion.final_summary();
}
