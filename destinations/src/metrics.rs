//! The names of this crate's metrics, and the handles that a worker counts with.
//!
//! `workspace` and `destination` are ids from the configuration; every other label comes from a closed set.

use crate::config::Key;
use crate::stored::PauseReason;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tributary_model::outcome::Outcome;

/// Counter: deliveries by how they ended. Labels: workspace, destination, outcome.
pub const DELIVERIES: &str = "tributary_deliveries_total";
/// Counter: attempts by result (`delivered`, `retry`, `rejected`). Labels: workspace, destination, result.
pub const ATTEMPTS: &str = "tributary_delivery_attempts_total";
/// Histogram: seconds from the start of an attempt to its answer or failure. Labels: workspace, destination.
pub const ATTEMPT_SECONDS: &str = "tributary_delivery_attempt_seconds";
/// Gauge: deliveries that wait to be tried again. Labels: workspace, destination.
pub const WAITING: &str = "tributary_deliveries_waiting";
/// Gauge: activations between the low-water cursor and the end of their log. Labels: workspace, destination.
pub const BEHIND: &str = "tributary_destination_behind";
/// Gauge: 1 while a destination is paused (`credentials`, `outage`), else 0. Labels: workspace, destination, reason.
pub const PAUSED: &str = "tributary_destination_paused";
/// Counter: times that a destination stood at a limit (`queue`, `queue_bytes`, `window`, `window_bytes`). Labels: workspace,
/// destination, limit.
pub const LIMIT: &str = "tributary_destination_limit_total";
/// Counter: dead letters removed to make room for newer ones. Labels: workspace, destination.
pub const DEAD_LETTERS_DROPPED: &str = "tributary_dead_letters_dropped_total";
/// Counter: attempts refused because of the receiver's address. Labels: workspace, destination.
pub const ADDRESSES_REFUSED: &str = "tributary_destination_addresses_refused_total";
/// Counter: activations passed over because they are in their log for the second time. Labels: workspace, destination.
pub const REPEATED: &str = "tributary_activations_repeated_total";
/// Counter: records of deliveries that were not kept, because a destination had written so many bytes of them that day
/// (`exchange`, `attempt`). Labels: workspace, destination, what.
pub const RECORDS_DROPPED: &str = "tributary_delivery_records_dropped_total";

/// One destination's handles.
pub(crate) struct Meters {
    pub(crate) delivered: Counter,
    pub(crate) retried: Counter,
    pub(crate) rejected: Counter,
    pub(crate) attempt_seconds: Histogram,
    pub(crate) waiting: Gauge,
    pub(crate) behind: Gauge,
    pub(crate) at_queue_limit: Counter,
    pub(crate) at_queue_bytes_limit: Counter,
    paused: [Gauge; 2],
    pub(crate) at_window_limit: Counter,
    pub(crate) at_window_bytes_limit: Counter,
    pub(crate) dead_letters_dropped: Counter,
    pub(crate) addresses_refused: Counter,
    pub(crate) repeated: Counter,
    outcomes: [Counter; Outcome::ALL.len()],
}

impl Meters {
    pub(crate) fn new(key: Key) -> Self {
        let labels = [("workspace", key.workspace.to_string()), ("destination", key.destination.to_string())];
        let with = |name: &'static str, value: &'static str| {
            let [workspace, destination] = labels.clone();
            [workspace, destination, (name, value.to_owned())]
        };
        Self {
            delivered: counter!(ATTEMPTS, &with("result", "delivered")),
            retried: counter!(ATTEMPTS, &with("result", "retry")),
            rejected: counter!(ATTEMPTS, &with("result", "rejected")),
            attempt_seconds: histogram!(ATTEMPT_SECONDS, &labels),
            waiting: gauge!(WAITING, &labels),
            behind: gauge!(BEHIND, &labels),
            at_queue_limit: counter!(LIMIT, &with("limit", "queue")),
            at_queue_bytes_limit: counter!(LIMIT, &with("limit", "queue_bytes")),
            paused: PauseReason::ALL.map(|reason| gauge!(PAUSED, &with("reason", reason.name()))),
            at_window_limit: counter!(LIMIT, &with("limit", "window")),
            at_window_bytes_limit: counter!(LIMIT, &with("limit", "window_bytes")),
            dead_letters_dropped: counter!(DEAD_LETTERS_DROPPED, &labels),
            addresses_refused: counter!(ADDRESSES_REFUSED, &labels),
            repeated: counter!(REPEATED, &labels),
            outcomes: Outcome::ALL.map(|outcome| counter!(DELIVERIES, &with("outcome", outcome.name()))),
        }
    }

    /// Shows why the destination is paused, if it is.
    pub(crate) fn paused(&self, why: Option<PauseReason>) {
        for (gauge, reason) in self.paused.iter().zip(PauseReason::ALL) {
            gauge.set(f64::from(u8::from(why == Some(reason))));
        }
    }

    /// Counts ended deliveries; `ended` is indexed like [`Outcome::ALL`].
    pub(crate) fn count(&self, ended: &[u64; Outcome::ALL.len()]) {
        for (counter, count) in self.outcomes.iter().zip(ended).filter(|(_, count)| **count > 0) {
            counter.increment(*count);
        }
    }
}
