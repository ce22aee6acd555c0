//! What happens to a call before its messages are decoded: who sends it, and how much room its body may take.

use crate::auth::{SourceRef, write_key_of_header};
use crate::error::IngestError;
use crate::grpc::status::status_of;
use crate::limits::{IngestLimits, Reservation};
use crate::metrics::Method;
use crate::pipeline::Collector;
use http_body::{Body as HttpBody, Frame, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use tokio::time::Sleep;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::codegen::http::{Request, header::AUTHORIZATION};
use tributary_model::Timestamp;

/// A call whose source is known; it travels with the request.
#[derive(Clone)]
pub(super) struct Call {
    /// The source as it was when the call began.
    pub(super) source: SourceRef,
    /// The write key, for looking again.
    pub(super) write_key: Arc<str>,
    /// When the call began.
    pub(super) received_at: Timestamp,
    /// The room that its body takes.
    pub(super) meter: Arc<Meter>,
}

/// What a call's body has brought and nobody has taken over yet, charged to the budget of bodies in work.
pub(super) struct Meter(Mutex<Reservation>);

impl Meter {
    pub(super) fn new(reservation: Reservation) -> Self {
        Self(Mutex::new(reservation))
    }

    /// Hands over what is charged.
    pub(super) fn take(&self) -> Reservation {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn grow(&self, bytes: usize) -> Result<(), IngestError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).grow(bytes)
    }
}

/// Lets a call in: its source is known, and its body is metered from its first byte on.
///
/// # Errors
/// If it names no enabled source.
pub(super) fn admit(
    collector: &Collector,
    method: Method,
    request: Request<Body>,
) -> Result<Request<Body>, IngestError> {
    let received_at = collector.arrival_time();
    let header = request.headers().get(AUTHORIZATION).ok_or(IngestError::MissingWriteKey)?;
    let write_key = write_key_of_header(header.as_bytes())?.ok_or(IngestError::MissingWriteKey)?;
    let source = collector.write_keys().authenticate(&write_key)?;
    let meter = Arc::new(Meter::new(collector.budget().reserve()));
    let (mut parts, body) = request.into_parts();
    let bounds = match method {
        Method::Send => Some(Bounds::of(collector.limits())),
        // It has no end, and each of its messages is bounded where it is decoded.
        Method::Stream => None,
    };
    let body = MeteredBody { body, meter: Arc::clone(&meter), bounds };
    parts.extensions.insert(Call { source, write_key: write_key.into(), received_at, meter });
    Ok(Request::from_parts(parts, Body::new(body)))
}

/// How much a body may hold, and by when it has to be there.
struct Bounds {
    bytes_left: usize,
    by: Pin<Box<Sleep>>,
    bytes_max: usize,
    seconds: u64,
}

impl Bounds {
    fn of(limits: &IngestLimits) -> Self {
        Self {
            bytes_left: limits.wire_bytes_max,
            by: Box::pin(tokio::time::sleep(limits.body_read_timeout)),
            bytes_max: limits.wire_bytes_max,
            seconds: limits.body_read_timeout.as_secs(),
        }
    }
}

/// A request's body that is charged as it is read.
struct MeteredBody {
    body: Body,
    meter: Arc<Meter>,
    bounds: Option<Bounds>,
}

impl MeteredBody {
    fn charge(&mut self, bytes: usize) -> Result<(), IngestError> {
        if let Some(bounds) = &mut self.bounds {
            let limit = bounds.bytes_max;
            bounds.bytes_left =
                bounds.bytes_left.checked_sub(bytes).ok_or(IngestError::BodyTooLarge { limit })?;
        }
        self.meter.grow(bytes)
    }

    fn late(&mut self, context: &mut Context<'_>) -> Poll<IngestError> {
        match &mut self.bounds {
            Some(bounds) => bounds
                .by
                .as_mut()
                .poll(context)
                .map(|()| IngestError::BodyTimeout { seconds: bounds.seconds }),
            None => Poll::Pending,
        }
    }
}

impl HttpBody for MeteredBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = self.get_mut();
        let Poll::Ready(read) = Pin::new(&mut this.body).poll_frame(context) else {
            return this.late(context).map(|why| Some(Err(status_of(why))));
        };
        Poll::Ready(read.map(|frame| {
            let frame = frame?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            this.charge(bytes).map_err(status_of)?;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
