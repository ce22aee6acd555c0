//! The columns of one workspace.

use super::no_room;
use super::settled::{Basis, Settled, hash_of_traits};
use super::trait_column::{Room, TraitColumn};
use crate::codec::Value;
use crate::key::{Key, Tag};
use crate::reader::LookupError;
use crate::state::State;
use roaring::RoaringBitmap;
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tributary_eventlog::index::short_fragment;
use tributary_model::{AudienceId, HashKey, NodeKey, ProfileId, WorkspaceId};

/// How many traits have columns.
const TRAITS_MAX: usize = 1000;
/// How many bytes of distinct values are kept, over all traits of a workspace.
const VALUES_BYTES_MAX: usize = 256 << 20;

/// What the columns have of a profile.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: ProfileId,
    /// Whether it has an identifier of the namespace `user_id`.
    pub(super) is_known: bool,
    /// Its fragments, and what they say of traits, both as hashes.
    pub(super) nodes: Vec<(u64, u32)>,
    /// Its traits as they are told.
    pub(super) traits: BTreeMap<Box<str>, Box<str>>,
}

/// What changed since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    /// Profiles of which anything changed.
    pub(crate) docs: RoaringBitmap,
    /// Accounts, by their ids.
    pub(crate) accounts: BTreeSet<Box<str>>,
}

/// What is known of the values of a trait.
pub(crate) enum Lookup<'a> {
    /// These are they.
    Column(&'a TraitColumn),
    /// No profile has one.
    Nothing,
    /// There is no room for it.
    Unknown,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    doc: u32,
    /// What the fragment says of traits, as a hash.
    traits: u32,
}

/// The columns of one workspace. Profiles have numbers of their own in them, which are never used again.
pub(crate) struct Table {
    hash_key: HashKey,
    basis: Basis,
    ids: Vec<ProfileId>,
    docs: FxHashMap<ProfileId, u32>,
    live: RoaringBitmap,
    known: RoaringBitmap,
    /// Fragments by the beginning of their hashes. A fragment that leaves a profile goes to another one.
    nodes: FxHashMap<u64, Node>,
    traits: BTreeMap<Box<str>, TraitColumn>,
    /// Whether there are traits without a column.
    is_cut: bool,
    room: Room,
    members: BTreeMap<AudienceId, RoaringBitmap>,
    /// Profiles that have to be read again.
    stale: FxHashSet<ProfileId>,
    /// Whether what rows depend on beside their profiles may be another.
    is_basis_suspect: bool,
    is_spoilt: bool,
    watches: Mutex<BTreeMap<u64, Touched>>,
    /// Tells this table from others of the same workspace.
    serial: u64,
    /// The number of the latest look at it.
    looked_at: AtomicU64,
}

impl Table {
    pub(super) fn new(hash_key: HashKey, basis: Basis, serial: u64) -> Self {
        Self {
            hash_key,
            basis,
            ids: Vec::new(),
            docs: FxHashMap::default(),
            live: RoaringBitmap::new(),
            known: RoaringBitmap::new(),
            nodes: FxHashMap::default(),
            traits: BTreeMap::new(),
            is_cut: false,
            room: Room(VALUES_BYTES_MAX),
            members: BTreeMap::new(),
            stale: FxHashSet::default(),
            is_basis_suspect: false,
            is_spoilt: false,
            watches: Mutex::default(),
            serial,
            looked_at: AtomicU64::new(0),
        }
    }

    /// Somebody looks at it; looks are numbered.
    pub(super) fn look(&self, number: u64) {
        self.looked_at.fetch_max(number, Ordering::Relaxed);
    }

    /// The number of the latest look.
    pub(super) fn looked_at(&self) -> u64 {
        self.looked_at.load(Ordering::Relaxed)
    }

    /// What rows depend on beside their profiles.
    pub(super) fn basis(&self) -> &Basis {
        &self.basis
    }

    /// Tells this table from others of the same workspace, in which profiles have other numbers.
    pub(crate) fn serial(&self) -> u64 {
        self.serial
    }

    /// The profiles that there are.
    pub(crate) fn live(&self) -> &RoaringBitmap {
        &self.live
    }

    /// Those that have an identifier of the namespace `user_id`.
    pub(crate) fn known(&self) -> &RoaringBitmap {
        &self.known
    }

    /// The members of an audience.
    pub(crate) fn members(&self, audience: AudienceId) -> Option<&RoaringBitmap> {
        self.members.get(&audience)
    }

    /// What is known of the values of a trait.
    pub(crate) fn values(&self, name: &str) -> Lookup<'_> {
        match self.traits.get(name) {
            Some(column) => Lookup::Column(column),
            None if self.is_cut => Lookup::Unknown,
            None => Lookup::Nothing,
        }
    }

    /// Larger than the number of any profile.
    pub(crate) fn docs_end(&self) -> usize {
        self.ids.len()
    }

    /// The id of a profile.
    pub(crate) fn id(&self, doc: u32) -> Option<ProfileId> {
        self.ids.get(doc as usize).copied()
    }

    /// The number of a profile.
    pub(crate) fn doc(&self, id: ProfileId) -> Option<u32> {
        self.docs.get(&id).copied()
    }

    /// The profile that a fragment belongs to, by the beginning of its hash.
    pub(crate) fn doc_of_fragment(&self, fragment: u64) -> Option<u32> {
        self.nodes.get(&fragment).map(|node| node.doc)
    }

    /// Begins to note what changes, until [`Table::unwatch`].
    pub(crate) fn watch(&self) -> u64 {
        let mut watches = self.lock_watches();
        let number = watches.last_key_value().map_or(0, |(last, _)| last + 1);
        watches.insert(number, Touched::default());
        number
    }

    /// What changed since that was last asked.
    pub(crate) fn touched(&self, watch: u64) -> Touched {
        self.lock_watches().get_mut(&watch).map(std::mem::take).unwrap_or_default()
    }

    /// Ends it.
    pub(crate) fn unwatch(&self, watch: u64) {
        self.lock_watches().remove(&watch);
    }

    /// Enters a profile as it is now.
    pub(super) fn put(&mut self, row: &Row) {
        let before = self.ids.len();
        let doc = self.number(row.id);
        let is_new = doc as usize >= before;
        self.live.insert(doc);
        set(&mut self.known, doc, row.is_known);
        for (hash, traits) in &row.nodes {
            self.nodes.insert(*hash, Node { doc, traits: *traits });
        }
        if !is_new {
            for (name, column) in &mut self.traits {
                if !row.traits.contains_key(name) {
                    column.set(doc, None, &mut self.room);
                }
            }
        }
        for (name, json) in &row.traits {
            if let Some(column) = self.traits.get_mut(name) {
                column.set(doc, Some(json), &mut self.room);
            } else if self.traits.len() < TRAITS_MAX {
                let mut column = TraitColumn::default();
                column.set(doc, Some(json), &mut self.room);
                self.traits.insert(name.clone(), column);
            } else {
                self.is_cut = true;
                no_room("trait");
            }
        }
    }

    /// A profile is no more.
    pub(super) fn remove(&mut self, id: ProfileId) {
        let Some(doc) = self.doc(id) else { return };
        self.live.remove(doc);
        self.known.remove(doc);
        for column in self.traits.values_mut() {
            column.set(doc, None, &mut self.room);
        }
    }

    /// A profile is a member of an audience, or is none.
    pub(super) fn set_member(&mut self, audience: AudienceId, id: ProfileId, is_member: bool) {
        let doc = self.number(id);
        set(self.members.entry(audience).or_default(), doc, is_member);
    }

    /// Reads a profile again.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn refresh(&mut self, id: ProfileId, settled: &Settled<'_>) -> Result<(), LookupError> {
        match settled.live(id)? {
            Some(live) => self.put(&settled.row(id, &live)?),
            None => self.remove(id),
        }
        Ok(())
    }

    /// Notes what a checkpoint changed.
    pub(super) fn note(&mut self, workspace: WorkspaceId, key: &Key, value: Option<&Value>) {
        let Some(tag) = Tag::of(key.as_bytes()) else { return };
        match tag {
            Tag::Profile => self.stale.extend(key.profile_named()),
            Tag::Fragment => self.note_fragment(workspace, key, value),
            Tag::Member => {
                if let Some((audience, id)) = key.member_named() {
                    self.set_member(audience, id, value.is_some());
                }
            }
            Tag::Partition => {
                if let Some(Value::Partition(partition)) = value {
                    for node in partition.sides.iter().flatten() {
                        let hash = self.hash_of(workspace, node);
                        let id = self.doc_of_fragment(hash).and_then(|doc| self.id(doc));
                        self.stale.extend(id);
                    }
                }
            }
            Tag::Workspace => {
                if let Some(Value::Workspace(workspace)) = value {
                    self.is_spoilt |= workspace.deleted || *workspace.rules != *self.basis.rules;
                }
            }
            Tag::Definitions => self.is_basis_suspect = true,
            Tag::Account => {
                let watches = self.watches.get_mut().unwrap_or_else(PoisonError::into_inner);
                for touched in watches.values_mut() {
                    touched.accounts.extend(key.account_named().map(Into::into));
                }
            }
            Tag::AccountMember
            | Tag::Alarm
            | Tag::Checkpoint
            | Tag::Edge
            | Tag::History
            | Tag::Needs
            | Tag::Node
            | Tag::RefusedBy
            | Tag::Refusal
            | Tag::Search
            | Tag::Size
            | Tag::Standing
            | Tag::Tally
            | Tag::Timer => {}
        }
    }

    /// Brings the columns to the checkpoint whose changes were noted. False if they have to be made anew.
    ///
    /// # Errors
    /// If the store fails.
    pub(super) fn settle(&mut self, state: &State, workspace: WorkspaceId) -> Result<bool, LookupError> {
        if self.is_spoilt {
            return Ok(false);
        }
        let is_suspect = std::mem::take(&mut self.is_basis_suspect);
        if self.stale.is_empty() && !is_suspect {
            return Ok(true);
        }
        let hash_key = self.hash_key.clone();
        let settled = Settled::new(state, workspace, &hash_key)?;
        if is_suspect && settled.basis() != self.basis {
            return Ok(false);
        }
        for id in std::mem::take(&mut self.stale) {
            self.refresh(id, &settled)?;
            if let Some(doc) = self.doc(id) {
                self.touch(doc);
            }
        }
        Ok(true)
    }

    /// About how much memory it takes, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let bitmaps = self.members.values().chain([&self.live, &self.known]);
        16 * self.ids.capacity()
            + 22 * self.docs.capacity()
            + 17 * self.nodes.capacity()
            + (VALUES_BYTES_MAX - self.room.0)
            + self.traits.iter().map(|(name, column)| 100 + name.len() + column.bytes()).sum::<usize>()
            + bitmaps.map(RoaringBitmap::serialized_size).sum::<usize>()
    }

    fn note_fragment(&mut self, workspace: WorkspaceId, key: &Key, value: Option<&Value>) {
        let Some(node) = key.node_named() else { return };
        // One that is not known yet belongs to a profile that is among the changes itself.
        let Some(Node { doc, traits }) = self.nodes.get(&self.hash_of(workspace, &node)).copied() else {
            return;
        };
        self.touch(doc);
        let has = match value {
            Some(Value::Fragment(fragment)) => hash_of_traits(fragment),
            _ => 0,
        };
        if has != traits {
            self.stale.extend(self.id(doc));
        }
    }

    fn hash_of(&self, workspace: WorkspaceId, node: &NodeKey) -> u64 {
        short_fragment(&self.hash_key.identifier_hash(workspace, &node.identifier, node.epoch))
    }

    fn touch(&mut self, doc: u32) {
        let watches = self.watches.get_mut().unwrap_or_else(PoisonError::into_inner);
        for touched in watches.values_mut() {
            touched.docs.insert(doc);
        }
    }

    /// The number of a profile, given now if it has none.
    fn number(&mut self, id: ProfileId) -> u32 {
        *self.docs.entry(id).or_insert_with(|| {
            self.ids.push(id);
            u32::try_from(self.ids.len() - 1).expect("a machine's memory holds fewer profiles")
        })
    }

    fn lock_watches(&self) -> MutexGuard<'_, BTreeMap<u64, Touched>> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn set(bitmap: &mut RoaringBitmap, doc: u32, is_in: bool) {
    if is_in {
        bitmap.insert(doc);
    } else {
        bitmap.remove(doc);
    }
}
