//! What it costs to resolve an event among 100,000 people: known ones by popularity, and new ones.

use criterion::Criterion;
use std::hint::black_box;
use tributary_bench::events::{Event, Events};
use tributary_bench::population::Population;
use tributary_identity::{Evidence, MemoryGraph, resolve};
use tributary_model::identifier::identifiers_of;
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    EventView, HashKey, Identifier, MessageId, Position, SourceId, Timestamp, WorkspaceId,
};

const PEOPLE: u64 = 100_000;
const WORKSPACE: WorkspaceId = WorkspaceId(1);
const TIME: &str = "2026-11-20T10:00:00.250Z";
/// Events of known people that are resolved over and over.
const KNOWN: usize = 4_096;

struct Bench {
    events: Events,
    graph: MemoryGraph,
    rules: IdentityRules,
    hash_key: HashKey,
    evidence: Evidence,
}

impl Bench {
    fn new() -> Self {
        let at = Timestamp::parse(TIME).expect("a time");
        let message_id = MessageId::parse("ajs-next-00000001-0000-4000-8000-000000000001").expect("an id");
        Self {
            events: Events::new(Population::new(1, PEOPLE), 1, 1, 0),
            graph: MemoryGraph::new(),
            rules: IdentityRules::default(),
            hash_key: HashKey::derive(b"bench"),
            evidence: Evidence {
                position: Position::at(0),
                message_id,
                source: SourceId(1),
                received_at: at,
                event_time: at,
            },
        }
    }

    fn identifiers(&self, event: &Event) -> Vec<Identifier> {
        let mut payload = Vec::new();
        self.events.write(event, TIME, &mut payload);
        identifiers_of(&EventView::parse(&payload).expect("an event"), &self.rules)
    }

    fn identify(&mut self, person: u64) -> Vec<Identifier> {
        let event = self.events.identify(person);
        self.identifiers(&event)
    }

    fn resolve(&mut self, identifiers: &[Identifier]) {
        self.evidence.position.sequence += 1;
        let resolved =
            resolve(&mut self.graph, WORKSPACE, &self.rules, &self.hash_key, identifiers, &self.evidence);
        black_box(resolved.expect("a sound graph"));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut bench = Bench::new();
    for person in 0..PEOPLE {
        let identifiers = bench.identify(person);
        bench.resolve(&identifiers);
    }
    let known: Vec<Vec<Identifier>> = (0..KNOWN)
        .map(|_| {
            let event = bench.events.choose();
            bench.identifiers(&event)
        })
        .collect();
    let mut turn = 0;
    criterion.bench_function("resolve/known person", |bencher| {
        bencher.iter(|| {
            turn = (turn + 1) % KNOWN;
            bench.resolve(&known[turn]);
        });
    });
    // People are made of their number, so there are always new ones.
    let mut person = PEOPLE;
    criterion.bench_function("resolve/new person, event included", |bencher| {
        bencher.iter(|| {
            person += 1;
            let identifiers = bench.identify(person);
            bench.resolve(&identifiers);
        });
    });
    criterion.final_summary();
}
