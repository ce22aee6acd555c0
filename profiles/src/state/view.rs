//! A profile with its fragments merged, as reads of it see it.

use quick_cache::Weighter;
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use tributary_identity::{LiveProfile, Partitions};
use tributary_model::fragment::TraitValue;
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::{Fragment, Identifier, ProfileId, WorkspaceId};

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
}

/// Merged views touched by a batch: the new view, or `None` where it has to be made again.
pub type Views = FxHashMap<(WorkspaceId, ProfileId), Option<Arc<View>>>;

impl View {
    /// A profile, the merge of its members' fragments, and what may not be told of it: under these partitions and
    /// rules.
    pub(crate) fn new(
        profile: Arc<LiveProfile>,
        merged: Fragment,
        partitions: &Partitions,
        rules: Arc<IdentifierReader>,
    ) -> Self {
        let hidden = parted_from(partitions, &profile);
        Self { profile, merged, hidden, rules }
    }

    /// The traits that are set, as (name, JSON text), by name; without those whose value is an identifier that was
    /// parted from the profile.
    pub fn traits(&self) -> impl Iterator<Item = (&str, &str, &TraitValue)> {
        self.merged.current_traits().filter(|(_, value, _)| !self.hides(value))
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
        let traits = view.merged.traits.iter();
        500 + 100 * view.hidden.len() as u64
            + traits
                .map(|(name, entry)| {
                    200 + name.len() as u64 + entry.value.as_ref().map_or(0, |v| v.len()) as u64
                })
                .sum::<u64>()
    }
}
