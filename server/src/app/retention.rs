//! What retention will soon take from destinations that have not had it.
//!
//! The activations log waits for no destination: from one that is off, paused or slow, retention takes what is too old or too
//! much. So before retention runs, the oldest activation that each destination still needs is compared with what is kept: its
//! age since it arrived, and about how many bytes are kept from there on. What can't be read counts by its bytes alone.

use crate::admin::destinations::states::RETENTION_WARNING;
use crate::metrics;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tributary_eventlog::{Bounds, EventLog};
use tributary_model::{Activation, DestinationId, Timestamp, WorkspaceId};

/// How long after a warning about a destination the next one is logged, in microseconds.
const WARNED_MICROS: i64 = 3_600_000_000;

type Key = (WorkspaceId, DestinationId);

/// How much of the retention is used by what destinations still need.
pub(super) struct RetentionWatch {
    age: Duration,
    bytes_max: u64,
    seen: Mutex<BTreeMap<Key, Seen>>,
}

/// What was last seen of a destination.
#[derive(Clone, Copy, Default)]
struct Seen {
    used: f64,
    warned_at: Option<Timestamp>,
    /// The activation that was read last, and when it arrived.
    oldest: Option<(u64, Timestamp)>,
}

/// What the log keeps.
struct Kept {
    bounds: Bounds,
    bytes: u64,
}

impl RetentionWatch {
    /// For a log that is kept for so long, and so many bytes of it.
    pub(super) fn new(age: Duration, bytes_max: u64) -> Self {
        Self { age, bytes_max, seen: Mutex::default() }
    }

    /// The share of the retention, from 0 to 1, that is used by what a destination still needs.
    pub(super) fn used(&self, workspace: WorkspaceId, destination: DestinationId) -> f64 {
        self.seen().get(&(workspace, destination)).map_or(0.0, |seen| seen.used)
    }

    /// Looks at all destinations, each with the oldest activation that it still needs, and warns of those that will lose
    /// something. Blocking.
    pub(super) fn look(
        &self,
        log: &dyn EventLog,
        needs: &[(WorkspaceId, DestinationId, u64)],
        now: Timestamp,
    ) {
        let before = self.seen().clone();
        let kept = Kept { bounds: log.bounds(), bytes: log.status().bytes_kept };
        let mut seen = BTreeMap::new();
        for &(workspace, destination, from) in needs {
            let mut one = before.get(&(workspace, destination)).copied().unwrap_or_default();
            one.used = self.share(log, &kept, from, &mut one.oldest, now);
            let is_due = one.warned_at.is_none_or(|at| now.micros_since(at) >= WARNED_MICROS);
            if one.used >= RETENTION_WARNING && is_due {
                let used = one.used;
                tracing::warn!(%workspace, %destination, used, "retention will take activations that this destination has not had");
                one.warned_at = Some(now);
            }
            metrics::retention_used(workspace, destination, one.used);
            seen.insert((workspace, destination), one);
        }
        for (workspace, destination) in before.keys().filter(|key| !seen.contains_key(*key)) {
            metrics::retention_used(*workspace, *destination, 0.0);
        }
        *self.seen() = seen;
    }

    fn share(
        &self,
        log: &dyn EventLog,
        kept: &Kept,
        from: u64,
        oldest: &mut Option<(u64, Timestamp)>,
        now: Timestamp,
    ) -> f64 {
        let Bounds { first, end } = kept.bounds;
        if from >= end {
            return 0.0;
        }
        if from < first {
            return 1.0;
        }
        let entries = (end - from) as f64 / (end - first) as f64;
        let by_bytes = entries * kept.bytes as f64 / self.bytes_max as f64;
        let by_age = arrived(log, from, oldest)
            .map_or(0.0, |at| now.micros_since(at) as f64 / self.age.as_micros() as f64);
        by_bytes.max(by_age).clamp(0.0, 1.0)
    }

    fn seen(&self) -> MutexGuard<'_, BTreeMap<Key, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When an activation arrived; of what stands still, it is read once.
fn arrived(log: &dyn EventLog, sequence: u64, known: &mut Option<(u64, Timestamp)>) -> Option<Timestamp> {
    if let Some((_, at)) = known.filter(|(of, _)| *of == sequence) {
        return Some(at);
    }
    let bytes = match log.read_one(sequence, 0) {
        Ok(bytes) => bytes?,
        Err(error) => {
            tracing::debug!(%error, sequence, "the age of an activation can't be told");
            return None;
        }
    };
    let at = Activation::decode(&bytes).ok()?.header.received_at;
    *known = Some((sequence, at));
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use tributary_eventlog::MemoryLog;
    use tributary_model::activation::{ActivationHeader, ActivationKind, Carried};
    use tributary_model::{EventKind, MessageId, Position, SourceId};

    const KEY: Key = (WorkspaceId(1), DestinationId(2));
    const HOUR: i64 = 3_600;
    const MUCH: u64 = 1 << 40;

    fn seconds(at: i64) -> Timestamp {
        Timestamp::from_millis(at * 1_000)
    }

    /// A log of activations, one of each hour.
    fn log(activations: i64) -> MemoryLog {
        let log = MemoryLog::new();
        for number in 0..activations {
            let header = ActivationHeader {
                workspace: KEY.0,
                position: Position::at(number.unsigned_abs()),
                ordinal: 0,
                profile: None,
                identifiers: Vec::new(),
                event_kind: EventKind::Track,
                source: SourceId(1),
                message_id: MessageId::parse("m").expect("an id"),
                received_at: seconds(number * HOUR),
                event_time: seconds(0),
                kind: ActivationKind::Event,
                carried: Carried::default(),
            };
            let bytes = Activation { header, event: bytes::Bytes::from_static(b"{}") }.encode();
            log.append(vec![bytes]).now_or_never().expect("it is ready").expect("it is taken");
        }
        log
    }

    #[test]
    fn what_is_needed_uses_retention_by_age_and_by_bytes() {
        let log = log(10);
        let kept = log.status().bytes_kept;
        let day = Duration::from_secs(24 * 3_600);
        log.expire_before(2);
        let left = log.status().bytes_kept;
        assert!(left < kept);
        // (what it shows, how many bytes are kept, from where it is needed, at what hour, the share)
        let cases = [
            ("nothing", MUCH, 10, 100, 0.0),
            ("by age", MUCH, 4, 16, 0.5),
            ("by bytes", 2 * left, 2, 2, 0.5),
            ("half of the bytes", 2 * left, 6, 6, 0.25),
            ("the larger of the two", 2 * left, 2, 20, 0.75),
            ("too old", MUCH, 4, 100, 1.0),
            ("too much", left / 2, 2, 2, 1.0),
            ("gone", MUCH, 1, 1, 1.0),
            ("from before its time", MUCH, 4, 0, 0.0),
        ];
        for (name, bytes_max, from, hour, want) in cases {
            let watch = RetentionWatch::new(day, bytes_max);
            watch.look(&log, &[(KEY.0, KEY.1, from)], seconds(hour * HOUR));
            assert!((watch.used(KEY.0, KEY.1) - want).abs() < 0.001, "{name}: {}", watch.used(KEY.0, KEY.1));
        }
    }

    #[test]
    fn a_destination_is_warned_of_once_an_hour_until_it_needs_nothing_more() {
        let log = log(3);
        let watch = RetentionWatch::new(Duration::from_secs(10 * 3_600), MUCH);
        let warned = |from: u64, at: i64| {
            watch.look(&log, &[(KEY.0, KEY.1, from)], seconds(at));
            watch.seen().get(&KEY).and_then(|seen| seen.warned_at)
        };
        // (from where it is needed, when it is looked at, when the last warning was)
        let looks = [
            (0, 7 * HOUR, None),
            (0, 8 * HOUR, Some(8 * HOUR)),
            (0, 9 * HOUR - 1, Some(8 * HOUR)),
            (0, 9 * HOUR, Some(9 * HOUR)),
            (3, 20 * HOUR, Some(9 * HOUR)),
            (1, 20 * HOUR, Some(20 * HOUR)),
        ];
        for (number, (from, at, want)) in looks.into_iter().enumerate() {
            assert_eq!(warned(from, at), want.map(seconds), "look {number}");
        }
        watch.look(&log, &[], seconds(20 * HOUR));
        assert!(watch.used(KEY.0, KEY.1).abs() < f64::EPSILON, "it is gone");
    }

    #[test]
    fn what_cannot_be_read_counts_by_its_bytes() {
        let log = log(4);
        let watch = RetentionWatch::new(Duration::from_secs(1), 2 * log.status().bytes_kept);
        log.set_unreadable(true);
        watch.look(&log, &[(KEY.0, KEY.1, 0)], seconds(100 * HOUR));
        assert!((watch.used(KEY.0, KEY.1) - 0.5).abs() < 0.001);
    }
}
