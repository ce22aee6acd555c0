//! The ids of requests: told to whoever asks, and named in the log where we are at fault.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// Gives each request an id of its own, over restarts too: a random number of the process, and a count.
pub(super) struct RequestIds {
    process: u64,
    count: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        // Its keys are random; that is all that is wanted of it.
        Self { process: RandomState::new().build_hasher().finish(), count: AtomicU64::new(0) }
    }

    pub(super) fn next(&self) -> String {
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        format!("req_{:016x}{count:08x}", self.process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_share_an_id() {
        let (one, other) = (RequestIds::new(), RequestIds::new());
        let ids = [one.next(), one.next(), other.next(), other.next()];
        for (at, id) in ids.iter().enumerate() {
            assert!(!ids[..at].contains(id), "{id}");
            assert!(
                id.starts_with("req_") && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            );
        }
    }
}
