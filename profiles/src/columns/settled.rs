//! Reads of the state as the last checkpoint has it.
//!
//! While a checkpoint is on its way into the store, an entry may be of before or after it, and one of several parts may
//! be unreadable ([`is_passing`]). Whoever holds the columns' lock meets neither.

use crate::account::Account;
use crate::codec::Value;
use crate::definitions::DefinitionsState;
use crate::key::Key;
use crate::reader::LookupError;
use crate::state::{State, View};
use crate::store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use tributary_eventlog::index::short_fragment;
use tributary_identity::{LiveProfile, Partitions, ProfileRecord};
use tributary_model::catalog::{Catalog, Person as _};
use tributary_model::keeper::Kept;
use tributary_model::workspace::{IdentityRules, MergePolicy};
use tributary_model::{Fragment, HashKey, IdentifierReader, NodeKey, ProfileId, WorkspaceId};

use super::table::Row;

/// What the values of traits depend on beside the profiles.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Basis {
    /// The rules by which traits are kept back.
    pub(super) rules: Arc<IdentityRules>,
    /// The policies by which values are chosen, with their keepers.
    policies: Vec<(String, MergePolicy, u32)>,
}

/// Reads of one workspace.
pub(crate) struct Settled<'a> {
    state: &'a State,
    workspace: WorkspaceId,
    hash_key: &'a HashKey,
    identity: Arc<IdentityRules>,
    partitions: Arc<Partitions>,
    rules: Arc<IdentifierReader>,
    definitions: Arc<DefinitionsState>,
    catalog: Arc<Catalog>,
    /// How many profiles there are.
    pub(crate) profiles: u64,
}

impl<'a> Settled<'a> {
    /// # Errors
    /// If the state can't be read.
    pub(crate) fn new(
        state: &'a State,
        workspace: WorkspaceId,
        hash_key: &'a HashKey,
    ) -> Result<Self, LookupError> {
        let entry = match state.settled(&Key::workspace(workspace))? {
            Some(Value::Workspace(entry)) => entry,
            _ => Arc::default(),
        };
        let definitions = match state.settled(&Key::definitions(workspace))? {
            Some(Value::Definitions(definitions)) => definitions,
            _ => Arc::default(),
        };
        Ok(Self {
            state,
            workspace,
            hash_key,
            identity: Arc::clone(&entry.rules),
            partitions: state.partitions(workspace)?,
            rules: state.rules().of(workspace, &entry)?,
            catalog: state.catalogs().of(workspace, &definitions),
            definitions,
            profiles: entry.profiles,
        })
    }

    /// What a row depends on beside its profile.
    pub(super) fn basis(&self) -> Basis {
        let policies = self.catalog.policies();
        let policies = policies.map(|(name, policy, keeper)| (name.to_owned(), policy.clone(), keeper));
        Basis { rules: Arc::clone(&self.identity), policies: policies.collect() }
    }

    /// The definitions in force, and how far they are.
    pub(crate) fn definitions(&self) -> &DefinitionsState {
        &self.definitions
    }

    /// An entry.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn get(&self, key: &Key) -> Result<Option<Value>, StoreError> {
        self.state.settled(key)
    }

    /// A profile; `None` if there is none of that id, or none any more.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn live(&self, id: ProfileId) -> Result<Option<Arc<LiveProfile>>, StoreError> {
        Ok(match self.get(&Key::profile(self.workspace, id))? {
            Some(Value::Profile(record)) => match &*record {
                ProfileRecord::Live(live) => Some(Arc::clone(live)),
                ProfileRecord::MergedInto(_) => None,
            },
            _ => None,
        })
    }

    /// A profile with its fragments merged.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn view(&self, live: &Arc<LiveProfile>) -> Result<View, StoreError> {
        self.view_and(live, &mut |_, _| {})
    }

    /// An account, by its id.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn account(&self, group: &str) -> Result<Option<Arc<Account>>, StoreError> {
        Ok(match self.get(&Key::account(self.workspace, group))? {
            Some(Value::Account(account)) => Some(account),
            _ => None,
        })
    }

    /// The profiles that these nodes are on, each once.
    ///
    /// # Errors
    /// If the store fails.
    pub(crate) fn profiles_on(&self, nodes: &[NodeKey]) -> Result<BTreeSet<ProfileId>, StoreError> {
        let mut profiles = BTreeSet::new();
        for node in nodes {
            if let Some(Value::Node(node)) = self.get(&Key::node(self.workspace, node))? {
                profiles.insert(node.profile);
            }
        }
        Ok(profiles)
    }

    /// The hash that stands for the fragment of a node.
    pub(crate) fn fragment_of(&self, node: &NodeKey) -> [u8; 16] {
        self.hash_key.identifier_hash(self.workspace, &node.identifier, node.epoch)
    }

    /// What the columns have of a profile.
    pub(super) fn row(&self, id: ProfileId, live: &Arc<LiveProfile>) -> Result<Row, StoreError> {
        let mut nodes = Vec::with_capacity(live.members.len());
        let view = self.view_and(live, &mut |node, fragment| {
            nodes.push((short_fragment(&self.fragment_of(node)), fragment.map_or(0, hash_of_traits)));
        })?;
        let traits: BTreeMap<Box<str>, Box<str>> =
            view.traits().map(|(name, json, _)| (name.into(), Box::from(&*json))).collect();
        Ok(Row { id, is_known: view.has_user_id(), nodes, traits })
    }

    fn view_and(
        &self,
        live: &Arc<LiveProfile>,
        visit: &mut dyn FnMut(&NodeKey, Option<&Fragment>),
    ) -> Result<View, StoreError> {
        let mut merged = Fragment::default();
        for node in live.members.iter() {
            match self.get(&Key::fragment(self.workspace, node))? {
                Some(Value::Fragment(fragment)) => {
                    visit(node, Some(&fragment));
                    merged.merge(&fragment);
                }
                _ => visit(node, None),
            }
        }
        let (rules, catalog) = (Arc::clone(&self.rules), Arc::clone(&self.catalog));
        Ok(View::new(Arc::clone(live), merged, &self.partitions, rules, catalog))
    }
}

/// Whether an error may come of a checkpoint on its way into the store: reading again helps.
pub(crate) const fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Incomplete | StoreError::Codec(_))
}

/// By which it is known whether what a fragment says of traits has changed. Never 0, which stands for no fragment.
pub(super) fn hash_of_traits(fragment: &Fragment) -> u32 {
    let mut hasher = DefaultHasher::new();
    for (name, value) in &fragment.traits {
        (name, value.at, value.message_id.as_str(), &value.value).hash(&mut hasher);
    }
    for (number, kept) in &fragment.kept {
        if let Kept::Trait(record) = kept {
            let bytes = postcard::to_stdvec(record).expect("plain values can be written");
            (number, bytes).hash(&mut hasher);
        }
    }
    let hash = hasher.finish();
    (u32::try_from(hash >> 32).expect("half of it") ^ u32::try_from(hash & 0xffff_ffff).expect("half of it"))
        .max(1)
}
