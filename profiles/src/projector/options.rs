//! How the projector is set up, and what it works on.

use crate::generation::StatePaths;
use std::sync::Arc;
use std::time::Duration;
use tributary_eventlog::EventLog;
use tributary_eventlog::index::Indexes;
use tributary_model::HashKey;
use tributary_model::clock::Clock;

/// How the projector is set up.
#[derive(Clone)]
pub struct ProjectorOptions {
    /// Where state and snapshots are.
    pub paths: StatePaths,
    /// sled's page cache, in bytes.
    pub store_cache_bytes: u64,
    /// The cache of decoded entries, in bytes (about).
    pub entry_cache_bytes: u64,
    /// The cache of resolutions that need no look at the graph, in bytes (about).
    pub resolution_cache_bytes: u64,
    /// The cache of merged views, in bytes (about).
    pub view_cache_bytes: u64,
    /// What the column index takes in memory for all workspaces together, in bytes (about).
    pub columns_bytes_max: u64,
    /// How long after a checkpoint the next one is due.
    pub checkpoint_interval: Duration,
    /// How many changed entries make a checkpoint due at once.
    pub checkpoint_entries: usize,
    /// How often the indexes are written.
    pub index_interval: Duration,
    /// How many entries in memory make writing the indexes due at once.
    pub index_entries: usize,
    /// How often a snapshot is taken.
    pub snapshot_interval: Duration,
    /// How many snapshots are kept.
    pub snapshots_kept: usize,
    /// How far back a message id counts as a duplicate, as the indexes are set up.
    pub message_window: Duration,
}

impl ProjectorOptions {
    /// The defaults, with state and snapshots in these places.
    pub fn new(paths: StatePaths) -> Self {
        Self {
            paths,
            store_cache_bytes: 128 << 20,
            entry_cache_bytes: 128 << 20,
            resolution_cache_bytes: 64 << 20,
            view_cache_bytes: 16 << 20,
            columns_bytes_max: 512 << 20,
            checkpoint_interval: Duration::from_secs(1),
            checkpoint_entries: 50_000,
            index_interval: Duration::from_secs(10),
            index_entries: 200_000,
            snapshot_interval: Duration::from_secs(24 * 3600),
            snapshots_kept: 2,
            message_window: Duration::from_secs(7 * 24 * 3600),
        }
    }
}

/// What the projector works on.
#[derive(Clone)]
pub struct ProjectorParts {
    /// Where records come from, and ticks go.
    pub events: Arc<dyn EventLog>,
    /// Where activations go.
    pub activations: Arc<dyn EventLog>,
    /// Message ids and the events of fragments.
    pub indexes: Arc<Indexes>,
    /// The key of profile ids.
    pub hash_key: HashKey,
    /// Says when ticks are due. What the projector makes of the log does not depend on it.
    pub clock: Arc<dyn Clock>,
}
