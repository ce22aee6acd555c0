//! Destinations at work, as the admin API has them: from the engine, and from the index of message ids.

use super::Outside;
use crate::admin::destinations::outside::{Destinations, Trial, TrialError};
use crate::admin::destinations::queries::{
    AttemptRow, DeliveryRow, FlowView, OverviewView, PendingView, PointView, StepBody, WaitingRow, event_of,
};
use crate::admin::destinations::replays::ReplayView;
use crate::admin::destinations::reports::{FailureView, RequestView, ResponseView};
use crate::admin::outside::{OutsideError, Rows};
use futures_util::FutureExt as _;
use futures_util::future::{self, BoxFuture};
use std::collections::HashSet;
use tributary_destinations::deliveries::{
    DeliveryQuery, DeliveryState, Fate, RecordedAttempt, RecordedDelivery,
};
use tributary_destinations::engine::{CallReport, Explained, PreviewOrder, PreviewReport, StoreError};
use tributary_destinations::overview::{Overview, Step};
use tributary_destinations::replay::{ReplayError, ReplayOrder};
use tributary_destinations::{DestinationConfig, DestinationStatus, Engine, Person};
use tributary_eventlog::index::MessageKey;
use tributary_model::outcome::Outcome;
use tributary_model::{
    DestinationId, EventKind, MessageId, Namespace, Position, ProfileId, Timestamp, Workspace, WorkspaceId,
};

/// Of the activations that a record causes, the one that is the event itself.
const EVENT: u32 = 0;

/// Ids that are looked for at most of those that were merged into a profile: as many as rules can allow.
const MERGED_MAX: usize = 1_000;

fn failed(error: StoreError) -> OutsideError {
    OutsideError::Failed("reading what is remembered of deliveries", error.into())
}

impl Outside {
    fn engine(&self) -> Result<&Engine, OutsideError> {
        self.behind.engine().ok_or(OutsideError::NotReady("the destinations"))
    }

    /// The ids of those who are one person with one of these now: what was recorded before a merge is under the ids of then.
    fn people(&self, workspace: WorkspaceId, profiles: &[ProfileId]) -> Result<Vec<ProfileId>, OutsideError> {
        let mut people = profiles.to_vec();
        let reader = self.behind.reader();
        for profile in profiles {
            let reader = reader.get().ok_or(OutsideError::NotReady("the profiles"))?;
            let found = reader
                .find(workspace, Namespace::PROFILE_ID, &profile.to_string())
                .map_err(|error| OutsideError::Failed("reading the profile", error.into()))?;
            let Some(found) = found else { continue };
            people.push(found.id);
            people.extend(found.view.profile.merged.iter().take(MERGED_MAX));
        }
        people.sort_unstable();
        people.dedup();
        Ok(people)
    }

    /// What the engine answers, or why it can't.
    fn tried<T: Send + 'static>(&self, ask: impl FnOnce(&Engine) -> Trial<T>) -> Trial<T> {
        match self.engine() {
            Ok(engine) => ask(engine),
            Err(error) => future::ready(Err(error.into())).boxed(),
        }
    }

    /// Where the newest event of that message id is in the log, whatever its source; `None` if it is not known any more.
    fn position_of(
        &self,
        workspace: &Workspace,
        message_id: &MessageId,
    ) -> Result<Option<Position>, OutsideError> {
        let indexes = self.behind.indexes().ok_or(OutsideError::NotReady("the indexes"))?;
        let mut newest = None;
        for source in &workspace.sources {
            let seen = indexes
                .find_message(&MessageKey::new(workspace.id, source.id, message_id))
                .map_err(|error| OutsideError::Failed("looking for the event", error.into()))?;
            newest = newest.max(seen.map(|seen| seen.sequence));
        }
        Ok(newest.map(Position::at))
    }

    /// What became of an event at destinations of which nothing is remembered of it, deleted ones included; and to the rows of
    /// those that wait, until when.
    fn add_fates(
        &self,
        workspace: &Workspace,
        message_id: &MessageId,
        of: Option<DestinationId>,
        rows: &mut Vec<DeliveryRow>,
    ) -> Result<(), OutsideError> {
        let Some(position) = self.position_of(workspace, message_id)? else { return Ok(()) };
        let known: HashSet<String> = rows.iter().map(|row| row.destination.clone()).collect();
        for explained in self.engine()?.explain(workspace.id, position).map_err(failed)? {
            if explained.ordinal != EVENT || of.is_some_and(|of| of != explained.destination) {
                continue;
            }
            let id = explained.destination.to_string();
            if !known.contains(&id) {
                rows.extend(inferred(id, message_id, explained));
                continue;
            }
            let pending = rows.iter_mut().find(|row| row.destination == id && row.outcome.is_none());
            if let Some(row) = pending {
                row.waiting = waiting(explained.fate);
            }
        }
        Ok(())
    }
}

impl Destinations for Outside {
    fn status(&self, workspace: WorkspaceId, destination: DestinationId) -> Option<DestinationStatus> {
        self.behind.engine()?.status(workspace, destination)
    }

    fn retention_used(&self, workspace: WorkspaceId, destination: DestinationId) -> f64 {
        self.behind.retention_used(workspace, destination)
    }

    fn preview(&self, config: DestinationConfig, order: PreviewOrder) -> Trial<PreviewReport> {
        self.tried(|engine| {
            engine.preview(config, order).map(|tried| tried.map_err(TrialError::from)).boxed()
        })
    }

    fn test(&self, config: DestinationConfig) -> Trial<Option<CallReport>> {
        self.tried(|engine| engine.test(config).map(|called| called.map_err(TrialError::from)).boxed())
    }

    fn delete_person(&self, config: DestinationConfig, person: Person) -> Trial<Option<CallReport>> {
        self.tried(|engine| {
            engine.delete_person(config, person).map(|called| called.map_err(TrialError::from)).boxed()
        })
    }

    fn resume(&self, workspace: WorkspaceId, destination: DestinationId) -> Result<bool, OutsideError> {
        Ok(self.engine()?.resume(workspace, destination))
    }

    fn start_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        order: ReplayOrder,
    ) -> Trial<ReplayView> {
        self.tried(|engine| {
            let begun = engine.start_replay(workspace, destination, order);
            begun.map(|begun| begun.map(ReplayView::of).map_err(not_begun)).boxed()
        })
    }

    fn replays(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
    ) -> Result<Vec<ReplayView>, OutsideError> {
        let jobs = self.engine()?.replays(workspace, destination).map_err(failed)?;
        Ok(jobs.into_iter().map(ReplayView::of).collect())
    }

    fn cancel_replay(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        replay: u64,
    ) -> BoxFuture<'static, Result<bool, OutsideError>> {
        match self.engine() {
            Ok(engine) => {
                let cancelled = engine.cancel_replay(workspace, destination, replay);
                cancelled.map(|cancelled| cancelled.map_err(failed)).boxed()
            }
            Err(error) => future::ready(Err(error)).boxed(),
        }
    }

    fn deliveries(
        &self,
        workspace: &Workspace,
        query: &DeliveryQuery,
    ) -> Result<Rows<DeliveryRow>, OutsideError> {
        let Some(message_id) = event_of(query) else {
            let profiles = self.people(workspace.id, &query.profiles)?;
            let query = DeliveryQuery { profiles, ..query.clone() };
            let page = self.engine()?.deliveries(workspace.id, &query).map_err(failed)?;
            let rows = page.deliveries.into_iter().map(recorded).collect();
            return Ok(Rows { rows, next: page.next.map(|next| next.to_string()) });
        };
        // Of which destinations something is remembered has to be known before the others are told of.
        let whatever = DeliveryQuery { state: None, ..query.clone() };
        let page = self.engine()?.deliveries(workspace.id, &whatever).map_err(failed)?;
        let next = page.next.map(|next| next.to_string());
        let mut rows: Vec<DeliveryRow> = page.deliveries.into_iter().map(recorded).collect();
        if next.is_none() {
            self.add_fates(workspace, message_id, query.destination, &mut rows)?;
        }
        if let Some(state) = query.state {
            rows.retain(|row| row.outcome == ended(state));
        }
        Ok(Rows { rows, next })
    }

    fn overview(
        &self,
        workspace: WorkspaceId,
        destination: DestinationId,
        times: (Timestamp, Timestamp),
        step: Step,
    ) -> Result<OverviewView, OutsideError> {
        let engine = self.engine()?;
        let overview = engine.overview(workspace, destination, times, step).map_err(failed)?;
        let status = engine.status(workspace, destination).unwrap_or_default();
        Ok(shown(&overview, &status, self.time()))
    }

    fn time(&self) -> Timestamp {
        self.behind.clock().now()
    }
}

fn not_begun(error: ReplayError) -> TrialError {
    match error {
        ReplayError::Busy => OutsideError::Busy(error.to_string()).into(),
        ReplayError::NoSuch | ReplayError::NotBegun => OutsideError::Unavailable(error.to_string()).into(),
        ReplayError::Condition(error) => TrialError::Unusable(error),
        ReplayError::Store(error) => failed(error).into(),
    }
}

/// A delivery of which something is remembered.
fn recorded(delivery: RecordedDelivery) -> DeliveryRow {
    DeliveryRow {
        destination: delivery.destination.to_string(),
        delivery_id: Some(delivery.delivery_id),
        message_id: delivery.message_id.as_str().to_owned(),
        profile_id: delivery.profile.map(|id| id.to_string()),
        event_type: delivery.event_kind.map(EventKind::name),
        outcome: ended(delivery.state),
        remembered: true,
        waiting: None,
        attempts: delivery.attempts.into_iter().map(attempt).collect(),
    }
}

/// How a delivery ended, if it has.
fn ended(state: DeliveryState) -> Option<&'static str> {
    match state {
        DeliveryState::Pending => None,
        DeliveryState::Ended(outcome) => Some(outcome.name()),
    }
}

fn attempt(recorded: RecordedAttempt) -> AttemptRow {
    let RecordedAttempt { attempt, exchange } = recorded;
    let (request, response) =
        exchange.map_or((None, None), |exchange| (Some(exchange.request), exchange.response));
    AttemptRow {
        number: attempt.number,
        at: attempt.at.to_string(),
        took_ms: attempt.took_micros as f64 / 1_000.0,
        failure: attempt.failure.as_ref().map(FailureView::of),
        request: request.map(RequestView::of),
        response: response.map(ResponseView::of),
        sampled: attempt.sampled,
        replay: attempt.replay.map(|replay| replay.to_string()),
    }
}

/// A delivery of which nothing is remembered, from how far its destination is; `None` if there is none.
fn inferred(destination: String, message_id: &MessageId, explained: Explained) -> Option<DeliveryRow> {
    let Explained { delivery_id, profile, event_kind, fate, .. } = explained;
    let outcome = match &fate {
        Fate::NotIts => return None,
        Fate::Pending | Fate::Waiting { .. } => None,
        Fate::Ended(outcome) => Some(outcome.name()),
        Fate::Delivered => Some(Outcome::Delivered.name()),
    };
    Some(DeliveryRow {
        destination,
        delivery_id: Some(delivery_id),
        message_id: message_id.as_str().to_owned(),
        profile_id: profile.map(|id| id.to_string()),
        event_type: Some(event_kind.name()),
        outcome,
        remembered: false,
        waiting: waiting(fate),
        attempts: Vec::new(),
    })
}

fn waiting(fate: Fate) -> Option<WaitingRow> {
    match fate {
        Fate::Waiting { attempts, due, failure, .. } => {
            let failure = failure.as_ref().map(FailureView::of);
            Some(WaitingRow { attempts, due: due.to_string(), failure })
        }
        Fate::NotIts | Fate::Pending | Fate::Ended(_) | Fate::Delivered => None,
    }
}

fn shown(overview: &Overview, status: &DestinationStatus, now: Timestamp) -> OverviewView {
    let point = |(at, flow): &(Timestamp, _)| PointView { at: at.to_string(), flow: FlowView::of(flow) };
    let lag = |oldest: Timestamp| u64::try_from(now.micros_since(oldest) / 1_000).unwrap_or(0);
    OverviewView {
        from: overview.from.to_string(),
        until: overview.until.to_string(),
        step: StepBody::of(overview.step),
        total: FlowView::of(&overview.totals),
        previous: overview.previous.as_ref().map(FlowView::of),
        series: overview.series.iter().map(point).collect(),
        pending: PendingView {
            waiting: status.waiting,
            under_way: status.under_way,
            behind: status.behind,
            oldest: status.oldest_pending.map(|at| at.to_string()),
            lag_ms: status.oldest_pending.map(lag),
        },
    }
}
