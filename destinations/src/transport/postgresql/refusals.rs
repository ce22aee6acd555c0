//! What PostgreSQL would not change about tables, remembered for a while: asked for again with every batch, it could keep
//! a destination from going on for ever.
//!
//! It is kept in memory, and shared by all connections.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many are remembered. When there would be more, all are forgotten.
const REFUSALS_MAX: usize = 10_000;

/// What was refused lately.
#[derive(Default)]
pub(super) struct Refusals {
    /// Until when, by table and column; an empty column stands for the table itself.
    until: Mutex<BTreeMap<(String, String), Instant>>,
}

impl Refusals {
    /// Remembers that a change of a column, or with an empty name the table itself, was refused.
    pub(super) fn add(&self, table: &str, column: &str, now: Instant, span: Duration) {
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        if until.len() >= REFUSALS_MAX {
            until.clear();
        }
        until.insert((table.to_owned(), column.to_owned()), now + span);
    }

    /// Whether that is not to be asked for again yet.
    pub(super) fn has(&self, table: &str, column: &str, now: Instant) -> bool {
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.get(&(table.to_owned(), column.to_owned())).is_some_and(|until| now < *until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_holds_for_its_column_and_its_span() {
        let (refusals, now, span) = (Refusals::default(), Instant::now(), Duration::from_secs(60));
        refusals.add("t", "n", now, span);
        let cases = [
            ("t", "n", now, true),
            ("t", "n", now + span, false),
            ("t", "m", now, false),
            ("u", "n", now, false),
            ("t", "", now, false),
        ];
        for (table, column, at, want) in cases {
            assert_eq!(refusals.has(table, column, at), want, "{table} {column:?}");
        }
    }

    #[test]
    fn refusals_are_bounded() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let add = |column: usize| refusals.add("t", &column.to_string(), now, Duration::from_secs(60));
        (0..REFUSALS_MAX).for_each(add);
        assert!(refusals.has("t", "0", now));
        add(REFUSALS_MAX);
        assert!(!refusals.has("t", "0", now) && refusals.has("t", &REFUSALS_MAX.to_string(), now));
    }
}
