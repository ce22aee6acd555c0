//! Reads a piece of the activations log for a replay, and tells what of it is to be sent again.
//!
//! What was given up is told by how deliveries ended, for of many dead letters the newest are kept. For which reason is told by
//! its dead letter, and if that is gone by what is remembered of its attempts.

use super::job::{ReplayJob, ReplayOnly};
use crate::config::Key;
use crate::definition::SettingsError;
use crate::failure::Reason;
use crate::locate::UnreadableActivation;
use crate::plan::{EventCondition, Plan, Planned, ProfileText, Subject};
use crate::store::{DeadActivations, Store, StoreError};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_eventlog::{Entry, EventLog, ReadError};
use tributary_model::activation::ActivationHeader;
use tributary_model::json::Members;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, EventView, Position};

/// Bytes of activations that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Activations that are read in one call for each delivery that is wanted …
const READ_FOR_EACH: usize = 20;

/// … and in all: where few deliveries are wanted, and at most.
const READ_MAX: (usize, usize) = (20_000, 200_000);

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

impl ScanError {
    /// Whether it stays so however often it is tried: what is stored is damaged or gone, or not understood.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Condition(_) => true,
            Self::Log(why) => match why {
                UnreadableActivation::Form(_) | UnreadableActivation::Shrunk { .. } => true,
                UnreadableActivation::Log(why) => match why {
                    ReadError::Corrupt { .. } | ReadError::Lost { .. } => true,
                    ReadError::Expired { .. } | ReadError::Unavailable(_) | ReadError::Io(_) => false,
                },
            },
            Self::Store(why) => match why {
                StoreError::Damaged(_) | StoreError::Version { .. } => true,
                StoreError::Database(_) | StoreError::Log(_) | StoreError::Closed => false,
            },
        }
    }
}

/// A delivery that is to be sent again.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sequence: u64,
    /// The first sequence of the frame that holds it.
    pub(crate) frame: u64,
    pub(crate) header: ActivationHeader,
    /// Bytes of its event.
    pub(crate) bytes: u32,
}

/// What a piece of the log has for a replay.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// What is to be sent again; nothing in a dry run.
    pub(crate) found: Vec<Found>,
    /// Bytes of its events.
    found_bytes: usize,
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

impl Scanned {
    /// Whether so many were found, or about so many bytes of events. One is found however large it is.
    fn is_full(&self, most: usize, bytes_most: usize) -> bool {
        !self.found.is_empty() && (self.found.len() >= most || self.found_bytes >= bytes_most)
    }
}

/// Reads on for a replay, until `most` deliveries are found, or about `bytes_most` bytes of events, or so many activations
/// are read that it should be told. It goes on at [`Scanned::next`]. Blocking.
///
/// # Errors
/// If the log or the store can't be read. Nothing is lost by calling it again.
pub(crate) fn scan(
    log: &dyn EventLog,
    store: &Store,
    key: Key,
    plan: &Plan,
    job: &ReplayJob,
    (most, bytes_most): (usize, usize),
) -> Result<Scanned, ScanError> {
    // Whether it is too old is for its attempt to say, and changes nothing here.
    let planned = |activation: &Activation| plan.plan(key, activation, job.began_at);
    scan_by(log, store, key, &planned, job, (most, bytes_most))
}

/// The same, with whatever tells what becomes of an activation.
pub(super) fn scan_by(
    log: &dyn EventLog,
    store: &Store,
    key: Key,
    planned: &dyn Fn(&Activation) -> Planned,
    job: &ReplayJob,
    (most, bytes_most): (usize, usize),
) -> Result<Scanned, ScanError> {
    let condition = job.order.condition.as_ref();
    let condition = condition.map(|condition| EventCondition::compile("condition", condition)).transpose();
    let scan = Scan {
        store,
        key,
        job,
        condition: condition.map_err(ScanError::Condition)?,
        targets: Targets::of(store, key, job)?,
        planned,
    };
    let read_most = most.saturating_mul(READ_FOR_EACH).clamp(READ_MAX.0, READ_MAX.1) as u64;
    let mut scanned = Scanned { next: job.next, newest: job.newest, ..Scanned::default() };
    while scanned.next < job.end && !scanned.is_full(most, bytes_most) && scanned.read < read_most {
        scanned.next = scan.at_or_behind(scanned.next)?.map_or(job.end, |next| next.min(job.end));
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
            Targets::NotDelivered { .. } | Targets::Dead { .. } => {
                store.outcomes(key, scanned.next..(last.sequence + 1).min(job.end))?
            }
        };
        for entry in entries {
            let is_enough = scanned.is_full(most, bytes_most) || scanned.read == read_most;
            if entry.sequence >= job.end || is_enough {
                break;
            }
            match scan.take(&mut scanned, entry, &outcomes) {
                Ok(()) => {}
                // What comes before it is sent first.
                Err(ScanError::Log(_)) if scanned.read > 0 => return Ok(scanned),
                Err(why) => return Err(why),
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
    /// Those that were not delivered, and those from before the destination began, which were nobody's business.
    NotDelivered {
        /// Those of which there are dead letters: former versions said nothing else of them.
        dead: Arc<DeadActivations>,
        /// Of what arrived before that day it is not remembered any more how it ended.
        told_from: i64,
    },
    /// Those that were given up, for this reason if one is given, unless they were delivered since.
    Dead {
        /// Those of which there are dead letters.
        letters: Arc<DeadActivations>,
        reason: Option<Reason>,
    },
}

impl Targets {
    fn of(store: &Store, key: Key, job: &ReplayJob) -> Result<Self, StoreError> {
        Ok(match job.order.only {
            ReplayOnly::All => Self::All,
            ReplayOnly::NotDelivered => Self::NotDelivered {
                dead: store.dead_activations(key, job)?,
                told_from: store.outcomes_told_from(job.began_at),
            },
            ReplayOnly::DeadLetters { reason } => {
                Self::Dead { letters: store.dead_activations(key, job)?, reason }
            }
        })
    }
}

/// What is sought.
struct Scan<'a> {
    store: &'a Store,
    key: Key,
    job: &'a ReplayJob,
    condition: Option<EventCondition>,
    targets: Targets,
    planned: &'a dyn Fn(&Activation) -> Planned,
}

impl Scan<'_> {
    /// Where to read on; `None` if there is nothing more.
    fn at_or_behind(&self, next: u64) -> Result<Option<u64>, StoreError> {
        Ok(match &self.targets {
            Targets::All | Targets::NotDelivered { .. } => Some(next),
            Targets::Dead { letters, .. } => {
                let told = self.store.first_ended(self.key, next..self.job.end, Outcome::DeadLetter)?;
                [letters.at_or_behind(next), told].into_iter().flatten().min()
            }
        })
    }

    /// Whether one is sought of which this was said; `None` if that can't be told any more.
    fn is_sought(
        &self,
        sequence: u64,
        header: &ActivationHeader,
        said: Option<Outcome>,
    ) -> Result<Option<bool>, StoreError> {
        Ok(match (&self.targets, said) {
            (Targets::All, _) => Some(true),
            (Targets::NotDelivered { .. }, Some(outcome)) => Some(outcome != Outcome::Delivered),
            (Targets::NotDelivered { dead, told_from }, None) => {
                let is_from_before = header.position <= self.job.reach.starts_after;
                if is_from_before || dead.of(sequence).is_some() {
                    Some(true)
                } else {
                    (header.received_at.day() >= *told_from).then_some(false)
                }
            }
            (Targets::Dead { letters, reason }, Some(Outcome::DeadLetter)) => {
                match (reason, letters.of(sequence)) {
                    (None, _) => Some(true),
                    (Some(_), Some(is_of_it)) => Some(is_of_it),
                    (Some(reason), None) => {
                        let given_up = self.store.given_up(self.key, sequence, &header.message_id)?;
                        let failure = given_up.and_then(|attempt| attempt.failure);
                        failure.map(|failure| failure.reason == *reason)
                    }
                }
            }
            (Targets::Dead { .. }, Some(_)) => Some(false),
            // Of those of former versions nothing is said.
            (Targets::Dead { letters, .. }, None) => Some(letters.of(sequence) == Some(true)),
        })
    }

    /// Takes an activation. If the store fails, the piece is read again as a whole.
    fn take(
        &self,
        scanned: &mut Scanned,
        entry: Entry,
        outcomes: &BTreeMap<u64, Outcome>,
    ) -> Result<(), ScanError> {
        let Entry { sequence, frame, bytes } = entry;
        let activation = Activation::decode(&bytes).map_err(|_| UnreadableActivation::Form(sequence))?;
        scanned.next = sequence + 1;
        scanned.read += 1;
        let place = Some(activation.place());
        let repeats = place <= scanned.newest;
        scanned.newest = scanned.newest.max(place);
        let header = &activation.header;
        let (order, reach) = (&self.job.order, &self.job.reach);
        let is_its = header.workspace == self.key.workspace && !repeats;
        let is_in_time = order.from.is_none_or(|from| header.received_at >= from)
            && order.until.is_none_or(|until| header.received_at < until);
        if !is_its || !is_in_time || !reach.has(sequence, header.position) {
            return Ok(());
        }
        let is_sought = self.is_sought(sequence, header, outcomes.get(&sequence).copied())?;
        if is_sought == Some(false) {
            return Ok(());
        }
        match self.fulfils(&activation) {
            Some(false) => return Ok(()),
            Some(true) if is_sought.is_some() => {}
            Some(true) | None => {
                scanned.not_evaluable += 1;
                return Ok(());
            }
        }
        scanned.matched += 1;
        match (self.planned)(&activation) {
            Planned::LeftOut { outcome, .. } => *scanned.filtered.entry(outcome).or_default() += 1,
            Planned::Payloads { .. } | Planned::Dead(_) if order.dry_run => {}
            Planned::Payloads { .. } | Planned::Dead(_) => {
                let Activation { header, event } = activation;
                let bytes = u32::try_from(event.len()).unwrap_or(u32::MAX);
                scanned.found_bytes += event.len();
                scanned.found.push(Found { sequence, frame, header, bytes });
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
