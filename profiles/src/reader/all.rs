//! Reads of all profiles of a workspace, one after another.
//!
//! What is read here is not kept among the views: to go through everybody must not drive out those who are asked for.

use super::{Found, LookupError, ProfileReader};
use crate::codec::Value;
use crate::key::{Key, Tag};
use std::ops::Bound;
use std::sync::Arc;
use tributary_identity::{LiveProfile, ProfileRecord};
use tributary_model::{ProfileId, WorkspaceId};

/// Some of the profiles of a workspace.
#[derive(Debug, Clone, Default)]
pub struct Profiles {
    /// The live ones, in the order of their ids. There may be none though there are more behind them.
    pub found: Vec<Found>,
    /// The id behind which the next ones are; `None` if there are no more.
    pub next: Option<ProfileId>,
}

impl ProfileReader {
    /// The live profiles behind an id, so many at most, in the order of their ids: one that is there while others come
    /// and go is met once. What is merged into another meanwhile is met as the one, as the other, or as both.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn profiles(
        &self,
        workspace: WorkspaceId,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Profiles, LookupError> {
        let from = match after {
            Some(id) => Bound::Excluded(Key::profile(workspace, id).rest().to_vec()),
            None => Bound::Unbounded,
        };
        let entries = self.state.range(workspace, Tag::Profile, from, &[], limit)?;
        let last = entries.last().and_then(|(key, _)| key.profile_named());
        let next = last.filter(|_| entries.len() == limit);
        let mut found = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if let (Some(id), Value::Profile(record)) = (key.profile_named(), value)
                && let ProfileRecord::Live(profile) = &*record
            {
                found.push(self.seen(workspace, id, profile)?);
            }
        }
        Ok(Profiles { found, next })
    }

    /// A profile by the id that it has today; `None` if there is none, or it was merged into another.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn live(&self, workspace: WorkspaceId, id: ProfileId) -> Result<Option<Found>, LookupError> {
        match self.state.get(&Key::profile(workspace, id))? {
            Some(Value::Profile(record)) => match &*record {
                ProfileRecord::Live(profile) => self.seen(workspace, id, profile).map(Some),
                ProfileRecord::MergedInto(_) => Ok(None),
            },
            _ => Ok(None),
        }
    }

    /// A live profile with the view that is kept of it, or one of its own.
    fn seen(
        &self,
        workspace: WorkspaceId,
        id: ProfileId,
        profile: &Arc<LiveProfile>,
    ) -> Result<Found, LookupError> {
        let catalog = self.catalog(workspace)?;
        let kept = self.state.view(workspace, id).filter(|view| view.is_under(&catalog));
        let view = match kept {
            Some(view) => view,
            None => Arc::new(self.view_of(workspace, profile)?),
        };
        Ok(Found { id, view })
    }
}
