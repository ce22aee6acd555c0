//! What a store holds, in the form of what is expected.

use super::{Counts, ExpectedProfile};
use crate::codec::Value;
use crate::key::{Key, Tag};
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use tributary_identity::ProfileRecord;
use tributary_model::fragment::Sighting;
use tributary_model::{Fragment, ProfileId, WorkspaceId};

/// What the store counts for a workspace; nothing where it knows none.
///
/// # Errors
/// If the store can't be read.
pub fn stored_counts(store: &dyn Store, workspace: WorkspaceId) -> Result<Counts, StoreError> {
    let Some(bytes) = store.get(&Key::workspace(workspace))? else { return Ok(Counts::default()) };
    let counts = Value::decode(Tag::Workspace, &bytes)?;
    let Value::Workspace(state) = counts else { return Ok(Counts::default()) };
    Ok(Counts {
        profiles: state.profiles,
        projected: state.projected,
        duplicates: state.duplicates,
        unidentified: state.unidentified,
    })
}

/// Every live profile of a workspace as a store holds it, in the form of what is expected.
///
/// # Errors
/// If the store can't be read.
pub fn stored_profiles(
    store: &dyn Store,
    workspace: WorkspaceId,
) -> Result<BTreeMap<ProfileId, ExpectedProfile>, StoreError> {
    let mut live = Vec::new();
    let mut fragments = BTreeMap::new();
    store.scan(&workspace.0.to_be_bytes(), &mut |key, bytes| {
        let tag = Tag::of(key.as_bytes()).expect("stored keys have a tag");
        let value = Value::decode(tag, &bytes)?;
        if let Value::Profile(profile) = &value
            && let ProfileRecord::Live(profile) = &**profile
        {
            live.push((key.profile_named().expect("a profile's key names it"), profile.clone()));
        }
        if let Value::Fragment(fragment) = value {
            fragments.insert(key, fragment);
        }
        Ok(())
    })?;
    let seen = |sighting: &Option<Sighting>| {
        sighting.as_ref().map(|sighting| (sighting.at, sighting.message_id.to_string()))
    };
    let profiles = live.into_iter().map(|(id, profile)| {
        let mut merged = Fragment::default();
        for node in profile.members.iter() {
            if let Some(fragment) = fragments.get(&Key::fragment(workspace, node)) {
                merged.merge(fragment);
            }
        }
        let expected = ExpectedProfile {
            identifiers: profile.identifiers().map(|node| node.identifier.to_text()).collect(),
            traits: merged.current_traits().map(|(name, value, _)| (name.into(), value.into())).collect(),
            counts: merged.counts,
            first: seen(&merged.first),
            last: seen(&merged.last),
        };
        (id, expected)
    });
    Ok(profiles.collect())
}
