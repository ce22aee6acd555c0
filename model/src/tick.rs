//! Ticks: records of the events log by which the projector learns that time went on, or takes a step of work that is
//! too large for one record. So it reads no clock, and the same log gives the same state.

use crate::id::ProfileId;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What is to be done when the tick is read. A step that does not begin where the work stands is passed over: it was
/// taken before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tick {
    /// Timers that are due by the record's time are taken, so many at most.
    Timers {
        /// How many.
        max: u32,
    },
    /// Events of the log from one sequence on, up to another, are folded into what new definitions keep.
    ReadLog {
        /// The first event.
        from: u64,
        /// The first that is not read.
        to: u64,
    },
    /// Audiences are evaluated for profiles, so many at most, in the order of their ids.
    Evaluate {
        /// The profile before the first.
        after: Option<ProfileId>,
        /// How many.
        max: u32,
    },
    /// Members leave an audience that was deleted, so many at most, in the order of their ids.
    Leave {
        /// The member before the first.
        after: Option<ProfileId>,
        /// How many.
        max: u32,
    },
}

impl Tick {
    /// The stored form, version 1: JSON.
    pub fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("a tick is numbers and names").into()
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If the bytes are no tick.
    pub fn decode(payload: &[u8]) -> serde_json::Result<Self> {
        serde_json::from_slice(payload)
    }
}
