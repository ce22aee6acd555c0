//! Reads of profiles: from any identifier to the profile, its merged view, its events.
//!
//! Everything here blocks (it may read the store and the log), so callers run it on threads for that.

use crate::codec::Value;
use crate::key::Key;
use crate::state::{State, View};
use crate::store::StoreError;
use bytes::Bytes;
use std::sync::Arc;
use tributary_eventlog::index::{EventQuery, IndexError, IndexedEvent, Indexes};
use tributary_eventlog::{EventLog, ReadError};
use tributary_identity::{LiveProfile, Node, ProfileRecord};
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
}

impl LookupError {
    /// What a caller outside is told: a log that can't be read now is no fault of ours, and may be asked again.
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Log(ReadError::Unavailable(_)) => ErrorCode::Unavailable,
            Self::Store(_) | Self::Index(_) | Self::Log(_) | Self::Record(_) => ErrorCode::Internal,
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
    ) -> Self {
        Self { state, indexes, events, hash_key }
    }

    /// The profile that an identifier belongs to; `profile_id` is a namespace too, and ids that were merged
    /// away find the profile that they were merged into. `None` if there is none.
    ///
    /// # Errors
    /// If the state can't be read.
    pub fn find(
        &self,
        workspace: WorkspaceId,
        namespace: &str,
        value: &str,
    ) -> Result<Option<Found>, LookupError> {
        for _ in 0..STEPS_MAX {
            let start = if namespace == Namespace::PROFILE_ID {
                value.parse::<ProfileId>().ok()
            } else {
                match Identifier::parse(Namespace::new(namespace), value) {
                    Ok(identifier) => {
                        self.node(workspace, &NodeKey::first_epoch(identifier))?.map(|node| node.profile)
                    }
                    Err(_) => None,
                }
            };
            let Some(start) = start else { return Ok(None) };
            if let Some(found) = self.follow(workspace, start)? {
                return Ok(Some(found));
            }
            if namespace == Namespace::PROFILE_ID {
                return Ok(None);
            }
        }
        Ok(None)
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
            if let Some(view) = self.state.view(workspace, id) {
                return Ok(Some(Found { id, view }));
            }
            let published = self.state.published();
            match self.state.get(&Key::profile(workspace, id))? {
                Some(Value::Profile(record)) => match &*record {
                    ProfileRecord::Live(profile) => {
                        let view = Arc::new(self.merge(workspace, profile)?);
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

    fn merge(&self, workspace: WorkspaceId, profile: &Arc<LiveProfile>) -> Result<View, StoreError> {
        let mut merged = Fragment::default();
        for node in profile.members.iter() {
            if let Some(Value::Fragment(fragment)) = self.state.get(&Key::fragment(workspace, node))? {
                merged.merge(&fragment);
            }
        }
        Ok(View { profile: Arc::clone(profile), merged })
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
