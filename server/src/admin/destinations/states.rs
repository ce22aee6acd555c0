//! What is told of how destinations are doing.

use std::collections::BTreeMap;

use serde::Serialize;
use tributary_destinations::{DestinationStatus, PauseReason, Paused, Totals};
use tributary_model::outcome::Outcome;
use utoipa::ToSchema;

use super::bodies::DestinationView;
use super::reports::FailureView;

/// From which share of the activations' retention on it is warned that a destination will lose something.
pub(crate) const RETENTION_WARNING: f64 = 0.8;

/// How a destination is doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationStatusView {
    /// Its id.
    #[schema(example = "dst_3")]
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// `on`, `off`, `paused` or `broken`.
    #[schema(example = "on")]
    pub state: &'static str,
    /// On or off.
    pub enabled: bool,
    /// Why it can't work as it is set up.
    pub problem: Option<String>,
    /// Why nothing is sent although it is on.
    pub paused: Option<PausedView>,
    /// Every activation below this sequence has ended for it, or waits to be tried again.
    pub cursor: u64,
    /// Activations from there to the end of their log, those of other workspaces included.
    pub behind: u64,
    /// Deliveries that wait to be tried again, or behind such.
    pub waiting: u64,
    /// Bytes of their events.
    pub waiting_bytes: u64,
    /// When the next of them is due.
    #[schema(format = DateTime)]
    pub next_due: Option<String>,
    /// Deliveries that are being attempted.
    pub under_way: u64,
    /// Requests that may be under way at once, as the receiver's answers let it.
    pub concurrency: u64,
    /// When the oldest event arrived that has not ended, whether it was read or not.
    #[schema(format = DateTime)]
    pub oldest_pending: Option<String>,
    /// The share of the activations' retention, from 0 to 1, that is used by what it still needs.
    pub retention_used: f64,
    /// Whether retention will soon take something that it still needs.
    pub retention_warning: bool,
    /// The last failure of an attempt; `null` after a success.
    pub last_error: Option<String>,
    /// Its deliveries since it was created.
    pub totals: TotalsView,
    /// Deliveries that replays sent again.
    pub replayed: TotalsView,
}

/// Why nothing is sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct PausedView {
    /// `credentials` (they are refused; it goes on when its settings are changed, or by a call) or `outage` (the receiver is
    /// out; it is tried now and then, and goes on by itself).
    #[schema(example = "outage")]
    pub reason: &'static str,
    /// What happened.
    pub failure: FailureView,
    /// Since when.
    #[schema(format = DateTime)]
    pub since: String,
    /// When the receiver is tried next; `null` if only somebody ends it.
    #[schema(format = DateTime)]
    pub probes_at: Option<String>,
}

/// Deliveries, counted.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalsView {
    /// Those that are on record: the sum of those that ended and those that wait to be tried again.
    pub taken: u64,
    /// How many ended in which way.
    #[schema(value_type = Object, example = json!({"delivered": 120, "filtered_by_consent": 3}))]
    pub ended: BTreeMap<&'static str, u64>,
}

impl TotalsView {
    fn of(totals: &Totals) -> Self {
        let ended = Outcome::ALL.into_iter().map(|outcome| (outcome.name(), totals.ended(outcome)));
        Self { taken: totals.taken, ended: ended.filter(|(_, count)| *count > 0).collect() }
    }
}

impl DestinationStatusView {
    /// How a destination is doing of which the engine says this; one that it does not know yet does nothing.
    pub(in crate::admin) fn of(
        view: DestinationView,
        status: Option<DestinationStatus>,
        retention_used: f64,
    ) -> Self {
        let DestinationView { destination, state, problem } = view;
        let status = status.unwrap_or_default();
        let paused = status.paused.as_ref().map(PausedView::of);
        Self {
            id: destination.id,
            name: destination.name,
            state,
            enabled: destination.enabled,
            problem,
            paused,
            cursor: status.cursor,
            behind: status.behind,
            waiting: status.waiting,
            waiting_bytes: status.waiting_bytes,
            next_due: status.next_due.map(|at| at.to_string()),
            under_way: status.under_way,
            concurrency: status.concurrency,
            oldest_pending: status.oldest_pending.map(|at| at.to_string()),
            retention_used,
            retention_warning: retention_used >= RETENTION_WARNING,
            last_error: status.last_error,
            totals: TotalsView::of(&status.totals),
            replayed: TotalsView::of(&status.replayed),
        }
    }
}

impl PausedView {
    fn of(paused: &Paused) -> Self {
        let reason = match paused.reason {
            PauseReason::Credentials => "credentials",
            PauseReason::Outage => "outage",
        };
        Self {
            reason,
            failure: FailureView::of(&paused.failure),
            since: paused.since.to_string(),
            probes_at: paused.probes_at.map(|at| at.to_string()),
        }
    }
}

/// How all destinations are doing.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusesView {
    /// All destinations, by id.
    pub data: Vec<DestinationStatusView>,
    /// Those that are on and don't work, and those that will lose something. One can be there twice.
    pub alarms: Vec<DestinationAlarm>,
}

/// A destination that somebody should look at.
#[derive(Debug, Serialize, ToSchema)]
pub struct DestinationAlarm {
    /// Its id.
    #[schema(example = "dst_3")]
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// `paused_credentials`, `paused_outage` or `broken`; or `retention`: what it still needs is about to expire.
    #[schema(example = "paused_credentials")]
    pub kind: String,
    /// Since when, if that is known; of `retention` when the oldest event arrived that it has not had.
    #[schema(format = DateTime)]
    pub since: Option<String>,
    /// What is wrong.
    pub message: String,
}

impl StatusesView {
    pub(in crate::admin) fn of(data: Vec<DestinationStatusView>) -> Self {
        let of = |status| [DestinationAlarm::of(status), DestinationAlarm::of_retention(status)];
        let alarms = data.iter().flat_map(of).flatten().collect();
        Self { data, alarms }
    }
}

impl DestinationAlarm {
    fn of(status: &DestinationStatusView) -> Option<Self> {
        let (id, name) = (status.id.clone(), status.name.clone());
        if let Some(problem) = status.problem.clone().filter(|_| status.state == "broken") {
            return Some(Self { id, name, kind: "broken".to_owned(), since: None, message: problem });
        }
        let paused = status.paused.as_ref().filter(|_| status.state == "paused")?;
        let kind = format!("paused_{}", paused.reason);
        Some(Self {
            id,
            name,
            kind,
            since: Some(paused.since.clone()),
            message: paused.failure.message.clone(),
        })
    }

    fn of_retention(status: &DestinationStatusView) -> Option<Self> {
        if !status.retention_warning {
            return None;
        }
        let percent = status.retention_used * 100.0;
        Some(Self {
            id: status.id.clone(),
            name: status.name.clone(),
            kind: "retention".to_owned(),
            since: status.oldest_pending.clone(),
            message: format!(
                "what it has not had has used {percent:.0} % of the retention of activations, and will be lost"
            ),
        })
    }
}
