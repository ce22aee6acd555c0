//! Reads of profiles: from any identifier to the profile, its merged view, its events.
//!
//! Everything here blocks (it may read the store and the log), so callers run it on threads for that.

mod accounts;
mod all;
mod as_of;
mod audiences;
mod reasons;
mod search;

pub use accounts::{AccountMember, AccountMembers};
pub use all::Profiles;
pub use as_of::{AS_OF_NODES_MAX, AS_OF_RECORDS_MAX, AsOf};
pub use audiences::{AudienceStatus, ComputedStatus};
pub use reasons::DryRun;
pub use search::{Match, People, PersonFound, QUERY_BYTES_MAX, SearchError};

use crate::codec::{Value, WorkspaceState};
use crate::graph::{GraphError, ReadGraph};
use crate::key::Key;
use crate::state::{State, View};
use crate::store::StoreError;
use bytes::Bytes;
use std::sync::Arc;
use tributary_eventlog::index::{EventQuery, IndexError, IndexedEvent, Indexes};
use tributary_eventlog::{EventLog, ReadError};
use tributary_identity::{Inconsistent, LiveProfile, Node, Partitions, ProfileRecord};
use tributary_model::clock::Clock;
use tributary_model::command::Who;
use tributary_model::identity_rules::{IdentifierReader, Normalization, RulesError};
use tributary_model::record::DecodeError;
use tributary_model::{
    ErrorCode, Fragment, HashKey, Identifier, Namespace, NodeKey, ProfileId, Record, Timestamp, WorkspaceId,
};

/// A profile can't be read.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// The state store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The indexes failed.
    #[error("the indexes failed")]
    Index(#[from] IndexError),
    /// The events log failed.
    #[error("the events log can't be read")]
    Log(#[from] ReadError),
    /// A stored record can't be read.
    #[error("a stored event can't be read")]
    Record(#[from] DecodeError),
    /// The stored graph contradicts itself.
    #[error("the stored graph contradicts itself")]
    Graph(#[from] Inconsistent),
    /// The rules in force can't work.
    #[error("the identity rules can't be used")]
    Rules(#[from] RulesError),
}

impl From<GraphError> for LookupError {
    fn from(error: GraphError) -> Self {
        match error {
            GraphError::Store(error) => Self::Store(error),
            GraphError::Inconsistent(error) => Self::Graph(error),
        }
    }
}

impl LookupError {
    /// What a caller outside is told: a log that can't be read now is no fault of ours, and may be asked again.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(ReadError::Unavailable(_)) => ErrorCode::Unavailable,
            Self::Store(_)
            | Self::Index(_)
            | Self::Log(_)
            | Self::Record(_)
            | Self::Graph(_)
            | Self::Rules(_) => ErrorCode::Internal,
        }
    }
}

/// A profile as it was found.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its id today, whatever id it was asked for by.
    pub id: ProfileId,
    /// The profile and its merged fragments.
    pub view: Arc<View>,
}

/// Reads profiles.
#[derive(Clone)]
pub struct ProfileReader {
    state: Arc<State>,
    indexes: Arc<Indexes>,
    events: Arc<dyn EventLog>,
    hash_key: HashKey,
    clock: Arc<dyn Clock>,
}

/// How often a chain of merges is followed at most, and a read begun anew that met a merge under way.
const STEPS_MAX: usize = 16;

impl ProfileReader {
    /// A reader over what the projector publishes.
    pub fn new(
        state: Arc<State>,
        indexes: Arc<Indexes>,
        events: Arc<dyn EventLog>,
        hash_key: HashKey,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { state, indexes, events, hash_key, clock }
    }

    /// The profile that an identifier belongs to, in whatever form the rules take it; `profile_id` is a namespace too,
    /// and ids that were merged away find the profile that they were merged into. `None` if there is none.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn find(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        value: &str,
    ) -> Result<Option<Found>, LookupError> {
        match self.who(workspace, namespace, value)? {
            Some(who) => self.today(workspace, &who),
            None => Ok(None),
        }
    }

    /// Who is meant by a namespace and a value, in the form that the rules give it; `None` if it is nobody's form.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn who(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        value: &str,
    ) -> Result<Option<Who>, LookupError> {
        if namespace == Namespace::PROFILE_ID {
            return Ok(value.parse::<ProfileId>().ok().map(Who::Profile));
        }
        let namespace = Namespace::new(namespace);
        let read = self.rules(workspace)?.identifier(&namespace, value).ok();
        if let Some(identifier) = &read
            && self.current_node(workspace, identifier)?.is_some()
        {
            return Ok(read.map(Who::Identifier));
        }
        // What was stored before the rules changed its form is still named as it was written.
        let exact = Identifier::normalized(namespace, value, &Normalization::Exact).ok();
        if let Some(identifier) = &exact
            && self.current_node(workspace, identifier)?.is_some()
        {
            return Ok(exact.map(Who::Identifier));
        }
        Ok(read.map(Who::Identifier))
    }

    /// The rules in force in a workspace, compiled.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn rules(&self, workspace: WorkspaceId) -> Result<Arc<IdentifierReader>, LookupError> {
        let state = self.workspace(workspace)?;
        Ok(self.state.rules().of(workspace, &state)?)
    }

    /// A profile with its fragments merged, as they are published.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn view_of(&self, workspace: WorkspaceId, live: &Arc<LiveProfile>) -> Result<View, LookupError> {
        let partitions = self.state.partitions(workspace)?;
        self.merge(workspace, live, &partitions)
    }

    /// Node of an identifier of the profile: which event brought it.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn node(&self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, LookupError> {
        Ok(match self.state.get(&Key::node(workspace, key))? {
            Some(Value::Node(node)) => Some(node),
            _ => None,
        })
    }

    /// The events of a profile, in the order that the query asks for.
    ///
    /// # Errors
    /// If the indexes or the events log can't be read.
    pub fn events(
        &self,
        workspace: WorkspaceId,
        profile: &LiveProfile,
        mut query: EventQuery,
    ) -> Result<Vec<IndexedEvent>, LookupError> {
        let fragments: Vec<[u8; 16]> = profile
            .members
            .iter()
            .map(|node| self.hash_key.identifier_hash(workspace, &node.identifier, node.epoch))
            .collect();
        query.first_sequence = self.events.bounds().first;
        Ok(self.indexes.events(workspace, &fragments, query)?)
    }

    /// The stored event behind an index entry; `None` if retention has just removed it.
    ///
    /// # Errors
    /// If the events log can't be read.
    pub fn event(&self, entry: &IndexedEvent) -> Result<Option<Bytes>, LookupError> {
        match self.events.read_one(entry.sequence, entry.frame) {
            Ok(Some(bytes)) => Ok(Some(Record::decode(&bytes)?.payload)),
            Ok(None) | Err(ReadError::Expired { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn follow(&self, workspace: WorkspaceId, start: ProfileId) -> Result<Option<Found>, LookupError> {
        let mut id = start;
        for _ in 0..STEPS_MAX {
            let published = self.state.published();
            let catalog = self.catalog(workspace)?;
            // A view that was made under other definitions is made again.
            if let Some(view) = self.state.view(workspace, id).filter(|view| view.is_under(&catalog)) {
                return Ok(Some(Found { id, view }));
            }
            match self.state.get(&Key::profile(workspace, id))? {
                Some(Value::Profile(record)) => match &*record {
                    ProfileRecord::Live(profile) => {
                        let view = Arc::new(self.view_of(workspace, profile)?);
                        self.state.keep_view(workspace, id, Arc::clone(&view), published);
                        return Ok(Some(Found { id, view }));
                    }
                    ProfileRecord::MergedInto(target) => id = *target,
                },
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    fn merge(
        &self,
        workspace: WorkspaceId,
        profile: &Arc<LiveProfile>,
        partitions: &Partitions,
    ) -> Result<View, LookupError> {
        let mut merged = Fragment::default();
        for node in profile.members.iter() {
            if let Some(Value::Fragment(fragment)) = self.state.get(&Key::fragment(workspace, node))? {
                merged.merge(&fragment);
            }
        }
        let (rules, catalog) = (self.rules(workspace)?, self.catalog(workspace)?);
        Ok(View::new(Arc::clone(profile), merged, partitions, rules, catalog))
    }

    /// The node of an identifier in its current epoch.
    fn current_node(
        &self,
        workspace: WorkspaceId,
        identifier: &Identifier,
    ) -> Result<Option<Arc<Node>>, LookupError> {
        let first = NodeKey::first_epoch(identifier.clone());
        match self.node(workspace, &first)? {
            Some(node) if node.current_epoch > 0 => {
                self.node(workspace, &NodeKey { epoch: node.current_epoch, ..first })
            }
            node => Ok(node),
        }
    }

    fn workspace(&self, id: WorkspaceId) -> Result<Arc<WorkspaceState>, LookupError> {
        Ok(match self.state.get(&Key::workspace(id))? {
            Some(Value::Workspace(workspace)) => workspace,
            _ => Arc::default(),
        })
    }

    /// Reads the graph; anew if it seemed to contradict itself because a change became visible meanwhile.
    fn steady<T>(
        &self,
        mut read: impl FnMut(&mut ReadGraph) -> Result<T, GraphError>,
    ) -> Result<T, LookupError> {
        let mut steps = 1;
        loop {
            let published = self.state.published();
            match read(&mut ReadGraph::new(Arc::clone(&self.state))) {
                Err(GraphError::Inconsistent(_))
                    if self.state.published() != published && steps < STEPS_MAX =>
                {
                    steps += 1;
                }
                read => return Ok(read?),
            }
        }
    }
}

/// The moment after which a profile's events are read on, as a text that a client hands back.
pub fn cursor_of(event: &IndexedEvent) -> String {
    format!("{}.{}", event.event_time.as_micros(), event.sequence)
}

/// Reads what [`cursor_of`] wrote.
pub fn parse_cursor(text: &str) -> Option<(Timestamp, u64)> {
    let (at, sequence) = text.split_once('.')?;
    Some((Timestamp::from_micros(at.parse().ok()?), sequence.parse().ok()?))
}
