//! An engine of destinations that always answers the same, and keeps what it was asked.

use tributary_destinations::deliveries::DeliveryQuery;
use tributary_destinations::engine::{
    CallReport, PreviewError, PreviewOf, PreviewOrder, PreviewPayload, PreviewReport, PreviewRequest,
};
use tributary_destinations::exchange::{RequestRecord, ResponseRecord, Verdict};
use tributary_destinations::failure::{Failure, Reason};
use tributary_destinations::overview::Step;
use tributary_destinations::replay::ReplayOrder;
use tributary_destinations::{
    DestinationConfig, DestinationStatus, PauseReason, Paused, Person, SettingsError,
};
use tributary_model::Workspace;
use tributary_model::outcome::Outcome;

use super::super::destinations::outside::{Destinations, Trial, TrialError};
use super::super::destinations::queries::{DeliveryRow, FlowView, OverviewView, PendingView, StepBody};
use super::super::destinations::replays::ReplayView;
use super::*;

/// See the module.
#[derive(Default)]
pub(super) struct FixedEngine {
    pub(super) statuses: Mutex<HashMap<DestinationId, DestinationStatus>>,
    pub(super) retention_used: Mutex<f64>,
    pub(super) tried: Mutex<Vec<(DestinationConfig, Option<PreviewOrder>)>>,
    pub(super) deleted: Mutex<Vec<Person>>,
    pub(super) resumed: Mutex<Vec<DestinationId>>,
    pub(super) orders: Mutex<Vec<ReplayOrder>>,
    pub(super) cancelled: Mutex<Vec<u64>>,
    pub(super) queries: Mutex<Vec<DeliveryQuery>>,
}

fn request() -> RequestRecord {
    RequestRecord {
        method: "POST".to_owned(),
        target: "https://example.com/hook".to_owned(),
        headers: vec![("x-api-key".to_owned(), MASK.to_owned())],
        body: "{\"n\":1.0}".to_owned(),
        body_bytes: 9,
    }
}

fn response(status: u16) -> ResponseRecord {
    ResponseRecord { status: Some(status), body: "noted".to_owned() }
}

/// How a destination is that is paused.
pub(super) fn paused(reason: PauseReason) -> DestinationStatus {
    let failure = Failure::answered(401, "the credentials are refused");
    let since = Timestamp::from_millis(5);
    let paused = Paused { reason, since, failure, probes_at: None };
    DestinationStatus { enabled: true, paused: Some(paused), cursor: 7, ..DestinationStatus::default() }
}

impl Destinations for Fixed {
    fn status(&self, _: WorkspaceId, destination: DestinationId) -> Option<DestinationStatus> {
        self.engine.statuses.lock().expect("not poisoned").get(&destination).cloned()
    }

    fn retention_used(&self, _: WorkspaceId, _: DestinationId) -> f64 {
        *self.engine.retention_used.lock().expect("not poisoned")
    }

    fn preview(&self, config: DestinationConfig, order: PreviewOrder) -> Trial<PreviewReport> {
        let report = match &order.of {
            PreviewOf::Message(id) if id == "nobody" => Err(PreviewError::NotFound),
            PreviewOf::Message(_) | PreviewOf::Event { .. } | PreviewOf::Latest => Ok(report(order.send)),
        };
        self.engine.tried.lock().expect("not poisoned").push((config, Some(order)));
        future::ready(report.map_err(TrialError::from)).boxed()
    }

    fn test(&self, config: DestinationConfig) -> Trial<Option<CallReport>> {
        let report = CallReport { request: request(), response: Some(response(204)), failure: None };
        let report = (config.definition != "s3").then_some(report);
        self.engine.tried.lock().expect("not poisoned").push((config, None));
        future::ready(Ok(report)).boxed()
    }

    fn delete_person(&self, config: DestinationConfig, person: Person) -> Trial<Option<CallReport>> {
        let failure = Some(Failure::answered(500, "answered 500"));
        let report = CallReport { request: request(), response: Some(response(500)), failure };
        let report = (config.definition == "webhook").then_some(report);
        self.engine.deleted.lock().expect("not poisoned").push(person);
        future::ready(Ok(report)).boxed()
    }

    fn resume(&self, _: WorkspaceId, destination: DestinationId) -> Result<bool, OutsideError> {
        self.engine.resumed.lock().expect("not poisoned").push(destination);
        Ok(true)
    }

    fn start_replay(&self, _: WorkspaceId, _: DestinationId, order: ReplayOrder) -> Trial<ReplayView> {
        let mut orders = self.engine.orders.lock().expect("not poisoned");
        let begun = if orders.is_empty() {
            Ok(replay(&order))
        } else if order.condition.is_some() {
            let error = SettingsError::new("condition", "names what is not there");
            Err(TrialError::Unusable(error))
        } else {
            Err(TrialError::Outside(OutsideError::Busy("another one runs".to_owned())))
        };
        orders.push(order);
        future::ready(begun).boxed()
    }

    fn replays(&self, _: WorkspaceId, _: DestinationId) -> Result<Vec<ReplayView>, OutsideError> {
        let orders = self.engine.orders.lock().expect("not poisoned");
        Ok(orders.first().map(replay).into_iter().collect())
    }

    fn cancel_replay(
        &self,
        _: WorkspaceId,
        _: DestinationId,
        replay: u64,
    ) -> BoxFuture<'static, Result<bool, OutsideError>> {
        self.engine.cancelled.lock().expect("not poisoned").push(replay);
        future::ready(Ok(true)).boxed()
    }

    fn deliveries(&self, _: &Workspace, query: &DeliveryQuery) -> Result<Rows<DeliveryRow>, OutsideError> {
        self.engine.queries.lock().expect("not poisoned").push(query.clone());
        let row = DeliveryRow {
            destination: "dst_3".to_owned(),
            delivery_id: None,
            message_id: query.message_id.as_ref().map(|id| id.as_str().to_owned()).unwrap_or_default(),
            profile_id: None,
            event_type: Some("track"),
            outcome: None,
            remembered: true,
            waiting: None,
            attempts: Vec::new(),
        };
        Ok(Rows { rows: vec![row], next: Some("1.2.3.4".to_owned()) })
    }

    fn overview(
        &self,
        _: WorkspaceId,
        _: DestinationId,
        (from, until): (Timestamp, Timestamp),
        step: Step,
    ) -> Result<OverviewView, OutsideError> {
        Ok(OverviewView {
            from: from.to_string(),
            until: until.to_string(),
            step: StepBody::of(step),
            total: FlowView::default(),
            previous: None,
            series: Vec::new(),
            pending: PendingView::default(),
        })
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_millis(1_790_000_000_000)
    }
}

fn report(sent: bool) -> PreviewReport {
    let failure = Failure::new(Reason::MissingField, "mapping 2 lacks the field title");
    PreviewReport {
        message_id: "m1".to_owned(),
        delivery_id: "msg_1".to_owned(),
        sent,
        left_out: Some((Outcome::FilteredByFilter, "filter \"no tests\"".to_owned())),
        failure: None,
        payloads: vec![PreviewPayload {
            mapping: 1,
            action: "send".to_owned(),
            id: "msg_1".to_owned(),
            body: bytes::Bytes::from_static(b"{\"n\":1.50}"),
        }],
        refused: vec![(2, failure.clone())],
        requests: vec![PreviewRequest {
            request: Ok(request()),
            response: sent.then(|| response(429)),
            verdicts: if sent {
                let after = Some(Duration::from_secs(2));
                vec![("msg_1".to_owned(), Verdict::Retry { failure, after })]
            } else {
                Vec::new()
            },
        }],
    }
}

fn replay(order: &ReplayOrder) -> ReplayView {
    ReplayView {
        id: "1".to_owned(),
        state: "running",
        problem: None,
        waits_for: None,
        from: None,
        until: None,
        condition: order.condition.as_ref().map(ToString::to_string),
        only: "all",
        reason: None,
        dry_run: order.dry_run,
        rate_per_second: order.rate_per_second,
        first: 0,
        next: 3,
        end: 9,
        read: 3,
        expired: 0,
        matched: 2,
        not_evaluable: 0,
        filtered: [("filtered_by_consent", 1)].into(),
        queued: 1,
        ended: [].into(),
        began_at: Timestamp::from_millis(0).to_string(),
        ended_at: None,
    }
}
