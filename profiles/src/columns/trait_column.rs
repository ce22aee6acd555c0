//! The values of one trait: a dictionary of distinct values, and for each profile which one it has.

use super::{Sides, no_room};
use roaring::RoaringBitmap;
use rustc_hash::FxHashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

/// The longest value, as JSON text in bytes, that is kept.
const VALUE_BYTES_MAX: usize = 1000;
/// How many distinct values are kept of a trait.
const DISTINCT_MAX: usize = 1 << 20;
/// About how much a distinct value takes beside its text, in bytes.
const VALUE_OVERHEAD: usize = 56;

/// The profile does not have the trait.
const MISSING: u32 = 0;
/// It has it, and the value is not kept because of a limit.
const NOT_KEPT: u32 = 1;
/// Smaller codes are none of the dictionary's.
const FIRST: u32 = 2;

/// How many bytes of values may yet be kept, of all traits together.
#[derive(Debug)]
pub(super) struct Room(pub(super) usize);

/// A distinct value.
#[derive(Debug)]
struct Entry {
    json: Box<str>,
    /// How many profiles have it. At zero its place may be taken.
    profiles: u32,
}

/// The values of one trait.
#[derive(Debug, Default)]
pub(crate) struct TraitColumn {
    dictionary: Vec<Entry>,
    free: Vec<u32>,
    by_hash: FxHashMap<u64, u32>,
    codes: Codes,
}

impl TraitColumn {
    /// Sets the value of a profile's trait, as JSON text; `None` for none.
    pub(super) fn set(&mut self, doc: u32, value: Option<&str>, room: &mut Room) {
        let had = self.codes.get(doc);
        if self.json(had) == value && had != NOT_KEPT {
            return;
        }
        let has = value.map_or(MISSING, |value| self.take(value, room));
        if has == NOT_KEPT {
            no_room("value");
        }
        self.release(had, room);
        self.codes.set(doc, has);
    }

    /// The value of a profile's trait, if it is kept.
    fn json(&self, code: u32) -> Option<&str> {
        let place = code.checked_sub(FIRST)?;
        self.dictionary.get(place as usize).map(|entry| &*entry.json)
    }

    /// The profiles for whose value something holds, of these live ones; `of_missing` says whether it holds of none.
    pub(crate) fn sides(
        &self,
        live: &RoaringBitmap,
        of_missing: bool,
        mut holds: impl FnMut(&str) -> bool,
    ) -> Sides {
        let mut truths: Vec<Option<bool>> = vec![None; self.dictionary.len()];
        let (mut yes, mut no, mut unknown) =
            (RoaringBitmap::new(), RoaringBitmap::new(), RoaringBitmap::new());
        self.codes.each(&mut |doc, code| {
            let Some(json) = self.json(code) else {
                unknown.insert(doc);
                return;
            };
            let truth = truths.get_mut((code - FIRST) as usize).expect("there is one for each value");
            let place = if *truth.get_or_insert_with(|| holds(json)) { &mut yes } else { &mut no };
            place.insert(doc);
        });
        let mut must = if of_missing { &(live - &no) - &unknown } else { yes };
        must &= live;
        let may = &must | &(&unknown & live);
        Sides { must, may }
    }

    /// As [`TraitColumn::sides`], of two values each.
    pub(crate) fn sides_with(
        &self,
        other: &Self,
        live: &RoaringBitmap,
        mut holds: impl FnMut(Option<&str>, Option<&str>) -> bool,
    ) -> Sides {
        let (mut must, mut unknown) = (RoaringBitmap::new(), RoaringBitmap::new());
        for doc in live {
            let (left, right) = (self.codes.get(doc), other.codes.get(doc));
            if left == NOT_KEPT || right == NOT_KEPT {
                unknown.insert(doc);
            } else if holds(self.json(left), other.json(right)) {
                must.insert(doc);
            }
        }
        let may = &must | &unknown;
        Sides { must, may }
    }

    /// About how many bytes the codes and the places of values take; texts are counted by [`Room`].
    pub(super) fn bytes(&self) -> usize {
        self.codes.bytes() + 4 * self.free.capacity()
    }

    /// The code of a value, whose profiles are one more now.
    fn take(&mut self, value: &str, room: &mut Room) -> u32 {
        if value.len() > VALUE_BYTES_MAX {
            return NOT_KEPT;
        }
        let hash = hash(value);
        if let Some(code) = self.by_hash.get(&hash).copied() {
            let entry = self.entry(code);
            // Of two values with one hash the first is kept.
            if *entry.json != *value {
                return NOT_KEPT;
            }
            entry.profiles += 1;
            return code;
        }
        let bytes = value.len() + VALUE_OVERHEAD;
        if room.0 < bytes || self.by_hash.len() >= DISTINCT_MAX {
            return NOT_KEPT;
        }
        room.0 -= bytes;
        let entry = Entry { json: value.into(), profiles: 1 };
        let code = match self.free.pop() {
            Some(code) => {
                *self.entry(code) = entry;
                code
            }
            None => {
                self.dictionary.push(entry);
                u32::try_from(self.dictionary.len()).expect("far below the limit of distinct values") + FIRST
                    - 1
            }
        };
        self.by_hash.insert(hash, code);
        code
    }

    /// One profile less has the value of this code.
    fn release(&mut self, code: u32, room: &mut Room) {
        if code < FIRST {
            return;
        }
        let entry = self.entry(code);
        entry.profiles -= 1;
        if entry.profiles == 0 {
            let json = std::mem::take(&mut entry.json);
            self.by_hash.remove(&hash(&json));
            self.free.push(code);
            room.0 += json.len() + VALUE_OVERHEAD;
        }
    }

    fn entry(&mut self, code: u32) -> &mut Entry {
        self.dictionary.get_mut((code - FIRST) as usize).expect("codes name places of the dictionary")
    }
}

fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Which value each profile has: by profile where few have one, else one after the other.
#[derive(Debug)]
enum Codes {
    Few(FxHashMap<u32, u32>),
    Many {
        codes: Vec<u32>,
        /// How many are not [`MISSING`].
        count: usize,
    },
}

impl Default for Codes {
    fn default() -> Self {
        Self::Few(FxHashMap::default())
    }
}

/// An entry of a map takes about as much memory as so many of a list.
const FEW: usize = 4;
/// Below so many values a map is small enough, however it compares.
const MANY_MIN: usize = 1024;

impl Codes {
    fn get(&self, doc: u32) -> u32 {
        match self {
            Self::Few(codes) => codes.get(&doc).copied().unwrap_or(MISSING),
            Self::Many { codes, .. } => codes.get(doc as usize).copied().unwrap_or(MISSING),
        }
    }

    fn set(&mut self, doc: u32, code: u32) {
        match self {
            Self::Few(codes) if code == MISSING => {
                codes.remove(&doc);
            }
            Self::Few(codes) => {
                codes.insert(doc, code);
                // Asked where the number has just doubled, so that the largest is not sought each time.
                if codes.len() >= MANY_MIN && codes.len().is_power_of_two() {
                    let end = codes.keys().copied().max().map_or(0, |last| last as usize + 1);
                    if end < codes.len() * FEW {
                        *self = Self::many(codes, end);
                    }
                }
            }
            Self::Many { codes, count } => {
                let place = doc as usize;
                if place >= codes.len() {
                    if code == MISSING {
                        return;
                    }
                    if place > *count * FEW * 2 {
                        let few = (0..).zip(&*codes).filter(|(_, code)| **code != MISSING);
                        let mut few: FxHashMap<u32, u32> = few.map(|(doc, code)| (doc, *code)).collect();
                        few.insert(doc, code);
                        *self = Self::Few(few);
                        return;
                    }
                    codes.resize(place + 1, MISSING);
                }
                if let Some(place) = codes.get_mut(place) {
                    *count = *count + usize::from(code != MISSING) - usize::from(*place != MISSING);
                    *place = code;
                }
            }
        }
    }

    fn many(few: &FxHashMap<u32, u32>, end: usize) -> Self {
        let mut codes = vec![MISSING; end];
        for (doc, code) in few {
            if let Some(place) = codes.get_mut(*doc as usize) {
                *place = *code;
            }
        }
        Self::Many { codes, count: few.len() }
    }

    /// Calls `visit` with every profile that has a value, and its code.
    fn each(&self, visit: &mut dyn FnMut(u32, u32)) {
        match self {
            Self::Few(codes) => codes.iter().for_each(|(doc, code)| visit(*doc, *code)),
            Self::Many { codes, .. } => {
                for (doc, code) in (0..).zip(codes) {
                    if *code != MISSING {
                        visit(doc, *code);
                    }
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Few(codes) => 10 * codes.capacity(),
            Self::Many { codes, .. } => 4 * codes.capacity(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn docs(docs: impl IntoIterator<Item = u32>) -> RoaringBitmap {
        docs.into_iter().collect()
    }

    #[test]
    fn values_past_the_room_are_unknown_until_there_is_room() {
        let mut column = TraitColumn::default();
        let mut room = Room(2 * (VALUE_OVERHEAD + 1));
        for (doc, value) in [(0, "1"), (1, "2"), (2, "3"), (3, "1")] {
            column.set(doc, Some(value), &mut room);
        }
        let live = docs(0..5);
        let sides = column.sides(&live, false, |json| json == "1");
        assert_eq!((sides.must, sides.may), (docs([0, 3]), docs([0, 2, 3])));
        let sides = column.sides(&live, true, |json| json == "2");
        assert_eq!((sides.must, sides.may), (docs([1, 4]), docs([1, 2, 4])));
        column.set(1, None, &mut room);
        column.set(2, Some("3"), &mut room);
        let sides = column.sides(&live, false, |json| json == "3");
        assert_eq!((sides.must, sides.may), (docs([2]), docs([2])));
        let long = "9".repeat(VALUE_BYTES_MAX + 1);
        column.set(0, Some(&long), &mut room);
        assert_eq!(column.sides(&live, false, |_| false).may, docs([0]));
    }

    #[test]
    fn codes_are_kept_as_it_suits_them() {
        let mut codes = Codes::default();
        let check = |codes: &Codes, end: u32, want: bool| {
            assert_eq!(matches!(codes, Codes::Many { .. }), want, "{end}");
            let mut seen = 0;
            codes.each(&mut |doc, code| {
                assert_eq!(code, doc + FIRST);
                seen += 1;
            });
            assert_eq!(seen, end);
        };
        (0..1000).for_each(|doc| codes.set(doc, doc + FIRST));
        check(&codes, 1000, false);
        (1000..2000).for_each(|doc| codes.set(doc, doc + FIRST));
        check(&codes, 2000, true);
        codes.set(1_000_000, 1_000_000 + FIRST);
        check(&codes, 2001, false);
        codes.set(1_000_000, MISSING);
        check(&codes, 2000, false);
        assert_eq!((codes.get(5), codes.get(5000)), (5 + FIRST, MISSING));
    }

    proptest! {
        #[test]
        fn a_column_is_a_map(
            steps in prop::collection::vec((0u32..300, prop::option::of(0u8..20)), 1..400),
            gone in 0u32..300,
        ) {
            let (mut column, mut room) = (TraitColumn::default(), Room(1 << 20));
            let (mut other, mut model) = (TraitColumn::default(), BTreeMap::<u32, u8>::new());
            for (doc, value) in steps {
                column.set(doc, value.map(|value| value.to_string()).as_deref(), &mut room);
                match value {
                    Some(value) => model.insert(doc, value),
                    None => model.remove(&doc),
                };
                other.set(doc, Some("7"), &mut room);
            }
            let live = docs((0..300).filter(|doc| *doc != gone));
            model.remove(&gone);
            let matching = |want: &dyn Fn(Option<u8>) -> bool| {
                docs(live.iter().filter(|doc| want(model.get(doc).copied())))
            };
            let number = |json: &str| json.parse::<u8>().expect("a small number");
            let small = column.sides(&live, false, |json| number(json) < 7);
            prop_assert_eq!(&small.must, &matching(&|value| value.is_some_and(|value| value < 7)));
            prop_assert_eq!(&small.may, &small.must);
            let not = column.sides(&live, true, |json| number(json) >= 7);
            prop_assert_eq!(&not.must, &(&live - &small.must));
            let same = column.sides_with(&other, &live, |left, right| left.is_some() && left == right);
            prop_assert_eq!(&same.must, &matching(&|value| value == Some(7)));

            // Nothing is kept of values that nobody has.
            for doc in 0..300 {
                column.set(doc, None, &mut room);
                other.set(doc, None, &mut room);
            }
            prop_assert_eq!(room.0, 1 << 20);
            prop_assert!(column.by_hash.is_empty());
        }
    }
}
