//! What is kept of a trait whose value is not simply the newest.
//!
//! A value that was removed (set to null) counts no more, unless it was set again after that. Everything is a
//! commutative merge.

use crate::condition::{Datum, canonical};
use crate::fragment::{Sighting, TraitValue};
use crate::id::SourceId;
use crate::workspace::MergePolicy;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// How many distinct values are kept of a trait; those first in the order of their texts.
pub const TRAIT_VALUES_MAX: usize = 200;
/// The longest value, as JSON text in bytes, that is kept.
pub const TRAIT_VALUE_BYTES_MAX: usize = 1000;

/// The values that a trait was ever set to.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TraitRecord {
    /// Distinct values, in canonical JSON: when each was set for the first and for the last time. At most
    /// [`TRAIT_VALUES_MAX`], those first in the order of their texts, and none over [`TRAIT_VALUE_BYTES_MAX`].
    values: BTreeMap<Box<str>, (TraitValue, TraitValue)>,
    /// The newest setting or removal by each source.
    by_source: BTreeMap<SourceId, TraitValue>,
    /// The newest removal.
    removed: Option<Sighting>,
    /// Whether values were left out because of a limit.
    is_cut: bool,
}

/// The value that a policy chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The value, as JSON text.
    pub json: String,
    /// Where it came from; of a union, the newest of its values.
    pub origin: TraitValue,
}

impl TraitRecord {
    /// Adds a setting to a value, as JSON text, or a removal.
    pub fn fold(&mut self, value: Option<&str>, sighting: &Sighting) {
        let entry = |value: Option<&str>| TraitValue {
            at: sighting.at,
            message_id: sighting.message_id.clone(),
            source: sighting.source,
            value: value.map(Into::into),
        };
        self.put_source(&entry(value));
        match value {
            Some(value) => self.put(canonical(value), &entry(Some(value)), &entry(Some(value))),
            None => {
                if self.removed.as_ref().is_none_or(|removed| removed < sighting) {
                    self.removed = Some(sighting.clone());
                }
            }
        }
    }

    /// Adds the value that the trait has: what set it may be older than the record. Doing so again changes nothing.
    pub fn seed(&mut self, known: &TraitValue) {
        let sighting = Sighting { at: known.at, message_id: known.message_id.clone(), source: known.source };
        self.fold(known.value.as_deref(), &sighting);
    }

    /// Merges another fragment's record in.
    pub fn merge(&mut self, other: &Self) {
        for (value, (first, last)) in &other.values {
            self.put(value.clone(), first, last);
        }
        for value in other.by_source.values() {
            self.put_source(value);
        }
        if other.removed > self.removed {
            self.removed.clone_from(&other.removed);
        }
        self.is_cut |= other.is_cut;
    }

    /// What a policy chooses; `None` if there is no value.
    pub fn chosen(&self, policy: &MergePolicy) -> Option<Chosen> {
        match policy {
            MergePolicy::Newest => self.newest(|_| true).and_then(plain),
            MergePolicy::Sources(sources) => sources
                .iter()
                .find_map(|source| self.by_source.get(source).filter(|value| value.value.is_some()))
                .or_else(|| self.newest(|source| !sources.contains(&source)))
                .and_then(plain),
            MergePolicy::Oldest => {
                let oldest =
                    self.alive().map(|(_, first, last)| if self.outlives(first) { first } else { last });
                oldest.min().and_then(plain)
            }
            MergePolicy::Max => self.extreme(|one, other| one > other),
            MergePolicy::Min => self.extreme(|one, other| one < other),
            MergePolicy::Union => self.union(),
        }
    }

    /// Every value that is kept, in canonical JSON, whether it counts or was removed.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(|value| &**value)
    }

    /// Whether values were left out because of a limit.
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> u64 {
        let values: usize = self.values.keys().map(|value| 300 + 3 * value.len()).sum();
        (200 + values + 150 * self.by_source.len()) as u64
    }

    fn put(&mut self, value: Box<str>, first: &TraitValue, last: &TraitValue) {
        if value.len() > TRAIT_VALUE_BYTES_MAX {
            self.is_cut = true;
            return;
        }
        match self.values.get_mut(&value) {
            Some((our_first, our_last)) => {
                if first < our_first {
                    our_first.clone_from(first);
                }
                if last > our_last {
                    our_last.clone_from(last);
                }
            }
            None => {
                self.values.insert(value, (first.clone(), last.clone()));
            }
        }
        while self.values.len() > TRAIT_VALUES_MAX {
            self.values.pop_last();
            self.is_cut = true;
        }
    }

    fn put_source(&mut self, value: &TraitValue) {
        match self.by_source.get_mut(&value.source) {
            Some(have) if *have >= *value => {}
            Some(have) => have.clone_from(value),
            None => {
                self.by_source.insert(value.source, value.clone());
            }
        }
    }

    /// Whether a setting is later than the newest removal.
    fn outlives(&self, value: &TraitValue) -> bool {
        self.removed.as_ref().is_none_or(|removed| {
            (value.at, &value.message_id, value.source) > (removed.at, &removed.message_id, removed.source)
        })
    }

    /// The values that count, with their first and last setting.
    fn alive(&self) -> impl Iterator<Item = (&str, &TraitValue, &TraitValue)> {
        self.values
            .iter()
            .filter(|(_, (_, last))| self.outlives(last))
            .map(|(value, (first, last))| (&**value, first, last))
    }

    fn newest(&self, of: impl Fn(SourceId) -> bool) -> Option<&TraitValue> {
        self.by_source.values().filter(|value| of(value.source)).max()
    }

    fn extreme(&self, is_better: impl Fn(&Datum, &Datum) -> bool) -> Option<Chosen> {
        let mut best: Option<(Datum, &TraitValue)> = None;
        for (value, _, last) in self.alive() {
            let number @ Datum::Number(_) = Datum::parse(value) else { continue };
            if best.as_ref().is_none_or(|(best, _)| is_better(&number, best)) {
                best = Some((number, last));
            }
        }
        best.and_then(|(_, value)| plain(value))
    }

    fn union(&self) -> Option<Chosen> {
        let mut texts: BTreeSet<Box<str>> = BTreeSet::new();
        let mut newest: Option<&TraitValue> = None;
        for (value, _, last) in self.alive() {
            match serde_json::from_str::<Vec<&RawValue>>(value) {
                Ok(elements) => texts.extend(elements.iter().map(|element| canonical(element.get()))),
                Err(_) => {
                    texts.insert(value.into());
                }
            }
            newest = newest.max(Some(last));
        }
        let texts: Vec<&str> = texts.iter().map(|text| &**text).collect();
        Some(Chosen { json: format!("[{}]", texts.join(",")), origin: newest?.clone() })
    }
}

fn plain(value: &TraitValue) -> Option<Chosen> {
    let json = value.value.as_deref()?.to_owned();
    Some(Chosen { json, origin: value.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::MessageId;
    use crate::time::Timestamp;
    use proptest::prelude::*;

    type Setting = (i64, u32, Option<&'static str>);
    type Numbered = (usize, (i64, u32, Option<u8>));

    fn sighting(at: i64, source: u32, number: usize) -> Sighting {
        let message_id = MessageId::parse(&format!("m{number}")).expect("an id");
        Sighting { at: Timestamp::from_millis(at), message_id, source: SourceId(source) }
    }

    fn record(settings: &[Setting]) -> TraitRecord {
        let mut record = TraitRecord::default();
        for (number, (at, source, value)) in settings.iter().enumerate() {
            record.fold(*value, &sighting(*at, *source, number));
        }
        record
    }

    #[test]
    fn policies_choose() {
        let settings: [Setting; 5] = [
            (10, 1, Some("5")),
            (20, 2, Some("9.0")),
            (30, 1, Some("7")),
            (40, 2, Some("\"x\"")),
            (5, 3, Some("[\"x\",\"a\"]")),
        ];
        let cases = [
            (MergePolicy::Newest, Some("\"x\"")),
            (MergePolicy::Oldest, Some("[\"x\",\"a\"]")),
            (MergePolicy::Max, Some("9.0")),
            (MergePolicy::Min, Some("5")),
            (MergePolicy::Union, Some(r#"["a","x",5,7,9]"#)),
            (MergePolicy::Sources(vec![SourceId(3), SourceId(1)]), Some("[\"x\",\"a\"]")),
            (MergePolicy::Sources(vec![SourceId(9), SourceId(1)]), Some("7")),
            (MergePolicy::Sources(vec![SourceId(9)]), Some("\"x\"")),
        ];
        for (policy, want) in cases {
            let got = record(&settings).chosen(&policy).map(|chosen| chosen.json);
            assert_eq!(got.as_deref(), want, "{policy:?}");
        }
    }

    #[test]
    fn a_removal_ends_what_was_set_before() {
        let settings: [Setting; 4] =
            [(10, 1, Some("9")), (20, 1, Some("3")), (30, 1, None), (40, 2, Some("3"))];
        let cases = [
            (MergePolicy::Max, Some("3")),
            (MergePolicy::Oldest, Some("3")),
            (MergePolicy::Union, Some("[3]")),
            (MergePolicy::Sources(vec![SourceId(1)]), Some("3")),
        ];
        for (policy, want) in cases {
            let got = record(&settings).chosen(&policy).map(|chosen| chosen.json);
            assert_eq!(got.as_deref(), want, "{policy:?}");
        }
        for policy in [MergePolicy::Newest, MergePolicy::Max, MergePolicy::Union] {
            assert_eq!(record(&settings[..3]).chosen(&policy), None, "{policy:?}");
        }
    }

    proptest! {
        #[test]
        fn neither_order_nor_fragments_make_a_difference(
            settings in prop::collection::vec((0i64..20, 1u32..4, prop::option::of(0u8..6)), 0..30),
            cut in 0usize..30,
            turn in 0usize..30,
        ) {
            let fold = |from: &[Numbered]| {
                let mut record = TraitRecord::default();
                for (number, (at, source, value)) in from {
                    let value = value.map(|value| value.to_string());
                    record.fold(value.as_deref(), &sighting(*at, *source, *number));
                }
                record
            };
            let all: Vec<_> = settings.into_iter().enumerate().collect();
            let whole = fold(&all);
            let mut turned = all.clone();
            if !turned.is_empty() {
                let by = turn % turned.len();
                turned.rotate_left(by);
            }
            let (one, other) = turned.split_at(cut.min(turned.len()));
            let mut merged = fold(other);
            merged.merge(&fold(one));
            prop_assert_eq!(merged, whole);
        }
    }
}
