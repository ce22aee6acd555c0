//! The identity graph as values, and the seam to where it is stored.
//!
//! A node is an (identifier, epoch). An edge ties two nodes and carries the evidence for it. A profile is a
//! connected component of edges; its record lists its members, so that it need not be walked.
//!
//! Guarantees: every value is deterministic (lists sorted, no clock) and can be serialized. Left out: the
//! path between two identifiers, and anything about the events themselves.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_model::id::{MessageId, ProfileId, SourceId, WorkspaceId};
use tributary_model::identifier::{Namespace, NodeKey};
use tributary_model::record::Position;
use tributary_model::time::Timestamp;

/// The event that shows something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its position in the events log.
    pub position: Position,
    /// Its message id.
    pub message_id: MessageId,
    /// The source that it came from.
    pub source: SourceId,
    /// When it arrived.
    pub received_at: Timestamp,
    /// When it happened.
    pub event_time: Timestamp,
}

impl Evidence {
    /// The day (UTC, counted from 1970-01-01) on which the event arrived.
    pub const fn day(&self) -> i64 {
        self.received_at.day()
    }
}

/// What the graph knows about an (identifier, epoch) that is on a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The live profile that it is on. Never one that was merged away: a merge re-points every member.
    pub profile: ProfileId,
    /// The event that brought the identifier.
    pub first: Evidence,
}

/// What stands under a profile id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProfileRecord {
    /// A profile.
    Live(Arc<LiveProfile>),
    /// It was merged into this profile, which is live: a later merge rewrites the target, so that following
    /// takes one step.
    MergedInto(ProfileId),
}

/// A profile: who it is made of. What is known about it is in its members' fragments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveProfile {
    /// The event that created it. Its position decides which profile survives a merge.
    pub created: Evidence,
    /// Its identifiers, sorted, each once. Shared, so that a resolution hands them on without a copy.
    pub members: Arc<[NodeKey]>,
    /// The ids of all profiles that ever merged into it, directly or through another; sorted.
    pub merged: Vec<ProfileId>,
}

/// Names an edge or a refusal: the anchor of the event, and another identifier on it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EdgeKey {
    /// The event's identifier of the highest priority.
    pub anchor: NodeKey,
    /// The identifier that is tied to it.
    pub other: NodeKey,
}

/// By which rule two identifiers were tied. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum EdgeRule {
    /// Both were on one event.
    SameEvent,
}

impl EdgeRule {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameEvent => "same_event",
        }
    }
}

/// Evidence that an anchor and another identifier belong to one profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The first event that showed it.
    pub first: Evidence,
    /// The latest day (UTC, counted from 1970-01-01) on which an event that shows it arrived.
    pub last_day: i64,
    /// The rule by which `first` shows it.
    pub rule: EdgeRule,
}

/// A link that an event offered and that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The first event whose link was refused.
    pub first: Evidence,
    /// The latest day (UTC, counted from 1970-01-01) on which an event whose link was refused arrived.
    pub last_day: i64,
    /// Why the link of `first` was refused.
    pub reason: RefusalReason,
}

/// Why a link was refused. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalReason {
    /// With it, the profile would have had more identifiers of a namespace than its limit allows.
    Limit {
        /// The namespace; of several over their limits, the one of the highest priority.
        namespace: Namespace,
        /// How many identifiers of it a profile may have.
        limit: u32,
        /// How many there would have been.
        count: u32,
    },
}

impl RefusalReason {
    /// The stable name, from a closed set: fit for a metric's label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit",
        }
    }
}

/// The stored graph contradicts itself. Nothing that this crate writes leads here, so it is the store's
/// fault; resolution stops, since any answer would be a guess.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistent {
    /// Something points to a profile that is not there.
    #[error("profile {0} is pointed to, but is not there")]
    NoProfile(ProfileId),
    /// A node, or a profile that was merged away, points to a profile that was merged away itself.
    #[error("profile {0} is pointed to as a live one, but was merged away")]
    NotLive(ProfileId),
    /// A profile lists a member that has no node.
    #[error("profile {0} lists an identifier that has no node")]
    NoNode(ProfileId),
}

/// Where the graph is stored. Everything is kept apart by workspace: what was put under one workspace is
/// never found under another.
///
/// What was put is found at once by the calls after it. Reads return shared values, so that a cache need
/// not copy. After an error the graph may hold part of a resolution: the caller throws away what is not yet
/// durable and resolves again from the last checkpoint.
pub trait GraphStore {
    /// What can go wrong: failures of the store, and a graph that contradicts itself.
    type Error: From<Inconsistent>;

    /// The node of an identifier; `None` if it is on no profile.
    ///
    /// # Errors
    /// If the store can't be read.
    fn node(&mut self, workspace: WorkspaceId, key: &NodeKey) -> Result<Option<Arc<Node>>, Self::Error>;

    /// What stands under a profile id; `None` if there never was such a profile.
    ///
    /// # Errors
    /// If the store can't be read.
    fn profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
    ) -> Result<Option<ProfileRecord>, Self::Error>;

    /// The edge between two nodes.
    ///
    /// # Errors
    /// If the store can't be read.
    fn edge(&mut self, workspace: WorkspaceId, key: &EdgeKey) -> Result<Option<Arc<Edge>>, Self::Error>;

    /// The refused link between two nodes.
    ///
    /// # Errors
    /// If the store can't be read.
    fn refusal(&mut self, workspace: WorkspaceId, key: &EdgeKey)
    -> Result<Option<Arc<Refusal>>, Self::Error>;

    /// Sets a node.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_node(&mut self, workspace: WorkspaceId, key: NodeKey, node: Node) -> Result<(), Self::Error>;

    /// Sets what stands under a profile id.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_profile(
        &mut self,
        workspace: WorkspaceId,
        id: ProfileId,
        record: ProfileRecord,
    ) -> Result<(), Self::Error>;

    /// Sets an edge.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_edge(&mut self, workspace: WorkspaceId, key: EdgeKey, edge: Edge) -> Result<(), Self::Error>;

    /// Sets a refused link.
    ///
    /// # Errors
    /// If the store can't take it.
    fn put_refusal(
        &mut self,
        workspace: WorkspaceId,
        key: EdgeKey,
        refusal: Refusal,
    ) -> Result<(), Self::Error>;
}
