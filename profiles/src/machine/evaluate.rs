//! Evaluation: what conditions say of a profile, over the merge of its fragments and at the log's time.
//!
//! Merged views are kept while they hold: what an event folds into a fragment is folded into the view by the same call.
//! Whether one was kept or is made again makes no difference to what a condition says.

use super::known::Active;
use super::{Machine, ProjectError};
use crate::codec::Value;
use crate::key::Key;
use crate::state::View;
use std::collections::BTreeSet;
use std::sync::Arc;
use tributary_identity::{GraphRead, ProfileRecord};
use tributary_model::catalog::{AccountFacts, Catalog, Facts, Person};
use tributary_model::{Fragment, ProfileId, Timestamp, WorkspaceId};

/// What conditions say of a profile.
pub(super) struct Judgement {
    /// What is found of each audience, by their places.
    pub(super) held: Vec<Held>,
    /// The earliest time at which one of them may say something else with no event.
    pub(super) due: Option<Timestamp>,
}

/// What one condition says of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// The audience's place.
    pub(super) place: usize,
    /// Whether it holds.
    pub(super) holds: bool,
    /// Whether that rests on values beyond a limit.
    pub(super) is_approximate: bool,
}

/// How a view is come by: kept for what comes next, or not.
type Look = fn(&mut Machine, WorkspaceId, ProfileId) -> Result<Option<Arc<View>>, ProjectError>;

impl Machine {
    /// A live profile with its fragments merged, the batch's changes among them. It is kept for reads and for what comes
    /// next.
    pub(super) fn view(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Option<Arc<View>>, ProjectError> {
        let catalog = Arc::clone(&self.active(workspace)?.catalog);
        if let Some(view) = self.kept_view(workspace, profile, &catalog) {
            return Ok(Some(view));
        }
        let made = self.make_view(workspace, profile, catalog)?;
        if let Some(made) = &made {
            self.views.insert((workspace, profile), Some(Arc::clone(made)));
        }
        Ok(made)
    }

    /// The same for one look: where all profiles are passed, keeping each would drive out those that are in use.
    pub(super) fn passing_view(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
    ) -> Result<Option<Arc<View>>, ProjectError> {
        let catalog = Arc::clone(&self.active(workspace)?.catalog);
        match self.kept_view(workspace, profile, &catalog) {
            Some(view) => Ok(Some(view)),
            None => self.make_view(workspace, profile, catalog),
        }
    }

    fn kept_view(
        &self,
        workspace: WorkspaceId,
        profile: ProfileId,
        catalog: &Arc<Catalog>,
    ) -> Option<Arc<View>> {
        let view = match self.views.get(&(workspace, profile)) {
            Some(view) => view.clone(),
            None => self.state.view(workspace, profile),
        };
        view.filter(|view| view.is_under(catalog))
    }

    fn make_view(
        &mut self,
        workspace: WorkspaceId,
        profile: ProfileId,
        catalog: Arc<Catalog>,
    ) -> Result<Option<Arc<View>>, ProjectError> {
        let Some(ProfileRecord::Live(live)) = self.graph.profile(workspace, profile)? else {
            return Ok(None);
        };
        let mut merged = Fragment::default();
        for node in live.members.iter() {
            if let Some(Value::Fragment(fragment)) = self.graph.get(&Key::fragment(workspace, node))? {
                merged.merge(&fragment);
            }
        }
        let partitions = self.graph.partitions(workspace)?;
        let state = self.graph.workspace(workspace)?;
        let rules = self.reader(workspace, &state)?;
        Ok(Some(Arc::new(View::new(live, merged, &partitions, rules, catalog))))
    }

    /// What the conditions of the audiences at these places say of a profile.
    pub(super) fn judge(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        view: &Arc<View>,
        places: &[usize],
    ) -> Result<Judgement, ProjectError> {
        let needs_accounts = places.iter().any(|place| active.plan(*place).needs_accounts);
        let loaded = if needs_accounts { self.account_facts(workspace, view)? } else { Vec::new() };
        let members: Vec<Vec<&dyn Person>> = loaded
            .iter()
            .map(|account| account.members.iter().map(|member| &**member as &dyn Person).collect())
            .collect();
        let accounts: Vec<AccountFacts<'_>> = loaded
            .iter()
            .zip(&members)
            .map(|(loaded, members)| AccountFacts {
                traits: &loaded.account.fragment,
                members,
                is_cut: loaded.is_cut || view.merged.may_lack_accounts(),
                memo: &loaded.memo,
            })
            .collect();
        let now = self.checkpoint.log_time;
        let facts = Facts { person: &**view, accounts: &accounts, now };
        let mut judgement = Judgement { held: Vec::with_capacity(places.len()), due: None };
        for place in places {
            let verdict = active.plan(*place).evaluate(&facts);
            let (holds, is_approximate) = (verdict.is_true, verdict.is_approximate);
            judgement.held.push(Held { place: *place, holds, is_approximate });
            // What is due now was just looked at.
            let due = verdict.due.map(|due| due.max(now.plus_micros(1)));
            judgement.due = earlier(judgement.due, due);
        }
        Ok(judgement)
    }

    /// Evaluates the audiences at these places for a live profile, and changes what it is in.
    pub(super) fn evaluate(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        profile: ProfileId,
        places: &[usize],
    ) -> Result<(), ProjectError> {
        self.evaluate_in(Self::view, workspace, active, profile, places)
    }

    /// The same for one of many profiles that are passed.
    pub(super) fn evaluate_passing(
        &mut self,
        workspace: WorkspaceId,
        active: &Active,
        profile: ProfileId,
        places: &[usize],
    ) -> Result<(), ProjectError> {
        self.evaluate_in(Self::passing_view, workspace, active, profile, places)
    }

    fn evaluate_in(
        &mut self,
        view: Look,
        workspace: WorkspaceId,
        active: &Active,
        profile: ProfileId,
        places: &[usize],
    ) -> Result<(), ProjectError> {
        if places.is_empty() {
            return Ok(());
        }
        if self.is_to_be_settled(workspace, profile)? {
            return self.take_over(workspace, active, BTreeSet::from([profile]));
        }
        let Some(view) = view(self, workspace, profile)? else { return Ok(()) };
        let judgement = self.judge(workspace, active, &view, places)?;
        self.change_standing(workspace, active, profile, &view.profile, &judgement)
    }

    /// Whether profiles were made again and this one was not settled since: what its members entered with may be on
    /// another one now.
    fn is_to_be_settled(&mut self, workspace: WorkspaceId, profile: ProfileId) -> Result<bool, ProjectError> {
        let evaluating = self.definitions(workspace)?.evaluating.filter(|all| all.is_reconciling);
        Ok(evaluating.is_some_and(|all| all.after.is_none_or(|after| profile > after)))
    }
}

/// The earlier of two times that may not come.
pub(super) fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    [one, other].into_iter().flatten().min()
}
