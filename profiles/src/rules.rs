//! Identity rules compiled for reading events: once for each version of a workspace.

use crate::codec::WorkspaceState;
use quick_cache::sync::Cache;
use std::sync::Arc;
use tributary_model::WorkspaceId;
use tributary_model::identity_rules::{IdentifierReader, RulesError};
use tributary_model::workspace::IdentityRules;

/// How many versions stay compiled, over all workspaces: the writer and its readers may be a version apart.
const VERSIONS_KEPT: usize = 256;

/// The compiled rules, shared by the writer and its readers.
pub(crate) struct RulesCache(Cache<(WorkspaceId, u64), Arc<IdentifierReader>>);

impl RulesCache {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Cache::new(VERSIONS_KEPT))
    }

    /// The rules in force in a workspace, compiled.
    ///
    /// # Errors
    /// If they can't work: they were checked before they came into force, so this is our own fault.
    pub(crate) fn of(
        &self,
        workspace: WorkspaceId,
        state: &WorkspaceState,
    ) -> Result<Arc<IdentifierReader>, RulesError> {
        self.get(workspace, state.version, &state.rules)
    }

    /// The rules of a version of a workspace, compiled.
    ///
    /// # Errors
    /// If they can't work.
    pub(crate) fn get(
        &self,
        workspace: WorkspaceId,
        version: u64,
        rules: &IdentityRules,
    ) -> Result<Arc<IdentifierReader>, RulesError> {
        let key = (workspace, version);
        if let Some(known) = self.0.get(&key) {
            return Ok(known);
        }
        let compiled = Arc::new(IdentifierReader::new(rules)?);
        self.0.insert(key, Arc::clone(&compiled));
        Ok(compiled)
    }
}
