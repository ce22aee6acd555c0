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
/// Counter: limits on accounts that were hit, by `limit`.
pub const ACCOUNT_LIMIT_HITS: &str = "tributary_account_limit_hits_total";
/// Counter: memberships of audiences that began or ended, by `change`.
pub const AUDIENCE_CHANGES: &str = "tributary_audience_changes_total";
/// Counter: ticks that were acted on, by `kind`.
pub const TICKS: &str = "tributary_ticks_total";
/// Counter: ticks that the events log refused.
pub const TICKS_REFUSED: &str = "tributary_ticks_refused_total";
/// Counter: timers of profiles that were taken.
pub const TIMERS: &str = "tributary_timers_taken_total";
/// Histogram: by how many seconds the first of the timers that a tick took was late.
pub const TIMER_LATE_SECONDS: &str = "tributary_timer_late_seconds";
/// Counter: records of the events log that were read back for new definitions.
pub const READ_BACK: &str = "tributary_records_read_back_total";
/// Gauge: the sequence up to which the projector has read the events log.
pub const PROJECTED_SEQUENCE: &str = "tributary_projector_sequence";
/// Gauge: how many records of the events log the projector has yet to read.
pub const LAG: &str = "tributary_projector_lag_records";
/// Histogram: seconds that a checkpoint took, from taking the changes to the store having them.
pub const CHECKPOINT_SECONDS: &str = "tributary_checkpoint_seconds";
/// Counter: entries written by checkpoints.
pub const CHECKPOINT_ENTRIES: &str = "tributary_checkpoint_entries_total";
/// Counter: events for which something had to make room in what is kept for definitions, by `limit`.
pub const DEFINITION_LIMIT_HITS: &str = "tributary_definition_limit_hits_total";
/// Gauge: bytes of memory (about) that the column index takes.
pub const COLUMNS_BYTES: &str = "tributary_columns_bytes";
/// Counter: what had no room in the column index, by `what`.
pub const COLUMNS_WITHOUT_ROOM: &str = "tributary_columns_without_room_total";
/// Counter: appends to the activations log that had to be tried again.
pub const ACTIVATION_RETRIES: &str = "tributary_activation_append_retries_total";
/// Gauge: watches of profiles and audiences that are open.
pub const WATCHES: &str = "tributary_profile_watches";
/// Counter: profile API requests by `endpoint` and `status`.
pub const API_REQUESTS: &str = "tributary_profile_requests_total";
