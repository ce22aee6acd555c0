//! Exports of people, from what the projector publishes.
//!
//! A page is read at a time, and begins behind the last id of the one before. So an export holds nothing up, and shows
//! each profile as it is when its page is read, not all of them at one moment.

use super::Outside;
use crate::admin::exports::{ExportRows, Exported, Exports};
use crate::admin::outside::OutsideError;
use crate::bulk::Row;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tributary_model::{Identifier, Namespace, ProfileId, Timestamp, WorkspaceId};
use tributary_profiles::ProfileReader;
use tributary_profiles::reader::{Found, LookupError};

/// How many exports may be under way at one time.
pub(super) const EXPORTS_MAX: usize = 4;
/// How many profiles are read at a time.
const PAGE: usize = 200;

impl Exports for Outside {
    fn begin(&self, workspace: WorkspaceId, who: Exported) -> Result<Box<dyn ExportRows>, OutsideError> {
        let permit = Arc::clone(&self.exports).try_acquire_owned().map_err(|_| {
            OutsideError::Unavailable(format!("{EXPORTS_MAX} exports are under way; try again later"))
        })?;
        let reader = self.behind.reader();
        let reader = reader.get().cloned().ok_or(OutsideError::NotReady("the profiles"))?;
        Ok(Box::new(Export { reader, workspace, who, after: None, is_done: false, _permit: permit }))
    }
}

/// An export under way.
struct Export {
    reader: ProfileReader,
    workspace: WorkspaceId,
    who: Exported,
    /// The id behind which the next page begins.
    after: Option<ProfileId>,
    is_done: bool,
    _permit: OwnedSemaphorePermit,
}

impl ExportRows for Export {
    fn next(&mut self) -> Result<Vec<Row>, OutsideError> {
        // A page may have nobody left on it.
        while !self.is_done {
            let rows = self.page().map_err(|error| OutsideError::Failed("the export", error.into()))?;
            if !rows.is_empty() {
                return Ok(rows);
            }
        }
        Ok(Vec::new())
    }
}

impl Export {
    fn page(&mut self) -> Result<Vec<Row>, LookupError> {
        let mut rows = Vec::with_capacity(PAGE);
        match self.who {
            Exported::Everybody => {
                let page = self.reader.profiles(self.workspace, self.after, PAGE)?;
                (self.after, self.is_done) = (page.next, page.next.is_none());
                for found in &page.found {
                    rows.push(self.row(found, None)?);
                }
            }
            Exported::Members(audience) => {
                let members = self.reader.members(self.workspace, audience, self.after, PAGE)?;
                self.is_done = members.len() < PAGE;
                self.after = members.last().map(|(profile, _)| *profile);
                for (profile, membership) in members {
                    // One that was merged away in this moment is a member as the other.
                    if let Some(found) = self.reader.live(self.workspace, profile)? {
                        rows.push(self.row(&found, Some(membership.since))?);
                    }
                }
            }
        }
        Ok(rows)
    }

    fn row(&self, found: &Found, since: Option<Timestamp>) -> Result<Row, LookupError> {
        let view = &found.view;
        let identifiers: Vec<&Identifier> = view.profile.identifiers().map(|node| &node.identifier).collect();
        let of = |namespace: Namespace| {
            let own = identifiers.iter().filter(move |identifier| *identifier.namespace() == namespace);
            own.map(|identifier| identifier.value().to_owned())
        };
        // In order, as rows have them.
        let computed: BTreeMap<String, String> = view
            .computed(self.reader.now())
            .into_iter()
            .filter_map(|(plan, computed)| Some((plan.key.clone(), computed.json?)))
            .collect();
        let memberships = self.reader.memberships(self.workspace, found.id)?;
        let is_member = |id| memberships.iter().any(|(of, _)| *of == id);
        let plans = view.catalog().audiences().iter().filter(|plan| is_member(plan.id));
        let mut audiences: Vec<String> = plans.map(|plan| plan.key.clone()).collect();
        audiences.sort();
        Ok(Row {
            profile_id: found.id.to_string(),
            user_id: of(Namespace::USER_ID).next(),
            email: of(Namespace::EMAIL).next(),
            anonymous_ids: of(Namespace::ANONYMOUS_ID).collect(),
            identifiers: identifiers.iter().map(|identifier| identifier.to_text()).collect(),
            traits: view.sent().map(|(name, json, _)| (name.to_owned(), json.into_owned())).collect(),
            computed: computed.into_iter().collect(),
            audiences,
            since: since.map(|since| since.to_string()),
        })
    }
}
