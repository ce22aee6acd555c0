//! The scorecard as text.

use super::measure::{EventRates, Score, SharedIdentifier};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// The scores of every policy, over the same crowd.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Scorecard {
    pub(super) seed: u64,
    pub(super) people: u64,
    pub(super) scores: Vec<Score>,
}

/// How wide the names of rows are, and the columns of policies.
const NAME: usize = 44;
const COLUMN: usize = 17;

impl fmt::Display for Scorecard {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(first) = self.scores.first() else { return Ok(()) };
        let events = first.events.events + first.unidentified_events;
        writeln!(out, "{} people, {events} events (seed {})\n", self.people, self.seed)?;
        self.row(out, "shared devices belong to", |score| score.policy.to_owned())?;
        self.row(out, "profiles", |score| score.profiles.to_string())?;
        writeln!(out, "\nPairs of identifiers that are one person's alone")?;
        self.row(out, "  precision", |score| rate(score.identifier_pairs.rates.precision))?;
        self.row(out, "  recall", |score| rate(score.identifier_pairs.rates.recall))?;
        self.row(out, "  recall, if no tie were missed", |score| {
            rate(score.identifier_pairs.recall_at_best)
        })?;
        self.row(out, "over-merged profiles", |score| score.over_merged_profiles.to_string())?;
        self.row(out, "over-merged people", |score| score.over_merged_people.to_string())?;
        self.row(out, "split people", |score| score.split_people.to_string())?;
        self.row(out, "  of them needlessly", |score| score.needlessly_split_people.to_string())?;

        writeln!(out, "\nEvents: precision / recall")?;
        self.row(out, "all", |score| both(&score.events))?;
        self.row(out, "on shared devices", |score| both(&score.events_on_shared_devices))?;
        self.row(out, "on people's own devices", |score| both(&score.events_on_own_devices))?;
        for (place, circumstance) in first.by_circumstance.iter().enumerate() {
            let name = format!("  {} ({} people)", circumstance.circumstance, circumstance.events.people);
            self.row(out, &name, |score| {
                score.by_circumstance.get(place).map_or_else(String::new, |row| both(&row.events))
            })?;
        }

        writeln!(out, "\nIdentifiers of several people, left out of the pairs")?;
        for (kind, shared) in kinds(&first.shared_identifiers) {
            writeln!(out, "  {kind:<width$}{shared}", width = NAME - 2)?;
        }
        writeln!(out)?;
        self.row(out, "profiles with two user ids", |score| score.joined_user_ids.to_string())
    }
}

impl Scorecard {
    fn row(&self, out: &mut fmt::Formatter<'_>, name: &str, value: impl Fn(&Score) -> String) -> fmt::Result {
        write!(out, "{name:<NAME$}")?;
        for score in &self.scores {
            write!(out, "{:>COLUMN$}", value(score))?;
        }
        writeln!(out)
    }
}

fn rate(rate: f64) -> String {
    format!("{rate:.4}")
}

fn both(events: &EventRates) -> String {
    format!("{:.3} / {:.3}", events.rates.precision, events.rates.recall)
}

/// Shared identifiers of one circumstance and namespace.
#[derive(Default)]
struct Shared {
    identifiers: u64,
    people: u64,
    calls: u64,
}

impl fmt::Display for Shared {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each = self.people as f64 / self.identifiers.max(1) as f64;
        write!(out, "{} of {each:.1} people each, in {} events", self.identifiers, self.calls)
    }
}

fn kinds(shared: &[SharedIdentifier]) -> BTreeMap<String, Shared> {
    let mut kinds: BTreeMap<String, Shared> = BTreeMap::new();
    for identifier in shared {
        let kind = format!("{}: {}", identifier.circumstance, identifier.namespace);
        let kind = kinds.entry(kind).or_default();
        kind.identifiers += 1;
        kind.people += identifier.people;
        kind.calls += identifier.calls;
    }
    kinds
}
