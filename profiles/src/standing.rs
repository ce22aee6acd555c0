//! What is kept of audiences beside their definitions: who is in them since when, and how large they were.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use tributary_model::{AudienceId, Identifier, Timestamp};

const HOUR_MICROS: i64 = 3_600_000_000;

/// That a profile is in an audience.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The log's time at which it entered.
    pub since: Timestamp,
    /// The record of the log that made it enter.
    pub sequence: u64,
    /// The identifiers that its entry carried: its exit carries them too.
    pub identifiers: Arc<[Identifier]>,
    /// Whether that its condition holds rests on values beyond a limit.
    pub is_approximate: bool,
}

/// The audiences that a profile is in, and when that has to be looked at again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// The audiences that it is in.
    pub memberships: BTreeMap<AudienceId, Membership>,
    /// The earliest time at which a membership may change with no event: there is a timer for it.
    pub timer: Option<Timestamp>,
}

/// How an audience stood in an hour of the log's time in which it changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SizeRow {
    /// How many members it had at the hour's end, or has now.
    pub size: u64,
    /// How often a profile entered in the hour.
    pub entered: u64,
    /// How often one left.
    pub exited: u64,
}

/// The hour that a time is in, counted from 1970-01-01.
pub(crate) fn hour_of(at: Timestamp) -> i64 {
    at.as_micros().div_euclid(HOUR_MICROS)
}

/// When an hour begins.
pub(crate) fn start_of_hour(hour: i64) -> Timestamp {
    Timestamp::from_micros(hour.saturating_mul(HOUR_MICROS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_counted_from_1970() {
        let cases = [
            ("the first", 0, 0, 0),
            ("its end", HOUR_MICROS - 1, 0, 0),
            ("the next", HOUR_MICROS, 1, HOUR_MICROS),
            ("one before", -1, -1, -HOUR_MICROS),
            ("one that begins before time does", i64::MIN, -2_562_047_789, i64::MIN),
        ];
        for (name, micros, hour, start) in cases {
            assert_eq!(hour_of(Timestamp::from_micros(micros)), hour, "{name}");
            assert_eq!(start_of_hour(hour), Timestamp::from_micros(start), "{name}");
        }
    }
}
