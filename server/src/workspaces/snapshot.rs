//! What is in force at a moment: every workspace, and who may use the API.

use std::collections::HashMap;
use std::sync::Arc;

use tributary_model::workspace::ApiToken;
use tributary_model::{Workspace, WorkspaceId};

use crate::credentials::token_hash;

/// Every workspace at the version in force. Immutable: a change makes a new snapshot, swapped whole.
#[derive(Debug, Default)]
pub struct Snapshot {
    workspaces: Vec<Arc<Workspace>>,
    /// Hash of a token → where it is: indexes into `workspaces` and its tokens. A lookup compares hashes only,
    /// so its duration tells nothing about a token.
    tokens: HashMap<String, (usize, usize)>,
}

impl Snapshot {
    pub(super) fn new(workspaces: Vec<Arc<Workspace>>) -> Self {
        let mut tokens = HashMap::new();
        for (at, workspace) in workspaces.iter().enumerate() {
            for (index, token) in workspace.tokens.iter().enumerate() {
                tokens.insert(token.hash.clone(), (at, index));
            }
        }
        Self { workspaces, tokens }
    }

    /// Every workspace, by number.
    pub fn workspaces(&self) -> &[Arc<Workspace>] {
        &self.workspaces
    }

    /// The workspace of that number.
    pub fn workspace(&self, id: WorkspaceId) -> Option<&Arc<Workspace>> {
        self.workspaces.iter().find(|workspace| workspace.id == id)
    }

    /// The workspace of that name.
    pub fn named(&self, name: &str) -> Option<&Arc<Workspace>> {
        self.workspaces.iter().find(|workspace| workspace.name == name)
    }

    /// Whose token that is.
    pub fn token(&self, token: &str) -> Option<(&Arc<Workspace>, &ApiToken)> {
        let (at, index) = *self.tokens.get(&token_hash(token))?;
        let workspace = self.workspaces.get(at)?;
        Some((workspace, workspace.tokens.get(index)?))
    }
}
