//! Memberships: entering, leaving, what is told of it, and how large audiences are.

use super::evaluate::{Held, Judgement, earlier};
use super::known::Active;
use super::{Machine, ProjectError};
use crate::announce::{AudienceTold, Change, identifiers};
use crate::codec::Value;
use crate::key::{Key, Tag, audience_prefix};
use crate::metrics;
use crate::standing::{Membership, SizeRow, Standing, hour_of};
use std::ops::Bound;
use std::sync::Arc;
use tributary_identity::LiveProfile;
use tributary_model::{AudienceId, Identifier, Position, ProfileId, WorkspaceId};

impl Machine {
    /// The audiences that a profile is in, if there is anything to know of it.
    pub(super) fn standing(
        &self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Option<Arc<Standing>>, ProjectError> {
        Ok(match self.graph.get(&Key::standing(workspace, profile))? {
            Some(Value::Standing(standing)) => Some(standing),
            _ => None,
        })
    }

    /// Makes a profile enter the audiences that hold of it now, and leave those that don't any more.
    pub(super) fn change_standing(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        profile: ProfileId,
        live: &LiveProfile,
        judgement: &Judgement,
    ) -> Result<(), ProjectError> {
        let before = self.standing(workspace, profile)?;
        let changes: Vec<Held> =
            judgement.held.iter().copied().filter(|held| differs(before.as_deref(), active, held)).collect();
        let timer = before.as_ref().and_then(|before| before.timer);
        let next_timer = earlier(timer, judgement.due);
        if changes.is_empty() && next_timer == timer {
            return Ok(());
        }
        let mut after = before.as_deref().cloned().unwrap_or_default();
        after.timer = next_timer;
        for Held { place, holds, is_approximate } in changes {
            let plan = active.plan(place);
            let key = Key::member(workspace, plan.id, profile);
            if let Some(membership) = after.memberships.get_mut(&plan.id).filter(|_| holds) {
                membership.is_approximate = is_approximate;
                self.graph.put(key, Value::Member(Arc::new(membership.clone())));
            } else if holds {
                let entered = self.new_membership(identifiers(live).into());
                let membership = Membership { is_approximate, ..entered };
                self.tell_change(workspace, &plan.key, profile, Change::Entered, &membership.identifiers);
                self.graph.put(key, Value::Member(Arc::new(membership.clone())));
                after.memberships.insert(plan.id, membership);
                self.note_members(workspace, plan.id, Moved { change: 1, entered: 1, exited: 0 })?;
            } else if let Some(membership) = after.memberships.remove(&plan.id) {
                self.tell_change(workspace, &plan.key, profile, Change::Exited, &membership.identifiers);
                self.graph.remove(key);
                self.note_members(workspace, plan.id, Moved { change: -1, entered: 0, exited: 1 })?;
            }
        }
        self.put_standing(workspace, profile, before.as_deref(), after);
        Ok(())
    }

    /// That of a profile that enters now.
    pub(super) fn new_membership(&self, identifiers: Arc<[Identifier]>) -> Membership {
        let (since, sequence) = (self.checkpoint.log_time, self.checkpoint.next);
        Membership { since, sequence, identifiers, is_approximate: false }
    }

    /// Sets what a profile is in, and its timer.
    pub(super) fn put_standing(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        before: Option<&Standing>,
        after: Standing,
    ) {
        let old_timer = before.and_then(|before| before.timer);
        if old_timer != after.timer {
            if let Some(due) = old_timer {
                self.remove_timer(workspace, due, profile);
            }
            if let Some(due) = after.timer {
                self.add_timer(workspace, due, profile);
            }
        }
        let key = Key::standing(workspace, profile);
        if after != Standing::default() {
            self.graph.put(key, Value::Standing(Arc::new(after)));
        } else if before.is_some() {
            self.graph.remove(key);
        }
    }

    /// Counts what became of an audience's members.
    pub(super) fn note_members(
        &mut self,
        workspace: WorkspaceId,
        audience: AudienceId,
        moved: Moved,
    ) -> Result<(), ProjectError> {
        if moved == Moved::default() {
            return Ok(());
        }
        let size = self.count_member(workspace, audience, moved.change)?;
        let key = Key::size(workspace, audience, hour_of(self.checkpoint.log_time));
        let row = match self.graph.take(&key)? {
            Some(Value::Size(row)) => row,
            _ => SizeRow::default(),
        };
        let (entered, exited) = (row.entered + moved.entered, row.exited + moved.exited);
        self.graph.put(key, Value::Size(SizeRow { size, entered, exited }));
        for (name, count) in [("entered", moved.entered), ("exited", moved.exited)] {
            if count > 0 {
                ::metrics::counter!(metrics::AUDIENCE_CHANGES, "change" => name).increment(count);
            }
        }
        Ok(())
    }

    /// Tells destinations of a change.
    pub(super) fn tell_change(
        &mut self,
        workspace: WorkspaceId,
        key: &str,
        profile: ProfileId,
        change: Change,
        identifiers: &[Identifier],
    ) {
        let told = self.activations.len() - self.told_before;
        let told = AudienceTold {
            workspace,
            position: Position::at(self.checkpoint.next),
            ordinal: u32::try_from(told).expect("a record brings a bounded number of activations"),
            at: self.checkpoint.log_time,
            source: self.source,
            profile,
            key,
            identifiers,
        };
        self.activations.extend(told.tell(change));
    }

    /// Makes so many members leave the first of the audiences that were deleted, in the order of their ids.
    pub(super) fn let_leave(
        &mut self,
        workspace: WorkspaceId,
        after: Option<ProfileId>,
        max: u32,
    ) -> Result<(), ProjectError> {
        let definitions = self.definitions(workspace)?;
        let Some(leaving) = definitions.leaving.first() else { return Ok(()) };
        let prefix = audience_prefix(leaving.id);
        let from =
            after.map_or(Bound::Unbounded, |after| Bound::Excluded([prefix.as_slice(), &after.0].concat()));
        let max = max as usize;
        let members = self.graph.range(workspace, Tag::Member, from, &prefix, max)?;
        let is_last = members.len() < max && after.is_none();
        for (key, value) in members {
            let (Some((_, profile)), Value::Member(membership)) = (key.member_named(), value) else {
                continue;
            };
            self.tell_change(workspace, &leaving.key, profile, Change::Exited, &membership.identifiers);
            self.graph.remove(key);
            self.note_members(workspace, leaving.id, Moved { change: -1, entered: 0, exited: 1 })?;
            if let Some(before) = self.standing(workspace, profile)? {
                let mut standing = Standing::clone(&before);
                standing.memberships.remove(&leaving.id);
                self.put_standing(workspace, profile, Some(&*before), standing);
            }
        }
        if is_last {
            self.forget_audience(workspace, leaving.id)?;
        }
        Ok(())
    }

    /// All members of a deleted audience have left: its sizes go, and whoever waited for its key goes on.
    fn forget_audience(&mut self, workspace: WorkspaceId, audience: AudienceId) -> Result<(), ProjectError> {
        let sizes = self.graph.range(
            workspace,
            Tag::Size,
            Bound::Unbounded,
            &audience_prefix(audience),
            usize::MAX,
        )?;
        for (key, _) in sizes {
            self.graph.remove(key);
        }
        let profiles = self.graph.workspace(workspace)?.profiles;
        self.change_definitions(workspace, |definitions, catalog| {
            definitions.leaving.retain(|leaving| leaving.id != audience);
            definitions.go_on(catalog, profiles);
        })
    }
}

/// Whether what was found is not what is known.
fn differs(before: Option<&Standing>, active: &Active, found: &Held) -> bool {
    match before.and_then(|before| before.memberships.get(&active.plan(found.place).id)) {
        Some(known) => !found.holds || known.is_approximate != found.is_approximate,
        None => found.holds,
    }
}

/// What became of an audience's members.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Moved {
    /// How many more there are.
    pub(super) change: i64,
    /// How many profiles entered.
    pub(super) entered: u64,
    /// How many left.
    pub(super) exited: u64,
}
