//! Which profiles and audiences an event or a command concerns: only those are evaluated.

use super::known::Active;
use super::{Machine, ProjectError};
use crate::account::GroupChange;
use crate::codec::Value;
use crate::key::Key;
use std::collections::{BTreeMap, BTreeSet};
use tributary_identity::{GraphRead, Resolution};
use tributary_model::{ProfileId, WorkspaceId};

/// What an event changed.
#[derive(Default)]
pub(super) struct Touched {
    /// The profiles whose records it changed.
    pub(super) changed: BTreeSet<ProfileId>,
    /// The traits that it set.
    pub(super) traits: Vec<String>,
    /// The keepers that took it.
    pub(super) keepers: Vec<u32>,
    /// What it did to an account.
    pub(super) group: Option<GroupChange>,
}

/// The places of audiences to be evaluated, by profile.
type Wanted = BTreeMap<ProfileId, Vec<usize>>;

impl Machine {
    /// Evaluates whatever an event can have changed, which is applied but for that.
    pub(super) fn look_at_event(
        &mut self,
        id: WorkspaceId,
        active: &Active,
        resolution: Option<&Resolution>,
        touched: &Touched,
    ) -> Result<(), ProjectError> {
        if !active.has_members {
            return Ok(());
        }
        let mut wanted = Wanted::new();
        if let Some(resolution) = resolution {
            self.look_at_person(id, active, resolution, touched, &mut wanted)?;
        }
        let group = touched.group.as_ref().filter(|group| group.traits_changed || group.linked);
        if let Some(group) = group.filter(|_| !active.of_accounts.is_empty()) {
            let mut members = self.members_of_account(id, &group.group)?;
            members.extend(resolution.map(|resolution| resolution.profile));
            for profile in members {
                wanted.entry(profile).or_default().extend(&active.of_accounts);
            }
        }
        self.evaluate_wanted(id, active, wanted)
    }

    /// Evaluates whatever the change of these profiles' records can have changed.
    pub(super) fn look_at_moves(
        &mut self,
        id: WorkspaceId,
        changed: BTreeSet<ProfileId>,
    ) -> Result<(), ProjectError> {
        let active = self.active(id)?;
        if !active.has_members {
            return Ok(());
        }
        let mut wanted = Wanted::new();
        self.add_fellows(id, &changed, &active.of_accounts, &mut wanted)?;
        self.take_over(id, &active, changed)?;
        self.evaluate_wanted(id, &active, wanted)
    }

    /// Evaluates a person and those who share an account with the person, as far as the event concerns them.
    fn look_at_person(
        &mut self,
        id: WorkspaceId,
        active: &Active,
        resolution: &Resolution,
        touched: &Touched,
        wanted: &mut Wanted,
    ) -> Result<(), ProjectError> {
        let (person, catalog) = (resolution.profile, &active.catalog);
        let is_one_of_many = touched.changed.iter().any(|profile| *profile != person);
        if is_one_of_many || (touched.changed.contains(&person) && self.was_told_of_more(id, person)?) {
            self.add_fellows(id, &touched.changed, &active.of_accounts, wanted)?;
            return self.take_over(id, active, touched.changed.clone());
        }
        let traits: Vec<&str> = touched.traits.iter().map(String::as_str).collect();
        let mut own = catalog.touched(&traits, &touched.keepers);
        let through = catalog.touched_through_accounts(&traits, &touched.keepers);
        if resolution.created {
            own.extend(&active.of_nobody);
        }
        if touched.changed.contains(&person) {
            // It has an identifier more.
            own.extend(&active.of_users);
            if self.brings_fragment(id, resolution)? {
                own.extend(&active.all);
                self.add_fellows(id, &touched.changed, &active.of_accounts, wanted)?;
            }
        }
        own.extend(self.out_of_reach(id, active, person)?);
        if own.is_empty() && through.is_empty() {
            return Ok(());
        }
        let through = active.only(through);
        self.add_fellows(id, &BTreeSet::from([person]), &through, wanted)?;
        wanted.entry(person).or_default().extend(own);
        Ok(())
    }

    /// Whether an identifier that an event brought has been somebody's before: a rebuild left it out under rules that did
    /// not declare it, and what is known by it comes with it.
    fn brings_fragment(&mut self, id: WorkspaceId, resolution: &Resolution) -> Result<bool, ProjectError> {
        let sequence = self.checkpoint.next;
        for key in &resolution.kept {
            let node = self.graph.node(id, key)?;
            if node.is_none_or(|node| node.first.position.sequence != sequence) {
                continue;
            }
            // The event itself is folded into the anchor's.
            let own = u64::from(*key == resolution.anchor);
            if let Some(Value::Fragment(fragment)) = self.graph.get(&Key::fragment(id, key))?
                && fragment.events() > own
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Adds these audiences for everybody who shares an account with one of these profiles.
    fn add_fellows(
        &mut self,
        id: WorkspaceId,
        profiles: &BTreeSet<ProfileId>,
        places: &[usize],
        wanted: &mut Wanted,
    ) -> Result<(), ProjectError> {
        if places.is_empty() {
            return Ok(());
        }
        for profile in profiles {
            let Some(view) = self.view(id, *profile)? else { continue };
            for fellow in self.fellow_members(id, &view)? {
                wanted.entry(fellow).or_default().extend(places);
            }
        }
        Ok(())
    }

    fn evaluate_wanted(
        &mut self,
        id: WorkspaceId,
        active: &Active,
        wanted: Wanted,
    ) -> Result<(), ProjectError> {
        for (profile, places) in wanted {
            self.evaluate(id, active, profile, &active.only(places))?;
        }
        Ok(())
    }
}
