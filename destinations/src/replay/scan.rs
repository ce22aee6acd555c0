//! Reads a piece of the activations log for a replay, and tells what of it is to be sent again.

use super::job::{ReplayJob, ReplayOnly, ReplayOrder};
use crate::config::Key;
use crate::definition::SettingsError;
use crate::locate::UnreadableActivation;
use crate::plan::{EventCondition, Plan, Planned, ProfileText, Subject};
use crate::store::{Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_eventlog::{Entry, EventLog, ReadError};
use tributary_model::json::Members;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, EventView, Position};

/// Bytes of activations that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Activations that are read in one call.
const READ_MAX: u64 = 20_000;

/// Why a piece can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ScanError {
    #[error(transparent)]
    Log(#[from] UnreadableActivation),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the condition of a replay can't be used: {0}")]
    Condition(SettingsError),
}

/// A delivery that is to be sent again.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sequence: u64,
    /// The first sequence of the frame that holds it.
    pub(crate) frame: u64,
    pub(crate) activation: Activation,
}

/// What a piece of the log has for a replay.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// What is to be sent again; nothing in a dry run.
    pub(crate) found: Vec<Found>,
    /// Up to where was read.
    pub(crate) next: u64,
    /// Activations that were read.
    pub(crate) read: u64,
    /// Activations that retention had removed.
    pub(crate) expired: u64,
    /// Deliveries that the order names.
    pub(crate) matched: u64,
    /// Deliveries of which it can't be told whether the order names them.
    pub(crate) not_evaluable: u64,
    /// Of those that it names, those that the destination leaves out.
    pub(crate) filtered: BTreeMap<Outcome, u64>,
    /// The largest place read, from the replay's beginning.
    pub(crate) newest: Option<(Position, u32)>,
}

/// Reads on for a replay: at most `most` deliveries are found, and about 20,000 activations read. It goes on at
/// [`Scanned::next`]. Blocking.
///
/// # Errors
/// If the log or the store can't be read. Nothing is lost by calling it again.
pub(crate) fn scan(
    log: &dyn EventLog,
    store: &Store,
    key: Key,
    plan: &Plan,
    job: &ReplayJob,
    most: usize,
) -> Result<Scanned, ScanError> {
    scan_by(log, store, key, &|activation: &Activation| plan.plan(key, activation), job, most)
}

/// The same, with whatever tells what becomes of an activation.
pub(super) fn scan_by(
    log: &dyn EventLog,
    store: &Store,
    key: Key,
    planned: &dyn Fn(&Activation) -> Planned,
    job: &ReplayJob,
    most: usize,
) -> Result<Scanned, ScanError> {
    let condition = job.order.condition.as_ref();
    let condition = condition.map(|condition| EventCondition::compile("condition", condition)).transpose();
    let scan = Scan {
        key,
        order: &job.order,
        condition: condition.map_err(ScanError::Condition)?,
        targets: Targets::of(store, key, job)?,
        planned,
    };
    let mut scanned = Scanned { next: job.next, newest: job.newest, ..Scanned::default() };
    while scanned.next < job.end && scanned.found.len() < most && scanned.read < READ_MAX {
        scanned.next = scan.targets.at_or_behind(scanned.next).map_or(job.end, |next| next.min(job.end));
        if scanned.next == job.end {
            break;
        }
        let entries = match log.read(scanned.next, READ_BYTES) {
            Ok(entries) => entries,
            Err(ReadError::Expired { first }) => {
                let kept = first.clamp(scanned.next + 1, job.end);
                scanned.expired += kept - scanned.next;
                scanned.next = kept;
                continue;
            }
            Err(
                why @ (ReadError::Corrupt { .. }
                | ReadError::Lost { .. }
                | ReadError::Unavailable(_)
                | ReadError::Io(_)),
            ) => return Err(UnreadableActivation::Log(why).into()),
        };
        let Some(last) = entries.last() else {
            let shrunk = UnreadableActivation::Shrunk { end: log.bounds().end, wanted: scanned.next };
            return Err(shrunk.into());
        };
        let outcomes = match scan.targets {
            Targets::All => BTreeMap::new(),
            Targets::NotDelivered { .. } | Targets::Dead(_) => {
                store.outcomes(key, scanned.next..(last.sequence + 1).min(job.end))?
            }
        };
        for entry in entries {
            if entry.sequence >= job.end || scanned.found.len() == most || scanned.read == READ_MAX {
                break;
            }
            match scan.take(&mut scanned, entry, &outcomes) {
                Ok(()) => {}
                // What comes before it is sent first.
                Err(_) if scanned.read > 0 => return Ok(scanned),
                Err(why) => return Err(why.into()),
            }
        }
    }
    if scanned.next >= job.end {
        store.forget_dead_activations(key, job.id);
    }
    Ok(scanned)
}

/// Which activations are sought by what became of them.
enum Targets {
    All,
    /// Those that were not delivered, and those up to that position in the events log, which were nobody's business.
    NotDelivered {
        starts_after: Position,
    },
    /// These, in order, unless they were delivered since.
    Dead(Arc<[u64]>),
}

impl Targets {
    fn of(store: &Store, key: Key, job: &ReplayJob) -> Result<Self, StoreError> {
        Ok(match job.order.only {
            ReplayOnly::All => Self::All,
            ReplayOnly::NotDelivered => {
                let state = store.state(key)?;
                let starts_after = state.map_or_else(Position::default, |state| state.starts_after);
                Self::NotDelivered { starts_after }
            }
            ReplayOnly::DeadLetters { .. } => Self::Dead(store.dead_activations(key, job)?),
        })
    }

    /// Where to read on; `None` if there is nothing more.
    fn at_or_behind(&self, next: u64) -> Option<u64> {
        match self {
            Self::All | Self::NotDelivered { .. } => Some(next),
            Self::Dead(dead) => dead.get(dead.partition_point(|activation| *activation < next)).copied(),
        }
    }

    /// Whether one is sought of which this was said.
    fn has(&self, sequence: u64, position: Position, said: Option<Outcome>) -> bool {
        match self {
            Self::All => true,
            Self::NotDelivered { starts_after } => {
                said.map_or(position <= *starts_after, |outcome| outcome != Outcome::Delivered)
            }
            // Of those of former versions nothing is said.
            Self::Dead(dead) => {
                said.is_none_or(|outcome| outcome == Outcome::DeadLetter)
                    && dead.binary_search(&sequence).is_ok()
            }
        }
    }
}

/// What is sought.
struct Scan<'a> {
    key: Key,
    order: &'a ReplayOrder,
    condition: Option<EventCondition>,
    targets: Targets,
    planned: &'a dyn Fn(&Activation) -> Planned,
}

impl Scan<'_> {
    fn take(
        &self,
        scanned: &mut Scanned,
        entry: Entry,
        outcomes: &BTreeMap<u64, Outcome>,
    ) -> Result<(), UnreadableActivation> {
        let Entry { sequence, frame, bytes } = entry;
        let activation = Activation::decode(&bytes).map_err(|_| UnreadableActivation::Form(sequence))?;
        scanned.next = sequence + 1;
        scanned.read += 1;
        let place = Some(activation.place());
        let repeats = place <= scanned.newest;
        scanned.newest = scanned.newest.max(place);
        let header = &activation.header;
        let is_its = header.workspace == self.key.workspace && !repeats;
        let is_in_time = self.order.from.is_none_or(|from| header.received_at >= from)
            && self.order.until.is_none_or(|until| header.received_at < until);
        let said = outcomes.get(&sequence).copied();
        if !is_its || !is_in_time || !self.targets.has(sequence, header.position, said) {
            return Ok(());
        }
        match self.fulfils(&activation) {
            Some(true) => {}
            Some(false) => return Ok(()),
            None => {
                scanned.not_evaluable += 1;
                return Ok(());
            }
        }
        scanned.matched += 1;
        match (self.planned)(&activation) {
            Planned::LeftOut { outcome, .. } => *scanned.filtered.entry(outcome).or_default() += 1,
            Planned::Payloads { .. } | Planned::Dead(_) if self.order.dry_run => {}
            Planned::Payloads { .. } | Planned::Dead(_) => {
                scanned.found.push(Found { sequence, frame, activation });
            }
        }
        Ok(())
    }

    /// Whether the condition holds; `None` if that can't be told.
    fn fulfils(&self, activation: &Activation) -> Option<bool> {
        let Some(condition) = &self.condition else { return Some(true) };
        let header = &activation.header;
        let text = std::str::from_utf8(&activation.event).ok()?;
        let event = EventView::from_members(header.event_kind, Members::parse(text).ok()?);
        let profile = ProfileText::of(header, condition.names().needs());
        let subject = Subject { header, event: &event, profile: &profile };
        condition.holds(&subject, || "the replay's condition".to_owned()).ok()
    }
}
