//! The sections of numbered settings: limits, retention, retries, caches.
//!
//! Every name ends in its unit. A breach of a limit is a named outcome or a clear error where it is met.

use std::time::Duration;

use super::error::ConfigError;
use super::given::Given;
use super::section::{Quantity, Setting, Unit, section, setting, type_of, unit_of};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const GB: u64 = 1_000_000_000;
const DAY_SECONDS: u64 = 86_400;
const YEAR_SECONDS: u64 = 366 * DAY_SECONDS;

section! {
    /// What the collector accepts.
    ["ingest"] IngestSettings, WrittenIngest;
    /// The largest request body as sent, in bytes. A larger one is answered with 413.
    wire_bytes_max(wire_bytes_max): bytes = 5 * MIB, KIB..=GIB;
    /// The largest request body once decoded, in bytes. A larger one is answered with 413.
    decoded_bytes_max(decoded_bytes_max): bytes = 8 * MIB, KIB..=GIB;
    /// How many times larger than as sent a body may become.
    inflate_ratio_max(inflate_ratio_max): count = 100, 2..=10_000;
    /// Decoded bytes up to which the ratio does not matter.
    ratio_free_bytes(ratio_free_bytes): bytes = MIB, 0..=GIB;
    /// The most events in one batch. A larger batch is answered with 413.
    batch_events_max(batch_events_max): count = 2_500, 1..=100_000;
    /// Bytes that the defaults of a batch (`context`, `integrations`) may add to its events, all together.
    defaults_bytes_max(defaults_bytes_max): bytes = 8 * MIB, KIB..=GIB;
    /// Bytes of all bodies in work at one time. What does not fit is answered with 503.
    in_flight_bytes_max(in_flight_bytes_max): bytes = 128 * MIB, MIB..=64 * GIB;
    /// How long a client may take to send the head of a request, in milliseconds.
    header_read_timeout(header_read_timeout_ms): millis = 5_000, 100..=600_000;
    /// How long a client may take to send a body, in milliseconds.
    body_read_timeout(body_read_timeout_ms): millis = 30_000, 100..=3_600_000;
    /// How many events of one gRPC stream may be taken in and not acknowledged yet. Beyond that it is not read.
    stream_events_in_flight_max(stream_events_in_flight_max): count = 2_000, 1..=1_000_000;
    /// How many bytes of such events there may be. Beyond that the stream is not read.
    stream_bytes_in_flight_max(stream_bytes_in_flight_max): bytes = 8 * MIB, KIB..=GIB;
    /// The largest single event as sent, in bytes. A larger one is rejected by itself.
    event_bytes_max(event_bytes_max): bytes = MIB, KIB..=64 * MIB;
    /// Above how many bytes an event is marked as large.
    event_bytes_mark(event_bytes_mark): bytes = 32 * KIB, KIB..=64 * MIB;
    /// How deeply an event may be nested; a flat object has one level.
    depth_max(depth_max): count = 64, 4..=1_000;
    /// Members of `properties`, `traits` and `context.traits`, each.
    properties_max(properties_max): count = 1_000, 1..=1_000_000;
    /// Bytes of a message id.
    message_id_bytes_max(message_id_bytes_max): bytes = 256, 1..=256;
    /// Bytes of `userId`, `anonymousId`, `previousId` and `groupId`, each.
    identifier_bytes_max(identifier_bytes_max): bytes = 512, 1..=512;
    /// By how many milliseconds a client's clock may be off before its times are corrected.
    clock_tolerance(clock_tolerance_ms): millis = 10_000, 0..=86_400_000;
}

section! {
    /// What holds for every log.
    ["log"] LogSettings, WrittenLog;
    /// How many bytes a segment file holds before the next one is begun.
    segment_bytes(segment_bytes): bytes = 64 * MIB, MIB..=GIB;
    /// How many bytes of entries share a frame.
    frame_bytes(frame_bytes): bytes = 64 * KIB, KIB..=16 * MIB;
    /// How many milliseconds lie between two fsyncs of a log at least. What is appended meanwhile shares the next one.
    commit_interval(commit_interval_ms): millis = 2, 0..=1_000;
    /// How many appends may wait to be written before further ones are refused with 503.
    queue_appends_max(queue_appends_max): count = 16_384, 1..=10_000_000;
    /// How many bytes of entries may wait to be written before further ones are refused with 503.
    queue_bytes_max(queue_bytes_max): bytes = 64 * MIB, MIB..=16 * GIB;
    /// Nothing is accepted while less than this many bytes are free on the disk. The smaller of this mark and
    /// `free_space_percent` counts.
    free_space_bytes(free_space_bytes): bytes = 2 * GIB, 0..=1_000 * GIB;
    /// Nothing is accepted while less than this share of the disk is free, in percent.
    free_space_percent(free_space_percent): percent = 5, 0..=90;
}

section! {
    /// How long events are kept.
    ["events"] EventsSettings, WrittenEvents;
    /// How many seconds events are kept.
    retention(retention_seconds): seconds = 30 * DAY_SECONDS, 60..=100 * YEAR_SECONDS;
    /// How many bytes of events are kept.
    retention_bytes_max(retention_bytes_max): bytes = 50 * GB, MIB..=1_000_000 * GB;
    /// Within how many seconds an event whose message id was seen before counts as a duplicate.
    duplicate_window(duplicate_window_seconds): seconds = 7 * DAY_SECONDS, 60..=YEAR_SECONDS;
}

section! {
    /// How long activations are kept.
    ["activations"] ActivationsSettings, WrittenActivations;
    /// How many seconds activations are kept.
    retention(retention_seconds): seconds = 14 * DAY_SECONDS, 60..=100 * YEAR_SECONDS;
    /// How many bytes of activations are kept.
    retention_bytes_max(retention_bytes_max): bytes = 50 * GB, MIB..=1_000_000 * GB;
}

section! {
    /// How long rejected events are kept.
    ["rejects"] RejectsSettings, WrittenRejects;
    /// How many seconds rejected events are kept.
    retention(retention_seconds): seconds = 7 * DAY_SECONDS, 60..=100 * YEAR_SECONDS;
    /// How many bytes of rejected events are kept.
    retention_bytes_max(retention_bytes_max): bytes = 5 * GB, MIB..=1_000_000 * GB;
}

section! {
    /// The state of profiles.
    ["state"] StateSettings, WrittenState;
    /// How many bytes sled may cache.
    sled_cache_bytes(sled_cache_bytes): bytes = 128 * MIB, MIB..=1_000 * GIB;
    /// How many bytes of decoded entries of profiles are held in memory, about.
    entry_cache_bytes(entry_cache_bytes): bytes = 128 * MIB, MIB..=1_000 * GIB;
    /// How many bytes of resolutions are held in memory, about: whose identifiers are whose, for events that bring no new
    /// ones.
    resolution_cache_bytes(resolution_cache_bytes): bytes = 64 * MIB, MIB..=1_000 * GIB;
    /// How many bytes of merged views of profiles are held in memory, about.
    view_cache_bytes(view_cache_bytes): bytes = 16 * MIB, MIB..=1_000 * GIB;
    /// How many bytes the column index that previews of audiences ask takes in memory, about, for all workspaces together;
    /// what was asked longest ago is dropped.
    columns_bytes_max(columns_bytes_max): bytes = 512 * MIB, MIB..=1_000 * GIB;
    /// How many milliseconds lie between two checkpoints.
    checkpoint_interval(checkpoint_interval_ms): millis = 1_000, 10..=600_000;
    /// How many seconds lie between two full snapshots.
    snapshot_interval(snapshot_interval_seconds): seconds = DAY_SECONDS, 60..=YEAR_SECONDS;
    /// How many full snapshots are kept. Events are never removed past the oldest of them.
    snapshots_kept(snapshots_kept): count = 2, 1..=100;
    /// How many bytes the database of indexes may cache.
    index_cache_bytes(index_cache_bytes): bytes = 32 * MIB, MIB..=1_000 * GIB;
}

section! {
    /// How destinations are served, each by itself.
    ["destinations"] DestinationsSettings, WrittenDestinations;
    /// For how many seconds a delivery is tried before it becomes a dead letter.
    give_up_after(give_up_after_seconds): seconds = 7 * DAY_SECONDS, 1..=YEAR_SECONDS;
    /// The longest wait after the first failure, in milliseconds; each further one doubles it.
    backoff_base(backoff_base_ms): millis = 500, 1..=3_600_000;
    /// The longest wait after any failure, in milliseconds, unless the receiver asks for more.
    backoff_max(backoff_max_ms): millis = 600_000, 1..=86_400_000;
    /// How long connecting may take, in milliseconds.
    connect_timeout(connect_timeout_ms): millis = 10_000, 10..=600_000;
    /// How long a whole request may take, in milliseconds.
    request_timeout(request_timeout_ms): millis = 15_000, 10..=600_000;
    /// How many requests may be under way at once.
    concurrency_max(concurrency_max): count = 32, 1..=10_000;
    /// How many activations it may read past the oldest unfinished one.
    window_activations_max(window_activations_max): count = 4_096, 1..=1_000_000;
    /// Bytes of events that it may hold in memory.
    window_bytes_max(window_bytes_max): bytes = 16 * MIB, MIB..=16 * GIB;
    /// Deliveries that may wait to be tried again. When they are that many, reading waits.
    queue_deliveries_max(queue_deliveries_max): count = 10_000, 1..=10_000_000;
    /// Bytes of the events of deliveries that may wait to be tried again. When they are that many, reading waits.
    retry_bytes_max(retry_bytes_max): bytes = 64 * MIB, KIB..=64 * GIB;
    /// How many requests in a row have to fail as in an outage before the destination is paused.
    outage_failures_min(outage_failures_min): count = 20, 1..=1_000_000;
    /// Over how many milliseconds at least these requests have to fail.
    outage_after(outage_after_ms): millis = 30_000, 0..=86_400_000;
    /// The longest wait, in milliseconds, between two looks at the receiver of a paused destination.
    probe_max(probe_max_ms): millis = 60_000, 100..=86_400_000;
    /// Bytes of a response's body that are read.
    response_bytes_max(response_bytes_max): bytes = 64 * KIB, KIB..=64 * MIB;
    /// Dead letters that are kept; beyond that the oldest go.
    dead_letters_max(dead_letters_max): count = 100_000, 1..=100_000_000;
    /// Bytes of dead letters that are kept; beyond that the oldest go.
    dead_letter_bytes_max(dead_letter_bytes_max): bytes = GIB, MIB..=1_000 * GIB;
    /// For how many days attempts are remembered.
    record_days(record_days): count = 14, 1..=3_660;
    /// Bytes of attempts that are remembered of one day; further attempts of that day are counted only.
    record_bytes_max(record_bytes_max): bytes = 256 * MIB, MIB..=1_000 * GIB;
    /// Of how many deliveries that went well request and response are remembered each second.
    record_successes_per_second(record_successes_per_second): count = 10, 0..=1_000_000;
    /// Of how many of a hundred deliveries that went well request and response are remembered beyond that.
    record_sample_percent(record_sample_percent): percent = 1, 0..=100;
}

section! {
    /// What the admin API takes.
    ["admin"] AdminSettings, WrittenAdmin;
    /// The largest request body, in bytes. A larger one is answered with 413.
    body_bytes_max(body_bytes_max): bytes = MIB, KIB..=64 * MIB;
    /// The most workspaces, deleted ones not counted.
    workspaces_max(workspaces_max): count = 1_000, 1..=100_000;
    /// The most sources in a workspace.
    sources_max(sources_max): count = 1_000, 1..=100_000;
    /// The most destinations in a workspace.
    destinations_max(destinations_max): count = 200, 1..=10_000;
    /// The most tokens in a workspace.
    tokens_max(tokens_max): count = 1_000, 1..=100_000;
}
