//! The entries by which people are searched for: kept for each fragment, so that merges and unmerges move none.
//!
//! An entry says that a fragment has, or had, a value; whether its profile shows that value, the search sees. So it
//! does no harm that entries of a trait stay which people are no longer searched by.

use super::{Machine, ProjectError};
use crate::codec::Value;
use crate::key::Key;
use crate::searched::{forms_of, is_same};
use std::sync::Arc;
use tributary_identity::LiveProfile;
use tributary_model::{Fragment, NodeKey, WorkspaceId};

impl Machine {
    /// The fragment of a node changed: what it is found by changes with it.
    pub(super) fn index_search(
        &mut self,
        workspace: WorkspaceId,
        node: &NodeKey,
        before: &Fragment,
        after: &Fragment,
    ) -> Result<(), ProjectError> {
        let catalog = Arc::clone(&self.active(workspace)?.catalog);
        for name in catalog.searched() {
            if is_same(&catalog, before, after, name) {
                continue;
            }
            let (old, new) = (forms_of(&catalog, before, name), forms_of(&catalog, after, name));
            for form in old.difference(&new) {
                self.graph.remove(Key::search(workspace, name, form, node));
            }
            for form in new.difference(&old) {
                self.graph.put(Key::search(workspace, name, form, node), Value::Search);
            }
        }
        Ok(())
    }

    /// Adds the entries that the fragments of a profile lack: those from before people were searched for, or searched
    /// by a trait.
    pub(super) fn index_profile(
        &mut self,
        workspace: WorkspaceId,
        profile: &LiveProfile,
    ) -> Result<(), ProjectError> {
        let catalog = Arc::clone(&self.active(workspace)?.catalog);
        for node in profile.members.iter() {
            let Some(Value::Fragment(fragment)) = self.graph.get(&Key::fragment(workspace, node))? else {
                continue;
            };
            for name in catalog.searched() {
                for form in forms_of(&catalog, &fragment, name) {
                    let key = Key::search(workspace, name, &form, node);
                    if self.graph.get(&key)?.is_none() {
                        self.graph.put(key, Value::Search);
                    }
                }
            }
        }
        Ok(())
    }
}
