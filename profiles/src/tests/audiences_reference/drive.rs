//! A machine over a log in memory, driven by hand: what the projector's run loop does, step by step.

use super::super::{CACHE, append, clock, hash_key};
use super::people::ONE;
use crate::codec::Checkpoint;
use crate::machine::{Applied, Due, Machine};
use crate::reader::ProfileReader;
use crate::state::State;
use crate::store::Store;
use bytes::Bytes;
use std::sync::Arc;
use tributary_eventlog::index::Indexes;
use tributary_eventlog::{EventLog, MemoryLog};
use tributary_model::tick::Tick;
use tributary_model::{Activation, Record, Timestamp, WorkspaceId};

pub(super) struct Driver {
    pub(super) machine: Machine,
    pub(super) state: Arc<State>,
    pub(super) reader: ProfileReader,
    events: Arc<MemoryLog>,
}

impl Driver {
    /// Goes on behind a checkpoint, which is what the store holds.
    pub(super) fn new(
        store: Arc<dyn Store>,
        indexes: Arc<Indexes>,
        events: Arc<MemoryLog>,
        checkpoint: Checkpoint,
    ) -> Self {
        let state = Arc::new(State::new(store, CACHE, CACHE));
        let log = || Arc::clone(&events) as Arc<dyn EventLog>;
        let machine =
            Machine::new(Arc::clone(&state), Arc::clone(&indexes), log(), hash_key(), checkpoint, CACHE);
        let reader = ProfileReader::new(Arc::clone(&state), indexes, log(), hash_key(), clock());
        Self { machine, state, reader, events }
    }

    /// Appends a record, which is applied next.
    pub(super) fn write(&mut self, record: &Record) -> Vec<Activation> {
        let bytes = record.encode();
        append(&*self.events, vec![bytes.clone()]);
        self.apply(&bytes)
    }

    /// Applies the next record of the log and makes what it does visible.
    pub(super) fn apply(&mut self, bytes: &Bytes) -> Vec<Activation> {
        let sequence = self.machine.checkpoint().next;
        assert_eq!(self.machine.apply(sequence, sequence, bytes).expect("applied"), Applied::Done);
        self.machine.publish()
    }

    /// What should come next.
    pub(super) fn due(&mut self) -> Due {
        self.machine.due(WorkspaceId(0)).expect("readable")
    }

    /// The tick that is to be written next, at this time: timers that are due come before work.
    pub(super) fn tick(&mut self, now: Timestamp) -> Option<Record> {
        let due = self.due();
        let tick = match (due.timer, due.work) {
            (Some((at, workspace)), _) if at <= now => {
                assert_eq!(workspace, ONE);
                Tick::Timers { max: 3 }
            }
            (_, Some((workspace, work))) => {
                assert_eq!(workspace, ONE);
                work
            }
            (_, None) => return None,
        };
        Some(Record::of_tick(ONE, 1, now, &tick))
    }
}
