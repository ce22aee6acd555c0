//! What definitions need of a profile's events, and how a fragment keeps it as events are folded.
//!
//! A [`KeeperSpec`] says what is to be kept; equal ones, of whatever definitions, are kept once. Their numbers are
//! given by the state: they are never used again, so what a fragment still has under a number that is no longer
//! wanted is never taken for something else.

mod filter;

pub use filter::{EventFields, Filter};

use crate::condition::{EventPattern, FieldPath, Span, Window};
use crate::event::{EventKind, EventView};
use crate::fragment::{Fragment, Sighting};
use crate::json::is_null;
use crate::time::Timestamp;
use crate::trail::{Mark, Trail, VALUE_BYTES_MAX, mark_value};
use crate::trait_record::TraitRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// What a fragment keeps for definitions, under a keeper's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// Of events; shared, so that a copy of a fragment is cheap.
    Trail(Arc<Trail>),
    /// Of the values of a trait.
    Trait(TraitRecord),
}

/// What is to be kept.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum KeeperSpec {
    /// Of events.
    Trail(TrailSpec),
    /// All values of a trait that has a policy.
    Trait {
        /// The trait.
        name: String,
    },
}

/// Which events, and what of them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TrailSpec {
    /// Which; its window is [`Window::Ever`] or [`Window::Between`].
    pub events: EventPattern,
    /// The member of them that is asked for.
    pub value: Option<FieldPath>,
    /// How.
    pub keep: Keep,
}

/// What of the events is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Keep {
    /// Counts, sums and extremes.
    Totals,
    /// How often each value occurs.
    Values,
    /// Single events, those of so long a time; `None` for all.
    Marks(Option<Span>),
}

impl KeeperSpec {
    /// By which equal ones are known.
    pub fn hash(&self) -> [u8; 16] {
        let text = serde_json::to_vec(self).expect("a spec is text and numbers");
        let mut hash = [0; 16];
        hash.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
        hash
    }
}

/// What came of an event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Folded {
    /// The numbers of the keepers that it changed, ascending.
    pub changed: Vec<u32>,
    /// Whether single events had to make room: a merged view has to be made again.
    pub has_cut: bool,
}

#[derive(Debug, Clone)]
struct Keeper {
    number: u32,
    spec: TrailSpec,
    filter: Option<Filter>,
}

/// The keepers of a workspace, found by the events that they are about.
#[derive(Debug, Clone, Default)]
pub struct Keepers {
    trails: Vec<Keeper>,
    /// Those about calls of a name, by the kind of call.
    named: [HashMap<Box<str>, Vec<usize>>; 6],
    /// Those about every call of a kind.
    of_kind: [Vec<usize>; 6],
    traits: HashMap<Box<str>, u32>,
    numbers: BTreeSet<u32>,
    /// Whether these are all that there are: then what a fragment has under other numbers is dropped.
    is_whole: bool,
}

impl Keepers {
    /// All of a workspace, under their numbers.
    pub fn of(specs: &[(u32, KeeperSpec)]) -> Self {
        let mut keepers = Self { is_whole: true, ..Self::default() };
        for (number, spec) in specs {
            keepers.add(*number, spec);
        }
        keepers
    }

    /// Those of these numbers alone.
    pub fn only(&self, numbers: &BTreeSet<u32>) -> Self {
        let trails = self.trails.iter().filter(|keeper| numbers.contains(&keeper.number));
        let mut specs: Vec<(u32, KeeperSpec)> =
            trails.map(|keeper| (keeper.number, KeeperSpec::Trail(keeper.spec.clone()))).collect();
        let traits = self.traits.iter().filter(|(_, number)| numbers.contains(number));
        specs.extend(traits.map(|(name, number)| (*number, KeeperSpec::Trait { name: name.to_string() })));
        Self { is_whole: false, ..Self::of(&specs) }
    }

    /// Their numbers.
    pub fn numbers(&self) -> &BTreeSet<u32> {
        &self.numbers
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Folds an event into what a fragment keeps; see [`Keepers::fold_seen`].
    pub fn fold(
        &self,
        fragment: &mut Fragment,
        event: &EventView<'_>,
        sighting: &Sighting,
        log_time: Timestamp,
    ) -> Folded {
        self.fold_seen(fragment, &self.see(event, sighting), log_time)
    }

    /// Reads from an event what is to be kept of it.
    pub fn see(&self, event: &EventView<'_>, sighting: &Sighting) -> Seen {
        Seen { marks: self.marks(event, sighting), traits: self.settings(event), sighting: sighting.clone() }
    }

    /// Folds what was read from an event into what a fragment keeps. It comes before [`Fragment::fold`], so that the
    /// value that a trait had before its policy began is not lost.
    pub fn fold_seen(&self, fragment: &mut Fragment, seen: &Seen, log_time: Timestamp) -> Folded {
        if self.is_whole && !fragment.kept.is_empty() {
            fragment.kept.retain(|number, _| self.numbers.contains(number));
        }
        let mut folded = Folded::default();
        for (at, mark, is_cut) in &seen.marks {
            let keeper = &self.trails[*at];
            let trail = trail_of(&mut fragment.kept, keeper.number);
            trail.is_values_cut |= is_cut;
            folded.has_cut |=
                trail.fold(&keeper.spec.keep, mark.clone(), keeper.spec.value.is_some(), log_time);
            folded.changed.push(keeper.number);
        }
        for (number, name, value) in &seen.traits {
            if !fragment.kept.contains_key(number)
                && let Some(known) = fragment.traits.get(name)
            {
                record_of(&mut fragment.kept, *number).seed(known);
                // A merge of fragments knows nothing of whose value that was.
                folded.has_cut = true;
            }
            record_of(&mut fragment.kept, *number).fold(value.as_deref(), &seen.sighting);
            folded.changed.push(*number);
        }
        folded.changed.sort_unstable();
        folded
    }

    /// Folds it into the merge of a profile's fragments, too, after [`Keepers::fold_seen`] folded it into one of them
    /// without a cut.
    pub fn fold_merged(&self, merged: &mut Fragment, seen: &Seen, log_time: Timestamp) {
        for (at, mark, is_cut) in &seen.marks {
            let keeper = &self.trails[*at];
            let trail = trail_of(&mut merged.kept, keeper.number);
            trail.is_values_cut |= is_cut;
            trail.fold_merged(&keeper.spec.keep, mark.clone(), keeper.spec.value.is_some(), log_time);
        }
        for (number, _, value) in &seen.traits {
            record_of(&mut merged.kept, *number).fold(value.as_deref(), &seen.sighting);
        }
    }

    fn add(&mut self, number: u32, spec: &KeeperSpec) {
        self.numbers.insert(number);
        match spec {
            KeeperSpec::Trait { name } => {
                self.traits.insert(name.as_str().into(), number);
            }
            KeeperSpec::Trail(spec) => {
                let at = self.trails.len();
                let kind = spec.events.kind;
                match &spec.events.name {
                    Some(name) => {
                        self.named[kind.index()].entry(name.as_str().into()).or_default().push(at);
                    }
                    None => self.of_kind[kind.index()].push(at),
                }
                let filter = spec.events.filter.as_deref().map(Filter::new);
                self.trails.push(Keeper { number, spec: spec.clone(), filter });
            }
        }
    }

    /// The keepers that an event is for, by their places, with what they keep of it.
    fn marks(&self, event: &EventView<'_>, sighting: &Sighting) -> Vec<(usize, Mark, bool)> {
        let mut marks = Vec::new();
        if self.trails.is_empty() {
            return marks;
        }
        let named = event_name(event).and_then(|name| self.named[event.kind.index()].get(&*name));
        let fields = EventFields::new(event);
        let tie = OnceCell::new();
        for at in named.into_iter().flatten().chain(&self.of_kind[event.kind.index()]) {
            let keeper = &self.trails[*at];
            if !keeper.takes(&fields, sighting.at) {
                continue;
            }
            let value = keeper.spec.value.as_ref().and_then(|path| fields.json(path, mark_value)).flatten();
            let is_cut = value.as_ref().is_some_and(|value| value.len() > VALUE_BYTES_MAX);
            let tie = *tie.get_or_init(|| tie_of(sighting));
            marks.push((*at, Mark { at: sighting.at, tie, value: value.filter(|_| !is_cut) }, is_cut));
        }
        marks
    }

    /// The traits with a keeper that an event sets; of one that it sets twice, the last value.
    fn settings(&self, event: &EventView<'_>) -> Vec<(u32, Box<str>, Option<Box<str>>)> {
        let mut settings: Vec<(u32, Box<str>, Option<Box<str>>)> = Vec::new();
        if self.traits.is_empty() {
            return settings;
        }
        let Some(traits) = event.person_traits() else { return settings };
        for (name, value) in traits.iter() {
            let Some(number) = self.traits.get(name) else { continue };
            settings.retain(|(known, _, _)| known != number);
            settings.push((*number, name.into(), (!is_null(value)).then(|| value.get().into())));
        }
        settings
    }
}

/// What keepers keep of one event.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Places of keepers, the event as a mark, and whether its value was too long.
    marks: Vec<(usize, Mark, bool)>,
    /// Numbers of keepers, the trait, and its value; `None` if it was removed.
    traits: Vec<(u32, Box<str>, Option<Box<str>>)>,
    sighting: Sighting,
}

impl Keeper {
    fn takes(&self, fields: &EventFields<'_>, at: Timestamp) -> bool {
        let is_then = match &self.spec.events.window {
            Window::Between(from, to) => at >= *from && at < *to,
            Window::Ever | Window::Within(_) => true,
        };
        is_then && self.filter.as_ref().is_none_or(|filter| filter.holds(fields))
    }
}

/// Merges what two fragments keep.
pub fn merge_kept(ours: &mut BTreeMap<u32, Kept>, theirs: &BTreeMap<u32, Kept>) {
    for (number, their) in theirs {
        match (ours.get_mut(number), their) {
            (Some(Kept::Trail(our)), Kept::Trail(their)) => Arc::make_mut(our).merge(their),
            (Some(Kept::Trait(our)), Kept::Trait(their)) => our.merge(their),
            // A number stands for one thing.
            (Some(_), _) => {}
            (None, their) => {
                ours.insert(*number, their.clone());
            }
        }
    }
}

fn trail_of(kept: &mut BTreeMap<u32, Kept>, number: u32) -> &mut Trail {
    match kept.entry(number).or_insert_with(|| Kept::Trail(Arc::default())) {
        Kept::Trail(trail) => Arc::make_mut(trail),
        Kept::Trait(_) => unreachable!("a number stands for one thing"),
    }
}

fn record_of(kept: &mut BTreeMap<u32, Kept>, number: u32) -> &mut TraitRecord {
    match kept.entry(number).or_insert_with(|| Kept::Trait(TraitRecord::default())) {
        Kept::Trait(record) => record,
        Kept::Trail(_) => unreachable!("a number stands for one thing"),
    }
}

/// The name that patterns know an event by.
pub fn event_name<'a>(event: &EventView<'a>) -> Option<Cow<'a, str>> {
    match event.kind {
        EventKind::Track => event.event_name(),
        EventKind::Page | EventKind::Screen => event.members().text("name"),
        EventKind::Identify | EventKind::Group | EventKind::Alias => None,
    }
}

fn tie_of(sighting: &Sighting) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&sighting.source.0.to_be_bytes());
    hasher.update(sighting.message_id.as_str().as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_be_bytes(first)
}
