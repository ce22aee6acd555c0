//! What definitions need of a profile's events, and how a fragment keeps it as events are folded.
//!
//! A [`KeeperSpec`] says what is to be kept; equal ones, of whatever definitions, are kept once. Their numbers are
//! given by the state: they are never used again, so what a fragment still has under a number that is no longer
//! wanted is never taken for something else.

use crate::condition::compare::{RightValue, compare};
use crate::condition::{
    Comparison, Condition, Datum, EventPattern, FieldPath, Operand, Operator, Right, Span, Window,
};
use crate::event::{EventKind, EventView};
use crate::fragment::{Fragment, Sighting};
use crate::json::{Members, is_null};
use crate::pattern;
use crate::time::Timestamp;
use crate::trail::{Mark, Trail, mark_value};
use crate::trait_record::TraitRecord;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a fragment keeps for definitions, under a keeper's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kept {
    /// Of events.
    Trail(Trail),
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
    /// Those about calls of a name.
    named: HashMap<(EventKind, Box<str>), Vec<usize>>,
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

    /// Folds an event into what a fragment keeps.
    pub fn fold(
        &self,
        fragment: &mut Fragment,
        event: &EventView<'_>,
        sighting: &Sighting,
        log_time: Timestamp,
    ) -> Folded {
        if self.is_whole && !fragment.kept.is_empty() {
            fragment.kept.retain(|number, _| self.numbers.contains(number));
        }
        self.fold_into(event, sighting, &mut |keeper, mark| {
            let trail = trail_of(&mut fragment.kept, keeper.number);
            trail.fold(&keeper.spec.keep, mark, keeper.spec.value.is_some(), log_time)
        })
        .with(self.fold_traits(&mut fragment.kept, event, sighting))
    }

    /// Folds an event into the merge of a profile's fragments, which [`Keepers::fold`] folded into one of them without
    /// a cut.
    pub fn fold_merged(
        &self,
        merged: &mut Fragment,
        event: &EventView<'_>,
        sighting: &Sighting,
        log_time: Timestamp,
    ) {
        self.fold_into(event, sighting, &mut |keeper, mark| {
            let trail = trail_of(&mut merged.kept, keeper.number);
            trail.fold_merged(&keeper.spec.keep, mark, keeper.spec.value.is_some(), log_time);
            false
        });
        self.fold_traits(&mut merged.kept, event, sighting);
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
                        self.named.entry((kind, name.as_str().into())).or_default().push(at);
                    }
                    None => self.of_kind[kind.index()].push(at),
                }
                let filter = spec.events.filter.as_deref().map(Filter::new);
                self.trails.push(Keeper { number, spec: spec.clone(), filter });
            }
        }
    }

    fn fold_into(
        &self,
        event: &EventView<'_>,
        sighting: &Sighting,
        fold: &mut dyn FnMut(&Keeper, Mark) -> bool,
    ) -> Folded {
        let mut folded = Folded::default();
        if self.trails.is_empty() {
            return folded;
        }
        let named = event_name(event).and_then(|name| self.named.get(&(event.kind, name.into())));
        let fields = EventFields::new(event);
        let tie = OnceCell::new();
        for at in named.into_iter().flatten().chain(&self.of_kind[event.kind.index()]) {
            let keeper = &self.trails[*at];
            if !keeper.takes(&fields, sighting.at) {
                continue;
            }
            let value = keeper.spec.value.as_ref().and_then(|path| fields.json(path, mark_value)).flatten();
            let tie = *tie.get_or_init(|| tie_of(sighting));
            folded.has_cut |= fold(keeper, Mark { at: sighting.at, tie, value });
            folded.changed.push(keeper.number);
        }
        folded
    }

    fn fold_traits(
        &self,
        kept: &mut BTreeMap<u32, Kept>,
        event: &EventView<'_>,
        sighting: &Sighting,
    ) -> Vec<u32> {
        let mut changed = Vec::new();
        if self.traits.is_empty() {
            return changed;
        }
        let Some(traits) = event.person_traits() else { return changed };
        for (name, number) in &self.traits {
            if let Some(value) = traits.get(name) {
                let entry = kept.entry(*number).or_insert_with(|| Kept::Trait(TraitRecord::default()));
                if let Kept::Trait(record) = entry {
                    record.fold((!is_null(value)).then(|| value.get()), sighting);
                    changed.push(*number);
                }
            }
        }
        changed
    }
}

impl Folded {
    fn with(mut self, numbers: Vec<u32>) -> Self {
        self.changed.extend(numbers);
        self.changed.sort_unstable();
        self
    }
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
            (Some(Kept::Trail(our)), Kept::Trail(their)) => our.merge(their),
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
    match kept.entry(number).or_insert_with(|| Kept::Trail(Trail::default())) {
        Kept::Trail(trail) => trail,
        Kept::Trait(_) => unreachable!("a number stands for one thing"),
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

/// The members of an event, as conditions look at them.
pub struct EventFields<'a> {
    event: &'a EventView<'a>,
    /// What most conditions look into, taken apart once.
    properties: OnceCell<Option<Members<'a>>>,
}

impl<'a> EventFields<'a> {
    /// Those of an event.
    pub fn new(event: &'a EventView<'a>) -> Self {
        Self { event, properties: OnceCell::new() }
    }

    /// What stands at a path.
    pub fn get(&self, path: &FieldPath) -> Datum {
        let names = path.rest();
        if path.head() == "properties"
            && let Some((name, rest)) = names.split_first()
        {
            let properties = self.properties.get_or_init(|| self.event.members().object("properties"));
            let value = properties.as_ref().and_then(|properties| properties.get(name));
            return value.map_or(Datum::Null, |value| Datum::at(value.get(), rest));
        }
        self.event.members().get(path.head()).map_or(Datum::Null, |value| Datum::at(value.get(), names))
    }

    /// Calls `read` with the JSON text that stands at a path.
    fn json<T>(&self, path: &FieldPath, read: impl Fn(&str) -> T) -> Option<T> {
        let mut text = self.event.members().get(path.head())?.get();
        for name in path.rest() {
            text = Members::parse(text).ok()?.get(name)?.get();
        }
        Some(read(text))
    }
}

/// A condition about one event, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct Filter(Node);

#[derive(Debug, Clone)]
enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Compare {
        left: FieldPath,
        operator: Operator,
        right: FilterRight,
    },
    /// What a condition about an event can't say.
    Never,
}

#[derive(Debug, Clone)]
enum FilterRight {
    Nothing,
    One(Datum),
    Many(Vec<Datum>),
    Field(FieldPath),
    Pattern(regex::Regex),
}

impl Filter {
    /// A condition that [`crate::condition::check_condition`] found to be about events. Whatever it would have refused holds
    /// of no event.
    pub fn new(condition: &Condition) -> Self {
        Self(node(condition))
    }

    /// Whether it holds of an event.
    pub fn holds(&self, event: &EventFields<'_>) -> bool {
        holds(&self.0, event)
    }
}

fn node(condition: &Condition) -> Node {
    match condition {
        Condition::All(conditions) => Node::All(conditions.iter().map(node).collect()),
        Condition::Any(conditions) => Node::Any(conditions.iter().map(node).collect()),
        Condition::Not(condition) => Node::Not(Box::new(node(condition))),
        Condition::Compare(comparison) => compared(comparison).unwrap_or(Node::Never),
        Condition::Performed(_)
        | Condition::Sequence(_)
        | Condition::Audience(_)
        | Condition::Account(_)
        | Condition::Members(_) => Node::Never,
    }
}

fn compared(comparison: &Comparison) -> Option<Node> {
    let Operand::Field(left) = &comparison.left else { return None };
    let right = match &comparison.right {
        Right::Nothing => FilterRight::Nothing,
        Right::Value(literal) => match (comparison.operator, Datum::from(literal)) {
            (Operator::Matches, Datum::Text(text)) => FilterRight::Pattern(pattern::compile(&text).ok()?),
            (_, datum) => FilterRight::One(datum),
        },
        Right::Values(literals) => FilterRight::Many(literals.iter().map(Datum::from).collect()),
        Right::Operand(Operand::Field(path)) => FilterRight::Field(path.clone()),
        Right::Operand(_) | Right::Span(_) => return None,
    };
    Some(Node::Compare { left: left.clone(), operator: comparison.operator, right })
}

fn holds(node: &Node, event: &EventFields<'_>) -> bool {
    match node {
        Node::All(nodes) => nodes.iter().all(|node| holds(node, event)),
        Node::Any(nodes) => nodes.iter().any(|node| holds(node, event)),
        Node::Not(node) => !holds(node, event),
        Node::Never => false,
        Node::Compare { left, operator, right } => {
            let left = event.get(left);
            let other;
            let right = match right {
                FilterRight::Nothing => RightValue::Nothing,
                FilterRight::One(datum) => RightValue::One(datum),
                FilterRight::Many(data) => RightValue::Many(data),
                FilterRight::Pattern(pattern) => RightValue::Pattern(pattern),
                FilterRight::Field(path) => {
                    other = event.get(path);
                    RightValue::One(&other)
                }
            };
            // What depends on the present has no place here.
            compare(&left, *operator, &right, Timestamp::default())
        }
    }
}
