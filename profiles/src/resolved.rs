//! Resolutions that need no look at the graph: events whose identifiers were tied to their anchor before.
//!
//! Most events bring nothing new to the graph, and yet each would cost a lookup for every identifier, every edge
//! and the profile. What those lookups found is kept here by the anchor, in one small entry.
//!
//! Guarantees: what is recalled is what a resolution would find. It holds as long as the profile's record is
//! unchanged, so every change of one has to be told ([`ResolutionCache::changed`]); whoever changes nodes or
//! edges of a profile in any other way has to tell it too. Only events that left nothing out are kept: a demotion
//! is decided anew each time, under the rules of its moment.
//!
//! The writer alone has one; readers do not meet it.

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use std::sync::Arc;
use tributary_identity::Resolution;
use tributary_model::{HashKey, NodeKey, ProfileId, WorkspaceId};

/// An anchor, by its hash: identifiers are long, and there are many.
type AnchorKey = (WorkspaceId, [u8; 16]);

/// What is known of an anchor.
#[derive(Clone)]
struct Ties {
    profile: ProfileId,
    /// The stamp of the profile when this was found.
    stamp: u64,
    members: Arc<[NodeKey]>,
    /// Members that an edge ties to the anchor, by their places, with the day up to which the edge was seen.
    edges: Vec<(u32, i64)>,
}

#[derive(Clone)]
struct TiesWeight;

impl Weighter<AnchorKey, Ties> for TiesWeight {
    fn weight(&self, _: &AnchorKey, ties: &Ties) -> u64 {
        150 + 120 * ties.members.len() as u64 + 16 * ties.edges.len() as u64
    }
}

/// The entry of an ordinary person: three identifiers.
const ENTRY_BYTES: u64 = 550;

/// What an entry of the stamps takes.
const STAMP_BYTES: u64 = 64;

/// The ties of anchors, within a bound of memory.
pub(crate) struct ResolutionCache {
    anchors: Cache<AnchorKey, Ties, TiesWeight>,
    /// A profile without a stamp has changed, or was forgotten: ties that name it hold no more.
    stamps: Cache<(WorkspaceId, ProfileId), u64>,
    next_stamp: u64,
    hash_key: HashKey,
}

impl ResolutionCache {
    /// An empty one that takes about so many bytes.
    pub(crate) fn new(bytes: u64, hash_key: HashKey) -> Self {
        let entries = (bytes / (ENTRY_BYTES + STAMP_BYTES)).max(16);
        let places = usize::try_from(entries).unwrap_or(usize::MAX);
        Self {
            anchors: Cache::with_weighter(places, entries * ENTRY_BYTES, TiesWeight),
            stamps: Cache::new(places),
            next_stamp: 0,
            hash_key,
        }
    }

    /// What an event with these identifiers resolves to, the anchor first, if all of them are known to be tied to it
    /// on that day or later.
    pub(crate) fn recall(&self, workspace: WorkspaceId, nodes: &[NodeKey], day: i64) -> Option<Resolution> {
        let (anchor, others) = nodes.split_first()?;
        let ties = self.valid(workspace, anchor)?;
        for other in others {
            let place = ties.members.binary_search(other).ok()?;
            ties.edges.iter().find(|(tied, seen)| *tied as usize == place && *seen >= day)?;
        }
        Some(Resolution {
            profile: ties.profile,
            anchor: anchor.clone(),
            kept: nodes.to_vec(),
            demoted: Vec::new(),
            created: false,
            merged: Vec::new(),
            members: Arc::clone(&ties.members),
        })
    }

    /// Keeps what an event of that day was resolved to.
    pub(crate) fn keep(&mut self, workspace: WorkspaceId, resolution: &Resolution, day: i64) {
        if !resolution.demoted.is_empty() {
            return;
        }
        let anchor = &resolution.anchor;
        let mut edges = self.valid(workspace, anchor).map(|ties| ties.edges.clone()).unwrap_or_default();
        for other in resolution.kept.iter().skip(1) {
            let Ok(place) = resolution.members.binary_search(other) else { return };
            let Ok(place) = u32::try_from(place) else { return };
            edges.retain(|(tied, _)| *tied != place);
            edges.push((place, day));
        }
        let profile = resolution.profile;
        let stamp = match self.stamps.get(&(workspace, profile)) {
            Some(stamp) => *stamp,
            None => {
                self.next_stamp += 1;
                self.stamps.insert((workspace, profile), self.next_stamp);
                self.next_stamp
            }
        };
        let ties = Ties { profile, stamp, members: Arc::clone(&resolution.members), edges };
        self.anchors.insert(self.key(workspace, anchor), ties);
    }

    /// A profile's record is being changed: nothing found before holds for it.
    pub(crate) fn changed(&mut self, workspace: WorkspaceId, profile: ProfileId) {
        self.stamps.remove(&(workspace, profile));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.anchors.clear();
        self.stamps.clear();
    }

    fn valid(&self, workspace: WorkspaceId, anchor: &NodeKey) -> Option<&Ties> {
        let ties = self.anchors.get(&self.key(workspace, anchor))?;
        let stamp = self.stamps.get(&(workspace, ties.profile))?;
        (*stamp == ties.stamp).then_some(ties)
    }

    fn key(&self, workspace: WorkspaceId, anchor: &NodeKey) -> AnchorKey {
        (workspace, self.hash_key.identifier_hash(workspace, &anchor.identifier, anchor.epoch))
    }
}
