//! The settings in the form that the parts of the server take.

use std::time::Duration;

use tributary_destinations::{Limits, RetryPolicy};
use tributary_eventlog::LogOptions;
use tributary_ingest::IngestLimits;

use super::{DestinationsSettings, IngestSettings, LogSettings};

/// Every setting has a range whose upper end fits any 64-bit machine; on a smaller one it is cut.
fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl IngestSettings {
    /// The collector's limits.
    pub fn limits(&self) -> IngestLimits {
        IngestLimits {
            wire_bytes_max: size(self.wire_bytes_max),
            decoded_bytes_max: size(self.decoded_bytes_max),
            inflate_ratio_max: size(self.inflate_ratio_max),
            ratio_free_bytes: size(self.ratio_free_bytes),
            batch_events_max: size(self.batch_events_max),
            defaults_bytes_max: size(self.defaults_bytes_max),
            in_flight_bytes_max: size(self.in_flight_bytes_max),
            body_read_timeout: self.body_read_timeout,
            stream_events_in_flight_max: small(self.stream_events_in_flight_max),
            stream_bytes_in_flight_max: size(self.stream_bytes_in_flight_max),
            event_bytes_max: size(self.event_bytes_max),
            event_bytes_mark: size(self.event_bytes_mark),
            depth_max: size(self.depth_max),
            properties_max: size(self.properties_max),
            message_id_bytes_max: size(self.message_id_bytes_max),
            identifier_bytes_max: size(self.identifier_bytes_max),
            clock_tolerance: self.clock_tolerance,
        }
    }
}

impl LogSettings {
    /// The options of a log of that name, which keeps entries for so long and so many bytes of them.
    pub fn options(&self, name: &'static str, age: Duration, bytes: u64) -> LogOptions {
        LogOptions {
            segment_bytes: self.segment_bytes,
            frame_bytes: size(self.frame_bytes),
            retention_age: Some(age),
            retention_bytes: Some(bytes),
            free_space_bytes: self.free_space_bytes,
            free_space_percent: u8::try_from(self.free_space_percent).unwrap_or(u8::MAX),
            commit_interval: self.commit_interval,
            queue_appends_max: size(self.queue_appends_max),
            queue_bytes_max: size(self.queue_bytes_max),
            ..LogOptions::new(name)
        }
    }
}

impl DestinationsSettings {
    /// When failed deliveries are tried again, and when they are given up.
    pub fn retry_policy(&self) -> RetryPolicy {
        RetryPolicy { base: self.backoff_base, cap: self.backoff_max, give_up_after: self.give_up_after }
    }

    /// The limits of each destination.
    pub fn limits(&self) -> Limits {
        Limits {
            concurrency: size(self.concurrency_max),
            window: self.window_activations_max,
            window_bytes: size(self.window_bytes_max),
            queue: size(self.queue_deliveries_max),
            retry_bytes: self.retry_bytes_max,
            outage_failures: small(self.outage_failures_min),
            outage_after: self.outage_after,
            probe_max: self.probe_max,
            connect_timeout: self.connect_timeout,
            request_timeout: self.request_timeout,
            response_bytes: size(self.response_bytes_max),
            dead_letters: size(self.dead_letters_max),
            dead_letter_bytes: self.dead_letter_bytes_max,
            record_days: u16::try_from(self.record_days).unwrap_or(u16::MAX),
            record_bytes: self.record_bytes_max,
            record_successes_per_second: small(self.record_successes_per_second),
            record_sample_percent: small(self.record_sample_percent),
            ..Limits::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Environment, ServeArgs};

    #[test]
    fn the_defaults_are_those_of_the_parts() {
        let config = Config::load(&ServeArgs::default(), &Environment::default()).expect("defaults");
        assert_eq!(format!("{:?}", config.ingest.limits()), format!("{:?}", IngestLimits::default()));
        assert_eq!(config.destinations.limits(), Limits::default());
        assert_eq!(config.destinations.retry_policy(), RetryPolicy::default());
        let log = config.log.options("events", config.events.retention, config.events.retention_bytes_max);
        let default = LogOptions::new("events");
        assert_eq!((log.segment_bytes, log.frame_bytes), (default.segment_bytes, default.frame_bytes));
        assert_eq!(
            (log.free_space_bytes, log.free_space_percent, log.queue_appends_max, log.queue_bytes_max),
            (
                default.free_space_bytes,
                default.free_space_percent,
                default.queue_appends_max,
                default.queue_bytes_max
            ),
        );
    }
}
