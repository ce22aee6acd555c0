//! What is asked of deliveries that were made: how questions are read, and the rows of answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tributary_destinations::deliveries::{DeliveryCursor, DeliveryQuery, DeliveryState};
use tributary_destinations::failure::Reason;
use tributary_destinations::overview::{Flow, Step};
use tributary_model::outcome::Outcome;
use tributary_model::{DestinationId, MessageId, ProfileId, Timestamp};
use utoipa::ToSchema;

use super::reports::{FailureView, RequestView, ResponseView};
use crate::admin::edit::invalid_at;
use crate::admin::error::ApiError;
use crate::admin::outside::OutsideError;
use crate::admin::request;

/// How far back an overview reaches where nothing is said.
const OVERVIEW_MICROS: i64 = 24 * 3_600_000_000;

/// What a delivery that has not ended is asked for by.
const PENDING: &str = "pending";

/// The reason of that name.
pub(super) fn reason(name: &str) -> Result<Reason, ApiError> {
    Reason::find(name).ok_or_else(|| {
        let known = Reason::ALL.map(Reason::name).join(", ");
        invalid_at("reason", &format!(": there is no {name:?}; there are {known}")).into()
    })
}

/// Where deliveries are found that ended in a way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FoundBy {
    /// In every list: they were tried, or can have been.
    Anything,
    /// By their event alone: nothing is remembered of each but how it ended.
    Event,
    /// Nowhere: events end so, and no delivery does.
    Nothing,
}

const fn found_by(outcome: Outcome) -> FoundBy {
    match outcome {
        Outcome::Delivered
        | Outcome::DeadLetter
        | Outcome::Skipped
        | Outcome::Expired
        | Outcome::DestinationDeleted => FoundBy::Anything,
        Outcome::Filtered
        | Outcome::FilteredByConsent
        | Outcome::FilteredByIntegrations
        | Outcome::FilteredByFilter
        | Outcome::FilteredByTrigger => FoundBy::Event,
        Outcome::Rejected
        | Outcome::Projected
        | Outcome::Duplicate
        | Outcome::WorkspaceDeleted
        | Outcome::Unidentified => FoundBy::Nothing,
    }
}

/// The names of the outcomes that are found so.
fn names(by: FoundBy) -> String {
    let found = Outcome::ALL.into_iter().filter(|outcome| found_by(*outcome) == by);
    found.map(Outcome::name).collect::<Vec<_>>().join(", ")
}

fn state(name: &str) -> Result<DeliveryState, ApiError> {
    if name == PENDING {
        return Ok(DeliveryState::Pending);
    }
    let mut outcomes = Outcome::ALL.into_iter().filter(|outcome| found_by(*outcome) != FoundBy::Nothing);
    let outcome = outcomes.find(|outcome| outcome.name() == name);
    outcome.map(DeliveryState::Ended).ok_or_else(|| {
        let (always, by_event) = (names(FoundBy::Anything), names(FoundBy::Event));
        let known = format!("give {PENDING}, {always}, or with `message_id` alone {by_event}");
        invalid_at("outcome", &format!(": no delivery ends as {name:?}; {known}")).into()
    })
}

/// Refuses to list what only its event leads to.
fn check_outcome(query: &DeliveryQuery) -> Result<(), ApiError> {
    match query.state {
        Some(DeliveryState::Ended(outcome))
            if found_by(outcome) == FoundBy::Event && event_of(query).is_none() =>
        {
            let advice = ": what was left out is found by `message_id` alone; the overview counts it";
            Err(invalid_at("outcome", advice).into())
        }
        Some(DeliveryState::Ended(_) | DeliveryState::Pending) | None => Ok(()),
    }
}

/// Which deliveries, as a query says it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct DeliveriesQuery {
    message_id: Option<String>,
    profile_id: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    from: Option<String>,
    until: Option<String>,
    limit: Option<usize>,
    cursor: Option<String>,
}

impl DeliveriesQuery {
    /// What is looked for.
    ///
    /// # Errors
    /// If a part can't be read.
    pub(in crate::admin) fn query(
        self,
        destination: Option<DestinationId>,
    ) -> Result<DeliveryQuery, ApiError> {
        let (from, until) = request::span(self.from, self.until)?;
        let message_id = self.message_id.map(|id| MessageId::parse(&id)).transpose();
        let profile = self.profile_id.map(|id| id.parse::<ProfileId>()).transpose();
        let cursor = self.cursor.map(|text| DeliveryCursor::parse(&text).ok_or(OutsideError::Cursor));
        let no_id = |place: &str, form: &str| ApiError::from(invalid_at(place, &format!(": give {form}")));
        let message_form = format!("the id of an event, of 1 to {} bytes", MessageId::BYTES_MAX);
        let query = DeliveryQuery {
            destination,
            message_id: message_id.map_err(|_| no_id("message_id", &message_form))?,
            profiles: profile
                .map_err(|_| no_id("profile_id", "32 hexadecimal digits"))?
                .into_iter()
                .collect(),
            state: self.outcome.map(|name| state(&name)).transpose()?,
            reason: self.reason.map(|name| reason(&name)).transpose()?,
            from,
            until,
            limit: request::limit(self.limit)?,
            cursor: cursor.transpose()?,
        };
        check_outcome(&query)?;
        Ok(query)
    }
}

/// The event, if one is asked for and nothing else but how its deliveries ended: then it can be told of each destination what
/// became of it.
pub fn event_of(query: &DeliveryQuery) -> Option<&MessageId> {
    let DeliveryQuery { message_id, profiles, reason, from, until, cursor, .. } = query;
    let is_narrowed =
        !profiles.is_empty() || reason.is_some() || from.is_some() || until.is_some() || cursor.is_some();
    message_id.as_ref().filter(|_| !is_narrowed)
}

/// A delivery of which something is known.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryRow {
    /// The id of its destination.
    #[schema(example = "dst_3")]
    pub destination: String,
    /// The id that receivers see.
    pub delivery_id: Option<String>,
    /// The message id of the event behind it.
    pub message_id: String,
    /// The profile that it is about.
    pub profile_id: Option<String>,
    /// Which call the event is.
    #[schema(example = "track")]
    pub event_type: Option<&'static str>,
    /// How it ended; `null` as long as it has not.
    #[schema(example = "delivered")]
    pub outcome: Option<&'static str>,
    /// `false` if that follows from how far the destination is: of deliveries that went well details are remembered only of
    /// some.
    pub remembered: bool,
    /// That it waits to be tried again, where an event is asked for alone.
    pub waiting: Option<WaitingRow>,
    /// Its attempts: of many the first ones and the newest.
    pub attempts: Vec<AttemptRow>,
}

/// That a delivery waits to be tried again.
#[derive(Debug, Serialize, ToSchema)]
pub struct WaitingRow {
    /// How often it was tried; 0 if it waits behind another one of its profile.
    pub attempts: u32,
    /// When it is due.
    #[schema(format = DateTime)]
    pub due: String,
    /// How it failed last.
    pub failure: Option<FailureView>,
}

/// An attempt to bring a delivery to its destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct AttemptRow {
    /// Which attempt it was, from 1.
    pub number: u32,
    /// When it began.
    #[schema(format = DateTime)]
    pub at: String,
    /// How long it took, in milliseconds.
    pub took_ms: f64,
    /// Why it failed; `null` if it was taken.
    pub failure: Option<FailureView>,
    /// What was sent, with the other deliveries of the request; `null` if that is not remembered.
    pub request: Option<RequestView>,
    /// What came back.
    pub response: Option<ResponseView>,
    /// It stands for many that went well, of which nothing is remembered.
    pub sampled: bool,
    /// The id of the replay that sent it again.
    pub replay: Option<String>,
}

/// Of which time an overview is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct OverviewQuery {
    from: Option<String>,
    until: Option<String>,
    step: Option<StepBody>,
}

/// How far apart the points of an overview are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepBody {
    /// A minute.
    Minute,
    /// An hour.
    Hour,
    /// A day.
    Day,
}

impl StepBody {
    /// The engine's word for it.
    pub const fn step(self) -> Step {
        match self {
            Self::Minute => Step::Minute,
            Self::Hour => Step::Hour,
            Self::Day => Step::Day,
        }
    }

    /// From the engine's word for it.
    pub const fn of(step: Step) -> Self {
        match step {
            Step::Minute => Self::Minute,
            Step::Hour => Self::Hour,
            Step::Day => Self::Day,
        }
    }
}

impl OverviewQuery {
    /// The first moment, the one after the last, and how far apart points are.
    ///
    /// # Errors
    /// If a part can't be read.
    pub(in crate::admin) fn times(self, now: Timestamp) -> Result<(Timestamp, Timestamp, Step), ApiError> {
        let (from, until) = request::span(self.from, self.until)?;
        let until = until.unwrap_or_else(|| now.plus_micros(1));
        let from = from.unwrap_or_else(|| until.plus_micros(-OVERVIEW_MICROS));
        if from >= until {
            return Err(ApiError::invalid("`until` has to be later than `from`"));
        }
        Ok((from, until, self.step.unwrap_or(StepBody::Hour).step()))
    }
}

/// What went through a destination in a time.
#[derive(Debug, Serialize, ToSchema)]
pub struct OverviewView {
    /// Where the time begins: at a whole minute.
    #[schema(format = DateTime)]
    pub from: String,
    /// Where it ends: at a whole minute.
    #[schema(format = DateTime)]
    pub until: String,
    /// How far apart points are: what was asked for, or more if there would be too many.
    pub step: StepBody,
    /// All of it.
    pub total: FlowView,
    /// The time of the same length before it, to see the trend; `null` if that is not kept any more.
    pub previous: Option<FlowView>,
    /// The same by the step, oldest first.
    pub series: Vec<PointView>,
    /// What is pending now.
    pub pending: PendingView,
}

/// What went through a destination within a step.
#[derive(Debug, Serialize, ToSchema)]
pub struct PointView {
    /// When the step began.
    #[schema(format = DateTime)]
    pub at: String,
    /// What went through.
    #[serde(flatten)]
    pub flow: FlowView,
}

/// What went through a destination. Over all time `received` is `filtered`, `lost` and `mapped` together, and `mapped` is
/// `delivered`, `dead_letters` and what waits. What is taken up at the end of a time may end behind it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct FlowView {
    /// Deliveries that it took up.
    pub received: u64,
    /// Those that were left out, by what.
    #[schema(value_type = Object, example = json!({"filtered_by_consent": 3}))]
    pub filtered: BTreeMap<&'static str, u64>,
    /// Those that passed every gate: they were taken or given up, or wait. Not those that were passed over or expired.
    pub mapped: u64,
    /// Attempts that failed, by reason.
    #[schema(value_type = Object, example = json!({"server_error": 7}))]
    pub failed: BTreeMap<&'static str, u64>,
    /// Deliveries that were given up, by reason.
    #[schema(value_type = Object, example = json!({"missing_field": 1}))]
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Deliveries that ended in another way: passed over, expired.
    #[schema(value_type = Object, example = json!({"skipped": 12}))]
    pub lost: BTreeMap<&'static str, u64>,
    /// Deliveries that were taken.
    pub delivered: u64,
    /// Deliveries that replays sent again, by how they ended. They are in none of the others.
    #[schema(value_type = Object, example = json!({"delivered": 40}))]
    pub replayed: BTreeMap<&'static str, u64>,
    /// How long it took from an event's arrival until it was delivered; `null` if none was.
    pub latency_ms: Option<LatencyView>,
}

/// How long it took: so many milliseconds or fewer for so many of a hundred deliveries.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct LatencyView {
    /// For half of them.
    pub p50: f64,
    /// For 95.
    pub p95: f64,
    /// For 99.
    pub p99: f64,
}

impl FlowView {
    /// What the engine counted.
    pub(crate) fn of(flow: &Flow) -> Self {
        let Flow { received, mapped, ended, failed, dead_letters, latency, replayed } = flow;
        let named = |(outcome, count): (&Outcome, &u64)| (outcome.name(), *count);
        let of_reason = |counts: &BTreeMap<Reason, u64>| {
            counts.iter().map(|(reason, count)| (reason.name(), *count)).collect()
        };
        let is_filtered = |name: &str| name.starts_with(Outcome::Filtered.name());
        let told_apart = [Outcome::Delivered.name(), Outcome::DeadLetter.name()];
        let ended = ended.iter().map(named);
        let (filtered, others): (BTreeMap<_, _>, BTreeMap<_, _>) =
            ended.filter(|(name, _)| !told_apart.contains(name)).partition(|(name, _)| is_filtered(name));
        Self {
            received: *received,
            filtered,
            mapped: *mapped,
            failed: of_reason(failed),
            dead_letters: of_reason(dead_letters),
            lost: others,
            delivered: flow.delivered(),
            replayed: replayed.iter().map(named).collect(),
            latency_ms: latency.map(|latency| LatencyView {
                p50: latency.p50_ms,
                p95: latency.p95_ms,
                p99: latency.p99_ms,
            }),
        }
    }
}

/// What is pending at a destination.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PendingView {
    /// Deliveries that wait to be tried again.
    pub waiting: u64,
    /// Deliveries that are being attempted.
    pub under_way: u64,
    /// Activations that it has not read, those of other workspaces included.
    pub behind: u64,
    /// When the oldest event arrived that has not ended.
    #[schema(format = DateTime)]
    pub oldest: Option<String>,
    /// How long ago that was, in milliseconds.
    pub lag_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_asked_for_by_its_outcome_can_be_found() {
        let ended = |outcome| Some(DeliveryState::Ended(outcome));
        let left_out = ended(Outcome::FilteredByConsent);
        let profile = "07070707070707070707070707070707";
        let cases = [
            (json!({"outcome": "pending"}), Ok(Some(DeliveryState::Pending))),
            (json!({"outcome": "skipped"}), Ok(ended(Outcome::Skipped))),
            (json!({"outcome": "expired", "profile_id": profile}), Ok(ended(Outcome::Expired))),
            (json!({"outcome": "filtered_by_consent", "message_id": "m"}), Ok(left_out)),
            (json!({"outcome": "filtered_by_consent", "message_id": "m", "limit": 5}), Ok(left_out)),
            (json!({"outcome": "filtered_by_consent"}), Err("found by `message_id` alone")),
            (
                json!({"outcome": "filtered", "message_id": "m", "profile_id": profile}),
                Err("found by `message_id` alone"),
            ),
            (json!({"outcome": "projected", "message_id": "m"}), Err("give pending, delivered, dead_letter")),
            (
                json!({"outcome": "unidentified"}),
                Err("with `message_id` alone filtered, filtered_by_consent"),
            ),
            (json!({"message_id": ""}), Err("`message_id`: give the id of an event, of 1 to 256 bytes")),
            (json!({"profile_id": "u1"}), Err("`profile_id`: give 32 hexadecimal digits")),
        ];
        for (asked, want) in cases {
            let read: DeliveriesQuery = serde_json::from_value(asked.clone()).expect("a query");
            match (read.query(None), want) {
                (Ok(query), Ok(state)) => assert_eq!(query.state, state, "{asked}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{asked}: {error}"),
                (got, want) => panic!("{asked}: {got:?} is not {want:?}"),
            }
        }
    }

    #[test]
    fn an_overview_is_of_a_time_that_is_not_empty() {
        let now = Timestamp::parse("2026-11-20T10:00:00Z").expect("a time");
        let cases = [
            (json!({}), Some(Step::Hour)),
            (json!({"step": "minute"}), Some(Step::Minute)),
            (
                json!({"from": "2026-11-01T00:00:00Z", "until": "2026-11-02T00:00:00Z", "step": "day"}),
                Some(Step::Day),
            ),
            (json!({"from": "2026-12-01T00:00:00Z"}), None),
            (json!({"from": "soon"}), None),
        ];
        for (query, want) in cases {
            let read: OverviewQuery = serde_json::from_value(query.clone()).expect("a query");
            assert_eq!(read.times(now).ok().map(|(.., step)| step), want, "{query}");
        }
    }

    #[test]
    fn a_flow_names_every_way_in_which_deliveries_end_once() {
        let flow = Flow {
            received: 9,
            ended: Outcome::ALL.into_iter().zip(1..).collect(),
            failed: [(Reason::Timeout, 4)].into(),
            replayed: [(Outcome::Delivered, 6), (Outcome::FilteredByFilter, 2)].into(),
            ..Flow::default()
        };
        let view = FlowView::of(&flow);
        assert_eq!((view.received, view.delivered), (9, 4));
        assert_eq!(view.failed, BTreeMap::from([("timeout", 4)]));
        assert_eq!(view.replayed, BTreeMap::from([("delivered", 6), ("filtered_by_filter", 2)]));
        let filtered: Vec<_> = view.filtered.keys().copied().collect();
        let gates = ["", "_by_consent", "_by_filter", "_by_integrations", "_by_trigger"];
        assert_eq!(filtered, gates.map(|gate| format!("filtered{gate}")));
        assert_eq!(view.filtered.len() + view.lost.len() + 2, Outcome::ALL.len());
    }
}
