//! What the engine is told: the wanted destinations, and its limits.

use crate::definition::RawSettings;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tributary_model::workspace::{ConsentRule, DestinationFilter, Mapping};
use tributary_model::{DestinationId, Position, WorkspaceId};

/// A destination as it shall be.
#[derive(Clone, PartialEq)]
pub struct DestinationConfig {
    /// Whose it is.
    pub workspace: WorkspaceId,
    /// Its number within the workspace.
    pub id: DestinationId,
    /// The name of its definition.
    pub definition: String,
    /// A name for people.
    pub name: String,
    /// Whether it sends. Off parks its cursor and its waiting deliveries.
    pub enabled: bool,
    /// The values of the definition's settings, secrets unsealed.
    pub settings: RawSettings,
    /// The position in the events log behind which its events begin; none at or before it is delivered.
    pub starts_after: Position,
    /// It was resumed from now: what is not delivered yet of events up to that position is passed over.
    pub skip_through: Option<Position>,
    /// What is done with which activations; `None` for what the definition does by itself.
    pub mappings: Option<Vec<Mapping>>,
    /// What is kept from it, in their order.
    pub filters: Vec<DestinationFilter>,
    /// What people have to have consented to.
    pub consent: ConsentRule,
    /// The keys of the workspace's audiences: those that filters and triggers may name.
    pub audiences: BTreeSet<String>,
}

impl DestinationConfig {
    /// One that is on, with nothing said but what it is and where its events begin.
    pub fn new(workspace: WorkspaceId, id: DestinationId, definition: &str, starts_after: Position) -> Self {
        Self {
            workspace,
            id,
            definition: definition.to_owned(),
            name: definition.to_owned(),
            enabled: true,
            settings: RawSettings::new(),
            starts_after,
            skip_through: None,
            mappings: None,
            filters: Vec::new(),
            consent: ConsentRule::default(),
            audiences: BTreeSet::new(),
        }
    }

    pub(crate) fn key(&self) -> Key {
        Key { workspace: self.workspace, destination: self.id }
    }
}

/// Shows no settings: they hold secrets.
impl fmt::Debug for DestinationConfig {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = if self.enabled { "on" } else { "off" };
        write!(out, "DestinationConfig({}/{} {} {state})", self.workspace, self.id, self.definition)
    }
}

/// Which destination, over all workspaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Key {
    pub(crate) workspace: WorkspaceId,
    pub(crate) destination: DestinationId,
}

impl Key {
    /// What its keys in every keyspace begin with: workspace and destination, four bytes each, big-endian.
    pub(crate) fn prefix(self) -> [u8; 8] {
        ((u64::from(self.workspace.0) << 32) | u64::from(self.destination.0)).to_be_bytes()
    }

    pub(crate) fn from_prefix(prefix: [u8; 8]) -> Self {
        let both = u64::from_be_bytes(prefix);
        Self { workspace: WorkspaceId((both >> 32) as u32), destination: DestinationId(both as u32) }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.workspace, self.destination)
    }
}

/// The whole wanted set, swapped whole; `None` until it is first known.
pub(crate) type Wanted = Option<Arc<BTreeMap<Key, Arc<DestinationConfig>>>>;

/// The config of one destination in the latest wanted set.
pub(crate) fn wanted_config(wanted: &watch::Receiver<Wanted>, key: Key) -> Option<Arc<DestinationConfig>> {
    wanted.borrow().as_ref().and_then(|all| all.get(&key)).cloned()
}

/// The limits of each destination. Every breach of one is counted (`metrics::LIMIT`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Requests under way at once.
    pub concurrency: usize,
    /// How far behind the oldest unfinished activation it may read, in activations.
    pub window: u64,
    /// Bytes of events that it may hold in memory, within its window.
    pub window_bytes: usize,
    /// Deliveries that may wait to be tried again. When they are that many, reading waits.
    pub queue: usize,
    /// Bytes of events of deliveries that may wait to be tried again. When they are that many, reading waits.
    pub retry_bytes: u64,
    /// Requests in a row that fail as in an outage, and …
    pub outage_failures: u32,
    /// … over at least so long, pause the destination.
    pub outage_after: Duration,
    /// The longest wait between two looks at a receiver that is out.
    pub probe_max: Duration,
    /// For how many days attempts are remembered.
    pub record_days: u16,
    /// For how many days activations are kept in their log: for so long it is known how deliveries ended.
    pub activation_days: u16,
    /// Bytes of attempts that are remembered of one day.
    pub record_bytes: u64,
    /// Of how many deliveries that went well details are remembered each second.
    pub record_successes_per_second: u32,
    /// Of how many of a hundred of the others.
    pub record_sample_percent: u32,
    /// How many results are made durable together at the latest.
    pub commit_results: usize,
    /// How long a result waits for others before it is made durable.
    pub commit_delay: Duration,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a whole exchange may take.
    pub request_timeout: Duration,
    /// Bytes of a response's body that are read.
    pub response_bytes: usize,
    /// Dead letters that are kept; beyond that the oldest go.
    pub dead_letters: usize,
    /// Bytes of dead letters that are kept; beyond that the oldest go.
    pub dead_letter_bytes: u64,
    /// How often the clock is looked at while deliveries wait, so that a clock that was set is noticed.
    pub clock_check: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            concurrency: 32,
            window: 4096,
            window_bytes: 16 << 20,
            queue: 10_000,
            retry_bytes: 64 << 20,
            outage_failures: 20,
            outage_after: Duration::from_secs(30),
            probe_max: Duration::from_secs(60),
            record_days: 14,
            activation_days: 14,
            record_bytes: 256 << 20,
            record_successes_per_second: 10,
            record_sample_percent: 1,
            commit_results: 256,
            commit_delay: Duration::from_millis(50),
            connect_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(15),
            response_bytes: 64 << 10,
            dead_letters: 100_000,
            dead_letter_bytes: 1 << 30,
            clock_check: Duration::from_secs(1),
        }
    }
}
