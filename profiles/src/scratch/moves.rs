//! How the identifiers of profiles are grouped before and after: which profiles became one, which were parted.
//!
//! Found by reading both graphs side by side in the order of identifiers. What is held in memory are ids of
//! profiles that changed.

use super::owners::{Owned, Owners};
use crate::store::{Store, StoreError};
use rustc_hash::FxHashSet;
use std::cmp::Ordering;
use tributary_model::{ProfileId, WorkspaceId};

/// The profiles that share identifiers, where they are not one and the same before and after.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// (profile after, profile before), sorted, each once.
    by_after: Vec<(ProfileId, ProfileId)>,
    /// (profile before, profile after), sorted, each once.
    by_before: Vec<(ProfileId, ProfileId)>,
    /// How many identifiers are on a profile before, and after.
    pub(crate) identifiers: (u64, u64),
}

/// A graph to compare: a store, and the workspace in it.
pub(crate) type Side<'a> = (&'a dyn Store, WorkspaceId);

impl Moves {
    /// Compares two graphs whose profile ids were made under the same workspace.
    ///
    /// # Errors
    /// If a store can't be read.
    pub(crate) fn between(before: Side<'_>, after: Side<'_>) -> Result<Self, StoreError> {
        let mut moved = FxHashSet::default();
        let mut identifiers = (0, 0);
        side_by_side(before, after, |from, to| {
            identifiers.0 += u64::from(from.is_some());
            identifiers.1 += u64::from(to.is_some());
            if let (Some(from), Some(to)) = (from, to)
                && from != to
            {
                moved.insert((from, to));
            }
        })?;
        if !moved.is_empty() {
            // Of a profile that gained or lost an identifier, what stayed on it counts too.
            let touched: FxHashSet<ProfileId> = moved.iter().flat_map(|(from, to)| [*from, *to]).collect();
            side_by_side(before, after, |from, to| {
                if let (Some(from), Some(to)) = (from, to)
                    && from == to
                    && touched.contains(&from)
                {
                    moved.insert((from, to));
                }
            })?;
        }
        let mut by_before: Vec<_> = moved.into_iter().collect();
        by_before.sort_unstable();
        let mut by_after: Vec<_> = by_before.iter().map(|(from, to)| (*to, *from)).collect();
        by_after.sort_unstable();
        Ok(Self { by_after, by_before, identifiers })
    }

    /// Every profile after that changed, by id, with the profiles before that share identifiers with it, sorted.
    pub(crate) fn after(&self) -> impl Iterator<Item = (ProfileId, Vec<ProfileId>)> {
        grouped(&self.by_after)
    }

    /// Every profile before that changed, by id, with the profiles after that share identifiers with it, sorted.
    pub(crate) fn before(&self) -> impl Iterator<Item = (ProfileId, Vec<ProfileId>)> {
        grouped(&self.by_before)
    }

    /// The profiles after that hold identifiers of several before.
    pub(crate) fn merges(&self) -> impl Iterator<Item = (ProfileId, Vec<ProfileId>)> {
        self.after().filter(|(_, from)| from.len() > 1)
    }

    /// The profiles before whose identifiers are on several after.
    pub(crate) fn splits(&self) -> impl Iterator<Item = (ProfileId, Vec<ProfileId>)> {
        self.before().filter(|(_, to)| to.len() > 1)
    }
}

fn grouped(pairs: &[(ProfileId, ProfileId)]) -> impl Iterator<Item = (ProfileId, Vec<ProfileId>)> {
    pairs.chunk_by(|(left, _), (right, _)| left == right).filter_map(|group| {
        let (id, _) = group.first()?;
        Some((*id, group.iter().map(|(_, other)| *other).collect()))
    })
}

/// Calls `visit` for every identifier that is on a profile on either side, with those profiles.
fn side_by_side(
    before: Side<'_>,
    after: Side<'_>,
    mut visit: impl FnMut(Option<ProfileId>, Option<ProfileId>),
) -> Result<(), StoreError> {
    let mut left = Owners::of(before.0, before.1);
    let mut right = Owners::of(after.0, after.1);
    let (mut from, mut to) = (left.next().transpose()?, right.next().transpose()?);
    loop {
        let order = match (&from, &to) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(from), Some(to)) => from.name.cmp(&to.name),
        };
        let has = |owned: &Option<Owned>, wanted: bool| {
            owned.as_ref().filter(|_| wanted).map(|owned| owned.profile)
        };
        visit(has(&from, order != Ordering::Greater), has(&to, order != Ordering::Less));
        if order != Ordering::Greater {
            from = left.next().transpose()?;
        }
        if order != Ordering::Less {
            to = right.next().transpose()?;
        }
    }
}
