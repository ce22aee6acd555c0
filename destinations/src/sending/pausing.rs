//! How a pause is taken up after a start, ends, and is shown.

use super::Sending;
use crate::status::Paused;
use crate::stored::PauseReason;
use tributary_model::Timestamp;

impl Sending<'_> {
    /// Goes on with a pause from before, unless the settings that caused it have changed.
    pub(super) fn take_up_pause(&mut self, now: Timestamp) {
        match self.ledger.paused().map(|pause| (pause.reason, pause.settings)) {
            Some((PauseReason::Credentials, settings)) if settings == self.means.configured.fingerprint => {
                self.health.shut();
            }
            Some((PauseReason::Credentials, _)) => self.end_pause(now),
            Some((PauseReason::Outage, _)) => self.health.out(now),
            None => {}
        }
        self.worker.meters.paused(self.ledger.paused().map(|pause| pause.reason));
        self.show_pause();
    }

    /// Ends a pause.
    pub(crate) fn end_pause(&mut self, now: Timestamp) {
        self.health.open();
        if self.ledger.paused().is_some() {
            self.ledger.resume(now);
            self.resumed_at = Some(std::time::Instant::now());
            tracing::info!(destination = %self.worker.key, "destination goes on");
        }
        self.worker.meters.paused(None);
    }

    /// Shows whether it is paused.
    fn show_pause(&self) {
        let paused = self.ledger.paused().map(|pause| Paused {
            reason: pause.reason,
            since: pause.since,
            failure: pause.failure.clone(),
            probes_at: self.health.probes_at(),
        });
        self.worker.cell.change(|status| status.paused = paused);
    }
}
