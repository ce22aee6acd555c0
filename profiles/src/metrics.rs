//! The names of this crate's metrics; `docs/metrics.md` explains each.

/// Counter: events by `stage` and `outcome`; this crate's stage is `projector`.
pub const EVENTS: &str = "tributary_outcomes_total";
/// Gauge: live profiles by `workspace`.
pub const PROFILES: &str = "tributary_profiles";
/// Counter: merges of profiles.
pub const MERGES: &str = "tributary_profile_merges_total";
/// Counter: identifiers left out of a profile, by `reason`.
pub const DEMOTIONS: &str = "tributary_identifiers_demoted_total";
/// Counter: commands about identity that were read, by `action` and `outcome`.
pub const COMMANDS: &str = "tributary_identity_commands_total";
/// Counter: alarms about identity, by `kind`.
pub const IDENTITY_ALARMS: &str = "tributary_identity_alarms_total";
/// Gauge: the sequence up to which the projector has read the events log.
pub const PROJECTED_SEQUENCE: &str = "tributary_projector_sequence";
/// Gauge: how many records of the events log the projector has yet to read.
pub const LAG: &str = "tributary_projector_lag_records";
/// Histogram: seconds that a checkpoint took, from taking the changes to the store having them.
pub const CHECKPOINT_SECONDS: &str = "tributary_checkpoint_seconds";
/// Counter: entries written by checkpoints.
pub const CHECKPOINT_ENTRIES: &str = "tributary_checkpoint_entries_total";
/// Counter: appends to the activations log that had to be tried again.
pub const ACTIVATION_RETRIES: &str = "tributary_activation_append_retries_total";
/// Counter: profile API requests by `endpoint` and `status`.
pub const API_REQUESTS: &str = "tributary_profile_requests_total";
