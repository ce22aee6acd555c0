//! Who may ever have been on one profile with somebody.
//!
//! An identifier leaves a profile in three ways, and each leaves a trace by which the way back is found:
//!
//! - It goes over to another owner, or to none: in its next epoch. So all epochs of an identifier belong here.
//! - A person parts the profile: the partition lists every member of it.
//! - A rebuild decides otherwise than before: the histories of the profiles that it changed say so. What it left out is
//!   still there as refused links; where there was such a rebuild, these are followed too.
//!
//! Otherwise a link that was refused leads to a stranger.

use crate::codec::Value;
use crate::graph::ReadGraph;
use crate::key::{Key, Tag};
use crate::reader::as_of::AS_OF_NODES_MAX;
use crate::reader::{LookupError, STEPS_MAX};
use crate::state::State;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tributary_identity::{
    Evidence, GraphRead, Happened, HistoryEntry, Node, Partitions, ProfileRecord, RefusalReason,
};
use tributary_model::command::Who;
use tributary_model::{HashKey, Identifier, NodeKey, ProfileId, Timestamp, WorkspaceId};

/// The nodes that may ever have been on one profile with somebody's, and what is told of their profiles.
#[derive(Default)]
pub(super) struct Kin {
    /// With what is known of each today.
    nodes: BTreeMap<NodeKey, Option<Arc<Node>>>,
    identifiers: BTreeSet<Identifier>,
    /// The commands about them that were carried out, and when each was given.
    commands: BTreeMap<u64, Timestamp>,
    /// When what is told of them in histories happened last.
    last_told: Option<Timestamp>,
    /// The smallest sequence in their evidence.
    first: Option<u64>,
    /// The log's time at records, as far as it was noted.
    log_times: BTreeMap<u64, Timestamp>,
    /// Whether a rebuild changed these profiles.
    is_rebuilt: bool,
}

impl Kin {
    /// Those of somebody; `None` if they are too many.
    ///
    /// # Errors
    /// If the state can't be read.
    pub(super) fn of(
        state: &Arc<State>,
        hash_key: &HashKey,
        workspace: WorkspaceId,
        who: &Who,
    ) -> Result<Option<Self>, LookupError> {
        let mut steps = 1;
        loop {
            let partitions = state.partitions(workspace)?;
            let search = Search::new(state, hash_key, workspace, Arc::clone(&partitions));
            let Some(kin) = search.run(who)? else { return Ok(None) };
            // A profile that is parted meanwhile may have been met in part.
            if steps == STEPS_MAX || *state.partitions(workspace)? == *partitions {
                return Ok(Some(kin));
            }
            steps += 1;
        }
    }

    /// The nodes.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &NodeKey> {
        self.nodes.keys()
    }

    /// Whether an identifier is one of theirs, or may be.
    pub(super) fn has(&self, identifier: &Identifier) -> bool {
        self.is_rebuilt || self.identifiers.contains(identifier)
    }

    /// The commands about them that were given by then.
    pub(super) fn commands_until(&self, at: Timestamp) -> impl Iterator<Item = u64> {
        self.commands.iter().filter(move |(_, given)| **given <= at).map(|(sequence, _)| *sequence)
    }

    /// When what their histories tell happened last.
    pub(super) fn last_told(&self) -> Option<Timestamp> {
        self.last_told
    }

    /// The first record that had to do with them; the largest number if none had.
    pub(super) fn first(&self) -> u64 {
        self.first.unwrap_or(u64::MAX)
    }

    /// The log's time at a record, if it was noted.
    pub(super) fn log_time(&self, sequence: u64) -> Option<Timestamp> {
        self.log_times.get(&sequence).copied()
    }

    /// Whether the identifier that was asked for was first seen after that time.
    pub(super) fn is_later(&self, who: &Who, at: Timestamp) -> bool {
        let Who::Identifier(identifier) = who else { return false };
        let known = self.nodes.get(&NodeKey::first_epoch(identifier.clone())).and_then(Option::as_ref);
        // A rebuild may take an identifier to have come later than it did.
        !self.is_rebuilt && known.is_some_and(|node| node.first.received_at > at)
    }

    fn note(&mut self, evidence: &Evidence) {
        let sequence = evidence.position.sequence;
        self.first = Some(self.first().min(sequence));
    }
}

/// A search under way.
struct Search<'a> {
    state: &'a Arc<State>,
    graph: ReadGraph,
    hash_key: &'a HashKey,
    workspace: WorkspaceId,
    partitions: Arc<Partitions>,
    found: Kin,
    /// Nodes that were named; some may have been looked at.
    next: Vec<NodeKey>,
    /// Profiles that were named, whose histories are to be read.
    named: Vec<ProfileId>,
    /// Those whose records, and those whose histories were looked at.
    profiles: BTreeSet<ProfileId>,
    histories: BTreeSet<ProfileId>,
    /// Partitions that were looked at.
    parted: BTreeSet<u64>,
    /// Nodes whose refused links were not looked at.
    unlinked: Vec<NodeKey>,
}

impl<'a> Search<'a> {
    fn new(
        state: &'a Arc<State>,
        hash_key: &'a HashKey,
        workspace: WorkspaceId,
        partitions: Arc<Partitions>,
    ) -> Self {
        Self {
            state,
            graph: ReadGraph::new(Arc::clone(state)),
            hash_key,
            workspace,
            partitions,
            found: Kin::default(),
            next: Vec::new(),
            named: Vec::new(),
            profiles: BTreeSet::new(),
            histories: BTreeSet::new(),
            parted: BTreeSet::new(),
            unlinked: Vec::new(),
        }
    }

    fn run(mut self, who: &Who) -> Result<Option<Kin>, LookupError> {
        match who {
            Who::Profile(id) => self.look_at_profile(*id)?,
            Who::Identifier(identifier) => self.next.push(NodeKey::first_epoch(identifier.clone())),
        }
        loop {
            let round = std::mem::take(&mut self.next);
            let mut fresh = Vec::new();
            for node in round {
                if self.found.nodes.contains_key(&node) {
                    continue;
                }
                if self.found.nodes.len() == AS_OF_NODES_MAX {
                    return Ok(None);
                }
                self.look_at(&node)?;
                fresh.push(node);
            }
            self.read_histories(&fresh)?;
            self.unlinked.extend(fresh);
            if self.found.is_rebuilt {
                self.follow_refused()?;
            }
            if self.next.is_empty() {
                return Ok(Some(self.found));
            }
        }
    }

    fn look_at(&mut self, node: &NodeKey) -> Result<(), LookupError> {
        let known = self.graph.node(self.workspace, node)?;
        if let Some(known) = &known {
            self.found.note(&known.first);
            let noted = self.found.log_times.entry(known.first.position.sequence).or_default();
            *noted = known.linked_at.max(*noted);
            self.look_at_profile(known.profile)?;
        }
        self.found.nodes.insert(node.clone(), known);
        if self.found.identifiers.insert(node.identifier.clone()) {
            let first = NodeKey::first_epoch(node.identifier.clone());
            let current = self.graph.node(self.workspace, &first)?.map_or(0, |first| first.current_epoch);
            self.next.extend((0..=current.max(node.epoch)).map(|epoch| NodeKey { epoch, ..first.clone() }));
        }
        for (id, _) in self.partitions.of(node) {
            if self.parted.insert(*id)
                && let Some(partition) = self.partitions.get(*id)
            {
                self.found.commands.insert(*id, partition.at);
                self.next.extend(partition.sides.iter().flatten().cloned());
            }
        }
        Ok(())
    }

    /// Names the members of the profile behind an id.
    fn look_at_profile(&mut self, mut id: ProfileId) -> Result<(), LookupError> {
        // A merge that becomes visible meanwhile may lengthen the way.
        for _ in 0..STEPS_MAX {
            if !self.profiles.insert(id) {
                return Ok(());
            }
            self.named.push(id);
            match self.graph.profile(self.workspace, id)? {
                Some(ProfileRecord::Live(live)) => {
                    self.next.extend(live.members.iter().cloned());
                    self.named.extend(&live.merged);
                    return Ok(());
                }
                Some(ProfileRecord::MergedInto(target)) => id = target,
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Reads the histories of the profiles that were named, and of those that these nodes may have created.
    fn read_histories(&mut self, fresh: &[NodeKey]) -> Result<(), LookupError> {
        let created = fresh.iter().map(|node| self.hash_key.profile_id(self.workspace, node));
        self.named.extend(created);
        while !self.named.is_empty() {
            let named = std::mem::take(&mut self.named);
            let unread = named.into_iter().filter(|id| self.histories.insert(*id));
            let prefixes: Vec<Vec<u8>> = unread.map(|ProfileId(bytes)| bytes.to_vec()).collect();
            for (_, value) in self.state.entries_with(self.workspace, Tag::History, &prefixes)? {
                if let Value::History(entry) = value {
                    self.look_at_entry(&entry)?;
                }
            }
        }
        Ok(())
    }

    fn look_at_entry(&mut self, entry: &HistoryEntry) -> Result<(), LookupError> {
        let sequence = entry.position.sequence;
        let is_ordered = entry.by.is_some();
        self.found.last_told = self.found.last_told.max(Some(entry.at));
        if is_ordered {
            self.found.commands.insert(sequence, entry.at);
        }
        // Of what a person can order, an unmerge and a rebuild join or part, and an unmerge leaves a partition.
        let is_of_rebuild = is_ordered && self.partitions.get(sequence).is_none();
        match &entry.what {
            Happened::Merged { survivor, merged, .. } => {
                self.found.is_rebuilt |= is_of_rebuild;
                self.look_at_profile(*survivor)?;
                for id in merged {
                    self.look_at_profile(*id)?;
                }
            }
            Happened::Parted { from, into, .. } => {
                self.found.is_rebuilt |= is_of_rebuild;
                self.look_at_profile(*from)?;
                for id in into {
                    self.look_at_profile(*id)?;
                }
            }
            Happened::Took { node, .. } | Happened::Lost { node, .. } => self.next.push(node.clone()),
        }
        Ok(())
    }

    /// Names what refused links lead to.
    fn follow_refused(&mut self) -> Result<(), LookupError> {
        let nodes = std::mem::take(&mut self.unlinked);
        for (key, refusal) in self.graph.refusals_of(self.workspace, &nodes)? {
            self.found.note(&refusal.first);
            if refusal.reason != RefusalReason::Blocked || self.is_somebody(&key.other)? {
                self.next.push(key.other);
            }
        }
        let named_by = self.graph.refused_by(self.workspace, &nodes)?;
        self.next.extend(named_by.into_iter().map(|key| key.anchor));
        Ok(())
    }

    /// Whether a value that is blocked was an identifier once.
    fn is_somebody(&mut self, node: &NodeKey) -> Result<bool, LookupError> {
        Ok(self.graph.node(self.workspace, node)?.is_some()
            || self.state.get(&Key::fragment(self.workspace, node))?.is_some())
    }
}
