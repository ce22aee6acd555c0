//! Which delivery may go next. Pure.
//!
//! Deliveries of one profile form a lane, and go in the order of their activations: one after the other, or several in
//! one request, which carries them in order. While one waits to be tried again, those behind it wait too; other lanes
//! go on. A delivery without a profile has a lane of its own.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;
use tributary_model::{ProfileId, Timestamp};

/// What has to go in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum LaneKey {
    /// The deliveries of one profile.
    Profile(ProfileId),
    /// One delivery without a profile, by the sequence of its activation.
    Alone(u64),
}

impl LaneKey {
    pub(crate) fn of(sequence: u64, profile: Option<ProfileId>) -> Self {
        profile.map_or(Self::Alone(sequence), Self::Profile)
    }
}

/// What became of a delivery that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is in its lane, and goes when those before it have ended.
    InLine,
    /// One before it waits to be tried again: it has to join the queue behind that one.
    Behind,
}

#[derive(Debug, Default)]
struct Lane {
    /// So many of it are under way, or listed as ready.
    busy: usize,
    /// Its part of the retry queue, with the times when they are due.
    waiting: BTreeMap<u64, Timestamp>,
    /// Its entry in `Order::due`.
    listed: Option<(Timestamp, u64)>,
    /// Those of `waiting` that are under way.
    taken: BTreeSet<u64>,
    /// Those not tried yet. Empty while `waiting` is not.
    held: VecDeque<u64>,
}

/// The lanes of one destination, and who of them may go.
#[derive(Debug, Default)]
pub(crate) struct Order {
    lanes: HashMap<LaneKey, Lane>,
    ready: VecDeque<(LaneKey, u64)>,
    due: BTreeSet<(Timestamp, u64)>,
}

impl Order {
    /// A delivery was read. The caller answers [`Arrival::Behind`] with [`Order::wait`].
    pub(crate) fn arrive(&mut self, key: LaneKey, sequence: u64) -> Arrival {
        let lane = self.lanes.entry(key).or_default();
        if !lane.waiting.is_empty() {
            return Arrival::Behind;
        }
        lane.held.push_back(sequence);
        self.settle(key);
        Arrival::InLine
    }

    /// A delivery is in the retry queue, due at that time.
    pub(crate) fn wait(&mut self, key: LaneKey, sequence: u64, due: Timestamp) {
        self.lanes.entry(key).or_default().waiting.insert(sequence, due);
        self.settle(key);
    }

    /// Takes the next one not tried before. Its lane is busy until [`Order::ended`] or [`Order::failed`].
    pub(crate) fn take_ready(&mut self) -> Option<(LaneKey, u64)> {
        self.ready.pop_front()
    }

    /// Takes the one of that lane behind the one that was just taken, for the same request.
    pub(crate) fn take_behind(&mut self, key: LaneKey) -> Option<u64> {
        let lane = self.lanes.get_mut(&key)?;
        let sequence = lane.held.pop_front()?;
        lane.busy += 1;
        Some(sequence)
    }

    /// Whether so many not tried before may go in one request.
    pub(crate) fn fills(&self, most: usize) -> bool {
        let mut found = 0;
        for (key, _) in &self.ready {
            if found >= most {
                break;
            }
            found += 1 + self.lanes.get(key).map_or(0, |lane| lane.held.len());
        }
        found >= most
    }

    /// Whether one not tried before may go.
    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// A delivery from before is in the retry queue once more, due at that time. Returns those of its lane that have not
    /// been tried, in order; the caller puts each into the queue with [`Order::wait`].
    pub(crate) fn wait_again(&mut self, key: LaneKey, sequence: u64, due: Timestamp) -> VecDeque<u64> {
        let lane = self.lanes.entry(key).or_default();
        lane.waiting.insert(sequence, due);
        let held = std::mem::take(&mut lane.held);
        self.settle(key);
        held
    }

    /// The waiting one that has been due for longest.
    pub(crate) fn due(&self, now: Timestamp) -> Option<u64> {
        let (at, sequence) = *self.due.first()?;
        (at <= now).then_some(sequence)
    }

    /// Takes the waiting one that is the next of its lane. The lane is busy until [`Order::ended`] or [`Order::failed`].
    pub(crate) fn take(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && let Some(listed) = lane.listed.take()
        {
            self.due.remove(&listed);
            lane.busy += 1;
            lane.taken.insert(listed.1);
        }
    }

    /// The waiting one of that lane behind those that were taken, if it is due.
    pub(crate) fn due_behind(&self, key: LaneKey, now: Timestamp) -> Option<u64> {
        let lane = self.lanes.get(&key)?;
        let behind = (Bound::Excluded(*lane.taken.last()?), Bound::Unbounded);
        let (sequence, due) = lane.waiting.range(behind).next()?;
        (*due <= now).then_some(*sequence)
    }

    /// Takes the one that [`Order::due_behind`] named, for the same request.
    pub(crate) fn take_due_behind(&mut self, key: LaneKey, sequence: u64) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy += 1;
            lane.taken.insert(sequence);
        }
    }

    /// Whether a waiting one is under way.
    pub(crate) fn is_taken(&self, key: LaneKey, sequence: u64) -> bool {
        self.lanes.get(&key).is_some_and(|lane| lane.taken.contains(&sequence))
    }

    /// Takes a waiting one that is not under way out of its turn, to be ended with [`Order::ended`].
    pub(crate) fn claim(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy += 1;
        }
    }

    /// When the next waiting one is due.
    pub(crate) fn next_due(&self) -> Option<Timestamp> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A delivery that was taken has ended.
    pub(crate) fn ended(&mut self, key: LaneKey, sequence: u64) {
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.busy = lane.busy.saturating_sub(1);
            lane.waiting.remove(&sequence);
            lane.taken.remove(&sequence);
        }
        self.settle(key);
    }

    /// A delivery that was taken has failed and is due again at that time. Returns those of its lane that have
    /// to join the queue behind it, in order; the caller puts each there with [`Order::wait`].
    pub(crate) fn failed(&mut self, key: LaneKey, sequence: u64, due: Timestamp) -> VecDeque<u64> {
        let lane = self.lanes.entry(key).or_default();
        lane.busy = lane.busy.saturating_sub(1);
        lane.waiting.insert(sequence, due);
        lane.taken.remove(&sequence);
        let held = std::mem::take(&mut lane.held);
        self.settle(key);
        held
    }

    /// Makes waiting ones due earlier: `earlier` is asked for each that is due later than `after`, and not
    /// under way, and answers with the new time or nothing.
    pub(crate) fn hasten(
        &mut self,
        after: Timestamp,
        lane_of: impl Fn(u64) -> LaneKey,
        mut earlier: impl FnMut(u64) -> Option<Timestamp>,
    ) {
        let later: Vec<_> = self.due.range((after, u64::MAX)..).copied().collect();
        for (_, sequence) in later {
            if let Some(due) = earlier(sequence) {
                self.wait(lane_of(sequence), sequence, due);
            }
        }
    }

    /// Lists a lane's next one where it belongs, or drops an empty lane.
    fn settle(&mut self, key: LaneKey) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if let Some(listed) = lane.listed.take() {
            self.due.remove(&listed);
        }
        if lane.busy > 0 {
            return;
        }
        if let Some((&sequence, &due)) = lane.waiting.first_key_value() {
            lane.listed = Some((due, sequence));
            self.due.insert((due, sequence));
        } else if let Some(sequence) = lane.held.pop_front() {
            lane.busy = 1;
            self.ready.push_back((key, sequence));
        } else {
            self.lanes.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_micros(second * 1_000_000)
    }

    const A: LaneKey = LaneKey::Profile(ProfileId([1; 16]));
    const B: LaneKey = LaneKey::Profile(ProfileId([2; 16]));

    fn lane_of(sequence: u64) -> LaneKey {
        if sequence < 100 { A } else { B }
    }

    fn take_due(order: &mut Order, now: Timestamp) -> Option<u64> {
        let sequence = order.due(now)?;
        order.take(lane_of(sequence));
        Some(sequence)
    }

    fn taken(order: &mut Order) -> Option<u64> {
        order.take_ready().map(|(_, sequence)| sequence)
    }

    #[test]
    fn a_request_takes_several_of_a_lane_and_nothing_passes_them() {
        let mut order = Order::default();
        for sequence in [1, 2, 3, 100] {
            order.arrive(lane_of(sequence), sequence);
        }
        assert!(order.fills(4) && !order.fills(5));
        assert_eq!(order.take_ready(), Some((A, 1)));
        assert_eq!(order.take_behind(A), Some(2));
        assert_eq!(order.take_ready(), Some((B, 100)));
        assert_eq!(order.take_behind(B), None);
        order.ended(A, 1);
        assert_eq!(order.take_ready(), None, "2 is under way still");
        assert_eq!(order.failed(A, 2, at(10)), [3]);
        order.wait(A, 3, at(0));
        assert_eq!(take_due(&mut order, at(10)), Some(2));
        order.ended(A, 2);
        assert_eq!(take_due(&mut order, at(10)), Some(3));
    }

    #[test]
    fn several_that_fail_together_are_tried_again_in_order() {
        let mut order = Order::default();
        for sequence in [1, 2, 3] {
            order.arrive(A, sequence);
        }
        assert_eq!(order.take_ready(), Some((A, 1)));
        assert_eq!((order.take_behind(A), order.take_behind(A)), (Some(2), Some(3)));
        for (sequence, due) in [(1, 30), (2, 10), (3, 20)] {
            assert!(order.failed(A, sequence, at(due)).is_empty());
        }
        assert_eq!(take_due(&mut order, at(29)), None, "the first is not due yet");
        assert_eq!(take_due(&mut order, at(30)), Some(1));
        order.ended(A, 1);
        assert_eq!(take_due(&mut order, at(30)), Some(2));
    }

    #[test]
    fn one_at_a_time_in_each_lane() {
        let mut order = Order::default();
        for sequence in [1, 2, 100, 3] {
            assert_eq!(order.arrive(lane_of(sequence), sequence), Arrival::InLine);
        }
        assert_eq!(order.arrive(LaneKey::Alone(4), 4), Arrival::InLine);
        let ready: Vec<_> = std::iter::from_fn(|| order.take_ready().map(|(_, sequence)| sequence)).collect();
        assert_eq!(ready, [1, 100, 4], "the first of each lane");
        order.ended(A, 1);
        assert_eq!(taken(&mut order), Some(2));
        assert_eq!(order.take_ready(), None);
        order.ended(A, 2);
        order.ended(B, 100);
        order.ended(LaneKey::Alone(4), 4);
        assert_eq!(taken(&mut order), Some(3));
        order.ended(A, 3);
        assert!(order.lanes.is_empty(), "nothing is kept of lanes that are done");
    }

    #[test]
    fn a_failure_holds_back_its_own_lane() {
        let mut order = Order::default();
        for sequence in [1, 2, 100] {
            order.arrive(lane_of(sequence), sequence);
        }
        assert_eq!(taken(&mut order), Some(1));
        let behind = order.failed(A, 1, at(10));
        assert_eq!(behind, [2]);
        order.wait(A, 2, at(0));
        assert_eq!(order.arrive(A, 3), Arrival::Behind);
        order.wait(A, 3, at(0));
        assert_eq!(taken(&mut order), Some(100), "another lane goes on");
        assert_eq!(take_due(&mut order, at(9)), None, "2 and 3 wait behind 1, which is not due");
        assert_eq!(take_due(&mut order, at(10)), Some(1));
        assert_eq!(take_due(&mut order, at(10)), None, "1 is under way");
        order.ended(A, 1);
        assert_eq!(take_due(&mut order, at(10)), Some(2));
        order.ended(A, 2);
        assert_eq!(take_due(&mut order, at(10)), Some(3));
    }

    #[test]
    fn waiting_ones_can_be_hastened() {
        let mut order = Order::default();
        order.wait(A, 1, at(600));
        order.wait(B, 100, at(700));
        order.hasten(at(5), lane_of, |sequence| (sequence == 100).then(|| at(2)));
        assert_eq!(take_due(&mut order, at(2)), Some(100));
        assert_eq!(order.next_due(), Some(at(600)));
    }

    #[test]
    fn an_earlier_one_goes_before_those_that_wait() {
        let mut order = Order::default();
        order.wait(A, 7, at(600));
        assert_eq!(order.arrive(A, 5), Arrival::Behind);
        order.wait(A, 5, at(0));
        assert_eq!(take_due(&mut order, at(1)), Some(5));
    }
}
