//! The metrics of configuration and admin API. Every one is a row of `docs/metrics.md`.

use tributary_model::ErrorCode;

/// Changes of workspaces, by `result`: `made`, `refused`, or `unsettled` without an answer of the log. Counter.
pub(crate) const WORKSPACE_CHANGES: &str = "tributary_workspace_changes_total";

/// Requests that the admin API refused, by `code`: the names of error codes. Counter.
pub(crate) const ADMIN_REFUSALS: &str = "tributary_admin_refusals_total";

/// Previews of audiences that were refused because so many were under way. Counter.
pub(crate) const AUDIENCE_PREVIEWS_REFUSED: &str = "tributary_audience_previews_refused_total";

pub(crate) fn workspace_change(result: &'static str) {
    metrics::counter!(WORKSPACE_CHANGES, "result" => result).increment(1);
}

pub(crate) fn admin_refusal(code: ErrorCode) {
    metrics::counter!(ADMIN_REFUSALS, "code" => code.name()).increment(1);
}

pub(crate) fn audience_preview_refused() {
    metrics::counter!(AUDIENCE_PREVIEWS_REFUSED).increment(1);
}
