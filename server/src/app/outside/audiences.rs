//! What the admin API tells of audiences, from what the projector publishes.

use super::Outside;
use crate::admin::outside::{
    AudienceMember, AudienceStanding, Audiences, ComputedStanding, Detail, OutsideError, SizeHour,
};
use crate::app::blocking;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tributary_model::{AudienceId, ComputedTraitId, Identifier, ProfileId, Timestamp, WorkspaceId};
use tributary_profiles::ProfileReader;
use tributary_profiles::reader::LookupError;

/// As long as profiles are not open.
const NOT_READY: OutsideError = OutsideError::NotReady("the profiles");

fn failed(error: LookupError) -> OutsideError {
    OutsideError::Failed("reading the audience", error.into())
}

impl Audiences for Outside {
    fn has_read(&self, workspace: WorkspaceId, version: u64, wait: Duration) -> BoxFuture<'static, ()> {
        let (behind, store) = (Arc::clone(&self.behind), self.store.clone());
        let read = async move {
            let Some(projector) = behind.projector() else { return };
            let mut progress = projector.progress();
            let position = blocking(move || store.position_of(workspace, version)).await;
            let Ok(position) = position else { return };
            // It ends early only with the projector, and then nothing is to be waited for.
            let _ = progress.wait_for(|progress| progress.visible > position.sequence).await;
        };
        async move {
            // Who asked tells how things stand, be it read or not.
            let _ = tokio::time::timeout(wait, read).await;
        }
        .boxed()
    }

    fn standing(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
    ) -> Result<Option<AudienceStanding>, OutsideError> {
        let reader = self.behind.reader();
        let Some(reader) = reader.get() else { return Ok(None) };
        let status = reader.audience_status(workspace, audience).map_err(failed)?;
        Ok(status.map(|status| AudienceStanding {
            stage: status.stage.name(),
            done: status.done,
            total: status.total,
            since: status.since,
            size: status.size,
            problem: status.problem,
        }))
    }

    fn computed_standing(
        &self,
        workspace: WorkspaceId,
        computed: ComputedTraitId,
    ) -> Result<Option<ComputedStanding>, OutsideError> {
        let reader = self.behind.reader();
        let Some(reader) = reader.get() else { return Ok(None) };
        let status = reader.computed_status(workspace, computed).map_err(failed)?;
        Ok(status.map(|status| ComputedStanding {
            stage: status.stage.name(),
            done: status.done,
            total: status.total,
            since: status.since,
        }))
    }

    fn leaving(&self, workspace: WorkspaceId) -> Result<Vec<(String, u64)>, OutsideError> {
        let reader = self.behind.reader();
        let Some(reader) = reader.get() else { return Ok(Vec::new()) };
        reader.leaving(workspace).map_err(failed)
    }

    fn members(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
        after: Option<ProfileId>,
        limit: usize,
        detail: Detail,
    ) -> Result<Vec<AudienceMember>, OutsideError> {
        let reader = self.behind.reader();
        let reader = reader.get().ok_or(NOT_READY)?;
        let mut members = Vec::new();
        for (profile, membership) in reader.members(workspace, audience, after, limit).map_err(failed)? {
            let traits = match detail {
                Detail::Brief => None,
                Detail::Traits => Some(traits(reader, workspace, profile).map_err(failed)?),
            };
            let identifiers = membership.identifiers.iter().map(Identifier::to_text).collect();
            let (since, is_approximate) = (membership.since, membership.is_approximate);
            members.push(AudienceMember { profile, since, identifiers, is_approximate, traits });
        }
        Ok(members)
    }

    fn sizes(
        &self,
        workspace: WorkspaceId,
        audience: AudienceId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<SizeHour>, OutsideError> {
        let reader = self.behind.reader();
        let reader = reader.get().ok_or(NOT_READY)?;
        let mut hours = Vec::new();
        for (at, row) in reader.sizes(workspace, audience, from, to).map_err(failed)? {
            hours.push(SizeHour { at, size: row.size, entered: row.entered, exited: row.exited });
        }
        Ok(hours)
    }

    fn now(&self) -> Result<Timestamp, OutsideError> {
        self.behind.reader().get().map(ProfileReader::now).ok_or(NOT_READY)
    }
}

/// The traits of a profile as the profile API shows them, as JSON texts; none if it was merged away in this moment.
fn traits(
    reader: &ProfileReader,
    workspace: WorkspaceId,
    profile: ProfileId,
) -> Result<Vec<(String, String)>, LookupError> {
    let Some(found) = reader.live(workspace, profile)? else { return Ok(Vec::new()) };
    let memberships = reader.memberships(workspace, profile)?;
    let shown = found.view.shown(reader.now(), |id| memberships.iter().any(|(of, _)| *of == id));
    Ok(shown.into_iter().map(|(name, json)| (name.to_owned(), json.into_owned())).collect())
}
