//! Resolutions that need no look at the graph: events whose identifiers were tied to their anchor before.
//!
//! Most events bring nothing new to the graph, and yet each would cost a lookup for every identifier, every edge
//! and the profile. What those lookups found is kept here by the anchor, in one small entry.
//!
//! Guarantees: what is recalled is what a resolution would find. It holds as long as the profile's record is
//! unchanged, so every change of one has to be told ([`ResolutionCache::changed`]): an identifier that is handed to
//! another owner changes the record of the one that it leaves, so the epochs found here are those of today. Whoever
//! changes nodes, edges or partitions in any other way, or the rules, has to clear it. Only events that left nothing
//! out are kept, but blocked values: a demotion is decided anew each time, under the rules of its moment; and no
//! alias calls, since whom they mean depends on what is known.
//!
//! The writer alone has one; readers do not meet it.

use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use std::sync::Arc;
use tributary_identity::{Demotion, LiveProfile, RefusalReason, Resolution};
use tributary_model::identity_rules::EventIdentifiers;
use tributary_model::{HashKey, Identifier, NodeKey, ProfileId, WorkspaceId};

/// An identifier, by its hash: they are long, and there are many.
type Hashed = [u8; 16];

/// What is known of an anchor.
#[derive(Clone)]
struct Ties {
    profile: ProfileId,
    /// The stamp of the profile when this was found.
    stamp: u64,
    live: Arc<LiveProfile>,
    /// The anchor's place among the members: its identifier may be there in earlier epochs too.
    anchor: u32,
    /// Members that an edge ties to the anchor, by their places, with the day up to which the edge was seen.
    edges: Vec<(u32, i64)>,
    /// Blocked values that were refused beside the anchor, with the day up to which the refusal was seen.
    blocked: Vec<(Hashed, i64)>,
}

/// How many blocked values an anchor's entry remembers; there are few in any one place.
const BLOCKED_MAX: usize = 16;

#[derive(Clone)]
struct TiesWeight;

impl Weighter<(WorkspaceId, Hashed), Ties> for TiesWeight {
    fn weight(&self, _: &(WorkspaceId, Hashed), ties: &Ties) -> u64 {
        let identifiers = ties.live.members.len() + ties.live.former.len();
        let profile = 200 + 120 * identifiers as u64 + 16 * ties.live.merged.len() as u64;
        170 + profile + 16 * ties.edges.len() as u64 + 24 * ties.blocked.len() as u64
    }
}

/// The entry of an ordinary person: three identifiers.
const ENTRY_BYTES: u64 = 770;

/// What an entry of the stamps takes.
const STAMP_BYTES: u64 = 64;

/// The ties of anchors, within a bound of memory.
pub(crate) struct ResolutionCache {
    anchors: Cache<(WorkspaceId, Hashed), Ties, TiesWeight>,
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

    /// What an event with these identifiers resolves to, if all of them are known to be tied to its anchor on that day
    /// or later.
    pub(crate) fn recall(
        &self,
        workspace: WorkspaceId,
        event: &EventIdentifiers,
        day: i64,
    ) -> Option<Resolution> {
        if event.previous.is_some() {
            return None;
        }
        let (anchor, others) = event.identifiers.split_first()?;
        let ties = self.valid(workspace, anchor)?;
        let members = &ties.live.members;
        let mut kept = Vec::with_capacity(event.identifiers.len());
        kept.push(members.get(ties.anchor as usize)?.clone());
        for other in others {
            kept.push(ties.tied(other, day)?.clone());
        }
        let mut demoted = Vec::with_capacity(event.blocked.len());
        for blocked in &event.blocked {
            let hash = self.hash(workspace, blocked);
            ties.blocked.iter().find(|(known, seen)| *known == hash && *seen >= day)?;
            let identifier = NodeKey::first_epoch(blocked.clone());
            demoted.push(Demotion { identifier, reason: RefusalReason::Blocked });
        }
        Some(Resolution {
            profile: ties.profile,
            live: Arc::clone(&ties.live),
            anchor: kept.first()?.clone(),
            kept,
            demoted,
            created: false,
            merged: Vec::new(),
            beside: Vec::new(),
            profiles_delta: 0,
        })
    }

    /// Keeps what an event of that day was resolved to. Every change that it brought was told before.
    pub(crate) fn keep(
        &mut self,
        workspace: WorkspaceId,
        event: &EventIdentifiers,
        resolution: &Resolution,
        day: i64,
    ) {
        let is_whole = event.previous.is_none()
            && resolution.kept.len() == event.identifiers.len()
            && resolution.demoted.iter().all(|demotion| demotion.reason == RefusalReason::Blocked);
        let Some(identifier) = event.identifiers.first().filter(|_| is_whole) else { return };
        let members = &resolution.live.members;
        let place_of = |node: &NodeKey| u32::try_from(members.binary_search(node).ok()?).ok();
        let Some(anchor) = place_of(&resolution.anchor) else { return };
        debug_assert_eq!(resolution.anchor.identifier, *identifier, "the anchor is never left out");
        let (mut edges, mut blocked) = match self.valid(workspace, identifier) {
            Some(ties) => (ties.edges.clone(), ties.blocked.clone()),
            None => (Vec::new(), Vec::new()),
        };
        for other in resolution.kept.iter().skip(1) {
            let Some(place) = place_of(other) else { return };
            edges.retain(|(tied, _)| *tied != place);
            edges.push((place, day));
        }
        for value in &event.blocked {
            let hash = self.hash(workspace, value);
            blocked.retain(|(known, _)| *known != hash);
            blocked.push((hash, day));
        }
        blocked.drain(..blocked.len().saturating_sub(BLOCKED_MAX));
        let (profile, live) = (resolution.profile, Arc::clone(&resolution.live));
        let stamp = self.stamp(workspace, profile);
        let ties = Ties { profile, stamp, live, anchor, edges, blocked };
        self.anchors.insert((workspace, self.hash(workspace, identifier)), ties);
    }

    /// A profile's record was changed: nothing found before holds for it.
    pub(crate) fn changed(&mut self, workspace: WorkspaceId, profile: ProfileId) {
        self.stamps.remove(&(workspace, profile));
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.anchors.clear();
        self.stamps.clear();
    }

    fn stamp(&mut self, workspace: WorkspaceId, profile: ProfileId) -> u64 {
        if let Some(stamp) = self.stamps.get(&(workspace, profile)) {
            return *stamp;
        }
        self.next_stamp += 1;
        self.stamps.insert((workspace, profile), self.next_stamp);
        self.next_stamp
    }

    fn valid(&self, workspace: WorkspaceId, anchor: &Identifier) -> Option<&Ties> {
        let ties = self.anchors.get(&(workspace, self.hash(workspace, anchor)))?;
        let stamp = self.stamps.get(&(workspace, ties.profile))?;
        (*stamp == ties.stamp).then_some(ties)
    }

    /// Of the identifier alone, whatever epoch it is in: that is what an entry tells.
    fn hash(&self, workspace: WorkspaceId, identifier: &Identifier) -> Hashed {
        self.hash_key.identifier_hash(workspace, identifier, 0)
    }
}

impl Ties {
    /// The member of that identifier that is tied to the anchor on that day or later. Of its epochs, only the one of
    /// today can be: an edge to another is older than the profile's last change.
    fn tied(&self, other: &Identifier, day: i64) -> Option<&NodeKey> {
        let members = &self.live.members;
        let first = members.partition_point(|member| member.identifier < *other);
        members[first..]
            .iter()
            .take_while(|member| member.identifier == *other)
            .enumerate()
            .find(|(offset, _)| {
                let place = first + offset;
                self.edges.iter().any(|(tied, seen)| *tied as usize == place && *seen >= day)
            })
            .map(|(_, member)| member)
    }
}
