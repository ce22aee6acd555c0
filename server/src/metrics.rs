//! The metrics of configuration and admin API, and of what destinations stand to lose. Every one is a row of
//! `docs/metrics.md`.

use tributary_model::{DestinationId, ErrorCode, WorkspaceId};

/// Changes of workspaces, by `result`: `made`, `refused`, or `unsettled` without an answer of the log. Counter.
pub(crate) const WORKSPACE_CHANGES: &str = "tributary_workspace_changes_total";

/// Requests that the admin API refused, by `code`: the names of error codes. Counter.
pub(crate) const ADMIN_REFUSALS: &str = "tributary_admin_refusals_total";

/// Previews of audiences that were refused because so many were under way. Counter.
pub(crate) const AUDIENCE_PREVIEWS_REFUSED: &str = "tributary_audience_previews_refused_total";

/// The share of the activations' retention, from 0 to 1, that is used by what a destination still needs. Labels: `workspace`,
/// `destination`. Gauge.
pub(crate) const RETENTION_USED: &str = "tributary_destination_retention_used_ratio";

pub(crate) fn workspace_change(result: &'static str) {
    metrics::counter!(WORKSPACE_CHANGES, "result" => result).increment(1);
}

pub(crate) fn admin_refusal(code: ErrorCode) {
    metrics::counter!(ADMIN_REFUSALS, "code" => code.name()).increment(1);
}

pub(crate) fn audience_preview_refused() {
    metrics::counter!(AUDIENCE_PREVIEWS_REFUSED).increment(1);
}

pub(crate) fn retention_used(workspace: WorkspaceId, destination: DestinationId, share: f64) {
    let labels = [("workspace", workspace.to_string()), ("destination", destination.to_string())];
    metrics::gauge!(RETENTION_USED, &labels).set(share);
}
