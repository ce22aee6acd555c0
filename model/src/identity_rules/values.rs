//! Finds the values that rules ask for in an event, reading as little of it as possible.
//!
//! Most events hold none of them. So each of the three objects is first searched for the names that a path needs,
//! byte by byte, and read as JSON only if some path's names are all there. A name may also be written with escapes:
//! an object with a backslash in it is always read.

use super::path::{Path, Root};
use crate::event::{EventKind, EventView};
use crate::json::Members;
use memchr::{memchr, memmem::Finder};
use serde_json::value::RawValue;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// How many names are searched for in an object. What comes on top of them counts as found.
const NEEDLES_MAX: usize = 64;

/// Which values are wanted of an event. Each has a number: its place among the [`Values`].
#[derive(Debug)]
pub(super) struct Plan {
    traits: Option<Object>,
    properties: Option<Object>,
    context: Option<Object>,
    len: usize,
}

/// The values that an event has, by their numbers.
pub(super) struct Values<'a>(Vec<Option<&'a RawValue>>);

impl<'a> Values<'a> {
    /// A value, if the event has it.
    pub(super) fn get(&self, number: usize) -> Option<&'a RawValue> {
        self.0.get(number).copied().flatten()
    }
}

/// What is wanted of one of an event's objects.
#[derive(Debug)]
struct Object {
    tree: Tree,
    filter: Filter,
}

/// Wanted members by name, their own members below them.
#[derive(Debug, Default)]
struct Tree {
    number: Option<usize>,
    members: Vec<(Box<str>, Tree)>,
}

/// Tells whether a text may hold what some path needs.
#[derive(Debug)]
struct Filter {
    needles: Vec<Finder<'static>>,
    /// The numbers of the needles that have to be there together, for any of the paths.
    sets: Vec<Vec<usize>>,
}

/// Collects what is wanted.
#[derive(Default)]
pub(super) struct PlanBuilder {
    paths: Vec<(Root, Vec<Box<str>>)>,
    /// Names that have to be in an object together.
    sets: Vec<(Root, BTreeSet<Box<str>>)>,
}

impl PlanBuilder {
    /// Wants these paths' values together: a place and its conditions. Their numbers, in order; none for a path that
    /// leads into no object.
    pub(super) fn want(&mut self, paths: &[&Path]) -> Vec<Option<usize>> {
        let mut numbers = Vec::with_capacity(paths.len());
        let mut sets: Vec<(Root, BTreeSet<Box<str>>)> = Vec::new();
        for path in paths {
            let Path::Member(root, keys) = path else {
                numbers.push(None);
                continue;
            };
            match sets.iter_mut().find(|(other, _)| other == root) {
                Some((_, names)) => names.extend(keys.iter().cloned()),
                None => sets.push((*root, keys.iter().cloned().collect())),
            }
            let known = self.paths.iter().position(|(other, have)| other == root && have == keys);
            numbers.push(Some(known.unwrap_or_else(|| {
                self.paths.push((*root, keys.clone()));
                self.paths.len() - 1
            })));
        }
        self.sets.extend(sets);
        numbers
    }

    pub(super) fn build(self) -> Plan {
        let object = |root: Root| {
            let mut tree = Tree::default();
            for (number, (_, keys)) in self.paths.iter().enumerate().filter(|(_, (other, _))| *other == root)
            {
                tree.want(keys, number);
            }
            let sets = self.sets.iter().filter(|(other, _)| *other == root).map(|(_, names)| names).collect();
            (!tree.members.is_empty()).then(|| Object { tree, filter: Filter::new(sets) })
        };
        Plan {
            traits: object(Root::Traits),
            properties: object(Root::Properties),
            context: object(Root::Context),
            len: self.paths.len(),
        }
    }
}

impl Plan {
    /// Reads an event. A group call's `traits` are the account's: those of an identify call alone are read.
    pub(super) fn read<'a>(&self, event: &EventView<'a>) -> Values<'a> {
        let mut values = Vec::new();
        let traits = self.traits.as_ref().filter(|_| event.kind == EventKind::Identify);
        let objects = [
            (traits, Root::Traits),
            (self.properties.as_ref(), Root::Properties),
            (self.context.as_ref(), Root::Context),
        ];
        for (object, root) in objects {
            let Some(object) = object else { continue };
            let Some(written) = event.members().get(root.name()) else { continue };
            if object.filter.may_hold(written.get()) {
                values.resize(self.len, None);
                object.tree.read(written, &mut values);
            }
        }
        Values(values)
    }
}

impl Tree {
    fn want(&mut self, keys: &[Box<str>], number: usize) {
        let Some((first, rest)) = keys.split_first() else {
            self.number = Some(number);
            return;
        };
        let place = self.members.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
            self.members.push((first.clone(), Self::default()));
            self.members.len() - 1
        });
        self.members[place].1.want(rest, number);
    }

    fn read<'a>(&self, written: &'a RawValue, values: &mut [Option<&'a RawValue>]) {
        if let Some(number) = self.number {
            values[number] = Some(written);
        }
        if self.members.is_empty() || !written.get().starts_with('{') {
            return;
        }
        let Ok(members) = Members::parse(written.get()) else { return };
        for (name, below) in &self.members {
            if let Some(member) = members.get(name) {
                below.read(member, values);
            }
        }
    }
}

impl Filter {
    fn new(sets: Vec<&BTreeSet<Box<str>>>) -> Self {
        let sets: BTreeSet<_> = sets.into_iter().collect();
        let mut uses: BTreeMap<&str, usize> = BTreeMap::new();
        for name in sets.iter().copied().flatten() {
            *uses.entry(name).or_default() += 1;
        }
        // A missing name that many paths need rules them all out at once; a long one is rarely there by chance.
        let mut names: Vec<&str> = uses.keys().copied().collect();
        names.sort_by_key(|name| (Reverse(uses[name]), Reverse(name.len())));
        names.truncate(NEEDLES_MAX);
        let numbers = |set: &BTreeSet<Box<str>>| -> Vec<usize> {
            (0..names.len()).filter(|number| set.contains(names[*number])).collect()
        };
        let sets: BTreeSet<Vec<usize>> = sets.into_iter().map(numbers).collect();
        let needle = |name: &&str| Finder::new(&format!("\"{name}\"")).into_owned();
        Self { needles: names.iter().map(needle).collect(), sets: sets.into_iter().collect() }
    }

    fn may_hold(&self, text: &str) -> bool {
        let text = text.as_bytes();
        let (mut looked, mut found) = (0u64, 0u64);
        let mut is_there = |number: &usize| {
            let bit = 1u64 << number;
            if looked & bit == 0 {
                looked |= bit;
                if self.needles[*number].find(text).is_some() {
                    found |= bit;
                }
            }
            found & bit != 0
        };
        self.sets.iter().any(|set| set.iter().all(&mut is_there)) || memchr(b'\\', text).is_some()
    }
}
