//! From the checked configuration to what each part is set up with.

use crate::config::{Config, LogSettings};
use std::sync::Arc;
use std::time::Duration;
use tributary_destinations::{Limits, RetryPolicy};
use tributary_eventlog::LogOptions;
use tributary_eventlog::index::IndexOptions;
use tributary_eventlog::kafka::KafkaOptions;
use tributary_ingest::IngestLimits;
use tributary_model::clock::Clock;
use tributary_profiles::{ProjectorOptions, StatePaths};

pub(super) fn events_log(config: &Config, clock: &Arc<dyn Clock>) -> LogOptions {
    let kept = (config.events.retention, config.events.retention_bytes_max);
    log("events", &config.log, kept, clock)
}

pub(super) fn activations_log(config: &Config, clock: &Arc<dyn Clock>) -> LogOptions {
    let kept = (config.activations.retention, config.activations.retention_bytes_max);
    log("activations", &config.log, kept, clock)
}

pub(super) fn events_in_kafka(config: &Config) -> KafkaOptions {
    config.kafka.events(&config.ingest, &config.log, config.events.retention)
}

pub(super) fn activations_in_kafka(config: &Config) -> KafkaOptions {
    config.kafka.activations(&config.ingest, &config.log, config.activations.retention)
}

pub(super) fn rejects_log(config: &Config, clock: &Arc<dyn Clock>) -> LogOptions {
    let kept = (config.rejects.retention, config.rejects.retention_bytes_max);
    log("rejects", &config.log, kept, clock)
}

fn log(
    name: &'static str,
    settings: &LogSettings,
    (age, bytes): (Duration, u64),
    clock: &Arc<dyn Clock>,
) -> LogOptions {
    LogOptions { clock: Arc::clone(clock), ..settings.options(name, age, bytes) }
}

pub(super) fn ingest_limits(config: &Config) -> IngestLimits {
    config.ingest.limits()
}

pub(super) fn indexes(config: &Config) -> IndexOptions {
    let days = config.events.retention.as_secs().div_ceil(86_400) + 1;
    IndexOptions {
        message_window: config.events.duplicate_window,
        message_days_kept: u32::try_from(days).unwrap_or(u32::MAX),
    }
}

pub(super) fn projector(config: &Config) -> ProjectorOptions {
    let settings = &config.state;
    ProjectorOptions {
        store_cache_bytes: settings.sled_cache_bytes,
        entry_cache_bytes: settings.entry_cache_bytes,
        resolution_cache_bytes: settings.resolution_cache_bytes,
        view_cache_bytes: settings.view_cache_bytes,
        columns_bytes_max: settings.columns_bytes_max,
        checkpoint_interval: settings.checkpoint_interval,
        snapshot_interval: settings.snapshot_interval,
        snapshots_kept: size(settings.snapshots_kept),
        message_window: config.events.duplicate_window,
        ..ProjectorOptions::new(StatePaths::within(&config.data_dir))
    }
}

pub(super) fn retries(config: &Config) -> RetryPolicy {
    config.destinations.retry_policy()
}

pub(super) fn destination_limits(config: &Config) -> Limits {
    let days = config.activations.retention.as_secs().div_ceil(86_400);
    let activation_days = u16::try_from(days).unwrap_or(u16::MAX);
    Limits { activation_days, ..config.destinations.limits() }
}

/// A number of bytes or things as this machine counts them.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
