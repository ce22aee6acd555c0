//! What becomes of every activation that a destination reads. Pure: the worker hands in what happened, and takes
//! what has to be made durable.
//!
//! Every activation below the low-water cursor is settled: it is not this destination's, its delivery has
//! ended, or its delivery waits in the retry queue. Above the cursor, the settled ones are kept as a set, which
//! the window bounds. So after a crash exactly those that are not settled are read and sent again.
//!
//! `taken` counts the settled deliveries, and at any moment `taken` = those that ended, by outcome, + those that
//! wait. That is part of each commit, so it holds across restarts. Deliveries that a replay sends again wait in the same
//! queue, and are counted apart in the same way.

mod committing;
mod parts;
mod replayed;

pub(crate) use parts::{Job, LetterLimits, Mapped, Settled};

use crate::config::Key;
use crate::counts::{Counts, counts_as_mapped};
use crate::dead_letter::DeadLetter;
use crate::definition::{BatchAmong, OrderSpec};
use crate::order::{Arrival, LaneKey, Order};
use crate::records::{AttemptRecord, Ending, ExchangeRecord};
use crate::replay::ReplayJob;
use crate::store::{Remembered, letter_size};
use crate::stored::{Mark, StoredPause, Totals, Waiting};
use replayed::ByReplay;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use tributary_model::outcome::Outcome;
use tributary_model::{Activation, Position, ProfileId, Timestamp};

struct Fresh {
    frame: u64,
    activation: Arc<Activation>,
    /// `None` once the configuration has changed: then it is made again when its turn comes.
    mapped: Option<Arc<Mapped>>,
    bytes: usize,
    /// It has not been handed out.
    is_ready: bool,
}

#[derive(Default)]
struct Changes {
    waiting: BTreeSet<u64>,
    letters: Vec<(u64, Vec<u8>)>,
    letters_dropped: Vec<(u64, u32)>,
    attempts: Vec<AttemptRecord>,
    exchanges: Vec<(u64, ExchangeRecord)>,
    endings: Vec<Ending>,
    counts: Counts,
    replays: BTreeMap<u64, ReplayJob>,
    ended: [u64; Outcome::ALL.len()],
    results: usize,
}

/// The books of one destination.
pub(crate) struct Ledger {
    key: Key,
    lanes: OrderSpec,
    cursor: u64,
    settled: BTreeSet<u64>,
    totals: Totals,
    replayed: Totals,
    starts_after: Position,
    mark: Option<Mark>,
    paused: Option<StoredPause>,
    next_letter: u64,
    letters: VecDeque<(u64, u32)>,
    letter_bytes: u64,
    letter_limits: LetterLimits,
    queue: BTreeMap<u64, Waiting>,
    queue_bytes: u64,
    by_replay: ByReplay,
    fresh: HashMap<u64, Fresh>,
    fresh_bytes: usize,
    /// Bytes of those that have not been handed out.
    ready_bytes: usize,
    /// When the events arrived that are not settled or wait.
    arrivals: BTreeSet<(Timestamp, u64)>,
    under_way: usize,
    order: Order,
    /// What ends now was not attempted: what is known of a replay's delivery stays as it is.
    untold: bool,
    /// How deliveries of replays have ended, by replay, since that was last asked.
    replay_ended: BTreeMap<u64, BTreeMap<Outcome, u64>>,
    changes: Changes,
}

impl Ledger {
    pub(crate) fn new(
        key: Key,
        lanes: OrderSpec,
        remembered: Remembered,
        letter_limits: LetterLimits,
    ) -> Self {
        let state = remembered.state;
        let mut ledger = Self {
            key,
            lanes,
            cursor: state.cursor,
            settled: state.settled.iter().flat_map(|(first, length)| *first..first + length).collect(),
            totals: state.totals,
            replayed: state.replayed,
            starts_after: state.starts_after,
            mark: state.mark,
            paused: state.paused,
            next_letter: state.next_letter,
            letter_bytes: remembered.letters.iter().map(|(_, size)| u64::from(*size)).sum(),
            letters: remembered.letters,
            letter_limits,
            queue: BTreeMap::new(),
            queue_bytes: 0,
            by_replay: ByReplay::default(),
            fresh: HashMap::new(),
            fresh_bytes: 0,
            ready_bytes: 0,
            arrivals: BTreeSet::new(),
            under_way: 0,
            order: Order::default(),
            untold: false,
            replay_ended: BTreeMap::new(),
            changes: Changes::default(),
        };
        for (sequence, waiting) in remembered.waiting {
            ledger.order.wait(ledger.lane(sequence, waiting.profile), sequence, waiting.due);
            ledger.queue_bytes += u64::from(waiting.bytes);
            ledger.by_replay.add(&waiting);
            ledger.arrivals.insert((waiting.received_at, sequence));
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

    /// Deliveries that replays sent again.
    pub(crate) fn replayed(&self) -> &Totals {
        &self.replayed
    }

    /// The retry queue, in the order of the activations log.
    pub(crate) fn queue(&self) -> &BTreeMap<u64, Waiting> {
        &self.queue
    }

    /// Bytes of events in the retry queue.
    pub(crate) fn queue_bytes(&self) -> u64 {
        self.queue_bytes
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

    /// Bytes of those that have not been handed out.
    pub(crate) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    /// Whether there is something that is not settled, or waits.
    pub(crate) fn has_pending(&self) -> bool {
        !self.arrivals.is_empty()
    }

    /// When the oldest event arrived of those that are not settled or wait.
    pub(crate) fn oldest_pending(&self) -> Option<Timestamp> {
        self.arrivals.first().map(|(at, _)| *at)
    }

    /// The configuration has changed: what was made of deliveries that have not been handed out no longer counts.
    pub(crate) fn map_again(&mut self) {
        for fresh in self.fresh.values_mut().filter(|fresh| fresh.is_ready) {
            fresh.mapped = None;
        }
    }

    pub(crate) fn is_settled(&self, sequence: u64) -> bool {
        sequence < self.cursor || self.settled.contains(&sequence)
    }

    /// Why nothing is sent at present.
    pub(crate) fn paused(&self) -> Option<&StoredPause> {
        self.paused.as_ref()
    }

    /// Nothing is sent from now on.
    pub(crate) fn pause(&mut self, pause: StoredPause) {
        self.paused = Some(pause);
        self.changes.results += 1;
    }

    /// Sending goes on. The time of the pause counts for no delivery that waited through it.
    pub(crate) fn resume(&mut self, now: Timestamp) {
        let Some(pause) = self.paused.take() else { return };
        for (sequence, waiting) in &mut self.queue {
            let Some(first) = waiting.first_attempt else { continue };
            let paused = now.micros_since(pause.since.max(first)).max(0);
            waiting.paused_micros = waiting.paused_micros.saturating_add(paused);
            self.changes.waiting.insert(*sequence);
        }
        self.changes.results += 1;
    }

    /// An activation was read that is no delivery.
    pub(crate) fn pass(&mut self, sequence: u64) {
        self.settle(sequence);
    }

    /// An activation was read whose delivery ends without an attempt.
    pub(crate) fn end_unread(&mut self, sequence: u64, outcome: Outcome, now: Timestamp) {
        if !self.is_settled(sequence) {
            self.totals.taken += 1;
            self.changes.counts.received(now, 1);
            self.changes.counts.mapped(now, u64::from(counts_as_mapped(outcome)));
            self.count(sequence, outcome, None, now);
            self.settle(sequence);
        }
    }

    /// The activations log keeps nothing before `first` any more: what was not settled there has expired, and the
    /// cursor moves on. Only while no delivery is unsettled. Returns how many expired.
    pub(crate) fn lose(&mut self, first: u64, now: Timestamp) -> u64 {
        debug_assert!(self.fresh.is_empty(), "what has been read is not lost");
        let above = self.settled.split_off(&first);
        let known = std::mem::replace(&mut self.settled, above).len() as u64;
        let lost = first.saturating_sub(self.cursor).saturating_sub(known);
        self.totals.taken += lost;
        self.totals.end(Outcome::Expired, lost);
        self.changes.ended[Outcome::Expired as usize] += lost;
        self.changes.counts.received(now, lost);
        self.changes.counts.ended(now, Outcome::Expired, lost);
        self.changes.results += 1;
        self.cursor = self.cursor.max(first);
        self.advance();
        lost
    }

    /// A delivery was read. It goes when those of its profile before it have ended.
    pub(crate) fn admit(
        &mut self,
        sequence: u64,
        frame: u64,
        activation: Activation,
        mapped: Mapped,
        now: Timestamp,
    ) {
        let lane = self.lane(sequence, activation.header.profile);
        let bytes = activation.event.len() + mapped.bytes();
        let (activation, mapped) = (Arc::new(activation), Some(Arc::new(mapped)));
        self.fresh_bytes += bytes;
        self.ready_bytes += bytes;
        self.arrivals.insert((activation.header.received_at, sequence));
        self.fresh.insert(sequence, Fresh { frame, activation, mapped, bytes, is_ready: true });
        if self.order.arrive(lane, sequence) == Arrival::Behind {
            self.queue_behind(lane, sequence, now);
        }
    }

    /// The next deliveries not tried before, for one request: about so many bytes of events at most.
    pub(crate) fn next_fresh(&mut self, most: usize, bytes_most: usize, among: BatchAmong) -> Vec<Job> {
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
            if among == BatchAmong::Profile && self.lanes == OrderSpec::Profile {
                break;
            }
        }
        jobs
    }

    fn fresh_job(&mut self, sequence: u64) -> Job {
        let fresh = self.fresh.get_mut(&sequence).expect("what is ready has been admitted and not settled");
        self.under_way += 1;
        if std::mem::take(&mut fresh.is_ready) {
            self.ready_bytes -= fresh.bytes;
        }
        let waiting = Waiting::untried(fresh.frame, &fresh.activation);
        let (activation, mapped) = (Arc::clone(&fresh.activation), fresh.mapped.clone());
        Job { sequence, again: false, waiting, activation: Some(activation), mapped }
    }

    /// Whether there are so many not tried before that may go in one request.
    pub(crate) fn fills(&self, most: usize) -> bool {
        self.order.fills(most)
    }

    /// Whether there is one not tried before that may go.
    pub(crate) fn has_fresh(&self) -> bool {
        self.order.has_ready()
    }

    /// The next waiting deliveries that are due, for one request. One that goes alone comes alone.
    pub(crate) fn next_due(&mut self, now: Timestamp, most: usize, bytes_most: usize) -> Vec<Job> {
        let (mut jobs, mut bytes) = (Vec::new(), 0);
        while jobs.len() < most && bytes < bytes_most {
            let Some(sequence) = self.order.due(now) else { break };
            let waiting = self.queue.get(&sequence).expect("what is due is in the queue").clone();
            if waiting.alone && !jobs.is_empty() {
                break;
            }
            let lane = self.lane(sequence, waiting.profile);
            self.order.take(lane);
            let is_alone = waiting.alone;
            let mut next = Some((sequence, waiting));
            while let Some((sequence, waiting)) = next {
                bytes += waiting.bytes as usize;
                let is_full = jobs.len() + 1 >= most || bytes >= bytes_most;
                next = if is_full { None } else { self.take_behind(lane, &waiting, now) };
                jobs.push(self.hand_out(sequence, waiting));
            }
            if is_alone {
                break;
            }
        }
        jobs
    }

    /// When the next waiting delivery is due.
    pub(crate) fn next_due_at(&self) -> Option<Timestamp> {
        self.order.next_due()
    }

    /// A delivery that was under way has ended.
    pub(crate) fn ended(&mut self, sequence: u64, outcome: Outcome, now: Timestamp) {
        self.under_way -= 1;
        let (profile, replay) = match self.queue.remove(&sequence) {
            Some(waiting) => {
                self.changes.waiting.insert(sequence);
                self.queue_bytes -= u64::from(waiting.bytes);
                self.by_replay.come_back(&waiting);
                self.by_replay.remove(&waiting);
                self.arrivals.remove(&(waiting.received_at, sequence));
                (waiting.profile, waiting.replay)
            }
            None => {
                let fresh = self.take_fresh(sequence, now);
                if let Some(fresh) = &fresh {
                    self.arrivals.remove(&(fresh.activation.header.received_at, sequence));
                }
                (fresh.and_then(|fresh| fresh.activation.header.profile), None)
            }
        };
        if replay.is_none() && !counts_as_mapped(outcome) {
            self.changes.counts.unmapped(now);
        }
        self.count(sequence, outcome, replay, now);
        self.order.ended(self.lane(sequence, profile), sequence);
    }

    /// A delivery that was under way has failed, or could not be tried, and waits.
    pub(crate) fn failed(&mut self, sequence: u64, waiting: Waiting, now: Timestamp) {
        self.under_way -= 1;
        self.by_replay.come_back(&waiting);
        self.take_fresh(sequence, now);
        let lane = self.lane(sequence, waiting.profile);
        let behind = self.order.failed(lane, sequence, waiting.due);
        self.put_waiting(sequence, waiting);
        for held in behind {
            self.queue_behind(lane, held, now);
        }
    }

    /// A delivery from before is to be sent again by a replay. False if it waits already: then nothing is changed.
    pub(crate) fn send_again(&mut self, sequence: u64, waiting: Waiting, now: Timestamp) -> bool {
        if self.queue.contains_key(&sequence) || self.fresh.contains_key(&sequence) {
            return false;
        }
        self.replayed.taken += 1;
        let lane = self.lane(sequence, waiting.profile);
        let behind = self.order.wait_again(lane, sequence, waiting.due);
        self.put_waiting(sequence, waiting);
        for held in behind {
            self.queue_behind(lane, held, now);
        }
        true
    }

    /// Ends waiting deliveries of which `which` is true, without an attempt. Those under way end by their results.
    pub(crate) fn end_waiting(&mut self, which: impl Fn(&Waiting) -> bool, outcome: Outcome, now: Timestamp) {
        let ends = self.queue.iter().filter(|(_, waiting)| which(waiting));
        let ends: Vec<_> = ends.map(|(sequence, waiting)| (*sequence, waiting.clone())).collect();
        for (sequence, waiting) in ends {
            let lane = self.lane(sequence, waiting.profile);
            if !self.order.is_taken(lane, sequence) {
                self.under_way += 1;
                self.by_replay.begin(&waiting);
                self.order.claim(lane);
                self.untold = true;
                self.ended(sequence, outcome, now);
                self.untold = false;
            }
        }
    }

    /// Makes waiting deliveries that failed by an outage due earlier: `earlier` gives the new time of each one
    /// that is due later than `after`. In memory only; a restart takes up the former times.
    pub(crate) fn hasten(&mut self, after: Timestamp, mut earlier: impl FnMut() -> Timestamp) {
        let (queue, lanes) = (&self.queue, self.lanes);
        self.order.hasten(
            after,
            |sequence| lane(lanes, sequence, queue.get(&sequence).and_then(|waiting| waiting.profile)),
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
        if letter.replay.is_none() {
            self.changes.counts.dead(letter.given_up_at, letter.reason_code);
        }
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

    /// Remembers an attempt.
    pub(crate) fn remember(&mut self, attempt: AttemptRecord) {
        self.changes.attempts.push(attempt);
    }

    /// Remembers what was sent and what came back.
    pub(crate) fn remember_exchange(&mut self, number: u64, exchange: ExchangeRecord) {
        self.changes.exchanges.push((number, exchange));
    }

    /// What is counted by the minute.
    pub(crate) fn counts(&mut self) -> &mut Counts {
        &mut self.changes.counts
    }

    /// How far a replay is, to be made durable with what it queued.
    pub(crate) fn set_replay(&mut self, job: ReplayJob) {
        self.changes.replays.insert(job.id, job);
        self.changes.results += 1;
    }

    /// How deliveries of a replay have ended since this was last asked.
    pub(crate) fn take_replay_ended(&mut self, replay: u64) -> BTreeMap<Outcome, u64> {
        self.replay_ended.remove(&replay).unwrap_or_default()
    }

    /// How many results wait to be made durable.
    pub(crate) fn uncommitted(&self) -> usize {
        self.changes.results
    }

    fn count(&mut self, activation: u64, outcome: Outcome, replay: Option<u64>, now: Timestamp) {
        match replay {
            Some(replay) => {
                self.replayed.end(outcome, 1);
                self.changes.counts.replayed(now, outcome, 1);
                *self.replay_ended.entry(replay).or_default().entry(outcome).or_default() += 1;
            }
            None => {
                self.totals.end(outcome, 1);
                self.changes.ended[outcome as usize] += 1;
                self.changes.counts.ended(now, outcome, 1);
            }
        }
        // What nothing is said of was delivered, unless something was said of it before.
        let is_told = if replay.is_some() { !self.untold } else { outcome != Outcome::Delivered };
        if is_told {
            self.changes.endings.push(Ending { activation, outcome });
        }
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
    fn take_fresh(&mut self, sequence: u64, now: Timestamp) -> Option<Fresh> {
        let fresh = self.fresh.remove(&sequence)?;
        self.fresh_bytes -= fresh.bytes;
        if fresh.is_ready {
            self.ready_bytes -= fresh.bytes;
        }
        self.totals.taken += 1;
        self.changes.counts.received(now, 1);
        self.changes.counts.mapped(now, 1);
        self.settle(sequence);
        Some(fresh)
    }

    fn queue_behind(&mut self, lane: LaneKey, sequence: u64, now: Timestamp) {
        let Some(fresh) = self.take_fresh(sequence, now) else { return };
        let waiting = Waiting::untried(fresh.frame, &fresh.activation);
        self.order.wait(lane, sequence, waiting.due);
        self.put_waiting(sequence, waiting);
    }

    fn put_waiting(&mut self, sequence: u64, waiting: Waiting) {
        self.queue_bytes += u64::from(waiting.bytes);
        self.by_replay.add(&waiting);
        self.arrivals.insert((waiting.received_at, sequence));
        if let Some(before) = self.queue.insert(sequence, waiting) {
            self.queue_bytes -= u64::from(before.bytes);
            self.by_replay.remove(&before);
        }
        self.changes.waiting.insert(sequence);
        self.changes.results += 1;
    }

    fn lane(&self, sequence: u64, profile: Option<ProfileId>) -> LaneKey {
        lane(self.lanes, sequence, profile)
    }
}

fn lane(lanes: OrderSpec, sequence: u64, profile: Option<ProfileId>) -> LaneKey {
    match lanes {
        OrderSpec::Profile => LaneKey::of(sequence, profile),
        OrderSpec::None => LaneKey::Alone(sequence),
    }
}

#[cfg(test)]
mod tests;
