//! What is told of requests, answers and tries: the engine's values in the form of answers.

use serde::Serialize;
use serde_json::value::RawValue;
use tributary_destinations::engine::{CallReport, PreviewPayload, PreviewReport, PreviewRequest};
use tributary_destinations::exchange::{RequestRecord, ResponseRecord, Verdict};
use tributary_destinations::failure::Failure;
use utoipa::ToSchema;

/// What was sent, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct RequestView {
    /// The method, or the kind of statement: `POST`, `PUT`, `SQL`.
    #[schema(example = "POST")]
    pub method: String,
    /// Where to; secrets are masked.
    pub target: String,
    /// Headers, or parameters; secrets are masked.
    pub headers: Vec<HeaderView>,
    /// The beginning of the body; secrets are masked. Where that is not all, it ends with a mark that says so, such as
    /// `… (cut: the whole has 70000 bytes)`.
    pub body: String,
    /// How many bytes the whole body has.
    pub body_bytes: u64,
}

/// A header of a request, or a parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HeaderView {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl RequestView {
    pub(crate) fn of(request: RequestRecord) -> Self {
        let RequestRecord { method, target, headers, body, body_bytes } = request;
        let headers = headers.into_iter().map(|(name, value)| HeaderView { name, value }).collect();
        Self { method, target, headers, body, body_bytes }
    }
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ResponseView {
    /// The HTTP status, if it was HTTP.
    pub status: Option<u16>,
    /// The beginning of the body, or what a database said; secrets are masked. Where that is not all, it ends with a mark as a
    /// request's body does.
    pub body: String,
}

impl ResponseView {
    pub(crate) fn of(response: ResponseRecord) -> Self {
        let ResponseRecord { status, body } = response;
        Self { status, body }
    }
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FailureView {
    /// The stable code.
    #[schema(example = "missing_field")]
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// The HTTP status of the answer, if there was one.
    pub status: Option<u16>,
}

impl FailureView {
    pub(crate) fn of(failure: &Failure) -> Self {
        Self { code: failure.reason.name(), message: failure.text.clone(), status: failure.status }
    }
}

/// What would become of an event, or became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct PreviewView {
    /// The event's message id.
    pub message_id: String,
    /// The id of the delivery, as receivers see it.
    pub delivery_id: String,
    /// Whether it was sent.
    pub sent: bool,
    /// Why nothing would be sent, if nothing would.
    pub left_out: Option<LeftOutView>,
    /// What the mappings made of it.
    pub payloads: Vec<PayloadView>,
    /// The mappings that could make nothing valid of it.
    pub refused: Vec<RefusedView>,
    /// The requests that would be made, or were.
    pub requests: Vec<ExchangeView>,
    /// Why it can never be sent, if it can't.
    pub failure: Option<FailureView>,
}

/// What kept an event from a destination.
#[derive(Debug, Serialize, ToSchema)]
pub struct LeftOutView {
    /// How the delivery would end.
    #[schema(example = "filtered_by_consent")]
    pub outcome: &'static str,
    /// By what, in words.
    pub by: String,
}

/// What a mapping made of an event.
#[derive(Debug, Serialize, ToSchema)]
pub struct PayloadView {
    /// The number of the mapping.
    pub mapping: u32,
    /// The name of the action.
    pub action: String,
    /// The id that receivers see.
    pub id: String,
    /// The fields of the action.
    #[schema(value_type = Object)]
    pub body: Option<Box<RawValue>>,
}

/// A mapping that made nothing valid.
#[derive(Debug, Serialize, ToSchema)]
pub struct RefusedView {
    /// The number of the mapping.
    pub mapping: u32,
    /// What is wrong.
    pub failure: FailureView,
}

/// A request, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExchangeView {
    /// What would be sent, or was.
    pub request: Option<RequestView>,
    /// Why there is no request, if there is none.
    pub failure: Option<FailureView>,
    /// What came back, if it was sent and something did.
    pub response: Option<ResponseView>,
    /// What the answer means for each payload; empty if nothing was sent.
    pub verdicts: Vec<VerdictView>,
}

/// What an answer means for a payload.
#[derive(Debug, Serialize, ToSchema)]
pub struct VerdictView {
    /// The payload's id.
    pub id: String,
    /// `delivered`, `retry` (it may be taken later), `rejected` (it will never be) or `credentials` (nothing will be taken
    /// before the settings change).
    pub verdict: &'static str,
    /// Why it was not taken.
    pub failure: Option<FailureView>,
    /// For how long the receiver asked not to be tried again, in milliseconds.
    pub retry_after_ms: Option<u64>,
}

impl PreviewView {
    pub(in crate::admin) fn of(report: PreviewReport) -> Self {
        let PreviewReport { message_id, delivery_id, sent, left_out, payloads, refused, requests, failure } =
            report;
        let left_out = left_out.map(|(outcome, by)| LeftOutView { outcome: outcome.name(), by });
        let refuse = |(mapping, failure): (u32, Failure)| {
            let failure = FailureView::of(&failure);
            RefusedView { mapping, failure }
        };
        Self {
            message_id,
            delivery_id,
            sent,
            left_out,
            payloads: payloads.into_iter().map(PayloadView::of).collect(),
            refused: refused.into_iter().map(refuse).collect(),
            requests: requests.into_iter().map(ExchangeView::of).collect(),
            failure: failure.as_ref().map(FailureView::of),
        }
    }
}

impl PayloadView {
    fn of(payload: PreviewPayload) -> Self {
        let PreviewPayload { mapping, action, id, body } = payload;
        Self { mapping, action, id, body: serde_json::from_slice(&body).ok() }
    }
}

impl ExchangeView {
    fn of(exchange: PreviewRequest) -> Self {
        let PreviewRequest { request, response, verdicts } = exchange;
        let (request, failure) = match request {
            Ok(request) => (Some(RequestView::of(request)), None),
            Err(failure) => (None, Some(FailureView::of(&failure))),
        };
        Self {
            request,
            failure,
            response: response.map(ResponseView::of),
            verdicts: verdicts.into_iter().map(|(id, verdict)| VerdictView::of(id, &verdict)).collect(),
        }
    }
}

impl VerdictView {
    fn of(id: String, verdict: &Verdict) -> Self {
        let (verdict, failure, after) = match verdict {
            Verdict::Delivered => ("delivered", None, None),
            Verdict::Retry { failure, after } => ("retry", Some(failure), *after),
            Verdict::Rejected(failure) => ("rejected", Some(failure), None),
            Verdict::Credentials(failure) => ("credentials", Some(failure), None),
        };
        let retry_after_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        Self { id, verdict, failure: failure.map(FailureView::of), retry_after_ms }
    }
}

/// A call to a receiver, and what came of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct CallView {
    /// Whether it went well.
    pub succeeded: bool,
    /// What was sent.
    pub request: RequestView,
    /// What came back, if something did.
    pub response: Option<ResponseView>,
    /// Why it did not go well.
    pub failure: Option<FailureView>,
}

impl CallView {
    pub(in crate::admin) fn of(report: CallReport) -> Self {
        let CallReport { request, response, failure } = report;
        Self {
            succeeded: failure.is_none(),
            request: RequestView::of(request),
            response: response.map(ResponseView::of),
            failure: failure.as_ref().map(FailureView::of),
        }
    }
}
