//! A destination made of its configuration: what it is sent, how, and how fast.

use crate::config::{DestinationConfig, Limits};
use crate::connect::Outbound;
use crate::definition::{BatchAmong, OrderSpec, SettingsError, Spec};
use crate::exchange::Payload;
use crate::plan::Plan;
use crate::registry;
use crate::settings::{check_settings, count};
use crate::tokens::TokenBook;
use crate::transport::{Transport, TransportParts, transport};
use std::sync::Arc;
use std::time::Duration;

/// How long deliveries wait for others, at which waiting counts as gathering files: more is read ahead then.
const LONG_DELAY: Duration = Duration::from_secs(1);

/// Activations that are read ahead while deliveries gather for long; those of other workspaces count as well.
const LONG_WINDOW: u64 = 1 << 18;

/// What every destination has to reach its receiver with.
#[derive(Clone)]
pub(crate) struct Ways {
    /// The only way out of the process.
    pub(crate) outbound: Arc<Outbound>,
    /// The tokens of all destinations; `None` where nothing is sent.
    pub(crate) tokens: Option<Arc<TokenBook>>,
}

/// A destination made of its configuration.
#[derive(Clone)]
pub(crate) struct Configured {
    /// Which activations it is sent, and what becomes of them.
    pub(crate) plan: Arc<Plan>,
    /// How they reach it.
    pub(crate) transport: Arc<dyn Transport>,
    /// Which deliveries have to arrive in order.
    pub(crate) order: OrderSpec,
    /// How deliveries share requests.
    pub(crate) batch: Batch,
    /// Requests a second, if that is limited.
    pub(crate) requests_per_second: Option<f64>,
    /// Requests under way at once, at most.
    pub(crate) concurrency: usize,
    /// A fingerprint of its settings: the same for the same settings.
    pub(crate) fingerprint: u64,
}

/// How deliveries share requests.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Batch {
    /// How many payloads a request may carry.
    pub(crate) events: usize,
    /// About how many bytes.
    pub(crate) bytes: usize,
    /// How long deliveries wait for others.
    pub(crate) delay: Duration,
    /// Which deliveries may share one.
    pub(crate) among: BatchAmong,
}

impl Configured {
    /// Makes it.
    ///
    /// # Errors
    /// The first part of the configuration that can't be used.
    pub(crate) fn new(
        config: &DestinationConfig,
        limits: &Limits,
        ways: &Ways,
    ) -> Result<Self, SettingsError> {
        let spec = spec_of(config)?;
        check_settings(spec, &config.settings)?;
        let settings = serde_json::to_vec(&config.settings).expect("settings are JSON");
        let mut fingerprint = [0; 8];
        fingerprint.copy_from_slice(&blake3::hash(&settings).as_bytes()[..8]);
        Ok(Self {
            plan: Arc::new(Plan::compile(spec, config)?),
            transport: Self::transport(config, limits, ways)?,
            order: spec.order,
            batch: Batch::new(spec, config)?,
            requests_per_second: rate(spec, config)?,
            concurrency: spec.limits.concurrency.unwrap_or(limits.concurrency).min(limits.concurrency),
            fingerprint: u64::from_be_bytes(fingerprint),
        })
    }

    /// Only the way to it: for what needs no filters and no mappings, and has to work while those can't be used.
    ///
    /// # Errors
    /// The first setting that can't be used.
    pub(crate) fn transport(
        config: &DestinationConfig,
        limits: &Limits,
        ways: &Ways,
    ) -> Result<Arc<dyn Transport>, SettingsError> {
        let spec = spec_of(config)?;
        check_settings(spec, &config.settings)?;
        let parts = TransportParts {
            outbound: Arc::clone(&ways.outbound),
            timeout: spec.limits.timeout_ms.map_or(limits.request_timeout, Duration::from_millis),
            response_bytes: limits.response_bytes,
            tokens: ways.tokens.as_ref().map(|book| book.of(config.key())),
        };
        transport(spec, &config.settings, &parts)
    }

    /// The payloads parted into those that may share a request, each in order.
    pub(crate) fn requests(&self, payloads: Vec<Payload>) -> Vec<Vec<Payload>> {
        let mut requests: Vec<((u64, u64), Vec<Payload>)> = Vec::new();
        for payload in payloads {
            let key = (payload.group, self.transport.part(&payload));
            match requests.iter_mut().find(|(other, _)| *other == key) {
                Some((_, request)) if request.len() < self.batch.events => request.push(payload),
                Some(_) | None => requests.push((key, vec![payload])),
            }
        }
        requests.into_iter().map(|(_, request)| request).collect()
    }

    /// Whether deliveries gather for so long that they make files rather than requests.
    pub(crate) fn gathers_long(&self) -> bool {
        self.batch.delay >= LONG_DELAY
    }

    /// How many deliveries may wait to be tried again: at least two requests full.
    pub(crate) fn queue(&self, limits: &Limits) -> usize {
        limits.queue.max(self.batch.events.saturating_mul(2))
    }

    /// How far it may read ahead, and how many bytes of events it may hold.
    pub(crate) fn window(&self, limits: &Limits) -> (u64, usize) {
        let batch = u64::try_from(self.batch.events).unwrap_or(u64::MAX).saturating_mul(2);
        let window = limits.window.max(batch);
        let window = if self.gathers_long() { window.max(LONG_WINDOW) } else { window };
        (window, limits.window_bytes.max(self.batch.bytes.saturating_mul(2)))
    }
}

impl Batch {
    fn new(spec: &Spec, config: &DestinationConfig) -> Result<Self, SettingsError> {
        let batch = &spec.batch;
        let given = |setting: &Option<String>| match setting {
            Some(name) => count(spec, &config.settings, name),
            None => Ok(None),
        };
        let events = given(&batch.events_setting)?.and_then(|events| usize::try_from(events).ok());
        let delay = given(&batch.delay_seconds_setting)?.map(Duration::from_secs);
        Ok(Self {
            events: events.unwrap_or(batch.events).max(1),
            bytes: batch.bytes,
            delay: delay.unwrap_or(Duration::from_millis(batch.delay_ms)),
            among: batch.among,
        })
    }
}

fn spec_of(config: &DestinationConfig) -> Result<&'static Spec, SettingsError> {
    registry::find(&config.definition)
        .ok_or_else(|| SettingsError::new("definition", "names no definition of the catalog"))
}

fn rate(spec: &Spec, config: &DestinationConfig) -> Result<Option<f64>, SettingsError> {
    let given = match &spec.limits.requests_per_second_setting {
        Some(name) => count(spec, &config.settings, name)?,
        None => None,
    };
    Ok(given.map(|rate| rate as f64).or(spec.limits.requests_per_second))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::Addresses;
    use tributary_model::workspace::Mapping;
    use tributary_model::{DestinationId, Position, WorkspaceId};

    #[test]
    fn the_way_to_a_destination_needs_no_mappings() {
        let (key, limits) = ((WorkspaceId(1), DestinationId(1)), Limits::default());
        let outbound = Arc::new(Outbound::new(Addresses::Any, limits.connect_timeout).expect("a way out"));
        let ways = Ways { outbound, tokens: None };
        let mut config = DestinationConfig::new(key.0, key.1, "webhook", Position::at(0));
        config.mappings = Some(vec![Mapping {
            id: 1,
            name: "broken".to_owned(),
            action: "no_such".to_owned(),
            enabled: true,
            trigger: None,
            fields: [].into(),
        }]);
        let way = |config: &DestinationConfig| Configured::transport(config, &limits, &ways);
        assert_eq!(way(&config).err().map(|why| why.field), Some("url".to_owned()));
        config.settings.insert("url".to_owned(), "https://example.com/hook".into());
        assert!(way(&config).is_ok());
        let broken = Configured::new(&config, &limits, &ways).err().expect("there is no such action");
        assert!(broken.field.starts_with("mappings[0]"), "{broken}");
        config.definition = "no-such".to_owned();
        assert_eq!(way(&config).err().map(|why| why.field), Some("definition".to_owned()));
    }
}
