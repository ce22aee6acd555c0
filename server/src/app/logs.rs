//! The three logs, opened before anything else.

use super::{StartError, configs};
use crate::config::Config;
use crate::lifecycle::Fatal;
use std::sync::Arc;
use tributary_eventlog::embedded::EmbeddedLog;
use tributary_eventlog::{EventLog, LogOptions};
use tributary_model::Timestamp;
use tributary_model::clock::Clock;

/// Events, activations, rejects.
#[derive(Clone)]
pub(super) struct Logs {
    pub(super) events: Arc<dyn EventLog>,
    pub(super) activations: Arc<dyn EventLog>,
    pub(super) rejects: Arc<dyn EventLog>,
}

impl Logs {
    /// Opens or creates them. What the projector needs is protected from the first moment on.
    pub(super) fn open(config: &Config, clock: &Arc<dyn Clock>, fatal: &Fatal) -> Result<Self, StartError> {
        let open = |options: LogOptions| -> Result<Arc<dyn EventLog>, StartError> {
            let name = options.name;
            let directory = config.data_dir.join(name);
            EmbeddedLog::open(&directory, options, Arc::clone(fatal))
                .map(|log| Arc::new(log) as Arc<dyn EventLog>)
                .map_err(|source| StartError::Log { name, source })
        };
        let events = open(configs::events_log(config, clock))?;
        tributary_profiles::projector::protect_all(&*events);
        Ok(Self {
            events,
            activations: open(configs::activations_log(config, clock))?,
            rejects: open(configs::rejects_log(config, clock))?,
        })
    }

    /// Removes what retention no longer keeps.
    pub(super) fn enforce_retention(&self, now: Timestamp) {
        for log in [&self.events, &self.activations, &self.rejects] {
            if let Err(error) = log.enforce_retention(now) {
                tracing::warn!(%error, "retention could not remove what is too old; it tries again");
            }
        }
    }

    /// Makes everything durable and refuses further appends.
    pub(super) fn close(&self) {
        for log in [&self.events, &self.rejects, &self.activations] {
            log.close();
        }
    }
}
