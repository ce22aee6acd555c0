//! From where on each reader still needs a log.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// What readers protect from retention.
#[derive(Default)]
pub(crate) struct Protected(Mutex<BTreeMap<&'static str, u64>>);

impl Protected {
    pub(crate) fn set(&self, reader: &'static str, from: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(reader, from);
    }

    /// The reader that is furthest behind, and from where on it needs the log.
    pub(crate) fn lowest(&self) -> Option<(&'static str, u64)> {
        let readers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().map(|(reader, from)| (*reader, *from)).min_by_key(|(_, from)| *from)
    }
}
