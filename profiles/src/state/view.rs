//! A profile with its fragments merged, as reads of it see it.
//!
//! Everything that a view says is a pure function of what it holds: the profile, the merge of its fragments, what may
//! not be told of it, and what its workspace defines. So conditions and computed traits are evaluated over it alone.

use quick_cache::Weighter;
use rustc_hash::FxHashMap;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use tributary_identity::{LiveProfile, Partitions};
use tributary_model::catalog::{Catalog, Computed, ComputedPlan, Person};
use tributary_model::fragment::TraitValue;
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::keeper::Kept;
use tributary_model::trail::Trail;
use tributary_model::workspace::MergePolicy;
use tributary_model::{AudienceId, Fragment, Identifier, Namespace, ProfileId, Timestamp, WorkspaceId};

/// A profile with its fragments merged: what a read of the profile answers from. Its `Debug` hides what is known of
/// the person.
#[derive(Clone)]
pub struct View {
    /// The profile.
    pub profile: Arc<LiveProfile>,
    /// The merge of its members' fragments.
    pub merged: Fragment,
    /// The identifiers that a person parted from it, sorted: traits that name one are somebody else's.
    pub hidden: Arc<[Identifier]>,
    /// The rules by which the values of traits are compared with `hidden`.
    rules: Arc<IdentifierReader>,
    /// What the workspace defines.
    catalog: Arc<Catalog>,
}

/// Merged views touched by a batch: the new view, or `None` where it has to be made again.
pub type Views = FxHashMap<(WorkspaceId, ProfileId), Option<Arc<View>>>;

impl View {
    /// A profile, the merge of its members' fragments, and what may not be told of it: under these partitions, rules
    /// and definitions.
    pub(crate) fn new(
        profile: Arc<LiveProfile>,
        merged: Fragment,
        partitions: &Partitions,
        rules: Arc<IdentifierReader>,
        catalog: Arc<Catalog>,
    ) -> Self {
        let hidden = parted_from(partitions, &profile);
        Self { profile, merged, hidden, rules, catalog }
    }

    /// What the workspace defined when the view was made.
    pub fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Whether the view was made under these definitions. Under others, it has to be made again.
    pub(crate) fn is_under(&self, catalog: &Arc<Catalog>) -> bool {
        Arc::ptr_eq(&self.catalog, catalog)
    }

    /// The traits that are set, each with its value as JSON text and where that came from, by name: values as the
    /// policies choose them, without those that are an identifier that was parted from the profile.
    pub fn traits(&self) -> impl Iterator<Item = (&str, Cow<'_, str>, Cow<'_, TraitValue>)> {
        self.merged.traits.iter().filter_map(|(name, newest)| {
            let (json, origin) = self.told(name, newest)?;
            Some((&**name, json, origin))
        })
    }

    /// The value of a trait as JSON text, as [`View::traits`] has it.
    pub fn value(&self, name: &str) -> Option<Cow<'_, str>> {
        let newest = self.merged.traits.get(name)?;
        self.told(name, newest).map(|(json, _)| json)
    }

    /// The computed traits, in the order in which they are defined, with what they are at this time.
    pub fn computed(&self, now: Timestamp) -> Vec<(&ComputedPlan, Computed)> {
        self.catalog.computed().iter().map(|plan| (plan, plan.value(self, now))).collect()
    }

    /// What is told of a trait, by its policy, and where that came from.
    fn told<'a>(&'a self, name: &str, newest: &'a TraitValue) -> Option<(Cow<'a, str>, Cow<'a, TraitValue>)> {
        let Some((policy, keeper)) = self.catalog.policy(name) else { return self.told_newest(newest) };
        match self.merged.kept.get(&keeper) {
            Some(Kept::Trait(record)) => {
                // A fragment that no event has met since the policy began has no record yet.
                let mut record = record.clone();
                record.seed(newest);
                let chosen = record.chosen(policy)?;
                let json = if *policy == MergePolicy::Union {
                    self.without_hidden(chosen.json)?
                } else if self.hides(&chosen.json) {
                    return None;
                } else {
                    chosen.json
                };
                Some((Cow::Owned(json), Cow::Owned(chosen.origin)))
            }
            // The record of values begins with the policy, and is filled from the log behind it.
            Some(Kept::Trail(_)) | None => self.told_newest(newest),
        }
    }

    fn told_newest<'a>(&self, newest: &'a TraitValue) -> Option<(Cow<'a, str>, Cow<'a, TraitValue>)> {
        let json = newest.value.as_deref()?;
        (!self.hides(json)).then_some((Cow::Borrowed(json), Cow::Borrowed(newest)))
    }

    /// A list without the elements that are hidden; `None` if none is left.
    fn without_hidden(&self, list: String) -> Option<String> {
        if self.hidden.is_empty() {
            return Some(list);
        }
        let Ok(mut elements) = serde_json::from_str::<Vec<&RawValue>>(&list) else { return Some(list) };
        elements.retain(|element| !self.hides(element.get()));
        if elements.is_empty() {
            return None;
        }
        Some(serde_json::to_string(&elements).expect("what was read as JSON can be written"))
    }

    /// Whether a value, as JSON text, is an identifier that was parted from the profile.
    fn hides(&self, value: &str) -> bool {
        if self.hidden.is_empty() {
            return false;
        }
        // A whole number is an identifier as it is written.
        let is_number = value.strip_prefix('-').unwrap_or(value).bytes().all(|byte| byte.is_ascii_digit());
        let text = if is_number { Ok(value.to_owned()) } else { serde_json::from_str::<String>(value) };
        let Ok(text) = text else { return false };
        // Sorted, so those of a namespace are neighbours.
        self.hidden.chunk_by(|one, other| one.namespace() == other.namespace()).any(|group| {
            let namespace = group.first().expect("chunks are not empty").namespace();
            let named = self.rules.identifier(namespace, &text);
            named.is_ok_and(|named| group.binary_search(&named).is_ok())
        })
    }

    /// What [`View::traits`] has, but what is defined under a name stands for what was sent under it: a trait that
    /// somebody sent must not pass for a computed one, or for a membership.
    pub fn sent(&self) -> impl Iterator<Item = (&str, Cow<'_, str>, Cow<'_, TraitValue>)> {
        let computed = self.catalog.computed().iter().map(|plan| plan.key.as_str());
        let audiences = self.catalog.audiences().iter().map(|plan| plan.key.as_str());
        let defined: BTreeSet<&str> = computed.chain(audiences).collect();
        self.traits().filter(move |(name, ..)| !defined.contains(name))
    }

    /// All traits, as the profile API shows them: those that were sent, those that are computed, and a `true` for each
    /// audience that it is a member of.
    pub fn shown(
        &self,
        now: Timestamp,
        is_member: impl Fn(AudienceId) -> bool,
    ) -> BTreeMap<&str, Cow<'_, str>> {
        let mut shown: BTreeMap<&str, Cow<'_, str>> =
            self.sent().map(|(name, json, _)| (name, json)).collect();
        for (plan, computed) in self.computed(now) {
            shown.extend(computed.json.map(|json| (plan.key.as_str(), Cow::Owned(json))));
        }
        let plans = self.catalog.audiences().iter().filter(|plan| is_member(plan.id));
        shown.extend(plans.map(|plan| (plan.key.as_str(), Cow::Borrowed("true"))));
        shown
    }
}

impl Person for View {
    fn trait_json(&self, name: &str) -> Option<Cow<'_, str>> {
        self.value(name)
    }

    fn trail(&self, keeper: u32) -> Option<&Trail> {
        match self.merged.kept.get(&keeper)? {
            Kept::Trail(trail) => Some(trail),
            Kept::Trait(_) => None,
        }
    }

    fn has_user_id(&self) -> bool {
        self.profile.identifiers().any(|node| *node.identifier.namespace() == Namespace::USER_ID)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "View({} members, {} events)", self.profile.members.len(), self.merged.events())
    }
}

/// The identifiers on the other sides of the partitions that a profile's members are in, but its own ones.
fn parted_from(partitions: &Partitions, profile: &LiveProfile) -> Arc<[Identifier]> {
    if partitions.is_empty() {
        return Arc::default();
    }
    let sides: BTreeSet<(u64, usize)> =
        profile.members.iter().flat_map(|member| partitions.of(member)).copied().collect();
    let mut hidden: BTreeSet<&Identifier> = sides
        .iter()
        .filter_map(|(id, own)| Some((partitions.get(*id)?, *own)))
        .flat_map(|(partition, own)| {
            let others = partition.sides.iter().enumerate().filter(move |(side, _)| *side != own);
            others.flat_map(|(_, nodes)| nodes).map(|node| &node.identifier)
        })
        .collect();
    for own in profile.identifiers() {
        hidden.remove(&own.identifier);
    }
    hidden.into_iter().cloned().collect()
}

#[derive(Clone)]
pub(super) struct ViewWeight;

impl Weighter<(WorkspaceId, ProfileId), Arc<View>> for ViewWeight {
    fn weight(&self, _: &(WorkspaceId, ProfileId), view: &Arc<View>) -> u64 {
        let merged = &view.merged;
        let traits = merged.traits.iter().map(|(name, entry)| {
            200 + name.len() as u64 + entry.value.as_ref().map_or(0, |v| v.len()) as u64
        });
        let kept = merged.kept.values().map(|kept| match kept {
            Kept::Trail(trail) => trail.weight(),
            Kept::Trait(record) => record.weight(),
        });
        let accounts = merged.accounts.keys().map(|group| 150 + group.len() as u64);
        500 + 100 * view.hidden.len() as u64
            + traits.sum::<u64>()
            + kept.sum::<u64>()
            + accounts.sum::<u64>()
            + merged.consent.weight()
    }
}

#[cfg(test)]
mod tests;
