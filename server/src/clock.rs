//! The process's clock: the machine's, which a test can set.

use tributary_model::Timestamp;
use tributary_model::clock::{Clock, SystemClock};

/// The machine's clock. In builds with fail points, `clock::now=return(SECONDS)` moves it by so many seconds.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct ProcessClock;

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        fail::fail_point!("clock::now", |seconds: Option<String>| {
            let seconds: i64 = seconds.as_deref().and_then(|text| text.parse().ok()).unwrap_or_default();
            SystemClock.now().plus_micros(seconds * 1_000_000)
        });
        SystemClock.now()
    }
}
