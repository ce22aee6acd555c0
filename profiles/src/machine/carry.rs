//! What activations carry of profiles for destinations: as it is once the record that brought them has been applied.

use super::{Machine, ProjectError};
use crate::codec::Value;
use crate::key::Key;
use crate::needs::Needs;
use crate::state::View;
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::activation::{ActivationKind, Carried};
use tributary_model::catalog::ComputedPlan;
use tributary_model::consent::StatedConsent;
use tributary_model::{ProfileId, Timestamp, Workspace, WorkspaceId};

/// Categories of consent, and whether they are granted.
type Categories = BTreeMap<Box<str>, bool>;

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
            let of_profile = match last.take().filter(|(of, _)| *of == profile) {
                Some((_, carried)) => carried,
                None => self.carried(id, profile, &needs)?,
            };
            let mut carried = of_profile.clone();
            if let Some(stated) = self.stated(id, profile, &needs, at)? {
                carried.consent = Some(stated);
            }
            self.activations[at].header.carried = carried;
            last = Some((profile, of_profile));
        }
        Ok(())
    }

    /// What counts for an event that states preferences itself: these, but for what another id of its profile refuses. `None`
    /// if it states none, or the activation is no event.
    fn stated(
        &mut self,
        id: WorkspaceId,
        profile: ProfileId,
        needs: &Needs,
        at: usize,
    ) -> Result<Option<Categories>, ProjectError> {
        let activation = &self.activations[at];
        if needs.categories.is_empty() || activation.header.kind != ActivationKind::Event {
            return Ok(None);
        }
        let payload = activation.event.clone();
        let Some(stated) = StatedConsent::read(&payload) else { return Ok(None) };
        let Some(view) = self.passing_view(id, profile)? else { return Ok(None) };
        let said = &view.merged.consent;
        let is_granted =
            |name: &str| stated.grants(name) && said.says_beside(name, stated.event()) != Some(false);
        Ok(Some(needs.categories.iter().map(|name| (name.clone(), is_granted(name))).collect()))
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

/// Whether the categories that destinations name are granted; empty if nothing was ever said, `None` if they name none. Who said
/// something, but nothing about a category, did not grant it.
fn consent(view: &View, needs: &Needs) -> Option<Categories> {
    if needs.categories.is_empty() {
        return None;
    }
    let consent = &view.merged.consent;
    if consent.is_empty() {
        return Some(Categories::new());
    }
    let is_granted = |name: &str| consent.says(name) == Some(true);
    Some(needs.categories.iter().map(|name| (name.clone(), is_granted(name))).collect())
}
