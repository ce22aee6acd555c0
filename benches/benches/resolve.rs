//! What it costs to resolve an event among 100,000 people: known ones by popularity, and new ones.

use criterion::Criterion;
use std::hint::black_box;
use tributary_bench::events::{Event, Events};
use tributary_bench::population::Population;
use tributary_identity::{Context, Evidence, MemoryGraph, resolve};
use tributary_model::identity_rules::{EventIdentifiers, IdentifierReader, IdentityRules};
use tributary_model::{EventView, HashKey, MessageId, Position, SourceId, Timestamp, WorkspaceId};

const PEOPLE: u64 = 100_000;
const WORKSPACE: WorkspaceId = WorkspaceId(1);
const TIME: &str = "2026-11-20T10:00:00.250Z";
/// Events of known people that are resolved over and over.
const KNOWN: usize = 4_096;

struct Bench {
    events: Events,
    graph: MemoryGraph,
    rules: IdentityRules,
    reader: IdentifierReader,
    hash_key: HashKey,
    evidence: Evidence,
}

impl Bench {
    fn new() -> Self {
        let at = Timestamp::parse(TIME).expect("a time");
        let message_id = MessageId::parse("ajs-next-00000001-0000-4000-8000-000000000001").expect("an id");
        let rules = IdentityRules::default();
        Self {
            events: Events::new(Population::new(1, PEOPLE), 1, 1, 0),
            graph: MemoryGraph::new(),
            reader: IdentifierReader::new(&rules).expect("the default rules work"),
            rules,
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

    fn identifiers(&self, event: &Event) -> EventIdentifiers {
        let mut payload = Vec::new();
        self.events.write(event, TIME, &mut payload);
        self.reader.read(&EventView::parse(&payload).expect("an event"))
    }

    fn identify(&mut self, person: u64) -> EventIdentifiers {
        let event = self.events.identify(person);
        self.identifiers(&event)
    }

    fn resolve(&mut self, identifiers: &EventIdentifiers) {
        self.evidence.position.sequence += 1;
        let context = Context {
            workspace: WORKSPACE,
            rules: &self.rules,
            hash_key: &self.hash_key,
            log_time: self.evidence.received_at,
        };
        let resolved = resolve(&mut self.graph, &context, identifiers, &self.evidence);
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
    let known: Vec<EventIdentifiers> = (0..KNOWN)
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
