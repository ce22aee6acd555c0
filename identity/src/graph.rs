//! What the identity graph is made of, as values.
//!
//! A node is an (identifier, epoch). An edge ties two nodes and carries the evidence for it. A profile is a
//! connected component of edges; its record lists its members, so that it need not be walked.
//!
//! Guarantees: every value is deterministic (lists sorted, no clock) and can be serialized. Left out: where
//! they are kept (`store`), and anything about the events themselves.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tributary_model::id::{MessageId, ProfileId, SourceId};
use tributary_model::identifier::{Namespace, NodeKey};
use tributary_model::record::Position;
use tributary_model::time::Timestamp;

/// The event, or the command, that shows something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Its position in the events log.
    pub position: Position,
    /// Its message id; of a command, `tributary-` and its sequence.
    pub message_id: MessageId,
    /// The source that it came from; 0 for a command.
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

/// Since when events have had a node as their anchor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Anchored {
    /// No event has: it only came along with others.
    Never,
    /// Since the event that brought it.
    First,
    /// Since this event, which came later.
    Later(Box<Evidence>),
}

/// What the graph knows about an (identifier, epoch) that is on a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// The live profile that it is on. Never one that was merged away: a merge re-points every member.
    pub profile: ProfileId,
    /// The event that brought the identifier.
    pub first: Evidence,
    /// The log's time when `first` was read: what windows of limits count by.
    pub linked_at: Timestamp,
    /// Since when it has been the anchor of events.
    pub anchored: Anchored,
    /// Of the node in epoch 0: the epoch that the identifier is in now. 0 in every other node.
    pub current_epoch: u32,
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
    /// Its identifiers, sorted, each once; those that were handed to another owner since included, because
    /// what they brought before stays here. Shared, so that a resolution hands them on without a copy.
    pub members: Arc<[NodeKey]>,
    /// The ids of all profiles that ever merged into it, directly or through another; sorted.
    pub merged: Vec<ProfileId>,
    /// Those of `members` whose identifier is in a later epoch now; sorted.
    pub former: Vec<NodeKey>,
    /// The partitions that members of it are named in; sorted.
    pub parted: Vec<u64>,
}

impl LiveProfile {
    /// The members that are its identifiers today: all but the former ones. Sorted, each identifier once.
    pub fn identifiers(&self) -> impl Iterator<Item = &NodeKey> {
        self.members.iter().filter(|member| !self.is_former(member))
    }

    /// How many identifiers it has today: what the cap counts.
    pub fn identifier_count(&self) -> usize {
        self.members.len() - self.former.len()
    }

    /// Whether a member was handed to another owner.
    pub fn is_former(&self, member: &NodeKey) -> bool {
        !self.former.is_empty() && self.former.binary_search(member).is_ok()
    }

    /// Whether a node is on the profile.
    pub fn has(&self, node: &NodeKey) -> bool {
        self.members.binary_search(node).is_ok()
    }
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
    /// An alias call named one as the previous id of the other.
    Alias,
    /// The other is a shared device, which follows the last sign-in.
    SignIn,
    /// A person said so.
    ByHand,
    /// A person who parted a profile listed both on one side.
    SameSide,
}

impl EdgeRule {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SameEvent => "same_event",
            Self::Alias => "alias",
            Self::SignIn => "last_sign_in",
            Self::ByHand => "by_hand",
            Self::SameSide => "same_side",
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
    /// Which of the identifiers on `first` the other was, in order of priority; the anchor is 0.
    pub place: u16,
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
    /// The rule by which `first` offered it.
    pub rule: EdgeRule,
    /// Which of the identifiers on `first` the other was, in order of priority; the anchor is 0.
    pub place: u16,
}

/// A limit on the size of a profile, whatever its namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cap {
    /// How many profiles may have merged into it.
    Merges,
    /// How many identifiers it may have.
    Identifiers,
}

impl Cap {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Merges => "merges",
            Self::Identifiers => "identifiers",
        }
    }
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
    /// It would have fitted by itself, but was of a lower priority than one on the same event that did not.
    Demotion {
        /// The identifier that did not fit.
        fault: NodeKey,
        /// Why that one did not: a limit or a cap.
        reason: Box<RefusalReason>,
    },
    /// The profile would have grown over a cap.
    Cap {
        /// Which cap.
        cap: Cap,
        /// How many it allows.
        limit: u32,
        /// How many there would have been.
        count: u32,
    },
    /// The rules block the value: it stands for nobody.
    Blocked,
    /// A person parted them.
    Partition {
        /// The partition: the sequence of the command that made it.
        partition: u64,
    },
}

impl RefusalReason {
    /// The stable name, from a closed set: fit for a metric's label.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Limit { .. } => "limit",
            Self::Demotion { .. } => "demotion",
            Self::Cap { .. } => "cap",
            Self::Blocked => "blocked",
            Self::Partition { .. } => "partition",
        }
    }

    /// Whether a limit, a cap or a block decided, and no person.
    pub const fn is_decision(&self) -> bool {
        !matches!(self, Self::Partition { .. })
    }
}

/// Something that happened to a profile and that its nodes, edges and refusals don't tell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// When it happened: the receive time of the event or command.
    pub at: Timestamp,
    /// The record of the events log that did it.
    pub position: Position,
    /// What happened.
    pub what: Happened,
    /// Who ordered it; `None` if an event did it.
    pub by: Option<String>,
    /// The reason that was given with the order.
    pub reason: Option<String>,
}

/// What happened. The stored form numbers the variants: new ones go last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happened {
    /// An event merged profiles.
    Merged {
        /// The profile that they became.
        survivor: ProfileId,
        /// The profiles that became part of it; sorted.
        merged: Vec<ProfileId>,
        /// The edges of the event that tied them together.
        links: Vec<EdgeKey>,
        /// The event.
        evidence: Evidence,
    },
    /// A person parted a profile.
    Parted {
        /// The partition.
        partition: u64,
        /// The profile that was parted.
        from: ProfileId,
        /// What came of it, the oldest first.
        into: Vec<ProfileId>,
    },
    /// It took an identifier over.
    Took {
        /// The identifier, in the epoch that began with it.
        node: NodeKey,
        /// The profile that had it before.
        from: Option<ProfileId>,
        /// By which rule.
        rule: EdgeRule,
    },
    /// It lost an identifier.
    Lost {
        /// The identifier, in the epoch that ended with it.
        node: NodeKey,
        /// The profile that has it now; `None` if it was taken away from all.
        to: Option<ProfileId>,
        /// By which rule.
        rule: EdgeRule,
    },
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
