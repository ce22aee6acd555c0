//! One pass over the log, into two graphs.

use super::ranking::{Profiles, busiest, identifiers_shown};
use super::report::{BeforeAfter, PreviewReport, PreviewWindow, SHOWN_MAX, Sample};
use super::seen::Seen;
use super::{PreviewError, PreviewOrder, PreviewParts, PreviewProgress};
use crate::scratch::{LentGraph, Moves, Scratch};
use crate::store::{Store, StoreError};
use bytes::Bytes;
use tributary_eventlog::ReadError;
use tributary_eventlog::index::MessageKey;
use tributary_identity::{Context, Evidence, Ordered, Retake, hand_over, resolve, unmerge};
use tributary_model::command::{Action, Command};
use tributary_model::identity_rules::IdentifierReader;
use tributary_model::workspace::IdentityRules;
use tributary_model::{EventView, Position, ProfileId, Record, RecordKind, Timestamp, WorkspaceId};

/// Where the graph of the rules in force is kept.
const BEFORE: WorkspaceId = WorkspaceId(1);
/// Where that of the changed rules is kept.
const AFTER: WorkspaceId = WorkspaceId(2);

/// How many bytes of records are read at once.
const READ_BYTES: usize = 1 << 20;

/// One set of rules and what became of the events under it.
struct Side<'a> {
    place: WorkspaceId,
    rules: &'a IdentityRules,
    reader: IdentifierReader,
    unidentified: u64,
}

impl<'a> Side<'a> {
    fn new(place: WorkspaceId, rules: &'a IdentityRules) -> Result<Self, PreviewError> {
        Ok(Self { place, rules, reader: IdentifierReader::new(rules)?, unidentified: 0 })
    }
}

/// See the module.
pub(super) struct Pass<'a> {
    parts: &'a PreviewParts,
    order: &'a PreviewOrder,
    sides: [Side<'a>; 2],
    scratch: Scratch,
    seen: Seen,
    /// The largest receive time among the records read.
    log_time: Timestamp,
    events: u64,
}

impl<'a> Pass<'a> {
    pub(super) fn new(
        parts: &'a PreviewParts,
        order: &'a PreviewOrder,
        scratch: Scratch,
    ) -> Result<Self, PreviewError> {
        let window_micros = i64::try_from(parts.window.as_micros()).unwrap_or(i64::MAX);
        Ok(Self {
            parts,
            order,
            sides: [Side::new(BEFORE, &parts.current)?, Side::new(AFTER, &order.rules)?],
            scratch,
            seen: Seen::new(window_micros),
            log_time: Timestamp::default(),
            events: 0,
        })
    }

    /// Takes all that the log holds at this moment.
    pub(super) fn read(&mut self, progress: &PreviewProgress) -> Result<(), PreviewError> {
        let bounds = self.parts.events.bounds();
        let of = bounds.end - bounds.first;
        let mut next = bounds.first;
        progress.set(0, of);
        while next < bounds.end {
            check(progress)?;
            let entries = match self.parts.events.read(next, READ_BYTES) {
                // Retention goes on meanwhile, and has removed what was about to be read.
                Err(ReadError::Expired { first }) if first > next => {
                    next = first;
                    continue;
                }
                read => read?,
            };
            if entries.is_empty() {
                break;
            }
            for entry in entries.iter().filter(|entry| entry.sequence < bounds.end) {
                self.take(entry.sequence, &entry.bytes)?;
                next = entry.sequence + 1;
            }
            progress.set(next - bounds.first, of);
        }
        Ok(())
    }

    fn take(&mut self, sequence: u64, bytes: &Bytes) -> Result<(), PreviewError> {
        let record = Record::decode(bytes).map_err(|why| PreviewError::Record(sequence, Box::new(why)))?;
        let envelope = &record.envelope;
        self.log_time = self.log_time.max(envelope.received_at);
        if envelope.workspace != self.order.workspace {
            return Ok(());
        }
        match envelope.kind {
            RecordKind::Event(_) => self.take_event(sequence, &record)?,
            RecordKind::Command if self.is_wanted(envelope.received_at) => {
                self.take_command(sequence, &record)?;
            }
            RecordKind::Command
            | RecordKind::WorkspaceVersion
            | RecordKind::WorkspaceDeleted
            | RecordKind::Tick => {}
        }
        Ok(self.scratch.flush_if_large()?)
    }

    fn is_wanted(&self, received_at: Timestamp) -> bool {
        self.order.from.is_none_or(|from| received_at >= from)
            && self.order.until.is_none_or(|until| received_at < until)
    }

    fn take_event(&mut self, sequence: u64, record: &Record) -> Result<(), PreviewError> {
        let envelope = &record.envelope;
        let message_id = envelope.message_id.clone().expect("an event's record has a message id");
        let key = MessageKey::new(envelope.workspace, envelope.source, &message_id);
        // Also of events before the window: their repeats are no events of it.
        let is_repeat = self.seen.is_repeat(key, envelope.received_at);
        if is_repeat || !self.is_wanted(envelope.received_at) {
            return Ok(());
        }
        let event =
            EventView::parse(&record.payload).map_err(|why| PreviewError::Record(sequence, Box::new(why)))?;
        let evidence = Evidence {
            position: Position::at(sequence),
            message_id,
            source: envelope.source,
            received_at: envelope.received_at,
            event_time: envelope.event_time,
        };
        self.events += 1;
        for side in &mut self.sides {
            let identifiers = side.reader.read(&event);
            let context = Context {
                workspace: self.order.workspace,
                rules: side.rules,
                hash_key: &self.parts.hash_key,
                log_time: self.log_time,
            };
            let mut graph = LentGraph::new(self.scratch.graph(), side.place);
            let resolution = resolve(&mut graph, &context, &identifiers, &evidence).map_err(graph_failed)?;
            side.unidentified += u64::from(resolution.is_none());
        }
        Ok(())
    }

    /// Carries a person's command out where it can be.
    fn take_command(&mut self, sequence: u64, record: &Record) -> Result<(), PreviewError> {
        let command =
            Command::decode(&record.payload).map_err(|why| PreviewError::Record(sequence, Box::new(why)))?;
        let ordered = Ordered {
            position: Position::at(sequence),
            at: record.envelope.received_at,
            by: &command.by,
            reason: command.reason.as_deref(),
        };
        for side in &self.sides {
            let context = Context {
                workspace: self.order.workspace,
                rules: side.rules,
                hash_key: &self.parts.hash_key,
                log_time: self.log_time,
            };
            let graph = &mut LentGraph::new(self.scratch.graph(), side.place);
            // What a graph refuses is passed over: under these rules there was nothing to order.
            match &command.action {
                Action::Unmerge { who, target, retake } => {
                    let retake = if *retake { Retake::Again } else { Retake::Keep };
                    drop(unmerge(graph, &context, who, target, retake, &ordered).map_err(graph_failed)?);
                }
                action @ (Action::Link { .. } | Action::Remove { .. } | Action::Move { .. }) => {
                    drop(hand_over(graph, &context, action, &ordered).map_err(graph_failed)?);
                }
                Action::Rebuild => {}
            }
        }
        Ok(())
    }

    /// Compares the two graphs.
    pub(super) fn report(mut self, progress: &PreviewProgress) -> Result<PreviewReport, PreviewError> {
        check(progress)?;
        self.scratch.flush()?;
        let store = self.scratch.store();
        let moves = Moves::between((store, BEFORE), (store, AFTER))?;
        check(progress)?;
        let before = Profiles::of(store, BEFORE)?;
        let after = Profiles::of(store, AFTER)?;
        check(progress)?;
        let [of_before, of_after] = &self.sides;
        Ok(PreviewReport {
            events: self.events,
            window: PreviewWindow {
                from: self.order.from.map(|at| at.to_string()),
                until: self.order.until.map(|at| at.to_string()),
            },
            profiles: BeforeAfter { before: before.count, after: after.count },
            identifiers: BeforeAfter { before: moves.identifiers.0, after: moves.identifiers.1 },
            merges: moves.merges().count() as u64,
            splits: moves.splits().count() as u64,
            unidentified: BeforeAfter { before: of_before.unidentified, after: of_after.unidentified },
            biggest_clusters: after.biggest,
            busiest_identifiers: busiest(store, AFTER)?,
            samples: samples(store, &moves)?,
        })
    }
}

/// Some merges and some splits: half of each, and more of one where the other has too few.
fn samples(store: &dyn Store, moves: &Moves) -> Result<Vec<Sample>, StoreError> {
    let merges: Vec<_> = moves.merges().take(SHOWN_MAX).collect();
    let splits: Vec<_> = moves.splits().take(SHOWN_MAX).collect();
    let merges_max = SHOWN_MAX - splits.len().min(SHOWN_MAX / 2);
    let mut samples = Vec::new();
    for (id, from) in merges.into_iter().take(merges_max) {
        let (before, after) = (shown(store, BEFORE, &from)?, shown(store, AFTER, &[id])?);
        samples.push(Sample { change: "merged", before, after });
    }
    let splits_max = SHOWN_MAX - samples.len();
    for (id, to) in splits.into_iter().take(splits_max) {
        let (before, after) = (shown(store, BEFORE, &[id])?, shown(store, AFTER, &to)?);
        samples.push(Sample { change: "split", before, after });
    }
    Ok(samples)
}

fn shown(
    store: &dyn Store,
    place: WorkspaceId,
    profiles: &[ProfileId],
) -> Result<Vec<Vec<String>>, StoreError> {
    profiles.iter().take(SHOWN_MAX).map(|id| identifiers_shown(store, place, *id)).collect()
}

fn check(progress: &PreviewProgress) -> Result<(), PreviewError> {
    if progress.is_cancelled() { Err(PreviewError::Cancelled) } else { Ok(()) }
}

fn graph_failed(error: impl std::error::Error + Send + Sync + 'static) -> PreviewError {
    PreviewError::Graph(Box::new(error))
}
