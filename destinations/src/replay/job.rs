//! What is to be sent again, and how far that is.
//!
//! Stored form: a version byte, then JSON: a condition can't be read from a form that does not name its parts.

use super::Scanned;
use crate::config::Key;
use crate::failure::Reason;
use crate::store::StoreError;
use crate::stored::StoredState;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use tributary_model::condition::Condition;
use tributary_model::outcome::Outcome;
use tributary_model::{Position, Timestamp};

/// What is to be sent again.
#[derive(Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ReplayOrder {
    /// Of events that arrived at that time or later.
    pub from: Option<Timestamp>,
    /// Of events that arrived before that time.
    pub until: Option<Timestamp>,
    /// About events: only those of which it holds.
    pub condition: Option<Condition>,
    /// Only what became of them so.
    pub only: ReplayOnly,
    /// Nothing is sent; it is only counted what would be.
    pub dry_run: bool,
    /// So many deliveries a second at most.
    pub rate_per_second: Option<u32>,
}

/// Shows no condition: it may name somebody.
impl fmt::Debug for ReplayOrder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until, condition, only, dry_run, rate_per_second } = self;
        let has_condition = condition.is_some();
        write!(
            out,
            "ReplayOrder({from:?}..{until:?} {only:?}, condition {has_condition}, dry run {dry_run}, \
             rate {rate_per_second:?})"
        )
    }
}

/// What a replay does with what it finds. Of each kind, one of a destination runs at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ReplayKind {
    /// It is sent again.
    Sends,
    /// It is counted: a dry run.
    Counts,
}

impl ReplayOrder {
    pub(crate) const fn kind(&self) -> ReplayKind {
        if self.dry_run { ReplayKind::Counts } else { ReplayKind::Sends }
    }
}

/// What became the first time of what is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOnly {
    /// Whatever became of it.
    #[default]
    All,
    /// It was not delivered: left out, passed over, given up, or from before the destination began.
    NotDelivered,
    /// It was given up, and has not been delivered since.
    DeadLetters {
        /// Why it was given up; `None` for whatever reason.
        reason: Option<Reason>,
    },
}

impl ReplayOnly {
    /// For which reason it was given up, if that matters.
    pub(crate) const fn reason(self) -> Option<Reason> {
        match self {
            Self::DeadLetters { reason } => reason,
            Self::All | Self::NotDelivered => None,
        }
    }
}

/// How a replay is doing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// It reads, or what it queued has not ended yet.
    Running,
    /// It has read everything, and everything that it queued has ended.
    Done,
    /// Somebody ended it.
    Cancelled,
    /// It could not go on, and why.
    Failed(String),
}

/// A replay of one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// Its number within the destination, from 1.
    pub id: u64,
    /// What is to be sent again.
    pub order: ReplayOrder,
    /// How it is doing.
    pub state: ReplayState,
    /// The sequence of the activations log at which it began.
    pub first: u64,
    /// Up to where it has read.
    pub next: u64,
    /// Where it ends: behind everything that was not still to come to the destination by itself when it began, or before
    /// that.
    pub end: u64,
    /// Activations that were read, those of other workspaces included.
    pub read: u64,
    /// Activations of its range that retention had removed.
    pub expired: u64,
    /// Deliveries that the order names.
    pub matched: u64,
    /// Deliveries of which it could not be told whether the order names them: their activations do not carry what its
    /// condition names, or what became of them is not remembered any more. They are not sent.
    pub not_evaluable: u64,
    /// Of those that the order names: how many the destination leaves out as it is now, and how.
    pub filtered: BTreeMap<Outcome, u64>,
    /// Deliveries that were put into the retry queue. What waited there already was left alone.
    pub queued: u64,
    /// How those have ended.
    pub ended: BTreeMap<Outcome, u64>,
    /// When it was ordered.
    pub began_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// The largest place read: what is not behind it is in the log for the second time.
    pub(crate) newest: Option<(Position, u32)>,
    /// What the destination had come to when it began.
    pub(crate) reach: Reach,
}

/// How far a destination has come: what is not within it comes to it by itself.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Reach {
    /// Everything below it is settled.
    pub(crate) cursor: u64,
    /// What is settled above it, in order: first sequence and length of each run.
    pub(crate) settled: Vec<(u64, u64)>,
    /// Events up to that position never come to it by themselves.
    pub(crate) starts_after: Position,
}

impl Reach {
    /// How far a destination with these books has come.
    pub(crate) fn of(state: StoredState) -> Self {
        let StoredState { cursor, settled, starts_after, .. } = state;
        Self { cursor, settled, starts_after }
    }

    /// Whether an activation of an event of that position is within it.
    pub(crate) fn has(&self, sequence: u64, position: Position) -> bool {
        let run = self.settled.partition_point(|(first, length)| first + length <= sequence);
        sequence < self.cursor
            || position <= self.starts_after
            || self.settled.get(run).is_some_and(|(first, _)| *first <= sequence)
    }

    /// The first sequence behind everything that is settled.
    pub(crate) fn settled_end(&self) -> u64 {
        self.settled.last().map_or(self.cursor, |(first, length)| (first + length).max(self.cursor))
    }
}

/// A replay that has no number yet.
pub(crate) struct NewReplay {
    pub(crate) key: Key,
    pub(crate) order: ReplayOrder,
    pub(crate) first: u64,
    pub(crate) end: u64,
    pub(crate) began_at: Timestamp,
    pub(crate) reach: Reach,
}

impl NewReplay {
    /// The replay with this number, as it begins.
    pub(crate) fn job(self, id: u64) -> ReplayJob {
        let Self { key: _, order, first, end, began_at, reach } = self;
        ReplayJob {
            id,
            order,
            state: ReplayState::Running,
            first,
            next: first,
            end,
            read: 0,
            expired: 0,
            matched: 0,
            not_evaluable: 0,
            filtered: BTreeMap::new(),
            queued: 0,
            ended: BTreeMap::new(),
            began_at,
            ended_at: None,
            newest: None,
            reach,
        }
    }
}

const VERSION: u8 = 1;
const WHAT: &str = "replay";

impl ReplayJob {
    /// Whether it runs.
    pub fn is_running(&self) -> bool {
        self.state == ReplayState::Running
    }

    /// Takes over how far a scan came; what it found is not counted as queued.
    pub(crate) fn take(&mut self, scanned: &Scanned) {
        self.next = scanned.next;
        self.read += scanned.read;
        self.expired += scanned.expired;
        self.matched += scanned.matched;
        self.not_evaluable += scanned.not_evaluable;
        for (outcome, count) in &scanned.filtered {
            *self.filtered.entry(*outcome).or_default() += count;
        }
        self.newest = scanned.newest;
        self.reach.settled.retain(|(first, length)| first + length > scanned.next);
    }

    /// The stored form.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        serde_json::to_writer(&mut bytes, self).expect("plain values can be written");
        bytes
    }

    /// Reads the stored form.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => serde_json::from_slice(rest).map_err(|_| StoreError::Damaged(WHAT)),
            Some((&version, _)) => Err(StoreError::Version { what: WHAT, version }),
            None => Err(StoreError::Damaged(WHAT)),
        }
    }
}
