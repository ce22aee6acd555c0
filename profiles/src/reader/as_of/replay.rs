//! Records of the log taken again, into a graph and fragments in memory.

use super::kin::Kin;
use super::rebuilt::rebuilt;
use crate::codec::WorkspaceState;
use crate::graph::ReadGraph;
use crate::reader::LookupError;
use crate::state::State;
use rustc_hash::FxHashMap;
use std::sync::Arc;
use tributary_identity::{
    Context, Evidence, GraphRead, LiveProfile, MemoryGraph, Ordered, Partitions, Retake, find, hand_over,
    unmerge,
};
use tributary_model::catalog::Catalog;
use tributary_model::command::{Action, Command, Who};
use tributary_model::fragment::Sighting;
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::record::DecodeError;
use tributary_model::workspace::IdentityRules;
use tributary_model::{
    EventView, Fragment, HashKey, NodeKey, Position, ProfileId, Record, RecordKind, Timestamp, WorkspaceId,
};

/// A profile as it stood.
pub(super) struct Past {
    pub(super) id: ProfileId,
    pub(super) live: Arc<LiveProfile>,
    /// The merge of its members' fragments.
    pub(super) merged: Fragment,
    /// Those that there were.
    pub(super) partitions: Arc<Partitions>,
}

/// What the records taken so far amount to.
pub(super) struct Replay<'a> {
    pub(super) workspace: WorkspaceId,
    pub(super) kin: &'a Kin,
    /// The graph of today.
    pub(super) today: ReadGraph,
    /// The graph that the records make.
    pub(super) graph: MemoryGraph,
    fragments: FxHashMap<NodeKey, Fragment>,
    hash_key: &'a HashKey,
    state: Arc<WorkspaceState>,
    catalog: Arc<Catalog>,
    /// The rules at the record before, compiled.
    rules: Option<(Arc<IdentityRules>, Arc<IdentifierReader>)>,
    /// The log's time, as far as it is known from these records.
    log_time: Timestamp,
}

impl<'a> Replay<'a> {
    /// Nothing is taken yet.
    pub(super) fn new(
        workspace: WorkspaceId,
        hash_key: &'a HashKey,
        state: Arc<WorkspaceState>,
        catalog: Arc<Catalog>,
        kin: &'a Kin,
        today: &Arc<State>,
    ) -> Self {
        Self {
            workspace,
            kin,
            today: ReadGraph::new(Arc::clone(today)),
            graph: MemoryGraph::new(),
            fragments: FxHashMap::default(),
            hash_key,
            state,
            catalog,
            rules: None,
            log_time: Timestamp::MIN,
        }
    }

    /// Takes the next record: an event, or a command that was carried out. Records come in the order of the log.
    ///
    /// # Errors
    /// If the state can't be read, or the record.
    pub(super) fn take(&mut self, sequence: u64, record: &Record) -> Result<(), LookupError> {
        let noted = self.kin.log_time(sequence).unwrap_or(Timestamp::MIN);
        self.log_time = self.log_time.max(record.envelope.received_at).max(noted);
        let rules = Arc::clone(self.state.rules_at(sequence));
        let context = Context {
            workspace: self.workspace,
            rules: &rules,
            hash_key: self.hash_key,
            log_time: self.log_time,
        };
        match record.envelope.kind {
            RecordKind::Event(_) => {
                let reader = self.reader(&rules)?;
                self.take_event(&context, &reader, sequence, record)
            }
            RecordKind::Command => self.take_command(&context, &rules, sequence, record),
            RecordKind::WorkspaceVersion | RecordKind::WorkspaceDeleted | RecordKind::Tick => Ok(()),
        }
    }

    /// Whose profile it was that was asked for.
    ///
    /// # Errors
    /// If the graph contradicts itself.
    pub(super) fn end(mut self, who: &Who) -> Result<Option<Past>, LookupError> {
        let Some((id, live)) = find(&mut self.graph, self.workspace, who)? else { return Ok(None) };
        let mut merged = Fragment::default();
        for fragment in live.members.iter().filter_map(|node| self.fragments.get(node)) {
            merged.merge(fragment);
        }
        let partitions = self.graph.partitions(self.workspace)?;
        Ok(Some(Past { id, live, merged, partitions }))
    }

    fn take_event(
        &mut self,
        context: &Context<'_>,
        reader: &IdentifierReader,
        sequence: u64,
        record: &Record,
    ) -> Result<(), LookupError> {
        let envelope = &record.envelope;
        let event = EventView::parse(&record.payload).map_err(|_| DecodeError::Damaged)?;
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id: envelope.message_id.clone().expect("an event's record has a message id"),
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        let Some(anchor) = self.resolve(context, &reader.read(&event), &evidence)? else { return Ok(()) };
        let sighting =
            Sighting { at: evidence.event_time, message_id: evidence.message_id, source: evidence.source };
        let fragment = self.fragments.entry(anchor).or_default();
        fragment.fold(&event, &sighting);
        self.catalog.keepers().fold(fragment, &event, &sighting, context.log_time);
        Ok(())
    }

    fn take_command(
        &mut self,
        context: &Context<'_>,
        rules: &Arc<IdentityRules>,
        sequence: u64,
        record: &Record,
    ) -> Result<(), LookupError> {
        let command = Command::decode(&record.payload).map_err(|_| DecodeError::Damaged)?;
        let order = Ordered {
            position: Position::at(sequence),
            at: record.envelope.received_at,
            by: &command.by,
            reason: command.reason.as_deref(),
        };
        // Without records that arrived later than they should have, one may be refused that was carried out.
        match &command.action {
            Action::Unmerge { who, target, retake } => {
                let retake = if *retake { Retake::Again } else { Retake::Keep };
                drop(unmerge(&mut self.graph, context, who, target, retake, &order)?);
            }
            action @ (Action::Link { .. } | Action::Remove { .. } | Action::Move { .. }) => {
                drop(hand_over(&mut self.graph, context, action, &order)?);
            }
            Action::Rebuild => {
                let reader = self.reader(rules)?;
                self.graph = rebuilt(&mut self.graph, context, &reader)?;
            }
        }
        Ok(())
    }

    fn reader(&mut self, rules: &Arc<IdentityRules>) -> Result<Arc<IdentifierReader>, LookupError> {
        if let Some((known, reader)) = &self.rules
            && Arc::ptr_eq(known, rules)
        {
            return Ok(Arc::clone(reader));
        }
        let reader = Arc::new(IdentifierReader::new(rules)?);
        self.rules = Some((Arc::clone(rules), Arc::clone(&reader)));
        Ok(reader)
    }
}
