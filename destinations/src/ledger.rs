//! What becomes of every activation that a destination reads. Pure: the worker hands in what happened, and takes
//! what has to be made durable.
//!
//! Every activation below the low-water cursor is settled: it is not this destination's, its delivery has
//! ended, or its delivery waits in the retry queue. Above the cursor, the settled ones are kept as a set, which
//! the window bounds. So after a crash exactly those that are not settled are read and sent again.
//!
//! `taken` counts the settled deliveries, and at any moment `taken` = those that ended, by outcome, + those that
//! wait. That is part of each commit, so it holds across restarts.

use crate::order::{Arrival, LaneKey, Order};
use crate::store::{Commit, StoreError, letter_size};
use crate::{config::Key, dead_letter::DeadLetter, store::Remembered};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, MessageId, Position, ProfileId, Timestamp};

/// A destination's deliveries since it was created, counted durably: `taken` is the sum of those that ended and
/// those that wait to be tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    /// Deliveries whose first attempt, or whose place in the retry queue, is on record.
    pub taken: u64,
    ended: BTreeMap<Outcome, u64>,
}

impl Totals {
    /// How many deliveries ended so.
    pub fn ended(&self, outcome: Outcome) -> u64 {
        self.ended.get(&outcome).copied().unwrap_or(0)
    }

    /// How many deliveries ended, in whatever way.
    pub fn ended_in_all(&self) -> u64 {
        self.ended.values().sum()
    }

    pub(crate) fn end(&mut self, outcome: Outcome, count: u64) {
        if count > 0 {
            *self.ended.entry(outcome).or_default() += count;
        }
    }
}

/// Up to where the activations log was read, and the largest place until there: what is not behind that place is
/// there for the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    pub(crate) sequence: u64,
    pub(crate) position: Position,
    pub(crate) ordinal: u32,
}

impl Mark {
    pub(crate) fn new(sequence: u64, (position, ordinal): (Position, u32)) -> Self {
        Self { sequence, position, ordinal }
    }

    /// The place of the activation.
    pub(crate) fn place(&self) -> (Position, u32) {
        (self.position, self.ordinal)
    }
}

/// The durable part of a ledger but for its retry queue and its dead letters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredState {
    /// The low-water cursor.
    pub(crate) cursor: u64,
    /// Settled sequences above it: first sequence and length of each run.
    pub(crate) settled: Vec<(u64, u64)>,
    pub(crate) totals: Totals,
    /// The number that the next dead letter gets.
    pub(crate) next_letter: u64,
    /// The position in the events log behind which the destination's events begin.
    pub(crate) starts_after: Position,
    /// The destination was deleted, and every delivery of it has ended.
    pub(crate) ended: bool,
    /// Where a start begins to read: at the cursor or a little before it.
    pub(crate) mark: Option<Mark>,
}

/// The first form of [`StoredState`].
#[derive(Deserialize)]
struct StoredState1 {
    cursor: u64,
    settled: Vec<(u64, u64)>,
    totals: Totals,
    next_letter: u64,
    starts_after: Position,
    ended: bool,
}

impl From<StoredState1> for StoredState {
    fn from(old: StoredState1) -> Self {
        let StoredState1 { cursor, settled, totals, next_letter, starts_after, ended } = old;
        Self { cursor, settled, totals, next_letter, starts_after, ended, mark: None }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// The answer or the error, without personal data or addresses with credentials.
    pub(crate) text: String,
    /// The response's status, if there was one.
    pub(crate) status: Option<u16>,
    /// It looks like an outage of the receiver: no connection, no answer, or 5xx without a wish of when to
    /// come back.
    pub(crate) outage: bool,
}

/// A delivery in the retry queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Waiting {
    /// The first sequence of the frame that holds the activation.
    pub(crate) frame: u64,
    pub(crate) position: Position,
    pub(crate) ordinal: u32,
    pub(crate) message_id: MessageId,
    pub(crate) profile: Option<ProfileId>,
    /// Failed attempts so far; 0 if it only waits behind another of its profile.
    pub(crate) attempts: u32,
    pub(crate) first_attempt: Option<Timestamp>,
    pub(crate) last_attempt: Option<Timestamp>,
    pub(crate) due: Timestamp,
    pub(crate) failure: Option<Failure>,
}

const STATE: &str = "destination's state";
const WAITING: &str = "waiting delivery";

fn encode(version: u8, value: &impl Serialize) -> Vec<u8> {
    postcard::to_extend(value, vec![version]).expect("plain values can be written")
}

fn decode<T: for<'de> Deserialize<'de>>(what: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    postcard::from_bytes(bytes).map_err(|_| StoreError::Damaged(what))
}

impl StoredState {
    /// The state of a destination that has read nothing yet.
    pub(crate) fn new(cursor: u64, starts_after: Position) -> Self {
        Self {
            cursor,
            settled: Vec::new(),
            totals: Totals::default(),
            next_letter: 0,
            starts_after,
            ended: false,
            mark: None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(2, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((1, rest)) => decode::<StoredState1>(STATE, rest).map(Self::from),
            Some((2, rest)) => decode(STATE, rest),
            Some((&version, _)) => Err(StoreError::Version { what: STATE, version }),
            None => Err(StoreError::Damaged(STATE)),
        }
    }

    /// Where a start begins to read.
    pub(crate) fn reads_from(&self) -> u64 {
        self.mark.map_or(self.cursor, |mark| mark.sequence.min(self.cursor))
    }

    /// Whether the activation of that sequence is settled.
    pub(crate) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.cursor
            || self.settled.iter().any(|(first, length)| (*first..first + length).contains(&sequence))
    }
}

impl Waiting {
    /// A delivery that has not been tried, due at once.
    pub(crate) fn untried(frame: u64, activation: &Activation) -> Self {
        let header = &activation.header;
        Self {
            frame,
            position: header.position,
            ordinal: header.ordinal,
            message_id: header.message_id.clone(),
            profile: header.profile,
            attempts: 0,
            first_attempt: None,
            last_attempt: None,
            due: Timestamp::MIN,
            failure: None,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        encode(1, self)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        match bytes.split_first() {
            Some((1, rest)) => decode(WAITING, rest),
            Some((&version, _)) => Err(StoreError::Version { what: WAITING, version }),
            None => Err(StoreError::Damaged(WAITING)),
        }
    }
}

/// A delivery that may go now.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) sequence: u64,
    /// Whether it comes from the retry queue.
    pub(crate) again: bool,
    /// What is known of it; untried ones included.
    pub(crate) waiting: Waiting,
    /// The activation, if it is in memory; else it has to be read from the log.
    pub(crate) activation: Option<Arc<Activation>>,
}

struct Fresh {
    frame: u64,
    activation: Arc<Activation>,
}

/// The number of dead letters that are kept, and their bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LetterLimits {
    pub(crate) count: usize,
    pub(crate) bytes: u64,
}

#[derive(Default)]
struct Changes {
    waiting: BTreeSet<u64>,
    letters: Vec<(u64, Vec<u8>)>,
    letters_dropped: Vec<(u64, u32)>,
    ended: [u64; Outcome::ALL.len()],
    results: usize,
}

/// What a commit makes countable once it is durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settled {
    /// The low-water cursor.
    pub(crate) cursor: u64,
    /// Deliveries that ended, indexed like [`Outcome::ALL`].
    pub(crate) ended: [u64; Outcome::ALL.len()],
    /// Dead letters that made room for newer ones.
    pub(crate) letters_dropped: u64,
}

/// The books of one destination.
pub(crate) struct Ledger {
    key: Key,
    cursor: u64,
    settled: BTreeSet<u64>,
    totals: Totals,
    starts_after: Position,
    mark: Option<Mark>,
    next_letter: u64,
    letters: VecDeque<(u64, u32)>,
    letter_bytes: u64,
    letter_limits: LetterLimits,
    queue: BTreeMap<u64, Waiting>,
    fresh: HashMap<u64, Fresh>,
    fresh_bytes: usize,
    under_way: usize,
    order: Order,
    changes: Changes,
}

impl Ledger {
    pub(crate) fn new(key: Key, remembered: Remembered, letter_limits: LetterLimits) -> Self {
        let state = remembered.state;
        let mut ledger = Self {
            key,
            cursor: state.cursor,
            settled: state.settled.iter().flat_map(|(first, length)| *first..first + length).collect(),
            totals: state.totals,
            starts_after: state.starts_after,
            mark: state.mark,
            next_letter: state.next_letter,
            letter_bytes: remembered.letters.iter().map(|(_, size)| u64::from(*size)).sum(),
            letters: remembered.letters,
            letter_limits,
            queue: BTreeMap::new(),
            fresh: HashMap::new(),
            fresh_bytes: 0,
            under_way: 0,
            order: Order::default(),
            changes: Changes::default(),
        };
        for (sequence, waiting) in remembered.waiting {
            ledger.order.wait(LaneKey::of(sequence, waiting.profile), sequence, waiting.due);
            ledger.queue.insert(sequence, waiting);
        }
        ledger
    }

    /// Everything below it is settled.
    pub(crate) fn cursor(&self) -> u64 {
        self.cursor
    }

    /// Up to where the log was read at some time not after the cursor.
    pub(crate) fn mark(&self) -> Option<Mark> {
        self.mark
    }

    /// The log was read up to there; everything before it is settled.
    pub(crate) fn set_mark(&mut self, mark: Mark) {
        debug_assert!(mark.sequence <= self.cursor, "a start reads what is not settled");
        self.mark = Some(mark);
    }

    pub(crate) fn totals(&self) -> &Totals {
        &self.totals
    }

    /// The retry queue, in the order of the activations log.
    pub(crate) fn queue(&self) -> &BTreeMap<u64, Waiting> {
        &self.queue
    }

    /// Deliveries that were handed out and have not come back.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way
    }

    /// Deliveries that are not settled.
    pub(crate) fn fresh_len(&self) -> usize {
        self.fresh.len()
    }

    /// Bytes of events held by those.
    pub(crate) fn fresh_bytes(&self) -> usize {
        self.fresh_bytes
    }

    pub(crate) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.cursor || self.settled.contains(&sequence)
    }

    /// An activation was read that is no delivery.
    pub(crate) fn pass(&mut self, sequence: u64) {
        self.settle(sequence);
    }

    /// An activation was read whose delivery ends without an attempt.
    pub(crate) fn end_unread(&mut self, sequence: u64, outcome: Outcome) {
        if !self.is_settled(sequence) {
            self.totals.taken += 1;
            self.count(outcome);
            self.settle(sequence);
        }
    }

    /// The activations log keeps nothing before `first` any more: what was not settled there has expired, and the
    /// cursor moves on. Only while no delivery is unsettled. Returns how many expired.
    pub(crate) fn lose(&mut self, first: u64) -> u64 {
        debug_assert!(self.fresh.is_empty(), "what has been read is not lost");
        let above = self.settled.split_off(&first);
        let known = std::mem::replace(&mut self.settled, above).len() as u64;
        let lost = first.saturating_sub(self.cursor).saturating_sub(known);
        self.totals.taken += lost;
        self.totals.end(Outcome::Expired, lost);
        self.changes.ended[Outcome::Expired as usize] += lost;
        self.changes.results += 1;
        self.cursor = self.cursor.max(first);
        self.advance();
        lost
    }

    /// A delivery was read. It goes when those of its profile before it have ended.
    pub(crate) fn admit(&mut self, sequence: u64, frame: u64, activation: Activation) {
        let lane = LaneKey::of(sequence, activation.header.profile);
        self.fresh_bytes += activation.event.len();
        self.fresh.insert(sequence, Fresh { frame, activation: Arc::new(activation) });
        if self.order.arrive(lane, sequence) == Arrival::Behind {
            self.queue_behind(lane, sequence);
        }
    }

    /// The next deliveries not tried before, for one request: about so many bytes of events at most.
    pub(crate) fn next_fresh(&mut self, most: usize, bytes_most: usize) -> Vec<Job> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < most && bytes < bytes_most {
            let Some((lane, first)) = self.order.take_ready() else { break };
            let mut next = Some(first);
            while let Some(sequence) = next {
                let job = self.fresh_job(sequence);
                bytes += job.activation.as_ref().map_or(0, |activation| activation.event.len());
                jobs.push(job);
                let is_full = jobs.len() >= most || bytes >= bytes_most;
                next = if is_full { None } else { self.order.take_behind(lane) };
            }
        }
        jobs
    }

    fn fresh_job(&mut self, sequence: u64) -> Job {
        let fresh = self.fresh.get(&sequence).expect("what is ready has been admitted and not settled");
        self.under_way += 1;
        let waiting = Waiting::untried(fresh.frame, &fresh.activation);
        Job { sequence, again: false, waiting, activation: Some(Arc::clone(&fresh.activation)) }
    }

    /// Whether there are so many not tried before that may go in one request.
    pub(crate) fn fills(&self, most: usize) -> bool {
        self.order.fills(most)
    }

    /// Whether there is one not tried before that may go.
    pub(crate) fn has_fresh(&self) -> bool {
        self.order.has_ready()
    }

    /// The next waiting delivery that is due.
    pub(crate) fn next_due(&mut self, now: Timestamp) -> Option<Job> {
        let queue = &self.queue;
        let sequence = self.order.take_due(now, |sequence| lane_of(queue, sequence))?;
        self.under_way += 1;
        let waiting = self.queue.get(&sequence).expect("what is due is in the queue").clone();
        Some(Job { sequence, again: true, waiting, activation: None })
    }

    /// When the next waiting delivery is due.
    pub(crate) fn next_due_at(&self) -> Option<Timestamp> {
        self.order.next_due()
    }

    /// A delivery that was under way has ended.
    pub(crate) fn ended(&mut self, sequence: u64, outcome: Outcome) {
        self.under_way -= 1;
        let profile = match self.queue.remove(&sequence) {
            Some(waiting) => {
                self.changes.waiting.insert(sequence);
                waiting.profile
            }
            None => self.take_fresh(sequence).and_then(|fresh| fresh.activation.header.profile),
        };
        self.count(outcome);
        self.order.ended(LaneKey::of(sequence, profile), sequence);
    }

    /// A delivery that was under way has failed, and waits.
    pub(crate) fn failed(&mut self, sequence: u64, waiting: Waiting) {
        self.under_way -= 1;
        self.take_fresh(sequence);
        let lane = LaneKey::of(sequence, waiting.profile);
        let behind = self.order.failed(lane, sequence, waiting.due);
        self.put_waiting(sequence, waiting);
        for held in behind {
            self.queue_behind(lane, held);
        }
    }

    /// Ends waiting deliveries of which `which` is true, without an attempt. Only while none is under way.
    pub(crate) fn end_waiting(&mut self, which: impl Fn(&Waiting) -> bool, outcome: Outcome) {
        debug_assert!(self.under_way == 0, "what is under way ends by its result");
        let ends = self.queue.iter().filter(|(_, waiting)| which(waiting));
        for sequence in ends.map(|(sequence, _)| *sequence).collect::<Vec<_>>() {
            self.under_way += 1;
            self.ended(sequence, outcome);
        }
    }

    /// Makes waiting deliveries that failed by an outage due earlier: `earlier` gives the new time of each one
    /// that is due later than `after`. In memory only; a restart takes up the former times.
    pub(crate) fn hasten(&mut self, after: Timestamp, mut earlier: impl FnMut() -> Timestamp) {
        let queue = &self.queue;
        self.order.hasten(
            after,
            |sequence| lane_of(queue, sequence),
            |sequence| {
                let failure = queue.get(&sequence).and_then(|waiting| waiting.failure.as_ref());
                failure.is_some_and(|failure| failure.outage).then(&mut earlier)
            },
        );
    }

    /// Sets a dead letter aside. The oldest ones go if there are too many.
    pub(crate) fn bury(&mut self, letter: &DeadLetter) {
        let bytes = letter.encode();
        let size = letter_size(&bytes);
        self.letters.push_back((self.next_letter, size));
        self.letter_bytes += u64::from(size);
        self.changes.letters.push((self.next_letter, bytes));
        self.next_letter += 1;
        while self.letters.len() > 1
            && (self.letters.len() > self.letter_limits.count || self.letter_bytes > self.letter_limits.bytes)
        {
            let Some((number, size)) = self.letters.pop_front() else { break };
            self.letter_bytes -= u64::from(size);
            self.changes.letters.retain(|(new, _)| *new != number);
            self.changes.letters_dropped.push((number, size));
        }
    }

    /// How many results wait to be made durable.
    pub(crate) fn uncommitted(&self) -> usize {
        self.changes.results
    }

    /// Takes what has to become durable, as a whole: it is consistent with the cursor in it.
    pub(crate) fn take_commit(&mut self) -> (Commit, Settled) {
        let changes = std::mem::take(&mut self.changes);
        let settled = Settled {
            cursor: self.cursor,
            ended: changes.ended,
            letters_dropped: changes.letters_dropped.len() as u64,
        };
        let waiting = changes.waiting.iter().map(|sequence| (*sequence, self.queue.get(sequence).cloned()));
        let commit = Commit {
            key: self.key,
            state: self.state(),
            waiting: waiting.collect(),
            letters: changes.letters,
            letters_dropped: changes.letters_dropped,
        };
        (commit, settled)
    }

    fn state(&self) -> StoredState {
        let mut runs: Vec<(u64, u64)> = Vec::new();
        for sequence in &self.settled {
            match runs.last_mut() {
                Some((first, length)) if *first + *length == *sequence => *length += 1,
                Some(_) | None => runs.push((*sequence, 1)),
            }
        }
        StoredState {
            cursor: self.cursor,
            settled: runs,
            totals: self.totals.clone(),
            next_letter: self.next_letter,
            starts_after: self.starts_after,
            ended: false,
            mark: self.mark,
        }
    }

    fn count(&mut self, outcome: Outcome) {
        self.totals.end(outcome, 1);
        self.changes.ended[outcome as usize] += 1;
        self.changes.results += 1;
    }

    fn settle(&mut self, sequence: u64) {
        if sequence != self.cursor {
            self.settled.insert(sequence);
            return;
        }
        self.cursor += 1;
        self.advance();
    }

    fn advance(&mut self) {
        while self.settled.remove(&self.cursor) {
            self.cursor += 1;
        }
    }

    /// Settles a delivery that was read, for it ended or joins the queue.
    fn take_fresh(&mut self, sequence: u64) -> Option<Fresh> {
        let fresh = self.fresh.remove(&sequence)?;
        self.fresh_bytes -= fresh.activation.event.len();
        self.totals.taken += 1;
        self.settle(sequence);
        Some(fresh)
    }

    fn queue_behind(&mut self, lane: LaneKey, sequence: u64) {
        let Some(fresh) = self.take_fresh(sequence) else { return };
        let waiting = Waiting::untried(fresh.frame, &fresh.activation);
        self.order.wait(lane, sequence, waiting.due);
        self.put_waiting(sequence, waiting);
    }

    fn put_waiting(&mut self, sequence: u64, waiting: Waiting) {
        self.queue.insert(sequence, waiting);
        self.changes.waiting.insert(sequence);
        self.changes.results += 1;
    }
}

fn lane_of(queue: &BTreeMap<u64, Waiting>, sequence: u64) -> LaneKey {
    LaneKey::of(sequence, queue.get(&sequence).and_then(|waiting| waiting.profile))
}

#[cfg(test)]
mod tests;
