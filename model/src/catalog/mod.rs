//! What a workspace defines about profiles, compiled: which events have to be kept, which audiences an event can
//! change, and how each is evaluated.
//!
//! Guarantees: whatever is defined compiles; a definition that refers to what is no longer there is broken, and says
//! why. Compiling the same definitions under the same numbers gives the same catalog.

mod aggregate;
mod audience;
mod check;
mod memo;
mod plan;
mod resolve;
mod sequence;
#[cfg(test)]
mod tests;
mod touched;

pub use audience::{AudiencePlan, Draft};
pub use check::{DEFINED_NODES_MAX, KEEPERS_MAX, check_references, check_size, problems};
pub use memo::AccountMemo;
pub use plan::{AccountFacts, Facts, Person, Verdict};

use crate::id::ComputedTraitId;
use crate::keeper::{KeeperSpec, Keepers};
use crate::time::Timestamp;
use crate::workspace::{Audience, ComputedTrait, MergePolicy, TraitRules, Workspace};
use aggregate::Measure;
use resolve::Resolver;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use touched::Places;

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
    /// As JSON text, values of events as they are kept; `None` if there is none. A length of time is in whole seconds.
    pub json: Option<String>,
    /// When an event leaves its window.
    pub due: Option<Timestamp>,
    /// Whether it rests on values beyond a limit.
    pub is_approximate: bool,
}

impl ComputedPlan {
    /// Its value for a person at a moment.
    pub fn value(&self, person: &dyn Person, now: Timestamp) -> Computed {
        let measured = self.measure.answer(person, now);
        Computed { json: measured.value, due: measured.due, is_approximate: measured.is_approximate }
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
    places: Places,
    /// Those that a member of an account can change for the others.
    member_places: Places,
    of_accounts: Vec<usize>,
}

impl Catalog {
    /// What has to be kept for these definitions, each once.
    pub fn wanted(defined: &Defined) -> Vec<KeeperSpec> {
        let (mut wanted, mut hashes) = (Vec::new(), HashSet::new());
        let mut add = |spec: KeeperSpec| {
            if hashes.insert(spec.hash()) {
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

    /// Compiles definitions, with the numbers of the keepers by their hashes. Where [`Catalog::wanted`] names a keeper
    /// that has no number, an audience is broken, and a computed trait or a policy is left out.
    pub fn compile(defined: &Defined, numbers: &BTreeMap<[u8; 16], u32>) -> Self {
        let number = |spec: &KeeperSpec| numbers.get(&spec.hash()).copied();
        let wanted = Self::wanted(defined).into_iter();
        let specs: Vec<(u32, KeeperSpec)> = wanted.filter_map(|spec| Some((number(&spec)?, spec))).collect();
        let mut catalog = Self {
            keepers: Keepers::of(&specs),
            searched: defined.traits.searched.clone(),
            ..Self::default()
        };
        for (name, policy) in &defined.traits.policies {
            if let Some(keeper) = number(&KeeperSpec::Trait { name: name.clone() }) {
                catalog.policies.insert(name.clone(), (policy.clone(), keeper));
            }
        }
        for computed in &defined.computed_traits {
            let measure = Measure::of(&computed.definition);
            let Some(keeper) = number(&measure.keeper) else { continue };
            catalog.computed.push(ComputedPlan {
                id: computed.id,
                key: computed.key.clone(),
                name: computed.name.clone(),
                keeper,
                measure: measure.map(&mut |_| keeper),
            });
        }
        for audience in &defined.audiences {
            let node = Resolver::new(defined).audience(&audience.key);
            catalog.add(AudiencePlan::new(audience.id, &audience.key, node, &mut |spec| number(&spec)));
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
        self.places.of(traits, keepers)
    }

    /// Those that a person's traits or events can change for the other members of the person's accounts; ascending.
    pub fn touched_through_accounts(&self, traits: &[&str], keepers: &[u32]) -> Vec<usize> {
        self.member_places.of(traits, keepers)
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
            if of_members {
                self.member_places.enter(at, node);
            }
            self.places.enter(at, node);
        });
        self.audiences.push(plan);
    }
}
