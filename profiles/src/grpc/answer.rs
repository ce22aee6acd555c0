//! A profile as gRPC shows it.

use super::status::Refusal;
use crate::reader::{Found, LookupError, ProfileReader};
use crate::state::View;
use std::borrow::Cow;
use std::collections::BTreeMap;
use tributary_model::fragment::{Sighting, TraitValue};
use tributary_model::{EventKind, WorkspaceId};
use tributary_proto::convert::{identifier_of, time_of};
use tributary_proto::grpc::v1::{
    AudienceMembership, ComputedTrait, Consent, Profile, ProfileAccount, ProfileMetadata, ProfilePart, Trait,
};

/// Which parts of a profile are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Parts {
    identifiers: bool,
    traits: bool,
    computed_traits: bool,
    audiences: bool,
    accounts: bool,
    metadata: bool,
    consent: bool,
}

impl Parts {
    const ALL: Self = Self {
        identifiers: true,
        traits: true,
        computed_traits: true,
        audiences: true,
        accounts: true,
        metadata: true,
        consent: true,
    };

    /// Those that are named; all, if none is.
    pub(super) fn parse(include: &[i32]) -> Result<Self, Refusal> {
        if include.is_empty() {
            return Ok(Self::ALL);
        }
        let mut parts = Self::default();
        for number in include {
            match ProfilePart::try_from(*number) {
                Ok(ProfilePart::Identifiers) => parts.identifiers = true,
                Ok(ProfilePart::Traits) => parts.traits = true,
                Ok(ProfilePart::ComputedTraits) => parts.computed_traits = true,
                Ok(ProfilePart::Audiences) => parts.audiences = true,
                Ok(ProfilePart::Accounts) => parts.accounts = true,
                Ok(ProfilePart::Metadata) => parts.metadata = true,
                Ok(ProfilePart::Consent) => parts.consent = true,
                Ok(ProfilePart::Unspecified) | Err(_) => {
                    return Err(Refusal::invalid(format!("`include`: there is no part {number}")));
                }
            }
        }
        Ok(parts)
    }
}

/// The wanted parts of a profile. Blocking.
pub(super) fn profile(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    found: &Found,
    parts: Parts,
) -> Result<Profile, LookupError> {
    let view = &found.view;
    let mut profile = Profile { profile_id: found.id.to_string(), ..Profile::default() };
    if parts.identifiers {
        let nodes = view.profile.identifiers();
        profile.identifiers = nodes.map(|node| identifier_of(&node.identifier)).collect();
    }
    if parts.traits {
        profile.traits = traits(view);
    }
    if parts.computed_traits {
        profile.computed_traits = computed_traits(reader, workspace, view)?;
    }
    if parts.audiences {
        profile.audiences = audiences(reader, workspace, found)?;
    }
    if parts.accounts {
        let accounts = reader.accounts_of(workspace, view).into_iter();
        let account = |(group_id, first): (String, Sighting)| ProfileAccount {
            group_id,
            since: Some(time_of(first.at)),
        };
        profile.accounts = accounts.map(account).collect();
    }
    if parts.metadata {
        profile.metadata = Some(metadata(view));
    }
    if parts.consent {
        profile.consent = consent(view);
    }
    Ok(profile)
}

fn traits(view: &View) -> BTreeMap<String, Trait> {
    let row = |(name, json, origin): (&str, Cow<'_, str>, Cow<'_, TraitValue>)| {
        let shown = Trait {
            json: json.into_owned().into_bytes(),
            source_id: origin.source.to_string(),
            message_id: origin.message_id.to_string(),
            updated_at: Some(time_of(origin.at)),
        };
        (name.to_owned(), shown)
    };
    view.sent().map(row).collect()
}

/// Those that have a value, and are not broken. What lacks events of old is approximate.
fn computed_traits(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    view: &View,
) -> Result<BTreeMap<String, ComputedTrait>, LookupError> {
    let unfilled = reader.unfilled(workspace)?;
    let computed = view.computed(reader.now()).into_iter();
    let shown = computed.filter_map(|(plan, computed)| {
        let json = computed.json?.into_bytes();
        let approximate = computed.is_approximate || unfilled.contains(&plan.keeper);
        Some((plan.key.clone(), ComputedTrait { json, approximate }))
    });
    Ok(shown.collect())
}

/// Those that are defined today, by key.
fn audiences(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    found: &Found,
) -> Result<Vec<AudienceMembership>, LookupError> {
    let catalog = reader.catalog(workspace)?;
    let memberships = reader.memberships(workspace, found.id)?;
    let mut shown: Vec<AudienceMembership> = memberships
        .iter()
        .filter_map(|(id, membership)| {
            let plan = catalog.audiences().iter().find(|plan| plan.id == *id)?;
            Some(AudienceMembership { key: plan.key.clone(), since: Some(time_of(membership.since)) })
        })
        .collect();
    shown.sort_by(|one, other| one.key.cmp(&other.key));
    Ok(shown)
}

/// What was granted or refused, by category.
fn consent(view: &View) -> Vec<Consent> {
    let rows = view.merged.consent.current().map(|(category, value)| Consent {
        category: category.to_owned(),
        granted: value.granted,
        source_id: value.source.to_string(),
        message_id: value.message_id.to_string(),
        updated_at: Some(time_of(value.at)),
    });
    rows.collect()
}

fn metadata(view: &View) -> ProfileMetadata {
    let merged = &view.merged;
    let counts = EventKind::ALL.into_iter().map(|kind| (kind.name().to_owned(), merged.events_of(kind)));
    ProfileMetadata {
        created_at: Some(time_of(view.profile.created.received_at)),
        first_seen: merged.first.as_ref().map(|first| time_of(first.at)),
        last_seen: merged.last.as_ref().map(|last| time_of(last.at)),
        event_count: merged.events(),
        event_counts: counts.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_named_or_all() {
        let named = |parts: &[ProfilePart]| -> Vec<i32> { parts.iter().map(|part| *part as i32).collect() };
        assert_eq!(Parts::parse(&[]).ok(), Some(Parts::ALL));
        let two = named(&[ProfilePart::Traits, ProfilePart::Metadata, ProfilePart::Traits]);
        let want = Parts { traits: true, metadata: true, ..Parts::default() };
        assert_eq!(Parts::parse(&two).ok(), Some(want));
        assert!(Parts::parse(&named(&[ProfilePart::Unspecified])).is_err());
        assert!(Parts::parse(&[99]).is_err());
    }
}
