//! Reads of audiences: how far one is, who is in it, and how large it was.

use super::{LookupError, ProfileReader};
use crate::codec::Value;
use crate::definitions::{DefinitionsState, Stage};
use crate::key::{Key, Tag, audience_prefix};
use crate::standing::{Membership, SizeRow, hour_of, start_of_hour};
use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;
use tributary_model::catalog::Catalog;
use tributary_model::{AudienceId, ComputedTraitId, ProfileId, Timestamp, WorkspaceId};

/// How many sizes are read at a time.
const PAGE: usize = 1024;

/// How an audience stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AudienceStatus {
    /// How far it is.
    pub stage: Stage,
    /// How much of the stage's work is done: events read, or profiles evaluated.
    pub done: u64,
    /// How much there is to do; 0 where there is nothing, or it has not begun.
    pub total: u64,
    /// When the first of the events arrived that it knows; `None` if it knows all there ever were.
    pub since: Option<Timestamp>,
    /// How many members it has.
    pub size: u64,
    /// Why it is broken.
    pub problem: Option<String>,
}

impl AudienceStatus {
    /// That of an audience, of which this is why it is broken; `None` if it is neither defined nor left.
    fn of(definitions: &DefinitionsState, id: AudienceId, problem: Option<String>) -> Option<Self> {
        if let Some(audience) = definitions.audiences.iter().find(|audience| audience.id == id) {
            let (done, total) = progress(definitions, audience.stage);
            let (stage, since, size) = (audience.stage, audience.since, audience.members);
            return Some(Self { stage, done, total, since, size, problem });
        }
        let leaving = definitions.leaving.iter().find(|leaving| leaving.id == id)?;
        let (stage, size) = (Stage::Leaving, leaving.left);
        Some(Self { stage, done: 0, total: size, since: None, size, problem: None })
    }
}

/// How a computed trait stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComputedStatus {
    /// How far it is: [`Stage::Waiting`], [`Stage::Reading`] or [`Stage::Live`].
    pub stage: Stage,
    /// How many events of the log are read for it.
    pub done: u64,
    /// How many there are to read.
    pub total: u64,
    /// When the first of the events arrived that it knows; `None` if it knows all there ever were.
    pub since: Option<Timestamp>,
}

impl ComputedStatus {
    /// That of what rests on a keeper; `None` if there is none of this number.
    fn of(definitions: &DefinitionsState, keeper: u32) -> Option<Self> {
        let (stage, since) = definitions.keeper_stage(keeper)?;
        let (done, total) = progress(definitions, stage);
        Some(Self { stage, done, total, since })
    }
}

/// How much of a stage's work is done, and how much there is: it is done for all audiences of the stage at once.
fn progress(definitions: &DefinitionsState, stage: Stage) -> (u64, u64) {
    let (done, total) = match stage {
        Stage::Reading => match definitions.reading.filter(|reading| reading.next > 0) {
            Some(reading) => {
                (reading.next.saturating_sub(reading.from), reading.end.saturating_sub(reading.from))
            }
            None => (0, 0),
        },
        Stage::Evaluating => match definitions.evaluating {
            Some(evaluating) => (evaluating.done, evaluating.total),
            None => (0, 0),
        },
        Stage::Waiting | Stage::Live | Stage::Broken | Stage::Leaving => (0, 0),
    };
    // Profiles may have come along.
    (done.min(total), total)
}

impl ProfileReader {
    /// The time as of which windows are looked at: the projector's, or the clock's where that is ahead.
    pub fn now(&self) -> Timestamp {
        self.state.log_time().max(self.clock.now())
    }

    /// What a workspace defines, and how far that is.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn definitions(&self, workspace: WorkspaceId) -> Result<Arc<DefinitionsState>, LookupError> {
        Ok(self.state.definitions(workspace)?)
    }

    /// What a workspace defines, compiled.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn catalog(&self, workspace: WorkspaceId) -> Result<Arc<Catalog>, LookupError> {
        Ok(self.state.catalog(workspace)?)
    }

    /// How an audience stands; `None` if there is none, or none any more.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn audience_status(
        &self,
        workspace: WorkspaceId,
        id: AudienceId,
    ) -> Result<Option<AudienceStatus>, LookupError> {
        let definitions = self.definitions(workspace)?;
        let catalog = self.state.catalogs().of(workspace, &definitions);
        let plan = catalog.audiences().iter().find(|plan| plan.id == id);
        let problem = plan.and_then(|plan| plan.problem.clone());
        Ok(AudienceStatus::of(&definitions, id, problem))
    }

    /// How a computed trait stands; `None` if there is none.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn computed_status(
        &self,
        workspace: WorkspaceId,
        id: ComputedTraitId,
    ) -> Result<Option<ComputedStatus>, LookupError> {
        let definitions = self.definitions(workspace)?;
        let catalog = self.state.catalogs().of(workspace, &definitions);
        let plan = catalog.computed().iter().find(|plan| plan.id == id);
        Ok(plan.and_then(|plan| ComputedStatus::of(&definitions, plan.keeper)))
    }

    /// The keepers that lack events: what rests on them is approximate.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn unfilled(&self, workspace: WorkspaceId) -> Result<BTreeSet<u32>, LookupError> {
        Ok(self.definitions(workspace)?.unfilled())
    }

    /// The audiences that were deleted and still have members, by their keys, and how many have yet to leave; those
    /// whose members leave first before the others.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn leaving(&self, workspace: WorkspaceId) -> Result<Vec<(String, u64)>, LookupError> {
        let definitions = self.definitions(workspace)?;
        Ok(definitions.leaving.iter().map(|leaving| (leaving.key.clone(), leaving.left)).collect())
    }

    /// The members of an audience behind a profile, so many at most, in the order of their ids: who stays a member
    /// while others come and go is met once.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn members(
        &self,
        workspace: WorkspaceId,
        id: AudienceId,
        after: Option<ProfileId>,
        limit: usize,
    ) -> Result<Vec<(ProfileId, Arc<Membership>)>, LookupError> {
        let from = match after {
            Some(profile) => Bound::Excluded(Key::member(workspace, id, profile).rest().to_vec()),
            None => Bound::Unbounded,
        };
        let stored = self.state.range(workspace, Tag::Member, from, &audience_prefix(id), limit)?;
        let mut members = Vec::with_capacity(stored.len());
        for (key, value) in stored {
            if let (Some((_, profile)), Value::Member(membership)) = (key.member_named(), value) {
                members.push((profile, membership));
            }
        }
        Ok(members)
    }

    /// The hours from that of `from` on, up to those that begin before `to`, in which an audience changed, each with
    /// its beginning; in the order of time.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn sizes(
        &self,
        workspace: WorkspaceId,
        id: AudienceId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<(Timestamp, SizeRow)>, LookupError> {
        let mut sizes = Vec::new();
        let mut from = Bound::Included(Key::size(workspace, id, hour_of(from)).rest().to_vec());
        loop {
            let page = self.state.range(workspace, Tag::Size, from, &audience_prefix(id), PAGE)?;
            for (key, value) in &page {
                if let (Some((_, hour)), Value::Size(row)) = (key.size_named(), value) {
                    let begins = start_of_hour(hour);
                    if begins >= to {
                        return Ok(sizes);
                    }
                    sizes.push((begins, *row));
                }
            }
            match page.last() {
                Some((last, _)) if page.len() == PAGE => from = Bound::Excluded(last.rest().to_vec()),
                _ => return Ok(sizes),
            }
        }
    }

    /// The audiences that a profile is in, by id.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn memberships(
        &self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Vec<(AudienceId, Membership)>, LookupError> {
        Ok(match self.state.get(&Key::standing(workspace, profile))? {
            Some(Value::Standing(standing)) => {
                standing.memberships.iter().map(|(id, membership)| (*id, membership.clone())).collect()
            }
            _ => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definitions::{AudienceState, Evaluating, KeeperState, LeavingAudience, Reading};

    #[test]
    fn a_status_tells_how_much_of_its_stage_is_done() {
        let audience = |number, stage| AudienceState {
            id: AudienceId(number),
            key: format!("a{number}"),
            hash: [0; 16],
            members: 7,
            stage,
            since: Some(Timestamp::from_micros(1)),
        };
        let mut definitions = DefinitionsState {
            audiences: vec![
                audience(1, Stage::Live),
                audience(2, Stage::Reading),
                audience(3, Stage::Evaluating),
                audience(4, Stage::Broken),
            ],
            leaving: vec![LeavingAudience { id: AudienceId(5), key: "gone".to_owned(), left: 3 }],
            reading: Some(Reading { next: 150, end: 300, from: 100 }),
            evaluating: Some(Evaluating {
                after: None,
                done: 12,
                total: 10,
                is_reconciling: false,
                is_indexing: false,
            }),
            ..DefinitionsState::default()
        };
        let cases = [
            (1, Some((Stage::Live, 0, 0, 7))),
            (2, Some((Stage::Reading, 50, 200, 7))),
            (3, Some((Stage::Evaluating, 10, 10, 7))),
            (4, Some((Stage::Broken, 0, 0, 7))),
            (5, Some((Stage::Leaving, 0, 3, 3))),
            (6, None),
        ];
        let of = |definitions: &DefinitionsState, number| {
            let status = AudienceStatus::of(definitions, AudienceId(number), None)?;
            Some((status.stage, status.done, status.total, status.size))
        };
        for (number, want) in cases {
            assert_eq!(of(&definitions, number), want, "{number}");
        }
        definitions.reading = Some(Reading { next: 0, end: 300, from: 0 });
        assert_eq!(of(&definitions, 2), Some((Stage::Reading, 0, 0, 7)), "it has not begun");
    }

    #[test]
    fn what_is_computed_is_as_far_as_its_keeper() {
        let since = Some(Timestamp::from_micros(1));
        let keeper =
            |number, added, is_filled| KeeperState { number, hash: [0; 16], added, is_filled, since };
        let definitions = DefinitionsState {
            keepers: vec![keeper(1, 100, true), keeper(2, 300, false), keeper(3, 400, false)],
            reading: Some(Reading { next: 150, end: 300, from: 100 }),
            ..DefinitionsState::default()
        };
        let cases = [
            (1, Some((Stage::Live, 0, 0))),
            (2, Some((Stage::Reading, 50, 200))),
            (3, Some((Stage::Waiting, 0, 0))),
            (4, None),
        ];
        for (number, want) in cases {
            let status = ComputedStatus::of(&definitions, number);
            let got = status.map(|status| (status.stage, status.done, status.total));
            assert_eq!(got, want, "{number}");
            assert!(status.is_none_or(|status| status.since == since), "{number}");
        }
        assert_eq!(definitions.unfilled(), BTreeSet::from([2, 3]));
    }
}
