//! The newest entries, as this process appended them: readers that keep up need not ask the broker for what went
//! through here a moment ago.
//!
//! It holds one run of consecutive sequences, known from the broker's own answers. An entry that does not follow
//! the last one begins a new run, and what was there is forgotten; an entry from before the run is left out. So
//! what it gives is exact, and never has a gap.

use crate::log::Entry;
use bytes::Bytes;
use std::collections::VecDeque;

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    first: u64,
    entries: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl Tail {
    /// An empty one that will hold at most that many bytes of entries.
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { first: 0, entries: VecDeque::new(), bytes: 0, bytes_max }
    }

    /// One past the last sequence held.
    fn end(&self) -> u64 {
        self.first + self.entries.len() as u64
    }

    /// Takes an entry that the broker has stored at that sequence.
    pub(super) fn push(&mut self, sequence: u64, entry: Bytes) {
        if self.bytes_max == 0 || sequence < self.end() {
            return;
        }
        if sequence != self.end() {
            self.entries.clear();
            self.bytes = 0;
            self.first = sequence;
        }
        self.bytes += entry.len();
        self.entries.push_back(entry);
        while self.bytes > self.bytes_max {
            let Some(oldest) = self.entries.pop_front() else { break };
            self.bytes -= oldest.len();
            self.first += 1;
        }
    }

    /// The entries from `from` to below `end`, at least one, then as many as fit into `bytes_max` bytes; `None`
    /// if `from` is not held.
    pub(super) fn read(&self, from: u64, end: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let skip = usize::try_from(from.checked_sub(self.first)?).ok()?;
        if from >= end || from >= self.end() {
            return None;
        }
        // What is known to be durable may be more than what is held; the next read goes on behind it.
        let count = usize::try_from(end.min(self.end()) - from).ok()?;
        let mut read = Vec::new();
        let mut left = bytes_max;
        for (sequence, bytes) in (from..).zip(self.entries.iter().skip(skip).take(count)) {
            if !read.is_empty() && (left == 0 || bytes.len() > left) {
                break;
            }
            left = left.saturating_sub(bytes.len());
            read.push(Entry { sequence, frame: sequence, bytes: bytes.clone() });
        }
        Some(read)
    }

    /// The last entry held, with its sequence.
    pub(super) fn last(&self) -> Option<(u64, &Bytes)> {
        Some((self.end().checked_sub(1)?, self.entries.back()?))
    }

    /// The entry of one sequence, if it is held.
    pub(super) fn get(&self, sequence: u64) -> Option<&Bytes> {
        self.entries.get(usize::try_from(sequence.checked_sub(self.first)?).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// For any order of answers: what the tail gives is what was stored there, without gaps, and no more
        /// than it may hold.
        #[test]
        fn it_gives_what_was_stored(
            steps in proptest::collection::vec((0..4u64, any::<bool>(), 0..40usize), 1..60),
            bytes_max in 0..200usize,
            from in 0..120u64,
            wanted in 0..100usize,
        ) {
            let mut tail = Tail::new(bytes_max);
            let mut stored: Vec<Option<Bytes>> = Vec::new();
            for (skipped, back, length) in steps {
                // A skipped place is an entry of somebody else, or one whose place was not told.
                stored.resize(stored.len() + skipped as usize, None);
                let entry = Bytes::from(vec![stored.len() as u8; length]);
                tail.push(stored.len() as u64, entry.clone());
                stored.push(Some(entry));
                if back {
                    tail.push(0, Bytes::from_static(b"from before the run"));
                }
            }
            prop_assert!(tail.bytes <= bytes_max);
            prop_assert_eq!(tail.bytes, tail.entries.iter().map(Bytes::len).sum::<usize>());
            let end = stored.len() as u64;
            if let Some(read) = tail.read(from, end, wanted) {
                prop_assert!(!read.is_empty());
                let total: usize = read.iter().map(|entry| entry.bytes.len()).sum();
                prop_assert!(read.len() == 1 || total <= wanted);
                for (sequence, entry) in (from..).zip(&read) {
                    prop_assert_eq!(entry.sequence, sequence);
                    prop_assert_eq!(Some(&entry.bytes), stored[sequence as usize].as_ref());
                    prop_assert_eq!(tail.get(sequence), Some(&entry.bytes));
                }
            }
        }
    }

    #[test]
    fn a_gap_begins_a_new_run() {
        let entry = |text: &'static str| Bytes::from_static(text.as_bytes());
        let mut tail = Tail::new(100);
        for (sequence, text) in [(5, "a"), (6, "b"), (9, "c"), (10, "d")] {
            tail.push(sequence, entry(text));
        }
        assert_eq!(tail.read(5, 11, 100), None);
        let read = tail.read(9, 11, 100).expect("the new run");
        assert_eq!(read.iter().map(|entry| entry.sequence).collect::<Vec<_>>(), [9, 10]);
        assert_eq!(tail.read(9, 10, 100).map(|read| read.len()), Some(1), "never past the durable end");
        assert_eq!(tail.read(11, 12, 100), None);
    }
}
