//! Resolution alone, on the graph in memory.

use super::cost::{Cost, Measured, Stopwatch, resident_bytes};
use super::people::{Circle, People, Said, arrival, message_id};
use anyhow::bail;
use std::hint::black_box;
use std::ops::Range;
use tributary_identity::{Context, Evidence, MemoryGraph, resolve};
use tributary_model::identity_rules::{EventIdentifiers, IdentityRules};
use tributary_model::{HashKey, Position, SourceId, WorkspaceId};

const WORKSPACE: WorkspaceId = WorkspaceId(1);
/// So many events are prepared before the clock runs.
const BATCH: u64 = 10_000;

struct Bench {
    people: People,
    graph: MemoryGraph,
    rules: IdentityRules,
    hash_key: HashKey,
    /// The next record of a log that there would be.
    sequence: u64,
    /// How many profiles there are.
    profiles: i64,
}

/// An event, ready to be resolved.
struct Prepared {
    identifiers: EventIdentifiers,
    evidence: Evidence,
    links: u64,
}

/// Makes about so many identifiers known, then resolves so many events of known people, twice.
///
/// # Errors
/// If the graph contradicts itself, or its profiles are not the people.
pub(super) fn measure(identifiers: u64, known: u64) -> anyhow::Result<Measured> {
    let people = People::with_identifiers(identifiers);
    let mut bench = Bench {
        people,
        graph: MemoryGraph::new(),
        rules: IdentityRules::default(),
        hash_key: HashKey::derive(b"bench"),
        sequence: 0,
        profiles: 0,
    };
    let before = resident_bytes()?;
    let events = people.events();
    let (mut making, mut last_tenth) = (Cost::default(), Cost::default());
    for first in (0..events).step_by(usize::try_from(BATCH)?) {
        let cost = bench.batch((first..events.min(first + BATCH)).map(|number| people.making(number)))?;
        making.add(&cost);
        if first >= events - events / 10 {
            last_tenth.add(&cost);
        }
    }
    let memory_bytes = resident_bytes()?.saturating_sub(before);
    if u64::try_from(bench.profiles) != Ok(people.people()) {
        bail!("{} people have {} profiles", people.people(), bench.profiles);
    }
    let familiar = bench.known(known, Circle::Familiar)?;
    let anybody = bench.known(known, Circle::Anybody)?;
    Ok(Measured {
        graph: "memory".to_owned(),
        identifiers: people.identifiers(),
        making,
        last_tenth,
        familiar,
        anybody,
        memory_bytes,
        disk_bytes: None,
    })
}

impl Bench {
    /// So many events of known people, after as many that nobody counts.
    fn known(&mut self, events: u64, circle: Circle) -> anyhow::Result<Cost> {
        self.round(0..events, circle)?;
        self.round(events..2 * events, circle)
    }

    fn round(&mut self, numbers: Range<u64>, circle: Circle) -> anyhow::Result<Cost> {
        let people = self.people;
        let mut cost = Cost::default();
        for first in numbers.clone().step_by(usize::try_from(BATCH)?) {
            let said = (first..numbers.end.min(first + BATCH)).map(|number| people.known(number, circle));
            cost.add(&self.batch(said)?);
        }
        Ok(cost)
    }

    fn batch(&mut self, said: impl Iterator<Item = Said>) -> anyhow::Result<Cost> {
        let prepared: Vec<Prepared> = said.map(|said| self.prepare(said)).collect();
        let stopwatch = Stopwatch::start();
        for event in &prepared {
            let context = Context {
                workspace: WORKSPACE,
                rules: &self.rules,
                hash_key: &self.hash_key,
                log_time: event.evidence.received_at,
            };
            let resolution = resolve(&mut self.graph, &context, &event.identifiers, &event.evidence)?;
            self.profiles += black_box(resolution).map_or(0, |resolution| resolution.profiles_delta);
        }
        let links = prepared.iter().map(|event| event.links).sum();
        Ok(stopwatch.cost(prepared.len() as u64, links))
    }

    fn prepare(&mut self, said: Said) -> Prepared {
        let sequence = self.sequence;
        self.sequence += 1;
        let at = arrival(sequence);
        Prepared {
            identifiers: EventIdentifiers {
                identifiers: self.people.identifiers_of(said),
                blocked: Vec::new(),
                previous: None,
            },
            evidence: Evidence {
                position: Position::at(sequence),
                message_id: message_id(sequence),
                source: SourceId(1),
                received_at: at,
                event_time: at,
            },
            links: said.carried.links(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_resolved_and_counted() {
        let measured = measure(3_000, 500).expect("measured");
        assert_eq!((measured.identifiers, measured.making.links), (3_000, 2_000));
        assert_eq!(measured.making.events, 2_500);
        assert_eq!((measured.familiar.events, measured.anybody.events), (500, 500));
    }
}
