//! What activations carry of profiles for destinations: as it is once the record that brought them has been applied.

use super::{Machine, ProjectError};
use crate::codec::Value;
use crate::key::Key;
use crate::needs::Needs;
use crate::state::View;
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::activation::Carried;
use tributary_model::catalog::ComputedPlan;
use tributary_model::{ProfileId, Timestamp, Workspace, WorkspaceId};

impl Machine {
    /// What the destinations of this version name of profiles comes into force.
    pub(super) fn take_needs(&mut self, id: WorkspaceId, document: &Workspace) -> Result<(), ProjectError> {
        let needs = Needs::of(document);
        if *self.needs(id)? == needs {
            return Ok(());
        }
        let needs = Arc::new(needs);
        self.graph.put(Key::needs(id), Value::Needs(Arc::clone(&needs)));
        self.needs.insert(id, needs);
        Ok(())
    }

    /// What the destinations of a workspace name of profiles.
    fn needs(&mut self, id: WorkspaceId) -> Result<Arc<Needs>, ProjectError> {
        if let Some(needs) = self.needs.get(&id) {
            return Ok(Arc::clone(needs));
        }
        let needs = match self.graph.get(&Key::needs(id))? {
            Some(Value::Needs(needs)) => needs,
            _ => Arc::default(),
        };
        self.needs.insert(id, Arc::clone(&needs));
        Ok(needs)
    }

    /// Puts what destinations name of profiles into the activations of the record that was just applied.
    pub(super) fn carry(&mut self, id: WorkspaceId) -> Result<(), ProjectError> {
        if self.activations.len() == self.told_before {
            return Ok(());
        }
        let needs = self.needs(id)?;
        if needs.is_empty() {
            return Ok(());
        }
        let mut last: Option<(ProfileId, Carried)> = None;
        for at in self.told_before..self.activations.len() {
            let Some(profile) = self.activations[at].header.profile else { continue };
            let carried = match last.take().filter(|(of, _)| *of == profile) {
                Some((_, carried)) => carried,
                None => self.carried(id, profile, &needs)?,
            };
            self.activations[at].header.carried = carried.clone();
            last = Some((profile, carried));
        }
        Ok(())
    }

    fn carried(
        &mut self,
        id: WorkspaceId,
        profile: ProfileId,
        needs: &Needs,
    ) -> Result<Carried, ProjectError> {
        // A tick passes by many profiles: keeping the views of all would drive out those that are in use.
        let Some(view) = self.passing_view(id, profile)? else { return Ok(Carried::default()) };
        let standing = if needs.audiences.is_empty() { None } else { self.standing(id, profile)? };
        let catalog = view.catalog();
        let is_in = |key: &str| {
            let plan = catalog.audiences().iter().find(|plan| *plan.key == *key)?;
            let standing = standing.as_ref();
            Some(standing.is_some_and(|standing| standing.memberships.contains_key(&plan.id)))
        };
        let audiences = needs.audiences.iter().filter_map(|key| Some((key.clone(), is_in(key)?)));
        Ok(Carried {
            traits: traits(&view, needs, self.checkpoint.log_time),
            audiences: audiences.collect(),
            consent: consent(&view, needs),
        })
    }
}

fn traits(view: &View, needs: &Needs, now: Timestamp) -> BTreeMap<Box<str>, Option<Box<str>>> {
    let computed = |name: &str| -> Option<&ComputedPlan> {
        view.catalog().computed().iter().find(|plan| *plan.key == *name)
    };
    let value = |name: &str| -> Option<Box<str>> {
        match computed(name) {
            Some(plan) => plan.value(view, now).json.map(Into::into),
            None => view.value(name).map(|json| json.as_ref().into()),
        }
    };
    needs.traits.iter().map(|name| (name.clone(), value(name))).collect()
}

/// What was said of the categories that destinations name; `None` if nothing was ever said of any.
fn consent(view: &View, needs: &Needs) -> Option<BTreeMap<Box<str>, bool>> {
    let consent = &view.merged.consent;
    if needs.categories.is_empty() || consent.is_empty() {
        return None;
    }
    let said = needs.categories.iter().filter_map(|name| Some((name.clone(), consent.says(name)?)));
    Some(said.collect())
}
