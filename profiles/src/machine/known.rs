//! What workspaces define, as the machine goes by it: with the changes of its batch, and compiled.

use super::{Machine, ProjectError};
use crate::codec::{Value, WorkspaceState};
use crate::definitions::{DefinitionsState, Stage};
use crate::key::Key;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use tributary_model::catalog::{AudiencePlan, Catalog, Defined};
use tributary_model::{AudienceId, WorkspaceId};

/// A workspace's definitions.
pub(super) struct Known {
    definitions: Arc<DefinitionsState>,
    active: Arc<Active>,
    /// Whether the batch lacks a change of them.
    is_changed: bool,
}

/// Which audiences are evaluated when, by their places in the catalog, ascending. Those that are broken or wait for
/// something are in none of these.
pub(super) struct Active {
    /// What is defined, compiled.
    pub(super) catalog: Arc<Catalog>,
    /// Whether there may be members of any audience.
    pub(super) has_members: bool,
    /// Every audience.
    pub(super) all: Vec<usize>,
    /// Those that profiles are being evaluated for.
    pub(super) new: Vec<usize>,
    /// Those that may change by time alone.
    pub(super) timed: Vec<usize>,
    /// Those that hold of somebody of whom nothing is known.
    pub(super) of_nobody: Vec<usize>,
    /// Those for which a `user_id` makes a difference.
    pub(super) of_users: Vec<usize>,
    /// Those that ask for accounts.
    pub(super) of_accounts: Vec<usize>,
}

impl Active {
    fn new(catalog: Arc<Catalog>, definitions: &DefinitionsState) -> Self {
        let stages: Vec<Stage> = definitions.audiences.iter().map(|audience| audience.stage).collect();
        let plans = catalog.audiences();
        debug_assert_eq!(stages.len(), plans.len(), "the state has each audience of the catalog");
        let all: Vec<usize> = (0..plans.len()).filter(|place| stages[*place].is_evaluated()).collect();
        let those = |wanted: &dyn Fn(&AudiencePlan) -> bool| -> Vec<usize> {
            all.iter().copied().filter(|place| wanted(&plans[*place])).collect()
        };
        Self {
            has_members: !definitions.audiences.is_empty() || !definitions.leaving.is_empty(),
            new: all.iter().copied().filter(|place| stages[*place] == Stage::Evaluating).collect(),
            timed: those(&|plan| plan.is_timed),
            of_nobody: those(&|plan| plan.is_true_of_nobody),
            of_users: those(&|plan| plan.needs_user_id),
            of_accounts: those(&|plan| plan.needs_accounts),
            all,
            catalog,
        }
    }

    /// The audience at a place of the catalog.
    pub(super) fn plan(&self, place: usize) -> &AudiencePlan {
        &self.catalog.audiences()[place]
    }

    /// Whether the audience at this place is evaluated.
    pub(super) fn is_evaluated(&self, place: usize) -> bool {
        self.all.binary_search(&place).is_ok()
    }

    /// Those of these places that are evaluated, ascending, each once.
    pub(super) fn only(&self, mut places: Vec<usize>) -> Vec<usize> {
        places.retain(|place| self.is_evaluated(*place));
        places.sort_unstable();
        places.dedup();
        places
    }
}

impl Known {
    /// What the state has of them.
    pub(super) fn definitions(&self) -> Arc<DefinitionsState> {
        Arc::clone(&self.definitions)
    }
}

impl Machine {
    /// Which audiences of a workspace are evaluated when.
    pub(super) fn active(&mut self, id: WorkspaceId) -> Result<Arc<Active>, ProjectError> {
        Ok(Arc::clone(&self.known(id)?.active))
    }

    /// What the state has of a workspace's definitions.
    pub(super) fn definitions(&mut self, id: WorkspaceId) -> Result<Arc<DefinitionsState>, ProjectError> {
        Ok(self.known(id)?.definitions())
    }

    /// What a version of the workspace, in this record, defines comes into force.
    pub(super) fn define(
        &mut self,
        sequence: u64,
        id: WorkspaceId,
        defined: Defined,
        counters: &WorkspaceState,
    ) -> Result<(), ProjectError> {
        if !self.known(id)?.definitions.differs(&defined) {
            return Ok(());
        }
        let state = Arc::clone(&self.state);
        let known = self.known(id)?;
        let definitions = Arc::make_mut(&mut known.definitions);
        let changed = definitions.take_keepers(defined, sequence, counters.projected > 0);
        let catalog = state.catalogs().of(id, definitions);
        definitions.take_audiences(&catalog, &changed, counters.profiles);
        known.active = Arc::new(Active::new(catalog, definitions));
        known.is_changed = true;
        self.stirred.insert(id);
        Ok(())
    }

    /// Changes what the state has of a workspace's definitions, which themselves stay.
    pub(super) fn change_definitions(
        &mut self,
        id: WorkspaceId,
        change: impl FnOnce(&mut DefinitionsState, &Catalog),
    ) -> Result<(), ProjectError> {
        let known = self.known(id)?;
        let catalog = Arc::clone(&known.active.catalog);
        let definitions = Arc::make_mut(&mut known.definitions);
        change(definitions, &catalog);
        known.active = Arc::new(Active::new(catalog, definitions));
        known.is_changed = true;
        self.stirred.insert(id);
        Ok(())
    }

    /// An audience has more members, or fewer. Answers with how many.
    pub(super) fn count_member(
        &mut self,
        id: WorkspaceId,
        audience: AudienceId,
        change: i64,
    ) -> Result<u64, ProjectError> {
        let known = self.known(id)?;
        known.is_changed = true;
        Ok(Arc::make_mut(&mut known.definitions).count_member(audience, change))
    }

    /// Puts changed definitions into the batch.
    pub(super) fn put_definitions(&mut self) {
        for (id, known) in self.known.iter_mut().filter(|(_, known)| known.is_changed) {
            known.is_changed = false;
            let definitions = Value::Definitions(Arc::clone(&known.definitions));
            self.graph.put(Key::definitions(*id), definitions);
        }
    }

    fn known(&mut self, id: WorkspaceId) -> Result<&mut Known, ProjectError> {
        let place = match self.known.entry(id) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(place) => place,
        };
        let counters = self.graph.workspace(id)?;
        let has_events = counters.projected > 0;
        let (mut definitions, mut is_changed) = match self.graph.get(&Key::definitions(id))? {
            Some(Value::Definitions(definitions)) => (definitions, false),
            // From now on there is an entry: events without one are from before there were any.
            _ => (Arc::new(DefinitionsState::first(has_events)), !counters.deleted),
        };
        let mut catalog = None;
        if definitions.lacks_keepers() {
            let changed = Arc::make_mut(&mut definitions);
            let defined = Defined::clone(&changed.defined);
            // The present record's event is folded with these.
            let other = changed.take_keepers(defined, self.checkpoint.next, has_events);
            let compiled = self.state.catalogs().of(id, changed);
            changed.take_audiences(&compiled, &other, counters.profiles);
            (catalog, is_changed) = (Some(compiled), true);
        }
        let catalog = catalog.unwrap_or_else(|| self.state.catalogs().of(id, &definitions));
        let active = Arc::new(Active::new(catalog, &definitions));
        if is_changed {
            self.stirred.insert(id);
        }
        Ok(place.insert(Known { definitions, active, is_changed }))
    }
}
