//! About how much memory entries take: the bound of the cache is in bytes.

use super::Value;
use crate::standing::Membership;
use tributary_identity::ProfileRecord;
use tributary_model::Fragment;
use tributary_model::keeper::Kept;

/// An identifier in a list, with its value.
const IDENTIFIER_BYTES: u64 = 120;
/// A definition, with its condition compiled.
const DEFINITION_BYTES: u64 = 2_000;

impl Value {
    /// About how much memory it takes, in bytes, for the cache's bound.
    pub fn weight(&self) -> u64 {
        match self {
            Self::AccountMember
            | Self::Checkpoint(_)
            | Self::RefusedBy
            | Self::Search
            | Self::Size(_)
            | Self::Tally(_)
            | Self::Timer => 50,
            Self::Workspace(_) => 1000,
            Self::Alarm(_) => 250,
            Self::Edge(_) | Self::Refusal(_) => 400,
            Self::Node(_) => 260,
            Self::History(_) => 800,
            Self::Partition(partition) => {
                300 + IDENTIFIER_BYTES * partition.sides.iter().map(Vec::len).sum::<usize>() as u64
            }
            Self::Profile(profile) => match &**profile {
                ProfileRecord::Live(live) => {
                    340 + IDENTIFIER_BYTES * (live.members.len() + live.former.len()) as u64
                }
                ProfileRecord::MergedInto(_) => 150,
            },
            Self::Fragment(fragment) => fragment_weight(fragment),
            Self::Account(account) => {
                fragment_weight(&account.fragment) + IDENTIFIER_BYTES * account.looked_at.len() as u64
            }
            Self::Member(membership) => membership_weight(membership),
            Self::Standing(standing) => {
                150 + standing.memberships.values().map(membership_weight).sum::<u64>()
            }
            Self::Needs(needs) => {
                100 + 60 * (needs.traits.len() + needs.audiences.len() + needs.categories.len()) as u64
            }
            Self::Definitions(definitions) => {
                let defined = &definitions.defined;
                let count =
                    definitions.keepers.len() + defined.audiences.len() + defined.computed_traits.len();
                500 + DEFINITION_BYTES * count as u64
            }
        }
    }
}

fn membership_weight(membership: &Membership) -> u64 {
    150 + IDENTIFIER_BYTES * membership.identifiers.len() as u64
}

fn fragment_weight(fragment: &Fragment) -> u64 {
    let traits = fragment.traits.iter().map(|(name, entry)| {
        160 + name.len() + entry.message_id.as_str().len() + entry.value.as_deref().map_or(0, str::len)
    });
    let kept = fragment.kept.values().map(|kept| match kept {
        Kept::Trail(trail) => trail.weight(),
        Kept::Trait(record) => record.weight(),
    });
    let accounts = fragment.accounts.keys().map(|group| 150 + group.len());
    400 + (traits.sum::<usize>() + accounts.sum::<usize>()) as u64
        + kept.sum::<u64>()
        + fragment.consent.weight()
}
