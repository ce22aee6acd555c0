//! What workspaces define, compiled for evaluation: once for each version, and again when keepers are added.

use crate::definitions::DefinitionsState;
use quick_cache::sync::Cache;
use std::convert::Infallible;
use std::sync::Arc;
use tributary_model::WorkspaceId;
use tributary_model::catalog::Catalog;

/// How many versions stay compiled, over all workspaces: the writer and its readers may be a version apart.
const VERSIONS_KEPT: usize = 1024;

/// The workspace, the version of its definitions, and the number of its next keeper: numbers count up, so definitions
/// that are equal in this have the same keepers.
type Stamp = (WorkspaceId, u64, u32);

/// The compiled definitions, shared by the writer and its readers. Equal ones are one: what was made under some can be
/// told from what was made under others by the pointer.
pub(crate) struct Catalogs(Cache<Stamp, Arc<Catalog>>);

impl Catalogs {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Self(Cache::new(VERSIONS_KEPT))
    }

    /// What a workspace defines, compiled.
    pub(crate) fn of(&self, workspace: WorkspaceId, definitions: &DefinitionsState) -> Arc<Catalog> {
        let stamp = (workspace, definitions.defined.version, definitions.next_keeper);
        let compile = || Ok(Arc::new(Catalog::compile(&definitions.defined, &definitions.numbers())));
        let Ok(compiled) = self.0.get_or_insert_with::<_, Infallible>(&stamp, compile);
        compiled
    }

    /// Forgets all of them, as is due where the state under them is exchanged.
    pub(crate) fn clear(&self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tributary_model::catalog::Defined;

    #[test]
    fn equal_definitions_are_compiled_once() {
        let catalogs = Catalogs::new();
        let state = |version, next_keeper| DefinitionsState {
            defined: Arc::new(Defined { version, ..Defined::default() }),
            next_keeper,
            ..DefinitionsState::default()
        };
        let known = catalogs.of(WorkspaceId(1), &state(3, 5));
        let cases = [
            ("the same", WorkspaceId(1), state(3, 5), true),
            ("another version", WorkspaceId(1), state(4, 5), false),
            ("another keeper", WorkspaceId(1), state(3, 6), false),
            ("another workspace", WorkspaceId(2), state(3, 5), false),
        ];
        for (name, workspace, state, want) in cases {
            assert_eq!(Arc::ptr_eq(&known, &catalogs.of(workspace, &state)), want, "{name}");
        }
        catalogs.clear();
        assert!(!Arc::ptr_eq(&known, &catalogs.of(WorkspaceId(1), &state(3, 5))), "it was forgotten");
    }
}
