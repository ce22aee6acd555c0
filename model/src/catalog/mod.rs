//! What a workspace defines about profiles, compiled: which events have to be kept, which audiences an event can
//! change, and how each is evaluated.
//!
//! Guarantees: whatever is defined compiles; a definition that refers to what is no longer there is broken, and says
//! why. Compiling the same definitions under the same numbers gives the same catalog.

mod aggregate;
mod plan;
mod resolve;
#[cfg(test)]
mod tests;

pub use plan::{AccountFacts, Facts, Person, Verdict};

use crate::condition::Condition;
use crate::id::{AudienceId, ComputedTraitId};
use crate::keeper::{KeeperSpec, Keepers};
use crate::time::Timestamp;
use crate::trail::Trail;
use crate::workspace::{Audience, ComputedTrait, MergePolicy, TraitRules, Workspace};
use aggregate::Measure;
use plan::{Compared, Node, Source};
use resolve::Resolver;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The part of a workspace that is about what profiles amount to.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Defined {
    /// The workspace's version.
    pub version: u64,
    /// Its computed traits.
    pub computed_traits: Vec<ComputedTrait>,
    /// Its audiences.
    pub audiences: Vec<Audience>,
    /// How its traits are chosen and found.
    pub traits: TraitRules,
}

impl Defined {
    /// That of a workspace.
    pub fn of(workspace: &Workspace) -> Self {
        Self {
            version: workspace.version,
            computed_traits: workspace.computed_traits.clone(),
            audiences: workspace.audiences.clone(),
            traits: workspace.traits.clone(),
        }
    }
}

/// An audience, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct AudiencePlan {
    /// Its id.
    pub id: AudienceId,
    /// Its key.
    pub key: String,
    /// By which it is known whether what it means was changed.
    pub hash: [u8; 16],
    /// Why it can't be evaluated, if it can't.
    pub problem: Option<String>,
    /// Whether it asks for accounts.
    pub needs_accounts: bool,
    /// Whether it may change by time alone.
    pub is_timed: bool,
    /// Whether it holds of somebody of whom nothing is known.
    pub is_true_of_nobody: bool,
    /// Whether a `user_id` makes a difference.
    pub needs_user_id: bool,
    /// The keepers that it looks at, ascending.
    pub keepers: Vec<u32>,
    node: Node<u32>,
}

impl AudiencePlan {
    /// Whether a profile belongs to it.
    pub fn evaluate(&self, facts: &Facts<'_>) -> Verdict {
        self.node.evaluate(facts)
    }
}

/// A computed trait, ready to be evaluated.
#[derive(Debug, Clone)]
pub struct ComputedPlan {
    /// Its id.
    pub id: ComputedTraitId,
    /// Its key.
    pub key: String,
    /// Its name for people.
    pub name: String,
    /// The keeper that it looks at.
    pub keeper: u32,
    measure: Measure<u32>,
}

/// The value of a computed trait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computed {
    /// As JSON text; `None` if there is none. A length of time is in whole seconds.
    pub json: Option<String>,
    /// When an event leaves its window.
    pub due: Option<Timestamp>,
    /// Whether it rests on values beyond a limit.
    pub is_approximate: bool,
}

impl ComputedPlan {
    /// Its value for a person at a moment.
    pub fn value(&self, person: &dyn Person, now: Timestamp) -> Computed {
        let measured = self.measure.measure(person, now);
        let json = (!measured.datum.is_null()).then(|| measured.datum.to_json());
        Computed { json, due: measured.due, is_approximate: measured.is_approximate }
    }
}

/// What a workspace defines, compiled.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    audiences: Vec<AudiencePlan>,
    computed: Vec<ComputedPlan>,
    keepers: Keepers,
    policies: BTreeMap<String, (MergePolicy, u32)>,
    searched: BTreeSet<String>,
    by_trait: HashMap<Box<str>, Vec<usize>>,
    by_keeper: HashMap<u32, Vec<usize>>,
    /// Those that a member of an account can change for the others.
    by_member_trait: HashMap<Box<str>, Vec<usize>>,
    by_member_keeper: HashMap<u32, Vec<usize>>,
    of_accounts: Vec<usize>,
}

impl Catalog {
    /// What has to be kept for these definitions, each once.
    pub fn wanted(defined: &Defined) -> Vec<KeeperSpec> {
        let mut wanted: Vec<KeeperSpec> = Vec::new();
        let mut add = |spec: KeeperSpec| {
            if !wanted.contains(&spec) {
                wanted.push(spec);
            }
        };
        for computed in &defined.computed_traits {
            add(Measure::of(&computed.definition).keeper);
        }
        for audience in &defined.audiences {
            if let Ok(node) = Resolver::new(defined).audience(&audience.key) {
                node.map(&mut |spec| add(spec));
            }
        }
        for name in defined.traits.policies.keys() {
            add(KeeperSpec::Trait { name: name.clone() });
        }
        wanted
    }

    /// Compiles definitions, with the numbers of the keepers by their hashes.
    ///
    /// # Panics
    /// If a number is missing of a keeper that [`Catalog::wanted`] names.
    pub fn compile(defined: &Defined, numbers: &BTreeMap<[u8; 16], u32>) -> Self {
        let number =
            |spec: &KeeperSpec| *numbers.get(&spec.hash()).expect("every wanted keeper has a number");
        let specs: Vec<(u32, KeeperSpec)> =
            Self::wanted(defined).into_iter().map(|spec| (number(&spec), spec)).collect();
        let mut catalog = Self {
            keepers: Keepers::of(&specs),
            searched: defined.traits.searched.clone(),
            ..Self::default()
        };
        for (name, policy) in &defined.traits.policies {
            let keeper = number(&KeeperSpec::Trait { name: name.clone() });
            catalog.policies.insert(name.clone(), (policy.clone(), keeper));
        }
        for computed in &defined.computed_traits {
            let measure = Measure::of(&computed.definition).map(&mut |spec| number(&spec));
            catalog.computed.push(ComputedPlan {
                id: computed.id,
                key: computed.key.clone(),
                name: computed.name.clone(),
                keeper: measure.keeper,
                measure,
            });
        }
        for audience in &defined.audiences {
            let node = Resolver::new(defined).audience(&audience.key);
            catalog.add(plan(audience.id, &audience.key, node, &mut |spec| number(&spec)));
        }
        catalog
    }

    /// What folds events into fragments.
    pub fn keepers(&self) -> &Keepers {
        &self.keepers
    }

    /// The audiences, in the order in which they are defined.
    pub fn audiences(&self) -> &[AudiencePlan] {
        &self.audiences
    }

    /// The computed traits, in the order in which they are defined.
    pub fn computed(&self) -> &[ComputedPlan] {
        &self.computed
    }

    /// The policy of a trait, and the keeper of its values.
    pub fn policy(&self, name: &str) -> Option<(&MergePolicy, u32)> {
        self.policies.get(name).map(|(policy, keeper)| (policy, *keeper))
    }

    /// Every policy, with its trait before it and its keeper behind.
    pub fn policies(&self) -> impl Iterator<Item = (&str, &MergePolicy, u32)> {
        self.policies.iter().map(|(name, (policy, keeper))| (name.as_str(), policy, *keeper))
    }

    /// The traits by whose beginnings people are searched for.
    pub fn searched(&self) -> &BTreeSet<String> {
        &self.searched
    }

    /// The audiences, by their places, that a person's traits or events can change for that person; ascending.
    pub fn touched(&self, traits: &[&str], keepers: &[u32]) -> Vec<usize> {
        let of_traits = traits.iter().filter_map(|name| self.by_trait.get(*name));
        let of_keepers = keepers.iter().filter_map(|number| self.by_keeper.get(number));
        merged(of_traits.chain(of_keepers))
    }

    /// Those that a person's traits or events can change for the other members of the person's accounts; ascending.
    pub fn touched_through_accounts(&self, traits: &[&str], keepers: &[u32]) -> Vec<usize> {
        let of_traits = traits.iter().filter_map(|name| self.by_member_trait.get(*name));
        let of_keepers = keepers.iter().filter_map(|number| self.by_member_keeper.get(number));
        merged(of_traits.chain(of_keepers))
    }

    /// Those that ask for accounts; ascending.
    pub fn of_accounts(&self) -> &[usize] {
        &self.of_accounts
    }

    fn add(&mut self, plan: AudiencePlan) {
        let at = self.audiences.len();
        if plan.needs_accounts {
            self.of_accounts.push(at);
        }
        plan.node.walk(false, &mut |node, of_members| {
            for looked_at in looked_at(node) {
                if of_members {
                    looked_at.enter(at, &mut self.by_member_trait, &mut self.by_member_keeper);
                }
                looked_at.enter(at, &mut self.by_trait, &mut self.by_keeper);
            }
        });
        self.audiences.push(plan);
    }
}

fn merged<'a>(places: impl Iterator<Item = &'a Vec<usize>>) -> Vec<usize> {
    let mut merged: Vec<usize> = places.flatten().copied().collect();
    merged.sort_unstable();
    merged.dedup();
    merged
}

/// What a node looks at.
enum LookedAt<'a> {
    Trait(&'a str),
    Keeper(u32),
}

impl LookedAt<'_> {
    /// Enters the audience in that place under what it looks at.
    fn enter(
        &self,
        at: usize,
        traits: &mut HashMap<Box<str>, Vec<usize>>,
        keepers: &mut HashMap<u32, Vec<usize>>,
    ) {
        let places = match self {
            Self::Trait(name) => traits.entry((*name).into()).or_default(),
            Self::Keeper(number) => keepers.entry(*number).or_default(),
        };
        if places.last() != Some(&at) {
            places.push(at);
        }
    }
}

/// The traits and keepers that one node looks at by itself.
fn looked_at(node: &Node<u32>) -> Vec<LookedAt<'_>> {
    fn source(source: &Source<u32>) -> LookedAt<'_> {
        match source {
            Source::Trait(path) => LookedAt::Trait(path.head()),
            Source::Measure(measure) => LookedAt::Keeper(measure.keeper),
        }
    }
    match node {
        Node::Compare { left, right, .. } => {
            let mut found = vec![source(left)];
            if let Compared::Source(right) = right {
                found.push(source(right));
            }
            found
        }
        Node::Performed(measure) => vec![LookedAt::Keeper(measure.keeper)],
        Node::Sequence { first, steps, .. } => {
            let steps = steps.iter().flat_map(|step| [Some(step.event), step.without]).flatten();
            [*first].into_iter().chain(steps).map(LookedAt::Keeper).collect()
        }
        Node::All(_)
        | Node::Any(_)
        | Node::Not(_)
        | Node::HasUserId
        | Node::Account(_)
        | Node::Members(..) => Vec::new(),
    }
}

fn plan(
    id: AudienceId,
    key: &str,
    node: Result<Node<KeeperSpec>, String>,
    number: &mut impl FnMut(KeeperSpec) -> u32,
) -> AudiencePlan {
    let (node, problem) = match node {
        Ok(node) => (node, None),
        Err(problem) => (Node::Any(Vec::new()), Some(problem)),
    };
    let text = serde_json::to_vec(&node).expect("a plan is text and numbers");
    let mut hash = [0; 16];
    hash.copy_from_slice(&blake3::hash(&text).as_bytes()[..16]);
    let mut keepers = BTreeSet::new();
    let node = node.map(&mut |spec| {
        let number = number(spec);
        keepers.insert(number);
        number
    });
    let (mut needs_accounts, mut is_timed, mut needs_user_id) = (false, false, false);
    node.walk(false, &mut |node, _| {
        needs_accounts |= matches!(node, Node::Account(_));
        needs_user_id |= matches!(node, Node::HasUserId);
        is_timed |= may_change_by_time(node);
    });
    let facts = Facts { person: &Nobody, accounts: &[], now: Timestamp::default() };
    let is_true_of_nobody = node.evaluate(&facts).is_true;
    AudiencePlan {
        id,
        key: key.to_owned(),
        hash,
        problem,
        needs_accounts,
        is_timed,
        is_true_of_nobody,
        needs_user_id,
        keepers: keepers.into_iter().collect(),
        node,
    }
}

fn may_change_by_time(node: &Node<u32>) -> bool {
    let measured = |source: &Source<u32>| match source {
        Source::Measure(measure) => {
            measure.within.is_some() || measure.function == crate::condition::Function::TimeSince
        }
        Source::Trait(_) => false,
    };
    match node {
        Node::Compare { left, right, .. } => {
            measured(left)
                || matches!(right, Compared::Span(_))
                || matches!(right, Compared::Source(source) if measured(source))
        }
        Node::Performed(measure) => measure.within.is_some(),
        Node::Sequence { within, .. } => within.is_some(),
        Node::All(_)
        | Node::Any(_)
        | Node::Not(_)
        | Node::HasUserId
        | Node::Account(_)
        | Node::Members(..) => false,
    }
}

/// Somebody of whom nothing is known.
struct Nobody;

impl Person for Nobody {
    fn trait_json(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }

    fn trail(&self, _: u32) -> Option<&Trail> {
        None
    }

    fn has_user_id(&self) -> bool {
        false
    }
}

/// A condition that is no audience yet, ready to be evaluated, with keepers of its own.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The plan.
    pub plan: AudiencePlan,
    /// What it needs, under numbers from 1.
    pub specs: Vec<(u32, KeeperSpec)>,
}

impl Draft {
    /// Compiles a condition.
    ///
    /// # Errors
    /// What it names that is not there, or that it becomes too large.
    pub fn new(defined: &Defined, condition: &Condition, include_anonymous: bool) -> Result<Self, String> {
        let node = Resolver::new(defined).draft(condition, include_anonymous)?;
        let mut specs: Vec<(u32, KeeperSpec)> = Vec::new();
        let plan = plan(AudienceId(0), "", Ok(node), &mut |spec| {
            if let Some((number, _)) = specs.iter().find(|(_, known)| *known == spec) {
                return *number;
            }
            let number = u32::try_from(specs.len()).expect("a condition is bounded") + 1;
            specs.push((number, spec));
            number
        });
        Ok(Self { plan, specs })
    }
}

/// The audiences that can't be evaluated, by their keys, and why.
pub fn problems(defined: &Defined) -> BTreeMap<String, String> {
    let audiences = defined.audiences.iter();
    let problem = |key: &str| Resolver::new(defined).audience(key).err();
    audiences.filter_map(|audience| Some((audience.key.clone(), problem(&audience.key)?))).collect()
}

/// Checks that keys are there once, and that whatever is named is there.
///
/// # Errors
/// The key of the definition at fault, and what is wrong.
pub fn check_references(defined: &Defined) -> Result<(), (String, String)> {
    let mut keys = BTreeSet::new();
    let computed = defined.computed_traits.iter().map(|computed| &computed.key);
    for key in computed.chain(defined.audiences.iter().map(|audience| &audience.key)) {
        if !keys.insert(key) {
            return Err((key.clone(), format!("there is another definition with the key `{key}`")));
        }
    }
    match problems(defined).into_iter().next() {
        Some(problem) => Err(problem),
        None => Ok(()),
    }
}
