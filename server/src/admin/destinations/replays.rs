//! Replays: how an order is read, and what is told of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tributary_destinations::DestinationStatus;
use tributary_destinations::replay::{ReplayJob, ReplayOnly, ReplayOrder, ReplayState};
use tributary_model::outcome::Outcome;
use utoipa::ToSchema;

use super::bodies::DestinationView;
use super::queries::reason;
use super::rules::about_event;
use crate::admin::edit::invalid_at;
use crate::admin::error::ApiError;
use crate::admin::request;

/// The most deliveries a second that can be asked for.
const RATE_MAX: u32 = 1_000_000;

/// What is to be sent again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayNew {
    /// Only events that arrived then or later.
    #[schema(format = DateTime)]
    pub from: Option<String>,
    /// Only events that arrived before that.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Only events of which this condition about an event holds, as a text or as a tree.
    #[schema(value_type = Option<Object>, example = "event = \"Order Completed\"")]
    pub condition: Option<Value>,
    /// `all` (as it is where nothing is said), `not_delivered` (those that did not end as delivered) or `dead_letters` (those
    /// that were given up).
    #[schema(example = "not_delivered")]
    pub only: Option<ReplayOnlyBody>,
    /// With `dead_letters`: only those that were given up for this reason.
    #[schema(example = "unauthorized")]
    pub reason: Option<String>,
    /// Whether it only counts; it does not where nothing is said.
    pub dry_run: Option<bool>,
    /// How many deliveries a second it begins at most; as many as go where nothing is said.
    #[schema(value_type = Option<u32>)]
    pub rate_per_second: Option<i64>,
}

/// Which deliveries are sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOnlyBody {
    /// All.
    All,
    /// Those that did not end as delivered.
    NotDelivered,
    /// Those that were given up.
    DeadLetters,
}

impl ReplayNew {
    /// What the engine is told.
    ///
    /// # Errors
    /// If a part can't be read, or parts don't go together.
    pub(in crate::admin) fn order(self) -> Result<ReplayOrder, ApiError> {
        let (from, until) = request::span(self.from, self.until)?;
        let condition = self.condition.map(|condition| about_event(&condition, "condition")).transpose()?;
        let reason = self.reason.map(|name| reason(&name)).transpose()?;
        let only = match self.only.unwrap_or(ReplayOnlyBody::All) {
            ReplayOnlyBody::DeadLetters => ReplayOnly::DeadLetters { reason },
            ReplayOnlyBody::All | ReplayOnlyBody::NotDelivered if reason.is_some() => {
                return Err(ApiError::invalid("`reason` goes with `\"only\": \"dead_letters\"` only"));
            }
            ReplayOnlyBody::All => ReplayOnly::All,
            ReplayOnlyBody::NotDelivered => ReplayOnly::NotDelivered,
        };
        let rate_per_second = self.rate_per_second.map(rate).transpose()?;
        let dry_run = self.dry_run.unwrap_or(false);
        Ok(ReplayOrder { from, until, condition, only, dry_run, rate_per_second })
    }
}

/// A number of deliveries a second.
fn rate(given: i64) -> Result<u32, ApiError> {
    let rate = u32::try_from(given).ok().filter(|rate| (1..=RATE_MAX).contains(rate));
    rate.ok_or_else(|| invalid_at("rate_per_second", &format!(": give 1 to {RATE_MAX}")).into())
}

/// A replay, and how far it is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ReplayView {
    /// Its id.
    #[schema(example = "1")]
    pub id: String,
    /// `running`, `done`, `cancelled` or `failed`.
    #[schema(example = "running")]
    pub state: &'static str,
    /// Why it failed.
    pub problem: Option<String>,
    /// Why it does not go on at present, although it runs: its destination is `off`, `paused` or `broken`; or `queue`: what waits
    /// to be tried again leaves it no room. Only a broken one keeps a dry run.
    #[schema(example = "paused")]
    pub waits_for: Option<&'static str>,
    /// Only events that arrived then or later.
    #[schema(format = DateTime)]
    pub from: Option<String>,
    /// Only events that arrived before that.
    #[schema(format = DateTime)]
    pub until: Option<String>,
    /// Only events of which this holds.
    pub condition: Option<String>,
    /// `all`, `not_delivered` or `dead_letters`.
    pub only: &'static str,
    /// The stable code of the failure that they died of, of `dead_letters`.
    pub reason: Option<&'static str>,
    /// Whether it only counts.
    pub dry_run: bool,
    /// How many deliveries a second it begins at most.
    pub rate_per_second: Option<u32>,
    /// The sequence of the activations log at which it began.
    pub first: u64,
    /// Up to where it has read.
    pub next: u64,
    /// Where it ends: at what the destination had read when it began, or before that.
    pub end: u64,
    /// Activations that it has read, those of other workspaces included.
    pub read: u64,
    /// Activations that retention had removed.
    pub expired: u64,
    /// Deliveries that it is about.
    pub matched: u64,
    /// Deliveries of which it can't be told whether it is about them: the condition names what was not kept with them. They
    /// are not sent.
    pub not_evaluable: u64,
    /// Those that it is about and that are not sent, as the destination is now: by outcome.
    #[schema(value_type = Object)]
    pub filtered: BTreeMap<&'static str, u64>,
    /// Deliveries that it put into the retry queue. What waited there already was left alone.
    pub queued: u64,
    /// How those that ended did.
    #[schema(value_type = Object)]
    pub ended: BTreeMap<&'static str, u64>,
    /// When it began.
    #[schema(format = DateTime)]
    pub began_at: String,
    /// When it ended.
    #[schema(format = DateTime)]
    pub ended_at: Option<String>,
}

impl ReplayView {
    pub(crate) fn of(job: ReplayJob) -> Self {
        let order = job.order;
        let (state, problem) = match job.state {
            ReplayState::Running => ("running", None),
            ReplayState::Done => ("done", None),
            ReplayState::Cancelled => ("cancelled", None),
            ReplayState::Failed(why) => ("failed", Some(why)),
        };
        let (only, reason) = match order.only {
            ReplayOnly::All => ("all", None),
            ReplayOnly::NotDelivered => ("not_delivered", None),
            ReplayOnly::DeadLetters { reason } => ("dead_letters", reason.map(|reason| reason.name())),
        };
        Self {
            id: job.id.to_string(),
            state,
            problem,
            waits_for: None,
            from: order.from.map(|at| at.to_string()),
            until: order.until.map(|at| at.to_string()),
            condition: order.condition.map(|condition| condition.to_string()),
            only,
            reason,
            dry_run: order.dry_run,
            rate_per_second: order.rate_per_second,
            first: job.first,
            next: job.next,
            end: job.end,
            read: job.read,
            expired: job.expired,
            matched: job.matched,
            not_evaluable: job.not_evaluable,
            filtered: named(job.filtered),
            queued: job.queued,
            ended: named(job.ended),
            began_at: job.began_at.to_string(),
            ended_at: job.ended_at.map(|at| at.to_string()),
        }
    }

    /// The same, with what keeps it from going on while its destination stands like this, and the engine says this of it.
    pub(in crate::admin) fn beside(self, view: &DestinationView, status: Option<&DestinationStatus>) -> Self {
        let has_no_room = status.is_some_and(|status| status.replay_waits_for_room);
        let waits_for = match view.state {
            _ if self.state != "running" => None,
            _ if view.problem.is_some() => Some("broken"),
            stands @ ("off" | "paused") if !self.dry_run => Some(stands),
            _ if has_no_room && !self.dry_run => Some("queue"),
            _ => None,
        };
        Self { waits_for, ..self }
    }
}

/// Counts by the names of outcomes.
fn named(counts: BTreeMap<Outcome, u64>) -> BTreeMap<&'static str, u64> {
    counts.into_iter().map(|(outcome, count)| (outcome.name(), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use tributary_destinations::failure::Reason;

    #[test]
    fn a_replay_is_read() {
        let cases = [
            (json!({}), Some(ReplayOnly::All)),
            (json!({"only": "not_delivered", "rate_per_second": 5}), Some(ReplayOnly::NotDelivered)),
            (
                json!({"only": "dead_letters", "reason": "unauthorized"}),
                Some(ReplayOnly::DeadLetters { reason: Some(Reason::Unauthorized) }),
            ),
            (json!({"only": "dead_letters"}), Some(ReplayOnly::DeadLetters { reason: None })),
            (json!({"reason": "unauthorized"}), None),
            (json!({"only": "dead_letters", "reason": "bad luck"}), None),
            (json!({"rate_per_second": 1_000_000}), Some(ReplayOnly::All)),
            (json!({"condition": "event ="}), None),
            (json!({"from": "yesterday"}), None),
            (json!({"from": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}), None),
        ];
        for (body, want) in cases {
            let new: ReplayNew = serde_json::from_value(body.clone()).expect("a body");
            assert_eq!(new.order().ok().map(|order| order.only), want, "{body}");
        }
    }

    #[test]
    fn a_rate_out_of_its_range_is_told_the_range() {
        for rate in [0, -1, 1_000_001, 1_000_000_000_000, i64::MIN] {
            let new: ReplayNew = serde_json::from_value(json!({"rate_per_second": rate})).expect("a body");
            let refused = new.order().expect_err("it is out of range").to_string();
            assert!(refused.contains("give 1 to 1000000"), "{rate}: {refused}");
        }
    }
}
