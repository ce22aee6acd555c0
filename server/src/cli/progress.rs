//! How far a long command is, where no bar can be shown: a line of the log every ten seconds.

use indicatif::ProgressBar;
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// What commands log that tell how far they are, unless something else is configured.
pub(super) const LOG: &str = "warn,tributary_server::cli::progress=info";

/// How often it is told.
const INTERVAL: Duration = Duration::from_secs(10);

/// Tells how far a bar is that nobody sees, as long as this is kept.
pub(super) struct Progress(Option<AbortHandle>);

impl Progress {
    /// For this bar; `told` says in words how far it is. To be called within a runtime.
    pub(super) fn of(bar: &ProgressBar, told: fn(&ProgressBar) -> String) -> Self {
        if !bar.is_hidden() {
            return Self(None);
        }
        let bar = bar.clone();
        let task = tokio::spawn(async move {
            let mut ticks = interval_at(Instant::now() + INTERVAL, INTERVAL);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                tracing::info!("{}", told(&bar));
            }
        });
        Self(Some(task.abort_handle()))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}
